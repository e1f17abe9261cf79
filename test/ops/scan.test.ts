/** @file Running sums, products, extremes; their gradients where x holds zeros; differences. */
import { cummax, cummin, cumprod, cumsum, type DiffOptions, diff, logcumsumexp, ones, type ScanOptions } from "napier";
import { type Case, checkOp } from "../check.js";
import { apart, at, build, given, type Input, ints, mask, type Nd, nd, normal, signed, uniform } from "../nd.js";

type Args = [axis: number, options?: ScanOptions];
type Maker = (...shape: number[]) => Input;

/** The results of f over x_0 ... x_t, for each t along `axis`. */
const running = (x: Nd, axis: number, f: (values: number[]) => number, reverse = false, dtype = x.dtype): Nd => {
  const d = axis < 0 ? axis + x.shape.length : axis;
  return build(
    x.shape,
    (index) => {
      const n = x.shape[d] ?? 1;
      const t = index[d] ?? 0;
      const until = reverse ? n - t : t + 1;
      return f(
        Array.from({ length: until }, (_, i) =>
          at(
            x,
            index.map((e, k) => (k === d ? (reverse ? n - 1 - i : i) : e)),
          ),
        ),
      );
    },
    dtype,
  );
};

const cases = (from: Maker): Record<string, Case<Args>> => ({
  scalar: { inputs: [from()], args: [0] },
  "1x1": { inputs: [from(1, 1)], args: [1] },
  vector: { inputs: [from(13)], args: [0] },
  first: { inputs: [from(5, 4)], args: [0] },
  middle: { inputs: [from(2, 5, 3)], args: [1] },
  "last, by -1": { inputs: [from(2, 3, 5)], args: [-1] },
  nothing: { inputs: [from(0, 3)], args: [0] },
  "no columns": { inputs: [from(3, 0)], args: [0] },
  "rows side by side": { inputs: [from(19, 7)], args: [1] },
});
const reversed = (from: Maker): Record<string, Case<Args>> => ({
  "vector, reverse": { inputs: [from(13)], args: [0, { reverse: true }] },
  "middle, reverse": { inputs: [from(2, 5, 3)], args: [1, { reverse: true }] },
});
const errors = (
  name: string,
  op: (x: ReturnType<typeof ones>, axis: number) => unknown,
): Record<string, [() => unknown, RegExp]> => ({
  "axis out of range": [() => op(ones([2, 3]), 2), new RegExp(`${name}: expected an axis from -2 to 1, got 2`)],
  "half precision": [() => op(ones([2]).to("float16"), 0), new RegExp(`${name}: float16 is for storage only`)],
});
const integers: Record<string, Case<Args>> = {
  int32: { inputs: [ints(-9, 9, [3, 5])], args: [1] },
  int64: { inputs: [ints(-9, 9, [3, 5], "int64")], args: [0] },
  uint8: { inputs: [ints(0, 200, [40], "uint8")], args: [0] },
  bool: { inputs: [mask(3, 5)], args: [1] },
};
const sum = (v: number[]) => v.reduce((a, b) => a + b, 0);
const product = (v: number[]) => v.reduce((a, b) => a * b, 1);
const positive = (...shape: number[]) => uniform(0.5, 1.5, ...shape);

checkOp<Args>("cumsum", {
  run: ([x], axis, options) => cumsum(x!, axis, options),
  reference: ([x], axis, { reverse } = {}) => running(x!, axis, sum, reverse),
  bound: { rms: 4 },
  cases: {
    ...cases(positive),
    ...reversed(positive),
    NaN: { inputs: [given([1, Number.NaN, 2])], args: [0], grad: false },
    "long columns": { inputs: [positive(12, 700)], args: [0] },
  },
  errors: errors("cumsum", cumsum),
  bench: { "rows of 4096x1024": { inputs: [normal(4096, 1024)], args: [1] } },
});
/** The same sums, one addition each. */
const runningSums = (x: Nd, reverse = false): Nd => {
  const n = x.shape.at(-1)!;
  const data = Float64Array.from(x.data);
  for (let row = 0; row < data.length; row += n)
    for (let t = 1; t < n; t++) {
      const [at, before] = reverse ? [row + n - 1 - t, row + n - t] : [row + t, row + t - 1];
      data[at]! += data[before]!;
    }
  return nd(x.shape, data);
};
checkOp<Args>("cumsum of long rows", {
  run: ([x], axis, options) => cumsum(x!, axis, options),
  reference: ([x], _, { reverse } = {}) => runningSums(x!, reverse),
  bound: { rms: 4 },
  grad: false,
  cases: {
    "eight segments": { inputs: [positive(3, 1031)], args: [1] },
    "eight segments, reverse": { inputs: [positive(3, 1031)], args: [1, { reverse: true }] },
    "more than a block": { inputs: [positive(2, 9001)], args: [1] },
    "more than a block, reverse": { inputs: [positive(2, 9001)], args: [1, { reverse: true }] },
    "far apart": { inputs: [normal(1, 17_000)], args: [1] },
  },
});
checkOp<Args>("cumsum of integers is int64", {
  run: ([x], ...args) => cumsum(x!, ...args),
  reference: ([x], axis) => running(x!, axis, sum, false, "int64"),
  grad: false,
  cases: integers,
});

const zeros: Record<string, Case<Args>> = {
  "a zero": { inputs: [given([2, 0, 3, -1, 0.5])], args: [0] },
  "two zeros": { inputs: [given([2, 0, 3, 0, 0.5, 1, 0, 0, 1, 2], [2, 5])], args: [1] },
  "zeros, reverse": { inputs: [given([2, 0, 3, 0, 0.5])], args: [0, { reverse: true }] },
};
const tame = (...shape: number[]) => signed(0.8, 1.25, ...shape);
checkOp<Args>("cumprod", {
  run: ([x], axis, options) => cumprod(x!, axis, options),
  reference: ([x], axis, { reverse } = {}) => running(x!, axis, product, reverse),
  bound: { rms: 8 },
  gradBound: { rms: 64 },
  cases: {
    ...cases(tame),
    ...reversed(tame),
    ...zeros,
    "long columns": { inputs: [uniform(0.9, 1.1, 12, 700)], args: [0] },
  },
  errors: errors("cumprod", cumprod),
  bench: { "rows of 4096x1024": { inputs: [uniform(0.99, 1.01, 4096, 1024)], args: [1] } },
});
checkOp<Args>("cumprod of integers is int64", {
  run: ([x], ...args) => cumprod(x!, ...args),
  reference: ([x], axis) => running(x!, axis, product, false, "int64"),
  grad: false,
  cases: { int32: integers.int32!, bool: integers.bool!, uint8: { inputs: [ints(1, 4, [9], "uint8")], args: [0] } },
});

const spread = (...shape: number[]) => apart(0.1, ...shape);
for (const [name, op] of [
  ["cummax", cummax],
  ["cummin", cummin],
] as const) {
  /** The place of the best so far: the last of equals, NaN before all. */
  const place = (v: number[]) =>
    v.reduce((best, e, i) => {
      const b = v[best]!;
      return Number.isNaN(e) || (!Number.isNaN(b) && (name === "cummax" ? e >= b : e <= b)) ? i : best;
    }, 0);
  checkOp<Args>(`${name}: values`, {
    run: ([x], axis) => op(x!, axis).values,
    reference: ([x], axis) => running(x!, axis, (v) => v[place(v)]!),
    cases: {
      ...cases(spread),
      "NaN stays": { inputs: [given([1, 3, Number.NaN, 9, -9])], args: [0], grad: false },
      int8: { inputs: [ints(-9, 9, [3, 5], "int8")], args: [1], grad: false },
      "long columns": { inputs: [spread(12, 700)], args: [0] },
    },
    errors: errors(name, op),
    bench: { "rows of 4096x1024": { inputs: [normal(4096, 1024)], args: [1] } },
  });
  checkOp<Args>(`${name}: indices`, {
    run: ([x], axis) => op(x!, axis).indices,
    reference: ([x], axis) => running(x!, axis, place, false, "int32"),
    grad: false,
    cases: {
      "the last of equals": { inputs: [ints(0, 4, [4, 9], "float32")], args: [1] },
      "every NaN": { inputs: [given([1, Number.NaN, 9, Number.NaN, 1])], args: [0] },
      columns: { inputs: [normal(7, 3)], args: [0] },
      bool: { inputs: [mask(3, 5)], args: [1] },
    },
  });
}

const logSum = (v: number[]) => {
  const m = Math.max(...v);
  return Number.isFinite(m) ? m + Math.log(sum(v.map((e) => Math.exp(e - m)))) : m;
};
checkOp<Args>("logcumsumexp", {
  run: ([x], axis) => logcumsumexp(x!, axis),
  reference: ([x], axis) => running(x!, axis, logSum),
  bound: { rms: 8 },
  gradBound: { rms: 64 },
  isaRms: 8,
  isaGradRms: 64,
  cases: {
    ...cases(normal),
    // exp(x - y) inherits the rounding of y near 800.
    "far apart": { inputs: [given([-1000, -990, 800, 3, 801, -5])], args: [0], gradBound: { rms: 800 } },
    infinities: {
      inputs: [given([Number.NEGATIVE_INFINITY, -1000, 2, Number.NEGATIVE_INFINITY, 1, Number.POSITIVE_INFINITY, 3])],
      args: [0],
      grad: false,
    },
    "long columns": { inputs: [normal(12, 400)], args: [0] },
  },
  errors: errors("logcumsumexp", logcumsumexp),
  bench: { "rows of 4096x1024": { inputs: [normal(4096, 1024)], args: [1] } },
});

checkOp<[n?: number, axis?: number, options?: DiffOptions]>("diff", {
  run: ([x, prepend], n, axis) => diff(x!, n, axis, prepend && { prepend }),
  reference: ([x, prepend], n = 1, axis = -1) => {
    const d = axis < 0 ? axis + x!.shape.length : axis;
    const rows = prepend ? nd([prepend.data.length + x!.data.length], [...prepend.data, ...x!.data]) : x!;
    const once = (v: Nd): Nd =>
      build(
        v.shape.map((e, k) => (k === d ? Math.max(0, e - 1) : e)),
        (i) => {
          const change =
            at(
              v,
              i.map((e, k) => (k === d ? e + 1 : e)),
            ) - at(v, i);
          return v.dtype === "bool" ? Math.abs(change) : change;
        },
        v.dtype,
      );
    return Array.from({ length: n }).reduce<Nd>(once, rows);
  },
  cases: {
    vector: { inputs: [given([1, 4, 9, 16])] },
    columns: { inputs: [ints(-9, 9, [4, 3])], args: [1, 0], grad: false },
    twice: { inputs: [given([1, 4, 9, 16, 25, 1], [2, 3])], args: [2] },
    "of one element": { inputs: [given([3])] },
    "not at all": { inputs: [given([3, 1])], args: [0] },
    prepended: { inputs: [given([1, 4, 9]), given([0])] },
    bool: { inputs: [mask(3, 4)], args: [1, 1], grad: false },
  },
  errors: {
    "of a scalar": [() => diff(ones([])), /diff: expected at least one dimension, got a scalar/],
    "half a time": [() => diff(ones([2]), 0.5), /diff: expected a number of times from 0 up, got 0.5/],
  },
  bench: { "rows of 4096x1024": { inputs: [normal(4096, 1024)] } },
});
