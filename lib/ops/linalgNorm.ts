/**
 * Norms of vectors and matrices, and the condition number.
 */
import { expect, show } from "../errors.js";
import type { Tensor } from "../tensor.js";
import { div, mul } from "./arithmetic.js";
import { movedim } from "./arrange.js";
import { expectFloat, normalizeAxes, normalizeAxis } from "./common.js";
import { abs } from "./elementwise.js";
import { matrixSize } from "./linalgCommon.js";
import { inverse } from "./linalgSolve.js";
import { svd } from "./linalgSpectrum.js";
import { pNorm } from "./pNorm.js";
import { type Axes, amax, amin, sum } from "./reduce.js";
import { reshape } from "./shape.js";

/** Options of vectorNorm. */
export interface VectorNormOptions {
  /** Power of the norm: any number, or +-Infinity. Default 2. */
  p?: number;
  /** What to reduce. Default all: the norm of the flattened tensor. */
  axes?: Axes;
  /** Keep reduced dimensions with extent 1. Default false. */
  keepDims?: boolean;
}

/** (sum |x|^p)^(1/p) over `axes`; p = 0 counts what is not 0, +-Infinity take the largest and smallest size. */
export function vectorNorm(x: Tensor, { p = 2, axes = null, keepDims = false }: VectorNormOptions = {}): Tensor {
  expectFloat("vectorNorm", x);
  const over = normalizeAxes("vectorNorm", axes, x.ndim);
  const y = pNorm("vectorNorm", x, p, over);
  return keepDims
    ? y
    : reshape(
        y,
        x.shape.filter((_, d) => !over.includes(d)),
      );
}

/** Options of matrixNorm. */
export interface MatrixNormOptions {
  /**
   * "fro": of all elements; "nuc": the sum of singular values; 2 and -2: the largest and smallest singular value; 1 and -1:
   * the largest and smallest sum of a column's sizes; +-Infinity: of a row's. Default "fro".
   */
  p?: "fro" | "nuc" | 1 | -1 | 2 | -2 | number;
  /** The dimensions of the matrices. Default the last two. */
  axes?: readonly [number, number];
  /** Keep reduced dimensions with extent 1. Default false. */
  keepDims?: boolean;
}

/** A norm of each matrix. The gradients of "nuc", 2 and -2 are those of the singular values. */
export function matrixNorm(
  x: Tensor,
  { p = "fro", axes = [-2, -1], keepDims = false }: MatrixNormOptions = {},
): Tensor {
  matrixSize("matrixNorm", x);
  const [row, column] = axes.map((a) => normalizeAxis("matrixNorm", a, x.ndim)) as [number, number];
  expect(row !== column, "matrixNorm", "two axes that differ", show(axes));
  const moved = movedim(x, [row, column], [-2, -1]);
  const y = normOf(moved, p);
  return keepDims
    ? reshape(
        y,
        x.shape.map((e, d) => (d === row || d === column ? 1 : e)),
      )
    : y;
}

function normOf(x: Tensor, p: MatrixNormOptions["p"]): Tensor {
  const over = (axis: number, best: typeof amax) => best(sum(abs(x), axis), -1);
  switch (p) {
    case "fro":
      return vectorNorm(x, { axes: [-2, -1] });
    case "nuc":
      return sum(svd(x).s, -1);
    case 2:
      return amax(svd(x).s, -1);
    case -2:
      return amin(svd(x).s, -1);
    case 1:
      return over(-2, amax);
    case -1:
      return over(-2, amin);
    case Number.POSITIVE_INFINITY:
      return over(-1, amax);
    case Number.NEGATIVE_INFINITY:
      return over(-1, amin);
    default:
      throw new TypeError(
        `matrixNorm: expected p "fro", "nuc", 1, -1, 2, -2, Infinity or -Infinity, got ${JSON.stringify(p)}`,
      );
  }
}

/**
 * The condition number |x| |x^-1|: of p = 2 (default) the largest by the smallest singular value, of any matrix; of -2 the
 * reverse; of the other norms of matrixNorm for square matrices.
 *
 * @param x [..., m, n]
 */
export function cond(x: Tensor, { p = 2 }: { p?: MatrixNormOptions["p"] } = {}): Tensor {
  matrixSize("cond", x);
  if (p === 2 || p === -2) {
    const { s } = svd(x);
    return p === 2 ? div(amax(s, -1), amin(s, -1)) : div(amin(s, -1), amax(s, -1));
  }
  return mul(normOf(x, p), normOf(inverse(x), p));
}
