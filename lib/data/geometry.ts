/**
 * Transforms that move pixels: pictures turned, sheared, seen from the side, cut and resized. Parameters are drawn on the
 * host for each picture; the kernels compute in float64 without FMA, so bytes are the same everywhere. A place in a picture
 * is (column, row) with pixel centres at halves: the picture spans [0, w] x [0, h].
 */
import { expect, show } from "../errors.js";
import { k } from "../native.js";
import { empty, fromTyped, type Tensor } from "../tensor.js";
import { checkProbability, drawsOf, rangeOf, type SampleKey } from "./draws.js";
import { expectPictures, type Transform } from "./transforms.js";

/** A 3x3 matrix by rows, from homogeneous places (column, row, 1) of the result to those of the picture. */
export type Matrix = readonly [number, number, number, number, number, number, number, number, number];

/** The matrix that leaves every place where it is. */
export const IDENTITY: Matrix = [1, 0, 0, 0, 1, 0, 0, 0, 1];

/** How pixels are taken from a picture that is seen through a matrix. */
export interface WarpOptions {
  /** The pixel that a place lies in, or the four around it. Default "nearest". */
  interpolation?: "nearest" | "bilinear";
  /** What stands where the picture does not reach, one number or one a channel. Default 0. */
  fill?: number | readonly number[];
}

const FLOATS = ["uint8", "float32", "float64"];

/** Throws unless x holds pictures of bytes or floats. */
export function expectPixels(where: string, x: Tensor): [n: number, c: number, h: number, w: number] {
  const extents = expectPictures(where, x);
  expect(FLOATS.includes(x.dtype), where, "pictures of uint8, float32 or float64", x.dtype);
  return extents;
}

const small = (values: Float64Array, shape: number[]): Tensor => fromTyped(values, shape, "float64");

/** A float64 tensor [c] of one colour. */
export function fillOf(where: string, fill: number | readonly number[], c: number): Tensor {
  const values = typeof fill === "number" ? new Float64Array(c).fill(fill) : Float64Array.from(fill);
  expect(values.length === c, where, `${c} values of fill, one a channel`, `${values.length}`);
  return small(values, [c]);
}

/** Pictures [n, c, p, q] seen through one matrix a picture. */
export function warp(
  where: string,
  x: Tensor,
  matrices: readonly Matrix[],
  { interpolation = "nearest", fill = 0 }: WarpOptions,
  [p, q]: readonly [number, number] = [x.shape[2]!, x.shape[3]!],
): Tensor {
  const [n, c, h, w] = expectPixels(where, x);
  const y = empty([n, c, p, q], x.dtype);
  if (y.size === 0) return y;
  const m = small(Float64Array.from(matrices.flat()), [n, 9]);
  const colour = fillOf(where, fill, c);
  k.warp(y, x, m, colour, Number(interpolation === "bilinear"), n, c, h, w, p, q);
  m.free();
  colour.free();
  return y;
}

/** (top, left, height, width), in pixels. */
type Box = readonly [number, number, number, number];
/** Filters of resizing: the nearest pixel, a triangle, or Keys' cubic with a = -0.5. */
export type Filter = "nearest" | "bilinear" | "bicubic";
const FILTERS: readonly Filter[] = ["nearest", "bilinear", "bicubic"];

function resample(where: string, x: Tensor, boxes: readonly Box[], [p, q]: Size, filter: Filter): Tensor {
  const [n, c, h, w] = expectPixels(where, x);
  const y = empty([n, c, p, q], x.dtype);
  if (y.size === 0) return y;
  const box = small(Float64Array.from(boxes.flat()), [n, 4]);
  k.resample(y, x, box, FILTERS.indexOf(filter), n, c, h, w, p, q);
  box.free();
  return y;
}

type Size = readonly [height: number, width: number];

function sizeOf(where: string, size: number | Size): Size {
  const [p, q] = typeof size === "number" ? [size, size] : size;
  if (![p, q].every((e) => Number.isSafeInteger(e) && e >= 1))
    throw new RangeError(`${where}: expected a size of whole numbers from 1 up, got ${size}`);
  return [p!, q!];
}

function filterOf(where: string, filter: Filter): Filter {
  if (!FILTERS.includes(filter)) throw new TypeError(`${where}: expected one of ${FILTERS.join(", ")}, got ${filter}`);
  return filter;
}

function warpOf(where: string, options: WarpOptions): WarpOptions {
  const { interpolation = "nearest" } = options;
  if (interpolation !== "nearest" && interpolation !== "bilinear")
    throw new TypeError(`${where}: expected interpolation "nearest" or "bilinear", got ${interpolation}`);
  return options;
}

/**
 * Resizes with antialiasing, the way PIL does (bytes of "bilinear" and "bicubic" are PIL's, bit for bit): the filter is as wide as the step between
 * pixels, so that nothing is skipped when pictures shrink.
 *
 * @example
 * const small = new data.Resize([32, 32]); // or Resize(256): the shorter side becomes 256
 */
export class Resize implements Transform {
  /** [height, width]; one number is the shorter side, and the ratio stays. */
  readonly size: number | Size;
  /** The filter. */
  readonly interpolation: Filter;

  /**
   * Bytes stay bytes, floats stay floats.
   *
   * @param size [height, width], or the length of the shorter side
   * @param options interpolation: default "bilinear"
   */
  constructor(size: number | Size, { interpolation = "bilinear" }: { interpolation?: Filter } = {}) {
    sizeOf("Resize", size);
    this.size = size;
    this.interpolation = filterOf("Resize", interpolation);
  }

  /** [n, c, h, w] to [n, c, ...size] */
  apply(x: Tensor): Tensor {
    const [n, , h, w] = expectPictures("Resize", x);
    const { size } = this;
    const longer = (side: number) => Math.trunc(((size as number) * side) / Math.min(h, w));
    const [p, q]: Size = typeof size !== "number" ? size : h < w ? [size, longer(w)] : [longer(h), size];
    if (p === h && q === w) return x;
    return resample("Resize", x, Array(n).fill([0, 0, h, w]), [p, q], this.interpolation);
  }
}

/** Cuts `size` out of the middle of each picture. */
export class CenterCrop implements Transform {
  /** [height, width] */
  readonly size: Size;

  /**
   * A size above a picture's is an error when it meets one.
   *
   * @param size [height, width], or one number for both
   */
  constructor(size: number | Size) {
    this.size = sizeOf("CenterCrop", size);
  }

  /** [n, c, h, w] to [n, c, ...size]; half of an odd rest is rounded to even, as in PyTorch. */
  apply(x: Tensor): Tensor {
    const [n, , h, w] = expectPictures("CenterCrop", x);
    const [p, q] = this.size;
    expect(p <= h && q <= w, "CenterCrop", `pictures of at least ${p}x${q}`, show(x.shape));
    const half = (room: number) => (room % 4 === 1 ? (room - 1) / 2 : Math.round(room / 2)); // halves to even, as PyTorch
    const box: Box = [half(h - p), half(w - q), p, q];
    return resample("CenterCrop", x, Array(n).fill(box), this.size, "nearest");
  }
}

/** Options of RandomResizedCrop. */
export interface RandomResizedCropOptions {
  /** Share of the picture's area that is kept. Default [0.08, 1]. */
  scale?: readonly [number, number];
  /** Width by height of what is kept, drawn on a log scale. Default [3/4, 4/3]. */
  ratio?: readonly [number, number];
  /** Default "bilinear", antialiased as in Resize. */
  interpolation?: Filter;
}

/**
 * A random part of each picture, resized to `size`: the crop of Inception (Szegedy et al. 2015), the usual one for ImageNet.
 *
 * @example
 * const crop = new data.RandomResizedCrop(224, { scale: [0.2, 1] });
 */
export class RandomResizedCrop implements Transform {
  /** [height, width] of the result. */
  readonly size: Size;
  /** Least and greatest share of the area that is kept. */
  readonly scale: readonly [number, number];
  /** Least and greatest width by height of what is kept. */
  readonly ratio: readonly [number, number];
  /** The filter. */
  readonly interpolation: Filter;

  /**
   * Ranges that are not rising are an error.
   *
   * @param size [height, width] of the result, or one number for both
   */
  constructor(
    size: number | Size,
    { scale = [0.08, 1], ratio = [3 / 4, 4 / 3], interpolation = "bilinear" }: RandomResizedCropOptions = {},
  ) {
    this.size = sizeOf("RandomResizedCrop", size);
    this.scale = rangeOf("RandomResizedCrop", "scale", scale, (x) => [x, x], [0, 1]);
    this.ratio = rangeOf("RandomResizedCrop", "ratio", ratio, (x) => [x, x], [1e-3, 1e3]);
    this.interpolation = filterOf("RandomResizedCrop", interpolation);
  }

  /**
   * [n, c, h, w] to [n, c, ...size]. After ten draws that do not fit, the largest box of an allowed ratio is cut from the
   * middle, as in PyTorch.
   */
  apply(x: Tensor, key: SampleKey): Tensor {
    const [n, , h, w] = expectPictures("RandomResizedCrop", x);
    const { scale, ratio } = this;
    const boxes = drawsOf("RandomResizedCrop", key, n).map((draw): Box => {
      // Ten tries, as PyTorch: then the largest centred box of an allowed ratio.
      for (let attempt = 0; attempt < 10; attempt++) {
        const area = h * w * draw.uniform(...scale);
        const r = Math.exp(draw.uniform(Math.log(ratio[0]), Math.log(ratio[1])));
        const [height, width] = [Math.round(Math.sqrt(area / r)), Math.round(Math.sqrt(area * r))];
        if (height >= 1 && width >= 1 && height <= h && width <= w)
          return [draw.below(h - height + 1), draw.below(w - width + 1), height, width];
      }
      const r = Math.min(Math.max(w / h, ratio[0]), ratio[1]);
      const height = Math.max(1, Math.min(h, Math.round(w / r)));
      const width = Math.max(1, Math.min(w, Math.round(h * r)));
      return [Math.trunc((h - height) / 2), Math.trunc((w - width) / 2), height, width];
    });
    return resample("RandomResizedCrop", x, boxes, this.size, this.interpolation);
  }
}

const radians = (degrees: number): number => (degrees * Math.PI) / 180;

/** What an affine map does to a picture, before it is inverted. */
interface AffineParameters {
  /** Clockwise, in degrees. */
  angle?: number;
  /** Pixels to the right and down. */
  translate?: readonly [number, number];
  scale?: number;
  /** Degrees along rows and columns. */
  shear?: readonly [number, number];
}

/**
 * From places of the result to places of the picture, for a map about the centre: rotation, shear and scale, then
 * translation. M = T C R S C^-1 inverted in closed form (torchvision's _get_inverse_affine_matrix).
 */
export function inverseAffine(
  [h, w]: Size,
  { angle = 0, translate = [0, 0], scale = 1, shear = [0, 0] }: AffineParameters,
): Matrix {
  const [rot, sx, sy] = [radians(angle), radians(shear[0]), radians(shear[1])];
  const a = Math.cos(rot - sy) / Math.cos(sy);
  const b = (-Math.cos(rot - sy) * Math.tan(sx)) / Math.cos(sy) - Math.sin(rot);
  const c = Math.sin(rot - sy) / Math.cos(sy);
  const d = (-Math.sin(rot - sy) * Math.tan(sx)) / Math.cos(sy) + Math.cos(rot);
  const [cx, cy] = [w / 2, h / 2];
  const [dx, dy] = [-cx - translate[0], -cy - translate[1]];
  const [m0, m1, m3, m4] = [d / scale, -b / scale, -c / scale, a / scale];
  return [m0, m1, m0 * dx + m1 * dy + cx, m3, m4, m3 * dx + m4 * dy + cy, 0, 0, 1];
}

/**
 * Turns each picture about its centre by an angle from `degrees` ([low, high], or x for [-x, x]), counter-clockwise.
 *
 * @example
 * const turn = new data.RandomRotation(15, { interpolation: "bilinear" });
 */
export class RandomRotation implements Transform {
  /** Least and greatest angle, counter-clockwise. */
  readonly degrees: readonly [number, number];
  private readonly options: WarpOptions;

  /**
   * The extents of a picture stay; its corners may be cut.
   *
   * @param degrees [low, high], or x for [-x, x]
   */
  constructor(degrees: number | readonly [number, number], options: WarpOptions = {}) {
    this.degrees = rangeOf("RandomRotation", "degrees", degrees, (x) => [-x, x], [-360, 360]);
    this.options = warpOf("RandomRotation", options);
  }

  /** [n, c, h, w] to the same shape and dtype. */
  apply(x: Tensor, key: SampleKey): Tensor {
    const [n, , h, w] = expectPictures("RandomRotation", x);
    const draws = drawsOf("RandomRotation", key, n);
    const matrices = draws.map((draw) => inverseAffine([h, w], { angle: -draw.uniform(...this.degrees) }));
    return warp("RandomRotation", x, matrices, this.options);
  }
}

/** Options of RandomAffine. */
export interface RandomAffineOptions extends WarpOptions {
  /** Most that a picture moves right or left and up or down, as shares of its width and height. Default none. */
  translate?: readonly [number, number];
  /** Range of the magnification. Default 1. */
  scale?: readonly [number, number];
  /** Degrees of shear along rows: [low, high], or x for [-x, x]; four numbers add a range along columns. Default none. */
  shear?: number | readonly [number, number] | readonly [number, number, number, number];
}

/**
 * Turns, moves, magnifies and shears each picture about its centre. Angles turn clockwise, as PyTorch's.
 *
 * @example
 * const affine = new data.RandomAffine(10, { translate: [0.1, 0.1], scale: [0.9, 1.1] });
 */
export class RandomAffine implements Transform {
  /** Least and greatest angle, clockwise. */
  readonly degrees: readonly [number, number];
  /** Most that a picture moves, as shares of its width and height. */
  readonly translate: readonly [number, number];
  /** Least and greatest magnification. */
  readonly scale: readonly [number, number];
  /** Range of the shear along rows, in degrees. */
  readonly shearX: readonly [number, number];
  /** Range of the shear along columns, in degrees. */
  readonly shearY: readonly [number, number];
  private readonly options: WarpOptions;

  /**
   * The extents of a picture stay.
   *
   * @param degrees [low, high], or x for [-x, x]; 0 turns nothing
   */
  constructor(
    degrees: number | readonly [number, number],
    { translate = [0, 0], scale = [1, 1], shear = 0, ...options }: RandomAffineOptions = {},
  ) {
    const around = (x: number) => [-x, x] as const;
    this.degrees = rangeOf("RandomAffine", "degrees", degrees, around, [-360, 360]);
    if (!translate.every((t) => t >= 0 && t <= 1))
      throw new RangeError(`RandomAffine: expected shares of translate from 0 to 1, got ${translate}`);
    this.translate = translate;
    this.scale = rangeOf("RandomAffine", "scale", scale, (x) => [x, x], [1e-6, 1e6]);
    const [low, high, lowY = 0, highY = 0] = typeof shear === "number" ? around(shear) : shear;
    this.shearX = rangeOf("RandomAffine", "shear", [low, high], around, [-89, 89]);
    this.shearY = rangeOf("RandomAffine", "shear", [lowY, highY], around, [-89, 89]);
    this.options = warpOf("RandomAffine", options);
  }

  /** [n, c, h, w] to the same shape and dtype. */
  apply(x: Tensor, key: SampleKey): Tensor {
    const [n, , h, w] = expectPictures("RandomAffine", x);
    const [tx, ty] = [this.translate[0] * w, this.translate[1] * h];
    const matrices = drawsOf("RandomAffine", key, n).map((draw) =>
      inverseAffine([h, w], {
        angle: draw.uniform(...this.degrees),
        translate: [Math.round(draw.uniform(-tx, tx)), Math.round(draw.uniform(-ty, ty))],
        scale: draw.uniform(...this.scale),
        shear: [draw.uniform(...this.shearX), draw.uniform(...this.shearY)],
      }),
    );
    return warp("RandomAffine", x, matrices, this.options);
  }
}

type Point = readonly [x: number, y: number];

/**
 * From a quadrilateral to the picture that fills it (corners from the top left, clockwise): the inverse of the map from
 * the unit square to it (Heckbert, "Fundamentals of texture mapping and image warping", 1989).
 */
export function inversePerspective([h, w]: Size, [p0, p1, p2, p3]: readonly [Point, Point, Point, Point]): Matrix {
  const [dx1, dy1] = [p1[0] - p2[0], p1[1] - p2[1]];
  const [dx2, dy2] = [p3[0] - p2[0], p3[1] - p2[1]];
  const [sx, sy] = [p0[0] - p1[0] + p2[0] - p3[0], p0[1] - p1[1] + p2[1] - p3[1]];
  const area = dx1 * dy2 - dx2 * dy1;
  const [g, i] = [(sx * dy2 - dx2 * sy) / area, (dx1 * sy - sx * dy1) / area];
  const [a, b, c] = [p1[0] - p0[0] + g * p1[0], p3[0] - p0[0] + i * p3[0], p0[0]];
  const [d, e, f] = [p1[1] - p0[1] + g * p1[1], p3[1] - p0[1] + i * p3[1], p0[1]];
  const determinant = a * (e - f * i) - b * (d - f * g) + c * (d * i - e * g);
  const adjugate = [
    e - f * i,
    c * i - b,
    b * f - c * e,
    f * g - d,
    a - c * g,
    c * d - a * f,
    d * i - e * g,
    b * g - a * i,
    a * e - b * d,
  ];
  return adjugate.map((v, j) => (v / determinant) * (j < 3 ? w : j < 6 ? h : 1)) as unknown as Matrix;
}

/** Options of RandomPerspective. */
export interface RandomPerspectiveOptions extends WarpOptions {
  /** How far corners may move inwards, 0 (not at all) to 1 (to the middle). Default 0.5. */
  distortion?: number;
  /** Default 0.5. */
  p?: number;
}

/** Sees each picture from the side with probability p: its corners move inwards at random. Default bilinear. */
export class RandomPerspective implements Transform {
  /** How far corners may move inwards, 0 to 1. */
  readonly distortion: number;
  /** Probability of a change. */
  readonly p: number;
  private readonly options: WarpOptions;

  /** A p or distortion outside of [0, 1] is an error. */
  constructor({ distortion = 0.5, p = 0.5, interpolation = "bilinear", fill = 0 }: RandomPerspectiveOptions = {}) {
    if (!(distortion >= 0 && distortion <= 1))
      throw new RangeError(`RandomPerspective: expected a distortion from 0 to 1, got ${distortion}`);
    this.distortion = distortion;
    this.p = checkProbability("RandomPerspective", p);
    this.options = warpOf("RandomPerspective", { interpolation, fill });
  }

  /** [n, c, h, w] to the same shape and dtype. */
  apply(x: Tensor, key: SampleKey): Tensor {
    const [n, , h, w] = expectPictures("RandomPerspective", x);
    // Corners stay a little apart: a quadrilateral without area has no inverse.
    const [dx, dy] = [this.distortion * 0.495 * w, this.distortion * 0.495 * h];
    const matrices = drawsOf("RandomPerspective", key, n).map((draw): Matrix => {
      if (!draw.chance(this.p)) return IDENTITY;
      const inwards = (x: number, y: number): Point => [
        x + (x > 0 ? -1 : 1) * draw.uniform(0, dx),
        y + (y > 0 ? -1 : 1) * draw.uniform(0, dy),
      ];
      return inversePerspective([h, w], [inwards(0, 0), inwards(w, 0), inwards(w, h), inwards(0, h)]);
    });
    return warp("RandomPerspective", x, matrices, this.options);
  }
}
