/**
 * @file Reader for the binary version of CIFAR-10: six files of records, each one label and a 3x32x32 picture.
 * Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images" (2009).
 */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { findFile, readMaybeGzip } from "./idx.js";

/** Class names in the order of the labels. */
export const CIFAR10_CLASSES: readonly string[] = [
  "airplane",
  "automobile",
  "bird",
  "cat",
  "deer",
  "dog",
  "frog",
  "horse",
  "ship",
  "truck",
];

/** Pictures and labels of one split. */
export interface CifarSplit {
  /** [n, 3, 32, 32]: red, green, blue planes. */
  images: Uint8Array;
  /** [n], 0-9: indices into `CIFAR10_CLASSES`. */
  labels: Uint8Array;
}

const PICTURE = 3 * 32 * 32;
const RECORD = 1 + PICTURE;
const FOLDER = "cifar-10-batches-bin"; // what the official archive unpacks to
const SOURCE = "https://www.cs.toronto.edu/~kriz/cifar.html (cifar-10-binary.tar.gz)";

/**
 * Reads CIFAR-10 (n = 50,000 and 10,000) from data_batch_1.bin to data_batch_5.bin and test_batch.bin, or the same
 * names with ".gz", in `directory` or its folder cifar-10-batches-bin.
 *
 * @throws Error when a file is missing (says where to get it), is no whole number of records, or has a label above 9
 */
export async function readCifar10(directory: string): Promise<{ train: CifarSplit; test: CifarSplit }> {
  const nested = join(directory, FOLDER);
  const root = existsSync(nested) ? nested : directory;
  // found before any is read: a missing last file should not cost the time of the others
  const paths: string[] = [];
  for (const name of [1, 2, 3, 4, 5].map((i) => `data_batch_${i}.bin`).concat("test_batch.bin")) {
    paths.push(await findFile("readCifar10", root, [name, `${name}.gz`], [SOURCE]));
  }
  return { train: await readRecords(paths.slice(0, 5)), test: await readRecords(paths.slice(5)) };
}

/** The records of all files, in their order. */
async function readRecords(paths: string[]): Promise<CifarSplit> {
  const batches: Uint8Array[] = [];
  for (const path of paths) {
    const bytes = await readMaybeGzip("readCifar10", path);
    if (bytes.length === 0 || bytes.length % RECORD !== 0) {
      throw new Error(
        `readCifar10: expected ${path} to hold whole records of ${RECORD} bytes (30730000 in an official file), ` +
          `got ${bytes.length} bytes; fetch it again from ${SOURCE}`,
      );
    }
    batches.push(bytes);
  }
  const n = batches.reduce((sum, bytes) => sum + bytes.length, 0) / RECORD;
  const images = new Uint8Array(n * PICTURE);
  const labels = new Uint8Array(n);
  let i = 0;
  batches.forEach((bytes, batch) => {
    for (let at = 0; at < bytes.length; at += RECORD, i++) {
      if (bytes[at] > 9) {
        throw new Error(
          `readCifar10: expected labels 0-9 in ${paths[batch]}, got ${bytes[at]} in record ${at / RECORD}; ` +
            `is it CIFAR-100 or another version? The binary version is at ${SOURCE}`,
        );
      }
      labels[i] = bytes[at];
      images.set(bytes.subarray(at + 1, at + RECORD), i * PICTURE);
    }
  });
  return { images, labels };
}
