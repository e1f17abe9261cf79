/**
 * CS231n's features notebook: directions of edges (HOG) and hues instead of pixels, under an SVM and a two-layer network.
 * About a minute on two cores.
 *
 *     npm run example -- features [--data DIRECTORY]
 */
import { cat, classic, Generator, noGrad, ones, scope, type Tensor } from "napier";
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
  settings: { learningRate: number; reg: number };
  accuracy: number;
}
const svms: Trial[] = [];
for (const learningRate of [0.003, 0.01]) {
  for (const reg of [0.001, 0.01, 0.1]) {
    const model = new classic.LinearSvm(d, 10, { reg, generator: new Generator(seed) });
    await model.train(x, y, { optimConfig: { learningRate }, numIters: 2000, lrDecay: 0.8, seed });
    svms.push({ model, settings: { learningRate, reg }, accuracy: await classic.accuracyOf(model, xVal, yVal) });
  }
}
const nets: Trial[] = [];
for (const learningRate of [0.03, 0.06]) {
  for (const reg of [3e-4, 1e-3]) {
    const model = new classic.TwoLayerNet(d, 500, 10, { weightScale: 0.03, reg, generator: new Generator(seed) });
    const { bestValAccuracy: accuracy } = await model.train(x, y, {
      xVal,
      yVal,
      updateRule: classic.sgdMomentum,
      optimConfig: { learningRate },
      lrDecay: 0.85,
      numEpochs: 12,
      seed,
    });
    nets.push({ model, settings: { learningRate, reg }, accuracy });
  }
}

const result: Record<string, unknown> = {};
for (const [name, tried] of Object.entries({ svm: svms, twoLayer: nets })) {
  const best = tried.reduce((a, b) => (b.accuracy > a.accuracy ? b : a));
  const testAccuracy = await classic.accuracyOf(best.model, xTest, yTest);
  console.log(`\n${name}`);
  printTable(
    ["rate", "regulariser", "validation"],
    tried.map(({ settings, accuracy }) => [settings.learningRate, settings.reg, percent(accuracy)]),
  );
  console.log(`  the best: ${percent(testAccuracy)} of ${yTest.size} test pictures are right`);
  result[name] = { settings: best.settings, validationAccuracy: best.accuracy, testAccuracy };
}
await saveResult("features", sets.name, { seed, seconds: seconds(), ...result });
