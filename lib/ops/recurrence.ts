/**
 * Linear recurrences y_t = a_t y_{t-1} + b_t: what the gradients of running products and of running sums of exponentials
 * come down to, and their own derivatives again. Nothing divides by x, whatever zeros it holds.
 */
import { record } from "../graph.js";
import { k } from "../native.js";
import { empty, sizeOfShape, type Tensor } from "../tensor.js";
import { mul } from "./arithmetic.js";
import { full } from "./create.js";
import { cat, slice } from "./shape.js";

/** [outer, n, inner] */
export const around = (shape: readonly number[], axis: number): [number, number, number] => [
  sizeOfShape(shape.slice(0, axis)),
  shape[axis] ?? 1,
  sizeOfShape(shape.slice(axis + 1)),
];

/** Each element's neighbour before it along `axis` (behind it, in reverse); `first` where there is none. */
export function before(x: Tensor, axis: number, reverse: boolean, first: number): Tensor {
  if (x.shape[axis] === 0) return x;
  const edge = full(
    x.shape.map((e, d) => (d === axis ? 1 : e)),
    first,
    { dtype: x.dtype },
  );
  const all = x.shape.slice(0, axis).map(() => null);
  return reverse ? cat([slice(x, ...all, [1]), edge], axis) : cat([edge, slice(x, ...all, [0, -1])], axis);
}

/** y_t = a_t y_{t-1} + b_t along `axis`, from y_{-1} = 0. Derivatives: db is the same recurrence backwards, da = db y_{t-1}. */
export function linearScan(a: Tensor, b: Tensor, axis: number, reverse: boolean): Tensor {
  const y = empty(a.shape, a.dtype);
  k.linearScan(y, a, b, Number(reverse), ...around(a.shape, axis));
  return record(y, "linearScan", { a, b }, { a, y }, (dy, { a, y }) => {
    // db_t = dy_t + a_{t+1} db_{t+1}
    let shared: Tensor | undefined;
    const db = () => (shared ??= linearScan(before(a, axis, !reverse, 0), dy, axis, !reverse));
    return { a: () => mul(db(), before(y, axis, reverse, 0)), b: db };
  });
}

/** y_t = x_0 x_1 ... x_t along `axis` of floats or int64. */
export function runningProduct(x: Tensor, axis: number, reverse: boolean): Tensor {
  const y = empty(x.shape, x.dtype);
  k.cumprod(y, x, Number(reverse), ...around(x.shape, axis));
  return record(y, "cumprod", { x }, { x, y }, (dy, { x, y }) => ({
    // dx_t = (x_0 ... x_{t-1}) r_t with r_t = dy_t + x_{t+1} r_{t+1}
    x: () => mul(before(y, axis, reverse, 1), linearScan(before(x, axis, !reverse, 0), dy, axis, !reverse)),
  }));
}

/** The product of all others along `axis`, for each element: what is before it times what is behind it. */
export function productOfOthers(x: Tensor, axis: number): Tensor {
  const part = (reverse: boolean) => before(runningProduct(x, axis, reverse), axis, reverse, 1);
  return mul(part(false), part(true));
}
