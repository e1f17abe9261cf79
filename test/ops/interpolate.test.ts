/** @file Resizing against filters written out for each output, and its limits. */
import { arange, type InterpolateOptions, interpolate, ones, tensor } from "napier";
import { type Case, checkOp, expect, test } from "../check.js";
import { at, build, indices, type Nd, normal } from "../nd.js";

type Args = [InterpolateOptions];

const cubic = (x: number, a: number): number =>
  x <= 1 ? (a + 2) * x ** 3 - (a + 3) * x ** 2 + 1 : x < 2 ? a * x ** 3 - 5 * a * x ** 2 + 8 * a * x - 4 * a : 0;
const clamp = (v: number, high: number): number => Math.min(Math.max(v, 0), high);

/** The weight of each input in output i of one axis. */
function weightsOf(
  i: number,
  input: number,
  output: number,
  factor: number | null,
  options: InterpolateOptions,
): number[] {
  const { mode = "nearest", alignCorners = false, antialias = false } = options;
  const weights = new Array<number>(input).fill(0);
  const ratio = factor === null ? input / output : 1 / factor;
  if (mode === "nearest" || mode === "nearest-exact") {
    weights[clamp(Math.floor((i + (mode === "nearest" ? 0 : 0.5)) * ratio + 1e-6), input - 1)] = 1;
  } else if (mode === "area") {
    const [from, until] = [Math.floor((i * input) / output), Math.ceil(((i + 1) * input) / output)];
    for (let k = from; k < until; k++) weights[k] = 1 / (until - from);
  } else if (antialias) {
    const scale = alignCorners ? (input - 1) / (output - 1) : ratio;
    const wide = Math.max(scale, 1);
    const filter = (x: number) => (mode === "bicubic" ? cubic(Math.abs(x), -0.5) : Math.max(1 - Math.abs(x), 0));
    for (let k = 0; k < input; k++) weights[k] = filter((k + 0.5 - scale * (i + 0.5)) / wide);
    const total = weights.reduce((a, b) => a + b, 0);
    return weights.map((w) => w / total);
  } else {
    const source = alignCorners ? (output > 1 ? (i * (input - 1)) / (output - 1) : 0) : (i + 0.5) * ratio - 0.5;
    const cubicMode = mode === "bicubic";
    const place = cubicMode ? source : Math.max(source, 0);
    for (let k = -2; k < input + 3; k++) {
      const d = Math.abs(place - k);
      weights[clamp(k, input - 1)]! += cubicMode ? cubic(d, -0.75) : Math.max(1 - d, 0);
    }
  }
  return weights;
}

function reference([x]: Nd[], options: InterpolateOptions): Nd {
  const extents = x.shape.slice(2);
  const listed = (v: number | readonly number[]) => (typeof v === "number" ? extents.map(() => v) : [...v]);
  const factors = options.scaleFactor === undefined ? null : listed(options.scaleFactor);
  const outputs = factors ? extents.map((e, d) => Math.floor(e * factors[d])) : listed(options.size!);
  const tables = extents.map((e, d) =>
    Array.from({ length: outputs[d] }, (_, i) =>
      weightsOf(i, e, outputs[d], options.recomputeScaleFactor ? null : (factors?.[d] ?? null), options),
    ),
  );
  return build([...x.shape.slice(0, 2), ...outputs], ([n, c, ...place]) => {
    let sum = 0;
    for (const from of indices(extents)) {
      const weight = from.reduce((w, f, d) => w * tables[d][place[d]][f], 1);
      if (weight !== 0) sum += weight * at(x, [n, c, ...from]);
    }
    return sum;
  });
}

const of = (shape: number[], options: InterpolateOptions): Case<Args> => ({
  inputs: [normal(...shape)],
  args: [options],
});

checkOp<Args>("interpolate", {
  run: ([x], options) => interpolate(x, options),
  reference,
  bound: { rms: 16 },
  gradBound: { rms: 16 },
  cases: {
    "nearest, twice": of([2, 2, 3, 4], { scaleFactor: 2 }),
    "nearest, uneven": of([1, 2, 5, 7], { size: [7, 3] }),
    "nearest-exact": of([1, 2, 5, 7], { size: [7, 3], mode: "nearest-exact" }),
    "nearest of rows": of([2, 3, 5], { size: 8 }),
    "the same size": of([1, 2, 3, 4], { size: [3, 4], mode: "bilinear" }),
    linear: of([2, 3, 5], { size: 9, mode: "linear" }),
    "bilinear, twice": of([2, 2, 3, 4], { scaleFactor: 2, mode: "bilinear" }),
    "bilinear, corners": of([1, 2, 3, 5], { size: [5, 8], mode: "bilinear", alignCorners: true }),
    "bilinear, smaller": of([1, 2, 8, 9], { size: [3, 4], mode: "bilinear" }),
    "bilinear, smaller, antialias": of([1, 2, 8, 9], { size: [3, 4], mode: "bilinear", antialias: true }),
    "bilinear, one direction": of([1, 2, 4, 5], { size: [4, 9], mode: "bilinear" }),
    "bilinear of one pixel": of([1, 2, 1, 1], { size: [3, 2], mode: "bilinear" }),
    "bilinear by factors": of([1, 1, 4, 5], { scaleFactor: [1.7, 2.3], mode: "bilinear" }),
    "bilinear by factors, recomputed": of([1, 1, 4, 5], {
      scaleFactor: [1.7, 2.3],
      mode: "bilinear",
      recomputeScaleFactor: true,
    }),
    "bicubic, twice": of([1, 2, 4, 5], { scaleFactor: 2, mode: "bicubic" }),
    "bicubic, corners": of([1, 1, 5, 4], { size: [7, 6], mode: "bicubic", alignCorners: true }),
    "bicubic of a narrow picture": of([1, 1, 2, 3], { size: [5, 5], mode: "bicubic" }),
    "bicubic, smaller, antialias": of([1, 1, 11, 10], { size: [4, 3], mode: "bicubic", antialias: true }),
    "bicubic, larger, antialias": of([1, 1, 4, 3], { size: [7, 5], mode: "bicubic", antialias: true }),
    trilinear: of([1, 2, 2, 3, 4], { size: [4, 5, 3], mode: "trilinear" }),
    area: of([1, 2, 7, 5], { size: [3, 2], mode: "area" }),
    "area of clips": of([1, 1, 4, 3, 5], { size: [2, 2, 2], mode: "area" }),
    "no pictures": of([0, 2, 3, 3], { scaleFactor: 2, mode: "bilinear" }),
    "long enough to be split": of([2, 2, 30, 30], { scaleFactor: 2, mode: "bilinear" }),
  } satisfies Record<string, Case<Args>>,
  errors: {
    "two dimensions": [
      () => interpolate(ones([3, 3]), { size: 4 }),
      /interpolate: expected x with 3, 4, 5 dimensions for mode "nearest", got 2 \(\[3,3\]\)/,
    ],
    "mode of another rank": [
      () => interpolate(ones([1, 3, 3]), { size: 4, mode: "bilinear" }),
      /interpolate: expected x with 4 dimensions for mode "bilinear", got 3/,
    ],
    "unknown mode": [
      () => interpolate(ones([1, 3, 3]), { size: 4, mode: "cubic" as never }),
      /interpolate: expected a mode of nearest, .*, got "cubic"/,
    ],
    "neither size nor factor": [
      () => interpolate(ones([1, 3, 3]), {}),
      /interpolate: expected either size or scaleFactor, got neither/,
    ],
    "size of two for one axis": [
      () => interpolate(ones([1, 3, 3]), { size: [2, 2] }),
      /interpolate: expected extents from 1 up, one or 1, got \[2,2\]/,
    ],
    "factor 0": [
      () => interpolate(ones([1, 3, 3]), { scaleFactor: 0 }),
      /interpolate: expected scale factors above 0, one or 1, got 0/,
    ],
    "nothing left": [
      () => interpolate(ones([1, 3, 3]), { scaleFactor: 0.1 }),
      /interpolate: expected scale factors that leave at least one element, got \[0.1\] of \[3\]/,
    ],
    "corners of nearest": [
      () => interpolate(ones([1, 3, 3]), { size: 4, alignCorners: true }),
      /interpolate: expected alignCorners with a linear or cubic mode only, got mode "nearest"/,
    ],
    "antialias of area": [
      () => interpolate(ones([1, 3, 3]), { size: 4, mode: "area", antialias: true }),
      /interpolate: expected antialias with mode "bilinear" or "bicubic" only, got mode "area"/,
    ],
    "empty planes": [() => interpolate(ones([1, 3, 0]), { size: 4 }), /interpolate: expected planes with at least one/],
  },
  bench: {
    "16x64x56x56 nearest, twice": of([16, 64, 56, 56], { scaleFactor: 2 }),
    "16x64x56x56 bilinear, twice": of([16, 64, 56, 56], { scaleFactor: 2, mode: "bilinear" }),
    "16x3x256x256 bicubic to 224, antialias": of([16, 3, 256, 256], { size: 224, mode: "bicubic", antialias: true }),
  },
});

test?.("resizing keeps a plane a plane", () => {
  const x = arange(12).to("float32").reshape([1, 1, 3, 4]);
  const y = interpolate(x, { size: [5, 7], mode: "bilinear", alignCorners: true });
  expect(y.slice(0, 0, 0).toArraySync()).toEqual([0, 0.5, 1, 1.5, 2, 2.5, 3]);
  expect(y.slice(0, 0, null, 0).toArraySync()).toEqual([0, 2, 4, 6, 8]);
  expect(interpolate(tensor([[[1, 2]]]), { scaleFactor: 2 }).toArraySync()).toEqual([[[1, 1, 2, 2]]]);
});
