/**
 * Search over hyper-parameters: eight of them, on 12,000 pictures, by random search and by TPE, both with successive halving
 * (ASHA), two trials at a time in processes of their own. What is best is checked by five-fold cross-validation, beside the
 * learning-rate range test, and trained once more with a diagnosis. Some two minutes on two cores.
 *
 *     npm run example -- tune [--data DIR]
 *
 * Fashion-MNIST from the directory, drawn digits where none is given. A search or cross-validation that was killed goes on
 * from its file in runs/tune. Which trials end early depends on which were faster: two runs differ a little.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { cat, data, io, train, tune } from "napier";
import { percent, printTable, saveResult } from "./shared/pictures.js";
import { EPOCHS, fit, PICTURES, type Settings, type Split, space, trainerOf } from "./shared/tuning.js";

const seed = 231;
const { values } = parseArgs({ options: { data: { type: "string" } } });
const dataset = values.data ? "fashion-mnist" : "glyphs";
const [trials, examples, validated, folds] = values.data ? [60, 12_000, 4000, 5] : [14, 600, 200, 3];
const bytes = { normalize: false };
const sets = values.data
  ? await data.fashionMnist(values.data, bytes)
  : await data.glyphs({ train: 800, test: 200, ...bytes });
const rows = ({ tensors: [x, y] }: data.TensorDataset, low: number, high: number): Split => [
  x!.slice([low, high]),
  y!.slice([low, high]),
];
const training = rows(sets.train, 0, examples);
const validation = rows(sets.train, examples, examples + validated);
const test = rows(sets.test, 0, sets.test.length);
const folder = `runs/tune/${dataset}`;
await mkdir(folder, { recursive: true });
await io.save(PICTURES, { x: training[0], y: training[1], xVal: validation[0], yVal: validation[1] });

process.env.NAPIER_THREADS ??= "1"; // of each trial's process
const module = new URL("./shared/tuning.js", import.meta.url);
const search = async (sampler: "random" | "tpe") => {
  const study = await tune.search<typeof space>({ module }, space, {
    sampler,
    trials,
    halving: { min: 1, factor: 3 },
    parallel: 2,
    seed,
    file: `${folder}/${sampler}.jsonl`,
  });
  const count = (state: tune.Trial["state"]) => study.trials.filter((t) => t.state === state).length;
  const best = study.best!;
  const summary = {
    trials,
    complete: count("complete"),
    stopped: count("stopped"),
    failed: count("failed"),
    epochs: study.trials.reduce((sum, t) => sum + t.reports.length, 0),
    validationAccuracy: best.score!,
    settings: best.parameters,
  };
  console.log(
    `\n${sampler}: ${summary.epochs} epochs of ${trials * EPOCHS}\n${study.table().split("\n").slice(0, 11).join("\n")}`,
  );
  return { study, summary };
};
const random = await search("random");
const tpe = await search("tpe");
const picture = `${values.data ? "examples/results" : "runs"}/tune.svg`;
await writeFile(picture, `${tpe.study.parallelCoordinates()}\n`);
console.log(`\nparallel coordinates in ${picture}`);

const [x, y] = [cat([training[0], validation[0]]), cat([training[1], validation[1]])];
const labels = await y.data();
/** Each fold of training and validation pictures is left out once. */
const crossValidated = (name: string, settings: Settings) =>
  tune.crossValidate(
    { module, name: "foldObjective" },
    {
      ...{ n: x.shape[0]!, k: folds, labels, seed, parameters: { settings, seed } },
      parallel: 2,
      file: `${folder}/folds-${name}.jsonl`,
    },
  );
const usual: Settings = {
  ...{ layers: 2, width: 64, dropout: 0, batchSize: 64 },
  ...{ optimizer: "adamw", lr: 1e-3, weightDecay: 0.01, schedule: "constant" },
};
const candidates = { usual, random: random.summary.settings, tpe: tpe.summary.settings };
const compared: Record<string, { mean: number; deviation: number; testAccuracy: number; diagnosis: string[] }> = {};
for (const [name, settings] of Object.entries(candidates)) {
  const { accuracy, diagnosis } = await fit(settings, [x, y], test, seed, {
    callbacks: [train.overfitting(), train.deadUnits()],
  });
  const sentences = diagnosis.map((d) => d.message);
  const { mean, deviation } = await crossValidated(name, settings);
  compared[name] = { mean, deviation, testAccuracy: accuracy, diagnosis: sentences };
  console.log(`\n${name}: ${sentences.join("\n  ") || "nothing was found wrong"}`);
}
console.log("");
printTable(
  ["settings", `${folds} folds`, "deviation", "test"],
  Object.entries(compared).map(([name, c]) => [name, percent(c.mean), percent(c.deviation), percent(c.testAccuracy)]),
);
const { trainer, loader } = trainerOf(candidates.tpe, training, seed);
const range = await trainer.findLearningRate(loader);
console.log(
  `\nlearning-rate range test for the best settings, whose rate is ${candidates.tpe.lr.toPrecision(2)}\n${range}`,
);

await saveResult("tune", dataset, {
  settings: { examples, validated, epochs: EPOCHS, halving: { min: 1, factor: 3 }, folds, parallel: 2 },
  seed,
  parameters: null,
  trainingSeconds: null,
  random: random.summary,
  tpe: tpe.summary,
  compared,
  rangeTest: { suggestion: range.suggestion, diverged: range.diverged },
});
