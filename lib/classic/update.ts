/**
 * Update rules in CS231n's form: (w, dw, config) to [next w, config]. A config holds its hyper-parameters and the state of
 * the rule; missing hyper-parameters are filled in, the state is replaced at each call. For training modules use `optim`.
 */
import { noGrad } from "../graph.js";
import { keep, unscoped } from "../memory.js";
import { add, div, mul, sub } from "../ops/arithmetic.js";
import { zerosLike } from "../ops/create.js";
import { sqrt } from "../ops/elementwise.js";
import type { Tensor } from "../tensor.js";

/** Config of sgd(). */
export interface SgdConfig {
  /** Default 1e-2. */
  learningRate?: number;
}
/** Config of sgdMomentum(): hyper-parameters, and the state that it leaves. */
export interface SgdMomentumConfig extends SgdConfig {
  /** Default 0.9. */
  momentum?: number;
  /** Default zeros. */
  velocity?: Tensor;
}
/** Config of rmsprop(): hyper-parameters, and the state that it leaves. */
export interface RmspropConfig extends SgdConfig {
  /** Default 0.99. */
  decayRate?: number;
  /** Default 1e-8. */
  epsilon?: number;
  /** Running mean of squared gradients. Default zeros. */
  cache?: Tensor;
}
/** Config of adam(): hyper-parameters, and the state that it leaves. */
export interface AdamConfig {
  /** Default 1e-3. */
  learningRate?: number;
  /** Default 0.9. */
  beta1?: number;
  /** Default 0.999. */
  beta2?: number;
  /** Default 1e-8. */
  epsilon?: number;
  /** Running means of the gradient and of its square. Default zeros. */
  m?: Tensor;
  /** Running mean of the gradient's square. Default zeros. */
  v?: Tensor;
  /** Steps so far. Default 0. */
  t?: number;
}

/** A rule of this file. */
export type UpdateRule<C> = (w: Tensor, dw: Tensor, config?: C) => [nextW: Tensor, config: C];

// State belongs to no scope: it outlives the step that made it.
const state = (fn: () => Tensor): Tensor => unscoped(() => keep(fn()));

/** sgd: w - lr dw. */
export const sgd: UpdateRule<SgdConfig> = (w, dw, config = {}) =>
  noGrad(() => {
    const { learningRate = 1e-2 } = config;
    config.learningRate = learningRate;
    return [sub(w, mul(dw, learningRate)), config];
  });

/** sgd_momentum: v = momentum v - lr dw; w + v. */
export const sgdMomentum: UpdateRule<SgdMomentumConfig> = (w, dw, config = {}) =>
  noGrad(() => {
    const { learningRate = 1e-2, momentum = 0.9, velocity = zerosLike(w) } = config;
    const next = state(() => sub(mul(velocity, momentum), mul(dw, learningRate)));
    Object.assign(config, { learningRate, momentum, velocity: next });
    return [add(w, next), config];
  });

/** rmsprop (Tieleman & Hinton 2012): c = decay c + (1 - decay) dw^2; w - lr dw / (sqrt c + eps). */
export const rmsprop: UpdateRule<RmspropConfig> = (w, dw, config = {}) =>
  noGrad(() => {
    const { learningRate = 1e-2, decayRate = 0.99, epsilon = 1e-8, cache = zerosLike(w) } = config;
    const next = state(() => add(mul(cache, decayRate), mul(mul(dw, dw), 1 - decayRate)));
    Object.assign(config, { learningRate, decayRate, epsilon, cache: next });
    return [sub(w, mul(div(dw, add(sqrt(next), epsilon)), learningRate)), config];
  });

/** adam (Kingma & Ba 2015), with the correction of the first steps' bias; t is counted up before it is used. */
export const adam: UpdateRule<AdamConfig> = (w, dw, config = {}) =>
  noGrad(() => {
    const { learningRate = 1e-3, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8 } = config;
    const t = (config.t ?? 0) + 1;
    const m = state(() => add(mul(config.m ?? zerosLike(w), beta1), mul(dw, 1 - beta1)));
    const v = state(() => add(mul(config.v ?? zerosLike(w), beta2), mul(mul(dw, dw), 1 - beta2)));
    Object.assign(config, { learningRate, beta1, beta2, epsilon, m, v, t });
    const mHat = mul(m, 1 / (1 - beta1 ** t));
    const vHat = mul(v, 1 / (1 - beta2 ** t));
    return [sub(w, mul(div(mHat, add(sqrt(vHat), epsilon)), learningRate)), config];
  });
