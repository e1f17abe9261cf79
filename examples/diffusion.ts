/**
 * A class-conditional diffusion model (DDPM) on Fashion-MNIST with guidance without a classifier: a small U-Net learns v
 * with min-SNR weights, its averaged weights draw 50 pictures of each class by 50 steps of DDIM, and a separately trained
 * classifier says how many show what was asked for. Some eleven minutes on two busy cores.
 *
 *     npm run example -- diffusion [--data DIR] [--resume]
 */
import { parseArgs } from "node:util";
import { data, diffusion, manualSeed, models, nn, optim, tensor, train } from "napier";
import { pictures28, trainJudge } from "./shared/judge.js";
import { percent, saveResult } from "./shared/pictures.js";

const seed = 231;
const { values } = parseArgs({ options: { data: { type: "string" }, resume: { type: "boolean", default: false } } });
const settings = values.data
  ? { dim: 16, dimMults: [2, 4], batchSize: 64, steps: 3000, lr: 2e-3, samplesAClass: 50, samplingSteps: 50 }
  : { dim: 8, dimMults: [1, 2], batchSize: 32, steps: 40, lr: 2e-3, samplesAClass: 3, samplingSteps: 5 };
const { dim, dimMults, batchSize, steps, lr, samplesAClass, samplingSteps } = settings;
const guidance = 3;

const sets = await pictures28(values.data);
const judge = await trainJudge(sets);
const classes = sets.classes.length;
console.log(`the judge is right on ${percent(judge.accuracy)} of the test pictures`);

manualSeed(seed);
const network = new models.UNet({ layout: "cs231n", dim, dimMults, channels: 1, classes, dropout: 0 });
const parameters = nn.countParameters(network);
console.log(`${parameters.toLocaleString("en-US")} parameters, ${steps} steps of ${batchSize} pictures`);
const process = new diffusion.GaussianDiffusion({ timesteps: 1000, schedule: "cosine", objective: "v", minSnr: 5 });
const optimizer = new optim.Adam(network.parameters(), { lr, betas: [0.9, 0.99] });
const schedule = new optim.OneCycleLR(optimizer, { maxLr: lr, totalSteps: steps, pctStart: 0.1 });
const trainer = new train.DiffusionTrainer(network, process, { optimizer, schedule, classes, ema: 0.995 });
const transform = sets.scale;
const loader = new data.DataLoader(sets.train, { batchSize, shuffle: true, seed, dropLast: true, transform });
const run = trainer.fit(loader, {
  steps,
  logEvery: Math.ceil(steps / 15),
  out: values.data ? "runs/diffusion" : "runs/diffusion-glyphs",
  samples: 2 * classes,
  sampling: { steps: Math.min(20, samplingSteps), guidance },
  sampleEvery: 4 * Math.ceil(steps / 15),
  resume: values.resume,
});
for await (const { step, loss, seconds } of run)
  console.log(`  step ${step}: loss ${loss.toFixed(4)}, ${seconds.toFixed(0)} s`);

const held = await trainer.evaluate(new data.DataLoader(sets.test, { batchSize: 250, transform }), { seed });
for (const { from, to, loss } of held.lossByTime) console.log(`  test loss at ${from}-${to}: ${loss?.toFixed(4)}`);

const labels = Array.from({ length: classes * samplesAClass }, (_, i) => Math.floor(i / samplesAClass));
const begun = performance.now();
const options = { labels, steps: samplingSteps, guidance, seed, batchSize: 100 };
const x = await trainer.sample(labels.length, options);
await x.data();
const sampleSeconds = (performance.now() - begun) / 1e3;
const asked = tensor(Int32Array.from(labels));
const agreement = await judge.agreement(x, asked);
const { confidence } = await judge.census(x);
const byClass: Record<string, number> = {};
for (const [i, name] of sets.classes.entries()) {
  const part = [i * samplesAClass, (i + 1) * samplesAClass] as const;
  byClass[name] = await judge.agreement(x.slice(part), asked.slice(part));
}
console.log(
  `${labels.length} samples by DDIM in ${sampleSeconds.toFixed(1)} s; the judge agrees on ${percent(agreement)}`,
);
for (const [name, share] of Object.entries(byClass)) console.log(`  ${name}: ${percent(share)}`);

// One row a class.
const columns = Math.min(10, samplesAClass);
const rows = x.reshape([classes, samplesAClass, 1, 28, 28]).slice([], [0, columns]).reshape([-1, 1, 28, 28]);
await train.saveImageGrid(`${values.data ? "examples/results" : "runs"}/diffusion.png`, rows, { columns });
await saveResult("diffusion", sets.name, {
  settings: { ...settings, guidance, objective: "v", minSnr: 5, schedule: "cosine", timesteps: 1000, ema: 0.995 },
  seed,
  parameters,
  trainingSeconds: trainer.seconds,
  judgeAccuracy: judge.accuracy,
  samples: labels.length,
  sampleSeconds,
  agreement,
  agreementByClass: byClass,
  confidence,
  testLoss: held.loss,
  testLossByTime: held.lossByTime,
});
