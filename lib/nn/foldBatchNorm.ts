/**
 * Batch normalisation folded into the layer before it, for inference. With fixed statistics it scales and shifts each
 * channel, which the layer's weight and bias take in:
 *
 *     bn(conv(x; w, b)) = conv(x; s w, s (b - mean) + beta),    s = gamma / sqrt(variance + eps)
 *
 * so that its pass over memory is saved. Which normalisation belongs to which layer is seen in one run of the model.
 */
import { expect, show } from "../errors.js";
import { noGrad } from "../graph.js";
import { scope, unscoped } from "../memory.js";
import { bindKernels, observers } from "../native.js";
import { add, mul, sub } from "../ops/arithmetic.js";
import { relu, rsqrt } from "../ops/elementwise.js";
import { fuse } from "../ops/fuse.js";
import { clamp_ } from "../ops/inplace.js";
import { reshape } from "../ops/shape.js";
import { type Storage, Tensor } from "../tensor.js";
import { ReLU } from "./activation.js";
import { Conv1d, Conv2d, Conv3d } from "./conv.js";
import { Linear } from "./linear.js";
import type { Module } from "./module.js";
import { BatchNorm1d, BatchNorm2d, BatchNorm3d, type BatchNormTail } from "./norm.js";

type Layer = Conv1d | Conv2d | Conv3d | Linear;
type Norm = BatchNorm1d | BatchNorm2d | BatchNorm3d;
type Inputs<M extends Module> = Parameters<M["forward"]>;

// Of these classes themselves: a subclass may do more in its forward.
const LAYERS: readonly unknown[] = [Conv1d, Conv2d, Conv3d, Linear];
const NORMS: readonly unknown[] = [BatchNorm1d, BatchNorm2d, BatchNorm3d];
const isLayer = (m: Module): m is Layer => LAYERS.includes(m.constructor);
const isNorm = (m: Module): m is Norm =>
  NORMS.includes(m.constructor) && !m.training && (m as Norm).runningMean !== null;

/** A normalisation that runs no more. */
export interface FoldedNorm {
  /** The layer that took it in, by its dotted name. */
  layer: string;
  /** Its own dotted name. */
  norm: string;
  /** The ReLU module behind it that runs with the layer, if there is one. */
  relu: string | null;
}

/** What foldBatchNorm() answers: the model's forward, with fewer passes. */
export interface FoldedForward<M extends Module> {
  /**
   * As model.forward(...inputs). Gradients go through it to what was not folded.
   *
   * @throws Error where a weight, a statistic or a hook of what was folded has changed since, or the model is in training mode
   */
  (...inputs: Inputs<M>): ReturnType<M["forward"]>;
  /** In the order in which they run. */
  readonly folded: readonly FoldedNorm[];
}

// ---- One run, watched

/** The single call of a module: memory that its input, its output and the branch added to it stand in. */
interface Visit {
  x: Storage | undefined;
  y: Storage | undefined;
  residual: Storage | undefined;
  activation: "relu" | null;
  ndim: number;
}
interface Traced {
  /** Modules that were called once, in that order. */
  visits: Map<Module, Visit>;
  /** Who read or wrote a tensor's memory; null: none of the watched modules. */
  users: Map<Storage, Set<Module | null>>;
}

const storageOf = (value: unknown): Storage | undefined => (value instanceof Tensor ? value.storage : undefined);
const isPlain = (value: unknown): value is object =>
  Array.isArray(value) ||
  (typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype);
const tensorsOf = (value: unknown): Tensor[] =>
  value instanceof Tensor ? [value] : isPlain(value) ? Object.values(value).flatMap(tensorsOf) : [];

function trace<M extends Module>(model: M, watched: readonly Module[], inputs: Inputs<M>): Traced {
  const visits = new Map<Module, Visit>();
  const users: Traced["users"] = new Map();
  const repeated = new Set<Module>();
  let current: Module | null = null;
  const use = (storage: Storage, by: Module | null) => users.set(storage, (users.get(storage) ?? new Set()).add(by));
  const observe = (_: string, args: readonly unknown[]): void => {
    for (const t of args.flatMap((a) => (Array.isArray(a) ? a : [a]))) if (t instanceof Tensor) use(t.storage, current);
  };
  for (const m of watched) {
    override(m, (...given: unknown[]) => {
      if (visits.has(m)) repeated.add(m);
      const outer = current;
      current = m;
      try {
        const y = (Object.getPrototypeOf(m).forward as (...x: unknown[]) => Tensor).apply(m, given);
        const [x, tail] = given as [Tensor, BatchNormTail | undefined];
        visits.set(m, {
          x: storageOf(x),
          y: storageOf(y),
          residual: storageOf(tail?.residual),
          activation: tail?.activation ?? null,
          ndim: y.ndim,
        });
        return y;
      } finally {
        current = outer;
      }
    });
  }
  observers.push(observe);
  bindKernels();
  try {
    scope(() =>
      noGrad(() => {
        const result = (model.forward as (...x: unknown[]) => unknown)(...inputs);
        for (const t of tensorsOf(result)) use(t.storage, null);
      }),
    );
  } finally {
    observers.splice(observers.indexOf(observe), 1);
    bindKernels();
    for (const m of watched) restore(m);
  }
  for (const m of repeated) visits.delete(m);
  return { visits, users };
}

/** Gives the module a forward of its own. */
const override = (m: Module, forward: (...inputs: never[]) => unknown): void =>
  void Object.defineProperty(m, "forward", { value: forward, configurable: true, writable: true, enumerable: false });
const restore = (m: Module): void => void Reflect.deleteProperty(m, "forward");

interface Pair {
  layer: Layer;
  norm: Norm;
  relu: ReLU | null;
  /** Whether the layer's own pass makes the relu. */
  rectifies: boolean;
}

/** Each normalisation whose input is what a layer made and nobody else sees. */
function pairsOf({ visits, users }: Traced): Pair[] {
  const madeBy = new Map([...visits].map(([m, { y }]) => [y, m]));
  const readBy = new Map([...visits].map(([m, { x }]) => [x, m]));
  /** The module that alone reads what `m` made. */
  const follower = (m: Module): Module | undefined => {
    const y = visits.get(m)?.y;
    const next = readBy.get(y);
    const seen = y && users.get(y);
    return next && seen && [...seen].every((by) => by === m || by === next) ? next : undefined;
  };
  const pairs: Pair[] = [];
  for (const [norm, { x, residual, activation, ndim }] of visits) {
    const layer = madeBy.get(x);
    if (!isNorm(norm) || !layer || !isLayer(layer) || follower(layer) !== norm || residual === x) continue;
    if (layer instanceof Linear && ndim !== 2) continue; // [n, c, l]: its features are the last axis, not the channels
    const next = follower(norm);
    const relu = next instanceof ReLU ? next : null;
    const able = layer instanceof Conv2d || layer instanceof Linear;
    pairs.push({ layer, norm, relu, rectifies: able && !residual && (relu !== null || activation === "relu") });
  }
  return pairs;
}

// ---- The folded model

const withResidual = fuse((y, residual) => y.add(residual));
const withResidualAndRelu = fuse((y, residual) => y.add(residual).relu());

/** What a normalisation's forward was asked to do behind it. y is nobody else's, so relu writes in its place. */
function finish(y: Tensor, { residual, activation }: BatchNormTail): Tensor {
  if (residual) return (activation ? withResidualAndRelu : withResidual)(y, residual);
  if (!activation) return y;
  return y.node ? relu(y) : clamp_(y, 0);
}

/** [weight, bias] of the layer with the normalisation in it. */
function foldedWeights(layer: Layer, norm: Norm): [weight: Tensor, bias: Tensor] {
  const { runningMean: mean, runningVar: variance, weight: gamma, bias: beta, eps } = norm;
  return unscoped(() =>
    noGrad(() =>
      scope(() => {
        const rstd = rsqrt(add(variance!, eps));
        const scale = gamma ? mul(gamma, rstd) : rstd;
        const shift = mul(layer.bias ? sub(layer.bias, mean!) : mul(mean!, -1), scale);
        const { weight } = layer;
        const along = weight.shape.map((extent, axis) => (axis === 0 ? extent : 1));
        return [mul(weight, reshape(scale, along)), beta ? add(shift, beta) : shift] as [Tensor, Tensor];
      }),
    ),
  );
}

/**
 * The model's forward for inference, each batch normalisation with running statistics folded into the convolution
 * (Conv1d, Conv2d, Conv3d) or Linear before it, as torch.nn.utils.fusion does for a pair and torch.fx's fuse for a model. A
 * run on `example` shows which follow which: those are folded whose layer's output nobody else uses, in models of any
 * shape; a ReLU module behind one goes along. Modules with hooks, shared ones and subclasses stay as they are.
 *
 * The model itself is not changed; the folded weights are a copy, made now, and a change of what they were made from is an
 * error. The result has the model's values up to rounding, and can be captured.
 *
 * @param model in evaluation mode
 * @param example inputs of its forward; of a batch one picture is enough
 * @throws Error where the model is in training mode
 * @example
 * const model = new nn.Sequential(new nn.Conv2d(3, 8, 3), new nn.BatchNorm2d(8), new nn.ReLU()).eval();
 * const predict = nn.foldBatchNorm(model, zeros([1, 3, 8, 8]));
 * const y = noGrad(() => predict(randn([4, 3, 8, 8]))); // as model.forward(), in one pass less
 */
export function foldBatchNorm<M extends Module>(model: M, ...example: Inputs<M>): FoldedForward<M> {
  const names = new Map(model.namedModules().map(([name, m]) => [m, name]));
  const expectEval = (modules: Iterable<Module>) => {
    const training = [...modules].find((m) => m.training);
    const got = training && `${names.get(training) || "the model"} (${training.constructor.name}) in training mode`;
    expect(!training, "foldBatchNorm", "a model in evaluation mode (call model.eval())", `${got}`);
  };
  expectEval(names.keys());
  const untouched = (m: Module) => !Object.hasOwn(m, "forward");
  const plainWeight = (m: Module) => Object.hasOwn(Object.getOwnPropertyDescriptor(m, "weight") ?? {}, "value");
  const watched = [...names.keys()].filter(
    (m) => untouched(m) && ((isLayer(m) && plainWeight(m)) || isNorm(m) || m.constructor === ReLU),
  );
  const pairs = pairsOf(trace(model, watched, example)).map(({ layer, norm, relu, rectifies }) => {
    const from = [layer.weight, layer.bias, norm.weight, norm.bias, norm.runningMean, norm.runningVar];
    const sources = from.flatMap((t) => (t ? [{ t, storage: t.storage, version: t.storage.version }] : []));
    return { layer, norm, relu, rectifies, sources, folded: foldedWeights(layer, norm) };
  });

  const enter = ({ layer, norm, relu, rectifies, folded }: (typeof pairs)[number]) => {
    const own = { weight: layer.weight, bias: layer.bias };
    Object.assign(layer, { weight: folded[0], bias: folded[1] });
    const also: BatchNormTail = relu ? { activation: "relu" } : {};
    if (rectifies) {
      const { forward } = Object.getPrototypeOf(layer) as Conv2d | Linear;
      override(layer, (x: Tensor) => forward.call(layer as never, x, { activation: "relu" }));
    }
    override(norm, (y: Tensor, tail: BatchNormTail = {}) => {
      if (!rectifies) return finish(y, { ...tail, ...also });
      if (!tail.residual && (relu || tail.activation === "relu")) return y;
      throw new Error(
        `foldBatchNorm: ${names.get(norm)} is called otherwise than for the example (with a residual or without relu); fold the model anew`,
      );
    });
    if (relu) override(relu, (y: Tensor) => y);
    return () => {
      Object.assign(layer, own);
      if (rectifies) restore(layer);
      restore(norm);
      if (relu) restore(relu);
    };
  };
  const predict = (...inputs: Inputs<M>) => {
    expectEval(pairs.map(({ norm }) => norm));
    for (const { layer, norm, relu, sources } of pairs) {
      const changed = sources.find(({ t, storage, version }) => t.storage !== storage || storage.version !== version);
      const hooked = [layer, norm, ...(relu ? [relu] : [])].some((m) => !untouched(m));
      if (!changed && !hooked) continue;
      const what = changed ? `a tensor ${show(changed.t.shape)}` : "a hook";
      throw new Error(
        `foldBatchNorm: ${what} of ${names.get(layer)} or ${names.get(norm)} has changed since they were folded; fold the model anew`,
      );
    }
    const leave: (() => void)[] = [];
    try {
      for (const pair of pairs) leave.push(enter(pair));
      return (model.forward as (...x: Inputs<M>) => ReturnType<M["forward"]>)(...inputs);
    } finally {
      for (const undo of leave) undo();
    }
  };
  const folded = pairs.map(({ layer, norm, relu }) => ({
    layer: names.get(layer)!,
    norm: names.get(norm)!,
    relu: relu && names.get(relu)!,
  }));
  return Object.defineProperties(predict, { folded: { value: folded } }) as FoldedForward<M>;
}
