/**
 * k-means by Lloyd's iterations (Lloyd 1982) from k-means++ centres (Arthur & Vassilvitskii 2007).
 */

import { expect } from "../errors.js";
import { noGrad } from "../graph.js";
import { scope, unscoped } from "../memory.js";
import { k as kernels } from "../native.js";
import { div, equal, minimum, where } from "../ops/arithmetic.js";
import { to } from "../ops/cast.js";
import { expectFloat } from "../ops/common.js";
import { ones } from "../ops/create.js";
import { matmul } from "../ops/matmul.js";
import { rand } from "../ops/random.js";
import { amax, amin, argmin, sum } from "../ops/reduce.js";
import { cat, reshape, slice } from "../ops/shape.js";
import { Generator } from "../random.js";
import { empty, type Tensor } from "../tensor.js";
import { expectRows } from "./common.js";
import { squaredDistances } from "./knn.js";

/** Options of kMeans(). */
export interface KMeansOptions {
  /** Default 100. */
  maxIterations?: number;
  /** Ends when the sum of squared distances falls by less than this share. Default 1e-4. */
  tolerance?: number;
  /** Starts, of which the best is kept. Default 1. */
  restarts?: number;
  /** Default 231. */
  seed?: number;
}

/** What kMeans() gives: that of the best start. */
export interface KMeansResult {
  /** [k, d] */
  centers: Tensor;
  /** The nearest centre of each point: [n] int32. */
  labels: Tensor;
  /** Sum of squared distances to the nearest centres. */
  inertia: number;
  /** Of the start that is given. */
  iterations: number;
}

/** The position at `share` of the cumulative sum of `weights`. */
function pick(weights: ArrayLike<number>, share: number): number {
  let total = 0;
  for (let i = 0; i < weights.length; i++) total += weights[i]!;
  let left = share * total;
  for (let i = 0; i < weights.length; i++) {
    left -= weights[i]!;
    if (left < 0) return i;
  }
  return weights.length - 1;
}

/** k rows of x: the first at random, each further one with a probability that grows with its squared distance. */
async function plusPlus(x: Tensor, k: number, generator: Generator): Promise<Tensor> {
  const n = x.shape[0]!;
  const draws = await rand([k], { generator }).data();
  const chosen = [Math.min(n - 1, Math.floor(draws[0]! * n))];
  let nearest: Tensor | null = null;
  for (let c = 1; c < k; c++) {
    const last = slice(x, [chosen[c - 1]!, chosen[c - 1]! + 1]);
    const distance = scope(() => reshape(squaredDistances(x, last), [n]));
    const next: Tensor = nearest ? minimum(nearest, distance) : distance;
    nearest = next;
    chosen.push(pick(await next.data(next.dtype as "float32"), draws[c]!));
  }
  return scope(() => cat(chosen.map((i) => slice(x, [i, i + 1]))));
}

/** Centres of the points by label; one that lost all its points moves to the point that is farthest from its own. */
function means(x: Tensor, labels: Tensor, distances: Tensor, k: number): Tensor {
  const [n, d] = x.shape as [number, number];
  const added = (rows: Tensor): Tensor => {
    const y = empty([k, rows.shape[1]!], x.dtype);
    kernels.embeddingGrad(y, rows, labels, k, rows.shape[1]!, n, -1); // y[labels[i]] += rows[i]
    return y;
  };
  const counts = added(ones([n, 1], { dtype: x.dtype }));
  const nobody = equal(counts, 0);
  const farthest = to(equal(distances, amax(distances)), x.dtype); // [n], its rows averaged
  const elsewhere = div(reshape(matmul(farthest, x), [1, d]), sum(farthest));
  return where(nobody, elsewhere, div(added(x), where(nobody, 1, counts)));
}

/**
 * Finds `k` centres such that the points' squared distances to the nearest one are small in sum.
 *
 * @param x [n, d], float32 or float64
 * @example
 * const x = cat([randn([50, 2]), randn([50, 2]).add(8)]);
 * const { centers, labels, inertia } = await classic.kMeans(x, 2);
 */
export async function kMeans(
  x: Tensor,
  k: number,
  { maxIterations = 100, tolerance = 1e-4, restarts = 1, seed = 231 }: KMeansOptions = {},
): Promise<KMeansResult> {
  expectFloat("kMeans", x);
  expectRows("kMeans", "points", x);
  const n = x.shape[0]!;
  expect(Number.isSafeInteger(k) && k >= 1 && k <= n, "kMeans", `k from 1 to ${n}, the points`, `${k}`);
  for (const [name, value] of Object.entries({ maxIterations, restarts }))
    expect(Number.isSafeInteger(value) && value >= 1, "kMeans", `${name} to be a whole number from 1 up`, `${value}`);
  const generator = new Generator(seed);
  let best: KMeansResult | null = null;
  for (let start = 0; start < restarts; start++) {
    const found = await lloyd(x.detach(), await plusPlus(x.detach(), k, generator), maxIterations, tolerance);
    if (best === null || found.inertia < best.inertia) best = found;
  }
  return best!;
}

async function lloyd(x: Tensor, first: Tensor, maxIterations: number, tolerance: number): Promise<KMeansResult> {
  let centers = first;
  let before = Number.POSITIVE_INFINITY;
  for (let iterations = 1; ; iterations++) {
    const step = unscoped(() =>
      noGrad(() =>
        scope(() => {
          const all = squaredDistances(x, centers);
          const labels = argmin(all, 1);
          const distances = amin(all, 1);
          return { labels, inertia: sum(to(distances, "float64")), next: means(x, labels, distances, first.shape[0]!) };
        }),
      ),
    );
    const inertia = await step.inertia.item();
    step.inertia.free();
    const done = before - inertia <= tolerance * inertia || iterations === maxIterations;
    if (done) {
      step.next.free();
      return { centers, labels: step.labels, inertia, iterations };
    }
    centers.free();
    step.labels.free();
    centers = step.next;
    before = inertia;
  }
}
