/**
 * Diffusion transformer (Peebles & Xie, "Scalable diffusion models with transformers", 2023): a U-Net's work on patches.
 *
 *     x -> patches p x p as a convolution of stride p -> [n, t, d] + positions (fixed) -> depth x block -> last layer -> pictures
 *     time -> cosines and sines (256) -> Linear(d) -> SiLU -> Linear(d) (+ the condition's) = context c
 *
 *     block (adaLN-Zero): six rows of d by Linear(SiLU(c)): shift, scale, gate, for the attention and for the mlp
 *       x + gate attention(LayerNorm(x) (1 + scale) + shift), then x + gate mlp(LayerNorm(x) (1 + scale) + shift)
 *     last layer: Linear(LayerNorm(x) (1 + scale) + shift) to the p x p x c numbers of each patch
 *
 * Gates and the last layer start at 0: each block is the identity, the first prediction 0. State-dict keys are those of the
 * authors' code (x_embedder.proj.weight, blocks.0.adaLN_modulation.1.weight, final_layer.linear.weight).
 */
import { expect, show } from "../errors.js";
import { SiLU } from "../nn/activation.js";
import { ModuleList, Sequential } from "../nn/container.js";
import * as init from "../nn/init.js";
import { Embedding, Linear } from "../nn/linear.js";
import { Module } from "../nn/module.js";
import { LayerNorm } from "../nn/norm.js";
import { greaterEqual, where } from "../ops/arithmetic.js";
import { arange, full, zeros } from "../ops/create.js";
import { split } from "../ops/join.js";
import { rand } from "../ops/random.js";
import { cat } from "../ops/shape.js";
import type { Tensor } from "../tensor.js";
import { share, wholeNumber } from "./options.js";
import { Attention, Mlp, PatchEmbed } from "./vit.js";

const FREQUENCIES = 256; // of a time, half cosines and half sines
const NORM = { elementwiseAffine: false, eps: 1e-6 } as const;

/** positions [t] at wavelengths 2 pi to nearly 20,000 pi: their angles [t, half], float64. */
function anglesOf(positions: Tensor, half: number): Tensor {
  const rates = arange(0, half, 1, { dtype: "float64" })
    .mul(-Math.log(10_000) / half)
    .exp();
  return positions.to("float64").unsqueeze(1).mul(rates);
}

/** Half the features tell the column, half the row, each sines and then cosines: [1, side^2, dim]. */
function positionsOf(side: number, dim: number): Tensor {
  const angles = anglesOf(arange(0, side, 1, { dtype: "float64" }), dim / 4);
  const line = cat([angles.sin(), angles.cos()], 1);
  const columns = line.unsqueeze(0).expand([side, side, dim / 2]);
  const rows = line.unsqueeze(1).expand([side, side, dim / 2]);
  return cat([columns, rows], 2)
    .reshape([1, side * side, dim])
    .to("float32");
}

/** Times [n] to the context's first part, [n, d]. */
class TimestepEmbedder extends Module {
  readonly mlp: Sequential;

  constructor(dim: number) {
    super();
    this.mlp = new Sequential(new Linear(FREQUENCIES, dim), new SiLU(), new Linear(dim, dim));
  }

  forward(t: Tensor): Tensor {
    const angles = anglesOf(t, FREQUENCIES / 2);
    return this.mlp.forward(cat([angles.cos(), angles.sin()], 1).to(t.dtype));
  }
}

/** Labels int32 [n] to the context's second part; the last row is for none. */
class LabelEmbedder extends Module {
  readonly embeddingTable: Embedding;

  constructor(
    readonly classes: number,
    dim: number,
  ) {
    super();
    this.embeddingTable = new Embedding(classes + 1, dim);
    this.registerKey("embeddingTable", "embedding_table");
  }

  forward(labels: Tensor): Tensor {
    return this.embeddingTable.forward(labels);
  }
}

/** `count` rows [n, 1, d] of the context: Linear(SiLU(c)). */
function modulation(dim: number, count: number): Sequential {
  return new Sequential(new SiLU(), new Linear(dim, count * dim));
}

function rowsOf(layer: Sequential, context: Tensor): Tensor[] {
  const rows = layer.forward(context);
  return split(rows.unsqueeze(1), context.shape[1]!, 2);
}

const modulate = (x: Tensor, shift: Tensor, scale: Tensor): Tensor => x.mul(scale.add(1)).add(shift);

class DiTBlock extends Module {
  readonly norm1: LayerNorm;
  readonly attn: Attention;
  readonly norm2: LayerNorm;
  readonly mlp: Mlp;
  readonly adaLNModulation: Sequential;

  constructor(dim: number, heads: number, mlpRatio: number) {
    super();
    this.norm1 = new LayerNorm(dim, NORM);
    this.attn = new Attention(dim, heads, 0, 0);
    this.norm2 = new LayerNorm(dim, NORM);
    this.mlp = new Mlp(dim, Math.round(dim * mlpRatio), 0, "tanh");
    this.adaLNModulation = modulation(dim, 6);
    this.registerKey("adaLNModulation", "adaLN_modulation");
  }

  forward(x: Tensor, context: Tensor): Tensor {
    const [shift1, scale1, gate1, shift2, scale2, gate2] = rowsOf(this.adaLNModulation, context) as Six;
    const y = x.add(gate1.mul(this.attn.forward(modulate(this.norm1.forward(x), shift1, scale1))));
    return y.add(gate2.mul(this.mlp.forward(modulate(this.norm2.forward(y), shift2, scale2))));
  }
}
type Six = [Tensor, Tensor, Tensor, Tensor, Tensor, Tensor];

class FinalLayer extends Module {
  readonly normFinal: LayerNorm;
  readonly linear: Linear;
  readonly adaLNModulation: Sequential;

  constructor(dim: number, numbers: number) {
    super();
    this.normFinal = new LayerNorm(dim, NORM);
    this.linear = new Linear(dim, numbers);
    this.adaLNModulation = modulation(dim, 2);
    this.registerKey("normFinal", "norm_final");
    this.registerKey("adaLNModulation", "adaLN_modulation");
  }

  forward(x: Tensor, context: Tensor): Tensor {
    const [shift, scale] = rowsOf(this.adaLNModulation, context) as [Tensor, Tensor];
    return this.linear.forward(modulate(this.normFinal.forward(x), shift, scale));
  }
}

/** Options of DiT. */
export interface DiTOptions {
  /** Height and width of a picture, or of a latent. Default 32. */
  imageSize?: number;
  /** Side of a patch; divides imageSize. Default 2. */
  patch?: number;
  /** Channels of the pictures. Default 4: latents. */
  channels?: number;
  /** Channels of the prediction. Default those of the pictures; the published weights have twice as many, for variances. */
  outChannels?: number;
  /** Features of a token, a multiple of 4 and of heads. Default 384: DiT-S. */
  dim?: number;
  /** Blocks. Default 12. */
  depth?: number;
  /** Default 6. */
  heads?: number;
  /** Hidden units of the mlp in multiples of dim. Default 4. */
  mlpRatio?: number;
  /** Features of a condition: a vector [n, conditionDim]. Default: none. */
  conditionDim?: number | null;
  /** Classes: the condition is a label int32 [n] instead. Default: none. */
  classes?: number | null;
  /** Share of training samples whose condition is left out, for guidance without a classifier, from 0 to 1. Default 0.1. */
  conditionDropout?: number;
}

type Size = "Ti" | "S" | "B" | "L" | "XL";

/** A configuration by its published name: size and patch. */
export type DiTName = `DiT-${Size}/${2 | 4 | 8}`;

// The paper's table 1, and one for pictures of 28 pixels.
const SIZES: Record<Size, { depth: number; dim: number; heads: number }> = {
  Ti: { depth: 6, dim: 128, heads: 4 },
  S: { depth: 12, dim: 384, heads: 6 },
  B: { depth: 12, dim: 768, heads: 12 },
  L: { depth: 24, dim: 1024, heads: 16 },
  XL: { depth: 28, dim: 1152, heads: 16 },
};

/**
 * The paper's configurations DiT-S, B, L and XL with patches of 2, 4 and 8, and DiT-Ti, a tiny one that is not the paper's:
 * options of DiT.
 *
 * @example
 * const network = shapesOnly(() => new models.DiT({ ...models.DIT_CONFIGS["DiT-XL/2"], classes: 1000, outChannels: 8 }));
 * const parameters = nn.countParameters(network); // 674,834,720
 */
export const DIT_CONFIGS = Object.fromEntries(
  Object.entries(SIZES).flatMap(([size, options]) =>
    [2, 4, 8].map((patch) => [`DiT-${size}/${patch}`, { ...options, patch }]),
  ),
) as Readonly<Record<DiTName, Readonly<Required<Pick<DiTOptions, "depth" | "dim" | "heads" | "patch">>>>>;

/**
 * The diffusion transformer (Peebles & Xie 2023), called as UNet is: noisy pictures or latents and times to predictions.
 *
 * @throws RangeError for a patch that does not divide imageSize, a dim that is no multiple of 4 and of heads, both
 *   conditionDim and classes, or a conditionDropout out of range
 * @example
 * const network = new models.DiT({ ...models.DIT_CONFIGS["DiT-Ti/2"], imageSize: 8, depth: 1, classes: 10 });
 * const t = full([2], 7, { dtype: "int32" });
 * const y = network.forward(zeros([2, 4, 8, 8]), t, full([2], 3, { dtype: "int32" })); // [2, 4, 8, 8], zeros as yet
 */
export class DiT extends Module {
  /** Pictures to patches. */
  readonly xEmbedder: PatchEmbed;
  /** Times to the context, [n, dim]. */
  readonly tEmbedder: TimestepEmbedder;
  /** Labels or conditions to the context; null without either. */
  readonly yEmbedder: LabelEmbedder | Sequential | null;
  /** [1, patches, dim], fixed. */
  readonly posEmbed!: Tensor;
  /** The transformer. */
  readonly blocks: ModuleList<DiTBlock>;
  /** To the numbers of each patch. */
  readonly finalLayer: FinalLayer;
  /** Options with their defaults. */
  readonly options: Readonly<Required<DiTOptions>>;

  /** Random weights, from the default generator; what the blocks add and the prediction are 0. */
  constructor(given: DiTOptions = {}) {
    super();
    const options: Required<DiTOptions> = {
      imageSize: 32,
      patch: 2,
      channels: 4,
      outChannels: given.channels ?? 4,
      dim: 384,
      depth: 12,
      heads: 6,
      mlpRatio: 4,
      conditionDim: null,
      classes: null,
      conditionDropout: 0.1,
      ...given,
    };
    const { imageSize, patch, channels, outChannels, dim, depth, heads, mlpRatio, conditionDim, classes } = options;
    for (const [name, n] of Object.entries({ imageSize, channels, outChannels, dim, depth, heads }))
      wholeNumber("DiT", name, n);
    if (dim % 4 !== 0 || dim % heads !== 0)
      throw new RangeError(`DiT: expected a dim that is a multiple of 4 and of the heads, got ${dim} and ${heads}`);
    share("DiT", "conditionDropout", options.conditionDropout);
    if (!(mlpRatio > 0)) throw new RangeError(`DiT: expected mlpRatio to be above 0, got ${mlpRatio}`);
    if (conditionDim !== null && classes !== null)
      throw new RangeError("DiT: expected conditionDim or classes, got both");
    this.options = options;
    this.xEmbedder = new PatchEmbed("DiT", imageSize, patch, channels, dim);
    this.tEmbedder = new TimestepEmbedder(dim);
    this.yEmbedder = null;
    if (classes !== null) this.yEmbedder = new LabelEmbedder(wholeNumber("DiT", "classes", classes), dim);
    if (conditionDim !== null) {
      const first = new Linear(wholeNumber("DiT", "conditionDim", conditionDim), dim);
      this.yEmbedder = new Sequential(first, new SiLU(), new Linear(dim, dim));
    }
    this.registerBuffer("posEmbed", positionsOf(imageSize / patch, dim), { key: "pos_embed" });
    this.blocks = new ModuleList(Array.from({ length: depth }, () => new DiTBlock(dim, heads, mlpRatio)));
    this.finalLayer = new FinalLayer(dim, patch * patch * outChannels);
    for (const [property, key] of [
      ["xEmbedder", "x_embedder"],
      ["tEmbedder", "t_embedder"],
      ["yEmbedder", "y_embedder"],
      ["finalLayer", "final_layer"],
    ] as const)
      this.registerKey(property, key);
    this.#initialise();
  }

  #initialise(): void {
    for (const m of this.modules()) {
      if (!(m instanceof Linear)) continue;
      init.xavierUniform_(m.weight);
      if (m.bias) init.zeros_(m.bias);
    }
    const { weight, bias } = this.xEmbedder.proj; // as a linear layer: fan-out dim, without the patch's side
    const fanIn = weight.size / weight.shape[0]!;
    const bound = Math.sqrt(6 / (fanIn + weight.shape[0]!));
    init.uniform_(weight, -bound, bound);
    init.zeros_(bias!);
    for (const i of [0, 2]) init.normal_((this.tEmbedder.mlp.at(i) as Linear).weight, 0, 0.02);
    if (this.yEmbedder instanceof LabelEmbedder) init.normal_(this.yEmbedder.embeddingTable.weight, 0, 0.02);
    const zero = [...this.blocks, this.finalLayer].map((m) => m.adaLNModulation.at(1) as Linear);
    for (const { weight, bias } of [...zero, this.finalLayer.linear]) {
      init.zeros_(weight);
      init.zeros_(bias!);
    }
  }

  /**
   * Noisy pictures [n, c, s, s] at times t [n] to the prediction [n, outChannels, s, s].
   *
   * @param condition float [n, conditionDim], or labels int32 [n]; null: none
   */
  forward(x: Tensor, t: Tensor, condition: Tensor | null = null): Tensor {
    const patches = this.xEmbedder.forward(x);
    const n = x.shape[0]!;
    expect(t.ndim === 1 && t.shape[0] === n, "DiT", `times [${n}]`, show(t.shape));
    const context = this.#context(t.to(x.dtype), condition, n);
    let y = patches.add(this.posEmbed);
    for (const block of this.blocks) y = block.forward(y, context);
    return this.#unpatchify(this.finalLayer.forward(y, context));
  }

  #context(t: Tensor, condition: Tensor | null, n: number): Tensor {
    const { conditionDim, conditionDropout: p } = this.options;
    const time = this.tEmbedder.forward(t);
    const drops = this.training && p > 0 && condition !== null;
    if (this.yEmbedder === null) {
      expect(condition === null, "DiT", "no condition (neither conditionDim nor classes were given)", "one");
      return time;
    }
    if (this.yEmbedder instanceof LabelEmbedder) {
      const none = full([n], this.yEmbedder.classes, { dtype: "int32" });
      let labels = condition ?? none;
      expect(labels.ndim === 1 && labels.shape[0] === n, "DiT", `labels [${n}]`, show(labels.shape));
      labels = labels.to("int32");
      if (drops) labels = where(greaterEqual(rand([n]), p), labels, none);
      return time.add(this.yEmbedder.forward(labels));
    }
    let given = condition ?? zeros([n, conditionDim!], { dtype: t.dtype });
    const fits = show(given.shape) === show([n, conditionDim!]);
    expect(fits, "DiT", `a condition [${n},${conditionDim}]`, show(given.shape));
    if (drops) given = given.mul(greaterEqual(rand([n, 1]), p).to(given.dtype));
    return time.add(this.yEmbedder.forward(given));
  }

  /** Patches [n, t, p p c] to pictures [n, c, s, s]. */
  #unpatchify(rows: Tensor): Tensor {
    const { imageSize: s, patch: p, outChannels: c } = this.options;
    const [n, side] = [rows.shape[0]!, s / p];
    return rows.reshape([n, side, side, p, p, c]).permute([0, 5, 1, 3, 2, 4]).reshape([n, c, s, s]);
  }
}
