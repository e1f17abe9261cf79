/** @file Captions and CLIP: each learns small pairs by heart; decoding with state agrees with decoding whole. */
import { manualSeed, metrics, models, nn, optim, randn, type Tensor, tensor } from "napier";
import { describe, expect, test } from "vitest";

const ids = (rows: number[][]) => tensor(Int32Array.from(rows.flat()), [rows.length, rows[0]!.length]);
// start 1, end 2, pad 0
const captions = ids([
  [1, 4, 5, 2, 0],
  [1, 4, 6, 7, 2],
  [1, 8, 2, 0, 0],
]);
const features = tensor([
  [1, 0, 0],
  [0, 1, 0],
  [0, 0, 1],
]);
const sizes = { vocabulary: 9, featureDim: 3, wordDim: 16 };
const MODELS: Record<string, () => models.Captioner> = {
  rnn: () => new models.RecurrentCaptioner({ ...sizes, cell: "rnn", hiddenDim: 24 }),
  lstm: () => new models.RecurrentCaptioner({ ...sizes, cell: "lstm", hiddenDim: 24 }),
  gru: () => new models.RecurrentCaptioner({ ...sizes, cell: "gru", hiddenDim: 24 }),
  transformer: () => new models.TransformerCaptioner({ ...sizes, heads: 2, dimFeedforward: 32, dropout: 0 }),
};

describe.each(Object.entries(MODELS))("captions by %s", (_, make) => {
  test("one token at a time gives the scores of all at once", () => {
    const model = make().eval();
    const whole = model.forward(features, captions);
    let state = model.begin(features);
    for (let t = 0; t < 5; t++) {
      const step = model.next(state, captions.slice(null, t));
      state = step.state;
      const error = step.scores.sub(whole.slice(null, t)).abs().max().itemSync();
      expect(error).toBeLessThan(1e-5);
    }
  });

  test("learns three captions; greedy and beam search say them; <pad> counts for nothing", async () => {
    manualSeed(1);
    const model = make();
    const optimizer = new optim.Adam(model.parameters(), { lr: 1e-2 });
    for (let i = 0; i < 90; i++) {
      optimizer.zeroGrad();
      model.loss(features, captions).backward();
      optimizer.step();
    }
    expect(model.loss(features, captions).itemSync()).toBeLessThan(0.2);
    const said = models.greedyCaption(model, features, { length: 4 });
    expect(said.dtype).toBe("int32");
    expect([...said.dataSync()]).toEqual([...captions.slice(null, [1]).dataSync()]);
    const found = await models.beamSearch(model, features, { beams: 3, length: 6 });
    expect(found.map(([best]) => best!.tokens)).toEqual([[4, 5], [4, 6, 7], [8]]);
    for (const list of found) expect(list.map((c) => c.score)).toEqual(list.map((c) => c.score).sort((a, b) => b - a));
    expect(found[2]![0]!.logProbability).toBeGreaterThan(-0.5);
    expect(model.training).toBe(true);
  });
});

test("beam search finds the likelier sentence that greed misses", async () => {
  // 4 is likelier at first (0.6), but then all is even; 5 (0.4) leads on surely.
  class Fixed extends models.Captioner {
    forward(): Tensor {
      throw new Error("unused");
    }
    begin(f: Tensor): models.CaptionState {
      return [f];
    }
    next(state: models.CaptionState, tokens: Tensor): { scores: Tensor; state: models.CaptionState } {
      const rows = [...tokens.dataSync()].map((token) => {
        const p = new Array<number>(8).fill(1e-9);
        if (token === 1) Object.assign(p, { 4: 0.6, 5: 0.4 });
        else if (token === 4) Object.assign(p, { 2: 0.34, 6: 0.33, 7: 0.33 });
        else p[2] = 1;
        return p.map(Math.log);
      });
      return { scores: tensor(rows), state };
    }
  }
  const model = new Fixed(8, 1, 1);
  const f = tensor([[0]]);
  expect([...models.greedyCaption(model, f, { length: 3 }).dataSync()]).toEqual([4, 2, 0]);
  const [[best]] = (await models.beamSearch(model, f, { beams: 2, length: 3, lengthPenalty: 0 })) as [models.Caption[]];
  expect(best!.tokens).toEqual([5]);
  expect(best!.logProbability).toBeCloseTo(Math.log(0.4), 5);
});

describe("CLIP", () => {
  test("learns which texts belong to which pictures", () => {
    manualSeed(2);
    const image = new nn.Sequential(new nn.Flatten(), new nn.Linear(12, 16), new nn.ReLU());
    const text = new models.TextEncoder({ vocabulary: 10, dim: 16, heads: 2, layers: 1, context: 4 });
    const model = new models.CLIP(image, text, { imageDim: 16, textDim: 16, dim: 8 });
    const pictures = randn([6, 3, 2, 2]);
    const texts = ids([
      [4, 5, 0],
      [5, 4, 0],
      [6, 0, 0],
      [4, 6, 7],
      [8, 9, 0],
      [9, 9, 9],
    ]);
    expect(model.logitScale.itemSync()).toBeCloseTo(Math.log(1 / 0.07), 5);
    const optimizer = new optim.Adam(model.parameters(), { lr: 1e-2 });
    for (let i = 0; i < 80; i++) {
      optimizer.zeroGrad();
      model.forward(pictures, texts).loss.backward();
      optimizer.step();
    }
    const { loss, logits } = model.forward(pictures, texts);
    expect(loss.itemSync()).toBeLessThan(0.3);
    expect(metrics.recallAtK(logits.dataSync(), 1)).toEqual({ rows: 1, columns: 1 });
    expect([...model.classify(pictures, texts).dataSync()].map(Number)).toEqual([0, 1, 2, 3, 4, 5]);
    const lengths = model.encodeText(texts).square().sum(1).dataSync();
    for (const l of lengths) expect(l).toBeCloseTo(1, 5);
  });

  test("what fills a text up changes nothing", () => {
    const text = new models.TextEncoder({ vocabulary: 10, dim: 8, heads: 2, layers: 2 }).eval();
    const [a, b] = [ids([[4, 5]]), ids([[4, 5, 0, 0, 0]])].map((t) => text.forward(t).dataSync());
    a!.forEach((v, i) => {
      expect(b![i]!).toBeCloseTo(v, 5);
    });
    expect([...text.forward(ids([[0, 0]])).dataSync()]).toEqual(new Array(8).fill(0));
  });
});

test("recallAtK: counted by hand, equals count against", () => {
  // row 0: own 0.9 first; row 1: own 0.5 second; row 2: own 0.1 last
  const s = [0.9, 0.1, 0.2, 0.6, 0.5, 0.1, 0.3, 0.2, 0.1];
  expect(metrics.recallAtK(s, 1)).toEqual({ rows: 1 / 3, columns: 2 / 3 });
  expect(metrics.recallAtK(s, 2).rows).toBe(2 / 3);
  expect(metrics.recallAtK([1, 1, 1, 1], 1)).toEqual({ rows: 0, columns: 0 });
  expect(() => metrics.recallAtK([1, 2], 1)).toThrow("expected a square matrix");
});
