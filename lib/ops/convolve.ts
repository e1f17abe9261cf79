/**
 * What the convolutions share: the check of operands and options, and the 2-d kernels with their gradients. convolve,
 * gradX and gradW are linear in each operand and each other's gradients, so derivatives of any order exist.
 */

import { expect, show } from "../errors.js";
import { record } from "../graph.js";
import { k } from "../native.js";
import { empty, type Tensor } from "../tensor.js";
import { expectFloat, expectSameDType, tupleOf } from "./common.js";
import { exactConvolution } from "./convolutionMode.js";
import { pad } from "./pad.js";
import { sum } from "./reduce.js";
import { reluGradient } from "./reluGradient.js";

/** The fields of Conv2dSize: n c h w o r s strideH strideW padH padW dilationH dilationW groups. */
export type Conv2dSize = readonly [
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
type Size = Conv2dSize;

const xShape = ([n, c, h, w]: Size): number[] => [n, c, h, w];
const wShape = ([, c, , , o, r, s, , , , , , , groups]: Size): number[] => [o, c / groups, r, s];
/** [n, o, p, q] */
export const yShape = ([n, , h, w, o, r, s, strideH, strideW, padH, padW, dilationH, dilationW]: Size): number[] => [
  n,
  o,
  Math.floor((h + 2 * padH - dilationH * (r - 1) - 1) / strideH) + 1,
  Math.floor((w + 2 * padW - dilationW * (s - 1) - 1) / strideW) + 1,
];

/** One number for all axes, or one each. */
export type PerAxis = number | readonly number[];
/** How the extents of x and of a weight are called, by the number of spatial axes. */
export const LETTERS = { 1: ["l", "s"], 2: ["h,w", "r,s"], 3: ["d,h,w", "t,r,s"] } as const;

/** Where the windows of a convolution lie, one number an axis. */
export interface Windows {
  /** With the border that padding "same" needs at the end of even kernels. */
  x: Tensor;
  strides: number[];
  pads: number[];
  dilations: number[];
}

/** Checks the operands of a convolution over `axes` axes; answers its numbers, one an axis. */
export function checkConvolution(
  op: string,
  axes: 1 | 2 | 3,
  x: Tensor,
  w: Tensor,
  b: Tensor | null,
  {
    stride,
    padding,
    dilation,
    groups,
  }: { stride: PerAxis; padding: PerAxis | "same" | "valid"; dilation: PerAxis; groups: number },
): Windows {
  const [extents, taps] = LETTERS[axes];
  expectFloat(op, x);
  expectSameDType(op, x, w);
  expect(x.ndim === axes + 2, op, `x with ${axes + 2} dimensions [n,c,${extents}]`, `${x.ndim} (${show(x.shape)})`);
  expect(
    w.ndim === axes + 2 && w.size > 0,
    op,
    `a weight with ${axes + 2} dimensions [o,c/groups,${taps}], none of them 0`,
    show(w.shape),
  );
  const [o, perGroup, ...kernel] = w.shape as [number, number, ...number[]];
  expect(
    Number.isSafeInteger(groups) && groups >= 1 && o % groups === 0,
    op,
    `groups that divide the ${o} output channels of weight ${show(w.shape)}`,
    `${groups}`,
  );
  expect(
    x.shape[1] === perGroup * groups,
    op,
    `x with ${perGroup * groups} channels for weight ${show(w.shape)} and groups ${groups}`,
    `${x.shape[1]} (${show(x.shape)})`,
  );
  if (b) expectBias(op, x, b, o);
  const strides = tupleOf(op, "a stride", stride, 1, axes);
  const dilations = tupleOf(op, "a dilation", dilation, 1, axes);
  const reach = kernel.map((e, d) => dilations[d]! * (e - 1));
  let pads = kernel.map(() => 0);
  if (padding === "same") {
    expect(
      strides.every((e) => e === 1),
      op,
      'stride 1 for padding "same"',
      show(strides),
    );
    pads = reach.map((e) => Math.floor(e / 2));
    // An even kernel needs one zero more below and on the right, as in PyTorch.
    if (reach.some((e) => e % 2))
      x = pad(
        x,
        [...reach].reverse().flatMap((e) => [0, e % 2]),
      );
  } else if (padding !== "valid") {
    pads = tupleOf(op, "a padding", padding, 0, axes);
  }
  const padded = x.shape.slice(2).map((e, d) => e + 2 * pads[d]!);
  expect(
    padded.every((e, d) => e > reach[d]!),
    op,
    `a kernel that fits: it covers ${show(reach.map((e) => e + 1))}`,
    `a padded x of ${show(padded)} (${show(x.shape)})`,
  );
  return { x, strides, pads, dilations };
}

export function expectBias(op: string, x: Tensor, b: Tensor, o: number): void {
  expectSameDType(op, x, b);
  expect(b.ndim === 1 && b.size === o, op, `a bias of shape [${o}]`, show(b.shape));
}

/**
 * y[n, o, p, q] of x[n, c, h, w] and w[o, c / groups, r, s], with a bias [o] or none; relu of it where asked for. `exact`
 * holds for gradients too.
 */
export function convolve(
  x: Tensor,
  w: Tensor,
  b: Tensor | null,
  size: Size,
  exact = exactConvolution(),
  relu = false,
): Tensor {
  const y = empty(yShape(size), x.dtype);
  k.conv2d(y, x, w, b, ...size, exact, Number(relu));
  const biased = b !== null;
  return record(y, "conv2d", { x, w, b }, { x, w, y: relu ? y : null }, (dy, { x, w, y }) => {
    const own = y ? reluGradient(dy, y) : dy;
    return {
      x: () => gradX(own, w, size, exact),
      w: () => gradW(own, x, size, exact),
      b: biased ? () => sum(own, [0, 2, 3]) : null,
    };
  });
}

/** dx[n, c, h, w] of dy[n, o, p, q] and w: the transposed convolution. */
export function gradX(dy: Tensor, w: Tensor, size: Size, exact = exactConvolution()): Tensor {
  const dx = empty(xShape(size), dy.dtype);
  k.conv2dGradX(dx, dy, w, ...size, exact);
  return record(dx, "conv2dGradX", { dy, w }, { dy, w }, (ddx, { dy, w }) => ({
    dy: () => convolve(ddx, w, null, size, exact),
    w: () => gradW(dy, ddx, size, exact),
  }));
}

function gradW(dy: Tensor, x: Tensor, size: Size, exact: 0 | 1): Tensor {
  const dw = empty(wShape(size), dy.dtype);
  k.conv2dGradW(dw, dy, x, ...size, exact);
  return record(dw, "conv2dGradW", { dy, x }, { dy, x }, (ddw, { dy, x }) => ({
    dy: () => convolve(x, ddw, null, size, exact),
    x: () => gradX(dy, ddw, size, exact),
  }));
}
