/** @file Linear algebra against elimination, Jacobi rotations and power series, one matrix at a time. */
import {
  add,
  cholesky,
  det,
  diagEmbed,
  eye,
  inverse,
  linalg,
  lu,
  matmul,
  matrixExp,
  ones,
  pinv,
  qr,
  randn,
  slogdet,
  svd,
  type Tensor,
  tensor,
} from "napier";
import { type Case, checkOp, expect, test } from "../check.js";
import { type Input, type Nd, nd, normal, uniform } from "../nd.js";

// ---- Matrices as rows of numbers

type Rows = number[][];
const matrix = (m: number, n: number, f: (i: number, j: number) => number): Rows =>
  Array.from({ length: m }, (_, i) => Array.from({ length: n }, (_, j) => f(i, j)));
const product = (a: Rows, b: Rows): Rows =>
  matrix(a.length, b[0]?.length ?? 0, (i, j) => b.reduce((sum, row, k) => sum + a[i]![k]! * row[j]!, 0));
const turned = (a: Rows): Rows => matrix(a[0]?.length ?? 0, a.length, (i, j) => a[j]![i]!);
const identity = (n: number): Rows => matrix(n, n, (i, j) => Number(i === j));
const sumOf = (a: Rows, b: Rows, factor = 1): Rows =>
  matrix(a.length, a[0]?.length ?? 0, (i, j) => a[i]![j]! + factor * b[i]![j]!);

/** [a | b] brought to [1 | y] by Gauss and Jordan; det: the product of the pivots. */
function eliminate(a: Rows, b: Rows): { y: Rows; det: number } {
  const n = a.length;
  const rows = a.map((row, i) => [...row, ...b[i]!]);
  let det = 1;
  for (let j = 0; j < n; j++) {
    let best = j;
    for (let i = j; i < n; i++) if (Math.abs(rows[i]![j]!) > Math.abs(rows[best]![j]!)) best = i;
    if (best !== j) {
      [rows[j], rows[best]] = [rows[best]!, rows[j]!];
      det = -det;
    }
    const pivot = rows[j]![j]!;
    det *= pivot;
    rows[j] = rows[j]!.map((v) => v / pivot);
    for (let i = 0; i < n; i++) {
      if (i === j) continue;
      const factor = rows[i]![j]!;
      rows[i] = rows[i]!.map((v, c) => v - factor * rows[j]![c]!);
    }
  }
  return { y: rows.map((row) => row.slice(n)), det };
}
const inverseOf = (a: Rows): Rows => eliminate(a, identity(a.length)).y;

/** Eigenvalues (ascending) and eigenvectors of a symmetric matrix by Jacobi's rotations. */
function eigen(a: Rows): { w: number[]; v: Rows } {
  const n = a.length;
  let s = a.map((row) => [...row]);
  let v = identity(n);
  for (let sweep = 0; sweep < 60; sweep++)
    for (let p = 0; p < n; p++)
      for (let q = p + 1; q < n; q++) {
        if (Math.abs(s[p]![q]!) < 1e-300) continue;
        const angle = 0.5 * Math.atan2(2 * s[p]![q]!, s[q]![q]! - s[p]![p]!);
        const turn = identity(n);
        turn[p]![p] = turn[q]![q] = Math.cos(angle);
        turn[p]![q] = Math.sin(angle);
        turn[q]![p] = -Math.sin(angle);
        s = product(product(turned(turn), s), turn);
        v = product(v, turn);
      }
  const order = s.map((_, i) => i).sort((i, j) => s[i]![i]! - s[j]![j]!);
  return { w: order.map((i) => s[i]![i]!), v: matrix(n, n, (i, j) => v[i]![order[j]!]!) };
}
/** f of a symmetric matrix, by its eigenvalues. */
function ofSymmetric(a: Rows, f: (w: number) => number): Rows {
  const { w, v } = eigen(a);
  return product(
    v.map((row) => row.map((x, j) => x * f(w[j]!))),
    turned(v),
  );
}
const choleskyOf = (a: Rows): Rows => {
  const l = matrix(a.length, a.length, () => 0);
  for (let i = 0; i < a.length; i++)
    for (let j = 0; j <= i; j++) {
      let rest = a[i]![j]!;
      for (let k = 0; k < j; k++) rest -= l[i]![k]! * l[j]![k]!;
      l[i]![j] = i === j ? Math.sqrt(rest) : rest / l[j]![j]!;
    }
  return l;
};
/** q r = a of at least as many rows as columns, by Gram and Schmidt, each column made orthogonal twice; r's diagonal > 0. */
function gramSchmidt(a: Rows): { q: Rows; r: Rows } {
  const n = a[0]!.length;
  const columns = turned(a).map((column) => [...column]);
  const r = matrix(n, n, () => 0);
  const dot = (x: number[], y: number[]) => x.reduce((sum, v, i) => sum + v * y[i]!, 0);
  for (let j = 0; j < n; j++) {
    for (let pass = 0; pass < 2; pass++)
      for (let i = 0; i < j; i++) {
        const along = dot(columns[i]!, columns[j]!);
        r[i]![j]! += along;
        columns[j] = columns[j]!.map((v, k) => v - along * columns[i]![k]!);
      }
    r[j]![j] = Math.sqrt(dot(columns[j]!, columns[j]!));
    columns[j] = columns[j]!.map((v) => v / r[j]![j]!);
  }
  return { q: turned(columns), r };
}
const pseudoinverse = (a: Rows): Rows => {
  const { q, r } = gramSchmidt(a);
  return eliminate(r, turned(q)).y;
};
const exponential = (a: Rows): Rows => {
  let [sum, term] = [identity(a.length), identity(a.length)];
  for (let k = 1; k < 80; k++) {
    term = product(term, a).map((row) => row.map((v) => v / k));
    sum = sumOf(sum, term);
  }
  return sum;
};

/** A reference of batches from one of single matrices: f answers rows, which become the last dimensions, or a number. */
function batched(f: (...xs: Rows[]) => Rows | number[] | number) {
  return (inputs: Nd[]): Nd => {
    const lead = inputs[0]!.shape.slice(0, -2);
    const batch = lead.reduce((n, e) => n * e, 1);
    const made = Array.from({ length: batch }, (_, b) =>
      f(
        ...inputs.map((x) => {
          const [m, n] = x.shape.slice(-2) as [number, number];
          return matrix(m, n, (i, j) => x.data[(b * m + i) * n + j]!);
        }),
      ),
    );
    const first = made[0]!;
    const own =
      typeof first === "number" ? [] : Array.isArray(first[0]) ? [first.length, first[0].length] : [first.length];
    return nd([...lead, ...own], made.flat(2) as number[]);
  };
}

const SQUARE: Record<string, Case<[]>> = {
  "1x1": { inputs: [normal(1, 1)] },
  "2x2": { inputs: [normal(2, 2)] },
  "5x5": { inputs: [normal(5, 5)] },
  "a batch": { inputs: [normal(2, 3, 3, 3)] },
  "9x9": { inputs: [normal(9, 9)] },
};
const both = (cases: Record<string, Case<[]>>, more: (shape: number[]) => Input): Record<string, Case<[]>> =>
  Object.fromEntries(
    Object.entries(cases).map(([name, c]) => {
      const { shape } = c.inputs[0]!(() => 0.5);
      return [name, { ...c, inputs: [...c.inputs, more(shape)] }];
    }),
  );

// What the ops get: far from singular, or symmetric and positive.
const far = (x: Tensor): Tensor => add(x, eye(x.shape.at(-1)!, x.shape.at(-1)!, { dtype: x.dtype }).mul(6));
const farOf = (x: Rows): Rows => sumOf(x, identity(x.length), 6);
const positive = (x: Tensor): Tensor =>
  add(matmul(x, x, { transB: true }), eye(x.shape.at(-1)!, x.shape.at(-1)!, { dtype: x.dtype }));
const positiveOf = (x: Rows): Rows => sumOf(product(x, turned(x)), identity(x.length));
const even = (x: Tensor): Tensor => add(x, x.transpose(-2, -1));
const evenOf = (x: Rows): Rows => sumOf(x, turned(x));

/** Kernels compute in double, but what they are given was rounded: the condition of the matrices is in these bounds. */
const LOOSE = { bound: { rms: 8 }, bound64: { rms: 32 }, gradBound: { rms: 32 }, isaRms: 16, isaGradRms: 16 };

checkOp("inverse", {
  run: ([x]) => inverse(far(x!)),
  reference: batched((x) => inverseOf(farOf(x))),
  ...LOOSE,
  cases: SQUARE,
  errors: {
    "not square": [() => inverse(ones([2, 3])), /inverse: expected .*square.*got \[2,3\]/],
    integers: [() => inverse(ones([2, 2], { dtype: "int32" })), /inverse: expected float32 or float64, got int32/],
  },
  bench: { "64 of 32x32": { inputs: [normal(64, 32, 32)] } },
});

checkOp("det", {
  run: ([x]) => det(far(x!)),
  reference: batched((x) => eliminate(farOf(x), identity(x.length)).det),
  ...LOOSE,
  cases: SQUARE,
  errors: { "one dimension": [() => det(ones([3])), /det: expected .*got \[3\]/] },
  bench: { "256 of 32x32": { inputs: [normal(256, 32, 32)] } },
});

checkOp("slogdet", {
  run: ([x]) => slogdet(far(x!)).logAbsDet,
  reference: batched((x) => Math.log(Math.abs(eliminate(farOf(x), identity(x.length)).det))),
  ...LOOSE,
  cases: SQUARE,
  bench: { "512x512": { inputs: [normal(512, 512)] } },
});

checkOp("solve", {
  run: ([a, b]) => linalg.solve(far(a!), b!),
  reference: batched((a, b) => eliminate(farOf(a!), b!).y),
  ...LOOSE,
  cases: both(SQUARE, (shape) => normal(...shape.slice(0, -1), 2)),
  errors: {
    "rows differ": [() => linalg.solve(ones([2, 2]), ones([3, 1])), /solve: expected right-hand sides .*got \[3,1\]/],
  },
  bench: { "64 of 32x32": { inputs: [normal(64, 32, 32), normal(64, 32, 8)] } },
});

checkOp("solveTriangular", {
  run: ([a, b]) => linalg.solveTriangular(far(a!), b!, { upper: true, transpose: true }),
  reference: batched((a, b) => eliminate(turned(farOf(a!).map((row, i) => row.map((v, j) => (j >= i ? v : 0)))), b!).y),
  ...LOOSE,
  cases: both(SQUARE, (shape) => normal(...shape.slice(0, -1), 3)),
  bench: { "512x512, 64": { inputs: [normal(512, 512), normal(512, 64)] } },
});

checkOp("choleskySolve", {
  run: ([a, b]) => linalg.choleskySolve(b!, cholesky(positive(a!))),
  reference: batched((a, b) => eliminate(positiveOf(a!), b!).y),
  ...LOOSE,
  cases: both(SQUARE, (shape) => normal(...shape.slice(0, -1), 2)),
  bench: { "512x512, 64": { inputs: [normal(512, 512), normal(512, 64)] } },
});

checkOp("cholesky", {
  run: ([x]) => cholesky(positive(x!)),
  reference: batched((x) => choleskyOf(positiveOf(x))),
  ...LOOSE,
  cases: SQUARE,
  bench: { "64 of 32x32": { inputs: [normal(64, 32, 32)] } },
});

checkOp("lu", {
  run: ([x]) => {
    const { p, l, u } = lu(far(x!));
    return matmul(matmul(p, l), u).add(l.sum(-1, { keepDims: true })); // l in its own right too
  },
  reference: batched((x) => {
    // Diagonally dominant: no row is exchanged.
    const u = farOf(x).map((row) => [...row]);
    const l = identity(x.length);
    for (let j = 0; j < x.length; j++)
      for (let i = j + 1; i < x.length; i++) {
        l[i]![j] = u[i]![j]! / u[j]![j]!;
        u[i] = u[i]!.map((v, c) => v - l[i]![j]! * u[j]![c]!);
      }
    const sums = l.map((row) => row.reduce((a, b) => a + b, 0));
    return farOf(x).map((row, i) => row.map((v) => v + sums[i]!));
  }),
  ...LOOSE,
  cases: {
    "1x1": { inputs: [uniform(-1, 1, 1, 1)] },
    "4x4": { inputs: [uniform(-1, 1, 4, 4)] },
    "a batch": { inputs: [uniform(-1, 1, 3, 3, 3)] },
  },
  bench: { "512x512": { inputs: [uniform(-1, 1, 512, 512)] } },
});

const RECTANGLES: Record<string, Case<[]>> = {
  ...SQUARE,
  tall: { inputs: [normal(5, 3)] },
  wide: { inputs: [normal(3, 5)] },
};

checkOp("qr", {
  run: ([x]) => {
    const { q, r } = qr(x!);
    return q.matmul(r.square()).add(r.sum([-2, -1], { keepDims: true })); // both factors, unique by r's positive diagonal
  },
  reference: batched((x) => {
    const [m, n] = [x.length, x[0]!.length];
    const k = Math.min(m, n);
    const { q } = gramSchmidt(x.map((row) => row.slice(0, k)));
    const r = product(turned(q), x).map((row, i) => row.map((v, j) => (j >= i ? v : 0)));
    const total = r.flat().reduce((a, b) => a + b, 0);
    return product(
      q,
      r.map((row) => row.map((v) => v * v)),
    ).map((row) => row.map((v) => v + total));
  }),
  ...LOOSE,
  cases: RECTANGLES,
  errors: {
    "an unknown mode": [
      () => qr(ones([2, 2]), { mode: "r" as never }),
      /qr: expected mode "reduced" or "complete", got "r"/,
    ],
  },
  bench: { "64 of 32x32": { inputs: [normal(64, 32, 32)] } },
});

test("a complete qr is square and orthogonal", () => {
  const x = tensor(
    [
      [1, 2],
      [3, 4],
      [5, 6],
      [7, 9],
    ],
    { dtype: "float64" },
  );
  const { q, r } = qr(x, { mode: "complete" });
  expect([...q.shape, ...r.shape]).toEqual([4, 4, 4, 2]);
  const off = matmul(q, q, { transA: true })
    .sub(eye(4, 4, { dtype: "float64" }))
    .abs()
    .amax()
    .itemSync();
  expect(off).toBeLessThan(1e-14);
  expect(matmul(q, r).sub(x).abs().amax().itemSync()).toBeLessThan(1e-13);
});

checkOp("eigh", {
  run: ([x]) => {
    const { w, v } = linalg.eigh(even(x!));
    return matmul(v.mul(w.sin().unsqueeze(-2)), v, { transB: true }); // sin of the matrix: no sign of v matters
  },
  reference: batched((x) => ofSymmetric(evenOf(x), Math.sin)),
  ...LOOSE,
  cases: SQUARE,
  bench: { "64 of 32x32": { inputs: [normal(64, 32, 32)] } },
});

checkOp("svd", {
  run: ([x]) => {
    const { u, s, vt } = svd(x!);
    return matmul(u.mul(s.pow(3).unsqueeze(-2)), vt);
  },
  reference: batched((x) => product(product(x, turned(x)), x)),
  ...LOOSE,
  cases: RECTANGLES,
  bench: { "64 of 32x32": { inputs: [normal(64, 32, 32)] } },
});

test("singular values are those of x^T x, and rank deficiency is no trouble", () => {
  const x = tensor(
    [
      [1, 2, 3],
      [2, 4, 6],
      [1, 0, 1],
    ],
    { dtype: "float64" },
  );
  const { u, s, vt } = svd(x);
  const { w } = eigen(
    product(
      [
        [1, 2, 1],
        [2, 4, 0],
        [3, 6, 1],
      ],
      [
        [1, 2, 3],
        [2, 4, 6],
        [1, 0, 1],
      ],
    ),
  );
  const want = [...w].reverse().map((v) => Math.sqrt(Math.max(v, 0)));
  for (const [i, v] of (s.toArraySync() as number[]).entries()) expect(v).toBeCloseTo(want[i]!, 6);
  expect(
    matmul(u.mul(s.unsqueeze(0)), vt)
      .sub(x)
      .abs()
      .amax()
      .itemSync(),
  ).toBeLessThan(1e-13);
  expect(Number(linalg.matrixRank(x).itemSync())).toBe(2);
  expect(Number(linalg.matrixRank(eye(4)).itemSync())).toBe(4);
});

checkOp("pinv", {
  run: ([x]) => pinv(x!),
  reference: batched((x) => (x.length >= x[0]!.length ? pseudoinverse(x) : turned(pseudoinverse(turned(x))))),
  ...LOOSE,
  cases: {
    tall: { inputs: [normal(5, 3)] },
    wide: { inputs: [normal(3, 6)] },
    "a batch": { inputs: [normal(2, 4, 2)] },
  },
  bench: { "256x64": { inputs: [normal(256, 64)] } },
});

checkOp("lstsq", {
  run: ([a, b]) => linalg.lstsq(a!, b!),
  reference: batched((a, b) => product(pseudoinverse(a!), b!)),
  ...LOOSE,
  cases: { tall: { inputs: [normal(6, 3), normal(6, 2)] }, "a batch": { inputs: [normal(2, 4, 2), normal(2, 4, 1)] } },
  bench: { "512x64, 8": { inputs: [normal(512, 64), normal(512, 8)] } },
});

checkOp("matrixExp", {
  run: ([x]) => matrixExp(x!),
  reference: batched((x) => exponential(x)),
  ...LOOSE,
  cases: SQUARE,
  bench: { "128x128": { inputs: [uniform(-0.1, 0.1, 128, 128)] } },
});

checkOp("sqrtm", {
  run: ([x]) => linalg.sqrtm(positive(x!)),
  reference: batched((x) => ofSymmetric(positiveOf(x), Math.sqrt)),
  ...LOOSE,
  cases: SQUARE,
  bench: { "128x128": { inputs: [normal(128, 128)] } },
});
checkOp("sqrtm symmetric", {
  run: ([x]) => linalg.sqrtm(positive(x!), { symmetric: true }),
  reference: batched((x) => ofSymmetric(positiveOf(x), Math.sqrt)),
  ...LOOSE,
  cases: SQUARE,
  bench: { "128x128": { inputs: [normal(128, 128)] } },
});

test("matrices without rows or columns", () => {
  for (const shape of [
    [0, 3],
    [3, 0],
    [2, 0, 0],
    [0, 2, 2],
  ]) {
    const x = ones(shape);
    const [m, n] = shape.slice(-2) as [number, number];
    const lead = shape.slice(0, -2);
    const { u, s, vt } = svd(x);
    expect([...u.shape, ...s.shape, ...vt.shape]).toEqual(
      [
        [...lead, m, Math.min(m, n)],
        [...lead, Math.min(m, n)],
        [...lead, Math.min(m, n), n],
      ].flat(),
    );
    expect([...pinv(x).shape]).toEqual([...lead, n, m]);
    expect([...linalg.matrixRank(x).shape]).toEqual(lead);
    expect([...qr(x).q.shape]).toEqual([...lead, m, Math.min(m, n)]);
    if (m !== n) continue;
    expect([...det(x).shape, ...inverse(x).shape]).toEqual([...lead, ...shape]);
    for (const f of [cholesky, matrixExp, linalg.sqrtm]) expect([...f(x).shape]).toEqual(shape);
    expect([...linalg.eigh(x).w.shape]).toEqual([...lead, n]);
  }
});

test("completed bases are orthogonal, and keep the factors", () => {
  for (const shape of [
    [5, 2],
    [2, 5],
    [2, 4, 3],
  ]) {
    const x = randn(shape, { dtype: "float64" });
    const { u, vt } = svd(x, { fullMatrices: true });
    for (const q of [u, vt]) {
      const id = eye(q.shape.at(-1)!, q.shape.at(-1)!, { dtype: "float64" });
      expect(matmul(q, q, { transA: true }).sub(id).abs().amax().itemSync()).toBeLessThan(1e-13);
    }
  }
});

test("norms and condition numbers", () => {
  const x = tensor(
    [
      [3, 0],
      [4, 5],
    ],
    { dtype: "float64" },
  );
  const of = (t: Tensor) => t.itemSync();
  expect(of(linalg.matrixNorm(x))).toBeCloseTo(Math.sqrt(50), 12);
  expect(of(linalg.matrixNorm(x, { p: 1 }))).toBe(7);
  expect(of(linalg.matrixNorm(x, { p: Number.POSITIVE_INFINITY }))).toBe(9);
  expect(of(linalg.matrixNorm(x, { p: 2 }))).toBeCloseTo(Math.sqrt(45), 12);
  expect(of(linalg.matrixNorm(x, { p: "nuc" }))).toBeCloseTo(Math.sqrt(45) + Math.sqrt(5), 12);
  expect(of(linalg.cond(x))).toBeCloseTo(3, 12);
  expect(of(linalg.vectorNorm(x, { p: 1 }))).toBe(12);
  expect(linalg.vectorNorm(x, { axes: 1 }).toArraySync()).toEqual([3, Math.sqrt(41)]);
});

test("what has no decomposition shows as NaN or infinity, never as an end of the process", () => {
  const bad = tensor([
    [1, 2],
    [2, 1],
  ]);
  expect((cholesky(bad).toArraySync() as number[][]).flat().some(Number.isNaN)).toBe(true);
  const singular = tensor([
    [1, 2],
    [2, 4],
  ]);
  expect((inverse(singular).toArraySync() as number[][]).flat().some(Number.isFinite)).toBe(false);
  expect(Math.abs(det(singular).itemSync())).toBe(0);
  for (const value of [Number.NaN, Number.POSITIVE_INFINITY, 1e38]) {
    const x = diagEmbed(tensor([value, 1, value]));
    for (const t of [svd(x).s, linalg.eigh(x).w, matrixExp(x), linalg.sqrtm(x), qr(x).r, lu(x).u]) t.toArraySync();
  }
});
