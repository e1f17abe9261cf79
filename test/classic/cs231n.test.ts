/**
 * The numbers that CS231n's notebooks publish ("CS231n assignment N, notebook"), to their tolerances: inputs are linspace
 * there, or numpy's seeded draws (test/fixtures/make_classic.py).
 */
import { readFileSync } from "node:fs";
import { classic, linspace, manualSeed, randn, type Tensor, tensor } from "napier";
import { beforeEach, describe, expect, test } from "vitest";

beforeEach(() => void manualSeed(231));

const f64 = { dtype: "float64" } as const;
const grid = (low: number, high: number, ...shape: number[]): Tensor =>
  linspace(
    low,
    high,
    shape.reduce((n, e) => n * e, 1),
    f64,
  ).reshape(shape);
const values = (t: Tensor): number[] => [...t.to("float64").dataSync("float64")];
const labels = (...ids: number[]): Tensor => tensor(new Int32Array(ids));

/** CS231n's rel_error: max |x - y| / max(1e-8, |x| + |y|). */
function relError(x: readonly number[], y: readonly number[]): number {
  expect(x.length).toBe(y.length);
  return x.reduce((m, v, i) => Math.max(m, Math.abs(v - y[i]!) / Math.max(1e-8, Math.abs(v) + Math.abs(y[i]!))), 0);
}
const expectError = (got: Tensor, published: number[], tolerance: number): void =>
  expect(relError(values(got), published)).toBeLessThan(tolerance);

const fixture: Record<string, number[]> = JSON.parse(
  readFileSync(new URL("../fixtures/classic.json", import.meta.url), "utf8"),
);

describe("CS231n assignment 1", () => {
  const net = () => {
    const toy = new classic.TwoLayerNet(4, 10, 3, f64);
    Object.assign(toy.params, { W1: tensor(fixture.toyW1, [4, 10], f64), W2: tensor(fixture.toyW2, [10, 3], f64) });
    return toy;
  };
  const x = tensor(fixture.toyX, [5, 4], f64);

  test("two_layer_net: scores of the toy network", () => {
    // biome-ignore format: as published
    const published = [
      -0.81233741, -1.27654624, -0.70335995, -0.17129677, -1.18803311, -0.47310444, -0.51590475, -1.01354314,
      -0.8504215, -0.15419291, -0.48629638, -0.52901952, -0.00618733, -0.12435261, -0.15226949,
    ];
    const difference = values(net().scores(x)).reduce((sum, v, i) => sum + Math.abs(v - published[i]!), 0);
    expect(difference).toBeLessThan(1e-7);
  });

  test("two_layer_net: loss of the toy network", () => {
    const { loss } = net().loss(x, labels(0, 1, 2, 2, 1), 0.05);
    expect(Math.abs(loss.itemSync() - 1.30378789133)).toBeLessThan(1e-11);
  });

  test("softmax: the loss of small random weights is near -log 0.1", async () => {
    const W = randn([3073, 10], f64).mul(1e-4);
    const some = randn([50, 3073], f64);
    const y = tensor(Int32Array.from({ length: 50 }, (_, i) => i % 10));
    const [loss] = classic.softmaxLossVectorised(W, some, y, 0);
    expect(Math.abs((await loss.item()) + Math.log(0.1))).toBeLessThan(1e-2);
  });

  test("svm: the loss of small random weights is near 9, a margin of 1 for each wrong class", async () => {
    const W = randn([3073, 10], f64).mul(1e-4);
    const some = randn([50, 3073], f64);
    const y = tensor(Int32Array.from({ length: 50 }, (_, i) => i % 10));
    const [loss] = classic.svmLossVectorised(W, some, y, 5e-6);
    expect(Math.abs((await loss.item()) - 9)).toBeLessThan(5e-2);
  });
});

describe("CS231n assignment 2", () => {
  test("FullyConnectedNets: affine_forward", () => {
    const [out] = classic.affineForward(grid(-0.1, 0.5, 2, 4, 5, 6), grid(-0.2, 0.3, 120, 3), grid(-0.3, 0.1, 3));
    expectError(out, [1.49834967, 1.70660132, 1.91485297, 3.25553199, 3.5141327, 3.77273342], 1e-8);
  });

  test("FullyConnectedNets: relu_forward", () => {
    const [out] = classic.reluForward(grid(-0.5, 0.5, 3, 4));
    // biome-ignore format: as published
    expectError(out, [0, 0, 0, 0, 0, 0, 0.04545455, 0.13636364, 0.22727273, 0.31818182, 0.40909091, 0.5], 1e-7);
  });

  test("FullyConnectedNets: svm_loss and softmax_loss on small random scores", () => {
    const x = randn([50, 10], f64).mul(1e-3);
    const y = tensor(Int32Array.from({ length: 50 }, (_, i) => (i * 7) % 10));
    expect(Math.abs(classic.svmLoss(x, y)[0].itemSync() - 9)).toBeLessThan(1e-2);
    expect(Math.abs(classic.softmaxLoss(x, y)[0].itemSync() - Math.LN10)).toBeLessThan(1e-3);
  });

  test("FullyConnectedNets: scores and losses of the two-layer network", () => {
    const [n, d, h, c] = [3, 5, 50, 7];
    const net = new classic.FullyConnectedNet([h], { inputDim: d, classes: c, ...f64 });
    Object.assign(net.params, {
      W1: grid(-0.7, 0.3, d, h),
      b1: grid(-0.1, 0.9, h),
      W2: grid(-0.3, 0.4, h, c),
      b2: grid(-0.9, 0.1, c),
    });
    const x = grid(-5.5, 4.5, d, n).t();
    // biome-ignore format: as published
    const published = [
      11.53165108, 12.2917344, 13.05181771, 13.81190102, 14.57198434, 15.33206765, 16.09215096, 12.05769098,
      12.74614105, 13.43459113, 14.1230412, 14.81149128, 15.49994135, 16.18839143, 12.58373087, 13.20054771,
      13.81736455, 14.43418138, 15.05099822, 15.66781506, 16.2846319,
    ];
    const difference = values(net.scores(x)).reduce((sum, v, i) => sum + Math.abs(v - published[i]!), 0);
    expect(difference).toBeLessThan(1e-6);
    const y = labels(0, 5, 1);
    expect(Math.abs(net.loss(x, y).loss.itemSync() - 3.4702243556)).toBeLessThan(1e-10);
    net.reg = 1;
    expect(Math.abs(net.loss(x, y).loss.itemSync() - 26.5948426952)).toBeLessThan(1e-10);
  });

  const [w, dw] = [grid(-0.4, 0.6, 4, 5), grid(-0.6, 0.4, 4, 5)];

  test("FullyConnectedNets: sgd_momentum", () => {
    const [next, config] = classic.sgdMomentum(w, dw, { learningRate: 1e-3, velocity: grid(0.6, 0.9, 4, 5) });
    // biome-ignore format: as published
    expectError(next, [
      0.1406, 0.20738947, 0.27417895, 0.34096842, 0.40775789, 0.47454737, 0.54133684, 0.60812632, 0.67491579,
      0.74170526, 0.80849474, 0.87528421, 0.94207368, 1.00886316, 1.07565263, 1.14244211, 1.20923158, 1.27602105,
      1.34281053, 1.4096,
    ], 1e-8);
    // biome-ignore format: as published
    expectError(config.velocity!, [
      0.5406, 0.55475789, 0.56891579, 0.58307368, 0.59723158, 0.61138947, 0.62554737, 0.63970526, 0.65386316,
      0.66802105, 0.68217895, 0.69633684, 0.71049474, 0.72465263, 0.73881053, 0.75296842, 0.76712632, 0.78128421,
      0.79544211, 0.8096,
    ], 1e-8);
  });

  test("FullyConnectedNets: rmsprop", () => {
    const [next, config] = classic.rmsprop(w, dw, { learningRate: 1e-2, cache: grid(0.6, 0.9, 4, 5) });
    // biome-ignore format: as published
    expectError(next, [
      -0.39223849, -0.34037513, -0.28849239, -0.23659121, -0.18467247, -0.132737, -0.08078555, -0.02881884, 0.02316247,
      0.07515774, 0.12716641, 0.17918792, 0.23122175, 0.28326742, 0.33532447, 0.38739248, 0.43947102, 0.49155973,
      0.54365823, 0.59576619,
    ], 1e-6);
    // biome-ignore format: as published
    expectError(config.cache!, [
      0.5976, 0.6126277, 0.6277108, 0.64284931, 0.65804321, 0.67329252, 0.68859723, 0.70395734, 0.71937285, 0.73484377,
      0.75037008, 0.7659518, 0.78158892, 0.79728144, 0.81302936, 0.82883269, 0.84469141, 0.86060554, 0.87657507, 0.8926,
    ], 1e-8);
  });

  test("FullyConnectedNets: adam", () => {
    const given = { learningRate: 1e-2, m: grid(0.6, 0.9, 4, 5), v: grid(0.7, 0.5, 4, 5), t: 5 };
    const [next, config] = classic.adam(w, dw, given);
    // biome-ignore format: as published
    expectError(next, [
      -0.40094747, -0.34836187, -0.29577703, -0.24319299, -0.19060977, -0.1380274, -0.08544591, -0.03286534, 0.01971428,
      0.0722929, 0.1248705, 0.17744702, 0.23002243, 0.28259667, 0.33516969, 0.38774145, 0.44031188, 0.49288093,
      0.54544852, 0.59801459,
    ], 1e-6);
    // biome-ignore format: as published
    expectError(config.v!, [
      0.69966, 0.68908382, 0.67851319, 0.66794809, 0.65738853, 0.64683452, 0.63628604, 0.6257431, 0.61520571, 0.60467385,
      0.59414753, 0.58362676, 0.57311152, 0.56260183, 0.55209767, 0.54159906, 0.53110598, 0.52061845, 0.51013645, 0.49966,
    ], 1e-8);
    // biome-ignore format: as published
    expectError(config.m!, [
      0.48, 0.49947368, 0.51894737, 0.53842105, 0.55789474, 0.57736842, 0.59684211, 0.61631579, 0.63578947, 0.65526316,
      0.67473684, 0.69421053, 0.71368421, 0.73315789, 0.75263158, 0.77210526, 0.79157895, 0.81105263, 0.83052632, 0.85,
    ], 1e-8);
    expect(config.t).toBe(6);
  });

  test.each([
    ["FullyConnectedNets", null, [2.3004790897684924, 7.052114776533016]],
    ["BatchNormalization", "batchnorm", [2.2611955101340957, 6.996533220108303]],
  ] as const)(
    "%s: initial losses of two hidden layers, without and with regulariser",
    (_, normalization, published) => {
      const y = labels(...fixture.deepY!);
      const x = tensor(fixture.deepX!, [y.size, 15], f64);
      const shapes = [
        [15, 20],
        [20, 30],
        [30, 10],
      ];
      for (const [turn, reg] of [0, 3.14].entries()) {
        const net = new classic.FullyConnectedNet([20, 30], { inputDim: 15, classes: 10, normalization, reg, ...f64 });
        for (const [i, shape] of shapes.entries())
          net.params[`W${i + 1}`] = tensor(fixture[`deep${turn + 1}W${i + 1}`]!, shape, f64);
        expect(Math.abs(net.loss(x, y).loss.itemSync() / published[turn]! - 1)).toBeLessThan(1e-13);
      }
    },
  );

  test("BatchNormalization: means and deviations before and after batchnorm_forward", () => {
    const a = tensor(fixture.activations, [200, 3], f64);
    const deviations = (t: Tensor, axis: number) => t.variance(axis, { correction: 0 }).sqrt();
    expectError(a.mean(0), [-2.3814598, -13.18038246, 1.91780462], 1e-8);
    expectError(deviations(a, 0), [27.18502186, 34.21455511, 37.68611762], 1e-8);
    const [gamma, beta] = [tensor([1, 2, 3], f64), tensor([11, 12, 13], f64)];
    const param: classic.BatchnormParam = { mode: "train" };
    const [out] = classic.batchnormForward(a, gamma, beta, param);
    expectError(out.mean(0), [11, 12, 13], 1e-12);
    expectError(deviations(out, 0), [1, 2, 3], 1e-7); // 0.99999999, 1.99999999, 2.99999999
    // The notebook's check of test mode: running averages after many batches give means near 0, deviations near 1.
    for (let i = 0; i < 50; i++) classic.batchnormForward(randn([200, 3], f64).mul(5), gamma, beta, param);
    const [still] = classic.batchnormForward(randn([200, 3], f64).mul(5), gamma, beta, { ...param, mode: "test" });
    for (const [i, v] of values(still.mean(0)).entries()) expect(Math.abs(v - (11 + i))).toBeLessThan(0.5 * (i + 1));
  });

  test("BatchNormalization: rows before and after layernorm_forward", () => {
    const a = tensor(fixture.activationRows!, [4, 3], f64);
    const deviations = (t: Tensor) => t.variance(1, { correction: 0 }).sqrt();
    expectError(a.mean(1), [-59.06673243, -47.60782686, -43.31137368, -26.40991744], 1e-8);
    expectError(deviations(a), [10.07429373, 28.39478981, 35.28360729, 4.01831507], 1e-8);
    const [plain] = classic.layernormForward(a, grid(1, 1, 3), grid(0, 0, 3));
    for (const v of values(plain.mean(1))) expect(Math.abs(v)).toBeLessThan(1e-14);
    expectError(deviations(plain), [0.99999995, 0.99999999, 1, 0.99999969], 1e-8);
    const [out] = classic.layernormForward(a, grid(3, 3, 3), grid(5, 5, 3));
    expectError(out.mean(1), [5, 5, 5, 5], 1e-14);
    expectError(deviations(out), [2.99999985, 2.99999998, 2.99999999, 2.99999907], 1e-8);
  });

  test("ConvolutionalNetworks: conv_forward, naive and fast", () => {
    const [x, w, b] = [grid(-0.1, 0.5, 2, 3, 4, 4), grid(-0.2, 0.3, 3, 3, 4, 4), grid(-0.1, 0.2, 3)];
    // biome-ignore format: as published
    const published = [
      -0.08759809, -0.10987781, -0.18387192, -0.2109216, 0.21027089, 0.21661097, 0.22847626, 0.23004637, 0.50813986,
      0.54309974, 0.64082444, 0.67101435, -0.98053589, -1.03143541, -1.19128892, -1.24695841, 0.69108355, 0.66880383,
      0.59480972, 0.56776003, 2.36270298, 2.36904306, 2.38090835, 2.38247847,
    ];
    for (const forward of [classic.convForwardNaive, classic.convForwardFast])
      expectError(forward(x, w, b, { stride: 2, pad: 1 })[0], published, 1e-7);
  });

  test("ConvolutionalNetworks: max_pool_forward, naive and fast", () => {
    const x = grid(-0.3, 0.4, 2, 3, 4, 4);
    // biome-ignore format: as published
    const published = [
      -0.26315789, -0.24842105, -0.20421053, -0.18947368, -0.14526316, -0.13052632, -0.08631579, -0.07157895, -0.02736842,
      -0.01263158, 0.03157895, 0.04631579, 0.09052632, 0.10526316, 0.14947368, 0.16421053, 0.20842105, 0.22315789,
      0.26736842, 0.28210526, 0.32631579, 0.34105263, 0.38526316, 0.4,
    ];
    for (const forward of [classic.maxPoolForwardNaive, classic.maxPoolForwardFast])
      expectError(forward(x, { poolHeight: 2, poolWidth: 2, stride: 2 })[0], published, 1e-7);
  });

  test("ConvolutionalNetworks: spatial batch and group normalisation", () => {
    const x = randn([2, 6, 4, 5], f64).mul(4).add(10);
    const [ones, zeros] = [grid(1, 1, 6), grid(0, 0, 6)];
    const [batch] = classic.spatialBatchnormForward(x, ones, zeros, { mode: "train" });
    for (const v of values(batch.mean([0, 2, 3]))) expect(Math.abs(v)).toBeLessThan(1e-12);
    expectError(batch.variance([0, 2, 3], { correction: 0 }), [1, 1, 1, 1, 1, 1], 1e-5);
    const [group] = classic.spatialGroupnormForward(x, ones, zeros, 2);
    const rows = group.reshape([4, -1]);
    for (const v of values(rows.mean(1))) expect(Math.abs(v)).toBeLessThan(1e-12);
    expectError(rows.variance(1, { correction: 0 }), [1, 1, 1, 1], 1e-5);
  });
});

describe("CS231n assignment 3", () => {
  test("RNN_Captioning: rnn_step_forward", () => {
    const weights = [grid(-0.1, 0.9, 10, 4), grid(-0.3, 0.7, 4, 4), grid(-0.2, 0.4, 4)] as const;
    const [next] = classic.rnnStepForward(grid(-0.4, 0.7, 3, 10), grid(-0.2, 0.5, 3, 4), ...weights);
    // biome-ignore format: as published
    expectError(next, [
      -0.58172089, -0.50182032, -0.41232771, -0.31410098, 0.66854692, 0.79562378, 0.87755553, 0.92795967, 0.97934501,
      0.99144213, 0.99646691, 0.99854353,
    ], 1e-8);
  });

  test("RNN_Captioning: rnn_forward", () => {
    const weights = [grid(-0.2, 0.4, 4, 5), grid(-0.4, 0.1, 5, 5), grid(-0.7, 0.1, 5)] as const;
    const [h] = classic.rnnForward(grid(-0.1, 0.3, 2, 3, 4), grid(-0.3, 0.1, 2, 5), ...weights);
    // biome-ignore format: as published
    expectError(h, [
      -0.42070749, -0.27279261, -0.11074945, 0.05740409, 0.22236251, -0.39525808, -0.22554661, -0.0409454, 0.14649412,
      0.32397316, -0.42305111, -0.24223728, -0.04287027, 0.15997045, 0.35014525, -0.55857474, -0.39065825, -0.19198182,
      0.02378408, 0.23735671, -0.27150199, -0.07088804, 0.13562939, 0.33099728, 0.50158768, -0.51014825, -0.30524429,
      -0.06755202, 0.17806392, 0.40333043,
    ], 1e-7);
  });

  test("RNN_Captioning: word_embedding_forward", () => {
    const ids = tensor(new Int32Array([0, 3, 1, 2, 2, 1, 0, 3]), [2, 4]);
    const [out] = classic.wordEmbeddingForward(ids, grid(0, 1, 5, 3));
    // biome-ignore format: as published
    expectError(out, [
      0, 0.07142857, 0.14285714, 0.64285714, 0.71428571, 0.78571429, 0.21428571, 0.28571429, 0.35714286, 0.42857143, 0.5,
      0.57142857, 0.42857143, 0.5, 0.57142857, 0.21428571, 0.28571429, 0.35714286, 0, 0.07142857, 0.14285714, 0.64285714,
      0.71428571, 0.78571429,
    ], 1e-7);
  });

  test("RNN_Captioning: temporal_softmax_loss of small random scores, whole and masked", () => {
    const loss = (n: number, t: number, v: number, p: number) => {
      const y = tensor(
        Int32Array.from({ length: n * t }, (_, i) => i % v),
        [n, t],
      );
      const mask = tensor(
        Int32Array.from({ length: n * t }, (_, i) => Number(i % 10 < 10 * p)),
        [n, t],
      );
      return classic.temporalSoftmaxLoss(randn([n, t, v], f64).mul(1e-3), y, mask)[0].itemSync();
    };
    expect(Math.abs(loss(100, 1, 10, 1) - 2.3)).toBeLessThan(1e-2);
    expect(Math.abs(loss(100, 10, 10, 1) - 23)).toBeLessThan(1e-1);
    expect(Math.abs(loss(500, 10, 10, 0.1) - 2.3)).toBeLessThan(1e-1);
  });

  test("LSTM_Captioning: lstm_step_forward", () => {
    const weights = [grid(-2.1, 1.3, 4, 20), grid(-0.7, 2.2, 5, 20), grid(0.3, 0.7, 20)] as const;
    const [x, h, c] = [grid(-0.4, 1.2, 3, 4), grid(-0.3, 0.7, 3, 5), grid(-0.4, 0.9, 3, 5)];
    const [nextH, nextC] = classic.lstmStepForward(x, h, c, ...weights);
    // biome-ignore format: as published
    expectError(nextH, [
      0.24635157, 0.28610883, 0.32240467, 0.35525807, 0.38474904, 0.49223563, 0.55611431, 0.61507696, 0.66844003,
      0.7159181, 0.56735664, 0.66310127, 0.74419266, 0.80889665, 0.858299,
    ], 1e-8);
    // biome-ignore format: as published
    expectError(nextC, [
      0.32986176, 0.39145139, 0.451556, 0.51014116, 0.56717407, 0.66382255, 0.76674007, 0.87195994, 0.97902709,
      1.08751345, 0.74192008, 0.90592151, 1.07717006, 1.25120233, 1.42395676,
    ], 1e-8);
  });

  test("LSTM_Captioning: lstm_forward", () => {
    const weights = [grid(-0.2, 0.9, 5, 16), grid(-0.3, 0.6, 4, 16), grid(0.2, 0.7, 16)] as const;
    const [h] = classic.lstmForward(grid(-0.4, 0.6, 2, 3, 5), grid(-0.4, 0.8, 2, 4), ...weights);
    // biome-ignore format: as published
    expectError(h, [
      0.01764008, 0.01823233, 0.01882671, 0.0194232, 0.11287491, 0.12146228, 0.13018446, 0.13902939, 0.31358768,
      0.33338627, 0.35304453, 0.37250975, 0.45767879, 0.4761092, 0.4936887, 0.51041945, 0.6704845, 0.69350089, 0.71486014,
      0.7346449, 0.81733511, 0.83677871, 0.85403753, 0.86935314,
    ], 1e-7);
  });

  test.each([
    ["RNN", classic.rnnForward, 1, [-1.5, 0.3], 9.83235591003],
    ["LSTM", classic.lstmForward, 4, [-0.5, 1.7], 9.82445935443],
  ] as const)("%s_Captioning: the loss of CaptioningRNN", (_, forward, gates, [low, high], published) => {
    const [n, d, w, h, t, v] = [10, 20, 30, 40, 13, 3];
    const all = (...shape: number[]) => grid(-1.4, 1.3, ...shape);
    const captions = tensor(
      Int32Array.from({ length: n * t }, (_, i) => i % v),
      [n, t],
    );
    const [before, after] = [captions.slice(null, [0, -1]), captions.slice(null, [1])];
    const [h0] = classic.affineForward(grid(low, high, n, d), all(d, h), all(h));
    const [x] = classic.wordEmbeddingForward(before, all(v, w));
    const [hidden] = forward(x, h0, all(w, gates * h), all(h, gates * h), all(gates * h));
    const [scores] = classic.temporalAffineForward(hidden, all(h, v), all(v));
    const [loss] = classic.temporalSoftmaxLoss(scores, after, after.notEqual(0));
    expect(Math.abs(loss.itemSync() - published)).toBeLessThan(1e-10);
  });
});
