/** @file The gradient of a relu by its result, for relu itself and for the ops that end in one (conv2d, linear). */
import { isGradEnabled } from "../graph.js";
import { k } from "../native.js";
import { empty, type Tensor } from "../tensor.js";
import { greater, where } from "./arithmetic.js";

/** dy where y is above 0, in ops. */
export const reluComposed = (dy: Tensor, y: Tensor): Tensor => where(greater(y, 0), dy, 0);

/** The same by one kernel, where no second derivative is wanted. */
export function reluGradient(dy: Tensor, y: Tensor): Tensor {
  if (isGradEnabled()) return reluComposed(dy, y);
  const dx = empty(y.shape, y.dtype);
  k.reluGrad(dx, dy, y, dx.size);
  return dx;
}
