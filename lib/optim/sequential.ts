/**
 * Schedules one after the other, and one that listens to a metric.
 */
import { expectOption } from "./optimizer.js";
import { expectCount, Schedule, type Scheduled } from "./schedule.js";

/**
 * schedules[i] from milestones[i - 1] on, each counting its steps from its own start. All begin with the rates that the
 * optimizer was made with.
 *
 * @example
 * const optimizer = new optim.SGD([tensor([1], { requiresGrad: true })], { lr: 0.1 });
 * const parts = [new optim.ConstantLR(optimizer, { totalIters: 10 }), new optim.ExponentialLR(optimizer, { gamma: 0.9 })];
 * const schedule = new optim.SequentialLR(optimizer, parts, { milestones: [10] });
 * schedule.step();
 */
export class SequentialLR extends Schedule {
  private readonly schedules: readonly Schedule[];
  private readonly milestones: readonly number[];

  /**
   * Sets the rates of step 0 at once.
   *
   * @param options milestones: rising, one fewer than schedules
   */
  constructor(optimizer: Scheduled, schedules: readonly Schedule[], { milestones }: { milestones: readonly number[] }) {
    if (schedules.length === 0 || milestones.length !== schedules.length - 1)
      throw new Error(
        `SequentialLR: expected one milestone fewer than schedules, got ${milestones.length} and ${schedules.length}`,
      );
    if (schedules.some((s) => s.optimizer !== optimizer))
      throw new Error("SequentialLR: expected schedules of this optimizer, got one of another");
    milestones.forEach((m, i) => {
      expectCount("SequentialLR", "each milestone", m);
      if (i > 0 && m <= milestones[i - 1]!)
        throw new RangeError(`SequentialLR: expected milestones that rise, got ${m} after ${milestones[i - 1]}`);
    });
    super(optimizer);
    this.schedules = [...schedules];
    this.milestones = [...milestones];
    this.apply(0);
  }

  /** @internal */
  override apply(t: number): void {
    const i = this.milestones.filter((m) => m <= t).length;
    this.schedules[i]!.apply(i === 0 ? t : t - this.milestones[i - 1]!);
  }

  protected override rate(base: number): number {
    return base;
  }

  /** Each part keeps base rates of its own where they differ (cyclic ones); else it starts from these. */
  override rebase(baseLrs: readonly number[]): void {
    super.rebase(baseLrs);
    for (const schedule of this.schedules) schedule.rebase(baseLrs);
  }
}

/** Options of ReduceLROnPlateau. */
export interface PlateauOptions {
  /** Whether the metric shall fall ("min", the default) or rise. */
  mode?: "min" | "max";
  /** What the rate is multiplied by, below 1. Default 0.1. */
  factor?: number;
  /** Steps without progress that are borne. Default 10. */
  patience?: number;
  /** Progress that counts. Default 1e-4. */
  threshold?: number;
  /** "rel": as a share of the best value; "abs": as a difference. Default "rel". */
  thresholdMode?: "rel" | "abs";
  /** Steps after a reduction that count for nothing. Default 0. */
  cooldown?: number;
  /** Lowest rate, of all groups or one a group. Default 0. */
  minLr?: number | readonly number[];
  /** Smaller reductions are left out. Default 1e-8. */
  eps?: number;
}

/** What ReduceLROnPlateau.stateDict() gives: plain numbers. */
export interface PlateauState {
  /** Steps so far. */
  step: number;
  /** The best metric so far; null before the first. */
  best: number | null;
  /** Steps without progress since the last progress or reduction. */
  badSteps: number;
  /** Steps that still count for nothing. */
  cooldown: number;
  /** The rates in force, one a parameter group. */
  lrs: number[];
}

/**
 * Reduces the rates when a metric has stopped improving. Call step(metric) after each epoch.
 *
 * @example
 * const optimizer = new optim.SGD([tensor([1], { requiresGrad: true })], { lr: 0.1 });
 * const schedule = new optim.ReduceLROnPlateau(optimizer, { factor: 0.5, patience: 2 });
 * for (const loss of [1, 0.9, 0.9, 0.9, 0.9]) schedule.step(loss);
 */
export class ReduceLROnPlateau {
  /** Whose rates are reduced. */
  readonly optimizer: Scheduled;
  private readonly options: Required<Omit<PlateauOptions, "minLr">>;
  private readonly minLrs: number[];
  private count = 0;
  private best: number | null = null;
  private badSteps = 0;
  private resting = 0;

  /**
   * The rates stay as they are until the first reduction.
   *
   * @param optimizer whose rates are reduced
   */
  constructor(
    optimizer: Scheduled,
    {
      mode = "min",
      factor = 0.1,
      patience = 10,
      threshold = 1e-4,
      thresholdMode = "rel",
      cooldown = 0,
      minLr = 0,
      eps = 1e-8,
    }: PlateauOptions = {},
  ) {
    const name = "ReduceLROnPlateau";
    expectOption(name, "factor", factor, 0, 1);
    expectOption(name, "patience", patience);
    expectOption(name, "threshold", threshold);
    expectOption(name, "cooldown", cooldown);
    if (mode !== "min" && mode !== "max")
      throw new RangeError(`${name}: expected mode "min" or "max", got ${JSON.stringify(mode)}`);
    if (thresholdMode !== "rel" && thresholdMode !== "abs")
      throw new RangeError(`${name}: expected thresholdMode "rel" or "abs", got ${JSON.stringify(thresholdMode)}`);
    const groups = optimizer.paramGroups.length;
    this.minLrs = typeof minLr === "number" ? new Array<number>(groups).fill(minLr) : [...minLr];
    if (this.minLrs.length !== groups)
      throw new Error(`${name}: expected ${groups} values of minLr, got ${this.minLrs.length}`);
    this.optimizer = optimizer;
    this.options = { mode, factor, patience, threshold, thresholdMode, cooldown, eps };
  }

  /** Whether the metric shall fall ("min") or rise. */
  get mode(): "min" | "max" {
    return this.options.mode;
  }

  /** Steps so far. */
  get steps(): number {
    return this.count;
  }

  /** The rates in force, one a parameter group. */
  get lastLr(): number[] {
    return this.optimizer.paramGroups.map((group) => group.lr);
  }

  /** Takes in the metric of an epoch; NaN is no progress. */
  step(metric: number): void {
    if (typeof metric !== "number")
      throw new TypeError(`ReduceLROnPlateau.step: expected a number, got ${typeof metric}; await metric.item()`);
    this.count++;
    if (this.improves(metric)) {
      this.best = metric;
      this.badSteps = 0;
    } else this.badSteps++;
    if (this.resting > 0) {
      this.resting--;
      this.badSteps = 0;
    }
    if (this.badSteps <= this.options.patience) return;
    this.reduce();
    this.resting = this.options.cooldown;
    this.badSteps = 0;
  }

  private improves(metric: number): boolean {
    const { mode, threshold, thresholdMode } = this.options;
    if (this.best === null) return !Number.isNaN(metric);
    const rising = mode === "max";
    const step = rising ? threshold : -threshold;
    const bar = thresholdMode === "rel" ? this.best * (1 + step) : this.best + step;
    return rising ? metric > bar : metric < bar;
  }

  private reduce(): void {
    this.optimizer.paramGroups.forEach((group, i) => {
      const lr = Math.max(group.lr * this.options.factor, this.minLrs[i] ?? 0);
      if (group.lr - lr > this.options.eps) group.lr = lr;
    });
  }

  /** Counts, best metric and rates, for loadStateDict(). */
  stateDict(): PlateauState {
    return { step: this.count, best: this.best, badSteps: this.badSteps, cooldown: this.resting, lrs: this.lastLr };
  }

  /**
   * Takes over what stateDict() gave and sets its rates.
   *
   * @throws Error where the number of groups differs
   */
  loadStateDict({ step, best, badSteps, cooldown, lrs }: PlateauState): void {
    const groups = this.optimizer.paramGroups;
    if (!Number.isSafeInteger(step) || step < 0 || lrs?.length !== groups.length)
      throw new Error(
        `ReduceLROnPlateau.loadStateDict: expected a count of steps and ${groups.length} rates, got ${step} and ${lrs?.length}`,
      );
    this.count = step;
    this.best = best;
    this.badSteps = badSteps;
    this.resting = cooldown;
    groups.forEach((group, i) => void (group.lr = lrs[i]!));
  }
}
