/**
 * The transformer of Vaswani et al. 2017, "Attention is all you need", layer by layer and under PyTorch's keys.
 */

import { expect } from "../errors.js";
import { noGrad } from "../graph.js";
import { add, lessEqual, mul, where } from "../ops/arithmetic.js";
import { arange, full, zeros } from "../ops/create.js";
import { cos, exp, gelu, relu, sin } from "../ops/elementwise.js";
import type { GeneratorOption } from "../ops/random.js";
import { reshape, slice, stack, unsqueeze } from "../ops/shape.js";
import type { Tensor } from "../tensor.js";
import { Dropout } from "./activation.js";
import { MultiheadAttention } from "./attention.js";
import { ModuleList } from "./container.js";
import * as init from "./init.js";
import { expectCount, type FactoryOptions, Linear } from "./linear.js";
import { Module } from "./module.js";
import { LayerNorm } from "./norm.js";

/** Options of the layers of transformers. */
export interface TransformerLayerOptions extends FactoryOptions, GeneratorOption {
  /** Width of the feed-forward part. Default 2048. */
  dimFeedforward?: number;
  /** Probability of dropout, in the attention's weights too. Default 0.1. */
  dropout?: number;
  /** Of the feed-forward part; a function of one's own is allowed. Default relu. */
  activation?: "relu" | "gelu" | ((x: Tensor) => Tensor);
  /** Added to the variance by the norms. Default 1e-5. */
  layerNormEps?: number;
  /** [n, t, e] instead of PyTorch's default [t, n, e]. Default false. */
  batchFirst?: boolean;
  /** Norms before attention and feed-forward instead of after them (Xiong et al. 2020). Default false. */
  normFirst?: boolean;
  /** Default true. */
  bias?: boolean;
}

const ACTIVATIONS = { relu, gelu: (x: Tensor) => gelu(x) };

function activationOf(op: string, given: TransformerLayerOptions["activation"] = "relu"): (x: Tensor) => Tensor {
  if (typeof given === "function") return given;
  expect(Object.hasOwn(ACTIVATIONS, given), op, "an activation relu or gelu, or a function", JSON.stringify(given));
  return ACTIVATIONS[given];
}

/** What a layer is told about its input; bool masks are true where PyTorch's are: at what is left out. */
export interface EncoderCallOptions {
  /** [t, t] or [n heads, t, t] */
  mask?: Tensor | null;
  /** [n, t] */
  srcKeyPaddingMask?: Tensor | null;
  /** Position i sees 0 to i only: quicker than a mask that says so. Default false. */
  isCausal?: boolean;
}

/** What a decoder is told about its inputs; bool masks are true where PyTorch's are: at what is left out. */
export interface DecoderCallOptions {
  /** [t, t] */
  tgtMask?: Tensor | null;
  /** [t, s] */
  memoryMask?: Tensor | null;
  /** [n, t] */
  tgtKeyPaddingMask?: Tensor | null;
  /** [n, s] */
  memoryKeyPaddingMask?: Tensor | null;
  /** Position i of tgt sees 0 to i only. Default false. */
  tgtIsCausal?: boolean;
  /** Position i of tgt sees 0 to i of memory only. Default false. */
  memoryIsCausal?: boolean;
}

/**
 * Self-attention and a feed-forward part, each with a residual connection and a LayerNorm.
 *
 * @example
 * const layer = new nn.TransformerEncoderLayer(16, 4, { dimFeedforward: 32, batchFirst: true });
 * const y = layer.forward(randn([2, 5, 16])); // [2, 5, 16]
 */
export class TransformerEncoderLayer extends Module {
  /** Attention of src to itself. */
  selfAttn: MultiheadAttention;
  /** dModel to dimFeedforward, before the activation. */
  linear1: Linear;
  /** Between the activation and linear2. */
  dropout: Dropout;
  /** dimFeedforward to dModel. */
  linear2: Linear;
  /** Of the attention: behind its residual sum, or before it with normFirst. */
  norm1: LayerNorm;
  /** Of the feed-forward part: behind its residual sum, or before it with normFirst. */
  norm2: LayerNorm;
  /** Of the attention's output. */
  dropout1: Dropout;
  /** Of the feed-forward part's output. */
  dropout2: Dropout;
  /** Whether the norms stand before attention and feed-forward. */
  readonly normFirst: boolean;
  readonly #activation: (x: Tensor) => Tensor;

  /**
   * Parameters start as those of the modules inside.
   *
   * @param dModel e, features of src
   * @param nhead heads; must divide dModel
   */
  constructor(dModel: number, nhead: number, options: TransformerLayerOptions = {}) {
    super();
    const { dimFeedforward = 2048, dropout = 0.1, layerNormEps = 1e-5, batchFirst, normFirst = false, bias } = options;
    const { dtype, generator, activation } = options;
    expectCount("TransformerEncoderLayer", "features of the feed-forward part", dimFeedforward);
    this.selfAttn = new MultiheadAttention(dModel, nhead, { dropout, bias, batchFirst, dtype, generator });
    this.linear1 = new Linear(dModel, dimFeedforward, { bias, dtype });
    this.dropout = new Dropout(dropout, { generator });
    this.linear2 = new Linear(dimFeedforward, dModel, { bias, dtype });
    this.norm1 = new LayerNorm(dModel, { eps: layerNormEps, bias, dtype });
    this.norm2 = new LayerNorm(dModel, { eps: layerNormEps, bias, dtype });
    this.dropout1 = new Dropout(dropout, { generator });
    this.dropout2 = new Dropout(dropout, { generator });
    this.normFirst = normFirst;
    this.#activation = activationOf("TransformerEncoderLayer", activation);
    this.registerKey("selfAttn", "self_attn");
  }

  #attend(x: Tensor, { mask = null, srcKeyPaddingMask = null, isCausal = false }: EncoderCallOptions): Tensor {
    const options = { attnMask: mask, keyPaddingMask: srcKeyPaddingMask, isCausal };
    return this.dropout1.forward(this.selfAttn.forward(x, x, x, options)[0]);
  }

  #feed(x: Tensor): Tensor {
    const inside = this.dropout.forward(this.#activation(this.linear1.forward(x)));
    return this.dropout2.forward(this.linear2.forward(inside));
  }

  /** src: [t, n, e], or [n, t, e] with batchFirst, or [t, e]. Returns the same shape. */
  forward(src: Tensor, options: EncoderCallOptions = {}): Tensor {
    if (this.normFirst) {
      const x = add(src, this.#attend(this.norm1.forward(src), options));
      return add(x, this.#feed(this.norm2.forward(x)));
    }
    const x = this.norm1.forward(add(src, this.#attend(src, options)));
    return this.norm2.forward(add(x, this.#feed(x)));
  }
}

/** Self-attention, attention to the encoder's output, and a feed-forward part, each with a residual connection and a LayerNorm. */
export class TransformerDecoderLayer extends Module {
  /** Attention of tgt to itself. */
  selfAttn: MultiheadAttention;
  /** Attention of tgt to memory. */
  multiheadAttn: MultiheadAttention;
  /** dModel to dimFeedforward, before the activation. */
  linear1: Linear;
  /** Between the activation and linear2. */
  dropout: Dropout;
  /** dimFeedforward to dModel. */
  linear2: Linear;
  /** Of the self-attention: behind its residual sum, or before it with normFirst. */
  norm1: LayerNorm;
  /** Of the attention to memory. */
  norm2: LayerNorm;
  /** Of the feed-forward part. */
  norm3: LayerNorm;
  /** Of the self-attention's output. */
  dropout1: Dropout;
  /** Of the output of the attention to memory. */
  dropout2: Dropout;
  /** Of the feed-forward part's output. */
  dropout3: Dropout;
  /** Whether the norms stand before the three parts. */
  readonly normFirst: boolean;
  readonly #activation: (x: Tensor) => Tensor;

  /**
   * Parameters start as those of the modules inside.
   *
   * @param dModel e, features of tgt and memory
   * @param nhead heads; must divide dModel
   */
  constructor(dModel: number, nhead: number, options: TransformerLayerOptions = {}) {
    super();
    const { dimFeedforward = 2048, dropout = 0.1, layerNormEps = 1e-5, batchFirst, normFirst = false, bias } = options;
    const { dtype, generator, activation } = options;
    expectCount("TransformerDecoderLayer", "features of the feed-forward part", dimFeedforward);
    const attention = { dropout, bias, batchFirst, dtype, generator };
    const norm = () => new LayerNorm(dModel, { eps: layerNormEps, bias, dtype });
    this.selfAttn = new MultiheadAttention(dModel, nhead, attention);
    this.multiheadAttn = new MultiheadAttention(dModel, nhead, attention);
    this.linear1 = new Linear(dModel, dimFeedforward, { bias, dtype });
    this.dropout = new Dropout(dropout, { generator });
    this.linear2 = new Linear(dimFeedforward, dModel, { bias, dtype });
    this.norm1 = norm();
    this.norm2 = norm();
    this.norm3 = norm();
    this.dropout1 = new Dropout(dropout, { generator });
    this.dropout2 = new Dropout(dropout, { generator });
    this.dropout3 = new Dropout(dropout, { generator });
    this.normFirst = normFirst;
    this.#activation = activationOf("TransformerDecoderLayer", activation);
    this.registerKey("selfAttn", "self_attn");
    this.registerKey("multiheadAttn", "multihead_attn");
  }

  /** tgt: [t, n, e] and memory: [s, n, e], or batch first. Returns tgt's shape. */
  forward(tgt: Tensor, memory: Tensor, options: DecoderCallOptions = {}): Tensor {
    const { tgtMask = null, memoryMask = null, tgtKeyPaddingMask = null, memoryKeyPaddingMask = null } = options;
    const { tgtIsCausal = false, memoryIsCausal = false } = options;
    const own = { attnMask: tgtMask, keyPaddingMask: tgtKeyPaddingMask, isCausal: tgtIsCausal };
    const other = { attnMask: memoryMask, keyPaddingMask: memoryKeyPaddingMask, isCausal: memoryIsCausal };
    const parts: [LayerNorm, (x: Tensor) => Tensor][] = [
      [this.norm1, (x) => this.dropout1.forward(this.selfAttn.forward(x, x, x, own)[0])],
      [this.norm2, (x) => this.dropout2.forward(this.multiheadAttn.forward(x, memory, memory, other)[0])],
      [
        this.norm3,
        (x) => {
          const inside = this.dropout.forward(this.#activation(this.linear1.forward(x)));
          return this.dropout3.forward(this.linear2.forward(inside));
        },
      ],
    ];
    let x = tgt;
    for (const [norm, part] of parts)
      x = this.normFirst ? add(x, part(norm.forward(x))) : norm.forward(add(x, part(x)));
    return x;
  }
}

/** `numLayers` layers that `make` answers one after the other; a LayerNorm after the last where given. */
export class TransformerEncoder extends Module {
  /** The layers, first to last. */
  layers: ModuleList<TransformerEncoderLayer>;
  /** Of the last layer's output, or null. */
  norm: LayerNorm | null;

  /**
   * Parameters start as those of the modules inside.
   *
   * @param make the layer of each number; PyTorch copies one layer instead
   * @param numLayers how often make is called
   */
  constructor(
    make: (layer: number) => TransformerEncoderLayer,
    readonly numLayers: number,
    { norm = null }: { norm?: LayerNorm | null } = {},
  ) {
    super();
    expectCount("TransformerEncoder", "layers", numLayers);
    this.layers = new ModuleList(Array.from({ length: numLayers }, (_, i) => make(i)));
    this.norm = norm;
  }

  /** src: as the layers take it. The options go to every layer. Returns the same shape. */
  forward(src: Tensor, options: EncoderCallOptions = {}): Tensor {
    let x = src;
    for (const layer of this.layers) x = layer.forward(x, options);
    return this.norm ? this.norm.forward(x) : x;
  }
}

/** `numLayers` layers that `make` answers one after the other; a LayerNorm after the last where given. */
export class TransformerDecoder extends Module {
  /** The layers, first to last. */
  layers: ModuleList<TransformerDecoderLayer>;
  /** Of the last layer's output, or null. */
  norm: LayerNorm | null;

  /**
   * Parameters start as those of the modules inside.
   *
   * @param make the layer of each number; PyTorch copies one layer instead
   * @param numLayers how often make is called
   */
  constructor(
    make: (layer: number) => TransformerDecoderLayer,
    readonly numLayers: number,
    { norm = null }: { norm?: LayerNorm | null } = {},
  ) {
    super();
    expectCount("TransformerDecoder", "layers", numLayers);
    this.layers = new ModuleList(Array.from({ length: numLayers }, (_, i) => make(i)));
    this.norm = norm;
  }

  /** tgt and memory: as the layers take them. memory and options go to every layer. Returns tgt's shape. */
  forward(tgt: Tensor, memory: Tensor, options: DecoderCallOptions = {}): Tensor {
    let x = tgt;
    for (const layer of this.layers) x = layer.forward(x, memory, options);
    return this.norm ? this.norm.forward(x) : x;
  }
}

/** Options of Transformer: sizes and counts, and what its layers take. */
export interface TransformerOptions extends TransformerLayerOptions {
  /** Features. Default 512. */
  dModel?: number;
  /** Heads. Default 8. */
  nhead?: number;
  /** Default 6. */
  numEncoderLayers?: number;
  /** Default 6. */
  numDecoderLayers?: number;
}

/** What one call of Transformer is told: the encoder's masks, and the decoder's. */
export interface TransformerCallOptions extends DecoderCallOptions {
  /** [s, s] or [n heads, s, s], for the encoder. */
  srcMask?: Tensor | null;
  /** [n, s], for the encoder; the decoder's view of memory has memoryKeyPaddingMask. */
  srcKeyPaddingMask?: Tensor | null;
  /** Position i of src sees 0 to i only. Default false. */
  srcIsCausal?: boolean;
}

/**
 * An encoder of src, whose output a decoder of tgt attends to.
 *
 * @example
 * const net = new nn.Transformer({ dModel: 8, nhead: 2, numEncoderLayers: 1, numDecoderLayers: 1, dimFeedforward: 16 });
 * const y = net.forward(randn([6, 2, 8]), randn([4, 2, 8]), { tgtIsCausal: true }); // [4, 2, 8]
 */
export class Transformer extends Module {
  /** Of src, with a LayerNorm at its end. */
  encoder: TransformerEncoder;
  /** Of tgt, with a LayerNorm at its end. */
  decoder: TransformerDecoder;

  /**
   * Parameters start as resetParameters() sets them.
   *
   * @param options dModel must be a multiple of nhead
   */
  constructor({
    dModel = 512,
    nhead = 8,
    numEncoderLayers = 6,
    numDecoderLayers = 6,
    ...options
  }: TransformerOptions = {}) {
    super();
    const norm = () => new LayerNorm(dModel, { eps: options.layerNormEps, bias: options.bias, dtype: options.dtype });
    const encoderLayer = () => new TransformerEncoderLayer(dModel, nhead, options);
    const decoderLayer = () => new TransformerDecoderLayer(dModel, nhead, options);
    this.encoder = new TransformerEncoder(encoderLayer, numEncoderLayers, { norm: norm() });
    this.decoder = new TransformerDecoder(decoderLayer, numDecoderLayers, { norm: norm() });
    this.resetParameters();
  }

  /** PyTorch's initial values: xavierUniform_ for all parameters with more than one dimension; the others stay. */
  resetParameters(): void {
    for (const p of this.parameters()) if (p.ndim > 1) init.xavierUniform_(p);
  }

  /** src: [s, n, e], tgt: [t, n, e], or batch first. Returns tgt's shape. */
  forward(src: Tensor, tgt: Tensor, options: TransformerCallOptions = {}): Tensor {
    const { srcMask = null, srcKeyPaddingMask = null, srcIsCausal = false, ...rest } = options;
    const memory = this.encoder.forward(src, { mask: srcMask, srcKeyPaddingMask, isCausal: srcIsCausal });
    return this.decoder.forward(tgt, memory, rest);
  }

  /** A mask [size, size]: 0 up to the diagonal, -inf beyond it. `isCausal` does the same without a mask. */
  static generateSquareSubsequentMask(size: number): Tensor {
    const sees = lessEqual(arange(size), unsqueeze(arange(size), 1));
    return where(sees, full([], 0), Number.NEGATIVE_INFINITY);
  }
}

/**
 * Sines and cosines of wavelengths from 2 pi to 20,000 pi added to x, so that attention knows positions:
 * p[i, 2j] = sin(i / 10000^(2j / e)), p[i, 2j + 1] = cos of the same; then dropout.
 */
export class PositionalEncoding extends Module {
  /** [maxLength, dModel], float: the table; not in the state dict. */
  pe!: Tensor;
  /** Of the sum. */
  dropout: Dropout;

  /**
   * Computes the table; nothing is learned.
   *
   * @param dModel features of x
   */
  constructor(
    readonly dModel: number,
    { maxLength = 5000, dropout = 0.1, batchFirst = false, dtype, generator }: PositionalEncodingOptions = {},
  ) {
    super();
    expectCount("PositionalEncoding", "features", dModel);
    expectCount("PositionalEncoding", "positions", maxLength);
    this.batchFirst = batchFirst;
    this.dropout = new Dropout(dropout, { generator });
    const table = noGrad(() => {
      const pairs = Math.ceil(dModel / 2);
      const rates = exp(mul(arange(0, pairs, 1, { dtype: "float64" }), (-2 * Math.log(10_000)) / dModel));
      const angles = mul(arange(0, maxLength, 1, { dtype: "float64" }).unsqueeze(1), rates); // [maxLength, pairs]
      const both = reshape(stack([sin(angles), cos(angles)], 2), [maxLength, 2 * pairs]);
      return slice(both, null, [0, dModel]).to(dtype ?? zeros([0]).dtype);
    });
    this.registerBuffer("pe", table, { persistent: false });
  }
  /** Whether x is [n, t, e] and not [t, n, e]. */
  readonly batchFirst: boolean;

  /** [t, n, e], or [n, t, e] with batchFirst. */
  forward(x: Tensor): Tensor {
    const t = x.shape[this.batchFirst ? 1 : 0] ?? 0;
    const fits = x.ndim === 3 && x.shape[2] === this.dModel && t <= this.pe.shape[0];
    expect(
      fits,
      "PositionalEncoding",
      `x with 3 dimensions, ${this.dModel} features and at most ${this.pe.shape[0]} positions`,
      `[${x.shape}]`,
    );
    const rows = slice(this.pe, [0, t]);
    return this.dropout.forward(add(x, this.batchFirst ? rows : unsqueeze(rows, 1)));
  }
}

/** Options of PositionalEncoding. */
export interface PositionalEncodingOptions extends FactoryOptions, GeneratorOption {
  /** Positions that the table has. Default 5000. */
  maxLength?: number;
  /** Default 0.1. */
  dropout?: number;
  /** Default false. */
  batchFirst?: boolean;
}
