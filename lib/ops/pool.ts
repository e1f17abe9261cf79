/**
 * 2-d pooling of x[n, c, h, w] (or [c, h, w]): by windows, or to a given size ("adaptive"), and the inverse of max pooling.
 * Derivatives of any order exist.
 */

import { expect, show } from "../errors.js";
import { record } from "../graph.js";
import { k } from "../native.js";
import { empty, sizeOfShape, type Tensor } from "../tensor.js";
import { mul } from "./arithmetic.js";
import { checkIndices, expectFloat, type Pair, pairOf } from "./common.js";
import { powScalar, relu } from "./elementwise.js";
import { cellAverages, cellMaxima, type OutputSize, windowMaxima, windowMeans } from "./pooling.js";

export type { OutputSize };

/** Options of maxPool2d and maxPool2dWithIndices. A pair is [vertical, horizontal]. */
export interface MaxPool2dOptions {
  /** Distance between the windows. Default: the kernel's size. */
  stride?: Pair;
  /** Border of -infinity, at most half the kernel. Default 0. */
  padding?: Pair;
  /** Distance between the taps. Default 1. */
  dilation?: Pair;
  /** Also windows that stick out at the end. Default false. */
  ceilMode?: boolean;
}
/** Options of avgPool2d. A pair is [vertical, horizontal]. */
export interface AvgPool2dOptions {
  /** Distance between the windows. Default: the kernel's size. */
  stride?: Pair;
  /** Border of zeros, at most half the kernel. Default 0. */
  padding?: Pair;
  /** Also windows that stick out at the end. Default false. */
  ceilMode?: boolean;
  /** Whether padding counts in the mean. Default true. */
  countIncludePad?: boolean;
}
/** Options of lpPool2d. A pair is [vertical, horizontal]. */
export interface LpPool2dOptions {
  /** Distance between the windows. Default: the kernel's size. */
  stride?: Pair;
  /** Also windows that stick out at the end. Default false. */
  ceilMode?: boolean;
}

function expectPlanes(op: string, x: Tensor): void {
  expectFloat(op, x);
  expect(x.ndim === 3 || x.ndim === 4, op, "x of shape [n,c,h,w] or [c,h,w]", show(x.shape));
}

/**
 * The largest element of each window; NaN wins.
 *
 * @example
 * const y = zeros([2, 3, 8, 8]).maxPool2d(2); // [2, 3, 4, 4]
 */
export function maxPool2d(x: Tensor, kernelSize: Pair, options: MaxPool2dOptions = {}): Tensor {
  const [y, index] = maxPool2dWithIndices(x, kernelSize, options);
  index.free();
  return y;
}

/** maxPool2d, and where in its plane (row times w plus column) each maximum stands, int32. */
export function maxPool2dWithIndices(
  x: Tensor,
  kernelSize: Pair,
  options: MaxPool2dOptions = {},
): [y: Tensor, index: Tensor] {
  expectPlanes("maxPool2d", x);
  return windowMaxima("maxPool2d", x, kernelSize, options);
}

/** The largest element of each of `outputSize` cells; NaN wins. Cell i covers floor(i h / p) to ceil((i + 1) h / p). */
export function adaptiveMaxPool2d(x: Tensor, outputSize: OutputSize): Tensor {
  const [y, index] = adaptiveMaxPool2dWithIndices(x, outputSize);
  index.free();
  return y;
}

/** adaptiveMaxPool2d, and where in its plane each maximum stands, int32. */
export function adaptiveMaxPool2dWithIndices(x: Tensor, outputSize: OutputSize): [y: Tensor, index: Tensor] {
  expectPlanes("adaptiveMaxPool2d", x);
  return cellMaxima("adaptiveMaxPool2d", x, outputSize);
}

/** The mean of each window. */
export function avgPool2d(
  x: Tensor,
  kernelSize: Pair,
  { countIncludePad = true, ...options }: AvgPool2dOptions = {},
): Tensor {
  expectPlanes("avgPool2d", x);
  return windowMeans("avgPool2d", x, kernelSize, options, countIncludePad);
}

/** The mean of each of `outputSize` cells: 1 is global average pooling. */
export function adaptiveAvgPool2d(x: Tensor, outputSize: OutputSize): Tensor {
  expectPlanes("adaptiveAvgPool2d", x);
  return cellAverages("adaptiveAvgPool2d", x, outputSize);
}

/**
 * The p-norm of each window, (sum of x^p)^(1 / p), as PyTorch computes it: without absolute values, a negative sum gives
 * 0; a window that sticks out in ceil mode counts as full. normType 1 is sum pooling of positive values.
 */
export function lpPool2d(x: Tensor, normType: number, kernelSize: Pair, options: LpPool2dOptions = {}): Tensor {
  const op = "lpPool2d";
  expectPlanes(op, x);
  expect(Number.isFinite(normType) && normType > 0, op, "a norm type above 0", `${normType}`);
  const [r, s] = pairOf(op, "a kernel size", kernelSize, 1);
  const means = windowMeans(op, powScalar(x, normType), kernelSize, options, true);
  return powScalar(mul(relu(means), r * s), 1 / normType);
}

/** Options of maxUnpool2d. A pair is [vertical, horizontal]. */
export interface MaxUnpool2dOptions {
  /** Distance between the windows of the max pooling. Default: the kernel's size. */
  stride?: Pair;
  /** Border of the max pooling. Default 0. */
  padding?: Pair;
  /** Extents [h, w] of what was pooled, where several have the same pooling. Default (p - 1) stride - 2 padding + kernel. */
  outputSize?: Pair;
}

/**
 * The inverse of maxPool2d as far as there is one: every value goes where its maximum stood, everything else is 0. Where
 * several indices are the same (overlapping windows) the last value stays, and it alone has a gradient.
 *
 * @param x [n, c, p, q] or [c, p, q]
 * @param index of x's shape, as maxPool2dWithIndices gives it; one outside its plane is an error: at the call where they
 *   came from host data, else when the result is read
 * @returns [n, c, h, w] or [c, h, w]
 * @example
 * const [y, index] = maxPool2dWithIndices(randn([1, 3, 8, 8]), 2);
 * const x = y.maxUnpool2d(index, 2); // [1, 3, 8, 8]
 */
export function maxUnpool2d(
  x: Tensor,
  index: Tensor,
  kernelSize: Pair,
  { stride = kernelSize, padding = 0, outputSize }: MaxUnpool2dOptions = {},
): Tensor {
  const op = "maxUnpool2d";
  expectPlanes(op, x);
  expect(show(index.shape) === show(x.shape), op, `an index of x's shape ${show(x.shape)}`, show(index.shape));
  const kernel = pairOf(op, "a kernel size", kernelSize, 1);
  const steps = pairOf(op, "a stride", stride, 1);
  const pads = pairOf(op, "a padding", padding, 0);
  const [p, q] = x.shape.slice(-2) as [number, number];
  const extents = [p, q].map((e, d) => (e - 1) * steps[d]! - 2 * pads[d]! + kernel[d]!);
  const [h, w] = outputSize === undefined ? extents : pairOf(op, "an output size", outputSize, 1);
  expect(p >= 1 && q >= 1 && h! >= 1 && w! >= 1, op, "planes with at least one element", show([p, q, h!, w!]));
  checkIndices(op, "indices", index, h! * w!);
  const lead = x.shape.slice(0, -2);
  return unpool(x, index, [...lead, h!, w!], [sizeOfShape(lead), h!, w!, p, q]);
}

/** size: planes h w p q */
function unpool(x: Tensor, index: Tensor, shape: readonly number[], size: number[]): Tensor {
  const y = empty(shape, x.dtype);
  k.maxUnpool2d(y, x, index, ...size);
  const xShape = x.shape;
  return record(y, "maxUnpool2d", { x }, { index }, (dy, { index }) => ({
    x: () => takeBack(dy, index, xShape, size),
  }));
}
function takeBack(dy: Tensor, index: Tensor, shape: readonly number[], size: number[]): Tensor {
  const dx = empty(shape, dy.dtype);
  k.maxUnpool2dGrad(dx, dy, index, ...size);
  const yShape = dy.shape;
  return record(dx, "maxUnpool2dGrad", { dy }, { index }, (ddx, { index }) => ({
    dy: () => unpool(ddx, index, yShape, size),
  }));
}
