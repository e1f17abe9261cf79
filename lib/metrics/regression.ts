/**
 * @file How far predicted numbers are off. Everything follows from a few sums, which a meter keeps; the variances are added up
 * by Welford's recurrence, so that a large mean costs no figures.
 */
import { checkNotEmpty, checkSameLength, checkState } from "./checks.js";

/** What a RegressionMeter measures. */
export interface RegressionScores {
  /** mean absolute error */
  mae: number;
  /** mean squared error */
  mse: number;
  /** the root of mse, in units of the targets */
  rmse: number;
  /** 1 - sum of squared errors / sum of squared deviations of the targets; 1 or 0 where the targets are all alike */
  r2: number;
  /** the same with the mean error taken out: a constant offset costs nothing */
  explainedVariance: number;
}

const measured = (predictions: ArrayLike<number>, targets: ArrayLike<number>): RegressionScores => {
  const meter = new RegressionMeter();
  meter.update(predictions, targets);
  return meter.compute();
};

/** The mean of |prediction - target|. */
export const meanAbsoluteError = (predictions: ArrayLike<number>, targets: ArrayLike<number>): number =>
  measured(predictions, targets).mae;
/** The mean of (prediction - target)^2. */
export const meanSquaredError = (predictions: ArrayLike<number>, targets: ArrayLike<number>): number =>
  measured(predictions, targets).mse;
/** The coefficient of determination: 1 is perfect, 0 what the targets' mean would score. */
export const r2 = (predictions: ArrayLike<number>, targets: ArrayLike<number>): number =>
  measured(predictions, targets).r2;
/** The share of the targets' variance that predictions explain, up to a constant offset. */
export const explainedVariance = (predictions: ArrayLike<number>, targets: ArrayLike<number>): number =>
  measured(predictions, targets).explainedVariance;

/**
 * All of them, from batches, in memory of seven numbers.
 *
 *     const meter = new RegressionMeter();
 *     meter.update([1, 2.5], [1, 2]);
 *     meter.compute().mae; // 0.25
 */
export class RegressionMeter {
  /** [count, sum of |e|, sum of e^2, mean and squared deviations of the targets, the same of e], e = target - prediction */
  readonly #totals = new Float64Array(7);

  /** Adds a batch: predictions [n] and targets [n]. */
  update(predictions: ArrayLike<number>, targets: ArrayLike<number>): void {
    checkSameLength("RegressionMeter.update", predictions, targets);
    const totals = this.#totals;
    const welford = (at: number, v: number): void => {
      const from = v - totals[at];
      totals[at] += from / totals[0];
      totals[at + 1] += from * (v - totals[at]);
    };
    for (let i = 0; i < targets.length; i++) {
      const error = targets[i] - predictions[i];
      totals[0]++;
      totals[1] += Math.abs(error);
      totals[2] += error ** 2;
      welford(3, targets[i]);
      welford(5, error);
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
  compute(): RegressionScores {
    const [count, absolute, squares, , deviations, , errorDeviations] = this.#totals;
    checkNotEmpty("RegressionMeter.compute", count);
    const share = (left: number): number => (deviations === 0 ? Number(left === 0) : 1 - left / deviations);
    return {
      mae: absolute / count,
      mse: squares / count,
      rmse: Math.sqrt(squares / count),
      r2: share(squares),
      explainedVariance: share(errorDeviations),
    };
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
    this.#totals.set(checkState("RegressionMeter.load", totals, 7));
  }
}
