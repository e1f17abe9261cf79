/** @file Layers: PyTorch's initial values and defaults, and what they compute. */
import { manualSeed, nn, noGrad, ones, randn, type Tensor, tensor, zeros } from "napier";
import { describe, expect, test } from "vitest";

const numbers = (x: Tensor): number[] => Array.from(x.dataSync(x.dtype) as ArrayLike<number>);
const largest = (x: Tensor): number => Math.max(...numbers(x).map(Math.abs));
const mean = (v: number[]): number => v.reduce((a, b) => a + b, 0) / v.length;
const std = (v: number[]): number => {
  const m = mean(v);
  return Math.sqrt(mean(v.map((x) => (x - m) ** 2)));
};

describe("initial values", () => {
  test("Linear: weight and bias uniform within 1 / sqrt(in)", () => {
    manualSeed(231);
    const m = new nn.Linear(100, 400);
    for (const p of m.parameters()) {
      expect(largest(p)).toBeLessThanOrEqual(0.1);
      expect(largest(p)).toBeGreaterThan(0.099);
      expect(std(numbers(p))).toBeCloseTo(0.1 / Math.sqrt(3), 2);
    }
  });
  test("Conv2d: within 1 / sqrt(in / groups * window)", () => {
    const m = new nn.Conv2d(8, 64, [3, 5], { groups: 2 });
    expect([...m.weight.shape]).toEqual([64, 4, 3, 5]);
    const bound = 1 / Math.sqrt(4 * 15);
    for (const p of m.parameters()) {
      expect(largest(p)).toBeLessThanOrEqual(bound);
      expect(largest(p)).toBeGreaterThan(0.95 * bound);
    }
  });
  test("Embedding: standard normal, the padding row 0", () => {
    const m = new nn.Embedding(50, 100, { paddingIndex: -1 });
    expect(std(numbers(m.weight).slice(0, 4900))).toBeCloseTo(1, 1);
    expect(
      numbers(m.weight)
        .slice(4900)
        .every((x) => x === 0),
    ).toBe(true);
    expect(m.paddingIndex).toBe(49);
  });
  test("norms: 1 and 0", () => {
    for (const m of [new nn.BatchNorm1d(3), new nn.BatchNorm2d(3), new nn.LayerNorm(3)]) {
      expect([numbers(m.weight!), numbers(m.bias!)]).toEqual([
        [1, 1, 1],
        [0, 0, 0],
      ]);
    }
  });
  test("the same seed gives the same model", () => {
    const make = () => {
      manualSeed(5);
      return new nn.Sequential(new nn.Linear(4, 4), new nn.Conv2d(1, 2, 3)).parameters().map(numbers);
    };
    expect(make()).toEqual(make());
  });

  // [300, 200, 3, 2]: fanIn 1200, fanOut 1800
  const w = () => zeros([300, 200, 3, 2]);
  test.each([
    ["kaimingUniform_", (x: Tensor) => nn.init.kaimingUniform_(x), Math.sqrt(2 / 1200), true],
    [
      "kaimingUniform_ of fanOut for relu",
      (x: Tensor) => nn.init.kaimingUniform_(x, { mode: "fanOut", nonlinearity: "relu" }),
      Math.sqrt(2 / 1800),
      true,
    ],
    ["kaimingNormal_", (x: Tensor) => nn.init.kaimingNormal_(x), Math.sqrt(2 / 1200), false],
    [
      "kaimingNormal_ with a slope",
      (x: Tensor) => nn.init.kaimingNormal_(x, { a: 0.5 }),
      Math.sqrt(2 / 1.25 / 1200),
      false,
    ],
    ["xavierUniform_", (x: Tensor) => nn.init.xavierUniform_(x, { gain: 3 }), 3 * Math.sqrt(2 / 3000), true],
    ["xavierNormal_", (x: Tensor) => nn.init.xavierNormal_(x), Math.sqrt(2 / 3000), false],
  ] as const)("%s has its standard deviation", (_, fill, deviation, bounded) => {
    const v = numbers(fill(w()));
    expect(std(v) / deviation).toBeCloseTo(1, 2);
    expect(Math.abs(mean(v)) / deviation).toBeLessThan(0.01);
    const top = v.reduce((a, b) => Math.max(a, Math.abs(b)), 0) / deviation;
    if (bounded) expect(top).toBeLessThanOrEqual(Math.sqrt(3) * 1.0001);
    else expect(top).toBeGreaterThan(3);
  });
  test("gains, constants, errors", () => {
    expect([nn.init.gainOf("tanh"), nn.init.gainOf("relu"), nn.init.gainOf("leakyRelu", 1)]).toEqual([
      5 / 3,
      Math.SQRT2,
      1,
    ]);
    expect(numbers(nn.init.constant_(zeros([2]), 3))).toEqual([3, 3]);
    const leaf = zeros([2], { requiresGrad: true });
    expect(numbers(nn.init.ones_(leaf))).toEqual([1, 1]);
    expect(() => nn.init.kaimingUniform_(zeros([3]))).toThrow(/init: expected a weight with at least 2 dimensions/);
  });
});

describe("layers compute", () => {
  const x = tensor([[-2, -0.5, 0, 1, 3]]);
  const v = [-2, -0.5, 0, 1, 3];
  const sigmoid = (t: number) => 1 / (1 + Math.exp(-t));
  test.each<[string, nn.Layer, (t: number) => number]>([
    ["ReLU", new nn.ReLU(), (t) => Math.max(t, 0)],
    ["LeakyReLU", new nn.LeakyReLU(), (t) => (t > 0 ? t : 0.01 * t)],
    ["LeakyReLU 0.2", new nn.LeakyReLU(0.2), (t) => (t > 0 ? t : 0.2 * t)],
    ["ELU", new nn.ELU(), (t) => (t > 0 ? t : Math.expm1(t))],
    ["ELU 2", new nn.ELU(2), (t) => (t > 0 ? t : 2 * Math.expm1(t))],
    ["SiLU", new nn.SiLU(), (t) => t * sigmoid(t)],
    ["Sigmoid", new nn.Sigmoid(), sigmoid],
    ["Tanh", new nn.Tanh(), Math.tanh],
    ["Softplus", new nn.Softplus(), (t) => Math.log1p(Math.exp(t))],
    [
      "GELU by tanh",
      new nn.GELU({ approximate: "tanh" }),
      (t) => 0.5 * t * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (t + 0.044715 * t ** 3))),
    ],
    ["Identity", new nn.Identity(), (t) => t],
    ["Softmax", new nn.Softmax(), (t) => Math.exp(t) / v.reduce((a, b) => a + Math.exp(b), 0)],
    ["LogSoftmax", new nn.LogSoftmax(1), (t) => t - Math.log(v.reduce((a, b) => a + Math.exp(b), 0))],
  ])("%s", (_, layer, f) => {
    numbers(layer.forward(x)).forEach((got, i) => {
      expect(got).toBeCloseTo(f(v[i]), 5);
    });
  });

  test("shapes", () => {
    const picture = zeros([2, 3, 8, 8]);
    const shapeOf = (layer: nn.Layer, x: Tensor = picture) => [...layer.forward(x).shape];
    expect(shapeOf(new nn.Conv2d(3, 6, 3, { padding: "same" }))).toEqual([2, 6, 8, 8]);
    expect(shapeOf(new nn.MaxPool2d(2))).toEqual([2, 3, 4, 4]);
    expect(shapeOf(new nn.MaxPool2d(3, { stride: 2, padding: 1 }))).toEqual([2, 3, 4, 4]);
    expect(shapeOf(new nn.AvgPool2d([2, 4]))).toEqual([2, 3, 4, 2]);
    expect(shapeOf(new nn.AdaptiveAvgPool2d([null, 2]))).toEqual([2, 3, 8, 2]);
    expect(shapeOf(new nn.AdaptiveMaxPool2d(1))).toEqual([2, 3, 1, 1]);
    expect(shapeOf(new nn.Flatten())).toEqual([2, 192]);
    expect(shapeOf(new nn.Flatten(2))).toEqual([2, 3, 64]);
    expect(shapeOf(new nn.Unflatten(1, [3, -1, 4]), zeros([2, 24]))).toEqual([2, 3, 2, 4]);
    expect(shapeOf(new nn.LayerNorm([8, 8]))).toEqual([2, 3, 8, 8]);
    expect(shapeOf(new nn.Embedding(5, 7), zeros([2, 3], { dtype: "int32" }))).toEqual([2, 3, 7]);
    expect(shapeOf(new nn.Linear(8, 2))).toEqual([2, 3, 8, 2]);
  });

  test("BatchNorm: the batch in training, the running statistics in eval", () => {
    const m = new nn.BatchNorm1d(2);
    const x = tensor([
      [1, 10],
      [3, 30],
      [5, 20],
    ]);
    const y = numbers(m.forward(x));
    expect(mean(y)).toBeCloseTo(0, 5);
    expect(std(y)).toBeCloseTo(1, 3);
    expect(numbers(m.runningMean!).map((v) => Math.fround(v))).toEqual([Math.fround(0.3), 2]);
    expect(m.numBatchesTracked!.itemSync()).toBe(1);
    m.eval();
    numbers(m.forward(x)).forEach((got, i) => {
      const [t, c] = [[1, 10, 3, 30, 5, 20][i], i % 2];
      expect(got).toBeCloseTo((t - [0.3, 2][c]) / Math.sqrt([0.9 + 0.4, 0.9 + 10][c] + 1e-5), 4);
    });
    expect(m.numBatchesTracked!.itemSync()).toBe(1);
  });
  test("BatchNorm with momentum null keeps the mean of all batches", () => {
    const m = new nn.BatchNorm1d(1, { momentum: null });
    for (const base of [0, 10, 20]) m.forward(tensor([[base], [base + 2]]));
    expect(m.runningMean!.itemSync()).toBeCloseTo(11, 4);
    expect(m.runningVar!.itemSync()).toBeCloseTo(2, 4);
  });
  test("BatchNorm without running statistics uses the batch in eval too", () => {
    const m = new nn.BatchNorm1d(2, { trackRunningStats: false, affine: false }).eval();
    expect(Object.keys(m.stateDict())).toEqual([]);
    expect(mean(numbers(m.forward(randn([50, 2]))))).toBeCloseTo(0, 4);
  });
  test("Dropout drops in training only", () => {
    const m = new nn.Dropout(0.5);
    expect(numbers(m.forward(ones([1000]))).filter((x) => x === 0).length).toBeGreaterThan(400);
    const x = ones([10]);
    expect(m.eval().forward(x)).toBe(x);
  });

  test("losses", () => {
    const scores = tensor([
      [1, 2, 3],
      [3, 1, 2],
    ]);
    const labels = tensor([2, 1], { dtype: "int32" });
    expect(new nn.CrossEntropyLoss().forward(scores, labels).itemSync()).toBe(
      nn.crossEntropy(scores, labels).itemSync(),
    );
    expect(new nn.HingeLoss({ delta: 2 }).forward(scores, labels).itemSync()).toBe((1 + 0 + 4 + 3) / 2);
    expect(new nn.MSELoss({ reduction: "sum" }).forward(tensor([1, 2]), tensor([3, 3])).itemSync()).toBe(5);
    expect(new nn.BCEWithLogitsLoss().forward(zeros([4]), ones([4])).itemSync()).toBeCloseTo(Math.LN2, 6);
  });

  test("errors name the layer", () => {
    expect(() => new nn.Linear(0, 2)).toThrow(/Linear: expected a number of input features from 1 up, got 0/);
    expect(() => new nn.Conv2d(3, 4, 3, { groups: 2 })).toThrow(
      /Conv2d: expected groups that divide 3 input and 4 output channels, got 2/,
    );
    expect(() => new nn.BatchNorm2d(3).forward(zeros([2, 3]))).toThrow(
      /BatchNorm2d: expected x of shape \[n,3,h,w\], got \[2,3\]/,
    );
    expect(() => new nn.BatchNorm1d(1.5)).toThrow(/BatchNorm1d: expected a number of features/);
    expect(() => new nn.Dropout(2)).toThrow(/Dropout: expected a probability between 0 and 1, got 2/);
    expect(() => new nn.Unflatten(1, [5, 2]).forward(zeros([2, 12]))).toThrow(
      /Unflatten: expected \[5,2\] to make up dimension 1 of \[2,12\], got 12 elements/,
    );
  });
});

test("a convolutional network learns by plain gradient descent", () => {
  manualSeed(231);
  const net = new nn.Sequential(
    new nn.Conv2d(1, 4, 3, { padding: 1 }),
    new nn.BatchNorm2d(4),
    new nn.ReLU(),
    new nn.MaxPool2d(2),
    new nn.Flatten(),
    new nn.Linear(64, 2),
  );
  const x = randn([16, 1, 8, 8]);
  const labels = x.mean([1, 2, 3]).greater(0).to("int32");
  const step = () => {
    net.zeroGrad();
    const loss = nn.crossEntropy(net.forward(x), labels);
    loss.backward();
    noGrad(() => net.parameters().forEach((p) => void p.add_(p.grad!, { alpha: -0.1 })));
    return loss.itemSync();
  };
  const first = step();
  for (let i = 0; i < 40; i++) step();
  expect(step()).toBeLessThan(first / 10);
});

describe("activations as layers", () => {
  const x = randn([2, 4, 3]);
  const CASES: [name: string, layer: nn.Module & { forward(x: Tensor): Tensor }, fn: (x: Tensor) => Tensor][] = [
    ["ReLU6", new nn.ReLU6(), (x) => x.relu6()],
    ["SELU", new nn.SELU(), (x) => x.selu()],
    ["CELU", new nn.CELU(0.5), (x) => x.celu(0.5)],
    ["Mish", new nn.Mish(), (x) => x.mish()],
    ["Hardswish", new nn.Hardswish(), (x) => x.hardswish()],
    ["Hardsigmoid", new nn.Hardsigmoid(), (x) => x.hardsigmoid()],
    ["Hardtanh", new nn.Hardtanh(-0.5, 0.25), (x) => x.hardtanh(-0.5, 0.25)],
    ["LogSigmoid", new nn.LogSigmoid(), (x) => x.logSigmoid()],
    ["Softsign", new nn.Softsign(), (x) => x.softsign()],
    ["Softplus", new nn.Softplus({ beta: 2 }), (x) => x.softplus({ beta: 2 })],
    ["Tanhshrink", new nn.Tanhshrink(), (x) => x.tanhshrink()],
    ["Hardshrink", new nn.Hardshrink(), (x) => x.hardshrink(0.5)],
    ["Softshrink", new nn.Softshrink(0.25), (x) => x.softshrink(0.25)],
    ["Threshold", new nn.Threshold(0.1, 20), (x) => x.threshold(0.1, 20)],
    ["PReLU", new nn.PReLU(), (x) => x.leakyRelu(0.25)],
    ["PReLU a channel", new nn.PReLU(4, { init: 0.5 }), (x) => x.leakyRelu(0.5)],
    ["RReLU", new nn.RReLU(0.1, 0.1), (x) => x.leakyRelu(0.1)],
    ["GLU", new nn.GLU(1), (x) => x.glu(1)],
    ["Softmin", new nn.Softmin(1), (x) => x.mul(-1).softmax(1)],
    ["Softmax2d", new nn.Softmax2d(), (x) => x.softmax(0)],
  ];
  test.each(CASES)("%s", (_, layer, fn) => expect(numbers(layer.forward(x))).toEqual(numbers(fn(x))));
  test("PReLU learns its slopes, under PyTorch's key", () => {
    const m = new nn.PReLU(4);
    m.forward(x).sum().backward();
    expect([...m.weight.grad!.shape]).toEqual([4]);
    expect(Object.keys(m.stateDict())).toEqual(["weight"]);
  });
  test("RReLU draws in training only", () => {
    const m = new nn.RReLU();
    const once = ones([50]).mul(-1);
    expect(new Set(numbers(m.forward(once))).size).toBeGreaterThan(40);
    expect(new Set(numbers(m.eval().forward(once))).size).toBe(1);
  });
  test("errors name the layer", () => {
    expect(() => new nn.Hardtanh(1, -1)).toThrow(/Hardtanh: expected low <= high, got 1 and -1/);
    expect(() => new nn.PReLU(0)).toThrow(/PReLU: expected a number of parameters from 1 up, got 0/);
    expect(() => new nn.RReLU(1, 0)).toThrow(/RReLU: expected lower <= upper, got 1 and 0/);
    expect(() => new nn.Softmax2d().forward(ones([2]))).toThrow(
      /Softmax2d: expected x \[n,c,h,w\] or \[c,h,w\], got \[2\]/,
    );
  });
});
