/**
 * A vision transformer (Dosovitskiy et al. 2020; patches of 4x4, 192 wide, 6 blocks) on CIFAR-10 from scratch, three epochs
 * with flips and one cycle of the learning rate: some fifteen minutes on two cores.
 *
 *     npm run example -- vit --data DIR [--resume]
 */
import { models, nn, optim } from "napier";
import { trainClassifier } from "./shared/classifier.js";

const [patch, dim, depth, heads] = [4, 192, 6, 3];
const weightDecay = 0.05;
await trainClassifier({
  name: "vit",
  model: ({ classes, inChannels, imageSize }) =>
    new models.VisionTransformer({ classes, inChannels, imageSize, patch, dim, depth, heads, pool: "mean" }),
  optimizer: (model) => new optim.AdamW(model.parameters(), { lr: 1e-3, weightDecay }),
  loss: nn.crossEntropy,
  epochs: 3,
  batchSize: 64,
  maxLr: 1e-3,
  pctStart: 0.15,
  cropPadding: 0,
  clipNorm: 1,
  settings: { patch, dim, depth, heads, pool: "mean", optimizer: "AdamW", weightDecay },
});
