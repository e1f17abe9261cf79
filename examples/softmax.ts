/**
 * Linear classifiers on pixels, softmax and SVM, as CS231n's first assignment: the learning rate and the strength of the
 * regulariser are chosen on 1,000 pictures held out. About a minute on two cores.
 *
 *     npm run example -- softmax [--data DIR]
 */
import { classic, Generator, nn } from "napier";
import { centred, percent, pictures, printTable, saveResult } from "./shared/pictures.js";

const seed = 231;
const rates = [0.01, 0.03, 0.06];
const strengths = [0.001, 0.003, 0.01, 0.03];
const numIters = 2000;

const sets = await pictures();
const { train, validation, test } = centred(sets, { bias: true });
const settings: Record<string, unknown> = {};
const parameters: Record<string, number> = {};
const trainingSeconds: Record<string, number> = {};
const found: Record<string, unknown> = {};
for (const [name, Model] of [
  ["softmax", classic.LinearSoftmax],
  ["svm", classic.LinearSvm],
] as const) {
  const start = performance.now();
  const tried: { rate: number; reg: number; accuracy: number; model: classic.LinearSoftmax | classic.LinearSvm }[] = [];
  for (const rate of rates) {
    for (const reg of strengths) {
      const model = new Model(train.x.shape[1]!, 10, { reg, generator: new Generator(seed) });
      await model.train(train.x, train.y, { optimConfig: { learningRate: rate }, numIters, lrDecay: 0.8, seed });
      tried.push({ rate, reg, accuracy: await classic.accuracyOf(model, validation.x, validation.y), model });
    }
  }
  trainingSeconds[name] = (performance.now() - start) / 1e3;
  const best = tried.reduce((a, b) => (b.accuracy > a.accuracy ? b : a));
  const testAccuracy = await classic.accuracyOf(best.model, test.x, test.y);
  console.log(`\n${name} on ${sets.name}: accuracy on the validation set by rate and regulariser`);
  printTable(
    ["rate", ...strengths.map(String)],
    rates.map((rate) => [rate, ...tried.filter((t) => t.rate === rate).map((t) => percent(t.accuracy))]),
  );
  console.log(`  the best, ${best.rate} and ${best.reg}: ${percent(testAccuracy)} of ${test.y.size} test pictures`);
  const { rate: learningRate, reg, accuracy: validationAccuracy } = best;
  settings[name] = { learningRate, reg, numIters, batchSize: 200, lrDecay: 0.8, updateRule: "sgd" };
  parameters[name] = nn.countParameters(Object.values(best.model.params));
  found[name] = { validationAccuracy, testAccuracy };
}
await saveResult("softmax", sets.name, { settings, seed, parameters, trainingSeconds, ...found });
