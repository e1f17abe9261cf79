/**
 * @file One number from a confusion matrix: correlation, agreement beyond chance, F-beta, overlap of segmentations.
 *
 * Each comes twice: of predictions and labels, and (`...Of`) of counts, which a ClassificationMeter adds up batch by batch.
 * Definitions are scikit-learn's.
 */
import { checkNotEmpty, sum } from "./checks.js";
import { type Classes, type ConfusionMatrix, type ConfusionOptions, confusionMatrix } from "./classification.js";

interface Totals {
  right: number;
  count: number;
  /** by class: how many there are, and how many are predicted */
  truths: number[];
  predicted: number[];
}

function totalsOf(op: string, counts: ConfusionMatrix): Totals {
  const truths = counts.map(sum);
  const predicted = counts.map((_, j) => sum(counts.map((row) => row[j])));
  const count = sum(truths);
  checkNotEmpty(op, count);
  return { right: sum(counts.map((row, i) => row[i])), count, truths, predicted };
}

/** Matthews' correlation coefficient of any number of classes (Gorodkin 2004), -1 to 1; 0 where it is 0 / 0. */
export function matthewsOf(counts: ConfusionMatrix): number {
  const { right, count, truths, predicted } = totalsOf("matthews", counts);
  const product = (a: number[], b: number[]): number => sum(a.map((v, i) => v * b[i]));
  const scale = Math.sqrt((count ** 2 - product(predicted, predicted)) * (count ** 2 - product(truths, truths)));
  return scale === 0 ? 0 : (right * count - product(truths, predicted)) / scale;
}

/** matthewsOf the confusion matrix of predictions [n] and labels [n]. */
export function matthews(predictions: Classes, labels: Classes, options: ConfusionOptions = {}): number {
  return matthewsOf(confusionMatrix(predictions, labels, options));
}

/** Options of cohenKappa. */
export interface KappaOptions {
  /** how a disagreement of classes i and j counts: 1 (null, default), |i - j|, or (i - j)^2 */
  weights?: "linear" | "quadratic" | null;
}

/** Cohen's kappa (1960): agreement beyond what chance would give, 1 for perfect; NaN where chance explains all. */
export function cohenKappaOf(counts: ConfusionMatrix, { weights = null }: KappaOptions = {}): number {
  const { count, truths, predicted } = totalsOf("cohenKappa", counts);
  if (weights !== null && weights !== "linear" && weights !== "quadratic")
    throw new RangeError(`cohenKappa: expected weights "linear", "quadratic" or null, got ${JSON.stringify(weights)}`);
  const cost = (i: number, j: number): number =>
    weights === null ? Number(i !== j) : weights === "linear" ? Math.abs(i - j) : (i - j) ** 2;
  let observed = 0;
  let expected = 0;
  counts.forEach((row, i) => {
    row.forEach((n, j) => {
      observed += cost(i, j) * n;
      expected += (cost(i, j) * truths[i] * predicted[j]) / count;
    });
  });
  return 1 - observed / expected;
}

/** cohenKappaOf the confusion matrix of predictions [n] and labels [n]. */
export function cohenKappa(
  predictions: Classes,
  labels: Classes,
  { weights, ...options }: KappaOptions & ConfusionOptions = {},
): number {
  return cohenKappaOf(confusionMatrix(predictions, labels, options), { weights });
}

/** Options of fBeta. */
export interface FBetaOptions {
  /** how much more recall counts than precision; default 1 */
  beta?: number;
  /** the mean over classes (default), the same by support, from the sums over classes, or the class 1 of two */
  average?: "macro" | "weighted" | "micro" | "binary";
}

/** (1 + beta^2) tp / ((1 + beta^2) tp + beta^2 fn + fp); 0 where that is 0 / 0. */
export function fBetaOf(counts: ConfusionMatrix, { beta = 1, average = "macro" }: FBetaOptions = {}): number {
  const op = "fBeta";
  const { right, count, truths, predicted } = totalsOf(op, counts);
  if (!(beta >= 0)) throw new RangeError(`${op}: expected beta from 0 up, got ${beta}`);
  const score = (tp: number, truth: number, predicted: number): number => {
    const all = beta ** 2 * truth + predicted;
    return all === 0 ? 0 : ((1 + beta ** 2) * tp) / all;
  };
  const scores = counts.map((row, i) => score(row[i], truths[i], predicted[i]));
  switch (average) {
    case "macro":
      return sum(scores) / scores.length;
    case "weighted":
      return sum(scores.map((s, i) => s * truths[i])) / count;
    case "micro":
      return score(right, count, count);
    case "binary":
      if (scores.length === 2) return scores[1];
      throw new RangeError(`${op}: expected two classes for average "binary", got ${scores.length}`);
    default:
      throw new RangeError(
        `${op}: expected average "macro", "weighted", "micro" or "binary", got ${JSON.stringify(average satisfies never)}`,
      );
  }
}

/** fBetaOf the confusion matrix of predictions [n] and labels [n]. */
export function fBeta(
  predictions: Classes,
  labels: Classes,
  { beta, average, ...options }: FBetaOptions & ConfusionOptions = {},
): number {
  return fBetaOf(confusionMatrix(predictions, labels, options), { beta, average });
}

/** What overlap gives. */
export interface OverlapScores {
  /** by class: tp / (tp + fp + fn), the Jaccard index; 0 where the class never occurs */
  iou: number[];
  /** by class: 2 tp / (2 tp + fp + fn) */
  dice: number[];
  /** mean of iou over the classes that occur, in labels or predictions */
  meanIoU: number;
  /** mean of dice over the classes that occur, in labels or predictions */
  meanDice: number;
}

/** How well a segmentation covers: intersection over union and Dice of every class. */
export function overlapOf(counts: ConfusionMatrix): OverlapScores {
  const { truths, predicted } = totalsOf("overlap", counts);
  const both = counts.map((_, i) => truths[i] + predicted[i]);
  const occurs = both.filter((n) => n > 0).length;
  const iou = counts.map((row, i) => (both[i] === 0 ? 0 : row[i] / (both[i] - row[i])));
  const dice = counts.map((row, i) => (both[i] === 0 ? 0 : (2 * row[i]) / both[i]));
  return { iou, dice, meanIoU: sum(iou) / occurs, meanDice: sum(dice) / occurs };
}

/** overlapOf the confusion matrix of the classes of pixels, predicted [n] and true [n]. */
export function overlap(predictions: Classes, labels: Classes, options: ConfusionOptions = {}): OverlapScores {
  return overlapOf(confusionMatrix(predictions, labels, options));
}
