/** @file Reductions and scans beside PyTorch (fixtures/ops/make_reduce.py). */
import * as ops from "napier";
import { checkTorch, type TorchRun } from "../pytorch.js";

/** An op of (x, axes). */
const over =
  (op: (x: ops.Tensor, axes: ops.Axes) => ops.Tensor): TorchRun =>
  ([x], { axes }) =>
    op(x!, axes);
/** An op of (x, axis). */
const along =
  (op: (x: ops.Tensor, axis: number) => ops.Tensor): TorchRun =>
  ([x], { axis }) =>
    op(x!, axis);
/** The same, of values and indices. */
const pair =
  (op: (x: ops.Tensor, axis: number) => ops.ValuesAndIndices): TorchRun =>
  ([x], { axis }) => {
    const { values, indices } = op(x!, axis);
    return [values, indices];
  };

checkTorch("reduce", {
  sum: over(ops.sum),
  mean: over(ops.mean),
  amax: over(ops.amax),
  amin: over(ops.amin),
  variance: ([x], { axes, correction }) => ops.variance(x!, axes, { correction }),
  std: over(ops.std),
  logsumexp: over(ops.logsumexp),
  nansum: over(ops.nansum),
  nanmean: over(ops.nanmean),
  countNonzero: over(ops.countNonzero),
  norm: ([x], { axes, p }) =>
    ops.norm(x!, p === "inf" ? Number.POSITIVE_INFINITY : p === "-inf" ? Number.NEGATIVE_INFINITY : p, axes),
  prod: ([x], { axis }) => ops.prod(x!, axis),
  prodOfProduct: ([x, m], { axis }) => ops.prod(ops.mul(x!, m!), axis),
  cumprodOfProduct: ([x, m], { axis }) => ops.cumprod(ops.mul(x!, m!), axis),
  max: pair(ops.max),
  min: pair(ops.min),
  aminmax: ([x], { axis }) => {
    const { min, max } = ops.aminmax(x!, axis);
    return [min, max];
  },
  cumsum: along(ops.cumsum),
  cumprod: along(ops.cumprod),
  cummax: pair(ops.cummax),
  cummin: pair(ops.cummin),
  logcumsumexp: along(ops.logcumsumexp),
  diff: ([x], { axis, n }) => ops.diff(x!, n, axis),
  any: along(ops.any),
  all: along(ops.all),
  argmax: along(ops.argmax),
  argmin: along(ops.argmin),
  isclose: ([a, b]) => ops.isclose(a!, b!, { rtol: 0.3, atol: 0.2 }),
});
