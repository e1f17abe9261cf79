/**
 * Dropout of whole channels, and the one that keeps mean and variance behind SELU.
 */
import { expect, show } from "../errors.js";
import type { Tensor } from "../tensor.js";
import { add, mul, sub } from "./arithmetic.js";
import { expectFloat } from "./common.js";
import { ones } from "./create.js";
import { type DropoutOptions, dropout } from "./random.js";

/** x times one kept-or-dropped factor for each element of its dimensions before the last `inner`. */
function dropChannels(
  op: string,
  shapes: string,
  inner: number,
  x: Tensor,
  p: number,
  options: DropoutOptions,
): Tensor {
  expectFloat(op, x);
  expect(typeof p === "number" && p >= 0 && p <= 1, op, "a probability between 0 and 1", `${p}`);
  expect(x.ndim === inner + 1 || x.ndim === inner + 2, op, `x of shape ${shapes}`, show(x.shape));
  if (!(options.training ?? true) || p === 0) return x;
  const lead = x.shape.slice(0, x.ndim - inner);
  return mul(x, dropout(ones([...lead, ...new Array<number>(inner).fill(1)], { dtype: x.dtype }), p, options));
}

/** Each channel of each example 0 with probability p, else x / (1 - p) (Tompson et al. 2015). x: [n, c, l] or [c, l]. Default p 0.5. */
export const dropout1d = (x: Tensor, p = 0.5, options: DropoutOptions = {}): Tensor =>
  dropChannels("dropout1d", "[n,c,l] or [c,l]", 1, x, p, options);
/** Each channel of each example 0 with probability p, else x / (1 - p) (Tompson et al. 2015). x: [n, c, h, w] or [c, h, w]. Default p 0.5. */
export const dropout2d = (x: Tensor, p = 0.5, options: DropoutOptions = {}): Tensor =>
  dropChannels("dropout2d", "[n,c,h,w] or [c,h,w]", 2, x, p, options);
/** Each channel of each example 0 with probability p, else x / (1 - p). x: [n, c, d, h, w] or [c, d, h, w]. Default p 0.5. */
export const dropout3d = (x: Tensor, p = 0.5, options: DropoutOptions = {}): Tensor =>
  dropChannels("dropout3d", "[n,c,d,h,w] or [c,d,h,w]", 3, x, p, options);

/** What selu tends to at minus infinity: -scale alpha. */
const LEAST_SELU = -1.0507009873554805 * 1.6732632423543772;

/**
 * Dropout for networks of SELUs (Klambauer et al. 2017, "Self-normalizing neural networks"): each element with probability
 * p becomes selu's lowest value, and all are then scaled and shifted so that mean 0 and variance 1 stay. Default p 0.5.
 */
export function alphaDropout(x: Tensor, p = 0.5, options: DropoutOptions = {}): Tensor {
  const op = "alphaDropout";
  expectFloat(op, x);
  expect(typeof p === "number" && p >= 0 && p <= 1, op, "a probability between 0 and 1", `${p}`);
  if (!(options.training ?? true) || p === 0) return x;
  if (p === 1) return mul(x, 0);
  const scale = 1 / Math.sqrt((1 - p) * (1 + p * LEAST_SELU ** 2));
  const kept = mul(dropout(ones(x.shape, { dtype: x.dtype }), p, options), 1 - p); // 1 or 0
  // scale (x kept + least (1 - kept)) - scale least p
  return add(mul(mul(x, kept), scale), mul(sub(1 - p, kept), scale * LEAST_SELU));
}
