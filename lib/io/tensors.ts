/**
 * Tensors in files: what lib/io/safetensors.ts and lib/io/npy.ts hold as bytes, for users.
 */
import { unscoped } from "../memory.js";
import { arrayClass, fromTyped, Tensor, type TypedArray } from "../tensor.js";
import { readNpy, writeNpy } from "./npy.js";
import { type RawTensor, readSafetensors, readSafetensorsHeader, writeSafetensors } from "./safetensors.js";

/** The values as they are at the call, whatever is done to the tensor while they are written. */
export async function toRaw(t: Tensor): Promise<RawTensor> {
  const { dtype, shape } = t;
  const { buffer, byteOffset, byteLength } = await t.data(dtype);
  return { dtype, shape, bytes: new Uint8Array(buffer, byteOffset, byteLength) };
}

/** A new tensor, owned by no scope. */
export function fromRaw({ dtype, shape, bytes }: RawTensor): Tensor {
  const Class = arrayClass(dtype) as Uint8ArrayConstructor;
  const array = new Class(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.byteLength / Class.BYTES_PER_ELEMENT);
  return unscoped(() => fromTyped(array as TypedArray, shape, dtype));
}

/** Options of save. */
export interface SaveOptions {
  /** Texts to keep in the file's header. */
  metadata?: Record<string, string>;
}

/**
 * Writes tensors by name as a safetensors file, in one step: readers find the old file or the new one, whole. The values
 * are those at the call; training may go on.
 *
 * @param tensors such as model.stateDict()
 * @throws TypeError for a value that is no tensor; the error of an op that failed to make a value
 */
export async function save(
  path: string,
  tensors: Readonly<Record<string, Tensor>>,
  { metadata = {} }: SaveOptions = {},
): Promise<void> {
  const entries = Object.entries(tensors);
  for (const [name, t] of entries) {
    if (!(t instanceof Tensor))
      throw new TypeError(`io.save: expected tensors by name, got ${t === null ? "null" : typeof t} for "${name}"`);
  }
  const raw = await Promise.all(entries.map(async ([name, t]) => [name, await toRaw(t)] as const));
  await writeSafetensors(path, Object.fromEntries(raw), metadata);
}

/** The tensors of a safetensors file by name, such as model.loadStateDict() takes. */
export async function load(path: string): Promise<Record<string, Tensor>> {
  const { tensors } = await readSafetensors(path);
  return Object.fromEntries(Object.entries(tensors).map(([name, raw]) => [name, fromRaw(raw)]));
}

/** What inspect() gives of a safetensors file. */
export interface FileSummary {
  /** What tensors there are, in the order of the file. */
  tensors: {
    /** Its name, such as "fc1.weight". */
    name: string;
    /** Its dtype, such as "float32". */
    dtype: string;
    /** Its extents. */
    shape: number[];
  }[];
  /** The texts of the header. */
  metadata: Record<string, string>;
}

/** Names, dtypes and shapes of a safetensors file, and its metadata, without reading the tensors. */
export async function inspect(path: string): Promise<FileSummary> {
  const { fields, metadata } = await readSafetensorsHeader(path);
  return { tensors: fields.map(({ name, dtype, shape }) => ({ name, dtype, shape })), metadata };
}

/** Writes one tensor as a NumPy file. */
export async function saveNpy(path: string, t: Tensor): Promise<void> {
  await writeNpy(path, await toRaw(t));
}

/** The tensor of a NumPy file. */
export async function loadNpy(path: string): Promise<Tensor> {
  return fromRaw(await readNpy(path));
}
