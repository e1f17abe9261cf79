/**
 * Multi-head attention with a layer for each of its four projections, and the positions that transformers add or rotate
 * by. nn.MultiheadAttention computes the same under PyTorch's keys; this one reads like the paper, takes keys and values of
 * another width, rotates, and answers its maps.
 */
import { expect, show } from "../errors.js";
import type { DType } from "../native.js";
import { Dropout } from "../nn/activation.js";
import { Linear } from "../nn/linear.js";
import { Module } from "../nn/module.js";
import { attentionWithWeights, scaledDotProductAttention } from "../ops/attention.js";
import { arange } from "../ops/create.js";
import { cat, slice, stack } from "../ops/shape.js";
import type { Tensor } from "../tensor.js";
import { wholeNumber } from "./options.js";

/** Options of rotary(). */
export interface RotaryOptions {
  /** Longest wavelength is 2 pi times this, shortest 2 pi. Default 10,000. */
  base?: number;
  /** Position of the first row. Default 0. */
  start?: number;
}

/**
 * Rotary positions (Su et al., "RoFormer", 2021): features i and i + d/2 of row t are turned by the angle
 * t / base^(2i/d), so that products of rows depend on their distance alone.
 *
 * @param x [..., t, d], d even
 * @returns [..., t, d]
 * @example
 * const q = models.rotary(randn([2, 4, 10, 16])); // 2 sequences, 4 heads, 10 tokens
 */
export function rotary(x: Tensor, { base = 10_000, start = 0 }: RotaryOptions = {}): Tensor {
  const [t, d] = x.shape.slice(-2) as [number, number];
  expect(x.ndim >= 2 && d % 2 === 0, "rotary", "x [...,t,d] with an even number of features", show(x.shape));
  const half = d / 2;
  const angles = anglesOf(t, half, base, start);
  const [cos, sin] = [angles.cos().to(x.dtype), angles.sin().to(x.dtype)];
  const before = Array<null>(x.ndim - 1).fill(null);
  const [a, b] = [slice(x, ...before, [0, half]), slice(x, ...before, [half])];
  return cat([a.mul(cos).sub(b.mul(sin)), b.mul(cos).add(a.mul(sin))], -1);
}

/** Throws where heads of `width` features, named `name`, have an odd number each: rotary() turns pairs. */
export function evenHeads(model: string, name: string, width: number, heads: number): void {
  if ((width / heads) % 2 === 0) return;
  throw new RangeError(
    `${model}: expected an even number of features a head for rotary positions, got ${width / heads} (${name} ${width}, heads ${heads}); take ${name} ${width + heads}, or no rotary positions`,
  );
}

/** t / base^(i / half) for positions t and pairs i: [t, half], float64. */
function anglesOf(t: number, half: number, base: number, start = 0): Tensor {
  const rates = arange(0, half, 1, { dtype: "float64" })
    .mul(-Math.log(base) / half)
    .exp();
  return arange(start, start + t, 1, { dtype: "float64" })
    .unsqueeze(1)
    .mul(rates);
}

/**
 * The table of Vaswani et al. 2017: row t holds sin(t / 10000^(2i/d)) at 2i and the cosine at 2i + 1.
 *
 * @param count rows
 * @param dim columns, even
 * @returns [count, dim]
 * @example
 * const table = models.sinusoidal(50, 16);
 */
export function sinusoidal(count: number, dim: number, { dtype = "float32" }: { dtype?: DType } = {}): Tensor {
  expect(dim % 2 === 0, "sinusoidal", "an even number of columns", `${dim}`);
  const angles = anglesOf(count, dim / 2, 10_000);
  return stack([angles.sin(), angles.cos()], 2).reshape([count, dim]).to(dtype);
}

/** Options of MultiHeadAttention. */
export interface MultiHeadAttentionOptions {
  /** Probability that a weight is dropped in training. Default 0. */
  dropout?: number;
  /** Features of keys and values, where they are not those of the queries (cross attention). Default embedDim. */
  kvDim?: number;
  /** Whether the four layers have a bias. Default true. */
  bias?: boolean;
  /** Turns queries and keys by their positions; embedDim / heads must be even. Default false. */
  rotary?: boolean | RotaryOptions;
}

/** What MultiHeadAttention.maps() gives. */
export interface AttentionMaps {
  /** As forward() gives it. */
  y: Tensor;
  /** [n, heads, t, s], rows sum to 1. */
  weights: Tensor;
}

/** What one call of MultiHeadAttention is told. */
export interface AttendOptions {
  /** bool, true where a query may look at a key; or floats that are added. Broadcasts to [n, heads, t, s]. */
  mask?: Tensor | null;
  /** Query i sees keys 0 to i only. Default false. */
  causal?: boolean;
}

/**
 * Attention in `heads` subspaces at once (Vaswani et al. 2017):
 * out(concat of softmax(q k^T / sqrt(d / heads)) v), with q = query(x), k = key(y), v = value(y).
 *
 * @throws RangeError where the heads do not divide embedDim, or have an odd number of features to turn
 * @example
 * const attention = new models.MultiHeadAttention(16, 4);
 * const x = randn([2, 5, 16]);
 * const y = attention.forward(x); // self-attention: [2, 5, 16]
 * const z = attention.forward(x, randn([2, 9, 16])); // cross attention
 */
export class MultiHeadAttention extends Module {
  /** Of the queries. */
  readonly query: Linear;
  /** Of the keys. */
  readonly key: Linear;
  /** Of the values. */
  readonly value: Linear;
  /** Of what the heads found. */
  readonly out: Linear;
  readonly #rotary: RotaryOptions | null;
  readonly #drop: Dropout;

  /** Random weights, from the default generator. */
  constructor(
    /** Features of the queries, and of the result. */
    readonly embedDim: number,
    /** Subspaces. */
    readonly heads: number,
    { dropout = 0, kvDim = embedDim, bias = true, rotary = false }: MultiHeadAttentionOptions = {},
  ) {
    super();
    for (const [name, n] of Object.entries({ embedDim, heads, kvDim })) wholeNumber("MultiHeadAttention", name, n);
    if (embedDim % heads !== 0)
      throw new RangeError(`MultiHeadAttention: expected heads that divide embedDim ${embedDim}, got ${heads}`);
    if (rotary) evenHeads("MultiHeadAttention", "embedDim", embedDim, heads);
    this.query = new Linear(embedDim, embedDim, { bias });
    this.key = new Linear(kvDim, embedDim, { bias });
    this.value = new Linear(kvDim, embedDim, { bias });
    this.out = new Linear(embedDim, embedDim, { bias });
    this.#rotary = rotary === true ? {} : rotary || null;
    this.#drop = new Dropout(dropout);
  }

  /** Queries of `x` [n, t, embedDim] to keys and values of `from` [n, s, kvDim], x itself by default: [n, t, embedDim] */
  forward(x: Tensor, from: Tensor = x, { mask = null, causal = false }: AttendOptions = {}): Tensor {
    const [q, k, v] = this.#project(x, from);
    const dropout = this.training ? this.#drop.p : 0;
    return this.#join(scaledDotProductAttention(q, k, v, { mask, causal, dropout }));
  }

  /** forward() that answers the weights too, [n, heads, t, s]: their matrix is stored, and nothing is dropped. */
  maps(x: Tensor, from: Tensor = x, { mask = null, causal = false }: AttendOptions = {}): AttentionMaps {
    const [q, k, v] = this.#project(x, from);
    const [y, weights] = attentionWithWeights(q, k, v, { mask, causal });
    return { y: this.#join(y), weights };
  }

  #project(x: Tensor, from: Tensor): [Tensor, Tensor, Tensor] {
    const { embedDim, heads, key } = this;
    const fits = x.ndim === 3 && x.shape[2] === embedDim && from.ndim === 3 && from.shape[2] === key.inFeatures;
    if (!fits || from.shape[0] !== x.shape[0])
      throw new RangeError(
        `MultiHeadAttention: expected queries [n,t,${embedDim}] and keys [n,s,${key.inFeatures}], got ${show(x.shape)} and ${show(from.shape)}`,
      );
    const split = (t: Tensor) => t.reshape([t.shape[0]!, t.shape[1]!, heads, embedDim / heads]).transpose(1, 2);
    const turn = (t: Tensor) => (this.#rotary ? rotary(t, this.#rotary) : t);
    return [turn(split(this.query.forward(x))), turn(split(this.key.forward(from))), split(this.value.forward(from))];
  }

  #join(y: Tensor): Tensor {
    const [n, , t] = y.shape as [number, number, number];
    return this.out.forward(y.transpose(1, 2).reshape([n, t, this.embedDim]));
  }

  protected override describe(): string {
    return `${this.embedDim}, ${this.heads}`;
  }
}
