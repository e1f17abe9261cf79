/**
 * Transposed convolution: the gradient of a convolution for its input, as an op (Zeiler et al., "Deconvolutional
 * Networks", 2010). Where a convolution takes windows of x to one value, this spreads one value over a window of y.
 */
import { expect, show } from "../errors.js";
import type { Tensor } from "../tensor.js";
import { add } from "./arithmetic.js";
import { pictureOf } from "./columns.js";
import { expectFloat, expectSameDType, type Pair, tupleOf } from "./common.js";
import type { Triple } from "./conv3d.js";
import { expectBias, gradX, LETTERS, type PerAxis } from "./convolve.js";
import { pad } from "./pad.js";
import { permute, reshape } from "./shape.js";

interface Options<A> {
  /** Distance between the windows in y. Default 1. */
  stride?: A;
  /** How much is cut from each border of y. Default 0. */
  padding?: A;
  /** Extra extent at the end of y: with a stride, several extents of y have the same convolution. Default 0. */
  outputPadding?: A;
  /** Input and output channels in that many blocks, each convolved alone. Default 1. */
  groups?: number;
  /** Distance between the taps. Default 1. */
  dilation?: A;
}
/** Options of convTranspose1d, numbers throughout. */
export interface ConvTranspose1dOptions extends Options<number> {}
/** Options of convTranspose2d; a pair is [vertical, horizontal]. */
export interface ConvTranspose2dOptions extends Options<Pair> {}
/** Options of convTranspose3d; a triple is [depth, vertical, horizontal]. */
export interface ConvTranspose3dOptions extends Options<Triple> {}

/**
 * The gradient of conv1d for its input, as an op: every value of x spread over a window of y.
 *
 * @param x [n, c, l]
 * @param w [c, o / groups, s]
 * @param b [o]
 * @returns [n, o, (l - 1) stride - 2 padding + dilation (s - 1) + outputPadding + 1]
 */
export const convTranspose1d = (
  x: Tensor,
  w: Tensor,
  b: Tensor | null = null,
  options: ConvTranspose1dOptions = {},
): Tensor => transposed("convTranspose1d", 1, x, w, b, options);

/**
 * The gradient of conv2d for its input, as an op: every value of x spread over a window of y.
 *
 * @param x [n, c, h, w]
 * @param w [c, o / groups, r, s]
 * @param b [o]
 * @returns [n, o, p, q] with p = (h - 1) stride - 2 padding + dilation (r - 1) + outputPadding + 1
 * @example
 * const y = zeros([1, 4, 7, 7]).convTranspose2d(zeros([4, 2, 4, 4]), null, { stride: 2, padding: 1 }); // [1, 2, 14, 14]
 */
export const convTranspose2d = (
  x: Tensor,
  w: Tensor,
  b: Tensor | null = null,
  options: ConvTranspose2dOptions = {},
): Tensor => transposed("convTranspose2d", 2, x, w, b, options);

/**
 * The gradient of conv3d for its input, as an op: every value of x spread over a window of y.
 *
 * @param x [n, c, d, h, w]
 * @param w [c, o / groups, t, r, s]
 * @param b [o]
 * @returns [n, o, ...] with extents (extent - 1) stride - 2 padding + dilation (taps - 1) + outputPadding + 1
 */
export const convTranspose3d = (
  x: Tensor,
  w: Tensor,
  b: Tensor | null = null,
  options: ConvTranspose3dOptions = {},
): Tensor => transposed("convTranspose3d", 3, x, w, b, options);

function transposed(
  op: string,
  axes: 1 | 2 | 3,
  x: Tensor,
  w: Tensor,
  b: Tensor | null,
  { stride = 1, padding = 0, outputPadding = 0, groups = 1, dilation = 1 }: Options<PerAxis>,
): Tensor {
  const [extents, taps] = LETTERS[axes];
  expectFloat(op, x);
  expectSameDType(op, x, w);
  expect(x.ndim === axes + 2, op, `x with ${axes + 2} dimensions [n,c,${extents}]`, `${x.ndim} (${show(x.shape)})`);
  expect(
    x.shape.slice(1).every((e) => e > 0),
    op,
    "at least one channel and one element",
    show(x.shape),
  );
  expect(
    w.ndim === axes + 2 && w.size > 0 && w.shape[0] === x.shape[1],
    op,
    `a weight of shape [${x.shape[1]},o/groups,${taps}] for x ${show(x.shape)}`,
    show(w.shape),
  );
  const c = x.shape[1]!;
  expect(
    Number.isSafeInteger(groups) && groups >= 1 && c % groups === 0,
    op,
    `groups that divide the ${c} input channels`,
    `${groups}`,
  );
  const o = w.shape[1]! * groups;
  if (b) expectBias(op, x, b, o);
  const strides = tupleOf(op, "a stride", stride, 1, axes);
  const dilations = tupleOf(op, "a dilation", dilation, 1, axes);
  const pads = tupleOf(op, "a padding", padding, 0, axes);
  const extras = tupleOf(op, "an output padding", outputPadding, 0, axes);
  expect(
    extras.every((e, d) => e < Math.max(strides[d]!, dilations[d]!)),
    op,
    `an output padding below the stride ${show(strides)} or the dilation ${show(dilations)}`,
    show(extras),
  );
  const whole = x.shape.slice(2).map((e, d) => (e - 1) * strides[d]! + dilations[d]! * (w.shape[d + 2]! - 1) + 1);
  const shape = whole.map((e, d) => e - 2 * pads[d]! + extras[d]!);
  expect(
    shape.every((e) => e >= 1),
    op,
    `an output with at least one element: padding cuts from ${show(whole)}`,
    `${show(shape)}`,
  );
  // An output padding from the stride on is no window's: all windows first, then the border is cut and added.
  const beyond = extras.some((e, d) => e >= strides[d]!);
  const spread = { strides, dilations, pads: beyond ? pads.map(() => 0) : pads, shape: beyond ? whole : shape };
  let y = axes === 3 ? spreadFrames(x, w, o, groups, spread) : spreadPlanes(x, w, o, groups, spread);
  if (beyond) y = pad(y, pads.flatMap((e, d) => [extras[d]! - e, -e]).reverse());
  return b ? add(y, reshape(b, [o, ...shape.map(() => 1)])) : y;
}

interface Spread {
  strides: number[];
  dilations: number[];
  pads: number[];
  /** Extents of y. */
  shape: number[];
}

/** One or two axes: the convolution whose x is our y. */
function spreadPlanes(
  x: Tensor,
  w: Tensor,
  o: number,
  groups: number,
  { strides, dilations, pads, shape }: Spread,
): Tensor {
  const flat = shape.length === 1;
  const planes = <A>(list: A[], one: A): [A, A] => (flat ? [one, list[0]!] : [list[0]!, list[1]!]);
  const [n, c] = x.shape as [number, number];
  const kernel = planes(w.shape.slice(2), 1);
  const y = gradX(flat ? reshape(x, [n, c, 1, x.shape[2]!]) : x, flat ? reshape(w, [c, w.shape[1]!, ...kernel]) : w, [
    n,
    o,
    ...planes(shape, 1),
    c,
    ...kernel,
    ...planes(strides, 1),
    ...planes(pads, 0),
    ...planes(dilations, 1),
    groups,
  ]);
  return flat ? reshape(y, [n, o, shape[0]!]) : y;
}

/** Three axes: every frame spreads to o t planes, which are added up along the depth (conv3d, backwards). */
function spreadFrames(
  x: Tensor,
  w: Tensor,
  o: number,
  groups: number,
  { strides, dilations, pads, shape }: Spread,
): Tensor {
  const [n, c, frames, h, width] = x.shape as [number, number, number, number, number];
  const [, perGroup, t, r, s] = w.shape as [number, number, number, number, number];
  const [depth, p, q] = shape as [number, number, number];
  const pictures = reshape(permute(reshape(x, [n, c, frames, h * width]), [0, 2, 1, 3]), [n * frames, c, h, width]);
  const planes = gradX(pictures, reshape(w, [c, perGroup * t, r, s]), [
    n * frames,
    o * t,
    p,
    q,
    c,
    r,
    s,
    strides[1]!,
    strides[2]!,
    pads[1]!,
    pads[2]!,
    dilations[1]!,
    dilations[2]!,
    groups,
  ]);
  const columns = permute(reshape(planes, [n, frames, o * t, p * q]), [0, 2, 1, 3]);
  const y = pictureOf(
    columns,
    [n, o, depth, p * q, 1, t, 1, strides[0]!, 1, pads[0]!, 0, dilations[0]!, 1, 1],
    [n, o, depth, p * q],
  );
  return reshape(y, [n, o, depth, p, q]);
}
