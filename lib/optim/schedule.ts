/**
 * Learning-rate schedules: after each step (or epoch) of training, schedule.step() sets the optimizer's rates. Each is a
 * function of the number of steps, in closed form, so a resumed run continues with the same rates; the values are
 * PyTorch's.
 */
import type { OptimizerOptions } from "./optimizer.js";

/** What a schedule needs of an optimizer: it changes `lr`, and one-cycle `momentum` or `betas`. */
export interface Scheduled {
  /** Whose `lr` is set, in this order. */
  readonly paramGroups: readonly OptimizerOptions[];
}

/** What a schedule's stateDict() gives: plain numbers. */
export interface ScheduleState {
  /** Steps so far. */
  step: number;
  /** The rates that the schedule starts from, one a parameter group. */
  baseLrs: number[];
}

/** What a group's rate was before its first schedule set it, and what a schedule set it to last. */
const rates = new WeakMap<OptimizerOptions, { first: number; last: number }>();

/** The rate that a schedule of this group starts from: the group's own, not what an earlier schedule made of it. */
function baseLr(group: OptimizerOptions): number {
  const known = rates.get(group);
  return known && known.last === group.lr ? known.first : group.lr;
}

/**
 * What every schedule is: a formula of base rate, number of steps and group. Made after its optimizer, it sets the
 * rates of step 0 at once.
 */
export abstract class Schedule {
  /** Whose rates are set. */
  readonly optimizer: Scheduled;
  /**
   * The rates that the schedule starts from, one a parameter group: those that the optimizer was made with (or that were set
   * since), also where another schedule has changed them, as PyTorch's initial_lr.
   */
  baseLrs: number[];
  private count = 0;

  /**
   * Remembers the optimizer's present rates as those to start from.
   *
   * @param optimizer whose rates are set
   */
  constructor(optimizer: Scheduled) {
    this.optimizer = optimizer;
    this.baseLrs = optimizer.paramGroups.map(baseLr);
  }

  /** @internal Starts from other rates; schedules made of schedules hand them on. */
  rebase(baseLrs: readonly number[]): void {
    this.baseLrs = [...baseLrs];
  }

  /** Steps so far. */
  get steps(): number {
    return this.count;
  }

  /** The rates in force, one a parameter group. */
  get lastLr(): number[] {
    return this.optimizer.paramGroups.map((group) => group.lr);
  }

  /** Sets the rates of the next step of training. */
  step(): void {
    this.apply(this.count + 1);
    this.count++;
  }

  /** @internal Sets the rates after `t` steps. */
  apply(t: number): void {
    this.optimizer.paramGroups.forEach((group, i) => {
      const base = this.baseLrs[i];
      if (base === undefined)
        throw new Error(`${this.constructor.name}: parameter group ${i} came after the schedule; make a new schedule`);
      const first = baseLr(group);
      group.lr = this.rate(base, t, i);
      rates.set(group, { first, last: group.lr });
    });
  }

  /** The rate of group `i` after `t` steps. */
  protected abstract rate(base: number, t: number, i: number): number;

  /** Steps and base rates, for loadStateDict(). */
  stateDict(): ScheduleState {
    return { step: this.count, baseLrs: [...this.baseLrs] };
  }

  /**
   * Takes over what stateDict() gave and sets the rates of that step.
   *
   * @throws Error where the number of groups differs
   */
  loadStateDict({ step, baseLrs }: ScheduleState): void {
    if (!Number.isSafeInteger(step) || step < 0 || baseLrs?.length !== this.optimizer.paramGroups.length) {
      throw new Error(
        `${this.constructor.name}.loadStateDict: expected a count of steps and ${this.optimizer.paramGroups.length} rates, got ${step} and ${baseLrs?.length}`,
      );
    }
    this.rebase(baseLrs);
    this.count = step;
    this.apply(step);
  }
}

export function expectCount(where: string, name: string, n: number): void {
  if (!Number.isSafeInteger(n) || n < 1)
    throw new RangeError(`${where}: expected ${name} to be a whole number from 1 up, got ${n}`);
}

/**
 * base * gamma^floor(t / stepSize)
 *
 * @example
 * const optimizer = new optim.SGD([tensor([1], { requiresGrad: true })], { lr: 0.1 });
 * const schedule = new optim.StepLR(optimizer, { stepSize: 30 });
 * for (let epoch = 0; epoch < 60; epoch++) schedule.step();
 */
export class StepLR extends Schedule {
  private readonly stepSize: number;
  private readonly gamma: number;

  /**
   * Sets the rates of step 0 at once.
   *
   * @param options stepSize: steps between two reductions; gamma: factor of each, default 0.1
   */
  constructor(optimizer: Scheduled, { stepSize, gamma = 0.1 }: { stepSize: number; gamma?: number }) {
    expectCount("StepLR", "stepSize", stepSize);
    super(optimizer);
    this.stepSize = stepSize;
    this.gamma = gamma;
    this.apply(0);
  }

  protected override rate(base: number, t: number): number {
    return base * this.gamma ** Math.floor(t / this.stepSize);
  }
}

/** Half a cosine from the base rate at t = 0 to `etaMin` at t = tMax (Loshchilov & Hutter, "SGDR", 2016), then back. */
export class CosineAnnealingLR extends Schedule {
  private readonly tMax: number;
  private readonly etaMin: number;

  /**
   * Sets the rates of step 0 at once.
   *
   * @param options tMax: steps from the highest rate to the lowest; etaMin: that rate, default 0
   */
  constructor(optimizer: Scheduled, { tMax, etaMin = 0 }: { tMax: number; etaMin?: number }) {
    expectCount("CosineAnnealingLR", "tMax", tMax);
    super(optimizer);
    this.tMax = tMax;
    this.etaMin = etaMin;
    this.apply(0);
  }

  protected override rate(base: number, t: number): number {
    return this.etaMin + ((base - this.etaMin) * (1 + Math.cos((Math.PI * t) / this.tMax))) / 2;
  }
}

/** From startFactor base to endFactor base in totalIters steps, along a line; then constant. */
export class LinearLR extends Schedule {
  private readonly startFactor: number;
  private readonly endFactor: number;
  private readonly totalIters: number;

  /**
   * Sets the rates of step 0 at once.
   *
   * @param options startFactor: default 1/3; endFactor: default 1; totalIters: default 5
   */
  constructor(
    optimizer: Scheduled,
    {
      startFactor = 1 / 3,
      endFactor = 1,
      totalIters = 5,
    }: { startFactor?: number; endFactor?: number; totalIters?: number } = {},
  ) {
    expectCount("LinearLR", "totalIters", totalIters);
    super(optimizer);
    this.startFactor = startFactor;
    this.endFactor = endFactor;
    this.totalIters = totalIters;
    this.apply(0);
  }

  protected override rate(base: number, t: number): number {
    return (
      base * (this.startFactor + ((this.endFactor - this.startFactor) * Math.min(t, this.totalIters)) / this.totalIters)
    );
  }
}

/**
 * A warm-up before another schedule: the rate grows along a line from startFactor base to base in `steps` steps, then
 * `after` starts from its beginning. PyTorch: SequentialLR([LinearLR, after], milestones=[steps]).
 *
 * @example
 * const optimizer = new optim.AdamW([tensor([1], { requiresGrad: true })], { lr: 1e-3 });
 * const schedule = new optim.LinearWarmup(new optim.CosineAnnealingLR(optimizer, { tMax: 900 }), { steps: 100 });
 */
export class LinearWarmup extends Schedule {
  private readonly after: Schedule;
  private readonly warmup: number;
  private readonly startFactor: number;

  /**
   * Sets the rates of step 0 at once.
   *
   * @param options steps: length of the warm-up; startFactor: where it starts, default 1/3
   */
  constructor(after: Schedule, { steps, startFactor = 1 / 3 }: { steps: number; startFactor?: number }) {
    expectCount("LinearWarmup", "steps", steps);
    super(after.optimizer);
    this.baseLrs = after.baseLrs;
    this.after = after;
    this.warmup = steps;
    this.startFactor = startFactor;
    this.apply(0);
  }

  /** @internal */
  override apply(t: number): void {
    if (t < this.warmup) super.apply(t);
    else this.after.apply(t - this.warmup);
  }

  protected override rate(base: number, t: number): number {
    return base * (this.startFactor + ((1 - this.startFactor) * t) / this.warmup);
  }

  /** @internal */
  override rebase(baseLrs: readonly number[]): void {
    super.rebase(baseLrs);
    this.after.rebase(baseLrs);
  }
}

/** Options of OneCycleLR. */
export interface OneCycleOptions {
  /** The highest rate, of all groups or one a group. */
  maxLr: number | number[];
  /** Length of the cycle in steps. */
  totalSteps: number;
  /** Share of the cycle in which the rate rises. Default 0.3. */
  pctStart?: number;
  /** Shape of the slopes. Default "cos". */
  annealStrategy?: "cos" | "linear";
  /** Whether momentum (or betas[0]) moves against the rate. Default true. */
  cycleMomentum?: boolean;
  /** Lowest momentum, where the rate is highest. Default 0.85. */
  baseMomentum?: number;
  /** Highest momentum, at both ends. Default 0.95. */
  maxMomentum?: number;
  /** The rate starts at maxLr / divFactor. Default 25. */
  divFactor?: number;
  /** The rate ends at maxLr / divFactor / finalDivFactor. Default 1e4. */
  finalDivFactor?: number;
  /** Falls back to the first rate symmetrically, and only then to the last one. Default false. */
  threePhase?: boolean;
}

/**
 * One rise and one fall (Smith & Topin, "Super-convergence", 2017); steps past the end throw.
 *
 * @example
 * const optimizer = new optim.SGD([tensor([1], { requiresGrad: true })], { lr: 0.1, momentum: 0.9 });
 * const schedule = new optim.OneCycleLR(optimizer, { maxLr: 0.4, totalSteps: 1000 });
 */
export class OneCycleLR extends Schedule {
  private readonly options: Required<Omit<OneCycleOptions, "maxLr">>;
  private readonly maxLrs: number[];

  /**
   * Sets the rates (and momenta) of step 0 at once.
   *
   * @param optimizer needs a momentum or betas unless cycleMomentum is false
   */
  constructor(
    optimizer: Scheduled,
    {
      maxLr,
      totalSteps,
      pctStart = 0.3,
      annealStrategy = "cos",
      cycleMomentum = true,
      baseMomentum = 0.85,
      maxMomentum = 0.95,
      divFactor = 25,
      finalDivFactor = 1e4,
      threePhase = false,
    }: OneCycleOptions,
  ) {
    expectCount("OneCycleLR", "totalSteps", totalSteps);
    if (!(pctStart >= 0 && pctStart <= 1))
      throw new RangeError(`OneCycleLR: expected pctStart from 0 to 1, got ${pctStart}`);
    if (annealStrategy !== "cos" && annealStrategy !== "linear") {
      throw new RangeError(
        `OneCycleLR: expected annealStrategy "cos" or "linear", got ${JSON.stringify(annealStrategy)}`,
      );
    }
    super(optimizer);
    const groups = optimizer.paramGroups;
    this.maxLrs = typeof maxLr === "number" ? groups.map(() => maxLr) : [...maxLr];
    if (this.maxLrs.length !== groups.length)
      throw new Error(`OneCycleLR: expected ${groups.length} values of maxLr, got ${this.maxLrs.length}`);
    if (cycleMomentum && !groups.every((g) => "momentum" in g || "betas" in g)) {
      throw new Error("OneCycleLR: this optimizer has no momentum to cycle; pass cycleMomentum: false");
    }
    this.options = {
      totalSteps,
      pctStart,
      annealStrategy,
      cycleMomentum,
      baseMomentum,
      maxMomentum,
      divFactor,
      finalDivFactor,
      threePhase,
    };
    this.apply(0);
  }

  /** @internal */
  override apply(t: number): void {
    const { totalSteps, cycleMomentum, baseMomentum, maxMomentum } = this.options;
    if (t > totalSteps)
      throw new RangeError(`OneCycleLR: expected at most ${totalSteps} steps, got one more; raise totalSteps`);
    super.apply(t);
    if (!cycleMomentum) return;
    const momentum = this.along(t, maxMomentum, baseMomentum, maxMomentum);
    for (const group of this.optimizer.paramGroups as readonly {
      momentum?: number;
      betas?: readonly [number, number];
    }[]) {
      if (group.betas) group.betas = [momentum, group.betas[1]];
      else group.momentum = momentum;
    }
  }

  protected override rate(_base: number, t: number, i: number): number {
    const first = this.maxLrs[i]! / this.options.divFactor;
    return this.along(t, first, this.maxLrs[i]!, first / this.options.finalDivFactor);
  }

  /** From `first` to `peak` to `last` (with three phases back to `first` between). */
  private along(t: number, first: number, peak: number, last: number): number {
    const { totalSteps, pctStart, threePhase, annealStrategy } = this.options;
    const top = pctStart * totalSteps - 1;
    const bends = threePhase
      ? [
          [top, first, peak],
          [2 * top, peak, first],
          [totalSteps - 1, first, last],
        ]
      : [
          [top, first, peak],
          [totalSteps - 1, peak, last],
        ];
    let from = 0;
    for (const [end, a, b] of bends as [number, number, number][]) {
      if (t <= end || end === totalSteps - 1) {
        // The step() after the last step of training keeps the last rate.
        const done = end > from ? Math.min((t - from) / (end - from), 1) : 1;
        return annealStrategy === "cos" ? b + ((a - b) / 2) * (1 + Math.cos(Math.PI * done)) : a + (b - a) * done;
      }
      from = end;
    }
    throw new RangeError(`OneCycleLR: no phase holds step ${t}`);
  }
}
