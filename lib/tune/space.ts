/**
 * What is searched over: a range or a choice for each hyper-parameter.
 */
import { expect } from "../errors.js";

/** Numbers between `low` and `high`, both included. */
export interface Range {
  /** Tells it from a Choice. */
  kind: "range";
  /** Least value. */
  low: number;
  /** Greatest value. */
  high: number;
  /** Evenly in the logarithm. */
  log: boolean;
  /** Whole numbers only. */
  integer: boolean;
}

/** One of a list. */
export interface Choice<T> {
  /** Tells it from a Range. */
  kind: "choice";
  /** At least one. */
  values: readonly T[];
}

/** What a parameter may be. */
export type Dimension = Range | Choice<unknown>;
/** Dimensions by name. */
export type Space = Readonly<Record<string, Dimension>>;
/** Values by name, as a space gives them. */
export type Parameters<S extends Space> = { [K in keyof S]: S[K] extends Choice<infer T> ? T : number };

function range(op: string, low: number, high: number, log: boolean, integer: boolean): Range {
  const good = Number.isFinite(low) && Number.isFinite(high) && low < high && (!log || low > 0);
  expect(good, op, `low < high${log ? ", low above 0" : ""}`, `${low} and ${high}`);
  if (integer) expect(Number.isInteger(low) && Number.isInteger(high), op, "whole numbers", `${low} and ${high}`);
  return { kind: "range", low, high, log, integer };
}

/** A number, evenly. */
export const uniform = (low: number, high: number): Range => range("uniform", low, high, false, false);
/** A number, evenly in its logarithm: learning rates, weight decays. */
export const logUniform = (low: number, high: number): Range => range("logUniform", low, high, true, false);
/** A whole number, evenly. */
export const integer = (low: number, high: number): Range => range("integer", low, high, false, true);
/** A whole number, evenly in its logarithm: widths, batch sizes. */
export const logInteger = (low: number, high: number): Range => range("logInteger", low, high, true, true);

/** One of `values`, which JSON can hold. */
export function choice<const T>(values: readonly T[]): Choice<T> {
  expect(values.length > 0, "choice", "at least one value", "none");
  return { kind: "choice", values };
}

/** The value at `share`, 0 to 1, of a range. */
export function at({ low, high, log, integer }: Range, share: number): number {
  // A whole number is as likely at the ends as inside: half a step more on both sides.
  const [a, b] = integer ? [low - 0.5, high + 0.5] : [low, high];
  const value = log ? Math.exp(Math.log(a) + share * (Math.log(b) - Math.log(a))) : a + share * (b - a);
  return Math.min(high, Math.max(low, integer ? Math.round(value) : value));
}

/** Where a value lies in its range, 0 to 1. */
export function shareOf({ low, high, log, integer }: Range, value: number): number {
  const [a, b] = integer ? [low - 0.5, high + 0.5] : [low, high];
  return log ? (Math.log(value) - Math.log(a)) / (Math.log(b) - Math.log(a)) : (value - a) / (b - a);
}
