/**
 * Losses as modules: the options of the ops, held.
 */
import {
  bceWithLogits,
  type CrossEntropyOptions,
  crossEntropy,
  type HingeOptions,
  hinge,
  type LossOptions,
  mse,
} from "../ops/losses.js";
import type { Tensor } from "../tensor.js";
import { Module } from "./module.js";

/** log sum exp(x) - x_label. */
export class CrossEntropyLoss extends Module {
  constructor(readonly options: CrossEntropyOptions = {}) {
    super();
  }
  /** x: [n, classes, ...], labels: [n, ...] */
  forward(x: Tensor, labels: Tensor): Tensor {
    return crossEntropy(x, labels, this.options);
  }
}

/** (x - target)^2 */
export class MSELoss extends Module {
  constructor(readonly options: LossOptions = {}) {
    super();
  }
  forward(x: Tensor, target: Tensor): Tensor {
    return mse(x, target, this.options);
  }
}

/** Binary cross-entropy of logits. */
export class BCEWithLogitsLoss extends Module {
  constructor(readonly options: LossOptions = {}) {
    super();
  }
  forward(x: Tensor, target: Tensor): Tensor {
    return bceWithLogits(x, target, this.options);
  }
}

/** Multi-class SVM loss: sum over j != label of max(0, x_j - x_label + delta). */
export class HingeLoss extends Module {
  constructor(readonly options: HingeOptions = {}) {
    super();
  }
  /** x: [n, classes], labels: [n] */
  forward(x: Tensor, labels: Tensor): Tensor {
    return hinge(x, labels, this.options);
  }
}
