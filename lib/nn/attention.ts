/**
 * Multi-head attention, under PyTorch's keys.
 */
import { expect, show } from "../errors.js";
import { add, where } from "../ops/arithmetic.js";
import { attentionWithWeights, scaledDotProductAttention } from "../ops/attention.js";
import { full, zeros } from "../ops/create.js";
import { linear } from "../ops/matmul.js";
import type { GeneratorOption } from "../ops/random.js";
import { mean } from "../ops/reduce.js";
import { cat, expand, permute, reshape, slice, transpose, unsqueeze } from "../ops/shape.js";
import { sizeOfShape, type Tensor } from "../tensor.js";
import * as init from "./init.js";
import { expectCount, type FactoryOptions, Linear } from "./linear.js";
import { Module } from "./module.js";
import { type Parameter, parameter } from "./parameter.js";
import { steps } from "./steps.js";

/** Options of MultiheadAttention. */
export interface MultiheadAttentionOptions extends FactoryOptions, GeneratorOption {
  /** Probability that a weight is dropped in training. Default 0. */
  dropout?: number;
  /** Whether the four projections have a bias. Default true. */
  bias?: boolean;
  /** Learned rows added behind the keys and the values. Default false. */
  addBiasKv?: boolean;
  /** A row of zeros added behind the keys and the values: a query may look at nothing. Default false. */
  addZeroAttn?: boolean;
  /** Features of the keys and of the values. Default those of the queries. */
  kdim?: number;
  /** Features of the values. Default those of the queries. */
  vdim?: number;
  /** [n, t, e] instead of PyTorch's default [t, n, e]. Default false. */
  batchFirst?: boolean;
}

/** What one call of MultiheadAttention is told. */
export interface AttentionCallOptions {
  /** bool [n, s] ([s] without a batch): true leaves a key out, as in PyTorch; floats are added to its scores. */
  keyPaddingMask?: Tensor | null;
  /** [t, s] or [n heads, t, s]. bool: true leaves the pair out, as in PyTorch (scaledDotProductAttention: true keeps it). */
  attnMask?: Tensor | null;
  /** Query i sees keys 0 to i only. Default false. */
  isCausal?: boolean;
  /** Answer the weights too: their matrix is then stored. Default false (PyTorch: true). */
  needWeights?: boolean;
  /** The mean of the weights over the heads. Default true. */
  averageAttnWeights?: boolean;
}

/** A mask that adds -inf where `out` is true; floats as they are. */
const excluding = (out: Tensor, dtype: Tensor["dtype"]): Tensor =>
  out.dtype === "bool" ? where(out, full([], Number.NEGATIVE_INFINITY, { dtype }), 0) : out;

/**
 * Attention in `numHeads` subspaces at once (Vaswani et al. 2017, "Attention is all you need"):
 * concat(head_1, ..., head_h) W_out + b, head_i = softmax(q W_q (k W_k)^T / sqrt(e / h)) v W_v.
 *
 * Parameters: in_proj_weight [3 e, e] (q_proj_weight, k_proj_weight, v_proj_weight where kdim or vdim differ),
 * in_proj_bias [3 e], out_proj.weight [e, e], out_proj.bias [e].
 *
 * @example
 * const attention = new nn.MultiheadAttention(16, 4, { batchFirst: true });
 * const x = randn([2, 5, 16]);
 * const [y] = attention.forward(x, x, x, { isCausal: true }); // [2, 5, 16]
 */
export class MultiheadAttention extends Module {
  /** The projections of queries, keys and values below each other, [3 e, e]; null where kdim or vdim differ from e. */
  inProjWeight: Parameter | null = null;
  /** [e, e]; null unless kdim or vdim differ from e. */
  qProjWeight: Parameter | null = null;
  /** [e, kdim]; null unless kdim or vdim differ from e. */
  kProjWeight: Parameter | null = null;
  /** [e, vdim]; null unless kdim or vdim differ from e. */
  vProjWeight: Parameter | null = null;
  /** [3 e], at first 0; null without bias. */
  inProjBias: Parameter | null = null;
  /** [1, 1, e], the learned row behind the keys; null without addBiasKv. */
  biasK: Parameter | null = null;
  /** [1, 1, e], the learned row behind the values; null without addBiasKv. */
  biasV: Parameter | null = null;
  /** From the joined heads [..., e] to the output [..., e]. */
  outProj: Linear;
  /** Features of one head: embedDim / numHeads. */
  readonly headDim: number;
  /** Whether inputs are [n, t, e] and not [t, n, e]. */
  readonly batchFirst: boolean;
  /** Probability that a weight is dropped in training. */
  readonly dropout: number;
  /** Whether a row of zeros stands behind keys and values. */
  readonly addZeroAttn: boolean;
  readonly #random: GeneratorOption;

  /**
   * Parameters start as resetParameters() sets them; heads that do not divide the features are an error.
   *
   * @param embedDim e, features of queries and output
   * @param numHeads must divide embedDim
   */
  constructor(
    readonly embedDim: number,
    readonly numHeads: number,
    {
      dropout = 0,
      bias = true,
      addBiasKv = false,
      addZeroAttn = false,
      kdim = embedDim,
      vdim = embedDim,
      batchFirst = false,
      dtype,
      ...random
    }: MultiheadAttentionOptions = {},
  ) {
    super();
    expectCount("MultiheadAttention", "features", embedDim);
    expectCount("MultiheadAttention", "heads", numHeads);
    expect(
      embedDim % numHeads === 0,
      "MultiheadAttention",
      `a number of heads that divides the ${embedDim} features`,
      `${numHeads}`,
    );
    const drops = typeof dropout === "number" && dropout >= 0 && dropout <= 1;
    expect(drops, "MultiheadAttention", "a dropout between 0 and 1", `${dropout}`);
    this.headDim = embedDim / numHeads;
    this.batchFirst = batchFirst;
    this.dropout = dropout;
    this.addZeroAttn = addZeroAttn;
    this.#random = random;
    const matrix = (rows: number, cols: number) => parameter(() => zeros([rows, cols], { dtype }));
    if (kdim === embedDim && vdim === embedDim) this.inProjWeight = matrix(3 * embedDim, embedDim);
    else {
      this.qProjWeight = matrix(embedDim, embedDim);
      this.kProjWeight = matrix(embedDim, kdim);
      this.vProjWeight = matrix(embedDim, vdim);
    }
    if (bias) this.inProjBias = parameter(() => zeros([3 * embedDim], { dtype }));
    this.outProj = new Linear(embedDim, embedDim, { bias, dtype });
    if (addBiasKv) {
      this.biasK = parameter(() => zeros([1, 1, embedDim], { dtype }));
      this.biasV = parameter(() => zeros([1, 1, embedDim], { dtype }));
    }
    this.registerKey("inProjWeight", "in_proj_weight");
    this.registerKey("qProjWeight", "q_proj_weight");
    this.registerKey("kProjWeight", "k_proj_weight");
    this.registerKey("vProjWeight", "v_proj_weight");
    this.registerKey("inProjBias", "in_proj_bias");
    this.registerKey("outProj", "out_proj");
    this.registerKey("biasK", "bias_k");
    this.registerKey("biasV", "bias_v");
    this.resetParameters();
  }

  /** PyTorch's initial values: xavierUniform_ for the projections, 0 for the biases. */
  resetParameters(): void {
    for (const w of [this.inProjWeight, this.qProjWeight, this.kProjWeight, this.vProjWeight])
      if (w) init.xavierUniform_(w);
    if (this.inProjBias) init.zeros_(this.inProjBias);
    if (this.outProj.bias) init.zeros_(this.outProj.bias);
    for (const b of [this.biasK, this.biasV]) if (b) init.xavierNormal_(b);
  }

  /** [n, t, e] as [n, heads, t, e / heads] */
  #heads(x: Tensor): Tensor {
    return permute(reshape(x, [x.shape[0]!, x.shape[1]!, this.numHeads, this.headDim]), [0, 2, 1, 3]);
  }

  /** The three projections, split into heads. */
  #project(query: Tensor, key: Tensor, value: Tensor): [Tensor, Tensor, Tensor] {
    const e = this.embedDim;
    if (this.inProjWeight && query === key && key === value) {
      const all = linear(query, this.inProjWeight, this.inProjBias);
      const [n, t] = query.shape as [number, number];
      const split = reshape(all, [n, t, 3, this.numHeads, this.headDim]);
      return steps(permute(split, [2, 0, 3, 1, 4])) as [Tensor, Tensor, Tensor];
    }
    const part = (t: Tensor | null, i: number) => t && slice(t, [i * e, (i + 1) * e]);
    const own = [this.qProjWeight, this.kProjWeight, this.vProjWeight];
    return [query, key, value].map((x, i) =>
      this.#heads(linear(x, own[i] ?? part(this.inProjWeight, i)!, part(this.inProjBias, i))),
    ) as [Tensor, Tensor, Tensor];
  }

  /**
   * @param query [t, n, e], or [n, t, e] with batchFirst, or [t, e]
   * @param key [s, n, kdim], or [n, s, kdim] with batchFirst, or [s, kdim]
   * @param value [s, n, vdim], or as key
   * @returns y, as query; and the weights, [n, t, s], or [n, heads, t, s] without averaging, or null
   */
  forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    {
      keyPaddingMask = null,
      attnMask = null,
      isCausal = false,
      needWeights = false,
      averageAttnWeights = true,
    }: AttentionCallOptions = {},
  ): [y: Tensor, weights: Tensor | null] {
    const op = "MultiheadAttention";
    const batched = query.ndim === 3;
    expect(
      (batched || query.ndim === 2) && key.ndim === query.ndim && value.ndim === query.ndim,
      op,
      "query, key and value with 3 dimensions, or 2 without a batch",
      `${show(query.shape)}, ${show(key.shape)} and ${show(value.shape)}`,
    );
    const same = query === key && key === value;
    const enter = (x: Tensor) => (!batched ? unsqueeze(x, 0) : this.batchFirst ? x : transpose(x, 0, 1));
    const q0 = enter(query);
    let [q, k, v] = same ? this.#project(q0, q0, q0) : this.#project(q0, enter(key), enter(value)); // [n, heads, t, d]
    const [n, , t] = q.shape as [number, number, number];
    expect(k.shape[0] === n && v.shape[0] === n, op, `keys and values for a batch of ${n}`, show(key.shape));
    let mask = this.#mask(op, q, k, keyPaddingMask, attnMask);
    let added = 0;
    if (this.biasK && this.biasV) {
      k = cat([k, expand(this.#heads(this.biasK), [n, -1, -1, -1])], 2);
      v = cat([v, expand(this.#heads(this.biasV), [n, -1, -1, -1])], 2);
      added++;
    }
    if (this.addZeroAttn) {
      const none = zeros([n, this.numHeads, 1, this.headDim], { dtype: q.dtype });
      k = cat([k, none], 2);
      v = cat([v, none], 2);
      added++;
    }
    if (mask && added > 0) mask = cat([mask, zeros([...mask.shape.slice(0, -1), added], { dtype: mask.dtype })], -1);
    expect(!(isCausal && added > 0), op, "an attnMask instead of isCausal with added keys", "isCausal");
    const options = { mask, causal: isCausal, dropout: this.training ? this.dropout : 0, ...this.#random };
    const [yh, w] = needWeights
      ? attentionWithWeights(q, k, v, options)
      : [scaledDotProductAttention(q, k, v, options), null];
    const joined = reshape(permute(yh, [0, 2, 1, 3]), [n, t, this.embedDim]);
    const y = this.outProj.forward(joined);
    const left = !batched ? reshape(y, [t, this.embedDim]) : this.batchFirst ? y : transpose(y, 0, 1);
    if (!w) return [left, null];
    const shown = averageAttnWeights ? mean(w, 1) : w;
    return [left, batched ? shown : reshape(shown, shown.shape.slice(1))];
  }

  /** Both masks as one that is added to the scores [n, heads, t, s]. */
  #mask(op: string, q: Tensor, k: Tensor, padding: Tensor | null, pairs: Tensor | null): Tensor | null {
    const [n, , t] = q.shape as [number, number, number];
    const s = k.shape[2]!;
    let mask: Tensor | null = null;
    if (pairs) {
      const fits =
        show(pairs.shape.slice(-2)) === show([t, s]) &&
        (pairs.ndim === 2 || (pairs.ndim === 3 && pairs.shape[0] === n * this.numHeads));
      expect(fits, op, `an attnMask of shape [${t},${s}] or [${n * this.numHeads},${t},${s}]`, show(pairs.shape));
      mask = excluding(pairs.ndim === 3 ? reshape(pairs, [n, this.numHeads, t, s]) : pairs, q.dtype);
    }
    if (padding) {
      expect(
        padding.size === n * s && sizeOfShape(padding.shape.slice(-1)) === s,
        op,
        `a keyPaddingMask of shape [${n},${s}]`,
        show(padding.shape),
      );
      const out = excluding(reshape(padding, [n, 1, 1, s]), q.dtype);
      mask = mask ? add(mask, out) : out;
    }
    return mask;
  }

  protected override describe(): string {
    return `${this.embedDim}, ${this.numHeads}`;
  }
}
