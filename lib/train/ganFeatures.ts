/**
 * Feature matching in a GanTrainer's step (Salimans et al. 2016).
 *
 *     |mean of f(x) - mean of f(G(z))|^2, a mean over the features; f: a layer within the discriminator
 */
import { expect } from "../errors.js";
import { noGrad } from "../graph.js";
import { Tensor } from "../tensor.js";
import { featureMatchingLoss } from "./ganLosses.js";
import type { DiscriminatorNetwork, FeatureMatching } from "./ganOptions.js";

type Features = Tensor | readonly Tensor[];

/** The options with their defaults, checked. */
export function matchingOf(discriminator: DiscriminatorNetwork, given: FeatureMatching): Required<FeatureMatching> {
  const name = "GanTrainer";
  const own = discriminator as Partial<Record<"features", (x: Tensor, labels: Tensor | null) => Features>>;
  const { weight = 1, gameWeight = 1, features = (_, x, labels) => own.features!(x, labels) } = given;
  expect(weight > 0, name, "a weight of featureMatching above 0", `${weight}`);
  expect(gameWeight >= 0, name, "a gameWeight of featureMatching from 0 up", `${gameWeight}`);
  expect(
    given.features !== undefined || typeof own.features === "function",
    name,
    "featureMatching with features, or a discriminator with features(x, labels)",
    "neither",
  );
  return { weight, gameWeight, features };
}

type Labelled = readonly [x: Tensor, labels: Tensor | null];

/** The game's loss with that of features. */
export function matched(
  game: () => Tensor,
  { weight, gameWeight, features }: Required<FeatureMatching>,
  discriminator: DiscriminatorNetwork,
  real: Labelled,
  fake: Labelled,
): Tensor {
  const [wanted, made] = [noGrad(() => features(discriminator, ...real)), features(discriminator, ...fake)].map(
    (given) => (given instanceof Tensor ? [given] : given),
  ) as [readonly Tensor[], readonly Tensor[]];
  expect(made.length > 0, "GanTrainer", "featureMatching.features to give features", "none");
  const loss = made
    .map((feature, i) => featureMatchingLoss(wanted[i]!, feature))
    .reduce((a, b) => a.add(b))
    .mul(weight);
  return gameWeight === 0 ? loss : game().mul(gameWeight).add(loss);
}
