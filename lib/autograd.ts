/**
 * Reverse-mode differentiation: backward() and grad() walk the records of lib/graph.ts in reverse.
 */
import { show } from "./errors.js";
import {
  algebra,
  type Edge,
  edgeOf,
  type GradientHook,
  type GraphNode,
  isGradEnabled,
  Leaf,
  noGrad,
  record,
  withGrad,
} from "./graph.js";
import { currentRecording } from "./live.js";
import { adopt, safePoint, scope, unscoped } from "./memory.js";
import { alias, Tensor } from "./tensor.js";
import { backwardAt, enterBackward, leaveBackward, watch } from "./watch.js";

// ---- Running backward

interface Walk {
  retainGraph: boolean;
  createGraph: boolean;
  /** Gradients asked for by grad(): (node, output) to its place in the answer. */
  capture: Map<GraphNode, Map<number, number>> | null;
  /** Nodes with smaller ids are ends: captured, never run. Default 0. */
  until?: number;
}

/** Nodes that lead to a wanted one, newest first. */
function reachable(
  roots: GraphNode[],
  capture: Walk["capture"],
  until: number,
): { order: GraphNode[]; needed: Set<GraphNode> | null } {
  const seen = new Set<GraphNode>();
  const stack = [...roots];
  while (stack.length > 0) {
    const node = stack.pop()!;
    if (seen.has(node)) continue;
    seen.add(node);
    if (node.id < until) continue;
    for (const edge of node.edges) if (edge && !seen.has(edge.node)) stack.push(edge.node);
  }
  const order = [...seen].sort((a, b) => b.id - a.id);
  if (capture === null) return { order, needed: null };
  const needed = new Set<GraphNode>();
  for (let i = order.length - 1; i >= 0; i--) {
    const node = order[i]!;
    if (capture.has(node) || node.edges.some((e) => e && needed.has(e.node))) needed.add(node);
  }
  return { order, needed };
}

type Root = { node: GraphNode; output: number; dy: Tensor };

function walk(roots: Root[], options: Walk): (Tensor | null)[] {
  if (!watch.on) return walkNodes(roots, options);
  const before = enterBackward();
  try {
    return walkNodes(roots, options);
  } finally {
    leaveBackward(before);
  }
}

function walkNodes(roots: Root[], options: Walk): (Tensor | null)[] {
  const { until = 0 } = options;
  const { order, needed } = reachable(
    roots.map((r) => r.node),
    options.capture,
    until,
  );
  const pending = new Map<GraphNode, (Tensor | null)[]>();
  const captured: (Tensor | null)[] = [];
  const drop = (t: Tensor) => {
    if (!options.createGraph) t.free();
  };
  const arrive = (node: GraphNode, output: number, dy: Tensor) => {
    let slots = pending.get(node);
    if (!slots) pending.set(node, (slots = node.outputs.map(() => null)));
    const before = slots[output];
    if (!before) {
      slots[output] = dy;
      return;
    }
    slots[output] = algebra.add(before, dy);
    drop(before);
    drop(dy);
  };
  for (const root of roots) arrive(root.node, root.output, root.dy);
  // A sum that nobody else holds may be written to; one that is part of a graph may not.
  const ownSum = (edge: Edge | null): Tensor | null => {
    const sum = edge && !options.createGraph ? pending.get(edge.node)?.[edge.output] : null;
    return sum && sum.storage.handles === 1 ? sum : null;
  };

  for (const node of order) {
    const dys = pending.get(node);
    pending.delete(node);
    if (!dys) {
      if (!options.retainGraph && !options.capture) node.release();
      continue;
    }
    if (watch.on) backwardAt(node.scope);
    const end = node.id < until;
    if (node.hooks && !end) {
      for (const [output, hooks] of node.hooks) {
        for (const hook of hooks) {
          const dy = dys[output];
          const changed = dy && hook(dy);
          if (changed && changed !== dy) dys[output] = linkedAlias(changed, options.createGraph);
        }
      }
    }
    const wanted = options.capture?.get(node);
    if (wanted)
      for (const [output, at] of wanted)
        captured[at] = dys[output] ? linkedAlias(dys[output], options.createGraph) : null;
    if (node.keepsGrad && options.capture === null && dys[0]) accumulate(node, dys[0], options.createGraph);
    const wants = node.edges.map((e) => !end && e !== null && (needed === null || needed.has(e.node)));
    if (wants.includes(true)) {
      const dxs = scope(() => node.run(dys, wants, node.edges.map(ownSum))); // a gradient's own intermediates end here
      dxs.forEach((dx, i) => {
        const edge = node.edges[i];
        if (dx && edge) arrive(edge.node, edge.output, dx);
      });
    }
    for (const dy of dys) if (dy) drop(dy);
    // grad() stops at its inputs: what made them stays usable.
    const ran = options.capture === null || wants.includes(true);
    if (ran && !options.retainGraph) node.release();
  }
  return captured;
}

/** Another handle on a gradient; under createGraph it stays part of the graph. */
function linkedAlias(t: Tensor, linked: boolean): Tensor {
  const other = alias(t);
  if (linked) [other.node, other.output] = [t.node, t.output];
  return other;
}

function accumulate(node: GraphNode, dy: Tensor, linked: boolean): void {
  currentRecording()?.leaves.add(node);
  const before = node.grad;
  if (before) {
    node.grad = algebra.add(before, dy);
    if (!linked) before.free();
  } else {
    const { shape } = node.outputs[0]!;
    // .grad may be scaled in place: it must not share memory with another gradient.
    const shared = dy.storage.handles > 1;
    const own = !linked && shared ? algebra.copy(dy) : linkedAlias(dy, linked);
    node.grad = show(own.shape) === show(shape) ? own : alias(own, shape);
  }
}

function seed(
  op: string,
  y: Tensor,
  given: Tensor | null | undefined,
): { node: GraphNode; output: number; dy: Tensor } {
  if (!y.node)
    throw new Error(
      `${op}: this tensor was not made from one that requires a gradient; call requiresGrad_() on the leaf, outside noGrad()`,
    );
  if (given) {
    if (show(given.shape) !== show(y.shape))
      throw new Error(`${op}: expected a gradient of shape ${show(y.shape)}, got ${show(given.shape)}`);
    if (given.dtype !== y.dtype) throw new Error(`${op}: expected a gradient of dtype ${y.dtype}, got ${given.dtype}`);
  } else if (y.size !== 1) {
    throw new Error(
      `${op}: expected one element to start from, got ${show(y.shape)}; reduce it with sum() or mean(), or pass a gradient`,
    );
  }
  const dy = given ? linkedAlias(given, true) : algebra.fill(y.shape, 1, y.dtype);
  return { node: y.node, output: y.output, dy };
}

/** Options of backward. */
export interface BackwardOptions {
  /** Gradient of something with respect to this tensor; default 1 for one element. */
  gradient?: Tensor;
  /** Keep the graph, so that backward can run again. Default: as createGraph. */
  retainGraph?: boolean;
  /** Record the gradients themselves, for second derivatives. Default false. */
  createGraph?: boolean;
}

/**
 * Adds d y / d leaf to `.grad` of every leaf that y was made from, and gives the graph's memory back. x.backward() is this
 * function as a method.
 *
 * @throws Error where y has several elements and no `gradient` is given, requires no gradient, or a value that a gradient
 * needs was changed in place
 * @example
 * const w = tensor([1, 2], { requiresGrad: true });
 * backward(w.mul(w).sum());
 * await w.grad?.toArray(); // [2, 4]
 */
export function backward(
  y: Tensor,
  { gradient, createGraph = false, retainGraph = createGraph }: BackwardOptions = {},
): void {
  unscoped(() =>
    withGrad(createGraph, "backward", () => {
      walk([seed("backward", y, gradient)], { retainGraph, createGraph, capture: null });
    }),
  );
  safePoint();
}

/** Options of grad. */
export interface GradOptions {
  /** Gradient of something with respect to each output, of its shape. Default 1 for outputs of one element. */
  gradOutputs?: (Tensor | null)[];
  /** Keep the graph, so that it can be walked again. Default: as createGraph. */
  retainGraph?: boolean;
  /** Record the gradients themselves, for second derivatives. Default false. */
  createGraph?: boolean;
  /** Answer null for an input that the outputs do not depend on, instead of an error. Default false. */
  allowUnused?: boolean;
}

/**
 * Gradients of the outputs (their sum) with respect to `inputs`, without touching `.grad`: one an input, of its shape.
 *
 * @throws Error where an input requires no gradient, or the outputs do not depend on it and `allowUnused` is not set
 * @example
 * const x = tensor([3], { requiresGrad: true });
 * const [dx] = grad(x.mul(x).sum(), [x], { createGraph: true });
 * const [second] = grad(dx.sum(), [x]); // 2
 */
export function grad(
  outputs: Tensor | Tensor[],
  inputs: Tensor[],
  options: GradOptions & { allowUnused: true },
): (Tensor | null)[];
export function grad(outputs: Tensor | Tensor[], inputs: Tensor[], options?: GradOptions): Tensor[];
export function grad(
  outputs: Tensor | Tensor[],
  inputs: Tensor[],
  { gradOutputs = [], createGraph = false, retainGraph = createGraph, allowUnused = false }: GradOptions = {},
): (Tensor | null)[] {
  const capture: NonNullable<Walk["capture"]> = new Map();
  const places = inputs.map((x, at) => {
    if (!x.node)
      throw new Error(
        `grad: input ${at} ${show(x.shape)} does not require a gradient; call requiresGrad_() on it first`,
      );
    let slots = capture.get(x.node);
    if (!slots) capture.set(x.node, (slots = new Map()));
    if (!slots.has(x.output)) slots.set(x.output, at);
    return slots.get(x.output)!;
  });
  const list = Array.isArray(outputs) ? outputs : [outputs];
  const found = unscoped(() =>
    withGrad(createGraph, "grad", () =>
      walk(
        list.map((y, i) => seed("grad", y, gradOutputs[i])),
        { retainGraph, createGraph, capture },
      ),
    ),
  );
  for (const g of found) if (g) adopt(g); // they belong to the scope of whoever asked, as results of ops do
  return places.map((place, at) => {
    const g = found[place] ?? null;
    if (!g && !allowUnused)
      throw new Error(
        `grad: the outputs do not depend on input ${at} ${show(inputs[at]!.shape)}; pass { allowUnused: true } to get null`,
      );
    return g && place !== at ? linkedAlias(g, createGraph) : g;
  });
}

// ---- Parts of the graph (nn.checkpoint)

/** @internal The nodes from `start` on that made `outputs`, and the (node, output) pairs before it that they lead to. */
export function graphSince(outputs: readonly Tensor[], start: number): { nodes: GraphNode[]; edges: Edge[] } {
  const nodes = new Set<GraphNode>();
  const edges: Edge[] = [];
  const visit = (edge: Edge | null) => {
    if (!edge) return;
    if (edge.node.id >= start)
      nodes.add(edge.node); // a set's iteration meets what is added to it
    else if (!edges.some((e) => e.node === edge.node && e.output === edge.output)) edges.push(edge);
  };
  for (const y of outputs) visit(edgeOf(y));
  for (const node of nodes) node.edges.forEach(visit);
  return { nodes: [...nodes], edges };
}

/** @internal The gradients that arrive at `edges`, all before `start`, from those of outputs made since; null: none. */
export function gradsBefore(
  outputs: readonly Tensor[],
  dys: readonly (Tensor | null)[],
  edges: readonly Edge[],
  start: number,
  createGraph: boolean,
): (Tensor | null)[] {
  const capture: NonNullable<Walk["capture"]> = new Map();
  edges.forEach(({ node, output }, at) => {
    if (!capture.has(node)) capture.set(node, new Map());
    capture.get(node)!.set(output, at);
  });
  const roots = outputs.flatMap((y, i) => (dys[i] && y.node ? [seed("checkpoint", y, dys[i])] : []));
  const found = withGrad(createGraph, "checkpoint", () =>
    walk(roots, { retainGraph: createGraph, createGraph, capture, until: start }),
  );
  return edges.map((_, at) => found[at] ?? null);
}

// ---- On tensors

declare module "./tensor.js" {
  interface Tensor {
    /** Whether backward gives this tensor, or what it was made from, a gradient. */
    readonly requiresGrad: boolean;
    /** The gradient that backward() added up here; null before, and on tensors that are no leaves. */
    grad: Tensor | null;
    /** Makes this tensor a leaf with a gradient (or, with false, takes it out of the graph). Floats only. */
    requiresGrad_(on?: boolean): this;
    /** The same values, outside the graph; memory is shared. */
    detach(): Tensor;
    /** Adds the gradients of this tensor to `.grad` of its leaves. */
    backward(options?: BackwardOptions): void;
    /** Calls `hook(dy)` when the gradient of this tensor is known; a tensor it returns replaces it. Answers a remover. */
    registerHook(hook: GradientHook): () => void;
    /** Keeps `.grad` of a tensor that is no leaf. */
    retainGrad(): this;
    /** Whether no op made this tensor: leaves that require a gradient keep it in `.grad`, as in PyTorch. */
    readonly isLeaf: boolean;
  }
}

function expectNode(op: string, t: Tensor): GraphNode {
  if (!t.node) throw new Error(`${op}: this tensor does not require a gradient; call requiresGrad_() on it first`);
  return t.node;
}

Object.defineProperty(Tensor.prototype, "requiresGrad", {
  get(this: Tensor) {
    return this.node !== null;
  },
});
Object.defineProperty(Tensor.prototype, "isLeaf", {
  get(this: Tensor) {
    return this.node === null || this.node instanceof Leaf;
  },
});
Object.defineProperty(Tensor.prototype, "grad", {
  get(this: Tensor) {
    return this.node?.keepsGrad ? this.node.grad : null;
  },
  set(this: Tensor, g: Tensor | null) {
    const node = expectNode("grad", this);
    if (g && (show(g.shape) !== show(this.shape) || g.dtype !== this.dtype)) {
      throw new Error(`grad: expected ${this.dtype} ${show(this.shape)}, got ${g.dtype} ${show(g.shape)}`);
    }
    if (g === null) currentRecording()?.cleared.add(node);
    if (node.grad !== g) node.grad?.free();
    node.grad = g;
  },
});

Tensor.prototype.requiresGrad_ = function (on = true) {
  if (on && this.dtype !== "float32" && this.dtype !== "float64") {
    throw new TypeError(`requiresGrad_: expected float32 or float64, got ${this.dtype}; only floats have gradients`);
  }
  if (on && !this.node) this.node = new Leaf(this);
  if (!on) {
    if (this.node && !(this.node instanceof Leaf))
      throw new Error("requiresGrad_(false): this tensor was made by an op; use detach()");
    this.node = null;
  }
  return this;
};
Tensor.prototype.detach = function () {
  return alias(this);
};
Tensor.prototype.backward = function (options) {
  backward(this, options);
};
Tensor.prototype.registerHook = function (hook) {
  const node = expectNode("registerHook", this);
  node.hooks ??= new Map();
  const { output } = this;
  node.hooks.set(output, [...(node.hooks.get(output) ?? []), hook]);
  return () => {
    node.hooks!.set(
      output,
      node.hooks!.get(output)!.filter((h) => h !== hook),
    );
  };
};
Tensor.prototype.retainGrad = function () {
  const node = expectNode("retainGrad", this);
  if (node.outputs.length > 1) throw new Error("retainGrad: this op has several outputs; use registerHook()");
  node.keepsGrad = true;
  return this;
};

/** What customFunction makes an op of. */
export interface CustomFunction<A extends unknown[]> {
  /** For error messages. Default "customFunction". */
  name?: string;
  /** Computes the result of the arguments, tensors and others. What backward needs goes through `ctx.save()`. */
  forward: (ctx: { save(...tensors: Tensor[]): void }, ...args: A) => Tensor;
  /** One gradient, or null, for each argument that is a tensor, from `dy`, that of the result, of the result's shape. */
  backward: (ctx: { saved: Tensor[] }, dy: Tensor) => (Tensor | null)[];
}

/**
 * An op of the user's own: `forward` computes on plain tensors (nothing inside is recorded), `backward` gets the gradient
 * of the output and what forward saved, and answers one gradient (or null) an input.
 *
 * @example
 * const double = customFunction({
 *   forward: (ctx, x: Tensor) => x.mul(2),
 *   backward: (ctx, dy) => [dy.mul(2)],
 * });
 */
export function customFunction<A extends unknown[]>(definition: CustomFunction<A>): (...args: A) => Tensor {
  const name = definition.name ?? "customFunction";
  return (...args) => {
    const saved: Tensor[] = [];
    let y = noGrad(() => definition.forward({ save: (...tensors) => void saved.push(...tensors) }, ...args));
    if (args.includes(y)) y = alias(y);
    const inputs = args.flatMap((a) => (a instanceof Tensor ? [a] : []));
    const named = <T>(list: T[], prefix: string): Record<string, T> =>
      Object.fromEntries(list.map((t, i) => [`${prefix}${i}`, t]));
    return record(y, name, named(inputs, "input"), named(saved, "saved"), (dy, s) => {
      const dxs = definition.backward({ saved: Object.values(s) as Tensor[] }, dy);
      if (dxs.length !== inputs.length)
        throw new Error(`${name}: backward must give ${inputs.length} gradients (or null), gave ${dxs.length}`);
      return named(
        dxs.map((dx) => (dx ? () => linkedAlias(dx, isGradEnabled()) : null)),
        "input",
      ) as Record<string, (() => Tensor) | null>;
    });
  };
}
