/**
 * Modules as scopes: while somebody watches the calls of this thread (lib/watch.ts), the forward of every class of modules
 * says which module it is for. Otherwise the classes are as they were written.
 *
 * A module is named by its path in the module that was called first ("layers.0.conv"), which has the name of its class.
 * Where there are several such roots, the paths of all but the first begin with the name of theirs ("Critic.head").
 */
import { enterScope, leaveScope, onWatch, scopeAt, scopeNumber, watch } from "../watch.js";
import type { Module } from "./module.js";

type Forward = (this: Module, ...inputs: unknown[]) => unknown;

const prototypes = new Set<object>(); // that have a forward of their own
const known = new WeakSet<object>();
let undo: (() => void)[] = [];

/** Called with the prototype of each module that is made. */
export function noteForward(prototype: object): void {
  if (known.has(prototype)) return;
  for (let p = prototype; !known.has(p) && p !== Object.prototype; p = Object.getPrototypeOf(p)) {
    known.add(p);
    if (!Object.hasOwn(p, "forward")) continue;
    prototypes.add(p);
    if (watch.on) wrap(p);
  }
}

let current: Module | null = null;

function wrap(prototype: object): void {
  const own = Object.getOwnPropertyDescriptor(prototype, "forward")!;
  const forward = own.value as Forward;
  if (typeof forward !== "function") return;
  const value: Forward = function (...inputs) {
    // super.forward() is the same call.
    if (!watch.on || current === this) return forward.apply(this, inputs);
    const outer = current;
    const before = enterScope(scopeOf(this));
    current = this;
    try {
      return forward.apply(this, inputs);
    } finally {
      current = outer;
      leaveScope(before);
    }
  };
  Object.defineProperty(prototype, "forward", { ...own, value });
  undo.push(() => Object.defineProperty(prototype, "forward", own));
}

// ---- Names

let numbers = new WeakMap<Module, number>();
let taken = new Set<string>();
let first = true;

onWatch.push((on) => {
  if (on) {
    [numbers, taken, first] = [new WeakMap(), new Set(), true];
    for (const p of prototypes) wrap(p);
  } else {
    for (const restore of undo) restore();
    undo = [];
  }
});

function scopeOf(m: Module): number {
  return numbers.get(m) ?? nameModules(m, watch.tag >> 1);
}

/**
 * Names a module and all inside it that have no name yet; answers the module's scope. `outer`: the scope that it was
 * called in, 0 for none.
 */
export function nameModules(root: Module, outer = 0): number {
  const type = root.constructor.name;
  const around = outer > 0 && scopeAt(outer).type !== "" ? outer : 0;
  // A module that another one calls without having it as a property.
  const own =
    around === 0
      ? type
      : scopeAt(scopeAt(around).parent).type === ""
        ? `(${type})`
        : `${scopeAt(around).name}.(${type})`;
  let name = own;
  for (let i = 2; taken.has(name); i++) name = `${own}#${i}`;
  const plain = first && around === 0;
  first = false;
  const byPath = new Map<string, number>();
  for (const [path, m] of root.namedModules()) {
    const dot = path.lastIndexOf(".");
    const parent = path === "" ? around : (byPath.get(dot < 0 ? "" : path.slice(0, dot)) ?? byPath.get("")!);
    const full = path === "" ? name : plain ? path : `${name}.${path}`;
    byPath.set(path, numbers.get(m) ?? scopeNumber(full, m.constructor.name, parent));
    taken.add(full);
    if (!numbers.has(m)) numbers.set(m, byPath.get(path)!);
  }
  return numbers.get(root)!;
}
