/**
 * Which validation was the best, and whether it is time to stop: both follow one monitored score.
 */
import type { ValidationEvent } from "./events.js";

/** When training ends because the monitored score has stopped improving. */
export interface EarlyStopping {
  /** Validations without improvement after which training ends. Default 5. */
  patience?: number;
  /** A change of at most this much is no improvement. Default 0. */
  minDelta?: number;
}

/** What a resumed run continues from. */
export interface MonitorState {
  /** The best validation so far. */
  best: ValidationEvent | null;
  /** Validations since then. */
  waited: number;
}

/** Follows one score over the validations of a run. */
export class Monitor {
  readonly #name: string;
  readonly #sign: 1 | -1;
  readonly #patience: number;
  readonly #minDelta: number;
  /** May be set, when a run is resumed. */
  state: MonitorState = { best: null, waited: 0 };

  /**
   * Nothing seen yet: the first score that is a number is the best.
   *
   * @param name the score: "loss" is to fall, everything else to rise
   */
  constructor(name: string, stopping: EarlyStopping | undefined) {
    const { patience = 5, minDelta = 0 } = stopping ?? { patience: Number.POSITIVE_INFINITY };
    if (!(patience >= 1)) throw new RangeError(`fit: expected earlyStopping.patience from 1 up, got ${patience}`);
    if (!(minDelta >= 0)) throw new RangeError(`fit: expected earlyStopping.minDelta from 0 up, got ${minDelta}`);
    this.#name = name;
    this.#sign = name === "loss" ? -1 : 1;
    this.#patience = patience;
    this.#minDelta = minDelta;
  }

  /** Notes a validation and marks it when it is the best so far. A score that is NaN is never the best. */
  see(event: ValidationEvent): ValidationEvent {
    const score = event.scores[this.#name];
    if (score === undefined) {
      throw new Error(
        `Trainer: monitor is "${this.#name}", and the validation gives ${Object.keys(event.scores).join(", ")}; add it to metrics`,
      );
    }
    const before = this.state.best;
    const better = before ? this.#sign * (score - before.scores[this.#name]!) > this.#minDelta : !Number.isNaN(score);
    const seen = { ...event, best: better };
    this.state = better ? { best: seen, waited: 0 } : { best: before, waited: this.state.waited + 1 };
    return seen;
  }

  /** Whether as many validations as `patience` brought no improvement. */
  get outOfPatience(): boolean {
    return this.state.waited >= this.#patience;
  }
}
