/**
 * The explicit backwards against autograd: a forward is made of ops, so grad() of its output is the reference.
 */
import { classic, grad, manualSeed, nn, ones, randn, type Tensor, tensor, zeros } from "napier";
import { beforeEach, describe, expect, test } from "vitest";

beforeEach(() => void manualSeed(231));

const leaf = (...shape: number[]): Tensor => randn(shape, { dtype: "float64", requiresGrad: true });
const values = (t: Tensor): number[] => [...t.to("float64").dataSync("float64")];
function expectClose(got: Tensor, want: Tensor, tolerance = 1e-9): void {
  expect(got.shape).toEqual(want.shape);
  const [a, b] = [values(got), values(want)];
  const size = Math.max(...b.map(Math.abs), 1e-12);
  for (const [i, v] of a.entries()) expect(Math.abs(v - b[i]!) / size).toBeLessThan(tolerance);
}

/** Checks backward(dout, cache) of [out, cache] = forward() against autograd, for `inputs` in backward's order. */
function agree<C>(
  inputs: Tensor[],
  forward: () => readonly [Tensor, C],
  backward: (dout: Tensor, cache: C) => Tensor | readonly Tensor[],
): void {
  const [out, cache] = forward();
  const dout = randn(out.shape, { dtype: "float64" });
  const got = backward(dout, cache);
  const explicit = Array.isArray(got) ? (got as Tensor[]) : [got as Tensor];
  const wanted = grad(out, inputs, { gradOutputs: [dout] });
  expect(explicit.length).toBe(wanted.length);
  for (const [i, want] of wanted.entries()) {
    expect(explicit[i]!.requiresGrad).toBe(false);
    expectClose(explicit[i]!, want);
  }
}

describe("agrees with autograd", () => {
  test("affine, relu, affine_relu", () => {
    const [x, w, b] = [leaf(3, 2, 4), leaf(8, 5), leaf(5)];
    agree([x, w, b], () => classic.affineForward(x, w, b), classic.affineBackward);
    agree([x], () => classic.reluForward(x), classic.reluBackward);
    agree([x, w, b], () => classic.affineReluForward(x, w, b), classic.affineReluBackward);
  });

  test("dropout, which keeps with probability p", () => {
    const x = leaf(60, 50);
    agree([x], () => classic.dropoutForward(x, { p: 0.8, mode: "train" }), classic.dropoutBackward);
    const [out] = classic.dropoutForward(ones([100, 100]), { p: 0.8, mode: "train" });
    expect(out.notEqual(0).to("float32").mean().itemSync()).toBeCloseTo(0.8, 1);
    expect(out.amax().itemSync()).toBeCloseTo(1 / 0.8, 6);
    expect(classic.dropoutForward(x, { p: 0.8, mode: "test" })[0]).toBe(x);
  });

  test("batchnorm, in both forms and modes", () => {
    const [x, gamma, beta] = [leaf(7, 4), leaf(4), leaf(4)];
    for (const backward of [classic.batchnormBackward, classic.batchnormBackwardAlt]) {
      agree([x, gamma, beta], () => classic.batchnormForward(x, gamma, beta, { mode: "train" }), backward);
      const still = {
        mode: "test",
        runningMean: randn([4]).to("float64"),
        runningVar: ones([4]).to("float64"),
      } as const;
      agree([x, gamma, beta], () => classic.batchnormForward(x, gamma, beta, { ...still }), backward);
    }
  });

  test("batchnorm's running statistics are CS231n's: momentum weighs the old value, the variance is biased", () => {
    const x = leaf(7, 4);
    const param: classic.BatchnormParam = { mode: "train", momentum: 0.7 };
    const same = [ones([4]).to("float64"), zeros([4]).to("float64")] as const;
    for (let i = 0; i < 2; i++) classic.batchnormForward(x, ...same, param);
    expectClose(param.runningMean!, x.mean(0).mul(1 - 0.7 ** 2));
    expectClose(param.runningVar!, x.variance(0, { correction: 0 }).mul(1 - 0.7 ** 2));
  });

  test("layernorm, spatial batchnorm, spatial groupnorm", () => {
    const [x, gamma, beta] = [leaf(5, 6), leaf(6), leaf(6)];
    agree([x, gamma, beta], () => classic.layernormForward(x, gamma, beta), classic.layernormBackward);
    const pictures = leaf(2, 6, 3, 4);
    const batch = () => classic.spatialBatchnormForward(pictures, gamma, beta, { mode: "train" });
    agree([pictures, gamma, beta], batch, classic.spatialBatchnormBackward);
    for (const groups of [1, 2, 3, 6])
      agree(
        [pictures, gamma, beta],
        () => classic.spatialGroupnormForward(pictures, gamma, beta, groups),
        classic.spatialGroupnormBackward,
      );
  });

  test("conv and pool, naive and fast", () => {
    const [x, w, b] = [leaf(2, 3, 6, 5), leaf(4, 3, 3, 2), leaf(4)];
    for (const param of [
      { stride: 1, pad: 0 },
      { stride: 2, pad: 1 },
    ]) {
      agree([x, w, b], () => classic.convForwardNaive(x, w, b, param), classic.convBackwardNaive);
      agree([x, w, b], () => classic.convForwardFast(x, w, b, param), classic.convBackwardFast);
    }
    for (const param of [
      { poolHeight: 2, poolWidth: 2, stride: 2 },
      { poolHeight: 3, poolWidth: 2, stride: 1 },
    ]) {
      agree([x], () => classic.maxPoolForwardNaive(x, param), classic.maxPoolBackwardNaive);
      agree([x], () => classic.maxPoolForwardFast(x, param), classic.maxPoolBackwardFast);
    }
  });

  test("RNN step and sequence", () => {
    const [h0, Wx, Wh, b] = [leaf(2, 3), leaf(4, 3), leaf(3, 3), leaf(3)];
    const step = leaf(2, 4);
    agree([step, h0, Wx, Wh, b], () => classic.rnnStepForward(step, h0, Wx, Wh, b), classic.rnnStepBackward);
    const x = leaf(2, 5, 4);
    agree([x, h0, Wx, Wh, b], () => classic.rnnForward(x, h0, Wx, Wh, b), classic.rnnBackward);
  });

  test("LSTM step and sequence", () => {
    const [h0, c0, Wx, Wh, b] = [leaf(2, 3), leaf(2, 3), leaf(4, 12), leaf(3, 12), leaf(12)];
    const x = leaf(2, 4);
    const [nextH, nextC, cache] = classic.lstmStepForward(x, h0, c0, Wx, Wh, b);
    const [dh, dc] = [randn([2, 3], { dtype: "float64" }), randn([2, 3], { dtype: "float64" })];
    const wanted = grad([nextH, nextC], [x, h0, c0, Wx, Wh, b], { gradOutputs: [dh, dc] });
    for (const [i, got] of classic.lstmStepBackward(dh, dc, cache).entries()) expectClose(got, wanted[i]!);
    const sequence = leaf(2, 5, 4);
    agree([sequence, h0, Wx, Wh, b], () => classic.lstmForward(sequence, h0, Wx, Wh, b), classic.lstmBackward);
  });

  test("word embedding and temporal affine", () => {
    const W = leaf(5, 3);
    const ids = tensor(new Int32Array([0, 3, 1, 3, 3, 2]), [2, 3]);
    agree([W], () => classic.wordEmbeddingForward(ids, W), classic.wordEmbeddingBackward);
    const [x, w, b] = [leaf(2, 3, 4), leaf(4, 5), leaf(5)];
    agree([x, w, b], () => classic.temporalAffineForward(x, w, b), classic.temporalAffineBackward);
  });

  test("losses", () => {
    const x = leaf(6, 4);
    const y = tensor(new Int32Array([0, 3, 1, 2, 2, 0]));
    const [softmax, dsoftmax] = classic.softmaxLoss(x, y);
    const entropy = nn.crossEntropy(x, y);
    expect(softmax.itemSync()).toBeCloseTo(entropy.itemSync(), 12);
    expectClose(dsoftmax, grad(entropy, [x])[0]!);
    const [svm, dsvm] = classic.svmLoss(x, y);
    const hinge = nn.hinge(x, y);
    expect(svm.itemSync()).toBeCloseTo(hinge.itemSync(), 12);
    expectClose(dsvm, grad(hinge, [x])[0]!);
    const scores = leaf(2, 3, 4);
    const mask = tensor([
      [1, 1, 0],
      [1, 0, 0],
    ]);
    const [loss, dscores] = classic.temporalSoftmaxLoss(scores, y.reshape([2, 3]), mask);
    const counts = mask.to("float64").flatten();
    const want = nn
      .crossEntropy(scores.reshape([6, 4]), y, { reduction: "none" })
      .mul(counts)
      .sum()
      .div(2);
    expect(loss.itemSync()).toBeCloseTo(want.itemSync(), 12);
    expectClose(dscores, grad(want, [scores])[0]!);
  });

  test.each([null, "batchnorm", "layernorm"] as const)("FullyConnectedNet with normalization %s", (normalization) => {
    const options = { inputDim: 5, classes: 3, normalization, reg: 0.3, weightScale: 0.5, dtype: "float64" } as const;
    const net = new classic.FullyConnectedNet([6, 4], options);
    const x = randn([7, 5], { dtype: "float64" });
    const y = tensor(new Int32Array([0, 1, 2, 0, 1, 2, 0]));
    const { grads } = net.loss(x, y);
    for (const [name, got] of Object.entries(grads)) {
      // Central differences of a few entries: the loss itself is no graph.
      const w = net.params[name]!;
      const data = values(w);
      for (const at of [0, data.length - 1]) {
        const moved = (by: number) => {
          const changed = [...data];
          changed[at]! += by;
          net.params[name] = tensor(changed, w.shape, { dtype: "float64" });
          return net.loss(x, y).loss.itemSync();
        };
        const numerical = (moved(1e-5) - moved(-1e-5)) / 2e-5;
        net.params[name] = w;
        expect(Math.abs(numerical - values(got)[at]!)).toBeLessThan(1e-5 * Math.max(1, Math.abs(numerical)));
      }
    }
  });
});

describe("errors name what was expected", () => {
  const x = zeros([2, 3]);
  test.each([
    ["affineForward", () => classic.affineForward(x, zeros([4, 2]), zeros([2])), /x with 4 elements a row/],
    ["dropoutForward", () => classic.dropoutForward(x, { p: 0, mode: "train" }), /probability to keep/],
    ["batchnormForward", () => classic.batchnormForward(x, zeros([2]), zeros([3]), { mode: "train" }), /gamma with 3/],
    [
      "groups",
      () => classic.spatialGroupnormForward(zeros([1, 4, 2, 2]), zeros([4]), zeros([4]), 3),
      /groups that divide 4/,
    ],
    ["convForwardNaive", () => classic.convForwardNaive(x, x, x, { stride: 1, pad: 0 }), /x \[n,c,h,w\]/],
    ["rnnStepForward", () => classic.rnnStepForward(x, zeros([2, 4]), x, x, x), /x \[n,d\], h \[n,h\]/],
    ["svmLoss", () => classic.svmLoss(x, tensor(new Int32Array([0, 3]))), /labels between 0 and 2, got 3/],
    ["softmaxLoss", () => classic.softmaxLoss(x, tensor(new Int32Array([0]))), /labels of shape \[2\]/],
    [
      "maxPoolBackwardFast",
      () => classic.maxPoolBackwardFast(x, [x, { poolHeight: 1, poolWidth: 1, stride: 1 }, null]),
      /cache of maxPoolForwardFast/,
    ],
  ])("%s", (_, call, message) => {
    expect(call).toThrow(message);
  });
});
