/**
 * GanTrainer: two networks trained against each other in turns.
 */
import { join } from "node:path";
import { expect, show } from "../errors.js";
import { noGrad } from "../graph.js";
import { scope } from "../memory.js";
import { addon } from "../native.js";
import { type Module, ModuleList } from "../nn/index.js";
import { inEval } from "../nn/inEval.js";
import { tensor } from "../ops/create.js";
import { randint } from "../ops/random.js";
import { cat } from "../ops/shape.js";
import { Adam, clipGradNorm, EMA, type Schedule } from "../optim/index.js";
import { Generator } from "../random.js";
import { Tensor } from "../tensor.js";
import { StepRunner } from "./capturing.js";
import { partOf } from "./checkpoint.js";
import { release } from "./evaluate.js";
import { matched, matchingOf } from "./ganFeatures.js";
import { GAN_LOSSES, type GanLoss, gradientPenalty, sampleNoise } from "./ganLosses.js";
import type {
  DiscriminatorNetwork,
  FeatureMatching,
  GanEvent,
  GanFitOptions,
  GanSampleOptions,
  GanTrainerOptions,
  GeneratorNetwork,
} from "./ganOptions.js";
import type { Batch, BatchSource, StepOptimizer } from "./options.js";
import { saveImageGrid } from "./pictures.js";
import { expectWhole, passes, RunFile, Stopwatch, Turns } from "./stepwise.js";

/**
 * Adam as CS231n's GANs use it: lr 1e-3, betas 0.5 and 0.999.
 *
 * @example
 * const optimizer = train.ganOptimizer(new models.GanGenerator({ noiseDim: 4 }));
 */
export const ganOptimizer = (network: Module, { lr = 1e-3 }: { lr?: number } = {}): Adam =>
  new Adam(network.parameters(), { lr, betas: [0.5, 0.999] });

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
  /** In training steps. */
  seconds: number;
  /** Since the last event. */
  windowSeconds: number;
  windowSamples: number;
};

/** A step's loss, and the gradient's norm before clipping. */
type Stepped = [loss: Tensor, norm: Tensor | null];

/** What napier's generators say of themselves. */
function ownOptions(generator: Module): { noiseDim?: number; classes?: number | null } {
  const { options } = generator as { options?: { noiseDim?: number; classes?: number | null } };
  return options?.noiseDim === undefined ? {} : options;
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
 * const pictures = await trainer.sample(2, { seed: 1 }); // [2, 1, 8, 8]
 */
export class GanTrainer {
  /** The running average, where the options ask for one. */
  readonly ema: EMA | null;
  #p: Progress = {
    ...{ step: 0, used: 0, batchSize: 0 },
    ...{ discriminatorSum: 0, discriminatorCount: 0, generatorSum: 0, generatorCount: 0 },
    ...{ seconds: 0, windowSeconds: 0, windowSamples: 0 },
  };
  readonly #loss: GanLoss;
  readonly #noiseDim: number;
  readonly #classes: number | null;
  readonly #discriminatorSteps: number;
  readonly #penalty: number;
  readonly #matching: Required<FeatureMatching> | null;
  readonly #generatorOptimizer: StepOptimizer;
  readonly #discriminatorOptimizer: StepOptimizer;
  readonly #generatorSchedule: Schedule | null;
  readonly #discriminatorSchedule: Schedule | null;
  readonly #clipNorm: number | null;
  readonly #capture: boolean | null;
  /** Steps, and what runs with averaged weights. */
  readonly #turns = new Turns();

  /** Checks the options; nothing is trained before fit(). */
  constructor(
    /** Noise to pictures; trained in place. */
    readonly generator: GeneratorNetwork,
    /** Pictures to scores; trained in place. */
    readonly discriminator: DiscriminatorNetwork,
    {
      loss = "nonsaturating",
      noiseDim = ownOptions(generator).noiseDim ?? 96,
      classes = ownOptions(generator).classes ?? null,
      discriminatorSteps = 1,
      gradientPenalty: penalty = loss === "wasserstein" ? 10 : 0,
      featureMatching = null,
      generatorOptimizer,
      discriminatorOptimizer,
      generatorSchedule = null,
      discriminatorSchedule = null,
      clipNorm = null,
      ema = null,
      capture,
    }: GanTrainerOptions = {},
  ) {
    const name = "GanTrainer";
    if (typeof loss === "string" && !Object.hasOwn(GAN_LOSSES, loss))
      throw new RangeError(`${name}: expected a loss ${Object.keys(GAN_LOSSES).join(", ")}, got "${loss}"`);
    expectWhole(name, { noiseDim, discriminatorSteps, classes: classes ?? 1 });
    for (const [option, n] of Object.entries({ noiseDim, classes })) {
      const own = ownOptions(generator)[option as "noiseDim" | "classes"];
      const which = `${option} to be the generator's, ${own} (leave the trainer's out, or make the generator anew)`;
      expect(own === undefined || n === own, name, which, `${n}`);
    }
    expect(penalty >= 0, name, "a gradientPenalty from 0 up", `${penalty}`);
    expect(clipNorm === null || clipNorm > 0, name, "clipNorm above 0, or null", `${clipNorm}`);
    this.#matching = featureMatching && matchingOf(discriminator, featureMatching);
    this.#loss = typeof loss === "string" ? GAN_LOSSES[loss] : loss;
    this.#noiseDim = noiseDim;
    this.#classes = classes;
    this.#discriminatorSteps = discriminatorSteps;
    this.#penalty = penalty;
    this.#generatorOptimizer = generatorOptimizer ?? ganOptimizer(generator);
    this.#discriminatorOptimizer = discriminatorOptimizer ?? ganOptimizer(discriminator);
    this.#generatorSchedule = generatorSchedule;
    this.#discriminatorSchedule = discriminatorSchedule;
    this.#clipNorm = clipNorm;
    this.#capture = capture ?? null;
    this.ema = ema === null ? null : new EMA(generator, { decay: ema });
  }

  /** Steps of the generator so far. */
  get step(): number {
    return this.#p.step;
  }

  /** Seconds in training steps so far. */
  get seconds(): number {
    return this.#p.seconds;
  }

  /**
   * Trains until the generator has made `steps` steps, counted from the run's beginning. Where `out` is given the run ends
   * with a checkpoint, also when the signal or the consumer of the events ends it; resumed from one it goes on with the
   * bits of an uninterrupted run. Ends sooner, without a further event, where the loader has no
   * more full batch.
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
      sampleEvery = logEvery,
      checkpointEvery = logEvery,
      resume = false,
      onEvent,
      signal,
    }: GanFitOptions,
  ): AsyncGenerator<GanEvent, void, undefined> {
    const name = "GanTrainer.fit";
    expectWhole(name, { steps, logEvery, sampleEvery, checkpointEvery });
    expectWhole(name, { samples }, 0);
    expect(sampleEvery % logEvery === 0, name, `sampleEvery a multiple of logEvery (${logEvery})`, `${sampleEvery}`);
    const parts = {
      generatorNetwork: this.generator,
      discriminatorNetwork: this.discriminator,
      generatorOptimizer: this.#generatorOptimizer,
      discriminatorOptimizer: this.#discriminatorOptimizer,
      generatorSchedule: this.#generatorSchedule,
      discriminatorSchedule: this.#discriminatorSchedule,
      ema: this.ema,
      loader: partOf(loader),
    };
    const run = await RunFile.open<Progress>(name, { out, resume }, parts, this.#p);
    const p = (this.#p = run.progress);
    const discriminatorSteps = this.#runner((batch) => this.#discriminatorStep(batch));
    const generatorSteps = this.#runner((batch) => this.#generatorStep(batch));
    const whole = {
      begin: () => {
        for (const runner of [discriminatorSteps, generatorSteps]) runner.beginEpoch();
      },
      isOver: () => p.step >= steps || signal?.aborted === true,
      takes: ([x]: Batch) => x!.shape[0] === (p.batchSize ||= x!.shape[0]!),
      wanted: () => `batches of ${p.batchSize}`,
    };
    const step = async (batch: Batch) => {
      const [x, labels] = batch as [Tensor, Tensor | undefined];
      const given = this.#classes === null ? [x] : [x, this.#expectLabels(labels, batch)];
      const made = await this.#lossOf("discriminator", discriminatorSteps, [], given);
      p.discriminatorSum += made.loss;
      p.discriminatorCount++;
      if (++p.used < this.#discriminatorSteps) return false;
      p.used = 0;
      const drawn = this.#labels(p.batchSize);
      const makes = await this.#lossOf("generator", generatorSteps, drawn, this.#matching ? given : []);
      p.generatorSum += makes.loss;
      p.generatorCount++;
      norms = [made.norm, makes.norm];
      rates = [this.#discriminatorOptimizer.paramGroups[0]!.lr, this.#generatorOptimizer.paramGroups[0]!.lr];
      this.ema?.update();
      this.#discriminatorSchedule?.step();
      this.#generatorSchedule?.step();
      p.step++;
      return true;
    };
    const clock = new Stopwatch(p);
    let norms: [discriminator: number | null, generator: number | null] = [null, null];
    let rates: [discriminator: number, generator: number] = [0, 0];
    this.generator.train();
    this.discriminator.train();
    clock.start();
    try {
      for await (const batch of passes(name, loader, whole)) {
        p.windowSamples += p.batchSize;
        run.unsaved = true;
        const stepped = await this.#turns.take(name, () => step(batch));
        release(loader, [batch]);
        if (!stepped) continue;
        const ends = whole.isOver();
        let event: GanEvent | null = null;
        if (p.step % logEvery === 0 || ends) {
          clock.stop();
          event = {
            step: p.step,
            discriminatorLoss: p.discriminatorSum / p.discriminatorCount,
            generatorLoss: p.generatorSum / p.generatorCount,
            discriminatorLearningRate: rates[0],
            generatorLearningRate: rates[1],
            discriminatorGradientNorm: norms[0],
            generatorGradientNorm: norms[1],
            samplesPerSecond: p.windowSamples / p.windowSeconds,
            seconds: p.seconds,
            grid: null,
            notice: discriminatorSteps.takeNotice() ?? generatorSteps.takeNotice(),
          };
          if (p.step % logEvery === 0) {
            [p.discriminatorSum, p.generatorSum, p.discriminatorCount, p.generatorCount] = [0, 0, 0, 0];
            [p.windowSamples, p.windowSeconds] = [0, 0];
          }
        }
        if (p.step % checkpointEvery === 0) {
          clock.stop();
          await run.save();
        }
        if (event) {
          if (out !== null && samples > 0 && (p.step % sampleEvery === 0 || ends))
            event.grid = await this.#writeGrid(out, samples);
          await onEvent?.(event, this);
          yield event;
          await this.#turns.take(name, () => void this.generator.train());
        }
        clock.start();
      }
    } catch (error) {
      run.unsaved = false; // what failed is not saved
      throw error;
    } finally {
      clock.stop();
      for (const runner of [discriminatorSteps, generatorSteps]) runner.free();
      await run.save();
    }
  }

  #expectLabels(labels: Tensor | undefined, batch: Batch): Tensor {
    expect(
      labels !== undefined,
      "GanTrainer.fit",
      `batches [pictures, labels], for ${this.#classes} classes (give the loader labels, or networks and trainer no classes)`,
      `${batch.length} field of shape ${show(batch[0]!.shape)}`,
    );
    return labels;
  }

  /** The loss of a step, and its norm, on noise and what else is drawn for it, which is freed here, and on the loader's tensors. */
  async #lossOf(
    whose: string,
    runner: StepRunner<Stepped>,
    others: Tensor[],
    given: Tensor[],
  ): Promise<{ loss: number; norm: number | null }> {
    const drawn = [sampleNoise(this.#p.batchSize, this.#noiseDim), ...others];
    const [value, length] = await runner.step([[...drawn, ...given]]);
    const [loss, norm] = [await value.item(), length === null ? null : await length.item()];
    for (const t of [value, length, ...drawn]) t?.free();
    if (!Number.isFinite(loss))
      throw new Error(
        `GanTrainer.fit: expected a finite loss, got ${loss} for the ${whose} behind step ${this.#p.step}; ` +
          "try a lower learning rate, clipNorm, or spectral normalisation or a penalty on the discriminator",
      );
    return { loss, norm };
  }

  #runner(step: (batch: Batch) => Stepped): StepRunner<Stepped> {
    const when = this.#capture === null ? "alike" : this.#capture ? "always" : "never";
    return new StepRunner(new ModuleList([this.generator, this.discriminator]), when, ([batch]) => step(batch!));
  }

  /** Labels [n] for made pictures, where there are classes. */
  #labels(n: number): Tensor[] {
    return this.#classes === null ? [] : [randint(0, this.#classes, [n], { dtype: "int32" })];
  }

  /** Of noise, true pictures and labels. */
  #discriminatorStep([noise, real, labels]: Batch): Stepped {
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
      const norm = this.#clip(discriminator);
      this.#discriminatorOptimizer.step();
      return [loss.detach(), norm];
    });
  }

  /** Of noise and labels for it; with feature matching of true pictures and their labels, too. */
  #generatorStep([noise, ...others]: Batch): Stepped {
    const [labels = null, real, realLabels = null] = this.#classes === null ? [null, ...others] : others;
    return scope(() => {
      this.#generatorOptimizer.zeroGrad();
      this.#discriminatorOptimizer.zeroGrad();
      const { generator, discriminator } = this;
      const fake = generator.forward(noise!, labels);
      const game = () => this.#loss.generator(discriminator.forward(fake, labels));
      const loss = this.#matching
        ? matched(game, this.#matching, discriminator, [real!, realLabels], [fake, labels])
        : game();
      loss.backward();
      const norm = this.#clip(generator);
      this.#generatorOptimizer.step();
      return [loss.detach(), norm];
    });
  }

  /** The norm of the network's gradient before clipping; null where it is not clipped. */
  #clip(network: Module): Tensor | null {
    return this.#clipNorm === null ? null : clipGradNorm(network.parameters(), this.#clipNorm);
  }

  /**
   * Runs `fn` while the generator is in eval mode and holds the averaged weights (its own without EMA), as for saving them:
   * `trainer.averaged((generator) => io.save(path, generator.stateDict()))`.
   */
  async averaged<T>(fn: (generator: GeneratorNetwork) => Promise<T>): Promise<T> {
    const { generator, ema } = this;
    const averages = async () => {
      ema?.apply();
      try {
        return await fn(generator);
      } finally {
        ema?.restore();
      }
    };
    return this.#turns.take("GanTrainer.averaged", () => inEval(generator, averages));
  }

  /**
   * Pictures [n, ...] by the generator in eval mode, with its averaged weights where there are any. Resolves when they are
   * computed.
   *
   * @throws (rejects) ShapeError for noise or labels that are not n, or labels out of range
   */
  async sample(
    n: number,
    { labels = null, noise, seed = null, batchSize = 64, signal }: GanSampleOptions = {},
  ): Promise<Tensor> {
    const name = "GanTrainer.sample";
    expectWhole(name, { n, batchSize });
    const dim = this.#noiseDim;
    if (noise) expect(show(noise.shape) === show([n, dim]), name, `noise [${n},${dim}]`, show(noise.shape));
    expect(!noise || seed === null, name, "noise or a seed", "both");
    const told = this.#labelsOf(name, n, labels);
    const z = noise ?? scope(() => sampleNoise(n, dim, seed === null ? {} : { generator: new Generator(seed) }));
    const parts: Tensor[] = [];
    try {
      await this.averaged(async (generator) => {
        for (let from = 0; from < n; from += batchSize) {
          signal?.throwIfAborted();
          const range = [from, Math.min(n, from + batchSize)] as const;
          parts.push(scope(() => noGrad(() => generator.forward(z.slice(range), told?.slice(range) ?? null))));
          await addon.settled();
        }
      });
      return parts.length === 1 ? parts.pop()! : noGrad(() => cat(parts));
    } finally {
      for (const part of parts) part.free();
      if (z !== noise) z.free();
      if (told !== labels) told?.free();
    }
  }

  /** Labels [n] as sample() was given them, or in turn. */
  #labelsOf(name: string, n: number, labels: readonly number[] | Tensor | null): Tensor | null {
    const classes = this.#classes;
    if (labels instanceof Tensor) {
      expect(show(labels.shape) === show([n]), name, `labels [${n}]`, show(labels.shape));
      return labels;
    }
    const given = labels ?? (classes === null ? null : Array.from({ length: n }, (_, i) => i % classes));
    if (given === null) return null;
    expect(given.length === n, name, `${n} labels`, `${given.length}`);
    const below = classes ?? 2 ** 31;
    const wrong = given.find((label) => !Number.isSafeInteger(label) || label < 0 || label >= below);
    expect(wrong === undefined, name, `labels from 0 to ${below - 1}`, `${wrong}`);
    return tensor(Int32Array.from(given));
  }

  async #writeGrid(out: string, count: number): Promise<string> {
    const x = await this.sample(count, { seed: 0 }); // the same for each grid, and no draw of the training is used up
    const path = join(out, `samples-${String(this.step).padStart(6, "0")}.png`);
    await saveImageGrid(path, x);
    x.free();
    return path;
  }
}
