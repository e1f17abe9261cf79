/**
 * Stochastic gradient descent with momentum (Sutskever et al., "On the importance of initialization and momentum in deep
 * learning", 2013), as PyTorch writes it: the first step's momentum is the gradient itself, undamped.
 */
import { k } from "../native.js";
import type { Tensor } from "../tensor.js";
import { expectOption, Optimizer, type OptimizerOptions, type OptimizerParams } from "./optimizer.js";

/** Options of SGD, for all parameters or by group. */
export interface SGDOptions extends OptimizerOptions {
  /** Share of the last update that goes on. Default 0. */
  momentum: number;
  /** The gradient joins the momentum times 1 - dampening. Default 0. */
  dampening: number;
  /** Times the parameter, added to its gradient. Default 0. */
  weightDecay: number;
  /** Looks ahead by one momentum update; needs momentum and no dampening. Default false. */
  nesterov: boolean;
  /** Climbs instead: the gradient's sign is turned. Default false. */
  maximize: boolean;
}

/**
 *     g += weightDecay p;  v = momentum v + (1 - dampening) g;  p -= lr (nesterov ? g + momentum v : v)
 *
 * @example
 * const w = tensor([1, 2], { requiresGrad: true });
 * const optimizer = new optim.SGD([w], { lr: 0.1, momentum: 0.9 });
 * w.square().sum().backward();
 * optimizer.step();
 */
export class SGD extends Optimizer<SGDOptions> {
  /**
   * An option outside its range is an error that names it; nesterov needs a momentum above 0 and no dampening.
   *
   * @param params parameters, or groups of them with options of their own
   * @param options lr is 1e-3 unless given
   */
  constructor(
    params: OptimizerParams<SGDOptions>,
    {
      lr = 1e-3,
      momentum = 0,
      dampening = 0,
      weightDecay = 0,
      nesterov = false,
      maximize = false,
    }: Partial<SGDOptions> = {},
  ) {
    super(params, { lr, momentum, dampening, weightDecay, nesterov, maximize });
  }

  protected override check({ lr, momentum, dampening, weightDecay, nesterov }: SGDOptions): void {
    expectOption("SGD", "lr", lr);
    expectOption("SGD", "momentum", momentum);
    expectOption("SGD", "weightDecay", weightDecay);
    expectOption("SGD", "dampening", dampening, Number.NEGATIVE_INFINITY);
    if (nesterov && (momentum === 0 || dampening !== 0)) {
      throw new RangeError(
        `SGD: expected momentum above 0 and dampening 0 with nesterov, got ${momentum} and ${dampening}`,
      );
    }
  }

  protected override bufferNames({ momentum }: SGDOptions): readonly string[] {
    return momentum === 0 ? [] : ["momentum_buffer"];
  }

  protected override update(
    o: SGDOptions,
    params: Tensor[],
    grads: Tensor[],
    [v = []]: Tensor[][],
    step: Tensor,
  ): void {
    const [nesterov, maximize] = [o.nesterov ? 1 : 0, o.maximize ? 1 : 0];
    k.sgd(params, grads, v, step, o.lr, o.momentum, o.dampening, o.weightDecay, nesterov, maximize);
  }
}
