/**
 * Ops as methods: relu(x) is x.relu(). One list of names; the types are the functions' own.
 */
import * as ops from "./ops/index.js";
import { Tensor } from "./tensor.js";

/** Every op whose first argument is a tensor (test/architecture.test.ts finds a missing one). */
// biome-ignore format: one family a line
export const METHODS = [
  "add", "sub", "mul", "div", "pow", "maximum", "minimum", "atan2", "where",
  "equal", "notEqual", "less", "lessEqual", "greater", "greaterEqual", "logicalAnd", "logicalOr", "logicalXor", "logicalNot",
  "to", "clone", "identity", "fullLike", "zerosLike", "onesLike",
  "neg", "abs", "square", "reciprocal", "sqrt", "rsqrt", "exp", "expm1", "log", "log1p", "sin", "cos", "tanh", "sigmoid", "erf", "relu",
  "silu", "softplus", "gelu", "sign", "floor", "ceil", "trunc", "round", "powScalar", "leakyRelu", "elu", "clamp",
  "sum", "mean", "variance", "prod", "amax", "amin", "argmax", "argmin", "any", "all", "sumTo",
  "reshape", "flatten", "squeeze", "unsqueeze", "permute", "transpose", "t", "expand", "slice", "pad",
  "matmul", "linear",
  "conv2d", "maxPool2d", "maxPool2dWithIndices", "avgPool2d", "adaptiveAvgPool2d", "adaptiveMaxPool2d", "adaptiveMaxPool2dWithIndices",
  "conv1d", "conv3d", "convTranspose1d", "convTranspose2d", "convTranspose3d", "unfold", "fold",
  "maxPool1d", "maxPool1dWithIndices", "avgPool1d", "lpPool1d", "adaptiveAvgPool1d", "adaptiveMaxPool1d", "adaptiveMaxPool1dWithIndices",
  "lpPool2d", "maxUnpool1d", "maxUnpool2d",
  "interpolate", "gridSample", "affineGrid", "pixelShuffle", "pixelUnshuffle", "channelShuffle",
  "dropout1d", "dropout2d", "dropout3d", "alphaDropout",
  "groupNorm", "instanceNorm", "rmsNorm", "localResponseNorm",
  "batchNorm", "layerNorm", "softmax", "logSoftmax", "embedding", "dropout",
  "randLike", "randnLike", "copy_", "fill_", "zero_", "add_", "mul_", "uniform_", "normal_",
  "crossEntropy", "hinge", "mse", "bceWithLogits",
] as const;

type MethodOf<F> = F extends (x: Tensor, ...rest: infer R) => infer Y ? (...rest: R) => Y : never;
export type Methods = { [K in (typeof METHODS)[number]]: MethodOf<(typeof ops)[K]> };

declare module "./tensor.js" {
  interface Tensor extends Methods {}
}

for (const name of METHODS) {
  const op = ops[name] as (...args: unknown[]) => unknown;
  Object.defineProperty(Tensor.prototype, name, {
    value: function (this: Tensor, ...rest: unknown[]) {
      return op(this, ...rest);
    },
    configurable: true,
    writable: true,
  });
}
