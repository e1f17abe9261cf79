/** @file Losses of numbers and distributions, against their formulas. */
import type { KlOptions, LossOptions, Reduction } from "napier";
import { gaussianNll, huber, kl, l1, ones, poissonNll, smoothL1 } from "napier";
import { type Case, checkOp } from "../check.js";
import { pairErrors, paired, reduced, zip } from "../losses.js";
import { at, build, given, type Nd, normal, total, uniform } from "../nd.js";

const bench = <A extends unknown[]>(...args: A): Record<string, Case<A>> => ({
  "65536": { inputs: [normal(65536), normal(65536)], args },
});

checkOp<[options?: LossOptions]>("l1", {
  run: ([x, t], ...args) => l1(x!, t!, ...args),
  reference: (inputs, { reduction } = {}) => zip((x, t) => Math.abs(x - t), inputs, reduction),
  bound: { rms: 4 },
  isaRms: 4,
  cases: paired(normal, normal),
  errors: pairErrors("l1", l1),
  bench: bench(),
});

checkOp<[options?: LossOptions & { beta?: number }]>("smoothL1", {
  run: ([x, t], ...args) => smoothL1(x!, t!, ...args),
  reference: (inputs, { reduction, beta = 1 } = {}) =>
    zip((x, t) => (Math.abs(x - t) < beta ? (x - t) ** 2 / (2 * beta) : Math.abs(x - t) - beta / 2), inputs, reduction),
  bound: { rms: 4 },
  isaRms: 4,
  cases: {
    ...paired(normal, normal),
    "another beta": { inputs: [normal(3, 7), normal(3, 7)], args: [{ beta: 0.3 }] },
    "beta 0: l1": { inputs: [normal(3, 7), normal(3, 7)], args: [{ beta: 0 }] },
  },
  errors: {
    ...pairErrors("smoothL1", smoothL1),
    "a negative beta": [
      () => smoothL1(ones([2]), ones([2]), { beta: -1 }),
      /smoothL1: expected beta from 0 up, got -1/,
    ],
  },
  bench: bench(),
});

checkOp<[options?: LossOptions & { delta?: number }]>("huber", {
  run: ([x, t], ...args) => huber(x!, t!, ...args),
  reference: (inputs, { reduction, delta = 1 } = {}) =>
    zip(
      (x, t) => (Math.abs(x - t) <= delta ? (x - t) ** 2 / 2 : delta * (Math.abs(x - t) - delta / 2)),
      inputs,
      reduction,
    ),
  bound: { rms: 4 },
  isaRms: 4,
  cases: {
    ...paired(normal, normal),
    "another delta": { inputs: [normal(3, 7), normal(3, 7)], args: [{ delta: 0.3 }] },
    "NaN and infinity": {
      inputs: [given([Number.NaN, Number.POSITIVE_INFINITY]), given([0, 0])],
      args: [{ reduction: "none" }],
      grad: false,
    },
  },
  errors: {
    ...pairErrors("huber", huber),
    "delta 0": [() => huber(ones([2]), ones([2]), { delta: 0 }), /huber: expected delta above 0, got 0/],
  },
  bench: bench(),
});

type Poisson = [options: { reduction?: Reduction; logInput?: boolean; full?: boolean }];
checkOp<Poisson>("poissonNll", {
  run: ([x, t], options) => poissonNll(x!, t!, options),
  reference: (inputs, { reduction, logInput = true, full = false }) =>
    zip(
      (x, t) =>
        (logInput ? Math.exp(x) - t * x : x - t * Math.log(x + 1e-8)) +
        (full && t > 1 ? t * Math.log(t) - t + 0.5 * Math.log(2 * Math.PI * t) : 0),
      inputs,
      reduction,
    ),
  bound: { rms: 8 },
  gradBound: { rms: 32 },
  isaRms: 8,
  isaGradRms: 32,
  cases: {
    "log input": { inputs: [normal(3, 4), uniform(0, 5, 3, 4)], args: [{}] },
    "log input, full": { inputs: [normal(3, 4), uniform(0, 5, 3, 4)], args: [{ full: true }] },
    "rate, full, none": {
      inputs: [uniform(0.2, 3, 3, 4), uniform(0, 5, 3, 4)],
      args: [{ logInput: false, full: true, reduction: "none" }],
    },
    "counts of 0 and 1, full": {
      inputs: [normal(4), given([0, 1, 0, 2])],
      args: [{ full: true, reduction: "none" }],
      grad: false,
    },
  },
  errors: pairErrors("poissonNll", poissonNll),
  bench: bench({}),
});

type Gaussian = [options: { reduction?: Reduction; full?: boolean; eps?: number }];
checkOp<Gaussian>("gaussianNll", {
  run: ([x, t, v], options) => gaussianNll(x!, t!, v!, options),
  reference: ([x, t, v], { reduction, full = false, eps = 1e-6 }) => {
    const shape = v!.shape.length === x!.shape.length ? v!.shape : [...v!.shape, 1];
    const variance: Nd = { ...v!, shape };
    const losses = build(x!.shape, (index) => {
      const u = Math.max(at(variance, index), eps);
      return (Math.log(u) + (at(x!, index) - at(t!, index)) ** 2 / u + (full ? Math.log(2 * Math.PI) : 0)) / 2;
    });
    return reduced(losses, reduction);
  },
  bound: { rms: 16 },
  gradBound: { rms: 32 },
  isaRms: 16,
  isaGradRms: 32,
  cases: {
    "a variance an element": { inputs: [normal(3, 4), normal(3, 4), uniform(0.2, 2, 3, 4)], args: [{}] },
    "a variance a row, full": { inputs: [normal(3, 4), normal(3, 4), uniform(0.2, 2, 3, 1)], args: [{ full: true }] },
    "the last dimension missing, none": {
      inputs: [normal(3, 4), normal(3, 4), uniform(0.2, 2, 3)],
      args: [{ reduction: "none" }],
    },
    "a variance below eps": {
      inputs: [normal(2), normal(2), given([0, 1e-9])],
      args: [{ reduction: "none", eps: 0.5 }],
      grad: false,
    },
  },
  errors: {
    "another variance": [
      () => gaussianNll(ones([2, 3]), ones([2, 3]), ones([3])),
      /gaussianNll: expected a variance of shape \[2,3\] or \[2,1\], got \[3\]/,
    ],
    "eps 0": [
      () => gaussianNll(ones([2]), ones([2]), ones([2]), { eps: 0 }),
      /gaussianNll: expected eps above 0, got 0/,
    ],
  },
  bench: { "65536": { inputs: [normal(65536), normal(65536), uniform(0.2, 2, 65536)], args: [{}] } },
});

checkOp<[options: KlOptions]>("kl", {
  run: ([x, t], options) => kl(x!, t!, options),
  reference: ([x, t], { reduction = "mean", logTarget = false }) => {
    const loss = (x: number, t: number) => (logTarget ? Math.exp(t) * (t - x) : t === 0 ? 0 : t * (Math.log(t) - x));
    if (reduction !== "batchmean") return zip(loss, [x!, t!], reduction);
    return reduced(zip(loss, [x!, t!], "none"), "sum").data.length === 1
      ? { shape: [], data: Float64Array.of(total(zip(loss, [x!, t!], "none").data) / x!.shape[0]!), dtype: "float" }
      : x!;
  },
  bound: { rms: 16 },
  gradBound: { rms: 32 },
  isaRms: 16,
  isaGradRms: 32,
  cases: {
    mean: { inputs: [normal(3, 4), uniform(0.1, 1, 3, 4)], args: [{}] },
    batchmean: { inputs: [normal(3, 4), uniform(0.1, 1, 3, 4)], args: [{ reduction: "batchmean" }] },
    "log target, batchmean": {
      inputs: [normal(3, 4), normal(3, 4)],
      args: [{ reduction: "batchmean", logTarget: true }],
    },
    "log target, none": { inputs: [normal(3, 4), normal(3, 4)], args: [{ reduction: "none", logTarget: true }] },
    "probability 0 counts nothing": {
      inputs: [normal(3), given([0, 0.25, 0.75])],
      args: [{ reduction: "none" }],
      grad: false,
    },
  },
  errors: {
    ...pairErrors("kl", kl),
    "batchmean of a scalar": [
      () => kl(ones([]), ones([]), { reduction: "batchmean" }),
      /kl: expected at least one dimension for batchmean, got \[\]/,
    ],
  },
  bench: { "128x1000": { inputs: [normal(128, 1000), uniform(0, 1, 128, 1000)], args: [{ reduction: "batchmean" }] } },
});
