/** @file Metrics, files and the classic methods. */
import { classic, io, metrics, type Tensor } from "napier";
import { asserts, type Equal, type Expect } from "./equal.js";

export async function right(x: Tensor, y: Tensor) {
  const meter = new metrics.ClassificationMeter(3);
  meter.update(new Uint8Array([1, 2]), [1, 2]);
  meter.load(meter.state());
  const { precision, support } = meter.compute().perClass[0];
  const areas = new metrics.RankingMeter().compute();
  const { tensors } = await io.inspect("model.safetensors");
  const [out, cache] = classic.affineForward(x, x, y);
  const [dx, dw, db] = classic.affineBackward(out, cache);
  const neighbours = await new classic.KNearestNeighbor().fit(x, y);
  const labels = await neighbours.predict(x, { k: 3 });
  const { best } = await classic.crossValidateK(x, y, { ks: [1, 3] });
  const { loss, grads } = new classic.TwoLayerNet(4, 8, 3).loss(x, y);
  const { points } = await classic.tsne(x, { perplexity: 5 });
  asserts<
    [
      Expect<Equal<typeof precision, number>>,
      Expect<Equal<typeof support, number>>,
      Expect<Equal<typeof areas, metrics.RankingScores>>,
      Expect<Equal<ReturnType<typeof meter.report>, string>>,
      Expect<Equal<(typeof tensors)[number]["shape"], number[]>>,
      Expect<Equal<typeof dx, Tensor>>,
      Expect<Equal<typeof dw, Tensor>>,
      Expect<Equal<typeof db, Tensor>>,
      Expect<Equal<typeof neighbours, classic.KNearestNeighbor>>,
      Expect<Equal<typeof labels, Tensor>>,
      Expect<Equal<typeof best, number>>,
      Expect<Equal<typeof loss, Tensor>>,
      Expect<Equal<keyof typeof grads, "W1" | "b1" | "W2" | "b2">>,
      Expect<Equal<typeof points, Tensor>>,
    ]
  >();
}

export async function wrongMetrics(x: Tensor) {
  // @ts-expect-error: numbers, not tensors: await x.data() first
  metrics.accuracy(x, x);
  // @ts-expect-error: nor a promise of numbers
  metrics.accuracy(x.data(), [1]);
  // @ts-expect-error: nor texts
  metrics.accuracy(["cat"], ["dog"]);
  // @ts-expect-error: labels are missing
  metrics.confusionMatrix([1, 2]);
  // @ts-expect-error: k is an option
  metrics.topKAccuracy([0.1, 0.9], [1], 1);
  // @ts-expect-error: misspelt
  metrics.classificationReport([1], [1], { names: ["cat", "dog"] });
  // @ts-expect-error: no such average
  metrics.rocAuc([0.1], [1], { average: "micro" });
  // @ts-expect-error: no such weights
  metrics.cohenKappa([1], [1], { weights: "cubic" });
  // @ts-expect-error: the number of classes is needed
  new metrics.ClassificationMeter();
  // @ts-expect-error: scores have names
  new metrics.RegressionMeter().compute().rmsle;
  // @ts-expect-error: the state is numbers
  new metrics.TopKMeter().load("[1, 2]");
}

export async function wrongFiles(x: Tensor) {
  // @ts-expect-error: tensors by name
  io.save("x.safetensors", x);
  // @ts-expect-error: nor arrays
  io.save("x.safetensors", { x: [1, 2] });
  // @ts-expect-error: metadata are texts
  io.save("x.safetensors", { x }, { metadata: { epoch: 3 } });
  // @ts-expect-error: the file comes first
  io.saveNpy(x, "x.npy");
  // @ts-expect-error: a promise of tensors
  io.load("x.safetensors").x;
}

export async function wrongClassics(x: Tensor, y: Tensor) {
  // @ts-expect-error: labels are missing
  new classic.KNearestNeighbor().fit(x);
  // @ts-expect-error: arrays are no tensors
  new classic.KNearestNeighbor().fit([[1, 2]], [0]);
  // @ts-expect-error: at most two
  new classic.KNearestNeighbor().distances(x, { loops: 3 });
  // @ts-expect-error: k is an option
  new classic.KNearestNeighbor().predict(x, 3);
  // @ts-expect-error: several ks
  classic.crossValidateK(x, y, { ks: 3 });
  // @ts-expect-error: the number of classes is missing
  new classic.LinearSoftmax(4);
  // @ts-expect-error: no such regulariser
  new classic.LinearSvm(4, 3, { regularizer: "l1" });
  // @ts-expect-error: the hidden width is missing
  new classic.TwoLayerNet(4, 3);
  // @ts-expect-error: the cache of another layer
  classic.affineBackward(x, classic.reluForward(x)[1]);
  // @ts-expect-error: how many clusters is needed
  classic.kMeans(x);
  // @ts-expect-error: misspelt
  classic.kMeans(x, 3, { maxIter: 10 });
  // @ts-expect-error: made by fit()
  new classic.PCA();
  // @ts-expect-error: misspelt
  classic.PCA.fit(x, { nComponents: 2 });
  // @ts-expect-error: scikit-learn's name
  classic.tsne(x, { n_iter: 250 });
  // @ts-expect-error: train or test
  classic.dropoutForward(x, { p: 0.5, mode: "eval" });
  // @ts-expect-error: stride and padding are needed
  classic.convForwardFast(x, x, y, {});
}
