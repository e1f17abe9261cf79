/**
 * 3-d convolution. The taps along the depth become channels: one copy of x (t times its size) puts beside each frame the
 * frames that its windows reach, and what is left is one conv2d of n d frames with c t channels, whose matrix product is
 * where the time goes. Derivatives of any order exist, since every step has them.
 */
import type { Tensor } from "../tensor.js";
import { columnsOf } from "./columns.js";
import { checkConvolution, convolve } from "./convolve.js";
import { permute, reshape } from "./shape.js";

/** One number for all three directions, or [depth, vertical, horizontal]. */
export type Triple = number | readonly [number, number, number];

/** Options of conv3d. A triple is [depth, vertical, horizontal]; one number stands for all three. */
export interface Conv3dOptions {
  /** Distance between the places where the kernel is laid. Default 1. */
  stride?: Triple;
  /** Zeros around x; "same" keeps the extents (stride 1), "valid" is 0. Default 0. */
  padding?: Triple | "same" | "valid";
  /** Distance between the taps. Default 1. */
  dilation?: Triple;
  /** Input and output channels in that many blocks, each convolved alone. Default 1. */
  groups?: number;
}

/**
 * x slid over by w in three directions, as conv2d in two.
 *
 * @param x [n, c, d, h, w]
 * @param w [o, c / groups, t, r, s]
 * @param b [o]
 * @returns [n, o, ...] with extents floor((extent + 2 padding - dilation (taps - 1) - 1) / stride) + 1
 * @example
 * const y = zeros([1, 3, 4, 8, 8]).conv3d(zeros([2, 3, 3, 3, 3]), null, { padding: 1 }); // [1, 2, 4, 8, 8]
 */
export function conv3d(
  x: Tensor,
  w: Tensor,
  b: Tensor | null = null,
  { stride = 1, padding = 0, dilation = 1, groups = 1 }: Conv3dOptions = {},
): Tensor {
  const windows = checkConvolution("conv3d", 3, x, w, b, { stride, padding, dilation, groups });
  const [n, c, depth, h, width] = windows.x.shape as [number, number, number, number, number];
  const [o, perGroup, t, r, s] = w.shape as [number, number, number, number, number];
  const [strideD, strideH, strideW] = windows.strides as [number, number, number];
  const [padD, padH, padW] = windows.pads as [number, number, number];
  const [dilationD, dilationH, dilationW] = windows.dilations as [number, number, number];
  const frames = Math.floor((depth + 2 * padD - dilationD * (t - 1) - 1) / strideD) + 1;
  // [n, c, d, h w] -> [n, c t, frames, h w] -> [n frames, c t, h, w]
  const taps = columnsOf(
    reshape(windows.x, [n, c, depth, h * width]),
    [n, c, depth, h * width, 1, t, 1, strideD, 1, padD, 0, dilationD, 1, 1],
    [n, c * t, frames, h * width],
  );
  const pictures = reshape(permute(taps, [0, 2, 1, 3]), [n * frames, c * t, h, width]);
  const y = convolve(pictures, reshape(w, [o, perGroup * t, r, s]), b, [
    n * frames,
    c * t,
    h,
    width,
    o,
    r,
    s,
    strideH,
    strideW,
    padH,
    padW,
    dilationH,
    dilationW,
    groups,
  ]);
  const [, , p, q] = y.shape as [number, number, number, number];
  return reshape(permute(reshape(y, [n, frames, o, p * q]), [0, 2, 1, 3]), [n, o, frames, p, q]);
}
