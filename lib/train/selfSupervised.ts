/**
 * SelfSupervisedTrainer: what learns from pictures without labels, several random views of each at a time.
 *
 *     loader: view 0, view 1, ... (data.Views) -> model.loss(views) -> backward -> clip -> AdamW -> model.update()
 *     rate: rises by a line over `warmup` steps, falls by a cosine; weight decay may follow another cosine
 *
 * Steps are captured (capturing.ts): recorded once, then replayed natively. No step waits for a number; losses add up on
 * the device and are read at events.
 */
import { expect } from "../errors.js";
import { noGrad } from "../graph.js";
import { scope, unscoped } from "../memory.js";
import { pacer } from "../native.js";
import { add_, copy_, zero_, zeros } from "../ops/index.js";
import { AdamW, clipGradNorm } from "../optim/index.js";
import type { Tensor } from "../tensor.js";
import { StepRunner } from "./capturing.js";
import { partOf } from "./checkpoint.js";
import { release } from "./evaluate.js";
import type { Batch, BatchSource, StepOptimizer } from "./options.js";
import type {
  SelfSupervisedEvent,
  SelfSupervisedFitOptions,
  SelfSupervisedModel,
  SelfSupervisedOptions,
} from "./selfSupervisedOptions.js";
import { expectWhole, passes, RunFile, Stopwatch } from "./stepwise.js";

/** Where a run stands, at the end of a step. */
interface Progress {
  step: number;
  seconds: number;
  /** Since the last multiple of logEvery. */
  windowSeconds: number;
  windowSteps: number;
  /** Pictures of a full batch; 0 before the first. */
  batchSize: number;
  history: SelfSupervisedEvent<object>[];
}

const cosine = (from: number, to: number, share: number): number =>
  to + ((from - to) * (1 + Math.cos(Math.PI * Math.min(1, share)))) / 2;

/**
 * Trains on views without labels. Batches smaller than the first are left out: their losses would mean something else.
 *
 * @throws ShapeError for options out of range
 * @example
 * const model = new models.SimCLR(new nn.Sequential(new nn.Flatten(), new nn.Linear(192, 16)), { features: 16, dim: 8 });
 * const augment = data.simclrAugment(8);
 * const pictures = new data.TensorDataset([zeros([16, 3, 12, 12], { dtype: "uint8" })]);
 * const loader = new data.DataLoader(pictures, { batchSize: 8, mix: new data.Views([augment, augment]) });
 * const trainer = new train.SelfSupervisedTrainer(model);
 * for await (const event of trainer.fit(loader, { steps: 2, logEvery: 1 })) console.log(event.loss);
 */
export class SelfSupervisedTrainer {
  /** Changes the model's parameters. */
  readonly optimizer: StepOptimizer;
  readonly #options: Required<Omit<SelfSupervisedOptions, "optimizer" | "capture">>;
  readonly #learned: readonly Tensor[];
  /** lr and weightDecay of each group at the beginning. */
  readonly #base: readonly { lr: number; weightDecay: number }[];
  readonly #steps: StepRunner<null>;
  /** Of the losses since the last multiple of logEvery, []. */
  readonly #sum: Tensor;
  #p: Progress = { step: 0, seconds: 0, windowSeconds: 0, windowSteps: 0, batchSize: 0, history: [] };

  /** Checks the options; nothing is trained before fit(). */
  constructor(
    /** Trained in place. */
    readonly model: SelfSupervisedModel,
    {
      optimizer,
      warmup = 0,
      finalRate = 0,
      finalWeightDecay = null,
      clipNorm = null,
      capture = true,
    }: SelfSupervisedOptions = {},
  ) {
    const name = "SelfSupervisedTrainer";
    expectWhole(name, { warmup }, 0);
    expect(finalRate >= 0 && finalRate <= 1, name, "a finalRate from 0 to 1", `${finalRate}`);
    expect(clipNorm === null || clipNorm > 0, name, "a clipNorm above 0", `${clipNorm}`);
    this.#learned = model.parameters().filter((p) => p.requiresGrad);
    this.optimizer = optimizer ?? new AdamW(this.#learned, { lr: 1e-3, weightDecay: 1e-6 });
    this.#options = { warmup, finalRate, finalWeightDecay, clipNorm };
    this.#base = this.optimizer.paramGroups.map((group) => ({
      lr: group.lr,
      weightDecay: (group as { weightDecay?: number }).weightDecay ?? 0,
    }));
    this.#steps = new StepRunner(model, capture ? "alike" : "never", ([views]) => this.#step(views!));
    this.#sum = unscoped(() => zeros([], { dtype: "float64" }));
  }

  /** Steps so far. */
  get step(): number {
    return this.#p.step;
  }

  /** Seconds of training so far, without what `evaluate`, checkpoints and consumers of events took. */
  get seconds(): number {
    return this.#p.seconds;
  }

  /** All events so far, those before a resumed checkpoint, too; none of those that only a signal made. */
  get history(): readonly SelfSupervisedEvent<object>[] {
    return this.#p.history;
  }

  /**
   * Trains until `steps` steps are done, counted from the run's beginning. Where `out` is given the run ends with a
   * checkpoint, also when the signal or the consumer of the events ends it; resumed from one it goes on with the bits of an
   * uninterrupted run.
   *
   * @param loader batches of views; fields with one dimension, such as labels, are left aside
   * @returns the events, one every `logEvery` steps and one at the end
   * @throws (rejects) Error where the loss is not finite (the last checkpoint is from before), the loader has no full batch,
   * or a checkpoint does not fit
   */
  async *fit<S extends object = Record<string, number>>(
    loader: BatchSource,
    {
      steps,
      logEvery = 100,
      evaluate = null,
      evaluateEvery = null,
      out = null,
      checkpointEvery = logEvery,
      resume = false,
      onEvent,
      signal,
    }: SelfSupervisedFitOptions<S>,
  ): AsyncGenerator<SelfSupervisedEvent<S>, void, undefined> {
    const name = "SelfSupervisedTrainer.fit";
    expectWhole(name, { steps, logEvery, evaluateEvery: evaluateEvery ?? logEvery, checkpointEvery });
    const between = evaluateEvery === null || evaluateEvery % logEvery === 0;
    expect(between, name, `evaluateEvery to be a multiple of logEvery ${logEvery}`, `${evaluateEvery}`);
    const window = {
      stateDict: () => ({ sum: this.#sum }),
      loadStateDict: ({ sum }: { sum: Tensor }) => void noGrad(() => copy_(this.#sum, sum)),
    };
    const parts = { model: this.model, optimizer: this.optimizer, window, loader: partOf(loader) };
    const run = await RunFile.open<Progress>(name, { out, resume }, parts, this.#p, () => this.#meanLoss());
    const p = (this.#p = run.progress);
    const isOver = () => p.step >= steps || signal?.aborted === true;
    const full = {
      begin: () => this.#steps.beginEpoch(),
      isOver,
      takes: ([x]: Batch) => x!.shape[0] === (p.batchSize ||= x!.shape[0]!),
      wanted: () => `batches of ${p.batchSize}`,
    };
    const pace = pacer();
    const clock = new Stopwatch(p);
    this.model.train();
    clock.start();
    try {
      for await (const batch of passes(name, loader, full)) {
        this.#schedule(steps);
        await this.#steps.step([batch.filter((field) => field.ndim > 1)]);
        [p.step, p.windowSteps] = [p.step + 1, p.windowSteps + 1];
        run.unsaved = true;
        release(loader, [batch]);
        await pace();
        const [last, logs] = [p.step === steps, p.step % logEvery === 0];
        let event: SelfSupervisedEvent<S> | null = null;
        if (logs || isOver()) {
          const loss = await this.#meanLoss();
          clock.stop();
          const due = evaluate !== null && (last || (evaluateEvery !== null && p.step % evaluateEvery === 0));
          event = {
            step: p.step,
            loss,
            lr: this.optimizer.paramGroups[0]!.lr,
            samplesPerSecond: (p.windowSteps * p.batchSize) / p.windowSeconds,
            scores: due ? await evaluate(this.model) : null,
            notice: this.#steps.takeNotice(),
          };
          if (logs || last) p.history.push(event);
          if (logs) {
            noGrad(() => zero_(this.#sum));
            [p.windowSteps, p.windowSeconds] = [0, 0];
          }
        }
        if (p.step % checkpointEvery === 0) {
          clock.stop();
          await run.save();
        }
        if (event) {
          await onEvent?.(event, this);
          yield event;
          this.model.train();
        }
        clock.start();
      }
    } catch (error) {
      run.unsaved = false; // what failed is not saved
      throw error;
    } finally {
      clock.stop();
      this.#steps.free();
      await run.save();
    }
  }

  /** One training step on views. May be captured. */
  #step(views: Batch): null {
    return scope(() => {
      this.optimizer.zeroGrad();
      const loss = this.model.loss(views);
      loss.backward();
      noGrad(() => add_(this.#sum, loss.detach().to("float64")));
      if (this.#options.clipNorm !== null) clipGradNorm(this.#learned, this.#options.clipNorm);
      this.optimizer.step();
      this.model.update?.();
      return null;
    });
  }

  /** Of the steps since the last multiple of logEvery; rejects where it is not finite. */
  async #meanLoss(): Promise<number> {
    const { step, windowSteps } = this.#p;
    const loss = windowSteps === 0 ? 0 : (await this.#sum.item()) / windowSteps;
    if (Number.isFinite(loss)) return loss;
    throw new Error(
      `SelfSupervisedTrainer.fit: expected a finite loss, got ${loss} in the ${windowSteps} steps up to ${step}; ` +
        "try a lower lr, or clipNorm",
    );
  }

  /** Rates, weight decay and the model's own numbers for the next step. */
  #schedule(steps: number): void {
    const { warmup, finalRate, finalWeightDecay } = this.#options;
    const { step } = this.#p;
    const progress = step / steps;
    const rate =
      step < warmup ? (step + 1) / warmup : cosine(1, finalRate, (step - warmup) / Math.max(1, steps - warmup));
    this.optimizer.paramGroups.forEach((group, g) => {
      const { lr, weightDecay } = this.#base[g]!;
      group.lr = lr * rate;
      if (finalWeightDecay !== null && weightDecay > 0)
        (group as { weightDecay?: number }).weightDecay = cosine(weightDecay, finalWeightDecay, progress);
    });
    this.model.schedule?.(progress);
  }
}
