/** @file Looking at a model in between: what draws samples, explains or measures runs a model without training it. */
import type { Module } from "./module.js";

/** Of models that are looked at now: by how many, and the modes to come back to. */
const looks = new WeakMap<Module, { open: number; modes: readonly (readonly [Module, boolean])[] }>();

/**
 * Runs `fn` with the model in eval mode and gives each module its own mode back: behind the result, a promise's end, or
 * an error; where several look at once, behind the last.
 */
export function inEval<T>(model: Module, fn: () => T): T {
  const look = looks.get(model) ?? { open: 0, modes: model.modules().map((m) => [m, m.training] as const) };
  looks.set(model, look);
  look.open++;
  const restore = () => {
    if (--look.open > 0) return;
    looks.delete(model);
    for (const [m, training] of look.modes) m.training = training;
  };
  model.eval();
  let result: T;
  try {
    result = fn();
  } catch (error) {
    restore();
    throw error;
  }
  if (result instanceof Promise) return result.finally(restore) as T;
  restore();
  return result;
}
