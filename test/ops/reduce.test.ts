/** @file Reductions over any axes, against one obvious loop a result. */
import type { Axes, ReduceOptions } from "napier";
import * as ops from "napier";
import { ones, sumTo, type Tensor, tensor, zeros } from "napier";
import { type Bound, type Case, checkOp, describe, expect, test } from "../check.js";
import {
  apart,
  build,
  given,
  type Input,
  ints,
  mask,
  type Nd,
  normal,
  reduce,
  signed,
  total as sum,
  uniform,
} from "../nd.js";

type Args = [axes?: Axes, options?: ReduceOptions];
type Maker = (...shape: number[]) => Input;

/** Positive, so that sums do not cancel. */
const near1 = (...shape: number[]): Input => uniform(0.5, 1.5, ...shape);

const mean = (values: number[]) => sum(values) / values.length;
const keep = { keepDims: true };

/** Axes together, apart, first, last, all and none. */
const axesCases = (from: Maker): Record<string, Case<Args>> => ({
  scalar: { inputs: [from()] },
  "1x1": { inputs: [from(1, 1)] },
  "all of a vector": { inputs: [from(37)] },
  "all of three dimensions": { inputs: [from(3, 5, 7)] },
  "all, kept": { inputs: [from(3, 5, 7)], args: [null, keep] },
  first: { inputs: [from(3, 5, 7)], args: [0] },
  middle: { inputs: [from(3, 5, 7)], args: [1] },
  "last, by -1": { inputs: [from(3, 5, 7)], args: [-1] },
  "middle, kept": { inputs: [from(3, 5, 7)], args: [1, keep] },
  "two together": { inputs: [from(3, 5, 7)], args: [[1, 2]] },
  "two apart": { inputs: [from(3, 5, 7)], args: [[0, 2]] },
  "apart, kept, out of order": { inputs: [from(3, 5, 7, 2)], args: [[3, 1], keep] },
  "no axis": { inputs: [from(3, 5)], args: [[]] },
  "extent 1": { inputs: [from(3, 1, 5)], args: [1] },
  "no results": { inputs: [from(0, 5)], args: [1] },
});
const emptyCases = (from: Maker): Record<string, Case<Args>> => ({
  "of nothing": { inputs: [from(0)] },
  "over an empty axis": { inputs: [from(3, 0)], args: [1] },
});
const longCases = (from: Maker): Record<string, Case<Args>> => ({
  "long: split within one result": { inputs: [from(100_003)] },
  "many short rows": { inputs: [from(20_001, 3)], args: [1] },
  "rows of two registers": { inputs: [from(37, 21)], args: [1] },
  "rows of a register and a part": { inputs: [from(19, 100)], args: [1] },
  "wide columns": { inputs: [from(9, 2100)], args: [0] },
  "long columns": { inputs: [from(5003, 21)], args: [0] },
  "long rows": { inputs: [from(21, 5003)], args: [1] },
  "long middle": { inputs: [from(2, 20_011, 2)], args: [1] },
});
const pastNaN: Record<string, Case<Args>> = {
  "NaN and infinity": {
    inputs: [given([1, Number.NaN, 3, 1, 2, Number.POSITIVE_INFINITY, 0, Number.NEGATIVE_INFINITY, 5], [3, 3])],
    args: [1],
    grad: false,
  },
};

const errors = (name: string, op: (x: Tensor, ...args: Args) => Tensor): Record<string, [() => unknown, RegExp]> => ({
  "axis out of range": [() => op(ones([2, 3]), 2), new RegExp(`${name}: expected an axis from -2 to 1, got 2`)],
  "axis not whole": [() => op(ones([2, 3]), 0.5), new RegExp(`${name}: expected an axis from -2 to 1, got 0.5`)],
  "axis twice": [() => op(ones([2, 3]), [0, -2]), new RegExp(`${name}: expected axes that differ, got \\[0,-2\\]`)],
});

interface Row {
  f: (values: number[]) => number;
  from: Maker;
  bound: Bound;
  gradBound?: Bound;
  isaRms?: number;
  cases?: Record<string, Case<Args>>;
}
const nan = (values: number[], f: (...v: number[]) => number) => values.reduce((a, b) => f(a, b));
// Sums of terms of either sign cancel: the bound holds for what does not.
const ROWS: Record<string, Row> = {
  sum: {
    f: sum,
    from: near1,
    bound: { rms: 4 },
    isaRms: 4,
    cases: { ...emptyCases(normal), ...pastNaN },
  },
  mean: { f: mean, from: near1, bound: { rms: 4 }, isaRms: 4, cases: pastNaN },
  amax: { f: (v) => nan(v, Math.max), from: (...s) => apart(0.01, ...s), bound: { ulp: 0 }, cases: pastNaN },
  amin: { f: (v) => nan(v, Math.min), from: (...s) => apart(0.01, ...s), bound: { ulp: 0 }, cases: pastNaN },
};

for (const [name, { f, from, bound, isaRms = 0, cases = {} }] of Object.entries(ROWS)) {
  const op = (ops as unknown as Record<string, (x: Tensor, ...args: Args) => Tensor>)[name]!;
  checkOp<Args>(name, {
    run: ([x], ...args) => op(x!, ...args),
    reference: ([x], axes = null, { keepDims = false } = {}) =>
      reduce(x!, typeof axes === "number" ? [axes] : axes, keepDims, f),
    bound,
    isaRms,
    cases: { ...axesCases(from), ...cases, ...longCases(from) },
    errors: errors(name, op),
    bench: {
      "all of 1M": { inputs: [from(1 << 20)] },
      "rows of 4096x1024": { inputs: [from(4096, 1024)], args: [1] },
      "columns of 4096x1024": { inputs: [from(4096, 1024)], args: [0] },
    },
  });
}

checkOp<Args>("prod", {
  run: ([x], ...args) => ops.prod(x!, ...args),
  reference: ([x], axes = null, { keepDims = false } = {}) =>
    reduce(x!, typeof axes === "number" ? [axes] : axes, keepDims, (v) => v.reduce((p, e) => p * e, 1)),
  bound: { rms: 16 },
  gradBound: { rms: 64 },
  isaRms: 16,
  cases: {
    ...axesCases((...s) => signed(0.8, 1.25, ...s)),
    "of nothing": { inputs: [normal(0)] },
    "long rows": { inputs: [uniform(0.99, 1.01, 3, 997)], args: [1] },
  },
  errors: errors("prod", ops.prod),
  bench: {
    "all of 1M": { inputs: [uniform(0.99, 1.01, 1 << 20)] },
    "rows of 4096x1024": { inputs: [uniform(0.99, 1.01, 4096, 1024)], args: [1] },
    "columns of 4096x1024": { inputs: [uniform(0.99, 1.01, 4096, 1024)], args: [0] },
  },
});

const variance = (values: number[], correction: number) => {
  const m = mean(values);
  return sum(values.map((v) => (v - m) ** 2)) / Math.max(0, values.length - correction);
};
checkOp<[axes?: Axes, options?: ReduceOptions & { correction?: number }]>("variance", {
  run: ([x], ...args) => ops.variance(x!, ...args),
  reference: ([x], axes = null, { keepDims = false, correction = 1 } = {}) =>
    reduce(x!, typeof axes === "number" ? [axes] : axes, keepDims, (v) => variance(v, correction)),
  bound: { rms: 8 },
  gradBound: { rms: 32 },
  isaRms: 8,
  isaGradRms: 32,
  cases: {
    "of a vector": { inputs: [normal(37)] },
    "biased rows": { inputs: [normal(5, 11)], args: [1, { correction: 0 }] },
    "columns, kept": { inputs: [normal(5, 11)], args: [0, keep] },
    "axes apart": { inputs: [normal(3, 4, 5)], args: [[0, 2]] },
    "far from 0": { inputs: [uniform(1000, 1001, 50)], bound: { rms: 2e4 }, gradBound: { rms: 2e4 } },
    "one element, biased: 0": { inputs: [normal(3, 1)], args: [1, { correction: 0 }], bound: { ulp: 0 } },
    "long rows": { inputs: [normal(3, 5003)], args: [1] },
  },
  bench: {
    "all of 1M": { inputs: [normal(1 << 20)] },
    "rows of 4096x1024": { inputs: [normal(4096, 1024)], args: [1] },
    "columns of 4096x1024": { inputs: [normal(4096, 1024)], args: [0] },
  },
});

// ---- Integers and bools

const list = (axes: Axes | undefined) => (typeof axes === "number" ? [axes] : (axes ?? null));
const integers: Record<string, Case<Args>> = {
  int32: { inputs: [ints(-1000, 1000, [3, 5, 7])], args: [1] },
  int64: { inputs: [ints(-1000, 1000, [3, 5, 7], "int64")], args: [[0, 2]] },
  uint8: { inputs: [ints(0, 256, [300, 3], "uint8")], args: [0] },
  int8: { inputs: [ints(-128, 128, [3, 300], "int8")], args: [1] },
  bool: { inputs: [mask(300)] },
};
checkOp<Args>("sum of integers is int64", {
  run: ([x], ...args) => ops.sum(x!, ...args),
  reference: ([x], axes) => reduce(x!, list(axes), false, sum, "int64"),
  grad: false,
  cases: { ...integers, "long int32, beyond 32 bits": { inputs: [ints(2 ** 30, 2 ** 31, [100_001])] } },
});
checkOp<Args>("prod of integers is int64", {
  run: ([x], ...args) => ops.prod(x!, ...args),
  reference: ([x], axes) => reduce(x!, list(axes), false, (v) => v.reduce((p, e) => p * e, 1), "int64"),
  grad: false,
  cases: {
    int32: { inputs: [ints(-9, 9, [3, 11])], args: [1] },
    bool: { inputs: [mask(2, 2)], args: [0] },
    uint8: { inputs: [ints(1, 4, [9], "uint8")] },
  },
});
checkOp<Args>("mean of integers is float32", {
  run: ([x], ...args) => ops.mean(x!, ...args),
  reference: ([x], axes) => reduce(x!, list(axes), false, mean, "float32"),
  grad: false,
  bound: { rms: 4 },
  isaRms: 4,
  cases: integers,
});
for (const name of ["amax", "amin"] as const) {
  checkOp<Args>(`${name} of integers`, {
    run: ([x], ...args) => ops[name](x!, ...args),
    reference: ([x], axes) => reduce(x!, list(axes), false, (v) => nan(v, name === "amax" ? Math.max : Math.min)),
    grad: false,
    cases: integers,
  });
}
for (const name of ["any", "all"] as const) {
  checkOp<Args>(name, {
    run: ([x], ...args) => ops[name](x!, ...args),
    reference: ([x], axes, { keepDims = false } = {}) =>
      reduce(
        x!,
        list(axes),
        keepDims,
        (v) => Number(name === "any" ? v.some((e) => e !== 0) : v.every((e) => e !== 0)),
        "bool",
      ),
    grad: false,
    cases: {
      ...axesCases(mask),
      ...emptyCases(mask),
      "floats: NaN is not 0": { inputs: [given([0, 0, Number.NaN, 0, 1, 2], [3, 2])], args: [1] },
      "long, all true": { inputs: [given(new Array(70_001).fill(1), [70_001], "bool")] },
      "long, all false": { inputs: [given(new Array(70_001).fill(0), [70_001], "bool")] },
    },
    errors: errors(name, ops[name]),
    bench: {
      "all of 1M": { inputs: [mask(1 << 20)] },
      "rows of 4096x1024": { inputs: [mask(4096, 1024)], args: [1] },
      "columns of 4096x1024": { inputs: [mask(4096, 1024)], args: [0] },
    },
  });
}

// ---- Positions

type Position = [axis?: number | null, options?: ReduceOptions];
for (const name of ["argmax", "argmin"] as const) {
  const place = (v: number[]) => {
    const better = (a: number, b: number) => (name === "argmax" ? a > b : a < b);
    let best = 0;
    for (let i = 1; i < v.length; i++)
      if (!Number.isNaN(v[best]!) && (Number.isNaN(v[i]!) || better(v[i]!, v[best]!))) best = i;
    return best;
  };
  checkOp<Position>(name, {
    run: ([x], ...args) => ops[name](x!, ...args),
    reference: ([x], axis = null, { keepDims = false } = {}): Nd =>
      reduce(x!, axis === null ? null : [axis], keepDims, place, "int32"),
    grad: false,
    cases: {
      scalar: { inputs: [normal()] },
      "of a vector": { inputs: [normal(37)] },
      "of everything": { inputs: [normal(3, 5, 7)] },
      "of everything, kept": { inputs: [normal(3, 5, 7)], args: [null, keep] },
      first: { inputs: [normal(9, 5)], args: [0] },
      middle: { inputs: [normal(3, 11, 5)], args: [1] },
      "last, kept": { inputs: [normal(3, 5)], args: [-1, keep] },
      "the first of equals": { inputs: [ints(0, 3, [40, 9], "float32")], args: [1] },
      "the first of equals, several registers": { inputs: [ints(0, 3, [7, 100], "float32")], args: [1] },
      "the first NaN of several": {
        inputs: [() => build([3, 90], ([r, j]) => ((j + r) % 40 === 39 ? Number.NaN : j))],
        args: [1],
      },
      "nothing but the end of the order": {
        inputs: [() => build([2, 40], ([r]) => (r === 0 ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY))],
        args: [1],
      },
      "the first of equals, columns": { inputs: [ints(0, 3, [40, 9], "float32")], args: [0] },
      "the first NaN wins": { inputs: [given([1, Number.NaN, 3, Number.NaN, 5, 2, 0, -1], [2, 4])], args: [1] },
      infinities: {
        inputs: [
          given(
            [
              Number.NEGATIVE_INFINITY,
              Number.POSITIVE_INFINITY,
              0,
              Number.NEGATIVE_INFINITY,
              Number.NEGATIVE_INFINITY,
              Number.NEGATIVE_INFINITY,
            ],
            [2, 3],
          ),
        ],
        args: [1],
      },
      int64: { inputs: [ints(-99, 99, [7, 13], "int64")], args: [1] },
      uint8: { inputs: [ints(0, 200, [7, 130], "uint8")], args: [1] },
      bool: { inputs: [mask(7, 13)], args: [1] },
      "no results": { inputs: [normal(0, 5)], args: [1] },
      "long rows": { inputs: [normal(3, 50_021)], args: [1] },
      "long columns": { inputs: [normal(5003, 21)], args: [0] },
      "long: one result": { inputs: [normal(100_003)] },
    },
    errors: {
      "of nothing": [
        () => ops[name](zeros([3, 0]), 1),
        new RegExp(`${name}: expected at least one element to reduce, got shape \\[3,0\\]`),
      ],
      "axis out of range": [
        () => ops[name](ones([2, 3]), -3),
        new RegExp(`${name}: expected an axis from -2 to 1, got -3`),
      ],
    },
    bench: {
      "all of 1M": { inputs: [normal(1 << 20)] },
      "rows of 4096x1024": { inputs: [normal(4096, 1024)], args: [1] },
      "columns of 4096x1024": { inputs: [normal(4096, 1024)], args: [0] },
    },
  });
}

test("amax and amin of nothing say so", () => {
  expect(() => ops.amax(zeros([0]))).toThrow(/amax: expected at least one element to reduce, got shape \[0\]/);
  expect(() => ops.amin(zeros([2, 0]), 1)).toThrow(/amin: expected at least one element to reduce, got shape \[2,0\]/);
});

test("ties of amax share the gradient evenly", () => {
  const x = tensor(
    [
      [1, 3, 3],
      [2, 2, 2],
    ],
    { requiresGrad: true },
  );
  ops.amax(x, 1).sum().backward();
  const third = Math.fround(1 / 3);
  expect(x.grad!.toArraySync()).toEqual([
    [0, 0.5, 0.5],
    [third, third, third],
  ]);
});

test("the mean of nothing is NaN, its sum 0 and its product 1", () => {
  expect(ops.mean(zeros([0])).itemSync()).toBeNaN();
  expect(ops.sum(zeros([0])).itemSync()).toBe(0);
  expect(ops.prod(zeros([0])).itemSync()).toBe(1);
});

test("a result never shares memory with its source", () => {
  const x = ones([3, 1]);
  const y = ops.sum(x, []);
  x.fill_(7);
  expect(y.toArraySync()).toEqual([[1], [1], [1]]);
});

describe("sumTo undoes broadcasting", () => {
  checkOp<[shape: number[]]>("sumTo", {
    run: ([x], shape) => sumTo(x!, shape),
    reference: ([x], shape) => {
      const lead = x!.shape.length - shape.length;
      const axes = x!.shape.flatMap((e, d) => (d < lead || (shape[d - lead] === 1 && e !== 1) ? [d] : []));
      return { ...reduce(x!, axes, true, sum), shape };
    },
    bound: { rms: 4 },
    isaRms: 4,
    cases: {
      "to a scalar": { inputs: [near1(3, 4)], args: [[]] },
      "leading dimensions": { inputs: [near1(2, 3, 4)], args: [[4]] },
      "extent 1 inside": { inputs: [near1(2, 3, 4)], args: [[2, 1, 4]] },
      both: { inputs: [near1(2, 3, 4, 5)], args: [[3, 1, 5]] },
      "the same shape": { inputs: [near1(2, 3)], args: [[2, 3]] },
    },
  });
});
