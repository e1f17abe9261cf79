/**
 * 1-d convolution: conv2d of pictures with one row.
 */
import type { Tensor } from "../tensor.js";
import { checkConvolution, convolve } from "./convolve.js";
import { reshape } from "./shape.js";

/** Options of conv1d. */
export interface Conv1dOptions {
  /** Distance between the places where the kernel is laid. Default 1. */
  stride?: number;
  /** Zeros at both ends; "same" keeps the length (stride 1), "valid" is 0. Default 0. */
  padding?: number | "same" | "valid";
  /** Distance between the taps. Default 1. */
  dilation?: number;
  /** Input and output channels in that many blocks, each convolved alone. Default 1. */
  groups?: number;
}

/**
 * y[n,o,q] = b[o] + sum over c,s of x[n, c, q stride - padding + s dilation] w[o,c,s]. Derivatives of any order exist.
 *
 * @param x [n, c, l]
 * @param w [o, c / groups, s]
 * @param b [o]
 * @returns [n, o, q] with q = floor((l + 2 padding - dilation (s - 1) - 1) / stride) + 1
 * @example
 * const y = zeros([2, 3, 16]).conv1d(zeros([4, 3, 5]), null, { stride: 2, padding: 2 }); // [2, 4, 8]
 */
export function conv1d(
  x: Tensor,
  w: Tensor,
  b: Tensor | null = null,
  { stride = 1, padding = 0, dilation = 1, groups = 1 }: Conv1dOptions = {},
): Tensor {
  const {
    x: padded,
    strides,
    pads,
    dilations,
  } = checkConvolution("conv1d", 1, x, w, b, {
    stride,
    padding,
    dilation,
    groups,
  });
  const [n, c, l] = padded.shape as [number, number, number];
  const [o, perGroup, s] = w.shape as [number, number, number];
  const rows = reshape(padded, [n, c, 1, l]);
  const kernel = reshape(w, [o, perGroup, 1, s]);
  const y = convolve(rows, kernel, b, [n, c, 1, l, o, 1, s, 1, strides[0]!, 0, pads[0]!, 1, dilations[0]!, groups]);
  return reshape(y, [n, o, y.shape[3]!]);
}
