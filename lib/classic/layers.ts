/**
 * Layers as CS231n's assignments have them: a forward that gives [out, cache] and a backward that takes (dout, cache) and
 * gives one gradient an input. Names are CS231n's in camelCase. The forwards are ordinary ops, so that autograd can check
 * the backwards (test/classic), and the backwards are the formulas written out.
 */
import { expect, show } from "../errors.js";
import { add, greater, mul, sub } from "../ops/arithmetic.js";
import { to } from "../ops/cast.js";
import { expectFloat } from "../ops/common.js";
import { exp, relu } from "../ops/elementwise.js";
import { matmul } from "../ops/matmul.js";
import { bernoulli, type GeneratorOption } from "../ops/random.js";
import { sum } from "../ops/reduce.js";
import { reshape } from "../ops/shape.js";
import { logSoftmax } from "../ops/softmax.js";
import type { Tensor } from "../tensor.js";
import { expectScores, explicit, labelTable } from "./common.js";

/** What affineForward() keeps for affineBackward(). */
export type AffineCache = readonly [x: Tensor, w: Tensor];

/**
 * affine_forward: out = x w + b, with the rows of x flattened.
 *
 * @param x [n, ...] of d elements a row
 * @param w [d, m]
 * @param b [m]
 * @returns [out, cache] with out [n, m]
 */
export function affineForward(x: Tensor, w: Tensor, b: Tensor): [out: Tensor, cache: AffineCache] {
  expectFloat("affineForward", x);
  expect(w.ndim === 2, "affineForward", "a weight of shape [d,m]", show(w.shape));
  const [d, m] = w.shape as [number, number];
  const n = x.shape[0] ?? 1;
  expect(x.size === n * d, "affineForward", `x with ${d} elements a row for weight ${show(w.shape)}`, show(x.shape));
  expect(b.ndim === 1 && b.size === m, "affineForward", `a bias of shape [${m}]`, show(b.shape));
  return [add(matmul(reshape(x, [n, d]), w), b), [x, w]];
}

/** affine_backward: dx = dout w^T, dw = x^T dout, db = the rows of dout summed. */
export const affineBackward: (dout: Tensor, cache: AffineCache) => [dx: Tensor, dw: Tensor, db: Tensor] = explicit(
  (dout, [x, w]) => {
    const rows = reshape(x, [x.shape[0], w.shape[0]]);
    const dx = reshape(matmul(dout, w, { transB: true }), x.shape);
    return [dx, matmul(rows, dout, { transA: true }), sum(dout, 0)];
  },
);

/** What reluForward() keeps for reluBackward(): x. */
export type ReluCache = Tensor;

/** relu_forward: max(x, 0). The cache is x. */
export const reluForward = (x: Tensor): [out: Tensor, cache: ReluCache] => [relu(x), x];

/** relu_backward: dout where x was positive. */
export const reluBackward: (dout: Tensor, cache: ReluCache) => Tensor = explicit((dout, x) =>
  mul(dout, to(greater(x, 0), dout.dtype)),
);

/** What affineReluForward() keeps for affineReluBackward(). */
export type AffineReluCache = readonly [affine: AffineCache, relu: ReluCache];

/** affine_relu_forward: an affine layer, then relu. */
export function affineReluForward(x: Tensor, w: Tensor, b: Tensor): [out: Tensor, cache: AffineReluCache] {
  const [a, affine] = affineForward(x, w, b);
  const [out, positive] = reluForward(a);
  return [out, [affine, positive]];
}

/** affine_relu_backward. */
export const affineReluBackward = (
  dout: Tensor,
  [affine, positive]: AffineReluCache,
): [dx: Tensor, dw: Tensor, db: Tensor] => affineBackward(reluBackward(dout, positive), affine);

/** CS231n's dropout_param. */
export interface DropoutParam extends GeneratorOption {
  /** Probability to KEEP an element, in (0, 1]: CS231n's convention, the opposite of nn.Dropout's. */
  p: number;
  /** "train" drops, "test" gives x itself. */
  mode: "train" | "test";
}

/** What dropoutForward() keeps for dropoutBackward(): mask / p; null in test mode. */
export type DropoutCache = Tensor | null;

/** dropout_forward, inverted: each element is kept with probability p and divided by p. The cache is the mask / p. */
export function dropoutForward(x: Tensor, { p, mode, ...options }: DropoutParam): [out: Tensor, cache: DropoutCache] {
  expect(p > 0 && p <= 1, "dropoutForward", "a probability to keep, above 0 and at most 1", `${p}`);
  if (mode === "test") return [x, null];
  const mask = mul(to(bernoulli(x.shape, p, options), x.dtype), 1 / p);
  return [mul(x, mask), mask];
}

/** dropout_backward: dout through the same mask. */
export const dropoutBackward: (dout: Tensor, cache: DropoutCache) => Tensor = explicit((dout, mask) =>
  mask === null ? dout : mul(dout, mask),
);

/**
 * svm_loss: the multi-class hinge loss sum_{j != y} max(0, s_j - s_y + 1), mean over rows, and its gradient.
 *
 * @param x scores [n, classes]
 * @param y labels [n]
 * @returns [loss, dx], loss a tensor of one element
 */
export const svmLoss: (x: Tensor, y: Tensor) => [loss: Tensor, dx: Tensor] = explicit((x, y) => {
  expectScores("svmLoss", x, y);
  const [n, classes] = x.shape as [number, number];
  const right = labelTable("svmLoss", y, classes, x.dtype);
  const correct = sum(mul(x, right), 1, { keepDims: true });
  // The label's own margin is 1 by the formula; it does not count.
  const margins = relu(sub(add(sub(x, correct), 1), right));
  const over = to(greater(margins, 0), x.dtype);
  const dx = sub(over, mul(right, sum(over, 1, { keepDims: true })));
  return [mul(sum(margins), 1 / n), mul(dx, 1 / n)];
});

/**
 * softmax_loss: cross-entropy -log softmax(x)_y, mean over rows, and its gradient (softmax(x) - onehot(y)) / n.
 *
 * @param x scores [n, classes]
 * @param y labels [n]
 * @returns [loss, dx], loss a tensor of one element
 */
export const softmaxLoss: (x: Tensor, y: Tensor) => [loss: Tensor, dx: Tensor] = explicit((x, y) => {
  expectScores("softmaxLoss", x, y);
  const [n, classes] = x.shape as [number, number];
  const right = labelTable("softmaxLoss", y, classes, x.dtype);
  const logs = logSoftmax(x, 1);
  return [mul(sum(mul(logs, right)), -1 / n), mul(sub(exp(logs), right), 1 / n)];
});
