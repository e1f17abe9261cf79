/**
 * Rows of a table, looked up by number.
 */
import { record } from "../autograd.js";
import { expect, show } from "../errors.js";
import { k } from "../native.js";
import { empty, type Tensor } from "../tensor.js";
import { equal, where } from "./arithmetic.js";
import { checkIndices } from "./common.js";
import { unsqueeze } from "./shape.js";

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
