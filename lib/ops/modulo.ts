/**
 * Whole quotients, remainders and bits. Integers stay integers.
 */
import { record } from "../graph.js";
import type { BinaryName } from "../kernels.js";
import { k } from "../native.js";
import { empty, Tensor } from "../tensor.js";
import { div, logicalNot, mul, sub } from "./arithmetic.js";
import { binary, type Operand, operands } from "./binary.js";
import { to } from "./cast.js";
import { isFloat } from "./common.js";
import { zeros } from "./create.js";
import { trunc } from "./elementwise.js";
import { sumTo } from "./reduce.js";
import { asFloat, type Unary } from "./unary.js";

/** Operands as numbers: two bools count, in int32. */
const counting = (op: string, a: Operand, b: Operand): [Tensor, Tensor] =>
  operands(op, a, b).map((x) => (x.dtype === "bool" ? to(x, "int32") : x)) as [Tensor, Tensor];

/** The remainder of a / b with the sign of a (C's fmod). Integers: a where b is 0. d/da is 1, d/db -trunc(a / b). */
export function fmod(a: Operand, b: Operand): Tensor {
  const [p, q] = counting("fmod", a, b);
  return record(binary("fmod", p, q, p.dtype), "fmod", { a: p, b: q }, { a: p, b: q }, (dy, { a, b }) => ({
    a: () => sumTo(dy, a.shape),
    b: () => sumTo(mul(mul(dy, trunc(div(a, b))), -1), b.shape),
  }));
}

/** The remainder of a / b with the sign of b (Python's %). Integers: a where b is 0. d/da is 1, d/db -floor(a / b). */
export function remainder(a: Operand, b: Operand): Tensor {
  const [p, q] = counting("remainder", a, b);
  return record(binary("remainder", p, q, p.dtype), "remainder", { a: p, b: q }, { a: p, b: q }, (dy, { a, b }) => ({
    a: () => sumTo(dy, a.shape),
    b: () => sumTo(mul(mul(dy, floorDivide(a, b)), -1), b.shape),
  }));
}

/** floor(a / b), by the exact remainder (Python's //). Integers: 0 where b is 0. The gradient is 0. */
export function floorDivide(a: Operand, b: Operand): Tensor {
  const [p, q] = counting("floorDivide", a, b);
  const [shapeA, shapeB] = [p.shape, q.shape];
  return record(binary("floorDivide", p, q, p.dtype), "floorDivide", { a: p, b: q }, {}, ({ dtype }) => ({
    a: () => zeros(shapeA, { dtype }),
    b: () => zeros(shapeB, { dtype }),
  }));
}

/** x - trunc(x), the part behind the point, with x's sign. */
export const frac: Unary = (given) => {
  const x = asFloat("frac", given);
  const y = empty(x.shape, x.dtype);
  k.frac(y, x, x.size);
  return record(y, "frac", { x }, {}, (dy) => ({ x: () => dy }));
};

// ---- Bits

function integers(op: string, a: Operand, b: Operand): [Tensor, Tensor] {
  const pair = operands(op, a, b);
  if (isFloat(pair[0].dtype))
    throw new TypeError(`${op}: expected integers or bools, got ${pair[0].dtype}; convert with .to("int32")`);
  return pair;
}
const bitwise =
  (name: BinaryName) =>
  (a: Operand, b: Operand): Tensor => {
    const [p, q] = integers(name, a, b);
    return binary(name, p, q, p.dtype);
  };
/** The bits set in a and in b; of bools, a and b. */
export const bitwiseAnd: (a: Operand, b: Operand) => Tensor = bitwise("bitwiseAnd");
/** The bits set in a or in b; of bools, a or b. */
export const bitwiseOr: (a: Operand, b: Operand) => Tensor = bitwise("bitwiseOr");
/** The bits set in one of a and b; of bools, either but not both. */
export const bitwiseXor: (a: Operand, b: Operand) => Tensor = bitwise("bitwiseXor");
/** The other bits: -1 - x of signed integers, 255 - x of uint8, not x of bools. */
export function bitwiseNot(x: Tensor): Tensor {
  if (!(x instanceof Tensor)) throw new TypeError(`bitwiseNot: expected a tensor, got ${typeof x}`);
  if (x.dtype === "bool") return logicalNot(x);
  if (isFloat(x.dtype))
    throw new TypeError(`bitwiseNot: expected integers or bools, got ${x.dtype}; convert with .to("int32")`);
  return sub(x.dtype === "uint8" ? 255 : -1, x);
}
const shift =
  (name: "leftShift" | "rightShift") =>
  (a: Operand, b: Operand): Tensor => {
    const [p, q] = counting(name, ...integers(name, a, b));
    return binary(name, p, q, p.dtype);
  };
/** a 2^b in the bits of its dtype; 0 where b is negative or not below their number. */
export const leftShift: (a: Operand, b: Operand) => Tensor = shift("leftShift");
/** floor(a / 2^b); 0, or -1 for a negative a, where b is negative or not below the number of bits. */
export const rightShift: (a: Operand, b: Operand) => Tensor = shift("rightShift");
