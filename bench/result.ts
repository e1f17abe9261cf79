/** What every suite answers, how it is printed, and the machine and versions that go with it. */
import { readFileSync } from "node:fs";
import { cpus, release, totalmem, type } from "node:os";
import { addon } from "#lib/native.js";
import type { Peak } from "./peak.js";

/** What one contender was measured at in one case. */
export interface Result {
  name: string;
  /** Its first word is the product: "pytorch" and "pytorch tuned" are two settings of one. */
  contender: string;
  unit: "ms" | "MB";
  median: number;
  min: number;
  max: number;
  /** Where the tail is what matters. */
  p99?: number;
  /** Minor page faults of a steady step, the median. */
  faults?: number;
  /** What else there is to say, printed behind it. */
  note?: string;
  /** How many measurements. */
  n: number;
  /** This median over napier's in the same case: above 1, napier is better. null for napier itself. */
  ratio: number | null;
  /** 10^9 operations or bytes a second at the median, and as a share of this run's peak; null where none are counted. */
  rate: { amount: number; unit: "GFLOP/s" | "GB/s"; share: number } | null;
  /** Pictures or tokens a second at the median, where the case counts them. */
  items?: { amount: number; of: string };
}

/** What a run of the benchmark was asked for. */
export interface Run {
  /** A part of the name of the cases that run. */
  filter: string;
  rounds: number;
  /** Milliseconds for each contender in each round of a case. */
  budget: number;
  /** The peers that take part (bench/peers.ts); undefined: all. */
  peers: readonly string[] | undefined;
  peak: Peak;
}

/** One line of the registry in bench/run.ts: measures, prints as it goes, answers what it found. */
export type Suite = (run: Run) => Promise<Result[]>;

/** What --json writes. */
export interface Report {
  /** ISO 8601. */
  date: string;
  machine: { cpu: string; cores: number; memoryGB: number; system: string; isa: string; threads: number };
  versions: Record<string, string>;
  peak: Peak;
  suites: Record<string, Result[]>;
}

/** The arithmetic of a case, 10^9 each; the first that is not 0 makes its rate. */
export interface Arithmetic {
  gflop?: number;
  gbyte?: number;
  items?: { count: number; of: string } | undefined;
}

/** Sorts `samples`. */
export function resultOf(
  name: string,
  contender: string,
  samples: number[],
  peak: Peak,
  { gflop = 0, gbyte = 0, items }: Arithmetic = {},
  unit: Result["unit"] = "ms",
): Result {
  samples.sort((a, b) => a - b);
  const [median, min, max] = [samples[samples.length >> 1]!, samples[0]!, samples.at(-1)!];
  const amount = ((gflop || gbyte) / median) * 1e3;
  const rate = gflop
    ? ({ amount, unit: "GFLOP/s", share: amount / peak.gflops } as const)
    : ({ amount, unit: "GB/s", share: amount / peak.gbytes } as const);
  return {
    ...{ name, contender, unit, median, min, max, n: samples.length, ratio: null, rate: amount ? rate : null },
    ...(items && { items: { amount: (items.count / median) * 1e3, of: items.of } }),
  };
}

/** The results of one case, napier's first, with their ratios to it. */
export const compared = ([ours, ...others]: Result[]): Result[] =>
  ours ? [ours, ...others.map((r) => ({ ...r, ratio: r.median / ours.median }))] : [];

/** One line of a case. */
export function lineOf({ contender, unit, median, ratio, rate, items, p99, note }: Result): string {
  const small = unit === "ms" && median < 0.1;
  const value = `${(small ? median * 1e3 : median).toFixed(small ? 2 : 3).padStart(10)} ${small ? "us" : unit}`;
  const arithmetic = rate
    ? `${rate.amount.toFixed(1).padStart(8)} ${rate.unit.padEnd(7)} ${(100 * rate.share).toFixed(0).padStart(4)} %`
    : " ".repeat(22);
  const tail = p99 === undefined ? "" : `  p99 ${p99.toFixed(2)} ${unit}`;
  const each = items ? `  ${items.amount.toFixed(0).padStart(6)} ${items.of}/s` : "";
  return `  ${contender.padEnd(20)} ${value} ${arithmetic}${each}${ratio === null ? "" : `  ${ratio.toFixed(2)}x`}${tail}${note ? `  ${note}` : ""}`;
}

const product = (contender: string): string => contender.split(" ")[0]!;

/** For each other product the geometric mean and the least of its ratios, by its better setting in each case. */
export function means(results: readonly Result[]): { product: string; mean: number; least: number; cases: number }[] {
  const best = new Map<string, Map<string, number>>();
  for (const { name, contender, ratio } of results) {
    if (ratio === null || product(contender) === "napier") continue;
    const cases = best.get(product(contender)) ?? new Map<string, number>();
    best.set(product(contender), cases.set(name, Math.min(ratio, cases.get(name) ?? ratio)));
  }
  return [...best].map(([product, cases]) => {
    const ratios = [...cases.values()];
    const mean = Math.exp(ratios.reduce((sum, r) => sum + Math.log(r), 0) / ratios.length);
    return { product, mean, least: Math.min(...ratios), cases: ratios.length };
  });
}

/** This machine as --json and the head of a run show it. */
export const machine = (): Report["machine"] => ({
  cpu: cpus()[0]?.model.trim() ?? "unknown",
  cores: cpus().length,
  memoryGB: Math.round(totalmem() / 2 ** 30),
  system: `${type()} ${release()}`,
  isa: addon.isa(),
  threads: addon.threads(),
});

/** napier's version and Node's. */
export function ourVersions(): Record<string, string> {
  const { version } = JSON.parse(readFileSync(new URL("../../../package.json", import.meta.url), "utf8"));
  return { napier: version, node: process.versions.node };
}
