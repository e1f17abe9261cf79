/**
 * CS231n's Network_Visualization on SqueezeNet with ImageNet's weights: what it looks at, how little fools it, what it takes
 * for a class, its first filters. Two minutes on two cores.
 *
 *     npm run example -- visualize [--data DIR]
 *
 * DIR holds the files that shared/squeezenet.ts names; without it a network with random weights looks at drawn scenes.
 *
 *     visualize.png          pictures; their saliency; what Grad-CAM says the network looked at
 *     visualize-fooling.png  pictures; what is taken for the target class; the change, 32 times as large
 *     visualize-classes.png  pictures climbed from noise to the result's classPictures
 *     visualize-filters.png  the first convolution's 96 filters
 */
import { parseArgs } from "node:util";
import { cat, explain, interpolate, manualSeed, nn, noGrad, rand, scope, type Tensor, tensor } from "napier";
import { printTable, saveResult } from "./shared/pictures.js";
import { fromLevels, LEVELS, range, savePictures, seed, squeezeNet, toLevels } from "./shared/squeezenet.js";

const { values } = parseArgs({ options: { data: { type: "string" } } });
const real = values.data !== undefined;
const start = performance.now();
const { name, model, x, labels, names } = await squeezeNet(values.data);
manualSeed(seed);
const [n, , size] = x.shape as [number, number, number];
const y = tensor(Int32Array.from(labels));
const rows = (t: Tensor, at: readonly number[]) => t.indexSelect(0, tensor(Int32Array.from(at)));

// What it sees.
const probabilities = noGrad(() => model.forward(x).softmax(1));
const { values: shares, indices } = probabilities.topk(5, 1);
const [share, five] = [await shares.data("float32"), Array.from(await indices.data(), Number)];
const guesses = labels.map((label, i) => ({
  label: names[label]!,
  guess: names[five[5 * i]!]!,
  probability: share[5 * i]!,
}));
const hits = (k: number) => labels.filter((label, i) => five.slice(5 * i, 5 * i + k).includes(label)).length;
const [top1, top5] = [hits(1), hits(5)];
console.log(`${name}: ${top1} of ${n} right at first guess, ${top5} among five`);

// What it looks at: how many first guesses stay when a quarter of the cells of 16x16 pixels, those a map has most in, are
// given the mean colour.
const guessed = tensor(Int32Array.from({ length: n }, (_, i) => five[5 * i]!));
const lastFire = model.features.at(12);
const maps = {
  random: rand([n, size, size]),
  saliency: explain.saliency(model, x, guessed),
  gradCam: explain.gradCam(model, lastFire, x, guessed),
};
const side = size / 16;
const staying = async (map: Tensor) => {
  const kept = scope(() =>
    noGrad(() => {
      const cells = map.unsqueeze(1).avgPool2d(16).flatten(1);
      const rank = cells.argsort(1, { descending: true }).argsort(1);
      const mask = rank
        .greaterEqual((side * side) / 4)
        .to("float32")
        .reshape([n, 1, side, side]);
      const blanked = x.mul(interpolate(mask, { size: [size, size], mode: "nearest" }));
      return model.forward(blanked).argmax(1).to("int32").equal(guessed).sum();
    }),
  );
  return Number(await kept.item());
};
const guessesThatStay = {
  random: await staying(maps.random),
  saliency: await staying(maps.saliency),
  gradCam: await staying(maps.gradCam),
};
console.log(
  `without a quarter of the picture ${guessesThatStay.random} guesses stay (at random), ` +
    `${guessesThatStay.saliency} (most salient), ${guessesThatStay.gradCam} (Grad-CAM)`,
);
const looked = real ? [1, 4, 7, 13, 23] : [0, 1, 2, 3, 4]; // a quail, bears, a gorilla, a bee eater, a vase
const unit = (map: Tensor) => explain.scaledToUnit(rows(map, looked)).unsqueeze(1);
const lookedAt = noGrad(() => toLevels(rows(x, looked)).mul(unit(maps.gradCam).mul(0.85).add(0.15)));
const salient = noGrad(() => unit(maps.saliency).sqrt().mul(255).expand([looked.length, 3, size, size]));
await savePictures(name, "visualize", cat([toLevels(rows(x, looked)), salient, lookedAt]), { size: 84, columns: 5 });

// How little fools it: each picture until it is taken for a stingray, and all at once by a level a pixel.
const target = 6;
const [learningRate, maxSteps] = [1, real ? 100 : 5];
const fooled: Tensor[] = [];
const fooling = [];
for (const [i, label] of labels.entries()) {
  const options = { learningRate, steps: maxSteps, range };
  const { picture, steps } = await explain.foolingPicture(model, x.slice([i, i + 1]), target, options);
  const { most, mean, guess } = scope(() =>
    noGrad(() => {
      const change = picture
        .sub(x.slice([i, i + 1]))
        .mul(LEVELS)
        .abs();
      return { most: change.max(), mean: change.mean(), guess: model.forward(fromLevels(toLevels(picture))).argmax(1) };
    }),
  );
  const stillAsBytes = Number(await guess.item()) === target;
  const [largestChange, meanChange] = [await most.item(), await mean.item()];
  fooling.push({ label: names[label]!, steps, largestChange, meanChange, stillAsBytes });
  fooled.push(picture);
}
const median = (all: number[]) => all.sort((a, b) => a - b)[all.length >> 1]!;
const medianSteps = median(fooling.map(({ steps }) => steps));
const medianLargestChange = median(fooling.map(({ largestChange }) => largestChange));
const fooledAsBytes = fooling.filter(({ stillAsBytes }) => stillAsBytes).length;
const attacked = explain.pgd(model, x, y, { epsilon: 1 / LEVELS, range });
const right = noGrad(() => model.forward(attacked).argmax(1).to("int32").equal(y).sum());
const rightUnderPgd = Number(await right.item());
console.log(
  `taken for ${names[target]}: ${fooledAsBytes} of ${n} as bytes, after ${medianSteps} steps, a change of at most ` +
    `${medianLargestChange.toFixed(1)} of 255 levels (medians); ${rightUnderPgd} right when PGD may change each by one level`,
);
const shown = real ? [4, 7, 14] : [0, 1, 2];
const before = rows(x, shown);
const after = noGrad(() => cat(shown.map((i) => fooled[i]!)));
const change = noGrad(() =>
  after
    .sub(before)
    .mul(32 * LEVELS)
    .add(127.5),
);
await savePictures(name, "visualize-fooling", cat([toLevels(before), toLevels(after), change]), {
  size: 100,
  columns: 3,
});

// What it takes for a class.
const classes = real ? [76, 92, 130, 985, 604, 107] : [0, 1];
const settings = {
  shape: [3, size, size] as const,
  ...{ steps: real ? 120 : 4, learningRate: 25, l2: 1e-3, blurEvery: 5, blur: 0.6, jitter: 16 },
};
const drawn: Tensor[] = [];
const classPictures = [];
for (const label of classes) {
  const picture = await explain.classPicture(model, label, { ...settings, range });
  const p = noGrad(() => model.forward(picture).softmax(1).slice(0, label));
  classPictures.push({ class: names[label]!, probability: await p.item() });
  drawn.push(picture);
}
console.log("pictures climbed from noise, and how sure the network is of them:");
printTable(
  ["class", "probability"],
  classPictures.map((c) => [c.class, c.probability.toFixed(3)]),
);
await savePictures(name, "visualize-classes", toLevels(noGrad(() => cat(drawn))), { size: 132, columns: 3 });

// Its first filters.
const filters = noGrad(() => explain.filterPictures(model.stateDict()["features.0.weight"]!).mul(255));
const large = noGrad(() => interpolate(filters, { size: [21, 21], mode: "nearest" }));
await savePictures(name, "visualize-filters", large, { size: 21, columns: 16 });

await saveResult("visualize", name, {
  settings: { fooling: { target: names[target]!, learningRate, maxSteps }, classPictures: settings },
  seed,
  parameters: nn.countParameters(model),
  trainingSeconds: null,
  totalSeconds: (performance.now() - start) / 1e3,
  pictures: n,
  top1,
  top5,
  guessesThatStay,
  fooling: {
    medianSteps,
    medianLargestChange,
    fooledAsBytes,
    rightUnderPgdOfOneLevel: rightUnderPgd,
    pictures: fooling,
  },
  classPictures,
  guesses,
});
