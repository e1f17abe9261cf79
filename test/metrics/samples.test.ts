/** @file Measures of samples and of text, against PyTorch's numbers and hand-made ones. */
import { readFileSync } from "node:fs";
import { cat, full, metrics, randn, tensor } from "napier";
import { describe, expect, test } from "vitest";
import { even } from "../models/formula.js";

const golden = JSON.parse(readFileSync(new URL("../fixtures/models/gan.json", import.meta.url), "utf8"));

describe("frechetDistance", () => {
  test("as PyTorch's eigenvalues have it; 0 of a set to itself", async () => {
    const a = tensor(even("a", 60), [20, 3]);
    const b = tensor(even("b", 90), [30, 3]).mul(2).add(0.5);
    expect(await metrics.frechetDistance(a, b)).toBeCloseTo(golden.frechet, 9);
    expect(await metrics.frechetDistance(a, a)).toBeCloseTo(0, 9);
    // Moved alone: the square of the way.
    expect(await metrics.frechetDistance(a, a.add(2))).toBeCloseTo(12, 9);
  });
  test("features of different widths", async () => {
    await expect(metrics.frechetDistance(randn([4, 2]), randn([4, 3]))).rejects.toThrow("expected features [n,2]");
  });
});

test("inceptionScore: from 1 to the number of classes", async () => {
  expect(await metrics.inceptionScore(full([8, 4], 0.25))).toBeCloseTo(1, 9);
  const clear = tensor(
    Float64Array.from({ length: 16 }, (_, i) => (i % 5 === 0 ? 1 : 0)),
    [4, 4],
  );
  expect(await metrics.inceptionScore(clear)).toBeCloseTo(4, 9);
  expect(await metrics.inceptionScore(tensor([1, 0, 1, 0, 1, 0], [3, 2]))).toBeCloseTo(1, 9);
});

test("sampleQuality: what is good, and what is missing", async () => {
  const near = (x: number) => randn([40, 2]).mul(0.1).add(x);
  const real = cat([near(0), near(10)]);
  const half = await metrics.sampleQuality(real, near(0));
  expect(half.precision).toBeGreaterThan(0.8);
  expect(half.recall).toBeLessThan(0.55);
  expect(half.recall).toBeGreaterThan(0.35);
  const far = await metrics.sampleQuality(real, near(-30));
  expect(far).toEqual({ precision: 0, recall: 0 });
  await expect(metrics.sampleQuality(real, near(0), { k: 40 })).rejects.toThrow("expected k from 1 to 39, got 40");
});

test("bits a dimension and perplexity", () => {
  // Evenly over 256 levels of [0, 1]: density 1, 0 nats, 8 bits.
  expect(metrics.bitsPerDimension(0, 10)).toBe(8);
  expect(metrics.bitsPerDimension(10 * Math.log(2), 10, { span: 2 })).toBeCloseTo(8, 12);
  expect(metrics.perplexity(Math.log(50))).toBeCloseTo(50, 9);
});

describe("bleu", () => {
  const words = (s: string) => s.split(" ");
  test("Papineni's example: the repeated word counts as often as a reference has it", () => {
    const references = [words("the cat is on the mat"), words("there is a cat on the mat")];
    expect(metrics.bleu([words("the the the the the the the")], [references], { order: 1 })).toBeCloseTo(2 / 7, 12);
  });
  test("counted by hand", () => {
    // 5 of 6 words, 3 of 5 pairs; as long as its reference
    const got = metrics.bleu([words("the cat sat on the mat")], [[words("the cat is on the mat")]], { order: 2 });
    expect(got).toBeCloseTo(Math.sqrt((5 / 6) * (3 / 5)), 12);
    expect(metrics.bleu([words("a b c d e")], [[words("a b c d e")]])).toBe(1);
    expect(metrics.bleu([words("a b c d")], [[words("a b c d e")]])).toBeCloseTo(Math.exp(1 - 5 / 4), 12);
    expect(metrics.bleu([words("a b c")], [[words("a b d")]])).toBe(0);
    expect(metrics.bleu([words("a b c")], [[words("a b d")]], { smooth: true })).toBeGreaterThan(0);
  });
  test("errors", () => {
    expect(() => metrics.bleu([["a"]], [])).toThrow("expected references for each candidate");
  });
});
