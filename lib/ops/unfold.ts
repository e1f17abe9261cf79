/**
 * The windows of pictures as columns (im2col) and back (col2im). Both are linear and each other's gradient.
 */
import { expect, show } from "../errors.js";
import type { Tensor } from "../tensor.js";
import { columnsOf, pictureOf } from "./columns.js";
import { expectFloat, type Pair, pairOf } from "./common.js";
import type { Conv2dSize } from "./convolve.js";

/** Options of unfold and fold. A pair is [vertical, horizontal]. */
export interface UnfoldOptions {
  /** Distance between the taps. Default 1. */
  dilation?: Pair;
  /** Zeros around x. Default 0. */
  padding?: Pair;
  /** Distance between the windows. Default 1. */
  stride?: Pair;
}

function sizeOf(
  op: string,
  [n, c, h, w]: readonly number[],
  kernelSize: Pair,
  { dilation = 1, padding = 0, stride = 1 }: UnfoldOptions,
): { size: Conv2dSize; p: number; q: number } {
  const kernel = pairOf(op, "a kernel size", kernelSize, 1);
  const gaps = pairOf(op, "a dilation", dilation, 1);
  const pads = pairOf(op, "a padding", padding, 0);
  const steps = pairOf(op, "a stride", stride, 1);
  const padded = [h! + 2 * pads[0], w! + 2 * pads[1]];
  const reach = kernel.map((e, d) => gaps[d]! * (e - 1) + 1);
  expect(
    padded.every((e, d) => e >= reach[d]!),
    op,
    `windows that fit: they cover ${show(reach)}`,
    `a padded picture of ${show(padded)}`,
  );
  const [p, q] = padded.map((e, d) => Math.floor((e - reach[d]!) / steps[d]!) + 1) as [number, number];
  return { size: [n!, c!, h!, w!, 1, ...kernel, ...steps, ...pads, ...gaps, 1], p, q };
}

/**
 * Every window of x as a column, as torch.nn.functional.unfold gives them: a convolution is a matrix product with these
 * columns.
 *
 * @param x [n, c, h, w]
 * @param kernelSize [r, s]
 * @returns [n, c r s, p q] for p x q windows, zeros where a window lies on the padding
 * @example
 * const columns = arange(16).to("float32").reshape([1, 1, 4, 4]).unfold(2, { stride: 2 }); // [1, 4, 4]
 */
export function unfold(x: Tensor, kernelSize: Pair, options: UnfoldOptions = {}): Tensor {
  expectFloat("unfold", x);
  expect(x.ndim === 4, "unfold", "x with 4 dimensions [n,c,h,w]", `${x.ndim} (${show(x.shape)})`);
  const { size, p, q } = sizeOf("unfold", x.shape, kernelSize, options);
  const [n, c] = x.shape as [number, number];
  return columnsOf(x, size, [n, c * size[5] * size[6], p * q]);
}

/**
 * The inverse walk of unfold: every column is added where its window lies, so values of overlapping windows add up.
 *
 * @param x [n, c r s, p q]
 * @param outputSize [h, w]
 * @param kernelSize [r, s]
 * @returns [n, c, h, w]
 */
export function fold(x: Tensor, outputSize: Pair, kernelSize: Pair, options: UnfoldOptions = {}): Tensor {
  const op = "fold";
  expectFloat(op, x);
  expect(x.ndim === 3, op, "x with 3 dimensions [n,c r s,p q]", `${x.ndim} (${show(x.shape)})`);
  const [n, rows, columns] = x.shape as [number, number, number];
  const [h, w] = pairOf(op, "an output size", outputSize, 1);
  const [r, s] = pairOf(op, "a kernel size", kernelSize, 1);
  expect(rows % (r * s) === 0 && rows > 0, op, `rows that are a multiple of the kernel's ${r * s} taps`, show(x.shape));
  const c = rows / (r * s);
  const { size, p, q } = sizeOf(op, [n, c, h, w], kernelSize, options);
  expect(columns === p * q, op, `${p * q} columns, for ${p} x ${q} windows`, `${columns} (${show(x.shape)})`);
  return pictureOf(x, size, [n, c, h, w]);
}
