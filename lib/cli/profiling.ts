/**
 * `napier train --profile FILE`: some steps of a run, measured in the middle of it.
 */
import type { Module } from "../nn/index.js";
import { type Profile, Profiler } from "../profile/index.js";
import type { TrainEvent } from "../train/index.js";

const STEPS = 50; // about so many, and those before them warm up

/** Listens to a run's events and profiles from the first step event on; a run without room for that, from its beginning. */
export class TrainingProfile {
  readonly #model: Module;
  #profiler: Profiler | null = null;
  #from = 0;
  #measured: Profile | null = null;

  /** @param steps of the whole run */
  constructor(model: Module, steps: number) {
    this.#model = model;
    if (steps < 2 * STEPS) this.#begin(0);
  }

  #begin(step: number): void {
    this.#from = step;
    this.#profiler = new Profiler({ model: this.#model });
  }

  readonly see = async (event: TrainEvent): Promise<void> => {
    if (this.#measured) return;
    if (!this.#profiler) {
      if (event.type === "step") this.#begin(event.step);
    } else if (event.type !== "step" || event.step >= this.#from + STEPS) {
      await this.end();
    }
  };

  /** What was measured; null where the run ended before. Further calls answer the same. */
  async end(): Promise<Profile | null> {
    if (this.#profiler) this.#measured = await this.#profiler.stop();
    this.#profiler = null;
    return this.#measured;
  }

  /** Ends without a result. */
  cancel(): void {
    this.#profiler?.cancel();
    this.#profiler = null;
  }
}
