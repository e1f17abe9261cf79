/**
 * What the classifiers' examples share: CIFAR-10 from --data DIR or drawn digits, crops and flips, a one-cycle run that
 * --resume goes on with, and the result as a file. The figure is the test accuracy behind the last epoch; no epoch is picked by it.
 */
import { parseArgs } from "node:util";
import { data, manualSeed, nn, optim, type Tensor, train } from "napier";
import { percent, saveResult } from "./pictures.js";

export interface Recipe {
  /** Of examples/results/NAME.json. */
  name: string;
  /** Made after the seed is set. */
  model: (pictures: { classes: number; inChannels: number; imageSize: number }) => nn.Module & nn.Layer;
  optimizer: (model: nn.Module) => optim.SGD | optim.AdamW;
  loss: (scores: Tensor, labels: Tensor) => Tensor;
  epochs: number;
  batchSize: number;
  /** Top of the cycle. */
  maxLr: number;
  /** Share of the run in which the rate rises. */
  pctStart: number;
  clipNorm?: number;
  /** Pixels that crops move by, beside flips. Default 4; 0: flips alone. */
  cropPadding?: number;
  /** Written into the result. */
  settings: Record<string, unknown>;
}

/** Trains by the recipe on real data; on drawn digits two epochs of a part. */
export async function trainClassifier(recipe: Recipe): Promise<void> {
  const { name, epochs: wanted, batchSize, maxLr, pctStart, cropPadding = 4 } = recipe;
  const seed = 231;
  const { values } = parseArgs({
    options: { data: { type: "string" }, resume: { type: "boolean", default: false } },
  });
  const sets = values.data ? await data.cifar10(values.data) : await data.glyphs({ train: 640, test: 200, seed });
  const epochs = values.data ? wanted : 2;
  const [, inChannels, imageSize] = sets.train.tensors[0]!.shape as [number, number, number];
  manualSeed(seed);
  const model = recipe.model({ classes: sets.classes.length, inChannels, imageSize });
  const parameters = nn.countParameters(model);
  console.log(`${name}: ${parameters.toLocaleString("en-US")} parameters, ${epochs} epochs`);

  const crops = cropPadding > 0 ? [new data.RandomCrop(imageSize, { padding: cropPadding })] : [];
  const augment = values.data ? new data.Compose([...crops, new data.RandomHorizontalFlip()]) : null;
  const loader = new data.DataLoader(sets.train, {
    batchSize,
    shuffle: true,
    dropLast: true,
    seed,
    transform: augment,
  });
  const optimizer = recipe.optimizer(model);
  const trainer = new train.Trainer(model, {
    optimizer,
    schedule: new optim.OneCycleLR(optimizer, { maxLr, totalSteps: epochs * loader.length, pctStart }),
    loss: recipe.loss,
    metrics: ["accuracy"],
    ...(recipe.clipNorm === undefined ? {} : { clipNorm: recipe.clipNorm }),
    out: `runs/${name}`,
    seed,
  });
  const result = await trainer.fit(loader, {
    epochs,
    validation: new data.DataLoader(sets.test, { batchSize: 500 }),
    monitor: "accuracy",
    resume: values.resume,
    callbacks: [
      (event) => {
        if (event.type === "validation")
          console.log(`  epoch ${event.epoch}: test accuracy ${percent(event.scores.accuracy!)}`);
      },
    ],
  });
  if (result.epochs < epochs) return;
  const curve = result.history.flatMap((e) => (e.type === "validation" ? [e.scores.accuracy!] : []));
  const testAccuracy = curve.at(-1)!;
  const picturesPerSecond = result.samples / result.seconds;
  console.log(
    `test accuracy ${percent(testAccuracy)}, ${result.seconds.toFixed(0)} s in training, ${picturesPerSecond.toFixed(0)} pictures a second`,
  );
  await saveResult(name, values.data ? "cifar-10" : "glyphs", {
    settings: { ...recipe.settings, epochs, batchSize, maxLr, pctStart, cropPadding },
    seed,
    parameters,
    trainingSeconds: result.seconds,
    picturesPerSecond,
    testAccuracy,
    testAccuracyByEpoch: curve,
  });
}
