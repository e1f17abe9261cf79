/**
 * Rows of a table, looked up by number; and rows of the identity, oneHot.
 */

import { expect, show } from "../errors.js";
import { record } from "../graph.js";
import { type DType, k } from "../native.js";
import { empty, isDType, type Tensor } from "../tensor.js";
import { equal, where } from "./arithmetic.js";
import { to } from "./cast.js";
import { checkIndices, isFloat } from "./common.js";
import { amax } from "./reduce.js";
import { unsqueeze } from "./shape.js";

/** Options of embedding. */
export interface EmbeddingOptions {
  /** A row that gets no gradient. Default none. */
  paddingIndex?: number | null;
}

/**
 * y[..., :] = weight[ids[...], :]
 *
 * @param ids row numbers of any shape, int32, int64 or uint8; one outside the table is an error: at the call where they
 *   came from host data, else when the result is read
 * @param weight [rows, cols] of any dtype; floats have a gradient
 */
export function embedding(ids: Tensor, weight: Tensor, { paddingIndex = null }: EmbeddingOptions = {}): Tensor {
  expect(weight.ndim === 2, "embedding", "a weight of shape [rows,cols]", show(weight.shape));
  const rows = weight.shape[0];
  checkIndices("embedding", "ids", ids, rows);
  const inTable =
    paddingIndex === null || (Number.isInteger(paddingIndex) && paddingIndex >= -rows && paddingIndex < rows);
  expect(inTable, "embedding", `a paddingIndex from ${-rows} to ${rows - 1}`, `${paddingIndex}`);
  const skip = paddingIndex === null ? -1 : paddingIndex < 0 ? paddingIndex + rows : paddingIndex;
  return lookUp(ids, weight, skip);
}

function lookUp(ids: Tensor, weight: Tensor, skip: number): Tensor {
  const [rows, cols] = weight.shape as [number, number];
  const y = empty([...ids.shape, cols], weight.dtype);
  k.embedding(y, weight, ids, rows, cols, ids.size);
  return record(y, "embedding", { weight }, { ids }, (dy, { ids }) => ({ weight: () => scatter(ids, dy, rows, skip) }));
}

/** dw[ids[i]] += dy[i], in order of i; ids that equal `skip` add nothing. */
function scatter(ids: Tensor, dy: Tensor, rows: number, skip: number): Tensor {
  const cols = dy.shape.at(-1)!;
  const dw = empty([rows, cols], dy.dtype);
  k.embeddingGrad(dw, dy, ids, rows, cols, ids.size, skip);
  return record(dw, "embeddingGrad", { dy }, { ids }, (ddw, { ids }) => ({
    dy: () => {
      const ddy = lookUp(ids, ddw, -1);
      return skip < 0 ? ddy : where(unsqueeze(equal(ids, skip), -1), 0, ddy);
    },
  }));
}

/** Options of oneHot. */
export interface OneHotOptions {
  /** Dtype of the zeros and ones. Default int32. */
  dtype?: DType;
}
/**
 * y[..., c] = 1 where labels[...] is c, else 0: [...] to [..., numClasses]. A label outside 0 to numClasses - 1 is an error,
 * at the call where labels came from host data, else when the result is read. Without `numClasses` it is the greatest label
 * plus 1, for which the labels are read (blocking) unless their range is known.
 *
 * @example
 * oneHot(tensor([0, 2], { dtype: "int32" }), 3); // [[1, 0, 0], [0, 0, 1]]
 */
export function oneHot(labels: Tensor, numClasses?: number, { dtype = "int32" }: OneHotOptions = {}): Tensor {
  if (!isDType(dtype))
    throw new TypeError(`oneHot: expected a dtype such as "float32" or "int32", got ${JSON.stringify(dtype)}`);
  checkIndices("oneHot", "labels", labels, numClasses ?? Number.POSITIVE_INFINITY);
  expect(numClasses !== undefined || labels.size > 0, "oneHot", "numClasses for empty labels", show(labels.shape));
  const cols = numClasses ?? (labels.storage.range?.[1] ?? amax(labels).itemSync()) + 1;
  expect(Number.isSafeInteger(cols) && cols >= 1, "oneHot", "a number of classes from 1 up", `${cols}`);
  const computes = dtype === "bool" || (isFloat(dtype) && dtype !== "float64") ? "float32" : dtype;
  const y = empty([...labels.shape, cols], computes);
  k.oneHot(y, labels, cols, labels.size);
  return to(y, dtype);
}
