/**
 * Medians, modes and quantiles: elements of the sorted x, or between two of them. What is picked has the gradient.
 */

import { expect, show } from "../errors.js";
import { noGrad } from "../graph.js";
import { k } from "../native.js";
import { empty, type Tensor } from "../tensor.js";
import { add, div, equal, maximum, mul, sub, where } from "./arithmetic.js";
import { to } from "./cast.js";
import { expectComputes, floating, normalizeAxis } from "./common.js";
import { ceil, floor, round } from "./elementwise.js";
import { gather } from "./gather.js";
import { around } from "./recurrence.js";
import { type ReduceOptions, sum } from "./reduce.js";
import type { ValuesAndIndices } from "./scan.js";
import { reshape, stack } from "./shape.js";
import { argsort } from "./sort.js";
import type { Selection } from "./statistics.js";

/** x with at least one dimension, the axis, and the shapes of results with and without it. */
interface Along {
  x: Tensor;
  axis: number;
  shape: number[];
}

function alongOf(op: string, given: Tensor, axis: number | null | undefined, keepDims: boolean): Along {
  expectComputes(op, given.dtype);
  const whole = axis === null || axis === undefined;
  const at = whole ? 0 : normalizeAxis(op, axis, given.ndim);
  const x = whole || given.ndim === 0 ? reshape(given, [given.size]) : given;
  expect(x.shape[at]! > 0, op, "at least one element along the axis", show(given.shape));
  const shape =
    whole || given.ndim === 0
      ? given.shape.flatMap(() => (keepDims ? [1] : []))
      : given.shape.flatMap((e, d) => (d !== at ? [e] : keepDims ? [1] : []));
  return { x, axis: at, shape };
}

/** How many elements along the axis are a number: int32, extent 1 along it. */
const numbersIn = (x: Tensor, axis: number): Tensor => to(sum(equal(x, x), axis, { keepDims: true }), "int32");

function medianOf(op: "median" | "nanmedian"): Selection {
  return ((given: Tensor, axis?: number, { keepDims = false }: ReduceOptions = {}) => {
    const { x, axis: at, shape } = alongOf(op, given, axis, keepDims);
    const indices = noGrad(() => {
      const n = x.shape[at]!;
      const numbers = numbersIn(x, at);
      const middle = to(floor(div(maximum(sub(numbers, 1), 0), 2)), "int32");
      // A NaN is the median where there is one: they stand last.
      const place = op === "nanmedian" ? middle : where(equal(numbers, n), middle, n - 1);
      return gather(argsort(x, at), at, place);
    });
    const values = reshape(gather(x, at, indices), shape);
    return axis === undefined ? values : { values, indices: reshape(indices, shape) };
  }) as Selection;
}

/**
 * The median: of an even number of elements the lower one. Without an axis of all; with one also its place (int32). NaN
 * where there is any.
 */
export const median: Selection = medianOf("median");
/** median() of what is not NaN; NaN where nothing is. */
export const nanmedian: Selection = medianOf("nanmedian");

/** The most frequent element along `axis` (default the last), the smallest of several, and a place of it (int32). */
export function mode(given: Tensor, axis = -1, { keepDims = false }: ReduceOptions = {}): ValuesAndIndices {
  const { x, axis: at, shape } = alongOf("mode", given, axis, keepDims);
  const indices = noGrad(() => {
    const order = argsort(x, at);
    const place = empty(
      x.shape.map((e, d) => (d === at ? 1 : e)),
      "int32",
    );
    k.mode(place, gather(x, at, order), ...around(x.shape, at));
    return gather(order, at, place);
  });
  return { values: reshape(gather(x, at, indices), shape), indices: reshape(indices, shape) };
}

/** Options of quantile and nanquantile. */
export interface QuantileOptions extends ReduceOptions {
  /**
   * Between two elements: in proportion, the lower, the higher, the nearest (of two the even place), or their mean.
   * Default "linear".
   */
  interpolation?: "linear" | "lower" | "higher" | "nearest" | "midpoint";
}

/**
 * The q-quantile along `axis` (default of all elements): the element at place q (n - 1) of the sorted ones, or between
 * two. NaN where there is any.
 *
 * @param q from 0 to 1; several give a result with a leading dimension
 * @example
 * tensor([0, 1, 2, 3]).quantile(0.5);        // 1.5
 * tensor([0, 1, 2, 3]).quantile([0.25, 1]);  // [0.75, 3]
 */
export const quantile = (
  x: Tensor,
  q: number | readonly number[],
  axis: number | null = null,
  options: QuantileOptions = {},
): Tensor => quantiles("quantile", x, q, axis, options);

/** quantile() of what is not NaN; NaN where nothing is. */
export const nanquantile = (
  x: Tensor,
  q: number | readonly number[],
  axis: number | null = null,
  options: QuantileOptions = {},
): Tensor => quantiles("nanquantile", x, q, axis, options);

function quantiles(
  op: "quantile" | "nanquantile",
  given: Tensor,
  q: number | readonly number[],
  axis: number | null,
  { keepDims = false, interpolation = "linear" }: QuantileOptions,
): Tensor {
  const list = typeof q === "number" ? [q] : q;
  if (!Array.isArray(list) || !list.every((v) => v >= 0 && v <= 1))
    throw new RangeError(`${op}: expected numbers q from 0 to 1, got ${JSON.stringify(q)}`);
  if (!["linear", "lower", "higher", "nearest", "midpoint"].includes(interpolation))
    throw new TypeError(
      `${op}: expected interpolation "linear", "lower", "higher", "nearest" or "midpoint", got "${interpolation}"`,
    );
  const { x, axis: at, shape } = alongOf(op, floating(op, given), axis, keepDims);
  const [order, numbers] = noGrad(() => [argsort(x, at), numbersIn(x, at)] as const);
  const parts = list.map((v) => reshape(atRank(op, x, at, v, order, numbers, interpolation), shape));
  if (typeof q === "number") return parts[0]!;
  return parts.length > 0 ? stack(parts) : empty([0, ...shape], x.dtype);
}

function atRank(
  op: "quantile" | "nanquantile",
  x: Tensor,
  axis: number,
  q: number,
  order: Tensor,
  numbers: Tensor,
  interpolation: string,
): Tensor {
  const n = x.shape[axis]!;
  const pick = (place: Tensor) =>
    gather(
      x,
      axis,
      noGrad(() => gather(order, axis, to(place, "int32"))),
    );
  // In float64: float32 counts to 2^24 only. A NaN, where there is one, stands last.
  const rank = noGrad(() => {
    const r = mul(to(maximum(sub(numbers, 1), 0), "float64"), q);
    return op === "nanquantile" ? r : where(equal(numbers, n), r, n - 1);
  });
  if (interpolation === "lower") return pick(floor(rank));
  if (interpolation === "higher") return pick(ceil(rank));
  if (interpolation === "nearest") return pick(round(rank));
  const low = floor(rank);
  const weight = interpolation === "midpoint" ? 0.5 : to(sub(rank, low), x.dtype);
  const [a, b] = [pick(low), pick(ceil(rank))];
  return add(a, mul(sub(b, a), weight));
}
