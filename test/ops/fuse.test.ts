/** @file Fused elementwise expressions: values, gradients of any order, the plan of slots, and the bits of the ops themselves. */

import { readFileSync } from "node:fs";
import { type Fused, fuse, grad, ones, randn, scope, type Tensor, tensor } from "napier";
import { addon, k } from "#lib/native.js";
import { FUSED_STEPS } from "#lib/ops/fuse.js";
import { checkOp, expect, test } from "../check.js";
import { broadcast, type Input, normal, uniform } from "../nd.js";

type Args = [fused: (...x: Tensor[]) => Tensor, plain: (...x: number[]) => number];
const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
const erf = (x: number) => {
  // Abramowitz & Stegun 7.1.5, summed until nothing is added: exact for the small x of these cases.
  let [sum, term] = [x, x];
  for (let n = 1; Math.abs(term) > 1e-18; n++) {
    term *= (-x * x) / n;
    sum += term / (2 * n + 1);
  }
  return (2 / Math.sqrt(Math.PI)) * sum;
};
const relu = (x: number) => Math.max(x, 0);
const one = (inputs: Input[], build: Parameters<typeof fuse>[0], plain: Args[1]) => ({
  inputs,
  args: [fuse(build), plain] as Args,
});

checkOp<Args>("fuse", {
  run: (inputs, fused) => fused(...inputs),
  reference: (inputs, _, plain) => broadcast(plain, inputs),
  bound: { rms: 8 },
  bound64: { rms: 16 },
  gradBound: { rms: 32 },
  isaRms: 16,
  cases: {
    chain: one(
      [normal(37)],
      (x) => x.mul(1.5).add(0.5).tanh().mul(x).sub(0.25).square(),
      (x) => (Math.tanh(1.5 * x + 0.5) * x - 0.25) ** 2,
    ),
    "gate of two": one(
      [normal(3, 5), normal(3, 5)],
      (a, b) => a.silu().mul(b),
      (a, b) => a * sigmoid(a) * b,
    ),
    gelu: one(
      [uniform(-2, 2, 4, 9)],
      (x) => x.gelu(),
      (x) => 0.5 * x * (1 + erf(x * Math.SQRT1_2)),
    ),
    "exponentials and logarithms": one(
      [uniform(0.5, 2, 33)],
      (x) => x.log().add(x.exp().log1p()).add(x.expm1().sqrt()).mul(x.rsqrt()),
      (x) => (Math.log(x) + Math.log1p(Math.exp(x)) + Math.sqrt(Math.expm1(x))) / Math.sqrt(x),
    ),
    trigonometry: one(
      [uniform(-3, 3, 21)],
      (x) => x.sin().mul(x.cos()).add(x.sigmoid()),
      (x) => Math.sin(x) * Math.cos(x) + sigmoid(x),
    ),
    "quotients, extremes": one(
      [uniform(0.5, 1, 19), uniform(1.5, 2, 19)],
      (a, b) => a.div(b).maximum(a.reciprocal().mul(0.1)).minimum(b).add(a.sub(b).abs()),
      (a, b) => Math.min(Math.max(a / b, 0.1 / a), b) + Math.abs(a - b),
    ),
    branches: one(
      [uniform(0.25, 2, 40), normal(40)],
      (x, y) => x.greater(1).where(x.mul(y), y.sub(3).relu()).add(x.sign().neg()),
      (x, y) => (x > 1 ? x * y : relu(y - 3)) - Math.sign(x),
    ),
    "the input alone": one(
      [normal(5)],
      (x) => x,
      (x) => x,
    ),
    "one element": one(
      [normal(1)],
      (x) => x.exp().mul(x),
      (x) => Math.exp(x) * x,
    ),
    empty: one(
      [normal(0, 3)],
      (x) => x.exp().mul(x),
      () => 0,
    ),
    "long enough to be split": one(
      [normal(33_001)],
      (x) => x.sigmoid().mul(x).add(1),
      (x) => x * sigmoid(x) + 1,
    ),
  },
  errors: {
    "shapes differ": [
      () => fuse((a, b) => a.add(b))(ones([2]), ones([3])),
      /fuse: expected inputs of one shape, \[2\], got \[3\]/,
    ],
    "dtypes differ": [
      () => fuse((a, b) => a.add(b))(ones([2]), ones([2], { dtype: "float64" })),
      /fuse: expected operands of one dtype/,
    ],
    "too few tensors": [() => fuse((a, b) => a.add(b))(ones([2])), /fuse: expected 2 tensors, got 1/],
    "no parameters": [() => fuse(() => 0 as unknown as Fused), /fuse: expected a function with named parameters/],
    "returns no value": [() => fuse((_) => 3 as unknown as Fused), /fuse: expected the callback to return a value/],
    "a value of another expression": [
      () => {
        let stolen: Fused | null = null;
        fuse((a) => (stolen = a).exp());
        fuse((b) => b.add(stolen!));
      },
      /fuse: expected values of the expression being built/,
    ],
    "too many steps": [
      () =>
        fuse((x) => {
          let y = x;
          for (let i = 0; i < 300; i++) y = y.mul(x);
          return y;
        }),
      /fuse: expected at most 256 steps, got 300/,
    ],
  },
  bench: {
    "swiglu 8192x1024": one(
      [normal(8192, 1024), normal(8192, 1024)],
      (a, b) => a.silu().mul(b),
      () => 0,
    ),
  },
});

test?.("the steps of TypeScript are those of the kernel, in order", () => {
  const header = readFileSync(new URL("../../native/cpu/fused.h", import.meta.url), "utf8");
  expect([...header.matchAll(/^FUSED\((\w+),/gm)].map((m) => m[1])).toEqual([...FUSED_STEPS]);
});

test?.("the bits of the ops one after the other, on every ISA", () => {
  const before = addon.isa();
  for (const isa of addon.isas()) {
    addon.isa(isa);
    scope(() => {
      const [x, y] = [randn([2, 1031]), randn([2, 1031])];
      const fused = fuse((a, b) => a.mul(1.5).add(b).relu().mul(a).sub(0.25).square().exp().add(a.tanh()).div(b));
      const plain = x.mul(1.5).add(y).relu().mul(x).sub(0.25).square().exp().add(x.tanh()).div(y);
      expect(Buffer.from(fused(x, y).dataSync().buffer).equals(Buffer.from(plain.dataSync().buffer))).toBe(true);
    });
  }
  addon.isa(before);
});

test?.("equal steps are one, and many live values keep their slots", () => {
  const wide = fuse((x) => {
    const powers = [x];
    for (let i = 0; i < 40; i++) powers.push(powers.at(-1)!.mul(x).add(i));
    return powers.reduceRight((sum, p) => sum.add(p)); // every power is alive until its turn
  });
  const powers = [0.5];
  for (let i = 0; i < 40; i++) powers.push(powers.at(-1)! * 0.5 + i);
  const want = powers.reduceRight((a, b) => a + b);
  expect(wide(tensor([0.5], { dtype: "float64" })).itemSync()).toBeCloseTo(want, 9);
});

test?.("a third derivative", () => {
  const cube = fuse((x) => x.mul(x).mul(x));
  const x = tensor([2], { dtype: "float64" }).requiresGrad_();
  const [d1] = grad(cube(x), [x], { createGraph: true });
  const [d2] = grad(d1!, [x], { createGraph: true });
  const [d3] = grad(d2!, [x]);
  expect([d1, d2, d3].map((d) => d!.itemSync())).toEqual([12, 12, 6]);
});

test?.("a program that names a value before it is made is refused, not run", async () => {
  const rows = (list: number[][]) => tensor(list.flat(), [5 * list.length], { dtype: "float64" });
  for (const bad of [
    rows([[99, 0, 0, 0, 0]]),
    rows([[0, 0, 1, 0, 0]]),
    rows([[0, -1, 0, 0, 0]]),
    rows([[Number.NaN, 0, 0, 0, 0]]),
    rows([]),
  ]) {
    const [y, x] = [ones([4]), ones([4])];
    k.fuse(y, [x], bad, 4);
    await expect(y.data()).rejects.toThrow(/fuse/);
  }
});
