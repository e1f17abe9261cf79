/** How large a model is. */
import type { Tensor } from "../tensor.js";
import { Module } from "./module.js";

/** Options of countParameters(). */
export interface CountParametersOptions {
  /** Count only what is learned: parameters whose requiresGrad is on. Default false. */
  learned?: boolean;
}

/**
 * How many numbers the parameters of a module hold, shared ones once; buffers are not counted.
 *
 * @param of a module, or parameters
 * @example
 * const n = nn.countParameters(new nn.Linear(4, 3)); // 15
 * const vgg16 = shapesOnly(() => nn.countParameters(models.create("vgg16"))); // 138,357,544
 */
export function countParameters(
  of: Module | readonly Tensor[],
  { learned = false }: CountParametersOptions = {},
): number {
  const all = new Set(of instanceof Module ? of.parameters() : of);
  let n = 0;
  for (const p of all) if (!learned || p.requiresGrad) n += p.size;
  return n;
}
