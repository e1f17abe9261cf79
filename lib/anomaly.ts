/**
 * The NaN finder: which op, in which module, was the first to make a NaN or an infinity out of finite numbers. Native code
 * looks at each result when the call has run, in the order of the stream (native/watch.h), so the answer is exact however
 * far ahead JavaScript is; what is found fails the result, so every read of it rejects and no weights are touched.
 */
import { addon } from "./native.js";
import { scopeAt, watchValues } from "./watch.js";

/** What the finder found: its message names op, module, pass, shapes, counts and the ranges of the inputs. */
export class AnomalyError extends Error {
  /** "AnomalyError". */
  override name = "AnomalyError";
  /** The kernel, as native/ops.def and profiles name it. */
  readonly op: string;
  /** The module's path; "" for none, "AdamW.step" for an optimizer. */
  readonly module: string;
  /** Whether the op ran forward or for a gradient. */
  readonly pass: "forward" | "backward";

  /** Made by the finder: what native/watch.h found. */
  constructor(found: { op: string; tag: number; message: string }, options?: ErrorOptions) {
    super(found.message, options);
    this.op = found.op;
    this.module = scopeAt(found.tag >> 1).name;
    this.pass = found.tag & 1 ? "backward" : "forward";
  }
}

/** Options of detectAnomaly() and setDetectAnomaly(). */
export interface AnomalyOptions {
  /** Whether an infinity counts too. Default true; false where a model makes them on purpose, as log(0) for a mask. */
  infinities?: boolean;
}

let looking: boolean | null = null; // for infinities too; null: not at all

function look(next: boolean | null): void {
  if (next === looking) return;
  looking = next;
  watchValues(next);
}

/**
 * Turns the finder on, or off, for all that this thread computes from now on. A read then rejects with the sentence of
 * the first op that made a NaN or an infinity out of finite inputs. Each operand is read once more by each call: about
 * twice the time. A number that is infinite among the op's own arguments, as in maskedFill(mask, -Infinity), is no finding.
 */
export function setDetectAnomaly(on: boolean, { infinities = true }: AnomalyOptions = {}): void {
  look(on ? infinities : null);
}

/**
 * Runs `fn` with the finder on and answers its result.
 *
 * @throws (rejects) AnomalyError for the first op in it that made a NaN or an infinity out of finite inputs, whether or
 * not `fn` read the result; else the error of `fn`
 * @example
 * const model = new nn.Sequential(new nn.Linear(2, 2), new nn.ReLU());
 * const x = tensor([[1, -1]]);
 * try {
 *   await detectAnomaly(() => model.forward(x).log().sum().backward());
 * } catch (error) {
 *   console.log((error as Error).message); // log (in no module, forward): its result [1,2] holds ...
 * }
 */
export async function detectAnomaly<T>(
  fn: () => T | PromiseLike<T>,
  { infinities = true }: AnomalyOptions = {},
): Promise<T> {
  const before = looking;
  await addon.settled();
  addon.finding(); // one that nobody asked for
  look(infinities);
  let result: T | undefined;
  let failure: { error: unknown } | null = null;
  try {
    result = await fn();
    await addon.settled();
  } catch (error) {
    failure = { error };
    await addon.settled();
  } finally {
    look(before);
  }
  const found = addon.finding();
  if (found) throw new AnomalyError(found, failure ? { cause: failure.error } : undefined);
  if (failure) throw failure.error;
  return result as T;
}
