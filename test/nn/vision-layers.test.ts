/** @file Layers of convolution, pooling, resizing, normalisation and dropout: shapes, state dicts, options, errors. */
import { nn, ones, randn, type Tensor, tensor, zeros } from "napier";
import { describe, expect, test } from "vitest";

type Row = [
  name: string,
  layer: nn.Module & { forward(x: Tensor): Tensor },
  input: number[],
  output: number[],
  keys: string[],
];
const rows: Row[] = [
  ["Conv1d", new nn.Conv1d(4, 6, 3, { stride: 2, padding: 1 }), [2, 4, 9], [2, 6, 5], ["weight", "bias"]],
  ["Conv2d", new nn.Conv2d(4, 6, [3, 1], { groups: 2, bias: false }), [2, 4, 5, 5], [2, 6, 3, 5], ["weight"]],
  [
    "Conv3d",
    new nn.Conv3d(2, 3, [1, 3, 3], { padding: [0, 1, 1] }),
    [1, 2, 3, 4, 5],
    [1, 3, 3, 4, 5],
    ["weight", "bias"],
  ],
  [
    "ConvTranspose1d",
    new nn.ConvTranspose1d(4, 2, 4, { stride: 2, padding: 1 }),
    [2, 4, 5],
    [2, 2, 10],
    ["weight", "bias"],
  ],
  [
    "ConvTranspose2d",
    new nn.ConvTranspose2d(4, 2, 3, { stride: 2, outputPadding: 1 }),
    [2, 4, 3, 3],
    [2, 2, 8, 8],
    ["weight", "bias"],
  ],
  [
    "ConvTranspose3d",
    new nn.ConvTranspose3d(2, 4, 2, { groups: 2 }),
    [1, 2, 2, 2, 2],
    [1, 4, 3, 3, 3],
    ["weight", "bias"],
  ],
  ["MaxPool1d", new nn.MaxPool1d(2), [2, 3, 8], [2, 3, 4], []],
  ["AvgPool1d", new nn.AvgPool1d(3, { stride: 1, padding: 1 }), [2, 3, 8], [2, 3, 8], []],
  ["LPPool1d", new nn.LPPool1d(2, 2), [2, 3, 8], [2, 3, 4], []],
  ["LPPool2d", new nn.LPPool2d(2, 2), [2, 3, 8, 4], [2, 3, 4, 2], []],
  ["AdaptiveAvgPool1d", new nn.AdaptiveAvgPool1d(3), [2, 3, 8], [2, 3, 3], []],
  ["AdaptiveMaxPool1d", new nn.AdaptiveMaxPool1d(3), [2, 3, 8], [2, 3, 3], []],
  ["Unfold", new nn.Unfold(2, { stride: 2 }), [1, 3, 4, 4], [1, 12, 4], []],
  ["Fold", new nn.Fold(4, 2, { stride: 2 }), [1, 12, 4], [1, 3, 4, 4], []],
  ["Upsample", new nn.Upsample({ scaleFactor: 2, mode: "bilinear" }), [1, 3, 4, 4], [1, 3, 8, 8], []],
  ["PixelShuffle", new nn.PixelShuffle(2), [1, 8, 2, 2], [1, 2, 4, 4], []],
  ["PixelUnshuffle", new nn.PixelUnshuffle(2), [1, 2, 4, 4], [1, 8, 2, 2], []],
  ["ChannelShuffle", new nn.ChannelShuffle(2), [1, 4, 2, 2], [1, 4, 2, 2], []],
  ["GroupNorm", new nn.GroupNorm(2, 4), [2, 4, 3, 3], [2, 4, 3, 3], ["weight", "bias"]],
  ["RMSNorm", new nn.RMSNorm(5), [2, 5], [2, 5], ["weight"]],
  ["LocalResponseNorm", new nn.LocalResponseNorm(3), [2, 4, 3, 3], [2, 4, 3, 3], []],
  [
    "BatchNorm3d",
    new nn.BatchNorm3d(2),
    [2, 2, 2, 2, 2],
    [2, 2, 2, 2, 2],
    ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"],
  ],
  ["InstanceNorm1d", new nn.InstanceNorm1d(3), [2, 3, 5], [2, 3, 5], []],
  ["InstanceNorm2d", new nn.InstanceNorm2d(3, { affine: true }), [2, 3, 2, 2], [2, 3, 2, 2], ["weight", "bias"]],
  [
    "InstanceNorm3d",
    new nn.InstanceNorm3d(2, { trackRunningStats: true }),
    [2, 2, 2, 2, 2],
    [2, 2, 2, 2, 2],
    ["running_mean", "running_var", "num_batches_tracked"],
  ],
  ["Dropout1d", new nn.Dropout1d(0.2), [2, 3, 4], [2, 3, 4], []],
  ["Dropout2d", new nn.Dropout2d(0.2), [2, 3, 4, 4], [2, 3, 4, 4], []],
  ["Dropout3d", new nn.Dropout3d(0.2), [2, 3, 2, 2, 2], [2, 3, 2, 2, 2], []],
  ["AlphaDropout", new nn.AlphaDropout(0.2), [2, 3], [2, 3], []],
];

test.each(rows)("%s: shapes and state-dict keys", (name, layer, input, output, keys) => {
  expect([...layer.forward(randn(input).abs()).shape]).toEqual(output);
  expect(Object.keys(layer.stateDict())).toEqual(keys);
  expect(`${layer}`).toMatch(new RegExp(`^${name}\\(`));
});

test("transposed convolutions keep [in, out / groups, ...] weights, within 1 / sqrt(fanIn)", () => {
  const layer = new nn.ConvTranspose2d(4, 6, [2, 3], { groups: 2 });
  expect([...layer.weight.shape]).toEqual([4, 3, 2, 3]);
  expect([...layer.bias!.shape]).toEqual([6]);
  expect(layer.weight.abs().amax().itemSync()).toBeLessThanOrEqual(1 / Math.sqrt(3 * 6));
});

test("unpooling layers take the indices of their pooling", () => {
  const x = randn([1, 2, 5, 4]);
  const [y, index] = x.maxPool2dWithIndices(2);
  expect([...new nn.MaxUnpool2d(2).forward(y, index).shape]).toEqual([1, 2, 4, 4]);
  expect([...new nn.MaxUnpool2d(2).forward(y, index, { outputSize: [5, 4] }).shape]).toEqual([1, 2, 5, 4]);
  const [line, at] = randn([1, 2, 6]).maxPool1dWithIndices(2);
  expect([...new nn.MaxUnpool1d(2).forward(line, at).shape]).toEqual([1, 2, 6]);
});

test("padding layers", () => {
  const x = tensor([[1, 2, 3]]);
  const made = (layer: nn.Module & { forward(x: Tensor): Tensor }) => (layer.forward(x).toArraySync() as number[][])[0];
  expect(made(new nn.ZeroPad1d([2, -1]))).toEqual([0, 0, 1, 2]);
  expect(made(new nn.ConstantPad1d(1, 7))).toEqual([7, 1, 2, 3, 7]);
  expect(made(new nn.ReflectionPad1d([2, 1]))).toEqual([3, 2, 1, 2, 3, 2]);
  expect(made(new nn.ReplicationPad1d([2, 1]))).toEqual([1, 1, 1, 2, 3, 3]);
  expect(made(new nn.CircularPad1d([2, 1]))).toEqual([2, 3, 1, 2, 3, 1]);
  const picture = randn([1, 2, 3, 4]);
  const sides = [1, 2, 0, 1] as const;
  const all = [
    new nn.ZeroPad2d(sides),
    new nn.ConstantPad2d(sides, 1),
    new nn.ReflectionPad2d(sides),
    new nn.ReplicationPad2d(sides),
    new nn.CircularPad2d(sides),
  ];
  for (const layer of all) expect([...layer.forward(picture).shape]).toEqual([1, 2, 4, 7]);
  expect(() => new nn.ZeroPad2d([1, 2] as never)).toThrow(
    "ZeroPad2d: expected one integer or 4, [before, after] from the last dimension backwards, got [1,2]",
  );
});

test("dropout layers do nothing in eval mode", () => {
  const x = ones([2, 3, 4]);
  expect(new nn.Dropout1d(0.5).eval().forward(x)).toBe(x);
  expect(new nn.AlphaDropout(0.5).eval().forward(x)).toBe(x);
});

test("InstanceNorm keeps statistics where asked, and uses them in eval mode only", () => {
  const layer = new nn.InstanceNorm2d(2, { trackRunningStats: true });
  const x = randn([3, 2, 4, 4]).mul(2).add(5);
  const trained = layer.forward(x);
  expect(layer.runningMean!.toArraySync()).not.toEqual([0, 0]);
  const used = layer.eval().forward(x);
  expect(used.sub(trained).abs().amax().itemSync()).toBeGreaterThan(0.1);
  const plain = new nn.InstanceNorm2d(2);
  expect(plain.forward(x).toArraySync()).toEqual(plain.eval().forward(x).toArraySync());
});

const errors: [string, () => unknown, string][] = [
  ["Conv1d", () => new nn.Conv1d(3, 4, 0), "Conv1d: expected a kernel size that is an integer from 1 up, got 0"],
  [
    "groups",
    () => new nn.Conv3d(3, 4, 2, { groups: 2 }),
    "Conv3d: expected groups that divide 3 input and 4 output channels, got 2",
  ],
  ["GroupNorm", () => new nn.GroupNorm(3, 4), "GroupNorm: expected groups that divide the 4 channels, got 3"],
  ["Dropout2d", () => new nn.Dropout2d(2), "Dropout2d: expected a probability between 0 and 1, got 2"],
  [
    "InstanceNorm1d",
    () => new nn.InstanceNorm1d(3).forward(zeros([2, 4, 5])),
    "InstanceNorm1d: expected x of shape [n,3,l], got [2,4,5]",
  ],
  [
    "BatchNorm3d",
    () => new nn.BatchNorm3d(3).forward(zeros([2, 3, 5])),
    "BatchNorm3d: expected x of shape [n,3,d,h,w], got [2,3,5]",
  ],
];
test.each(errors)("error: %s", (_, call, message) => {
  expect(call).toThrow(message);
});

describe("weightNorm", () => {
  test("the weight is the same at first, in two parameters", () => {
    const layer = new nn.Linear(4, 3);
    const before = layer.weight.clone();
    expect(nn.weightNorm(layer)).toBe(layer);
    expect(Object.keys(layer.stateDict())).toEqual(["bias", "weight_g", "weight_v"]);
    expect([...layer.stateDict().weight_g!.shape]).toEqual([3, 1]);
    expect(layer.weight.sub(before).abs().amax().itemSync()).toBeLessThan(1e-6);
    layer
      .forward(ones([2, 4]))
      .sum()
      .backward();
    expect(layer.parameters().every((p) => p.grad !== null)).toBe(true);
    nn.removeWeightNorm(layer);
    expect(Object.keys(layer.stateDict())).toEqual(["bias", "weight"]);
    expect(layer.parameters()).toContain(layer.weight);
  });
  test("one length for all", () => {
    const layer = nn.weightNorm(new nn.Conv1d(2, 3, 2), { axis: null });
    expect([...layer.stateDict().weight_g!.shape]).toEqual([]);
  });
  test("errors", () => {
    const layer = nn.weightNorm(new nn.Linear(4, 3));
    expect(() => nn.spectralNorm(layer)).toThrow(
      "spectralNorm: weight of this Linear is already computed by weightNorm",
    );
    expect(() => nn.weightNorm(new nn.ReLU())).toThrow('weightNorm: expected ReLU to have a Parameter named "weight"');
    expect(() => nn.removeSpectralNorm(layer)).toThrow(
      "spectralNorm: weight of this Linear is not computed by spectralNorm",
    );
    expect(() => {
      layer.weight = new nn.Parameter(ones([3, 4]));
    }).toThrow("Linear: weight is computed by weightNorm; remove that first");
  });
});

describe("spectralNorm", () => {
  test("the largest singular value becomes 1", () => {
    const layer = new nn.Linear(3, 3, { bias: false });
    layer.loadStateDict({ weight: zeros([3, 3]) });
    nn.spectralNorm(layer, { powerIterations: 50 });
    expect(Object.keys(layer.stateDict())).toEqual(["weight_orig", "weight_u", "weight_v"]);
    expect(layer.parameters().length).toBe(1);
    const diagonal = tensor([
      [3, 0, 0],
      [0, -5, 0],
      [0, 0, 1],
    ]);
    layer.loadStateDict({ ...layer.stateDict(), weight_orig: diagonal });
    const y = layer.forward(ones([1, 3])).toArraySync() as number[][];
    [3 / 5, -1, 1 / 5].forEach((v, i) => {
      expect(y[0]![i]).toBeCloseTo(v, 5);
    });
  });
  test("u and v rest in eval mode, and a graph survives the next forward", () => {
    const layer = nn.spectralNorm(new nn.ConvTranspose2d(2, 3, 2));
    expect([...layer.stateDict().weight_u!.shape]).toEqual([3]);
    const first = layer.forward(ones([1, 2, 2, 2])).sum();
    layer.forward(ones([1, 2, 2, 2]));
    first.backward();
    const u = layer.stateDict().weight_u!.toArraySync();
    layer.eval().forward(ones([1, 2, 2, 2]));
    expect(layer.stateDict().weight_u!.toArraySync()).toEqual(u);
    nn.removeSpectralNorm(layer);
    expect(Object.keys(layer.stateDict())).toEqual(["bias", "weight"]);
    layer.forward(ones([1, 2, 2, 2]));
  });
});
