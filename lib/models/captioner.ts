/**
 * Image captioning: features of a picture to a sentence, token by token.
 *
 *     recurrent (Vinyals et al., "Show and tell", 2014; CS231n): h_0 = Linear(features); word embedding -> RNN or LSTM -> Linear
 *     transformer (CS231n): memory = Linear(features); word embedding + positions -> decoder layers, causal -> Linear
 *
 * Both are trained on whole captions at once (teacher forcing) and say one token at a time by greedyCaption() and
 * beamSearch(), which keep the state of what was said.
 */
import { expect, show } from "../errors.js";
import { noGrad } from "../graph.js";
import { scope } from "../memory.js";
import { inEval } from "../nn/inEval.js";
import * as init from "../nn/init.js";
import { Embedding, Linear } from "../nn/linear.js";
import { Module } from "../nn/module.js";
import { GRU, LSTM, RNN } from "../nn/recurrent.js";
import { PositionalEncoding, TransformerDecoder, TransformerDecoderLayer } from "../nn/transformer.js";
import { full, tensor } from "../ops/create.js";
import { indexSelect } from "../ops/gather.js";
import { crossEntropy } from "../ops/losses/classes.js";
import { cat, stack } from "../ops/shape.js";
import type { Tensor } from "../tensor.js";
import { wholeNumber } from "./options.js";

/** Numbers of the tokens that frame a caption; data.WordTokenizer's by default. */
export interface CaptionTokens {
  /** Fills up; counts for nothing in the loss. Default 0. */
  pad?: number;
  /** Starts. Default 1. */
  start?: number;
  /** Ends. Default 2. */
  end?: number;
}

/** Options of both captioners. */
export interface CaptionerOptions {
  /** Number of tokens. */
  vocabulary: number;
  /** Numbers of a picture's features. */
  featureDim: number;
  /** Features of a word. Default 128. */
  wordDim?: number;
  /** See CaptionTokens. */
  tokens?: CaptionTokens;
}

/** What has been said so far: one row a sentence in each tensor. */
export type CaptionState = readonly Tensor[];

/** What Captioner.next() gives. */
export interface CaptionStep {
  /** Of the next token, [n, vocabulary]. */
  scores: Tensor;
  /** Behind the tokens that were given. */
  state: CaptionState;
}

/** What a captioner can do. */
export abstract class Captioner extends Module {
  /** Of the words. */
  readonly embed: Embedding;
  /** Numbers of the framing tokens. */
  readonly tokens: Readonly<Required<CaptionTokens>>;

  /** Checks the sizes. */
  constructor(
    /** Number of tokens. */
    readonly vocabulary: number,
    /** Numbers of a picture's features. */
    readonly featureDim: number,
    wordDim: number,
    tokens: CaptionTokens = {},
  ) {
    super();
    const name = this.constructor.name;
    for (const [what, n] of Object.entries({ vocabulary, featureDim, wordDim })) wholeNumber(name, what, n);
    this.tokens = { pad: 0, start: 1, end: 2, ...tokens };
    for (const [what, id] of Object.entries(this.tokens))
      if (!Number.isInteger(id) || id < 0 || id >= vocabulary)
        throw new RangeError(`${name}: expected the token "${what}" to be from 0 to ${vocabulary - 1}, got ${id}`);
    this.embed = new Embedding(vocabulary, wordDim);
    init.normal_(this.embed.weight, 0, 0.01);
  }

  /** Features [n, featureDim] and tokens said so far [n, t] to scores of each next token, [n, t, vocabulary] */
  abstract override forward(features: Tensor, captions: Tensor): Tensor;
  /** The state before anything was said, of features [n, featureDim]. */
  abstract begin(features: Tensor): CaptionState;
  /** Scores [n, vocabulary] of what follows the tokens [n], and the state behind them. */
  abstract next(state: CaptionState, tokens: Tensor): CaptionStep;

  /** Mean cross-entropy of framed captions [n, t]: each token from those before it; what fills up is left out. */
  loss(features: Tensor, captions: Tensor): Tensor {
    expect(
      captions.ndim === 2 && captions.shape[1]! >= 2 && captions.shape[0] === features.shape[0],
      this.constructor.name,
      `captions [${features.shape[0]},t] with t from 2 up`,
      show(captions.shape),
    );
    const t = captions.shape[1]! - 1;
    const scores = this.forward(features, captions.slice(null, [0, t]));
    const targets = captions.slice(null, [1]).reshape([captions.shape[0]! * t]);
    return crossEntropy(scores.reshape([-1, this.vocabulary]), targets, { ignoreIndex: this.tokens.pad });
  }

  protected expectFeatures(features: Tensor): void {
    const fits = features.ndim === 2 && features.shape[1] === this.featureDim;
    expect(fits, this.constructor.name, `features [n,${this.featureDim}]`, show(features.shape));
  }
}

const CELLS = { rnn: RNN, lstm: LSTM, gru: GRU };

/** Options of RecurrentCaptioner. */
export interface RecurrentCaptionerOptions extends CaptionerOptions {
  /** Default "lstm". */
  cell?: keyof typeof CELLS;
  /** Features of the state. Default 128. */
  hiddenDim?: number;
}

/**
 * A recurrent network that starts from the picture (Vinyals et al. 2014, CS231n's CaptioningRNN).
 *
 * @example
 * const model = new models.RecurrentCaptioner({ vocabulary: 10, featureDim: 4, cell: "rnn", wordDim: 8, hiddenDim: 8 });
 * const loss = model.loss(randn([2, 4]), tensor([[1, 5, 2], [1, 6, 2]], { dtype: "int32" }));
 * const captions = models.greedyCaption(model, randn([2, 4]), { length: 5 }); // [2, 5]
 */
export class RecurrentCaptioner extends Captioner {
  /** Features to the first state. */
  readonly project: Linear;
  /** Over the words. */
  readonly rnn: RNN | LSTM | GRU;
  /** States to scores. */
  readonly vocab: Linear;

  /** Random weights, from the default generator. */
  constructor({
    vocabulary,
    featureDim,
    cell = "lstm",
    wordDim = 128,
    hiddenDim = 128,
    tokens,
  }: RecurrentCaptionerOptions) {
    super(vocabulary, featureDim, wordDim, tokens);
    wholeNumber("RecurrentCaptioner", "hiddenDim", hiddenDim);
    if (!Object.hasOwn(CELLS, cell))
      throw new RangeError(`RecurrentCaptioner: expected a cell rnn, lstm or gru, got ${JSON.stringify(cell)}`);
    this.project = new Linear(featureDim, hiddenDim);
    this.rnn = new CELLS[cell](wordDim, hiddenDim, { batchFirst: true });
    this.vocab = new Linear(hiddenDim, vocabulary);
  }

  #run(words: Tensor, state: CaptionState): { y: Tensor; state: CaptionState } {
    const first = state.map((s) => s.unsqueeze(0));
    if (this.rnn instanceof LSTM) {
      const [y, last] = this.rnn.forward(words, [first[0]!, first[1]!]);
      return { y, state: last.map((s) => s.squeeze(0)) };
    }
    const [y, h] = this.rnn.forward(words, first[0]!);
    return { y, state: [h.squeeze(0)] };
  }

  forward(features: Tensor, captions: Tensor): Tensor {
    return this.vocab.forward(this.#run(this.embed.forward(captions), this.begin(features)).y);
  }

  begin(features: Tensor): CaptionState {
    this.expectFeatures(features);
    const h = this.project.forward(features);
    return this.rnn instanceof LSTM ? [h, h.mul(0)] : [h];
  }

  next(state: CaptionState, tokens: Tensor): CaptionStep {
    const { y, state: last } = this.#run(this.embed.forward(tokens).unsqueeze(1), state);
    return { scores: this.vocab.forward(y.squeeze(1)), state: last };
  }
}

/** Options of TransformerCaptioner. */
export interface TransformerCaptionerOptions extends CaptionerOptions {
  /** Heads; they divide wordDim. Default 4. */
  heads?: number;
  /** Decoder layers. Default 2. */
  layers?: number;
  /** Hidden units of their feed-forward parts. Default 2048. */
  dimFeedforward?: number;
  /** Longest caption. Default 50. */
  maxLength?: number;
  /** Default 0.1. */
  dropout?: number;
}

/**
 * A transformer decoder that looks at the picture (CS231n's CaptioningTransformer).
 *
 * @example
 * const model = new models.TransformerCaptioner({ vocabulary: 10, featureDim: 4, wordDim: 8, heads: 2, dimFeedforward: 16 });
 * const loss = model.loss(randn([2, 4]), tensor([[1, 5, 2], [1, 6, 2]], { dtype: "int32" }));
 */
export class TransformerCaptioner extends Captioner {
  /** Features to the one token that the decoder looks at. */
  readonly project: Linear;
  /** Sines and cosines, and dropout. */
  readonly positions: PositionalEncoding;
  /** The layers. */
  readonly transformer: TransformerDecoder;
  /** To scores. */
  readonly vocab: Linear;
  readonly #maxLength: number;

  /** Random weights, from the default generator. */
  constructor({
    vocabulary,
    featureDim,
    wordDim = 128,
    heads = 4,
    layers = 2,
    dimFeedforward = 2048,
    maxLength = 50,
    dropout = 0.1,
    tokens,
  }: TransformerCaptionerOptions) {
    super(vocabulary, featureDim, wordDim, tokens);
    this.#maxLength = wholeNumber("TransformerCaptioner", "maxLength", maxLength);
    this.project = new Linear(featureDim, wordDim);
    this.positions = new PositionalEncoding(wordDim, { maxLength, dropout, batchFirst: true });
    const layer = () => new TransformerDecoderLayer(wordDim, heads, { dimFeedforward, dropout, batchFirst: true });
    this.transformer = new TransformerDecoder(layer, layers);
    this.vocab = new Linear(wordDim, vocabulary);
    for (const m of this.modules())
      if (m instanceof Linear) {
        init.normal_(m.weight, 0, 0.02);
        if (m.bias) init.zeros_(m.bias);
      }
  }

  #decode(memory: Tensor, captions: Tensor): Tensor {
    const t = captions.shape[1]!;
    expect(t <= this.#maxLength, "TransformerCaptioner", `captions of at most ${this.#maxLength} tokens`, `${t}`);
    const words = this.positions.forward(this.embed.forward(captions));
    return this.transformer.forward(words, memory, { tgtIsCausal: true });
  }

  forward(features: Tensor, captions: Tensor): Tensor {
    return this.vocab.forward(this.#decode(this.begin(features)[0]!, captions));
  }

  begin(features: Tensor): CaptionState {
    this.expectFeatures(features);
    return [this.project.forward(features).unsqueeze(1)];
  }

  next([memory, said]: CaptionState, tokens: Tensor): CaptionStep {
    const all = said ? cat([said, tokens.unsqueeze(1)], 1) : tokens.unsqueeze(1);
    return { scores: this.vocab.forward(this.#decode(memory!, all).slice(null, -1)), state: [memory!, all] };
  }
}

/** Options of greedyCaption() and beamSearch(). */
export interface CaptionOptions {
  /** Tokens of a caption, <start> not counted. Default 20. */
  length?: number;
}

/**
 * The likeliest token at each step.
 *
 * @returns int32 [n, length]: what was said, <end> at its end, <pad> behind
 */
export function greedyCaption(model: Captioner, features: Tensor, { length = 20 }: CaptionOptions = {}): Tensor {
  wholeNumber("greedyCaption", "length", length);
  const { pad, start, end } = model.tokens;
  const n = features.shape[0]!;
  return inEval(model, () =>
    noGrad(() =>
      scope(() => {
        let state = model.begin(features);
        let last = full([n], start, { dtype: "int32" });
        let open = full([n], 1, { dtype: "int32" });
        const said: Tensor[] = [];
        for (let i = 0; i < length; i++) {
          const step = model.next(state, last);
          state = step.state;
          last = step.scores.argmax(1).to("int32");
          said.push(last.mul(open).add(open.neg().add(1).mul(pad)));
          open = open.mul(last.notEqual(end).to("int32"));
        }
        return stack(said, 1);
      }),
    ),
  );
}

/** Options of beamSearch(). */
export interface BeamOptions extends CaptionOptions {
  /** Sentences that are kept at each step. Default 5. */
  beams?: number;
  /** Sums of log probabilities are divided by (5 + tokens)^p / 6^p (Wu et al. 2016): 0 favours short ones. Default 0.6. */
  lengthPenalty?: number;
}

/** One sentence that beam search found. */
export interface Caption {
  /** Without <start> and <end>. */
  tokens: number[];
  /** Sum of log probabilities, <end> counted. */
  logProbability: number;
  /** What they were ranked by. */
  score: number;
}

/**
 * Keeps the `beams` likeliest beginnings at each step (Graves 2012), one picture after the other.
 *
 * @returns for each picture its captions, the best first
 */
export async function beamSearch(
  model: Captioner,
  features: Tensor,
  { length = 20, beams = 5, lengthPenalty = 0.6 }: BeamOptions = {},
): Promise<Caption[][]> {
  wholeNumber("beamSearch", "length", length);
  wholeNumber("beamSearch", "beams", beams);
  return inEval(model, async () => {
    const all: Caption[][] = [];
    for (let i = 0; i < features.shape[0]!; i++)
      all.push(await searchOne(model, features.slice([i, i + 1]), { length, beams, lengthPenalty }));
    return all;
  });
}

async function searchOne(
  model: Captioner,
  picture: Tensor,
  { length, beams, lengthPenalty }: Required<BeamOptions>,
): Promise<Caption[]> {
  const { pad, start, end } = model.tokens;
  const score = (sum: number, tokens: number) => sum / ((5 + tokens) / 6) ** lengthPenalty;
  const done: Caption[] = [];
  let open: { tokens: number[]; sum: number }[] = [{ tokens: [], sum: 0 }];
  let state = noGrad(() => [...model.begin(picture)]);
  for (let i = 0; i < length && open.length > 0; i++) {
    const last = tensor(Int32Array.from(open, ({ tokens }) => tokens.at(-1) ?? start));
    const step = noGrad(() => {
      const { scores, state: after } = model.next(state, last);
      return { logs: scores.logSoftmax(1), state: [...after] };
    });
    const logs = await step.logs.data();
    const candidates: { from: number; token: number; sum: number }[] = [];
    open.forEach(({ sum }, from) => {
      for (let token = 0; token < model.vocabulary; token++)
        if (token !== pad && token !== start)
          candidates.push({ from, token, sum: sum + Number(logs[from * model.vocabulary + token]) });
    });
    candidates.sort((a, b) => b.sum - a.sum || a.from - b.from || a.token - b.token);
    const kept: { tokens: number[]; sum: number; from: number }[] = [];
    for (const { from, token, sum } of candidates.slice(0, beams)) {
      const tokens = open[from]!.tokens;
      if (token === end) done.push({ tokens, logProbability: sum, score: score(sum, tokens.length + 1) });
      else kept.push({ tokens: [...tokens, token], sum, from });
    }
    const rows = tensor(Int32Array.from(kept, ({ from }) => from));
    if (kept.length > 0) state = noGrad(() => step.state.map((s) => indexSelect(s, 0, rows)));
    open = kept;
  }
  for (const { tokens, sum } of open) done.push({ tokens, logProbability: sum, score: score(sum, tokens.length) });
  return done.sort((a, b) => b.score - a.score).slice(0, beams);
}
