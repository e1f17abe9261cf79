/**
 * Contrastive training of a picture tower and a text tower (Radford et al., "Learning transferable visual models from natural
 * language supervision", 2021): pictures and texts that belong together lie close.
 *
 *     pictures -> any network to features -> Linear -> unit length
 *     tokens -> embedding + positions -> transformer -> LayerNorm -> mean over the tokens that are there -> Linear -> unit length
 *     loss: cross-entropy of exp(scale) * pictures texts^T, by rows and by columns; a text that occurs twice in a batch
 *           belongs to both pictures (Yang et al., "Unified contrastive learning in image-text-label space", 2022)
 */
import { expect, show } from "../errors.js";
import { noGrad } from "../graph.js";
import { scope } from "../memory.js";
import { ModuleList } from "../nn/container.js";
import { inEval } from "../nn/inEval.js";
import * as init from "../nn/init.js";
import { Embedding, Linear } from "../nn/linear.js";
import { type Layer, Module } from "../nn/module.js";
import { LayerNorm } from "../nn/norm.js";
import { type Parameter, parameter } from "../nn/parameter.js";
import { full, zeros } from "../ops/create.js";
import { crossEntropy } from "../ops/losses/classes.js";
import type { Tensor } from "../tensor.js";
import { MultiHeadAttention } from "./attention.js";
import { wholeNumber } from "./options.js";
import { Mlp } from "./vit.js";

/** Options of TextEncoder. */
export interface TextEncoderOptions {
  /** Number of tokens. */
  vocabulary: number;
  /** Longest text. Default 32. */
  context?: number;
  /** Features of a token; a multiple of heads. Default 128. */
  dim?: number;
  /** Blocks. Default 2. */
  layers?: number;
  /** Default 4. */
  heads?: number;
  /** Token that fills up and is not looked at. Default 0. */
  pad?: number;
}

class TextBlock extends Module {
  readonly norm1: LayerNorm;
  readonly attention: MultiHeadAttention;
  readonly norm2: LayerNorm;
  readonly mlp: Mlp;

  constructor(dim: number, heads: number) {
    super();
    this.norm1 = new LayerNorm(dim);
    this.attention = new MultiHeadAttention(dim, heads);
    this.norm2 = new LayerNorm(dim);
    this.mlp = new Mlp(dim, 4 * dim);
  }

  forward(x: Tensor, mask: Tensor): Tensor {
    const a = this.norm1.forward(x);
    const y = x.add(this.attention.forward(a, a, { mask }));
    return y.add(this.mlp.forward(this.norm2.forward(y)));
  }
}

/**
 * Texts to vectors: a small transformer that looks both ways. Also conditions diffusion models on text.
 *
 * @throws RangeError for heads that do not divide dim
 * @example
 * const encoder = new models.TextEncoder({ vocabulary: 12, dim: 8, heads: 2, layers: 1 });
 * const vectors = encoder.forward(tensor([[4, 5, 0], [6, 0, 0]], { dtype: "int32" })); // [2, 8]
 */
export class TextEncoder extends Module {
  /** Of the tokens. */
  readonly embed: Embedding;
  /** [context, dim], learned. */
  readonly positions: Parameter;
  /** The transformer. */
  readonly blocks: ModuleList<TextBlock>;
  /** Behind it. */
  readonly norm: LayerNorm;
  /** Features of a text. */
  readonly dim: number;
  readonly #pad: number;
  readonly #context: number;

  /** Random weights, from the default generator. */
  constructor({ vocabulary, context = 32, dim = 128, layers = 2, heads = 4, pad = 0 }: TextEncoderOptions) {
    super();
    for (const [name, n] of Object.entries({ vocabulary, context, dim, layers, heads }))
      wholeNumber("TextEncoder", name, n);
    if (dim % heads !== 0) throw new RangeError(`TextEncoder: expected heads that divide dim ${dim}, got ${heads}`);
    this.dim = dim;
    this.#pad = pad;
    this.#context = context;
    this.embed = new Embedding(vocabulary, dim);
    init.normal_(this.embed.weight, 0, 0.02);
    this.positions = parameter(() => zeros([context, dim]));
    init.normal_(this.positions, 0, 0.01);
    this.blocks = new ModuleList(Array.from({ length: layers }, () => new TextBlock(dim, heads)));
    this.norm = new LayerNorm(dim);
  }

  /** Tokens int32 [n, t], what fills up at their ends, to [n, dim]. A text without tokens is 0. */
  forward(ids: Tensor): Tensor {
    const fits = ids.ndim === 2 && ids.shape[1]! >= 1 && ids.shape[1]! <= this.#context;
    expect(fits, "TextEncoder", `tokens [n,t] with t from 1 to ${this.#context}`, show(ids.shape));
    const [n, t] = ids.shape as [number, number];
    const there = ids.notEqual(this.#pad);
    const mask = there.reshape([n, 1, 1, t]);
    let x = this.embed.forward(ids).add(this.positions.slice([0, t]));
    for (const block of this.blocks) x = block.forward(x, mask);
    const weights = there.to(x.dtype);
    const count = weights.sum(1, { keepDims: true }).clamp(1, Number.POSITIVE_INFINITY);
    return this.norm.forward(x).mul(weights.unsqueeze(2)).sum(1).div(count);
  }
}

/** What CLIP.forward() gives. */
export interface ClipOutput {
  /** Mean of both ways. */
  loss: Tensor;
  /** Pictures by rows, texts by columns: `[n, n]`. */
  logits: Tensor;
}

/** Options of CLIP. */
export interface ClipOptions {
  /** Features that `image` answers. */
  imageDim: number;
  /** Features that `text` answers. */
  textDim: number;
  /** Numbers of the common space. Default 128. */
  dim?: number;
  /** 1 / scale of the products to begin with. Default 0.07. */
  temperature?: number;
}

/**
 * Two towers into one space (Radford et al. 2021).
 *
 * @example
 * const image = new nn.Sequential(new nn.Flatten(), new nn.Linear(48, 16));
 * const text = new models.TextEncoder({ vocabulary: 12, dim: 8, heads: 2, layers: 1 });
 * const model = new models.CLIP(image, text, { imageDim: 16, textDim: 8, dim: 4 });
 * const { loss } = model.forward(randn([2, 3, 4, 4]), tensor([[4, 5], [6, 0]], { dtype: "int32" }));
 */
export class CLIP extends Module {
  /** From pictures' features. */
  readonly imageProjection: Linear;
  /** From texts' features. */
  readonly textProjection: Linear;
  /** Logarithm of what the products are multiplied with; at most log 100. */
  readonly logitScale: Parameter;

  /**
   * Random weights, from the default generator.
   *
   * @param image pictures to [n, imageDim]
   * @param text tokens, or whatever stands for a text, to [n, textDim]
   */
  constructor(
    readonly image: Layer,
    readonly text: Layer,
    { imageDim, textDim, dim = 128, temperature = 0.07 }: ClipOptions,
  ) {
    super();
    for (const [name, n] of Object.entries({ imageDim, textDim, dim })) wholeNumber("CLIP", name, n);
    expect(temperature > 0, "CLIP", "a temperature above 0", `${temperature}`);
    this.imageProjection = new Linear(imageDim, dim, { bias: false });
    this.textProjection = new Linear(textDim, dim, { bias: false });
    this.logitScale = parameter(() => full([], -Math.log(temperature)));
    this.registerKey("logitScale", "logit_scale");
    this.registerKey("imageProjection", "image_projection");
    this.registerKey("textProjection", "text_projection");
  }

  /** Pictures to vectors of length 1, [n, dim]. */
  encodeImage(x: Tensor): Tensor {
    return unit(this.imageProjection.forward(this.image.forward(x)));
  }

  /** Texts to vectors of length 1, [n, dim]. */
  encodeText(x: Tensor): Tensor {
    return unit(this.textProjection.forward(this.text.forward(x)));
  }

  /** Pictures alone to their vectors [n, dim], as encodeImage(): what a train.Trainer hands to loss(). */
  forward(pictures: Tensor): Tensor;
  /** Pictures and their texts, row by row, to the loss and the scaled products [n, n]. */
  forward(pictures: Tensor, texts: Tensor): ClipOutput;
  forward(pictures: Tensor, texts?: Tensor): Tensor | ClipOutput {
    const vectors = this.encodeImage(pictures);
    return texts ? this.#contrast(vectors, texts) : vectors;
  }

  /**
   * The loss of pictures' vectors [n, dim], which forward() gives, and their texts. Equal texts of a batch are no mistakes
   * for each other: the targets of a picture are spread evenly over them, and so for a text.
   *
   * @example
   * const text = new models.TextEncoder({ vocabulary: 12, dim: 8, heads: 2, layers: 1 });
   * const model = new models.CLIP(new nn.Flatten(), text, { imageDim: 12, textDim: 8, dim: 4 });
   * const trainer = new train.Trainer(model, {
   *   optimizer: new optim.AdamW(model.parameters()),
   *   loss: (vectors, texts) => model.loss(vectors, texts),
   * });
   * const texts = tensor([[4, 5], [6, 0]], { dtype: "int32" });
   * const loader = new data.DataLoader(new data.TensorDataset([randn([2, 3, 2, 2]), texts]), { batchSize: 2 });
   * await trainer.fit(loader, { epochs: 1 });
   */
  loss(vectors: Tensor, texts: Tensor): Tensor {
    return this.#contrast(vectors, texts).loss;
  }

  #contrast(vectors: Tensor, texts: Tensor): ClipOutput {
    const n = vectors.shape[0]!;
    expect(texts.shape[0] === n, "CLIP", `as many texts as pictures (${n})`, `${texts.shape[0]}`);
    const scale = this.logitScale.clamp(Number.NEGATIVE_INFINITY, Math.log(100)).exp();
    const logits = vectors.matmul(this.encodeText(texts).t()).mul(scale);
    const same = sameRows(texts).to(logits.dtype);
    const targets = same.div(same.sum(1, { keepDims: true })); // symmetric where it is not 0
    const loss = crossEntropy(logits, targets).add(crossEntropy(logits.t(), targets)).mul(0.5);
    return { loss, logits };
  }

  /** For each picture the class whose text lies nearest, in eval mode: int32 [n]. `classTexts` [classes, ...], a text a class. */
  classify(pictures: Tensor, classTexts: Tensor): Tensor {
    const nearest = () => this.encodeImage(pictures).matmul(this.encodeText(classTexts).t()).argmax(1);
    return inEval(this, () => noGrad(() => scope(nearest)));
  }
}

const unit = (x: Tensor): Tensor =>
  x.div(x.square().sum(1, { keepDims: true }).sqrt().clamp(1e-12, Number.POSITIVE_INFINITY));

/** Which rows are equal: bool [n, n]. */
const sameRows = (x: Tensor): Tensor => {
  const rows = x.flatten(1);
  return rows.unsqueeze(1).equal(rows.unsqueeze(0)).all(2);
};
