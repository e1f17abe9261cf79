/**
 * Reductions composed of others: spread, norms, extremes with their places, and what leaves NaN out.
 */
import { noGrad, record } from "../graph.js";
import type { Tensor } from "../tensor.js";
import { add, div, equal, mul, sub, where } from "./arithmetic.js";
import { to } from "./cast.js";
import { floating, isFloat, normalizeAxes, normalizeAxis } from "./common.js";
import { abs, exp, log, powScalar, sqrt } from "./elementwise.js";
import { takeAlong } from "./gather.js";
import { type Axes, amax, amin, argmax, argmin, type ReduceOptions, sum, variance } from "./reduce.js";
import type { ValuesAndIndices } from "./scan.js";
import { reshape } from "./shape.js";

/** f of x where x is not 0, and 0 with gradient 0 elsewhere: for f whose derivative is infinite there. */
function exceptAt0(x: Tensor, f: (x: Tensor) => Tensor): Tensor {
  const zero = equal(x, 0);
  return where(zero, 0, f(where(zero, 1, x)));
}

/**
 * Standard deviation over `axes` (default all): the root of variance(), whose default correction of 1 it shares. Where it
 * is 0, so is the gradient.
 */
export const std = (x: Tensor, axes: Axes = null, options: ReduceOptions & { correction?: number } = {}): Tensor =>
  exceptAt0(variance(floating("std", x), axes, options), sqrt);

// ---- Extremes

/** An op that picks elements: without an axis one of all, with one those along it and their places. */
export interface Selection {
  (x: Tensor): Tensor;
  (x: Tensor, axis: number, options?: ReduceOptions): ValuesAndIndices;
}
/** A Selection as a method. */
export interface SelectionMethod {
  (): Tensor;
  (axis: number, options?: ReduceOptions): ValuesAndIndices;
}

function extreme(name: "max" | "min"): Selection {
  const [whole, place] = name === "max" ? [amax, argmax] : [amin, argmin];
  return ((x: Tensor, axis?: number, { keepDims = false }: ReduceOptions = {}) => {
    if (axis === undefined) return whole(x);
    const at = normalizeAxis(name, axis, x.ndim);
    const flat = x.ndim === 0 ? reshape(x, [1]) : x;
    const places = place(flat, at, { keepDims: true });
    const shape = keepDims ? [...x.shape] : x.shape.filter((_, d) => d !== at);
    if (keepDims && x.ndim > 0) shape[at] = 1;
    return { values: reshape(takeAlong(flat, places, at), shape), indices: reshape(places, shape) };
  }) as Selection;
}

/**
 * The largest element; with an axis the largest along it and where they stand (int32): the first of equals, NaN wins.
 * Without an axis ties share the gradient, with one it goes to the element found.
 *
 * @example
 * const { values, indices } = tensor([[1, 3, 2]]).max(1); // [3], [1]
 */
export const max: Selection = extreme("max");
/** The smallest element; with an axis the smallest along it and where they stand (int32), as max(). */
export const min: Selection = extreme("min");

/** What aminmax gives. */
export interface MinMax {
  /** The smallest elements. */
  min: Tensor;
  /** The largest elements. */
  max: Tensor;
}

/** Smallest and largest element over `axes` (default all), as amin() and amax(). */
export const aminmax = (x: Tensor, axes: Axes = null, options: ReduceOptions = {}): MinMax => ({
  min: amin(x, axes, options),
  max: amax(x, axes, options),
});

// ---- Norms

/**
 * (sum |x|^p)^(1/p) over `axes` (default all). p = Infinity: the largest |x|, -Infinity: the smallest, 0: how many are
 * not 0, "fro": 2. Where the norm is 0, so is the gradient.
 *
 * @param p default 2
 */
export function norm(
  given: Tensor,
  p: number | "fro" = 2,
  axes: Axes = null,
  { keepDims = false }: ReduceOptions = {},
): Tensor {
  if (p !== "fro" && (typeof p !== "number" || Number.isNaN(p)))
    throw new TypeError(`norm: expected p to be a number or "fro", got ${String(p)}`);
  const x = floating("norm", given);
  const over = normalizeAxes("norm", axes, x.ndim);
  if (p === "fro" || p === 2) return exceptAt0(sum(mul(x, x), over, { keepDims }), sqrt);
  if (p === 0) return to(countNonzero(x, over, { keepDims }), x.dtype);
  const size = abs(x);
  if (p === 1) return sum(size, over, { keepDims });
  if (p === Number.POSITIVE_INFINITY) return amax(size, over, { keepDims });
  if (p === Number.NEGATIVE_INFINITY) return amin(size, over, { keepDims });
  if (p < 0) return powScalar(sum(powScalar(size, p), over, { keepDims }), 1 / p);
  const power = (exponent: number) => (y: Tensor) => powScalar(y, exponent);
  return exceptAt0(sum(exceptAt0(size, power(p)), over, { keepDims }), power(1 / p));
}

/** How many elements over `axes` (default all) are not 0: int64. */
export const countNonzero = (x: Tensor, axes: Axes = null, options: ReduceOptions = {}): Tensor =>
  sum(to(x, "bool"), axes, options);

/** log sum exp(x) over `axes` (default all), stable: the largest element is taken out. */
export function logsumexp(given: Tensor, axes: Axes = null, { keepDims = false }: ReduceOptions = {}): Tensor {
  const x = floating("logsumexp", given);
  const over = normalizeAxes("logsumexp", axes, x.ndim);
  const wide = x.shape.map((e, d) => (over.includes(d) ? 1 : e));
  const shape = keepDims ? wide : x.shape.filter((_, d) => !over.includes(d));
  const y = noGrad(logOfSum(x, over, shape));
  // dx = dy exp(x - y)
  return record(y, "logsumexp", { x }, { x, y }, (dy, { x, y }) => ({
    x: () => mul(reshape(dy, wide), exp(sub(x, reshape(y, wide)))),
  }));
}

/** Apart from logsumexp: a closure that uses x, beside the gradient's, would keep it. */
const logOfSum = (x: Tensor, over: number[], shape: number[]) => (): Tensor => {
  const top = amax(x, over, { keepDims: true });
  const m = where(equal(abs(top), Number.POSITIVE_INFINITY), 0, top);
  return reshape(add(log(sum(exp(sub(x, m)), over, { keepDims: true })), m), shape);
};

// ---- Without NaN

/** Which elements are a number. */
const isNumber = (x: Tensor): Tensor => equal(x, x);

/** Sum over `axes` (default all) of what is not NaN. */
export function nansum(given: Tensor, axes: Axes = null, options: ReduceOptions = {}): Tensor {
  return sum(isFloat(given.dtype) ? where(isNumber(given), given, 0) : given, axes, options);
}

/** Mean over `axes` (default all) of what is not NaN; NaN where nothing is. */
export function nanmean(given: Tensor, axes: Axes = null, options: ReduceOptions = {}): Tensor {
  const x = floating("nanmean", given);
  return div(nansum(x, axes, options), to(sum(isNumber(x), axes, options), x.dtype));
}
