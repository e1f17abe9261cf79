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
  name: string;
  /** `sum` of one batch, a tensor with one element, and the `count` it is divided by. Runs without gradients. */
  measure(output: Tensor, target: Tensor): { sum: Tensor; count: number };
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
export type MetricName = keyof typeof METRICS;

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
  samples: number;
  sums: Record<string, number>;
  counts: Record<string, number>;
}

export const noCounts = (): Counts => ({ samples: 0, sums: {}, counts: {} });

export function addCounts(into: Counts, more: Counts): void {
  into.samples += more.samples;
  for (const name in more.sums) {
    into.sums[name] = (into.sums[name] ?? 0) + more.sums[name]!;
    into.counts[name] = (into.counts[name] ?? 0) + more.counts[name]!;
  }
}

export const scoresOf = ({ sums, counts }: Counts): Scores =>
  Object.fromEntries(Object.keys(sums).map((name) => [name, sums[name]! / counts[name]!]));

export interface TotalsState {
  samples: number;
  counts: Record<string, number>;
  sums: Record<string, Tensor>;
}

/** Totals of a window of steps, on the device. */
export class Totals {
  readonly #metrics: readonly Metric[];
  #sums = new Map<string, Tensor>();
  #counts: Record<string, number> = {};
  #samples = 0;

  constructor(metrics: readonly Metric[]) {
    this.#metrics = metrics;
  }

  get isEmpty(): boolean {
    return this.#samples === 0;
  }

  /** Adds a batch of `samples`, given its mean loss. Call it in noGrad(). */
  add(loss: Tensor, output: Tensor, target: Tensor, samples: number): void {
    this.#samples += samples;
    this.#addOne("loss", loss, samples, samples);
    for (const metric of this.#metrics) {
      const { sum, count } = metric.measure(output, target);
      this.#addOne(metric.name, sum, 1, count);
    }
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
