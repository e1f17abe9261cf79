/**
 * Erased rectangles, and pictures mixed with others of their batch: what mixes pictures mixes their labels too, so those
 * transforms take a whole batch and give soft targets [n, classes], which crossEntropy takes.
 */

import { expect, show } from "../errors.js";
import { noGrad } from "../graph.js";
import { k } from "../native.js";
import { add, mul } from "../ops/arithmetic.js";
import { checkIndices } from "../ops/common.js";
import { empty, fromTyped, type Tensor } from "../tensor.js";
import { takeRows } from "./collate.js";
import { checkProbability, drawsOf, rangeOf, type SampleKey } from "./draws.js";
import { expectPixels, fillOf } from "./geometry.js";
import type { Transform } from "./transforms.js";

/** Makes another batch of fields [x, y, ...]; frees none of them. */
export interface BatchTransform {
  /** The new fields; x [n, c, h, w] and labels [n] become x and soft targets [n, classes]. */
  applyBatch(fields: readonly Tensor[], key: SampleKey): Tensor[];
}

/** (top, left, height, width) in pixels; cut at the picture's borders. */
type Box = readonly [number, number, number, number];
const NO_BOX: Box = [0, 0, 0, 0];

function patch(where: string, x: Tensor, partner: Int32Array, boxes: readonly Box[], fill: number | readonly number[]) {
  const [n, c, h, w] = expectPixels(where, x);
  const y = empty(x.shape, x.dtype);
  if (y.size === 0) return y;
  const others = fromTyped(partner, [n], "int32");
  const box = fromTyped(Int32Array.from(boxes.flat()), [n, 4], "int32");
  const colour = fillOf(where, fill, c);
  k.patch(y, x, others, box, colour, n, c, h, w, 4);
  for (const t of [others, box, colour]) t.free();
  return y;
}

/** x with noise in a box of each picture. */
function noise(x: Tensor, boxes: readonly Box[], { seed, epoch, samples }: SampleKey): Tensor {
  const y = empty(x.shape, x.dtype);
  if (y.size === 0) return y;
  const [n, c, h, w] = x.shape as [number, number, number, number];
  const box = fromTyped(Int32Array.from(boxes.flat()), [n, 4], "int32");
  k.eraseNoise(y, x, samples, box, seed, epoch, n, c, h, w, 4);
  box.free();
  return y;
}

/** Options of RandomErasing. */
export interface RandomErasingOptions {
  /** Default 0.5. */
  p?: number;
  /** Share of the picture that is erased. Default [0.02, 0.33]. */
  scale?: readonly [number, number];
  /** Height by width of the rectangle, drawn on a log scale. Default [0.3, 3.3]. */
  ratio?: readonly [number, number];
  /**
   * What stands there, one number or one a channel; "random" for standard normal noise, another for each element, in pictures
   * of floats: after Normalize. Default 0.
   */
  value?: number | readonly number[] | "random";
}

/**
 * Erases a random rectangle with probability p (Zhong et al. 2020).
 *
 * @example
 * const erase = new data.Compose([new data.Normalize(0.5, 0.5), new data.RandomErasing({ value: "random" })]);
 */
export class RandomErasing implements Transform {
  /** Probability that a picture loses a rectangle. */
  readonly p: number;
  /** Least and greatest share of the area. */
  readonly scale: readonly [number, number];
  /** Least and greatest height by width. */
  readonly ratio: readonly [number, number];
  /** What stands in the rectangle. */
  readonly value: number | readonly number[] | "random";

  /** A p outside of [0, 1], or ranges that are not rising, are an error. */
  constructor({ p = 0.5, scale = [0.02, 0.33], ratio = [0.3, 3.3], value = 0 }: RandomErasingOptions = {}) {
    this.p = checkProbability("RandomErasing", p);
    this.scale = rangeOf("RandomErasing", "scale", scale, (x) => [x, x], [0, 1]);
    this.ratio = rangeOf("RandomErasing", "ratio", ratio, (x) => [x, x], [1e-3, 1e3]);
    if (typeof value === "string" && value !== "random")
      throw new TypeError(`RandomErasing: expected a value of numbers or "random", got "${value}"`);
    this.value = value;
  }

  /** [n, c, h, w] to the same shape and dtype; ten draws that do not fit leave a picture as it is. */
  apply(x: Tensor, key: SampleKey): Tensor {
    const [n, , h, w] = expectPixels("RandomErasing", x);
    if (this.value === "random")
      expect(x.dtype !== "uint8", "RandomErasing", "floats for noise (put it after Normalize or ToFloat)", x.dtype);
    const [low, high] = this.ratio.map(Math.log) as [number, number];
    const boxes = drawsOf("RandomErasing", key, n).map((draw): Box => {
      if (!draw.chance(this.p)) return NO_BOX;
      for (let attempt = 0; attempt < 10; attempt++) {
        const area = h * w * draw.uniform(...this.scale);
        const r = Math.exp(draw.uniform(low, high));
        const [height, width] = [Math.round(Math.sqrt(area * r)), Math.round(Math.sqrt(area / r))];
        if (height < h && width < w) return [draw.below(h - height + 1), draw.below(w - width + 1), height, width];
      }
      return NO_BOX;
    });
    if (this.value === "random") return noise(x, boxes, key);
    return patch("RandomErasing", x, new Int32Array(n).fill(-1), boxes, this.value);
  }
}

/** Erases a square of `size` around a random pixel, cut at the borders (DeVries & Taylor 2017). */
export class Cutout implements Transform {
  /** Side of the square, in pixels. */
  readonly size: number;
  /** What stands in the square. */
  readonly value: number | readonly number[];

  /**
   * Every picture loses a square, cut at the borders.
   *
   * @param size side of the square, in pixels
   * @param options value: one number or one a channel, default 0
   */
  constructor(size: number, { value = 0 }: { value?: number | readonly number[] } = {}) {
    if (!Number.isSafeInteger(size) || size < 0) throw new RangeError(`Cutout: expected a size from 0 up, got ${size}`);
    this.size = size;
    this.value = value;
  }

  /** [n, c, h, w] to the same shape and dtype. */
  apply(x: Tensor, key: SampleKey): Tensor {
    const [n, , h, w] = expectPixels("Cutout", x);
    const { size } = this;
    const boxes = drawsOf("Cutout", key, n).map(
      (draw): Box => [draw.below(h) - (size >> 1), draw.below(w) - (size >> 1), size, size],
    );
    return patch("Cutout", x, new Int32Array(n).fill(-1), boxes, this.value);
  }
}

/** Options of MixUp and CutMix. */
export interface MixOptions {
  /** Number of classes: what soft targets are wide. */
  classes: number;
  /** Shares are drawn from Beta(alpha, alpha). Default 1 (uniform). */
  alpha?: number;
  /** Share of pictures that are mixed. Default 1. */
  p?: number;
}

/** Mixes pictures of a batch in pairs: each with the one before it, the first with the last. */
abstract class Mix implements BatchTransform {
  /** What soft targets are wide. */
  readonly classes: number;
  /** Shares are drawn from Beta(alpha, alpha). */
  readonly alpha: number;
  /** Share of pictures that are mixed. */
  readonly p: number;

  constructor(
    private readonly where: string,
    { classes, alpha = 1, p = 1 }: MixOptions,
  ) {
    if (!Number.isSafeInteger(classes) || classes < 1)
      throw new RangeError(`${where}: expected classes from 1 up, got ${classes}`);
    if (!(alpha > 0 && Number.isFinite(alpha))) throw new RangeError(`${where}: expected alpha above 0, got ${alpha}`);
    this.classes = classes;
    this.alpha = alpha;
    this.p = checkProbability(where, p);
  }

  /** Mixes x; keep[i], the share of picture i in the result, may be changed to what was done. */
  protected abstract mix(x: Tensor, partner: Int32Array, keep: Float64Array, key: SampleKey): Tensor;

  /** x [n, c, h, w] and labels [n] to mixed pictures and soft targets [n, classes]. */
  applyBatch([x, y, ...rest]: readonly Tensor[], key: SampleKey): Tensor[] {
    const { where, classes } = this;
    if (x === undefined || y === undefined)
      throw new TypeError(`${where}: expected a batch of pictures and labels, got ${x ? 1 : 0} fields`);
    const n = x.shape[0]!;
    const fits = y.ndim === 1 && y.shape[0] === n && (y.dtype === "int32" || y.dtype === "uint8");
    expect(fits, where, `labels [${n}] of int32 or uint8`, `${y.dtype} ${show(y.shape)}`);
    checkIndices(where, "labels", y, classes);
    const partner = Int32Array.from({ length: n }, (_, i) => (i + n - 1) % n);
    const draws = drawsOf(where, key, n);
    const keep = Float64Array.from(draws, (draw) => (draw.chance(this.p) ? draw.beta(this.alpha) : 1));
    const mixed = this.mix(x, partner, keep, key);
    // soft[i] = keep oneHot(y[i]) + (1 - keep) oneHot(y[partner])
    const soft = noGrad(() => {
      const eye = identity(classes);
      const others = fromTyped(partner, [n], "int32");
      const mine = takeRows(eye, y);
      const theirs = takeRows(mine, others);
      const both = blend(mine, theirs, keep);
      for (const t of [eye, others, mine, theirs]) t.free();
      return both;
    });
    return [mixed, soft, ...rest];
  }
}

function identity(n: number): Tensor {
  return fromTyped(
    Float32Array.from({ length: n * n }, (_, i) => Number(i % (n + 1) === 0)),
    [n, n],
    "float32",
  );
}

/** keep a + (1 - keep) b, row by row. */
function blend(a: Tensor, b: Tensor, keep: Float64Array): Tensor {
  const share = (values: Float64Array) =>
    fromTyped(
      a.dtype === "float64" ? values : Float32Array.from(values),
      [values.length, ...a.shape.slice(1).map(() => 1)],
      a.dtype,
    );
  const shares = [share(keep), share(keep.map((v) => 1 - v))] as const;
  const parts = [mul(a, shares[0]), mul(b, shares[1])] as const;
  const y = add(...parts);
  for (const t of [...shares, ...parts]) t.free();
  return y;
}

/**
 * Weighted means of pairs of pictures and of their labels (Zhang et al., "mixup: beyond empirical risk minimization",
 * 2018). The pictures are floats: it stands after Normalize.
 *
 * @example
 * const set = new data.TensorDataset([randn([8, 3, 4, 4]), tensor([0, 1, 2, 3, 0, 1, 2, 3], { dtype: "int32" })]);
 * const mixup = new data.MixUp({ classes: 4, alpha: 0.2 });
 * for await (const [x, soft] of new data.DataLoader(set, { batchSize: 4, mix: mixup })) console.log(x.shape, soft.shape);
 */
export class MixUp extends Mix {
  /**
   * A loader takes it as `mix`; its loss must take soft targets, as crossEntropy does.
   *
   * @param options classes has no default
   */
  constructor(options: MixOptions) {
    super("MixUp", options);
  }

  protected mix(x: Tensor, partner: Int32Array, keep: Float64Array): Tensor {
    const floats = x.dtype === "float32" || x.dtype === "float64";
    expect(floats, "MixUp", "float32 or float64 (put it after Normalize or ToFloat)", x.dtype);
    return noGrad(() => {
      const others = fromTyped(partner, [partner.length], "int32");
      const theirs = takeRows(x, others);
      const y = blend(x, theirs, keep);
      others.free();
      theirs.free();
      return y;
    });
  }
}

/** A rectangle of each picture comes from another one, and the labels share by its area (Yun et al., "CutMix", 2019). */
export class CutMix extends Mix {
  /**
   * A loader takes it as `mix`; its loss must take soft targets, as crossEntropy does.
   *
   * @param options classes has no default
   */
  constructor(options: MixOptions) {
    super("CutMix", options);
  }

  protected mix(x: Tensor, partner: Int32Array, keep: Float64Array, key: SampleKey): Tensor {
    const [n, , h, w] = expectPixels("CutMix", x);
    const boxes = drawsOf("CutMix", { ...key, seed: key.seed + 0x637574 }, n).map((draw, i): Box => {
      const side = Math.sqrt(1 - keep[i]!);
      const [height, width] = [Math.round(h * side), Math.round(w * side)];
      const [top, left] = [draw.below(h) - (height >> 1), draw.below(w) - (width >> 1)];
      const inside = (at: number, length: number, most: number) => Math.min(most, at + length) - Math.max(0, at);
      keep[i] = 1 - (inside(top, height, h) * inside(left, width, w)) / (h * w);
      return [top, left, height, width];
    });
    return patch("CutMix", x, partner, boxes, 0);
  }
}
