/** @file Products under PyTorch's names, against loops. */
import { addmm, addmv, baddbmm, bmm, cross, dot, linalg, matrixPower, mm, mv, ones, tensordot, vdot } from "napier";
import { checkOp } from "../check.js";
import { at, build, type Nd, nd, normal, total } from "../nd.js";

const BOUND = { bound: { rms: 8 }, gradBound: { rms: 32 }, isaRms: 8 } as const;

/** [..., m, k] x [..., k, n] of equal batches. */
const times = (a: Nd, b: Nd): Nd =>
  build([...a.shape.slice(0, -1), b.shape.at(-1)!], (index) => {
    const [batch, i, j] = [index.slice(0, -2), index.at(-2)!, index.at(-1)!];
    return total(Array.from({ length: a.shape.at(-1)! }, (_, e) => at(a, [...batch, i, e]) * at(b, [...batch, e, j])));
  });
const column = (x: Nd): Nd => nd([...x.shape, 1], x.data);
const flat = (x: Nd): Nd => nd(x.shape.slice(0, -1), x.data);
const plus = (x: Nd, y: Nd, beta = 1, alpha = 1): Nd =>
  build(y.shape, (index) => (beta === 0 ? 0 : beta * at(x, index)) + alpha * at(y, index));

checkOp("mm", {
  run: ([a, b]) => mm(a!, b!),
  reference: ([a, b]) => times(a!, b!),
  ...BOUND,
  cases: { matrices: { inputs: [normal(3, 4), normal(4, 2)] } },
  errors: { vectors: [() => mm(ones([2]), ones([2, 3])), /mm: expected a matrix and a matrix, got \[2\] and \[2,3\]/] },
  bench: { "square 512": { inputs: [normal(512, 512), normal(512, 512)] } },
});
checkOp("bmm", {
  run: ([a, b]) => bmm(a!, b!),
  reference: ([a, b]) => times(a!, b!),
  ...BOUND,
  cases: { batches: { inputs: [normal(2, 3, 4), normal(2, 4, 2)] } },
  errors: {
    "other batches": [
      () => bmm(ones([2, 3, 4]), ones([1, 4, 2])),
      /bmm: expected as many matrices on both sides, got \[2,3,4\] and \[1,4,2\]/,
    ],
  },
  bench: { "96x128x64x128": { inputs: [normal(96, 128, 64), normal(96, 64, 128)] } },
});
checkOp("mv", {
  run: ([a, b]) => mv(a!, b!),
  reference: ([a, b]) => flat(times(a!, column(b!))),
  ...BOUND,
  cases: { "matrix and vector": { inputs: [normal(3, 4), normal(4)] } },
  errors: { matrices: [() => mv(ones([2, 2]), ones([2, 2])), /mv: expected a matrix and a vector/] },
  bench: { "2048x2048": { inputs: [normal(2048, 2048), normal(2048)] } },
});
for (const [name, op] of [
  ["dot", dot],
  ["vdot", vdot],
] as const)
  checkOp(name, {
    run: ([a, b]) => op(a!, b!),
    reference: ([a, b]) => nd([], [total(a!.data.map((v, i) => v * b!.data[i]!))]),
    ...BOUND,
    cases: { vectors: { inputs: [normal(7), normal(7)] } },
    errors: { matrices: [() => op(ones([2, 2]), ones([2])), /dot: expected a vector and a vector/] },
    bench: { "1M": { inputs: [normal(1 << 20), normal(1 << 20)] } },
  });

type Weights = [options?: { beta?: number; alpha?: number }];
checkOp<Weights>("addmm", {
  run: ([x, a, b], options) => addmm(x!, a!, b!, options),
  reference: ([x, a, b], { beta, alpha } = {}) => plus(x!, times(a!, b!), beta, alpha),
  ...BOUND,
  cases: {
    plain: { inputs: [normal(3, 2), normal(3, 4), normal(4, 2)] },
    "a row broadcast, weighed": { inputs: [normal(2), normal(3, 4), normal(4, 2)], args: [{ beta: 0.5, alpha: -2 }] },
    "a column broadcast, weighed": {
      inputs: [normal(3, 1), normal(3, 4), normal(4, 2)],
      args: [{ beta: -1, alpha: 0.5 }],
    },
    "beta 0: without the addend": { inputs: [normal(3, 2), normal(3, 4), normal(4, 2)], args: [{ beta: 0, alpha: 3 }] },
    "beta 0: NaN in the addend": {
      inputs: [() => nd([2], [Number.NaN, Infinity]), normal(3, 4), normal(4, 2)],
      args: [{ beta: 0 }],
      grad: false,
    },
    "nothing to sum": { inputs: [normal(3, 2), normal(3, 0), normal(0, 2)], args: [{ beta: 2 }] },
  },
  errors: {
    "other dtypes": [
      () => addmm(ones([2], { dtype: "float64" }), ones([3, 4]), ones([4, 2])),
      /addmm: expected operands of one dtype, got float32 and float64/,
    ],
    integers: [
      () => addmm(ones([2], { dtype: "int32" }), ones([3, 4], { dtype: "int32" }), ones([4, 2], { dtype: "int32" })),
      /addmm: expected float32 or float64, got int32/,
    ],
    "inner dimensions": [
      () => addmm(ones([2]), ones([3, 4]), ones([5, 2])),
      /addmm: expected inner dimensions that agree, got \[3,4\] x \[5,2\] \(4 and 5\)/,
    ],
    "a weight that is no number": [
      () => addmm(ones([2]), ones([3, 4]), ones([4, 2]), { alpha: "2" as unknown as number }),
      /addmm: expected a number for alpha, got 2/,
    ],
    "an addend too large": [
      () => addmm(ones([2, 3, 2]), ones([3, 4]), ones([4, 2])),
      /addmm: expected an addend that broadcasts to \[3,2\], got \[2,3,2\]/,
    ],
  },
  bench: { "a layer 128x784x256": { inputs: [normal(256), normal(128, 784), normal(784, 256)] } },
});
checkOp<Weights>("baddbmm", {
  run: ([x, a, b], options) => baddbmm(x!, a!, b!, options),
  reference: ([x, a, b], { beta, alpha } = {}) => plus(x!, times(a!, b!), beta, alpha),
  ...BOUND,
  cases: {
    "a row for each": { inputs: [normal(2, 1, 2), normal(2, 3, 4), normal(2, 4, 2)], args: [{ beta: 2, alpha: 0.5 }] },
    "a matrix for all": { inputs: [normal(3, 2), normal(2, 3, 4), normal(2, 4, 2)], args: [{ beta: 2, alpha: 0.5 }] },
    "a matrix for each": { inputs: [normal(2, 3, 2), normal(2, 3, 4), normal(2, 4, 2)] },
    "a column for each": { inputs: [normal(2, 3, 1), normal(2, 3, 4), normal(2, 4, 2)], args: [{ beta: 2 }] },
  },
  errors: {
    matrices: [() => baddbmm(ones([2]), ones([2, 2]), ones([2, 2])), /baddbmm: expected a batch of matrices/],
    "other batches": [
      () => baddbmm(ones([2]), ones([2, 3, 4]), ones([1, 4, 2])),
      /baddbmm: expected as many matrices on both sides, got \[2,3,4\] and \[1,4,2\]/,
    ],
    "an addend too large": [
      () => baddbmm(ones([3, 1, 1]), ones([2, 3, 4]), ones([2, 4, 2])),
      /baddbmm: expected shapes that broadcast, got \[3,1,1\] and \[2,3,2\]/,
    ],
  },
  bench: {
    "96x128x64x128": {
      inputs: [normal(96, 128, 128), normal(96, 128, 64), normal(96, 64, 128)],
      args: [{ alpha: 0.125 }],
    },
  },
});
checkOp<Weights>("addmv", {
  run: ([x, a, b], options) => addmv(x!, a!, b!, options),
  reference: ([x, a, b], { beta, alpha } = {}) => plus(x!, flat(times(a!, column(b!))), beta, alpha),
  ...BOUND,
  cases: {
    weighed: { inputs: [normal(3), normal(3, 4), normal(4)], args: [{ beta: 0.5, alpha: -2 }] },
    "a number for all": { inputs: [normal(), normal(3, 4), normal(4)] },
    "one row": { inputs: [normal(1), normal(1, 4), normal(4)] },
  },
  errors: { matrices: [() => addmv(ones([2]), ones([2, 2]), ones([2, 2])), /addmv: expected a matrix and a vector/] },
  bench: { "2048x2048": { inputs: [normal(2048), normal(2048, 2048), normal(2048)] } },
});

checkOp<[axes?: number | [number[], number[]]]>("tensordot", {
  run: ([a, b], axes) => tensordot(a!, b!, axes),
  reference: ([a, b], axes = 2) => {
    const count = (n: number) => Array.from({ length: n }, (_, i) => i);
    const [left, right] =
      typeof axes === "number" ? [count(axes).map((i) => a!.shape.length - axes + i), count(axes)] : axes;
    const rest = (x: Nd, over: number[]) => count(x.shape.length).filter((d) => !over.includes(d));
    const [ra, rb] = [rest(a!, left), rest(b!, right)];
    const inner = build(
      left.map((d) => a!.shape[d]!),
      () => 0,
    );
    return build([...ra.map((d) => a!.shape[d]!), ...rb.map((d) => b!.shape[d]!)], (index) => {
      const pick = (x: Nd, over: number[], free: number[], own: number[], e: number[]) =>
        at(
          x,
          x.shape.map((_, d) => (over.includes(d) ? e[over.indexOf(d)]! : own[free.indexOf(d)]!)),
        );
      const products: number[] = [];
      build(inner.shape, (e) => {
        products.push(
          pick(a!, left, ra, index.slice(0, ra.length), e) * pick(b!, right, rb, index.slice(ra.length), e),
        );
        return 0;
      });
      return total(products);
    });
  },
  ...BOUND,
  cases: {
    "two axes": { inputs: [normal(2, 3, 4), normal(3, 4, 2)] },
    "one axis": { inputs: [normal(2, 3), normal(3, 2, 2)], args: [1] },
    "no axes: the outer product": { inputs: [normal(2), normal(3)], args: [0] },
    "axes listed": {
      inputs: [normal(3, 4, 2), normal(4, 3, 2)],
      args: [
        [
          [1, 0],
          [0, 1],
        ],
      ],
    },
  },
  errors: {
    "extents that differ": [
      () => tensordot(ones([2, 3]), ones([2, 3]), 1),
      /tensordot: expected axes of one extent, got 3 and 2 \(pair 0\)/,
    ],
    "an axis twice": [
      () =>
        tensordot(ones([2, 2]), ones([2, 2]), [
          [0, 0],
          [0, 1],
        ]),
      /tensordot: expected each axis once/,
    ],
    "too many axes": [() => tensordot(ones([2]), ones([2, 2]), 2), /tensordot: expected from 0 to 1 axes, got 2/],
  },
  bench: { "pictures 128x28x28 x 28x28x256": { inputs: [normal(128, 28, 28), normal(28, 28, 256)] } },
});

checkOp<[axis?: number]>("cross", {
  run: ([a, b], ...axis) => cross(a!, b!, ...axis),
  reference: ([a, b], axis = -1) => {
    const shape = a!.shape.map((e, d) => Math.max(e, b!.shape[d]!));
    const d = axis < 0 ? axis + shape.length : axis;
    return build(shape, (index) => {
      const pick = (x: Nd, n: number) =>
        at(
          x,
          index.map((v, j) => (j === d ? (v + n) % 3 : v)),
        );
      return pick(a!, 1) * pick(b!, 2) - pick(a!, 2) * pick(b!, 1);
    });
  },
  ...BOUND,
  cases: {
    vectors: { inputs: [normal(3), normal(3)] },
    rows: { inputs: [normal(4, 3), normal(1, 3)] },
    columns: { inputs: [normal(3, 2), normal(3, 2)], args: [0] },
  },
  errors: {
    "extent 2": [() => cross(ones([2]), ones([2])), /cross: expected an extent of 3 in dimension 0, got \[2\]/],
  },
  bench: { "262144 vectors": { inputs: [normal(1 << 18, 3), normal(1 << 18, 3)] } },
});

checkOp<[n: number]>("matrixPower", {
  run: ([x], n) => matrixPower(x!, n),
  reference: ([x], n) => {
    let y = build(x!.shape, (index) => Number(index.at(-1) === index.at(-2)));
    for (let i = 0; i < n; i++) y = times(y, x!);
    return y;
  },
  ...BOUND,
  cases: {
    cube: { inputs: [normal(3, 3)], args: [3] },
    "fifth power, batch": { inputs: [normal(2, 2, 2)], args: [5] },
    "first power": { inputs: [normal(2, 2)], args: [1] },
    "power 0: the identity": { inputs: [normal(3, 3)], args: [0], grad: false },
  },
  errors: {
    "not square": [
      () => matrixPower(ones([2, 3]), 2),
      /matrixPower: expected square matrices \[...,n,n\], got \[2,3\]/,
    ],
    "a negative power": [() => matrixPower(ones([2, 2]), -1), /matrixPower: expected an exponent that is an integer/],
  },
  bench: { "fifth of 256x256": { inputs: [normal(256, 256)], args: [5] } },
});
checkOp("multiDot", {
  run: (xs) => linalg.multiDot(xs),
  reference: (xs) => {
    const list = xs.map((x, i) =>
      x.shape.length === 2 ? x : nd(i === 0 ? [1, x.data.length] : [x.data.length, 1], x.data),
    );
    const y = list.reduce(times);
    return nd(
      [...(xs[0]!.shape.length === 1 ? [] : [y.shape[0]!]), ...(xs.at(-1)!.shape.length === 1 ? [] : [y.shape[1]!])],
      y.data,
    );
  },
  ...BOUND,
  cases: {
    two: { inputs: [normal(2, 3), normal(3, 2)] },
    "four, cheapest inside": { inputs: [normal(6, 2), normal(2, 5), normal(5, 1), normal(1, 4)] },
    "vectors at the ends": { inputs: [normal(3), normal(3, 4), normal(4)] },
  },
  errors: {
    one: [() => linalg.multiDot([ones([2, 2])]), /multiDot: expected at least two matrices, got 1/],
    "rows that do not fit": [
      () => linalg.multiDot([ones([2, 3]), ones([2, 3])]),
      /multiDot: expected 3 rows in matrix 1, got \[2,3\]/,
    ],
  },
  bench: {
    "512x64, 64x512, 512x64, 64x512": { inputs: [normal(512, 64), normal(64, 512), normal(512, 64), normal(64, 512)] },
  },
});
