/**
 * Unpacking chosen files of a .tar.gz (POSIX ustar), for data sets that are published as archives. Only their base names
 * count, so no archive writes outside the folder.
 */
import { createReadStream } from "node:fs";
import { mkdir, open, rename } from "node:fs/promises";
import { basename, join } from "node:path";
import { createGunzip } from "node:zlib";

const BLOCK = 512;

/** Reads exactly n bytes at a time from a stream of chunks. */
class Reader {
  private readonly chunks: AsyncIterator<Buffer>;
  private held: Buffer = Buffer.alloc(0);

  constructor(source: AsyncIterable<Buffer>) {
    this.chunks = source[Symbol.asyncIterator]();
  }

  /** At most `most` bytes, at least one; null at the end. */
  async some(most: number): Promise<Buffer | null> {
    if (this.held.length === 0) {
      const { value, done } = await this.chunks.next();
      if (done) return null;
      this.held = value;
    }
    const taken = this.held.subarray(0, most);
    this.held = this.held.subarray(taken.length);
    return taken;
  }

  async exactly(n: number): Promise<Buffer | null> {
    const parts: Buffer[] = [];
    for (let left = n; left > 0; ) {
      const part = await this.some(left);
      if (part === null) return null;
      parts.push(part);
      left -= part.length;
    }
    return Buffer.concat(parts);
  }
}

/**
 * Unpacks the entries whose base names are `wanted` into `directory`, each under its name only when it is whole.
 *
 * @throws Error when the archive is torn, or lacks one of them
 */
export async function unpack(
  where: string,
  archive: string,
  directory: string,
  wanted: readonly string[],
): Promise<void> {
  await mkdir(directory, { recursive: true });
  const gunzip = createGunzip();
  const source = createReadStream(archive);
  source.on("error", (error) => gunzip.destroy(error));
  const reader = new Reader(source.pipe(gunzip));
  const missing = new Set(wanted);
  const torn = (what: string, cause?: unknown) =>
    new Error(`${where}: cannot unpack ${archive}: ${what}; delete it and fetch it again`, { cause });
  try {
    while (missing.size > 0) {
      const header = await reader.exactly(BLOCK);
      if (header === null || header.every((byte) => byte === 0)) break;
      const text = (from: number, to: number) => header.toString("latin1", from, to).replace(/\0.*$/s, "");
      const size = Number.parseInt(text(124, 136).trim() || "0", 8);
      if (!Number.isSafeInteger(size) || size < 0) throw torn("it is no tar archive");
      const name = basename(text(0, 100));
      const isFile = header[156] === 0x30 || header[156] === 0;
      const take = isFile && missing.has(name);
      const padded = Math.ceil(size / BLOCK) * BLOCK;
      const path = join(directory, name);
      const file = take ? await open(`${path}.part`, "w") : null;
      try {
        for (let left = padded, bytes = size; left > 0; ) {
          const some = await reader.some(left);
          if (some === null) throw torn("it ends in the middle of a file");
          await file?.write(some.subarray(0, Math.max(0, bytes)));
          left -= some.length;
          bytes -= some.length;
        }
      } finally {
        await file?.close();
      }
      if (take) {
        await rename(`${path}.part`, path);
        missing.delete(name);
      }
    }
  } catch (error) {
    if ((error as Error).message.startsWith(where)) throw error;
    throw torn((error as Error).message, error);
  } finally {
    source.destroy();
    gunzip.destroy();
  }
  if (missing.size > 0) throw torn(`it holds no ${[...missing].join(", ")}`);
}
