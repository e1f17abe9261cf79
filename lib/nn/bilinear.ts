/**
 * Layers with a weight for pairs of features, and for bags of embeddings.
 */

import { expect } from "../errors.js";
import { noGrad } from "../graph.js";
import { notEqual } from "../ops/arithmetic.js";
import { bilinear } from "../ops/bilinear.js";
import { to } from "../ops/cast.js";
import { arange, zeros } from "../ops/create.js";
import { mul_ } from "../ops/inplace.js";
import { type EmbeddingBagOptions, embeddingBag } from "../ops/segments.js";
import { unsqueeze } from "../ops/shape.js";
import type { Tensor } from "../tensor.js";
import * as init from "./init.js";
import { expectCount, type FactoryOptions, type LinearOptions } from "./linear.js";
import { Module } from "./module.js";
import { type Parameter, parameter } from "./parameter.js";

/** y_o = x1^T W_o x2 + b_o over the last dimensions. weight: [out, in1, in2], bias: [out], within 1 / sqrt(in1). */
export class Bilinear extends Module {
  /** [out, in1, in2] */
  weight: Parameter;
  /** [out]; null with { bias: false }. */
  bias: Parameter | null;

  /**
   * Parameters start as resetParameters() sets them.
   *
   * @param in1Features last extent of the first input
   * @param in2Features last extent of the second input
   * @param outFeatures last extent of the output
   */
  constructor(
    readonly in1Features: number,
    readonly in2Features: number,
    readonly outFeatures: number,
    { bias = true, dtype }: LinearOptions = {},
  ) {
    super();
    expectCount("Bilinear", "features of the first input", in1Features);
    expectCount("Bilinear", "features of the second input", in2Features);
    expectCount("Bilinear", "output features", outFeatures);
    this.weight = parameter(() => zeros([outFeatures, in1Features, in2Features], { dtype }));
    this.bias = bias ? parameter(() => zeros([outFeatures], { dtype })) : null;
    this.resetParameters();
  }

  /** Weight and bias drawn evenly within 1 / sqrt(in1Features). */
  resetParameters(): void {
    const bound = 1 / Math.sqrt(this.in1Features);
    for (const p of this.parameters()) init.uniform_(p, -bound, bound);
  }

  /** [..., in1] and [..., in2] to [..., out] */
  forward(x1: Tensor, x2: Tensor): Tensor {
    return bilinear(x1, x2, this.weight, this.bias);
  }

  protected override describe(): string {
    return `${this.in1Features}, ${this.in2Features}, ${this.outFeatures}${this.bias ? "" : ", bias: false"}`;
  }
}

/** Options of EmbeddingBag. */
export interface EmbeddingBagLayerOptions extends FactoryOptions {
  /** Default mean. */
  mode?: EmbeddingBagOptions["mode"];
  /** A row that starts at 0, that bags leave out and that gets no gradient. Default none. */
  paddingIndex?: number | null;
}

/** The sum, mean or maximum of the embeddings of each bag of ids. weight: [count, size], standard normal at the start. */
export class EmbeddingBag extends Module {
  /** [numEmbeddings, embeddingDim] */
  weight: Parameter;
  /** What becomes of the vectors of a bag: "sum", "mean" or "max". */
  readonly mode: NonNullable<EmbeddingBagOptions["mode"]>;
  /** The row that bags leave out, counted from 0, or null. */
  readonly paddingIndex: number | null;

  /**
   * Parameters start as resetParameters() sets them.
   *
   * @param numEmbeddings rows of the table: ids are 0 to numEmbeddings - 1
   * @param embeddingDim length of a vector
   */
  constructor(
    readonly numEmbeddings: number,
    readonly embeddingDim: number,
    { mode = "mean", paddingIndex = null, dtype }: EmbeddingBagLayerOptions = {},
  ) {
    super();
    expectCount("EmbeddingBag", "embeddings", numEmbeddings);
    expectCount("EmbeddingBag", "dimensions", embeddingDim);
    const inTable =
      paddingIndex === null || (Number.isInteger(paddingIndex) && Math.abs(paddingIndex + 0.5) < numEmbeddings);
    expect(inTable, "EmbeddingBag", `a paddingIndex from ${-numEmbeddings} to ${numEmbeddings - 1}`, `${paddingIndex}`);
    this.mode = mode;
    this.paddingIndex = paddingIndex !== null && paddingIndex < 0 ? paddingIndex + numEmbeddings : paddingIndex;
    this.weight = parameter(() => zeros([numEmbeddings, embeddingDim], { dtype }));
    this.resetParameters();
  }

  /** Rows from the standard normal distribution; that of paddingIndex 0. */
  resetParameters(): void {
    init.normal_(this.weight);
    if (this.paddingIndex === null) return;
    const others = notEqual(arange(this.numEmbeddings), this.paddingIndex);
    noGrad(() => mul_(this.weight, to(unsqueeze(others, 1), this.weight.dtype)));
  }

  /** ids: [bags, length], or [n] with offsets [bags]. Returns [bags, embeddingDim]. */
  forward(
    ids: Tensor,
    { offsets, perSampleWeights }: Pick<EmbeddingBagOptions, "offsets" | "perSampleWeights"> = {},
  ): Tensor {
    const { mode, paddingIndex } = this;
    return embeddingBag(ids, this.weight, { offsets, perSampleWeights, mode, paddingIndex });
  }

  protected override describe(): string {
    return `${this.numEmbeddings}, ${this.embeddingDim}, mode: ${this.mode}`;
  }
}
