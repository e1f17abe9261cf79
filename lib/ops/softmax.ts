/**
 * Softmax and its logarithm along one axis, stable for any input: the maximum is taken out first.
 */
import { isGradEnabled, record } from "../graph.js";
import { k } from "../native.js";
import { empty, sizeOfShape, type Tensor } from "../tensor.js";
import { mul, sub } from "./arithmetic.js";
import { expectFloat, normalizeAxis } from "./common.js";
import { exp } from "./elementwise.js";
import { sum } from "./reduce.js";

/** [outer, reduce, inner] */
function around(shape: readonly number[], axis: number): [number, number, number] {
  return [sizeOfShape(shape.slice(0, axis)), shape[axis] ?? 1, sizeOfShape(shape.slice(axis + 1))];
}

/** exp(x) / sum exp(x) along `axis`. Default the last. */
export function softmax(x: Tensor, axis = -1): Tensor {
  expectFloat("softmax", x);
  const at = normalizeAxis("softmax", axis, x.ndim);
  const size = around(x.shape, at);
  const y = empty(x.shape, x.dtype);
  k.softmax(y, x, ...size);
  return record(y, "softmax", { x }, { y }, (dy, { y }) => ({
    x: () => {
      // dx = y (dy - sum_j y_j dy_j)
      if (isGradEnabled()) return mul(y, sub(dy, sum(mul(dy, y), y.ndim ? at : null, { keepDims: true })));
      const dx = empty(y.shape, y.dtype);
      k.softmaxGrad(dx, dy, y, ...size);
      return dx;
    },
  }));
}

/** x - log sum exp(x) along `axis`. Default the last. */
export function logSoftmax(x: Tensor, axis = -1): Tensor {
  expectFloat("logSoftmax", x);
  const at = normalizeAxis("logSoftmax", axis, x.ndim);
  const size = around(x.shape, at);
  const y = empty(x.shape, x.dtype);
  k.logSoftmax(y, x, ...size);
  return record(y, "logSoftmax", { x }, { y }, (dy, { y }) => ({
    x: () => {
      // dx = dy - exp(y) sum_j dy_j
      if (isGradEnabled()) return sub(dy, mul(exp(y), sum(dy, y.ndim ? at : null, { keepDims: true })));
      const dx = empty(y.shape, y.dtype);
      k.logSoftmaxGrad(dx, dy, y, ...size);
      return dx;
    },
  }));
}
