/**
 * The learning-rate range test: train for some steps while the rate grows, and look at what the loss does (Smith,
 * "Cyclical learning rates for training neural networks", 2015, section 3.3). Afterwards everything is as it was before.
 */

import { DataLoader } from "../data/index.js";
import { expect } from "../errors.js";
import { noGrad } from "../graph.js";
import { unscoped } from "../memory.js";
import { clone } from "../ops/cast.js";
import { copy_ } from "../ops/inplace.js";
import { defaultGenerator } from "../random.js";
import { alias, Tensor } from "../tensor.js";
import { type Plot, plotPng, plotText } from "../viz/plot.js";
import { type Callback, CallbackList } from "./callbacks.js";
import { figure } from "./diagnosis.js";
import { Loop } from "./loop.js";
import type { BatchSource, TrainerSettings } from "./options.js";

/** Options of trainer.findLearningRate(). */
export interface LearningRateTestOptions {
  /** The first rate. Default 1e-6. */
  from?: number;
  /** The last rate. Default 10. */
  to?: number;
  /** Optimizer steps from one to the other, each by the same factor. Default 100. */
  steps?: number;
  /** What a step keeps of the smoothed loss, 0 to below 1. Default 0.9. */
  smoothing?: number;
  /** Ends where the smoothed loss is above so many times its lowest value. Default 4. */
  divergence?: number;
  /** Ends the test early: everything is restored, and the call rejects with the signal's reason. */
  signal?: AbortSignal;
}

/** The loss by learning rate. Printed, it is a chart. */
export class LearningRateTest {
  /** @internal */
  constructor(
    /** The rates, one a step. */
    readonly rates: readonly number[],
    /** The loss of each step's batches, before the step. */
    readonly losses: readonly number[],
    /** The running mean of the losses, its start corrected as Adam's. */
    readonly smoothed: readonly number[],
    /** Where the smoothed loss falls most steeply by the logarithm of the rate; null where it does not fall. */
    readonly suggestion: number | null,
    /** Whether the loss diverged before the last rate. */
    readonly diverged: boolean,
  ) {}

  /** The chart as a PNG file. */
  png(): Buffer {
    return plotPng(this.#plot());
  }

  /** The curve in characters, and the suggestion below it. */
  toString(): string {
    const { suggestion, diverged, rates } = this;
    const end = diverged ? `; the loss diverged at ${figure(rates.at(-1)!)}` : "";
    const text = suggestion === null ? "the loss did not fall: no suggestion" : `suggestion: ${figure(suggestion)}`;
    return `${plotText(this.#plot())}\n${text}${end}`;
  }

  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return this.toString();
  }

  #plot(): Plot {
    return { x: this.rates, y: this.smoothed, behind: this.losses, mark: this.suggestion, logX: true };
  }
}

/** Runs the test with the parts of a trainer. */
export async function testLearningRates(
  trainer: TrainerSettings,
  loader: BatchSource,
  options: LearningRateTestOptions = {},
): Promise<LearningRateTest> {
  const { from = 1e-6, to = 10, steps = 100, smoothing = 0.9, divergence = 4, signal } = options;
  const where = "findLearningRate";
  expect(from > 0 && to > from && Number.isFinite(to), where, "0 < from < to", `${from} and ${to}`);
  expect(Number.isSafeInteger(steps) && steps >= 10, where, "steps to be a whole number from 10 up", `${steps}`);
  expect(smoothing >= 0 && smoothing < 1, where, "smoothing from 0 to below 1", `${smoothing}`);
  expect(divergence > 1, where, "divergence above 1", `${divergence}`);
  signal?.throwIfAborted();

  const restore = snapshot(trainer, loader);
  const groups = trainer.optimizer.paramGroups;
  // Groups keep the proportions of their rates.
  const shares = groups.map((g) => (groups[0]!.lr > 0 ? g.lr / groups[0]!.lr : 1));
  const rateOf = (step: number) => from * (to / from) ** (step / (steps - 1));
  const setRate = (step: number) =>
    groups.forEach((group, i) => {
      group.lr = rateOf(step) * shares[i]!;
    });
  const [losses, smoothed]: [number[], number[]] = [[], []];
  let [mean, diverged] = [0, false];
  const sweep: Callback = {
    name: where,
    onFitStart: () => setRate(0),
    onStepEnd: (run) => setRate(run.step),
    onEvent(event, run) {
      if (event.type !== "step" || diverged) return;
      const loss = event.scores.loss!;
      mean = smoothing * mean + (1 - smoothing) * loss;
      const now = mean / (1 - smoothing ** event.step);
      diverged = !Number.isFinite(now) || now > divergence * Math.min(now, ...smoothed);
      if (Number.isFinite(now)) {
        losses.push(loss);
        smoothed.push(now);
      }
      if (diverged) run.stop();
    },
  };
  const loop = new Loop(
    // Where the loss is no number any more the test ends by itself.
    { ...trainer, schedule: null, ema: null, metrics: [], seed: null, out: null, stopAtNaN: false },
    {
      epochs: Number.POSITIVE_INFINITY,
      steps,
      validation: null,
      validateEvery: null,
      monitor: "loss",
      earlyStopping: undefined,
      callbacks: new CallbackList([sweep]),
      logEvery: 1,
      checkpointEvery: null,
      checkpointSeconds: null,
      resume: null,
      signal,
      handleSignals: false,
    },
    loader,
    async () => {},
  );
  const abort = () => loop.stop("aborted");
  signal?.addEventListener("abort", abort);
  try {
    await loop.run();
  } finally {
    signal?.removeEventListener("abort", abort);
    restore();
  }
  signal?.throwIfAborted();
  if (smoothed.length === 0)
    throw new Error(`${where}: the loss of the first batch is not finite: nothing was learned about rates`);
  const rates = losses.map((_, step) => rateOf(step));
  return new LearningRateTest(rates, losses, smoothed, steepest(rates, smoothed), diverged);
}

/** The rate where the loss falls most steeply, before its lowest value; the first tenth, where the mean is still noisy, left out. */
function steepest(rates: readonly number[], losses: readonly number[]): number | null {
  const lowest = losses.indexOf(Math.min(...losses));
  let [slope, best] = [0, null as number | null];
  for (let i = Math.max(1, Math.floor(losses.length / 10)); i < Math.min(lowest + 1, losses.length - 1); i++) {
    const here = (losses[i + 1]! - losses[i - 1]!) / 2;
    if (here < slope) [slope, best] = [here, rates[i]!];
  }
  return best;
}

/** Remembers all that training changes; answers what brings it back. */
function snapshot({ model, optimizer }: TrainerSettings, loader: BatchSource): () => void {
  const copyOf = (t: Tensor): Tensor => unscoped(() => noGrad(() => clone(t)));
  const tensors = [...model.parameters(), ...model.buffers()];
  const values = tensors.map(copyOf);
  // Setting another gradient frees the handle of the one before.
  const grads = tensors.map((t) => t.grad && unscoped(() => alias(t.grad!)));
  const state = deepCopy(optimizer.stateDict(), copyOf);
  const draw = defaultGenerator.state();
  const rewind = rewinding(loader);
  return () => {
    noGrad(() => {
      for (const [i, t] of tensors.entries()) copy_(t, values[i]!);
    });
    for (const [i, t] of tensors.entries()) {
      if (t.requiresGrad) t.grad = grads[i]!;
      values[i]!.free();
    }
    optimizer.loadStateDict(state as never);
    defaultGenerator.load(draw);
    rewind();
  };
}

/** Where a loader stands; one that cannot say so simply has given some of its batches. */
function rewinding(loader: BatchSource): () => void {
  if (loader instanceof DataLoader) return loader.bookmark();
  const state = loader.stateDict?.();
  return () => loader.loadStateDict?.(state);
}

/** Plain containers, with their tensors copied. */
function deepCopy(value: unknown, copyOf: (t: Tensor) => Tensor): unknown {
  if (value instanceof Tensor) return copyOf(value);
  if (Array.isArray(value)) return value.map((v) => deepCopy(v, copyOf));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, v]) => [key, deepCopy(v, copyOf)]));
}
