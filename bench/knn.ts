/**
 * npm run bench -- knn: the three distance computations of CS231n's first notebook for 500 test and 5,000 training points
 * of 3,072 dimensions, beside the times that the course's report gives, and the vectorised one beside scikit-learn's brute
 * force in the same run.
 */
import type { Case } from "./cases.js";

const [n, m, d] = [500, 5000, 3072];
const gflop = (2 * n * m * d) / 1e9; // 15.4, as a product
const distances = (name: string, loops: 0 | 1 | 2, seconds: number): Case => ({
  name,
  op: "distances",
  params: { n, m, d, loops },
  gflop,
  gbyte: 0,
  once: loops > 0,
  published: { by: "CS231n", ms: seconds * 1e3 },
});

export const knn: Case[] = [
  distances("two loops", 2, 45.2),
  distances("one loop", 1, 12.8),
  distances("vectorised", 0, 0.3),
  { name: "10 nearest", op: "neighbours", params: { n, m, d, k: 10 }, gflop, gbyte: 0 },
];
