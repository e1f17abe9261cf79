/**
 * Adam (Kingma & Ba, "Adam: a method for stochastic optimization", 2014) and AdamW (Loshchilov & Hutter, "Decoupled
 * weight decay regularization", 2017). They differ in where the weight decay goes, and in its default.
 */
import { k } from "../native.js";
import type { Tensor } from "../tensor.js";
import { expectMoments, Optimizer, type OptimizerOptions, type OptimizerParams } from "./optimizer.js";

/** Options of Adam and AdamW, for all parameters or by group. */
export interface AdamOptions extends OptimizerOptions {
  /** How much of the running means of g and of g^2 a step keeps. Default [0.9, 0.999]. */
  betas: readonly [number, number];
  /** Added to the root of the second moment. Default 1e-8. */
  eps: number;
  /** Adam: times the parameter, added to its gradient, default 0. AdamW: p shrinks by lr weightDecay p, default 0.01. */
  weightDecay: number;
  /** Divides by the largest second moment so far (Reddi et al., "On the convergence of Adam", 2018). Default false. */
  amsgrad: boolean;
  /** Climbs instead: the gradient's sign is turned. Default false. */
  maximize: boolean;
}

/**
 *     m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2
 *     p -= lr m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps)
 *
 * @example
 * const w = tensor([1, 2], { requiresGrad: true });
 * const optimizer = new optim.Adam([w], { lr: 1e-2 });
 * w.square().sum().backward();
 * optimizer.step();
 */
export class Adam extends Optimizer<AdamOptions> {
  /** Whether weight decay acts on the parameter itself. */
  protected readonly decoupled: boolean = false;

  /**
   * An lr, eps or weightDecay below 0, or a beta outside of [0, 1), is an error.
   *
   * @param params parameters, or groups of them with options of their own
   * @param options lr is 1e-3 unless given
   */
  constructor(
    params: OptimizerParams<AdamOptions>,
    {
      lr = 1e-3,
      betas = [0.9, 0.999],
      eps = 1e-8,
      weightDecay = 0,
      amsgrad = false,
      maximize = false,
    }: Partial<AdamOptions> = {},
  ) {
    super(params, { lr, betas, eps, weightDecay, amsgrad, maximize });
  }

  protected override check(options: AdamOptions): void {
    expectMoments(this.constructor.name, options);
  }

  protected override bufferNames({ amsgrad }: AdamOptions): readonly string[] {
    return amsgrad ? ["exp_avg", "exp_avg_sq", "max_exp_avg_sq"] : ["exp_avg", "exp_avg_sq"];
  }

  protected override update(
    o: AdamOptions,
    params: Tensor[],
    grads: Tensor[],
    [m, v, top = []]: Tensor[][],
    step: Tensor,
  ): void {
    const [decoupled, maximize] = [this.decoupled ? 1 : 0, o.maximize ? 1 : 0];
    const numbers = [o.lr, o.betas[0], o.betas[1], o.eps, o.weightDecay, decoupled, maximize] as const;
    k.adam(params, grads, m!, v!, top, step, ...numbers);
  }
}

/**
 * Adam whose weight decay does not pass through the moments: p *= 1 - lr weightDecay, then Adam's step.
 *
 * @example
 * const w = tensor([1, 2], { requiresGrad: true });
 * const optimizer = new optim.AdamW([w], { lr: 1e-3, weightDecay: 0.05 });
 */
export class AdamW extends Adam {
  protected override readonly decoupled: boolean = true;

  /**
   * As Adam's, with another default.
   *
   * @param params parameters, or groups of them with options of their own
   * @param options weightDecay is 0.01 unless given
   */
  constructor(params: OptimizerParams<AdamOptions>, options: Partial<AdamOptions> = {}) {
    super(params, { weightDecay: 0.01, ...options });
  }
}
