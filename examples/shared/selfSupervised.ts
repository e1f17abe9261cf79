/**
 * What the self-supervised examples share: pictures of clothes (Fashion-MNIST, --data DIR) or drawn digits whose labels the
 * training never sees, a small ResNet, a run that --resume goes on with, and what its features are worth before, during
 * and after, beside raw pixels: a vote of the 20 nearest of 10,000 labelled pictures, and a linear classifier of those.
 */
import { parseArgs } from "node:util";
import { data, manualSeed, models, nn, optim, type Tensor, train } from "napier";
import { percent, printTable, saveResult } from "./pictures.js";

export interface Recipe {
  /** Of examples/results/NAME.json. */
  name: string;
  /** Made after the seed is set; `encoder` makes the network, pictures to `features` numbers. */
  model: (encoder: () => nn.Layer, features: number) => train.SelfSupervisedModel;
  /** What the model is shown of each picture of size x size. */
  views: (size: number, normalize: data.Normalize) => data.Views;
  steps: number;
  batchSize: number;
  lr: number;
  weightDecay: number;
  warmup: number;
  clipNorm: number | null;
  /** Written into the result. */
  settings: Record<string, unknown>;
}

const seed = 231;
const width = 16;
const layers = [1, 1, 1, 1];

/** What a picture is without a network. */
class Pixels extends nn.Flatten {
  encode(x: Tensor): Tensor {
    return this.forward(x);
  }
}

/** Trains by the recipe on real data; on drawn digits a few steps. */
export async function pretrain(recipe: Recipe): Promise<void> {
  const { name, lr, weightDecay, clipNorm } = recipe;
  const { values } = parseArgs({
    options: { data: { type: "string" }, resume: { type: "boolean", default: false } },
  });
  const sets = values.data
    ? await data.fashionMnist(values.data, { normalize: false })
    : await data.glyphs({ train: 512, test: 200, seed, normalize: false });
  const { steps, batchSize, warmup } = values.data ? recipe : { steps: 12, batchSize: 64, warmup: 2 };
  const [, inChannels, size] = sets.train.tensors[0]!.shape as [number, number, number];
  const labelled = Math.min(10_000, sets.train.length);
  const known = new data.Subset(
    sets.train,
    Int32Array.from({ length: labelled }, (_, i) => i),
  );
  const pass = (set: data.Dataset) => new data.DataLoader(set, { batchSize: 500, transform: sets.normalize });
  const measure = (model: train.FeatureModel) => train.probe(model, pass(known), pass(sets.test));

  manualSeed(seed);
  const encoder = () =>
    new models.Encoder(new models.ResNet({ stem: "cifar", classes: sets.classes.length, inChannels, width, layers }));
  const model = recipe.model(encoder, 8 * width);
  const learned = model.parameters().filter((p) => p.requiresGrad);
  const parameters = nn.countParameters(learned);
  console.log(`${name}: ${parameters.toLocaleString("en-US")} parameters, ${steps} steps of ${batchSize} pictures`);
  const pixels = await measure(new Pixels());
  const before = await measure(model);
  const report = (what: string, { knn, linear }: train.ProbeScores) =>
    console.log(`  ${what}: k-NN ${percent(knn)}, linear ${percent(linear)}`);
  report("raw pixels", pixels);
  report("random weights", before);

  const optimizer = new optim.AdamW(
    [
      { params: learned.filter((p) => p.ndim > 1), weightDecay },
      { params: learned.filter((p) => p.ndim < 2), weightDecay: 0 },
    ],
    { lr },
  );
  const trainer = new train.SelfSupervisedTrainer(model, { optimizer, warmup, clipNorm });
  const loader = new data.DataLoader(sets.train, {
    batchSize,
    shuffle: true,
    dropLast: true,
    seed,
    mix: recipe.views(size, sets.normalize),
  });
  const logEvery = Math.max(4, Math.ceil(steps / 24));
  const run = trainer.fit(loader, {
    steps,
    logEvery,
    evaluateEvery: 6 * logEvery,
    evaluate: measure,
    out: `runs/${name}`,
    resume: values.resume,
  });
  for await (const { step, loss, samplesPerSecond, scores, notice } of run) {
    if (notice) console.log(`  ${notice}`);
    console.log(`  step ${step}: loss ${loss.toFixed(3)}, ${samplesPerSecond.toFixed(0)} pictures a second`);
    if (scores) report(`step ${step}`, scores);
  }
  const measured = trainer.history.flatMap(({ step, scores }) =>
    scores ? [{ step, ...(scores as train.ProbeScores) }] : [],
  );
  const { knn, linear } = measured.at(-1)!;
  printTable(
    ["", "k-NN", "linear"],
    Object.entries({ "raw pixels": pixels, "random weights": before, [name]: { knn, linear } }).map(
      ([what, scores]) => [what, percent(scores.knn), percent(scores.linear)],
    ),
  );
  await saveResult(name, values.data ? "fashion-mnist" : "glyphs", {
    settings: { encoder: "ResNet", width, layers, ...recipe.settings, steps, batchSize, lr, weightDecay, warmup },
    seed,
    parameters,
    labelled,
    pixels,
    before,
    after: { knn, linear },
    measured,
    loss: trainer.history.map(({ step, loss }) => [step, loss]),
    trainingSeconds: trainer.seconds,
    picturesPerSecond: (steps * batchSize) / trainer.seconds,
  });
}
