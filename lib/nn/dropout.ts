/**
 * Dropout of whole channels, and AlphaDropout. Dropout itself is in activation.ts.
 */
import { expect } from "../errors.js";
import { alphaDropout, dropout1d, dropout2d, dropout3d } from "../ops/channelDropout.js";
import type { DropoutOptions, GeneratorOption } from "../ops/random.js";
import type { Tensor } from "../tensor.js";
import { Module } from "./module.js";

/** A layer that drops in training and gives x itself in eval mode. */
abstract class Drop extends Module {
  /**
   * Holds what every call in training uses; a p outside of [0, 1] is an error.
   *
   * @param p probability that a channel (AlphaDropout: an element) is dropped, from 0 to 1
   * @param options generator: where the draws come from, default the global one
   */
  constructor(
    readonly p = 0.5,
    readonly options: GeneratorOption = {},
  ) {
    super();
    const ok = typeof p === "number" && p >= 0 && p <= 1;
    expect(ok, this.constructor.name, "a probability between 0 and 1", `${p}`);
  }
  protected abstract drop(x: Tensor, p: number, options: DropoutOptions): Tensor;
  forward(x: Tensor): Tensor {
    return this.drop(x, this.p, { training: this.training, ...this.options });
  }
  protected override describe(): string {
    return `${this.p}`;
  }
}

/** In training each channel of each example of [n, c, l] 0 with probability p, else x / (1 - p). Default 0.5. */
export class Dropout1d extends Drop {
  protected drop(x: Tensor, p: number, options: DropoutOptions): Tensor {
    return dropout1d(x, p, options);
  }
}
/** In training each channel of each example of [n, c, h, w] 0 with probability p, else x / (1 - p). Default 0.5. */
export class Dropout2d extends Drop {
  protected drop(x: Tensor, p: number, options: DropoutOptions): Tensor {
    return dropout2d(x, p, options);
  }
}
/** In training each channel of each example of [n, c, d, h, w] 0 with probability p, else x / (1 - p). Default 0.5. */
export class Dropout3d extends Drop {
  protected drop(x: Tensor, p: number, options: DropoutOptions): Tensor {
    return dropout3d(x, p, options);
  }
}
/** Dropout that keeps mean 0 and variance 1 behind SELU (Klambauer et al. 2017). Default 0.5. */
export class AlphaDropout extends Drop {
  protected drop(x: Tensor, p: number, options: DropoutOptions): Tensor {
    return alphaDropout(x, p, options);
  }
}
