/**
 * Latent diffusion (Rombach et al., "High-resolution image synthesis with latent diffusion models", 2022): an autoencoder
 * is trained first and then stays; diffusion runs on its codes, which are smaller than the pictures.
 *
 *     pictures -> first stage -> codes -> times scale, 1 / their standard deviation -> latents -> diffusion's loss
 *     noise -> sampler, network -> latents -> divided by scale -> first stage -> pictures
 *
 * The network is any that answers its input's shape (models.UNet, models.DiT); the first stage is models.VAE, models.VQVAE
 * (whose table belongs to its way back, so latents need not be rows), or any module with their two methods.
 */
import { expect, show } from "../errors.js";
import { noGrad } from "../graph.js";
import { scope } from "../memory.js";
import { addon, breathe } from "../native.js";
import type { Module } from "../nn/module.js";
import type { GeneratorOption } from "../ops/random.js";
import type { Tensor } from "../tensor.js";
import type {
  Denoiser,
  DiffusionLosses,
  DiffusionLossOptions,
  GaussianDiffusion,
  SamplingDenoiser,
} from "./process.js";
import type { SampleOptions } from "./samplers.js";

/** What makes codes of pictures and pictures of codes; models.VAE and models.VQVAE do. */
export type FirstStage = Module & {
  /** Pictures [n, c, h, w] to codes [n, ...]. */
  toLatents(x: Tensor, options?: GeneratorOption): Tensor;
  /** Codes to pictures, before any sigmoid. */
  fromLatents(z: Tensor): Tensor;
  /** How it was trained, as models.VAE says it: see LatentDiffusionOptions. */
  readonly likelihood?: "bernoulli" | "gaussian";
};

/** Options of LatentDiffusion. */
export interface LatentDiffusionOptions {
  /** Codes times this have unit variance, such as 0.18215 for Stable Diffusion's. Default: as measure() finds it. */
  scale?: number | null;
  /** Of one latent, such as [4, 7, 7]. Default: that of the first pictures that are encoded. */
  shape?: readonly number[] | null;
  /**
   * How the first stage was trained, as in VaeOptions: "bernoulli", pictures in [0, 1], which decode() puts through a
   * sigmoid, or "gaussian", pictures as they are decoded. Default the first stage's own; "bernoulli" where it has none.
   */
  likelihood?: "bernoulli" | "gaussian";
}

/** Options of LatentDiffusion.sample(); `start` and what `inpaint` keeps are latents, and onStep is told latents. */
export type LatentSampleOptions = Omit<SampleOptions, "clip">;

/**
 * A diffusion on the codes of a trained autoencoder. That one is put into eval mode, and no gradient reaches it.
 *
 * @throws RangeError for a scale that is not above 0, or another likelihood
 * @example
 * const vae = new models.VAE({ imageSize: 8, width: 4, latent: 2, spatial: true }); // trained before
 * const process = new diffusion.GaussianDiffusion({ timesteps: 100, objective: "v" });
 * const latent = new diffusion.LatentDiffusion(vae, process);
 * await latent.measure([[rand([16, 1, 8, 8])]]); // batches, as a DataLoader gives them
 * const network = new models.DiT({ imageSize: 2, patch: 1, channels: 2, dim: 16, depth: 1, heads: 2 });
 * const loss = latent.loss((z, t) => network.forward(z, t), rand([4, 1, 8, 8]));
 * const pictures = await latent.sample((z, t) => network.forward(z, t), 3, { steps: 5 }); // [3, 1, 8, 8]
 */
export class LatentDiffusion {
  #scale: number | null;
  #shape: readonly number[] | null;
  readonly #likelihood: "bernoulli" | "gaussian";

  /** Checks the options; nothing is computed. */
  constructor(
    /** The autoencoder. */
    readonly firstStage: FirstStage,
    /** On the latents. */
    readonly process: GaussianDiffusion,
    { scale = null, shape = null, likelihood = firstStage.likelihood ?? "bernoulli" }: LatentDiffusionOptions = {},
  ) {
    if (scale !== null && !(scale > 0 && Number.isFinite(scale)))
      throw new RangeError(`LatentDiffusion: expected a scale above 0, or null, got ${scale}`);
    if (likelihood !== "bernoulli" && likelihood !== "gaussian")
      throw new RangeError(
        `LatentDiffusion: expected likelihood to be "bernoulli" or "gaussian", got ${JSON.stringify(likelihood)}`,
      );
    this.#scale = scale;
    this.#shape = shape;
    this.#likelihood = likelihood;
    firstStage.eval();
  }

  /**
   * What codes are multiplied by.
   *
   * @throws Error before it is measured or given
   */
  get scale(): number {
    if (this.#scale === null)
      throw new Error(
        "LatentDiffusion: expected a scale, got none yet; await measure(batches) first, or pass { scale }",
      );
    return this.#scale;
  }

  /**
   * Shape of one latent.
   *
   * @throws Error before pictures were encoded or it was given
   */
  get shape(): readonly number[] {
    if (this.#shape === null)
      throw new Error(
        "LatentDiffusion: expected the shape of a latent, got none yet; await measure(batches) first, or pass { shape }",
      );
    return this.#shape;
  }

  /**
   * Sets the scale to 1 / the standard deviation of all numbers of these pictures' codes.
   *
   * @param batches each with pictures [n, c, h, w] first, as from a loader; some thousand pictures are enough
   * @param options generator: draws a VAE's codes
   * @returns the scale
   * @throws (rejects) Error for no batches, or codes whose deviation is 0 or not finite
   */
  async measure(
    batches: AsyncIterable<readonly Tensor[]> | Iterable<readonly Tensor[]>,
    options: GeneratorOption = {},
  ): Promise<number> {
    let [count, sum, squares] = [0, 0, 0];
    for await (const [x] of batches) {
      const parts = scope(() =>
        noGrad(() => {
          const z = this.#codes(x!, options).to("float64");
          count += z.size;
          return [z.sum(), z.square().sum()] as const;
        }),
      );
      sum += await parts[0].item();
      squares += await parts[1].item();
      for (const part of parts) part.free();
      await breathe();
    }
    if (count === 0) throw new Error("LatentDiffusion.measure: expected batches of pictures, got none");
    const deviation = Math.sqrt(Math.max(0, squares / count - (sum / count) ** 2));
    if (!(deviation > 0 && Number.isFinite(deviation)))
      throw new Error(`LatentDiffusion.measure: expected codes that differ, got a standard deviation of ${deviation}`);
    this.#scale = 1 / deviation;
    return this.#scale;
  }

  /** Pictures [n, c, h, w] to latents [n, ...] of about unit variance, without gradient. A VAE's are drawn. */
  encode(x: Tensor, options: GeneratorOption = {}): Tensor {
    const { scale } = this;
    return scope(() => noGrad(() => this.#codes(x, options).mul(scale)));
  }

  #codes(x: Tensor, options: GeneratorOption): Tensor {
    const z = this.firstStage.toLatents(x, options);
    this.#shape ??= z.shape.slice(1);
    this.#expectLatents("LatentDiffusion.encode", z);
    return z;
  }

  #expectLatents(name: string, z: Tensor): void {
    const { shape } = this;
    expect(show(z.shape.slice(1)) === show(shape), name, `latents [n,${shape}]`, show(z.shape));
  }

  /** Latents [n, ...] to pictures [n, c, h, w], without gradient. */
  decode(z: Tensor): Tensor {
    if (this.#shape !== null) this.#expectLatents("LatentDiffusion.decode", z);
    return this.#pictures(z, this.scale);
  }

  #pictures(z: Tensor, scale: number): Tensor {
    return scope(() =>
      noGrad(() => {
        const y = this.firstStage.fromLatents(z.div(scale));
        return this.#likelihood === "bernoulli" ? y.sigmoid() : y;
      }),
    );
  }

  /** GaussianDiffusion.losses() of pictures' latents; the same generator draws codes, times and noise. */
  losses(network: Denoiser, x: Tensor, options: DiffusionLossOptions = {}): DiffusionLosses {
    const { generator } = options;
    return this.process.losses(network, this.encode(x, generator ? { generator } : {}), options);
  }

  /** Mean of losses() over the batch: what training minimises. */
  loss(network: Denoiser, x: Tensor, options: DiffusionLossOptions = {}): Tensor {
    return this.losses(network, x, options).losses.mean();
  }

  /**
   * `n` pictures drawn from noise in the latents' space, [n, c, h, w]. Resolves when they are computed.
   *
   * @param network plain or captured, as for GaussianDiffusion.sample()
   */
  async sample(network: SamplingDenoiser, n: number, options: LatentSampleOptions = {}): Promise<Tensor> {
    expect(Number.isSafeInteger(n) && n >= 1, "LatentDiffusion.sample", "n to be a whole number from 1 up", `${n}`);
    const { scale, shape } = this;
    const z = await this.process.sample(network, [n, ...shape], { ...options, clip: false });
    const x = this.#pictures(z, scale);
    z.free();
    await addon.settled();
    return x;
  }
}
