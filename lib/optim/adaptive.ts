/**
 * Optimizers that divide by the root of an accumulated square of the gradient: RMSprop, Adagrad, Adadelta.
 */
import { k } from "../native.js";
import type { Tensor } from "../tensor.js";
import { expectOption, Optimizer, type OptimizerOptions, type OptimizerParams } from "./optimizer.js";

/** Options of RMSprop, for all parameters or by group. */
export interface RMSpropOptions extends OptimizerOptions {
  /** How much of the running mean of g^2 a step keeps. Default 0.99. */
  alpha: number;
  /** Added to the root. Default 1e-8. */
  eps: number;
  /** Times the parameter, added to its gradient. Default 0. */
  weightDecay: number;
  /** Share of the last update that goes on. Default 0. */
  momentum: number;
  /** Divides by the standard deviation instead of the root of the mean square (Graves 2013). Default false. */
  centered: boolean;
  /** Climbs instead: the gradient's sign is turned. Default false. */
  maximize: boolean;
}

/**
 * Tieleman & Hinton, lecture 6.5 of "Neural networks for machine learning", 2012.
 *
 *     square = alpha square + (1 - alpha) g^2;  p -= lr g / (sqrt(square) + eps)
 *
 * @example
 * const w = tensor([1, 2], { requiresGrad: true });
 * const optimizer = new optim.RMSprop([w], { lr: 1e-2 });
 * w.square().sum().backward();
 * optimizer.step();
 */
export class RMSprop extends Optimizer<RMSpropOptions> {
  /**
   * An option outside its range is an error that names it.
   *
   * @param params parameters, or groups of them with options of their own
   * @param options lr is 1e-2 unless given
   */
  constructor(
    params: OptimizerParams<RMSpropOptions>,
    {
      lr = 1e-2,
      alpha = 0.99,
      eps = 1e-8,
      weightDecay = 0,
      momentum = 0,
      centered = false,
      maximize = false,
    }: Partial<RMSpropOptions> = {},
  ) {
    super(params, { lr, alpha, eps, weightDecay, momentum, centered, maximize });
  }

  protected override check(o: RMSpropOptions): void {
    expectOption("RMSprop", "lr", o.lr);
    expectOption("RMSprop", "alpha", o.alpha, 0, 1);
    expectOption("RMSprop", "eps", o.eps);
    expectOption("RMSprop", "weightDecay", o.weightDecay);
    expectOption("RMSprop", "momentum", o.momentum);
  }

  protected override bufferNames({ momentum, centered }: RMSpropOptions): readonly string[] {
    return ["square_avg", ...(centered ? ["grad_avg"] : []), ...(momentum > 0 ? ["momentum_buffer"] : [])];
  }

  protected override update(
    o: RMSpropOptions,
    params: Tensor[],
    grads: Tensor[],
    [square, ...more]: Tensor[][],
    step: Tensor,
  ): void {
    const average = o.centered ? more[0]! : [];
    const v = more[o.centered ? 1 : 0] ?? [];
    const numbers = [o.lr, o.alpha, o.eps, o.weightDecay, o.momentum, o.maximize ? 1 : 0];
    k.rmsprop(params, grads, square!, average, v, step, ...numbers);
  }
}

/** Options of Adagrad, for all parameters or by group. */
export interface AdagradOptions extends OptimizerOptions {
  /** The rate of step t is lr / (1 + (t - 1) lrDecay). Default 0. */
  lrDecay: number;
  /** Times the parameter, added to its gradient. Default 0. */
  weightDecay: number;
  /** Where the sums of squares start. Default 0. */
  initialAccumulatorValue: number;
  /** Added to the root. Default 1e-10. */
  eps: number;
  /** Climbs instead: the gradient's sign is turned. Default false. */
  maximize: boolean;
}

/**
 * Duchi, Hazan & Singer, "Adaptive subgradient methods", 2011.
 *
 *     sum += g^2;  p -= lr g / (sqrt(sum) + eps)
 *
 * @example
 * const w = tensor([1, 2], { requiresGrad: true });
 * const optimizer = new optim.Adagrad([w], { lr: 1e-2 });
 * w.square().sum().backward();
 * optimizer.step();
 */
export class Adagrad extends Optimizer<AdagradOptions> {
  /**
   * An option outside its range is an error that names it.
   *
   * @param params parameters, or groups of them with options of their own
   * @param options lr is 1e-2 unless given
   */
  constructor(
    params: OptimizerParams<AdagradOptions>,
    {
      lr = 1e-2,
      lrDecay = 0,
      weightDecay = 0,
      initialAccumulatorValue = 0,
      eps = 1e-10,
      maximize = false,
    }: Partial<AdagradOptions> = {},
  ) {
    super(params, { lr, lrDecay, weightDecay, initialAccumulatorValue, eps, maximize });
  }

  protected override check(o: AdagradOptions): void {
    expectOption("Adagrad", "lr", o.lr);
    expectOption("Adagrad", "lrDecay", o.lrDecay);
    expectOption("Adagrad", "weightDecay", o.weightDecay);
    expectOption("Adagrad", "initialAccumulatorValue", o.initialAccumulatorValue);
    expectOption("Adagrad", "eps", o.eps);
  }

  protected override bufferNames(): readonly string[] {
    return ["sum"];
  }

  protected override update(
    o: AdagradOptions,
    params: Tensor[],
    grads: Tensor[],
    [sum]: Tensor[][],
    step: Tensor,
  ): void {
    const numbers = [o.lr, o.lrDecay, o.initialAccumulatorValue, o.eps, o.weightDecay, o.maximize ? 1 : 0];
    k.adagrad(params, grads, sum!, step, ...numbers);
  }
}

/** Options of Adadelta, for all parameters or by group. */
export interface AdadeltaOptions extends OptimizerOptions {
  /** How much of the running means a step keeps. Default 0.9. */
  rho: number;
  /** Added under both roots. Default 1e-6. */
  eps: number;
  /** Times the parameter, added to its gradient. Default 0. */
  weightDecay: number;
  /** Climbs instead: the gradient's sign is turned. Default false. */
  maximize: boolean;
}

/**
 * Zeiler, "ADADELTA: an adaptive learning rate method", 2012. The default rate is 1.
 *
 *     square = rho square + (1 - rho) g^2;  d = sqrt(delta + eps) / sqrt(square + eps) g
 *     delta = rho delta + (1 - rho) d^2;  p -= lr d
 *
 * @example
 * const w = tensor([1, 2], { requiresGrad: true });
 * const optimizer = new optim.Adadelta([w], { lr: 1 });
 * w.square().sum().backward();
 * optimizer.step();
 */
export class Adadelta extends Optimizer<AdadeltaOptions> {
  /**
   * An option outside its range is an error that names it.
   *
   * @param params parameters, or groups of them with options of their own
   * @param options lr is 1 unless given: the method finds the size of its steps itself
   */
  constructor(
    params: OptimizerParams<AdadeltaOptions>,
    { lr = 1, rho = 0.9, eps = 1e-6, weightDecay = 0, maximize = false }: Partial<AdadeltaOptions> = {},
  ) {
    super(params, { lr, rho, eps, weightDecay, maximize });
  }

  protected override check(o: AdadeltaOptions): void {
    expectOption("Adadelta", "lr", o.lr);
    expectOption("Adadelta", "rho", o.rho, 0, 1);
    expectOption("Adadelta", "eps", o.eps);
    expectOption("Adadelta", "weightDecay", o.weightDecay);
  }

  protected override bufferNames(): readonly string[] {
    return ["square_avg", "acc_delta"];
  }

  protected override update(
    o: AdadeltaOptions,
    params: Tensor[],
    grads: Tensor[],
    [square, delta]: Tensor[][],
    step: Tensor,
  ): void {
    k.adadelta(params, grads, square!, delta!, step, o.lr, o.rho, o.eps, o.weightDecay, o.maximize ? 1 : 0);
  }
}
