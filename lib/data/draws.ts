/**
 * What random transforms draw on the host: for each picture a stream of numbers that depends on (seed, epoch, number of
 * the picture, transform) alone. So a picture is changed the same way in any batch, on any machine and any thread.
 */
import { expect } from "../errors.js";
import type { Tensor } from "../tensor.js";
import { philox4x32 } from "./philox.js";

/** One pass through the data, for whatever draws at random. */
export interface Pass {
  /** An integer from 0 up; the same seed and epoch give the same order and the same random transforms. */
  seed: number;
  /** From 0. */
  epoch: number;
}

/** What random transforms draw from. */
export interface SampleKey extends Pass {
  /** [n], int32: each example's number in the data set. */
  samples: Tensor;
  /** The same numbers on the host. Where they are not given, transforms that draw there wait for `samples`. */
  indices?: ArrayLike<number>;
}

// Last word of the Philox counter: kernels that draw from the same seed have the epoch's high word there.
const DRAWS = 0x64726177;

/** The numbers of one picture. */
export class Draws {
  private readonly words = new Uint32Array(4);
  private block = 0;
  private used = 4;

  constructor(
    private readonly seed: number,
    private readonly epoch: number,
    private readonly sample: number,
  ) {}

  /** 32 random bits. */
  word(): number {
    if (this.used === 4) {
      const { words, seed, epoch, sample } = this;
      philox4x32(words, sample, this.block++, epoch | 0, DRAWS, seed | 0, Math.floor(seed / 2 ** 32) | 0);
      this.used = 0;
    }
    return this.words[this.used++]!;
  }

  /** From `low` up to `high`, without it. */
  uniform(low = 0, high = 1): number {
    return low + (high - low) * (this.word() / 2 ** 32);
  }

  /** A whole number from 0 to n - 1. */
  below(n: number): number {
    return Math.floor((this.word() / 2 ** 32) * n);
  }

  /** True with probability p: never for 0, always for 1. */
  chance(p: number): boolean {
    return this.word() < p * 2 ** 32;
  }

  /** Standard normal (Box & Muller 1958). */
  normal(): number {
    const r = Math.sqrt(-2 * Math.log((this.word() + 1) / 2 ** 32));
    return r * Math.cos(2 * Math.PI * this.uniform());
  }

  /** Gamma of shape a > 0, scale 1 (Marsaglia & Tsang 2000). */
  gamma(a: number): number {
    if (a < 1) return this.gamma(a + 1) * ((this.word() + 1) / 2 ** 32) ** (1 / a);
    const d = a - 1 / 3;
    for (;;) {
      const x = this.normal();
      const v = (1 + x / Math.sqrt(9 * d)) ** 3;
      if (v > 0 && Math.log((this.word() + 1) / 2 ** 32) < (x * x) / 2 + d - d * v + d * Math.log(v)) return d * v;
    }
  }

  /** Beta(a, a): gamma(a) / (gamma(a) + gamma(a)). */
  beta(a: number): number {
    const [x, y] = [this.gamma(a), this.gamma(a)];
    return x + y > 0 ? x / (x + y) : 0.5;
  }
}

/** The draws of each of n pictures. */
export function drawsOf(where: string, { seed, epoch, samples, indices }: SampleKey, n: number): Draws[] {
  expect(samples.size === n, where, `samples [${n}], one number a picture`, `${samples.size} numbers`);
  return Array.from(indices ?? samples.dataSync("int32"), (sample) => new Draws(seed, epoch, sample));
}

/** Throws unless p is a probability. */
export function checkProbability(where: string, p: number): number {
  if (!(p >= 0 && p <= 1)) throw new RangeError(`${where}: expected a probability from 0 to 1, got ${p}`);
  return p;
}

/** A range of numbers: [low, high], or from a single x what `of` makes of it. */
export function rangeOf(
  where: string,
  name: string,
  range: number | readonly [number, number],
  of: (x: number) => readonly [number, number],
  [least, most]: readonly [number, number],
): readonly [number, number] {
  const [low, high] = typeof range === "number" ? of(range) : range;
  if (!(low >= least && low <= high && high <= most))
    throw new RangeError(`${where}: expected ${name} between ${least} and ${most}, lower end first, got ${range}`);
  return [low, high];
}
