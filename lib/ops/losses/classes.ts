/**
 * Losses of class scores and class numbers: cross-entropy, negative log-likelihood, multi-class margins, focal.
 */

import { expect, show } from "../../errors.js";
import { isGradEnabled, record } from "../../graph.js";
import { k } from "../../native.js";
import { alias, empty, type Tensor } from "../../tensor.js";
import { add, div, equal, mul, notEqual, sub, where } from "../arithmetic.js";
import { to } from "../cast.js";
import { checkIndices, isFloat } from "../common.js";
import { arange } from "../create.js";
import { exp, neg, powScalar, relu } from "../elementwise.js";
import { mean, sum } from "../reduce.js";
import { expand, reshape, unsqueeze } from "../shape.js";
import { logSoftmax } from "../softmax.js";
import { classRows, classWeight, expectFrom, type LossOptions, reduceLoss, rowsOf } from "./common.js";

/** Options of nll. */
export interface NllOptions extends LossOptions {
  /** Examples with this label count for nothing, in the loss and in the mean. Default -100. */
  ignoreIndex?: number;
  /** `[classes]`: what an example of each class counts, in the loss and in the mean. A constant. Default 1. */
  weight?: Tensor | null;
}

/** Options of crossEntropy. */
export interface CrossEntropyOptions extends NllOptions {
  /** Share of the target that is spread over all classes (Szegedy et al. 2015), 0 to 1. Default 0. */
  labelSmoothing?: number;
}

/**
 * log sum_j exp(x_j) - x_label. Labels are class numbers (int32, int64 or uint8): one pass each way, unless there are
 * weights or smoothing. A float target of x's shape holds a probability a class: -sum_j target_j log softmax(x)_j.
 *
 * @param x scores [n, classes] or [n, classes, ...]
 * @param target [n] or [n, ...] class numbers; or probabilities of x's shape
 * @throws RangeError for a label that is no class: at the call where it came from host data, else when the loss is read
 * @example
 * const scores = randn([4, 3], { requiresGrad: true });
 * const loss = crossEntropy(scores, tensor([0, 2, 1, 1], { dtype: "int32" }), { labelSmoothing: 0.1 });
 * loss.backward();
 */
export function crossEntropy(x: Tensor, target: Tensor, options: CrossEntropyOptions = {}): Tensor {
  const { reduction = "mean", ignoreIndex = -100, weight = null, labelSmoothing = 0 } = options;
  const op = "crossEntropy";
  expect(labelSmoothing >= 0 && labelSmoothing <= 1, op, "labelSmoothing from 0 to 1", `${labelSmoothing}`);
  if (isFloat(target.dtype) && show(target.shape) === show(x.shape))
    return softCrossEntropy(x, target, reduction, weight, labelSmoothing);
  const { rows, cols, flat } = rowsOf(op, x, target);
  checkIndices(op, "labels", target, cols, ignoreIndex);
  if (weight || labelSmoothing > 0) {
    const w = classWeight(op, weight, cols, x);
    const logp = logSoftmax(flat, 1);
    const { losses, weights } = pick(logp, target, w, ignoreIndex);
    if (labelSmoothing === 0) return reducePicked(op, losses, weights, target.shape, reduction);
    const spread = where(notEqual(reshape(target, [-1]), ignoreIndex), neg(sum(w ? mul(logp, w) : logp, 1)), 0);
    const smoothed = add(mul(losses, 1 - labelSmoothing), mul(spread, labelSmoothing / cols));
    return reducePicked(op, smoothed, weights, target.shape, reduction);
  }
  const losses = empty([rows], x.dtype);
  const logSumExp = empty([rows], x.dtype);
  k.crossEntropy(losses, logSumExp, flat, target, ignoreIndex, rows, cols);
  recordCrossEntropy(losses, flat, logSumExp, target, ignoreIndex);
  logSumExp.free();
  if (reduction === "mean" && mayIgnore(target, ignoreIndex))
    return div(sum(losses), sum(to(notEqual(target, ignoreIndex), x.dtype)));
  return reduceLoss(op, reduction === "none" ? reshape(losses, target.shape) : losses, reduction);
}

function recordCrossEntropy(losses: Tensor, x: Tensor, logSumExp: Tensor, labels: Tensor, ignoreIndex: number): void {
  const [rows, cols] = x.shape as [number, number];
  record(losses, "crossEntropy", { x }, { x, logSumExp, labels }, (dy, { x, logSumExp, labels }) => ({
    x: () => {
      if (isGradEnabled()) return composedGrad(dy, x, logSumExp, labels, ignoreIndex);
      const dx = empty(x.shape, x.dtype);
      k.crossEntropyGrad(dx, x, logSumExp, dy, labels, ignoreIndex, rows, cols);
      return dx;
    },
  }));
}

/** -sum_j w_j t_j log softmax(x)_j; the mean is over examples, whatever the weights. */
function softCrossEntropy(
  x: Tensor,
  target: Tensor,
  reduction: LossOptions["reduction"] & string,
  weight: Tensor | null,
  labelSmoothing: number,
): Tensor {
  const op = "crossEntropy";
  const flat = classRows(op, x);
  const cols = x.shape[1]!;
  const given = classRows(op, to(target, x.dtype));
  const w = classWeight(op, weight, cols, x);
  const t = labelSmoothing > 0 ? add(mul(given, 1 - labelSmoothing), labelSmoothing / cols) : given;
  const losses = neg(sum(mul(w ? mul(t, w) : t, logSoftmax(flat, 1)), 1));
  return reduceLoss(op, reduction === "none" ? reshape(losses, [x.shape[0]!, ...x.shape.slice(2)]) : losses, reduction);
}

/** -w_label x_label of each row, and w_label (1 without w); both 0 where the label is ignored. */
function pick(x: Tensor, labels: Tensor, w: Tensor | null, ignoreIndex: number): { losses: Tensor; weights: Tensor } {
  const [rows, cols] = x.shape as [number, number];
  const losses = empty([rows], x.dtype);
  const weights = empty([rows], x.dtype);
  k.nll(losses, weights, x, w, labels, ignoreIndex, rows, cols);
  record(losses, "nll", { x }, { labels, w }, (dy, { labels, w }) => ({
    x: () => put(dy, labels, w, ignoreIndex, cols),
  }));
  return { losses, weights };
}

/** The gradient of pick(): -w_label dy in the place of the label, else 0. */
function put(dy: Tensor, labels: Tensor, w: Tensor | null, ignoreIndex: number, cols: number): Tensor {
  const dx = empty([dy.size, cols], dy.dtype);
  k.nllGrad(dx, dy, w, labels, ignoreIndex, dy.size, cols);
  return record(dx, "nllGrad", { dy }, { labels, w }, (ddx, { labels, w }) => ({
    dy: () => pick(ddx, labels, w, ignoreIndex).losses,
  }));
}

function reducePicked(
  op: string,
  losses: Tensor,
  weights: Tensor,
  shape: readonly number[],
  reduction: LossOptions["reduction"] & string,
): Tensor {
  if (reduction === "mean") return div(sum(losses), sum(weights));
  return reduceLoss(op, reduction === "none" ? reshape(losses, shape) : losses, reduction);
}

/**
 * Negative log-likelihood: -weight_label logp_label. The mean is over the weights of the labels.
 *
 * @param logp logarithms of probabilities [n, classes] or [n, classes, ...], as logSoftmax gives them
 * @param labels [n] or [n, ...] class numbers, int32, int64 or uint8
 * @throws RangeError for a label that is no class: at the call where it came from host data, else when the loss is read
 */
export function nll(
  logp: Tensor,
  labels: Tensor,
  { reduction = "mean", ignoreIndex = -100, weight = null }: NllOptions = {},
): Tensor {
  const { cols, flat } = rowsOf("nll", logp, labels);
  checkIndices("nll", "labels", labels, cols, ignoreIndex);
  const { losses, weights } = pick(flat, labels, classWeight("nll", weight, cols, logp), ignoreIndex);
  return reducePicked("nll", losses, weights, labels.shape, reduction);
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

/** Options of hinge. */
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

/** A label that checks never allow and data never holds: nothing is ignored. */
const NONE = Number.MIN_SAFE_INTEGER;

/** Options of multiMargin. */
export interface MultiMarginOptions extends LossOptions {
  /** Power of each broken margin, 1 or 2. Default 1. */
  p?: 1 | 2;
  /** How much the label's score must be above the others. Default 1. */
  margin?: number;
  /** `[classes]`: what an example of each class counts. A constant. Default 1. */
  weight?: Tensor | null;
}

/**
 * weight_label sum over j != label of max(0, margin - x_label + x_j)^p / classes (Crammer & Singer's kin; PyTorch's
 * multi_margin_loss). hinge() is the same without the division, as CS231n has it.
 *
 * @param x scores [n, classes]
 * @param labels [n] class numbers, int32, int64 or uint8
 */
export function multiMargin(
  x: Tensor,
  labels: Tensor,
  { reduction = "mean", p = 1, margin = 1, weight = null }: MultiMarginOptions = {},
): Tensor {
  const op = "multiMargin";
  const { cols, flat } = rowsOf(op, x, labels);
  expect(x.ndim === 2, op, "scores of shape [n,classes]", show(x.shape));
  expect(p === 1 || p === 2, op, "p 1 or 2", `${p}`);
  checkIndices(op, "labels", labels, cols);
  const { losses: minusOwn, weights } = pick(flat, labels, null, NONE);
  const over = relu(add(add(flat, unsqueeze(minusOwn, 1)), margin));
  const others = where(equal(reshape(labels, [-1, 1]), arange(cols)), 0, p === 2 ? mul(over, over) : over);
  const w = classWeight(op, weight, cols, x);
  return reduceLoss(op, mul(mean(others, 1), w ? pick(flat.detach(), labels, w, NONE).weights : weights), reduction);
}

/** Options of focal. */
export interface FocalOptions extends NllOptions {
  /** How fast examples that are classified well lose weight; 0 is cross-entropy. Default 2. */
  gamma?: number;
}

/**
 * Focal loss of class scores (Lin et al., "Focal loss for dense object detection", 2017): (1 - p)^gamma (-log p) with p the
 * softmax of the label's class. The mean is over the weights of the labels.
 *
 * @param x scores [n, classes] or [n, classes, ...]
 * @param labels [n] or [n, ...] class numbers, int32, int64 or uint8
 */
export function focal(
  x: Tensor,
  labels: Tensor,
  { reduction = "mean", gamma = 2, ignoreIndex = -100, weight = null }: FocalOptions = {},
): Tensor {
  expectFrom("focal", "gamma", gamma);
  const { cols, flat } = rowsOf("focal", x, labels);
  checkIndices("focal", "labels", labels, cols, ignoreIndex);
  const { losses } = pick(logSoftmax(flat, 1), labels, null, ignoreIndex);
  const { weights } = pick(flat.detach(), labels, classWeight("focal", weight, cols, x), ignoreIndex);
  const scaled = mul(mul(powScalar(sub(1, exp(neg(losses))), gamma), losses), weights);
  return reducePicked("focal", scaled, weights, labels.shape, reduction);
}
