/**
 * Nearest neighbours, linear classifiers, solver, features, k-means, PCA and t-SNE against slow references and known answers.
 */
import { cat, classic, collectGarbage, manualSeed, memory, randn, type Tensor, tensor } from "napier";
import * as exported from "napier/classic";
import { beforeEach, describe, expect, test } from "vitest";

beforeEach(() => void manualSeed(231));

const values = (t: Tensor): number[] => [...t.to("float64").dataSync("float64")];
const labels = (...ids: number[]): Tensor => tensor(new Int32Array(ids));
const close = (got: readonly number[], want: readonly number[], tolerance: number): void => {
  expect(got.length).toBe(want.length);
  for (const [i, v] of got.entries()) expect(Math.abs(v - want[i]!)).toBeLessThanOrEqual(tolerance);
};

test("napier/classic is the index's namespace", () => {
  expect(Object.keys(exported).sort()).toEqual(Object.keys(classic).sort());
});

describe("k-nearest neighbours", () => {
  test("the three distances agree with the definition", async () => {
    const [a, b] = [randn([7, 33], { dtype: "float64" }), randn([11, 33], { dtype: "float64" })];
    const [p, q] = [values(a), values(b)];
    const want = Array.from({ length: 77 }, (_, at) => {
      const [i, j] = [Math.floor(at / 11), at % 11];
      return Math.sqrt(
        Array.from({ length: 33 }, (_, e) => (p[i * 33 + e]! - q[j * 33 + e]!) ** 2).reduce((s, v) => s + v),
      );
    });
    const knn = await new classic.KNearestNeighbor().fit(b, labels(...Array.from({ length: 11 }, (_, i) => i % 3)));
    for (const loops of [0, 1, 2] as const) close(values(await knn.distances(a, { loops })), want, 1e-12);
    close(
      values(await knn.distances(b)).filter((_, i) => i % 12 === 0),
      new Array(11).fill(0),
      1e-6,
    );
  });

  test("votes; of labels with as many votes, and of neighbours as near, the smaller wins", async () => {
    const x = tensor([[0], [1], [2], [3], [10]]);
    const knn = await new classic.KNearestNeighbor().fit(x, labels(2, 2, 1, 1, 0));
    const at = async (v: number, k: number) => values(await knn.predict(tensor([[v]]), { k }))[0];
    expect(await at(0.1, 1)).toBe(2);
    expect(await at(1.4, 4)).toBe(1); // two votes each: the smaller label
    expect(await at(0.4, 3)).toBe(2);
    expect(await at(9, 5)).toBe(1);
    expect(await at(1.5, 1)).toBe(2); // rows 1 and 2 are as near: the first
  });

  test("more rows than are held at a time", async () => {
    const x = randn([2300, 3]);
    const y = x.argmax(1);
    const knn = await new classic.KNearestNeighbor().fit(x, y);
    expect(values(await knn.predict(x))).toEqual(values(y));
    const distances = values(await knn.distances(x.slice([1000, 1003])));
    const fifth = Array.from({ length: 3 }, (_, i) => {
      const row = distances.slice(i * 2300, (i + 1) * 2300).map((v, j) => [v, j] as const);
      const near = row
        .sort((a, b) => a[0] - b[0])
        .slice(0, 5)
        .map(([, j]) => values(y)[j]!);
      return [0, 1, 2].reduce((w, c) =>
        near.filter((v) => v === c).length > near.filter((v) => v === w).length ? c : w,
      );
    });
    expect(values(await knn.predict(x.slice([1000, 1003]), { k: 5 }))).toEqual(fifth);
  });

  test("cross-validation chooses k", async () => {
    const y = Array.from({ length: 60 }, (_, i) => i % 2);
    const noisy = y.map((c, i) => (i % 10 === 3 ? 1 - c : c)); // a wrong label among ten: one neighbour is misled
    const x = randn([60, 2])
      .mul(0.3)
      .add(tensor(y.map((c) => [4 * c, 0])));
    const { folds, means, best } = await classic.crossValidateK(x, labels(...noisy), { ks: [1, 7], folds: 5 });
    expect(folds.get(1)!.length).toBe(5);
    expect(means.get(7)!).toBeGreaterThan(means.get(1)!);
    expect(means.get(7)!).toBeCloseTo(0.9, 6);
    expect(best).toBe(7);
  });

  test("errors", async () => {
    const knn = new classic.KNearestNeighbor();
    await expect(knn.predict(randn([1, 2]))).rejects.toThrow(/call fit\(x, y\) first/);
    await expect(knn.fit(randn([3, 2]), labels(0, 1))).rejects.toThrow(/labels of shape \[3\]/);
    await expect(knn.fit(randn([2, 2]), labels(0, -1))).rejects.toThrow(/labels from 0 up, got -1/);
    await knn.fit(randn([3, 2]), labels(0, 1, 1));
    await expect(knn.predict(randn([1, 2]), { k: 4 })).rejects.toThrow(/k from 1 to 3/);
    await expect(knn.predict(randn([1, 3]))).rejects.toThrow(/points/);
    await expect(classic.crossValidateK(randn([3, 2]), labels(0, 1, 1), { folds: 4 })).rejects.toThrow(
      /folds from 2 to 3/,
    );
  });
});

describe("linear classifiers", () => {
  const [n, d, c] = [9, 5, 4];
  const x = randn([n, d], { dtype: "float64" });
  const y = labels(...Array.from({ length: n }, (_, i) => i % c));

  test.each([
    ["svm", classic.svmLossNaive, classic.svmLossVectorised],
    ["softmax", classic.softmaxLossNaive, classic.softmaxLossVectorised],
  ] as const)("%s: naive, vectorised and numerical agree under both regularisers", async (_, naive, vectorised) => {
    const W = randn([d, c], { dtype: "float64" });
    for (const regularizer of ["sum", "half"] as const) {
      const [loss, dW] = vectorised(W, x, y, 0.3, { regularizer });
      const [slow, slowW] = await naive(W, x, y, 0.3, { regularizer });
      expect(loss.itemSync()).toBeCloseTo(slow.itemSync(), 12);
      close(values(dW), values(slowW), 1e-12);
      const data = values(W);
      for (const at of [0, 7, 19]) {
        const moved = (by: number) => {
          const some = [...data];
          some[at]! += by;
          return vectorised(tensor(some, [d, c], { dtype: "float64" }), x, y, 0.3, { regularizer })[0].itemSync();
        };
        expect((moved(1e-6) - moved(-1e-6)) / 2e-6).toBeCloseTo(values(dW)[at]!, 6);
      }
    }
    const [whole] = vectorised(W, x, y, 0.3, { regularizer: "sum" });
    const [half] = vectorised(W, x, y, 0.3, { regularizer: "half" });
    expect(whole.sub(half).itemSync()).toBeCloseTo(0.15 * W.square().sum().itemSync(), 12);
  });

  test("errors", async () => {
    const W = randn([d, c], { dtype: "float64" });
    expect(() => classic.svmLossVectorised(randn([d, c]), x, y, 0)).toThrow(/one dtype/);
    expect(() => classic.softmaxLossVectorised(W, x.slice(null, [0, 2]), y, 0)).toThrow(/x of shape \[n,5\]/);
    await expect(classic.svmLossNaive(W, x, labels(...new Array(n).fill(7)), 0)).rejects.toThrow(
      /labels between 0 and 3/,
    );
    expect(() => new classic.LinearSvm(2, 2, { regularizer: "most" as "sum" })).toThrow(/"sum" or "half"/);
  });

  test.each([
    ["LinearSvm", () => new classic.LinearSvm(2, 3)],
    ["LinearSoftmax", () => new classic.LinearSoftmax(2, 3)],
    ["TwoLayerNet", () => new classic.TwoLayerNet(2, 16, 3, { weightScale: 0.1 })],
    [
      "FullyConnectedNet",
      () => new classic.FullyConnectedNet([16], { inputDim: 2, classes: 3, normalization: "layernorm" }),
    ],
  ] as const)("%s learns, keeps its best weights, and leaves no tensors behind", async (_, make) => {
    manualSeed(1);
    const points = randn([400, 2]);
    const truth = points
      .matmul(
        tensor([
          [1, -0.5, -0.5],
          [0, 0.87, -0.87],
        ]),
      )
      .argmax(1);
    const [val, valTruth] = [points.slice([300, 400]), truth.slice([300, 400])];
    const model = make();
    collectGarbage();
    const before = memory().tensors;
    const solver = new classic.Solver(
      model,
      { xTrain: points.slice([0, 300]), yTrain: truth.slice([0, 300]), xVal: val, yVal: valTruth },
      {
        updateRule: classic.sgdMomentum,
        optimConfig: { learningRate: 0.1 },
        batchSize: 50,
        numEpochs: 12,
        lrDecay: 0.95,
      },
    );
    const history = await solver.train();
    expect(history.loss.length).toBe(72);
    expect(history.valAccuracy.length).toBe(12);
    expect(history.bestValAccuracy).toBeGreaterThan(0.9);
    expect(await classic.accuracyOf(model, val, valTruth)).toBeCloseTo(history.bestValAccuracy, 12);
    collectGarbage();
    expect(memory().tensors - before).toBeLessThan(40);
  });

  test.each([classic.sgd, classic.sgdMomentum, classic.rmsprop, classic.adam])(
    "an update rule takes its defaults",
    (rule) => {
      const [next, config] = (rule as classic.UpdateRule<object>)(tensor([1, 2]), tensor([0.5, -0.5]));
      expect(values(next)[0]).toBeLessThan(1);
      expect(values(next)[1]).toBeGreaterThan(2);
      expect(config).toHaveProperty("learningRate");
    },
  );
});

describe("features", () => {
  /** hog_feature of one grey picture, pixel by pixel. */
  function hog(grey: number[][]): number[] {
    const [h, w] = [grey.length, grey[0]!.length];
    const cells = new Map<string, number>();
    for (let i = 0; i < h - (h % 8); i++) {
      for (let j = 0; j < w - (w % 8); j++) {
        const gx = j + 1 < w ? grey[i]![j + 1]! - grey[i]![j]! : 0;
        const gy = i + 1 < h ? grey[i + 1]![j]! - grey[i]![j]! : 0;
        const degrees = (Math.atan2(gy, gx + 1e-15) * 180) / Math.PI + 90;
        if (!(degrees > 0 && degrees < 180)) continue;
        const key = `${Math.floor(j / 8)} ${Math.floor(i / 8)} ${Math.floor(degrees / 20)}`;
        cells.set(key, (cells.get(key) ?? 0) + Math.hypot(gx, gy) / 64);
      }
    }
    const found: number[] = [];
    for (let a = 0; a < Math.floor(w / 8); a++)
      for (let b = 0; b < Math.floor(h / 8); b++)
        for (let o = 0; o < 9; o++) found.push(cells.get(`${a} ${b} ${o}`) ?? 0);
    return found;
  }

  test("HOG is that of the definition", () => {
    const x = randn([2, 1, 16, 25], { dtype: "float64" });
    const rows = x.toArraySync() as number[][][][];
    const got = classic.hogFeatures(x);
    expect(got.shape).toEqual([2, 3 * 2 * 9]);
    close(
      values(got),
      rows.flatMap(([grey]) => hog(grey!)),
      1e-12,
    );
    const colours = cat([x, x, x], 1);
    close(values(classic.hogFeatures(colours)), values(got.mul(0.299 + 0.587 + 0.144)), 1e-9);
  });

  test("the hue histogram counts red, green, blue and grey", () => {
    const pixel = (r: number, g: number, b: number) => [r, g, b];
    const pixels = [
      pixel(255, 0, 0),
      pixel(0, 255, 0),
      pixel(0, 0, 255),
      pixel(9, 9, 9),
      pixel(255, 255, 0),
      pixel(255, 0, 254),
    ];
    const bytes = new Uint8Array([0, 1, 2].flatMap((c) => pixels.map((p) => p[c]!)));
    const got = classic.colorHistogram(tensor(bytes, [1, 3, 1, 6]), { bins: 10 });
    // hues: 0, 1/3, 2/3, 0 (grey), 1/6, just below 5/6
    close(
      values(got),
      [2, 1, 0, 1, 0, 0, 1, 0, 1, 0].map((n) => n / 6),
      1e-6,
    );
    expect(() => classic.colorHistogram(randn([1, 1, 4, 4]))).toThrow(/c 3/);
    expect(() => classic.hogFeatures(randn([1, 3, 4, 9]))).toThrow(/at least 8 x 8/);
  });
});

describe("clusters and maps", () => {
  /** Three clouds far apart, and which each point is from. */
  const clouds = (n: number, d: number, dtype: "float32" | "float64" = "float32") => {
    const centers = randn([3, d], { dtype }).mul(20);
    const x = cat([0, 1, 2].map((c) => randn([n, d], { dtype }).add(centers.slice(c))));
    return { x, truth: Array.from({ length: 3 * n }, (_, i) => Math.floor(i / n)) };
  };

  test("k-means finds clouds, and its inertia is the sum of squared distances", async () => {
    const { x, truth } = clouds(30, 4, "float64");
    const { centers, labels: found, inertia, iterations } = await classic.kMeans(x, 3, { restarts: 3 });
    const of = values(found);
    for (const c of [0, 1, 2]) expect(new Set(of.filter((_, i) => truth[i] === c)).size).toBe(1);
    expect(new Set(of).size).toBe(3);
    const distances = classic.squaredDistances(x, centers).amin(1).sum().itemSync();
    expect(inertia).toBeCloseTo(distances, 6);
    expect(iterations).toBeLessThan(20);
    expect((await classic.kMeans(x, 90)).inertia).toBeLessThan(1e-9);
    await expect(classic.kMeans(x, 91)).rejects.toThrow(/k from 1 to 90/);
  });

  test.each([
    ["few dimensions", 40, 5],
    ["few points", 6, 30],
  ])("PCA, %s: variances of the coordinates, uncorrelated, and exact when all are kept", async (_, n, d) => {
    const x = randn([n, d], { dtype: "float64" })
      .matmul(randn([d, d], { dtype: "float64" }))
      .add(3);
    const pca = await classic.PCA.fit(x);
    const count = Math.min(n - 1, d);
    expect(pca.components.shape).toEqual([count, d]);
    const y = pca.transform(x);
    const covariance = values(y.matmul(y, { transA: true }).div(n - 1));
    const variances = values(pca.explainedVariance);
    for (let i = 0; i < count; i++)
      for (let j = 0; j < count; j++)
        expect(covariance[i * count + j]! / variances[0]!).toBeCloseTo(i === j ? variances[i]! / variances[0]! : 0, 9);
    expect(pca.explainedVarianceRatio.reduce((a, b) => a + b)).toBeCloseTo(1, 9);
    close(values(pca.inverseTransform(y)), values(x), 1e-9);
    const white = pca.whiten(x, { eps: 0 });
    close(values(white.variance(0)), new Array(count).fill(1), 1e-9);
    expect(pca.whiten(x, { kind: "zca" }).shape).toEqual([n, d]);
    const gram = values(pca.components.matmul(pca.components, { transB: true }));
    for (let i = 0; i < count; i++)
      for (let j = 0; j < count; j++) expect(gram[i * count + j]).toBeCloseTo(Number(i === j), 9);
    await expect(classic.PCA.fit(x, { components: count + 1 })).rejects.toThrow(/components from 1 to/);
  });

  test.each([
    ["few dimensions", 20, 6],
    ["few points", 8, 30],
  ])(
    "PCA, %s, of points in a plane: two variances, the rest 0, components orthonormal all the same",
    async (_, n, d) => {
      const x = randn([n, 2], { dtype: "float64" }).matmul(randn([2, d], { dtype: "float64" }));
      const pca = await classic.PCA.fit(x);
      const count = Math.min(n - 1, d);
      const variances = values(pca.explainedVariance);
      for (const v of variances.slice(2)) expect(v / variances[0]!).toBeLessThan(1e-14);
      expect(pca.explainedVarianceRatio[0]! + pca.explainedVarianceRatio[1]!).toBeCloseTo(1, 12);
      const gram = values(pca.components.matmul(pca.components, { transB: true }));
      close(
        gram,
        Array.from({ length: count ** 2 }, (_, i) => Number(i % (count + 1) === 0)),
        1e-12,
      );
      for (const row of pca.components.toArraySync() as number[][])
        expect(row.reduce((a, b) => (Math.abs(b) > Math.abs(a) ? b : a))).toBeGreaterThan(0);
      close(values(pca.inverseTransform(pca.transform(x))), values(x), 1e-12);
      const one = await classic.PCA.fit(x.slice([0, 1]).repeat([4, 1])); // no variance at all
      close([...one.explainedVarianceRatio], new Array(one.explainedVarianceRatio.length).fill(0), 0);
    },
  );

  test("t-SNE keeps clouds together", async () => {
    const { x, truth } = clouds(20, 8);
    const { points, divergence } = await classic.tsne(x, { perplexity: 10, iterations: 750 });
    expect(divergence).toBeGreaterThan(0.1);
    expect(divergence).toBeLessThan(0.25);
    const knn = await new classic.KNearestNeighbor().fit(points, labels(...truth));
    expect(values(await knn.predict(points, { k: 5 }))).toEqual(truth);
    await expect(classic.tsne(x, { perplexity: 60 })).rejects.toThrow(/a perplexity above 1 and below 60/);
  });
});
