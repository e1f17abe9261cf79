/** Models by name, as users import them: `import { models } from "napier"`. */
export {
  type AttendOptions,
  type AttentionMaps,
  MultiHeadAttention,
  type MultiHeadAttentionOptions,
  type RotaryOptions,
  rotary,
  sinusoidal,
} from "./attention.js";
export {
  Autoencoder,
  type AutoencoderOptions,
  type Likelihood,
  VAE,
  type VaeLoss,
  type VaeLossOptions,
  type VaeOptions,
  type VaeOutput,
} from "./autoencoder.js";
export {
  type BeamOptions,
  beamSearch,
  type Caption,
  Captioner,
  type CaptionerOptions,
  type CaptionOptions,
  type CaptionState,
  type CaptionStep,
  type CaptionTokens,
  greedyCaption,
  RecurrentCaptioner,
  type RecurrentCaptionerOptions,
  TransformerCaptioner,
  type TransformerCaptionerOptions,
} from "./captioner.js";
export { CLIP, type ClipOptions, type ClipOutput, TextEncoder, type TextEncoderOptions } from "./clip.js";
export { ConvNet } from "./convnet.js";
export { ConvNeXt, type ConvNeXtOptions } from "./convnext.js";
export { DenseNet, type DenseNetOptions } from "./densenet.js";
export {
  DINO,
  DINOHead,
  type DINOHeadOptions,
  type DINOOptions,
  type DinoLossOptions,
  dinoLoss,
} from "./dino.js";
export { DIT_CONFIGS, DiT, type DiTName, type DiTOptions } from "./dit.js";
export { Encoder, type FeatureNetwork } from "./encoder.js";
export {
  DcganDiscriminator,
  DcganGenerator,
  GanDiscriminator,
  type GanDiscriminatorOptions,
  GanGenerator,
  type GanOptions,
} from "./gan.js";
export { type GenerateOptions, GPT, type GPTOptions } from "./gpt.js";
export { LeNet5 } from "./lenet.js";
export { type MaeOutput, MaskedAutoencoder, type MaskedAutoencoderOptions } from "./mae.js";
export { MLPMixer, type MLPMixerOptions } from "./mixer.js";
export { MLP, type MLPOptions } from "./mlp.js";
export { MobileNetV2, type MobileNetV2Options } from "./mobilenet.js";
export type { ModelOptions } from "./options.js";
export { create, list, type ModelName, type ModelOf, type OptionsOf } from "./registry.js";
export { CifarResNet, type CifarResNetOptions, ResNet, type ResNetOptions } from "./resnet.js";
export { type NtXentOptions, ntXentLoss, SimCLR, type SimCLROptions } from "./simclr.js";
export { SqueezeNet, type SqueezeNetOptions } from "./squeezenet.js";
export { ThreeLayerConvNet, type ThreeLayerConvNetOptions } from "./threeLayer.js";
export { UNet, type UNetOptions } from "./unet.js";
export { VGG, VGG_11, VGG_16, VGG_SMALL, type VGGOptions, type VGGPlan } from "./vgg.js";
export { Mlp, PatchEmbed, VisionTransformer, type VisionTransformerOptions } from "./vit.js";
export {
  type Quantized,
  type QuantizerOptions,
  VectorQuantizer,
  VQVAE,
  type VQVAEOptions,
  type VqvaeOutput,
} from "./vqvae.js";
export { WideResNet, type WideResNetOptions } from "./wideResnet.js";
