/** @file Models by name: shapes, keys, and that each learns. */
import { manualSeed, models, nn, optim, randn, type Tensor, tensor } from "napier";
import { describe, expect, test } from "vitest";

test("names", () => {
  expect(models.list()).toEqual(expect.arrayContaining(["mlp", "convnet", "vgg-small", "resnet18"]));
  // @ts-expect-error: the types refuse it too
  expect(() => models.create("resnet-0")).toThrow('got "resnet-0"');
  // @ts-expect-error: the types refuse it too
  expect(() => models.create("toString")).toThrow("expected one of");
});

describe.each(["mlp", "convnet", "vgg-small"] as const)("%s", (name) => {
  test.each([
    { classes: 10, inChannels: 1, imageSize: 28 },
    { classes: 3, inChannels: 3, imageSize: 32 },
    { classes: 2, inChannels: 2, imageSize: 15 },
  ])("scores of $inChannels x $imageSize x $imageSize", (options) => {
    const model = models.create(name, options);
    const x = randn([2, options.inChannels, options.imageSize, options.imageSize]);
    expect(model.forward(x).shape).toEqual([2, options.classes]);
  });

  test("every parameter gets a gradient, and eight pictures are learnt by heart", () => {
    manualSeed(1);
    const model = models.create(name, { classes: 4, inChannels: 1, imageSize: 12 });
    const x = randn([8, 1, 12, 12]);
    const y = tensor(Int32Array.from([0, 1, 2, 3, 0, 1, 2, 3]));
    const optimizer = new optim.AdamW(model.parameters(), { lr: 3e-3 });
    let loss: Tensor | null = null;
    for (let i = 0; i < 40; i++) {
      optimizer.zeroGrad();
      loss = nn.crossEntropy(model.forward(x), y);
      loss.backward();
      if (i === 0) for (const [key, p] of model.namedParameters()) expect(p.grad, key).not.toBeNull();
      optimizer.step();
    }
    expect(loss!.itemSync()).toBeLessThan(0.2);
  });

  test("the same seed makes the same weights, another seed others", () => {
    const weights = (seed: number) => {
      manualSeed(seed);
      return [...models.create(name).parameters()[0]!.dataSync()];
    };
    expect(weights(5)).toEqual(weights(5));
    expect(weights(6)).not.toEqual(weights(5));
  });

  test("options out of range", () => {
    expect(() => models.create(name, { classes: 0 })).toThrow("expected classes to be a whole number from 1 up, got 0");
  });
});

test("keys as published", () => {
  const keys = Object.keys(models.create("vgg-small", { inChannels: 3, imageSize: 32 }).stateDict());
  expect(keys).toContain("features.0.weight");
  expect(keys).toContain("features.1.running_mean");
  expect(keys).toContain("classifier.1.weight");
  expect(() => models.create("vgg-small", { imageSize: 7 })).toThrow(
    "VGG: expected imageSize to be a whole number from 8 up, got 7",
  );
});
