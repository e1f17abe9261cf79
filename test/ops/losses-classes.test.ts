/** @file Losses of class scores beyond the plain ones: weights, smoothing, probabilities, likelihood, margins, focal. */
import type { Reduction, Tensor } from "napier";
import { crossEntropy, focal, multiMargin, nll, ones, randn, tensor, zeros } from "napier";
import { checkOp, describe, expect, test } from "../check.js";
import { labelled, logSumExp, perExample, reduced } from "../losses.js";
import { at, build, given, type Input, ints, type Nd, normal, total, uniform } from "../nd.js";

interface Options {
  reduction?: Reduction;
  ignoreIndex?: number;
  /** One number a class. */
  weight?: number[];
  labelSmoothing?: number;
  gamma?: number;
}
/** The options as the op takes them: weights as a tensor of x's dtype. */
const tensors = <O extends Options>(x: Tensor, { weight, ...options }: O) => ({
  ...options,
  ...(weight ? { weight: tensor(weight, { dtype: x.dtype }) } : {}),
});

/** A weighted mean, sum or none of f(scores, label), 0 where the label is ignored. */
function weighted(
  x: Nd,
  labels: Nd,
  { weight, reduction = "mean", ignoreIndex = -100 }: Options,
  f: (v: number[], label: number) => number,
): Nd {
  const of = (label: number) => (label === ignoreIndex ? 0 : (weight?.[label] ?? 1));
  const losses = perExample(x, labels, (v, label) => (label === ignoreIndex ? 0 : f(v, label)));
  return reduced(losses, reduction, total(Array.from(labels.data, of)));
}
const WEIGHT = [0.5, 2, 1, 0.25, 3];
const ignored: Input[] = [normal(4, 5), given([1, -100, 4, -100], [4], "int32")];

checkOp<[Options]>("crossEntropy, weighted and smoothed", {
  run: ([x, labels], options) => crossEntropy(x!, labels!, tensors(x!, options)),
  reference: ([x, labels], options) =>
    weighted(x!, labels!, options, (v, label) => {
      const { weight = v.map(() => 1), labelSmoothing = 0 } = options;
      const logp = v.map((e) => e - logSumExp(v));
      const spread = logp.reduce((s, e, c) => s - weight[c]! * e, 0) / v.length;
      return -(1 - labelSmoothing) * weight[label]! * logp[label]! + labelSmoothing * spread;
    }),
  bound: { rms: 16 },
  gradBound: { rms: 32 },
  isaRms: 16,
  isaGradRms: 32,
  cases: {
    weights: { inputs: labelled(7, 5), args: [{ weight: WEIGHT }] },
    smoothing: { inputs: labelled(7, 5), args: [{ labelSmoothing: 0.1 }] },
    both: { inputs: labelled(7, 5), args: [{ weight: WEIGHT, labelSmoothing: 0.3 }] },
    "all smoothed": { inputs: labelled(3, 4), args: [{ labelSmoothing: 1 }] },
    "both, ignored labels": { inputs: ignored, args: [{ weight: WEIGHT, labelSmoothing: 0.3 }] },
    "both, ignored labels, none": {
      inputs: ignored,
      args: [{ weight: WEIGHT, labelSmoothing: 0.3, reduction: "none" }],
    },
    "both, sum": { inputs: labelled(7, 5), args: [{ weight: WEIGHT, labelSmoothing: 0.3, reduction: "sum" }] },
    "pixels, another ignoreIndex": {
      inputs: labelled(2, 5, 3, 2),
      args: [{ weight: WEIGHT, labelSmoothing: 0.2, ignoreIndex: 3 }],
    },
    "pixels, none": { inputs: labelled(2, 5, 3), args: [{ weight: WEIGHT, reduction: "none" }] },
    "int64 labels": { inputs: [normal(4, 5), ints(0, 5, [4], "int64")], args: [{ weight: WEIGHT }] },
    "no examples, sum": { inputs: labelled(0, 5), args: [{ weight: WEIGHT, reduction: "sum" }] },
    "1x1": { inputs: labelled(1, 1), args: [{ weight: [3], labelSmoothing: 0.5 }] },
  },
  errors: {
    "too few weights": [
      () => crossEntropy(ones([2, 3]), zeros([2], { dtype: "int32" }), { weight: ones([2]) }),
      /crossEntropy: expected a weight a class, \[3\], got \[2\]/,
    ],
    "too much smoothing": [
      () => crossEntropy(ones([2, 3]), zeros([2], { dtype: "int32" }), { labelSmoothing: 1.5 }),
      /crossEntropy: expected labelSmoothing from 0 to 1, got 1.5/,
    ],
  },
  bench: { "128x1000, smoothed": { inputs: labelled(128, 1000), args: [{ labelSmoothing: 0.1 }] } },
});

checkOp<[Options]>("crossEntropy of probabilities", {
  run: ([x, t], options) => crossEntropy(x!, t!, tensors(x!, options)),
  reference: ([x, t], { reduction, weight, labelSmoothing = 0 }) => {
    const classes = x!.shape[1]!;
    const losses = build([x!.shape[0]!, ...x!.shape.slice(2)], ([n, ...rest]) => {
      const v = Array.from({ length: classes }, (_, c) => at(x!, [n!, c, ...rest]));
      return v.reduce((s, e, c) => {
        const target = at(t!, [n!, c, ...rest]) * (1 - labelSmoothing) + labelSmoothing / classes;
        return s - (weight?.[c] ?? 1) * target * (e - logSumExp(v));
      }, 0);
    });
    return reduced(losses, reduction);
  },
  bound: { rms: 16 },
  gradBound: { rms: 32 },
  isaRms: 16,
  isaGradRms: 32,
  cases: {
    mean: { inputs: [normal(4, 5), uniform(0, 1, 4, 5)], args: [{}] },
    "weights and smoothing": {
      inputs: [normal(4, 5), uniform(0, 1, 4, 5)],
      args: [{ weight: WEIGHT, labelSmoothing: 0.2 }],
    },
    "pixels, none": { inputs: [normal(2, 3, 2, 2), uniform(0, 1, 2, 3, 2, 2)], args: [{ reduction: "none" }] },
    sum: { inputs: [normal(4, 5), uniform(0, 1, 4, 5)], args: [{ reduction: "sum" }] },
  },
});

checkOp<[Options]>("nll", {
  run: ([x, labels], options) => nll(x!, labels!, tensors(x!, options)),
  reference: ([x, labels], options) =>
    weighted(x!, labels!, options, (v, label) => -(options.weight?.[label] ?? 1) * v[label]!),
  bound: { rms: 4 },
  isaRms: 4,
  cases: {
    plain: { inputs: labelled(7, 5), args: [{}] },
    weights: { inputs: labelled(7, 5), args: [{ weight: WEIGHT }] },
    "weights, none": { inputs: labelled(7, 5), args: [{ weight: WEIGHT, reduction: "none" }] },
    "ignored labels": { inputs: ignored, args: [{ weight: WEIGHT }] },
    "all ignored: NaN": { inputs: [normal(2, 3), given([-100, -100], [2], "int32")], args: [{}], grad: false },
    "pixels, sum": { inputs: labelled(2, 3, 2, 2), args: [{ reduction: "sum" }] },
    "uint8 labels": { inputs: [normal(4, 5), ints(0, 5, [4], "uint8")], args: [{}] },
    "long enough to be split": { inputs: labelled(9001, 3), args: [{ reduction: "none" }] },
  },
  errors: {
    "a label too large": [
      () => nll(ones([2, 4]), tensor([0, 4], { dtype: "int32" })),
      /nll: expected labels between 0 and 3, got 4/,
    ],
    "another number of labels": [
      () => nll(ones([2, 4]), zeros([3], { dtype: "int32" })),
      /nll: expected labels of shape \[2\] for scores \[2,4\], got \[3\]/,
    ],
  },
  bench: { "4096x1000": { inputs: labelled(4096, 1000), args: [{}] } },
});

type MultiMargin = [Options & { p?: 1 | 2; margin?: number }];
checkOp<MultiMargin>("multiMargin", {
  run: ([x, labels], options) => multiMargin(x!, labels!, tensors(x!, options)),
  reference: ([x, labels], { reduction, weight, p = 1, margin = 1 }) =>
    reduced(
      perExample(x!, labels!, (v, label) => {
        const broken = v.map((e, j) => (j === label ? 0 : Math.max(0, margin - v[label]! + e) ** p));
        return ((weight?.[label] ?? 1) * total(broken)) / v.length;
      }),
      reduction,
    ),
  bound: { rms: 8 },
  isaRms: 8,
  cases: {
    "p 1": { inputs: labelled(7, 5), args: [{}] },
    "p 2": { inputs: labelled(7, 5), args: [{ p: 2, margin: 0.5 }] },
    weights: { inputs: labelled(7, 5), args: [{ weight: WEIGHT, p: 2 }] },
    none: { inputs: labelled(3, 5), args: [{ reduction: "none", weight: WEIGHT }] },
    "one class: 0": { inputs: labelled(3, 1), args: [{}] },
    "no examples, sum": { inputs: labelled(0, 3), args: [{ reduction: "sum" }] },
  },
  errors: {
    "another power": [
      () => multiMargin(ones([2, 4]), zeros([2], { dtype: "int32" }), { p: 3 as never }),
      /multiMargin: expected p 1 or 2, got 3/,
    ],
    pictures: [
      () => multiMargin(ones([2, 4, 3]), zeros([2, 3], { dtype: "int32" })),
      /multiMargin: expected scores of shape \[n,classes\], got \[2,4,3\]/,
    ],
    "a label too large": [
      () => multiMargin(ones([1, 2]), tensor([2], { dtype: "int32" })),
      /multiMargin: expected labels between 0 and 1, got 2/,
    ],
  },
  bench: { "128x1000": { inputs: labelled(128, 1000), args: [{}] } },
});

checkOp<[Options]>("focal", {
  run: ([x, labels], options) => focal(x!, labels!, tensors(x!, options)),
  reference: ([x, labels], options) =>
    weighted(x!, labels!, options, (v, label) => {
      const logp = v[label]! - logSumExp(v);
      return -(options.weight?.[label] ?? 1) * (1 - Math.exp(logp)) ** (options.gamma ?? 2) * logp;
    }),
  bound: { rms: 32 },
  gradBound: { rms: 64 },
  isaRms: 32,
  isaGradRms: 64,
  cases: {
    "gamma 2": { inputs: labelled(7, 5), args: [{}] },
    "gamma 0: cross-entropy": { inputs: labelled(7, 5), args: [{ gamma: 0 }] },
    "gamma 0.5, weights": { inputs: labelled(7, 5), args: [{ gamma: 0.5, weight: WEIGHT }] },
    "ignored labels": { inputs: ignored, args: [{ weight: WEIGHT }] },
    "pixels, none": { inputs: labelled(2, 3, 2, 2), args: [{ reduction: "none" }] },
  },
  errors: {
    "a negative gamma": [
      () => focal(ones([2, 4]), zeros([2], { dtype: "int32" }), { gamma: -1 }),
      /focal: expected gamma from 0 up, got -1/,
    ],
  },
  bench: { "128x1000": { inputs: labelled(128, 1000), args: [{}] } },
});

describe("a label that only the kernel sees", () => {
  const labels = () => tensor([0, 3, 9, 7], { dtype: "int32" }).mul(1);
  const x = randn([4, 4]);
  test.each<[string, () => Tensor, string]>([
    ["nll", () => nll(x, labels()), "nll"],
    ["crossEntropy, smoothed", () => crossEntropy(x, labels(), { labelSmoothing: 0.1 }), "nll"],
    ["multiMargin", () => multiMargin(x, labels()), "nll"],
    ["focal", () => focal(x, labels()), "nll"],
  ])("%s: the loss rejects with range, value and the lowest index", async (_, loss, op) => {
    await expect(loss().item()).rejects.toThrow(`${op}: expected a value between 0 and 3, got 9 (at flat index 2)`);
  });
});
