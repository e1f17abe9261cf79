/**
 * Asynchronous successive halving (Li et al., "A system for massively parallel hyperparameter tuning", 2018): at steps min,
 * min f, min f^2, ... a trial goes on where it is among the best 1/f of those that came so far.
 */
import { expect } from "../errors.js";

/** Options of halving. */
export interface HalvingOptions {
  /** Step of the first decision. Default 1. */
  min?: number;
  /** f: one of so many goes on. Default 3. */
  factor?: number;
}

/** Who goes on. */
export class Halving {
  readonly #min: number;
  readonly #factor: number;
  /** Losses at each rung, by trial. */
  readonly #rungs = new Map<number, Map<number, number>>();

  constructor({ min = 1, factor = 3 }: HalvingOptions) {
    expect(Number.isFinite(min) && min > 0, "tune.search", "halving.min above 0", `${min}`);
    expect(factor > 1, "tune.search", "halving.factor above 1", `${factor}`);
    this.#min = min;
    this.#factor = factor;
  }

  /**
   * Whether trial `number` with this loss at this step goes on. A step between two rungs always does; NaN, of a trial that
   * diverged, counts at its rungs as the worst.
   */
  report(number: number, step: number, loss: number): boolean {
    let goesOn = true;
    for (let rung = this.#min; rung <= step; rung *= this.#factor) {
      let losses = this.#rungs.get(rung);
      if (!losses) this.#rungs.set(rung, (losses = new Map()));
      if (losses.has(number)) continue; // decided before
      losses.set(number, loss);
      const better = [...losses.values()].filter((other) => other < loss || Number.isNaN(loss)).length;
      const kept = Math.max(1, Math.floor(losses.size / this.#factor));
      goesOn = better < kept && !Number.isNaN(loss);
    }
    return goesOn;
  }
}
