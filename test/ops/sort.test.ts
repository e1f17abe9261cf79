/** @file Order: sorting, the first few, places in what is sorted. */
import {
  argsort,
  bucketize,
  isin,
  kthvalue,
  ones,
  type SearchOptions,
  type SortOptions,
  searchsorted,
  sort,
  type TopkOptions,
  tensor,
  topk,
  zeros,
} from "napier";
import { type Case, checkOp, expect, test } from "../check.js";
import { apart, at, build, given, type Input, indices, ints, mask, type Nd, normal } from "../nd.js";

type Args = [axis?: number, options?: SortOptions];

/** a before b: NaN is the largest. */
const less = (a: number, b: number) => a < b || (Number.isNaN(b) && !Number.isNaN(a));
const order = (v: number[], largest = false): number[] =>
  v
    .map((_, i) => i)
    .sort((i, j) => {
      const [a, b] = largest ? [v[j]!, v[i]!] : [v[i]!, v[j]!];
      return less(a, b) ? -1 : less(b, a) ? 1 : i - j;
    });
/** f(column) along `axis`, whose results replace the column. */
const columns = (x: Nd, axis: number, f: (v: number[]) => number[], dtype = x.dtype): Nd => {
  if (x.shape.length === 0) return build([], () => f([x.data[0]!])[0]!, dtype);
  const d = axis < 0 ? axis + x.shape.length : axis;
  const n = x.shape[d]!;
  const made = new Map<string, number[]>();
  const outer = x.shape.map((e, k) => (k === d ? 1 : e));
  for (const index of indices(outer))
    made.set(
      String(index),
      f(
        Array.from({ length: n }, (_, i) =>
          at(
            x,
            index.map((e, k) => (k === d ? i : e)),
          ),
        ),
      ),
    );
  const length = made.values().next().value?.length ?? n;
  return build(
    x.shape.map((e, k) => (k === d ? length : e)),
    (index) => made.get(String(index.map((e, k) => (k === d ? 0 : e))))![index[d]!]!,
    dtype,
  );
};

const spread = (...shape: number[]): Input => apart(0.01, ...shape);
const hard = given([
  1,
  Number.NaN,
  -0,
  0,
  Number.NEGATIVE_INFINITY,
  Number.POSITIVE_INFINITY,
  -3,
  Number.NaN,
  1e-40,
  -1e-40,
]);
const shapes: Record<string, Case<Args>> = {
  scalar: { inputs: [spread()] },
  "1x1": { inputs: [spread(1, 1)] },
  vector: { inputs: [spread(11)] },
  "rows, descending": { inputs: [spread(3, 5)], args: [1, { descending: true }] },
  columns: { inputs: [spread(5, 3)], args: [0] },
  middle: { inputs: [spread(2, 6, 3)], args: [-2] },
  nothing: { inputs: [spread(0)] },
  "no rows": { inputs: [spread(0, 4)] },
  "49 elements: by digits": { inputs: [spread(2, 49)] },
  "long, descending": { inputs: [normal(3, 1500)], args: [1, { descending: true }] },
};
const others: Record<string, Case<Args>> = {
  "NaN, infinities, both zeros": { inputs: [hard], grad: false },
  "NaN first where descending": { inputs: [hard], args: [0, { descending: true }], grad: false },
  int32: { inputs: [ints(-(2 ** 31), 2 ** 31, [100])], grad: false },
  int64: { inputs: [ints(-(2 ** 50), 2 ** 50, [100], "int64")], grad: false },
  uint8: { inputs: [ints(0, 256, [2, 100], "uint8")], grad: false },
  int8: { inputs: [ints(-128, 128, [2, 100], "int8")], args: [1, { descending: true }], grad: false },
  bool: { inputs: [mask(70)], grad: false },
};
checkOp<Args>("sort", {
  run: ([x], ...args) => sort(x!, ...args).values,
  reference: ([x], axis = -1, { descending } = {}) => columns(x!, axis, (v) => order(v, descending).map((i) => v[i]!)),
  cases: { ...shapes, ...others },
  errors: {
    "axis out of range": [() => sort(ones([2, 3]), 2), /sort: expected an axis from -2 to 1, got 2/],
    "half precision": [() => sort(ones([2]).to("bfloat16")), /sort: bfloat16 is for storage only/],
  },
  bench: { "rows of 1024x4096": { inputs: [normal(1024, 4096)] } },
});
checkOp<Args>("argsort", {
  run: ([x], ...args) => argsort(x!, ...args),
  reference: ([x], axis = -1, { descending } = {}) => columns(x!, axis, (v) => order(v, descending), "int32"),
  grad: false,
  cases: {
    ...others,
    "equals in their order": { inputs: [ints(0, 5, [3, 40], "float32")] },
    "equals in their order, descending": { inputs: [ints(0, 5, [3, 90], "float32")], args: [1, { descending: true }] },
    columns: { inputs: [ints(0, 9, [60, 3], "float32")], args: [0] },
  },
  errors: { "axis out of range": [() => argsort(ones([2, 3]), 2), /argsort: expected an axis from -2 to 1, got 2/] },
  bench: { "rows of 256x4096": { inputs: [normal(256, 4096)] } },
});

checkOp<[count: number, axis?: number, options?: TopkOptions]>("topk", {
  run: ([x], ...args) => topk(x!, ...args).values,
  reference: ([x], count, axis = -1, { largest = true } = {}) =>
    columns(x!, axis, (v) =>
      order(v, largest)
        .slice(0, count)
        .map((i) => v[i]!),
    ),
  cases: {
    scalar: { inputs: [spread()], args: [1] },
    vector: { inputs: [spread(11)], args: [3] },
    none: { inputs: [spread(3, 4)], args: [0] },
    "columns, smallest": { inputs: [spread(7, 3)], args: [2, 0, { largest: false }] },
    "few of many": { inputs: [spread(2, 200)], args: [5] },
    "many of many": { inputs: [spread(2, 200)], args: [150] },
    NaN: { inputs: [hard], args: [4], grad: false },
  },
  errors: {
    "more than there are": [() => topk(ones([2, 3]), 4), /topk: expected a count from 0 to 3, got 4/],
    "half an element": [() => topk(ones([2, 3]), 0.5), /topk: expected a count from 0 to 3, got 0.5/],
  },
  bench: { "5 of 256x1000": { inputs: [normal(256, 1000)], args: [5] } },
});
checkOp<[count: number]>("topk: indices", {
  run: ([x], count) => topk(x!, count).indices,
  reference: ([x], count) => columns(x!, -1, (v) => order(v, true).slice(0, count), "int32"),
  grad: false,
  cases: {
    "the first of equals": { inputs: [ints(0, 4, [3, 30], "float32")], args: [7] },
    "the first of equals, few of many": { inputs: [ints(0, 9, [3, 200], "float32")], args: [7] },
  },
  bench: { "5 of 256x1000": { inputs: [normal(256, 1000)], args: [5] } },
});

checkOp<[count: number, axis?: number, options?: { keepDims?: boolean }]>("kthvalue", {
  run: ([x], ...args) => kthvalue(x!, ...args).values,
  reference: ([x], count, axis = -1, { keepDims = false } = {}) => {
    const y = columns(x!, axis, (v) => [v[order(v)[count - 1]!]!]);
    const d = axis < 0 ? axis + x!.shape.length : axis;
    return keepDims ? y : { ...y, shape: y.shape.filter((_, k) => k !== d) };
  },
  cases: {
    scalar: { inputs: [spread()], args: [1] },
    rows: { inputs: [spread(3, 7)], args: [2] },
    "columns, kept": { inputs: [spread(7, 3)], args: [7, 0, { keepDims: true }] },
  },
  errors: { "the 0th": [() => kthvalue(ones([3]), 0), /kthvalue: expected a count from 1 to 3, got 0/] },
  bench: { "rows of 256x4096": { inputs: [normal(256, 4096)], args: [2048] } },
});

const ascending =
  (...shape: number[]): Input =>
  (random) =>
    columns(ints(-20, 20, shape, "float32")(random), -1, (v) => v.sort((a, b) => a - b), "float");
/** A histogram's boundaries. */
const edges = given(Array.from({ length: 1023 }, (_, i) => (i - 511) / 170));
const placeIn = (row: number[], v: number, right = false) =>
  row.filter((e) => less(e, v) || (right && !less(v, e))).length;
checkOp<[options?: SearchOptions]>("searchsorted", {
  run: ([sorted, x], options) => searchsorted(sorted!, x!, options),
  reference: ([sorted, x], { right } = {}) => {
    const n = sorted!.shape.at(-1)!;
    const rowOf = (index: number[]) => {
      const lead = sorted!.shape.length === 1 ? [] : index.slice(0, -1);
      return Array.from({ length: n }, (_, i) => at(sorted!, [...lead, i]));
    };
    return build(x!.shape, (index) => placeIn(rowOf(index), at(x!, index), right), "int32");
  },
  grad: false,
  cases: {
    vector: { inputs: [ascending(9), ints(-25, 25, [30], "float32")] },
    "right of equals": { inputs: [ascending(9), ints(-25, 25, [30], "float32")], args: [{ right: true }] },
    "one sequence for a matrix": { inputs: [ascending(9), ints(-25, 25, [4, 5], "float32")] },
    "a sequence a row": { inputs: [ascending(4, 9), ints(-25, 25, [4, 5], "float32")], args: [{ right: true }] },
    "a scalar": { inputs: [ascending(9), given([3], [])] },
    "into nothing": { inputs: [ascending(0), normal(3)] },
    "NaN behind all": { inputs: [given([1, 2, Number.NaN]), given([Number.NaN, 5])] },
    integers: { inputs: [given([-3, 0, 0, 7], [4], "int32"), ints(-5, 9, [20])] },
  },
  errors: {
    "rows that differ": [
      () => searchsorted(ones([2, 3]), ones([3, 4])),
      /searchsorted: expected values of shape \[2,m\], got \[3,4\]/,
    ],
    "a scalar sequence": [
      () => searchsorted(ones([]), ones([1])),
      /searchsorted: expected a sorted sequence of at least one dimension, got a scalar/,
    ],
  },
  bench: { "1M in 1023": { inputs: [edges, normal(1 << 20)] } },
});
checkOp<[options?: SearchOptions]>("bucketize", {
  run: ([x, boundaries], options) => bucketize(x!, boundaries!, options),
  reference: ([x, boundaries], { right } = {}) =>
    build(x!.shape, (i) => placeIn([...boundaries!.data], at(x!, i), right), "int32"),
  grad: false,
  cases: {
    matrix: { inputs: [ints(-5, 5, [3, 4], "float32"), given([-2, 0, 3])] },
    right: { inputs: [ints(-5, 5, [3, 4], "float32"), given([-2, 0, 3])], args: [{ right: true }] },
  },
  errors: {
    "boundaries of two dimensions": [
      () => bucketize(ones([2]), ones([2, 2])),
      /bucketize: expected boundaries of one dimension, got \[2,2\]/,
    ],
  },
  bench: { "1M in 1023": { inputs: [normal(1 << 20), edges] } },
});

checkOp("isin", {
  run: ([x, values]) => isin(x!, values!),
  reference: ([x, values]) => build(x!.shape, (i) => Number(values!.data.includes(at(x!, i))), "bool"),
  grad: false,
  cases: {
    integers: { inputs: [ints(0, 9, [3, 4]), ints(0, 9, [2, 2])] },
    "floats, and larger than all": { inputs: [ints(0, 9, [20], "float32"), given([3, -0, 5])] },
    "among nothing": { inputs: [ints(0, 9, [5]), ints(0, 9, [0])] },
    "int32 among float32": { inputs: [ints(0, 9, [5]), given([1.5, 3], [2], "float32")] },
  },
  bench: { "1M among 1000": { inputs: [ints(0, 32000, [1 << 20]), ints(0, 32000, [1000])] } },
});

test?.("a number is searched for as it is", () => {
  expect(searchsorted(tensor([1, 3, 5], { dtype: "int32" }), 3.5).toArraySync()).toBe(2);
});
test?.("places come with the values", () => {
  const x = tensor([3, 1, 2]);
  expect(sort(x).indices.toArraySync()).toEqual([1, 2, 0]);
  expect(kthvalue(x, 2).indices.toArraySync()).toBe(2);
  expect(topk(zeros([3]), 2).indices.toArraySync()).toEqual([0, 1]);
});
