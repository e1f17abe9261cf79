/**
 * CS231n's StyleTransfer on SqueezeNet with ImageNet's weights: pictures in the style of others, pictures found again from
 * the maps of one layer, textures from the Gram matrices of several (Gatys, Ecker & Bethge 2015 and 2016). Two minutes on
 * two cores.
 *
 *     npm run example -- style-transfer [--data DIR]
 *
 * DIR holds the files that shared/squeezenet.ts names, and imagenet_sample40_227_u8_nhwc.npy (uint8 [40,227,227,3]); without it a network with random weights looks at drawn scenes.
 *
 *     style-transfer.png            a row each: content, style, result
 *     style-transfer-inversion.png  a picture; what is found again from the maps of the third, sixth and eighth fire
 *     style-transfer-texture.png    styles; textures of their Gram matrices
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { cat, explain, io, manualSeed, nn, noGrad, scope, type Tensor } from "napier";
import { saveResult } from "./shared/pictures.js";
import { fromLevels, LEVELS, range, resized, savePictures, seed, squeezeNet, toLevels } from "./shared/squeezenet.js";

const { values } = parseArgs({ options: { data: { type: "string" } } });
const real = values.data !== undefined;
const start = performance.now();
const { name, model, x } = await squeezeNet(values.data);
const others = values.data
  ? fromLevels((await io.loadNpy(join(values.data, "imagenet_sample40_227_u8_nhwc.npy"))).permute([0, 3, 1, 2]))
  : x;
manualSeed(seed);
const size = real ? 192 : 64;
const picture = (all: Tensor, i: number) => resized(all.slice([i, i + 1]), size);

/** Outputs of the first layers: convolution, ReLU, pooling, fires 3, 4, 5, pooling, fires 7 to 10, pooling, fire 12. */
const mapsTo = (last: number) => (x: Tensor) => {
  const all: Tensor[] = [];
  for (let i = 0; i <= last; i++) {
    x = model.features.at(i).forward(x);
    all.push(x.div(LEVELS)); // the network counts in levels, the notebook's weights in deviations
  }
  return all;
};
const STYLE = [1, 4, 7, 8];

interface Run {
  what: string;
  content: Tensor;
  style: Tensor;
  init: "content" | "noise";
  contentLayer: number;
  contentWeight: number;
  styleWeights: number[];
  tvWeight: number;
  steps: number;
  learningRate: number;
}

/** The three parts of the loss, of a picture. */
async function losses(now: Tensor, { content, style, contentLayer, contentWeight, styleWeights, tvWeight }: Run) {
  const parts = scope(() =>
    noGrad(() => {
      const maps = mapsTo(Math.max(contentLayer, ...STYLE));
      const [ours, theirs, styles] = [maps(now), maps(content), maps(style)];
      return [
        explain.contentLoss(ours[contentLayer]!, theirs[contentLayer]!, contentWeight),
        explain.styleLoss(
          STYLE.map((i) => ours[i]!),
          STYLE.map((i) => explain.gramMatrix(styles[i]!)),
          styleWeights,
        ),
        explain.totalVariationLoss(now, tvWeight),
      ];
    }),
  );
  const [contentLoss, styleLoss, tvLoss] = await Promise.all(parts.map((part) => part.item()));
  return { content: contentLoss!, style: styleLoss!, totalVariation: tvLoss! };
}

const results: Record<string, unknown>[] = [];
/** The picture of a run, whose settings and losses, of the first step and of what came out, go into the results. */
async function made(run: Run): Promise<Tensor> {
  const { what, content, style, ...settings } = run;
  const began = performance.now();
  let first = 0;
  const y = await explain.styleTransfer(mapsTo(Math.max(run.contentLayer, ...STYLE)), content, style, {
    ...settings,
    ...{ styleLayers: STYLE, range, logEvery: 1 },
    onStep: (step, loss) => {
      if (step === 1) first = loss;
    },
  });
  const seconds = (performance.now() - began) / 1e3;
  const parts = await losses(y, run);
  const last = parts.content + parts.style + parts.totalVariation;
  results.push({ what, ...settings, loss: { first, last, ...parts }, runSeconds: seconds });
  console.log(`${what}: loss ${first.toExponential(2)} to ${last.toExponential(2)}, ${seconds.toFixed(0)} s`);
  return y;
}

const steps = (n: number) => (real ? n : 5);
const [ship, dog] = real ? [picture(x, 12), picture(x, 14)] : [picture(x, 0), picture(x, 1)];
const [thistle, pomegranate] = real ? [picture(x, 16), picture(others, 38)] : [picture(x, 2), picture(x, 3)];
const levels = (rows: Tensor[]) => toLevels(noGrad(() => cat(rows)));

// A picture in the style of another.
const transfer = {
  ...{ init: "content" as const, contentLayer: 5, contentWeight: 1e-3, styleWeights: [3e5, 1e3, 100, 300] },
  ...{ tvWeight: 0.5, steps: steps(200), learningRate: 0.1 },
};
const rows = [];
for (const [what, content, style] of [
  ["ship in the style of a thistle", ship, thistle],
  ["dog in the style of a thistle", dog, thistle],
  ["ship in the style of a pomegranate", ship, pomegranate],
  ["dog in the style of a pomegranate", dog, pomegranate],
] as [string, Tensor, Tensor][])
  rows.push(content, style, await made({ what, content, style, ...transfer }));
await savePictures(name, "style-transfer", levels(rows), { size: 92, columns: 3 });

// A picture found again from the maps of one layer: the style does not count.
const inversions = [dog];
for (const [layer, contentWeight, tvWeight, learningRate] of [
  [5, 1e-2, 0.2, 0.3],
  [8, 1e-2, 0.5, 0.5],
  [12, 0.1, 0.5, 0.5],
] as [number, number, number, number][])
  inversions.push(
    await made({
      ...{ what: `dog from the maps of layer ${layer}`, content: dog, style: dog, init: "noise" },
      ...{ contentLayer: layer, contentWeight, styleWeights: [0, 0, 0, 0], tvWeight, steps: steps(200), learningRate },
    }),
  );
await savePictures(name, "style-transfer-inversion", levels(inversions), { size: 144, columns: 4 });

// A texture: the content does not count.
const textures = [];
for (const [what, style] of [
  ["texture of the thistle", thistle],
  ["texture of the pomegranate", pomegranate],
] as [string, Tensor][])
  textures.push(
    await made({
      ...{ what, content: style, style, init: "noise", contentLayer: 5, contentWeight: 0 },
      ...{ styleWeights: [1e6, 1e3, 100, 300], tvWeight: 5, steps: steps(300), learningRate: 1 },
    }),
  );
await savePictures(name, "style-transfer-texture", levels([thistle, pomegranate, ...textures]), {
  size: 160,
  columns: 2,
});

await saveResult("style-transfer", name, {
  settings: { size, style: STYLE, names: "features.0 to features.12 of torchvision's squeezenet1_0" },
  seed,
  parameters: nn.countParameters(model),
  trainingSeconds: null,
  totalSeconds: (performance.now() - start) / 1e3,
  runs: results,
});
