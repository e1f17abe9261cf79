/** @file Every family at its smallest: a model, and what its forward is called with. */
import { full, manualSeed, models, nn, randn, Tensor, tensor } from "napier";

/** A model, by random weights, and its inputs. */
export interface Case {
  make: () => nn.Module;
  inputs: () => Tensor[];
}

const ids = (...rows: number[][]) => tensor(Int32Array.from(rows.flat()), [rows.length, rows[0]!.length]);
const labels = () => tensor(Int32Array.from([2, 0]));
const times = () => full([2], 7, { dtype: "int32" });
const pictures = (c: number, s: number) => () => [randn([2, c, s, s])];
const noisy = (c: number, s: number) => () => [randn([2, c, s, s]), times(), labels()];
const zoo = (side: number, make: () => nn.Layer): Case => ({ make, inputs: pictures(3, side) });
const colour = { classes: 3, inChannels: 3 } as const;
const unet = { dim: 8, channels: 1, dimMults: [1, 2], classes: 3, heads: 1 } as const;
const caption = { vocabulary: 9, featureDim: 3, wordDim: 8 } as const;
const captions = () => [randn([2, 3]), ids([1, 4, 5, 2], [1, 6, 2, 0])];
const gan = { noiseDim: 2, imageSize: 16, classes: 3 } as const;
const encoder = () => new nn.Sequential(new nn.Flatten(), new nn.Linear(12, 8), new nn.BatchNorm1d(8));
const decoder = { decoderDim: 8, decoderDepth: 1, decoderHeads: 2 } as const;
const transformer = { imageSize: 8, patch: 4, dim: 8, depth: 1 } as const;
const recurrent = (cell: "rnn" | "lstm" | "gru"): Case => ({
  make: () => new models.RecurrentCaptioner({ ...caption, cell, hiddenDim: 6 }),
  inputs: captions,
});

/** Every class of models, the recurrent captioner with each cell, the U-Net in both layouts, CLIP with its text tower. */
export const SMALLEST: Record<string, Case> = {
  MLP: zoo(8, () => new models.MLP({ ...colour, imageSize: 8, hidden: 4 })),
  ConvNet: zoo(8, () => new models.ConvNet({ ...colour, imageSize: 8 })),
  LeNet5: zoo(16, () => new models.LeNet5({ ...colour, imageSize: 16 })),
  ThreeLayerConvNet: zoo(8, () => new models.ThreeLayerConvNet({ ...colour, imageSize: 8, filters: 2, hidden: 4 })),
  VGG: zoo(8, () => new models.VGG({ ...colour, imageSize: 8, plan: [4, "M", 8, "M"] })),
  ResNet: zoo(8, () => new models.ResNet({ ...colour, width: 2, layers: [1, 1, 1, 1] })),
  "ResNet, bottlenecks": zoo(
    8,
    () => new models.ResNet({ ...colour, width: 2, layers: [1, 1, 1, 1], block: "bottleneck", stem: "cifar" }),
  ),
  CifarResNet: zoo(8, () => new models.CifarResNet({ ...colour, depth: 8, width: 2 })),
  WideResNet: zoo(8, () => new models.WideResNet({ ...colour, depth: 10, widen: 1 })),
  SqueezeNet: zoo(25, () => new models.SqueezeNet(colour)),
  MobileNetV2: zoo(16, () => new models.MobileNetV2({ ...colour, widthMultiplier: 0.1 })),
  DenseNet: zoo(16, () => new models.DenseNet({ ...colour, growth: 2, first: 4, blocks: [1, 1] })),
  ConvNeXt: zoo(8, () => new models.ConvNeXt({ ...colour, dims: [4, 8], depths: [1, 1], patch: 2 })),
  VisionTransformer: zoo(8, () => new models.VisionTransformer({ ...colour, ...transformer, heads: 2 })),
  MLPMixer: zoo(8, () => new models.MLPMixer({ ...colour, ...transformer })),
  GPT: {
    make: () => new models.GPT({ vocabulary: 9, context: 6, dim: 8, layers: 1, heads: 2 }),
    inputs: () => [ids([1, 4, 5, 2], [1, 6, 2, 0])],
  },
  UNet: { make: () => new models.UNet(unet), inputs: noisy(1, 4) },
  "UNet, the assignment's": { make: () => new models.UNet({ ...unet, layout: "cs231n" }), inputs: noisy(1, 4) },
  DiT: {
    make: () => new models.DiT({ ...transformer, channels: 1, heads: 2, classes: 3 }),
    inputs: noisy(1, 8),
  },
  Autoencoder: {
    make: () => new models.Autoencoder({ imageSize: 8, width: 4, latent: 3 }),
    inputs: pictures(1, 8),
  },
  VAE: { make: () => new models.VAE({ imageSize: 8, width: 4, latent: 3 }), inputs: pictures(1, 8) },
  VQVAE: { make: () => new models.VQVAE({ width: 4, latent: 3, codes: 8, decay: 0.9 }), inputs: pictures(1, 8) },
  MaskedAutoencoder: {
    make: () => new models.MaskedAutoencoder({ ...transformer, ...decoder, heads: 2, maskRatio: 0.5 }),
    inputs: pictures(3, 8),
  },
  "RecurrentCaptioner, rnn": recurrent("rnn"),
  "RecurrentCaptioner, lstm": recurrent("lstm"),
  "RecurrentCaptioner, gru": recurrent("gru"),
  TransformerCaptioner: {
    make: () => new models.TransformerCaptioner({ ...caption, heads: 2, layers: 1, dimFeedforward: 8 }),
    inputs: captions,
  },
  Encoder: zoo(8, () => new models.Encoder(new models.ResNet({ ...colour, width: 2, layers: [1, 1, 1, 1] }))),
  CLIP: {
    make: () => {
      const text = new models.TextEncoder({ vocabulary: 9, context: 4, dim: 8, layers: 1, heads: 2 });
      return new models.CLIP(encoder(), text, { imageDim: 8, textDim: 8, dim: 4 });
    },
    inputs: () => [randn([2, 3, 2, 2]), ids([4, 5, 0], [6, 0, 0])],
  },
  SimCLR: { make: () => new models.SimCLR(encoder(), { features: 8, dim: 4 }), inputs: pictures(3, 2) },
  DINO: {
    make: () => new models.DINO(encoder, { features: 8, head: { out: 8, hidden: 8, bottleneck: 4 } }),
    inputs: pictures(3, 2),
  },
  GanGenerator: { make: () => new models.GanGenerator(gan), inputs: () => [randn([2, 2]), labels()] },
  GanDiscriminator: { make: () => new models.GanDiscriminator(gan), inputs: () => [randn([2, 1, 16, 16]), labels()] },
  DcganGenerator: { make: () => new models.DcganGenerator(gan), inputs: () => [randn([2, 2]), labels()] },
  DcganDiscriminator: {
    make: () => new models.DcganDiscriminator(gan),
    inputs: () => [randn([2, 1, 16, 16]), labels()],
  },
};

/** What forward answers, with the same draws each time: a tensor, or those in an object, in its order. */
export function answers(model: nn.Module, inputs: readonly Tensor[]): Tensor[] {
  manualSeed(9);
  const y = (model.forward as (...x: readonly Tensor[]) => object).call(model, ...inputs);
  return y instanceof Tensor ? [y] : Object.values(y).filter((t) => t instanceof Tensor);
}
