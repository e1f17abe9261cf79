/**
 * DiffusionTrainer: a network learns to undo the noise of a diffusion process (Ho et al. 2020), of pictures, latents or
 * anything else of one shape; with conditions (labels, embeddings) dropped at times, so that samples can be guided by them
 * (Ho & Salimans 2022).
 *
 *     batch [x, condition] -> encode -> x_t at drawn times -> network(x_t, t, condition) -> weighted error -> optimizer -> EMA
 *     noise -> sampler with the averaged weights, guidance -> decode -> pictures
 *
 * Steps are captured (capturing.ts): recorded once, then replayed natively; so is the network where samples are drawn. No
 * step waits for a number; losses add up on the device by time and are read at events.
 */

import { join } from "node:path";
import type { GaussianDiffusion } from "../diffusion/process.js";
import { defaultSteps } from "../diffusion/samplers.js";
import { expect, show } from "../errors.js";
import { noGrad } from "../graph.js";
import { scope } from "../memory.js";
import { addon, breathe, pacer } from "../native.js";
import { inEval } from "../nn/inEval.js";
import { greaterEqual, where } from "../ops/arithmetic.js";
import { full, tensor } from "../ops/create.js";
import { rand } from "../ops/random.js";
import { cat } from "../ops/shape.js";
import { Adam, clipGradNorm, EMA, LambdaLR, type Schedule } from "../optim/index.js";
import { Generator } from "../random.js";
import type { Tensor } from "../tensor.js";
import { StepRunner } from "./capturing.js";
import { partOf } from "./checkpoint.js";
import type {
  DiffusionEvaluation,
  DiffusionEvent,
  DiffusionFitOptions,
  DiffusionNetwork,
  DiffusionSampleOptions,
  DiffusionTrainerOptions,
} from "./diffusionOptions.js";
import { release } from "./evaluate.js";
import type { Batch, BatchSource, StepOptimizer } from "./options.js";
import { saveImageGrid } from "./pictures.js";
import { expectWhole, passes, RunFile, Stopwatch, Turns } from "./stepwise.js";
import { meanOf, type TimeBin, TimeBins } from "./timeBins.js";

const FEW = 10; // sampling steps: fewer do not win back what recording the network takes

/** Where a run stands, at the end of a step. */
interface Progress {
  step: number;
  seconds: number;
  /** Since the last multiple of logEvery. */
  windowSeconds: number;
  windowSamples: number;
  shape: readonly number[] | null;
}

/**
 * Trains a network on a diffusion process. The network is trained in place; samples come from the running average of its
 * weights.
 *
 * @throws ShapeError for options out of range
 * @example
 * const network = new models.UNet({ dim: 8, channels: 1, dimMults: [1, 2], classes: 2 });
 * const process = new diffusion.GaussianDiffusion({ timesteps: 100, objective: "v", minSnr: 5 });
 * const trainer = new train.DiffusionTrainer(network, process, { classes: 2, warmup: 1 });
 * const set = new data.TensorDataset([zeros([8, 1, 8, 8]), tensor([0, 1, 0, 1, 0, 1, 0, 1], { dtype: "int32" })]);
 * const loader = new data.DataLoader(set, { batchSize: 4, shuffle: true });
 * for await (const event of trainer.fit(loader, { steps: 2, logEvery: 1 })) console.log(event.loss, event.lossByTime);
 * const pictures = await trainer.sample(2, { labels: [0, 1], steps: 2, guidance: 3, seed: 1 });
 */
export class DiffusionTrainer {
  /** The running average, unless the options ask for none. */
  readonly ema: EMA | null;
  /** Makes the steps. */
  readonly optimizer: StepOptimizer;
  readonly #schedule: Schedule | null;
  readonly #clipNorm: number | null;
  readonly #condition: DiffusionTrainerOptions["condition"];
  readonly #classes: number | null;
  readonly #conditionDropout: number;
  readonly #noCondition: number;
  readonly #encode: ((x: Tensor) => Tensor) | null;
  readonly #decode: ((z: Tensor) => Tensor) | null;
  readonly #clip: boolean;
  readonly #bins: number;
  readonly #window: TimeBins;
  readonly #steps: StepRunner<Tensor | null>;
  /** Steps, and what runs with averaged weights. */
  readonly #turns = new Turns();
  readonly #capture: boolean;
  #p: Progress;

  /** Checks the options; nothing is trained before fit(). */
  constructor(
    /** Predicts; trained in place. */
    readonly network: DiffusionNetwork,
    /** Timesteps, objective and weights of the loss. */
    readonly process: GaussianDiffusion,
    {
      optimizer = new Adam(network.parameters(), { lr: 3e-4, betas: [0.9, 0.99] }),
      schedule = null,
      warmup = 0,
      clipNorm = 1,
      ema = 0.999,
      condition,
      classes = null,
      conditionDropout = 0,
      noCondition = classes ?? 0,
      encode,
      decode,
      clip = decode === undefined,
      shape = null,
      bins = 10,
      capture = true,
    }: DiffusionTrainerOptions = {},
  ) {
    const name = "DiffusionTrainer";
    expectWhole(name, { classes: classes ?? 1, bins });
    expectWhole(name, { warmup }, 0);
    expect(clipNorm === null || clipNorm > 0, name, "clipNorm above 0, or null", `${clipNorm}`);
    expect(
      conditionDropout >= 0 && conditionDropout < 1,
      name,
      "conditionDropout from 0 to below 1",
      `${conditionDropout}`,
    );
    expect(bins <= process.timesteps, name, `bins up to the ${process.timesteps} timesteps`, `${bins}`);
    expect(
      schedule === null || warmup === 0,
      name,
      "a schedule or warmup; make the schedule optim.LinearWarmup(schedule, { steps })",
      "both",
    );
    this.optimizer = optimizer;
    this.#schedule = warmup > 0 ? new LambdaLR(optimizer, (t) => Math.min(1, (t + 1) / warmup)) : schedule;
    this.#clipNorm = clipNorm;
    this.ema = typeof ema === "number" ? new EMA(network, { decay: ema, warmup: true }) : ema;
    this.#condition = condition;
    this.#classes = classes;
    this.#conditionDropout = conditionDropout;
    this.#noCondition = noCondition;
    [this.#encode, this.#decode] = [encode ?? null, decode ?? null];
    this.#clip = clip;
    this.#bins = bins;
    this.#window = new TimeBins(process.timesteps, bins);
    this.#capture = capture;
    this.#steps = new StepRunner(network, capture ? "alike" : "never", ([batch]) => this.#step(batch!));
    this.#p = { step: 0, seconds: 0, windowSeconds: 0, windowSamples: 0, shape };
  }

  /** Steps so far. */
  get step(): number {
    return this.#p.step;
  }

  /** Seconds in training steps so far. */
  get seconds(): number {
    return this.#p.seconds;
  }

  /**
   * Trains until `steps` steps are made, counted from the run's beginning. Where `out` is given the run ends with a
   * checkpoint, also when the signal or the consumer of the events ends it; resumed from one it goes on with the bits of an
   * uninterrupted run. Ends sooner, without a further event, where the loader has no more batches.
   *
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
      sampling = {},
      checkpointEvery = logEvery,
      resume = false,
      onEvent,
      signal,
    }: DiffusionFitOptions,
  ): AsyncGenerator<DiffusionEvent, void, undefined> {
    const name = "DiffusionTrainer.fit";
    expectWhole(name, { steps, logEvery, sampleEvery, checkpointEvery });
    expectWhole(name, { samples }, 0);
    expect(sampleEvery % logEvery === 0, name, `sampleEvery a multiple of logEvery (${logEvery})`, `${sampleEvery}`);
    const parts = {
      model: this.network,
      optimizer: this.optimizer,
      schedule: this.#schedule,
      ema: this.ema,
      window: this.#window,
      loader: partOf(loader),
    };
    const check = async () => this.#expectFinite(await this.#window.read());
    const run = await RunFile.open<Progress>(name, { out, resume }, parts, this.#p, check);
    const p = (this.#p = run.progress);
    const isOver = () => p.step >= steps || signal?.aborted === true;
    const pace = pacer();
    const clock = new Stopwatch(p);
    let norm: Tensor | null = null;
    this.network.train();
    clock.start();
    try {
      for await (const batch of passes(name, loader, { begin: () => this.#steps.beginEpoch(), isOver })) {
        const learningRate = this.optimizer.paramGroups[0]!.lr;
        norm?.free();
        norm = await this.#turns.take(name, async () => {
          const norm = await this.#steps.step([batch]);
          this.ema?.update();
          this.#schedule?.step();
          return norm;
        });
        p.step++;
        p.windowSamples += batch[0]!.shape[0]!;
        run.unsaved = true;
        release(loader, [batch]);
        await pace();
        const ends = isOver();
        let event: DiffusionEvent | null = null;
        if (p.step % logEvery === 0 || ends) {
          const bins = await this.#window.read();
          clock.stop();
          this.#expectFinite(bins);
          const loss = meanOf(bins);
          event = {
            step: p.step,
            loss,
            lossByTime: bins,
            learningRate,
            gradientNorm: norm === null ? null : await norm.item(),
            samplesPerSecond: p.windowSamples / p.windowSeconds,
            seconds: p.seconds,
            grid: null,
            notice: this.#steps.takeNotice(),
          };
          if (p.step % logEvery === 0) {
            this.#window.clear();
            [p.windowSamples, p.windowSeconds] = [0, 0];
          }
        }
        if (p.step % checkpointEvery === 0) {
          clock.stop();
          await run.save();
        }
        if (event) {
          if (out !== null && samples > 0 && (p.step % sampleEvery === 0 || ends))
            event.grid = await this.#writeGrid(out, samples, sampling);
          await onEvent?.(event, this);
          yield event;
          await this.#turns.take(name, () => void this.network.train());
        }
        clock.start();
      }
    } catch (error) {
      run.unsaved = false; // what failed is not saved
      throw error;
    } finally {
      norm?.free();
      clock.stop();
      this.#steps.free();
      await run.save();
    }
  }

  /** One training step; its gradient's norm. May be captured. */
  #step([x, ...fields]: Batch): Tensor | null {
    const { network, process, optimizer } = this;
    return scope(() => {
      optimizer.zeroGrad();
      const [z, condition] = noGrad(() => [this.#encoded(x!), this.#drop(this.#conditionOf(fields))] as const);
      const { losses, t } = process.losses((x, t, c) => network.forward(x, t, c), z, { condition });
      losses.mean().backward();
      this.#window.add(losses, t);
      const norm = this.#clipNorm === null ? null : clipGradNorm(network.parameters(), this.#clipNorm);
      optimizer.step();
      return norm;
    });
  }

  #encoded(x: Tensor): Tensor {
    const z = this.#encode ? this.#encode(x) : x;
    this.#p.shape ??= z.shape.slice(1);
    expect(
      show(z.shape.slice(1)) === show(this.#p.shape),
      "DiffusionTrainer",
      `x of shape [n,${this.#p.shape}]`,
      show(z.shape),
    );
    return z;
  }

  #conditionOf(fields: readonly Tensor[]): Tensor | null {
    if (this.#condition === null || fields.length === 0) return null;
    const condition = this.#condition ? this.#condition(...fields) : fields[0]!;
    return this.#classes === null ? condition : condition.to("int32");
  }

  #drop(condition: Tensor | null): Tensor | null {
    if (condition === null || this.#conditionDropout === 0) return condition;
    const { shape, dtype } = condition;
    const kept = greaterEqual(rand([shape[0]!, ...shape.slice(1).map(() => 1)]), this.#conditionDropout);
    return where(kept, condition, full(shape, this.#noCondition, { dtype }));
  }

  /**
   * Runs `fn` while the network is in eval mode and holds the averaged weights (its own without EMA), as for samplers with
   * inpainting: `trainer.averaged((network) => process.sample(...))`. Steps and other such calls wait for it, as it does for
   * them.
   */
  async averaged<T>(fn: (network: DiffusionNetwork) => Promise<T>): Promise<T> {
    const { network, ema } = this;
    const averages = async () => {
      ema?.apply();
      try {
        return await fn(network);
      } finally {
        ema?.restore();
      }
    };
    return this.#turns.take("DiffusionTrainer.averaged", () => inEval(network, averages));
  }

  /**
   * Samples [n, ...], decoded, by the averaged weights. Resolves when they are computed. The network is captured for the
   * time of the call, unless the trainer's `capture` is false, the steps are few, or the network cannot be: the same bits.
   *
   * @throws (rejects) ShapeError for labels or a condition that are not n, or labels out of range; Error before the shape of x is known
   */
  async sample(
    n: number,
    {
      labels = null,
      condition = null,
      sampler,
      steps,
      guidance,
      eta,
      seed = null,
      batchSize = 64,
      signal,
    }: DiffusionSampleOptions = {},
  ): Promise<Tensor> {
    const name = "DiffusionTrainer.sample";
    expectWhole(name, { n, batchSize });
    const { shape } = this.#p;
    if (shape === null)
      throw new Error(
        `${name}: the shape of a sample is not known before the first step; pass { shape } to the trainer`,
      );
    const classes = this.#classes;
    const given =
      labels ?? (classes !== null && condition === null ? Array.from({ length: n }, (_, i) => i % classes) : null);
    expect(given === null || condition === null, name, "labels or a condition", "both");
    expect(given === null || given.length === n, name, `${n} labels`, `${given?.length}`);
    const wrong = given?.find((label) => !Number.isSafeInteger(label) || label < 0 || label >= (classes ?? 2 ** 31));
    expect(wrong === undefined, name, `labels from 0 to ${(classes ?? 2 ** 31) - 1}`, `${wrong}`);
    expect(
      condition === null || condition.shape[0] === n,
      name,
      `a condition [${n},...]`,
      show(condition?.shape ?? []),
    );
    const generator = seed === null ? undefined : new Generator(seed);
    const told = given === null ? condition : tensor(Int32Array.from(given));
    const parts: Tensor[] = [];
    const captures = this.#capture && (steps ?? defaultSteps(sampler ?? "ddim", this.process.timesteps)) >= FEW;
    const { network } = this;
    const runner = new StepRunner(
      network,
      captures ? "alike" : "never",
      ([[x, t, c]]) => scope(() => noGrad(() => network.forward(x!, t!, c ?? null))),
      { alike: 2, tidy: true },
    );
    const denoise = (x: Tensor, t: Tensor, c: Tensor | null) => runner.step([c ? [x, t, c] : [x, t]]);
    try {
      await this.averaged(async () => {
        for (let from = 0; from < n; from += batchSize) {
          signal?.throwIfAborted();
          const to = Math.min(n, from + batchSize);
          const part = noGrad(() => told?.slice([from, to]) ?? null);
          const options = { sampler, steps, guidance, eta, clip: this.#clip, condition: part, generator };
          const z = await this.process.sample(denoise, [to - from, ...shape], options);
          part?.free();
          const decode = this.#decode;
          const x = decode ? scope(() => noGrad(() => decode(z))) : z;
          parts.push(x);
          if (x !== z) z.free();
          await addon.settled();
        }
      });
      return parts.length === 1 ? parts.pop()! : noGrad(() => cat(parts));
    } finally {
      runner.free();
      for (const part of parts) part.free();
      if (given !== null) told?.free();
    }
  }

  /**
   * The losses of a loader's batches by time, by the averaged weights; each picture at one drawn time.
   *
   * @param options seed: of times and noise, default 0; bins: even parts of the times, default the trainer's
   */
  async evaluate(
    loader: AsyncIterable<readonly Tensor[]>,
    { seed = 0, bins = this.#bins }: { seed?: number; bins?: number } = {},
  ): Promise<DiffusionEvaluation> {
    expectWhole("DiffusionTrainer.evaluate", { bins });
    const totals = new TimeBins(this.process.timesteps, bins);
    const generator = new Generator(seed);
    try {
      await this.averaged(async (network) => {
        for await (const batch of loader) {
          const [x, ...fields] = batch;
          scope(() =>
            noGrad(() => {
              const options = { condition: this.#conditionOf(fields), generator };
              const { losses, t } = this.process.losses(
                (x, t, c) => network.forward(x, t, c),
                this.#encoded(x!),
                options,
              );
              totals.add(losses, t);
            }),
          );
          release(loader, [batch]);
          await addon.settled();
          await breathe();
        }
      });
      const lossByTime = await totals.read();
      return { loss: meanOf(lossByTime), lossByTime };
    } finally {
      totals.free();
    }
  }

  #expectFinite(bins: readonly TimeBin[]): void {
    if (bins.every((b) => b.loss === null || Number.isFinite(b.loss))) return;
    throw new Error(
      `DiffusionTrainer.fit: expected finite losses, got ${meanOf(bins)} within the steps up to ${this.#p.step}; ` +
        "try a lower learning rate, warmup, or clipNorm",
    );
  }

  async #writeGrid(out: string, count: number, options: DiffusionSampleOptions): Promise<string> {
    const x = await this.sample(count, { ...options, seed: options.seed ?? 0 }); // no draw of the training is used up
    const path = join(out, `samples-${String(this.step).padStart(6, "0")}.png`);
    await saveImageGrid(path, x);
    x.free();
    return path;
  }
}
