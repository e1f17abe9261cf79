/**
 * 2-d convolution (cross-correlation, as in every deep learning library):
 *
 *     y[n,o,p,q] = b[o] + sum over c,r,s of x[n, c, p stride - padding + r dilation, q ...] w[o,c,r,s]
 *
 * Derivatives of any order exist (lib/ops/convolve.ts).
 */
import type { Tensor } from "../tensor.js";
import { expectActivation, type Pair } from "./common.js";
import { exactConvolution } from "./convolutionMode.js";
import { checkConvolution, convolve } from "./convolve.js";

export type { Pair };

/** Options of conv2d. A pair is [vertical, horizontal]; one number stands for both. */
export interface Conv2dOptions {
  /** Distance between the places where the kernel is laid. Default 1. */
  stride?: Pair;
  /** Zeros around x; "same" keeps the extents (stride 1), "valid" is 0. Default 0. */
  padding?: Pair | "same" | "valid";
  /** Distance between the taps. Default 1. */
  dilation?: Pair;
  /** Input and output channels in that many blocks, each convolved alone. Default 1. */
  groups?: number;
  /** relu of the result, in the pass that writes it: the bits of conv2d(...).relu(). Default null. */
  activation?: "relu" | null;
}

/**
 * y[n,o,p,q] = b[o] + sum over c,r,s of x[n, c, p stride - padding + r dilation, ...] w[o,c,r,s].
 *
 * @param x [n, c, h, w]
 * @param w [o, c / groups, r, s]
 * @param b [o]
 * @returns [n, o, p, q] with p = floor((h + 2 padding - dilation (r - 1) - 1) / stride) + 1
 * @example
 * const y = zeros([2, 3, 8, 8]).conv2d(zeros([4, 3, 3, 3]), null, { padding: "same" }); // [2, 4, 8, 8]
 */
export function conv2d(
  x: Tensor,
  w: Tensor,
  b: Tensor | null = null,
  { stride = 1, padding = 0, dilation = 1, groups = 1, activation = null }: Conv2dOptions = {},
): Tensor {
  expectActivation("conv2d", activation);
  const windows = checkConvolution("conv2d", 2, x, w, b, { stride, padding, dilation, groups });
  const [n, c, height, width] = windows.x.shape as [number, number, number, number];
  const [o, , r, s] = w.shape as [number, number, number, number];
  const [strideH, strideW] = windows.strides as [number, number];
  const [padH, padW] = windows.pads as [number, number];
  const [dilationH, dilationW] = windows.dilations as [number, number];
  const size = [n, c, height, width, o, r, s, strideH, strideW, padH, padW, dilationH, dilationW, groups] as const;
  return convolve(windows.x, w, b, size, exactConvolution(), activation === "relu");
}
