/**
 * Batch and layer normalisation: xh = (x - mean) / sqrt(variance + eps), y = xh w + b. One kernel each way; the gradient
 * in ops, for second derivatives, is in normalise.ts.
 */
import { isGradEnabled, record } from "../autograd.js";
import { expect, show } from "../errors.js";
import { k } from "../native.js";
import { empty, sizeOfShape, type Tensor } from "../tensor.js";
import { add } from "./arithmetic.js";
import { expectFloat, expectInPlace, written } from "./common.js";
import { rsqrt } from "./elementwise.js";
import { composed, expectVectors, type Maybe } from "./normalise.js";
import { reshape } from "./shape.js";

/** Options of batchNorm. */
export interface BatchNormOptions {
  /** Normalise by this batch's statistics and update the running ones; else by the running ones. Default false. */
  training?: boolean;
  /** running = (1 - momentum) running + momentum statistic. Default 0.1. */
  momentum?: number;
  /** Added to the variance. Default 1e-5. */
  eps?: number;
}

/**
 * Batch normalisation (Ioffe & Szegedy 2015): each channel by its mean and (biased) variance over all other dimensions.
 * In training the running statistics, where given, are updated in place, the variance unbiased.
 *
 * @param x [n, c] or [n, c, ...]
 * @param runningMean [c], needed unless training; likewise runningVar
 * @param weight [c]; default 1
 * @param bias [c]; default 0
 */
export function batchNorm(
  x: Tensor,
  runningMean: Maybe,
  runningVar: Maybe,
  weight: Maybe = null,
  bias: Maybe = null,
  { training = false, momentum = 0.1, eps = 1e-5 }: BatchNormOptions = {},
): Tensor {
  const op = "batchNorm";
  expectFloat(op, x);
  expect(x.ndim >= 2, op, "x of shape [n,c] or [n,c,...]", show(x.shape));
  const [n, c] = x.shape as [number, number];
  const inner = sizeOfShape(x.shape.slice(2));
  expectVectors(op, x, [c], { runningMean, runningVar, weight, bias });
  if (!training) {
    if (!runningMean || !runningVar)
      throw new TypeError("batchNorm: expected running statistics where training is false, got null");
    const y = empty(x.shape, x.dtype);
    k.batchNormInfer(y, x, runningMean, runningVar, weight, bias, eps, n, c, inner);
    return recordBatchNorm(y, x, runningMean, runningVar, weight, bias, eps, false);
  }
  expect(n * inner > 1 || c === 0, op, "more than one value a channel in training", show(x.shape));
  const y = empty(x.shape, x.dtype);
  const mean = empty([c], x.dtype);
  const variance = empty([c], x.dtype);
  k.batchNorm(y, mean, variance, x, weight, bias, eps, n, c, inner);
  if (runningMean && runningVar) {
    expectInPlace(op, runningMean);
    expectInPlace(op, runningVar);
    k.batchNormUpdate(runningMean, runningVar, mean, variance, momentum, n * inner, c);
    written(runningMean);
    written(runningVar);
  }
  recordBatchNorm(y, x, mean, variance, weight, bias, eps, true);
  mean.free();
  variance.free();
  return y;
}

function recordBatchNorm(
  y: Tensor,
  x: Tensor,
  mean: Tensor,
  variance: Tensor,
  weight: Maybe,
  bias: Maybe,
  eps: number,
  training: boolean,
): Tensor {
  const biased = bias !== null;
  return record(
    y,
    "batchNorm",
    { x, weight, bias },
    { x, weight, mean, variance },
    (dy, { x, weight, mean, variance }, wants) => {
      const [n, c] = x.shape as [number, number];
      const inner = sizeOfShape(x.shape.slice(2));
      if (isGradEnabled()) {
        const over = x.shape.map((_, d) => d).filter((d) => d !== 1);
        const along = [c, ...x.shape.slice(2).map(() => 1)];
        const given = training ? null : { mean: reshape(mean, along), rstd: rsqrt(add(reshape(variance, along), eps)) };
        return composed({ dy, x, weight, eps, over, along, weightOver: over, given, biased });
      }
      const dx = wants.x ? empty(x.shape, x.dtype) : null;
      const dw = wants.weight ? empty([c], x.dtype) : null;
      const db = wants.bias ? empty([c], x.dtype) : null;
      k.batchNormGrad(dx, dw, db, dy, x, mean, variance, weight, eps, Number(training), n, c, inner);
      return { x: () => dx!, weight: weight ? () => dw! : null, bias: biased ? () => db! : null };
    },
  );
}

/**
 * Layer normalisation (Ba, Kiros & Hinton 2016): each example by its mean and (biased) variance over the last dimensions.
 *
 * @param x [..., ...normalizedShape]
 * @param normalizedShape the last dimensions of x; a number stands for one
 * @param weight [...normalizedShape]; default 1
 * @param bias [...normalizedShape]; default 0
 */
export function layerNorm(
  x: Tensor,
  normalizedShape: number | readonly number[],
  weight: Maybe = null,
  bias: Maybe = null,
  { eps = 1e-5 }: { eps?: number } = {},
): Tensor {
  const op = "layerNorm";
  expectFloat(op, x);
  const shape = typeof normalizedShape === "number" ? [normalizedShape] : normalizedShape;
  const lead = x.shape.slice(0, x.ndim - shape.length);
  expect(
    shape.length >= 1 && show([...lead, ...shape]) === show(x.shape),
    op,
    `x of shape [...,${shape.join(",")}]`,
    show(x.shape),
  );
  expectVectors(op, x, shape, { weight, bias });
  const [rows, cols] = [sizeOfShape(lead), sizeOfShape(shape)];
  const y = empty(x.shape, x.dtype);
  const mean = empty([rows], x.dtype);
  const rstd = empty([rows], x.dtype);
  k.layerNorm(y, mean, rstd, x, weight, bias, eps, rows, cols);
  const biased = bias !== null;
  record(y, op, { x, weight, bias }, { x, weight, mean, rstd }, (dy, { x, weight, mean, rstd }, wants) => {
    if (isGradEnabled()) {
      const dims = x.shape.map((_, d) => d);
      const [over, weightOver] = [dims.slice(lead.length), dims.slice(0, lead.length)];
      return composed({ dy, x, weight, eps, over, along: shape, weightOver, given: null, biased });
    }
    const dx = wants.x ? empty(x.shape, x.dtype) : null;
    const dw = wants.weight ? empty(shape, x.dtype) : null;
    const db = wants.bias ? empty(shape, x.dtype) : null;
    k.layerNormGrad(dx, dw, db, dy, x, mean, rstd, weight, rows, cols);
    return { x: () => dx!, weight: weight ? () => dw! : null, bias: biased ? () => db! : null };
  });
  mean.free();
  rstd.free();
  return y;
}
