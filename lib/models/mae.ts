/**
 * Masked autoencoder (He et al., "Masked autoencoders are scalable vision learners", 2021): a transformer sees a quarter of
 * the patches, a smaller one fills in the rest.
 *
 *     patches + positions -> a random quarter of them -> class token in front -> blocks -> LayerNorm
 *       -> Linear to the decoder's width -> mask tokens at what was hidden, + positions -> blocks -> LayerNorm -> pixels of each patch
 *
 * Positions are sines and cosines, not learned. Keys are those of the authors' code (decoder_embed.weight, mask_token).
 */
import { expect, show } from "../errors.js";
import { noGrad } from "../graph.js";
import { Sequential } from "../nn/container.js";
import * as init from "../nn/init.js";
import { Linear } from "../nn/linear.js";
import { Module } from "../nn/module.js";
import { LayerNorm } from "../nn/norm.js";
import { type Parameter, parameter } from "../nn/parameter.js";
import { zeros } from "../ops/create.js";
import { gather } from "../ops/gather.js";
import { type GeneratorOption, rand } from "../ops/random.js";
import { cat } from "../ops/shape.js";
import type { Tensor } from "../tensor.js";
import { sinusoidal } from "./attention.js";
import { IMAGENET, wholeNumber } from "./options.js";
import { PatchEmbed, TransformerBlock } from "./vit.js";

/** Options of MaskedAutoencoder. */
export interface MaskedAutoencoderOptions {
  /** Channels of a picture. Default 3. */
  inChannels?: number;
  /** Height and width of a picture. Default 224. */
  imageSize?: number;
  /** Side of a patch; divides imageSize. Default 16. */
  patch?: number;
  /** Features of a token, a multiple of 4 and of heads. Default 768. */
  dim?: number;
  /** Blocks of the encoder. Default 12. */
  depth?: number;
  /** Default 12. */
  heads?: number;
  /** Features of the decoder, a multiple of 4 and of its heads. Default 512. */
  decoderDim?: number;
  /** Blocks of the decoder. Default 8. */
  decoderDepth?: number;
  /** Default 16. */
  decoderHeads?: number;
  /** Share of the patches that is hidden. Default 0.75. */
  maskRatio?: number;
  /** Each patch's pixels are normalised before they are compared. Default true. */
  normalizedPixels?: boolean;
}

/** What MaskedAutoencoder.forward() gives. */
export interface MaeOutput {
  /** Mean square error over the hidden patches. */
  loss: Tensor;
  /** Pixels of every patch as predicted, [n, patches, patch^2 c], normalised where the options say so. */
  prediction: Tensor;
  /** 1 where a patch was hidden, [n, patches]. */
  mask: Tensor;
}

/** Half the features tell the row, half the column: [side^2, dim]. */
function positions2d(side: number, dim: number): Tensor {
  const table = sinusoidal(side, dim / 2);
  const rows = table.unsqueeze(1).expand([side, side, dim / 2]);
  const columns = table.unsqueeze(0).expand([side, side, dim / 2]);
  return cat([columns, rows], 2).reshape([side * side, dim]);
}

/**
 * The masked autoencoder (He et al. 2021).
 *
 * @throws RangeError for a maskRatio that hides no patch or all, or widths that are no multiples of 4 and of the heads
 * @example
 * const model = new models.MaskedAutoencoder({
 *   imageSize: 16, patch: 4, dim: 16, depth: 1, heads: 2, decoderDim: 8, decoderDepth: 1, decoderHeads: 2,
 * });
 * const { loss, mask } = model.forward(randn([2, 3, 16, 16])); // 12 of 16 patches hidden
 */
export class MaskedAutoencoder extends Module {
  /** [1, 1, dim] */
  readonly clsToken: Parameter;
  /** Pictures to patches. */
  readonly patchEmbed: PatchEmbed;
  /** The encoder. */
  readonly blocks: Sequential;
  /** Behind it. */
  readonly norm: LayerNorm;
  /** To the decoder's width. */
  readonly decoderEmbed: Linear;
  /** `[1, 1, decoderDim]`, stands for what was hidden. */
  readonly maskToken: Parameter;
  /** The decoder. */
  readonly decoderBlocks: Sequential;
  /** Behind it. */
  readonly decoderNorm: LayerNorm;
  /** To the pixels of a patch. */
  readonly decoderPred: Linear;
  /** [1, 1 + patches, dim], fixed. */
  readonly posEmbed!: Tensor;
  /** [1, 1 + patches, decoderDim], fixed. */
  readonly decoderPosEmbed!: Tensor;
  readonly #patch: number;
  readonly #hidden: number;
  readonly #normalized: boolean;

  /** Random weights, from the default generator. */
  constructor({
    inChannels = IMAGENET.inChannels,
    imageSize = IMAGENET.imageSize,
    patch = 16,
    dim = 768,
    depth = 12,
    heads = 12,
    decoderDim = 512,
    decoderDepth = 8,
    decoderHeads = 16,
    maskRatio = 0.75,
    normalizedPixels = true,
  }: MaskedAutoencoderOptions = {}) {
    super();
    const numbers = { inChannels, imageSize, dim, depth, heads, decoderDim, decoderDepth, decoderHeads };
    for (const [name, n] of Object.entries(numbers)) wholeNumber("MaskedAutoencoder", name, n);
    for (const [d, h] of [
      [dim, heads],
      [decoderDim, decoderHeads],
    ] as const)
      if (d % 4 !== 0 || d % h !== 0)
        throw new RangeError(
          `MaskedAutoencoder: expected widths that are multiples of 4 and of the heads, got ${d} and ${h}`,
        );
    const embed = new PatchEmbed("MaskedAutoencoder", imageSize, patch, inChannels, dim);
    const { patches } = embed;
    this.#hidden = Math.floor(patches * maskRatio);
    if (!(this.#hidden >= 1 && this.#hidden < patches))
      throw new RangeError(
        `MaskedAutoencoder: expected a maskRatio that hides 1 to ${patches - 1} of ${patches} patches, got ${maskRatio}`,
      );
    this.#patch = patch;
    this.#normalized = normalizedPixels;
    const stack = (d: number, n: number, h: number) =>
      new Sequential(...Array.from({ length: n }, () => new TransformerBlock(d, { heads: h, eps: 1e-5 })));
    this.clsToken = parameter(() => zeros([1, 1, dim]));
    this.patchEmbed = embed;
    this.blocks = stack(dim, depth, heads);
    this.norm = new LayerNorm(dim);
    this.decoderEmbed = new Linear(dim, decoderDim);
    this.maskToken = parameter(() => zeros([1, 1, decoderDim]));
    this.decoderBlocks = stack(decoderDim, decoderDepth, decoderHeads);
    this.decoderNorm = new LayerNorm(decoderDim);
    this.decoderPred = new Linear(decoderDim, patch * patch * inChannels);
    const table = (d: number) => noGrad(() => cat([zeros([1, d]), positions2d(Math.sqrt(patches), d)]).unsqueeze(0));
    this.registerBuffer("posEmbed", table(dim), { key: "pos_embed" });
    this.registerBuffer("decoderPosEmbed", table(decoderDim), { key: "decoder_pos_embed" });
    for (const [property, key] of [
      ["clsToken", "cls_token"],
      ["patchEmbed", "patch_embed"],
      ["decoderEmbed", "decoder_embed"],
      ["maskToken", "mask_token"],
      ["decoderBlocks", "decoder_blocks"],
      ["decoderNorm", "decoder_norm"],
      ["decoderPred", "decoder_pred"],
    ] as const)
      this.registerKey(property, key);
    for (const m of this.modules()) {
      if (!(m instanceof Linear)) continue;
      init.xavierUniform_(m.weight);
      init.zeros_(m.bias!);
    }
    init.normal_(this.clsToken, 0, 0.02);
    init.normal_(this.maskToken, 0, 0.02);
  }

  /** Pictures to the pixels of their patches: [n, c, s, s] to [n, patches, p p c] */
  patchify(x: Tensor): Tensor {
    const [n, c, s] = x.shape as [number, number, number];
    const p = this.#patch;
    const side = s / p;
    return x
      .reshape([n, c, side, p, side, p])
      .permute([0, 2, 4, 3, 5, 1])
      .reshape([n, side * side, p * p * c]);
  }

  /** patchify() the other way round. */
  unpatchify(patches: Tensor): Tensor {
    const [n, t, d] = patches.shape as [number, number, number];
    const p = this.#patch;
    const [side, c] = [Math.sqrt(t), d / (p * p)];
    return patches
      .reshape([n, side, side, p, p, c])
      .permute([0, 5, 1, 3, 2, 4])
      .reshape([n, c, side * p, side * p]);
  }

  /** Tokens of whole pictures, the class token first: [n, 1 + patches, dim]; for what is trained on top. */
  encode(x: Tensor): Tensor {
    const n = x.shape[0]!;
    const tokens = this.patchEmbed.forward(x).add(this.posEmbed.slice(null, [1]));
    return this.norm.forward(this.blocks.forward(this.#withClass(tokens, n)));
  }

  #withClass(tokens: Tensor, n: number): Tensor {
    const first = this.clsToken.add(this.posEmbed.slice(null, [0, 1]));
    return cat([first.expand([n, 1, tokens.shape[2]!]), tokens], 1);
  }

  /**
   * Hides patches and predicts them.
   *
   * @param order [n, patches], numbers whose smallest are seen. Default: drawn
   */
  forward(x: Tensor, { order, generator }: GeneratorOption & { order?: Tensor } = {}): MaeOutput {
    const patches = this.patchEmbed.forward(x).add(this.posEmbed.slice(null, [1]));
    const [n, t, d] = patches.shape as [number, number, number];
    const drawn = order ?? rand([n, t], generator ? { generator } : {});
    expect(show(drawn.shape) === show([n, t]), "MaskedAutoencoder", `an order [${n},${t}]`, show(drawn.shape));
    const seen = t - this.#hidden;
    const [ranks, places] = noGrad(() => {
      const sorted = drawn.argsort(1);
      return [sorted.argsort(1), sorted.slice(null, [0, seen])] as const;
    });
    const visible = gather(patches, 1, places.unsqueeze(2).expand([n, seen, d]));
    const code = this.norm.forward(this.blocks.forward(this.#withClass(visible, n)));

    const narrow = this.decoderEmbed.forward(code);
    const width = narrow.shape[2]!;
    const masks = this.maskToken.expand([n, this.#hidden, width]);
    const unsorted = cat([narrow.slice(null, [1]), masks], 1);
    const filled = gather(unsorted, 1, ranks.unsqueeze(2).expand([n, t, width]));
    const all = cat([narrow.slice(null, [0, 1]), filled], 1).add(this.decoderPosEmbed);
    const tokens = this.decoderNorm.forward(this.decoderBlocks.forward(all));
    const prediction = this.decoderPred.forward(tokens).slice(null, [1]);

    const { target, mask } = noGrad(() => {
      const pixels = this.patchify(x);
      const mean = pixels.mean(2, { keepDims: true });
      const spread = pixels.var(2, { keepDims: true }).add(1e-6).sqrt();
      return {
        target: this.#normalized ? pixels.sub(mean).div(spread) : pixels,
        mask: ranks.greaterEqual(seen).to(x.dtype),
      };
    });
    const errors = prediction.sub(target).square().mean(2);
    return {
      loss: errors
        .mul(mask)
        .sum()
        .div(n * this.#hidden),
      prediction,
      mask,
    };
  }
}
