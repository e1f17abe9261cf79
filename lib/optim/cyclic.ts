/**
 * Cyclic rates (Smith, "Cyclical learning rates for training neural networks", 2015): up and down between two bounds.
 */
import { expectOption } from "./optimizer.js";
import { expectCount, Schedule, type Scheduled } from "./schedule.js";

/** Options of CyclicLR. */
export interface CyclicOptions {
  /** The lowest rate, of all groups or one a group. */
  baseLr: number | readonly number[];
  /** The highest rate, of all groups or one a group. */
  maxLr: number | readonly number[];
  /** Steps from the lowest rate to the highest. Default 2000. */
  stepSizeUp?: number;
  /** Steps back. Default stepSizeUp. */
  stepSizeDown?: number;
  /** "triangular": every cycle alike; "triangular2": half as high each time; "expRange": gamma^t as high. */
  mode?: "triangular" | "triangular2" | "expRange";
  /** Of "expRange". Default 1. */
  gamma?: number;
  /** Whether momentum (or betas[0]) moves against the rate. Default true. */
  cycleMomentum?: boolean;
  /** Lowest momentum, where the rate is highest. Default 0.8. */
  baseMomentum?: number;
  /** Highest momentum. Default 0.9. */
  maxMomentum?: number;
}

/**
 * @example
 * const optimizer = new optim.SGD([tensor([1], { requiresGrad: true })], { lr: 0.1, momentum: 0.9 });
 * const schedule = new optim.CyclicLR(optimizer, { baseLr: 0.01, maxLr: 0.1, stepSizeUp: 200, mode: "triangular2" });
 * schedule.step();
 */
export class CyclicLR extends Schedule {
  private readonly maxLrs: number[];
  private readonly options: Required<Omit<CyclicOptions, "baseLr" | "maxLr">>;

  /**
   * Sets the rates to baseLr (and momentum to its highest) at once.
   *
   * @param optimizer needs a momentum or betas where momentum cycles too
   */
  constructor(
    optimizer: Scheduled,
    {
      baseLr,
      maxLr,
      stepSizeUp = 2000,
      stepSizeDown = stepSizeUp,
      mode = "triangular",
      gamma = 1,
      cycleMomentum = true,
      baseMomentum = 0.8,
      maxMomentum = 0.9,
    }: CyclicOptions,
  ) {
    expectCount("CyclicLR", "stepSizeUp", stepSizeUp);
    expectCount("CyclicLR", "stepSizeDown", stepSizeDown);
    expectOption("CyclicLR", "gamma", gamma);
    if (!["triangular", "triangular2", "expRange"].includes(mode))
      throw new RangeError(
        `CyclicLR: expected mode "triangular", "triangular2" or "expRange", got ${JSON.stringify(mode)}`,
      );
    if (cycleMomentum && !optimizer.paramGroups.every((g) => "momentum" in g || "betas" in g))
      throw new Error("CyclicLR: this optimizer has no momentum to cycle; pass cycleMomentum: false");
    super(optimizer);
    const perGroup = (name: string, value: number | readonly number[]): number[] => {
      const groups = optimizer.paramGroups.length;
      const values = typeof value === "number" ? new Array<number>(groups).fill(value) : [...value];
      if (values.length !== groups)
        throw new Error(`CyclicLR: expected ${groups} values of ${name}, got ${values.length}`);
      for (const v of values) expectOption("CyclicLR", name, v);
      return values;
    };
    this.rebase(perGroup("baseLr", baseLr));
    this.maxLrs = perGroup("maxLr", maxLr);
    this.options = { stepSizeUp, stepSizeDown, mode, gamma, cycleMomentum, baseMomentum, maxMomentum };
    this.apply(0);
  }

  /** How high above the lower bound step t is, as a share of the whole height. */
  private height(t: number): number {
    const { stepSizeUp, stepSizeDown, mode, gamma } = this.options;
    const total = stepSizeUp + stepSizeDown;
    const cycle = Math.floor(1 + t / total);
    const into = 1 + t / total - cycle;
    const top = stepSizeUp / total;
    const height = into <= top ? into / top : (into - 1) / (top - 1);
    return height * (mode === "triangular" ? 1 : mode === "triangular2" ? 1 / 2 ** (cycle - 1) : gamma ** t);
  }

  override apply(t: number): void {
    super.apply(t);
    const { cycleMomentum, baseMomentum, maxMomentum } = this.options;
    if (!cycleMomentum) return;
    const momentum = maxMomentum - (maxMomentum - baseMomentum) * this.height(t);
    const groups = this.optimizer.paramGroups as readonly { momentum?: number; betas?: readonly [number, number] }[];
    for (const group of groups) {
      if (group.betas) group.betas = [momentum, group.betas[1]];
      else group.momentum = momentum;
    }
  }

  protected override rate(base: number, t: number, i: number): number {
    return base + (this.maxLrs[i]! - base) * this.height(t);
  }
}
