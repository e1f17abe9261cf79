/** @file Elements in another order or several times, against index arithmetic. All exact. */
import {
  arange,
  atLeast1d,
  atLeast2d,
  atLeast3d,
  broadcastTensors,
  broadcastTo,
  flip,
  fliplr,
  flipud,
  movedim,
  narrow,
  ones,
  repeat,
  repeatInterleave,
  roll,
  rot90,
  select,
  swapaxes,
  tile,
  unflatten,
  unfoldAxis,
} from "napier";
import { checkOp, expect, test } from "../check.js";
import { at, build, ints, mask, type Nd, nd, normal } from "../nd.js";

const EXACT = { bound: { ulp: 0 }, gradBound: { ulp: 0 }, isaGradRms: 0 } as const;
const SUMS = { bound: { ulp: 0 }, gradBound: { rms: 16 } } as const;

const mod = (i: number, n: number) => ((i % n) + n) % n;
const put = (index: number[], d: number, i: number) => index.map((v, j) => (j === d ? i : v));
const axisOf = (x: Nd, axis: number) => (axis < 0 ? axis + x.shape.length : axis);
const withExtent = (x: Nd, d: number, n: number) => x.shape.map((e, i) => (i === d ? n : e));
/** y[..., i, ...] = x[..., from(i), ...] along d. */
const picked = (x: Nd, d: number, n: number, from: (i: number) => number): Nd =>
  build(withExtent(x, d, n), (index) => at(x, put(index, d, from(index[d]!))), x.dtype);

checkOp<[axis: number, start: number, length: number]>("narrow", {
  run: ([x], ...args) => narrow(x!, ...args),
  reference: ([x], axis, start, length) => {
    const d = axisOf(x!, axis);
    return picked(x!, d, length, (i) => mod(start, x!.shape[d]!) + i);
  },
  ...EXACT,
  cases: {
    rows: { inputs: [normal(5, 3)], args: [0, 1, 3] },
    "columns from the end": { inputs: [normal(2, 7)], args: [-1, -3, 2] },
    nothing: { inputs: [normal(2, 3)], args: [1, 1, 0] },
    uint8: { inputs: [ints(0, 256, [4, 4], "uint8")], args: [1, 0, 2], grad: false },
  },
  errors: {
    "beyond the end": [
      () => narrow(ones([2, 3]), 1, 2, 2),
      /narrow: expected a start and a length within dimension 1, of extent 3, got 2 and 2/,
    ],
    "a negative length": [() => narrow(ones([3]), 0, 1, -1), /narrow: expected a start and a length.*got 1 and -1/],
  },
  bench: { "values of 8x197x2304": { inputs: [normal(8, 197, 2304)], args: [-1, 1536, 768] } },
});

checkOp<[axis: number, index: number]>("select", {
  run: ([x], ...args) => select(x!, ...args),
  reference: ([x], axis, index) => {
    const d = axisOf(x!, axis);
    const y = picked(x!, d, 1, () => mod(index, x!.shape[d]!));
    return nd(
      x!.shape.filter((_, i) => i !== d),
      y.data,
      x!.dtype,
    );
  },
  ...EXACT,
  cases: {
    row: { inputs: [normal(3, 4)], args: [0, 1] },
    "from the end": { inputs: [normal(3, 4, 2)], args: [-2, -1] },
  },
  errors: { outside: [() => select(ones([2, 3]), 1, 3), /select: expected an index from -3 to 2, got 3/] },
  bench: { "class token of 16x197x768": { inputs: [normal(16, 197, 768)], args: [1, 0] } },
});

checkOp<[axis: number, shape: number[]]>("unflatten", {
  run: ([x], ...args) => unflatten(x!, ...args),
  reference: ([x], axis, shape) => {
    const d = axisOf(x!, axis);
    const n = -shape.reduce((a, b) => a * b, 1);
    const whole = shape.map((e) => (e === -1 ? x!.shape[d]! / n : e));
    return nd([...x!.shape.slice(0, d), ...whole, ...x!.shape.slice(d + 1)], x!.data);
  },
  ...EXACT,
  cases: {
    middle: { inputs: [normal(2, 6, 3)], args: [1, [2, 3]] },
    "last, with -1": { inputs: [normal(2, 6)], args: [-1, [3, -1]] },
  },
  errors: {
    "another size": [
      () => unflatten(ones([2, 6]), 1, [4, 2]),
      /unflatten: expected extents whose product is 6, that of dimension 1 of \[2,6\], got \[4,2\]/,
    ],
  },
  bench: { "heads of 8x197x768": { inputs: [normal(8, 197, 768)], args: [-1, [12, 64]] } },
});

checkOp<[from: number | number[], to: number | number[]]>("movedim", {
  run: ([x], from, to) => movedim(x!, from, to),
  reference: ([x], from, to) => {
    const rank = x!.shape.length;
    const [source, target] = [from, to].map((a) => [a].flat().map((v) => mod(v, rank))) as [number[], number[]];
    const order = Array<number>(rank).fill(-1);
    target.forEach((t, i) => {
      order[t] = source[i]!;
    });
    const rest = order.map((_, d) => d).filter((d) => !source.includes(d));
    const whole = order.map((o) => (o >= 0 ? o : rest.shift()!));
    return build(
      whole.map((d) => x!.shape[d]!),
      (index) =>
        at(
          x!,
          whole.map((_, d) => index[whole.indexOf(d)]!),
        ),
    );
  },
  ...EXACT,
  cases: {
    "first to last": { inputs: [normal(2, 3, 4)], args: [0, -1] },
    two: {
      inputs: [normal(2, 3, 4, 5)],
      args: [
        [0, 1],
        [2, 0],
      ],
    },
  },
  errors: {
    "a dimension twice": [
      () => movedim(ones([2, 3]), [0, 0], [0, 1]),
      /movedim: expected as many places as dimensions, each once, got \[0,0\] to \[0,1\]/,
    ],
  },
  bench: { "channels last 16x64x56x56": { inputs: [normal(16, 64, 56, 56)], args: [1, -1] } },
});
checkOp("swapaxes", {
  run: ([x]) => swapaxes(x!, 0, 2),
  reference: ([x]) => build([x!.shape[2]!, x!.shape[1]!, x!.shape[0]!], ([i, j, l]) => at(x!, [l!, j!, i!])),
  ...EXACT,
  cases: { "first and last": { inputs: [normal(2, 3, 4)] } },
  bench: { "128x64x512": { inputs: [normal(128, 64, 512)] } },
});
checkOp<[shape: number[]]>("broadcastTo", {
  run: ([x], shape) => broadcastTo(x!, shape),
  reference: ([x], shape) => build(shape, (index) => at(x!, index)),
  ...SUMS,
  cases: { "a column": { inputs: [normal(3, 1)], args: [[2, 3, 4]] } },
  errors: {
    "-1": [() => broadcastTo(ones([3]), [-1, 3]), /broadcastTo: expected extents from 0 up, got \[-1,3\]/],
  },
  bench: { "positions 197x768 to 16": { inputs: [normal(197, 768)], args: [[16, 197, 768]] } },
});

checkOp<[axes: number | number[] | null]>("flip", {
  run: ([x], axes) => flip(x!, axes),
  reference: ([x], axes) => {
    const over = (axes === null ? x!.shape.map((_, d) => d) : [axes].flat()).map((a) => axisOf(x!, a));
    return build(
      x!.shape,
      (index) =>
        at(
          x!,
          index.map((i, d) => (over.includes(d) ? x!.shape[d]! - 1 - i : i)),
        ),
      x!.dtype,
    );
  },
  ...EXACT,
  cases: {
    all: { inputs: [normal(3, 4)], args: [null] },
    one: { inputs: [normal(3, 4)], args: [-1] },
    two: { inputs: [normal(2, 3, 4)], args: [[0, 2]] },
    bool: { inputs: [mask(3, 4)], args: [[0]], grad: false },
    scalar: { inputs: [normal()], args: [null] },
  },
  errors: { "an axis twice": [() => flip(ones([2, 3]), [0, 0]), /flip: expected axes that differ, got \[0,0\]/] },
  bench: { "pictures 64x3x224x224": { inputs: [normal(64, 3, 224, 224)], args: [-1] } },
});

checkOp<[shifts: number | number[], axes: number | number[] | null]>("roll", {
  run: ([x], ...args) => roll(x!, ...args),
  reference: ([x], shifts, axes) => {
    if (axes === null) {
      const n = x!.data.length;
      return nd(
        x!.shape,
        Array.from(x!.data, (_, i) => x!.data[mod(i - (shifts as number), n)]!),
      );
    }
    return [axes].flat().reduce((y, axis, i) => {
      const d = axisOf(y, axis);
      return picked(y, d, y.shape[d]!, (j) => mod(j - [shifts].flat()[i]!, y.shape[d]!));
    }, x!);
  },
  ...EXACT,
  cases: {
    vector: { inputs: [normal(7)], args: [3, 0] },
    "backwards, more than once around": { inputs: [normal(3, 4)], args: [-9, 1] },
    flattened: { inputs: [normal(3, 4)], args: [5, null] },
    "two axes": {
      inputs: [normal(3, 4)],
      args: [
        [1, -1],
        [0, 1],
      ],
    },
    "by nothing": { inputs: [normal(3)], args: [3, 0] },
  },
  errors: {
    "shifts without axes": [() => roll(ones([2, 2]), [1, 1]), /roll: expected one shift where no axes are given/],
    "more axes than shifts": [
      () => roll(ones([2, 2]), 1, [0, 1]),
      /roll: expected as many shifts as axes, got 1 and 2/,
    ],
    "a fraction": [() => roll(ones([2, 2]), 0.5), /roll: expected integer shifts, got \[0.5\]/],
  },
  bench: {
    "shifted windows 16x56x56x96": {
      inputs: [normal(16, 56, 56, 96)],
      args: [
        [-3, -3],
        [1, 2],
      ],
    },
  },
});

checkOp<[times: number, axes?: [number, number]]>("rot90", {
  run: ([x], ...args) => rot90(x!, ...args),
  reference: ([x], times, axes = [0, 1]) => {
    const [a, b] = axes.map((axis) => axisOf(x!, axis)) as [number, number];
    let y = x!;
    for (let turn = 0; turn < mod(times, 4); turn++) {
      const from = y;
      const shape = put(put(from.shape, a, from.shape[b]!), b, from.shape[a]!);
      y = build(shape, (index) => at(from, put(put(index, a, index[b]!), b, from.shape[b]! - 1 - index[a]!)));
    }
    return y;
  },
  ...EXACT,
  cases: {
    once: { inputs: [normal(2, 3)], args: [1] },
    twice: { inputs: [normal(2, 3)], args: [2] },
    "three times": { inputs: [normal(2, 3)], args: [3] },
    "backwards, other axes": { inputs: [normal(2, 3, 4)], args: [-1, [2, 1]] },
    "not at all": { inputs: [normal(2, 3)], args: [4] },
  },
  errors: {
    "a vector": [() => rot90(ones([3])), /rot90: expected at least 2 dimensions, got \[3\]/],
    "one axis": [() => rot90(ones([2, 2]), 1, [1, -1]), /rot90: expected two axes that differ, got \[1,-1\]/],
  },
  bench: { "pictures 16x3x224x224": { inputs: [normal(16, 3, 224, 224)], args: [1, [2, 3]] } },
});

const repeated = (x: Nd, times: number[]): Nd => {
  const shape = [...Array<number>(times.length - x.shape.length).fill(1), ...x.shape];
  return build(
    shape.map((e, d) => e * times[d]!),
    (index) =>
      at(
        { ...x, shape },
        index.map((i, d) => i % shape[d]!),
      ),
    x.dtype,
  );
};
checkOp<[times: number[]]>("repeat", {
  run: ([x], times) => repeat(x!, times),
  reference: ([x], times) => repeated(x!, times),
  ...SUMS,
  cases: {
    matrix: { inputs: [normal(2, 3)], args: [[2, 3]] },
    "a new dimension": { inputs: [normal(3)], args: [[2, 2]] },
    "no times": { inputs: [normal(2, 3)], args: [[0, 2]] },
    int32: { inputs: [ints(-9, 9, [3])], args: [[2]], grad: false },
  },
  errors: {
    "fewer counts than dimensions": [
      () => repeat(ones([2, 3]), [2]),
      /repeat: expected a count for each of 2 dimensions \(tile\(\) takes fewer\), got \[2\]/,
    ],
    negative: [() => repeat(ones([2]), [-1]), /repeat: expected counts from 0 up, got \[-1\]/],
  },
  bench: { "positions 197x768 to 16": { inputs: [normal(1, 197, 768)], args: [[16, 1, 1]] } },
});
checkOp<[times: number[]]>("tile", {
  run: ([x], times) => tile(x!, times),
  reference: ([x], times) =>
    repeated(x!, [...Array<number>(Math.max(0, x!.shape.length - times.length)).fill(1), ...times]),
  ...SUMS,
  cases: { "fewer counts": { inputs: [normal(2, 3)], args: [[2]] }, more: { inputs: [normal(2)], args: [[2, 3]] } },
  bench: { "16x3x112x112 by 2": { inputs: [normal(16, 3, 112, 112)], args: [[2, 2]] } },
});
checkOp<[times: number | number[], axis?: number]>("repeatInterleave", {
  run: ([x], ...args) => repeatInterleave(x!, ...args),
  reference: ([x], times, axis) => {
    const given = axis === undefined ? nd([x!.data.length], x!.data) : x!;
    const d = axisOf(given, axis ?? 0);
    const order = Array.from({ length: given.shape[d]! }, (_, i) =>
      Array<number>(typeof times === "number" ? times : times[i]!).fill(i),
    ).flat();
    return picked(given, d, order.length, (i) => order[i]!);
  },
  ...SUMS,
  cases: {
    flattened: { inputs: [normal(2, 3)], args: [2] },
    "along an axis": { inputs: [normal(2, 3, 2)], args: [3, 1] },
    "each its own": { inputs: [normal(3, 2)], args: [[2, 0, 1], 0] },
    "none at all": { inputs: [normal(2, 2)], args: [[0, 0], 1] },
  },
  errors: {
    "too few counts": [
      () => repeatInterleave(ones([3]), [1, 2], 0),
      /repeatInterleave: expected 3 counts, one an element, got 2/,
    ],
  },
  bench: { "heads of 4x8x512x64 by 4": { inputs: [normal(4, 8, 512, 64)], args: [4, 1] } },
});

checkOp<[axis: number, size: number, step: number]>("unfoldAxis", {
  run: ([x], ...args) => unfoldAxis(x!, ...args),
  reference: ([x], axis, size, step) => {
    const d = axisOf(x!, axis);
    const n = Math.floor((x!.shape[d]! - size) / step) + 1;
    return build([...withExtent(x!, d, n), size], (index) =>
      at(x!, put(index.slice(0, -1), d, index[d]! * step + index.at(-1)!)),
    );
  },
  ...SUMS,
  cases: {
    "windows apart": { inputs: [normal(7)], args: [0, 2, 3] },
    "windows that overlap": { inputs: [normal(2, 7, 2)], args: [1, 3, 2] },
    "step 1": { inputs: [normal(2, 5)], args: [-1, 4, 1] },
    "the whole": { inputs: [normal(3, 2)], args: [0, 3, 1] },
  },
  errors: {
    "a size too large": [
      () => unfoldAxis(ones([3]), 0, 4, 1),
      /unfoldAxis: expected a size from 0 to 3, the extent of dimension 0, got 4/,
    ],
    "step 0": [() => unfoldAxis(ones([3]), 0, 2, 0), /unfoldAxis: expected a step from 1 up, got 0/],
  },
  bench: { "frames of 1x32000": { inputs: [normal(1, 32000)], args: [-1, 400, 160] } },
});

test("shapes: atLeast1d, 2d, 3d, fliplr, flipud, broadcastTensors", () => {
  const [scalar, vector, matrix] = [ones([]), arange(3), arange(6).reshape([2, 3])];
  expect([scalar, vector, matrix].map((x) => [...atLeast1d(x).shape])).toEqual([[1], [3], [2, 3]]);
  expect([scalar, vector, matrix].map((x) => [...atLeast2d(x).shape])).toEqual([
    [1, 1],
    [1, 3],
    [2, 3],
  ]);
  expect([scalar, vector, matrix].map((x) => [...atLeast3d(x).shape])).toEqual([
    [1, 1, 1],
    [1, 3, 1],
    [2, 3, 1],
  ]);
  expect(fliplr(matrix).toArraySync()).toEqual([
    [2, 1, 0],
    [5, 4, 3],
  ]);
  expect(flipud(matrix).toArraySync()).toEqual([
    [3, 4, 5],
    [0, 1, 2],
  ]);
  expect(broadcastTensors([vector, ones([2, 1])]).map((x) => [...x.shape])).toEqual([
    [2, 3],
    [2, 3],
  ]);
  expect(() => broadcastTensors([vector, ones([2])])).toThrow(/broadcastTensors: expected shapes that broadcast/);
});
