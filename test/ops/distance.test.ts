/** @file Distances and similarities, against loops. */
import { cdist, cosineSimilarity, normalize, ones, pairwiseDistance, tensor } from "napier";
import { checkOp, expect, test } from "../check.js";
import { at, build, type Nd, normal, reduce, signed } from "../nd.js";

const BOUND = { bound: { rms: 16 }, gradBound: { rms: 64 }, isaRms: 16, isaGradRms: 32 } as const;

const normOf = (values: number[], p: number): number => {
  const sizes = values.map(Math.abs);
  if (p === 0) return sizes.filter((v) => v !== 0).length;
  if (p === Number.POSITIVE_INFINITY) return Math.max(...sizes);
  return sizes.reduce((s, v) => s + v ** p, 0) ** (1 / p);
};

checkOp<[options?: { p?: number; method?: "auto" | "squared" | "exact" }]>("cdist", {
  run: ([a, b], options) => cdist(a!, b!, options),
  reference: ([a, b], { p = 2 } = {}) => {
    const lead = a!.shape.slice(0, -2).map((e, d) => Math.max(e, b!.shape[d]!));
    return build([...lead, a!.shape.at(-2)!, b!.shape.at(-2)!], (index) => {
      const [batch, i, j] = [index.slice(0, -2), index.at(-2)!, index.at(-1)!];
      const difference = Array.from(
        { length: a!.shape.at(-1)! },
        (_, e) => at(a!, [...batch, i, e]) - at(b!, [...batch, j, e]),
      );
      return normOf(difference, p);
    });
  },
  ...BOUND,
  cases: {
    "p = 2": { inputs: [normal(3, 4), normal(2, 4)] },
    "p = 1": { inputs: [normal(3, 4), normal(2, 4)], args: [{ p: 1 }] },
    "p = infinity": { inputs: [normal(3, 4), normal(2, 4)], args: [{ p: Number.POSITIVE_INFINITY }] },
    "p = 3": { inputs: [normal(3, 4), normal(2, 4)], args: [{ p: 3 }] },
    "p = 0": { inputs: [normal(3, 4), normal(2, 4)], args: [{ p: 0 }], grad: false },
    "by squares": { inputs: [normal(4, 5), normal(3, 5)], args: [{ method: "squared" }], bound: { rms: 64 } },
    "many points: by squares": { inputs: [normal(30, 5), normal(3, 5)], bound: { rms: 64 } },
    "batches broadcast": { inputs: [normal(2, 1, 3, 4), normal(1, 2, 2, 4)], args: [{ method: "exact" }] },
    "no points": { inputs: [normal(0, 4), normal(2, 4)] },
  },
  errors: {
    "other widths": [
      () => cdist(ones([2, 3]), ones([2, 4])),
      /cdist: expected points \[...,m,k\] and \[...,n,k\], got \[2,3\] and \[2,4\]/,
    ],
    "p = -1": [() => cdist(ones([2, 3]), ones([2, 3]), { p: -1 }), /cdist: expected a p from 0 up, got -1/],
    "squares of p = 1": [
      () => cdist(ones([2, 3]), ones([2, 3]), { p: 1, method: "squared" }),
      /cdist: expected p = 2 with method "squared", got 1/,
    ],
  },
  bench: { "k-nearest neighbours 500x5000x3072": { inputs: [normal(500, 3072), normal(5000, 3072)] } },
});

checkOp<[options?: { p?: number; keepDims?: boolean }]>("pairwiseDistance", {
  run: ([a, b], options) => pairwiseDistance(a!, b!, options),
  reference: ([a, b], { p = 2, keepDims = false } = {}) =>
    reduce(
      build(a!.shape, (index) => at(a!, index) - at(b!, index) + 1e-6),
      [-1],
      keepDims,
      (values) => normOf(values, p),
    ),
  ...BOUND,
  cases: {
    rows: { inputs: [normal(3, 4), normal(3, 4)] },
    "p = 1, kept": { inputs: [normal(3, 4), normal(1, 4)], args: [{ p: 1, keepDims: true }] },
  },
  errors: { scalars: [() => pairwiseDistance(ones([]), ones([])), /pairwiseDistance: expected vectors, got scalars/] },
  bench: { "embeddings 4096x512": { inputs: [normal(4096, 512), normal(4096, 512)] } },
});

const unit = (x: Nd, axis: number, p: number, eps: number): Nd => {
  const sizes = reduce(x, [axis], true, (values) => Math.max(normOf(values, p), eps));
  return build(x.shape, (index) => at(x, index) / at(sizes, index));
};
checkOp<[options?: { p?: number; axis?: number }]>("normalize", {
  run: ([x], options) => normalize(x!, options),
  reference: ([x], { p = 2, axis = 1 } = {}) => unit(x!, axis, p, 1e-12),
  ...BOUND,
  cases: {
    rows: { inputs: [normal(3, 4)] },
    channels: { inputs: [normal(2, 3, 2, 2)] },
    "p = 1, columns": { inputs: [signed(0.1, 2, 3, 4)], args: [{ p: 1, axis: 0 }] },
    "p = 3": { inputs: [signed(0.1, 2, 3, 4)], args: [{ p: 3, axis: -1 }] },
  },
  errors: { integers: [() => normalize(ones([2, 2], { dtype: "int32" })), /normalize: expected float32 or float64/] },
  bench: { "embeddings 4096x512": { inputs: [normal(4096, 512)] } },
});
checkOp<[options?: { axis?: number }]>("cosineSimilarity", {
  run: ([a, b], options) => cosineSimilarity(a!, b!, options),
  reference: ([a, b], { axis = 1 } = {}) => {
    const [p, q] = [unit(a!, axis, 2, 1e-8), unit(b!, axis, 2, 1e-8)];
    const shape = a!.shape.map((e, d) => Math.max(e, b!.shape[d]!));
    const product = build(shape, (index) => at(p, index) * at(q, index));
    return reduce(product, [axis], false, (v) => v.reduce((s, e) => s + e, 0));
  },
  ...BOUND,
  cases: {
    rows: { inputs: [normal(3, 4), normal(3, 4)] },
    "every pair": { inputs: [normal(3, 1, 4), normal(1, 2, 4)], args: [{ axis: -1 }] },
  },
  bench: { "embeddings 4096x512": { inputs: [normal(4096, 512), normal(4096, 512)] } },
});

test("where points coincide the gradient is 0, not NaN", () => {
  for (const options of [{ method: "exact" }, { method: "squared" }, { p: 3 }] as const) {
    const a = tensor(
      [
        [1, 2],
        [3, 4],
      ],
      { requiresGrad: true },
    );
    cdist(a, a.detach(), options).sum().backward();
    expect([...a.grad!.dataSync()].every(Number.isFinite)).toBe(true);
  }
  const zero = tensor([[0, 0]], { requiresGrad: true });
  zero.normalize().sum().backward();
  expect([...zero.grad!.dataSync()].every(Number.isFinite)).toBe(true);
});
