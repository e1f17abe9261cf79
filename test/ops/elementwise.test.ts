/** @file Functions of one tensor, against Math and, where it has none, series written out here. */
import * as ops from "napier";
import { ones, type Tensor, tensor } from "napier";
import { type Bound, type Case, checkOp, expect, test } from "../check.js";
import { given, type Input, map, normal, SPECIAL, signed, uniform } from "../nd.js";

/** Taylor's series below 1, Legendre's continued fraction of erfc above. */
function erf(x: number): number {
  if (Number.isNaN(x)) return x;
  const a = Math.abs(x);
  if (a > 6) return Math.sign(x);
  if (a < 1) {
    let term = x;
    let sum = x;
    for (let n = 1; n < 100; n++) {
      term *= (-x * x) / n;
      sum += term / (2 * n + 1);
    }
    return (2 / Math.sqrt(Math.PI)) * sum;
  }
  let fraction = 0;
  for (let n = 600; n > 0; n--) fraction = n / 2 / (a + fraction);
  return Math.sign(x) * (1 - Math.exp(-a * a) / ((a + fraction) * Math.sqrt(Math.PI)));
}
const sigmoid = (x: number) => (x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x)));
const softplus = (x: number) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
function roundEven(x: number): number {
  const below = Math.floor(x);
  if (x - below !== 0.5) return Math.round(x);
  return below % 2 === 0 ? below : below + 1;
}

/** A row: the op, its function, where its inputs lie, and what is special. */
interface Row {
  f: (x: number) => number;
  run?: (x: Tensor) => Tensor;
  /** Inputs where it is smooth. */
  from: (...shape: number[]) => Input;
  /** Values at the borders; default SPECIAL. */
  special?: number[];
  ulp?: number;
  bound?: Bound;
  /** Where the reference itself is less exact. */
  bound64?: Bound;
  isaRms?: number;
  gradBound?: Bound;
}

const anywhere = (...shape: number[]): Input => normal(...shape);
const positive = (...shape: number[]): Input => uniform(0.2, 4, ...shape);
const notZero = (...shape: number[]): Input => signed(0.2, 3, ...shape);
/** 1 + erf(x) cancels far below 0: few bits are left of a value that is small itself. */
const CANCELS = { bound: { rms: 2 }, special: SPECIAL.filter((x) => Math.abs(x) < 1e38 || Number.isNaN(x)) };
const EXACT = { ulp: 0, isaRms: 0 };

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

for (const [name, row] of Object.entries(ROWS)) {
  const { f, from, special = SPECIAL, ulp = 3, isaRms = 4, gradBound } = row;
  const run = row.run ?? (ops as unknown as Record<string, (x: Tensor) => Tensor>)[name]!;
  checkOp(name, {
    run: ([x]) => run(x!),
    reference: ([x]) => map(x!, f),
    bound: row.bound ?? { ulp },
    ...(row.bound64 && { bound64: row.bound64 }),
    isaRms,
    gradBound: gradBound ?? { rms: 8 },
    cases: {
      scalar: { inputs: [from()] },
      "1x1": { inputs: [from(1, 1)] },
      "odd length": { inputs: [from(37)] },
      "three dimensions": { inputs: [from(2, 3, 5)] },
      empty: { inputs: [from(0, 3)] },
      "long enough to be split": { inputs: [from(70_001)] },
      "special values": { inputs: [given(special)], grad: false },
    } satisfies Record<string, Case<[]>>,
    bench: { "1M": { inputs: [from(1 << 20)] } },
  });
}

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
