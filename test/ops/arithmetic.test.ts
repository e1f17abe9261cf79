/** @file Functions of two tensors: broadcasting, promotion, comparisons, logic. */
import * as ops from "napier";
import { add, div, mul, ones, pow, sub, type Tensor, tensor, where, zeros } from "napier";
import { type Bound, type Case, checkOp, describe, expect, test } from "../check.js";
import { apart, broadcast, given, type Input, ints, map, mask, normal, SPECIAL, signed, uniform } from "../nd.js";

type Cases = Record<string, Case<[]>>;
type Maker = (...shape: number[]) => Input;
const anywhere: Maker = normal;
const notZero: Maker = (...shape) => signed(0.3, 3, ...shape);
const positive: Maker = (...shape) => uniform(0.3, 3, ...shape);

/** Shapes that broadcast in every way, with inputs from `a` and `b`. */
const shapes = (a: Maker, b: Maker): Cases => ({
  "two scalars": { inputs: [a(), b()] },
  "1x1": { inputs: [a(1, 1), b(1, 1)] },
  "same shape, odd": { inputs: [a(3, 7), b(3, 7)] },
  "row repeated": { inputs: [a(4, 5), b(5)] },
  "column repeated": { inputs: [a(4, 5), b(4, 1)] },
  "column and row": { inputs: [a(4, 1), b(1, 5)] },
  "scalar on the left": { inputs: [a(), b(2, 3)] },
  "scalar on the right": { inputs: [a(2, 3), b()] },
  "a channel": { inputs: [a(2, 3, 4, 5), b(3, 1, 1)] },
  "in the middle": { inputs: [a(2, 1, 3, 1, 2), b(1, 4, 3, 5, 2)] },
  "more dimensions on the right": { inputs: [a(3), b(2, 2, 3)] },
  empty: { inputs: [a(0, 3), b(3)] },
  "empty by broadcasting": { inputs: [a(2, 1), b(1, 0)] },
  "long enough to be split": { inputs: [a(70_001), b(70_001)] },
  "long rows repeated": { inputs: [a(65, 1030), b(1030)] },
  "long columns repeated": { inputs: [a(65, 1030), b(65, 1)] },
});

/** Every pair of the special values. */
const pairs = (values: number[]): Input[] => [given(values, [values.length, 1]), given(values)];

interface Row {
  f: (a: number, b: number) => number;
  a: Maker;
  b: Maker;
  bound?: Bound;
  isaRms?: number;
  special?: number[];
}
const ROWS: Record<string, Row> = {
  add: { f: (a, b) => a + b, a: anywhere, b: anywhere, bound: { ulp: 1 }, special: SPECIAL },
  sub: { f: (a, b) => a - b, a: anywhere, b: anywhere, bound: { ulp: 1 }, special: SPECIAL },
  mul: { f: (a, b) => a * b, a: anywhere, b: anywhere, bound: { ulp: 1 }, special: SPECIAL },
  div: { f: (a, b) => a / b, a: anywhere, b: notZero, bound: { ulp: 1 }, special: SPECIAL },
  // A NaN wins, as in Math.max.
  maximum: { f: Math.max, a: (...s) => uniform(0, 1, ...s), b: (...s) => signed(1.1, 2, ...s), special: SPECIAL },
  minimum: { f: Math.min, a: (...s) => uniform(0, 1, ...s), b: (...s) => signed(1.1, 2, ...s), special: SPECIAL },
  // C's pow, which JavaScript's ** leaves at 1 to NaN or infinity.
  pow: {
    f: (a, b) => (a === 1 || (a === -1 && Math.abs(b) === Number.POSITIVE_INFINITY) ? 1 : a ** b),
    a: positive,
    b: anywhere,
    bound: { ulp: 4 },
    isaRms: 4,
    special: [
      0,
      -0,
      1,
      -1,
      2,
      -2,
      3,
      0.5,
      -0.5,
      Number.NaN,
      Number.POSITIVE_INFINITY,
      Number.NEGATIVE_INFINITY,
      100,
      -100,
    ],
  },
  atan2: {
    f: Math.atan2,
    a: notZero,
    b: notZero,
    bound: { ulp: 4 },
    isaRms: 4,
    special: [0, -0, 1, -1, 1e-8, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 1e30, -1e30],
  },
};

for (const [name, { f, a, b, bound = { ulp: 0 }, isaRms = 0, special }] of Object.entries(ROWS)) {
  const op = (ops as unknown as Record<string, (a: Tensor, b: Tensor) => Tensor>)[name]!;
  checkOp(name, {
    run: ([a, b]) => op(a!, b!),
    reference: ([a, b]) => broadcast(f, [a!, b!]),
    bound,
    isaRms,
    // Sums over what was repeated.
    gradBound: { rms: 16 },
    cases: { ...shapes(a, b), ...(special && { "special values": { inputs: pairs(special), grad: false } }) },
    errors: {
      "shapes that do not broadcast": [
        () => op(ones([2, 3]), ones([4, 3])),
        new RegExp(`${name}: expected shapes that broadcast, got \\[2,3\\] and \\[4,3\\] \\(dimension 0: 2 and 4\\)`),
      ],
      "two numbers": [
        () => op(1 as never, 2 as never),
        new RegExp(`${name}: expected at least one tensor, got two numbers`),
      ],
      "a string": [() => op(ones([2]), "2" as never), new RegExp(`${name}: expected tensors or numbers, got string`)],
      "half precision": [
        () => op(ones([2], { dtype: "float16" }), ones([2], { dtype: "float16" })),
        new RegExp(`${name}: float16 is for storage only; convert it first with \\.to\\("float32"\\)`),
      ],
    },
    bench: {
      "same shape 1M": { inputs: [a(1 << 20), b(1 << 20)] },
      "channel 32x64x28x28": { inputs: [a(32, 64, 28, 28), b(64, 1, 1)] },
    },
  });
}

// ---- A number beside a tensor

for (const [name, f] of Object.entries({
  add: (a: number, b: number) => a + b,
  sub: (a: number, b: number) => a - b,
  mul: (a: number, b: number) => a * b,
  div: (a: number, b: number) => a / b,
})) {
  const op = (ops as unknown as Record<string, (a: Tensor | number, b: Tensor | number) => Tensor>)[name]!;
  checkOp(`${name} of a number`, {
    run: ([x], alpha: number, left: boolean) => (left ? op(alpha, x!) : op(x!, alpha)),
    reference: ([x], alpha, left) =>
      map(x!, (v) => (left ? f(alpha, v) : f(v, alpha)), name === "div" && x!.dtype === "int32" ? "float32" : x!.dtype),
    bound: { ulp: 1 },
    cases: {
      "on the right": { inputs: [notZero(3, 5)], args: [1.5, false] },
      "on the left": { inputs: [notZero(3, 5)], args: [1.5, true] },
      scalar: { inputs: [notZero()], args: [-2, true] },
      empty: { inputs: [notZero(0)], args: [2, false] },
      "long enough to be split": { inputs: [notZero(70_001)], args: [0.75, false] },
      integers: { inputs: [ints(1, 50, [7])], args: [3, true], grad: false },
    } satisfies Record<string, Case<[number, boolean]>>,
  });
}

// ---- Integers

const wrap = (bits: number, signed: boolean) => (v: bigint) =>
  Number(signed ? BigInt.asIntN(bits, v) : BigInt.asUintN(bits, v));
for (const [dtype, bits, signed, low, high] of [
  ["int32", 32, true, -(2 ** 31), 2 ** 31],
  ["int64", 64, true, -(2 ** 40), 2 ** 40],
  ["uint8", 8, false, 0, 256],
  ["int8", 8, true, -128, 128],
] as const) {
  const inputs = [ints(low, high, [4, 33], dtype), ints(low, high, [33], dtype)];
  const arithmetic = {
    add: (a: bigint, b: bigint) => a + b,
    sub: (a: bigint, b: bigint) => a - b,
    mul: (a: bigint, b: bigint) => a * b,
  };
  for (const [name, f] of Object.entries(arithmetic)) {
    // A product of int64 is no number that JavaScript holds exactly: smaller factors there.
    const small =
      dtype === "int64" && name === "mul"
        ? [ints(-1000, 1000, [4, 33], dtype), ints(-1000, 1000, [33], dtype)]
        : inputs;
    checkOp(`${name} of ${dtype} wraps around`, {
      run: ([a, b]) => (ops as unknown as Record<string, (a: Tensor, b: Tensor) => Tensor>)[name]!(a!, b!),
      reference: ([a, b]) => broadcast((p, q) => wrap(bits, signed)(f(BigInt(p), BigInt(q))), [a!, b!], dtype),
      grad: false,
      cases: { broadcast: { inputs: small, dtypes: ["float32"] } },
    });
  }
  for (const [name, f] of Object.entries({ maximum: Math.max, minimum: Math.min })) {
    checkOp(`${name} of ${dtype}`, {
      run: ([a, b]) => (name === "maximum" ? ops.maximum(a!, b!) : ops.minimum(a!, b!)),
      reference: ([a, b]) => broadcast(f, [a!, b!], dtype),
      grad: false,
      cases: { broadcast: { inputs, dtypes: ["float32"] } },
    });
  }
}

// ---- Comparisons

for (const [name, f] of Object.entries({
  equal: (a: number, b: number) => a === b,
  notEqual: (a: number, b: number) => a !== b,
  less: (a: number, b: number) => a < b,
  lessEqual: (a: number, b: number) => a <= b,
  greater: (a: number, b: number) => a > b,
  greaterEqual: (a: number, b: number) => a >= b,
})) {
  const op = (ops as unknown as Record<string, (a: Tensor | number, b: Tensor | number) => Tensor>)[name]!;
  checkOp(name, {
    run: ([a, b]) => op(a!, b!),
    reference: ([a, b]) => broadcast((p, q) => Number(f(p, q)), [a!, b!], "bool"),
    grad: false,
    cases: {
      ...shapes(
        (...s) => ints(-2, 3, s, "float32"),
        (...s) => ints(-2, 3, s, "float32"),
      ),
      "special values": { inputs: pairs(SPECIAL) },
      int32: { inputs: [ints(-3, 3, [5, 7]), ints(-3, 3, [7])] },
      int64: { inputs: [ints(-3, 3, [5, 7], "int64"), ints(-3, 3, [7], "int64")] },
      uint8: { inputs: [ints(0, 4, [5, 7], "uint8"), ints(0, 4, [7], "uint8")] },
      int8: { inputs: [ints(-3, 3, [5, 7], "int8"), ints(-3, 3, [7], "int8")] },
      bool: { inputs: [mask(5, 7), mask(7)] },
    } satisfies Cases,
    bench: { "64x64x32x32": { inputs: [normal(64, 64, 32, 32), normal(64, 64, 32, 32)] } },
  });
  test(`${name} with a number on either side`, () => {
    const x = tensor([1, 2, 3]);
    expect(op(x, 2).toArraySync()).toEqual([1, 2, 3].map((v) => Number(f(v, 2))));
    expect(op(2, x).toArraySync()).toEqual([1, 2, 3].map((v) => Number(f(2, v))));
  });
}

// ---- Logic

for (const [name, f] of Object.entries({
  logicalAnd: (a: number, b: number) => a !== 0 && b !== 0,
  logicalOr: (a: number, b: number) => a !== 0 || b !== 0,
  logicalXor: (a: number, b: number) => (a !== 0) !== (b !== 0),
})) {
  const op = (ops as unknown as Record<string, (a: Tensor, b: Tensor) => Tensor>)[name]!;
  checkOp(name, {
    run: ([a, b]) => op(a!, b!),
    reference: ([a, b]) => broadcast((p, q) => Number(f(p, q)), [a!, b!], "bool"),
    grad: false,
    cases: {
      ...shapes(mask, mask),
      "of numbers: what is not 0": { inputs: [given([0, -0, 1, -2, Number.NaN], [5, 1]), given([0, 0.5, Number.NaN])] },
    } satisfies Cases,
    bench: { "64x64x32x32": { inputs: [mask(64, 64, 32, 32), mask(64, 64, 32, 32)] } },
  });
}
checkOp("logicalNot", {
  run: ([x]) => ops.logicalNot(x!),
  reference: ([x]) => map(x!, (v) => Number(v === 0), "bool"),
  grad: false,
  cases: {
    scalar: { inputs: [mask()] },
    bool: { inputs: [mask(3, 7)] },
    float: { inputs: [given([0, 1, Number.NaN])] },
    empty: { inputs: [mask(0)] },
    "long enough to be split": { inputs: [mask(300_001)] },
  },
  bench: { "64x64x32x32": { inputs: [mask(64, 64, 32, 32)] } },
});

checkOp("where", {
  run: ([c, a, b]) => where(c!, a!, b!),
  reference: ([c, a, b]) => broadcast((c, p, q) => (c !== 0 ? p : q), [c!, a!, b!], a!.dtype),
  cases: {
    scalars: { inputs: [mask(), normal(), normal()] },
    "same shape": { inputs: [mask(3, 7), normal(3, 7), normal(3, 7)] },
    "condition repeated": { inputs: [mask(3, 1), normal(3, 7), normal(3, 7)] },
    "values repeated": { inputs: [mask(2, 3, 4), normal(3, 1), normal(4)] },
    "condition has more dimensions": { inputs: [mask(2, 3), normal(), normal(3)] },
    empty: { inputs: [mask(0, 2), normal(2), normal(2)] },
    "NaN is not touched": {
      inputs: [given([1, 0], [2], "bool"), given([1, Number.NaN]), given([Number.NaN, 2])],
      grad: false,
    },
    int64: { inputs: [mask(7), ints(-9, 9, [7], "int64"), ints(-9, 9, [7], "int64")], grad: false },
    uint8: { inputs: [mask(7), ints(0, 9, [7], "uint8"), ints(0, 9, [7], "uint8")], grad: false },
    "long enough to be split": { inputs: [mask(70_001), normal(70_001), normal(70_001)] },
    "eight dimensions that do not merge": {
      inputs: [mask(2, 1, 2, 1, 2, 1, 2, 1), normal(1, 2, 1, 2, 1, 2, 1, 2), normal(2)],
    },
  } satisfies Cases,
  errors: {
    "shapes that do not broadcast": [
      () => where(ones([2]), ones([3]), ones([3])),
      /where: expected shapes that broadcast, got \[2\] and \[3\]/,
    ],
    "no tensor and no number": [
      () => where(ones([2]), "1" as never, 2),
      /where: expected tensors or numbers, got string/,
    ],
  },
  bench: {
    "same shape 1M": { inputs: [mask(1 << 20), normal(1 << 20), normal(1 << 20)] },
    "attention mask 8x8x256x256": { inputs: [mask(256, 256), normal(8, 8, 256, 256), normal()] },
  },
});

test("where of two numbers is float32, of the condition's shape and without a gradient", () => {
  const y = where(tensor([[1, 0, 3]]).greater(0), 1, -1);
  expect([y.dtype, y.shape, y.requiresGrad]).toEqual(["float32", [1, 3], false]);
  expect(y.toArraySync()).toEqual([[1, -1, 1]]);
});

describe("promotion is PyTorch's", () => {
  const of = (dtype: ops.DType) => ones([2], { dtype });
  test.each([
    ["bool", "bool", "int32"],
    ["bool", "uint8", "uint8"],
    ["uint8", "int8", "int32"],
    ["int32", "int64", "int64"],
    ["int64", "float32", "float32"],
    ["float32", "float64", "float64"],
    ["bool", "float64", "float64"],
  ] as const)("%s + %s is %s", (a, b, c) => {
    expect(add(of(a), of(b)).dtype).toBe(c);
    expect(add(of(b), of(a)).dtype).toBe(c);
    expect(add(of(a), of(b)).toArraySync()).toEqual([2, 2]);
  });
  test("a number does not widen a float, and makes an integer one only where it must", () => {
    expect(mul(of("float32"), Math.PI).dtype).toBe("float32");
    expect(mul(of("float64"), 2).dtype).toBe("float64");
    expect(mul(of("int32"), 2).dtype).toBe("int32");
    expect(mul(of("uint8"), 2).dtype).toBe("uint8");
    expect(mul(of("int32"), 0.5).dtype).toBe("float32");
    expect(add(of("bool"), 1).dtype).toBe("int32");
  });
  test("integer / is float32", () => {
    expect(div(of("int32"), tensor([2, 4], { dtype: "int32" })).toArraySync()).toEqual([0.5, 0.25]);
    expect(div(of("int64"), 2).dtype).toBe("float32");
  });
  test("gradients come back in each operand's dtype", () => {
    const a = ones([2], { requiresGrad: true });
    const b = ones([2], { dtype: "float64", requiresGrad: true });
    mul(a, b).sum().backward();
    expect([a.grad!.dtype, b.grad!.dtype]).toEqual(["float32", "float64"]);
  });
});

test("maximum and minimum halve the gradient of a tie", () => {
  for (const op of [ops.maximum, ops.minimum]) {
    const a = tensor([1, 2], { requiresGrad: true });
    const b = tensor([1, 3], { requiresGrad: true });
    op(a, b).sum().backward();
    const first = op === ops.maximum ? [0.5, 0] : [0.5, 1];
    expect(a.grad!.toArraySync()).toEqual(first);
    expect(b.grad!.toArraySync()).toEqual(first.map((v) => 1 - v));
  }
});

test("pow at 0: gradient 0 where PyTorch's is", () => {
  const a = tensor([0, 0, 2], { requiresGrad: true });
  const b = tensor([0, 2, 0], { requiresGrad: true });
  pow(a, b).sum().backward();
  expect(a.grad!.toArraySync()).toEqual([0, 0, 0]);
  expect(b.grad!.toArraySync()).toEqual([0, 0, Math.fround(Math.log(2))]);
});

test("the same tensor on both sides adds both gradients", () => {
  const x = tensor([3], { requiresGrad: true });
  sub(mul(x, x), x).sum().backward();
  expect(x.grad!.toArraySync()).toEqual([5]);
  expect(zeros([1]).equal(sub(x, x)).toArraySync()).toEqual([1]);
});

checkOp("maximum of three", {
  run: ([a, b, c]) => ops.maximum(ops.maximum(a!, b!), c!),
  reference: ([a, b, c]) => broadcast(Math.max, [a!, b!, c!]),
  cases: { apart: { inputs: [apart(0.1, 4, 5), uniform(5, 6, 5), uniform(-6, -5, 1)] } },
});
