/**
 * What the examples of pictures and language share: the captioned scenes that are drawn here, many with --full, few
 * without; the network that looks at them; the pictures that stand beside the results.
 */
import { parseArgs } from "node:util";
import { data, nn, noGrad, optim, scope, type Tensor, tensor, train } from "napier";

const { values } = parseArgs({
  options: { full: { type: "boolean", default: false }, resume: { type: "boolean", default: false } },
});
/** full: this run is to reach the figures, not only to show that all works; resume: it goes on from its checkpoint. */
export const { full, resume } = values;
export const seed = 231;

export const sets = await data.scenes(full ? { train: 40_000 } : { train: 640, test: 100, heldOut: 50 });
export const tokenizer = new data.WordTokenizer(sets.train.captions);
const trainSet = data.captionDataset(sets.train.pictures, sets.train.captions, tokenizer, {
  transform: sets.normalize,
});
/** <start>, the words of the longest caption, <end>. */
export const captionLength = trainSet.tensors[1]!.shape[1]!;

/**
 * Trains on the captioned pictures with one cycle of the learning rate, and leaves the model in eval mode. Every 30 seconds
 * a checkpoint goes to runs/NAME, which --resume goes on from; an interrupted run ends the process.
 *
 * @returns seconds of training
 */
export async function trainOnScenes(
  name: string,
  model: train.Model,
  loss: train.TrainerOptions["loss"],
  { batchSize, epochs, lr }: { batchSize: number; epochs: number; lr: number },
): Promise<number> {
  const loader = new data.DataLoader(trainSet, { batchSize, shuffle: true, seed, dropLast: true });
  const optimizer = new optim.AdamW(model.parameters(), { lr, weightDecay: 0.02 });
  const schedule = new optim.OneCycleLR(optimizer, { maxLr: lr, totalSteps: epochs * loader.length });
  const trainer = new train.Trainer(model, { optimizer, loss, schedule, clipNorm: 1, seed, out: `runs/${name}` });
  const run = trainer.fit(loader, { epochs, resume, checkpoint: { seconds: 30 } });
  for await (const event of run)
    if (event.type === "epoch")
      console.log(
        `  epoch ${event.epoch}: loss ${event.scores.loss!.toFixed(3)}, ${event.samplesPerSecond.toFixed(0)} pictures/s`,
      );
  const { seconds, epochs: done } = await run;
  if (done < epochs) process.exit();
  model.eval();
  return seconds;
}

/** Texts to rows of tokens, [n, captionLength]. */
export const tokensOf = (texts: readonly string[]): Tensor =>
  tensor(Int32Array.from(texts.flatMap((text) => [...tokenizer.frame(text, captionLength)])), [
    texts.length,
    captionLength,
  ]);

/** Three blocks of convolution, batch normalisation, ReLU and pooling; the places stay, flattened, behind them. */
export function imageTower(features: number): nn.Sequential {
  const block = (from: number, to: number) => [
    new nn.Conv2d(from, to, 3, { padding: 1, bias: false }),
    new nn.BatchNorm2d(to),
    new nn.ReLU(),
    new nn.MaxPool2d(2),
  ];
  const last = [new nn.Flatten(), new nn.Linear(128 * 4 * 4, features), new nn.ReLU()];
  return new nn.Sequential(...block(3, 32), ...block(32, 64), ...block(64, 128), ...last);
}

/** A split's pictures as a network takes them, 250 at a time; each batch belongs to whoever asks. */
export async function* batchesOf({ pictures }: data.SceneSplit): AsyncGenerator<Tensor> {
  const set = new data.TensorDataset([pictures], { transform: sets.normalize });
  for await (const [x] of new data.DataLoader(set, { batchSize: 250 })) yield x!;
}

const known = new Set(sets.train.captions);
/** Whether no picture of the training has this caption. */
export const isNovel = (caption: string): boolean => !known.has(caption);
/** Share of these captions that no picture of the training has. */
export const novelShare = (captions: readonly string[]): number => captions.filter(isNovel).length / captions.length;

/** These pictures of a split, twice as large, eight in a row, beside the results: examples/results/NAME.png, or runs/NAME.png. */
export async function saveScenes(name: string, { pictures }: data.SceneSplit, rows: readonly number[]): Promise<void> {
  const [n, [, c, h, w]] = [rows.length, pictures.shape as [number, number, number, number]];
  const large = scope(() =>
    noGrad(() => {
      const x = pictures.indexSelect(0, tensor(Int32Array.from(rows))).reshape([n, c, h, 1, w, 1]);
      return x
        .expand([n, c, h, 2, w, 2])
        .reshape([n, c, 2 * h, 2 * w])
        .to("float32");
    }),
  );
  const path = `${full ? "examples/results" : "runs"}/${name}.png`;
  await train.saveImageGrid(path, large, { range: [0, 255], columns: 8 });
  large.free();
}
