/**
 * Ops that write into their first argument and return it: for what is updated between steps (parameters, running
 * statistics, optimizer state). They are not recorded, so what is part of a graph may be changed inside noGrad() only;
 * backward() notices a saved value that was changed (the version counter of its storage).
 */
import { ShapeError, sameShape, show } from "../errors.js";
import { isNumber, mapNumber } from "../live.js";
import { k } from "../native.js";
import { empty, Tensor } from "../tensor.js";
import { div, mul, sub } from "./arithmetic.js";
import type { Operand } from "./binary.js";
import { clone, to } from "./cast.js";
import { broadcastStrides, expectComputes, expectInPlace, isFloat, stridedSize, written } from "./common.js";
import { full } from "./create.js";
import { clamp } from "./elementwise.js";
import { lerp, maskedFill } from "./select.js";
import { expand, type SliceSpec, walkOf } from "./shape.js";

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

function checkBroadcasts(op: string, { shape }: Pick<Tensor, "shape">, value: Tensor): void {
  const lead = shape.length - value.ndim;
  const fits = lead >= 0 && value.shape.every((e, d) => e === 1 || e === shape[lead + d]);
  if (!fits)
    throw new ShapeError(`${op}: expected an operand that broadcasts to ${show(shape)}, got ${show(value.shape)}`);
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
  if (!isNumber(value)) throw new TypeError(`fill_: expected a number, got ${typeof value}`);
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
  const by = isNumber(other) ? mapNumber(other, (v) => v * alpha) : alpha;
  expectArithmetic("add_", x, by);
  if (isNumber(other)) k.addScalar(x, x, by, x.size);
  else k.addInto(x, fitted("add_", x, other), by, x.size);
  written(x);
  return x;
}

/** x *= other */
export function mul_<X extends Tensor>(x: X, other: Tensor | number): X {
  expectInPlace("mul_", x, other);
  expectArithmetic("mul_", x, isNumber(other) ? other : 1);
  if (isNumber(other)) k.mulScalar(x, x, other, x.size);
  else k.mul(x, x, fitted("mul_", x, other), 1, x.size, 1, 1);
  written(x);
  return x;
}

/** x -= alpha other */
export function sub_<X extends Tensor>(x: X, other: Operand, { alpha = 1 }: { alpha?: number } = {}): X {
  expectInPlace("sub_", x, other);
  return add_(x, other, { alpha: -alpha });
}

/** x /= other; for floats. */
export function div_<X extends Tensor>(x: X, other: Operand): X {
  expectInPlace("div_", x, other);
  expectFloats("div_", x);
  const by = typeof other === "number" ? full([], other, { dtype: x.dtype }) : to(other, x.dtype);
  checkBroadcasts("div_", x, by);
  const strides = [x, by].map((t) => broadcastStrides(t.shape, x.shape));
  k.div(x, x, by, ...stridedSize("div_", x.shape, ...strides));
  written(x);
  return x;
}

/** x += weight (end - x), a moving average, as lerp() does; weight a number or a tensor. For floats. */
export function lerp_<X extends Tensor>(x: X, end: Tensor, weight: Operand): X {
  for (const operand of [end, weight]) expectInPlace("lerp_", x, operand);
  expectFloats("lerp_", x);
  checkBroadcasts("lerp_", x, end);
  if (typeof weight === "number" && Math.abs(weight) < 0.5) return add_(x, sub(end, x), { alpha: weight });
  return copy_(x, lerp(x, end, weight));
}

/** x += value a b */
export function addcmul_<X extends Tensor>(x: X, a: Tensor, b: Tensor, { value = 1 }: { value?: number } = {}): X {
  for (const operand of [a, b]) expectInPlace("addcmul_", x, operand);
  return add_(x, mul(a, b), { alpha: value });
}

/** x += value a / b; for floats. */
export function addcdiv_<X extends Tensor>(x: X, a: Tensor, b: Tensor, { value = 1 }: { value?: number } = {}): X {
  for (const operand of [a, b]) expectInPlace("addcdiv_", x, operand);
  expectFloats("addcdiv_", x);
  return add_(x, div(a, b), { alpha: value });
}

/** x kept between low and high, as clamp() does. */
export function clamp_<X extends Tensor>(x: X, low: Operand | null = null, high: Operand | null = null): X {
  for (const bound of [low, high]) expectInPlace("clamp_", x, bound ?? 0);
  expectComputes("clamp_", x.dtype);
  if (!isFloat(x.dtype) || low instanceof Tensor || high instanceof Tensor) return copy_(x, clamp(x, low, high));
  k.clamp(x, x, low ?? Number.NEGATIVE_INFINITY, high ?? Number.POSITIVE_INFINITY, x.size);
  written(x);
  return x;
}

/** x = value, a number or a tensor of shape [], where `mask` is true; the mask broadcasts to x. */
export function maskedFill_<X extends Tensor>(x: X, mask: Tensor, value: Operand): X {
  for (const operand of [mask, value]) expectInPlace("maskedFill_", x, operand);
  return copy_(x, maskedFill(x, mask, value));
}

/**
 * Index assignment: the part of x that x.slice(...ranges) would copy becomes `value`, a number or a tensor that broadcasts
 * to that part's shape, converted to x's dtype.
 *
 * @example
 * const x = zeros([3, 4]);
 * x.assign_([0], 1);                         // the first row
 * x.assign_([null, [1, 3]], tensor([5, 6])); // columns 1 and 2 of every row
 * x.assign_([[null, null, 2], -1], 9);       // the last column of every second row
 */
export function assign_<X extends Tensor>(x: X, ranges: readonly SliceSpec[], value: Operand): X {
  expectInPlace("assign_", x, value);
  if (!Array.isArray(ranges)) throw new TypeError(`assign_: expected an array of ranges, got ${typeof ranges}`);
  const walk = walkOf("assign_", x, ranges);
  const shape = walk.kept.map((d) => walk.shape[d]!);
  const given = typeof value === "number" ? full([], value, { dtype: x.dtype }) : to(value, x.dtype);
  checkBroadcasts("assign_", { shape }, given);
  const source = sameShape(given.shape, shape) ? given : expand(given, shape);
  if (source.size === 0) return x;
  // What lies in x's own memory is read before it is written.
  const part = source.storage === x.storage ? clone(source) : source;
  k.writeStrided(x, part, walk.offset, ...stridedSize("assign_", walk.shape, [...walk.strides]));
  written(x);
  return x;
}

function expectArithmetic(op: string, x: Tensor, factor: number): void {
  expectComputes(op, x.dtype);
  if (x.dtype === "bool") throw new TypeError(`${op}: expected numbers, got bool; convert it first with .to("int32")`);
  if (!isFloat(x.dtype) && !Number.isInteger(factor))
    throw new TypeError(`${op}: a float result does not fit into ${x.dtype} (${factor})`);
}

function expectFloats(op: string, x: Tensor): void {
  expectComputes(op, x.dtype);
  if (!isFloat(x.dtype))
    throw new TypeError(`${op}: a float result does not fit into ${x.dtype}; use the op without "_"`);
}
