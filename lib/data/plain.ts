/**
 * Examples as plain numbers and arrays, and their batches in shared memory: what worker threads make. Nothing here or
 * imported from here loads the addon.
 */
import type { DType } from "../native.js";

type AnyArray = Float32Array | Float64Array | Int32Array | BigInt64Array | Uint8Array | Uint8ClampedArray | Int8Array;
type Nested = number | readonly Nested[];

/**
 * One field of one example: a number (whole numbers become int32, others float32), a typed array [length] of its dtype,
 * one with a shape, or nested arrays of numbers (float32).
 */
export type PlainField =
  | Nested
  | AnyArray
  | {
      /** The elements, row by row. */
      data: AnyArray;
      /** Its product is the length of `data`. */
      shape: readonly number[];
    };

/** A field of a batch, filled into shared memory. */
export interface SharedField {
  /** Of the elements. */
  dtype: DType;
  /** [n, ...] */
  shape: number[];
  /** At least as long as the elements; filled from its start. */
  buffer: SharedArrayBuffer;
}

const CLASSES = {
  float32: Float32Array,
  float64: Float64Array,
  int32: Int32Array,
  int64: BigInt64Array,
  uint8: Uint8Array,
  int8: Int8Array,
} as const;
type PlainDType = keyof typeof CLASSES;

interface Flat {
  dtype: PlainDType;
  shape: readonly number[];
  data: ArrayLike<number | bigint>;
}

function flatten(field: PlainField, name: string): Flat {
  if (typeof field === "number") return { dtype: "float32", shape: [], data: [field] };
  if (Array.isArray(field)) {
    const shape: number[] = [];
    for (let level: Nested = field; Array.isArray(level); level = level[0] as Nested) shape.push(level.length);
    const data = (field as number[][]).flat(Number.POSITIVE_INFINITY) as number[];
    const size = shape.reduce((a, b) => a * b, 1);
    if (data.length !== size || !data.every((v) => typeof v === "number"))
      throw new TypeError(
        `expected nested arrays of numbers of one shape, [${shape}], in ${name}, got ${data.length} elements`,
      );
    return { dtype: "float32", shape, data };
  }
  const array = (ArrayBuffer.isView(field) ? field : (field as { data: AnyArray } | null)?.data) as AnyArray;
  const dtype = (Object.keys(CLASSES) as PlainDType[]).find(
    (d) => array instanceof CLASSES[d] || (d === "uint8" && array instanceof Uint8ClampedArray),
  );
  if (dtype === undefined)
    throw new TypeError(
      `expected a number, a typed array, nested arrays or { data, shape } in ${name}, got ${String(field)}`,
    );
  const shape = ArrayBuffer.isView(field) ? [array.length] : (field as { shape: readonly number[] }).shape;
  const size = shape.reduce((a, b) => a * b, 1);
  if (size !== array.length)
    throw new TypeError(`expected ${size} elements for shape [${shape}] in ${name}, got ${array.length}`);
  return { dtype, shape, data: array };
}

/**
 * Stacks examples field by field into shared memory, that of `spare` where it is large enough. An error has the place of
 * the example in `at`.
 */
export function shareBatch(examples: readonly (readonly PlainField[])[], spare: SharedArrayBuffer[]): SharedField[] {
  const first = examples[0];
  if (first === undefined) throw new TypeError("expected at least one example, got none");
  examples.forEach((example, i) => {
    if (!Array.isArray(example) || example.length !== first.length)
      throw atExample(
        i,
        `expected an array of ${first.length} fields, got ${Array.isArray(example) ? example.length : String(example)}`,
      );
  });
  return first.map((_, f) => {
    const values = examples.map((example) => example[f]!);
    const flats = values.map((value, i) => {
      try {
        return flatten(value, `field ${f}`);
      } catch (error) {
        throw atExample(i, (error as Error).message);
      }
    });
    const numbers = values.every((v) => Number.isInteger(v));
    const { shape, dtype: own } = flats[0]!;
    const dtype = numbers ? "int32" : own;
    const size = shape.reduce((a, b) => a * b, 1);
    const Class = CLASSES[dtype];
    const bytes = size * values.length * Class.BYTES_PER_ELEMENT;
    const found = spare.findIndex((buffer) => buffer.byteLength >= bytes);
    const buffer = found >= 0 ? spare.splice(found, 1)[0]! : new SharedArrayBuffer(Math.max(bytes, 8));
    const all = new Class(buffer as unknown as ArrayBuffer, 0, size * values.length) as Float32Array;
    flats.forEach((flat, i) => {
      if (flat.dtype !== own || `${flat.shape}` !== `${shape}`)
        throw atExample(i, `expected ${own} [${shape}] in field ${f}, got ${flat.dtype} [${flat.shape}]`);
      all.set(flat.data as ArrayLike<number>, i * size);
    });
    return { dtype, shape: [values.length, ...shape], buffer };
  });
}

/** An error in one example of a batch. */
export interface ExampleError extends Error {
  /** Place in the batch. */
  at?: number;
}

export function atExample(at: number, message: string, cause?: unknown): ExampleError {
  return Object.assign(new Error(message, cause === undefined ? undefined : { cause }), { at });
}
