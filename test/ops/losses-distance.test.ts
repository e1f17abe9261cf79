/** @file Losses of pairs and triplets, against their formulas. */
import type { MarginOptions, Reduction, Tensor, TripletOptions } from "napier";
import { cosineEmbedding, hingeEmbedding, infoNCE, marginRanking, ones, tripletMargin } from "napier";
import { checkOp } from "../check.js";
import { logSumExp, reduced } from "../losses.js";
import { at, build, type Input, ints, type Nd, normal, total } from "../nd.js";

/** 0 and 1 to -1 and 1. */
const signs = (t: Tensor, like: Tensor): Tensor => t.to(like.dtype).mul(2).sub(1);
const rowOf = (x: Nd, index: number[]): number[] =>
  Array.from({ length: x.shape.at(-1)! }, (_, i) => at(x, [...index, i]));
const dot = (a: number[], b: number[]): number => total(a.map((v, i) => v * b[i]!));
const cosine = (a: number[], b: number[], tiny = 0): number =>
  dot(a, b) / Math.sqrt((dot(a, a) + tiny) * (dot(b, b) + tiny));

checkOp<[MarginOptions]>("cosineEmbedding", {
  run: ([a, b, t], options) => cosineEmbedding(a!, b!, signs(t!, a!), options),
  reference: ([a, b, t], { reduction, margin = 0 }) =>
    reduced(
      build(t!.shape, (index) => {
        const c = cosine(rowOf(a!, index), rowOf(b!, index), 1e-12);
        return at(t!, index) === 1 ? 1 - c : Math.max(0, c - margin);
      }),
      reduction,
    ),
  bound: { rms: 16 },
  gradBound: { rms: 32 },
  isaRms: 16,
  isaGradRms: 32,
  cases: {
    rows: { inputs: [normal(6, 5), normal(6, 5), ints(0, 2, [6])], args: [{}] },
    "margin, none": {
      inputs: [normal(6, 5), normal(6, 5), ints(0, 2, [6])],
      args: [{ margin: 0.2, reduction: "none" }],
    },
    "one pair": { inputs: [normal(5), normal(5), ints(1, 2, [])], args: [{}] },
  },
  errors: {
    "a target a row": [
      () => cosineEmbedding(ones([2, 3]), ones([2, 3]), ones([3])),
      /cosineEmbedding: expected a target of shape \[2\], got \[3\]/,
    ],
    "operands of two shapes": [
      () => cosineEmbedding(ones([2, 3]), ones([2, 4]), ones([2])),
      /cosineEmbedding: expected a second operand of shape \[2,3\], got \[2,4\]/,
    ],
  },
  bench: { "256x128": { inputs: [normal(256, 128), normal(256, 128), ints(0, 2, [256])], args: [{}] } },
});

checkOp<[MarginOptions]>("marginRanking", {
  run: ([a, b, t], options) => marginRanking(a!, b!, signs(t!, a!), options),
  reference: ([a, b, t], { reduction, margin = 0 }) =>
    reduced(
      build(a!.shape, (i) => Math.max(0, margin - (2 * at(t!, i) - 1) * (at(a!, i) - at(b!, i)))),
      reduction,
    ),
  bound: { rms: 8 },
  isaRms: 8,
  cases: {
    mean: { inputs: [normal(3, 4), normal(3, 4), ints(0, 2, [3, 4])], args: [{}] },
    "margin, none": { inputs: [normal(7), normal(7), ints(0, 2, [7])], args: [{ margin: 0.5, reduction: "none" }] },
  },
  errors: {
    "a target of another shape": [
      () => marginRanking(ones([2]), ones([2]), ones([3])),
      /marginRanking: expected a target of shape \[2\], got \[3\]/,
    ],
  },
  bench: { "1M": { inputs: [normal(1 << 20), normal(1 << 20), ints(0, 2, [1 << 20])], args: [{}] } },
});

checkOp<[MarginOptions]>("hingeEmbedding", {
  run: ([x, t], options) => hingeEmbedding(x!, signs(t!, x!), options),
  reference: ([x, t], { reduction, margin = 1 }) =>
    reduced(
      build(x!.shape, (i) => (at(t!, i) === 1 ? at(x!, i) : Math.max(0, margin - at(x!, i)))),
      reduction,
    ),
  bound: { rms: 8 },
  isaRms: 8,
  cases: {
    mean: { inputs: [normal(3, 4), ints(0, 2, [3, 4])], args: [{}] },
    "margin, sum": { inputs: [normal(3, 4), ints(0, 2, [3, 4])], args: [{ margin: 0.5, reduction: "sum" }] },
  },
  errors: {
    "a target of another shape": [
      () => hingeEmbedding(ones([2]), ones([3])),
      /hingeEmbedding: expected a target of shape \[2\], got \[3\]/,
    ],
  },
  bench: { "1M": { inputs: [normal(1 << 20), ints(0, 2, [1 << 20])], args: [{}] } },
});

const triplet: Input[] = [normal(6, 5), normal(6, 5), normal(6, 5)];
checkOp<[TripletOptions]>("tripletMargin", {
  run: ([a, p, n], options) => tripletMargin(a!, p!, n!, options),
  reference: ([a, p, n], { reduction, margin = 1, p: power = 2, eps = 1e-6, swap = false }) =>
    reduced(
      build(a!.shape.slice(0, -1), (index) => {
        const [anchor, positive, negative] = [a!, p!, n!].map((x) => rowOf(x, index)) as [number[], number[], number[]];
        const distance = (x: number[], y: number[]) => {
          const d = x.map((v, i) => Math.abs(v - y[i]! + eps));
          return power === Number.POSITIVE_INFINITY ? Math.max(...d) : total(d.map((v) => v ** power)) ** (1 / power);
        };
        const far = swap
          ? Math.min(distance(anchor, negative), distance(positive, negative))
          : distance(anchor, negative);
        return Math.max(0, distance(anchor, positive) - far + margin);
      }),
      reduction,
    ),
  bound: { rms: 32 },
  gradBound: { rms: 64 },
  isaRms: 32,
  isaGradRms: 64,
  cases: {
    "p 2": { inputs: triplet, args: [{}] },
    "p 2, swap, none": { inputs: triplet, args: [{ swap: true, reduction: "none" }] },
    "p 1": { inputs: triplet, args: [{ p: 1, margin: 3 }] },
    "p 3": { inputs: triplet, args: [{ p: 3, margin: 0.5 }] },
    "p infinite": { inputs: triplet, args: [{ p: Number.POSITIVE_INFINITY }] },
    "one triplet": { inputs: [normal(5), normal(5), normal(5)], args: [{ margin: 4 }] },
  },
  errors: {
    "a norm that is none": [
      () => tripletMargin(ones([2]), ones([2]), ones([2]), { p: 0.5 }),
      /tripletMargin: expected p from 1 up, got 0.5/,
    ],
    "a negative of another shape": [
      () => tripletMargin(ones([2, 2]), ones([2, 2]), ones([2])),
      /tripletMargin: expected a negative of shape \[2,2\], got \[2\]/,
    ],
  },
  bench: { "256x128": { inputs: [normal(256, 128), normal(256, 128), normal(256, 128)], args: [{}] } },
});

type InfoNCE = [{ reduction?: Reduction; temperature?: number }];
checkOp<InfoNCE>("infoNCE", {
  run: ([q, p, negatives], options) => infoNCE(q!, p!, { ...options, negatives }),
  reference: ([q, p, negatives], { reduction, temperature = 0.1 }) =>
    reduced(
      build([q!.shape[0]!], ([i]) => {
        const query = rowOf(q!, [i!]);
        const others = negatives ?? p!;
        const cosines = Array.from({ length: others.shape[0]! }, (_, j) => cosine(query, rowOf(others, [j])));
        const own = cosine(query, rowOf(p!, [i!])) / temperature;
        const all = cosines.map((c) => c / temperature);
        return logSumExp(negatives ? [own, ...all] : all) - own;
      }),
      reduction,
    ),
  bound: { rms: 64 },
  bound64: { rms: 128 },
  gradBound: { rms: 128 },
  isaRms: 64,
  isaGradRms: 128,
  cases: {
    "in the batch": { inputs: [normal(5, 4), normal(5, 4)], args: [{}] },
    "in the batch, none": { inputs: [normal(5, 4), normal(5, 4)], args: [{ temperature: 0.5, reduction: "none" }] },
    "negatives given": { inputs: [normal(5, 4), normal(5, 4), normal(3, 4)], args: [{ temperature: 0.3 }] },
    "one pair, one negative": { inputs: [normal(1, 4), normal(1, 4), normal(1, 4)], args: [{ temperature: 1 }] },
  },
  errors: {
    "temperature 0": [
      () => infoNCE(ones([2, 2]), ones([2, 2]), { temperature: 0 }),
      /infoNCE: expected a temperature above 0, got 0/,
    ],
    "negatives of another length": [
      () => infoNCE(ones([2, 2]), ones([2, 2]), { negatives: ones([4, 3]) }),
      /infoNCE: expected negatives of shape \[m,2\], got \[4,3\]/,
    ],
    vectors: [() => infoNCE(ones([2]), ones([2])), /infoNCE: expected queries of shape \[n,d\], got \[2\]/],
  },
  bench: { "256x128": { inputs: [normal(256, 128), normal(256, 128)], args: [{}] } },
});
