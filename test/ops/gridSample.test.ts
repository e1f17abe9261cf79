/** @file Reading pictures at places against the rules written out, affine grids, and shuffles of pixels. */
import {
  affineGrid,
  channelShuffle,
  type GridSampleOptions,
  grad,
  gradgradcheck,
  gridSample,
  ones,
  pixelShuffle,
  pixelUnshuffle,
  rand,
  randn,
  scope,
  tensor,
} from "napier";
import { type Case, checkOp, expect, test } from "../check.js";
import { at, build, given, type Nd, normal, uniform } from "../nd.js";

type Args = [GridSampleOptions];

function mirrored(v: number, low: number, high: number): number {
  if (low === high) return low;
  while (v < low || v > high) v = v < low ? 2 * low - v : 2 * high - v;
  return v;
}
const cubic = (x: number): number =>
  x <= 1 ? 1.25 * x ** 3 - 2.25 * x ** 2 + 1 : x < 2 ? -0.75 * x ** 3 + 3.75 * x ** 2 - 6 * x + 3 : 0;

function reference([x, grid]: Nd[], { mode = "bilinear", paddingMode = "zeros", alignCorners = false }: Args[0]): Nd {
  const [n, c, h, w] = x.shape;
  const pixel = (v: number, extent: number) =>
    alignCorners ? ((v + 1) / 2) * (extent - 1) : ((v + 1) * extent - 1) / 2;
  const padded = (v: number, extent: number): number => {
    if (paddingMode === "zeros") return v;
    const m =
      paddingMode === "border" ? v : alignCorners ? mirrored(v, 0, extent - 1) : mirrored(v, -0.5, extent - 0.5);
    return Math.min(Math.max(m, 0), extent - 1);
  };
  const read = (ni: number, ci: number, i: number, j: number): number =>
    i >= 0 && j >= 0 && i < h && j < w ? at(x, [ni, ci, i, j]) : 0;
  const even = (v: number): number => (Math.abs(v % 1) === 0.5 ? 2 * Math.round(v / 2) : Math.round(v));
  return build([n, c, grid.shape[1], grid.shape[2]], ([ni, ci, p, q]) => {
    const [across, down] = [pixel(at(grid, [ni, p, q, 0]), w), pixel(at(grid, [ni, p, q, 1]), h)];
    if (mode === "nearest") return read(ni, ci, even(padded(down, h)), even(padded(across, w)));
    let sum = 0;
    if (mode === "bilinear") {
      const [i, j] = [padded(down, h), padded(across, w)];
      for (const a of [Math.floor(i), Math.floor(i) + 1])
        for (const b of [Math.floor(j), Math.floor(j) + 1]) {
          const v = read(ni, ci, a, b);
          if (v !== 0) sum += (1 - Math.abs(i - a)) * (1 - Math.abs(j - b)) * v;
        }
      return sum;
    }
    for (let a = Math.floor(down) - 1; a <= Math.floor(down) + 2; a++)
      for (let b = Math.floor(across) - 1; b <= Math.floor(across) + 2; b++)
        sum += cubic(Math.abs(down - a)) * cubic(Math.abs(across - b)) * read(ni, ci, padded(a, h), padded(b, w));
    return sum;
  });
}

// Places between pixels, so that no finite difference crosses an edge: pixel coordinates are k + 0.2 to k + 0.8.
const places =
  (alignCorners: boolean, extents: [number, number], shape: number[]) =>
  (random: () => number): Nd =>
    build(shape, (index) => {
      const extent = extents[index[3] === 0 ? 1 : 0];
      const pixel = Math.floor(random() * (extent + 3)) - 2 + 0.2 + 0.2 * random();
      return Math.fround(alignCorners ? (2 * pixel) / (extent - 1) - 1 : (2 * pixel + 1) / extent - 1);
    });
const of = (options: GridSampleOptions, x = [2, 2, 4, 5], out = [3, 4]): Case<Args> => ({
  inputs: [normal(...x), places(options.alignCorners ?? false, [x[2], x[3]], [x[0], ...out, 2])],
  args: [options],
});

const modes = ["bilinear", "nearest", "bicubic"] as const;
const paddings = ["zeros", "border", "reflection"] as const;
checkOp<Args>("gridSample", {
  run: ([x, grid], options) => gridSample(x, grid, options),
  reference,
  bound: { rms: 16 },
  gradBound: { rms: 64 },
  isaRms: 8,
  second: false,
  cases: {
    ...Object.fromEntries(
      modes.flatMap((mode) =>
        paddings.flatMap((paddingMode) =>
          [false, true].map((alignCorners) => [
            `${mode}, ${paddingMode}${alignCorners ? ", corners" : ""}`,
            of({ mode, paddingMode, alignCorners }),
          ]),
        ),
      ),
    ),
    "no places": of({}, [2, 2, 3, 3], [0, 4]),
    "no pictures": of({}, [0, 2, 3, 3]),
    "far outside": {
      inputs: [normal(1, 1, 3, 3), given([1e30, -1e30, Number.POSITIVE_INFINITY, 0], [1, 1, 2, 2])],
      args: [{}],
      grad: false,
    },
  },
  errors: {
    "three dimensions": [
      () => gridSample(ones([1, 3, 3]), ones([1, 2, 2, 2])),
      /gridSample: expected x with 4 dimensions \[n,c,h,w\], got 3/,
    ],
    "grid of another batch": [
      () => gridSample(ones([1, 3, 3, 3]), ones([2, 2, 2, 2])),
      /gridSample: expected a grid of shape \[1,p,q,2\] for x \[1,3,3,3\], got \[2,2,2,2\]/,
    ],
    "unknown mode": [
      () => gridSample(ones([1, 3, 3, 3]), ones([1, 2, 2, 2]), { mode: "linear" as never }),
      /gridSample: expected a mode of bilinear, nearest, bicubic, got "linear"/,
    ],
    "unknown padding": [
      () => gridSample(ones([1, 3, 3, 3]), ones([1, 2, 2, 2]), { paddingMode: "same" as never }),
      /gridSample: expected a paddingMode of zeros, border, reflection, got "same"/,
    ],
  },
  bench: {
    "32x3x224x224 bilinear": { inputs: [normal(32, 3, 224, 224), uniform(-1, 1, 32, 224, 224, 2)], args: [{}] },
  },
});

test?.("derivatives for the picture alone are of any order", () => {
  const grid = rand([1, 3, 3, 2], { dtype: "float64" }).mul(1.8).sub(0.9);
  const x = randn([1, 2, 4, 4], { dtype: "float64", requiresGrad: true });
  scope(() => gradgradcheck((x) => gridSample(x, grid, { mode: "bicubic" }).pow(3), [x], { rtol: 1e-4, atol: 1e-6 }));
  const y = gridSample(x, grid).pow(2).sum();
  const [dx] = grad(y, [x], { createGraph: true });
  expect(grad(dx.square().sum(), [x])[0].abs().sum().itemSync()).toBeGreaterThan(0);
});

checkOp<[number[], { alignCorners?: boolean }]>("affineGrid", {
  run: ([theta], size, options) => affineGrid(theta, size, options),
  reference: ([theta], [n, , p, q], { alignCorners = false }) =>
    build([n, p, q, 2], ([ni, i, j, k]) => {
      const place = (v: number, extent: number) =>
        alignCorners ? (extent > 1 ? -1 + (2 * v) / (extent - 1) : 0) : -1 + (2 * v + 1) / extent;
      return at(theta, [ni, k, 0]) * place(j, q) + at(theta, [ni, k, 1]) * place(i, p) + at(theta, [ni, k, 2]);
    }),
  bound: { rms: 8 },
  isaRms: 8,
  cases: {
    edges: { inputs: [normal(2, 2, 3)], args: [[2, 3, 4, 5], {}] },
    corners: { inputs: [normal(1, 2, 3)], args: [[1, 3, 1, 3], { alignCorners: true }] },
  },
  errors: {
    "theta of another batch": [
      () => affineGrid(ones([2, 2, 3]), [1, 3, 4, 4]),
      /affineGrid: expected theta of shape \[1,2,3\] for size \[1,3,4,4\], got \[2,2,3\]/,
    ],
    "size of three": [() => affineGrid(ones([1, 2, 3]), [3, 4, 4]), /affineGrid: expected a size \[n,c,p,q\]/],
  },
  bench: { "32x3x224x224": { inputs: [normal(32, 2, 3)], args: [[32, 3, 224, 224], {}] } },
});

test?.("the identity map gives the picture back", () => {
  const x = randn([1, 2, 4, 5]);
  const theta = tensor([
    [
      [1, 0, 0],
      [0, 1, 0],
    ],
  ]);
  for (const alignCorners of [false, true]) {
    const y = x.gridSample(theta.affineGrid([1, 2, 4, 5], { alignCorners }), { alignCorners });
    expect(y.sub(x).abs().amax().itemSync()).toBeLessThan(1e-5);
  }
});

// ---- Shuffles

checkOp<[number]>("pixelShuffle", {
  run: ([x], f) => pixelShuffle(x, f),
  reference: ([x], f) => {
    const [c, h, w] = x.shape.slice(-3);
    return build([...x.shape.slice(0, -3), c / f / f, h * f, w * f], (index) => {
      const [k, i, j] = index.slice(-3);
      return at(x, [...index.slice(0, -3), (k * f + (i % f)) * f + (j % f), Math.floor(i / f), Math.floor(j / f)]);
    });
  },
  cases: {
    "by 2": { inputs: [normal(2, 8, 2, 3)], args: [2] },
    "by 3, one picture": { inputs: [normal(9, 2, 2)], args: [3] },
  },
  errors: {
    "channels do not fit": [
      () => pixelShuffle(ones([1, 6, 2, 2]), 2),
      /pixelShuffle: expected channels that are a multiple of 4, got 6/,
    ],
    "factor 0": [
      () => pixelShuffle(ones([1, 4, 2, 2]), 0),
      /pixelShuffle: expected an upscale factor from 1 up, got 0/,
    ],
  },
  bench: { "16x256x64x64 by 2": { inputs: [normal(16, 256, 64, 64)], args: [2] } },
});
checkOp<[number]>("pixelUnshuffle", {
  run: ([x], f) => pixelUnshuffle(x, f),
  reference: ([x], f) => {
    const [c, h, w] = x.shape.slice(-3);
    return build([...x.shape.slice(0, -3), c * f * f, h / f, w / f], (index) => {
      const [k, i, j] = index.slice(-3);
      const within = k % (f * f);
      return at(x, [
        ...index.slice(0, -3),
        Math.floor(k / f / f),
        i * f + Math.floor(within / f),
        j * f + (within % f),
      ]);
    });
  },
  cases: { "by 2": { inputs: [normal(2, 2, 4, 6)], args: [2] } },
  errors: {
    "height does not fit": [
      () => pixelUnshuffle(ones([1, 1, 3, 4]), 2),
      /pixelUnshuffle: expected a height and a width that are multiples of 2, got \[1,1,3,4\]/,
    ],
  },
  bench: { "4x64x128x128 by 2": { inputs: [normal(4, 64, 128, 128)], args: [2] } },
});
checkOp<[number]>("channelShuffle", {
  run: ([x], g) => channelShuffle(x, g),
  reference: ([x], g) =>
    build(x.shape, ([n, c, ...rest]) => at(x, [n, (c % g) * (x.shape[1] / g) + Math.floor(c / g), ...rest])),
  cases: {
    "two groups": { inputs: [normal(2, 6, 2, 3)], args: [2] },
    "three groups of rows": { inputs: [normal(1, 6, 4)], args: [3] },
  },
  errors: {
    "groups do not divide": [
      () => channelShuffle(ones([1, 5, 2]), 2),
      /channelShuffle: expected channels that are a multiple of the 2 groups, got 5/,
    ],
  },
  bench: { "32x116x28x28, 2 groups": { inputs: [normal(32, 116, 28, 28)], args: [2] } },
});
