/**
 * Writes kernel calls to the file that NAPIER_RECORD names, as test/native/FORMAT.md says, for the native driver to replay.
 */
import { appendFileSync, rmSync, writeFileSync } from "node:fs";
import type { Tensor } from "napier";
import { type Argument, addon, bindKernels, DTYPES, type Handled, observers } from "#lib/native.js";

const MAGIC = Buffer.from("NAPREC1\0", "latin1");
const MOST_BYTES = 64 * 1024;

/** An empty record; vitest's global setup calls it once, before the workers append. */
export default function startRecord(): void {
  const file = process.env.NAPIER_RECORD;
  if (!file) return;
  rmSync(file, { force: true });
  writeFileSync(file, MAGIC);
}

const ROLES: Record<string, number> = { i: 0, x: 0, m: 0, a: 0, l: 0, o: 1, X: 1, M: 1, A: 1, u: 2, L: 2 };
/** The role of each operand of an op, in order. */
const rolesOf = new Map(
  addon.signatures().map((line) => {
    const [op, , letters] = line.split(":") as [string, string, string];
    return [op, (letters.match(/[ouixXmMaAlL]/g) ?? []).map((letter) => ROLES[letter]!)];
  }),
);

const number = (size: number, write: (b: Buffer) => void): Buffer => {
  const b = Buffer.alloc(size);
  write(b);
  return b;
};
const u8 = (v: number) => number(1, (b) => b.writeUInt8(v));
const u32 = (v: number) => number(4, (b) => b.writeUInt32LE(v));
const i64 = (v: number) => number(8, (b) => b.writeBigInt64LE(BigInt(v)));
const f64 = (v: number) => number(8, (b) => b.writeDoubleLE(v));

const bytesOf = (t: Handled): Buffer => Buffer.from(addon.readSync(t.handle));

/** An operand's dtype, role, count and bytes before the call; `after` completes it. */
class OperandRecord {
  private head: Buffer[];
  constructor(
    private t: Tensor,
    private role: number,
  ) {
    this.head = [u8(DTYPES.indexOf(t.dtype)), u8(role), i64(t.size)];
    if (role !== 1) this.head.push(bytesOf(t));
  }
  after(): Buffer {
    return Buffer.concat(this.role === 0 ? this.head : [...this.head, bytesOf(this.t)]);
  }
}

const rms = (values: ArrayLike<number>): number => Math.hypot(...Array.from(values)) / Math.sqrt(values.length);
/** A sum that came out near 0 keeps none of its digits: no relative bound holds for another order of adding. */
function cancels(y: Tensor, x: Tensor): boolean {
  if ((x.dtype !== "float32" && x.dtype !== "float64") || x.size === 0) return false;
  const drift = rms(x.dataSync(x.dtype) as Float32Array) * Math.sqrt(x.size / Math.max(1, y.size)); // of random signs
  return rms(y.dataSync(y.dtype) as Float32Array) < 0.1 * drift;
}

/** Runs `fn` and appends its kernel calls, which other ISAs may meet within `tolerance` (relative rms). */
export function recording(tolerance: number, fn: () => unknown): void {
  const file = process.env.NAPIER_RECORD;
  if (!file) throw new Error("recording: NAPIER_RECORD names no file");
  const records: Buffer[] = [];
  const observe = (op: string, args: readonly Argument[]): (() => void) | undefined => {
    const operands = (a: Argument): Tensor[] =>
      Array.isArray(a) ? [...a] : a !== null && typeof a === "object" ? [a as Tensor] : [];
    const all = args.flatMap(operands);
    if (all.some((t) => t.bytes > MOST_BYTES)) return undefined;
    const roles = rolesOf.get(op)!;
    const written = args.slice(0, roles.length).flatMap((a, i) => (roles[i] === 0 ? [] : operands(a)));
    if (written.some((t) => all.filter((other) => other.storage === t.storage).length > 1)) return undefined;
    const parts = args.map((a, i): (() => Buffer)[] => {
      if (a === null || a === undefined) return [() => u8(2)];
      if (typeof a === "number") return [() => Buffer.concat([u8(0), f64(a)])];
      const list = operands(a).map((t) => new OperandRecord(t, roles[i]!));
      const head = Array.isArray(a) ? Buffer.concat([u8(3), u32(list.length)]) : u8(1);
      return [() => head, ...list.map((o) => () => o.after())];
    });
    return () => {
      if (op === "sum" && cancels(all[0]!, all[1]!)) return;
      const name = Buffer.from(op, "latin1");
      let made: Buffer[];
      try {
        made = parts.flat().map((part) => part());
      } catch {
        return; // the call failed, as its case wants it to
      }
      records.push(Buffer.concat([u32(name.length), name, u32(args.length), ...made, f64(tolerance)]));
    };
  };
  observers.push(observe);
  bindKernels();
  try {
    fn();
  } finally {
    observers.splice(observers.indexOf(observe), 1);
    bindKernels();
  }
  appendFileSync(file, Buffer.concat(records)); // one write: workers append to the same file
}
