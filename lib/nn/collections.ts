/**
 * Modules and parameters in named or numbered collections: ModuleDict, ParameterList, ParameterDict. Their state-dict keys are
 * the names or positions.
 */
import { expect } from "../errors.js";
import { type Layer, Module } from "./module.js";
import { Parameter } from "./parameter.js";

/** A name under which an own property of a module can stand. */
function checkName(op: string, module: Module, name: string): void {
  const ok = typeof name === "string" && name.length > 0 && !name.includes(".");
  expect(ok, op, "a name that is not empty and has no dot", JSON.stringify(name));
  const free = name !== "training" && !(name in Object.getPrototypeOf(module));
  expect(free, op, "a name that no property of modules has", JSON.stringify(name));
}

abstract class Dictionary<V extends Module | Parameter> extends Module implements Iterable<[string, V]> {
  #names: string[] = [];

  /**
   * Adds the entries in the order in which they come.
   *
   * @param entries an object, or pairs [name, value]; a name may not be empty, have a dot or be that of a property of
   * modules
   */
  constructor(entries: Iterable<readonly [string, V]> | Readonly<Record<string, V>> = []) {
    super();
    const list = Symbol.iterator in entries ? entries : Object.entries(entries);
    for (const [name, value] of list as Iterable<readonly [string, V]>) this.set(name, value);
  }

  protected abstract check(value: V): void;

  /** Number of entries. */
  get size(): number {
    return this.#names.length;
  }

  /** Whether there is an entry of that name. */
  has(name: string): boolean {
    return this.#names.includes(name);
  }

  /** The entry of that name; an error names those that there are. */
  get(name: string): V {
    expect(this.has(name), this.constructor.name, `one of ${this.#names.join(", ")}`, JSON.stringify(name));
    return (this as unknown as Record<string, V>)[name]!;
  }

  /** Adds an entry, or replaces the one of that name. */
  set(name: string, value: V): this {
    checkName(this.constructor.name, this, name);
    this.check(value);
    if (!this.has(name)) this.#names.push(name);
    (this as unknown as Record<string, V>)[name] = value;
    return this;
  }

  /** Takes an entry out. Answers whether it was there. */
  delete(name: string): boolean {
    if (!this.has(name)) return false;
    this.#names.splice(this.#names.indexOf(name), 1);
    return Reflect.deleteProperty(this, name);
  }

  /** The names, in the order in which they were added. */
  keys(): string[] {
    return [...this.#names];
  }

  /** The entries, in the order in which they were added. */
  values(): V[] {
    return this.#names.map((name) => this.get(name));
  }

  /** Pairs [name, entry], in the order in which they were added. */
  entries(): [string, V][] {
    return this.#names.map((name) => [name, this.get(name)]);
  }

  /** Over the pairs [name, entry], as a Map's. */
  [Symbol.iterator](): IterableIterator<[string, V]> {
    return this.entries()[Symbol.iterator]();
  }
}

/**
 * Modules by name, in the order they were added; called by whoever holds it.
 *
 * @example
 * const heads = new nn.ModuleDict({ age: new nn.Linear(8, 1), kind: new nn.Linear(8, 5) });
 * const y = heads.get("kind").forward(zeros([2, 8])); // [2, 5]
 */
export class ModuleDict<M extends Module = Layer> extends Dictionary<M> {
  protected check(value: M): void {
    expect(value instanceof Module, "ModuleDict", "modules", typeof value);
  }
  /** Throws: a dictionary has no order of calls. */
  forward(): never {
    throw new Error("ModuleDict: a dictionary has no forward of its own; call its modules");
  }
}

/** Parameters by name, in the order they were added. */
export class ParameterDict extends Dictionary<Parameter> {
  protected check(value: Parameter): void {
    expect(value instanceof Parameter, "ParameterDict", "parameters (new nn.Parameter(tensor))", typeof value);
  }
  /** Throws: a dictionary has nothing to call. */
  forward(): never {
    throw new Error("ParameterDict: a dictionary has no forward of its own; use its parameters");
  }
}

/** Parameters in a list. */
export class ParameterList extends Module implements Iterable<Parameter> {
  #count = 0;

  /**
   * Adds the entries in the order in which they come.
   *
   * @param parameters in the order of their keys "0", "1", ...
   */
  constructor(parameters: Iterable<Parameter> = []) {
    super();
    for (const p of parameters) this.append(p);
  }

  /** Number of parameters. */
  get length(): number {
    return this.#count;
  }

  #place(p: Parameter, at: number): void {
    expect(p instanceof Parameter, "ParameterList", "parameters (new nn.Parameter(tensor))", typeof p);
    (this as unknown as Record<number, Parameter>)[at] = p;
  }

  #position(index: number): number {
    const at = index < 0 ? index + this.#count : index;
    const inside = Number.isInteger(at) && at >= 0 && at < this.#count;
    expect(inside, "ParameterList", `an index from ${-this.#count} to ${this.#count - 1}`, `${index}`);
    return at;
  }

  /** Parameter `index`, from the end where negative. */
  at(index: number): Parameter {
    return (this as unknown as Record<number, Parameter>)[this.#position(index)]!;
  }

  /** Puts `p` in the place of parameter `index`. */
  set(index: number, p: Parameter): this {
    this.#place(p, this.#position(index));
    return this;
  }

  /** Adds a parameter at the end. */
  append(p: Parameter): this {
    this.#place(p, this.#count);
    this.#count++;
    return this;
  }

  /** Over the parameters, in order. */
  *[Symbol.iterator](): IterableIterator<Parameter> {
    for (let i = 0; i < this.#count; i++) yield this.at(i);
  }

  /** Throws: a list of parameters has nothing to call. */
  forward(): never {
    throw new Error("ParameterList: a list has no forward of its own; use its parameters");
  }
}
