/**
 * Tables of functions of one tensor, a row each, and what their references share: functions that Math has not.
 */

import type { Tensor } from "napier";
import * as ops from "napier";
import { type Bound, type Case, checkOp } from "./check.js";
import { given, type Input, map, normal, SPECIAL, signed, uniform } from "./nd.js";

// ---- References

/** Legendre's continued fraction of erfc x exp(x^2) sqrt(pi), for x from 1 up. */
function erfcFraction(x: number): number {
  let fraction = 0;
  for (let n = 600; n > 0; n--) fraction = n / 2 / (x + fraction);
  return 1 / (x + fraction);
}
/** Taylor's series below 1, the continued fraction of erfc above. */
export function erf(x: number): number {
  if (Number.isNaN(x)) return x;
  const a = Math.abs(x);
  if (a > 6) return Math.sign(x);
  if (a >= 1) return Math.sign(x) * (1 - (Math.exp(-a * a) * erfcFraction(a)) / Math.sqrt(Math.PI));
  let term = x;
  let sum = x;
  for (let n = 1; n < 100; n++) {
    term *= (-x * x) / n;
    sum += term / (2 * n + 1);
  }
  return (2 / Math.sqrt(Math.PI)) * sum;
}
export const erfc = (x: number): number =>
  x < 1 || Number.isNaN(x) ? 1 - erf(x) : x > 30 ? 0 : (Math.exp(-x * x) * erfcFraction(x)) / Math.sqrt(Math.PI);
export const sigmoid = (x: number): number => (x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x)));
export const softplus = (x: number): number => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
/** The k-th derivative of log Gamma by its recurrence to 40 and beyond by Stirling's series; k from 0. */
export function logGamma(x: number, k = 0): number {
  if (Number.isNaN(x)) return x;
  if (x === Number.POSITIVE_INFINITY) return k < 2 ? x : 0;
  const sign = k % 2 === 0 ? 1 : -1;
  const factorial = (n: number): number => (n < 2 ? 1 : n * factorial(n - 1));
  // Derivative k of log x, and of x^-m.
  const ofLog = (v: number) => (k === 0 ? Math.log(v) : -sign * factorial(k - 1) * v ** -k);
  const ofPower = (v: number, m: number) => sign * (factorial(m + k - 1) / factorial(m - 1)) * v ** (-m - k);
  let y = 0;
  let at = x;
  for (; at < 40; at++) y -= ofLog(at);
  const main = [
    (at - 0.5) * (Math.log(at) - 1) - 0.5 + Math.log(2 * Math.PI) / 2,
    Math.log(at) - 0.5 / at,
    1 / at + 0.5 / at ** 2,
    -1 / at ** 2 - 1 / at ** 3,
    2 / at ** 3 + 3 / at ** 4,
  ];
  return y + main[k]! + ofPower(at, 1) / 12 - ofPower(at, 3) / 360 + ofPower(at, 5) / 1260 - ofPower(at, 7) / 1680;
}

// ---- The table

/** A row: the op, its function, where its inputs lie, and what is special. */
export interface Row {
  f: (x: number) => number;
  run?: (x: Tensor) => Tensor;
  /** Inputs where it is smooth. */
  from: (...shape: number[]) => Input;
  /** Values at the borders; default SPECIAL. */
  special?: number[];
  ulp?: number;
  bound?: Bound;
  /** Where the reference itself is less exact. */
  bound64?: Bound;
  isaRms?: number;
  gradBound?: Bound;
  errors?: Record<string, [call: () => unknown, message: RegExp]>;
}

export const anywhere = (...shape: number[]): Input => normal(...shape);
export const positive = (...shape: number[]): Input => uniform(0.2, 4, ...shape);
export const notZero = (...shape: number[]): Input => signed(0.2, 3, ...shape);
export const EXACT = { ulp: 0, isaRms: 0 };

/** Declares the tests of every row; `long`: elements of the case that threads share. */
export function checkUnary(rows: Record<string, Row>, { long = 70_001 }: { long?: number } = {}): void {
  for (const [name, row] of Object.entries(rows)) {
    const { f, from, special = SPECIAL, ulp = 3, isaRms = 4, gradBound } = row;
    const run = row.run ?? (ops as unknown as Record<string, (x: Tensor) => Tensor>)[name]!;
    checkOp(name, {
      run: ([x]) => run(x!),
      reference: ([x]) => map(x!, f),
      bound: row.bound ?? { ulp },
      ...(row.bound64 && { bound64: row.bound64 }),
      ...(row.errors && { errors: row.errors }),
      isaRms,
      gradBound: gradBound ?? { rms: 8 },
      cases: {
        scalar: { inputs: [from()] },
        "1x1": { inputs: [from(1, 1)] },
        "odd length": { inputs: [from(37)] },
        "three dimensions": { inputs: [from(2, 3, 5)] },
        empty: { inputs: [from(0, 3)] },
        "long enough to be split": { inputs: [from(long)] },
        "special values": { inputs: [given(special)], grad: false },
      } satisfies Record<string, Case<[]>>,
      bench: { "1M": { inputs: [from(1 << 20)] } },
    });
  }
}
