/** @file Looking at a model in between: what draws samples, explains or measures runs a model without training it. */
import type { Module } from "./module.js";

/**
 * Runs `fn` with the model in eval mode and gives each module its own mode back: behind the result, a promise's end, or
 * an error.
 */
export function inEval<T>(model: Module, fn: () => T): T {
  const modes = model.modules().map((m) => [m, m.training] as const);
  const restore = () => {
    for (const [m, training] of modes) m.training = training;
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
