/** @file Ops that move elements, against index arithmetic. All exact. */
import type { SliceSpec } from "napier";
import * as ops from "napier";
import {
  arange,
  cat,
  expand,
  flatten,
  ones,
  permute,
  reshape,
  slice,
  squeeze,
  stack,
  t,
  transpose,
  unsqueeze,
} from "napier";
import { checkOp, expect, test } from "../check.js";
import { at, build, ints, mask, type Nd, nd, normal, sizeOf } from "../nd.js";

const EXACT = { bound: { ulp: 0 }, gradBound: { ulp: 0 }, isaGradRms: 0 } as const;
const SUMS = { bound: { ulp: 0 }, gradBound: { rms: 16 } } as const;

const shaped = (x: Nd, shape: number[]): Nd => nd(shape, x.data, x.dtype);
type Shape = [shape: number[]];

checkOp<Shape>("reshape", {
  run: ([x], shape) => reshape(x!, shape),
  reference: ([x], shape) =>
    shaped(
      x!,
      shape.map((e) => (e === -1 ? -sizeOf(x!.shape) / sizeOf(shape) : e)),
    ),
  ...EXACT,
  cases: {
    "to a vector": { inputs: [normal(3, 5)], args: [[15]] },
    "with -1": { inputs: [normal(3, 4, 5)], args: [[4, -1]] },
    "scalar to 1x1": { inputs: [normal()], args: [[1, 1]] },
    "1x1 to scalar": { inputs: [normal(1, 1)], args: [[]] },
    empty: { inputs: [normal(0, 3)], args: [[3, 0, 7]] },
    int64: { inputs: [ints(-9, 9, [6], "int64")], args: [[2, 3]], grad: false },
  },
  errors: {
    "another size": [
      () => reshape(ones([2, 3]), [4]),
      /reshape: expected a shape of 6 elements for \[2,3\], got \[4\]/,
    ],
    "-1 that does not divide": [
      () => reshape(ones([2, 3]), [4, -1]),
      /reshape: expected a shape of 6 elements for \[2,3\], got \[4,-1\]/,
    ],
    "-1 twice": [
      () => reshape(ones([2, 3]), [-1, -1]),
      /reshape: expected a shape of 6 elements for \[2,3\], got \[-1,-1\]/,
    ],
    fractions: [
      () => reshape(ones([2, 3]), [1.5, 4]),
      /reshape: expected a shape of 6 elements for \[2,3\], got \[1.5,4\]/,
    ],
  },
  bench: { "4096x768 to 8x512x768": { inputs: [normal(4096, 768)], args: [[8, 512, 768]] } },
});

checkOp<[start?: number, end?: number]>("flatten", {
  run: ([x], ...args) => flatten(x!, ...args),
  reference: ([x], start = 0, end = -1) => {
    const last = end < 0 ? end + x!.shape.length : end;
    return shaped(x!, [
      ...x!.shape.slice(0, start),
      sizeOf(x!.shape.slice(start, last + 1)),
      ...x!.shape.slice(last + 1),
    ]);
  },
  ...EXACT,
  cases: {
    all: { inputs: [normal(2, 3, 4)] },
    "from 1": { inputs: [normal(2, 3, 4)], args: [1] },
    "0 to 1": { inputs: [normal(2, 3, 4)], args: [0, 1] },
    scalar: { inputs: [normal()] },
    empty: { inputs: [normal(2, 0, 4)], args: [1] },
  },
  errors: { "end before start": [() => flatten(ones([2, 3]), 1, 0), /flatten: expected start <= end, got 1 and 0/] },
  bench: { "32x512x7x7 from 1": { inputs: [normal(32, 512, 7, 7)], args: [1] } },
});

checkOp<[axis?: number]>("squeeze", {
  run: ([x], ...args) => squeeze(x!, ...args),
  reference: ([x], axis) =>
    shaped(
      x!,
      x!.shape.filter((e, d) => e !== 1 || (axis !== undefined && d !== (axis + x!.shape.length) % x!.shape.length)),
    ),
  ...EXACT,
  cases: {
    all: { inputs: [normal(1, 3, 1, 4)] },
    one: { inputs: [normal(1, 3, 1, 4)], args: [2] },
    "one, by -2": { inputs: [normal(1, 3, 1, 4)], args: [-2] },
    "an extent that is not 1 stays": { inputs: [normal(1, 3)], args: [1] },
  },
  errors: { "axis out of range": [() => squeeze(ones([2, 1]), 2), /squeeze: expected an axis from -2 to 1, got 2/] },
  bench: { "32x512x1x1": { inputs: [normal(32, 512, 1, 1)] } },
});

checkOp<[axis: number]>("unsqueeze", {
  run: ([x], axis) => unsqueeze(x!, axis),
  reference: ([x], axis) => {
    const d = axis < 0 ? axis + x!.shape.length + 1 : axis;
    return shaped(x!, [...x!.shape.slice(0, d), 1, ...x!.shape.slice(d)]);
  },
  ...EXACT,
  cases: {
    first: { inputs: [normal(3, 4)], args: [0] },
    middle: { inputs: [normal(3, 4)], args: [1] },
    "last, by -1": { inputs: [normal(3, 4)], args: [-1] },
    "of a scalar": { inputs: [normal()], args: [-1] },
  },
  errors: { "axis out of range": [() => unsqueeze(ones([2]), 3), /unsqueeze: expected an axis from -2 to 1, got 3/] },
  bench: { "4096x768": { inputs: [normal(4096, 768)], args: [1] } },
});

const permuted = (x: Nd, order: number[]): Nd => {
  const axes = order.map((a) => (a < 0 ? a + order.length : a));
  return build(
    axes.map((a) => x.shape[a]!),
    (index) =>
      at(
        x,
        x.shape.map((_, d) => index[axes.indexOf(d)]!),
      ),
    x.dtype,
  );
};
checkOp<[order: number[]]>("permute", {
  run: ([x], order) => permute(x!, order),
  reference: ([x], order) => permuted(x!, order),
  ...EXACT,
  cases: {
    scalar: { inputs: [normal()], args: [[]] },
    "the same order": { inputs: [normal(3, 4)], args: [[0, 1]] },
    matrix: { inputs: [normal(3, 5)], args: [[1, 0]] },
    "a cycle": { inputs: [normal(2, 3, 5)], args: [[2, 0, 1]] },
    "with negative axes": { inputs: [normal(2, 3, 5)], args: [[-1, 0, -2]] },
    "all turned around": { inputs: [normal(2, 3, 1, 4, 2)], args: [[4, 3, 2, 1, 0]] },
    "nchw to nhwc": { inputs: [normal(2, 3, 7, 5)], args: [[0, 2, 3, 1]] },
    "large matrix": { inputs: [normal(301, 257)], args: [[1, 0]] },
    "large, planes exchanged": { inputs: [normal(9, 33, 250)], args: [[1, 0, 2]] },
    empty: { inputs: [normal(2, 0, 3)], args: [[2, 1, 0]] },
    uint8: { inputs: [ints(0, 256, [37, 67], "uint8")], args: [[1, 0]], grad: false },
    int64: { inputs: [ints(-99, 99, [17, 35], "int64")], args: [[1, 0]], grad: false },
  },
  errors: {
    "an axis twice": [
      () => permute(ones([2, 3]), [0, 0]),
      /permute: expected each of the 2 dimensions of \[2,3\] once, got \[0,0\]/,
    ],
    "an axis missing": [
      () => permute(ones([2, 3]), [0]),
      /permute: expected each of the 2 dimensions of \[2,3\] once, got \[0\]/,
    ],
    "an axis too large": [() => permute(ones([2, 3]), [0, 2]), /permute: expected an axis from -2 to 1, got 2/],
  },
  bench: {
    "nchw to nhwc 32x64x28x28": { inputs: [normal(32, 64, 28, 28)], args: [[0, 2, 3, 1]] },
    "matrix 2048": { inputs: [normal(2048, 2048)], args: [[1, 0]] },
  },
});
checkOp<[a: number, b: number]>("transpose", {
  run: ([x], a, b) => transpose(x!, a, b),
  reference: ([x], a, b) => {
    const order = x!.shape.map((_, d) => d);
    const [p, q] = [a, b].map((v) => (v + order.length) % order.length) as [number, number];
    [order[p], order[q]] = [order[q]!, order[p]!];
    return permuted(x!, order);
  },
  ...EXACT,
  cases: {
    last: { inputs: [normal(2, 3, 5)], args: [-1, -2] },
    outer: { inputs: [normal(2, 3, 5)], args: [0, 2] },
    itself: { inputs: [normal(2, 3)], args: [1, 1] },
  },
  bench: { "heads 16x256x8x64": { inputs: [normal(16, 256, 8, 64)], args: [1, 2] } },
});
checkOp("t", {
  run: ([x]) => t(x!),
  reference: ([x]) => (x!.shape.length < 2 ? x! : permuted(x!, [1, 0])),
  ...EXACT,
  cases: {
    matrix: { inputs: [normal(3, 5)] },
    "one row": { inputs: [normal(1, 5)] },
    "vector: itself": { inputs: [normal(5)] },
  },
  errors: { "three dimensions": [() => t(ones([2, 3, 4])), /t: expected at most 2 dimensions, got \[2,3,4\]/] },
  bench: { "2048x2048": { inputs: [normal(2048, 2048)] } },
});

checkOp<Shape>("expand", {
  run: ([x], shape) => expand(x!, shape),
  reference: ([x], shape) =>
    build(
      shape.map((e, d) => (e === -1 ? x!.shape[d - shape.length + x!.shape.length]! : e)),
      (index) => at(x!, index),
      x!.dtype,
    ),
  ...SUMS,
  cases: {
    "a row": { inputs: [normal(1, 5)], args: [[3, 5]] },
    "a column": { inputs: [normal(3, 1)], args: [[3, 5]] },
    "new dimensions": { inputs: [normal(3)], args: [[2, 4, 3]] },
    "-1 keeps": { inputs: [normal(3, 1)], args: [[-1, 4]] },
    scalar: { inputs: [normal()], args: [[2, 3]] },
    "the same shape": { inputs: [normal(2, 3)], args: [[2, 3]] },
    "to nothing": { inputs: [normal(1, 3)], args: [[0, 3]] },
    "inside, large": { inputs: [normal(33, 1, 65)], args: [[33, 40, 65]] },
    bool: { inputs: [mask(3, 1)], args: [[3, 4]], grad: false },
  },
  errors: {
    "an extent that is not 1": [
      () => expand(ones([2, 3]), [2, 6]),
      /expand: expected a shape that \[2,3\] broadcasts to, got \[2,6\]/,
    ],
    "fewer dimensions": [
      () => expand(ones([2, 3]), [3]),
      /expand: expected a shape that \[2,3\] broadcasts to, got \[3\]/,
    ],
  },
  bench: { "a bias to 32x64x56x56": { inputs: [normal(64, 1, 1)], args: [[32, 64, 56, 56]] } },
});

/** Python's slice.indices. */
function walk(spec: SliceSpec, extent: number): { list: number[]; drop: boolean } {
  if (typeof spec === "number") return { list: [spec < 0 ? spec + extent : spec], drop: true };
  const [start, end, step = 1] = spec ?? [];
  const list: number[] = [];
  const wrap = (v: number) => (v < 0 ? v + extent : v);
  const first =
    start == null
      ? step > 0
        ? 0
        : extent - 1
      : Math.max(step > 0 ? 0 : -1, Math.min(wrap(start), step > 0 ? extent : extent - 1));
  const last = end == null ? (step > 0 ? extent : -1) : Math.max(-1, Math.min(wrap(end), extent));
  for (let i = first; step > 0 ? i < last : i > last; i += step) list.push(i);
  return { list, drop: false };
}
checkOp<[specs: SliceSpec[]]>("slice", {
  run: ([x], specs) => slice(x!, ...specs),
  reference: ([x], specs) => {
    const walks = x!.shape.map((e, d) => walk(specs[d] ?? null, e));
    const y = build(
      walks.map((w) => w.list.length),
      (index) =>
        at(
          x!,
          index.map((i, d) => walks[d]!.list[i]!),
        ),
      x!.dtype,
    );
    y.shape = y.shape.filter((_, d) => !walks[d]!.drop);
    return y;
  },
  ...EXACT,
  cases: {
    "one row": { inputs: [normal(4, 5)], args: [[1]] },
    "one row from the end": { inputs: [normal(4, 5)], args: [[-1]] },
    "one column": { inputs: [normal(4, 5)], args: [[null, 2]] },
    "one element: a scalar": { inputs: [normal(4, 5)], args: [[1, 2]] },
    "a range": { inputs: [normal(7, 5)], args: [[[2, 5]]] },
    "a range of columns": { inputs: [normal(4, 7)], args: [[null, [1, -1]]] },
    "every other": { inputs: [normal(7, 3)], args: [[[null, null, 2]]] },
    backwards: { inputs: [normal(5, 3)], args: [[[null, null, -1]]] },
    "backwards by two, both": {
      inputs: [normal(6, 7)],
      args: [
        [
          [null, null, -2],
          [5, 0, -2],
        ],
      ],
    },
    "beyond the ends": { inputs: [normal(4)], args: [[[-9, 9]]] },
    "backwards beyond the ends": { inputs: [normal(4)], args: [[[9, -9, -1]]] },
    nothing: { inputs: [normal(4, 3)], args: [[[3, 1]]] },
    "of nothing": { inputs: [normal(0, 3)], args: [[null, [0, 2]]] },
    "no specs": { inputs: [normal(2, 3)], args: [[]] },
    "mixed, four dimensions": { inputs: [normal(3, 4, 5, 6)], args: [[[0, 2], -1, [null, null, 2], [4, 1, -1]]] },
    "large crop": { inputs: [normal(16, 3, 40, 40)], args: [[null, null, [4, 36], [2, 34]]] },
    int8: {
      inputs: [ints(-99, 99, [5, 9], "int8")],
      args: [
        [
          [1, 4],
          [null, null, -2],
        ],
      ],
      grad: false,
    },
  },
  errors: {
    "an index out of range": [
      () => slice(ones([2, 3]), null, 3),
      /slice: expected an index from -3 to 2 in dimension 1, got 3/,
    ],
    "a fraction": [() => slice(ones([2, 3]), 0.5), /slice: expected an index from -2 to 1 in dimension 0, got 0.5/],
    "a start that is no integer": [
      () => slice(ones([4]), [0.5, 3]),
      /slice: expected a start and an end that are integers in dimension 0, got 0.5 and 3/,
    ],
    "an end that is NaN": [
      () => slice(ones([4]), [0, Number.NaN]),
      /slice: expected a start and an end that are integers in dimension 0, got 0 and NaN/,
    ],
    "step 0": [() => slice(ones([2, 3]), [0, 2, 0]), /slice: expected a step that is an integer and not 0, got 0/],
    "too many dimensions": [() => slice(ones([2]), 0, 0), /slice: expected at most 1 dimensions, got 2/],
  },
  bench: { "crops of 16x3x256x256": { inputs: [normal(16, 3, 256, 256)], args: [[null, null, [16, 240], [16, 240]]] } },
});

const joined = (arrays: Nd[], axis: number): Nd => {
  const d = axis < 0 ? axis + arrays[0]!.shape.length : axis;
  const shape = arrays[0]!.shape.map((e, i) => (i === d ? arrays.reduce((n, x) => n + x.shape[d]!, 0) : e));
  return build(
    shape,
    (index) => {
      let i = index[d]!;
      let n = 0;
      while (i >= arrays[n]!.shape[d]!) i -= arrays[n++]!.shape[d]!;
      return at(
        arrays[n]!,
        index.map((v, j) => (j === d ? i : v)),
      );
    },
    arrays[0]!.dtype,
  );
};
checkOp<[axis?: number]>("cat", {
  run: (xs, axis) => cat(xs, axis),
  reference: (xs, axis = 0) => joined(xs, axis),
  ...EXACT,
  cases: {
    one: { inputs: [normal(2, 3)] },
    "first dimension": { inputs: [normal(2, 3), normal(4, 3)] },
    "last dimension, by -1": { inputs: [normal(2, 3), normal(2, 1), normal(2, 4)], args: [-1] },
    "middle dimension": { inputs: [normal(2, 3, 4), normal(2, 2, 4)], args: [1] },
    "one is empty": { inputs: [normal(2, 3), normal(0, 3)] },
    "all are empty": { inputs: [normal(0, 3), normal(0, 3)] },
    vectors: { inputs: [normal(3), normal(1), normal(5)] },
    "large channels": { inputs: [normal(4, 16, 20, 20), normal(4, 33, 20, 20)], args: [1] },
    int32: { inputs: [ints(-9, 9, [2, 3]), ints(-9, 9, [1, 3])], grad: false },
  },
  errors: {
    none: [() => cat([]), /cat: expected at least one tensor, got none/],
    scalars: [() => cat([ones([])]), /cat: expected tensors with at least one dimension, got a scalar/],
    "shapes that differ": [
      () => cat([ones([2, 3]), ones([2, 4])]),
      /cat: expected tensors that agree with \[2,3\] outside dimension 0, got \[2,4\]/,
    ],
    "ranks that differ": [
      () => cat([ones([2, 3]), ones([2])]),
      /cat: expected tensors that agree with \[2,3\] outside dimension 0, got \[2\]/,
    ],
    "axis out of range": [() => cat([ones([2, 3])], 2), /cat: expected an axis from -2 to 1, got 2/],
  },
  bench: { "channels 32x64x28x28": { inputs: [normal(32, 64, 28, 28), normal(32, 64, 28, 28)], args: [1] } },
});
checkOp<[axis?: number]>("stack", {
  run: (xs, axis) => stack(xs, axis),
  reference: (xs, axis = 0) => {
    const d = axis < 0 ? axis + xs[0]!.shape.length + 1 : axis;
    return joined(
      xs.map((x) => shaped(x, [...x.shape.slice(0, d), 1, ...x.shape.slice(d)])),
      d,
    );
  },
  ...EXACT,
  cases: {
    scalars: { inputs: [normal(), normal(), normal()] },
    first: { inputs: [normal(2, 3), normal(2, 3)] },
    "last, by -1": { inputs: [normal(2, 3), normal(2, 3)], args: [-1] },
    middle: { inputs: [normal(2, 3), normal(2, 3)], args: [1] },
  },
  errors: {
    none: [() => stack([]), /stack: expected at least one tensor, got none/],
    "shapes that differ": [
      () => stack([ones([2]), ones([3])]),
      /stack: expected tensors of one shape, \[2\], got \[3\]/,
    ],
  },
  bench: { "32 pictures 3x224x224": { inputs: Array.from({ length: 32 }, () => normal(3, 224, 224)) } },
});

test("reshape shares memory; slices and transposes are copies", () => {
  const x = arange(6).reshape([2, 3]);
  const [shared, row, turned] = [x.reshape([3, 2]), x.slice(0), x.t()];
  x.fill_(9);
  expect(shared.toArraySync()).toEqual([
    [9, 9],
    [9, 9],
    [9, 9],
  ]);
  expect(row.toArraySync()).toEqual([0, 1, 2]);
  expect(turned.toArraySync()).toEqual([
    [0, 3],
    [1, 4],
    [2, 5],
  ]);
});

test("cat promotes dtypes", () => {
  expect(cat([ones([1], { dtype: "int32" }), ones([1])]).dtype).toBe("float32");
});

test("more dimensions than the kernels walk", () => {
  const order = [8, 7, 6, 5, 4, 3, 2, 1, 0];
  expect(() => ops.permute(ones([2, 2, 2, 2, 2, 2, 2, 2, 2]), order)).toThrow(
    /permute: expected at most 8 dimensions after merging, got \[2,2,2,2,2,2,2,2,2\]/,
  );
});
