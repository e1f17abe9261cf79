/**
 * A tensor taken apart along its first dimension in one record: the gradient of slices would be as many tensors of its whole
 * size.
 */
import { recordAll } from "../autograd.js";
import { zeros } from "../ops/create.js";
import { slice, stack } from "../ops/shape.js";
import type { Tensor } from "../tensor.js";

/** x[0], x[1], ... */
export function steps(x: Tensor): Tensor[] {
  const whole = x.detach();
  const parts = Array.from({ length: x.shape[0]! }, (_, i) => slice(whole, i));
  return recordAll(parts, "steps", { x }, {}, together(x.shape.slice(1), x.dtype));
}

const together = (shape: readonly number[], dtype: Tensor["dtype"]) => (dys: (Tensor | null)[]) => ({
  x: () => stack(dys.map((dy) => dy ?? zeros(shape, { dtype }))),
});
