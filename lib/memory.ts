/**
 * Memory that stays flat by itself. V8 does not see native bytes, so napier decides when to collect: past a limit, a
 * minor collection, then a sweep of weak references frees the handles whose tensors are gone; a full one only where that
 * is not enough (measured: docs/architecture.md). scope() frees at once what was made inside it.
 */
import { totalmem } from "node:os";
import v8 from "node:v8";
import vm from "node:vm";
import { addon, type Handled } from "./native.js";

// ---- Scopes

interface Freeable extends Handled {
  free(): void;
}

let current: Freeable[] | null = null;
const kept = new WeakSet<object>();

/** Called for each new tensor. */
export function adopt(t: Freeable): void {
  if (current !== null) current.push(t);
  if (stats[YOUNG_BYTES]! > urgentBytes || stats[YOUNG_HANDLES]! > URGENT_HANDLES) collect(performance.now(), true);
}

/** Runs `fn` so that tensors made inside belong to no scope: parameters, optimizer state, the library's own work. */
export function unscoped<T>(fn: () => T): T {
  const outer = current;
  current = null;
  try {
    return fn();
  } finally {
    current = outer;
  }
}

/** Lets a tensor outlive the scope it was made in. */
export function keep<T extends object>(t: T): T {
  kept.add(t);
  return t;
}

function markKept(value: unknown, into: Set<unknown>, depth = 0): void {
  if (typeof value !== "object" || value === null || into.has(value) || depth > 4) return;
  into.add(value);
  if (Array.isArray(value)) for (const v of value) markKept(v, into, depth + 1);
  else if (Object.getPrototypeOf(value) === Object.prototype)
    for (const v of Object.values(value)) markKept(v, into, depth + 1);
}

function close(mine: Freeable[], outer: Freeable[] | null, result: unknown): void {
  const out = new Set<unknown>();
  markKept(result, out);
  for (const t of mine) {
    if (out.has(t)) {
      if (outer) outer.push(t);
    } else if (!kept.has(t)) t.free();
  }
}

/** What a callback that must be synchronous gives: anything but a promise. */
export type Sync<T> = T extends PromiseLike<unknown> ? never : T;

/**
 * Frees, when it ends, every tensor made inside except those that are returned (alone, in an array or a plain object) or
 * kept. Parameters, gradients and the state of optimizers belong to no scope. The callback must be synchronous.
 *
 * @example
 * const y = scope(() => tensor([1, 2, 3]).mul(2).sum());
 */
export function scope<T>(fn: () => Sync<T>): T;
/** The `using` form: adopts what is made until the block ends or the code that opened it first yields. */
export function scope(): Disposable;
export function scope<T>(fn?: () => T): T | Disposable {
  const outer = current;
  const mine: Freeable[] = [];
  if (fn === undefined) return openScope(mine, outer);
  current = mine;
  let result: T;
  try {
    result = fn();
  } catch (error) {
    close(mine, outer, undefined);
    throw error;
  } finally {
    current = outer;
  }
  if (typeof (result as { then?: unknown } | null)?.then === "function") {
    close(mine, outer, undefined);
    throw new TypeError(
      "scope: expected a synchronous callback, got one that returns a promise. Read values after the scope: const t = scope(() => ...); await t.data()",
    );
  }
  close(mine, outer, result);
  return result;
}

function openScope(mine: Freeable[], outer: Freeable[] | null): Disposable {
  current = mine;
  // Another task's tensors must not be adopted: the scope stops at the first yield of the code that opened it.
  queueMicrotask(() => {
    if (current === mine) current = outer;
  });
  return {
    [Symbol.dispose]() {
      if (current === mine) current = outer;
      close(mine, outer, undefined);
    },
  };
}

/** A scope of work that waits in between: run() adopts what one part of it makes, close() ends the scope. @internal */
export class ScopeInParts {
  #made: Freeable[] = [];

  /** Runs `fn`, or its beginning up to where it first waits. */
  run<T>(fn: () => T): T {
    const outer = current;
    current = this.#made;
    try {
      return fn();
    } finally {
      current = outer;
    }
  }

  /** Takes in a tensor that was made elsewhere. */
  adopt(t: Freeable): void {
    this.#made.push(t);
  }

  /** Frees what was made but for `result` (alone, in an array or a plain object); the next run() begins anew. */
  close(result?: unknown): void {
    close(this.#made, null, result);
    this.#made = [];
  }
}

// ---- Collections

const [LIVE_BYTES, LIVE_HANDLES, YOUNG_HANDLES, YOUNG_BYTES, VISITED] = [0, 1, 2, 3, 4];
const stats = addon.stats();

type Gc = (options?: { type: "minor" | "major" }) => void;
let gc: Gc | null | undefined;
let warned = false;

function findGc(): Gc | null {
  if (typeof globalThis.gc === "function") return globalThis.gc as unknown as Gc;
  try {
    v8.setFlagsFromString("--expose-gc");
    return vm.runInNewContext("gc") as Gc;
  } catch {
    return null;
  }
}

// Garbage worth a collection: made since the last sweep.
const SOFT_BYTES = 8 * 2 ** 20;
const SOFT_HANDLES = 4096;
const URGENT_HANDLES = 2 * SOFT_HANDLES;
// Memory beats time beyond this multiple of max(soft, a step's bytes), and within a quarter of the machine's memory.
const HARD = 3;
const MOST_BYTES = totalmem() / 4;

/** Time that collections may use: they are paid from a bucket that fills with a share of the time that passes (ms). */
class Budget {
  private saved = 20;
  private since = performance.now();
  private cost = 1;
  constructor(private readonly share: number) {}
  affords(now: number): boolean {
    this.saved = Math.min(this.saved + (now - this.since) * this.share, 100);
    this.since = now;
    return this.saved >= this.cost;
  }
  pay(spent: number): void {
    this.saved -= spent;
    this.cost = this.cost === 1 ? spent : 0.7 * this.cost + 0.3 * spent;
  }
}
const minor = new Budget(0.02);
const full = new Budget(0.01);

let stepBytes = 0; // most bytes made between two safe points
let stepStart = 0; // young bytes at the last safe point
let swept = 0; // bytes of this step that a collection inside it has seen
let urgentBytes = HARD * SOFT_BYTES; // young bytes that are collected even inside a step
let liveAfterFull = 0;
let poorYields = 0;

const enough = () => stats[YOUNG_BYTES]! > SOFT_BYTES || stats[YOUNG_HANDLES]! > SOFT_HANDLES;
const tooMuch = () => stats[YOUNG_BYTES]! > urgentBytes || stats[YOUNG_HANDLES]! > URGENT_HANDLES;

function collect(now: number, urgent: boolean): void {
  if (gc === undefined) gc = findGc();
  if (gc === null) {
    if (!warned)
      process.emitWarning("napier: this runtime offers no garbage collector handle; use scope() to free tensors early");
    warned = true;
    addon.sweep(true);
    return;
  }
  swept += stats[YOUNG_BYTES]! - stepStart;
  stepStart = 0;
  // Yield by handles, never by bytes: one large live buffer says nothing about the dead ones.
  gc({ type: "minor" });
  const freed = addon.sweep(false);
  const poor = freed < stats[VISITED]! / 4;
  poorYields = poor ? poorYields + 1 : 0;
  const done = performance.now();
  minor.pay(done - now);
  const limit = Math.max(urgentBytes, 2 * liveAfterFull);
  if (stats[LIVE_BYTES]! <= limit && poorYields < 64) return;
  if (!full.affords(done) && !(urgent && stats[LIVE_BYTES]! > MOST_BYTES)) return;
  gc();
  addon.sweep(true);
  full.pay(performance.now() - done);
  liveAfterFull = stats[LIVE_BYTES]!;
  poorYields = 0;
}

/** A good moment for a collection: between steps. Called by backward(), optimizer.step() and loaders. */
export function safePoint(): void {
  stepBytes = Math.max(0.9 * stepBytes, swept + stats[YOUNG_BYTES]! - stepStart);
  // In mid-step the tape holds nearly everything: a collection there frees little, so leave room for whole steps.
  urgentBytes = Math.min(HARD * Math.max(SOFT_BYTES, stepBytes), MOST_BYTES);
  if (enough()) {
    const now = performance.now();
    const urgent = tooMuch();
    if (urgent || minor.affords(now)) collect(now, urgent);
  }
  swept = 0;
  stepStart = stats[YOUNG_BYTES]!;
}

/** Collects now, completely, and frees every tensor that nothing refers to. */
export function collectGarbage(): void {
  if (gc === undefined) gc = findGc();
  gc?.();
  gc?.();
  addon.sweep(true);
}

/** What memory() gives. Bytes are of native memory, of the whole process. */
export interface MemoryUse {
  /** Tensors of this thread that are not freed: those in scope, in graphs, and garbage that was not collected yet. */
  tensors: number;
  /** Bytes that tensors hold now. */
  liveBytes: number;
  /** The most that liveBytes was, since the start or resetPeakMemory(). */
  peakBytes: number;
  /** Bytes of freed tensors that wait to be used again; emptyCache() gives them back. */
  cachedBytes: number;
  /** Bytes that kernels keep to work in; emptyCache() gives back what none of them uses. */
  scratchBytes: number;
}

/** What tensors hold, in bytes and in number. */
export function memory(): MemoryUse {
  const { liveBytes, peakBytes, cachedBytes, scratchBytes } = addon.memory();
  return { tensors: stats[LIVE_HANDLES]!, liveBytes, peakBytes, cachedBytes, scratchBytes };
}

/** Makes `memory().peakBytes` start again from what is live now. */
export const resetPeakMemory = (): void => addon.resetPeak();

/** Gives cached memory, and what kernels keep to work in and do not use, back to the system; answers the bytes. */
export const emptyCache = (): number => addon.emptyCache();
