/**
 * @file NumPy's .npy format, on raw bytes: how arrays come from and go to Python.
 *
 *     "\x93NUMPY", major, minor, header length (uint16 in version 1, uint32 in 2 and 3; little endian)
 *     {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }   a Python literal, padded with spaces, ends in \n
 *     the values
 *
 * The header is parsed by its grammar, never evaluated. Source: numpy/lib/format.py.
 */
import { readFile } from "node:fs/promises";
import { writeFileAtomic } from "./atomic.js";
import type { RawDType, RawTensor } from "./safetensors.js";

// One byte has no byte order: numpy writes "|", and reads "<" too.
const DESCRS: { descr: string; dtype: RawDType; size: number }[] = [
  { descr: "<f4", dtype: "float32", size: 4 },
  { descr: "<f8", dtype: "float64", size: 8 },
  { descr: "<f2", dtype: "float16", size: 2 },
  { descr: "<i4", dtype: "int32", size: 4 },
  { descr: "<i8", dtype: "int64", size: 8 },
  { descr: "|i1", dtype: "int8", size: 1 },
  { descr: "|u1", dtype: "uint8", size: 1 },
  { descr: "|b1", dtype: "bool", size: 1 },
];
const MAGIC = Buffer.from("\x93NUMPY", "latin1");

/**
 * The .npy file of a tensor (version 1, C order).
 *
 * @throws TypeError for bfloat16, which .npy cannot name; RangeError when bytes and shape disagree
 */
export function encodeNpy({ dtype, shape, bytes }: RawTensor): Uint8Array[] {
  const row = DESCRS.find((row) => row.dtype === dtype);
  if (!row) throw new TypeError(`encodeNpy: .npy files cannot hold ${dtype}. Cast to float32 first`);
  const size = shape.reduce((product, extent) => product * extent, row.size);
  if (size !== bytes.byteLength) {
    throw new RangeError(
      `encodeNpy: expected ${size} bytes for ${dtype} [${shape.join(", ")}], got ${bytes.byteLength}`,
    );
  }
  const tuple = shape.length === 1 ? `(${shape[0]},)` : `(${shape.join(", ")})`;
  const dict = `{'descr': '${row.descr}', 'fortran_order': False, 'shape': ${tuple}, }`;
  const length = Math.ceil((10 + dict.length + 1) / 64) * 64 - 10; // values start at a multiple of 64
  if (length > 0xffff) throw new RangeError(`encodeNpy: expected a shape of fewer dimensions, got ${shape.length}`);
  const head = Buffer.alloc(10 + length, " ");
  MAGIC.copy(head);
  head.writeUInt16LE(1, 6); // major 1, minor 0
  head.writeUInt16LE(length, 8);
  head.write(dict, 10, "latin1");
  head[head.length - 1] = 0x0a;
  return [new Uint8Array(head.buffer, head.byteOffset, head.length), bytes];
}

/**
 * Reads a .npy file of version 1, 2 or 3. Values in Fortran order are rearranged to C order. The result is a view of
 * `file` where alignment allows a typed array, else a copy.
 *
 * @throws RangeError for anything else (big endian, other dtypes, Python objects, wrong length), with the remedy
 */
export function decodeNpy(file: Uint8Array, what = "decodeNpy"): RawTensor {
  const fail = (sentence: string): never => {
    throw new RangeError(`${what}: ${sentence}`);
  };
  if (file.byteLength < 10 || MAGIC.compare(file, 0, MAGIC.length) !== 0) {
    fail('expected a .npy file, which starts with "\\x93NUMPY"; an .npz file must be unzipped first');
  }
  const major = file[6];
  if (major < 1 || major > 3) fail(`expected .npy version 1, 2 or 3, got ${major}`);
  const start = major === 1 ? 10 : 12;
  if (file.byteLength < start) fail(`the file is cut off after ${file.byteLength} bytes`);
  const view = new DataView(file.buffer, file.byteOffset);
  const begin = start + (major === 1 ? view.getUint16(8, true) : view.getUint32(8, true));
  if (begin > file.byteLength) fail(`the header ends at byte ${begin}, but the file has ${file.byteLength}`);
  // Only ASCII matters here; field names of version 3 may be UTF-8, but structured arrays are refused below.
  const { descr, fortran, shape } = parseDict(Buffer.from(file.subarray(start, begin)).toString("latin1"), what);

  const row = DESCRS.find((row) => row.descr === descr || (row.size === 1 && descr === `<${row.descr.slice(1)}`));
  if (!row) {
    const remedy = descr.includes("O")
      ? "it holds Python objects, which are not read; save numbers"
      : `save it as one of ${DESCRS.map((row) => row.descr).join(", ")}, with array.astype(...) in Python`;
    return fail(`expected little-endian numbers, got dtype ${descr}: ${remedy}`);
  }
  const count = shape.reduce((product, extent) => product * extent, 1);
  const size = count * row.size;
  if (!Number.isSafeInteger(size) || begin + size !== file.byteLength) {
    fail(
      `${descr} (${shape.join(", ")}) takes ${size} bytes, but ${file.byteLength - begin} follow the header: ` +
        "the file is cut off or damaged",
    );
  }
  const values = file.subarray(begin);
  if (fortran && shape.length > 1) {
    return { dtype: row.dtype, shape, bytes: toCOrder(values, shape, row.size) };
  }
  const aligned = values.byteOffset % row.size === 0;
  return { dtype: row.dtype, shape, bytes: aligned ? values : Uint8Array.from(values) };
}

/** Reads a .npy file; see decodeNpy. */
export async function readNpy(path: string): Promise<RawTensor> {
  const file = await readFile(path);
  return decodeNpy(new Uint8Array(file.buffer, file.byteOffset, file.byteLength), `readNpy: ${path}`);
}

/** Writes a .npy file in one step; see encodeNpy. */
export async function writeNpy(path: string, tensor: RawTensor): Promise<void> {
  await writeFileAtomic(path, encodeNpy(tensor));
}

function parseDict(text: string, what: string): { descr: string; fortran: boolean; shape: number[] } {
  const fail = (sentence: string): never => {
    throw new RangeError(`${what}: ${sentence}`);
  };
  const shown = JSON.stringify(text.trim().slice(0, 120));
  const body = /^\{(.*)\}\s*$/s.exec(text)?.[1];
  if (body === undefined) return fail(`expected the header to be a Python dict, got ${shown}`);
  const structured = /'descr'\s*:\s*\[/.test(body);
  if (structured) fail(`expected an array of numbers, got a structured array (${shown}). Save each field by itself`);
  const descr = /(?:^|,)\s*'descr'\s*:\s*'([^']*)'/.exec(body)?.[1];
  const order = /(?:^|,)\s*'fortran_order'\s*:\s*(True|False)/.exec(body)?.[1];
  const tuple = /(?:^|,)\s*'shape'\s*:\s*\(([\d\sL,]*)\)/.exec(body)?.[1];
  if (descr === undefined || order === undefined || tuple === undefined) {
    return fail(`expected the header to have descr, fortran_order and shape, got ${shown}`);
  }
  const items = tuple.split(",").map((item) => item.trim());
  if (items.at(-1) === "") items.pop(); // "()", "(3,)"
  const shape = items.map((item) => (/^\d+L?$/.test(item) ? Number.parseInt(item, 10) : Number.NaN));
  if (!shape.every((extent) => Number.isSafeInteger(extent))) {
    fail(`expected the shape to be whole numbers, got (${tuple.slice(0, 120)})`);
  }
  return { descr, fortran: order === "True", shape };
}

/** Rearranges values from first index fastest to last index fastest. */
function toCOrder(values: Uint8Array, shape: readonly number[], size: number): Uint8Array {
  const result = new Uint8Array(values.byteLength);
  const strides = shape.map((_, axis) => shape.slice(0, axis).reduce((product, extent) => product * extent, size));
  const index = new Array<number>(shape.length).fill(0);
  let from = 0;
  for (let to = 0; to < result.byteLength; to += size) {
    for (let byte = 0; byte < size; byte++) result[to + byte] = values[from + byte];
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      from += strides[axis];
      if (++index[axis] < shape[axis]) break;
      from -= strides[axis] * shape[axis];
      index[axis] = 0;
    }
  }
  return result;
}
