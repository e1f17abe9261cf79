/**
 * Connectionist temporal classification: a sequence of labels without knowing when each was said.
 */

import { expect, show } from "../../errors.js";
import { noSecondDerivative, record } from "../../graph.js";
import { k } from "../../native.js";
import { empty, Tensor } from "../../tensor.js";
import { add, div, less, maximum, sub, where } from "../arithmetic.js";
import { to } from "../cast.js";
import { checkIndices, expectFloat } from "../common.js";
import { arange, tensor } from "../create.js";
import { take } from "../gather.js";
import { cumsum } from "../scan.js";
import { reshape, unsqueeze } from "../shape.js";
import { type LossOptions, reduceLoss } from "./common.js";

/** Options of ctc. */
export interface CtcOptions extends LossOptions {
  /** The class that says nothing. Default 0. */
  blank?: number;
  /** Infinite losses (labels that do not fit into their input) and their gradients become 0. Default false. */
  zeroInfinity?: boolean;
}

/** Lengths as [n] integers, whose known values lie from 0 to `most`. */
function lengthsOf(what: string, lengths: Tensor | readonly number[], n: number, most: number): Tensor {
  const t = lengths instanceof Tensor ? lengths : tensor([...lengths], [lengths.length], { dtype: "int32" });
  expect(show(t.shape) === `[${n}]`, "ctc", `${what} of shape [${n}]`, show(t.shape));
  checkIndices("ctc", what, t, most + 1);
  return t;
}

/**
 * Labels that stand one sample after another, [sum of lengths], as rows [n, longest]. Where the lengths are numbers their sum
 * is checked here; else a row that reaches behind the labels is the kernel's to report.
 */
function rowsOf(labels: Tensor, lengths: Tensor, given: Tensor | readonly number[]): Tensor {
  const [n, total] = [lengths.size, labels.size];
  if (!(given instanceof Tensor)) {
    const sum = given.reduce((a, b) => a + b, 0);
    expect(sum === total, "ctc", `concatenated labels of shape [${sum}], the sum of labelLengths`, show(labels.shape));
  }
  const longest = Math.min(lengths.storage.range?.[1] ?? total, total);
  if (n * longest === 0) return reshape(labels.size === 0 ? labels : empty([0], labels.dtype), [n, 0]);
  const own = to(lengths, "int64");
  const column = arange(0, longest, 1, { dtype: "int64" });
  const places = add(unsqueeze(sub(cumsum(own, 0), own), 1), column);
  return take(labels, where(less(column, unsqueeze(own, 1)), places, 0));
}

/**
 * CTC loss (Graves et al., "Connectionist temporal classification", 2006): -log of the probability of all paths that read
 * as the labels once repeats are merged and blanks dropped. The mean divides each loss by the length of its labels first, as
 * in PyTorch. It has a gradient but no second derivative, which throws.
 *
 * @param logp logarithms of probabilities [t, n, classes], as logSoftmax gives them
 * @param labels class numbers, int32, int64 or uint8: [n, l], where what lies behind a sample's length is not read, or those
 *   of all samples one after another, [sum of labelLengths]
 * @param inputLengths [n]: how many of the t steps count, numbers or a tensor
 * @param labelLengths [n]: how many labels count, numbers or a tensor
 * @throws RangeError for a length out of range that came from host data; other lengths, and labels (of which only those within
 *   a sample's length count), are looked at by the kernel: reading the loss rejects
 * @example
 * const logp = randn([12, 2, 5], { requiresGrad: true }).logSoftmax(2);
 * const labels = tensor([[1, 2, 2], [3, 4, 0]], { dtype: "int32" });
 * ctc(logp, labels, [12, 10], [3, 2]).backward();
 * ctc(logp, tensor([1, 2, 2, 3, 4], { dtype: "int32" }), [12, 10], [3, 2]); // the same
 */
export function ctc(
  logp: Tensor,
  labels: Tensor,
  inputLengths: Tensor | readonly number[],
  labelLengths: Tensor | readonly number[],
  { reduction = "mean", blank = 0, zeroInfinity = false }: CtcOptions = {},
): Tensor {
  expectFloat("ctc", logp);
  expect(logp.ndim === 3, "ctc", "log-probabilities of shape [t,n,classes]", show(logp.shape));
  const [t, n, c] = logp.shape as [number, number, number];
  const concatenated = labels.ndim === 1;
  expect(
    concatenated || (labels.ndim === 2 && labels.shape[0] === n),
    "ctc",
    `labels of shape [${n},l], or [sum of labelLengths]`,
    show(labels.shape),
  );
  const inClasses = Number.isInteger(blank) && blank >= 0 && blank < c;
  expect(inClasses, "ctc", `a blank from 0 to ${c - 1}`, `${blank}`);
  expectIndexDType(labels);
  const steps = lengthsOf("inputLengths", inputLengths, n, t);
  const lengths = lengthsOf("labelLengths", labelLengths, n, labels.shape.at(-1)!);
  const rows = concatenated ? rowsOf(labels, lengths, labelLengths) : labels;
  const l = rows.shape[1]!;
  const losses = ctcOf(logp, rows, steps, lengths, [blank, zeroInfinity ? 1 : 0, t, n, c, l]);
  if (reduction !== "mean") return reduceLoss("ctc", losses, reduction);
  return reduceLoss("ctc", div(losses, maximum(to(lengths, logp.dtype), 1)), "mean");
}

/** Which labels are read depends on the lengths: their values are the kernel's to check. */
function expectIndexDType({ dtype }: Tensor): void {
  if (dtype !== "int32" && dtype !== "int64" && dtype !== "uint8")
    throw new TypeError(
      `ctc: expected labels of dtype int32, int64 or uint8, got ${dtype}; convert them with .to("int32")`,
    );
}

function ctcOf(
  logp: Tensor,
  labels: Tensor,
  steps: Tensor,
  lengths: Tensor,
  numbers: [number, number, number, number, number, number],
): Tensor {
  const losses = empty([numbers[3]], logp.dtype);
  k.ctc(losses, logp, labels, steps, lengths, ...numbers);
  return record(losses, "ctc", { logp }, { logp, labels, steps, lengths }, (dy, { logp, labels, steps, lengths }) => ({
    logp: () => {
      const dx = empty(logp.shape, logp.dtype);
      k.ctcGrad(dx, dy, logp, labels, steps, lengths, ...numbers);
      return noSecondDerivative("ctc", dx, { dy, logp });
    },
  }));
}
