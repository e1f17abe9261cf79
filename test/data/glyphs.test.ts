/**
 * @file The embedded digits: the same bytes for the same seed everywhere, each sample independent of the others.
 * When a change of the drawing is wanted, the golden hash is the one that the failing test prints.
 */

import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { glyphImages } from "#lib/data/glyphs.js";

const PIXELS = 28 * 28;

function sha256(...parts: Uint8Array[]): string {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest("hex");
}

describe("glyphImages", () => {
  it.each([
    [
      "seed 231, train",
      { seed: 231, count: 1000, split: "train" },
      "14ddd62742e86a4eeb879a33d13f67f4cbcb7c9228d519722d1356d65a0edccc",
    ],
    [
      "seed 231, test",
      { seed: 231, count: 1000, split: "test" },
      "24dd6832c06823e66305ad8cd219400544a89588a44c5ec55983edf2383c22bc",
    ],
    [
      "a negative seed, far away",
      { seed: -5, count: 100, split: "train", start: 2 ** 33 + 7 },
      "f18c620668a8eafc674f6447b27525240969a31cf4dd5daa5fb933c019099aef",
    ],
  ] as const)("golden bytes: %s", (_, options, golden) => {
    const { images, labels } = glyphImages(options);
    expect(sha256(images, labels)).toBe(golden);
  });

  it("sample i depends on (seed, split, i) alone", () => {
    const all = glyphImages({ seed: 3, count: 64, split: "train" });
    for (const i of [63, 0, 17, 10, 9, 40]) {
      const one = glyphImages({ seed: 3, count: 1, split: "train", start: i });
      expect(one.labels[0]).toBe(all.labels[i]);
      expect(Buffer.compare(one.images, all.images.subarray(i * PIXELS, (i + 1) * PIXELS))).toBe(0);
    }
  });

  it("seeds, splits and the seed's high word give other pictures", () => {
    const hashes = new Set<string>();
    for (const seed of [0, 1, -1, 2 ** 32, 2 ** 32 + 1]) {
      for (const split of ["train", "test"] as const) {
        hashes.add(sha256(glyphImages({ seed, count: 10, split }).images));
      }
    }
    expect(hashes.size).toBe(10);
  });

  it("no picture comes twice", () => {
    const { images } = glyphImages({ seed: 5, count: 3000, split: "train" });
    const hashes = new Set<string>();
    for (let i = 0; i < 3000; i++) hashes.add(sha256(images.subarray(i * PIXELS, (i + 1) * PIXELS)));
    expect(hashes.size).toBe(3000);
  });

  it("every aligned ten holds each digit once, in differing order", () => {
    const { labels } = glyphImages({ seed: 8, count: 500, split: "test" });
    const orders = new Set<string>();
    for (let ten = 0; ten < 500; ten += 10) {
      const order = [...labels.subarray(ten, ten + 10)];
      orders.add(order.join(""));
      expect([...order].sort()).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    }
    expect(orders.size).toBe(50);
  });

  it("digits are bright, on black, and stay off the edge", () => {
    const count = 2000;
    const { images } = glyphImages({ seed: 1, count, split: "train" });
    let onEdge = 0;
    for (let i = 0; i < count; i++) {
      const picture = images.subarray(i * PIXELS, (i + 1) * PIXELS);
      const ink = picture.reduce((n, value) => n + Number(value >= 96), 0);
      expect(ink).toBeGreaterThan(8);
      expect(ink).toBeLessThan(PIXELS / 2);
      expect(Math.max(...picture)).toBeGreaterThan(110);
      let edge = 0;
      for (let k = 0; k < 28; k++) {
        edge = Math.max(edge, picture[k], picture[27 * 28 + k], picture[28 * k], picture[28 * k + 27]);
      }
      onEdge += Number(edge >= 128);
    }
    expect(onEdge / count).toBeLessThan(0.01);
  });

  it("count 0 gives empty arrays", () => {
    const { images, labels } = glyphImages({ seed: 0, count: 0, split: "train" });
    expect([images.length, labels.length]).toEqual([0, 0]);
  });

  it.each([
    [{ seed: 0.5, count: 1, split: "train" as const }, "glyphImages: expected seed to be an integer, got 0.5"],
    [{ seed: 0, count: -1, split: "train" as const }, "glyphImages: expected count to be an integer >= 0, got -1"],
    [{ seed: 0, count: 1, split: "train" as const, start: 2 ** 53 }, "glyphImages: expected start"],
    [{ seed: 0, count: 1, split: "val" as "test" }, 'glyphImages: expected split "train" or "test", got "val"'],
  ])("wrong options: %j", (options, message) => {
    expect(() => glyphImages(options)).toThrow(message);
  });
});
