/**
 * Whether tensors agree, within a tolerance or exactly. No result is read: await item() of what these answer.
 */

import { sameShape } from "../errors.js";
import { noGrad } from "../graph.js";
import type { Tensor } from "../tensor.js";
import { add, equal, lessEqual, logicalAnd, logicalOr, mul, notEqual, sub } from "./arithmetic.js";
import { to } from "./cast.js";
import { expectComputes, isFloat, promote } from "./common.js";
import { full } from "./create.js";
import { abs } from "./elementwise.js";
import { all } from "./reduce.js";

/** Options of isclose and allclose: a is close to b where |a - b| <= atol + rtol |b|. */
export interface CloseOptions {
  /** Relative to |b|. Default 1e-5. */
  rtol?: number;
  /** Absolute, which decides near b = 0. Default 1e-8. */
  atol?: number;
  /** Whether NaN is close to NaN. Default false. */
  equalNan?: boolean;
}

/**
 * Whether |a - b| <= atol + rtol |b|, element by element: bool, broadcast. Infinities are close to themselves alone.
 * Integers are compared in float64.
 */
export function isclose(
  a: Tensor,
  b: Tensor,
  { rtol = 1e-5, atol = 1e-8, equalNan = false }: CloseOptions = {},
): Tensor {
  const dtype = promote(a.dtype, b.dtype);
  expectComputes("isclose", dtype);
  if (!(rtol >= 0 && atol >= 0))
    throw new RangeError(`isclose: expected an rtol and an atol from 0 up, got ${rtol} and ${atol}`);
  return noGrad(() => {
    const [p, q] = [a, b].map((x) => to(x, isFloat(dtype) ? dtype : "float64")) as [Tensor, Tensor];
    const distance = abs(sub(p, q));
    const near = lessEqual(distance, add(mul(abs(q), rtol), atol));
    const close = logicalOr(equal(p, q), logicalAnd(near, notEqual(distance, Number.POSITIVE_INFINITY)));
    return equalNan ? logicalOr(close, logicalAnd(notEqual(p, p), notEqual(q, q))) : close;
  });
}

/**
 * Whether all elements are close, as isclose(): one bool.
 *
 * @example
 * const x = tensor([1, 2]);
 * await x.allclose(x.add(1e-7)).item(); // 1
 */
export const allclose = (a: Tensor, b: Tensor, options: CloseOptions = {}): Tensor => all(isclose(a, b, options));

/** Whether a and b have one shape and the same elements (torch.equal): one bool. NaN equals nothing. */
export const arrayEqual = (a: Tensor, b: Tensor): Tensor =>
  sameShape(a.shape, b.shape) ? all(equal(a, b)) : full([], 0, { dtype: "bool" });
