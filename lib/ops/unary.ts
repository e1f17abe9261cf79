/**
 * How functions of one tensor are made. The formulas and their derivatives are native/unary.def's, one kernel each way;
 * the gradient that stands beside a name in the op files is the same in ops, used where a second derivative is wanted.
 * Integers are computed as float32.
 */
import { isGradEnabled, record } from "../graph.js";
import type { Unary1Name, Unary2Name, UnaryName } from "../kernels.js";
import { k } from "../native.js";
import { empty, type Tensor } from "../tensor.js";
import { to } from "./cast.js";
import { expectComputes, isFloat } from "./common.js";
import { zerosLike } from "./create.js";

/** A function of each element: the result has x's shape and dtype; integers and bools count as float32. */
export type Unary = (x: Tensor) => Tensor;
type Composed = (dy: Tensor, saved: Tensor) => Tensor;

export function asFloat(op: string, x: Tensor): Tensor {
  expectComputes(op, x.dtype);
  return isFloat(x.dtype) ? x : to(x, "float32");
}

/** A function whose gradient kernel reads x or y. */
export function unary(name: UnaryName, saves: "x" | "y", composed: Composed): Unary {
  const gradient = `${name}Grad` as const;
  return (given) => {
    const x = asFloat(name, given);
    const y = empty(x.shape, x.dtype);
    k[name](y, x, x.size);
    return record(y, name, { x }, { saved: saves === "x" ? x : y }, (dy, { saved }) => ({
      x: () => {
        if (isGradEnabled()) return composed(dy, saved);
        const dx = empty(saved.shape, saved.dtype);
        k[gradient](dx, dy, saved, dx.size);
        return dx;
      },
    }));
  };
}

/** A step function: its gradient is 0. */
export function step(name: UnaryName): Unary {
  return (given) => {
    const x = asFloat(name, given);
    const y = empty(x.shape, x.dtype);
    k[name](y, x, x.size);
    return record(y, name, { x }, {}, (dy) => ({ x: () => zerosLike(dy) }));
  };
}

/** A function with a parameter alpha. */
export function unary1(
  name: Exclude<Unary1Name, "addScalar" | "mulScalar">,
  composed: (dy: Tensor, x: Tensor, alpha: number) => Tensor,
): (x: Tensor, alpha: number) => Tensor {
  return (given, alpha) => {
    if (typeof alpha !== "number") throw new TypeError(`${name}: expected a number, got ${typeof alpha}`);
    const x = asFloat(name, given);
    const y = empty(x.shape, x.dtype);
    k[name](y, x, alpha, x.size);
    return record(y, name, { x }, { x }, (dy, { x }) => ({
      x: () => {
        if (isGradEnabled()) return composed(dy, x, alpha);
        const dx = empty(x.shape, x.dtype);
        k[`${name}Grad`](dx, dy, x, alpha, dx.size);
        return dx;
      },
    }));
  };
}

/** A function with parameters alpha and beta. */
export function unary2(
  name: Exclude<Unary2Name, "affine">,
  composed: (dy: Tensor, x: Tensor, alpha: number, beta: number) => Tensor,
): (x: Tensor, alpha: number, beta: number) => Tensor {
  return (given, alpha, beta) => {
    for (const v of [alpha, beta])
      if (typeof v !== "number") throw new TypeError(`${name}: expected a number, got ${typeof v}`);
    const x = asFloat(name, given);
    const y = empty(x.shape, x.dtype);
    k[name](y, x, alpha, beta, x.size);
    return record(y, name, { x }, { x }, (dy, { x }) => ({
      x: () => {
        if (isGradEnabled()) return composed(dy, x, alpha, beta);
        const dx = empty(x.shape, x.dtype);
        k[`${name}Grad`](dx, dy, x, alpha, beta, dx.size);
        return dx;
      },
    }));
  };
}
