/**
 * Features of pictures, as CS231n's first assignment computes them (its features.py): histograms of oriented gradients and
 * of hue, for whole batches at once.
 */

import { expect, show } from "../errors.js";
import { noGrad } from "../graph.js";
import { scope } from "../memory.js";
import {
  add,
  atan2,
  div,
  equal,
  greater,
  greaterEqual,
  less,
  lessEqual,
  logicalAnd,
  maximum,
  minimum,
  mul,
  sub,
  where,
} from "../ops/arithmetic.js";
import { to } from "../ops/cast.js";
import { isFloat } from "../ops/common.js";
import { zerosLike } from "../ops/create.js";
import { floor, sqrt } from "../ops/elementwise.js";
import { pad } from "../ops/pad.js";
import { avgPool2d } from "../ops/pool.js";
import { mean } from "../ops/reduce.js";
import { cat, permute, reshape, slice, stack } from "../ops/shape.js";
import type { Tensor } from "../tensor.js";

function expectPictures(op: string, x: Tensor, channels: readonly number[]): Tensor {
  const fits = x.ndim === 4 && channels.includes(x.shape[1]!) && x.size > 0;
  expect(fits, op, `pictures of shape [n,c,h,w] with c ${channels.join(" or ")}`, show(x.shape));
  return isFloat(x.dtype) ? x : to(x, "float32");
}

const plane = (x: Tensor, channel: number): Tensor => slice(x, null, [channel, channel + 1]);

const ORIENTATIONS = 9;
const CELL = 8;

/**
 * hog_feature: in each cell of 8 x 8 pixels, the mean gradient magnitude in each of nine directions of 20 degrees (Dalal &
 * Triggs 2005, without blocks), in CS231n's order: [cells across, cells down, direction], flattened. Gradients that point
 * to the left count for nothing there, and here.
 *
 * @param x [n, 1 or 3, h, w], any dtype; colours are weighed 0.299, 0.587, 0.144 as CS231n does
 * @returns [n, floor(w / 8) floor(h / 8) 9]
 */
export function hogFeatures(x: Tensor): Tensor {
  const pictures = expectPictures("hogFeatures", x, [1, 3]);
  expect(x.shape[2]! >= CELL && x.shape[3]! >= CELL, "hogFeatures", "pictures of at least 8 x 8 pixels", show(x.shape));
  return noGrad(() =>
    scope(() => {
      const [n, c, h, w] = pictures.shape as [number, number, number, number];
      const grey =
        c === 1
          ? pictures
          : add(add(mul(plane(pictures, 0), 0.299), mul(plane(pictures, 1), 0.587)), mul(plane(pictures, 2), 0.144));
      // Differences to the right and below; 0 at the far edges.
      const all = null;
      const gx = pad(sub(slice(grey, all, all, all, [1]), slice(grey, all, all, all, [0, -1])), [0, 1]);
      const gy = pad(sub(slice(grey, all, all, [1]), slice(grey, all, all, [0, -1])), [0, 0, 0, 1]);
      const magnitude = sqrt(add(mul(gx, gx), mul(gy, gy)));
      const degrees = add(mul(atan2(gy, add(gx, 1e-15)), 180 / Math.PI), 90);
      const width = 180 / ORIENTATIONS;
      const directions = Array.from({ length: ORIENTATIONS }, (_, i) => {
        const inside = logicalAnd(
          logicalAnd(less(degrees, width * (i + 1)), greaterEqual(degrees, width * i)),
          greater(degrees, 0),
        );
        return avgPool2d(where(inside, magnitude, 0), CELL);
      });
      const cells = cat(directions, 1); // [n, 9, cells down, cells across]
      return reshape(permute(cells, [0, 3, 2, 1]), [n, Math.floor(w / CELL) * Math.floor(h / CELL) * ORIENTATIONS]);
    }),
  );
}

/** Options of colorHistogram(). */
export interface ColorHistogramOptions {
  /** Default 10. */
  bins?: number;
  /** The value of a full channel. Default 255. */
  most?: number;
}

/**
 * color_histogram_hsv: the share of pixels in each bin of hue.
 *
 * @param x [n, 3, h, w] in red, green, blue, any dtype
 * @returns [n, bins]
 */
export function colorHistogram(x: Tensor, { bins = 10, most = 255 }: ColorHistogramOptions = {}): Tensor {
  const pictures = expectPictures("colorHistogram", x, [3]);
  expect(Number.isSafeInteger(bins) && bins >= 1, "colorHistogram", "bins to be a whole number from 1 up", `${bins}`);
  expect(most > 0, "colorHistogram", "most above 0", `${most}`);
  return noGrad(() =>
    scope(() => {
      const [red, green, blue] = [0, 1, 2].map((c) => mul(plane(pictures, c), 1 / most)) as [Tensor, Tensor, Tensor];
      const high = maximum(maximum(red, green), blue);
      const range = sub(high, minimum(minimum(red, green), blue));
      const grey = equal(range, 0);
      const share = (a: Tensor, b: Tensor): Tensor => div(sub(a, b), where(grey, 1, range));
      // In sixths of the circle, from red; the last of equal maxima decides, as in matplotlib.
      const fromRed = where(equal(red, high), share(green, blue), zerosLike(high));
      const fromGreen = where(equal(green, high), add(share(blue, red), 2), fromRed);
      const sixths = where(equal(blue, high), add(share(red, green), 4), fromGreen);
      const turns = mul(sixths, 1 / 6);
      const hue = where(grey, 0, sub(turns, floor(turns)));
      const counts = Array.from({ length: bins }, (_, i) => {
        const last = i === bins - 1;
        const below = last ? lessEqual(hue, 1) : less(hue, (i + 1) / bins);
        return mean(to(logicalAnd(greaterEqual(hue, i / bins), below), pictures.dtype), [1, 2, 3]);
      });
      return stack(counts, 1);
    }),
  );
}
