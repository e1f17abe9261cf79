/**
 * @file PNG encoding and contact sheets: how reports show filters, samples and mistakes without an image library.
 * Eight bits a channel. Rows are stored as they are, or each as differences from what its neighbours let expect, whichever
 * file is smaller: differences save a third of a photo's bytes, and nothing of drawn digits.
 * Source: the PNG specification, third edition (W3C 2025), sections 9 and 12.7.
 */

import { crc32, deflateSync } from "node:zlib";

/** The extents of a picture stored row by row, channels innermost. */
export interface PngSize {
  width: number;
  height: number;
  /** 1 grey, 3 RGB, 4 RGBA. */
  channels: 1 | 3 | 4;
}

const SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
const COLOUR_TYPE = { 1: 0, 3: 2, 4: 6 };

/**
 * Encodes pixels [height, width, channels] as a PNG file.
 *
 * @throws RangeError when an extent is no positive integer, or their product is not the number of bytes
 */
export function encodePng(pixels: Uint8Array, { width, height, channels }: PngSize): Buffer {
  checkExtents("encodePng", { width, height });
  if (!(channels in COLOUR_TYPE)) throw new RangeError(`encodePng: expected channels 1, 3 or 4, got ${channels}`);
  const row = width * channels;
  if (pixels.length !== row * height) {
    throw new RangeError(
      `encodePng: expected ${row * height} bytes for [${height},${width},${channels}], got ${pixels.length}`,
    );
  }
  const header = Buffer.alloc(13); // the last three bytes: deflate, the five row filters, not interlaced
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header[8] = 8;
  header[9] = COLOUR_TYPE[channels];
  const [plain, differences] = [[0], [0, 1, 2, 3, 4]].map((filters) =>
    deflateSync(filteredRows(pixels, row, channels, filters), { level: 9 }),
  ) as [Buffer, Buffer];
  return Buffer.concat([
    SIGNATURE,
    chunk("IHDR", header),
    chunk("IDAT", differences.length < plain.length ? differences : plain),
    chunk("IEND", Buffer.alloc(0)),
  ]);
}

/** What filters 0 to 4 expect a byte to be, from those to the left, above, and above to the left. */
const EXPECTED: readonly ((left: number, above: number, corner: number) => number)[] = [
  () => 0,
  (left) => left,
  (_, above) => above,
  (left, above) => (left + above) >> 1,
  (left, above, corner) => {
    const slope = left + above - corner; // Paeth: the neighbour next to the plane through all three
    const [a, b, c] = [Math.abs(slope - left), Math.abs(slope - above), Math.abs(slope - corner)];
    return a <= b && a <= c ? left : b <= c ? above : corner;
  },
];

/** Each row, behind its filter: the one of `filters` whose differences, taken as -128 to 127, are smallest in sum. */
function filteredRows(pixels: Uint8Array, row: number, channels: number, filters: readonly number[]): Uint8Array {
  const height = pixels.length / row;
  const rows = new Uint8Array((row + 1) * height);
  const tried = new Uint8Array(row);
  for (let y = 0; y < height; y++) {
    const from = y * row;
    let least = Number.POSITIVE_INFINITY;
    for (const filter of filters) {
      const expected = EXPECTED[filter]!;
      let sum = 0;
      for (let x = 0; x < row; x++) {
        const at = from + x;
        const left = x < channels ? 0 : pixels[at - channels]!;
        const above = y === 0 ? 0 : pixels[at - row]!;
        const corner = x < channels || y === 0 ? 0 : pixels[at - row - channels]!;
        const difference = (pixels[at]! - expected(left, above, corner)) & 255;
        tried[x] = difference;
        sum += difference < 128 ? difference : 256 - difference;
      }
      if (sum >= least) continue;
      least = sum;
      rows[y * (row + 1)] = filter;
      rows.set(tried, y * (row + 1) + 1);
    }
  }
  return rows;
}

/** Length, type, data, CRC of type and data. */
function chunk(type: string, data: Buffer): Buffer {
  const result = Buffer.alloc(data.length + 12);
  result.writeUInt32BE(data.length, 0);
  result.write(type, 4, "latin1");
  result.set(data, 8);
  result.writeUInt32BE(crc32(result.subarray(4, data.length + 8)), data.length + 8);
  return result;
}

/** How `imageGrid` lays pictures out. */
export interface ImageGridOptions {
  /** Extents of each picture. */
  width: number;
  height: number;
  /** Default 1. */
  channels?: 1 | 3 | 4;
  /** Pictures in a row, default ceil(sqrt(n)). */
  columns?: number;
  /** Pixels around and between the pictures, default 2. */
  padding?: number;
  /** Value of the padding in every channel, 0-255, default 0. */
  background?: number;
}

/**
 * Lays pictures [n, height, width] or [n, height, width, channels] out in rows, left to right; what the last row lacks
 * is background. The result is what `encodePng` takes: `encodePng(grid.pixels, grid)`.
 *
 * @throws RangeError when the bytes are no whole positive number of pictures, or an option is out of range
 */
export function imageGrid(
  images: Uint8Array,
  { width, height, channels = 1, columns, padding = 2, background = 0 }: ImageGridOptions,
): PngSize & { pixels: Uint8Array } {
  checkExtents("imageGrid", { width, height, ...(columns === undefined ? {} : { columns }) });
  if (!(channels in COLOUR_TYPE)) throw new RangeError(`imageGrid: expected channels 1, 3 or 4, got ${channels}`);
  if (!Number.isSafeInteger(padding) || padding < 0) {
    throw new RangeError(`imageGrid: expected padding to be an integer >= 0, got ${padding}`);
  }
  const n = images.length / (height * width * channels);
  if (n < 1 || !Number.isInteger(n)) {
    throw new RangeError(
      `imageGrid: expected a positive multiple of ${height * width * channels} bytes for pictures ` +
        `[${height},${width},${channels}], got ${images.length}`,
    );
  }
  const across = columns ?? Math.ceil(Math.sqrt(n));
  const down = Math.ceil(n / across);
  const gridWidth = across * (width + padding) + padding;
  const gridHeight = down * (height + padding) + padding;
  const pixels = new Uint8Array(gridHeight * gridWidth * channels).fill(background);
  const row = width * channels;
  for (let i = 0; i < n; i++) {
    const left = padding + (i % across) * (width + padding);
    const top = padding + Math.floor(i / across) * (height + padding);
    for (let y = 0; y < height; y++) {
      const from = (i * height + y) * row;
      pixels.set(images.subarray(from, from + row), ((top + y) * gridWidth + left) * channels);
    }
  }
  return { pixels, width: gridWidth, height: gridHeight, channels };
}

function checkExtents(name: string, extents: Record<string, number>): void {
  for (const [key, value] of Object.entries(extents)) {
    if (!Number.isSafeInteger(value) || value < 1) {
      throw new RangeError(`${name}: expected ${key} to be an integer >= 1, got ${value}`);
    }
  }
}
