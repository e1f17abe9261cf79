/**
 * @file How good drawn samples are: distances between sets of features, and measures of text.
 *
 * Features are rows of a tensor [n, d] by any classifier (its layer before the scores); results are numbers.
 */
import { expect, show } from "../errors.js";
import { noGrad } from "../graph.js";
import { scope } from "../memory.js";
import { cdist } from "../ops/distance.js";
import { eigh, eigvalsh } from "../ops/linalgSpectrum.js";
import type { Tensor } from "../tensor.js";

function expectFeatures(op: string, ...sets: Tensor[]): void {
  const d = sets[0]!.shape[1];
  for (const x of sets)
    expect(
      x.ndim === 2 && x.shape[1] === d && x.shape[0]! >= 2,
      op,
      `features [n,${d}], at least 2 rows`,
      show(x.shape),
    );
}

/** Mean [d] and covariance [d, d] of rows, in float64. */
function moments(x: Tensor): [mean: Tensor, covariance: Tensor] {
  const wide = x.to("float64");
  const mean = wide.mean(0);
  const away = wide.sub(mean);
  return [
    mean,
    away
      .t()
      .matmul(away)
      .div(x.shape[0]! - 1),
  ];
}

/**
 * Fréchet distance of two sets of features taken as normally distributed (Heusel et al., "GANs trained by a two time-scale
 * update rule", 2017): |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)). On Inception's features it is the FID.
 *
 * @param a features [n, d]
 * @param b features [m, d]
 */
export async function frechetDistance(a: Tensor, b: Tensor): Promise<number> {
  expectFeatures("frechetDistance", a, b);
  const distance = scope(() =>
    noGrad(() => {
      const [m1, c1] = moments(a);
      const [m2, c2] = moments(b);
      // (C1 C2)^(1/2) has the trace of (r C2 r)^(1/2), r = C1^(1/2), which is symmetric.
      const { w, v } = eigh(c1);
      const root = v.mul(w.clamp(0, Number.POSITIVE_INFINITY).sqrt()).matmul(v.t());
      const inner = root.matmul(c2).matmul(root);
      const cross = eigvalsh(inner.add(inner.t()).div(2)).clamp(0, Number.POSITIVE_INFINITY).sqrt().sum();
      const spread = c1.diagonal().sum().add(c2.diagonal().sum());
      return m1.sub(m2).square().sum().add(spread).sub(cross.mul(2));
    }),
  );
  const value = await distance.item();
  distance.free();
  return Math.max(0, value);
}

/**
 * exp of the mean of KL(p(y|x) || p(y)) (Salimans et al., "Improved techniques for training GANs", 2016): from 1 to the
 * number of classes; high where each sample is clear and all classes occur.
 *
 * @param probabilities [n, classes] by any classifier
 */
export async function inceptionScore(probabilities: Tensor): Promise<number> {
  expectFeatures("inceptionScore", probabilities);
  const score = scope(() =>
    noGrad(() => {
      const p = probabilities.to("float64").clamp(1e-16, 1);
      return p
        .mul(p.log().sub(p.mean(0).log()))
        .sum(1)
        .mean()
        .exp();
    }),
  );
  const value = await score.item();
  score.free();
  return value;
}

/** What sampleQuality() gives. */
export interface SampleQuality {
  /** Share of the samples that lie among the real ones: are they good? */
  precision: number;
  /** Share of the real ones that lie among the samples: is everything there? */
  recall: number;
}

/**
 * Improved precision and recall (Kynkäänniemi et al. 2019): a point lies among a set where it is within the distance to the
 * k-th nearest neighbour of one of the set's points.
 *
 * @param real features [n, d]
 * @param made features [m, d]
 * @param options k, the neighbour whose distance counts. Default 3
 */
export async function sampleQuality(
  real: Tensor,
  made: Tensor,
  { k = 3 }: { k?: number } = {},
): Promise<SampleQuality> {
  expectFeatures("sampleQuality", real, made);
  const most = Math.min(real.shape[0]!, made.shape[0]!) - 1;
  expect(Number.isSafeInteger(k) && k >= 1 && k <= most, "sampleQuality", `k from 1 to ${most}`, `${k}`);
  // Row i of set: its distance to its k-th neighbour; itself is the nearest.
  const within = (x: Tensor, set: Tensor) => {
    const radius = cdist(set, set).kthvalue(k + 1, 1).values;
    return cdist(x, set).lessEqual(radius.unsqueeze(0)).any(1).to("float64").mean();
  };
  const both = scope(() => noGrad(() => [within(made, real), within(real, made)] as const));
  const [precision, recall] = await Promise.all(both.map((t) => t.item()));
  for (const t of both) t.free();
  return { precision: precision!, recall: recall! };
}

/** Bits a dimension of a negative log-likelihood in nats over `dimensions` numbers of 256 levels scaled to a range of `span`. */
export const bitsPerDimension = (nats: number, dimensions: number, { span = 1 }: { span?: number } = {}): number =>
  nats / (dimensions * Math.LN2) + Math.log2(256 / span);

/** exp of the mean cross-entropy a token, in nats. */
export const perplexity = (meanNats: number): number => Math.exp(meanNats);

/** Options of bleu(). */
export interface BleuOptions {
  /** Longest n-grams. Default 4. */
  order?: number;
  /** Adds one to the counts of n-grams from two up (Lin & Och 2004), so that short sentences are not 0. Default false. */
  smooth?: boolean;
}

type Tokens = readonly (string | number)[];

function ngrams(tokens: Tokens, n: number): Map<string, number> {
  const counts = new Map<string, number>();
  for (let i = 0; i + n <= tokens.length; i++) {
    const gram = JSON.stringify(tokens.slice(i, i + n));
    counts.set(gram, (counts.get(gram) ?? 0) + 1);
  }
  return counts;
}

/**
 * BLEU of a corpus (Papineni et al. 2002), from 0 to 1: the geometric mean of n-gram precisions, each n-gram counted at most
 * as often as in a reference, times exp(1 - r / c) where the candidates (c tokens) are shorter than the references (r).
 *
 * @param candidates a list of tokens each
 * @param references for each candidate one or more lists of tokens
 * @example
 * const score = metrics.bleu([["a", "cat", "sat"]], [[["a", "cat", "sat"]]], { order: 3 }); // 1
 */
export function bleu(
  candidates: readonly Tokens[],
  references: readonly (readonly Tokens[])[],
  { order = 4, smooth = false }: BleuOptions = {},
): number {
  const fits =
    candidates.length === references.length && candidates.length > 0 && references.every((r) => r.length > 0);
  expect(
    fits,
    "bleu",
    "references for each candidate",
    `${candidates.length} candidates, ${references.length} references`,
  );
  expect(Number.isSafeInteger(order) && order >= 1, "bleu", "an order from 1 up", `${order}`);
  let [length, wanted] = [0, 0];
  const right = new Array<number>(order).fill(0);
  const all = new Array<number>(order).fill(0);
  candidates.forEach((candidate, i) => {
    length += candidate.length;
    const lengths = references[i]!.map((r) => r.length);
    wanted += lengths.reduce((a, b) => {
      const [x, y] = [Math.abs(a - candidate.length), Math.abs(b - candidate.length)];
      return y < x || (y === x && b < a) ? b : a;
    });
    for (let n = 1; n <= order; n++) {
      const given = references[i]!.map((r) => ngrams(r, n));
      for (const [gram, count] of ngrams(candidate, n)) {
        all[n - 1]! += count;
        right[n - 1]! += Math.min(count, Math.max(...given.map((g) => g.get(gram) ?? 0)));
      }
    }
  });
  let log = 0;
  for (let n = 0; n < order; n++) {
    const more = smooth && n > 0 ? 1 : 0;
    if (right[n]! + more === 0) return 0;
    log += Math.log((right[n]! + more) / (all[n]! + more)) / order;
  }
  return Math.exp(log + Math.min(0, 1 - wanted / length));
}
