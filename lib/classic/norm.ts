/**
 * Normalisation in CS231n's conventions: variance divided by n (biased), running statistics as
 * running = momentum running + (1 - momentum) sample.
 */

import { expect, show } from "../errors.js";
import { noGrad } from "../graph.js";
import { keep, unscoped } from "../memory.js";
import { add, mul, sub } from "../ops/arithmetic.js";
import { zeros } from "../ops/create.js";
import { rsqrt } from "../ops/elementwise.js";
import { mean, sum, variance } from "../ops/reduce.js";
import { permute, reshape } from "../ops/shape.js";
import type { Tensor } from "../tensor.js";
import { explicit } from "./common.js";

/** CS231n's bn_param. In mode "train", the running statistics are made where they are missing, and replaced. */
export interface BatchnormParam {
  /** "train" uses the batch's statistics and updates the running ones; "test" uses the running ones. */
  mode: "train" | "test";
  /** Default 1e-5. */
  eps?: number;
  /** Of the running statistics, in CS231n's sense: the share of the old value (PyTorch's is 1 - this). Default 0.9. */
  momentum?: number;
  /** [d]. Default zeros. */
  runningMean?: Tensor;
  /** [d], biased. Default zeros, as in CS231n. */
  runningVar?: Tensor;
}

/** What the backward passes of normalisations need. `axis`: the dimension that the statistics were taken over. */
export interface NormCache {
  /** (x - mean) / std */
  xhat: Tensor;
  /** 1 / sqrt(variance + eps) */
  rstd: Tensor;
  /** x - mean */
  centred: Tensor;
  /** The scale, as it was given. */
  gamma: Tensor;
  /** The axis that was averaged over. */
  axis: number;
  /** False in mode "test", where mean and variance are constants. */
  training: boolean;
}

function expectAffine(op: string, gamma: Tensor, beta: Tensor, d: number): void {
  for (const [name, t] of [
    ["gamma", gamma],
    ["beta", beta],
  ] as const)
    expect(t.size === d, op, `${name} with ${d} elements`, show(t.shape));
}

/** (x - mean) / sqrt(variance + eps) over `axis` of a matrix, and its cache. */
function normalised(x: Tensor, gamma: Tensor, axis: number, eps: number): NormCache & { mu: Tensor; var: Tensor } {
  const mu = mean(x, axis, { keepDims: true });
  const centred = sub(x, mu);
  const spread = variance(x, axis, { keepDims: true, correction: 0 });
  const rstd = rsqrt(add(spread, eps));
  return { xhat: mul(centred, rstd), rstd, centred, gamma, axis, training: true, mu, var: spread };
}

/**
 * batchnorm_forward over the rows of a matrix.
 *
 * @param x [n, d]
 * @param gamma scale [d]
 * @param beta shift [d]
 * @param param see BatchnormParam; its running statistics are updated in mode "train"
 */
export function batchnormForward(
  x: Tensor,
  gamma: Tensor,
  beta: Tensor,
  param: BatchnormParam,
): [out: Tensor, cache: NormCache] {
  const op = "batchnormForward";
  expect(x.ndim === 2, op, "x of shape [n,d]", show(x.shape));
  const d = x.shape[1];
  expectAffine(op, gamma, beta, d);
  const { mode, eps = 1e-5, momentum = 0.9 } = param;
  expect(mode === "train" || mode === "test", op, 'mode "train" or "test"', JSON.stringify(mode));
  const runningMean = param.runningMean ?? zeros([d], { dtype: x.dtype });
  const runningVar = param.runningVar ?? zeros([d], { dtype: x.dtype });
  if (mode === "test") {
    const rstd = rsqrt(add(runningVar, eps));
    const centred = sub(x, runningMean);
    const xhat = mul(centred, rstd);
    return [add(mul(xhat, gamma), beta), { xhat, rstd, centred, gamma, axis: 0, training: false }];
  }
  const cache = normalised(x, gamma, 0, eps);
  const moved = (running: Tensor, sample: Tensor) =>
    unscoped(() => noGrad(() => keep(add(mul(running, momentum), mul(reshape(sample, running.shape), 1 - momentum)))));
  param.runningMean = moved(runningMean, cache.mu);
  param.runningVar = moved(runningVar, cache.var);
  return [add(mul(cache.xhat, gamma), beta), cache];
}

type Backward = (dout: Tensor, cache: NormCache) => [dx: Tensor, dgamma: Tensor, dbeta: Tensor];

const affineGradients = (dout: Tensor, { xhat, gamma }: NormCache): [dgamma: Tensor, dbeta: Tensor] => [
  reshape(sum(mul(dout, xhat), 0), gamma.shape),
  reshape(sum(dout, 0), gamma.shape),
];

/** batchnorm_backward, node by node of the graph: through the product, the root, the variance and the mean. */
export const batchnormBackward: Backward = explicit((dout, cache) => {
  const { rstd, centred, gamma, axis, training } = cache;
  const dxhat = mul(dout, reshape(gamma, [1, -1]));
  if (!training) return [mul(dxhat, rstd), ...affineGradients(dout, cache)];
  const n = centred.shape[axis]!;
  const drstd = sum(mul(dxhat, centred), axis, { keepDims: true });
  const dvariance = mul(mul(drstd, mul(rstd, mul(rstd, rstd))), -0.5); // d v^(-1/2) = -1/2 v^(-3/2) dv
  const dcentred = add(mul(dxhat, rstd), mul(centred, mul(dvariance, 2 / n)));
  const dmean = mul(sum(dcentred, axis, { keepDims: true }), -1);
  return [add(dcentred, mul(dmean, 1 / n)), ...affineGradients(dout, cache)];
});

/** batchnorm_backward_alt, on paper: dx = rstd / n (n dxhat - sum dxhat - xhat sum(dxhat xhat)). */
export const batchnormBackwardAlt: Backward = explicit((dout, cache) => {
  const { xhat, rstd, gamma, axis, training } = cache;
  const dxhat = mul(dout, reshape(gamma, [1, -1]));
  if (!training) return [mul(dxhat, rstd), ...affineGradients(dout, cache)];
  return [closed(dxhat, xhat, rstd, axis), ...affineGradients(dout, cache)];
});

function closed(dxhat: Tensor, xhat: Tensor, rstd: Tensor, axis: number): Tensor {
  const n = xhat.shape[axis]!;
  const total = sum(dxhat, axis, { keepDims: true });
  const along = sum(mul(dxhat, xhat), axis, { keepDims: true });
  return mul(mul(sub(sub(mul(dxhat, n), total), mul(xhat, along)), rstd), 1 / n);
}

/**
 * layernorm_forward: each row normalised over its columns (Ba et al. 2016), the same in training and testing.
 *
 * @param x [n, d]
 */
export function layernormForward(
  x: Tensor,
  gamma: Tensor,
  beta: Tensor,
  { eps = 1e-5 }: { eps?: number } = {},
): [out: Tensor, cache: NormCache] {
  expect(x.ndim === 2, "layernormForward", "x of shape [n,d]", show(x.shape));
  expectAffine("layernormForward", gamma, beta, x.shape[1]);
  const cache = normalised(x, gamma, 1, eps);
  return [add(mul(cache.xhat, gamma), beta), cache];
}

/** layernorm_backward. */
export const layernormBackward: Backward = explicit((dout, cache) => {
  const { xhat, rstd, gamma } = cache;
  return [closed(mul(dout, gamma), xhat, rstd, 1), ...affineGradients(dout, cache)];
});

/** Pictures as rows of channels: [n, c, h, w] to [n h w, c], and back. */
const toRows = (x: Tensor): Tensor => reshape(permute(x, [0, 2, 3, 1]), [-1, x.shape[1]]);
const toPictures = (rows: Tensor, [n, c, h, w]: readonly number[]): Tensor =>
  permute(reshape(rows, [n!, h!, w!, c!]), [0, 3, 1, 2]);

/** spatial_batchnorm_forward: a mean and a variance for each channel of x [n, c, h, w]. */
export function spatialBatchnormForward(
  x: Tensor,
  gamma: Tensor,
  beta: Tensor,
  param: BatchnormParam,
): [out: Tensor, cache: NormCache] {
  expect(x.ndim === 4, "spatialBatchnormForward", "x of shape [n,c,h,w]", show(x.shape));
  const [rows, cache] = batchnormForward(toRows(x), gamma, beta, param);
  return [toPictures(rows, x.shape), cache];
}

/** spatial_batchnorm_backward. */
export const spatialBatchnormBackward: Backward = explicit((dout, cache) => {
  const [dx, dgamma, dbeta] = batchnormBackwardAlt(toRows(dout), cache);
  return [toPictures(dx, dout.shape), dgamma, dbeta];
});

/**
 * spatial_groupnorm_forward: the channels of each picture in `groups` groups, each normalised alone (Wu & He 2018).
 *
 * @param x [n, c, h, w]
 * @param gamma scale of c elements, [c] or [1, c, 1, 1]
 * @param groups divides c
 */
export function spatialGroupnormForward(
  x: Tensor,
  gamma: Tensor,
  beta: Tensor,
  groups: number,
  { eps = 1e-5 }: { eps?: number } = {},
): [out: Tensor, cache: NormCache] {
  const op = "spatialGroupnormForward";
  expect(x.ndim === 4, op, "x of shape [n,c,h,w]", show(x.shape));
  const [n, c] = x.shape as [number, number];
  expect(
    Number.isSafeInteger(groups) && groups > 0 && c % groups === 0,
    op,
    `groups that divide ${c} channels`,
    `${groups}`,
  );
  expectAffine(op, gamma, beta, c);
  const cache = normalised(reshape(x, [n * groups, -1]), gamma, 1, eps);
  const channel = (t: Tensor) => reshape(t, [1, c, 1, 1]);
  return [add(mul(reshape(cache.xhat, x.shape), channel(gamma)), channel(beta)), cache];
}

/** spatial_groupnorm_backward; dgamma and dbeta have gamma's shape. */
export const spatialGroupnormBackward: Backward = explicit((dout, { xhat, rstd, gamma }) => {
  const c = dout.shape[1];
  const dxhat = reshape(mul(dout, reshape(gamma, [1, c, 1, 1])), xhat.shape);
  const over = (t: Tensor) => reshape(sum(t, [0, 2, 3]), gamma.shape);
  const dx = reshape(closed(dxhat, xhat, rstd, 1), dout.shape);
  return [dx, over(mul(dout, reshape(xhat, dout.shape))), over(dout)];
});
