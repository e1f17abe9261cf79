/**
 * Module: what has parameters and a forward. Parameters, buffers and modules are found where they stand, as own properties
 * of the object (in the order of their assignment), so a network is an ordinary class:
 *
 *     class Net extends nn.Module {
 *       conv = new nn.Conv2d(1, 32, 3, { padding: 1 });
 *       head = new nn.Linear(32 * 28 * 28, 10);
 *       forward(x: Tensor) {
 *         return this.head.forward(this.conv.forward(x).relu().flatten(1));
 *       }
 *     }
 *
 * State-dict keys are the property names, joined by dots; library modules name them as PyTorch does (running_mean).
 */

import { type Device, dtypeOrDevice } from "../devices.js";
import { show } from "../errors.js";
import { isGradEnabled, noGrad } from "../graph.js";
import { noteChange } from "../live.js";
import { keep, unscoped } from "../memory.js";
import { type DType, FLOATS } from "../native.js";
import { isFloat } from "../ops/common.js";
import { copy_ } from "../ops/inplace.js";
import { alias, isDType, Tensor } from "../tensor.js";
import { type BackwardHook, type BackwardPreHook, type GradientHooks, withGradientHooks } from "./hooks.js";
import { convert, Parameter } from "./parameter.js";
import { noteForward } from "./scopes.js";
import { type SummaryOptions, summarize } from "./summary.js";

/** Tensors by name: what stateDict() gives and safetensors files hold. */
export type StateDict = Record<string, Tensor>;

/** Options of registerBuffer(). */
export interface RegisterOptions {
  /** Name in the state dict. Default: the property's name. */
  key?: string;
  /** Whether the state dict holds it. Default true. */
  persistent?: boolean;
}
interface Registration {
  key: string;
  persistent: boolean;
  buffer: boolean;
}

/** What loadStateDict() did not load, as keys of state dicts. */
export interface LoadResult {
  /** Keys of the module that the state did not have. */
  missing: string[];
  /** Keys of the state that the module does not have. */
  unexpected: string[];
  /** Keys whose shapes differ. */
  mismatched: string[];
}

/** Called after forward with its inputs and its output; what it returns, if anything, replaces the output. */
export type ForwardHook = (module: Module, inputs: readonly unknown[], output: unknown) => unknown;

/** Called before each forward with its inputs; a list that it returns replaces them. */
export type ForwardPreHook = (module: Module, inputs: readonly unknown[]) => readonly unknown[] | undefined;

interface Hooks {
  before: Set<ForwardPreHook>;
  after: Set<ForwardHook>;
  gradients: GradientHooks;
  /** Gives forward() its old form back. */
  unwrap: () => void;
}

const nothing: ReadonlyMap<string, Registration> = new Map();

/**
 * What has parameters and a forward: layers, networks, losses. Parameters, registered buffers and modules that are
 * assigned to its properties are found there.
 *
 * @example
 * class Net extends nn.Module {
 * hidden = new nn.Linear(4, 8);
 * head = new nn.Linear(8, 2);
 * forward(x: Tensor) {
 * return this.head.forward(this.hidden.forward(x).relu());
 * }
 * }
 * const y = new Net().forward(zeros([3, 4])); // [3, 2]
 */
export abstract class Module {
  #training = true;
  #registered: Map<string, Registration> | null = null;
  #hooks: Hooks | null = null;

  /** Subclasses call it before they set a property. */
  constructor() {
    noteForward(new.target.prototype);
  }

  /** The module's output. Called as it is, like any method: there is no separate call that runs hooks. */
  abstract forward(...inputs: never[]): unknown;

  /** Whether forward is for training: dropout drops, batch norm uses the batch. Set by train() and eval(). */
  get training(): boolean {
    return this.#training;
  }
  /** Setting it changes this module alone; train() and eval() its children too. */
  set training(on: boolean) {
    if (on !== this.#training) noteChange();
    this.#training = on;
  }

  /** Assigns a tensor that belongs to the module's state but is not learned: a running mean, a mask. No scope() frees it. */
  registerBuffer(
    property: string,
    t: Tensor | null,
    { key = property, persistent = true }: RegisterOptions = {},
  ): void {
    this.#register(property, { key, persistent, buffer: true });
    (this as Record<string, unknown>)[property] = t && keep(t);
  }

  /** Names a parameter or a module in the state dict other than its property. */
  protected registerKey(property: string, key: string): void {
    this.#register(property, { key, persistent: true, buffer: false });
  }

  #register(property: string, registration: Registration): void {
    this.#registered ??= new Map();
    this.#registered.set(property, registration);
  }

  /** Own parameters, buffers and modules: [key, value, persistent]. */
  *#members(): Generator<[key: string, value: Parameter | Tensor | Module, persistent: boolean]> {
    const registered = this.#registered ?? nothing;
    for (const [property, value] of Object.entries(this)) {
      const known = registered.get(property);
      if (value instanceof Module || value instanceof Parameter || (known?.buffer && value instanceof Tensor)) {
        yield [known?.key ?? property, value, known?.persistent ?? true];
      }
    }
  }

  /** Modules directly inside this one, by name. */
  namedChildren(): [string, Module][] {
    return [...this.#members()].flatMap(([key, value]) =>
      value instanceof Module ? [[key, value] as [string, Module]] : [],
    );
  }

  /** Modules directly inside this one, in the order of their assignment. */
  children(): Module[] {
    return this.namedChildren().map(([, m]) => m);
  }

  /** This module ("") and all inside it, each once, by dotted name. */
  namedModules(prefix = "", seen: Set<Module> = new Set()): [string, Module][] {
    if (seen.has(this)) return [];
    seen.add(this);
    const inside = this.namedChildren().flatMap(([key, m]) =>
      m.namedModules(prefix === "" ? key : `${prefix}.${key}`, seen),
    );
    return [[prefix, this], ...inside];
  }

  /** This module and all inside it, each once, from the outside in. */
  modules(): Module[] {
    return this.namedModules().map(([, m]) => m);
  }

  #named(wanted: (t: Tensor) => boolean): [string, Tensor][] {
    const seen = new Set<Tensor>();
    const found: [string, Tensor][] = [];
    for (const [prefix, m] of this.namedModules()) {
      for (const [key, value] of m.#members()) {
        if (value instanceof Module || seen.has(value) || !wanted(value)) continue;
        seen.add(value);
        found.push([prefix === "" ? key : `${prefix}.${key}`, value]);
      }
    }
    return found;
  }

  /** All parameters, each once, by dotted name. */
  namedParameters(): [string, Parameter][] {
    return this.#named((t) => t instanceof Parameter) as [string, Parameter][];
  }

  /** All parameters, each once: what an optimizer takes. */
  parameters(): Parameter[] {
    return this.namedParameters().map(([, p]) => p);
  }

  /** All buffers, also those that the state dict leaves out, each once, by dotted name. */
  namedBuffers(): [string, Tensor][] {
    return this.#named((t) => !(t instanceof Parameter));
  }

  /** All buffers, also those that the state dict leaves out, each once. */
  buffers(): Tensor[] {
    return this.namedBuffers().map(([, t]) => t);
  }

  /** Sets `training` here and in all modules inside. */
  train(on = true): this {
    for (const m of this.modules()) m.training = on;
    return this;
  }

  /** train(false): for use, not for training. */
  eval(): this {
    return this.train(false);
  }

  /** Calls `fn` with every module inside, and last with this one. */
  apply(fn: (module: Module) => void): this {
    for (const m of this.children()) m.apply(fn);
    fn(this);
    return this;
  }

  /** Takes all parameters into training, or (false) out of it. */
  requiresGrad_(on = true): this {
    for (const p of this.parameters()) {
      if (p.requiresGrad !== on) noteChange();
      p.requiresGrad_(on);
    }
    return this;
  }

  /** Forgets the gradients of all parameters. */
  zeroGrad(): void {
    for (const p of this.parameters()) if (p.requiresGrad) p.grad = null;
  }

  /** Converts parameters and buffers that are floats, or moves them to a device, where they stand: optimizers keep holding the same parameters. */
  to(target: DType | Device): this {
    const dtype = dtypeOrDevice("Module.to", target);
    if (dtype === null) return this;
    if (!isDType(dtype) || !FLOATS.includes(dtype))
      throw new TypeError(`Module.to: expected float32 or float64, got ${JSON.stringify(dtype)}`);
    for (const t of [...this.parameters(), ...this.buffers()]) if (isFloat(t.dtype)) convert(t, dtype);
    return this;
  }

  *#state(prefix = ""): Generator<[string, Tensor]> {
    const inside: [string, Module][] = [];
    for (const [key, value, persistent] of this.#members()) {
      if (value instanceof Module) inside.push([key, value]);
      else if (persistent) yield [prefix + key, value];
    }
    for (const [key, m] of inside) yield* m.#state(`${prefix}${key}.`);
  }

  /**
   * Parameters and buffers by name, under PyTorch's keys. They share memory with the module, as in PyTorch: training on
   * changes them; clone() what must stay.
   */
  stateDict(): StateDict {
    return unscoped(() => Object.fromEntries([...this.#state()].map(([key, t]) => [key, alias(t)])));
  }

  /**
   * Copies a state dict into this module, converting dtypes. With `strict` (default) every key must be there with its shape,
   * and no other: else nothing is loaded and the error lists the differences. Without, whatever fits is loaded.
   *
   * @returns what did not fit
   */
  loadStateDict(state: Readonly<Record<string, Tensor>>, { strict = true }: { strict?: boolean } = {}): LoadResult {
    const own = new Map(this.#state());
    const missing = [...own.keys()].filter((key) => !Object.hasOwn(state, key));
    const unexpected = Object.keys(state).filter((key) => !own.has(key));
    const common = [...own.keys()].filter((key) => Object.hasOwn(state, key));
    const mismatched = common.filter((key) => show(own.get(key)!.shape) !== show(state[key].shape));
    if (strict && missing.length + unexpected.length + mismatched.length > 0) {
      const list = (title: string, keys: string[], line: (key: string) => string) =>
        keys.length === 0 ? "" : `\n  ${title}:${keys.map((key) => `\n    ${line(key)}`).join("")}`;
      throw new Error(
        `loadStateDict: the state does not fit ${this.constructor.name}; nothing was loaded. Pass { strict: false } to load what fits.` +
          list("missing from the state", missing, (key) => `${key} ${show(own.get(key)!.shape)}`) +
          list("unexpected in the state", unexpected, (key) => `${key} ${show(state[key].shape)}`) +
          list(
            "of another shape",
            mismatched,
            (key) => `${key}: expected ${show(own.get(key)!.shape)}, got ${show(state[key].shape)}`,
          ),
      );
    }
    noGrad(() => {
      for (const key of common) if (!mismatched.includes(key)) copy_(own.get(key)!, state[key]);
    });
    return { missing, unexpected, mismatched };
  }

  /** Calls `hook` after each forward of this module. Returns what removes it. */
  registerForwardHook(hook: ForwardHook): () => void {
    return this.#hook(this.#wrapped().after, hook);
  }

  /** Calls `hook` before each forward of this module. Returns what removes it. */
  registerForwardPreHook(hook: ForwardPreHook): () => void {
    return this.#hook(this.#wrapped().before, hook);
  }

  /**
   * Calls `hook(module, gradInputs, gradOutputs)` in backward, when the gradients of this module's inputs are known (where
   * no input has one: when those of its outputs are); gradients that it returns replace those of the inputs. Inputs and
   * outputs are the tensors among forward's arguments, and its result or the elements of the array that it returns. The
   * gradients live as long as the hook runs: clone() one to keep it. Returns what removes the hook.
   */
  registerFullBackwardHook(hook: BackwardHook): () => void {
    return this.#hook(this.#wrapped().gradients.after, hook);
  }

  /** Calls `hook(module, gradOutputs)` in backward before this module's gradients are computed; what it returns replaces them. Returns what removes it. */
  registerFullBackwardPreHook(hook: BackwardPreHook): () => void {
    return this.#hook(this.#wrapped().gradients.before, hook);
  }

  #hook<H>(hooks: Set<H>, hook: H): () => void {
    hooks.add(hook);
    return () => {
      hooks.delete(hook);
      if (!this.#hooks) return;
      const { before, after, gradients, unwrap } = this.#hooks;
      if (before.size + after.size + gradients.before.size + gradients.after.size === 0) unwrap();
    };
  }

  /** Whether hooks are registered on this module itself. */
  get hasHooks(): boolean {
    return this.#hooks !== null;
  }

  // forward() is called as it is, so a module with hooks gets a forward of its own that calls them.
  #wrapped(): Hooks {
    if (this.#hooks) return this.#hooks;
    const own = Object.getOwnPropertyDescriptor(this, "forward");
    // That of the class is looked up at each call: it changes while somebody watches (scopes.ts).
    const plain = () => (own ? own.value : Object.getPrototypeOf(this).forward) as (...inputs: unknown[]) => unknown;
    const unwrap = () => {
      noteChange();
      this.#hooks = null;
      if (own) Object.defineProperty(this, "forward", own);
      else Reflect.deleteProperty(this, "forward");
    };
    const gradients: GradientHooks = { before: new Set(), after: new Set() };
    const hooks: Hooks = { before: new Set(), after: new Set(), gradients, unwrap };
    const value = (...inputs: unknown[]): unknown => {
      let given: readonly unknown[] = inputs;
      for (const hook of [...hooks.before]) given = hook(this, given) ?? given;
      const call = (inputs: readonly unknown[]) => plain().apply(this, [...inputs]);
      const watched = gradients.before.size + gradients.after.size > 0 && isGradEnabled();
      let output = watched ? withGradientHooks(this, gradients, given, call) : call(given);
      for (const hook of [...hooks.after]) output = hook(this, given, output) ?? output;
      return output;
    };
    Object.defineProperty(this, "forward", { value, configurable: true, writable: true, enumerable: false });
    this.#hooks = hooks;
    noteChange();
    return hooks;
  }

  /**
   * A table of the modules inside: output shapes, parameters, FLOPs (of matrix products, convolutions and attention, a
   * multiply-add counts as two), results (bytes of all that forward makes: what training keeps at most), receptive field
   * (pixels of a picture that a place depends on, rows x columns where they differ, without regard to the picture's edge;
   * "all" behind attention, means over the picture and the like) and memory. Runs forward once on zeros, in eval mode,
   * and leaves the module as it was. In shapesOnly() nothing is computed.
   *
   * @param inputShape with the batch: [1, 3, 32, 32]; or the inputs themselves, where forward takes others than one of
   *   floats: the receptive field is that in the first of four dimensions
   * @example
   * const text = new nn.Sequential(new nn.Linear(4, 8), new nn.ReLU()).summary([1, 4]);
   */
  summary(inputShape: readonly number[] | readonly Tensor[], options?: SummaryOptions): string {
    return summarize(this, inputShape, options);
  }

  /** The module's own options, as its constructor takes them: what summary() and printing show. */
  protected describe(): string {
    return "";
  }

  /** A line for each module inside, with its options, as PyTorch prints them. */
  toString(): string {
    const inside = this.namedChildren();
    const name = `${this.constructor.name}(${this.describe()}`;
    if (inside.length === 0) return `${name})`;
    return `${name}\n${inside.map(([key, m]) => `(${key}): ${m}`.replace(/^/gm, "  ")).join("\n")}\n)`;
  }

  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return this.toString();
  }
}

/** A module from one tensor to one tensor. */
export interface Layer extends Module {
  /** The output for x; what shapes go in and come out is the layer's affair. */
  forward(x: Tensor): Tensor;
}
