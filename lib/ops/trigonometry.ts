/**
 * Trigonometric and hyperbolic functions, their inverses, and angles. sin, cos and tanh stand in elementwise.ts, atan2 in
 * arithmetic.ts. Angles are in radians.
 */
import { record } from "../graph.js";
import type { Tensor } from "../tensor.js";
import { add, div, mul, sub } from "./arithmetic.js";
import { binary, floatOperands, type Operand } from "./binary.js";
import { rsqrt } from "./elementwise.js";
import { sumTo } from "./reduce.js";
import { type Unary, unary } from "./unary.js";

/** The tangent. */
export const tan: Unary = unary("tan", "y", (dy, y) => mul(dy, add(mul(y, y), 1)));
/** The angle in [-pi/2, pi/2] whose sine is x; NaN outside [-1, 1]. */
export const asin: Unary = unary("asin", "x", (dy, x) => mul(dy, rsqrt(mul(sub(1, x), add(x, 1)))));
/** The angle in [0, pi] whose cosine is x; NaN outside [-1, 1]. */
export const acos: Unary = unary("acos", "x", (dy, x) => mul(mul(dy, rsqrt(mul(sub(1, x), add(x, 1)))), -1));
/** The angle in (-pi/2, pi/2) whose tangent is x. */
export const atan: Unary = unary("atan", "x", (dy, x) => div(dy, add(mul(x, x), 1)));
/** (exp(x) - exp(-x)) / 2 */
export const sinh: Unary = unary("sinh", "x", (dy, x) => mul(dy, cosh(x)));
/** (exp(x) + exp(-x)) / 2 */
export const cosh: Unary = unary("cosh", "x", (dy, x) => mul(dy, sinh(x)));
/** The number whose sinh is x. */
export const asinh: Unary = unary("asinh", "x", (dy, x) => mul(dy, rsqrt(add(mul(x, x), 1))));
/** The number from 0 up whose cosh is x; NaN below 1. */
export const acosh: Unary = unary("acosh", "x", (dy, x) => mul(dy, rsqrt(mul(sub(x, 1), add(x, 1)))));
/** The number whose tanh is x; infinite at -1 and 1, NaN beyond. */
export const atanh: Unary = unary("atanh", "x", (dy, x) => div(dy, mul(sub(1, x), add(x, 1))));

/** Degrees to radians. */
export const deg2rad: Unary = (x) => mul(x, Math.PI / 180);
/** Radians to degrees. */
export const rad2deg: Unary = (x) => mul(x, 180 / Math.PI);

/** sqrt(a^2 + b^2), without overflow of the squares. The gradient at a = b = 0 is NaN, as in PyTorch. */
export function hypot(a: Operand, b: Operand): Tensor {
  const [p, q] = floatOperands("hypot", a, b);
  const y = binary("hypot", p, q, p.dtype);
  return record(y, "hypot", { a: p, b: q }, { a: p, b: q, y }, (dy, { a, b, y }) => ({
    a: () => sumTo(mul(dy, div(a, y)), a.shape),
    b: () => sumTo(mul(dy, div(b, y)), b.shape),
  }));
}
