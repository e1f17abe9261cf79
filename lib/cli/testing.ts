/**
 * A trained network on its test pictures: scores by class, and what it got wrong.
 */
import "../methods.js";
import { DataLoader, type ImageSets } from "../data/index.js";
import { noGrad } from "../graph.js";
import { scope } from "../memory.js";
import { ClassificationMeter, type ClassificationScores, type ConfusionMatrix } from "../metrics/index.js";
import type { Layer } from "../nn/index.js";

/** A picture of the test set that the network got wrong. */
export interface Mistaken {
  /** Number of the picture in the test set. */
  index: number;
  truth: number;
  predicted: number;
  /** The network's probability of `predicted`. */
  probability: number;
}

/** How a network does on a test set. */
export interface Tested {
  scores: ClassificationScores;
  confusion: ConfusionMatrix;
  /** Mean cross-entropy. */
  loss: number;
  /** All of them, the surest first. */
  mistakes: Mistaken[];
  /** The text table of scores. */
  report: string;
}

/** Runs the test set through the model, in eval mode. */
export async function testModel(model: Layer, { test, classes }: ImageSets): Promise<Tested> {
  const meter = new ClassificationMeter(classes.length);
  const mistakes: Mistaken[] = [];
  let loss = 0;
  let first = 0;
  model.eval();
  for await (const [x, y] of new DataLoader(test, { batchSize: 500 })) {
    const logProbabilities = scope(() => noGrad(() => model.forward(x!).logSoftmax(1)));
    const [logs, labels] = await Promise.all([logProbabilities.data(), y!.data("int32")]);
    for (const t of [x!, y!, logProbabilities]) t.free();
    const predictions = new Int32Array(labels.length);
    labels.forEach((truth, i) => {
      const row = logs.subarray(i * classes.length, (i + 1) * classes.length);
      const predicted = row.indexOf(Math.max(...row));
      // A network that gives NaN is wrong about everything.
      predictions[i] = predicted < 0 ? (truth + 1) % classes.length : predicted;
      loss -= row[truth]!;
      if (predictions[i] !== truth)
        mistakes.push({
          index: first + i,
          truth,
          predicted: predictions[i]!,
          probability: Math.exp(row[predictions[i]!]!),
        });
    });
    meter.update(predictions, labels);
    first += labels.length;
  }
  mistakes.sort((a, b) => b.probability - a.probability);
  return {
    scores: meter.compute(),
    confusion: meter.confusionMatrix(),
    loss: loss / first,
    mistakes,
    report: meter.report({ classNames: classes }),
  };
}
