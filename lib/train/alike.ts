/**
 * What a training step does, as a list of its kernel calls: whether two steps do the same, and whether a step goes on with
 * tensors that the one before made.
 */
import { firstReadAt, noteLive, readsSoFar } from "../live.js";
import { type Argument, bindKernels, hostObservers, observers } from "../native.js";
import { storagesSoFar, type Tensor } from "../tensor.js";

/** One kernel call, or host data that was made a tensor. */
export interface NotedCall {
  op: string;
  /** Of its operands: lists as the number of their tensors and of all elements. */
  shapes: string;
  /** null: read anew at each replay of a captured step. */
  numbers: (number | null)[];
}

/** What a step did. */
export interface Noted<T> {
  value: T;
  calls: NotedCall[];
  /** Values that a captured step would read anew; none of a step that is being recorded, whose calls tell them. */
  live: ReadonlySet<unknown>;
  /** The line that read a value first, "" where it is unknown; null: none was read. */
  reads: string | null;
  /** Whether it used a tensor that the step noted before it made. */
  carries: boolean;
}

const isTensor = (a: unknown): a is Tensor => typeof a === "object" && a !== null && "storage" in a;

/** FNV-1a of some bytes: equal data have equal ones. */
function hashOf({ buffer, byteOffset, byteLength }: ArrayBufferView): number {
  let hash = 0x811c9dc5;
  for (const byte of new Uint8Array(buffer, byteOffset, byteLength)) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}

/** Notes steps, one after the other. */
export class StepNoter {
  #made = new WeakSet<object>();

  /** Runs `step` and notes what it does. */
  note<T>(step: () => T): Noted<T> {
    const calls: NotedCall[] = [];
    const before = readsSoFar();
    const start = storagesSoFar();
    const made = new WeakSet<object>();
    const live = new Set<unknown>();
    let carries = false;
    const use = ({ storage }: Tensor) => {
      carries ||= this.#made.has(storage);
      if (storage.birth > start) made.add(storage);
    };
    const observe = (op: string, args: readonly Argument[]) => {
      const shapes: string[] = [];
      const numbers: (number | null)[] = [];
      for (const a of args) {
        if (typeof a === "number") numbers.push(a);
        else if (typeof a === "bigint") numbers.push(null);
        else if (isTensor(a)) {
          use(a);
          shapes.push(`[${a.shape}]`);
        } else if (Array.isArray(a)) {
          for (const t of a as Tensor[]) use(t);
          shapes.push(`${a.length} tensors of ${(a as Tensor[]).reduce((n, t) => n + t.size, 0)}`);
        } else shapes.push("-");
      }
      calls.push({ op, shapes: shapes.join(", "), numbers });
    };
    const observeHost = (data: ArrayBufferView) =>
      void calls.push({ op: "tensor", shapes: `${data.byteLength} bytes`, numbers: [hashOf(data)] });
    observers.push(observe);
    hostObservers.push(observeHost);
    bindKernels();
    noteLive(live);
    try {
      const value = step();
      this.#made = made;
      return { value, calls, live, reads: readsSoFar() === before ? null : (firstReadAt() ?? ""), carries };
    } finally {
      noteLive(null);
      observers.splice(observers.indexOf(observe), 1);
      hostObservers.splice(hostObservers.indexOf(observeHost), 1);
      bindKernels();
    }
  }
}

const sentence = (call: NotedCall | undefined): string => (call ? `${call.op}(${call.shapes})` : "no call");

/** The first call that one list has and the other has not, in words; null: the same ops of the same shapes. */
export function differenceOf(a: readonly NotedCall[], b: readonly NotedCall[]): string | null {
  for (let i = 0; i < Math.max(a.length, b.length); i++)
    if (sentence(a[i]) !== sentence(b[i])) return `call ${i + 1} was ${sentence(a[i])} and is ${sentence(b[i])}`;
  return null;
}

/**
 * The first number that two steps of the same ops have not in common, in words. Those that are read anew do not count: of a
 * recording they are known, of steps that ran uncaptured `live` says which they may be.
 */
export function changedNumber(
  a: readonly NotedCall[],
  b: readonly NotedCall[],
  live: readonly [ReadonlySet<unknown>, ReadonlySet<unknown>] | null = null,
): string | null {
  for (const [i, { op, numbers }] of a.entries()) {
    const others = b[i]!.numbers;
    const at = numbers.findIndex((n, j) => {
      const other = others[j];
      if (n === null || other === null || Object.is(n, other)) return false;
      return !(live?.[0].has(n) && live[1].has(other));
    });
    if (at < 0) continue;
    if (op === "tensor") return `the values that call ${i + 1} makes a tensor of change`;
    return `number ${at + 1} of call ${i + 1}, ${op}, was ${numbers[at]} and is ${others[at]}`;
  }
  return null;
}
