/**
 * VGG (Simonyan & Zisserman, "Very deep convolutional networks for large-scale image recognition", 2014) with batch
 * normalisation: 3x3 convolutions in stages, each stage twice the channels at half the side. The small one is for
 * pictures of 32x32 (58 MFLOP each) and ends in a mean over places instead of the paper's three large linear layers.
 *
 *     [n, c, h, w] -> stages of (Conv 3x3 -> BatchNorm -> ReLU) ending in MaxPool 2 -> mean over places
 *                  -> Dropout -> Linear(classes)
 *
 * State-dict keys are torchvision's: features.0.weight, ..., classifier.1.weight.
 */
import { Dropout, ReLU } from "../nn/activation.js";
import { Sequential } from "../nn/container.js";
import { Conv2d } from "../nn/conv.js";
import { Linear } from "../nn/linear.js";
import { type Layer, Module } from "../nn/module.js";
import { BatchNorm2d } from "../nn/norm.js";
import { AdaptiveAvgPool2d, MaxPool2d } from "../nn/pool.js";
import type { Tensor } from "../tensor.js";
import { type ModelOptions, modelOptions } from "./options.js";

/** Output channels of each convolution; "M" is a MaxPool 2. */
export type VGGPlan = readonly (number | "M")[];

/** Three stages for pictures of 32x32: five convolutions of 32 to 128 channels. */
export const VGG_SMALL: VGGPlan = [32, "M", 64, 64, "M", 128, 128, "M"];

/** Options of VGG. */
export interface VGGOptions extends ModelOptions {
  /** The stages. Default VGG_SMALL. */
  plan?: VGGPlan;
  /** Probability of the dropout before the scores. Default 0.1. */
  dropout?: number;
}

/**
 * VGG with batch normalisation (Simonyan & Zisserman 2014); state-dict keys are torchvision's.
 *
 * @throws RangeError for pictures that the stages would make smaller than one pixel
 * @example
 * const model = new models.VGG({ inChannels: 3, imageSize: 32, classes: 10 });
 * const scores = model.forward(zeros([2, 3, 32, 32])); // [2, 10]
 */
export class VGG extends Module {
  /** The convolutions: `[n, c, h, w]` to `[n, last of plan, h / 2^stages, w / 2^stages]`. */
  readonly features: Sequential;
  /** The mean over places. */
  readonly avgpool = new AdaptiveAvgPool2d(1);
  /** Dropout and the scores. */
  readonly classifier: Sequential;

  /** Random weights, from the default generator. */
  constructor({ plan = VGG_SMALL, dropout = 0.1, ...rest }: VGGOptions = {}) {
    super();
    const halvings = plan.filter((stage) => stage === "M").length;
    const { classes, inChannels } = modelOptions("VGG", rest, 2 ** halvings);
    const layers: Layer[] = [];
    let channels = inChannels;
    for (const stage of plan) {
      if (stage === "M") layers.push(new MaxPool2d(2));
      else {
        layers.push(new Conv2d(channels, stage, 3, { padding: 1, bias: false }), new BatchNorm2d(stage), new ReLU());
        channels = stage;
      }
    }
    this.features = new Sequential(...layers);
    this.classifier = new Sequential(new Dropout(dropout), new Linear(channels, classes));
  }

  /** [n, c, h, w] to scores [n, classes] */
  forward(x: Tensor): Tensor {
    return this.classifier.forward(this.avgpool.forward(this.features.forward(x)).flatten(1));
  }
}
