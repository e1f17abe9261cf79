/** @file Matrix products, against the triple loop. */
import { linear, matmul, ones } from "napier";
import { type Case, checkOp } from "../check.js";
import { at, broadcast, build, given, type Nd, normal } from "../nd.js";

const swapLast = (x: Nd): Nd => {
  if (x.shape.length < 2) return x;
  const shape = [...x.shape.slice(0, -2), x.shape.at(-1)!, x.shape.at(-2)!];
  return build(shape, (index) => at(x, [...index.slice(0, -2), index.at(-1)!, index.at(-2)!]));
};

/** y[..., i, j] = sum_e a[..., i, e] b[..., e, j]; vectors as PyTorch takes them. */
function product(a: Nd, b: Nd): Nd {
  const left = a.shape.length === 1 ? { ...a, shape: [1, a.shape[0]!] } : a;
  const right = b.shape.length === 1 ? { ...b, shape: [b.shape[0]!, 1] } : b;
  const rank = Math.max(left.shape.length, right.shape.length) - 2;
  const lead = Array.from({ length: rank }, (_, d) => {
    const extents = [left, right].map((x) => x.shape[x.shape.length - 2 - rank + d] ?? 1);
    return extents.find((e) => e !== 1) ?? 1;
  });
  const [m, inner] = left.shape.slice(-2) as [number, number];
  const y = build([...lead, m, right.shape.at(-1)!], (index) => {
    const [batch, i, j] = [index.slice(0, rank), index[rank]!, index[rank + 1]!];
    let sum = 0;
    for (let e = 0; e < inner; e++) sum += at(left, [...batch, i, e]) * at(right, [...batch, e, j]);
    return sum;
  });
  y.shape = [
    ...lead,
    ...(a.shape.length === 1 ? [] : y.shape.slice(rank, rank + 1)),
    ...(b.shape.length === 1 ? [] : y.shape.slice(-1)),
  ];
  return y;
}

type Cases = Record<string, Case<[]>>;
const two = (a: number[], b: number[]): Case<[]> => ({ inputs: [normal(...a), normal(...b)] });

const BOUND = { bound: { rms: 8 }, gradBound: { rms: 16 }, isaRms: 8 } as const;

checkOp("matmul", {
  run: ([a, b]) => matmul(a!, b!),
  reference: ([a, b]) => product(a!, b!),
  ...BOUND,
  cases: {
    "1x1": two([1, 1], [1, 1]),
    square: two([4, 4], [4, 4]),
    "odd, not square": two([3, 7], [7, 5]),
    "one row": two([1, 33], [33, 17]),
    "one column": two([19, 31], [31, 1]),
    "inner extent 1": two([5, 1], [1, 9]),
    "inner extent 0: zeros": { ...two([3, 0], [0, 2]), bound: { ulp: 0 } },
    "no rows": two([0, 4], [4, 2]),
    "no columns": two([2, 4], [4, 0]),
    "vector times vector": two([37], [37]),
    "vector times matrix": two([6], [6, 5]),
    "matrix times vector": two([5, 6], [6]),
    batched: two([3, 4, 5], [3, 5, 6]),
    "batch of one with batch": two([1, 4, 5], [3, 5, 6]),
    "batches broadcast both ways": two([2, 1, 3, 4], [3, 4, 2]),
    "tall: batch times one matrix": two([2, 3, 4, 5], [5, 6]),
    "one matrix times batch": two([4, 5], [2, 3, 5, 6]),
    "vector times batch": two([5], [2, 5, 6]),
    "around the tiles": two([65, 130], [130, 33]),
    "packed panels": two([97, 300], [300, 101]),
    "small m n, long k": two([3, 4000], [4000, 2]),
    "many small batches": two([70, 9, 8], [70, 8, 10]),
    "NaN and infinity": {
      inputs: [given([1, Number.NaN, Number.POSITIVE_INFINITY, 2, 3, 4], [3, 2]), given([1, 0, 2, 3], [2, 2])],
      grad: false,
    },
  } satisfies Cases,
  errors: {
    "inner dimensions differ": [
      () => matmul(ones([2, 3]), ones([4, 5])),
      /matmul: expected inner dimensions that agree, got \[2,3\] x \[4,5\] \(3 and 4\)/,
    ],
    "batches do not broadcast": [
      () => matmul(ones([2, 3, 4]), ones([5, 4, 2])),
      /matmul: expected shapes that broadcast, got \[2\] and \[5\] \(dimension 0: 2 and 5\)/,
    ],
    "a scalar": [
      () => matmul(ones([]), ones([2, 2])),
      /matmul: expected operands with at least one dimension, got \[\] and \[2,2\]/,
    ],
    integers: [
      () => matmul(ones([2, 2], { dtype: "int32" }), ones([2, 2])),
      /matmul: expected float32 or float64, got int32/,
    ],
    "dtypes differ": [
      () => matmul(ones([2, 2]), ones([2, 2], { dtype: "float64" })),
      /matmul: expected operands of one dtype, got float32 and float64/,
    ],
  },
  bench: {
    "square 512": two([512, 512], [512, 512]),
    "linear 128x784x256": two([128, 784], [784, 256]),
    "attention 96x128x64x128": two([96, 128, 64], [96, 64, 128]),
  },
});

for (const [name, options] of Object.entries({
  "a transposed": { transA: true },
  "b transposed": { transB: true },
  "both transposed": { transA: true, transB: true },
})) {
  const { transA, transB } = { transA: false, transB: false, ...options };
  const stored = ([rows, cols]: number[], transposed: boolean): number[] =>
    transposed ? [cols!, rows!] : [rows!, cols!];
  /** [m, k] x [k, n], each stored as its option says, with leading dimensions. */
  const pair = (m: number, inner: number, n: number, leadA: number[] = [], leadB: number[] = []): Case<[]> =>
    two([...leadA, ...stored([m, inner], transA)], [...leadB, ...stored([inner, n], transB)]);
  checkOp(`matmul, ${name}`, {
    run: ([a, b]) => matmul(a!, b!, options),
    reference: ([a, b]) => product(transA ? swapLast(a!) : a!, transB ? swapLast(b!) : b!),
    ...BOUND,
    cases: {
      "1x1": pair(1, 1, 1),
      "odd, not square": pair(3, 7, 5),
      "one row": pair(1, 33, 17),
      "one column": pair(17, 33, 1),
      batched: pair(4, 5, 6, [3], [3]),
      "batches broadcast": pair(4, 5, 6, [3], [1]),
      "batches broadcast both ways": pair(3, 4, 2, [2, 1], [3]),
      "one matrix for all batches": pair(4, 5, 6, [], [3]),
      "all batches times one matrix": pair(4, 5, 6, [3]),
      "packed panels": pair(90, 129, 70),
      "no rows": pair(0, 4, 3),
    } satisfies Cases,
    errors: {
      "inner dimensions differ": [
        () => matmul(ones([2, 3]), ones([4, 5]), options),
        /matmul: expected inner dimensions that agree, got \[2,3\].* x \[4,5\]/,
      ],
    },
    bench: { "square 512": pair(512, 512, 512) },
  });
}

checkOp("linear", {
  run: ([x, w, b]) => linear(x!, w!, b ?? null),
  reference: ([x, w, b]) => {
    const y = product(x!, swapLast(w!));
    return b ? broadcast((v, c) => v + c, [y, b]) : y;
  },
  ...BOUND,
  cases: {
    "without bias": { inputs: [normal(4, 3), normal(5, 3)] },
    "with bias": { inputs: [normal(4, 3), normal(5, 3), normal(5)] },
    "1x1": { inputs: [normal(1, 1), normal(1, 1), normal(1)] },
    "a vector": { inputs: [normal(7), normal(3, 7), normal(3)] },
    "more dimensions": { inputs: [normal(2, 3, 4, 5), normal(6, 5), normal(6)] },
    "no rows": { inputs: [normal(0, 4), normal(3, 4), normal(3)] },
    "no inputs: the bias": { inputs: [normal(2, 0), normal(3, 0), normal(3)] },
    "one output": { inputs: [normal(33, 65), normal(1, 65), normal(1)] },
    "packed panels": { inputs: [normal(100, 150), normal(70, 150), normal(70)] },
  } satisfies Cases,
  errors: {
    "x does not fit": [
      () => linear(ones([2, 3]), ones([5, 4])),
      /linear: expected x of shape \[...,4\] for weight \[5,4\], got \[2,3\]/,
    ],
    "weight with 3 dimensions": [
      () => linear(ones([2, 3]), ones([5, 3, 1])),
      /linear: expected a weight of shape \[out,in\], got \[5,3,1\]/,
    ],
    "bias does not fit": [
      () => linear(ones([2, 3]), ones([5, 3]), ones([3])),
      /linear: expected a bias of shape \[5\], got \[3\]/,
    ],
    "bias of another dtype": [
      () => linear(ones([2, 3]), ones([5, 3]), ones([5], { dtype: "float64" })),
      /linear: expected operands of one dtype, got float32 and float64/,
    ],
  },
  bench: { "128x1024x1024": { inputs: [normal(128, 1024), normal(1024, 1024), normal(1024)] } },
});
