/**
 * Recurrent layers of CS231n's third assignment, step by step and over sequences. Sequences are [n, t, d]; the LSTM's gates
 * stand in the order input, forget, output, candidate (PyTorch's: input, forget, candidate, output).
 */
import { expect, show } from "../errors.js";
import { k } from "../native.js";
import { add, mul, sub } from "../ops/arithmetic.js";
import { to } from "../ops/cast.js";
import { zerosLike } from "../ops/create.js";
import { exp, sigmoid, tanh } from "../ops/elementwise.js";
import { embedding } from "../ops/embedding.js";
import { matmul } from "../ops/matmul.js";
import { sum } from "../ops/reduce.js";
import { cat, reshape, slice, stack } from "../ops/shape.js";
import { logSoftmax } from "../ops/softmax.js";
import { empty, type Tensor } from "../tensor.js";
import { explicit, labelTable } from "./common.js";
import { type AffineCache, affineBackward, affineForward } from "./layers.js";

// ---- Vanilla RNN

/** What rnnStepForward() keeps for rnnStepBackward(). */
export type RnnStepCache = readonly [x: Tensor, prevH: Tensor, Wx: Tensor, Wh: Tensor, nextH: Tensor];
/** Gradients of a step or, dprevH being that of h0, of a sequence. */
export type RnnGradients = [dx: Tensor, dprevH: Tensor, dWx: Tensor, dWh: Tensor, db: Tensor];

function expectStep(op: string, x: Tensor, h: Tensor, Wx: Tensor, Wh: Tensor, gates: number): void {
  const fits =
    x.ndim === 2 &&
    h.ndim === 2 &&
    h.shape[0] === x.shape[0] &&
    show(Wx.shape) === show([x.shape[1]!, gates * h.shape[1]!]) &&
    show(Wh.shape) === show([h.shape[1]!, gates * h.shape[1]!]);
  const wide = gates === 1 ? "h" : `${gates}h`;
  expect(
    fits,
    op,
    `x [n,d], h [n,h], Wx [d,${wide}] and Wh [h,${wide}]`,
    [x, h, Wx, Wh].map((t) => show(t.shape)).join(" "),
  );
}

/**
 * rnn_step_forward: next = tanh(x Wx + prev Wh + b).
 *
 * @param x [n, d]
 * @param prevH [n, h]
 * @param Wx [d, h]
 * @param Wh [h, h]
 * @param b [h]
 */
export function rnnStepForward(
  x: Tensor,
  prevH: Tensor,
  Wx: Tensor,
  Wh: Tensor,
  b: Tensor,
): [nextH: Tensor, cache: RnnStepCache] {
  expectStep("rnnStepForward", x, prevH, Wx, Wh, 1);
  const nextH = tanh(add(add(matmul(x, Wx), matmul(prevH, Wh)), b));
  return [nextH, [x, prevH, Wx, Wh, nextH]];
}

/** Gradients through a = x Wx + h Wh + b. */
const throughSum = (da: Tensor, x: Tensor, h: Tensor, Wx: Tensor, Wh: Tensor): RnnGradients => [
  matmul(da, Wx, { transB: true }),
  matmul(da, Wh, { transB: true }),
  matmul(x, da, { transA: true }),
  matmul(h, da, { transA: true }),
  sum(da, 0),
];

/** rnn_step_backward: d tanh(a) = (1 - tanh(a)^2) da. */
export const rnnStepBackward: (dnextH: Tensor, cache: RnnStepCache) => RnnGradients = explicit(
  (dnextH, [x, prevH, Wx, Wh, nextH]) => throughSum(mul(dnextH, sub(1, mul(nextH, nextH))), x, prevH, Wx, Wh),
);

/** Step t of a sequence. */
const at = (x: Tensor, t: number): Tensor => slice(x, null, t);

/** rnn_forward over x [n, t, d] from h0 [n, h]: h [n, t, h]. */
export function rnnForward(
  x: Tensor,
  h0: Tensor,
  Wx: Tensor,
  Wh: Tensor,
  b: Tensor,
): [h: Tensor, caches: readonly RnnStepCache[]] {
  expect(x.ndim === 3 && x.shape[1]! > 0, "rnnForward", "x of shape [n,t,d] with at least one step", show(x.shape));
  const hs: Tensor[] = [];
  const caches: RnnStepCache[] = [];
  for (let t = 0, h = h0; t < x.shape[1]!; t++) {
    const [next, cache] = rnnStepForward(at(x, t), h, Wx, Wh, b);
    hs.push((h = next));
    caches.push(cache);
  }
  return [stack(hs, 1), caches];
}

/** Adds up the gradients of steps, latest first. */
function addUp(total: RnnGradients | null, step: RnnGradients): RnnGradients {
  return total === null ? step : (total.map((t, i) => (i < 2 ? step[i]! : add(t, step[i]!))) as RnnGradients);
}

/** rnn_backward: dh [n, t, h] to (dx, dh0, dWx, dWh, db). */
export const rnnBackward: (dh: Tensor, caches: readonly RnnStepCache[]) => RnnGradients = explicit((dh, caches) => {
  const dxs: Tensor[] = [];
  let total: RnnGradients | null = null;
  for (let t = caches.length - 1; t >= 0; t--) {
    const dnext = total === null ? at(dh, t) : add(at(dh, t), total[1]);
    const step = rnnStepBackward(dnext, caches[t]!);
    dxs.unshift(step[0]);
    total = addUp(total, step);
  }
  const [, dh0, dWx, dWh, db] = total!;
  return [stack(dxs, 1), dh0, dWx, dWh, db];
});

// ---- LSTM (Hochreiter & Schmidhuber 1997)

/** What lstmStepForward() keeps for lstmStepBackward(). */
export interface LstmStepCache {
  /** [n, d] */
  x: Tensor;
  /** [n, h] */
  prevH: Tensor;
  /** [n, h] */
  prevC: Tensor;
  /** [d, 4 h] */
  Wx: Tensor;
  /** [h, 4 h] */
  Wh: Tensor;
  /** Input, forget and output gate, and candidate, after their functions: [n, h] each. */
  gates: readonly [i: Tensor, f: Tensor, o: Tensor, g: Tensor];
  /** tanh of the next cell. */
  tanhC: Tensor;
}
/** Gradients of one step of an LSTM. */
export type LstmGradients = [dx: Tensor, dprevH: Tensor, dprevC: Tensor, dWx: Tensor, dWh: Tensor, db: Tensor];

/**
 * lstm_step_forward: [i f o g] = x Wx + prev Wh + b, through sigmoid (i, f, o) and tanh (g); c' = f c + i g, h' = o tanh c'.
 *
 * @param x [n, d]
 * @param prevH [n, h]
 * @param prevC [n, h]
 * @param Wx [d, 4 h]
 * @param Wh [h, 4 h]
 * @param b [4 h]
 */
export function lstmStepForward(
  x: Tensor,
  prevH: Tensor,
  prevC: Tensor,
  Wx: Tensor,
  Wh: Tensor,
  b: Tensor,
): [nextH: Tensor, nextC: Tensor, cache: LstmStepCache] {
  expectStep("lstmStepForward", x, prevH, Wx, Wh, 4);
  const h = prevH.shape[1]!;
  const a = add(add(matmul(x, Wx), matmul(prevH, Wh)), b);
  const part = (j: number): Tensor => slice(a, null, [j * h, (j + 1) * h]);
  const [i, f, o, g] = [sigmoid(part(0)), sigmoid(part(1)), sigmoid(part(2)), tanh(part(3))];
  const nextC = add(mul(f, prevC), mul(i, g));
  const tanhC = tanh(nextC);
  return [mul(o, tanhC), nextC, { x, prevH, prevC, Wx, Wh, gates: [i, f, o, g], tanhC }];
}

/** lstm_step_backward. */
export const lstmStepBackward: (dnextH: Tensor, dnextC: Tensor, cache: LstmStepCache) => LstmGradients = explicit(
  (dnextH, dnextC, { x, prevH, prevC, Wx, Wh, gates: [i, f, o, g], tanhC }) => {
    const dc = add(dnextC, mul(mul(dnextH, o), sub(1, mul(tanhC, tanhC))));
    const throughSigmoid = (dy: Tensor, y: Tensor): Tensor => mul(dy, mul(y, sub(1, y)));
    const da = cat(
      [
        throughSigmoid(mul(dc, g), i),
        throughSigmoid(mul(dc, prevC), f),
        throughSigmoid(mul(dnextH, tanhC), o),
        mul(mul(dc, i), sub(1, mul(g, g))),
      ],
      1,
    );
    const [dx, dprevH, dWx, dWh, db] = throughSum(da, x, prevH, Wx, Wh);
    return [dx, dprevH, mul(dc, f), dWx, dWh, db];
  },
);

/** lstm_forward over x [n, t, d] from h0 [n, h] and a cell of zeros: h [n, t, h]. */
export function lstmForward(
  x: Tensor,
  h0: Tensor,
  Wx: Tensor,
  Wh: Tensor,
  b: Tensor,
): [h: Tensor, caches: readonly LstmStepCache[]] {
  expect(x.ndim === 3 && x.shape[1]! > 0, "lstmForward", "x of shape [n,t,d] with at least one step", show(x.shape));
  const hs: Tensor[] = [];
  const caches: LstmStepCache[] = [];
  for (let t = 0, h = h0, c = zerosLike(h0); t < x.shape[1]!; t++) {
    const [nextH, nextC, cache] = lstmStepForward(at(x, t), h, c, Wx, Wh, b);
    [h, c] = [nextH, nextC];
    hs.push(h);
    caches.push(cache);
  }
  return [stack(hs, 1), caches];
}

/** lstm_backward: dh [n, t, h] to (dx, dh0, dWx, dWh, db). */
export const lstmBackward: (dh: Tensor, caches: readonly LstmStepCache[]) => RnnGradients = explicit((dh, caches) => {
  const dxs: Tensor[] = [];
  let total: RnnGradients | null = null;
  let dc = zerosLike(caches[0]!.prevC);
  for (let t = caches.length - 1; t >= 0; t--) {
    const dnext: Tensor = total === null ? at(dh, t) : add(at(dh, t), total[1]);
    const [dx, dprevH, dprevC, dWx, dWh, db] = lstmStepBackward(dnext, dc, caches[t]!);
    dc = dprevC;
    dxs.unshift(dx);
    total = addUp(total, [dx, dprevH, dWx, dWh, db]);
  }
  const [, dh0, dWx, dWh, db] = total!;
  return [stack(dxs, 1), dh0, dWx, dWh, db];
});

// ---- Words

/** What wordEmbeddingForward() keeps for wordEmbeddingBackward(). */
export type WordEmbeddingCache = readonly [ids: Tensor, shape: readonly [words: number, d: number]];

/** word_embedding_forward: rows of W [v, d] by word number, ids [n, t] to [n, t, d]. */
export function wordEmbeddingForward(ids: Tensor, W: Tensor): [out: Tensor, cache: WordEmbeddingCache] {
  const out = embedding(ids, W);
  return [out, [ids, [W.shape[0]!, W.shape[1]!]]];
}

/** word_embedding_backward: dout's rows added to the rows they came from. */
export const wordEmbeddingBackward: (dout: Tensor, cache: WordEmbeddingCache) => Tensor = explicit(
  (dout, [ids, [words, d]]) => {
    const dW = empty([words, d], dout.dtype);
    k.embeddingGrad(dW, dout, ids, words, d, ids.size, -1);
    return dW;
  },
);

/** What temporalAffineForward() keeps for temporalAffineBackward(). */
export type TemporalAffineCache = readonly [affine: AffineCache, n: number, t: number];

/** temporal_affine_forward: the same affine layer at every step, x [n, t, d] to [n, t, m]. */
export function temporalAffineForward(x: Tensor, w: Tensor, b: Tensor): [out: Tensor, cache: TemporalAffineCache] {
  expect(x.ndim === 3, "temporalAffineForward", "x of shape [n,t,d]", show(x.shape));
  const [n, t, d] = x.shape as [number, number, number];
  const [out, affine] = affineForward(reshape(x, [n * t, d]), w, b);
  return [reshape(out, [n, t, -1]), [affine, n, t]];
}

/** temporal_affine_backward. */
export const temporalAffineBackward: (
  dout: Tensor,
  cache: TemporalAffineCache,
) => [dx: Tensor, dw: Tensor, db: Tensor] = explicit((dout, [affine, n, t]) => {
  const [dx, dw, db] = affineBackward(reshape(dout, [n * t, -1]), affine);
  return [reshape(dx, [n, t, -1]), dw, db];
});

/**
 * temporal_softmax_loss: cross-entropy summed over steps and divided by n (not by n t); steps where the mask is 0 do not
 * count.
 *
 * @param x scores [n, t, words]
 * @param y labels [n, t]
 * @param mask [n, t], bool or numbers
 * @returns [loss, dx]
 */
export const temporalSoftmaxLoss: (x: Tensor, y: Tensor, mask: Tensor) => [loss: Tensor, dx: Tensor] = explicit(
  (x, y, mask) => {
    expect(x.ndim === 3, "temporalSoftmaxLoss", "scores of shape [n,t,words]", show(x.shape));
    const [n, t, words] = x.shape as [number, number, number];
    for (const [name, given] of [
      ["labels", y],
      ["a mask", mask],
    ] as const)
      expect(
        show(given.shape) === show([n, t]),
        "temporalSoftmaxLoss",
        `${name} of shape ${show([n, t])}`,
        show(given.shape),
      );
    const logs = logSoftmax(reshape(x, [n * t, words]), 1);
    const right = labelTable("temporalSoftmaxLoss", reshape(y, [n * t]), words, x.dtype);
    const counts = reshape(to(mask, x.dtype), [n * t, 1]);
    const loss = mul(sum(mul(mul(logs, right), counts)), -1 / n);
    return [loss, reshape(mul(mul(sub(exp(logs), right), counts), 1 / n), x.shape)];
  },
);
