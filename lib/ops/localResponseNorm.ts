/**
 * Local response normalisation, composed: the mean of squares over neighbouring channels is a pooling along the channels.
 */
import { expect, show } from "../errors.js";
import { sizeOfShape, type Tensor } from "../tensor.js";
import { add, div, mul } from "./arithmetic.js";
import { expectFloat } from "./common.js";
import { powScalar, square } from "./elementwise.js";
import { pad } from "./pad.js";
import { windowMeans } from "./pooling.js";
import { reshape } from "./shape.js";

/** Options of localResponseNorm: x / (k + alpha mean(neighbours^2))^beta. */
export interface LocalResponseNormOptions {
  /** Weight of the neighbours' mean square. Default 1e-4. */
  alpha?: number;
  /** Power of the divisor. Default 0.75. */
  beta?: number;
  /** Added to that, so that the divisor is not 0 where the neighbours are. Default 1. */
  k?: number;
}

/**
 * y = x / (k + alpha mean(x^2))^beta with the mean over `size` neighbouring channels, zeros beyond the first and the last
 * (Krizhevsky et al. 2012, "ImageNet classification with deep convolutional neural networks", with PyTorch's mean in place
 * of the sum).
 *
 * @param x [n, c, ...]
 * @example
 * const y = randn([2, 8, 4, 4]).localResponseNorm(5); // [2, 8, 4, 4]
 */
export function localResponseNorm(
  x: Tensor,
  size: number,
  { alpha = 1e-4, beta = 0.75, k = 1 }: LocalResponseNormOptions = {},
): Tensor {
  const op = "localResponseNorm";
  expectFloat(op, x);
  expect(x.ndim >= 3, op, "x of shape [n,c,...]", show(x.shape));
  expect(Number.isSafeInteger(size) && size >= 1, op, "a size from 1 up", `${size}`);
  if (x.size === 0) return reshape(x, x.shape);
  const [n, c] = x.shape as [number, number];
  const squares = reshape(square(x), [n, 1, c, sizeOfShape(x.shape.slice(2))]);
  const padded = pad(squares, [0, 0, Math.floor(size / 2), Math.floor((size - 1) / 2)]);
  const means = reshape(windowMeans(op, padded, [size, 1], { stride: 1 }, true), x.shape);
  return div(x, powScalar(add(mul(means, alpha), k), beta));
}
