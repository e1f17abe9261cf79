/**
 * The examples: they type-check, their committed results have one schema, and what the committed results of the classic ones say holds the bars that CS231n's
 * assignments set. test/long/examples.test.ts runs each on the embedded pictures.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { classic, data } from "napier";
import { expect, test } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));
const resultOf = (name: string) => JSON.parse(readFileSync(join(root, "examples/results", `${name}.json`), "utf8"));

test("they type-check", () => {
  const tsc = join(root, "node_modules/typescript/bin/tsc");
  const args = [tsc, "-p", join(root, "examples"), "--noEmit"];
  expect(spawnSync(process.execPath, args, { encoding: "utf8" }).stdout).toBe("");
});

const saved = readdirSync(join(root, "examples/results")).flatMap((f) => (f.endsWith(".json") ? [f.slice(0, -5)] : []));
/** Every key in a result, at any depth. */
const keysIn = (value: unknown): string[] =>
  typeof value === "object" && value !== null
    ? Object.entries(value).flatMap(([key, inside]) => [...(Array.isArray(value) ? [] : [key]), ...keysIn(inside)])
    : [];
/** A number above 0, or several by name. */
const isFigure = (value: unknown): boolean =>
  typeof value === "number"
    ? value > 0
    : typeof value === "object" && value !== null && !Array.isArray(value) && Object.values(value).every(isFigure);

// The fields that Result of examples/shared/pictures.ts requires, by the names that it gives.
test.each(saved)("%s: the result has the fields that every result has", (name) => {
  const { example, dataset, settings, seed, parameters, trainingSeconds, ...figures } = resultOf(name);
  expect(example).toBe(name);
  expect(existsSync(join(root, `examples/${name}.ts`))).toBe(true);
  expect(typeof dataset).toBe("string");
  expect(["glyphs", "fallback"]).not.toContain(dataset);
  expect(Object.keys(settings).length).toBeGreaterThan(0);
  expect(seed === null || [seed].flat().every(Number.isSafeInteger)).toBe(true);
  expect(parameters === null || isFigure(parameters)).toBe(true);
  expect(trainingSeconds === null || isFigure(trainingSeconds)).toBe(true);
  for (const key of ["totalSeconds", "picturesPerSecond"]) if (key in figures) expect(figures[key]).toBeGreaterThan(0);
  expect(Object.keys(figures).length).toBeGreaterThan(0);
  const elsewhere = ["seconds", "imagesPerSecond", "parameters", "trainingSeconds"];
  expect(keysIn(figures).filter((key) => elsewhere.includes(key))).toEqual([]);
});

const bars: [name: string, at: (result: ReturnType<typeof resultOf>) => number, bar: number][] = [
  ["knn", (r) => r.testAccuracy, 0.28],
  ["softmax", (r) => r.softmax.testAccuracy, 0.36],
  ["softmax", (r) => r.svm.testAccuracy, 0.36],
  ["two-layer", (r) => r.testAccuracy, 0.5],
  ["features", (r) => r.svm.testAccuracy, 0.42],
  ["features", (r) => r.twoLayer.testAccuracy, 0.58],
  ["resnet20", (r) => r.testAccuracy, 0.84],
  ["vit", (r) => r.testAccuracy, 0.5],
];
test.each(bars)("%s on CIFAR-10: %s is above %d", (name, at, bar) => {
  const result = resultOf(name);
  expect(result.dataset).toBe("cifar-10");
  expect(at(result)).toBeGreaterThan(bar);
});

test("hyper-parameter search on Fashion-MNIST: TPE's settings are better than the usual ones, with halving", () => {
  const { dataset, settings, compared, random, tpe } = resultOf("tune");
  expect(dataset).toBe("fashion-mnist");
  for (const { trials, epochs } of [random, tpe]) expect(epochs).toBeLessThan(0.6 * trials * settings.epochs);
  expect(tpe.validationAccuracy).toBeGreaterThan(random.validationAccuracy);
  expect(compared.tpe.mean).toBeGreaterThan(compared.usual.mean);
});

test("architecture search on Fashion-MNIST at 16x16: evolution and DARTS beat random search's mean within its budget", () => {
  const { dataset, settings, meanTestAccuracy: mean, seeds } = resultOf("architecture-search");
  expect(dataset).toBe("fashion-mnist");
  expect(seeds).toHaveLength(3);
  for (const seed of seeds) {
    expect(seed.evolution.testAccuracy).toBeGreaterThan(mean.random);
    expect(seed.darts.testAccuracy).toBeGreaterThan(mean.random);
    for (const method of ["random", "evolution", "darts"]) {
      expect(seed[method].steps).toBeLessThanOrEqual(settings.budget);
      expect(seed[method].searchSeconds).toBeLessThan(600);
    }
  }
});

const sceneBars: [name: string, what: string, at: (result: ReturnType<typeof resultOf>) => number][] = [
  ["clip", "zero-shot accuracy among 96 prompts", (r) => r.test.zeroShot.both],
  ["clip", "recall@1 among 1,000 captions, by picture", (r) => r.test.recallAt1Large.imageToText],
  ["clip", "recall@1 among 1,000 captions, by text", (r) => r.test.recallAt1Large.textToImage],
  ...["rnn", "lstm", "transformer"].flatMap((name): typeof sceneBars => [
    ["captioning", `exact match by ${name}, greedily`, (r) => r.test.exactMatch[name].greedy],
    ["captioning", `exact match by ${name}, with beams`, (r) => r.test.exactMatch[name].beam],
  ]),
];
test.each(sceneBars)("%s on drawn scenes: %s is at least 90 %%", (name, _, at) => {
  const result = resultOf(name);
  expect(result.dataset).toBe("scenes");
  expect(at(result)).toBeGreaterThanOrEqual(0.9);
});

test.each(["simclr", "dino"])("%s on Fashion-MNIST: its features beat those of random weights, and pixels", (name) => {
  const { dataset, pixels, before, after } = resultOf(name);
  expect(dataset).toBe("fashion-mnist");
  expect(after.knn).toBeGreaterThan(before.knn + 0.06);
  expect(after.linear).toBeGreaterThan(before.linear + 0.06);
  expect(after.linear).toBeGreaterThan(pixels.linear);
});

test("diffusion on Fashion-MNIST: the judge is right on 91 % and agrees on 90 % of 500 samples", () => {
  const result = resultOf("diffusion");
  expect(result.dataset).toBe("fashion-mnist");
  expect(result.judgeAccuracy).toBeGreaterThanOrEqual(0.91);
  expect([result.samples, result.settings.samplingSteps]).toEqual([500, 50]);
  expect(result.agreement).toBeGreaterThanOrEqual(0.9);
});

test("latent diffusion on Fashion-MNIST: the judge agrees on 80 % of 500 samples, which take less time than on pixels", () => {
  const result = resultOf("latent-diffusion");
  expect(result.dataset).toBe("fashion-mnist");
  expect([result.samples, result.settings.sampling.steps]).toEqual([500, 50]);
  expect(result.judgeAccuracy).toBeGreaterThanOrEqual(0.91);
  expect(result.agreement).toBeGreaterThanOrEqual(0.8);
  expect(result.sampling.timesAsFast).toBeGreaterThan(1.5);
});

test("explain on Fashion-MNIST: attacks beat noise, Grad-CAM beats chance, class pictures are taken for theirs", () => {
  const { dataset, attacked, guessesThatStay, classPictures } = resultOf("explain");
  expect(dataset).toBe("fashion-mnist");
  for (const { noise, fgsm, pgd } of attacked) {
    expect(pgd).toBeLessThanOrEqual(fgsm);
    expect(fgsm).toBeLessThan(noise);
  }
  expect(guessesThatStay.resnet.gradCam).toBeLessThan(guessesThatStay.resnet.random);
  expect(classPictures.resnet).toBe(1);
});

test("visualize on ImageNet pictures: the published weights' guesses, pictures that fool, classes that are recognised", () => {
  const { dataset, pictures, top1, top5, fooling, classPictures } = resultOf("visualize");
  expect([dataset, pictures, top1, top5]).toEqual(["imagenet-val-25", 25, 14, 20]);
  expect(fooling.fooledAsBytes).toBeGreaterThanOrEqual(18);
  expect(fooling.medianSteps).toBeLessThan(20);
  expect(fooling.medianLargestChange).toBeLessThan(20);
  expect(fooling.rightUnderPgdOfOneLevel).toBeLessThanOrEqual(2);
  for (const { probability } of classPictures) expect(probability).toBeGreaterThan(0.99);
});

test("style-transfer on ImageNet pictures: transfers end below a tenth of their loss, those from noise below a fiftieth", () => {
  const { dataset, runs } = resultOf("style-transfer");
  expect(dataset).toBe("imagenet-val-25");
  expect(runs.map((run: { init: string }) => run.init)).toEqual([
    ...Array(4).fill("content"),
    ...Array(5).fill("noise"),
  ]);
  for (const { init, loss } of runs) expect(loss.last).toBeLessThan(loss.first / (init === "content" ? 10 : 50));
});

type Figure = (result: ReturnType<typeof resultOf>) => number;
test.each([
  ["ae", (r) => r.ae.error, (r) => r.ae.pca],
  ["vae", (r) => r.vae.error, (r) => r.vae.pca],
  ["vqvae", (r) => r.vqvae.error, (r) => r.vqvae.pca],
] as [name: string, ours: Figure, pca: Figure][])(
  "autoencoders on Fashion-MNIST: the error of %s is below PCA's",
  (_, ours, pca) => {
    const result = resultOf("autoencoders");
    expect(result.dataset).toBe("fashion-mnist");
    expect(ours(result)).toBeLessThan(pca(result));
  },
);

test("gpt on tiny Shakespeare: nanoGPT's setting, a validation loss of at most 1.95", () => {
  const { dataset, settings, validationLoss } = resultOf("gpt");
  expect(dataset).toBe("tinyshakespeare");
  expect([settings.layers, settings.dim, settings.context, settings.batchSize, settings.steps]).toEqual([
    4, 128, 64, 12, 2000,
  ]);
  expect(validationLoss).toBeLessThanOrEqual(1.95);
});

test("dcgan on Fashion-MNIST: a confidence of at least 85 %, all classes, a Fréchet distance that falls", () => {
  const result = resultOf("dcgan");
  expect(result.dataset).toBe("fashion-mnist");
  expect(result.samples).toBeGreaterThanOrEqual(2000);
  expect(result.confidence).toBeGreaterThanOrEqual(0.85);
  expect(Object.keys(result.shares)).toHaveLength(10);
  for (const share of Object.values(result.shares)) expect(share).toBeGreaterThanOrEqual(0.03);
  const distances: number[] = result.frechet.map((at: { distance: number }) => at.distance);
  const mean = (part: number[]) => part.reduce((a, b) => a + b) / part.length;
  expect(mean(distances.slice(4, 7))).toBeLessThan(mean(distances.slice(0, 4)));
  expect(mean(distances.slice(7))).toBeLessThan(mean(distances.slice(4, 7)));
});

test("emoji: of ten texts the right one for more than half of the drawn pictures", () => {
  const { dataset, retrieval } = resultOf("emoji");
  expect(dataset).toBe("emoji");
  expect(retrieval.trainedTexts.texts).toBeGreaterThanOrEqual(250);
  expect(retrieval.trainedTexts.rightOfTen).toBeGreaterThan(0.5);
});

const folder = process.env.NAPIER_DATA && join(process.env.NAPIER_DATA, "cifar-10");
const present =
  folder &&
  ["data_batch_1.bin", "data_batch_1.bin.gz", "cifar-10-batches-bin"].some((f) => existsSync(join(folder, f)));

test.skipIf(!present)(
  "k-NN: CS231n's notebook to the picture (needs NAPIER_DATA, a folder with cifar-10/data_batch_1.bin)",
  async () => {
    const sets = await data.cifar10(folder!, { normalize: false });
    const rows = ({ tensors: [x, y] }: data.TensorDataset, n: number) =>
      [x!.slice([0, n]).flatten(1).to("float64"), y!.slice([0, n])] as const;
    const [x, y] = rows(sets.train, 5000);
    const knn = await new classic.KNearestNeighbor().fit(x, y);
    // "Got 137 / 500 correct", "Got 139 / 500 correct", "Got 141 / 500 correct"
    expect(await knn.accuracies(...rows(sets.test, 500), [1, 5, 10])).toEqual([137 / 500, 139 / 500, 141 / 500]);
    const { folds, best } = await classic.crossValidateK(x, y);
    expect(best).toBe(10);
    // As published: k = 1: 0.263, 0.257, ...
    expect(Object.fromEntries(folds)).toEqual({
      1: [0.263, 0.257, 0.264, 0.278, 0.266],
      3: [0.239, 0.249, 0.24, 0.266, 0.254],
      5: [0.248, 0.266, 0.28, 0.292, 0.28],
      8: [0.262, 0.282, 0.273, 0.29, 0.273],
      10: [0.265, 0.296, 0.276, 0.284, 0.28],
      12: [0.26, 0.295, 0.279, 0.283, 0.28],
      15: [0.252, 0.289, 0.278, 0.282, 0.274],
      20: [0.27, 0.279, 0.279, 0.282, 0.285],
      50: [0.271, 0.288, 0.278, 0.269, 0.266],
      100: [0.256, 0.27, 0.263, 0.256, 0.263],
    });
  },
  120_000,
);
