/** @file Options that cannot be, told by the class that was asked for, with what came and what to do. */
import { full, models, nn, randn, zeros } from "napier";
import { describe, expect, test } from "vitest";

test.each([
  [() => new models.UNet({ conditionDropout: 2 }), "UNet: expected conditionDropout to be from 0 to 1, got 2"],
  [
    () => new models.UNet({ conditionDropout: Number.NaN }),
    "UNet: expected conditionDropout to be from 0 to 1, got NaN",
  ],
  [() => new models.DiT({ conditionDropout: -0.1 }), "DiT: expected conditionDropout to be from 0 to 1, got -0.1"],
  [
    () => new models.UNet({ dimMults: [] }),
    "UNet: expected dimMults of one level or more, such as [1, 2, 4, 8], got []",
  ],
  [
    () => new models.UNet({ dim: 12 }),
    "UNet: expected a dim that is a multiple of the 8 groups, got 12; take dim 16, or other groups",
  ],
  [
    () => new models.MultiHeadAttention(10, 2, { rotary: true }),
    "MultiHeadAttention: expected an even number of features a head for rotary positions, got 5 (embedDim 10, heads 2); take embedDim 12, or no rotary positions",
  ],
  [
    () => new models.TextEncoder({ vocabulary: 9, dim: 10, heads: 4 }),
    "TextEncoder: expected heads that divide dim 10, got 4",
  ],
])("options out of range %#", (make, sentence) => {
  expect(make).toThrow(RangeError);
  expect(make).toThrow(sentence);
});

test("dims that other groups divide, or without groups at all", () => {
  const t = full([2], 3, { dtype: "int32" });
  for (const options of [{ groups: 4 }, { layout: "cs231n" }] as const) {
    const model = new models.UNet({ dim: 12, dimMults: [1], channels: 1, conditionDropout: 1, ...options });
    expect(model.forward(zeros([2, 1, 4, 4]), t).shape).toEqual([2, 1, 4, 4]);
  }
});

test("a VQ-VAE has no size of pictures", () => {
  // @ts-expect-error: it takes any that its halvings divide
  const model = new models.VQVAE({ imageSize: 8, width: 4, latent: 4, codes: 16 });
  expect(model.forward(zeros([2, 1, 12, 8])).y.shape).toEqual([2, 1, 12, 8]);
});

describe("one picture whose last maps are 1x1", () => {
  test.each<[string, number, () => nn.Layer]>([
    ["MobileNetV2", 32, () => new models.MobileNetV2({ classes: 2, widthMultiplier: 0.1 })],
    ["ResNet", 32, () => new models.ResNet({ classes: 2, width: 2 })],
    ["ResNet", 8, () => new models.ResNet({ classes: 2, width: 2, stem: "cifar" })],
    ["CifarResNet", 4, () => new models.CifarResNet({ depth: 8, width: 2 })],
    ["WideResNet", 4, () => new models.WideResNet({ depth: 10, widen: 1 })],
    ["DenseNet", 29, () => new models.DenseNet({ classes: 2, growth: 2, first: 2, blocks: [1, 1, 1, 1] })],
  ])("%s at %i pixels: refused in training alone", (name, side, make) => {
    const model = make();
    const picture = (n: number, s: number) => randn([n, 3, s, s]);
    const sentence = `${name}: expected two pictures or more in training, for batch normalisation over 1x1 places, got [1,3,${side},${side}]; call eval()`;
    expect(() => model.forward(picture(1, side))).toThrow(sentence);
    expect(model.forward(picture(2, side)).shape[0]).toBe(2);
    const further = name === "DenseNet" ? 61 : side + 1; // its transitions round down
    expect(model.forward(picture(1, further)).shape[0]).toBe(1);
    for (const m of model.modules()) if (m instanceof nn.BatchNorm2d) m.eval();
    expect(model.forward(picture(1, side)).shape[0]).toBe(1);
  });
});
