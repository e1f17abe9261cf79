/**
 * Initial values, in place, as torch.nn.init has them. Fans of a weight [out, in, ...window]: fanIn = in times the
 * window, fanOut = out times the window.
 */

import { expect, show } from "../errors.js";
import { noGrad } from "../graph.js";
import { fill_ } from "../ops/inplace.js";
import type { GeneratorOption } from "../ops/random.js";
import * as random from "../ops/random.js";
import { sizeOfShape, type Tensor } from "../tensor.js";

/** What follows a layer, for gainOf() and the kaiming initialisers. */
export type Nonlinearity = "linear" | "conv2d" | "sigmoid" | "tanh" | "relu" | "leakyRelu" | "selu";
/** Options of kaimingUniform_ and kaimingNormal_. The defaults are PyTorch's; behind ReLU say nonlinearity: "relu". */
export interface KaimingOptions extends GeneratorOption {
  /** Negative slope, for leakyRelu. Default 0. */
  a?: number;
  /** fanIn keeps the variance of activations, fanOut that of gradients. Default fanIn. */
  mode?: "fanIn" | "fanOut";
  /** Default leakyRelu. */
  nonlinearity?: Nonlinearity;
}
/** Options of xavierUniform_ and xavierNormal_. */
export interface XavierOptions extends GeneratorOption {
  /** Default 1. */
  gain?: number;
}

/** Inputs to one output, and outputs that one input reaches. */
export function fans(w: Tensor): {
  /** Extent 1 times the window. */
  fanIn: number;
  /** Extent 0 times the window. */
  fanOut: number;
} {
  expect(w.ndim >= 2, "init", "a weight with at least 2 dimensions [out,in,...]", show(w.shape));
  const window = sizeOfShape(w.shape.slice(2));
  return { fanIn: w.shape[1] * window, fanOut: w.shape[0] * window };
}

/** What keeps the variance through a nonlinearity. */
export function gainOf(nonlinearity: Nonlinearity, a = 0.01): number {
  switch (nonlinearity) {
    case "linear":
    case "conv2d":
    case "sigmoid":
      return 1;
    case "tanh":
      return 5 / 3;
    case "relu":
      return Math.SQRT2;
    case "leakyRelu":
      return Math.sqrt(2 / (1 + a * a));
    case "selu":
      return 3 / 4;
    default:
      throw new TypeError(
        `gainOf: expected a nonlinearity such as "relu", got ${JSON.stringify(nonlinearity satisfies never)}`,
      );
  }
}

const inPlace = <X extends Tensor>(w: X, fill: (w: X) => void): X => {
  noGrad(() => fill(w));
  return w;
};

/** Sets every element to `value`. Like all of init, not recorded for gradients; returns w. */
export const constant_ = <X extends Tensor>(w: X, value: number): X => inPlace(w, () => fill_(w, value));
/** Sets every element to 0. Returns w. */
export const zeros_ = <X extends Tensor>(w: X): X => constant_(w, 0);
/** Sets every element to 1. Returns w. */
export const ones_ = <X extends Tensor>(w: X): X => constant_(w, 1);
/** Default [0, 1). */
export const uniform_ = <X extends Tensor>(w: X, low = 0, high = 1, options: GeneratorOption = {}): X =>
  inPlace(w, () => random.uniform_(w, low, high, options));
/** Default mean 0, standard deviation 1. */
export const normal_ = <X extends Tensor>(w: X, mean = 0, std = 1, options: GeneratorOption = {}): X =>
  inPlace(w, () => random.normal_(w, mean, std, options));

function kaimingStd(w: Tensor, { a = 0, mode = "fanIn", nonlinearity = "leakyRelu" }: KaimingOptions): number {
  return gainOf(nonlinearity, a) / Math.sqrt(fans(w)[mode]);
}
function xavierStd(w: Tensor, { gain = 1 }: XavierOptions): number {
  const { fanIn, fanOut } = fans(w);
  return gain * Math.sqrt(2 / (fanIn + fanOut));
}
// A uniform distribution over [-b, b) has the standard deviation b / sqrt 3.
const bound = (std: number): number => Math.sqrt(3) * std;

/** He et al. 2015, "Delving deep into rectifiers": uniform with standard deviation gain / sqrt(fan). */
export const kaimingUniform_ = <X extends Tensor>(w: X, options: KaimingOptions = {}): X =>
  uniform_(w, -bound(kaimingStd(w, options)), bound(kaimingStd(w, options)), options);
/** He et al. 2015: normal with standard deviation gain / sqrt(fan). */
export const kaimingNormal_ = <X extends Tensor>(w: X, options: KaimingOptions = {}): X =>
  normal_(w, 0, kaimingStd(w, options), options);
/** Glorot & Bengio 2010: uniform with variance gain^2 2 / (fanIn + fanOut). */
export const xavierUniform_ = <X extends Tensor>(w: X, options: XavierOptions = {}): X =>
  uniform_(w, -bound(xavierStd(w, options)), bound(xavierStd(w, options)), options);
/** Glorot & Bengio 2010: normal with variance gain^2 2 / (fanIn + fanOut). */
export const xavierNormal_ = <X extends Tensor>(w: X, options: XavierOptions = {}): X =>
  normal_(w, 0, xavierStd(w, options), options);

export * from "./initMatrix.js";
/** PyTorch's name. */
export { gainOf as calculateGain };
