/** @file The zoo on shapes alone: published parameter counts, keys, errors; and each family learns a batch by heart. */
import { manualSeed, models, nn, optim, randn, shapesOnly, tensor, zeros } from "napier";
import { describe, expect, test } from "vitest";

// Those of torchvision 0.14, timm 0.9, and the papers' for CIFAR.
const PUBLISHED: Partial<Record<models.ModelName, number>> = {
  lenet5: 61_706,
  vgg11: 132_863_336,
  vgg11_bn: 132_868_840,
  vgg16: 138_357_544,
  vgg16_bn: 138_365_992,
  resnet18: 11_689_512,
  resnet34: 21_797_672,
  resnet50: 25_557_032,
  resnet20: 269_722,
  resnet56: 853_018,
  wideresnet16_4: 2_748_890,
  wideresnet28_10: 36_479_194,
  squeezenet1_0: 1_248_424,
  squeezenet1_1: 1_235_496,
  mobilenet_v2: 3_504_872,
  densenet121: 7_978_856,
  convnext_tiny: 28_589_128,
  vit_tiny: 5_717_416,
  vit_small: 22_050_664,
  vit_base: 86_567_656,
  mixer_s16: 18_528_264,
  mixer_b16: 59_880_472,
};

test.each(Object.entries(PUBLISHED))("%s has %i parameters", (name, count) => {
  const counted = shapesOnly(() =>
    models
      .create(name as models.ModelName)
      .parameters()
      .reduce((n, p) => n + p.size, 0),
  );
  expect(counted).toBe(count);
});

test.each([
  ["vgg11", ["features.0.weight", "features.18.bias", "classifier.6.weight"]],
  ["vgg16_bn", ["features.41.running_var", "classifier.0.weight"]],
  ["resnet50", ["layer1.0.downsample.1.num_batches_tracked", "layer4.2.conv3.weight", "fc.bias"]],
  ["squeezenet1_0", ["features.3.squeeze.weight", "features.12.expand3x3.bias", "classifier.1.weight"]],
  ["mobilenet_v2", ["features.0.1.running_mean", "features.17.conv.3.weight", "classifier.1.bias"]],
  ["densenet121", ["features.denseblock4.denselayer16.conv2.weight", "features.transition3.norm.bias"]],
  [
    "convnext_tiny",
    ["features.0.1.weight", "features.5.8.layer_scale", "features.7.2.block.5.bias", "classifier.2.bias"],
  ],
  [
    "vit_base",
    ["cls_token", "pos_embed", "patch_embed.proj.bias", "blocks.11.attn.qkv.weight", "norm.weight", "head.bias"],
  ],
  ["mixer_b16", ["stem.proj.weight", "blocks.11.mlp_tokens.fc1.weight", "blocks.0.mlp_channels.fc2.bias"]],
] as const)("keys of %s as published", (name, keys) => {
  const own = shapesOnly(() => Object.keys(models.create(name).stateDict()));
  expect(own).toEqual(expect.arrayContaining([...keys]));
});

test("a summary on shapes alone: VGG-16's 15.5 billion multiply-adds", () => {
  const text = shapesOnly(() => models.create("vgg16").summary([1, 3, 224, 224]));
  expect(text).toContain("138,357,544");
  expect(text).toContain("30.94 G");
});

test("on shapes alone there are no values", () => {
  const y = shapesOnly(() => zeros([2]));
  expect(y.shape).toEqual([2]);
  expect(() => y.dataSync()).toThrow("has no value");
  expect(() => shapesOnly(() => zeros([2]).dataSync())).toThrow("cannot read a value");
  expect(() => shapesOnly(() => zeros([2]).matmul(zeros([3])))).toThrow("matmul");
  expect(zeros([2]).dataSync()).toEqual(new Float32Array(2)); // and afterwards there are again
});

const FAMILIES: Record<string, () => nn.Layer> = {
  LeNet5: () => new models.LeNet5({ classes: 4, inChannels: 3, imageSize: 32 }),
  ThreeLayerConvNet: () => new models.ThreeLayerConvNet({ classes: 4, filters: 4, hidden: 16, weightScale: 0.05 }),
  VGG: () => new models.VGG({ classes: 4, inChannels: 3, imageSize: 32, plan: [8, "M", 16, "M"], dropout: 0 }),
  ResNet: () => new models.ResNet({ classes: 4, width: 8, layers: [1, 1, 1, 1], stem: "cifar" }),
  Bottleneck: () =>
    new models.ResNet({ classes: 4, width: 8, widthPerGroup: 64, layers: [1, 1, 1, 1], block: "bottleneck" }),
  CifarResNet: () => new models.CifarResNet({ classes: 4, depth: 8, width: 8 }),
  WideResNet: () => new models.WideResNet({ classes: 4, depth: 10, widen: 1, dropout: 0.1 }),
  SqueezeNet: () => {
    const model = new models.SqueezeNet({ classes: 4, dropout: 0 });
    const last = model.classifier.at(1) as nn.Conv2d;
    nn.init.constant_(last.bias!, 0.5); // the scores end in a ReLU: a class that begins at 0 everywhere stays there
    return model;
  },
  MobileNetV2: () => new models.MobileNetV2({ classes: 4, widthMultiplier: 0.25, dropout: 0 }),
  DenseNet: () => new models.DenseNet({ classes: 4, growth: 8, first: 16, blocks: [2, 2, 2] }),
  ConvNeXt: () => new models.ConvNeXt({ classes: 4, dims: [16, 32], depths: [1, 1], patch: 4, layerScale: 1 }),
  VisionTransformer: () =>
    new models.VisionTransformer({ classes: 4, imageSize: 32, patch: 8, dim: 32, depth: 2, heads: 2 }),
  MLPMixer: () => new models.MLPMixer({ classes: 4, imageSize: 32, patch: 8, dim: 32, depth: 2 }),
};

describe.each(Object.entries(FAMILIES))("%s", (_, make) => {
  test("learns eight pictures of 32x32 by heart", () => {
    manualSeed(7);
    const model = make();
    const x = randn([8, 3, 32, 32]);
    const y = tensor(Int32Array.from([0, 1, 2, 3, 0, 1, 2, 3]));
    const optimizer = new optim.Adam(model.parameters(), { lr: model instanceof models.SqueezeNet ? 1e-3 : 3e-3 });
    const losses: number[] = [];
    for (let i = 0; i < 150 && !(losses.at(-1)! < 0.1); i++) {
      optimizer.zeroGrad();
      const loss = nn.crossEntropy(model.forward(x), y);
      loss.backward();
      if (i === 1) for (const [key, p] of model.namedParameters()) expect(p.grad, key).not.toBeNull();
      optimizer.step();
      losses.push(loss.itemSync());
    }
    expect(losses.at(-1)).toBeLessThan(0.1);
  });
});

test.each([
  [() => new models.ResNet({ layers: [1, 1] }), "ResNet: expected layers to be 4 numbers of blocks, got [1,1]"],
  [() => new models.ResNet({ width: 0 }), "ResNet: expected width to be a whole number from 1 up, got 0"],
  [() => new models.CifarResNet({ depth: 21 }), "CifarResNet: expected depth to be 6 n + 2"],
  [() => new models.WideResNet({ depth: 12 }), "WideResNet: expected depth to be 6 n + 4"],
  [() => new models.VisionTransformer({ imageSize: 30 }), "expected a patch that divides imageSize 30, got 16"],
  [() => new models.VisionTransformer({ dim: 10, heads: 3 }), "expected heads that divide dim 10, got 3"],
  [() => new models.ConvNeXt({ dims: [8] }), "ConvNeXt: expected as many dims as depths"],
  [() => new models.MobileNetV2({ widthMultiplier: 0 }), "expected widthMultiplier to be above 0, got 0"],
  [() => new models.ThreeLayerConvNet({ filterSize: 4 }), "expected filterSize to be odd, got 4"],
  [
    () => new models.SqueezeNet().forward(zeros([1, 3, 20, 20])),
    "SqueezeNet: expected pictures [n,3,h,w] of at least 25x25 pixels, got [1,3,20,20]",
  ],
  [() => new models.LeNet5().forward(zeros([1, 3, 28, 28])), "LeNet5: expected pictures [n,1,h,w]"],
])("options out of range %#", (make, sentence) => {
  expect(make).toThrow(sentence);
});
