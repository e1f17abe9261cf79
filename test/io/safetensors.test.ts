/** @file The safetensors format: golden bytes, round trips, every kind of damage, fuzz, a real file. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import {
  decodeSafetensors,
  encodeSafetensors,
  type RawDType,
  type RawTensor,
  readSafetensors,
  readSafetensorsHeader,
  writeSafetensors,
} from "#lib/io/safetensors.js";

const directory = mkdtempSync(join(tmpdir(), "napier-safetensors-"));
afterAll(() => rmSync(directory, { recursive: true }));

const f32 = (shape: number[], ...values: number[]): RawTensor => ({
  dtype: "float32",
  shape,
  bytes: new Uint8Array(Float32Array.from(values).buffer),
});
const join1 = (chunks: Uint8Array[]) => new Uint8Array(Buffer.concat(chunks));
const plain = (value: object) => JSON.parse(JSON.stringify(value, (_, v) => (v instanceof Uint8Array ? [...v] : v)));

/** A file with this header, taken literally, and `data` bytes of data. */
function file(header: string | Uint8Array, data = 0, length?: bigint): Uint8Array {
  const json = typeof header === "string" ? Buffer.from(header) : header;
  const bytes = new Uint8Array(8 + json.length + data);
  new DataView(bytes.buffer).setBigUint64(0, length ?? BigInt(json.length), true);
  bytes.set(json, 8);
  return bytes;
}
const one = (shape: string, offsets: string, dtype = '"F32"') =>
  `{"w":{"dtype":${dtype},"shape":${shape},"data_offsets":${offsets}}}`;

describe("encode", () => {
  test("golden: the bytes that the reference implementation writes", () => {
    // From the Rust crate's own test: one I32 [2, 2] of zeros, the header padded to 0x40 with spaces.
    const header = '{"test":{"dtype":"I32","shape":[2,2],"data_offsets":[0,16]}}    ';
    const expected = Buffer.concat([Buffer.from([0x40, 0, 0, 0, 0, 0, 0, 0]), Buffer.from(header), Buffer.alloc(16)]);
    const made = join1(encodeSafetensors({ test: { dtype: "int32", shape: [2, 2], bytes: new Uint8Array(16) } }));
    expect(Buffer.from(made).equals(expected)).toBe(true);
  });

  test("golden: the wide dtypes first, then names by UTF-8, whatever the order given", () => {
    const of = (dtype: RawDType, size: number): RawTensor => ({ dtype, shape: [1], bytes: new Uint8Array(size) });
    const chunks = encodeSafetensors(
      {
        b: of("bool", 1),
        "\u{1f600}": of("uint8", 1), // after U+FF5E in UTF-8, before it in UTF-16
        "\uff5e": of("uint8", 1),
        i8: of("int8", 1),
        h: of("float16", 2),
        g: of("bfloat16", 2),
        i: of("int32", 4),
        "10": of("float32", 4),
        "9": of("float32", 4),
        d: of("float64", 8),
        l: of("int64", 8),
      },
      { format: "pt" },
    );
    const text = Buffer.from(chunks[0].subarray(8)).toString();
    expect(text.startsWith('{"__metadata__":{"format":"pt"},"l":{"dtype":"I64"')).toBe(true);
    const names = [...text.matchAll(/"([^"]+)":\{"dtype"/g)].map((match) => match[1]);
    expect(names).toEqual(["l", "d", "10", "9", "i", "g", "h", "i8", "\uff5e", "\u{1f600}", "b"]);
    expect(chunks[0].length % 8).toBe(0);
  });

  test("the tensors' own arrays are the chunks: nothing is copied", () => {
    const w = f32([2], 1, 2);
    expect(encodeSafetensors({ w })[1]).toBe(w.bytes);
  });

  test.each<[string, Record<string, unknown>, Record<string, unknown> | undefined, RegExp]>([
    [
      "a wrong size",
      { w: { ...f32([2], 1, 2), shape: [3] } },
      {},
      /tensor "w": expected 12 bytes for float32 \[3\], got 8/,
    ],
    ["a reserved name", { __metadata__: f32([1], 1) }, {}, /reserved for metadata/],
    ["an unknown dtype", { w: { ...f32([1], 1), dtype: "uint16" } }, {}, /"w": expected a dtype of int64.*got uint16/],
    [
      "an absurd shape",
      { w: { ...f32([1], 1), shape: [1.5] } },
      {},
      /whole numbers whose product is safe, got \[1.5\]/,
    ],
    ["metadata that is no string", { w: f32([1], 1) }, { epoch: 3 }, /metadata "epoch" to be a string, got number/],
  ])("refuses %s", (_, tensors, metadata, message) => {
    expect(() => encodeSafetensors(tensors as Record<string, RawTensor>, metadata as Record<string, string>)).toThrow(
      message,
    );
  });
});

describe("round trip", () => {
  const tensors: Record<string, RawTensor> = Object.assign(Object.create(null), {
    "layer.0.weight": f32([2, 3], 1, -2, 3.5, Number.NaN, 1e-40, -0),
    scalar: f32([], 7),
    empty: f32([0, 4]),
    empty2: { dtype: "bool", shape: [3, 0], bytes: new Uint8Array(0) },
    mask: { dtype: "bool", shape: [3], bytes: Uint8Array.of(1, 0, 1) },
    half: { dtype: "float16", shape: [1], bytes: Uint8Array.of(0, 0x3c) },
    steps: { dtype: "int64", shape: [1], bytes: new Uint8Array(BigInt64Array.of(-5n).buffer) },
    '"ü\n\\': f32([1], 1),
  });
  Object.defineProperty(tensors, "__proto__", { value: f32([1], 2), enumerable: true });
  const metadata = Object.assign(Object.create(null), { format: "pt", note: '{"a": "ü"}' });

  test("in memory, through a file, and the header alone", async () => {
    const bytes = join1(encodeSafetensors(tensors, metadata));
    const path = join(directory, "round.safetensors");
    await writeSafetensors(path, tensors, metadata);
    for (const found of [decodeSafetensors(bytes), await readSafetensors(path)]) {
      expect(plain(found.metadata)).toEqual(plain(metadata));
      expect(Object.keys(found.tensors).sort()).toEqual(Object.keys(tensors).sort());
      for (const name of Object.keys(tensors)) expect(plain(found.tensors[name])).toEqual(plain(tensors[name]));
    }
    const header = await readSafetensorsHeader(path);
    expect(header.fields.map(({ name }) => name).sort()).toEqual(Object.keys(tensors).sort());
    expect(header.fields[0].name).toBe("steps");
  });

  test("no tensors at all", () => {
    const bytes = join1(encodeSafetensors({}));
    expect(Buffer.from(bytes).toString("latin1", 8)).toBe("{}      ");
    expect(plain(decodeSafetensors(bytes))).toEqual({ tensors: {}, metadata: {} });
  });

  test("tensors are views where they lie aligned, and aligned copies where they do not", () => {
    const bytes = join1(encodeSafetensors({ w: f32([2], 1, 2) }));
    expect(decodeSafetensors(bytes).tensors.w.bytes.buffer).toBe(bytes.buffer);
    const shifted = new Uint8Array(bytes.length + 1);
    shifted.set(bytes, 1);
    const { w } = decodeSafetensors(shifted.subarray(1)).tensors;
    expect([...new Float32Array(w.bytes.buffer, w.bytes.byteOffset, 2)]).toEqual([1, 2]);
    // A header without padding, as other writers make it.
    const odd = file(`${one("[1]", "[0,4]")} `, 4);
    const other = decodeSafetensors(odd).tensors.w.bytes;
    expect(() => new Float32Array(other.buffer, other.byteOffset, 1)).not.toThrow();
  });

  test("the data may lie in any order, with spaces in the header", () => {
    const header = `{ "b": {"shape": [1], "data_offsets": [4, 5], "dtype": "U8"} , "a":
      {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}, "z": {"dtype": "F32", "shape": [0], "data_offsets": [4, 4]} }`;
    const { tensors } = decodeSafetensors(file(header, 5));
    expect(Object.keys(tensors)).toEqual(["a", "z", "b"]);
  });
});

describe("a damaged file gets a sentence", () => {
  const cases: [string, Uint8Array, RegExp][] = [
    ["empty", new Uint8Array(0), /expected a safetensors file of at least 8 bytes, got 0/],
    ["7 bytes", new Uint8Array(7), /at least 8 bytes, got 7/],
    ["header over the bound", file("{}", 0, 100_000_001n), /at most 100000000 bytes, got 100000001/],
    ["header length 2^64 - 1", file("{}", 0, 0xffff_ffff_ffff_ffffn), /got 18446744073709551615/],
    ["header longer than the file", file("{}", 0, 3n), /3 bytes long, but the file has 10/],
    ["empty header", file(""), /start with "\{", got ""/],
    ["not UTF-8", file(Uint8Array.of(0x7b, 0xff, 0x7d)), /not valid UTF-8/],
    ["byte order mark", file("\ufeff{}"), /start with "\{"/],
    ["not JSON", file('{"w":'), /not valid JSON/],
    ["an array", file("[]"), /start with "\{", got "\["/],
    ["a key twice", file(`{"w":1,"a":[{"w":2}],"w" :2}`), /has the key "w" twice/],
    ["an escaped key twice", file(`{"w":1,"\\u0077":2}`), /has the key "w" twice/],
    ["a field twice", file('{"w":{"dtype":"F32","dtype":"F32"}}'), /has the key "dtype" twice/],
    ["metadata a number", file('{"__metadata__":3}'), /__metadata__ to be an object of strings, got a number/],
    ["metadata nested", file('{"__metadata__":{"a":[]}}'), /metadata "a" to be a string, got an array/],
    ["tensor null", file('{"w":null}'), /tensor "w": expected an object with dtype, shape, data_offsets, got null/],
    ["no dtype", file('{"w":{}}'), /tensor "w": expected a dtype of I64, .*BOOL, got nothing/],
    ["dtype U16", file(one("[1]", "[0,2]", '"U16"'), 2), /tensor "w": expected a dtype of .* got "U16"/],
    ["dtype I16", file(one("[1]", "[0,2]", '"I16"'), 2), /got "I16"/],
    ["dtype toString", file(one("[1]", "[0,2]", '"toString"'), 2), /got "toString"/],
    ["shape a number", file(one("4", "[0,4]"), 4), /tensor "w": expected shape to be an array .* got 4/],
    ["extent negative", file(one("[-1]", "[0,4]"), 4), /got \[-1\]/],
    ["extent a fraction", file(one("[0.5]", "[0,4]"), 4), /got \[0.5\]/],
    ["extent a string", file(one('["1"]', "[0,4]"), 4), /got \["1"\]/],
    ["extent unsafe", file(one("[9007199254740993]", "[0,4]"), 4), /whole numbers from 0 to 2\^53 - 1/],
    ["product overflows", file(one("[4294967296,4294967296]", "[0,4]"), 4), /takes more than 2\^53 bytes/],
    ["offsets one", file(one("[1]", "[0]"), 4), /data_offsets to be \[begin, end\] in whole bytes, got \[0\]/],
    ["offsets three", file(one("[1]", "[0,4,4]"), 4), /data_offsets to be/],
    ["offsets reversed", file(one("[1]", "[4,0]"), 4), /\[4, 0\] lie outside of the 4 bytes/],
    ["offsets past the end", file(one("[2]", "[0,8]"), 4), /\[0, 8\] lie outside of the 4 bytes of data/],
    ["size wrong", file(one("[2]", "[0,4]"), 4), /F32 \[2\] takes 8 bytes, but data_offsets \[0, 4\] hold 4/],
    [
      "hole at the start",
      file(one("[1]", "[4,8]"), 8),
      /begin at 4, but the tensor before it ends at 0: 4 bytes belong/,
    ],
    ["trailing bytes", file(one("[1]", "[0,4]"), 5), /trailing bytes/],
    [
      "overlap",
      file(
        '{"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},"b":{"dtype":"U8","shape":[3],"data_offsets":[2,5]}}',
        5,
      ),
      /tensor "b": data_offsets begin at 2, but the tensor before it ends at 3: they overlap/,
    ],
    [
      "hole between",
      file(
        '{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}}',
        3,
      ),
      /tensor "b".*1 bytes belong to no tensor/,
    ],
  ];
  test.each(cases)("%s", async (_, bytes, message) => {
    expect(() => decodeSafetensors(bytes)).toThrow(message);
    const path = join(directory, "damaged.safetensors");
    writeFileSync(path, bytes);
    await expect(readSafetensors(path)).rejects.toThrow(message);
    await expect(readSafetensors(path)).rejects.toThrow(path);
  });

  test("a missing file", async () => {
    await expect(readSafetensors(join(directory, "none"))).rejects.toThrow("ENOENT");
  });
});

test("fuzz: random bytes and mutated files only ever throw a RangeError with the function's name", () => {
  let state = 231;
  const random = (n: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
  const good = join1(
    encodeSafetensors({ "a.w": f32([2, 2], 1, 2, 3, 4), b: f32([0]), c: f32([1], 5) }, { format: "pt", x: "1" }),
  );
  const pieces = ["{", "}", "[", "]", ",", ":", '"', "\\", "null", "-1", "1e400", "9007199254740993", '"F32"', "a.w"];
  let accepted = 0;
  for (let round = 0; round < 20_000; round++) {
    let bytes: Uint8Array;
    if (round % 4 === 0) {
      bytes = Uint8Array.from({ length: random(64) }, () => random(256));
      if (bytes.length > 8 && round % 8 === 0) bytes.set([bytes.length - 8, 0, 0, 0, 0, 0, 0, 0, 0x7b]);
    } else {
      const edits = 1 + random(3);
      let text = Buffer.from(good).toString("latin1");
      for (let edit = 0; edit < edits; edit++) {
        const at = random(text.length);
        const piece = random(2) ? pieces[random(pieces.length)] : String.fromCharCode(random(256));
        text = text.slice(0, at) + piece + text.slice(at + random(4));
      }
      bytes = new Uint8Array(Buffer.from(text, "latin1"));
      // Half of them with a header length that fits again, so that the damage reaches the later checks.
      const length = bytes.length - 20;
      if (random(2) && length > 0) bytes.set([length & 255, length >> 8, 0, 0, 0, 0, 0, 0]);
    }
    try {
      decodeSafetensors(bytes);
      accepted++;
    } catch (error) {
      expect(error).toBeInstanceOf(RangeError);
      expect((error as Error).message).toMatch(/^decodeSafetensors: /);
    }
  }
  expect(accepted).toBeGreaterThan(0); // some edits fall into data, names or padding
});

test("a header of 2 MB of nesting, of one long key and of 40,000 tensors is checked in linear time", () => {
  expect(() => decodeSafetensors(file(`{"w":${"[".repeat(1e6)}${"]".repeat(1e6)}}`))).toThrow(RangeError);
  expect(() => decodeSafetensors(file(`{"${"\\\\".repeat(1e6)}":1}`))).toThrow(/expected an object/);
  const many = Object.fromEntries(Array.from({ length: 40_000 }, (_, i) => [`t${i}`, f32([0])]));
  const start = performance.now();
  expect(Object.keys(decodeSafetensors(join1(encodeSafetensors(many))).tensors).length).toBe(40_000);
  expect(performance.now() - start).toBeLessThan(5000);
});

test.skipIf(!process.env.NAPIER_DATA)(
  "a real file: SqueezeNet 1.0 (skipped without NAPIER_DATA, the folder that holds squeezenet-imagenet)",
  async () => {
    const path = join(process.env.NAPIER_DATA!, "squeezenet-imagenet", "squeezenet1_0_deepcompressed.safetensors");
    const { tensors, metadata } = await readSafetensors(path);
    expect(Object.keys(tensors).length).toBe(52);
    expect(tensors["features.0.weight"].shape).toEqual([96, 3, 7, 7]);
    expect(metadata.note).toContain("Caffe SqueezeNet v1.0");
    const values = Object.values(tensors).reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
    expect(values).toBe(1_248_424); // the published parameter count
    const { bytes } = tensors["features.0.weight"];
    const weights = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
    expect(weights.every((value) => Math.abs(value) < 10)).toBe(true);
    const again = decodeSafetensors(join1(encodeSafetensors(tensors, metadata)));
    for (const name of Object.keys(tensors)) {
      expect(Buffer.from(again.tensors[name].bytes).equals(tensors[name].bytes)).toBe(true);
    }
  },
);
