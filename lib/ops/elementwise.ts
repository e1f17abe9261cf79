/**
 * Functions of one tensor (lib/ops/unary.ts says how they are made): powers, exponentials, logarithms, rounding, and the
 * first activations.
 */
import { expect } from "../errors.js";
import { Tensor } from "../tensor.js";
import { add, div, greater, greaterEqual, less, lessEqual, logicalAnd, mul, sub, where } from "./arithmetic.js";
import type { Operand } from "./binary.js";
import { isFloat } from "./common.js";
import { zerosLike } from "./create.js";
import { reluComposed } from "./reluGradient.js";
import { step, type Unary, unary, unary1, unary2 } from "./unary.js";

/** -x */
export const neg: Unary = (x) => mul(x, -1);
/** |x|; gradient 0 at 0. */
export const abs: Unary = unary("abs", "x", (dy, x) => mul(dy, sign(x)));
/** x^2 */
export const square: Unary = unary("square", "x", (dy, x) => mul(dy, mul(x, 2)));
/** 1 / x */
export const reciprocal: Unary = unary("reciprocal", "y", (dy, y) => mul(mul(dy, mul(y, y)), -1));
/** The square root; NaN below 0. */
export const sqrt: Unary = unary("sqrt", "y", (dy, y) => div(mul(dy, 0.5), y));
/** 1 / sqrt(x) */
export const rsqrt: Unary = unary("rsqrt", "y", (dy, y) => mul(dy, mul(mul(y, mul(y, y)), -0.5)));
/** e^x */
export const exp: Unary = unary("exp", "y", (dy, y) => mul(dy, y));
/** exp(x) - 1, exact near 0. */
export const expm1: Unary = unary("expm1", "y", (dy, y) => mul(dy, add(y, 1)));
/** The natural logarithm; NaN below 0. */
export const log: Unary = unary("log", "x", (dy, x) => div(dy, x));
/** log(1 + x), exact near 0. */
export const log1p: Unary = unary("log1p", "x", (dy, x) => div(dy, add(x, 1)));
/** The sine of x radians. */
export const sin: Unary = unary("sin", "x", (dy, x) => mul(dy, cos(x)));
/** The cosine of x radians. */
export const cos: Unary = unary("cos", "x", (dy, x) => mul(dy, mul(sin(x), -1)));
/** The hyperbolic tangent. */
export const tanh: Unary = unary("tanh", "y", (dy, y) => mul(dy, sub(1, mul(y, y))));
/** 1 / (1 + exp(-x)) */
export const sigmoid: Unary = unary("sigmoid", "y", (dy, y) => mul(dy, mul(y, sub(1, y))));
/** The error function: 2 / sqrt(pi) times the integral of exp(-t^2) from 0 to x. */
export const erf: Unary = unary("erf", "x", (dy, x) => mul(dy, mul(exp(mul(mul(x, x), -1)), 2 / Math.sqrt(Math.PI))));
/** max(x, 0) */
export const relu: Unary = unary("relu", "y", reluComposed);
/** x sigmoid(x) (Elfwing et al. 2017, "swish") */
export const silu: Unary = unary("silu", "x", (dy, x) => mul(dy, mul(sigmoid(x), add(mul(x, sub(1, sigmoid(x))), 1))));
const softplusOf = unary("softplus", "x", (dy, x) => mul(dy, sigmoid(x)));
/** log(1 + exp(beta x)) / beta, without overflow. Default beta 1; above 0. */
export function softplus(x: Tensor, { beta = 1 }: { beta?: number } = {}): Tensor {
  expect(beta > 0, "softplus", "a beta above 0", `${beta}`);
  return beta === 1 ? softplusOf(x) : mul(softplusOf(mul(x, beta)), 1 / beta);
}

const geluErf = unary("gelu", "x", (dy, x) => {
  const cdf = mul(add(erf(mul(x, Math.SQRT1_2)), 1), 0.5);
  const pdf = mul(exp(mul(mul(x, x), -0.5)), 1 / Math.sqrt(2 * Math.PI));
  return mul(dy, add(cdf, mul(x, pdf)));
});
const geluTanh = unary("geluTanh", "x", (dy, x) => {
  const c = 2 * Math.sqrt(2 / Math.PI); // gelu(x) ~ x sigmoid(c (x + 0.044715 x^3))
  const s = sigmoid(mul(mul(x, add(mul(mul(x, x), 0.044715), 1)), c));
  return mul(dy, mul(s, add(mul(mul(x, sub(1, s)), mul(add(mul(mul(x, x), 0.134145), 1), c)), 1)));
});
/** x times the normal distribution's probability below x (Hendrycks & Gimpel 2016), exact or by tanh. Default exact. */
export const gelu = (x: Tensor, { approximate = "none" }: { approximate?: "none" | "tanh" } = {}): Tensor =>
  approximate === "tanh" ? geluTanh(x) : geluErf(x);

/** -1, 0 or 1 */
export const sign: Unary = step("sign");
/** The nearest integer not above x. */
export const floor: Unary = step("floor");
/** The nearest integer not below x. */
export const ceil: Unary = step("ceil");
/** x without its fraction, towards 0. */
export const trunc: Unary = step("trunc");
/** To the nearest integer, ties to even. */
export const round: Unary = step("round");

const leaky = unary1("leakyRelu", (dy, x, alpha) => where(greater(x, 0), dy, mul(dy, alpha)));
const eluOf = unary1("elu", (dy, x, alpha) => where(greater(x, 0), dy, mul(dy, mul(exp(x), alpha))));
/** x ** exponent, for a number. */
export const powScalar: (x: Tensor, exponent: number) => Tensor = unary1("powScalar", (dy, x, alpha) =>
  alpha === 0 ? zerosLike(dy) : mul(dy, mul(powScalar(x, alpha - 1), alpha)),
);
/** x where positive, negativeSlope x elsewhere. Default slope 0.01. */
export const leakyRelu = (x: Tensor, negativeSlope = 0.01): Tensor => leaky(x, negativeSlope);
/** x where positive, alpha (exp(x) - 1) elsewhere. Default alpha 1 (Clevert et al. 2015). */
export const elu = (x: Tensor, alpha = 1): Tensor => eluOf(x, alpha);

const clampOf = unary2("clamp", (dy, x, low, high) =>
  where(logicalAnd(greaterEqual(x, low), lessEqual(x, high)), dy, 0),
);
/**
 * x kept between low and high, numbers or tensors that broadcast with x; null or nothing is no bound, and high wins where
 * it is below low. The gradient passes to x where x lies within, else to the bound. Integers between integers stay so.
 */
export function clamp(x: Tensor, low: Operand | null = null, high: Operand | null = null): Tensor {
  if (isFloat(x.dtype) && !(low instanceof Tensor) && !(high instanceof Tensor))
    return clampOf(x, low ?? Number.NEGATIVE_INFINITY, high ?? Number.POSITIVE_INFINITY);
  const above = low === null || low === Number.NEGATIVE_INFINITY ? x : where(less(x, low), low, x);
  return high === null || high === Number.POSITIVE_INFINITY ? above : where(greater(above, high), high, above);
}
