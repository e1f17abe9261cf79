/**
 * The diffusion process (Ho, Jain & Abbeel, "Denoising diffusion probabilistic models", 2020): pictures are mixed with
 * noise step by step, x_t = sqrt(ab_t) x_0 + sqrt(1 - ab_t) noise with ab_t the product of 1 - beta up to t, and a network
 * learns to tell one from the other. What samples from it stands in samplers.ts.
 *
 * All coefficients are tables over t that ops look up, so a training step has no number of its own and can be captured.
 */
import { expect, show } from "../errors.js";
import { keep } from "../memory.js";
import { mul, sub } from "../ops/arithmetic.js";
import { tensor } from "../ops/create.js";
import { indexSelect } from "../ops/gather.js";
import { type GeneratorOption, randint, randnLike } from "../ops/random.js";
import { mean } from "../ops/reduce.js";
import { reshape } from "../ops/shape.js";
import type { Tensor } from "../tensor.js";
import { type SampleOptions, sample } from "./samplers.js";
import { SCHEDULES } from "./schedules.js";

/** What a network predicts: the noise, the picture, or v = sqrt(ab) noise - sqrt(1 - ab) x_0 (Salimans & Ho 2022). */
export type Objective = "noise" | "x0" | "v";

/** Noisy pictures [n, ...], times int32 [n] and what they are conditioned on, to a prediction of x's shape. */
export type Denoiser = (x: Tensor, t: Tensor, condition: Tensor | null) => Tensor;

/**
 * What samplers ask: a Denoiser, or a function that answers a promise, such as one that replays the network natively,
 * `capture((x: Tensor, t: Tensor, c: Tensor | null) => network.forward(x, t, c))`: the same bits in less time. Samplers free
 * the tensors that it makes.
 */
export type SamplingDenoiser = (x: Tensor, t: Tensor, condition: Tensor | null) => Tensor | Promise<Tensor>;

/** Options of GaussianDiffusion. */
export interface DiffusionOptions {
  /** Steps from picture to noise. Default 1000. */
  timesteps?: number;
  /** How fast the picture goes, by name or as the betas themselves. Default "cosine". */
  schedule?: keyof typeof SCHEDULES | ArrayLike<number>;
  /** What the network predicts. Default "noise". */
  objective?: Objective;
  /** Bound of the signal-to-noise ratio in the loss's weights (Hang et al., "Min-SNR", 2023), usually 5. Default: none. */
  minSnr?: number | null;
}

/** What qPosterior() gives, each [n, ...] or [n, 1, ...]. */
export interface Posterior {
  /** Of the pictures' shape. */
  mean: Tensor;
  /** [n, 1, ...] */
  variance: Tensor;
  /** [n, 1, ...]; bounded where the variance is 0. */
  logVariance: Tensor;
}

/** What a network's output says. */
export interface Prediction {
  /** Of the pictures' shape. */
  noise: Tensor;
  /** The picture without noise. */
  xStart: Tensor;
}

/** What losses() gives. */
export interface DiffusionLosses {
  /** Weighted, one a picture: `[n]`. */
  losses: Tensor;
  /** The times, int32 `[n]`. */
  t: Tensor;
}

/** What one call of loss() is told. */
export interface DiffusionLossOptions extends GeneratorOption {
  /** What the pictures are conditioned on, handed to the network. Default null. */
  condition?: Tensor | null;
  /** int32 [n]. Default: drawn evenly. */
  t?: Tensor;
  /** Of x's shape. Default: drawn. */
  noise?: Tensor;
}

/**
 * A Gaussian diffusion of `timesteps` steps; pictures are expected in [-1, 1].
 *
 * @throws RangeError for no steps, or betas outside of (0, 1)
 * @example
 * const process = new diffusion.GaussianDiffusion({ timesteps: 100, objective: "v" });
 * const network = new models.UNet({ dim: 8, channels: 1, dimMults: [1, 2] });
 * const loss = process.loss((x, t) => network.forward(x, t), zeros([2, 1, 8, 8]));
 * const pictures = await process.sample((x, t) => network.forward(x, t), [2, 1, 8, 8], { sampler: "ddim", steps: 2 });
 */
export class GaussianDiffusion {
  /** Steps from picture to noise. */
  readonly timesteps: number;
  /** What the network predicts. */
  readonly objective: Objective;
  /** Variance that each step adds. */
  readonly betas: Float64Array;
  /** ab_t: the share of the picture's variance that is left. */
  readonly alphasCumprod: Float64Array;
  /** Weight of each time in the loss. */
  readonly lossWeights: Float64Array;
  readonly #tables = new Map<string, Tensor>();

  /** Computes the coefficients, in float64. */
  constructor({ timesteps = 1000, schedule = "cosine", objective = "noise", minSnr = null }: DiffusionOptions = {}) {
    const named = typeof schedule === "string";
    if (!named) timesteps = schedule.length;
    if (!Number.isSafeInteger(timesteps) || timesteps < 1)
      throw new RangeError(`GaussianDiffusion: expected timesteps to be a whole number from 1 up, got ${timesteps}`);
    if (named && !Object.hasOwn(SCHEDULES, schedule))
      throw new RangeError(
        `GaussianDiffusion: expected a schedule ${Object.keys(SCHEDULES).join(", ")}, or betas, got "${schedule}"`,
      );
    if (!["noise", "x0", "v"].includes(objective))
      throw new RangeError(`GaussianDiffusion: expected an objective noise, x0 or v, got ${JSON.stringify(objective)}`);
    if (minSnr !== null && !(minSnr > 0))
      throw new RangeError(`GaussianDiffusion: expected minSnr to be above 0, or null, got ${minSnr}`);
    const betas = named ? SCHEDULES[schedule](timesteps) : Float64Array.from(schedule);
    const wrong = betas.findIndex((b) => !(b > 0 && b < 1));
    if (wrong >= 0)
      throw new RangeError(`GaussianDiffusion: expected betas between 0 and 1, got ${betas[wrong]} at ${wrong}`);
    this.timesteps = timesteps;
    this.objective = objective;
    this.betas = betas;
    let left = 1;
    this.alphasCumprod = betas.map((b) => (left *= 1 - b));
    this.lossWeights = this.alphasCumprod.map((ab) => {
      const snr = ab / (1 - ab);
      const bounded = minSnr === null ? snr : Math.min(snr, minSnr);
      return { noise: bounded / snr, x0: bounded, v: bounded / (snr + 1) }[objective];
    });
  }

  /** A coefficient by time, looked up for each of t [n], with ones behind: [n, 1, ...] of `like`'s dimensions. */
  #extract(name: string, value: (t: number) => number, t: Tensor, like: Tensor): Tensor {
    const key = `${name} ${like.dtype}`;
    let table = this.#tables.get(key);
    if (!table) {
      const values = Float64Array.from({ length: this.timesteps }, (_, i) => value(i));
      table = keep(tensor(values, { dtype: like.dtype }));
      this.#tables.set(key, table);
    }
    const n = like.shape[0]!;
    expect(
      t.ndim === 1 && t.shape[0] === n && t.dtype === "int32",
      "GaussianDiffusion",
      `times t int32 [${n}]`,
      `${t.dtype} ${show(t.shape)}`,
    );
    return reshape(indexSelect(table, 0, t), [n, ...Array<number>(like.ndim - 1).fill(1)]);
  }
  #signal = (t: Tensor, x: Tensor) => this.#extract("signal", (i) => Math.sqrt(this.alphasCumprod[i]!), t, x);
  #noise = (t: Tensor, x: Tensor) => this.#extract("noise", (i) => Math.sqrt(1 - this.alphasCumprod[i]!), t, x);

  /** x_t: pictures [n, ...] mixed with noise as far as their times t int32 [n]. */
  qSample(xStart: Tensor, t: Tensor, noise: Tensor): Tensor {
    return this.#signal(t, xStart).mul(xStart).add(this.#noise(t, xStart).mul(noise));
  }

  /** Mean, variance and its logarithm (bounded where it is 0, at t = 0) of x_(t-1), knowing x_0 and x_t. */
  qPosterior(xStart: Tensor, xT: Tensor, t: Tensor): Posterior {
    const { betas, alphasCumprod: ab } = this;
    const before = (i: number) => (i === 0 ? 1 : ab[i - 1]!);
    const variance = (i: number) => (betas[i]! * (1 - before(i))) / (1 - ab[i]!);
    const a = this.#extract("mean0", (i) => (betas[i]! * Math.sqrt(before(i))) / (1 - ab[i]!), t, xT);
    const b = this.#extract("meanT", (i) => ((1 - before(i)) * Math.sqrt(1 - betas[i]!)) / (1 - ab[i]!), t, xT);
    return {
      mean: a.mul(xStart).add(b.mul(xT)),
      variance: this.#extract("variance", variance, t, xT),
      logVariance: this.#extract("logVariance", (i) => Math.log(Math.max(variance(i), 1e-20)), t, xT),
    };
  }

  /** x_0 = (x_t - sqrt(1 - ab) noise) / sqrt(ab) */
  predictStartFromNoise(xT: Tensor, t: Tensor, noise: Tensor): Tensor {
    return xT.sub(this.#noise(t, xT).mul(noise)).div(this.#signal(t, xT));
  }

  /** noise = (x_t - sqrt(ab) x_0) / sqrt(1 - ab) */
  predictNoiseFromStart(xT: Tensor, t: Tensor, xStart: Tensor): Tensor {
    return xT.sub(this.#signal(t, xT).mul(xStart)).div(this.#noise(t, xT));
  }

  /** v = sqrt(ab) noise - sqrt(1 - ab) x_0 */
  predictV(xStart: Tensor, t: Tensor, noise: Tensor): Tensor {
    return this.#signal(t, xStart).mul(noise).sub(this.#noise(t, xStart).mul(xStart));
  }

  /** What a network's output at x_t says of noise and picture; the picture bounded to [-1, 1] where `clip` is set. */
  predictions(output: Tensor, xT: Tensor, t: Tensor, clip = false): Prediction {
    let xStart: Tensor;
    switch (this.objective) {
      case "noise":
        xStart = this.predictStartFromNoise(xT, t, output);
        break;
      case "x0":
        xStart = output;
        break;
      case "v":
        xStart = this.#signal(t, xT).mul(xT).sub(this.#noise(t, xT).mul(output));
        break;
    }
    if (clip) xStart = xStart.clamp(-1, 1);
    const noise = this.objective === "noise" && !clip ? output : this.predictNoiseFromStart(xT, t, xStart);
    return { noise, xStart };
  }

  /** Weighted mean square error of each picture's prediction, [n], and the times that were drawn, int32 [n]. */
  losses(
    network: Denoiser,
    xStart: Tensor,
    { condition = null, generator, t, noise }: DiffusionLossOptions = {},
  ): DiffusionLosses {
    const n = xStart.shape[0]!;
    const times = t ?? randint(0, this.timesteps, [n], { dtype: "int32", generator });
    const drawn = noise ?? randnLike(xStart, { generator });
    const output = network(this.qSample(xStart, times, drawn), times, condition);
    const targets = { noise: () => drawn, x0: () => xStart, v: () => this.predictV(xStart, times, drawn) };
    const target = targets[this.objective]();
    expect(
      show(output.shape) === show(target.shape),
      "GaussianDiffusion.losses",
      `a network that answers x's shape ${show(target.shape)}`,
      show(output.shape),
    );
    const error = sub(output, target);
    const each = mean(mul(error, error), [...xStart.shape.keys()].slice(1));
    const weight = this.#extract("weight", (i) => this.lossWeights[i]!, times, xStart);
    return { losses: mul(each, reshape(weight, [n])), t: times };
  }

  /** Mean of losses() over the batch: what training minimises. */
  loss(network: Denoiser, xStart: Tensor, options: DiffusionLossOptions = {}): Tensor {
    return mean(this.losses(network, xStart, options).losses);
  }

  /**
   * Pictures drawn from noise. Resolves when they are computed; the event loop stays free.
   *
   * @param network asked once a step, twice with guidance, and once more by "heun" in all steps but the last
   * @param shape [n, ...] of the pictures
   * @throws (rejects) RangeError for options out of range; ShapeError for a start of another shape
   * @example
   * const process = new diffusion.GaussianDiffusion({ timesteps: 100 });
   * const network = new models.UNet({ dim: 8, channels: 1, dimMults: [1, 2] }).eval();
   * const denoise = capture((x: Tensor, t: Tensor, c: Tensor | null) => network.forward(x, t, c));
   * const pictures = await process.sample(denoise, [2, 1, 8, 8], { steps: 5 });
   * denoise.free();
   */
  sample(network: SamplingDenoiser, shape: readonly number[], options: SampleOptions = {}): Promise<Tensor> {
    return sample(this, network, shape, options);
  }
}
