/** @file Loss modules: they compute what the functions do, and their weights are buffers under PyTorch's keys. */
import { nn, ones, randn, type Tensor, tensor } from "napier";
import { describe, expect, test } from "vitest";

const x = randn([4, 3]);
const y = randn([4, 3]);
const p = y.sigmoid();
const labels = tensor([0, 2, 1, 1], { dtype: "int32" });
const signs = tensor([1, -1, 1, 1]);
const multi = tensor([0, -1, 0, 2, 1, -1, 1, 0, 2, -1, 0, 0], [4, 3], { dtype: "int32" });
const weight = tensor([0.5, 2, 1]);

const pairs: Record<string, [module: () => Tensor, op: () => Tensor]> = {
  CrossEntropyLoss: [
    () => new nn.CrossEntropyLoss({ weight, labelSmoothing: 0.1 }).forward(x, labels),
    () => nn.crossEntropy(x, labels, { weight, labelSmoothing: 0.1 }),
  ],
  NLLLoss: [() => new nn.NLLLoss({ weight }).forward(x, labels), () => nn.nll(x, labels, { weight })],
  HingeLoss: [() => new nn.HingeLoss({ delta: 2 }).forward(x, labels), () => nn.hinge(x, labels, { delta: 2 })],
  MultiMarginLoss: [
    () => new nn.MultiMarginLoss({ p: 2 }).forward(x, labels),
    () => nn.multiMargin(x, labels, { p: 2 }),
  ],
  FocalLoss: [() => new nn.FocalLoss({ gamma: 1 }).forward(x, labels), () => nn.focal(x, labels, { gamma: 1 })],
  BCELoss: [() => new nn.BCELoss({ weight }).forward(p, p), () => nn.bce(p, p, { weight })],
  BCEWithLogitsLoss: [
    () => new nn.BCEWithLogitsLoss({ posWeight: weight }).forward(x, p),
    () => nn.bceWithLogits(x, p, { posWeight: weight }),
  ],
  SoftMarginLoss: [() => new nn.SoftMarginLoss().forward(x, y.sign()), () => nn.softMargin(x, y.sign())],
  MultiLabelMarginLoss: [() => new nn.MultiLabelMarginLoss().forward(x, multi), () => nn.multiLabelMargin(x, multi)],
  MultiLabelSoftMarginLoss: [
    () => new nn.MultiLabelSoftMarginLoss({ weight }).forward(x, p),
    () => nn.multiLabelSoftMargin(x, p, { weight }),
  ],
  SigmoidFocalLoss: [
    () => new nn.SigmoidFocalLoss({ reduction: "sum" }).forward(x, p),
    () => nn.sigmoidFocal(x, p, { reduction: "sum" }),
  ],
  DiceLoss: [() => new nn.DiceLoss({ smooth: 2 }).forward(p, p), () => nn.dice(p, p, { smooth: 2 })],
  MSELoss: [() => new nn.MSELoss({ reduction: "sum" }).forward(x, y), () => nn.mse(x, y, { reduction: "sum" })],
  L1Loss: [() => new nn.L1Loss().forward(x, y), () => nn.l1(x, y)],
  SmoothL1Loss: [() => new nn.SmoothL1Loss({ beta: 0.5 }).forward(x, y), () => nn.smoothL1(x, y, { beta: 0.5 })],
  HuberLoss: [() => new nn.HuberLoss({ delta: 0.5 }).forward(x, y), () => nn.huber(x, y, { delta: 0.5 })],
  PoissonNLLLoss: [
    () => new nn.PoissonNLLLoss({ full: true }).forward(x, p),
    () => nn.poissonNll(x, p, { full: true }),
  ],
  GaussianNLLLoss: [() => new nn.GaussianNLLLoss().forward(x, y, p), () => nn.gaussianNll(x, y, p)],
  KLDivLoss: [
    () => new nn.KLDivLoss({ reduction: "batchmean" }).forward(x, p),
    () => nn.kl(x, p, { reduction: "batchmean" }),
  ],
  CosineEmbeddingLoss: [
    () => new nn.CosineEmbeddingLoss({ margin: 0.1 }).forward(x, y, signs),
    () => nn.cosineEmbedding(x, y, signs, { margin: 0.1 }),
  ],
  MarginRankingLoss: [
    () => new nn.MarginRankingLoss({ margin: 0.1 }).forward(signs, signs, signs),
    () => nn.marginRanking(signs, signs, signs, { margin: 0.1 }),
  ],
  HingeEmbeddingLoss: [() => new nn.HingeEmbeddingLoss().forward(x, y.sign()), () => nn.hingeEmbedding(x, y.sign())],
  TripletMarginLoss: [
    () => new nn.TripletMarginLoss({ swap: true }).forward(x, y, p),
    () => nn.tripletMargin(x, y, p, { swap: true }),
  ],
  InfoNCELoss: [() => new nn.InfoNCELoss({ temperature: 1 }).forward(x, y), () => nn.infoNCE(x, y, { temperature: 1 })],
  CTCLoss: [
    () => new nn.CTCLoss({ blank: 2 }).forward(x.unsqueeze(1), tensor([[0, 1]], { dtype: "int32" }), [4], [2]),
    () => nn.ctc(x.unsqueeze(1), tensor([[0, 1]], { dtype: "int32" }), [4], [2], { blank: 2 }),
  ],
};

describe("modules compute what the functions do", () => {
  test("every loss module has its case", () => {
    expect(
      Object.keys(nn)
        .filter((name) => name.endsWith("Loss"))
        .sort(),
    ).toEqual(Object.keys(pairs).sort());
  });
  test.each(Object.entries(pairs))("%s", (_, [module, op]) => {
    const got = module().itemSync();
    expect(Number.isFinite(got)).toBe(true);
    expect(got).toBe(op().itemSync());
  });
});

test("weights are saved under PyTorch's keys, follow to(), and learn nothing", () => {
  const loss = new nn.BCEWithLogitsLoss({ weight, posWeight: weight }).to("float64");
  expect(Object.keys(loss.stateDict())).toEqual(["weight", "pos_weight"]);
  expect(loss.posWeight!.dtype).toBe("float64");
  expect(loss.parameters()).toEqual([]);
  expect(Object.keys(new nn.CrossEntropyLoss().stateDict())).toEqual([]);
  const learned = ones([3], { requiresGrad: true });
  const scores = randn([4, 3], { requiresGrad: true });
  nn.crossEntropy(scores, labels, { weight: learned }).backward();
  expect(learned.grad).toBeNull();
});
