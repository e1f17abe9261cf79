/**
 * The types of the native ops: one line for each line of native/ops.def, unary.def and binary.def, in its order. Operands
 * are tensors, null where ops.def says Maybe; `s` are the fields of a size of native/sizes.h, spread.
 */
import type { Handled } from "./native.js";

type T = Handled;
type Maybe = Handled | null;
type Tensors = readonly Handled[];
/** The fields of a size struct, or rank, extents and strides. */
type Size = number[];

type Unary =
  | "relu"
  | "sign"
  | "floor"
  | "ceil"
  | "trunc"
  | "round"
  | "abs"
  | "square"
  | "reciprocal"
  | "sqrt"
  | "rsqrt"
  | "exp"
  | "expm1"
  | "log"
  | "log1p"
  | "sin"
  | "cos"
  | "tanh"
  | "sigmoid"
  | "erf"
  | "silu"
  | "softplus"
  | "gelu"
  | "geluTanh"
  | "neg"
  | "tan"
  | "asin"
  | "acos"
  | "atan"
  | "sinh"
  | "cosh"
  | "asinh"
  | "acosh"
  | "atanh"
  | "exp2"
  | "log2"
  | "log10"
  | "erfc"
  | "erfinv"
  | "lgamma"
  | "digamma"
  | "logit"
  | "frac"
  | "selu"
  | "mish"
  | "hardsigmoid"
  | "hardswish"
  | "logSigmoid"
  | "softsign"
  | "tanhshrink";
type Unary1 =
  | "powScalar"
  | "leakyRelu"
  | "elu"
  | "addScalar"
  | "mulScalar"
  | "polygamma"
  | "celu"
  | "hardshrink"
  | "softshrink";
type Unary2 = "clamp" | "affine" | "hardtanh" | "threshold";
type Binary =
  | "add"
  | "sub"
  | "mul"
  | "div"
  | "maximum"
  | "minimum"
  | "pow"
  | "atan2"
  | "equal"
  | "notEqual"
  | "less"
  | "lessEqual"
  | "greater"
  | "greaterEqual"
  | "logicalAnd"
  | "logicalOr"
  | "logicalXor"
  | "hypot"
  | "copysign"
  | "xlogy"
  | "logaddexp"
  | "prelu"
  | "fmod"
  | "remainder"
  | "floorDivide"
  | "bitwiseAnd"
  | "bitwiseOr"
  | "bitwiseXor"
  | "leftShift"
  | "rightShift";
type Reduction = "sum" | "sumSquares" | "prod" | "amax" | "amin" | "argmax" | "argmin" | "any" | "all";

export type UnaryName = Unary;
export type Unary1Name = Unary1;
export type Unary2Name = Unary2;
export type BinaryName = Binary;
export type ReductionName = Reduction;

type Elementwise = { [K in Unary]: (y: T, x: T, n: number) => void } & {
  [K in `${Unary}Grad`]: (dx: T, dy: T, saved: T, n: number) => void;
} & { [K in Unary1]: (y: T, x: T, alpha: number, n: number) => void } & {
  [K in `${Unary1}Grad`]: (dx: T, dy: T, saved: T, alpha: number, n: number) => void;
} & { [K in Unary2]: (y: T, x: T, alpha: number, beta: number, n: number) => void } & {
  [K in `${Unary2}Grad`]: (dx: T, dy: T, saved: T, alpha: number, beta: number, n: number) => void;
} & { [K in Binary]: (y: T, a: T, b: T, ...s: Size) => void } & {
  [K in Reduction]: (y: T, x: T, outer: number, reduce: number, inner: number) => void;
};

export interface Kernels extends Elementwise {
  logicalNot(y: T, x: T, n: number): void;
  where(y: T, c: T, a: T, b: T, ...s: Size): void;
  addInto(y: T, x: T, alpha: number, n: number): void;
  fuse(y: T, x: Tensors, program: T, n: number): void;
  // ---- Moving, casting, filling
  copyStrided(y: T, x: T, offset: number, ...s: Size): void;
  writeStrided(y: T, x: T, offset: number, ...s: Size): void;
  fill(y: T, value: number, n: number): void;
  arange(y: T, start: number, step: number, n: number): void;
  cast(y: T, x: T, n: number): void;
  // ---- Indexing, scans, sorting
  gather(y: T, x: T, index: T, ...s: Size): void;
  scatter(x: T, y: T, index: T, ...s: Size): void;
  scatterAdd(x: T, y: T, index: T, ...s: Size): void;
  nonzero(y: T, x: T, found: number, ...s: Size): void;
  cumsum(y: T, x: T, reverse: number, ...s: Size): void;
  cumprod(y: T, x: T, reverse: number, ...s: Size): void;
  linearScan(y: T, a: T, b: T, reverse: number, ...s: Size): void;
  cummax(y: T, x: T, ...s: Size): void;
  cummin(y: T, x: T, ...s: Size): void;
  topk(y: T, x: T, k: number, largest: number, ...s: Size): void;
  searchsorted(y: T, sorted: T, x: T, right: number, each: number, rows: number, n: number, m: number): void;
  mode(y: T, x: T, ...s: Size): void;
  // ---- Random
  uniform(y: T, low: number, high: number, seed: number, draw: number, n: number): void;
  normal(y: T, mean: number, std: number, seed: number, draw: number, n: number): void;
  bernoulli(y: T, p: number, seed: number, draw: number, n: number): void;
  randint(y: T, low: number, high: number, seed: number, draw: number, n: number): void;
  randperm(y: T, seed: number, draw: number, n: number): void;
  multinomial(y: T, p: T, replacement: number, seed: number, draw: number, rows: number, cols: number, n: number): void;
  dropout(y: T, x: T, p: number, seed: number, draw: number, n: number): void;
  // ---- Matrix multiplication and convolution
  gemm(y: T, a: T, b: T, c: Maybe, ...s: Size): void;
  // ---- Linear algebra
  cholesky(l: T, a: T, ...s: Size): void;
  lu(lu: T, pivots: T, order: T, a: T, ...s: Size): void;
  solve(y: T, a: T, rhs: T, transposed: number, ...s: Size): void;
  solveTriangular(y: T, a: T, rhs: T, upper: number, transposed: number, unit: number, ...s: Size): void;
  qr(q: T, r: T, a: T, columns: number, ...s: Size): void;
  eigh(w: T, v: T, a: T, ...s: Size): void;
  svd(u: T, sigma: T, vt: T, a: T, ...s: Size): void;
  matrixExp(y: T, a: T, ...s: Size): void;
  sqrtm(y: T, a: T, ...s: Size): void;
  cdist(y: T, a: T, b: T, p: number, ...s: Size): void;
  conv2d(y: T, x: T, w: T, b: Maybe, ...s: Size): void;
  conv2dGradX(dx: T, dy: T, w: T, ...s: Size): void;
  conv2dGradW(dw: T, dy: T, x: T, ...s: Size): void;
  unfold(y: T, x: T, ...s: Size): void;
  fold(x: T, y: T, ...s: Size): void;
  // ---- Pooling, normalisation, softmax, embedding
  softmax(y: T, x: T, ...s: Size): void;
  softmaxGrad(dx: T, dy: T, y: T, ...s: Size): void;
  logSoftmax(y: T, x: T, ...s: Size): void;
  logSoftmaxGrad(dx: T, dy: T, y: T, ...s: Size): void;
  batchNorm(
    y: T,
    mean: T,
    variance: T,
    x: T,
    r: Maybe,
    w: Maybe,
    b: Maybe,
    eps: number,
    relu: number,
    ...s: Size
  ): void;
  batchNormInfer(
    y: T,
    x: T,
    r: Maybe,
    mean: T,
    variance: T,
    w: Maybe,
    b: Maybe,
    eps: number,
    relu: number,
    ...s: Size
  ): void;
  batchNormGrad(
    dx: Maybe,
    dr: Maybe,
    dw: Maybe,
    db: Maybe,
    dy: T,
    x: T,
    y: Maybe,
    mean: T,
    variance: T,
    w: Maybe,
    b: Maybe,
    eps: number,
    training: number,
    relu: number,
    ...s: Size
  ): void;
  batchNormUpdate(
    runningMean: T,
    runningVariance: T,
    mean: T,
    variance: T,
    momentum: number,
    count: number,
    c: number,
  ): void;
  layerNorm(y: T, mean: T, rstd: T, x: T, w: Maybe, b: Maybe, eps: number, rows: number, cols: number): void;
  layerNormGrad(
    dx: Maybe,
    dw: Maybe,
    db: Maybe,
    dy: T,
    x: T,
    mean: T,
    rstd: T,
    w: Maybe,
    rows: number,
    cols: number,
  ): void;
  maxPool2d(y: T, index: T, x: T, ...s: Size): void;
  adaptiveMaxPool2d(y: T, index: T, x: T, ...s: Size): void;
  maxPool2dGrad(dx: T, dy: T, index: T, ...s: Size): void;
  avgPool2d(y: T, x: T, countIncludePad: number, ...s: Size): void;
  avgPool2dGrad(dx: T, dy: T, countIncludePad: number, ...s: Size): void;
  adaptiveAvgPool2d(y: T, x: T, ...s: Size): void;
  adaptiveAvgPool2dGrad(dx: T, dy: T, ...s: Size): void;
  maxUnpool2d(y: T, x: T, index: T, ...s: Size): void;
  maxUnpool2dGrad(dx: T, dy: T, index: T, ...s: Size): void;
  interpolate(y: T, x: T, startH: T, wH: T, startW: T, wW: T, ...s: Size): void;
  interpolateGrad(dx: T, dy: T, startH: T, wH: T, startW: T, wW: T, ...s: Size): void;
  gridSample(y: T, x: T, grid: T, ...s: Size): void;
  gridSampleGradX(dx: T, dy: T, grid: T, ...s: Size): void;
  gridSampleGradGrid(dgrid: T, dy: T, x: T, grid: T, ...s: Size): void;
  groupNorm(y: T, mean: T, rstd: T, x: T, w: Maybe, b: Maybe, eps: number, groups: number, ...s: Size): void;
  groupNormGrad(
    dx: Maybe,
    dw: Maybe,
    db: Maybe,
    dy: T,
    x: T,
    mean: T,
    rstd: T,
    w: Maybe,
    groups: number,
    ...s: Size
  ): void;
  rmsNorm(y: T, rstd: T, x: T, w: Maybe, eps: number, rows: number, cols: number): void;
  rmsNormGrad(dx: Maybe, dw: Maybe, dy: T, x: T, rstd: T, w: Maybe, rows: number, cols: number): void;
  embedding(y: T, w: T, ids: T, rows: number, cols: number, n: number): void;
  embeddingGrad(dw: T, dy: T, ids: T, rows: number, cols: number, n: number, paddingIndex: number): void;
  oneHot(y: T, labels: T, cols: number, n: number): void;
  // ---- Attention, recurrent cells, segments
  attention(
    y: T,
    lse: T,
    q: T,
    k: T,
    v: T,
    mask: Maybe,
    scale: number,
    p: number,
    seed: number,
    draw: number,
    ...s: Size
  ): void;
  attentionGrad(
    dq: T,
    dk: T,
    dv: T,
    dy: T,
    y: T,
    lse: T,
    q: T,
    k: T,
    v: T,
    mask: Maybe,
    scale: number,
    p: number,
    seed: number,
    draw: number,
    ...s: Size
  ): void;
  lstmCell(h: T, c: T, gates: T, x: T, c0: T, n: number, size: number): void;
  lstmCellGrad(dx: T, dc0: T, dh: Maybe, dc: Maybe, gates: T, c: T, c0: T, n: number, size: number): void;
  gruCell(h: T, gates: T, x: T, u: T, h0: T, n: number, size: number): void;
  gruCellGrad(dx: T, du: T, dh0: T, dh: T, gates: T, u: T, h0: T, n: number, size: number): void;
  sumSegments(y: T, x: T, offsets: T, n: number, segments: number, cols: number): void;
  spreadSegments(x: T, y: T, offsets: T, n: number, segments: number, cols: number): void;
  maxSegments(y: T, index: T, x: T, offsets: T, n: number, segments: number, cols: number): void;
  // ---- Losses
  crossEntropy(loss: T, logSumExp: T, x: T, labels: T, ignoreIndex: number, rows: number, cols: number): void;
  crossEntropyGrad(dx: T, x: T, logSumExp: T, dy: T, labels: T, ignoreIndex: number, rows: number, cols: number): void;
  hinge(loss: T, x: T, labels: T, delta: number, ignoreIndex: number, rows: number, cols: number): void;
  hingeGrad(dx: T, x: T, dy: T, labels: T, delta: number, ignoreIndex: number, rows: number, cols: number): void;
  bceWithLogits(loss: T, x: T, t: T, n: number): void;
  bceWithLogitsGrad(dx: Maybe, dt: Maybe, dy: T, x: T, t: T, n: number): void;
  nll(loss: T, weight: T, x: T, w: Maybe, labels: T, ignoreIndex: number, rows: number, cols: number): void;
  nllGrad(dx: T, dy: T, w: Maybe, labels: T, ignoreIndex: number, rows: number, cols: number): void;
  multiLabelMargin(loss: T, slope: T, x: T, labels: T, rows: number, cols: number): void;
  ctc(
    loss: T,
    logp: T,
    labels: T,
    inputLengths: T,
    labelLengths: T,
    blank: number,
    zeroInfinity: number,
    ...s: Size
  ): void;
  ctcGrad(
    dx: T,
    dy: T,
    logp: T,
    labels: T,
    inputLengths: T,
    labelLengths: T,
    blank: number,
    zeroInfinity: number,
    ...s: Size
  ): void;
  // ---- Optimizers
  sgd(
    p: Tensors,
    g: Tensors,
    v: Tensors,
    step: T,
    lr: number,
    momentum: number,
    dampening: number,
    weightDecay: number,
    nesterov: number,
    maximize: number,
  ): void;
  adam(
    p: Tensors,
    g: Tensors,
    m: Tensors,
    v: Tensors,
    top: Tensors,
    step: T,
    lr: number,
    beta1: number,
    beta2: number,
    eps: number,
    weightDecay: number,
    decoupled: number,
    maximize: number,
  ): void;
  adamax(p: Tensors, g: Tensors, m: Tensors, norm: Tensors, step: T, ...options: number[]): void;
  nadam(p: Tensors, g: Tensors, m: Tensors, v: Tensors, step: T, muProduct: T, ...options: number[]): void;
  radam(p: Tensors, g: Tensors, m: Tensors, v: Tensors, step: T, ...options: number[]): void;
  lamb(p: Tensors, g: Tensors, m: Tensors, v: Tensors, step: T, ...options: number[]): void;
  rmsprop(p: Tensors, g: Tensors, square: Tensors, average: Tensors, v: Tensors, step: T, ...options: number[]): void;
  adagrad(p: Tensors, g: Tensors, sum: Tensors, step: T, ...options: number[]): void;
  adadelta(p: Tensors, g: Tensors, square: Tensors, delta: Tensors, step: T, ...options: number[]): void;
  asgd(p: Tensors, g: Tensors, average: Tensors, step: T, eta: T, mu: T, ...options: number[]): void;
  lion(p: Tensors, g: Tensors, m: Tensors, step: T, ...options: number[]): void;
  muon(p: Tensors, u: Tensors, m: Tensors, fresh: Tensors, step: T, lr: number, weightDecay: number): void;
  gradNorm(norm: T, g: Tensors): void;
  clipNorm(g: Tensors, norm: T, maxNorm: number): void;
  clipValue(g: Tensors, limit: number): void;
  ema(average: Tensors, p: Tensors, decay: number): void;
  // ---- Data
  randomCrop(y: T, x: T, samples: T, seed: number, epoch: number, ...s: Size): void;
  randomFlip(y: T, x: T, samples: T, p: number, seed: number, epoch: number, ...s: Size): void;
  warp(y: T, x: T, matrix: T, fill: T, bilinear: number, ...s: Size): void;
  resample(y: T, x: T, box: T, filter: number, ...s: Size): void;
  recolour(y: T, x: T, program: T, ...s: Size): void;
  blur(y: T, x: T, weights: T, ...s: Size): void;
  patch(y: T, x: T, partner: T, box: T, fill: T, ...s: Size): void;
  eraseNoise(y: T, x: T, samples: T, box: T, seed: number, epoch: number, ...s: Size): void;
  normalise(y: T, x: T, mean: T, std: T, ...s: Size): void;
  // ---- Measuring
  peakFma(y: T, rounds: number, chunks: number): void;
}
