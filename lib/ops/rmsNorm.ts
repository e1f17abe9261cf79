/**
 * Root-mean-square normalisation. One kernel each way; under createGraph the gradient is composed of ops.
 */

import { isGradEnabled, record } from "../graph.js";
import { k } from "../native.js";
import { empty, sizeOfShape, type Tensor } from "../tensor.js";
import { add, mul, sub } from "./arithmetic.js";
import { expectFloat } from "./common.js";
import { rsqrt, square } from "./elementwise.js";
import { expectVectors, type Maybe, trailing } from "./normalise.js";
import { mean, sum } from "./reduce.js";

/**
 * y = x / sqrt(mean(x^2) + eps) weight over the last dimensions (Zhang & Sennrich 2019): as layerNorm, without the mean.
 *
 * @param x [..., ...normalizedShape]
 * @param normalizedShape the last dimensions of x; a number stands for one
 * @param weight [...normalizedShape]; default 1
 * @param options eps: default, as in PyTorch, the distance from 1 to the next float of x's dtype
 * @example
 * const y = randn([4, 16]).rmsNorm(16); // [4, 16]
 */
export function rmsNorm(
  x: Tensor,
  normalizedShape: number | readonly number[],
  weight: Maybe = null,
  { eps = null }: { eps?: number | null } = {},
): Tensor {
  const op = "rmsNorm";
  expectFloat(op, x);
  const { shape, lead } = trailing(op, x, normalizedShape);
  expectVectors(op, x, shape, { weight });
  const least = eps ?? (x.dtype === "float64" ? 2 ** -52 : 2 ** -23);
  const [rows, cols] = [sizeOfShape(lead), sizeOfShape(shape)];
  const y = empty(x.shape, x.dtype);
  const rstd = empty([rows], x.dtype);
  k.rmsNorm(y, rstd, x, weight, least, rows, cols);
  const leading = lead.length;
  record(y, op, { x, weight }, { x, weight, rstd }, (dy, { x, weight, rstd }, wants) => {
    if (isGradEnabled()) return composed(dy, x, weight, least, leading);
    const dx = wants.x ? empty(x.shape, x.dtype) : null;
    const dw = wants.weight ? empty(shape, x.dtype) : null;
    k.rmsNormGrad(dx, dw, dy, x, rstd, weight, rows, cols);
    return { x: () => dx!, weight: weight ? () => dw! : null };
  });
  rstd.free();
  return y;
}

// xh = x rstd, g = dy w:  dx = rstd (g - xh mean(g xh));  dw = sum dy xh
function composed(dy: Tensor, x: Tensor, weight: Maybe, eps: number, leading: number) {
  const keepDims = true;
  const dims = x.shape.map((_, d) => d);
  const [over, weightOver] = [dims.slice(leading), dims.slice(0, leading)];
  const rstd = rsqrt(add(mean(square(x), over, { keepDims }), eps));
  const xh = mul(x, rstd);
  return {
    x: () => {
      const g = weight ? mul(dy, weight) : dy;
      return mul(rstd, sub(g, mul(xh, mean(mul(g, xh), over, { keepDims }))));
    },
    weight: weight ? () => (weightOver.length > 0 ? sum(mul(dy, xh), weightOver) : mul(dy, xh)) : null,
  };
}
