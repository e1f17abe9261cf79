/**
 * A DCGAN on Fashion-MNIST (Radford et al. 2015), no labels: generator and discriminator of two strided convolutions each,
 * a running average of the generator for the samples. A classifier that was trained on the real pictures judges 2,000
 * samples: how sure it is, how they spread over the classes, and at each tenth of the run the Fréchet distance of its
 * features to those of the test pictures. Some ten minutes on two cores; both networks are
 * kept in runs/dcgan, where --resume goes on from the last tenth. Without data digits are drawn, for seconds.
 *
 *     noise 64 -> Linear 256 -> Linear 512 -> Linear -> [96,7,7] -> 4x4 s2 up -> [48,14,14] -> 4x4 s2 up -> tanh -> [1,28,28]
 *     [1,28,28] -> 4x4 s2 -> [48,14,14] -> 4x4 s2 -> [96,7,7] -> Linear -> score
 *
 *     npm run example -- dcgan --data DIR [--resume]
 */
import { existsSync } from "node:fs";
import { mkdir, readFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { cat, data, io, manualSeed, metrics, nn, optim, scope, type Tensor, train } from "napier";
import { firstPictures, pictures28, trainJudge } from "./shared/judge.js";
import { percent, printTable, saveResult } from "./shared/pictures.js";

const seed = 231;
const { values } = parseArgs({ options: { data: { type: "string" }, resume: { type: "boolean", default: false } } });
const sets = await pictures28(values.data);
const real = values.data !== undefined;
const [steps, count] = real ? [7000, 2000] : [40, 500];
const [noiseDim, width, batchSize, ema] = [64, 48, 64, real ? 0.998 : 0.9];
const [lr, marks] = [1e-3, 10];
const logEvery = steps / marks;
const judge = await trainJudge(sets);

// Kinds of clothes lie apart, noise does not: hidden layers let the generator pull it apart.
const hidden = (from: number, to: number) => [
  new nn.Linear(from, to, { bias: false }),
  new nn.BatchNorm1d(to),
  new nn.ReLU(),
];
manualSeed(seed);
const generator = new nn.Sequential(
  ...hidden(noiseDim, 256),
  ...hidden(256, 512),
  new nn.Linear(512, 2 * width * 7 * 7, { bias: false }),
  new nn.Unflatten(1, [2 * width, 7, 7]),
  new nn.BatchNorm2d(2 * width),
  new nn.ReLU(),
  new nn.ConvTranspose2d(2 * width, width, 4, { stride: 2, padding: 1, bias: false }),
  new nn.BatchNorm2d(width),
  new nn.ReLU(),
  new nn.ConvTranspose2d(width, 1, 4, { stride: 2, padding: 1 }),
  new nn.Tanh(),
);
const discriminator = new nn.Sequential(
  new nn.Conv2d(1, width, 4, { stride: 2, padding: 1 }),
  new nn.LeakyReLU(0.2),
  new nn.Conv2d(width, 2 * width, 4, { stride: 2, padding: 1, bias: false }),
  new nn.BatchNorm2d(2 * width),
  new nn.LeakyReLU(0.2),
  new nn.Flatten(),
  new nn.Linear(2 * width * 7 * 7, 1),
);
const parametersOf = (m: nn.Module) => m.parameters().reduce((n, p) => n + p.size, 0);
const parameters = { generator: parametersOf(generator), discriminator: parametersOf(discriminator) };
console.log(`${parameters.generator} and ${parameters.discriminator} parameters, ${steps} steps`);

/** Both rates fall along a cosine, by tenths of the run. */
class ByTenths extends optim.CosineAnnealingLR {
  protected override rate(base: number, step: number): number {
    return super.rate(base, Math.floor(step / logEvery));
  }
}
const optimizers = [generator, discriminator].map((network) => train.ganOptimizer(network, { lr })) as [
  optim.Adam,
  optim.Adam,
];
const schedules = optimizers.map((optimizer) => new ByTenths(optimizer, { tMax: marks, etaMin: lr / 20 }));
const trainer = new train.GanTrainer(generator, discriminator, {
  noiseDim,
  ema,
  generatorOptimizer: optimizers[0],
  discriminatorOptimizer: optimizers[1],
  generatorSchedule: schedules[0],
  discriminatorSchedule: schedules[1],
});
/** By noise in [-spread, spread). */
const samples = async (spread = 1) => {
  const round = () => train.sampleNoise(500, noiseDim).mul(spread);
  const noise = scope(() => cat(Array.from({ length: count / 500 }, round)));
  const x = await trainer.sample(count, { noise, batchSize: 500 });
  noise.free();
  return x;
};
const [test] = await firstPictures(sets, sets.test, real ? 5000 : 1000);
const truth = judge.features(test);
const distanceOf = async (x: Tensor) => {
  const features = judge.features(x);
  const distance = await metrics.frechetDistance(features, truth);
  features.free();
  return distance;
};

const loader = new data.DataLoader(sets.train, {
  batchSize,
  shuffle: true,
  seed,
  dropLast: true,
  transform: sets.scale,
});
const folder = real ? "runs/dcgan" : "runs/dcgan-glyphs";
await mkdir(folder, { recursive: true });
const measuredPath = `${folder}/measured.json`;
const frechet: { step: number; distance: number; confidence: number }[] = [];
const measure = async () => {
  const x = await samples();
  const distance = await distanceOf(x);
  const { confidence } = await judge.census(x);
  x.free();
  frechet.push({ step: trainer.step, distance, confidence });
  await io.writeFileAtomic(measuredPath, new TextEncoder().encode(JSON.stringify(frechet)));
  console.log(`  step ${trainer.step}: Fréchet distance ${distance.toFixed(1)}, confidence ${percent(confidence)}`);
};

const checkpoint = `${folder}/last.safetensors`;
if (values.resume && existsSync(checkpoint)) {
  // Takes the checkpoint over, without a step; its samples are drawn again, so that all that follows has the same bits.
  for await (const _ of trainer.fit(loader, { steps: 1, resume: checkpoint }));
  const measured: typeof frechet = existsSync(measuredPath) ? JSON.parse(await readFile(measuredPath, "utf8")) : [];
  frechet.push(...measured.filter(({ step }) => step < trainer.step));
  await measure();
}
for await (const event of trainer.fit(loader, { steps, logEvery, out: folder })) {
  const losses = `${event.discriminatorLoss.toFixed(2)} and ${event.generatorLoss.toFixed(2)}`;
  console.log(`  step ${event.step}: losses ${losses}, ${event.samplesPerSecond.toFixed(0)} pictures a second`);
  if (event.notice) console.log(`  ${event.notice}`);
  await measure();
}

await io.save(`${folder}/discriminator.safetensors`, discriminator.stateDict());
await trainer.averaged((network) => io.save(`${folder}/generator.safetensors`, network.stateDict()));

// Noise of less spread, as BigGAN truncates its own for surer samples (Brock et al. 2018): here they are less sure.
const truncated = [];
for (const spread of [0.8, 0.6]) {
  const x = await samples(spread);
  const { confidence, shares } = await judge.census(x);
  truncated.push({ spread, confidence, leastShare: Math.min(...shares), frechet: await distanceOf(x) });
  x.free();
}
const x = await samples();
const { confidence, shares } = await judge.census(x);
const { confidence: realConfidence } = await judge.census(test);
printTable(
  ["class", "share"],
  sets.classes.map((name, i) => [name, percent(shares[i]!)]),
);
console.log(
  `mean top confidence ${percent(confidence)} (test pictures: ${percent(realConfidence)}), ${trainer.seconds.toFixed(0)} s in training`,
);
printTable(
  ["spread of the noise", "confidence", "least share", "Fréchet distance"],
  truncated.map((t) => [`${t.spread}`, percent(t.confidence), percent(t.leastShare), t.frechet.toFixed(1)]),
);
await train.saveImageGrid(`${real ? "examples/results" : "runs"}/dcgan.png`, x.slice([0, 100]), { columns: 10 });
await saveResult("dcgan", sets.name, {
  settings: { noiseDim, width, batchSize, steps, lr, lastLr: lr / 20, betas: [0.5, 0.999], ema, loss: "nonsaturating" },
  seed,
  parameters,
  judgeAccuracy: judge.accuracy,
  samples: count,
  confidence,
  confidenceOnTest: realConfidence,
  shares: Object.fromEntries(sets.classes.map((name, i) => [name, shares[i]!])),
  frechet,
  truncated,
  trainingSeconds: trainer.seconds,
});
