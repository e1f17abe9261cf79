/**
 * Order. The kernel finds places, stable and the same for any number of threads; values are gathered by them, which is
 * their gradient too. NaN is greater than everything, as in PyTorch.
 */
import { expect, sameShape, show } from "../errors.js";
import { k } from "../native.js";
import { empty, sizeOfShape, type Tensor } from "../tensor.js";
import { equal, minimum } from "./arithmetic.js";
import { to } from "./cast.js";
import { expectComputes, isFloat, normalizeAxis, promote } from "./common.js";
import { full, zeros } from "./create.js";
import { gather, take } from "./gather.js";
import { around } from "./recurrence.js";
import type { ValuesAndIndices } from "./scan.js";
import { reshape, slice } from "./shape.js";

/** Options of sort and argsort. */
export interface SortOptions {
  /** Largest first. Default false. */
  descending?: boolean;
}

/** Places of the first `count` in order along `axis`: int32. */
function places(op: string, x: Tensor, axis: number, count: number, largest: boolean): Tensor {
  expectComputes(op, x.dtype);
  const y = empty(x.ndim === 0 ? [] : x.shape.map((e, d) => (d === axis ? count : e)), "int32");
  k.topk(y, x, count, Number(largest), ...around(x.shape, axis));
  return y;
}

const withValues = (x: Tensor, axis: number, indices: Tensor): ValuesAndIndices => ({
  values: gather(x, axis, indices),
  indices,
});

/** The places that sort x along `axis` (default the last), equals in their order: int32. NaN is the largest. */
export function argsort(x: Tensor, axis = -1, { descending = false }: SortOptions = {}): Tensor {
  const at = normalizeAxis("argsort", axis, x.ndim);
  return places("argsort", x, at, x.shape[at] ?? 1, descending);
}

/**
 * x sorted along `axis` (default the last), equals in their order, and the places that its elements had (int32). NaN is
 * the largest.
 *
 * @example
 * const { values, indices } = tensor([3, 1, 2]).sort(); // [1, 2, 3], [1, 2, 0]
 */
export function sort(x: Tensor, axis = -1, { descending = false }: SortOptions = {}): ValuesAndIndices {
  const at = normalizeAxis("sort", axis, x.ndim);
  return withValues(x, at, places("sort", x, at, x.shape[at] ?? 1, descending));
}

/** Options of topk. */
export interface TopkOptions {
  /** The largest; false: the smallest. Default true. */
  largest?: boolean;
}

/**
 * The `count` largest elements along `axis` (default the last), in order, and their places (int32); of equals the first
 * come first.
 */
export function topk(x: Tensor, count: number, axis = -1, { largest = true }: TopkOptions = {}): ValuesAndIndices {
  const at = normalizeAxis("topk", axis, x.ndim);
  expectCount("topk", count, 0, x.shape[at] ?? 1);
  expect(x.ndim > 0 || count === 1, "topk", "a count of 1 from a scalar", `${count}`);
  return withValues(x, at, places("topk", x, at, count, largest));
}

function expectCount(op: string, count: number, least: number, most: number): void {
  const ok = Number.isSafeInteger(count) && count >= least && count <= most;
  if (!ok) throw new RangeError(`${op}: expected a count from ${least} to ${most}, got ${count}`);
}

/** The count-th smallest element along `axis` (default the last; 1 is the smallest), and its place (int32). */
export function kthvalue(
  x: Tensor,
  count: number,
  axis = -1,
  { keepDims = false }: { keepDims?: boolean } = {},
): ValuesAndIndices {
  const at = normalizeAxis("kthvalue", axis, x.ndim);
  expectCount("kthvalue", count, 1, x.shape[at] ?? 1);
  const first = places("kthvalue", x, at, count, false);
  const all = x.shape.slice(0, at).map(() => null);
  const indices = x.ndim === 0 ? first : slice(first, ...all, [count - 1, count]);
  const shape = x.shape.flatMap((e, d) => (d !== at ? [e] : keepDims ? [1] : []));
  return { values: reshape(gather(x, at, indices), shape), indices: reshape(indices, shape) };
}

/** Options of searchsorted and bucketize. */
export interface SearchOptions {
  /** Behind the elements that equal the value, not before them. Default false. */
  right?: boolean;
}

/**
 * Where values would go into a sorted sequence to keep it sorted: int32, of the values' shape.
 *
 * @param sorted [..., n], ascending; one dimension serves all values, else the leading dimensions are the values' own
 * @example
 * searchsorted(tensor([1, 3, 5]), tensor([3, 4])); // [1, 2]
 */
export function searchsorted(sorted: Tensor, values: Tensor | number, { right = false }: SearchOptions = {}): Tensor {
  expect(sorted.ndim > 0, "searchsorted", "a sorted sequence of at least one dimension", "a scalar");
  const given = asTensor(values, sorted);
  const dtype = promote(sorted.dtype, given.dtype);
  expectComputes("searchsorted", dtype);
  const each = sorted.ndim > 1;
  const leading = given.shape.slice(0, -1);
  const fits = !each || (given.ndim > 0 && sameShape(sorted.shape.slice(0, -1), leading));
  expect(fits, "searchsorted", `values of shape [${[...sorted.shape.slice(0, -1), "m"]}]`, show(given.shape));
  const rows = each ? sizeOfShape(leading) : 1;
  const m = each ? given.shape.at(-1)! : given.size;
  const y = empty(given.shape, "int32");
  k.searchsorted(y, to(sorted, dtype), to(given, dtype), Number(right), Number(each), rows, sorted.shape.at(-1)!, m);
  return y;
}

const asTensor = (value: Tensor | number, beside: Tensor): Tensor =>
  typeof value === "number" ? full([], value, { dtype: isFloat(beside.dtype) ? beside.dtype : "float64" }) : value;

/**
 * Which bucket each element of x falls into: the place in `boundaries` (ascending, [n]) before which it would go, 0 to n.
 * int32.
 *
 * @param options right: the boundary itself belongs to the next bucket (as in searchsorted; PyTorch's default is false)
 */
export const bucketize = (x: Tensor, boundaries: Tensor, options: SearchOptions = {}): Tensor => {
  expect(boundaries.ndim === 1, "bucketize", "boundaries of one dimension", show(boundaries.shape));
  return searchsorted(boundaries, x, options);
};

/** Whether each element of x is among the elements of `values`: bool. */
export function isin(x: Tensor, values: Tensor): Tensor {
  if (values.size === 0) return zeros(x.shape, { dtype: "bool" });
  const dtype = promote(x.dtype, values.dtype);
  const sorted = sort(reshape(to(values.detach(), dtype), [values.size])).values;
  const element = to(x, dtype);
  const place = minimum(searchsorted(sorted, element), values.size - 1);
  return equal(take(sorted, place), element);
}
