/**
 * The two-layer network of CS231n's first assignment: affine, relu, affine, with forward and backward written out.
 */
import { expect, show } from "../errors.js";
import { keep, unscoped } from "../memory.js";
import type { DType } from "../native.js";
import { add, mul } from "../ops/arithmetic.js";
import { zeros } from "../ops/create.js";
import { type GeneratorOption, normal } from "../ops/random.js";
import { argmax, sum } from "../ops/reduce.js";
import type { Tensor } from "../tensor.js";
import { affineBackward, affineForward, affineReluBackward, affineReluForward, softmaxLoss } from "./layers.js";
import { penaltyOf, type Regularizer, type RegularizerOption } from "./linear.js";
import { type ClassicModel, Solver, type SolverHistory, type SolverOptions } from "./solver.js";

/** Options of TwoLayerNet. */
export interface TwoLayerOptions extends RegularizerOption, GeneratorOption {
  /** Standard deviation of the first weights. Default 1e-4. */
  weightScale?: number;
  /** Strength lambda of the regulariser. Default 5e-6. */
  reg?: number;
  /** Default float32. */
  dtype?: DType;
}

type TwoLayerParams = { W1: Tensor; b1: Tensor; W2: Tensor; b2: Tensor };

/**
 * scores = relu(x W1 + b1) W2 + b2 under the softmax loss.
 *
 * @example
 * const x = randn([100, 8]);
 * const y = x.slice(null, [0, 3]).argmax(1);
 * const net = new classic.TwoLayerNet(8, 16, 3, { weightScale: 0.1 });
 * const { loss } = await net.train(x, y, { optimConfig: { learningRate: 0.5 }, numIters: 30 });
 */
export class TwoLayerNet implements ClassicModel {
  /** W1 [d, h], b1 [h], W2 [h, classes], b2 [classes]; a solver replaces them. */
  readonly params: TwoLayerParams;
  /** Strength of the regulariser; may be changed between steps. */
  reg: number;
  readonly #regularizer: Regularizer;

  /**
   * Weights start normally distributed, biases at 0.
   *
   * @param inputDim d
   * @param hiddenDim h
   * @param classes number of labels
   */
  constructor(
    inputDim: number,
    hiddenDim: number,
    classes: number,
    { weightScale = 1e-4, reg = 5e-6, regularizer = "sum", dtype = "float32", ...options }: TwoLayerOptions = {},
  ) {
    penaltyOf("TwoLayerNet", regularizer);
    this.reg = reg;
    this.#regularizer = regularizer;
    const weights = (rows: number, cols: number) => keep(normal([rows, cols], { std: weightScale, dtype, ...options }));
    const bias = (n: number) => keep(zeros([n], { dtype }));
    this.params = unscoped(() => ({
      W1: weights(inputDim, hiddenDim),
      b1: bias(hiddenDim),
      W2: weights(hiddenDim, classes),
      b2: bias(classes),
    }));
  }

  /** [n, classes] for x [n, d]. */
  scores(x: Tensor): Tensor {
    const { W1, b1, W2, b2 } = this.params;
    const [hidden] = affineReluForward(x, W1, b1);
    return affineForward(hidden, W2, b2)[0];
  }

  /** The class with the highest score: [n] int32. */
  predict(x: Tensor): Tensor {
    return argmax(this.scores(x), 1);
  }

  /** Loss and gradients of a batch: softmax loss plus lambda (sum W1^2 + sum W2^2), or half of it. */
  loss(
    x: Tensor,
    y: Tensor,
    reg = this.reg,
  ): {
    /** A tensor of one element. */
    loss: Tensor;
    /** One for each parameter, by name. */
    grads: TwoLayerParams;
  } {
    const { W1, b1, W2, b2 } = this.params;
    expect(x.shape[0] === y.size, "TwoLayerNet.loss", `labels of shape [${x.shape[0]}]`, show(y.shape));
    const [value, slope] = penaltyOf("TwoLayerNet", this.#regularizer);
    const [hidden, first] = affineReluForward(x, W1, b1);
    const [scores, second] = affineForward(hidden, W2, b2);
    const [dataLoss, dscores] = softmaxLoss(scores, y);
    const [dhidden, dW2, db2] = affineBackward(dscores, second);
    const [, dW1, db1] = affineReluBackward(dhidden, first);
    const penalty = mul(add(sum(mul(W1, W1)), sum(mul(W2, W2))), reg * value);
    return {
      loss: add(dataLoss, penalty),
      grads: { W1: add(dW1, mul(W1, reg * slope)), b1: db1, W2: add(dW2, mul(W2, reg * slope)), b2: db2 },
    };
  }

  /** Trains; with validation points (xVal, yVal) the best weights stay. See SolverOptions. */
  train(
    x: Tensor,
    y: Tensor,
    { xVal, yVal, ...options }: SolverOptions & { xVal?: Tensor; yVal?: Tensor } = {},
  ): Promise<SolverHistory> {
    const data = { xTrain: x, yTrain: y, ...(xVal && { xVal }), ...(yVal && { yVal }) };
    return new Solver(this, data, { batchSize: 200, ...options }).train();
  }
}
