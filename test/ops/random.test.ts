/** @file Random tensors: the same numbers for the same draw, and the right distributions; dropout. */
import {
  bernoulli,
  dropout,
  Generator,
  grad,
  manualSeed,
  multinomial,
  normal,
  ones,
  rand,
  randint,
  randintLike,
  randLike,
  randn,
  randperm,
  type Tensor,
  tensor,
  uniform,
  zeros,
} from "napier";
import { describe, expect, test } from "vitest";
import { addon } from "#lib/native.js";

const numbers = (x: Tensor): number[] => Array.from(x.dataSync(x.dtype) as ArrayLike<number | bigint>, Number);
const mean = (v: number[]): number => v.reduce((a, b) => a + b, 0) / v.length;
const std = (v: number[]): number => {
  const m = mean(v);
  return Math.sqrt(mean(v.map((x) => (x - m) ** 2)));
};

describe("draws", () => {
  test("manualSeed repeats everything that follows", () => {
    const run = () => {
      manualSeed(231);
      return [
        rand([5]),
        randn([5]),
        randint(0, 100, [5]),
        randperm(9),
        bernoulli([9], 0.3),
        dropout(ones([9]), 0.5),
      ].map(numbers);
    };
    expect(run()).toEqual(run());
  });

  test("another seed, and the next draw, give other numbers", () => {
    const first = numbers(rand([20], { generator: new Generator(1) }));
    const generator = new Generator(2);
    expect(numbers(rand([20], { generator }))).not.toEqual(first);
    expect(numbers(rand([20], { generator: generator.manualSeed(1) }))).toEqual(first);
    expect(numbers(rand([20], { generator }))).not.toEqual(first);
  });

  test("a generator continues from its saved state", () => {
    const generator = new Generator(7);
    rand([3], { generator });
    const state = JSON.parse(JSON.stringify(generator.state()));
    expect(state).toEqual({ seed: 7, draw: 1 });
    const next = numbers(randn([4], { generator }));
    expect(numbers(randn([4], { generator: new Generator().load(state) }))).toEqual(next);
  });

  test("a generator of one's own leaves the default one alone", () => {
    manualSeed(3);
    const expected = numbers(rand([4]));
    manualSeed(3);
    rand([4], { generator: new Generator(3) });
    expect(numbers(rand([4]))).toEqual(expected);
  });

  test("element i does not depend on the size", () => {
    const of = (n: number) => numbers(randn([n], { generator: new Generator(5) }));
    expect(of(1000).slice(0, 37)).toEqual(of(37));
  });

  test("seeds that are no whole numbers are refused", () => {
    expect(() => manualSeed(1.5)).toThrow(/expected a seed that is an integer from 0 to 2\^53 - 1, got 1.5/);
    expect(() => new Generator(-1)).toThrow(/got -1/);
    expect(() => new Generator().load({ seed: 1, draw: Number.NaN })).toThrow(/expected a draw/);
  });
});

describe.each(["float32", "float64"] as const)("distributions in %s", (dtype) => {
  const n = 100_000;
  const generator = new Generator(231);

  test("uniform", () => {
    const v = numbers(uniform([n], { low: -2, high: 3, dtype, generator }));
    expect(v.every((x) => x >= -2 && x < 3)).toBe(true);
    expect(mean(v)).toBeCloseTo(0.5, 1);
    expect(std(v)).toBeCloseTo(5 / Math.sqrt(12), 1);
  });
  test("normal", () => {
    const v = numbers(normal([n], { mean: 4, std: 0.5, dtype, generator }));
    expect(mean(v)).toBeCloseTo(4, 1.9);
    expect(std(v)).toBeCloseTo(0.5, 1.9);
    // The share within one, two and three standard deviations.
    [0.6827, 0.9545, 0.9973].forEach((share, i) => {
      expect(v.filter((x) => Math.abs(x - 4) < (i + 1) * 0.5).length / n).toBeCloseTo(share, 2);
    });
  });
});

describe("distributions", () => {
  const generator = new Generator(11);
  test("randint covers its range evenly", () => {
    const v = numbers(randint(-3, 4, [70_000], { generator }));
    for (let i = -3; i < 4; i++) expect(v.filter((x) => x === i).length / 10_000).toBeCloseTo(1, 1);
    expect(v.every((x) => x >= -3 && x < 4)).toBe(true);
  });
  test.each(["int32", "int64", "uint8", "int8"] as const)("randint in %s", (dtype) => {
    const y = randint(0, 100, [50], { dtype, generator });
    expect(y.dtype).toBe(dtype);
    expect(numbers(y).every((x) => Number.isInteger(x) && x >= 0 && x < 100)).toBe(true);
  });
  test("randperm is a permutation", () => {
    const v = numbers(randperm(1000, { generator }));
    expect(v).not.toEqual([...v].sort((a, b) => a - b));
    expect(v.sort((a, b) => a - b)).toEqual(Array.from({ length: 1000 }, (_, i) => i));
    expect(numbers(randperm(0))).toEqual([]);
  });
  test("bernoulli", () => {
    const y = bernoulli([100_000], 0.3, { generator });
    expect(y.dtype).toBe("bool");
    expect(mean(numbers(y))).toBeCloseTo(0.3, 2);
    expect(numbers(bernoulli([50], 0)).some(Boolean)).toBe(false);
    expect(numbers(bernoulli([50], 1)).every(Boolean)).toBe(true);
  });
  test("options: dtype, leaf, like", () => {
    expect(rand([2], { dtype: "float64" }).dtype).toBe("float64");
    expect(rand([2], { dtype: "float16" }).dtype).toBe("float16");
    expect(randn([2], { requiresGrad: true }).requiresGrad).toBe(true);
    const like = randLike(zeros([2, 3], { dtype: "float64" }));
    expect([like.dtype, [...like.shape]]).toEqual(["float64", [2, 3]]);
  });
  test("in place", () => {
    const x = zeros([1000]);
    expect(x.uniform_(2, 3, { generator })).toBe(x);
    expect(numbers(x).every((v) => v >= 2 && v < 3)).toBe(true);
    expect(mean(numbers(x.normal_(5, 0.1, { generator })))).toBeCloseTo(5, 1);
  });
  test("errors", () => {
    expect(() => randint(5, 5, [2])).toThrow(/randint: expected integers .* low < high .* got 5 and 5/);
    expect(() => randint(0, 300, [2], { dtype: "uint8" })).toThrow(
      /randint: expected integers 0 <= low < high <= 256 for uint8/,
    );
    expect(() => rand([2], { dtype: "int32" })).toThrow(/rand: expected a float dtype/);
    expect(() => rand([-1])).toThrow(/rand: expected a shape/);
    expect(() => bernoulli([2], 1.5)).toThrow(/bernoulli: expected a probability between 0 and 1, got 1.5/);
    expect(() => uniform([2], { low: 3, high: 1 })).toThrow(/uniform: expected finite bounds low <= high, got 3 and 1/);
    expect(() => normal([2], { std: -1 })).toThrow(/normal: expected a finite mean and a standard deviation from 0 up/);
  });
});

describe("dropout", () => {
  test("zero or x / (1 - p), and the share of zeros is p", () => {
    const v = numbers(dropout(ones([100_000]), 0.25, { generator: new Generator(1) }));
    expect(new Set(v)).toEqual(new Set([0, Math.fround(1 / 0.75)]));
    expect(v.filter((x) => x === 0).length / v.length).toBeCloseTo(0.25, 2);
  });
  test("the gradient, and the gradient's gradient, have the mask of the forward", () => {
    const x = ones([64], { requiresGrad: true, dtype: "float64" });
    const y = dropout(x, 0.4);
    const dy = tensor(
      Float64Array.from({ length: 64 }, (_, i) => i + 1),
      { requiresGrad: true },
    );
    const [dx] = grad(y, [x], { gradOutputs: [dy], createGraph: true });
    const mask = numbers(y);
    expect(numbers(dx)).toEqual(mask.map((m, i) => (i + 1) * m));
    expect(numbers(grad(dx.sum(), [dy])[0])).toEqual(mask);
  });
  test("p 0 and eval are x itself and take no draw; p 1 is zero", () => {
    const generator = new Generator(4);
    const x = ones([8]);
    expect(dropout(x, 0, { generator })).toBe(x);
    expect(dropout(x, 0.5, { training: false, generator })).toBe(x);
    expect(generator.state().draw).toBe(0);
    const inf = tensor([Number.POSITIVE_INFINITY, Number.NaN, 1]);
    expect(numbers(dropout(inf, 1))).toEqual([0, 0, 0]);
  });
  test("errors", () => {
    expect(() => dropout(ones([2]), 1.5)).toThrow(/dropout: expected a probability between 0 and 1, got 1.5/);
    expect(() => dropout(ones([2], { dtype: "int32" }))).toThrow(/dropout: expected float32 or float64, got int32/);
  });
});

describe("multinomial", () => {
  const weights = [0.5, 0, 2, 1.5];
  const generator = new Generator(11);
  test("with replacement: shares go by the weights, and weight 0 never comes", () => {
    const v = numbers(multinomial(tensor(weights), 40_000, { replacement: true, generator }));
    for (const [i, w] of weights.entries())
      expect(Math.abs(v.filter((x) => x === i).length / v.length - w / 4)).toBeLessThan(0.01); // 4 standard deviations
  });
  test("without: rows are distinct, and first and second come as if drawn one after the other", () => {
    const rows = 20_000;
    const p = tensor(
      Float64Array.from({ length: rows * 4 }, (_, i) => weights[i % 4]!),
      [rows, 4],
    );
    const y = multinomial(p, 2, { generator });
    expect([y.dtype, ...y.shape]).toEqual(["int32", rows, 2]);
    const v = numbers(y);
    const count = (first: number, second: number) => {
      let n = 0;
      for (let r = 0; r < rows; r++) n += Number(v[2 * r] === first && v[2 * r + 1] === second);
      return n / rows;
    };
    for (const a of [0, 2, 3])
      for (const b of [0, 2, 3])
        expect(count(a, b)).toBeCloseTo(a === b ? 0 : ((weights[a]! / 4) * weights[b]!) / (4 - weights[a]!), 1.9);
  });
  test("all columns are a permutation; one row of float32 alone gives the same each run", () => {
    const run = () => numbers(multinomial(ones([100]), 100, { generator: new Generator(5) }));
    const v = run();
    expect([...v].sort((a, b) => a - b)).toEqual(Array.from({ length: 100 }, (_, i) => i));
    expect(run()).toEqual(v);
    expect(v).not.toEqual([...v].sort((a, b) => a - b));
  });
  test("the same bits for any number of threads and on every instruction set", () => {
    const p = rand([300, 200], { generator: new Generator(3) });
    const run = (replacement: boolean) =>
      numbers(multinomial(p, 20, { replacement, generator: new Generator(9) })).join();
    const [threads, isa] = [addon.threads(), addon.isa()];
    try {
      for (const replacement of [false, true]) {
        const want = run(replacement);
        for (const n of [1, 2, 4]) {
          addon.synchronize();
          addon.threads(n);
          expect(run(replacement)).toBe(want);
        }
        for (const name of addon.isas()) {
          addon.isa(name);
          expect(run(replacement)).toBe(want);
        }
        addon.isa(isa);
      }
    } finally {
      addon.synchronize();
      addon.threads(threads);
      addon.isa(isa);
    }
  });
  test("errors, at the call and of what only the kernel sees", async () => {
    expect(() => multinomial(ones([3]), 4)).toThrow(
      /multinomial: expected from 1 to 3 samples \(more with \{ replacement: true \}\), got 4/,
    );
    expect(() => multinomial(ones([3]), 0, { replacement: true })).toThrow(/a number of samples from 1 up, got 0/);
    expect(() => multinomial(ones([2, 3, 4]), 1)).toThrow(/expected weights \[cols\] or \[rows,cols\], got \[2,3,4\]/);
    expect(() => multinomial(ones([3], { dtype: "int32" }), 1)).toThrow(/multinomial: expected float32 or float64/);
    expect(() => multinomial(ones([2, 0]), 1)).toThrow(
      /multinomial: expected from 1 to 2\^31 - 1 columns, got \[2,0\]/,
    );
    const p = tensor([
      [1, 1, 0],
      [0, 1, 0],
    ]);
    await expect(multinomial(p, 2).data("int32")).rejects.toThrow(
      /multinomial: expected a value between 2 and 3, got 1 \(at flat index 1\)/,
    );
    for (const bad of [-1, Number.NaN, Number.POSITIVE_INFINITY])
      await expect(multinomial(tensor([1, bad]), 1).data("int32")).rejects.toThrow(/between 1 and 2, got 0/);
  });
});

test("bernoulli of a tensor of probabilities, randintLike", () => {
  const p = zeros([30_000])
    .assign_([[0, 10_000]], 1)
    .assign_([[10_000, 20_000]], 0.25);
  const v = numbers(bernoulli(p, { generator: new Generator(2) }));
  const share = (from: number) => v.slice(from, from + 10_000).filter(Boolean).length / 10_000;
  expect([share(0), share(20_000)]).toEqual([1, 0]);
  expect(share(10_000)).toBeCloseTo(0.25, 1);
  expect(p.bernoulli().dtype).toBe("bool");
  expect(() => bernoulli(ones([2], { dtype: "int32" }))).toThrow(/bernoulli: expected float32 or float64, got int32/);
  const like = randintLike(zeros([50], { dtype: "uint8" }), 3, 6);
  expect([like.dtype, ...new Set(numbers(like))].sort()).toEqual([3, 4, 5, "uint8"]);
  expect(randintLike(zeros([2]), 0, 2).dtype).toBe("int32");
});
