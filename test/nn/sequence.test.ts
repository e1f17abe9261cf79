/** @file Recurrent and transformer layers beyond PyTorch's fixtures: shapes, masks, lengths, errors, dtypes, dropout. */
import { arange, Generator, gradcheck, greater, nn, ones, randn, type Tensor, tensor } from "napier";
import { describe, expect, test } from "vitest";

const near = (a: Tensor, b: Tensor, tolerance = 1e-5) => {
  expect([...a.shape]).toEqual([...b.shape]);
  expect(a.sub(b).abs().amax().itemSync()).toBeLessThan(tolerance);
};

describe("MultiheadAttention", () => {
  test("batchFirst is the transpose", () => {
    const a = new nn.MultiheadAttention(8, 2);
    const b = new nn.MultiheadAttention(8, 2, { batchFirst: true });
    b.loadStateDict(a.stateDict());
    const [q, k] = [randn([3, 2, 8]), randn([5, 2, 8])];
    const [y] = a.forward(q, k, k);
    const [z] = b.forward(q.transpose(0, 1), k.transpose(0, 1), k.transpose(0, 1));
    near(y, z.transpose(0, 1));
  });
  test("isCausal and its mask agree; weights are 0 where nothing may be seen", () => {
    const a = new nn.MultiheadAttention(8, 2);
    const x = randn([4, 3, 8]);
    const attnMask = greater(arange(4), arange(4).unsqueeze(1));
    near(a.forward(x, x, x, { isCausal: true })[0], a.forward(x, x, x, { attnMask })[0]);
    const [y, w] = a.forward(x, x, x, { attnMask, needWeights: true });
    near(y, a.forward(x, x, x, { attnMask })[0]);
    expect([...w!.shape]).toEqual([3, 4, 4]);
    expect(w!.slice(0, 0).toArraySync()).toEqual([1, 0, 0, 0]);
  });
  test("dropout of weights in training only, by its generator", () => {
    const make = () => new nn.MultiheadAttention(8, 2, { dropout: 0.5, generator: new Generator(3) });
    const [a, b] = [make(), make()];
    b.loadStateDict(a.stateDict());
    const x = randn([4, 3, 8]);
    const first = a.forward(x, x, x)[0];
    near(first, b.forward(x, x, x)[0], 1e-9);
    expect(
      first
        .sub(a.forward(x, x, x)[0])
        .abs()
        .amax()
        .itemSync(),
    ).toBeGreaterThan(1e-3);
    a.eval();
    near(a.forward(x, x, x)[0], a.forward(x, x, x)[0], 1e-9);
  });
  test("float64", () => {
    const a = new nn.MultiheadAttention(4, 2, { dtype: "float64" });
    const x = randn([3, 1, 4], { dtype: "float64", requiresGrad: true });
    gradcheck((t) => a.forward(t, t, t)[0], [x]);
  });
  test("errors", () => {
    expect(() => new nn.MultiheadAttention(8, 3)).toThrow(
      /MultiheadAttention: expected a number of heads that divides the 8/,
    );
    const a = new nn.MultiheadAttention(8, 2);
    const x = randn([4, 3, 8]);
    expect(() => a.forward(x, x, x, { attnMask: ones([3, 4]) })).toThrow(
      /MultiheadAttention: expected an attnMask of shape \[4,4\] or \[6,4,4\], got \[3,4\]/,
    );
    expect(() => a.forward(x, x, x, { keyPaddingMask: ones([4, 3]) })).toThrow(
      /MultiheadAttention: expected a keyPaddingMask of shape \[3,4\], got \[4,3\]/,
    );
    expect(() => a.forward(x, randn([4, 2, 8]), randn([4, 2, 8]))).toThrow(/expected keys and values for a batch of 3/);
    expect(() => a.forward(randn([8]), randn([8]), randn([8]))).toThrow(/with 3 dimensions, or 2 without a batch/);
  });
});

describe("transformers", () => {
  const small = { dimFeedforward: 8, dropout: 0, batchFirst: true };
  test("an encoder is its layers, and a norm", () => {
    const norm = new nn.LayerNorm(8);
    const encoder = new nn.TransformerEncoder(() => new nn.TransformerEncoderLayer(8, 2, small), 2, { norm });
    const x = randn([2, 3, 8]);
    near(encoder.forward(x), norm.forward(encoder.layers.at(1).forward(encoder.layers.at(0).forward(x))));
    expect(Object.keys(encoder.stateDict())).toContain("layers.1.self_attn.out_proj.weight");
  });
  test("padding never reaches what is not padded", () => {
    const net = new nn.Transformer({ dModel: 8, nhead: 2, numEncoderLayers: 1, numDecoderLayers: 1, ...small }).eval();
    const [src, tgt] = [randn([1, 4, 8]), randn([1, 3, 8])];
    const longer = tensor([...src.dataSync(), ...randn([16]).dataSync()], [1, 6, 8]);
    const padding = tensor([0, 0, 0, 0, 1, 1], [1, 6]).to("bool");
    const masks = { srcKeyPaddingMask: padding, memoryKeyPaddingMask: padding };
    near(net.forward(longer, tgt, masks), net.forward(src, tgt));
  });
  test("the mask of what follows", () => {
    const [zero, away] = [0, Number.NEGATIVE_INFINITY];
    expect(nn.Transformer.generateSquareSubsequentMask(2).toArraySync()).toEqual([
      [zero, away],
      [zero, zero],
    ]);
  });
  test("another activation, and one that is not known", () => {
    const layer = new nn.TransformerEncoderLayer(8, 2, { ...small, activation: (x) => x.silu() });
    expect([...layer.forward(randn([2, 3, 8])).shape]).toEqual([2, 3, 8]);
    expect(() => new nn.TransformerEncoderLayer(8, 2, { activation: "swish" as "relu" })).toThrow(
      /TransformerEncoderLayer: expected an activation relu or gelu, or a function, got "swish"/,
    );
  });
  test("positions", () => {
    const encoding = new nn.PositionalEncoding(5, { dropout: 0, maxLength: 10, batchFirst: true });
    const y = encoding.forward(ones([1, 3, 5]).mul(0));
    const [row] = y.slice(0, [2, 3]).toArraySync() as number[][];
    const angle = (j: number) => 2 / 10_000 ** ((2 * j) / 5);
    const want = [Math.sin(angle(0)), Math.cos(angle(0)), Math.sin(angle(1)), Math.cos(angle(1)), Math.sin(angle(2))];
    for (const [j, v] of row!.entries()) expect(v).toBeCloseTo(want[j]!, 5);
    expect(Object.keys(encoding.stateDict())).toEqual([]);
    expect(() => encoding.forward(ones([1, 11, 5]))).toThrow(
      /PositionalEncoding: expected x with 3 dimensions, 5 features/,
    );
  });
});

describe("recurrent layers", () => {
  test("lengths: each sequence as if it were alone", () => {
    for (const make of [nn.RNN, nn.LSTM, nn.GRU]) {
      const net = new make(3, 4, { bidirectional: true, numLayers: 2 });
      const forward = net.forward.bind(net) as (x: Tensor, s?: undefined, o?: nn.SequenceOptions) => [Tensor, unknown];
      const x = randn([5, 2, 3]);
      const [y] = forward(x, undefined, { lengths: [5, 2] });
      near(y.slice(null, [0, 1]), forward(x.slice(null, [0, 1]))[0]);
      near(y.slice([0, 2], [1, 2]), forward(x.slice([0, 2], [1, 2]))[0]);
      expect(y.slice([2, 5], [1, 2]).abs().sum().itemSync()).toBe(0);
    }
  });
  test("a layer is its cell, step after step", () => {
    const [net, cell] = [new nn.LSTM(3, 4), new nn.LSTMCell(3, 4)];
    const state = net.stateDict();
    cell.loadStateDict(Object.fromEntries(Object.entries(state).map(([key, t]) => [key.replace("_l0", ""), t])));
    const x = randn([3, 2, 3]);
    let last: [Tensor?, Tensor?] = [];
    for (let i = 0; i < 3; i++) last = cell.forward(x.slice(i), last);
    const [, [h, c]] = net.forward(x);
    near(h.slice(0), last[0]!);
    near(c.slice(0), last[1]!);
  });
  test("gradients in float64", () => {
    const net = new nn.GRU(2, 3, { bidirectional: true, dtype: "float64" });
    const x = randn([3, 2, 2], { dtype: "float64", requiresGrad: true });
    gradcheck((t, ..._) => net.forward(t, undefined, { lengths: [3, 1] })[0], [x, ...net.parameters()], {
      numChecks: 12,
    });
  });
  test("dropout between layers, in training", () => {
    const net = new nn.RNN(3, 8, { numLayers: 2, dropout: 0.5 });
    const x = randn([4, 2, 3]);
    expect(net.forward(x)[0].sub(net.forward(x)[0]).abs().amax().itemSync()).toBeGreaterThan(0);
    net.eval();
    near(net.forward(x)[0], net.forward(x)[0], 1e-9);
  });
  test("lengths as a tensor", () => {
    const net = new nn.GRU(3, 4, { batchFirst: true });
    const x = randn([2, 5, 3]);
    const [a] = net.forward(x, undefined, { lengths: tensor([2, 5], { dtype: "int32" }) });
    near(a, net.forward(x, undefined, { lengths: [2, 5] })[0], 1e-9);
  });
  test("errors", () => {
    const net = new nn.LSTM(3, 4);
    const x = randn([5, 2, 3]);
    expect(() => net.forward(randn([5, 2, 2]))).toThrow(
      /LSTM: expected x of shape \[t,n,3\] or \[t,3\], got \[5,2,2\]/,
    );
    expect(() => net.forward(x, [randn([1, 3, 4])])).toThrow(
      /LSTM: expected a state of shape \[1,2,4\], got \[1,3,4\]/,
    );
    expect(() => net.forward(x, [], { lengths: [5] })).toThrow(
      /LSTM: expected 2 lengths, one for each sequence, got 1/,
    );
    expect(() => net.forward(x, [], { lengths: [6, 1] })).toThrow(
      /LSTM: expected lengths that are integers from 1 to 5/,
    );
    expect(() => net.forward(x, [], { lengths: [1.5, 1] })).toThrow(/LSTM: expected lengths that are integers/);
    expect(() => net.forward(randn([0, 2, 3]))).toThrow(/LSTM: expected at least one step/);
    expect(() => new nn.LSTM(3, 4, { projSize: 4 })).toThrow(/LSTM: expected a projSize from 0 to 3, got 4/);
    expect(() => new nn.RNN(3, 4, { nonlinearity: "elu" as "relu" })).toThrow(
      /RNN: expected a nonlinearity tanh or relu/,
    );
    expect(() => new nn.GRUCell(3, 4).forward(randn([2, 3]), randn([3, 4]))).toThrow(
      /GRUCell: expected a state of shape \[2,4\], got \[3,4\]/,
    );
    expect(() => new nn.LSTMCell(3, 4).forward(randn([2, 2]))).toThrow(
      /LSTMCell: expected x of shape \[n,3\] or \[3\]/,
    );
  });
});

describe("Bilinear and EmbeddingBag", () => {
  test("keys and errors", () => {
    expect(Object.keys(new nn.Bilinear(2, 3, 4).stateDict())).toEqual(["weight", "bias"]);
    const bag = new nn.EmbeddingBag(6, 3, { paddingIndex: -1, mode: "sum" });
    expect(bag.weight.slice(5).abs().sum().itemSync()).toBe(0);
    const ids = tensor(
      [
        [1, 5],
        [5, 5],
      ],
      { dtype: "int32" },
    );
    near(bag.forward(ids), bag.weight.slice([1, 2]).mul(tensor([[1], [0]])));
    expect(() => new nn.EmbeddingBag(6, 3, { paddingIndex: 6 })).toThrow(
      /EmbeddingBag: expected a paddingIndex from -6 to 5/,
    );
    expect(() => new nn.Bilinear(0, 1, 1)).toThrow(
      /Bilinear: expected a number of features of the first input from 1 up/,
    );
  });
});
