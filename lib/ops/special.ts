/**
 * Logarithms and powers of other bases, and special functions: erfc, erfinv, the gamma function's logarithm and its
 * derivatives, logit, xlogy, logaddexp.
 */

import { expect } from "../errors.js";
import { record } from "../graph.js";
import type { Tensor } from "../tensor.js";
import { div, equal, lessEqual, logicalAnd, mul, sub, where } from "./arithmetic.js";
import { binary, floatOperands, type Operand } from "./binary.js";
import { clamp, exp, log, sigmoid } from "./elementwise.js";
import { sumTo } from "./reduce.js";
import { type Unary, unary, unary1 } from "./unary.js";

/** 2 ** x */
export const exp2: Unary = unary("exp2", "y", (dy, y) => mul(dy, mul(y, Math.LN2)));
/** The logarithm to base 2. */
export const log2: Unary = unary("log2", "x", (dy, x) => div(dy, mul(x, Math.LN2)));
/** The logarithm to base 10. */
export const log10: Unary = unary("log10", "x", (dy, x) => div(dy, mul(x, Math.LN10)));

/** 1 - erf(x), exact where that is small. */
export const erfc: Unary = unary("erfc", "x", (dy, x) =>
  mul(dy, mul(exp(mul(mul(x, x), -1)), -2 / Math.sqrt(Math.PI))),
);
/** The number whose erf is x; infinite at -1 and 1, NaN beyond. */
export const erfinv: Unary = unary("erfinv", "y", (dy, y) => mul(dy, mul(exp(mul(y, y)), Math.sqrt(Math.PI) / 2)));

/** log |Gamma(x)|; infinite at 0, -1, -2, ... */
export const lgamma: Unary = unary("lgamma", "x", (dy, x) => mul(dy, digamma(x)));
/** The derivative of lgamma, also called psi; NaN at -1, -2, ... */
export const digamma: Unary = unary("digamma", "x", (dy, x) => mul(dy, polygamma(x, 1)));

const polygammaOf = unary1("polygamma", (dy, x, n) => mul(dy, polygammaOf(x, n + 1)));
/** The n-th derivative of digamma, n a whole number from 0 to 100. */
export function polygamma(x: Tensor, n: number): Tensor {
  expect(Number.isInteger(n) && n >= 0 && n <= 100, "polygamma", "a whole number n from 0 to 100", `${n}`);
  return polygammaOf(x, n);
}

const logitOf = unary("logit", "x", (dy, x) => div(dy, mul(x, sub(1, x))));
/**
 * log(x / (1 - x)), the number whose sigmoid is x. With `eps`, x is first kept between eps and 1 - eps, and beyond them
 * the gradient is 0; without, 0 and 1 give infinities and what lies beyond NaN.
 */
export function logit(x: Tensor, { eps }: { eps?: number } = {}): Tensor {
  if (eps === undefined) return logitOf(x);
  expect(eps >= 0 && eps <= 0.5, "logit", "an eps from 0 to 0.5", `${eps}`);
  return logitOf(clamp(x, eps, 1 - eps));
}

/** a log(b), and 0 where a is 0 unless b is NaN. */
export function xlogy(a: Operand, b: Operand): Tensor {
  const [p, q] = floatOperands("xlogy", a, b);
  return record(binary("xlogy", p, q, p.dtype), "xlogy", { a: p, b: q }, { a: p, b: q }, (dy, { a, b }) => ({
    a: () => sumTo(where(logicalAnd(equal(a, 0), lessEqual(b, 0)), 0, mul(dy, log(b))), a.shape),
    b: () => sumTo(mul(dy, div(a, b)), b.shape),
  }));
}

/** log(exp(a) + exp(b)), where the exponentials alone would overflow. */
export function logaddexp(a: Operand, b: Operand): Tensor {
  const [p, q] = floatOperands("logaddexp", a, b);
  return record(binary("logaddexp", p, q, p.dtype), "logaddexp", { a: p, b: q }, { a: p, b: q }, (dy, { a, b }) => ({
    a: () => sumTo(mul(dy, sigmoid(sub(a, b))), a.shape),
    b: () => sumTo(mul(dy, sigmoid(sub(b, a))), b.shape),
  }));
}
