/**
 * Several random views of each picture, for self-supervision: a network learns what stays the same from one to the other.
 *
 *     x [n, c, h, w], y -> view 0, view 1, ... [n, c, p, q] each, y
 *
 * A view is a transform of its own draws, so views of one picture differ, and each depends on (seed, epoch, number of the
 * picture) alone: any batch, any number of workers makes the same ones.
 */
import { expect, show } from "../errors.js";
import { noGrad } from "../graph.js";
import { clone } from "../ops/cast.js";
import { cat } from "../ops/shape.js";
import { fromTyped, type Tensor } from "../tensor.js";
import { takeRows } from "./collate.js";
import { checkProbability, drawsOf, type SampleKey } from "./draws.js";
import { RandomResizedCrop } from "./geometry.js";
import type { BatchTransform } from "./mix.js";
import { ColorJitter, GaussianBlur, RandomGrayscale, RandomSolarize } from "./recolour.js";
import { Compose, expectPictures, Normalize, RandomHorizontalFlip, type Transform } from "./transforms.js";

// Compose gives the seeds seed, seed + 1, ... to its parts: these lie far from them.
const INSIDE = 2 ** 20; // what RandomApply adds for the transform that it applies
const NEXT_VIEW = 2 ** 24; // from one view to the next

/**
 * Applies a transform to each picture with probability p; the others stay as they are.
 *
 * @example
 * const jitter = new data.RandomApply(new data.ColorJitter({ brightness: 0.4, hue: 0.1 }), 0.8);
 */
export class RandomApply implements Transform {
  /** What is applied; keeps shape and dtype. */
  readonly transform: Transform;
  /** Probability that a picture is changed. */
  readonly p: number;

  /**
   * A p outside of [0, 1] is an error.
   *
   * @param transform keeps shape and dtype
   * @param p probability that a picture is changed, default 0.5
   */
  constructor(transform: Transform, p = 0.5) {
    this.transform = transform;
    this.p = checkProbability("RandomApply", p);
  }

  /** [n, c, h, w] to the same shape and dtype. */
  apply(x: Tensor, key: SampleKey): Tensor {
    const [n] = expectPictures("RandomApply", x);
    const chosen: number[] = [];
    const source = Int32Array.from(drawsOf("RandomApply", key, n), (draw, i) =>
      draw.chance(this.p) ? n + chosen.push(i) - 1 : i,
    );
    if (chosen.length === 0) return x;
    const ids = (rows: ArrayLike<number>) => fromTyped(Int32Array.from(rows), [rows.length], "int32");
    const [rows, order] = [ids(chosen), ids(source)];
    const [some, samples] = [takeRows(x, rows), takeRows(key.samples, rows)];
    const indices = key.indices && chosen.map((i) => key.indices![i]!);
    const changed = this.transform.apply(some, { ...key, seed: key.seed + INSIDE, samples, indices });
    expect(
      changed.dtype === x.dtype && show(changed.shape) === show(some.shape),
      "RandomApply",
      `a transform that keeps ${x.dtype} ${show(some.shape)}`,
      `${changed.dtype} ${show(changed.shape)}`,
    );
    const both = noGrad(() => cat([x, changed], 0));
    const y = takeRows(both, order);
    for (const t of new Set([rows, order, some, samples, changed, both])) t.free();
    return y;
  }
}

/**
 * The first field of a batch as several views, one field each; the other fields follow. A loader takes it as `mix`, so it
 * works on what worker threads read, too.
 *
 * @example
 * const augment = data.simclrAugment(32);
 * const pictures = new data.TensorDataset([zeros([8, 3, 32, 32], { dtype: "uint8" })]);
 * const loader = new data.DataLoader(pictures, { batchSize: 4, mix: new data.Views([augment, augment]) });
 * for await (const [a, b] of loader) console.log(a.shape, b.shape); // [4, 3, 32, 32] twice
 */
export class Views implements BatchTransform {
  /** One a view; the same one may stand at several places. */
  readonly transforms: readonly Transform[];

  /**
   * View v draws under a seed that follows from its place.
   *
   * @param transforms one a view, at least one; the views' sizes may differ (multi-crop)
   */
  constructor(transforms: readonly Transform[]) {
    expect(transforms.length > 0, "Views", "at least one transform", "none");
    this.transforms = [...transforms];
  }

  /** Fields x, y, ... to view 0, view 1, ..., y, ... */
  applyBatch([x, ...rest]: readonly Tensor[], key: SampleKey): Tensor[] {
    expect(x !== undefined, "Views", "a batch with pictures in its first field", "none");
    const views = this.transforms.map((transform, v) => {
      const y = transform.apply(x, { ...key, seed: key.seed + v * NEXT_VIEW });
      return y === x ? noGrad(() => clone(x)) : y;
    });
    return [...views, ...rest];
  }
}

/** Options of simclrAugment(). */
export interface SimclrAugmentOptions {
  /** Factor of the colour changes. Default 0.5, the paper's for CIFAR-10. */
  strength?: number;
  /** Share of the picture's area that is kept. Default [0.08, 1]. */
  scale?: readonly [number, number];
  /** Whether half of the pictures are blurred, by a kernel of a tenth of the side; the paper does for ImageNet alone. Default false. */
  blur?: boolean;
  /** What bytes become at the end. Default that of CIFAR-10. */
  normalize?: Normalize;
}

const CIFAR_NORMALIZE = new Normalize([0.4914, 0.4822, 0.4465], [0.247, 0.2435, 0.2616]);
const tenth = (side: number): number => 2 * Math.max(1, Math.round(side / 20)) + 1; // the odd number nearest a tenth

/**
 * SimCLR's augmentation (Chen et al. 2020, appendix A): a random part resized, mirrored half of the time, colours changed
 * with probability 0.8 and taken out with probability 0.2. For data.Views, twice.
 *
 * @param size height and width of a view
 */
export function simclrAugment(
  size: number,
  { strength = 0.5, scale = [0.08, 1], blur = false, normalize = CIFAR_NORMALIZE }: SimclrAugmentOptions = {},
): Compose {
  expect(strength >= 0 && strength <= 2.5, "simclrAugment", "a strength from 0 to 2.5", `${strength}`);
  const s = 0.8 * strength;
  const jitter = new ColorJitter({ brightness: s, contrast: s, saturation: s, hue: 0.2 * strength });
  return new Compose([
    new RandomResizedCrop(size, { scale }),
    new RandomHorizontalFlip(),
    new RandomApply(jitter, 0.8),
    new RandomGrayscale(0.2),
    ...(blur ? [new RandomApply(new GaussianBlur(tenth(size)), 0.5)] : []),
    normalize,
  ]);
}

/** Options of dinoViews(). */
export interface DinoViewsOptions {
  /** Height and width of the two global views. Default 224. */
  size?: number;
  /** How many local views follow. Default 8. */
  locals?: number;
  /** Height and width of the local views. Default 96. */
  localSize?: number;
  /** Share of the area that a global view keeps. Default [0.4, 1]. */
  globalScale?: readonly [number, number];
  /** Share of the area that a local view keeps. Default [0.05, 0.4]. */
  localScale?: readonly [number, number];
  /** Whether views are blurred, as the paper's are; small pictures lose too much. Default true. */
  blur?: boolean;
  /** What bytes become at the end. Default that of ImageNet. */
  normalize?: Normalize;
}

/**
 * DINO's multi-crop (Caron et al. 2021; Caron et al., "SwAV", 2020): two views of most of a picture and `locals` small
 * ones of its parts. The first is always blurred; the second sometimes, and inverted where it is bright, sometimes.
 *
 * @example
 * const views = data.dinoViews({ size: 32, localSize: 16, locals: 2, blur: false });
 */
export function dinoViews({
  size = 224,
  locals = 8,
  localSize = 96,
  globalScale = [0.4, 1],
  localScale = [0.05, 0.4],
  blur = true,
  normalize = new Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
}: DinoViewsOptions = {}): Views {
  expect(Number.isSafeInteger(locals) && locals >= 0, "dinoViews", "locals from 0 up", `${locals}`);
  const jitter = new ColorJitter({ brightness: 0.4, contrast: 0.4, saturation: 0.2, hue: 0.1 });
  const view = (side: number, scale: readonly [number, number], blurred: number, solarized = 0): Transform =>
    new Compose([
      new RandomResizedCrop(side, { scale, interpolation: "bicubic" }),
      new RandomHorizontalFlip(),
      new RandomApply(jitter, 0.8),
      new RandomGrayscale(0.2),
      ...(blur ? [new RandomApply(new GaussianBlur(tenth(side)), blurred)] : []),
      ...(solarized > 0 ? [new RandomSolarize(128, solarized)] : []),
      normalize,
    ]);
  const local = view(localSize, localScale, 0.5);
  return new Views([
    view(size, globalScale, 1),
    view(size, globalScale, 0.1, 0.2),
    ...Array<Transform>(locals).fill(local),
  ]);
}
