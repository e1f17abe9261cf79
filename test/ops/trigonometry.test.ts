/** @file Trigonometric and hyperbolic functions and their inverses, against Math. */
import { hypot, ones, tensor } from "napier";
import { checkOp, expect, test } from "../check.js";
import { broadcast, given, normal, SPECIAL, signed, uniform } from "../nd.js";
import { anywhere, checkUnary, type Row } from "../unary.js";

const inside = (...shape: number[]) => signed(0.05, 0.95, ...shape);
const { NaN: nan, POSITIVE_INFINITY: inf } = Number;

const ROWS: Record<string, Row> = {
  tan: {
    f: Math.tan,
    from: (...s) => uniform(-1.4, 1.4, ...s),
    ulp: 5,
    special: [0, -0, 1, Math.PI, 1e4, -1e4, 1e6, nan, inf, 1e-40],
  },
  asin: { f: Math.asin, from: inside, special: [0, -0, 1, -1, 0.5, -0.5, 1.5, nan, inf, 1e-8, 0.50001, 0.999999] },
  acos: {
    f: Math.acos,
    from: inside,
    ulp: 4,
    special: [0, -0, 1, -1, 0.5, -0.5, 1.5, nan, -inf, 1e-8, 0.50001, 0.999999],
  },
  atan: { f: Math.atan, from: anywhere },
  sinh: { f: Math.sinh, from: anywhere, special: [...SPECIAL, 89, -89.3, 90, 1.0001] },
  cosh: { f: Math.cosh, from: anywhere, special: [...SPECIAL, 89, -89.3, 90] },
  asinh: { f: Math.asinh, from: anywhere, special: [...SPECIAL, 2 ** 30, 2 ** 31] },
  acosh: {
    f: Math.acosh,
    from: (...s) => uniform(1.1, 4, ...s),
    special: [...SPECIAL, 1.0000001, 1.5, 2 ** 30, 2 ** 31],
  },
  atanh: { f: Math.atanh, from: inside, ulp: 5 },
  deg2rad: { f: (x) => x * (Math.PI / 180), from: anywhere, ulp: 1 },
  rad2deg: {
    f: (x) => x * (180 / Math.PI),
    from: anywhere,
    ulp: 1,
    special: SPECIAL.filter((x) => Math.abs(x) < 1e37),
  },
};
checkUnary(ROWS, { long: 33_001 });

checkOp("hypot", {
  run: ([a, b]) => hypot(a!, b!),
  reference: ([a, b]) => broadcast(Math.hypot, [a!, b!]),
  bound: { ulp: 2 },
  isaRms: 1,
  cases: {
    "row repeated": { inputs: [normal(4, 5), normal(5)] },
    scalar: { inputs: [normal(), normal()] },
    empty: { inputs: [normal(0, 3), normal(3)] },
    "long enough to be split": { inputs: [normal(33_001), normal(33_001)] },
    "special values": { inputs: [given(SPECIAL, [SPECIAL.length, 1]), given(SPECIAL)], grad: false },
  },
  errors: {
    "shapes that do not broadcast": [() => hypot(ones([2, 3]), ones([4, 3])), /hypot: expected shapes that broadcast/],
  },
  bench: { "1M": { inputs: [normal(1 << 20), normal(1 << 20)] } },
});

test("a number on either side, integers as float32", () => {
  expect(hypot(tensor([3], { dtype: "int32" }), 4).toArraySync()).toEqual([5]);
  expect(hypot(3, tensor([4])).toArraySync()).toEqual([5]);
});
