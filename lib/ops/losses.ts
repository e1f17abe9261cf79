/**
 * Losses. Each has a kernel that gives one loss an example; `reduction` then takes their mean (default), sum, or none.
 */
import { isGradEnabled, record } from "../autograd.js";
import { expect, show } from "../errors.js";
import { k } from "../native.js";
import { alias, empty, type Tensor } from "../tensor.js";
import { div, equal, mul, notEqual, sub, where } from "./arithmetic.js";
import { to } from "./cast.js";
import { checkIndices, expectFloat } from "./common.js";
import { arange } from "./create.js";
import { exp } from "./elementwise.js";
import { mean, sum } from "./reduce.js";
import { expand, permute, reshape, unsqueeze } from "./shape.js";

export type Reduction = "mean" | "sum" | "none";
export interface LossOptions {
  /** Mean over examples (default), sum, or one loss an example. */
  reduction?: Reduction;
}

export function reduceLoss(op: string, losses: Tensor, reduction: Reduction): Tensor {
  switch (reduction) {
    case "mean":
      return mean(losses);
    case "sum":
      return sum(losses);
    case "none":
      return losses;
    default:
      throw new TypeError(
        `${op}: expected reduction "mean", "sum" or "none", got ${JSON.stringify(reduction satisfies never)}`,
      );
  }
}

/** Scores as [rows, classes] and labels as [rows]: dimension 1 is the class, the others are examples. */
function rowsOf(op: string, x: Tensor, labels: Tensor): { rows: number; cols: number; flat: Tensor } {
  expectFloat(op, x);
  expect(x.ndim >= 2, op, "scores of shape [n,classes] or [n,classes,...]", show(x.shape));
  const expected = [x.shape[0]!, ...x.shape.slice(2)];
  expect(
    show(labels.shape) === show(expected),
    op,
    `labels of shape ${show(expected)} for scores ${show(x.shape)}`,
    show(labels.shape),
  );
  const cols = x.shape[1]!;
  const order = [0, ...x.shape.slice(2).map((_, d) => d + 2), 1];
  const flat = x.ndim === 2 ? x : reshape(permute(x, order), [-1, cols]);
  return { rows: labels.size, cols, flat };
}

export interface CrossEntropyOptions extends LossOptions {
  /** Examples with this label count for nothing, in the loss and in the mean. Default -100. */
  ignoreIndex?: number;
}

/**
 * log sum_j exp(x_j) - x_label, one pass each way. Labels are class numbers (int32, int64 or uint8).
 *
 * @param x scores [n, classes] or [n, classes, ...]
 * @param labels [n] or [n, ...]
 */
export function crossEntropy(
  x: Tensor,
  labels: Tensor,
  { reduction = "mean", ignoreIndex = -100 }: CrossEntropyOptions = {},
): Tensor {
  const { rows, cols, flat } = rowsOf("crossEntropy", x, labels);
  checkIndices("crossEntropy", "labels", labels, cols, ignoreIndex);
  const losses = empty([rows], x.dtype);
  const logSumExp = empty([rows], x.dtype);
  k.crossEntropy(losses, logSumExp, flat, labels, ignoreIndex, rows, cols);
  record(losses, "crossEntropy", { x: flat }, { x: flat, logSumExp, labels }, (dy, { x, logSumExp, labels }) => ({
    x: () => {
      if (isGradEnabled()) return composedGrad(dy, x, logSumExp, labels, ignoreIndex);
      const dx = empty(x.shape, x.dtype);
      k.crossEntropyGrad(dx, x, logSumExp, dy, labels, ignoreIndex, rows, cols);
      return dx;
    },
  }));
  logSumExp.free();
  if (reduction === "mean" && mayIgnore(labels, ignoreIndex))
    return div(sum(losses), sum(to(notEqual(labels, ignoreIndex), x.dtype)));
  return reduceLoss("crossEntropy", reduction === "none" ? reshape(losses, labels.shape) : losses, reduction);
}

const mayIgnore = (labels: Tensor, ignoreIndex: number): boolean => {
  const { range } = labels.storage;
  if (labels.dtype === "uint8" && ignoreIndex < 0) return false;
  return range === null || (range[0] <= ignoreIndex && ignoreIndex <= range[1]);
};

/** (softmax(x) - onehot) dy in ops, for second derivatives. */
function composedGrad(dy: Tensor, x: Tensor, logSumExp: Tensor, labels: Tensor, ignoreIndex: number): Tensor {
  const cols = x.shape[1]!;
  const rows = reshape(labels, [-1, 1]);
  const onehot = to(equal(rows, arange(cols)), x.dtype);
  const counted = to(notEqual(rows, ignoreIndex), x.dtype);
  const softmax = exp(sub(x, unsqueeze(lse(x, logSumExp), 1)));
  return mul(sub(softmax, onehot), mul(counted, reshape(dy, [-1, 1])));
}

/** The saved log sum exp as a function of x: its gradient is the softmax. */
function lse(x: Tensor, value: Tensor): Tensor {
  return record(alias(value), "logSumExp", { x }, { x, value }, (dy, { x, value }) => ({
    x: () => mul(exp(sub(x, unsqueeze(isGradEnabled() ? lse(x, value) : value, 1))), expand(unsqueeze(dy, 1), x.shape)),
  }));
}

export interface HingeOptions extends LossOptions {
  /** Margin. Default 1. */
  delta?: number;
}

/**
 * Multi-class SVM loss of CS231n: sum over j != label of max(0, x_j - x_label + delta).
 *
 * @param x scores [n, classes]
 * @param labels [n]
 */
export function hinge(x: Tensor, labels: Tensor, { reduction = "mean", delta = 1 }: HingeOptions = {}): Tensor {
  const { rows, cols, flat } = rowsOf("hinge", x, labels);
  checkIndices("hinge", "labels", labels, cols);
  const losses = empty([rows], x.dtype);
  const none = -100;
  k.hinge(losses, flat, labels, delta, none, rows, cols);
  record(losses, "hinge", { x: flat }, { x: flat, labels }, (dy, { x, labels }) => ({
    x: () => {
      if (isGradEnabled()) {
        const correct = to(equal(reshape(labels, [-1, 1]), arange(cols)), x.dtype);
        const margin = where(equal(correct, 1), 0, sub(x, sub(sum(mul(x, correct), 1, { keepDims: true }), delta)));
        const active = to(margin.greater(0), x.dtype);
        return mul(sub(active, mul(correct, sum(active, 1, { keepDims: true }))), reshape(dy, [-1, 1]));
      }
      const dx = empty(x.shape, x.dtype);
      k.hingeGrad(dx, x, dy, labels, delta, none, rows, cols);
      return dx;
    },
  }));
  return reduceLoss("hinge", reduction === "none" ? reshape(losses, labels.shape) : losses, reduction);
}

/** (x - target)^2 */
export function mse(x: Tensor, target: Tensor, { reduction = "mean" }: LossOptions = {}): Tensor {
  expectFloat("mse", x);
  expect(show(x.shape) === show(target.shape), "mse", `a target of shape ${show(x.shape)}`, show(target.shape));
  const difference = sub(x, target);
  return reduceLoss("mse", mul(difference, difference), reduction);
}

/**
 * Binary cross-entropy of logits, stable: max(x, 0) - x t + log(1 + exp(-|x|)).
 *
 * @param target probabilities, of x's shape
 */
export function bceWithLogits(x: Tensor, target: Tensor, { reduction = "mean" }: LossOptions = {}): Tensor {
  expectFloat("bceWithLogits", x);
  expect(
    show(x.shape) === show(target.shape),
    "bceWithLogits",
    `a target of shape ${show(x.shape)}`,
    show(target.shape),
  );
  const t = to(target, x.dtype);
  const losses = empty(x.shape, x.dtype);
  k.bceWithLogits(losses, x, t, x.size);
  record(losses, "bceWithLogits", { x, t }, { x, t }, (dy, { x, t }) => ({
    x: () => {
      if (isGradEnabled()) return mul(dy, sub(x.sigmoid(), t));
      const dx = empty(x.shape, x.dtype);
      k.bceWithLogitsGrad(dx, null, dy, x, t, x.size);
      return dx;
    },
    t: () => mul(dy, mul(x, -1)),
  }));
  return reduceLoss("bceWithLogits", losses, reduction);
}
