/**
 * @file Drawn scenes: the same bytes for the same seed, each scene independent of the others; what the captions say is what
 * the pixels show, read back by other formulas. When a change of the drawing is wanted, the golden hash is the one that the
 * failing test prints.
 */
import { createHash } from "node:crypto";
import { data } from "napier";
import { describe, expect, it } from "vitest";
import { glyphInk } from "#lib/data/glyphs.js";

const bytesOf = (split: data.SceneSplit) => split.pictures.dataSync("uint8");
const sha256 = (...parts: (Uint8Array | string)[]) => {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest("hex");
};

describe("scenes", () => {
  it.each([
    [
      "seed 231",
      { train: 100, test: 20, heldOut: 20, size: 32 },
      "d522c2cef31f8d6f491b22ad7fc13c282c51881cf53339b1f68498e81b4d2cb6",
    ],
    [
      "a negative seed, 48 pixels",
      { seed: -5, train: 20, test: 5, heldOut: 5, size: 48 },
      "45b42efc3ec470cb20f604ad2745bfb3993c3d9632cdac2fdc677d35bd4832df",
    ],
  ])("golden bytes and captions: %s", async (_, options, golden) => {
    const { train, test, heldOut } = await data.scenes(options);
    const splits = [train, test, heldOut];
    expect(sha256(...splits.flatMap((s) => [bytesOf(s), s.captions.join("\n")]))).toBe(golden);
    expect(train.pictures.dtype).toBe("uint8");
    expect(heldOut.pictures.shape).toEqual([options.heldOut, 3, options.size, options.size]);
  });

  it("a scene does not depend on how many there are; seeds and splits give others", async () => {
    const [many, few, other] = await Promise.all([
      data.scenes({ train: 60, test: 10, heldOut: 0 }),
      data.scenes({ train: 7, test: 3, heldOut: 0 }),
      data.scenes({ seed: 232, train: 7, test: 0, heldOut: 0 }),
    ]);
    const all = bytesOf(many.train);
    expect(Buffer.compare(bytesOf(few.train), all.subarray(0, 7 * 3072))).toBe(0);
    expect(few.test.captions).toEqual(many.test.captions.slice(0, 3));
    expect(few.train.scenes).toEqual(many.train.scenes.slice(0, 7));
    expect(other.train.captions).not.toEqual(few.train.captions);
    expect(few.test.captions).not.toEqual(few.train.captions.slice(0, 3));
    expect(few.heldOut.captions.length).toBe(0);
  });

  it("training and test never show the held-out combinations, each held-out scene does", async () => {
    const { train, test, heldOut } = await data.scenes({ train: 1500, test: 300, heldOut: 200 });
    const known = new Set([train, test].flatMap((s) => s.scenes.flatMap(({ objects }) => objects.map(pairOf))));
    expect(known.size).toBe(16 * 6 - 16);
    for (const { objects } of heldOut.scenes) expect(objects.some((o) => !known.has(pairOf(o)))).toBe(true);
    const pairs = data.SCENE_KINDS.flatMap((kind) => data.SCENE_COLOURS.map((colour) => ({ kind, colour })));
    expect(pairs.filter(data.isHeldOut)).toHaveLength(16);
    for (const pair of pairs) expect(data.isHeldOut(pair)).toBe(!known.has(pairOf(pair)));
    const single = train.scenes.filter((s) => s.relation === null).length / 1500;
    expect(Math.abs(single - 0.2)).toBeLessThan(0.04); // four deviations
  });

  it("the first object lies left of or above the second, inside the picture, and the caption says so", async () => {
    for (const size of [32, 40]) {
      const { train } = await data.scenes({ train: 400, test: 0, heldOut: 0, size });
      const captions = train.scenes.map(({ objects: [a, b], relation }) =>
        b ? `a ${a!.colour} ${a!.kind} ${relation} a ${b.colour} ${b.kind}` : `a ${a!.colour} ${a!.kind}`,
      );
      expect(train.captions).toEqual(captions);
      for (const { objects, relation } of train.scenes) {
        for (const { x, y, size: extent } of objects)
          for (const middle of [x, y]) {
            expect(middle - extent / 2).toBeGreaterThan(0);
            expect(middle + extent / 2).toBeLessThan(size);
          }
        const [a, b] = objects as [data.SceneObject, data.SceneObject?];
        expect(objects).toHaveLength(relation === null ? 1 : 2);
        if (!b) continue;
        expect(pairOf(a)).not.toBe(pairOf(b));
        const [along, beside] = [b.x - a.x, b.y - a.y].map((d) => (32 * d) / size);
        const [far, near] = relation === "left of" ? [along!, beside!] : [beside!, along!];
        expect(far).toBeGreaterThanOrEqual((16 * (a.size + b.size)) / size + 1);
        expect(Math.abs(near)).toBeLessThanOrEqual(6);
      }
    }
  });

  it("pixels have the hues of the captions, where the objects are and nowhere else", async () => {
    const { train } = await data.scenes({ train: 300, test: 0, heldOut: 0 });
    const bytes = bytesOf(train);
    train.scenes.forEach(({ objects }, i) => {
      const lit = litPixels(bytes.subarray(i * 3072, (i + 1) * 3072));
      const within = ({ x, y }: Pixel, o: data.SceneObject, margin: number) =>
        Math.max(Math.abs(x - o.x), Math.abs(y - o.y)) < o.size / 2 + margin;
      const own = objects.map((o) => lit.filter((pixel) => within(pixel, o, 0)));
      expect(lit.filter((pixel) => !objects.some((o) => within(pixel, o, 1.5)))).toEqual([]);
      objects.forEach(({ colour }, k) => {
        expect(own[k]!.length, `${train.captions[i]}, picture ${i}`).toBeGreaterThan(5);
        expect(colourOf(own[k]!), `${train.captions[i]}, picture ${i}`).toBe(colour);
      });
    });
  });

  it("shapes have their areas, digits their height or width", async () => {
    const { train } = await data.scenes({ train: 1200, test: 0, heldOut: 0, size: 64 });
    const bytes = bytesOf(train);
    // Areas of radius 1: the ring between 1/2 and 1; the cross of arms 0.52 wide; see SHAPES for the rest.
    const areas: Record<string, number> = {
      circle: Math.PI,
      square: 1.68 ** 2,
      ring: 0.75 * Math.PI,
      cross: 2 * 2 * 0.52 - 0.52 ** 2,
      diamond: (2 * 1.15 ** 2) / 1.6,
      triangle: 1.9 ** 2 / (2 * 0.866),
    };
    const seen = new Set<string>();
    train.scenes.forEach(({ objects, relation }, i) => {
      const [{ kind, size }] = objects as [data.SceneObject];
      if (relation !== null) return;
      seen.add(kind);
      const lit = litPixels(bytes.subarray(i * 3 * 4096, (i + 1) * 3 * 4096));
      if (kind in areas) {
        const area = areas[kind]! * (size / 2) ** 2;
        expect(Math.abs(lit.length - area) / area, `a ${kind} of ${size}`).toBeLessThan(0.1);
      } else {
        const extent = (at: "x" | "y") => Math.max(...lit.map((p) => p[at])) - Math.min(...lit.map((p) => p[at])) + 1;
        expect(Math.abs(Math.max(extent("x"), extent("y")) - size), `a ${kind} of ${size}`).toBeLessThan(4);
      }
    });
    expect(seen.size).toBe(16);
  });

  it("normalize brings the pictures to mean 0 and deviation 1", async () => {
    const { train, normalize } = await data.scenes({ train: 2000, test: 0, heldOut: 0 });
    const set = new data.TensorDataset([train.pictures], { transform: normalize });
    const rows = Int32Array.from({ length: 2000 }, (_, i) => i);
    const [x] = set.batch(rows, { seed: 1, epoch: 0 });
    expect(Math.abs(x!.mean().itemSync())).toBeLessThan(0.02);
    expect(Math.abs(x!.square().mean().sqrt().itemSync() - 1)).toBeLessThan(0.02);
  });

  it("says what was wrong", async () => {
    await expect(data.scenes({ train: -1 })).rejects.toThrow(
      "scenes: expected train to be a number of scenes from 0 up, got -1",
    );
    await expect(data.scenes({ size: 23 })).rejects.toThrow("scenes: expected a size from 24 to 256, got 23");
    await expect(data.scenes({ seed: 0.5 })).rejects.toThrow("scenes: expected seed to be an integer, got 0.5");
  });
});

const pairOf = ({ kind, colour }: { kind: string; colour: string }) => `${colour} ${kind}`;

interface Pixel {
  /** Its middle. */
  x: number;
  y: number;
  rgb: [number, number, number];
}

/** Pixels at least half covered by an object: brighter than any ground with any grain. */
function litPixels(bytes: ArrayLike<number>): Pixel[] {
  const plane = bytes.length / 3;
  const size = Math.sqrt(plane);
  return Array.from({ length: plane }, (_, p) => ({
    x: (p % size) + 0.5,
    y: Math.floor(p / size) + 0.5,
    rgb: [bytes[p]!, bytes[plane + p]!, bytes[2 * plane + p]!] as [number, number, number],
  })).filter(({ rgb }) => Math.max(...rgb) > 110);
}

/** The colour's name, of the sum of the pixels. */
function colourOf(pixels: readonly Pixel[]): string {
  const [r, g, b] = [0, 1, 2].map((c) => pixels.reduce((sum, { rgb }) => sum + rgb[c]!, 0)) as [number, number, number];
  const [high, low] = [Math.max(r, g, b), Math.min(r, g, b)];
  if (low / high > 0.75) return "white";
  const turn =
    high === r ? (g - b) / (high - low) : high === g ? 2 + (b - r) / (high - low) : 4 + (r - g) / (high - low);
  const hue = (60 * turn + 360) % 360;
  const names: [name: string, from: number, to: number][] = [
    ["red", 345, 15],
    ["yellow", 40, 70],
    ["green", 110, 140],
    ["blue", 210, 240],
    ["purple", 275, 305],
  ];
  const found = names.find(([, from, to]) => (from < to ? hue > from && hue < to : hue > from || hue < to));
  return found ? found[0] : `hue ${hue.toFixed(0)}`;
}

describe("glyphInk", () => {
  const at = (digit: number, index: number, split: "train" | "test" = "train") =>
    glyphInk(digit, { seed: 3, split, index });

  it("is the same each time, another for another digit, index or split, and bright", () => {
    expect(at(4, 2 ** 33 + 1)).toEqual(at(4, 2 ** 33 + 1));
    const all = [at(4, 0), at(4, 1), at(5, 0), at(4, 0, "test"), at(4, 2 ** 32)].map((ink) => sha256(ink));
    expect(new Set(all).size).toBe(5);
    for (let digit = 0; digit < 10; digit++) {
      const ink = at(digit, 7);
      expect(ink).toHaveLength(784);
      expect(Math.max(...ink)).toBe(255);
      expect(ink.filter((v) => v > 127).length).toBeGreaterThan(30);
    }
  });
});

describe("captionDataset", () => {
  const tokenizer = new data.WordTokenizer(["a red circle", "a blue square"]);
  const texts = ["a red circle", "a circle", "a blue square"];

  it("frames each caption to the longest one's length, or to the one asked for", async () => {
    const { train, normalize } = await data.scenes({ train: 3, test: 0, heldOut: 0 });
    const set = data.captionDataset(train.pictures, texts, tokenizer, { transform: normalize });
    const [x, tokens] = set.batch(Int32Array.of(2, 1), { seed: 1, epoch: 0 });
    expect(x!.dtype).toBe("float32");
    expect(x!.shape).toEqual([2, 3, 32, 32]);
    expect(tokens!.dtype).toBe("int32");
    // a 4, blue 5, circle 6, red 7, square 8
    expect([...tokens!.dataSync()]).toEqual([1, 4, 5, 8, 2, 1, 4, 6, 2, 0]);
    const short = data.captionDataset(train.pictures, texts, tokenizer, { length: 3 });
    const [bytes, cut] = short.batch(Int32Array.of(0), { seed: 1, epoch: 0 });
    expect(bytes!.dtype).toBe("uint8");
    expect([...cut!.dataSync()]).toEqual([1, 4, 2]);
    expect(() => data.captionDataset(train.pictures, texts.slice(1), tokenizer)).toThrow(
      "captionDataset: expected a caption for each of 3 pictures, got 2 captions",
    );
  });
});
