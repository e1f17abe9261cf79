/**
 * How functions of two tensors are made: promotion, broadcasting, one kernel (native/binary.def). Gradients are written
 * with ops, where each function stands.
 */
import { sameShape } from "../errors.js";
import type { BinaryName } from "../kernels.js";
import { isNumber } from "../live.js";
import { type DType, k } from "../native.js";
import { empty, Tensor } from "../tensor.js";
import { to } from "./cast.js";
import { broadcastShapes, broadcastStrides, expectComputes, isFloat, promote, stridedSize } from "./common.js";

/** A tensor, or a number: it takes the dtype of the tensor beside it, as in PyTorch. */
export type Operand = Tensor | number;

/** y of `dtype` from a and b of one dtype, broadcast. */
export function binary(name: BinaryName, a: Tensor, b: Tensor, dtype: DType): Tensor {
  if (sameShape(a.shape, b.shape)) {
    const y = empty(a.shape, dtype);
    k[name](y, a, b, 1, a.size, 1, 1);
    return y;
  }
  const shape = broadcastShapes(name, a.shape, b.shape);
  const y = empty(shape, dtype);
  k[name](y, a, b, ...stridedSize(name, shape, broadcastStrides(a.shape, shape), broadcastStrides(b.shape, shape)));
  return y;
}

/** The dtype that a number takes beside a tensor: it does not widen a float, and stays an integer if it can. */
export function dtypeBeside(t: Tensor, x: number): DType {
  if (isFloat(t.dtype)) return t.dtype;
  if (typeof x !== "number")
    throw new TypeError(
      `expected a float tensor beside a number of live(), got ${t.dtype}, whose result's dtype depends on the number; ` +
        'convert it with .to("float32")',
    );
  return !Number.isInteger(x) ? "float32" : t.dtype === "bool" ? "int32" : t.dtype;
}

/** Both operands as tensors of their promoted dtype. */
export function operands(op: string, a: Operand, b: Operand): [Tensor, Tensor] {
  if (isNumber(a) && isNumber(b)) throw new TypeError(`${op}: expected at least one tensor, got two numbers`);
  for (const x of [a, b])
    if (!isNumber(x) && !(x instanceof Tensor))
      throw new TypeError(`${op}: expected tensors or numbers, got ${typeof x}`);
  const dtype = isNumber(a) ? dtypeBeside(b as Tensor, a) : isNumber(b) ? dtypeBeside(a, b) : promote(a.dtype, b.dtype);
  expectComputes(op, dtype);
  const convert = (x: Operand): Tensor => (isNumber(x) ? scalar(x, dtype) : x.dtype === dtype ? x : to(x, dtype));
  return [convert(a), convert(b)];
}

/** The same, integers as float32. */
export const floatOperands = (op: string, a: Operand, b: Operand): [Tensor, Tensor] =>
  operands(op, a, b).map((x) => (isFloat(x.dtype) ? x : to(x, "float32"))) as [Tensor, Tensor];

/** A 0-d tensor. */
export function scalar(value: number, dtype: DType): Tensor {
  const y = empty([], dtype);
  k.fill(y, value, 1);
  return y;
}
