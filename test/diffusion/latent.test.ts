/** @file Latent diffusion: the measured scale, codes there and back, samples of a known distribution, networks and errors. */
import {
  cat,
  data,
  defaultGenerator,
  diffusion,
  Generator,
  manualSeed,
  memory,
  models,
  nn,
  optim,
  rand,
  randn,
  type Tensor,
  tensor,
  zeros,
} from "napier";
import { beforeEach, describe, expect, test } from "vitest";

const { GaussianDiffusion, LatentDiffusion } = diffusion;
const process = new GaussianDiffusion({ timesteps: 50, objective: "v" });
const labels = (t: readonly number[]) => tensor(Int32Array.from(t));
const near = (got: ArrayLike<number>, want: ArrayLike<number>, bound = 1e-6) => {
  expect(got.length).toBe(want.length);
  for (let i = 0; i < want.length; i++)
    expect(Math.abs(got[i]! - want[i]!)).toBeLessThanOrEqual(bound * Math.max(1, Math.abs(want[i]!)));
};

/** Codes are 4 x + 1: a first stage whose codes are known. */
class Affine extends nn.Module {
  toLatents(x: Tensor): Tensor {
    return x.mul(4).add(1);
  }
  fromLatents(z: Tensor): Tensor {
    return z.sub(1).div(4);
  }
  forward(x: Tensor): Tensor {
    return this.fromLatents(this.toLatents(x));
  }
}
const affine = (options: diffusion.LatentDiffusionOptions = {}) =>
  new LatentDiffusion(new Affine(), process, { likelihood: "gaussian", ...options });
const vae = () => new models.VAE({ imageSize: 8, width: 8, latent: 2, spatial: true });
const vqvae = () => new models.VQVAE({ width: 8, latent: 3, codes: 16 });

beforeEach(() => {
  manualSeed(7);
});

describe("the scale", () => {
  test("is 1 / the deviation of all codes, over batches of any size", async () => {
    const [a, b] = [randn([6, 1, 2, 2]).mul(3), randn([3, 1, 2, 2]).add(2)];
    const z = [...a.dataSync(), ...b.dataSync()].map((v) => 4 * v + 1);
    const mean = z.reduce((s, v) => s + v, 0) / z.length;
    const deviation = Math.sqrt(z.reduce((s, v) => s + (v - mean) ** 2, 0) / z.length);
    const latent = affine();
    expect(await latent.measure([[a, labels([0])], [b]])).toBe(latent.scale);
    near([latent.scale], [1 / deviation]);
    expect(latent.shape).toEqual([1, 2, 2]);
    const latents = cat([latent.encode(a), latent.encode(b)]).dataSync();
    near(
      latents,
      z.map((v) => v / deviation),
      1e-5,
    );
  });

  test("makes a VAE's drawn codes of unit variance, by a loader", async () => {
    const latent = new LatentDiffusion(vae(), process);
    const x = rand([1000, 1, 8, 8]);
    await latent.measure(new data.DataLoader(new data.TensorDataset([x]), { batchSize: 300 }));
    const z = latent.encode(x);
    expect(z.shape).toEqual([1000, 2, 2, 2]);
    expect(z.sub(z.mean()).square().mean().itemSync()).toBeCloseTo(1, 1);
  });

  test("a given one is kept as it is", () => {
    const latent = affine({ scale: 0.5, shape: [3] });
    expect(latent.encode(tensor([[1, 2, 3]])).dataSync()).toEqual(Float32Array.of(2.5, 4.5, 6.5));
  });

  test("the same pictures and generator, the same bits, and memory stays", async () => {
    const latent = new LatentDiffusion(vae(), process);
    const x = rand([8, 1, 8, 8]);
    const measured = () => latent.measure([[x]], { generator: new Generator(3) });
    const first = await measured();
    const before = memory().liveBytes;
    expect(await measured()).toBe(first);
    expect(memory().liveBytes).toBeLessThanOrEqual(before);
  });
});

describe("there and back", () => {
  test("an exact first stage gives the pictures", async () => {
    const latent = affine();
    const x = rand([5, 1, 4, 4]);
    await latent.measure([[x]]);
    near(latent.decode(latent.encode(x)).dataSync(), x.dataSync());
  });

  test("VAE: the draw that the generator makes, through a sigmoid or as it is", () => {
    const model = vae();
    const x = rand([3, 1, 8, 8]);
    for (const likelihood of ["bernoulli", "gaussian"] as const) {
      const latent = new LatentDiffusion(model, process, { scale: 2.5, likelihood });
      const z = latent.encode(x, { generator: new Generator(5) });
      const drawn = model.draw(model.encode(x), { generator: new Generator(5) });
      near(z.dataSync(), drawn.mul(2.5).dataSync());
      const y = model.decode(drawn);
      near(latent.decode(z).dataSync(), (likelihood === "bernoulli" ? y.sigmoid() : y).dataSync(), 1e-5);
    }
  });

  test("VQ-VAE: codes before the table, which is on the way back", () => {
    const model = vqvae();
    const x = rand([3, 1, 8, 8]);
    const latent = new LatentDiffusion(model, process, { scale: 4, likelihood: "gaussian" });
    const z = latent.encode(x);
    expect(z.shape).toEqual([3, 3, 2, 2]);
    near(z.div(4).dataSync(), model.encoder.forward(x).dataSync());
    const { y, ids } = model.forward(x);
    near(latent.decode(z).dataSync(), y.dataSync());
    near(latent.decode(z).dataSync(), model.decode(ids).dataSync());
  });

  test("the first stage is in eval mode and gets no gradient", () => {
    const model = vae().train();
    const latent = new LatentDiffusion(model, process, { scale: 1 });
    expect(model.modules().some((m) => m.training)).toBe(false);
    const network = new models.DiT({ imageSize: 2, patch: 1, channels: 2, dim: 8, depth: 1, heads: 2 });
    latent.loss((z, t) => network.forward(z, t), rand([4, 1, 8, 8])).backward();
    expect(model.parameters().every((p) => p.grad === null)).toBe(true);
    expect(network.finalLayer.linear.weight.grad).not.toBeNull();
    expect(latent.decode(randn([1, 2, 2, 2])).requiresGrad).toBe(false);
  });
});

test("the loss is the diffusion's on the latents", () => {
  const latent = affine({ scale: 0.3 });
  const x = rand([4, 1, 2, 2]);
  const options = () => ({ t: labels([3, 20, 40, 49]), noise: randn([4, 1, 2, 2]), condition: labels([1, 2, 3, 4]) });
  const seen: (Tensor | null)[] = [];
  const network: diffusion.Denoiser = (z, _, condition) => {
    seen.push(condition);
    return z.mul(0.5);
  };
  manualSeed(1);
  const got = latent.losses(network, x, options()).losses.dataSync();
  manualSeed(1);
  const want = process.losses(network, x.mul(4).add(1).mul(0.3), options()).losses;
  near(got, want.dataSync());
  expect(seen[0]!.dataSync()).toEqual(Int32Array.of(1, 2, 3, 4));
  manualSeed(1);
  near(latent.loss(network, x, options()).dataSync(), [got.reduce((a, b) => a + b) / 4]);
});

test("with the best network, samples have the pictures' mean and spread", async () => {
  // Pictures from N(-1, 0.25): codes from N(-3, 4), latents from N(-1.5, 1), whose best v is known.
  const latent = affine({ scale: 0.5, shape: [1] });
  const ab = tensor(process.alphasCumprod, { dtype: "float32" });
  const mean = -1.5;
  const best: diffusion.Denoiser = (z, t) => {
    const a = ab.indexSelect(0, t).reshape([-1, 1]);
    const signal = a.sqrt();
    // E[x | z] = mean + a^(1/2) (z - a^(1/2) mean), as x and the noise have unit variance; v = (a^(1/2) z - x) / (1 - a)^(1/2)
    const x = z.sub(signal.mul(mean)).mul(signal).add(mean);
    return signal.mul(z).sub(x).div(a.neg().add(1).sqrt());
  };
  for (const sampler of ["ddpm", "ddim", "dpm++2m"] as const) {
    const x = await latent.sample(best, 2000, { sampler });
    expect(x.shape).toEqual([2000, 1]);
    const centre = x.mean().itemSync();
    expect(centre).toBeCloseTo(-1, 1);
    expect(Math.sqrt(x.sub(centre).square().mean().itemSync())).toBeCloseTo(0.5, 1);
  }
});

const small = { channels: 2, classes: 3, conditionDropout: 0 } as const;
const networks: [name: string, make: () => models.UNet | models.DiT][] = [
  ["U-Net", () => new models.UNet({ ...small, dim: 8, dimMults: [1] })],
  ["DiT", () => new models.DiT({ ...small, imageSize: 2, patch: 1, dim: 16, depth: 1, heads: 2 })],
];

describe.each(networks)("%s", (_, make) => {
  const denoiser =
    (network: models.UNet | models.DiT): diffusion.Denoiser =>
    (z, t, c) =>
      network.forward(z, t, c);

  test("learns a batch by heart", () => {
    const latent = new LatentDiffusion(vae(), process, { scale: 1 });
    const network = make();
    const optimizer = new optim.Adam(network.parameters(), { lr: 1e-2 });
    const x = rand([3, 1, 8, 8]);
    const fixed = { t: labels([10, 25, 49]), noise: randn([3, 2, 2, 2]), condition: labels([0, 1, 2]) };
    const losses = Array.from({ length: 60 }, () => {
      optimizer.zeroGrad();
      const loss = latent.loss(denoiser(network), x, { ...fixed, generator: new Generator(1) });
      loss.backward();
      optimizer.step();
      return loss.itemSync();
    });
    expect(losses.at(-1)!).toBeLessThan(losses[0]! / 20);
  });

  test.each(["ddpm", "ddim", "dpm++2m", "heun"] as const)(
    "%s: a generator draws the same pictures and leaves the others alone; memory stays",
    async (sampler) => {
      const network = make().eval();
      for (const p of network.parameters()) nn.init.normal_(p, 0, 0.2);
      const latent = new LatentDiffusion(vae(), process, { scale: 1.5, shape: [2, 2, 2] });
      const condition = labels([0, 2]);
      const draw = (seed: number, guidance = 2) => {
        const options = { sampler, steps: 4, guidance, condition };
        return latent.sample(denoiser(network), 2, { ...options, generator: new Generator(seed) });
      };
      const state = defaultGenerator.state();
      const [a, b, c, d] = [await draw(1), await draw(1), await draw(2), await draw(1, 1)];
      expect(a.shape).toEqual([2, 1, 8, 8]);
      expect(a.dataSync()).toEqual(b.dataSync());
      expect(a.dataSync()).not.toEqual(c.dataSync());
      expect(a.dataSync()).not.toEqual(d.dataSync());
      expect(a.min().itemSync()).toBeGreaterThanOrEqual(0);
      expect(a.max().itemSync()).toBeLessThanOrEqual(1);
      expect(defaultGenerator.state()).toEqual(state);
      const before = memory().liveBytes;
      (await draw(3)).free();
      expect(memory().liveBytes).toBeLessThanOrEqual(before);
    },
  );
});

describe("errors", () => {
  test.each([
    [{ scale: 0 }, "LatentDiffusion: expected a scale above 0, or null, got 0"],
    [{ scale: Number.NaN }, "LatentDiffusion: expected a scale above 0, or null, got NaN"],
    [{ likelihood: "laplace" as "gaussian" }, 'expected likelihood to be "bernoulli" or "gaussian", got "laplace"'],
  ])("options %o", (options, sentence) => {
    expect(() => affine(options)).toThrow(sentence);
  });

  test("nothing measured", async () => {
    const remedy = "await measure(batches) first, or pass { scale }";
    expect(() => affine().encode(zeros([1, 1, 2, 2]))).toThrow(remedy);
    expect(() => affine().decode(zeros([1, 1, 2, 2]))).toThrow(remedy);
    await expect(affine({ shape: [2] }).sample((z) => z, 1)).rejects.toThrow(remedy);
    await expect(affine({ scale: 1 }).sample((z) => z, 1)).rejects.toThrow("or pass { shape }");
  });

  test("nothing to measure", async () => {
    const latent = affine();
    await expect(latent.measure([])).rejects.toThrow("LatentDiffusion.measure: expected batches of pictures, got none");
    const alike = latent.measure([[zeros([3, 1, 2, 2])]]);
    await expect(alike).rejects.toThrow("expected codes that differ, got a standard deviation of 0");
    const wild = latent.measure([[tensor([1, 2, Number.NaN, 4], [1, 1, 2, 2])]]);
    await expect(wild).rejects.toThrow("got a standard deviation of NaN");
    await expect(latent.measure([[zeros([3, 5])]])).rejects.toThrow("expected latents [n,1,2,2], got [3,5]");
  });

  test("shapes and numbers that do not fit", async () => {
    const latent = affine({ scale: 1, shape: [1, 2, 2] });
    expect(() => latent.encode(zeros([2, 1, 4, 4]))).toThrow("LatentDiffusion.encode: expected latents [n,1,2,2]");
    expect(() => latent.decode(zeros([2, 4]))).toThrow("LatentDiffusion.decode: expected latents [n,1,2,2], got [2,4]");
    await expect(latent.sample((z) => z, 0)).rejects.toThrow("n to be a whole number from 1 up");
    const vq = new LatentDiffusion(vqvae(), process, { scale: 1 });
    expect(() => vq.encode(zeros([1, 1, 6, 8]))).toThrow("VQVAE: expected pictures [n,1,h,w] with sides that are");
  });
});
