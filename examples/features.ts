/**
 * CS231n's features notebook: directions of edges (HOG) and hues instead of pixels, under an SVM and a two-layer network.
 * About a minute on two cores.
 *
 *     npm run example -- features [--data DIR]
 */
import { cat, classic, Generator, nn, noGrad, ones, scope, type Tensor } from "napier";
import { percent, pictures, printTable, type Split, saveResult } from "./shared/pictures.js";

const seed = 231;
const sets = await pictures();
const start = performance.now();

/** HOG and, of colours, the histogram of hue: [n, features]. A thousand pictures at a time. */
function extract({ x }: Split): Tensor {
  const parts = [];
  for (let at = 0; at < x.shape[0]!; at += 1000) {
    const features = scope(() => {
      const some = x.slice([at, Math.min(at + 1000, x.shape[0]!)]);
      const hog = classic.hogFeatures(some);
      return some.shape[1] === 3 ? cat([hog, classic.colorHistogram(some)], 1) : hog;
    });
    parts.push(features);
  }
  return cat(parts);
}

/** Each feature at mean 0 and deviation 1 over the training set; a column of ones for the bias. */
const raw = { train: extract(sets.train), validation: extract(sets.validation), test: extract(sets.test) };
const [mean, deviation] = noGrad(() => [raw.train.mean(0), raw.train.std(0, { correction: 0 }).clamp(1e-6)] as const);
const scaled = (x: Tensor) => noGrad(() => cat([x.sub(mean).div(deviation), ones([x.shape[0]!, 1])], 1));
const [x, xVal, xTest] = [scaled(raw.train), scaled(raw.validation), scaled(raw.test)];
const [y, yVal, yTest] = [sets.train.y, sets.validation.y, sets.test.y];
const d = x.shape[1]!;
const seconds = () => Number(((performance.now() - start) / 1e3).toFixed(1));
console.log(`${d - 1} features of ${y.size} pictures of ${sets.name}: ${seconds()} s`);

interface Trial {
  model: classic.LinearSvm | classic.TwoLayerNet;
  learningRate: number;
  reg: number;
  accuracy: number;
}
const svmSettings = { numIters: 2000, batchSize: 200, lrDecay: 0.8 };
const svms: Trial[] = [];
for (const learningRate of [0.003, 0.01]) {
  for (const reg of [0.001, 0.01, 0.1]) {
    const model = new classic.LinearSvm(d, 10, { reg, generator: new Generator(seed) });
    await model.train(x, y, { optimConfig: { learningRate }, seed, ...svmSettings });
    svms.push({ model, learningRate, reg, accuracy: await classic.accuracyOf(model, xVal, yVal) });
  }
}
const hidden = 500;
const netSettings = { numEpochs: 12, batchSize: 200, lrDecay: 0.85 };
const nets: Trial[] = [];
for (const learningRate of [0.03, 0.06]) {
  for (const reg of [3e-4, 1e-3]) {
    const model = new classic.TwoLayerNet(d, hidden, 10, { weightScale: 0.03, reg, generator: new Generator(seed) });
    const { bestValAccuracy: accuracy } = await model.train(x, y, {
      xVal,
      yVal,
      updateRule: classic.sgdMomentum,
      optimConfig: { learningRate },
      seed,
      ...netSettings,
    });
    nets.push({ model, learningRate, reg, accuracy });
  }
}

const settings: Record<string, unknown> = {};
const parameters: Record<string, number> = {};
const found: Record<string, unknown> = {};
for (const [name, tried, others] of [
  ["svm", svms, { ...svmSettings, updateRule: "sgd" }],
  ["twoLayer", nets, { ...netSettings, hidden, updateRule: "sgdMomentum" }],
] as const) {
  const best = tried.reduce((a, b) => (b.accuracy > a.accuracy ? b : a));
  const testAccuracy = await classic.accuracyOf(best.model, xTest, yTest);
  console.log(`\n${name}`);
  printTable(
    ["rate", "regulariser", "validation"],
    tried.map(({ learningRate, reg, accuracy }) => [learningRate, reg, percent(accuracy)]),
  );
  console.log(`  the best: ${percent(testAccuracy)} of ${yTest.size} test pictures are right`);
  const { learningRate, reg, accuracy: validationAccuracy } = best;
  settings[name] = { learningRate, reg, ...others };
  parameters[name] = nn.countParameters(Object.values(best.model.params));
  found[name] = { validationAccuracy, testAccuracy };
}
await saveResult("features", sets.name, {
  settings,
  seed,
  parameters,
  trainingSeconds: null,
  totalSeconds: seconds(),
  ...found,
});
