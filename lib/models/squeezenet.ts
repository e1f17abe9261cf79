/**
 * SqueezeNet 1.0 and 1.1 (Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters", 2016).
 *
 *     fire: x -> 1x1 squeeze -> ReLU -> [1x1 expand -> ReLU, 3x3 expand -> ReLU] side by side
 *     1.0: Conv 7x7 s2 (96) -> pool -> 3 fires -> pool -> 4 fires -> pool -> fire -> dropout -> Conv 1x1 (classes) -> mean
 *     1.1: Conv 3x3 s2 (64) -> pool -> 2 fires -> pool -> 2 fires -> pool -> 4 fires -> ..., 2.4 times less work
 *
 * State-dict keys are torchvision's (features.3.squeeze.weight, classifier.1.weight).
 */
import { Dropout, ReLU } from "../nn/activation.js";
import { Sequential } from "../nn/container.js";
import { Conv2d } from "../nn/conv.js";
import * as init from "../nn/init.js";
import { type Layer, Module } from "../nn/module.js";
import { AdaptiveAvgPool2d, MaxPool2d } from "../nn/pool.js";
import { cat } from "../ops/shape.js";
import type { Tensor } from "../tensor.js";
import { expectPictures, IMAGENET, type ModelOptions, modelOptions } from "./options.js";

class Fire extends Module {
  readonly squeeze: Conv2d;
  readonly expand1x1: Conv2d;
  readonly expand3x3: Conv2d;

  constructor(from: number, squeezed: number, expanded: number) {
    super();
    this.squeeze = new Conv2d(from, squeezed, 1);
    this.expand1x1 = new Conv2d(squeezed, expanded, 1);
    this.expand3x3 = new Conv2d(squeezed, expanded, 3, { padding: 1 });
  }

  forward(x: Tensor): Tensor {
    const s = this.squeeze.forward(x).relu();
    return cat([this.expand1x1.forward(s), this.expand3x3.forward(s)], 1).relu();
  }
}

/** Squeezed channels of the eight fires; each expands to four times as many on both sides. */
const SQUEEZED = [16, 16, 32, 32, 48, 48, 64, 64];
/** Fires behind each pooling. */
const PLANS = { "1.0": [3, 4, 1], "1.1": [2, 2, 4] } as const;

/** Options of SqueezeNet. */
export interface SqueezeNetOptions extends ModelOptions {
  /** Default "1.1". */
  version?: keyof typeof PLANS;
  /** Probability of the dropout before the scores. Default 0.5. */
  dropout?: number;
  /** Pixels of 0 around the maps before the last convolution; the original (Caffe) has 1. Default 0, as torchvision. */
  finalPadding?: number;
}

/**
 * SqueezeNet (Iandola et al. 2016): 1,248,424 parameters (1.0), 1,235,496 (1.1).
 *
 * @throws RangeError in forward for pictures smaller than 29x29 (1.0) or 25x25 (1.1)
 * @example
 * const scores = new models.SqueezeNet({ classes: 10 }).forward(zeros([2, 3, 32, 32])); // [2, 10]
 */
export class SqueezeNet extends Module {
  /** Convolution, poolings and fires. */
  readonly features: Sequential;
  /** Dropout, a 1x1 convolution to the classes, ReLU, the mean over places. */
  readonly classifier: Sequential;
  readonly #inChannels: number;
  readonly #smallest: number;

  /** Random weights, from the default generator. */
  constructor({ version = "1.1", dropout = 0.5, finalPadding = 0, ...rest }: SqueezeNetOptions = {}) {
    super();
    const { classes, inChannels } = modelOptions("SqueezeNet", rest, 1, IMAGENET);
    if (!Object.hasOwn(PLANS, version))
      throw new RangeError(`SqueezeNet: expected version to be "1.0" or "1.1", got ${JSON.stringify(version)}`);
    this.#inChannels = inChannels;
    this.#smallest = version === "1.0" ? 29 : 25; // below it a pooling window does not fit
    const [channels, side] = version === "1.0" ? [96, 7] : [64, 3];
    const layers: Layer[] = [new Conv2d(inChannels, channels, side, { stride: 2 }), new ReLU()];
    let from = channels;
    let at = 0;
    for (const fires of PLANS[version]) {
      layers.push(new MaxPool2d(3, { stride: 2, ceilMode: true }));
      for (let i = 0; i < fires; i++, at++) {
        const squeezed = SQUEEZED[at]!;
        layers.push(new Fire(from, squeezed, 4 * squeezed));
        from = 8 * squeezed;
      }
    }
    this.features = new Sequential(...layers);
    const last = new Conv2d(from, classes, 1, { padding: finalPadding });
    this.classifier = new Sequential(new Dropout(dropout), last, new ReLU(), new AdaptiveAvgPool2d(1));
    for (const m of this.modules()) {
      if (!(m instanceof Conv2d)) continue;
      if (m === last) init.normal_(m.weight, 0, 0.01);
      else init.kaimingUniform_(m.weight);
      init.zeros_(m.bias!);
    }
  }

  /** [n, c, h, w] to scores [n, classes] */
  forward(x: Tensor): Tensor {
    expectPictures(this, x, this.#inChannels, this.#smallest);
    return this.classifier.forward(this.features.forward(x)).flatten(1);
  }
}
