/**
 * Linear classifiers with closed-form gradients: the multi-class SVM and softmax of CS231n's first assignment, each naive
 * (plain loops in float64, the specification) and vectorised. A row of x is an example; scores are x W, without a bias:
 * append a column of ones for one.
 */
import { expect, show } from "../errors.js";
import { keep, unscoped } from "../memory.js";
import type { DType } from "../native.js";
import { add, mul } from "../ops/arithmetic.js";
import { to } from "../ops/cast.js";
import { expectFloat, expectSameDType } from "../ops/common.js";
import { matmul } from "../ops/matmul.js";
import { type GeneratorOption, normal } from "../ops/random.js";
import { argmax, sum } from "../ops/reduce.js";
import { fromTyped, type Tensor } from "../tensor.js";
import { expectRows, explicit } from "./common.js";
import { softmaxLoss, svmLoss } from "./layers.js";
import { type ClassicModel, Solver, type SolverHistory, type SolverOptions } from "./solver.js";

/**
 * What the strength lambda multiplies: "sum", lambda sum(W^2) with gradient 2 lambda W (CS231n's first assignment), or
 * "half", half of it with gradient lambda W (its second, and weight decay).
 */
export type Regularizer = "sum" | "half";

/** What the strength of a regulariser multiplies. */
export interface RegularizerOption {
  /** Default "sum". */
  regularizer?: Regularizer;
}

/** Factors of sum(W^2) and of W: [1, 2] or [1/2, 1]. */
export function penaltyOf(op: string, regularizer: Regularizer): readonly [loss: number, gradient: number] {
  switch (regularizer) {
    case "sum":
      return [1, 2];
    case "half":
      return [0.5, 1];
    default:
      throw new TypeError(
        `${op}: expected regularizer "sum" or "half", got ${JSON.stringify(regularizer satisfies never)}`,
      );
  }
}

/** [loss, dW], loss a tensor of one element. */
export type LinearLoss = [loss: Tensor, dW: Tensor];

function expectLinear(op: string, W: Tensor, x: Tensor): void {
  expectFloat(op, W);
  expectSameDType(op, W, x);
  expect(W.ndim === 2, op, "a weight W of shape [d,classes]", show(W.shape));
  expectRows(op, "x", x, W.shape[0]);
}

type ScoreLoss = (scores: Tensor, y: Tensor) => [loss: Tensor, dscores: Tensor];

function vectorised(op: string, scoreLoss: ScoreLoss) {
  return explicit(
    (W: Tensor, x: Tensor, y: Tensor, reg: number, { regularizer = "sum" }: RegularizerOption = {}): LinearLoss => {
      expectLinear(op, W, x);
      const [value, slope] = penaltyOf(op, regularizer);
      const [loss, dscores] = scoreLoss(matmul(x, W), y);
      return [
        add(loss, mul(sum(mul(W, W)), reg * value)),
        add(matmul(x, dscores, { transA: true }), mul(W, reg * slope)),
      ];
    },
  );
}

type Vectorised = (W: Tensor, x: Tensor, y: Tensor, reg: number, options?: RegularizerOption) => LinearLoss;

/**
 * svm_loss_vectorized: mean over rows of sum_{j != y} max(0, s_j - s_y + 1), plus the regulariser; and its gradient.
 *
 * @param W [d, classes]
 * @param x [n, d]
 * @param y labels [n]
 * @param reg lambda
 */
export const svmLossVectorised: Vectorised = vectorised("svmLossVectorised", svmLoss);

/** softmax_loss_vectorized: mean over rows of -log softmax(s)_y, plus the regulariser; and its gradient. */
export const softmaxLossVectorised: Vectorised = vectorised("softmaxLossVectorised", softmaxLoss);

/** A row's loss and what it adds to the gradient of its scores, from plain numbers. */
type RowLoss = (scores: Float64Array, label: number, dscores: Float64Array) => number;

const svmRow: RowLoss = (scores, label, dscores) => {
  let loss = 0;
  dscores.fill(0);
  for (let j = 0; j < scores.length; j++) {
    const margin = scores[j]! - scores[label]! + 1;
    if (j === label || margin <= 0) continue;
    loss += margin;
    dscores[j]!++;
    dscores[label]!--;
  }
  return loss;
};

const softmaxRow: RowLoss = (scores, label, dscores) => {
  const most = scores.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  let total = 0;
  for (let j = 0; j < scores.length; j++) total += dscores[j] = Math.exp(scores[j]! - most);
  for (let j = 0; j < scores.length; j++) dscores[j]! /= total;
  const loss = -Math.log(dscores[label]!);
  dscores[label]!--;
  return loss;
};

function naive(op: string, rowLoss: RowLoss) {
  return async (
    W: Tensor,
    x: Tensor,
    y: Tensor,
    reg: number,
    { regularizer = "sum" }: RegularizerOption = {},
  ): Promise<LinearLoss> => {
    expectLinear(op, W, x);
    const [value, slope] = penaltyOf(op, regularizer);
    const [d, classes] = W.shape as [number, number];
    const n = x.shape[0]!;
    expect(y.ndim === 1 && y.size === n, op, `labels of shape [${n}]`, show(y.shape));
    const numbers = (t: Tensor) => to(t, "float64").data("float64");
    const [w, rows, labels] = await Promise.all([numbers(W), numbers(x), numbers(y)]);
    const scores = new Float64Array(classes);
    const dscores = new Float64Array(classes);
    const dW = new Float64Array(w.length);
    let loss = 0;
    for (let i = 0; i < n; i++) {
      const label = labels[i]!;
      if (!(label >= 0 && label < classes))
        throw new RangeError(`${op}: expected labels between 0 and ${classes - 1}, got ${label}`);
      scores.fill(0);
      for (let e = 0; e < d; e++)
        for (let j = 0; j < classes; j++) scores[j]! += rows[i * d + e]! * w[e * classes + j]!;
      loss += rowLoss(scores, label, dscores) / n;
      for (let e = 0; e < d; e++)
        for (let j = 0; j < classes; j++) dW[e * classes + j]! += (rows[i * d + e]! * dscores[j]!) / n;
    }
    for (let e = 0; e < w.length; e++) {
      loss += reg * value * w[e]! * w[e]!;
      dW[e]! += reg * slope * w[e]!;
    }
    return [
      to(fromTyped(Float64Array.of(loss), [], "float64"), W.dtype),
      to(fromTyped(dW, W.shape, "float64"), W.dtype),
    ];
  };
}

type Naive = (W: Tensor, x: Tensor, y: Tensor, reg: number, options?: RegularizerOption) => Promise<LinearLoss>;

/** svm_loss_naive: svmLossVectorised() by loops over examples, dimensions and classes. */
export const svmLossNaive: Naive = naive("svmLossNaive", svmRow);
/** softmax_loss_naive: softmaxLossVectorised() by loops over examples, dimensions and classes. */
export const softmaxLossNaive: Naive = naive("softmaxLossNaive", softmaxRow);

/** Options of LinearSvm and LinearSoftmax. */
export interface LinearOptions extends RegularizerOption, GeneratorOption {
  /** Strength lambda. Default 1e-5. */
  reg?: number;
  /** Of the weights. Default float32. */
  dtype?: DType;
  /** Standard deviation of the first weights. Default 1e-3. */
  weightScale?: number;
}

/** The parameters of a linear classifier. */
type LinearParams = {
  /** [d, classes] */
  W: Tensor;
};

/** What LinearSvm and LinearSoftmax share: weights W [d, classes], trained by minibatch SGD. */
abstract class LinearClassifier implements ClassicModel {
  /** W [d, classes]; a solver replaces it. */
  readonly params: LinearParams;
  /** Strength lambda of the regulariser; may be changed between steps. */
  reg: number;
  readonly #regularizer: Regularizer;

  /**
   * W starts normally distributed.
   *
   * @param inputDim d, with the column of ones where there is one
   * @param classes number of labels
   */
  constructor(
    inputDim: number,
    classes: number,
    { reg = 1e-5, regularizer = "sum", dtype = "float32", weightScale = 1e-3, ...options }: LinearOptions = {},
  ) {
    penaltyOf(this.constructor.name, regularizer);
    this.reg = reg;
    this.#regularizer = regularizer;
    this.params = { W: unscoped(() => keep(normal([inputDim, classes], { std: weightScale, dtype, ...options }))) };
  }

  protected abstract readonly lossOf: Vectorised;

  /** x W: [n, classes]. */
  scores(x: Tensor): Tensor {
    return matmul(x, this.params.W);
  }

  /** The class with the highest score: [n] int32. */
  predict(x: Tensor): Tensor {
    return argmax(this.scores(x), 1);
  }

  /** Loss and gradients of a batch. */
  loss(
    x: Tensor,
    y: Tensor,
    reg = this.reg,
  ): {
    /** A tensor of one element. */
    loss: Tensor;
    /** One for each parameter, by name. */
    grads: LinearParams;
  } {
    const [loss, W] = this.lossOf(this.params.W, x, y, reg, { regularizer: this.#regularizer });
    return { loss, grads: { W } };
  }

  /** Trains by minibatch SGD; see SolverOptions. */
  train(x: Tensor, y: Tensor, options: SolverOptions = {}): Promise<SolverHistory> {
    return new Solver(this, { xTrain: x, yTrain: y }, { batchSize: 200, ...options }).train();
  }
}

/** A linear classifier under the multi-class SVM loss (Weston & Watkins 1999). */
export class LinearSvm extends LinearClassifier {
  protected readonly lossOf = svmLossVectorised;
}

/**
 * A linear classifier under the softmax loss.
 *
 * @example
 * const x = randn([100, 4]);
 * const y = x.argmax(1);
 * const softmax = new classic.LinearSoftmax(4, 4);
 * await softmax.train(x, y, { optimConfig: { learningRate: 0.5 }, numIters: 50 });
 * const right = softmax.predict(x).equal(y).sum();
 */
export class LinearSoftmax extends LinearClassifier {
  protected readonly lossOf = softmaxLossVectorised;
}
