/**
 * DARTS (Liu, Simonyan & Yang 2018): weights are trained on one half of the data and alphas on the other, in turns.
 *
 * Second order: alphas follow the gradient behind a step of the weights, w' = w - xi dL_train; its second derivative is taken
 * by a difference of two gradients, as in the paper (equation 8).
 *
 * Left running, alphas may come to prefer skips everywhere (Zela et al., "Understanding and robustifying differentiable
 * architecture search", 2019). What helps: fewer steps, a warm-up, second order, more weight decay of alphas.
 */
import { grad } from "../autograd.js";
import { capture } from "../capture.js";
import { expect } from "../errors.js";
import { noGrad } from "../graph.js";
import { tensor } from "../ops/create.js";
import { crossEntropy } from "../ops/losses/classes.js";
import { Adam, clipGradNorm, SGD } from "../optim/index.js";
import type { Tensor } from "../tensor.js";
import { type Batches, endless } from "./batches.js";
import type { SuperNetwork } from "./network.js";
import type { Genotype } from "./space.js";

/** Options of darts(). */
export interface DartsOptions {
  /** Of the weights; one of alphas before each, but for the first `warmup`. */
  steps: number;
  /**
   * Steps of the weights alone, at first: operations without weights are as good at once as they will ever be, and may win
   * where alphas learn before the convolutions do (Xu et al., "PC-DARTS", 2019, begin so). Default 0.
   */
  warmup?: number;
  /** 1: alphas see the weights as they are; 2: behind their next step. Default 1. */
  order?: 1 | 2;
  /** Of the weights (SGD, momentum 0.9), falling to 0.001 by a cosine. Default 0.025. */
  lr?: number;
  /** Default 3e-4. */
  weightDecay?: number;
  /** Of alphas (Adam, betas 0.5 and 0.999). Default 3e-4. */
  alphaLr?: number;
  /** Default 1e-3. */
  alphaWeightDecay?: number;
  /** Greatest norm of the weights' gradient. Default 5. */
  clipNorm?: number;
  /** Called and awaited every `logEvery` steps. */
  onStep?: (step: number, losses: DartsLosses) => void | Promise<void>;
  /** Default 50. */
  logEvery?: number;
  /** Ends the search between two steps. */
  signal?: AbortSignal;
}

/** Mean cross-entropies. */
export interface DartsLosses {
  /** Of the weights' batch. */
  train: number;
  /** Of the alphas' batch; NaN during the warm-up. */
  validation: number;
}

/** What darts() found. */
export interface DartsResult {
  /** The likeliest operations. */
  genotype: Genotype;
  /** Of the last step. */
  losses: DartsLosses;
}

/**
 * Trains a super network and reads its cell.
 *
 * @param train batches for the weights
 * @param validation batches for alphas, of other examples
 * @throws (rejects) ShapeError for wrong options, or where a loader has no batches; Error where the signal came
 */
export async function darts(
  model: SuperNetwork,
  train: Batches,
  validation: Batches,
  {
    steps,
    warmup = 0,
    order = 1,
    lr = 0.025,
    weightDecay = 3e-4,
    alphaLr = 3e-4,
    alphaWeightDecay = 1e-3,
    clipNorm = 5,
    onStep,
    logEvery = 50,
    signal,
  }: DartsOptions,
): Promise<DartsResult> {
  expect(Number.isSafeInteger(steps) && steps >= 1, "darts", "steps from 1 up", `${steps}`);
  const fits = Number.isSafeInteger(warmup) && warmup >= 0 && warmup < steps;
  expect(fits, "darts", "warmup from 0 to steps - 1", `${warmup} of ${steps}`);
  expect(order === 1 || order === 2, "darts", "an order of 1 or 2", `${order}`);
  const weights = model.weights();
  const optimizer = new SGD(weights, { lr, momentum: 0.9, weightDecay });
  const alphaOptimizer = new Adam([model.alphas], { lr: alphaLr, betas: [0.5, 0.999], weightDecay: alphaWeightDecay });
  const lossOf = (x: Tensor, y: Tensor) => crossEntropy(model.forward(x), y);
  const trainWeights = (x: Tensor, y: Tensor) => {
    optimizer.zeroGrad();
    const loss = lossOf(x, y);
    const slopes = grad(loss, weights);
    weights.forEach((w, i) => {
      w.grad = slopes[i]!;
    });
    clipGradNorm(weights, clipNorm);
    optimizer.step();
    return loss;
  };
  const weightStep = capture(trainWeights);
  const fullStep = capture((x: Tensor, y: Tensor, xHeld: Tensor, yHeld: Tensor, rate: Tensor) => {
    alphaOptimizer.zeroGrad();
    const validation =
      order === 1
        ? firstOrder(model, () => lossOf(xHeld, yHeld))
        : secondOrder(
            model,
            weights,
            () => lossOf(x, y),
            () => lossOf(xHeld, yHeld),
            rate,
            weightDecay,
          );
    alphaOptimizer.step();
    return { train: trainWeights(x, y), validation };
  });
  const [own, other] = [endless("darts", train), endless("darts", validation)];
  const losses = { train: Number.NaN, validation: Number.NaN };
  model.train();
  try {
    for (let step = 1; step <= steps; step++) {
      if (signal?.aborted)
        throw new Error(`darts: aborted after ${step - 1} of ${steps} steps`, { cause: signal.reason });
      const rate = 0.001 + ((lr - 0.001) * (1 + Math.cos((Math.PI * (step - 1)) / steps))) / 2;
      optimizer.paramGroups[0]!.lr = rate;
      const [x, y] = (await own.next()).value;
      const made: Tensor[] = [x, y];
      let found: { train: Tensor; validation?: Tensor };
      if (step <= warmup) found = { train: await weightStep(x, y) };
      else {
        const [xHeld, yHeld] = (await other.next()).value;
        const rateBehind = tensor(rate);
        made.push(xHeld, yHeld, rateBehind);
        found = await fullStep(x, y, xHeld, yHeld, rateBehind);
      }
      if (step % logEvery === 0 || step === steps) {
        losses.train = await found.train.item();
        if (found.validation) losses.validation = await found.validation.item();
        await onStep?.(step, { ...losses });
      }
      for (const t of [...made, ...Object.values(found)]) t.free();
    }
  } finally {
    weightStep.free();
    fullStep.free();
    await Promise.all([own, other].map((batches) => batches.return(undefined as never)));
  }
  return { genotype: await model.genotype(), losses };
}

/** Gradient of alphas at the weights as they are; answers the loss. */
function firstOrder(model: SuperNetwork, validation: () => Tensor): Tensor {
  const loss = validation();
  model.alphas.grad = grad(loss, [model.alphas])[0]!;
  return loss.detach();
}

/** @internal Gradient of alphas behind one step of the weights, which are put back; answers the loss there. */
export function secondOrder(
  model: SuperNetwork,
  weights: Tensor[],
  train: () => Tensor,
  validation: () => Tensor,
  rate: number | Tensor,
  weightDecay: number,
  difference = 0.01, // length of the way that the gradients are compared over, as in the paper
): Tensor {
  const kept = noGrad(() => weights.map((w) => w.detach().clone()));
  const set = (value: (i: number) => Tensor) => noGrad(() => weights.forEach((w, i) => void w.copy_(value(i))));
  const slopes = grad(train(), weights);
  set((i) => kept[i]!.sub(slopes[i]!.add(kept[i]!.mul(weightDecay)).mul(rate)));
  const loss = validation();
  const [alphaSlope, ...weightSlopes] = grad(loss, [model.alphas, ...weights]);
  const norm = weightSlopes
    .reduce((sum, g) => sum.add(g.square().sum()), alphaSlope!.mul(0).sum())
    .sqrt()
    .add(1e-12);
  const epsilon = norm.pow(-1).mul(difference);
  const slopeAt = (sign: 1 | -1) => {
    set((i) => kept[i]!.add(weightSlopes[i]!.mul(epsilon).mul(sign)));
    return grad(train(), [model.alphas])[0]!;
  };
  const [plus, minus] = [slopeAt(1), slopeAt(-1)];
  set((i) => kept[i]!);
  model.alphas.grad = noGrad(() => alphaSlope!.sub(plus.sub(minus).div(epsilon.mul(2)).mul(rate)));
  return loss.detach();
}
