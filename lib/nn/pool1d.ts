/**
 * Pooling layers over [n, c, l] or [c, l], p-norm pooling, and the inverse of max pooling.
 */
import type { Pair } from "../ops/common.js";
import { type LpPool2dOptions, lpPool2d, maxUnpool2d } from "../ops/pool.js";
import {
  type AvgPool1dOptions,
  adaptiveAvgPool1d,
  adaptiveMaxPool1d,
  avgPool1d,
  type LpPool1dOptions,
  lpPool1d,
  type MaxPool1dOptions,
  maxPool1d,
  maxUnpool1d,
} from "../ops/pool1d.js";
import type { Tensor } from "../tensor.js";
import { listed } from "./describe.js";
import { Module } from "./module.js";

/** The largest element of each window. The stride is the kernel's size unless given. */
export class MaxPool1d extends Module {
  /**
   * Holds what every call uses; nothing is learned.
   *
   * @param kernelSize length of the window
   * @param options those of maxPool1d()
   */
  constructor(
    readonly kernelSize: number,
    readonly options: MaxPool1dOptions = {},
  ) {
    super();
  }
  forward(x: Tensor): Tensor {
    return maxPool1d(x, this.kernelSize, this.options);
  }
  protected override describe(): string {
    return listed(this.kernelSize, this.options);
  }
}

/** The mean of each window. The stride is the kernel's size unless given. */
export class AvgPool1d extends Module {
  /**
   * Holds what every call uses; nothing is learned.
   *
   * @param kernelSize length of the window
   * @param options those of avgPool1d()
   */
  constructor(
    readonly kernelSize: number,
    readonly options: AvgPool1dOptions = {},
  ) {
    super();
  }
  forward(x: Tensor): Tensor {
    return avgPool1d(x, this.kernelSize, this.options);
  }
  protected override describe(): string {
    return listed(this.kernelSize, this.options);
  }
}

/** The p-norm of each window; see lpPool2d. */
export class LPPool1d extends Module {
  /**
   * Holds what every call uses; nothing is learned.
   *
   * @param normType p, finite and above 0
   * @param kernelSize length of the window
   * @param options those of lpPool1d()
   */
  constructor(
    readonly normType: number,
    readonly kernelSize: number,
    readonly options: LpPool1dOptions = {},
  ) {
    super();
  }
  forward(x: Tensor): Tensor {
    return lpPool1d(x, this.normType, this.kernelSize, this.options);
  }
  protected override describe(): string {
    return `${this.normType}, ${listed(this.kernelSize, this.options)}`;
  }
}

/** The p-norm of each window of [n, c, h, w] or [c, h, w]; see lpPool2d. */
export class LPPool2d extends Module {
  /**
   * Holds what every call uses; nothing is learned.
   *
   * @param normType p, finite and above 0
   * @param kernelSize [r, s], or one number for both
   * @param options those of lpPool2d()
   */
  constructor(
    readonly normType: number,
    readonly kernelSize: Pair,
    readonly options: LpPool2dOptions = {},
  ) {
    super();
  }
  forward(x: Tensor): Tensor {
    return lpPool2d(x, this.normType, this.kernelSize, this.options);
  }
  protected override describe(): string {
    return `${this.normType}, ${listed(this.kernelSize, this.options)}`;
  }
}

/** The mean of each of `outputSize` cells: 1 is global average pooling. */
export class AdaptiveAvgPool1d extends Module {
  /**
   * Holds what every call uses; nothing is learned.
   *
   * @param outputSize number of cells
   */
  constructor(readonly outputSize: number) {
    super();
  }
  forward(x: Tensor): Tensor {
    return adaptiveAvgPool1d(x, this.outputSize);
  }
  protected override describe(): string {
    return `${this.outputSize}`;
  }
}

/** The largest element of each of `outputSize` cells. */
export class AdaptiveMaxPool1d extends Module {
  /**
   * Holds what every call uses; nothing is learned.
   *
   * @param outputSize number of cells
   */
  constructor(readonly outputSize: number) {
    super();
  }
  forward(x: Tensor): Tensor {
    return adaptiveMaxPool1d(x, this.outputSize);
  }
  protected override describe(): string {
    return `${this.outputSize}`;
  }
}

/** The inverse of MaxPool1d as far as there is one: forward(x, index) with the indices of maxPool1dWithIndices. */
export class MaxUnpool1d extends Module {
  /**
   * Holds what every call uses; nothing is learned.
   *
   * @param kernelSize of the pooling that is undone
   * @param options stride and padding of that pooling
   */
  constructor(
    readonly kernelSize: number,
    readonly options: {
      /** Of the pooling that is undone. Default kernelSize. */
      stride?: number;
      /** Of the pooling that is undone. Default 0. */
      padding?: number;
    } = {},
  ) {
    super();
  }
  /**
   * x: pooled, index: where each element came from. outputSize: the length before pooling, where padding and stride
   * leave several.
   */
  forward(x: Tensor, index: Tensor, { outputSize }: { outputSize?: number } = {}): Tensor {
    return maxUnpool1d(x, index, this.kernelSize, { ...this.options, outputSize });
  }
  protected override describe(): string {
    return listed(this.kernelSize, this.options);
  }
}

/** The inverse of MaxPool2d as far as there is one: forward(x, index) with the indices of maxPool2dWithIndices. */
export class MaxUnpool2d extends Module {
  /**
   * Holds what every call uses; nothing is learned.
   *
   * @param kernelSize of the pooling that is undone
   * @param options stride and padding of that pooling
   */
  constructor(
    readonly kernelSize: Pair,
    readonly options: {
      /** Of the pooling that is undone. Default kernelSize. */
      stride?: Pair;
      /** Of the pooling that is undone. Default 0. */
      padding?: Pair;
    } = {},
  ) {
    super();
  }
  /**
   * x: pooled, index: where each element came from. outputSize: [h, w] before pooling, where padding and stride leave
   * several.
   */
  forward(x: Tensor, index: Tensor, { outputSize }: { outputSize?: Pair } = {}): Tensor {
    return maxUnpool2d(x, index, this.kernelSize, { ...this.options, outputSize });
  }
  protected override describe(): string {
    return listed(this.kernelSize, this.options);
  }
}
