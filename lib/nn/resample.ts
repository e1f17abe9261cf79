/**
 * Layers that resize or rearrange pictures.
 */
import type { Pair } from "../ops/common.js";
import { type InterpolateOptions, interpolate } from "../ops/interpolate.js";
import { channelShuffle, pixelShuffle, pixelUnshuffle } from "../ops/pixelShuffle.js";
import { fold, type UnfoldOptions, unfold } from "../ops/unfold.js";
import type { Tensor } from "../tensor.js";
import { listed } from "./describe.js";
import { Module } from "./module.js";

/** Every window of [n, c, h, w] as a column: [n, c r s, p q]. */
export class Unfold extends Module {
  /**
   * Holds what every call uses; nothing is learned.
   *
   * @param kernelSize [r, s], or one number for both
   * @param options those of unfold(): stride, padding, dilation
   */
  constructor(
    readonly kernelSize: Pair,
    readonly options: UnfoldOptions = {},
  ) {
    super();
  }
  forward(x: Tensor): Tensor {
    return unfold(x, this.kernelSize, this.options);
  }
  protected override describe(): string {
    return listed(this.kernelSize, this.options);
  }
}

/** Columns [n, c r s, p q] added up where their windows lie in [n, c, h, w]. */
export class Fold extends Module {
  /**
   * Holds what every call uses; nothing is learned.
   *
   * @param outputSize [h, w] of the result
   * @param kernelSize [r, s], or one number for both
   * @param options those of the unfold() that made the columns
   */
  constructor(
    readonly outputSize: Pair,
    readonly kernelSize: Pair,
    readonly options: UnfoldOptions = {},
  ) {
    super();
  }
  forward(x: Tensor): Tensor {
    return fold(x, this.outputSize, this.kernelSize, this.options);
  }
  protected override describe(): string {
    return `${JSON.stringify(this.outputSize)}, ${listed(this.kernelSize, this.options)}`;
  }
}

/** interpolate() with these options: to a size, or by a factor. */
export class Upsample extends Module {
  /**
   * Holds what every call uses; nothing is learned.
   *
   * @param options those of interpolate(); size or scaleFactor must be among them
   */
  constructor(readonly options: InterpolateOptions) {
    super();
  }
  forward(x: Tensor): Tensor {
    return interpolate(x, this.options);
  }
  protected override describe(): string {
    return Object.entries(this.options)
      .map(([key, v]) => `${key}: ${JSON.stringify(v)}`)
      .join(", ");
  }
}

/** [..., c f f, h, w] to [..., c, h f, w f] (Shi et al. 2016). */
export class PixelShuffle extends Module {
  /**
   * Holds what every call uses; nothing is learned.
   *
   * @param upscaleFactor f; f^2 must divide the channels
   */
  constructor(readonly upscaleFactor: number) {
    super();
  }
  forward(x: Tensor): Tensor {
    return pixelShuffle(x, this.upscaleFactor);
  }
  protected override describe(): string {
    return `${this.upscaleFactor}`;
  }
}

/** [..., c, h f, w f] to [..., c f f, h, w]. */
export class PixelUnshuffle extends Module {
  /**
   * Holds what every call uses; nothing is learned.
   *
   * @param downscaleFactor f; must divide height and width
   */
  constructor(readonly downscaleFactor: number) {
    super();
  }
  forward(x: Tensor): Tensor {
    return pixelUnshuffle(x, this.downscaleFactor);
  }
  protected override describe(): string {
    return `${this.downscaleFactor}`;
  }
}

/** Channels of [n, c, ...] dealt out over groups (Zhang et al. 2018). */
export class ChannelShuffle extends Module {
  /**
   * Holds what every call uses; nothing is learned.
   *
   * @param groups must divide the channels
   */
  constructor(readonly groups: number) {
    super();
  }
  forward(x: Tensor): Tensor {
    return channelShuffle(x, this.groups);
  }
  protected override describe(): string {
    return `${this.groups}`;
  }
}
