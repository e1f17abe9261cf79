/**
 * Optimizers with little state: Lion, which takes steps of one size, and averaged SGD.
 */
import { k } from "../native.js";
import type { Tensor } from "../tensor.js";
import { expectMoments, expectOption, Optimizer, type OptimizerOptions, type OptimizerParams } from "./optimizer.js";

/** Options of Lion, for all parameters or by group. */
export interface LionOptions extends OptimizerOptions {
  /** How much of m enters the direction, and how much of it a step keeps. Default [0.9, 0.99]. */
  betas: readonly [number, number];
  /** p shrinks by lr weightDecay p. Default 0. */
  weightDecay: number;
}

/**
 * Every element moves by lr (Chen et al., "Symbolic discovery of optimization algorithms", 2023): rates three to ten times
 * smaller than Adam's, with a weight decay that many times larger. The default rate is 1e-4.
 *
 *     p -= lr (sign(beta1 m + (1 - beta1) g) + weightDecay p);  m = beta2 m + (1 - beta2) g
 *
 * @example
 * const w = tensor([1, 2], { requiresGrad: true });
 * const optimizer = new optim.Lion([w], { lr: 1e-2 });
 * w.square().sum().backward();
 * optimizer.step();
 */
export class Lion extends Optimizer<LionOptions> {
  /**
   * An option outside its range is an error that names it.
   *
   * @param params parameters, or groups of them with options of their own
   * @param options lr is 1e-4 unless given: a third to a tenth of Adam's
   */
  constructor(
    params: OptimizerParams<LionOptions>,
    { lr = 1e-4, betas = [0.9, 0.99], weightDecay = 0 }: Partial<LionOptions> = {},
  ) {
    super(params, { lr, betas, weightDecay });
  }

  protected override check(o: LionOptions): void {
    expectMoments("Lion", o);
  }

  protected override bufferNames(): readonly string[] {
    return ["exp_avg"];
  }

  protected override update(o: LionOptions, params: Tensor[], grads: Tensor[], [m]: Tensor[][], step: Tensor): void {
    k.lion(params, grads, m!, step, o.lr, o.betas[0], o.betas[1], o.weightDecay);
  }
}

/** Options of ASGD, for all parameters or by group. */
export interface ASGDOptions extends OptimizerOptions {
  /** Decay of the parameters in a step, times eta. Default 1e-4. */
  lambd: number;
  /** Power by which eta falls. Default 0.75. */
  alpha: number;
  /** The step from which on parameters are averaged. Default 1e6. */
  t0: number;
  /** Times the parameter, added to its gradient. Default 0. */
  weightDecay: number;
  /** Climbs instead: the gradient's sign is turned. Default false. */
  maximize: boolean;
}

/**
 * Averaged SGD (Polyak & Juditsky, "Acceleration of stochastic approximation by averaging", 1992). The averages are in the
 * state as "ax"; "eta" and "mu" are one number each beside the count of steps.
 *
 *     p = (1 - lambd eta) p - eta g;  ax += mu (p - ax);  eta = lr / (1 + lambd lr t)^alpha;  mu = 1 / max(1, t - t0)
 *
 * @example
 * const w = tensor([1, 2], { requiresGrad: true });
 * const optimizer = new optim.ASGD([w], { lr: 1e-2 });
 * w.square().sum().backward();
 * optimizer.step();
 */
export class ASGD extends Optimizer<ASGDOptions> {
  /**
   * An option outside its range is an error that names it.
   *
   * @param params parameters, or groups of them with options of their own
   * @param options lr is 1e-2 unless given
   */
  constructor(
    params: OptimizerParams<ASGDOptions>,
    { lr = 1e-2, lambd = 1e-4, alpha = 0.75, t0 = 1e6, weightDecay = 0, maximize = false }: Partial<ASGDOptions> = {},
  ) {
    super(params, { lr, lambd, alpha, t0, weightDecay, maximize });
  }

  protected override check(o: ASGDOptions): void {
    expectOption("ASGD", "lr", o.lr);
    expectOption("ASGD", "lambd", o.lambd);
    expectOption("ASGD", "alpha", o.alpha);
    expectOption("ASGD", "t0", o.t0);
    expectOption("ASGD", "weightDecay", o.weightDecay);
  }

  protected override bufferNames(): readonly string[] {
    return ["ax"];
  }

  protected override scalarNames(): readonly string[] {
    return ["eta", "mu"];
  }

  protected override update(
    o: ASGDOptions,
    params: Tensor[],
    grads: Tensor[],
    [average]: Tensor[][],
    step: Tensor,
    [eta, mu]: Tensor[],
  ): void {
    const numbers = [o.lr, o.lambd, o.alpha, o.t0, o.weightDecay, o.maximize ? 1 : 0];
    k.asgd(params, grads, average!, step, eta!, mu!, ...numbers);
  }
}
