/**
 * 1-d pooling of x[n, c, l] (or [c, l]): 2-d pooling of planes with one row. Derivatives of any order exist.
 */
import { expect, show } from "../errors.js";
import type { Tensor } from "../tensor.js";
import { expectFloat, tupleOf } from "./common.js";
import { lpPool2d, maxUnpool2d } from "./pool.js";
import { cellAverages, cellMaxima, type WindowOptions, windowMaxima, windowMeans } from "./pooling.js";
import { reshape } from "./shape.js";

/** Options of maxPool1d and maxPool1dWithIndices. */
export interface MaxPool1dOptions {
  /** Distance between the windows. Default: the kernel's size. */
  stride?: number;
  /** Border of -infinity, at most half the kernel. Default 0. */
  padding?: number;
  /** Distance between the taps. Default 1. */
  dilation?: number;
  /** Also windows that stick out at the end. Default false. */
  ceilMode?: boolean;
}
/** Options of avgPool1d. */
export interface AvgPool1dOptions {
  /** Distance between the windows. Default: the kernel's size. */
  stride?: number;
  /** Border of zeros, at most half the kernel. Default 0. */
  padding?: number;
  /** Also windows that stick out at the end. Default false. */
  ceilMode?: boolean;
  /** Whether padding counts in the mean. Default true. */
  countIncludePad?: boolean;
}
/** Options of lpPool1d. */
export interface LpPool1dOptions {
  /** Distance between the windows. Default: the kernel's size. */
  stride?: number;
  /** Also windows that stick out at the end. Default false. */
  ceilMode?: boolean;
}

/** [..., l] as planes [..., 1, l]. */
function rows(op: string, x: Tensor): Tensor {
  expectFloat(op, x);
  expect(x.ndim === 2 || x.ndim === 3, op, "x of shape [n,c,l] or [c,l]", show(x.shape));
  return reshape(x, [...x.shape.slice(0, -1), 1, x.shape.at(-1)!]);
}
const line = (y: Tensor): Tensor => reshape(y, [...y.shape.slice(0, -2), y.shape.at(-1)!]);

/** A number as the pair of a plane with one row. */
const across = (op: string, what: string, value: number, least: number, down: number): [number, number] => [
  down,
  tupleOf(op, what, value, least, 1)[0]!,
];
function windows(op: string, kernelSize: number, options: MaxPool1dOptions): [kernel: [number, number], WindowOptions] {
  const { stride = kernelSize, padding = 0, dilation = 1, ceilMode = false } = options;
  const kernel = across(op, "a kernel size", kernelSize, 1, 1);
  return [
    kernel,
    {
      stride: across(op, "a stride", stride, 1, 1),
      padding: across(op, "a padding", padding, 0, 0),
      dilation: across(op, "a dilation", dilation, 1, 1),
      ceilMode,
    },
  ];
}

/**
 * The largest element of each window; NaN wins.
 *
 * @example
 * const y = zeros([2, 3, 8]).maxPool1d(2); // [2, 3, 4]
 */
export function maxPool1d(x: Tensor, kernelSize: number, options: MaxPool1dOptions = {}): Tensor {
  const [y, index] = windowMaxima("maxPool1d", rows("maxPool1d", x), ...windows("maxPool1d", kernelSize, options));
  index.free();
  return line(y);
}

/** maxPool1d, and where in its row each maximum stands, int32. */
export function maxPool1dWithIndices(
  x: Tensor,
  kernelSize: number,
  options: MaxPool1dOptions = {},
): [y: Tensor, index: Tensor] {
  const [y, index] = windowMaxima("maxPool1d", rows("maxPool1d", x), ...windows("maxPool1d", kernelSize, options));
  return [line(y), line(index)];
}

/** The mean of each window. */
export function avgPool1d(
  x: Tensor,
  kernelSize: number,
  { countIncludePad = true, ...options }: AvgPool1dOptions = {},
): Tensor {
  const [kernel, given] = windows("avgPool1d", kernelSize, options);
  return line(windowMeans("avgPool1d", rows("avgPool1d", x), kernel, given, countIncludePad));
}

/** The p-norm of each window, (sum of x^p)^(1 / p); see lpPool2d. */
export function lpPool1d(x: Tensor, normType: number, kernelSize: number, options: LpPool1dOptions = {}): Tensor {
  const [kernel, { stride, ceilMode }] = windows("lpPool1d", kernelSize, options);
  return line(lpPool2d(rows("lpPool1d", x), normType, kernel, { stride, ceilMode }));
}

/** The largest element of each of `outputSize` cells; NaN wins. Cell i covers floor(i l / q) to ceil((i + 1) l / q). */
export function adaptiveMaxPool1d(x: Tensor, outputSize: number): Tensor {
  const op = "adaptiveMaxPool1d";
  const [y, index] = cellMaxima(op, rows(op, x), across(op, "an output size", outputSize, 1, 1));
  index.free();
  return line(y);
}

/** adaptiveMaxPool1d, and where in its row each maximum stands, int32. */
export function adaptiveMaxPool1dWithIndices(x: Tensor, outputSize: number): [y: Tensor, index: Tensor] {
  const op = "adaptiveMaxPool1d";
  const [y, index] = cellMaxima(op, rows(op, x), across(op, "an output size", outputSize, 1, 1));
  return [line(y), line(index)];
}

/** The mean of each of `outputSize` cells: 1 is global average pooling. */
export function adaptiveAvgPool1d(x: Tensor, outputSize: number): Tensor {
  const op = "adaptiveAvgPool1d";
  return line(cellAverages(op, rows(op, x), across(op, "an output size", outputSize, 1, 1)));
}

/** Options of maxUnpool1d. */
export interface MaxUnpool1dOptions {
  /** Distance between the windows of the max pooling. Default: the kernel's size. */
  stride?: number;
  /** Border of the max pooling. Default 0. */
  padding?: number;
  /** Length of what was pooled, where several have the same pooling. Default (q - 1) stride - 2 padding + kernel. */
  outputSize?: number;
}

/** The inverse of maxPool1d as far as there is one; see maxUnpool2d. */
export function maxUnpool1d(
  x: Tensor,
  index: Tensor,
  kernelSize: number,
  { stride = kernelSize, padding = 0, outputSize }: MaxUnpool1dOptions = {},
): Tensor {
  const op = "maxUnpool1d";
  const planes = rows(op, x);
  expect(show(index.shape) === show(x.shape), op, `an index of x's shape ${show(x.shape)}`, show(index.shape));
  return line(
    maxUnpool2d(planes, reshape(index, planes.shape), across(op, "a kernel size", kernelSize, 1, 1), {
      stride: across(op, "a stride", stride, 1, 1),
      padding: across(op, "a padding", padding, 0, 0),
      outputSize: outputSize === undefined ? undefined : across(op, "an output size", outputSize, 1, 1),
    }),
  );
}
