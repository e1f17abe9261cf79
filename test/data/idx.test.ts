/** @file IDX files: round trips of made-up ones, packed and raw, and what wrong ones say. */

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { findIdx, parseIdx, readIdx } from "#lib/data/idx.js";

/** An IDX file; `value` writes value i at its offset. */
function makeIdx(code: number, shape: number[], size: number, value: (view: DataView, at: number, i: number) => void) {
  const count = shape.reduce((a, b) => a * b, 1);
  const bytes = new Uint8Array(4 + 4 * shape.length + count * size);
  const view = new DataView(bytes.buffer);
  bytes[2] = code;
  bytes[3] = shape.length;
  shape.forEach((extent, i) => void view.setUint32(4 + 4 * i, extent));
  for (let i = 0; i < count; i++) value(view, 4 + 4 * shape.length + i * size, i);
  return bytes;
}

const bytesOf = (shape: number[]) => makeIdx(0x08, shape, 1, (view, at, i) => view.setUint8(at, (i * 7) & 255));

const CASES = [
  [
    "uint8",
    makeIdx(0x08, [2, 3], 1, (v, at, i) => v.setUint8(at, 250 + i)),
    new Uint8Array([250, 251, 252, 253, 254, 255]),
    [2, 3],
  ],
  ["int8", makeIdx(0x09, [3], 1, (v, at, i) => v.setInt8(at, i - 2)), new Int8Array([-2, -1, 0]), [3]],
  ["int16", makeIdx(0x0b, [2, 1], 2, (v, at, i) => v.setInt16(at, -300 * i)), new Int16Array([0, -300]), [2, 1]],
  ["int32", makeIdx(0x0c, [2], 4, (v, at, i) => v.setInt32(at, -70000 * i)), new Int32Array([0, -70000]), [2]],
  [
    "float32",
    makeIdx(0x0d, [1, 2, 1], 4, (v, at, i) => v.setFloat32(at, i - 0.25)),
    new Float32Array([-0.25, 0.75]),
    [1, 2, 1],
  ],
  ["float64", makeIdx(0x0e, [2], 8, (v, at, i) => v.setFloat64(at, i + 0.1)), new Float64Array([0.1, 1.1]), [2]],
  ["uint8", makeIdx(0x08, [], 1, (v, at) => v.setUint8(at, 9)), new Uint8Array([9]), []],
  ["uint8", makeIdx(0x08, [0, 28], 1, () => {}), new Uint8Array(0), [0, 28]],
] as const;

let directory = "";
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "napier-idx-"));
});
afterAll(() => rm(directory, { recursive: true }));

describe("parseIdx", () => {
  it.each(CASES)("%s", (type, bytes, data, shape) => {
    expect(parseIdx(bytes)).toEqual({ type, shape, data });
    expect(parseIdx(gzipSync(bytes))).toEqual({ type, shape, data });
  });

  it("reads at an odd offset of a larger buffer", () => {
    const bytes = CASES[4][1];
    const larger = new Uint8Array(bytes.length + 3);
    larger.set(bytes, 3);
    expect(parseIdx(larger.subarray(3)).data).toEqual(CASES[4][2]);
  });

  it("shares no memory with its argument", () => {
    const bytes = bytesOf([4]);
    const { data } = parseIdx(bytes);
    bytes.fill(255);
    expect([...data]).toEqual([0, 7, 14, 21]);
  });

  it.each([
    ["empty", new Uint8Array(0), "parseIdx: expected a header of at least 4 bytes, got 0"],
    [
      "wrong magic",
      new Uint8Array([0x89, 0x50, 0x4e, 0x47]),
      "expected an IDX file (00 00, type 08|09|0b|0c|0d|0e, rank), got 89 50 4e 47",
    ],
    ["unknown type", new Uint8Array([0, 0, 0x0a, 1, 0, 0, 0, 0]), "got 00 00 0a 01"],
    ["cut in the header", bytesOf([2, 3]).subarray(0, 9), "expected 12 bytes of header for 2 dimensions, got 9"],
    ["truncated", bytesOf([2, 3]).subarray(0, 17), "expected 18 bytes for uint8 [2,3], got 17; the file is truncated"],
    ["too long", new Uint8Array([...bytesOf([2]), 0]), "expected 10 bytes for uint8 [2], got 11"],
    [
      "absurd extents",
      new Uint8Array([0, 0, 8, 2, 255, 255, 255, 255, 255, 255, 255, 255]),
      "got 12; the file is truncated",
    ],
    ["truncated gzip", gzipSync(bytesOf([50])).subarray(0, 30), "parseIdx: cannot unpack 30 bytes of gzip"],
  ])("%s", (_, bytes, message) => {
    expect(() => parseIdx(bytes)).toThrow(message);
  });
});

describe("readIdx", () => {
  it("goes by content, not by name", async () => {
    await writeFile(join(directory, "packed"), gzipSync(bytesOf([5])));
    await writeFile(join(directory, "raw.gz"), bytesOf([5]));
    const expected = { type: "uint8", shape: [5], data: new Uint8Array([0, 7, 14, 21, 28]) };
    expect(await readIdx(join(directory, "packed"))).toEqual(expected);
    expect(await readIdx(join(directory, "raw.gz"))).toEqual(expected);
  });

  it("errors name the file", async () => {
    const path = join(directory, "short");
    await writeFile(path, bytesOf([5]).subarray(0, 10));
    await expect(readIdx(path)).rejects.toThrow(`readIdx: ${path}: expected 13 bytes for uint8 [5], got 10`);
    await writeFile(path, gzipSync(bytesOf([500])).subarray(0, 40));
    await expect(readIdx(path)).rejects.toThrow(`readIdx: cannot unpack ${path} (40 bytes of gzip)`);
    await expect(readIdx(join(directory, "none"))).rejects.toThrow(`readIdx: cannot read ${join(directory, "none")}`);
  });
});

describe("findIdx", () => {
  it.each([
    "train-images-idx3-ubyte",
    "train-images-idx3-ubyte.gz",
    "train-images.idx3-ubyte",
    "train-images.idx3-ubyte.gz",
  ])("finds %s", async (name) => {
    const folder = await mkdtemp(join(directory, "find-"));
    await writeFile(join(folder, name), "");
    expect(await findIdx(folder, "train-images-idx3-ubyte")).toBe(join(folder, name));
  });

  it("says what was looked for and where to get it", async () => {
    const missing = join(directory, "nowhere");
    await expect(findIdx(missing, "t10k-labels-idx1-ubyte")).rejects.toThrow(
      `findIdx: expected t10k-labels-idx1-ubyte in ${missing}, but this directory does not exist. Get it from MNIST: http`,
    );
    const folder = await mkdtemp(join(directory, "find-"));
    await expect(findIdx(folder, "t10k-labels-idx1-ubyte")).rejects.toThrow("t10k-labels.idx1-ubyte.gz in");
    await writeFile(join(folder, "notes.txt"), "");
    await expect(findIdx(folder, "t10k-labels-idx1-ubyte")).rejects.toThrow("but it holds notes.txt. Get it from");
  });
});

const data = process.env.NAPIER_DATA;
describe.skipIf(!data)("the real files (needs NAPIER_DATA, a folder with mnist/ and fashion-mnist/)", () => {
  it.each(["mnist", "fashion-mnist"])("%s", async (name) => {
    const folder = join(data!, name);
    for (const [split, n] of [
      ["train", 60_000],
      ["t10k", 10_000],
    ] as const) {
      const images = await readIdx(await findIdx(folder, `${split}-images-idx3-ubyte`));
      const labels = await readIdx(await findIdx(folder, `${split}-labels-idx1-ubyte`));
      expect([images.shape, labels.shape]).toEqual([[n, 28, 28], [n]]);
      expect(new Set(labels.data).size).toBe(10);
    }
  });
});
