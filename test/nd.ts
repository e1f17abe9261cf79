/**
 * Arrays of the slow, obvious references: float64 values with a shape, and the seeded inputs of case tables.
 */
import type { DType } from "napier";

/** `float` stands for the dtype that a case runs in, float32 or float64. */
export interface Nd {
  shape: number[];
  data: Float64Array;
  dtype: DType | "float";
}

export const sizeOf = (shape: readonly number[]): number => shape.reduce((n, e) => n * e, 1);

export function nd(shape: readonly number[], data: ArrayLike<number>, dtype: Nd["dtype"] = "float"): Nd {
  if (data.length !== sizeOf(shape)) throw new Error(`nd: ${data.length} values for [${shape}]`);
  return { shape: [...shape], data: new Float64Array(data), dtype };
}

/** Every index of `shape`, in row-major order. */
export function* indices(shape: readonly number[]): Generator<number[]> {
  const index = shape.map(() => 0);
  for (let n = sizeOf(shape); n > 0; n--) {
    yield [...index];
    for (let d = shape.length - 1; d >= 0 && ++index[d]! === shape[d]; d--) index[d] = 0;
  }
}

/** The array whose element at `index` is f(index). */
export function build(shape: readonly number[], f: (index: number[]) => number, dtype: Nd["dtype"] = "float"): Nd {
  return nd(shape, Array.from(indices(shape), f), dtype);
}

/** x[index]; trailing dimensions align, and those of extent 1 repeat. */
export function at(x: Nd, index: readonly number[]): number {
  let flat = 0;
  const lead = index.length - x.shape.length;
  for (let d = 0; d < x.shape.length; d++) flat = flat * x.shape[d]! + (x.shape[d] === 1 ? 0 : index[d + lead]!);
  return x.data[flat]!;
}

export const map = (x: Nd, f: (v: number) => number, dtype = x.dtype): Nd => nd(x.shape, Array.from(x.data, f), dtype);

/** f of elements that meet by broadcasting. */
export function broadcast(f: (...values: number[]) => number, arrays: Nd[], dtype: Nd["dtype"] = "float"): Nd {
  const rank = Math.max(...arrays.map((x) => x.shape.length));
  const shape = Array.from({ length: rank }, (_, d) => {
    const extents = arrays.map((x) => x.shape[d - rank + x.shape.length] ?? 1);
    return extents.find((e) => e !== 1) ?? 1;
  });
  return build(shape, (index) => f(...arrays.map((x) => at(x, index))), dtype);
}

/** The sum, with what rounding loses carried along (Neumaier 1974): exact enough to judge any order of adding. */
export function total(values: ArrayLike<number>): number {
  let sum = 0;
  let lost = 0;
  for (let i = 0; i < values.length; i++) {
    const v = values[i]!;
    const next = sum + v;
    lost += Math.abs(sum) >= Math.abs(v) ? sum - next + v : v - next + sum;
    sum = next;
  }
  return Number.isFinite(sum) ? sum + lost : sum;
}

/** f of the elements that share the index outside `axes`; axes null: of all. */
export function reduce(
  x: Nd,
  axes: readonly number[] | null,
  keepDims: boolean,
  f: (values: number[]) => number,
  dtype = x.dtype,
): Nd {
  const over = (axes ?? x.shape.map((_, d) => d)).map((a) => (a < 0 ? a + x.shape.length : a));
  const groups = new Map<string, number[]>();
  const kept = x.shape.map((e, d) => (over.includes(d) ? 1 : e));
  for (const index of indices(kept)) groups.set(String(index), []);
  for (const index of indices(x.shape))
    groups.get(String(index.map((i, d) => (over.includes(d) ? 0 : i))))!.push(at(x, index));
  const shape = keepDims ? kept : x.shape.filter((_, d) => !over.includes(d));
  return nd(shape, [...groups.values()].map(f), dtype);
}

// ---- Inputs of cases

/** Numbers from 0 to 1, the same for the same name. */
export type Random = () => number;

export function randomOf(name: string): Random {
  let state = 2166136261;
  for (let i = 0; i < name.length; i++) state = Math.imul(state ^ name.charCodeAt(i), 16777619);
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** An input of a case: made from the case's own random numbers. Floats are float32 values, exact in both dtypes. */
export type Input = (random: Random) => Nd;

const drawn = (
  shape: readonly number[],
  f: (random: Random, i: number) => number,
  dtype: Nd["dtype"] = "float",
): Input => {
  return (random) =>
    nd(
      shape,
      Array.from({ length: sizeOf(shape) }, (_, i) => (dtype === "float" ? Math.fround(f(random, i)) : f(random, i))),
      dtype,
    );
};

/** Standard normal. */
export const normal = (...shape: number[]): Input =>
  drawn(shape, (random) => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random()));
/** Uniform from low to high. */
export const uniform = (low: number, high: number, ...shape: number[]): Input =>
  drawn(shape, (random) => low + (high - low) * random());
/** Of either sign and from `least` to `most` in size: away from a kink at 0. */
export const signed = (least: number, most: number, ...shape: number[]): Input =>
  drawn(shape, (random) => (least + (most - least) * random()) * (random() < 0.5 ? -1 : 1));
/** A shuffle of 0, 1, 2, ... times `gap`: no two close, for functions with ties. */
export const apart =
  (gap: number, ...shape: number[]): Input =>
  (random) => {
    const n = sizeOf(shape);
    const order = Array.from({ length: n }, (_, i) => i);
    for (let i = n - 1; i > 0; i--) {
      const j = Math.floor(random() * (i + 1));
      [order[i], order[j]] = [order[j]!, order[i]!];
    }
    return nd(
      shape,
      order.map((v) => Math.fround((v - n / 2) * gap)),
    );
  };
/** Integers from low to high (excluded). */
export const ints = (low: number, high: number, shape: readonly number[], dtype: DType = "int32"): Input =>
  drawn(shape, (random) => low + Math.floor((high - low) * random()), dtype);
export const mask = (...shape: number[]): Input => drawn(shape, (random) => Number(random() < 0.5), "bool");
/** These values. */
export const given =
  (values: number[], shape: readonly number[] = [values.length], dtype: Nd["dtype"] = "float"): Input =>
  () =>
    nd(shape, dtype === "float" ? values.map(Math.fround) : values, dtype);

/** What elementwise code stumbles over. */
export const SPECIAL = [
  0,
  -0,
  1,
  -1,
  0.5,
  -0.5,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
  1e-40,
  -1e-40,
  3e38,
  -3e38,
  88,
  -88,
  1e-8,
  16777217,
];
