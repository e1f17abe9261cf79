/** @file The named configurations. Those that torchvision or timm has bear their names there, in one word or with _. */
import { ConvNet } from "./convnet.js";
import { ConvNeXt, type ConvNeXtOptions } from "./convnext.js";
import { DenseNet, type DenseNetOptions } from "./densenet.js";
import { LeNet5 } from "./lenet.js";
import { MLPMixer, type MLPMixerOptions } from "./mixer.js";
import { MLP, type MLPOptions } from "./mlp.js";
import { MobileNetV2, type MobileNetV2Options } from "./mobilenet.js";
import type { ModelOptions } from "./options.js";
import { CifarResNet, type CifarResNetOptions, ResNet, type ResNetOptions } from "./resnet.js";
import { SqueezeNet, type SqueezeNetOptions } from "./squeezenet.js";
import { ThreeLayerConvNet, type ThreeLayerConvNetOptions } from "./threeLayer.js";
import { VGG, VGG_11, VGG_16, type VGGOptions } from "./vgg.js";
import { VisionTransformer, type VisionTransformerOptions } from "./vit.js";
import { WideResNet, type WideResNetOptions } from "./wideResnet.js";

// A row's options are its class's but for those that make the name.
const registry = {
  mlp: (o: MLPOptions) => new MLP(o),
  convnet: (o: ModelOptions) => new ConvNet(o),
  lenet5: (o: ModelOptions) => new LeNet5(o),
  threelayer: (o: ThreeLayerConvNetOptions) => new ThreeLayerConvNet(o),
  "vgg-small": (o: Omit<VGGOptions, "plan">) => new VGG(o),
  vgg11: (o: VGGNamed) => new VGG({ ...o, plan: VGG_11, head: "paper", batchNorm: false }),
  vgg11_bn: (o: VGGNamed) => new VGG({ ...o, plan: VGG_11, head: "paper", batchNorm: true }),
  vgg16: (o: VGGNamed) => new VGG({ ...o, plan: VGG_16, head: "paper", batchNorm: false }),
  vgg16_bn: (o: VGGNamed) => new VGG({ ...o, plan: VGG_16, head: "paper", batchNorm: true }),
  resnet18: (o: ResNetNamed) => new ResNet({ ...o, layers: [2, 2, 2, 2], block: "basic" }),
  resnet34: (o: ResNetNamed) => new ResNet({ ...o, layers: [3, 4, 6, 3], block: "basic" }),
  resnet50: (o: ResNetNamed) => new ResNet({ ...o, layers: [3, 4, 6, 3], block: "bottleneck" }),
  resnet20: (o: Omit<CifarResNetOptions, "depth">) => new CifarResNet({ ...o, depth: 20 }),
  resnet56: (o: Omit<CifarResNetOptions, "depth">) => new CifarResNet({ ...o, depth: 56 }),
  wideresnet16_4: (o: WideResNetNamed) => new WideResNet({ ...o, depth: 16, widen: 4 }),
  wideresnet28_10: (o: WideResNetNamed) => new WideResNet({ ...o, depth: 28, widen: 10 }),
  squeezenet1_0: (o: Omit<SqueezeNetOptions, "version">) => new SqueezeNet({ ...o, version: "1.0" }),
  squeezenet1_1: (o: Omit<SqueezeNetOptions, "version">) => new SqueezeNet({ ...o, version: "1.1" }),
  mobilenet_v2: (o: MobileNetV2Options) => new MobileNetV2(o),
  densenet121: (o: Omit<DenseNetOptions, "blocks">) => new DenseNet(o),
  convnext_tiny: (o: Omit<ConvNeXtOptions, "dims" | "depths">) => new ConvNeXt(o),
  vit_tiny: (o: ViTNamed) => new VisionTransformer({ ...o, dim: 192, heads: 3 }),
  vit_small: (o: ViTNamed) => new VisionTransformer({ ...o, dim: 384, heads: 6 }),
  vit_base: (o: ViTNamed) => new VisionTransformer({ ...o, dim: 768, heads: 12 }),
  mixer_s16: (o: MixerNamed) => new MLPMixer({ ...o, dim: 512, depth: 8 }),
  mixer_b16: (o: MixerNamed) => new MLPMixer({ ...o, dim: 768, depth: 12 }),
};
type VGGNamed = Omit<VGGOptions, "plan" | "head" | "batchNorm">;
type ResNetNamed = Omit<ResNetOptions, "layers" | "block">;
type WideResNetNamed = Omit<WideResNetOptions, "depth" | "widen">;
type ViTNamed = Omit<VisionTransformerOptions, "dim" | "heads">;
type MixerNamed = Omit<MLPMixerOptions, "dim" | "depth">;

type Rows = typeof registry;
// By name, so that the reference doesn't write its rows out.
interface Registry extends Rows {}

/** A name that create() knows. */
export type ModelName = keyof Registry;

/** What create() takes for a name: its class's options but for those that make the name. */
export type OptionsOf<N extends ModelName> = Parameters<Registry[N]>[0];

/** What create() gives for a name. */
export type ModelOf<N extends ModelName> = ReturnType<Registry[N]>;

/** The names that create() knows. */
export const list = (): ModelName[] => Object.keys(registry) as ModelName[];

/**
 * A new model with random weights, by name.
 *
 * @param options classes, inChannels, imageSize, and its class's others, such as dropout; their defaults are those the model
 *   was published with
 * @throws RangeError for a name that list() does not have, or options out of range
 * @example
 * const model = models.create("convnet", { classes: 10, inChannels: 1, imageSize: 28 });
 * const vit = models.create("vit_tiny", { classes: 10, imageSize: 32, patch: 4, depth: 2 });
 */
export function create<N extends ModelName>(name: N, options: OptionsOf<N> = {}): ModelOf<N> {
  if (!Object.hasOwn(registry, name))
    throw new RangeError(`models.create: expected one of ${list().join(", ")}, got "${name}"`);
  const make = registry[name] as (options: OptionsOf<N>) => ModelOf<N>;
  return make(options);
}
