/** @file PNG files decoded back by a decoder of a few lines, and where a grid puts its pictures. */

import { crc32, deflateSync, inflateSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { encodePng, imageGrid } from "#lib/viz/png.js";

/** Decodes 8-bit PNG files, checking each CRC. */
function decodePng(file: Buffer) {
  expect(file.subarray(0, 8).toString("latin1")).toBe("\x89PNG\r\n\x1a\n");
  const chunks = new Map<string, Buffer>();
  for (let at = 8; at < file.length; ) {
    const length = file.readUInt32BE(at);
    const body = file.subarray(at + 4, at + 8 + length);
    expect(file.readUInt32BE(at + 8 + length)).toBe(crc32(body));
    chunks.set(body.toString("latin1", 0, 4), body.subarray(4));
    at += 12 + length;
  }
  expect([...chunks.keys()]).toEqual(["IHDR", "IDAT", "IEND"]);
  const header = chunks.get("IHDR")!;
  const [width, height] = [header.readUInt32BE(0), header.readUInt32BE(4)];
  expect([...header.subarray(8)]).toEqual([8, header[9], 0, 0, 0]);
  const channels = { 0: 1, 2: 3, 6: 4 }[header[9]]!;
  const rows = inflateSync(chunks.get("IDAT")!);
  expect(rows.length).toBe(height * (width * channels + 1));
  const pixels: number[] = [];
  const filters: number[] = [];
  const stride = width * channels;
  for (let y = 0; y < height; y++) {
    const row = rows.subarray(y * (stride + 1), (y + 1) * (stride + 1));
    filters.push(row[0]!);
    for (let x = 0; x < stride; x++) {
      const a = x < channels ? 0 : pixels[y * stride + x - channels]!;
      const b = y === 0 ? 0 : pixels[(y - 1) * stride + x]!;
      const c = x < channels || y === 0 ? 0 : pixels[(y - 1) * stride + x - channels]!;
      // The nearest to a + b - c, in the order a, b, c.
      const [paeth] = [a, b, c].sort((p, q) => Math.abs(a + b - c - p) - Math.abs(a + b - c - q));
      pixels.push((row[x + 1]! + [0, a, b, Math.floor((a + b) / 2), paeth!][row[0]!]!) % 256);
    }
  }
  return { width, height, channels, pixels, filters, bytes: chunks.get("IDAT")!.length };
}

describe("encodePng", () => {
  it.each([
    [1, 1, 1],
    [5, 3, 1],
    [3, 7, 3],
    [2, 2, 4],
  ] as const)("%d x %d, %d channels", (width, height, channels) => {
    const pixels = Uint8Array.from({ length: width * height * channels }, (_, i) => (i * 37) & 255);
    expect(decodePng(encodePng(pixels, { width, height, channels }))).toMatchObject({
      width,
      height,
      channels,
      pixels: [...pixels],
    });
  });

  it("a photo's rows are differences from their neighbours, which makes the file smaller; a drawing's stay", () => {
    const size = { width: 48, height: 40, channels: 3 } as const;
    const make = (level: (x: number, y: number, channel: number, i: number) => number) =>
      Uint8Array.from({ length: 48 * 40 * 3 }, (_, i) => level(Math.floor(i / 3) % 48, Math.floor(i / 144), i % 3, i));
    const stored = (pixels: Uint8Array) => {
      const plain = Array.from({ length: 40 }, (_, y) => [0, ...pixels.subarray(144 * y, 144 * (y + 1))]).flat();
      return {
        ...decodePng(encodePng(pixels, size)),
        plainBytes: deflateSync(Uint8Array.from(plain), { level: 9 }).length,
      };
    };
    // Stripes above each other, beside each other, slanted, bent; and a camera's noise at the bottom.
    const photo = make((x, y, channel, i) => {
      if (y >= 32) return 60 + 64 * Math.abs((Math.sin(12.9898 * i) * 43758.5453) % 1);
      const shade = y < 8 ? 9 * y : y < 16 ? 5 * x : y < 24 ? 3 * x + 4 * y : 60 + 50 * Math.sin(x * y * 0.01);
      return shade + 40 * channel;
    });
    const one = stored(photo);
    expect(one.pixels).toEqual([...photo]);
    expect(new Set(one.filters)).toEqual(new Set([1, 2, 3, 4]));
    expect(one.bytes).toBeLessThan(0.8 * one.plainBytes);
    const drawing = make((x, y) => (((x >> 3) ^ (y >> 2)) % 3 === 0 ? 255 : (x * x * y) % 7));
    const other = stored(drawing);
    expect(other.pixels).toEqual([...drawing]);
    expect(new Set(other.filters)).toEqual(new Set([0]));
    expect(other.bytes).toBe(other.plainBytes);
  });

  it("wrong sizes say what was expected", () => {
    const pixels = new Uint8Array(5);
    expect(() => encodePng(pixels, { width: 2, height: 3, channels: 1 })).toThrow(
      "encodePng: expected 6 bytes for [3,2,1], got 5",
    );
    expect(() => encodePng(pixels, { width: 0, height: 3, channels: 1 })).toThrow("expected width");
    expect(() => encodePng(pixels, { width: 5, height: 1, channels: 2 as 1 })).toThrow("expected channels 1, 3 or 4");
  });
});

describe("imageGrid", () => {
  it("lays grey pictures out in rows, with padding around and between", () => {
    const images = Uint8Array.from([1, 1, 2, 2, 3, 3]); // three pictures of 1x2
    const { pixels, ...size } = imageGrid(images, { width: 2, height: 1, columns: 2, padding: 1, background: 9 });
    expect(size).toEqual({ width: 7, height: 5, channels: 1 });
    expect([...pixels]).toEqual(
      [
        [9, 9, 9, 9, 9, 9, 9],
        [9, 1, 1, 9, 2, 2, 9],
        [9, 9, 9, 9, 9, 9, 9],
        [9, 3, 3, 9, 9, 9, 9],
        [9, 9, 9, 9, 9, 9, 9],
      ].flat(),
    );
  });

  it("keeps the channels of colour pictures together", () => {
    const images = Uint8Array.from([1, 2, 3, 4, 5, 6]); // two pictures of 1x1x3
    const grid = imageGrid(images, { width: 1, height: 1, channels: 3, padding: 0 });
    expect([grid.width, grid.height, [...grid.pixels]]).toEqual([2, 1, [1, 2, 3, 4, 5, 6]]);
    expect(decodePng(encodePng(grid.pixels, grid)).pixels).toEqual([1, 2, 3, 4, 5, 6]);
  });

  it("is square by default", () => {
    const grid = imageGrid(new Uint8Array(5 * 4), { width: 2, height: 2 });
    expect([grid.width, grid.height]).toEqual([3 * 4 + 2, 2 * 4 + 2]);
  });

  it("wrong options say what was expected", () => {
    expect(() => imageGrid(new Uint8Array(5), { width: 2, height: 1 })).toThrow("multiple of 2 bytes");
    expect(() => imageGrid(new Uint8Array(0), { width: 2, height: 1 })).toThrow("positive multiple");
    expect(() => imageGrid(new Uint8Array(2), { width: 2, height: 1, columns: 0 })).toThrow("expected columns");
    expect(() => imageGrid(new Uint8Array(2), { width: 2, height: 1, padding: -1 })).toThrow("expected padding");
  });
});
