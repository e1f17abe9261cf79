/** @file Tokenizers: published merges, texts there and back, errors. */
import { data } from "napier";
import { describe, expect, test } from "vitest";

describe("CharTokenizer", () => {
  test("characters in order, there and back, surrogate pairs as one", () => {
    const tokenizer = new data.CharTokenizer("banana😀\n");
    expect(tokenizer.characters).toEqual(["\n", "a", "b", "n", "😀"]);
    expect([...tokenizer.encode("nab😀")]).toEqual([3, 1, 2, 4]);
    expect(tokenizer.decode(tokenizer.encode("nab😀\n"))).toBe("nab😀\n");
    expect(() => tokenizer.encode("x")).toThrow('"x" is none of its characters');
    expect(() => tokenizer.decode([9])).toThrow("expected tokens from 0 to 4, got 9 at 0");
  });
});

describe("WordTokenizer", () => {
  const tokenizer = new data.WordTokenizer(["A red circle.", "a blue square, a red dot"], { leastCount: 1 });
  test("words with CS231n's four tokens in front", () => {
    expect(tokenizer.words).toEqual([
      "<pad>",
      "<start>",
      "<end>",
      "<unk>",
      ",",
      ".",
      "a",
      "blue",
      "circle",
      "dot",
      "red",
      "square",
    ]);
    expect([...tokenizer.encode("a green dot")]).toEqual([6, 3, 9]);
    expect([...tokenizer.frame("a red dot", 6)]).toEqual([1, 6, 10, 9, 2, 0]);
    expect([...tokenizer.frame("a red dot", 4)]).toEqual([1, 6, 10, 2]);
    expect(tokenizer.decode([1, 6, 10, 9, 2, 0, 7])).toBe("a red dot");
    expect(new data.WordTokenizer(["a b", "a"], { leastCount: 2 }).size).toBe(5);
  });
});

describe("BytePairTokenizer", () => {
  const plain = (texts: string[], vocabulary: number) =>
    data.BytePairTokenizer.train(texts, { vocabulary, pattern: null });
  const named = (t: data.BytePairTokenizer) => t.merges.map((_, i) => t.decode([256 + i]));

  test("minbpe's example: aaabdaaabac", () => {
    const tokenizer = plain(["aaabdaaabac"], 259);
    expect(named(tokenizer)).toEqual(["aa", "aaa", "aaab"]);
    expect([...tokenizer.encode("aaabdaaabac")]).toEqual([258, 100, 258, 97, 99]);
  });

  test("Sennrich's dictionary: low 5, lower 2, newest 6, widest 3, a dot at each end", () => {
    const words = { "low.": 5, "lower.": 2, "newest.": 6, "widest.": 3 };
    const texts = Object.entries(words).flatMap(([word, n]) => Array<string>(n).fill(word));
    expect(named(plain(texts, 256 + 5))).toEqual(["es", "est", "est.", "lo", "low"]);
  });

  test("every text comes back, whatever it was trained on", () => {
    const tokenizer = data.BytePairTokenizer.train(["The quick brown fox's den, the slow brown bear's den."], {
      vocabulary: 290,
      specialTokens: ["<|end|>"],
    });
    for (const text of ["", "the brown fox", "naïve café 😀 \u0000", "a  b\n\n c", "x<|end|>y<|end|>"])
      expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
    expect([...tokenizer.encode("<|end|>")]).toEqual([tokenizer.size - 1]);
    expect(tokenizer.encode(" brown").length).toBeLessThan(6);
    const again = new data.BytePairTokenizer(JSON.parse(JSON.stringify(tokenizer)));
    expect(again.encode("the brown bear")).toEqual(tokenizer.encode("the brown bear"));
  });

  test("GPT-2's first merges, in its letters", () => {
    // The head of the published merges.txt.
    const tokenizer = data.BytePairTokenizer.fromMerges("#version: 0.2\nĠ t\nĠ a\nh e\ni n\nr e\no n\nĠt he\n");
    expect([...tokenizer.encode(" the inn")]).toEqual([262, 32, 259, 110]);
    expect(tokenizer.decode([262])).toBe(" the");
    expect(() => data.BytePairTokenizer.fromMerges("q zz\n")).toThrow("expected two known tokens");
  });

  test("pairs do not reach across GPT-2's cuts", () => {
    const tokenizer = data.BytePairTokenizer.train([" ab ab ab ab"], { vocabulary: 300 });
    expect(named(tokenizer)).toEqual([" a", " ab"]);
    expect(tokenizer.size).toBe(258);
  });

  test("errors", () => {
    expect(() => data.BytePairTokenizer.train([""], { vocabulary: 10 })).toThrow("a vocabulary from 256 up, got 10");
    expect(() => new data.BytePairTokenizer({ merges: [[97, 300]] })).toThrow("merge 0 joins 97 and 300");
  });
});

describe("TokenWindows", () => {
  test("windows and what follows, by any stride, through a loader", async () => {
    const windows = new data.TokenWindows([...Array(11).keys()], 4);
    expect(windows.length).toBe(7);
    const [x, y] = windows.batch(Int32Array.of(0, 6));
    expect([...x!.dataSync()]).toEqual([0, 1, 2, 3, 6, 7, 8, 9]);
    expect([...y!.dataSync()]).toEqual([1, 2, 3, 4, 7, 8, 9, 10]);
    const apart = new data.TokenWindows([...Array(11).keys()], 4, 4);
    expect(apart.length).toBe(2);
    expect([...apart.batch(Int32Array.of(1))[0]!.dataSync()]).toEqual([4, 5, 6, 7]);
    let n = 0;
    for await (const [batch] of new data.DataLoader(windows, { batchSize: 3, shuffle: true, seed: 1 }))
      n += batch!.shape[0]!;
    expect(n).toBe(7);
    expect(() => windows.batch(Int32Array.of(7))).toThrow("expected indices from 0 to 6, got 7");
    expect(() => new data.TokenWindows([1, 2], 2)).toThrow("more than 2 tokens, got 2");
  });
});
