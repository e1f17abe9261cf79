/**
 * Linear algebra: factorisations, systems, spectra and functions of matrices, as the namespace `linalg`. Matrices are the
 * last two dimensions, all others are batches; everything is computed in float64 inside, also for float32.
 *
 * A matrix that a factorisation does not exist for gives NaN (or infinities), which every result shows: cholesky of one
 * that is not positive definite, solve and inverse of a singular one, sqrtm of one without a principal square root.
 */

export * from "./linalgFactor.js";
export * from "./linalgFunction.js";
export * from "./linalgNorm.js";
export * from "./linalgSolve.js";
export * from "./linalgSpectrum.js";
export { matrixPower, multiDot } from "./products.js";
