/** @file Losses, against their formulas example by example. */
import type { LossOptions, Reduction } from "napier";
import { bceWithLogits, crossEntropy, hinge, mse, ones, tensor, zeros } from "napier";
import { checkOp, describe, expect, test } from "../check.js";
import { labelled, logSumExp, pairErrors, paired, perExample, reduced, zip } from "../losses.js";
import { build, given, ints, normal, signed, uniform } from "../nd.js";

type CrossEntropy = [options?: { reduction?: Reduction; ignoreIndex?: number }];
checkOp<CrossEntropy>("crossEntropy", {
  run: ([x, labels], ...args) => crossEntropy(x!, labels!, ...args),
  reference: ([x, labels], { reduction, ignoreIndex = -100 } = {}) => {
    const losses = perExample(x!, labels!, (v, label) => (label === ignoreIndex ? 0 : logSumExp(v) - v[label]!));
    return reduced(losses, reduction, labels!.data.filter((label) => label !== ignoreIndex).length);
  },
  bound: { rms: 8 },
  gradBound: { rms: 16 },
  isaRms: 8,
  isaGradRms: 16,
  cases: {
    "1x1: loss 0": { inputs: labelled(1, 1), bound: { ulp: 0 } },
    "two classes": { inputs: labelled(5, 2) },
    "odd numbers": { inputs: labelled(7, 11) },
    sum: { inputs: labelled(7, 11), args: [{ reduction: "sum" }] },
    none: { inputs: labelled(7, 11), args: [{ reduction: "none" }] },
    "int64 labels": { inputs: [normal(4, 5), ints(0, 5, [4], "int64")] },
    "uint8 labels": { inputs: [normal(4, 5), ints(0, 5, [4], "uint8")] },
    "labels ignored": { inputs: [normal(4, 5), given([1, -100, 4, -100], [4], "int32")] },
    "labels ignored, sum": {
      inputs: [normal(4, 5), given([1, -100, 4, -100], [4], "int32")],
      args: [{ reduction: "sum" }],
    },
    "labels ignored, none": {
      inputs: [normal(4, 5), given([1, -100, 4, -100], [4], "int32")],
      args: [{ reduction: "none" }],
    },
    "another ignoreIndex": { inputs: [normal(4, 5), given([1, 0, 4, 0], [4], "int32")], args: [{ ignoreIndex: 0 }] },
    "all ignored: NaN": { inputs: [normal(2, 3), given([-100, -100], [2], "int32")], grad: false },
    pixels: { inputs: labelled(2, 5, 3, 4) },
    "pixels, none": { inputs: labelled(2, 5, 3), args: [{ reduction: "none" }] },
    "large scores: no overflow": {
      inputs: [given([1000, 0, -1000, 500, 500, 499, -3e4, -3e4, 0], [3, 3]), given([1, 0, 2], [3], "int32")],
      args: [{ reduction: "none" }],
    },
    "infinity and NaN": {
      inputs: [given([Number.NEGATIVE_INFINITY, 0, 1, Number.NaN, 0, 0], [2, 3]), given([1, 1], [2], "int32")],
      args: [{ reduction: "none" }],
      grad: false,
    },
    "no examples, sum": { inputs: labelled(0, 3), args: [{ reduction: "sum" }] },
    "many classes": { inputs: labelled(3, 1003) },
    "rising scores over several pieces of a row": {
      inputs: [
        () => build([2, 5000], ([r, j]) => Math.sin(j) + (r === 0 ? j : 5000 - j) / 100),
        given([4990, 7], [2], "int32"),
      ],
      grad: false,
    },
    "a row that begins with -infinity": {
      inputs: [
        () => build([1, 5000], ([, j]) => (j < 4500 ? Number.NEGATIVE_INFINITY : Math.sin(j))),
        given([4900], [1], "int32"),
      ],
      grad: false,
    },
    "many examples": { inputs: labelled(3001, 10) },
  },
  errors: {
    "a vector of scores": [
      () => crossEntropy(ones([3]), zeros([1], { dtype: "int32" })),
      /crossEntropy: expected scores of shape \[n,classes\] or \[n,classes,...\], got \[3\]/,
    ],
    "another number of labels": [
      () => crossEntropy(ones([3, 4]), zeros([4], { dtype: "int32" })),
      /crossEntropy: expected labels of shape \[3\] for scores \[3,4\], got \[4\]/,
    ],
    "labels that are floats": [
      () => crossEntropy(ones([2, 4]), ones([2])),
      /crossEntropy: expected labels of dtype int32, int64 or uint8, got float32/,
    ],
    "a label too large": [
      () => crossEntropy(ones([2, 4]), tensor([0, 4], { dtype: "int32" })),
      /crossEntropy: expected labels between 0 and 3, got 4/,
    ],
    "a negative label": [
      () => crossEntropy(ones([2, 4]), tensor([0, -1], { dtype: "int32" })),
      /crossEntropy: expected labels between 0 and 3, got -1/,
    ],
    "another reduction": [
      () => crossEntropy(ones([2, 4]), zeros([2], { dtype: "int32" }), { reduction: "avg" as never }),
      /crossEntropy: expected reduction "mean", "sum" or "none", got "avg"/,
    ],
    "integer scores": [
      () => crossEntropy(ones([2, 4], { dtype: "int32" }), zeros([2], { dtype: "int32" })),
      /crossEntropy: expected float32 or float64, got int32/,
    ],
  },
  bench: { "128x10": { inputs: labelled(128, 10) }, "512x32000": { inputs: labelled(512, 32000) } },
});

type Hinge = [options?: { reduction?: Reduction; delta?: number }];
checkOp<Hinge>("hinge", {
  run: ([x, labels], ...args) => hinge(x!, labels!, ...args),
  reference: ([x, labels], { reduction, delta = 1 } = {}) =>
    reduced(
      perExample(x!, labels!, (v, label) =>
        v.reduce((s, e, j) => (j === label ? s : s + Math.max(0, e - v[label]! + delta)), 0),
      ),
      reduction,
    ),
  bound: { rms: 8 },
  isaRms: 8,
  isaGradRms: 8,
  cases: {
    "one class: 0": { inputs: labelled(2, 1) },
    "odd numbers": { inputs: labelled(7, 11) },
    sum: { inputs: labelled(7, 11), args: [{ reduction: "sum" }] },
    none: { inputs: labelled(7, 11), args: [{ reduction: "none" }] },
    "another margin": { inputs: labelled(7, 5), args: [{ delta: 0.25 }] },
    "int64 labels": { inputs: [normal(4, 5), ints(0, 5, [4], "int64")] },
    "no example beyond the margin": { inputs: [given([9, 0, 0, 0, 9, 0], [2, 3]), given([0, 1], [2], "int32")] },
    "no examples, sum": { inputs: labelled(0, 3), args: [{ reduction: "sum" }] },
    "many classes": { inputs: labelled(3, 1003) },
    "many examples": { inputs: labelled(3001, 10) },
  },
  errors: {
    "a label too large": [
      () => hinge(ones([2, 4]), tensor([0, 7], { dtype: "int32" })),
      /hinge: expected labels between 0 and 3, got 7/,
    ],
    "another number of labels": [
      () => hinge(ones([3, 4]), zeros([2], { dtype: "int32" })),
      /hinge: expected labels of shape \[3\] for scores \[3,4\], got \[2\]/,
    ],
  },
  bench: { "4096x1000": { inputs: labelled(4096, 1000) } },
});

checkOp<[options?: LossOptions]>("mse", {
  run: ([x, target], ...args) => mse(x!, target!, ...args),
  reference: (inputs, { reduction } = {}) => zip((x, t) => (x - t) ** 2, inputs, reduction),
  bound: { rms: 4 },
  isaRms: 4,
  cases: paired(normal, normal),
  errors: pairErrors("mse", mse),
  bench: { "1M": { inputs: [normal(1 << 20), normal(1 << 20)] } },
});

checkOp<[options?: LossOptions]>("bceWithLogits", {
  run: ([x, target], ...args) => bceWithLogits(x!, target!, ...args),
  reference: (inputs, { reduction } = {}) =>
    zip((x, t) => Math.max(x, 0) - x * t + Math.log1p(Math.exp(-Math.abs(x))), inputs, reduction),
  bound: { rms: 8 },
  isaRms: 8,
  cases: {
    ...paired(
      (...s) => signed(0.1, 3, ...s),
      (...s) => uniform(0.1, 0.9, ...s),
    ),
    "certain and right, certain and wrong": {
      inputs: [given([100, -100, 100, -100]), given([1, 0, 0, 1])],
      args: [{ reduction: "none" }],
    },
    "infinite logits": {
      inputs: [given([Number.POSITIVE_INFINITY, Number.NaN]), given([0.5, 0.5])],
      args: [{ reduction: "none" }],
      grad: false,
    },
  },
  errors: pairErrors("bceWithLogits", bceWithLogits),
  bench: { "1M": { inputs: [normal(1 << 20), uniform(0, 1, 1 << 20)] } },
});

describe("a label that only the kernel sees", () => {
  // Computed, so that its range is not known before the kernel runs.
  const labels = () => tensor([0, 3, 9, 7], { dtype: "int32" }).mul(1);
  test("crossEntropy: the loss rejects with op, range, value and the lowest index", async () => {
    const loss = crossEntropy(ones([4, 4]), labels());
    await expect(loss.item()).rejects.toThrow(
      /crossEntropy: expected a value between 0 and 3, got 9 \(at flat index 2\)/,
    );
    expect(() => loss.itemSync()).toThrow(/crossEntropy: .*got 9/);
  });
  test("hinge too", async () => {
    await expect(hinge(ones([4, 4]), labels()).item()).rejects.toThrow(
      /hinge: expected a value between 0 and 3, got 9 \(at flat index 2\)/,
    );
  });
  test("what is computed from it rejects with the same error, what is not stays good", async () => {
    const x = ones([4, 4], { requiresGrad: true });
    const loss = crossEntropy(x, labels());
    const further = loss.mul(2).add(1);
    await expect(further.data()).rejects.toThrow(/crossEntropy: .*got 9/);
    loss.backward();
    await expect(x.grad!.data()).rejects.toThrow(/crossEntropy/);
    expect(x.sum().itemSync()).toBe(16);
  });
});
