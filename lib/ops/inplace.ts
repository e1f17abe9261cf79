/**
 * Ops that write into their first argument and return it: for what is updated between steps (parameters, running
 * statistics, optimizer state). They are not recorded, so what is part of a graph may be changed inside noGrad() only;
 * backward() notices a saved value that was changed (the version counter of its storage).
 */
import { ShapeError, sameShape, show } from "../errors.js";
import { k } from "../native.js";
import { empty, type Tensor } from "../tensor.js";
import { to } from "./cast.js";
import { broadcastStrides, expectComputes, expectInPlace, isFloat, stridedSize, written } from "./common.js";
import { expand } from "./shape.js";

/** `value` as x's dtype and shape. */
function fitted(op: string, x: Tensor, value: Tensor): Tensor {
  if (isFloat(value.dtype) && !isFloat(x.dtype)) {
    throw new TypeError(
      `${op}: a ${value.dtype} result does not fit into ${x.dtype}; convert the operand with .to("${x.dtype}")`,
    );
  }
  checkBroadcasts(op, x, value);
  const cast = to(value, x.dtype);
  return sameShape(cast.shape, x.shape) ? cast : expand(cast, x.shape);
}

function checkBroadcasts(op: string, x: Tensor, value: Tensor): void {
  const lead = x.ndim - value.ndim;
  const fits = lead >= 0 && value.shape.every((e, d) => e === 1 || e === x.shape[lead + d]);
  if (!fits)
    throw new ShapeError(`${op}: expected an operand that broadcasts to ${show(x.shape)}, got ${show(value.shape)}`);
}

/** x = source, broadcast and converted to x's dtype. */
export function copy_<X extends Tensor>(x: X, source: Tensor): X {
  expectInPlace("copy_", x, source);
  checkBroadcasts("copy_", x, source);
  const from = to(source, x.dtype);
  k.copyStrided(x, from, 0, ...stridedSize("copy_", x.shape, broadcastStrides(from.shape, x.shape)));
  written(x);
  return x;
}

/** Every element of x = value. */
export function fill_<X extends Tensor>(x: X, value: number): X {
  expectInPlace("fill_", x);
  if (typeof value !== "number") throw new TypeError(`fill_: expected a number, got ${typeof value}`);
  if (x.dtype === "bool" || !computes(x)) {
    const one = empty([], "float32");
    k.fill(one, value, 1);
    return copy_(x, one);
  }
  k.fill(x, value, x.size);
  written(x);
  return x;
}

const computes = (x: Tensor): boolean => x.dtype !== "bfloat16" && x.dtype !== "float16";

/** Every element of x = 0. */
export const zero_ = <X extends Tensor>(x: X): X => fill_(x, 0);

/** x += alpha other */
export function add_<X extends Tensor>(x: X, other: Tensor | number, { alpha = 1 }: { alpha?: number } = {}): X {
  expectInPlace("add_", x, other);
  expectArithmetic("add_", x, typeof other === "number" ? other * alpha : alpha);
  if (typeof other === "number") k.addScalar(x, x, other * alpha, x.size);
  else k.addInto(x, fitted("add_", x, other), alpha, x.size);
  written(x);
  return x;
}

/** x *= other */
export function mul_<X extends Tensor>(x: X, other: Tensor | number): X {
  expectInPlace("mul_", x, other);
  expectArithmetic("mul_", x, typeof other === "number" ? other : 1);
  if (typeof other === "number") k.mulScalar(x, x, other, x.size);
  else k.mul(x, x, fitted("mul_", x, other), 1, x.size, 1, 1);
  written(x);
  return x;
}

function expectArithmetic(op: string, x: Tensor, factor: number): void {
  expectComputes(op, x.dtype);
  if (x.dtype === "bool") throw new TypeError(`${op}: expected numbers, got bool; convert it first with .to("int32")`);
  if (!isFloat(x.dtype) && !Number.isInteger(factor))
    throw new TypeError(`${op}: a float result does not fit into ${x.dtype} (${factor})`);
}
