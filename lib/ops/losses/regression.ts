/**
 * Losses of numbers and of distributions: squared and absolute errors and what lies between, Poisson, Gaussian, divergence.
 */
import { expect, sameShape, show } from "../../errors.js";
import type { Tensor } from "../../tensor.js";
import { add, div, greater, less, lessEqual, mul, sub, where } from "../arithmetic.js";
import { to } from "../cast.js";
import { expectFloat } from "../common.js";
import { abs, clamp, exp, log } from "../elementwise.js";
import { sum } from "../reduce.js";
import { reshape } from "../shape.js";
import { expectFrom, type LossOptions, type Reduction, reduceLoss, targetOf } from "./common.js";

/** (x - target)^2 */
export function mse(x: Tensor, target: Tensor, { reduction = "mean" }: LossOptions = {}): Tensor {
  const difference = sub(x, targetOf("mse", x, target));
  return reduceLoss("mse", mul(difference, difference), reduction);
}

/** |x - target| */
export function l1(x: Tensor, target: Tensor, { reduction = "mean" }: LossOptions = {}): Tensor {
  return reduceLoss("l1", abs(sub(x, targetOf("l1", x, target))), reduction);
}

/** Options of smoothL1. */
export interface SmoothL1Options extends LossOptions {
  /** Where the parabola ends and the line begins; 0 is l1. Default 1. */
  beta?: number;
}

/** d^2 / (2 beta) where d = |x - target| < beta, else d - beta / 2 (Girshick, "Fast R-CNN", 2015). */
export function smoothL1(x: Tensor, target: Tensor, { reduction = "mean", beta = 1 }: SmoothL1Options = {}): Tensor {
  expectFrom("smoothL1", "beta", beta);
  const d = abs(sub(x, targetOf("smoothL1", x, target)));
  const losses = beta === 0 ? d : where(less(d, beta), mul(mul(d, d), 0.5 / beta), sub(d, beta / 2));
  return reduceLoss("smoothL1", losses, reduction);
}

/** Options of huber. */
export interface HuberOptions extends LossOptions {
  /** Where the parabola ends and the line begins, above 0. Default 1. */
  delta?: number;
}

/** d^2 / 2 where d = |x - target| <= delta, else delta (d - delta / 2) (Huber 1964). */
export function huber(x: Tensor, target: Tensor, { reduction = "mean", delta = 1 }: HuberOptions = {}): Tensor {
  expect(delta > 0, "huber", "delta above 0", `${delta}`);
  const d = abs(sub(x, targetOf("huber", x, target)));
  const losses = where(lessEqual(d, delta), mul(mul(d, d), 0.5), mul(sub(d, delta / 2), delta));
  return reduceLoss("huber", losses, reduction);
}

/** Options of poissonNll. */
export interface PoissonNllOptions extends LossOptions {
  /** Whether x is the logarithm of the rate. Default true. */
  logInput?: boolean;
  /** Adds Stirling's approximation of log(target!) where the target is above 1. Default false. */
  full?: boolean;
  /** Added to the rate before its logarithm, with logInput false. Default 1e-8. */
  eps?: number;
}

/**
 * Negative log-likelihood of counts: exp(x) - target x, or with logInput false x - target log(x + eps).
 *
 * @param target counts, of x's shape
 */
export function poissonNll(x: Tensor, target: Tensor, options: PoissonNllOptions = {}): Tensor {
  const { reduction = "mean", logInput = true, full = false, eps = 1e-8 } = options;
  const t = targetOf("poissonNll", x, target);
  const losses = logInput ? sub(exp(x), mul(t, x)) : sub(x, mul(t, log(add(x, eps))));
  if (!full) return reduceLoss("poissonNll", losses, reduction);
  // log t! = t log t - t + log(2 pi t) / 2
  const large = where(greater(t, 1), t, 1);
  const stirling = add(sub(mul(large, log(large)), large), mul(log(mul(large, 2 * Math.PI)), 0.5));
  return reduceLoss("poissonNll", add(losses, where(greater(t, 1), stirling, 0)), reduction);
}

/** Options of gaussianNll. */
export interface GaussianNllOptions extends LossOptions {
  /** Adds log(2 pi) / 2. Default false. */
  full?: boolean;
  /** Least variance. Default 1e-6. */
  eps?: number;
}

/**
 * Negative log-likelihood of normal distributions: (log v + (x - target)^2 / v) / 2 with v = max(variance, eps).
 *
 * @param x means, of any shape
 * @param target of x's shape
 * @param variance of x's shape, or without its last dimension, or with 1 there
 */
export function gaussianNll(
  x: Tensor,
  target: Tensor,
  variance: Tensor,
  { reduction = "mean", full = false, eps = 1e-6 }: GaussianNllOptions = {},
): Tensor {
  const op = "gaussianNll";
  const t = targetOf(op, x, target);
  expect(eps > 0, op, "eps above 0", `${eps}`);
  const rows = x.shape.slice(0, -1);
  const shared = [...rows, 1];
  const fits = [x.shape, rows, shared].some((shape) => sameShape(variance.shape, shape));
  expect(fits, op, `a variance of shape ${show(x.shape)} or ${show(shared)}`, show(variance.shape));
  const given = to(variance, x.dtype);
  const v = clamp(sameShape(given.shape, x.shape) ? given : reshape(given, shared), eps);
  const difference = sub(x, t);
  const losses = mul(add(log(v), div(mul(difference, difference), v)), 0.5);
  return reduceLoss(op, full ? add(losses, 0.5 * Math.log(2 * Math.PI)) : losses, reduction);
}

/** Options of kl. */
export interface KlOptions {
  /** "batchmean" divides the sum by the first extent, which is the divergence a sample; "mean" by all elements (default). */
  reduction?: Reduction | "batchmean";
  /** Whether the target is a logarithm too. Default false. */
  logTarget?: boolean;
}

/**
 * Kullback-Leibler divergence from x to the target: target (log target - x).
 *
 * @param x logarithms of probabilities
 * @param target probabilities, of x's shape (logarithms with logTarget); 0 log 0 is 0
 */
export function kl(x: Tensor, target: Tensor, { reduction = "mean", logTarget = false }: KlOptions = {}): Tensor {
  const t = targetOf("kl", x, target);
  const losses = logTarget ? mul(exp(t), sub(t, x)) : mul(t, sub(log(where(greater(t, 0), t, 1)), x));
  if (reduction !== "batchmean") return reduceLoss("kl", losses, reduction);
  expectFloat("kl", x);
  expect(x.ndim >= 1, "kl", "at least one dimension for batchmean", show(x.shape));
  return div(sum(losses), x.shape[0]!);
}
