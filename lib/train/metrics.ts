/**
 * Metrics that run beside training: each step adds to totals that stay on the device; numbers arrive when somebody asks.
 */
import { expect, show } from "../errors.js";
import { unscoped } from "../memory.js";
import { k } from "../native.js";
import { zeros } from "../ops/create.js";
import type { Tensor } from "../tensor.js";
import type { Scores } from "./events.js";

/** A mean over samples that needs no read in a step. */
export interface Metric {
  /** Under which scores hold it; "loss" is taken. */
  name: string;
  /** `sum` of one batch, a tensor with one element, and the `count` it is divided by. Runs without gradients. */
  measure(
    output: Tensor,
    target: Tensor,
  ): {
    /** A tensor with one element, which the metric may leave on the device. */
    sum: Tensor;
    /** What the sum is divided by, such as the number of samples. */
    count: number;
  };
}

/** Share of the samples whose highest score (dimension 1) is that of their label. */
export const accuracy: Metric = {
  name: "accuracy",
  measure(output, target) {
    expect(
      output.ndim === target.ndim + 1,
      "accuracy",
      `scores with one dimension more than the labels ${show(target.shape)}`,
      show(output.shape),
    );
    return { sum: output.argmax(1).equal(target).to("float32").sum(), count: target.size };
  },
};

const METRICS = { accuracy };
/** Metrics that go by name. */
export type MetricName = keyof typeof METRICS;

/** Metrics by name or as they are; a name twice is an error. */
export function findMetrics(given: readonly (MetricName | Metric)[]): Metric[] {
  const found = given.map((m) => {
    if (typeof m !== "string") return m;
    const known = METRICS[m];
    if (!known)
      throw new TypeError(
        `Trainer: expected a metric of ${Object.keys(METRICS).join(", ")} or { name, measure }, got "${m}"`,
      );
    return known;
  });
  const names = ["loss", ...found.map((m) => m.name)];
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice) throw new TypeError(`Trainer: two metrics are named "${twice}" ("loss" is always there)`);
  return found;
}

/** Sums and counts by metric, and the samples; adds up across windows. */
export interface Counts {
  /** Samples of the window. */
  samples: number;
  /** By metric, as numbers. */
  sums: Record<string, number>;
  /** What each sum is divided by. */
  counts: Record<string, number>;
}

/** Counts of an empty window. */
export const noCounts = (): Counts => ({ samples: 0, sums: {}, counts: {} });

/** Adds the counts of another window to `into`. */
export function addCounts(into: Counts, more: Counts): void {
  into.samples += more.samples;
  for (const name in more.sums) {
    into.sums[name] = (into.sums[name] ?? 0) + more.sums[name]!;
    into.counts[name] = (into.counts[name] ?? 0) + more.counts[name]!;
  }
}

/** Sum by count, for each metric. */
export const scoresOf = ({ sums, counts }: Counts): Scores =>
  Object.fromEntries(Object.keys(sums).map((name) => [name, sums[name]! / counts[name]!]));

/** What Totals.state() gives. */
export interface TotalsState {
  /** Samples of the window so far. */
  samples: number;
  /** What each sum is divided by. */
  counts: Record<string, number>;
  /** By metric, [] each. */
  sums: Record<string, Tensor>;
}

/** The scores of one batch, on the device. */
export type Measures = {
  samples: number;
  parts: { name: string; sum: Tensor; weight: number; count: number }[];
};

/** Totals of a window of steps, on the device. */
export class Totals {
  readonly #metrics: readonly Metric[];
  #sums = new Map<string, Tensor>();
  #counts: Record<string, number> = {};
  #samples = 0;

  /**
   * An empty window.
   *
   * @param metrics beside the loss
   */
  constructor(metrics: readonly Metric[]) {
    this.#metrics = metrics;
  }

  /** Whether no batch was added since take(). */
  get isEmpty(): boolean {
    return this.#samples === 0;
  }

  /** Adds a batch of `samples`, given its mean loss. Call it in noGrad(). */
  add(loss: Tensor, output: Tensor, target: Tensor, samples: number): void {
    this.addMeasures(this.measure(loss, output, target, samples));
  }

  /** What add() adds: a captured step measures inside, and its totals, which change with the window, add up outside. */
  measure(loss: Tensor, output: Tensor, target: Tensor, samples: number): Measures {
    return {
      samples,
      parts: [
        { name: "loss", sum: loss, weight: samples, count: samples },
        ...this.#metrics.map((metric) => ({ name: metric.name, weight: 1, ...metric.measure(output, target) })),
      ],
    };
  }

  /** Adds what measure() gave. */
  addMeasures({ samples, parts }: Measures): void {
    this.#samples += samples;
    for (const { name, sum, weight, count } of parts) this.#addOne(name, sum, weight, count);
  }

  #addOne(name: string, value: Tensor, weight: number, count: number): void {
    expect(
      value.size === 1,
      "Trainer",
      `${name} to be a tensor with one element`,
      `${show(value.shape)}; take its mean`,
    );
    let sum = this.#sums.get(name);
    if (!sum) this.#sums.set(name, (sum = unscoped(() => zeros([]))));
    k.addInto(sum, value.to("float32"), weight, 1);
    this.#counts[name] = (this.#counts[name] ?? 0) + count;
  }

  /** What load() continues from: the tensors are the totals themselves. */
  state(): TotalsState {
    return { samples: this.#samples, counts: { ...this.#counts }, sums: Object.fromEntries(this.#sums) };
  }

  /** Continues a window that state() gave; its tensors are taken over. */
  load({ samples, counts, sums }: TotalsState): void {
    [this.#samples, this.#counts, this.#sums] = [samples, counts, new Map(Object.entries(sums))];
  }

  /** Starts the next window; the promise gives the numbers of this one once its steps are done. */
  async take(): Promise<Counts> {
    const [sums, counts, samples] = [[...this.#sums], this.#counts, this.#samples];
    this.#sums = new Map();
    this.#counts = {};
    this.#samples = 0;
    const reads = sums.map(([, sum]) => sum.item());
    for (const [, sum] of sums) sum.free();
    const values = await Promise.all(reads);
    return { samples, sums: Object.fromEntries(sums.map(([name], i) => [name, values[i]!])), counts };
  }
}
