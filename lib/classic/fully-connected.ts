/**
 * FullyConnectedNet of CS231n's second assignment: {affine, [batch or layer norm], relu, [dropout]} x (L - 1), affine,
 * softmax, with explicit backward. Its regulariser is the half convention: reg / 2 sum(W^2).
 */
import { expect } from "../errors.js";
import { keep, unscoped } from "../memory.js";
import type { DType } from "../native.js";
import { add, mul } from "../ops/arithmetic.js";
import { ones, zeros } from "../ops/create.js";
import { type GeneratorOption, normal } from "../ops/random.js";
import { argmax, sum } from "../ops/reduce.js";
import type { Tensor } from "../tensor.js";
import {
  type AffineCache,
  affineBackward,
  affineForward,
  type DropoutCache,
  dropoutBackward,
  dropoutForward,
  type ReluCache,
  reluBackward,
  reluForward,
  softmaxLoss,
} from "./layers.js";
import {
  type BatchnormParam,
  batchnormBackwardAlt,
  batchnormForward,
  layernormBackward,
  layernormForward,
  type NormCache,
} from "./norm.js";
import type { ClassicModel } from "./solver.js";

/** Options of FullyConnectedNet. */
export interface FullyConnectedOptions extends GeneratorOption {
  /** Default 3 * 32 * 32. */
  inputDim?: number;
  /** Default 10. */
  classes?: number;
  /** Default none. */
  normalization?: "batchnorm" | "layernorm" | null;
  /** Probability to keep a hidden element; 1 for no dropout. Default 1. */
  dropoutKeepRatio?: number;
  /** Default 0. */
  reg?: number;
  /** Standard deviation of the first weights. Default 1e-2. */
  weightScale?: number;
  /** Default float32. */
  dtype?: DType;
}

interface LayerCache {
  affine: AffineCache;
  norm: NormCache | null;
  relu: ReluCache;
  dropout: DropoutCache;
}

/** A network of any number of hidden layers. Parameters: W1, b1, gamma1, beta1, W2, ... */
export class FullyConnectedNet implements ClassicModel {
  /** W1 [d, h1], b1 [h1], gamma1, beta1 (with a normalisation), W2, ...; a solver replaces them. */
  readonly params: Record<string, Tensor> = {};
  /** Strength of the regulariser reg / 2 sum(W^2); may be changed between steps. */
  reg: number;
  /** Affine layers: one more than hidden ones. */
  readonly layers: number;
  readonly #normalization: "batchnorm" | "layernorm" | null;
  readonly #keep: number;
  readonly #options: GeneratorOption;
  readonly #bnParams: BatchnormParam[] = [];

  /**
   * Weights start normally distributed, biases at 0.
   *
   * @param hiddenDims widths of the hidden layers; none at all is a linear classifier
   */
  constructor(
    hiddenDims: readonly number[],
    {
      inputDim = 3 * 32 * 32,
      classes = 10,
      normalization = null,
      dropoutKeepRatio = 1,
      reg = 0,
      weightScale = 1e-2,
      dtype = "float32",
      ...options
    }: FullyConnectedOptions = {},
  ) {
    const known = normalization === null || normalization === "batchnorm" || normalization === "layernorm";
    expect(known, "FullyConnectedNet", 'normalization "batchnorm", "layernorm" or null', JSON.stringify(normalization));
    this.reg = reg;
    this.layers = hiddenDims.length + 1;
    this.#normalization = normalization;
    this.#keep = dropoutKeepRatio;
    this.#options = options;
    const dims = [inputDim, ...hiddenDims, classes];
    unscoped(() => {
      for (let l = 1; l <= this.layers; l++) {
        const [rows, cols] = [dims[l - 1]!, dims[l]!];
        this.params[`W${l}`] = keep(normal([rows, cols], { std: weightScale, dtype, ...options }));
        this.params[`b${l}`] = keep(zeros([cols], { dtype }));
        if (normalization === null || l === this.layers) continue;
        this.params[`gamma${l}`] = keep(ones([cols], { dtype }));
        this.params[`beta${l}`] = keep(zeros([cols], { dtype }));
        this.#bnParams.push({ mode: "train" });
      }
    });
  }

  #normalise(x: Tensor, l: number, mode: "train" | "test"): [Tensor, NormCache | null] {
    if (this.#normalization === null) return [x, null];
    const [gamma, beta] = [this.params[`gamma${l}`]!, this.params[`beta${l}`]!];
    if (this.#normalization === "layernorm") return layernormForward(x, gamma, beta);
    const param = this.#bnParams[l - 1]!;
    param.mode = mode;
    return batchnormForward(x, gamma, beta, param);
  }

  #forward(x: Tensor, mode: "train" | "test"): { scores: Tensor; caches: LayerCache[]; last: AffineCache } {
    const caches: LayerCache[] = [];
    let out = x;
    for (let l = 1; l < this.layers; l++) {
      const [a, affine] = affineForward(out, this.params[`W${l}`]!, this.params[`b${l}`]!);
      const [normed, norm] = this.#normalise(a, l, mode);
      const [positive, relu] = reluForward(normed);
      const [dropped, dropout] = dropoutForward(positive, {
        p: this.#keep,
        mode: this.#keep === 1 ? "test" : mode,
        ...this.#options,
      });
      caches.push({ affine, norm, relu, dropout });
      out = dropped;
    }
    const [scores, last] = affineForward(out, this.params[`W${this.layers}`]!, this.params[`b${this.layers}`]!);
    return { scores, caches, last };
  }

  /** [n, classes] in test mode: running statistics, no dropout. */
  scores(x: Tensor): Tensor {
    return this.#forward(x, "test").scores;
  }

  /** The class with the highest score: [n] int32. */
  predict(x: Tensor): Tensor {
    return argmax(this.scores(x), 1);
  }

  /** Loss and gradients of a batch, in training mode. */
  loss(
    x: Tensor,
    y: Tensor,
  ): {
    /** A tensor of one element. */
    loss: Tensor;
    /** One for each parameter, by name. */
    grads: Record<string, Tensor>;
  } {
    const { scores, caches, last } = this.#forward(x, "train");
    const [dataLoss, dscores] = softmaxLoss(scores, y);
    const grads: Record<string, Tensor> = {};
    let loss = dataLoss;
    const penalise = (l: number, dw: Tensor): Tensor => {
      if (this.reg === 0) return dw;
      const w = this.params[`W${l}`]!;
      loss = add(loss, mul(sum(mul(w, w)), 0.5 * this.reg));
      return add(dw, mul(w, this.reg));
    };
    let [dout, dw, db] = affineBackward(dscores, last);
    [grads[`W${this.layers}`], grads[`b${this.layers}`]] = [penalise(this.layers, dw), db];
    for (let l = this.layers - 1; l >= 1; l--) {
      const cache = caches[l - 1]!;
      dout = reluBackward(dropoutBackward(dout, cache.dropout), cache.relu);
      if (cache.norm) {
        const backward = this.#normalization === "layernorm" ? layernormBackward : batchnormBackwardAlt;
        [dout, grads[`gamma${l}`]!, grads[`beta${l}`]!] = backward(dout, cache.norm);
      }
      [dout, dw, db] = affineBackward(dout, cache.affine);
      [grads[`W${l}`], grads[`b${l}`]] = [penalise(l, dw), db];
    }
    return { loss, grads };
  }
}
