/**
 * Functions that choose or blend elements: by a mask, by what they are (NaN, infinite), by a weight. Composed of others,
 * and so with all their derivatives.
 */

import { expect, show } from "../errors.js";
import { record } from "../graph.js";
import type { Tensor } from "../tensor.js";
import { add, div, equal, greater, less, mul, notEqual, sub, where } from "./arithmetic.js";
import { binary, floatOperands, type Operand, operands } from "./binary.js";
import { to } from "./cast.js";
import { isFloat } from "./common.js";
import { abs, sign } from "./elementwise.js";
import { sumTo } from "./reduce.js";

// ---- What an element is: bool, no gradient

/** Whether each element is NaN. */
export const isnan = (x: Tensor): Tensor => notEqual(x, x);
/** Whether each element is infinite, of either sign. */
export const isinf = (x: Tensor): Tensor => equal(abs(x), Number.POSITIVE_INFINITY);
/** Whether each element is neither NaN nor infinite. */
export const isfinite = (x: Tensor): Tensor => less(abs(x), Number.POSITIVE_INFINITY);

// ---- Replacing

/**
 * x with `value`, a number or a tensor of one element, where `mask` is true; the mask broadcasts to x.
 *
 * @example
 * const scores = tensor([[1, 2], [3, 4]]);
 * scores.maskedFill(tensor([[0, 1], [0, 0]]), -Infinity); // [[1, -Infinity], [3, 4]]
 */
export function maskedFill(x: Tensor, mask: Tensor, value: Operand): Tensor {
  const lead = x.ndim - mask.ndim;
  const fits = lead >= 0 && mask.shape.every((e, d) => e === 1 || e === x.shape[lead + d]);
  expect(fits, "maskedFill", `a mask that broadcasts to ${show(x.shape)}`, show(mask.shape));
  if (typeof value !== "number")
    expect(value.size === 1 && value.ndim === 0, "maskedFill", "a number or a tensor of shape []", show(value.shape));
  const y = where(mask, value, x);
  return to(y, x.dtype);
}

const LARGEST: Record<string, number> = { float32: 2 ** 128 - 2 ** 104, float64: Number.MAX_VALUE };

/** Options of nanToNum: what to write in place of the values that are no numbers. */
export interface NanToNumOptions {
  /** For NaN. Default 0. */
  nan?: number;
  /** For infinity. Default the dtype's largest number. */
  posInf?: number;
  /** For minus infinity. Default the dtype's lowest number. */
  negInf?: number;
}
/** x with numbers for NaN and the infinities; the gradient is 0 where one was put in. */
export function nanToNum(x: Tensor, { nan = 0, posInf, negInf }: NanToNumOptions = {}): Tensor {
  if (!isFloat(x.dtype)) return x;
  const most = LARGEST[x.dtype] ?? Number.NaN;
  const finite = where(equal(x, Number.POSITIVE_INFINITY), posInf ?? most, x);
  return where(isnan(x), nan, where(equal(x, Number.NEGATIVE_INFINITY), negInf ?? -most, finite));
}

/** 0 where a is negative or NaN, 1 where it is positive, b where it is 0. No gradient, as in PyTorch. */
export function heaviside(a: Operand, b: Operand): Tensor {
  const [p, q] = operands("heaviside", a, b);
  return where(equal(p, 0), q.detach(), to(greater(p, 0), p.dtype));
}

/** a's size with b's sign, that of -0 and NaN included. d/da is the sign that changed (0 where a is 0), d/db 0. */
export function copysign(a: Operand, b: Operand): Tensor {
  const [p, q] = floatOperands("copysign", a, b);
  const y = binary("copysign", p, q, p.dtype);
  return record(y, "copysign", { a: p, b: q }, { a: p, b: q, y }, (dy, { a, b, y }) => ({
    a: () => sumTo(mul(dy, mul(sign(a), sign(y))), a.shape),
    b: () => sumTo(mul(dy, 0), b.shape),
  }));
}

// ---- Blending

/** other - alpha x. Default alpha 1. */
export const rsub = (x: Tensor, other: Operand, { alpha = 1 }: { alpha?: number } = {}): Tensor =>
  sub(other, alpha === 1 ? x : mul(x, alpha));

/** start + weight (end - start), by the end that is nearer; exact at weights 0 and 1. */
export function lerp(start: Tensor, end: Tensor, weight: Operand): Tensor {
  const way = sub(end, start);
  const fromStart = (): Tensor => add(start, mul(way, weight));
  const rest = typeof weight === "number" ? 1 - weight : sub(1, weight);
  const fromEnd = (): Tensor => sub(end, mul(way, rest));
  if (typeof weight === "number") return Math.abs(weight) < 0.5 ? fromStart() : fromEnd();
  return where(less(abs(weight), 0.5), fromStart(), fromEnd());
}

/** x + value a b. Default value 1. */
export const addcmul = (x: Tensor, a: Tensor, b: Tensor, { value = 1 }: { value?: number } = {}): Tensor =>
  add(x, value === 1 ? mul(a, b) : mul(mul(a, b), value));
/** x + value a / b. Default value 1. */
export const addcdiv = (x: Tensor, a: Tensor, b: Tensor, { value = 1 }: { value?: number } = {}): Tensor =>
  add(x, value === 1 ? div(a, b) : mul(div(a, b), value));
