/**
 * Pooling of planes x[..., h, w], for pool.ts and pool1d.ts: by windows, or to a given size ("adaptive"). All are linear
 * where their maxima stay in place: the gradient of a mean's gradient is the mean, that of a maximum's gradient is a
 * look-up at the places of the maxima.
 */

import { expect, show } from "../errors.js";
import { record } from "../graph.js";
import { k } from "../native.js";
import { empty, sizeOfShape, type Tensor } from "../tensor.js";
import { add, mul } from "./arithmetic.js";
import { to } from "./cast.js";
import { type Pair, pairOf } from "./common.js";
import { arange } from "./create.js";
import { embedding } from "./embedding.js";
import { reshape } from "./shape.js";

/** Where the windows of a pooling lie. */
export interface WindowOptions {
  stride?: Pair;
  padding?: Pair;
  dilation?: Pair;
  ceilMode?: boolean;
}
/** The fields of Pool2dSize: planes h w p q r s strideH strideW padH padW dilationH dilationW. */
type Size = number[];

function planesOf(op: string, x: Tensor): { lead: number[]; planes: number; h: number; w: number } {
  const [h, w] = x.shape.slice(-2) as [number, number];
  expect(h >= 1 && w >= 1, op, "planes with at least one element", show(x.shape));
  const lead = x.shape.slice(0, -2);
  return { lead, planes: sizeOfShape(lead), h, w };
}

function windowsOf(
  op: string,
  x: Tensor,
  kernelSize: Pair,
  { stride = kernelSize, padding = 0, dilation = 1, ceilMode = false }: WindowOptions,
): { size: Size; shape: number[] } {
  const { lead, planes, h, w } = planesOf(op, x);
  const kernel = pairOf(op, "a kernel size", kernelSize, 1);
  const steps = pairOf(op, "a stride", stride, 1);
  const pads = pairOf(op, "a padding", padding, 0);
  const gaps = pairOf(op, "a dilation", dilation, 1);
  expect(
    pads.every((e, d) => 2 * e <= kernel[d]),
    op,
    `a padding of at most half the kernel size ${show(kernel)}`,
    show(pads),
  );
  const [p, q] = [h, w].map((extent, d) => {
    const room = extent + 2 * pads[d] - gaps[d] * (kernel[d] - 1) - 1;
    expect(
      room >= 0,
      op,
      `windows that fit: they cover ${gaps[d] * (kernel[d] - 1) + 1}`,
      `${extent + 2 * pads[d]} padded elements (${show(x.shape)})`,
    );
    const count = (ceilMode ? Math.ceil(room / steps[d]) : Math.floor(room / steps[d])) + 1;
    // The last window must begin on the picture or in the border before it.
    return ceilMode && (count - 1) * steps[d] >= extent + pads[d] ? count - 1 : count;
  }) as [number, number];
  return { size: [planes, h, w, p, q, ...kernel, ...steps, ...pads, ...gaps], shape: [...lead, p, q] };
}

/** The largest element of each window, and where in its plane it stands. */
export function windowMaxima(
  op: string,
  x: Tensor,
  kernelSize: Pair,
  options: WindowOptions,
): [y: Tensor, index: Tensor] {
  const { size, shape } = windowsOf(op, x, kernelSize, options);
  const y = empty(shape, x.dtype);
  const index = empty(shape, "int32");
  k.maxPool2d(y, index, x, ...size);
  return [recordMaxima(op, x, y, index, size.slice(0, 5)), index];
}

/** The largest element of each cell, and where in its plane it stands. */
export function cellMaxima(op: string, x: Tensor, outputSize: OutputSize): [y: Tensor, index: Tensor] {
  const { size, shape } = cellsOf(op, x, outputSize);
  const y = empty(shape, x.dtype);
  const index = empty(shape, "int32");
  k.adaptiveMaxPool2d(y, index, x, ...size);
  return [recordMaxima(op, x, y, index, size), index];
}

/** size: planes h w p q */
function recordMaxima(op: string, x: Tensor, y: Tensor, index: Tensor, size: Size): Tensor {
  const { shape } = x;
  return record(y, op, { x }, { index }, (dy, { index }) => ({ x: () => spreadMaxima(dy, index, shape, size) }));
}

/** dx[index] += dy */
function spreadMaxima(dy: Tensor, index: Tensor, shape: readonly number[], size: Size): Tensor {
  const dx = empty(shape, dy.dtype);
  k.maxPool2dGrad(dx, dy, index, ...size);
  return record(dx, "maxPool2dGrad", { dy }, { index }, (ddx, { index }) => ({
    dy: () => takeMaxima(ddx, index, size),
  }));
}

/** ddx[index], as a table of one column. */
function takeMaxima(ddx: Tensor, index: Tensor, [planes, h, w, p, q]: Size): Tensor {
  const wide = planes * h * w > 2 ** 31;
  const places = reshape(wide ? to(index, "int64") : index, [planes, p * q]);
  const starts = mul(arange(0, planes, 1, { dtype: places.dtype }), h * w);
  return reshape(embedding(add(places, reshape(starts, [planes, 1])), reshape(ddx, [-1, 1])), index.shape);
}

/** The mean of each window. */
export function windowMeans(op: string, x: Tensor, kernelSize: Pair, options: WindowOptions, padded: boolean): Tensor {
  const { size, shape } = windowsOf(op, x, kernelSize, options);
  return means(x, shape, size, Number(padded));
}

function means(x: Tensor, shape: number[], size: Size, padded: number): Tensor {
  const y = empty(shape, x.dtype);
  k.avgPool2d(y, x, padded, ...size);
  const xShape = x.shape;
  return record(y, "avgPool2d", { x }, {}, (dy) => ({ x: () => spreadMeans(dy, xShape, size, padded) }));
}

function spreadMeans(dy: Tensor, shape: readonly number[], size: Size, padded: number): Tensor {
  const dx = empty(shape, dy.dtype);
  k.avgPool2dGrad(dx, dy, padded, ...size);
  const yShape = [...dy.shape];
  return record(dx, "avgPool2dGrad", { dy }, {}, (ddx) => ({ dy: () => means(ddx, yShape, size, padded) }));
}

/** p and q; null keeps an extent. One number: a square. */
export type OutputSize = number | readonly [number | null, number | null];

function cellsOf(op: string, x: Tensor, outputSize: OutputSize): { size: Size; shape: number[] } {
  const { lead, planes, h, w } = planesOf(op, x);
  const given = typeof outputSize === "number" ? [outputSize, outputSize] : outputSize;
  const [p, q] = pairOf(op, "an output size", [given[0] ?? h, given[1] ?? w], 1);
  return { size: [planes, h, w, p, q], shape: [...lead, p, q] };
}

/** The mean of each cell. */
export function cellAverages(op: string, x: Tensor, outputSize: OutputSize): Tensor {
  const { size, shape } = cellsOf(op, x, outputSize);
  return cellMeans(x, shape, size);
}

function cellMeans(x: Tensor, shape: number[], size: Size): Tensor {
  const y = empty(shape, x.dtype);
  k.adaptiveAvgPool2d(y, x, ...size);
  const xShape = x.shape;
  return record(y, "adaptiveAvgPool2d", { x }, {}, (dy) => ({ x: () => spreadCells(dy, xShape, size) }));
}

function spreadCells(dy: Tensor, shape: readonly number[], size: Size): Tensor {
  const dx = empty(shape, dy.dtype);
  k.adaptiveAvgPool2dGrad(dx, dy, ...size);
  const yShape = [...dy.shape];
  return record(dx, "adaptiveAvgPool2dGrad", { dy }, {}, (ddx) => ({ dy: () => cellMeans(ddx, yShape, size) }));
}
