/**
 * LeNet-5 (LeCun, Bottou, Bengio & Haffner, "Gradient-based learning applied to document recognition", 1998), as it is
 * written today: every map of the second convolution sees every map of the first, the pooling has no weights, and the last
 * layer is linear. 61,706 parameters.
 *
 *     [n, 1, 28, 28] -> Conv 5x5 (6, padding 2) -> tanh -> AvgPool 2 -> Conv 5x5 (16) -> tanh -> AvgPool 2
 *                    -> flatten (400) -> Linear(120) -> tanh -> Linear(84) -> tanh -> Linear(classes)
 */
import { Conv2d } from "../nn/conv.js";
import { Linear } from "../nn/linear.js";
import { Module } from "../nn/module.js";
import type { Tensor } from "../tensor.js";
import { expectPictures, type ModelOptions, modelOptions } from "./options.js";

/**
 * LeNet-5 (LeCun et al. 1998), for pictures of 28x28 or `imageSize`.
 *
 * @throws RangeError for pictures smaller than 12x12
 * @example
 * const scores = new models.LeNet5().forward(zeros([2, 1, 28, 28])); // [2, 10]
 */
export class LeNet5 extends Module {
  /** 5x5, 6 channels. */
  readonly conv1: Conv2d;
  /** 5x5, 16 channels. */
  readonly conv2 = new Conv2d(6, 16, 5);
  /** From the flattened maps to 120 units. */
  readonly fc1: Linear;
  /** To 84 units. */
  readonly fc2 = new Linear(120, 84);
  /** To the scores. */
  readonly fc3: Linear;
  readonly #inChannels: number;

  /** Random weights, from the default generator. */
  constructor(options: ModelOptions = {}) {
    super();
    const { classes, inChannels, imageSize } = modelOptions("LeNet5", options, 12);
    this.#inChannels = inChannels;
    this.conv1 = new Conv2d(inChannels, 6, 5, { padding: 2 });
    const side = Math.floor((Math.floor(imageSize / 2) - 4) / 2);
    this.fc1 = new Linear(16 * side * side, 120);
    this.fc3 = new Linear(84, classes);
  }

  /** [n, c, h, w] to scores [n, classes] */
  forward(x: Tensor): Tensor {
    expectPictures(this, x, this.#inChannels, 12);
    const a = this.conv1.forward(x).tanh().avgPool2d(2);
    const b = this.conv2.forward(a).tanh().avgPool2d(2);
    return this.fc3.forward(this.fc2.forward(this.fc1.forward(b.flatten(1)).tanh()).tanh());
  }
}
