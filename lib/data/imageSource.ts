/**
 * Pictures decoded one by one as they are asked for, by the package sharp: here and in worker threads.
 */
import type { WorkerDataset } from "./worker.js";

/** How a picture becomes bytes [channels, height, width]. */
export interface DecodeOptions {
  channels: 1 | 3;
  /** Null: as it is. */
  size: readonly [height: number, width: number] | null;
  fit: "crop" | "stretch" | "pad";
}

/** What is decoded, and how. */
export interface ImageSource extends DecodeOptions {
  paths: readonly string[];
  labels: Int32Array;
  /** Bytes of decoded pictures that are kept. */
  cache: number;
}

type Sharp = typeof import("sharp").default;
let loaded: Promise<Sharp> | null = null;

/** The package sharp, which users install beside napier. */
export function loadSharp(): Promise<Sharp> {
  loaded ??= import("sharp").then(
    ({ default: sharp }) => sharp,
    (error: NodeJS.ErrnoException) => {
      const reason = error.code === "ERR_MODULE_NOT_FOUND" ? "is not installed" : `does not load (${error.message})`;
      throw new Error(
        `imageFolder: pictures are decoded by the package sharp, which ${reason}. Run "npm install sharp"`,
      );
    },
  );
  return loaded;
}

const FITS = { crop: "cover", stretch: "fill", pad: "contain" } as const;

/** A picture of bytes, channel by channel. */
export interface Decoded {
  data: Uint8Array;
  shape: readonly [channels: number, height: number, width: number];
}

/** Decodes a file; an error names it. */
export async function decode(path: string, { channels, size, fit }: DecodeOptions): Promise<Decoded> {
  const sharp = await loadSharp();
  try {
    let picture = sharp(path, { failOn: "error" }).removeAlpha();
    picture = channels === 1 ? picture.greyscale().toColourspace("b-w") : picture.toColourspace("srgb");
    if (size) picture = picture.resize({ height: size[0], width: size[1], fit: FITS[fit], background: "#000" });
    const { data, info } = await picture.raw().toBuffer({ resolveWithObject: true });
    const [h, w, c] = [info.height, info.width, info.channels as number];
    const planes = new Uint8Array(channels * h * w);
    // [h, w, c] to [channels, h, w]; grey ones that stayed so are repeated
    for (let k = 0; k < channels; k++)
      for (let i = 0, from = Math.min(k, c - 1); i < h * w; i++, from += c) planes[k * h * w + i] = data[from]!;
    return { data: planes, shape: [channels, h, w] };
  } catch (error) {
    throw new Error(`imageFolder: ${path} cannot be decoded: ${(error as Error).message.trim()}`, { cause: error });
  }
}

/** What was decoded last, up to a number of bytes: a map is in the order of use. */
class Cache {
  private readonly kept = new Map<number, Decoded>();
  private bytes = 0;
  constructor(private readonly most: number) {}

  get(index: number): Decoded | undefined {
    const found = this.kept.get(index);
    if (found) {
      this.kept.delete(index);
      this.kept.set(index, found);
    }
    return found;
  }

  put(index: number, picture: Decoded): void {
    const { length } = picture.data;
    if (length > this.most || this.kept.has(index)) return;
    this.kept.set(index, picture);
    this.bytes += length;
    for (const [oldest, { data }] of this.kept) {
      if (this.bytes <= this.most) break;
      this.kept.delete(oldest);
      this.bytes -= data.length;
    }
  }
}

/** Example i: the picture, bytes [channels, height, width], and its label. */
export default function images({ paths, labels, cache, ...options }: ImageSource): WorkerDataset {
  const kept = new Cache(cache);
  return {
    length: paths.length,
    async get(index) {
      const picture = kept.get(index) ?? (await decode(paths[index]!, options));
      kept.put(index, picture);
      return [picture, labels[index]!];
    },
  };
}
