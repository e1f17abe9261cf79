/** @file Losses beside PyTorch (fixtures/ops/make_losses.py). */

import type { Tensor } from "napier";
import * as napier from "napier";
import { checkTorch, type TorchRun } from "../pytorch.js";

/** 0 and 1 to -1 and 1, in the dtype of the scores. */
const signs = (t: Tensor, like: Tensor): Tensor => t.to(like.dtype).mul(2).sub(1);

type Pair = (x: Tensor, target: Tensor, options?: never) => Tensor;
const pair =
  (loss: unknown): TorchRun =>
  ([x, t], options) =>
    (loss as Pair)(x!, t!, options as never);
const signed =
  (loss: unknown): TorchRun =>
  ([x, t], options) =>
    (loss as Pair)(x!, signs(t!, x!), options as never);
const weighted =
  (loss: unknown): TorchRun =>
  ([x, t, weight], options) =>
    (loss as Pair)(x!, t!, { ...options, weight } as never);

checkTorch("losses", {
  crossEntropy: pair(napier.crossEntropy),
  crossEntropyWeighted: weighted(napier.crossEntropy),
  crossEntropySoft: weighted(napier.crossEntropy),
  nll: weighted(napier.nll),
  multiMargin: weighted(napier.multiMargin),
  bce: weighted(napier.bce),
  bceWithLogits: ([x, t, weight, posWeight], options) =>
    napier.bceWithLogits(x!, t!, { ...options, weight, posWeight }),
  softMargin: signed(napier.softMargin),
  multiLabelSoftMargin: weighted(napier.multiLabelSoftMargin),
  multiLabelMargin: pair(napier.multiLabelMargin),
  sigmoidFocal: pair(napier.sigmoidFocal),
  mse: pair(napier.mse),
  l1: pair(napier.l1),
  smoothL1: pair(napier.smoothL1),
  huber: pair(napier.huber),
  poissonNll: pair(napier.poissonNll),
  gaussianNll: ([x, t, v], options) => napier.gaussianNll(x!, t!, v!, options),
  kl: pair(napier.kl),
  cosineEmbedding: ([a, b, t], options) => napier.cosineEmbedding(a!, b!, signs(t!, a!), options),
  marginRanking: ([a, b, t], options) => napier.marginRanking(a!, b!, signs(t!, a!), options),
  hingeEmbedding: signed(napier.hingeEmbedding),
  tripletMargin: ([a, p, n], options) => napier.tripletMargin(a!, p!, n!, options),
  ctc: ([x, labels], options) => napier.ctc(x!.logSoftmax(2), labels!, [9, 7, 4], [4, 2, 0], options),
  ctcConcatenated: ([x, labels], options) => napier.ctc(x!.logSoftmax(2), labels!, [9, 7, 4], [4, 2, 0], options),
});
