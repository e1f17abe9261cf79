/**
 * k-nearest neighbours, with the three distance computations of CS231n's first assignment. What they cost, for 500 test and
 * 5,000 training points of 3,072 dimensions (15.4 GFLOP as a product): `npm run bench -- knn`.
 */

import { expect, show } from "../errors.js";
import { noGrad } from "../graph.js";
import { scope, unscoped } from "../memory.js";
import { breathe, k as kernels } from "../native.js";
import { mul, sub } from "../ops/arithmetic.js";
import { expectFloat, expectSameDType } from "../ops/common.js";
import { clamp, sqrt } from "../ops/elementwise.js";
import { linear } from "../ops/matmul.js";
import { cat, reshape, slice } from "../ops/shape.js";
import { alias, empty, fromTyped, type Tensor } from "../tensor.js";
import { expectRows } from "./common.js";

function expectPair(op: string, a: Tensor, b: Tensor): [n: number, m: number, d: number] {
  expectFloat(op, a);
  expectSameDType(op, a, b);
  expectRows(op, "points", a);
  expectRows(op, "points", b, a.shape[1]);
  return [a.shape[0]!, b.shape[0]!, a.shape[1]!];
}

/** ||x||^2 of each row, in one pass and without the squares in memory: [n]. */
function squaredNorms(x: Tensor): Tensor {
  const [n, d] = x.shape as [number, number];
  const y = empty([n], x.dtype);
  kernels.sumSquares(y, x, n, d, 1);
  return y;
}

/** a b^T - ||b||^2 / 2: of one row of a, the nearer b, the larger. */
const nearness = (a: Tensor, b: Tensor, normsB: Tensor): Tensor => linear(a, b, mul(normsB, -0.5));

/**
 * ||a||^2 + ||b||^2 - 2 a b^T, at least 0: all pairs by one matrix product.
 *
 * The three terms cancel where points are close: the result's error is some epsilons of ||a||^2 + ||b||^2, not of itself.
 *
 * @param a [n, d]
 * @param b [m, d]
 * @returns [n, m], outside the graph
 */
export function squaredDistances(a: Tensor, b: Tensor): Tensor {
  const [n] = expectPair("squaredDistances", a, b);
  return noGrad(() =>
    scope(() => {
      const near = nearness(a, b, squaredNorms(b));
      return clamp(sub(reshape(squaredNorms(a), [n, 1]), mul(near, 2)), 0);
    }),
  );
}

/** compute_distances_no_loops: Euclidean distances of all pairs by one matrix product; see squaredDistances(). */
export function distancesVectorised(a: Tensor, b: Tensor): Tensor {
  return scope(() => sqrt(squaredDistances(a, b)));
}

/** compute_distances_one_loop: a row of a against all of b at a time, by subtraction. [n, m]. */
export async function distancesOneLoop(a: Tensor, b: Tensor): Promise<Tensor> {
  const [n, m, d] = expectPair("distancesOneLoop", a, b);
  const y = unscoped(() => empty([n, m], a.dtype));
  for (let i = 0; i < n; i++) {
    noGrad(() =>
      scope(() => {
        const row = empty([m], a.dtype);
        kernels.sumSquares(row, sub(b, slice(a, i)), m, d, 1);
        kernels.writeStrided(y, sqrt(row), i * m, 1, m, 1);
      }),
    );
    await breathe();
  }
  return y;
}

/** compute_distances_two_loops: one pair of points at a time. [n, m]. The specification of the other two. */
export async function distancesTwoLoops(a: Tensor, b: Tensor): Promise<Tensor> {
  const [n, m, d] = expectPair("distancesTwoLoops", a, b);
  const y = unscoped(() => empty([n, m], a.dtype));
  // Memory for a pair is made once: a tensor for each of 2.5 million pairs would measure the allocator.
  const [p, q, difference, square] = unscoped(() => [[d], [d], [d], [1]].map((shape) => empty(shape, a.dtype))) as [
    Tensor,
    Tensor,
    Tensor,
    Tensor,
  ];
  for (let i = 0; i < n; i++) {
    kernels.copyStrided(p, a, i * d, 1, d, 1);
    for (let j = 0; j < m; j++) {
      kernels.copyStrided(q, b, j * d, 1, d, 1);
      kernels.sub(difference, p, q, 1, d, 1, 1);
      kernels.sumSquares(square, difference, 1, d, 1);
      kernels.sqrt(square, square, 1);
      kernels.writeStrided(y, square, i * m + j, 1, 1, 1);
    }
    await breathe();
  }
  for (const t of [p, q, difference, square]) t.free();
  return y;
}

/** Columns of the k largest of each row, largest first, the first of equals first. */
function largest(values: Float32Array | Float64Array, rows: number, cols: number, k: number): Int32Array {
  const found = new Int32Array(rows * k);
  const best = new Float64Array(k);
  for (let i = 0; i < rows; i++) {
    let count = 0;
    for (let j = 0, at = i * cols; j < cols; j++, at++) {
      const v = values[at]!;
      if (count === k && !(v > best[k - 1]!)) continue;
      let place = count < k ? count++ : k - 1;
      for (; place > 0 && best[place - 1]! < v; place--) {
        best[place] = best[place - 1]!;
        found[i * k + place] = found[i * k + place - 1]!;
      }
      best[place] = v;
      found[i * k + place] = j;
    }
  }
  return found;
}

/** The most frequent label among the first k neighbours of each row; the smaller of labels with as many votes. */
function vote(neighbours: Int32Array, stride: number, labels: Int32Array, k: number, classes: number): Int32Array {
  const rows = neighbours.length / stride;
  const votes = new Int32Array(classes);
  return Int32Array.from({ length: rows }, (_, i) => {
    votes.fill(0);
    for (let r = 0; r < k; r++) votes[labels[neighbours[i * stride + r]!]!]!++;
    let winner = 0;
    for (let c = 1; c < classes; c++) if (votes[c]! > votes[winner]!) winner = c;
    return winner;
  });
}

const CHUNK = 1000; // rows whose distances are held at a time

/**
 * Classifies a point by the labels of its k nearest training points (L2); of labels with as many votes, the smaller wins.
 *
 * @example
 * const knn = new classic.KNearestNeighbor();
 * await knn.fit(tensor([[0, 0], [0, 1], [5, 5], [5, 6]]), tensor(new Int32Array([0, 0, 1, 1])));
 * const labels = await knn.predict(tensor([[1, 0], [4, 6]]), { k: 3 }); // 0 1
 */
export class KNearestNeighbor {
  #x: Tensor | null = null;
  #norms: Tensor | null = null;
  #labels: Int32Array = new Int32Array(0);
  #classes = 0;

  /**
   * Remembers the training points; nothing is computed but their norms.
   *
   * @param x [n, d], float32 or float64
   * @param y labels [n], integers from 0 up
   */
  async fit(x: Tensor, y: Tensor): Promise<this> {
    expectFloat("KNearestNeighbor.fit", x);
    expectRows("KNearestNeighbor.fit", "points", x);
    const labels = await labelsOf("KNearestNeighbor.fit", y, x.shape[0]!);
    unscoped(() => {
      this.#x?.free();
      this.#norms?.free();
      this.#x = alias(x);
      this.#norms = squaredNorms(x);
    });
    this.#labels = labels;
    this.#classes = labels.reduce((most, c) => Math.max(most, c), 0) + 1;
    return this;
  }

  #fitted(op: string): { x: Tensor; norms: Tensor } {
    if (this.#x === null || this.#norms === null)
      throw new Error(`KNearestNeighbor.${op}: expected training points; call fit(x, y) first`);
    return { x: this.#x, norms: this.#norms };
  }

  /** Distances to the training points, [n, training points]; `loops` 0, 1 or 2 as in CS231n. Default 0, vectorised. */
  async distances(x: Tensor, { loops = 0 }: { loops?: 0 | 1 | 2 } = {}): Promise<Tensor> {
    const { x: b } = this.#fitted("distances");
    switch (loops) {
      case 0:
        return distancesVectorised(x, b);
      case 1:
        return distancesOneLoop(x, b);
      case 2:
        return distancesTwoLoops(x, b);
      default:
        throw new RangeError(`KNearestNeighbor.distances: expected loops 0, 1 or 2, got ${loops satisfies never}`);
    }
  }

  /** Positions of the k nearest training points of each row, nearest first: [n, k] int32, as an array. */
  async #neighbours(op: string, x: Tensor, k: number): Promise<Int32Array> {
    const { x: b, norms } = this.#fitted(op);
    const [n, m] = expectPair(`KNearestNeighbor.${op}`, x, b);
    expect(
      Number.isSafeInteger(k) && k >= 1 && k <= m,
      `KNearestNeighbor.${op}`,
      `k from 1 to ${m}, the training points`,
      `${k}`,
    );
    const found = new Int32Array(n * k);
    for (let start = 0; start < n; start += CHUNK) {
      const rows = Math.min(CHUNK, n - start);
      // ||a||^2 is the same for all of a row: the nearest are found without it.
      const near = noGrad(() => scope(() => nearness(rows === n ? x : slice(x, [start, start + rows]), b, norms)));
      const values = await near.data(near.dtype as "float32");
      near.free();
      found.set(largest(values, rows, m, k), start * k);
      await breathe();
    }
    return found;
  }

  /** The labels of x [n, d]: [n] int32. Default k 1. */
  async predict(x: Tensor, { k = 1 }: { k?: number } = {}): Promise<Tensor> {
    const neighbours = await this.#neighbours("predict", x, k);
    return fromTyped(vote(neighbours, k, this.#labels, k, this.#classes), [x.shape[0]!], "int32");
  }

  /** The share of right labels for each of `ks`, from one search. */
  async accuracies(x: Tensor, y: Tensor, ks: readonly number[]): Promise<number[]> {
    const most = Math.max(...ks);
    const neighbours = await this.#neighbours("accuracies", x, most);
    const truth = await labelsOf("KNearestNeighbor.accuracies", y, x.shape[0]!);
    return ks.map((k) => {
      const predicted = vote(neighbours, most, this.#labels, k, this.#classes);
      return predicted.reduce((right, c, i) => right + Number(c === truth[i]), 0) / truth.length;
    });
  }

  /** Frees the copy of the training points. */
  free(): void {
    this.#x?.free();
    this.#norms?.free();
    this.#x = this.#norms = null;
  }
}

async function labelsOf(op: string, y: Tensor, n: number): Promise<Int32Array> {
  expect(y.ndim === 1 && y.size === n, op, `labels of shape [${n}]`, show(y.shape));
  const values = Int32Array.from((await y.data(y.dtype as "int32")) as Iterable<number>, Number);
  const bad = values.find((v) => v < 0);
  if (bad !== undefined) throw new RangeError(`${op}: expected labels from 0 up, got ${bad}`);
  return values;
}

/** What crossValidateK() gives. */
export interface CrossValidation {
  /** Accuracy on each fold, by k, in the order that they were given. */
  folds: Map<number, number[]>;
  /** Mean accuracy by k. */
  means: Map<number, number>;
  /** The k with the best mean; the smaller of equals. */
  best: number;
}

/**
 * Chooses k by cross-validation: each fold in turn is held out, classified by the others.
 *
 * @param x points [n, d]
 * @param y their labels [n]
 * @param options ks: candidates, default CS231n's 1, 3, 5, 8, 10, 12, 15, 20, 50, 100; folds: parts, in the order of the
 * rows, default 5
 */
export async function crossValidateK(
  x: Tensor,
  y: Tensor,
  { ks = [1, 3, 5, 8, 10, 12, 15, 20, 50, 100], folds = 5 }: { ks?: readonly number[]; folds?: number } = {},
): Promise<CrossValidation> {
  expectRows("crossValidateK", "points", x);
  const n = x.shape[0]!;
  expect(Number.isSafeInteger(folds) && folds >= 2 && folds <= n, "crossValidateK", `folds from 2 to ${n}`, `${folds}`);
  expect(ks.length > 0, "crossValidateK", "at least one k", "none");
  const bounds = Array.from({ length: folds + 1 }, (_, f) => Math.round((f * n) / folds));
  const found = new Map<number, number[]>(ks.map((k) => [k, []]));
  for (let f = 0; f < folds; f++) {
    const [low, high] = [bounds[f]!, bounds[f + 1]!];
    const inside = (t: Tensor) => slice(t, [low, high]);
    const outside = (t: Tensor) => cat([slice(t, [0, low]), slice(t, [high, n])]);
    const [xHeld, yHeld, xRest, yRest] = noGrad(() => scope(() => [inside(x), inside(y), outside(x), outside(y)])) as [
      Tensor,
      Tensor,
      Tensor,
      Tensor,
    ];
    const knn = await new KNearestNeighbor().fit(xRest, yRest);
    for (const [i, accuracy] of (await knn.accuracies(xHeld, yHeld, ks)).entries()) found.get(ks[i]!)!.push(accuracy);
    knn.free();
    for (const t of [xHeld, yHeld, xRest, yRest]) t.free();
  }
  const means = new Map([...found].map(([k, all]) => [k, all.reduce((a, b) => a + b, 0) / folds]));
  const best = [...means].reduce((a, b) => (b[1] > a[1] || (b[1] === a[1] && b[0] < a[0]) ? b : a))[0];
  return { folds: found, means, best };
}
