/**
 * Products of three factors.
 */
import { expect, show } from "../errors.js";
import { sizeOfShape, type Tensor } from "../tensor.js";
import { add, mul } from "./arithmetic.js";
import { expectFloat, expectSameDType } from "./common.js";
import { matmul } from "./matmul.js";
import { sum } from "./reduce.js";
import { permute, reshape } from "./shape.js";

/**
 * y[..., o] = sum over i, j of x1[..., i] w[o, i, j] x2[..., j] + b[o]
 *
 * @param x1 [..., in1]
 * @param x2 [..., in2], of x1's leading dimensions
 * @param w [out, in1, in2]
 * @param b [out]
 * @returns [..., out]
 */
export function bilinear(x1: Tensor, x2: Tensor, w: Tensor, b: Tensor | null = null): Tensor {
  const op = "bilinear";
  expectFloat(op, x1);
  for (const other of b ? [x2, w, b] : [x2, w]) expectSameDType(op, x1, other);
  expect(w.ndim === 3, op, "a weight of shape [out,in1,in2]", show(w.shape));
  const [out, in1, in2] = w.shape as [number, number, number];
  const lead = x1.shape.slice(0, -1);
  const fits =
    x1.ndim >= 1 && x1.shape.at(-1) === in1 && x2.shape.at(-1) === in2 && show(lead) === show(x2.shape.slice(0, -1));
  expect(
    fits,
    op,
    `x1 [...,${in1}] and x2 [...,${in2}] of the same leading dimensions`,
    `${show(x1.shape)} and ${show(x2.shape)}`,
  );
  expect(!b || (b.ndim === 1 && b.size === out), op, `a bias of shape [${out}]`, b ? show(b.shape) : "none");
  const n = sizeOfShape(lead);
  const left = matmul(reshape(x1, [1, n, in1]), w); // [out, n, in2]
  const y = reshape(permute(sum(mul(left, reshape(x2, [n, in2])), -1), [1, 0]), [...lead, out]);
  return b ? add(y, b) : y;
}
