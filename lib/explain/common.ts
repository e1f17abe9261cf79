/** @file What the functions of this folder share. */
import type { Module } from "../nn/module.js";
import type { Tensor } from "../tensor.js";

/** Bounds of a picture's values: numbers, or tensors that broadcast with it ([c, 1, 1]: one a channel). */
export type PixelRange = readonly [low: number | Tensor, high: number | Tensor];

/** Runs `fn` with the model in eval mode and gives each module its own mode back. */
export function inEval<T>(model: Module, fn: () => T): T {
  const modes = model.modules().map((m) => [m, m.training] as const);
  model.eval();
  try {
    return fn();
  } finally {
    for (const [m, training] of modes) m.training = training;
  }
}
