/**
 * Orders of examples. A sampler says which examples an epoch visits; it depends on (seed, epoch) alone, so a loader that
 * stopped in the middle of an epoch finds the same order again.
 */
import type { Pass } from "./draws.js";
import { inOrder, permutation } from "./order.js";
import { PhiloxStream } from "./philox.js";

/** Which examples an epoch visits, in which order; one's own is an object of this form. */
export interface Sampler {
  /** Examples in an epoch. */
  readonly length: number;
  /** Their numbers in the data set; the same for the same pass. */
  order(pass: Pass): Int32Array;
}

/** Whole batches, for a loader's `batchSampler`. */
export interface Batches {
  /** Batches in an epoch. */
  readonly length: number;
  /** Numbers of the examples of each batch; the same for the same pass. */
  batches(pass: Pass): Int32Array[];
}

function whole(where: string, name: string, value: number, from: number): number {
  if (!Number.isSafeInteger(value) || value < from)
    throw new RangeError(`${where}: expected ${name} to be a whole number from ${from} up, got ${value}`);
  return value;
}

const SAMPLING = 0x73616d70; // keeps these draws apart from permutation()'s

function stream({ seed, epoch }: Pass): PhiloxStream {
  const draws = new PhiloxStream();
  draws.reset(seed | 0, Math.floor(seed / 2 ** 32) | 0, epoch | 0, Math.floor(epoch / 2 ** 32) | 0, SAMPLING);
  return draws;
}

/** Uniform in [0, 1), 53 bits. */
const uniform = (draws: PhiloxStream): number => (draws.next() * 2 ** 21 + (draws.next() >>> 11)) / 2 ** 53;

/** 0 to length - 1. */
export class SequentialSampler implements Sampler {
  /** Number of examples. */
  readonly length: number;
  /**
   * A length that is no whole number from 0 up is an error.
   *
   * @param length number of examples
   */
  constructor(length: number) {
    this.length = whole("SequentialSampler", "length", length, 0);
  }
  /** 0 to length - 1 in every epoch. */
  order(): Int32Array {
    return inOrder(this.length);
  }
}

/** All examples in random order, or `samples` of them drawn with replacement. */
export class RandomSampler implements Sampler {
  /** Examples in an epoch. */
  readonly length: number;
  /** How many there are to draw from. */
  readonly examples: number;
  /** Whether an example may come more than once. */
  readonly replacement: boolean;

  /**
   * Nothing is drawn before an epoch asks for its order.
   *
   * @param examples how many there are; samples: how many an epoch has, default all of them
   */
  constructor(
    examples: number,
    { replacement = false, samples = examples }: { replacement?: boolean; samples?: number } = {},
  ) {
    this.examples = whole("RandomSampler", "examples", examples, 0);
    this.length = whole("RandomSampler", "samples", samples, 0);
    this.replacement = replacement;
    if (samples > examples && !(replacement && examples > 0))
      throw new RangeError(`RandomSampler: expected at most ${examples} samples without replacement, got ${samples}`);
  }

  /** A permutation, or draws with replacement. */
  order(pass: Pass): Int32Array {
    if (!this.replacement) return permutation(this.examples, pass.seed, pass.epoch).slice(0, this.length);
    const draws = stream(pass);
    return Int32Array.from({ length: this.length }, () => Math.floor(uniform(draws) * this.examples));
  }
}

/**
 * Draws `samples` examples with probabilities in the ratio of `weights`: rare classes as often as frequent ones.
 *
 * @example
 * const labels = [0, 0, 0, 1];
 * const counts = [3, 1];
 * const sampler = new data.WeightedRandomSampler(labels.map((label) => 1 / counts[label]), { samples: 8 });
 */
export class WeightedRandomSampler implements Sampler {
  /** Examples in an epoch. */
  readonly length: number;
  /** Whether an example may come more than once. */
  readonly replacement: boolean;
  private readonly weights: Float64Array;

  /**
   * Nothing is drawn before an epoch asks for its order.
   *
   * @param weights one an example, from 0 up; samples: default as many; replacement: default true
   */
  constructor(
    weights: ArrayLike<number>,
    { samples = weights.length, replacement = true }: { samples?: number; replacement?: boolean } = {},
  ) {
    this.weights = Float64Array.from(weights);
    const bad = this.weights.findIndex((w) => !(w >= 0 && Number.isFinite(w)));
    if (bad >= 0)
      throw new RangeError(`WeightedRandomSampler: expected weights from 0 up, got ${this.weights[bad]} at ${bad}`);
    this.length = whole("WeightedRandomSampler", "samples", samples, 0);
    this.replacement = replacement;
    const possible = this.weights.filter((w) => w > 0).length;
    if (replacement ? possible === 0 && samples > 0 : samples > possible)
      throw new RangeError(
        `WeightedRandomSampler: expected ${replacement ? "a weight above 0" : `at most ${possible} samples, the weights above 0, without replacement`}, got ${replacement ? "none" : samples}`,
      );
  }

  /** Draws in the ratio of the weights; without replacement those of Efraimidis & Spirakis (2006). */
  order(pass: Pass): Int32Array {
    const draws = stream(pass);
    const { weights, length } = this;
    if (!this.replacement) {
      // The `samples` largest of u^(1/w) are a weighted draw without replacement (Efraimidis & Spirakis 2006).
      const keys = weights.map((w) => -Math.log1p(-uniform(draws)) / w); // small is early; 0 weights are infinite
      const order = inOrder(weights.length).sort((a, b) => keys[a]! - keys[b]! || a - b);
      return order.slice(0, length);
    }
    let sum = 0;
    const upTo = weights.map((w) => (sum += w));
    return Int32Array.from({ length }, () => {
      const u = uniform(draws) * sum;
      let [low, high] = [0, upTo.length - 1];
      while (low < high) {
        const middle = (low + high) >> 1;
        if (upTo[middle]! > u) high = middle;
        else low = middle + 1;
      }
      return low;
    });
  }
}

/**
 * All examples in random order, spread so that each stretch, and so each batch, has its share of every class: example j of
 * the m of a class comes at about (j + u) / m of the epoch, u drawn for the class.
 */
export class StratifiedSampler implements Sampler {
  /** Number of labels. */
  readonly length: number;
  private readonly classes: Int32Array[];

  /**
   * Nothing is drawn before an epoch asks for its order.
   *
   * @param labels one an example
   */
  constructor(labels: ArrayLike<number>) {
    this.length = labels.length;
    const groups = new Map<number, number[]>();
    Array.from(labels).forEach((label, i) => {
      const group = groups.get(label);
      if (group) group.push(i);
      else groups.set(label, [i]);
    });
    this.classes = [...groups].sort(([a], [b]) => a - b).map(([, group]) => Int32Array.from(group));
  }

  /** Every example once, the classes spread evenly. */
  order(pass: Pass): Int32Array {
    const draws = stream(pass);
    const places = new Float64Array(this.length);
    this.classes.forEach((group, c) => {
      const offset = uniform(draws);
      const order = permutation(group.length, pass.seed + c + 1, pass.epoch);
      order.forEach((j, at) => {
        places[group[j]!] = (at + offset) / group.length;
      });
    });
    return inOrder(this.length).sort((a, b) => places[a]! - places[b]! || a - b);
  }
}

/** Options of DistributedSampler. */
export interface DistributedSamplerOptions {
  /** This process, from 0. */
  rank: number;
  /** Processes. */
  world: number;
  /** Default true. */
  shuffle?: boolean;
  /** Leaves out the last examples where they do not divide evenly; default false: the first ones come twice. */
  dropLast?: boolean;
}

/** The part of the examples that one of several processes visits: every world-th of an order that all share. */
export class DistributedSampler implements Sampler {
  /** Examples in an epoch of this process; the same for all. */
  readonly length: number;
  /** How many there are for all processes. */
  readonly examples: number;
  private readonly options: Required<DistributedSamplerOptions>;

  /**
   * A rank that is not below world is an error.
   *
   * @param examples how many there are for all processes
   * @param options rank and world have no default
   */
  constructor(examples: number, { rank, world, shuffle = true, dropLast = false }: DistributedSamplerOptions) {
    this.examples = whole("DistributedSampler", "examples", examples, 0);
    whole("DistributedSampler", "world", world, 1);
    whole("DistributedSampler", "rank", rank, 0);
    if (rank >= world) throw new RangeError(`DistributedSampler: expected a rank below world (${world}), got ${rank}`);
    this.options = { rank, world, shuffle, dropLast };
    this.length = dropLast ? Math.floor(examples / world) : Math.ceil(examples / world);
  }

  /** This process's examples; all processes must use the same seed. */
  order({ seed, epoch }: Pass): Int32Array {
    const { rank, world, shuffle } = this.options;
    const all = shuffle ? permutation(this.examples, seed, epoch) : inOrder(this.examples);
    return Int32Array.from({ length: this.length }, (_, i) => all[(i * world + rank) % this.examples]!);
  }
}

/** Cuts the order of a sampler into batches. */
export class BatchSampler implements Batches {
  /** Batches in an epoch. */
  readonly length: number;
  /**
   * For a loader's batchSampler.
   *
   * @param sampler the order that is cut
   * @param batchSize examples in a batch, from 1 up
   * @param options dropLast: leaves out a last batch that is not full, default false
   */
  constructor(
    readonly sampler: Sampler,
    readonly batchSize: number,
    { dropLast = false }: { dropLast?: boolean } = {},
  ) {
    whole("BatchSampler", "batchSize", batchSize, 1);
    const n = sampler.length / batchSize;
    this.length = dropLast ? Math.floor(n) : Math.ceil(n);
  }

  /** The order in pieces of batchSize. */
  batches(pass: Pass): Int32Array[] {
    const order = this.sampler.order(pass);
    return Array.from({ length: this.length }, (_, b) => order.slice(b * this.batchSize, (b + 1) * this.batchSize));
  }
}
