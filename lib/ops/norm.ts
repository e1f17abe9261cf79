/**
 * Batch and layer normalisation: xh = (x - mean) / sqrt(variance + eps), y = xh w + b; batch normalisation takes a residual
 * and relu along. One kernel each way; the gradient in ops, for second derivatives, is in normalise.ts.
 */

import { expect, show } from "../errors.js";
import { isGradEnabled, record } from "../graph.js";
import { k } from "../native.js";
import { empty, sizeOfShape, type Tensor } from "../tensor.js";
import { add, greater, mul, sub, where } from "./arithmetic.js";
import { expectFloat, expectInPlace, written } from "./common.js";
import { rsqrt } from "./elementwise.js";
import { composed, expectVectors, type Maybe, trailing } from "./normalise.js";
import { reshape } from "./shape.js";

/** Options of batchNorm. */
export interface BatchNormOptions {
  /** Normalise by this batch's statistics and update the running ones; else by the running ones. Default false. */
  training?: boolean;
  /** running = (1 - momentum) running + momentum statistic. Default 0.1. */
  momentum?: number;
  /** Added to the variance. Default 1e-5. */
  eps?: number;
  /** Added to the normalised x, before the activation: the other branch of a residual block. As x. */
  residual?: Tensor | null;
  /** What comes last, in the same pass: "relu", or nothing. Default null. */
  activation?: "relu" | null;
}

/**
 * Batch normalisation (Ioffe & Szegedy 2015): each channel by its mean and (biased) variance over all other dimensions.
 * In training the running statistics, where given, are updated in place, the variance unbiased. `residual` and
 * `activation` are what stands behind it in a residual net, relu(batchNorm(x) + residual), without passes of their own: the
 * same bits as the ops one after the other.
 *
 * @param x [n, c] or [n, c, ...]
 * @param runningMean [c], needed unless training; likewise runningVar
 * @param weight [c]; default 1
 * @param bias [c]; default 0
 * @example
 * const [x, shortcut] = [randn([4, 8, 5, 5]), randn([4, 8, 5, 5])];
 * const y = x.batchNorm(null, null, ones([8]), zeros([8]), { training: true, residual: shortcut, activation: "relu" });
 */
export function batchNorm(
  x: Tensor,
  runningMean: Maybe,
  runningVar: Maybe,
  weight: Maybe = null,
  bias: Maybe = null,
  { training = false, momentum = 0.1, eps = 1e-5, residual = null, activation = null }: BatchNormOptions = {},
): Tensor {
  const op = "batchNorm";
  expectFloat(op, x);
  expect(x.ndim >= 2, op, "x of shape [n,c] or [n,c,...]", show(x.shape));
  const [n, c] = x.shape as [number, number];
  const inner = sizeOfShape(x.shape.slice(2));
  expectVectors(op, x, [c], { runningMean, runningVar, weight, bias });
  expectVectors(op, x, x.shape, { residual });
  expect(activation === null || activation === "relu", op, 'activation to be "relu" or null', `${activation}`);
  const relu = activation === "relu";
  const y = empty(x.shape, x.dtype);
  if (!training) {
    if (!runningMean || !runningVar)
      throw new TypeError("batchNorm: expected running statistics where training is false, got null");
    k.batchNormInfer(y, x, residual, runningMean, runningVar, weight, bias, eps, Number(relu), n, c, inner);
    return recordBatchNorm({
      y,
      x,
      residual,
      weight,
      bias,
      mean: runningMean,
      variance: runningVar,
      eps,
      training,
      relu,
    });
  }
  expect(n * inner > 1 || c === 0, op, "more than one value a channel in training", show(x.shape));
  const mean = empty([c], x.dtype);
  const variance = empty([c], x.dtype);
  k.batchNorm(y, mean, variance, x, residual, weight, bias, eps, Number(relu), n, c, inner);
  if (runningMean && runningVar) {
    expectInPlace(op, runningMean);
    expectInPlace(op, runningVar);
    k.batchNormUpdate(runningMean, runningVar, mean, variance, momentum, n * inner, c);
    written(runningMean);
    written(runningVar);
  }
  recordBatchNorm({ y, x, residual, weight, bias, mean, variance, eps, training, relu });
  mean.free();
  variance.free();
  return y;
}

interface BatchNormed {
  y: Tensor;
  x: Tensor;
  residual: Maybe;
  weight: Maybe;
  bias: Maybe;
  mean: Tensor;
  variance: Tensor;
  eps: number;
  training: boolean;
  relu: boolean;
}

function recordBatchNorm({ y, x, residual, weight, bias, mean, variance, eps, training, relu }: BatchNormed): Tensor {
  const [biased, added] = [bias !== null, residual !== null];
  const saved = {
    x,
    weight,
    mean,
    variance,
    // Where relu cut: what was added stands in y alone, else x tells it again.
    y: relu && added ? y : null,
    bias: relu && !added ? bias : null,
  };
  return record(y, "batchNorm", { x, residual, weight, bias }, saved, (dy, saved, wants) => {
    const { x, weight, mean, variance, y, bias } = saved;
    const [n, c] = x.shape as [number, number];
    const inner = sizeOfShape(x.shape.slice(2));
    if (isGradEnabled()) {
      const over = x.shape.map((_, d) => d).filter((d) => d !== 1);
      const along = [c, ...x.shape.slice(2).map(() => 1)];
      const fixed = () => ({ mean: reshape(mean, along), rstd: rsqrt(add(reshape(variance, along), eps)) });
      const again = (): Tensor => {
        const xh = mul(sub(x, fixed().mean), fixed().rstd);
        const scaled = weight ? mul(xh, reshape(weight, along)) : xh;
        return bias ? add(scaled, reshape(bias, along)) : scaled;
      };
      const g = relu ? where(greater(y ?? again(), 0), dy, 0) : dy;
      const given = training ? null : fixed();
      const gradients = composed({ dy: g, x, weight, eps, over, along, weightOver: over, given, biased });
      return { ...gradients, residual: added ? () => g : null };
    }
    const dx = wants.x ? empty(x.shape, x.dtype) : null;
    const dr = relu && wants.residual ? empty(x.shape, x.dtype) : null;
    const dw = wants.weight ? empty([c], x.dtype) : null;
    const db = wants.bias ? empty([c], x.dtype) : null;
    const flags = [Number(training), Number(relu)] as const;
    k.batchNormGrad(dx, dr, dw, db, dy, x, y, mean, variance, weight, bias, eps, ...flags, n, c, inner);
    return {
      x: () => dx!,
      residual: added ? () => dr ?? dy : null,
      weight: weight ? () => dw! : null,
      bias: biased ? () => db! : null,
    };
  });
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
  const { shape, lead } = trailing(op, x, normalizedShape);
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
