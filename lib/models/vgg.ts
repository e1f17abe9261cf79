/**
 * VGG (Simonyan & Zisserman, "Very deep convolutional networks for large-scale image recognition", 2014): 3x3 convolutions
 * in stages, each stage twice the channels at half the side, with batch normalisation or, as in the paper, without.
 *
 *     [n, c, h, w] -> stages of (Conv 3x3 -> BatchNorm -> ReLU) ending in MaxPool 2 -> mean over places (7x7 in the paper's)
 *                  -> the paper's: Linear(4096) -> ReLU -> Dropout, twice -> Linear(classes)
 *                  -> for small pictures: Dropout -> Linear(classes)
 *
 * State-dict keys are torchvision's: features.0.weight, ..., classifier.6.weight.
 */
import { Dropout, ReLU } from "../nn/activation.js";
import { Sequential } from "../nn/container.js";
import { Conv2d } from "../nn/conv.js";
import * as init from "../nn/init.js";
import { Linear } from "../nn/linear.js";
import { type Layer, Module } from "../nn/module.js";
import { BatchNorm2d } from "../nn/norm.js";
import { AdaptiveAvgPool2d, MaxPool2d } from "../nn/pool.js";
import type { Tensor } from "../tensor.js";
import { expectPictures, IMAGENET, type ModelOptions, modelOptions } from "./options.js";

/** Output channels of each convolution; "M" is a MaxPool 2. */
export type VGGPlan = readonly (number | "M")[];

/** Three stages for pictures of 32x32: five convolutions of 32 to 128 channels, 58 MFLOP a picture. */
export const VGG_SMALL: VGGPlan = [32, "M", 64, 64, "M", 128, 128, "M"];
/** The paper's table 1, column A. */
export const VGG_11: VGGPlan = [64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"];
/** The paper's table 1, column D. */
export const VGG_16: VGGPlan = [
  ...[64, 64, "M", 128, 128, "M", 256, 256, 256, "M"],
  ...[512, 512, 512, "M", 512, 512, 512, "M"],
] as VGGPlan;

/** Options of VGG. */
export interface VGGOptions extends ModelOptions {
  /** The stages. Default VGG_SMALL. */
  plan?: VGGPlan;
  /** Batch normalisation behind each convolution, which then has no bias in the small one. Default true. */
  batchNorm?: boolean;
  /** "mean": the mean over places and one linear layer; "paper": 7x7 places and three. Default "mean". */
  head?: "mean" | "paper";
  /** Probability of the dropout before the scores. Default 0.1; 0.5 in the paper's head. */
  dropout?: number;
}

/**
 * VGG (Simonyan & Zisserman 2014); state-dict keys are torchvision's.
 *
 * @throws RangeError for pictures that the stages would make smaller than one pixel
 * @example
 * const model = new models.VGG({ inChannels: 3, imageSize: 32, classes: 10 });
 * const scores = model.forward(zeros([2, 3, 32, 32])); // [2, 10]
 */
export class VGG extends Module {
  /** The convolutions: `[n, c, h, w]` to `[n, last of plan, h / 2^stages, w / 2^stages]`. */
  readonly features: Sequential;
  /** The means over places. */
  readonly avgpool: AdaptiveAvgPool2d;
  /** The scores. */
  readonly classifier: Sequential;
  readonly #inChannels: number;
  readonly #smallest: number;

  /** Random weights, from the default generator. */
  constructor({ plan = VGG_SMALL, batchNorm = true, head = "mean", dropout, ...rest }: VGGOptions = {}) {
    super();
    if (head !== "mean" && head !== "paper")
      throw new RangeError(`VGG: expected head to be "mean" or "paper", got ${JSON.stringify(head)}`);
    const paper = head === "paper";
    const smallest = 2 ** plan.filter((stage) => stage === "M").length;
    const { classes, inChannels } = modelOptions("VGG", rest, smallest, paper ? IMAGENET : undefined);
    this.#inChannels = inChannels;
    this.#smallest = smallest;
    const layers: Layer[] = [];
    let channels = inChannels;
    for (const stage of plan) {
      if (stage === "M") layers.push(new MaxPool2d(2));
      else {
        // torchvision keeps the bias before a normalisation, and weights are to fit.
        layers.push(new Conv2d(channels, stage, 3, { padding: 1, bias: paper || !batchNorm }));
        if (batchNorm) layers.push(new BatchNorm2d(stage));
        layers.push(new ReLU());
        channels = stage;
      }
    }
    this.features = new Sequential(...layers);
    this.avgpool = new AdaptiveAvgPool2d(paper ? 7 : 1);
    if (!paper) {
      this.classifier = new Sequential(new Dropout(dropout ?? 0.1), new Linear(channels, classes));
      return;
    }
    this.classifier = new Sequential(
      new Linear(channels * 49, 4096),
      new ReLU(),
      new Dropout(dropout ?? 0.5),
      new Linear(4096, 4096),
      new ReLU(),
      new Dropout(dropout ?? 0.5),
      new Linear(4096, classes),
    );
    for (const m of this.modules()) {
      if (m instanceof Conv2d) init.kaimingNormal_(m.weight, { mode: "fanOut", nonlinearity: "relu" });
      else if (m instanceof Linear) init.normal_(m.weight, 0, 0.01);
      else continue;
      init.zeros_(m.bias!);
    }
  }

  /** [n, c, h, w] to scores [n, classes] */
  forward(x: Tensor): Tensor {
    expectPictures(this, x, this.#inChannels, this.#smallest);
    return this.classifier.forward(this.avgpool.forward(this.features.forward(x)).flatten(1));
  }
}
