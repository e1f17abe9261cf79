/** @file Losses of yes-or-no targets, of several labels an example, and of overlap, against their formulas. */
import type { Reduction, Tensor } from "napier";
import {
  bce,
  bceWithLogits,
  dice,
  multiLabelMargin,
  multiLabelSoftMargin,
  ones,
  sigmoidFocal,
  softMargin,
  tensor,
  zeros,
} from "napier";
import { checkOp, expect, test } from "../check.js";
import { pairErrors, reduced } from "../losses.js";
import { at, build, given, type Input, ints, map, type Nd, normal, total, uniform } from "../nd.js";

interface Options {
  reduction?: Reduction;
  weight?: number[];
  posWeight?: number[];
}
const tensors = <O extends Options>(x: Tensor, { weight, posWeight, ...options }: O) => ({
  ...options,
  ...(weight ? { weight: tensor(weight, { dtype: x.dtype }) } : {}),
  ...(posWeight ? { posWeight: tensor(posWeight, { dtype: x.dtype }) } : {}),
});
const elementwise = (
  x: Nd,
  t: Nd,
  reduction: Reduction | undefined,
  f: (x: number, t: number, last: number) => number,
): Nd =>
  reduced(
    build(x.shape, (index) => f(at(x, index), at(t, index), index.at(-1) ?? 0)),
    reduction,
  );
const pair: Input[] = [uniform(0.05, 0.95, 4, 3), uniform(0.05, 0.95, 4, 3)];
const logits: Input[] = [normal(4, 3), uniform(0.05, 0.95, 4, 3)];
const binary: Input[] = [normal(4, 3), ints(0, 2, [4, 3])];
const WEIGHT = [0.5, 2, 1.5];
/** log(1 + e^x) */
const softplus = (x: number) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));

checkOp<[Options]>("bce", {
  run: ([x, t], options) => bce(x!, t!, tensors(x!, options)),
  reference: ([x, t], { reduction, weight }) =>
    elementwise(x!, t!, reduction, (x, t, c) => {
      const log = (v: number) => Math.max(-100, Math.log(v));
      return -(weight?.[c] ?? 1) * (t * log(x) + (1 - t) * log(1 - x));
    }),
  bound: { rms: 8 },
  isaRms: 8,
  cases: {
    mean: { inputs: pair, args: [{}] },
    weights: { inputs: pair, args: [{ weight: WEIGHT }] },
    "weights, none": { inputs: pair, args: [{ weight: WEIGHT, reduction: "none" }] },
    sum: { inputs: pair, args: [{ reduction: "sum" }] },
    scalar: { inputs: [uniform(0.1, 0.9), uniform(0.1, 0.9)], args: [{}] },
    "certain and right, certain and wrong: at most 100": {
      inputs: [given([0, 1, 0, 1]), given([0, 1, 1, 0])],
      args: [{ reduction: "none" }],
      grad: false,
    },
  },
  errors: {
    ...pairErrors("bce", bce),
    "a weight that does not broadcast": [
      () => bce(ones([2, 3]), ones([2, 3]), { weight: ones([4, 2, 3]) }),
      /bce: expected a weight that broadcasts to \[2,3\], got \[4,2,3\]/,
    ],
  },
  bench: { "65536": { inputs: [uniform(0.05, 0.95, 65536), uniform(0, 1, 65536)], args: [{}] } },
});

checkOp<[Options]>("bceWithLogits, weighted", {
  run: ([x, t], options) => bceWithLogits(x!, t!, tensors(x!, options)),
  reference: ([x, t], { reduction, weight, posWeight }) =>
    elementwise(x!, t!, reduction, (x, t, c) => {
      const positive = (posWeight?.[c] ?? 1) * t * softplus(-x);
      return (weight?.[c] ?? 1) * (positive + (1 - t) * softplus(x));
    }),
  bound: { rms: 8 },
  gradBound: { rms: 32 },
  isaRms: 8,
  isaGradRms: 16,
  cases: {
    weight: { inputs: logits, args: [{ weight: WEIGHT }] },
    posWeight: { inputs: logits, args: [{ posWeight: WEIGHT }] },
    "both, none": { inputs: logits, args: [{ weight: WEIGHT, posWeight: WEIGHT, reduction: "none" }] },
    "large logits: no overflow": {
      inputs: [given([500, -500, 500, -500]), given([1, 1, 0, 0])],
      args: [{ posWeight: [3, 3, 3, 3], reduction: "none" }],
    },
  },
  errors: {
    "a posWeight that does not broadcast": [
      () => bceWithLogits(ones([2, 3]), ones([2, 3]), { posWeight: ones([2]) }),
      /bceWithLogits: expected shapes that broadcast, got \[2\] and \[2,3\]/,
    ],
  },
  bench: {
    "4096x80, posWeight": {
      inputs: [normal(4096, 80), uniform(0, 1, 4096, 80)],
      args: [{ posWeight: new Array<number>(80).fill(3) }],
    },
  },
});

checkOp<[Options]>("softMargin", {
  run: ([x, t], options) => softMargin(x!, t!.to(x!.dtype).mul(2).sub(1), options),
  reference: ([x, t], { reduction }) =>
    elementwise(
      x!,
      map(t!, (t) => 2 * t - 1),
      reduction,
      (x, t) => softplus(-t * x),
    ),
  bound: { rms: 8 },
  isaRms: 8,
  cases: {
    mean: { inputs: binary, args: [{}] },
    none: { inputs: binary, args: [{ reduction: "none" }] },
    "large scores: no overflow": {
      inputs: [given([900, -900]), given([0, 1], [2], "int32")],
      args: [{ reduction: "none" }],
    },
  },
  errors: pairErrors("softMargin", softMargin),
  bench: { "1M": { inputs: [normal(1 << 20), ints(0, 2, [1 << 20])], args: [{}] } },
});

checkOp<[Options]>("multiLabelSoftMargin", {
  run: ([x, t], options) => multiLabelSoftMargin(x!, t!, tensors(x!, options)),
  reference: ([x, t], { reduction, weight }) => {
    const classes = x!.shape.at(-1)!;
    const losses = build(x!.shape.slice(0, -1), (index) => {
      const of = (c: number) => {
        const [e, target] = [at(x!, [...index, c]), at(t!, [...index, c])];
        return (weight?.[c] ?? 1) * (target * softplus(-e) + (1 - target) * softplus(e));
      };
      return total(Array.from({ length: classes }, (_, c) => of(c))) / classes;
    });
    return reduced(losses, reduction);
  },
  bound: { rms: 8 },
  isaRms: 8,
  cases: {
    mean: { inputs: binary, args: [{}] },
    "weights, none": { inputs: binary, args: [{ weight: WEIGHT, reduction: "none" }] },
    "one example": { inputs: [normal(3), ints(0, 2, [3])], args: [{ reduction: "none" }] },
  },
  errors: {
    ...pairErrors("multiLabelSoftMargin", multiLabelSoftMargin),
    "too many weights": [
      () => multiLabelSoftMargin(ones([2, 3]), ones([2, 3]), { weight: ones([4]) }),
      /multiLabelSoftMargin: expected a weight a class, \[3\], got \[4\]/,
    ],
  },
  bench: { "4096x80": { inputs: [normal(4096, 80), ints(0, 2, [4096, 80])], args: [{}] } },
});

const someLabels: Input[] = [
  normal(3, 5),
  given(
    [2, 0, -1, 4, 9, -1, 1, 2, 3, 4, 0, 1, 2, 3, 4].map((v, i) => (i === 4 ? 3 : v)),
    [3, 5],
    "int32",
  ),
];
checkOp<[Options]>("multiLabelMargin", {
  run: ([x, labels], options) => multiLabelMargin(x!, labels!, options),
  reference: ([x, labels], { reduction }) => {
    const classes = x!.shape.at(-1)!;
    const rows = build(x!.shape.slice(0, -1), (index) => {
      const row = Array.from({ length: classes }, (_, c) => at(labels!, [...index, c]));
      const mine = row.slice(0, row.includes(-1) ? row.indexOf(-1) : classes);
      let sum = 0;
      for (const y of mine)
        for (let j = 0; j < classes; j++)
          if (!mine.includes(j)) sum += Math.max(0, 1 - at(x!, [...index, y]) + at(x!, [...index, j]));
      return sum / classes;
    });
    return reduced(rows, reduction);
  },
  bound: { rms: 8 },
  isaRms: 8,
  cases: {
    "some, none and all classes": { inputs: someLabels, args: [{}] },
    "the same, none": { inputs: someLabels, args: [{ reduction: "none" }] },
    "one example": { inputs: [normal(4), given([3, 1, -1, 0], [4], "int64")], args: [{ reduction: "none" }] },
    "a label twice counts twice": { inputs: [normal(1, 4), given([3, 3, -1, 0], [1, 4], "int32")], args: [{}] },
    "no examples, sum": { inputs: [normal(0, 3), ints(0, 3, [0, 3])], args: [{ reduction: "sum" }] },
  },
  errors: {
    "another shape": [
      () => multiLabelMargin(ones([2, 3]), zeros([2], { dtype: "int32" })),
      /multiLabelMargin: expected labels of shape \[2,3\], got \[2\]/,
    ],
    "a label too large": [
      () => multiLabelMargin(ones([2]), tensor([2, -1], { dtype: "int32" })),
      /multiLabelMargin: expected labels between 0 and 1, got 2/,
    ],
    pictures: [
      () => multiLabelMargin(ones([1, 2, 3]), zeros([1, 2, 3], { dtype: "int32" })),
      /multiLabelMargin: expected scores of shape \[n,classes\] or \[classes\], got \[1,2,3\]/,
    ],
  },
  bench: { "128x80": { inputs: [normal(128, 80), ints(-1, 80, [128, 80])], args: [{}] } },
});
test("multiLabelMargin: a label that only the kernel sees; what lies behind -1 is not read", async () => {
  const labels = (values: number[]) => tensor(values, [2, 2], { dtype: "int32" }).mul(1);
  await expect(multiLabelMargin(ones([2, 2]), labels([1, 0, 5, -1])).item()).rejects.toThrow(
    "multiLabelMargin: expected a value between -1 and 1, got 5 (at flat index 2)",
  );
  expect(await multiLabelMargin(ones([2, 2]), labels([-1, 7, 0, -1])).item()).toBeCloseTo(0.25, 6);
});

type Focal = [Options & { alpha?: number; gamma?: number }];
checkOp<Focal>("sigmoidFocal", {
  run: ([x, t], options) => sigmoidFocal(x!, t!, options),
  reference: ([x, t], { reduction = "none", alpha = 0.25, gamma = 2 }) =>
    elementwise(x!, t!, reduction, (x, t) => {
      const p = 1 / (1 + Math.exp(-x));
      const wrong = 1 - (p * t + (1 - p) * (1 - t));
      const loss = (t * softplus(-x) + (1 - t) * softplus(x)) * wrong ** gamma;
      return alpha < 0 ? loss : loss * (alpha * t + (1 - alpha) * (1 - t));
    }),
  bound: { rms: 16 },
  gradBound: { rms: 32 },
  isaRms: 16,
  isaGradRms: 32,
  cases: {
    "none by default": { inputs: binary, args: [{}] },
    "mean, no alpha": { inputs: binary, args: [{ reduction: "mean", alpha: -1 }] },
    "probabilities, gamma 1.5": { inputs: logits, args: [{ reduction: "sum", gamma: 1.5, alpha: 0.6 }] },
  },
  errors: {
    ...pairErrors("sigmoidFocal", sigmoidFocal),
    "a large alpha": [
      () => sigmoidFocal(ones([2]), ones([2]), { alpha: 2 }),
      /sigmoidFocal: expected alpha up to 1, got 2/,
    ],
  },
  bench: { "8x4096x80": { inputs: [normal(8, 4096, 80), ints(0, 2, [8, 4096, 80])], args: [{}] } },
});

checkOp<[Options & { smooth?: number }]>("dice", {
  run: ([x, t], options) => dice(x!, t!, options),
  reference: ([x, t], { reduction, smooth = 1 }) => {
    const kept = x!.shape.slice(0, x!.shape.length === 2 ? 1 : 2);
    const each = x!.data.length / kept.reduce((n, e) => n * e, 1);
    let at = 0;
    const losses = build(kept, () => {
      const [xs, ts] = [x!.data.slice(at, at + each), t!.data.slice(at, at + each)];
      at += each;
      return 1 - (2 * total(xs.map((v, i) => v * ts[i]!)) + smooth) / (total(xs) + total(ts) + smooth);
    });
    return reduced(losses, reduction);
  },
  bound: { rms: 16 },
  isaRms: 16,
  cases: {
    pictures: { inputs: [uniform(0, 1, 2, 3, 4, 5), uniform(0, 1, 2, 3, 4, 5)], args: [{}] },
    "pictures, none": { inputs: [uniform(0, 1, 2, 3, 4), ints(0, 2, [2, 3, 4])], args: [{ reduction: "none" }] },
    rows: { inputs: [uniform(0, 1, 3, 7), ints(0, 2, [3, 7])], args: [{ smooth: 0.1 }] },
    "empty in both: 0": { inputs: [given([0, 0], [1, 2]), given([0, 0], [1, 2])], args: [{}], bound: { ulp: 0 } },
  },
  errors: {
    "a vector": [
      () => dice(ones([3]), ones([3])),
      /dice: expected probabilities of shape \[n,classes,...\] or \[n,elements\], got \[3\]/,
    ],
    "another shape": [() => dice(ones([2, 3]), ones([3])), /dice: expected a target of shape \[2,3\], got \[3\]/],
    "negative smoothing": [
      () => dice(ones([2, 3]), ones([2, 3]), { smooth: -1 }),
      /dice: expected smooth from 0 up, got -1/,
    ],
  },
  bench: { "8x21x128x128": { inputs: [uniform(0, 1, 8, 21, 128, 128), ints(0, 2, [8, 21, 128, 128])], args: [{}] } },
});
