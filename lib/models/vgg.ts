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

export const VGG_SMALL: VGGPlan = [32, "M", 64, 64, "M", 128, 128, "M"];

export interface VGGOptions extends ModelOptions {
  /** Default VGG_SMALL. */
  plan?: VGGPlan;
  /** Probability of the dropout before the scores. Default 0.1. */
  dropout?: number;
}

/**
 * @example
 * const model = new models.VGG({ inChannels: 3, imageSize: 32, classes: 10 });
 * const scores = model.forward(zeros([2, 3, 32, 32])); // [2, 10]
 */
export class VGG extends Module {
  readonly features: Sequential;
  readonly avgpool = new AdaptiveAvgPool2d(1);
  readonly classifier: Sequential;

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
