/**
 * Matrix products, on one kernel: gemm reads either operand transposed, so no transpose is ever made.
 */

import { expect, ShapeError, show } from "../errors.js";
import { record } from "../graph.js";
import { k } from "../native.js";
import { empty, sizeOfShape, type Tensor } from "../tensor.js";
import { broadcastShapes, expectActivation, expectFloat, expectSameDType } from "./common.js";
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

/** y[batch, m, n], seen as `shape`, = a b (+ bias[n]) with either operand stored transposed. */
function gemm(
  a: Tensor,
  b: Tensor,
  bias: Tensor | null,
  s: Gemm,
  shape: readonly number[] = [s.batch, s.m, s.n],
  relu = false,
): Tensor {
  const y = empty(shape, a.dtype);
  const strideA = s.batchA ? s.m * s.k : 0;
  const strideB = s.batchB ? s.k * s.n : 0;
  k.gemm(y, a, b, bias, s.batch, s.m, s.n, s.k, Number(s.transA), Number(s.transB), strideA, strideB, Number(relu));
  const biasShape = bias?.shape;
  return record(y, "matmul", { a, b, bias }, { a, b, y: relu ? y : null }, (given, { a, b, y }) => {
    const dy = y ? reluGradient(given, y) : given;
    return {
      a: () => {
        const own = s.batchA ? a.shape : undefined;
        // da = dy b^T; where a is stored transposed, da^T = b dy^T
        const da = s.transA
          ? gemm(
              b,
              dy,
              null,
              {
                ...s,
                m: s.k,
                n: s.m,
                k: s.n,
                transA: s.transB,
                transB: true,
                batchA: s.batchB,
                batchB: true,
              },
              own,
            )
          : gemm(
              dy,
              b,
              null,
              {
                ...s,
                m: s.m,
                n: s.k,
                k: s.n,
                transA: false,
                transB: !s.transB,
                batchA: true,
                batchB: s.batchB,
              },
              own,
            );
        return own ? da : reshape(sumTo(da, [1, da.shape[1]!, da.shape[2]!]), a.shape);
      },
      b: () => {
        const own = s.batchB ? b.shape : undefined;
        // db = a^T dy; where b is stored transposed, db^T = dy^T a
        const db = s.transB
          ? gemm(
              dy,
              a,
              null,
              {
                ...s,
                m: s.n,
                n: s.k,
                k: s.m,
                transA: true,
                transB: s.transA,
                batchA: true,
                batchB: s.batchA,
              },
              own,
            )
          : gemm(
              a,
              dy,
              null,
              {
                ...s,
                m: s.k,
                n: s.n,
                k: s.m,
                transA: !s.transA,
                transB: false,
                batchA: s.batchA,
                batchB: true,
              },
              own,
            );
        return own ? db : reshape(sumTo(db, [1, db.shape[1]!, db.shape[2]!]), b.shape);
      },
      bias: biasShape ? () => sumTo(dy, biasShape) : null,
    };
  });
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
    if (inner !== innerB) refuse(a, b, transA, transB, inner, innerB);
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
  if (inner !== innerB) refuse(a, b, transA, transB, inner, innerB);

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

function refuse(a: Tensor, b: Tensor, transA: boolean, transB: boolean, inner: number, innerB: number): never {
  const shown = `${show(a.shape)}${transA ? "^T" : ""} x ${show(b.shape)}${transB ? "^T" : ""}`;
  throw new ShapeError(`matmul: expected inner dimensions that agree, got ${shown} (${inner} and ${innerB})`);
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
    activation === "relu",
  );
}
