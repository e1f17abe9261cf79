/**
 * BatchNorm1d, BatchNorm2d, BatchNorm3d, InstanceNorm1d, InstanceNorm2d, InstanceNorm3d, LayerNorm.
 */
import { expect, show } from "../errors.js";
import { ones, zeros } from "../ops/create.js";
import { instanceNorm } from "../ops/groupNorm.js";
import { add_ } from "../ops/inplace.js";
import { batchNorm, layerNorm } from "../ops/norm.js";
import type { Tensor } from "../tensor.js";
import { constant_ } from "./init.js";
import { expectCount, type FactoryOptions } from "./linear.js";
import { Module } from "./module.js";
import { type Parameter, parameter } from "./parameter.js";

/** Options of BatchNorm1d, BatchNorm2d and BatchNorm3d. */
export interface BatchNormLayerOptions extends FactoryOptions {
  /** Default 1e-5. */
  eps?: number;
  /** Share of a batch in the running statistics; null: the mean over all batches. Default 0.1. */
  momentum?: number | null;
  /** Learn a weight and a bias. Default true. */
  affine?: boolean;
  /** Keep running statistics, and use them in eval mode. Default true. */
  trackRunningStats?: boolean;
}

abstract class BatchNorm extends Module {
  /** [c], at first 1; null unless affine. */
  weight: Parameter | null;
  /** [c], at first 0; null unless affine. */
  bias: Parameter | null;
  /** [c]; null unless running statistics are kept. In the state dict: running_mean, running_var, num_batches_tracked. */
  readonly runningMean!: Tensor | null;
  /** [c], unbiased as in PyTorch; null unless running statistics are kept. */
  readonly runningVar!: Tensor | null;
  /** int64 []: training batches seen; null unless running statistics are kept. */
  readonly numBatchesTracked!: Tensor | null;
  /** Added to the variance. */
  readonly eps: number;
  /** Share of a batch in the running statistics; null: their mean over all batches. */
  readonly momentum: number | null;

  /**
   * Weight 1 and bias 0 to begin with, where they are learned.
   *
   * @param numFeatures c, dimension 1 of x
   */
  constructor(
    readonly numFeatures: number,
    { eps = 1e-5, momentum = 0.1, affine = true, trackRunningStats = true, dtype }: BatchNormLayerOptions = {},
  ) {
    super();
    expectCount(this.constructor.name, "features", numFeatures);
    this.eps = eps;
    this.momentum = momentum;
    this.weight = affine ? parameter(() => ones([numFeatures], { dtype })) : null;
    this.bias = affine ? parameter(() => zeros([numFeatures], { dtype })) : null;
    const tracked = (make: () => Tensor): Tensor | null => (trackRunningStats ? make() : null);
    this.registerBuffer(
      "runningMean",
      tracked(() => zeros([numFeatures], { dtype })),
      { key: "running_mean" },
    );
    this.registerBuffer(
      "runningVar",
      tracked(() => ones([numFeatures], { dtype })),
      { key: "running_var" },
    );
    this.registerBuffer(
      "numBatchesTracked",
      tracked(() => zeros([], { dtype: "int64" })),
      { key: "num_batches_tracked" },
    );
  }

  /** Weight 1, bias 0, and no batch seen. */
  resetParameters(): void {
    const start: [Tensor | null, number][] = [
      [this.weight, 1],
      [this.bias, 0],
      [this.runningMean, 0],
      [this.runningVar, 1],
      [this.numBatchesTracked, 0],
    ];
    for (const [t, value] of start) if (t) constant_(t, value);
  }

  protected normalise(x: Tensor): Tensor {
    const { training, runningMean, runningVar, eps } = this;
    if (training && this.numBatchesTracked) add_(this.numBatchesTracked, 1);
    // The mean over all batches needs their number here: a blocking read.
    const momentum = this.momentum ?? (training && this.numBatchesTracked ? 1 / this.numBatchesTracked.itemSync() : 0);
    return batchNorm(x, runningMean, runningVar, this.weight, this.bias, {
      training: training || !runningMean,
      momentum,
      eps,
    });
  }

  protected override describe(): string {
    return `${this.numFeatures}`;
  }
}

/** Batch normalisation of [n, c] or [n, c, l] (Ioffe & Szegedy 2015). */
export class BatchNorm1d extends BatchNorm {
  forward(x: Tensor): Tensor {
    expect(
      x.ndim === 2 || x.ndim === 3,
      "BatchNorm1d",
      `x of shape [n,${this.numFeatures}] or [n,${this.numFeatures},l]`,
      show(x.shape),
    );
    return this.normalise(x);
  }
}

/** Batch normalisation of [n, c, h, w] (Ioffe & Szegedy 2015). */
export class BatchNorm2d extends BatchNorm {
  forward(x: Tensor): Tensor {
    expect(x.ndim === 4, "BatchNorm2d", `x of shape [n,${this.numFeatures},h,w]`, show(x.shape));
    return this.normalise(x);
  }
}

/** Batch normalisation of [n, c, d, h, w] (Ioffe & Szegedy 2015). */
export class BatchNorm3d extends BatchNorm {
  forward(x: Tensor): Tensor {
    expect(x.ndim === 5, "BatchNorm3d", `x of shape [n,${this.numFeatures},d,h,w]`, show(x.shape));
    return this.normalise(x);
  }
}

/** Options of InstanceNorm1d, InstanceNorm2d and InstanceNorm3d: BatchNorm's, with other defaults. */
export interface InstanceNormLayerOptions extends FactoryOptions {
  /** Default 1e-5. */
  eps?: number;
  /** Share of a batch in the running statistics. Default 0.1. */
  momentum?: number;
  /** Learn a weight and a bias. Default false. */
  affine?: boolean;
  /** Keep running statistics, and use them in eval mode. Default false. */
  trackRunningStats?: boolean;
}

/** What the layers share: parameters and statistics as BatchNorm's, but none of them unless asked for. */
abstract class InstanceNorm extends BatchNorm {
  /**
   * Weight 1 and bias 0 to begin with, where they are learned.
   *
   * @param numFeatures c, dimension 1 of x
   */
  constructor(
    numFeatures: number,
    { affine = false, trackRunningStats = false, ...options }: InstanceNormLayerOptions = {},
  ) {
    super(numFeatures, { affine, trackRunningStats, ...options });
  }
  protected override normalise(x: Tensor): Tensor {
    const { training, runningMean, runningVar, momentum, eps } = this;
    const useInputStats = training || !runningMean;
    const [mean, variance] = training || !useInputStats ? [runningMean, runningVar] : [null, null];
    return instanceNorm(x, mean, variance, this.weight, this.bias, { useInputStats, momentum: momentum ?? 0, eps });
  }
  protected expectShape(x: Tensor, extents: string): void {
    const ok = x.ndim === 2 + extents.split(",").length && x.shape[1] === this.numFeatures;
    expect(ok, this.constructor.name, `x of shape [n,${this.numFeatures},${extents}]`, show(x.shape));
  }
}

/** Instance normalisation of [n, c, l] (Ulyanov et al. 2016). */
export class InstanceNorm1d extends InstanceNorm {
  forward(x: Tensor): Tensor {
    this.expectShape(x, "l");
    return this.normalise(x);
  }
}

/** Instance normalisation of [n, c, h, w] (Ulyanov et al. 2016). */
export class InstanceNorm2d extends InstanceNorm {
  forward(x: Tensor): Tensor {
    this.expectShape(x, "h,w");
    return this.normalise(x);
  }
}

/** Instance normalisation of [n, c, d, h, w] (Ulyanov et al. 2016). */
export class InstanceNorm3d extends InstanceNorm {
  forward(x: Tensor): Tensor {
    this.expectShape(x, "d,h,w");
    return this.normalise(x);
  }
}

/** Options of LayerNorm. */
export interface LayerNormOptions extends FactoryOptions {
  /** Default 1e-5. */
  eps?: number;
  /** Learn a weight and (see bias) a bias. Default true. */
  elementwiseAffine?: boolean;
  /** Default true. */
  bias?: boolean;
}

/** Layer normalisation over the last dimensions (Ba, Kiros & Hinton 2016). */
export class LayerNorm extends Module {
  /** Of normalizedShape, at first 1; null unless elementwiseAffine. */
  weight: Parameter | null;
  /** Of normalizedShape, at first 0; null unless elementwiseAffine and bias. */
  bias: Parameter | null;
  /** The last extents of x, over which mean and variance are taken. */
  readonly normalizedShape: readonly number[];
  /** Added to the variance. */
  readonly eps: number;

  /**
   * Weight 1 and bias 0 to begin with, where they are learned.
   *
   * @param normalizedShape the last extents of x; a number is the last one alone
   */
  constructor(
    normalizedShape: number | readonly number[],
    { eps = 1e-5, elementwiseAffine = true, bias = true, dtype }: LayerNormOptions = {},
  ) {
    super();
    this.normalizedShape = typeof normalizedShape === "number" ? [normalizedShape] : [...normalizedShape];
    for (const n of this.normalizedShape) expectCount("LayerNorm", "features", n);
    this.eps = eps;
    this.weight = elementwiseAffine ? parameter(() => ones(this.normalizedShape, { dtype })) : null;
    this.bias = elementwiseAffine && bias ? parameter(() => zeros(this.normalizedShape, { dtype })) : null;
  }

  /** Weight 1, bias 0. */
  resetParameters(): void {
    if (this.weight) constant_(this.weight, 1);
    if (this.bias) constant_(this.bias, 0);
  }

  forward(x: Tensor): Tensor {
    return layerNorm(x, this.normalizedShape, this.weight, this.bias, { eps: this.eps });
  }

  protected override describe(): string {
    return show(this.normalizedShape);
  }
}
