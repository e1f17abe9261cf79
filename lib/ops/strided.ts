/**
 * Walks over a tensor's memory, for ops that read some of its elements: slices, diagonals, windows. Their gradient writes
 * into zeros along the same walk.
 */
import { record } from "../autograd.js";
import { k } from "../native.js";
import { empty, type Tensor } from "../tensor.js";
import { stridedSize } from "./common.js";
import { zeros } from "./create.js";

/** y[i, j, ...] = x[offset + i strides[0] + j strides[1] + ...], in elements. */
export interface Walk {
  offset: number;
  shape: readonly number[];
  strides: readonly number[];
}

/** The elements that `walk` meets, not recorded. */
export function copyWalk(op: string, x: Tensor, walk: Walk): Tensor {
  const y = empty([...walk.shape], x.dtype);
  if (y.size > 0) k.copyStrided(y, x, walk.offset, ...stridedSize(op, walk.shape, [...walk.strides]));
  y.storage.range = x.storage.range;
  return y;
}

/** The elements that `walk` meets, each at most once. */
export function readWalk(op: string, x: Tensor, walk: Walk): Tensor {
  return record(copyWalk(op, x, walk), op, { x }, {}, unread(op, x.shape, walk));
}
const unread = (op: string, shape: readonly number[], walk: Walk) => (dy: Tensor) => ({
  x: () => writeWalk(op, shape, walk, dy),
});

/** Zeros of `shape` with dy written where `walk` leads. */
export function writeWalk(op: string, shape: readonly number[], walk: Walk, dy: Tensor): Tensor {
  const y = zeros(shape, { dtype: dy.dtype });
  if (dy.size > 0) k.writeStrided(y, dy, walk.offset, ...stridedSize(op, walk.shape, [...walk.strides]));
  return record(y, `${op}Grad`, { dy }, {}, (ddy) => ({ dy: () => readWalk(op, ddy, walk) }));
}
