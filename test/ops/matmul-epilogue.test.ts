/**
 * @file relu(alpha a b + beta c) of native/cpu/gemm.cc on each of its paths, every ISA and transpose, against sums in
 * double: the addend a row or a matrix, for each product of a batch or for all; not read at beta 0.
 */
import { full, rand, type Tensor } from "napier";
import { expect, test } from "vitest";
import { addon, k } from "#lib/native.js";
import { empty } from "#lib/tensor.js";
import { withEach } from "../accuracy.js";

type Dtype = "float32" | "float64";
interface Shape {
  m: number;
  k: number;
  n: number;
  transA?: boolean;
  transB?: boolean;
}
interface Batch {
  count: number;
  /** Whether a, b, c have a matrix for each product, or one for all. */
  ownA: boolean;
  ownB: boolean;
  ownC: boolean;
}
interface Epilogue {
  alpha: number;
  beta: number;
  relu: boolean;
}

const single: Batch = { count: 1, ownA: true, ownB: true, ownC: true };
const random = (count: number, dtype: Dtype): Tensor => rand([count], { dtype }).sub(0.5);
const values = (x: Tensor) => x.dataSync() as Float32Array | Float64Array;

interface Operands {
  a: Tensor;
  b: Tensor;
  product: Float64Array;
}

function operands(s: Shape, { count, ownA, ownB }: Batch, dtype: Dtype): Operands {
  const a = random((ownA ? count : 1) * s.m * s.k, dtype);
  const b = random((ownB ? count : 1) * s.k * s.n, dtype);
  const [av, bv] = [values(a), values(b)];
  const product = new Float64Array(count * s.m * s.n);
  const column = new Float64Array(s.k);
  for (let e = 0; e < count; e++) {
    const [fromA, fromB] = [ownA ? e * s.m * s.k : 0, ownB ? e * s.k * s.n : 0];
    for (let j = 0; j < s.n; j++) {
      for (let i = 0; i < s.k; i++) column[i] = bv[fromB + (s.transB ? j * s.k + i : i * s.n + j)]!;
      for (let i = 0; i < s.m; i++) {
        let sum = 0;
        for (let l = 0; l < s.k; l++) sum += av[fromA + (s.transA ? l * s.m + i : i * s.k + l)]! * column[l]!;
        product[(e * s.m + i) * s.n + j] = sum;
      }
    }
  }
  return { a, b, product };
}

function run(
  { a, b }: Operands,
  c: Tensor | null,
  rows: number,
  s: Shape,
  { count, ownA, ownB, ownC }: Batch,
  { alpha, beta, relu }: Epilogue,
): Float32Array | Float64Array {
  const y = empty([count, s.m, s.n], a.dtype);
  const sizes = [count, s.m, s.n, s.k, Number(s.transA ?? false), Number(s.transB ?? false)];
  const strides = [ownA ? s.m * s.k : 0, ownB ? s.k * s.n : 0, ownC ? rows * s.n : 0, rows === 1 ? 0 : s.n];
  k.gemm(y, a, b, c, ...sizes, ...strides, Number(relu), alpha, beta);
  return values(y);
}

/** The largest difference from the definition, relative to the largest of its elements. */
function error(
  got: ArrayLike<number>,
  product: Float64Array,
  c: ArrayLike<number>,
  rows: number,
  s: Shape,
  ownC: boolean,
  { alpha, beta, relu }: Epilogue,
): number {
  let [worst, largest] = [0, 0];
  for (let at = 0, row = 0; at < product.length; row++) {
    const [e, i] = [Math.floor(row / s.m), row % s.m];
    const from = ((ownC ? e * rows : 0) + (rows === 1 ? 0 : i)) * s.n;
    for (let j = 0; j < s.n; j++, at++) {
      const sum = alpha * product[at]! + beta * c[from + j]!;
      worst = Math.max(worst, Math.abs((relu ? Math.max(0, sum) : sum) - got[at]!));
      largest = Math.max(largest, Math.abs(sum));
    }
  }
  return worst / largest;
}

const bound = { float32: 3e-6, float64: 1e-14 };
const epilogues: Epilogue[] = [
  { alpha: -1.5, beta: 0.5, relu: false },
  { alpha: 1, beta: 1, relu: true },
];

const transposes = [{}, { transA: true }, { transB: true }, { transA: true, transB: true }];
const shapes: Shape[] = transposes.flatMap((t) => [
  { m: 13, k: 0, n: 9, ...t }, // nothing to sum
  { m: 41, k: 70, n: 99, ...t }, // where it stands
  { m: 150, k: 131, n: 139, ...t }, // one tile of rows
  { m: 301, k: 90, n: 290, ...t }, // both packed once
  { m: 150, k: 800, n: 139, ...t }, // blocks in k
  { m: 50, k: 2500, n: 49, ...t }, // parts in k
  { m: 1, k: 131, n: 333, ...t }, // gemv.h
  { m: 333, k: 131, n: 5, ...t },
  { m: 3, k: 700, n: 1100, ...t },
]);
const named = (s: Shape) => `${s.m}x${s.k}x${s.n}${s.transA ? " A^T" : ""}${s.transB ? " B^T" : ""}`;

for (const dtype of ["float32", "float64"] as const)
  test.each(shapes.map((s) => [named(s), s] as const))(`${dtype} %s`, (_, s) => {
    const given = operands(s, single, dtype);
    withEach((isa) => {
      for (const rows of [1, s.m])
        for (const epilogue of epilogues) {
          const c = random(rows * s.n, dtype);
          const y = run(given, c, rows, s, single, epilogue);
          const worst = error(y, given.product, values(c), rows, s, true, epilogue);
          expect(worst, `${isa}, ${rows} rows added`).toBeLessThan(bound[dtype]);
        }
      const scaled = { alpha: 2, beta: 0, relu: false };
      const bits = (c: Tensor | null) => Buffer.from(run(given, c, s.m, s, single, scaled).buffer);
      const unread = bits(full([s.m * s.n], Number.NaN, { dtype }));
      expect(unread.equals(bits(null)), `${isa}, beta 0`).toBe(true);
    });
  });

const both = [false, true];
const batches: Batch[] = both.flatMap((ownA) =>
  both.flatMap((ownB) => both.map((ownC) => ({ count: 3, ownA, ownB, ownC }))),
);
const own = ({ ownA, ownB, ownC }: Batch) => [ownA && "a", ownB && "b", ownC && "c"].filter(Boolean).join(", ");

test.each(batches.map((b) => [own(b) || "nothing", b] as const))("a batch of three with its own %s", (_, batch) => {
  for (const s of transposes.flatMap((t) => [
    { m: 5, k: 9, n: 7, ...t },
    { m: 150, k: 110, n: 139, ...t },
  ])) {
    const given = operands(s, batch, "float32");
    withEach((isa) => {
      for (const rows of [1, s.m]) {
        const c = random((batch.ownC ? 3 : 1) * rows * s.n, "float32");
        const [epilogue] = epilogues;
        const y = run(given, c, rows, s, batch, epilogue!);
        const worst = error(y, given.product, values(c), rows, s, batch.ownC, epilogue!);
        expect(worst, `${isa}, ${named(s)}, ${rows} rows added`).toBeLessThan(bound.float32);
      }
    });
  }
});

test("the same bits on 1, 2, 3 and 4 threads", () => {
  const before = addon.threads();
  const rest = { alpha: -1.5, beta: 0.5, relu: true };
  try {
    for (const s of shapes) {
      const given = operands(s, single, "float32");
      const c = random(s.m * s.n, "float32");
      const on = (threads: number) => {
        addon.synchronize();
        addon.threads(threads);
        return Buffer.from(run(given, c, s.m, s, single, rest).buffer);
      };
      const one = on(1);
      for (const threads of [2, 3, 4]) expect(on(threads).equals(one), `${named(s)}, ${threads} threads`).toBe(true);
    }
  } finally {
    addon.synchronize();
    addon.threads(before);
  }
});
