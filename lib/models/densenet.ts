/**
 * DenseNet (Huang, Liu, van der Maaten & Weinberger, "Densely connected convolutional networks", 2016).
 *
 *     Conv 7x7 s2 -> BN -> ReLU -> MaxPool 3 s2 -> 4 dense blocks, a transition between two -> BN -> ReLU -> mean -> Linear
 *
 *     dense layer: all maps so far -> BN -> ReLU -> 1x1 (4 k) -> BN -> ReLU -> 3x3 (k more maps)
 *     transition:  BN -> ReLU -> 1x1 (half the maps) -> AvgPool 2
 *
 * State-dict keys are torchvision's (features.denseblock1.denselayer1.conv1.weight, classifier.weight).
 */
import { Conv2d } from "../nn/conv.js";
import * as init from "../nn/init.js";
import { Linear } from "../nn/linear.js";
import { type Layer, Module } from "../nn/module.js";
import { BatchNorm2d } from "../nn/norm.js";
import { dropout as drop } from "../ops/random.js";
import { cat } from "../ops/shape.js";
import type { Tensor } from "../tensor.js";
import { expectPictures, IMAGENET, type ModelOptions, modelOptions, place, wholeNumber } from "./options.js";

class DenseLayer extends Module {
  readonly norm1: BatchNorm2d;
  readonly conv1: Conv2d;
  readonly norm2: BatchNorm2d;
  readonly conv2: Conv2d;

  constructor(
    from: number,
    growth: number,
    bottleneck: number,
    readonly dropout: number,
  ) {
    super();
    this.norm1 = new BatchNorm2d(from);
    this.conv1 = new Conv2d(from, bottleneck * growth, 1, { bias: false });
    this.norm2 = new BatchNorm2d(bottleneck * growth);
    this.conv2 = new Conv2d(bottleneck * growth, growth, 3, { padding: 1, bias: false });
  }

  forward(maps: Tensor[]): Tensor {
    const x = maps.length === 1 ? maps[0]! : cat(maps, 1);
    const a = this.conv1.forward(this.norm1.forward(x, { activation: "relu" }));
    const b = this.conv2.forward(this.norm2.forward(a, { activation: "relu" }));
    return this.dropout > 0 ? drop(b, this.dropout, { training: this.training }) : b;
  }
}

class DenseBlock extends Module {
  readonly #layers: DenseLayer[];

  constructor(layers: number, from: number, growth: number, bottleneck: number, dropout: number) {
    super();
    this.#layers = Array.from({ length: layers }, (_, i) =>
      place(this, `denselayer${i + 1}`, new DenseLayer(from + i * growth, growth, bottleneck, dropout)),
    );
  }

  forward(x: Tensor): Tensor {
    const maps = [x];
    for (const layer of this.#layers) maps.push(layer.forward(maps));
    return cat(maps, 1);
  }
}

class Transition extends Module {
  readonly norm: BatchNorm2d;
  readonly conv: Conv2d;

  constructor(from: number, to: number) {
    super();
    this.norm = new BatchNorm2d(from);
    this.conv = new Conv2d(from, to, 1, { bias: false });
  }

  forward(x: Tensor): Tensor {
    return this.conv.forward(this.norm.forward(x, { activation: "relu" })).avgPool2d(2);
  }
}

/** Everything before the mean over places. */
class Features extends Module {
  readonly conv0: Conv2d;
  readonly norm0: BatchNorm2d;
  readonly #stages: (DenseBlock | Transition)[] = [];
  readonly norm5: BatchNorm2d;
  readonly channels: number;

  constructor(
    inChannels: number,
    { growth, blocks, first, bottleneck, dropout }: Required<Omit<DenseNetOptions, keyof ModelOptions>>,
  ) {
    super();
    this.conv0 = new Conv2d(inChannels, first, 7, { stride: 2, padding: 3, bias: false });
    this.norm0 = new BatchNorm2d(first);
    let maps = first;
    blocks.forEach((layers, i) => {
      const block = new DenseBlock(layers, maps, growth, bottleneck, dropout);
      this.#stages.push(place(this, `denseblock${i + 1}`, block));
      maps += layers * growth;
      if (i === blocks.length - 1) return;
      const half = Math.floor(maps / 2);
      this.#stages.push(place(this, `transition${i + 1}`, new Transition(maps, half)));
      maps = half;
    });
    this.norm5 = new BatchNorm2d(maps);
    this.channels = maps;
  }

  forward(x: Tensor): Tensor {
    let y = this.norm0.forward(this.conv0.forward(x), { activation: "relu" }).maxPool2d(3, { stride: 2, padding: 1 });
    for (const stage of this.#stages) y = stage.forward(y);
    return this.norm5.forward(y, { activation: "relu" });
  }
}

/** Options of DenseNet. */
export interface DenseNetOptions extends ModelOptions {
  /** k, the maps that each layer adds. Default 32. */
  growth?: number;
  /** Layers of each dense block. Default [6, 12, 24, 16]: DenseNet-121. */
  blocks?: readonly number[];
  /** Maps of the first convolution. Default 64. */
  first?: number;
  /** Maps behind a layer's 1x1 convolution, in multiples of k. Default 4. */
  bottleneck?: number;
  /** Probability of the dropout behind each layer. Default 0. */
  dropout?: number;
}

/**
 * DenseNet-121 (Huang et al. 2016), or of other blocks: 7,978,856 parameters.
 *
 * @throws RangeError in forward for pictures that four halvings and the stem leave nothing of (below 32x32)
 * @example
 * const model = new models.DenseNet({ classes: 10, growth: 4, first: 8, blocks: [1, 1, 1, 1] });
 * const scores = model.forward(zeros([2, 3, 32, 32])); // [2, 10]
 */
export class DenseNet extends Module {
  /** [n, c, h, w] to [n, maps, h / 32, w / 32], behind ReLU. */
  readonly features: Layer;
  /** From the means over places to scores. */
  readonly classifier: Linear;
  readonly #inChannels: number;
  readonly #smallest: number;
  readonly #halvings: number;

  /** Random weights, from the default generator. */
  constructor({
    growth = 32,
    blocks = [6, 12, 24, 16],
    first = 64,
    bottleneck = 4,
    dropout = 0,
    ...rest
  }: DenseNetOptions = {}) {
    super();
    const { classes, inChannels } = modelOptions("DenseNet", rest, 1, IMAGENET);
    for (const [name, value] of Object.entries({ growth, first, bottleneck })) wholeNumber("DenseNet", name, value);
    for (const layers of blocks) wholeNumber("DenseNet", "blocks", layers);
    this.#inChannels = inChannels;
    this.#halvings = 2 ** (blocks.length - 1);
    this.#smallest = 2 ** (blocks.length + 1) - 3; // each halving rounds up but the transitions'
    const features = new Features(inChannels, { growth, blocks, first, bottleneck, dropout });
    this.features = features;
    this.classifier = new Linear(features.channels, classes);
    for (const m of this.modules()) if (m instanceof Conv2d) init.kaimingNormal_(m.weight);
    init.zeros_(this.classifier.bias!);
  }

  /** [n, c, h, w] to scores [n, classes] */
  forward(x: Tensor): Tensor {
    expectPictures(this, x, this.#inChannels, this.#smallest, (side) =>
      Math.floor(Math.ceil(side / 4) / this.#halvings),
    );
    return this.classifier.forward(this.features.forward(x).mean([2, 3]));
  }
}
