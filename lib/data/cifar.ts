/**
 * @file Readers for the binary versions of CIFAR-10 and CIFAR-100: files of records, each a label (CIFAR-100: a coarse
 * and a fine one) and a 3x32x32 picture.
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

/** The 100 classes of CIFAR-100 in the order of the fine labels. */
export const CIFAR100_CLASSES: readonly string[] = (
  "apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can " +
  "castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin " +
  "elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster " +
  "man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck " +
  "pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk " +
  "skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger " +
  "tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm"
).split(" ");

/** Its 20 superclasses in the order of the coarse labels. */
export const CIFAR100_SUPERCLASSES: readonly string[] = (
  "aquatic_mammals fish flowers food_containers fruit_and_vegetables household_electrical_devices " +
  "household_furniture insects large_carnivores large_man-made_outdoor_things large_natural_outdoor_scenes " +
  "large_omnivores_and_herbivores medium_mammals non-insect_invertebrates people reptiles small_mammals trees " +
  "vehicles_1 vehicles_2"
).split(" ");

const PICTURE = 3 * 32 * 32;

/** One of the two data sets: what its files are, and what a record of them begins with. */
interface Version {
  where: string;
  title: string;
  /** What the official archive unpacks to. */
  folder: string;
  train: readonly string[];
  test: string;
  /** For each byte before the picture, how many labels there are. */
  labels: readonly number[];
  source: string;
}

const TEN: Version = {
  where: "readCifar10",
  title: "CIFAR-10",
  folder: "cifar-10-batches-bin",
  train: [1, 2, 3, 4, 5].map((i) => `data_batch_${i}.bin`),
  test: "test_batch.bin",
  labels: [10],
  source: "https://www.cs.toronto.edu/~kriz/cifar.html (cifar-10-binary.tar.gz)",
};
const HUNDRED: Version = {
  where: "readCifar100",
  title: "CIFAR-100",
  folder: "cifar-100-binary",
  train: ["train.bin"],
  test: "test.bin",
  labels: [20, 100],
  source: "https://www.cs.toronto.edu/~kriz/cifar.html (cifar-100-binary.tar.gz)",
};

/** The files of each version, for whoever fetches them. */
export const CIFAR_FILES = {
  cifar10: { folder: TEN.folder, names: [...TEN.train, TEN.test] },
  cifar100: { folder: HUNDRED.folder, names: [...HUNDRED.train, HUNDRED.test] },
};

interface Records {
  images: Uint8Array;
  /** One array a label byte. */
  labels: Uint8Array[];
}

async function read(version: Version, directory: string): Promise<{ train: Records; test: Records }> {
  const nested = join(directory, version.folder);
  const root = existsSync(nested) ? nested : directory;
  // found before any is read: a missing last file should not cost the time of the others
  const paths: string[] = [];
  for (const name of [...version.train, version.test]) {
    paths.push(await findFile(version.where, root, [name, `${name}.gz`], [version.source]));
  }
  return { train: await readRecords(version, paths.slice(0, -1)), test: await readRecords(version, paths.slice(-1)) };
}

/**
 * Reads CIFAR-10 (n = 50,000 and 10,000) from data_batch_1.bin to data_batch_5.bin and test_batch.bin, or the same
 * names with ".gz", in `directory` or its folder cifar-10-batches-bin.
 *
 * @throws Error when a file is missing (says where to get it), is no whole number of records, or has a label above 9
 */
export async function readCifar10(directory: string): Promise<{
  /** 50,000 pictures, those of the five batches in order. */
  train: CifarSplit;
  /** 10,000 pictures. */
  test: CifarSplit;
}> {
  const { train, test } = await read(TEN, directory);
  const split = ({ images, labels }: Records): CifarSplit => ({ images, labels: labels[0]! });
  return { train: split(train), test: split(test) };
}

/** CIFAR-100's splits: labels are the fine ones, indices into `CIFAR100_CLASSES`. */
export interface Cifar100Split extends CifarSplit {
  /** [n], 0-19: indices into `CIFAR100_SUPERCLASSES`. */
  coarse: Uint8Array;
}

/**
 * Reads CIFAR-100 (n = 50,000 and 10,000) from train.bin and test.bin, or the same names with ".gz", in `directory` or its
 * folder cifar-100-binary.
 *
 * @throws Error when a file is missing (says where to get it), is no whole number of records, or has an unknown label
 */
export async function readCifar100(directory: string): Promise<{
  /** 50,000 pictures. */
  train: Cifar100Split;
  /** 10,000 pictures. */
  test: Cifar100Split;
}> {
  const { train, test } = await read(HUNDRED, directory);
  const split = ({ images, labels }: Records): Cifar100Split => ({ images, labels: labels[1]!, coarse: labels[0]! });
  return { train: split(train), test: split(test) };
}

/** The records of all files, in their order. */
async function readRecords({ where, title, labels: kinds, source }: Version, paths: string[]): Promise<Records> {
  const record = kinds.length + PICTURE;
  const batches: Uint8Array[] = [];
  for (const path of paths) {
    const bytes = await readMaybeGzip(where, path);
    if (bytes.length === 0 || bytes.length % record !== 0) {
      throw new Error(
        `${where}: expected ${path} to hold whole records of ${record} bytes (${10_000 * record} in 10,000), ` +
          `got ${bytes.length} bytes; fetch it again from ${source}`,
      );
    }
    batches.push(bytes);
  }
  const n = batches.reduce((sum, bytes) => sum + bytes.length, 0) / record;
  const images = new Uint8Array(n * PICTURE);
  const labels = kinds.map(() => new Uint8Array(n));
  let i = 0;
  batches.forEach((bytes, batch) => {
    for (let at = 0; at < bytes.length; at += record, i++) {
      kinds.forEach((count, b) => {
        const label = bytes[at + b]!;
        if (label >= count) {
          throw new Error(
            `${where}: expected labels 0-${count - 1} in ${paths[batch]}, got ${label} in record ${at / record}; ` +
              `is it another version than ${title}'s binary one? That is at ${source}`,
          );
        }
        labels[b]![i] = label;
      });
      images.set(bytes.subarray(at + kinds.length, at + record), i * PICTURE);
    }
  });
  return { images, labels };
}
