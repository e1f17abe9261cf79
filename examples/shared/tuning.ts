/**
 * What examples/tune.ts searches over: a network with hidden layers on pictures of 28x28. A module of its own, since each
 * trial imports it in a process of its own; pictures come from a file that the example has written.
 */
import { cat, data, io, manualSeed, nn, optim, type Tensor, tensor, train, tune } from "napier";

/** Bytes [n,1,28,28] and labels [n]. */
export type Split = [x: Tensor, y: Tensor];

export const PICTURES = "runs/tune/pictures.safetensors";
/** Epochs of a trial that is not stopped: rungs of halving lie at 1, 3 and 9. */
export const EPOCHS = 9;

export const space = {
  lr: tune.logUniform(1e-4, 0.3),
  layers: tune.integer(1, 3),
  width: tune.logInteger(16, 256),
  dropout: tune.uniform(0, 0.6),
  weightDecay: tune.logUniform(1e-5, 0.1),
  optimizer: tune.choice(["adamw", "sgd"]),
  schedule: tune.choice(["constant", "oneCycle"]),
  batchSize: tune.choice([32, 64, 128]),
};
export type Settings = tune.Parameters<typeof space>;

const normalize = new data.Normalize(0.286, 0.353);
const loaderOf = (split: Split, options: data.DataLoaderOptions) =>
  new data.DataLoader(new data.TensorDataset(split), { ...options, transform: normalize });

/** A trainer for these settings, and its batches. */
export function trainerOf(settings: Settings, split: Split, seed: number) {
  const { lr, layers, width, dropout, weightDecay, batchSize } = settings;
  manualSeed(seed);
  const hidden = Array.from({ length: layers }, (_, i) => [
    new nn.Linear(i === 0 ? 28 * 28 : width, width),
    new nn.ReLU(),
    new nn.Dropout(dropout),
  ]);
  const model = new nn.Sequential(new nn.Flatten(), ...hidden.flat(), new nn.Linear(width, 10));
  const optimizer =
    settings.optimizer === "adamw"
      ? new optim.AdamW(model.parameters(), { lr, weightDecay })
      : new optim.SGD(model.parameters(), { lr, weightDecay, momentum: 0.9 });
  const loader = loaderOf(split, { batchSize, shuffle: true, dropLast: true, seed });
  const schedule =
    settings.schedule === "oneCycle"
      ? new optim.OneCycleLR(optimizer, { maxLr: lr, totalSteps: EPOCHS * loader.length })
      : new optim.LambdaLR(optimizer, () => 1);
  const trainer = new train.Trainer(model, { optimizer, schedule, loss: nn.crossEntropy, metrics: ["accuracy"] });
  return { trainer, loader };
}

/** Trains for EPOCHS, or until onEpoch says false. Answers the accuracy on `validation` behind the last epoch. */
export async function fit(
  settings: Settings,
  split: Split,
  validation: Split,
  seed: number,
  {
    onEpoch,
    callbacks = [],
  }: { onEpoch?: (epoch: number, accuracy: number) => Promise<boolean>; callbacks?: train.Callback[] } = {},
): Promise<{ accuracy: number; diagnosis: readonly train.Finding[] }> {
  const { trainer, loader } = trainerOf(settings, split, seed);
  let accuracy = 0;
  const run = trainer.fit(loader, {
    epochs: EPOCHS,
    validation: loaderOf(validation, { batchSize: 500 }),
    callbacks: [
      ...callbacks,
      async (event) => {
        if (event.type !== "validation") return;
        accuracy = event.scores.accuracy!;
        if (onEpoch && !(await onEpoch(event.epoch, accuracy))) run.stop();
      },
    ],
  });
  const { diagnosis } = await run;
  return { accuracy, diagnosis };
}

/** Pictures that the example has written. */
export async function splitsOf(): Promise<Record<"train" | "validation", Split>> {
  const { x, y, xVal, yVal } = await io.load(PICTURES);
  return { train: [x!, y!], validation: [xVal!, yVal!] };
}

/** A trial: settings to the accuracy on the validation pictures, telling it behind each epoch. */
export const objective: tune.Objective<typeof space> = async (settings, { seed, report }) => {
  const { train, validation } = await splitsOf();
  return (await fit(settings, train, validation, seed, { onEpoch: report })).accuracy;
};

/** A fold of training and validation pictures together: settings to the accuracy on those that it leaves out. */
export const foldObjective: tune.FoldObjective<{ settings: Settings; seed: number }> = async (fold) => {
  const { train, validation } = await splitsOf();
  const [x, y] = [cat([train[0], validation[0]]), cat([train[1], validation[1]])];
  const taken = (indices: Int32Array): Split => [x.indexSelect(0, tensor(indices)), y.indexSelect(0, tensor(indices))];
  const { settings, seed } = fold.parameters;
  return (await fit(settings, taken(fold.train), taken(fold.validation), seed)).accuracy;
};
