/**
 * Where to look next: on a grid, at random, or where what was good was frequent (TPE).
 */
import { expect } from "../errors.js";
import { Stream } from "./random.js";
import { at, type Choice, type Dimension, type Range, type Space, shareOf } from "./space.js";

/** A finished trial as samplers see it. */
export interface Observation {
  /** By name. */
  parameters: Readonly<Record<string, unknown>>;
  /** To be minimised. */
  loss: number;
}

/** The parameters of trial `number`, knowing those that are done. */
export type Suggest = (number: number, done: readonly Observation[]) => Record<string, unknown>;

/** Evenly at random (Bergstra & Bengio, "Random search for hyper-parameter optimization", 2012). */
export function randomSampler(space: Space, seed: number): Suggest {
  return (number) => {
    const stream = new Stream(seed, number);
    return Object.fromEntries(Object.entries(space).map(([name, d]) => [name, drawn(d, stream)]));
  };
}

const drawn = (d: Dimension, stream: Stream): unknown =>
  d.kind === "choice" ? d.values[stream.below(d.values.length)] : at(d, stream.next());

/** Values of a grid: all of a choice, `points` of a range, evenly with its ends (fewer where there are no more whole numbers). */
export function gridValues(d: Dimension, points: number): readonly unknown[] {
  if (d.kind === "choice") return d.values;
  const { low, high, log, integer } = d;
  const exact = (share: number) =>
    log ? Math.exp(Math.log(low) + share * Math.log(high / low)) : low + share * (high - low);
  const values = Array.from({ length: points }, (_, i) => {
    if (i === points - 1 && points > 1) return high;
    const value = i === 0 ? low : exact(i / (points - 1));
    return integer ? Math.round(value) : value;
  });
  return [...new Set(values)];
}

/** Every combination, the last parameter fastest. `size` is how many there are. */
export function gridSampler(space: Space, points: number): Suggest & { size: number } {
  expect(Number.isSafeInteger(points) && points >= 1, "tune.search", "gridPoints from 1 up", `${points}`);
  const axes = Object.entries(space).map(([name, d]) => [name, gridValues(d, points)] as const);
  const size = axes.reduce((n, [, values]) => n * values.length, 1);
  const suggest = (number: number) => {
    let rest = number;
    const found: [string, unknown][] = [];
    for (const [name, values] of [...axes].reverse()) {
      found.unshift([name, values[rest % values.length]]);
      rest = Math.floor(rest / values.length);
    }
    return Object.fromEntries(found);
  };
  return Object.assign(suggest, { size });
}

const CANDIDATES = 24;

/**
 * Tree-structured Parzen estimator (Bergstra et al., "Algorithms for hyper-parameter optimization", 2011): of candidates drawn
 * where good trials lie, the one that is likeliest among the good and least among the others. Each parameter by itself;
 * good is the best quarter. The first `startup` trials are random.
 */
export function tpeSampler(space: Space, seed: number, startup = 10): Suggest {
  const random = randomSampler(space, seed);
  return (number, done) => {
    if (done.length < startup) return random(number, done);
    const stream = new Stream(seed, number);
    const sorted = [...done].sort((a, b) => a.loss - b.loss);
    const cut = Math.max(1, Math.ceil(sorted.length / 4));
    const [good, rest] = [sorted.slice(0, cut), sorted.slice(cut)];
    return Object.fromEntries(
      Object.entries(space).map(([name, d]) => {
        const of = (trials: readonly Observation[]) => trials.map((t) => t.parameters[name]);
        return [
          name,
          d.kind === "choice"
            ? likelierChoice(d, of(good), of(rest), stream)
            : likelierNumber(d, of(good) as number[], of(rest) as number[], stream),
        ];
      }),
    );
  };
}

function likelierChoice(
  d: Choice<unknown>,
  good: readonly unknown[],
  rest: readonly unknown[],
  stream: Stream,
): unknown {
  const keys = d.values.map((v) => JSON.stringify(v));
  const shares = (seen: readonly unknown[]) => {
    const counts = keys.map((key) => 1 + seen.filter((v) => JSON.stringify(v) === key).length);
    const total = counts.reduce((a, b) => a + b);
    return counts.map((c) => c / total);
  };
  const [l, g] = [shares(good), shares(rest)];
  let best = 0;
  let most = -1;
  for (let i = 0; i < CANDIDATES; i++) {
    let u = stream.next();
    let at = 0;
    while (at < l.length - 1 && u >= l[at]!) u -= l[at++]!;
    if (l[at]! / g[at]! > most) {
      most = l[at]! / g[at]!;
      best = at;
    }
  }
  return d.values[best];
}

/** A mixture of normal distributions on [0, 1], one at each point and a wide one over all. */
class Parzen {
  readonly #centres: number[];
  readonly #widths: number[];

  constructor(points: readonly number[]) {
    const sorted = [...points].sort((a, b) => a - b);
    this.#centres = [0.5, ...sorted];
    const least = 1 / Math.min(100, sorted.length + 1);
    this.#widths = [
      1,
      ...sorted.map((x, i) => {
        const gap = Math.max(x - (sorted[i - 1] ?? 0), (sorted[i + 1] ?? 1) - x);
        return Math.min(1, Math.max(least, gap));
      }),
    ];
  }

  draw(stream: Stream): number {
    const i = stream.below(this.#centres.length);
    for (;;) {
      const x = this.#centres[i]! + this.#widths[i]! * stream.normal();
      if (x >= 0 && x <= 1) return x;
    }
  }

  density(x: number): number {
    let sum = 0;
    this.#centres.forEach((c, i) => {
      const w = this.#widths[i]!;
      sum += Math.exp(-((x - c) ** 2) / (2 * w * w)) / (w * (phi((1 - c) / w) - phi(-c / w)));
    });
    return sum / this.#centres.length;
  }
}

/** The standard normal distribution function (Abramowitz & Stegun 7.1.26, 1.5e-7). */
function phi(x: number): number {
  const t = 1 / (1 + (0.3275911 * Math.abs(x)) / Math.SQRT2);
  const poly = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  const half = (poly * Math.exp((-x * x) / 2)) / 2;
  return x >= 0 ? 1 - half : half;
}

function likelierNumber(d: Range, good: readonly number[], rest: readonly number[], stream: Stream): number {
  const [l, g] = [good, rest].map((values) => new Parzen(values.map((v) => shareOf(d, v)))) as [Parzen, Parzen];
  let best = 0;
  let most = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < CANDIDATES; i++) {
    const x = l.draw(stream);
    const ratio = Math.log(l.density(x)) - Math.log(g.density(x));
    if (ratio > most) {
      most = ratio;
      best = x;
    }
  }
  return at(d, best);
}
