/**
 * Data sets by name: glyphs (drawn here, nothing to fetch), MNIST, Fashion-MNIST, CIFAR-10. Pictures are kept as bytes
 * [n, c, h, w]; a batch is converted and normalised as it is made. Labels are int32.
 */
import { show } from "../errors.js";
import { unscoped } from "../memory.js";
import { breathe } from "../native.js";
import { fromTyped } from "../tensor.js";
import { CIFAR10_CLASSES, readCifar10 } from "./cifar.js";
import { TensorDataset } from "./dataset.js";
import { GLYPH_SIZE, glyphImages } from "./glyphs.js";
import { findIdx, readIdx } from "./idx.js";
import { Normalize } from "./transforms.js";

export interface ImageSets {
  train: TensorDataset;
  test: TensorDataset;
  /** Names of the labels. */
  classes: readonly string[];
  /** Makes bytes what the network was trained on. */
  normalize: Normalize;
}

export interface ImageSetOptions {
  /** Whether batches are normalised float32 (default), or bytes. */
  normalize?: boolean;
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

/** MNIST: 60,000 and 10,000 handwritten digits, 28x28, from the four IDX files in `directory`, gzip or raw. */
export function mnist(directory: string, { normalize = true }: ImageSetOptions = {}): Promise<ImageSets> {
  return idxSets("mnist", directory, DIGITS, new Normalize(0.1307, 0.3081), normalize);
}

/** Fashion-MNIST (Xiao et al. 2017): 60,000 and 10,000 pictures of clothes in the format of MNIST. */
export function fashionMnist(directory: string, { normalize = true }: ImageSetOptions = {}): Promise<ImageSets> {
  return idxSets("fashionMnist", directory, FASHION, new Normalize(0.286, 0.353), normalize);
}

/** CIFAR-10: 50,000 and 10,000 colour pictures, 32x32, from the binary version in `directory`. */
export async function cifar10(directory: string, { normalize = true }: ImageSetOptions = {}): Promise<ImageSets> {
  const norm = new Normalize([0.4914, 0.4822, 0.4465], [0.247, 0.2435, 0.2616]);
  const { train, test } = await readCifar10(directory);
  const set = ({ images, labels }: typeof train) => imageSet(images, labels, [3, 32, 32], normalize ? norm : null);
  return { train: set(train), test: set(test), classes: CIFAR10_CLASSES, normalize: norm };
}
