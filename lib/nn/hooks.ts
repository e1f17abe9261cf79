/**
 * Hooks on the gradients of a module: its inputs and its outputs pass through a record each, whose gradients are what the
 * hooks see.
 */
import { recordAll } from "../graph.js";
import { unscoped } from "../memory.js";
import { zeros } from "../ops/create.js";
import { alias, Tensor } from "../tensor.js";
import type { Module } from "./module.js";

/** Gradients by position; null where none arrived, or where the value is no tensor of the graph. */
export type Gradients = readonly (Tensor | null)[];

/** Called when the gradients of a module's inputs are known; gradients that it returns replace them. */
export type BackwardHook = (module: Module, gradInputs: Gradients, gradOutputs: Gradients) => Gradients | undefined;

/** Called when the gradients of a module's outputs are known, before its own; what it returns replaces them. */
export type BackwardPreHook = (module: Module, gradOutputs: Gradients) => Gradients | undefined;

export interface GradientHooks {
  before: Set<BackwardPreHook>;
  after: Set<BackwardHook>;
}

const another = (t: Tensor): Tensor =>
  unscoped(() => {
    const copy = alias(t);
    [copy.node, copy.output] = [t.node, t.output];
    return copy;
  });

/** The values, those of the graph behind one record whose gradients pass through `see`. */
function behind(values: readonly unknown[], name: string, see: (dys: Gradients) => Gradients): unknown[] {
  const places = values.flatMap((v, i) => (v instanceof Tensor && v.requiresGrad ? [i] : []));
  const inputs = Object.fromEntries(places.map((at) => [`x${at}`, values[at] as Tensor]));
  const shapes = places.map((at) => (values[at] as Tensor).shape);
  const dtypes = places.map((at) => (values[at] as Tensor).dtype);
  const ys = recordAll(
    places.map((at) => alias(values[at] as Tensor)),
    name,
    inputs,
    {},
    throughHooks(values.length, places, shapes, dtypes, see),
  );
  return values.map((v, at) => (places.includes(at) ? ys[places.indexOf(at)] : v));
}

const throughHooks =
  (
    count: number,
    places: number[],
    shapes: (readonly number[])[],
    dtypes: Tensor["dtype"][],
    see: (dys: Gradients) => Gradients,
  ) =>
  (dys: (Tensor | null)[]) => {
    const all = Array.from({ length: count }, (_, at) => dys[places.indexOf(at)] ?? null);
    const changed = see(all);
    if (changed.length !== count)
      throw new Error(`backward hook: expected ${count} gradients or null in their place, got ${changed.length}`);
    return Object.fromEntries(
      places.map((at, i) => [`x${at}`, () => changed[at] ?? zeros(shapes[i]!, { dtype: dtypes[i] })]),
    );
  };

/** Calls `forward` between the two records. */
export function withGradientHooks(
  module: Module,
  hooks: GradientHooks,
  inputs: readonly unknown[],
  forward: (inputs: readonly unknown[]) => unknown,
): unknown {
  let gradOutputs: Gradients = [];
  const finish = (gradInputs: Gradients): Gradients => {
    let dxs = gradInputs;
    for (const hook of [...hooks.after]) dxs = hook(module, dxs, gradOutputs) ?? dxs;
    for (const dy of gradOutputs) dy?.free();
    gradOutputs = [];
    return dxs;
  };
  const watched = inputs.some((x) => x instanceof Tensor && x.requiresGrad);
  const output = forward(watched ? behind(inputs, "moduleInputs", finish) : inputs);
  const list = Array.isArray(output) ? output : [output];
  if (!list.some((y) => y instanceof Tensor && y.requiresGrad)) return output;
  const seen = behind(list, "moduleOutputs", (given) => {
    let dys = given;
    for (const hook of [...hooks.before]) dys = hook(module, dys) ?? dys;
    gradOutputs = dys.map((dy) => dy && another(dy));
    if (!watched) finish(inputs.map(() => null));
    return dys;
  });
  return Array.isArray(output) ? seen : seen[0];
}
