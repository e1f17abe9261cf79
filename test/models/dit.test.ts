/** @file The diffusion transformer: published sizes, keys, fixed positions, its start, its conditions; it learns. */
import { readFileSync } from "node:fs";
import { diffusion, full, manualSeed, models, nn, optim, randn, shapesOnly, tensor, zeros } from "napier";
import { describe, expect, test } from "vitest";

const times = (t: readonly number[]) => tensor(Int32Array.from(t));
const tiny = { imageSize: 6, patch: 2, channels: 2, dim: 16, depth: 2, heads: 2, conditionDropout: 0 } as const;

/** Weights that are nowhere 0: as a network is once it has learned a little. */
function awake(options: models.DiTOptions = {}): models.DiT {
  const network = new models.DiT({ ...tiny, ...options });
  for (const p of network.parameters()) nn.init.normal_(p, 0, 0.2);
  return network;
}

describe("published sizes", () => {
  /** Parameters by the paper's layers, with the fixed positions that the authors count among them. */
  function countOf({ depth, dim: d, patch: p }: { depth: number; dim: number; patch: number }): number {
    const linear = (from: number, to: number) => from * to + to;
    const block = linear(d, 3 * d) + linear(d, d) + linear(d, 4 * d) + linear(4 * d, d) + linear(d, 6 * d);
    const patches = linear(4 * p * p, d) + (32 / p) ** 2 * d;
    const context = linear(256, d) + linear(d, d) + 1001 * d;
    return depth * block + patches + context + linear(d, 2 * d) + linear(d, 8 * p * p);
  }
  const names = Object.keys(models.DIT_CONFIGS) as models.DiTName[];

  test.each(names)("%s", (name) => {
    const config = models.DIT_CONFIGS[name];
    const network = shapesOnly(() => new models.DiT({ ...config, classes: 1000, outChannels: 8 }));
    expect(network.parameters().reduce((n, p) => n + p.size, network.posEmbed.size)).toBe(countOf(config));
  });

  test("are those of the paper's table: 33, 130, 458 and 675 million", () => {
    expect(countOf(models.DIT_CONFIGS["DiT-XL/2"])).toBe(675_129_632);
    const millions = (["S", "B", "L", "XL"] as const).map((size) =>
      Math.round(countOf(models.DIT_CONFIGS[`DiT-${size}/2`]) / 1e6),
    );
    expect(millions).toEqual([33, 131, 458, 675]); // the paper says 130
    expect(names.length).toBe(15);
  });
});

test("keys are those of the authors' weights", () => {
  const network = shapesOnly(() => new models.DiT({ ...models.DIT_CONFIGS["DiT-S/4"], depth: 1, classes: 1000 }));
  const both = (...names: string[]) => names.flatMap((name) => [`${name}.weight`, `${name}.bias`]);
  expect(Object.keys(network.stateDict()).sort()).toEqual(
    [
      "pos_embed",
      "y_embedder.embedding_table.weight",
      ...both("x_embedder.proj", "t_embedder.mlp.0", "t_embedder.mlp.2"),
      ...both("blocks.0.attn.qkv", "blocks.0.attn.proj", "blocks.0.mlp.fc1", "blocks.0.mlp.fc2"),
      ...both("blocks.0.adaLN_modulation.1", "final_layer.adaLN_modulation.1", "final_layer.linear"),
    ].sort(),
  );
});

test.each([
  ["dit_labels", { imageSize: 8, patch: 2, dim: 24, heads: 3 }],
  ["dit_vectors", { imageSize: 6, patch: 1, dim: 16, heads: 2 }],
])("positions are the authors': %s", (name, options) => {
  const golden = JSON.parse(readFileSync(new URL(`../fixtures/models/${name}.json`, import.meta.url), "utf8"));
  const { posEmbed } = new models.DiT({ ...options, depth: 1 });
  expect(posEmbed.shape).toEqual([1, (options.imageSize / options.patch) ** 2, options.dim]);
  posEmbed.dataSync().forEach((v, i) => {
    expect(v).toBeCloseTo(golden.positions[i], 6);
  });
});

test("adaLN-Zero: the first prediction is 0, and the last layer alone has a gradient", () => {
  const network = new models.DiT({ ...tiny, classes: 3 });
  const y = network.forward(randn([2, 2, 6, 6]), times([1, 900]), times([0, 2]));
  expect(y.dataSync()).toEqual(new Float32Array(2 * 2 * 36));
  y.backward({ gradient: randn([2, 2, 6, 6]) });
  const moved = network.namedParameters().filter(([, p]) => p.grad!.abs().max().itemSync() > 0);
  expect(moved.map(([key]) => key)).toEqual(["final_layer.linear.weight", "final_layer.linear.bias"]);
});

test("times and conditions reach the prediction, and none is a class of its own", () => {
  manualSeed(1);
  const network = awake({ classes: 3 }).eval();
  const x = randn([1, 2, 6, 6]);
  const at = (t: number, label: number | null) =>
    network.forward(x, times([t]), label === null ? null : times([label])).dataSync();
  expect(at(3, 1)).toEqual(at(3, 1));
  expect(at(4, 1)).not.toEqual(at(3, 1));
  expect(at(3, 2)).not.toEqual(at(3, 1));
  expect(at(3, null)).toEqual(at(3, 3)); // the last row
});

test("conditions are left out in training alone", () => {
  manualSeed(2);
  const one = full([64], 1, { dtype: "int32" });
  const vector = full([64, 5], 1);
  const x = randn([1, 2, 6, 6]).expand([64, 2, 6, 6]);
  const t = full([64], 500, { dtype: "int32" });
  for (const [options, condition] of [
    [{ classes: 3 }, one],
    [{ conditionDim: 5 }, vector],
  ] as const) {
    const network = awake({ ...options, conditionDropout: 0.25 });
    const distinct = () => {
      const y = network.forward(x, t, condition).flatten(1).dataSync();
      const first = Array.from({ length: 64 }, (_, i) => y[i * 72]!.toFixed(4));
      return [...new Set(first)].map((v) => first.filter((w) => w === v).length).sort((a, b) => b - a);
    };
    const [given, left] = distinct();
    expect(given! + left!).toBe(64);
    expect(left).toBeGreaterThan(6);
    expect(left).toBeLessThan(28);
    network.eval();
    expect(distinct()).toEqual([64]);
  }
});

test("learns a batch by heart", () => {
  manualSeed(3);
  const process = new diffusion.GaussianDiffusion({ timesteps: 100, objective: "v" });
  const network = new models.DiT({ ...tiny, classes: 4 });
  const optimizer = new optim.Adam(network.parameters(), { lr: 1e-2 });
  const [x, noise] = [randn([4, 2, 6, 6]), randn([4, 2, 6, 6])];
  const [t, condition] = [times([10, 40, 70, 99]), times([0, 1, 2, 3])];
  const losses: number[] = [];
  for (let i = 0; i < 80; i++) {
    optimizer.zeroGrad();
    const loss = process.loss((xT, at, c) => network.forward(xT, at, c), x, { t, noise, condition });
    loss.backward();
    optimizer.step();
    losses.push(loss.itemSync());
  }
  expect(losses.at(-1)!).toBeLessThan(losses[0]! / 20);
});

test.each([
  [{ imageSize: 7 }, "DiT: expected a patch that divides imageSize 7, got 2"],
  [{ dim: 18, heads: 3 }, "DiT: expected a dim that is a multiple of 4 and of the heads, got 18 and 3"],
  [{ dim: 20, heads: 3 }, "DiT: expected a dim that is a multiple of 4 and of the heads, got 20 and 3"],
  [{ depth: 0 }, "DiT: expected depth to be a whole number from 1 up, got 0"],
  [{ mlpRatio: 0 }, "DiT: expected mlpRatio to be above 0, got 0"],
  [{ classes: 3, conditionDim: 2 }, "DiT: expected conditionDim or classes, got both"],
])("options that cannot be: %o", (options, sentence) => {
  expect(() => new models.DiT({ ...tiny, ...options })).toThrow(sentence);
});

test("tensors that do not fit", () => {
  const [plain, labelled] = [new models.DiT(tiny), new models.DiT({ ...tiny, classes: 3 })];
  const vectors = new models.DiT({ ...tiny, conditionDim: 3 });
  const x = zeros([2, 2, 6, 6]);
  const t = times([1, 2]);
  expect(() => plain.forward(zeros([2, 2, 8, 8]), t)).toThrow("expected pictures [n,2,6,6], got [2,2,8,8]");
  expect(() => plain.forward(x, times([1]))).toThrow("DiT: expected times [2], got [1]");
  expect(() => plain.forward(x, t, t)).toThrow("DiT: expected no condition (neither conditionDim nor classes");
  expect(() => labelled.forward(x, t, times([1]))).toThrow("DiT: expected labels [2], got [1]");
  expect(() => vectors.forward(x, t, zeros([2, 4]))).toThrow("DiT: expected a condition [2,3], got [2,4]");
});
