/**
 * Losses of pairs and triplets: what belongs together shall lie together.
 */
import { expect, show } from "../../errors.js";
import type { Tensor } from "../../tensor.js";
import { add, div, equal, minimum, mul, notEqual, sub, where } from "../arithmetic.js";
import { to } from "../cast.js";
import { expectFloat, expectSameDType } from "../common.js";
import { arange } from "../create.js";
import { abs, powScalar, relu, sqrt, square } from "../elementwise.js";
import { matmul } from "../matmul.js";
import { amax, sum } from "../reduce.js";
import { cat } from "../shape.js";
import { crossEntropy } from "./classes.js";
import { expectFrom, type LossOptions, reduceLoss, targetOf } from "./common.js";

/** Options of cosineEmbedding, marginRanking and hingeEmbedding. */
export interface MarginOptions extends LossOptions {
  /** Default as the loss says. */
  margin?: number;
}

/**
 * 1 - cos(a, b) where the target is 1, max(0, cos(a, b) - margin) where it is -1.
 *
 * @param a vectors [n, d] or [d]
 * @param b as many, of the same length
 * @param target [n] or []: 1 or -1
 * @param options margin: default 0
 */
export function cosineEmbedding(
  a: Tensor,
  b: Tensor,
  target: Tensor,
  { reduction = "mean", margin = 0 }: MarginOptions = {},
): Tensor {
  const op = "cosineEmbedding";
  const other = targetOf(op, a, b, "a second operand");
  expect(a.ndim === 1 || a.ndim === 2, op, "vectors [n,d] or [d]", show(a.shape));
  const expected = a.shape.slice(0, -1);
  expect(show(target.shape) === show(expected), op, `a target of shape ${show(expected)}`, show(target.shape));
  const tiny = 1e-12; // under the root, as in PyTorch
  const norms = sqrt(mul(add(sum(square(a), -1), tiny), add(sum(square(other), -1), tiny)));
  const cosine = div(sum(mul(a, other), -1), norms);
  const apart = where(equal(target, -1), relu(sub(cosine, margin)), 0);
  return reduceLoss(op, where(equal(target, 1), sub(1, cosine), apart), reduction);
}

/**
 * max(0, margin - target (a - b)): target 1 asks for a above b, -1 for b above a.
 *
 * @param a scores
 * @param b scores, of a's shape
 * @param target 1 or -1, of that shape
 * @param options margin: default 0
 */
export function marginRanking(
  a: Tensor,
  b: Tensor,
  target: Tensor,
  { reduction = "mean", margin = 0 }: MarginOptions = {},
): Tensor {
  const other = targetOf("marginRanking", a, b, "a second operand");
  const t = targetOf("marginRanking", a, target);
  return reduceLoss("marginRanking", relu(sub(margin, mul(t, sub(a, other)))), reduction);
}

/**
 * x where the target is 1, max(0, margin - x) where it is -1; x is a distance.
 *
 * @param target 1 or -1, of x's shape
 * @param options margin: default 1
 */
export function hingeEmbedding(
  x: Tensor,
  target: Tensor,
  { reduction = "mean", margin = 1 }: MarginOptions = {},
): Tensor {
  const t = targetOf("hingeEmbedding", x, target);
  const losses = add(where(notEqual(t, -1), x, 0), where(notEqual(t, 1), relu(sub(margin, x)), 0));
  return reduceLoss("hingeEmbedding", losses, reduction);
}

/** Options of tripletMargin. */
export interface TripletOptions extends LossOptions {
  /** How much farther than the positive the negative must be. Default 1. */
  margin?: number;
  /** Norm of the distance, from 1 up; Infinity: the largest difference. Default 2. */
  p?: number;
  /** Added to each difference. Default 1e-6. */
  eps?: number;
  /** Takes the nearer of negative to anchor and negative to positive (Balntas et al. 2016). Default false. */
  swap?: boolean;
}

/** |a - b + eps|_p over the last dimension. */
function distance(a: Tensor, b: Tensor, p: number, eps: number): Tensor {
  const d = add(sub(a, b), eps);
  if (p === 2) return sqrt(sum(square(d), -1));
  if (p === 1) return sum(abs(d), -1);
  if (p === Number.POSITIVE_INFINITY) return amax(abs(d), -1);
  return powScalar(sum(powScalar(abs(d), p), -1), 1 / p);
}

/**
 * max(0, |anchor - positive| - |anchor - negative| + margin) (Schroff et al., "FaceNet", 2015).
 *
 * @param anchor, positive, negative vectors [n, d] or [d]
 */
export function tripletMargin(
  anchor: Tensor,
  positive: Tensor,
  negative: Tensor,
  { reduction = "mean", margin = 1, p = 2, eps = 1e-6, swap = false }: TripletOptions = {},
): Tensor {
  const op = "tripletMargin";
  const near = targetOf(op, anchor, positive, "a positive");
  const far = targetOf(op, anchor, negative, "a negative");
  expect(anchor.ndim >= 1, op, "vectors [n,d] or [d]", show(anchor.shape));
  expectFrom(op, "p", p, 1);
  const apart = distance(anchor, far, p, eps);
  const least = swap ? minimum(apart, distance(near, far, p, eps)) : apart;
  return reduceLoss(op, relu(add(sub(distance(anchor, near, p, eps), least), margin)), reduction);
}

/** Options of infoNCE. */
export interface InfoNCEOptions extends LossOptions {
  /** What the cosines are divided by, above 0. Default 0.1. */
  temperature?: number;
  /** `[m, d]`: negatives of all queries. Default: the positives of the other queries. */
  negatives?: Tensor | null;
}

const unit = (x: Tensor): Tensor => div(x, sqrt(add(sum(square(x), -1, { keepDims: true }), 1e-24)));

/**
 * Contrastive loss (van den Oord et al., "Representation learning with contrastive predictive coding", 2018): cross-entropy
 * of the cosines of a query with its positive (the right class) and with the negatives, divided by the temperature.
 *
 * @param query [n, d]
 * @param positive [n, d]: row i belongs to query i
 * @example
 * const query = randn([8, 16], { requiresGrad: true });
 * infoNCE(query, randn([8, 16]), { temperature: 0.07 }).backward();
 */
export function infoNCE(
  query: Tensor,
  positive: Tensor,
  { reduction = "mean", temperature = 0.1, negatives = null }: InfoNCEOptions = {},
): Tensor {
  const op = "infoNCE";
  const own = targetOf(op, query, positive, "a positive");
  expect(query.ndim === 2, op, "queries of shape [n,d]", show(query.shape));
  expect(temperature > 0, op, "a temperature above 0", `${temperature}`);
  const [n, d] = query.shape as [number, number];
  const q = unit(query);
  const scaled = (cosines: Tensor): Tensor => div(cosines, temperature);
  if (!negatives) {
    const labels = to(arange(n), "int32");
    return crossEntropy(scaled(matmul(q, unit(own), { transB: true })), labels, { reduction });
  }
  expectFloat(op, negatives);
  expectSameDType(op, query, negatives);
  expect(negatives.ndim === 2 && negatives.shape[1] === d, op, `negatives of shape [m,${d}]`, show(negatives.shape));
  const cosines = cat([sum(mul(q, unit(own)), 1, { keepDims: true }), matmul(q, unit(negatives), { transB: true })], 1);
  return crossEntropy(scaled(cosines), to(mul(arange(n), 0), "int32"), { reduction });
}
