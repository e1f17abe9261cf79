/**
 * @file Trials, several at once, in this process or in processes of their own: what search() and crossValidate() are
 * made of.
 */
import { expect } from "../errors.js";
import { type ObjectiveModule, runInProcess } from "./processes.js";

/** What a trial is given beside its parameters. */
export interface TrialContext {
  /** From 0. */
  number: number;
  /** The trial's own: what manualSeed() was given in a worker process. */
  seed: number;
  /**
   * Tells a score so far at a step (an epoch); resolves to false where the trial should end: return that score then. One that is
   * NaN or infinite fails the trial, whatever it returns.
   */
  report(step: number, score: number): Promise<boolean>;
  /** Aborted where the search is; a worker process is killed then. */
  signal: AbortSignal;
}

/** How a trial ended. */
export interface Outcome {
  /** "stopped": by report(). "failed": it threw, or a score is no finite number. */
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

/** Number and seed of a trial, its signal, and who says whether it goes on with a score at a step. */
export interface TrialOptions {
  /** From 0. */
  number: number;
  /** Of the search; the trial's own is made of it and its number. */
  seed: number;
  /** Gives the trial up. */
  signal: AbortSignal;
  /** Told every score, NaN for one that is not finite. */
  judge?: (step: number, score: number) => boolean;
}

const shown = (score: unknown): string => (typeof score === "number" ? `${score}` : `${typeof score} ${String(score)}`);

/** Runs one trial. Never rejects: what goes wrong in it is its outcome. */
export async function runTrial<Given>(
  objective: ((given: Given, trial: TrialContext) => number | Promise<number>) | ObjectiveModule,
  given: Given,
  { number, seed, signal, judge = () => true }: TrialOptions,
): Promise<Outcome> {
  const reports: [number, number][] = [];
  let stopped = false;
  let error: string | undefined;
  const context: TrialContext = {
    number,
    seed: seed * 1_000_003 + number,
    signal,
    report: async (step, score) => {
      expect(Number.isFinite(step) && step > 0, "report", "a step above 0", `${step}`);
      const finite = Number.isFinite(score);
      reports.push([step, typeof score === "number" ? score : Number.NaN]);
      if (!judge(step, finite ? score : Number.NaN)) stopped = true;
      if (!finite) error ??= `report: expected a finite score at step ${step}, got ${shown(score)}`;
      return !stopped && error === undefined && !signal.aborted;
    },
  };
  const start = performance.now();
  let score: number | null = null;
  try {
    score =
      typeof objective === "function"
        ? await objective(given, context)
        : ((await runInProcess(objective, given, context)) as number);
    if (!Number.isFinite(score)) error ??= `objective: expected a finite score, got ${shown(score)}`;
  } catch (thrown) {
    error ??= thrown instanceof Error ? thrown.message : String(thrown);
  }
  const seconds = (performance.now() - start) / 1e3;
  return error === undefined
    ? { state: stopped ? "stopped" : "complete", score, reports, seconds }
    : { state: "failed", score: null, reports, seconds, error };
}

/**
 * Runs `numbers` in order, up to `parallel` at once, until one answers false or the signal comes: those that run then have
 * theirs aborted, and are waited for.
 *
 * @throws (rejects) what the first one that rejects does, when the others have ended
 */
export async function runAll(
  numbers: readonly number[],
  parallel: number,
  signal: AbortSignal | undefined,
  runOne: (number: number, signal: AbortSignal) => Promise<boolean>,
): Promise<void> {
  const stop = new AbortController();
  const either = signal ? AbortSignal.any([signal, stop.signal]) : stop.signal;
  const waiting = [...numbers];
  let failure: { error: unknown } | null = null;
  const lane = async () => {
    try {
      while (waiting.length > 0 && !either.aborted) if (!(await runOne(waiting.shift()!, either))) stop.abort();
    } catch (error) {
      failure ??= { error };
      stop.abort();
    }
  };
  await Promise.all(Array.from({ length: Math.min(parallel, waiting.length) }, lane));
  if (failure) throw (failure as { error: unknown }).error;
}

/** Checks what search() and crossValidate() both take. */
export function checkCommon(op: string, seed: number, parallel: number): void {
  expect(Number.isSafeInteger(seed) && seed >= 0, op, "a seed that is a whole number from 0 up", `${seed}`);
  expect(Number.isSafeInteger(parallel) && parallel >= 1, op, "parallel from 1 up", `${parallel}`);
}
