/**
 * ResNet-20 (He et al. 2015) on CIFAR-10 with crops, flips and one cycle of the learning rate: some fifteen minutes on two cores.
 *
 *     npm run example -- resnet20 --data DIR [--resume]
 */
import { models, nn, optim } from "napier";
import { trainClassifier } from "./shared/classifier.js";

const [momentum, weightDecay] = [0.9, 5e-4];
await trainClassifier({
  name: "resnet20",
  model: ({ classes, inChannels }) => new models.CifarResNet({ depth: 20, classes, inChannels }),
  optimizer: (model) => new optim.SGD(model.parameters(), { lr: 0.01, momentum, weightDecay, nesterov: true }),
  loss: nn.crossEntropy,
  epochs: 14,
  batchSize: 128,
  maxLr: 0.2,
  pctStart: 0.25,
  settings: { depth: 20, optimizer: "SGD, nesterov", weightDecay },
});
