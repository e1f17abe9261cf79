/** @file Scaled dot-product attention against its definition: masks, causal, shared heads, dropout, and what it stores. */
import {
  type AttentionOptions,
  attentionWithWeights,
  collectGarbage,
  emptyCache,
  Generator,
  grad,
  memory,
  ones,
  randn,
  resetPeakMemory,
  scaledDotProductAttention,
  tensor,
} from "napier";
import { addon } from "#lib/native.js";
import { type Case, checkOp, expect, test } from "../check.js";
import { at, build, given, type Input, mask, type Nd, normal, total } from "../nd.js";

type Args = [Omit<AttentionOptions, "mask" | "generator"> & { seed?: number }];

const run = ([q, k, v, m]: Parameters<typeof scaledDotProductAttention>[0][], { seed, ...options }: Args[0]) =>
  scaledDotProductAttention(q!, k!, v!, {
    ...options,
    mask: m,
    ...(seed === undefined ? {} : { generator: new Generator(seed) }),
  });

/** y[b, i] = sum_j softmax_j(scale q_i k_j + mask) v_j, 0 where nothing is seen. */
function reference([q, k, v, m]: Nd[], { causal = false, scale, enableGqa = false }: Args[0]): Nd {
  const [s, d, dv] = [k!.shape.at(-2)!, q!.shape.at(-1)!, v!.shape.at(-1)!];
  const factor = scale ?? 1 / Math.sqrt(d);
  const lead = q!.shape.slice(0, -2).map((e, i) => (e === 1 ? (k!.shape[i] ?? 1) : e));
  const cache = new Map<string, number[]>();
  const shared = (index: number[]): number[] => {
    if (!enableGqa) return index;
    const group = q!.shape.at(-3)! / k!.shape.at(-3)!;
    return [...index.slice(0, -1), Math.floor(index.at(-1)! / group)];
  };
  const weights = (b: number[], i: number): number[] => {
    const key = [...b, i].join();
    const known = cache.get(key);
    if (known) return known;
    const scores = Array.from({ length: s }, (_, j) => {
      let x = 0;
      for (let e = 0; e < d; e++) x += at(q!, [...b, i, e]) * at(k!, [...shared(b), j, e]);
      x *= factor;
      if (m) x += m.dtype === "bool" ? (at(m, [...b, i, j]) ? 0 : Number.NEGATIVE_INFINITY) : at(m, [...b, i, j]);
      return causal && j > i ? Number.NEGATIVE_INFINITY : x;
    });
    const top = Math.max(...scores);
    const e = scores.map((x) => (top === Number.NEGATIVE_INFINITY ? 0 : Math.exp(x - top)));
    const sum = total(e) || 1;
    const w = e.map((x) => x / sum);
    cache.set(key, w);
    return w;
  };
  return build([...lead, q!.shape.at(-2)!, dv], (index) => {
    const [b, i, e] = [index.slice(0, -2), index.at(-2)!, index.at(-1)!];
    return total(weights(b, i).map((w, j) => w * at(v!, [...shared(b), j, e])));
  });
}

const of = (lead: number[], t: number, s: number, d: number, dv = d, options: Args[0] = {}, m?: Input): Case<Args> => ({
  inputs: [normal(...lead, t, d), normal(...lead, s, d), normal(...lead, s, dv), ...(m ? [m] : [])],
  args: [options],
});

checkOp<Args>("scaledDotProductAttention", {
  run,
  reference,
  bound: { rms: 8 },
  gradBound: { rms: 64 },
  isaRms: 8,
  isaGradRms: 64,
  cases: {
    "one query, one key, one feature": of([], 1, 1, 1),
    "no leading dimensions": of([], 5, 7, 3),
    "batch and heads": of([2, 3], 4, 4, 5),
    "values of another width": of([2], 3, 6, 4, 9),
    // Up to four queries read keys and values where they stand.
    "one query": of([2, 2], 1, 9, 8),
    "four queries, odd features": of([2], 4, 35, 37, 70),
    "three queries, a mask of every pair, causal": of([2, 2], 3, 40, 2, 2, { causal: true }, mask(2, 2, 3, 40)),
    "two queries that share a key": {
      inputs: [normal(2, 4, 1, 5), normal(2, 2, 6, 5), normal(2, 2, 6, 4)],
      args: [{ enableGqa: true }],
    },
    causal: of([2], 6, 6, 4, 4, { causal: true }),
    "causal, more queries": of([1], 7, 4, 3, 3, { causal: true }),
    "causal, more keys": of([1], 4, 7, 3, 3, { causal: true }),
    "a scale": of([2], 6, 4, 5, 5, { scale: -0.7 }),
    "a float mask": of([2, 2], 6, 4, 2, 2, {}, normal(6, 4)),
    "a bool mask of keys": of([2, 2], 6, 5, 2, 2, {}, given([1, 0, 1, 1, 0, 0, 1, 1, 0, 1], [2, 1, 1, 5], "bool")),
    "a bool mask of every pair": of([2, 2], 6, 4, 2, 2, {}, mask(2, 2, 6, 4)),
    "a mask of heads, and causal": of([2, 2], 6, 6, 3, 3, { causal: true }, mask(2, 1, 6)),
    "a mask over five dimensions": of(
      [2, 1, 2],
      6,
      4,
      2,
      2,
      {},
      given([1, 0, 1, 1, 1, 1, 0, 1], [2, 1, 1, 1, 4], "bool"),
    ),
    "rows that see nothing": of([2], 2, 3, 4, 4, {}, given([0, 0, 0, 1, 0, 1], [2, 3], "bool")),
    "more rows that see nothing": of([2], 6, 2, 4, 4, {}, given([0, 0, 0, 1, 1, 1, 0, 0, 1, 0, 0, 0], [6, 2], "bool")),
    "shared keys broadcast": {
      inputs: [normal(2, 3, 6, 5), normal(2, 1, 6, 5), normal(2, 1, 6, 5)],
      args: [{}],
    },
    "grouped queries": {
      inputs: [normal(2, 4, 7, 5), normal(2, 2, 6, 5), normal(2, 2, 6, 4)],
      args: [{ enableGqa: true, causal: true }],
    },
    // Blocks: 512 keys forward, 96 queries and 256 keys backward; fewer for wide features.
    "keys beyond two blocks": { ...of([1], 7, 1100, 2), gradBound: { rms: 256 } },
    "more rows and keys than a block": { ...of([1], 100, 270, 3), gradBound: { rms: 256 } },
    "more than a block, causal": { ...of([1], 210, 270, 2, 2, { causal: true }), gradBound: { rms: 256 } },
    "more than a forward block, causal": { ...of([1], 560, 560, 1, 1, { causal: true }), grad: false },
    "a mask over more than a block": { ...of([2], 13, 600, 1, 1, {}, mask(13, 600)), gradBound: { rms: 256 } },
    "odd features": { ...of([2], 14, 35, 40, 37), gradBound: { rms: 256 } },
    "256 features": { ...of([1], 5, 70, 256, 200), gradBound: { rms: 256 } },
    "long enough to be split": { ...of([4], 100, 100, 40), grad: false },
    "no batch": of([0, 2], 3, 4, 5),
    "no queries": of([2], 0, 3, 4),
    "no keys": of([2], 2, 0, 4),
    "large scores": { inputs: [given([30, -40, 20, 10], [2, 2]), normal(3, 2), normal(3, 4)], args: [{}], grad: false },
  },
  errors: {
    "features differ": [
      () => scaledDotProductAttention(ones([2, 3]), ones([2, 4]), ones([2, 4])),
      /scaledDotProductAttention: expected q and k with one number of features, got q \[2,3\], k \[2,4\]/,
    ],
    "keys and values differ": [
      () => scaledDotProductAttention(ones([2, 3]), ones([2, 3]), ones([4, 3])),
      /expected k and v with one number of keys/,
    ],
    "mask does not fit": [
      () => scaledDotProductAttention(ones([2, 3]), ones([4, 3]), ones([4, 3]), { mask: ones([4, 2]) }),
      /expected a mask that broadcasts to the scores \[2,4\], got \[4,2\]/,
    ],
    "integer mask": [
      () =>
        scaledDotProductAttention(ones([2, 3]), ones([4, 3]), ones([4, 3]), { mask: ones([4], { dtype: "int32" }) }),
      /expected a mask of dtype bool or float32, got int32/,
    ],
    "heads do not divide": [
      () => scaledDotProductAttention(ones([3, 2, 4]), ones([2, 2, 4]), ones([2, 2, 4]), { enableGqa: true }),
      /expected heads of q that are a multiple/,
    ],
    "dropout beyond 1": [
      () => scaledDotProductAttention(ones([2, 3]), ones([2, 3]), ones([2, 3]), { dropout: 2 }),
      /expected a dropout between 0 and 1, got 2/,
    ],
    "one dimension": [() => scaledDotProductAttention(ones([3]), ones([3]), ones([3])), /expected q \[...,t,d\]/],
    "batches that do not broadcast": [
      () => scaledDotProductAttention(ones([2, 2, 3]), ones([3, 2, 3]), ones([3, 2, 3])),
      /scaledDotProductAttention: expected shapes that broadcast/,
    ],
  },
  bench: {
    "8x4x256x64": of([8, 4], 256, 256, 64),
    "8x4x1024x64": of([8, 4], 1024, 1024, 64),
    "8x4x1024x64, causal": of([8, 4], 1024, 1024, 64, 64, { causal: true }),
  },
});

// The forward has no reference of its own (which weight is dropped is Philox's affair): gradients against differences of
// it, and second derivatives, show that forward, backward and the composed form drop the same ones.
checkOp<Args>("scaledDotProductAttention with dropout", {
  run: (inputs, options) => run(inputs, options).mul(0).add(run(inputs, options)),
  reference: (inputs, options) => {
    const y = run(
      inputs.map((x) => tensor(x.data, x.shape, { dtype: "float64" })),
      options,
    );
    return build(y.shape, (index) => y.slice(...index).itemSync());
  },
  bound: { rms: 64 },
  gradBound: { rms: 64 },
  isaRms: 8,
  isaGradRms: 64,
  cases: {
    "a third": of([2], 6, 5, 4, 4, { dropout: 0.3, seed: 7 }),
    "causal, beyond a block": of([1], 120, 300, 2, 2, { dropout: 0.5, causal: true, seed: 3 }),
    "beyond two blocks": of([1], 6, 1100, 2, 2, { dropout: 0.5, seed: 4 }),
    "two queries": of([2], 2, 70, 3, 3, { dropout: 0.4, seed: 2 }),
    "grouped queries": {
      inputs: [normal(1, 4, 6, 2), normal(1, 2, 5, 2), normal(1, 2, 5, 2)],
      args: [{ dropout: 0.4, enableGqa: true, seed: 5 }],
    },
    all: of([1], 2, 3, 2, 2, { dropout: 1, seed: 1 }),
  },
});

test?.("dropout keeps the mean, and drops its share", () => {
  const [t, s] = [64, 100];
  const v = ones([s, 1]);
  const y = scaledDotProductAttention(ones([t, 4]), ones([s, 4]), v, { dropout: 0.25, generator: new Generator(1) });
  const mean = y.mean().itemSync();
  expect(Math.abs(mean - 1)).toBeLessThan(0.03); // 6,400 weights: standard deviation 0.007
});

test?.("a mask with a gradient gets it", () => {
  const [q, k, v] = [randn([2, 3, 4]), randn([2, 5, 4]), randn([2, 5, 4])];
  const bias = randn([3, 5], { requiresGrad: true });
  const y = scaledDotProductAttention(q, k, v, { mask: bias });
  const plain = scaledDotProductAttention(q, k, v, { mask: bias.detach() });
  expect(y.sub(plain).abs().amax().itemSync()).toBeLessThan(1e-6);
  const [d] = grad(y.square().sum(), [bias]);
  const moved = (e: number) => {
    const m = bias
      .detach()
      .to("float64")
      .add(ones([3, 5], { dtype: "float64" }).mul(0));
    const shift = tensor(
      Float64Array.from({ length: 15 }, (_, i) => (i === 7 ? e : 0)),
      [3, 5],
      { dtype: "float64" },
    );
    const [a, b, c] = [q, k, v].map((x) => x.to("float64"));
    return scaledDotProductAttention(a!, b!, c!, { mask: m.add(shift) })
      .square()
      .sum()
      .itemSync();
  };
  expect(Math.abs(d!.dataSync()[7]! - (moved(1e-5) - moved(-1e-5)) / 2e-5)).toBeLessThan(1e-4);
});

test?.("attentionWithWeights gives the same y, and weights that add up to 1", () => {
  const [q, k, v] = [randn([2, 3, 4]), randn([2, 5, 4]), randn([2, 5, 4])];
  const [y, w] = attentionWithWeights(q, k, v);
  expect([...w.shape]).toEqual([2, 3, 5]);
  expect(w.sum(-1).sub(1).abs().amax().itemSync()).toBeLessThan(1e-6);
  expect(
    y
      .sub(scaledDotProductAttention(q, k, v))
      .abs()
      .amax()
      .itemSync(),
  ).toBeLessThan(1e-6);
});

test?.("memory is linear in the number of queries and keys", () => {
  const peak = (t: number): number => {
    const make = () => randn([1, t, 8], { requiresGrad: true });
    const [q, k, v] = [make(), make(), make()];
    collectGarbage();
    addon.synchronize();
    resetPeakMemory();
    emptyCache(); // scratch memory that lies idle too: what the kernels take for themselves shows as growth
    const { liveBytes, scratchBytes } = memory();
    scaledDotProductAttention(q, k, v, { causal: true, dropout: 0.1 }).sum().backward();
    addon.synchronize();
    return memory().peakBytes - liveBytes + memory().scratchBytes - scratchBytes;
  };
  const [short, long] = [peak(4096), peak(12_288)]; // both long enough for all parts of the backward pass
  expect(long).toBeLessThan(3.2 * short);
  expect(long).toBeLessThan((12_288 * 12_288 * 4) / 16); // of a score matrix
});
