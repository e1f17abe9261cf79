/**
 * Channels to space and back: reshapes and permutations.
 */
import { expect, show } from "../errors.js";
import { sizeOfShape, type Tensor } from "../tensor.js";
import { permute, reshape } from "./shape.js";

function expectFactor(op: string, what: string, factor: number): void {
  expect(Number.isSafeInteger(factor) && factor >= 1, op, `${what} from 1 up`, `${factor}`);
}

/** Dimensions of the last `parts.length` seen as [...parts], permuted by `order`. */
function shuffle(x: Tensor, parts: number[], order: number[], shape: number[]): Tensor {
  const lead = x.shape.slice(0, -3);
  const split = reshape(x, [sizeOfShape(lead), ...parts]);
  return reshape(permute(split, [0, ...order.map((d) => d + 1)]), [...lead, ...shape]);
}

/**
 * [..., c f f, h, w] to [..., c, h f, w f]: every f f channels become a square of pixels (Shi et al. 2016, "Real-time
 * single image and video super-resolution using an efficient sub-pixel convolutional neural network").
 *
 * @example
 * const y = zeros([1, 12, 8, 8]).pixelShuffle(2); // [1, 3, 16, 16]
 */
export function pixelShuffle(x: Tensor, upscaleFactor: number): Tensor {
  const op = "pixelShuffle";
  expectFactor(op, "an upscale factor", upscaleFactor);
  expect(x.ndim >= 3, op, "x of shape [...,c,h,w]", show(x.shape));
  const [channels, h, w] = x.shape.slice(-3) as [number, number, number];
  const f = upscaleFactor;
  expect(channels % (f * f) === 0, op, `channels that are a multiple of ${f * f}`, `${channels} (${show(x.shape)})`);
  const c = channels / (f * f);
  return shuffle(x, [c, f, f, h, w], [0, 3, 1, 4, 2], [c, h * f, w * f]);
}

/** The inverse of pixelShuffle: [..., c, h f, w f] to [..., c f f, h, w]. */
export function pixelUnshuffle(x: Tensor, downscaleFactor: number): Tensor {
  const op = "pixelUnshuffle";
  expectFactor(op, "a downscale factor", downscaleFactor);
  expect(x.ndim >= 3, op, "x of shape [...,c,h,w]", show(x.shape));
  const [c, height, width] = x.shape.slice(-3) as [number, number, number];
  const f = downscaleFactor;
  expect(height % f === 0 && width % f === 0, op, `a height and a width that are multiples of ${f}`, show(x.shape));
  const [h, w] = [height / f, width / f];
  return shuffle(x, [c, h, f, w, f], [0, 2, 4, 1, 3], [c * f * f, h, w]);
}

/**
 * Channels dealt out over groups: [n, g k, ...] seen as [n, g, k, ...] becomes [n, k, g, ...] (Zhang et al. 2018,
 * "ShuffleNet"), so that the next grouped convolution sees channels of every group.
 */
export function channelShuffle(x: Tensor, groups: number): Tensor {
  const op = "channelShuffle";
  expectFactor(op, "a number of groups", groups);
  expect(x.ndim >= 3, op, "x of shape [n,c,...]", show(x.shape));
  const [n, c, ...rest] = x.shape as [number, number, ...number[]];
  expect(c % groups === 0, op, `channels that are a multiple of the ${groups} groups`, `${c} (${show(x.shape)})`);
  const split = reshape(x, [n, groups, c / groups, sizeOfShape(rest)]);
  return reshape(permute(split, [0, 2, 1, 3]), x.shape);
}
