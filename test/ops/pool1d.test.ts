/** @file Pooling over one axis, p-norm pooling and unpooling against their windows. */
import {
  adaptiveAvgPool1d,
  adaptiveMaxPool1d,
  adaptiveMaxPool1dWithIndices,
  avgPool1d,
  lpPool1d,
  lpPool2d,
  type MaxPool1dOptions,
  maxPool1d,
  maxPool1dWithIndices,
  maxPool2d,
  maxPool2dWithIndices,
  maxUnpool1d,
  maxUnpool2d,
  ones,
  tensor,
} from "napier";
import { checkOp, expect, test } from "../check.js";
import { apart, at, build, given, type Nd, normal, uniform } from "../nd.js";

type Args = [number, MaxPool1dOptions & { countIncludePad?: boolean }];

/** f of the values in each window and of the number of its taps within the padded row. */
function windows(x: Nd, [kernel, options]: Args, f: (values: number[], padded: number) => number): Nd {
  const { stride = kernel, padding = 0, dilation = 1, ceilMode = false } = options;
  const l = x.shape.at(-1)!;
  const room = l + 2 * padding - dilation * (kernel - 1) - 1;
  let q = Math.floor(room / stride) + 1;
  if (ceilMode && room % stride !== 0 && q * stride < l + padding) q++;
  return build([...x.shape.slice(0, -1), q], (index) => {
    const values: number[] = [];
    let padded = 0;
    for (let s = 0; s < kernel; s++) {
      const place = index.at(-1)! * stride - padding + s * dilation;
      if (place < l + padding) padded++;
      if (place >= 0 && place < l) values.push(at(x, [...index.slice(0, -1), place]));
    }
    return f(values, padded);
  });
}
const total = (values: number[]): number => values.reduce((a, b) => a + b, 0);

checkOp<Args>("maxPool1d", {
  run: ([x], ...args) => maxPool1d(x, ...args),
  reference: ([x], ...args) => windows(x, args, (values) => Math.max(...values)),
  gradBound: { rms: 2 },
  cases: {
    halves: { inputs: [apart(0.1, 2, 3, 8)], args: [2, {}] },
    "overlapping, padded": { inputs: [apart(0.1, 1, 2, 9)], args: [3, { stride: 2, padding: 1 }] },
    dilated: { inputs: [apart(0.1, 2, 11)], args: [3, { stride: 1, dilation: 2 }] },
    "ceil mode": { inputs: [apart(0.1, 1, 2, 8)], args: [3, { stride: 2, ceilMode: true }] },
  },
  errors: {
    "four dimensions": [
      () => maxPool1d(ones([1, 1, 4, 4]), 2),
      /maxPool1d: expected x of shape \[n,c,l\] or \[c,l\], got \[1,1,4,4\]/,
    ],
    "padding above half": [
      () => maxPool1d(ones([1, 1, 4]), 2, { padding: 2 }),
      /maxPool1d: expected a padding of at most half the kernel size/,
    ],
    "kernel 0": [
      () => maxPool1d(ones([1, 1, 4]), 0),
      /maxPool1d: expected a kernel size that is an integer from 1 up, got 0/,
    ],
  },
  bench: { "64x128x1024 2": { inputs: [normal(64, 128, 1024)], args: [2, {}] } },
});

checkOp<Args>("avgPool1d", {
  run: ([x], ...args) => avgPool1d(x, ...args),
  reference: ([x], ...args) =>
    windows(x, args, (values, padded) => total(values) / ((args[1].countIncludePad ?? true) ? padded : values.length)),
  bound: { rms: 2 },
  cases: {
    halves: { inputs: [normal(2, 3, 8)], args: [2, {}] },
    padded: { inputs: [normal(1, 2, 7)], args: [3, { stride: 2, padding: 1 }] },
    "padding does not count": { inputs: [normal(2, 7)], args: [3, { padding: 1, countIncludePad: false }] },
    "ceil mode": { inputs: [normal(1, 1, 8)], args: [3, { stride: 2, ceilMode: true }] },
  },
  bench: { "64x128x1024 2": { inputs: [normal(64, 128, 1024)], args: [2, {}] } },
});

checkOp<[number, number, { stride?: number; ceilMode?: boolean }]>("lpPool1d", {
  run: ([x], p, kernel, options) => lpPool1d(x, p, kernel, options),
  reference: ([x], p, kernel, options) =>
    windows(x, [kernel, options], (values, taps) => ((total(values.map((v) => v ** p)) / taps) * kernel) ** (1 / p)),
  bound: { rms: 8 },
  gradBound: { rms: 32 },
  isaRms: 8,
  cases: {
    "norm 2": { inputs: [uniform(0.5, 2, 2, 3, 8)], args: [2, 2, {}] },
    "norm 3, overlapping": { inputs: [uniform(0.5, 2, 1, 2, 7)], args: [3, 3, { stride: 2 }] },
    "ceil mode": { inputs: [uniform(0.5, 2, 2, 8)], args: [2, 3, { stride: 2, ceilMode: true }] },
  },
  errors: {
    "norm 0": [() => lpPool1d(ones([1, 1, 4]), 0, 2), /lpPool2d: expected a norm type above 0, got 0/],
  },
  bench: { "64x128x1024 2": { inputs: [uniform(0.5, 2, 64, 128, 1024)], args: [2, 2, {}] } },
});

checkOp<[number, number]>("lpPool2d", {
  run: ([x], p, kernel) => lpPool2d(x, p, kernel),
  reference: ([x], p, kernel) =>
    build([...x.shape.slice(0, -2), ...x.shape.slice(-2).map((e) => Math.floor(e / kernel))], (index) => {
      const [i, j] = index.slice(-2);
      let sum = 0;
      for (let r = 0; r < kernel; r++)
        for (let s = 0; s < kernel; s++) sum += at(x, [...index.slice(0, -2), i * kernel + r, j * kernel + s]) ** p;
      return sum ** (1 / p);
    }),
  bound: { rms: 8 },
  gradBound: { rms: 32 },
  isaRms: 8,
  cases: { "norm 2": { inputs: [uniform(0.5, 2, 2, 2, 4, 6)], args: [2, 2] } },
  bench: { "32x64x56x56 2x2": { inputs: [uniform(0.5, 2, 32, 64, 56, 56)], args: [2, 2] } },
});

function cells(x: Nd, q: number, f: (values: number[]) => number): Nd {
  const l = x.shape.at(-1)!;
  return build([...x.shape.slice(0, -1), q], (index) => {
    const values: number[] = [];
    for (let i = Math.floor((index.at(-1)! * l) / q); i < Math.ceil(((index.at(-1)! + 1) * l) / q); i++)
      values.push(at(x, [...index.slice(0, -1), i]));
    return f(values);
  });
}
checkOp<[number]>("adaptiveAvgPool1d", {
  run: ([x], q) => adaptiveAvgPool1d(x, q),
  reference: ([x], q) => cells(x, q, (values) => total(values) / values.length),
  bound: { rms: 2 },
  isaRms: 2,
  cases: {
    one: { inputs: [normal(2, 3, 7)], args: [1] },
    uneven: { inputs: [normal(2, 3, 7)], args: [3] },
    longer: { inputs: [normal(3, 4)], args: [6] },
  },
  errors: {
    "size 0": [
      () => adaptiveAvgPool1d(ones([1, 1, 4]), 0),
      /adaptiveAvgPool1d: expected an output size that is an integer from 1 up, got 0/,
    ],
  },
  bench: { "64x128x1024 to 1": { inputs: [normal(64, 128, 1024)], args: [1] } },
});
checkOp<[number]>("adaptiveMaxPool1d", {
  run: ([x], q) => adaptiveMaxPool1d(x, q),
  reference: ([x], q) => cells(x, q, (values) => Math.max(...values)),
  gradBound: { rms: 2 },
  cases: {
    one: { inputs: [apart(0.1, 2, 3, 7)], args: [1] },
    uneven: { inputs: [apart(0.1, 2, 3, 7)], args: [3] },
  },
  bench: { "64x128x1024 to 1": { inputs: [normal(64, 128, 1024)], args: [1] } },
});

// ---- Unpooling

const unpooled = (x: Nd, index: Nd, extents: number[]): Nd => {
  const shape = [...x.shape.slice(0, -extents.length), ...extents];
  const y = build(shape, () => 0);
  const [plane, own] = [extents.reduce((a, b) => a * b), x.shape.slice(-extents.length).reduce((a, b) => a * b)];
  for (const [k, v] of x.data.entries()) y.data[Math.floor(k / own) * plane + index.data[k]] = v;
  return y;
};
const places = (values: number[], shape: number[]) => given(values, shape, "int32");

checkOp<[number[]]>("maxUnpool2d", {
  run: ([x, index], outputSize) => maxUnpool2d(x, index, 2, { outputSize: outputSize as [number, number] }),
  reference: ([x, index], outputSize) => unpooled(x, index, outputSize),
  cases: {
    "2x2 of 4x4": { inputs: [normal(2, 2, 2), places([0, 3, 9, 15, 5, 6, 12, 11], [2, 2, 2])], args: [[4, 4]] },
    "odd extents": { inputs: [normal(1, 1, 2, 1), places([14, 2], [1, 1, 2, 1])], args: [[5, 3]] },
    "the last of equal indices stays": {
      inputs: [normal(1, 1, 2, 2), places([5, 5, 5, 1], [1, 1, 2, 2])],
      args: [[4, 4]],
    },
  },
  errors: {
    "index outside": [
      () => maxUnpool2d(ones([1, 1, 1]), tensor([[[16]]], { dtype: "int32" }), 2, { outputSize: 4 }),
      /maxUnpool2d: expected indices between 0 and 15, got 16/,
    ],
    "index of another shape": [
      () => maxUnpool2d(ones([1, 2, 2]), tensor([[[0]]], { dtype: "int32" }), 2),
      /maxUnpool2d: expected an index of x's shape \[1,2,2\], got \[1,1,1\]/,
    ],
  },
  bench: {
    "32x64x28x28 2x2": {
      inputs: [
        normal(32, 64, 28, 28),
        (random) => build([32, 64, 28, 28], ([, , i, j]) => 2 * (i * 56 + j) + Math.floor(2 * random()), "int32"),
      ],
      args: [[56, 56]],
    },
  },
});

checkOp<[number]>("maxUnpool1d", {
  run: ([x, index], outputSize) => maxUnpool1d(x, index, 2, { outputSize }),
  reference: ([x, index], outputSize) => unpooled(x, index, [outputSize]),
  cases: { halves: { inputs: [normal(2, 1, 3), places([1, 2, 4, 0, 3, 6], [2, 1, 3])], args: [7] } },
  errors: {
    "index of another shape": [
      () => maxUnpool1d(ones([1, 2, 2]), tensor([[[0]]], { dtype: "int32" }), 2),
      /maxUnpool1d: expected an index of x's shape \[1,2,2\], got \[1,1,1\]/,
    ],
  },
  bench: {
    "32x64x512 2": {
      inputs: [
        normal(32, 64, 512),
        (random) => build([32, 64, 512], ([, , i]) => 2 * i! + Math.floor(2 * random()), "int32"),
      ],
      args: [1024],
    },
  },
});

test?.("unpooling brings maxima back to where they stood", () => {
  const x = tensor([
    [
      [1, 9, 2, 3],
      [4, 5, 8, 6],
    ],
  ]);
  const [y, index] = maxPool2dWithIndices(x, 2);
  expect(maxUnpool2d(y, index, 2).toArraySync()).toEqual([
    [
      [0, 9, 0, 0],
      [0, 0, 8, 0],
    ],
  ]);
  const [line, at] = maxPool1dWithIndices(tensor([[3, 1, 2, 7]]), 2);
  expect(maxUnpool1d(line, at, 2).toArraySync()).toEqual([[3, 0, 0, 7]]);
  expect(adaptiveMaxPool1dWithIndices(tensor([[3, 1, 2, 7]]), 2)[1].toArraySync()).toEqual([[0, 3]]);
  expect(maxUnpool2d(maxPool2d(x, 2), index, 2, { outputSize: [2, 4] }).shape).toEqual([1, 2, 4]);
});
