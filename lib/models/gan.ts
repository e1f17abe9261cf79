/**
 * Generators and discriminators of generative adversarial networks, as CS231n's assignment has them for 28x28 pictures in
 * [-1, 1], and for conditions.
 *
 *     fully connected: noise -> 1024 -> ReLU -> 1024 -> ReLU -> pixels -> tanh;  pixels -> 256 -> leaky ReLU, twice -> 1
 *     convolutional (Radford et al., "DCGAN", 2015):
 *       noise -> Linear(1024) -> ReLU -> BN -> Linear(128 x s/4 x s/4) -> ReLU -> BN -> two transposed 4x4 s2, the last with tanh
 *       Conv 5x5 (32) -> leaky ReLU -> MaxPool 2 -> Conv 5x5 (64) -> leaky ReLU -> MaxPool 2 -> Linear -> leaky ReLU -> 1
 *
 * With `classes` a label is embedded and stands beside the noise, and as a further channel beside the picture. With
 * `spectralNorm` each layer of a discriminator is divided by its largest singular value (Miyato et al. 2018).
 */
import { expect, show } from "../errors.js";
import { Flatten, LeakyReLU, ReLU, Tanh, Unflatten } from "../nn/activation.js";
import { Sequential } from "../nn/container.js";
import { Conv2d, ConvTranspose2d } from "../nn/conv.js";
import { Embedding, Linear } from "../nn/linear.js";
import { Module } from "../nn/module.js";
import { BatchNorm1d, BatchNorm2d } from "../nn/norm.js";
import { spectralNorm } from "../nn/parametrise.js";
import { MaxPool2d } from "../nn/pool.js";
import { cat } from "../ops/shape.js";
import type { Tensor } from "../tensor.js";
import { wholeNumber } from "./options.js";

/** Options of the models of this file. */
export interface GanOptions {
  /** Numbers of noise. Default 96. */
  noiseDim?: number;
  /** Channels of a picture. Default 1. */
  channels?: number;
  /** Height and width of a picture, a multiple of 4. Default 28. */
  imageSize?: number;
  /** Labels that both sides are told. Default: none. */
  classes?: number | null;
}

/** Options of the discriminators of this file. */
export interface GanDiscriminatorOptions extends GanOptions {
  /**
   * Whether the layers' weights are divided by their largest singular values (nn.spectralNorm()), which bounds how fast
   * scores change with the picture; usual with the hinge loss. The state dict then holds weight_orig, weight_u, weight_v.
   * The GanTrainer captures such steps where it is told to, by `capture: true`: power iterations run in hooks. Default false.
   */
  spectralNorm?: boolean;
}

type Config = Required<GanOptions>;
type DiscriminatorConfig = Required<GanDiscriminatorOptions>;

const DEFAULTS: Config = { noiseDim: 96, channels: 1, imageSize: 28, classes: null };

function checked<C extends Config>(model: string, config: C): C {
  for (const name of ["noiseDim", "channels", "imageSize"] as const) wholeNumber(model, name, config[name]);
  if (config.imageSize % 4 !== 0)
    throw new RangeError(`${model}: expected imageSize to be a multiple of 4, got ${config.imageSize}`);
  if (config.classes !== null) wholeNumber(model, "classes", config.classes);
  return config;
}

function expectLabels(model: Module, labels: Tensor | null, embedding: Embedding | null, n: number): void {
  expect(
    embedding ? labels !== null && labels.ndim === 1 && labels.shape[0] === n : labels === null,
    model.constructor.name,
    embedding ? `labels [${n}]` : "no labels (classes were not given)",
    labels ? show(labels.shape) : "none",
  );
}

/** Noise, and labels where there are classes, to pictures. */
abstract class Generator extends Module {
  /** Labels to numbers beside the noise; null without classes. */
  readonly embedding: Embedding | null;
  /** From noise to pictures. */
  abstract readonly net: Sequential;
  /** Options with their defaults. */
  readonly options: Readonly<Config>;

  constructor(model: string, options: GanOptions) {
    super();
    this.options = checked(model, { ...DEFAULTS, ...options });
    const { classes, noiseDim } = this.options;
    this.embedding = classes === null ? null : new Embedding(classes, noiseDim);
  }

  /** Noise [n, noiseDim], labels [n] where there are classes, to pictures [n, channels, s, s] in [-1, 1] */
  forward(noise: Tensor, labels: Tensor | null = null): Tensor {
    const { noiseDim } = this.options;
    expect(
      noise.ndim === 2 && noise.shape[1] === noiseDim,
      this.constructor.name,
      `noise [n,${noiseDim}]`,
      show(noise.shape),
    );
    expectLabels(this, labels, this.embedding, noise.shape[0]!);
    return this.net.forward(this.embedding ? cat([noise, this.embedding.forward(labels!)], 1) : noise);
  }

  protected get inFeatures(): number {
    return this.options.noiseDim * (this.embedding ? 2 : 1);
  }
}

/** Pictures, and labels where there are classes, to scores. */
abstract class Discriminator extends Module {
  /** Labels to a further channel; null without classes. */
  readonly embedding: Embedding | null;
  /** From pictures to scores. */
  abstract readonly net: Sequential;
  /** Options with their defaults. */
  readonly options: Readonly<DiscriminatorConfig>;

  constructor(model: string, options: GanDiscriminatorOptions) {
    super();
    this.options = checked(model, { ...DEFAULTS, spectralNorm: false, ...options });
    const { classes, imageSize } = this.options;
    this.embedding = classes === null ? null : new Embedding(classes, imageSize ** 2);
  }

  /** Pictures [n, channels, s, s], labels [n] where there are classes, to scores [n, 1] before any sigmoid */
  forward(x: Tensor, labels: Tensor | null = null): Tensor {
    return this.net.forward(this.#input(x, labels));
  }

  /** Of the same, what the last layer makes scores of: [n, f], for feature matching (Salimans et al. 2016). */
  features(x: Tensor, labels: Tensor | null = null): Tensor {
    return [...this.net].slice(0, -1).reduce((y, layer) => layer.forward(y), this.#input(x, labels));
  }

  /** Pictures, with their labels' channel where there are classes. */
  #input(x: Tensor, labels: Tensor | null): Tensor {
    const { channels: c, imageSize: s } = this.options;
    const fits = x.ndim === 4 && x.shape[1] === c && x.shape[2] === s && x.shape[3] === s;
    expect(fits, this.constructor.name, `pictures [n,${c},${s},${s}]`, show(x.shape));
    const n = x.shape[0]!;
    expectLabels(this, labels, this.embedding, n);
    return this.embedding ? cat([x, this.embedding.forward(labels!).reshape([n, 1, s, s])], 1) : x;
  }

  /** A layer with weights, normalised where the options say so. */
  protected weighted<M extends Conv2d | Linear>(layer: M): M {
    if (this.options.spectralNorm) spectralNorm<Conv2d | Linear>(layer);
    return layer;
  }

  protected get inChannels(): number {
    return this.options.channels + (this.embedding ? 1 : 0);
  }
}

/**
 * The fully connected generator: three linear layers.
 *
 * @example
 * const pictures = new models.GanGenerator({ noiseDim: 4 }).forward(train.sampleNoise(2, 4)); // [2, 1, 28, 28]
 */
export class GanGenerator extends Generator {
  readonly net: Sequential;

  /** Random weights, from the default generator. */
  constructor(options: GanOptions = {}) {
    super("GanGenerator", options);
    const { channels: c, imageSize: s } = this.options;
    this.net = new Sequential(
      new Linear(this.inFeatures, 1024),
      new ReLU(),
      new Linear(1024, 1024),
      new ReLU(),
      new Linear(1024, c * s * s),
      new Tanh(),
      new Unflatten(1, [c, s, s]),
    );
  }
}

/** The fully connected discriminator: three linear layers. */
export class GanDiscriminator extends Discriminator {
  readonly net: Sequential;

  /** Random weights, from the default generator. */
  constructor(options: GanDiscriminatorOptions = {}) {
    super("GanDiscriminator", options);
    this.net = new Sequential(
      new Flatten(),
      this.weighted(new Linear(this.inChannels * this.options.imageSize ** 2, 256)),
      new LeakyReLU(0.01),
      this.weighted(new Linear(256, 256)),
      new LeakyReLU(0.01),
      this.weighted(new Linear(256, 1)),
    );
  }
}

/**
 * The convolutional generator (Radford et al. 2015).
 *
 * @example
 * const model = new models.DcganGenerator({ noiseDim: 4, classes: 10 });
 * const pictures = model.forward(train.sampleNoise(2, 4), zeros([2], { dtype: "int32" })); // [2, 1, 28, 28]
 */
export class DcganGenerator extends Generator {
  readonly net: Sequential;

  /** Random weights, from the default generator. */
  constructor(options: GanOptions = {}) {
    super("DcganGenerator", options);
    const { channels, imageSize } = this.options;
    const side = imageSize / 4;
    this.net = new Sequential(
      new Linear(this.inFeatures, 1024),
      new ReLU(),
      new BatchNorm1d(1024),
      new Linear(1024, 128 * side * side),
      new ReLU(),
      new BatchNorm1d(128 * side * side),
      new Unflatten(1, [128, side, side]),
      new ConvTranspose2d(128, 64, 4, { stride: 2, padding: 1 }),
      new ReLU(),
      new BatchNorm2d(64),
      new ConvTranspose2d(64, channels, 4, { stride: 2, padding: 1 }),
      new Tanh(),
    );
  }
}

/**
 * The convolutional discriminator, for pictures of at least 16x16.
 *
 * @example
 * const model = new models.DcganDiscriminator({ imageSize: 16, spectralNorm: true });
 * const scores = model.forward(zeros([2, 1, 16, 16])); // [2, 1]
 */
export class DcganDiscriminator extends Discriminator {
  readonly net: Sequential;

  /** Random weights, from the default generator. */
  constructor(options: GanDiscriminatorOptions = {}) {
    super("DcganDiscriminator", options);
    const side = Math.floor((Math.floor((this.options.imageSize - 4) / 2) - 4) / 2);
    wholeNumber("DcganDiscriminator", "the side behind both poolings", side);
    const features = 64 * side * side;
    this.net = new Sequential(
      this.weighted(new Conv2d(this.inChannels, 32, 5)),
      new LeakyReLU(0.01),
      new MaxPool2d(2),
      this.weighted(new Conv2d(32, 64, 5)),
      new LeakyReLU(0.01),
      new MaxPool2d(2),
      new Flatten(),
      this.weighted(new Linear(features, features)),
      new LeakyReLU(0.01),
      this.weighted(new Linear(features, 1)),
    );
  }
}
