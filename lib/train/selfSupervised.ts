/**
 * SelfSupervisedTrainer: what learns from pictures without labels, several random views of each at a time.
 *
 *     loader: view 0, view 1, ... (data.Views) -> model.loss(views) -> backward -> clip -> AdamW -> model.update()
 *     rate: rises by a line over `warmup` steps, falls by a cosine; weight decay may follow another cosine
 */
import { existsSync } from "node:fs";
import { capture } from "../capture.js";
import { expect } from "../errors.js";
import { noGrad } from "../graph.js";
import { unscoped } from "../memory.js";
import type { StateDict } from "../nn/index.js";
import { add_, zero_, zeros } from "../ops/index.js";
import { AdamW, clipGradNorm } from "../optim/index.js";
import { defaultGenerator } from "../random.js";
import type { Tensor } from "../tensor.js";
import { loadState, saveState } from "./checkpoint.js";
import type { StepOptimizer } from "./options.js";
import type { FeatureModel } from "./probes.js";

/** What SelfSupervisedTrainer trains: models.SimCLR, models.DINO, or a model of one's own. */
export type SelfSupervisedModel = FeatureModel & {
  /** The loss of views [n, c, h, w] of n pictures; reads no values. */
  loss(views: readonly Tensor[]): Tensor;
  /** Called before each step with the share of the training, 0 to 1, that is done. */
  schedule?(progress: number): void;
  /** Called at the end of each step, behind the optimizer's. */
  update?(): void;
};

/** Options of SelfSupervisedTrainer. */
export interface SelfSupervisedOptions {
  /** Its `lr` is the highest. Default AdamW of what the model learns: lr 1e-3, weightDecay 1e-6. */
  optimizer?: StepOptimizer;
  /** Steps over which the rate rises to `lr`. Default 0. */
  warmup?: number;
  /** Share of `lr` at which the cosine ends. Default 0. */
  finalRate?: number;
  /** Where the weight decay of groups that have one ends, by a cosine. Default null: it stays. */
  finalWeightDecay?: number | null;
  /** Longest gradient. Default null: any. */
  clipNorm?: number | null;
  /** Whether steps are captured. Default true. */
  capture?: boolean;
}

/** Options of SelfSupervisedTrainer.fit(). */
export interface SelfSupervisedFitOptions<S extends object = Record<string, number>> {
  /** Steps of the whole training: what schedules go by. */
  steps: number;
  /** Steps between events. Default 100. */
  logEvery?: number;
  /** Measures the model at the last event, and at others by `evaluateEvery`: train.probe(), for example. Default: nothing. */
  evaluate?: ((model: SelfSupervisedModel) => Promise<S>) | null;
  /** Steps between evaluations, a multiple of logEvery. Default: only at the end. */
  evaluateEvery?: number | null;
  /** File that is written at each event, in one step. Default: none. */
  checkpoint?: string | null;
  /** Goes on from `checkpoint` where it is there. Default false. */
  resume?: boolean;
  /** Called and awaited at each event, with the trainer. */
  onEvent?: (event: SelfSupervisedEvent<S>, trainer: SelfSupervisedTrainer) => void | Promise<void>;
  /** Ends the run after its current step; nothing more is measured or saved. */
  signal?: AbortSignal;
}

/** What fit() tells. */
export interface SelfSupervisedEvent<S extends object = Record<string, number>> {
  /** From 1. */
  step: number;
  /** Mean since the last event. */
  loss: number;
  /** Of the last step, of the first group. */
  lr: number;
  /** Pictures a second, each with all its views. */
  samplesPerSecond: number;
  /** What `evaluate` gave; null at events without. */
  scores: S | null;
}

/** Batches of views; fields with one dimension, such as labels, are left aside. */
type ViewSource = AsyncIterable<readonly Tensor[]> & {
  /** Where the batches stand, where they can tell. */
  stateDict?(): unknown;
  /** Goes on from there. */
  loadStateDict?(state: never): void;
};

const cosine = (from: number, to: number, share: number): number =>
  to + ((from - to) * (1 + Math.cos(Math.PI * Math.min(1, share)))) / 2;

/**
 * Trains on views without labels. Batches smaller than the first are left out: their losses would mean something else.
 *
 * @example
 * const model = new models.SimCLR(new nn.Sequential(new nn.Flatten(), new nn.Linear(192, 16)), { features: 16, dim: 8 });
 * const augment = data.simclrAugment(8);
 * const pictures = new data.TensorDataset([zeros([16, 3, 12, 12], { dtype: "uint8" })]);
 * const loader = new data.DataLoader(pictures, { batchSize: 8, mix: new data.Views([augment, augment]) });
 * const trainer = new train.SelfSupervisedTrainer(model);
 * for await (const event of trainer.fit(loader, { steps: 2, logEvery: 1 })) console.log(event.loss);
 */
export class SelfSupervisedTrainer {
  /** Steps so far. */
  step = 0;
  /** Seconds of training so far, without what `evaluate`, checkpoints and consumers of events took. */
  seconds = 0;
  /** All events so far, those before a resumed checkpoint, too. */
  history: SelfSupervisedEvent<object>[] = [];
  /** Changes the model's parameters. */
  readonly optimizer: StepOptimizer;
  /** Pictures of a full batch; 0 before the first. */
  #batchSize = 0;
  readonly #options: Required<Omit<SelfSupervisedOptions, "optimizer">>;
  /** lr and weightDecay of each group at the beginning. */
  readonly #base: readonly { lr: number; weightDecay: number }[];
  readonly #run: (...views: Tensor[]) => Promise<Tensor>;

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
      capture: captured = true,
    }: SelfSupervisedOptions = {},
  ) {
    const op = "SelfSupervisedTrainer";
    expect(Number.isSafeInteger(warmup) && warmup >= 0, op, "warmup to be a whole number from 0 up", `${warmup}`);
    expect(finalRate >= 0 && finalRate <= 1, op, "a finalRate from 0 to 1", `${finalRate}`);
    expect(clipNorm === null || clipNorm > 0, op, "a clipNorm above 0", `${clipNorm}`);
    const learned = model.parameters().filter((p) => p.requiresGrad);
    this.optimizer = optimizer ?? new AdamW(learned, { lr: 1e-3, weightDecay: 1e-6 });
    this.#options = { warmup, finalRate, finalWeightDecay, clipNorm, capture: captured };
    this.#base = this.optimizer.paramGroups.map((group) => ({
      lr: group.lr,
      weightDecay: (group as { weightDecay?: number }).weightDecay ?? 0,
    }));
    const step = (...views: Tensor[]): Tensor => {
      this.optimizer.zeroGrad();
      const loss = model.loss(views);
      loss.backward();
      if (clipNorm !== null) clipGradNorm(learned, clipNorm);
      this.optimizer.step();
      model.update?.();
      return loss.detach();
    };
    this.#run = captured ? capture(step) : async (...views) => step(...views);
  }

  /**
   * Trains until `steps` steps are done, counted from the trainer's first.
   *
   * @returns the events, one every `logEvery` steps and at the end
   * @throws Error where the loss is not finite, or the loader has no full batch
   */
  async *fit<S extends object = Record<string, number>>(
    loader: ViewSource,
    options: SelfSupervisedFitOptions<S>,
  ): AsyncGenerator<SelfSupervisedEvent<S>, void, undefined> {
    const { steps, logEvery = 100, evaluate = null, evaluateEvery = null, checkpoint = null } = options;
    const { resume = false, onEvent, signal } = options;
    const op = "SelfSupervisedTrainer.fit";
    for (const [name, n] of Object.entries({ steps, logEvery, evaluateEvery: evaluateEvery ?? logEvery }))
      expect(Number.isSafeInteger(n) && n >= 1, op, `${name} to be a whole number from 1 up`, `${n}`);
    const between = evaluateEvery === null || evaluateEvery % logEvery === 0;
    expect(between, op, `evaluateEvery to be a multiple of logEvery ${logEvery}`, `${evaluateEvery}`);
    expect(!resume || checkpoint !== null, op, "a checkpoint to resume from", "none");
    if (resume && existsSync(checkpoint!)) await this.load(checkpoint!, loader);
    this.model.train();
    const sum = unscoped(() => zeros([]));
    let [counted, seen, empty] = [0, 0, 0];
    let since = performance.now();
    try {
      while (this.step < steps && !signal?.aborted) {
        let full = 0;
        for await (const batch of loader) {
          const views = batch.filter((field) => field.ndim > 1);
          const n = batch[0]!.shape[0]!;
          this.#batchSize ||= n;
          if (n !== this.#batchSize) {
            for (const field of batch) field.free();
            continue;
          }
          full++;
          this.#schedule(steps);
          const loss = await this.#run(...views);
          noGrad(() => add_(sum, loss));
          for (const t of [loss, ...batch]) t.free();
          [counted, seen] = [counted + 1, seen + n];
          this.step++;
          const last = this.step === steps;
          if (last || this.step % logEvery === 0) {
            const loss = (await sum.item()) / counted;
            const seconds = (performance.now() - since) / 1e3;
            if (!Number.isFinite(loss))
              throw new Error(
                `${op}: expected a finite loss, got ${loss} in the ${counted} steps up to ${this.step}; try a lower lr, or clipNorm`,
              );
            const due = evaluate !== null && (last || (evaluateEvery !== null && this.step % evaluateEvery === 0));
            const scores = due ? await evaluate(this.model) : null;
            const { lr } = this.optimizer.paramGroups[0]!;
            const event = { step: this.step, loss, lr, samplesPerSecond: seen / seconds, scores };
            this.history.push(event);
            this.seconds += seconds;
            if (checkpoint !== null) await this.save(checkpoint, loader);
            await onEvent?.(event, this);
            yield event;
            this.model.train();
            noGrad(() => zero_(sum));
            [counted, seen, since] = [0, 0, performance.now()];
          }
          if (this.step >= steps || signal?.aborted) break;
        }
        // A resumed loader may stand at an epoch's end: one pass without a batch is none too many.
        empty = full === 0 ? empty + 1 : 0;
        if (empty > 1) throw new Error(`${op}: expected a loader with batches, got none`);
      }
    } finally {
      sum.free();
    }
  }

  /** Rates, weight decay and the model's own numbers for the next step. */
  #schedule(steps: number): void {
    const { warmup, finalRate, finalWeightDecay } = this.#options;
    const progress = this.step / steps;
    const rate =
      this.step < warmup
        ? (this.step + 1) / warmup
        : cosine(1, finalRate, (this.step - warmup) / Math.max(1, steps - warmup));
    this.optimizer.paramGroups.forEach((group, g) => {
      const { lr, weightDecay } = this.#base[g]!;
      group.lr = lr * rate;
      if (finalWeightDecay !== null && weightDecay > 0)
        (group as { weightDecay?: number }).weightDecay = cosine(weightDecay, finalWeightDecay, progress);
    });
    this.model.schedule?.(progress);
  }

  /**
   * Writes weights, the optimizer's state, steps and events, random numbers and where the loader stands, in one step: whoever
   * loads it finds a whole file.
   */
  async save(path: string, loader: ViewSource | null = null): Promise<void> {
    await saveState(path, {
      step: this.step,
      seconds: this.seconds,
      batchSize: this.#batchSize,
      history: this.history,
      model: this.model.stateDict(),
      optimizer: this.optimizer.stateDict(),
      random: defaultGenerator.state(),
      loader: loader?.stateDict?.() ?? null,
    });
  }

  /** Goes on from what save() wrote, bit for bit where the loader can tell where it stands. */
  async load(path: string, loader: ViewSource | null = null): Promise<void> {
    const state = await loadState(path);
    this.model.loadStateDict(state.model as StateDict);
    this.optimizer.loadStateDict(state.optimizer as ReturnType<StepOptimizer["stateDict"]>);
    defaultGenerator.load(state.random as ReturnType<typeof defaultGenerator.state>);
    if (state.loader !== null && loader !== null) {
      if (!loader.loadStateDict)
        throw new Error(
          `SelfSupervisedTrainer.load: expected a loader that goes on from a state, such as data.DataLoader, for ${path}`,
        );
      loader.loadStateDict(state.loader as never);
    }
    this.step = state.step as number;
    this.seconds = state.seconds as number;
    this.#batchSize = state.batchSize as number;
    this.history = state.history as SelfSupervisedEvent<object>[];
  }
}
