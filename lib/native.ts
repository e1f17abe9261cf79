/**
 * The addon as TypeScript sees it: `k`, the kernels of native/ops.def under their names, and what surrounds them (handles,
 * reads, memory). Kernels take tensors where ops.def has operands (null for an absent one) and numbers for the rest,
 * sizes spread into their fields. Nothing here knows shapes; a kernel call whose counts do not fit throws.
 */

import type { Kernels } from "./kernels.js";
import addonModule from "./load.cjs";

export const DTYPES = ["float32", "float64", "int32", "int64", "uint8", "int8", "bool", "bfloat16", "float16"] as const;
/**
 * The dtypes. Gradients and most arithmetic are for float32 and float64; integers index, count and compare; the 16-bit
 * floats are for storage: cast with to() to compute.
 */
export type DType = (typeof DTYPES)[number];
/** The dtypes of whole numbers. */
export type IntegerDType = "int32" | "int64" | "uint8" | "int8";
export const FLOATS: readonly DType[] = ["float32", "float64"];

/** What JavaScript holds of a tensor: a number that native code knows. 0 once it was freed. */
export interface Handled {
  handle: number;
}

interface Addon {
  ops: Record<string, (...args: (number | null | number[])[]) => void>;
  alloc(object: object, dtype: number, count: number): number;
  alias(object: object, handle: number): number;
  fromHost(object: object, dtype: number, array: ArrayBufferView): number;
  free(handle: number): void;
  isLive(handle: number): boolean;
  sweep(all: boolean): number;
  stats(): Float64Array;
  read(handle: number): Promise<ArrayBuffer>;
  readSync(handle: number): ArrayBuffer;
  settled(): Promise<void>;
  synchronize(): void;
  /** Tells the stream that the event loop has turned: small ops may run in place again. */
  turned(): void;
  /** Captured steps: see lib/live.ts, lib/capture.ts and native/capture.h. */
  captureBegin(): void;
  capturePause(on: boolean): void;
  captureAbort(): void;
  captureEnd(shared: number): number;
  captureScalar(value: number): bigint;
  captureReplay(id: number, numbers: Float64Array): void;
  captureInfo(id: number): {
    calls: number;
    numbers: number;
    plannedBytes: number;
    unplannedBytes: number;
    ownBytes: number;
  };
  captureNames(id: number): string[];
  captureFree(id: number): void;
  memory(): { liveBytes: number; liveBuffers: number; peakBytes: number; cachedBytes: number; scratchBytes: number };
  resetPeak(): void;
  emptyCache(): number;
  threads(count?: number): number;
  isa(name?: string): string;
  isas(): string[];
  features(): string[];
  signatures(): string[];
  // What watches the calls (native/node/watching.cc); lib/watch.ts is what uses it.
  watch(modes: number, most?: number): number;
  scopeName(forward: string, backward: string): number;
  enter(tag: number): number;
  shapes(text: string): void;
  records(): CallRecords;
  finding(): { op: string; tag: number; message: string } | null;
  /** When the stream comes to it, `protectedOnes` fail with the sentence unless all of `looked` are finite. */
  guard(looked: readonly number[], protectedOnes: readonly number[], sentence: string): void;
}

/** What a profile has seen. Times are in ns. */
export interface CallRecords {
  /** Ten numbers a call: place in `ops`, tag, in place, FLOPs, bytes, submitted, start, end, live bytes at both. */
  rows: Float64Array;
  ops: string[];
  /** Bytes of the buffers made, by tag. */
  allocated: Float64Array;
  dropped: number;
  /** Time inside the calls that submit, and blocked in reads. */
  submitting: number;
  waiting: number;
  liveAtStart: number;
  peakBytes: number;
}

export const addon = addonModule as Addon;

const codes = Object.fromEntries(DTYPES.map((d, i) => [d, i])) as Record<DType, number>;
export const dtypeCode = (dtype: DType): number => codes[dtype];

/** The handle of a live tensor, or an error that names the op. */
export function handleOf(t: Handled, op: string): number {
  if (t.handle === 0) {
    throw new Error(
      `${op}: this tensor was freed (by free(), a scope() that ended, or using). ` +
        `Return it from the scope, or keep(tensor) it, to use it later.`,
    );
  }
  return t.handle;
}

/** A number that is read anew at each replay of a captured step stands there as a bigint. */
export type Argument = Handled | null | undefined | number | bigint | readonly Handled[];

/**
 * Called before each kernel call with its name and arguments, where something records or counts them; a function that one
 * answers is called after the call. bindKernels() lets a change of this list take effect.
 */
export const observers: ((op: string, args: readonly Argument[]) => unknown)[] = [];

/** Called with the host data of each tensor that is made of some. */
export const hostObservers: ((data: ArrayBufferView) => void)[] = [];

function bind(op: string, letters: string): (...args: Argument[]) => void {
  const call = addon.ops[op]!;
  const operands = (letters.match(/[ouixXmMaAlL]\??/g) ?? []).length;
  const lists = /[lL]/.test(letters);
  const convert = (a: Argument): number | null | number[] => {
    if (a === null || a === undefined) return null;
    if (typeof a !== "object") return a as number;
    return Array.isArray(a) ? a.map((t) => handleOf(t, op)) : handleOf(a as Handled, op);
  };
  const general = (...args: Argument[]): void => {
    const after = observers.map((observe) => observe(op, args));
    call(...args.map(convert));
    for (const done of after) if (typeof done === "function") done();
  };
  const one = (a: Argument): number | null => (a === null || a === undefined ? null : handleOf(a as Handled, op));
  const numbers = (rest: Argument[]) => rest as number[];
  if (lists || observers.length > 0) return general;
  switch (operands) {
    case 1:
      return (y, ...rest) => call(one(y), ...numbers(rest));
    case 2:
      return (y, a, ...rest) => call(one(y), one(a), ...numbers(rest));
    case 3:
      return (y, a, b, ...rest) => call(one(y), one(a), one(b), ...numbers(rest));
    case 4:
      return (y, a, b, c, ...rest) => call(one(y), one(a), one(b), one(c), ...numbers(rest));
    default:
      return general;
  }
}

/** Every native op: `k.conv2d(y, x, w, b, ...size)`. */
export const k = {} as Kernels;

/** Rebinds `k`; called again when an observer comes or goes. */
export function bindKernels(): void {
  for (const line of addon.signatures()) {
    const [op, , letters] = line.split(":") as [string, string, string];
    (k as unknown as Record<string, unknown>)[op] = bind(op, letters);
  }
}
bindKernels();

let lastTurn = performance.now();
const TURN = 5; // ms that resolved promises may keep timers waiting

/** Whether breathe() would wait: spares a promise where one is awaited thousands of times. */
export const isOutOfBreath = (): boolean => performance.now() - lastTurn >= TURN;

/** Gives timers and sockets a turn where promises that resolve at once would starve them. */
export async function breathe(): Promise<void> {
  if (!isOutOfBreath()) return;
  await new Promise((resolve) => setImmediate(resolve));
  lastTurn = performance.now();
  addon.turned();
}

/** To be awaited behind each step of a loop: at most two are then pending on the device, and timers get their turns. */
export function pacer(): () => Promise<void> {
  const pending: Promise<void>[] = [];
  return async () => {
    pending.push(addon.settled());
    while (pending.length > 2) await pending.shift();
    await breathe();
  };
}
