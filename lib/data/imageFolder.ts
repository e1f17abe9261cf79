/**
 * Folders of pictures, a class each.
 */
import { readdir } from "node:fs/promises";
import { extname, join } from "node:path";
import images, { decode, type ImageSource, loadSharp } from "./imageSource.js";
import { PlainDataset } from "./plainDataset.js";

export interface ImageFolderOptions {
  /** Height and width that pictures get; one number is both. Default null: as they are, for pictures of one size. */
  size?: number | readonly [height: number, width: number] | null;
  /**
   * How a picture of another shape gets there: "crop" (default) fills it and cuts what stands over, evenly on both sides;
   * "stretch" gives up its proportions; "pad" keeps all of it, with black beside it.
   */
  fit?: "crop" | "stretch" | "pad";
  /** 3 (default), red, green and blue; 1, grey. Transparency is left out. */
  channels?: 1 | 3;
  /** Of files that are pictures, in small letters. Default those of JPEG, PNG, WebP, GIF, TIFF and AVIF. */
  extensions?: readonly string[];
  /** Names of the subfolders that are classes, in their order. Default: all of them, sorted. */
  classes?: readonly string[];
  /** Bytes of decoded pictures that are kept for the next epoch, in each thread that decodes. Default 0. */
  cache?: number;
  /**
   * A file that cannot be decoded: "throw" (default) when its batch is made; "skip" decodes every file once before the first
   * batch and leaves out those that fail, which `skipped` lists.
   */
  onError?: "throw" | "skip";
}

/** A file that is no example, and why. */
export interface SkippedFile {
  path: string;
  reason: string;
}

/** Pictures of a folder: examples of [bytes [channels, height, width], label]. */
export class ImageFolder extends PlainDataset {
  /** Names of the labels. */
  readonly classes: readonly string[];
  /** The file of each example. */
  readonly paths: readonly string[];
  /** The label of each example, for samplers. */
  readonly labels: Int32Array;
  /** What `onError: "skip"` left out. */
  readonly skipped: readonly SkippedFile[];

  /** @internal */
  constructor(source: ImageSource, classes: readonly string[], skipped: readonly SkippedFile[]) {
    super("imageFolder", images(source), { module: new URL("./imageSource.js", import.meta.url), options: source });
    this.classes = classes;
    this.paths = source.paths;
    this.labels = source.labels;
    this.skipped = skipped;
  }
}

const EXTENSIONS = [".jpg", ".jpeg", ".png", ".webp", ".gif", ".tif", ".tiff", ".avif"];
const AT_ONCE = 8; // files that `onError: "skip"` decodes together

function check({ size, fit, channels, cache, onError }: Required<Omit<ImageFolderOptions, "extensions" | "classes">>) {
  const extents = size === null ? [] : typeof size === "number" ? [size] : size;
  if (!extents.every((e) => Number.isSafeInteger(e) && e >= 1) || (Array.isArray(size) && size.length !== 2))
    throw new RangeError(`imageFolder: expected a size of whole numbers from 1 up, got ${size}`);
  if (!["crop", "stretch", "pad"].includes(fit))
    throw new TypeError(`imageFolder: expected fit "crop", "stretch" or "pad", got "${fit}"`);
  if (channels !== 1 && channels !== 3) throw new RangeError(`imageFolder: expected channels 1 or 3, got ${channels}`);
  if (!(cache >= 0)) throw new RangeError(`imageFolder: expected a cache of bytes from 0 up, got ${cache}`);
  if (onError !== "throw" && onError !== "skip")
    throw new TypeError(`imageFolder: expected onError "throw" or "skip", got "${onError}"`);
}

const byName = (a: string, b: string) => (a < b ? -1 : Number(a > b));

/** Pictures under a folder, however deep, sorted by path. */
async function picturesIn(folder: string, extensions: ReadonlySet<string>): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true, recursive: true });
  return entries
    .filter((entry) => !entry.isDirectory() && extensions.has(extname(entry.name).toLowerCase()))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort(byName);
}

/** Which of the files can be decoded. */
async function sift(source: ImageSource): Promise<{ kept: number[]; skipped: SkippedFile[] }> {
  const reasons = new Map<number, string>();
  let next = 0;
  const decodeSome = async () => {
    while (next < source.paths.length) {
      const i = next++;
      await decode(source.paths[i]!, source).catch((error: Error) => {
        reasons.set(i, (error.cause as Error).message.trim());
      });
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, decodeSome));
  const all = source.paths.map((_, i) => i);
  return {
    kept: all.filter((i) => !reasons.has(i)),
    skipped: all.flatMap((i) => (reasons.has(i) ? [{ path: source.paths[i]!, reason: reasons.get(i)! }] : [])),
  };
}

/**
 * Pictures in a folder with a subfolder for each class, as torchvision's ImageFolder: `dogs/a.jpg`, `dogs/more/b.png`,
 * `cats/c.jpg`. Files are decoded when their batch is made, by the package sharp, which is installed beside napier
 * (`npm install sharp`); batches are bytes uint8 [n, channels, height, width], for data.Normalize, and labels int32 [n].
 * Resizing is sharp's (Lanczos).
 *
 * @throws Error where sharp is missing, a class has no picture, or, naming the file, where one cannot be decoded
 * @example
 * import { mkdirSync } from "node:fs";
 * import sharp from "sharp";
 * for (const background of ["black", "white"]) {
 *   mkdirSync(`shades/${background}`, { recursive: true });
 *   await sharp({ create: { width: 6, height: 4, channels: 3, background } }).toFile(`shades/${background}/a.png`);
 * }
 * const shades = await data.imageFolder("shades", { size: 8 });
 * const loader = new data.DataLoader(shades, { batchSize: 2, transform: new data.Normalize([0.5, 0.5, 0.5], [0.5, 0.5, 0.5]) });
 * for await (const [x, y] of loader) console.log(x.shape, y.shape, shades.classes);
 */
export async function imageFolder(directory: string, options: ImageFolderOptions = {}): Promise<ImageFolder> {
  const { size = null, fit = "crop", channels = 3, cache = 0, onError = "throw", extensions = EXTENSIONS } = options;
  check({ size, fit, channels, cache, onError });
  await loadSharp();
  const folders = (await readdir(directory, { withFileTypes: true })).filter((entry) => entry.isDirectory());
  const classes = options.classes ?? folders.map(({ name }) => name).sort(byName);
  if (classes.length === 0)
    throw new Error(`imageFolder: expected a subfolder for each class in ${directory}, got none`);
  const wanted = new Set(extensions);
  const files = await Promise.all(classes.map((name) => picturesIn(join(directory, name), wanted)));
  const empty = files.findIndex((list) => list.length === 0);
  if (empty >= 0)
    throw new Error(
      `imageFolder: expected pictures (${extensions.join(", ")}) in ${join(directory, classes[empty]!)}, got none`,
    );
  const source: ImageSource = {
    paths: files.flat(),
    labels: Int32Array.from(files.flatMap((list, label) => list.map(() => label))),
    channels,
    size: typeof size === "number" ? [size, size] : size,
    fit,
    cache,
  };
  if (onError === "throw") return new ImageFolder(source, classes, []);
  const { kept, skipped } = await sift(source);
  const left = {
    ...source,
    paths: kept.map((i) => source.paths[i]!),
    labels: Int32Array.from(kept, (i) => source.labels[i]!),
  };
  return new ImageFolder(left, classes, skipped);
}
