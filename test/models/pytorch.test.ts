/** @file The zoo against PyTorch and torchvision: scores, gradients and running statistics (fixtures/models/make.py). */
import { readFileSync } from "node:fs";
import { cat, models, nn, noGrad, type Tensor, tensor } from "napier";
import { describe, expect, test } from "vitest";
import { even, fill, mix } from "./formula.js";

interface Golden {
  input: number[];
  scores: number[];
  evaluated: number[];
  norms: Record<string, number>;
  samples: [key: string, element: number, value: number][];
}

/** Pictures alone to scores alone, as the fixtures have it: what else forward takes is fixed. Keys are the network's. */
class Fixed<N extends nn.Module> extends nn.Module {
  constructor(
    readonly network: N,
    readonly run: (network: N, x: Tensor) => Tensor,
  ) {
    super();
  }
  forward(x: Tensor): Tensor {
    return this.run(this.network, x);
  }
  override namedParameters(): [string, nn.Parameter][] {
    return this.network.namedParameters();
  }
  override stateDict(): nn.StateDict {
    const all = Object.entries(this.network.stateDict());
    const masked = this.network instanceof models.MaskedAutoencoder; // whose positions are as they are made
    return Object.fromEntries(all.filter(([key]) => !(masked && key.endsWith("pos_embed"))));
  }
  override loadStateDict(state: Record<string, Tensor>): nn.LoadResult {
    return this.network.loadStateDict({ ...this.network.stateDict(), ...state });
  }
}

type Denoiser = models.UNet | models.DiT;
const denoising = (network: Denoiser, time: (i: number) => number, condition: (n: number, x: Tensor) => Tensor) =>
  new Fixed(network, (m, x) => {
    const n = x.shape[0]!;
    const t = tensor(Float64Array.from({ length: n }, (_, i) => time(i)));
    return m.forward(x, t, condition(n, x));
  });
/** The mean code's pictures, mean and logarithm of the variance, side by side. */
const vae = (options: models.VaeOptions) =>
  new Fixed(new models.VAE({ imageSize: 8, width: 4, ...options }), (m, x) => {
    const { mean, logVariance } = m.encode(x);
    return cat(
      [m.decode(mean), mean, logVariance].map((t) => t.flatten(1)),
      1,
    );
  });
/** Predictions of patches, of which a formula tells the order. */
const mae = (options: models.MaskedAutoencoderOptions) =>
  new Fixed(new models.MaskedAutoencoder(options), (m, x) => {
    const order = tensor(even("order", 32), [2, 16]);
    return m.forward(x, { order }).prediction;
  });

const vectors = (width: number) => (n: number, x: Tensor) =>
  tensor(even("condition", width * n), [n, width], { dtype: x.dtype });
const labels = () => tensor(Int32Array.from([2, 0]));
const plain = { conditionDropout: 0 } as const;
const unet = (layout: "ddpm" | "cs231n") =>
  denoising(
    new models.UNet({ ...plain, dim: 16, dimMults: [1, 2], channels: 2, conditionDim: 6, layout, dropout: 0 }),
    (i) => 13 * i + 5,
    vectors(6),
  );
const dit = (options: models.DiTOptions, condition: (n: number, x: Tensor) => Tensor) =>
  denoising(
    new models.DiT({ ...plain, ...options, outChannels: 2 * options.channels! }),
    (i) => [5, 618][i]!,
    condition,
  );

/** GANs' networks, told a label each. */
const gan = { noiseDim: 6, imageSize: 16, classes: 3 };
const told = () => tensor(Int32Array.from([2, 0, 1]));
class ToldGenerator extends models.DcganGenerator {
  override forward(noise: Tensor): Tensor {
    return super.forward(noise, told());
  }
}
class ToldDiscriminator extends models.DcganDiscriminator {
  override forward(x: Tensor): Tensor {
    return super.forward(x, told());
  }
}

const small = { classes: 10, inChannels: 3, imageSize: 24, patch: 8 };
const CASES: Record<string, () => nn.Layer> = {
  lenet5: () => new models.LeNet5(),
  threelayer: () => new models.ThreeLayerConvNet(),
  vgg11: () => new models.VGG({ plan: models.VGG_11, inChannels: 3, imageSize: 32, batchNorm: false, dropout: 0 }),
  resnet18: () => models.create("resnet18", { classes: 10 }),
  resnet50: () => models.create("resnet50", { classes: 10 }),
  resnext: () =>
    new models.ResNet({ classes: 10, block: "bottleneck", layers: [1, 1, 1, 1], groups: 4, widthPerGroup: 8 }),
  resnet20: () => models.create("resnet20"),
  wideresnet: () => new models.WideResNet({ depth: 10, widen: 2 }),
  squeezenet1_0: () => new models.SqueezeNet({ classes: 10, version: "1.0", dropout: 0 }),
  squeezenet1_1: () => new models.SqueezeNet({ classes: 10, version: "1.1", dropout: 0 }),
  mobilenet_v2: () => new models.MobileNetV2({ classes: 10, dropout: 0 }),
  densenet121: () => models.create("densenet121", { classes: 10 }),
  convnext: () => new models.ConvNeXt({ classes: 10, dims: [16, 32], depths: [1, 2], stochasticDepth: 0 }),
  vit: () => new models.VisionTransformer({ ...small, dim: 48, depth: 2, heads: 3 }),
  vit_mean: () => new models.VisionTransformer({ ...small, dim: 48, depth: 2, heads: 3, pool: "mean" }),
  gpt: () => new models.GPT({ vocabulary: 11, context: 8, dim: 24, layers: 2, heads: 3, bias: true }),
  unet: () => unet("ddpm"),
  unet_cs231n: () => unet("cs231n"),
  unet_labels: () =>
    denoising(
      new models.UNet({ ...plain, dim: 8, dimMults: [1, 1, 2, 2], channels: 2, classes: 3 }),
      (i) => 13 * i + 5,
      labels,
    ),
  vae: () => vae({ latent: 3 }),
  vae_spatial: () => vae({ latent: 2, spatial: true }),
  mae: () =>
    mae({
      ...{ imageSize: 8, patch: 2, dim: 16, depth: 2, heads: 2 },
      ...{ decoderDim: 8, decoderDepth: 1, decoderHeads: 2 },
    }),
  dit_labels: () => dit({ imageSize: 8, patch: 2, channels: 3, dim: 24, depth: 2, heads: 3, classes: 3 }, labels),
  dit_vectors: () =>
    dit({ imageSize: 6, patch: 1, channels: 2, dim: 16, depth: 1, heads: 2, conditionDim: 5 }, vectors(5)),
  mixer: () => new models.MLPMixer({ ...small, dim: 32, depth: 2 }),
  dcgan_generator: () => new ToldGenerator(gan),
  dcgan_discriminator: () => new ToldDiscriminator(gan),
};

const read = (name: string): Golden =>
  JSON.parse(readFileSync(new URL(`../fixtures/models/${name}.json`, import.meta.url), "utf8"));

function expectClose(got: ArrayLike<number>, want: readonly number[], bound: number, what: string): void {
  expect(got.length, what).toBe(want.length);
  const size = Math.max(...want.map(Math.abs));
  want.forEach((v, i) => {
    if (!(Math.abs(got[i]! - v) <= bound * size)) throw new Error(`${what}: ${i} is ${got[i]}, PyTorch has ${v}`);
  });
}

describe.each(Object.entries(CASES))("%s", (name, make) => {
  const golden = read(name);
  const picture = (dtype: "float32" | "float64"): Tensor => {
    const n = golden.input.reduce((a, b) => a * b, 1);
    if (name === "gpt")
      return tensor(
        Int32Array.from({ length: n }, (_, i) => mix(i) % 11),
        golden.input,
      );
    return tensor(even("input", n), golden.input, { dtype });
  };

  test("scores, gradients and running statistics in float64", () => {
    const model = fill(make().to("float64"));
    const y = model.forward(picture("float64"));
    expectClose(y.dataSync(), golden.scores, 1e-9, "scores");
    const weighing = tensor(
      Float64Array.from(golden.scores, (_, i) => Math.sin(i + 1)),
      [...y.shape],
      { dtype: "float64" },
    );
    y.backward({ gradient: weighing });
    const parameters = Object.fromEntries(model.namedParameters());
    expect(Object.keys(parameters).sort()).toEqual(Object.keys(golden.norms).sort());
    const largest = Math.max(...Object.values(golden.norms));
    for (const [key, norm] of Object.entries(golden.norms)) {
      const got = Math.hypot(...parameters[key]!.grad!.square().sum().sqrt().dataSync());
      // Gradients that are 0 but for rounding (a bias before a normalisation) are judged by the largest.
      if (!(Math.abs(got - norm) <= 1e-7 * norm + 1e-12 * largest))
        throw new Error(`the norm of the gradient of ${key} is ${got}, PyTorch has ${norm}`);
    }
    for (const [key, element, value] of golden.samples) {
      const grad = parameters[key]!.grad!;
      const got = grad.reshape([grad.size]).slice(element).itemSync();
      const scale = golden.norms[key]! / Math.sqrt(grad.size);
      if (!(Math.abs(got - value) <= 1e-7 * scale + 1e-9 * Math.abs(value) + 1e-12 * largest))
        throw new Error(`element ${element} of the gradient of ${key} is ${got}, PyTorch has ${value}`);
    }
    model.eval(); // by the running statistics, which the step above has moved
    expectClose(noGrad(() => model.forward(picture("float64"))).dataSync(), golden.evaluated, 1e-9, "in eval");
  });

  test("scores in float32", () => {
    const model = fill(make());
    expectClose(model.forward(picture("float32")).dataSync(), golden.scores, 2e-4, "scores");
  });
});
