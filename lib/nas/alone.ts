/**
 * @file What a found cell is worth as a network of its own: trainAlone() trains one for a number of steps, accuracy()
 * measures it.
 */
import { capture } from "../capture.js";
import { expect } from "../errors.js";
import { noGrad } from "../graph.js";
import { scope } from "../memory.js";
import { inEval } from "../nn/inEval.js";
import type { Module } from "../nn/module.js";
import { crossEntropy } from "../ops/losses/classes.js";
import { clipGradNorm, SGD } from "../optim/index.js";
import type { Tensor } from "../tensor.js";
import { type Batches, endless } from "./batches.js";

/** Options of trainAlone(). */
export interface AloneOptions {
  /** Steps of training. */
  steps: number;
  /** Of SGD with Nesterov's momentum of 0.9, falling to 0 by a cosine. Default 0.1. */
  lr?: number;
  /** Default 5e-4. */
  weightDecay?: number;
  /** Greatest norm of the gradient. Default 5. */
  clipNorm?: number;
  /** Ends the training between two steps. */
  signal?: AbortSignal;
}

/** What trainAlone() trains: a CellNetwork, or any other classifier. */
export type Classifier = Module & {
  /** Pictures [n, c, h, w] to scores [n, classes]. */
  forward(x: Tensor): Tensor;
};

/**
 * Trains a classifier for so many steps, with the recipe of NAS-Bench-201 (Dong & Yang 2020). With accuracy() behind it,
 * it says what a cell is worth:
 *
 * @param train batches, gone through again and again
 * @returns the cross-entropy of the last step
 * @throws (rejects) ShapeError where there are no steps, or no batches; Error where the signal came
 * @example
 * const pictures = new data.TensorDataset([randn([16, 3, 8, 8]), randint(0, 2, [16])]);
 * const loader = () => new data.DataLoader(pictures, { batchSize: 8, shuffle: true, seed: 1 });
 * const worth: nas.Evaluate = async (cell, _, steps) => {
 *   manualSeed(1); // the same weights and batches for each cell
 *   const model = new nas.CellNetwork(cell, { channels: 2, stages: 1, classes: 2 });
 *   await nas.trainAlone(model, loader(), { steps });
 *   return nas.accuracy(model, loader()); // of other pictures, in earnest
 * };
 * const { best } = await nas.evolve(worth, { steps: 16, stepsPerTrial: 4, population: 2, sample: 1 }); // four cells
 */
export async function trainAlone(
  model: Classifier,
  train: Batches,
  { steps, lr = 0.1, weightDecay = 5e-4, clipNorm = 5, signal }: AloneOptions,
): Promise<number> {
  expect(Number.isSafeInteger(steps) && steps >= 1, "trainAlone", "steps from 1 up", `${steps}`);
  const parameters = model.parameters();
  const optimizer = new SGD(parameters, { lr, momentum: 0.9, nesterov: true, weightDecay });
  const step = capture((x: Tensor, y: Tensor) => {
    optimizer.zeroGrad();
    const loss = crossEntropy(model.forward(x), y);
    loss.backward();
    clipGradNorm(parameters, clipNorm);
    optimizer.step();
    return loss;
  });
  model.train();
  const batches = endless("trainAlone", train);
  let last = Number.NaN;
  try {
    for (let i = 0; i < steps; i++) {
      if (signal?.aborted)
        throw new Error(`trainAlone: aborted after ${i} of ${steps} steps`, { cause: signal.reason });
      optimizer.paramGroups[0]!.lr = (lr * (1 + Math.cos((Math.PI * i) / steps))) / 2;
      const [x, y] = (await batches.next()).value;
      const loss = await step(x, y);
      if (i === steps - 1) last = await loss.item();
      for (const t of [x, y, loss]) t.free();
    }
  } finally {
    step.free();
    await batches.return(undefined as never);
  }
  return last;
}

/**
 * The share of pictures that a classifier gets right, in eval mode; its mode is afterwards as it was.
 *
 * @throws (rejects) ShapeError where there are no pictures
 */
export async function accuracy(model: Classifier, batches: Batches): Promise<number> {
  let [right, all] = [0, 0];
  await inEval(model, async () => {
    for await (const [x, y] of batches) {
      const hits = scope(() => noGrad(() => model.forward(x!).argmax(1).equal(y!).sum()));
      right += await hits.item();
      all += y!.size;
      for (const t of [x!, y!, hits]) t.free();
    }
  });
  expect(all > 0, "accuracy", "batches with pictures", "none");
  return right / all;
}
