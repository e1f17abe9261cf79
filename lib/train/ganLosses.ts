/**
 * Losses of generative adversarial networks, all from the discriminator's scores before any sigmoid.
 */
import { grad } from "../autograd.js";
import { expect, show } from "../errors.js";
import { enableGrad } from "../graph.js";
import { onesLike, zerosLike } from "../ops/create.js";
import { relu } from "../ops/elementwise.js";
import { bceWithLogits } from "../ops/losses/labels.js";
import { type GeneratorOption, rand } from "../ops/random.js";
import type { Tensor } from "../tensor.js";

/** Whose loss is meant: a game of two. */
export interface GanLoss {
  /** Scores of true and of made pictures to what the discriminator minimises. */
  discriminator(real: Tensor, fake: Tensor): Tensor;
  /** Scores of made pictures to what the generator minimises. */
  generator(fake: Tensor): Tensor;
}

/**
 * -log D(x) - log(1 - D(G(z))), each a mean, by the stable form of the cross-entropy (Goodfellow et al. 2014).
 *
 * @example
 * const loss = train.discriminatorLoss(randn([8, 1]), randn([8, 1]));
 */
export const discriminatorLoss = (logitsReal: Tensor, logitsFake: Tensor): Tensor =>
  bceWithLogits(logitsReal, onesLike(logitsReal)).add(bceWithLogits(logitsFake, zerosLike(logitsFake)));

/** -log D(G(z)): the form that does not saturate (Goodfellow et al. 2014, section 3). */
export const generatorLoss = (logitsFake: Tensor): Tensor => bceWithLogits(logitsFake, onesLike(logitsFake));

/** log(1 - D(G(z))): the game as it was first written; its gradient fades where the discriminator is sure. */
export const minimaxGeneratorLoss = (logitsFake: Tensor): Tensor =>
  bceWithLogits(logitsFake, zerosLike(logitsFake)).neg();

/** ((D(x) - 1)^2 + D(G(z))^2) / 2 (Mao et al., "Least squares GAN", 2016). */
export const lsDiscriminatorLoss = (scoresReal: Tensor, scoresFake: Tensor): Tensor =>
  scoresReal.sub(1).square().mean().add(scoresFake.square().mean()).mul(0.5);

/** (D(G(z)) - 1)^2 / 2 (Mao et al. 2016). */
export const lsGeneratorLoss = (scoresFake: Tensor): Tensor => scoresFake.sub(1).square().mean().mul(0.5);

/** D(G(z)) - D(x), means: the critic's side of the Wasserstein distance (Arjovsky et al. 2017). */
export const wganDiscriminatorLoss = (scoresReal: Tensor, scoresFake: Tensor): Tensor =>
  scoresFake.mean().sub(scoresReal.mean());

/** -D(G(z)), a mean (Arjovsky et al. 2017). */
export const wganGeneratorLoss = (scoresFake: Tensor): Tensor => scoresFake.mean().neg();

/**
 * max(0, 1 - D(x)) + max(0, 1 + D(G(z))), means: scores beyond the margins count no more (Lim & Ye, "Geometric GAN", 2017;
 * Miyato et al. 2018). Its generator's side is wganGeneratorLoss().
 */
export const hingeDiscriminatorLoss = (scoresReal: Tensor, scoresFake: Tensor): Tensor =>
  relu(scoresReal.neg().add(1))
    .mean()
    .add(relu(scoresFake.add(1)).mean());

/** The name of a game: how discriminator and generator are scored. */
export type GanLossName = "nonsaturating" | "minimax" | "least-squares" | "wasserstein" | "hinge";

/** The games by name. */
export const GAN_LOSSES: Readonly<Record<GanLossName, GanLoss>> = {
  nonsaturating: { discriminator: discriminatorLoss, generator: generatorLoss },
  minimax: { discriminator: discriminatorLoss, generator: minimaxGeneratorLoss },
  "least-squares": { discriminator: lsDiscriminatorLoss, generator: lsGeneratorLoss },
  wasserstein: { discriminator: wganDiscriminatorLoss, generator: wganGeneratorLoss },
  hinge: { discriminator: hingeDiscriminatorLoss, generator: wganGeneratorLoss },
};

/** Options of gradientPenalty. */
export interface GradientPenaltyOptions extends GeneratorOption {
  /** Factor of the penalty. Default 10. */
  lambda?: number;
  /** Shares of the true pictures, [n, 1, ...]. Default: drawn evenly from [0, 1). */
  epsilon?: Tensor;
}

/**
 * lambda times the mean of (|gradient of the critic| - 1)^2, at points between true and made pictures (Gulrajani et al.,
 * "Improved training of Wasserstein GANs", 2017). Differentiable: it uses second derivatives of the critic.
 *
 * @param critic pictures to scores, one a picture
 * @example
 * const critic = new nn.Linear(4, 1);
 * const penalty = train.gradientPenalty((x) => critic.forward(x), randn([8, 4]), randn([8, 4]));
 * penalty.backward();
 */
export function gradientPenalty(
  critic: (x: Tensor) => Tensor,
  real: Tensor,
  fake: Tensor,
  { lambda = 10, epsilon, generator }: GradientPenaltyOptions = {},
): Tensor {
  const op = "gradientPenalty";
  expect(
    show(real.shape) === show(fake.shape),
    op,
    `true and made pictures of one shape`,
    `${show(real.shape)} and ${show(fake.shape)}`,
  );
  const n = real.shape[0]!;
  return enableGrad(() => {
    const share = epsilon ?? rand([n, ...Array<number>(real.ndim - 1).fill(1)], { dtype: real.dtype, generator });
    const between = real
      .detach()
      .mul(share)
      .add(fake.detach().mul(share.neg().add(1)))
      .requiresGrad_();
    const [slope] = grad(critic(between).sum(), [between], { createGraph: true });
    const length = slope!.reshape([n, -1]).square().sum(1).add(1e-12).sqrt();
    return length.sub(1).square().mean().mul(lambda);
  });
}

/** Mean square distance of the batch's mean features (Salimans et al., "Improved techniques for training GANs", 2016). */
export const featureMatchingLoss = (featuresReal: Tensor, featuresFake: Tensor): Tensor =>
  featuresReal.detach().mean(0).sub(featuresFake.mean(0)).square().mean();

/** Noise for a generator, [n, dim], even in [-1, 1). */
export const sampleNoise = (n: number, dim: number, options: GeneratorOption = {}): Tensor =>
  rand([n, dim], options).mul(2).sub(1);
