/**
 * Eigenvalues of symmetric matrices and singular values, and what is made of them: pinv, rank, condition.
 */
import { record, recordAll } from "../graph.js";
import { k } from "../native.js";
import { empty, type Tensor } from "../tensor.js";
import { add, div, equal, greater, greaterEqual, less, mul, sub, where } from "./arithmetic.js";
import { to } from "./cast.js";
import { arange } from "./create.js";
import { abs } from "./elementwise.js";
import { asDiagonal, identityOf, matrixSize, squareSize, transposed } from "./linalgCommon.js";
import { qr } from "./linalgFactor.js";
import { matmul } from "./matmul.js";
import { amax, sum } from "./reduce.js";
import { cat, reshape, slice, unsqueeze } from "./shape.js";

/** What eigh gives: x = v diag(w) v^T. */
export interface Eigh {
  /** Eigenvalues, ascending: `[..., n]`. */
  w: Tensor;
  /** Eigenvectors, the columns: `[..., n, n]`. */
  v: Tensor;
}

/**
 * The eigenvalues w (ascending) and eigenvectors v (columns) of symmetric matrices: x = v diag(w) v^T. Only the lower
 * triangle of x is read. In each column of v the first component of at least half the largest size is positive. Where
 * x holds NaN or infinity so do the results.
 *
 * The gradient of v (PyTorch's formula) is infinite or NaN where eigenvalues repeat; that of w alone exists always.
 *
 * @param x [..., n, n]
 * @returns w [..., n], v [..., n, n]
 * @example
 * const { w, v } = linalg.eigh(tensor([[2, 1], [1, 2]])); // w: 1 3
 */
export function eigh(x: Tensor): Eigh {
  const size = squareSize("eigh", x);
  const ws = empty(x.shape.slice(0, -1), x.dtype);
  const vs = empty(x.shape, x.dtype);
  k.eigh(ws, vs, x, ...size);
  const [w, v] = recordAll([ws, vs], "eigh", { x }, { w: ws, v: vs }, ([dw, dv], { w, v }) => ({
    x: () => {
      // dx = v (diag(dw) + (v^T dv) / E) v^T, E_ij = w_j - w_i
      let middle = dw ? asDiagonal(dw) : null;
      if (dv) {
        const id = identityOf(v);
        const gaps = sub(unsqueeze(w, -2), unsqueeze(w, -1));
        const turn = where(greater(id, 0), 0, div(matmul(v, dv, { transA: true }), add(gaps, id)));
        middle = middle ? add(middle, turn) : turn;
      }
      return matmul(matmul(v, middle!), v, { transB: true });
    },
  }));
  return { w: w!, v: v! };
}

/** eigh()'s eigenvalues alone: [..., n, n] gives [..., n], ascending. */
export const eigvalsh = (x: Tensor): Tensor => eigh(x).w;

/** Options of svd. */
export interface SvdOptions {
  /** Complete u and vt to square orthogonal matrices (without a gradient). Default false, as PyTorch's torch.svd. */
  fullMatrices?: boolean;
}

/** What svd gives: x = u diag(s) vt, k = min(m, n). */
export interface SVD {
  /** Left singular vectors, the columns: `[..., m, k]` (`[..., m, m]` with fullMatrices). */
  u: Tensor;
  /** Singular values, descending: `[..., k]`. */
  s: Tensor;
  /** Right singular vectors, the rows: `[..., k, n]` (`[..., n, n]` with fullMatrices). */
  vt: Tensor;
}

/**
 * The singular value decomposition x = u diag(s) vt: s descending, columns of u and rows of vt orthonormal. In each column
 * of u the first component of at least half the largest size is positive. Repeated and zero singular values and matrices
 * without full rank are no trouble. Where x holds NaN or infinity so do the results.
 *
 * The gradient of u and vt (PyTorch's formula) is infinite or NaN where singular values repeat or, of a matrix that is
 * not square, vanish; that of s alone exists always.
 *
 * @param x [..., m, n]
 * @returns u [..., m, k], s [..., k], vt [..., k, n] for k = min(m, n)
 * @example
 * const { u, s, vt } = linalg.svd(randn([5, 3]));
 * const again = u.mul(s).matmul(vt);
 */
export function svd(x: Tensor, { fullMatrices = false }: SvdOptions = {}): SVD {
  const [, m, n] = matrixSize("svd", x);
  const { u, s, vt } = m >= n ? tallSvd(x) : turned(tallSvd(transposed(x)));
  if (!fullMatrices || m === n) return { u, s, vt };
  const rest = (y: Tensor) => cat([y, completion(y)], -1);
  return m > n ? { u: rest(u), s, vt } : { u, s, vt: transposed(rest(transposed(vt))) };
}

interface Svd {
  u: Tensor;
  s: Tensor;
  vt: Tensor;
}

/** x^T = u s vt gives x = vt^T s u^T; the signs follow the new u. */
function turned({ u, s, vt }: Svd): Svd {
  const left = transposed(vt);
  if (left.size === 0) return { u: left, s, vt: transposed(u) };
  const signs = unsqueeze(leadingSigns(left.detach()), -2); // [..., 1, k]
  return { u: mul(left, signs), s, vt: transposed(mul(u, signs)) };
}

/** 1 or -1 for each column: the sign of its first component of at least half the largest size. [..., k] */
function leadingSigns(u: Tensor): Tensor {
  const sizes = abs(u);
  const most = amax(sizes, -2, { keepDims: true });
  const large = to(greaterEqual(sizes, mul(most, 0.5)), u.dtype);
  const m = u.shape.at(-2)!;
  // The first large one has the largest weight m - i.
  const weights = mul(large, to(reshape(arange(m, 0, -1), [m, 1]), u.dtype));
  const first = equal(weights, amax(weights, -2, { keepDims: true }));
  return sub(1, mul(to(less(sum(where(first, u, 0), -2), 0), u.dtype), 2));
}

function tallSvd(x: Tensor): Svd {
  const [batch, m, n] = matrixSize("svd", x);
  const lead = x.shape.slice(0, -2);
  const us = empty(x.shape, x.dtype);
  const ss = empty([...lead, n], x.dtype);
  const vts = empty([...lead, n, n], x.dtype);
  k.svd(us, ss, vts, x, batch, m, n);
  const [u, s, vt] = recordAll(
    [us, ss, vts],
    "svd",
    { x },
    { u: us, s: ss, vt: vts },
    ([du, ds, dvt], { u, s, vt }) => ({
      x: () => {
        // Townsend 2016: with F_ij = 1 / (s_j^2 - s_i^2),
        // dx = u [(F skew(u^T du)) S + S (F skew(vt dvt^T)) + diag(ds)] vt + (I - u u^T) du S^-1 vt
        let middle = ds ? asDiagonal(ds) : null;
        const plus = (y: Tensor) => {
          middle = middle ? add(middle, y) : y;
        };
        const id = identityOf(vt);
        const row = unsqueeze(s, -2);
        const column = unsqueeze(s, -1);
        const gaps = add(mul(sub(row, column), add(row, column)), id);
        const turn = (y: Tensor) => where(greater(id, 0), 0, div(sub(y, transposed(y)), gaps));
        if (du) plus(mul(turn(matmul(u, du, { transA: true })), row));
        if (dvt) plus(mul(turn(matmul(vt, dvt, { transB: true })), column));
        let dx = matmul(matmul(u, middle!), vt);
        if (du && m > n) {
          const outside = sub(du, matmul(u, matmul(u, du, { transA: true })));
          dx = add(dx, matmul(div(outside, row), vt));
        }
        return dx;
      },
    }),
  );
  return { u: u!, s: s!, vt: vt! };
}

/** Columns orthogonal to those of q [..., m, k]: [..., m, m - k]. */
function completion(q: Tensor): Tensor {
  const full = qr(q.detach(), { mode: "complete" }).q;
  return slice(full, ...q.shape.slice(0, -2).map(() => null), null, [q.shape.at(-1)!, q.shape.at(-2)!]);
}

/** svd()'s singular values alone: [..., m, n] gives [..., min(m, n)], descending. */
export const svdvals = (x: Tensor): Tensor => svd(x).s;

/** Below what a singular value counts as 0: rtol times the largest. */
const threshold = (s: Tensor, rtol: number): Tensor => mul(amax(s, -1, { keepDims: true }), rtol);

const defaultRtol = (x: Tensor): number =>
  Math.max(x.shape.at(-1)!, x.shape.at(-2)!) * (x.dtype === "float32" ? 2 ** -23 : 2 ** -52);

/** Options of pinv and matrixRank. */
export interface RankOptions {
  /** Singular values up to rtol times the largest count as 0. Default max(m, n) times the dtype's epsilon. */
  rtol?: number;
}

/**
 * The pseudoinverse (Moore & Penrose): [..., m, n] gives [..., n, m]. The gradient (Golub & Pereyra 1973) holds where
 * the rank does not change.
 */
export function pinv(x: Tensor, { rtol }: RankOptions = {}): Tensor {
  const [, m, n] = matrixSize("pinv", x);
  const { u, s, vt } = svd(x.detach());
  let y: Tensor;
  if (m === 0 || n === 0) y = matmul(transposed(vt), transposed(u));
  else {
    const counts = greater(s, threshold(s, rtol ?? defaultRtol(x)));
    const inverted = where(counts, div(1, where(counts, s, 1)), 0);
    // s - s: a NaN, which no comparison holds of, stays visible
    y = matmul(mul(transposed(vt), unsqueeze(add(inverted, sub(s, s)), -2)), u, { transB: true });
  }
  return record(y, "pinv", { x }, { x, y }, (dy, { x, y }) => ({
    x: () => {
      // dx = -y^T dy y^T + (I - x y) dy^T y y^T + y^T y dy^T (I - y x)
      const [yt, gt] = [transposed(y), transposed(dy)];
      const first = matmul(matmul(yt, dy), yt);
      const a = matmul(gt, matmul(y, y, { transB: true }));
      const b = matmul(matmul(y, y, { transA: true }), gt);
      return add(sub(sub(a, matmul(x, matmul(y, a))), first), sub(b, matmul(matmul(b, y), x)));
    },
  }));
}

/** How many singular values are above rtol times the largest: int64, without a gradient. */
export function matrixRank(x: Tensor, { rtol }: RankOptions = {}): Tensor {
  const [, m, n] = matrixSize("matrixRank", x);
  const { s } = svd(x.detach());
  if (m === 0 || n === 0) return sum(to(s, "int64"), -1);
  return sum(greater(s, threshold(s, rtol ?? defaultRtol(x))), -1);
}
