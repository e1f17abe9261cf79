/** @file Embedding: look-up, its gradient, and ids that are out of range. */
import { arange, type EmbeddingOptions, embedding, oneHot, ones, tensor } from "napier";
import { type Case, checkOp, expect, test } from "../check.js";
import { at, build, given, ints, normal } from "../nd.js";

const of = (
  ids: number[],
  rows: number,
  cols: number,
  options: EmbeddingOptions = {},
  dtype: "int32" | "int64" | "uint8" = "int32",
): Case<[EmbeddingOptions]> => ({
  inputs: [ints(0, rows, ids, dtype), normal(rows, cols)],
  args: [options],
});

checkOp<[EmbeddingOptions]>("embedding", {
  run: ([ids, weight], options) => embedding(ids, weight, options),
  reference: ([ids, weight]) =>
    build([...ids.shape, weight.shape[1]], (index) => at(weight, [at(ids, index.slice(0, -1)), index.at(-1)!])),
  gradBound: { rms: 4 },
  cases: {
    "1x1": of([1], 1, 1),
    "one id": of([], 5, 3),
    "a matrix of ids": of([4, 3], 7, 5),
    "ids repeat": of([200], 3, 4),
    "wide rows": of([6], 4, 131),
    "many rows": of([50], 1000, 2),
    int64: of([9], 5, 3, {}, "int64"),
    uint8: of([9], 5, 3, {}, "uint8"),
    "no ids": of([0], 5, 3),
  },
  errors: {
    "id too large": [
      () => embedding(tensor([0, 5], { dtype: "int32" }), ones([5, 2])),
      /embedding: expected ids between 0 and 4, got 5/,
    ],
    "negative id": [
      () => embedding(tensor([0, -1], { dtype: "int32" }), ones([5, 2])),
      /embedding: expected ids between 0 and 4, got -1/,
    ],
    "float ids": [
      () => embedding(ones([2]), ones([5, 2])),
      /embedding: expected ids of dtype int32, int64 or uint8, got float32/,
    ],
    "weight of one dimension": [
      () => embedding(tensor([0], { dtype: "int32" }), ones([5])),
      /embedding: expected a weight of shape \[rows,cols\], got \[5\]/,
    ],
    "padding outside": [
      () => embedding(tensor([0], { dtype: "int32" }), ones([5, 2]), { paddingIndex: 5 }),
      /embedding: expected a paddingIndex from -5 to 4, got 5/,
    ],
  },
  bench: { "4096 of 32000x512": of([4096], 32000, 512) },
});

checkOp<[EmbeddingOptions]>("embedding of padding", {
  // The gradient leaves the padding row out, which no difference of forwards shows: weigh it with 0.
  run: ([ids, weight, keep], options) => embedding(ids, weight, options).mul(keep.to(weight.dtype)),
  reference: ([ids, weight, keep]) =>
    build(
      [...ids.shape, weight.shape[1]],
      (index) => at(weight, [at(ids, index.slice(0, -1)), index.at(-1)!]) * at(keep, [index[0], 0]),
    ),
  cases: {
    "row 2": {
      inputs: [given([4, 2, 0, 2], [4], "int32"), normal(5, 3), given([1, 0, 1, 0], [4, 1], "int32")],
      args: [{ paddingIndex: -3 }],
    },
  },
});

test?.("the padding row gets no gradient", () => {
  const weight = ones([4, 2], { requiresGrad: true });
  embedding(tensor([1, 2, 1, 3], { dtype: "int32" }), weight, { paddingIndex: 1 })
    .sum()
    .backward();
  expect(weight.grad!.toArraySync()).toEqual([
    [0, 0],
    [0, 0],
    [1, 1],
    [1, 1],
  ]);
});

test?.("an id that only the kernel sees fails the result, not the process", async () => {
  const ids = arange(4).mul(2); // no known range
  const y = embedding(ids, ones([5, 2]));
  await expect(y.data()).rejects.toThrow(/embedding.*6/);
  expect(
    embedding(arange(4), ones([5, 2]))
      .sum()
      .itemSync(),
  ).toBe(8);
});

test?.("rows of any dtype", () => {
  const y = embedding(tensor([2, 0], { dtype: "int32" }), tensor(Uint8Array.of(1, 2, 3, 4, 5, 6), [3, 2]));
  expect(y.dtype).toBe("uint8");
  expect(y.toArraySync()).toEqual([
    [5, 6],
    [1, 2],
  ]);
});

checkOp<[numClasses: number]>("oneHot", {
  run: ([labels], numClasses) => oneHot(labels!, numClasses),
  reference: ([labels], numClasses) =>
    build([...labels!.shape, numClasses], (index) => Number(at(labels!, index.slice(0, -1)) === index.at(-1)), "int32"),
  grad: false,
  cases: {
    "one label": { inputs: [ints(0, 4, [])], args: [4] },
    "a matrix": { inputs: [ints(0, 5, [3, 4])], args: [5] },
    int64: { inputs: [ints(0, 5, [7], "int64")], args: [6] },
    uint8: { inputs: [ints(0, 5, [7], "uint8")], args: [5] },
    none: { inputs: [ints(0, 5, [0])], args: [3] },
    "long enough to be split": { inputs: [ints(0, 40, [900])], args: [40], dtypes: ["float32"] },
  },
  errors: {
    "a label too large": [
      () => oneHot(tensor([0, 3], { dtype: "int32" }), 3),
      /oneHot: expected labels between 0 and 2, got 3/,
    ],
    "labels of floats": [() => oneHot(ones([2]), 3), /oneHot: expected labels of dtype int32, int64 or uint8/],
    "no classes": [
      () => oneHot(tensor([0], { dtype: "int32" }), 0.5),
      /oneHot: expected a number of classes from 1 up, got 0.5/,
    ],
    "no labels and no classes": [
      () => oneHot(tensor([], { dtype: "int32" })),
      /oneHot: expected numClasses for empty labels, got \[0\]/,
    ],
  },
  bench: { "4096 of 1000": { inputs: [ints(0, 1000, [4096])], args: [1000] } },
});
test("oneHot: dtypes, and classes counted from the labels", () => {
  const labels = tensor([2, 0], { dtype: "int32" });
  for (const dtype of ["float32", "float64", "int64", "bool", "float16"] as const) {
    const y = oneHot(labels, 3, { dtype });
    expect([y.dtype, y.toArraySync()]).toEqual([
      dtype,
      [
        [0, 0, 1],
        [1, 0, 0],
      ],
    ]);
  }
  expect([...oneHot(labels).shape]).toEqual([2, 3]);
  expect([...oneHot(labels.add(1)).shape]).toEqual([2, 4]); // no range is known: they are read
});
test("oneHot: a label that only the kernel sees fails the result", async () => {
  const y = oneHot(tensor([0, 3], { dtype: "int32" }).add(1), 3);
  await expect(y.data("int32")).rejects.toThrow(/oneHot: expected a value between 0 and 2, got 4 \(at flat index 1\)/);
});
