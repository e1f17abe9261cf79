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
  /** What stands for each of them while it is recorded, and its place among them. */
  readonly slots: Map<unknown, number>;
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
    slots: new Map(),
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
let readAt: string | null = null; // since `noting` began
const noted = <T>(value: T): T => {
  noting?.add(value);
  return value;
};

/** Puts into `values` what a step that runs uncaptured is given by live() and liveOptions(), until called with null. */
export function noteLive(values: Set<unknown> | null): void {
  if (values) readAt = null;
  noting = values;
}

/** Where a value was read first since noteLive() began: the line outside the library, "" if none; null: none was read. */
export const firstReadAt = (): string | null => readAt;

/**
 * A number that a captured step reads anew each time it runs: `read()` now, and again at each replay. Elsewhere simply
 * `read()`. What else in a captured function is a number of JavaScript stays what it was when the step was recorded.
 *
 * The answer may be handed to add, sub, mul and the other functions of two tensors (beside floats), to add_, mul_ and
 * fill_, to full, and to optim.clipGradNorm and clipGradValue; in a captured step whatever else takes it, or computes with
 * it, throws: compute inside `read`. An optimizer's options and random draws are read anew without it.
 *
 * @example
 * let scale = 1024; // of the loss, so that small gradients do not vanish; it changes while training goes on
 * const layer = new nn.Linear(4, 1);
 * const optimizer = new optim.SGD(layer.parameters(), { lr: 0.1 });
 * const step = capture((x: Tensor) => {
 *   optimizer.zeroGrad();
 *   const loss = layer.forward(x).square().mean();
 *   loss.mul(live(() => scale)).backward();
 *   noGrad(() => layer.parameters().forEach((p) => p.grad!.mul_(live(() => 1 / scale))));
 *   optimizer.step();
 *   return loss;
 * });
 * for (let i = 0; i < 3; i++, scale /= 2) await step(randn([8, 4]));
 */
export function live(read: () => number): number {
  if (recording === null) return noted(read());
  const slot = addon.captureScalar(read()) as unknown as number;
  recording.slots.set(slot, recording.reads.push(read) - 1);
  return slot;
}

/** Whether a value is a number, or stands for a live one. */
export const isNumber = (value: unknown): value is number =>
  typeof value === "number" || (recording?.slots.has(value) ?? false);

/** fn(value), live where the number is. */
export function mapNumber(value: number, fn: (value: number) => number): number {
  const read = readOf(value);
  if (read) return live(() => fn(read()));
  const result = fn(value);
  return noting?.has(value) ? noted(result) : result;
}

/** Checks a number now, and at each replay where it is live; `check` throws. */
export function checkNumber(value: number, check: (value: number) => void): void {
  const read = readOf(value);
  if (!read) {
    check(value);
    return;
  }
  const checked = () => {
    const now = read();
    check(now);
    return now;
  };
  checked();
  recording!.reads[recording!.slots.get(value)!] = checked;
}

function readOf(value: unknown): (() => number) | null {
  const at = recording?.slots.get(value);
  return at === undefined ? null : recording!.reads[at]!;
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
  if (noting) readAt ??= callerLine();
  if (recording === null) return;
  const line = callerLine();
  throw new Error(
    `${op}: a captured function cannot read a value, it is only being recorded${line && ` (${line})`}; ` +
      "return the tensor and read it after the step",
  );
}

/** The line outside the library that called, as a stack shows it; "" where there is none. */
function callerLine(): string {
  const here = new URL(".", import.meta.url).href;
  const callers = (new Error().stack ?? "").split("\n").slice(1);
  return (callers.find((at) => !at.includes(here) && !at.includes("node:internal")) ?? "").trim();
}

let changes = 0;

/** How often something changed that captured steps rest on without seeing it: a module's mode, where a tensor's memory is. */
export const changesSoFar = (): number => changes;
export const noteChange = (): void => void changes++;
