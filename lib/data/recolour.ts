/**
 * Transforms of colours and sharpness. Each picture gets a short program of (step, strength) that one kernel runs while the
 * picture is in the cache. On bytes the steps give PIL's results bit for bit (ImageEnhance, ImageOps), except hue, which
 * is not rounded to PIL's 8-bit HSV; on floats they are the same formulas with white at 1.
 */
import { expect, show } from "../errors.js";
import { k } from "../native.js";
import { empty, fromTyped, type Tensor } from "../tensor.js";
import { checkProbability, type Draws, drawsOf, rangeOf, type SampleKey } from "./draws.js";
import { expectPixels } from "./geometry.js";
import { expectPictures, type Transform } from "./transforms.js";

// The codes of native/cpu/recolour.cc, in its order.
const STEPS = [
  "nothing",
  "brightness", // times f
  "contrast", // away from the mean grey by f
  "saturation", // away from each pixel's grey by f
  "sharpness", // away from the smoothed picture by f
  "hue", // turned by f, 1 is once around
  "invert",
  "solarize", // inverts what is at least f
  "autocontrast",
  "posterize", // keeps f bits
  "equalize",
] as const;

/** One step of a picture's program and its strength. */
export type Step = readonly [name: (typeof STEPS)[number], strength: number];

/** Runs a program on each picture; shorter ones end with nothing. */
export function recolour(where: string, x: Tensor, programs: readonly (readonly Step[])[]): Tensor {
  const [n, c, h, w] = expectPixels(where, x);
  if (x.dtype !== "uint8" && programs.some((p) => p.some(([s]) => s === "posterize" || s === "equalize")))
    throw new TypeError(`${where}: expected pictures of uint8 (grey values to count), got ${x.dtype}`);
  const steps = Math.max(0, ...programs.map((program) => program.length));
  if (steps === 0 || x.size === 0) return x;
  const table = new Float64Array(n * steps * 2);
  programs.forEach((program, i) => {
    program.forEach(([name, strength], s) => {
      table.set([STEPS.indexOf(name), strength], (i * steps + s) * 2);
    });
  });
  const y = empty(x.shape, x.dtype);
  const program = fromTyped(table, [n, steps, 2], "float64");
  k.recolour(y, x, program, n, c, h, w, steps);
  program.free();
  return y;
}

/** A range [low, high], or one number for a range around the neutral value. */
export type Jitter = number | readonly [number, number];
/** Options of ColorJitter. */
export interface ColorJitterOptions {
  /** Factor from [low, high], or x for [max(0, 1 - x), 1 + x]; so are contrast and saturation. Default 0: unchanged. */
  brightness?: Jitter;
  /** Factor of the distance from the mean grey. Default 0: unchanged. */
  contrast?: Jitter;
  /** Factor of the distance from the grey of each pixel. Default 0: unchanged. */
  saturation?: Jitter;
  /** Turn of the hue from [low, high] within [-0.5, 0.5], or x for [-x, x]; 1 is once around. Default 0. */
  hue?: Jitter;
}

/**
 * Changes brightness, contrast, saturation and hue at random, in random order.
 *
 * @example
 * const jitter = new data.ColorJitter({ brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.1 });
 */
export class ColorJitter implements Transform {
  private readonly ranges: readonly (readonly [Step[0], readonly [number, number]])[];

  /** A range that does not rise, or a hue outside of [-0.5, 0.5], is an error. */
  constructor({ brightness = 0, contrast = 0, saturation = 0, hue = 0 }: ColorJitterOptions = {}) {
    const factor = (name: Step[0], x: Jitter) =>
      [name, rangeOf("ColorJitter", name, x, (v) => [v > 1 ? 0 : 1 - v, 1 + v], [0, 1e6])] as const;
    this.ranges = [
      factor("brightness", brightness),
      factor("contrast", contrast),
      factor("saturation", saturation),
      ["hue", rangeOf("ColorJitter", "hue", hue, (v) => [-v, v], [-0.5, 0.5])] as const,
    ].filter(([name, [low, high]]) => low !== high || low !== (name === "hue" ? 0 : 1));
  }

  /** [n, c, h, w] to the same shape and dtype. */
  apply(x: Tensor, key: SampleKey): Tensor {
    const [n] = expectPictures("ColorJitter", x);
    const programs = drawsOf("ColorJitter", key, n).map((draw) => {
      const steps = this.ranges.map(([name, range]): Step => [name, draw.uniform(...range)]);
      for (let i = steps.length - 1; i > 0; i--) {
        const j = draw.below(i + 1);
        [steps[i], steps[j]] = [steps[j]!, steps[i]!];
      }
      return steps;
    });
    return recolour("ColorJitter", x, programs);
  }
}

/** One step with probability p. */
abstract class Sometimes implements Transform {
  abstract readonly p: number;
  protected abstract readonly step: Step;

  /** [n, c, h, w] to the same shape and dtype. */
  apply(x: Tensor, key: SampleKey): Tensor {
    const where = this.constructor.name;
    const [n] = expectPictures(where, x);
    const programs = drawsOf(where, key, n).map((draw) => (draw.chance(this.p) ? [this.step] : []));
    return recolour(where, x, programs);
  }
}

/** Takes the colours out with probability p (default 0.1); the three channels stay. */
export class RandomGrayscale extends Sometimes {
  /** Probability of the change. */
  readonly p: number;
  protected readonly step: Step = ["saturation", 0];
  /**
   * A p outside of [0, 1] is an error.
   *
   * @param p probability of the change
   */
  constructor(p = 0.1) {
    super();
    this.p = checkProbability("RandomGrayscale", p);
  }
}

/** Makes negatives with probability p (default 0.5). */
export class RandomInvert extends Sometimes {
  /** Probability of the change. */
  readonly p: number;
  protected readonly step: Step = ["invert", 0];
  /**
   * A p outside of [0, 1] is an error.
   *
   * @param p probability of the change
   */
  constructor(p = 0.5) {
    super();
    this.p = checkProbability("RandomInvert", p);
  }
}

/** Inverts the pixels that are at least `threshold` (0-255 for bytes, 0-1 for floats) with probability p (default 0.5). */
export class RandomSolarize extends Sometimes {
  /** Probability of the change. */
  readonly p: number;
  protected readonly step: Step;
  /**
   * A p outside of [0, 1] is an error.
   *
   * @param threshold least value that is inverted: 0-255 for bytes, 0-1 for floats
   * @param p probability of the change
   */
  constructor(threshold: number, p = 0.5) {
    super();
    if (!Number.isFinite(threshold)) throw new RangeError(`RandomSolarize: expected a threshold, got ${threshold}`);
    this.step = ["solarize", threshold];
    this.p = checkProbability("RandomSolarize", p);
  }
}

/** Keeps the `bits` highest bits of each byte with probability p (default 0.5). */
export class RandomPosterize extends Sometimes {
  /** Probability of the change. */
  readonly p: number;
  protected readonly step: Step;
  /**
   * A p outside of [0, 1] is an error.
   *
   * @param bits that are kept, 0 to 8
   * @param p probability of the change
   */
  constructor(bits: number, p = 0.5) {
    super();
    if (!(Number.isInteger(bits) && bits >= 0 && bits <= 8))
      throw new RangeError(`RandomPosterize: expected bits from 0 to 8, got ${bits}`);
    this.step = ["posterize", bits];
    this.p = checkProbability("RandomPosterize", p);
  }
}

/** Flattens the histogram of each channel with probability p (default 0.5). Bytes only. */
export class RandomEqualize extends Sometimes {
  /** Probability of the change. */
  readonly p: number;
  protected readonly step: Step = ["equalize", 0];
  /**
   * A p outside of [0, 1] is an error.
   *
   * @param p probability of the change
   */
  constructor(p = 0.5) {
    super();
    this.p = checkProbability("RandomEqualize", p);
  }
}

/** Stretches each channel to the whole range with probability p (default 0.5). */
export class RandomAutocontrast extends Sometimes {
  /** Probability of the change. */
  readonly p: number;
  protected readonly step: Step = ["autocontrast", 0];
  /**
   * A p outside of [0, 1] is an error.
   *
   * @param p probability of the change
   */
  constructor(p = 0.5) {
    super();
    this.p = checkProbability("RandomAutocontrast", p);
  }
}

/** Sharpens (factor above 1) or smooths (below 1) with probability p (default 0.5). */
export class RandomAdjustSharpness extends Sometimes {
  /** Probability of the change. */
  readonly p: number;
  protected readonly step: Step;
  /**
   * A p outside of [0, 1] is an error.
   *
   * @param factor 0 smooths, 1 changes nothing, 2 sharpens
   * @param p probability of the change
   */
  constructor(factor: number, p = 0.5) {
    super();
    if (!(factor >= 0)) throw new RangeError(`RandomAdjustSharpness: expected a factor from 0 up, got ${factor}`);
    this.step = ["sharpness", factor];
    this.p = checkProbability("RandomAdjustSharpness", p);
  }
}

/**
 * Gaussian blur with a deviation drawn from `sigma` (a number, or [low, high]; default [0.1, 2]) and a kernel of `size`
 * taps; pictures are mirrored at the borders.
 *
 * @param size odd; half of it must be less than height and width
 */
export class GaussianBlur implements Transform {
  /** Taps of the kernel along each axis. */
  readonly size: number;
  /** Least and greatest deviation, in pixels. */
  readonly sigma: readonly [number, number];

  /**
   * An even size, or a deviation that is not above 0, is an error.
   *
   * @param size taps of the kernel, odd
   * @param options sigma: a number, or [low, high], in pixels
   */
  constructor(size: number, { sigma = [0.1, 2] }: { sigma?: number | readonly [number, number] } = {}) {
    if (!(Number.isSafeInteger(size) && size >= 1 && size % 2 === 1))
      throw new RangeError(`GaussianBlur: expected an odd size from 1 up, got ${size}`);
    this.size = size;
    this.sigma = rangeOf("GaussianBlur", "sigma", sigma, (x) => [x, x], [1e-3, 1e6]);
  }

  /** [n, c, h, w] to the same shape and dtype. */
  apply(x: Tensor, key: SampleKey): Tensor {
    const [n, c, h, w] = expectPixels("GaussianBlur", x);
    const half = this.size >> 1;
    expect(half < h && half < w, "GaussianBlur", `pictures larger than ${half}x${half}`, show(x.shape));
    const y = empty(x.shape, x.dtype);
    if (y.size === 0) return y;
    const weights = drawsOf("GaussianBlur", key, n).flatMap((draw) => gaussian(this.size, draw, this.sigma));
    const table = fromTyped(Float64Array.from(weights), [n, this.size], "float64");
    k.blur(y, x, table, n, c, h, w, this.size);
    table.free();
    return y;
  }
}

/** Weights that add up to 1. */
function gaussian(size: number, draw: Draws, range: readonly [number, number]): number[] {
  const sigma = draw.uniform(...range);
  const weights = Array.from({ length: size }, (_, i) => Math.exp(-0.5 * ((i - (size >> 1)) / sigma) ** 2));
  const sum = weights.reduce((a, b) => a + b, 0);
  return weights.map((v) => v / sum);
}
