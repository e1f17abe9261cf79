/**
 * DINO (Caron et al. 2021) on Fashion-MNIST without its labels: a small ResNet, shown two large and two small views of a
 * picture, learns to answer each as its teacher, its own running average, answers another. Some five minutes on two cores; prints
 * what the features are worth to a nearest-neighbour vote and to a linear classifier, beside raw pixels and the same network
 * before the training.
 *
 *     npm run example -- dino --data DIR [--resume]
 */
import { data, models } from "napier";
import { pretrain } from "./shared/selfSupervised.js";

const head = { out: 512, hidden: 256, bottleneck: 64, batchNorm: true };
const momentum = 0.97;
const [locals, globalScale, localScale] = [2, [0.6, 1], [0.35, 0.6]] as const;
await pretrain({
  name: "dino",
  model: (encoder, features) => new models.DINO(encoder, { features, head, momentum }),
  views: (size, normalize) =>
    data.dinoViews({ size, localSize: size / 2, locals, globalScale, localScale, blur: false, normalize }),
  steps: 1600,
  batchSize: 64,
  lr: 4e-3,
  weightDecay: 1e-4,
  warmup: 100,
  clipNorm: 3,
  settings: { ...head, momentum, locals, globalScale, localScale },
});
