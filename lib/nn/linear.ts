/**
 * Layers with a weight matrix or a table: Linear, Embedding.
 */

import { expect } from "../errors.js";
import { noGrad } from "../graph.js";
import type { DType } from "../native.js";
import { notEqual } from "../ops/arithmetic.js";
import { to } from "../ops/cast.js";
import { arange, zeros } from "../ops/create.js";
import { embedding } from "../ops/embedding.js";
import { mul_ } from "../ops/inplace.js";
import { type LinearOpOptions, linear } from "../ops/matmul.js";
import { unsqueeze } from "../ops/shape.js";
import type { Tensor } from "../tensor.js";
import * as init from "./init.js";
import { Module } from "./module.js";
import { type Parameter, parameter } from "./parameter.js";

/** What every layer with parameters takes. */
export interface FactoryOptions {
  /** Of the parameters. Default float32. */
  dtype?: DType;
}

export function expectCount(op: string, what: string, n: number): void {
  expect(Number.isSafeInteger(n) && n >= 1, op, `a number of ${what} from 1 up`, `${n}`);
}

/** PyTorch's initial values of Linear and Conv: both within 1 / sqrt(fanIn). */
export function resetLinear(weight: Tensor, bias: Tensor | null): void {
  init.kaimingUniform_(weight, { a: Math.sqrt(5) });
  const bound = 1 / Math.sqrt(init.fans(weight).fanIn);
  if (bias) init.uniform_(bias, -bound, bound);
}

/** Options of Linear and Bilinear. */
export interface LinearOptions extends FactoryOptions {
  /** Default true. */
  bias?: boolean;
}

/**
 * y = x W^T + b over the last dimension. weight: [out, in], bias: [out].
 *
 * @example
 * const layer = new nn.Linear(4, 3);
 * const y = layer.forward(ones([2, 4])); // [2, 3]
 */
export class Linear extends Module {
  /** [out, in] */
  weight: Parameter;
  /** [out]; null with { bias: false }. */
  bias: Parameter | null;

  /**
   * Parameters start as resetParameters() sets them.
   *
   * @param inFeatures last extent of x
   * @param outFeatures last extent of the output
   */
  constructor(
    readonly inFeatures: number,
    readonly outFeatures: number,
    { bias = true, dtype }: LinearOptions = {},
  ) {
    super();
    expectCount("Linear", "input features", inFeatures);
    expectCount("Linear", "output features", outFeatures);
    this.weight = parameter(() => zeros([outFeatures, inFeatures], { dtype }));
    this.bias = bias ? parameter(() => zeros([outFeatures], { dtype })) : null;
    this.resetParameters();
  }

  /** PyTorch's initial values: weight and bias drawn evenly within 1 / sqrt(inFeatures). */
  resetParameters(): void {
    resetLinear(this.weight, this.bias);
  }

  /** [..., in] to [..., out]; with { activation: "relu" } the relu of it, in the same pass and with its bits */
  forward(x: Tensor, options: LinearOpOptions = {}): Tensor {
    return linear(x, this.weight, this.bias, options);
  }

  protected override describe(): string {
    return `${this.inFeatures}, ${this.outFeatures}${this.bias ? "" : ", bias: false"}`;
  }
}

/** Options of Embedding. */
export interface EmbeddingLayerOptions extends FactoryOptions {
  /** A row that starts at 0 and gets no gradient. Default none. */
  paddingIndex?: number | null;
}

/**
 * Vectors for whole numbers, drawn from the standard normal distribution. weight: [count, size].
 *
 * @example
 * const words = new nn.Embedding(100, 8);
 * const x = words.forward(tensor([[3, 14, 15]], { dtype: "int32" })); // [1, 3, 8]
 */
export class Embedding extends Module {
  /** [numEmbeddings, embeddingDim] */
  weight: Parameter;
  /** The row that gets no gradient, counted from 0, or null. */
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
    { paddingIndex = null, dtype }: EmbeddingLayerOptions = {},
  ) {
    super();
    expectCount("Embedding", "embeddings", numEmbeddings);
    expectCount("Embedding", "dimensions", embeddingDim);
    const inTable =
      paddingIndex === null || (Number.isInteger(paddingIndex) && Math.abs(paddingIndex + 0.5) < numEmbeddings);
    expect(inTable, "Embedding", `a paddingIndex from ${-numEmbeddings} to ${numEmbeddings - 1}`, `${paddingIndex}`);
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

  /** [...] to [..., embeddingDim] */
  forward(ids: Tensor): Tensor {
    return embedding(ids, this.weight, { paddingIndex: this.paddingIndex });
  }

  protected override describe(): string {
    return `${this.numEmbeddings}, ${this.embeddingDim}${this.paddingIndex === null ? "" : `, paddingIndex: ${this.paddingIndex}`}`;
  }
}
