/**
 * The kernels behind unfold and fold, which convolution over depth uses too.
 */
import { record } from "../graph.js";
import { k } from "../native.js";
import { empty, type Tensor } from "../tensor.js";
import type { Conv2dSize } from "./convolve.js";

/** The windows of x as columns, [n, c r s, p q] seen as `shape`. */
export function columnsOf(x: Tensor, size: Conv2dSize, shape: readonly number[]): Tensor {
  const y = empty(shape, x.dtype);
  k.unfold(y, x, ...size);
  const xShape = x.shape;
  return record(y, "unfold", { x }, {}, (dy) => ({ x: () => pictureOf(dy, size, xShape) }));
}

/** Columns added up where their windows lie. */
export function pictureOf(y: Tensor, size: Conv2dSize, shape: readonly number[]): Tensor {
  const x = empty(shape, y.dtype);
  k.fold(x, y, ...size);
  const yShape = y.shape;
  return record(x, "fold", { y }, {}, (dx) => ({ y: () => columnsOf(dx, size, yShape) }));
}
