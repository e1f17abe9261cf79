/**
 * Convolution and max pooling in CS231n's conventions, twice: naive, a loop over output positions that reads as the
 * definition, and fast, the kernels of conv2d and maxPool2d. The fast backwards call the same gradient kernels as autograd.
 */
import { expect, show } from "../errors.js";
import { k } from "../native.js";
import { add, equal, mul } from "../ops/arithmetic.js";
import { to } from "../ops/cast.js";
import { conv2d } from "../ops/conv2d.js";
import { exactConvolution } from "../ops/convolutionMode.js";
import { arange, zerosLike } from "../ops/create.js";
import { matmul } from "../ops/matmul.js";
import { pad } from "../ops/pad.js";
import { maxPool2dWithIndices } from "../ops/pool.js";
import { amax, argmax, sum } from "../ops/reduce.js";
import { reshape, slice, stack, unsqueeze } from "../ops/shape.js";
import { empty, type Tensor } from "../tensor.js";
import { explicit } from "./common.js";

/** CS231n's conv_param. */
export interface ConvParam {
  /** Step of the windows, both ways. */
  stride: number;
  /** Zeros on every side. */
  pad: number;
}

/** CS231n's pool_param. */
export interface PoolParam {
  /** Height of a window. */
  poolHeight: number;
  /** Width of a window. */
  poolWidth: number;
  /** Step of the windows, both ways. */
  stride: number;
}

/** What the forwards of convolution keep for their backwards. */
export type ConvCache = readonly [x: Tensor, w: Tensor, b: Tensor, param: ConvParam];
/** (dout [n, o, p, q], cache) to (dx, dw, db). */
export type ConvBackward = (dout: Tensor, cache: ConvCache) => [dx: Tensor, dw: Tensor, db: Tensor];

/** Output extents of windows r x s over h x w. */
function extents(op: string, h: number, w: number, r: number, s: number, stride: number): [p: number, q: number] {
  expect(Number.isSafeInteger(stride) && stride >= 1, op, "a stride that is an integer from 1 up", `${stride}`);
  expect(h >= r && w >= s, op, `windows ${show([r, s])} that fit`, `${show([h, w])} padded elements`);
  return [Math.floor((h - r) / stride) + 1, Math.floor((w - s) / stride) + 1];
}

/** Calls `fn` for each output position with the rows and columns of its window. */
function eachWindow(
  [p, q]: readonly [number, number],
  [r, s]: readonly [number, number],
  stride: number,
  fn: (rows: [number, number], cols: [number, number], i: number, j: number) => void,
): void {
  for (let i = 0; i < p; i++)
    for (let j = 0; j < q; j++) fn([i * stride, i * stride + r], [j * stride, j * stride + s], i, j);
}

const expectConv = (op: string, x: Tensor, w: Tensor): void => {
  expect(x.ndim === 4 && w.ndim === 4, op, "x [n,c,h,w] and w [o,c,r,s]", `${show(x.shape)} and ${show(w.shape)}`);
  expect(x.shape[1] === w.shape[1], op, `x with ${w.shape[1]} channels for weight ${show(w.shape)}`, show(x.shape));
};

/**
 * conv_forward_naive: one product of a window with all filters for each output position.
 *
 * @param x [n, c, h, w]
 * @param w [o, c, r, s]
 * @param b [o]
 * @returns [out, cache] with out [n, o, p, q], p = 1 + floor((h + 2 pad - r) / stride)
 */
export function convForwardNaive(x: Tensor, w: Tensor, b: Tensor, param: ConvParam): [out: Tensor, cache: ConvCache] {
  const op = "convForwardNaive";
  expectConv(op, x, w);
  const padded = pad(x, [param.pad, param.pad, param.pad, param.pad]);
  const [n, , h, width] = padded.shape as [number, number, number, number];
  const [o, , r, s] = w.shape as [number, number, number, number];
  const [p, q] = extents(op, h, width, r, s, param.stride);
  const filters = reshape(w, [o, -1]);
  const positions: Tensor[] = []; // [n, o] each
  eachWindow([p, q], [r, s], param.stride, (rows, cols) => {
    const window = reshape(slice(padded, null, null, rows, cols), [n, -1]);
    positions.push(add(matmul(window, filters, { transB: true }), b));
  });
  return [reshape(stack(positions, 2), [n, o, p, q]), [x, w, b, param]];
}

/** conv_backward_naive: the windows' gradients added where they lie. */
export const convBackwardNaive: ConvBackward = explicit((dout, [x, w, , param]) => {
  const padded = pad(x, [param.pad, param.pad, param.pad, param.pad]);
  const [n, c, h, width] = padded.shape as [number, number, number, number];
  const [o, , r, s] = w.shape as [number, number, number, number];
  const [, , p, q] = dout.shape as [number, number, number, number];
  const filters = reshape(w, [o, -1]);
  let dpadded = zerosLike(padded);
  let dfilters = zerosLike(filters);
  eachWindow([p, q], [r, s], param.stride, (rows, cols, i, j) => {
    const dy = slice(dout, null, null, i, j); // [n, o]
    const window = reshape(slice(padded, null, null, rows, cols), [n, -1]);
    dfilters = add(dfilters, matmul(dy, window, { transA: true }));
    const dwindow = reshape(matmul(dy, filters), [n, c, r, s]);
    dpadded = add(dpadded, pad(dwindow, [cols[0], width - cols[1], rows[0], h - rows[1]]));
  });
  const inside = (extent: number): [number, number] => [param.pad, extent - param.pad];
  const dx = slice(dpadded, null, null, inside(h), inside(width));
  return [dx, reshape(dfilters, w.shape), sum(dout, [0, 2, 3])];
});

/** conv_forward_fast: the kernel of conv2d. */
export function convForwardFast(x: Tensor, w: Tensor, b: Tensor, param: ConvParam): [out: Tensor, cache: ConvCache] {
  return [conv2d(x, w, b, { stride: param.stride, padding: param.pad }), [x, w, b, param]];
}

/** conv_backward_fast: the gradient kernels of conv2d. */
export const convBackwardFast: ConvBackward = explicit((dout, [x, w, , param]) => {
  const [o, , r, s] = w.shape as [number, number, number, number];
  const size = [...x.shape, o, r, s, param.stride, param.stride, param.pad, param.pad, 1, 1, 1, exactConvolution()];
  const dx = empty(x.shape, x.dtype);
  const dw = empty(w.shape, w.dtype);
  k.conv2dGradX(dx, dout, w, ...size);
  k.conv2dGradW(dw, dout, x, ...size);
  return [dx, dw, sum(dout, [0, 2, 3])];
});

/** `index`: of the fast form, where in its plane each maximum stands. */
export type PoolCache = readonly [x: Tensor, param: PoolParam, index: Tensor | null];

/** max_pool_forward_naive: the largest element of each window of x [n, c, h, w]. */
export function maxPoolForwardNaive(x: Tensor, param: PoolParam): [out: Tensor, cache: PoolCache] {
  const op = "maxPoolForwardNaive";
  expect(x.ndim === 4, op, "x of shape [n,c,h,w]", show(x.shape));
  const { poolHeight, poolWidth, stride } = param;
  const [n, c, h, w] = x.shape as [number, number, number, number];
  const [p, q] = extents(op, h, w, poolHeight, poolWidth, stride);
  const positions: Tensor[] = []; // [n, c] each
  eachWindow([p, q], [poolHeight, poolWidth], stride, (rows, cols) => {
    positions.push(amax(slice(x, null, null, rows, cols), [2, 3]));
  });
  return [reshape(stack(positions, 2), [n, c, p, q]), [x, param, null]];
}

/** max_pool_backward_naive: dout goes to the maximum of its window, the first of equals. */
export const maxPoolBackwardNaive: (dout: Tensor, cache: PoolCache) => Tensor = explicit((dout, [x, param]) => {
  const { poolHeight, poolWidth, stride } = param;
  const [n, c, h, w] = x.shape as [number, number, number, number];
  const [, , p, q] = dout.shape as [number, number, number, number];
  const places = arange(poolHeight * poolWidth);
  let dx = zerosLike(x);
  eachWindow([p, q], [poolHeight, poolWidth], stride, (rows, cols, i, j) => {
    const window = reshape(slice(x, null, null, rows, cols), [n, c, -1]);
    const wins = to(equal(unsqueeze(argmax(window, 2), -1), places), x.dtype);
    const dwindow = mul(wins, unsqueeze(slice(dout, null, null, i, j), -1));
    dx = add(dx, pad(reshape(dwindow, [n, c, poolHeight, poolWidth]), [cols[0], w - cols[1], rows[0], h - rows[1]]));
  });
  return dx;
});

/** max_pool_forward_fast: the kernel of maxPool2d. */
export function maxPoolForwardFast(x: Tensor, param: PoolParam): [out: Tensor, cache: PoolCache] {
  const { poolHeight, poolWidth, stride } = param;
  const [out, index] = maxPool2dWithIndices(x, [poolHeight, poolWidth], { stride });
  return [out, [x, param, index]];
}

/** max_pool_backward_fast: the gradient kernel of maxPool2d. */
export const maxPoolBackwardFast: (dout: Tensor, cache: PoolCache) => Tensor = explicit((dout, [x, , index]) => {
  if (index === null)
    throw new Error("maxPoolBackwardFast: expected the cache of maxPoolForwardFast, got that of the naive form");
  const [n, c, h, w] = x.shape as [number, number, number, number];
  const dx = empty(x.shape, x.dtype);
  k.maxPool2dGrad(dx, dout, index, n * c, h, w, dout.shape[2]!, dout.shape[3]!);
  return dx;
});
