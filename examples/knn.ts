/**
 * k-nearest neighbours on CIFAR-10, as CS231n's first notebook: 5,000 pictures to compare with, 500 to classify, k chosen
 * by 5-fold cross-validation. Distances in float64 are exact for bytes, so the notebook's numbers come out to the picture:
 * 0.274 for k = 1, 0.278 for k = 5, 0.282 for the best k. About 10 s on two cores.
 *
 *     npm run example -- knn [--data DIR]
 */
import { classic } from "napier";
import { first, percent, pictures, printTable, saveResult } from "./shared/pictures.js";

const sets = await pictures();
const start = performance.now();
const train = first(sets.train, 5000, "float64");
const test = first(sets.test, 500, "float64");

const { folds, means, best } = await classic.crossValidateK(train.x, train.y);
const columns = [1, 2, 3, 4, 5].map((fold) => `fold ${fold}`);
printTable(
  ["k", ...columns, "mean"],
  [...folds].map(([k, shares]) => [k, ...[...shares, means.get(k)!].map((share) => share.toFixed(4))]),
);

const knn = await new classic.KNearestNeighbor().fit(train.x, train.y);
const ks = [...new Set([1, 5, best])];
const accuracies = await knn.accuracies(test.x, test.y, ks);
const seconds = (performance.now() - start) / 1e3;
console.log(`\n${sets.name}: the best k is ${best}`);
for (const [i, k] of ks.entries()) console.log(`  k = ${k}: ${percent(accuracies[i]!)} of 500 test pictures are right`);

await saveResult("knn", sets.name, {
  settings: { train: 5000, test: 500, folds: 5, dtype: "float64", k: best },
  seed: null, // nothing is drawn
  parameters: null,
  trainingSeconds: null,
  totalSeconds: seconds,
  crossValidation: Object.fromEntries(folds),
  testAccuracy: accuracies[ks.indexOf(best)],
  testAccuracies: Object.fromEntries(ks.map((k, i) => [k, accuracies[i]])),
});
