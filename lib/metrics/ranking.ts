/**
 * @file How well scores put the positives in front: ROC and precision-recall curves and the areas under them.
 *
 * Exact: scores are sorted, equal ones share a point. A meter therefore keeps every score (8 bytes and a class a sample).
 * Definitions and the curves' points are scikit-learn's.
 */
import { checkClass, checkNotEmpty, checkSameLength, checkScores, sum } from "./checks.js";
import type { Classes } from "./classification.js";

/** One point a threshold: predicted positive is a score from it up. */
interface Counts {
  thresholds: number[];
  /** positives and negatives at or above each threshold */
  tp: number[];
  fp: number[];
  positives: number;
  negatives: number;
}

/** Falling thresholds and the counts at each. */
function countsOf(op: string, scores: ArrayLike<number>, labels: Classes): Counts {
  checkSameLength(op, scores, labels);
  checkNotEmpty(op, labels.length);
  for (let i = 0; i < labels.length; i++) {
    checkClass(op, "label", labels[i], i, 2);
    if (Number.isNaN(scores[i])) throw new RangeError(`${op}: expected scores that can be ordered, got NaN at ${i}`);
  }
  const order = Uint32Array.from({ length: labels.length }, (_, i) => i).sort((a, b) => scores[b] - scores[a] || a - b);
  const counts: Counts = { thresholds: [], tp: [], fp: [], positives: 0, negatives: 0 };
  order.forEach((at, i) => {
    if (labels[at] === 1) counts.positives++;
    else counts.negatives++;
    if (i + 1 < order.length && scores[order[i + 1]] === scores[at]) return;
    counts.thresholds.push(scores[at]);
    counts.tp.push(counts.positives);
    counts.fp.push(counts.negatives);
  });
  return counts;
}

/** What rocCurve gives: one point a threshold. */
export interface RocCurve {
  /** falling; the first is Infinity, where nothing is predicted positive */
  thresholds: number[];
  /** false positive rates, rising from 0 to 1; NaN where there is no negative */
  fpr: number[];
  /** true positive rates, rising from 0 to 1; NaN where there is no positive */
  tpr: number[];
}

/**
 * The receiver operating characteristic.
 *
 * @param scores [n], higher for positives
 * @param labels [n]: 1 or 0
 * @param options dropIntermediate: leaves out points on straight lines; default true
 */
export function rocCurve(
  scores: ArrayLike<number>,
  labels: Classes,
  { dropIntermediate = true }: { dropIntermediate?: boolean } = {},
): RocCurve {
  const { thresholds, tp, fp, positives, negatives } = countsOf("rocCurve", scores, labels);
  const last = tp.length - 1;
  const bends = (i: number): boolean =>
    i === 0 || i === last || tp[i + 1] - 2 * tp[i] + tp[i - 1] !== 0 || fp[i + 1] - 2 * fp[i] + fp[i - 1] !== 0;
  const kept = tp.map((_, i) => i).filter((i) => !dropIntermediate || bends(i));
  return {
    thresholds: [Number.POSITIVE_INFINITY, ...kept.map((i) => thresholds[i])],
    fpr: [0, ...kept.map((i) => fp[i])].map((v) => v / negatives),
    tpr: [0, ...kept.map((i) => tp[i])].map((v) => v / positives),
  };
}

function binaryAuc({ tp, fp, positives, negatives }: Counts): number {
  // Trapezoids between neighbouring points, in counts: exact up to the division.
  let area = 0;
  tp.forEach((t, i) => {
    area += (fp[i] - (fp[i - 1] ?? 0)) * (t + (tp[i - 1] ?? 0));
  });
  return area / (2 * positives * negatives);
}

/** Options of rocAuc and averagePrecision. */
export interface AreaOptions {
  /** of several classes, each against the rest: the mean (default), or by how often each occurs */
  average?: "macro" | "weighted";
}

/** f of each class against the rest, averaged. */
function overClasses(
  op: string,
  scores: ArrayLike<number>,
  labels: Classes,
  { average = "macro" }: AreaOptions,
  f: (scores: ArrayLike<number>, labels: Classes) => number,
): number {
  if (average !== "macro" && average !== "weighted")
    throw new RangeError(`${op}: expected average "macro" or "weighted", got ${JSON.stringify(average)}`);
  const classes = checkScores(op, scores, labels);
  if (classes === 1) return f(scores, labels);
  const support = new Array<number>(classes).fill(0);
  for (let i = 0; i < labels.length; i++) support[checkClass(op, "label", labels[i], i, classes)]++;
  const areas = support.map((_, c) =>
    f(
      Array.from({ length: labels.length }, (_, i) => scores[i * classes + c]),
      Array.from({ length: labels.length }, (_, i) => Number(labels[i] === c)),
    ),
  );
  return average === "macro" ? sum(areas) / classes : sum(areas.map((a, c) => a * support[c])) / labels.length;
}

/**
 * The area under the ROC curve: how often a positive scores above a negative, ties as halves. NaN where a class has no
 * positive or no negative.
 *
 * @param scores [n] with labels 0 and 1; or [n, classes], flat and row-major: the mean of each class against the rest
 * @param labels [n]
 */
export function rocAuc(scores: ArrayLike<number>, labels: Classes, options: AreaOptions = {}): number {
  return overClasses("rocAuc", scores, labels, options, (s, l) => binaryAuc(countsOf("rocAuc", s, l)));
}

/** What precisionRecallCurve gives. */
export interface PrecisionRecallCurve {
  /** rising, one fewer than points */
  thresholds: number[];
  /** by threshold, then a last point of precision 1 and recall 0 */
  precision: number[];
  /** falling to 0 at the last point */
  recall: number[];
}

/**
 * Precision and recall at every threshold.
 *
 * @param scores [n], higher for positives
 * @param labels [n]: 1 or 0; without a positive, recall is 1 throughout
 */
export function precisionRecallCurve(scores: ArrayLike<number>, labels: Classes): PrecisionRecallCurve {
  const { thresholds, tp, fp, positives } = countsOf("precisionRecallCurve", scores, labels);
  return {
    thresholds: thresholds.toReversed(),
    precision: [...tp.map((t, i) => t / (t + fp[i])).toReversed(), 1],
    recall: [...tp.map((t) => (positives === 0 ? 1 : t / positives)).toReversed(), 0],
  };
}

/**
 * Average precision: the sum over thresholds of (recall_i - recall_{i-1}) precision_i, without interpolation.
 *
 * @param scores [n] with labels 0 and 1; or [n, classes], flat and row-major: the mean of each class against the rest
 * @param labels [n]
 */
export function averagePrecision(scores: ArrayLike<number>, labels: Classes, options: AreaOptions = {}): number {
  return overClasses("averagePrecision", scores, labels, options, (s, l) => {
    const { tp, fp, positives } = countsOf("averagePrecision", s, l);
    if (positives === 0) return 0;
    return sum(tp.map((t, i) => ((t - (tp[i - 1] ?? 0)) / positives) * (t / (t + fp[i]))));
  });
}

/** All that a RankingMeter keeps. */
export interface RankingState {
  /** [n, classes], flat and row-major */
  scores: number[];
  /** [n] */
  labels: number[];
}

/** The areas of a RankingMeter. */
export interface RankingScores {
  /** See rocAuc(). */
  rocAuc: number;
  /** See averagePrecision(). */
  averagePrecision: number;
}

/**
 * The same areas from batches. It keeps every score.
 *
 *     const meter = new RankingMeter();
 *     meter.update([0.9, 0.2], [1, 0]);
 *     meter.compute().rocAuc; // 1
 */
export class RankingMeter {
  #scores: number[] = [];
  #labels: number[] = [];

  /**
   * A meter without samples.
   *
   * @param classes columns of the scores; 1 (default): scores of the class 1 of two
   */
  constructor(
    /** Columns of the scores. */
    readonly classes: number = 1,
  ) {
    if (!Number.isSafeInteger(classes) || classes < 1)
      throw new RangeError(`RankingMeter: expected classes to be a whole number from 1 up, got ${classes}`);
  }

  /** Adds a batch: scores [n, classes] and labels [n]. A batch with an error in it is not counted at all. */
  update(scores: ArrayLike<number>, labels: Classes): void {
    const op = "RankingMeter.update";
    if (scores.length !== labels.length * this.classes)
      throw new RangeError(
        `${op}: expected ${labels.length * this.classes} scores for ${labels.length} labels, got ${scores.length}`,
      );
    for (let i = 0; i < labels.length; i++) checkClass(op, "label", labels[i], i, Math.max(2, this.classes));
    for (let i = 0; i < scores.length; i++) this.#scores.push(scores[i]);
    for (let i = 0; i < labels.length; i++) this.#labels.push(labels[i]);
  }

  /** How many samples were seen. */
  get count(): number {
    return this.#labels.length;
  }

  /**
   * The areas over all samples seen.
   *
   * @throws RangeError before the first sample
   */
  compute(options: AreaOptions = {}): RankingScores {
    checkNotEmpty("RankingMeter.compute", this.count);
    return {
      rocAuc: rocAuc(this.#scores, this.#labels, options),
      averagePrecision: averagePrecision(this.#scores, this.#labels, options),
    };
  }

  /** Forgets all samples, for the next epoch. */
  reset(): void {
    this.#scores = [];
    this.#labels = [];
  }

  /** Every score and label seen, for load(); 8 bytes and more a number as JSON. */
  state(): RankingState {
    return { scores: [...this.#scores], labels: [...this.#labels] };
  }

  /** Takes over what state() gave. */
  load({ scores, labels }: RankingState): void {
    const before = this.state();
    this.reset();
    try {
      this.update(scores, labels);
    } catch (error) {
      this.#scores = before.scores;
      this.#labels = before.labels;
      throw error;
    }
  }
}
