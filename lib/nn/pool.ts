/**
 * Pooling layers, over [n, c, h, w] or [c, h, w].
 */
import type { Pair } from "../ops/common.js";
import {
  type AvgPool2dOptions,
  adaptiveAvgPool2d,
  adaptiveMaxPool2d,
  avgPool2d,
  type MaxPool2dOptions,
  maxPool2d,
  type OutputSize,
} from "../ops/pool.js";
import type { Tensor } from "../tensor.js";
import { listed } from "./describe.js";
import { Module } from "./module.js";

/** The largest element of each window. The stride is the kernel's size unless given. */
export class MaxPool2d extends Module {
  /**
   * Holds what every call uses; nothing is learned.
   *
   * @param kernelSize [r, s], or one number for both
   * @param options those of maxPool2d(): stride, padding, dilation, ceilMode
   */
  constructor(
    readonly kernelSize: Pair,
    readonly options: MaxPool2dOptions = {},
  ) {
    super();
  }
  forward(x: Tensor): Tensor {
    return maxPool2d(x, this.kernelSize, this.options);
  }
  protected override describe(): string {
    return listed(this.kernelSize, this.options);
  }
}

/** The mean of each window. The stride is the kernel's size unless given. */
export class AvgPool2d extends Module {
  /**
   * Holds what every call uses; nothing is learned.
   *
   * @param kernelSize [r, s], or one number for both
   * @param options those of avgPool2d()
   */
  constructor(
    readonly kernelSize: Pair,
    readonly options: AvgPool2dOptions = {},
  ) {
    super();
  }
  forward(x: Tensor): Tensor {
    return avgPool2d(x, this.kernelSize, this.options);
  }
  protected override describe(): string {
    return listed(this.kernelSize, this.options);
  }
}

/** The mean of each of `outputSize` cells: 1 is global average pooling. */
export class AdaptiveAvgPool2d extends Module {
  /**
   * Holds what every call uses; nothing is learned.
   *
   * @param outputSize [p, q], or one number for both; null keeps the input's extent
   */
  constructor(readonly outputSize: OutputSize) {
    super();
  }
  forward(x: Tensor): Tensor {
    return adaptiveAvgPool2d(x, this.outputSize);
  }
  protected override describe(): string {
    return listed(this.outputSize, {});
  }
}

/** The largest element of each of `outputSize` cells. */
export class AdaptiveMaxPool2d extends Module {
  /**
   * Holds what every call uses; nothing is learned.
   *
   * @param outputSize [p, q], or one number for both; null keeps the input's extent
   */
  constructor(readonly outputSize: OutputSize) {
    super();
  }
  forward(x: Tensor): Tensor {
    return adaptiveMaxPool2d(x, this.outputSize);
  }
  protected override describe(): string {
    return listed(this.outputSize, {});
  }
}
