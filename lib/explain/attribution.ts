/**
 * What parts of a picture a classifier's score comes from, beside its plain gradient: by covering them (occlusion), by
 * gradients of noisy copies (SmoothGrad), by gradients along the way from a baseline (integrated gradients).
 */
import { expect, show } from "../errors.js";
import { noGrad } from "../graph.js";
import { type Sync, scope } from "../memory.js";
import { inEval } from "../nn/inEval.js";
import type { Layer } from "../nn/module.js";
import { where } from "../ops/arithmetic.js";
import { arange, full, tensor, zeros } from "../ops/create.js";
import { type GeneratorOption, randn } from "../ops/random.js";
import { cat } from "../ops/shape.js";
import type { Tensor } from "../tensor.js";
import { expectPictures, labelsOf, scoreOf, slopeOf } from "./common.js";

/** Options of occlusion(). */
export interface OcclusionOptions {
  /** Side of the square that covers, in pixels. Default an eighth of the picture's shorter side, rounded up. */
  size?: number;
  /** Pixels from one place of the square to the next. Default half of size, rounded up. */
  stride?: number;
  /** What covered pixels become. Default 0, the mean where pictures are normalised. */
  fill?: number;
  /** Pictures a pass. Default 64. */
  batchSize?: number;
}

const expectBatch = (op: string, batchSize: number): void =>
  expect(Number.isSafeInteger(batchSize) && batchSize >= 1, op, "a batchSize from 1 up", `${batchSize}`);

/** For `count` copies of n pictures, as many at once as `batchSize` holds: fn(first copy, copies), each time in a scope. */
function inPasses<T>(count: number, n: number, batchSize: number, fn: (first: number, copies: number) => Sync<T>): T[] {
  const step = Math.max(1, Math.floor(batchSize / n));
  const results: T[] = [];
  for (let i = 0; i < count; i += step) results.push(scope(() => fn(i, Math.min(step, count - i))));
  return results;
}

/** fn of `batchSize` of n pictures at a time. */
const inParts = (n: number, batchSize: number, fn: (part: [from: number, to: number]) => Tensor): Tensor =>
  scope(() => {
    const parts: Tensor[] = [];
    for (let i = 0; i < n; i += batchSize) parts.push(fn([i, Math.min(n, i + batchSize)]));
    return noGrad(() => cat(parts));
  });

/** Where a square of `size` begins along `length` pixels: every `stride`, and once flush with the end. */
function placesOf(length: number, size: number, stride: number): number[] {
  const last = length - size;
  const places = Array.from({ length: Math.floor(last / stride) + 1 }, (_, i) => i * stride);
  return places.at(-1) === last ? places : [...places, last];
}

/**
 * How much a class's score falls when a square of the picture is covered (Zeiler & Fergus, "Visualizing and understanding
 * convolutional networks", 2013): each pixel has the mean fall over the squares that cover it. Needs no gradients; a
 * forward pass for each place of the square.
 *
 * @param model pictures to scores [n, classes]
 * @param x [n, c, h, w]
 * @param labels [n], or one for all
 * @returns [n, h, w], above 0 where covering takes from the score
 * @throws Error for a size or stride that does not fit the picture, a label that is no class
 * @example
 * const model = new nn.Sequential(new nn.Flatten(), new nn.Linear(48, 3));
 * const map = explain.occlusion(model, randn([2, 3, 4, 4]), 1, { size: 2 }); // [2, 4, 4]
 */
export function occlusion(model: Layer, x: Tensor, labels: Tensor | number, options: OcclusionOptions = {}): Tensor {
  expectPictures("occlusion", x);
  const y = labelsOf("occlusion", x, labels);
  const [n, c, h, w] = x.shape as [number, number, number, number];
  const { size = Math.ceil(Math.min(h, w) / 8), fill = 0, batchSize = 64 } = options;
  const { stride = Math.ceil(size / 2) } = options;
  const fits = Number.isSafeInteger(size) && size >= 1 && size <= Math.min(h, w);
  expect(fits, "occlusion", `a size from 1 to ${Math.min(h, w)}`, `${size}`);
  expect(
    Number.isSafeInteger(stride) && stride >= 1 && stride <= size,
    "occlusion",
    `a stride from 1 to ${size}`,
    `${stride}`,
  );
  expectBatch("occlusion", batchSize);
  if (n > batchSize) return inParts(n, batchSize, (part) => occlusion(model, x.slice(part), y.slice(part), options));
  const columns = placesOf(w, size, stride);
  const places = placesOf(h, size, stride).flatMap((row) => columns.map((column) => [row, column] as const));
  /** [g, h w]: 1 where the square of each place lies. */
  const masksOf = (first: number, g: number): Tensor => {
    const covered = new Uint8Array(g * h * w);
    for (const [i, [row, column]] of places.slice(first, first + g).entries())
      for (let r = row; r < row + size; r++) covered.fill(1, (i * h + r) * w + column, (i * h + r) * w + column + size);
    return tensor(covered, [g, h * w]);
  };

  return inEval(model, () =>
    scope(() =>
      noGrad(() => {
        const whole = scoreOf("occlusion", model, x, y);
        const value = full([], fill, { dtype: x.dtype });
        const [falls, counts] = [zeros([n, h * w], { dtype: x.dtype }), zeros([h * w], { dtype: x.dtype })];
        inPasses(places.length, n, batchSize, (first, g) => {
          const masks = masksOf(first, g);
          const pictures = where(masks.reshape([g, 1, 1, h, w]).greater(0), value, x).reshape([g * n, c, h, w]);
          const scores = scoreOf("occlusion", model, pictures, y).reshape([g, n]);
          const weights = masks.to(x.dtype);
          falls.add_(whole.sub(scores).t().matmul(weights));
          counts.add_(weights.sum(0));
        });
        return falls.div(counts).reshape([n, h, w]);
      }),
    ),
  );
}

/** Gradients of copies [copies, n, ...], summed over the copies. */
function sumOfSlopes(op: string, model: Layer, copies: Tensor, y: Tensor): Tensor {
  const { shape } = copies;
  const [g, n, ...rest] = shape as [number, number];
  return slopeOf(op, model, copies.reshape([g * n, ...rest]), y)
    .reshape(shape)
    .sum(0);
}

/** Options of smoothGrad(). */
export interface SmoothGradOptions extends GeneratorOption {
  /** Noisy copies of each picture. Default 50. */
  samples?: number;
  /** Standard deviation of the noise, as a share of the picture's own range from least to largest value. Default 0.15. */
  noise?: number;
  /** Pictures a pass. Default 64. */
  batchSize?: number;
}

/**
 * Saliency without its speckle: the gradient's mean over copies of the picture with noise, its largest amount over the
 * channels (Smilkov et al., "SmoothGrad: removing noise by adding noise", 2017).
 *
 * @param model pictures to scores [n, classes]
 * @param x [n, c, h, w]
 * @param labels [n], or one for all
 * @returns [n, h, w]
 * @throws Error for samples that are no whole number from 1 up, a noise below 0, a label that is no class
 * @example
 * const model = new nn.Sequential(new nn.Flatten(), new nn.Linear(12, 3));
 * const map = explain.smoothGrad(model, randn([2, 3, 2, 2]), 1, { samples: 8 }); // [2, 2, 2]
 */
export function smoothGrad(
  model: Layer,
  x: Tensor,
  labels: Tensor | number,
  { samples = 50, noise = 0.15, batchSize = 64, generator }: SmoothGradOptions = {},
): Tensor {
  expectPictures("smoothGrad", x);
  const y = labelsOf("smoothGrad", x, labels);
  expect(Number.isSafeInteger(samples) && samples >= 1, "smoothGrad", "samples from 1 up", `${samples}`);
  expectBatch("smoothGrad", batchSize);
  expect(noise >= 0, "smoothGrad", "noise from 0 up", `${noise}`);
  const n = x.shape[0]!;
  if (n > batchSize) {
    const options = { samples, noise, batchSize, generator };
    return inParts(n, batchSize, (part) => smoothGrad(model, x.slice(part), y.slice(part), options));
  }
  return inEval(model, () =>
    scope(() =>
      noGrad(() => {
        const axes = [1, 2, 3];
        const spread = x
          .amax(axes, { keepDims: true })
          .sub(x.amin(axes, { keepDims: true }))
          .mul(noise);
        const sum = zeros(x.shape, { dtype: x.dtype });
        inPasses(samples, n, batchSize, (_, copies): void => {
          const drawn = randn([copies, ...x.shape], { dtype: x.dtype, generator });
          sum.add_(sumOfSlopes("smoothGrad", model, drawn.mul(spread).add(x), y));
        });
        return sum.div(samples).abs().amax(1);
      }),
    ),
  );
}

/** Options of integratedGradients(). */
export interface IntegratedGradientsOptions {
  /** Where the way begins: the value of every pixel, or pictures whose shape extends to x's. Default 0. */
  baseline?: Tensor | number;
  /** Gradients along the way, in the middles of as many equal parts. Default 50. */
  steps?: number;
  /** Pictures a pass. Default 64. */
  batchSize?: number;
}

/**
 * What each value of a picture adds to its class's score: (x - baseline) times the gradient's mean on the straight way from
 * the baseline (Sundararajan, Taly & Yan, "Axiomatic attribution for deep networks", 2017). The sum over a picture is its
 * score less the baseline's, to the error of the sum over steps ("completeness").
 *
 * @param model pictures, or rows of numbers, to scores [n, classes]
 * @param x [n, c, h, w], or [n, ...]
 * @param labels [n], or one for all
 * @returns x's shape, with signs
 * @throws Error for steps that are no whole number from 1 up, a baseline that does not extend to x, a label that is no class
 * @example
 * const model = new nn.Sequential(new nn.Flatten(), new nn.Linear(12, 3));
 * const x = randn([2, 3, 2, 2]);
 * const parts = explain.integratedGradients(model, x, 1); // [2, 3, 2, 2]
 * const map = parts.sum(1); // [2, 2, 2]
 */
export function integratedGradients(
  model: Layer,
  x: Tensor,
  labels: Tensor | number,
  { baseline = 0, steps = 50, batchSize = 64 }: IntegratedGradientsOptions = {},
): Tensor {
  const y = labelsOf("integratedGradients", x, labels);
  expect(Number.isSafeInteger(steps) && steps >= 1, "integratedGradients", "steps from 1 up", `${steps}`);
  expectBatch("integratedGradients", batchSize);
  if (typeof baseline !== "number") {
    const { shape } = baseline;
    const behind = x.ndim - shape.length;
    const reaches = behind >= 0 && shape.every((e, i) => e === 1 || e === x.shape[behind + i]);
    expect(reaches, "integratedGradients", `a baseline that extends to ${show(x.shape)}`, show(shape));
  }
  const n = x.shape[0]!;
  if (n > batchSize) {
    const from = (part: [number, number]) =>
      typeof baseline !== "number" && baseline.ndim === x.ndim && baseline.shape[0] === n
        ? baseline.slice(part)
        : baseline;
    return inParts(n, batchSize, (part) =>
      integratedGradients(model, x.slice(part), y.slice(part), { baseline: from(part), steps, batchSize }),
    );
  }
  return inEval(model, () =>
    scope(() =>
      noGrad(() => {
        const from = typeof baseline === "number" ? full(x.shape, baseline, { dtype: x.dtype }) : baseline.detach();
        const way = x.detach().sub(from);
        const sum = zeros(x.shape, { dtype: x.dtype });
        inPasses(steps, n, batchSize, (first, copies): void => {
          const shares = arange(first, first + copies)
            .to(x.dtype)
            .add(0.5)
            .div(steps); // of the way
          const at = way.mul(shares.reshape([copies, ...x.shape.map(() => 1)])).add(from);
          sum.add_(sumOfSlopes("integratedGradients", model, at, y));
        });
        return sum.mul(way).div(steps);
      }),
    ),
  );
}
