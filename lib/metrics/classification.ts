/**
 * @file How well a classifier does, from class indices: accuracy, confusion matrix, precision, recall, F1, report.
 *
 * Everything but accuracy follows from the confusion matrix, so it is computed once, and a meter that sees the data in
 * batches only keeps those counts. Definitions, the zero-division rule and the report's layout are scikit-learn's.
 */

import { checkClass, checkClassCount, checkNotEmpty, checkSameLength, checkState, sum } from "./checks.js";

/** Class indices: whole numbers from 0. Plain arrays and typed arrays alike. */
export type Classes = ArrayLike<number>;

/** How often each pair occurs: counts[true][predicted], [classes][classes]. */
export type ConfusionMatrix = readonly (readonly number[])[];

/** What one class, or an average over classes, scores. Each is a fraction from 0 to 1. */
export interface PrecisionRecallF1 {
  /** tp / (tp + fp): how many of those predicted as this class are; 0 where none is predicted */
  precision: number;
  /** tp / (tp + fn): how many of this class are found; 0 where the class has no sample */
  recall: number;
  /** 2 tp / (2 tp + fp + fn); 0 where that is 0 / 0 */
  f1: number;
}

/** What one class scores. */
export interface ClassScores extends PrecisionRecallF1 {
  /** how many samples of the class there are */
  support: number;
}

/** All that follows from a confusion matrix. */
export interface ClassificationScores {
  /** fraction of right predictions */
  accuracy: number;
  /** number of samples */
  support: number;
  /** by class index */
  perClass: ClassScores[];
  /** the mean over classes, each class alike */
  macro: PrecisionRecallF1;
  /** from the sums of tp, fp and fn over classes; with one label a sample, all three equal the accuracy */
  micro: PrecisionRecallF1;
  /** the mean over classes, each class by its support */
  weighted: PrecisionRecallF1;
}

/** The option of everything that counts pairs of classes. */
export interface ConfusionOptions {
  /** the number of classes; default: the largest index that occurs, plus 1 */
  classes?: number;
}

/** Options of classificationReport. */
export interface ReportOptions extends ConfusionOptions {
  /** by class index; default "0", "1", ...; also sets `classes` */
  classNames?: readonly string[];
  /** digits after the point; default 2 */
  digits?: number;
}

/** The fraction of predictions [n] that equal their labels [n]. */
export function accuracy(predictions: Classes, labels: Classes): number {
  checkPairs("accuracy", predictions, labels);
  let right = 0;
  for (let i = 0; i < labels.length; i++) if (predictions[i] === labels[i]) right++;
  return right / labels.length;
}

/**
 * The fraction of samples whose label is among the k classes of highest score. Among equal scores the lower class
 * comes first, as argmax has it; NaN counts as the highest score, but a label whose own score is NaN is not found.
 *
 * @param scores [n, classes], flat and row-major: logits or probabilities
 * @param labels [n]
 * @param options k: default 5; classes: default scores.length / labels.length
 */
export function topKAccuracy(
  scores: ArrayLike<number>,
  labels: Classes,
  { k = 5, classes = scores.length / labels.length }: { k?: number; classes?: number } = {},
): number {
  const op = "topKAccuracy";
  checkNotEmpty(op, labels.length);
  checkClassCount(op, classes);
  if (scores.length !== labels.length * classes) {
    throw new RangeError(
      `${op}: expected scores of [${labels.length}, ${classes}] = ${labels.length * classes} values for ` +
        `${labels.length} labels, got ${scores.length}`,
    );
  }
  if (!Number.isSafeInteger(k) || k < 1 || k > classes) {
    throw new RangeError(`${op}: expected k to be a whole number from 1 to ${classes} (the classes), got ${k}`);
  }
  let found = 0;
  for (let i = 0; i < labels.length; i++) {
    const label = checkClass(op, "label", labels[i], i, classes);
    const row = i * classes;
    const score = scores[row + label];
    let ahead = 0;
    for (let j = 0; j < classes; j++) {
      const other = scores[row + j];
      if (j < label ? !(other < score) : j > label && !(other <= score)) ahead++;
    }
    if (ahead < k && !Number.isNaN(score)) found++;
  }
  return found / labels.length;
}

/** counts[true][predicted], [classes, classes], of predictions [n] and labels [n]. */
export function confusionMatrix(
  predictions: Classes,
  labels: Classes,
  { classes = largestClass("confusionMatrix", predictions, labels) + 1 }: ConfusionOptions = {},
): number[][] {
  const meter = new ClassificationMeter(classes);
  meter.update(predictions, labels);
  return meter.confusionMatrix();
}

/**
 * Precision, recall and F1: per class, macro, micro and weighted, with the accuracy. A class that never occurs scores
 * 0 and counts in the macro average (as in sklearn with labels=range(classes) and zero_division=0).
 *
 * @throws RangeError when lengths differ, when there is no sample, or for an index outside of the classes
 */
export function precisionRecallF1(
  predictions: Classes,
  labels: Classes,
  { classes = largestClass("precisionRecallF1", predictions, labels) + 1 }: ConfusionOptions = {},
): ClassificationScores {
  checkPairs("precisionRecallF1", predictions, labels);
  return scoresOf(confusionMatrix(predictions, labels, { classes }));
}

/** The scores that follow from a confusion matrix, counts[true][predicted]. */
export function scoresOf(counts: ConfusionMatrix): ClassificationScores {
  const classes = counts.length;
  const truths = counts.map(sum);
  const predicted = counts.map((_, j) => sum(counts.map((row) => row[j])));
  const support = sum(truths);
  checkNotEmpty("scoresOf", support);
  const perClass = counts.map((row, i) => ({ ...score(row[i], predicted[i], truths[i]), support: truths[i] }));
  const right = sum(counts.map((row, i) => row[i]));
  const mean = (weights: number[], total: number): PrecisionRecallF1 => ({
    precision: sum(perClass.map(({ precision }, i) => precision * weights[i])) / total,
    recall: sum(perClass.map(({ recall }, i) => recall * weights[i])) / total,
    f1: sum(perClass.map(({ f1 }, i) => f1 * weights[i])) / total,
  });
  return {
    accuracy: right / support,
    support,
    perClass,
    macro: mean(new Array(classes).fill(1), classes),
    micro: score(right, support, support),
    weighted: mean(truths, support),
  };
}

/** The scores as a text table, laid out as sklearn's classification_report. Ends without a newline. */
export function classificationReport(
  predictions: Classes,
  labels: Classes,
  {
    classNames,
    classes = classNames?.length ?? largestClass("classificationReport", predictions, labels) + 1,
    digits = 2,
  }: ReportOptions = {},
): string {
  checkPairs("classificationReport", predictions, labels);
  return reportOf(scoresOf(confusionMatrix(predictions, labels, { classes })), { classNames, digits });
}

/** The text table of scores that are there already; see classificationReport. */
export function reportOf(
  { perClass, accuracy, support, macro, weighted }: ClassificationScores,
  { classNames = perClass.map((_, i) => String(i)), digits = 2 }: Omit<ReportOptions, "classes"> = {},
): string {
  if (classNames.length !== perClass.length) {
    throw new RangeError(
      `classificationReport: expected ${perClass.length} class names (one a class), got ${classNames.length}`,
    );
  }
  const width = Math.max(...classNames.map((name) => name.length), "weighted avg".length, digits);
  const line = (name: string, ...cells: (string | number)[]) =>
    `${name.padStart(width)} ${cells.map((cell) => ` ${String(cell).padStart(9)}`).join("")}`;
  const row = (name: string, { precision, recall, f1 }: PrecisionRecallF1, support: number) =>
    line(name, precision.toFixed(digits), recall.toFixed(digits), f1.toFixed(digits), support);
  return [
    line("", "precision", "recall", "f1-score", "support"),
    "",
    ...perClass.map((scores, i) => row(classNames[i], scores, scores.support)),
    "",
    line("accuracy", "", "", accuracy.toFixed(digits), support),
    row("macro avg", macro, support),
    row("weighted avg", weighted, support),
  ].join("\n");
}

/**
 * The same scores from batches, in memory of classes^2 counts: update() with each batch, then compute().
 *
 *     const meter = new ClassificationMeter(10);
 *     meter.update([1, 2, 2], [1, 2, 0]);
 *     meter.compute().accuracy; // 2 / 3
 */
export class ClassificationMeter {
  readonly #counts: Float64Array; // [classes, classes], true by predicted; exact up to 2^53

  /**
   * A meter without samples.
   *
   * @param classes how many there are
   */
  constructor(
    /** How many classes there are. */
    readonly classes: number,
  ) {
    checkClassCount("ClassificationMeter", classes);
    this.#counts = new Float64Array(classes * classes);
  }

  /** Adds a batch: predictions [n] and labels [n]. A batch with an error in it is not counted at all. */
  update(predictions: Classes, labels: Classes): void {
    const op = "ClassificationMeter.update";
    checkSameLength(op, predictions, labels);
    for (let i = 0; i < labels.length; i++) {
      checkClass(op, "label", labels[i], i, this.classes);
      checkClass(op, "prediction", predictions[i], i, this.classes);
    }
    for (let i = 0; i < labels.length; i++) this.#counts[labels[i] * this.classes + predictions[i]]++;
  }

  /** How many samples were counted. */
  get count(): number {
    return sum(Array.from(this.#counts));
  }

  /** The counts so far, [true][predicted]. */
  confusionMatrix(): number[][] {
    const { classes } = this;
    return Array.from({ length: classes }, (_, i) => Array.from(this.#counts.subarray(i * classes, (i + 1) * classes)));
  }

  /**
   * The scores of all samples counted.
   *
   * @throws RangeError before the first sample
   */
  compute(): ClassificationScores {
    checkNotEmpty("ClassificationMeter.compute", this.count);
    return scoresOf(this.confusionMatrix());
  }

  /** The text table; see classificationReport. */
  report(options: Omit<ReportOptions, "classes"> = {}): string {
    return reportOf(this.compute(), options);
  }

  /** Forgets all samples, for the next epoch. */
  reset(): void {
    this.#counts.fill(0);
  }

  /** The counts, [classes * classes]: enough to go on later. */
  state(): number[] {
    return Array.from(this.#counts);
  }

  /** Takes over what state() gave. */
  load(counts: readonly number[]): void {
    this.#counts.set(checkState("ClassificationMeter.load", counts, this.classes ** 2));
  }
}

function score(right: number, predicted: number, truth: number): PrecisionRecallF1 {
  return {
    precision: predicted === 0 ? 0 : right / predicted,
    recall: truth === 0 ? 0 : right / truth,
    f1: predicted + truth === 0 ? 0 : (2 * right) / (predicted + truth),
  };
}

function checkPairs(op: string, predictions: Classes, labels: Classes): void {
  checkSameLength(op, predictions, labels);
  checkNotEmpty(op, labels.length);
}

/** The largest index among predictions [n] and labels [n]. */
export function largestClass(op: string, predictions: Classes, labels: Classes): number {
  checkPairs(op, predictions, labels);
  let largest = 0;
  for (let i = 0; i < labels.length; i++) {
    for (const value of [predictions[i], labels[i]]) {
      if (!Number.isSafeInteger(value) || value < 0) {
        throw new RangeError(`${op}: expected class indices (whole numbers from 0), got ${value} at ${i}`);
      }
      if (value > largest) largest = value;
    }
  }
  if (largest >= MAX_GUESSED) {
    throw new RangeError(
      `${op}: the largest class index is ${largest}; are these classes? If so, give the number of classes`,
    );
  }
  return largest;
}

// The matrix is classes^2: 2^13 classes take 512 MB. Above that a value is more likely a mistake than a class.
const MAX_GUESSED = 8192;
