/**
 * Latent diffusion (Rombach et al. 2022) on Fashion-MNIST: a VAE makes 4x7x7 numbers of 28x28 pixels, and a diffusion
 * transformer learns to draw those by class, with guidance without a classifier. Some eight minutes on two cores.
 *
 *     npm run example -- latent-diffusion [--data DIR] [--resume]
 *
 * A classifier that has seen real pictures alone judges 500 samples: does it see the class that was asked for? Beside it
 * the time that the U-Net of diffusion.ts takes for a sample, on pixels; for that its weights need no training.
 */
import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { parseArgs } from "node:util";
import {
  capture,
  data,
  diffusion,
  Generator,
  io,
  manualSeed,
  models,
  nn,
  optim,
  scope,
  type Tensor,
  tensor,
  train,
  zeros,
} from "napier";
import { firstPictures, pictures28, trainJudge } from "./shared/judge.js";
import { percent, saveResult } from "./shared/pictures.js";

const seed = 231;
const { values } = parseArgs({
  options: { data: { type: "string" }, resume: { type: "boolean", default: false } },
});
const sets = await pictures28(values.data);
const real = sets.name === "fashion-mnist";
const folder = "runs/latent-diffusion";
await mkdir(folder, { recursive: true });
const judge = await trainJudge(sets);

// ---- First the autoencoder: half the square error, and so little of the divergence that codes stay sharp.

const vaeSettings = { latent: 4, width: 32, beta: 0.02, epochs: real ? 5 : 1, batchSize: 128, lr: 3e-3 };
const { latent: channels, width, beta } = vaeSettings;
manualSeed(seed);
const vae = new models.VAE({ latent: channels, width, spatial: true, likelihood: "gaussian" });
const vaePath = `${folder}/vae.safetensors`;
const vaeSeconds = (values.resume && (await loadVae())) || (await trainVae());

/** Seconds of the training that made the kept one, or null. */
async function loadVae(): Promise<number | null> {
  if (!existsSync(vaePath)) return null;
  const { metadata } = await io.inspect(vaePath);
  if (metadata.settings !== JSON.stringify(vaeSettings)) return null;
  vae.loadStateDict(await io.load(vaePath));
  return Number(metadata.seconds);
}

async function trainVae(): Promise<number> {
  const { epochs, batchSize, lr } = vaeSettings;
  const loader = new data.DataLoader(sets.train, {
    batchSize,
    shuffle: true,
    dropLast: true,
    seed,
    transform: sets.scale,
  });
  const optimizer = new optim.Adam(vae.parameters(), { lr });
  const schedule = new optim.OneCycleLR(optimizer, { maxLr: lr, totalSteps: epochs * loader.length });
  const step = capture((x: Tensor) => {
    optimizer.zeroGrad();
    const { loss, reconstruction } = vae.loss(x, { beta });
    loss.backward();
    optimizer.step();
    return reconstruction;
  });
  const start = performance.now();
  for (let epoch = 1; epoch <= epochs; epoch++) {
    const sum = zeros([]);
    for await (const [x, y] of loader) {
      const reconstruction = await step(x!);
      schedule.step();
      sum.add_(reconstruction);
      for (const t of [x!, y!, reconstruction]) t.free();
    }
    console.log(`  VAE, epoch ${epoch}: reconstruction ${((await sum.item()) / loader.length).toFixed(2)}`);
    sum.free();
  }
  const seconds = (performance.now() - start) / 1e3;
  const metadata = { settings: JSON.stringify(vaeSettings), seconds: `${seconds}` };
  await io.save(vaePath, vae.stateDict(), { metadata });
  return seconds;
}

const process = new diffusion.GaussianDiffusion({ timesteps: 1000, schedule: "cosine", objective: "v", minSnr: 5 });
const latent = new diffusion.LatentDiffusion(vae, process);
const [some] = await firstPictures(sets, sets.train, real ? 5000 : 500);
await latent.measure([[some]], { generator: new Generator(seed) });
some.free();

const [x, y] = await firstPictures(sets, sets.test, 1000);
const again = scope(() => latent.decode(latent.encode(x, { generator: new Generator(seed) })));
const squareError = await again.sub(x).square().mean().item();
const kept = await judge.agreement(again, y);
console.log(
  `VAE: ${vaeSeconds.toFixed(0)} s; test pictures come back with a square error of ${squareError.toFixed(4)}, ` +
    `${percent(kept)} still in their class; codes times ${latent.scale.toFixed(3)}`,
);

// ---- Then the diffusion, on what the VAE encodes.

const networkSettings = { imageSize: 7, patch: 1, channels, dim: 96, depth: 4, heads: 3 };
const [steps, batchSize, lr] = real ? [3000, 64, 1.5e-3] : [10, 32, 1e-3];
manualSeed(seed + 1);
const network = new models.DiT({ ...networkSettings, classes: 10 });
const parameters = nn.countParameters(network);
const optimizer = new optim.Adam(network.parameters(), { lr, betas: [0.9, 0.99] });
const trainer = new train.DiffusionTrainer(network, process, {
  optimizer,
  schedule: new optim.OneCycleLR(optimizer, { maxLr: lr, totalSteps: steps, pctStart: 0.1 }),
  classes: 10,
  ema: 0.997,
  encode: (pictures) => latent.encode(pictures),
  decode: (z) => latent.decode(z),
  shape: latent.shape,
});
const loader = new data.DataLoader(sets.train, {
  batchSize,
  shuffle: true,
  dropLast: true,
  seed,
  transform: sets.scale,
});
for await (const event of trainer.fit(loader, {
  steps,
  logEvery: real ? 200 : 5,
  out: folder,
  samples: 0,
  resume: values.resume,
})) {
  console.log(`  step ${event.step}: loss ${event.loss.toFixed(4)}, ${event.seconds.toFixed(0)} s`);
}

// ---- Samples, all classes in turn, and what the judge makes of them.

const sampling = { sampler: "ddim", steps: real ? 50 : 2, guidance: 3 } as const;
const count = real ? 500 : 20;
const labels = Array.from({ length: count }, (_, i) => i % 10);
const asked = tensor(Int32Array.from(labels));
const samples = await trainer.sample(count, { ...sampling, labels, seed, batchSize: 100 });
const agreement = await judge.agreement(samples, asked);
const { confidence, shares } = await judge.census(samples);
console.log(`the judge sees the class asked for in ${percent(agreement)} of ${count} samples`);
const grid = samples.slice([0, 100]);
await train.saveImageGrid(`${real ? "examples/results" : folder}/latent-diffusion.png`, grid, { columns: 10 });

// ---- How long a sample takes, and how long on pixels by a network that was not trained: the time is the same. Both draw
// as many in turns, and the medians count.

manualSeed(seed);
const pixelSettings = { layout: "cs231n", dim: 16, dimMults: [2, 4], channels: 1, classes: 10 } as const;
const pixels = new models.UNet(pixelSettings).eval();
const few = real ? 50 : 2;
const condition = asked.slice([0, few]);
const ways = {
  latents: () => trainer.sample(few, { ...sampling, condition, batchSize: few }),
  pixels: () =>
    process.sample((x, t, c) => pixels.forward(x, t, c), [few, 1, 28, 28], { ...sampling, condition, clip: true }),
};
const milliseconds: Record<keyof typeof ways, number[]> = { latents: [], pixels: [] };
for (let round = 0; round < 3; round++)
  for (const way of ["latents", "pixels"] as const) {
    const start = performance.now();
    const drawn = await ways[way]();
    await drawn.data();
    milliseconds[way].push((performance.now() - start) / few);
    drawn.free();
  }
const median = (numbers: number[]): number => numbers.toSorted((a, b) => a - b)[1]!;
const [millisecondsASample, pixelMillisecondsASample] = [median(milliseconds.latents), median(milliseconds.pixels)];
const timesAsFast = pixelMillisecondsASample / millisecondsASample;
console.log(
  `${millisecondsASample.toFixed(1)} ms a sample, ${pixelMillisecondsASample.toFixed(1)} ms on pixels: ` +
    `${timesAsFast.toFixed(1)} times as fast`,
);

await saveResult("latent-diffusion", sets.name, {
  settings: {
    vae: { ...vaeSettings, likelihood: vae.likelihood, latents: latent.shape },
    process: { timesteps: 1000, schedule: "cosine", objective: "v", minSnr: 5 },
    network: networkSettings,
    training: { steps, batchSize, lr, ema: 0.997 },
    sampling,
  },
  seed,
  parameters: { vae: nn.countParameters(vae), network: parameters },
  trainingSeconds: { vae: vaeSeconds, network: trainer.seconds },
  vae: { squareError, stillInTheirClass: kept, scale: latent.scale },
  judgeAccuracy: judge.accuracy,
  samples: count,
  agreement,
  confidence,
  shares: Object.fromEntries(sets.classes.map((name, i) => [name, shares[i]!])),
  sampling: {
    millisecondsASample,
    pixelMillisecondsASample,
    timesAsFast,
    pixelNetwork: { ...pixelSettings, weights: "untrained; the time does not depend on them" },
  },
});
