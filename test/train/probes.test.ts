/** @file Probes of features: nearest neighbours beside the slow vote, the linear classifier beside its first step by hand. */
import { data, manualSeed, models, nn, noGrad, randn, type Tensor, tensor, train, zeros } from "napier";
import { describe, expect, test } from "vitest";

const i32 = (values: number[]) => tensor(Int32Array.from(values));
const rowsOf = (x: Tensor) => {
  const [n, d] = x.shape as [number, number];
  const all = [...x.dataSync(x.dtype as "float64")];
  return Array.from({ length: n }, (_, i) => all.slice(i * d, (i + 1) * d));
};

/** n points around three directions of a space of d: what a probe finds, but not quite. */
function blobs(n: number, seed: number, d = 6): train.Features {
  manualSeed(seed);
  const labels = Array.from({ length: n }, (_, i) => (i * 7) % 3);
  const centres = tensor(Float64Array.from({ length: n * d }, (_, i) => Number(i % d === labels[Math.floor(i / d)])));
  return {
    x: randn([n, d], { dtype: "float64" })
      .mul(0.5)
      .add(centres.reshape([n, d])),
    y: i32(labels),
  };
}

describe("knnProbe", () => {
  const cosine = (a: number[], b: number[]) =>
    a.reduce((s, v, i) => s + v * b[i]!, 0) / Math.hypot(...a) / Math.hypot(...b);
  /** By the definition. */
  function slow(known: train.Features, asked: train.Features, k: number, temperature: number): number {
    const [a, b] = [rowsOf(known.x), rowsOf(asked.x)];
    const [labels, truth] = [[...known.y.dataSync("int32")], [...asked.y.dataSync("int32")]];
    const right = b.filter((row, i) => {
      const near = a.map((other, j) => ({ c: cosine(row, other), label: labels[j]! })).sort((p, q) => q.c - p.c);
      const votes = new Map<number, number>();
      for (const { c, label } of near.slice(0, k))
        votes.set(label, (votes.get(label) ?? 0) + Math.exp((c - 1) / temperature));
      const [best] = [...votes].sort(([p, v], [q, w]) => w - v || p - q);
      return best![0] === truth[i];
    });
    return right.length / b.length;
  }

  test.each([
    [1, 0.07],
    [5, 0.07],
    [20, 0.07],
    [20, 5],
    [90, 1],
  ])("k %d, temperature %d: as the slow vote", async (k, temperature) => {
    const [known, asked] = [blobs(90, 1), blobs(57, 2)];
    const got = await train.knnProbe(known, asked, { k, temperature });
    expect(got).toBe(slow(known, asked, k, temperature));
    expect(got).toBeGreaterThan(0.5);
    expect(got).toBeLessThan(1);
  });

  test("more points than a chunk, weights that would overflow, float32 features", async () => {
    const [known, asked] = [blobs(40, 3), blobs(2100, 4)];
    const floats = ({ x, y }: train.Features) => ({ x: x.to("float32"), y });
    const want = slow(known, asked, 7, 1e-3);
    expect(await train.knnProbe(known, asked, { k: 7, temperature: 1e-3 })).toBe(want);
    expect(
      Math.abs((await train.knnProbe(floats(known), floats(asked), { k: 7, temperature: 1e-3 })) - want),
    ).toBeLessThan(2e-3);
  });

  test("as much weight: the first class", async () => {
    const known = {
      x: tensor([
        [1, 1],
        [1, 1],
      ]),
      y: i32([2, 0]),
    };
    expect(await train.knnProbe(known, { x: tensor([[1, 0]]), y: i32([0]) }, { k: 2 })).toBe(1);
  });

  test("what is wrong", async () => {
    const good = blobs(9, 1);
    const fails = (known: train.Features, asked: train.Features, options = {}) =>
      expect(train.knnProbe(known, asked, options)).rejects;
    await fails(good, good, { k: 10 }).toThrow("knnProbe: expected k from 1 to 9, the training points, got 10");
    await fails(good, good, { k: 3, temperature: 0 }).toThrow("knnProbe: expected a temperature above 0, got 0");
    await fails(good, blobs(9, 1, 5)).toThrow("knnProbe: expected test features [n,6] of floats, got float64 [9,5]");
    await fails({ x: good.x, y: i32([1]) }, good).toThrow("knnProbe: expected training labels [9], got [1]");
    await fails({ x: zeros([3, 2], { dtype: "int32" }), y: i32([0, 1, 2]) }, good).toThrow("training features [n,2]");
  });
});

describe("linearProbe", () => {
  test("one step from weights of 0 by hand: standardised features, each weight moves by its gradient's sign", async () => {
    const [known, asked] = [blobs(60, 5), blobs(41, 6)];
    const lr = 0.1;
    const got = await train.linearProbe(known, asked, { steps: 1, lr, weightDecay: 0 });
    const a = rowsOf(known.x);
    const [n, d] = [a.length, a[0]!.length];
    const mean = a[0]!.map((_, j) => a.reduce((s, row) => s + row[j]!, 0) / n);
    const deviation = mean.map((m, j) => Math.sqrt(a.reduce((s, row) => s + (row[j]! - m) ** 2, 0) / n));
    const standard = (row: number[]) => row.map((v, j) => (v - mean[j]!) / deviation[j]!);
    const labels = [...known.y.dataSync("int32")];
    // Scores of 0: softmax is 1/3 everywhere. AdamW's first step is lr * sign(gradient).
    const gradient = (c: number, x: (row: number[]) => number) =>
      a.reduce((s, row, i) => s + (1 / 3 - Number(labels[i] === c)) * x(standard(row)), 0);
    const classes = [0, 1, 2].map((c) => ({
      w: Array.from({ length: d }, (_, j) => -lr * Math.sign(gradient(c, (row) => row[j]!))),
      // The labels are even: biases have no gradient but for rounding, and move nowhere of weight.
    }));
    const truth = [...asked.y.dataSync("int32")];
    const scores = rowsOf(asked.x).map((row) =>
      classes.map(({ w }) => standard(row).reduce((s, v, j) => s + v * w[j]!, 0)),
    );
    const right = scores.filter((s, i) => s.indexOf(Math.max(...s)) === truth[i]).length;
    expect(got.loss).toBeCloseTo(Math.log(3), 12);
    expect(Math.abs(got.accuracy - right / truth.length)).toBeLessThan(1e-12);
  });

  test("finds what is linear, whatever the units of the features; labels that are drawn say nothing", async () => {
    const [known, asked] = [blobs(300, 7), blobs(300, 8)];
    const good = await train.linearProbe(known, asked);
    expect(good.accuracy).toBeGreaterThan(0.75);
    expect(good.trainAccuracy).toBeGreaterThan(0.75);
    expect(good.loss).toBeLessThan(0.6);
    const scaled = ({ x, y }: train.Features) => ({ x: x.mul(250).add(13), y });
    expect((await train.linearProbe(scaled(known), scaled(asked))).accuracy).toBe(good.accuracy);
    expect(await train.linearProbe(known, asked)).toEqual(good);
    const drawn = { x: randn([300, 6], { dtype: "float64" }), y: asked.y };
    expect((await train.linearProbe(known, drawn)).accuracy).toBeLessThan(0.45);
  });

  test("what is wrong", async () => {
    const good = blobs(9, 1);
    await expect(train.linearProbe(good, good, { steps: 0 })).rejects.toThrow(
      "linearProbe: expected steps from 1 up, got 0",
    );
    await expect(train.linearProbe(good, blobs(9, 1, 4))).rejects.toThrow("linearProbe: expected test features [n,6]");
  });
});

describe("featuresOf and probe", () => {
  /** Features that differ between the modes. */
  const model = () =>
    new models.SimCLR(new nn.Sequential(new nn.Flatten(), new nn.Dropout(0.5)), { features: 4, dim: 2 });
  const x = randn([10, 1, 2, 2]);
  const labels = i32([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  const loader = () => new data.DataLoader(new data.TensorDataset([x, labels]), { batchSize: 4 });

  test("all rows in order, in eval mode, without gradients; the mode comes back", async () => {
    for (const training of [true, false]) {
      const network = model().train(training);
      const features = await train.featuresOf(network, loader());
      expect(network.training).toBe(training);
      expect(network.encoder.training).toBe(training);
      expect(features.x.requiresGrad).toBe(false);
      expect([...features.x.dataSync()]).toEqual([...noGrad(() => x.flatten(1)).dataSync()]);
      expect([...features.y.dataSync("int32")]).toEqual([...labels.dataSync("int32")]);
    }
  });

  test("the mode comes back from an error, too; loaders that do not fit", async () => {
    const network = model();
    const bare = new data.DataLoader(new data.TensorDataset([x]), { batchSize: 4 });
    await expect(train.featuresOf(network, bare)).rejects.toThrow(
      "featuresOf: expected batches of pictures and labels, got fewer fields",
    );
    expect(network.training).toBe(true);
    const none = (async function* (): AsyncGenerator<Tensor[]> {})();
    await expect(train.featuresOf(network, none)).rejects.toThrow(
      "featuresOf: expected a loader with batches, got none",
    );
  });

  test("probe gives both scores", async () => {
    const known = blobs(60, 9, 4);
    const asked = blobs(60, 10, 4);
    const of = ({ x, y }: train.Features) =>
      new data.DataLoader(new data.TensorDataset([x.to("float32").reshape([-1, 1, 2, 2]), y]), { batchSize: 25 });
    const floats = ({ x, y }: train.Features) => ({ x: x.to("float32"), y });
    const scores = await train.probe(model(), of(known), of(asked), { knn: { k: 5 }, linear: { steps: 40 } });
    expect(scores).toEqual({
      knn: await train.knnProbe(floats(known), floats(asked), { k: 5 }),
      linear: (await train.linearProbe(floats(known), floats(asked), { steps: 40 })).accuracy,
    });
  });
});
