/**
 * Elements in another order or several times: flips, rolls, repeats, windows. All are copies.
 */

import { expect, ShapeError, show } from "../errors.js";
import { record } from "../graph.js";
import { sizeOfShape, type Tensor } from "../tensor.js";
import { add } from "./arithmetic.js";
import { broadcastShapes, normalizeAxes, normalizeAxis } from "./common.js";
import { cat, expand, permute, reshape, type SliceSpec, slice, stridesOf, transpose } from "./shape.js";
import { copyWalk, readWalk, type Walk, writeWalk } from "./strided.js";

/** null for the first `axis` dimensions, then `spec`. */
const at = (axis: number, spec: SliceSpec): SliceSpec[] => [...Array<SliceSpec>(axis).fill(null), spec];

/** Elements start to start + length - 1 along `axis`; a negative start counts from the end. */
export function narrow(x: Tensor, axis: number, start: number, length: number): Tensor {
  const d = normalizeAxis("narrow", axis, x.ndim);
  const extent = x.shape[d] ?? 0;
  const from = start < 0 ? start + extent : start;
  const fits = Number.isInteger(from) && Number.isInteger(length) && from >= 0 && length >= 0;
  expect(
    x.ndim > 0 && fits && from + length <= extent,
    "narrow",
    `a start and a length within dimension ${d}, of extent ${extent}`,
    `${start} and ${length}`,
  );
  return slice(x, ...at(d, [from, from + length]));
}

/** Index `index` of `axis`, without that dimension. */
export function select(x: Tensor, axis: number, index: number): Tensor {
  const d = normalizeAxis("select", axis, x.ndim);
  const extent = x.shape[d] ?? 0;
  if (!Number.isInteger(index) || index < -extent || index >= extent)
    throw new RangeError(`select: expected an index from ${-extent} to ${extent - 1}, got ${index}`);
  return slice(x, ...at(d, index));
}

/** Dimension `axis` split into `shape`, one extent of which may be -1: the inverse of flatten. */
export function unflatten(x: Tensor, axis: number, shape: readonly number[]): Tensor {
  const d = normalizeAxis("unflatten", axis, x.ndim);
  const extent = x.shape[d] ?? 1;
  const known = sizeOfShape(shape.filter((e) => e !== -1));
  const whole = shape.map((e) => (e === -1 ? (known === 0 ? 0 : extent / known) : e));
  if (sizeOfShape(whole) !== extent || !whole.every((e) => Number.isSafeInteger(e) && e >= 0))
    throw new ShapeError(
      `unflatten: expected extents whose product is ${extent}, that of dimension ${d} of ${show(x.shape)}, got ${show(shape)}`,
    );
  return reshape(x, [...x.shape.slice(0, d), ...whole, ...x.shape.slice(d + 1)]);
}

/** Dimensions `from` moved to the places `to`; the others keep their order. */
export function movedim(x: Tensor, from: number | readonly number[], to: number | readonly number[]): Tensor {
  const [source, target] = [from, to].map((axes) =>
    (typeof axes === "number" ? [axes] : axes).map((a) => normalizeAxis("movedim", a, x.ndim)),
  ) as [number[], number[]];
  const differ = new Set(source).size === source.length && new Set(target).size === target.length;
  expect(
    differ && source.length === target.length,
    "movedim",
    "as many places as dimensions, each once",
    `${JSON.stringify(from)} to ${JSON.stringify(to)}`,
  );
  const rest = x.shape.map((_, d) => d).filter((d) => !source.includes(d));
  return permute(
    x,
    x.shape.map((_, d) => (target.includes(d) ? source[target.indexOf(d)]! : rest.shift()!)),
  );
}

/** Two dimensions exchanged: transpose() under NumPy's name. */
export const swapaxes = (x: Tensor, axis0: number, axis1: number): Tensor => transpose(x, axis0, axis1);

/** x repeated to `shape` by broadcasting: expand() without -1. */
export const broadcastTo = (x: Tensor, shape: readonly number[]): Tensor => {
  if (shape.some((e) => !Number.isSafeInteger(e) || e < 0))
    throw new ShapeError(`broadcastTo: expected extents from 0 up, got ${show(shape)}`);
  return expand(x, shape);
};

/** All tensors expanded to the shape that they broadcast to. */
export function broadcastTensors(tensors: readonly Tensor[]): Tensor[] {
  const shape = tensors.reduce<readonly number[]>((s, x) => broadcastShapes("broadcastTensors", s, x.shape), []);
  return tensors.map((x) => expand(x, shape));
}

/** x, or a scalar as [1]. */
export const atLeast1d = (x: Tensor): Tensor => (x.ndim > 0 ? x : reshape(x, [1]));
/** x, or a vector as one row, a scalar as [1, 1]. */
export const atLeast2d = (x: Tensor): Tensor => (x.ndim > 1 ? x : reshape(x, [1, x.size]));
/** x, or a matrix as [m, n, 1], a vector as [1, n, 1], a scalar as [1, 1, 1]. */
export const atLeast3d = (x: Tensor): Tensor =>
  x.ndim > 2 ? x : reshape(x, x.ndim === 2 ? [...x.shape, 1] : [1, x.size, 1]);

/** x in reverse along `axes`. Default all. */
export function flip(x: Tensor, axes: number | readonly number[] | null = null): Tensor {
  const over = normalizeAxes("flip", axes, x.ndim);
  return slice(x, ...x.shape.map((_, d): SliceSpec => (over.includes(d) ? [null, null, -1] : null)));
}

/** x turned around, left and right. */
export const fliplr = (x: Tensor): Tensor => flip(x, 1);
/** x turned around, up and down. */
export const flipud = (x: Tensor): Tensor => flip(x, 0);

/**
 * Elements moved by `shifts` places along `axes`; what leaves at one end comes back at the other. Without axes the
 * flattened tensor is rolled, and the shape kept.
 *
 * @example
 * arange(5).roll(2); // 3 4 0 1 2
 */
export function roll(
  x: Tensor,
  shifts: number | readonly number[],
  axes: number | readonly number[] | null = null,
): Tensor {
  const by = typeof shifts === "number" ? [shifts] : shifts;
  if (!by.every(Number.isSafeInteger)) throw new TypeError(`roll: expected integer shifts, got ${show(by)}`);
  if (axes === null) {
    expect(by.length === 1, "roll", "one shift where no axes are given", show(by));
    return reshape(roll(reshape(x, [x.size]), by, 0), x.shape);
  }
  const over = (typeof axes === "number" ? [axes] : axes).map((a) => normalizeAxis("roll", a, x.ndim));
  expect(by.length === over.length, "roll", "as many shifts as axes", `${by.length} and ${over.length}`);
  return over.reduce((y, d, i) => {
    const n = y.shape[d] ?? 1;
    const shift = n === 0 ? 0 : ((by[i]! % n) + n) % n;
    return shift === 0 ? y : cat([slice(y, ...at(d, [n - shift, n])), slice(y, ...at(d, [0, n - shift]))], d);
  }, x);
}

/** x rotated `times` quarter turns from the first of `axes` towards the second. Defaults 1 and [0, 1]. */
export function rot90(x: Tensor, times = 1, axes: readonly [number, number] = [0, 1]): Tensor {
  expect(x.ndim >= 2, "rot90", "at least 2 dimensions", show(x.shape));
  if (!Number.isSafeInteger(times)) throw new TypeError(`rot90: expected an integer number of turns, got ${times}`);
  const [a, b] = axes.map((axis) => normalizeAxis("rot90", axis, x.ndim)) as [number, number];
  expect(a !== b, "rot90", "two axes that differ", show(axes));
  switch (((times % 4) + 4) % 4) {
    case 1:
      return transpose(flip(x, b), a, b);
    case 2:
      return flip(x, [a, b]);
    case 3:
      return flip(transpose(x, a, b), b);
    default:
      return reshape(x, x.shape);
  }
}

/**
 * x laid out `times[d]` times along dimension d, the last of `times` for the last dimension; more of them than x has
 * dimensions add leading ones.
 *
 * @example
 * tensor([1, 2]).repeat([2, 2]); // 1 2 1 2, twice
 */
export function repeat(x: Tensor, times: readonly number[]): Tensor {
  if (!times.every((n) => Number.isSafeInteger(n) && n >= 0))
    throw new ShapeError(`repeat: expected counts from 0 up, got ${show(times)}`);
  expect(
    times.length >= x.ndim,
    "repeat",
    `a count for each of ${x.ndim} dimensions (tile() takes fewer)`,
    show(times),
  );
  const shape = [...Array<number>(times.length - x.ndim).fill(1), ...x.shape];
  const paired = reshape(
    x,
    shape.flatMap((e) => [1, e]),
  );
  return reshape(
    expand(
      paired,
      shape.flatMap((e, d) => [times[d]!, e]),
    ),
    shape.map((e, d) => e * times[d]!),
  );
}

/** repeat() with NumPy's rule: fewer counts than dimensions stand for the last ones. */
export const tile = (x: Tensor, times: readonly number[]): Tensor =>
  repeat(x, [...Array<number>(Math.max(0, x.ndim - times.length)).fill(1), ...times]);

/**
 * Each element of `axis` repeated in place: `times` of each, or times[i] of element i. Without an axis of the flattened
 * tensor.
 *
 * @example
 * tensor([1, 2]).repeatInterleave(2); // 1 1 2 2
 */
export function repeatInterleave(x: Tensor, times: number | readonly number[], axis: number | null = null): Tensor {
  if (axis === null) return repeatInterleave(reshape(x, [x.size]), times, 0);
  const d = normalizeAxis("repeatInterleave", axis, x.ndim);
  const given = atLeast1d(x);
  const extent = given.shape[d]!;
  const counts = typeof times === "number" ? [times] : times;
  if (!counts.every((n) => Number.isSafeInteger(n) && n >= 0))
    throw new ShapeError(`repeatInterleave: expected counts from 0 up, got ${show(counts)}`);
  const [head, tail] = [given.shape.slice(0, d), given.shape.slice(d + 1)];
  if (typeof times === "number") {
    const spread = expand(reshape(given, [...head, extent, 1, ...tail]), [...head, extent, times, ...tail]);
    return reshape(spread, [...head, extent * times, ...tail]);
  }
  expect(counts.length === extent, "repeatInterleave", `${extent} counts, one an element`, `${counts.length}`);
  const parts = counts.flatMap((n, i) =>
    n === 0 ? [] : [expand(slice(given, ...at(d, [i, i + 1])), [...head, n, ...tail])],
  );
  return parts.length > 0 ? cat(parts, d) : slice(given, ...at(d, [0, 0]));
}

/**
 * Windows of `size` elements along `axis`, `step` apart, in a new last dimension: PyTorch's Tensor.unfold (the patches
 * of pictures are unfold()'s).
 *
 * @returns [..., floor((extent - size) / step) + 1, ..., size]
 * @example
 * arange(6).unfoldAxis(0, 3, 2); // 0 1 2, 2 3 4
 */
export function unfoldAxis(x: Tensor, axis: number, size: number, step: number): Tensor {
  const d = normalizeAxis("unfoldAxis", axis, x.ndim);
  const given = atLeast1d(x);
  const extent = given.shape[d]!;
  expect(
    Number.isSafeInteger(size) && size >= 0 && size <= extent,
    "unfoldAxis",
    `a size from 0 to ${extent}, the extent of dimension ${d}`,
    `${size}`,
  );
  expect(Number.isSafeInteger(step) && step >= 1, "unfoldAxis", "a step from 1 up", `${step}`);
  const windows = Math.floor((extent - size) / step) + 1;
  const own = stridesOf(given.shape);
  const stride = own[d]!;
  const shape = given.shape.map((e, i) => (i === d ? windows : e));
  const strides = own.map((s, i) => (i === d ? stride * step : s));
  const walk: Walk = { offset: 0, shape: [...shape, size], strides: [...strides, stride] };
  if (step >= size) return readWalk("unfoldAxis", given, walk);
  return record(copyWalk("unfoldAxis", given, walk), "unfoldAxis", { x: given }, {}, unwindow(given.shape, walk, step));
}

// Windows overlap, but elements j to j + step - 1 of all windows are a walk without repeats.
const unwindow = (shape: readonly number[], walk: Walk, step: number) => (dy: Tensor) => ({
  x: () => {
    const size = walk.shape.at(-1)!;
    const last = walk.strides.at(-1)!;
    const all = dy.shape.slice(0, -1).map(() => null);
    const parts = Array.from({ length: Math.ceil(size / step) }, (_, i) => {
      const range: [number, number] = [i * step, Math.min((i + 1) * step, size)];
      const part = { ...walk, shape: [...walk.shape.slice(0, -1), range[1] - range[0]], offset: range[0] * last };
      return writeWalk("unfoldAxis", shape, part, slice(dy, ...all, range));
    });
    return parts.reduce((a, b) => add(a, b));
  },
});
