/**
 * How often elements occur: unique values, bins and histograms. The length of some results is known only when x is: those
 * wait for it, blocking the event loop, and say so.
 */

import { expect, sameShape, show } from "../errors.js";
import { noGrad } from "../graph.js";
import { FLOATS } from "../native.js";
import { Tensor } from "../tensor.js";
import {
  add,
  div,
  equal,
  greaterEqual,
  lessEqual,
  logicalAnd,
  maximum,
  minimum,
  mul,
  notEqual,
  sub,
  where,
} from "./arithmetic.js";
import { to } from "./cast.js";
import { expectSameDType } from "./common.js";
import { full, linspace, ones, zeros } from "./create.js";
import { scatter, scatterAdd, take } from "./gather.js";
import { nonzero } from "./masks.js";
import { amax, amin, sum } from "./reduce.js";
import { cumsum, diff } from "./scan.js";
import { cat, reshape, slice } from "./shape.js";
import { argsort, searchsorted } from "./sort.js";

/** What unique and uniqueConsecutive give. */
export interface Unique {
  /** `[n]`: each value once, of x's dtype; in rising order from unique, in x's order from uniqueConsecutive. */
  values: Tensor;
  /** Which of the values each element of x is: int32, x's shape. */
  inverse: Tensor;
  /** How often each occurs: int32 [n]. */
  counts: Tensor;
}

/** Runs of equals in x[n]: their first elements, the run of each element, their lengths. */
function runs(x: Tensor): Unique {
  const n = x.shape[0]!;
  const changes = n > 0 ? notEqual(slice(x, [1]), slice(x, [0, -1])) : zeros([0], { dtype: "bool" });
  const first = cat([ones([Math.min(n, 1)], { dtype: "bool" }), changes]);
  const starts = reshape(nonzero(first), [-1]);
  return {
    values: take(x, starts),
    inverse: to(sub(cumsum(first, 0), 1), "int32"),
    counts: diff(starts, 1, 0, { append: full([1], n, { dtype: "int32" }) }),
  };
}

/**
 * The different elements of x in ascending order, each element's place among them, and how often each occurs. Every NaN is
 * one of its own. No gradient. Blocks until x is known.
 *
 * @example
 * const { values, counts } = tensor([3, 1, 3]).unique(); // [1, 3], [1, 2]
 */
export function unique(x: Tensor): Unique {
  return noGrad(() => {
    const flat = reshape(x, [x.size]);
    const order = argsort(flat, 0);
    const { values, inverse, counts } = runs(take(flat, order));
    const back = scatter(zeros([x.size], { dtype: "int32" }), 0, order, inverse);
    return { values, inverse: reshape(back, x.shape), counts };
  });
}

/** unique() of neighbours only: x without the elements that equal the one before. No gradient. Blocks until x is known. */
export function uniqueConsecutive(x: Tensor): Unique {
  return noGrad(() => {
    const { values, inverse, counts } = runs(reshape(x, [x.size]));
    return { values, inverse: reshape(inverse, x.shape), counts };
  });
}

/** Options of bincount. */
export interface BincountOptions {
  /** What each element counts, of x's shape and a float dtype, with a gradient. Default 1 each. */
  weights?: Tensor;
  /** Least length of the result. Default 0. */
  minLength?: number;
}

/**
 * How often 0, 1, 2, ... occur in x: int32, or sums of the weights in their dtype. As long as the largest element asks,
 * which is known without waiting where x came from host data; else this blocks until x is known.
 *
 * @param x int32, int64 or uint8, from 0 up, one dimension
 */
export function bincount(x: Tensor, { weights, minLength = 0 }: BincountOptions = {}): Tensor {
  if (x.dtype !== "int32" && x.dtype !== "int64" && x.dtype !== "uint8")
    throw new TypeError(`bincount: expected int32, int64 or uint8, got ${x.dtype}; convert it with .to("int32")`);
  expect(x.ndim === 1, "bincount", "x of one dimension", show(x.shape));
  expect(Number.isSafeInteger(minLength) && minLength >= 0, "bincount", "a minLength from 0 up", `${minLength}`);
  const [low, high] = x.size === 0 ? [0, -1] : (x.storage.range ?? [amin(x).itemSync(), amax(x).itemSync()]);
  if (low < 0) throw new RangeError(`bincount: expected elements from 0 up, got ${low}`);
  const length = Math.max(high + 1, minLength);
  if (weights === undefined) return scatterAdd(zeros([length], { dtype: "int32" }), 0, x, 1);
  const fits = sameShape(weights.shape, x.shape) && FLOATS.includes(weights.dtype);
  expect(fits, "bincount", `float weights of shape ${show(x.shape)}`, `${weights.dtype} ${show(weights.shape)}`);
  return scatterAdd(zeros([length], { dtype: weights.dtype }), 0, x, weights);
}

/** x as a flat float tensor without a gradient. */
function flatFloats(op: string, x: Tensor): Tensor {
  if (!FLOATS.includes(x.dtype))
    throw new TypeError(`${op}: expected float32 or float64, got ${x.dtype}; convert it first with .to("float32")`);
  return reshape(x.detach(), [x.size]);
}

function expectBins(op: string, bins: number): void {
  expect(Number.isSafeInteger(bins) && bins > 0, op, "a number of bins from 1 up", `${bins}`);
}

/**
 * How many elements of x fall into each of `bins` equal parts of [low, high], in x's dtype; what lies outside, and NaN, is
 * left out. Where low equals high the ends are those of x. No gradient.
 *
 * @param bins default 100
 * @param low default 0
 * @param high default 0
 */
export function histc(given: Tensor, bins = 100, low = 0, high = 0): Tensor {
  const x = flatFloats("histc", given);
  expectBins("histc", bins);
  expect(low <= high, "histc", "low <= high", `${low} and ${high}`);
  if (x.size === 0) return zeros([bins], { dtype: x.dtype });
  const [first, last] = low < high ? [low, high] : endsOf(x);
  const part = mul(div(sub(x, first), sub(asTensor(last, x), first)), bins);
  return count(x, first, last, minimum(to(part, "int32"), bins - 1), bins);
}

const asTensor = (v: Tensor | number, x: Tensor): Tensor => (v instanceof Tensor ? v : full([], v, { dtype: x.dtype }));

/** Smallest and largest element, 1 further apart on both sides where they are equal. */
function endsOf(x: Tensor): [Tensor, Tensor] {
  const [least, most] = [amin(x), amax(x)];
  const same = to(equal(least, most), x.dtype);
  return [sub(least, same), add(most, same)];
}

/** Elements from first to last, counted by bin. */
function count(
  x: Tensor,
  first: Tensor | number,
  last: Tensor | number,
  bin: Tensor,
  bins: number,
  weight?: Tensor,
): Tensor {
  const inside = logicalAnd(greaterEqual(x, first), lessEqual(x, last));
  const weights = weight ? where(inside, weight, 0) : to(inside, x.dtype);
  return scatterAdd(zeros([bins], { dtype: x.dtype }), 0, where(inside, maximum(bin, 0), 0), weights);
}

/** Options of histogram. */
export interface HistogramOptions {
  /** The ends where `bins` is a number. Default x's smallest and largest element. */
  range?: readonly [low: number, high: number];
  /** What each element counts, of x's shape and dtype. Default 1 each. */
  weight?: Tensor;
  /** Divided by the total and each bin's width, so that the integral is 1. Default false. */
  density?: boolean;
}

/** What histogram gives. */
export interface Histogram {
  /** `[bins]`: how many elements fall into each bin, what they weigh, or their density; of x's dtype. */
  hist: Tensor;
  /** `[bins + 1]`: the edges, ascending. */
  binEdges: Tensor;
}

/**
 * How many elements of x fall between neighbouring edges, each bin without its upper edge but for the last. No gradient.
 *
 * @param bins how many equal ones (default 100), or their edges, ascending
 * @returns hist: [bins] in x's dtype; binEdges: [bins + 1]
 */
export function histogram(
  given: Tensor,
  bins: number | Tensor = 100,
  { range, weight, density = false }: HistogramOptions = {},
): Histogram {
  const x = flatFloats("histogram", given);
  const binEdges = typeof bins === "number" ? equalEdges(x, bins, range) : bins;
  expect(binEdges.ndim === 1 && binEdges.size >= 2, "histogram", "edges of shape [2 or more]", show(binEdges.shape));
  expectSameDType("histogram", x, binEdges);
  if (weight) {
    expectSameDType("histogram", x, weight);
    expect(
      sameShape(weight.shape, given.shape),
      "histogram",
      `weights of shape ${show(given.shape)}`,
      show(weight.shape),
    );
  }
  const n = binEdges.size - 1;
  const bin = minimum(sub(searchsorted(binEdges, x, { right: true }), 1), n - 1);
  const ends: [Tensor, Tensor] = [slice(binEdges, 0), slice(binEdges, n)];
  const hist = count(x, ...ends, bin, n, weight && reshape(weight.detach(), [x.size]));
  return { hist: density ? div(hist, mul(diff(binEdges), sum(hist))) : hist, binEdges };
}

function equalEdges(x: Tensor, bins: number, range: readonly [number, number] | undefined): Tensor {
  expectBins("histogram", bins);
  if (range) {
    const [low, high] = range;
    expect(low < high, "histogram", "a range that ascends", show(range));
    return linspace(low, high, bins + 1, { dtype: x.dtype });
  }
  if (x.size === 0) return linspace(0, 1, bins + 1, { dtype: x.dtype });
  const [least, most] = endsOf(x);
  const steps = linspace(0, 1, bins + 1, { dtype: x.dtype });
  return where(equal(steps, 1), most, add(mul(steps, sub(most, least)), least));
}
