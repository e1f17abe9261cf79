/**
 * Initial values beyond those of a uniform or normal distribution with a variance: part of nn.init.
 */

import { expect, show } from "../errors.js";
import { noGrad } from "../graph.js";
import { scope } from "../memory.js";
import { add, greaterEqual, mul, sub } from "../ops/arithmetic.js";
import { to } from "../ops/cast.js";
import { eye, full, tensor } from "../ops/create.js";
import { clamp, erf } from "../ops/elementwise.js";
import { copy_ } from "../ops/inplace.js";
import { qr } from "../ops/linalg.js";
import { type GeneratorOption, rand, randn, randperm } from "../ops/random.js";
import { reshape, stack, transpose } from "../ops/shape.js";
import { erfinv } from "../ops/special.js";
import { sizeOfShape, type Tensor } from "../tensor.js";

/** Writes what `make` answers, of any dtype, into w. */
const overwrite = <X extends Tensor>(w: X, make: () => Tensor): X => {
  noGrad(() => scope(() => void copy_(w, to(make(), w.dtype))));
  return w;
};

/** The identity: ones on the diagonal of a matrix, 0 elsewhere. */
export function eye_<X extends Tensor>(w: X): X {
  expect(w.ndim === 2, "eye_", "a matrix", show(w.shape));
  return overwrite(w, () => eye(w.shape[0]!, w.shape[1]!));
}

/**
 * A convolution that passes its channels on: 1 in the middle of the window where input and output channel agree, 0
 * elsewhere.
 *
 * @param w [out, in / groups, ...window] with a window of one to three dimensions
 */
export function dirac_<X extends Tensor>(w: X, { groups = 1 }: { groups?: number } = {}): X {
  expect(w.ndim >= 3 && w.ndim <= 5, "dirac_", "a weight [out,in,...] with 3, 4 or 5 dimensions", show(w.shape));
  const [out, channels, ...window] = w.shape as [number, number, ...number[]];
  const divides = Number.isSafeInteger(groups) && groups >= 1 && out % groups === 0;
  expect(divides, "dirac_", `groups that divide the ${out} output channels`, `${groups}`);
  const values = new Float32Array(w.size);
  const size = sizeOfShape(window);
  const middle = window.reduce((at, extent) => at * extent + Math.floor(extent / 2), 0);
  const perGroup = out / groups;
  for (let o = 0; o < out; o++) {
    const channel = o % perGroup;
    if (channel < channels) values[(o * channels + channel) * size + middle] = 1;
  }
  return overwrite(w, () => tensor(values, w.shape));
}

/** Options of orthogonal_. */
export interface OrthogonalOptions extends GeneratorOption {
  /** Factor of the matrix. Default 1. */
  gain?: number;
}

/**
 * Rows that are orthonormal, or columns where there are more rows than columns, times `gain` (Saxe et al. 2013): drawn evenly
 * from all such matrices.
 *
 * @param w [rows, ...]: the dimensions behind the first count as one
 */
export function orthogonal_<X extends Tensor>(w: X, { gain = 1, generator }: OrthogonalOptions = {}): X {
  expect(w.ndim >= 2, "orthogonal_", "a weight with at least 2 dimensions", show(w.shape));
  if (w.size === 0) return w;
  const rows = w.shape[0]!;
  const cols = w.size / rows;
  const wide = rows < cols;
  return overwrite(w, () => {
    // The diagonal of r is not negative: then q is unique, and spread evenly.
    const { q } = qr(randn(wide ? [cols, rows] : [rows, cols], { dtype: "float64", generator }));
    return reshape(mul(wide ? transpose(q, 0, 1) : q, gain), w.shape);
  });
}

/** Options of sparse_. */
export interface SparseOptions extends GeneratorOption {
  /** Standard deviation of what is not 0. Default 0.01. */
  std?: number;
}

/**
 * Normally distributed numbers, of which in every column the share `sparsity`, rounded up, is 0 (Martens 2010).
 *
 * @param w [rows, cols]
 */
export function sparse_<X extends Tensor>(w: X, sparsity: number, { std = 0.01, generator }: SparseOptions = {}): X {
  expect(w.ndim === 2, "sparse_", "a matrix", show(w.shape));
  expect(sparsity >= 0 && sparsity <= 1, "sparse_", "a sparsity between 0 and 1", `${sparsity}`);
  const [rows, cols] = w.shape as [number, number];
  if (w.size === 0) return w;
  const zeros = Math.ceil(sparsity * rows);
  return overwrite(w, () => {
    const values = randn(w.shape, { dtype: w.dtype, generator });
    // A random order of the rows says which of them come first.
    const kept = Array.from({ length: cols }, () => greaterEqual(randperm(rows, { generator }), zeros));
    return mul(mul(values, std), to(stack(kept, 1), w.dtype));
  });
}

/** Options of truncNormal_. */
export interface TruncNormalOptions extends GeneratorOption {
  /** Default 0. */
  mean?: number;
  /** Default 1. */
  std?: number;
  /** The ends of what is drawn, as values and not in standard deviations. Default -2 and 2. */
  low?: number;
  /** The upper end, as a value. Default 2. */
  high?: number;
}

/** Normally distributed numbers between `low` and `high`, by the inverse of the distribution function. */
export function truncNormal_<X extends Tensor>(
  w: X,
  { mean = 0, std = 1, low = -2, high = 2, generator }: TruncNormalOptions = {},
): X {
  const good = Number.isFinite(mean) && std > 0 && low < high;
  expect(good, "truncNormal_", "a finite mean, a std above 0 and low < high", `${mean}, ${std}, ${low} and ${high}`);
  return overwrite(w, () => {
    const dtype = "float64";
    const end = (x: number) => erf(full([], (x - mean) / (std * Math.SQRT2), { dtype }));
    const [from, until] = [end(low), end(high)];
    const drawn = add(from, mul(sub(until, from), rand(w.shape, { dtype, generator })));
    return clamp(add(mul(erfinv(drawn), std * Math.SQRT2), mean), low, high);
  });
}
