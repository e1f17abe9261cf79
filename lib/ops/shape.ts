/**
 * Ops that move elements. reshape shares memory with its source; every other op here makes a copy, so writing to a slice
 * or a transpose does not change what it was taken from.
 */

import { expect, ShapeError, show } from "../errors.js";
import { record } from "../graph.js";
import { k } from "../native.js";
import { alias, empty, sizeOfShape, type Tensor } from "../tensor.js";
import { to } from "./cast.js";
import { broadcastStrides, normalizeAxis, promote, stridedSize } from "./common.js";
import { sumTo } from "./reduce.js";
import { copyWalk, readWalk, type Walk } from "./strided.js";

/** @internal Row-major strides. */
export function stridesOf(shape: readonly number[]): number[] {
  return broadcastStrides(
    shape.map((e) => (e === 1 ? 1 : e)),
    shape,
  );
}

/** The same elements in another shape; one extent may be -1. Memory is shared. */
export function reshape(x: Tensor, shape: readonly number[]): Tensor {
  const wild = shape.indexOf(-1);
  const known = sizeOfShape(shape.filter((e) => e !== -1));
  const full = wild < 0 ? [...shape] : shape.map((e) => (e === -1 ? (known === 0 ? 0 : x.size / known) : e));
  if (sizeOfShape(full) !== x.size || !full.every((e) => Number.isSafeInteger(e) && e >= 0)) {
    throw new ShapeError(`reshape: expected a shape of ${x.size} elements for ${show(x.shape)}, got ${show(shape)}`);
  }
  return record(alias(x, full), "reshape", { x }, {}, unshape(x.shape));
}

// Gradients are made by functions of shapes alone: a closure keeps whatever its neighbours in a function use, and a
// record must not keep x.
const unshape = (shape: readonly number[]) => (dy: Tensor) => ({ x: () => reshape(dy, shape) });

/** Dimensions `start` to `end` (included) merged into one. Defaults: all. */
export function flatten(x: Tensor, start = 0, end = -1): Tensor {
  if (x.ndim === 0) return reshape(x, [1]);
  const from = normalizeAxis("flatten", start, x.ndim);
  const until = normalizeAxis("flatten", end, x.ndim);
  expect(from <= until, "flatten", "start <= end", `${start} and ${end}`);
  return reshape(x, [
    ...x.shape.slice(0, from),
    sizeOfShape(x.shape.slice(from, until + 1)),
    ...x.shape.slice(until + 1),
  ]);
}

/** Without dimensions of extent 1: all of them, or the one at `axis`. */
export function squeeze(x: Tensor, axis?: number): Tensor {
  if (axis === undefined)
    return reshape(
      x,
      x.shape.filter((e) => e !== 1),
    );
  const at = normalizeAxis("squeeze", axis, x.ndim);
  return x.shape[at] === 1
    ? reshape(
        x,
        x.shape.filter((_, d) => d !== at),
      )
    : reshape(x, x.shape);
}

/** With a dimension of extent 1 put in at `axis`. */
export function unsqueeze(x: Tensor, axis: number): Tensor {
  const at = normalizeAxis("unsqueeze", axis, x.ndim + 1);
  return reshape(x, [...x.shape.slice(0, at), 1, ...x.shape.slice(at)]);
}

/** y's dimension d is x's dimension order[d]. */
export function permute(x: Tensor, order: readonly number[]): Tensor {
  const axes = order.map((a) => normalizeAxis("permute", a, x.ndim));
  if (axes.length !== x.ndim || new Set(axes).size !== x.ndim) {
    throw new ShapeError(
      `permute: expected each of the ${x.ndim} dimensions of ${show(x.shape)} once, got ${show(order)}`,
    );
  }
  const strides = stridesOf(x.shape);
  const walk = { offset: 0, shape: axes.map((a) => x.shape[a]!), strides: axes.map((a) => strides[a]!) };
  const y = copyWalk("permute", x, walk);
  const back = axes.map((_, d) => axes.indexOf(d));
  return record(y, "permute", { x }, {}, unpermute(back));
}
const unpermute = (back: readonly number[]) => (dy: Tensor) => ({ x: () => permute(dy, back) });

/** Two dimensions exchanged. */
export function transpose(x: Tensor, axis0: number, axis1: number): Tensor {
  const [a, b] = [normalizeAxis("transpose", axis0, x.ndim), normalizeAxis("transpose", axis1, x.ndim)];
  return permute(
    x,
    x.shape.map((_, d) => (d === a ? b : d === b ? a : d)),
  );
}

/** The transpose of a matrix. */
export function t(x: Tensor): Tensor {
  expect(x.ndim <= 2, "t", "at most 2 dimensions", show(x.shape));
  return x.ndim < 2 ? x : permute(x, [1, 0]);
}

/** x repeated along dimensions of extent 1 (and new leading ones) to `shape`; -1 keeps an extent. */
export function expand(x: Tensor, shape: readonly number[]): Tensor {
  const lead = shape.length - x.ndim;
  const target = shape.map((e, d) => (e === -1 ? (x.shape[d - lead] ?? -1) : e));
  const fits =
    lead >= 0 && target.every((e, d) => e >= 0 && (d < lead || x.shape[d - lead] === e || x.shape[d - lead] === 1));
  if (!fits) throw new ShapeError(`expand: expected a shape that ${show(x.shape)} broadcasts to, got ${show(shape)}`);
  if (lead === 0 && target.every((e, d) => e === x.shape[d])) return reshape(x, x.shape);
  const y = copyWalk("expand", x, { offset: 0, shape: target, strides: broadcastStrides(x.shape, target) });
  return record(y, "expand", { x }, {}, unexpand(x.shape));
}
const unexpand = (shape: readonly number[]) => (dy: Tensor) => ({ x: () => sumTo(dy, shape) });

/** One dimension of a slice: an index, or [start, end, step] as in Python (end excluded, negative from the end). */
export type SliceSpec = number | null | readonly [start?: number | null, end?: number | null, step?: number];

/** @internal Where a slice leads, and the dimensions of x that stay. */
export function walkOf(op: string, x: Tensor, specs: readonly SliceSpec[]): Walk & { kept: number[] } {
  expect(specs.length <= x.ndim, op, `at most ${x.ndim} dimensions`, `${specs.length}`);
  const own = stridesOf(x.shape);
  const walk = { offset: 0, shape: [] as number[], kept: [] as number[], strides: [] as number[] };
  x.shape.forEach((extent, d) => {
    const spec = specs[d] ?? null;
    if (typeof spec === "number") {
      const at = spec < 0 ? spec + extent : spec;
      if (!Number.isInteger(spec) || at < 0 || at >= extent)
        throw new RangeError(
          `${op}: expected an index from ${-extent} to ${extent - 1} in dimension ${d}, got ${spec}`,
        );
      walk.offset += at * own[d]!;
      walk.shape.push(1);
      walk.strides.push(own[d]!);
      return;
    }
    const [start, end, step = 1] = spec ?? [];
    if (!Number.isInteger(step) || step === 0)
      throw new RangeError(`${op}: expected a step that is an integer and not 0, got ${step}`);
    const whole = (v: number | null | undefined) => v == null || Number.isInteger(v);
    if (!whole(start) || !whole(end))
      throw new RangeError(
        `${op}: expected a start and an end that are integers in dimension ${d}, got ${start} and ${end}`,
      );
    const clip = (v: number, low: number, high: number) => Math.min(Math.max(v < 0 ? v + extent : v, low), high);
    const from =
      start == null ? (step > 0 ? 0 : extent - 1) : clip(start, step > 0 ? 0 : -1, step > 0 ? extent : extent - 1);
    const until = end == null ? (step > 0 ? extent : -1) : clip(end, step > 0 ? 0 : -1, step > 0 ? extent : extent - 1);
    const n = Math.max(0, Math.ceil((until - from) / step));
    walk.offset += n > 0 ? from * own[d]! : 0;
    walk.shape.push(n);
    walk.kept.push(d);
    walk.strides.push(own[d]! * step);
  });
  return walk;
}

/**
 * Part of x: a number picks one index and drops the dimension, [start, end, step] a range, null everything. A copy.
 *
 * @example
 * const x = arange(12).reshape([3, 4]);
 * x.slice(0);             // the first row: [4]
 * x.slice(null, [1, 3]);  // columns 1 and 2: [3, 2]
 */
export function slice(x: Tensor, ...specs: SliceSpec[]): Tensor {
  const walk = walkOf("slice", x, specs);
  const kept = readWalk("slice", x, walk);
  return walk.kept.length === x.ndim
    ? kept
    : reshape(
        kept,
        walk.kept.map((d) => walk.shape[d]!),
      );
}

/** Tensors joined along an existing dimension. Default the first. */
export function cat(tensors: readonly Tensor[], axis = 0): Tensor {
  if (!Array.isArray(tensors) || tensors.length === 0)
    throw new ShapeError("cat: expected at least one tensor, got none");
  const dtype = tensors.map((x) => x.dtype).reduce(promote);
  const list = tensors.map((x) => to(x, dtype));
  const first = list[0]!;
  const at = normalizeAxis("cat", axis, first.ndim);
  expect(first.ndim > 0, "cat", "tensors with at least one dimension", "a scalar");
  for (const x of list) {
    const fits = x.ndim === first.ndim && x.shape.every((e, d) => d === at || e === first.shape[d]);
    expect(fits, "cat", `tensors that agree with ${show(first.shape)} outside dimension ${at}`, show(x.shape));
  }
  const extent = list.reduce((n, x) => n + x.shape[at]!, 0);
  const shape = first.shape.map((e, d) => (d === at ? extent : e));
  const y = empty(shape, dtype);
  const strides = stridesOf(shape);
  const parts: SliceSpec[][] = []; // where each tensor stands in y
  let start = 0;
  for (const x of list) {
    if (x.size > 0) k.writeStrided(y, x, start * strides[at]!, ...stridedSize("cat", x.shape, strides));
    const end = start + x.shape[at]!;
    parts.push([...shape.slice(0, at).map(() => null), [start, end]]);
    start = end;
  }
  const inputs = Object.fromEntries(list.map((x, i) => [`x${i}`, x]));
  return record(y, "cat", inputs, {}, uncat(parts));
}
const uncat = (parts: SliceSpec[][]) => (dy: Tensor) =>
  Object.fromEntries(parts.map((part, i) => [`x${i}`, () => slice(dy, ...part)]));

/** Tensors of one shape joined along a new dimension. Default the first. */
export function stack(tensors: readonly Tensor[], axis = 0): Tensor {
  if (!Array.isArray(tensors) || tensors.length === 0)
    throw new ShapeError("stack: expected at least one tensor, got none");
  const { shape } = tensors[0]!;
  for (const x of tensors)
    expect(show(x.shape) === show(shape), "stack", `tensors of one shape, ${show(shape)}`, show(x.shape));
  return cat(
    tensors.map((x) => unsqueeze(x, axis)),
    axis,
  );
}
