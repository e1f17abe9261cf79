/**
 * Residual networks (He, Zhang, Ren & Sun, "Deep residual learning for image recognition", 2015), as torchvision has them,
 * and the small ones for CIFAR of the paper's section 4.2.
 *
 *     ImageNet: Conv 7x7 s2 -> BN -> ReLU -> MaxPool 3 s2 -> 4 stages of w, 2w, 4w, 8w channels -> mean over places -> Linear
 *     CIFAR:    Conv 3x3 -> BN -> ReLU -> 3 stages of 16, 32, 64 channels -> mean over places -> Linear
 *
 *     basic block:      x -> 3x3 -> BN -> ReLU -> 3x3 -> BN -> (+ x) -> ReLU
 *     bottleneck (4w):  x -> 1x1 -> BN -> ReLU -> 3x3 -> BN -> ReLU -> 1x1 -> BN -> (+ x) -> ReLU
 *
 * State-dict keys are torchvision's (layer1.0.conv1.weight, layer2.0.downsample.0.weight, fc.weight). The sum and the ReLU
 * at a block's end run in the pass of its last normalisation.
 */
import { Sequential } from "../nn/container.js";
import { Conv2d } from "../nn/conv.js";
import * as init from "../nn/init.js";
import { Linear } from "../nn/linear.js";
import { type Layer, Module } from "../nn/module.js";
import { BatchNorm2d } from "../nn/norm.js";
import { MaxPool2d } from "../nn/pool.js";
import { pad } from "../ops/pad.js";
import { slice } from "../ops/shape.js";
import type { Tensor } from "../tensor.js";
import { CIFAR, expectPictures, IMAGENET, type ModelOptions, modelOptions, wholeNumber } from "./options.js";

const conv3x3 = (from: number, to: number, stride = 1, groups = 1): Conv2d =>
  new Conv2d(from, to, 3, { stride, padding: 1, groups, bias: false });
const conv1x1 = (from: number, to: number, stride = 1): Conv2d => new Conv2d(from, to, 1, { stride, bias: false });

/** Draws for a ReLU behind each convolution, variance kept backward, as the paper and torchvision do. */
export function initResidual(model: Module): void {
  for (const m of model.modules())
    if (m instanceof Conv2d) init.kaimingNormal_(m.weight, { mode: "fanOut", nonlinearity: "relu" });
}

/** What a block is told: channels in and inside, stride of its first 3x3, groups and width of a bottleneck. */
interface BlockOptions {
  from: number;
  planes: number;
  stride: number;
  groups: number;
  widthPerGroup: number;
}

/** Two 3x3 convolutions. */
class BasicBlock extends Module {
  static readonly expansion = 1;
  readonly conv1: Conv2d;
  readonly bn1: BatchNorm2d;
  readonly conv2: Conv2d;
  readonly bn2: BatchNorm2d;
  readonly downsample: Layer | null = null;

  constructor({ from, planes, stride }: BlockOptions, downsample: Layer | null) {
    super();
    this.conv1 = conv3x3(from, planes, stride);
    this.bn1 = new BatchNorm2d(planes);
    this.conv2 = conv3x3(planes, planes);
    this.bn2 = new BatchNorm2d(planes);
    this.downsample = downsample;
  }

  forward(x: Tensor): Tensor {
    const residual = this.downsample ? this.downsample.forward(x) : x;
    const a = this.bn1.forward(this.conv1.forward(x), { activation: "relu" });
    return this.bn2.forward(this.conv2.forward(a), { residual, activation: "relu" });
  }
}

/** 1x1 down, 3x3, 1x1 up to four times the channels; the stride stands at the 3x3 (torchvision's "v1.5"). */
class Bottleneck extends Module {
  static readonly expansion = 4;
  readonly conv1: Conv2d;
  readonly bn1: BatchNorm2d;
  readonly conv2: Conv2d;
  readonly bn2: BatchNorm2d;
  readonly conv3: Conv2d;
  readonly bn3: BatchNorm2d;
  readonly downsample: Layer | null = null;

  constructor({ from, planes, stride, groups, widthPerGroup }: BlockOptions, downsample: Layer | null) {
    super();
    const width = Math.floor((planes * widthPerGroup) / 64) * groups;
    this.conv1 = conv1x1(from, width);
    this.bn1 = new BatchNorm2d(width);
    this.conv2 = conv3x3(width, width, stride, groups);
    this.bn2 = new BatchNorm2d(width);
    this.conv3 = conv1x1(width, planes * Bottleneck.expansion);
    this.bn3 = new BatchNorm2d(planes * Bottleneck.expansion);
    this.downsample = downsample;
  }

  forward(x: Tensor): Tensor {
    const residual = this.downsample ? this.downsample.forward(x) : x;
    const a = this.bn1.forward(this.conv1.forward(x), { activation: "relu" });
    const b = this.bn2.forward(this.conv2.forward(a), { activation: "relu" });
    return this.bn3.forward(this.conv3.forward(b), { residual, activation: "relu" });
  }
}

const BLOCKS = { basic: BasicBlock, bottleneck: Bottleneck };

/** Options of ResNet. */
export interface ResNetOptions extends ModelOptions {
  /** Two 3x3 ("basic", ResNet-18 and 34) or 1x1, 3x3, 1x1 ("bottleneck", from ResNet-50). Default "basic". */
  block?: keyof typeof BLOCKS;
  /** Blocks of each stage. Default [2, 2, 2, 2]: ResNet-18. */
  layers?: readonly number[];
  /** Channels of the first stage; each stage has twice those before. Default 64. */
  width?: number;
  /** Groups of a bottleneck's 3x3: 32 makes a ResNeXt. Default 1. */
  groups?: number;
  /** Channels of a bottleneck's 3x3 in the first stage, for each group: 128 makes a wide ResNet-50. Default 64. */
  widthPerGroup?: number;
  /** "imagenet": 7x7 stride 2 and pooling; "cifar": 3x3 alone, for pictures of about 32x32. Default "imagenet". */
  stem?: "imagenet" | "cifar";
  /** Start each block as the identity: the last normalisation's weight is 0. Default false. */
  zeroInitResidual?: boolean;
}

/**
 * A residual network (He et al. 2015) with torchvision's keys; ResNet-18 by default.
 *
 * @throws RangeError for options that are no positive whole numbers, and in forward for pictures of other channels
 * @example
 * const model = new models.ResNet({ classes: 10, stem: "cifar", width: 16 });
 * const scores = model.forward(zeros([2, 3, 32, 32])); // [2, 10]
 */
export class ResNet extends Module {
  /** The stem's convolution, without a bias. */
  readonly conv1: Conv2d;
  /** Over its channels. */
  readonly bn1: BatchNorm2d;
  /** 3x3, stride 2; null with the stem for CIFAR. */
  readonly maxpool: MaxPool2d | null;
  /** `width` channels. */
  readonly layer1: Sequential;
  /** Twice the channels at half the side; so are layer3 and layer4. */
  readonly layer2: Sequential;
  /** Four times `width`. */
  readonly layer3: Sequential;
  /** Eight times `width`. */
  readonly layer4: Sequential;
  /** From the means over places to scores. */
  readonly fc: Linear;

  /** Random weights, from the default generator. */
  constructor({
    block = "basic",
    layers = [2, 2, 2, 2],
    width = 64,
    groups = 1,
    widthPerGroup = 64,
    stem = "imagenet",
    zeroInitResidual = false,
    ...rest
  }: ResNetOptions = {}) {
    super();
    const { classes, inChannels } = modelOptions("ResNet", rest, 1, IMAGENET);
    for (const [name, value] of Object.entries({ width, groups, widthPerGroup })) wholeNumber("ResNet", name, value);
    if (layers.length !== 4) throw new RangeError(`ResNet: expected layers to be 4 numbers of blocks, got [${layers}]`);
    if (!Object.hasOwn(BLOCKS, block))
      throw new RangeError(`ResNet: expected block to be "basic" or "bottleneck", got ${JSON.stringify(block)}`);
    if (stem !== "imagenet" && stem !== "cifar")
      throw new RangeError(`ResNet: expected stem to be "imagenet" or "cifar", got ${JSON.stringify(stem)}`);
    const Block = BLOCKS[block];
    this.conv1 =
      stem === "imagenet"
        ? new Conv2d(inChannels, width, 7, { stride: 2, padding: 3, bias: false })
        : conv3x3(inChannels, width);
    this.bn1 = new BatchNorm2d(width);
    this.maxpool = stem === "imagenet" ? new MaxPool2d(3, { stride: 2, padding: 1 }) : null;
    let from = width;
    const stage = (planes: number, blocks: number, stride: number): Sequential => {
      const made = Array.from({ length: wholeNumber("ResNet", "layers", blocks) }, (_, i) => {
        const to = planes * Block.expansion;
        const changes = i === 0 && (stride !== 1 || from !== to);
        const downsample = changes ? new Sequential(conv1x1(from, to, stride), new BatchNorm2d(to)) : null;
        const at = { from, planes, stride: i === 0 ? stride : 1, groups, widthPerGroup };
        from = to;
        return new Block(at, downsample);
      });
      return new Sequential(...made);
    };
    this.layer1 = stage(width, layers[0]!, 1);
    this.layer2 = stage(width * 2, layers[1]!, 2);
    this.layer3 = stage(width * 4, layers[2]!, 2);
    this.layer4 = stage(width * 8, layers[3]!, 2);
    this.fc = new Linear(from, classes);
    initResidual(this);
    if (zeroInitResidual)
      for (const m of this.modules()) {
        if (m instanceof BasicBlock) init.zeros_(m.bn2.weight!);
        if (m instanceof Bottleneck) init.zeros_(m.bn3.weight!);
      }
  }

  /** [n, c, h, w] to scores [n, classes] */
  forward(x: Tensor): Tensor {
    return this.fc.forward(this.features(x).mean([2, 3]));
  }

  /** The maps of the last stage: [n, c, h, w] to [n, 8 width (32 width), h / 32, w / 32] */
  features(x: Tensor): Tensor {
    expectPictures(this, x, this.conv1.inChannels, 1, (side) => Math.ceil(side / (this.maxpool ? 32 : 8)));
    const stem = this.bn1.forward(this.conv1.forward(x), { activation: "relu" });
    const pooled = this.maxpool ? this.maxpool.forward(stem) : stem;
    return this.layer4.forward(this.layer3.forward(this.layer2.forward(this.layer1.forward(pooled))));
  }
}

/** The paper's shortcut without weights: every other pixel, the new channels 0 (option A). */
class PaddedShortcut extends Module {
  constructor(
    readonly stride: number,
    readonly more: number,
  ) {
    super();
  }

  forward(x: Tensor): Tensor {
    const { stride, more } = this;
    const picked = stride === 1 ? x : slice(x, [], [], [null, null, stride], [null, null, stride]);
    return pad(picked, [0, 0, 0, 0, Math.floor(more / 2), Math.ceil(more / 2)]);
  }
}

/** Options of CifarResNet. */
export interface CifarResNetOptions extends ModelOptions {
  /** 6 n + 2 layers: 20, 32, 44, 56, 110, ... Default 20. */
  depth?: number;
  /** Channels of the first stage. Default 16. */
  width?: number;
}

/**
 * The residual networks for CIFAR of He et al. 2015, section 4.2: 6 n + 2 layers, shortcuts without weights. ResNet-20 has
 * 269,722 parameters.
 *
 * @throws RangeError for a depth that is not 6 n + 2
 * @example
 * const scores = new models.CifarResNet({ depth: 20 }).forward(zeros([2, 3, 32, 32])); // [2, 10]
 */
export class CifarResNet extends Module {
  /** 3x3, without a bias. */
  readonly conv1: Conv2d;
  /** Over its channels. */
  readonly bn1: BatchNorm2d;
  /** `width` channels. */
  readonly layer1: Sequential;
  /** Twice the channels at half the side. */
  readonly layer2: Sequential;
  /** Four times the channels at a quarter of the side. */
  readonly layer3: Sequential;
  /** From the means over places to scores. */
  readonly linear: Linear;

  /** Random weights, from the default generator. */
  constructor({ depth = 20, width = 16, ...rest }: CifarResNetOptions = {}) {
    super();
    const { classes, inChannels } = modelOptions("CifarResNet", rest, 1, CIFAR);
    const blocks = (depth - 2) / 6;
    if (!Number.isSafeInteger(blocks) || blocks < 1)
      throw new RangeError(`CifarResNet: expected depth to be 6 n + 2 (8, 14, 20, 32, 44, 56, 110), got ${depth}`);
    wholeNumber("CifarResNet", "width", width);
    this.conv1 = conv3x3(inChannels, width);
    this.bn1 = new BatchNorm2d(width);
    let from = width;
    const stage = (planes: number, first: number): Sequential => {
      const made = Array.from({ length: blocks }, (_, i) => {
        const stride = i === 0 ? first : 1;
        const shortcut = stride !== 1 || from !== planes ? new PaddedShortcut(stride, planes - from) : null;
        const block = new BasicBlock({ from, planes, stride, groups: 1, widthPerGroup: 64 }, shortcut);
        from = planes;
        return block;
      });
      return new Sequential(...made);
    };
    this.layer1 = stage(width, 1);
    this.layer2 = stage(width * 2, 2);
    this.layer3 = stage(width * 4, 2);
    this.linear = new Linear(from, classes);
    initResidual(this);
  }

  /** [n, c, h, w] to scores [n, classes] */
  forward(x: Tensor): Tensor {
    return this.linear.forward(this.features(x).mean([2, 3]));
  }

  /** The maps of the last stage: [n, c, h, w] to [n, 4 width, h / 4, w / 4] */
  features(x: Tensor): Tensor {
    expectPictures(this, x, this.conv1.inChannels, 1, (side) => Math.ceil(side / 4));
    const stem = this.bn1.forward(this.conv1.forward(x), { activation: "relu" });
    return this.layer3.forward(this.layer2.forward(this.layer1.forward(stem)));
  }
}
