/** @file Pooling against its windows, written out. */
import {
  type AvgPool2dOptions,
  adaptiveAvgPool2d,
  adaptiveMaxPool2d,
  adaptiveMaxPool2dWithIndices,
  avgPool2d,
  type MaxPool2dOptions,
  maxPool2d,
  maxPool2dWithIndices,
  ones,
  tensor,
} from "napier";
import { type Case, checkOp, expect, test } from "../check.js";
import { apart, at, build, given, type Nd, normal } from "../nd.js";

type Pair = number | readonly [number, number];
const both = (v: Pair): readonly [number, number] => (typeof v === "number" ? [v, v] : v);

/** How many windows, by listing where they may begin. */
function countOf(
  extent: number,
  kernel: number,
  stride: number,
  pad: number,
  dilation: number,
  ceilMode: boolean,
): number {
  const reach = dilation * (kernel - 1) + 1;
  let n = 0;
  for (let begin = -pad; begin + reach <= extent + pad; begin += stride) n++;
  const next = -pad + n * stride;
  const sticksOut = ceilMode && next < extent && (extent + 2 * pad - reach) % stride !== 0;
  return sticksOut ? n + 1 : n;
}

/** f of the values in each window and of the number of its taps within the padded picture. */
function windows(
  x: Nd,
  kernelSize: Pair,
  options: MaxPool2dOptions,
  f: (values: number[], padded: number) => number,
): Nd {
  const { stride = kernelSize, padding = 0, dilation = 1, ceilMode = false } = options;
  const [k, st, pad, dil] = [kernelSize, stride, padding, dilation].map(both);
  const lead = x.shape.slice(0, -2);
  const extents = x.shape.slice(-2);
  const [p, q] = extents.map((e, d) => countOf(e, k[d], st[d], pad[d], dil[d], ceilMode));
  return build([...lead, p, q], (index) => {
    const [i, j] = index.slice(-2);
    const values: number[] = [];
    let padded = 0;
    for (let r = 0; r < k[0]; r++)
      for (let s = 0; s < k[1]; s++) {
        const h = i * st[0] - pad[0] + r * dil[0];
        const w = j * st[1] - pad[1] + s * dil[1];
        if (h < extents[0] + pad[0] && w < extents[1] + pad[1]) padded++;
        if (h >= 0 && w >= 0 && h < extents[0] && w < extents[1]) values.push(at(x, [...index.slice(0, -2), h, w]));
      }
    return f(values, padded);
  });
}

function cells(x: Nd, outputSize: Pair, f: (values: number[]) => number): Nd {
  const [p, q] = both(outputSize);
  const [h, w] = x.shape.slice(-2);
  return build([...x.shape.slice(0, -2), p, q], (index) => {
    const [i, j] = index.slice(-2);
    const values: number[] = [];
    for (let r = Math.floor((i * h) / p); r < Math.ceil(((i + 1) * h) / p); r++)
      for (let s = Math.floor((j * w) / q); s < Math.ceil(((j + 1) * w) / q); s++)
        values.push(at(x, [...index.slice(0, -2), r, s]));
    return f(values);
  });
}

const largest = (values: number[]): number => (values.some(Number.isNaN) ? Number.NaN : Math.max(...values));
const total = (values: number[]): number => values.reduce((a, b) => a + b, 0);

type MaxArgs = [Pair, MaxPool2dOptions];
const max = (shape: number[], kernelSize: Pair, options: MaxPool2dOptions = {}): Case<MaxArgs> => ({
  inputs: [apart(0.1, ...shape)],
  args: [kernelSize, options],
});

checkOp<MaxArgs>("maxPool2d", {
  run: ([x], kernelSize, options) => maxPool2d(x, kernelSize, options),
  reference: ([x], kernelSize, options) => windows(x, kernelSize, options, largest),
  gradBound: { rms: 2 },
  cases: {
    "1x1": max([1, 1, 1, 1], 1),
    "2x2": max([2, 3, 8, 6], 2),
    "2x2, odd extents": max([1, 2, 7, 9], 2),
    "3x3, stride 2": max([1, 2, 9, 11], 3, { stride: 2 }),
    "3x3, stride 2, padding 1": max([1, 2, 8, 7], 3, { stride: 2, padding: 1 }),
    "overlapping, stride 1": max([1, 2, 6, 5], 3, { stride: 1, padding: 1 }),
    "not square": max([1, 1, 7, 9], [2, 3], { stride: [3, 1], padding: [0, 1] }),
    dilated: max([1, 2, 9, 8], 2, { stride: 1, dilation: [3, 2] }),
    "dilated, padded": max([1, 1, 7, 7], 3, { stride: 2, dilation: 2, padding: 1 }),
    "ceil mode": max([1, 2, 7, 8], 3, { stride: 2, ceilMode: true }),
    "ceil mode, last window only in the border": max([1, 1, 5, 5], 2, { stride: 3, padding: 1, ceilMode: true }),
    "three dimensions": max([3, 6, 6], 2),
    "window as large as the picture": max([2, 2, 4, 5], [4, 5]),
    "no pictures": max([0, 2, 4, 4], 2),
    "wide picture": max([1, 1, 4, 67], 2),
    "wide, 3x3, stride 2, padding 1": max([2, 1, 5, 80], 3, { stride: 2, padding: 1 }),
    "wide, 5x5, stride 1, padding 2": max([1, 2, 6, 37], 5, { stride: 1, padding: 2 }),
    "wide, 5x5, stride 2, ceil mode": max([1, 1, 8, 70], 5, { stride: 2, padding: 1, ceilMode: true }),
    "window wider than a register": max([2, 3, 41], [2, 40], { stride: 1, padding: [1, 20] }),
    "the first of equals gets the gradient": {
      inputs: [given([1, 1, 1, 1], [1, 1, 2, 2])],
      args: [2, {}],
      grad: false,
    },
    "NaN wins": { inputs: [given([1, Number.NaN, 3, 4, 5, 6, 7, 8], [1, 1, 2, 4])], args: [2, {}], grad: false },
    "all -infinity": {
      inputs: [given(new Array<number>(4).fill(Number.NEGATIVE_INFINITY), [1, 1, 2, 2])],
      args: [2, {}],
      grad: false,
    },
    "all -infinity, padded and overlapping": {
      inputs: [() => build([1, 1, 6, 40], () => Number.NEGATIVE_INFINITY)],
      args: [3, { stride: 1, padding: 1 }],
      grad: false,
    },
  },
  errors: {
    "two dimensions": [
      () => maxPool2d(ones([4, 4]), 2),
      /maxPool2d: expected x of shape \[n,c,h,w\] or \[c,h,w\], got \[4,4\]/,
    ],
    "padding above half": [
      () => maxPool2d(ones([1, 1, 4, 4]), 2, { padding: 2 }),
      /maxPool2d: expected a padding of at most half the kernel size \[2,2\], got \[2,2\]/,
    ],
    "window too large": [
      () => maxPool2d(ones([1, 1, 2, 4]), 3),
      /maxPool2d: expected windows that fit: they cover 3, got 2 padded elements/,
    ],
    integers: [
      () => maxPool2d(ones([1, 1, 4, 4], { dtype: "int32" }), 2),
      /maxPool2d: expected float32 or float64, got int32/,
    ],
    "empty planes": [() => maxPool2d(ones([1, 1, 0, 4]), 2), /maxPool2d: expected planes with at least one element/],
  },
  bench: {
    "32x64x56x56 2x2": max([32, 64, 56, 56], 2),
    "32x64x112x112 3x3 stride 2": max([32, 64, 112, 112], 3, { stride: 2, padding: 1 }),
  },
});

type AvgArgs = [Pair, AvgPool2dOptions];
const avg = (shape: number[], kernelSize: Pair, options: AvgPool2dOptions = {}): Case<AvgArgs> => ({
  inputs: [normal(...shape)],
  args: [kernelSize, options],
});

checkOp<AvgArgs>("avgPool2d", {
  run: ([x], kernelSize, options) => avgPool2d(x, kernelSize, options),
  reference: ([x], kernelSize, { countIncludePad = true, ...options }) =>
    windows(x, kernelSize, options, (values, padded) => total(values) / (countIncludePad ? padded : values.length)),
  bound: { rms: 4 },
  isaRms: 4,
  cases: {
    "1x1": avg([1, 1, 1, 1], 1),
    "2x2": avg([2, 3, 8, 6], 2),
    "2x2, odd extents": avg([1, 2, 7, 9], 2),
    "3x3, stride 2, padding 1": avg([1, 2, 8, 7], 3, { stride: 2, padding: 1 }),
    "padding does not count": avg([1, 2, 8, 7], 3, { stride: 2, padding: 1, countIncludePad: false }),
    "overlapping, not square": avg([1, 2, 7, 6], [3, 2], { stride: [1, 2] }),
    "ceil mode": avg([1, 2, 7, 8], 3, { stride: 2, ceilMode: true }),
    "ceil mode, padded": avg([1, 2, 6, 7], [3, 2], { stride: 2, padding: 1, ceilMode: true }),
    "ceil mode, padding does not count": avg([1, 2, 6, 7], [3, 2], {
      stride: 2,
      padding: 1,
      ceilMode: true,
      countIncludePad: false,
    }),
    "three dimensions": avg([3, 6, 6], 2),
    "no pictures": avg([0, 2, 4, 4], 2),
    "wide, 3x3, stride 2, padding 1": avg([2, 1, 5, 80], 3, { stride: 2, padding: 1 }),
    "wide, 5x5, stride 1, padding does not count": avg([1, 2, 6, 37], 5, {
      stride: 1,
      padding: 2,
      countIncludePad: false,
    }),
    "wide, 4x5, stride 2, ceil mode": avg([1, 1, 8, 70], [4, 5], { stride: 2, padding: 1, ceilMode: true }),
    "window wider than a register": avg([2, 3, 41], [2, 40], { stride: 1, padding: [1, 20] }),
  },
  errors: { "window too large": [() => avgPool2d(ones([1, 1, 2, 4]), 3), /avgPool2d: expected windows that fit/] },
  bench: { "32x64x56x56 2x2": avg([32, 64, 56, 56], 2) },
});

const adaptive = (shape: number[], outputSize: Pair): Case<[Pair]> => ({
  inputs: [apart(0.1, ...shape)],
  args: [outputSize],
});
const adaptiveCases: Record<string, Case<[Pair]>> = {
  "1x1 of 1x1": adaptive([1, 1, 1, 1], 1),
  global: adaptive([2, 3, 5, 7], 1),
  "cells overlap": adaptive([1, 2, 7, 5], [3, 4]),
  "cells divide evenly": adaptive([1, 2, 8, 6], [4, 3]),
  "more cells than elements": adaptive([1, 1, 2, 3], [5, 4]),
  "its own size": adaptive([1, 2, 4, 5], [4, 5]),
  "three dimensions": adaptive([3, 6, 7], 2),
  "no pictures": adaptive([0, 2, 4, 4], 2),
};

checkOp<[Pair]>("adaptiveAvgPool2d", {
  run: ([x], outputSize) => adaptiveAvgPool2d(x, outputSize),
  reference: ([x], outputSize) => cells(x, outputSize, (values) => total(values) / values.length),
  bound: { rms: 4 },
  isaRms: 4,
  cases: adaptiveCases,
  errors: {
    "size 0": [() => adaptiveAvgPool2d(ones([1, 1, 4, 4]), 0), /adaptiveAvgPool2d: expected an output size/],
  },
  bench: { "32x512x7x7 to 1": adaptive([32, 512, 7, 7], 1) },
});

checkOp<[Pair]>("adaptiveMaxPool2d", {
  run: ([x], outputSize) => adaptiveMaxPool2d(x, outputSize),
  reference: ([x], outputSize) => cells(x, outputSize, largest),
  gradBound: { rms: 2 },
  cases: adaptiveCases,
  errors: { "size below 0": [() => adaptiveMaxPool2d(ones([1, 1, 4, 4]), [2, -1]), /adaptiveMaxPool2d: expected a/] },
  bench: { "32x512x7x7 to 1": adaptive([32, 512, 7, 7], 1) },
});

test?.("indices count within the plane", () => {
  const x = tensor([
    [
      [
        [1, 9, 2],
        [3, 4, 5],
        [8, 7, 6],
      ],
      [
        [9, 8, 7],
        [6, 5, 4],
        [3, 2, 10],
      ],
    ],
  ]);
  const [y, index] = maxPool2dWithIndices(x, 2, { stride: 1 });
  expect(y.toArraySync()).toEqual([
    [
      [
        [9, 9],
        [8, 7],
      ],
      [
        [9, 8],
        [6, 10],
      ],
    ],
  ]);
  expect(index.dtype).toBe("int32");
  expect(index.toArraySync()).toEqual([
    [
      [
        [1, 1],
        [6, 7],
      ],
      [
        [0, 1],
        [3, 8],
      ],
    ],
  ]);
  expect(adaptiveMaxPool2dWithIndices(x, 1)[1].toArraySync()).toEqual([[[[1]], [[8]]]]);
});

test?.("null keeps an extent of the picture", () => {
  expect([...adaptiveAvgPool2d(ones([1, 2, 5, 7]), [null, 3]).shape]).toEqual([1, 2, 5, 3]);
});

test?.("equal values: the first gets the whole gradient", () => {
  const x = ones([1, 1, 2, 2], { requiresGrad: true });
  maxPool2d(x, 2).backward();
  expect(x.grad!.toArraySync()).toEqual([
    [
      [
        [1, 0],
        [0, 0],
      ],
    ],
  ]);
});
