/**
 * Activation checkpointing (Chen et al. 2016, "Training deep nets with sublinear memory cost"): the values inside a part of
 * a network are forgotten after forward and computed again in backward.
 */
import { gradsBefore, graphSince } from "../autograd.js";
import { show } from "../errors.js";
import { algebra, enableGrad, isGradEnabled, nextNodeId, recordAll } from "../graph.js";
import { type Sync, scope } from "../memory.js";
import { type Draw, defaultGenerator, type Generator } from "../random.js";
import { alias, Tensor } from "../tensor.js";

/** Options of checkpointWith(). */
export interface CheckpointOptions {
  /** Generators that `fn` draws from, beside the default one: they are set back for the second run too. */
  generators?: readonly Generator[];
}

type Outputs = Tensor | Tensor[];

/**
 * fn(...inputs), whose intermediate values are not kept for backward: it runs a second time there, with the same random
 * numbers. Memory of the inside for a third of the time of a training step.
 *
 * Parameters and other tensors that fn uses without getting them as inputs have their gradients too. What fn does beside
 * its result happens twice (batch norm updates its running statistics twice).
 *
 * @param fn a function of tensors that answers a tensor or an array of them; the same ones whenever it is called
 * @example
 * const block = new nn.Sequential(new nn.Linear(8, 64), new nn.GELU(), new nn.Linear(64, 8));
 * const y = nn.checkpoint((x) => block.forward(x), randn([4, 8]));
 * y.sum().backward();
 */
export function checkpoint<Y extends Outputs, X extends readonly (Tensor | null)[]>(
  fn: (...inputs: X) => Y,
  ...inputs: X
): Y {
  return checkpointWith({}, fn, ...inputs);
}

/** checkpoint() with options. */
export function checkpointWith<Y extends Outputs, X extends readonly (Tensor | null)[]>(
  { generators = [] }: CheckpointOptions,
  fn: (...inputs: X) => Y,
  ...inputs: X
): Y {
  if (!isGradEnabled()) return fn(...inputs);
  const drawn = [defaultGenerator, ...generators];
  const states = drawn.map((g) => g.state());
  const start = nextNodeId();
  const made = scope(() => fn(...inputs) as Sync<Y>);
  const outputs: Tensor[] = Array.isArray(made) ? made : [made as Tensor];
  for (const y of outputs)
    if (!(y instanceof Tensor))
      throw new TypeError(`checkpoint: expected fn to answer a tensor or an array of them, got ${typeof y}`);
  const { nodes, edges } = graphSince(outputs, start);
  if (nodes.length === 0) return made;
  const ys = outputs.map((y) => alias(y));
  for (const node of nodes) node.release();
  for (const y of outputs) if (y.node && y.node.id >= start) y.free();
  const saved = Object.fromEntries(inputs.map((x, i) => [`input${i}`, x]));
  // Of an input a record reads the node and the output alone.
  const ends = Object.fromEntries(edges.map((edge, i) => [`edge${i}`, edge as unknown as Tensor]));
  recordAll(ys, "checkpoint", ends, saved, gradients(onSaved(fn), edges, drawn, states));
  return (Array.isArray(made) ? ys : ys[0]) as Y;
}

const onSaved =
  <X extends readonly (Tensor | null)[]>(fn: (...inputs: X) => Outputs) =>
  (saved: Record<string, Tensor | null>) =>
    fn(...(Object.values(saved) as unknown as X));

/** Runs `fn` while the generators stand where they stood before. */
function replay<T>(generators: readonly Generator[], states: readonly Draw[], fn: () => T): T {
  const now = generators.map((g) => g.state());
  for (const [i, g] of generators.entries()) g.load(states[i]!);
  try {
    return fn();
  } finally {
    for (const [i, g] of generators.entries()) g.load(now[i]!);
  }
}

type Edges = ReturnType<typeof graphSince>["edges"];

// A function of its own: the record's closure must not keep the inputs and outputs of the first run.
const gradients =
  (
    again: (saved: Record<string, Tensor | null>) => Outputs,
    edges: Edges,
    generators: readonly Generator[],
    states: readonly Draw[],
  ) =>
  (dys: (Tensor | null)[], saved: Record<string, Tensor | null>) => {
    const createGraph = isGradEnabled();
    let found: (Tensor | null)[] | undefined;
    const run = (): (Tensor | null)[] => {
      const start = nextNodeId();
      const made = enableGrad(() => replay(generators, states, () => again(saved)));
      const outputs = Array.isArray(made) ? made : [made];
      const reached = graphSince(outputs, start).edges;
      const same = reached.length === edges.length && reached.every((e) => edges.some((f) => f.node === e.node));
      const shapes = outputs.map((y) => show(y.shape)).join(" ");
      if (
        !same ||
        outputs.length !== dys.length ||
        dys.some((dy, i) => dy && show(dy.shape) !== show(outputs[i]!.shape))
      )
        throw new Error(
          `checkpoint: expected fn to do the same when it runs again in backward, got outputs ${shapes} made from ` +
            `${reached.length} tensors (before: ${edges.length}); it must not depend on what changes in between`,
        );
      return gradsBefore(outputs, dys, edges, start, createGraph);
    };
    return Object.fromEntries(
      edges.map(({ node, output }, i) => [
        `edge${i}`,
        () => {
          found ??= run();
          const { shape, dtype } = node.outputs[output]!;
          return found[i] ?? algebra.fill(shape, 0, dtype);
        },
      ]),
    );
  };
