/**
 * Tensor: a handle on native memory with a shape and a dtype, contiguous and row-major. Ops are functions (lib/ops) that
 * lib/methods.ts also hangs onto this class; values are read with data() and item(), which wait without blocking.
 */
import { inspect } from "node:util";
import type { Device } from "./devices.js";
import { expect, ShapeError, show } from "./errors.js";
import type { GraphNode } from "./graph.js";
import { expectUncaptured, noteChange } from "./live.js";
import { adopt } from "./memory.js";
import { addon, breathe, DTYPES, type DType, dtypeCode, handleOf, hostObservers, isOutOfBreath } from "./native.js";

/** The typed array that data() gives for each dtype. Bools are bytes 0 and 1; the 16-bit floats are their bits. */
export interface ArrayOf {
  /** The numbers. */
  float32: Float32Array<ArrayBuffer>;
  /** The numbers. */
  float64: Float64Array<ArrayBuffer>;
  /** The integers. */
  int32: Int32Array<ArrayBuffer>;
  /** The integers, as bigints. */
  int64: BigInt64Array<ArrayBuffer>;
  /** The integers. */
  uint8: Uint8Array<ArrayBuffer>;
  /** The integers. */
  int8: Int8Array<ArrayBuffer>;
  /** 0 and 1. */
  bool: Uint8Array<ArrayBuffer>;
  /** Their bits: the upper half of the float32 of the same value. */
  bfloat16: Uint16Array<ArrayBuffer>;
  /** Their bits, of IEEE binary16. */
  float16: Uint16Array<ArrayBuffer>;
}
/** The typed arrays that hold the elements of some dtype (ArrayOf). */
export type TypedArray =
  | Float32Array
  | Float64Array
  | Int32Array
  | BigInt64Array
  | Uint8Array
  | Int8Array
  | Uint16Array;
/** A number, or arrays of equally long arrays of numbers, as deep as a tensor has dimensions. */
export type NestedNumbers = number | NestedNumbers[];

const ARRAYS = {
  float32: Float32Array,
  float64: Float64Array,
  int32: Int32Array,
  int64: BigInt64Array,
  uint8: Uint8Array,
  int8: Int8Array,
  bool: Uint8Array,
  bfloat16: Uint16Array,
  float16: Uint16Array,
} as const;

/** The typed-array class that holds a dtype's elements. */
export const arrayClass = (dtype: DType): (typeof ARRAYS)[DType] => ARRAYS[dtype];

let made = 0;

/** Storages that were made so far. */
export const storagesSoFar = (): number => made;

/** What all handles on one buffer share: it survives reshape and detach. */
export class Storage {
  /** Which one it is of all storages, from 1. */
  readonly birth = ++made;
  /** Counts in-place writes, so that backward notices a changed tensor. */
  version = 0;
  /** Smallest and largest value of an integer tensor made from host data: index checks before the kernel is queued. */
  range: readonly [number, number] | null = null;
  /** Order of the dimensions of a 4-d tensor in memory. */
  layout: "nchw" = "nchw";
  /** Live handles on the buffer: a gradient that is shared must be copied before it is changed in place. */
  handles = 0;
}

/** Number of elements of a shape: the product of its extents, 1 for a scalar. */
export const sizeOfShape = (shape: readonly number[]): number => {
  let n = 1;
  for (const extent of shape) n *= extent;
  return n;
};

/**
 * A handle on native memory with a shape and a dtype, contiguous and row-major. Made by tensor(), zeros(), randn(), ...
 * (never by `new`); every op whose first argument is a tensor is a method too. Operations return at once and compute
 * in the background; data(), item() and toArray() wait for the values without blocking the event loop. Memory
 * is given back when the object is collected, by free(), or at the end of a scope().
 *
 * @example
 * const x = tensor([[1, 2], [3, 4]], { requiresGrad: true });
 * x.mul(x).sum().backward();
 * await x.grad?.toArray(); // [[2, 4], [6, 8]]
 */
export class Tensor {
  /** Extents of the dimensions, outermost first; [] for a scalar. */
  readonly shape: readonly number[];
  /** Dtype of the elements. Fixed, but for parameters, which Module.to() may change. */
  readonly dtype: DType;
  /** Number of elements. */
  readonly size: number;
  /** @internal 0 once freed. */
  handle = 0;
  /** @internal */
  readonly storage: Storage;
  /** @internal What made this tensor, for backward; null where no gradient is wanted. */
  node: GraphNode | null = null;
  /** @internal Which output of `node` this is. */
  output = 0;

  /** @internal Use tensor(), zeros(), ...; `attach` makes the handle. */
  constructor(shape: readonly number[], dtype: DType, storage: Storage) {
    this.shape = shape;
    this.dtype = dtype;
    this.size = sizeOfShape(shape);
    this.storage = storage;
  }

  /** Number of dimensions. */
  get ndim(): number {
    return this.shape.length;
  }

  /** Where the elements are. */
  get device(): Device {
    return "cpu";
  }

  /** Bytes of the elements. */
  get bytes(): number {
    return this.size * ARRAYS[this.dtype].BYTES_PER_ELEMENT;
  }

  /** Frees the native memory now, unless other tensors share it. Reading this tensor later throws. */
  free(): void {
    if (this.handle === 0) return;
    addon.free(this.handle);
    this.handle = 0;
    this.storage.handles--;
  }

  /** free(), at the end of the block of `using x = ...`. */
  [Symbol.dispose](): void {
    this.free();
  }

  /** True once free() ran, or the scope that owned the tensor ended. */
  get isFreed(): boolean {
    return this.handle === 0;
  }

  /**
   * The elements in row-major order, in memory that JavaScript owns. Waits for the kernels that make them without
   * blocking the event loop; rejects with their error where one met a bad value.
   */
  async data<D extends DType = "float32">(dtype?: D): Promise<ArrayOf[D]> {
    checkDType("data", this, dtype);
    expectUncaptured("data");
    const buffer = await addon.read(handleOf(this, "data"));
    if (isOutOfBreath()) await breathe();
    return new ARRAYS[this.dtype](buffer) as unknown as ArrayOf[D];
  }

  /** data(), blocking the event loop until the kernels are done. */
  dataSync<D extends DType = "float32">(dtype?: D): ArrayOf[D] {
    checkDType("dataSync", this, dtype);
    expectUncaptured("dataSync");
    return new ARRAYS[this.dtype](addon.readSync(handleOf(this, "dataSync"))) as unknown as ArrayOf[D];
  }

  /** The value of a tensor with one element, as a number. Throws for an int64 that a number cannot hold. */
  async item(): Promise<number> {
    expectOne("item", this);
    return toNumbers("item", await this.data(this.dtype), this.dtype)[0]!;
  }

  /** item(), blocking. */
  itemSync(): number {
    expectOne("itemSync", this);
    return toNumbers("itemSync", this.dataSync(this.dtype), this.dtype)[0]!;
  }

  /** Nested arrays of numbers (a number for a scalar). */
  async toArray(): Promise<NestedNumbers> {
    return nest(toNumbers("toArray", await this.data(this.dtype), this.dtype), this.shape);
  }

  /** toArray(), blocking. */
  toArraySync(): NestedNumbers {
    return nest(toNumbers("toArraySync", this.dataSync(this.dtype), this.dtype), this.shape);
  }

  /** Shape and dtype, without the values: "Tensor([2,3], float32)". */
  toString(): string {
    return `Tensor(${show(this.shape)}, ${this.dtype})`;
  }

  /** Prints small tensors with their values (a blocking read), others with shape and dtype. */
  [inspect.custom](): string {
    if (this.handle === 0) return `Tensor(${show(this.shape)}, ${this.dtype}, freed)`;
    if (this.size > 1000) return this.toString();
    try {
      const text = inspect(this.toArraySync(), { depth: null, breakLength: 100, maxArrayLength: null });
      return `Tensor(${show(this.shape)}, ${this.dtype}) ${text}`;
    } catch (error) {
      return `Tensor(${show(this.shape)}, ${this.dtype}, ${(error as Error).message})`;
    }
  }
}

function checkDType(op: string, t: Tensor, dtype: DType | undefined): void {
  if (dtype !== undefined && dtype !== t.dtype) {
    throw new TypeError(`${op}: expected a ${dtype} tensor, got ${t.dtype}; convert it with .to("${dtype}")`);
  }
}

function expectOne(op: string, t: Tensor): void {
  expect(t.size === 1, op, "a tensor with one element", `${show(t.shape)}; reduce it first, e.g. with mean()`);
}

function float16(bits: number): number {
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  const sign = bits & 0x8000 ? -1 : 1;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

const bfloat = new Float32Array(1);
const bfloatBits = new Uint32Array(bfloat.buffer);

function toNumbers(op: string, array: TypedArray, dtype: DType): number[] {
  if (dtype === "float16") return Array.from(array as Uint16Array, float16);
  if (dtype === "bfloat16") {
    return Array.from(array as Uint16Array, (bits) => {
      bfloatBits[0] = bits << 16;
      return bfloat[0]!;
    });
  }
  if (!(array instanceof BigInt64Array)) return Array.from(array as Exclude<TypedArray, BigInt64Array>);
  return Array.from(array, (big) => {
    const x = Number(big);
    if (!Number.isSafeInteger(x))
      throw new RangeError(`${op}: the int64 ${big} is no safe integer; read it with data("int64")`);
    return x;
  });
}

function nest(values: number[], shape: readonly number[]): NestedNumbers {
  if (shape.length === 0) return values[0]!;
  let level: NestedNumbers[] = values;
  for (let d = shape.length - 1; d > 0; d--) {
    const extent = shape[d]!;
    const rows = sizeOfShape(shape.slice(0, d));
    level = Array.from({ length: rows }, (_, i) => level.slice(i * extent, (i + 1) * extent));
  }
  return level;
}

function attach(t: Tensor, handle: number): Tensor {
  t.handle = handle;
  t.storage.handles++;
  adopt(t);
  return t;
}

/** @internal A tensor with undefined contents, for a kernel to fill. */
export function empty(shape: readonly number[], dtype: DType): Tensor {
  const t = new Tensor(shape, dtype, new Storage());
  return attach(t, addon.alloc(t, dtypeCode(dtype), t.size));
}

/** @internal Another tensor on the same memory, with the same number of elements; not part of the graph. */
export function alias(t: Tensor, shape: readonly number[] = t.shape): Tensor {
  return attachTo(new Tensor(shape, t.dtype, t.storage), t);
}

/** @internal Makes `other`, new and of t's storage, a handle on t's memory. */
export function attachTo<X extends Tensor>(other: X, t: Tensor): X {
  attach(other, addon.alias(other, handleOf(t, "alias")));
  return other;
}

/** @internal Makes `t` a handle on other's memory, which may be of another dtype: whoever holds `t` sees the change. */
export function become(t: Tensor, other: Tensor): void {
  noteChange();
  t.free();
  const { dtype, storage } = other;
  Object.assign(t, { dtype, storage });
  attachTo(t, other);
}

/** Throws unless `shape` is an array of non-negative safe integers. */
export function checkShape(op: string, shape: readonly number[]): void {
  const ok = Array.isArray(shape) && shape.every((e) => Number.isSafeInteger(e) && e >= 0);
  if (!ok) throw new ShapeError(`${op}: expected a shape (an array of integers from 0 up), got ${inspect(shape)}`);
  const size = sizeOfShape(shape);
  if (!Number.isSafeInteger(size)) throw new ShapeError(`${op}: a shape of ${show(shape)} has too many elements`);
}

/**
 * @internal A tensor with a copy of a typed array's elements. Integers remember their range for index checks, unless they
 * are never to be indices (`ranged` false: finding it reads them all).
 */
export function fromTyped(array: TypedArray, shape: readonly number[], dtype: DType, ranged = true): Tensor {
  checkShape("tensor", shape);
  expect(
    array.length === sizeOfShape(shape),
    "tensor",
    `${sizeOfShape(shape)} elements for shape ${show(shape)}`,
    `${array.length}`,
  );
  const t = new Tensor(shape, dtype, new Storage());
  if (ranged && (dtype === "int32" || dtype === "int64" || dtype === "uint8" || dtype === "int8"))
    t.storage.range = rangeOf(array);
  for (const observe of hostObservers) observe(array);
  return attach(t, addon.fromHost(t, dtypeCode(dtype), array));
}

function rangeOf(array: TypedArray): readonly [number, number] | null {
  if (array.length === 0) return null;
  let low = array[0]!;
  let high = low;
  for (let i = 1; i < array.length; i++) {
    const v = array[i]!;
    if (v < low) low = v;
    else if (v > high) high = v;
  }
  return [Number(low), Number(high)];
}

/** Whether `x` is the name of a dtype. */
export function isDType(x: unknown): x is DType {
  return (DTYPES as readonly unknown[]).includes(x);
}
