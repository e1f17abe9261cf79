/**
 * CS231n's Solver: minibatch descent by an update rule, with a learning rate that decays by epoch and the weights of the
 * best validation kept (running statistics of batchnorm stay those of the last step, as in CS231n). For modules with
 * autograd use train.Trainer.
 */

import { expect, show } from "../errors.js";
import { noGrad } from "../graph.js";
import { keep, safePoint, scope, unscoped } from "../memory.js";
import { addon, breathe } from "../native.js";
import { equal } from "../ops/arithmetic.js";
import { to } from "../ops/cast.js";
import { embedding } from "../ops/embedding.js";
import { randint } from "../ops/random.js";
import { mean } from "../ops/reduce.js";
import { cat, reshape, slice } from "../ops/shape.js";
import { Generator } from "../random.js";
import { alias, Tensor } from "../tensor.js";
import { type AdamConfig, type RmspropConfig, type SgdMomentumConfig, sgd, type UpdateRule } from "./update.js";

/** What a Solver trains: named parameters, their loss and gradients, and labels for points. */
export interface ClassicModel {
  /** By name; a solver replaces them after every step. */
  readonly params: Record<string, Tensor>;
  /** Loss and gradients of a batch x [n, ...] with labels y [n]: one gradient for each of `params`. */
  loss(
    x: Tensor,
    y: Tensor,
  ): {
    /** A tensor of one element. */
    loss: Tensor;
    /** One for each parameter, by name. */
    grads: Record<string, Tensor>;
  };
  /** Labels [n] int32. */
  predict(x: Tensor): Tensor;
}

/** Every hyper-parameter that an update rule may have. */
export type OptimConfig = SgdMomentumConfig & RmspropConfig & AdamConfig;

/** Points and labels to train on, and those that choose the weights. */
export interface SolverData {
  /** [n, ...] */
  xTrain: Tensor;
  /** [n] */
  yTrain: Tensor;
  /** Without these no weights are chosen: the last ones stay. */
  xVal?: Tensor;
  /** [points of validation] */
  yVal?: Tensor;
}

/** Options of Solver. */
export interface SolverOptions {
  /** sgd, sgdMomentum, rmsprop or adam. Default sgd. */
  // biome-ignore lint/suspicious/noExplicitAny: each rule takes the part of OptimConfig that it knows
  updateRule?: UpdateRule<any>;
  /** Hyper-parameters of the rule, such as { learningRate: 1e-3 }. */
  optimConfig?: OptimConfig;
  /** Factor of the learning rate after each epoch. Default 1. */
  lrDecay?: number;
  /** Points a step, drawn with replacement. Default 100. */
  batchSize?: number;
  /** Default 10. */
  numEpochs?: number;
  /** Steps, instead of epochs. */
  numIters?: number;
  /** Of the draws of batches. Default 231. */
  seed?: number;
  /** Called after each epoch with what is known so far. */
  onEpoch?: (epoch: number, history: SolverHistory) => void;
}

/** What a Solver saw while it trained. */
export interface SolverHistory {
  /** Of each step. */
  loss: number[];
  /** Share of right labels after each epoch, over at most 1,000 training points. */
  trainAccuracy: number[];
  /** Over all validation points; empty without them. */
  valAccuracy: number[];
  /** Of the weights that the model has after training; 0 without validation points. */
  bestValAccuracy: number;
}

const CHUNK = 1000; // points that are classified at a time

/** The share of x's labels that the model gets right. */
export async function accuracyOf(model: ClassicModel, x: Tensor, y: Tensor): Promise<number> {
  expect(x.shape[0] === y.size && y.size > 0, "accuracyOf", `labels of shape [${x.shape[0]}]`, show(y.shape));
  let right = 0;
  for (let start = 0; start < y.size; start += CHUNK) {
    const range = [start, Math.min(start + CHUNK, y.size)] as const;
    const share = noGrad(() =>
      scope(() => {
        const labels = model.predict(slice(x, range));
        return mean(to(equal(labels, slice(y, range)), "float64"));
      }),
    );
    right += (await share.item()) * (range[1] - range[0]);
    share.free();
  }
  return right / y.size;
}

/** Trains a ClassicModel. */
export class Solver {
  /** What was seen so far. */
  readonly history: SolverHistory = { loss: [], trainAccuracy: [], valAccuracy: [], bestValAccuracy: 0 };
  readonly #options: Required<Omit<SolverOptions, "numIters" | "onEpoch">> & SolverOptions;
  readonly #configs: Record<string, OptimConfig>;

  /**
   * Checks the options; the model is changed by train() only.
   *
   * @param model what is trained, in place
   * @param data points and labels
   */
  constructor(
    readonly model: ClassicModel,
    readonly data: SolverData,
    options: SolverOptions = {},
  ) {
    const { updateRule = sgd, optimConfig = {}, lrDecay = 1, batchSize = 100, numEpochs = 10, seed = 231 } = options;
    const n = data.xTrain.shape[0] ?? 0;
    expect(n > 0 && data.yTrain.size === n, "Solver", `labels of shape [${n}]`, show(data.yTrain.shape));
    for (const [name, value] of Object.entries({ batchSize, numEpochs, numIters: options.numIters ?? 1 }))
      expect(Number.isSafeInteger(value) && value >= 1, "Solver", `${name} to be a whole number from 1 up`, `${value}`);
    this.#options = { ...options, updateRule, optimConfig, lrDecay, batchSize, numEpochs, seed };
    this.#configs = Object.fromEntries(Object.keys(model.params).map((name) => [name, { ...optimConfig }]));
  }

  /** Trains, and leaves the weights of the best validation in the model. */
  async train(): Promise<SolverHistory> {
    const { data, history, model } = this;
    const { batchSize, numEpochs, numIters, lrDecay, seed, onEpoch } = this.#options;
    const n = data.xTrain.shape[0]!;
    const perEpoch = Math.max(Math.floor(n / batchSize), 1);
    const steps = numIters ?? numEpochs * perEpoch;
    const generator = new Generator(seed);
    // Rows are gathered from a matrix, so pictures are flattened and given their shape back.
    const [rows, shape] = [unscoped(() => noGrad(() => reshape(data.xTrain, [n, -1]))), data.xTrain.shape.slice(1)];
    let best: Record<string, Tensor> | null = null;
    let losses: Tensor[] = [];
    const pending: Promise<void>[] = [];
    for (let step = 1; step <= steps; step++) {
      losses.push(this.#step(rows, shape, batchSize, generator));
      pending.push(addon.settled());
      while (pending.length > 2) await pending.shift();
      await breathe();
      if (step % perEpoch !== 0 && step !== steps) continue;
      history.loss.push(...(await readAll(losses)));
      losses = [];
      if (step % perEpoch === 0)
        for (const config of Object.values(this.#configs)) if (config.learningRate) config.learningRate *= lrDecay;
      best = await this.#check(best);
      onEpoch?.(Math.ceil(step / perEpoch), history);
    }
    await Promise.all(pending);
    rows.free();
    if (best) for (const [name, w] of Object.entries(best)) this.#replace(name, w);
    else for (const w of Object.values(model.params)) keep(w);
    return history;
  }

  /** One step on a batch drawn with replacement; answers the loss. */
  #step(rows: Tensor, shape: readonly number[], batchSize: number, generator: Generator): Tensor {
    const { model, data } = this;
    const loss = unscoped(() =>
      noGrad(() =>
        scope(() => {
          const ids = randint(0, rows.shape[0]!, [batchSize], { generator });
          const x = reshape(embedding(ids, rows), [batchSize, ...shape]);
          const y = reshape(embedding(ids, reshape(data.yTrain, [-1, 1])), [batchSize]);
          const { loss, grads } = model.loss(x, y);
          for (const [name, dw] of Object.entries(grads)) this.#update(name, dw);
          return loss;
        }),
      ),
    );
    safePoint();
    return loss;
  }

  #update(name: string, dw: Tensor): void {
    const config = this.#configs[name]!;
    const before = Object.values(config);
    const [next] = this.#options.updateRule(this.model.params[name]!, dw, config);
    this.#replace(
      name,
      unscoped(() => keep(alias(next))),
    );
    const after = new Set<unknown>(Object.values(config));
    for (const old of before) if (old instanceof Tensor && !after.has(old)) old.free();
  }

  #replace(name: string, w: Tensor): void {
    this.model.params[name]!.free();
    this.model.params[name] = w;
  }

  /** Accuracies at the end of an epoch; answers the best weights so far. */
  async #check(best: Record<string, Tensor> | null): Promise<Record<string, Tensor> | null> {
    const { model, data, history } = this;
    const some = [0, Math.min(CHUNK, data.yTrain.size)] as const;
    const [x, y] = [slice(data.xTrain, some), slice(data.yTrain, some)];
    history.trainAccuracy.push(await accuracyOf(model, x, y));
    x.free();
    y.free();
    if (!data.xVal || !data.yVal) return null;
    const accuracy = await accuracyOf(model, data.xVal, data.yVal);
    history.valAccuracy.push(accuracy);
    if (best && accuracy <= history.bestValAccuracy) return best;
    history.bestValAccuracy = accuracy;
    for (const w of Object.values(best ?? {})) w.free();
    // Steps replace the parameters and never write into them: another handle keeps these.
    return unscoped(() => Object.fromEntries(Object.entries(model.params).map(([name, w]) => [name, keep(alias(w))])));
  }
}

async function readAll(scalars: readonly Tensor[]): Promise<number[]> {
  const all = cat(scalars.map((t) => reshape(t, [1])));
  const values = await all.data(all.dtype as "float32");
  for (const t of [all, ...scalars]) t.free();
  return [...values];
}
