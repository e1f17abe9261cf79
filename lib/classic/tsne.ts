/**
 * t-SNE, exact: all pairs, on tensors (van der Maaten & Hinton 2008). O(n^2) memory and time a step: for some thousand points.
 */

import { expect } from "../errors.js";
import { noGrad } from "../graph.js";
import { safePoint, scope, unscoped } from "../memory.js";
import { addon, breathe } from "../native.js";
import { add, div, greater, mul, sub, where } from "../ops/arithmetic.js";
import { expectFloat } from "../ops/common.js";
import { eye, full, ones, zerosLike } from "../ops/create.js";
import { clamp, exp, log } from "../ops/elementwise.js";
import { matmul } from "../ops/matmul.js";
import { normal } from "../ops/random.js";
import { mean, sum } from "../ops/reduce.js";
import { t } from "../ops/shape.js";
import { Generator } from "../random.js";
import type { Tensor } from "../tensor.js";
import { expectRows } from "./common.js";
import { squaredDistances } from "./knn.js";

/** Options of tsne(). */
export interface TsneOptions {
  /** Dimensions of the map. Default 2. */
  components?: number;
  /** About how many neighbours a point has; below the number of points. Default 30. */
  perplexity?: number;
  /** Default 1000. */
  iterations?: number;
  /** Default: points / 12, at least 50 (Belkina et al. 2019). */
  learningRate?: number;
  /** Factor of the attraction in the first quarter of the iterations. Default 12. */
  exaggeration?: number;
  /** Of the first positions. Default 231. */
  seed?: number;
}

/** What tsne() gives. */
export interface TsneResult {
  /** [n, components] */
  points: Tensor;
  /** Kullback-Leibler divergence of the map from the data, in nats: smaller is better. */
  divergence: number;
}

const BISECTIONS = 50;

/**
 * Probabilities of neighbours, p[i, j], symmetric and summing to 1: Gaussians whose widths give each row the perplexity,
 * found by bisection for all rows at once.
 */
function neighbourhood(x: Tensor, perplexity: number): Tensor {
  const n = x.shape[0]!;
  const { dtype } = x;
  const raw = squaredDistances(x, x);
  const distances = div(raw, add(mean(raw), 1e-30)); // the scale of x is arbitrary
  const others = sub(1, eye(n, n, { dtype }));
  const target = Math.log(perplexity);
  let low = full([n, 1], 1e-6, { dtype });
  let high = full([n, 1], 1e9, { dtype });
  let rows = others;
  for (let i = 0; i < BISECTIONS; i++) {
    [low, high, rows] = scope(() => {
      const beta = exp(mul(add(log(low), log(high)), 0.5)); // the geometric middle: widths differ by orders
      const weights = mul(exp(mul(mul(distances, beta), -1)), others);
      const total = add(sum(weights, 1, { keepDims: true }), 1e-30);
      const p = div(weights, total);
      // The entropy of a row: log of its total plus beta times the mean distance.
      const entropy = add(log(total), mul(beta, sum(mul(p, distances), 1, { keepDims: true })));
      const wide = greater(entropy, target);
      return [where(wide, beta, low), where(wide, high, beta), p];
    }) as [Tensor, Tensor, Tensor];
  }
  return mul(add(rows, t(rows)), 0.5 / n);
}

interface Map {
  y: Tensor;
  velocity: Tensor;
  gains: Tensor;
}

/** 1 / (1 + distance^2), 0 on the diagonal: [n, n]. */
const affinities = (y: Tensor, others: Tensor): Tensor => div(others, add(squaredDistances(y, y), 1));

/** One step down the gradient 4 sum_j (p - q) w (y_i - y_j), with momentum and a gain for each coordinate. */
function move({ y, velocity, gains }: Map, p: Tensor, others: Tensor, lr: number, momentum: number, pull: number): Map {
  const w = affinities(y, others);
  const force = mul(sub(mul(p, pull), div(w, sum(w))), w);
  const gradient = mul(sub(mul(y, sum(force, 1, { keepDims: true })), matmul(force, y)), 4);
  const turned = greater(mul(gradient, velocity), 0); // velocity points down: same sign, it overshot
  const nextGains = clamp(where(turned, mul(gains, 0.8), add(gains, 0.2)), 0.01);
  const nextVelocity = sub(mul(velocity, momentum), mul(mul(gradient, nextGains), lr));
  const moved = add(y, nextVelocity);
  return { y: sub(moved, mean(moved, 0, { keepDims: true })), velocity: nextVelocity, gains: nextGains };
}

/**
 * Maps points to a plane so that neighbours stay neighbours. Distances between clusters, and their sizes, mean little.
 *
 * @param x [n, d], float32 or float64
 * @example
 * const x = cat([randn([20, 10]), randn([20, 10]).add(10)]);
 * const { points } = await classic.tsne(x, { perplexity: 8, iterations: 100 }); // [40, 2]
 */
export async function tsne(
  x: Tensor,
  { components = 2, perplexity = 30, iterations = 1000, learningRate, exaggeration = 12, seed = 231 }: TsneOptions = {},
): Promise<TsneResult> {
  expectFloat("tsne", x);
  expectRows("tsne", "points", x);
  const n = x.shape[0]!;
  expect(perplexity > 1 && perplexity < n, "tsne", `a perplexity above 1 and below ${n}, the points`, `${perplexity}`);
  for (const [name, value] of Object.entries({ components, iterations }))
    expect(Number.isSafeInteger(value) && value >= 1, "tsne", `${name} to be a whole number from 1 up`, `${value}`);
  const lr = learningRate ?? Math.max(50, n / 12);
  const free = (fn: () => Map): Map => unscoped(() => noGrad(() => scope(fn)));
  const generator = new Generator(seed);
  const p = unscoped(() => noGrad(() => scope(() => neighbourhood(x.detach(), perplexity))));
  const others = unscoped(() => sub(1, eye(n, n, { dtype: x.dtype })));
  let map = free(() => {
    const y = normal([n, components], { std: 1e-4, dtype: x.dtype, generator });
    return { y, velocity: zerosLike(y), gains: ones([n, components], { dtype: x.dtype }) };
  });
  const early = Math.floor(iterations / 4);
  for (let i = 0; i < iterations; i++) {
    const before = map;
    map = free(() => move(before, p, others, lr, i < early ? 0.5 : 0.8, i < early ? exaggeration : 1));
    for (const old of Object.values(before)) (old as Tensor).free();
    safePoint();
    if (i % 8 === 0) await addon.settled();
    await breathe();
  }
  // The diagonal, where p is 0, adds nothing.
  const kl = noGrad(() =>
    scope(() => {
      const w = affinities(map.y, others);
      const q = div(w, sum(w));
      return sum(mul(p, sub(log(add(p, 1e-12)), log(add(q, 1e-12)))));
    }),
  );
  const divergence = await kl.item();
  for (const old of [p, others, map.velocity, map.gains, kl]) old.free();
  return { points: map.y, divergence };
}
