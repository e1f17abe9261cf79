/**
 * What happens to a batch between data set and network. Transforms are native and work on whole batches; random ones are
 * keyed by (seed, epoch, number of the picture), so a picture's crop does not depend on the batch that it came in.
 */

import { expect, show } from "../errors.js";
import { noGrad } from "../graph.js";
import { unscoped } from "../memory.js";
import { type DType, k } from "../native.js";
import { div, sub } from "../ops/arithmetic.js";
import { tensor } from "../ops/create.js";
import { empty, type Tensor } from "../tensor.js";
import { checkProbability, type SampleKey } from "./draws.js";

/** Makes another batch of x [n, ...]; never changes x. May return x itself. */
export interface Transform {
  /** The new batch. `key` is for random transforms: a picture's draws depend on it and its own number alone. */
  apply(x: Tensor, key: SampleKey): Tensor;
}

/** The extents of pictures, or an error that names the transform. */
export function expectPictures(where: string, x: Tensor): [n: number, c: number, h: number, w: number] {
  expect(x.ndim === 4, where, "pictures [n,c,h,w]", show(x.shape));
  return x.shape as [number, number, number, number];
}

/**
 * Bytes or floats to (x - mean) / std by channel; bytes are taken as x / 255.
 *
 * @example
 * const normalize = new data.Normalize([0.4914, 0.4822, 0.4465], [0.247, 0.2435, 0.2616]);
 */
export class Normalize implements Transform {
  /** One a channel, or one for all. */
  readonly mean: readonly number[];
  /** One a channel, or one for all. */
  readonly std: readonly number[];
  /** Of the result for bytes; floats keep theirs. */
  readonly dtype: "float32" | "float64";
  private constants: [mean: Tensor, std: Tensor] | null = null;

  /**
   * Constants of every batch; a std of 0 is an error.
   *
   * @param mean one a channel, as are std; dtype: of the result for bytes
   */
  constructor(
    mean: number | readonly number[],
    std: number | readonly number[],
    { dtype = "float32" }: { dtype?: "float32" | "float64" } = {},
  ) {
    this.mean = typeof mean === "number" ? [mean] : [...mean];
    this.std = typeof std === "number" ? [std] : [...std];
    this.dtype = dtype;
    expect(
      this.mean.length === this.std.length,
      "Normalize",
      `${this.mean.length} values of std, one for each mean`,
      `${this.std.length}`,
    );
    if (!this.std.every((s) => s > 0))
      throw new RangeError(`Normalize: expected values of std above 0, got ${this.std}`);
  }

  /** [n, c, h, w] to the same shape. */
  apply(x: Tensor): Tensor {
    const [n, c, ...inner] = x.shape as [number, number, ...number[]];
    expect(x.ndim >= 2 && c === this.mean.length, "Normalize", `x [n,${this.mean.length},...]`, show(x.shape));
    const dtype: DType = x.dtype === "uint8" ? this.dtype : x.dtype;
    if (this.constants?.[0].dtype !== dtype) {
      this.constants = unscoped(() => [tensor([...this.mean], { dtype }), tensor([...this.std], { dtype })]);
    }
    const [mean, std] = this.constants!;
    if (x.dtype !== "uint8") {
      const shape = [c, ...inner.map(() => 1)];
      return noGrad(() => div(sub(x, mean.reshape(shape)), std.reshape(shape)));
    }
    const y = empty(x.shape, dtype);
    k.normalise(
      y,
      x,
      mean,
      std,
      n,
      c,
      inner.reduce((a, b) => a * b, 1),
    );
    return y;
  }
}

/**
 * Cuts a picture of `size` out of each, padded by zeros, at a random place.
 *
 * @example
 * const crop = new data.RandomCrop(32, { padding: 4 });
 */
export class RandomCrop implements Transform {
  /** [height, width] */
  readonly size: readonly [number, number];
  /** Zeros on each side. */
  readonly padding: number;

  /**
   * A size above the padded picture is an error when it meets one.
   *
   * @param size height and width; padding: zeros on each side, default 0
   */
  constructor(size: number | readonly [number, number], { padding = 0 }: { padding?: number } = {}) {
    this.size = typeof size === "number" ? [size, size] : size;
    this.padding = padding;
    if (![...this.size, padding].every((e) => Number.isSafeInteger(e) && e >= 0)) {
      throw new RangeError(`RandomCrop: expected a size and a padding from 0 up, got ${this.size} and ${padding}`);
    }
  }

  /** [n, c, h, w] to [n, c, ...size], of the same dtype. */
  apply(x: Tensor, { samples, seed, epoch }: SampleKey): Tensor {
    const [n, c, h, w] = expectPictures("RandomCrop", x);
    const [p, q] = this.size;
    const fits = h + 2 * this.padding >= p && w + 2 * this.padding >= q;
    expect(fits, "RandomCrop", `pictures of at least ${p}x${q} with padding ${this.padding}`, show(x.shape));
    const y = empty([n, c, p, q], x.dtype);
    if (y.size > 0) k.randomCrop(y, x, samples, seed, epoch, n, c, h, w, p, q, this.padding);
    return y;
  }
}

/** Mirrors each picture left to right with probability p. */
export class RandomHorizontalFlip implements Transform {
  /** Probability that a picture is mirrored. */
  readonly p: number;

  /**
   * A p outside of [0, 1] is an error.
   *
   * @param p probability that a picture is mirrored
   */
  constructor(p = 0.5) {
    this.p = checkProbability("RandomHorizontalFlip", p);
  }

  /** [n, c, h, w] to the same shape and dtype. */
  apply(x: Tensor, { samples, seed, epoch }: SampleKey): Tensor {
    const [n, c, h, w] = expectPictures("RandomHorizontalFlip", x);
    const y = empty(x.shape, x.dtype);
    if (y.size > 0) k.randomFlip(y, x, samples, this.p, seed, epoch, n, c * h, w, 1);
    return y;
  }
}

/** Turns each picture upside down (as a mirror does) with probability p. */
export class RandomVerticalFlip implements Transform {
  /** Probability that a picture is turned. */
  readonly p: number;

  /**
   * A p outside of [0, 1] is an error.
   *
   * @param p probability that a picture is turned
   */
  constructor(p = 0.5) {
    this.p = checkProbability("RandomVerticalFlip", p);
  }

  /** [n, c, h, w] to the same shape and dtype. */
  apply(x: Tensor, { samples, seed, epoch }: SampleKey): Tensor {
    const [n, c, h, w] = expectPictures("RandomVerticalFlip", x);
    const y = empty(x.shape, x.dtype);
    if (y.size > 0) k.randomFlip(y, x, samples, this.p, seed, epoch, n, c, h, w);
    return y;
  }
}

/** Bytes to floats from 0 to 1 (x / 255); floats stay as they are. */
export class ToFloat implements Transform {
  /** Of the result for bytes. */
  readonly dtype: "float32" | "float64";
  private readonly byChannels = new Map<number, Normalize>();

  /**
   * Bytes are divided by 255.
   *
   * @param options dtype: default float32
   */
  constructor({ dtype = "float32" }: { dtype?: "float32" | "float64" } = {}) {
    this.dtype = dtype;
  }

  /** Any shape to the same one. */
  apply(x: Tensor): Tensor {
    if (x.dtype !== "uint8") return x;
    const c = x.shape[1] ?? 1;
    let scale = this.byChannels.get(c);
    if (scale === undefined) {
      scale = new Normalize(Array(c).fill(0), Array(c).fill(1), { dtype: this.dtype });
      this.byChannels.set(c, scale);
    }
    return scale.apply(x);
  }
}

/**
 * One transform after the other, each with draws of its own.
 *
 * @example
 * const augment = new data.Compose([new data.RandomCrop(32, { padding: 4 }), new data.RandomHorizontalFlip()]);
 */
export class Compose implements Transform {
  /** In the order in which they are applied. */
  readonly transforms: readonly Transform[];

  /**
   * Each transform draws under a seed of its own, which follows from its place.
   *
   * @param transforms in the order in which they are applied; none at all gives x itself
   */
  constructor(transforms: readonly Transform[]) {
    this.transforms = [...transforms];
  }

  /** What the last one gives; what lies between is freed. */
  apply(x: Tensor, { seed, ...key }: SampleKey): Tensor {
    let y = x;
    this.transforms.forEach((transform, i) => {
      const next = transform.apply(y, { ...key, seed: seed + i });
      if (next !== y && y !== x) y.free();
      y = next;
    });
    return y;
  }
}
