/**
 * What the linear algebra shares: checks of matrices, transposes and triangles.
 */
import { expect, show } from "../errors.js";
import { sizeOfShape, type Tensor } from "../tensor.js";
import { add, mul } from "./arithmetic.js";
import { expectFloat } from "./common.js";
import { eye } from "./create.js";
import { diagEmbed, diagonal, tril, triu } from "./matrix.js";
import { transpose } from "./shape.js";

/** [batch, m, n] of matrices [..., m, n]. */
export function matrixSize(op: string, x: Tensor): [batch: number, m: number, n: number] {
  expectFloat(op, x);
  expect(x.ndim >= 2, op, "matrices [...,m,n]", show(x.shape));
  return [sizeOfShape(x.shape.slice(0, -2)), x.shape.at(-2)!, x.shape.at(-1)!];
}

/** [batch, n, n] of square matrices [..., n, n]. */
export function squareSize(op: string, x: Tensor): [batch: number, n: number, n: number] {
  const size = matrixSize(op, x);
  expect(size[1] === size[2], op, "square matrices [...,n,n]", show(x.shape));
  return size;
}

/** Each matrix transposed. */
export const transposed = (x: Tensor): Tensor => transpose(x, -2, -1);
/** The n x n identity. */
export const identityOf = (x: Tensor, n = x.shape.at(-1)!): Tensor => eye(n, n, { dtype: x.dtype });
/** The lower triangle with half the diagonal: x = lowerHalf(x) + lowerHalf(x)^T of a symmetric x. */
export const lowerHalf = (x: Tensor): Tensor => mul(add(tril(x), tril(x, -1)), 0.5);
/** The lower triangle mirrored above the diagonal. */
export const mirrored = (x: Tensor): Tensor => add(tril(x), transposed(tril(x, -1)));
/** (x + x^T) / 2 */
export const symmetric = (x: Tensor): Tensor => mul(add(x, transposed(x)), 0.5);
/** Vectors [..., n] as diagonal matrices, and back. */
export const asDiagonal = (x: Tensor): Tensor => diagEmbed(x);
export const diagonalsOf = (x: Tensor): Tensor => diagonal(x, 0, -2, -1);
export { tril, triu };
