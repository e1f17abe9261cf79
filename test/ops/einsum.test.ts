/** @file einsum against the sum over every letter. */
import { einsum, ones } from "napier";
import { type Case, checkOp } from "../check.js";
import { at, indices, type Nd, nd, normal } from "../nd.js";

/** The sum of products over all letters; ellipses are written out as the capitals of `dots`, aligned right. */
function summed(equation: string, xs: Nd[]): Nd {
  const [left, right] = equation.replaceAll(" ", "").split("->") as [string, string?];
  const terms = left.split(",");
  const hidden = Math.max(0, ...terms.map((t, i) => (t.includes("...") ? xs[i]!.shape.length - t.length + 3 : 0)));
  const dots = "WXYZ".slice(0, hidden);
  const full = terms.map((t, i) => t.replace("...", dots.slice(hidden - (xs[i]!.shape.length - t.length + 3))));
  const once = [...left].filter((l) => /[a-zA-Z]/.test(l) && left.indexOf(l) === left.lastIndexOf(l)).sort();
  const output = right === undefined ? dots + once.join("") : right.replace("...", dots);
  const extents = new Map<string, number>();
  full.forEach((t, i) => {
    for (const [d, l] of [...t].entries()) extents.set(l, Math.max(extents.get(l) ?? 0, xs[i]!.shape[d]!));
  });
  const letters = [...output, ...[...extents.keys()].filter((l) => !output.includes(l))];
  const shape = [...output].map((l) => extents.get(l)!);
  const y = nd(shape, new Float64Array(shape.reduce((n, e) => n * e, 1)));
  for (const index of indices(letters.map((l) => extents.get(l)!))) {
    const value = (l: string) => index[letters.indexOf(l)]!;
    const flat = [...output].reduce((f, l) => f * extents.get(l)! + value(l), 0);
    y.data[flat]! += full.reduce((p, t, i) => p * at(xs[i]!, [...t].map(value)), 1);
  }
  return y;
}

const of = (equation: string, ...shapes: number[][]): Case<[string]> => ({
  inputs: shapes.map((s) => normal(...s)),
  args: [equation],
});

checkOp<[equation: string]>("einsum", {
  run: (xs, equation) => einsum(equation, ...xs),
  reference: (xs, equation) => summed(equation, xs),
  bound: { rms: 8 },
  isaRms: 8,
  cases: {
    transpose: of("ij->ji", [2, 3]),
    "sum of all": of("ij->", [2, 3]),
    "sum of rows": of("ij->i", [2, 3]),
    trace: of("ii", [3, 3]),
    diagonal: of("ii->i", [3, 3]),
    "diagonal among others": of("abca->cb", [2, 3, 4, 2]),
    "three times the same letter": of("iii->i", [3, 3, 3]),
    "matrix product": of("ij,jk->ik", [2, 3], [3, 4]),
    "matrix product, implicit output": of("ij,jk", [2, 3], [3, 4]),
    "implicit output is alphabetical": of("ba", [2, 3]),
    "both stored the other way": of("ji,kj->ik", [3, 2], [4, 3]),
    "batched, several of each": of("abij,abjk->abik", [2, 2, 3, 2], [2, 2, 2, 3]),
    "dot product": of("i,i->", [5], [5]),
    "dot products of rows": of("bi,bi->b", [3, 4], [3, 4]),
    elementwise: of("ij,ij->ij", [2, 3], [2, 3]),
    "outer product": of("i,j->ij", [2], [3]),
    "a letter of one operand summed": of("ij,k->k", [2, 3], [4]),
    "attention scores": of("bqhd,bkhd->bhqk", [1, 3, 2, 4], [1, 2, 2, 4]),
    "bilinear form": of("bi,oij,bj->bo", [2, 3], [2, 3, 4], [2, 4]),
    "chain of four": of("ab,bc,cd,de->ae", [2, 3], [3, 4], [4, 2], [2, 3]),
    "ellipsis, batched": of("...ij,...jk->...ik", [2, 2, 3], [2, 3, 2]),
    "ellipsis, broadcast": of("...ij,...jk->...ik", [2, 1, 2, 3], [3, 3, 2]),
    "ellipsis, implicit": of("...ij,jk", [2, 2, 3], [3, 2]),
    "ellipsis to the end": of("i...->...i", [2, 3, 4]),
    "extent 1 broadcasts": of("ij,ij->i", [2, 1], [2, 3]),
    spaces: of(" i j , j k -> i k ", [2, 3], [3, 2]),
    empty: of("ij,jk->ik", [2, 0], [0, 3]),
  },
  errors: {
    "extents that differ": [
      () => einsum("ij,jk->ik", ones([2, 3]), ones([4, 2])),
      /einsum: expected one extent for "j" in "ij,jk->ik", got 3 and 4/,
    ],
    "too few operands": [() => einsum("i,j", ones([2])), /einsum: expected 2 operands for "i,j", got 1/],
    "another rank": [
      () => einsum("ijk", ones([2, 3])),
      /einsum: expected an operand 0 with the dimensions "ijk", got \[2,3\]/,
    ],
    "an unknown output letter": [
      () => einsum("ij->ik", ones([2, 3])),
      /einsum: expected output letters that an input has, got "k"/,
    ],
    "an output letter twice": [
      () => einsum("ij->ii", ones([2, 3])),
      /einsum: expected each output letter once, got "ii"/,
    ],
    "a digit": [() => einsum("i1", ones([2, 3])), /einsum: expected letters.*got "1" in "i1"/],
    integers: [() => einsum("i", ones([2], { dtype: "int32" })), /einsum: expected float32 or float64, got int32/],
  },
  bench: { "attention scores 8x12x197x64": of("bqhd,bkhd->bhqk", [8, 197, 12, 64], [8, 197, 12, 64]) },
});
