/** @file What the functions of this folder share. */
import type { Module } from "../nn/module.js";

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
