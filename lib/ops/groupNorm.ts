/**
 * Group and instance normalisation: as layerNorm, each example by statistics of its own, but over blocks of channels. One
 * kernel each way; for second derivatives the gradient is composed (normalise.ts).
 */

import { expect, show } from "../errors.js";
import { isGradEnabled, noGrad, record } from "../graph.js";
import { k } from "../native.js";
import { empty, sizeOfShape, type Tensor } from "../tensor.js";
import { expectFloat, expectInPlace } from "./common.js";
import { add_, mul_ } from "./inplace.js";
import { batchNorm } from "./norm.js";
import { composed, expectVectors, type Maybe } from "./normalise.js";
import { mean as meanOf, variance as varianceOf } from "./reduce.js";
import { reshape } from "./shape.js";

/**
 * Group normalisation (Wu & He 2018): the channels in `groups` blocks, each block of each example by its mean and (biased)
 * variance.
 *
 * @param x [n, c] or [n, c, ...]
 * @param weight [c]; default 1
 * @param bias [c]; default 0
 * @example
 * const y = randn([2, 6, 4, 4]).groupNorm(3); // [2, 6, 4, 4]
 */
export function groupNorm(
  x: Tensor,
  groups: number,
  weight: Maybe = null,
  bias: Maybe = null,
  { eps = 1e-5 }: { eps?: number } = {},
): Tensor {
  return normaliseGroups("groupNorm", x, groups, weight, bias, eps);
}

function normaliseGroups(op: string, x: Tensor, groups: number, weight: Maybe, bias: Maybe, eps: number): Tensor {
  expectFloat(op, x);
  expect(x.ndim >= 2, op, "x of shape [n,c] or [n,c,...]", show(x.shape));
  const [n, c] = x.shape as [number, number];
  const divides = Number.isSafeInteger(groups) && groups >= 1 && c % groups === 0;
  expect(divides, op, `groups that divide the ${c} channels of x ${show(x.shape)}`, `${groups}`);
  expectVectors(op, x, [c], { weight, bias });
  const size = [n, c, sizeOfShape(x.shape.slice(2))] as const;
  const y = empty(x.shape, x.dtype);
  const mean = empty([n, groups], x.dtype);
  const rstd = empty([n, groups], x.dtype);
  k.groupNorm(y, mean, rstd, x, weight, bias, eps, groups, ...size);
  const biased = bias !== null;
  record(y, op, { x, weight, bias }, { x, weight, mean, rstd }, (dy, { x, weight, mean, rstd }, wants) => {
    const [n, c, inner] = size;
    if (isGradEnabled()) {
      const blocks = [n, groups, c / groups, inner];
      const gradients = composed({
        dy: reshape(dy, blocks),
        x: reshape(x, blocks),
        weight,
        eps,
        over: [2, 3],
        along: [groups, c / groups, 1],
        weightOver: [0, 3],
        given: null,
        biased,
      });
      const vector = (make: (() => Tensor) | null) => make && (() => reshape(make(), [c]));
      return {
        x: () => reshape(gradients.x(), x.shape),
        weight: vector(gradients.weight),
        bias: vector(gradients.bias),
      };
    }
    const dx = wants.x ? empty(x.shape, x.dtype) : null;
    const dw = wants.weight ? empty([c], x.dtype) : null;
    const db = wants.bias ? empty([c], x.dtype) : null;
    k.groupNormGrad(dx, dw, db, dy, x, mean, rstd, weight, groups, ...size);
    return { x: () => dx!, weight: weight ? () => dw! : null, bias: biased ? () => db! : null };
  });
  mean.free();
  rstd.free();
  return y;
}

/** Options of instanceNorm. */
export interface InstanceNormOptions {
  /** Normalise by each example's own statistics and update the running ones; else by the running ones. Default true. */
  useInputStats?: boolean;
  /** running = (1 - momentum) running + momentum statistic. Default 0.1. */
  momentum?: number;
  /** Added to the variance. Default 1e-5. */
  eps?: number;
}

/**
 * Instance normalisation (Ulyanov et al. 2016): each channel of each example by its own mean and (biased) variance. The
 * running statistics, where given, are updated in place by the means over the examples, the variance unbiased.
 *
 * @param x [n, c, ...]
 * @param runningMean [c], needed unless useInputStats; likewise runningVar
 * @param weight [c]; default 1
 * @param bias [c]; default 0
 */
export function instanceNorm(
  x: Tensor,
  runningMean: Maybe = null,
  runningVar: Maybe = null,
  weight: Maybe = null,
  bias: Maybe = null,
  { useInputStats = true, momentum = 0.1, eps = 1e-5 }: InstanceNormOptions = {},
): Tensor {
  const op = "instanceNorm";
  expectFloat(op, x);
  expect(x.ndim >= 3, op, "x of shape [n,c,...]", show(x.shape));
  const [n, c] = x.shape as [number, number];
  expectVectors(op, x, [c], { runningMean, runningVar, weight, bias });
  if (!useInputStats) {
    if (!runningMean || !runningVar)
      throw new TypeError(`${op}: expected running statistics where useInputStats is false, got null`);
    return batchNorm(x, runningMean, runningVar, weight, bias, { eps });
  }
  const inner = sizeOfShape(x.shape.slice(2));
  expect(inner > 1 || n === 0 || c === 0, op, "more than one value a channel of each example", show(x.shape));
  const y = normaliseGroups(op, x, Math.max(c, 1), weight, bias, eps);
  if (runningMean && runningVar && n > 0) {
    expectInPlace(op, runningMean);
    expectInPlace(op, runningVar);
    noGrad(() => {
      const rows = reshape(x.detach(), [n, c, inner]);
      const move = (running: Tensor, statistic: Tensor) =>
        add_(mul_(running, 1 - momentum), meanOf(statistic, 0), { alpha: momentum });
      move(runningMean, meanOf(rows, 2));
      move(runningVar, varianceOf(rows, 2));
    });
  }
  return y;
}
