/** @file Logarithms and powers of other bases, and special functions, against Math and series written out in unary.ts. */
import { clamp, lgamma, logaddexp, logit, ones, polygamma, tensor, xlogy } from "napier";
import { checkOp, expect, test } from "../check.js";
import { broadcast, given, normal, SPECIAL, signed, uniform } from "../nd.js";
import { anywhere, checkUnary, erf, erfc, logGamma, positive, type Row } from "../unary.js";

const { NaN: nan, POSITIVE_INFINITY: inf, NEGATIVE_INFINITY: minusInf } = Number;

/** By bisection; erfc where erf is flat. */
function erfinv(y: number): number {
  const a = Math.abs(y);
  if (!(a < 1)) return a === 1 ? y * inf : nan;
  let [low, high] = [0, 7];
  for (let i = 0; i < 200; i++) {
    const x = (low + high) / 2;
    if (a < 0.5 ? erf(x) < a : erfc(x) > 1 - a) low = x;
    else high = x;
  }
  return Math.sign(y) * low;
}
/** By reflection below 0, whose derivatives the tests of inverse signs need not. */
function lgammaOf(x: number): number {
  if (Math.abs(x) === inf) return inf;
  if (x <= 0 && Number.isInteger(x)) return inf;
  return x < 0 ? Math.log(Math.PI / Math.abs(Math.sin(Math.PI * (x - Math.floor(x))))) - logGamma(1 - x) : logGamma(x);
}
function digammaOf(x: number): number {
  if (x === 0) return Object.is(x, 0) ? minusInf : inf;
  if (x > 0 || Number.isNaN(x)) return logGamma(x, 1);
  const f = x - Math.floor(x);
  return f === 0 || x === minusInf ? nan : logGamma(1 - x, 1) - Math.PI / Math.tan(Math.PI * f);
}
const gammaSpecial = [1, 2, 1.5, 0.5, -0.5, -1.5, -7.25, 3, 10, 9.5, 100.5, 1e-8, 0, -0, -1, nan, inf, 16777217, 3e38];

/** The reference subtracts logarithms of about 100 in all. */
const LOSES = { rms: 4096 };

const ROWS: Record<string, Row> = {
  exp2: { f: (x) => 2 ** x, from: anywhere, special: [...SPECIAL, 127.5, 128, -126, -149, -150, 0.5, -1021] },
  log2: { f: Math.log2, from: positive, special: [...SPECIAL, 8, 0.125, 0.7, 1.0000001] },
  log10: { f: Math.log10, from: positive, special: [...SPECIAL, 1000, 0.7, 1.0000001] },
  erfc: {
    f: erfc,
    from: anywhere,
    bound64: { rms: 16 },
    special: [...SPECIAL, 3, 6, 9, 10, 11, -6],
    gradBound: { rms: 16 },
  },
  erfinv: {
    f: erfinv,
    from: (...s) => signed(0.01, 0.95, ...s),
    ulp: 6,
    bound64: { ulp: 8 },
    special: [0, -0, 1, -1, 0.5, 0.999, -0.9999999, 1.5, nan, inf, 1e-8, 1e-40],
    gradBound: { rms: 32 },
  },
  lgamma: {
    f: lgammaOf,
    from: (...s) => uniform(0.3, 12, ...s),
    bound: { rms: 2 },
    bound64: LOSES,
    special: gammaSpecial,
  },
  "lgamma of negative numbers": {
    f: lgammaOf,
    run: lgamma,
    from: (...s) => uniform(-2.9, -2.1, ...s),
    bound: { rms: 2 },
    bound64: LOSES,
    special: [-2.5],
  },
  digamma: {
    f: digammaOf,
    from: (...s) => uniform(0.3, 12, ...s),
    bound: { rms: 2 },
    bound64: { rms: 16 },
    special: gammaSpecial,
  },
  "digamma of negative numbers": {
    f: digammaOf,
    run: (x) => x.digamma(),
    from: (...s) => uniform(-2.9, -2.1, ...s),
    bound: { rms: 2 },
    bound64: { rms: 64 },
    special: [-2.5],
  },
  "polygamma 1": {
    f: (x) => logGamma(x, 2),
    run: (x) => polygamma(x, 1),
    from: (...s) => uniform(0.5, 12, ...s),
    bound: { rms: 2 },
    bound64: { rms: 16 },
    special: [1, 2.5, 10.5, 0.25, inf, nan],
  },
  "polygamma 2": {
    f: (x) => logGamma(x, 3),
    run: (x) => polygamma(x, 2),
    from: (...s) => uniform(0.5, 12, ...s),
    bound: { rms: 2 },
    bound64: { rms: 16 },
    special: [1, 2.5, 10.5, 0.25, inf, nan],
    errors: {
      "half a derivative": [
        () => polygamma(ones([1]), 0.5),
        /polygamma: expected a whole number n from 0 to 100, got 0.5/,
      ],
    },
  },
  logit: {
    f: (x) => Math.log(x / (1 - x)),
    from: (...s) => uniform(0.05, 0.45, ...s),
    ulp: 6,
    special: [0, -0, 1, -1, 0.5, 2, nan, 1e-8],
  },
  "logit with eps": {
    f: (x) => Math.log(Math.min(Math.max(x, 0.25), 0.75) / (1 - Math.min(Math.max(x, 0.25), 0.75))),
    run: (x) => logit(x, { eps: 0.25 }),
    from: (...s) => uniform(0.01, 0.24, ...s),
    ulp: 6,
    special: [0, 1, 0.3, -5],
    errors: {
      "an eps above a half": [() => logit(ones([1]), { eps: 0.6 }), /logit: expected an eps from 0 to 0.5, got 0.6/],
    },
  },
};
checkUnary(ROWS, { long: 33_001 });

test("polygamma of negative numbers by its recurrence", () => {
  const x = tensor([-0.5, -1.25, -7.75, -1e6 - 0.5], { dtype: "float64" });
  for (const n of [1, 2, 3]) {
    // polygamma(n, x + 1) - polygamma(n, x) = (-1)^n n! / x^(n + 1)
    const step = polygamma(x.add(1), n).sub(polygamma(x, n)).toArraySync() as number[];
    const factorial = [1, 1, 2, 6][n]!;
    (x.toArraySync() as number[]).forEach((v, i) => {
      expect(step[i]! / factorial).toBeCloseTo((-1) ** n / v ** (n + 1), 8);
    });
  }
  expect(polygamma(tensor([0, -3]), 1).toArraySync()).toEqual([inf, inf]);
});

checkOp("xlogy", {
  run: ([a, b]) => xlogy(a!, b!),
  reference: ([a, b]) => broadcast((p, q) => (p === 0 && !Number.isNaN(q) ? 0 : p * Math.log(q)), [a!, b!]),
  bound: { ulp: 3 },
  isaRms: 4,
  cases: {
    "row repeated": { inputs: [normal(4, 5), uniform(0.3, 3, 5)] },
    "column repeated": { inputs: [normal(4, 1), uniform(0.3, 3, 4, 5)] },
    empty: { inputs: [normal(0, 3), uniform(0.3, 3, 3)] },
    "special values": { inputs: [given(SPECIAL, [SPECIAL.length, 1]), given(SPECIAL)], grad: false },
  },
  errors: { "two numbers": [() => xlogy(1, 2), /xlogy: expected at least one tensor, got two numbers/] },
  bench: { "1M": { inputs: [normal(1 << 20), uniform(0.3, 3, 1 << 20)] } },
});
checkOp("logaddexp", {
  run: ([a, b]) => logaddexp(a!, b!),
  reference: ([a, b]) =>
    broadcast((p, q) => (p === q ? p + Math.LN2 : Math.max(p, q) + Math.log1p(Math.exp(-Math.abs(p - q)))), [a!, b!]),
  bound: { rms: 2 },
  isaRms: 4,
  cases: {
    "row repeated": { inputs: [normal(4, 5), normal(5)] },
    "column repeated": { inputs: [normal(4, 1), normal(4, 5)] },
    empty: { inputs: [normal(0, 3), normal(3)] },
    "special values": { inputs: [given(SPECIAL, [SPECIAL.length, 1]), given(SPECIAL)], grad: false },
  },
  errors: {
    "a string": [() => logaddexp(ones([1]), "2" as never), /logaddexp: expected tensors or numbers, got string/],
  },
  bench: { "1M": { inputs: [normal(1 << 20), normal(1 << 20)] } },
});

test("xlogy at 0: gradients are PyTorch's", () => {
  const [a, b] = [tensor([0, 0, 2], { requiresGrad: true }), tensor([0, 2, 2], { requiresGrad: true })];
  xlogy(a, b).sum().backward();
  expect(a.grad!.toArraySync()).toEqual([0, Math.fround(Math.LN2), Math.fround(Math.LN2)]);
  expect((b.grad!.toArraySync() as number[]).slice(1)).toEqual([0, 1]);
});

test("logit's eps stops the gradient beyond it", () => {
  const x = tensor([0.1, 0.5, 0.9], { requiresGrad: true });
  logit(x, { eps: 0.25 }).sum().backward();
  expect(x.grad!.toArraySync()).toEqual([0, 4, 0]);
  expect(clamp(x.detach(), 0.25, 0.75).toArraySync()).toEqual([0.25, 0.5, 0.75]);
});
