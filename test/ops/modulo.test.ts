/** @file Remainders, whole quotients and bits, in floats and every integer dtype. */
import * as ops from "napier";
import { add, mul, ones, type Tensor, tensor } from "napier";
import { checkOp, describe, expect, test } from "../check.js";
import { broadcast, given, ints, mask, SPECIAL, signed } from "../nd.js";
import { anywhere, checkUnary, EXACT } from "../unary.js";

type Binary = (a: Tensor | number, b: Tensor | number) => Tensor;
const opOf = (name: string): Binary => (ops as unknown as Record<string, Binary>)[name]!;

const fmod = (a: number, b: number) => a % b;
function remainder(a: number, b: number): number {
  const r = a % b;
  return r !== 0 && r < 0 !== b < 0 ? r + b : r;
}
function floorDivide(a: number, b: number): number {
  if (b === 0) return a / b;
  const q = (a - remainder(a, b)) / b;
  return q === 0 ? 0 * (a / b) : Math.round(q);
}
const FINITE = SPECIAL.filter((x) => Math.abs(x) < 1e30 || Number.isNaN(x));

for (const [name, f, special] of [
  ["fmod", fmod, SPECIAL],
  ["remainder", remainder, FINITE],
  ["floorDivide", floorDivide, [3, -3, 7.5, -7.5, 0, -0, Number.NaN]],
] as const) {
  const op = opOf(name);
  checkOp(name, {
    run: ([a, b]) => op(a!, b!),
    reference: ([a, b]) => broadcast(f, [a!, b!]),
    bound: { ulp: 1 },
    cases: {
      scalars: { inputs: [signed(3, 9, ...[]), signed(0.7, 2, ...[])] },
      "row repeated": { inputs: [signed(3, 9, 4, 5), signed(0.7, 2, 5)] },
      "column repeated": { inputs: [signed(3, 9, 4, 5), signed(0.7, 2, 4, 1)] },
      empty: { inputs: [signed(3, 9, 0, 3), signed(0.7, 2, 3)] },
      "long enough to be split": { inputs: [signed(3, 9, 33_001), signed(0.7, 2, 33_001)], grad: false },
      "special values": { inputs: [given([...special], [special.length, 1]), given([...special])], grad: false },
    },
    errors: {
      "shapes that do not broadcast": [
        () => op(ones([2, 3]), ones([4, 3])),
        new RegExp(`${name}: expected shapes that broadcast`),
      ],
      "half precision": [
        () => op(ones([2], { dtype: "float16" }), ones([2], { dtype: "float16" })),
        new RegExp(`${name}: float16 is for storage only`),
      ],
    },
    bench: { "1M": { inputs: [signed(3, 9, 1 << 20), signed(0.7, 2, 1 << 20)] } },
  });
}
checkUnary({ frac: { f: (x) => x % 1, from: anywhere, ...EXACT, special: FINITE } }, { long: 33_001 });

test("a + b and b, put together from floorDivide and remainder, are a", () => {
  const a = tensor([7, -7, 7, -7, 6, 0.1]);
  const b = tensor([2, 2, -2, -2, 3, 0.03]);
  const q = opOf("floorDivide")(a, b);
  expect(q.toArraySync()).toEqual([3, -4, -4, 3, 2, 3]);
  expect(add(mul(q, b), opOf("remainder")(a, b)).sub(a).abs().amax().itemSync()).toBeLessThan(1e-6);
});

// ---- Integers

const LIMITS = {
  int32: [-(2 ** 31), 2 ** 31],
  int64: [-(2 ** 40), 2 ** 40],
  uint8: [0, 256],
  int8: [-128, 128],
} as const;
const wrap = { int32: 32, int64: 64, uint8: 8, int8: 8 } as const;

for (const [dtype, [low, high]] of Object.entries(LIMITS) as [keyof typeof LIMITS, [number, number]][]) {
  const bits = wrap[dtype];
  const asBits = (v: bigint) => Number(low < 0 ? BigInt.asIntN(bits, v) : BigInt.asUintN(bits, v));
  const whole: Record<string, (a: number, b: number) => number> = {
    fmod: (a, b) => (b === 0 ? a : a % b),
    remainder: (a, b) => (b === 0 ? a : remainder(a, b)),
    floorDivide: (a, b) => (b === 0 ? 0 : asBits(BigInt(Math.floor(a / b)))),
    bitwiseAnd: (a, b) => asBits(BigInt(a) & BigInt(b)),
    bitwiseOr: (a, b) => asBits(BigInt(a) | BigInt(b)),
    bitwiseXor: (a, b) => asBits(BigInt(a) ^ BigInt(b)),
  };
  describe(dtype, () => {
    for (const [name, f] of Object.entries(whole)) {
      checkOp(`${name} of ${dtype}`, {
        run: ([a, b]) => opOf(name)(a!, b!),
        reference: ([a, b]) => broadcast(f, [a!, b!], dtype),
        grad: false,
        cases: {
          broadcast: { inputs: [ints(low, high, [4, 33], dtype), ints(low, high, [33], dtype)], dtypes: ["float32"] },
          "small, 0 and -1 among them": {
            inputs: [ints(low < 0 ? -9 : 0, 9, [5, 7], dtype), ints(low < 0 ? -2 : 0, 3, [7], dtype)],
            dtypes: ["float32"],
          },
          "the lowest by -1": {
            inputs: [given([low, high - 1], [2, 1], dtype), given([low < 0 ? -1 : 255, 1], [2], dtype)],
            dtypes: ["float32"],
          },
        },
      });
    }
    for (const name of ["leftShift", "rightShift"]) {
      const far = (b: number) => b < 0 || b >= bits;
      const f =
        name === "leftShift"
          ? (a: number, b: number) => (far(b) ? 0 : asBits(BigInt(a) << BigInt(b)))
          : (a: number, b: number) => (far(b) ? (a < 0 ? -1 : 0) : Math.floor(a / 2 ** b));
      checkOp(`${name} of ${dtype}`, {
        run: ([a, b]) => opOf(name)(a!, b!),
        reference: ([a, b]) => broadcast(f, [a!, b!], dtype),
        grad: false,
        cases: {
          "every distance": {
            inputs: [
              ints(low < 0 ? -100 : 0, 100, [9, 1], dtype),
              given([0, 1, 2, 3, 6, 7, 8, 31, 64, low < 0 ? -1 : 200], [10], dtype),
            ],
            dtypes: ["float32"],
          },
        },
      });
    }
    test("bitwiseNot", () => {
      const x = tensor([0, 1, 100], { dtype });
      expect(ops.bitwiseNot(x).dtype).toBe(dtype);
      expect(ops.bitwiseNot(x).toArraySync()).toEqual(low < 0 ? [-1, -2, -101] : [255, 254, 155]);
    });
  });
}
for (const [name, f] of [
  ["bitwiseAnd", (a: number, b: number) => a & b],
  ["bitwiseOr", (a: number, b: number) => a | b],
  ["bitwiseXor", (a: number, b: number) => a ^ b],
] as const) {
  checkOp(`${name} of bool`, {
    run: ([a, b]) => opOf(name)(a!, b!),
    reference: ([a, b]) => broadcast(f, [a!, b!], "bool"),
    grad: false,
    cases: { broadcast: { inputs: [mask(4, 33), mask(33)], dtypes: ["float32"] } },
    errors: {
      floats: [
        () => opOf(name)(ones([2]), ones([2])),
        new RegExp(`${name}: expected integers or bools, got float32; convert with \\.to\\("int32"\\)`),
      ],
    },
    bench: {
      "1M bools": { inputs: [mask(1 << 20), mask(1 << 20)] },
      "1M int32": { inputs: [ints(-(2 ** 31), 2 ** 31, [1 << 20]), ints(-(2 ** 31), 2 ** 31, [1 << 20])] },
    },
  });
}
test("bitwiseNot of bools and floats", () => {
  expect(ops.bitwiseNot(tensor([0, 1], { dtype: "bool" })).toArraySync()).toEqual([1, 0]);
  expect(() => ops.bitwiseNot(ones([1]))).toThrow(/bitwiseNot: expected integers or bools, got float32/);
});
test("bools count as int32 in remainders and shifts", () => {
  const one = tensor([1, 1], { dtype: "bool" });
  expect(opOf("leftShift")(one, 3).toArraySync()).toEqual([8, 8]);
  expect(opOf("remainder")(one, one).dtype).toBe("int32");
});
