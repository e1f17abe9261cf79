/**
 * What losses share: the reduction, the checks of their operands, and the rows that a class index picks.
 */
import { expect, show } from "../../errors.js";
import type { Tensor } from "../../tensor.js";
import { to } from "../cast.js";
import { expectFloat } from "../common.js";
import { mean, sum } from "../reduce.js";
import { permute, reshape } from "../shape.js";

/** What becomes of the losses: their mean, their sum, or one an example ("none"). */
export type Reduction = "mean" | "sum" | "none";
/** The option of every loss. */
export interface LossOptions {
  /** Mean over examples (default), sum, or one loss an example. */
  reduction?: Reduction;
}

/** @internal The mean or sum of `losses`, or themselves. */
export function reduceLoss(op: string, losses: Tensor, reduction: Reduction): Tensor {
  switch (reduction) {
    case "mean":
      return mean(losses);
    case "sum":
      return sum(losses);
    case "none":
      return losses;
    default:
      throw new TypeError(
        `${op}: expected reduction "mean", "sum" or "none", got ${JSON.stringify(reduction satisfies never)}`,
      );
  }
}

/** Checks a float x beside a target of its shape, and gives the target in x's dtype. */
export function targetOf(op: string, x: Tensor, target: Tensor, what = "a target"): Tensor {
  expectFloat(op, x);
  expect(show(x.shape) === show(target.shape), op, `${what} of shape ${show(x.shape)}`, show(target.shape));
  return to(target, x.dtype);
}

/** Throws `op: expected name from 0 up, got ...` for an option below `least` or NaN. */
export function expectFrom(op: string, name: string, value: number, least = 0): void {
  expect(typeof value === "number" && value >= least, op, `${name} from ${least} up`, `${value}`);
}

/** Scores as [rows, classes]: dimension 1 is the class, the others are examples. */
export function classRows(op: string, x: Tensor): Tensor {
  expectFloat(op, x);
  expect(x.ndim >= 2, op, "scores of shape [n,classes] or [n,classes,...]", show(x.shape));
  const order = [0, ...x.shape.slice(2).map((_, d) => d + 2), 1];
  return x.ndim === 2 ? x : reshape(permute(x, order), [-1, x.shape[1]!]);
}

/** Scores as [rows, classes] and labels as [rows]. */
export function rowsOf(op: string, x: Tensor, labels: Tensor): { rows: number; cols: number; flat: Tensor } {
  const flat = classRows(op, x);
  const expected = [x.shape[0]!, ...x.shape.slice(2)];
  expect(
    show(labels.shape) === show(expected),
    op,
    `labels of shape ${show(expected)} for scores ${show(x.shape)}`,
    show(labels.shape),
  );
  return { rows: labels.size, cols: x.shape[1]!, flat };
}

/** Checks one weight a class and gives it in x's dtype; it is a constant, without a gradient. */
export function classWeight(op: string, weight: Tensor | null, cols: number, x: Tensor): Tensor | null {
  if (!weight) return null;
  expect(show(weight.shape) === `[${cols}]`, op, `a weight a class, [${cols}]`, show(weight.shape));
  return to(weight.detach(), x.dtype);
}
