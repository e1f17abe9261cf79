/** @file Functions of one tensor, against Math and, where it has none, series written out here. */
import * as ops from "napier";
import { ones, type Tensor, tensor } from "napier";
import { expect, test } from "../check.js";
import { SPECIAL, signed, uniform } from "../nd.js";
import { anywhere, checkUnary, EXACT, erf, notZero, positive, type Row, sigmoid, softplus } from "../unary.js";

function roundEven(x: number): number {
  const below = Math.floor(x);
  if (x - below !== 0.5) return Math.round(x);
  return below % 2 === 0 ? below : below + 1;
}

/** 1 + erf(x) cancels far below 0: few bits are left of a value that is small itself. */
const CANCELS = { bound: { rms: 2 }, special: SPECIAL.filter((x) => Math.abs(x) < 1e38 || Number.isNaN(x)) };
const ROWS: Record<string, Row> = {
  neg: { f: (x) => -x, from: anywhere, ...EXACT },
  abs: { f: Math.abs, from: notZero, ...EXACT },
  square: { f: (x) => x * x, from: anywhere, ulp: 1, isaRms: 0 },
  reciprocal: { f: (x) => 1 / x, from: notZero, ulp: 1, isaRms: 0 },
  sqrt: { f: Math.sqrt, from: positive, ulp: 1, isaRms: 0 },
  rsqrt: { f: (x) => 1 / Math.sqrt(x), from: positive, ulp: 2, isaRms: 0 },
  exp: { f: Math.exp, from: anywhere },
  expm1: { f: Math.expm1, from: anywhere },
  log: { f: Math.log, from: positive },
  log1p: { f: Math.log1p, from: (...s) => uniform(-0.9, 4, ...s) },
  sin: {
    f: Math.sin,
    from: anywhere,
    special: [0, -0, 1, Math.PI, 1e4, -1e4, 1e6, Number.NaN, Number.POSITIVE_INFINITY, 1e-40],
  },
  cos: {
    f: Math.cos,
    from: anywhere,
    special: [0, -0, 1, Math.PI, 1e4, -1e4, 1e6, Number.NaN, Number.POSITIVE_INFINITY, 1e-40],
  },
  tanh: { f: Math.tanh, from: anywhere },
  sigmoid: { f: sigmoid, from: anywhere },
  erf: { f: erf, from: anywhere, bound64: { ulp: 6 } },
  relu: { f: (x) => (Number.isNaN(x) ? x : Math.max(x, 0)), from: notZero, ...EXACT },
  silu: { f: (x) => (x === Number.NEGATIVE_INFINITY ? Number.NaN : x * sigmoid(x)), from: anywhere },
  softplus: { f: softplus, from: anywhere },
  gelu: { f: (x) => x * 0.5 * (1 + erf(x * Math.SQRT1_2)), from: anywhere, ...CANCELS },
  sign: { f: (x) => (Number.isNaN(x) ? 0 : Math.sign(x)), from: notZero, ...EXACT },
  floor: { f: Math.floor, from: (...s) => signed(0.1, 0.9, ...s), ...EXACT },
  ceil: { f: Math.ceil, from: (...s) => signed(0.1, 0.9, ...s), ...EXACT },
  trunc: { f: Math.trunc, from: (...s) => signed(0.1, 0.9, ...s), ...EXACT },
  round: {
    f: roundEven,
    from: (...s) => signed(0.6, 1.4, ...s),
    ...EXACT,
    special: [...SPECIAL, 1.5, 2.5, -1.5, -2.5, 3.5],
  },
  "powScalar 3": { f: (x) => x ** 3, run: (x) => ops.powScalar(x, 3), from: notZero },
  "powScalar 0.5": { f: (x) => x ** 0.5, run: (x) => ops.powScalar(x, 0.5), from: positive },
  "powScalar -1.5": { f: (x) => x ** -1.5, run: (x) => ops.powScalar(x, -1.5), from: positive },
  "powScalar 0": { f: () => 1, run: (x) => ops.powScalar(x, 0), from: anywhere },
  leakyRelu: { f: (x) => (x > 0 ? x : 0.01 * x), from: notZero, isaRms: 0 },
  "leakyRelu 0.25": { f: (x) => (x > 0 ? x : 0.25 * x), run: (x) => ops.leakyRelu(x, 0.25), from: notZero, ...EXACT },
  elu: { f: (x) => (x > 0 ? x : Math.expm1(x)), from: notZero },
  "elu 0.5": { f: (x) => (x > 0 ? x : 0.5 * Math.expm1(x)), run: (x) => ops.elu(x, 0.5), from: notZero },
  "clamp -0.5 1": {
    f: (x) => (Number.isNaN(x) ? x : Math.min(Math.max(x, -0.5), 1)),
    run: (x) => ops.clamp(x, -0.5, 1),
    from: notZero,
    ...EXACT,
  },
  "clamp above 0": {
    f: (x) => (Number.isNaN(x) ? x : Math.max(x, 0)),
    run: (x) => ops.clamp(x, 0),
    from: notZero,
    ...EXACT,
  },
  "gelu tanh": {
    f: (x) => x * sigmoid(2 * Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)),
    run: (x) => ops.gelu(x, { approximate: "tanh" }),
    from: anywhere,
    ...CANCELS,
  },
};

checkUnary(ROWS);

test("integers and bools are computed as float32", () => {
  for (const dtype of ["int32", "int64", "uint8", "int8", "bool"] as const) {
    const y = ops.exp(tensor([0, 1, 2], { dtype }));
    expect(y.dtype).toBe("float32");
    expect(y.toArraySync()).toEqual([
      1,
      Math.fround(Math.E),
      dtype === "bool" ? Math.fround(Math.E) : Math.fround(Math.E ** 2),
    ]);
  }
});

test("errors name the op, the dtype and the remedy", () => {
  expect(() => ops.exp(ones([2], { dtype: "bfloat16" }))).toThrow(
    /exp: bfloat16 is for storage only; convert it first with \.to\("float32"\)/,
  );
  expect(() => ops.leakyRelu(ones([2]), "0.1" as never)).toThrow(/leakyRelu: expected a number, got string/);
  expect(() => ops.powScalar(ones([2]), undefined as never)).toThrow(/powScalar: expected a number, got undefined/);
  const freed = ones([2]);
  freed.free();
  expect(() => ops.tanh(freed)).toThrow(/tanh: this tensor was freed/);
});

test("gradients at kinks are PyTorch's", () => {
  const at = (f: (x: Tensor) => Tensor, values: number[]) => {
    const x = tensor(values, { requiresGrad: true });
    f(x).sum().backward();
    return x.grad!.toArraySync();
  };
  expect(at(ops.relu, [0, -0])).toEqual([0, 0]);
  expect(at(ops.abs, [0])).toEqual([0]);
  expect(at((x) => ops.leakyRelu(x, 0.5), [0])).toEqual([0.5]);
  expect(at((x) => ops.elu(x, 0.5), [0])).toEqual([0.5]);
  expect(at((x) => ops.clamp(x, -1, 1), [-2, -1, 0, 1, 2])).toEqual([0, 1, 1, 1, 0]);
  expect(at(ops.round, [0.3, 1.5])).toEqual([0, 0]);
});
