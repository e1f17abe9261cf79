/**
 * Elements by a bool mask. How many there are is known only when the mask is, so these wait for it, blocking the event
 * loop: where() does without.
 */
import { expect, sameShape, show } from "../errors.js";
import { k } from "../native.js";
import { empty, type Tensor } from "../tensor.js";
import { where } from "./arithmetic.js";
import { to } from "./cast.js";
import { broadcastShapes, expectSameDType } from "./common.js";
import { zeros } from "./create.js";
import { take } from "./gather.js";
import { sum } from "./reduce.js";
import { cumsum } from "./scan.js";
import { cat, expand, reshape } from "./shape.js";

/**
 * The places of the elements that are not 0, in row-major order: int32 [found, x.ndim]. Blocks until x is known.
 *
 * @example
 * tensor([[0, 5], [7, 0]]).nonzero(); // [[0, 1], [1, 0]]
 */
export function nonzero(x: Tensor): Tensor {
  const mask = to(x, "bool");
  const found = sum(mask).itemSync();
  const y = empty([found, x.ndim], "int32");
  k.nonzero(y, mask, found, x.ndim, ...x.shape);
  return y;
}

/** The positions of the true elements in row-major order: [found]. */
const positionsOf = (x: Tensor): Tensor => reshape(nonzero(reshape(x, [x.size])), [-1]);

/**
 * The elements of x where `mask` is true, in row-major order: one dimension. x and the mask broadcast. Blocks until the
 * mask is known; x has a gradient.
 */
export function maskedSelect(x: Tensor, mask: Tensor): Tensor {
  expectMask("maskedSelect", mask);
  const shape = broadcastShapes("maskedSelect", x.shape, mask.shape);
  return take(expand(x, shape), positionsOf(expand(mask, shape)));
}

/**
 * x with its elements where `mask` is true replaced by those of `source`, in order; a new tensor. Waits for nothing: a
 * source with too few elements is an error when the result is read.
 *
 * @param mask bool, broadcasts to x
 * @param source of x's dtype and any shape
 */
export function maskedScatter(x: Tensor, mask: Tensor, source: Tensor): Tensor {
  expectMask("maskedScatter", mask);
  expectSameDType("maskedScatter", x, source);
  const shape = broadcastShapes("maskedScatter", x.shape, mask.shape);
  expect(sameShape(shape, x.shape), "maskedScatter", `a mask that broadcasts to ${show(x.shape)}`, show(mask.shape));
  const wide = expand(mask, x.shape);
  // The n-th true element takes the n-th of the source, the others what stands before it.
  const places = where(wide, reshape(cumsum(reshape(wide, [x.size]), 0), x.shape), 0);
  const taken = take(cat([zeros([1], { dtype: x.dtype }), reshape(source, [source.size])]), places);
  return where(wide, taken, x);
}

function expectMask(op: string, mask: Tensor): void {
  if (mask.dtype !== "bool")
    throw new TypeError(`${op}: expected a bool mask, got ${mask.dtype}; compare it, e.g. with .notEqual(0)`);
}
