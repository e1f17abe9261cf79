/**
 * Factorisations: Cholesky, LU, QR. Gradients: Giles 2008; Walter & Lehmann 2010 and Roberts & Roberts 2020 for QR.
 */

import { expect } from "../errors.js";
import { record, recordAll } from "../graph.js";
import { k } from "../native.js";
import { empty, type Tensor } from "../tensor.js";
import { add, equal, sub } from "./arithmetic.js";
import { to } from "./cast.js";
import { arange, zeros } from "./create.js";
import {
  identityOf,
  lowerHalf,
  matrixSize,
  mirrored,
  squareSize,
  symmetric,
  transposed,
  tril,
  triu,
} from "./linalgCommon.js";
import { triangular } from "./linalgSolve.js";
import { matmul } from "./matmul.js";
import { cat, reshape, slice, unsqueeze } from "./shape.js";

/**
 * The lower triangular L with x = L L^T and a positive diagonal (with `upper`: U = L^T, x = U^T U). Only the lower triangle
 * of x is read. A matrix that is not positive definite gives NaN.
 *
 * @param x symmetric, [..., n, n]
 * @example
 * linalg.cholesky(tensor([[4, 2], [2, 5]])); // 2 0, 1 2
 */
export function cholesky(x: Tensor, { upper = false }: { upper?: boolean } = {}): Tensor {
  const size = squareSize("cholesky", x);
  const l = empty(x.shape, x.dtype);
  k.cholesky(l, x, ...size);
  const lower = record(l, "cholesky", { x }, { l }, (dl, { l }) => ({
    x: () => {
      // dx = L^-T P L^-1 of P = lowerHalf(L^T dL), symmetric
      const p = lowerHalf(matmul(l, dl, { transA: true }));
      const left = triangular(l, p, false, true); // L^-T P
      return symmetric(transposed(triangular(l, transposed(left), false, true)));
    },
  }));
  return upper ? transposed(lower) : lower;
}

/** What lu gives: x = p l u. */
export interface LU {
  /** A permutation of rows: `[..., m, m]`. No gradient. */
  p: Tensor;
  /** Lower triangular with ones on the diagonal: `[..., m, k]`, k = min(m, n). */
  l: Tensor;
  /** Upper triangular: `[..., k, n]`. */
  u: Tensor;
}

/**
 * x = p l u with rows exchanged for stability: p a permutation, l unit lower triangular, u upper triangular.
 *
 * @param x [..., m, n]
 * @returns p [..., m, m], l [..., m, k], u [..., k, n], k = min(m, n)
 */
export function lu(x: Tensor): LU {
  const [batch, m, n] = matrixSize("lu", x);
  const least = Math.min(m, n);
  const lead = x.shape.slice(0, -2);
  const packed = empty(x.shape, x.dtype);
  const pivots = empty([...lead, least], "int32");
  const order = empty([...lead, m], "int32");
  k.lu(packed, pivots, order, x, batch, m, n);
  // Row i of l u is row order[i] of x: column i of p has its 1 there.
  const p = to(equal(unsqueeze(order, -2), reshape(arange(m), [m, 1])), x.dtype);
  const narrowed = (from: Tensor, rows: number, columns: number) =>
    slice(from, ...lead.map(() => null), [0, rows], [0, columns]);
  const l = add(tril(narrowed(packed, m, least), -1), eyeOf(x, m, least));
  const u = triu(narrowed(packed, least, n));
  const [left, right] = recordAll([l, u], "lu", { x }, { p, l, u }, ([dl, du], { p, l, u }) => ({
    x: () => luGrad(dl ?? null, du ?? null, p, l, u),
  }));
  return { p, l: left!, u: right! };
}

const eyeOf = (x: Tensor, m: number, n: number): Tensor => slice(identityOf(x, Math.max(m, n)), [0, m], [0, n]);

/** dx of x = p l u: PyTorch's formulas for square, wide and tall matrices. */
function luGrad(dl: Tensor | null, du: Tensor | null, p: Tensor, l: Tensor, u: Tensor): Tensor {
  const [m, least, n] = [l.shape.at(-2)!, l.shape.at(-1)!, u.shape.at(-1)!];
  const none = l.shape.slice(0, -2).map(() => null);
  const gl = dl ?? zeros(l.shape, { dtype: l.dtype });
  const gu = du ?? zeros(u.shape, { dtype: u.dtype });
  const rows = (x: Tensor, from: number, until: number) => slice(x, ...none, [from, until]);
  const columns = (x: Tensor, from: number, until: number) => slice(x, ...none, null, [from, until]);
  const [l1, gl1] = [rows(l, 0, least), rows(gl, 0, least)];
  const [u1, gu1] = [columns(u, 0, least), columns(gu, 0, least)];
  // below: what the strictly lower triangle of the middle is made of; above: the upper triangle
  let below = matmul(l1, gl1, { transA: true });
  let above = matmul(gu1, u1, { transB: true });
  if (n > least) {
    const [u2, gu2] = [columns(u, least, n), columns(gu, least, n)];
    below = sub(below, matmul(gu2, u2, { transB: true }));
  }
  if (m > least) {
    const [l2, gl2] = [rows(l, least, m), rows(gl, least, m)];
    above = sub(above, matmul(l2, gl2, { transA: true }));
  }
  const middle = add(tril(below, -1), triu(above));
  const leftDivided = (x: Tensor) => triangular(l1, x, false, true, true); // L1^-T x
  const rightDivided = (x: Tensor) => transposed(triangular(u1, transposed(x), true, false)); // x U1^-T
  let dx = rightDivided(leftDivided(middle));
  if (n > least) dx = cat([dx, leftDivided(columns(gu, least, n))], -1);
  if (m > least) dx = cat([dx, rightDivided(rows(gl, least, m))], -2);
  return matmul(p, dx);
}

/** Options of qr. */
export interface QrOptions {
  /** "reduced": q [..., m, k], r [..., k, n], k = min(m, n); "complete": q [..., m, m], without a gradient. Default "reduced". */
  mode?: "reduced" | "complete";
}

/** What qr gives: x = q r. */
export interface QR {
  /** Orthonormal columns: `[..., m, k]`, k = min(m, n); `[..., m, m]` of mode "complete". */
  q: Tensor;
  /** Upper triangular, its diagonal not negative: `[..., k, n]`; `[..., m, n]` of mode "complete". */
  r: Tensor;
}

/**
 * x = q r: q's columns are orthonormal, r is upper triangular with a diagonal that is not negative (which makes the two
 * unique where x has full rank; PyTorch leaves the signs to LAPACK).
 *
 * @param x [..., m, n]
 * @example
 * const { q, r } = linalg.qr(randn([4, 3])); // [4, 3] and [3, 3]
 */
export function qr(x: Tensor, { mode = "reduced" }: QrOptions = {}): QR {
  const [batch, m, n] = matrixSize("qr", x);
  if (mode !== "reduced" && mode !== "complete")
    throw new TypeError(`qr: expected mode "reduced" or "complete", got ${JSON.stringify(mode satisfies never)}`);
  const columns = mode === "complete" ? m : Math.min(m, n);
  const lead = x.shape.slice(0, -2);
  const qs = empty([...lead, m, columns], x.dtype);
  const rs = empty([...lead, columns, n], x.dtype);
  k.qr(qs, rs, x, columns, batch, m, n);
  const differentiable = columns <= n;
  const [q, r] = recordAll([qs, rs], "qr", { x }, { q: qs, r: rs }, ([dq, dr], { q, r }) => ({
    x: () => {
      expect(differentiable, "qr", 'mode "reduced" for a gradient', '"complete" of more rows than columns');
      const gq = dq ?? zeros(q.shape, { dtype: q.dtype });
      const gr = dr ?? zeros(r.shape, { dtype: r.dtype });
      if (m >= n) return qrGrad(gq, gr, q, r);
      // Wide: x = [a b] = q [u v], so b = q v passes its gradient on to q
      const none = lead.map(() => null);
      const left = (y: Tensor) => slice(y, ...none, null, [0, m]);
      const right = (y: Tensor) => slice(y, ...none, null, [m, n]);
      const b = matmul(q, right(r));
      const da = qrGrad(add(gq, matmul(b, right(gr), { transB: true })), left(gr), q, left(r));
      return cat([da, matmul(q, right(gr))], -1);
    },
  }));
  return { q: q!, r: r! };
}

/** (dq + q copyltu(M)) r^-T of M = r dr^T - dq^T q, for square r. */
function qrGrad(gq: Tensor, gr: Tensor, q: Tensor, r: Tensor): Tensor {
  const middle = sub(matmul(r, gr, { transB: true }), matmul(gq, q, { transA: true }));
  const inner = add(gq, matmul(q, mirrored(middle)));
  return transposed(triangular(r, transposed(inner), true, false));
}
