/**
 * Every op. Those whose first argument is a tensor are methods too (lib/methods.ts).
 */
export * from "./activation.js";
export * from "./arithmetic.js";
export * from "./arrange.js";
export * from "./attention.js";
export * from "./bilinear.js";
export * from "./cast.js";
export * from "./channelDropout.js";
export * from "./close.js";
export * from "./conv1d.js";
export * from "./conv2d.js";
export * from "./conv3d.js";
export * from "./convTranspose.js";
export * from "./counting.js";
export * from "./create.js";
export * from "./distance.js";
export * from "./einsum.js";
export * from "./elementwise.js";
export * from "./embedding.js";
export * from "./gather.js";
export * from "./gridSample.js";
export * from "./groupNorm.js";
export * from "./inplace.js";
export * from "./interpolate.js";
export * from "./join.js";
/** Linear algebra: factorisations, systems, spectra and functions of matrices. */
export * as linalg from "./linalg.js";
export {
  /** linalg.cholesky(): L of x = L L^T. */
  cholesky,
  /** linalg.det(): the determinant of each matrix. */
  det,
  /** linalg.inverse(): the inverse of each matrix. */
  inverse,
  /** linalg.lu(): p, l and u of x = p l u. */
  lu,
  /** linalg.matrixExp(): 1 + x + x^2 / 2! + ... of each matrix. */
  matrixExp,
  /** linalg.pinv(): the pseudoinverse of each matrix. */
  pinv,
  /** linalg.qr(): q and r of x = q r. */
  qr,
  /** linalg.slogdet(): sign and logarithm of the size of each determinant. */
  slogdet,
  /** linalg.svd(): u, s and vt of x = u diag(s) vt. */
  svd,
} from "./linalg.js";
export * from "./localResponseNorm.js";
export * from "./losses/index.js";
export * from "./masks.js";
export * from "./matmul.js";
export * from "./matrix.js";
export * from "./modulo.js";
export * from "./norm.js";
export * from "./pad.js";
export * from "./pixelShuffle.js";
export * from "./pool.js";
export * from "./pool1d.js";
export * from "./products.js";
export * from "./quantile.js";
export * from "./random.js";
export * from "./recurrent.js";
export * from "./reduce.js";
export * from "./rmsNorm.js";
export * from "./scan.js";
export * from "./segments.js";
export * from "./select.js";
export * from "./shape.js";
export * from "./softmax.js";
export * from "./sort.js";
export * from "./special.js";
export * from "./statistics.js";
export * from "./trigonometry.js";
export type { Unary } from "./unary.js";
export * from "./unfold.js";
