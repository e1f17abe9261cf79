/**
 * Matrix products, on one kernel: gemm reads either operand transposed, so no transpose is ever made.
 */

import { expect, ShapeError, show } from "../errors.js";
import { record } from "../graph.js";
import { k } from "../native.js";
import { empty, sizeOfShape, type Tensor } from "../tensor.js";
import { mul } from "./arithmetic.js";
import { broadcastShapes, expectActivation, expectFloat, expectSameDType } from "./common.js";
import { zeros } from "./create.js";
import { sumTo } from "./reduce.js";
import { reluGradient } from "./reluGradient.js";
import { expand, reshape } from "./shape.js";

interface Gemm {
  batch: number;
  m: number;
  n: number;
  k: number;
  transA: boolean;
  transB: boolean;
  /** Whether a, b have a matrix for each batch, or one for all. */
  batchA: boolean;
  batchB: boolean;
}

/** What becomes of the product a b as it is written: relu(alpha a b + beta c). */
interface After {
  /** Of the record and of what its gradients raise. Default "matmul". */
  op?: string;
  alpha?: number;
  beta?: number;
  relu?: boolean;
}

/** How the kernel reads the addend c of [batch, m, n]: its steps from one matrix and from one row to the next, or null. */
function addendSteps(shape: readonly number[], { batch, m, n }: Gemm): { strideC: number; rowC: number } | null {
  const [rows, cols] = [shape.at(-2) ?? 1, shape.at(-1) ?? 1];
  const matrices = sizeOfShape(shape.slice(0, -2));
  if (cols !== n || (rows !== 1 && rows !== m) || (matrices !== 1 && matrices !== batch)) return null;
  return { strideC: matrices === 1 ? 0 : rows * n, rowC: rows === 1 ? 0 : n };
}

/**
 * y[batch, m, n], seen as `shape`, = relu(alpha a b + beta c) with either operand stored transposed. c is one that addendSteps
 * knows; at beta 0 nothing of it is read.
 */
function gemm(
  a: Tensor,
  b: Tensor,
  c: Tensor | null,
  s: Gemm,
  shape: readonly number[] = [s.batch, s.m, s.n],
  { op = "matmul", alpha = 1, beta = 1, relu = false }: After = {},
): Tensor {
  const y = empty(shape, a.dtype);
  const strideA = s.batchA ? s.m * s.k : 0;
  const strideB = s.batchB ? s.k * s.n : 0;
  const { strideC, rowC } = c ? addendSteps(c.shape, s)! : { strideC: 0, rowC: 0 };
  const sizes = [s.batch, s.m, s.n, s.k, Number(s.transA), Number(s.transB), strideA, strideB, strideC, rowC];
  k.gemm(y, a, b, c, ...sizes, Number(relu), alpha, beta);
  const cShape = c?.shape;
  return record(y, op, { a, b, c }, { a, b, y: relu ? y : null }, (given, { a, b, y }) => {
    const dy = y ? reluGradient(given, y) : given;
    // alpha times the product of two of a, b and dy; the gradient of an operand that all batches share is their sum.
    const part = (left: Tensor, right: Tensor, sizes: Partial<Gemm>, own: boolean, like: readonly number[]): Tensor => {
      const d = gemm(left, right, null, { ...s, ...sizes }, own ? like : undefined, { op, alpha });
      return own ? d : reshape(sumTo(d, [1, d.shape[1]!, d.shape[2]!]), like);
    };
    return {
      // da = dy b^T; where a is stored transposed, da^T = b dy^T
      a: () =>
        s.transA
          ? part(
              b,
              dy,
              { m: s.k, n: s.m, k: s.n, transA: s.transB, transB: true, batchA: s.batchB, batchB: true },
              s.batchA,
              a.shape,
            )
          : part(
              dy,
              b,
              { m: s.m, n: s.k, k: s.n, transA: false, transB: !s.transB, batchA: true, batchB: s.batchB },
              s.batchA,
              a.shape,
            ),
      // db = a^T dy; where b is stored transposed, db^T = dy^T a
      b: () =>
        s.transB
          ? part(
              dy,
              a,
              { m: s.n, n: s.k, k: s.m, transA: true, transB: s.transA, batchA: true, batchB: s.batchA },
              s.batchB,
              b.shape,
            )
          : part(
              a,
              dy,
              { m: s.k, n: s.n, k: s.m, transA: !s.transA, transB: false, batchA: s.batchA, batchB: true },
              s.batchB,
              b.shape,
            ),
      c: cShape ? () => addendGradient(dy, beta, cShape) : null,
    };
  });
}

function addendGradient(dy: Tensor, beta: number, shape: readonly number[]): Tensor {
  if (beta === 0) return zeros(shape, { dtype: dy.dtype });
  const sum = sumTo(dy, shape);
  return beta === 1 ? sum : mul(sum, beta);
}

/** Options of matmul. */
export interface MatmulOptions {
  /** Use the transpose of a's last two dimensions, without making it. Default false. */
  transA?: boolean;
  /** Use the transpose of b's last two dimensions, without making it. Default false. */
  transB?: boolean;
}

/**
 * Matrix product, as PyTorch's matmul: [m, k] x [k, n]; a vector is a row on the left and a column on the right; leading
 * dimensions broadcast as batches.
 */
export function matmul(a: Tensor, b: Tensor, { transA = false, transB = false }: MatmulOptions = {}): Tensor {
  expectFloat("matmul", a);
  expectSameDType("matmul", a, b);
  expect(
    a.ndim >= 1 && b.ndim >= 1,
    "matmul",
    "operands with at least one dimension",
    `${show(a.shape)} and ${show(b.shape)}`,
  );
  if (a.ndim === 2 && b.ndim === 2) {
    const [m, inner] = transA ? [a.shape[1]!, a.shape[0]!] : [a.shape[0]!, a.shape[1]!];
    const [innerB, n] = transB ? [b.shape[1]!, b.shape[0]!] : [b.shape[0]!, b.shape[1]!];
    if (inner !== innerB) refuse("matmul", a, b, transA, transB, inner, innerB);
    return gemm(a, b, null, { batch: 1, m, n, k: inner, transA, transB, batchA: true, batchB: true }, [m, n]);
  }
  const left = a.ndim === 1 ? reshape(a, transA ? [a.size, 1] : [1, a.size]) : a;
  const right = b.ndim === 1 ? reshape(b, transB ? [1, b.size] : [b.size, 1]) : b;
  const matrix = (x: Tensor, transposed: boolean): [number, number] => {
    const [rows, cols] = x.shape.slice(-2) as [number, number];
    return transposed ? [cols, rows] : [rows, cols];
  };
  const [m, inner] = matrix(left, transA);
  const [innerB, n] = matrix(right, transB);
  if (inner !== innerB) refuse("matmul", a, b, transA, transB, inner, innerB);

  const batch = broadcastShapes("matmul", left.shape.slice(0, -2), right.shape.slice(0, -2));
  const count = sizeOfShape(batch);
  const batched = (x: Tensor): [Tensor, boolean] => {
    const own = sizeOfShape(x.shape.slice(0, -2));
    if (own === count) return [x, true];
    return own === 1 ? [x, false] : [expand(x, [...batch, ...x.shape.slice(-2)]), true];
  };
  const [pa, batchA] = batched(left);
  const [pb, batchB] = batched(right);
  const sides = { n, k: inner, transA, transB };
  // [batch, m, k] x [k, n] is one tall product.
  const tall = batchA && !batchB && !transA;
  const shape = [...batch, ...(a.ndim === 1 ? [] : [m]), ...(b.ndim === 1 ? [] : [n])];
  return tall
    ? gemm(pa, pb, null, { batch: 1, m: count * m, ...sides, batchA: true, batchB: true }, shape)
    : gemm(pa, pb, null, { batch: count, m, ...sides, batchA, batchB }, shape);
}

function refuse(
  op: string,
  a: Tensor,
  b: Tensor,
  transA: boolean,
  transB: boolean,
  inner: number,
  innerB: number,
): never {
  const shown = `${show(a.shape)}${transA ? "^T" : ""} x ${show(b.shape)}${transB ? "^T" : ""}`;
  throw new ShapeError(`${op}: expected inner dimensions that agree, got ${shown} (${inner} and ${innerB})`);
}

/** Options of addmm, baddbmm and addmv. */
export interface AddProductOptions {
  /** Weight of the addend: beta x + alpha a b; at 0 it counts for nothing, NaN included. Default 1. */
  beta?: number;
  /** Weight of the product. Default 1. */
  alpha?: number;
}

/**
 * @internal beta x + alpha a b in one kernel call: of [m, k] and [k, n] or [k], or of [batch, m, k] and [batch, k, n], which
 * `op` has seen to. x broadcasts to the product.
 */
export function addProduct(op: string, x: Tensor, a: Tensor, b: Tensor, options: AddProductOptions): Tensor {
  const { beta = 1, alpha = 1 } = options;
  for (const [name, weight] of Object.entries({ beta, alpha }))
    expect(typeof weight === "number", op, `a number for ${name}`, `${weight}`);
  expectFloat(op, a);
  expectSameDType(op, a, b);
  expectSameDType(op, a, x);
  const vector = b.ndim === 1;
  const batch = a.ndim === 3 ? a.shape[0]! : 1;
  const [m, inner] = a.shape.slice(-2) as [number, number];
  const [innerB, n] = vector ? [b.size, 1] : (b.shape.slice(-2) as [number, number]);
  if (inner !== innerB) refuse(op, a, b, false, false, inner, innerB);
  const shape = [...a.shape.slice(0, -1), ...(vector ? [] : [n])];
  if (show(broadcastShapes(op, x.shape, shape)) !== show(shape))
    throw new ShapeError(`${op}: expected an addend that broadcasts to ${show(shape)}, got ${show(x.shape)}`);
  // a b of a vector is the row b^T a^T, so x is one too.
  const [p, q] = vector ? [b, a] : [a, b];
  const extents = vector ? { m: 1, n: m } : { m, n };
  const s: Gemm = { batch, ...extents, k: inner, transA: false, transB: vector, batchA: true, batchB: true };
  const c = addendSteps(x.shape, s) ? x : expand(x, shape); // what the kernel cannot repeat is written out
  return gemm(p, q, c, s, shape, { op, alpha, beta });
}

/** Options of linear. */
export interface LinearOpOptions {
  /** relu of the result, in the pass that writes it: the bits of linear(...).relu(). Default null. */
  activation?: "relu" | null;
}

/** x[..., in] w[out, in]^T + bias[out], as nn.Linear computes it. */
export function linear(
  x: Tensor,
  w: Tensor,
  bias: Tensor | null = null,
  { activation = null }: LinearOpOptions = {},
): Tensor {
  expectActivation("linear", activation);
  expectFloat("linear", x);
  expectSameDType("linear", x, w);
  expect(w.ndim === 2, "linear", "a weight of shape [out,in]", show(w.shape));
  const [n, inner] = w.shape as [number, number];
  expect(
    x.ndim >= 1 && x.shape.at(-1) === inner,
    "linear",
    `x of shape [...,${inner}] for weight ${show(w.shape)}`,
    show(x.shape),
  );
  if (bias) {
    expectSameDType("linear", x, bias);
    expect(bias.ndim === 1 && bias.size === n, "linear", `a bias of shape [${n}]`, show(bias.shape));
  }
  const lead = x.shape.slice(0, -1);
  return gemm(
    x,
    w,
    bias,
    { batch: 1, m: sizeOfShape(lead), n, k: inner, transA: false, transB: true, batchA: true, batchB: true },
    [...lead, n],
    { relu: activation === "relu" },
  );
}
