/**
 * search(): trials of a training function with different hyper-parameters, several at once, resumable, with early stopping.
 */
import { mkdir, readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { expect } from "../errors.js";
import { appendLine } from "../io/atomic.js";
import { Halving, type HalvingOptions } from "./halving.js";
import { type ObjectiveModule, runInProcess } from "./processes.js";
import { parallelCoordinates, table } from "./report.js";
import { gridSampler, type Observation, randomSampler, type Suggest, tpeSampler } from "./samplers.js";
import type { Parameters, Space } from "./space.js";

/** What a trial is given beside its parameters. */
export interface TrialContext {
  /** From 0. */
  number: number;
  /** The trial's own: what manualSeed() was given in a worker process. */
  seed: number;
  /** Tells a score so far at a step (an epoch); resolves to false where the trial should end: return that score then. */
  report(step: number, score: number): Promise<boolean>;
  /** Aborted where the search is. */
  signal: AbortSignal;
}

/** Parameters to a score. */
export type Objective<S extends Space> = (parameters: Parameters<S>, trial: TrialContext) => number | Promise<number>;

/** A trial that is over. */
export interface Trial<S extends Space = Space> {
  /** From 0. */
  number: number;
  /** By name. */
  parameters: Parameters<S>;
  /** "stopped": by report(); its score is the last one. "failed": it threw, or its score is no number. */
  state: "complete" | "stopped" | "failed";
  /** null where it failed. */
  score: number | null;
  /** Scores on the way: [step, score]. */
  reports: [step: number, score: number][];
  /** From its start to its end. */
  seconds: number;
  /** Why it failed. */
  error?: string;
}

/** Options of search(). */
export interface SearchOptions<S extends Space> {
  /** How many trials, those of a resumed file counted. Default 20; for "grid" all of them. */
  trials?: number;
  /** Default "tpe". */
  sampler?: "grid" | "random" | "tpe";
  /** Values of a range on the grid. Default 3. */
  gridPoints?: number;
  /** Whether scores are to rise or to fall. Default "maximize". */
  direction?: "maximize" | "minimize";
  /** Ends trials early by what they report. Default: none. */
  halving?: HalvingOptions | boolean;
  /** Of the parameters and the trials. Default 0. */
  seed?: number;
  /** Trials at the same time. Default 1. */
  parallel?: number;
  /** A file with a line for each trial (JSON): one that is there is gone on from. Default: none. */
  file?: string | null;
  /** Ends the search: running trials are given up. */
  signal?: AbortSignal;
  /** Called and awaited behind each trial. */
  onTrial?: (trial: Trial<S>) => void | Promise<void>;
}

/** What search() found. */
export class Study<S extends Space = Space> {
  /** In the order of their numbers. */
  readonly trials: readonly Trial<S>[];

  /** @internal */
  constructor(
    /** What was searched. */
    readonly space: S,
    trials: readonly Trial<S>[],
    /** Whether scores are to rise or to fall. */
    readonly direction: "maximize" | "minimize",
  ) {
    this.trials = [...trials].sort((a, b) => a.number - b.number);
  }

  /** The best complete trial; the best stopped one where none is complete; null where all failed. */
  get best(): Trial<S> | null {
    for (const state of ["complete", "stopped"] as const) {
      const found = this.ranked.find((t) => t.state === state);
      if (found) return found;
    }
    return null;
  }

  /** Trials with a score, the best first. */
  get ranked(): Trial<S>[] {
    const sign = this.direction === "maximize" ? -1 : 1;
    return this.trials.filter((t) => t.score !== null).sort((a, b) => sign * (a.score! - b.score!));
  }

  /** A line for each trial, the best first. */
  table(): string {
    return table(this);
  }

  /** A line for each trial through its parameters to its score: an SVG picture. */
  parallelCoordinates(): string {
    return parallelCoordinates(this);
  }
}

/**
 * Looks for the parameters whose score is best.
 *
 * @param objective trains with the parameters and answers a score; or the module that exports it, and each trial runs in a
 *   process of its own
 * @throws (rejects) RangeError for wrong options; Error where the file is of another space, or the signal came
 * @example
 * const study = await tune.search(({ x }) => -((x - 0.3) ** 2), { x: tune.uniform(0, 1) }, { trials: 12, seed: 1 });
 * console.log(study.best?.parameters.x);
 */
export async function search<S extends Space>(
  objective: Objective<S> | ObjectiveModule,
  space: S,
  {
    sampler = "tpe",
    gridPoints = 3,
    trials,
    direction = "maximize",
    halving = false,
    seed = 0,
    parallel = 1,
    file = null,
    signal,
    onTrial,
  }: SearchOptions<S> = {},
): Promise<Study<S>> {
  const op = "tune.search";
  expect(Object.keys(space).length > 0, op, "a space with at least one parameter", "none");
  expect(Number.isSafeInteger(seed) && seed >= 0, op, "a seed that is a whole number from 0 up", `${seed}`);
  expect(Number.isSafeInteger(parallel) && parallel >= 1, op, "parallel from 1 up", `${parallel}`);
  if (direction !== "maximize" && direction !== "minimize")
    throw new RangeError(`${op}: expected direction maximize or minimize, got ${JSON.stringify(direction)}`);
  let suggest: Suggest;
  let most = trials ?? 20;
  if (sampler === "grid") {
    const grid = gridSampler(space, gridPoints);
    suggest = grid;
    most = Math.min(trials ?? grid.size, grid.size);
  } else if (sampler === "random") suggest = randomSampler(space, seed);
  else if (sampler === "tpe") suggest = tpeSampler(space, seed);
  else throw new RangeError(`${op}: expected a sampler grid, random or tpe, got ${JSON.stringify(sampler)}`);
  expect(Number.isSafeInteger(most) && most >= 1, op, "trials from 1 up", `${most}`);
  const sign = direction === "maximize" ? -1 : 1;
  const judge = halving ? new Halving(halving === true ? {} : halving) : null;

  const done: Trial<S>[] = file === null ? [] : await readTrials(file, space);
  for (const trial of done) for (const [step, score] of trial.reports) judge?.report(trial.number, step, sign * score);
  const known = new Set(done.map((t) => t.number));
  const waiting = Array.from({ length: most }, (_, i) => i).filter((i) => !known.has(i));
  const observations = (): Observation[] =>
    done.flatMap((t) => (t.score === null ? [] : [{ parameters: t.parameters, loss: sign * t.score }]));
  if (file !== null) await mkdir(dirname(file), { recursive: true });
  let writing: Promise<void> = Promise.resolve();

  const runOne = async (number: number): Promise<void> => {
    const parameters = suggest(number, observations()) as Parameters<S>;
    const reports: [number, number][] = [];
    let stopped = false;
    const context: TrialContext = {
      number,
      seed: seed * 1_000_003 + number,
      signal: signal ?? new AbortController().signal,
      report: async (step, score) => {
        expect(Number.isFinite(step) && step > 0, "report", "a step above 0", `${step}`);
        reports.push([step, score]);
        if (judge && !judge.report(number, step, sign * score)) stopped = true;
        return !stopped && !signal?.aborted;
      },
    };
    const start = performance.now();
    let given: unknown = null;
    let error: string | undefined;
    try {
      given =
        typeof objective === "function"
          ? await objective(parameters, context)
          : await runInProcess(objective, parameters, context);
      if (typeof given !== "number" || Number.isNaN(given)) error = `the score is no number: ${String(given)}`;
    } catch (thrown) {
      error = thrown instanceof Error ? thrown.message : String(thrown);
    }
    if (signal?.aborted) return;
    const trial: Trial<S> = {
      number,
      parameters,
      state: error !== undefined ? "failed" : stopped ? "stopped" : "complete",
      score: error !== undefined ? null : (given as number),
      reports,
      seconds: (performance.now() - start) / 1e3,
      ...(error === undefined ? {} : { error }),
    };
    done.push(trial);
    if (file !== null) {
      writing = writing.then(() => appendLine(file, JSON.stringify(trial)));
      await writing;
    }
    await onTrial?.(trial);
  };
  const lane = async () => {
    while (waiting.length > 0 && !signal?.aborted) await runOne(waiting.shift()!);
  };
  await Promise.all(Array.from({ length: Math.min(parallel, waiting.length) }, lane));
  if (signal?.aborted) throw new Error(`${op}: aborted after ${done.length} of ${most} trials`);
  return new Study(
    space,
    done.filter((t) => t.number < most),
    direction,
  );
}

async function readTrials<S extends Space>(file: string, space: S): Promise<Trial<S>[]> {
  const text = await readFile(file, "utf8").catch((error) => {
    if (error.code === "ENOENT") return "";
    throw error;
  });
  const names = Object.keys(space).sort().join(", ");
  const trials: Trial<S>[] = [];
  for (const line of text.split("\n")) {
    if (line === "") continue;
    let trial: Trial<S>;
    try {
      trial = JSON.parse(line);
    } catch {
      continue; // the last line of a process that was killed
    }
    const own = Object.keys(trial.parameters).sort().join(", ");
    if (own !== names)
      throw new Error(`tune.search: ${file} holds trials of ${own}, expected ${names}; give another file`);
    trials.push(trial);
  }
  return trials;
}
