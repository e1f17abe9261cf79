/**
 * @file The safetensors format, on raw bytes.
 *
 *     8 bytes  n, the length of the header, uint64 little endian
 *     n bytes  {"__metadata__": {...}, "NAME": {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}, ...}
 *     rest     the tensors, little endian, row-major, without holes; offsets count from here
 *
 * A file comes from anywhere, so every field is checked before a byte is used, and the checks are those of the
 * reference implementation (huggingface/safetensors, safetensors/src/tensor.rs): a file that one accepts the other
 * accepts too. Tensors here are {dtype, shape, bytes}; lib/io wraps them for users.
 */
import { type FileHandle, open } from "node:fs/promises";
import { writeFileAtomic } from "./atomic.js";

/** The dtypes that files hold, under napier's names. */
export type RawDType = "float64" | "float32" | "float16" | "bfloat16" | "int64" | "int32" | "int8" | "uint8" | "bool";

/** A tensor as a file holds it: `bytes` is row-major and little endian, its length product(shape) * bytes a value. */
export interface RawTensor {
  dtype: RawDType;
  shape: readonly number[];
  bytes: Uint8Array;
}

/** What a file holds. Both records have no prototype, so that any name, `__proto__` too, is only a name. */
export interface Safetensors {
  tensors: Record<string, RawTensor>;
  metadata: Record<string, string>;
}

/** One tensor of a header: offsets in bytes from the start of the file. */
export interface SafetensorsField {
  name: string;
  dtype: RawDType;
  shape: number[];
  begin: number;
  end: number;
}

// In the order in which the reference writes them: by descending rank, U64 I64 F64 F32 U32 I32 BF16 F16 ... BOOL.
const DTYPES: Record<string, { dtype: RawDType; size: number }> = {
  I64: { dtype: "int64", size: 8 },
  F64: { dtype: "float64", size: 8 },
  F32: { dtype: "float32", size: 4 },
  I32: { dtype: "int32", size: 4 },
  BF16: { dtype: "bfloat16", size: 2 },
  F16: { dtype: "float16", size: 2 },
  I8: { dtype: "int8", size: 1 },
  U8: { dtype: "uint8", size: 1 },
  BOOL: { dtype: "bool", size: 1 },
};
const CODES = new Map(Object.entries(DTYPES).map(([code, { dtype, size }], rank) => [dtype, { code, size, rank }]));

const MAX_HEADER = 100_000_000; // the reference's bound
const MAX_READ = 1 << 30; // one read(2) takes at most 2^31 - 4096 bytes on Linux

/**
 * The file of `tensors`, as pieces in order: the header, then the tensors' own arrays (not copied).
 *
 * @param tensors by name; any name but `__metadata__`
 * @param metadata strings to keep with them; absent from the file when empty
 * @throws TypeError for an unknown dtype or a metadata value that is no string; RangeError when bytes and shape disagree
 */
export function encodeSafetensors(
  tensors: Readonly<Record<string, RawTensor>>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array[] {
  const fields: string[] = [];
  const notes = Object.entries(metadata).map(([key, value]) => {
    if (typeof value !== "string") {
      throw new TypeError(
        `encodeSafetensors: expected metadata ${quote(key)} to be a string, got ${typeof value}. ` +
          "Use JSON.stringify for other values",
      );
    }
    return `${JSON.stringify(key)}:${JSON.stringify(value)}`;
  });
  if (notes.length > 0) fields.push(`"__metadata__":{${notes.join(",")}}`);

  const entries = Object.entries(tensors).map(([name, tensor]) => ({ name, tensor, ...checkEntry(name, tensor) }));
  // The widest dtype first, so that every tensor lies aligned; then names by their UTF-8 bytes.
  entries.sort((a, b) => a.rank - b.rank || Buffer.compare(Buffer.from(a.name), Buffer.from(b.name)));
  let offset = 0;
  for (const { name, code, tensor } of entries) {
    const end = offset + tensor.bytes.byteLength;
    fields.push(
      `${JSON.stringify(name)}:{"dtype":"${code}","shape":[${tensor.shape.join(",")}],"data_offsets":[${offset},${end}]}`,
    );
    offset = end;
  }

  const json = Buffer.from(`{${fields.join(",")}}`);
  const length = Math.ceil(json.byteLength / 8) * 8;
  if (length > MAX_HEADER) {
    throw new RangeError(
      `encodeSafetensors: expected a header of at most ${MAX_HEADER} bytes, got ${length} for ${entries.length} ` +
        "tensors. Split the file, or shorten names and metadata",
    );
  }
  const head = new Uint8Array(8 + length).fill(0x20);
  new DataView(head.buffer).setBigUint64(0, BigInt(length), true);
  head.set(json, 8);
  return [head, ...entries.map(({ tensor }) => tensor.bytes)];
}

/**
 * Reads a file that is already in memory. Tensors are views of `bytes` where their alignment allows a typed array, and
 * copies where it does not.
 *
 * @throws RangeError that says what is wrong, and with which tensor
 */
export function decodeSafetensors(bytes: Uint8Array): Safetensors {
  const what = "decodeSafetensors";
  const length = headerLength(bytes.subarray(0, 8), bytes.byteLength, what);
  const { fields, metadata } = parseHeader(bytes.subarray(8, 8 + length), bytes.byteLength, what);
  const tensors: Record<string, RawTensor> = Object.create(null);
  for (const { name, dtype, shape, begin, end } of fields) {
    const view = bytes.subarray(begin, end);
    const aligned = view.byteOffset % CODES.get(dtype)!.size === 0;
    tensors[name] = { dtype, shape, bytes: aligned ? view : Uint8Array.from(view) };
  }
  return { tensors, metadata };
}

/**
 * Reads a file of any size: each tensor goes from the disk straight into an array of its own, so the file is in memory
 * once, and a tensor can be collected while others live on.
 *
 * @throws RangeError as decodeSafetensors, with the path; the error of the file system
 */
export async function readSafetensors(path: string): Promise<Safetensors> {
  const file = await open(path, "r");
  try {
    const { fields, metadata } = await readHeader(file, path);
    const tensors: Record<string, RawTensor> = Object.create(null);
    for (const { name, dtype, shape, begin, end } of fields) {
      const bytes = await readRange(file, begin, end - begin, `readSafetensors: ${path}`);
      tensors[name] = { dtype, shape, bytes };
    }
    return { tensors, metadata };
  } finally {
    await file.close();
  }
}

/** Only the header of a file: names, dtypes, shapes and places, in the order of the file. Reads no tensor. */
export async function readSafetensorsHeader(
  path: string,
): Promise<{ fields: SafetensorsField[]; metadata: Record<string, string> }> {
  const file = await open(path, "r");
  try {
    return await readHeader(file, path);
  } finally {
    await file.close();
  }
}

/** Writes a file in one step (lib/io/atomic.ts): readers find the old one or the new one, whole. */
export async function writeSafetensors(
  path: string,
  tensors: Readonly<Record<string, RawTensor>>,
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  await writeFileAtomic(path, encodeSafetensors(tensors, metadata));
}

function checkEntry(name: string, { dtype, shape, bytes }: RawTensor): { code: string; rank: number } {
  const where = `encodeSafetensors: tensor ${quote(name)}`;
  if (name === "__metadata__") {
    throw new RangeError(`${where}: this name is reserved for metadata. Rename the tensor`);
  }
  const known = CODES.get(dtype);
  if (!known)
    throw new TypeError(`${where}: expected a dtype of ${[...CODES.keys()].join(", ")}, got ${String(dtype)}`);
  const size = byteSize(shape, known.size);
  if (size === undefined) {
    throw new RangeError(
      `${where}: expected a shape of whole numbers whose product is safe, got [${shape.join(", ")}]`,
    );
  }
  if (size !== bytes.byteLength) {
    throw new RangeError(
      `${where}: expected ${size} bytes for ${dtype} [${shape.join(", ")}], got ${bytes.byteLength}`,
    );
  }
  return known;
}

/** product(shape) * itemSize, or undefined where an extent or the product is no safe integer. */
function byteSize(shape: readonly number[], itemSize: number): number | undefined {
  let size = itemSize;
  // A zero anywhere makes the tensor empty, but must not hide an absurd extent beside it.
  for (const extent of shape) if (!Number.isSafeInteger(extent) || extent < 0) return undefined;
  if (shape.includes(0)) return 0;
  for (const extent of shape) if (!Number.isSafeInteger((size *= extent))) return undefined;
  return size;
}

async function readHeader(file: FileHandle, path: string) {
  const what = `readSafetensors: ${path}`;
  const { size } = await file.stat();
  const length = headerLength(await readRange(file, 0, Math.min(8, size), what), size, what);
  return parseHeader(await readRange(file, 8, length, what), size, what);
}

async function readRange(file: FileHandle, begin: number, length: number, what: string): Promise<Uint8Array> {
  // Not from Buffer's pool: a tensor's bytes start at an aligned address and hold nothing else alive.
  const bytes = new Uint8Array(Buffer.allocUnsafeSlow(length).buffer);
  for (let at = 0; at < length; ) {
    const { bytesRead } = await file.read(bytes, at, Math.min(MAX_READ, length - at), begin + at);
    if (bytesRead === 0) {
      throw new RangeError(`${what}: the file ended at byte ${begin + at} while it was read: it has been shortened`);
    }
    at += bytesRead;
  }
  return bytes;
}

function headerLength(prefix: Uint8Array, fileSize: number, what: string): number {
  if (prefix.byteLength < 8) {
    throw new RangeError(`${what}: expected a safetensors file of at least 8 bytes, got ${fileSize}`);
  }
  const length = new DataView(prefix.buffer, prefix.byteOffset, 8).getBigUint64(0, true);
  if (length > BigInt(MAX_HEADER)) {
    throw new RangeError(
      `${what}: expected a header of at most ${MAX_HEADER} bytes, got ${length}: this is probably no safetensors file`,
    );
  }
  if (8 + Number(length) > fileSize) {
    throw new RangeError(
      `${what}: the header says that it is ${length} bytes long, but the file has ${fileSize}: it is cut off or damaged`,
    );
  }
  return Number(length);
}

/** Checks the whole header. The fields come in the order of their bytes, which have no hole and no overlap. */
function parseHeader(
  header: Uint8Array,
  fileSize: number,
  what: string,
): { fields: SafetensorsField[]; metadata: Record<string, string> } {
  const fail = (sentence: string): never => {
    throw new RangeError(`${what}: ${sentence}`);
  };
  const root = parseJson(header, what);
  const metadata: Record<string, string> = Object.create(null);
  const fields: SafetensorsField[] = [];
  const start = 8 + header.byteLength;

  for (const [name, value] of Object.entries(root)) {
    if (name === "__metadata__") {
      if (!isObject(value)) fail(`expected __metadata__ to be an object of strings, got ${kind(value)}`);
      for (const [key, text] of Object.entries(value as object)) {
        if (typeof text !== "string") fail(`expected metadata ${quote(key)} to be a string, got ${kind(text)}`);
        metadata[key] = text;
      }
      continue;
    }
    const where = `tensor ${quote(name)}`;
    if (!isObject(value))
      return fail(`${where}: expected an object with dtype, shape, data_offsets, got ${kind(value)}`);
    const { dtype, shape, data_offsets: offsets } = value;
    if (typeof dtype !== "string" || !Object.hasOwn(DTYPES, dtype)) {
      return fail(`${where}: expected a dtype of ${Object.keys(DTYPES).join(", ")}, got ${brief(dtype)}`);
    }
    if (!isSizes(shape)) {
      return fail(`${where}: expected shape to be an array of whole numbers from 0 to 2^53 - 1, got ${brief(shape)}`);
    }
    if (!isSizes(offsets) || offsets.length !== 2) {
      return fail(`${where}: expected data_offsets to be [begin, end] in whole bytes, got ${brief(offsets)}`);
    }
    const [begin, end] = offsets;
    if (end < begin || start + end > fileSize) {
      fail(
        `${where}: data_offsets [${begin}, ${end}] lie outside of the ${fileSize - start} bytes of data in the file`,
      );
    }
    const size = byteSize(shape, DTYPES[dtype].size);
    if (size !== end - begin) {
      fail(
        `${where}: ${dtype} [${shape.join(", ")}] takes ${size ?? "more than 2^53"} bytes, ` +
          `but data_offsets [${begin}, ${end}] hold ${end - begin}`,
      );
    }
    fields.push({ name, dtype: DTYPES[dtype].dtype, shape, begin: start + begin, end: start + end });
  }

  fields.sort((a, b) => a.begin - b.begin || a.end - b.end);
  let at = start;
  for (const { name, begin, end } of fields) {
    if (begin !== at) {
      fail(
        `tensor ${quote(name)}: data_offsets begin at ${begin - start}, but the tensor before it ends at ${at - start}: ` +
          (begin < at ? "they overlap" : `${begin - at} bytes belong to no tensor`),
      );
    }
    at = end;
  }
  if (at !== fileSize) fail(`the tensors end at byte ${at} of the file, but it has ${fileSize}: trailing bytes`);
  return { fields, metadata };
}

function parseJson(header: Uint8Array, what: string): Record<string, unknown> {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(header);
  } catch {
    throw new RangeError(`${what}: the header is not valid UTF-8: this is no safetensors file, or it is damaged`);
  }
  if (!text.startsWith("{")) {
    throw new RangeError(`${what}: expected the header to start with "{", got ${quote(text.slice(0, 1))}`);
  }
  let root: unknown;
  try {
    root = JSON.parse(text);
  } catch (error) {
    throw new RangeError(`${what}: the header is not valid JSON: ${brief((error as Error).message)}`);
  }
  const twice = duplicateKey(text);
  if (twice !== undefined) throw new RangeError(`${what}: the header has the key ${quote(twice)} twice`);
  return root as Record<string, unknown>;
}

/** The first key that stands twice in one object of valid JSON: JSON.parse would silently keep the last. */
function duplicateKey(json: string): string | undefined {
  const open: (Set<string> | undefined)[] = []; // the keys of each open object; undefined for an array
  for (let i = 0; i < json.length; i++) {
    const char = json[i];
    if (char === "{") open.push(new Set());
    else if (char === "[") open.push(undefined);
    else if (char === "}" || char === "]") open.pop();
    else if (char === '"') {
      const begin = i++;
      for (; json[i] !== '"'; i++) if (json[i] === "\\") i++;
      let next = i + 1;
      while (" \t\r\n".includes(json[next])) next++;
      const keys = open.at(-1);
      if (!keys || json[next] !== ":") continue;
      const key = JSON.parse(json.slice(begin, i + 1));
      if (keys.has(key)) return key;
      keys.add(key);
    }
  }
  return undefined;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0);
}

function kind(value: unknown): string {
  return value === null ? "null" : Array.isArray(value) ? "an array" : `a ${typeof value}`;
}

/** A name from a file, safe and short enough for one line of a terminal. */
function quote(name: string): string {
  return JSON.stringify(name.length > 100 ? `${name.slice(0, 100)}…` : name);
}

function brief(value: unknown): string {
  const text = JSON.stringify(value) ?? "nothing";
  return text.length > 100 ? `${text.slice(0, 100)}…` : text;
}
