/** @file Activations, against their formulas; kinks as in PyTorch. */
import * as ops from "napier";
import { Generator, ones, type Tensor, tensor } from "napier";
import { checkOp, expect, test, valuesOf } from "../check.js";
import { at, build, map, normal, SPECIAL, signed } from "../nd.js";
import { anywhere, checkUnary, EXACT, notZero, type Row, sigmoid, softplus } from "../unary.js";

const clip = (x: number, low: number, high: number) => (Number.isNaN(x) ? x : Math.min(Math.max(x, low), high));
const mild = SPECIAL.filter((x) => !(Math.abs(x) > 1e30));
const selu = (x: number) => 1.0507009873554805 * (x > 0 ? x : 1.6732632423543772 * Math.expm1(x));

const ROWS: Record<string, Row> = {
  relu6: { f: (x) => clip(x, 0, 6), from: notZero, ...EXACT, special: [...SPECIAL, 6, 7] },
  hardtanh: { f: (x) => clip(x, -1, 1), from: (...s) => signed(0.1, 0.9, ...s), ...EXACT },
  "hardtanh -2 3": {
    f: (x) => clip(x, -2, 3),
    run: (x) => ops.hardtanh(x, -2, 3),
    from: (...s) => signed(3.1, 5, ...s),
    ...EXACT,
    errors: {
      "ends exchanged": [() => ops.hardtanh(ones([1]), 1, -1), /hardtanh: expected low <= high, got 1 and -1/],
    },
  },
  hardsigmoid: { f: (x) => clip(x + 3, 0, 6) / 6, from: anywhere, ulp: 2, special: [...mild, 3, -3, 4, -4] },
  hardswish: { f: (x) => (x * clip(x + 3, 0, 6)) / 6, from: anywhere, ulp: 2, special: [...mild, 3, -3, 4, -4] },
  selu: { f: selu, from: notZero },
  celu: { f: (x) => (x > 0 ? x : Math.expm1(x)), from: notZero },
  "celu 0.5": {
    f: (x) => (x > 0 ? x : 0.5 * Math.expm1(x / 0.5)),
    run: (x) => ops.celu(x, 0.5),
    from: notZero,
    errors: { "alpha 0": [() => ops.celu(ones([1]), 0), /celu: expected an alpha that is not 0, got 0/] },
  },
  mish: { f: (x) => x * Math.tanh(softplus(x)), from: anywhere, ulp: 6, special: mild, gradBound: { rms: 32 } },
  logSigmoid: { f: (x) => -softplus(-x), from: anywhere },
  softsign: { f: (x) => x / (1 + Math.abs(x)), from: anywhere, special: mild, ulp: 2 },
  // Near 0 the two terms cancel, as in PyTorch.
  tanhshrink: {
    f: (x) => x - Math.tanh(x),
    from: (...s) => signed(0.5, 3, ...s),
    bound: { rms: 8 },
    gradBound: { rms: 16 },
  },
  hardshrink: { f: (x) => (Math.abs(x) <= 0.5 ? 0 : x), from: (...s) => signed(0.1, 0.4, ...s), ...EXACT },
  "hardshrink 1": {
    f: (x) => (Math.abs(x) <= 1 ? 0 : x),
    run: (x) => ops.hardshrink(x, 1),
    from: (...s) => signed(1.1, 3, ...s),
    ...EXACT,
  },
  softshrink: {
    f: (x) => (x > 0.5 ? x - 0.5 : x < -0.5 ? x + 0.5 : x - x),
    from: (...s) => signed(0.6, 3, ...s),
    ...EXACT,
    ulp: 1,
    errors: {
      "a negative lambda": [() => ops.softshrink(ones([1]), -1), /softshrink: expected a lambda from 0 up, got -1/],
    },
  },
  threshold: {
    f: (x) => (x <= 0.25 ? -7 : x),
    run: (x) => ops.threshold(x, 0.25, -7),
    from: (...s) => signed(0.3, 3, ...s),
    ...EXACT,
    errors: {
      "no value": [
        () => ops.threshold(ones([1]), 0, undefined as never),
        /threshold: expected a number, got undefined/,
      ],
    },
  },
  "softplus beta 3": {
    f: (x) => softplus(3 * x) / 3,
    run: (x) => ops.softplus(x, { beta: 3 }),
    from: anywhere,
    ulp: 6,
    special: mild,
    errors: { "beta 0": [() => ops.softplus(ones([1]), { beta: 0 }), /softplus: expected a beta above 0, got 0/] },
  },
  "rrelu, eval": {
    f: (x) => (x >= 0 ? x : (x * (1 / 8 + 1 / 3)) / 2),
    run: (x) => ops.rrelu(x),
    from: notZero,
    ulp: 2,
  },
  "rrelu, training": {
    f: (x) => (x >= 0 ? x : 0.25 * x),
    run: (x) => ops.rrelu(x, { lower: 0.25, upper: 0.25, training: true }),
    from: notZero,
    ulp: 1,
  },
};
checkUnary(ROWS, { long: 33_001 });

checkOp("prelu", {
  run: ([x, w]) => ops.prelu(x!, w!),
  reference: ([x, w]) =>
    build(x!.shape, (index) => {
      const v = at(x!, index);
      return v > 0 ? v : v * w!.data[w!.data.length === 1 ? 0 : index[Math.min(1, index.length - 1)]!]!;
    }),
  bound: { ulp: 1 },
  cases: {
    "one weight": { inputs: [signed(0.3, 3, 2, 3, 4), normal(1)] },
    "a weight a channel": { inputs: [signed(0.3, 3, 2, 3, 4, 5), normal(3)] },
    "a vector": { inputs: [signed(0.3, 3, 5), normal(5)] },
    empty: { inputs: [normal(0, 3), normal(3)] },
  },
  errors: {
    "weights of another count": [
      () => ops.prelu(ones([2, 3, 4]), ones([4])),
      /prelu: expected a weight of 1 or 3 elements for \[2,3,4\], got \[4\]/,
    ],
  },
  bench: { "32x64x28x28": { inputs: [normal(32, 64, 28, 28), normal(64)] } },
});

checkOp<[axis?: number]>("glu", {
  run: ([x], axis) => ops.glu(x!, axis),
  reference: ([x], axis = -1) => {
    const d = axis < 0 ? axis + x!.shape.length : axis;
    const shape = x!.shape.map((e, i) => (i === d ? e / 2 : e));
    return build(shape, (index) => {
      const other = index.map((v, i) => (i === d ? v + shape[d]! : v));
      return at(x!, index) * sigmoid(at(x!, other));
    });
  },
  bound: { ulp: 4 },
  isaRms: 4,
  cases: {
    last: { inputs: [normal(3, 4)] },
    "in the middle": { inputs: [normal(2, 6, 3)], args: [1] },
    first: { inputs: [normal(2, 3)], args: [0] },
    empty: { inputs: [normal(0, 4)] },
  },
  errors: { "an odd extent": [() => ops.glu(ones([2, 3])), /glu: expected an even extent at axis 1, got \[2,3\]/] },
  bench: { "64x128x512": { inputs: [normal(64, 128, 512)] } },
});

checkOp<[axis?: number]>("softmin", {
  run: ([x], axis) => ops.softmin(x!, axis),
  reference: ([x], axis = -1) => {
    const d = axis < 0 ? axis + x!.shape.length : axis;
    const e = map(x!, (v) => Math.exp(-v));
    return build(x!.shape, (index) => {
      let sum = 0;
      for (let i = 0; i < x!.shape[d]!; i++)
        sum += at(
          e,
          index.map((v, j) => (j === d ? i : v)),
        );
      return at(e, index) / sum;
    });
  },
  bound: { ulp: 8 },
  isaRms: 8,
  cases: { last: { inputs: [normal(3, 4)] }, first: { inputs: [normal(5, 3)], args: [0] } },
  errors: { "no such axis": [() => ops.softmin(ones([2]), 1), /softmin: expected an axis from -1 to 0, got 1/] },
  bench: { "4096x64": { inputs: [normal(4096, 64)] } },
});

test("gradients at kinks are PyTorch's", () => {
  const grad = (f: (x: Tensor) => Tensor, values: number[]) => {
    const x = tensor(values, { requiresGrad: true });
    f(x).sum().backward();
    return x.grad!.toArraySync();
  };
  expect(grad(ops.relu6, [0, 3, 6])).toEqual([0, 1, 0]);
  expect(grad(ops.hardsigmoid, [-3, 3])).toEqual([0, 0]);
  expect(grad(ops.hardswish, [-3, 3])).toEqual([-0.5, 1.5]);
  expect(grad((x) => ops.hardshrink(x, 1), [-1, 1, 0, 2])).toEqual([0, 0, 0, 1]);
  expect(grad((x) => ops.softshrink(x, 1), [-1, 1, 0, 2])).toEqual([0, 0, 0, 1]);
  expect(grad((x) => ops.threshold(x, 1, 5), [1, 2])).toEqual([0, 1]);
});

test("rrelu draws one slope an element, the same in a repeated run", () => {
  const run = () =>
    valuesOf(ops.rrelu(ones([1000]).mul(-1), { lower: 0.1, upper: 0.3, training: true, generator: new Generator(7) }));
  const slopes = run().map((v) => -v);
  expect(Math.min(...slopes)).toBeGreaterThanOrEqual(Math.fround(0.1));
  expect(Math.max(...slopes)).toBeLessThan(0.3);
  expect(new Set(slopes).size).toBeGreaterThan(950);
  expect(slopes.reduce((a, b) => a + b) / 1000).toBeCloseTo(0.2, 2);
  expect(run().map((v) => -v)).toEqual(slopes);
  expect(() => ops.rrelu(ones([1]), { lower: 1, upper: 0 })).toThrow(/rrelu: expected lower <= upper, got 1 and 0/);
  expect(valuesOf(ops.rrelu(ones([2]), { training: true }))).toEqual([1, 1]);
});
