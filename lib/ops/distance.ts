/**
 * Distances and similarities of vectors.
 */

import { expect, show } from "../errors.js";
import { record } from "../graph.js";
import { k } from "../native.js";
import { empty, sizeOfShape, type Tensor } from "../tensor.js";
import { add, div, equal, mul, sub, where } from "./arithmetic.js";
import { broadcastShapes, expectFloat, expectSameDType, normalizeAxis } from "./common.js";
import { clamp, relu, sqrt } from "./elementwise.js";
import { matmul } from "./matmul.js";
import { pNorm, pNormGrad } from "./pNorm.js";
import { sum } from "./reduce.js";
import { expand, reshape, unsqueeze } from "./shape.js";

/** Options of cdist. */
export interface CdistOptions {
  /** The norm of the difference: any number from 0 up, or Infinity. Default 2. */
  p?: number;
  /**
   * Of p = 2: "exact" takes differences; "squared" expands |a - b|^2 = |a|^2 + |b|^2 - 2 a b, one matrix product, which
   * loses digits where points lie close together; "auto" (default) expands where a side has more than 25 points.
   */
  method?: "auto" | "squared" | "exact";
}

/**
 * The distance of every row of a from every row of b: [..., m, k] and [..., n, k] give [..., m, n]. Where two rows are
 * equal the gradient is 0.
 */
export function cdist(a: Tensor, b: Tensor, { p = 2, method = "auto" }: CdistOptions = {}): Tensor {
  expectFloat("cdist", a);
  expectSameDType("cdist", a, b);
  const fits = a.ndim >= 2 && b.ndim >= 2 && a.shape.at(-1) === b.shape.at(-1);
  expect(fits, "cdist", "points [...,m,k] and [...,n,k]", `${show(a.shape)} and ${show(b.shape)}`);
  expect(p >= 0, "cdist", "a p from 0 up", `${p}`);
  if (method !== "auto" && method !== "squared" && method !== "exact")
    throw new TypeError(
      `cdist: expected method "auto", "squared" or "exact", got ${JSON.stringify(method satisfies never)}`,
    );
  expect(method !== "squared" || p === 2, "cdist", 'p = 2 with method "squared"', `${p}`);
  const [m, n] = [a.shape.at(-2)!, b.shape.at(-2)!];
  if (p === 2 && (method === "squared" || (method === "auto" && (m > 25 || n > 25)))) {
    const squares = add(sum(mul(a, a), -1, { keepDims: true }), unsqueeze(sum(mul(b, b), -1), -2));
    return safeRoot(relu(add(squares, mul(matmul(a, b, { transB: true }), -2))));
  }
  const batch = broadcastShapes("cdist", a.shape.slice(0, -2), b.shape.slice(0, -2));
  const full = (x: Tensor) => expand(x, [...batch, ...x.shape.slice(-2)]);
  return differences(full(a), full(b), p);
}

/** cdist() by differences, of equal batches. */
function differences(a: Tensor, b: Tensor, p: number): Tensor {
  const lead = a.shape.slice(0, -2);
  const [m, n, inner] = [a.shape.at(-2)!, b.shape.at(-2)!, a.shape.at(-1)!];
  const y = empty([...lead, m, n], a.dtype);
  k.cdist(y, a, b, p, sizeOfShape(lead), m, n, inner);
  return record(y, "cdist", { a, b }, { a, b, y }, (dy, { a, b, y }) => {
    if (p === 2) {
      // With g = dy / y: da_i = sum_j g_ij (a_i - b_j), without the differences
      const none = equal(y, 0);
      const g = div(where(none, 0, dy), where(none, 1, y));
      return {
        a: () => sub(mul(a, sum(g, -1, { keepDims: true })), matmul(g, b)),
        b: () => sub(mul(b, unsqueeze(sum(g, -2), -1)), matmul(g, a, { transA: true })),
      };
    }
    // [..., m, n, k]: sign(d) (|d| / y)^(p - 1) dy
    const slope = (): Tensor => {
      const d = sub(unsqueeze(a, -2), unsqueeze(b, -3));
      return pNormGrad(unsqueeze(dy, -1), d, unsqueeze(y, -1), p, [d.ndim - 1]);
    };
    return { a: () => sum(slope(), -2), b: () => mul(sum(slope(), -3), -1) };
  });
}

/** sqrt with gradient 0 at 0. */
function safeRoot(x: Tensor): Tensor {
  const none = equal(x, 0);
  return where(none, 0, sqrt(where(none, 1, x)));
}

/** Options of pairwiseDistance. */
export interface PairwiseDistanceOptions {
  /** The norm. Default 2. */
  p?: number;
  /** Added to every difference. Default 1e-6. */
  eps?: number;
  /** Keep the last dimension with extent 1. Default false. */
  keepDims?: boolean;
}

/** The norm of a - b + eps along the last dimension; a and b broadcast. */
export function pairwiseDistance(
  a: Tensor,
  b: Tensor,
  { p = 2, eps = 1e-6, keepDims = false }: PairwiseDistanceOptions = {},
): Tensor {
  expectFloat("pairwiseDistance", a);
  const difference = add(sub(a, b), eps);
  expect(difference.ndim >= 1, "pairwiseDistance", "vectors", "scalars");
  const y = pNorm("pairwiseDistance", difference, p, [difference.ndim - 1]);
  return keepDims ? y : reshape(y, y.shape.slice(0, -1));
}

/** Options of cosineSimilarity. */
export interface CosineSimilarityOptions {
  /** The dimension of the vectors. Default 1. */
  axis?: number;
  /** Norms below it count as it. Default 1e-8. */
  eps?: number;
}

/** a b / (|a| |b|) along `axis`; a and b broadcast. */
export function cosineSimilarity(a: Tensor, b: Tensor, { axis = 1, eps = 1e-8 }: CosineSimilarityOptions = {}): Tensor {
  expectFloat("cosineSimilarity", a);
  const shape = broadcastShapes("cosineSimilarity", a.shape, b.shape);
  const d = normalizeAxis("cosineSimilarity", axis, shape.length) - shape.length; // counts from the end: ranks may differ
  const unit = (x: Tensor) => normalize(x, { axis: d, eps });
  return sum(mul(unit(a), unit(b)), d);
}

/** Options of normalize. */
export interface NormalizeOptions {
  /** The norm. Default 2. */
  p?: number;
  /** The dimension of the vectors. Default 1. */
  axis?: number;
  /** Norms below it count as it. Default 1e-12. */
  eps?: number;
}

/**
 * x / max(|x|_p, eps) along `axis`: vectors of length 1.
 *
 * @example
 * tensor([[3, 4]]).normalize(); // 0.6 0.8
 */
export function normalize(x: Tensor, { p = 2, axis = 1, eps = 1e-12 }: NormalizeOptions = {}): Tensor {
  expectFloat("normalize", x);
  const d = normalizeAxis("normalize", axis, x.ndim);
  return div(x, clamp(pNorm("normalize", x, p, x.ndim === 0 ? [] : [d]), eps));
}
