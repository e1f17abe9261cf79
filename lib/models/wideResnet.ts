/**
 * Wide residual networks (Zagoruyko & Komodakis, "Wide residual networks", 2016): normalisation and ReLU before each
 * convolution, k times the channels of the networks for CIFAR.
 *
 *     Conv 3x3 (16) -> 3 stages of (depth - 4) / 6 blocks, 16 k, 32 k, 64 k channels -> BN -> ReLU -> mean over places -> Linear
 *
 *     block: x -> BN -> ReLU -> 3x3 -> BN -> ReLU -> dropout -> 3x3 -> (+ x)
 *
 * State-dict keys are those of the usual PyTorch port (block1.layer.0.conv1.weight, fc.weight).
 */
import { Dropout } from "../nn/activation.js";
import { Sequential } from "../nn/container.js";
import { Conv2d } from "../nn/conv.js";
import * as init from "../nn/init.js";
import { Linear } from "../nn/linear.js";
import { type Layer, Module } from "../nn/module.js";
import { BatchNorm2d } from "../nn/norm.js";
import type { Tensor } from "../tensor.js";
import { CIFAR, expectPictures, type ModelOptions, modelOptions, wholeNumber } from "./options.js";
import { initResidual } from "./resnet.js";

/** One pre-activation block; where channels change, the shortcut starts behind the first normalisation. */
class WideBlock extends Module {
  readonly bn1: BatchNorm2d;
  readonly conv1: Conv2d;
  readonly bn2: BatchNorm2d;
  readonly conv2: Conv2d;
  readonly convShortcut: Conv2d | null;
  readonly dropout: Dropout;

  constructor(from: number, to: number, stride: number, dropout: number) {
    super();
    this.bn1 = new BatchNorm2d(from);
    this.conv1 = new Conv2d(from, to, 3, { stride, padding: 1, bias: false });
    this.bn2 = new BatchNorm2d(to);
    this.conv2 = new Conv2d(to, to, 3, { padding: 1, bias: false });
    this.convShortcut = from === to ? null : new Conv2d(from, to, 1, { stride, bias: false });
    this.dropout = new Dropout(dropout);
  }

  forward(x: Tensor): Tensor {
    const a = this.bn1.forward(x, { activation: "relu" });
    const b = this.bn2.forward(this.conv1.forward(a), { activation: "relu" });
    const c = this.conv2.forward(this.dropout.forward(b));
    return c.add(this.convShortcut ? this.convShortcut.forward(a) : x);
  }
}

/** The blocks of one stage, under the key "layer". */
class Stage extends Module {
  readonly layer: Sequential;

  constructor(blocks: Layer[]) {
    super();
    this.layer = new Sequential(...blocks);
  }

  forward(x: Tensor): Tensor {
    return this.layer.forward(x);
  }
}

/** Options of WideResNet. */
export interface WideResNetOptions extends ModelOptions {
  /** 6 n + 4 layers. Default 28. */
  depth?: number;
  /** Times the channels 16, 32, 64. Default 10. */
  widen?: number;
  /** Probability of the dropout inside the blocks. Default 0. */
  dropout?: number;
}

/**
 * WRN-28-10 (Zagoruyko & Komodakis 2016), or of another depth and width. WRN-28-10 has 36,479,194 parameters.
 *
 * @throws RangeError for a depth that is not 6 n + 4
 * @example
 * const scores = new models.WideResNet({ depth: 10, widen: 1 }).forward(zeros([2, 3, 32, 32])); // [2, 10]
 */
export class WideResNet extends Module {
  /** 3x3, 16 channels. */
  readonly conv1: Conv2d;
  /** 16 `widen` channels. */
  readonly block1: Layer;
  /** Twice the channels at half the side. */
  readonly block2: Layer;
  /** Four times the channels at a quarter of the side. */
  readonly block3: Layer;
  /** Behind the last block. */
  readonly bn1: BatchNorm2d;
  /** From the means over places to scores. */
  readonly fc: Linear;

  /** Random weights, from the default generator. */
  constructor({ depth = 28, widen = 10, dropout = 0, ...rest }: WideResNetOptions = {}) {
    super();
    const { classes, inChannels } = modelOptions("WideResNet", rest, 1, CIFAR);
    const blocks = (depth - 4) / 6;
    if (!Number.isSafeInteger(blocks) || blocks < 1)
      throw new RangeError(`WideResNet: expected depth to be 6 n + 4 (10, 16, 22, 28, 40), got ${depth}`);
    wholeNumber("WideResNet", "widen", widen);
    this.conv1 = new Conv2d(inChannels, 16, 3, { padding: 1, bias: false });
    let from = 16;
    const stage = (to: number, stride: number) => {
      const made = Array.from({ length: blocks }, (_, i) => {
        const block = new WideBlock(from, to, i === 0 ? stride : 1, dropout);
        from = to;
        return block;
      });
      return new Stage(made);
    };
    this.block1 = stage(16 * widen, 1);
    this.block2 = stage(32 * widen, 2);
    this.block3 = stage(64 * widen, 2);
    this.bn1 = new BatchNorm2d(from);
    this.fc = new Linear(from, classes);
    initResidual(this);
    init.zeros_(this.fc.bias!);
  }

  /** [n, c, h, w] to scores [n, classes] */
  forward(x: Tensor): Tensor {
    expectPictures(this, x, this.conv1.inChannels, 1, (side) => Math.ceil(side / 4));
    const y = this.block3.forward(this.block2.forward(this.block1.forward(this.conv1.forward(x))));
    return this.fc.forward(this.bn1.forward(y, { activation: "relu" }).mean([2, 3]));
  }
}
