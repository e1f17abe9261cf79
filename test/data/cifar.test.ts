/** @file CIFAR-10's binary version: made-up files in each place and packing, and what missing or wrong ones say. */

import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CIFAR10_CLASSES, readCifar10 } from "#lib/data/cifar.js";

const NAMES = [1, 2, 3, 4, 5].map((i) => `data_batch_${i}.bin`).concat("test_batch.bin");

/** Two records: labels file and 9 - file, pictures filled with 16 * file + record. */
function makeBatch(file: number): Uint8Array {
  const bytes = new Uint8Array(2 * 3073);
  for (const record of [0, 1]) {
    bytes.fill(16 * file + record, record * 3073, (record + 1) * 3073);
    bytes[record * 3073] = record === 0 ? file : 9 - file;
  }
  return bytes;
}

let root = "";
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "napier-cifar-"));
});
afterAll(() => rm(root, { recursive: true }));

async function makeFolder(name: string, { packed = false, without = "" } = {}): Promise<string> {
  const folder = join(root, name);
  await mkdir(folder, { recursive: true });
  for (const [file, stem] of NAMES.entries()) {
    if (stem === without) continue;
    const bytes = makeBatch(file);
    await writeFile(join(folder, packed ? `${stem}.gz` : stem), packed ? gzipSync(bytes) : bytes);
  }
  return folder;
}

describe("readCifar10", () => {
  it.each([
    ["raw files", "raw", "raw", false],
    ["packed files", "packed", "packed", true],
    ["the folder of the official archive", "nested", "nested/cifar-10-batches-bin", false],
  ])("%s", async (_, directory, folder, packed) => {
    await makeFolder(folder, { packed });
    const { train, test } = await readCifar10(join(root, directory));
    expect([...train.labels]).toEqual([0, 9, 1, 8, 2, 7, 3, 6, 4, 5]);
    expect([...test.labels]).toEqual([5, 4]);
    expect([train.images.length, test.images.length]).toEqual([10 * 3072, 2 * 3072]);
    expect([train.images[0], train.images[3072], train.images[9 * 3072 + 3071]]).toEqual([0, 1, 65]);
    expect([test.images[0], test.images[3072]]).toEqual([80, 81]);
  });

  it("has ten class names", () => {
    expect(new Set(CIFAR10_CLASSES).size).toBe(10);
    expect(CIFAR10_CLASSES[3]).toBe("cat");
  });

  it("a missing directory or file says what was looked for and where to get it", async () => {
    const nowhere = join(root, "nowhere");
    await expect(readCifar10(nowhere)).rejects.toThrow(
      `readCifar10: expected data_batch_1.bin in ${nowhere}, but this directory does not exist. Get it from https://`,
    );
    const folder = await makeFolder("lacking", { without: "data_batch_4.bin" });
    await expect(readCifar10(folder)).rejects.toThrow(
      `readCifar10: expected one of data_batch_4.bin, data_batch_4.bin.gz in ${folder}, but it holds data_batch_1.bin`,
    );
  });

  it("a file that is no whole number of records, or has other labels, is named", async () => {
    const folder = await makeFolder("wrong");
    const path = join(folder, "data_batch_2.bin");
    await writeFile(path, makeBatch(1).subarray(0, 5000));
    await expect(readCifar10(folder)).rejects.toThrow(`expected ${path} to hold whole records of 3073 bytes`);
    const bytes = makeBatch(1);
    bytes[3073] = 10;
    await writeFile(path, bytes);
    await expect(readCifar10(folder)).rejects.toThrow(`expected labels 0-9 in ${path}, got 10 in record 1`);
  });
});

const data = process.env.NAPIER_DATA && join(process.env.NAPIER_DATA, "cifar-10");
const present =
  data &&
  ["data_batch_1.bin", "data_batch_1.bin.gz", "cifar-10-batches-bin"].some((name) => existsSync(join(data, name)));
it.skipIf(!present)("the real files (needs NAPIER_DATA, a folder with cifar-10/data_batch_1.bin)", async () => {
  const { train, test } = await readCifar10(data!);
  for (const [{ images, labels }, n] of [
    [train, 50_000],
    [test, 10_000],
  ] as const) {
    expect([images.length, labels.length]).toEqual([n * 3072, n]);
    const counts = new Array(10).fill(0);
    for (const label of labels) counts[label]++;
    expect(counts).toEqual(new Array(10).fill(n / 10));
  }
});
