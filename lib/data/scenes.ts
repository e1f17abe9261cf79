/**
 * Drawn scenes with captions, for models of pictures and language: one or two coloured objects (shapes, and the digits of
 * glyphs.ts) on a dark ground, "a red circle left of a blue 7". Each scene has one caption, since the left or upper object
 * comes first. Nothing to fetch; scene i depends on (seed, split, i) alone, and only arithmetic that IEEE 754 rounds
 * exactly goes into a pixel: the same bytes everywhere.
 *
 *     draws -> kinds, colours, relation -> places, sizes, turns, shades -> coverage of each pixel -> bytes [3, size, size]
 */
import { expect } from "../errors.js";
import { unscoped } from "../memory.js";
import { breathe } from "../native.js";
import { fromTyped, type Tensor } from "../tensor.js";
import { Draws } from "./draws.js";
import { GLYPH_SIZE, glyphInk } from "./glyphs.js";
import { deriveSeed } from "./order.js";
import { Normalize } from "./transforms.js";

/** Signed distance to a shape of radius r at (x, y) from its middle, in pixels: below 0 inside. */
type Distance = (x: number, y: number, r: number) => number;

const SIN60 = 0.866;
const SHAPES: Record<string, Distance> = {
  circle: (x, y, r) => Math.sqrt(x * x + y * y) - r,
  square: (x, y, r) => Math.max(Math.abs(x), Math.abs(y)) - 0.84 * r,
  // Its middle lies a quarter of r below the middle of the circle around it.
  triangle: (x, y, r) => Math.max(y - 0.75 * r, SIN60 * Math.abs(x) - (y + 1.15 * r) / 2),
  diamond: (x, y, r) => (1.6 * Math.abs(x) + Math.abs(y) - 1.15 * r) / 1.9,
  ring: (x, y, r) => Math.abs(Math.sqrt(x * x + y * y) - 0.75 * r) - 0.25 * r,
  cross: (x, y, r) => Math.max(Math.min(Math.abs(x), Math.abs(y)) - 0.26 * r, Math.max(Math.abs(x), Math.abs(y)) - r),
};

/** Hue in degrees and saturation; both vary a little from object to object, and the brightness from 0.72 to 1. */
const COLOURS: Record<string, readonly [hue: number, saturation: number]> = {
  red: [0, 0.9],
  yellow: [55, 0.9],
  green: [125, 0.85],
  blue: [225, 0.85],
  purple: [290, 0.8],
  white: [60, 0.06],
};

/** What an object of a scene can be: six shapes, ten digits. */
export const SCENE_KINDS: readonly string[] = [...Object.keys(SHAPES), ..."0123456789"];
/** What colour it can have. */
export const SCENE_COLOURS: readonly string[] = Object.keys(COLOURS);
const FIRST_DIGIT = Object.keys(SHAPES).length;

/** An object of a scene. */
export interface SceneObject {
  /** Of SCENE_KINDS. */
  kind: string;
  /** Of SCENE_COLOURS. */
  colour: string;
  /** Its middle, in pixels from the left. */
  x: number;
  /** Its middle, in pixels from above. */
  y: number;
  /** Extent in pixels. */
  size: number;
}

/** A scene as it was drawn. */
export interface Scene {
  /** One; or two, the left or upper one first. */
  objects: readonly SceneObject[];
  /** How the first lies to the second; null: there is one. */
  relation: "left of" | "above" | null;
}

/** One part of the set. */
export interface SceneSplit {
  /** Bytes [n, 3, size, size]. */
  pictures: Tensor;
  /** What each shows, in words. */
  captions: readonly string[];
  /** What each shows. */
  scenes: readonly Scene[];
}

/** What scenes() gives. */
export interface SceneSets {
  /** To train on. */
  train: SceneSplit;
  /** Other drawings, of the combinations of colour and kind that `train` has. */
  test: SceneSplit;
  /** Scenes with at least one object in a colour that `train` never shows on this kind (isHeldOut). */
  heldOut: SceneSplit;
  /** Makes bytes what a network takes. */
  normalize: Normalize;
}

/** Options of scenes(). */
export interface SceneOptions {
  /** Another seed draws other scenes. Default 231. */
  seed?: number;
  /** Scenes to train on. Default 20,000. */
  train?: number;
  /** Scenes to test with. Default 2,000. */
  test?: number;
  /** Scenes with combinations that training lacks. Default 500. */
  heldOut?: number;
  /** Side of the pictures, from 24 to 256. Default 32. */
  size?: number;
}

/** Whether training never shows this kind in this colour: one colour of each kind, 16 of 96 combinations. */
export const isHeldOut = ({ kind, colour }: Pick<SceneObject, "kind" | "colour">): boolean =>
  SCENE_KINDS.indexOf(kind) % SCENE_COLOURS.length === SCENE_COLOURS.indexOf(colour);

const named = ({ kind, colour }: Pick<SceneObject, "kind" | "colour">): string => `a ${colour} ${kind}`;

/**
 * A scene in words.
 *
 * @example
 * data.sceneCaption({ objects: [{ kind: "7", colour: "green", x: 16, y: 16, size: 14 }], relation: null }); // "a green 7"
 */
export const sceneCaption = ({ objects, relation }: Scene): string => objects.map(named).join(` ${relation} `);

// Mean and deviation of x / 255 over pictures and channels: no channel is to be weighted (test/data/scenes.test.ts measures them).
const NORM = [
  [0.162, 0.162, 0.162],
  [0.167, 0.167, 0.167],
] as const;
const SPLITS = ["train", "test", "heldOut"] as const;

/**
 * Captioned scenes of one or two objects, drawn here.
 *
 * @example
 * const { train, test } = await data.scenes({ train: 20, test: 5, heldOut: 0 });
 * console.log(train.captions[0], train.pictures.shape); // [20, 3, 32, 32]
 */
export async function scenes({
  seed = 231,
  train = 20_000,
  test = 2_000,
  heldOut = 500,
  size = 32,
}: SceneOptions = {}): Promise<SceneSets> {
  const counts = { train, test, heldOut };
  for (const [name, n] of Object.entries(counts))
    expect(Number.isSafeInteger(n) && n >= 0, "scenes", `${name} to be a number of scenes from 0 up`, `${n}`);
  expect(Number.isSafeInteger(seed), "scenes", "seed to be an integer", `${seed}`);
  expect(Number.isSafeInteger(size) && size >= 24 && size <= 256, "scenes", "a size from 24 to 256", `${size}`);
  const parts: SceneSplit[] = [];
  for (const split of SPLITS) parts.push(await drawSplit(split, counts[split], seed, size));
  const [a, b, c] = parts as [SceneSplit, SceneSplit, SceneSplit];
  return { train: a, test: b, heldOut: c, normalize: new Normalize(...NORM) };
}

async function drawSplit(split: (typeof SPLITS)[number], n: number, seed: number, size: number): Promise<SceneSplit> {
  const plane = size * size;
  const bytes = new Uint8Array(n * 3 * plane);
  const made: Scene[] = [];
  const drawSeed = deriveSeed(seed);
  for (let i = 0; i < n; i++) {
    const draws = new Draws(drawSeed, SPLITS.indexOf(split), i);
    const scene = compose(draws, size, split === "heldOut");
    made.push(scene);
    // A digit's handwriting belongs to this object of this scene; those that held-out scenes show are of the test's hand.
    const hand = (digit: number, object: number) =>
      glyphInk(digit, {
        seed,
        split: split === "train" ? "train" : "test",
        index: 4 * i + 2 * +(split === "heldOut") + object,
      });
    draw(bytes.subarray(3 * plane * i, 3 * plane * (i + 1)), scene, draws, size, hand);
    if (i % 50 === 49) await breathe(); // some 5 ms: the event loop stays free
  }
  return {
    pictures: unscoped(() => fromTyped(bytes, [n, 3, size, size], "uint8", false)),
    captions: made.map(sceneCaption),
    scenes: made,
  };
}

type Named = Pick<SceneObject, "kind" | "colour">;

const pick = (draws: Draws): Named => ({
  kind: SCENE_KINDS[draws.below(SCENE_KINDS.length)]!,
  colour: SCENE_COLOURS[draws.below(SCENE_COLOURS.length)]!,
});

function pickThat(draws: Draws, good: (object: Named) => boolean): Named {
  for (;;) {
    const object = pick(draws);
    if (good(object)) return object;
  }
}

/** What a scene shows and where. Places are in thirty-seconds of the side until the end. */
function compose(draws: Draws, size: number, heldOut: boolean): Scene {
  const unit = size / 32;
  const single = draws.chance(0.2);
  const special = draws.below(2); // which of two objects is held out for sure
  const of = (i: number) =>
    pickThat(draws, heldOut ? (o) => isHeldOut(o) || (!single && i !== special) : (o) => !isHeldOut(o));
  if (single) {
    const extent = draws.uniform(12, 20);
    const place = () => draws.uniform(1 + extent / 2, 31 - extent / 2) * unit;
    return { objects: [{ ...of(0), x: place(), y: place(), size: extent * unit }], relation: null };
  }
  const first = of(0);
  let second = of(1);
  while (second.kind === first.kind && second.colour === first.colour) second = of(1);
  const [d1, d2] = [draws.uniform(11, 14.3), draws.uniform(11, 14.3)];
  const across = draws.chance(0.5);
  // Along the relation: a gap of 1 or more between them, 0.6 or more to the border. Across it: at most 6 apart.
  const gap = draws.uniform(1, Math.min(5, 30.8 - d1 - d2));
  const start = draws.uniform(0.6, 31.4 - gap - d1 - d2);
  const [along1, along2] = [start + d1 / 2, start + d1 + gap + d2 / 2];
  const most = Math.max(d1, d2) / 2;
  const middle = draws.uniform(0.6 + most + 3, 31.4 - most - 3);
  const [beside1, beside2] = [middle + draws.uniform(-3, 3), middle + draws.uniform(-3, 3)];
  const at = (along: number, beside: number) =>
    across ? { x: along * unit, y: beside * unit } : { x: beside * unit, y: along * unit };
  return {
    objects: [
      { ...first, ...at(along1, beside1), size: d1 * unit },
      { ...second, ...at(along2, beside2), size: d2 * unit },
    ],
    relation: across ? "left of" : "above",
  };
}

/** Hue in degrees, saturation and value to red, green and blue from 0 to 255. */
function rgb(hue: number, saturation: number, value: number): [number, number, number] {
  const channel = (n: number) => {
    const k = (n + hue / 60 + 6) % 6;
    return 255 * value * (1 - saturation * Math.max(0, Math.min(k, 4 - k, 1)));
  };
  return [channel(5), channel(3), channel(1)];
}

type Hand = (digit: number, object: number) => Uint8Array;

/** Ground, objects and grain into bytes [3, size, size]. */
function draw(bytes: Uint8Array, { objects }: Scene, draws: Draws, size: number, hand: Hand): void {
  const plane = size * size;
  const canvas = new Float64Array(3 * plane);
  const ground = draws.uniform(5, 55);
  for (let c = 0; c < 3; c++) canvas.fill(ground + draws.uniform(-5, 5), c * plane, (c + 1) * plane);
  objects.forEach((object, i) => {
    const [hue, saturation] = COLOURS[object.colour]!;
    const colour = rgb(hue + draws.uniform(-10, 10), saturation + draws.uniform(-0.06, 0.06), draws.uniform(0.72, 1));
    const coverage = coverageOf(object, draws, (digit) => hand(digit, i));
    const reach = object.size / 2 + 1;
    const range = (middle: number) => [
      Math.max(0, Math.floor(middle - reach)),
      Math.min(size - 1, Math.ceil(middle + reach)),
    ];
    const [left, right] = range(object.x) as [number, number];
    const [top, bottom] = range(object.y) as [number, number];
    for (let y = top; y <= bottom; y++)
      for (let x = left; x <= right; x++) {
        const a = coverage(x + 0.5 - object.x, y + 0.5 - object.y);
        if (a === 0) continue;
        for (let c = 0; c < 3; c++) {
          const at = c * plane + y * size + x;
          canvas[at] = canvas[at]! * (1 - a) + colour[c]! * a;
        }
      }
  });
  const strength = draws.uniform(0, 1.2);
  let word = 0;
  for (let p = 0; p < plane; p++) {
    // The sum of two nibbles: triangular in [-15, 15].
    word = p % 4 === 0 ? draws.word() : word >>> 8;
    const grain = strength * ((word & 15) + ((word >>> 4) & 15) - 15);
    for (let at = p; at < 3 * plane; at += plane)
      bytes[at] = Math.max(0, Math.min(255, Math.floor(canvas[at]! + grain + 0.5)));
  }
}

/** How much of the pixel at (x, y) from its middle an object covers, from 0 to 1. */
function coverageOf({ kind, size }: SceneObject, draws: Draws, hand: (digit: number) => Uint8Array) {
  const digit = SCENE_KINDS.indexOf(kind) - FIRST_DIGIT;
  if (digit >= 0) return inkCoverage(hand(digit), size);
  const distance = SHAPES[kind]!;
  // A turn by up to 0.2: cos = (1 - t^2) / (1 + t^2), sin = 2 t / (1 + t^2), t = tan(angle / 2).
  const t = draws.uniform(-0.1, 0.1);
  const [cos, sin] = [(1 - t * t) / (1 + t * t), (2 * t) / (1 + t * t)];
  return (x: number, y: number) =>
    Math.max(0, Math.min(1, 0.5 - distance(cos * x + sin * y, cos * y - sin * x, size / 2)));
}

/** A digit's ink, its longer side scaled to `size` pixels; each pixel the mean of 3 x 3 samples. */
function inkCoverage(ink: Uint8Array, size: number): (x: number, y: number) => number {
  let [left, right, top, bottom] = [GLYPH_SIZE, 0, GLYPH_SIZE, 0];
  for (let p = 0; p < ink.length; p++) {
    if (ink[p]! < 64) continue;
    const [x, y] = [p % GLYPH_SIZE, Math.floor(p / GLYPH_SIZE)];
    [left, right, top, bottom] = [Math.min(left, x), Math.max(right, x), Math.min(top, y), Math.max(bottom, y)];
  }
  const scale = Math.max(right - left + 1, bottom - top + 1) / size;
  const [middleX, middleY] = [(left + right + 1) / 2, (top + bottom + 1) / 2];
  return (x, y) => {
    let sum = 0;
    for (let sy = -1; sy <= 1; sy++)
      for (let sx = -1; sx <= 1; sx++) {
        const [u, v] = [Math.floor(middleX + (x + sx / 3) * scale), Math.floor(middleY + (y + sy / 3) * scale)];
        if (u >= 0 && u < GLYPH_SIZE && v >= 0 && v < GLYPH_SIZE) sum += ink[v * GLYPH_SIZE + u]!;
      }
    return sum / (9 * 255);
  };
}
