/**
 * Tensors taken apart and put together along a dimension: split, chunk, unbind, hstack, vstack, meshgrid.
 */

import { expect, ShapeError, show } from "../errors.js";
import { recordAll } from "../graph.js";
import type { DType } from "../native.js";
import type { Tensor } from "../tensor.js";
import { atLeast1d, atLeast2d, atLeast3d, narrow, select } from "./arrange.js";
import { normalizeAxis } from "./common.js";
import { zeros } from "./create.js";
import { cat, expand, reshape, stack } from "./shape.js";

/** Parts of x in one record: their gradients are joined, where slices would each add to one of the whole size. */
function apart(op: string, x: Tensor, axis: number, take: (x: Tensor) => Tensor[]): Tensor[] {
  const parts = take(x.detach());
  if (parts.length === 0) return parts;
  const shapes = parts.map(({ shape }) => shape);
  return recordAll(parts, op, { x }, {}, together(op === "unbind" ? stack : cat, shapes, x.dtype, axis));
}
const together =
  (join: typeof cat, shapes: (readonly number[])[], dtype: DType, axis: number) => (dys: (Tensor | null)[]) => ({
    x: () =>
      join(
        dys.map((dy, i) => dy ?? zeros(shapes[i]!, { dtype })),
        axis,
      ),
  });

/**
 * Parts along `axis`: of `size` elements each, the last possibly smaller; or of the sizes listed.
 *
 * @example
 * const [a, b, c] = arange(5).split(2);       // 2, 2 and 1 elements
 * const [d, e] = arange(5).split([1, 4]);
 */
export function split(x: Tensor, size: number | readonly number[], axis = 0): Tensor[] {
  const d = normalizeAxis("split", axis, x.ndim);
  expect(x.ndim > 0, "split", "at least one dimension", "a scalar");
  const extent = x.shape[d]!;
  if (typeof size === "number") {
    expect(Number.isSafeInteger(size) && size >= 1, "split", "a size from 1 up", `${size}`);
    const parts = Math.max(1, Math.ceil(extent / size));
    return apart("split", x, d, (x) =>
      Array.from({ length: parts }, (_, i) => narrow(x, d, i * size, Math.min(size, extent - i * size))),
    );
  }
  const total = size.reduce((n, e) => n + e, 0);
  expect(
    size.every((e) => Number.isSafeInteger(e) && e >= 0) && total === extent,
    "split",
    `sizes that add up to ${extent}, the extent of dimension ${d}`,
    show(size),
  );
  let start = 0;
  return apart("split", x, d, (x) => size.map((e) => narrow(x, d, (start += e) - e, e)));
}

/** At most `count` parts of equal size along `axis`, the last possibly smaller. */
export function chunk(x: Tensor, count: number, axis = 0): Tensor[] {
  const d = normalizeAxis("chunk", axis, x.ndim);
  expect(x.ndim > 0, "chunk", "at least one dimension", "a scalar");
  expect(Number.isSafeInteger(count) && count >= 1, "chunk", "a number of chunks from 1 up", `${count}`);
  if (x.shape[d] === 0) return Array.from({ length: count }, () => narrow(x, d, 0, 0));
  return split(x, Math.ceil(x.shape[d]! / count), d);
}

/** x[0], x[1], ... along `axis`, without that dimension. */
export function unbind(x: Tensor, axis = 0): Tensor[] {
  const d = normalizeAxis("unbind", axis, x.ndim);
  expect(x.ndim > 0, "unbind", "at least one dimension", "a scalar");
  return apart("unbind", x, d, (x) => Array.from({ length: x.shape[d]! }, (_, i) => select(x, d, i)));
}

function expectSome(op: string, tensors: readonly Tensor[]): void {
  if (!Array.isArray(tensors) || tensors.length === 0)
    throw new ShapeError(`${op}: expected at least one tensor, got none`);
}

/** Tensors side by side: joined along dimension 1, vectors and scalars along their only one. */
export function hstack(tensors: readonly Tensor[]): Tensor {
  expectSome("hstack", tensors);
  const list = tensors.map(atLeast1d);
  return cat(list, list[0]!.ndim === 1 ? 0 : 1);
}

/** Tensors on top of each other: joined along dimension 0, vectors as rows. */
export function vstack(tensors: readonly Tensor[]): Tensor {
  expectSome("vstack", tensors);
  return cat(tensors.map(atLeast2d), 0);
}

/** Tensors behind each other: joined along dimension 2, matrices as [m, n, 1]. */
export function dstack(tensors: readonly Tensor[]): Tensor {
  expectSome("dstack", tensors);
  return cat(tensors.map(atLeast3d), 2);
}

/** Options of meshgrid. */
export interface MeshgridOptions {
  /** "ij": results are [x.size, y.size, ...]; "xy": the first two are exchanged, as pictures want. Default "ij". */
  indexing?: "ij" | "xy";
}

/**
 * The coordinates of a grid from those of its axes: result i varies along dimension i alone, with vector i's elements.
 *
 * @example
 * const [row, column] = meshgrid([arange(2), arange(3)]); // both [2, 3]
 */
export function meshgrid(vectors: readonly Tensor[], { indexing = "ij" }: MeshgridOptions = {}): Tensor[] {
  expectSome("meshgrid", vectors);
  if (indexing !== "ij" && indexing !== "xy")
    throw new TypeError(`meshgrid: expected indexing "ij" or "xy", got ${JSON.stringify(indexing satisfies never)}`);
  for (const x of vectors) expect(x.ndim <= 1, "meshgrid", "vectors and scalars", show(x.shape));
  const place = (i: number) => (indexing === "xy" && i < 2 && vectors.length > 1 ? 1 - i : i);
  const shape = vectors.map((_, d) => vectors[place(d)]!.size);
  return vectors.map((x, i) =>
    expand(
      reshape(
        x,
        shape.map((_, d) => (d === place(i) ? x.size : 1)),
      ),
      shape,
    ),
  );
}

/** Every combination of one element of each vector, in row-major order: [product of sizes, vectors]. */
export function cartesianProd(vectors: readonly Tensor[]): Tensor {
  expectSome("cartesianProd", vectors);
  for (const x of vectors) expect(x.ndim === 1, "cartesianProd", "vectors", show(x.shape));
  if (vectors.length === 1) return reshape(vectors[0]!, vectors[0]!.shape);
  return stack(
    meshgrid(vectors).map((x) => reshape(x, [x.size])),
    1,
  );
}
