/**
 * Weights averaged along the way: stochastic weight averaging and look-ahead.
 */
import { noGrad } from "../graph.js";
import { scope, unscoped } from "../memory.js";
import { type DType, k } from "../native.js";
import type { Module } from "../nn/index.js";
import { clone } from "../ops/cast.js";
import { written } from "../ops/common.js";
import { copy_, fill_ } from "../ops/inplace.js";
import { Tensor } from "../tensor.js";
import { type Averaged, EMA } from "./ema.js";
import { expectOption, type OptimizerState } from "./optimizer.js";
import { expectCount, Schedule, type Scheduled } from "./schedule.js";

/**
 * Stochastic weight averaging (Izmailov et al., "Averaging weights leads to wider optima", 2018): the plain mean of the
 * model's values at every update(), with the methods of EMA. Batch-norm statistics do not average well: call updateBn()
 * with the averages applied.
 *
 * @example
 * const model = new nn.Linear(2, 3);
 * const swa = new optim.SWA(model);
 * swa.update(); // once an epoch, late in training
 * swa.apply();
 * await optim.updateBn([ones([4, 2])], model);
 */
export class SWA extends EMA {
  /**
   * The first update() replaces the copies that it starts with.
   *
   * @param model what is averaged
   */
  constructor(model: Averaged) {
    super(model, { decay: 0 });
  }

  protected override decayOf(updates: number): number {
    return updates / (updates + 1);
  }
}

/** Options of SWALR. */
export interface SwaLROptions {
  /** The rate to go to, of all groups or one a group. */
  swaLr: number | readonly number[];
  /** Steps until it is reached; 0: at once. Default 10. */
  annealEpochs?: number;
  /** Default "cos". */
  annealStrategy?: "cos" | "linear";
}

/** From the rates in force, along a cosine or a line, to a constant rate for weight averaging. */
export class SWALR extends Schedule {
  private readonly swaLrs: number[];
  private readonly annealEpochs: number;
  private readonly annealStrategy: "cos" | "linear";

  /**
   * Starts from the rates in force, also those that another schedule made.
   *
   * @param optimizer whose rates are set
   */
  constructor(optimizer: Scheduled, { swaLr, annealEpochs = 10, annealStrategy = "cos" }: SwaLROptions) {
    if (annealEpochs !== 0) expectCount("SWALR", "annealEpochs", annealEpochs);
    if (annealStrategy !== "cos" && annealStrategy !== "linear")
      throw new RangeError(`SWALR: expected annealStrategy "cos" or "linear", got ${JSON.stringify(annealStrategy)}`);
    super(optimizer);
    const groups = optimizer.paramGroups;
    this.rebase(groups.map((group) => group.lr));
    this.swaLrs = typeof swaLr === "number" ? groups.map(() => swaLr) : [...swaLr];
    if (this.swaLrs.length !== groups.length)
      throw new Error(`SWALR: expected ${groups.length} values of swaLr, got ${this.swaLrs.length}`);
    for (const lr of this.swaLrs) expectOption("SWALR", "swaLr", lr);
    this.annealEpochs = annealEpochs;
    this.annealStrategy = annealStrategy;
    this.apply(0);
  }

  protected override rate(base: number, t: number, i: number): number {
    const done = this.annealEpochs === 0 ? 1 : Math.min(1, t / this.annealEpochs);
    const share = this.annealStrategy === "cos" ? (1 - Math.cos(Math.PI * done)) / 2 : done;
    return this.swaLrs[i]! * share + base * (1 - share);
  }
}

/**
 * Computes the running statistics of every batch norm again, as the mean over `batches` in training mode. Call it with
 * averaged weights in the model. Training or eval mode is as before.
 *
 * @param batches inputs, or [input, ...] as loaders give them
 */
export async function updateBn(
  batches: Iterable<Tensor | readonly Tensor[]> | AsyncIterable<Tensor | readonly Tensor[]>,
  model: Module & { forward(x: Tensor): unknown },
): Promise<void> {
  // Batch norms, whatever their dimensions: without momentum their running values are the mean over all batches.
  const modules = model.modules() as (Module & Partial<Tracking>)[];
  const tracked = modules.filter((m): m is Module & Tracking =>
    Boolean(m.runningMean && m.runningVar && m.numBatchesTracked),
  );
  if (tracked.length === 0) return;
  const before = modules.map(({ training }) => training);
  const momenta = tracked.map(({ momentum }) => momentum);
  let seen = 0;
  try {
    model.train();
    for (const m of tracked) {
      m.momentum = null;
      noGrad(() => {
        fill_(m.runningMean, 0);
        fill_(m.runningVar, 1);
        fill_(m.numBatchesTracked, 0);
      });
    }
    for await (const batch of batches) {
      scope(() => noGrad(() => void model.forward(batch instanceof Tensor ? batch : batch[0]!)));
      seen++;
    }
  } finally {
    modules.forEach((m, i) => void (m.training = before[i]!));
    tracked.forEach((m, i) => void (m.momentum = momenta[i]!));
  }
  if (seen === 0) throw new Error("updateBn: expected at least one batch, got none");
}

interface Tracking {
  runningMean: Tensor;
  runningVar: Tensor;
  numBatchesTracked: Tensor;
  momentum: number | null;
}

/** An optimizer that Lookahead wraps. */
export interface Stepping extends Scheduled {
  /** Whose parameters get slow weights. */
  readonly paramGroups: readonly {
    /** Learning rate. */
    lr: number;
    /** Those that go by it. */
    params: Tensor[];
  }[];
  /** One step of the fast weights. */
  step(): void;
  /** Forgets the gradients of all parameters. */
  zeroGrad(): void;
  /** Its state, for loadStateDict(). */
  stateDict(): OptimizerState;
  /** Takes over what stateDict() gave. */
  loadStateDict(state: OptimizerState): void;
}

/** Options of Lookahead. */
export interface LookaheadOptions {
  /** Steps of the inner optimizer between two of the slow weights. Default 5. */
  k?: number;
  /** Share of the way that the slow weights go, 0 to 1. Default 0.5. */
  alpha?: number;
}

/** What Lookahead.stateDict() gives. */
export interface LookaheadState {
  /** That of the optimizer inside. */
  inner: OptimizerState;
  /** Steps so far: every k-th moves the slow weights. */
  steps: number;
  /** The slow weights, in the order of the parameters. */
  slow: Tensor[];
}

/**
 * k steps forward, one step back (Zhang et al., "Lookahead optimizer", 2019): every k steps of the inner optimizer slow
 * weights go alpha of the way to the fast ones, which continue from there.
 *
 * @example
 * const w = tensor([1, 2], { requiresGrad: true });
 * const optimizer = new optim.Lookahead(new optim.Adam([w]), { k: 5 });
 * w.square().sum().backward();
 * optimizer.step();
 */
export class Lookahead {
  /** The optimizer of the fast weights. */
  readonly inner: Stepping;
  private readonly k: number;
  private readonly alpha: number;
  private readonly fast: Tensor[];
  private slow: Tensor[];
  private steps = 0;

  /**
   * The slow weights start as copies of the parameters: as much memory again.
   *
   * @param inner the optimizer of the fast weights
   */
  constructor(inner: Stepping, { k = 5, alpha = 0.5 }: LookaheadOptions = {}) {
    expectCount("Lookahead", "k", k);
    if (!(alpha >= 0 && alpha <= 1)) throw new RangeError(`Lookahead: expected alpha from 0 to 1, got ${alpha}`);
    this.inner = inner;
    this.k = k;
    this.alpha = alpha;
    this.fast = inner.paramGroups.flatMap((g) => g.params);
    this.slow = copiesOf(this.fast);
  }

  /** The inner optimizer's: schedules act on them. */
  get paramGroups(): Stepping["paramGroups"] {
    return this.inner.paramGroups;
  }

  /** Forgets the gradients of all parameters. */
  zeroGrad(): void {
    this.inner.zeroGrad();
  }

  /** One step of the inner optimizer; every k-th time slow and fast weights meet. */
  step(): void {
    this.inner.step();
    this.steps++;
    if (this.steps % this.k !== 0) return;
    for (const dtype of new Set(this.fast.map((p) => p.dtype))) this.meet(dtype);
  }

  private meet(dtype: DType): void {
    const [slow, fast] = [this.slow, this.fast].map((list) => list.filter((t) => t.dtype === dtype)) as [
      Tensor[],
      Tensor[],
    ];
    k.ema(slow, fast, 1 - this.alpha);
    slow.forEach(written);
    fast.forEach((p, i) => void noGrad(() => copy_(p, slow[i]!)));
  }

  /** The state as it is; the tensors change with the next step. */
  stateDict(): LookaheadState {
    return { inner: this.inner.stateDict(), steps: this.steps, slow: [...this.slow] };
  }

  /** Takes over what stateDict() gave: the inner state, and copies of the slow weights. */
  loadStateDict({ inner, steps, slow }: LookaheadState): void {
    const fits = slow.length === this.fast.length && slow.every((t, i) => t.size === this.fast[i]!.size);
    if (!fits)
      throw new Error(`Lookahead.loadStateDict: expected ${this.fast.length} slow weights of the parameters' shapes`);
    this.inner.loadStateDict(inner);
    this.steps = steps;
    this.slow = copiesOf(slow);
  }
}

const copiesOf = (list: readonly Tensor[]): Tensor[] => unscoped(() => noGrad(() => list.map((t) => clone(t))));
