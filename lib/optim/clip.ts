/**
 * Gradient clipping. The norm stays a tensor: nothing waits for it in the middle of a step, and it can be logged later.
 */
import { noGrad } from "../graph.js";
import { checkNumber } from "../live.js";
import { type DType, k } from "../native.js";
import { add } from "../ops/arithmetic.js";
import { to } from "../ops/cast.js";
import { written } from "../ops/common.js";
import { zeros } from "../ops/create.js";
import { sqrt, square } from "../ops/elementwise.js";
import { empty, type Tensor } from "../tensor.js";
import { expectOption } from "./optimizer.js";

function gradientsByDType(params: Iterable<Tensor>): Map<DType, Tensor[]> {
  const lists = new Map<DType, Tensor[]>();
  for (const { grad } of params) {
    if (!grad) continue;
    const list = lists.get(grad.dtype);
    if (list) list.push(grad);
    else lists.set(grad.dtype, [grad]);
  }
  return lists;
}

/**
 * Scales all gradients by one factor so that their norm (the root of the sum of all squares) is at most `maxNorm`:
 * g *= min(1, maxNorm / (norm + 1e-6)), PyTorch's clip_grad_norm_.
 *
 * @param maxNorm in a captured step fixed when it is recorded; live(() => maxNorm) is read anew each time
 * @returns the norm before clipping, one number (float64 where gradients of several dtypes meet)
 * @example
 * const w = tensor([3, 4], { requiresGrad: true });
 * w.square().sum().backward();
 * const norm = optim.clipGradNorm([w], 1);
 */
export function clipGradNorm(params: Iterable<Tensor>, maxNorm: number): Tensor {
  checkNumber(maxNorm, (value) => expectOption("clipGradNorm", "maxNorm", value));
  const lists = gradientsByDType(params);
  const norms = [...lists].map(([dtype, grads]) => {
    const norm = empty([], dtype);
    k.gradNorm(norm, grads);
    return norm;
  });
  if (norms.length === 0) return zeros([]);
  const total = noGrad(() => norms.reduce((a, b) => sqrt(add(square(to(a, "float64")), square(to(b, "float64"))))));
  for (const [dtype, grads] of lists) {
    k.clipNorm(grads, to(total, dtype), maxNorm);
    grads.forEach(written);
  }
  return total;
}

/**
 * Bounds every element of every gradient to [-limit, limit].
 *
 * @param limit in a captured step fixed when it is recorded; live(() => limit) is read anew each time
 * @example
 * const w = tensor([3, 4], { requiresGrad: true });
 * w.square().sum().backward();
 * optim.clipGradValue([w], 0.5);
 */
export function clipGradValue(params: Iterable<Tensor>, limit: number): void {
  checkNumber(limit, (value) => expectOption("clipGradValue", "limit", value));
  for (const grads of gradientsByDType(params).values()) {
    k.clipValue(grads, limit);
    grads.forEach(written);
  }
}
