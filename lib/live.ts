/**
 * What code has to know of a step that is being captured (lib/capture.ts): numbers that are read anew at each replay, work
 * that is no part of the step, values that are not there yet.
 */
import { addon } from "./native.js";
import type { Tensor } from "./tensor.js";

/** A step while it is recorded. */
export interface Recording {
  /** Read in this order at each replay. */
  readonly reads: (() => number)[];
  /** Whether what is fixed in the recording is still so. */
  readonly fixed: (() => boolean)[];
  /** Draws that the step takes from each generator. */
  readonly draws: Map<{ skip(draws: number): void }, number>;
  /** Leaves whose gradient the step makes. */
  readonly leaves: Set<{ id: number; grad: Tensor | null }>;
  /** Those whose gradient it set to null. */
  readonly cleared: Set<object>;
  /** Storages that the step writes in place. */
  readonly written: Set<{ version: number }>;
}

let recording: Recording | null = null;

/** Whether a captured function is being recorded: kernels are noted, nothing runs. */
export const isCapturing = (): boolean => recording !== null;

/** The step that is being recorded, or null. */
export const currentRecording = (): Recording | null => recording;

/** Records what `fn` does, and ends by finishing the native step: the answer's `id` is its number. */
export function recordStep<T>(fn: () => T, finish: () => void): { result: T; recording: Recording } {
  const mine: Recording = {
    reads: [],
    fixed: [],
    draws: new Map(),
    leaves: new Set(),
    cleared: new Set(),
    written: new Set(),
  };
  addon.captureBegin();
  recording = mine;
  let done = false;
  try {
    const result = fn();
    recording = null;
    finish();
    done = true;
    return { result, recording: mine };
  } finally {
    recording = null;
    if (!done) addon.captureAbort();
  }
}

let noting: Set<unknown> | null = null;
const noted = <T>(value: T): T => {
  noting?.add(value);
  return value;
};

/** Puts into `values` what a step that runs uncaptured is given by live() and liveOptions(), until called with null. */
export const noteLive = (values: Set<unknown> | null): void => void (noting = values);

/**
 * A number that a kernel is given: read() now, and again at each replay of a captured step. The answer may only be handed
 * to a kernel; in a captured step whatever computes with it throws, so compute inside `read`.
 */
export function live(read: () => number): number {
  if (recording === null) return noted(read());
  recording.reads.push(read);
  return addon.captureScalar(read()) as unknown as number;
}

/**
 * `options` itself; in a captured step a copy in which the numbers of the given names (null: all) are live. Where another
 * option changes, the step is recorded anew.
 */
export function liveOptions<O extends object>(options: O, names: readonly string[] | null): O {
  if (recording === null) {
    if (noting) for (const value of Object.values(options)) [value].flat().forEach(noted);
    return options;
  }
  const copy = { ...options };
  for (const name of Object.keys(options) as (keyof O)[]) {
    const value = options[name];
    if (typeof value === "object" && value !== null && !Array.isArray(value)) continue;
    const isLive = names === null || names.includes(name as string);
    if (isLive && typeof value === "number") copy[name] = live(() => options[name] as number) as never;
    else if (isLive && isNumbers(value))
      copy[name] = value.map((_, i) => live(() => (options[name] as number[])[i]!)) as never;
    else if (isNumbers(value) || !Array.isArray(value)) fixedBy(() => options[name]);
  }
  return copy;
}

const isNumbers = (value: unknown): value is number[] =>
  Array.isArray(value) && value.every((v) => typeof v === "number");

/** In a captured step: where `read` answers otherwise than now, as JSON, the step is recorded anew. */
export function fixedBy(read: () => unknown): void {
  if (recording === null) return;
  const now = JSON.stringify(read());
  recording.fixed.push(() => JSON.stringify(read()) === now);
}

/** Runs `fn` at once, as no part of the step that is being captured: state that is made when it is first needed. */
export function uncaptured<T>(fn: () => T): T {
  const mine = recording;
  if (mine === null) return fn();
  recording = null;
  addon.capturePause(true);
  try {
    return fn();
  } finally {
    addon.capturePause(false);
    recording = mine;
  }
}

let reads = 0;

/** How often this thread has read a tensor's value, or set what its random numbers come from. */
export const readsSoFar = (): number => reads;

/** Throws where a captured function reads a value: there is none yet. */
export function expectUncaptured(op: string): void {
  reads++;
  if (recording === null) return;
  const here = new URL(".", import.meta.url).href;
  const callers = (new Error().stack ?? "").split("\n").slice(1);
  const line = callers.find((at) => !at.includes(here) && !at.includes("node:internal")) ?? "";
  throw new Error(
    `${op}: a captured function cannot read a value, it is only being recorded${line && ` (${line.trim()})`}; ` +
      "return the tensor and read it after the step",
  );
}

let changes = 0;

/** How often something changed that captured steps rest on without seeing it: a module's mode, where a tensor's memory is. */
export const changesSoFar = (): number => changes;
export const noteChange = (): void => void changes++;
