/**
 * Functions of two tensors (or a tensor and a number), broadcast as in PyTorch. The formulas are native/binary.def's.
 */
import { algebra, record } from "../graph.js";
import type { BinaryName } from "../kernels.js";
import { isNumber, mapNumber } from "../live.js";
import { k } from "../native.js";
import { empty, Tensor } from "../tensor.js";
import { binary, dtypeBeside, floatOperands, type Operand, operands, scalar } from "./binary.js";
import { to } from "./cast.js";
import { broadcastShapes, broadcastStrides, expectComputes, stridedSize } from "./common.js";
import { zerosLike } from "./create.js";
import { log } from "./elementwise.js";
import { sumTo } from "./reduce.js";

export type { Operand } from "./binary.js";

/** The operands of + - *: two bools count, in int32. */
const counting = (op: string, a: Operand, b: Operand): [Tensor, Tensor] =>
  operands(op, a, b).map((x) => (x.dtype === "bool" ? to(x, "int32") : x)) as [Tensor, Tensor];

/** alpha x + beta in one pass, for a number beside a tensor. */
function affine(name: "addScalar" | "mulScalar", x: Tensor, alpha: number): Tensor {
  const dtype = dtypeBeside(x, alpha);
  expectComputes(name, dtype);
  const a = x.dtype === dtype ? x : to(x, dtype);
  const y = empty(a.shape, dtype);
  k[name](y, a, alpha, a.size);
  return record(y, name, { x: a }, {}, (dy) => ({ x: () => (name === "addScalar" ? dy : mul(dy, alpha)) }));
}

/** a + b */
export function add(a: Operand, b: Operand): Tensor {
  if (isNumber(b) && a instanceof Tensor) return affine("addScalar", a, b);
  if (isNumber(a) && b instanceof Tensor) return affine("addScalar", b, a);
  const [p, q] = counting("add", a, b);
  const [shapeA, shapeB] = [p.shape, q.shape];
  return record(binary("add", p, q, p.dtype), "add", { a: p, b: q }, {}, (dy) => ({
    a: () => sumTo(dy, shapeA),
    b: () => sumTo(dy, shapeB),
  }));
}

/** a - b */
export function sub(a: Operand, b: Operand): Tensor {
  if (isNumber(b) && a instanceof Tensor)
    return affine(
      "addScalar",
      a,
      mapNumber(b, (v) => -v),
    );
  const [p, q] = counting("sub", a, b);
  const [shapeA, shapeB] = [p.shape, q.shape];
  return record(binary("sub", p, q, p.dtype), "sub", { a: p, b: q }, {}, (dy) => ({
    a: () => sumTo(dy, shapeA),
    b: () => sumTo(mul(dy, -1), shapeB),
  }));
}

/** a * b */
export function mul(a: Operand, b: Operand): Tensor {
  if (isNumber(b) && a instanceof Tensor) return affine("mulScalar", a, b);
  if (isNumber(a) && b instanceof Tensor) return affine("mulScalar", b, a);
  const [p, q] = counting("mul", a, b);
  return record(binary("mul", p, q, p.dtype), "mul", { a: p, b: q }, { a: p, b: q }, (dy, { a, b }) => ({
    a: () => sumTo(mul(dy, b), a.shape),
    b: () => sumTo(mul(dy, a), b.shape),
  }));
}

/** a / b. Integers give float32, as in PyTorch. */
export function div(a: Operand, b: Operand): Tensor {
  const [p, q] = floatOperands("div", a, b);
  return record(binary("div", p, q, p.dtype), "div", { a: p, b: q }, { a: p, b: q }, (dy, { a, b }) => ({
    a: () => sumTo(div(dy, b), a.shape),
    b: () => sumTo(mul(div(mul(dy, a), mul(b, b)), -1), b.shape), // d(a / b) = -a / b^2 db
  }));
}

/** a ** b */
export function pow(a: Operand, b: Operand): Tensor {
  const [p, q] = floatOperands("pow", a, b);
  return record(binary("pow", p, q, p.dtype), "pow", { a: p, b: q }, { a: p, b: q }, (dy, { a, b }) => ({
    // b a^(b-1), and 0 where b is 0 (a^-1 may be infinite)
    a: () => sumTo(where(equal(b, 0), zerosLike(dy), mul(dy, mul(b, pow(a, sub(b, 1))))), a.shape),
    // a^b log a, and 0 where a is 0 and b is not negative
    b: () =>
      sumTo(
        where(logicalAnd(equal(a, 0), greaterEqual(b, 0)), zerosLike(dy), mul(dy, mul(pow(a, b), log(a)))),
        b.shape,
      ),
  }));
}

/** The larger of a and b; NaN where either is. The gradient of a tie is halved, as in PyTorch. */
export const maximum = (a: Operand, b: Operand): Tensor => extreme("maximum", a, b);
/** The smaller of a and b; NaN where either is. The gradient of a tie is halved, as in PyTorch. */
export const minimum = (a: Operand, b: Operand): Tensor => extreme("minimum", a, b);

function extreme(name: "maximum" | "minimum", a: Operand, b: Operand): Tensor {
  const [p, q] = operands(name, a, b);
  return record(binary(name, p, q, p.dtype), name, { a: p, b: q }, { a: p, b: q }, (dy, { a, b }) => {
    const share = (mine: Tensor, other: Tensor): Tensor => {
      const wins = name === "maximum" ? greater(mine, other) : less(mine, other);
      const half = mul(dy, 0.5);
      return sumTo(where(wins, dy, where(equal(mine, other), half, zerosLike(dy))), mine.shape);
    };
    return { a: () => share(a, b), b: () => share(b, a) };
  });
}

/** The angle of the point (b, a), in (-pi, pi]. */
export function atan2(a: Operand, b: Operand): Tensor {
  const [p, q] = floatOperands("atan2", a, b);
  return record(binary("atan2", p, q, p.dtype), "atan2", { a: p, b: q }, { a: p, b: q }, (dy, { a, b }) => {
    const norm = () => add(mul(a, a), mul(b, b));
    return {
      a: () => sumTo(div(mul(dy, b), norm()), a.shape), // b / (a^2 + b^2)
      b: () => sumTo(mul(div(mul(dy, a), norm()), -1), b.shape), // -a / (a^2 + b^2)
    };
  });
}

// ---- Comparisons and logic: bool, no gradient

const compare =
  (name: BinaryName) =>
  (a: Operand, b: Operand): Tensor => {
    const [p, q] = operands(name, a, b);
    return binary(name, p, q, "bool");
  };
/** a == b */
export const equal: (a: Operand, b: Operand) => Tensor = compare("equal");
/** a != b */
export const notEqual: (a: Operand, b: Operand) => Tensor = compare("notEqual");
/** a < b */
export const less: (a: Operand, b: Operand) => Tensor = compare("less");
/** a <= b */
export const lessEqual: (a: Operand, b: Operand) => Tensor = compare("lessEqual");
/** a > b */
export const greater: (a: Operand, b: Operand) => Tensor = compare("greater");
/** a >= b */
export const greaterEqual: (a: Operand, b: Operand) => Tensor = compare("greaterEqual");

const logical =
  (name: BinaryName) =>
  (a: Tensor, b: Tensor): Tensor =>
    binary(name, to(a, "bool"), to(b, "bool"), "bool");
/** Whether both are not 0. */
export const logicalAnd: (a: Tensor, b: Tensor) => Tensor = logical("logicalAnd");
/** Whether one of both is not 0. */
export const logicalOr: (a: Tensor, b: Tensor) => Tensor = logical("logicalOr");
/** Whether exactly one of both is not 0. */
export const logicalXor: (a: Tensor, b: Tensor) => Tensor = logical("logicalXor");
/** Whether x is 0. */
export function logicalNot(x: Tensor): Tensor {
  const mask = to(x, "bool");
  const y = empty(x.shape, "bool");
  k.logicalNot(y, mask, x.size);
  return y;
}

/** a where `condition` is true, b elsewhere; all three broadcast. Two numbers give float32. */
export function where(condition: Tensor, a: Operand, b: Operand): Tensor {
  const numbers = isNumber(a) && isNumber(b);
  const [p, q] = numbers ? [scalar(a, "float32"), scalar(b, "float32")] : operands("where", a, b);
  const c = to(condition, "bool");
  const shape = broadcastShapes("where", broadcastShapes("where", c.shape, p.shape), q.shape);
  const y = empty(shape, p.dtype);
  const strides = [c, p, q].map((t) => broadcastStrides(t.shape, shape));
  k.where(y, c, p, q, ...stridedSize("where", shape, ...strides));
  const [shapeA, shapeB] = [p.shape, q.shape];
  return record(y, "where", { a: p, b: q }, { c }, (dy, { c }) => ({
    a: () => sumTo(where(c, dy, 0), shapeA),
    b: () => sumTo(where(c, 0, dy), shapeB),
  }));
}

algebra.add = add;
