/** @file Occlusion, SmoothGrad, integrated gradients and roll-out maps beside loops and closed forms. */
import {
  explain,
  full,
  Generator,
  manualSeed,
  memory,
  models,
  nn,
  randn,
  resetPeakMemory,
  type Tensor,
  tensor,
  zeros,
} from "napier";
import { describe, expect, test } from "vitest";
import { addon } from "#lib/native.js";

const numbers = (t: Tensor) => [...t.dataSync()].map(Number);
const labels = (...all: number[]) => tensor(Int32Array.from(all));
const apart = (a: Tensor, b: Tensor) => a.sub(b).abs().max().itemSync();

/** Scores by one matrix: gradients are its rows. */
const linear = (c: number, h: number, w: number, classes = 2) =>
  new nn.Sequential(new nn.Flatten(), new nn.Linear(c * h * w, classes)).to("float64");
const rowOf = (model: nn.Sequential, label: number, shape: readonly number[]) =>
  (model.at(1) as nn.Linear).weight.detach().slice(label).reshape(shape);

/** One score a picture, the sum of its cubes: its gradient is 3 x^2. */
class Cubes extends nn.Module {
  forward(x: Tensor): Tensor {
    return x.mul(x).mul(x).flatten(1).sum(1, { keepDims: true });
  }
}

const network = () =>
  new nn.Sequential(
    new nn.Conv2d(2, 4, 3, { padding: 1 }),
    new nn.Tanh(),
    new nn.Dropout(0.5),
    new nn.Flatten(),
    new nn.Linear(4 * 5 * 7, 3),
  ).to("float64");

describe("occlusion", () => {
  test("of one pixel, under a matrix: what the pixel's channels add to the score", () => {
    manualSeed(1);
    const model = linear(2, 2, 3);
    const x = randn([2, 2, 2, 3], { dtype: "float64" });
    const map = explain.occlusion(model, x, labels(0, 1), { size: 1, fill: 0.5 });
    for (const label of [0, 1]) {
      const expected = rowOf(model, label, [2, 2, 3]).mul(x.slice(label).sub(0.5)).sum(0);
      expect(apart(map.slice(label), expected)).toBeLessThan(1e-12);
    }
  });

  test.each([
    { size: 2, stride: 2 },
    { size: 3, stride: 2 },
    { size: 4, stride: 1 },
  ])("of squares of $size every $stride: the mean fall over those that cover a pixel, by loops", ({ size, stride }) => {
    manualSeed(2);
    const [model, [h, w]] = [network(), [5, 7]];
    const x = randn([2, 2, h, w], { dtype: "float64" });
    const y = [2, 0];
    const map = explain.occlusion(model, x, labels(...y), { size, stride, fill: 0.25, batchSize: 5 });
    expect(model.training).toBe(true);
    model.eval();
    const scores = (pictures: Tensor) => y.map((label, i) => model.forward(pictures).slice(i, label).itemSync());
    const whole = scores(x);
    const [sum, count] = [new Float64Array(2 * h * w), new Float64Array(h * w)];
    const begins = (length: number) =>
      Array.from({ length }, (_, i) => i).filter(
        (i) => i + size <= length && (i % stride === 0 || i + size === length),
      );
    for (const row of begins(h))
      for (const column of begins(w)) {
        const pixels = Float64Array.from(numbers(x));
        const inside: number[] = [];
        for (let r = row; r < row + size; r++) for (let q = column; q < column + size; q++) inside.push(r * w + q);
        for (let map = 0; map < 4; map++) for (const at of inside) pixels[map * h * w + at] = 0.25;
        const now = scores(tensor(pixels, [2, 2, h, w]));
        for (const at of inside) {
          count[at]!++;
          for (const i of [0, 1]) sum[i * h * w + at]! += whole[i]! - now[i]!;
        }
      }
    const expected = tensor(
      sum.map((s, i) => s / count[i % (h * w)]!),
      [2, h, w],
    );
    expect(apart(map, expected)).toBeLessThan(1e-12);
    const inOnePass = explain.occlusion(model, x, labels(...y), { size, stride, fill: 0.25 });
    expect(apart(map, inOnePass)).toBeLessThan(1e-12);
  });

  test("more pictures than a pass holds go in parts, in memory that does not grow with the places", () => {
    const [model, x] = [linear(1, 24, 24).to("float32").eval(), randn([3, 1, 24, 24])];
    const options = { size: 4, stride: 1 }; // 441 places
    const whole = explain.occlusion(model, x, labels(0, 1, 0), { ...options, batchSize: 64 });
    addon.synchronize();
    resetPeakMemory();
    const { liveBytes } = memory();
    const parts = explain.occlusion(model, x, labels(0, 1, 0), { ...options, batchSize: 2 });
    addon.synchronize();
    expect(memory().peakBytes - liveBytes).toBeLessThan((441 * 24 * 24) / 2); // bytes; all masks would be twice that, and floats
    expect(apart(whole, parts)).toBeLessThan(1e-5);
  });

  test("says what does not fit", () => {
    const [model, x] = [linear(1, 4, 4).to("float32"), zeros([1, 1, 4, 4])];
    expect(() => explain.occlusion(model, x, 0, { size: 5 })).toThrow("occlusion: expected a size from 1 to 4, got 5");
    expect(() => explain.occlusion(model, x, 0, { size: 2, stride: 3 })).toThrow(
      "expected a stride from 1 to 2, got 3",
    );
    expect(() => explain.occlusion(model, x, 0, { batchSize: 0 })).toThrow("expected a batchSize from 1 up, got 0");
    expect(() => explain.occlusion(model, zeros([1, 16]), 0)).toThrow("expected pictures [n,c,h,w], got [1,16]");
    expect(() => explain.occlusion(model, x, 2)).toThrow("occlusion: expected labels between 0 and 1, got 2");
  });
});

describe("smoothGrad", () => {
  test("under a matrix noise changes nothing: saliency", () => {
    manualSeed(3);
    const model = linear(3, 2, 2);
    const x = randn([2, 3, 2, 2], { dtype: "float64" });
    const map = explain.smoothGrad(model, x, labels(1, 0), { samples: 3, noise: 2 });
    expect(map.shape).toEqual([2, 2, 2]);
    expect(apart(map, explain.saliency(model, x, labels(1, 0)))).toBeLessThan(1e-12);
  });

  test("of cubes: 3 (x^2 + variance of the noise), which is a share of each picture's range", () => {
    const x = tensor([[[[0, 1]]], [[[0, 4]]]], { dtype: "float64" }); // ranges 1 and 4
    const options = { samples: 4000, noise: 0.3, batchSize: 1000 };
    const map = explain.smoothGrad(new Cubes(), x, 0, { ...options, generator: new Generator(4) });
    // Deviations 0.3 and 1.2; a mean of 4,000 is off by 6 x sd / 63, some 0.03 and 0.46.
    const expected = [3 * 0.09, 3 * 1.09, 3 * 1.44, 3 * 17.44];
    for (const [i, v] of numbers(map).entries()) expect(Math.abs(v - expected[i]!)).toBeLessThan(i < 2 ? 0.1 : 1.5);
    const again = explain.smoothGrad(new Cubes(), x, 0, { samples: 2, generator: new Generator(4) });
    expect(numbers(explain.smoothGrad(new Cubes(), x, 0, { samples: 2, generator: new Generator(4) }))).toEqual(
      numbers(again),
    );
    expect(numbers(explain.smoothGrad(new Cubes(), x, 0, { samples: 2, noise: 0 }))).toEqual([0, 3, 0, 48]);
  });

  test("says what does not fit", () => {
    const x = zeros([1, 1, 1, 2]);
    expect(() => explain.smoothGrad(new Cubes(), x, 0, { samples: 0 })).toThrow(
      "smoothGrad: expected samples from 1 up",
    );
    expect(() => explain.smoothGrad(new Cubes(), x, 0, { noise: -1 })).toThrow("smoothGrad: expected noise from 0 up");
    expect(() => explain.smoothGrad(new Cubes(), x, 1)).toThrow("smoothGrad: expected labels between 0 and 0, got 1");
  });
});

describe("integratedGradients", () => {
  test("under a matrix: weight times the way from the baseline, with one step", () => {
    manualSeed(5);
    const model = linear(2, 2, 2);
    const x = randn([1, 2, 2, 2], { dtype: "float64" });
    const baseline = tensor([0.5, -1], [1, 2, 1, 1], { dtype: "float64" });
    const parts = explain.integratedGradients(model, x, 1, { baseline, steps: 1 });
    expect(apart(parts, rowOf(model, 1, [1, 2, 2, 2]).mul(x.sub(baseline)))).toBeLessThan(1e-12);
  });

  test("of cubes by the middle of m parts: x^3 (1 - 1 / (4 m^2))", () => {
    const x = tensor([[[[1, -2, 3]]]], { dtype: "float64" });
    for (const steps of [1, 2, 10]) {
      const parts = numbers(explain.integratedGradients(new Cubes(), x, 0, { steps }));
      for (const [i, cube] of [1, -8, 27].entries())
        expect(parts[i]!).toBeCloseTo(cube * (1 - 1 / (4 * steps ** 2)), 10);
    }
  });

  test("complete: a picture's parts sum to its score less the baseline's", () => {
    manualSeed(6);
    const model = network();
    const x = randn([3, 2, 5, 7], { dtype: "float64" });
    const y = labels(2, 0, 1);
    const parts = explain.integratedGradients(model, x, y, { baseline: 0.2, steps: 200 });
    expect(model.training).toBe(true);
    expect(model.parameters().every((p) => p.grad === null)).toBe(true);
    model.eval();
    const scores = (z: Tensor) => model.forward(z).takeAlong(y.unsqueeze(1), 1).squeeze(1);
    const difference = scores(x).sub(scores(full(x.shape, 0.2, { dtype: "float64" })));
    expect(apart(parts.sum([1, 2, 3]), difference)).toBeLessThan(1e-4);
    // What does not reach the score has no part.
    const blind = x.slice([0, 1]).clone();
    const dead = new nn.Sequential(new nn.ReLU(), new nn.Flatten(), new nn.Linear(70, 2)).to("float64");
    const relued = explain.integratedGradients(dead, blind, 0);
    expect(apart(relued.mul(blind.less(0).to("float64")), zeros(blind.shape, { dtype: "float64" }))).toBe(0);
  });

  test("says what does not fit", () => {
    const x = zeros([2, 1, 1, 2]);
    const baseline = zeros([3, 1, 1, 2]);
    expect(() => explain.integratedGradients(new Cubes(), x, 0, { baseline })).toThrow(
      "integratedGradients: expected a baseline that extends to [2,1,1,2], got [3,1,1,2]",
    );
    expect(() => explain.integratedGradients(new Cubes(), x, 0, { steps: 1.5 })).toThrow("expected steps from 1 up");
    expect(() => explain.integratedGradients(new Cubes(), x, -1)).toThrow("expected labels between 0 and 0, got -1");
  });
});

test("a label that is no class is named by whoever was asked, before anything is computed", async () => {
  const [model, x] = [linear(1, 2, 2).to("float32"), zeros([1, 1, 2, 2])];
  const conv = new nn.Sequential(new nn.Conv2d(1, 2, 1), new nn.AdaptiveAvgPool2d(1), new nn.Flatten());
  expect(() => explain.saliency(model, x, 7)).toThrow("saliency: expected labels between 0 and 1, got 7");
  expect(() => explain.saliency(model, x, labels(7))).toThrow("saliency: expected labels between 0 and 1, got 7");
  expect(() => explain.saliency(model, x, 0.5)).toThrow("saliency: expected a whole number as the label, got 0.5");
  expect(() => explain.gradCam(conv, conv.at(0), x, 2)).toThrow("gradCam: expected labels between 0 and 1, got 2");
  expect(() => explain.pgd(model, x, 2)).toThrow("pgd: expected labels between 0 and 1, got 2");
  await expect(explain.foolingPicture(model, x, 2)).rejects.toThrow("foolingPicture: expected labels between 0 and 1");
  await expect(explain.classPicture(model, -1, { shape: [1, 2, 2] })).rejects.toThrow(
    "classPicture: expected labels between 0 and 1, got -1",
  );
  expect(() => explain.saliency(new nn.Conv2d(1, 1, 1), x, 0)).toThrow(
    "saliency: expected a model that answers scores [n,classes], got [1,1,2,2]",
  );
});

describe("rolloutMap", () => {
  test("each patch's share of the class token, as squares of the picture", () => {
    // One head; the class token takes 0.1, 0.2, 0.3 and 0.4 of the patches, which take themselves.
    const weights = Float32Array.from({ length: 25 }, (_, i) => (i < 5 ? i / 10 : i % 6 === 0 ? 1 : 0));
    const map = explain.rolloutMap([tensor(weights, [1, 1, 5, 5])], [4, 2]);
    expect(map.shape).toEqual([1, 4, 2]);
    const expected = [0.05, 0.1, 0.05, 0.1, 0.15, 0.2, 0.15, 0.2]; // half, beside the token's own half
    for (const [i, v] of numbers(map).entries()) expect(v).toBeCloseTo(expected[i]!, 6);
  });

  test("without a class token the mean over the tokens; of a model; what is no grid", () => {
    manualSeed(7);
    const maps = [randn([2, 3, 4, 4]).softmax(3), randn([2, 3, 4, 4]).softmax(3)];
    const map = explain.rolloutMap(maps, 2, { classToken: false });
    expect(apart(map.flatten(1), explain.attentionRollout(maps).mean(1))).toBeLessThan(1e-6);
    const vit = new models.VisionTransformer({ classes: 3, imageSize: 8, patch: 4, dim: 12, depth: 2, heads: 3 });
    const smooth = explain.rolloutMap(vit.eval().attentionMaps(randn([2, 3, 8, 8])), 8, { mode: "bilinear" });
    expect(smooth.shape).toEqual([2, 8, 8]);
    expect(smooth.requiresGrad).toBe(false);
    expect(() => explain.rolloutMap(maps, 2)).toThrow(
      "rolloutMap: expected tokens of a square grid and a class token, got [2,4,4]",
    );
  });
});
