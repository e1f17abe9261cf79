/** @file Group, instance, root-mean-square and local response normalisation against their formulas. */
import {
  batchNorm,
  groupNorm,
  type InstanceNormOptions,
  instanceNorm,
  type LocalResponseNormOptions,
  localResponseNorm,
  ones,
  rmsNorm,
  tensor,
  zeros,
} from "napier";
import { type Case, checkOp, expect, test } from "../check.js";
import { at, build, type Nd, normal, uniform } from "../nd.js";

/** x normalised by the mean and the biased variance of the elements that `key` groups, then by channel. */
function normalised([x, weight, bias]: Nd[], key: (index: number[]) => string, eps = 1e-5): Nd {
  const groups = new Map<string, number[]>();
  build(x.shape, (index) => {
    const values = groups.get(key(index)) ?? [];
    values.push(at(x, index));
    groups.set(key(index), values);
    return 0;
  });
  const moments = new Map(
    [...groups].map(([name, values]) => {
      const mean = values.reduce((a, b) => a + b, 0) / values.length;
      return [name, [mean, values.reduce((a, b) => a + (b - mean) ** 2, 0) / values.length] as const];
    }),
  );
  return build(x.shape, (index) => {
    const [mean, variance] = moments.get(key(index))!;
    const c = index[1];
    return ((at(x, index) - mean) / Math.sqrt(variance + eps)) * (weight?.data[c] ?? 1) + (bias?.data[c] ?? 0);
  });
}

const bounds = { bound: { rms: 8 }, bound64: { rms: 16 }, gradBound: { rms: 32 }, isaRms: 32 } as const;
const affine = <A extends unknown[]>(shape: number[], ...args: A): Case<A> => ({
  inputs: [normal(...shape), normal(shape[1]), normal(shape[1])],
  args,
});

checkOp<[number]>("groupNorm", {
  run: ([x, weight, bias], groups) => groupNorm(x, groups, weight ?? null, bias ?? null),
  reference: (inputs, groups) => {
    const each = inputs[0].shape[1] / groups;
    return normalised(inputs, ([n, c]) => `${n}/${Math.floor(c / each)}`);
  },
  ...bounds,
  cases: {
    "two groups": affine([2, 4, 3, 5], 2),
    "one group": affine([2, 3, 4, 4], 1),
    "each channel": affine([2, 3, 9], 3),
    "two dimensions": affine([3, 12], 3),
    "five dimensions": affine([1, 4, 2, 3, 2], 2),
    "without weight and bias": { inputs: [normal(2, 4, 7)], args: [2] },
    "without bias": { inputs: [normal(2, 4, 7), normal(4)], args: [2] },
    "far from 0": {
      inputs: [uniform(100, 101, 2, 4, 5, 5)],
      args: [2],
      bound: { rms: 512 },
      gradBound: { rms: 512 },
    },
    "long enough to be split": affine([6, 4, 30, 30], 2),
    "no examples": affine([0, 4, 3], 2),
  },
  errors: {
    "groups do not divide": [
      () => groupNorm(ones([2, 4, 3]), 3),
      /groupNorm: expected groups that divide the 4 channels of x \[2,4,3\], got 3/,
    ],
    "one dimension": [
      () => groupNorm(ones([4]), 2),
      /groupNorm: expected x of shape \[n,c\] or \[n,c,\.\.\.\], got \[4\]/,
    ],
    "weight does not fit": [
      () => groupNorm(ones([2, 4]), 2, ones([2])),
      /groupNorm: expected weight of shape \[4\] for x \[2,4\], got \[2\]/,
    ],
  },
  bench: { "32x64x56x56, 32 groups": affine([32, 64, 56, 56], 32) },
});

checkOp<[InstanceNormOptions]>("instanceNorm", {
  run: ([x, weight, bias], options) => instanceNorm(x, null, null, weight ?? null, bias ?? null, options),
  reference: (inputs, { eps }) => normalised(inputs, ([n, c]) => `${n}/${c}`, eps),
  ...bounds,
  cases: {
    pictures: affine([2, 3, 4, 5], {}),
    rows: affine([2, 3, 9], { eps: 0.1 }),
    "without weight and bias": { inputs: [normal(2, 3, 4, 3)], args: [{}] },
  },
  errors: {
    "two dimensions": [
      () => instanceNorm(ones([2, 4])),
      /instanceNorm: expected x of shape \[n,c,\.\.\.\], got \[2,4\]/,
    ],
    "one value": [
      () => instanceNorm(ones([2, 4, 1])),
      /instanceNorm: expected more than one value a channel of each example, got \[2,4,1\]/,
    ],
    "no statistics": [
      () => instanceNorm(ones([2, 4, 3]), null, null, null, null, { useInputStats: false }),
      /instanceNorm: expected running statistics where useInputStats is false, got null/,
    ],
  },
  bench: { "16x64x56x56": affine([16, 64, 56, 56], {}) },
});

test?.("running statistics are means over the examples", () => {
  const x = tensor([
    [
      [1, 3],
      [10, 20],
    ],
    [
      [5, 9],
      [0, 0],
    ],
  ]);
  const [mean, variance] = [zeros([2]), ones([2])];
  instanceNorm(x, mean, variance, null, null, { momentum: 0.5 });
  expect(mean.toArraySync()).toEqual([0.5 * ((2 + 7) / 2), 0.5 * ((15 + 0) / 2)]);
  expect(variance.toArraySync()).toEqual([0.5 + 0.5 * ((2 + 8) / 2), 0.5 + 0.5 * ((50 + 0) / 2)]);
  const y = instanceNorm(x, mean, variance, null, null, { useInputStats: false });
  expect(y.toArraySync()).toEqual(batchNorm(x, mean, variance).toArraySync());
});

checkOp<[number[]]>("rmsNorm", {
  run: ([x, weight], over) => rmsNorm(x, over, weight ?? null),
  reference: ([x, weight], over) => {
    const lead = x.shape.length - over.length;
    const rows = new Map<string, number[]>();
    build(x.shape, (index) => {
      const name = String(index.slice(0, lead));
      rows.set(name, [...(rows.get(name) ?? []), at(x, index)]);
      return 0;
    });
    return build(x.shape, (index) => {
      const row = rows.get(String(index.slice(0, lead)))!;
      const mean = row.reduce((a, b) => a + b * b, 0) / row.length;
      return (at(x, index) / Math.sqrt(mean + 2 ** -52)) * (weight ? at(weight, index.slice(lead)) : 1);
    });
  },
  ...bounds,
  cases: {
    rows: { inputs: [normal(4, 7), normal(7)], args: [[7]] },
    "two dimensions at once": { inputs: [normal(3, 4, 5), normal(4, 5)], args: [[4, 5]] },
    "without weight": { inputs: [normal(5, 9)], args: [[9]] },
    "many rows": { inputs: [normal(70, 6), normal(6)], args: [[6]] },
    "long rows": { inputs: [normal(2, 131), normal(131)], args: [[131]] },
    "no rows": { inputs: [normal(0, 4), normal(4)], args: [[4]] },
  },
  errors: {
    "shape does not fit": [() => rmsNorm(ones([2, 4]), [3]), /rmsNorm: expected x of shape \[\.\.\.,3\], got \[2,4\]/],
    "weight does not fit": [() => rmsNorm(ones([2, 4]), 4, ones([3])), /rmsNorm: expected weight of shape \[4\]/],
  },
  bench: { "4096x768": { inputs: [normal(4096, 768), normal(768)], args: [[768]] } },
});

checkOp<[number, LocalResponseNormOptions]>("localResponseNorm", {
  run: ([x], size, options) => localResponseNorm(x, size, options),
  reference: ([x], size, { alpha = 1e-4, beta = 0.75, k = 1 }) =>
    build(x.shape, ([n, c, ...rest]) => {
      let sum = 0;
      for (let e = c - Math.floor(size / 2); e <= c + Math.floor((size - 1) / 2); e++)
        if (e >= 0 && e < x.shape[1]) sum += at(x, [n, e, ...rest]) ** 2;
      return at(x, [n, c, ...rest]) / (k + (alpha * sum) / size) ** beta;
    }),
  bound: { rms: 8 },
  isaRms: 8,
  cases: {
    "three neighbours": { inputs: [normal(2, 5, 2, 3)], args: [3, { alpha: 0.5, beta: 0.75, k: 2 }] },
    "an even number": { inputs: [normal(1, 4, 3)], args: [4, { alpha: 1 }] },
    "more than there are channels": { inputs: [normal(1, 2, 3)], args: [5, { alpha: 1, k: 0.5 }] },
    "no examples": { inputs: [normal(0, 4, 3)], args: [3, {}] },
  },
  errors: {
    "size 0": [() => localResponseNorm(ones([1, 4, 3]), 0), /localResponseNorm: expected a size from 1 up, got 0/],
    "two dimensions": [
      () => localResponseNorm(ones([1, 4]), 3),
      /localResponseNorm: expected x of shape \[n,c,\.\.\.\]/,
    ],
  },
  bench: { "32x64x27x27, 5": { inputs: [normal(32, 64, 27, 27)], args: [5, {}] } },
});
