/**
 * A small convolutional network in the manner of LeNet (LeCun et al. 1998) with what came since: batch normalisation and
 * dropout. 16 MFLOP a picture of 28x28; 91-92 % on Fashion-MNIST in five epochs.
 *
 *     [n, c, h, w] -> (Conv 3x3 -> BatchNorm -> ReLU -> MaxPool 2) x 2, 32 and 64 channels
 *                  -> flatten -> Linear(128) -> ReLU -> Dropout(0.25) -> Linear(classes)
 */
import { Dropout } from "../nn/activation.js";
import { Conv2d } from "../nn/conv.js";
import { Linear } from "../nn/linear.js";
import { Module } from "../nn/module.js";
import { BatchNorm2d } from "../nn/norm.js";
import type { Tensor } from "../tensor.js";
import { type ModelOptions, modelOptions } from "./options.js";

/**
 * Two blocks of convolution, batch normalisation, ReLU and pooling, then two linear layers (after LeCun et al. 1998).
 *
 * @throws RangeError for pictures smaller than 4x4
 * @example
 * const model = new models.ConvNet({ inChannels: 3, imageSize: 32, classes: 10 });
 * const scores = model.forward(zeros([2, 3, 32, 32])); // [2, 10]
 */
export class ConvNet extends Module {
  /** 3x3, 32 channels, without a bias. */
  readonly conv1: Conv2d;
  /** Over the 32 channels. */
  readonly bn1: BatchNorm2d;
  /** 3x3, 64 channels, without a bias. */
  readonly conv2: Conv2d;
  /** Over the 64 channels. */
  readonly bn2: BatchNorm2d;
  /** From 64 channels of a quarter of the side to 128 units. */
  readonly fc1: Linear;
  /** Between the two linear layers. */
  readonly dropout = new Dropout(0.25);
  /** From 128 units to scores. */
  readonly fc2: Linear;

  /** Random weights, from the default generator. */
  constructor(options: ModelOptions = {}) {
    super();
    const { classes, inChannels, imageSize } = modelOptions("ConvNet", options, 4);
    const side = Math.floor(imageSize / 4);
    // A bias before a batch normalisation would be subtracted again.
    this.conv1 = new Conv2d(inChannels, 32, 3, { padding: 1, bias: false });
    this.bn1 = new BatchNorm2d(32);
    this.conv2 = new Conv2d(32, 64, 3, { padding: 1, bias: false });
    this.bn2 = new BatchNorm2d(64);
    this.fc1 = new Linear(64 * side * side, 128);
    this.fc2 = new Linear(128, classes);
  }

  /** [n, c, h, w] to scores [n, classes] */
  forward(x: Tensor): Tensor {
    const a = this.bn1.forward(this.conv1.forward(x)).relu().maxPool2d(2);
    const b = this.bn2.forward(this.conv2.forward(a)).relu().maxPool2d(2);
    return this.fc2.forward(this.dropout.forward(this.fc1.forward(b.flatten(1)).relu()));
  }
}
