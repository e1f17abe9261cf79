/** @file Matrices by their diagonals, and built from others, against index arithmetic. */
import { blockDiag, diag, diagEmbed, diagonal, kron, ones, outer, trace, tril, triu } from "napier";
import { checkOp } from "../check.js";
import { at, build, ints, mask, type Nd, nd, normal, total } from "../nd.js";

const EXACT = { bound: { ulp: 0 }, gradBound: { ulp: 0 }, isaGradRms: 0 } as const;
const PRODUCTS = { bound: { ulp: 0 }, gradBound: { rms: 16 } } as const;

for (const [name, op, keeps] of [
  ["tril", tril, (j: number, k: number) => j <= k],
  ["triu", triu, (j: number, k: number) => j >= k],
] as const) {
  checkOp<[diagonal?: number]>(name, {
    run: ([x], ...args) => op(x!, ...args),
    reference: ([x], k = 0) =>
      build(x!.shape, (index) => (keeps(index.at(-1)! - index.at(-2)!, k) ? at(x!, index) : 0), x!.dtype),
    ...EXACT,
    cases: {
      square: { inputs: [normal(4, 4)] },
      "wide, above": { inputs: [normal(2, 3, 5)], args: [1] },
      "tall, below": { inputs: [normal(5, 3)], args: [-2] },
      "beyond the matrix": { inputs: [normal(2, 3)], args: [9] },
      bool: { inputs: [mask(3, 3)], grad: false },
      int64: { inputs: [ints(-9, 9, [3, 4], "int64")], grad: false },
    },
    errors: {
      "a vector": [() => op(ones([3])), new RegExp(`${name}: expected at least 2 dimensions, got \\[3\\]`)],
      "a fraction": [() => op(ones([3, 3]), 0.5), new RegExp(`${name}: expected an integer diagonal, got 0.5`)],
    },
    bench: { "attention mask 1024": { inputs: [normal(1024, 1024)] } },
  });
}

const diagonalOf = (x: Nd, k: number, a: number, b: number): Nd => {
  const rest = x.shape.map((_, d) => d).filter((d) => d !== a && d !== b);
  const [i0, j0] = [Math.max(0, -k), Math.max(0, k)];
  const n = Math.max(0, Math.min(x.shape[a]! - i0, x.shape[b]! - j0));
  return build([...rest.map((d) => x.shape[d]!), n], (index) =>
    at(
      x,
      x.shape.map((_, d) => (d === a ? i0 + index.at(-1)! : d === b ? j0 + index.at(-1)! : index[rest.indexOf(d)]!)),
    ),
  );
};
checkOp<[offset?: number, a?: number, b?: number]>("diagonal", {
  run: ([x], ...args) => diagonal(x!, ...args),
  reference: ([x], k = 0, a = 0, b = 1) =>
    diagonalOf(x!, k, (a + x!.shape.length) % x!.shape.length, (b + x!.shape.length) % x!.shape.length),
  ...EXACT,
  cases: {
    square: { inputs: [normal(3, 3)] },
    "above, wide": { inputs: [normal(3, 5)], args: [1] },
    "below, tall": { inputs: [normal(5, 3)], args: [-2] },
    "the last two of four": { inputs: [normal(2, 3, 4, 4)], args: [0, -2, -1] },
    "axes exchanged": { inputs: [normal(3, 2, 4)], args: [1, 2, 0] },
    "beyond the matrix": { inputs: [normal(2, 3)], args: [3] },
  },
  errors: {
    "one axis": [() => diagonal(ones([2, 2]), 0, 1, -1), /diagonal: expected two axes that differ/],
    "a vector": [() => diagonal(ones([2])), /diagonal: expected at least 2 dimensions, got \[2\]/],
  },
  bench: { "64 of 256x256": { inputs: [normal(64, 256, 256)], args: [0, -2, -1] } },
});
checkOp<[offset?: number, a?: number, b?: number]>("diagEmbed", {
  run: ([x], ...args) => diagEmbed(x!, ...args),
  reference: ([x], k = 0, a = -2, b = -1) => {
    const rank = x!.shape.length + 1;
    const [p, q] = [(a + rank) % rank, (b + rank) % rank];
    const n = x!.shape.at(-1)! + Math.abs(k);
    const rest = x!.shape.slice(0, -1);
    const shape = Array.from({ length: rank }, (_, d) => (d === p || d === q ? n : rest.shift()!));
    return build(shape, (index) => {
      const [i, j] = [index[p]!, index[q]!];
      return j - i === k ? at(x!, [...index.filter((_, d) => d !== p && d !== q), Math.min(i, j)]) : 0;
    });
  },
  ...EXACT,
  cases: {
    vector: { inputs: [normal(3)] },
    "a batch, above": { inputs: [normal(2, 3)], args: [1] },
    below: { inputs: [normal(3)], args: [-2] },
    "first and last": { inputs: [normal(2, 3)], args: [0, 0, 2] },
  },
  errors: {
    "a scalar": [() => diagEmbed(ones([])), /diagEmbed: expected at least one dimension, got a scalar/],
    "one axis": [() => diagEmbed(ones([2]), 0, 1, 1), /diagEmbed: expected two axes that differ, got 1 and 1/],
  },
  bench: { "64 of 256x256": { inputs: [normal(64, 256)] } },
});
checkOp<[offset?: number]>("diag", {
  run: ([x], ...args) => diag(x!, ...args),
  reference: ([x], k = 0) =>
    x!.shape.length === 2
      ? diagonalOf(x!, k, 0, 1)
      : build([x!.data.length + Math.abs(k), x!.data.length + Math.abs(k)], ([i, j]) =>
          j! - i! === k ? x!.data[Math.min(i!, j!)]! : 0,
        ),
  ...EXACT,
  cases: {
    "of a matrix": { inputs: [normal(3, 4)], args: [1] },
    "of a vector": { inputs: [normal(3)], args: [-1] },
  },
  errors: { "three dimensions": [() => diag(ones([1, 1, 1])), /diag: expected a vector or a matrix, got \[1,1,1\]/] },
  bench: { "to 2048x2048": { inputs: [normal(2048)] } },
});
checkOp("trace", {
  run: ([x]) => trace(x!),
  reference: ([x]) => nd([], [total(diagonalOf(x!, 0, 0, 1).data)], x!.dtype === "int32" ? "int64" : "float"),
  bound: { rms: 8 },
  cases: {
    square: { inputs: [normal(4, 4)] },
    wide: { inputs: [normal(2, 5)] },
    int32: { inputs: [ints(-9, 9, [3, 3])], grad: false },
  },
  errors: { "a vector": [() => trace(ones([3])), /trace: expected a matrix, got \[3\]/] },
  bench: { "2048x2048": { inputs: [normal(2048, 2048)] } },
});
checkOp("outer", {
  run: ([a, b]) => outer(a!, b!),
  reference: ([a, b]) => build([a!.data.length, b!.data.length], ([i, j]) => Math.fround(a!.data[i!]! * b!.data[j!]!)),
  ...PRODUCTS,
  cases: { vectors: { inputs: [normal(3), normal(4)], dtypes: ["float32"] } },
  errors: {
    matrices: [() => outer(ones([2, 2]), ones([2])), /outer: expected two vectors, got \[2,2\] and \[2\]/],
  },
  bench: { "2048x2048": { inputs: [normal(2048), normal(2048)] } },
});
checkOp("kron", {
  run: ([a, b]) => kron(a!, b!),
  reference: ([a, b]) => {
    const rank = Math.max(a!.shape.length, b!.shape.length);
    const [p, q] = [a!, b!].map((x) => ({
      ...x,
      shape: [...Array<number>(rank - x.shape.length).fill(1), ...x.shape],
    }));
    return build(
      p!.shape.map((e, d) => e * q!.shape[d]!),
      (index) =>
        at(
          p!,
          index.map((i, d) => Math.floor(i / q!.shape[d]!)),
        ) *
        at(
          q!,
          index.map((i, d) => i % q!.shape[d]!),
        ),
    );
  },
  bound: { ulp: 1 },
  cases: {
    matrices: { inputs: [normal(2, 3), normal(3, 2)] },
    "vector and matrix": { inputs: [normal(2), normal(3, 2)] },
  },
  bench: { "64x64 and 32x32": { inputs: [normal(64, 64), normal(32, 32)] } },
});
checkOp("blockDiag", {
  run: (xs) => blockDiag(xs),
  reference: (xs) => {
    const blocks = xs.map((x) => (x.shape.length === 2 ? x : { ...x, shape: [1, x.data.length] }));
    const extent = (d: number) => blocks.reduce((n, x) => n + x.shape[d]!, 0);
    const y = build([extent(0), extent(1)], () => 0);
    let [top, left] = [0, 0];
    for (const x of blocks) {
      const [m, n] = x.shape as [number, number];
      for (let i = 0; i < m; i++)
        for (let j = 0; j < n; j++) y.data[(top + i) * y.shape[1]! + left + j] = at(x, [i, j]);
      [top, left] = [top + m, left + n];
    }
    return y;
  },
  ...EXACT,
  cases: { mixed: { inputs: [normal(2, 3), normal(2), normal(), normal(3, 1)] }, one: { inputs: [normal(2, 2)] } },
  errors: {
    none: [() => blockDiag([]), /blockDiag: expected at least one tensor, got none/],
    "three dimensions": [() => blockDiag([ones([1, 1, 1])]), /blockDiag: expected at most 2 dimensions, got \[1,1,1\]/],
  },
  bench: { "8 of 256x256": { inputs: Array.from({ length: 8 }, () => normal(256, 256)) } },
});
