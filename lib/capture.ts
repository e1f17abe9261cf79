/**
 * capture(): a training step recorded once and replayed by one native call. JavaScript runs the function to learn its ops,
 * without computing anything; the native side plans the memory of everything that lives within the step and runs the list
 * of kernels. No JavaScript runs an op, nothing is allocated, and the results have the bits of the uncaptured step.
 */

import { show } from "./errors.js";
import { enableGrad, nextNodeId, noGrad } from "./graph.js";
import { changesSoFar, isCapturing, type Recording, recordStep } from "./live.js";
import { collectGarbage, keep, unscoped } from "./memory.js";
import { addon, pacer } from "./native.js";
import { clone } from "./ops/cast.js";
import { copy_ } from "./ops/inplace.js";
import { alias, empty, storagesSoFar, Tensor } from "./tensor.js";

/** Options of capture. */
export interface CaptureOptions {
  /** Calls that run as they are before the first is recorded: what the function makes when first called. Default 1. */
  warmup?: number;
  /**
   * Recordings that are kept: the function is recorded for each combination of shapes, dtypes and plain values among its
   * arguments, and the one not used for longest goes. Default 8.
   */
  maxVariants?: number;
}

/** What a captured step takes, of its last recording. */
export interface CapturedMemory {
  /** Kernels that one call runs. */
  calls: number;
  /** Numbers read again at each call: learning rates, draws. */
  numbers: number;
  /** Bytes of what lives within the step, as planned. */
  plannedBytes: number;
  /** The same bytes if each tensor had memory of its own. */
  unplannedBytes: number;
  /** Bytes of what the step makes and JavaScript keeps: results, gradients. */
  ownBytes: number;
}

/** Tensors alone, or in arrays and plain objects; other values as they are. */
export type CaptureValue =
  | Tensor
  | number
  | string
  | boolean
  | null
  | undefined
  | readonly CaptureValue[]
  | CaptureObject;
interface CaptureObject {
  [name: string]: CaptureValue;
}

/** A function that replays a captured step. */
export interface CapturedStep<A extends readonly unknown[], R> {
  /**
   * Runs one step. The arguments' tensors are copied in, the results' out: they are new tensors, detached. Resolves once
   * at most two steps are still being computed; read values with data() or item() as usual.
   */
  (...args: A): Promise<R>;
  /** Of the last recording; null before there is one. */
  readonly memory: CapturedMemory | null;
  /** Names of the kernels of the last recording, in order. */
  readonly ops: readonly string[];
  /** How many recordings are kept. */
  readonly variants: number;
  /** Gives back all that the recordings hold; the next call records anew. */
  free(): void;
}

// biome-ignore lint/suspicious/noConfusingVoidType: what a function without return answers
type Nothing = undefined | void;

type Leaf = { id: number; grad: Tensor | null };

interface Variant {
  id: number;
  recording: Recording;
  numbers: Float64Array;
  inputs: Tensor[];
  result: unknown;
  gradients: [Leaf, Tensor][];
  changes: number;
}

const isPlain = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype;

/** `value` with each tensor in it replaced by what `fn` answers. */
function mapTensors(value: unknown, fn: (t: Tensor) => unknown): unknown {
  if (value instanceof Tensor) return fn(value);
  if (Array.isArray(value)) return value.map((v) => mapTensors(v, fn));
  if (isPlain(value)) return Object.fromEntries(Object.entries(value).map(([name, v]) => [name, mapTensors(v, fn)]));
  return value;
}

/** What tells one recording from another: shapes, dtypes and values that are no tensors. */
function keyOf(args: readonly unknown[]): string {
  const describe = (value: unknown): unknown => {
    if (value instanceof Tensor) {
      if (value.node)
        throw new Error(
          `capture: expected arguments that require no gradient, got ${value}: they are copied in, and no gradient comes ` +
            "back; pass x.detach(), or make a tensor that the function uses the leaf",
        );
      return `${value.dtype}${show(value.shape)}`;
    }
    if (Array.isArray(value)) return value.map(describe);
    if (isPlain(value)) return Object.entries(value).map(([name, v]) => [name, describe(v)]);
    if (value === null || ["number", "string", "boolean", "undefined"].includes(typeof value))
      return `${typeof value} ${value}`;
    throw new TypeError(
      `capture: expected arguments that are tensors, numbers, strings, booleans, or arrays and plain objects of them, got ${
        typeof value === "object" ? (value?.constructor?.name ?? "an object") : typeof value
      }`,
    );
  };
  return JSON.stringify(args.map(describe));
}

const detached = (t: Tensor): Tensor => (t.node ? alias(t) : t);

/** A function's recordings: what capture() is made of, for code that decides itself when to record. @internal */
export class CapturedSteps<A extends readonly unknown[], R> {
  readonly variants = new Map<string, Variant>();
  /** Numbers of the native steps: what a finalizer frees. */
  readonly ids = new Set<number>();
  last: Variant | null = null;
  private calls = 0;
  private readonly pace = pacer();

  constructor(
    private readonly fn: (...args: A) => R,
    private readonly warmup: number,
    private readonly most: number,
    /** Whether `fn` holds on to nothing and frees all but its answer: then no garbage is looked for when it is recorded. */
    private readonly tidy = false,
  ) {}

  async call(args: A): Promise<R> {
    if (isCapturing()) throw new Error("capture: captured steps cannot be nested; call the plain function inside");
    const key = keyOf(args); // checks them, in the warm-up too
    const result =
      this.calls++ < this.warmup ? this.eager(args) : (unscoped(() => noGrad(() => this.replay(args, key))) as R);
    await this.pace();
    return result;
  }

  private eager(args: A): R {
    const result = this.fn(...args);
    expectValue(result);
    return mapTensors(result, detached) as R;
  }

  /** Records the step for arguments such as these, unless it is recorded; runs nothing. */
  prepare(args: A): void {
    unscoped(() => noGrad(() => this.variant(args, keyOf(args))));
  }

  /** Drops the recording for arguments such as these. */
  forget(args: A): void {
    const key = keyOf(args);
    const variant = this.variants.get(key);
    if (variant) this.drop(key, variant);
  }

  private variant(args: A, key: string): Variant {
    let variant = this.variants.get(key);
    if (variant && (variant.changes !== changesSoFar() || variant.recording.fixed.some((same) => !same()))) {
      this.drop(key, variant);
      variant = undefined;
    }
    variant ??= this.record(args);
    this.variants.delete(key); // the last used is the last in the map
    this.variants.set(key, variant);
    this.last = variant;
    return variant;
  }

  private replay(args: A, key: string): unknown {
    const variant = this.variant(args, key);
    let at = 0;
    mapTensors(args, (t) => copy_(variant.inputs[at++]!, t));
    const { id, recording, numbers, gradients } = variant;
    recording.reads.forEach((read, i) => {
      numbers[i] = read();
    });
    addon.captureReplay(id, numbers);
    for (const [generator, draws] of recording.draws) generator.skip(draws);
    for (const storage of recording.written) storage.version++;
    for (const [leaf, grad] of gradients) if (leaf.grad?.storage !== grad.storage) leaf.grad = alias(grad);
    return mapTensors(variant.result, clone);
  }

  private record(args: A): Variant {
    while (this.variants.size >= this.most) {
      const [key, oldest] = this.variants.entries().next().value!;
      this.drop(key, oldest);
    }
    const inputs: Tensor[] = [];
    const inside = mapTensors(args, (t) => {
      const input = keep(empty(t.shape, t.dtype));
      inputs.push(input);
      return input;
    }) as A;
    const shared = [...this.ids].at(-1) ?? 0;
    const changes = changesSoFar();
    const before = nextNodeId();
    const start = storagesSoFar();
    let id = 0;
    const { result, recording } = recordStep(
      () => {
        const made = enableGrad(() => {
          const value = this.fn(...inside);
          expectValue(value);
          return value as unknown;
        });
        return mapTensors(made, (t) => (this.tidy && !t.node && t.storage.birth > start ? t : alias(t)));
      },
      () => {
        if (!this.tidy) collectGarbage(); // so that the plan knows what nobody holds
        id = addon.captureEnd(shared);
      },
    );
    this.ids.add(id);
    if (changesSoFar() !== changes) {
      this.forgetStep(id);
      throw new Error(
        "capture: the function changed a module's mode or where a tensor's memory is (train(), eval(), to()); " +
          "do that outside",
      );
    }
    const kept = [...recording.leaves].filter((leaf) => leaf.id < before && leaf.grad && !recording.cleared.has(leaf));
    if (kept.length > 0) {
      this.forgetStep(id);
      throw new Error(
        `capture: the function makes gradients of ${kept.length} tensors (one ${show(kept[0]!.grad!.shape)}) that it does ` +
          "not clear, and a second call would add to them; call zeroGrad() for all of them inside the function",
      );
    }
    const gradients = [...recording.leaves].flatMap((leaf) =>
      leaf.grad ? [[leaf, alias(leaf.grad)] as [Leaf, Tensor]] : [],
    );
    const numbers = new Float64Array(recording.reads.length);
    return { id, recording, numbers, inputs, result, gradients, changes };
  }

  private drop(key: string, variant: Variant): void {
    this.variants.delete(key);
    this.forgetStep(variant.id);
    for (const t of [...variant.inputs, ...variant.gradients.map(([, grad]) => grad)]) t.free();
    mapTensors(variant.result, (t) => t.free());
    if (this.last === variant) this.last = null;
  }

  private forgetStep(id: number): void {
    this.ids.delete(id);
    addon.captureFree(id);
  }

  free(): void {
    for (const [key, variant] of this.variants) this.drop(key, variant);
  }
}

function expectValue(result: unknown): void {
  if (typeof (result as { then?: unknown } | null)?.then === "function") {
    throw new TypeError(
      "capture: expected a synchronous function, got one that returns a promise; return tensors and read them after the step",
    );
  }
}

const forgotten = new FinalizationRegistry<Set<number>>((ids) => {
  for (const id of ids) addon.captureFree(id);
});

/**
 * Makes `fn`, usually a whole training step (forward, backward, clipping, optimizer), a step that is recorded at its first
 * call after `warmup` and then replayed natively: the same kernels in the same order with the same bits, without running
 * JavaScript for each, in memory that is planned once.
 *
 * `fn` must be synchronous and must do the same each time: it runs once for each combination of argument shapes and is
 * then never called again. What changes from step to step has to be in tensors that are changed in place (parameters,
 * running statistics, optimizer state are), in the options of an optimizer (a schedule may change them between steps), or
 * in the draws of random ops. Numbers that JavaScript computes, counters, `Math.random()` and branches on values are fixed
 * when the function is recorded; reading a value inside throws. Call optimizer.zeroGrad() inside, not outside. A module's
 * train() or eval(), and to(), make the step record anew.
 *
 * @param fn takes and answers tensors, alone or in arrays and plain objects (other arguments are part of the recording)
 * @throws Error (of the step) where the function reads a value, returns a promise, or replaces a tensor that it read
 * @example
 * const model = new nn.Linear(4, 2);
 * const optimizer = new optim.Adam(model.parameters(), { lr: 1e-3 });
 * const step = capture((x: Tensor, y: Tensor) => {
 *   optimizer.zeroGrad();
 *   const loss = crossEntropy(model.forward(x), y);
 *   loss.backward();
 *   optimizer.step();
 *   return loss;
 * });
 * const loss = await step(randn([8, 4]), tensor([0, 1, 0, 1, 0, 1, 0, 1], { dtype: "int32" }));
 */
export function capture<A extends readonly CaptureValue[], R extends CaptureValue | Nothing>(
  fn: (...args: A) => R,
  { warmup = 1, maxVariants = 8 }: CaptureOptions = {},
): CapturedStep<A, R> {
  if (typeof fn !== "function") throw new TypeError(`capture: expected a function, got ${typeof fn}`);
  for (const [name, value, least] of [
    ["warmup", warmup, 0],
    ["maxVariants", maxVariants, 1],
  ] as const) {
    if (!Number.isSafeInteger(value) || value < least)
      throw new RangeError(`capture: expected ${name} to be an integer from ${least} up, got ${value}`);
  }
  const captured = new CapturedSteps(fn, warmup, maxVariants);
  const step = (...args: A) => captured.call(args);
  forgotten.register(step, captured.ids);
  return Object.defineProperties(step, {
    memory: { get: () => (captured.last ? addon.captureInfo(captured.last.id) : null) },
    ops: { get: () => (captured.last ? addon.captureNames(captured.last.id) : []) },
    variants: { get: () => captured.variants.size },
    free: { value: () => captured.free() },
  }) as CapturedStep<A, R>;
}
