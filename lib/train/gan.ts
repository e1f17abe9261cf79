/**
 * GanTrainer: two networks trained against each other in turns.
 */
import { join } from "node:path";
import { expect, show } from "../errors.js";
import { noGrad } from "../graph.js";
import { scope } from "../memory.js";
import { type Module, ModuleList } from "../nn/index.js";
import { tensor } from "../ops/create.js";
import { randint } from "../ops/random.js";
import { Adam, EMA } from "../optim/index.js";
import type { Tensor } from "../tensor.js";
import { StepRunner } from "./capturing.js";
import { GAN_LOSSES, type GanLoss, type GanLossName, gradientPenalty, sampleNoise } from "./ganLosses.js";
import type { Batch, StepOptimizer } from "./options.js";
import { saveImageGrid } from "./pictures.js";

/** Noise, and labels where the networks take any, to pictures in [-1, 1]. */
export type GeneratorNetwork = Module & {
  /** [n, noiseDim] to pictures. */
  forward(noise: Tensor, labels?: Tensor | null): Tensor;
};
/** Pictures, and labels where the networks take any, to scores. */
export type DiscriminatorNetwork = Module & {
  /** Pictures to one score each, before any sigmoid. */
  forward(x: Tensor, labels?: Tensor | null): Tensor;
};

/**
 * Adam as CS231n's GANs use it: lr 1e-3, betas 0.5 and 0.999.
 *
 * @example
 * const optimizer = train.ganOptimizer(new models.GanGenerator({ noiseDim: 4 }));
 */
export const ganOptimizer = (network: Module, { lr = 1e-3 }: { lr?: number } = {}): Adam =>
  new Adam(network.parameters(), { lr, betas: [0.5, 0.999] });

/** Options of GanTrainer. */
export interface GanTrainerOptions {
  /** The game. Default "nonsaturating". */
  loss?: GanLossName | GanLoss;
  /** Numbers of noise that the generator takes. Default 96. */
  noiseDim?: number;
  /** Labels are drawn evenly from so many classes, and the loader's second field holds those of the pictures. Default: none. */
  classes?: number | null;
  /** Steps of the discriminator before each of the generator. Default 1. */
  discriminatorSteps?: number;
  /** Factor of the gradient penalty; 0: none. Default 10 for "wasserstein", else 0. */
  gradientPenalty?: number;
  /** Default: ganOptimizer(). */
  generatorOptimizer?: StepOptimizer;
  /** Default: ganOptimizer(). */
  discriminatorOptimizer?: StepOptimizer;
  /** Decay of a running average of the generator's weights, which sample() then uses, such as 0.999. Default: none. */
  ema?: number | null;
  /**
   * Whether steps are recorded once and then replayed natively, with the same bits, as the Trainer's. Default: once three
   * steps of a network in a row ran the same kernels, and where no module has hooks; true: from the first step on; false:
   * never. What a forward counts or prints in JavaScript happens only in steps that are not replayed: pass false there.
   */
  capture?: boolean;
}

/** Options of GanTrainer.fit(). */
export interface GanFitOptions {
  /** Steps of the generator. */
  steps: number;
  /** Steps between events. Default 100. */
  logEvery?: number;
  /** Folder for a grid of samples, samples-STEP.png, at each event. Default: nothing is written. */
  out?: string | null;
  /** Pictures of the grid. Default 64. */
  samples?: number;
  /** Called and awaited at each event, with the trainer. */
  onEvent?: (event: GanEvent, trainer: GanTrainer) => void | Promise<void>;
  /** Ends the run after its current step. */
  signal?: AbortSignal;
}

/** What fit() tells. Losses are means since the last event. */
export interface GanEvent {
  /** Of the generator. */
  step: number;
  /** With the penalty, where there is one. */
  discriminatorLoss: number;
  /** By the same game. */
  generatorLoss: number;
  /** Pictures a second that the discriminator saw. */
  samplesPerSecond: number;
  /** Path of the grid, where `out` is given. */
  grid: string | null;
  /** Why steps go on uncaptured, told once; null where there is nothing to tell. */
  notice: string | null;
}

/** Batches of pictures in [-1, 1], labels behind them where there are classes. */
type Pictures = AsyncIterable<Batch>;

/** The loss of a step on tensors that were drawn for it, and freed here, and on the loader's. */
async function lossOf(runner: StepRunner<Tensor>, drawn: Tensor[], given: Tensor[] = []): Promise<number> {
  const loss = await runner.step([[...drawn, ...given]]);
  const value = await loss.item();
  for (const t of [loss, ...drawn]) t.free();
  return value;
}

/**
 * Trains a generator against a discriminator. Batches smaller than the first are left out: their statistics and their
 * noise would differ.
 *
 * @example
 * const noiseDim = 4;
 * const trainer = new train.GanTrainer(
 *   new models.GanGenerator({ noiseDim, imageSize: 8 }),
 *   new models.GanDiscriminator({ imageSize: 8 }),
 *   { noiseDim, loss: "least-squares" },
 * );
 * const loader = new data.DataLoader(new data.TensorDataset([zeros([8, 1, 8, 8])]), { batchSize: 4 });
 * for await (const event of trainer.fit(loader, { steps: 2, logEvery: 1 })) console.log(event.generatorLoss);
 */
export class GanTrainer {
  /** Steps of the generator so far. */
  step = 0;
  /** The running average, where the options ask for one. */
  readonly ema: EMA | null;
  readonly #loss: GanLoss;
  readonly #noiseDim: number;
  readonly #classes: number | null;
  readonly #discriminatorSteps: number;
  readonly #penalty: number;
  readonly #generatorOptimizer: StepOptimizer;
  readonly #discriminatorOptimizer: StepOptimizer;
  readonly #capture: boolean | null;

  /** Checks the options; nothing is trained before fit(). */
  constructor(
    /** Noise to pictures; trained in place. */
    readonly generator: GeneratorNetwork,
    /** Pictures to scores; trained in place. */
    readonly discriminator: DiscriminatorNetwork,
    {
      loss = "nonsaturating",
      noiseDim = 96,
      classes = null,
      discriminatorSteps = 1,
      gradientPenalty: penalty = loss === "wasserstein" ? 10 : 0,
      generatorOptimizer,
      discriminatorOptimizer,
      ema = null,
      capture,
    }: GanTrainerOptions = {},
  ) {
    if (typeof loss === "string" && !Object.hasOwn(GAN_LOSSES, loss))
      throw new RangeError(`GanTrainer: expected a loss ${Object.keys(GAN_LOSSES).join(", ")}, got "${loss}"`);
    for (const [name, n] of Object.entries({ noiseDim, discriminatorSteps, classes: classes ?? 1 }))
      expect(Number.isSafeInteger(n) && n >= 1, "GanTrainer", `${name} to be a whole number from 1 up`, `${n}`);
    expect(penalty >= 0, "GanTrainer", "a gradientPenalty from 0 up", `${penalty}`);
    this.#loss = typeof loss === "string" ? GAN_LOSSES[loss] : loss;
    this.#noiseDim = noiseDim;
    this.#classes = classes;
    this.#discriminatorSteps = discriminatorSteps;
    this.#penalty = penalty;
    this.#generatorOptimizer = generatorOptimizer ?? ganOptimizer(generator);
    this.#discriminatorOptimizer = discriminatorOptimizer ?? ganOptimizer(discriminator);
    this.#capture = capture ?? null;
    this.ema = ema === null ? null : new EMA(generator, { decay: ema });
  }

  /**
   * Trains for `steps` steps of the generator, counted from its first. Ends sooner where the loader has no full batch.
   *
   * @returns the events, one every `logEvery` steps
   */
  async *fit(
    loader: Pictures,
    { steps, logEvery = 100, out = null, samples = 64, onEvent, signal }: GanFitOptions,
  ): AsyncGenerator<GanEvent, void, undefined> {
    for (const [name, n] of Object.entries({ steps, logEvery, samples }))
      expect(Number.isSafeInteger(n) && n >= 1, "GanTrainer.fit", `${name} to be a whole number from 1 up`, `${n}`);
    this.generator.train();
    this.discriminator.train();
    const discriminatorSteps = this.#runner((batch) => this.#discriminatorStep(batch));
    const generatorSteps = this.#runner((batch) => this.#generatorStep(batch));
    let batchSize = 0;
    let used = 0; // discriminator steps since the generator's last
    let seen = 0;
    let [discriminatorSum, generatorSum, discriminatorCount, generatorCount] = [0, 0, 0, 0];
    let since = performance.now();
    try {
      while (this.step < steps && !signal?.aborted) {
        let full = 0;
        for (const runner of [discriminatorSteps, generatorSteps]) runner.beginEpoch();
        for await (const batch of loader) {
          const [x, labels] = batch as [Tensor, Tensor | undefined];
          batchSize ||= x.shape[0]!;
          if (x.shape[0] === batchSize) {
            full++;
            seen += batchSize;
            const given = this.#classes !== null && labels ? [x, labels] : [x];
            discriminatorSum += await lossOf(discriminatorSteps, [sampleNoise(batchSize, this.#noiseDim)], given);
            discriminatorCount++;
            if (++used === this.#discriminatorSteps) {
              used = 0;
              const drawn = this.#labels(batchSize);
              generatorSum += await lossOf(generatorSteps, [sampleNoise(batchSize, this.#noiseDim), ...drawn]);
              generatorCount++;
              this.ema?.update();
              this.step++;
            }
          }
          for (const field of batch) field.free();
          if (used === 0 && generatorCount > 0 && (this.step % logEvery === 0 || this.step === steps)) {
            const event: GanEvent = {
              step: this.step,
              discriminatorLoss: discriminatorSum / discriminatorCount,
              generatorLoss: generatorSum / generatorCount,
              samplesPerSecond: (seen * 1e3) / (performance.now() - since),
              grid: out === null ? null : await this.#writeGrid(out, samples),
              notice: discriminatorSteps.takeNotice() ?? generatorSteps.takeNotice(),
            };
            await onEvent?.(event, this);
            yield event;
            this.generator.train();
            [discriminatorSum, generatorSum, discriminatorCount, generatorCount, seen] = [0, 0, 0, 0, 0];
            since = performance.now();
          }
          if (this.step >= steps || signal?.aborted) break;
        }
        if (full === 0) throw new Error("GanTrainer.fit: expected a loader with batches, got none");
      }
    } finally {
      for (const runner of [discriminatorSteps, generatorSteps]) runner.free();
    }
  }

  #runner(step: (batch: Batch) => Tensor): StepRunner<Tensor> {
    const when = this.#capture === null ? "alike" : this.#capture ? "always" : "never";
    return new StepRunner(new ModuleList([this.generator, this.discriminator]), when, ([batch]) => step(batch!));
  }

  /** Labels [n] for made pictures, where there are classes. */
  #labels(n: number): Tensor[] {
    return this.#classes === null ? [] : [randint(0, this.#classes, [n], { dtype: "int32" })];
  }

  /** Of noise, true pictures and labels: the loss. */
  #discriminatorStep([noise, real, labels]: Batch): Tensor {
    const { generator, discriminator } = this;
    return scope(() => {
      this.#discriminatorOptimizer.zeroGrad();
      const fake = noGrad(() => generator.forward(noise!, labels));
      let loss = this.#loss.discriminator(discriminator.forward(real!, labels), discriminator.forward(fake, labels));
      if (this.#penalty > 0)
        loss = loss.add(
          gradientPenalty((x) => discriminator.forward(x, labels), real!, fake, { lambda: this.#penalty }),
        );
      loss.backward();
      this.#discriminatorOptimizer.step();
      return loss.detach();
    });
  }

  /** Of noise and labels: the loss. */
  #generatorStep([noise, labels]: Batch): Tensor {
    return scope(() => {
      this.#generatorOptimizer.zeroGrad();
      this.#discriminatorOptimizer.zeroGrad();
      const fake = this.generator.forward(noise!, labels);
      const loss = this.#loss.generator(this.discriminator.forward(fake, labels));
      loss.backward();
      this.#generatorOptimizer.step();
      return loss.detach();
    });
  }

  /**
   * Pictures [n, ...] by the generator in eval mode, with its averaged weights where there are any.
   *
   * @param labels int32 [n]; default: in turn, where there are classes
   * @param options noise: [n, noiseDim], for a path between two pictures or less spread than sampleNoise() has; default: drawn
   */
  sample(n: number, labels: Tensor | null = null, { noise }: { noise?: Tensor } = {}): Tensor {
    const dim = this.#noiseDim;
    if (noise)
      expect(show(noise.shape) === show([n, dim]), "GanTrainer.sample", `noise [${n},${dim}]`, show(noise.shape));
    const classes = this.#classes;
    const { training } = this.generator;
    this.ema?.apply();
    try {
      this.generator.eval();
      return scope(() =>
        noGrad(() => {
          const given =
            labels ?? (classes === null ? null : tensor(Int32Array.from({ length: n }, (_, i) => i % classes)));
          return this.generator.forward(noise ?? sampleNoise(n, dim), given);
        }),
      );
    } finally {
      this.ema?.restore();
      this.generator.train(training);
    }
  }

  async #writeGrid(out: string, count: number): Promise<string> {
    const x = this.sample(count);
    const path = join(out, `samples-${String(this.step).padStart(6, "0")}.png`);
    await saveImageGrid(path, x);
    x.free();
    return path;
  }
}
