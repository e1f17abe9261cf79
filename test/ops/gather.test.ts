/** @file Elements by index: taking, putting and adding, indices that meet, and indices that are out of range. */
import {
  arange,
  cat,
  gather,
  grad,
  indexAdd,
  indexSelect,
  ones,
  scatter,
  scatterAdd,
  take,
  takeAlong,
  tensor,
  zeros,
} from "napier";
import { type Case, checkOp, describe, expect, test } from "../check.js";
import { at, build, type Input, indices, ints, mask, type Nd, nd, normal } from "../nd.js";

type Axis = [axis: number];
const replaced = (index: number[], axis: number, by: number) => index.map((i, d) => (d === axis ? by : i));
const wrapped = (axis: number, x: Nd) => (axis < 0 ? axis + x.shape.length : axis);
const ids = (values: number[]) => tensor(values, { dtype: "int32" });
/** Different numbers below n along `axis` of `shape`. */
const distinct =
  (n: number, shape: number[], axis: number): Input =>
  (random) => {
    const columns = new Map<string, number[]>();
    const values = Array.from(indices(shape), (index) => {
      const key = String(replaced(index, axis, 0));
      if (!columns.has(key)) {
        const order = Array.from({ length: n }, (_, i) => i);
        for (let i = n - 1; i > 0; i--) {
          const j = Math.floor(random() * (i + 1));
          [order[i], order[j]] = [order[j]!, order[i]!];
        }
        columns.set(key, order);
      }
      return columns.get(key)![index[axis]!]!;
    });
    return nd(shape, values, "int32");
  };

const errorsOf = (name: string, op: (...args: never[]) => unknown): Record<string, [() => unknown, RegExp]> => {
  const call = op as (...args: unknown[]) => unknown;
  const last = name === "gather" ? [] : [0];
  return {
    "index too large": [
      () => call(ones([2, 3]), 1, tensor([[0, 3]], { dtype: "int32" }), ...last),
      new RegExp(`${name}: expected indices between 0 and 2, got 3`),
    ],
    "negative index": [
      () => call(ones([2, 3]), 0, tensor([[-1]], { dtype: "int32" }), ...last),
      new RegExp(`${name}: expected indices between 0 and 1, got -1`),
    ],
    "float index": [
      () => call(ones([2, 3]), 0, ones([1, 1]), ...last),
      new RegExp(`${name}: expected indices of dtype int32, int64 or uint8, got float32`),
    ],
    "another rank": [
      () => call(ones([2, 3]), 0, ids([0]), ...last),
      new RegExp(`${name}: expected an index of 2 dimensions, as x, got \\[1\\]`),
    ],
    "wider than x": [
      () => call(ones([2, 3]), 0, zeros([1, 4], { dtype: "int32" }), ...last),
      new RegExp(`${name}: expected an index of 2 dimensions within x \\[2,3\\] outside axis 0, got \\[1,4\\]`),
    ],
    "axis out of range": [
      () => call(ones([2, 3]), 2, zeros([1, 1], { dtype: "int32" }), ...last),
      new RegExp(`${name}: expected an axis from -2 to 1, got 2`),
    ],
  };
};

checkOp<Axis>("gather", {
  run: ([x, index], axis) => gather(x!, axis, index!),
  reference: ([x, index], axis) =>
    build(index!.shape, (i) => at(x!, replaced(i, wrapped(axis, x!), at(index!, i))), x!.dtype),
  gradBound: { rms: 8 },
  cases: {
    scalar: { inputs: [normal(), ints(0, 1, [])], args: [0] },
    "1x1": { inputs: [normal(1, 1), ints(0, 1, [1, 1])], args: [1] },
    vector: { inputs: [normal(5), ints(0, 5, [9])], args: [0] },
    rows: { inputs: [normal(4, 5), ints(0, 4, [7, 5])], args: [0] },
    columns: { inputs: [normal(4, 5), ints(0, 5, [4, 3])], args: [-1] },
    "middle, repeated": { inputs: [normal(2, 3, 5), ints(0, 3, [2, 8, 5])], args: [1] },
    "a smaller index": { inputs: [normal(4, 3, 5), ints(0, 3, [2, 6, 3])], args: [1] },
    int64: { inputs: [normal(4, 5), ints(0, 5, [4, 3], "int64")], args: [1] },
    uint8: { inputs: [normal(4, 5), ints(0, 5, [4, 3], "uint8")], args: [1] },
    "of int64": { inputs: [ints(-9, 9, [4, 5], "int64"), ints(0, 4, [2, 5])], args: [0], grad: false },
    "of bool": { inputs: [mask(4, 5), ints(0, 4, [2, 5])], args: [0], grad: false },
    "no indices": { inputs: [normal(4, 5), ints(0, 4, [0, 5])], args: [0] },
    "no rows": { inputs: [normal(0, 5), ints(0, 4, [0, 3])], args: [1] },
    "long: shared out": { inputs: [normal(40, 97), ints(0, 40, [180, 97])], args: [0] },
  },
  errors: errorsOf("gather", gather),
  bench: { "8192 of 8192x1000": { inputs: [normal(8192, 1000), ints(0, 1000, [8192, 1])], args: [1] } },
});

/** x with f(old, new) at each index, in order. */
const written = (x: Nd, axis: number, index: Nd, source: Nd, f: (old: number, value: number) => number): Nd => {
  const y = nd(x.shape, x.data, x.dtype);
  for (const i of indices(index.shape)) {
    const to = replaced(i, axis, at(index, i));
    const flat = to.reduce((n, e, d) => n * x.shape[d]! + e, 0);
    y.data[flat] = f(y.data[flat]!, at(source, i));
  }
  return y;
};

const scatterCases = (places: (n: number, shape: number[], axis: number) => Input): Record<string, Case<Axis>> => ({
  scalar: { inputs: [normal(), ints(0, 1, []), normal()], args: [0] },
  "1x1": { inputs: [normal(1, 1), ints(0, 1, [1, 1]), normal(1, 1)], args: [1] },
  vector: { inputs: [normal(9), places(9, [5], 0), normal(5)], args: [0] },
  rows: { inputs: [normal(6, 5), places(6, [4, 5], 0), normal(4, 5)], args: [0] },
  columns: { inputs: [normal(4, 5), places(5, [4, 3], 1), normal(4, 3)], args: [-1] },
  "middle, one index": { inputs: [normal(2, 3, 5), ints(0, 3, [2, 1, 5]), normal(2, 1, 5)], args: [1] },
  "a smaller index": { inputs: [normal(4, 6, 5), places(6, [2, 4, 3], 1), normal(2, 4, 3)], args: [1] },
  "a larger source": { inputs: [normal(4, 5), places(4, [3, 2], 0), normal(4, 7)], args: [0] },
  "no indices": { inputs: [normal(4, 5), ints(0, 4, [0, 5]), normal(0, 5)], args: [0] },
});
const sourceErrors = (name: string, op: typeof scatter): Record<string, [() => unknown, RegExp]> => ({
  "source too small": [
    () => op(ones([2, 3]), 0, zeros([2, 3], { dtype: "int32" }), ones([1, 3])),
    new RegExp(`${name}: expected a source of at least the index's shape \\[2,3\\], got \\[1,3\\]`),
  ],
  "another dtype": [
    () => op(ones([2]), 0, ids([0]), ones([1], { dtype: "float64" })),
    new RegExp(`${name}: expected operands of one dtype, got float32 and float64`),
  ],
});

checkOp<Axis>("scatter", {
  run: ([x, index, source], axis) => scatter(x!, axis, index!, source!),
  reference: ([x, index, source], axis) => written(x!, wrapped(axis, x!), index!, source!, (_, v) => v),
  cases: {
    ...scatterCases(distinct),
    "where indices meet the last stays": { inputs: [normal(3, 4), ints(0, 3, [9, 4]), normal(9, 4)], args: [0] },
    "int32, each way": { inputs: [ints(0, 9, [3, 4]), ints(0, 3, [9, 4]), ints(0, 9, [9, 4])], args: [0], grad: false },
    "long: shared out": { inputs: [normal(9, 2100), distinct(9, [5, 2100], 0), normal(5, 2100)], args: [0] },
  },
  errors: { ...errorsOf("scatter", scatter), ...sourceErrors("scatter", scatter) },
  bench: {
    "8192 to 8192x1000": { inputs: [normal(8192, 1000), ints(0, 1000, [8192, 8]), normal(8192, 8)], args: [1] },
  },
});

checkOp<Axis>("scatterAdd", {
  run: ([x, index, source], axis) => scatterAdd(x!, axis, index!, source!),
  reference: ([x, index, source], axis) => written(x!, wrapped(axis, x!), index!, source!, (a, b) => a + b),
  bound: { rms: 8 },
  cases: {
    ...scatterCases((n, shape) => ints(0, n, shape)),
    "many meet": { inputs: [normal(3), ints(0, 3, [200]), normal(200)], args: [0] },
    int64: {
      inputs: [ints(0, 9, [3, 4], "int64"), ints(0, 3, [9, 4]), ints(0, 9, [9, 4], "int64")],
      args: [0],
      grad: false,
    },
    "long: shared out": { inputs: [normal(9, 2100), ints(0, 9, [15, 2100]), normal(15, 2100)], args: [0] },
  },
  errors: {
    ...errorsOf("scatterAdd", scatterAdd),
    ...sourceErrors("scatterAdd", scatterAdd),
    bool: [() => scatterAdd(zeros([2], { dtype: "bool" }), 0, ids([0]), 1), /scatterAdd: expected numbers, got bool/],
  },
  bench: {
    "8192 to 8192x1000": { inputs: [normal(8192, 1000), ints(0, 1000, [8192, 8]), normal(8192, 8)], args: [1] },
  },
});

checkOp<Axis>("indexSelect", {
  run: ([x, index], axis) => indexSelect(x!, axis, index!),
  reference: ([x, index], axis) => {
    const d = wrapped(axis, x!);
    const shape = x!.shape.map((e, i) => (i === d ? index!.data.length : e));
    return build(shape, (i) => at(x!, replaced(i, d, index!.data[i[d]!]!)), x!.dtype);
  },
  gradBound: { rms: 8 },
  cases: {
    vector: { inputs: [normal(5), ints(0, 5, [9])], args: [0] },
    rows: { inputs: [normal(4, 5), ints(0, 4, [7])], args: [0] },
    columns: { inputs: [normal(4, 5), ints(0, 5, [2])], args: [-1] },
    middle: { inputs: [normal(2, 3, 5), ints(0, 3, [8])], args: [1] },
    "one index": { inputs: [normal(2, 3), ints(0, 2, [], "int64")], args: [0] },
    "no index": { inputs: [normal(2, 3), ints(0, 2, [0])], args: [0] },
    "of uint8": { inputs: [ints(0, 255, [4, 5], "uint8"), ints(0, 4, [3])], args: [0], grad: false },
    "long rows": { inputs: [normal(20, 1003), ints(0, 20, [40])], args: [0] },
  },
  errors: {
    "index too large": [
      () => indexSelect(ones([2, 3]), 1, ids([3])),
      /indexSelect: expected indices between 0 and 2, got 3/,
    ],
    "two dimensions": [
      () => indexSelect(ones([2, 3]), 1, zeros([1, 1], { dtype: "int32" })),
      /indexSelect: expected an index of one dimension, got \[1,1\]/,
    ],
  },
  bench: { "4096 of 32000x512": { inputs: [normal(32000, 512), ints(0, 32000, [4096])], args: [0] } },
});

checkOp<[axis: number, alpha?: number]>("indexAdd", {
  run: ([x, index, source], axis, alpha) => indexAdd(x!, axis, index!, source!, { alpha }),
  reference: ([x, index, source], axis, alpha = 1) => {
    const d = wrapped(axis, x!);
    const spread = build(source!.shape, (i) => index!.data[i[d]!]!);
    return written(x!, d, spread, source!, (a, b) => a + alpha * b);
  },
  bound: { rms: 8 },
  cases: {
    vector: { inputs: [normal(5), ints(0, 5, [9]), normal(9)], args: [0] },
    rows: { inputs: [normal(4, 5), ints(0, 4, [7]), normal(7, 5)], args: [0] },
    "columns, weighed": { inputs: [normal(4, 5), ints(0, 5, [2]), normal(4, 2)], args: [-1, -0.5] },
    middle: { inputs: [normal(2, 3, 5), ints(0, 3, [8]), normal(2, 8, 5)], args: [1] },
    "long rows": { inputs: [normal(20, 1103), ints(0, 20, [30]), normal(30, 1103)], args: [0] },
  },
  errors: {
    "source of another shape": [
      () => indexAdd(ones([2, 3]), 0, ids([0]), ones([2, 3])),
      /indexAdd: expected a source of shape \[1,3\], got \[2,3\]/,
    ],
    "index too large": [
      () => indexAdd(ones([2, 3]), 0, ids([2]), ones([1, 3])),
      /indexAdd: expected indices between 0 and 1, got 2/,
    ],
  },
  bench: {
    "50000 edges to 10000x64": {
      inputs: [normal(10000, 64), ints(0, 10000, [50000]), normal(50000, 64)],
      args: [0],
    },
  },
});

checkOp<Axis>("takeAlong", {
  run: ([x, index], axis) => takeAlong(x!, index!, axis),
  reference: ([x, index], axis) => {
    const d = wrapped(axis, x!);
    const shape = index!.shape.map((e, i) => (i === d ? e : Math.max(e, x!.shape[i]!)));
    return build(shape, (i) => at(x!, replaced(i, d, at(index!, i))), x!.dtype);
  },
  gradBound: { rms: 8 },
  cases: {
    "the same shape": { inputs: [normal(4, 5), ints(0, 5, [4, 5])], args: [1] },
    "the index broadcasts": { inputs: [normal(4, 5), ints(0, 5, [1, 3])], args: [1] },
    "x broadcasts": { inputs: [normal(4, 1), ints(0, 4, [2, 5])], args: [0] },
  },
  errors: {
    "shapes that do not broadcast": [
      () => takeAlong(ones([2, 3]), zeros([3, 3], { dtype: "int32" }), 1),
      /takeAlong: expected shapes that broadcast, got \[2,1\] and \[3,1\]/,
    ],
  },
  bench: { "128 of 4096x1000": { inputs: [normal(4096, 1000), ints(0, 1000, [4096, 128])], args: [1] } },
});

checkOp("take", {
  run: ([x, index]) => take(x!, index!),
  reference: ([x, index]) => build(index!.shape, (i) => x!.data[at(index!, i)]!, x!.dtype),
  gradBound: { rms: 8 },
  cases: {
    "of a matrix": { inputs: [normal(3, 4), ints(0, 12, [2, 3])] },
    "of a scalar": { inputs: [normal(), ints(0, 1, [2])] },
    "one element": { inputs: [normal(3, 4), ints(0, 12, [])] },
  },
  errors: { "index too large": [() => take(ones([2, 3]), ids([6])), /take: expected indices between 0 and 5, got 6/] },
  bench: { "1M of 1M": { inputs: [normal(1 << 20), ints(0, 1 << 20, [1 << 20])] } },
});

if (describe)
  describe("indices that only the kernel sees", () => {
    test("a bad one fails the result, not the process", async () => {
      const bad = arange(4).mul(2); // no known range
      await expect(gather(ones([5]), 0, bad).data()).rejects.toThrow(
        /gather: expected a value between 0 and 4, got 6 \(at flat index 3\)/,
      );
      await expect(scatterAdd(ones([5]), 0, bad, 1).data()).rejects.toThrow(/scatterAdd.*got 6/);
      await expect(scatter(ones([5, 2]), 0, bad.reshape([4, 1]), 1).data()).rejects.toThrow(/scatter.*got 6/);
      await expect(indexSelect(ones([2, 5]), 1, bad).data()).rejects.toThrow(/gather.*got 6/);
      expect(
        gather(ones([5]), 0, arange(4))
          .sum()
          .itemSync(),
      ).toBe(4);
    });
    test("what was scattered has no known range", async () => {
      const x = scatter(tensor([0, 1], { dtype: "int32" }), 0, ids([1]), 7);
      await expect(gather(ones([2]), 0, x).data()).rejects.toThrow(/gather.*got 7/);
    });
  });

test?.("scatter and scatterAdd take a number", () => {
  expect(scatter(zeros([2, 3]), 1, tensor([[2], [0]], { dtype: "int32" }), 5).toArraySync()).toEqual([
    [0, 0, 5],
    [5, 0, 0],
  ]);
  expect(scatterAdd(zeros([3]), 0, ids([2, 2]), 0.5).toArraySync()).toEqual([0, 0, 1]);
});

test?.("int8 sums wrap", () => {
  const x = tensor(new Int8Array([120, 0]));
  expect(scatterAdd(x, 0, ids([0, 0, 1]), tensor(new Int8Array([100, 1, 2]))).toArraySync()).toEqual([-35, 2]);
});

test?.("of indices that meet, the one that stays has the gradient", () => {
  const source = tensor([1, 2, 3], { requiresGrad: true });
  const y = scatter(zeros([2]), 0, ids([1, 1, 0]), source);
  expect(y.toArraySync()).toEqual([3, 2]);
  expect(grad(y.sum(), [source])[0]!.toArraySync()).toEqual([0, 1, 1]);
});

test?.("what is joined or padded from a failed part fails", async () => {
  const failed = gather(ones([5]), 0, arange(4).mul(2));
  await expect(cat([ones([2]), failed]).data()).rejects.toThrow(/gather.*got 6/);
  await expect(failed.pad([1, 1]).data()).rejects.toThrow(/gather.*got 6/);
});
