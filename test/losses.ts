/**
 * What the case tables of losses share: reductions, cases of a loss of x and a target of its shape, their errors.
 */
import type { LossOptions, Reduction, Tensor } from "napier";
import { ones } from "napier";
import type { Case } from "./check.js";
import { at, build, type Input, indices, ints, type Nd, nd, normal, total } from "./nd.js";

/** mean, sum or none of one loss an example; `counted` examples make the mean. */
export function reduced(losses: Nd, reduction: Reduction = "mean", counted = losses.data.length): Nd {
  if (reduction === "none") return losses;
  const sum = total(losses.data);
  return nd([], [reduction === "sum" ? sum : sum / counted]);
}

/** f of the scores of each example and its label. */
export function perExample(x: Nd, labels: Nd, f: (scores: number[], label: number) => number): Nd {
  return build(labels.shape, (index) => {
    const [n, ...rest] = index as [number, ...number[]];
    return f(
      Array.from({ length: x.shape[1]! }, (_, c) => at(x, [n, c, ...rest])),
      at(labels, index),
    );
  });
}

export const logSumExp = (v: number[]): number => {
  const m = Math.max(...v);
  return m + Math.log(v.reduce((s, e) => s + Math.exp(e - m), 0));
};

export const labelled = (n: number, classes: number, ...rest: number[]): Input[] => [
  normal(n, classes, ...rest),
  ints(0, classes, [n, ...rest]),
];

/** Cases of a loss of x and a target of its shape. */
export const paired = (
  x: (...s: number[]) => Input,
  target: (...s: number[]) => Input,
): Record<string, Case<[options?: LossOptions]>> => ({
  scalar: { inputs: [x(), target()] },
  "1x1": { inputs: [x(1, 1), target(1, 1)] },
  "odd numbers": { inputs: [x(3, 7), target(3, 7)] },
  sum: { inputs: [x(3, 7), target(3, 7)], args: [{ reduction: "sum" }] },
  none: { inputs: [x(3, 7), target(3, 7)], args: [{ reduction: "none" }] },
  "nothing, sum": { inputs: [x(0, 7), target(0, 7)], args: [{ reduction: "sum" }] },
  "long enough to be split": { inputs: [x(70_001), target(70_001)] },
});
export const pairErrors = (
  name: string,
  loss: (x: Tensor, target: Tensor, options?: LossOptions) => Tensor,
): Record<string, [() => unknown, RegExp]> => ({
  "another shape": [
    () => loss(ones([2, 3]), ones([3])),
    new RegExp(`${name}: expected a target of shape \\[2,3\\], got \\[3\\]`),
  ],
  integers: [
    () => loss(ones([2], { dtype: "int32" }), ones([2])),
    new RegExp(`${name}: expected float32 or float64, got int32`),
  ],
  "another reduction": [
    () => loss(ones([2]), ones([2]), { reduction: "max" as never }),
    new RegExp(`${name}: expected reduction "mean", "sum" or "none", got "max"`),
  ],
});
export const zip = (f: (x: number, t: number) => number, [x, t]: Nd[], reduction?: Reduction): Nd =>
  reduced(
    nd(
      x!.shape,
      Array.from(indices(x!.shape), (index) => f(at(x!, index), at(t!, index))),
    ),
    reduction,
  );
