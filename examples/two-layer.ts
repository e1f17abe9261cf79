/**
 * The two-layer network of CS231n's first assignment on pixels: affine, relu, affine under the softmax loss, gradients
 * written out. The rate is chosen by two epochs each. Some three minutes on two cores.
 *
 *     npm run example -- two-layer [--data DIR]
 */
import { classic, Generator, nn } from "napier";
import { centred, percent, pictures, printTable, saveResult } from "./shared/pictures.js";

const seed = 231;
const hidden = 400;
const numEpochs = 12;
const sets = await pictures();
const { train, validation, test } = centred(sets);
const start = performance.now();

async function fit(learningRate: number, reg: number, epochs: number, onEpoch?: classic.SolverOptions["onEpoch"]) {
  const d = train.x.shape[1]!;
  const net = new classic.TwoLayerNet(d, hidden, 10, { weightScale: 0.01, reg, generator: new Generator(seed) });
  const { bestValAccuracy } = await net.train(train.x, train.y, {
    xVal: validation.x,
    yVal: validation.y,
    updateRule: classic.sgdMomentum,
    optimConfig: { learningRate },
    lrDecay: 0.85,
    numEpochs: epochs,
    seed,
    ...(onEpoch && { onEpoch }),
  });
  return { net, learningRate, reg, accuracy: bestValAccuracy };
}

const tried = [];
for (const rate of [0.01, 0.03, 0.06]) for (const reg of [3e-4, 1e-3]) tried.push(await fit(rate, reg, 2));
printTable(
  ["rate", "regulariser", "validation after 2 epochs"],
  tried.map((t) => [t.learningRate, t.reg, percent(t.accuracy)]),
);
const { learningRate, reg } = tried.reduce((a, b) => (b.accuracy > a.accuracy ? b : a));
console.log("");
const { net, accuracy } = await fit(learningRate, reg, numEpochs, (epoch, { loss, trainAccuracy, valAccuracy }) =>
  console.log(
    `  epoch ${epoch}: loss ${loss.at(-1)!.toFixed(3)}, training ${percent(trainAccuracy.at(-1)!)}, validation ${percent(valAccuracy.at(-1)!)}`,
  ),
);
const trainingSeconds = (performance.now() - start) / 1e3;
const testAccuracy = await classic.accuracyOf(net, test.x, test.y);
console.log(`\n${sets.name}: ${percent(testAccuracy)} of ${test.y.size} test pictures are right`);

await saveResult("two-layer", sets.name, {
  settings: { hidden, learningRate, reg, numEpochs, batchSize: 200, lrDecay: 0.85, updateRule: "sgdMomentum" },
  seed,
  parameters: nn.countParameters(Object.values(net.params)),
  trainingSeconds,
  validationAccuracy: accuracy,
  testAccuracy,
});
