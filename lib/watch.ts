/**
 * Where this thread's kernel calls come from, for whoever watches them: a profile, the NaN finder. While nobody does,
 * modules and backward() pay one test each.
 *
 * A scope is a named place, a module or "AdamW.step"; a tag is twice its number, plus one in backward. The addon notes
 * the tag with each call (native/watch.h).
 */
import { noteChange } from "./live.js";
import { addon, bindKernels, type Handled, observers } from "./native.js";

/** What is watched, as the addon has it (Watch::Mode). */
export const TIMES = 1;
export const BAD = 2;
export const INFINITIES = 4;

/** Whether somebody watches, and the tag of what is being called. Read by those who would change it. */
export const watch = { on: false, tag: 0 };

export interface Scope {
  readonly name: string;
  /** The class of the module; "" for what is none. */
  readonly type: string;
  /** The scope around it, 0 for none. */
  readonly parent: number;
}

const scopes: Scope[] = [{ name: "", type: "", parent: 0 }];
const known = new Map<string, number>();

/** The number of a scope; the same for the same name, class and parent. */
export function scopeNumber(name: string, type: string, parent: number): number {
  const key = `${parent}\n${type}\n${name}`;
  let number = known.get(key);
  if (number === undefined) {
    const forward = type === "" ? name : `${name}, forward`;
    known.set(key, (number = addon.scopeName(forward, `${name}, backward`)));
    scopes[number] = { name, type, parent };
  }
  return number;
}

export const scopeAt = (number: number): Scope => scopes[number]!;

/** What a listener hears: a scope opens or closes, backward() begins, comes to a record of the scope, ends. */
export enum Step {
  open,
  close,
  walk,
  at,
  walked,
}
type Listener = (step: Step, tag: number, time: number) => void;
let listener: Listener | null = null;

function move(step: Step, tag: number): void {
  watch.tag = tag;
  const time = addon.enter(tag);
  listener?.(step, tag, time);
}

/** Opens a scope inside the current one, in the same pass; answers the tag for leaveScope(). */
export function enterScope(scope: number): number {
  const before = watch.tag;
  move(Step.open, 2 * scope + (before & 1));
  return before;
}
export const leaveScope = (before: number): void => move(Step.close, before);

/** Runs `fn` in a scope of that name, where somebody watches. */
export function inScope<T>(name: string, fn: () => T): T {
  if (!watch.on) return fn();
  const before = enterScope(scopeNumber(name, "", 0));
  try {
    return fn();
  } finally {
    leaveScope(before);
  }
}

/** backward() begins; answers the tag for leaveBackward(). */
export function enterBackward(): number {
  const before = watch.tag;
  move(Step.walk, before | 1);
  return before;
}
/** backward() comes to a record that was made in `scope`. */
export function backwardAt(scope: number): void {
  const tag = 2 * scope + 1;
  if (tag !== watch.tag) move(Step.at, tag);
}
export const leaveBackward = (before: number): void => move(Step.walked, before);

/** Called with true when somebody begins to watch, with false when nobody does any more. */
export const onWatch: ((on: boolean) => void)[] = [];

let modes = 0;

function setModes(next: number, most = 0): void {
  modes = next;
  addon.watch(modes, most);
  const on = modes !== 0;
  if (on === watch.on) return;
  watch.on = on;
  noteChange(); // captured steps name the modules that were watched when they were recorded
  watch.tag = 0;
  addon.enter(0);
  for (const tell of onWatch) tell(on);
}

/** Begins to time the calls, at most `most` of them; `hear` is told where they come from. */
export function watchTimes(most: number, hear: Listener): void {
  setModes(modes | TIMES, most);
  listener = hear;
}
export function unwatchTimes(): void {
  listener = null;
  setModes(modes & ~TIMES);
}

const shapes = (_op: string, args: readonly unknown[]): undefined => {
  const texts: string[] = [];
  for (const a of args) {
    if (typeof a === "number") break; // sizes follow the operands
    const shape = (a as (Handled & { shape?: readonly number[] }) | null | undefined)?.shape;
    texts.push(shape ? `[${shape.join(",")}]` : "");
  }
  addon.shapes(texts.join("|"));
};

/** Looks at each result for NaN, and for infinities where asked; null: no longer. */
export function watchValues(infinities: boolean | null): void {
  const before = (modes & BAD) !== 0;
  setModes((modes & TIMES) | (infinities === null ? 0 : infinities ? BAD | INFINITIES : BAD));
  if (before === (infinities !== null)) return;
  if (infinities === null) observers.splice(observers.indexOf(shapes), 1);
  else observers.push(shapes);
  bindKernels();
}
