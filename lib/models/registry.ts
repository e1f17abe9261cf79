/** @file The named configurations. Those that torchvision or timm has bear their names there, in one word or with _. */
import type { Layer } from "../nn/module.js";
import { ConvNet } from "./convnet.js";
import { ConvNeXt } from "./convnext.js";
import { DenseNet } from "./densenet.js";
import { LeNet5 } from "./lenet.js";
import { MLPMixer } from "./mixer.js";
import { MLP } from "./mlp.js";
import { MobileNetV2 } from "./mobilenet.js";
import type { ModelOptions } from "./options.js";
import { CifarResNet, ResNet } from "./resnet.js";
import { SqueezeNet } from "./squeezenet.js";
import { ThreeLayerConvNet } from "./threeLayer.js";
import { VGG, VGG_11, VGG_16 } from "./vgg.js";
import { VisionTransformer } from "./vit.js";
import { WideResNet } from "./wideResnet.js";

const registry = {
  mlp: (o) => new MLP(o),
  convnet: (o) => new ConvNet(o),
  lenet5: (o) => new LeNet5(o),
  threelayer: (o) => new ThreeLayerConvNet(o),
  "vgg-small": (o) => new VGG(o),
  vgg11: (o) => new VGG({ ...o, plan: VGG_11, head: "paper", batchNorm: false }),
  vgg11_bn: (o) => new VGG({ ...o, plan: VGG_11, head: "paper" }),
  vgg16: (o) => new VGG({ ...o, plan: VGG_16, head: "paper", batchNorm: false }),
  vgg16_bn: (o) => new VGG({ ...o, plan: VGG_16, head: "paper" }),
  resnet18: (o) => new ResNet(o),
  resnet34: (o) => new ResNet({ ...o, layers: [3, 4, 6, 3] }),
  resnet50: (o) => new ResNet({ ...o, layers: [3, 4, 6, 3], block: "bottleneck" }),
  resnet20: (o) => new CifarResNet({ ...o, depth: 20 }),
  resnet56: (o) => new CifarResNet({ ...o, depth: 56 }),
  wideresnet16_4: (o) => new WideResNet({ ...o, depth: 16, widen: 4 }),
  wideresnet28_10: (o) => new WideResNet({ ...o, depth: 28, widen: 10 }),
  squeezenet1_0: (o) => new SqueezeNet({ ...o, version: "1.0" }),
  squeezenet1_1: (o) => new SqueezeNet({ ...o, version: "1.1" }),
  mobilenet_v2: (o) => new MobileNetV2(o),
  densenet121: (o) => new DenseNet(o),
  convnext_tiny: (o) => new ConvNeXt(o),
  vit_tiny: (o) => new VisionTransformer({ ...o, dim: 192, heads: 3 }),
  vit_small: (o) => new VisionTransformer({ ...o, dim: 384, heads: 6 }),
  vit_base: (o) => new VisionTransformer({ ...o, dim: 768, heads: 12 }),
  mixer_s16: (o) => new MLPMixer({ ...o, dim: 512, depth: 8 }),
  mixer_b16: (o) => new MLPMixer({ ...o, dim: 768, depth: 12 }),
} satisfies Record<string, (options: ModelOptions) => Layer>;

/** A name that create() knows. */
export type ModelName = keyof typeof registry;

/** The names that create() knows. */
export const list = (): ModelName[] => Object.keys(registry) as ModelName[];

/**
 * A new model with random weights, by name.
 *
 * @param options classes, inChannels and imageSize; their defaults are those the model was published with
 * @throws RangeError for a name that list() does not have, or options out of range
 * @example
 * const model = models.create("convnet", { classes: 10, inChannels: 1, imageSize: 28 });
 */
export function create(name: ModelName, options: ModelOptions = {}): Layer {
  if (!Object.hasOwn(registry, name))
    throw new RangeError(`models.create: expected one of ${list().join(", ")}, got "${name}"`);
  return registry[name](options);
}
