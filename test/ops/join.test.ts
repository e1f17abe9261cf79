/** @file Taking apart and putting together, against index arithmetic. All exact. */
import { cartesianProd, cat, chunk, dstack, hstack, meshgrid, ones, split, stack, unbind, vstack, zeros } from "napier";
import { checkOp, expect, test } from "../check.js";
import { at, build, type Nd, nd, normal } from "../nd.js";

const EXACT = { bound: { ulp: 0 }, gradBound: { ulp: 0 }, isaGradRms: 0 } as const;
const SUMS = { bound: { ulp: 0 }, gradBound: { rms: 16 } } as const;

/** The parts put together again in reverse: every part's place counts. */
const reversed = (x: Nd, sizes: number[], d: number): Nd => {
  const order: number[] = [];
  let start = 0;
  for (const n of sizes) {
    order.unshift(...Array.from({ length: n }, (_, i) => start + i));
    start += n;
  }
  return build(x.shape, (index) =>
    at(
      x,
      index.map((i, j) => (j === d ? order[i]! : i)),
    ),
  );
};
checkOp<[size: number | number[], axis?: number]>("split", {
  run: ([x], size, axis = 0) => cat(split(x!, size, axis).reverse(), axis),
  reference: ([x], size, axis = 0) => {
    const n = x!.shape[axis]!;
    const sizes =
      typeof size === "number"
        ? Array.from({ length: Math.ceil(n / size) }, (_, i) => Math.min(size, n - i * size))
        : size;
    return reversed(x!, sizes, axis);
  },
  ...EXACT,
  cases: {
    "even parts": { inputs: [normal(4, 3)], args: [2] },
    "a smaller last part": { inputs: [normal(2, 7)], args: [3, 1] },
    "sizes listed": { inputs: [normal(6, 2)], args: [[1, 3, 2]] },
    "an empty part": { inputs: [normal(3)], args: [[0, 3]] },
  },
  errors: {
    "sizes that do not add up": [
      () => split(ones([5]), [2, 2]),
      /split: expected sizes that add up to 5, the extent of dimension 0, got \[2,2\]/,
    ],
    "size 0": [() => split(ones([5]), 0), /split: expected a size from 1 up, got 0/],
    "a scalar": [() => split(ones([]), 1), /split: expected at least one dimension, got a scalar/],
  },
  bench: { "8x197x2304 by 768": { inputs: [normal(8, 197, 2304)], args: [768, 2] } },
});
checkOp<[count: number, axis?: number]>("chunk", {
  run: ([x], count, axis = 0) => cat(chunk(x!, count, axis).reverse(), axis),
  reference: ([x], count, axis = 0) => {
    const n = x!.shape[axis]!;
    const size = Math.ceil(n / count);
    const sizes = Array.from({ length: Math.ceil(n / size) }, (_, i) => Math.min(size, n - i * size));
    return reversed(x!, sizes, axis);
  },
  ...EXACT,
  cases: {
    even: { inputs: [normal(2, 6)], args: [3, 1] },
    uneven: { inputs: [normal(7)], args: [3] },
    "more chunks than elements": { inputs: [normal(3)], args: [5] },
  },
  errors: { "no chunks": [() => chunk(ones([3]), 0), /chunk: expected a number of chunks from 1 up, got 0/] },
  bench: { "8x197x2304 in 3": { inputs: [normal(8, 197, 2304)], args: [3, 2] } },
});
checkOp<[axis?: number]>("unbind", {
  run: ([x], axis = 0) => stack(unbind(x!, axis).reverse(), axis),
  reference: ([x], axis = 0) => reversed(x!, Array<number>(x!.shape[axis]!).fill(1), axis),
  ...EXACT,
  cases: { rows: { inputs: [normal(3, 2)] }, columns: { inputs: [normal(2, 4)], args: [1] } },
  errors: { "a scalar": [() => unbind(ones([])), /unbind: expected at least one dimension, got a scalar/] },
  bench: { "3x8x197x768": { inputs: [normal(3, 8, 197, 768)], args: [0] } },
});

checkOp("hstack", {
  run: (xs) => hstack(xs),
  reference: ([a, b]) => {
    if (a!.shape.length === 1) return nd([a!.shape[0]! + b!.shape[0]!], [...a!.data, ...b!.data]);
    const n = a!.shape[1]!;
    return build([a!.shape[0]!, n + b!.shape[1]!], ([i, j]) => (j! < n ? at(a!, [i!, j!]) : at(b!, [i!, j! - n])));
  },
  ...EXACT,
  cases: { vectors: { inputs: [normal(2), normal(3)] }, matrices: { inputs: [normal(2, 3), normal(2, 1)] } },
  errors: { none: [() => hstack([]), /hstack: expected at least one tensor, got none/] },
  bench: { "two of 4096x256": { inputs: [normal(4096, 256), normal(4096, 256)] } },
});
checkOp("vstack", {
  run: (xs) => vstack(xs),
  reference: ([a, b]) => {
    const n = a!.shape.at(-1)!;
    return nd([(a!.data.length + b!.data.length) / n, n], [...a!.data, ...b!.data]);
  },
  ...EXACT,
  cases: { vectors: { inputs: [normal(3), normal(3)] }, matrices: { inputs: [normal(2, 3), normal(1, 3)] } },
  errors: { none: [() => vstack([]), /vstack: expected at least one tensor, got none/] },
  bench: { "two of 4096x256": { inputs: [normal(4096, 256), normal(4096, 256)] } },
});
checkOp("dstack", {
  run: (xs) => dstack(xs),
  reference: ([a, b]) => {
    const [m, n] = a!.shape.length === 2 ? a!.shape : [1, a!.shape[0]!];
    return build([m!, n!, 2], ([i, j, l]) => [a!, b!][l!]!.data[i! * n! + j!]!);
  },
  ...EXACT,
  cases: { vectors: { inputs: [normal(3), normal(3)] }, matrices: { inputs: [normal(2, 3), normal(2, 3)] } },
  errors: { none: [() => dstack([]), /dstack: expected at least one tensor, got none/] },
  bench: { "two of 1024x1024": { inputs: [normal(1024, 1024), normal(1024, 1024)] } },
});

checkOp<[indexing: "ij" | "xy"]>("meshgrid", {
  run: (xs, indexing) => stack(meshgrid(xs, { indexing })),
  reference: (xs, indexing) => {
    const place = (i: number) => (indexing === "xy" && i < 2 ? 1 - i : i);
    const shape = xs.map((_, d) => xs[place(d)]!.data.length);
    return build([xs.length, ...shape], ([i, ...index]) => xs[i!]!.data[index[place(i!)]!]!);
  },
  ...SUMS,
  cases: {
    "two, ij": { inputs: [normal(2), normal(3)], args: ["ij"] },
    "three, xy": { inputs: [normal(2), normal(3), normal(4)], args: ["xy"] },
  },
  errors: {
    "a matrix": [() => meshgrid([ones([2, 2])]), /meshgrid: expected vectors and scalars, got \[2,2\]/],
    indexing: [() => meshgrid([ones([2])], { indexing: "yx" as "xy" }), /meshgrid: expected indexing "ij" or "xy"/],
  },
  bench: { "1024x1024": { inputs: [normal(1024), normal(1024)], args: ["ij"] } },
});
checkOp("cartesianProd", {
  run: (xs) => cartesianProd(xs),
  reference: (xs) => {
    if (xs.length === 1) return xs[0]!;
    const rows = xs.reduce<number[][]>((all, x) => all.flatMap((r) => [...x.data].map((v) => [...r, v])), [[]]);
    return nd([rows.length, xs.length], rows.flat());
  },
  ...SUMS,
  cases: { one: { inputs: [normal(3)] }, three: { inputs: [normal(2), normal(3), normal(2)] } },
  errors: { "a matrix": [() => cartesianProd([ones([2, 2])]), /cartesianProd: expected vectors, got \[2,2\]/] },
  bench: { "100x100x100": { inputs: [normal(100), normal(100), normal(100)] } },
});

test("chunks of an empty dimension, one an asked chunk", () => {
  expect(chunk(zeros([0, 2]), 3).map((x) => [...x.shape])).toEqual([
    [0, 2],
    [0, 2],
    [0, 2],
  ]);
});
