/**
 * Where random numbers come from. A generator is a seed and a count of draws: each op that draws takes the next number,
 * and element i of its result is a function of (seed, draw, i) alone (native/random.h, Philox). So a run repeats bit for
 * bit on any number of threads, and saving two numbers saves the generator.
 */

import { currentRecording, expectUncaptured, live } from "./live.js";

/** What a random op hands to its kernel. */
export interface Draw {
  /** Of the generator. */
  readonly seed: number;
  /** How many draws went before it. */
  readonly draw: number;
}

function checkNumber(what: string, x: number): number {
  if (!Number.isSafeInteger(x) || x < 0)
    throw new RangeError(`Generator: expected a ${what} that is an integer from 0 to 2^53 - 1, got ${x}`);
  return x;
}

/**
 * A stream of draws of its own. Ops take one as `{ generator }`; without it they share the default one, which
 * manualSeed() sets.
 *
 * @example
 * const generator = new Generator(7);
 * const saved = generator.state();
 * const a = randn([3], { generator });
 * generator.load(saved);
 * const b = randn([3], { generator }); // the same numbers
 */
export class Generator {
  #seed: number;
  #draw = 0;

  /** A generator that starts at `seed`, an integer from 0 to 2^53 - 1. */
  constructor(seed = 231) {
    this.#seed = checkNumber("seed", seed);
  }

  /** What it was started with. */
  get seed(): number {
    return this.#seed;
  }

  /** Starts again from `seed`. */
  manualSeed(seed: number): this {
    expectUncaptured("manualSeed");
    this.#seed = checkNumber("seed", seed);
    this.#draw = 0;
    return this;
  }

  /** Takes the next draw. In a captured step each replay takes its own. */
  next(): Draw {
    const draws = currentRecording()?.draws;
    if (!draws) return { seed: live(() => this.#seed), draw: live(() => this.#draw++) };
    const ahead = draws.get(this) ?? 0;
    draws.set(this, ahead + 1);
    return { seed: live(() => this.#seed), draw: live(() => this.#draw + ahead) };
  }

  /** @internal Leaves out draws: a replayed step took them. */
  skip(draws: number): void {
    this.#draw += draws;
  }

  /** What load() continues from: plain numbers, fit for JSON. */
  state(): Draw {
    return { seed: this.#seed, draw: this.#draw + (currentRecording()?.draws.get(this) ?? 0) };
  }

  /** Goes on from what state() gave: the same numbers follow. In a captured step only back or forth within the step. */
  load({ seed, draw }: Draw): this {
    checkNumber("seed", seed);
    checkNumber("draw", draw);
    const draws = currentRecording()?.draws;
    if (draws) {
      if (seed !== this.#seed || draw < this.#draw)
        throw new Error("Generator.load: a captured step can only return to a state that it had itself");
      draws.set(this, draw - this.#draw);
      return this;
    }
    this.#seed = seed;
    this.#draw = draw;
    return this;
  }
}

/** What random ops, initialisers and dropout draw from where no generator is given. Seeded with 231 at the start. */
export const defaultGenerator = new Generator();

/** Makes the default generator start again from `seed`: what follows repeats bit for bit. */
export const manualSeed = (seed: number): Generator => defaultGenerator.manualSeed(seed);
