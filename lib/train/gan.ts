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
import { Generator } from "../random.js";
import type { Tensor } from "../tensor.js";
import { StepRunner } from "./capturing.js";
import { partOf } from "./checkpoint.js";
import { release } from "./evaluate.js";
import { GAN_LOSSES, type GanLoss, type GanLossName, gradientPenalty, sampleNoise } from "./ganLosses.js";
import type { Batch, BatchSource, StepOptimizer } from "./options.js";
import { saveImageGrid } from "./pictures.js";
import { expectWhole, passes, RunFile } from "./stepwise.js";

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
  /** Folder for a grid of samples, samples-STEP.png, at each event, and for checkpoints, last.safetensors. Default: nothing is written. */
  out?: string | null;
  /** Pictures of the grid; 0 for none. Default 64. */
  samples?: number;
  /** Steps between checkpoints, each written atomically before the step's event. Default: logEvery. */
  checkpointEvery?: number;
  /**
   * true: goes on from `out`'s checkpoint, where there is one; a path: from that one. Needs a loader that can say where it
   * stands, such as data.DataLoader. Default false.
   */
  resume?: boolean | string;
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
  /** Path of the grid, where one is written. */
  grid: string | null;
  /** Why steps go on uncaptured, told once; null where there is nothing to tell. */
  notice: string | null;
}

/** Where a run stands. Sums and counts are of losses since the last event. */
type Progress = {
  /** Of the generator. */
  step: number;
  /** Steps of the discriminator since the generator's last. */
  used: number;
  /** Pictures a batch, once one was seen. */
  batchSize: number;
  discriminatorSum: number;
  discriminatorCount: number;
  generatorSum: number;
  generatorCount: number;
};

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
  /** The running average, where the options ask for one. */
  readonly ema: EMA | null;
  #p: Progress = {
    ...{ step: 0, used: 0, batchSize: 0 },
    ...{ discriminatorSum: 0, discriminatorCount: 0, generatorSum: 0, generatorCount: 0 },
  };
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
    expectWhole("GanTrainer", { noiseDim, discriminatorSteps, classes: classes ?? 1 });
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

  /** Steps of the generator so far. */
  get step(): number {
    return this.#p.step;
  }

  /**
   * Trains until the generator has made `steps` steps, counted from the run's beginning. Where `out` is given the run ends
   * with a checkpoint, also when the signal or the consumer of the events ends it; resumed from one it goes on with the
   * bits of an uninterrupted run. Ends sooner where the loader has no more full batch.
   *
   * @param loader pictures in [-1, 1], labels behind them where there are classes
   * @returns the events, one every `logEvery` steps and one at the end
   * @throws (rejects) Error where a loss is not finite (the last checkpoint is from before), or a checkpoint does not fit
   */
  async *fit(
    loader: BatchSource,
    {
      steps,
      logEvery = 100,
      out = null,
      samples = 64,
      checkpointEvery = logEvery,
      resume = false,
      onEvent,
      signal,
    }: GanFitOptions,
  ): AsyncGenerator<GanEvent, void, undefined> {
    const name = "GanTrainer.fit";
    expectWhole(name, { steps, logEvery, checkpointEvery });
    expectWhole(name, { samples }, 0);
    const parts = {
      generatorNetwork: this.generator,
      discriminatorNetwork: this.discriminator,
      generatorOptimizer: this.#generatorOptimizer,
      discriminatorOptimizer: this.#discriminatorOptimizer,
      ema: this.ema,
      loader: partOf(loader),
    };
    const run = await RunFile.open<Progress>(name, { out, resume }, parts, this.#p);
    const p = (this.#p = run.progress);
    this.generator.train();
    this.discriminator.train();
    const discriminatorSteps = this.#runner((batch) => this.#discriminatorStep(batch));
    const generatorSteps = this.#runner((batch) => this.#generatorStep(batch));
    const whole = {
      begin: () => {
        for (const runner of [discriminatorSteps, generatorSteps]) runner.beginEpoch();
      },
      isOver: () => p.step >= steps || signal?.aborted === true,
      takes: ([x]: Batch) => x!.shape[0] === (p.batchSize ||= x!.shape[0]!),
    };
    let seen = 0;
    let since = performance.now();
    try {
      for await (const batch of passes(name, loader, whole)) {
        const [x, labels] = batch as [Tensor, Tensor | undefined];
        seen += p.batchSize;
        run.unsaved = true;
        const given = this.#classes !== null && labels ? [x, labels] : [x];
        p.discriminatorSum += await this.#lossOf("discriminator", discriminatorSteps, [], given);
        p.discriminatorCount++;
        if (++p.used === this.#discriminatorSteps) {
          p.used = 0;
          p.generatorSum += await this.#lossOf("generator", generatorSteps, this.#labels(p.batchSize));
          p.generatorCount++;
          this.ema?.update();
          p.step++;
        }
        release(loader, [batch]);
        const stepped = p.used === 0 && p.generatorCount > 0;
        if (stepped && (p.step % logEvery === 0 || p.step === steps)) {
          const event: GanEvent = {
            step: p.step,
            discriminatorLoss: p.discriminatorSum / p.discriminatorCount,
            generatorLoss: p.generatorSum / p.generatorCount,
            samplesPerSecond: (seen * 1e3) / (performance.now() - since),
            grid: out === null || samples === 0 ? null : await this.#writeGrid(out, samples),
            notice: discriminatorSteps.takeNotice() ?? generatorSteps.takeNotice(),
          };
          [p.discriminatorSum, p.generatorSum, p.discriminatorCount, p.generatorCount] = [0, 0, 0, 0];
          if (p.step % checkpointEvery === 0) await run.save();
          await onEvent?.(event, this);
          yield event;
          this.generator.train();
          [seen, since] = [0, performance.now()];
        } else if (stepped && p.step % checkpointEvery === 0) await run.save();
      }
    } catch (error) {
      run.unsaved = false; // what failed is not saved
      throw error;
    } finally {
      await run.save();
      for (const runner of [discriminatorSteps, generatorSteps]) runner.free();
    }
  }

  /** The loss of a step on noise and what else is drawn for it, which is freed here, and on the loader's tensors. */
  async #lossOf(whose: string, runner: StepRunner<Tensor>, others: Tensor[], given: Tensor[] = []): Promise<number> {
    const drawn = [sampleNoise(this.#p.batchSize, this.#noiseDim), ...others];
    const loss = await runner.step([[...drawn, ...given]]);
    const value = await loss.item();
    for (const t of [loss, ...drawn]) t.free();
    if (!Number.isFinite(value))
      throw new Error(
        `GanTrainer.fit: expected a finite loss, got ${value} for the ${whose} behind step ${this.#p.step}; ` +
          "try a lower learning rate, or spectral normalisation or a penalty on the discriminator",
      );
    return value;
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
    // Noise of its own, the same for each grid: no draw of the training is used up.
    const noise = sampleNoise(count, this.#noiseDim, { generator: new Generator(0) });
    const x = this.sample(count, null, { noise });
    noise.free();
    const path = join(out, `samples-${String(this.step).padStart(6, "0")}.png`);
    await saveImageGrid(path, x);
    x.free();
    return path;
  }
}
