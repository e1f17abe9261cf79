/** @file Initial values of matrices, and of truncated and sparse distributions. */
import { Generator, matmul, nn, ones, type Tensor, zeros } from "napier";
import { describe, expect, test } from "vitest";

const { init } = nn;
const values = (w: Tensor) => Array.from(w.dataSync(w.dtype) as ArrayLike<number>);

describe("orthogonal_", () => {
  test.each([
    [[6, 4], "columns"],
    [[4, 6], "rows"],
    [[4, 2, 3, 3], "rows"],
    [[5, 5], "both"],
  ] as const)("%j has orthonormal %s", (shape, which) => {
    for (const dtype of ["float32", "float64"] as const) {
      const w = init.orthogonal_(zeros([...shape], { dtype }), { gain: 2 }).reshape([shape[0], -1]);
      const n = Math.min(...w.shape);
      const product = which === "columns" ? matmul(w, w, { transA: true }) : matmul(w, w, { transB: true });
      const want = Array.from({ length: n * n }, (_, i) => (i % (n + 1) === 0 ? 4 : 0));
      for (const [i, v] of values(product).entries())
        expect(Math.abs(v - want[i]!)).toBeLessThan(dtype === "float32" ? 1e-5 : 1e-12);
    }
  });
  test("repeats with its generator, and has no preferred sign", () => {
    const [a, b] = [1, 1].map((seed) => values(init.orthogonal_(zeros([3, 3]), { generator: new Generator(seed) })));
    expect(a).toEqual(b);
    const generator = new Generator(2);
    const corner = Array.from({ length: 200 }, () => values(init.orthogonal_(zeros([2, 2]), { generator }))[0]! > 0);
    const share = corner.filter(Boolean).length / 200;
    expect(Math.abs(share - 0.5)).toBeLessThan(0.15);
    expect(() => init.orthogonal_(zeros([3]))).toThrow(/orthogonal_: expected a weight with at least 2 dimensions/);
    expect(init.orthogonal_(zeros([0, 3])).size).toBe(0);
  });
});

test("eye_", () => {
  expect(values(init.eye_(ones([2, 3])))).toEqual([1, 0, 0, 0, 1, 0]);
  expect(() => init.eye_(ones([2]))).toThrow(/eye_: expected a matrix, got \[2\]/);
});

test("dirac_ makes a convolution pass its channels on", () => {
  const x = init.normal_(zeros([2, 4, 5, 6]));
  const w = init.dirac_(zeros([4, 4, 3, 3]));
  expect(values(x.conv2d(w, null, { padding: 1 }))).toEqual(values(x));
  const grouped = init.dirac_(zeros([4, 2, 3, 3]), { groups: 2 });
  expect(values(x.conv2d(grouped, null, { padding: 1, groups: 2 }))).toEqual(values(x));
  expect(values(init.dirac_(zeros([3, 1, 2])))).toEqual([0, 1, 0, 0, 0, 0]);
  expect(() => init.dirac_(zeros([3, 3]))).toThrow(/dirac_: expected a weight \[out,in,...\]/);
  expect(() => init.dirac_(zeros([3, 3, 1]), { groups: 2 })).toThrow(/dirac_: expected groups that divide the 3/);
});

test("sparse_ leaves the share of every column out", () => {
  const w = init.sparse_(zeros([50, 20]), 0.31, { std: 2 });
  for (let j = 0; j < 20; j++) {
    const column = values(w.slice(null, j));
    expect(column.filter((v) => v === 0)).toHaveLength(16);
  }
  const std = Math.sqrt(values(w).reduce((s, v) => s + v * v, 0) / (34 * 20));
  expect(Math.abs(std - 2)).toBeLessThan(0.3);
  expect(() => init.sparse_(zeros([3]), 0.1)).toThrow(/sparse_: expected a matrix/);
  expect(() => init.sparse_(zeros([3, 3]), 1.5)).toThrow(/sparse_: expected a sparsity between 0 and 1, got 1.5/);
});

test("truncNormal_ follows the normal distribution between its ends", () => {
  const w = values(init.truncNormal_(zeros([20_000], { dtype: "float64" }), { std: 2, low: -1, high: 3 }));
  expect(Math.min(...w)).toBeGreaterThanOrEqual(-1);
  expect(Math.max(...w)).toBeLessThanOrEqual(3);
  // Mean of a truncated normal: sigma (phi(a) - phi(b)) / (Phi(b) - Phi(a)), a = -0.5, b = 1.5.
  const mean = w.reduce((a, v) => a + v, 0) / w.length;
  expect(Math.abs(mean - (2 * (0.3520653 - 0.1295176)) / (0.9331928 - 0.3085375))).toBeLessThan(0.03);
  const tail = values(init.truncNormal_(zeros([100], { dtype: "float64" }), { low: 4, high: 5 }));
  expect(tail.every((v) => v >= 4 && v <= 5)).toBe(true);
  expect(new Set(tail).size).toBe(100);
  expect(() => init.truncNormal_(zeros([2]), { low: 2, high: 1 })).toThrow(/truncNormal_: expected a finite mean/);
});

test("parameters are filled as they stand, outside the graph", () => {
  const layer = new nn.Linear(4, 4);
  expect(init.orthogonal_(layer.weight)).toBe(layer.weight);
  expect(layer.weight.isLeaf).toBe(true);
  expect(init.calculateGain("tanh")).toBeCloseTo(5 / 3);
});
