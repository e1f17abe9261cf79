/**
 * Autoencoders of pictures: a plain one, and the variational one (Kingma & Welling, "Auto-encoding variational Bayes", 2013).
 *
 *     encoder: [n, c, s, s] -> (Conv 4x4 s2 -> BN -> ReLU) x stages -> Linear to the code (AE) or to mean and log variance (VAE)
 *     decoder: code -> Linear -> (ConvTranspose 4x4 s2 -> BN -> ReLU) x stages -> pictures
 *
 * With `spatial` the code keeps its places, [n, latent, s / 2^stages, s / 2^stages]: what latent diffusion wants.
 */
import { expect, show } from "../errors.js";
import { noGrad } from "../graph.js";
import { scope } from "../memory.js";
import { Flatten, ReLU, Unflatten } from "../nn/activation.js";
import { Sequential } from "../nn/container.js";
import { Conv2d, ConvTranspose2d } from "../nn/conv.js";
import { inEval } from "../nn/inEval.js";
import { Linear } from "../nn/linear.js";
import { type Layer, Module } from "../nn/module.js";
import { BatchNorm2d } from "../nn/norm.js";
import { split } from "../ops/join.js";
import { bceWithLogits } from "../ops/losses/labels.js";
import { type GeneratorOption, randn, randnLike } from "../ops/random.js";
import type { Tensor } from "../tensor.js";
import { wholeNumber } from "./options.js";

/** Options of Autoencoder and VAE. */
export interface AutoencoderOptions {
  /** Channels of a picture. Default 1. */
  channels?: number;
  /** Height and width of a picture, a multiple of 2^stages. Default 28. */
  imageSize?: number;
  /** Numbers of the code, or its channels with `spatial`. Default 32. */
  latent?: number;
  /** Channels of the first stage; each stage has twice those before. Default 32. */
  width?: number;
  /** Halvings. Default 2. */
  stages?: number;
  /** The code keeps its places. Default false. */
  spatial?: boolean;
}

type Config = Required<AutoencoderOptions>;

function configOf(model: string, given: AutoencoderOptions): Config {
  const config: Config = { channels: 1, imageSize: 28, latent: 32, width: 32, stages: 2, spatial: false, ...given };
  for (const name of ["channels", "imageSize", "latent", "width", "stages"] as const)
    wholeNumber(model, name, config[name]);
  if (config.imageSize % 2 ** config.stages !== 0)
    throw new RangeError(
      `${model}: expected imageSize to be a multiple of ${2 ** config.stages} (2^stages), got ${config.imageSize}`,
    );
  return config;
}

/** The halvings; shared with VQVAE. */
export function downStages({ channels, width, stages }: Pick<Config, "channels" | "width" | "stages">): Layer[] {
  let from = channels;
  return Array.from({ length: stages }, (_, i) => {
    const to = width * 2 ** i;
    const layers = [new Conv2d(from, to, 4, { stride: 2, padding: 1, bias: false }), new BatchNorm2d(to), new ReLU()];
    from = to;
    return layers as Layer[];
  }).flat();
}

/** The doublings, from the widest stage back to a picture without an activation at its end; shared with VQVAE. */
export function upStages({ channels, width, stages }: Pick<Config, "channels" | "width" | "stages">): Layer[] {
  return Array.from({ length: stages }, (_, at) => {
    const i = stages - 1 - at;
    const from = width * 2 ** i;
    if (i === 0) return [new ConvTranspose2d(from, channels, 4, { stride: 2, padding: 1 })] as Layer[];
    const to = from / 2;
    return [
      new ConvTranspose2d(from, to, 4, { stride: 2, padding: 1, bias: false }),
      new BatchNorm2d(to),
      new ReLU(),
    ] as Layer[];
  }).flat();
}

/** What both kinds share: the two halves. */
abstract class Coder extends Module {
  /** Pictures to what the code is made of. */
  readonly encoder: Sequential;
  /** Codes to pictures, logits where the pictures lie in [0, 1]. */
  readonly decoder: Sequential;
  /** Options with their defaults. */
  readonly options: Readonly<Config>;

  constructor(options: Config, numbers: number) {
    super();
    this.options = options;
    const { imageSize, latent, width, stages, spatial } = options;
    const top = width * 2 ** (stages - 1);
    const side = imageSize / 2 ** stages;
    const toCode = spatial
      ? [new Conv2d(top, latent * numbers, 1)]
      : [new Flatten(), new Linear(top * side * side, latent * numbers)];
    const fromCode = spatial
      ? [new Conv2d(latent, top, 1)]
      : [new Linear(latent, top * side * side), new Unflatten(1, [top, side, side])];
    this.encoder = new Sequential(...downStages(options), ...(toCode as Layer[]));
    this.decoder = new Sequential(...(fromCode as Layer[]), new ReLU(), ...upStages(options));
  }

  protected expectPictures(x: Tensor): void {
    const { channels: c, imageSize: s } = this.options;
    const fits = x.ndim === 4 && x.shape[1] === c && x.shape[2] === s && x.shape[3] === s;
    expect(fits, this.constructor.name, `pictures [n,${c},${s},${s}]`, show(x.shape));
  }

  /** Codes to pictures [n, c, s, s], before any sigmoid. */
  decode(z: Tensor): Tensor {
    return this.decoder.forward(z);
  }
}

/**
 * Pictures through a narrow code and back.
 *
 * @example
 * const model = new models.Autoencoder({ imageSize: 8, width: 4, latent: 3 });
 * const y = model.forward(zeros([2, 1, 8, 8])); // [2, 1, 8, 8]
 */
export class Autoencoder extends Coder {
  /** Random weights, from the default generator. */
  constructor(options: AutoencoderOptions = {}) {
    super(configOf("Autoencoder", options), 1);
  }

  /** Pictures to codes [n, latent]. */
  encode(x: Tensor): Tensor {
    this.expectPictures(x);
    return this.encoder.forward(x);
  }

  /** Pictures [n, c, s, s] to what is left of them behind the code. */
  forward(x: Tensor): Tensor {
    return this.decode(this.encode(x));
  }
}

/** How the pixels of a picture are taken: see VaeOptions. */
export type Likelihood = "bernoulli" | "gaussian";

/** Options of VAE. */
export interface VaeOptions extends AutoencoderOptions {
  /**
   * "bernoulli": pictures in [0, 1], cross-entropy of pixels, and samples go through a sigmoid; "gaussian": pictures of any
   * range, half the square error, and samples are as they are decoded. Default "bernoulli".
   */
  likelihood?: Likelihood;
}

function likelihoodOf(op: string, likelihood: Likelihood): Likelihood {
  if (likelihood === "bernoulli" || likelihood === "gaussian") return likelihood;
  throw new RangeError(`${op}: expected likelihood to be "bernoulli" or "gaussian", got ${JSON.stringify(likelihood)}`);
}

/** What VAE.forward() gives. */
export interface VaeOutput {
  /** Pictures made again, before any sigmoid. */
  y: Tensor;
  /** Mean of the code. */
  mean: Tensor;
  /** Logarithm of the code's variance. */
  logVariance: Tensor;
}

/** What VAE.loss() gives, in nats a picture. */
export interface VaeLoss {
  /** reconstruction + beta divergence. */
  loss: Tensor;
  /** Minus the pictures' log-likelihood. */
  reconstruction: Tensor;
  /** Of the codes from a standard normal distribution. */
  divergence: Tensor;
}

/** Options of VAE.loss(). */
export interface VaeLossOptions extends GeneratorOption {
  /** Weight of the divergence (Higgins et al., "beta-VAE", 2017). Default 1. */
  beta?: number;
  /** Another one than the model's, to compare: sample() keeps to the model's. Default the model's. */
  likelihood?: Likelihood;
}

/**
 * The variational autoencoder (Kingma & Welling 2013): codes are drawn, and kept near a standard normal distribution.
 *
 * @throws RangeError for another likelihood, or an imageSize that 2^stages does not divide
 * @example
 * const model = new models.VAE({ imageSize: 8, width: 4, latent: 3 });
 * const { loss } = model.loss(rand([2, 1, 8, 8]));
 * loss.backward();
 * const pictures = model.sample(4); // [4, 1, 8, 8] in [0, 1]
 */
export class VAE extends Coder {
  /** How pixels are taken, by loss(), sample() and diffusion.LatentDiffusion. */
  readonly likelihood: Likelihood;

  /** Random weights, from the default generator. */
  constructor({ likelihood = "bernoulli", ...options }: VaeOptions = {}) {
    super(configOf("VAE", options), 2);
    this.likelihood = likelihoodOf("VAE", likelihood);
  }

  /** Mean and logarithm of the variance of the pictures' codes. */
  encode(x: Tensor): Pick<VaeOutput, "mean" | "logVariance"> {
    this.expectPictures(x);
    const [mean, logVariance] = split(this.encoder.forward(x), this.options.latent, 1) as [Tensor, Tensor];
    return { mean, logVariance: logVariance.clamp(-30, 20) };
  }

  /** mean + sqrt(variance) noise: a draw that gradients pass through. */
  draw({ mean, logVariance }: Pick<VaeOutput, "mean" | "logVariance">, options: GeneratorOption = {}): Tensor {
    return mean.add(logVariance.mul(0.5).exp().mul(randnLike(mean, options)));
  }

  /** Draws of the pictures' codes: what diffusion.LatentDiffusion diffuses. */
  toLatents(x: Tensor, options: GeneratorOption = {}): Tensor {
    return this.draw(this.encode(x), options);
  }

  /** decode(), by the name that diffusion.LatentDiffusion asks for. */
  fromLatents(z: Tensor): Tensor {
    return this.decode(z);
  }

  /** Pictures to draws of their codes and back; in eval mode by the mean code. */
  forward(x: Tensor, options: GeneratorOption = {}): VaeOutput {
    const code = this.encode(x);
    const z = this.training ? this.draw(code, options) : code.mean;
    return { y: this.decode(z), ...code };
  }

  /** Minus the evidence's lower bound in nats a picture, and its two parts: all means over the batch. */
  loss(x: Tensor, { beta = 1, likelihood = this.likelihood, generator }: VaeLossOptions = {}): VaeLoss {
    likelihoodOf("VAE.loss", likelihood);
    const { y, mean, logVariance } = this.forward(x, generator ? { generator } : {});
    const n = x.shape[0]!;
    const error =
      likelihood === "bernoulli" ? bceWithLogits(y, x, { reduction: "sum" }) : y.sub(x).square().sum().mul(0.5);
    const reconstruction = error.div(n);
    const divergence = logVariance
      .add(1)
      .sub(mean.square())
      .sub(logVariance.exp())
      .sum()
      .mul(-0.5 / n);
    return { loss: reconstruction.add(divergence.mul(beta)), reconstruction, divergence };
  }

  /**
   * `n` pictures of codes from the standard normal distribution, in eval mode and without gradient: in [0, 1] with the
   * likelihood "bernoulli", as they are decoded with "gaussian".
   */
  sample(n: number, options: GeneratorOption = {}): Tensor {
    wholeNumber("VAE.sample", "n", n);
    const { latent, imageSize, stages, spatial } = this.options;
    const side = imageSize / 2 ** stages;
    const drawn = () => {
      const y = this.decode(randn(spatial ? [n, latent, side, side] : [n, latent], options));
      return this.likelihood === "bernoulli" ? y.sigmoid() : y;
    };
    return inEval(this, () => noGrad(() => scope(drawn)));
  }
}
