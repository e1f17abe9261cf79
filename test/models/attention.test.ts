/** @file Attention with four layers, rotary and sinusoidal positions, and what GPT generates. */
import { arange, cat, manualSeed, models, nn, noGrad, optim, randn, tensor, zeros } from "napier";
import { describe, expect, test } from "vitest";

const near = (a: ArrayLike<number>, b: ArrayLike<number>, bound = 1e-6) => {
  expect(a.length).toBe(b.length);
  for (let i = 0; i < a.length; i++) expect(Math.abs(a[i]! - b[i]!)).toBeLessThanOrEqual(bound);
};

describe("MultiHeadAttention", () => {
  test("computes what nn.MultiheadAttention does, its maps too", () => {
    manualSeed(3);
    const own = new models.MultiHeadAttention(12, 3);
    const other = new nn.MultiheadAttention(12, 3, { batchFirst: true });
    const { query, key, value, out } = own;
    other.loadStateDict({
      in_proj_weight: cat([query.weight, key.weight, value.weight]),
      in_proj_bias: cat([query.bias!, key.bias!, value.bias!]),
      "out_proj.weight": out.weight,
      "out_proj.bias": out.bias!,
    });
    const [x, y] = [randn([2, 5, 12]), randn([2, 7, 12])];
    const [want, weights] = other.forward(x, y, y, { needWeights: true, averageAttnWeights: false });
    near(own.forward(x, y).dataSync(), want.dataSync());
    const maps = own.maps(x, y);
    expect(maps.weights.shape).toEqual([2, 3, 5, 7]);
    near(maps.weights.dataSync(), weights!.dataSync());
    near(maps.y.dataSync(), want.dataSync());
  });

  test("causal: a later token changes no earlier row", () => {
    const attention = new models.MultiHeadAttention(8, 2, { rotary: true });
    const x = randn([1, 6, 8]);
    const changed = x.clone();
    noGrad(() => changed.copy_(cat([x.slice(null, [0, 5]), zeros([1, 1, 8])], 1)));
    const [a, b] = [x, changed].map((t) => attention.forward(t, t, { causal: true }).slice(0, [0, 5]).dataSync());
    expect(a).toEqual(b);
  });

  test("keys of another width, errors", () => {
    const cross = new models.MultiHeadAttention(8, 2, { kvDim: 3 });
    expect(cross.forward(randn([2, 4, 8]), randn([2, 5, 3])).shape).toEqual([2, 4, 8]);
    expect(() => cross.forward(randn([2, 4, 8]))).toThrow(
      "MultiHeadAttention: expected queries [n,t,8] and keys [n,s,3], got [2,4,8] and [2,4,8]",
    );
    expect(() => new models.MultiHeadAttention(8, 3)).toThrow("expected heads that divide embedDim 8, got 3");
  });
});

describe("positions", () => {
  test("rotary: lengths stay, and products depend on the distance alone", () => {
    const [q, k] = [randn([1, 8], { dtype: "float64" }), randn([1, 8], { dtype: "float64" })];
    const at = (x: typeof q, start: number) => models.rotary(x, { start });
    const product = (i: number, j: number) => at(q, i).mul(at(k, j)).sum().itemSync();
    expect(at(q, 9).square().sum().itemSync()).toBeCloseTo(q.square().sum().itemSync(), 12);
    expect(product(3, 1)).toBeCloseTo(product(12, 10), 12);
    expect(Math.abs(product(3, 1) - product(3, 2))).toBeGreaterThan(1e-6);
    expect(at(q, 0).dataSync()).toEqual(q.dataSync());
    expect(() => models.rotary(zeros([2, 3]))).toThrow("rotary: expected x [...,t,d] with an even number");
  });

  test("sinusoidal: the table of nn.PositionalEncoding", () => {
    const table = new nn.PositionalEncoding(6, { maxLength: 9 }).pe;
    near(models.sinusoidal(9, 6).dataSync(), table.dataSync(), 1e-7);
  });
});

describe("GPT", () => {
  test("the size of nanoGPT's character model, tied", () => {
    const model = new models.GPT({ vocabulary: 65 });
    const count = model.parameters().reduce((n, p) => n + p.size, 0);
    expect(count - 64 * 128).toBe(65 * 128 + 4 * (12 * 128 ** 2 + 2 * 128) + 128); // nanoGPT prints 0.80M
    expect(Object.keys(model.stateDict())).toContain("lm_head.weight");
    expect(model.lmHead.weight).toBe(model.parameters().find((p) => p.shape[0] === 65));
  });

  test("learns a sequence, and generates it again", () => {
    manualSeed(1);
    const period = [3, 1, 4, 1, 5, 9, 2, 6];
    const ids = tensor(Int32Array.from({ length: 17 }, (_, i) => period[i % 8]!)).reshape([1, 17]);
    const model = new models.GPT({ vocabulary: 10, context: 16, dim: 32, layers: 1, heads: 2 });
    const optimizer = new optim.AdamW(model.parameters(), { lr: 1e-2 });
    for (let i = 0; i < 60; i++) {
      optimizer.zeroGrad();
      const scores = model.forward(ids.slice(null, [0, 16]));
      nn.crossEntropy(scores.reshape([16, 10]), ids.slice(0, [1, 17])).backward();
      optimizer.step();
    }
    const more = model.generate(ids.slice(null, [0, 8]), 8, { temperature: 0 }).dataSync();
    expect([...more]).toEqual([...period, ...period]);
    expect(model.generate(ids, 5).shape).toEqual([1, 22]); // beyond the context
    const drawn = (seed: number) => {
      manualSeed(seed);
      return [...model.generate(ids.slice(null, [0, 4]), 8, { temperature: 2, topK: 5 }).dataSync()];
    };
    expect(drawn(4)).toEqual(drawn(4));
    expect(drawn(4)).not.toEqual(drawn(5));
    const [scores] = [model.forward(ids.slice(null, [0, 4])).slice(0, -1)];
    const likeliest = [...scores.topk(2).indices.dataSync()].map(Number);
    for (let i = 0; i < 20; i++) {
      const next = Number(model.generate(ids.slice(null, [0, 4]), 1, { temperature: 9, topK: 2 }).dataSync()[4]);
      expect(likeliest).toContain(next);
    }
  });

  test("errors", () => {
    const model = new models.GPT({ vocabulary: 5, context: 4, dim: 8, layers: 1, heads: 2 });
    expect(() => model.forward(arange(0, 5, 1, { dtype: "int32" }).reshape([1, 5]))).toThrow(
      "GPT: expected token ids [n,t] with t from 1 to 4, got [1,5]",
    );
    expect(() => new models.GPT({ vocabulary: 5, dim: 10, heads: 4 })).toThrow("heads that divide dim 10");
  });
});
