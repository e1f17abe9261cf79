/** @file Elements by mask, unique elements, bins: ops whose results' length depends on data, and those that fit no table. */
import * as ops from "napier";
import {
  arange,
  bincount,
  grad,
  histc,
  histogram,
  maskedScatter,
  maskedSelect,
  nonzero,
  ones,
  type Tensor,
  tensor,
  unique,
  uniqueConsecutive,
  zeros,
} from "napier";
import { checkOp, expect, test } from "../check.js";
import { at, build, given, indices, ints, mask, nd, normal, uniform } from "../nd.js";

const int = (values: number[]) => tensor(values, { dtype: "int32" });
const bools = (values: number[]) => tensor(values, { dtype: "bool" });

checkOp("nonzero", {
  run: ([x]) => nonzero(x!),
  reference: ([x]) => {
    const found = [...indices(x!.shape)].filter((i) => at(x!, i) !== 0);
    return nd([found.length, x!.shape.length], found.flat(), "int32");
  },
  grad: false,
  cases: {
    vector: { inputs: [mask(37)] },
    "three dimensions": { inputs: [mask(3, 4, 5)] },
    "floats, NaN": { inputs: [given([0, -0, Number.NaN, 2, 0, -1], [2, 3])] },
    "all false, then one": { inputs: [given([...new Array(40).fill(0), 1], [41], "bool")] },
    "a scalar": { inputs: [given([5], [])] },
    nothing: { inputs: [mask(0, 3)] },
  },
  bench: { "1024x1024": { inputs: [mask(1024, 1024)] } },
});

checkOp("maskedSelect", {
  run: ([x, m]) => maskedSelect(x!, m!),
  reference: ([x, m]) => {
    const shape = x!.shape.length >= m!.shape.length ? x!.shape : m!.shape;
    const values = [...indices(shape)].filter((i) => at(m!, i) !== 0).map((i) => at(x!, i));
    return nd([values.length], values, x!.dtype);
  },
  cases: {
    "the same shape": { inputs: [normal(3, 4), mask(3, 4)] },
    "the mask broadcasts": { inputs: [normal(3, 4), given([1, 0, 0, 1], [4], "bool")] },
    "x broadcasts": { inputs: [normal(4), mask(3, 4)] },
    "nothing selected": { inputs: [normal(3), given([0, 0, 0], [3], "bool")] },
    int64: { inputs: [ints(0, 9, [9], "int64"), mask(9)], grad: false },
  },
  errors: {
    "a float mask": [
      () => maskedSelect(ones([2]), ones([2])),
      /maskedSelect: expected a bool mask, got float32; compare it/,
    ],
    "shapes that do not broadcast": [
      () => maskedSelect(ones([2]), bools([1, 0, 1])),
      /maskedSelect: expected shapes that broadcast/,
    ],
  },
  bench: { "1M": { inputs: [normal(1 << 20), mask(1 << 20)] } },
});

checkOp("maskedScatter", {
  run: ([x, m, source]) => maskedScatter(x!, m!, source!),
  reference: ([x, m, source]) => {
    let next = 0;
    return build(x!.shape, (i) => (at(m!, i) !== 0 ? source!.data[next++]! : at(x!, i)), x!.dtype);
  },
  cases: {
    matrix: { inputs: [normal(3, 4), mask(3, 4), normal(12)] },
    "the mask broadcasts": { inputs: [normal(3, 4), given([1, 0, 0, 1], [4], "bool"), normal(2, 4)] },
    "nothing to put, from nothing": { inputs: [normal(2), given([0, 0], [2], "bool"), normal(0)] },
  },
  errors: {
    "a mask that widens x": [
      () => maskedScatter(ones([2]), zeros([3, 2], { dtype: "bool" }), ones([6])),
      /maskedScatter: expected a mask that broadcasts to \[2\], got \[3,2\]/,
    ],
    "another dtype": [
      () => maskedScatter(ones([2]), bools([1, 0]), int([1])),
      /maskedScatter: expected operands of one dtype, got float32 and int32/,
    ],
  },
  bench: { "tokens of 4x512x768": { inputs: [normal(4, 512, 768), mask(4, 512, 1), normal(4 * 512, 768)] } },
});
test?.("a source with too few elements is an error when the result is read", async () => {
  await expect(maskedScatter(zeros([3]), bools([1, 1, 1]), ones([2])).data()).rejects.toThrow(
    /gather: expected a value between 0 and 2, got 3/,
  );
});

// ---- Unique

const parts = ({ values, inverse, counts }: ops.Unique) => [values, inverse, counts].map((t) => t.toArraySync());

test?.("unique: ascending, with places and counts", () => {
  expect(parts(unique(int([3, 1, 3, 2, 1, 3])))).toEqual([
    [1, 2, 3],
    [2, 0, 2, 1, 0, 2],
    [2, 1, 3],
  ]);
  expect(
    parts(
      unique(
        tensor([
          [1.5, -1],
          [-1, 1.5],
        ]),
      ),
    ),
  ).toEqual([
    [-1, 1.5],
    [
      [1, 0],
      [0, 1],
    ],
    [2, 2],
  ]);
  expect(parts(unique(bools([1, 0, 1])))).toEqual([
    [0, 1],
    [1, 0, 1],
    [1, 2],
  ]);
  expect(parts(unique(zeros([0])))).toEqual([[], [], []]);
  expect(unique(int([1])).inverse.dtype).toBe("int32");
  expect([...unique(tensor([Number.NaN, Number.NaN, 1])).values.shape]).toEqual([3]);
});
test?.("uniqueConsecutive keeps the order", () => {
  expect(parts(uniqueConsecutive(int([1, 1, 2, 2, 2, 1])))).toEqual([
    [1, 2, 1],
    [0, 0, 1, 1, 1, 2],
    [2, 3, 1],
  ]);
  expect(parts(uniqueConsecutive(zeros([0])))).toEqual([[], [], []]);
});
test?.("unique beside a set, of many", () => {
  const x = ints(0, 50, [3000])(() => Math.random());
  const t = int([...x.data]);
  const { values, inverse } = unique(t);
  expect(values.toArraySync()).toEqual([...new Set(x.data)].sort((a, b) => a - b));
  expect(ops.arrayEqual(ops.take(values, inverse), t).itemSync()).toBe(1);
});

// ---- Bins

checkOp<[minLength?: number]>("bincount", {
  run: ([x, weights], minLength) => bincount(x!, { minLength, ...(weights ? { weights } : {}) }),
  reference: ([x, weights], minLength = 0) => {
    const length = Math.max(minLength, ...Array.from(x!.data, (v) => v + 1));
    const values = new Array<number>(length).fill(0);
    x!.data.forEach((v, i) => {
      values[v]! += weights?.data[i] ?? 1;
    });
    return nd([length], values, weights?.dtype ?? "int32");
  },
  bound: { rms: 4 },
  cases: {
    int32: { inputs: [ints(0, 9, [30])], grad: false },
    uint8: { inputs: [ints(0, 9, [30], "uint8")], grad: false },
    int64: { inputs: [ints(0, 9, [30], "int64")], args: [12], grad: false },
    weighed: { inputs: [ints(0, 5, [20]), normal(20)], args: [4] },
    "of nothing": { inputs: [ints(0, 5, [0])], args: [3], grad: false },
  },
  errors: {
    negative: [() => bincount(int([1, -2])), /bincount: expected elements from 0 up, got -2/],
    "negative, of unknown range": [() => bincount(arange(3).sub(2)), /bincount: expected elements from 0 up, got -2/],
    floats: [() => bincount(ones([2])), /bincount: expected int32, int64 or uint8, got float32/],
    "two dimensions": [
      () => bincount(zeros([1, 2], { dtype: "int32" })),
      /bincount: expected x of one dimension, got \[1,2\]/,
    ],
    "weights of another shape": [
      () => bincount(int([1, 2]), { weights: ones([3]) }),
      /bincount: expected float weights of shape \[2\], got float32 \[3\]/,
    ],
  },
  bench: { "1M of 256": { inputs: [ints(0, 256, [1 << 20])] } },
});

const numbersOf = (t: Tensor) => t.toArraySync() as number[];
test?.("histc: equal parts, ends included, outside and NaN left out", () => {
  const x = tensor([0, 0.5, 1, 2, 3, 4, 4.5, -1, Number.NaN]);
  expect(numbersOf(histc(x, 4, 0, 4))).toEqual([2, 1, 1, 2]);
  expect(numbersOf(histc(tensor([1, 2, 3, 5]), 4))).toEqual([1, 1, 1, 1]);
  expect(numbersOf(histc(tensor([2, 2]), 2))).toEqual([0, 2]);
  expect(numbersOf(histc(zeros([0]), 3))).toEqual([0, 0, 0]);
  expect(() => histc(x, 0)).toThrow(/histc: expected a number of bins from 1 up, got 0/);
  expect(() => histc(x, 2, 3, 1)).toThrow(/histc: expected low <= high, got 3 and 1/);
  expect(() => histc(int([1]))).toThrow(/histc: expected float32 or float64, got int32/);
});
test?.("histogram: by number, range and edges", () => {
  const x = tensor([0, 1, 1, 2, 4]);
  const byNumber = histogram(x, 4);
  expect(numbersOf(byNumber.hist)).toEqual([1, 2, 1, 1]);
  expect(numbersOf(byNumber.binEdges)).toEqual([0, 1, 2, 3, 4]);
  expect(numbersOf(histogram(x, 2, { range: [0, 2] }).hist)).toEqual([1, 3]);
  expect(numbersOf(histogram(x, tensor([0, 1, 4])).hist)).toEqual([1, 4]);
  expect(numbersOf(histogram(x, tensor([0, 1, 4]), { weight: tensor([1, 2, 3, 4, 5]) }).hist)).toEqual([1, 14]);
  expect(numbersOf(histogram(x, tensor([0, 1, 5]), { density: true }).hist).map((v) => Math.round(v * 1e6))).toEqual([
    200000, 200000,
  ]);
  expect(() => histogram(x, tensor([1]))).toThrow(/histogram: expected edges of shape \[2 or more\], got \[1\]/);
  expect(() => histogram(x, 3, { range: [1, 1] })).toThrow(/histogram: expected a range that ascends, got \[1,1\]/);
});
test?.("histogram beside one obvious loop", () => {
  const x = uniform(-2, 2, 500)(() => Math.random());
  const { hist, binEdges } = histogram(tensor(x.data, [500]), 7);
  const edges = numbersOf(binEdges);
  const want = edges
    .slice(0, -1)
    .map((low, i) => [...x.data].filter((v) => v >= low && (v < edges[i + 1]! || (i === 6 && v === edges[7]))).length);
  expect(numbersOf(hist)).toEqual(want);
});
test?.("weights have a gradient", () => {
  const weights = ones([3], { requiresGrad: true });
  expect(
    grad(
      bincount(int([0, 2, 2]), { weights })
        .mul(tensor([1, 2, 3]))
        .sum(),
      [weights],
    )[0]!.toArraySync(),
  ).toEqual([1, 3, 3]);
});
