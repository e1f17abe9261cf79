/**
 * GroupNorm, RMSNorm, LocalResponseNorm.
 */
import { expect, show } from "../errors.js";
import { ones, zeros } from "../ops/create.js";
import { groupNorm } from "../ops/groupNorm.js";
import { type LocalResponseNormOptions, localResponseNorm } from "../ops/localResponseNorm.js";
import { rmsNorm } from "../ops/rmsNorm.js";
import type { Tensor } from "../tensor.js";
import { listed } from "./describe.js";
import { constant_ } from "./init.js";
import { expectCount, type FactoryOptions } from "./linear.js";
import { Module } from "./module.js";
import { type Parameter, parameter } from "./parameter.js";

/** Options of GroupNorm. */
export interface GroupNormOptions extends FactoryOptions {
  /** Default 1e-5. */
  eps?: number;
  /** Learn a weight and a bias. Default true. */
  affine?: boolean;
}

/** Group normalisation of [n, c] or [n, c, ...] (Wu & He 2018). */
export class GroupNorm extends Module {
  /** [c], at first 1; null unless affine. */
  weight: Parameter | null;
  /** [c], at first 0; null unless affine. */
  bias: Parameter | null;
  /** Added to the variance. */
  readonly eps: number;

  /**
   * Weight 1 and bias 0 to begin with, where they are learned.
   *
   * @param numGroups must divide numChannels; 1 normalises each example as a whole, numChannels each channel
   * @param numChannels c of x
   */
  constructor(
    readonly numGroups: number,
    readonly numChannels: number,
    { eps = 1e-5, affine = true, dtype }: GroupNormOptions = {},
  ) {
    super();
    expectCount("GroupNorm", "groups", numGroups);
    expectCount("GroupNorm", "channels", numChannels);
    expect(
      numChannels % numGroups === 0,
      "GroupNorm",
      `groups that divide the ${numChannels} channels`,
      `${numGroups}`,
    );
    this.eps = eps;
    this.weight = affine ? parameter(() => ones([numChannels], { dtype })) : null;
    this.bias = affine ? parameter(() => zeros([numChannels], { dtype })) : null;
  }

  /** Weight 1, bias 0. */
  resetParameters(): void {
    if (this.weight) constant_(this.weight, 1);
    if (this.bias) constant_(this.bias, 0);
  }

  forward(x: Tensor): Tensor {
    return groupNorm(x, this.numGroups, this.weight, this.bias, { eps: this.eps });
  }

  protected override describe(): string {
    return `${this.numGroups}, ${this.numChannels}`;
  }
}

/** Options of RMSNorm. */
export interface RMSNormOptions extends FactoryOptions {
  /** Default null: the distance from 1 to the next float of x's dtype. */
  eps?: number | null;
  /** Learn a weight. Default true. */
  elementwiseAffine?: boolean;
}

/** Root-mean-square normalisation over the last dimensions (Zhang & Sennrich 2019). */
export class RMSNorm extends Module {
  /** Of normalizedShape, at first 1; null unless elementwiseAffine. */
  weight: Parameter | null;
  /** The last extents of x, over which the squares are averaged. */
  readonly normalizedShape: readonly number[];
  /** Added to the mean square; null: the epsilon of x's dtype. */
  readonly eps: number | null;

  /**
   * Weight 1 and bias 0 to begin with, where they are learned.
   *
   * @param normalizedShape the last extents of x; a number is the last one alone
   */
  constructor(
    normalizedShape: number | readonly number[],
    { eps = null, elementwiseAffine = true, dtype }: RMSNormOptions = {},
  ) {
    super();
    this.normalizedShape = typeof normalizedShape === "number" ? [normalizedShape] : [...normalizedShape];
    for (const n of this.normalizedShape) expectCount("RMSNorm", "features", n);
    this.eps = eps;
    this.weight = elementwiseAffine ? parameter(() => ones(this.normalizedShape, { dtype })) : null;
  }

  /** Weight 1. */
  resetParameters(): void {
    if (this.weight) constant_(this.weight, 1);
  }

  forward(x: Tensor): Tensor {
    return rmsNorm(x, this.normalizedShape, this.weight, { eps: this.eps });
  }

  protected override describe(): string {
    return show(this.normalizedShape);
  }
}

/** Each element by the squares of `size` neighbouring channels; see localResponseNorm. */
export class LocalResponseNorm extends Module {
  /**
   * Holds what every call uses; nothing is learned.
   *
   * @param size channels in the window
   * @param options alpha, beta and k, with localResponseNorm()'s defaults
   */
  constructor(
    readonly size: number,
    readonly options: LocalResponseNormOptions = {},
  ) {
    super();
    expectCount("LocalResponseNorm", "channels", size);
  }
  forward(x: Tensor): Tensor {
    return localResponseNorm(x, this.size, this.options);
  }
  protected override describe(): string {
    return listed(this.size, this.options);
  }
}
