/**
 * Data sets by name: glyphs (drawn here, nothing to fetch), MNIST, Fashion-MNIST, CIFAR-10, CIFAR-100. Pictures are kept
 * as bytes [n, c, h, w]; a batch is converted and normalised as it is made. Labels are int32. What is not in its folder is
 * fetched where `download` says so, and never otherwise.
 */
import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { show } from "../errors.js";
import { unscoped } from "../memory.js";
import { breathe } from "../native.js";
import { fromTyped } from "../tensor.js";
import {
  CIFAR_FILES,
  CIFAR10_CLASSES,
  CIFAR100_CLASSES,
  CIFAR100_SUPERCLASSES,
  readCifar10,
  readCifar100,
} from "./cifar.js";
import { TensorDataset } from "./dataset.js";
import { type DownloadOptions, datasetFolder, downloadFile, type RemoteFile } from "./download.js";
import { GLYPH_SIZE, glyphImages } from "./glyphs.js";
import { findIdx, readIdx } from "./idx.js";
import { unpack } from "./tar.js";
import { Normalize } from "./transforms.js";

/** A named data set: its two parts, and what belongs to them. */
export interface ImageSets {
  /** Pictures and int32 labels to train on. */
  train: TensorDataset;
  /** Pictures and int32 labels to test with. */
  test: TensorDataset;
  /** Names of the labels. */
  classes: readonly string[];
  /** Makes bytes what the network was trained on. */
  normalize: Normalize;
}

/** Options of every named data set. */
export interface ImageSetOptions {
  /** Whether batches are normalised float32 (default), or bytes. */
  normalize?: boolean;
}

/** Of data sets that can be fetched. Their folder is `directory`, or one in the user's cache where none is given. */
export interface NamedSetOptions extends ImageSetOptions, DownloadOptions {
  /** Fetches what the folder lacks from the official addresses. Default false: nothing is ever fetched unasked. */
  download?: boolean;
}

const DIGITS = Array.from({ length: 10 }, (_, i) => `${i}`);
const FASHION = [
  "T-shirt/top",
  "Trouser",
  "Pullover",
  "Dress",
  "Coat",
  "Sandal",
  "Shirt",
  "Sneaker",
  "Bag",
  "Ankle boot",
];

function imageSet(
  images: Uint8Array,
  labels: Uint8Array,
  shape: readonly number[],
  transform: Normalize | null,
): TensorDataset {
  return unscoped(() => {
    const x = fromTyped(images, [labels.length, ...shape], "uint8", false);
    const y = fromTyped(Int32Array.from(labels), [labels.length], "int32");
    const dataset = new TensorDataset([x, y], { transform });
    x.free();
    y.free();
    return dataset;
  });
}

/** Options of glyphs(). */
export interface GlyphSetOptions extends ImageSetOptions {
  /** Another seed draws other pictures. Default 231. */
  seed?: number;
  /** Pictures to train on. Default 20,000. */
  train?: number;
  /** Pictures to test with. Default 4,000. */
  test?: number;
}

// Mean and deviation of x / 255 over 50,000 training pictures of seed 231 (test/data/sets.test.ts measures them).
const GLYPH_NORM = [0.148, 0.278] as const;

/**
 * Drawn digits, 28x28, the same bytes for the same seed everywhere.
 *
 * @example
 * const sets = await data.glyphs({ seed: 1, train: 100, test: 20 });
 */
export async function glyphs({
  seed = 231,
  train = 20_000,
  test = 4_000,
  normalize = true,
}: GlyphSetOptions = {}): Promise<ImageSets> {
  const norm = new Normalize(...GLYPH_NORM);
  const draw = async (split: "train" | "test", count: number): Promise<TensorDataset> => {
    const images = new Uint8Array(count * GLYPH_SIZE * GLYPH_SIZE);
    const labels = new Uint8Array(count);
    // A hundred pictures at a time, a few ms: the event loop stays free.
    for (let start = 0; start < count; start += 100) {
      const some = glyphImages({ seed, split, start, count: Math.min(100, count - start) });
      images.set(some.images, start * GLYPH_SIZE * GLYPH_SIZE);
      labels.set(some.labels, start);
      await breathe();
    }
    return imageSet(images, labels, [1, GLYPH_SIZE, GLYPH_SIZE], normalize ? norm : null);
  };
  for (const [name, count] of [
    ["train", train],
    ["test", test],
  ] as const) {
    if (!Number.isSafeInteger(count) || count < 0)
      throw new RangeError(`glyphs: expected ${name} to be a number of pictures from 0 up, got ${count}`);
  }
  return { train: await draw("train", train), test: await draw("test", test), classes: DIGITS, normalize: norm };
}

/** Where the four IDX files of a data set are, and their MD5 digests (those that PyTorch checks). */
interface IdxSource {
  where: "mnist" | "fashionMnist";
  urls: readonly string[];
  digests: Record<string, string>;
}

const MNIST: IdxSource = {
  where: "mnist",
  urls: ["https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/"],
  digests: {
    "train-images-idx3-ubyte": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte": "d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte": "9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte": "ec29112dd5afa0611ce80d1b7f02629c",
  },
};
const FASHION_MNIST: IdxSource = {
  where: "fashionMnist",
  urls: ["http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"],
  digests: {
    "train-images-idx3-ubyte": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "train-labels-idx1-ubyte": "25c81989df183df01b3e8a0aad5dffbe",
    "t10k-images-idx3-ubyte": "bef4ecab320f06d8554ea6380940ec79",
    "t10k-labels-idx1-ubyte": "bb300cfdad3c16e7a12a480ee83cd310",
  },
};

const KRIZ = "https://www.cs.toronto.edu/~kriz/";
const ARCHIVES: Record<"cifar10" | "cifar100", RemoteFile> = {
  cifar10: {
    name: "cifar-10-binary.tar.gz",
    urls: [`${KRIZ}cifar-10-binary.tar.gz`],
    digest: "c32a1d4ab5d03f1284b67883e8d87530",
  },
  cifar100: {
    name: "cifar-100-binary.tar.gz",
    urls: [`${KRIZ}cifar-100-binary.tar.gz`],
    digest: "03b5dce01913d631647c71ecec9e9cb8",
  },
};

async function fetchIdx({ where, urls, digests }: IdxSource, directory: string, options: DownloadOptions) {
  for (const [stem, digest] of Object.entries(digests)) {
    const present = await findIdx(directory, stem).catch(() => null);
    const name = `${stem}.gz`;
    if (present === null)
      await downloadFile(where, { name, urls: urls.map((url) => url + name), digest }, directory, options);
  }
}

async function fetchCifar(name: "cifar10" | "cifar100", directory: string, options: DownloadOptions): Promise<void> {
  const { folder, names } = CIFAR_FILES[name];
  const inFolder = (path: string) =>
    names.every((file) => existsSync(join(path, file)) || existsSync(join(path, `${file}.gz`)));
  if (inFolder(directory) || inFolder(join(directory, folder))) return;
  const archive = await downloadFile(name, ARCHIVES[name], directory, options);
  await unpack(name, archive, join(directory, folder), names);
  await rm(archive);
}

async function idxSets(
  where: string,
  directory: string,
  classes: readonly string[],
  norm: Normalize,
  normalize: boolean,
): Promise<ImageSets> {
  const read = async (stem: string): Promise<TensorDataset> => {
    const images = await readIdx(await findIdx(directory, `${stem}-images-idx3-ubyte`));
    const labels = await readIdx(await findIdx(directory, `${stem}-labels-idx1-ubyte`));
    const [n, h, w] = images.shape as [number, number, number];
    if (
      images.type !== "uint8" ||
      labels.type !== "uint8" ||
      images.shape.length !== 3 ||
      labels.shape.length !== 1 ||
      labels.shape[0] !== n
    ) {
      throw new Error(
        `${where}: expected bytes [n,h,w] and labels [n] in ${directory}, got ${images.type} ${show(images.shape)} and ${labels.type} ${show(labels.shape)}`,
      );
    }
    const bad = labels.data.findIndex((label) => label >= classes.length);
    if (bad >= 0)
      throw new Error(
        `${where}: expected labels from 0 to ${classes.length - 1} in ${directory}, got ${labels.data[bad]} at ${bad}`,
      );
    return imageSet(images.data, labels.data, [1, h, w], normalize ? norm : null);
  };
  return { train: await read("train"), test: await read("t10k"), classes, normalize: norm };
}

/**
 * MNIST: 60,000 and 10,000 handwritten digits, 28x28, from the four IDX files in `directory`, gzip or raw.
 *
 * @param directory default: napier/datasets/mnist in the user's cache ($XDG_CACHE_HOME); so it is for the sets below
 * @throws Error when a file is missing or torn, or cannot be fetched
 */
export async function mnist(
  directory: string = datasetFolder("mnist"),
  { normalize = true, download = false, ...options }: NamedSetOptions = {},
): Promise<ImageSets> {
  if (download) await fetchIdx(MNIST, directory, options);
  return idxSets("mnist", directory, DIGITS, new Normalize(0.1307, 0.3081), normalize);
}

/** Fashion-MNIST (Xiao et al. 2017): 60,000 and 10,000 pictures of clothes in the format of MNIST. */
export async function fashionMnist(
  directory: string = datasetFolder("fashion-mnist"),
  { normalize = true, download = false, ...options }: NamedSetOptions = {},
): Promise<ImageSets> {
  if (download) await fetchIdx(FASHION_MNIST, directory, options);
  return idxSets("fashionMnist", directory, FASHION, new Normalize(0.286, 0.353), normalize);
}

function cifarSets(
  splits: Record<"train" | "test", { images: Uint8Array; labels: Uint8Array }>,
  classes: readonly string[],
  norm: Normalize,
  normalize: boolean,
): ImageSets {
  const set = ({ images, labels }: { images: Uint8Array; labels: Uint8Array }) =>
    imageSet(images, labels, [3, 32, 32], normalize ? norm : null);
  return { train: set(splits.train), test: set(splits.test), classes, normalize: norm };
}

/** CIFAR-10: 50,000 and 10,000 colour pictures, 32x32, from the binary version in `directory`. */
export async function cifar10(
  directory: string = datasetFolder("cifar10"),
  { normalize = true, download = false, ...options }: NamedSetOptions = {},
): Promise<ImageSets> {
  if (download) await fetchCifar("cifar10", directory, options);
  const norm = new Normalize([0.4914, 0.4822, 0.4465], [0.247, 0.2435, 0.2616]);
  return cifarSets(await readCifar10(directory), CIFAR10_CLASSES, norm, normalize);
}

/** Options of cifar100(). */
export interface Cifar100Options extends NamedSetOptions {
  /** The 100 classes (default), or their 20 superclasses. */
  labels?: "fine" | "coarse";
}

/** CIFAR-100: 50,000 and 10,000 colour pictures, 32x32, of 100 classes, from the binary version in `directory`. */
export async function cifar100(
  directory: string = datasetFolder("cifar100"),
  { normalize = true, download = false, labels = "fine", ...options }: Cifar100Options = {},
): Promise<ImageSets> {
  if (labels !== "fine" && labels !== "coarse")
    throw new TypeError(`cifar100: expected labels "fine" or "coarse", got ${labels}`);
  if (download) await fetchCifar("cifar100", directory, options);
  const norm = new Normalize([0.5071, 0.4865, 0.4409], [0.2673, 0.2564, 0.2762]);
  const { train, test } = await readCifar100(directory);
  if (labels === "fine") return cifarSets({ train, test }, CIFAR100_CLASSES, norm, normalize);
  const coarse = ({ images, coarse: labels }: typeof train) => ({ images, labels });
  return cifarSets({ train: coarse(train), test: coarse(test) }, CIFAR100_SUPERCLASSES, norm, normalize);
}
