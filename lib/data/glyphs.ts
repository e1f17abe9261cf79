/**
 * @file The embedded default data set: digits 0-9 drawn from vector strokes, 28x28 uint8, bright ink on black as in
 * MNIST, any number of pictures. Sample i depends on (seed, split, i) alone, and every value that decides a byte is an
 * int32 (fixed point; of Math only imul, min, max and floor), so the bytes are the same on every machine.
 *
 *   strokes -> smooth lattice warp + jitter -> affine map -> flattened curves -> distance to segments -> blur -> noise
 *
 * Units: template 1/100 of the digit's box (20 px); raster coordinates 1/64 px.
 */

import { PhiloxStream, philox4x32 } from "./philox.js";

/** Which pictures `glyphImages` draws. */
export interface GlyphOptions {
  /** Any safe integer; another seed draws other pictures. */
  seed: number;
  /** Number of pictures, >= 0. */
  count: number;
  /** The two splits share no random numbers. */
  split: "train" | "test";
  /** Index of the first picture, default 0: [start, start + count) of the endless sequence. */
  start?: number;
}

/** Side of a picture in pixels. */
export const GLYPH_SIZE = 28;

/**
 * Each digit's handwritings. A stroke is a uniform quadratic B-spline from its first control point to its last, "x,y"
 * with y downwards; a doubled point is a corner; "|" lifts the pen.
 */
const HANDWRITINGS: readonly (readonly string[])[] = [
  [
    "52,2 28,0 16,28 16,72 30,100 68,101 84,74 85,28 72,0 50,2",
    "58,1 38,2 27,30 25,72 37,100 62,101 73,70 75,30 66,2 50,2",
    "74,12 54,-2 26,4 15,40 17,80 36,102 66,100 85,70 85,30 72,4 48,0 38,10",
    "40,4 20,24 14,60 24,98 52,102 78,92 88,54 80,16 58,-2 34,6",
  ],
  [
    "50,0 50,50 50,100",
    "34,24 52,2 52,2 51,50 51,100",
    "36,22 52,2 52,2 52,50 52,99|30,99 52,98 74,99",
    "60,0 51,50 40,100",
    "46,0 50,30 50,70 56,100",
  ],
  [
    "20,24 26,0 70,-6 86,26 66,56 38,80 18,98 18,98 50,96 84,98",
    "20,22 30,-2 72,-4 82,30 58,64 28,98 12,94 16,76 42,84 62,102 88,92",
    "22,18 40,0 68,0 82,22 72,48 50,70 16,98 16,98 50,93 84,100",
    "18,20 34,-4 78,0 78,38 60,70 50,86 28,100 28,88 46,90 60,100 86,98",
  ],
  [
    "20,12 40,-2 78,-4 82,28 66,46 42,48 42,48 74,48 90,68 80,100 42,106 14,88",
    "20,3 50,3 78,2 78,2 46,42 46,42 84,42 90,80 66,104 36,104 14,90",
    "22,16 34,-4 76,-4 82,30 56,48 36,54 42,42 74,46 92,72 72,106 34,104 14,84",
    "24,10 46,-2 72,4 70,30 58,46 44,48 44,48 66,50 80,66 72,96 40,104 20,96",
  ],
  [
    "28,2 16,58 16,58 50,58 88,54|66,10 64,50 62,100",
    "62,100 64,50 66,0 66,0 12,66 12,66 50,66 90,65",
    "24,6 16,40 26,56 52,54 72,46|76,2 72,50 66,100",
    "40,0 14,62 14,62 50,62 86,60|60,34 58,66 56,100",
  ],
  [
    "78,2 50,3 30,2 30,2 24,44 24,44 54,34 90,48 86,86 54,108 14,92",
    "32,4 26,44 26,44 62,32 90,54 84,94 46,108 16,90|32,4 56,5 82,0",
    "80,4 52,2 34,6 30,24 24,42 48,42 86,50 84,90 50,106 16,94",
    "74,2 40,4 40,4 30,46 30,46 56,44 76,56 74,84 56,102 22,100",
  ],
  [
    "72,0 40,10 18,50 16,88 40,106 76,102 82,70 60,50 34,56 18,76",
    "58,0 34,36 15,66 22,102 58,106 84,86 76,56 48,52 24,66 19,82",
    "80,14 64,-4 36,4 16,40 14,86 36,106 72,104 84,76 66,52 38,54 17,74",
    "50,0 30,30 24,60 24,90 40,104 64,102 76,84 66,62 44,62 26,82",
  ],
  [
    "16,4 50,4 84,3 84,3 60,46 44,100",
    "16,4 50,4 84,3 84,3 62,46 46,100|36,52 56,51 80,49",
    "18,20 18,3 18,3 50,4 84,2 84,2 62,40 50,100",
    "14,10 38,-2 62,10 84,3 84,3 54,50 46,100",
    "24,3 50,5 76,4 84,8 72,40 64,70 62,100",
  ],
  [
    "78,14 56,-6 24,0 22,28 50,46 82,64 84,98 50,108 16,98 18,66 52,46 82,26 74,4 56,0",
    "50,0 24,0 22,44 50,46 78,44 76,0 50,0|50,46 16,48 14,100 50,101 86,100 84,48 50,46",
    "50,46 22,32 26,-2 52,-4 80,-2 78,32 50,46 16,66 16,104 50,104 84,102 86,66 50,46",
    "74,8 50,-4 28,8 34,30 54,50 72,72 72,98 50,104 28,98 30,74 50,52 76,24 80,10",
  ],
  [
    "76,14 56,-6 22,2 18,40 44,56 70,44 78,8 78,8 78,50 74,100",
    "78,20 60,-4 24,-2 18,34 38,56 68,46 79,16 82,44 76,92 52,106 22,94",
    "74,24 64,-2 34,-4 20,26 30,52 60,48 77,14 77,14 66,60 48,100",
    "72,8 48,-4 26,14 30,40 52,46 72,24 72,8 72,8 70,50 70,100",
  ],
];

const SIZE = GLYPH_SIZE;
const PIXELS = SIZE * SIZE;
const ONE = 64; // a pixel in raster units
const SUBDIVISIONS = 4; // lines per quadratic piece: off the curve by < 0.05 px at 20 px
const LATTICE = 4; // the warp is bilinear between LATTICE^2 random displacements

/** A handwriting's strokes: control points and the end index of each stroke. */
interface Handwriting {
  x: Int32Array;
  y: Int32Array;
  ends: Int32Array;
}

const handwritings: readonly (readonly Handwriting[])[] = HANDWRITINGS.map((variants) =>
  variants.map((text) => {
    const strokes = text.split("|").map((stroke) => stroke.split(" ").map((point) => point.split(",").map(Number)));
    const points = strokes.flat();
    let end = 0;
    return {
      x: Int32Array.from(points, (point) => point[0]),
      y: Int32Array.from(points, (point) => point[1]),
      ends: Int32Array.from(strokes, (stroke) => (end += stroke.length)),
    };
  }),
);

// floor(sqrt(i)) for i < 256^2: distances up to 4 px
const ROOT = new Uint8Array(256 * 256);
for (let root = 0; root < 256; root++) ROOT.fill(root, root * root, (root + 1) * (root + 1));

// Scratch of one picture: control points, flattened lines, the pen's half width at each, coverage with a black border.
const controlX = new Int32Array(64);
const controlY = new Int32Array(64);
const lineX = new Int32Array(64 * SUBDIVISIONS);
const lineY = new Int32Array(64 * SUBDIVISIONS);
const lineEnds = new Int32Array(8);
const warpX = new Int32Array(LATTICE * LATTICE);
const warpY = new Int32Array(LATTICE * LATTICE);
const STRIDE = SIZE + 2;
const ink = new Int32Array(STRIDE * STRIDE);
const smeared = new Int32Array(STRIDE * STRIDE);
const words = new Uint32Array(4);
const draws = new PhiloxStream();

/** Last word of the Philox counter: what the numbers are for. */
const LABELS = 0;
const SHAPE = 1;
const NOISE = 2;
const INK = 3;

/**
 * Draws pictures [start, start + count) of an endless, reproducible set of handwritten-looking digits.
 *
 * Every aligned ten of pictures holds each digit once, in random order.
 *
 * @returns images [count, 28, 28] (0 background, 255 full ink) and labels [count] (0-9)
 * @throws RangeError when seed, count or start is no safe integer, or count or start is negative
 */
export function glyphImages({ seed, count, split, start = 0 }: GlyphOptions): {
  /** count * 28 * 28 bytes, 0 to 255, row by row. */
  images: Uint8Array;
  /** count digits. */
  labels: Uint8Array;
} {
  if (!Number.isSafeInteger(seed)) throw new RangeError(`glyphImages: expected seed to be an integer, got ${seed}`);
  if (!Number.isSafeInteger(count) || count < 0) {
    throw new RangeError(`glyphImages: expected count to be an integer >= 0, got ${count}`);
  }
  if (!Number.isSafeInteger(start) || start < 0 || !Number.isSafeInteger(start + count)) {
    throw new RangeError(`glyphImages: expected start to be an integer in [0, 2^53 - count), got ${start}`);
  }
  if (split !== "train" && split !== "test") {
    throw new RangeError(`glyphImages: expected split "train" or "test", got ${JSON.stringify(split)}`);
  }
  const k0 = seed | 0;
  const k1 = Math.floor(seed / 2 ** 32) | 0;
  const purpose = (split === "train" ? 0 : 1) << 8;
  const images = new Uint8Array(count * PIXELS);
  const labels = new Uint8Array(count);
  const order = new Uint8Array(10);
  let orderOf = -1;
  for (let i = 0; i < count; i++) {
    const index = start + i;
    const ten = Math.floor(index / 10);
    if (ten !== orderOf) {
      draws.reset(k0, k1, ten | 0, Math.floor(ten / 2 ** 32), purpose | LABELS);
      shuffleDigits(order);
      orderOf = ten;
    }
    labels[i] = order[index - 10 * ten];
    const low = index | 0;
    const high = Math.floor(index / 2 ** 32);
    draws.reset(k0, k1, low, high, purpose | SHAPE);
    drawShape(labels[i]);
    develop(images, i * PIXELS, k0, k1, low, high, purpose | NOISE);
  }
  return { images, labels };
}

/**
 * Coverage by the ink of one digit, 28 * 28 bytes with sharp edges and without noise, for other pictures to be made of;
 * another `index` is another handwriting, and none is that of a picture of glyphImages().
 */
export function glyphInk(
  digit: number,
  { seed, split, index }: Pick<GlyphOptions, "seed" | "split"> & { index: number },
): Uint8Array {
  const purpose = ((split === "train" ? 0 : 1) << 8) | (digit << 16) | INK;
  draws.reset(seed | 0, Math.floor(seed / 2 ** 32) | 0, index | 0, Math.floor(index / 2 ** 32), purpose);
  drawShape(digit);
  const bytes = new Uint8Array(PIXELS);
  for (let y = 0; y < SIZE; y++) for (let x = 0; x < SIZE; x++) bytes[y * SIZE + x] = ink[(y + 1) * STRIDE + x + 1];
  return bytes;
}

/** Fisher-Yates of 0-9. */
function shuffleDigits(order: Uint8Array): void {
  for (let i = 0; i < 10; i++) order[i] = i;
  for (let i = 9; i > 0; i--) {
    const j = draws.between(0, i);
    const swap = order[i];
    order[i] = order[j];
    order[j] = swap;
  }
}

/** Draws one digit's strokes into `ink` (0-255, sharp edges). */
function drawShape(digit: number): void {
  const variants = handwritings[digit];
  const hand = variants[draws.between(0, variants.length - 1)];
  const scale = distort(hand);
  const lines = flatten(hand);

  // the pen: half width in raster units in the middle of the whole line, linear along it; small digits have thin pens
  const width = Math.max(40, Math.imul(draws.between(44, 106), scale) >> 12);
  const slope = draws.spread(24);
  place(lines, width);

  ink.fill(0);
  let i = 0;
  for (let stroke = 0; stroke < hand.ends.length; stroke++) {
    const end = lineEnds[stroke];
    for (; i + 1 < end; i++) {
      const half = width + ((Math.imul(slope, 2 * i - lines) / lines) | 0);
      drawSegment(lineX[i], lineY[i], lineX[i + 1], lineY[i + 1], half);
    }
    i = end;
  }
}

/**
 * Control points in raster units about the origin: lattice warp and jitter, then scale, shear and rotation.
 * Returns the scale, Q12.
 */
function distort({ x, y }: Handwriting): number {
  // 1/16 of a template unit
  for (let i = 0; i < LATTICE * LATTICE; i++) {
    warpX[i] = draws.spread(16 * 23);
    warpY[i] = draws.spread(16 * 21);
  }
  // all Q12; a unit of 1/16 template unit is 0.8 raster units: the box is 100 * 16 * 0.8 / 64 = 20 px
  const scale = 4096 + draws.spread(900);
  const scaleY = (Math.imul(scale, 4) / 5) | 0;
  const scaleX = Math.imul(scaleY, 3900 + draws.spread(1150)) >> 12;
  const slant = 600 + draws.spread(1800); // writing leans to the right
  const angle = draws.spread(1350); // 0.33 rad
  const square = Math.imul(angle, angle) >> 12;
  const sin = angle - (((Math.imul(square, angle) >> 12) / 6) | 0);
  const cos = 4096 - (square >> 1) + (((Math.imul(square, square) >> 12) / 24) | 0);
  // [xx xy; yx yy] = rotation [cos -sin; sin cos] * shear [1 -slant; 0 1] * scale
  const shear = -(Math.imul(slant, scaleY) >> 12);
  const xx = Math.imul(cos, scaleX) >> 12;
  const yx = Math.imul(sin, scaleX) >> 12;
  const xy = (Math.imul(cos, shear) - Math.imul(sin, scaleY)) >> 12;
  const yy = (Math.imul(sin, shear) + Math.imul(cos, scaleY)) >> 12;

  let jitterX = 0;
  let jitterY = 0;
  for (let i = 0; i < x.length; i++) {
    if (i === 0 || x[i] !== x[i - 1] || y[i] !== y[i - 1]) {
      jitterX = draws.spread(16 * 6); // a corner's two points move together
      jitterY = draws.spread(16 * 6);
    }
    // the cell and the place in it, Q8
    const u = Math.min(Math.max(((x[i] * 256 * (LATTICE - 1)) / 100) | 0, 0), 256 * (LATTICE - 1) - 1);
    const v = Math.min(Math.max(((y[i] * 256 * (LATTICE - 1)) / 100) | 0, 0), 256 * (LATTICE - 1) - 1);
    const cell = (v >> 8) * LATTICE + (u >> 8);
    const px = 16 * (x[i] - 50) + jitterX + bilinear(warpX, cell, u & 255, v & 255);
    const py = 16 * (y[i] - 50) + jitterY + bilinear(warpY, cell, u & 255, v & 255);
    controlX[i] = (Math.imul(xx, px) + Math.imul(xy, py)) >> 12;
    controlY[i] = (Math.imul(yx, px) + Math.imul(yy, py)) >> 12;
  }
  return scale;
}

function bilinear(lattice: Int32Array, cell: number, u: number, v: number): number {
  const above = Math.imul(lattice[cell], 256 - u) + Math.imul(lattice[cell + 1], u);
  const below = Math.imul(lattice[cell + LATTICE], 256 - u) + Math.imul(lattice[cell + LATTICE + 1], u);
  return (Math.imul(above, 256 - v) + Math.imul(below, v)) >> 16;
}

/** Flattens the strokes into `lineX`, `lineY`, `lineEnds`; returns the number of points. */
function flatten({ ends }: Handwriting): number {
  let n = 0;
  let first = 0;
  for (let stroke = 0; stroke < ends.length; stroke++) {
    const last = ends[stroke] - 1;
    let fromX = controlX[first];
    let fromY = controlY[first];
    lineX[n] = fromX;
    lineY[n++] = fromY;
    // piece i runs between the midpoints beside control point i; the end pieces reach the ends
    for (let i = first + 1; i < last; i++) {
      const toX = i + 1 === last ? controlX[last] : (controlX[i] + controlX[i + 1]) >> 1;
      const toY = i + 1 === last ? controlY[last] : (controlY[i] + controlY[i + 1]) >> 1;
      for (let t = 1; t <= SUBDIVISIONS; t++) {
        const a = (SUBDIVISIONS - t) * (SUBDIVISIONS - t);
        const b = 2 * t * (SUBDIVISIONS - t);
        const c = t * t;
        lineX[n] = (a * fromX + b * controlX[i] + c * toX) >> 4;
        lineY[n++] = (a * fromY + b * controlY[i] + c * toY) >> 4;
      }
      fromX = toX;
      fromY = toY;
    }
    lineEnds[stroke] = n;
    first = last + 1;
  }
  return n;
}

/** Moves the lines to the middle of the picture, off by a random amount; the ink leaves a border of one pixel. */
function place(lines: number, width: number): void {
  let left = lineX[0];
  let right = left;
  let top = lineY[0];
  let bottom = top;
  for (let i = 1; i < lines; i++) {
    left = Math.min(left, lineX[i]);
    right = Math.max(right, lineX[i]);
    top = Math.min(top, lineY[i]);
    bottom = Math.max(bottom, lineY[i]);
  }
  const room = (SIZE - 2) * ONE - 2 * width;
  const extent = Math.max(right - left, bottom - top);
  const shrink = extent > room ? ((room << 12) / extent) | 0 : 4096; // Q12
  const slackX = (room - (Math.imul(right - left, shrink) >> 12)) >> 1;
  const slackY = (room - (Math.imul(bottom - top, shrink) >> 12)) >> 1;
  const middleX = (left + right) >> 1;
  const middleY = (top + bottom) >> 1;
  const toX = (SIZE * ONE) / 2 + draws.spread(Math.min(slackX, 3 * ONE));
  const toY = (SIZE * ONE) / 2 + draws.spread(Math.min(slackY, 3 * ONE));
  for (let i = 0; i < lines; i++) {
    lineX[i] = toX + (Math.imul(lineX[i] - middleX, shrink) >> 12);
    lineY[i] = toY + (Math.imul(lineY[i] - middleY, shrink) >> 12);
  }
}

/** ink = max(ink, 255 clamp(half + 1/2 px - distance)) over the pixels that the segment reaches. */
function drawSegment(ax: number, ay: number, bx: number, by: number, half: number): void {
  const reach = half + ONE / 2;
  const x0 = Math.max(0, (Math.min(ax, bx) - reach) >> 6);
  const x1 = Math.min(SIZE - 1, (Math.max(ax, bx) + reach) >> 6);
  const y0 = Math.max(0, (Math.min(ay, by) - reach) >> 6);
  const y1 = Math.min(SIZE - 1, (Math.max(ay, by) + reach) >> 6);
  const dx = bx - ax;
  const dy = by - ay;
  // length and unit direction, Q4 and Q12
  const length = integerRoot(Math.imul(dx * 16, dx * 16) + Math.imul(dy * 16, dy * 16));
  const ux = length === 0 ? 0 : (Math.imul(dx, 65536) / length) | 0;
  const uy = length === 0 ? 0 : (Math.imul(dy, 65536) / length) | 0;
  const along = length << 8;
  for (let y = y0; y <= y1; y++) {
    const py = y * ONE + ONE / 2 - ay;
    for (let x = x0; x <= x1; x++) {
      const px = x * ONE + ONE / 2 - ax;
      const t = Math.imul(px, ux) + Math.imul(py, uy);
      let distance: number;
      if (t <= 0 || t >= along) {
        const qx = t <= 0 ? px : px - dx;
        const qy = t <= 0 ? py : py - dy;
        const square = Math.imul(qx, qx) + Math.imul(qy, qy);
        distance = square < 65536 ? ROOT[square] : 255;
      } else {
        const cross = Math.imul(px, uy) - Math.imul(py, ux);
        distance = (cross < 0 ? -cross : cross) >> 12;
      }
      const cover = reach - distance;
      if (cover > 0) {
        const at = (y + 1) * STRIDE + x + 1;
        const value = cover >= ONE ? 255 : cover << 2;
        if (value > ink[at]) ink[at] = value;
      }
    }
  }
}

/** floor(sqrt(n)) for n < 2^30, bit by bit. */
function integerRoot(n: number): number {
  let root = 0;
  let bit = 1 << 28;
  while (bit > n) bit >>= 2;
  while (bit !== 0) {
    if (n >= root + bit) {
      n -= root + bit;
      root = (root >> 1) + bit;
    } else {
      root >>= 1;
    }
    bit >>= 2;
  }
  return root;
}

/** `ink` -> images[offset...]: blur (a separable 3-tap filter), strength of the ink, noise. */
function develop(
  images: Uint8Array,
  offset: number,
  k0: number,
  k1: number,
  low: number,
  high: number,
  purpose: number,
): void {
  const side = draws.between(12, 76); // weights [side, 256 - 2 side, side] / 256
  const middle = 256 - 2 * side;
  const strength = draws.between(170, 340); // 256 leaves the ink as it is
  const amplitude = Math.max(0, draws.between(-14, 44)); // grey levels; a quarter of the pictures is clean
  for (let y = 1; y <= SIZE; y++) {
    for (let at = y * STRIDE + 1; at <= y * STRIDE + SIZE; at++) {
      smeared[at] = side * (ink[at - 1] + ink[at + 1]) + middle * ink[at];
    }
  }
  let p = offset;
  let noise = 0;
  for (let y = 1; y <= SIZE; y++) {
    for (let x = 1; x <= SIZE; x++, p++) {
      const at = y * STRIDE + x;
      const word = (p - offset) >> 2;
      if ((p & 3) === 0) {
        if ((word & 3) === 0) philox4x32(words, word >> 2, low, high, purpose, k0, k1);
        noise = words[word & 3];
      }
      const blurred = (side * (smeared[at - STRIDE] + smeared[at + STRIDE]) + middle * smeared[at]) >> 16;
      // the sum of two nibbles: triangular in [-15, 15]
      const grain = (noise & 15) + ((noise >>> 4) & 15) - 15;
      noise >>>= 8;
      const value = ((blurred * strength) >> 8) + ((grain * amplitude) >> 4);
      images[p] = Math.max(0, Math.min(value, 255));
    }
  }
}
