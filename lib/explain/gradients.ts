/**
 * What a classifier looks at, by gradients: saliency, Grad-CAM; and pictures made by gradients: adversarial examples, classes.
 */

import { grad } from "../autograd.js";
import { expect, show } from "../errors.js";
import { enableGrad, noGrad } from "../graph.js";
import { scope } from "../memory.js";
import { inEval } from "../nn/inEval.js";
import type { Layer, Module } from "../nn/module.js";
import { where } from "../ops/arithmetic.js";
import { tensor } from "../ops/create.js";
import { interpolate } from "../ops/interpolate.js";
import { crossEntropy } from "../ops/losses/classes.js";
import { type GeneratorOption, rand, randint, randn } from "../ops/random.js";
import type { Tensor } from "../tensor.js";
import { expectPictures, labelsOf, type PixelRange, scoreOf, scoresOf, slopeOf } from "./common.js";

/**
 * How much each pixel moves the score of its picture's class: the largest |d score / d pixel| over the channels (Simonyan,
 * Vedaldi & Zisserman, "Deep inside convolutional networks", 2013).
 *
 * @param model pictures to scores [n, classes]
 * @param x [n, c, h, w]
 * @param labels [n], or one for all
 * @returns [n, h, w]
 * @throws RangeError for a label that is no class: at the call where it came from host data, else when the map is read
 * @example
 * const model = new nn.Sequential(new nn.Flatten(), new nn.Linear(12, 3));
 * const map = explain.saliency(model, randn([2, 3, 2, 2]), 1); // [2, 2, 2]
 */
export function saliency(model: Layer, x: Tensor, labels: Tensor | number): Tensor {
  expectPictures("saliency", x);
  const y = labelsOf("saliency", x, labels);
  return inEval(model, () => {
    const slope = slopeOf("saliency", model, x, y);
    return noGrad(() => slope.abs().amax(1));
  });
}

/**
 * Where a layer's maps speak for a class: relu of the maps' sum, each weighted by the mean of its gradient (Selvaraju et
 * al., "Grad-CAM", 2016), in the pictures' size and scaled to at most 1.
 *
 * @param layer a module inside `model` whose output is [n, c, p, q], usually its last convolution
 * @param labels [n], or one for all
 * @returns [n, h, w]
 */
export function gradCam(model: Layer, layer: Module, x: Tensor, labels: Tensor | number): Tensor {
  const y = labelsOf("gradCam", x, labels);
  return inEval(model, () =>
    enableGrad(() => {
      let maps: Tensor | null = null;
      const remove = layer.registerForwardHook((_, __, output) => {
        maps = (output as Tensor).requiresGrad ? (output as Tensor) : (output as Tensor).detach().requiresGrad_();
        return maps;
      });
      try {
        const scores = scoreOf("gradCam", model, x, y).sum();
        const seen = maps as Tensor | null;
        expect(
          seen !== null && seen.ndim === 4,
          "gradCam",
          "a layer of the model that answers [n,c,p,q]",
          seen ? show((seen as Tensor).shape) : "one that was not called",
        );
        const [slope] = grad(scores, [seen!]);
        return noGrad(() => {
          const weights = slope!.mean([2, 3], { keepDims: true });
          const map = weights.mul(seen!.detach()).sum(1, { keepDims: true }).relu();
          const most = map.amax([1, 2, 3], { keepDims: true });
          const scaled = map.div(where(most.greater(0), most, 1));
          const [, , h, w] = x.shape as [number, number, number, number];
          return interpolate(scaled, { size: [h, w], mode: "bilinear" }).squeeze(1);
        });
      } finally {
        remove();
      }
    }),
  );
}

/** Options of pgd(). */
export interface PgdOptions extends GeneratorOption {
  /** Largest change of a pixel. Default 8 / 255. */
  epsilon?: number;
  /** Change of a step. Default epsilon / 4. */
  stepSize?: number;
  /** Default 10. */
  steps?: number;
  /** Begin at a random point within epsilon. Default true. */
  randomStart?: boolean;
  /** Go towards these labels instead of away from the true ones. Default: away. */
  target?: Tensor | number | null;
  /** Bounds of a pixel. Default [0, 1]. */
  range?: PixelRange;
}

/**
 * Adversarial pictures by one step of epsilon along the sign of the loss's gradient (Goodfellow, Shlens & Szegedy,
 * "Explaining and harnessing adversarial examples", 2014).
 *
 * @param labels the true ones, [n]
 */
export const fgsm = (
  model: Layer,
  x: Tensor,
  labels: Tensor | number,
  { epsilon = 8 / 255, range = [0, 1] }: Pick<PgdOptions, "epsilon" | "range"> = {},
): Tensor => pgd(model, x, labels, { epsilon, range, stepSize: epsilon, steps: 1, randomStart: false });

/**
 * Adversarial pictures within epsilon of x by projected gradient steps (Madry et al., "Towards deep learning models resistant
 * to adversarial attacks", 2017).
 *
 * @param labels the true ones, [n]
 * @returns pictures of x's shape
 */
export function pgd(
  model: Layer,
  x: Tensor,
  labels: Tensor | number,
  {
    epsilon = 8 / 255,
    stepSize = epsilon / 4,
    steps = 10,
    randomStart = true,
    target = null,
    range = [0, 1],
    generator,
  }: PgdOptions = {},
): Tensor {
  expect(epsilon > 0 && stepSize > 0, "pgd", "epsilon and stepSize above 0", `${epsilon} and ${stepSize}`);
  expect(Number.isSafeInteger(steps) && steps >= 1, "pgd", "steps from 1 up", `${steps}`);
  const y = labelsOf("pgd", x, target ?? labels);
  const sign = target === null ? 1 : -1;
  const [low, high] = range;
  return inEval(model, () => {
    const from = x.detach();
    const inside = (z: Tensor) => noGrad(() => from.add(z.sub(from).clamp(-epsilon, epsilon)).clamp(low, high));
    const noise = () =>
      rand(x.shape, { dtype: x.dtype, generator })
        .mul(2 * epsilon)
        .sub(epsilon);
    let z = randomStart ? inside(from.add(noise())) : from;
    for (let i = 0; i < steps; i++) {
      const slope = enableGrad(() => {
        const input = z.detach().requiresGrad_();
        return grad(crossEntropy(scoresOf("pgd", model, input, y), y), [input])[0]!;
      });
      z = inside(z.add(slope.sign().mul(sign * stepSize)));
    }
    return z;
  });
}

/** What foolingPicture() gives. */
export interface Fooling {
  /** [1, c, h, w] */
  picture: Tensor;
  /** How many it took; as many as were allowed where it did not get there. */
  steps: number;
}

/** Options of foolingPicture(). */
export interface FoolingOptions {
  /** Length of each step. Default 1. */
  learningRate?: number;
  /** At most. Default 100. */
  steps?: number;
  /** Bounds of a pixel; the picture is put within them after each step. Default: none. */
  range?: PixelRange | null;
}

/** slope, scaled to this length over the whole picture. */
const ofLength = (slope: Tensor, length: number): Tensor =>
  slope.mul(length).div(slope.square().sum().sqrt().add(1e-12));

/**
 * One picture changed until the model takes it for `target` (CS231n): steps of one length up the target's score.
 *
 * @param x [1, c, h, w]
 * @returns the picture, and how many steps it took; `steps` where it did not get there
 * @example
 * const model = new nn.Sequential(new nn.Flatten(), new nn.Linear(12, 3));
 * const { picture, steps } = await explain.foolingPicture(model, rand([1, 3, 2, 2]), 1, { range: [0, 1] });
 */
export async function foolingPicture(
  model: Layer,
  x: Tensor,
  target: number,
  { learningRate = 1, steps = 100, range = null }: FoolingOptions = {},
): Promise<Fooling> {
  expect(x.ndim === 4 && x.shape[0] === 1, "foolingPicture", "one picture [1,c,h,w]", show(x.shape));
  const asked = labelsOf("foolingPicture", x, target);
  let picture = x.detach();
  for (let i = 0; ; i++) {
    const { best, next } = scope(() => {
      const { best, slope } = inEval(model, () =>
        enableGrad(() => {
          const input = picture.detach().requiresGrad_();
          const scores = scoresOf("foolingPicture", model, input, asked);
          return { best: scores.detach().argmax(1), slope: grad(scores.slice(0, target), [input])[0]! };
        }),
      );
      return noGrad(() => {
        const moved = picture.add(ofLength(slope, learningRate));
        return { best, next: range ? moved.clamp(...range) : moved };
      });
    });
    const guess = Number(await best.item());
    best.free();
    if (guess === target || i === steps) {
      next.free();
      return { picture, steps: i };
    }
    picture.free();
    picture = next;
  }
}

/** Options of classPicture(). */
export interface ClassPictureOptions extends GeneratorOption {
  /** [c, h, w]. Default [3, 224, 224]. */
  shape?: readonly [number, number, number];
  /** Default 100. */
  steps?: number;
  /** Length of each step. Default 25. */
  learningRate?: number;
  /** Weight of the squares of the pixels. Default 1e-3. */
  l2?: number;
  /** Steps between blurs; 0: never. Default 10. */
  blurEvery?: number;
  /** Standard deviation of the blur in pixels. Default 0.5. */
  blur?: number;
  /** Pixels that the picture is shifted by before each step, at random. Default 16. */
  jitter?: number;
  /** Bounds of a pixel; the picture is put within them after each step. Default: none. */
  range?: PixelRange | null;
}

/**
 * A picture that a class's score is high of, climbed to from noise (Simonyan et al. 2013; Yosinski et al. 2015, CS231n).
 *
 * @returns [1, c, h, w]
 */
export async function classPicture(
  model: Layer,
  label: number,
  {
    shape = [3, 224, 224],
    steps = 100,
    learningRate = 25,
    l2 = 1e-3,
    blurEvery = 10,
    blur = 0.5,
    jitter = 16,
    range = null,
    generator,
  }: ClassPictureOptions = {},
): Promise<Tensor> {
  expect(Number.isSafeInteger(steps) && steps >= 1, "classPicture", "steps from 1 up", `${steps}`);
  expect(blur >= 0, "classPicture", "a blur from 0 up", `${blur}`);
  for (const [option, count] of Object.entries({ blurEvery, jitter }))
    expect(
      Number.isSafeInteger(count) && count >= 0,
      "classPicture",
      `${option}, a whole number from 0 up`,
      `${count}`,
    );
  let picture = randn([1, ...shape], { generator });
  const asked = labelsOf("classPicture", picture, label);
  for (let i = 0; i < steps; i++) {
    const [dy, dx] = jitter === 0 ? [0, 0] : await shifts(jitter, generator);
    const next = scope(() => {
      const moved = noGrad(() => picture.roll([dy, dx], [2, 3]));
      const slope = inEval(model, () =>
        enableGrad(() => {
          const input = moved.detach().requiresGrad_();
          const score = scoreOf("classPicture", model, input, asked).sum();
          return grad(score.sub(input.square().sum().mul(l2)), [input])[0]!;
        }),
      );
      return noGrad(() => {
        const back = moved.add(ofLength(slope, learningRate)).roll([-dy, -dx], [2, 3]);
        const bounded = range ? back.clamp(...range) : back;
        return blurEvery > 0 && blur > 0 && (i + 1) % blurEvery === 0 ? blurred(bounded, blur) : bounded;
      });
    });
    picture.free();
    picture = next;
  }
  return picture;
}

/** Two whole numbers from -most to most. */
async function shifts(most: number, generator: GeneratorOption["generator"]): Promise<[number, number]> {
  const drawn = await randint(-most, most + 1, [2], { dtype: "int32", generator }).data();
  return [Number(drawn[0]), Number(drawn[1])];
}

/** A Gaussian over rows and columns, mirrored at the edges. */
function blurred(x: Tensor, sigma: number): Tensor {
  const radius = Math.max(1, Math.round(3 * sigma));
  const taps = Float32Array.from({ length: 2 * radius + 1 }, (_, i) =>
    Math.exp(-((i - radius) ** 2) / (2 * sigma ** 2)),
  );
  const total = taps.reduce((a, b) => a + b);
  const c = x.shape[1]!;
  const window = (h: number, w: number) =>
    tensor(
      taps.map((t) => t / total),
      [1, 1, h, w],
    ).expand([c, 1, h, w]);
  const padded = x.pad([radius, radius, radius, radius], { mode: "replicate" });
  return padded.conv2d(window(1, taps.length), null, { groups: c }).conv2d(window(taps.length, 1), null, { groups: c });
}
