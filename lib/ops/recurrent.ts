/**
 * What recurrent layers are made of: the pointwise part of their cells, and a sequence taken apart into its steps.
 */

import { expect, show } from "../errors.js";
import { isGradEnabled, record, recordAll } from "../graph.js";
import { k } from "../native.js";
import { empty, type Tensor } from "../tensor.js";
import { add, mul, sub } from "./arithmetic.js";
import { expectFloat, expectSameDType } from "./common.js";
import { zeros } from "./create.js";
import { sigmoid, tanh } from "./elementwise.js";
import { cat, slice } from "./shape.js";

/** Gate number `i` of [n, gates size]. */
const gate = (x: Tensor, i: number, size: number): Tensor => slice(x, null, [i * size, (i + 1) * size]);
/** y (1 - y): the derivative of a sigmoid by its value. */
const slope = (y: Tensor): Tensor => mul(y, sub(1, y));

function checkState(op: string, gates: number, x: Tensor, h: Tensor): [n: number, size: number] {
  expectFloat(op, x);
  expectSameDType(op, x, h);
  expect(h.ndim === 2, op, "a state of shape [n,size]", show(h.shape));
  const [n, size] = h.shape as [number, number];
  const fits = x.ndim === 2 && x.shape[0] === n && x.shape[1] === gates * size;
  expect(fits, op, `gates of shape [${n},${gates * size}] for a state of ${show(h.shape)}`, show(x.shape));
  return [n, size];
}

/**
 * One step of an LSTM (Hochreiter & Schmidhuber 1997) after its matrix products: c = f c0 + i g, h = o tanh c, with
 * i, f, o = sigmoid and g = tanh of their quarters of x.
 *
 * @param x [n, 4 size]: sums of the gates i, f, g, o
 * @param c0 [n, size]
 * @returns [h, c], each [n, size]
 */
export function lstmCell(x: Tensor, c0: Tensor): [h: Tensor, c: Tensor] {
  const [n, size] = checkState("lstmCell", 4, x, c0);
  const [h, c, gates] = [empty([n, size], x.dtype), empty([n, size], x.dtype), empty(x.shape, x.dtype)];
  k.lstmCell(h, c, gates, x, c0, n, size);
  recordAll([h, c], "lstmCell", { x, c0 }, { x, c0, c, gates }, (dys, saved) => lstmGradients(dys, saved, n, size));
  return [h, c];
}

type LstmSaved = { x: Tensor; c0: Tensor; c: Tensor; gates: Tensor };

function lstmGradients([dh, dc]: (Tensor | null)[], { x, c0, c, gates }: LstmSaved, n: number, size: number) {
  let made: { x: Tensor; c0: Tensor } | undefined;
  const fused = () => {
    const [dx, dc0] = [empty(x.shape, x.dtype), empty(c0.shape, c0.dtype)];
    k.lstmCellGrad(dx, dc0, dh ?? null, dc ?? null, gates, c, c0, n, size);
    return { x: dx, c0: dc0 };
  };
  // With graph: the gates are made again from their sums.
  const composed = () => {
    const [i, f, o] = [0, 1, 3].map((e) => sigmoid(gate(x, e, size))) as [Tensor, Tensor, Tensor];
    const [g, y] = [tanh(gate(x, 2, size)), tanh(c)];
    const arrived = dh ?? zeros(c.shape, { dtype: c.dtype });
    const through = mul(mul(arrived, o), sub(1, mul(y, y)));
    const d = dc ? add(dc, through) : through;
    const sums = [
      mul(mul(d, g), slope(i)),
      mul(mul(d, c0), slope(f)),
      mul(mul(d, i), sub(1, mul(g, g))),
      mul(mul(arrived, y), slope(o)),
    ];
    return { x: cat(sums, 1), c0: mul(d, f) };
  };
  const of = (name: "x" | "c0") => () => (made ??= isGradEnabled() ? composed() : fused())[name];
  return { x: of("x"), c0: of("c0") };
}

/**
 * One step of a GRU (Cho et al. 2014; cuDNN's form) after its matrix products: h = (1 - z) n + z h0 with
 * r, z = sigmoid(x + u) and n = tanh(x + r u) of their thirds.
 *
 * @param x [n, 3 size]: the input's part of the gates r, z, n
 * @param u [n, 3 size]: the state's part
 * @param h0 [n, size]
 * @returns [n, size]
 */
export function gruCell(x: Tensor, u: Tensor, h0: Tensor): Tensor {
  const [n, size] = checkState("gruCell", 3, x, h0);
  checkState("gruCell", 3, u, h0);
  const [h, gates] = [empty([n, size], x.dtype), empty(x.shape, x.dtype)];
  k.gruCell(h, gates, x, u, h0, n, size);
  return record(h, "gruCell", { x, u, h0 }, { x, u, h0, gates }, (dh, saved) => gruGradients(dh, saved, n, size));
}

type GruSaved = { x: Tensor; u: Tensor; h0: Tensor; gates: Tensor };

function gruGradients(dh: Tensor, { x, u, h0, gates }: GruSaved, n: number, size: number) {
  let made: { x: Tensor; u: Tensor; h0: Tensor } | undefined;
  const fused = () => {
    const [dx, du, dh0] = [empty(x.shape, x.dtype), empty(u.shape, u.dtype), empty(h0.shape, h0.dtype)];
    k.gruCellGrad(dx, du, dh0, dh, gates, u, h0, n, size);
    return { x: dx, u: du, h0: dh0 };
  };
  const composed = () => {
    const [r, z] = [0, 1].map((e) => sigmoid(add(gate(x, e, size), gate(u, e, size)))) as [Tensor, Tensor];
    const un = gate(u, 2, size);
    const m = tanh(add(gate(x, 2, size), mul(r, un)));
    const dm = mul(mul(dh, sub(1, z)), sub(1, mul(m, m)));
    const dz = mul(mul(dh, sub(h0, m)), slope(z));
    const dr = mul(mul(dm, un), slope(r));
    return { x: cat([dr, dz, dm], 1), u: cat([dr, dz, mul(dm, r)], 1), h0: mul(dh, z) };
  };
  const of = (name: "x" | "u" | "h0") => () => (made ??= isGradEnabled() ? composed() : fused())[name];
  return { x: of("x"), u: of("u"), h0: of("h0") };
}
