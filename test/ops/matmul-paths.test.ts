/**
 * @file Every path of the product (native/cpu/gemm.cc) at sizes that reach it, against sums in double: too large for the
 * case tables of matmul.test.ts, whose reference is slow.
 */
import { linear, matmul, rand, type Tensor } from "napier";
import { expect, test } from "vitest";

type Dtype = "float32" | "float64";
interface Shape {
  m: number;
  k: number;
  n: number;
  transA?: boolean;
  transB?: boolean;
}

const make = (rows: number, cols: number, dtype: Dtype): Tensor => rand([rows, cols], { dtype }).sub(0.5);

/** The largest difference from the product in double, relative to the largest of its elements. */
async function error(s: Shape, dtype: Dtype, bias = false): Promise<number> {
  const { m, k, n, transA = false, transB = false } = s;
  const a = transA ? make(k, m, dtype) : make(m, k, dtype);
  const b = transB ? make(n, k, dtype) : make(k, n, dtype);
  const c = bias ? make(1, n, dtype).reshape([n]) : null;
  const y = bias ? linear(a, b, c) : matmul(a, b, { transA, transB });
  const values = async (x: Tensor) => Float64Array.from((await x.data()) as Float32Array | Float64Array);
  const [av, bv, cv, yv] = [await values(a), await values(b), c && (await values(c)), await values(y)];
  let [worst, largest] = [0, 0];
  const column = new Float64Array(k);
  for (let j = 0; j < n; j++) {
    for (let e = 0; e < k; e++) column[e] = bv[transB ? j * k + e : e * n + j]!;
    for (let i = 0; i < m; i++) {
      let sum = cv ? cv[j]! : 0;
      for (let e = 0; e < k; e++) sum += av[transA ? e * m + i : i * k + e]! * column[e]!;
      worst = Math.max(worst, Math.abs(sum - yv[i * n + j]!));
      largest = Math.max(largest, Math.abs(sum));
    }
  }
  return worst / largest;
}

const transposes = [{}, { transA: true }, { transB: true }, { transA: true, transB: true }];
const named = (s: Shape) => `${s.m}x${s.k}x${s.n}${s.transA ? " A^T" : ""}${s.transB ? " B^T" : ""}`;

const shapes: Shape[] = transposes.flatMap((t) => [
  { m: 41, k: 70, n: 99, ...t }, // where it stands
  { m: 150, k: 131, n: 139, ...t }, // one tile of rows: B packed by the tile
  { m: 301, k: 90, n: 290, ...t }, // both packed once
  { m: 50, k: 2500, n: 49, ...t }, // parts in k
  ...[1, 2, 3, 4, 5, 6, 7, 8].flatMap((few) => [
    { m: few, k: 131, n: 333, ...t },
    { m: 333, k: 131, n: few, ...t },
  ]),
  { m: 3, k: 700, n: 1100, ...t }, // parts of a matrix by columns
  { m: 1100, k: 700, n: 8, ...t },
]);

for (const dtype of ["float32", "float64"] as const)
  test.each(shapes.map((s) => [named(s), s] as const))(`${dtype} %s`, async (_, s) => {
    expect(await error(s, dtype)).toBeLessThan(dtype === "float32" ? 3e-6 : 1e-14);
  });

test.each([1, 5, 64, 300].map((m) => [m]))("a linear layer with bias on %i rows", async (m) => {
  expect(await error({ m, k: 140, n: 230, transB: true }, "float32", true)).toBeLessThan(3e-6);
});
