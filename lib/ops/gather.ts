/**
 * Elements by index. A kernel works along the middle of [outer, n, inner]; gathering and adding at an index are each
 * other's gradients, so derivatives of any order are these same kernels. An index outside the axis is an error: at the call
 * where the indices came from host data, else when the result is read.
 */

import { expect, sameShape, show } from "../errors.js";
import { record } from "../graph.js";
import { k } from "../native.js";
import { empty, sizeOfShape, type Tensor } from "../tensor.js";
import { equal, mul, where } from "./arithmetic.js";
import { broadcastShapes, checkIndices, expectComputes, expectSameDType, normalizeAxis } from "./common.js";
import { arange, full, ones, zeros } from "./create.js";
import { pad } from "./pad.js";
import { expand, reshape, slice } from "./shape.js";

/** Where a kernel works: an axis of a shape with at least one dimension. `each`: the index has the shape of the result. */
interface Along {
  axis: number;
  each: boolean;
}

/** The fields of IndexSize for x of `shape` and m indices along the axis. */
const sizeOf = (shape: readonly number[], m: number, { axis, each }: Along): number[] => [
  sizeOfShape(shape.slice(0, axis)),
  shape[axis]!,
  sizeOfShape(shape.slice(axis + 1)),
  m,
  Number(each),
];
const withExtent = (shape: readonly number[], axis: number, extent: number): number[] =>
  shape.map((e, d) => (d === axis ? extent : e));
/** Indices along the axis. */
const lengthOf = (index: Tensor, { axis, each }: Along): number => (each ? index.shape[axis]! : index.size);

/** y at j along the axis is x at index j. */
function takeAt(x: Tensor, index: Tensor, along: Along): Tensor {
  const { shape } = x;
  const m = lengthOf(index, along);
  const y = empty(withExtent(shape, along.axis, m), x.dtype);
  k.gather(y, x, index, ...sizeOf(shape, m, along));
  y.storage.range = x.storage.range;
  return record(y, "gather", { x }, { index }, gatherGradient(shape, along));
}
const gatherGradient =
  (shape: readonly number[], along: Along) =>
  (dy: Tensor, { index }: { index: Tensor }) => ({
    x: () => addAt(zeros(shape, { dtype: dy.dtype }), index, dy, along),
  });

/** The same elements, for a kernel to write over. */
function copyOf(x: Tensor): Tensor {
  const y = empty(x.shape, x.dtype);
  k.copyStrided(y, x, 0, 1, x.size, 1);
  return y;
}

/** x with y added at the indices, in their order. */
function addAt(x: Tensor, index: Tensor, y: Tensor, along: Along): Tensor {
  const z = copyOf(x);
  k.scatterAdd(z, y, index, ...sizeOf(x.shape, lengthOf(index, along), along));
  return record(z, "scatterAdd", { x, y }, { index }, (dz, { index }) => ({
    x: () => dz,
    y: () => takeAt(dz, index, along),
  }));
}

/** x with y put at the indices; of equal ones the last stays. */
function putAt(x: Tensor, index: Tensor, y: Tensor, along: Along): Tensor {
  const z = put(x, index, y, along);
  return record(z, "scatter", { x, y }, { index }, (dz, { index }) => ({
    x: () => putAt(dz, index, zeros(index.shape, { dtype: dz.dtype }), along),
    y: () => where(stayed(index, dz.shape, along), takeAt(dz, index, along), 0),
  }));
}

function put(x: Tensor, index: Tensor, y: Tensor, along: Along): Tensor {
  const z = copyOf(x);
  k.scatter(z, y, index, ...sizeOf(x.shape, lengthOf(index, along), along));
  return z;
}

/** Which of the indices no later one overwrites: those that find their own number where it was put. */
function stayed(index: Tensor, shape: readonly number[], along: Along): Tensor {
  const { axis } = along;
  const m = index.shape[axis]!;
  const numbers = expand(
    reshape(
      arange(m),
      index.shape.map((_, d) => (d === axis ? m : 1)),
    ),
    index.shape,
  );
  const last = put(zeros(shape, { dtype: "int32" }), index, numbers, along);
  return equal(takeAt(last, index, along), numbers);
}

// ---- Shapes

/** A scalar counts as one dimension of extent 1. */
const atLeast1 = (x: Tensor): Tensor => (x.ndim === 0 ? reshape(x, [1]) : x);

/** Throws unless the index has x's rank and, outside the axis, none of its extents is larger. */
function expectWithin(op: string, x: Tensor, axis: number, index: Tensor): void {
  const fits = index.ndim === x.ndim && index.shape.every((e, d) => d === axis || e <= x.shape[d]!);
  expect(
    fits,
    op,
    `an index of ${x.ndim} dimensions within x ${show(x.shape)} outside axis ${axis}`,
    show(index.shape),
  );
}

function expectAdds(op: string, x: Tensor): void {
  expectComputes(op, x.dtype);
  if (x.dtype === "bool") throw new TypeError(`${op}: expected numbers, got bool; convert it first with .to("int32")`);
}

/** The leading part of x, of `shape`; x itself where that is all. */
const cropped = (x: Tensor, shape: readonly number[]): Tensor =>
  sameShape(x.shape, shape) ? x : slice(x, ...shape.map((e): [number, number] => [0, e]));

/** The part of x that has the index's extents outside the axis. */
const within = (x: Tensor, axis: number, index: Tensor): Tensor =>
  cropped(x, withExtent(index.shape, axis, x.shape[axis]!));

/**
 * y[i, j, k] = x[i, index[i, j, k], k] for axis 1, and so for any axis: y has the shape of the index.
 *
 * @param x of any dtype; floats have a gradient
 * @param index int32, int64 or uint8, of x's rank; outside the axis its extents may be smaller than x's
 * @throws RangeError where an index lies outside the axis (see the file's head)
 * @example
 * const x = tensor([[1, 2], [3, 4]]);
 * x.gather(1, tensor([[0, 0], [1, 0]], { dtype: "int32" })); // [[1, 1], [4, 3]]
 */
export function gather(x: Tensor, axis: number, index: Tensor): Tensor {
  const at = normalizeAxis("gather", axis, x.ndim);
  const [source, places] = [atLeast1(x), atLeast1(index)];
  checkIndices("gather", "indices", index, source.shape[at]!);
  expect(index.ndim === x.ndim, "gather", `an index of ${x.ndim} dimensions, as x`, show(index.shape));
  expectWithin("gather", source, at, places);
  const y = takeAt(within(source, at, places), places, { axis: at, each: true });
  return index.ndim === 0 ? reshape(y, []) : y;
}

/** What scatter and scatterAdd do: `write` on the part of x that the index covers. */
function scattered(
  op: string,
  x: Tensor,
  axis: number,
  index: Tensor,
  given: Tensor | number,
  write: (x: Tensor, index: Tensor, y: Tensor, along: Along) => Tensor,
): Tensor {
  const at = normalizeAxis(op, axis, x.ndim);
  const [target, places] = [atLeast1(x), atLeast1(index)];
  checkIndices(op, "indices", index, target.shape[at]!);
  expect(index.ndim === x.ndim, op, `an index of ${x.ndim} dimensions, as x`, show(index.shape));
  expectWithin(op, target, at, places);
  const source = typeof given === "number" ? full(places.shape, given, { dtype: x.dtype }) : atLeast1(given);
  expectSameDType(op, x, source);
  const covers = source.ndim === places.ndim && places.shape.every((e, d) => e <= source.shape[d]!);
  expect(covers, op, `a source of at least the index's shape ${show(places.shape)}`, show(source.shape));
  const y = cropped(source, places.shape);
  const part = within(target, at, places);
  const along = { axis: at, each: true };
  if (part === target) return reshape(write(target, places, y, along), x.shape);
  const border = target.shape.flatMap((e, d) => [e - part.shape[d]!, 0]).reverse();
  const covered = pad(ones(part.shape, { dtype: "bool" }), border);
  return where(covered, pad(write(part, places, y, along), border), target);
}

/**
 * x with x[i, index[i, j, k], k] = source[i, j, k] for axis 1, and so for any axis; a new tensor. Where indices meet, the
 * last along the axis stays, and it alone gets a gradient.
 *
 * @param source a number, or a tensor of x's dtype and at least the index's shape
 */
export const scatter = (x: Tensor, axis: number, index: Tensor, source: Tensor | number): Tensor =>
  scattered("scatter", x, axis, index, source, putAt);

/**
 * x with x[i, index[i, j, k], k] += source[i, j, k] for axis 1, and so for any axis; a new tensor. What meets is added in
 * the order of the indices: the same bits for any number of threads.
 *
 * @param source a number, or a tensor of x's dtype and at least the index's shape
 */
export function scatterAdd(x: Tensor, axis: number, index: Tensor, source: Tensor | number): Tensor {
  expectAdds("scatterAdd", x);
  return scattered("scatterAdd", x, axis, index, source, addAt);
}

function expectList(op: string, index: Tensor): void {
  expect(index.ndim <= 1, op, "an index of one dimension", show(index.shape));
}

/**
 * The slices of x at `index` along `axis`, in its order: y[:, j] = x[:, index[j]] for axis 1. The gradient adds up where
 * an index repeats.
 *
 * @param index int32, int64 or uint8, one dimension
 * @example
 * eye(3).indexSelect(0, tensor([2, 0], { dtype: "int32" })); // [[0, 0, 1], [1, 0, 0]]
 */
export function indexSelect(x: Tensor, axis: number, index: Tensor): Tensor {
  const at = normalizeAxis("indexSelect", axis, x.ndim);
  expectList("indexSelect", index);
  const source = atLeast1(x);
  checkIndices("indexSelect", "indices", index, source.shape[at]!);
  const y = takeAt(source, index, { axis: at, each: false });
  if (x.ndim > 0) return y;
  expect(index.size === 1, "indexSelect", "one index into a scalar", show(index.shape));
  return reshape(y, []);
}

/**
 * x with alpha source[:, j] added to x[:, index[j]] for axis 1, and so for any axis; a new tensor. Slices that meet are
 * added in order.
 *
 * @param source of x's dtype, with as many slices as there are indices
 */
export function indexAdd(
  x: Tensor,
  axis: number,
  index: Tensor,
  source: Tensor,
  { alpha = 1 }: { alpha?: number } = {},
): Tensor {
  expectAdds("indexAdd", x);
  const at = normalizeAxis("indexAdd", axis, x.ndim);
  expectList("indexAdd", index);
  expectSameDType("indexAdd", x, source);
  const target = atLeast1(x);
  checkIndices("indexAdd", "indices", index, target.shape[at]!);
  const wanted = withExtent(target.shape, at, index.size);
  const slices = atLeast1(source);
  expect(show(slices.shape) === show(wanted), "indexAdd", `a source of shape ${show(wanted)}`, show(source.shape));
  const y = addAt(target, index, alpha === 1 ? slices : mul(slices, alpha), { axis: at, each: false });
  return reshape(y, x.shape);
}

/**
 * gather() where x and the index broadcast outside the axis: for what argmax or argsort found, with `keepDims`.
 *
 * @example
 * const x = tensor([[3, 1, 2]]);
 * x.takeAlong(x.argsort(1), 1); // [[1, 2, 3]]
 */
export function takeAlong(x: Tensor, index: Tensor, axis: number): Tensor {
  const at = normalizeAxis("takeAlong", axis, x.ndim);
  expect(index.ndim === x.ndim, "takeAlong", `an index of ${x.ndim} dimensions, as x`, show(index.shape));
  const shape = broadcastShapes("takeAlong", withExtent(x.shape, at, 1), withExtent(index.shape, at, 1));
  const places = expand(index, withExtent(shape, at, index.shape[at] ?? 1));
  return gather(expand(x, withExtent(shape, at, x.shape[at] ?? 1)), axis, places);
}

/** The elements of x at positions in its row-major order: y has the shape of the index. */
export function take(x: Tensor, index: Tensor): Tensor {
  checkIndices("take", "indices", index, x.size);
  const y = takeAt(reshape(x, [x.size]), reshape(index, [index.size]), { axis: 0, each: false });
  return reshape(y, index.shape);
}
