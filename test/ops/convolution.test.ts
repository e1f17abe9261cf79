/** @file Convolutions over one and three axes, transposed ones, and unfold / fold, against their loops. */
import {
  type Conv1dOptions,
  type Conv3dOptions,
  type ConvTranspose2dOptions,
  conv1d,
  conv2d,
  conv3d,
  convTranspose1d,
  convTranspose2d,
  convTranspose3d,
  fold,
  matmul,
  ones,
  randn,
  type Tensor,
  type UnfoldOptions,
  unfold,
} from "napier";
import { type Case, checkOp, expect, test } from "../check.js";
import { at, build, indices, type Nd, normal, sizeOf } from "../nd.js";

interface Options {
  stride?: number | readonly number[];
  padding?: number | readonly number[] | "same" | "valid";
  outputPadding?: number | readonly number[];
  dilation?: number | readonly number[];
  groups?: number;
}
const each = (v: number | readonly number[], axes: number): number[] =>
  typeof v === "number" ? new Array<number>(axes).fill(v) : [...v];
const flatOf = (shape: number[], index: number[]): number => index.reduce((flat, i, d) => flat * shape[d] + i, 0);

/** Over any number of axes. */
function correlate([x, w, b]: Nd[], { stride = 1, padding = 0, dilation = 1, groups = 1 }: Options): Nd {
  const [n, , ...extents] = x.shape;
  const [o, perGroup, ...kernel] = w.shape;
  const axes = extents.length;
  const [steps, gaps] = [each(stride, axes), each(dilation, axes)];
  const reach = kernel.map((e, d) => gaps[d] * (e - 1));
  const around = reach.map((e, d): [number, number] =>
    padding === "valid"
      ? [0, 0]
      : padding === "same"
        ? [Math.floor(e / 2), Math.ceil(e / 2)]
        : [each(padding, axes)[d], each(padding, axes)[d]],
  );
  const out = extents.map((e, d) => Math.floor((e + around[d][0] + around[d][1] - reach[d] - 1) / steps[d]) + 1);
  return build([n, o, ...out], ([ni, oi, ...place]) => {
    let sum = b ? at(b, [oi]) : 0;
    const first = Math.floor(oi / (o / groups)) * perGroup;
    for (const [c, ...tap] of indices([perGroup, ...kernel])) {
      const from = place.map((p, d) => p * steps[d] - around[d][0] + tap[d] * gaps[d]);
      if (from.every((e, d) => e >= 0 && e < extents[d]))
        sum += at(x, [ni, first + c, ...from]) * at(w, [oi, c, ...tap]);
    }
    return sum;
  });
}

/** Every value of x spread over a window of y. */
function spread(
  [x, w, b]: Nd[],
  { stride = 1, padding = 0, outputPadding = 0, dilation = 1, groups = 1 }: Options,
): Nd {
  const [n, c, ...extents] = x.shape;
  const [, perGroup, ...kernel] = w.shape;
  const axes = extents.length;
  const [steps, gaps, extra] = [stride, dilation, outputPadding].map((v) => each(v, axes));
  const pads = each(padding as number | readonly number[], axes);
  const out = extents.map((e, d) => (e - 1) * steps[d] - 2 * pads[d] + gaps[d] * (kernel[d] - 1) + extra[d] + 1);
  const y = build([n, perGroup * groups, ...out], ([, oi]) => (b ? at(b, [oi]) : 0));
  for (const [ni, ci, ...from] of indices(x.shape))
    for (const [o, ...tap] of indices([perGroup, ...kernel])) {
      const place = from.map((e, d) => e * steps[d] - pads[d] + tap[d] * gaps[d]);
      if (!place.every((e, d) => e >= 0 && e < out[d])) continue;
      const channel = Math.floor(ci / (c / groups)) * perGroup + o;
      y.data[flatOf(y.shape, [ni, channel, ...place])] += at(x, [ni, ci, ...from]) * at(w, [ci, o, ...tap]);
    }
  return y;
}

const bounds = { bound: { rms: 8 }, gradBound: { rms: 16 }, isaRms: 8 } as const;
const of = <O>(x: number[], w: number[], options = {} as O, bias: number | null = w[0]): Case<[O]> => ({
  inputs: [normal(...x), normal(...w), ...(bias === null ? [] : [normal(bias)])],
  args: [options],
});

checkOp<[Conv1dOptions]>("conv1d", {
  run: ([x, w, b], options) => conv1d(x, w, b ?? null, options),
  reference: correlate,
  ...bounds,
  cases: {
    "one tap": of([2, 3, 5], [4, 3, 1]),
    "padding 2": of([2, 3, 9], [4, 3, 5], { padding: 2 }),
    "stride 2, dilated": of([1, 2, 14], [3, 2, 3], { stride: 2, dilation: 3, padding: 1 }),
    groups: of([2, 4, 7], [6, 2, 3], { groups: 2 }),
    depthwise: of([2, 3, 8], [3, 1, 3], { groups: 3, padding: 1 }, null),
    'padding "same", even kernel': of([1, 2, 7], [3, 2, 4], { padding: "same" }),
    "no examples": of([0, 2, 5], [3, 2, 3]),
  },
  errors: {
    "four dimensions": [
      () => conv1d(ones([1, 3, 8, 8]), ones([4, 3, 3])),
      /conv1d: expected x with 3 dimensions \[n,c,l\], got 4/,
    ],
    "kernel too large": [
      () => conv1d(ones([1, 1, 2]), ones([1, 1, 3])),
      /conv1d: expected a kernel that fits: it covers \[3\], got a padded x of \[2\]/,
    ],
    "stride 0": [
      () => conv1d(ones([1, 1, 4]), ones([1, 1, 3]), null, { stride: 0 }),
      /conv1d: expected a stride that is an integer from 1 up, got 0/,
    ],
    "groups do not divide": [
      () => conv1d(ones([1, 4, 4]), ones([3, 2, 3]), null, { groups: 2 }),
      /conv1d: expected groups that divide the 3 output channels/,
    ],
  },
  bench: { "16x512x400 3": of([16, 512, 400], [512, 512, 3], { padding: 1 }) },
});

checkOp<[Conv3dOptions]>("conv3d", {
  run: ([x, w, b], options) => conv3d(x, w, b ?? null, options),
  reference: correlate,
  ...bounds,
  cases: {
    "1x1x1": of([2, 3, 2, 3, 2], [2, 3, 1, 1, 1]),
    "3x3x3, padding 1": of([1, 2, 4, 5, 3], [3, 2, 3, 3, 3], { padding: 1 }),
    "all options differ": of([2, 2, 6, 5, 7], [2, 2, 2, 3, 2], {
      stride: [2, 1, 3],
      padding: [1, 0, 1],
      dilation: [2, 1, 1],
    }),
    groups: of([1, 4, 3, 4, 3], [4, 2, 2, 2, 2], { groups: 2 }, null),
    'padding "same", even kernel': of([1, 1, 4, 3, 4], [2, 1, 2, 3, 2], { padding: "same" }),
    "no clips": of([0, 2, 3, 3, 3], [3, 2, 3, 3, 3]),
  },
  errors: {
    "four dimensions": [
      () => conv3d(ones([3, 8, 8, 8]), ones([4, 3, 3, 3, 3])),
      /conv3d: expected x with 5 dimensions \[n,c,d,h,w\], got 4/,
    ],
    "stride of two": [
      () => conv3d(ones([1, 1, 4, 4, 4]), ones([1, 1, 3, 3, 3]), null, { stride: [1, 1] as never }),
      /conv3d: expected a stride that is an integer from 1 up, or three of them, got \[1,1\]/,
    ],
  },
  bench: { "4x64x8x28x28 3x3x3": of([4, 64, 8, 28, 28], [64, 64, 3, 3, 3], { padding: 1 }) },
});

type TransposedRun = (x: Tensor, w: Tensor, b: Tensor | null, options: never) => Tensor;
const transposed =
  (run: TransposedRun) =>
  ([x, w, b]: Tensor[], options: Options): Tensor =>
    run(x, w, b ?? null, options as never);

checkOp<[Options]>("convTranspose1d", {
  run: transposed(convTranspose1d),
  reference: spread,
  ...bounds,
  cases: {
    plain: of([2, 3, 4], [3, 2, 3], {}, 2),
    "stride 2, output padding 1": of([1, 2, 5], [2, 3, 3], { stride: 2, padding: 1, outputPadding: 1 }, 3),
    groups: of([1, 4, 3], [4, 1, 2], { groups: 2, stride: 3 }, null),
  },
  errors: {
    "two dimensions": [
      () => convTranspose1d(ones([3, 8]), ones([3, 2, 3])),
      /convTranspose1d: expected x with 3 dimensions \[n,c,l\], got 2/,
    ],
  },
  bench: { "16x256x200 4, stride 2": of([16, 256, 200], [256, 128, 4], { stride: 2, padding: 1 }, 128) },
});

checkOp<[Options]>("convTranspose2d", {
  run: transposed(convTranspose2d),
  reference: spread,
  ...bounds,
  cases: {
    "1x1": of([1, 2, 3, 4], [2, 3, 1, 1], {}, 3),
    "3x3, stride 1": of([2, 3, 4, 5], [3, 2, 3, 3], { padding: 1 }, 2),
    "4x4, stride 2": of([2, 3, 3, 4], [3, 2, 4, 4], { stride: 2, padding: 1 }, 2),
    "3x3, stride 2, output padding": of(
      [1, 2, 3, 4],
      [2, 2, 3, 3],
      { stride: 2, padding: 1, outputPadding: [1, 0] },
      2,
    ),
    "two groups": of([1, 4, 3, 3], [4, 2, 2, 3], { groups: 2, stride: [1, 2] }, 4),
    depthwise: of([2, 3, 4, 3], [3, 1, 3, 3], { groups: 3, stride: 2 }, null),
    dilated: of([1, 2, 4, 3], [2, 2, 2, 3], { dilation: [3, 1], stride: 2 }, 2),
    "output padding from the stride on": of(
      [1, 2, 3, 3],
      [2, 2, 2, 2],
      { dilation: 3, padding: 1, outputPadding: [2, 1] },
      2,
    ),
    "no pictures": of([0, 2, 3, 3], [2, 3, 3, 3], {}, 3),
  },
  errors: {
    "weight of another x": [
      () => convTranspose2d(ones([1, 3, 4, 4]), ones([2, 3, 3, 3])),
      /convTranspose2d: expected a weight of shape \[3,o\/groups,r,s\] for x \[1,3,4,4\], got \[2,3,3,3\]/,
    ],
    "output padding too large": [
      () => convTranspose2d(ones([1, 3, 4, 4]), ones([3, 3, 3, 3]), null, { stride: 2, outputPadding: 2 }),
      /convTranspose2d: expected an output padding below the stride \[2,2\] or the dilation \[1,1\], got \[2,2\]/,
    ],
    "all cut off": [
      () => convTranspose2d(ones([1, 3, 1, 1]), ones([3, 3, 3, 3]), null, { padding: 2 }),
      /convTranspose2d: expected an output with at least one element: padding cuts from \[3,3\], got \[-1,-1\]/,
    ],
    "bias of the wrong size": [
      () => convTranspose2d(ones([1, 3, 4, 4]), ones([3, 2, 3, 3]), ones([3])),
      /convTranspose2d: expected a bias of shape \[2\], got \[3\]/,
    ],
    "groups do not divide": [
      () => convTranspose2d(ones([1, 3, 4, 4]), ones([3, 2, 3, 3]), null, { groups: 2 }),
      /convTranspose2d: expected groups that divide the 3 input channels, got 2/,
    ],
  },
  bench: { "32x128x28x28 4x4, stride 2": of([32, 128, 28, 28], [128, 64, 4, 4], { stride: 2, padding: 1 }, 64) },
});

checkOp<[Options]>("convTranspose3d", {
  run: transposed(convTranspose3d),
  reference: spread,
  ...bounds,
  cases: {
    plain: of([1, 2, 2, 3, 2], [2, 2, 2, 2, 3], {}, 2),
    "stride 2, output padding": of(
      [1, 2, 3, 2, 2],
      [2, 3, 3, 3, 2],
      { stride: 2, padding: [1, 1, 0], outputPadding: [1, 0, 1] },
      3,
    ),
    groups: of([2, 4, 2, 2, 2], [4, 1, 2, 1, 2], { groups: 2, dilation: [2, 1, 1] }, null),
  },
  bench: { "4x64x8x14x14 2x2x2, stride 2": of([4, 64, 8, 14, 14], [64, 32, 2, 2, 2], { stride: 2 }, 32) },
});

type WindowArgs = [kernel: [number, number], options: { stride: number; padding: number; dilation: number }];
const reachOf = (extent: number, kernel: number, { stride, padding, dilation }: WindowArgs[1]): number =>
  Math.floor((extent + 2 * padding - dilation * (kernel - 1) - 1) / stride) + 1;
/** The index of row (c, r, s), column (p, q) in a picture. */
function* walk(
  shape: number[],
  kernel: [number, number],
  options: WindowArgs[1],
): Generator<{ column: number[]; picture: number[]; inside: boolean }> {
  const [n, c, h, w] = shape;
  const [p, q] = [reachOf(h, kernel[0], options), reachOf(w, kernel[1], options)];
  for (const [ni, ci, r, s, i, j] of indices([n, c, ...kernel, p, q])) {
    const line = i * options.stride - options.padding + r * options.dilation;
    const place = j * options.stride - options.padding + s * options.dilation;
    yield {
      column: [ni, (ci * kernel[0] + r) * kernel[1] + s, i * q + j],
      picture: [ni, ci, line, place],
      inside: line >= 0 && place >= 0 && line < h && place < w,
    };
  }
}
const columnsShape = ([n, c, h, w]: number[], kernel: [number, number], options: WindowArgs[1]): number[] => [
  n,
  c * kernel[0] * kernel[1],
  reachOf(h, kernel[0], options) * reachOf(w, kernel[1], options),
];
const windows = (
  shape: number[],
  kernel: [number, number],
  { stride = 1, padding = 0, dilation = 1 }: Partial<WindowArgs[1]> = {},
): Case<WindowArgs> => ({ inputs: [normal(...shape)], args: [kernel, { stride, padding, dilation }] });
const windowCases: Record<string, Case<WindowArgs>> = {
  "2x2": windows([2, 3, 4, 5], [2, 2]),
  "halves, stride 2": windows([1, 2, 4, 6], [2, 2], { stride: 2 }),
  "padded, strided, dilated": windows([2, 2, 5, 6], [2, 3], { padding: 2, stride: 2, dilation: 2 }),
  "padding above the kernel": windows([1, 1, 2, 2], [1, 2], { padding: 3 }),
  "no pictures": windows([0, 2, 4, 4], [2, 2]),
};

checkOp<WindowArgs>("unfold", {
  run: ([x], kernel, options) => unfold(x, kernel, options),
  reference: ([x], kernel, options) => {
    const y = build(columnsShape(x.shape, kernel, options), () => 0);
    for (const { column, picture, inside } of walk(x.shape, kernel, options))
      if (inside) y.data[flatOf(y.shape, column)] = at(x, picture);
    return y;
  },
  cases: windowCases,
  errors: {
    "three dimensions": [() => unfold(ones([3, 8, 8]), 2), /unfold: expected x with 4 dimensions \[n,c,h,w\], got 3/],
    "window too large": [
      () => unfold(ones([1, 1, 2, 4]), 3),
      /unfold: expected windows that fit: they cover \[3,3\], got a padded picture of \[2,4\]/,
    ],
  },
  bench: { "32x64x28x28 3x3": windows([32, 64, 28, 28], [3, 3], { padding: 1 }) },
});

// The picture's extents travel with the case: fold cannot know them.
checkOp<[...WindowArgs, shape: number[]]>("fold", {
  run: ([x], kernel, options, [, , h, w]) => fold(x, [h, w], kernel, options),
  reference: ([x], kernel, options, shape) => {
    const y = build(shape, () => 0);
    for (const { column, picture, inside } of walk(shape, kernel, options))
      if (inside) y.data[flatOf(shape, picture)] += at(x, column);
    return y;
  },
  bound: { rms: 2 },
  cases: Object.fromEntries(
    Object.entries(windowCases).map(([name, { inputs, args }]) => {
      const { shape } = inputs[0](() => 0.5);
      return [name, { inputs: [normal(...columnsShape(shape, ...args!))], args: [...args!, shape] }];
    }),
  ),
  errors: {
    "four dimensions": [() => fold(ones([1, 1, 4, 4]), 4, 2), /fold: expected x with 3 dimensions/],
    "rows do not fit": [
      () => fold(ones([1, 6, 4]), 4, 2),
      /fold: expected rows that are a multiple of the kernel's 4 taps, got \[1,6,4\]/,
    ],
    "columns do not fit": [
      () => fold(ones([1, 4, 4]), 4, 2),
      /fold: expected 9 columns, for 3 x 3 windows, got 4 \(\[1,4,4\]\)/,
    ],
  },
  bench: {
    "32x64x28x28 3x3": {
      inputs: [normal(32, 64 * 9, 28 * 28)],
      args: [[3, 3], { stride: 1, padding: 1, dilation: 1 }, [32, 64, 28, 28]],
    },
  },
});

test?.("a convolution is a matrix product with the unfolded picture", () => {
  const x = randn([2, 3, 6, 7], { dtype: "float64" });
  const w = randn([4, 3, 3, 2], { dtype: "float64" });
  const options: UnfoldOptions & ConvTranspose2dOptions = { stride: 2, padding: 1 };
  const columns = unfold(x, [3, 2], options);
  const y = matmul(w.reshape([4, -1]), columns);
  const direct = conv2d(x, w, null, options);
  expect(sizeOf(y.shape)).toBe(direct.size);
  expect(y.reshape(direct.shape).sub(direct).abs().amax().itemSync()).toBeLessThan(1e-12);
});
