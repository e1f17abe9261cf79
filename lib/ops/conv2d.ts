/**
 * 2-d convolution (cross-correlation, as in every deep learning library):
 *
 *     y[n,o,p,q] = b[o] + sum over c,r,s of x[n, c, p stride - padding + r dilation, q ...] w[o,c,r,s]
 *
 * conv2d, conv2dGradX and conv2dGradW are linear in each operand and each other's gradients, so derivatives of any order
 * exist. The kernel's extents are computed here, once (native/sizes.h, Conv2dSize).
 */
import { record } from "../autograd.js";
import { expect, show } from "../errors.js";
import { k } from "../native.js";
import { empty, type Tensor } from "../tensor.js";
import { expectFloat, expectSameDType, type Pair, pairOf } from "./common.js";
import { pad } from "./pad.js";
import { sum } from "./reduce.js";

export type { Pair };

export interface Conv2dOptions {
  /** Default 1. */
  stride?: Pair;
  /** Zeros around x; "same" keeps the extents (stride 1), "valid" is 0. Default 0. */
  padding?: Pair | "same" | "valid";
  /** Distance between the taps. Default 1. */
  dilation?: Pair;
  /** Input and output channels in that many blocks, each convolved alone. Default 1. */
  groups?: number;
}

/** The fields of Conv2dSize: n c h w o r s strideH strideW padH padW dilationH dilationW groups. */
type Size = readonly [
  number,
  number,
  number,
  number,
  number,
  number,
  number,
  number,
  number,
  number,
  number,
  number,
  number,
  number,
];

const xShape = ([n, c, h, w]: Size): number[] => [n, c, h, w];
const wShape = ([, c, , , o, r, s, , , , , , , groups]: Size): number[] => [o, c / groups, r, s];
const yShape = ([n, , h, w, o, r, s, strideH, strideW, padH, padW, dilationH, dilationW]: Size): number[] => [
  n,
  o,
  Math.floor((h + 2 * padH - dilationH * (r - 1) - 1) / strideH) + 1,
  Math.floor((w + 2 * padW - dilationW * (s - 1) - 1) / strideW) + 1,
];

/**
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
  { stride = 1, padding = 0, dilation = 1, groups = 1 }: Conv2dOptions = {},
): Tensor {
  const op = "conv2d";
  expectFloat(op, x);
  expectSameDType(op, x, w);
  expect(x.ndim === 4, op, "x with 4 dimensions [n,c,h,w]", `${x.ndim} (${show(x.shape)})`);
  expect(w.ndim === 4 && w.size > 0, op, "a weight with 4 dimensions [o,c/groups,r,s], none of them 0", show(w.shape));
  const c = x.shape[1];
  const [o, perGroup, r, s] = w.shape as [number, number, number, number];
  expect(
    Number.isSafeInteger(groups) && groups >= 1 && o % groups === 0,
    op,
    `groups that divide the ${o} output channels of weight ${show(w.shape)}`,
    `${groups}`,
  );
  expect(
    c === perGroup * groups,
    op,
    `x with ${perGroup * groups} channels for weight ${show(w.shape)} and groups ${groups}`,
    `${c} (${show(x.shape)})`,
  );
  if (b) {
    expectSameDType(op, x, b);
    expect(b.ndim === 1 && b.size === o, op, `a bias of shape [${o}]`, show(b.shape));
  }
  const [strideH, strideW] = pairOf(op, "a stride", stride, 1);
  const [dilationH, dilationW] = pairOf(op, "a dilation", dilation, 1);
  let padH = 0;
  let padW = 0;
  if (padding === "same") {
    expect(strideH === 1 && strideW === 1, op, 'stride 1 for padding "same"', show([strideH, strideW]));
    const [totalH, totalW] = [dilationH * (r - 1), dilationW * (s - 1)];
    [padH, padW] = [Math.floor(totalH / 2), Math.floor(totalW / 2)];
    // An even kernel needs one zero more below and on the right, as in PyTorch.
    if (totalH % 2 || totalW % 2) x = pad(x, [0, totalW % 2, 0, totalH % 2]);
  } else if (padding !== "valid") {
    [padH, padW] = pairOf(op, "a padding", padding, 0);
  }
  const [n, , height, width] = x.shape as [number, number, number, number];
  const size: Size = [n, c, height, width, o, r, s, strideH, strideW, padH, padW, dilationH, dilationW, groups];
  const [, , p, q] = yShape(size);
  const taps = show([dilationH * (r - 1) + 1, dilationW * (s - 1) + 1]);
  expect(
    p >= 1 && q >= 1,
    op,
    `a kernel that fits: it covers ${taps}`,
    `a padded x of ${show([height + 2 * padH, width + 2 * padW])} (${show(x.shape)})`,
  );
  return convolve(x, w, b, size);
}

function convolve(x: Tensor, w: Tensor, b: Tensor | null, size: Size): Tensor {
  const y = empty(yShape(size), x.dtype);
  k.conv2d(y, x, w, b, ...size);
  const biased = b !== null;
  return record(y, "conv2d", { x, w, b }, { x, w }, (dy, { x, w }) => ({
    x: () => gradX(dy, w, size),
    w: () => gradW(dy, x, size),
    b: biased ? () => sum(dy, [0, 2, 3]) : null,
  }));
}

function gradX(dy: Tensor, w: Tensor, size: Size): Tensor {
  const dx = empty(xShape(size), dy.dtype);
  k.conv2dGradX(dx, dy, w, ...size);
  return record(dx, "conv2dGradX", { dy, w }, { dy, w }, (ddx, { dy, w }) => ({
    dy: () => convolve(ddx, w, null, size),
    w: () => gradW(dy, ddx, size),
  }));
}

function gradW(dy: Tensor, x: Tensor, size: Size): Tensor {
  const dw = empty(wShape(size), dy.dtype);
  k.conv2dGradW(dw, dy, x, ...size);
  return record(dw, "conv2dGradW", { dy, x }, { dy, x }, (ddw, { dy, x }) => ({
    dy: () => convolve(x, ddw, null, size),
    x: () => gradX(dy, ddw, size),
  }));
}
