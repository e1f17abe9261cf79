/**
 * Looking inside two small classifiers of Fashion-MNIST, a ResNet-8 and a vision transformer, trained here for an epoch:
 * what they look at, how easily they are fooled, what they take for a class, how their features lie. Under two minutes on
 * two cores.
 *
 *     npm run example -- explain [--data DIR] [--resume]
 *
 * explain.png, a column for each class: a test picture; its saliency, its Grad-CAM (ResNet), its attention roll-out
 * (transformer); the picture changed by PGD, and the change; the picture that the class's score is highest of; ten of the
 * first filters; ten maps of the first stage for the first picture. explain-map.png: features of 600 test pictures by
 * PCA (left) and t-SNE.
 */
import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { parseArgs } from "node:util";
import {
  cat,
  cdist,
  classic,
  data,
  explain,
  full,
  interpolate,
  io,
  manualSeed,
  models,
  nn,
  noGrad,
  optim,
  rand,
  scope,
  type Tensor,
  tensor,
  train,
} from "napier";
import { firstPictures, pictures28 } from "./shared/judge.js";
import { percent, printTable, saveResult } from "./shared/pictures.js";

const seed = 231;
const { values } = parseArgs({
  options: { data: { type: "string" }, resume: { type: "boolean", default: false } },
});
const sets = { ...(await pictures28(values.data)), scale: new data.Normalize(0, 1) };
const folder = values.data ? "examples/results" : "runs";
const [batchSize, epochs, round] = [128, values.data ? 1 : 4, 250];
const start = performance.now();

/** Trains with one cycle of the learning rate; with --resume a model that was trained comes from its file. */
async function trained<M extends nn.Module & nn.Layer>(name: string, model: M, maxLr: number): Promise<M> {
  const path = `runs/explain/${sets.name}-${name}.safetensors`;
  if (values.resume && existsSync(path)) {
    model.loadStateDict(await io.load(path));
  } else {
    const transform = new data.Compose([new data.RandomHorizontalFlip(), sets.scale]);
    const loader = new data.DataLoader(sets.train, {
      ...{ batchSize, shuffle: true, seed, dropLast: true, transform: values.data ? transform : sets.scale },
    });
    const optimizer = new optim.AdamW(model.parameters(), { lr: maxLr, weightDecay: 0.02 });
    const schedule = new optim.OneCycleLR(optimizer, { maxLr, totalSteps: epochs * loader.length });
    await new train.Trainer(model, { optimizer, schedule, loss: nn.crossEntropy, clipNorm: 1 }).fit(loader, { epochs });
    await mkdir("runs/explain", { recursive: true });
    await io.save(path, model.stateDict());
  }
  model.eval();
  return model;
}

manualSeed(seed);
const resnet = await trained("resnet", new models.CifarResNet({ depth: 8, inChannels: 1 }), 5e-3);
const sizes = { classes: 10, inChannels: 1, imageSize: 28, patch: 4, dim: 64, depth: 3, heads: 4 };
const vit = await trained("vit", new models.VisionTransformer(sizes), 3e-3);
const trainingSeconds = (performance.now() - start) / 1e3;

const [x, y] = await firstPictures(sets, sets.test, 1000);
/** fn of all pictures, `round` at a time. */
const inRounds = (x: Tensor, fn: (x: Tensor, from: number) => Tensor): Tensor =>
  scope(() => {
    const parts: Tensor[] = [];
    for (let i = 0; i < x.shape[0]!; i += round) parts.push(scope(() => fn(x.slice([i, i + round]), i)));
    return noGrad(() => cat(parts));
  });
const guesses = (model: nn.Layer, x: Tensor) =>
  inRounds(x, (part) => noGrad(() => model.forward(part).argmax(1).to("int32")));
const agreement = (a: Tensor, b: Tensor) => noGrad(() => a.equal(b).to("float32").mean()).item();
const accuracy = (model: nn.Layer, x: Tensor) => agreement(guesses(model, x), y);
const clean = { resnet: await accuracy(resnet, x), vit: await accuracy(vit, x) };
const seen = { resnet: guesses(resnet, x), vit: guesses(vit, x) };

// What they look at.
const labels = (all: Tensor, from: number) => all.slice([from, from + round]);
const rollout = (x: Tensor) =>
  explain.rolloutMap(
    noGrad(() => vit.attentionMaps(x)),
    28,
  );
const maps = {
  saliency: inRounds(x, (part, i) => explain.saliency(resnet, part, labels(seen.resnet, i))),
  gradCam: inRounds(x, (part, i) => explain.gradCam(resnet, resnet.layer3, part, labels(seen.resnet, i))),
  rollout: inRounds(x, rollout),
  random: rand([...x.shape]).squeeze(1),
};
/** Pictures without the ten of 7x7 cells that a map has most in. */
const without = (map: Tensor) =>
  noGrad(() => {
    const cells = map.unsqueeze(1).avgPool2d(4).flatten(1);
    const rank = cells.argsort(1, { descending: true }).argsort(1);
    const kept = rank.greaterEqual(10).to("float32").reshape([x.shape[0]!, 1, 7, 7]);
    return x.mul(interpolate(kept, { size: [28, 28], mode: "nearest" }));
  });
/** Share of the first guesses that stay. */
const stays = async (name: "resnet" | "vit", map: Tensor) =>
  agreement(guesses(name === "vit" ? vit : resnet, without(map)), seen[name]);
const staying = {
  resnet: {
    random: await stays("resnet", maps.random),
    saliency: await stays("resnet", maps.saliency),
    gradCam: await stays("resnet", maps.gradCam),
  },
  vit: { random: await stays("vit", maps.random), rollout: await stays("vit", maps.rollout) },
};
console.log(
  `accuracy: ResNet-8 ${percent(clean.resnet)}, transformer ${percent(clean.vit)} of ${x.shape[0]} test pictures`,
);
console.log(
  "guesses that stay when ten of the 49 cells of a picture are blanked, at random or where the map is highest:",
);
printTable(
  ["", "random", "saliency", "Grad-CAM", "roll-out"],
  [
    ["ResNet-8", percent(staying.resnet.random), percent(staying.resnet.saliency), percent(staying.resnet.gradCam), ""],
    ["transformer", percent(staying.vit.random), "", "", percent(staying.vit.rollout)],
  ],
);

// How easily they are fooled. The transformer sees the pictures made against the ResNet.
const attacked = [];
let fooling = x;
for (const levels of [2, 4, 8, 16]) {
  const epsilon = levels / 255;
  const noise = noGrad(() =>
    x
      .add(
        rand([...x.shape])
          .sub(0.5)
          .sign()
          .mul(epsilon),
      )
      .clamp(0, 1),
  );
  const fgsm = inRounds(x, (part, i) => explain.fgsm(resnet, part, labels(y, i), { epsilon }));
  fooling = inRounds(x, (part, i) => explain.pgd(resnet, part, labels(y, i), { epsilon }));
  attacked.push({
    levels,
    noise: await accuracy(resnet, noise),
    fgsm: await accuracy(resnet, fgsm),
    pgd: await accuracy(resnet, fooling),
    pgdOnTransformer: await accuracy(vit, fooling),
  });
}
console.log("accuracy when each pixel may change by some of 255 levels:");
printTable(
  ["levels", "random signs", "FGSM", "PGD", "PGD's, seen by the transformer"],
  attacked.map((a) => [a.levels, ...[a.noise, a.fgsm, a.pgd, a.pgdOnTransformer].map(percent)]),
);

// What the ResNet takes for each class.
const classes: Tensor[] = [];
for (let label = 0; label < 10; label++)
  classes.push(
    await explain.classPicture(resnet, label, {
      ...{ shape: [1, 28, 28] as const, steps: 100, learningRate: 2, jitter: 2, range: [0, 1] as const },
    }),
  );
const drawn = noGrad(() => cat(classes));
const asked = tensor(Int32Array.from({ length: 10 }, (_, i) => i));
const classPictures = {
  resnet: await agreement(guesses(resnet, drawn), asked),
  vit: await agreement(guesses(vit, drawn), asked),
};
console.log(
  `pictures of classes: ${percent(classPictures.resnet)} taken for theirs, ${percent(classPictures.vit)} by the transformer`,
);

// How the features lie.
const [points, y600] = [x.slice([0, 600]), y.slice([0, 600])];
const features = noGrad(() => explain.activations(resnet, [resnet.layer3], points)[0]!.mean([2, 3]));
const pca = (await classic.PCA.fit(features, { components: 2 })).transform(features);
const { points: tsne } = await classic.tsne(features, { iterations: 500 });
/** Share of the points whose nearest neighbour is of their class. */
const neighbours = (z: Tensor) =>
  agreement(
    noGrad(() => y600.indexSelect(0, cdist(z, z).topk(2, 1, { largest: false }).indices.slice(null, 1))),
    y600,
  );
const sameClass = {
  pixels: await neighbours(points.flatten(1)),
  features: await neighbours(features),
  pca: await neighbours(pca),
  tsne: await neighbours(tsne),
};
console.log(
  `nearest neighbour of the same class: ${percent(sameClass.pixels)} of pixels, ${percent(sameClass.features)} of 64 features, ` +
    `${percent(sameClass.pca)} of PCA's two, ${percent(sameClass.tsne)} of t-SNE's two`,
);

// The pictures.
const all = await y.data("int32");
const one = tensor(Int32Array.from({ length: 10 }, (_, label) => all.indexOf(label)));
const chosen = (t: Tensor) => noGrad(() => t.indexSelect(0, one));
const asPictures = (map: Tensor) => noGrad(() => explain.scaledToUnit(chosen(map)).unsqueeze(1));
const filters = noGrad(() =>
  interpolate(explain.filterPictures(resnet.conv1.weight).slice([0, 10]), { size: [28, 28], mode: "nearest" }),
);
const firstMaps = noGrad(() =>
  explain.scaledToUnit(explain.activations(resnet, [resnet.layer1], chosen(x))[0]!.slice(0, [0, 10])).unsqueeze(1),
);
const change = noGrad(() =>
  chosen(fooling)
    .sub(chosen(x))
    .mul(255 / 32)
    .add(0.5),
);
const rows = [
  chosen(x),
  asPictures(maps.saliency),
  asPictures(maps.gradCam),
  asPictures(maps.rollout),
  chosen(fooling),
  change,
  drawn,
  filters,
  firstMaps,
];
await train.saveImageGrid(
  `${folder}/explain.png`,
  noGrad(() => cat(rows)),
  { columns: 10, range: [0, 1] },
);

const INKS = [0x1f77b4, 0xff7f0e, 0x2ca02c, 0xd62728, 0x9467bd, 0x8c564b, 0xe377c2, 0x7f7f7f, 0xbcbd22, 0x17becf];
/** Points [n, 2] as squares of their class's colour: [1, 3, side, side] */
async function scatter(z: Tensor, side = 280): Promise<Tensor> {
  const spots = await noGrad(() =>
    explain
      .scaledToUnit(z.t())
      .mul(side - 5)
      .round(),
  ).data("float32");
  const picture = full([1, 3, side, side], 1);
  const pixels = new Float32Array(await picture.data("float32"));
  const n = z.shape[0]!;
  for (let i = 0; i < n; i++)
    for (let channel = 0; channel < 3; channel++)
      for (let at = 0; at < 16; at++) {
        const [column, row] = [spots[i]! + (at % 4), spots[n + i]! + (at >> 2)];
        pixels[(channel * side + row) * side + column] = ((INKS[all[i]!]! >> (16 - 8 * channel)) & 255) / 255;
      }
  return tensor(pixels, [1, 3, side, side]);
}
await train.saveImageGrid(`${folder}/explain-map.png`, cat([await scatter(pca), await scatter(tsne)]), {
  columns: 2,
  range: [0, 1],
});

await saveResult("explain", sets.name, {
  settings: { resnet: { depth: 8, width: 16 }, vit: sizes, batchSize, epochs },
  seed,
  parameters: { resnet: nn.countParameters(resnet), vit: nn.countParameters(vit) },
  trainingSeconds,
  totalSeconds: (performance.now() - start) / 1e3,
  testPictures: x.shape[0],
  accuracy: clean,
  guessesThatStay: staying,
  attacked,
  classPictures,
  nearestNeighbourOfTheSameClass: sameClass,
});
