/** @file Schedules, coefficients and samplers of diffusion against PyTorch's numbers and exact solutions. */
import { readFileSync } from "node:fs";
import {
  capture,
  diffusion,
  full,
  Generator,
  manualSeed,
  memory,
  models,
  noGrad,
  optim,
  randn,
  scope,
  type Tensor,
  tensor,
  zeros,
} from "napier";
import { describe, expect, test } from "vitest";

const { GaussianDiffusion } = diffusion;
const f64 = { dtype: "float64" } as const;
const golden = JSON.parse(readFileSync(new URL("../fixtures/models/diffusion.json", import.meta.url), "utf8"));
const near = (got: ArrayLike<number>, want: ArrayLike<number>, bound = 1e-11) => {
  expect(got.length).toBe(want.length);
  for (let i = 0; i < want.length; i++)
    expect(Math.abs(got[i]! - want[i]!), `element ${i}: ${got[i]}, not ${want[i]}`).toBeLessThanOrEqual(
      bound * Math.max(1, Math.abs(want[i]!)),
    );
};
const times = (t: readonly number[]) => tensor(Int32Array.from(t));

describe.each(["linear", "cosine", "sigmoid"] as const)("the %s schedule", (schedule) => {
  const want = golden[schedule];
  const at = golden.at as number[];
  const process = new GaussianDiffusion({ schedule });

  test("betas and what they leave", () => {
    const pick = (all: Float64Array) => at.map((i) => all[i]!);
    near(pick(process.betas), want.betas);
    near(pick(process.alphasCumprod), want.alphasCumprod);
  });

  test("the posterior, in float64", () => {
    const [one, nought] = [full([at.length, 1], 1, f64), zeros([at.length, 1], f64)];
    near(process.qPosterior(one, nought, times(at)).mean.dataSync(), want.mean0);
    near(process.qPosterior(nought, one, times(at)).mean.dataSync(), want.meanT);
    near(process.qPosterior(one, one, times(at)).variance.dataSync(), want.variance);
  });

  test.each(["noise", "x0", "v"] as const)("min-SNR weights for %s", (objective) => {
    const weights = new GaussianDiffusion({ schedule, objective, minSnr: 5 }).lossWeights;
    near(
      at.map((i) => weights[i]!),
      want.minSnr5[objective],
    );
  });
});

test("published values: DDPM ends at 4.04e-5 of the picture, cosine is clipped at 0.999", () => {
  expect(new GaussianDiffusion({ schedule: "linear" }).alphasCumprod[999]).toBeCloseTo(4.0358e-5, 8);
  expect(diffusion.cosineSchedule(1000)[999]).toBe(0.999);
});

test("noise, picture and v say the same", () => {
  const x = randn([3, 2, 4, 4], f64);
  const noise = randn([3, 2, 4, 4], f64);
  const t = times([0, 400, 999]);
  const outputs: Record<diffusion.Objective, (p: diffusion.GaussianDiffusion) => Tensor> = {
    noise: () => noise,
    x0: () => x,
    v: (p) => p.predictV(x, t, noise),
  };
  for (const objective of ["noise", "x0", "v"] as const) {
    const process = new GaussianDiffusion({ objective, schedule: "linear" });
    const xT = process.qSample(x, t, noise);
    const got = process.predictions(outputs[objective](process), xT, t);
    near(got.xStart.dataSync(), x.dataSync(), 1e-9);
    near(got.noise.dataSync(), noise.dataSync(), 1e-9);
  }
});

test("the loss is the weighted mean square, by picture", () => {
  const process = new GaussianDiffusion({ objective: "x0" });
  const x = randn([4, 1, 2, 2], f64);
  const t = times([1, 200, 600, 900]);
  const { losses } = process.losses((xT) => xT.mul(0), x, { t });
  const want = [...x.square().mean([1, 2, 3]).dataSync()].map(
    (v, i) => v * process.lossWeights[[1, 200, 600, 900][i]!]!,
  );
  near(losses.dataSync(), want);
  near(process.loss((xT) => xT.mul(0), x, { t }).dataSync(), [want.reduce((a, b) => a + b) / 4]);
});

// Pictures drawn from N(0, 0.25): the best network is known, and so is where the probability flow ends.
const spread = 0.5;
const process = new GaussianDiffusion({ timesteps: 1000, schedule: "linear" });
const exact: diffusion.Denoiser = (x, t) => {
  const ab = process.alphasCumprod[t.dataSync()[0]!]!;
  return x.mul(Math.sqrt(1 - ab) / (ab * spread ** 2 + 1 - ab));
};
const errorOf = async (sampler: diffusion.Sampler, steps: number) => {
  const start = full([1, 1], 1.5, f64);
  const x = await process.sample(exact, [1, 1], { sampler, steps, start, clip: false });
  const last = process.alphasCumprod[999]!;
  return Math.abs(x.itemSync() - (1.5 * spread) / Math.sqrt(last * spread ** 2 + 1 - last));
};

test("DDIM with all steps is the reference's loop", async () => {
  const ab = process.alphasCumprod;
  let x = 1.5;
  for (let t = 999; t >= 0; t--) {
    const noise = (x * Math.sqrt(1 - ab[t]!)) / (ab[t]! * spread ** 2 + 1 - ab[t]!);
    const x0 = (x - Math.sqrt(1 - ab[t]!) * noise) / Math.sqrt(ab[t]!);
    x = t === 0 ? x0 : Math.sqrt(ab[t - 1]!) * x0 + Math.sqrt(1 - ab[t - 1]!) * noise;
  }
  const got = await process.sample(exact, [1, 1], { steps: 1000, start: full([1, 1], 1.5, f64), clip: false });
  near(got.dataSync(), [x], 1e-9);
});

test("samplers of second order come nearer with fewer steps", async () => {
  const [ddim, solver, heun] = await Promise.all([errorOf("ddim", 20), errorOf("dpm++2m", 20), errorOf("heun", 20)]);
  expect(solver).toBeLessThan(ddim / 3);
  expect(heun).toBeLessThan(ddim / 3);
  expect(await errorOf("ddim", 200)).toBeLessThan(ddim / 5);
});

test("ancestral sampling has the spread of the pictures", async () => {
  manualSeed(1);
  const x = await process.sample(exact, [4000, 1], { sampler: "ddpm", steps: 200, clip: false });
  expect(Math.sqrt(x.square().mean().itemSync())).toBeCloseTo(spread, 1);
});

test.each(["ddpm", "ddim", "dpm++2m", "heun"] as const)(
  "%s: the same seed draws the same, memory stays",
  async (sampler) => {
    const network = new models.UNet({ dim: 8, channels: 1, dimMults: [1, 2], classes: 3 }).eval();
    const small = new GaussianDiffusion({ timesteps: 20, objective: "v" });
    const condition = times([0, 2]);
    const draw = (seed: number, guidance: number) => {
      manualSeed(seed);
      const options = { sampler, steps: 5, condition, guidance };
      return small.sample((x, t, c) => network.forward(x, t, c), [2, 1, 8, 8], options);
    };
    const [a, b, c] = [await draw(1, 1), await draw(1, 1), await draw(1, 3)];
    expect(a.dataSync()).toEqual(b.dataSync());
    expect(a.dataSync()).not.toEqual(c.dataSync());
    expect(a.abs().max().itemSync()).toBeLessThanOrEqual(1 + 1e-6);
    const before = memory().liveBytes;
    (await draw(2, 2)).free();
    expect(memory().liveBytes).toBeLessThanOrEqual(before);
  },
);

describe("a denoiser that answers a promise", () => {
  const small = new GaussianDiffusion({ timesteps: 20, objective: "v" });
  const network = new models.UNet({ dim: 8, channels: 1, dimMults: [1, 2], classes: 3 }).eval();
  const forward = (x: Tensor, t: Tensor, c: Tensor | null) => network.forward(x, t, c);
  const shape = [2, 1, 8, 8];
  const condition = times([0, 2]);
  const draw = (denoise: diffusion.SamplingDenoiser, options: diffusion.SampleOptions) =>
    small.sample(denoise, shape, { steps: 5, condition, ...options, generator: new Generator(4) });

  test.each([
    { sampler: "ddpm" },
    { sampler: "ddim", eta: 0.5 },
    { sampler: "dpm++2m" },
    { sampler: "heun" },
  ] as diffusion.SampleOptions[])("$sampler captured has the bits of plain, memory stays", async (options) => {
    (await draw(forward, { ...options, guidance: 3 })).free(); // the process's tables
    const before = memory().liveBytes;
    // What a scope frees is no garbage that would have to be found first.
    const denoise = capture((x: Tensor, t: Tensor, c: Tensor | null) => scope(() => noGrad(() => forward(x, t, c))));
    for (const guidance of [1, 3]) {
      const plain = await draw(forward, { ...options, guidance });
      for (let again = 0; again < 2; again++) {
        const x = await draw(denoise, { ...options, guidance });
        expect(x.dataSync()).toEqual(plain.dataSync());
        x.free();
      }
      plain.free();
    }
    expect(denoise.variants).toBe(2); // with the condition and without
    const held = memory().liveBytes;
    (await draw(denoise, { ...options, guidance: 3 })).free();
    expect(memory().liveBytes).toBeLessThanOrEqual(held);
    denoise.free();
    await expect.poll(() => memory().liveBytes).toBeLessThanOrEqual(before); // the stream's thread gives it back
  });

  test("is captured in inpainting too, whose rounds go on in order", async () => {
    const inpaint = { image: full(shape, 0.25), mask: randn(shape).greater(0), resample: 3 };
    const denoise = capture(forward);
    const got = await draw(denoise, { inpaint, sampler: "ddpm" });
    expect(got.dataSync()).toEqual((await draw(forward, { inpaint, sampler: "ddpm" })).dataSync());
    denoise.free();
  });

  test("late answers count as they are, and what is somebody's stays", async () => {
    const late = async (x: Tensor, t: Tensor, c: Tensor | null) => {
      await new Promise((resolve) => setImmediate(resolve));
      return forward(x, t, c).detach();
    };
    const plain = await draw(forward, { sampler: "heun", guidance: 2 });
    expect((await draw(late, { sampler: "heun", guidance: 2 })).dataSync()).toEqual(plain.dataSync());
    const mine = zeros(shape);
    (await draw(async () => mine, {})).free();
    (await draw(() => mine, {})).free();
    expect(mine.isFreed).toBe(false);
  });

  test("one that rejects ends the sampling with its reason; nothing of it stays", async () => {
    const before = memory().liveBytes;
    let asked = 0;
    const breaks = async (x: Tensor, t: Tensor, c: Tensor | null) => {
      if (++asked === 4) throw new Error("no more");
      return forward(x, t, c);
    };
    await expect(draw(breaks, { sampler: "heun", guidance: 2 })).rejects.toThrow("no more");
    expect(memory().liveBytes).toBeLessThanOrEqual(before);
  });
});

test("guidance is the difference that the condition makes, times the scale", async () => {
  const network: diffusion.Denoiser = (x, _, c) => (c ? x.mul(0.2) : x.mul(0.1));
  const start = full([1, 1], 0.3, f64);
  const options = { steps: 1, start, clip: false } as const;
  const guided = await process.sample(network, [1, 1], { ...options, condition: times([0]), guidance: 3 });
  const plain = await process.sample((x) => x.mul(0.4), [1, 1], options); // 0.1 + 3 (0.2 - 0.1)
  near(guided.dataSync(), plain.dataSync(), 1e-9);
});

test.each(["ddpm", "ddim", "dpm++2m", "heun"] as const)("inpainting keeps what is known: %s", async (sampler) => {
  const image = full([2, 1, 4, 4], 0.25, f64);
  const mask = tensor(
    Float64Array.from({ length: 16 }, (_, i) => i % 2),
    [1, 1, 4, 4],
  ).greater(0.5);
  const x = await process.sample(exact, [2, 1, 4, 4], {
    sampler,
    steps: 10,
    start: randn([2, 1, 4, 4], f64),
    inpaint: { image, mask, resample: 3 },
  });
  x.dataSync().forEach((v, i) => {
    if (i % 2) expect(v).toBe(0.25);
    else {
      expect(v).not.toBe(0.25);
      expect(Math.abs(v)).toBeLessThanOrEqual(1); // and no NaN
    }
  });
});

test("a network learns to draw two points", async () => {
  manualSeed(3);
  const small = new GaussianDiffusion({ timesteps: 50, objective: "x0", minSnr: 5 });
  const network = new models.UNet({ dim: 8, channels: 1, dimMults: [1, 2], classes: 2, conditionDropout: 0 });
  const optimizer = new optim.Adam(network.parameters(), { lr: 3e-3 });
  const x = full([8, 1, 4, 4], 0.8).mul(tensor([1, -1, 1, -1, 1, -1, 1, -1], [8, 1, 1, 1]));
  const condition = times([0, 1, 0, 1, 0, 1, 0, 1]);
  const denoise: diffusion.Denoiser = (xT, t, c) => network.forward(xT, t, c);
  for (let i = 0; i < 60; i++) {
    optimizer.zeroGrad();
    small.loss(denoise, x, { condition }).backward();
    optimizer.step();
  }
  network.eval();
  const drawn = await small.sample(denoise, [2, 1, 4, 4], { steps: 10, condition: times([0, 1]) });
  const [a, b] = drawn.mean([1, 2, 3]).dataSync();
  expect(a!).toBeGreaterThan(0.5);
  expect(b!).toBeLessThan(-0.5);
});

test.each([
  [() => new GaussianDiffusion({ timesteps: 0 }), "expected timesteps to be a whole number from 1 up, got 0"],
  [() => new GaussianDiffusion({ schedule: [0.1, 1.5] }), "expected betas between 0 and 1, got 1.5 at 1"],
  [() => new GaussianDiffusion({ minSnr: 0 }), "expected minSnr to be above 0, or null, got 0"],
  [() => process.qSample(zeros([2, 1]), times([1]), zeros([2, 1])), "expected times t int32 [2], got int32 [1]"],
  [() => new models.UNet({ classes: 2, conditionDim: 3 }), "expected conditionDim or classes, got both"],
  [
    () => new models.UNet({ dim: 8 }).forward(zeros([1, 3, 12, 12]), times([1])),
    "UNet: expected pictures [n,3,h,w] with sides that are multiples of 8, got [1,3,12,12]",
  ],
])("errors %#", (fn, sentence) => {
  expect(fn).toThrow(sentence);
});

test("options of sample that cannot be", async () => {
  const draw = (options: diffusion.SampleOptions) => process.sample(exact, [1, 1], options);
  await expect(draw({ steps: 1001 })).rejects.toThrow("expected steps from 1 to 1000, got 1001");
  await expect(draw({ eta: 2 })).rejects.toThrow("expected eta from 0 to 1, got 2");
  // @ts-expect-error: the types refuse it too
  await expect(draw({ sampler: "euler" })).rejects.toThrow("expected a sampler ddpm, ddim");
});

describe("what samplers are handed", () => {
  const process = new GaussianDiffusion({ timesteps: 20, objective: "x0" });
  const samplers = ["ddpm", "ddim", "dpm++2m", "heun"] as const;

  test.each(samplers)("%s: a tensor that the network keeps stays its own", async (sampler) => {
    const target = randn([2, 1, 2, 2]);
    const before = Array.from(target.dataSync());
    const y = await process.sample(() => target, [2, 1, 2, 2], {
      sampler,
      steps: 4,
      clip: false,
      generator: new Generator(1),
    });
    expect(Array.from(target.dataSync())).toEqual(before);
    near(y.dataSync(), before, 1e-5); // the last step answers the prediction
    const same = await process.sample((x) => x, [2, 1, 2, 2], { sampler, steps: 4, clip: false });
    expect(same.dataSync().every(Number.isFinite)).toBe(true);
  });

  test("what onStep clones is kept", async () => {
    const kept: Tensor[] = [];
    const onStep = (x: Tensor) => void kept.push(x.clone());
    const y = await process.sample((x) => x.mul(0.5), [1, 1, 2, 2], { sampler: "ddim", steps: 3, onStep });
    expect(kept.map((x) => x.dataSync().length)).toEqual([4, 4, 4]);
    expect(Array.from(kept[2]!.dataSync())).toEqual(Array.from(y.dataSync()));
  });
});
