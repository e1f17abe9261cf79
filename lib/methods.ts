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
  "tan", "asin", "acos", "atan", "sinh", "cosh", "asinh", "acosh", "atanh", "deg2rad", "rad2deg", "hypot", "copysign",
  "exp2", "log2", "log10", "erfc", "erfinv", "lgamma", "digamma", "polygamma", "logit", "frac", "xlogy", "logaddexp",
  "hardtanh", "relu6", "hardsigmoid", "hardswish", "selu", "celu", "mish", "logSigmoid", "softsign", "tanhshrink", "hardshrink",
  "softshrink", "threshold", "prelu", "rrelu", "glu", "softmin",
  "fmod", "remainder", "floorDivide", "bitwiseAnd", "bitwiseOr", "bitwiseXor", "bitwiseNot", "leftShift", "rightShift",
  "isnan", "isinf", "isfinite", "maskedFill", "nanToNum", "heaviside", "rsub", "lerp", "addcmul", "addcdiv",
  "oneHot", "emptyLike", "randintLike", "bernoulli", "multinomial",
  "sub_", "div_", "lerp_", "addcmul_", "addcdiv_", "clamp_", "maskedFill_", "assign_",
  "sum", "mean", "variance", "prod", "amax", "amin", "argmax", "argmin", "any", "all", "sumTo",
  "var", "std", "max", "min", "aminmax", "norm", "countNonzero", "logsumexp", "nansum", "nanmean", "isclose", "allclose", "arrayEqual",
  "median", "nanmedian", "mode", "quantile", "nanquantile", "cumsum", "cumprod", "cummax", "cummin", "logcumsumexp", "diff",
  "sort", "argsort", "topk", "kthvalue", "searchsorted", "bucketize", "isin", "unique", "uniqueConsecutive", "bincount", "histc", "histogram",
  "nonzero", "maskedSelect", "maskedScatter",
  "gather", "scatter", "scatterAdd", "indexSelect", "indexAdd", "take", "takeAlong",
  "reshape", "flatten", "squeeze", "unsqueeze", "permute", "transpose", "t", "expand", "slice", "pad",
  "narrow", "select", "unflatten", "movedim", "swapaxes", "broadcastTo", "atLeast1d", "atLeast2d", "atLeast3d", "flip", "fliplr", "flipud", "roll",
  "rot90", "repeat", "tile", "repeatInterleave", "unfoldAxis", "split", "chunk", "unbind",
  "tril", "triu", "diagonal", "diagEmbed", "diag", "trace", "outer", "kron",
  "matmul", "linear",
  "mm", "bmm", "mv", "dot", "vdot", "addmm", "baddbmm", "addmv", "tensordot", "cross", "matrixPower",
  "cdist", "pairwiseDistance", "cosineSimilarity", "normalize",
  "cholesky", "det", "inverse", "lu", "matrixExp", "pinv", "qr", "slogdet", "svd",
  "conv2d", "maxPool2d", "maxPool2dWithIndices", "avgPool2d", "adaptiveAvgPool2d", "adaptiveMaxPool2d", "adaptiveMaxPool2dWithIndices",
  "conv1d", "conv3d", "convTranspose1d", "convTranspose2d", "convTranspose3d", "unfold", "fold",
  "maxPool1d", "maxPool1dWithIndices", "avgPool1d", "lpPool1d", "adaptiveAvgPool1d", "adaptiveMaxPool1d", "adaptiveMaxPool1dWithIndices",
  "lpPool2d", "maxUnpool1d", "maxUnpool2d",
  "interpolate", "gridSample", "affineGrid", "pixelShuffle", "pixelUnshuffle", "channelShuffle",
  "dropout1d", "dropout2d", "dropout3d", "alphaDropout",
  "groupNorm", "instanceNorm", "rmsNorm", "localResponseNorm",
  "batchNorm", "layerNorm", "softmax", "logSoftmax", "embedding", "dropout",
  "randLike", "randnLike", "copy_", "fill_", "zero_", "add_", "mul_", "uniform_", "normal_",
  "scaledDotProductAttention", "attentionWithWeights", "bilinear", "lstmCell", "gruCell", "embeddingBag", "stochasticDepth",
  "crossEntropy", "hinge", "mse", "bceWithLogits",
  "nll", "multiMargin", "focal", "bce", "softMargin", "multiLabelSoftMargin", "multiLabelMargin", "sigmoidFocal", "dice", "l1", "smoothL1",
  "huber", "poissonNll", "gaussianNll", "kl", "cosineEmbedding", "marginRanking", "hingeEmbedding", "tripletMargin", "infoNCE", "ctc",
] as const;

/** An op without its first argument. Overloads need a case of their own: inference sees only the last. */
type MethodOf<F> = F extends ops.Selection
  ? ops.SelectionMethod
  : F extends (x: Tensor, ...rest: infer R) => infer Y
    ? (...rest: R) => Y
    : never;
/** Over the names of `T` itself, so that each method shows its op's documentation (a list of names has none). */
type MethodsOf<T, Name extends keyof T> = { [K in Name]: MethodOf<T[K]> };
/** What tensors have of lib/ops. */
export type Methods = MethodsOf<typeof ops, (typeof METHODS)[number]>;

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
