/**
 * crossValidate(): k trainings, each judged by the part of the examples that it did not see (Stone, "Cross-validatory choice
 * and assessment of statistical predictions", 1974); several at once, in processes, resumable, as search()'s trials are.
 *
 *     fold 0  [validation|  train  |  train  ] -> score
 *     fold 1  [  train   |validation|  train ] -> score   -> mean, deviation
 *     fold 2  [  train   |  train  |validation] -> score
 */
import { createHash } from "node:crypto";
import { openTrialFile } from "./file.js";
import { type Fold, kFold } from "./kFold.js";
import type { ObjectiveModule } from "./processes.js";
import { checkCommon, runAll, runTrial, type TrialContext } from "./trials.js";

/** What the objective of a cross-validation is given. */
export interface FoldTask<P = unknown> extends Fold {
  /** Which fold, from 0. */
  number: number;
  /** As crossValidate() was given them. */
  parameters: P;
}

/** Trains with the examples of `fold.train` and answers the score on those of `fold.validation`. */
export type FoldObjective<P = unknown> = (fold: FoldTask<P>, trial: TrialContext) => number | Promise<number>;

/** A fold that is done. */
export interface FoldScore {
  /** Which fold, from 0. */
  number: number;
  /** On its validation examples. */
  score: number;
  /** Scores on the way: [step, score]. */
  reports: [step: number, score: number][];
  /** From its start to its end. */
  seconds: number;
}

/** Options of crossValidate(). */
export interface CrossValidationOptions<P = unknown> {
  /** How many examples: the length of the dataset. */
  n: number;
  /** Folds, 2 to n. Default 5. */
  k?: number;
  /** One an example: each class is shared out evenly among the folds. Default: none. */
  labels?: ArrayLike<number>;
  /** Of the shuffle, as kFold() takes it, and of each fold's own seed. Default 0. */
  seed?: number;
  /** Handed to the objective with each fold: hyper-parameters, say a study's best. Default: undefined. */
  parameters?: P;
  /** Folds at the same time. Default 1. */
  parallel?: number;
  /**
   * A file (JSON lines) that begins with folds, seed and parameters and has a line for each fold: one that is there is gone on
   * from, where these are the same. Default: none.
   */
  file?: string | null;
  /** Ends it: running folds are given up. */
  signal?: AbortSignal;
  /** Called and awaited behind each fold, one at a time. */
  onFold?: (fold: FoldScore) => void | Promise<void>;
  /**
   * Told the mean score behind each fold, at step 1 to k: false ends it there, and folds that run are given up. In the
   * objective of a search, hand over the trial's report: halving then gives up settings whose first folds are poor. Default: none.
   */
  report?: (step: number, mean: number) => boolean | Promise<boolean>;
}

/** What crossValidate() found. */
export interface CrossValidation {
  /** "stopped": by report(), before all folds were done. */
  state: "complete" | "stopped";
  /** Those that are done, in the order of their numbers. */
  folds: FoldScore[];
  /** Theirs. */
  scores: number[];
  /** Of the scores. */
  mean: number;
  /** Their standard deviation, with n - 1 in the denominator; NaN of a single one. */
  deviation: number;
}

const meanOf = (folds: readonly FoldScore[]): number => folds.reduce((sum, f) => sum + f.score, 0) / folds.length;

/**
 * Trains k times, each time without another k-th of the examples, and gathers the scores on what was left out.
 *
 * @param objective trains a model anew and answers its score; or the module that exports it, and each fold runs in a process of
 *   its own
 * @returns a score a fold, their mean and standard deviation
 * @throws (rejects) ShapeError for wrong options; Error where a fold fails (it throws, or its score is no finite number; the
 *   file keeps the others, and a next call tries it again), the file is of something else, or the signal came
 * @example
 * const y = Array.from({ length: 30 }, (_, i) => 2 + Math.sin(i));
 * const { scores, mean, deviation } = await tune.crossValidate(
 *   ({ train, validation }) => {
 *     const guess = train.reduce((sum, i) => sum + y[i], 0) / train.length; // a model of one number
 *     return -validation.reduce((sum, i) => sum + (y[i] - guess) ** 2, 0) / validation.length;
 *   },
 *   { n: y.length, k: 3 },
 * );
 * console.log(scores.length, mean, deviation);
 */
export async function crossValidate<P = unknown>(
  objective: FoldObjective<P> | ObjectiveModule,
  {
    n,
    k = 5,
    labels,
    seed = 0,
    parameters,
    parallel = 1,
    file = null,
    signal,
    onFold,
    report,
  }: CrossValidationOptions<P>,
): Promise<CrossValidation> {
  const op = "tune.crossValidate";
  checkCommon(op, seed, parallel);
  const parts = kFold(n, k, { seed, ...(labels ? { labels } : {}) });
  const header = {
    ...{ format: "napier-folds", version: 1, n, k, seed, parameters: parameters ?? null },
    labels: labels ? createHash("sha256").update(Float64Array.from(labels)).digest("hex").slice(0, 16) : null,
  };
  const kept = file === null ? null : await openTrialFile<FoldScore>(op, file, header);
  const done: FoldScore[] = [];
  const told = async (): Promise<boolean> => (await report?.(done.length, meanOf(done))) ?? true;
  let goesOn = true;
  for (const fold of kept?.trials ?? []) {
    done.push(fold);
    goesOn &&= await told();
  }
  const known = new Set(done.map((f) => f.number));
  const waiting = parts.map((_, i) => i).filter((i) => goesOn && !known.has(i));

  let turn: Promise<unknown> = Promise.resolve(); // folds that end together are told one after another
  await runAll(waiting, parallel, signal, async (number, ended) => {
    const task = { ...parts[number]!, number, parameters: parameters as P };
    const { score, error, reports, seconds } = await runTrial(objective, task, { number, seed, signal: ended });
    const behind = turn.then(async () => {
      if (ended.aborted) return false;
      if (score === null) throw new Error(`${op}: fold ${number} of ${k} failed: ${error}`);
      const fold: FoldScore = { number, score, reports, seconds };
      done.push(fold);
      await kept?.append(fold);
      await onFold?.(fold);
      goesOn = await told();
      return goesOn;
    });
    turn = behind.catch(() => {}); // it is its own fold's to reject
    return behind;
  });
  if (signal?.aborted) throw new Error(`${op}: aborted after ${done.length} of ${k} folds`, { cause: signal.reason });
  const folds = done.sort((a, b) => a.number - b.number);
  const mean = meanOf(folds);
  const squares = folds.reduce((sum, f) => sum + (f.score - mean) ** 2, 0);
  return {
    state: folds.length === k ? "complete" : "stopped",
    folds,
    scores: folds.map((f) => f.score),
    mean,
    deviation: Math.sqrt(squares / (folds.length - 1)),
  };
}
