/**
 * CLIP on drawn scenes: a convolutional and a text tower learn from captions alone which belong together, "a red circle
 * left of a blue 7". Then prompts classify pictures that were never labelled, and captions find their pictures. Without
 * --full a few seconds that only show the way; with it some minutes on two cores.
 *
 *     npm run example -- clip [--full] [--resume]
 */
import { cat, data, manualSeed, metrics, models, nn, noGrad, type Tensor, tensor } from "napier";
import { percent, printTable, saveResult } from "./shared/pictures.js";
import {
  batchesOf,
  captionLength,
  full,
  imageTower,
  novelShare,
  saveScenes,
  seed,
  sets,
  tokenizer,
  tokensOf,
  trainOnScenes,
} from "./shared/scenes.js";

const [dim, batchSize, epochs, lr] = [128, 256, full ? 12 : 2, 3e-3];
manualSeed(seed);
const text = new models.TextEncoder({ vocabulary: tokenizer.size, context: captionLength, dim: 64 });
const model = new models.CLIP(imageTower(256), text, { imageDim: 256, textDim: text.dim, dim });
const seconds = await trainOnScenes("clip", model, (vectors, texts) => model.loss(vectors, texts), {
  batchSize,
  epochs,
  lr,
});

async function vectorsOf(split: data.SceneSplit): Promise<Tensor> {
  const parts: Tensor[] = [];
  for await (const x of batchesOf(split)) {
    parts.push(noGrad(() => model.encodeImage(x)));
    x.free();
  }
  return cat(parts, 0);
}
const textVectors = (texts: readonly string[]) => noGrad(() => model.encodeText(tokensOf(texts)));
const rowsOf = (x: Tensor, rows: readonly number[]) => x.indexSelect(0, tensor(Int32Array.from(rows)));
const shareOf = (good: readonly boolean[]) => good.filter(Boolean).length / good.length;

/** Recall@1 both ways among at most n pictures whose captions all differ. */
async function retrieval(vectors: Tensor, { captions }: data.SceneSplit, n: number) {
  const rows = captions.flatMap((caption, i) => (captions.indexOf(caption) === i ? [i] : [])).slice(0, n);
  const similarity = rowsOf(vectors, rows).matmul(textVectors(rows.map((i) => captions[i]!)).t());
  const recall = metrics.recallAtK(await similarity.data(), 1);
  return { gallery: rows.length, imageToText: recall.rows, textToImage: recall.columns };
}

/** How often the nearest of the classes' vectors is the right one. */
async function accuracyOf(vectors: Tensor, classes: Tensor, labels: readonly number[]): Promise<number> {
  const nearest = await vectors.matmul(classes.t()).argmax(1).data();
  return shareOf(labels.map((label, i) => Number(nearest[i]) === label));
}

const pairs = data.SCENE_KINDS.flatMap((kind) => data.SCENE_COLOURS.map((colour) => ({ kind, colour })));
const prompts = textVectors(pairs.map(({ kind, colour }) => `a ${colour} ${kind}`)); // [96, dim]
const [kinds, colours] = [data.SCENE_KINDS.length, data.SCENE_COLOURS.length];

/** Pictures of one object, classified by prompts: both words at once, and each alone by the mean of its prompts. */
async function zeroShot(vectors: Tensor, { scenes }: data.SceneSplit) {
  const rows = scenes.flatMap(({ relation }, i) => (relation === null ? [i] : []));
  const own = rowsOf(vectors, rows);
  const objects = rows.map((i) => scenes[i]!.objects[0]!);
  const [kindOf, colourOf] = [data.SCENE_KINDS, data.SCENE_COLOURS];
  const grid = prompts.reshape([kinds, colours, dim]);
  const labels = objects.map((o) => ({ kind: kindOf.indexOf(o.kind), colour: colourOf.indexOf(o.colour) }));
  const accuracy = (classes: Tensor, labelOf: (label: (typeof labels)[number]) => number) =>
    accuracyOf(own, classes, labels.map(labelOf));
  return {
    pictures: rows.length,
    both: await accuracy(prompts, (l) => l.kind * colours + l.colour),
    kind: await accuracy(grid.mean(1), (l) => l.kind),
    colour: await accuracy(grid.mean(0), (l) => l.colour),
  };
}

/** Pictures of two objects: how often the caption is nearer than those with places, colours, or the relation exchanged. */
async function hardNegatives(vectors: Tensor, { scenes }: data.SceneSplit) {
  const rows: number[] = [];
  const texts: string[] = [];
  scenes.forEach(({ objects: [a, b], relation }, i) => {
    if (!a || !b || a.kind === b.kind || a.colour === b.colour) return;
    rows.push(i);
    const other = relation === "above" ? "left of" : "above";
    const caption = data.sceneCaption;
    texts.push(caption({ objects: [a, b], relation }), caption({ objects: [b, a], relation }));
    const swapped = [
      { ...a, colour: b.colour },
      { ...b, colour: a.colour },
    ];
    texts.push(caption({ objects: swapped, relation }), caption({ objects: [a, b], relation: other }));
  });
  const candidates = textVectors(texts).reshape([rows.length, 4, dim]);
  const scores = candidates.mul(rowsOf(vectors, rows).unsqueeze(1)).sum(2);
  const nearest = await scores.argmax(1).data();
  return shareOf(rows.map((_, i) => Number(nearest[i]) === 0));
}

async function report(split: data.SceneSplit, vectors: Tensor) {
  return {
    zeroShot: await zeroShot(vectors, split),
    recallAt1: await retrieval(vectors, split, 100),
    recallAt1Large: await retrieval(vectors, split, 1000),
    hardNegatives: await hardNegatives(vectors, split),
    unseenCaptions: novelShare(split.captions),
  };
}

const vectors = await vectorsOf(sets.test);
const [test, heldOut] = [await report(sets.test, vectors), await report(sets.heldOut, await vectorsOf(sets.heldOut))];
printTable(
  ["", "test", "held-out combinations"],
  [
    ["zero-shot: colour and kind", percent(test.zeroShot.both), percent(heldOut.zeroShot.both)],
    ["zero-shot: kind", percent(test.zeroShot.kind), percent(heldOut.zeroShot.kind)],
    ["zero-shot: colour", percent(test.zeroShot.colour), percent(heldOut.zeroShot.colour)],
    ...([["recallAt1"], ["recallAt1Large"]] as const).flatMap(([key]) => [
      [
        `recall@1 of ${test[key].gallery}, image to text`,
        percent(test[key].imageToText),
        percent(heldOut[key].imageToText),
      ],
      [
        `recall@1 of ${test[key].gallery}, text to image`,
        percent(test[key].textToImage),
        percent(heldOut[key].textToImage),
      ],
    ]),
    ["own caption before three like it", percent(test.hardNegatives), percent(heldOut.hardNegatives)],
  ],
);

// Searching: for each of eight captions a row of the eight test pictures nearest to it.
const queries = sets.test.captions.slice(0, 8);
const found = await textVectors(queries).matmul(vectors.t()).topk(8, 1).indices.data();
await saveScenes("clip", sets.test, Array.from(found, Number));
await saveResult("clip", full ? "scenes" : "fallback", {
  settings: { trainPictures: sets.train.captions.length, epochs, batchSize, lr, dim },
  seed,
  parameters: nn.countParameters(model),
  trainingSeconds: seconds,
  queries,
  test,
  heldOut,
});
