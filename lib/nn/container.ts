/**
 * Modules of modules: Sequential, ModuleList. Their state-dict keys are the positions: "0.weight".
 */
import { expect } from "../errors.js";
import type { Tensor } from "../tensor.js";
import { ReLU } from "./activation.js";
import { Conv2d } from "./conv.js";
import { Linear } from "./linear.js";
import { type Layer, Module } from "./module.js";
import { BatchNorm1d, BatchNorm2d, BatchNorm3d } from "./norm.js";

abstract class Container<M extends Module> extends Module implements Iterable<M> {
  #count = 0;

  protected place(module: M, at = this.#count++): void {
    expect(module instanceof Module, this.constructor.name, "modules", typeof module);
    (this as unknown as Record<number, M>)[at] = module;
  }

  /** Number of modules. */
  get length(): number {
    return this.#count;
  }

  #position(index: number): number {
    const at = index < 0 ? index + this.#count : index;
    expect(
      Number.isInteger(at) && at >= 0 && at < this.#count,
      this.constructor.name,
      `an index from ${-this.#count} to ${this.#count - 1}`,
      `${index}`,
    );
    return at;
  }

  /** Module `index`, from the end where negative. */
  at(index: number): M {
    return (this as unknown as Record<number, M>)[this.#position(index)];
  }

  /** Puts `module` in the place of module `index`. */
  set(index: number, module: M): this {
    this.place(module, this.#position(index));
    return this;
  }

  /** Adds a module at the end. */
  append(module: M): this {
    this.place(module);
    return this;
  }

  /** Over the modules, in order. */
  *[Symbol.iterator](): IterableIterator<M> {
    for (let i = 0; i < this.#count; i++) yield this.at(i);
  }
}

type Rectifying = BatchNorm1d | BatchNorm2d | BatchNorm3d | Conv2d | Linear;
const RECTIFYING: readonly unknown[] = [BatchNorm1d, BatchNorm2d, BatchNorm3d, Conv2d, Linear];
/** Whether a module's forward is its class's own: hooks replace it. */
const untouched = (m: Module): boolean => !Object.hasOwn(m, "forward");
const takesRelu = (m: Module, next: Module | undefined): m is Rectifying =>
  next?.constructor === ReLU && RECTIFYING.includes(m.constructor) && untouched(m) && untouched(next);

/**
 * Layers one after the other. A batch normalisation, Conv2d or Linear with a ReLU behind it runs as one pass, with the same
 * bits, unless one of them has hooks.
 *
 * @example
 * const net = new nn.Sequential(new nn.Linear(4, 8), new nn.ReLU(), new nn.Linear(8, 2));
 * const y = net.forward(zeros([1, 4])); // [1, 2]
 */
export class Sequential extends Container<Layer> {
  /**
   * Adds the modules in the order in which they come.
   *
   * @param layers modules from one tensor to one tensor; none at all is the identity
   */
  constructor(...layers: Layer[]) {
    super();
    for (const layer of layers) this.place(layer);
  }

  /** The output of the last layer; x itself where there is none. */
  forward(x: Tensor): Tensor {
    for (let i = 0; i < this.length; i++) {
      const layer = this.at(i);
      if (i + 1 < this.length && takesRelu(layer, this.at(i + 1))) {
        x = layer.forward(x, { activation: "relu" });
        i++;
      } else x = layer.forward(x);
    }
    return x;
  }
}

/** Modules in a list, called by whoever holds it. */
export class ModuleList<M extends Module = Layer> extends Container<M> {
  /**
   * Adds the modules in the order in which they come.
   *
   * @param modules in the order of their keys "0", "1", ...
   */
  constructor(modules: Iterable<M> = []) {
    super();
    for (const m of modules) this.place(m);
  }

  /** Throws: what the modules are called with is its owner's affair. */
  forward(): never {
    throw new Error("ModuleList: a list has no forward of its own; call its modules, or use Sequential");
  }
}
