/**
 * @file Reader for IDX, the format of MNIST and Fashion-MNIST, packed by gzip or raw.
 *
 *   0 0 type rank | rank extents, uint32 | values, row-major            (all big-endian)
 *
 * Whether a file is packed is told by its content, not its name: browsers and archivers unpack without renaming.
 * Source: "The IDX file format", at the end of Yann LeCun's MNIST page.
 */

import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { gunzip, gunzipSync } from "node:zlib";

/** Type byte -> what IDX calls it, bytes a value, and the typed array that holds it. */
const TYPES = {
  8: { type: "uint8", bytes: 1, make: (n: number) => new Uint8Array(n), read: "getUint8" },
  9: { type: "int8", bytes: 1, make: (n: number) => new Int8Array(n), read: "getInt8" },
  11: { type: "int16", bytes: 2, make: (n: number) => new Int16Array(n), read: "getInt16" },
  12: { type: "int32", bytes: 4, make: (n: number) => new Int32Array(n), read: "getInt32" },
  13: { type: "float32", bytes: 4, make: (n: number) => new Float32Array(n), read: "getFloat32" },
  14: { type: "float64", bytes: 8, make: (n: number) => new Float64Array(n), read: "getFloat64" },
} as const;

type Types = (typeof TYPES)[keyof typeof TYPES];

/** The content of an IDX file; `type` says which array `data` is. */
export type Idx = {
  [T in Types as T["type"]]: {
    /** Of the elements, as the third byte of the file says. */
    type: T["type"];
    /** From the header; its product is the length of `data`. */
    shape: number[];
    /** In the machine's byte order. */
    data: ReturnType<T["make"]>;
  };
}[Types["type"]];

/**
 * Parses the bytes of an IDX file, gzip or raw. The result shares no memory with `bytes`.
 *
 * @throws Error when the gzip data, the magic number, the type or the length is wrong
 */
export function parseIdx(bytes: Uint8Array): Idx {
  if (!isGzip(bytes)) return parse("parseIdx", bytes);
  let unpacked: Uint8Array;
  try {
    unpacked = gunzipSync(bytes);
  } catch (cause) {
    throw new Error(`parseIdx: cannot unpack ${bytes.length} bytes of gzip: ${(cause as Error).message}`, { cause });
  }
  return parse("parseIdx", unpacked);
}

/**
 * Reads an IDX file, gzip or raw.
 *
 * @throws Error as `parseIdx`, and when the file cannot be read or unpacked; the message names the file
 */
export async function readIdx(path: string): Promise<Idx> {
  return parse(`readIdx: ${path}`, await readMaybeGzip("readIdx", path));
}

function parse(where: string, bytes: Uint8Array): Idx {
  if (bytes.length < 4) throw new Error(`${where}: expected a header of at least 4 bytes, got ${bytes.length}`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const code = bytes[2];
  if (bytes[0] !== 0 || bytes[1] !== 0 || !(code in TYPES)) {
    const first = Array.from(bytes.subarray(0, 4), (byte) => byte.toString(16).padStart(2, "0")).join(" ");
    const codes = Object.keys(TYPES).map((key) => Number(key).toString(16).padStart(2, "0"));
    throw new Error(`${where}: expected an IDX file (00 00, type ${codes.join("|")}, rank), got ${first}`);
  }
  const { type, bytes: size, make, read } = TYPES[code as keyof typeof TYPES];
  const rank = bytes[3];
  const header = 4 + 4 * rank;
  if (bytes.length < header) {
    throw new Error(`${where}: expected ${header} bytes of header for ${rank} dimensions, got ${bytes.length}`);
  }
  const shape = Array.from({ length: rank }, (_, i) => view.getUint32(4 + 4 * i));
  const count = shape.reduce((product, extent) => product * extent, 1);
  if (bytes.length !== header + count * size) {
    throw new Error(
      `${where}: expected ${header + count * size} bytes for ${type} [${shape}], got ${bytes.length}` +
        (bytes.length < header + count * size ? "; the file is truncated: fetch it again" : ""),
    );
  }
  const data = make(count);
  if (data instanceof Uint8Array) data.set(bytes.subarray(header));
  else for (let i = 0; i < count; i++) data[i] = view[read](header + i * size);
  return { type, shape, data } as Idx;
}

/**
 * Path of `stem` in `directory`, such as "train-images-idx3-ubyte": also with ".gz", and as
 * "train-images.idx3-ubyte", the spelling that some archives make of it. Unpacked files come first.
 *
 * @throws Error naming what was looked for and where to get it
 */
export async function findIdx(directory: string, stem: string): Promise<string> {
  const dotted = stem.replace("-idx", ".idx");
  const names = [...new Set([stem, dotted])].flatMap((name) => [name, `${name}.gz`]);
  names.sort((a, b) => Number(a.endsWith(".gz")) - Number(b.endsWith(".gz")));
  return findFile("findIdx", directory, names, [
    "MNIST: http://yann.lecun.com/exdb/mnist/",
    "Fashion-MNIST: https://github.com/zalandoresearch/fashion-mnist",
  ]);
}

/** The first of `names` that `directory` holds; `sources` is where to get it, for the error. */
export async function findFile(where: string, directory: string, names: string[], sources: string[]): Promise<string> {
  const remedy = `Get it from ${sources.join(" or ")}`;
  let present: Set<string>;
  try {
    present = new Set(await readdir(directory));
  } catch (cause) {
    const why = (cause as NodeJS.ErrnoException).code === "ENOENT" ? "does not exist" : (cause as Error).message;
    throw new Error(`${where}: expected ${names[0]} in ${directory}, but this directory ${why}. ${remedy}`, { cause });
  }
  const found = names.find((name) => present.has(name));
  if (found !== undefined) return join(directory, found);
  const near = present.size === 0 ? "it is empty" : `it holds ${[...present].sort().slice(0, 8).join(", ")}`;
  throw new Error(`${where}: expected one of ${names.join(", ")} in ${directory}, but ${near}. ${remedy}`);
}

/** The bytes of a file, unpacked when its content is gzip. Errors name `where` and the file. */
export async function readMaybeGzip(where: string, path: string): Promise<Uint8Array> {
  let bytes: Uint8Array;
  try {
    bytes = await readFile(path);
  } catch (cause) {
    throw new Error(`${where}: cannot read ${path}: ${(cause as Error).message}`, { cause });
  }
  if (!isGzip(bytes)) return bytes;
  try {
    return await promisify(gunzip)(bytes);
  } catch (cause) {
    throw new Error(
      `${where}: cannot unpack ${path} (${bytes.length} bytes of gzip): ${(cause as Error).message}; fetch it again`,
      { cause },
    );
  }
}

function isGzip(bytes: Uint8Array): boolean {
  return bytes[0] === 0x1f && bytes[1] === 0x8b;
}
