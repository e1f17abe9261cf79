/**
 * Linear systems: general, triangular and least squares, inverses and determinants.
 */

import { expect, show } from "../errors.js";
import { record } from "../graph.js";
import { k } from "../native.js";
import { empty, type Tensor } from "../tensor.js";
import { mul, notEqual, sub } from "./arithmetic.js";
import { to } from "./cast.js";
import { broadcastShapes, expectSameDType } from "./common.js";
import { arange } from "./create.js";
import { abs, log, neg, sign } from "./elementwise.js";
import { diagonalsOf, identityOf, matrixSize, squareSize, transposed, tril, triu } from "./linalgCommon.js";
import { qr } from "./linalgFactor.js";
import { matmul } from "./matmul.js";
import { prod, sum } from "./reduce.js";
import { expand, reshape, unsqueeze } from "./shape.js";

/** a and b with equal batches, b as matrices; `vector`: b was [n], or [..., n] beside [..., n, n]. */
function system(op: string, a: Tensor, b: Tensor): { a: Tensor; b: Tensor; vector: boolean } {
  const [, n] = squareSize(op, a);
  expectSameDType(op, a, b);
  const vector = b.ndim === 1 || (b.ndim === a.ndim - 1 && show(b.shape) === show(a.shape.slice(0, -1)));
  const right = vector ? unsqueeze(b, -1) : b;
  const fits = right.ndim >= 2 && right.shape.at(-2) === n;
  expect(fits, op, `right-hand sides [${n}] or [...,${n},k] for a ${show(a.shape)}`, show(b.shape));
  const batch = broadcastShapes(op, a.shape.slice(0, -2), right.shape.slice(0, -2));
  const full = (x: Tensor) => expand(x, [...batch, ...x.shape.slice(-2)]);
  return { a: full(a), b: full(right), vector };
}
const unvector = (y: Tensor, vector: boolean): Tensor => (vector ? reshape(y, y.shape.slice(0, -1)) : y);

/**
 * y with a y = b, by LU with partial pivoting. A singular a gives infinities or NaN.
 *
 * @param a [..., n, n]
 * @param b [n], [..., n] (one vector a matrix) or [..., n, k]; batches broadcast
 * @example
 * const x = linalg.solve(tensor([[3, 1], [1, 2]]), tensor([9, 8])); // 2 3
 */
export function solve(a: Tensor, b: Tensor): Tensor {
  const given = system("solve", a, b);
  return unvector(solved(given.a, given.b, false), given.vector);
}

function solved(a: Tensor, b: Tensor, transA: boolean): Tensor {
  const [batch, n, columns] = matrixSize("solve", b);
  const y = empty(b.shape, b.dtype);
  k.solve(y, a, b, Number(transA), batch, n, columns);
  return record(y, "solve", { a, b }, { a, y }, (dy, { a, y }) => {
    // db = A^-T dy, dA = -db y^T (of a transposed A: its transpose)
    const db = solved(a, dy, !transA);
    return {
      a: () => neg(transA ? matmul(y, db, { transB: true }) : matmul(db, y, { transB: true })),
      b: () => db,
    };
  });
}

/** Options of solveTriangular. */
export interface SolveTriangularOptions {
  /** Read the upper triangle of a, instead of the lower. Default false. */
  upper?: boolean;
  /** Take the diagonal as ones. Default false. */
  unitriangular?: boolean;
  /** Solve with a's transpose. Default false. */
  transpose?: boolean;
}

/** y with a y = b for a triangular a, the other triangle of which is not read. Shapes as solve's. */
export function solveTriangular(
  a: Tensor,
  b: Tensor,
  { upper = false, unitriangular = false, transpose = false }: SolveTriangularOptions = {},
): Tensor {
  const given = system("solveTriangular", a, b);
  return unvector(triangular(given.a, given.b, upper, transpose, unitriangular), given.vector);
}

/** @internal solveTriangular() of operands whose batches are equal. */
export function triangular(a: Tensor, b: Tensor, upper: boolean, transA: boolean, unit = false): Tensor {
  const [batch, n, columns] = matrixSize("solveTriangular", b);
  const y = empty(b.shape, b.dtype);
  k.solveTriangular(y, a, b, Number(upper), Number(transA), Number(unit), batch, n, columns);
  return record(y, "solveTriangular", { a, b }, { a, y }, (dy, { a, y }) => {
    const db = triangular(a, dy, upper, !transA, unit);
    const part = (x: Tensor) => (upper ? triu(x, Number(unit)) : tril(x, -Number(unit)));
    return {
      a: () => neg(part(transA ? matmul(y, db, { transB: true }) : matmul(db, y, { transB: true }))),
      b: () => db,
    };
  });
}

/** y with L L^T y = b, from cholesky()'s L (or U^T U, with `upper`). Shapes as solve's. */
export function choleskySolve(b: Tensor, l: Tensor, { upper = false }: { upper?: boolean } = {}): Tensor {
  const given = system("choleskySolve", l, b);
  const half = triangular(given.a, given.b, upper, upper);
  return unvector(triangular(given.a, half, upper, !upper), given.vector);
}

/** The inverse of each matrix; of a singular one infinities or NaN. To apply it, solve() is faster and more exact. */
export function inverse(x: Tensor): Tensor {
  squareSize("inverse", x);
  return solved(x, expand(identityOf(x), x.shape), false);
}

/**
 * The least-squares solution y of a y = b, by QR: the smallest |a y - b| where a has full rank and at least as many rows as
 * columns, the smallest |y| where it has fewer. Of an a without full rank use matmul(pinv(a), b).
 *
 * @param a [..., m, n]
 * @param b [m], [..., m] (one vector a matrix) or [..., m, k], with a's batches
 */
export function lstsq(a: Tensor, b: Tensor): Tensor {
  const [, m, n] = matrixSize("lstsq", a);
  expectSameDType("lstsq", a, b);
  const vector = b.ndim === 1 || (b.ndim === a.ndim - 1 && show(b.shape) === show(a.shape.slice(0, -1)));
  const given = vector ? unsqueeze(b, -1) : b;
  const fits = given.ndim >= 2 && given.shape.at(-2) === m;
  expect(fits, "lstsq", `right-hand sides [${m}] or [...,${m},k] for a ${show(a.shape)}`, show(b.shape));
  const batch = broadcastShapes("lstsq", a.shape.slice(0, -2), given.shape.slice(0, -2));
  const right = expand(given, [...batch, ...given.shape.slice(-2)]);
  const { q, r } = qr(expand(m >= n ? a : transposed(a), [...batch, Math.max(m, n), Math.min(m, n)]));
  const y =
    m >= n
      ? triangular(r, matmul(q, right, { transA: true }), true, false)
      : matmul(q, triangular(r, right, true, true));
  return unvector(y, vector);
}

/** The diagonal of LU's upper factor, and the sign of its row exchanges. */
function factored(op: string, x: Tensor): { diagonal: Tensor; parity: Tensor } {
  const [batch, n] = squareSize(op, x);
  const packed = empty(x.shape, x.dtype);
  const pivots = empty([...x.shape.slice(0, -2), n], "int32");
  k.lu(packed, pivots, empty(pivots.shape, "int32"), x, batch, n, n);
  const exchanged = to(notEqual(pivots, arange(n)), x.dtype);
  return { diagonal: diagonalsOf(packed), parity: prod(sub(1, mul(exchanged, 2)), -1) };
}

/** The determinant of each matrix: [..., n, n] gives [...]. Its gradient det(x) x^-T is NaN where x is singular. */
export function det(x: Tensor): Tensor {
  const { diagonal, parity } = factored("det", x);
  return record(mul(prod(diagonal, -1), parity), "det", { x }, { x }, (dy, { x }) => ({
    x: () => mul(transposed(inverse(x)), reshape(mul(dy, det(x)), [...dy.shape, 1, 1])),
  }));
}

/** What slogdet gives, each `[...]` of matrices `[..., n, n]`: det = sign exp(logAbsDet). */
export interface SignAndLogDet {
  /** -1, 0 or 1. No gradient. */
  sign: Tensor;
  /** log |det|; -Infinity of a singular matrix. */
  logAbsDet: Tensor;
}

/**
 * Sign and logarithm of the size of each determinant, where det() itself would overflow or vanish. A singular matrix has
 * sign 0 and logAbsDet -Infinity. The gradient of logAbsDet is x^-T; the sign has none.
 */
export function slogdet(x: Tensor): SignAndLogDet {
  const { diagonal, parity } = factored("slogdet", x);
  const logAbsDet = record(sum(log(abs(diagonal)), -1), "slogdet", { x }, { x }, (dy, { x }) => ({
    x: () => mul(transposed(inverse(x)), reshape(dy, [...dy.shape, 1, 1])),
  }));
  return { sign: mul(prod(sign(diagonal), -1), parity), logAbsDet };
}
