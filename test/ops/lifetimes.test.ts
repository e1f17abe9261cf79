/** @file No record refers to a user's tensor: an intermediate that nothing else holds is freed before backward runs. */
import * as napier from "napier";
import { collectGarbage, crossEntropy, memory, nn, ones, randn, scope, type Tensor, tensor } from "napier";
import { describe, expect, test } from "vitest";

const labels = tensor([0, 1], { dtype: "int32" });
const w = randn([3, 4], { requiresGrad: true });
const image = (x: Tensor) => x.reshape([1, 2, 2, 2]);
const kernel = randn([2, 2, 1, 1], { requiresGrad: true });
/** 2 x 2, symmetric and positive definite. */
const square = (x: Tensor) => napier.matmul(x, x, { transB: true }).add(napier.eye(2));
// x: [2, 4]
const OPS: Record<string, (x: Tensor) => Tensor> = {
  "add, broadcast": (x) => x.add(ones([4], { requiresGrad: true })),
  sub: (x) => ones([2, 4]).sub(x),
  mul: (x) => x.mul(ones([4])),
  "mul by a number": (x) => x.mul(3),
  "add a number": (x) => x.add(3),
  div: (x) => x.div(ones([4])),
  pow: (x) => x.abs().pow(ones([4])),
  powScalar: (x) => x.powScalar(2),
  maximum: (x) => x.maximum(ones([4])),
  atan2: (x) => x.atan2(ones([4])),
  where: (x) => napier.where(x.greater(0), x, 0),
  exp: (x) => x.exp(),
  log: (x) => x.abs().log(),
  relu: (x) => x.relu(),
  gelu: (x) => x.gelu(),
  leakyRelu: (x) => x.leakyRelu(),
  clamp: (x) => x.clamp(-1, 1),
  floor: (x) => x.floor(),
  to: (x) => x.to("float64"),
  clone: (x) => x.clone(),
  identity: (x) => x.identity(),
  sum: (x) => x.sum(1),
  mean: (x) => x.mean(),
  variance: (x) => x.variance(0),
  prod: (x) => x.prod(1),
  amax: (x) => x.amax(1),
  reshape: (x) => x.reshape([4, -1]),
  flatten: (x) => x.flatten(),
  permute: (x) => x.permute([1, 0]),
  expand: (x) => x.unsqueeze(0).expand([3, -1, -1]),
  slice: (x) => x.slice(0, [1, 3]),
  cat: (x) => napier.cat([x, ones([2, 4])], 1),
  stack: (x) => napier.stack([x, x]),
  pad: (x) => x.pad([1, 1]),
  matmul: (x) => x.matmul(ones([4, 3])),
  linear: (x) => x.linear(w, randn([3], { requiresGrad: true })),
  softmax: (x) => x.softmax(),
  logSoftmax: (x) => x.logSoftmax(0),
  crossEntropy: (x) => crossEntropy(x, labels),
  hinge: (x) => x.hinge(labels),
  mse: (x) => x.mse(ones([2, 4])),
  bceWithLogits: (x) => x.bceWithLogits(ones([2, 4])),
  "crossEntropy, smoothed and weighted": (x) => x.crossEntropy(labels, { labelSmoothing: 0.1, weight: ones([4]) }),
  "crossEntropy of probabilities": (x) => x.crossEntropy(ones([2, 4])),
  nll: (x) => x.nll(labels),
  multiMargin: (x) => x.multiMargin(labels, { p: 2, weight: ones([4]) }),
  multiLabelMargin: (x) => x.multiLabelMargin(tensor([0, -1, 0, 0, 2, 1, -1, 0], [2, 4], { dtype: "int32" })),
  focal: (x) => x.focal(labels),
  bce: (x) => x.sigmoid().bce(ones([2, 4])),
  sigmoidFocal: (x) => x.sigmoidFocal(ones([2, 4])),
  huber: (x) => x.huber(ones([2, 4])),
  kl: (x) => x.kl(ones([2, 4])),
  infoNCE: (x) => x.infoNCE(ones([2, 4])),
  ctc: (x) => x.reshape([4, 1, 2]).ctc(tensor([[1]], { dtype: "int32" }), [4], [1]),
  layerNorm: (x) => x.layerNorm(4, ones([4], { requiresGrad: true })),
  batchNorm: (x) => x.batchNorm(null, null, null, null, { training: true }),
  dropout: (x) => x.dropout(0.5),
  conv2d: (x) => image(x).conv2d(kernel, randn([2], { requiresGrad: true }), { padding: "same" }),
  maxPool2d: (x) => image(x).maxPool2d(2),
  avgPool2d: (x) => image(x).avgPool2d(2),
  adaptiveAvgPool2d: (x) => image(x).adaptiveAvgPool2d(1),
  adaptiveMaxPool2d: (x) => image(x).adaptiveMaxPool2d(1),
  gather: (x) => x.gather(1, labels.reshape([2, 1])),
  scatter: (x) => x.scatter(1, labels.reshape([2, 1]), 0),
  scatterAdd: (x) => x.scatterAdd(1, labels.reshape([2, 1]), ones([2, 1])),
  indexSelect: (x) => x.indexSelect(0, labels),
  maskedSelect: (x) => x.maskedSelect(x.greater(0)),
  std: (x) => x.std(1),
  max: (x) => x.max(1).values,
  norm: (x) => x.norm(2, 1),
  logsumexp: (x) => x.logsumexp(1),
  cumsum: (x) => x.cumsum(1),
  cumprod: (x) => x.cumprod(1),
  cummax: (x) => x.cummax(1).values,
  logcumsumexp: (x) => x.logcumsumexp(1),
  sort: (x) => x.sort().values,
  median: (x) => x.median(1).values,
  quantile: (x) => x.quantile(0.3, 1),
  flip: (x) => x.flip(),
  roll: (x) => x.roll(1),
  repeat: (x) => x.repeat([2, 2]),
  unfoldAxis: (x) => x.unfoldAxis(1, 3, 1),
  split: (x) => x.split(2, 1)[0]!,
  "pad, reflect": (x) => x.pad([1, 1], { mode: "reflect" }),
  tril: (x) => x.tril(),
  diagonal: (x) => x.diagonal(),
  diagEmbed: (x) => x.diagEmbed(),
  einsum: (x) => napier.einsum("ij,kj->ik", x, x),
  cdist: (x) => x.cdist(ones([3, 4])),
  "cdist, p = 3": (x) => x.cdist(ones([3, 4]).mul(2), { p: 3 }),
  normalize: (x) => x.normalize(),
  cosineSimilarity: (x) => x.cosineSimilarity(ones([2, 4])),
  inverse: (x) => square(x).inverse(),
  det: (x) => square(x).det(),
  slogdet: (x) => square(x).slogdet().logAbsDet,
  solveTriangular: (x) => napier.linalg.solveTriangular(square(x), ones([2])),
  cholesky: (x) => square(x).cholesky(),
  lu: (x) => square(x).lu().u,
  qr: (x) => square(x).qr().r,
  eigh: (x) => napier.linalg.eigh(square(x)).w,
  svd: (x) => square(x).svd().s,
  pinv: (x) => square(x).pinv(),
  matrixExp: (x) => square(x).matrixExp(),
  sqrtm: (x) => napier.linalg.sqrtm(square(x)),
  "sqrtm, symmetric": (x) => napier.linalg.sqrtm(square(x), { symmetric: true }),
  scaledDotProductAttention: (x) => napier.scaledDotProductAttention(x, x, x, { causal: true }),
  lstmCell: (x) => napier.lstmCell(x, ones([2, 1], { requiresGrad: true }))[0].mul(ones([1, 2])),
  gruCell: (x) => napier.gruCell(x.slice(null, [0, 3]), ones([2, 3]), ones([2, 1])),
  bilinear: (x) => napier.bilinear(x, ones([2, 1]), ones([3, 4, 1], { requiresGrad: true })),
  "embeddingBag, max": (x) => napier.embeddingBag(tensor([[1, 0]], { dtype: "int32" }), x, { mode: "max" }),
  stochasticDepth: (x) => x.stochasticDepth(0.5),
  checkpoint: (x) => nn.checkpoint((y) => y.exp().mul(2), x),
  embedding: (x) => tensor([1, 0], { dtype: "int32" }).embedding(x),
};

describe("the input dies before backward, and backward still works", () => {
  test.each(Object.entries(OPS))("%s", async (_, op) => {
    const leaf = ones([2, 4], { requiresGrad: true });
    const make = (): [Tensor, WeakRef<Tensor>] => {
      const x = leaf.mul(1.5);
      return [op(x), new WeakRef(x)];
    };
    const [y, x] = make();
    await new Promise((resolve) => setImmediate(resolve)); // a WeakRef holds its target until the task ends
    collectGarbage();
    expect(x.deref()).toBeUndefined();
    y.sum().backward();
    expect([...leaf.grad!.shape]).toEqual([2, 4]);
  });
});

test("losses that are kept for a log keep nothing but themselves", () => {
  const net = new nn.Sequential(new nn.Linear(4, 8), new nn.ReLU(), new nn.LayerNorm(8), new nn.Linear(8, 3));
  const x = randn([2, 4]);
  const kept: Tensor[] = [];
  const step = () => {
    net.zeroGrad();
    const loss = net
      .forward(x)
      .add(ones([3]))
      .reshape([2, 3])
      .mul(2)
      .crossEntropy(labels);
    loss.backward();
    kept.push(loss);
    collectGarbage();
    return memory().tensors;
  };
  step();
  const before = step();
  for (let i = 0; i < 4; i++) step();
  expect(step() - before).toBe(5);
});

test("backward leaves gradients behind, and no intermediates of theirs", () => {
  const [a, b] = [ones([1, 4], { requiresGrad: true }), ones([2, 1], { requiresGrad: true })];
  const y = scope(() => a.mul(b).pow(a).clamp(-5, 5).maximum(b).sum());
  collectGarbage();
  y.backward({ retainGraph: true });
  const before = memory().tensors;
  y.backward({ retainGraph: true }); // replaces both gradients
  expect(memory().tensors).toBe(before);
});
