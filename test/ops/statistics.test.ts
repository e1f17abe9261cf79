/** @file Spread, norms, extremes with their places, what leaves NaN out, and comparisons of whole tensors. */
import * as ops from "napier";
import { type Axes, grad, ones, type ReduceOptions, tensor, zeros } from "napier";
import { type Case, checkOp, expect, test } from "../check.js";
import {
  apart,
  broadcast,
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
const keep = { keepDims: true };
const list = (axes: Axes | undefined) => (typeof axes === "number" ? [axes] : (axes ?? null));
const spread = (...shape: number[]) => apart(0.1, ...shape);
const axesCases = (from: Maker): Record<string, Case<Args>> => ({
  scalar: { inputs: [from()] },
  "all of two dimensions": { inputs: [from(3, 5)] },
  "middle, kept": { inputs: [from(3, 4, 2)], args: [1, keep] },
  "two apart": { inputs: [from(3, 4, 2)], args: [[0, 2]] },
});
const axisError = (name: string, call: () => unknown): Record<string, [() => unknown, RegExp]> => ({
  "axis out of range": [call, new RegExp(`${name}: expected an axis from -2 to 1, got 2`)],
});

// ---- prod, whose gradient divides by nothing

const product = (v: number[]) => v.reduce((a, b) => a * b, 1);
checkOp<Args>("prod where x holds zeros", {
  run: ([x], ...args) => ops.prod(x!, ...args),
  reference: ([x], axes, { keepDims = false } = {}) => reduce(x!, list(axes), keepDims, product),
  bound: { rms: 8 },
  gradBound: { rms: 32 },
  cases: {
    "a zero": { inputs: [given([2, 0, 3, -1])] },
    "two zeros": { inputs: [given([2, 0, 3, 0])] },
    "a zero in some rows": { inputs: [given([2, 0, 3, 1, 2, 0.5, 0, 0, 1], [3, 3])], args: [1] },
    "axes apart": { inputs: [given([2, 0, 3, 1, 2, 0.5, 0, 0, 1, 1, 3, 0], [2, 3, 2])], args: [[0, 2], keep] },
    "zero alone": { inputs: [given([0])] },
  },
});

// ---- std

const variance = (v: number[], correction: number) => {
  const m = sum(v) / v.length;
  return sum(v.map((e) => (e - m) ** 2)) / Math.max(0, v.length - correction);
};
checkOp<[axes?: Axes, options?: ReduceOptions & { correction?: number }]>("std", {
  run: ([x], ...args) => ops.std(x!, ...args),
  reference: ([x], axes, { keepDims = false, correction = 1 } = {}) =>
    reduce(x!, list(axes), keepDims, (v) => Math.sqrt(variance(v, correction))),
  bound: { rms: 8 },
  gradBound: { rms: 32 },
  isaRms: 8,
  isaGradRms: 32,
  cases: {
    "of a vector": { inputs: [normal(9)] },
    "biased rows": { inputs: [normal(3, 5)], args: [1, { correction: 0 }] },
    "axes apart, kept": { inputs: [normal(3, 2, 4)], args: [[0, 2], keep] },
    "all equal: 0, and gradient 0": { inputs: [given([2, 2, 2])], grad: false },
    "one element, unbiased: NaN": { inputs: [normal(3, 1)], args: [1], grad: false },
  },
  errors: axisError("variance", () => ops.std(ones([2, 3]), 2)),
  bench: {
    "all of 1M": { inputs: [normal(1 << 20)] },
    "rows of 4096x1024": { inputs: [normal(4096, 1024)], args: [1] },
    "columns of 4096x1024": { inputs: [normal(4096, 1024)], args: [0] },
  },
});

test?.("the gradient of a deviation or a norm of 0 is 0", () => {
  const x = ones([3], { requiresGrad: true });
  expect(grad(ops.std(x), [x])[0]!.toArraySync()).toEqual([0, 0, 0]);
  const z = zeros([3], { requiresGrad: true });
  for (const p of [1, 2, 3, 0.5, Number.POSITIVE_INFINITY, 0] as const)
    if (p !== 0) expect(grad(ops.norm(z, p), [z])[0]!.toArraySync(), `p ${p}`).toEqual([0, 0, 0]);
});

test?.("variance has PyTorch's name as a method", () => {
  expect(tensor([1, 2, 3]).var().itemSync()).toBe(1);
});

// ---- Extremes

for (const name of ["max", "min"] as const) {
  const op = ops[name];
  const better = (a: number, b: number) => (name === "max" ? a > b : a < b);
  const place = (v: number[]) =>
    v.reduce((best, e, i) => (!Number.isNaN(v[best]!) && (Number.isNaN(e) || better(e, v[best]!)) ? i : best), 0);
  checkOp(name, {
    run: ([x]) => op(x!),
    reference: ([x]) => reduce(x!, null, false, (v) => v[place(v)]!),
    cases: {
      scalar: { inputs: [normal()] },
      matrix: { inputs: [spread(3, 4)] },
      NaN: { inputs: [given([1, Number.NaN, 2])], grad: false },
      int64: { inputs: [ints(-9, 9, [7], "int64")], grad: false },
    },
    bench: { "all of 1M": { inputs: [normal(1 << 20)] } },
  });
  checkOp<[axis: number, options?: ReduceOptions]>(`${name} along an axis`, {
    run: ([x], ...args) => op(x!, ...args).values,
    reference: ([x], axis, { keepDims = false } = {}) => reduce(x!, [axis], keepDims, (v) => v[place(v)]!),
    cases: {
      scalar: { inputs: [normal()], args: [0] },
      rows: { inputs: [spread(3, 4)], args: [-1] },
      "middle, kept": { inputs: [spread(2, 4, 3)], args: [1, keep] },
      "NaN wins": { inputs: [given([1, Number.NaN, 3, 2], [2, 2])], args: [0], grad: false },
      uint8: { inputs: [ints(0, 9, [3, 4], "uint8")], args: [1], grad: false },
    },
    errors: {
      ...axisError(name, () => op(ones([2, 3]), 2)),
      "of nothing": [() => op(ones([2, 0]), 1), new RegExp(`arg${name}: expected at least one element to reduce`)],
    },
    bench: {
      "rows of 4096x1024": { inputs: [normal(4096, 1024)], args: [1] },
      "columns of 4096x1024": { inputs: [normal(4096, 1024)], args: [0] },
    },
  });
  checkOp<[axis: number, options?: ReduceOptions]>(`${name}: indices`, {
    run: ([x], ...args) => op(x!, ...args).indices,
    reference: ([x], axis, { keepDims = false } = {}) => reduce(x!, [axis], keepDims, place, "int32"),
    grad: false,
    cases: {
      "the first of equals": { inputs: [ints(0, 3, [3, 9], "float32")], args: [1] },
      "columns, kept": { inputs: [ints(0, 3, [9, 3], "float32")], args: [0, keep] },
    },
  });
  checkOp<Args>(`aminmax: ${name}`, {
    run: ([x], ...args) => ops.aminmax(x!, ...args)[name],
    reference: ([x], axes, { keepDims = false } = {}) => reduce(x!, list(axes), keepDims, (v) => v[place(v)]!),
    cases: axesCases(spread),
    bench: { "rows of 4096x1024": { inputs: [normal(4096, 1024)], args: [1] } },
  });
}

// ---- Norms

checkOp<[p?: number | "fro", axes?: Axes, options?: ReduceOptions]>("norm", {
  run: ([x], ...args) => ops.norm(x!, ...args),
  reference: ([x], p = 2, axes, { keepDims = false } = {}) =>
    reduce(x!, list(axes), keepDims, (v) => {
      const size = v.map(Math.abs);
      if (p === Number.POSITIVE_INFINITY) return Math.max(...size);
      if (p === Number.NEGATIVE_INFINITY) return Math.min(...size);
      if (p === 0) return size.filter((e) => e !== 0).length;
      const q = p === "fro" ? 2 : p;
      return sum(size.map((e) => e ** q)) ** (1 / q);
    }),
  bound: { rms: 16 },
  gradBound: { rms: 64 },
  isaRms: 16,
  isaGradRms: 64,
  cases: {
    "2 of all": { inputs: [normal(3, 4)] },
    fro: { inputs: [normal(3, 4)], args: ["fro", [0, 1], keep] },
    "1, rows": { inputs: [signed(0.1, 2, 3, 4)], args: [1, 1] },
    infinity: { inputs: [given([1, -5, 2, 0.5, -3, 4], [2, 3])], args: [Number.POSITIVE_INFINITY, 0] },
    "-infinity": { inputs: [signed(0.5, 2, 4)], args: [Number.NEGATIVE_INFINITY] },
    "3, kept": { inputs: [signed(0.1, 2, 3, 4)], args: [3, 1, keep] },
    half: { inputs: [signed(0.1, 2, 5)], args: [0.5] },
    "-1": { inputs: [signed(0.5, 2, 5)], args: [-1] },
    "0: how many": { inputs: [given([0, 2, 0, -1])], args: [0], grad: false },
    "3, with a zero": { inputs: [given([0, 2, -1])], args: [3] },
    "a row of zeros": { inputs: [given([0, 0, 3, 4], [2, 2])], args: [2, 1], grad: false },
    "of nothing": { inputs: [normal(0)] },
  },
  errors: {
    "p is a word": [() => ops.norm(ones([2]), "nuc" as never), /norm: expected p to be a number or "fro", got nuc/],
    "p is NaN": [() => ops.norm(ones([2]), Number.NaN), /norm: expected p to be a number or "fro", got NaN/],
    ...axisError("norm", () => ops.norm(ones([2, 3]), 2, 2)),
  },
  bench: {
    "2 of 1M": { inputs: [normal(1 << 20)] },
    "2, rows of 4096x1024": { inputs: [normal(4096, 1024)], args: [2, 1] },
    "3, rows of 4096x1024": { inputs: [normal(4096, 1024)], args: [3, 1] },
  },
});

checkOp<Args>("countNonzero", {
  run: ([x], ...args) => ops.countNonzero(x!, ...args),
  reference: ([x], axes, { keepDims = false } = {}) =>
    reduce(x!, list(axes), keepDims, (v) => v.filter((e) => e !== 0).length, "int64"),
  grad: false,
  cases: {
    ...axesCases((...s) => ints(0, 2, s)),
    bool: { inputs: [mask(9)] },
    "NaN is not 0": { inputs: [given([0, Number.NaN])] },
  },
  bench: { "rows of 4096x1024": { inputs: [ints(0, 2, [4096, 1024])], args: [1] } },
});

const logSum = (v: number[]) => {
  const m = Math.max(...v);
  return Number.isFinite(m) ? m + Math.log(sum(v.map((e) => Math.exp(e - m)))) : m;
};
checkOp<Args>("logsumexp", {
  run: ([x], ...args) => ops.logsumexp(x!, ...args),
  reference: ([x], axes, { keepDims = false } = {}) => reduce(x!, list(axes), keepDims, logSum),
  bound: { rms: 8 },
  gradBound: { rms: 32 },
  isaRms: 8,
  isaGradRms: 32,
  cases: {
    ...axesCases(normal),
    // exp(x - y) inherits the rounding of y near 1000.
    "far from 0": { inputs: [uniform(999, 1001, 3, 4)], args: [1], gradBound: { rms: 1000 } },
    infinities: {
      inputs: [given([Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY, 1, Number.POSITIVE_INFINITY], [2, 2])],
      args: [1],
      grad: false,
    },
    "with -infinity": { inputs: [given([Number.NEGATIVE_INFINITY, 2])], grad: false },
  },
  errors: axisError("logsumexp", () => ops.logsumexp(ones([2, 3]), 2)),
  bench: { "rows of 4096x1000": { inputs: [normal(4096, 1000)], args: [1] } },
});

// ---- Without NaN

const holes = given([1, Number.NaN, 3, Number.NaN, Number.NaN, 2], [2, 3]);
const numbers = (v: number[]) => v.filter((e) => !Number.isNaN(e));
for (const [name, f] of [
  ["nansum", (v: number[]) => sum(numbers(v))],
  ["nanmean", (v: number[]) => sum(numbers(v)) / numbers(v).length],
] as const) {
  checkOp<Args>(name, {
    run: ([x], ...args) => ops[name](x!, ...args),
    reference: ([x], axes, { keepDims = false } = {}) => reduce(x!, list(axes), keepDims, f),
    bound: { rms: 4 },
    isaRms: 4,
    cases: {
      ...axesCases((...s) => uniform(0.5, 1.5, ...s)),
      holes: { inputs: [holes], args: [1], grad: false },
      "nothing but NaN": { inputs: [given([Number.NaN, Number.NaN])], grad: false },
    },
    errors: axisError(name === "nansum" ? "sum" : name === "nanmean" ? "sum" : name, () => ops[name](ones([2, 3]), 2)),
    bench: { "rows of 4096x1024": { inputs: [normal(4096, 1024)], args: [1] } },
  });
}
test?.("NaN has gradient 0 where it is left out", () => {
  const x = tensor([1, Number.NaN, 3], { requiresGrad: true });
  expect(grad(ops.nansum(x), [x])[0]!.toArraySync()).toEqual([1, 0, 1]);
  expect(grad(ops.nanmean(x), [x])[0]!.toArraySync()).toEqual([0.5, 0, 0.5]);
});

// ---- Comparing

checkOp<[options?: ops.CloseOptions]>("isclose", {
  run: ([a, b], options) => ops.isclose(a!, b!, options),
  reference: ([a, b], { rtol = 1e-5, atol = 1e-8, equalNan = false } = {}) =>
    broadcast(
      (p, q) =>
        Number(
          p === q ||
            (Number.isFinite(p - q) && Math.abs(p - q) <= atol + rtol * Math.abs(q)) ||
            (equalNan && Number.isNaN(p) && Number.isNaN(q)),
        ),
      [a!, b!],
      "bool",
    ),
  grad: false,
  cases: {
    "near, far, infinite, NaN": {
      inputs: [
        given([1, 1, Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY, Number.NaN, 1e-9]),
        given([1.000001, 1.1, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN, 0]),
      ],
    },
    "NaN equals NaN": {
      inputs: [given([1, Number.NaN, Number.NaN]), given([1, Number.NaN, 1])],
      args: [{ equalNan: true }],
    },
    "wide, broadcast": { inputs: [uniform(0, 1, 3, 4), uniform(0, 1, 4)], args: [{ rtol: 0.5, atol: 0.1 }] },
    integers: { inputs: [ints(0, 4, [20], "int64"), ints(0, 4, [20])], args: [{ rtol: 0, atol: 1 }] },
  },
  errors: {
    "a negative tolerance": [
      () => ops.isclose(ones([1]), ones([1]), { atol: -1 }),
      /isclose: expected an rtol and an atol from 0 up, got 0.00001 and -1/,
    ],
  },
  bench: { "1M": { inputs: [normal(1 << 20), normal(1 << 20)] } },
});

test?.("allclose and arrayEqual answer for all elements", () => {
  const x = tensor([1, 2, 3]);
  expect(ops.allclose(x, x.add(1e-6)).itemSync()).toBe(1);
  expect(ops.allclose(x, x.add(1e-3)).itemSync()).toBe(0);
  expect(ops.arrayEqual(x, tensor([1, 2, 3])).itemSync()).toBe(1);
  expect(ops.arrayEqual(x, tensor([1, 2, 4])).itemSync()).toBe(0);
  expect(ops.arrayEqual(x, tensor([[1, 2, 3]])).itemSync()).toBe(0);
  expect(ops.arrayEqual(tensor([Number.NaN]), tensor([Number.NaN])).itemSync()).toBe(0);
  expect(ops.arrayEqual(zeros([0]), zeros([0])).itemSync()).toBe(1);
});

// ---- Medians and quantiles

const ascending = (v: number[]) => [...v].sort((a, b) => a - b);
const median = (v: number[]) => (v.length ? ascending(v)[(v.length - 1) >> 1]! : Number.NaN);
const ofAll = (v: number[]) => (v.some(Number.isNaN) ? Number.NaN : median(v));
for (const [name, f] of [
  ["median", ofAll],
  ["nanmedian", (v: number[]) => median(numbers(v))],
] as const) {
  checkOp<[axis?: number, options?: ReduceOptions]>(name, {
    run: ([x], axis, options) => (axis === undefined ? ops[name](x!) : ops[name](x!, axis, options).values),
    reference: ([x], axis, { keepDims = false } = {}) => reduce(x!, axis === undefined ? null : [axis], keepDims, f),
    cases: {
      scalar: { inputs: [normal()] },
      "scalar along an axis": { inputs: [normal()], args: [0] },
      "of all": { inputs: [spread(3, 4)] },
      "an odd number": { inputs: [spread(5)] },
      rows: { inputs: [spread(3, 4)], args: [1] },
      "columns, kept": { inputs: [spread(5, 3)], args: [0, keep] },
      holes: { inputs: [holes], args: [1], grad: false },
      "nothing but NaN": { inputs: [given([Number.NaN, Number.NaN])], grad: false },
      int32: { inputs: [ints(0, 9, [3, 5])], args: [1], grad: false },
    },
    errors: {
      ...axisError(name, () => ops[name](ones([2, 3]), 2)),
      "of nothing": [
        () => ops[name](ones([0])),
        new RegExp(`${name}: expected at least one element along the axis, got \\[0\\]`),
      ],
    },
    bench: { "of 1M": { inputs: [normal(1 << 20)] }, "rows of 256x4096": { inputs: [normal(256, 4096)], args: [1] } },
  });
}
test?.("the median's place is where it stands", () => {
  const { values, indices } = ops.median(tensor([[5, 1, 3, 2]]), 1);
  expect(values.toArraySync()).toEqual([2]);
  expect(indices.toArraySync()).toEqual([3]);
});

const mostFrequent = (v: number[]) => {
  const count = new Map<number, number>();
  for (const e of v) count.set(e, (count.get(e) ?? 0) + 1);
  return ascending([...count.keys()]).reduce((best, e) => (count.get(e)! > count.get(best)! ? e : best));
};
checkOp<[axis?: number, options?: ReduceOptions]>("mode", {
  run: ([x], ...args) => ops.mode(x!, ...args).values,
  reference: ([x], axis = -1, { keepDims = false } = {}) => reduce(x!, [axis], keepDims, mostFrequent),
  cases: {
    scalar: { inputs: [normal()] },
    "all different: the smallest": { inputs: [spread(2, 5)] },
    "some repeat": { inputs: [ints(0, 4, [5, 9], "float32")], args: [1], grad: false },
    "columns, kept": { inputs: [ints(0, 4, [9, 5])], args: [0, keep], grad: false },
  },
  errors: axisError("mode", () => ops.mode(ones([2, 3]), 2)),
  bench: { "rows of 256x4096": { inputs: [ints(0, 100, [256, 4096])] } },
});

const between = (v: number[], q: number, how = "linear") => {
  if (v.length === 0 || v.some(Number.isNaN)) return Number.NaN;
  const s = ascending(v);
  const rank = q * (v.length - 1);
  const [a, b] = [s[Math.floor(rank)]!, s[Math.ceil(rank)]!];
  const part = rank - Math.floor(rank);
  const even = Math.floor(rank) % 2 === 0 ? a : b;
  const nearest = part === 0.5 ? even : part < 0.5 ? a : b;
  return { linear: a + (b - a) * part, lower: a, higher: b, midpoint: (a + b) / 2, nearest }[how]!;
};
type Quantile = [q: number, axis?: number | null, options?: ops.QuantileOptions];
for (const name of ["quantile", "nanquantile"] as const) {
  checkOp<Quantile>(name, {
    run: ([x], ...args) => ops[name](x!, ...args),
    reference: ([x], q, axis = null, { keepDims = false, interpolation } = {}): Nd =>
      reduce(x!, axis === null ? null : [axis], keepDims, (v) =>
        between(name === "nanquantile" ? numbers(v) : v, q, interpolation),
      ),
    bound: { rms: 4 },
    isaRms: 4,
    cases: {
      scalar: { inputs: [normal()], args: [0.3] },
      "of all": { inputs: [spread(3, 4)], args: [0.3] },
      ends: { inputs: [spread(3, 4)], args: [1, 1] },
      "columns, kept": { inputs: [spread(5, 3)], args: [0.6, 0, keep] },
      lower: { inputs: [spread(6)], args: [0.5, 0, { interpolation: "lower" }] },
      higher: { inputs: [spread(6)], args: [0.5, 0, { interpolation: "higher" }] },
      "nearest, a tie": { inputs: [spread(6)], args: [0.5, 0, { interpolation: "nearest" }] },
      midpoint: { inputs: [spread(6)], args: [0.7, 0, { interpolation: "midpoint" }] },
      holes: { inputs: [holes], args: [0.25, 1], grad: false },
    },
    errors: {
      "q beyond 1": [() => ops[name](ones([2]), 1.5), new RegExp(`${name}: expected numbers q from 0 to 1, got 1.5`)],
      "an unknown interpolation": [
        () => ops[name](ones([2]), 0.5, 0, { interpolation: "cubic" as never }),
        new RegExp(`${name}: expected interpolation "linear", .*, got "cubic"`),
      ],
    },
    bench: { "rows of 256x4096": { inputs: [normal(256, 4096)], args: [0.9, 1] } },
  });
}
test?.("several quantiles have a leading dimension", () => {
  const x = tensor([
    [0, 1, 2],
    [3, 5, 7],
  ]);
  expect(ops.quantile(x, [0, 0.5], 1).toArraySync()).toEqual([
    [0, 3],
    [1, 5],
  ]);
  expect([...ops.quantile(x, [], 1).shape]).toEqual([0, 2]);
});
