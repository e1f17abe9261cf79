/** @file What the functions of this folder share. */
import { grad } from "../autograd.js";
import { expect, show } from "../errors.js";
import { enableGrad } from "../graph.js";
import type { Layer } from "../nn/module.js";
import { checkIndices } from "../ops/common.js";
import { tensor } from "../ops/create.js";
import { gather } from "../ops/gather.js";
import type { Tensor } from "../tensor.js";

/** Bounds of a picture's values: numbers, or tensors that broadcast with it ([c, 1, 1]: one a channel). */
export type PixelRange = readonly [low: number | Tensor, high: number | Tensor];

/** A label for each picture of x: int32 [n]. */
export function labelsOf(op: string, x: Tensor, labels: Tensor | number): Tensor {
  const n = x.shape[0]!;
  if (typeof labels === "number") {
    expect(Number.isSafeInteger(labels), op, "a whole number as the label", `${labels}`);
    return tensor(new Int32Array(n).fill(labels));
  }
  expect(labels.ndim === 1 && labels.shape[0] === n, op, `labels [${n}]`, show(labels.shape));
  return labels.to("int32");
}

/** Throws unless x is pictures. */
export const expectPictures = (op: string, x: Tensor): void =>
  expect(x.ndim === 4, op, "pictures [n,c,h,w]", show(x.shape));

/** The model's scores [n, classes], checked: each label is one of the classes. */
export function scoresOf(op: string, model: Layer, x: Tensor, labels: Tensor): Tensor {
  const scores = model.forward(x);
  expect(scores.ndim === 2, op, "a model that answers scores [n,classes]", show(scores.shape));
  checkIndices(op, "labels", labels, scores.shape[1]!);
  return scores;
}

/**
 * Each picture's score of its label: [n], or [copies n] where x is copies of n pictures, one set behind the other. The model
 * is in eval mode.
 */
export function scoreOf(op: string, model: Layer, x: Tensor, labels: Tensor): Tensor {
  const scores = scoresOf(op, model, x, labels);
  const [all, n] = [scores.shape[0]!, labels.shape[0]!];
  const index = labels
    .unsqueeze(0)
    .expand([all / n, n])
    .reshape([all, 1]);
  return gather(scores, 1, index).squeeze(1);
}

/** d score / d x of each picture's label, in x's shape, of pictures or copies as above. The model is in eval mode. */
export const slopeOf = (op: string, model: Layer, x: Tensor, labels: Tensor): Tensor =>
  enableGrad(() => {
    const input = x.detach().requiresGrad_();
    return grad(scoreOf(op, model, input, labels).sum(), [input])[0]!;
  });
