/** @file Choosing and blending: masks, NaN and infinities, bounds that are tensors, weights. */
import * as ops from "napier";
import { clamp, lerp, maskedFill, ones, tensor, zeros } from "napier";
import { type Case, checkOp, expect, test } from "../check.js";
import { broadcast, given, ints, map, mask, type Nd, normal, SPECIAL, signed, uniform } from "../nd.js";

const { NaN: nan, POSITIVE_INFINITY: inf, NEGATIVE_INFINITY: minusInf } = Number;

for (const [name, f] of [
  ["isnan", Number.isNaN],
  ["isinf", (x: number) => Math.abs(x) === inf],
  ["isfinite", Number.isFinite],
] as const) {
  checkOp(name, {
    run: ([x]) => ops[name](x!),
    // A float32 input has become infinite where it was beyond float32.
    reference: ([x]) => map(x!, (v) => Number(f(v)), "bool"),
    grad: false,
    cases: {
      "special values": { inputs: [given(SPECIAL)] },
      scalar: { inputs: [normal()] },
      empty: { inputs: [normal(0, 2)] },
      integers: { inputs: [ints(-3, 3, [5])] },
    },
    errors: {
      "half precision": [() => ops[name](ones([1], { dtype: "float16" })), /float16 is for storage only/],
    },
    bench: { "1M": { inputs: [normal(1 << 20)] } },
  });
}

checkOp<[value: number]>("maskedFill", {
  run: ([x, c], value) => maskedFill(x!, c!, value),
  reference: ([x, c], value) => broadcast((v, m) => (m ? value : v), [x!, c!], x!.dtype),
  cases: {
    "same shape": { inputs: [normal(3, 5), mask(3, 5)], args: [-1.5] },
    "a mask a row": { inputs: [normal(2, 3, 5), mask(3, 1)], args: [minusInf], grad: false },
    scalar: { inputs: [normal(), mask()], args: [2] },
    empty: { inputs: [normal(0, 3), mask(3)], args: [2] },
    int64: { inputs: [ints(-9, 9, [7], "int64"), mask(7)], args: [4], grad: false },
  },
  errors: {
    "a mask that is larger": [
      () => maskedFill(ones([3]), ones([2, 3]), 0),
      /maskedFill: expected a mask that broadcasts to \[3\], got \[2,3\]/,
    ],
    "a value of several elements": [
      () => maskedFill(ones([3]), ones([3]), ones([3])),
      /maskedFill: expected a number or a tensor of shape \[\], got \[3\]/,
    ],
  },
  bench: { "scores 16x8x256x256": { inputs: [normal(16, 8, 256, 256), mask(256, 256)], args: [minusInf] } },
});

checkOp<[options: ops.NanToNumOptions]>("nanToNum", {
  run: ([x], options) => ops.nanToNum(x!, options),
  reference: ([x], { nan: n = 0, posInf, negInf }) =>
    map(x!, (v) => (Number.isNaN(v) ? n : v === inf ? (posInf ?? inf) : v === minusInf ? (negInf ?? minusInf) : v)),
  cases: {
    "nothing to replace": { inputs: [normal(3, 5)], args: [{}] },
    "all three": {
      inputs: [given([1, nan, inf, minusInf, -2])],
      args: [{ nan: 7, posInf: 8, negInf: -9 }],
      grad: false,
    },
    empty: { inputs: [normal(0)], args: [{}] },
  },
  errors: { "half precision": [() => ops.nanToNum(ones([1], { dtype: "float16" })), /float16 is for storage only/] },
  bench: { "1M": { inputs: [normal(1 << 20)], args: [{}] } },
});
test("nanToNum puts the largest numbers of the dtype for infinities, and stops gradients there", () => {
  const x = tensor([nan, inf, minusInf, 1], { requiresGrad: true });
  const y = ops.nanToNum(x);
  expect(y.toArraySync()).toEqual([0, 3.4028234663852886e38, -3.4028234663852886e38, 1]);
  y.sum().backward();
  expect(x.grad!.toArraySync()).toEqual([0, 0, 0, 1]);
  expect(ops.nanToNum(tensor([inf], { dtype: "float64" })).toArraySync()).toEqual([Number.MAX_VALUE]);
  expect(ops.nanToNum(tensor([5], { dtype: "int32" })).toArraySync()).toEqual([5]);
});

checkOp("clamp between tensors", {
  run: ([x, low, high]) => clamp(x!, low!, high!),
  reference: ([x, low, high]) => broadcast((v, l, h) => Math.min(Math.max(v, l), h), [x!, low!, high!]),
  cases: {
    "same shape": { inputs: [normal(5, 7), uniform(-1, -0.5, 5, 7), uniform(0.5, 1, 5, 7)] },
    "bounds a column": { inputs: [normal(5, 7), uniform(-1, -0.5, 7), uniform(0.5, 1, 7)] },
    "bounds exchanged: high wins": { inputs: [normal(5, 7), uniform(0.5, 1, 7), uniform(-1, -0.5, 7)] },
    empty: { inputs: [normal(0, 2), normal(2), normal(2)] },
  },
  errors: {
    "shapes that do not broadcast": [
      () => clamp(ones([3]), ones([2])),
      /less: expected shapes that broadcast, got \[3\] and \[2\]/,
    ],
  },
  bench: { "1M": { inputs: [normal(1 << 20), uniform(-1, -0.5, 1 << 20), uniform(0.5, 1, 1 << 20)] } },
});
test("clamp with one bound, and of integers", () => {
  expect(clamp(tensor([1, 5]), null, tensor(3)).toArraySync()).toEqual([1, 3]);
  expect(clamp(tensor([1, 5]), tensor([2, 2])).toArraySync()).toEqual([2, 5]);
  const x = clamp(tensor([-9, 2, 9], { dtype: "int32" }), -3, 3);
  expect([x.dtype, x.toArraySync()]).toEqual(["int32", [-3, 2, 3]]);
  expect(clamp(tensor([9], { dtype: "int64" }), 0).dtype).toBe("int64");
});

checkOp("copysign", {
  run: ([a, b]) => ops.copysign(a!, b!),
  reference: ([a, b]) => broadcast((p, q) => (q < 0 || Object.is(q, -0) ? -Math.abs(p) : Math.abs(p)), [a!, b!]),
  cases: {
    "row repeated": { inputs: [signed(0.3, 3, 4, 5), signed(0.3, 3, 5)] },
    "special values": {
      inputs: [given([0, -0, 1, -2, inf, minusInf], [6, 1]), given([0, -0, 1, -2, inf, minusInf])],
      grad: false,
    },
  },
  errors: { "two numbers": [() => ops.copysign(1, 2), /copysign: expected at least one tensor, got two numbers/] },
  bench: { "1M": { inputs: [normal(1 << 20), normal(1 << 20)] } },
});

checkOp("heaviside", {
  run: ([a, b]) => ops.heaviside(a!, b!),
  reference: ([a, b]) => broadcast((p, q) => (p === 0 ? q : Number(p > 0)), [a!, b!]),
  grad: false,
  cases: { "special values": { inputs: [given(SPECIAL, [SPECIAL.length, 1]), given([0.5, 2])] } },
  errors: { "two numbers": [() => ops.heaviside(1, 2), /heaviside: expected at least one tensor, got two numbers/] },
  bench: { "1M": { inputs: [normal(1 << 20), normal(1 << 20)] } },
});

const blend = (a: number, b: number, w: number): number =>
  Math.abs(w) < 0.5 ? a + w * (b - a) : b - (b - a) * (1 - w);
checkOp("lerp", {
  run: ([a, b, w]) => lerp(a!, b!, w!),
  reference: ([a, b, w]) => broadcast(blend, [a!, b!, w!]),
  bound: { rms: 2 },
  cases: {
    "same shape": { inputs: [normal(5, 7), normal(5, 7), uniform(-0.2, 1.2, 5, 7)] },
    "a weight a column": { inputs: [normal(5, 7), normal(5, 7), uniform(0, 1, 7)] },
    empty: { inputs: [normal(0, 2), normal(2), normal(2)] },
  },
  errors: {
    "shapes that do not broadcast": [() => lerp(ones([3]), ones([2]), 0.5), /sub: expected shapes that broadcast/],
  },
  bench: { "1M": { inputs: [normal(1 << 20), normal(1 << 20), uniform(0, 1, 1 << 20)] } },
});
checkOp<[weight: number]>("lerp by a number", {
  run: ([a, b], w) => lerp(a!, b!, w),
  reference: ([a, b], w) => broadcast((p, q) => blend(p, q, w), [a!, b!]),
  bound: { rms: 2 },
  cases: {
    "near the start": { inputs: [normal(5, 7), normal(7)], args: [0.125] },
    "near the end": { inputs: [normal(5, 7), normal(7)], args: [0.75] },
    "the end itself": { inputs: [normal(5, 7), normal(7)], args: [1], bound: { ulp: 0 } },
  },
  bench: { "1M": { inputs: [normal(1 << 20), normal(1 << 20)], args: [0.125] } },
});

const fused = (f: (x: number, a: number, b: number) => number) => ({
  reference: ([x, a, b]: Nd[]) => broadcast(f, [x!, a!, b!]),
  bound: { rms: 2 },
  cases: {
    "same shape": { inputs: [normal(4, 5), normal(4, 5), signed(0.4, 2, 4, 5)] },
    broadcast: { inputs: [normal(4, 5), normal(4, 1), signed(0.4, 2, 5)] },
    empty: { inputs: [normal(0, 3), normal(3), normal(3)] },
  } satisfies Record<string, Case<[]>>,
  bench: { "1M": { inputs: [normal(1 << 20), normal(1 << 20), signed(0.4, 2, 1 << 20)] } },
});
checkOp("addcmul", {
  ...fused((x, a, b) => x + 0.5 * a * b),
  run: ([x, a, b]) => ops.addcmul(x!, a!, b!, { value: 0.5 }),
  errors: { shapes: [() => ops.addcmul(ones([2]), ones([3]), ones([3])), /add: expected shapes that broadcast/] },
});
checkOp("addcdiv", {
  ...fused((x, a, b) => x + a / b),
  run: ([x, a, b]) => ops.addcdiv(x!, a!, b!),
  errors: { shapes: [() => ops.addcdiv(ones([2]), ones([3]), ones([3])), /add: expected shapes that broadcast/] },
});
checkOp("rsub", {
  run: ([x, other]) => ops.rsub(x!, other!, { alpha: 2 }),
  reference: ([x, other]) => broadcast((a, b) => b - 2 * a, [x!, other!]),
  bound: { rms: 1 },
  cases: { broadcast: { inputs: [normal(4, 5), normal(5)] } },
  bench: { "1M": { inputs: [normal(1 << 20), normal(1 << 20)] } },
});
test("rsub of a number", () => expect(ops.rsub(zeros([2]), 3).toArraySync()).toEqual([3, 3]));
