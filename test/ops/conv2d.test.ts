/** @file Convolution against its seven loops; its gradients are convolutions of the same family. */
import { type Conv2dOptions, conv2d, grad, ones, randn } from "napier";
import { type Case, checkOp, expect, test } from "../check.js";
import { at, build, type Nd, normal } from "../nd.js";

type Cases = Record<string, Case<[Conv2dOptions]>>;
const both = (v: number | readonly [number, number]): readonly [number, number] => (typeof v === "number" ? [v, v] : v);

function reference([x, w, b]: Nd[], { stride = 1, padding = 0, dilation = 1, groups = 1 }: Conv2dOptions): Nd {
  const [sh, sw] = both(stride);
  const [dh, dw] = both(dilation);
  const [n, , height, width] = x.shape;
  const [o, perGroup, r, s] = w.shape;
  // Zeros before and after, in each direction.
  const around = (direction: 0 | 1): [number, number] => {
    if (padding === "valid") return [0, 0];
    if (padding !== "same") return [both(padding)[direction], both(padding)[direction]];
    const total = [dh * (r - 1), dw * (s - 1)][direction];
    return [Math.floor(total / 2), Math.ceil(total / 2)];
  };
  const [[top, bottom], [left, right]] = [around(0), around(1)];
  const p = Math.floor((height + top + bottom - dh * (r - 1) - 1) / sh) + 1;
  const q = Math.floor((width + left + right - dw * (s - 1) - 1) / sw) + 1;
  return build([n, o, p, q], ([ni, oi, pi, qi]) => {
    let sum = b ? at(b, [oi]) : 0;
    const first = Math.floor(oi / (o / groups)) * perGroup;
    for (let c = 0; c < perGroup; c++)
      for (let ri = 0; ri < r; ri++)
        for (let si = 0; si < s; si++) {
          const [h, v] = [pi * sh - top + ri * dh, qi * sw - left + si * dw];
          if (h >= 0 && h < height && v >= 0 && v < width) sum += at(x, [ni, first + c, h, v]) * at(w, [oi, c, ri, si]);
        }
    return sum;
  });
}

const of = (x: number[], w: number[], options: Conv2dOptions = {}, bias = true): Case<[Conv2dOptions]> => ({
  inputs: [normal(...x), normal(...w), ...(bias ? [normal(w[0])] : [])],
  args: [options],
});

checkOp<[Conv2dOptions]>("conv2d", {
  run: ([x, w, b], options) => conv2d(x, w, b ?? null, options),
  reference,
  bound: { rms: 8 },
  gradBound: { rms: 16 },
  isaRms: 8,
  cases: {
    "1x1 picture, 1x1 kernel": of([1, 1, 1, 1], [1, 1, 1, 1]),
    "1x1 kernel": of([2, 5, 4, 3], [7, 5, 1, 1]),
    "1x1 kernel, stride 2": of([1, 4, 5, 7], [3, 4, 1, 1], { stride: 2 }),
    "3x3, padding 1": of([2, 3, 8, 8], [4, 3, 3, 3], { padding: 1 }),
    "3x3 without bias": of([1, 2, 5, 5], [3, 2, 3, 3], {}, false),
    "odd, not square": of([2, 3, 7, 11], [5, 3, 3, 2], { padding: [2, 1] }),
    "strides differ": of([1, 2, 9, 10], [3, 2, 3, 3], { stride: [2, 3], padding: 1 }),
    "stride above the kernel": of([1, 2, 9, 9], [2, 2, 2, 2], { stride: 4 }),
    "padding above the kernel": of([1, 1, 3, 3], [2, 1, 2, 2], { padding: 3 }),
    dilated: of([1, 2, 9, 11], [3, 2, 3, 3], { dilation: [2, 3], padding: [1, 2] }),
    "two groups": of([2, 4, 6, 5], [6, 2, 3, 3], { groups: 2, padding: 1 }),
    depthwise: of([2, 5, 7, 6], [5, 1, 3, 3], { groups: 5, padding: 1 }),
    "depthwise, two a channel, stride 2": of([1, 3, 8, 9], [6, 1, 3, 3], { groups: 3, stride: 2, padding: 1 }),
    "depthwise 5x5": of([1, 4, 9, 9], [4, 1, 5, 5], { groups: 4, padding: 2 }),
    "depthwise, wider than two vectors": of([2, 3, 9, 37], [3, 1, 3, 3], { groups: 3, padding: 1 }),
    "depthwise, strips of a picture": of([1, 2, 20, 400], [2, 1, 3, 3], { groups: 2, padding: 1 }, false),
    "depthwise 7x7, strides differ, dilated": of([1, 2, 19, 25], [4, 1, 7, 7], {
      groups: 2,
      stride: [2, 3],
      dilation: [1, 2],
      padding: [3, 5],
    }),
    "depthwise, padding above the kernel": of([1, 2, 5, 6], [2, 1, 2, 2], { groups: 2, stride: [1, 2], padding: 3 }),
    "depthwise, stride above the kernel": of([1, 2, 12, 11], [4, 1, 1, 2], { groups: 2, stride: 4 }),
    "depthwise, mostly holes": of([1, 2, 33, 33], [2, 1, 3, 3], { groups: 2, dilation: 15 }),
    "kernel as large as the picture": of([3, 2, 4, 5], [3, 2, 4, 5]),
    "7x7, stride 2": of([1, 3, 20, 20], [8, 3, 7, 7], { stride: 2, padding: 3 }),
    "4x4, stride 2, one channel": of([2, 1, 14, 12], [13, 1, 4, 4], { stride: 2, padding: 1 }),
    "5x5, more channels than a tile": of([1, 2, 12, 13], [27, 2, 5, 5], {}, false),
    "a row of taps, a column of taps": of([1, 3, 6, 9], [4, 3, 1, 5], { stride: [2, 3], padding: [1, 2] }),
    "few channels a group": of([2, 6, 7, 9], [10, 3, 3, 3], { groups: 2, stride: [3, 2], padding: 2 }),
    "few channels, dilated, a stride that skips": of([1, 2, 11, 13], [5, 2, 2, 3], {
      stride: [3, 4],
      dilation: [2, 3],
    }),
    "few channels, rows of whole vectors": of([2, 3, 9, 64], [5, 3, 3, 3], { stride: 2, padding: 1 }),
    "strips of a picture": of([1, 4, 40, 54], [2, 4, 3, 15]),
    'padding "same"': of([1, 2, 6, 7], [3, 2, 3, 5], { padding: "same" }),
    'padding "same", even kernel': of([1, 2, 6, 7], [3, 2, 4, 2], { padding: "same", dilation: [1, 3] }),
    'padding "valid"': of([1, 2, 6, 7], [3, 2, 3, 3], { padding: "valid" }),
    "no pictures": of([0, 2, 5, 5], [3, 2, 3, 3]),
    "many channels": of([1, 37, 6, 6], [19, 37, 3, 3], { padding: 1 }),
    // Long enough rows, and enough channels, for what goes by taps (native/cpu/conv2d_taps.h) in every direction.
    "long rows": of([1, 8, 4, 60], [6, 8, 3, 3], { padding: 1 }),
    "long rows, stride 2": of([1, 8, 8, 96], [5, 8, 3, 3], { stride: 2, padding: 1 }),
    "long rows, stride 2 by 1": of([1, 8, 7, 48], [4, 8, 3, 3], { stride: [2, 1], padding: 1 }, false),
    "long rows, stride 1 by 2, odd": of([1, 3, 5, 95], [4, 3, 2, 5], { stride: [1, 2], padding: [0, 3] }),
    "4x4 windows, stride 2": of([1, 3, 6, 66], [5, 3, 4, 4], { stride: 2, padding: 1 }),
    "2x2 windows, stride 2": of([2, 12, 4, 32], [12, 12, 2, 2], { stride: 2 }),
    "small pictures, borders shared": of([7, 8, 6, 6], [4, 8, 3, 3], { padding: 1 }),
    "small pictures, 1x1": of([5, 50, 4, 8], [34, 50, 1, 1]),
    "small pictures, 1x1 to fewer channels": of([5, 40, 4, 4], [33, 40, 1, 1], {}, false),
    "dilated groups of eight": of([1, 16, 6, 40], [16, 8, 3, 3], { groups: 2, dilation: 2, padding: 2 }),
    "more pixels than a panel": of([1, 2, 33, 37], [3, 2, 3, 3], { padding: 1 }),
  } satisfies Cases,
  errors: {
    "three dimensions": [
      () => conv2d(ones([3, 8, 8]), ones([4, 3, 3, 3])),
      /conv2d: expected x with 4 dimensions \[n,c,h,w\], got 3 \(\[3,8,8\]\)/,
    ],
    "channels differ": [
      () => conv2d(ones([1, 3, 8, 8]), ones([4, 2, 3, 3])),
      /conv2d: expected x with 2 channels for weight \[4,2,3,3\] and groups 1, got 3/,
    ],
    "groups do not divide": [
      () => conv2d(ones([1, 4, 8, 8]), ones([3, 2, 3, 3]), null, { groups: 2 }),
      /conv2d: expected groups that divide the 3 output channels/,
    ],
    "kernel too large": [
      () => conv2d(ones([1, 1, 2, 8]), ones([1, 1, 3, 3])),
      /conv2d: expected a kernel that fits: it covers \[3,3\], got a padded x of \[2,8\]/,
    ],
    "bias of the wrong size": [
      () => conv2d(ones([1, 1, 4, 4]), ones([2, 1, 3, 3]), ones([3])),
      /conv2d: expected a bias of shape \[2\], got \[3\]/,
    ],
    "dtypes differ": [
      () => conv2d(ones([1, 1, 4, 4]), ones([1, 1, 3, 3], { dtype: "float64" })),
      /conv2d: expected operands of one dtype, got float32 and float64/,
    ],
    "stride 0": [
      () => conv2d(ones([1, 1, 4, 4]), ones([1, 1, 3, 3]), null, { stride: 0 }),
      /conv2d: expected a stride that is an integer from 1 up, or a pair of them, got 0/,
    ],
    "negative padding": [
      () => conv2d(ones([1, 1, 4, 4]), ones([1, 1, 3, 3]), null, { padding: [0, -1] }),
      /conv2d: expected a padding .* got \[0,-1\]/,
    ],
    '"same" with a stride': [
      () => conv2d(ones([1, 1, 4, 4]), ones([1, 1, 3, 3]), null, { padding: "same", stride: 2 }),
      /conv2d: expected stride 1 for padding "same", got \[2,2\]/,
    ],
  },
  bench: {
    "32x64x56x56 3x3": of([32, 64, 56, 56], [64, 64, 3, 3], { padding: 1 }),
    "64x1x28x28 3x3": of([64, 1, 28, 28], [32, 1, 3, 3], { padding: 1 }),
    "32x128x28x28 1x1": of([32, 128, 28, 28], [128, 128, 1, 1]),
    "32x96x28x28 3x3 depthwise": of([32, 96, 28, 28], [96, 1, 3, 3], { padding: 1, groups: 96 }),
  },
});

test?.("third derivatives close too", () => {
  const x = randn([1, 2, 4, 4], { dtype: "float64", requiresGrad: true });
  const w = randn([2, 2, 3, 3], { dtype: "float64", requiresGrad: true });
  const y = conv2d(x, w).pow(3).sum();
  let total = y;
  for (let order = 0; order < 2; order++) total = grad(total, [x], { createGraph: true })[0].square().sum();
  const [dw] = grad(total, [w]);
  expect([...dw.shape]).toEqual([2, 2, 3, 3]);
  expect(dw.abs().sum().itemSync()).toBeGreaterThan(0);
});
