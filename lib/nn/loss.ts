/**
 * Losses as modules: the options of the ops, held. Weights are buffers, so that they follow to(dtype) and are saved.
 */
import {
  type BceOptions,
  type BceWithLogitsOptions,
  bce,
  bceWithLogits,
  type CrossEntropyOptions,
  type CtcOptions,
  cosineEmbedding,
  crossEntropy,
  ctc,
  type DiceOptions,
  dice,
  type FocalOptions,
  focal,
  type GaussianNllOptions,
  gaussianNll,
  type HingeOptions,
  type HuberOptions,
  hinge,
  hingeEmbedding,
  huber,
  type InfoNCEOptions,
  infoNCE,
  type KlOptions,
  kl,
  type LossOptions,
  l1,
  type MarginOptions,
  type MultiLabelSoftMarginOptions,
  type MultiMarginOptions,
  marginRanking,
  mse,
  multiLabelMargin,
  multiLabelSoftMargin,
  multiMargin,
  type NllOptions,
  nll,
  type PoissonNllOptions,
  poissonNll,
  type SigmoidFocalOptions,
  type SmoothL1Options,
  sigmoidFocal,
  smoothL1,
  softMargin,
  type TripletOptions,
  tripletMargin,
} from "../ops/losses/index.js";
import type { Tensor } from "../tensor.js";
import { Module } from "./module.js";

/** log sum exp(x) - x_label, or of a distribution over classes. */
export class CrossEntropyLoss extends Module {
  /** [classes], what each counts, or null. */
  readonly weight!: Tensor | null;
  private readonly options: CrossEntropyOptions;

  /**
   * Holds the options that every call uses.
   *
   * @param options those of crossEntropy(); `weight` becomes a buffer
   */
  constructor({ weight = null, ...options }: CrossEntropyOptions = {}) {
    super();
    this.options = options;
    this.registerBuffer("weight", weight);
  }
  /** x: [n, classes, ...]; target: [n, ...] class numbers, or probabilities of x's shape */
  forward(x: Tensor, target: Tensor): Tensor {
    return crossEntropy(x, target, { ...this.options, weight: this.weight });
  }
}

/** -logp_label. */
export class NLLLoss extends Module {
  /** [classes], what each counts, or null. */
  readonly weight!: Tensor | null;
  private readonly options: NllOptions;

  /**
   * Holds the options that every call uses.
   *
   * @param options those of nll(); `weight` becomes a buffer
   */
  constructor({ weight = null, ...options }: NllOptions = {}) {
    super();
    this.options = options;
    this.registerBuffer("weight", weight);
  }
  /** logp: [n, classes, ...], labels: [n, ...] */
  forward(logp: Tensor, labels: Tensor): Tensor {
    return nll(logp, labels, { ...this.options, weight: this.weight });
  }
}

/** Multi-class SVM loss: sum over j != label of max(0, x_j - x_label + delta). */
export class HingeLoss extends Module {
  /**
   * Holds the options that every call uses.
   *
   * @param options those of hinge()
   */
  constructor(readonly options: HingeOptions = {}) {
    super();
  }
  /** x: [n, classes], labels: [n] */
  forward(x: Tensor, labels: Tensor): Tensor {
    return hinge(x, labels, this.options);
  }
}

/** sum over j != label of max(0, margin - x_label + x_j)^p / classes. */
export class MultiMarginLoss extends Module {
  /** [classes], what each counts, or null. */
  readonly weight!: Tensor | null;
  private readonly options: MultiMarginOptions;

  /**
   * Holds the options that every call uses.
   *
   * @param options those of multiMargin(); `weight` becomes a buffer
   */
  constructor({ weight = null, ...options }: MultiMarginOptions = {}) {
    super();
    this.options = options;
    this.registerBuffer("weight", weight);
  }
  /** x: [n, classes], labels: [n] */
  forward(x: Tensor, labels: Tensor): Tensor {
    return multiMargin(x, labels, { ...this.options, weight: this.weight });
  }
}

/** (1 - p)^gamma (-log p) of the softmax p of the label. */
export class FocalLoss extends Module {
  /** [classes], what each counts, or null. */
  readonly weight!: Tensor | null;
  private readonly options: FocalOptions;

  /**
   * Holds the options that every call uses.
   *
   * @param options those of focal(); `weight` becomes a buffer
   */
  constructor({ weight = null, ...options }: FocalOptions = {}) {
    super();
    this.options = options;
    this.registerBuffer("weight", weight);
  }
  /** x: [n, classes, ...], labels: [n, ...] */
  forward(x: Tensor, labels: Tensor): Tensor {
    return focal(x, labels, { ...this.options, weight: this.weight });
  }
}

/** Binary cross-entropy of probabilities. */
export class BCELoss extends Module {
  /** What each element counts, broadcast to x, or null. */
  readonly weight!: Tensor | null;
  private readonly options: BceOptions;

  /**
   * Holds the options that every call uses.
   *
   * @param options those of bce(); `weight` becomes a buffer
   */
  constructor({ weight = null, ...options }: BceOptions = {}) {
    super();
    this.options = options;
    this.registerBuffer("weight", weight);
  }
  /** x: probabilities, target: 0 to 1, of one shape */
  forward(x: Tensor, target: Tensor): Tensor {
    return bce(x, target, { ...this.options, weight: this.weight });
  }
}

/** Binary cross-entropy of logits. */
export class BCEWithLogitsLoss extends Module {
  /** What each element counts, broadcast to x, or null. */
  readonly weight!: Tensor | null;
  /** What a positive target counts, broadcast to x, or null. */
  readonly posWeight!: Tensor | null;
  private readonly options: BceWithLogitsOptions;

  /**
   * Holds the options that every call uses.
   *
   * @param options those of bceWithLogits(); `weight` and `posWeight` become buffers
   */
  constructor({ weight = null, posWeight = null, ...options }: BceWithLogitsOptions = {}) {
    super();
    this.options = options;
    this.registerBuffer("weight", weight);
    this.registerBuffer("posWeight", posWeight, { key: "pos_weight" });
  }
  /** x: logits, target: 0 to 1, of one shape */
  forward(x: Tensor, target: Tensor): Tensor {
    return bceWithLogits(x, target, { ...this.options, weight: this.weight, posWeight: this.posWeight });
  }
}

/** log(1 + exp(-t x)), targets 1 or -1. */
export class SoftMarginLoss extends Module {
  /**
   * Holds the options that every call uses.
   *
   * @param options those of softMargin()
   */
  constructor(readonly options: LossOptions = {}) {
    super();
  }
  /** x and target of one shape */
  forward(x: Tensor, target: Tensor): Tensor {
    return softMargin(x, target, this.options);
  }
}

/** sum over labels y and other classes j of max(0, 1 - (x_y - x_j)) / classes. */
export class MultiLabelMarginLoss extends Module {
  /**
   * Holds the options that every call uses.
   *
   * @param options those of multiLabelMargin()
   */
  constructor(readonly options: LossOptions = {}) {
    super();
  }
  /** x: [n, classes]; labels: [n, classes], a row's classes and then -1 */
  forward(x: Tensor, labels: Tensor): Tensor {
    return multiLabelMargin(x, labels, this.options);
  }
}

/** Binary cross-entropy of logits, averaged over classes. */
export class MultiLabelSoftMarginLoss extends Module {
  /** [classes], what each counts, or null. */
  readonly weight!: Tensor | null;
  private readonly options: MultiLabelSoftMarginOptions;

  /**
   * Holds the options that every call uses.
   *
   * @param options those of multiLabelSoftMargin(); `weight` becomes a buffer
   */
  constructor({ weight = null, ...options }: MultiLabelSoftMarginOptions = {}) {
    super();
    this.options = options;
    this.registerBuffer("weight", weight);
  }
  /** x: logits [n, classes], target: 0 or 1 of the same shape */
  forward(x: Tensor, target: Tensor): Tensor {
    return multiLabelSoftMargin(x, target, { ...this.options, weight: this.weight });
  }
}

/** alpha_t (1 - p_t)^gamma (-log p_t) of logits. */
export class SigmoidFocalLoss extends Module {
  /**
   * Holds the options that every call uses.
   *
   * @param options those of sigmoidFocal()
   */
  constructor(readonly options: SigmoidFocalOptions = {}) {
    super();
  }
  /** x: logits, target: 0 or 1, of one shape */
  forward(x: Tensor, target: Tensor): Tensor {
    return sigmoidFocal(x, target, this.options);
  }
}

/** 1 - (2 sum x t + smooth) / (sum x + sum t + smooth). */
export class DiceLoss extends Module {
  /**
   * Holds the options that every call uses.
   *
   * @param options those of dice()
   */
  constructor(readonly options: DiceOptions = {}) {
    super();
  }
  /** x, target: [n, classes, ...] */
  forward(x: Tensor, target: Tensor): Tensor {
    return dice(x, target, this.options);
  }
}

/** (x - target)^2 */
export class MSELoss extends Module {
  /**
   * Holds the options that every call uses.
   *
   * @param options those of mse()
   */
  constructor(readonly options: LossOptions = {}) {
    super();
  }
  /** x and target of one shape */
  forward(x: Tensor, target: Tensor): Tensor {
    return mse(x, target, this.options);
  }
}

/** |x - target| */
export class L1Loss extends Module {
  /**
   * Holds the options that every call uses.
   *
   * @param options those of l1()
   */
  constructor(readonly options: LossOptions = {}) {
    super();
  }
  /** x and target of one shape */
  forward(x: Tensor, target: Tensor): Tensor {
    return l1(x, target, this.options);
  }
}

/** A parabola below beta, |x - target| - beta / 2 beyond. */
export class SmoothL1Loss extends Module {
  /**
   * Holds the options that every call uses.
   *
   * @param options those of smoothL1()
   */
  constructor(readonly options: SmoothL1Options = {}) {
    super();
  }
  /** x and target of one shape */
  forward(x: Tensor, target: Tensor): Tensor {
    return smoothL1(x, target, this.options);
  }
}

/** A parabola up to delta, delta (|x - target| - delta / 2) beyond. */
export class HuberLoss extends Module {
  /**
   * Holds the options that every call uses.
   *
   * @param options those of huber()
   */
  constructor(readonly options: HuberOptions = {}) {
    super();
  }
  /** x and target of one shape */
  forward(x: Tensor, target: Tensor): Tensor {
    return huber(x, target, this.options);
  }
}

/** Negative log-likelihood of counts. */
export class PoissonNLLLoss extends Module {
  /**
   * Holds the options that every call uses.
   *
   * @param options those of poissonNll()
   */
  constructor(readonly options: PoissonNllOptions = {}) {
    super();
  }
  /** x: the rates, or (by default) their logarithms; target: counts of the same shape */
  forward(x: Tensor, target: Tensor): Tensor {
    return poissonNll(x, target, this.options);
  }
}

/** Negative log-likelihood of normal distributions. */
export class GaussianNLLLoss extends Module {
  /**
   * Holds the options that every call uses.
   *
   * @param options those of gaussianNll()
   */
  constructor(readonly options: GaussianNllOptions = {}) {
    super();
  }
  /** x: means, target: values, variance: of x's shape or broadcast to it */
  forward(x: Tensor, target: Tensor, variance: Tensor): Tensor {
    return gaussianNll(x, target, variance, this.options);
  }
}

/** Kullback-Leibler divergence from log-probabilities x to the target. */
export class KLDivLoss extends Module {
  /**
   * Holds the options that every call uses.
   *
   * @param options those of kl()
   */
  constructor(readonly options: KlOptions = {}) {
    super();
  }
  /** x: log-probabilities, target: probabilities, or their logarithms with { logTarget: true } */
  forward(x: Tensor, target: Tensor): Tensor {
    return kl(x, target, this.options);
  }
}

/** 1 - cos(a, b) for pairs of target 1, max(0, cos(a, b) - margin) for -1. */
export class CosineEmbeddingLoss extends Module {
  /**
   * Holds the options that every call uses.
   *
   * @param options those of cosineEmbedding()
   */
  constructor(readonly options: MarginOptions = {}) {
    super();
  }
  /** a, b: [n, d], target: [n] */
  forward(a: Tensor, b: Tensor, target: Tensor): Tensor {
    return cosineEmbedding(a, b, target, this.options);
  }
}

/** max(0, margin - target (a - b)). */
export class MarginRankingLoss extends Module {
  /**
   * Holds the options that every call uses.
   *
   * @param options those of marginRanking()
   */
  constructor(readonly options: MarginOptions = {}) {
    super();
  }
  /** a, b and target of one shape; target 1 where a should be the larger, -1 where b */
  forward(a: Tensor, b: Tensor, target: Tensor): Tensor {
    return marginRanking(a, b, target, this.options);
  }
}

/** x for target 1, max(0, margin - x) for -1. */
export class HingeEmbeddingLoss extends Module {
  /**
   * Holds the options that every call uses.
   *
   * @param options those of hingeEmbedding()
   */
  constructor(readonly options: MarginOptions = {}) {
    super();
  }
  /** x: distances, target: 1 or -1, of one shape */
  forward(x: Tensor, target: Tensor): Tensor {
    return hingeEmbedding(x, target, this.options);
  }
}

/** max(0, |anchor - positive| - |anchor - negative| + margin). */
export class TripletMarginLoss extends Module {
  /**
   * Holds the options that every call uses.
   *
   * @param options those of tripletMargin()
   */
  constructor(readonly options: TripletOptions = {}) {
    super();
  }
  /** each: [n, d] */
  forward(anchor: Tensor, positive: Tensor, negative: Tensor): Tensor {
    return tripletMargin(anchor, positive, negative, this.options);
  }
}

/** Cross-entropy of the cosines of queries with their positives and with the others. */
export class InfoNCELoss extends Module {
  /**
   * Holds the options that every call uses.
   *
   * @param options those of infoNCE()
   */
  constructor(readonly options: InfoNCEOptions = {}) {
    super();
  }
  /** query, positive: [n, d] */
  forward(query: Tensor, positive: Tensor): Tensor {
    return infoNCE(query, positive, this.options);
  }
}

/** -log of the probability of all paths that read as the labels. */
export class CTCLoss extends Module {
  /**
   * Holds the options that every call uses.
   *
   * @param options those of ctc()
   */
  constructor(readonly options: CtcOptions = {}) {
    super();
  }
  /** logp: [t, n, classes], labels: [n, l] or, one sample after another, [sum of labelLengths], lengths: [n] */
  forward(
    logp: Tensor,
    labels: Tensor,
    inputLengths: Tensor | readonly number[],
    labelLengths: Tensor | readonly number[],
  ): Tensor {
    return ctc(logp, labels, inputLengths, labelLengths, this.options);
  }
}
