/**
 * ConvNeXt (Liu et al., "A ConvNet for the 2020s", 2022).
 *
 *     Conv 4x4 s4 -> LayerNorm -> 4 stages, before all but the first LayerNorm -> Conv 2x2 s2 -> mean over places -> LayerNorm -> Linear
 *
 *     block: x -> 7x7 depthwise -> LayerNorm over channels -> Linear (4 c) -> GELU -> Linear (c) -> times gamma -> drop path -> (+ x)
 *
 * State-dict keys are torchvision's (features.1.0.block.0.weight, features.1.0.layer_scale, classifier.2.weight).
 */
import { Flatten, GELU } from "../nn/activation.js";
import { Sequential } from "../nn/container.js";
import { Conv2d } from "../nn/conv.js";
import { StochasticDepth } from "../nn/dropPath.js";
import * as init from "../nn/init.js";
import { Linear } from "../nn/linear.js";
import { type Layer, Module } from "../nn/module.js";
import { LayerNorm } from "../nn/norm.js";
import { type Parameter, parameter } from "../nn/parameter.js";
import { AdaptiveAvgPool2d } from "../nn/pool.js";
import { full } from "../ops/create.js";
import type { Tensor } from "../tensor.js";
import { expectPictures, IMAGENET, type ModelOptions, modelOptions, wholeNumber } from "./options.js";

const EPS = 1e-6;

/** Layer normalisation over the channels of [n, c, h, w]. */
class LayerNorm2d extends LayerNorm {
  override forward(x: Tensor): Tensor {
    return super.forward(x.permute([0, 2, 3, 1])).permute([0, 3, 1, 2]);
  }
}

/** Reorders the axes. */
class Permute extends Module {
  constructor(readonly order: readonly number[]) {
    super();
  }

  forward(x: Tensor): Tensor {
    return x.permute(this.order);
  }
}

class ConvNeXtBlock extends Module {
  readonly layerScale: Parameter;
  readonly block: Sequential;
  readonly stochasticDepth: StochasticDepth;

  constructor(dim: number, scale: number, drop: number) {
    super();
    this.layerScale = parameter(() => full([dim, 1, 1], scale));
    this.registerKey("layerScale", "layer_scale");
    this.block = new Sequential(
      new Conv2d(dim, dim, 7, { padding: 3, groups: dim }),
      new Permute([0, 2, 3, 1]),
      new LayerNorm(dim, { eps: EPS }),
      new Linear(dim, 4 * dim),
      new GELU(),
      new Linear(4 * dim, dim),
      new Permute([0, 3, 1, 2]),
    );
    this.stochasticDepth = new StochasticDepth(drop);
    this.registerKey("stochasticDepth", "stochastic_depth");
  }

  forward(x: Tensor): Tensor {
    return this.stochasticDepth.forward(this.block.forward(x).mul(this.layerScale)).add(x);
  }
}

/** Options of ConvNeXt. */
export interface ConvNeXtOptions extends ModelOptions {
  /** Channels of each stage. Default [96, 192, 384, 768]: ConvNeXt-Tiny. */
  dims?: readonly number[];
  /** Blocks of each stage. Default [3, 3, 9, 3]. */
  depths?: readonly number[];
  /** Side and stride of the first convolution. Default 4; 1 or 2 suits pictures of 32x32. */
  patch?: number;
  /** gamma to begin with. Default 1e-6. */
  layerScale?: number;
  /** Probability that the last block's branch is left out; it grows from 0 at the first. Default 0.1. */
  stochasticDepth?: number;
}

/**
 * ConvNeXt-Tiny (Liu et al. 2022), or of other widths and depths: 28,589,128 parameters.
 *
 * @throws RangeError where dims and depths differ in number
 * @example
 * const model = new models.ConvNeXt({ classes: 10, dims: [8, 16], depths: [1, 1], patch: 2 });
 * const scores = model.forward(zeros([2, 3, 32, 32])); // [2, 10]
 */
export class ConvNeXt extends Module {
  /** Stem, stages, and what lies between: [n, c, h, w] to [n, last of dims, h / 32, w / 32]. */
  readonly features: Sequential;
  /** The mean over places. */
  readonly avgpool = new AdaptiveAvgPool2d(1);
  /** Normalisation and scores. */
  readonly classifier: Sequential;
  readonly #inChannels: number;
  readonly #smallest: number;

  /** Random weights, from the default generator. */
  constructor({
    dims = [96, 192, 384, 768],
    depths = [3, 3, 9, 3],
    patch = 4,
    layerScale = 1e-6,
    stochasticDepth = 0.1,
    ...rest
  }: ConvNeXtOptions = {}) {
    super();
    const { classes, inChannels } = modelOptions("ConvNeXt", rest, 1, IMAGENET);
    if (dims.length !== depths.length || dims.length === 0)
      throw new RangeError(`ConvNeXt: expected as many dims as depths, got [${dims}] and [${depths}]`);
    wholeNumber("ConvNeXt", "patch", patch);
    this.#inChannels = inChannels;
    this.#smallest = patch * 2 ** (dims.length - 1);
    const blocks = depths.reduce((sum, n) => sum + wholeNumber("ConvNeXt", "depths", n), 0);
    let at = 0;
    const layers: Layer[] = [];
    dims.forEach((dim, stage) => {
      const before = dims[stage - 1] ?? inChannels;
      layers.push(
        stage === 0
          ? new Sequential(new Conv2d(before, dim, patch, { stride: patch }), new LayerNorm2d(dim, { eps: EPS }))
          : new Sequential(new LayerNorm2d(before, { eps: EPS }), new Conv2d(before, dim, 2, { stride: 2 })),
      );
      const drop = () => (stochasticDepth * at++) / Math.max(1, blocks - 1);
      layers.push(
        new Sequential(...Array.from({ length: depths[stage]! }, () => new ConvNeXtBlock(dim, layerScale, drop()))),
      );
    });
    this.features = new Sequential(...layers);
    const last = dims.at(-1)!;
    this.classifier = new Sequential(new LayerNorm2d(last, { eps: EPS }), new Flatten(), new Linear(last, classes));
    for (const m of this.modules()) {
      if (!(m instanceof Conv2d || m instanceof Linear)) continue;
      init.truncNormal_(m.weight, { std: 0.02 });
      if (m.bias) init.zeros_(m.bias);
    }
  }

  /** [n, c, h, w] to scores [n, classes] */
  forward(x: Tensor): Tensor {
    expectPictures(this, x, this.#inChannels, this.#smallest);
    return this.classifier.forward(this.avgpool.forward(this.features.forward(x)));
  }
}
