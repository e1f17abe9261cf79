/**
 * Captions of drawn scenes, "a red circle left of a blue 7", by three decoders on one small CNN, all trained together and
 * end to end by teacher forcing: CS231n's vanilla RNN, its LSTM, and its transformer. Each then describes scenes it never
 * saw, greedily and by beam search; right is only what equals the caption word for word. Without --full a few seconds that
 * only show the way; with it some minutes on two cores.
 *
 *     npm run example -- captioning [--full] [--resume]
 */
import { type data, manualSeed, models, nn, noGrad, type Tensor } from "napier";
import { percent, printTable, saveResult } from "./shared/pictures.js";
import {
  batchesOf,
  captionLength,
  full,
  imageTower,
  isNovel,
  novelShare,
  saveScenes,
  seed,
  sets,
  tokenizer,
  trainOnScenes,
} from "./shared/scenes.js";

const [featureDim, batchSize, epochs, lr] = [256, 128, full ? 12 : 2, 2e-3];
const [beams, searched] = [5, full ? 500 : 20]; // beam search describes the first so many scenes

const names = ["rnn", "lstm", "transformer"] as const;
const sizes = { vocabulary: tokenizer.size, featureDim, wordDim: 128 };

/** A network that looks, three that tell. */
class Describer extends nn.Module {
  readonly encoder = imageTower(featureDim);
  readonly rnn = new models.RecurrentCaptioner({ ...sizes, cell: "rnn", hiddenDim: 192 });
  readonly lstm = new models.RecurrentCaptioner({ ...sizes, cell: "lstm", hiddenDim: 128 });
  readonly transformer = new models.TransformerCaptioner({
    ...sizes,
    dimFeedforward: 256,
    maxLength: captionLength,
  });

  /** Pictures to features, which each captioner starts from. */
  forward(x: Tensor): Tensor {
    return this.encoder.forward(x);
  }

  /** Sum of the three losses. */
  loss(features: Tensor, captions: Tensor): Tensor {
    const [rnn, lstm, transformer] = names.map((name) => this[name].loss(features, captions)) as [
      Tensor,
      Tensor,
      Tensor,
    ];
    return rnn.add(lstm).add(transformer);
  }
}

manualSeed(seed);
const model = new Describer();
const seconds = await trainOnScenes("captioning", model, (features, captions) => model.loss(features, captions), {
  batchSize,
  epochs,
  lr,
});

/** What each captioner says of a split greedily, and of its first `n` by beam search. */
async function describe(split: data.SceneSplit, n: number) {
  const said = Object.fromEntries(names.map((name) => [name, { greedy: [] as string[], beam: [] as string[] }]));
  for await (const x of batchesOf(split)) {
    const features = noGrad(() => model.forward(x));
    for (const name of names) {
      const { greedy, beam } = said[name]!;
      const tokens = await models.greedyCaption(model[name], features, { length: captionLength }).data();
      for (let i = 0; i < tokens.length; i += captionLength)
        greedy.push(tokenizer.decode(Array.from(tokens.subarray(i, i + captionLength), Number)));
      const left = Math.min(n - beam.length, features.shape[0]!);
      if (left <= 0) continue;
      const options = { beams, length: captionLength };
      const found = await models.beamSearch(model[name], features.slice([0, left]), options);
      beam.push(...found.map(([best]) => tokenizer.decode(best!.tokens)));
    }
    features.free();
    x.free();
  }
  return said;
}

/** Share of what was said that equals the caption, of those that `counts` picks. */
function exactMatch(said: readonly string[], captions: readonly string[], counts = (_: string) => true): number {
  const right = said.flatMap((text, i) => (counts(captions[i]!) ? [text === captions[i]] : []));
  return right.filter(Boolean).length / right.length;
}

async function report(split: data.SceneSplit) {
  const { captions } = split;
  const said = await describe(split, searched);
  const matches = names.map((name) => {
    const { greedy, beam } = said[name]!;
    const unseen = exactMatch(greedy, captions, isNovel);
    return [name, { greedy: exactMatch(greedy, captions), beam: exactMatch(beam, captions), unseen }] as const;
  });
  const scenes = { greedy: captions.length, beam: Math.min(searched, captions.length) };
  return { said, scenes, unseenCaptions: novelShare(captions), exactMatch: Object.fromEntries(matches) };
}
const { said, ...test } = await report(sets.test);
const { said: _, ...heldOut } = await report(sets.heldOut);
printTable(
  ["exact match", "greedy", `${beams} beams`, "captions new to it", "combinations new to it"],
  names.map((name) => {
    const { greedy, beam, unseen } = test.exactMatch[name]!;
    return [name, ...[greedy, beam, unseen, heldOut.exactMatch[name]!.greedy].map(percent)];
  }),
);
const shown = sets.test.captions.slice(0, 16).map((caption, i) => ({
  caption,
  ...Object.fromEntries(names.map((name) => [name, said[name]!.greedy[i]!])),
}));
for (const { caption, ...others } of shown.slice(0, 4)) {
  console.log(`\n  ${caption}`);
  for (const [name, text] of Object.entries(others)) console.log(`    ${name}: ${text}`);
}
await saveScenes(
  "captioning",
  sets.test,
  shown.map((_, i) => i),
);
await saveResult("captioning", full ? "scenes" : "fallback", {
  settings: { trainPictures: sets.train.captions.length, epochs, batchSize, lr, featureDim, beams },
  seed,
  parameters: Object.fromEntries(
    (["encoder", ...names] as const).map((name) => [name, nn.countParameters(model[name])]),
  ),
  trainingSeconds: seconds,
  test,
  heldOut,
  shown,
});
