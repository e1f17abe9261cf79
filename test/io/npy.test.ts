/** @file The .npy format: golden bytes, every dtype, Fortran order, versions 1 to 3, damage. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { decodeNpy, encodeNpy, readNpy, writeNpy } from "#lib/io/npy.js";
import type { RawDType, RawTensor } from "#lib/io/safetensors.js";

const join1 = (chunks: Uint8Array[]) => new Uint8Array(Buffer.concat(chunks));

/** A file with this header text, taken literally. */
function file(dict: string, data: Uint8Array, version = 1): Uint8Array {
  const text = Buffer.from(`${dict}\n`, "latin1");
  const length = version === 1 ? Buffer.alloc(2) : Buffer.alloc(4);
  if (version === 1) length.writeUInt16LE(text.length);
  else length.writeUInt32LE(text.length);
  return join1([Buffer.from("\x93NUMPY", "latin1"), Uint8Array.of(version, 0), length, text, data]);
}
const dict = (descr: string, shape: string, order = "False") =>
  `{'descr': '${descr}', 'fortran_order': ${order}, 'shape': ${shape}, }`;
const six = Uint8Array.of(0, 1, 2, 3, 4, 5);

test("golden: what numpy.save writes for np.arange(6, dtype='<i4').reshape(2, 3)", () => {
  const bytes = new Uint8Array(Int32Array.of(0, 1, 2, 3, 4, 5).buffer);
  const made = Buffer.from(join1(encodeNpy({ dtype: "int32", shape: [2, 3], bytes })));
  const header = "{'descr': '<i4', 'fortran_order': False, 'shape': (2, 3), }".padEnd(117);
  expect(made.toString("latin1", 0, 128)).toBe(`\x93NUMPY\x01\x00\x76\x00${header}\n`);
  expect(made.subarray(128).equals(bytes)).toBe(true);
});

test.each<[RawDType, number]>([
  ["float32", 4],
  ["float64", 8],
  ["float16", 2],
  ["int32", 4],
  ["int64", 8],
  ["int8", 1],
  ["uint8", 1],
  ["bool", 1],
])("%s goes to a file and back, as scalar, row, matrix and empty", async (dtype, size) => {
  const directory = mkdtempSync(join(tmpdir(), "napier-npy-"));
  try {
    for (const shape of [[], [3], [2, 3], [0, 2], [1, 2, 1, 3]]) {
      const count = shape.reduce((a, b) => a * b, 1);
      const tensor: RawTensor = { dtype, shape, bytes: Uint8Array.from({ length: count * size }, (_, i) => i % 2) };
      await writeNpy(join(directory, "x.npy"), tensor);
      const found = await readNpy(join(directory, "x.npy"));
      expect(found).toEqual(tensor);
      expect(found.bytes.byteOffset % size).toBe(0);
    }
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test("versions 2 and 3, other spacing and key order, '<u1' and Python 2's 3L", () => {
  const expected = { dtype: "uint8", shape: [2, 3], bytes: six };
  expect(decodeNpy(file(dict("|u1", "(2, 3)"), six, 2))).toEqual(expected);
  expect(decodeNpy(file(dict("<u1", "(2,3,)"), six, 3))).toEqual(expected);
  expect(decodeNpy(file("{'shape':(2L, 3L),'fortran_order':False,'descr':'|u1'}", six))).toEqual(expected);
});

test("Fortran order is rearranged", () => {
  // x[i][j] = 3 i + j in columns: 0 3 1 4 2 5
  const columns = Uint8Array.of(0, 3, 1, 4, 2, 5);
  expect([...decodeNpy(file(dict("|u1", "(2, 3)", "True"), columns)).bytes]).toEqual([0, 1, 2, 3, 4, 5]);
  const cube = new Uint8Array(24); // [2, 3, 4] of int16-sized values would do as well; x = 12 i + 4 j + k
  for (let i = 0; i < 2; i++) {
    for (let j = 0; j < 3; j++) for (let k = 0; k < 4; k++) cube[i + 2 * j + 6 * k] = 12 * i + 4 * j + k;
  }
  expect([...decodeNpy(file(dict("|u1", "(2, 3, 4)", "True"), cube)).bytes]).toEqual([...Array(24).keys()]);
  const wide = new Uint8Array(Float32Array.of(0, 2, 1, 3).buffer);
  const { bytes } = decodeNpy(file(dict("<f4", "(2, 2)", "True"), wide));
  expect([...new Float32Array(bytes.buffer)]).toEqual([0, 1, 2, 3]);
  expect(decodeNpy(file(dict("|u1", "(0, 3)", "True"), new Uint8Array(0))).bytes.length).toBe(0);
});

test.each<[string, Uint8Array, RegExp]>([
  [
    "no .npy",
    Uint8Array.from(Buffer.from("PK\x03\x04 an archive")),
    /expected a .npy file.*\.npz file must be unzipped/,
  ],
  ["too short", Uint8Array.of(0x93), /expected a .npy file/],
  ["version 9", file(dict("|u1", "(2, 3)"), six, 9), /version 1, 2 or 3, got 9/],
  ["cut in the header", file(dict("|u1", "(2, 3)"), six).subarray(0, 40), /the header ends at byte/],
  ["cut in the data", file(dict("|u1", "(2, 3)"), six.subarray(1)), /takes 6 bytes, but 5 follow the header/],
  ["too long", file(dict("|u1", "(2, 3)"), new Uint8Array(7)), /takes 6 bytes, but 7 follow/],
  ["big endian", file(dict(">f4", "(1,)"), new Uint8Array(4)), /little-endian numbers, got dtype >f4: save it as/],
  [
    "uint16",
    file(dict("<u2", "(1,)"), new Uint8Array(2)),
    /got dtype <u2: save it as one of <f4, .* with array.astype/,
  ],
  ["objects", file(dict("|O", "(1,)"), new Uint8Array(2)), /Python objects, which are not read/],
  ["structured", file("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}", six), /a structured array/],
  ["no dict", file("print(1)", six), /expected the header to be a Python dict, got "print\(1\)"/],
  ["no shape", file("{'descr': '<f4', 'fortran_order': False}", six), /to have descr, fortran_order and shape/],
  ["bad shape", file(dict("|u1", "(2,,3)"), six), /expected the shape to be whole numbers, got \(2,,3\)/],
  ["huge shape", file(dict("|u1", "(9007199254740991, 99)"), six), /but 6 follow the header/],
  ["unsafe shape", file(dict("|u1", "(99007199254740993,)"), six), /expected the shape to be whole numbers/],
])("%s gets a sentence", (_, bytes, message) => {
  expect(() => decodeNpy(bytes)).toThrow(message);
  expect(() => decodeNpy(bytes)).toThrow(RangeError);
});

test("encodeNpy refuses bfloat16 and a wrong size", () => {
  expect(() => encodeNpy({ dtype: "bfloat16", shape: [1], bytes: new Uint8Array(2) })).toThrow(/cannot hold bfloat16/);
  expect(() => encodeNpy({ dtype: "float32", shape: [2], bytes: new Uint8Array(4) })).toThrow(
    /expected 8 bytes.*got 4/,
  );
});

test.skipIf(!process.env.NAPIER_DATA)(
  "real files (skipped without NAPIER_DATA, the folder that holds squeezenet-imagenet)",
  async () => {
    const directory = join(process.env.NAPIER_DATA!, "squeezenet-imagenet");
    expect((await readNpy(join(directory, "imagenet_val_25_X_u8_nhwc.npy"))).shape).toEqual([25, 224, 224, 3]);
    expect((await readNpy(join(directory, "expected_logits_val25_f32.npy"))).dtype).toBe("float32");
  },
);
