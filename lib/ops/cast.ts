/**
 * Converting between dtypes, and copying.
 */

import { type Device, dtypeOrDevice } from "../devices.js";
import { algebra, record } from "../graph.js";
import { type DType, k } from "../native.js";
import { alias, empty, isDType, type Tensor } from "../tensor.js";
import { isFloat } from "./common.js";

/**
 * x as a dtype, or on a device; x itself where it is that already. Floats to integers truncate and saturate, NaN gives 0; to bool:
 * whether it is not 0. The gradient is dy as x's dtype, where both are floats.
 */
export function to(x: Tensor, target: DType | Device): Tensor {
  const dtype = dtypeOrDevice("to", target);
  if (dtype === null) return x;
  if (!isDType(dtype))
    throw new TypeError(`to: expected a dtype such as "float32" or "int32", got ${JSON.stringify(dtype)}`);
  if (x.dtype === dtype) return x;
  const y = empty(x.shape, dtype);
  k.cast(y, x, x.size);
  if (!isFloat(dtype)) return y;
  const before = x.dtype;
  return record(y, "to", { x }, {}, (dy) => ({ x: () => to(dy, before) }));
}

/** A copy in memory of its own. */
export function clone(x: Tensor): Tensor {
  const y = empty(x.shape, x.dtype);
  k.copyStrided(y, x, 0, 1, x.size, 1);
  y.storage.range = x.storage.range;
  return record(y, "clone", { x }, {}, (dy) => ({ x: () => dy }));
}

/** The same values in the same memory, as a tensor of its own in the graph. */
export function identity(x: Tensor): Tensor {
  return record(alias(x), "identity", { x }, {}, (dy) => ({ x: () => dy }));
}

algebra.copy = clone;
