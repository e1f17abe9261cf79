/**
 * The three-layer ConvNet of CS231n's second assignment.
 *
 *     [n, c, h, w] -> Conv 7x7 (32, same size) -> ReLU -> MaxPool 2 -> Linear(100) -> ReLU -> Linear(classes)
 */
import { Conv2d } from "../nn/conv.js";
import * as init from "../nn/init.js";
import { Linear } from "../nn/linear.js";
import { Module } from "../nn/module.js";
import type { Tensor } from "../tensor.js";
import { CIFAR, expectPictures, type ModelOptions, modelOptions, wholeNumber } from "./options.js";

/** Options of ThreeLayerConvNet. */
export interface ThreeLayerConvNetOptions extends ModelOptions {
  /** Channels of the convolution. Default 32. */
  filters?: number;
  /** Side of its window, odd. Default 7. */
  filterSize?: number;
  /** Hidden units. Default 100. */
  hidden?: number;
  /** Standard deviation of the initial weights; biases start at 0. Default 1e-3. */
  weightScale?: number;
}

/**
 * conv - relu - 2x2 max pool - affine - relu - affine (CS231n, assignment 2).
 *
 * @throws RangeError for a window of even side
 * @example
 * const scores = new models.ThreeLayerConvNet().forward(zeros([2, 3, 32, 32])); // [2, 10]
 */
export class ThreeLayerConvNet extends Module {
  /** Keeps the size of the picture. */
  readonly conv: Conv2d;
  /** From the pooled maps to the hidden units. */
  readonly fc1: Linear;
  /** From the hidden units to scores. */
  readonly fc2: Linear;

  /** Random weights, from the default generator. */
  constructor({
    filters = 32,
    filterSize = 7,
    hidden = 100,
    weightScale = 1e-3,
    ...rest
  }: ThreeLayerConvNetOptions = {}) {
    super();
    const { classes, inChannels, imageSize } = modelOptions("ThreeLayerConvNet", rest, 2, CIFAR);
    wholeNumber("ThreeLayerConvNet", "filters", filters);
    wholeNumber("ThreeLayerConvNet", "hidden", hidden);
    if (wholeNumber("ThreeLayerConvNet", "filterSize", filterSize) % 2 === 0)
      throw new RangeError(`ThreeLayerConvNet: expected filterSize to be odd, got ${filterSize}`);
    const side = Math.floor(imageSize / 2);
    this.conv = new Conv2d(inChannels, filters, filterSize, { padding: (filterSize - 1) / 2 });
    this.fc1 = new Linear(filters * side * side, hidden);
    this.fc2 = new Linear(hidden, classes);
    for (const layer of [this.conv, this.fc1, this.fc2]) {
      init.normal_(layer.weight, 0, weightScale);
      init.zeros_(layer.bias!);
    }
  }

  /** [n, c, h, w] to scores [n, classes] */
  forward(x: Tensor): Tensor {
    expectPictures(this, x, this.conv.inChannels, 2);
    return this.fc2.forward(this.fc1.forward(this.conv.forward(x).relu().maxPool2d(2).flatten(1)).relu());
  }
}
