/**
 * What the files of classic share: labels as rows of a table, and code that is its own gradient.
 */

import { expect, show } from "../errors.js";
import { noGrad } from "../graph.js";
import type { Sync } from "../memory.js";
import type { DType } from "../native.js";
import { checkIndices } from "../ops/common.js";
import { oneHot } from "../ops/embedding.js";
import type { Tensor } from "../tensor.js";

/** Runs an explicit backward pass outside the graph: its formulas are the gradient, none is wanted of them. */
export const explicit =
  <A extends unknown[], R>(fn: (...args: A) => R) =>
  (...args: A): R =>
    noGrad(() => fn(...args) as Sync<R>);

/** 1 where the column is the row's label, else 0: [n, classes]. */
export function labelTable(op: string, labels: Tensor, classes: number, dtype: DType): Tensor {
  checkIndices(op, "labels", labels, classes);
  return oneHot(labels, classes, { dtype });
}

/** Throws unless x is scores [n, classes] with labels [n]. */
export function expectScores(op: string, x: Tensor, labels: Tensor): void {
  expect(x.ndim === 2 && x.size > 0, op, "scores of shape [n,classes]", show(x.shape));
  expect(
    labels.ndim === 1 && labels.size === x.shape[0],
    op,
    `labels of shape [${x.shape[0]}] for scores ${show(x.shape)}`,
    show(labels.shape),
  );
}

/** The rows of a matrix, or of pictures that are flattened to one. */
export function expectRows(op: string, what: string, x: Tensor, cols?: number): void {
  const fits = x.ndim === 2 && x.shape[0] > 0 && (cols === undefined || x.shape[1] === cols);
  expect(fits, op, `${what} of shape [n,${cols ?? "d"}] with at least one row`, show(x.shape));
}
