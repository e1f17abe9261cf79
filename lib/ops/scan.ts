/**
 * Running sums, products, extremes, and differences.
 */

import { expect } from "../errors.js";
import { noGrad, record } from "../graph.js";
import { k } from "../native.js";
import { empty, type Tensor } from "../tensor.js";
import { add, equal, logicalOr, minimum, mul, notEqual, sub, where } from "./arithmetic.js";
import { to } from "./cast.js";
import { expectComputes, floating, isFloat, normalizeAxis } from "./common.js";
import { abs, exp, log } from "./elementwise.js";
import { gather } from "./gather.js";
import { around, before, linearScan, runningProduct } from "./recurrence.js";
import { cat, reshape, slice } from "./shape.js";

/** Values and where they stand along the axis (int32). */
export interface ValuesAndIndices {
  /** The values, of x's dtype. */
  values: Tensor;
  /** Where each stands along the axis: int32, of the shape of `values`. */
  indices: Tensor;
}
/** The option of the cumulative ops. */
export interface ScanOptions {
  /** From the end of the axis to its start. Default false. */
  reverse?: boolean;
}

/** Integers run in int64, as in PyTorch. */
function countable(op: string, x: Tensor): Tensor {
  expectComputes(op, x.dtype);
  return isFloat(x.dtype) || x.dtype === "int64" ? x : to(x, "int64");
}

/** y_t = x_0 + ... + x_t along `axis`. Integers and bools give int64. */
export function cumsum(given: Tensor, axis: number, { reverse = false }: ScanOptions = {}): Tensor {
  const x = countable("cumsum", given);
  return runningSum(x, normalizeAxis("cumsum", axis, x.ndim), reverse);
}

function runningSum(x: Tensor, axis: number, reverse: boolean): Tensor {
  const y = empty(x.shape, x.dtype);
  k.cumsum(y, x, Number(reverse), ...around(x.shape, axis));
  return record(y, "cumsum", { x }, {}, (dy) => ({ x: () => runningSum(dy, axis, !reverse) }));
}

/** y_t = x_0 x_1 ... x_t along `axis`. Integers and bools give int64. The gradient is right where x holds zeros. */
export function cumprod(given: Tensor, axis: number, { reverse = false }: ScanOptions = {}): Tensor {
  const x = countable("cumprod", given);
  const at = normalizeAxis("cumprod", axis, x.ndim);
  return x.ndim === 0 ? reshape(runningProduct(reshape(x, [1]), 0, reverse), []) : runningProduct(x, at, reverse);
}

/** The largest element so far along `axis`, and where it stands: the last of equals. NaN stays the largest. */
export const cummax = (x: Tensor, axis: number): ValuesAndIndices => extremeSoFar("cummax", x, axis);
/** The smallest element so far along `axis`, and where it stands: the last of equals. NaN stays the smallest. */
export const cummin = (x: Tensor, axis: number): ValuesAndIndices => extremeSoFar("cummin", x, axis);

function extremeSoFar(name: "cummax" | "cummin", x: Tensor, axis: number): ValuesAndIndices {
  expectComputes(name, x.dtype);
  const at = normalizeAxis(name, axis, x.ndim);
  const indices = empty(x.shape, "int32");
  k[name](indices, x, ...around(x.shape, at));
  return { values: gather(x, at, indices), indices };
}

/** y_t = log(exp x_0 + ... + exp x_t) along `axis`, stable: the largest so far is taken out. */
export function logcumsumexp(given: Tensor, axis: number): Tensor {
  const x = floating("logcumsumexp", given);
  const at = normalizeAxis("logcumsumexp", axis, x.ndim);
  return x.ndim === 0 ? reshape(logOfSums(reshape(x, [1]), 0), []) : logOfSums(x, at);
}

const isInfinite = (x: Tensor): Tensor => equal(abs(x), Number.POSITIVE_INFINITY);

function logOfSums(x: Tensor, axis: number): Tensor {
  const y = noGrad(stableLogOfSums(x, axis));
  return record(y, "logcumsumexp", { x }, { x, y }, (dy, { x, y }) => ({
    // dx_t = exp(x_t - y_t) r_t with r_t = dy_t + exp(y_t - y_{t+1}) r_{t+1}: no exponent is positive
    x: () => {
      const none = logicalOr(isInfinite(y), isInfinite(x));
      const finite = where(isInfinite(y), 0, y);
      const decay = exp(minimum(sub(finite, before(finite, axis, true, 0)), 0));
      const sums = linearScan(decay, dy, axis, true);
      return mul(where(none, 0, exp(sub(where(none, 0, x), finite))), sums);
    },
  }));
}

/** Apart from logOfSums: a closure that uses x, beside the gradient's, would keep it. */
const stableLogOfSums = (x: Tensor, axis: number) => (): Tensor => {
  const { values } = cummax(x, axis);
  const m = where(isInfinite(values), 0, values);
  // s_t = exp(m_{t-1} - m_t) s_{t-1} + exp(x_t - m_t); m grows, but for the 0 that stands for -infinity
  const decay = exp(minimum(sub(before(m, axis, false, 0), m), 0));
  return add(log(linearScan(decay, exp(sub(x, m)), axis, false)), m);
};

/** Options of diff. */
export interface DiffOptions {
  /** Joined before x, along the axis, ahead of the differences. Default nothing. */
  prepend?: Tensor;
  /** Joined behind x. Default nothing. */
  append?: Tensor;
}

/** x_{t+1} - x_t along `axis` (default the last), n times over (default once). Of bools: whether they differ. */
export function diff(x: Tensor, n = 1, axis = -1, { prepend, append }: DiffOptions = {}): Tensor {
  expect(Number.isSafeInteger(n) && n >= 0, "diff", "a number of times from 0 up", `${n}`);
  expect(x.ndim > 0, "diff", "at least one dimension", "a scalar");
  const at = normalizeAxis("diff", axis, x.ndim);
  const parts = [prepend, x, append].filter((part) => part !== undefined);
  let y = parts.length > 1 ? cat(parts, at) : x;
  const all = x.shape.slice(0, at).map(() => null);
  for (let i = 0; i < n; i++) {
    const [next, last] = [slice(y, ...all, [1]), slice(y, ...all, [0, Math.max(0, y.shape[at]! - 1)])];
    y = x.dtype === "bool" ? notEqual(next, last) : sub(next, last);
  }
  return y;
}
