/**
 * Pictures from words: a small diffusion model of emoji, told the CLIP embedding of a text, with guidance (Ho & Salimans
 * 2022). A U-Net works on blocks of 2x2 pixels as 12 channels of 16x16, which takes a quarter of the time. For each text one
 * picture is drawn and compared, pixel by pixel, with the training picture of that text and those of nine others: how
 * often its own is the nearest; the same for names that no training step has seen. Some twelve minutes on two cores; without
 * data ten drawn digits, for seconds.
 *
 *     noise [12,16,16], embedding [512] -> U-Net, 20 steps of DPM-Solver++ -> 2x2 blocks -> picture [3,32,32]
 *
 *     npm run example -- emoji [--data DIR] [--resume]
 */
import { parseArgs } from "node:util";
import {
  cat,
  cdist,
  data,
  diffusion,
  manualSeed,
  models,
  nn,
  noGrad,
  optim,
  pixelShuffle,
  pixelUnshuffle,
  scope,
  type Tensor,
  tensor,
  train,
} from "napier";
import { captionedPictures } from "./shared/emoji.js";
import { percent, saveResult } from "./shared/pictures.js";

const seed = 231;
const { values } = parseArgs({ options: { data: { type: "string" }, resume: { type: "boolean", default: false } } });
const real = values.data !== undefined;
const { name, pictures, texts, embeddings, synonyms, synonymEmbeddings } = await captionedPictures(values.data);
const n = texts.length;
const [dim, steps, maxLr, timesteps] = [40, real ? 3600 : 30, 2e-3, 400];
const batchSize = Math.min(32, n);
const sampling = { sampler: "dpm++2m", steps: real ? 20 : 4, guidance: 2 } as const;

manualSeed(seed);
const network = new models.UNet({
  dim,
  channels: 12,
  dimMults: [1, 2, 4],
  heads: 2,
  conditionDim: embeddings.shape[1]!,
});
const parameters = nn.countParameters(network);
console.log(`${n} pictures, ${parameters.toLocaleString("en-US")} parameters, ${steps} steps`);
const optimizer = new optim.AdamW(network.parameters(), { lr: maxLr, betas: [0.9, 0.99], weightDecay: 0.01 });
const ddpm = new diffusion.GaussianDiffusion({ timesteps, objective: "v", minSnr: 5 });
const trainer = new train.DiffusionTrainer(network, ddpm, {
  optimizer,
  schedule: new optim.OneCycleLR(optimizer, { maxLr, totalSteps: steps, pctStart: 0.1 }),
  ema: 0.995,
  encode: (x) => pixelUnshuffle(x, 2),
  decode: (z) => pixelShuffle(z, 2),
  clip: true,
});
const set = new data.TensorDataset([pictures, embeddings]);
const loader = new data.DataLoader(set, { batchSize, shuffle: true, seed, dropLast: true });
let seconds: number | null = null;
const logEvery = Math.ceil(steps / 20);
for await (const event of trainer.fit(loader, {
  steps,
  logEvery,
  samples: 0,
  out: real ? "runs/emoji" : null,
  resume: real && values.resume,
})) {
  seconds = event.seconds;
  console.log(
    `  step ${event.step}: loss ${event.loss.toFixed(4)}, ${event.samplesPerSecond.toFixed(0)} pictures a second`,
  );
}

/**
 * How often the nearest of ten training pictures, the right one and nine others, is the right one: the mean over all draws
 * of nine, by counting the others that are nearer.
 */
async function retrieval(drawn: Tensor, right: readonly number[]): Promise<{ ofTen: number; ofAll: number }> {
  const distances = await noGrad(() => cdist(drawn.flatten(1), pictures.flatten(1))).data();
  const nearer = right.map((own, i) => {
    const row = Array.from(distances.subarray(i * n, (i + 1) * n), Number);
    return row.filter((d) => d < row[own]!).length;
  });
  // None of nine is nearer: (m - k) / m (m - k - 1) / (m - 1) ..., k nearer ones of m.
  const none = (k: number) =>
    Array.from({ length: 9 }, (_, i) => (n - 1 - k - i) / (n - 1 - i)).reduce((p, f) => p * f);
  return {
    ofTen: nearer.reduce((sum, k) => sum + none(k), 0) / right.length,
    ofAll: nearer.filter((k) => k === 0).length / right.length,
  };
}
const drawn = await trainer.sample(n, { condition: embeddings, seed, ...sampling });
const ofTexts = await retrieval(drawn, [...texts.keys()]);
console.log(`right of ten: ${percent(ofTexts.ofTen)} of ${n} texts; of all: ${percent(ofTexts.ofAll)}`);
let ofSynonyms: typeof ofTexts | null = null;
if (synonymEmbeddings) {
  const others = await trainer.sample(synonyms.length, { condition: synonymEmbeddings, seed, ...sampling });
  ofSynonyms = await retrieval(
    others,
    synonyms.map(({ picture }) => picture),
  );
  console.log(`right of ten: ${percent(ofSynonyms.ofTen)} of ${synonyms.length} names never trained on`);
}

// The grid: above the training picture, below it two drawn ones; names that were not trained on behind the others.
const PROMPTS =
  "pizza, banana, strawberry, broccoli, hamburger, penguin, frog, octopus, sunflower, cactus, butterfly, lemon".split(
    ", ",
  );
const NEW = "bee, apple, fries, hotdog, fried egg, rice, ramen, sweet potato, cake, coffee, cocktail, beer".split(", ");
const blocks = [
  { prompts: real ? PROMPTS : texts, among: texts.map((text, picture) => ({ text, picture })), vectors: embeddings },
];
if (synonymEmbeddings) blocks.push({ prompts: NEW, among: synonyms, vectors: synonymEmbeddings });
const rows: Tensor[] = [];
for (const { prompts, among, vectors } of blocks) {
  const at = prompts.map((prompt) => among.findIndex(({ text }) => text === prompt));
  rows.push(pictures.indexSelect(0, tensor(Int32Array.from(at, (i) => among[i]!.picture))));
  const condition = vectors.indexSelect(0, tensor(Int32Array.from(at)));
  for (const again of [1, 2])
    rows.push(await trainer.sample(prompts.length, { condition, seed: seed + again, ...sampling }));
}
const grid = scope(() => cat(rows));
await train.saveImageGrid(`${real ? "examples/results" : "runs"}/emoji.png`, grid, {
  columns: blocks[0]!.prompts.length,
});
const { loss, lossByTime } = await trainer.evaluate(new data.DataLoader(set, { batchSize: 64 }));
await saveResult("emoji", name, {
  settings: {
    dim,
    dimMults: [1, 2, 4],
    block: 2,
    batchSize,
    steps,
    maxLr,
    timesteps,
    objective: "v",
    minSnr: 5,
    ema: 0.995,
    sampling,
  },
  seed,
  parameters,
  trainingSeconds: seconds,
  pictures: n,
  loss,
  lossByTime,
  retrieval: {
    measure:
      "nearest training picture by pixel distance; one drawn picture a text; right of ten is the mean over all draws of nine others",
    trainedTexts: { texts: n, rightOfTen: ofTexts.ofTen, rightOfAll: ofTexts.ofAll },
    otherNames: ofSynonyms && { texts: synonyms.length, rightOfTen: ofSynonyms.ofTen, rightOfAll: ofSynonyms.ofAll },
  },
  prompts: blocks.map(({ prompts }) => prompts),
});
