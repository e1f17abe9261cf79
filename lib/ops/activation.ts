/**
 * Activations beyond those of elementwise.ts. Gradients at kinks are PyTorch's.
 */

import { expect, show } from "../errors.js";
import { record } from "../graph.js";
import { defaultGenerator } from "../random.js";
import type { Tensor } from "../tensor.js";
import { add, div, greater, greaterEqual, less, lessEqual, logicalAnd, mul, sub, where } from "./arithmetic.js";
import { binary, floatOperands } from "./binary.js";
import { normalizeAxis } from "./common.js";
import { abs, exp, sigmoid, softplus, tanh } from "./elementwise.js";
import { type GeneratorOption, uniform } from "./random.js";
import { sumTo } from "./reduce.js";
import { reshape, type SliceSpec, slice } from "./shape.js";
import { softmax } from "./softmax.js";
import { asFloat, type Unary, unary, unary1, unary2 } from "./unary.js";

const within = (x: Tensor, low: number, high: number): Tensor => logicalAnd(greaterEqual(x, low), lessEqual(x, high));
const inside = (x: Tensor, low: number, high: number): Tensor => logicalAnd(greater(x, low), less(x, high));

const hardtanhOf = unary2("hardtanh", (dy, x, low, high) => where(inside(x, low, high), dy, 0));
/** x kept between low and high, -1 and 1 by default; unlike clamp's, the gradient at the borders is 0. */
export function hardtanh(x: Tensor, low = -1, high = 1): Tensor {
  expect(low <= high, "hardtanh", "low <= high", `${low} and ${high}`);
  return hardtanhOf(x, low, high);
}
/** min(max(x, 0), 6) (Howard et al. 2017, MobileNets). */
export const relu6: Unary = (x) => hardtanhOf(x, 0, 6);
/** min(max(x + 3, 0), 6) / 6 */
export const hardsigmoid: Unary = unary("hardsigmoid", "x", (dy, x) => where(inside(x, -3, 3), mul(dy, 1 / 6), 0));
/** x hardsigmoid(x) (Howard et al. 2019, MobileNetV3). */
export const hardswish: Unary = unary("hardswish", "x", (dy, x) =>
  where(less(x, -3), 0, where(lessEqual(x, 3), mul(dy, add(mul(x, 1 / 3), 0.5)), dy)),
);

const SELU_SCALE = 1.0507009873554805;
const SELU_ALPHA = 1.6732632423543772;
/** scale (x where positive, alpha (exp(x) - 1) elsewhere), which keeps mean 0 and variance 1 (Klambauer et al. 2017). */
export const selu: Unary = unary("selu", "x", (dy, x) =>
  mul(dy, where(greater(x, 0), SELU_SCALE, mul(exp(x), SELU_SCALE * SELU_ALPHA))),
);
const celuOf = unary1("celu", (dy, x, alpha) => where(greater(x, 0), dy, mul(dy, exp(mul(x, 1 / alpha)))));
/** x where positive, alpha (exp(x / alpha) - 1) elsewhere (Barron 2017). Default alpha 1; not 0. */
export function celu(x: Tensor, alpha = 1): Tensor {
  expect(alpha !== 0, "celu", "an alpha that is not 0", `${alpha}`);
  return celuOf(x, alpha);
}
/** x tanh(softplus(x)) (Misra 2019). */
export const mish: Unary = unary("mish", "x", (dy, x) => {
  const t = tanh(softplus(x));
  return mul(dy, add(t, mul(mul(x, sigmoid(x)), sub(1, mul(t, t)))));
});
/** log(sigmoid(x)), exact where sigmoid is near 0. */
export const logSigmoid: Unary = unary("logSigmoid", "x", (dy, x) => mul(dy, sigmoid(mul(x, -1))));
/** x / (1 + |x|) */
export const softsign: Unary = unary("softsign", "x", (dy, x) => {
  const d = add(abs(x), 1);
  return div(dy, mul(d, d));
});
/** x - tanh(x) */
export const tanhshrink: Unary = unary("tanhshrink", "x", (dy, x) => {
  const t = tanh(x);
  return mul(dy, mul(t, t));
});
const hardshrinkOf = unary1("hardshrink", (dy, x, lambda) => where(within(x, -lambda, lambda), 0, dy));
/** 0 where |x| <= lambda, x elsewhere. Default lambda 0.5. */
export const hardshrink = (x: Tensor, lambda = 0.5): Tensor => hardshrinkOf(x, lambda);
const softshrinkOf = unary1("softshrink", (dy, x, lambda) => where(within(x, -lambda, lambda), 0, dy));
/** x moved towards 0 by lambda, and 0 where |x| <= lambda. Default lambda 0.5; from 0 up. */
export function softshrink(x: Tensor, lambda = 0.5): Tensor {
  expect(lambda >= 0, "softshrink", "a lambda from 0 up", `${lambda}`);
  return softshrinkOf(x, lambda);
}
const thresholdOf = unary2("threshold", (dy, x, limit) => where(lessEqual(x, limit), 0, dy));
/** x where it is above `limit`, `value` elsewhere. */
export const threshold = (x: Tensor, limit: number, value: number): Tensor => thresholdOf(x, limit, value);

/**
 * x where positive, weight x elsewhere (He et al. 2015). weight: one number for all, or one a channel (dimension 1; the
 * only one of a vector).
 */
export function prelu(x: Tensor, weight: Tensor): Tensor {
  const at = Math.min(1, x.ndim - 1);
  const fits = weight.size === 1 || (weight.ndim === 1 && at >= 0 && weight.size === x.shape[at]);
  expect(fits, "prelu", `a weight of 1 or ${x.shape[at] ?? 1} elements for ${show(x.shape)}`, show(weight.shape));
  const w =
    weight.size === 1
      ? reshape(weight, [])
      : reshape(
          weight,
          x.shape.slice(at).map((e, d) => (d === 0 ? e : 1)),
        );
  const [p, q] = floatOperands("prelu", x, w);
  return record(binary("prelu", p, q, p.dtype), "prelu", { x: p, w: q }, { x: p, w: q }, (dy, { x, w }) => ({
    x: () => where(greater(x, 0), dy, mul(dy, w)),
    w: () => sumTo(where(greater(x, 0), 0, mul(dy, x)), w.shape),
  }));
}

/** Options of rrelu. */
export interface RreluOptions extends GeneratorOption {
  /** Lower bound of the slope. Default 1/8. */
  lower?: number;
  /** Upper bound of the slope. Default 1/3. */
  upper?: number;
  /** Whether slopes are drawn, one an element; else all are (lower + upper) / 2. Default false. */
  training?: boolean;
}
/** x where positive, slope x elsewhere, with slopes drawn evenly from [lower, upper) in training (Xu et al. 2015). */
export function rrelu(
  given: Tensor,
  { lower = 1 / 8, upper = 1 / 3, training = false, generator = defaultGenerator }: RreluOptions = {},
): Tensor {
  expect(lower <= upper, "rrelu", "lower <= upper", `${lower} and ${upper}`);
  const x = asFloat("rrelu", given);
  const slope = training
    ? uniform(x.shape, { low: lower, high: upper, dtype: x.dtype, generator })
    : (lower + upper) / 2;
  return where(greaterEqual(x, 0), x, mul(x, slope));
}

/** a sigmoid(b), a and b the halves of x along an axis of even extent (Dauphin et al. 2016). Default the last. */
export function glu(x: Tensor, axis = -1): Tensor {
  const at = normalizeAxis("glu", axis, x.ndim);
  const extent = x.shape[at] ?? 0;
  expect(x.ndim > 0 && extent % 2 === 0, "glu", `an even extent at axis ${at}`, show(x.shape));
  const part = (start: number): Tensor =>
    slice(x, ...x.shape.slice(0, at).map((): SliceSpec => null), [start, start + extent / 2]);
  return mul(part(0), sigmoid(part(extent / 2)));
}

/** exp(-x) / sum exp(-x) along an axis. Default the last. */
export const softmin = (x: Tensor, axis = -1): Tensor => softmax(mul(x, -1), normalizeAxis("softmin", axis, x.ndim));
