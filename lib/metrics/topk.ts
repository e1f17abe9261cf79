/** @file Top-k accuracy from batches. */
import { checkNotEmpty, checkState } from "./checks.js";
import { type Classes, topKAccuracy } from "./classification.js";

/**
 * topKAccuracy from batches, in memory of two counts.
 *
 *     const meter = new TopKMeter({ k: 2 });
 *     meter.update([0.5, 0.2, 0.3], [2]);
 *     meter.compute(); // 1
 */
export class TopKMeter {
  /** How many of the highest scores the label may be among. */
  readonly k: number;
  #found = 0;
  #count = 0;

  /**
   * A meter without samples.
   *
   * @param options k: from 1 up, default 5
   */
  constructor({ k = 5 }: { k?: number } = {}) {
    if (!Number.isSafeInteger(k) || k < 1)
      throw new RangeError(`TopKMeter: expected k to be a whole number from 1 up, got ${k}`);
    this.k = k;
  }

  /** Adds a batch: scores [n, classes], flat and row-major, and labels [n]. */
  update(scores: ArrayLike<number>, labels: Classes): void {
    if (labels.length === 0) return;
    this.#found += Math.round(topKAccuracy(scores, labels, { k: this.k }) * labels.length);
    this.#count += labels.length;
  }

  /** How many samples were seen. */
  get count(): number {
    return this.#count;
  }

  /**
   * The share of all samples seen, 0 to 1.
   *
   * @throws RangeError before the first sample
   */
  compute(): number {
    checkNotEmpty("TopKMeter.compute", this.#count);
    return this.#found / this.#count;
  }

  /** Forgets all samples, for the next epoch. */
  reset(): void {
    this.load([0, 0]);
  }

  /** All that was counted, as numbers that JSON keeps: load() goes on from there. */
  state(): number[] {
    return [this.#found, this.#count];
  }

  /** Takes over what state() gave. */
  load(counts: readonly number[]): void {
    [this.#found, this.#count] = checkState("TopKMeter.load", counts, 2) as [number, number];
  }
}
