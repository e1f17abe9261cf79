/**
 * VQ-VAE (van den Oord, Vinyals & Kavukcuoglu, "Neural discrete representation learning", 2017): codes are rows of a table.
 *
 *     [n, c, s, s] -> halvings -> Conv 1x1 -> nearest row of the table at each place -> Conv 1x1 -> doublings
 *
 * The gradient passes the choice as if it were not there; the table follows the codes, by the loss or by running averages.
 */
import { expect, show } from "../errors.js";
import { noGrad } from "../graph.js";
import { ReLU } from "../nn/activation.js";
import { Sequential } from "../nn/container.js";
import { Conv2d } from "../nn/conv.js";
import * as init from "../nn/init.js";
import { Module } from "../nn/module.js";
import { type Parameter, parameter } from "../nn/parameter.js";
import { zeros } from "../ops/create.js";
import { cdist } from "../ops/distance.js";
import { embedding, oneHot } from "../ops/embedding.js";
import type { Tensor } from "../tensor.js";
import { type AutoencoderOptions, downStages, upStages } from "./autoencoder.js";
import { wholeNumber } from "./options.js";

/** Options of VectorQuantizer. */
export interface QuantizerOptions {
  /** Weight of the loss that keeps codes near their rows. Default 0.25. */
  commitment?: number;
  /** Running averages in place of the table's loss: their decay, such as 0.99 (appendix A.1). Default: none. */
  decay?: number | null;
}

/** What a quantizer answers. */
export interface Quantized {
  /** The rows, of the codes' shape; gradients pass to the codes. */
  z: Tensor;
  /** Which rows: int32 [n, ...places]. */
  ids: Tensor;
  /** To be added to the loss. */
  loss: Tensor;
}

/**
 * Codes to the nearest rows of a learned table.
 *
 * @example
 * const quantizer = new models.VectorQuantizer(16, 4);
 * const { z, ids, loss } = quantizer.forward(randn([2, 4, 3, 3])); // ids [2, 3, 3]
 */
export class VectorQuantizer extends Module {
  /** The table, `[codes, dim]`. */
  readonly weight: Parameter;
  /** How often each row is taken, `[codes]`, a running average; used with `decay`. */
  readonly counts!: Tensor;
  /** Sums of what took them, `[codes, dim]`, a running average; used with `decay`. */
  readonly sums!: Tensor;
  readonly #commitment: number;
  readonly #decay: number | null;

  /** Rows start evenly within 1 / codes. */
  constructor(
    /** Rows of the table. */
    readonly codes: number,
    /** Numbers of a row. */
    readonly dim: number,
    { commitment = 0.25, decay = null }: QuantizerOptions = {},
  ) {
    super();
    wholeNumber("VectorQuantizer", "codes", codes);
    wholeNumber("VectorQuantizer", "dim", dim);
    expect(commitment >= 0, "VectorQuantizer", "a commitment from 0 up", `${commitment}`);
    expect(
      decay === null || (decay > 0 && decay < 1),
      "VectorQuantizer",
      "a decay between 0 and 1, or null",
      `${decay}`,
    );
    this.#commitment = commitment;
    this.#decay = decay;
    this.weight = parameter(() => zeros([codes, dim]));
    init.uniform_(this.weight, -1 / codes, 1 / codes);
    if (decay === null) return;
    this.weight.requiresGrad_(false);
    this.registerBuffer("counts", zeros([codes]));
    this.registerBuffer("sums", this.weight.detach().clone());
  }

  /** Codes [n, dim, ...places]. */
  forward(x: Tensor): Quantized {
    const { dim, weight } = this;
    expect(x.ndim >= 2 && x.shape[1] === dim, "VectorQuantizer", `codes [n,${dim},...]`, show(x.shape));
    const last = [0, ...Array.from({ length: x.ndim - 2 }, (_, i) => i + 2), 1];
    const rows = x.permute(last).reshape([x.size / dim, dim]);
    const ids = noGrad(() => cdist(rows, weight).argmin(1).to("int32"));
    const places = [x.shape[0]!, ...x.shape.slice(2)];
    const chosen = embedding(ids, weight);
    if (this.#decay !== null && this.training) noGrad(() => this.#follow(rows.detach(), ids));
    const keeps = rows.sub(chosen.detach()).square().mean().mul(this.#commitment);
    const loss = this.#decay === null ? chosen.sub(rows.detach()).square().mean().add(keeps) : keeps;
    const passed = rows.add(chosen.sub(rows).detach());
    const back = [0, x.ndim - 1, ...Array.from({ length: x.ndim - 2 }, (_, i) => i + 1)];
    return { z: passed.reshape([...places, dim]).permute(back), ids: ids.reshape(places), loss };
  }

  /** The rows of ids [n, ...places]: [n, dim, ...places] */
  lookup(ids: Tensor): Tensor {
    const rows = embedding(ids, this.weight);
    return rows.permute([0, rows.ndim - 1, ...Array.from({ length: rows.ndim - 2 }, (_, i) => i + 1)]);
  }

  /** Counts and sums follow the batch; each row becomes its mean. A row that nothing takes stays. */
  #follow(rows: Tensor, ids: Tensor): void {
    const decay = this.#decay!;
    const taken = oneHot(ids, this.codes).to(rows.dtype); // [rows, codes]
    this.counts.copy_(this.counts.mul(decay).add(taken.sum(0).mul(1 - decay)));
    this.sums.copy_(
      this.sums.mul(decay).add(
        taken
          .t()
          .matmul(rows)
          .mul(1 - decay),
      ),
    );
    const total = this.counts.sum();
    const smooth = this.counts
      .add(1e-5)
      .div(total.add(this.codes * 1e-5))
      .mul(total); // Laplace
    this.weight.copy_(this.sums.div(smooth.unsqueeze(1)));
  }
}

/** Options of VQVAE, which takes pictures of any size that 2^stages divides. */
export interface VQVAEOptions extends Omit<AutoencoderOptions, "imageSize" | "spatial">, QuantizerOptions {
  /** Rows of the table. Default 512. */
  codes?: number;
}

/** What VQVAE.forward() gives. */
export interface VqvaeOutput {
  /** Pictures made again, before any sigmoid. */
  y: Tensor;
  /** Which rows: int32 [n, s / 2^stages, s / 2^stages]. */
  ids: Tensor;
  /** Of the quantizer: to be added to the pictures' loss. */
  loss: Tensor;
}

/**
 * The autoencoder whose codes are rows of a table (van den Oord et al. 2017).
 *
 * @example
 * const model = new models.VQVAE({ width: 4, latent: 4, codes: 16 });
 * const { y, ids, loss } = model.forward(zeros([2, 1, 8, 8])); // ids [2, 2, 2]
 */
export class VQVAE extends Module {
  /** Pictures to codes. */
  readonly encoder: Sequential;
  /** The table. */
  readonly quantizer: VectorQuantizer;
  /** Rows to pictures. */
  readonly decoder: Sequential;
  readonly #channels: number;
  readonly #unit: number;

  /** Random weights, from the default generator. */
  constructor({
    channels = 1,
    latent = 32,
    width = 32,
    stages = 2,
    codes = 512,
    commitment,
    decay,
  }: VQVAEOptions = {}) {
    super();
    for (const [name, n] of Object.entries({ channels, latent, width, stages })) wholeNumber("VQVAE", name, n);
    const top = width * 2 ** (stages - 1);
    this.encoder = new Sequential(...downStages({ channels, width, stages }), new Conv2d(top, latent, 1));
    this.quantizer = new VectorQuantizer(codes, latent, {
      ...(commitment === undefined ? {} : { commitment }),
      ...(decay === undefined ? {} : { decay }),
    });
    this.decoder = new Sequential(new Conv2d(latent, top, 1), new ReLU(), ...upStages({ channels, width, stages }));
    this.#channels = channels;
    this.#unit = 2 ** stages;
  }

  /** Pictures [n, c, h, w] with sides that are multiples of 2^stages. */
  forward(x: Tensor): VqvaeOutput {
    const { z, ids, loss } = this.quantizer.forward(this.toLatents(x));
    return { y: this.decoder.forward(z), ids, loss };
  }

  /** Codes [n, latent, h / 2^stages, w / 2^stages] before the table: what diffusion.LatentDiffusion diffuses. */
  toLatents(x: Tensor): Tensor {
    const [c, unit] = [this.#channels, this.#unit];
    const fits = x.ndim === 4 && x.shape[1] === c && x.shape[2]! % unit === 0 && x.shape[3]! % unit === 0;
    expect(fits, "VQVAE", `pictures [n,${c},h,w] with sides that are multiples of ${unit}`, show(x.shape));
    return this.encoder.forward(x);
  }

  /** Codes to their nearest rows and on to pictures, before any sigmoid. */
  fromLatents(z: Tensor): Tensor {
    return this.decoder.forward(this.quantizer.forward(z).z);
  }

  /** Rows by their numbers [n, h, w] to pictures, before any sigmoid. */
  decode(ids: Tensor): Tensor {
    return this.decoder.forward(this.quantizer.lookup(ids));
  }
}
