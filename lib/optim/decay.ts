/**
 * Schedules that are a formula of the number of steps: multi-step, exponential, polynomial, constant, of a function, warm
 * restarts.
 */
import { expectOption } from "./optimizer.js";
import { expectCount, Schedule, type Scheduled } from "./schedule.js";

/** base * gamma^(how many of the milestones were reached); a milestone named twice counts twice. */
export class MultiStepLR extends Schedule {
  private readonly milestones: readonly number[];
  private readonly gamma: number;

  /**
   * Sets the rates of step 0 at once.
   *
   * @param options milestones: numbers of steps; gamma: factor at each of them, default 0.1
   */
  constructor(optimizer: Scheduled, { milestones, gamma = 0.1 }: { milestones: readonly number[]; gamma?: number }) {
    for (const m of milestones) expectCount("MultiStepLR", "each milestone", m);
    super(optimizer);
    this.milestones = [...milestones];
    this.gamma = gamma;
    this.apply(0);
  }

  protected override rate(base: number, t: number): number {
    return base * this.gamma ** this.milestones.filter((m) => m <= t).length;
  }
}

/** base * gamma^t */
export class ExponentialLR extends Schedule {
  private readonly gamma: number;

  /**
   * Sets the rates of step 0 at once.
   *
   * @param options gamma: factor of each step
   */
  constructor(optimizer: Scheduled, { gamma }: { gamma: number }) {
    expectOption("ExponentialLR", "gamma", gamma);
    super(optimizer);
    this.gamma = gamma;
    this.apply(0);
  }

  protected override rate(base: number, t: number): number {
    return base * this.gamma ** t;
  }
}

/** base * (1 - t / totalIters)^power; 0 from totalIters on. */
export class PolynomialLR extends Schedule {
  private readonly totalIters: number;
  private readonly power: number;

  /**
   * Sets the rates of step 0 at once.
   *
   * @param options totalIters: default 5; power: default 1
   */
  constructor(optimizer: Scheduled, { totalIters = 5, power = 1 }: { totalIters?: number; power?: number } = {}) {
    expectCount("PolynomialLR", "totalIters", totalIters);
    expectOption("PolynomialLR", "power", power);
    super(optimizer);
    this.totalIters = totalIters;
    this.power = power;
    this.apply(0);
  }

  protected override rate(base: number, t: number): number {
    return base * (1 - Math.min(t, this.totalIters) / this.totalIters) ** this.power;
  }
}

/** factor * base for totalIters steps, then base. */
export class ConstantLR extends Schedule {
  private readonly factor: number;
  private readonly totalIters: number;

  /**
   * Sets the rates of step 0 at once.
   *
   * @param options factor: default 1/3; totalIters: default 5
   */
  constructor(optimizer: Scheduled, { factor = 1 / 3, totalIters = 5 }: { factor?: number; totalIters?: number } = {}) {
    expectOption("ConstantLR", "factor", factor);
    expectCount("ConstantLR", "totalIters", totalIters);
    super(optimizer);
    this.factor = factor;
    this.totalIters = totalIters;
    this.apply(0);
  }

  protected override rate(base: number, t: number): number {
    return t < this.totalIters ? base * this.factor : base;
  }
}

/** A factor from the number of steps: one function for all groups, or one a group. */
export type Factor = (t: number) => number;

function factorsOf(where: string, optimizer: Scheduled, factor: Factor | readonly Factor[]): readonly Factor[] {
  const groups = optimizer.paramGroups.length;
  if (typeof factor === "function") return new Array<Factor>(groups).fill(factor);
  if (factor.length !== groups)
    throw new Error(`${where}: expected ${groups} functions, one a parameter group, got ${factor.length}`);
  return [...factor];
}

/**
 * base * factor(t)
 *
 * @example
 * const optimizer = new optim.SGD([tensor([1], { requiresGrad: true })], { lr: 0.1 });
 * const schedule = new optim.LambdaLR(optimizer, (t) => 0.95 ** t);
 * schedule.step();
 */
export class LambdaLR extends Schedule {
  private readonly factors: readonly Factor[];

  /**
   * Sets the rates of step 0 at once.
   *
   * @param factor must give the same for the same t: a resumed run calls it again
   */
  constructor(optimizer: Scheduled, factor: Factor | readonly Factor[]) {
    const factors = factorsOf("LambdaLR", optimizer, factor);
    super(optimizer);
    this.factors = factors;
    this.apply(0);
  }

  protected override rate(base: number, t: number, i: number): number {
    return base * this.factors[i]!(t);
  }
}

/** base * factor(1) * factor(2) ... factor(t) */
export class MultiplicativeLR extends Schedule {
  private readonly factors: readonly Factor[];
  /** Of each group, the product of the first so many factors. */
  private readonly products: number[][];

  /**
   * Sets the rates of step 0 at once.
   *
   * @param factor must give the same for the same t: a resumed run calls it again, from 1 on
   */
  constructor(optimizer: Scheduled, factor: Factor | readonly Factor[]) {
    const factors = factorsOf("MultiplicativeLR", optimizer, factor);
    super(optimizer);
    this.factors = factors;
    this.products = factors.map(() => [1]);
    this.apply(0);
  }

  protected override rate(base: number, t: number, i: number): number {
    const products = this.products[i]!;
    for (let step = products.length; step <= t; step++) products.push(products[step - 1]! * this.factors[i]!(step));
    return base * products[t]!;
  }
}

/**
 * Half a cosine from the base rate to etaMin in t0 steps, then from the start again, each time tMult times longer
 * (Loshchilov & Hutter, "SGDR: stochastic gradient descent with warm restarts", 2016).
 */
export class CosineAnnealingWarmRestarts extends Schedule {
  private readonly t0: number;
  private readonly tMult: number;
  private readonly etaMin: number;

  /**
   * Sets the rates of step 0 at once.
   *
   * @param options t0: steps of the first period; tMult: a whole number, default 1; etaMin: lowest rate, default 0
   */
  constructor(optimizer: Scheduled, { t0, tMult = 1, etaMin = 0 }: { t0: number; tMult?: number; etaMin?: number }) {
    expectCount("CosineAnnealingWarmRestarts", "t0", t0);
    expectCount("CosineAnnealingWarmRestarts", "tMult", tMult);
    super(optimizer);
    this.t0 = t0;
    this.tMult = tMult;
    this.etaMin = etaMin;
    this.apply(0);
  }

  protected override rate(base: number, t: number): number {
    let period = this.t0;
    let into = t;
    if (this.tMult === 1) into %= period;
    else for (; into >= period; period *= this.tMult) into -= period;
    return this.etaMin + ((base - this.etaMin) * (1 + Math.cos((Math.PI * into) / period))) / 2;
  }
}
