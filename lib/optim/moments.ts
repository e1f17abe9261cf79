/**
 * Relatives of Adam: Adamax, NAdam, RAdam, LAMB.
 */
import { k } from "../native.js";
import type { Tensor } from "../tensor.js";
import { expectMoments, expectOption, Optimizer, type OptimizerOptions, type OptimizerParams } from "./optimizer.js";

/** Options of Adamax, for all parameters or by group. */
export interface AdamaxOptions extends OptimizerOptions {
  /** How much of the mean of g and of the decaying maximum of |g| a step keeps. Default [0.9, 0.999]. */
  betas: readonly [number, number];
  /** Added to |g|. Default 1e-8. */
  eps: number;
  /** Times the parameter, added to its gradient. Default 0. */
  weightDecay: number;
  /** Climbs instead: the gradient's sign is turned. Default false. */
  maximize: boolean;
}

/**
 * Adam with the infinity norm (Kingma & Ba 2014, section 7). The default rate is 2e-3.
 *
 *     norm = max(beta2 norm, |g| + eps);  p -= lr / (1 - beta1^t) m / norm
 *
 * @example
 * const w = tensor([1, 2], { requiresGrad: true });
 * const optimizer = new optim.Adamax([w], { lr: 1e-2 });
 * w.square().sum().backward();
 * optimizer.step();
 */
export class Adamax extends Optimizer<AdamaxOptions> {
  /**
   * An option outside its range is an error that names it.
   *
   * @param params parameters, or groups of them with options of their own
   * @param options lr is 2e-3 unless given
   */
  constructor(
    params: OptimizerParams<AdamaxOptions>,
    { lr = 2e-3, betas = [0.9, 0.999], eps = 1e-8, weightDecay = 0, maximize = false }: Partial<AdamaxOptions> = {},
  ) {
    super(params, { lr, betas, eps, weightDecay, maximize });
  }

  protected override check(o: AdamaxOptions): void {
    expectMoments("Adamax", o);
  }

  protected override bufferNames(): readonly string[] {
    return ["exp_avg", "exp_inf"];
  }

  protected override update(
    o: AdamaxOptions,
    params: Tensor[],
    grads: Tensor[],
    [m, norm]: Tensor[][],
    step: Tensor,
  ): void {
    const numbers = [o.lr, o.betas[0], o.betas[1], o.eps, o.weightDecay, o.maximize ? 1 : 0];
    k.adamax(params, grads, m!, norm!, step, ...numbers);
  }
}

/** Options of NAdam, for all parameters or by group. */
export interface NAdamOptions extends OptimizerOptions {
  /** How much of the running means of g and of g^2 a step keeps. Default [0.9, 0.999]. */
  betas: readonly [number, number];
  /** Added to the root of the second moment. Default 1e-8. */
  eps: number;
  /** Times the parameter, added to its gradient. Default 0. */
  weightDecay: number;
  /** How fast the momentum approaches beta1. Default 4e-3. */
  momentumDecay: number;
}

/**
 * Adam with Nesterov momentum (Dozat, "Incorporating Nesterov momentum into Adam", 2016), as PyTorch 2 computes it. The
 * default rate is 2e-3. Its state holds "mu_product" as one number beside the count of steps.
 *
 * @example
 * const w = tensor([1, 2], { requiresGrad: true });
 * const optimizer = new optim.NAdam([w], { lr: 1e-2 });
 * w.square().sum().backward();
 * optimizer.step();
 */
export class NAdam extends Optimizer<NAdamOptions> {
  /**
   * An option outside its range is an error that names it.
   *
   * @param params parameters, or groups of them with options of their own
   * @param options lr is 2e-3 unless given
   */
  constructor(
    params: OptimizerParams<NAdamOptions>,
    { lr = 2e-3, betas = [0.9, 0.999], eps = 1e-8, weightDecay = 0, momentumDecay = 4e-3 }: Partial<NAdamOptions> = {},
  ) {
    super(params, { lr, betas, eps, weightDecay, momentumDecay });
  }

  protected override check(o: NAdamOptions): void {
    expectMoments("NAdam", o);
    expectOption("NAdam", "momentumDecay", o.momentumDecay);
  }

  protected override bufferNames(): readonly string[] {
    return ["exp_avg", "exp_avg_sq"];
  }

  protected override scalarNames(): readonly string[] {
    return ["mu_product"];
  }

  protected override update(
    o: NAdamOptions,
    params: Tensor[],
    grads: Tensor[],
    [m, v]: Tensor[][],
    step: Tensor,
    [muProduct]: Tensor[],
  ): void {
    const numbers = [o.lr, o.betas[0], o.betas[1], o.eps, o.weightDecay, o.momentumDecay];
    k.nadam(params, grads, m!, v!, step, muProduct!, ...numbers);
  }
}

/** Options of RAdam, for all parameters or by group. */
export interface RAdamOptions extends OptimizerOptions {
  /** How much of the running means of g and of g^2 a step keeps. Default [0.9, 0.999]. */
  betas: readonly [number, number];
  /** Added to the root of the second moment. Default 1e-8. */
  eps: number;
  /** Times the parameter, added to its gradient. Default 0. */
  weightDecay: number;
}

/**
 * Adam that is plain momentum until the second moment can be trusted (Liu et al., "On the variance of the adaptive
 * learning rate and beyond", 2019): no warm-up needed.
 *
 * @example
 * const w = tensor([1, 2], { requiresGrad: true });
 * const optimizer = new optim.RAdam([w], { lr: 1e-2 });
 * w.square().sum().backward();
 * optimizer.step();
 */
export class RAdam extends Optimizer<RAdamOptions> {
  /**
   * An option outside its range is an error that names it.
   *
   * @param params parameters, or groups of them with options of their own
   * @param options lr is 1e-3 unless given
   */
  constructor(
    params: OptimizerParams<RAdamOptions>,
    { lr = 1e-3, betas = [0.9, 0.999], eps = 1e-8, weightDecay = 0 }: Partial<RAdamOptions> = {},
  ) {
    super(params, { lr, betas, eps, weightDecay });
  }

  protected override check(o: RAdamOptions): void {
    expectMoments("RAdam", o);
  }

  protected override bufferNames(): readonly string[] {
    return ["exp_avg", "exp_avg_sq"];
  }

  protected override update(
    o: RAdamOptions,
    params: Tensor[],
    grads: Tensor[],
    [m, v]: Tensor[][],
    step: Tensor,
  ): void {
    k.radam(params, grads, m!, v!, step, o.lr, o.betas[0], o.betas[1], o.eps, o.weightDecay);
  }
}

/** Options of LAMB, for all parameters or by group. */
export interface LAMBOptions extends OptimizerOptions {
  /** How much of the running means of g and of g^2 a step keeps. Default [0.9, 0.999]. */
  betas: readonly [number, number];
  /** Added to the root of the second moment. Default 1e-6. */
  eps: number;
  /** Times the parameter, added to Adam's step before it is scaled. Default 0.01. */
  weightDecay: number;
}

/**
 * Adam's step u, scaled for each tensor by the ratio of norms |p| / |u| (1 where one of them is 0): for very large batches
 * (You et al., "Large batch optimization for deep learning: training BERT in 76 minutes", 2019).
 *
 *     u = m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps) + weightDecay p;  p -= lr |p| / |u| u
 *
 * @example
 * const w = tensor([1, 2], { requiresGrad: true });
 * const optimizer = new optim.LAMB([w], { lr: 1e-2 });
 * w.square().sum().backward();
 * optimizer.step();
 */
export class LAMB extends Optimizer<LAMBOptions> {
  /**
   * An option outside its range is an error that names it.
   *
   * @param params parameters, or groups of them with options of their own
   * @param options lr is 1e-3 and weightDecay 0.01 unless given
   */
  constructor(
    params: OptimizerParams<LAMBOptions>,
    { lr = 1e-3, betas = [0.9, 0.999], eps = 1e-6, weightDecay = 0.01 }: Partial<LAMBOptions> = {},
  ) {
    super(params, { lr, betas, eps, weightDecay });
  }

  protected override check(o: LAMBOptions): void {
    expectMoments("LAMB", o);
  }

  protected override bufferNames(): readonly string[] {
    return ["exp_avg", "exp_avg_sq"];
  }

  protected override update(o: LAMBOptions, params: Tensor[], grads: Tensor[], [m, v]: Tensor[][], step: Tensor): void {
    k.lamb(params, grads, m!, v!, step, o.lr, o.betas[0], o.betas[1], o.eps, o.weightDecay);
  }
}
