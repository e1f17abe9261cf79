/**
 * The data sets that commands know by name, and how each is trained by default.
 */
import * as data from "../data/index.js";
import { Failure, oneOf, UsageError } from "./usage.js";

/** What trains well on a data set, where the command line does not say otherwise. */
export interface Preset {
  model: string;
  epochs: number;
  batch: number;
  lr: number;
  /** What training batches go through, beside normalisation. */
  augment: data.Transform | null;
}

/** Where files come from; null for what is drawn here. */
const SETS = {
  glyphs: { open: null, files: "", preset: { model: "convnet", epochs: 4, batch: 128, lr: 4e-3, augment: null } },
  mnist: {
    open: data.mnist,
    files: "train-images-idx3-ubyte and its three companions, gzip or raw: http://yann.lecun.com/exdb/mnist/",
    preset: { model: "convnet", epochs: 3, batch: 128, lr: 4e-3, augment: null },
  },
  "fashion-mnist": {
    open: data.fashionMnist,
    files:
      "train-images-idx3-ubyte and its three companions, gzip or raw: https://github.com/zalandoresearch/fashion-mnist",
    preset: { model: "convnet", epochs: 5, batch: 128, lr: 4e-3, augment: null },
  },
  cifar10: {
    open: data.cifar10,
    files:
      "data_batch_1.bin to data_batch_5.bin and test_batch.bin, the binary version: https://www.cs.toronto.edu/~kriz/cifar.html",
    preset: {
      model: "vgg-small",
      epochs: 10,
      batch: 128,
      lr: 4e-3,
      augment: new data.Compose([new data.RandomCrop(32, { padding: 4 }), new data.RandomHorizontalFlip()]),
    },
  },
  cifar100: {
    open: data.cifar100,
    files: "train.bin and test.bin, the binary version: https://www.cs.toronto.edu/~kriz/cifar.html",
    preset: {
      model: "vgg-small",
      epochs: 20,
      batch: 128,
      lr: 4e-3,
      augment: new data.Compose([new data.RandomCrop(32, { padding: 4 }), new data.RandomHorizontalFlip()]),
    },
  },
} as const satisfies Record<
  string,
  {
    open: ((directory?: string, options?: data.NamedSetOptions) => Promise<data.ImageSets>) | null;
    files: string;
    preset: Preset;
  }
>;

export type SetName = keyof typeof SETS;
export const SET_NAMES = Object.keys(SETS) as SetName[];

export const presetOf = (name: SetName): Preset => SETS[name].preset;

/** Where the files of a data set come from. */
export interface Source {
  /** --data; with --download it may be absent: then the files are kept in the user's cache. */
  directory: string | undefined;
  download: boolean;
}

/** Throws unless --data or --download is given just where it is needed. */
export function checkSource(command: string, name: SetName, { directory, download }: Source): void {
  const { open, files } = SETS[name];
  if (open === null && (directory !== undefined || download))
    throw new UsageError(
      `napier ${command}: --dataset ${name} is drawn here and takes no --${download ? "download" : "data"}.`,
    );
  if (open !== null && directory === undefined && !download)
    throw new UsageError(
      `napier ${command}: --dataset ${name} needs --data DIR, a folder with ${files}; or --download, which fetches them.`,
    );
}

/** Reads (or draws) a data set. What is missing is said with what was looked for and where to get it. */
export async function openSets(command: string, name: SetName, source: Source): Promise<data.ImageSets> {
  checkSource(command, name, source);
  const { open } = SETS[name];
  if (open === null) return data.glyphs();
  const { directory, download } = source;
  let shown = "";
  const onProgress = ({ file, received, total }: data.DownloadProgress) => {
    const share =
      total === null ? `${Math.floor(received / 1e7) * 10} MB` : `${Math.floor((10 * received) / total) * 10} %`;
    if (`${file}${share}` !== shown) process.stderr.write(`${file}: ${share}\n`);
    shown = `${file}${share}`;
  };
  try {
    return await open(directory, { download, onProgress });
  } catch (error) {
    throw new Failure(`napier ${command}: ${(error as Error).message}`);
  }
}

export const setNameOf = (command: string, text: string | undefined): SetName =>
  oneOf(command, "dataset", text, SET_NAMES, "glyphs");
