/** @file Borders, against index arithmetic. All exact. */
import { ones, type PadOptions, pad } from "napier";
import { checkOp } from "../check.js";
import { at, build, ints, normal } from "../nd.js";

const EXACT = { bound: { ulp: 0 }, gradBound: { ulp: 0 }, isaGradRms: 0 } as const;

checkOp<[padding: number[], options?: { value?: number }]>("pad", {
  run: ([x], ...args) => pad(x!, ...args),
  reference: ([x], padding, { value = 0 } = {}) => {
    const before = x!.shape.map((_, d) => padding[2 * (x!.shape.length - 1 - d)] ?? 0);
    const after = x!.shape.map((_, d) => padding[2 * (x!.shape.length - 1 - d) + 1] ?? 0);
    const shape = x!.shape.map((e, d) => e + before[d]! + after[d]!);
    return build(
      shape,
      (index) => {
        const inner = index.map((i, d) => i - before[d]!);
        return inner.every((i, d) => i >= 0 && i < x!.shape[d]!) ? at(x!, inner) : value;
      },
      x!.dtype,
    );
  },
  ...EXACT,
  cases: {
    "last dimension": { inputs: [normal(2, 3)], args: [[1, 2]] },
    "two dimensions": { inputs: [normal(2, 3, 4)], args: [[1, 1, 2, 0]] },
    "with a value": { inputs: [normal(2, 3)], args: [[1, 1, 1, 1], { value: 2.5 }] },
    cropping: { inputs: [normal(5, 6)], args: [[-1, -2, -1, 0]] },
    "cropping and padding": { inputs: [normal(5, 6)], args: [[-1, 2, 3, -2]] },
    "cropping everything away": { inputs: [normal(2, 3)], args: [[-3, 0]] },
    "more cropped than there is, padded back": { inputs: [normal(2, 3)], args: [[-4, 3]] },
    nothing: { inputs: [normal(2, 3)], args: [[]] },
    "around nothing": { inputs: [normal(0, 3)], args: [[0, 0, 1, 1]] },
    int32: { inputs: [ints(-9, 9, [2, 3])], args: [[1, 1], { value: 7 }], grad: false },
  },
  errors: {
    "an odd number": [
      () => pad(ones([2, 3]), [1]),
      /pad: expected pairs of integers for at most 2 dimensions, from the last backwards, got \[1\]/,
    ],
    "too many": [
      () => pad(ones([2]), [1, 1, 1, 1]),
      /pad: expected pairs of integers for at most 1 dimensions.*got \[1,1,1,1\]/,
    ],
    "cropping too much": [
      () => pad(ones([2, 3]), [-2, -2]),
      /pad: expected to crop at most \[2,3\], got padding \[-2,-2\]/,
    ],
  },
});

/** Where element i of an extent n comes from. */
const source = {
  reflect: (i: number, n: number) => (i < 0 ? -i : i >= n ? 2 * (n - 1) - i : i),
  replicate: (i: number, n: number) => Math.min(Math.max(i, 0), n - 1),
  circular: (i: number, n: number) => (i + n) % n,
};
checkOp<[padding: number[], mode: keyof typeof source]>("pad, other modes", {
  run: ([x], padding, mode) => pad(x!, padding, { mode }),
  reference: ([x], padding, mode) => {
    const side = (d: number, i: number) => padding[2 * (x!.shape.length - 1 - d) + i] ?? 0;
    return build(
      x!.shape.map((e, d) => e + side(d, 0) + side(d, 1)),
      (index) =>
        at(
          x!,
          index.map((i, d) => source[mode](i - side(d, 0), x!.shape[d]!)),
        ),
      x!.dtype,
    );
  },
  bound: { ulp: 0 },
  gradBound: { rms: 16 },
  cases: {
    "reflect, 1-d": { inputs: [normal(2, 3, 5)], args: [[2, 4], "reflect"] },
    "reflect, 2-d": { inputs: [normal(1, 2, 3, 4)], args: [[1, 3, 2, 0], "reflect"] },
    "reflect, 3-d": { inputs: [normal(1, 2, 2, 3, 3)], args: [[1, 1, 0, 2, 1, 1], "reflect"] },
    "reflect, one side cropped": { inputs: [normal(2, 5)], args: [[-1, 2], "reflect"] },
    "replicate, 1-d": { inputs: [normal(2, 3)], args: [[2, 5], "replicate"] },
    "replicate, 2-d": { inputs: [normal(2, 3, 4)], args: [[1, 0, 3, 1], "replicate"] },
    "replicate, 3-d, cropped": { inputs: [normal(2, 2, 3, 3)], args: [[1, -1, 2, 1, 1, 0], "replicate"] },
    "circular, 1-d": { inputs: [normal(2, 4)], args: [[3, 4], "circular"] },
    "circular, 3-d": { inputs: [normal(2, 2, 3, 3)], args: [[1, 1, 2, 0, 1, 2], "circular"] },
    "uint8, reflect": { inputs: [ints(0, 256, [2, 4], "uint8")], args: [[2, 1], "reflect"], grad: false },
  },
  errors: {
    "reflect beyond the extent": [
      () => pad(ones([2, 3]), [3, 0], { mode: "reflect" }),
      /pad: expected at most 2 elements on each side of dimension 1, of extent 3, in mode "reflect", got 3 and 0/,
    ],
    "circular beyond the extent": [
      () => pad(ones([2, 3]), [0, 4], { mode: "circular" }),
      /pad: expected at most 3 elements on each side of dimension 1, of extent 3, in mode "circular", got 0 and 4/,
    ],
    "replicate of nothing": [
      () => pad(ones([2, 0]), [1, 0], { mode: "replicate" }),
      /pad: expected at most 0 elements on each side of dimension 1/,
    ],
    "an unknown mode": [
      () => pad(ones([2]), [1, 1], { mode: "mirror" as PadOptions["mode"] }),
      /pad: expected mode "constant", "reflect", "replicate" or "circular", got "mirror"/,
    ],
  },
  bench: { "pictures 32x64x56x56": { inputs: [normal(32, 64, 56, 56)], args: [[1, 1, 1, 1], "reflect"] } },
});
