/**
 * search(): trials of a training function with different hyper-parameters, several at once, resumable, with early stopping.
 */
import { expect } from "../errors.js";
import { openTrialFile } from "./file.js";
import { Halving, type HalvingOptions } from "./halving.js";
import type { ObjectiveModule } from "./processes.js";
import { parallelCoordinates, table } from "./report.js";
import { gridSampler, type Observation, randomSampler, type Suggest, tpeSampler } from "./samplers.js";
import type { Parameters, Space } from "./space.js";
import { checkCommon, type Outcome, runAll, runTrial, type TrialContext } from "./trials.js";

/** Parameters to a score. */
export type Objective<S extends Space> = (parameters: Parameters<S>, trial: TrialContext) => number | Promise<number>;

/** A trial that is over. */
export interface Trial<S extends Space = Space> extends Outcome {
  /** From 0. */
  number: number;
  /** By name. */
  parameters: Parameters<S>;
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
  /**
   * A file (JSON lines) that begins with space, direction, sampler and seed and has a line for each trial: one that is there is
   * gone on from, where these are the same; trials, parallel and halving may change. Failed trials are not tried again.
   * Default: none.
   */
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
 * @throws (rejects) RangeError and ShapeError for wrong options; Error where the file is of another search, or of a version that
 *   did not write what it searched, or where the signal came
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
  checkCommon(op, seed, parallel);
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
  const halver = halving ? new Halving(halving === true ? {} : halving) : null;

  const header = {
    ...{ format: "napier-search", version: 1, direction, sampler, seed, space },
    ...(sampler === "grid" ? { gridPoints } : {}),
  };
  const kept = file === null ? null : await openTrialFile<Trial<S>>(op, file, header);
  const done = kept?.trials ?? [];
  const judge = (number: number, step: number, score: number) => halver?.report(number, step, sign * score) ?? true;
  for (const trial of done)
    for (const [step, score] of trial.reports) judge(trial.number, step, Number.isFinite(score) ? score : Number.NaN);
  const known = new Set(done.map((t) => t.number));
  const waiting = Array.from({ length: most }, (_, i) => i).filter((i) => !known.has(i));
  const observations = (): Observation[] =>
    done.flatMap((t) => (t.score === null ? [] : [{ parameters: t.parameters, loss: sign * t.score }]));

  await runAll(waiting, parallel, signal, async (number, ended) => {
    const parameters = suggest(number, observations()) as Parameters<S>;
    const judged = (step: number, score: number) => judge(number, step, score);
    const outcome = await runTrial(objective, parameters, { number, seed, signal: ended, judge: judged });
    if (ended.aborted) return false;
    const trial: Trial<S> = { number, parameters, ...outcome };
    done.push(trial);
    await kept?.append(trial);
    await onTrial?.(trial);
    return true;
  });
  if (signal?.aborted)
    throw new Error(`${op}: aborted after ${done.length} of ${most} trials`, { cause: signal.reason });
  return new Study(
    space,
    done.filter((t) => t.number < most),
    direction,
  );
}
