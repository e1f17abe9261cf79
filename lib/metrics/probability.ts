/**
 * @file How good predicted probabilities are as probabilities: log loss, Brier score, calibration error.
 *
 * Each takes probabilities [n, classes], flat and row-major, or [n] of the class 1 of two.
 */
import { checkClass, checkNotEmpty, checkScores, checkState } from "./checks.js";
import type { Classes } from "./classification.js";

/** p of class c of sample i; with one column that of class 1, and 1 - p of class 0. */
const probabilityOf = (p: ArrayLike<number>, columns: number, i: number, c: number): number =>
  columns > 1 ? p[i * columns + c] : c === 1 ? p[i] : 1 - p[i];

/** As scikit-learn's: the machine epsilon of float64 keeps the logarithm finite. */
const LEAST = 2 ** -52;

/** The mean of -log p(label), p kept between 2^-52 and 1 - 2^-52. */
export function logLoss(probabilities: ArrayLike<number>, labels: Classes): number {
  return measured("logLoss", probabilities, labels, 1).logLoss;
}

/**
 * The Brier score. With one column the mean of (p - label)^2, as scikit-learn's brier_score_loss; with several that of the sum
 * over classes of (p_c - [c is the label])^2 (Brier 1950), which for two classes is twice as much.
 */
export function brier(probabilities: ArrayLike<number>, labels: Classes): number {
  return measured("brier", probabilities, labels, 1).brier;
}

/**
 * Expected calibration error (Naeini et al. 2015; Guo et al. 2017): samples go into `bins` of equal width by their confidence,
 * the probability of the predicted class; the mean over samples of |accuracy - mean confidence| of their bin. Bin i holds
 * confidences above i / bins, up to (i + 1) / bins.
 *
 * @param options bins: how many, default 15
 */
export function calibrationError(
  probabilities: ArrayLike<number>,
  labels: Classes,
  { bins = 15 }: { bins?: number } = {},
): number {
  return measured("calibrationError", probabilities, labels, bins).calibrationError;
}

/** The three scores of a ProbabilityMeter. */
export interface ProbabilityScores {
  /** See logLoss(). */
  logLoss: number;
  /** See brier(). */
  brier: number;
  /** See calibrationError(). */
  calibrationError: number;
}

function measured(op: string, probabilities: ArrayLike<number>, labels: Classes, bins: number): ProbabilityScores {
  const meter = new ProbabilityMeter(checkScores(op, probabilities, labels), { bins });
  meter.update(probabilities, labels);
  return meter.compute();
}

/**
 * The three scores from batches, in memory of the bins.
 *
 *     const meter = new ProbabilityMeter(3);
 *     meter.update([0.8, 0.1, 0.1], [0]);
 *     meter.compute().brier; // 0.06
 */
export class ProbabilityMeter {
  /** [count, sum of log losses, sum of Brier scores, then of each bin: count, right ones, sum of confidences] */
  readonly #totals: Float64Array;

  /**
   * A meter without samples.
   *
   * @param classes columns of the probabilities; 1 (default): the probability of the class 1 of two
   * @param options bins: of the calibration error, default 15
   */
  constructor(
    /** Columns of the probabilities. */
    readonly classes: number = 1,
    { bins = 15 }: { bins?: number } = {},
  ) {
    for (const [name, n] of Object.entries({ classes, bins }))
      if (!Number.isSafeInteger(n) || n < 1)
        throw new RangeError(`ProbabilityMeter: expected ${name} to be a whole number from 1 up, got ${n}`);
    this.#totals = new Float64Array(3 + 3 * bins);
  }

  /** How many bins of confidence the calibration error has. */
  get bins(): number {
    return (this.#totals.length - 3) / 3;
  }

  /** Adds a batch: probabilities [n, classes] and labels [n]. A batch with an error in it is not counted at all. */
  update(probabilities: ArrayLike<number>, labels: Classes): void {
    const op = "ProbabilityMeter.update";
    const { classes, bins } = this;
    const outcomes = Math.max(2, classes);
    if (probabilities.length !== labels.length * classes)
      throw new RangeError(
        `${op}: expected ${labels.length * classes} probabilities for ${labels.length} labels, got ${probabilities.length}`,
      );
    for (let i = 0; i < probabilities.length; i++)
      if (!(probabilities[i] >= 0 && probabilities[i] <= 1))
        throw new RangeError(`${op}: expected probabilities from 0 to 1, got ${probabilities[i]} at ${i}`);
    for (let i = 0; i < labels.length; i++) checkClass(op, "label", labels[i], i, outcomes);
    const totals = this.#totals;
    for (let i = 0; i < labels.length; i++) {
      const label = labels[i];
      let squares = 0;
      let predicted = 0;
      for (let c = 0; c < outcomes; c++) {
        const p = probabilityOf(probabilities, classes, i, c);
        squares += (p - Number(c === label)) ** 2;
        if (p > probabilityOf(probabilities, classes, i, predicted)) predicted = c;
      }
      const own = probabilityOf(probabilities, classes, i, label);
      const confidence = probabilityOf(probabilities, classes, i, predicted);
      const bin = 3 + 3 * Math.min(bins - 1, Math.max(0, Math.ceil(confidence * bins) - 1));
      totals[0]++;
      totals[1] -= Math.log(Math.min(1 - LEAST, Math.max(LEAST, own)));
      totals[2] += classes === 1 ? squares / 2 : squares;
      totals[bin]++;
      totals[bin + 1] += Number(predicted === label);
      totals[bin + 2] += confidence;
    }
  }

  /** How many samples were seen. */
  get count(): number {
    return this.#totals[0];
  }

  /**
   * The scores of all samples seen.
   *
   * @throws RangeError before the first sample
   */
  compute(): ProbabilityScores {
    const [count, logs, squares, ...bins] = this.#totals;
    checkNotEmpty("ProbabilityMeter.compute", count);
    let error = 0;
    for (let b = 0; b < bins.length; b += 3) error += Math.abs(bins[b + 1] - bins[b + 2]);
    return { logLoss: logs / count, brier: squares / count, calibrationError: error / count };
  }

  /** Forgets all samples, for the next epoch. */
  reset(): void {
    this.#totals.fill(0);
  }

  /** All that was counted, as numbers that JSON keeps: load() goes on from there. */
  state(): number[] {
    return Array.from(this.#totals);
  }

  /** Takes over what state() gave. */
  load(totals: readonly number[]): void {
    this.#totals.set(checkState("ProbabilityMeter.load", totals, this.#totals.length));
  }
}
