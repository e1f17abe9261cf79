/**
 * Products of vectors and matrices under PyTorch's names, all on matmul's kernel.
 */
import { expect, ShapeError, show } from "../errors.js";
import { sizeOfShape, type Tensor } from "../tensor.js";
import { add, mul } from "./arithmetic.js";
import { roll } from "./arrange.js";
import { broadcastShapes, expectFloat, normalizeAxis } from "./common.js";
import { eye } from "./create.js";
import { type AddProductOptions, addProduct, matmul } from "./matmul.js";
import { expand, permute, reshape } from "./shape.js";

function expectRanks(op: string, a: Tensor, rankA: number, b: Tensor, rankB: number): void {
  const name = ["a scalar", "a vector", "a matrix", "a batch of matrices"];
  expect(
    a.ndim === rankA && b.ndim === rankB,
    op,
    `${name[rankA]} and ${name[rankB]}`,
    `${show(a.shape)} and ${show(b.shape)}`,
  );
}

/** a b of two matrices: [m, k] and [k, n] give [m, n]. */
export function mm(a: Tensor, b: Tensor): Tensor {
  expectRanks("mm", a, 2, b, 2);
  return matmul(a, b);
}

function expectBatches(op: string, a: Tensor, b: Tensor): void {
  expectRanks(op, a, 3, b, 3);
  expect(a.shape[0] === b.shape[0], op, "as many matrices on both sides", `${show(a.shape)} and ${show(b.shape)}`);
}

/** a b of each pair of matrices: [batch, m, k] and [batch, k, n] give [batch, m, n]; batches don't broadcast. */
export function bmm(a: Tensor, b: Tensor): Tensor {
  expectBatches("bmm", a, b);
  return matmul(a, b);
}

/** a b of a matrix and a vector: [m, k] and [k] give [m]. */
export function mv(a: Tensor, b: Tensor): Tensor {
  expectRanks("mv", a, 2, b, 1);
  return matmul(a, b);
}

/** sum_i a[i] b[i] of two vectors. */
export function dot(a: Tensor, b: Tensor): Tensor {
  expectRanks("dot", a, 1, b, 1);
  return matmul(a, b);
}

/** dot(): of real numbers the same. */
export const vdot = (a: Tensor, b: Tensor): Tensor => dot(a, b);

/** beta x + alpha a b of matrices; x broadcasts. */
export function addmm(x: Tensor, a: Tensor, b: Tensor, options: AddProductOptions = {}): Tensor {
  expectRanks("addmm", a, 2, b, 2);
  return addProduct("addmm", x, a, b, options);
}

/** beta x + alpha a b of batches of matrices; x broadcasts. */
export function baddbmm(x: Tensor, a: Tensor, b: Tensor, options: AddProductOptions = {}): Tensor {
  expectBatches("baddbmm", a, b);
  return addProduct("baddbmm", x, a, b, options);
}

/** beta x + alpha a b of a matrix and a vector; x broadcasts. */
export function addmv(x: Tensor, a: Tensor, b: Tensor, options: AddProductOptions = {}): Tensor {
  expectRanks("addmv", a, 2, b, 1);
  return addProduct("addmv", x, a, b, options);
}

/**
 * The sum of products over pairs of axes: the last `axes` of a with the first of b (a number), or axes[0] of a with
 * axes[1] of b. Other dimensions follow, a's before b's. Default 2.
 *
 * @example
 * tensordot(ones([3, 4, 5]), ones([4, 3, 2]), [[1, 0], [0, 1]]); // [5, 2]
 */
export function tensordot(
  a: Tensor,
  b: Tensor,
  axes: number | readonly [readonly number[], readonly number[]] = 2,
): Tensor {
  if (typeof axes === "number") {
    const fits = Number.isSafeInteger(axes) && axes >= 0 && axes <= a.ndim && axes <= b.ndim;
    expect(fits, "tensordot", `from 0 to ${Math.min(a.ndim, b.ndim)} axes`, `${axes}`);
  }
  const count = (n: number) => Array.from({ length: n }, (_, i) => i);
  const left = typeof axes === "number" ? count(axes).map((i) => a.ndim - axes + i) : axes[0];
  const right = typeof axes === "number" ? count(axes) : axes[1];
  expect(left.length === right.length, "tensordot", "as many axes of a as of b", `${left.length} and ${right.length}`);
  const over = left.map((d) => normalizeAxis("tensordot", d, a.ndim));
  const overB = right.map((d) => normalizeAxis("tensordot", d, b.ndim));
  for (const [i, d] of over.entries()) {
    const agree = a.shape[d] === b.shape[overB[i]!];
    expect(agree, "tensordot", `axes of one extent`, `${a.shape[d]} and ${b.shape[overB[i]!]} (pair ${i})`);
  }
  const distinct = new Set(over).size === over.length && new Set(overB).size === overB.length;
  expect(distinct, "tensordot", "each axis once", `${show(left)} and ${show(right)}`);
  const restA = count(a.ndim).filter((d) => !over.includes(d));
  const restB = count(b.ndim).filter((d) => !overB.includes(d));
  const inner = sizeOfShape(over.map((d) => a.shape[d]!));
  const shapeA = restA.map((d) => a.shape[d]!);
  const shapeB = restB.map((d) => b.shape[d]!);
  const y = matmul(
    reshape(permute(a, [...restA, ...over]), [sizeOfShape(shapeA), inner]),
    reshape(permute(b, [...overB, ...restB]), [inner, sizeOfShape(shapeB)]),
  );
  return reshape(y, [...shapeA, ...shapeB]);
}

/**
 * a b along an axis of extent 3: orthogonal to both, as long as the area between them.
 *
 * @param axis default the last
 */
export function cross(a: Tensor, b: Tensor, axis = -1): Tensor {
  const shape = broadcastShapes("cross", a.shape, b.shape);
  const [p, q] = [expand(a, shape), expand(b, shape)];
  const d = normalizeAxis("cross", axis, shape.length);
  expect(shape[d] === 3, "cross", `an extent of 3 in dimension ${d}`, show(shape));
  // (a x b)_i = a_(i+1) b_(i+2) - a_(i+2) b_(i+1)
  const next = (x: Tensor, n: number) => roll(x, -n, d);
  return add(mul(next(p, 1), next(q, 2)), mul(mul(next(p, 2), next(q, 1)), -1));
}

/**
 * The product of a list of matrices, in the order that costs least (dynamic programming over the extents). The first and
 * the last may be vectors: a row and a column.
 */
export function multiDot(matrices: readonly Tensor[]): Tensor {
  if (!Array.isArray(matrices) || matrices.length < 2)
    throw new ShapeError(`multiDot: expected at least two matrices, got ${matrices?.length ?? "none"}`);
  const last = matrices.length - 1;
  const list = matrices.map((x, i) => {
    const ok = x.ndim === 2 || (x.ndim === 1 && (i === 0 || i === last));
    expect(ok, "multiDot", "matrices (vectors only first and last)", `${show(x.shape)} at ${i}`);
    return x.ndim === 2 ? x : reshape(x, i === 0 ? [1, x.size] : [x.size, 1]);
  });
  const extents = [list[0]!.shape[0]!, ...list.map((x) => x.shape[1]!)];
  list.forEach((x, i) => {
    expect(x.shape[0] === extents[i], "multiDot", `${extents[i]} rows in matrix ${i}`, show(x.shape));
  });
  // cost[i][j]: multiplications for matrices i to j; cut[i][j]: where the best product of two parts them.
  const cost = list.map(() => list.map(() => 0));
  const cut = list.map(() => list.map(() => 0));
  for (let span = 1; span <= last; span++) {
    for (let i = 0; i + span <= last; i++) {
      const j = i + span;
      cost[i]![j] = Number.POSITIVE_INFINITY;
      for (let c = i; c < j; c++) {
        const total = cost[i]![c]! + cost[c + 1]![j]! + extents[i]! * extents[c + 1]! * extents[j + 1]!;
        if (total < cost[i]![j]!) [cost[i]![j], cut[i]![j]] = [total, c];
      }
    }
  }
  const product = (i: number, j: number): Tensor =>
    i === j ? list[i]! : matmul(product(i, cut[i]![j]!), product(cut[i]![j]! + 1, j));
  const y = product(0, last);
  const shape = [
    ...(matrices[0]!.ndim === 1 ? [] : [y.shape[0]!]),
    ...(matrices[last]!.ndim === 1 ? [] : [y.shape[1]!]),
  ];
  return reshape(y, shape);
}

/** x x ... x, `n` times, by repeated squaring; n = 0 gives the identity. Of [..., n, n] matrices; inverses: linalg.inverse. */
export function matrixPower(x: Tensor, n: number): Tensor {
  expectFloat("matrixPower", x);
  const square = x.ndim >= 2 && x.shape.at(-1) === x.shape.at(-2);
  expect(square, "matrixPower", "square matrices [...,n,n]", show(x.shape));
  const whole = Number.isSafeInteger(n) && n >= 0;
  expect(whole, "matrixPower", "an exponent that is an integer from 0 up (for less, of linalg.inverse(x))", `${n}`);
  if (n === 0) return reshape(expand(eye(x.shape.at(-1)!, undefined, { dtype: x.dtype }), x.shape), x.shape);
  let power = x;
  let y: Tensor | null = null;
  for (let left = n; ; power = matmul(power, power)) {
    if (left % 2 === 1) y = y ? matmul(y, power) : power;
    left = Math.floor(left / 2);
    if (left === 0) return reshape(y!, x.shape);
  }
}
