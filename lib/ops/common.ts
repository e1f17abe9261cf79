/**
 * What op files share: dtype promotion, broadcasting, axes, index checks.
 */

import { expect, ShapeError, show } from "../errors.js";
import { isGradEnabled } from "../graph.js";
import { currentRecording } from "../live.js";
import { type DType, FLOATS } from "../native.js";
import { Tensor } from "../tensor.js";
import { to } from "./cast.js";

/** Rank in the promotion order: bool < integers < floats. */
const ORDER: Record<DType, number> = {
  bool: 0,
  uint8: 1,
  int8: 1,
  int32: 2,
  int64: 3,
  bfloat16: 4,
  float16: 4,
  float32: 5,
  float64: 6,
};

export const isFloat = (dtype: DType): boolean => ORDER[dtype] >= 4;

/** PyTorch's promotion of two dtypes; uint8 with int8 meet in int32, the two half precisions in float32. */
export function promote(a: DType, b: DType): DType {
  if (a === b) return a;
  if (ORDER[a] === ORDER[b]) return ORDER[a] === 1 ? "int32" : "float32";
  return ORDER[a] > ORDER[b] ? a : b;
}

/** Throws unless the dtype is one that kernels compute in: half precision is storage. */
export function expectComputes(op: string, dtype: DType): void {
  if (dtype === "bfloat16" || dtype === "float16") {
    throw new TypeError(`${op}: ${dtype} is for storage only; convert it first with .to("float32")`);
  }
}

/** x as it is where it holds floats, integers and bools as float32. */
export function floating(op: string, x: Tensor): Tensor {
  expectComputes(op, x.dtype);
  return isFloat(x.dtype) ? x : to(x, "float32");
}

export function expectFloat(op: string, t: Tensor): void {
  if (!FLOATS.includes(t.dtype)) {
    throw new TypeError(`${op}: expected float32 or float64, got ${t.dtype}; convert it first with .to("float32")`);
  }
}

export function expectActivation(op: string, activation: "relu" | null): void {
  expect(activation === null || activation === "relu", op, 'activation to be "relu" or null', `${activation}`);
}

export function expectSameDType(op: string, a: Tensor, b: Tensor): void {
  if (a.dtype !== b.dtype)
    throw new TypeError(
      `${op}: expected operands of one dtype, got ${a.dtype} and ${b.dtype}; convert one with .to(dtype)`,
    );
}

/** The shape that two shapes broadcast to. */
export function broadcastShapes(op: string, a: readonly number[], b: readonly number[]): number[] {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, i) => {
    const x = a[a.length - rank + i] ?? 1;
    const y = b[b.length - rank + i] ?? 1;
    if (x !== y && x !== 1 && y !== 1) {
      throw new ShapeError(
        `${op}: expected shapes that broadcast, got ${show(a)} and ${show(b)} (dimension ${i}: ${x} and ${y})`,
      );
    }
    return x === 1 ? y : x;
  });
}

/** Row-major strides of `shape`, seen as `out` by broadcasting: 0 along repeated dimensions. */
export function broadcastStrides(shape: readonly number[], out: readonly number[]): number[] {
  const strides = new Array<number>(out.length).fill(0);
  let step = 1;
  for (let d = shape.length - 1; d >= 0; d--) {
    const at = out.length - shape.length + d;
    strides[at] = shape[d] === 1 ? 0 : step;
    step *= shape[d]!;
  }
  return strides;
}

const MOST_DIMENSIONS = 8;

/** [rank, extents, strides of each operand] for a kernel, neighbouring dimensions merged where all operands allow it. */
export function stridedSize(op: string, extents: readonly number[], ...strides: readonly number[][]): number[] {
  const merged: number[] = [];
  const steps: number[][] = strides.map(() => []);
  for (let d = 0; d < extents.length; d++) {
    const extent = extents[d]!;
    if (extent === 1) continue;
    const last = merged.length - 1;
    if (last >= 0 && strides.every((s, o) => steps[o]![last] === s[d]! * extent)) {
      merged[last]! *= extent;
      for (let o = 0; o < strides.length; o++) steps[o]![last] = strides[o]![d]!;
    } else {
      merged.push(extent);
      for (let o = 0; o < strides.length; o++) steps[o]!.push(strides[o]![d]!);
    }
  }
  if (merged.length > MOST_DIMENSIONS)
    throw new ShapeError(`${op}: expected at most ${MOST_DIMENSIONS} dimensions after merging, got ${show(extents)}`);
  return [merged.length, ...merged, ...steps.flat()];
}

/** 0 <= axis < rank, from a possibly negative one. A scalar has axis 0, as in PyTorch. */
export function normalizeAxis(op: string, axis: number, rank: number): number {
  const axes = Math.max(rank, 1);
  const at = axis < 0 ? axis + axes : axis;
  if (!Number.isInteger(axis) || at < 0 || at >= axes) {
    throw new ShapeError(`${op}: expected an axis from ${-axes} to ${axes - 1}, got ${axis}`);
  }
  return at;
}

/** Sorted, non-negative, without repeats; all axes where none is named. */
export function normalizeAxes(op: string, axes: number | readonly number[] | null | undefined, rank: number): number[] {
  if (axes === null || axes === undefined) return Array.from({ length: rank }, (_, i) => i);
  const list = (typeof axes === "number" ? [axes] : axes).map((a) => normalizeAxis(op, a, rank));
  const unique = [...new Set(list)].sort((a, b) => a - b);
  expect(unique.length === list.length, op, "axes that differ", show(typeof axes === "number" ? [axes] : axes));
  return rank === 0 ? [] : unique;
}

/** Checks the known range of an index tensor before the kernel is queued, so that the error has the caller's stack. */
export function checkIndices(op: string, what: string, t: Tensor, limit: number, allowed?: number): void {
  if (t.dtype !== "int32" && t.dtype !== "int64" && t.dtype !== "uint8") {
    throw new TypeError(
      `${op}: expected ${what} of dtype int32, int64 or uint8, got ${t.dtype}; convert them with .to("int32")`,
    );
  }
  const { range } = t.storage;
  if (range === null || t.size === 0) return;
  const bad =
    range[0] < 0 && range[0] !== allowed ? range[0] : range[1] >= limit && range[1] !== allowed ? range[1] : null;
  if (bad !== null) throw new RangeError(`${op}: expected ${what} between 0 and ${limit - 1}, got ${bad}`);
}

/** Notes an in-place write: saved values and known ranges of the storage no longer hold. */
export function written(t: Tensor): void {
  currentRecording()?.written.add(t.storage);
  t.storage.version++;
  t.storage.range = null;
}

/** Throws where a gradient would silently miss the change of x. */
export function expectInPlace(op: string, x: Tensor, other?: Tensor | number): void {
  if (!isGradEnabled()) return;
  if (x.node) {
    throw new Error(
      x.isLeaf
        ? `${op}: a leaf that requires a gradient is changed in place; do it inside noGrad(() => ...)`
        : `${op}: in-place ops are not recorded, and this tensor was made by ${x.node.name}; use the op without "_", or noGrad(() => ...)`,
    );
  }
  if (other instanceof Tensor && other.node) {
    throw new Error(
      `${op}: in-place ops are not recorded, and the operand requires a gradient; use the op without "_", or operand.detach()`,
    );
  }
}

/** One number for both directions, or [vertical, horizontal]. */
export type Pair = number | readonly [number, number];

/** `count` integers from `least` up, from one number for all or a list; `what` has its article. */
export function tupleOf(
  op: string,
  what: string,
  value: number | readonly number[],
  least: number,
  count: number,
): number[] {
  const list = typeof value === "number" ? new Array<number>(count).fill(value) : value;
  const ok = Array.isArray(list) && list.length === count && list.every((e) => Number.isSafeInteger(e) && e >= least);
  const several = ["", "", ", or a pair of them", ", or three of them"][count];
  expect(ok, op, `${what} that is an integer from ${least} up${several}`, JSON.stringify(value) ?? "undefined");
  return [...list];
}

/** [vertical, horizontal] of a Pair of integers from `least` up; `what` has its article. */
export function pairOf(op: string, what: string, value: Pair, least: number): [number, number] {
  return tupleOf(op, what, value, least, 2) as [number, number];
}
