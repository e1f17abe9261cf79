/** @file Softmax and its logarithm against their definitions. */
import { logSoftmax, ones, softmax } from "napier";
import { type Case, checkOp } from "../check.js";
import { at, build, given, type Nd, normal, reduce, uniform } from "../nd.js";

type Cases = Record<string, Case<[number]>>;

function alongAxis(x: Nd, axis: number, f: (v: number, top: number, sum: number) => number): Nd {
  const d = [x.shape.length === 0 ? [] : [axis < 0 ? axis + x.shape.length : axis]].flat();
  const top = reduce(x, d, true, (values) => (values.some(Number.isNaN) ? Number.NaN : Math.max(...values)));
  const kept = (index: number[]) => index.map((i, at) => (d.includes(at) ? 0 : i));
  const shifted = build(x.shape, (index) => Math.exp(at(x, index) - at(top, kept(index))));
  const sum = reduce(shifted, d, true, (values) => values.reduce((a, b) => a + b, 0));
  return build(x.shape, (index) => f(at(x, index), at(top, kept(index)), at(sum, kept(index))));
}

const of = (shape: number[], axis: number): Case<[number]> => ({ inputs: [normal(...shape)], args: [axis] });
const cases: Cases = {
  "one element": of([1], 0),
  "a scalar": of([], -1),
  "last axis": of([4, 7], -1),
  "first axis": of([5, 6], 0),
  "middle axis": of([3, 4, 5], 1),
  "middle axis, wide": of([2, 3, 130], 1),
  "extent 1": of([4, 1, 3], 1),
  "long rows": of([3, 1000], -1),
  "many short rows": of([37, 10], -1),
  "rows of several registers": of([19, 64], -1),
  "masked scores": {
    inputs: [() => build([18, 12], ([r, j]) => (j > r ? Number.NEGATIVE_INFINITY : Math.sin(3 * r + j)))],
    args: [-1],
    grad: false,
  },
  "far below the largest": {
    inputs: [given([0, -80, -90, -100, -103, -104, -110, -1e30], [2, 4])],
    args: [-1],
    grad: false,
  },
  "no rows": of([0, 4], -1),
  "no elements along the axis": of([3, 0], -1),
  "large values": { inputs: [uniform(-1000, 1000, 5, 6)], args: [-1], grad: false },
  "equal values": { inputs: [given(new Array<number>(12).fill(3.5), [3, 4])], args: [1] },
  infinities: {
    inputs: [given([1, Number.NEGATIVE_INFINITY, 2, Number.NEGATIVE_INFINITY, 0, 0], [2, 3])],
    args: [-1],
    grad: false,
  },
  "NaN stays in its row": { inputs: [given([1, Number.NaN, 2, 3, 0, 0], [2, 3])], args: [-1], grad: false },
};
const bench: Cases = {
  "128x1000": of([128, 1000], -1),
  "attention 768x128x128": of([768, 128, 128], -1),
  "32x21x64x64, axis 1": of([32, 21, 64, 64], 1),
};

checkOp<[number]>("softmax", {
  run: ([x], axis) => softmax(x, axis),
  reference: ([x], axis) => alongAxis(x, axis, (v, top, sum) => Math.exp(v - top) / sum),
  bound: { rms: 8 },
  gradBound: { rms: 16 },
  isaRms: 8,
  cases,
  errors: {
    "no such axis": [() => softmax(ones([2, 3]), 2), /softmax: expected an axis from -2 to 1, got 2/],
    integers: [() => softmax(ones([2, 3], { dtype: "int32" })), /softmax: expected float32 or float64, got int32/],
  },
  bench,
});

checkOp<[number]>("logSoftmax", {
  run: ([x], axis) => logSoftmax(x, axis),
  reference: ([x], axis) => alongAxis(x, axis, (v, top, sum) => v - top - Math.log(sum)),
  bound: { rms: 8 },
  gradBound: { rms: 16 },
  isaRms: 8,
  cases,
  errors: { "no such axis": [() => logSoftmax(ones([2, 3]), -3), /logSoftmax: expected an axis from -2 to 1, got -3/] },
  bench,
});
