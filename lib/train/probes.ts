/**
 * What features are worth, measured with labels that their training never saw: a linear classifier on frozen features
 * ("linear evaluation", Zhang et al., "Colorful image colorization", 2016), and their nearest neighbours (Wu et al.,
 * "Unsupervised feature learning via non-parametric instance discrimination", 2018).
 */
import { capture } from "../capture.js";
import { expect, show } from "../errors.js";
import { noGrad } from "../graph.js";
import { scope, unscoped } from "../memory.js";
import { breathe } from "../native.js";
import { init, Linear, type Module } from "../nn/index.js";
import { inEval } from "../nn/inEval.js";
import { cat, crossEntropy, normalize, topk } from "../ops/index.js";
import { AdamW } from "../optim/index.js";
import type { Tensor } from "../tensor.js";

/** Features and what they are of. */
export interface Features {
  /** [n, d], float32 or float64. */
  x: Tensor;
  /** Labels [n], whole numbers from 0 up. */
  y: Tensor;
}

/** What has features: models.SimCLR and models.DINO, or any module with a method encode(). */
export type FeatureModel = Module & {
  /** Pictures to [n, d]. */
  encode(x: Tensor): Tensor;
};

/**
 * The features of all pictures of a loader, in eval mode and without gradients; the mode comes back.
 *
 * @param loader batches of pictures and labels; each batch is freed
 * @example
 * const model = new models.SimCLR(new nn.Flatten(), { features: 12, dim: 4 });
 * const set = new data.TensorDataset([randn([8, 3, 2, 2]), zeros([8], { dtype: "int32" })]);
 * const { x, y } = await train.featuresOf(model, new data.DataLoader(set, { batchSize: 4 })); // [8, 12], [8]
 */
export async function featuresOf(model: FeatureModel, loader: AsyncIterable<readonly Tensor[]>): Promise<Features> {
  const [xs, ys]: [Tensor[], Tensor[]] = [[], []];
  await inEval(model, async () => {
    for await (const [x, y, ...rest] of loader) {
      if (x === undefined || y === undefined || rest.length > 0)
        throw new TypeError(
          `featuresOf: expected batches of pictures and labels, got ${x && y ? "more" : "fewer"} fields`,
        );
      xs.push(unscoped(() => noGrad(() => scope(() => model.encode(x)))));
      ys.push(y);
      x.free();
    }
  });
  expect(xs.length > 0, "featuresOf", "a loader with batches", "none");
  const all = unscoped(() => noGrad(() => ({ x: cat(xs, 0), y: cat(ys, 0) })));
  for (const t of [...xs, ...ys]) t.free();
  return all;
}

function expectFeatures(op: string, what: string, { x, y }: Features, d = x.shape[1]): void {
  const good = x.ndim === 2 && x.shape[0]! > 0 && x.shape[1] === d && (x.dtype === "float32" || x.dtype === "float64");
  expect(good, op, `${what} features [n,${d ?? "d"}] of floats`, `${x.dtype} ${show(x.shape)}`);
  expect(y.ndim === 1 && y.size === x.shape[0], op, `${what} labels [${x.shape[0]}]`, show(y.shape));
}

const labelsOf = async (y: Tensor): Promise<Int32Array> =>
  Int32Array.from((await y.data(y.dtype as "int32")) as Iterable<number>, Number);

/** Options of knnProbe. */
export interface KnnProbeOptions {
  /** Neighbours that vote. Default 20. */
  k?: number;
  /** A vote weighs exp(cosine / temperature). Default 0.07. */
  temperature?: number;
}

const CHUNK = 1000; // rows whose cosines are held at a time

/**
 * The share of `test` that its k nearest of `train`, by cosine, vote for rightly, each with weight exp(cosine / temperature)
 * (Wu et al. 2018; with k 20 and 0.07 as in DINO). Of classes with as much weight the first wins.
 *
 * @throws RangeError for a k that is not from 1 to the number of training points
 * @example
 * const y = tensor([0, 1], { dtype: "int32" });
 * const accuracy = await train.knnProbe({ x: tensor([[1, 0], [0, 1]]), y }, { x: tensor([[2, 1], [1, 3]]), y }, { k: 1 }); // 1
 */
export async function knnProbe(
  train: Features,
  test: Features,
  { k = 20, temperature = 0.07 }: KnnProbeOptions = {},
): Promise<number> {
  const op = "knnProbe";
  expectFeatures(op, "training", train);
  expectFeatures(op, "test", test, train.x.shape[1]);
  const [n, m] = [train.x.shape[0]!, test.x.shape[0]!];
  if (!Number.isSafeInteger(k) || k < 1 || k > n)
    throw new RangeError(`${op}: expected k from 1 to ${n}, the training points, got ${k}`);
  expect(temperature > 0, op, "a temperature above 0", `${temperature}`);
  const [labels, truth] = [await labelsOf(train.y), await labelsOf(test.y)];
  const votes = new Float64Array(1 + labels.reduce((most, c) => Math.max(most, c), 0));
  const known = unscoped(() => noGrad(() => scope(() => normalize(train.x.detach()))));
  let right = 0;
  for (let at = 0; at < m; at += CHUNK) {
    const { values, indices } = unscoped(() =>
      noGrad(() =>
        scope(() => topk(normalize(test.x.detach().slice([at, Math.min(m, at + CHUNK)])).matmul(known.t()), k)),
      ),
    );
    const [cosines, places] = [await values.to("float64").data("float64"), await indices.data("int32")];
    for (const t of [values, indices]) t.free();
    for (let i = 0; i < places.length / k; i++) {
      votes.fill(0);
      // exp(cosine / t) may overflow; a factor exp(-largest / t) for all changes no vote.
      const nearest = cosines[i * k]!;
      for (let r = i * k; r < (i + 1) * k; r++)
        votes[labels[places[r]!]!]! += Math.exp((cosines[r]! - nearest) / temperature);
      right += Number(votes.indexOf(Math.max(...votes)) === truth[at + i]);
    }
    await breathe();
  }
  known.free();
  return right / m;
}

/** Options of linearProbe. */
export interface LinearProbeOptions {
  /** Full-batch steps of AdamW; the rate falls to 0 by a cosine. Default 300. */
  steps?: number;
  /** Rate of the first step. Default 0.02. */
  lr?: number;
  /** Decoupled, of the weights alone. Default 0.01. */
  weightDecay?: number;
}

/** What linearProbe() gives. */
export interface LinearProbe {
  /** Share of `test` that is classified rightly. */
  accuracy: number;
  /** The same of `train`. */
  trainAccuracy: number;
  /** Cross-entropy on `train` at the last step. */
  loss: number;
}

/**
 * A linear classifier on frozen features, by softmax regression from weights of 0: every step sees all of `train`, so the
 * result depends on the features alone. Features are brought to mean 0 and deviation 1 by those of `train` first.
 *
 * @example
 * const y = tensor([0, 0, 1, 1], { dtype: "int32" });
 * const features = { x: tensor([[0, 1], [1, 1], [4, 0], [5, 1]]), y };
 * const { accuracy } = await train.linearProbe(features, features); // 1
 */
export async function linearProbe(
  train: Features,
  test: Features,
  { steps = 300, lr = 0.02, weightDecay = 0.01 }: LinearProbeOptions = {},
): Promise<LinearProbe> {
  const op = "linearProbe";
  expectFeatures(op, "training", train);
  expectFeatures(op, "test", test, train.x.shape[1]);
  expect(Number.isSafeInteger(steps) && steps >= 1, op, "steps from 1 up", `${steps}`);
  const [truth, testTruth] = [await labelsOf(train.y), await labelsOf(test.y)];
  const classes = 1 + truth.reduce((most, c) => Math.max(most, c), 0);
  const [x, y, xTest] = unscoped(() =>
    noGrad(() =>
      scope(() => {
        const mean = train.x.mean(0);
        const deviation = train.x.var(0, { correction: 0 }).add(1e-12).sqrt();
        const standard = (t: Tensor) => t.detach().sub(mean).div(deviation);
        return [standard(train.x), train.y.to("int32").clone(), standard(test.x)] as const;
      }),
    ),
  );
  const model = new Linear(x.shape[1]!, classes).to(x.dtype as "float32");
  init.zeros_(model.weight);
  init.zeros_(model.bias!);
  const optimizer = new AdamW(
    [
      { params: [model.weight], weightDecay },
      { params: [model.bias!], weightDecay: 0 },
    ],
    { lr },
  );
  const step = capture((x: Tensor, y: Tensor) => {
    optimizer.zeroGrad();
    const loss = crossEntropy(model.forward(x), y);
    loss.backward();
    optimizer.step();
    return loss;
  });
  let loss: Tensor | null = null;
  for (let i = 0; i < steps; i++) {
    for (const group of optimizer.paramGroups) group.lr = (lr * (1 + Math.cos((Math.PI * i) / steps))) / 2;
    loss?.free();
    loss = await step(x, y);
  }
  const share = async (x: Tensor, truth: Int32Array): Promise<number> => {
    const found = noGrad(() => scope(() => model.forward(x).argmax(1)));
    const classes = await found.data("int32");
    found.free();
    return classes.reduce((right, c, i) => right + Number(c === truth[i]), 0) / truth.length;
  };
  const result = {
    accuracy: await share(xTest, testTruth),
    trainAccuracy: await share(x, truth),
    loss: await loss!.item(),
  };
  step.free();
  for (const t of [x, y, xTest, loss!]) t.free();
  return result;
}

/** What probe() gives, and what self-supervised trainings report: shares of right labels. */
export interface ProbeScores {
  /** By knnProbe(). */
  knn: number;
  /** By linearProbe(). */
  linear: number;
}

/**
 * Both probes of a model: features of `train` and of `test`, their nearest neighbours, a linear classifier.
 *
 * @param train loader of pictures and labels, without random transforms
 * @param test another one
 */
export async function probe(
  model: FeatureModel,
  train: AsyncIterable<readonly Tensor[]>,
  test: AsyncIterable<readonly Tensor[]>,
  { knn = {}, linear = {} }: { knn?: KnnProbeOptions; linear?: LinearProbeOptions } = {},
): Promise<ProbeScores> {
  const [a, b] = [await featuresOf(model, train), await featuresOf(model, test)];
  const scores = { knn: await knnProbe(a, b, knn), linear: (await linearProbe(a, b, linear)).accuracy };
  for (const t of [a.x, a.y, b.x, b.y]) t.free();
  return scores;
}
