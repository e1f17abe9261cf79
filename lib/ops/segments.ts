/**
 * Bags of embeddings, and the reductions over segments of rows that they are made of.
 *
 * Segment b of x[n, ...] is rows offsets[b] to offsets[b + 1] - 1, the last up to n - 1. sumSegments and its gradient,
 * which writes each segment's value beside each of its rows, are linear and each other's gradients.
 */

import { expect, show } from "../errors.js";
import { record } from "../graph.js";
import { k } from "../native.js";
import { empty, type Tensor } from "../tensor.js";
import { add, div, equal, maximum, mul, notEqual, where } from "./arithmetic.js";
import { to } from "./cast.js";
import { checkIndices, expectFloat, expectSameDType } from "./common.js";
import { arange } from "./create.js";
import { embedding } from "./embedding.js";
import { reshape, unsqueeze } from "./shape.js";

interface Extents {
  n: number;
  segments: number;
  cols: number;
}

// x: [n, cols], y: [segments, cols]
function sumOf(x: Tensor, offsets: Tensor, e: Extents): Tensor {
  const y = empty([e.segments, e.cols], x.dtype);
  k.sumSegments(y, x, offsets, e.n, e.segments, e.cols);
  return record(y, "sumSegments", { x }, { offsets }, (dy, { offsets }) => ({ x: () => spread(dy, offsets, e) }));
}
function spread(y: Tensor, offsets: Tensor, e: Extents): Tensor {
  const x = empty([e.n, e.cols], y.dtype);
  k.spreadSegments(x, y, offsets, e.n, e.segments, e.cols);
  return record(x, "spreadSegments", { y }, { offsets }, (dx, { offsets }) => ({ y: () => sumOf(dx, offsets, e) }));
}
/** The first of equal maxima gets the gradient; an empty segment gives 0. */
function maxOf(x: Tensor, offsets: Tensor, e: Extents): Tensor {
  const y = empty([e.segments, e.cols], x.dtype);
  const index = empty([e.segments, e.cols], "int32");
  k.maxSegments(y, index, x, offsets, e.n, e.segments, e.cols);
  return record(y, "maxSegments", { x }, { offsets, index }, (dy, { offsets, index }) => ({
    x: () => where(equal(spread(index, offsets, e), unsqueeze(arange(e.n), 1)), spread(dy, offsets, e), 0),
  }));
}

/** Options of embeddingBag. */
export interface EmbeddingBagOptions {
  /** Where each bag begins in ids of one dimension: [bags], the first 0, never falling. int32, int64 or uint8. */
  offsets?: Tensor | null;
  /** How the rows of a bag become one. Default mean, as in PyTorch. An empty bag gives 0. */
  mode?: "sum" | "mean" | "max";
  /** A factor for each id, of the weight's dtype and the shape of ids; for mode sum. */
  perSampleWeights?: Tensor | null;
  /** A row that bags leave out, and that gets no gradient. Default none. */
  paddingIndex?: number | null;
}

/**
 * The sum, mean or maximum of the rows of `weight` that each bag of ids names.
 *
 * @param ids [bags, length], or [n] with `offsets`; int32, int64 or uint8. Ids outside the table and offsets that fall or
 *   lie beyond n are errors: at the call where they came from host data, else when the result is read
 * @param weight [rows, cols], float32 or float64
 * @returns [bags, cols]
 * @example
 * const ids = tensor([1, 2, 4, 5, 4], { dtype: "int32" });
 * const offsets = tensor([0, 3], { dtype: "int32" }); // two bags: 1 2 4 and 5 4
 * const y = embeddingBag(ids, randn([10, 3]), { offsets, mode: "sum" }); // [2, 3]
 */
export function embeddingBag(
  ids: Tensor,
  weight: Tensor,
  { offsets = null, mode = "mean", perSampleWeights = null, paddingIndex = null }: EmbeddingBagOptions = {},
): Tensor {
  const op = "embeddingBag";
  expectFloat(op, weight);
  expect(weight.ndim === 2, op, "a weight of shape [rows,cols]", show(weight.shape));
  if (mode !== "sum" && mode !== "mean" && mode !== "max")
    throw new TypeError(`${op}: expected mode sum, mean or max, got ${JSON.stringify(mode satisfies never)}`);
  const given = offsets ? ids.ndim === 1 && offsets.ndim === 1 : ids.ndim === 2;
  expect(
    given,
    op,
    "ids of shape [bags,length], or [n] with offsets of shape [bags]",
    `${show(ids.shape)}${offsets ? ` with offsets ${show(offsets.shape)}` : ""}`,
  );
  if (perSampleWeights) {
    expect(mode === "sum", op, "mode sum with perSampleWeights", mode);
    expectSameDType(op, weight, perSampleWeights);
    const same = show(perSampleWeights.shape) === show(ids.shape);
    expect(same, op, `perSampleWeights of the shape of ids, ${show(ids.shape)}`, show(perSampleWeights.shape));
  }
  if (offsets) checkIndices(op, "offsets", offsets, ids.size + 1);
  const rows = weight.shape[0];
  const skip = paddingIndex !== null && paddingIndex < 0 ? paddingIndex + rows : paddingIndex;
  const e: Extents = { n: ids.size, segments: offsets ? offsets.size : ids.shape[0], cols: weight.shape[1] };
  const starts = offsets ?? mul(arange(e.segments), ids.shape[1] ?? 0);
  const flat = reshape(ids, [e.n]);
  let x = embedding(flat, weight, { paddingIndex });
  if (perSampleWeights) x = mul(x, reshape(perSampleWeights, [e.n, 1]));
  const used = skip === null ? null : unsqueeze(notEqual(flat, skip), 1); // [n, 1]
  if (mode === "max") {
    if (!used) return maxOf(x, starts, e);
    const y = maxOf(where(used, x, Number.NEGATIVE_INFINITY), starts, e);
    return where(equal(y, Number.NEGATIVE_INFINITY), 0, y);
  }
  const y = sumOf(used ? where(used, x, 0) : x, starts, e);
  if (mode === "sum") return y;
  const one = used ? to(used, weight.dtype) : add(mul(to(reshape(flat, [e.n, 1]), weight.dtype), 0), 1);
  return div(y, maximum(sumOf(one, starts, { ...e, cols: 1 }), 1));
}
