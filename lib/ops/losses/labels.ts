/**
 * Losses of independent yes-or-no targets: binary cross-entropy and its relatives, several labels an example, overlap.
 */

import { expect, show } from "../../errors.js";
import { isGradEnabled, noGrad, record } from "../../graph.js";
import { k } from "../../native.js";
import { empty, type Tensor } from "../../tensor.js";
import { add, div, maximum, mul, sub } from "../arithmetic.js";
import { to } from "../cast.js";
import { broadcastShapes, checkIndices, expectFloat } from "../common.js";
import { clamp, log, neg, powScalar, sigmoid, softplus } from "../elementwise.js";
import { mean, sum } from "../reduce.js";
import { reshape, unsqueeze } from "../shape.js";
import { classWeight, expectFrom, type LossOptions, reduceLoss, targetOf } from "./common.js";

/** Options of bce. */
export interface BceOptions extends LossOptions {
  /** What each element counts, broadcast to x. A constant. Default 1. */
  weight?: Tensor | null;
}

/** Options of bceWithLogits. */
export interface BceWithLogitsOptions extends BceOptions {
  /** What a positive target counts more than a negative one, broadcast to x: below 1 for precision, above for recall. */
  posWeight?: Tensor | null;
}

/** A constant that broadcasts to x, in x's dtype. */
function weightFor(op: string, what: string, weight: Tensor | null, x: Tensor): Tensor | null {
  if (!weight) return null;
  const fits = show(broadcastShapes(op, weight.shape, x.shape)) === show(x.shape);
  expect(fits, op, `${what} that broadcasts to ${show(x.shape)}`, show(weight.shape));
  return to(weight.detach(), x.dtype);
}

/**
 * Binary cross-entropy of logits, stable: max(x, 0) - x t + log(1 + exp(-|x|)); with posWeight w
 * (1 - t) x + (1 + (w - 1) t) log(1 + exp(-x)).
 *
 * @param target probabilities, of x's shape
 */
export function bceWithLogits(
  x: Tensor,
  target: Tensor,
  { reduction = "mean", weight = null, posWeight = null }: BceWithLogitsOptions = {},
): Tensor {
  const op = "bceWithLogits";
  const t = targetOf(op, x, target);
  const [w, positive] = [weightFor(op, "a weight", weight, x), weightFor(op, "a posWeight", posWeight, x)];
  const losses = positive
    ? add(mul(sub(1, t), x), mul(add(mul(sub(positive, 1), t), 1), softplus(neg(x))))
    : plainBceWithLogits(x, t);
  return reduceLoss(op, w ? mul(losses, w) : losses, reduction);
}

function plainBceWithLogits(x: Tensor, t: Tensor): Tensor {
  const losses = empty(x.shape, x.dtype);
  k.bceWithLogits(losses, x, t, x.size);
  return record(losses, "bceWithLogits", { x, t }, { x, t }, (dy, { x, t }) => ({
    x: () => {
      if (isGradEnabled()) return mul(dy, sub(sigmoid(x), t));
      const dx = empty(x.shape, x.dtype);
      k.bceWithLogitsGrad(dx, null, dy, x, t, x.size);
      return dx;
    },
    t: () => mul(dy, mul(x, -1)),
  }));
}

/** log x, at least -100: a certain and wrong answer costs 100, not infinity. */
const boundedLog = (x: Tensor): Tensor => clamp(log(x), -100);

/**
 * Binary cross-entropy of probabilities: -t log x - (1 - t) log(1 - x), logarithms at least -100 as in PyTorch. Prefer
 * bceWithLogits, which loses nothing where x is near 0 or 1.
 *
 * @param x probabilities from 0 to 1, of any shape; outside of that the loss is NaN
 * @param target probabilities, of x's shape
 */
export function bce(x: Tensor, target: Tensor, { reduction = "mean", weight = null }: BceOptions = {}): Tensor {
  const t = targetOf("bce", x, target);
  const w = weightFor("bce", "a weight", weight, x);
  const losses = bceOf(x, t);
  return reduceLoss("bce", w ? mul(losses, w) : losses, reduction);
}

function bceOf(x: Tensor, t: Tensor): Tensor {
  const y = noGrad(() => neg(add(mul(t, boundedLog(x)), mul(sub(1, t), boundedLog(sub(1, x))))));
  // dx = dy (x - t) / (x (1 - x)), whose denominator PyTorch keeps above 1e-12
  return record(y, "bce", { x, t }, { x, t }, (dy, { x, t }) => ({
    x: () => div(mul(dy, sub(x, t)), maximum(mul(x, sub(1, x)), 1e-12)),
    t: () => mul(dy, sub(boundedLog(sub(1, x)), boundedLog(x))),
  }));
}

/**
 * log(1 + exp(-t x)), the logistic loss of scores.
 *
 * @param target 1 or -1, of x's shape
 */
export function softMargin(x: Tensor, target: Tensor, { reduction = "mean" }: LossOptions = {}): Tensor {
  const t = targetOf("softMargin", x, target);
  return reduceLoss("softMargin", softplus(neg(mul(t, x))), reduction);
}

/** Options of multiLabelSoftMargin. */
export interface MultiLabelSoftMarginOptions extends LossOptions {
  /** `[classes]`: what each class counts. A constant. Default 1. */
  weight?: Tensor | null;
}

/**
 * Binary cross-entropy of logits, averaged over the classes of an example.
 *
 * @param x logits [..., classes]
 * @param target 1 where the example has the class, else 0; of x's shape
 */
export function multiLabelSoftMargin(
  x: Tensor,
  target: Tensor,
  { reduction = "mean", weight = null }: MultiLabelSoftMarginOptions = {},
): Tensor {
  const op = "multiLabelSoftMargin";
  const t = targetOf(op, x, target);
  expect(x.ndim >= 1, op, "logits of shape [...,classes]", show(x.shape));
  const w = classWeight(op, weight, x.shape.at(-1)!, x);
  const losses = plainBceWithLogits(x, t);
  return reduceLoss(op, mean(w ? mul(losses, w) : losses, -1), reduction);
}

/**
 * Multi-label margin: sum over labels y and classes j that are no label of max(0, 1 - (x_y - x_j)) / classes.
 *
 * @param x scores [n, classes] or [classes]
 * @param labels int32, int64 or uint8, of x's shape: the classes of an example, then -1, then anything
 * @throws RangeError for a label that is no class and not -1: at the call where it came from host data, else when the loss
 *   is read
 */
export function multiLabelMargin(x: Tensor, labels: Tensor, { reduction = "mean" }: LossOptions = {}): Tensor {
  const op = "multiLabelMargin";
  expectFloat(op, x);
  expect(x.ndim === 1 || x.ndim === 2, op, "scores of shape [n,classes] or [classes]", show(x.shape));
  expect(show(labels.shape) === show(x.shape), op, `labels of shape ${show(x.shape)}`, show(labels.shape));
  const cols = x.shape.at(-1)!;
  checkIndices(op, "labels", labels, cols, -1);
  const rows = x.ndim === 1 ? 1 : x.shape[0]!;
  const losses = empty(x.ndim === 1 ? [] : [rows], x.dtype);
  const slope = empty(x.shape, x.dtype);
  k.multiLabelMargin(losses, slope, x, labels, rows, cols);
  // Linear in x between its kinks: the slope is a constant, and dx = dy slope has the right derivatives.
  record(losses, op, { x }, { slope }, (dy, { slope }) => ({ x: () => mul(slope, unsqueeze(dy, -1)) }));
  slope.free();
  return reduceLoss(op, losses, reduction);
}

/** Options of sigmoidFocal. */
export interface SigmoidFocalOptions extends LossOptions {
  /** What a positive target counts, a negative one 1 - alpha; below 0: both count 1. Default 0.25. */
  alpha?: number;
  /** How fast elements that are classified well lose weight; 0 is cross-entropy. Default 2. */
  gamma?: number;
}

/**
 * Focal loss of logits (Lin et al., "Focal loss for dense object detection", 2017), as torchvision's sigmoid_focal_loss:
 * alpha_t (1 - p_t)^gamma (-log p_t) with p_t the probability of the target. The default reduction is "none", as there.
 *
 * @param target 0 or 1, of x's shape
 */
export function sigmoidFocal(
  x: Tensor,
  target: Tensor,
  { reduction = "none", alpha = 0.25, gamma = 2 }: SigmoidFocalOptions = {},
): Tensor {
  const op = "sigmoidFocal";
  expectFrom(op, "gamma", gamma);
  expect(alpha <= 1, op, "alpha up to 1", `${alpha}`);
  const t = targetOf(op, x, target);
  const p = sigmoid(x);
  // 1 - p_t = p + t - 2 p t
  const wrong = sub(add(p, t), mul(mul(p, t), 2));
  const losses = mul(plainBceWithLogits(x, t), powScalar(wrong, gamma));
  return reduceLoss(op, alpha >= 0 ? mul(losses, add(mul(t, 2 * alpha - 1), 1 - alpha)) : losses, reduction);
}

/** Options of dice. */
export interface DiceOptions extends LossOptions {
  /** Added above and below: what is empty in both scores 0 loss. Default 1. */
  smooth?: number;
}

/**
 * Soft Dice loss (Milletari et al., "V-Net", 2016): 1 - (2 sum x t + smooth) / (sum x + sum t + smooth), one a picture and
 * class.
 *
 * @param x probabilities [n, classes, ...], or [n, elements]: summed over all but the first two dimensions, or over the last
 * @param target 0, 1 or probabilities, of x's shape
 */
export function dice(x: Tensor, target: Tensor, { reduction = "mean", smooth = 1 }: DiceOptions = {}): Tensor {
  const t = targetOf("dice", x, target);
  expect(x.ndim >= 2, "dice", "probabilities of shape [n,classes,...] or [n,elements]", show(x.shape));
  expectFrom("dice", "smooth", smooth);
  const kept = x.ndim === 2 ? x.shape.slice(0, 1) : x.shape.slice(0, 2);
  const total = (y: Tensor): Tensor => sum(reshape(y, [...kept, -1]), -1);
  const overlap = div(add(mul(total(mul(x, t)), 2), smooth), add(add(total(x), total(t)), smooth));
  return reduceLoss("dice", sub(1, overlap), reduction);
}
