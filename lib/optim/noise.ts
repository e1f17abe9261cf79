/**
 * How noisy gradients are, and so how large a batch is worth its price.
 */
import { expectOption } from "./optimizer.js";

/** What GradientNoiseScale.state() gives: plain numbers, for a checkpoint. */
export interface NoiseScaleState {
  /** How often update() was called. */
  updates: number;
  /** Average of |G|^2, before the correction for its start at 0. */
  signal: number;
  /** Average of tr(Sigma), before the correction for its start at 0. */
  noise: number;
}

/**
 * The simple noise scale of McCandlish et al., "An empirical model of large-batch training", 2018 (appendix A.1): from the
 * squared norms of gradients of a small and a large batch, unbiased estimates of |G|^2 and of the noise tr(Sigma), whose ratio
 * is the batch size up to which more examples pay off. Both are averaged exponentially before they are divided.
 *
 * @example
 * const scale = new optim.GradientNoiseScale({ smallBatch: 32, largeBatch: 256 });
 * // The norm of one micro-batch's gradient, and that of the mean over eight of them:
 * scale.update(2.5, 1.2);
 * console.log(scale.value);
 */
export class GradientNoiseScale {
  /** Examples behind the small gradient. */
  readonly smallBatch: number;
  /** Examples behind the large one. */
  readonly largeBatch: number;
  /** What an update keeps of the averages. */
  readonly decay: number;
  private updates = 0;
  private signal = 0;
  private noise = 0;

  /**
   * Both averages start at 0, and their start is corrected for.
   *
   * @param options smallBatch, largeBatch: examples in each; decay: what an update keeps of the averages, default 0.99
   */
  constructor({ smallBatch, largeBatch, decay = 0.99 }: { smallBatch: number; largeBatch: number; decay?: number }) {
    expectOption("GradientNoiseScale", "decay", decay, 0, 1);
    if (!(smallBatch >= 1 && largeBatch > smallBatch))
      throw new RangeError(
        `GradientNoiseScale: expected 1 <= smallBatch < largeBatch, got ${smallBatch} and ${largeBatch}`,
      );
    this.smallBatch = smallBatch;
    this.largeBatch = largeBatch;
    this.decay = decay;
  }

  /** Takes in the norms (not squared) of the gradients of a small and of a large batch, at the same weights. */
  update(smallNorm: number, largeNorm: number): void {
    expectOption("GradientNoiseScale.update", "smallNorm", smallNorm);
    expectOption("GradientNoiseScale.update", "largeNorm", largeNorm);
    const { smallBatch: b, largeBatch: B } = this;
    // E |G_b|^2 = |G|^2 + tr(Sigma) / b
    const signal = (B * largeNorm ** 2 - b * smallNorm ** 2) / (B - b);
    const noise = (smallNorm ** 2 - largeNorm ** 2) / (1 / b - 1 / B);
    this.signal = this.decay * this.signal + (1 - this.decay) * signal;
    this.noise = this.decay * this.noise + (1 - this.decay) * noise;
    this.updates++;
  }

  /** tr(Sigma) / |G|^2, in examples; NaN before the first update. Single estimates may be negative: average more. */
  get value(): number {
    return this.noise / this.signal;
  }

  /** The estimate of |G|^2; NaN before the first update. */
  get squaredNorm(): number {
    return this.signal / (1 - this.decay ** this.updates);
  }

  /** The estimate of tr(Sigma); NaN before the first update. */
  get variance(): number {
    return this.noise / (1 - this.decay ** this.updates);
  }

  /** The averages so far, for load(). */
  state(): NoiseScaleState {
    return { updates: this.updates, signal: this.signal, noise: this.noise };
  }

  /** Takes over what state() gave. */
  load({ updates, signal, noise }: NoiseScaleState): void {
    this.updates = updates;
    this.signal = signal;
    this.noise = noise;
  }
}
