/**
 * What generative examples are measured by: pictures of 28x28 in [-1, 1], and a classifier of them that is trained once,
 * about a minute on two cores, and kept in runs/judge-DATASET.safetensors for whichever example asks next.
 *
 *     x [n,1,28,28] -> (Conv 3x3 -> BN -> ReLU -> MaxPool 2) x 2, 32 and 64 channels -> Linear(128) -> ReLU -> dropout  = features
 *     features [n,128] -> Linear(10)  = scores
 *
 *     const sets = await pictures28(directory);
 *     const judge = await trainJudge(sets);
 *     const { confidence, shares } = await judge.census(samples);
 *     const agreement = await judge.agreement(samples, labels);
 *     const distance = await metrics.frechetDistance(judge.features(samples), judge.features(real));
 */
import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { cat, data, io, manualSeed, nn, noGrad, optim, scope, type Tensor, train } from "napier";

/** Sets of bytes, and what makes them pictures in [-1, 1]. */
export interface Pictures28 {
  name: "fashion-mnist" | "glyphs";
  /** Bytes [n,1,28,28] and int32 labels [n] each. */
  train: data.TensorDataset;
  test: data.TensorDataset;
  classes: readonly string[];
  /** Bytes to [-1, 1]: the transform of a loader. */
  scale: data.Normalize;
}

/** Fashion-MNIST of a directory, or drawn digits (4,000 and 1,000) where none is given. */
export async function pictures28(directory?: string): Promise<Pictures28> {
  const sets = directory
    ? await data.fashionMnist(directory, { normalize: false })
    : await data.glyphs({ train: 4000, test: 1000, normalize: false });
  const { train, test, classes } = sets;
  return { name: directory ? "fashion-mnist" : "glyphs", train, test, classes, scale: new data.Normalize(0.5, 0.5) };
}

/** The first n of a set: pictures in [-1, 1] [n,1,28,28] and labels [n]. */
export async function firstPictures(
  { scale }: Pictures28,
  set: data.TensorDataset,
  n: number,
): Promise<[x: Tensor, y: Tensor]> {
  for await (const [x, y] of new data.DataLoader(set, { batchSize: n, transform: scale })) return [x!, y!];
  throw new Error("firstPictures: expected a set with pictures, got none");
}

/** What the judge makes of samples. */
export interface Census {
  /** Mean of the highest probability. */
  confidence: number;
  /** Share of the samples that fall to each class. */
  shares: number[];
}

const ROUND = 500; // pictures a pass

/** A trained classifier in evaluation mode. Pictures are [n,1,28,28] in [-1, 1], any n; nothing is recorded for gradients. */
export class Judge {
  constructor(
    /** Pictures to features [n,128]. */
    readonly body: nn.Sequential,
    /** Features to scores [n,10]. */
    readonly head: nn.Linear,
    /** On the test pictures, from 0 to 1. */
    readonly accuracy: number,
  ) {}

  /** Penultimate features [n,128]: what Fréchet distances are taken on. */
  features(x: Tensor): Tensor {
    return this.#inRounds(x, (part) => this.body.forward(part));
  }

  /** Probabilities of the classes [n,10]. */
  probabilities(x: Tensor): Tensor {
    return this.#inRounds(x, (part) => this.head.forward(this.body.forward(part)).softmax(1));
  }

  /** Mean top confidence, and how the samples spread over the classes. */
  async census(x: Tensor): Promise<Census> {
    const p = this.probabilities(x);
    const [top, labels] = scope(() => [p.max(1).values.mean(), p.argmax(1)] as const);
    const counts = new Array<number>(p.shape[1]!).fill(0);
    for (const label of await labels.data()) counts[Number(label)]!++;
    const confidence = await top.item();
    for (const t of [p, top, labels]) t.free();
    return { confidence, shares: counts.map((n) => n / x.shape[0]!) };
  }

  /** Share of the samples whose most probable class is the label asked for, labels [n]. */
  async agreement(x: Tensor, labels: Tensor): Promise<number> {
    const p = this.probabilities(x);
    const share = scope(() => p.argmax(1).equal(labels).to("float32").mean());
    const value = await share.item();
    for (const t of [p, share]) t.free();
    return value;
  }

  #inRounds(x: Tensor, fn: (part: Tensor) => Tensor): Tensor {
    return scope(() =>
      noGrad(() => {
        const parts: Tensor[] = [];
        for (let i = 0; i < x.shape[0]!; i += ROUND) parts.push(scope(() => fn(x.slice([i, i + ROUND]))));
        return cat(parts, 0);
      }),
    );
  }
}

function network(): { body: nn.Sequential; head: nn.Linear; model: nn.Sequential } {
  const body = new nn.Sequential(
    new nn.Conv2d(1, 32, 3, { padding: 1, bias: false }),
    new nn.BatchNorm2d(32),
    new nn.ReLU(),
    new nn.MaxPool2d(2),
    new nn.Conv2d(32, 64, 3, { padding: 1, bias: false }),
    new nn.BatchNorm2d(64),
    new nn.ReLU(),
    new nn.MaxPool2d(2),
    new nn.Flatten(),
    new nn.Linear(64 * 7 * 7, 128),
    new nn.ReLU(),
    new nn.Dropout(0.25),
  );
  const head = new nn.Linear(128, 10);
  return { body, head, model: new nn.Sequential(body, head) };
}

/**
 * The judge of these pictures: read from runs/judge-NAME.safetensors where that was made by these settings, else trained
 * (AdamW, one cycle; clothes at times mirrored, digits shifted) and written there. Seeds the default
 * generator where it trains: call manualSeed() behind it.
 */
export async function trainJudge(sets: Pictures28): Promise<Judge> {
  const clothes = sets.name === "fashion-mnist";
  const settings = { seed: 231, epochs: clothes ? 6 : 3, batchSize: clothes ? 128 : 64, lr: 3e-3, weightDecay: 0.01 };
  const { seed, epochs, batchSize, lr, weightDecay } = settings;
  const recipe = JSON.stringify(settings);
  const path = `runs/judge-${sets.name}.safetensors`;
  manualSeed(seed);
  const { body, head, model } = network();
  if (existsSync(path)) {
    const { metadata } = await io.inspect(path);
    if (metadata.recipe === recipe) {
      model.loadStateDict(await io.load(path));
      model.eval();
      return new Judge(body, head, Number(metadata.accuracy));
    }
  }
  const draw = clothes ? new data.RandomHorizontalFlip() : new data.RandomCrop(28, { padding: 2 });
  const transform = new data.Compose([draw, sets.scale]);
  const loader = new data.DataLoader(sets.train, { batchSize, shuffle: true, seed, dropLast: true, transform });
  const optimizer = new optim.AdamW(model.parameters(), { lr, weightDecay });
  const schedule = new optim.OneCycleLR(optimizer, { maxLr: lr, totalSteps: epochs * loader.length });
  const trainer = new train.Trainer(model, { optimizer, schedule, loss: nn.crossEntropy, metrics: ["accuracy"] });
  const start = performance.now();
  await trainer.fit(loader, { epochs });
  const { scores } = await trainer.evaluate(
    new data.DataLoader(sets.test, { batchSize: ROUND, transform: sets.scale }),
  );
  const accuracy = scores.accuracy!;
  const seconds = (performance.now() - start) / 1e3;
  console.log(`judge: ${(100 * accuracy).toFixed(2)} % of the test pictures, trained in ${seconds.toFixed(0)} s`);
  await mkdir("runs", { recursive: true });
  await io.save(path, model.stateDict(), { metadata: { recipe, accuracy: `${accuracy}` } });
  model.eval();
  return new Judge(body, head, accuracy);
}
