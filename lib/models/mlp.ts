/**
 * The network of two layers: pixels, hidden units, scores.
 *
 *     [n, c, h, w] -> flatten -> Linear(hidden) -> ReLU -> Linear(classes)
 */
import { Linear } from "../nn/linear.js";
import { Module } from "../nn/module.js";
import type { Tensor } from "../tensor.js";
import { type ModelOptions, modelOptions } from "./options.js";

/** Options of MLP. */
export interface MLPOptions extends ModelOptions {
  /** Hidden units. Default 256. */
  hidden?: number;
}

/**
 * The network of two layers on the flattened picture.
 *
 * @example
 * const model = new models.MLP({ inChannels: 1, imageSize: 28, classes: 10 });
 * const scores = model.forward(zeros([2, 1, 28, 28])); // [2, 10]
 */
export class MLP extends Module {
  /** From pixels to hidden units. */
  readonly fc1: Linear;
  /** From hidden units to scores. */
  readonly fc2: Linear;

  /** Random weights, from the default generator. */
  constructor({ hidden = 256, ...rest }: MLPOptions = {}) {
    super();
    const { classes, inChannels, imageSize } = modelOptions("MLP", rest);
    this.fc1 = new Linear(inChannels * imageSize * imageSize, hidden);
    this.fc2 = new Linear(hidden, classes);
  }

  /** [n, c, h, w] to scores [n, classes] */
  forward(x: Tensor): Tensor {
    return this.fc2.forward(this.fc1.forward(x.flatten(1)).relu());
  }
}
