/** @file Autoencoders: shapes, losses by their formulas, and that each learns to make its pictures again. */
import { full, manualSeed, models, optim, rand, randn, type Tensor, tensor, zeros } from "napier";
import { describe, expect, test } from "vitest";

const close = (a: number, b: number, bound = 1e-5) =>
  expect(Math.abs(a - b)).toBeLessThanOrEqual(bound * Math.max(1, Math.abs(b)));
const small = { imageSize: 8, width: 8, latent: 4 } as const;

/** Four pictures of 8x8: bars. */
const bars = (): Tensor =>
  tensor(
    Float32Array.from({ length: 256 }, (_, i) => {
      const [k, row, column] = [i >> 6, (i >> 3) & 7, i & 7];
      return [row < 4, row >= 4, column < 4, column >= 4][k] ? 1 : 0;
    }),
    [4, 1, 8, 8],
  );

function fit(parameters: optim.Adam, loss: () => Tensor, steps: number): [number, number] {
  const values: number[] = [];
  for (let i = 0; i < steps; i++) {
    parameters.zeroGrad();
    const value = loss();
    value.backward();
    parameters.step();
    values.push(value.itemSync());
  }
  return [values[0]!, values.at(-1)!];
}

test("Autoencoder: shapes, and bars come back", () => {
  manualSeed(1);
  expect(new models.Autoencoder({ ...small, spatial: true }).encode(zeros([2, 1, 8, 8])).shape).toEqual([2, 4, 2, 2]);
  const model = new models.Autoencoder(small);
  const x = bars();
  expect(model.encode(x).shape).toEqual([4, 4]);
  const optimizer = new optim.Adam(model.parameters(), { lr: 1e-2 });
  const [first, last] = fit(optimizer, () => model.forward(x).sub(x).square().mean(), 60);
  expect(last).toBeLessThan(first / 10);
  expect(() => model.forward(zeros([1, 1, 6, 8]))).toThrow("Autoencoder: expected pictures [n,1,8,8], got [1,1,6,8]");
  expect(() => new models.Autoencoder({ imageSize: 10 })).toThrow("expected imageSize to be a multiple of 4");
});

describe("VAE", () => {
  test("the loss is the bound, its divergence that of two normal distributions", () => {
    const model = new models.VAE(small).eval();
    const x = rand([3, 1, 8, 8]);
    const { mean, logVariance, y } = model.forward(x);
    const [m, l] = [mean.dataSync(), logVariance.dataSync()];
    const divergence = [...m].reduce((sum, _, i) => sum + 0.5 * (m[i]! ** 2 + Math.exp(l[i]!) - 1 - l[i]!), 0) / 3;
    const [logits, pixels] = [y.dataSync(), x.dataSync()];
    const error =
      [...logits].reduce((sum, v, i) => {
        const p = 1 / (1 + Math.exp(-v));
        return sum - pixels[i]! * Math.log(p) - (1 - pixels[i]!) * Math.log(1 - p);
      }, 0) / 3;
    const got = model.loss(x, { beta: 2 });
    close(got.divergence.itemSync(), divergence);
    close(got.reconstruction.itemSync(), error);
    close(got.loss.itemSync(), error + 2 * divergence);
    const square = y.sub(x).square().sum().itemSync() / 6;
    close(model.loss(x, { likelihood: "gaussian" }).reconstruction.itemSync(), square);
  });

  test("draws have the mean and spread that are asked for", () => {
    manualSeed(2);
    const model = new models.VAE(small);
    const z = model.draw({ mean: full([20000], 3), logVariance: full([20000], Math.log(0.25)) });
    expect(z.mean().itemSync()).toBeCloseTo(3, 1);
    expect(z.std().itemSync()).toBeCloseTo(0.5, 1);
  });

  test("learns bars, and samples lie in [0, 1]", () => {
    manualSeed(3);
    const model = new models.VAE(small);
    const x = bars();
    const [first, last] = fit(new optim.Adam(model.parameters(), { lr: 1e-2 }), () => model.loss(x).loss, 80);
    expect(last).toBeLessThan(first / 3);
    const drawn = model.eval().sample(5);
    expect(drawn.shape).toEqual([5, 1, 8, 8]);
    expect(drawn.min().itemSync()).toBeGreaterThanOrEqual(0);
    expect(drawn.max().itemSync()).toBeLessThanOrEqual(1);
  });
});

describe("VectorQuantizer", () => {
  test("takes the nearest row; the gradient passes; the loss pulls both ways", () => {
    const quantizer = new models.VectorQuantizer(3, 2);
    quantizer.loadStateDict({
      weight: tensor([
        [0, 0],
        [1, 0],
        [0, 2],
      ]),
    });
    const x = tensor([
      [0.9, 0.2],
      [0.1, 1.5],
    ]).requiresGrad_();
    const { z, ids, loss } = quantizer.forward(x);
    expect([...ids.dataSync()].map(Number)).toEqual([1, 2]);
    expect([...z.dataSync()].map((v) => Math.round(v * 1e6) / 1e6)).toEqual([1, 0, 0, 2]);
    const distance = (0.01 + 0.04 + 0.01 + 0.25) / 4;
    close(loss.itemSync(), 1.25 * distance);
    z.sum().backward({ retainGraph: true });
    expect([...x.grad!.dataSync()]).toEqual([1, 1, 1, 1]);
    expect([...quantizer.lookup(ids).dataSync()]).toEqual([1, 0, 0, 2]);
  });

  test("running averages: rows go to the means of what takes them", () => {
    manualSeed(4);
    const quantizer = new models.VectorQuantizer(2, 1, { decay: 0.5 });
    quantizer.loadStateDict({ weight: tensor([[-1], [1]]), counts: tensor([1, 1]), sums: tensor([[-1], [1]]) });
    const x = tensor([[-3], [-5], [7]]);
    for (let i = 0; i < 30; i++) quantizer.forward(x);
    const [low, high] = quantizer.weight.dataSync();
    expect(low!).toBeCloseTo(-4, 3);
    expect(high!).toBeCloseTo(7, 3);
    expect(quantizer.weight.requiresGrad).toBe(false);
    quantizer.eval();
    quantizer.forward(x.mul(2));
    expect(quantizer.weight.dataSync()[0]).toBe(low);
  });

  test("VQVAE learns bars through its table", () => {
    manualSeed(5);
    const model = new models.VQVAE({ width: 8, latent: 4, codes: 16, decay: 0.9 });
    const x = bars();
    const optimizer = new optim.Adam(model.parameters(), { lr: 1e-2 });
    const loss = () => {
      const { y, loss } = model.forward(x);
      return y.sub(x).square().mean().add(loss);
    };
    const [first, last] = fit(optimizer, loss, 80);
    expect(last).toBeLessThan(first / 4);
    const { ids } = model.eval().forward(x);
    expect(ids.shape).toEqual([4, 2, 2]);
    close(model.decode(ids).sub(model.forward(x).y).abs().max().itemSync(), 0, 1e-4);
  });
});

describe("MaskedAutoencoder", () => {
  const options = {
    imageSize: 16,
    patch: 4,
    dim: 16,
    depth: 1,
    heads: 2,
    decoderDim: 16,
    decoderDepth: 1,
    decoderHeads: 2,
  } as const;

  test("three quarters hidden, the loss over them alone, patches there and back", () => {
    const model = new models.MaskedAutoencoder({ ...options, normalizedPixels: false });
    const x = randn([2, 3, 16, 16]);
    const { loss, prediction, mask } = model.forward(x);
    expect([...mask.sum(1).dataSync()]).toEqual([12, 12]);
    expect(prediction.shape).toEqual([2, 16, 48]);
    expect(model.unpatchify(model.patchify(x)).dataSync()).toEqual(x.dataSync());
    const errors = prediction.sub(model.patchify(x)).square().mean(2).mul(mask).sum().itemSync() / 24;
    close(loss.itemSync(), errors);
    expect(model.encode(x).shape).toEqual([2, 17, 16]);
  });

  test("what is hidden does not reach the prediction", () => {
    const model = new models.MaskedAutoencoder({ ...options, normalizedPixels: false });
    const order = tensor(
      Float32Array.from({ length: 16 }, (_, i) => i),
      [1, 16],
    ); // the first four are seen
    const x = randn([1, 3, 16, 16]);
    const other = randn([1, 3, 16, 16]);
    const seen = tensor(
      Float32Array.from({ length: 256 }, (_, i) => (i < 64 ? 1 : 0)),
      [1, 1, 16, 16],
    );
    const mixed = x.mul(seen).add(other.mul(seen.neg().add(1)));
    const [a, b] = [x, mixed].map((p) => model.forward(p, { order }).prediction.dataSync());
    expect(a).toEqual(b);
    const c = model.forward(other, { order }).prediction.dataSync();
    expect(c).not.toEqual(a);
  });

  test("learns to fill in bars", () => {
    manualSeed(6);
    const model = new models.MaskedAutoencoder({
      ...options,
      inChannels: 1,
      imageSize: 8,
      patch: 2,
      maskRatio: 0.5,
      normalizedPixels: false,
    });
    const x = bars();
    const [first, last] = fit(new optim.Adam(model.parameters(), { lr: 3e-3 }), () => model.forward(x).loss, 150);
    expect(last).toBeLessThan(first / 3);
  });

  test("ratios that hide nothing or all", () => {
    expect(() => new models.MaskedAutoencoder({ ...options, maskRatio: 0 })).toThrow(
      "hides 1 to 15 of 16 patches, got 0",
    );
    expect(() => new models.MaskedAutoencoder({ ...options, dim: 18 })).toThrow("multiples of 4 and of the heads");
  });
});
