/**
 * What is inside a network: filters, activations, and how attention spreads.
 */
import { expect, show } from "../errors.js";
import { noGrad } from "../graph.js";
import { inEval } from "../nn/inEval.js";
import type { Layer, Module } from "../nn/module.js";
import { where } from "../ops/arithmetic.js";
import { eye } from "../ops/create.js";
import type { Tensor } from "../tensor.js";

/** Each picture scaled so that its least value is 0 and its largest 1 (all 0 where they are one): [n, ...] */
export function scaledToUnit(x: Tensor): Tensor {
  const axes = [...x.shape.keys()].slice(1);
  const low = x.amin(axes, { keepDims: true });
  const span = x.amax(axes, { keepDims: true }).sub(low);
  return x.sub(low).div(where(span.greater(0), span, 1));
}

/**
 * A convolution's weights as pictures in [0, 1]: [out, in, r, s] as they are with 1 or 3 input channels, else one grey
 * picture a pair, [out in, 1, r, s]. train.imageGridPng() lays them out.
 */
export function filterPictures(weight: Tensor): Tensor {
  expect(weight.ndim === 4, "filterPictures", "a weight [out,in,r,s]", show(weight.shape));
  return noGrad(() => {
    const [o, c, r, s] = weight.shape as [number, number, number, number];
    const shape = c === 1 || c === 3 ? weight.shape : [o * c, 1, r, s];
    return scaledToUnit(weight.detach().reshape(shape));
  });
}

/**
 * Outputs of modules inside a model for x, in eval mode: activations to look at, features to measure.
 *
 * @returns one a module, detached
 * @throws Error where a module is not called, or answers no tensor
 */
export function activations(model: Layer, modules: readonly Module[], x: Tensor): Tensor[] {
  const found: (Tensor | undefined)[] = modules.map(() => undefined);
  const remove = modules.map((m, i) =>
    m.registerForwardHook((_, __, output) => {
      found[i] = output as Tensor;
      return undefined;
    }),
  );
  try {
    inEval(model, () => noGrad(() => model.forward(x)));
  } finally {
    for (const undo of remove) undo();
  }
  return found.map((t, i) => {
    if (!t || typeof t !== "object" || !("detach" in t))
      throw new Error(
        `activations: module ${i} (${modules[i]!.constructor.name}) ${t ? "answers no tensor" : "was not called"}`,
      );
    return t.detach();
  });
}

/**
 * How much each token of the input reaches each token at the end, through all layers (Abnar & Zuidema, "Quantifying
 * attention flow in transformers", 2020): products of (heads' mean + identity) / 2.
 *
 * @param maps weights of each layer, first to last, [n, heads, t, t]
 * @returns [n, t, t], rows sum to 1
 */
export function attentionRollout(maps: readonly Tensor[]): Tensor {
  expect(maps.length > 0, "attentionRollout", "the weights of at least one layer", "none");
  return noGrad(() => {
    let all: Tensor | null = null;
    for (const map of maps) {
      const t = map.shape.at(-1)!;
      expect(map.ndim === 4 && map.shape[2] === t, "attentionRollout", "weights [n,heads,t,t]", show(map.shape));
      const layer = map
        .mean(1)
        .add(eye(t, undefined, { dtype: map.dtype }))
        .mul(0.5);
      all = all ? layer.matmul(all) : layer;
    }
    return all!;
  });
}
