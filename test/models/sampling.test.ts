/** @file What draws or says something leaves the model as it was: in eval mode, without gradients, memory flat. */
import { manualSeed, memory, models, nn, optim, rand, randn, scope, type Tensor, tensor } from "napier";
import { describe, expect, test } from "vitest";
import { inEval } from "#lib/nn/inEval.js";

const ids = (rows: number[][]) => tensor(Int32Array.from(rows.flat()), [rows.length, rows[0]!.length]);
const values = (t: Tensor) => [...t.dataSync()].map(Number);
const modesOf = (model: nn.Module) => model.modules().map((m) => m.training);

describe("inEval", () => {
  /** All in training but one of its three. */
  const mixed = () => {
    const model = new nn.Sequential(new nn.Linear(2, 2), new nn.Dropout(0.5), new nn.ReLU());
    (model.at(1) as nn.Dropout).training = false;
    return model;
  };
  const kept = [true, true, false, true];

  test("each module gets its own mode back: behind a result, an error, a promise, a rejection", async () => {
    const model = mixed();
    expect(inEval(model, () => modesOf(model))).toEqual([false, false, false, false]);
    expect(modesOf(model)).toEqual(kept);
    const fails = () => {
      throw new Error("no");
    };
    expect(() => inEval(model, fails)).toThrow("no");
    expect(modesOf(model)).toEqual(kept);
    const running = inEval(model, async () => {
      await null;
      return modesOf(model);
    });
    expect(await running).toEqual([false, false, false, false]);
    expect(modesOf(model)).toEqual(kept);
    await expect(inEval(model, async () => fails())).rejects.toThrow("no");
    expect(modesOf(model)).toEqual(kept);
  });
});

describe("GPT.generate", () => {
  const sizes = { vocabulary: 11, context: 6, dim: 16, layers: 2, heads: 2 } as const;

  test("with dropout the likeliest tokens are the same at each call, and those in eval mode", () => {
    manualSeed(1);
    const model = new models.GPT({ ...sizes, dropout: 0.5 });
    for (const p of model.parameters()) nn.init.normal_(p, 0, 0.5); // scores apart from each other
    const said = () => values(model.generate(ids([[1, 2]]), 12, { temperature: 0 }));
    const [first, second] = [said(), said()];
    expect(second).toEqual(first);
    expect(modesOf(model).every(Boolean)).toBe(true);
    model.eval();
    expect(said()).toEqual(first);
  });

  test("a token answered belongs to the one who asked; nothing else stays", () => {
    const model = new models.GPT(sizes);
    const begin = ids([[1, 2]]);
    model.generate(begin, 2).free();
    const before = memory().tensors;
    const y = model.generate(begin, 20, { topK: 3 });
    expect(memory().tensors).toBeLessThanOrEqual(before + 1);
    expect(y.shape).toEqual([1, 22]);
    expect(values(begin)).toEqual([1, 2]);
  });

  test("rotary positions: no table, order matters, learned by heart, odd heads refused", () => {
    manualSeed(2);
    const model = new models.GPT({ ...sizes, layers: 1, positions: "rotary" });
    expect(Object.keys(model.stateDict()).filter((key) => key.includes("wpe"))).toEqual([]);
    expect(Object.keys(new models.GPT(sizes).stateDict())).toContain("transformer.wpe.weight");
    const [a, b] = [ids([[1, 2, 3]]), ids([[2, 1, 3]])].map((x) => values(model.forward(x).slice(null, -1)));
    expect(a).not.toEqual(b);
    const [x, y] = [ids([[1, 2, 3, 2, 1, 4]]), tensor(Int32Array.from([2, 3, 2, 1, 4, 5]))];
    const optimizer = new optim.Adam(model.parameters(), { lr: 2e-2 });
    for (let i = 0; i < 30; i++) {
      optimizer.zeroGrad();
      scope(() => nn.crossEntropy(model.forward(x).reshape([6, 11]), y).backward());
      optimizer.step();
    }
    expect(values(model.generate(ids([[1]]), 5, { temperature: 0 }))).toEqual([1, 2, 3, 2, 1, 4]);
    expect(() => new models.GPT({ ...sizes, dim: 15, heads: 3, positions: "rotary" })).toThrow(
      "GPT: expected an even number of features a head for rotary positions, got 5 (dim 15, heads 3); take dim 18",
    );
    // @ts-expect-error: the types refuse it too
    expect(() => new models.GPT({ ...sizes, positions: "sines" })).toThrow(
      'positions "learned" or "rotary", got "sines"',
    );
  });
});

describe("VAE.sample", () => {
  const small = { imageSize: 8, width: 4, latent: 3 } as const;

  test("moves no statistics, wants no gradient, and stays in training", () => {
    const model = new models.VAE(small);
    model.loss(rand([4, 1, 8, 8])); // statistics that are not their beginning
    const state = () => Object.values(model.stateDict()).map(values);
    const before = state();
    manualSeed(3);
    const drawn = model.sample(5);
    expect(drawn.requiresGrad).toBe(false);
    expect(state()).toEqual(before);
    expect(modesOf(model).every(Boolean)).toBe(true);
    manualSeed(3);
    expect(values(model.eval().sample(5))).toEqual(values(drawn));
    const tensors = memory().tensors;
    model.sample(5).free();
    expect(memory().tensors).toBeLessThanOrEqual(tensors);
  });

  test("gaussian pictures are as they are decoded, in loss and sample", () => {
    const model = new models.VAE({ ...small, likelihood: "gaussian" });
    nn.init.constant_((model.decoder.at(-1) as nn.ConvTranspose2d).bias!, 7);
    const drawn = values(model.sample(3));
    expect(Math.min(...drawn)).toBeGreaterThan(1);
    model.eval();
    const x = rand([3, 1, 8, 8]);
    const { y } = model.forward(x);
    const square = y.sub(x).square().sum().itemSync() / 6;
    expect(model.loss(x).reconstruction.itemSync()).toBeCloseTo(square, 2);
    expect(model.loss(x, { likelihood: "bernoulli" }).reconstruction.itemSync()).not.toBeCloseTo(square, 2);
    expect(new models.VAE(small).likelihood).toBe("bernoulli");
  });

  test("another likelihood is told", () => {
    const sentence = 'expected likelihood to be "bernoulli" or "gaussian", got "laplace"';
    // @ts-expect-error: the types refuse it too
    expect(() => new models.VAE({ ...small, likelihood: "laplace" })).toThrow(`VAE: ${sentence}`);
    // @ts-expect-error: the types refuse it too
    const loss = () => new models.VAE(small).loss(rand([2, 1, 8, 8]), { likelihood: "laplace" });
    expect(loss).toThrow(`VAE.loss: ${sentence}`);
    expect(() => new models.VAE(small).sample(0)).toThrow(
      "VAE.sample: expected n to be a whole number from 1 up, got 0",
    );
  });
});

test("CLIP.classify: statistics and modes stay, no gradient, the same with dropout", () => {
  manualSeed(4);
  const image = new nn.Sequential(new nn.Flatten(), new nn.Linear(12, 8), new nn.BatchNorm1d(8), new nn.Dropout(0.5));
  const text = new models.TextEncoder({ vocabulary: 10, dim: 8, heads: 2, layers: 1, context: 4 });
  const model = new models.CLIP(image, text, { imageDim: 8, textDim: 8, dim: 4 });
  const [pictures, texts] = [randn([16, 3, 2, 2]), ids(Array.from({ length: 10 }, (_, i) => [i]))];
  const before = values(model.stateDict()["image.2.running_mean"]!);
  const first = model.classify(pictures, texts);
  expect(first.requiresGrad).toBe(false);
  for (let i = 0; i < 4; i++) expect(values(model.classify(pictures, texts))).toEqual(values(first));
  expect(values(model.stateDict()["image.2.running_mean"]!)).toEqual(before);
  expect(modesOf(model).every(Boolean)).toBe(true);
});
