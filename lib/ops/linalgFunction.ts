/**
 * Functions of square matrices: exponential and square root. Their derivatives come from themselves: f of the block matrix
 * [[x, e], [0, x]] has f's derivative in direction e in its upper right block (Mathias 1996), and the gradient is the
 * derivative of the transpose.
 */
import { record } from "../graph.js";
import { k } from "../native.js";
import { empty, type Tensor } from "../tensor.js";
import { add, div, greaterEqual, mul, where } from "./arithmetic.js";
import { fullLike, zerosLike } from "./create.js";
import { abs, relu, sqrt } from "./elementwise.js";
import { matrixSize, squareSize, symmetric, transposed } from "./linalgCommon.js";
import { eigh } from "./linalgSpectrum.js";
import { matmul } from "./matmul.js";
import { amax } from "./reduce.js";
import { cat, slice, unsqueeze } from "./shape.js";

/** The derivative of f at x^T in direction dy. */
function adjoint(f: (x: Tensor) => Tensor, x: Tensor, dy: Tensor): Tensor {
  const n = x.shape.at(-1)!;
  const xt = transposed(x);
  const block = cat([cat([xt, dy], -1), cat([zerosLike(xt), xt], -1)], -2);
  return slice(f(block), ...x.shape.slice(0, -2).map(() => null), [0, n], [n, 2 * n]);
}

/**
 * The matrix exponential 1 + x + x^2 / 2! + ..., by scaling and squaring with a Pade approximant (Higham 2005).
 *
 * @param x [..., n, n]
 * @example
 * linalg.matrixExp(tensor([[0, -1], [1, 0]])); // a turn by one radian
 */
export function matrixExp(x: Tensor): Tensor {
  const size = squareSize("matrixExp", x);
  const y = empty(x.shape, x.dtype);
  k.matrixExp(y, x, ...size);
  return record(y, "matrixExp", { x }, { x }, (dy, { x }) => ({ x: () => adjoint(matrixExp, x, dy) }));
}

/** Options of sqrtm. */
export interface SqrtmOptions {
  /**
   * Take x as symmetric and positive semidefinite (its lower triangle is read) and use its eigenvalues: exact at 0, where
   * the general iteration fails. Eigenvalues below 0 by rounding count as 0, others give NaN. Default false.
   */
  symmetric?: boolean;
}

/**
 * The principal square root: y y = x, with eigenvalues in the right half-plane. By the Denman-Beavers iteration (Cheng et
 * al. 2001), which gives NaN where x has an eigenvalue on the closed negative axis, 0 included; or by eigenvalues.
 *
 * @param x [..., n, n]
 */
export function sqrtm(x: Tensor, { symmetric: byEigenvalues = false }: SqrtmOptions = {}): Tensor {
  const size = squareSize("sqrtm", x);
  if (byEigenvalues) return symmetricRoot(x);
  const y = empty(x.shape, x.dtype);
  k.sqrtm(y, x, ...size);
  return record(y, "sqrtm", { x }, { x }, (dy, { x }) => ({ x: () => adjoint(sqrtm, x, dy) }));
}

function symmetricRoot(x: Tensor): Tensor {
  const [, n] = matrixSize("sqrtm", x);
  const { w, v } = eigh(x.detach());
  const epsilon = x.dtype === "float32" ? 2 ** -23 : 2 ** -52;
  let y = zerosLike(x);
  if (n > 0) {
    const rounding = mul(amax(abs(w), -1, { keepDims: true }), -n * epsilon);
    const root = sqrt(where(greaterEqual(w, rounding), relu(w), fullLike(w, Number.NaN)));
    y = matmul(mul(v, unsqueeze(root, -2)), v, { transB: true });
  }
  return record(y, "sqrtm", { x }, { y }, (dy, { y }) => ({ x: () => symmetric(sylvester(y, dy)) }));
}

/** z with y z + z y = g for a symmetric y without two eigenvalues that cancel. */
function sylvester(y: Tensor, g: Tensor): Tensor {
  const { w, v } = eigh(y.detach());
  const middle = matmul(matmul(v, g.detach(), { transA: true }), v);
  const z = matmul(matmul(v, div(middle, add(unsqueeze(w, -1), unsqueeze(w, -2)))), v, { transB: true });
  return record(z, "sylvester", { y, g }, { y, z }, (dz, { y, z }) => {
    const dg = sylvester(y, dz);
    // dy = -(dg z^T + z^T dg)
    return {
      y: () => mul(add(matmul(dg, z, { transB: true }), matmul(z, dg, { transA: true })), -1),
      g: () => dg,
    };
  });
}
