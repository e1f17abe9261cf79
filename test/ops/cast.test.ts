/** @file Casts between all dtypes: truncating, saturating, NaN as 0, keeping low bits; and copies. */
import type { DType } from "napier";
import { clone, identity, ones, tensor, to } from "napier";
import { checkOp, describe, expect, test, valuesOf } from "../check.js";
import { given, type Input, ints, map, mask, type Nd, normal } from "../nd.js";

const INTEGERS = { int32: [32, true], int64: [64, true], int8: [8, true], uint8: [8, false] } as const;
type Integer = keyof typeof INTEGERS;
const isInteger = (dtype: string): dtype is Integer => dtype in INTEGERS;

/** What a value of `from` becomes as `dtype`. */
function convert(v: number, from: Nd["dtype"], dtype: DType): number {
  if (dtype === "bool") return v === 0 ? 0 : 1;
  if (dtype === "float32") return Math.fround(v);
  if (!isInteger(dtype)) return v;
  const [bits, isSigned] = INTEGERS[dtype];
  if (isInteger(from) || from === "bool")
    return Number(isSigned ? BigInt.asIntN(bits, BigInt(v)) : BigInt.asUintN(bits, BigInt(v)));
  if (Number.isNaN(v)) return 0;
  const low = isSigned ? -(2n ** BigInt(bits - 1)) : 0n;
  const high = isSigned ? 2n ** BigInt(bits - 1) - 1n : 2n ** BigInt(bits) - 1n;
  if (v >= Number(high)) return Number(high);
  return v <= Number(low) ? Number(low) : Math.trunc(v) + 0;
}

const FLOATS: Input = given([
  0,
  -0,
  1,
  -1,
  0.5,
  -0.5,
  1.99,
  -1.99,
  127.5,
  128,
  255,
  256,
  -129,
  1e9,
  -1e9,
  3e9,
  1e19,
  -1e19,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
]);
const VALUES: Record<string, Input> = {
  float: FLOATS,
  int32: given([0, 1, -1, 127, 128, 255, 256, -128, -129, 2147483647, -2147483648, 16777217], undefined, "int32"),
  int64: given([0, 1, -1, 128, 256, 2147483648, -2147483649, 2 ** 53, -(2 ** 53) + 1], undefined, "int64"),
  uint8: given([0, 1, 127, 128, 255], undefined, "uint8"),
  int8: given([0, 1, -1, 127, -128], undefined, "int8"),
  bool: given([0, 1, 1, 0], undefined, "bool"),
};

for (const dtype of ["float32", "float64", "int32", "int64", "uint8", "int8", "bool"] as const) {
  checkOp(`to ${dtype}`, {
    run: ([x]) => to(x!, dtype),
    reference: ([x]) => map(x!, (v) => convert(v, x!.dtype, dtype), dtype),
    grad: false,
    cases: {
      ...Object.fromEntries(Object.entries(VALUES).map(([from, input]) => [`from ${from}`, { inputs: [input] }])),
      scalar: { inputs: [normal()] },
      empty: { inputs: [normal(0, 2)] },
      "long enough to be split": { inputs: [normal(70_001)] },
    },
    bench: {
      // From float32 to itself would copy nothing: what pictures are read as instead.
      "64x64x32x32": {
        inputs: [dtype === "float32" ? ints(0, 256, [64, 64, 32, 32], "uint8") : normal(64, 64, 32, 32)],
      },
    },
  });
}

for (const name of ["clone", "identity"] as const) {
  checkOp(name, {
    run: ([x]) => (name === "clone" ? clone(x!) : identity(x!)),
    reference: ([x]) => x!,
    cases: {
      scalar: { inputs: [normal()] },
      matrix: { inputs: [normal(3, 5)] },
      empty: { inputs: [normal(0, 2)] },
      int64: { inputs: [ints(-5, 5, [7], "int64")], grad: false },
      bool: { inputs: [mask(7)], grad: false },
      "long enough to be split": { inputs: [normal(70_001)] },
    },
    bench: { "64x64x32x32": { inputs: [normal(64, 64, 32, 32)] } },
  });
}

describe("half precision is storage", () => {
  const values = [
    0,
    1,
    -1,
    0.1,
    65504,
    65520,
    1e-7,
    6e-8,
    3e38,
    Number.NaN,
    Number.NEGATIVE_INFINITY,
    1.00048828125,
    1.0009765625,
  ];
  // The nearest value with `bits` fraction bits (ties to even), its exponent not below `least`; infinity from `limit`.
  const nearest = (v: number, bits: number, least: number, limit: number) => {
    if (!Number.isFinite(v) || v === 0) return v;
    const exponent = Math.max(Math.floor(Math.log2(Math.abs(v))), least);
    const scaled = v / 2 ** (exponent - bits);
    const below = Math.floor(scaled);
    const up = scaled - below > 0.5 || (scaled - below === 0.5 && below % 2 !== 0);
    const rounded = (below + Number(up)) * 2 ** (exponent - bits);
    return Math.abs(rounded) >= limit ? Math.sign(v) * Number.POSITIVE_INFINITY : rounded;
  };
  test.each([
    ["float16", 10, -14, 65520],
    ["bfloat16", 7, -126, 2 ** 128],
  ] as const)("%s rounds to the nearest", (dtype, bits, least, limit) => {
    const x = tensor(values).to(dtype);
    expect(x.toArraySync()).toEqual(values.map((v) => nearest(Math.fround(v), bits, least, limit)));
    expect(valuesOf(x.to("float32"))).toEqual(values.map((v) => nearest(Math.fround(v), bits, least, limit)));
    expect(x.bytes).toBe(2 * values.length);
  });
});

test("a cast between floats passes the gradient on, in the source's dtype", () => {
  const x = ones([3], { requiresGrad: true });
  x.to("float64").mul(3).sum().backward();
  expect(x.grad!.dtype).toBe("float32");
  expect(x.grad!.toArraySync()).toEqual([3, 3, 3]);
});

test("a cast to an integer ends the graph, and one to the same dtype is the tensor itself", () => {
  const x = ones([3], { requiresGrad: true });
  expect(x.to("int32").requiresGrad).toBe(false);
  expect(x.to("float32")).toBe(x);
});

test("a clone has memory of its own, an identity shares it", () => {
  const x = ones([2]);
  const [copy, same] = [x.clone(), x.identity()];
  x.fill_(5);
  expect(copy.toArraySync()).toEqual([1, 1]);
  expect(same.toArraySync()).toEqual([5, 5]);
});

test("errors", () => {
  expect(() => to(ones([2]), "float" as never)).toThrow(
    /to: expected a dtype such as "float32" or "int32", got "float"/,
  );
});
