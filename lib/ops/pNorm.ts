/**
 * The p-norm over axes, which distances, normalisation and linalg.vectorNorm share.
 */
import { record } from "../graph.js";
import type { Tensor } from "../tensor.js";
import { div, equal, mul, notEqual, where } from "./arithmetic.js";
import { to } from "./cast.js";
import { zerosLike } from "./create.js";
import { abs, powScalar, sign, sqrt } from "./elementwise.js";
import { amax, amin, sum } from "./reduce.js";

/**
 * (sum |x|^p)^(1/p) over `axes`, which are kept with extent 1; the gradient is 0 where the norm is.
 */
export function pNorm(op: string, x: Tensor, p: number, axes: readonly number[]): Tensor {
  if (typeof p !== "number" || Number.isNaN(p)) throw new TypeError(`${op}: expected a number as p, got ${p}`);
  const y = pNormOf(x.node === null ? x : x.detach(), p, axes);
  return record(y, "norm", { x }, { x, y }, (dy, { x, y }) => ({ x: () => pNormGrad(dy, x, y, p, axes) }));
}

function pNormOf(x: Tensor, p: number, axes: readonly number[]): Tensor {
  const keep = { keepDims: true };
  if (p === 0) return sum(to(notEqual(x, 0), x.dtype), axes, keep);
  if (p === Number.POSITIVE_INFINITY) return amax(abs(x), axes, keep);
  if (p === Number.NEGATIVE_INFINITY) return amin(abs(x), axes, keep);
  if (p === 1) return sum(abs(x), axes, keep);
  if (p === 2) return sqrt(sum(mul(x, x), axes, keep));
  return powScalar(sum(powScalar(abs(x), p), axes, keep), 1 / p);
}

/** dx of y = |x|_p over `axes`, in ops. */
export function pNormGrad(dy: Tensor, x: Tensor, y: Tensor, p: number, axes: readonly number[]): Tensor {
  if (p === 0) return zerosLike(x);
  if (p === 1) return mul(sign(x), dy);
  if (!Number.isFinite(p)) {
    // The largest (smallest) elements share it.
    const best = to(equal(abs(x), y), x.dtype);
    return mul(mul(best, sign(x)), div(dy, sum(best, axes, { keepDims: true })));
  }
  // sign(x) (|x| / y)^(p - 1) dy, and 0 where y is
  const none = equal(y, 0);
  const ratio = div(x, where(none, 1, y));
  return mul(where(none, 0, dy), p === 2 ? ratio : mul(sign(ratio), powScalar(abs(ratio), p - 1)));
}
