/** @file The gates of recurrent cells against their formulas. */
import { gruCell, lstmCell, ones, stack } from "napier";
import { type Case, checkOp } from "../check.js";
import { at, build, type Nd, normal } from "../nd.js";

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

/** [h, c], each [n, size] */
function lstm([x, c0]: Nd[]): Nd {
  const [n, size] = c0!.shape as [number, number];
  return build([2, n, size], ([which, i, j]) => {
    const gate = (g: number) => at(x!, [i!, g * size + j!]);
    const c = sigmoid(gate(1)) * at(c0!, [i!, j!]) + sigmoid(gate(0)) * Math.tanh(gate(2));
    return which === 1 ? c : sigmoid(gate(3)) * Math.tanh(c);
  });
}

function gru([x, u, h0]: Nd[]): Nd {
  const [n, size] = h0!.shape as [number, number];
  return build([n, size], ([i, j]) => {
    const of = (t: Nd, g: number) => at(t, [i!, g * size + j!]);
    const [r, z] = [0, 1].map((g) => sigmoid(of(x!, g) + of(u!, g))) as [number, number];
    const m = Math.tanh(of(x!, 2) + r * of(u!, 2));
    return (1 - z) * m + z * at(h0!, [i!, j!]);
  });
}

const forLstm = (n: number, size: number): Case<[]> => ({ inputs: [normal(n, 4 * size), normal(n, size)] });
const forGru = (n: number, size: number): Case<[]> => ({
  inputs: [normal(n, 3 * size), normal(n, 3 * size), normal(n, size)],
});

checkOp("lstmCell", {
  run: ([x, c0]) => stack(lstmCell(x!, c0!)),
  reference: lstm,
  bound: { rms: 8 },
  isaRms: 8,
  isaGradRms: 16,
  cases: {
    "one number": forLstm(1, 1),
    "a row with a tail": forLstm(3, 19),
    "whole registers": forLstm(2, 16),
    "no rows": forLstm(0, 3),
    "long enough to be split": { ...forLstm(40, 130), grad: false },
  },
  errors: {
    "gates do not fit": [
      () => lstmCell(ones([2, 9]), ones([2, 3])),
      /lstmCell: expected gates of shape \[2,12\] for a state of \[2,3\], got \[2,9\]/,
    ],
    "state of one dimension": [
      () => lstmCell(ones([2, 12]), ones([3])),
      /lstmCell: expected a state of shape \[n,size\]/,
    ],
    "dtypes differ": [
      () => lstmCell(ones([1, 4]), ones([1, 1], { dtype: "float64" })),
      /lstmCell: expected operands of one/,
    ],
  },
  bench: { "64x512": forLstm(64, 512) },
});

checkOp("lstmCell, c alone", {
  run: ([x, c0]) => lstmCell(x!, c0!)[1],
  reference: (inputs) => {
    const both = lstm(inputs);
    return build(inputs[1]!.shape, (index) => at(both, [1, ...index]));
  },
  bound: { rms: 8 },
  isaRms: 8,
  isaGradRms: 16,
  cases: { "two rows": forLstm(2, 3) },
});

checkOp("gruCell", {
  run: ([x, u, h0]) => gruCell(x!, u!, h0!),
  reference: gru,
  bound: { rms: 8 },
  isaRms: 8,
  isaGradRms: 16,
  cases: {
    "one number": forGru(1, 1),
    "a row with a tail": forGru(3, 19),
    "whole registers": forGru(2, 16),
    "no rows": forGru(0, 3),
    "long enough to be split": { ...forGru(40, 130), grad: false },
  },
  errors: {
    "gates do not fit": [
      () => gruCell(ones([2, 9]), ones([2, 8]), ones([2, 3])),
      /gruCell: expected gates of shape \[2,9\] for a state of \[2,3\], got \[2,8\]/,
    ],
  },
  bench: { "64x512": forGru(64, 512) },
});
