/**
 * Reductions over any axes. A kernel reduces the middle of [outer, reduce, inner]; axes that do not lie together are
 * reduced one run after the other, in a fixed order.
 */
import { record } from "../graph.js";
import { k } from "../native.js";
import { alias, empty, sizeOfShape, type Tensor } from "../tensor.js";
import { div, equal, mul, sub } from "./arithmetic.js";
import { to } from "./cast.js";
import { expectComputes, isFloat, normalizeAxes, normalizeAxis } from "./common.js";
import { productOfOthers } from "./recurrence.js";
import { expand, permute, reshape } from "./shape.js";

/** The option of every reduction. */
export interface ReduceOptions {
  /** Keep reduced dimensions with extent 1. Default false. */
  keepDims?: boolean;
}
/** What to reduce: one axis, several, or all (null). Negative ones count from the end. */
export type Axes = number | readonly number[] | null;

/** [outer, reduce, inner] of one run of axes first..last. */
const middle = (shape: readonly number[], first: number, last: number): [number, number, number] => [
  sizeOfShape(shape.slice(0, first)),
  sizeOfShape(shape.slice(first, last + 1)),
  sizeOfShape(shape.slice(last + 1)),
];

const without = (shape: readonly number[], axes: number[], keepDims: boolean): number[] =>
  keepDims ? shape.map((e, d) => (axes.includes(d) ? 1 : e)) : shape.filter((_, d) => !axes.includes(d));

type Kernel = "sum" | "sumSquares" | "prod" | "amax" | "amin" | "any" | "all";

/** Runs a kernel that may be applied axis by axis. */
function reduce(kernel: Kernel, x: Tensor, axes: number[], keepDims: boolean): Tensor {
  const shape = [...x.shape];
  let y = x;
  for (let at = axes.length - 1; at >= 0; ) {
    const last = axes[at]!;
    while (at > 0 && axes[at - 1] === axes[at]! - 1) at--;
    const first = axes[at]!;
    at--;
    const size = middle(shape, first, last);
    for (let d = first; d <= last; d++) shape[d] = 1;
    const next = empty([...shape], x.dtype);
    k[kernel === "sumSquares" && y !== x ? "sum" : kernel](next, y, ...size);
    if (y !== x) y.free();
    y = next;
  }
  if (y === x) {
    y = empty(x.shape, x.dtype);
    k[kernel](y, x, x.size, 1, 1);
  }
  return keepDims ? y : reshaped(y, without(x.shape, axes, false));
}

/** Another shape on a fresh result. */
function reshaped(y: Tensor, shape: number[]): Tensor {
  const z = alias(y, shape);
  y.free();
  return z;
}

/** dy, seen with x's dimensions. */
const spread = (dy: Tensor, x: readonly number[], axes: number[]): Tensor =>
  expand(reshape(dy, without(x, axes, true)), x);

/** Integers are summed in int64, as in PyTorch. */
const summable = (op: string, x: Tensor): Tensor => {
  expectComputes(op, x.dtype);
  return isFloat(x.dtype) || x.dtype === "int64" ? x : to(x, "int64");
};

/** Sum over `axes` (default all). Integers and bools give int64. */
export function sum(given: Tensor, axes: Axes = null, { keepDims = false }: ReduceOptions = {}): Tensor {
  const x = summable("sum", given);
  const over = normalizeAxes("sum", axes, x.ndim);
  const { shape } = x;
  return record(reduce("sum", x, over, keepDims), "sum", { x }, {}, (dy) => ({ x: () => spread(dy, shape, over) }));
}

/** Mean over `axes` (default all). Integers give float32. */
export function mean(given: Tensor, axes: Axes = null, { keepDims = false }: ReduceOptions = {}): Tensor {
  expectComputes("mean", given.dtype);
  const x = isFloat(given.dtype) ? given : to(given, "float32");
  const over = normalizeAxes("mean", axes, x.ndim);
  const n = sizeOfShape(over.map((d) => x.shape[d]!));
  return div(sum(x, over, { keepDims }), n); // as a loss divides by what it counted: the same bits
}

/** Variance over `axes` (default all), divided by n - correction. Default correction 1 (unbiased), as in PyTorch. */
export function variance(
  x: Tensor,
  axes: Axes = null,
  { keepDims = false, correction = 1 }: ReduceOptions & { correction?: number } = {},
): Tensor {
  const over = normalizeAxes("variance", axes, x.ndim);
  const n = sizeOfShape(over.map((d) => x.shape[d]!));
  const centred = sub(x, mean(x, over, { keepDims: true }));
  return mul(sum(mul(centred, centred), over, { keepDims }), 1 / Math.max(0, n - correction));
}
export {
  /** variance() under PyTorch's name: x.var(). */
  variance as var,
};

/** Product over `axes` (default all). Integers and bools give int64. The gradient is right where x holds zeros. */
export function prod(given: Tensor, axes: Axes = null, { keepDims = false }: ReduceOptions = {}): Tensor {
  const x = summable("prod", given);
  const over = normalizeAxes("prod", axes, x.ndim);
  return record(reduce("prod", x, over, keepDims), "prod", { x }, { x }, (dy, { x }) => ({
    x: () => prodGradient(dy, x, over),
  }));
}

/** dy times the product of the other elements, which are laid side by side for it. */
function prodGradient(dy: Tensor, x: Tensor, over: number[]): Tensor {
  const kept = x.shape.flatMap((_, d) => (over.includes(d) ? [] : [d]));
  const order = [...kept, ...over];
  const apart = order.some((axis, d) => axis !== d);
  const extents = kept.map((d) => x.shape[d]!);
  const flat = reshape(apart ? permute(x, order) : x, [...extents, sizeOfShape(over.map((d) => x.shape[d]!))]);
  const dx = reshape(
    mul(reshape(dy, [...extents, 1]), productOfOthers(flat, kept.length)),
    order.map((d) => x.shape[d]!),
  );
  return apart
    ? permute(
        dx,
        order.map((_, d) => order.indexOf(d)),
      )
    : dx;
}

/** Largest element over `axes` (default all); NaN wins. Ties share the gradient evenly, as in PyTorch's amax. */
export const amax = (x: Tensor, axes: Axes = null, options: ReduceOptions = {}): Tensor =>
  extreme("amax", x, axes, options);
/** Smallest element over `axes` (default all); NaN wins. Ties share the gradient evenly. */
export const amin = (x: Tensor, axes: Axes = null, options: ReduceOptions = {}): Tensor =>
  extreme("amin", x, axes, options);

function extreme(name: "amax" | "amin", x: Tensor, axes: Axes, { keepDims = false }: ReduceOptions): Tensor {
  expectComputes(name, x.dtype);
  const over = normalizeAxes(name, axes, x.ndim);
  expectSome(name, x, over);
  const y = reduce(name, x, over, keepDims);
  return record(y, name, { x }, { x, y }, (dy, { x, y }) => ({
    x: () => {
      const mask = to(equal(x, spread(y, x.shape, over)), x.dtype);
      const ties = sum(mask, over, { keepDims: true });
      return mul(mask, div(reshape(dy, ties.shape), ties));
    },
  }));
}

function expectSome(op: string, x: Tensor, axes: number[]): void {
  if (axes.some((d) => x.shape[d] === 0))
    throw new RangeError(`${op}: expected at least one element to reduce, got shape [${x.shape.join(",")}]`);
}

/** Position of the largest element along `axis`, or in the flattened tensor; the first of equals, NaN wins. int32. */
export const argmax = (x: Tensor, axis: number | null = null, options: ReduceOptions = {}): Tensor =>
  position("argmax", x, axis, options);
/** Position of the smallest element along `axis`, or in the flattened tensor; the first of equals, NaN wins. int32. */
export const argmin = (x: Tensor, axis: number | null = null, options: ReduceOptions = {}): Tensor =>
  position("argmin", x, axis, options);

function position(
  name: "argmax" | "argmin",
  x: Tensor,
  axis: number | null,
  { keepDims = false }: ReduceOptions,
): Tensor {
  expectComputes(name, x.dtype);
  const over = axis === null ? normalizeAxes(name, null, x.ndim) : [normalizeAxis(name, axis, x.ndim)];
  expectSome(name, x, over);
  const y = empty(without(x.shape, x.ndim === 0 ? [] : over, keepDims), "int32");
  if (over.length === 0) k[name](y, x, 1, 1, 1);
  else k[name](y, x, ...middle(x.shape, over[0]!, over.at(-1)!));
  return y;
}

/** Whether any element over `axes` (default all) is not 0. */
export const any = (x: Tensor, axes: Axes = null, { keepDims = false }: ReduceOptions = {}): Tensor =>
  reduce("any", to(x, "bool"), normalizeAxes("any", axes, x.ndim), keepDims);
/** Whether every element over `axes` (default all) is not 0. */
export const all = (x: Tensor, axes: Axes = null, { keepDims = false }: ReduceOptions = {}): Tensor =>
  reduce("all", to(x, "bool"), normalizeAxes("all", axes, x.ndim), keepDims);

/** Sums x down to `shape`, which broadcasts to x's: the gradient of broadcasting. */
export function sumTo(x: Tensor, shape: readonly number[]): Tensor {
  const lead = x.ndim - shape.length;
  if (lead === 0 && shape.every((e, d) => e === x.shape[d])) return x;
  const axes: number[] = [];
  for (let d = 0; d < x.ndim; d++) if (d < lead || (shape[d - lead] === 1 && x.shape[d] !== 1)) axes.push(d);
  const y = axes.length > 0 ? sum(x, axes, { keepDims: true }) : x;
  return reshape(y, shape);
}
