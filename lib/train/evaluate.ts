/**
 * Running a model without training it: scores over a loader, and outputs. The model is in eval mode meanwhile, holds the
 * averaged weights where there are some, and is afterwards as it was.
 */

import { DataLoader } from "../data/index.js";
import { noGrad } from "../graph.js";
import { scope } from "../memory.js";
import { pacer } from "../native.js";
import { cat } from "../ops/index.js";
import { Tensor } from "../tensor.js";
import type { Scores } from "./events.js";
import { type Metric, scoresOf, Totals } from "./metrics.js";
import type { Batch, TrainerSettings } from "./options.js";

/** What trainer.evaluate() gives. */
export interface Evaluation {
  /** Means over the samples, "loss" among them. */
  scores: Scores;
  /** How many samples the batches had. */
  samples: number;
  /** Wall-clock time, the loader's included. */
  seconds: number;
}

/** Frees batches that were used. Those of a DataLoader are their receiver's; others may be somebody's who needs them. */
export function release(loader: unknown, batches: readonly Batch[]): void {
  if (loader instanceof DataLoader) for (const t of batches.flat()) t.free();
}

async function inEvaluation<T>(
  { model, ema }: Pick<TrainerSettings, "model" | "ema">,
  fn: () => Promise<T>,
): Promise<T> {
  const modes = model.modules().map((m) => [m, m.training] as const);
  model.eval();
  ema?.apply();
  try {
    return await fn();
  } finally {
    ema?.restore();
    for (const [m, training] of modes) m.training = training;
  }
}

/** Scores over all batches; null when `cancelled` says so in between. */
export function evaluateModel(
  trainer: Pick<TrainerSettings, "model" | "ema" | "loss"> & { metrics: readonly Metric[] },
  loader: AsyncIterable<Batch>,
  cancelled: () => boolean,
): Promise<Evaluation | null> {
  return inEvaluation(trainer, async () => {
    const { model, loss, metrics } = trainer;
    const started = performance.now();
    const totals = new Totals(metrics);
    const pace = pacer();
    for await (const [x, y] of loader) {
      scope(() =>
        noGrad(() => {
          const output = model.forward(x);
          totals.add(loss(output, y), output, y, x.shape[0] ?? 1);
        }),
      );
      release(loader, [[x, y]]);
      await pace();
      if (cancelled()) return null;
    }
    if (totals.isEmpty) throw new Error("evaluate: the loader gave no batch. Is its data set empty?");
    const counts = await totals.take();
    return { scores: scoresOf(counts), samples: counts.samples, seconds: (performance.now() - started) / 1000 };
  });
}

/** The outputs for a tensor, or for all inputs of a loader, one after the other along dimension 0. */
export function predictWith(
  trainer: Pick<TrainerSettings, "model" | "ema">,
  source: Tensor | AsyncIterable<Batch | Tensor>,
  signal: AbortSignal | undefined,
): Promise<Tensor> {
  return inEvaluation(trainer, async () => {
    const forward = (x: Tensor) => scope(() => noGrad(() => trainer.model.forward(x)));
    if (source instanceof Tensor) return forward(source);
    const outputs: Tensor[] = [];
    const pace = pacer();
    try {
      for await (const batch of source) {
        signal?.throwIfAborted();
        const x = batch instanceof Tensor ? batch : batch[0]!;
        const output = forward(x);
        outputs.push(output);
        if (!(batch instanceof Tensor)) release(source, [batch.filter((t) => t !== output)]);
        await pace();
      }
      if (outputs.length === 0) throw new Error("predict: the loader gave no batch. Is its data set empty?");
      return noGrad(() => cat(outputs));
    } finally {
      for (const output of outputs) output.free();
    }
  });
}
