/**
 * Vision Transformer (Dosovitskiy et al., "An image is worth 16x16 words", 2020).
 *
 *     [n, c, h, w] -> patches p x p as a convolution of stride p -> [n, t, d] -> (class token in front) -> + positions
 *                  -> depth x block -> LayerNorm -> class token, or the mean over patches -> Linear(classes)
 *
 *     block (pre-norm): x + attention(LayerNorm(x)), then x + mlp(LayerNorm(x)), mlp: Linear(4 d) -> GELU -> Linear(d)
 *
 * State-dict keys are timm's (cls_token, pos_embed, patch_embed.proj.weight, blocks.0.attn.qkv.weight, head.weight).
 */
import { Dropout } from "../nn/activation.js";
import { Sequential } from "../nn/container.js";
import { Conv2d } from "../nn/conv.js";
import { StochasticDepth } from "../nn/dropPath.js";
import * as init from "../nn/init.js";
import { Linear } from "../nn/linear.js";
import { Module } from "../nn/module.js";
import { LayerNorm } from "../nn/norm.js";
import { type Parameter, parameter } from "../nn/parameter.js";
import { scaledDotProductAttention } from "../ops/attention.js";
import { zeros } from "../ops/create.js";
import { interpolate } from "../ops/interpolate.js";
import { unbind } from "../ops/join.js";
import { cat } from "../ops/shape.js";
import type { Tensor } from "../tensor.js";
import { IMAGENET, type ModelOptions, modelOptions, wholeNumber } from "./options.js";

const EPS = 1e-6;

/** Pictures to rows of patches, [n, t, d]. Shared with MLP-Mixer and DiT. */
export class PatchEmbed extends Module {
  /** p x p with stride p. */
  readonly proj: Conv2d;
  /** Patches of a picture. */
  readonly patches: number;

  /** `model` says in errors whose patches they are. */
  constructor(
    model: string,
    /** Height and width of a picture. */
    readonly imageSize: number,
    /** Height and width of a patch; has to divide `imageSize`. */
    readonly patch: number,
    inChannels: number,
    dim: number,
    /** Whether pictures of other sizes are taken, too. Default false. */
    readonly anySize = false,
  ) {
    super();
    if (imageSize % wholeNumber(model, "patch", patch) !== 0)
      throw new RangeError(`${model}: expected a patch that divides imageSize ${imageSize}, got ${patch}`);
    this.patches = (imageSize / patch) ** 2;
    this.proj = new Conv2d(inChannels, dim, patch, { stride: patch });
  }

  /** [n, c, s, s], or with `anySize` [n, c, h, w], to [n, t, d] */
  forward(x: Tensor): Tensor {
    const { imageSize: s, patch, proj } = this;
    if (this.anySize) {
      if (x.ndim !== 4 || x.shape[1] !== proj.inChannels || x.shape[2]! % patch !== 0 || x.shape[3]! % patch !== 0)
        throw new RangeError(
          `PatchEmbed: expected pictures [n,${proj.inChannels},h,w] with sides that ${patch} divides, got [${x.shape}]`,
        );
    } else if (x.ndim !== 4 || x.shape[1] !== proj.inChannels || x.shape[2] !== s || x.shape[3] !== s)
      throw new RangeError(`PatchEmbed: expected pictures [n,${proj.inChannels},${s},${s}], got [${x.shape}]`);
    return proj.forward(x).flatten(2).transpose(1, 2);
  }
}

/** Two linear layers with GELU between. Shared with MLP-Mixer and DiT. */
export class Mlp extends Module {
  /** From `dim` to `hidden` units. */
  readonly fc1: Linear;
  /** Back to `dim`. */
  readonly fc2: Linear;
  /** Behind both. */
  readonly drop: Dropout;

  /** Random weights, from the default generator. */
  constructor(
    dim: number,
    hidden: number,
    dropout = 0,
    /** GELU's form. */
    readonly approximate: "none" | "tanh" = "none",
  ) {
    super();
    this.fc1 = new Linear(dim, hidden);
    this.fc2 = new Linear(hidden, dim);
    this.drop = new Dropout(dropout);
  }

  /** [..., dim] to [..., dim] */
  forward(x: Tensor): Tensor {
    const { approximate } = this;
    return this.drop.forward(this.fc2.forward(this.drop.forward(this.fc1.forward(x).gelu({ approximate }))));
  }
}

/** Self-attention with one projection for queries, keys and values. Shared with DiT. */
export class Attention extends Module {
  readonly qkv: Linear;
  readonly proj: Linear;
  readonly drop: Dropout;

  constructor(
    dim: number,
    readonly heads: number,
    dropout: number,
    readonly attentionDropout: number,
  ) {
    super();
    this.qkv = new Linear(dim, 3 * dim);
    this.proj = new Linear(dim, dim);
    this.drop = new Dropout(dropout);
  }

  /** Queries, keys and values, [n, heads, t, d / heads] each. */
  split(x: Tensor): [q: Tensor, k: Tensor, v: Tensor] {
    const [n, t, d] = x.shape as [number, number, number];
    const parts = this.qkv
      .forward(x)
      .reshape([n, t, 3, this.heads, d / this.heads])
      .permute([2, 0, 3, 1, 4]);
    return unbind(parts, 0) as [Tensor, Tensor, Tensor];
  }

  forward(x: Tensor): Tensor {
    const [q, k, v] = this.split(x);
    const y = scaledDotProductAttention(q, k, v, { dropout: this.training ? this.attentionDropout : 0 });
    return this.drop.forward(this.proj.forward(y.transpose(1, 2).reshape([...x.shape])));
  }

  /** How much each token takes of each, without dropout: [n, heads, t, t] */
  weights(x: Tensor): Tensor {
    const [q, k] = this.split(x);
    return q
      .matmul(k.transpose(2, 3))
      .mul(q.shape.at(-1)! ** -0.5)
      .softmax(3);
  }
}

/** What a block is told beside its width. */
export interface BlockOptions {
  /** Divides the width. */
  heads: number;
  /** Hidden units of the mlp in multiples of the width. Default 4. */
  mlpRatio?: number;
  /** Default 0. */
  dropout?: number;
  /** Of the attention's weights. Default 0. */
  attentionDropout?: number;
  /** Probability that a branch is left out. Default 0. */
  path?: number;
  /** Of the normalisations. Default 1e-6. */
  eps?: number;
}

/** A pre-norm transformer block under timm's keys. Shared with MaskedAutoencoder. */
export class TransformerBlock extends Module {
  readonly norm1: LayerNorm;
  readonly attn: Attention;
  readonly norm2: LayerNorm;
  readonly mlp: Mlp;
  readonly dropPath: StochasticDepth;

  constructor(
    dim: number,
    { heads, mlpRatio = 4, dropout = 0, attentionDropout = 0, path = 0, eps = EPS }: BlockOptions,
  ) {
    super();
    this.norm1 = new LayerNorm(dim, { eps });
    this.attn = new Attention(dim, heads, dropout, attentionDropout);
    this.norm2 = new LayerNorm(dim, { eps });
    this.mlp = new Mlp(dim, Math.round(dim * mlpRatio), dropout);
    this.dropPath = new StochasticDepth(path);
  }

  forward(x: Tensor): Tensor {
    const y = x.add(this.dropPath.forward(this.attn.forward(this.norm1.forward(x))));
    return y.add(this.dropPath.forward(this.mlp.forward(this.norm2.forward(y))));
  }
}

/** Options of VisionTransformer. */
export interface VisionTransformerOptions extends ModelOptions {
  /** Side of a patch; divides imageSize. Default 16. */
  patch?: number;
  /** Features of a token; a multiple of heads. Default 192: ViT-Ti. */
  dim?: number;
  /** Blocks. Default 12. */
  depth?: number;
  /** Default 3. */
  heads?: number;
  /** Hidden units of the mlp in multiples of dim. Default 4. */
  mlpRatio?: number;
  /** "token": a learned token stands in front and is read; "mean": the mean over patches, normalised. Default "token". */
  pool?: "token" | "mean";
  /** Behind the positions, the projections and the mlp. Default 0. */
  dropout?: number;
  /** Of the attention's weights. Default 0. */
  attentionDropout?: number;
  /** Probability that the last block's branches are left out; it grows from 0 at the first. Default 0. */
  stochasticDepth?: number;
  /** Takes pictures of other sizes than imageSize, too: the positions are interpolated (bicubic, as in timm). Default false. */
  dynamicImageSize?: boolean;
}

/**
 * Vision Transformer (Dosovitskiy et al. 2020); ViT-Ti/16 for 224 pixels by default: 5,717,416 parameters.
 *
 * @throws RangeError for a patch that does not divide imageSize, or heads that do not divide dim
 * @example
 * const model = new models.VisionTransformer({ classes: 10, imageSize: 32, patch: 8, dim: 16, depth: 1, heads: 2 });
 * const scores = model.forward(zeros([2, 3, 32, 32])); // [2, 10]
 */
export class VisionTransformer extends Module {
  /** [1, 1, dim]; null where the patches are averaged. */
  readonly clsToken: Parameter | null;
  /** [1, tokens, dim] */
  readonly posEmbed: Parameter;
  /** Pictures to patches. */
  readonly patchEmbed: PatchEmbed;
  /** Behind the positions. */
  readonly posDrop: Dropout;
  /** The transformer. */
  readonly blocks: Sequential;
  /** Behind the last block; of the mean where the patches are averaged (key fc_norm). */
  readonly norm: LayerNorm;
  /** From one token to scores. */
  readonly head: Linear;

  /** Random weights, from the default generator. */
  constructor({
    patch = 16,
    dim = 192,
    depth = 12,
    heads = 3,
    mlpRatio = 4,
    pool = "token",
    dropout = 0,
    attentionDropout = 0,
    stochasticDepth = 0,
    dynamicImageSize = false,
    ...rest
  }: VisionTransformerOptions = {}) {
    super();
    const { classes, inChannels, imageSize } = modelOptions("VisionTransformer", rest, 1, IMAGENET);
    wholeNumber("VisionTransformer", "depth", depth);
    if (wholeNumber("VisionTransformer", "dim", dim) % wholeNumber("VisionTransformer", "heads", heads) !== 0)
      throw new RangeError(`VisionTransformer: expected heads that divide dim ${dim}, got ${heads}`);
    if (pool !== "token" && pool !== "mean")
      throw new RangeError(`VisionTransformer: expected pool to be "token" or "mean", got ${JSON.stringify(pool)}`);
    const patchEmbed = new PatchEmbed("VisionTransformer", imageSize, patch, inChannels, dim, dynamicImageSize);
    this.clsToken = pool === "token" ? parameter(() => zeros([1, 1, dim])) : null;
    this.posEmbed = parameter(() => zeros([1, patchEmbed.patches + (this.clsToken ? 1 : 0), dim]));
    this.patchEmbed = patchEmbed;
    this.posDrop = new Dropout(dropout);
    this.blocks = new Sequential(
      ...Array.from({ length: depth }, (_, i) => {
        const path = (stochasticDepth * i) / Math.max(1, depth - 1);
        return new TransformerBlock(dim, { heads, mlpRatio, dropout, attentionDropout, path });
      }),
    );
    this.norm = new LayerNorm(dim, { eps: EPS });
    this.head = new Linear(dim, classes);
    this.registerKey("clsToken", "cls_token");
    this.registerKey("posEmbed", "pos_embed");
    this.registerKey("patchEmbed", "patch_embed");
    if (pool === "mean") this.registerKey("norm", "fc_norm");
    initTransformer(this);
    init.truncNormal_(this.posEmbed, { std: 0.02 });
    if (this.clsToken) init.normal_(this.clsToken, 0, 1e-6);
  }

  /** [n, c, s, s] to scores [n, classes] */
  forward(x: Tensor): Tensor {
    return this.head.forward(this.features(x));
  }

  /** What the scores are made of: [n, c, s, s] to [n, dim] */
  features(x: Tensor): Tensor {
    const y = this.tokens(x);
    return this.clsToken ? this.norm.forward(y).slice(null, 0) : this.norm.forward(y.mean(1));
  }

  /** The tokens behind the last block: [n, c, s, s] to [n, tokens, dim], the class token first */
  tokens(x: Tensor): Tensor {
    return this.blocks.forward(this.#embedded(x));
  }

  /**
   * What each block's heads attend to, rows of weights that sum to 1: one [n, heads, tokens, tokens] a block, the class
   * token first. explain.attentionRollout() makes one map of them.
   */
  attentionMaps(x: Tensor): Tensor[] {
    let y = this.#embedded(x);
    return [...this.blocks].map((block) => {
      const { attn, norm1 } = block as TransformerBlock;
      const weights = attn.weights(norm1.forward(y));
      y = block.forward(y);
      return weights;
    });
  }

  /** Patches and class token with their positions. */
  #embedded(x: Tensor): Tensor {
    const patches = this.patchEmbed.forward(x);
    const [n, , d] = patches.shape as [number, number, number];
    const all = this.clsToken ? cat([this.clsToken.expand([n, 1, d]), patches], 1) : patches;
    return this.posDrop.forward(all.add(this.#positions(x.shape[2]!, x.shape[3]!)));
  }

  /** posEmbed, its grid of patches resized to that of a picture of h x w: [1, tokens, d] */
  #positions(h: number, w: number): Tensor {
    const { imageSize, patch } = this.patchEmbed;
    if (h === imageSize && w === imageSize) return this.posEmbed;
    const own = this.clsToken ? 1 : 0;
    const [side, d] = [imageSize / patch, this.posEmbed.shape[2]!];
    const grid = this.posEmbed
      .slice(null, [own, own + side * side])
      .transpose(1, 2)
      .reshape([1, d, side, side]);
    const size = [h / patch, w / patch];
    const resized = interpolate(grid, { size, mode: "bicubic", antialias: true }).flatten(2).transpose(1, 2);
    return own ? cat([this.posEmbed.slice(null, [0, 1]), resized], 1) : resized;
  }
}

/** timm's: linear weights from a normal distribution of 0.02 cut at 2, biases 0; patches as a linear layer. */
export function initTransformer(model: Module): void {
  for (const m of model.modules()) {
    if (m instanceof Linear) {
      init.truncNormal_(m.weight, { std: 0.02 });
      if (m.bias) init.zeros_(m.bias);
    }
  }
}
