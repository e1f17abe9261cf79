/** @file JSON lines: random access by offsets, maps, errors with their lines, loaders and workers. */

import { once } from "node:events";
import { appendFileSync, createWriteStream, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { data } from "napier";
import { afterAll, describe, expect, test } from "vitest";

const folder = mkdtempSync(join(tmpdir(), "napier-jsonl-"));
afterAll(() => rmSync(folder, { recursive: true }));
let files = 0;
const write = (text: string): string => {
  const file = join(folder, `${files++}.jsonl`);
  writeFileSync(file, text);
  return file;
};
const pass: data.Pass = { seed: 1, epoch: 0 };
const of = async (set: data.Dataset, ...i: number[]) =>
  (await set.batch(Int32Array.from(i), pass)).map((t) => t.toArraySync());
const numbers = (n: number) =>
  Array.from({ length: n }, (_, i) => JSON.stringify({ x: [i, i + 0.5], y: i % 3 ? "yes" : "no", z: i })).join("\n");

test("examples are found at any place: blank lines, CRLF, a byte order mark, letters of several bytes", async () => {
  const file = write('\ufeff{"x": 1, "s": "äöü€😀"}\r\n\r\n  \n{"x": 2}\n\n   {"x": 3}  \n{"x": 4}');
  const set = await data.jsonLines(file, { fields: ["x"] });
  expect(set.length).toBe(4);
  expect(await of(set, 3, 0, 2, 1)).toEqual([[4, 1, 3, 2]]);
});

test("fields are taken in their order, with the dtypes of a module's examples", async () => {
  const set = await data.jsonLines(write(numbers(4)), { fields: ["z", "x"] });
  const [z, x] = await set.batch(Int32Array.of(1, 3), pass);
  expect([z!.dtype, x!.dtype, x!.shape]).toEqual(["int32", "float32", [2, 2]]);
  expect(await of(set, 1, 3)).toEqual([
    [1, 3],
    [
      [1, 1.5],
      [3, 3.5],
    ],
  ]);
});

test("a map makes fields of anything, and may wait", async () => {
  const map = async ({ x, y }: { x: number[]; y: string }) => [Float32Array.from(x), y === "yes" ? 1 : 0];
  const set = await data.jsonLines(write(numbers(4)), { map });
  expect(await of(set, 0, 1)).toEqual([
    [
      [0, 0.5],
      [1, 1.5],
    ],
    [0, 1],
  ]);
  expect(() => new data.DataLoader(set, { workers: 1 })).toThrow(
    "DataLoader: expected a data set that workers can make",
  );
});

test("no lines at all", async () => {
  expect((await data.jsonLines(write(""), { fields: ["x"] })).length).toBe(0);
});

describe("errors", () => {
  test("name the line, blank ones counted", async () => {
    const file = write('{"x": 1}\n\n\n{"x": 2\n{"y": 3}\n[1]\n{"x": "one"}\n');
    const set = await data.jsonLines(file, { fields: ["x"] });
    await expect(of(set, 0, 1)).rejects.toThrow(`jsonLines: ${file}, line 4: `);
    await expect(of(set, 2)).rejects.toThrow(`${file}, line 5: expected a key "x", got y`);
    await expect(of(set, 3)).rejects.toThrow("line 6: expected an object with x, got [1]");
    await expect(of(set, 4)).rejects.toThrow(
      'line 7: expected a number or nested arrays of numbers under "x", got "one"',
    );
    await expect(of(set, 5)).rejects.toThrow("jsonLines: expected indices from 0 to 4, got 5");
  });
  test("of a map", async () => {
    const file = write("1\n2\n");
    const map = (v: number) => {
      if (v === 2) throw new Error("no two");
      return [v];
    };
    await expect(of(await data.jsonLines(file, { map }), 0, 1)).rejects.toThrow(`${file}, line 2: no two`);
  });
  test("fields or map, not both", async () => {
    await expect(data.jsonLines("a", {})).rejects.toThrow("expected fields or map, got neither");
    await expect(data.jsonLines("a", { fields: ["x"], map: () => [1] })).rejects.toThrow("got both");
  });
  test("a file that grew since it was opened", async () => {
    const file = write(numbers(3));
    const set = await data.jsonLines(file, { fields: ["x"] });
    appendFileSync(file, "\n{}");
    await expect(of(set, 0)).rejects.toThrow(`jsonLines: expected ${file} to stay as it was opened`);
  });
});

describe("in a loader", () => {
  const epoch = async (set: data.Dataset, options: data.DataLoaderOptions) => {
    const batches: unknown[] = [];
    for await (const batch of new data.DataLoader(set, { batchSize: 3, seed: 5, shuffle: true, ...options }))
      batches.push(batch.map((t) => t.toArraySync()));
    return batches;
  };
  test("the same batches with and without workers, whole and split", async () => {
    const map = new URL("./modules/halve.mjs", import.meta.url);
    const set = await data.jsonLines(write(numbers(10)), { map });
    const here = await epoch(set, {});
    expect(here).toHaveLength(4);
    expect(await epoch(set, { workers: 2 })).toEqual(here);
    const [part] = data.randomSplit(set, [7, 3]);
    expect(await epoch(part!, { workers: 2 })).toEqual(await epoch(part!, {}));
  });
  test("an error in a worker names sample and line", async () => {
    const file = write('{"x": 1}\n\n{"x": }\n');
    const set = await data.jsonLines(file, { fields: ["x"] });
    await expect(epoch(set, { workers: 1 })).rejects.toThrow(/DataLoader: sample 1 \(worker 0\): jsonLines: .*line 3/);
  });
});

test("memory stays flat: 40 MB of lines, an epoch at random", async () => {
  const file = join(folder, "large.jsonl");
  const stream = createWriteStream(file);
  const line = `${JSON.stringify({ x: [1, 2], text: "a".repeat(40_000) })}\n`;
  for (let i = 0; i < 1000; i++) if (!stream.write(line)) await once(stream, "drain");
  stream.end();
  await once(stream, "finish");
  global.gc?.();
  const before = process.memoryUsage();
  const set = await data.jsonLines(file, { fields: ["x"] });
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  expect(set.length).toBe(1000);
  // The file is read in pieces of 64 KB; what stays is the places of the lines.
  expect(heapUsed + arrayBuffers - before.heapUsed - before.arrayBuffers).toBeLessThan(30e6);
  let seen = 0;
  for await (const [x] of new data.DataLoader(set, { batchSize: 50, shuffle: true })) seen += x!.shape[0]!;
  expect(seen).toBe(1000);
});
