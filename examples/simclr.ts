/**
 * SimCLR (Chen et al. 2020) on Fashion-MNIST without its labels: a small ResNet learns to tell two random views of a picture
 * from those of all others in a batch of 128. Some three minutes on two cores; prints what the features are worth to a
 * nearest-neighbour vote and to a linear classifier, beside raw pixels and the same network before the training.
 *
 *     npm run example -- simclr --data DIR [--resume]
 */
import { data, models } from "napier";
import { pretrain } from "./shared/selfSupervised.js";

const [dim, temperature, strength] = [64, 0.2, 0.5];
const scale = [0.45, 1] as const;
await pretrain({
  name: "simclr",
  model: (encoder, features) => new models.SimCLR(encoder(), { features, dim, temperature }),
  views: (size, normalize) => {
    const augment = data.simclrAugment(size, { strength, scale, normalize });
    return new data.Views([augment, augment]);
  },
  steps: 900,
  batchSize: 128,
  lr: 2e-3,
  weightDecay: 1e-4,
  warmup: 40,
  clipNorm: null,
  settings: { dim, temperature, strength, scale },
});
