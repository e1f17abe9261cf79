/**
 * MLP-Mixer (Tolstikhin et al., "MLP-Mixer: An all-MLP architecture for vision", 2021).
 *
 *     [n, c, h, w] -> patches p x p -> [n, t, d] -> depth x block -> LayerNorm -> mean over patches -> Linear(classes)
 *
 *     block: x + (mlp over the patches of LayerNorm(x)^T)^T, then x + mlp over the channels of LayerNorm(x)
 *
 * State-dict keys are timm's (stem.proj.weight, blocks.0.mlp_tokens.fc1.weight, head.weight).
 */
import { Sequential } from "../nn/container.js";
import * as init from "../nn/init.js";
import { Linear } from "../nn/linear.js";
import { Module } from "../nn/module.js";
import { LayerNorm } from "../nn/norm.js";
import type { Tensor } from "../tensor.js";
import { IMAGENET, type ModelOptions, modelOptions, wholeNumber } from "./options.js";
import { Mlp, PatchEmbed } from "./vit.js";

const EPS = 1e-6;

class MixerBlock extends Module {
  readonly norm1: LayerNorm;
  readonly mlpTokens: Mlp;
  readonly norm2: LayerNorm;
  readonly mlpChannels: Mlp;

  constructor(dim: number, tokens: number, ratio: readonly [number, number], dropout: number) {
    super();
    this.norm1 = new LayerNorm(dim, { eps: EPS });
    this.mlpTokens = new Mlp(tokens, Math.round(dim * ratio[0]), dropout);
    this.norm2 = new LayerNorm(dim, { eps: EPS });
    this.mlpChannels = new Mlp(dim, Math.round(dim * ratio[1]), dropout);
    this.registerKey("mlpTokens", "mlp_tokens");
    this.registerKey("mlpChannels", "mlp_channels");
  }

  forward(x: Tensor): Tensor {
    const y = x.add(this.mlpTokens.forward(this.norm1.forward(x).transpose(1, 2)).transpose(1, 2));
    return y.add(this.mlpChannels.forward(this.norm2.forward(y)));
  }
}

/** Options of MLPMixer. */
export interface MLPMixerOptions extends ModelOptions {
  /** Side of a patch; divides imageSize. Default 16. */
  patch?: number;
  /** Features of a patch. Default 512: Mixer-S. */
  dim?: number;
  /** Blocks. Default 8. */
  depth?: number;
  /** Hidden units over patches and over channels, in multiples of dim. Default [0.5, 4]. */
  ratio?: readonly [tokens: number, channels: number];
  /** Behind each linear layer of the blocks. Default 0. */
  dropout?: number;
}

/**
 * MLP-Mixer (Tolstikhin et al. 2021); Mixer-S/16 for 224 pixels by default: 18,528,264 parameters.
 *
 * @throws RangeError for a patch that does not divide imageSize
 * @example
 * const model = new models.MLPMixer({ classes: 10, imageSize: 32, patch: 8, dim: 16, depth: 1 });
 * const scores = model.forward(zeros([2, 3, 32, 32])); // [2, 10]
 */
export class MLPMixer extends Module {
  /** Pictures to patches. */
  readonly stem: PatchEmbed;
  /** The mixing. */
  readonly blocks: Sequential;
  /** Behind the last block. */
  readonly norm: LayerNorm;
  /** From the mean over patches to scores. */
  readonly head: Linear;

  /** Random weights, from the default generator. */
  constructor({ patch = 16, dim = 512, depth = 8, ratio = [0.5, 4], dropout = 0, ...rest }: MLPMixerOptions = {}) {
    super();
    const { classes, inChannels, imageSize } = modelOptions("MLPMixer", rest, 1, IMAGENET);
    wholeNumber("MLPMixer", "dim", dim);
    wholeNumber("MLPMixer", "depth", depth);
    this.stem = new PatchEmbed("MLPMixer", imageSize, patch, inChannels, dim);
    const tokens = this.stem.patches;
    this.blocks = new Sequential(...Array.from({ length: depth }, () => new MixerBlock(dim, tokens, ratio, dropout)));
    this.norm = new LayerNorm(dim, { eps: EPS });
    this.head = new Linear(dim, classes);
    for (const m of this.modules()) {
      if (!(m instanceof Linear)) continue;
      init.xavierUniform_(m.weight);
      if (m === this.head) {
        init.zeros_(m.weight);
        init.zeros_(m.bias!);
      } else init.normal_(m.bias!, 0, 1e-6);
    }
  }

  /** [n, c, s, s] to scores [n, classes] */
  forward(x: Tensor): Tensor {
    return this.head.forward(this.norm.forward(this.blocks.forward(this.stem.forward(x))).mean(1));
  }
}
