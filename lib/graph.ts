/**
 * The graph that gradients walk: record() notes what made a tensor.
 *
 * A tensor points to its node, a node to the nodes of its inputs and to its own aliases of the values that its gradient
 * needs, never to a user's tensor: so intermediate tensors die young, and freeing one never breaks backward.
 */
import { show } from "./errors.js";
import { type Sync, unscoped } from "./memory.js";
import { alias, sizeOfShape, type Tensor } from "./tensor.js";
import { watch } from "./watch.js";

/** Something with gradients: a record of an op, or a leaf. `outputs` are the shapes of what it made. */
export interface GraphNode {
  readonly id: number;
  readonly name: string;
  readonly edges: readonly (Edge | null)[];
  readonly outputs: readonly { shape: readonly number[]; dtype: Tensor["dtype"] }[];
  /** Gradients of the inputs, in the order of `edges`, from those of the outputs (null: none arrived). */
  /**
   * `sums`: what has arrived for each input and may be written to; a gradient that was added there is answered as null.
   */
  run(dys: (Tensor | null)[], wants: boolean[], sums?: (Tensor | null)[]): (Tensor | null)[];
  /** Frees the saved values; running again then throws. */
  release(): void;
  hooks: Map<number, GradientHook[]> | null;
  /** Where `.grad` of output 0 is kept: leaves, and tensors with retainGrad(). */
  keepsGrad: boolean;
  grad: Tensor | null;
  /** Where it was made, for whoever watches (lib/watch.ts). */
  readonly scope: number;
}

/** @internal */
export interface Edge {
  node: GraphNode;
  output: number;
}

/** Sees the gradient of a tensor; what it returns replaces it. */
export type GradientHook = (dy: Tensor) => Tensor | undefined;
/** @internal */
export type Tensors = Record<string, Tensor | null | undefined>;

/** Makes a gradient. `addTo` adds it to another one in place: for ops that read a part of x, whose gradient is mostly zeros. */
export interface MakeGradient {
  (): Tensor;
  addTo?(sum: Tensor): void;
}
/** What a gradient function of record() answers: a closure, or null, for each input. */
export type Gradients<I> = { [K in keyof I]: MakeGradient | null };

let enabled = true;
let nextId = 1;

/** @internal Nodes made from now on have this id or a larger one. */
export const nextNodeId = (): number => nextId;

/** Whether ops are recorded. */
export const isGradEnabled = (): boolean => enabled;

/** @internal Runs `fn` with recording on or off; `op` is who asks. */
export function withGrad<T>(on: boolean, op: string, fn: () => T): T {
  const before = enabled;
  enabled = on;
  let result: T;
  try {
    result = fn();
  } finally {
    enabled = before;
  }
  if (typeof (result as { then?: unknown } | null)?.then === "function") {
    throw new TypeError(
      `${op}: expected a synchronous callback, got one that returns a promise; other tasks would see the mode change`,
    );
  }
  return result;
}

/** Runs `fn` without recording: no gradients, less memory. */
export const noGrad = <T>(fn: () => Sync<T>): T => withGrad(false, "noGrad", fn as () => T);

/** Runs `fn` with recording, inside noGrad(). */
export const enableGrad = <T>(fn: () => Sync<T>): T => withGrad(true, "enableGrad", fn as () => T);

/** Set by ops: how gradients that meet are added, and where an unseeded or missing gradient comes from. */
export const algebra = {
  add: undefined as unknown as (a: Tensor, b: Tensor) => Tensor,
  fill: undefined as unknown as (shape: readonly number[], value: number, dtype: Tensor["dtype"]) => Tensor,
  copy: undefined as unknown as (x: Tensor) => Tensor,
};

/** A tensor that gradients end at: a parameter, or an input the user asked about. */
export class Leaf implements GraphNode {
  readonly id = nextId++;
  readonly name = "leaf";
  readonly edges = [];
  readonly outputs;
  hooks: Map<number, GradientHook[]> | null = null;
  readonly keepsGrad = true;
  readonly scope = 0;
  grad: Tensor | null = null;
  constructor(t: Tensor) {
    this.outputs = [{ shape: t.shape, dtype: t.dtype }];
  }
  run(): [] {
    return [];
  }
  release(): void {}
}

class OpNode implements GraphNode {
  readonly id = nextId++;
  hooks: Map<number, GradientHook[]> | null = null;
  keepsGrad = false;
  grad: Tensor | null = null;
  readonly scope = watch.tag >> 1;
  private versions: number[];

  constructor(
    readonly name: string,
    readonly edges: (Edge | null)[],
    readonly outputs: { shape: readonly number[]; dtype: Tensor["dtype"] }[],
    private inputs: readonly string[],
    private saved: Tensors,
    private gradient:
      | ((dys: (Tensor | null)[], saved: Tensors, wants: Record<string, boolean>) => Gradients<Tensors>)
      | null,
  ) {
    this.versions = Object.values(saved).map((t) => t?.storage.version ?? 0);
  }

  run(dys: (Tensor | null)[], wants: boolean[], sums?: (Tensor | null)[]): (Tensor | null)[] {
    if (this.gradient === null) {
      throw new Error(
        `backward: the graph through ${this.name} was freed by an earlier backward(); pass { retainGraph: true } to that one`,
      );
    }
    Object.entries(this.saved).forEach(([key, t], i) => {
      if (t && t.storage.version !== this.versions[i]) {
        throw new Error(
          `backward: ${this.name} saved ${key} ${show(t.shape)} for its gradient, and it was changed in place since ` +
            `(version ${t.storage.version}, expected ${this.versions[i]}); change a clone() instead`,
        );
      }
    });
    const want = Object.fromEntries(this.inputs.map((key, i) => [key, wants[i]!]));
    const gradients = this.gradient(dys, this.saved, want);
    const mine = new Set<unknown>([...dys, ...Object.values(this.saved)]);
    return this.inputs.map((key, i) => {
      if (!wants[i]) return null;
      const make = gradients[key];
      if (make === null) return null;
      if (make === undefined) throw new Error(`backward: ${this.name} gives no gradient for ${key}`);
      const sum = sums?.[i];
      if (sum && make.addTo) {
        make.addTo(sum);
        return null;
      }
      const dx = make();
      const { shape } = this.edges[i]!.node.outputs[this.edges[i]!.output]!;
      if (dx.size !== sizeOfShape(shape)) {
        throw new Error(
          `backward: ${this.name} gave ${key} of shape ${show(shape)} a gradient of shape ${show(dx.shape)}`,
        );
      }
      // dy or a saved value passed on is somebody else's: the engine frees what it gets.
      return mine.has(dx) && !enabled ? alias(dx) : dx;
    });
  }

  release(): void {
    this.gradient = null;
    for (const t of Object.values(this.saved)) t?.free();
    this.saved = {};
  }
}

/** @internal */
export const edgeOf = (t: Tensor | null | undefined): Edge | null =>
  t?.node ? { node: t.node, output: t.output } : null;

/** True where an op on these tensors is to be recorded. */
export function wantsRecord(inputs: Tensors): boolean {
  if (!enabled) return false;
  for (const key in inputs) if (inputs[key]?.node) return true;
  return false;
}

/**
 * Notes that `y` was made from `inputs`: `gradient(dy, saved, wants)` answers, by input name, a function that makes its
 * gradient, or null for "not differentiable". `saved` are the values it needs (inputs, y, or others); it gets aliases of
 * them and must use nothing else of its surroundings but shapes and numbers.
 *
 * @returns y
 */
export function record<I extends Tensors, S extends Tensors>(
  y: Tensor,
  name: string,
  inputs: I,
  saved: S,
  gradient: (dy: Tensor, saved: S, wants: { [K in keyof I]: boolean }) => Gradients<I>,
): Tensor {
  if (!wantsRecord(inputs)) return y;
  return recordAll([y], name, inputs, saved, ([dy], s, wants) => gradient(dy!, s, wants))[0]!;
}

/** record() for an op with several outputs; a `dys` entry is null where no gradient arrived. */
export function recordAll<I extends Tensors, S extends Tensors>(
  ys: Tensor[],
  name: string,
  inputs: I,
  saved: S,
  gradient: (dys: (Tensor | null)[], saved: S, wants: { [K in keyof I]: boolean }) => Gradients<I>,
): Tensor[] {
  if (!wantsRecord(inputs)) return ys;
  const aliases: Tensors = {};
  const ownOutputs: [Tensor, number][] = [];
  unscoped(() => {
    for (const key in saved) {
      const t = saved[key];
      if (!t) continue;
      const copy = alias(t);
      copy.node = t.node;
      copy.output = t.output;
      const at = ys.indexOf(t);
      if (at >= 0) ownOutputs.push([copy, at]);
      aliases[key] = copy;
    }
  });
  const node = new OpNode(
    name,
    Object.values(inputs).map(edgeOf),
    ys.map(({ shape, dtype }) => ({ shape, dtype })),
    Object.keys(inputs),
    aliases,
    gradient as never,
  );
  for (const [copy, at] of ownOutputs) [copy.node, copy.output] = [node, at];
  ys.forEach((y, at) => {
    y.node = node;
    y.output = at;
  });
  return ys;
}

/** What a gradient kernel made, which has no derivative of its own: asking for it throws, never zero. */
export function noSecondDerivative(name: string, dx: Tensor, inputs: Tensors): Tensor {
  return record(dx, `${name}Grad`, inputs, {}, () => {
    throw new Error(`${name} has no second derivative`);
  });
}
