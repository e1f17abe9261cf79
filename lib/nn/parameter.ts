/**
 * Parameter: a tensor that a module learns. Assigning one to a property of a module registers it (PyTorch's rule); a plain
 * tensor assigned to a module is only a value.
 */
import { unscoped } from "../memory.js";
import type { DType } from "../native.js";
import { to } from "../ops/cast.js";
import { attachTo, become, Tensor } from "../tensor.js";

/**
 * A tensor that a module learns: assigned to a property of a module it is found by parameters(), which a plain tensor
 * is not.
 *
 * @example
 * const scale = new nn.Parameter(ones([3])); // scale.requiresGrad is true
 */
export class Parameter extends Tensor {
  /** In the types only: a plain tensor is no Parameter, since a module would not learn it. */
  declare private readonly learned: true;

  /** A leaf on t's memory. No scope() frees it. */
  constructor(t: Tensor, { requiresGrad = true }: { requiresGrad?: boolean } = {}) {
    super(t.shape, t.dtype, t.storage);
    unscoped(() => attachTo(this, t));
    if (requiresGrad) this.requiresGrad_();
  }
}

/** A parameter of fresh memory that `make` fills; what `make` used is freed. */
export function parameter(make: () => Tensor): Parameter {
  return unscoped(() => {
    const t = make();
    const p = new Parameter(t);
    t.free();
    return p;
  });
}

/** Converts a parameter or buffer, and its gradient, where they stand: optimizers and modules hold the object itself. */
export function convert(t: Tensor, dtype: DType): void {
  if (t.dtype === dtype) return;
  unscoped(() => {
    const values = to(t.detach(), dtype);
    become(t, values);
    values.free();
    if (!t.node) return;
    (t.node.outputs[0] as { dtype: DType }).dtype = dtype;
    if (t.grad) t.grad = to(t.grad.detach(), dtype);
  });
}
