/**
 * Making tensors from values.
 */

import { ShapeError } from "../errors.js";
import { algebra } from "../graph.js";
import { isNumber } from "../live.js";
import { type DType, k } from "../native.js";
import { arrayClass, checkShape, empty, fromTyped, isDType, type Tensor, type TypedArray } from "../tensor.js";

/** Options of every function that makes a tensor. */
export interface CreateOptions {
  /** Dtype of the elements. Default float32 (for typed arrays: their own dtype). */
  dtype?: DType;
  /** Makes the tensor a leaf with a gradient. Default false. */
  requiresGrad?: boolean;
}

function finish(t: Tensor, { requiresGrad = false }: CreateOptions): Tensor {
  return requiresGrad ? t.requiresGrad_() : t;
}

function checkDType(op: string, dtype: unknown): DType {
  if (!isDType(dtype))
    throw new TypeError(`${op}: expected a dtype such as "float32" or "int32", got ${JSON.stringify(dtype)}`);
  return dtype;
}

function dtypeOfArray(array: TypedArray): DType {
  if (array instanceof Float32Array) return "float32";
  if (array instanceof Float64Array) return "float64";
  if (array instanceof Int32Array) return "int32";
  if (array instanceof BigInt64Array) return "int64";
  if (array instanceof Uint8Array) return "uint8";
  if (array instanceof Int8Array) return "int8";
  throw new TypeError(
    `tensor: expected Float32Array, Float64Array, Int32Array, BigInt64Array, Uint8Array, Int8Array, numbers or nested arrays, got ${(array as object)?.constructor?.name}`,
  );
}

const isNested = (data: NestedValues): data is readonly NestedValues[] => Array.isArray(data);

function shapeOfNested(data: NestedValues): number[] {
  const shape: number[] = [];
  for (let level = data; isNested(level); level = level[0]!) {
    shape.push(level.length);
    if (level.length === 0) break;
  }
  return shape;
}

function flatten(data: NestedValues, shape: number[], depth: number, into: number[]): void {
  if (!isNested(data)) {
    if (depth !== shape.length)
      throw new ShapeError("tensor: expected nested arrays of even depth, got a number beside an array");
    if (typeof data === "boolean") data = data ? 1 : 0;
    if (typeof data !== "number") throw new TypeError(`tensor: expected numbers, got ${typeof data} (${String(data)})`);
    into.push(data);
    return;
  }
  if (depth === shape.length || data.length !== shape[depth]) {
    throw new ShapeError(
      `tensor: expected nested arrays of even lengths, got ${data.length} items beside ${shape[depth] ?? "numbers"}`,
    );
  }
  for (const item of data) flatten(item, shape, depth + 1, into);
}

function toTyped(values: number[], dtype: DType): TypedArray {
  if (dtype === "int64") return BigInt64Array.from(values, (v) => BigInt(Math.trunc(v)));
  if (dtype === "bool") return Uint8Array.from(values, (v) => (v === 0 ? 0 : 1));
  const Class = arrayClass(dtype) as Float32ArrayConstructor;
  return Class.from(values);
}

/** Numbers or booleans, alone or in arrays of arrays of equal lengths. */
export type NestedValues = number | boolean | readonly NestedValues[];
/** What tensor() copies. The bits of 16-bit floats, a Uint16Array, are no values. */
export type TensorData = NestedValues | Exclude<TypedArray, Uint16Array>;

/**
 * A tensor of the given values: a number, nested arrays, or a typed array (copied). Typed and flat arrays may be followed by
 * a shape; default [length].
 *
 * @example
 * const x = tensor([[1, 2], [3, 4]]);
 * const bytes = tensor(new Uint8Array(6), [2, 3]);
 */
export function tensor(data: TensorData, options?: CreateOptions): Tensor;
export function tensor(data: TensorData, shape: readonly number[], options?: CreateOptions): Tensor;
export function tensor(
  data: TensorData,
  shapeOrOptions?: readonly number[] | CreateOptions,
  last?: CreateOptions,
): Tensor {
  const given = Array.isArray(shapeOrOptions) ? (shapeOrOptions as readonly number[]) : undefined;
  const options = last ?? (given ? {} : ((shapeOrOptions as CreateOptions) ?? {}));
  if (ArrayBuffer.isView(data)) {
    const own = dtypeOfArray(data as TypedArray);
    const t = fromTyped(data as TypedArray, given ?? [(data as TypedArray).length], own);
    const dtype = options.dtype ? checkDType("tensor", options.dtype) : own;
    return finish(dtype === own ? t : cast(t, dtype), options);
  }
  const dtype = checkDType("tensor", options.dtype ?? "float32");
  const shape = shapeOfNested(data as NestedValues);
  const values: number[] = [];
  flatten(data as NestedValues, shape, 0, values);
  if (dtype === "bfloat16" || dtype === "float16")
    return finish(cast(fromTyped(Float32Array.from(values), given ?? shape, "float32"), dtype), options);
  return finish(fromTyped(toTyped(values, dtype), given ?? shape, dtype), options);
}

function cast(x: Tensor, dtype: DType): Tensor {
  const y = empty(x.shape, dtype);
  k.cast(y, x, x.size);
  return y;
}

/** A tensor with every element `value`. */
export function full(shape: readonly number[], value: number, options: CreateOptions = {}): Tensor {
  checkShape("full", shape);
  const dtype = checkDType("full", options.dtype ?? "float32");
  if (!isNumber(value)) throw new TypeError(`full: expected a number, got ${typeof value}`);
  if (dtype === "bool" || dtype === "bfloat16" || dtype === "float16") {
    return finish(cast(full(shape, value), dtype), options);
  }
  const y = empty([...shape], dtype);
  k.fill(y, value, y.size);
  return finish(y, options);
}

/** A tensor of zeros. Default float32. */
export const zeros = (shape: readonly number[], options?: CreateOptions): Tensor => full(shape, 0, options);
/** A tensor of ones. Default float32. */
export const ones = (shape: readonly number[], options?: CreateOptions): Tensor => full(shape, 1, options);

const like = (x: Tensor, options: CreateOptions): CreateOptions => ({ dtype: x.dtype, ...options });
/** A tensor of x's shape and dtype, filled with `value`. */
export const fullLike = (x: Tensor, value: number, options: CreateOptions = {}): Tensor =>
  full(x.shape, value, like(x, options));
/** Zeros of x's shape and dtype. */
export const zerosLike = (x: Tensor, options: CreateOptions = {}): Tensor => full(x.shape, 0, like(x, options));
/** Ones of x's shape and dtype. */
export const onesLike = (x: Tensor, options: CreateOptions = {}): Tensor => full(x.shape, 1, like(x, options));

/** A tensor of x's shape and dtype whose elements are anything until they are written, for in-place ops to fill. */
export const emptyLike = (x: Tensor, options: CreateOptions = {}): Tensor =>
  finish(empty(x.shape, checkDType("emptyLike", options.dtype ?? x.dtype)), options);

/** start, start + step, ... below `end`. One argument: 0 to end. Integers give int32 unless `dtype` says otherwise. */
export function arange(start: number, end?: number, step = 1, options: CreateOptions = {}): Tensor {
  const [from, to] = end === undefined ? [0, start] : [start, end];
  if (![from, to, step].every(Number.isFinite) || step === 0)
    throw new RangeError(`arange: expected finite bounds and a step that is not 0, got ${from}, ${to}, ${step}`);
  const n = Math.max(0, Math.ceil((to - from) / step));
  const dtype = checkDType("arange", options.dtype ?? ([from, to, step].every(Number.isInteger) ? "int32" : "float32"));
  const y = empty([n], dtype);
  k.arange(y, from, step, n);
  return finish(y, options);
}

/** `steps` evenly spaced numbers from start to end, both included. */
export function linspace(start: number, end: number, steps: number, options: CreateOptions = {}): Tensor {
  if (!Number.isSafeInteger(steps) || steps < 0)
    throw new RangeError(`linspace: expected a number of steps from 0 up, got ${steps}`);
  const y = empty([steps], checkDType("linspace", options.dtype ?? "float32"));
  k.arange(y, start, steps > 1 ? (end - start) / (steps - 1) : 0, steps);
  return finish(y, options);
}

/**
 * base ** (`steps` evenly spaced exponents from start to end). Default base 10.
 *
 * @example
 * logspace(-3, 0, 4); // [0.001, 0.01, 0.1, 1]
 */
export function logspace(
  start: number,
  end: number,
  steps: number,
  { base = 10, ...options }: CreateOptions & { base?: number } = {},
): Tensor {
  if (!Number.isSafeInteger(steps) || steps < 0)
    throw new RangeError(`logspace: expected a number of steps from 0 up, got ${steps}`);
  const step = steps > 1 ? (end - start) / (steps - 1) : 0;
  const values = Float64Array.from({ length: steps }, (_, i) => base ** (start + i * step));
  return tensor(values, { ...options, dtype: options.dtype ?? "float32" });
}

/** The n x m identity matrix (m = n by default). */
export function eye(n: number, m = n, options: CreateOptions = {}): Tensor {
  const y = zeros([n, m], options);
  const diagonal = ones([Math.min(n, m)], { dtype: y.dtype });
  if (diagonal.size > 0) k.writeStrided(y, diagonal, 0, 1, diagonal.size, m + 1);
  return y;
}

/** Rows and columns, [2, count] int32, of the rows x cols matrix's elements that `keep` says. */
function indicesOf(op: string, rows: number, cols: number, keep: (row: number, col: number) => boolean): Tensor {
  for (const n of [rows, cols])
    if (!Number.isSafeInteger(n) || n < 0) throw new RangeError(`${op}: expected rows and columns from 0 up, got ${n}`);
  const at: [number, number][] = [];
  for (let r = 0; r < rows; r++) for (let c = 0; c < cols; c++) if (keep(r, c)) at.push([r, c]);
  return tensor(Int32Array.from([...at.map(([r]) => r), ...at.map(([, c]) => c)]), [2, at.length]);
}
/** Where a rows x cols matrix (square by default) lies on or below diagonal `offset`: [2, count], int32. */
export const trilIndices = (rows: number, cols = rows, offset = 0): Tensor =>
  indicesOf("trilIndices", rows, cols, (r, c) => c - r <= offset);
/** Where a rows x cols matrix (square by default) lies on or above diagonal `offset`: [2, count], int32. */
export const triuIndices = (rows: number, cols = rows, offset = 0): Tensor =>
  indicesOf("triuIndices", rows, cols, (r, c) => c - r >= offset);

algebra.fill = (shape, value, dtype) => full(shape, value, { dtype });
