/**
 * Matrices by their diagonals, and built from others. Leading dimensions are batches.
 */
import { expect, ShapeError, show } from "../errors.js";
import type { Tensor } from "../tensor.js";
import { greaterEqual, lessEqual, mul, where } from "./arithmetic.js";
import { to } from "./cast.js";
import { normalizeAxis, promote } from "./common.js";
import { arange, zeros } from "./create.js";
import { sum } from "./reduce.js";
import { cat, reshape, stridesOf } from "./shape.js";
import { readWalk, type Walk, writeWalk } from "./strided.js";

function expectMatrix(op: string, x: Tensor): void {
  expect(x.ndim >= 2, op, "at least 2 dimensions", show(x.shape));
}
function expectOffset(op: string, offset: number): void {
  if (!Number.isSafeInteger(offset)) throw new TypeError(`${op}: expected an integer diagonal, got ${offset}`);
}

/** x where column - row <= diagonal, 0 elsewhere: the lower triangle. Default 0, the main diagonal. */
export function tril(x: Tensor, diagonal = 0): Tensor {
  return triangle("tril", x, diagonal);
}
/** x where column - row >= diagonal, 0 elsewhere: the upper triangle. Default 0, the main diagonal. */
export function triu(x: Tensor, diagonal = 0): Tensor {
  return triangle("triu", x, diagonal);
}

function triangle(op: "tril" | "triu", x: Tensor, diagonal: number): Tensor {
  expectMatrix(op, x);
  expectOffset(op, diagonal);
  const [m, n] = x.shape.slice(-2) as [number, number];
  const rows = reshape(arange(diagonal, diagonal + m), [m, 1]);
  const columns = arange(n);
  const mask = op === "tril" ? lessEqual(columns, rows) : greaterEqual(columns, rows);
  return to(where(mask, x, 0), x.dtype);
}

/** The walk along a diagonal of dimensions a and b of `shape`, its elements last. */
function diagonalWalk(op: string, shape: readonly number[], offset: number, a: number, b: number): Walk {
  expectOffset(op, offset);
  expect(a !== b, op, "two axes that differ", `${a} and ${b}`);
  const strides = stridesOf(shape);
  const [rows, columns] = [shape[a]!, shape[b]!];
  const length = Math.max(0, offset >= 0 ? Math.min(rows, columns - offset) : Math.min(rows + offset, columns));
  const rest = shape.map((_, d) => d).filter((d) => d !== a && d !== b);
  const first = offset >= 0 ? offset * strides[b]! : -offset * strides[a]!;
  return {
    offset: length > 0 ? first : 0,
    shape: [...rest.map((d) => shape[d]!), length],
    strides: [...rest.map((d) => strides[d]!), strides[a]! + strides[b]!],
  };
}

/**
 * The elements x[..., i, i + offset] of dimensions axis0 and axis1, in a new last dimension. Default the main diagonal of
 * the first two.
 */
export function diagonal(x: Tensor, offset = 0, axis0 = 0, axis1 = 1): Tensor {
  expectMatrix("diagonal", x);
  const [a, b] = [normalizeAxis("diagonal", axis0, x.ndim), normalizeAxis("diagonal", axis1, x.ndim)];
  return readWalk("diagonal", x, diagonalWalk("diagonal", x.shape, offset, a, b));
}

/** Zeros with the last dimension of x on diagonal `offset` of dimensions axis0 and axis1. Default the last two. */
export function diagEmbed(x: Tensor, offset = 0, axis0 = -2, axis1 = -1): Tensor {
  expect(x.ndim >= 1, "diagEmbed", "at least one dimension", "a scalar");
  expectOffset("diagEmbed", offset);
  const [a, b] = [normalizeAxis("diagEmbed", axis0, x.ndim + 1), normalizeAxis("diagEmbed", axis1, x.ndim + 1)];
  expect(a !== b, "diagEmbed", "two axes that differ", `${axis0} and ${axis1}`);
  const n = x.shape.at(-1)! + Math.abs(offset);
  const rest = [...x.shape.slice(0, -1)];
  const shape = Array.from({ length: x.ndim + 1 }, (_, d) => (d === a || d === b ? n : rest.shift()!));
  return writeWalk("diagEmbed", shape, diagonalWalk("diagEmbed", shape, offset, a, b), x);
}

/** The diagonal of a matrix, or the matrix with a vector on its diagonal. */
export function diag(x: Tensor, offset = 0): Tensor {
  expect(x.ndim === 1 || x.ndim === 2, "diag", "a vector or a matrix", show(x.shape));
  return x.ndim === 1 ? diagEmbed(x, offset) : diagonal(x, offset);
}

/** The sum of a matrix's diagonal: [n, m] gives a scalar. */
export function trace(x: Tensor): Tensor {
  expect(x.ndim === 2, "trace", "a matrix", show(x.shape));
  return sum(diagonal(x));
}

/** a[i] b[j]: [n] and [m] give [n, m]. */
export function outer(a: Tensor, b: Tensor): Tensor {
  expect(a.ndim === 1 && b.ndim === 1, "outer", "two vectors", `${show(a.shape)} and ${show(b.shape)}`);
  return mul(reshape(a, [a.size, 1]), b);
}

/** The Kronecker product: every element of a times all of b. [m, n] and [p, q] give [m p, n q]; other ranks align right. */
export function kron(a: Tensor, b: Tensor): Tensor {
  const rank = Math.max(a.ndim, b.ndim);
  const full = (x: Tensor) => [...Array<number>(rank - x.ndim).fill(1), ...x.shape];
  const [p, q] = [full(a), full(b)];
  const product = mul(
    reshape(
      a,
      p.flatMap((e) => [e, 1]),
    ),
    reshape(
      b,
      q.flatMap((e) => [1, e]),
    ),
  );
  return reshape(
    product,
    p.map((e, d) => e * q[d]!),
  );
}

/** Matrices along a diagonal, zeros elsewhere; vectors are rows, scalars 1 x 1. */
export function blockDiag(matrices: readonly Tensor[]): Tensor {
  if (!Array.isArray(matrices) || matrices.length === 0)
    throw new ShapeError("blockDiag: expected at least one tensor, got none");
  for (const x of matrices) expect(x.ndim <= 2, "blockDiag", "at most 2 dimensions", show(x.shape));
  const dtype = matrices.map((x) => x.dtype).reduce(promote);
  const blocks = matrices.map((x) => to(x.ndim === 2 ? x : reshape(x, [1, x.size]), dtype));
  const width = blocks.reduce((n, x) => n + x.shape[1]!, 0);
  let left = 0;
  const rows = blocks.map((x) => {
    const [m, n] = x.shape as [number, number];
    const before = zeros([m, left], { dtype });
    left += n;
    return cat([before, x, zeros([m, width - left], { dtype })], 1);
  });
  return cat(rows, 0);
}
