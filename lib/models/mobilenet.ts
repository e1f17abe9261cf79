/**
 * MobileNetV2 (Sandler et al., "MobileNetV2: inverted residuals and linear bottlenecks", 2018).
 *
 *     Conv 3x3 s2 (32) -> 17 inverted residuals -> Conv 1x1 (1280) -> mean over places -> dropout -> Linear
 *
 *     inverted residual: x -> 1x1 up to t times the channels -> 3x3 depthwise (stride s) -> 1x1 down -> (+ x where shapes allow)
 *     each convolution with BN, and ReLU6 but behind the last
 *
 * State-dict keys are torchvision's (features.1.conv.0.0.weight, classifier.1.weight).
 */
import { Dropout, ReLU6 } from "../nn/activation.js";
import { Sequential } from "../nn/container.js";
import { Conv2d } from "../nn/conv.js";
import * as init from "../nn/init.js";
import { Linear } from "../nn/linear.js";
import { type Layer, Module } from "../nn/module.js";
import { BatchNorm2d } from "../nn/norm.js";
import type { Tensor } from "../tensor.js";
import { expectPictures, IMAGENET, type ModelOptions, modelOptions } from "./options.js";

const convNormReLU6 = (from: number, to: number, side: number, stride = 1, groups = 1): Sequential =>
  new Sequential(
    new Conv2d(from, to, side, { stride, padding: (side - 1) / 2, groups, bias: false }),
    new BatchNorm2d(to),
    new ReLU6(),
  );

class InvertedResidual extends Module {
  readonly conv: Sequential;
  readonly #adds: boolean;

  constructor(from: number, to: number, stride: number, expand: number) {
    super();
    const hidden = from * expand;
    const layers: Layer[] = expand === 1 ? [] : [convNormReLU6(from, hidden, 1)];
    layers.push(
      convNormReLU6(hidden, hidden, 3, stride, hidden),
      new Conv2d(hidden, to, 1, { bias: false }),
      new BatchNorm2d(to),
    );
    this.conv = new Sequential(...layers);
    this.#adds = stride === 1 && from === to;
  }

  forward(x: Tensor): Tensor {
    const y = this.conv.forward(x);
    return this.#adds ? x.add(y) : y;
  }
}

/** [expansion t, channels c, blocks n, stride of the first s], the paper's table 2. */
const STAGES: readonly (readonly [number, number, number, number])[] = [
  [1, 16, 1, 1],
  [6, 24, 2, 2],
  [6, 32, 3, 2],
  [6, 64, 4, 2],
  [6, 96, 3, 1],
  [6, 160, 3, 2],
  [6, 320, 1, 1],
];

/** The nearest multiple of 8, not below 0.9 of n. */
function multipleOf8(n: number): number {
  const near = Math.max(8, Math.floor((n + 4) / 8) * 8);
  return near < 0.9 * n ? near + 8 : near;
}

/** Options of MobileNetV2. */
export interface MobileNetV2Options extends ModelOptions {
  /** Times the channels of every layer. Default 1. */
  widthMultiplier?: number;
  /** Probability of the dropout before the scores. Default 0.2. */
  dropout?: number;
}

/**
 * MobileNetV2 (Sandler et al. 2018): 3,504,872 parameters.
 *
 * @throws RangeError for a width multiplier that is not positive, and in training for one picture of at most 32x32
 * @example
 * const model = new models.MobileNetV2({ classes: 10, widthMultiplier: 0.25 });
 * const scores = model.forward(zeros([2, 3, 32, 32])); // [2, 10]
 */
export class MobileNetV2 extends Module {
  /** All convolutions: [n, c, h, w] to [n, 1280, h / 32, w / 32]. */
  readonly features: Sequential;
  /** Dropout and the scores. */
  readonly classifier: Sequential;
  readonly #inChannels: number;

  /** Random weights, from the default generator. */
  constructor({ widthMultiplier = 1, dropout = 0.2, ...rest }: MobileNetV2Options = {}) {
    super();
    const { classes, inChannels } = modelOptions("MobileNetV2", rest, 1, IMAGENET);
    if (!(widthMultiplier > 0 && Number.isFinite(widthMultiplier)))
      throw new RangeError(`MobileNetV2: expected widthMultiplier to be above 0, got ${widthMultiplier}`);
    this.#inChannels = inChannels;
    let from = multipleOf8(32 * widthMultiplier);
    const layers: Layer[] = [convNormReLU6(inChannels, from, 3, 2)];
    for (const [expand, channels, blocks, stride] of STAGES) {
      const to = multipleOf8(channels * widthMultiplier);
      for (let i = 0; i < blocks; i++) {
        layers.push(new InvertedResidual(from, to, i === 0 ? stride : 1, expand));
        from = to;
      }
    }
    const last = multipleOf8(1280 * Math.max(1, widthMultiplier));
    layers.push(convNormReLU6(from, last, 1));
    this.features = new Sequential(...layers);
    this.classifier = new Sequential(new Dropout(dropout), new Linear(last, classes));
    for (const m of this.modules()) {
      if (m instanceof Conv2d) init.kaimingNormal_(m.weight, { mode: "fanOut", nonlinearity: "relu" });
      if (m instanceof Linear) {
        init.normal_(m.weight, 0, 0.01);
        init.zeros_(m.bias!);
      }
    }
  }

  /** [n, c, h, w] to scores [n, classes] */
  forward(x: Tensor): Tensor {
    expectPictures(this, x, this.#inChannels, 1, (side) => Math.ceil(side / 32));
    return this.classifier.forward(this.features.forward(x).mean([2, 3]));
  }
}
