/** @file CLIP's loss against its formula, with texts that occur twice; a trainer learns drawn scenes' captions with it. */
import { data, manualSeed, metrics, models, nn, noGrad, optim, randn, type Tensor, tensor, train } from "napier";
import { describe, expect, test } from "vitest";

const ids = (rows: number[][]) => tensor(Int32Array.from(rows.flat()), [rows.length, rows[0]!.length]);

function tiny(): models.CLIP {
  manualSeed(3);
  const text = new models.TextEncoder({ vocabulary: 10, dim: 8, heads: 2, layers: 1, context: 4 });
  const image = new nn.Sequential(new nn.Flatten(), new nn.Linear(12, 16), new nn.ReLU());
  return new models.CLIP(image, text, { imageDim: 16, textDim: 8, dim: 4 });
}

/** Mean over both ways of -sum_j T_ij log softmax(logits)_ij, T even over the texts that equal row i's. */
function lossOf(logits: ArrayLike<number>, texts: readonly string[]): number {
  const n = texts.length;
  let sum = 0;
  for (const at of [(i: number, j: number) => i * n + j, (i: number, j: number) => j * n + i])
    for (let i = 0; i < n; i++) {
      const row = Array.from({ length: n }, (_, j) => logits[at(i, j)]!);
      const log = Math.log(row.reduce((s, v) => s + Math.exp(v), 0));
      const same = row.filter((_, j) => texts[j] === texts[i]);
      sum += same.reduce((s, v) => s + log - v, 0) / same.length;
    }
  return sum / (2 * n);
}

describe("CLIP's loss", () => {
  test.each([
    [
      "each text once",
      [
        [4, 5, 0],
        [5, 4, 0],
        [6, 0, 0],
        [4, 6, 7],
      ],
    ],
    [
      "one twice, one three times",
      [
        [4, 5, 0],
        [6, 0, 0],
        [4, 5, 0],
        [6, 0, 0],
        [7, 7, 7],
        [6, 0, 0],
      ],
    ],
  ])("equals its formula: %s", (_, rows) => {
    const model = tiny();
    const pictures = randn([rows.length, 3, 2, 2]);
    const { loss, logits } = model.forward(pictures, ids(rows));
    expect(loss.itemSync()).toBeCloseTo(lossOf(logits.dataSync(), rows.map(String)), 5);
    expect(model.loss(model.forward(pictures), ids(rows)).itemSync()).toBe(loss.itemSync());
  });

  test("other texts of a batch than pictures: the counts are told", () => {
    const model = tiny();
    expect(() => model.loss(model.forward(randn([3, 3, 2, 2])), ids([[4, 5]]))).toThrow(
      "CLIP: expected as many texts as pictures (3), got 1",
    );
  });

  test("a trainer learns 24 scenes' captions by heart, the same each time", async () => {
    const sets = await data.scenes({ train: 24, test: 0, heldOut: 0, size: 24 });
    const tokenizer = new data.WordTokenizer(sets.train.captions);
    const set = data.captionDataset(sets.train.pictures, sets.train.captions, tokenizer, { transform: sets.normalize });
    const all = set.batch(
      Int32Array.from({ length: 24 }, (_, i) => i),
      { seed: 1, epoch: 0 },
    ) as [Tensor, Tensor];
    const learn = async () => {
      manualSeed(4);
      const text = new models.TextEncoder({ vocabulary: tokenizer.size, dim: 16, heads: 2, layers: 1 });
      const image = new nn.Sequential(new nn.Flatten(), new nn.Linear(3 * 24 * 24, 32), new nn.ReLU());
      const model = new models.CLIP(image, text, { imageDim: 32, textDim: 16, dim: 16 });
      const trainer = new train.Trainer(model, {
        optimizer: new optim.Adam(model.parameters(), { lr: 5e-3 }),
        loss: (vectors, texts) => model.loss(vectors, texts),
        seed: 1,
      });
      await trainer.fit(new data.DataLoader(set, { batchSize: 12, shuffle: true, seed: 1 }), { epochs: 40 });
      return noGrad(() => model.forward(...all).logits).dataSync();
    };
    const [first, second] = [await learn(), await learn()];
    expect(new Set(sets.train.captions).size).toBe(24);
    expect(metrics.recallAtK(first, 1)).toEqual({ rows: 1, columns: 1 });
    expect(second).toEqual(first);
  });
});
