/**
 * SimCLR (Chen et al., "A simple framework for contrastive learning of visual representations", 2020): two random views of
 * a picture are told from those of all others in the batch.
 *
 *     view 0, view 1 -> encoder -> h [2n, features] -> Linear -> (BatchNorm) -> ReLU -> Linear -> z [2n, dim]
 *     loss: each z finds the other view of its picture among the 2n - 1 others, by cosine / temperature
 *
 * What is kept is h: the head throws away what differs between views. Its keys are those of a Sequential (0.weight, ...).
 */
import { expect, show } from "../errors.js";
import { ReLU } from "../nn/activation.js";
import { Sequential } from "../nn/container.js";
import { Linear } from "../nn/linear.js";
import { type Layer, Module } from "../nn/module.js";
import { BatchNorm1d } from "../nn/norm.js";
import { arange, eye } from "../ops/create.js";
import { normalize } from "../ops/distance.js";
import { crossEntropy } from "../ops/losses/classes.js";
import { cat } from "../ops/shape.js";
import type { Tensor } from "../tensor.js";
import { wholeNumber } from "./options.js";

/** Options of ntXentLoss. */
export interface NtXentOptions {
  /** What cosines are divided by. Default 0.5. */
  temperature?: number;
}

/**
 * NT-Xent, the normalised temperature-scaled cross-entropy (Chen et al. 2020, equation 1), a mean over all 2n rows:
 *
 *     l(i, j) = -log(exp(cos(z_i, z_j) / t) / sum over k != i of exp(cos(z_i, z_k) / t)),  j the other view of i
 *
 * @param z1 [n, dim]: a view of each picture
 * @param z2 [n, dim]: another view of the same pictures, row by row
 * @example
 * const loss = models.ntXentLoss(randn([4, 8]), randn([4, 8]), { temperature: 0.5 });
 */
export function ntXentLoss(z1: Tensor, z2: Tensor, { temperature = 0.5 }: NtXentOptions = {}): Tensor {
  const op = "ntXentLoss";
  expect(z1.ndim === 2 && z1.shape[0]! > 0, op, "z1 of shape [n,dim]", show(z1.shape));
  expect(show(z2.shape) === show(z1.shape), op, `z2 of the shape of z1, ${show(z1.shape)}`, show(z2.shape));
  expect(temperature > 0, op, "a temperature above 0", `${temperature}`);
  const n = z1.shape[0]!;
  const z = normalize(cat([z1, z2], 0));
  const itself = eye(2 * n, undefined, { dtype: "bool" });
  const logits = z.matmul(z.t()).div(temperature).maskedFill(itself, Number.NEGATIVE_INFINITY);
  const i = arange(0, n, 1, { dtype: "int32" });
  return crossEntropy(logits, cat([i.add(n), i], 0));
}

/** Options of SimCLR. */
export interface SimCLROptions {
  /** Features that the encoder answers. */
  features: number;
  /** Units of the head's hidden layer. Default as many as features. */
  hidden?: number;
  /** Numbers of the space in which views are compared. Default 128. */
  dim?: number;
  /** Whether the hidden layer is normalised over the batch. Default true. */
  batchNorm?: boolean;
  /** Of the loss. Default 0.5. */
  temperature?: number;
}

/**
 * Encoder and projection head (Chen et al. 2020). train.SelfSupervisedTrainer trains it.
 *
 * @example
 * const encoder = new nn.Sequential(new nn.Flatten(), new nn.Linear(48, 16));
 * const model = new models.SimCLR(encoder, { features: 16, dim: 8 });
 * const loss = model.loss([randn([4, 3, 4, 4]), randn([4, 3, 4, 4])]);
 */
export class SimCLR extends Module {
  /** Features to the space in which views are compared. */
  readonly head: Sequential;
  /** Of the loss. */
  readonly temperature: number;

  /**
   * Random weights of the head, from the default generator.
   *
   * @param encoder pictures to [n, features]
   */
  constructor(
    readonly encoder: Layer,
    { features, hidden = features, dim = 128, batchNorm = true, temperature = 0.5 }: SimCLROptions,
  ) {
    super();
    for (const [name, n] of Object.entries({ features, hidden, dim })) wholeNumber("SimCLR", name, n);
    expect(temperature > 0, "SimCLR", "a temperature above 0", `${temperature}`);
    this.temperature = temperature;
    this.head = new Sequential(
      new Linear(features, hidden, { bias: !batchNorm }),
      ...(batchNorm ? [new BatchNorm1d(hidden)] : []),
      new ReLU(),
      new Linear(hidden, dim),
    );
  }

  /** Pictures to projections [n, dim], of any length. */
  forward(x: Tensor): Tensor {
    return this.head.forward(this.encode(x));
  }

  /** Pictures to what is kept, [n, features]. */
  encode(x: Tensor): Tensor {
    return this.encoder.forward(x);
  }

  /** NT-Xent of two views [n, c, h, w], which go through the network as one batch. */
  loss(views: readonly Tensor[]): Tensor {
    expect(views.length === 2, "SimCLR", "two views", `${views.length}`);
    const [a, b] = views as [Tensor, Tensor];
    expect(show(a.shape) === show(b.shape), "SimCLR", `views of one shape, ${show(a.shape)}`, show(b.shape));
    const n = a.shape[0]!;
    const z = this.forward(cat([a, b], 0));
    return ntXentLoss(z.slice([0, n]), z.slice([n, 2 * n]), { temperature: this.temperature });
  }
}
