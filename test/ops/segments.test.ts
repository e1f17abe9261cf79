/** @file Bags of embeddings; products of three factors; whole samples dropped. */
import {
  arange,
  bilinear,
  type EmbeddingBagOptions,
  embeddingBag,
  Generator,
  ones,
  stochasticDepth,
  type Tensor,
  tensor,
  zeros,
} from "napier";
import { type Case, checkOp, expect, test } from "../check.js";
import { at, build, given, ints, type Nd, normal } from "../nd.js";

type Options = Pick<EmbeddingBagOptions, "mode" | "paddingIndex"> & { offsets?: number[]; weighted?: boolean };

const bag = ([ids, weight, factors]: Tensor[], { offsets, weighted, ...options }: Options) =>
  embeddingBag(ids!, weight!, {
    ...options,
    offsets: offsets ? tensor(Int32Array.from(offsets), [offsets.length]) : null,
    perSampleWeights: weighted ? factors! : null,
  });

function bagReference(
  [ids, weight, factors]: Nd[],
  { mode = "mean", paddingIndex = null, offsets, weighted }: Options,
): Nd {
  const n = ids!.data.length;
  const length = ids!.shape[1] ?? 0;
  const starts = offsets ?? Array.from({ length: ids!.shape[0]! }, (_, b) => b * length);
  const skip = paddingIndex !== null && paddingIndex < 0 ? paddingIndex + weight!.shape[0]! : paddingIndex;
  return build([starts.length, weight!.shape[1]!], ([b, j]) => {
    const values: number[] = [];
    for (let i = starts[b!]!; i < (starts[b! + 1] ?? n); i++)
      if (ids!.data[i] !== skip) values.push(at(weight!, [ids!.data[i]!, j!]) * (weighted ? factors!.data[i]! : 1));
    if (values.length === 0) return 0;
    if (mode === "max") return Math.max(...values);
    const sum = values.reduce((a, v) => a + v, 0);
    return mode === "sum" ? sum : sum / values.length;
  });
}

const bags = (n: number, rows: number, cols: number, options: Options): Case<[Options]> => ({
  inputs: [ints(0, rows, options.offsets ? [n] : [2, n / 2]), normal(rows, cols)],
  args: [options],
});

checkOp<[Options]>("embeddingBag", {
  run: bag,
  reference: bagReference,
  bound: { rms: 2 },
  cases: {
    "mean of rows": bags(6, 5, 3, {}),
    "sum of rows": bags(6, 5, 3, { mode: "sum" }),
    "max of rows": bags(6, 5, 3, { mode: "max" }),
    "offsets, sum": bags(7, 5, 3, { mode: "sum", offsets: [0, 2, 2, 6] }),
    "offsets, mean": bags(7, 5, 3, { offsets: [0, 2, 2, 6] }),
    "offsets, max": bags(7, 5, 3, { mode: "max", offsets: [0, 2, 2, 6] }),
    "an empty bag at the end": bags(3, 5, 3, { offsets: [0, 3] }),
    "padding, max": {
      inputs: [given([3, 2, 2, 2, 1, 3], [2, 3], "int32"), normal(5, 2)],
      args: [{ mode: "max", paddingIndex: 2 }],
      grad: false,
    },
    "padding, mean": {
      inputs: [given([3, 2, 2, 2, 2, 2], [2, 3], "int32"), normal(5, 2)],
      args: [{ paddingIndex: -3 }],
    },
    "weights of ids": {
      inputs: [ints(0, 5, [2, 3]), normal(5, 3), normal(2, 3)],
      args: [{ mode: "sum", weighted: true }],
    },
    "no ids": bags(0, 5, 3, { offsets: [0, 0] }),
  },
  errors: {
    "two dimensions with offsets": [
      () => embeddingBag(zeros([2, 2], { dtype: "int32" }), ones([5, 2]), { offsets: tensor([0], { dtype: "int32" }) }),
      /embeddingBag: expected ids of shape \[bags,length\], or \[n\] with offsets of shape \[bags\], got \[2,2\] with offsets \[1\]/,
    ],
    "an offset beyond": [
      () => embeddingBag(zeros([2], { dtype: "int32" }), ones([5, 2]), { offsets: tensor([0, 3], { dtype: "int32" }) }),
      /embeddingBag: expected offsets between 0 and 2, got 3/,
    ],
    "weights for a mean": [
      () => embeddingBag(zeros([2, 2], { dtype: "int32" }), ones([5, 2]), { perSampleWeights: ones([2, 2]) }),
      /embeddingBag: expected mode sum with perSampleWeights, got mean/,
    ],
    "another mode": [
      () => embeddingBag(zeros([2, 2], { dtype: "int32" }), ones([5, 2]), { mode: "min" as "max" }),
      /embeddingBag: expected mode sum, mean or max, got "min"/,
    ],
  },
  bench: { "4096 ids of 32000x128 in 64 bags": { inputs: [ints(0, 32000, [64, 64]), normal(32000, 128)], args: [{}] } },
});

test?.("offsets that fall, or that do not start at 0, fail the result and not the process", async () => {
  const [ids, weight] = [zeros([4], { dtype: "int32" }), ones([5, 2])];
  const falling = embeddingBag(ids, weight, { offsets: tensor([0, 3, 1], { dtype: "int32" }), mode: "sum" });
  await expect(falling.data()).rejects.toThrow(/sumSegments.*1/);
  const late = embeddingBag(ids, weight, { offsets: arange(1, 3), mode: "sum" });
  await expect(late.data()).rejects.toThrow(/sumSegments/);
});

checkOp("bilinear", {
  run: ([x1, x2, w, b]) => bilinear(x1!, x2!, w!, b ?? null),
  reference: ([x1, x2, w, b]) =>
    build([...x1!.shape.slice(0, -1), w!.shape[0]!], (index) => {
      const [lead, o] = [index.slice(0, -1), index.at(-1)!];
      let sum = b ? at(b, [o]) : 0;
      for (let i = 0; i < w!.shape[1]!; i++)
        for (let j = 0; j < w!.shape[2]!; j++) sum += at(x1!, [...lead, i]) * at(w!, [o, i, j]) * at(x2!, [...lead, j]);
      return sum;
    }),
  bound: { rms: 8 },
  isaRms: 8,
  isaGradRms: 16,
  cases: {
    "a bias": { inputs: [normal(3, 4), normal(3, 2), normal(5, 4, 2), normal(5)] },
    "no bias, more dimensions": { inputs: [normal(2, 3, 4), normal(2, 3, 2), normal(1, 4, 2)] },
    "one row": { inputs: [normal(4), normal(2), normal(3, 4, 2)] },
  },
  errors: {
    "features do not fit": [
      () => bilinear(ones([3, 4]), ones([3, 3]), ones([5, 4, 2])),
      /bilinear: expected x1 \[...,4\] and x2 \[...,2\] of the same leading dimensions, got \[3,4\] and \[3,3\]/,
    ],
    "a matrix as weight": [
      () => bilinear(ones([3, 4]), ones([3, 3]), ones([5, 4])),
      /bilinear: expected a weight of shape \[out,in1,in2\], got \[5,4\]/,
    ],
  },
  bench: { "128 rows, 256x64x64": { inputs: [normal(128, 64), normal(128, 64), normal(256, 64, 64)] } },
});

checkOp<[number, "row" | "batch"]>("stochasticDepth", {
  run: ([x], p, mode) => stochasticDepth(x!, p, { mode, generator: new Generator(3) }),
  reference: ([x], p, mode) => {
    // Which samples are dropped is Philox's affair: read from ones.
    const n = x!.shape[0]!;
    const kept = stochasticDepth(ones([n, 1], { dtype: "float64" }), p, { mode, generator: new Generator(3) });
    const factor = kept.dataSync("float64");
    return build(x!.shape, (index) => at(x!, index) * factor[index[0]!]!);
  },
  bound: { ulp: 1 },
  cases: {
    "each row": { inputs: [normal(40, 3, 2)], args: [0.3, "row"] },
    "the batch": { inputs: [normal(4, 3)], args: [0.5, "batch"] },
    all: { inputs: [normal(4, 3)], args: [1, "row"] },
  },
  errors: {
    "no probability": [
      () => stochasticDepth(ones([2]), -0.1),
      /stochasticDepth: expected a probability between 0 and 1/,
    ],
    "a scalar": [() => stochasticDepth(tensor(1), 0.5), /stochasticDepth: expected x with a batch dimension, got \[\]/],
  },
  bench: { "32x64x56x56": { inputs: [normal(32, 64, 56, 56)], args: [0.1, "row"] } },
});
