/**
 * Walks over a tensor's memory, for ops that read some of its elements: slices, diagonals, windows. Their gradient writes
 * into zeros along the same walk, or adds to what has arrived.
 */
import { record } from "../graph.js";
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
  x: Object.assign(() => writeWalk(op, shape, walk, dy), { addTo: (sum: Tensor) => addWalk(op, sum, walk, dy) }),
});

/** Adds dy to the elements of `sum` where `walk` leads: a thousand slices of one tensor share one gradient of its size. */
function addWalk(op: string, sum: Tensor, walk: Walk, dy: Tensor): void {
  if (dy.size === 0) return;
  const before = copyWalk(op, sum, walk);
  const after = empty([...walk.shape], sum.dtype);
  k.add(after, before, dy, 1, dy.size, 1, 1);
  k.writeStrided(sum, after, walk.offset, ...stridedSize(op, walk.shape, [...walk.strides]));
  before.free();
  after.free();
}

/** Zeros of `shape` with dy written where `walk` leads. */
export function writeWalk(op: string, shape: readonly number[], walk: Walk, dy: Tensor): Tensor {
  const y = zeros(shape, { dtype: dy.dtype });
  if (dy.size > 0) k.writeStrided(y, dy, walk.offset, ...stridedSize(op, walk.shape, [...walk.strides]));
  return record(y, `${op}Grad`, { dy }, {}, (ddy) => ({ dy: () => readWalk(op, ddy, walk) }));
}
