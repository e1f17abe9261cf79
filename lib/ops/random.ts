/**
 * Random tensors, and dropout. Every call takes one draw of a generator (lib/random.ts); element i depends on that draw
 * and i alone, so dropout's mask is made again for the gradient and never stored.
 */

import { expect, show } from "../errors.js";
import { record } from "../graph.js";
import { type IntegerDType, k } from "../native.js";
import { type Draw, defaultGenerator, type Generator } from "../random.js";
import { checkShape, empty, Tensor } from "../tensor.js";
import { less, mul } from "./arithmetic.js";
import { to } from "./cast.js";
import { expectFloat, expectInPlace, isFloat, written } from "./common.js";
import { type CreateOptions, ones } from "./create.js";

/** The option of everything that draws. */
export interface GeneratorOption {
  /** What the numbers are drawn from. Default: defaultGenerator, the one that manualSeed() sets. */
  generator?: Generator;
}
/** Options of rand, randn and the other functions that make random tensors. */
export interface RandomOptions extends CreateOptions, GeneratorOption {}

type Fill = (y: Tensor, draw: Draw) => void;

function floats(
  op: string,
  shape: readonly number[],
  { dtype = "float32", requiresGrad = false, generator = defaultGenerator }: RandomOptions,
  fill: Fill,
): Tensor {
  checkShape(op, shape);
  if (!isFloat(dtype))
    throw new TypeError(`${op}: expected a float dtype, got ${JSON.stringify(dtype)}; for integers use randint()`);
  const computes = dtype === "float64" ? "float64" : "float32";
  const y = empty([...shape], computes);
  fill(y, generator.next());
  const cast = to(y, dtype);
  return requiresGrad ? cast.requiresGrad_() : cast;
}

const fillUniform = (op: string, low: number, high: number): Fill => {
  expect(
    Number.isFinite(low) && Number.isFinite(high) && low <= high,
    op,
    "finite bounds low <= high",
    `${low} and ${high}`,
  );
  return (y, { seed, draw }) => k.uniform(y, low, high, seed, draw, y.size);
};
const fillNormal = (op: string, mean: number, std: number): Fill => {
  expect(
    Number.isFinite(mean) && std >= 0,
    op,
    "a finite mean and a standard deviation from 0 up",
    `${mean} and ${std}`,
  );
  return (y, { seed, draw }) => k.normal(y, mean, std, seed, draw, y.size);
};

/** Numbers spread evenly over [low, high). Default [0, 1). */
export const uniform = (
  shape: readonly number[],
  { low = 0, high = 1, ...options }: RandomOptions & { low?: number; high?: number } = {},
): Tensor => floats("uniform", shape, options, fillUniform("uniform", low, high));

/** Normally distributed numbers. Default mean 0, standard deviation 1. */
export const normal = (
  shape: readonly number[],
  { mean = 0, std = 1, ...options }: RandomOptions & { mean?: number; std?: number } = {},
): Tensor => floats("normal", shape, options, fillNormal("normal", mean, std));

/** Numbers spread evenly over [0, 1). */
export const rand = (shape: readonly number[], options: RandomOptions = {}): Tensor =>
  floats("rand", shape, options, fillUniform("rand", 0, 1));
/** Numbers of the standard normal distribution. */
export const randn = (shape: readonly number[], options: RandomOptions = {}): Tensor =>
  floats("randn", shape, options, fillNormal("randn", 0, 1));
/** rand() of x's shape and dtype. */
export const randLike = (x: Tensor, options: RandomOptions = {}): Tensor =>
  rand(x.shape, { dtype: x.dtype, ...options });
/** randn() of x's shape and dtype. */
export const randnLike = (x: Tensor, options: RandomOptions = {}): Tensor =>
  randn(x.shape, { dtype: x.dtype, ...options });

/** Options of randint and randintLike. */
export interface RandintOptions extends GeneratorOption {
  /** Dtype of the integers. Default int32; of randintLike x's, where that is an integer one. */
  dtype?: IntegerDType;
}

/**
 * Integers from low to high - 1, each as likely. Default int32.
 *
 * @example
 * const labels = randint(0, 10, [32]);
 */
export function randint(
  low: number,
  high: number,
  shape: readonly number[],
  { dtype = "int32", generator = defaultGenerator }: RandintOptions = {},
): Tensor {
  checkShape("randint", shape);
  const bounds: Record<IntegerDType, [number, number]> = {
    int32: [-(2 ** 31), 2 ** 31],
    int64: [Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
    uint8: [0, 256],
    int8: [-128, 128],
  };
  const allowed = bounds[dtype];
  if (!allowed) throw new TypeError(`randint: expected int32, int64, uint8 or int8, got ${JSON.stringify(dtype)}`);
  const ok =
    Number.isSafeInteger(low) && Number.isSafeInteger(high) && low < high && low >= allowed[0] && high <= allowed[1];
  expect(ok, "randint", `integers ${allowed[0]} <= low < high <= ${allowed[1]} for ${dtype}`, `${low} and ${high}`);
  const y = empty([...shape], dtype);
  const { seed, draw } = generator.next();
  k.randint(y, low, high, seed, draw, y.size);
  return y;
}

/** 0 to n - 1 in random order. int32. */
export function randperm(n: number, { generator = defaultGenerator }: GeneratorOption = {}): Tensor {
  expect(Number.isSafeInteger(n) && n >= 0 && n < 2 ** 31, "randperm", "an integer from 0 to 2^31 - 1", `${n}`);
  const y = empty([n], "int32");
  const { seed, draw } = generator.next();
  k.randperm(y, seed, draw, n);
  if (n > 0) y.storage.range = [0, n - 1];
  return y;
}

function checkProbability(op: string, p: number): void {
  expect(typeof p === "number" && p >= 0 && p <= 1, op, "a probability between 0 and 1", `${p}`);
}

/** randint() of x's shape; of x's dtype, where that is an integer one. */
export const randintLike = (x: Tensor, low: number, high: number, options: RandintOptions = {}): Tensor =>
  randint(
    low,
    high,
    x.shape,
    isFloat(x.dtype) || x.dtype === "bool" ? options : { dtype: x.dtype as IntegerDType, ...options },
  );

/**
 * True with probability p, else false: one p for a shape, or a tensor with the probability of each element. bool.
 *
 * @example
 * bernoulli([2, 3], 0.1);
 * bernoulli(tensor([0, 0.5, 1]));
 */
export function bernoulli(shape: readonly number[], p?: number, options?: GeneratorOption): Tensor;
export function bernoulli(p: Tensor, options?: GeneratorOption): Tensor;
export function bernoulli(
  shape: readonly number[] | Tensor,
  p: number | GeneratorOption = 0.5,
  options: GeneratorOption = {},
): Tensor {
  if (shape instanceof Tensor) {
    expectFloat("bernoulli", shape);
    const given = typeof p === "number" ? options : p;
    return less(rand(shape.shape, { dtype: shape.dtype, ...given }), shape);
  }
  if (typeof p !== "number") throw new TypeError(`bernoulli: expected a probability, got ${typeof p}`);
  const { generator = defaultGenerator } = options;
  checkShape("bernoulli", shape);
  checkProbability("bernoulli", p);
  const y = empty([...shape], "bool");
  const { seed, draw } = generator.next();
  k.bernoulli(y, p, seed, draw, y.size);
  return y;
}

/** Options of multinomial. */
export interface MultinomialOptions extends GeneratorOption {
  /** Whether a column may be drawn more than once. Default false. */
  replacement?: boolean;
}
/**
 * `numSamples` columns of each row of weights, drawn with probabilities that go by them: [cols] to [numSamples], [rows, cols]
 * to [rows, numSamples]; int32. Weights are floats from 0 up and need not sum to 1. Without replacement columns come in the
 * order in which they would be drawn one after the other, all at once by exponential races (Efraimidis & Spirakis 2006).
 *
 * A row with a negative, infinite or NaN weight, or with fewer weights above 0 than it needs, fails the result: reading it
 * rejects with the row and the number of its weights above 0.
 *
 * @example
 * multinomial(tensor([0.1, 0.7, 0.2]), 5, { replacement: true });
 */
export function multinomial(
  weights: Tensor,
  numSamples: number,
  { replacement = false, generator = defaultGenerator }: MultinomialOptions = {},
): Tensor {
  expectFloat("multinomial", weights);
  expect(weights.ndim === 1 || weights.ndim === 2, "multinomial", "weights [cols] or [rows,cols]", show(weights.shape));
  const cols = weights.shape.at(-1)!;
  expect(cols >= 1 && cols < 2 ** 31, "multinomial", "from 1 to 2^31 - 1 columns", show(weights.shape));
  expect(
    Number.isSafeInteger(numSamples) && numSamples >= 1 && (replacement || numSamples <= cols),
    "multinomial",
    replacement ? "a number of samples from 1 up" : `from 1 to ${cols} samples (more with { replacement: true })`,
    `${numSamples}`,
  );
  const y = empty([...weights.shape.slice(0, -1), numSamples], "int32");
  const rows = weights.size / cols;
  const { seed, draw } = generator.next();
  k.multinomial(y, weights, Number(replacement), seed, draw, rows, cols, numSamples);
  y.storage.range = [0, cols - 1];
  return y;
}

/** Fills x with numbers spread evenly over [low, high), in place. */
export function uniform_<X extends Tensor>(x: X, low = 0, high = 1, options: GeneratorOption = {}): X {
  return refill("uniform_", x, fillUniform("uniform_", low, high), options);
}

/** Fills x with normally distributed numbers, in place. */
export function normal_<X extends Tensor>(x: X, mean = 0, std = 1, options: GeneratorOption = {}): X {
  return refill("normal_", x, fillNormal("normal_", mean, std), options);
}

function refill<X extends Tensor>(op: string, x: X, fill: Fill, { generator = defaultGenerator }: GeneratorOption): X {
  expectFloat(op, x);
  expectInPlace(op, x);
  fill(x, generator.next());
  written(x);
  return x;
}

/** Options of dropout and its kin. */
export interface DropoutOptions extends GeneratorOption {
  /** Whether to drop at all; false gives x itself. Default true. */
  training?: boolean;
}

/** Each element 0 with probability p, else x / (1 - p) (Srivastava et al. 2014). Default p 0.5. */
export function dropout(
  x: Tensor,
  p = 0.5,
  { training = true, generator = defaultGenerator }: DropoutOptions = {},
): Tensor {
  expectFloat("dropout", x);
  checkProbability("dropout", p);
  return training && p > 0 ? masked(x, p, generator.next()) : x;
}

// The same mask for x, dy, ddx, ...: the op is linear and its own gradient.
function masked(x: Tensor, p: number, { seed, draw }: Draw): Tensor {
  const y = empty(x.shape, x.dtype);
  k.dropout(y, x, p, seed, draw, x.size);
  return record(y, "dropout", { x }, {}, (dy) => ({ x: () => masked(dy, p, { seed, draw }) }));
}

/** Options of stochasticDepth. */
export interface StochasticDepthOptions extends DropoutOptions {
  /** row: each sample on its own; batch: all together. Default row. */
  mode?: "row" | "batch";
}

/**
 * Whole samples dropped (Huang et al. 2016, "Deep networks with stochastic depth"): x[i] is 0 with probability p, else
 * x[i] / (1 - p). For the branch of a residual block.
 *
 * @param x [n, ...]
 */
export function stochasticDepth(
  x: Tensor,
  p: number,
  { training = true, generator = defaultGenerator, mode = "row" }: StochasticDepthOptions = {},
): Tensor {
  expectFloat("stochasticDepth", x);
  checkProbability("stochasticDepth", p);
  expect(x.ndim >= 1, "stochasticDepth", "x with a batch dimension", show(x.shape));
  expect(mode === "row" || mode === "batch", "stochasticDepth", "mode row or batch", JSON.stringify(mode));
  if (!training || p === 0) return x;
  const shape = [mode === "row" ? x.shape[0] : 1, ...x.shape.slice(1).map(() => 1)];
  return mul(x, masked(ones(shape, { dtype: x.dtype }), p, generator.next()));
}
