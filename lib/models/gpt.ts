/**
 * GPT: a decoder-only transformer over tokens (Radford et al., "Language models are unsupervised multitask learners",
 * 2019), in the size and under the keys of nanoGPT.
 *
 *     ids [n, t] -> embedding + positions -> dropout -> layers x block -> LayerNorm -> scores [n, t, vocabulary]
 *
 *     block: x + attention(LayerNorm(x)), causal, then x + mlp(LayerNorm(x)), mlp: Linear(4 d) -> GELU -> Linear(d)
 *
 * Positions are learned, or queries and keys are turned by them (Su et al., "RoFormer", 2021).
 * The last layer's weight is the embedding's. Keys: transformer.wte.weight, transformer.h.0.attn.c_attn.weight, lm_head.weight.
 */
import { expect, show } from "../errors.js";
import { noGrad } from "../graph.js";
import { scope } from "../memory.js";
import { Dropout } from "../nn/activation.js";
import { ModuleList } from "../nn/container.js";
import { inEval } from "../nn/inEval.js";
import * as init from "../nn/init.js";
import { Embedding, Linear } from "../nn/linear.js";
import { type Layer, Module } from "../nn/module.js";
import { LayerNorm } from "../nn/norm.js";
import { greaterEqual, where } from "../ops/arithmetic.js";
import { scaledDotProductAttention } from "../ops/attention.js";
import { arange, full } from "../ops/create.js";
import { split } from "../ops/join.js";
import { type GeneratorOption, multinomial } from "../ops/random.js";
import { cat } from "../ops/shape.js";
import type { Tensor } from "../tensor.js";
import { evenHeads, rotary } from "./attention.js";
import { wholeNumber } from "./options.js";

/** Options of GPT; all but the vocabulary have the values of nanoGPT's small character model on a CPU. */
export interface GPTOptions {
  /** Number of tokens. */
  vocabulary: number;
  /** Longest sequence. Default 64. */
  context?: number;
  /** Features of a token; a multiple of heads. Default 128. */
  dim?: number;
  /** Blocks. Default 4. */
  layers?: number;
  /** Default 4. */
  heads?: number;
  /** Behind embeddings, attention and mlp. Default 0. */
  dropout?: number;
  /** Whether linear layers and normalisations have a bias. Default false. */
  bias?: boolean;
  /** "learned": a row for each place of the context; "rotary": see rotary(), dim / heads must be even. Default "learned". */
  positions?: "learned" | "rotary";
}

/** What generate() is told. */
export interface GenerateOptions extends GeneratorOption {
  /** Scores are divided by it: below 1 is bolder; 0 takes the likeliest token. Default 1. */
  temperature?: number;
  /** Draws from so many likeliest tokens only. Default: from all. */
  topK?: number;
}

type Config = Required<GPTOptions>;

class SelfAttention extends Module {
  readonly cAttn: Linear;
  readonly cProj: Linear;
  readonly heads: number;
  readonly #drop: Dropout;
  readonly #rotary: boolean;

  constructor({ dim, heads, dropout, bias, positions }: Config) {
    super();
    this.heads = heads;
    this.#rotary = positions === "rotary";
    this.cAttn = new Linear(dim, 3 * dim, { bias });
    this.cProj = new Linear(dim, dim, { bias });
    this.#drop = new Dropout(dropout);
    this.registerKey("cAttn", "c_attn");
    this.registerKey("cProj", "c_proj");
  }

  forward(x: Tensor): Tensor {
    const [n, t, d] = x.shape as [number, number, number];
    const [q, k, v] = split(this.cAttn.forward(x), d, 2).map((part) =>
      part.reshape([n, t, this.heads, d / this.heads]).transpose(1, 2),
    ) as [Tensor, Tensor, Tensor];
    const dropout = this.training ? this.#drop.p : 0;
    const [turnedQ, turnedK] = this.#rotary ? [rotary(q), rotary(k)] : [q, k];
    const y = scaledDotProductAttention(turnedQ, turnedK, v, { causal: true, dropout });
    const joined = this.cProj.forward(y.transpose(1, 2).reshape([n, t, d]));
    return this.training ? this.#drop.forward(joined) : joined;
  }
}

class FeedForward extends Module {
  readonly cFc: Linear;
  readonly cProj: Linear;
  readonly dropout: Dropout;

  constructor({ dim, dropout, bias }: Config) {
    super();
    this.cFc = new Linear(dim, 4 * dim, { bias });
    this.cProj = new Linear(4 * dim, dim, { bias });
    this.dropout = new Dropout(dropout);
    this.registerKey("cFc", "c_fc");
    this.registerKey("cProj", "c_proj");
  }

  forward(x: Tensor): Tensor {
    return this.dropout.forward(this.cProj.forward(this.cFc.forward(x).gelu()));
  }
}

class Block extends Module {
  readonly ln1: LayerNorm;
  readonly attn: SelfAttention;
  readonly ln2: LayerNorm;
  readonly mlp: FeedForward;

  constructor(config: Config) {
    super();
    this.ln1 = new LayerNorm(config.dim, { bias: config.bias });
    this.attn = new SelfAttention(config);
    this.ln2 = new LayerNorm(config.dim, { bias: config.bias });
    this.mlp = new FeedForward(config);
    this.registerKey("ln1", "ln_1");
    this.registerKey("ln2", "ln_2");
  }

  forward(x: Tensor): Tensor {
    const y = x.add(this.attn.forward(this.ln1.forward(x)));
    return y.add(this.mlp.forward(this.ln2.forward(y)));
  }
}

/** All but the scores. */
class Trunk extends Module {
  readonly wte: Embedding;
  readonly wpe: Embedding | null;
  readonly drop: Dropout;
  readonly h: ModuleList<Block>;
  readonly lnF: LayerNorm;

  constructor(config: Config) {
    super();
    this.wte = new Embedding(config.vocabulary, config.dim);
    this.wpe = config.positions === "learned" ? new Embedding(config.context, config.dim) : null;
    this.drop = new Dropout(config.dropout);
    this.h = new ModuleList(Array.from({ length: config.layers }, () => new Block(config)));
    this.lnF = new LayerNorm(config.dim, { bias: config.bias });
    this.registerKey("lnF", "ln_f");
  }

  forward(ids: Tensor): Tensor {
    const words = this.wte.forward(ids);
    const positions = this.wpe?.forward(arange(0, ids.shape[1]!, 1, { dtype: "int32" }));
    let x = this.drop.forward(positions ? words.add(positions) : words);
    for (const block of this.h) x = block.forward(x);
    return this.lnF.forward(x);
  }
}

/**
 * A causal transformer over tokens (Radford et al. 2019), sized as nanoGPT's character model by default.
 *
 * @throws RangeError for heads that do not divide dim, or other positions; ShapeError in forward for more tokens than the
 *   context holds
 * @example
 * const model = new models.GPT({ vocabulary: 65, context: 16, dim: 32, layers: 1, heads: 2 });
 * const scores = model.forward(zeros([2, 16], { dtype: "int32" })); // [2, 16, 65]
 * const loss = nn.crossEntropy(scores.reshape([32, 65]), zeros([32], { dtype: "int32" }));
 */
export class GPT extends Module {
  /** Embeddings, blocks, the last normalisation. */
  readonly transformer: Layer;
  /** To scores; its weight is the embedding's. */
  readonly lmHead: Linear;
  /** The options with their defaults. */
  readonly config: Readonly<Required<GPTOptions>>;

  /** Random weights, from the default generator: 0.02 wide, at the ends of branches less by the square root of their number. */
  constructor(options: GPTOptions) {
    super();
    const config: Config = {
      context: 64,
      dim: 128,
      layers: 4,
      heads: 4,
      dropout: 0,
      bias: false,
      positions: "learned",
      ...options,
    };
    for (const name of ["vocabulary", "context", "dim", "layers", "heads"] as const)
      wholeNumber("GPT", name, config[name]);
    if (config.dim % config.heads !== 0)
      throw new RangeError(`GPT: expected heads that divide dim ${config.dim}, got ${config.heads}`);
    if (config.positions !== "learned" && config.positions !== "rotary")
      throw new RangeError(`GPT: expected positions "learned" or "rotary", got ${JSON.stringify(config.positions)}`);
    if (config.positions === "rotary") evenHeads("GPT", "dim", config.dim, config.heads);
    this.config = config;
    const trunk = new Trunk(config);
    this.transformer = trunk;
    this.lmHead = new Linear(config.dim, config.vocabulary, { bias: false });
    this.lmHead.weight = trunk.wte.weight;
    this.registerKey("lmHead", "lm_head");
    for (const [key, p] of this.namedParameters()) {
      if (p.ndim < 2) {
        if (key.endsWith("bias")) init.zeros_(p);
      } else init.normal_(p, 0, key.endsWith("c_proj.weight") ? 0.02 / Math.sqrt(2 * config.layers) : 0.02);
    }
  }

  /** Token ids [n, t] to scores of the next token, [n, t, vocabulary] */
  forward(ids: Tensor): Tensor {
    const { context } = this.config;
    expect(
      ids.ndim === 2 && ids.shape[1]! >= 1 && ids.shape[1]! <= context,
      "GPT",
      `token ids [n,t] with t from 1 to ${context}`,
      show(ids.shape),
    );
    return this.lmHead.forward(this.transformer.forward(ids));
  }

  /**
   * `count` further tokens behind `ids`, drawn one after the other, in eval mode; what lies further back than the context is
   * forgotten.
   *
   * @param ids [n, t], at least one token each
   * @returns [n, t + count]
   */
  generate(ids: Tensor, count: number, { temperature = 1, topK, generator }: GenerateOptions = {}): Tensor {
    wholeNumber("GPT.generate", "count", count, 0);
    expect(temperature >= 0, "GPT.generate", "a temperature from 0 up", `${temperature}`);
    const { context, vocabulary } = this.config;
    const most = topK === undefined ? vocabulary : Math.min(wholeNumber("GPT.generate", "topK", topK), vocabulary);
    const draw = (scores: Tensor): Tensor => {
      if (temperature === 0) return scores.argmax(1, { keepDims: true });
      const warm = scores.div(temperature);
      if (most === vocabulary) return multinomial(warm.softmax(1), 1, { generator });
      const least = warm.topk(most, 1).values.slice(null, [most - 1, most]);
      const kept = where(greaterEqual(warm, least), warm, full([], Number.NEGATIVE_INFINITY));
      return multinomial(kept.softmax(1), 1, { generator });
    };
    const oneMore = (said: Tensor): Tensor => {
      const seen = said.shape[1]! <= context ? said : said.slice(null, [-context]);
      const scores = this.forward(seen).slice(null, -1); // [n, vocabulary]
      return cat([said, draw(scores).to(ids.dtype)], 1);
    };
    return inEval(this, () =>
      noGrad(() => {
        let all = ids;
        for (let i = 0; i < count; i++) {
          const said = all;
          all = scope(() => oneMore(said));
          if (said !== ids) said.free();
        }
        return all;
      }),
    );
  }
}
