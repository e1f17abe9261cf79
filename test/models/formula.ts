/** @file Weights that are a formula of their name and position, as test/fixtures/models/make.py has them. */
import { type nn, type Tensor, tensor } from "napier";

/** lowbias32 (Wellons). */
export function mix(x: number): number {
  x >>>= 0;
  x = Math.imul(x ^ (x >>> 16), 0x7feb352d);
  x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
  return (x ^ (x >>> 16)) >>> 0;
}

/** FNV-1a. */
function hashed(text: string): number {
  let h = 2166136261;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 16777619);
  return h >>> 0;
}

/** `n` numbers in [-1, 1). */
export function even(name: string, n: number): Float64Array {
  const h = hashed(name);
  return Float64Array.from({ length: n }, (_, i) => mix(Math.imul(i, 0x9e3779b9) + h) / 2147483648 - 1);
}

function value(name: string, shape: readonly number[]): Float64Array {
  const n = shape.reduce((a, b) => a * b, 1);
  const u = even(name, n);
  if (name.endsWith("num_batches_tracked")) return u.fill(0);
  if (name.endsWith("running_var")) return u.map((v) => 1 + 0.5 * v);
  if (shape.length >= 2 && n > shape[0]!) {
    const scale = Math.sqrt(3 / (n / shape[0]!));
    return u.map((v) => v * scale);
  }
  return name.endsWith("weight") ? u.map((v) => 1 + 0.1 * v) : u.map((v) => 0.1 * v);
}

/** Sets every parameter and buffer of the model to its formula. */
export function fill<M extends nn.Module>(model: M): M {
  const state = Object.entries(model.stateDict());
  const made: [string, Tensor][] = state.map(([key, t]) => [
    key,
    tensor(value(key, t.shape), [...t.shape], { dtype: t.dtype }),
  ]);
  model.loadStateDict(Object.fromEntries(made));
  return model;
}
