/** @file Batch and layer normalisation against their formulas, and the running statistics. */
import { batchNorm, grad, layerNorm, ones, rand, randn, scope, tensor, zeros } from "napier";
import { type Case, checkOp, expect, test } from "../check.js";
import { at, build, type Input, type Nd, nd, normal, uniform } from "../nd.js";

type BatchArgs = [{ training: boolean; eps?: number }];

/** Mean and biased variance of the elements that `key` groups. */
function moments(x: Nd, key: (index: number[]) => string): Map<string, { mean: number; variance: number }> {
  const groups = new Map<string, number[]>();
  build(x.shape, (index) => {
    const name = key(index);
    if (!groups.has(name)) groups.set(name, []);
    groups.get(name)!.push(at(x, index));
    return 0;
  });
  return new Map(
    [...groups].map(([name, values]) => {
      const mean = values.reduce((a, b) => a + b, 0) / values.length;
      return [name, { mean, variance: values.reduce((a, b) => a + (b - mean) ** 2, 0) / values.length }];
    }),
  );
}

function batchReference([x, weight, bias, mean, variance]: Nd[], { training, eps = 1e-5 }: BatchArgs[0]): Nd {
  const own = moments(x, (index) => `${index[1]}`);
  return build(x.shape, (index) => {
    const c = index[1];
    const at2 = training ? own.get(`${c}`)! : { mean: mean.data[c], variance: variance.data[c] };
    return ((at(x, index) - at2.mean) / Math.sqrt(at2.variance + eps)) * (weight?.data[c] ?? 1) + (bias?.data[c] ?? 0);
  });
}

// In eval mode the statistics are inputs of the op that have no gradient: integers are none.
const statistics =
  (values: (c: number) => number, c: number): Input =>
  () =>
    nd(
      [c],
      Array.from({ length: c }, (_, i) => values(i)),
      "int32",
    );
const train = (shape: number[], options: { eps?: number } = {}): Case<BatchArgs> => ({
  inputs: [normal(...shape), normal(shape[1]), normal(shape[1])],
  args: [{ training: true, ...options }],
});
const infer = (shape: number[]): Case<BatchArgs> => ({
  inputs: [
    normal(...shape),
    normal(shape[1]),
    normal(shape[1]),
    statistics((c) => c - 2, shape[1]),
    statistics((c) => c + 1, shape[1]),
  ],
  args: [{ training: false }],
});

checkOp<BatchArgs>("batchNorm", {
  run: ([x, weight, bias, mean, variance], options) =>
    batchNorm(x, mean?.to(x.dtype) ?? null, variance?.to(x.dtype) ?? null, weight ?? null, bias ?? null, options),
  reference: batchReference,
  bound: { rms: 8 },
  bound64: { rms: 16 },
  gradBound: { rms: 32 },
  isaRms: 32,
  cases: {
    "four dimensions": train([3, 4, 5, 6]),
    "two dimensions": train([7, 5]),
    "two dimensions, many features": train([4, 131]),
    "three dimensions": train([2, 3, 9]),
    "one channel": train([4, 1, 3, 3]),
    // With a small eps the gradient is what cancellation leaves of 0.
    "two values a channel": train([2, 3], { eps: 0.5 }),
    "odd planes": train([2, 3, 7, 11]),
    "large eps": train([3, 2, 4, 4], { eps: 0.5 }),
    "far from 0": {
      inputs: [uniform(100, 101, 4, 3, 5, 5)],
      args: [{ training: true }],
      bound: { rms: 512 },
      gradBound: { rms: 512 },
    },
    "without weight and bias": { inputs: [normal(3, 4, 5, 5)], args: [{ training: true }] },
    "without bias": { inputs: [normal(3, 4, 5, 5), normal(4)], args: [{ training: true }] },
    "by running statistics": infer([3, 4, 5, 6]),
    "by running statistics, two dimensions": infer([5, 7]),
    "by running statistics, one value": infer([1, 3, 1, 1]),
  },
  errors: {
    "one dimension": [
      () => batchNorm(ones([4]), null, null, null, null, { training: true }),
      /batchNorm: expected x of shape \[n,c\] or \[n,c,\.\.\.\], got \[4\]/,
    ],
    "one value a channel": [
      () => batchNorm(ones([1, 4]), null, null, null, null, { training: true }),
      /batchNorm: expected more than one value a channel in training, got \[1,4\]/,
    ],
    "weight does not fit": [
      () => batchNorm(ones([2, 4]), null, null, ones([3]), null, { training: true }),
      /batchNorm: expected weight of shape \[4\] for x \[2,4\], got \[3\]/,
    ],
    "no statistics": [
      () => batchNorm(ones([2, 4]), null, null),
      /batchNorm: expected running statistics where training is false, got null/,
    ],
    "dtypes differ": [
      () => batchNorm(ones([2, 4]), null, null, ones([4], { dtype: "float64" }), null, { training: true }),
      /batchNorm: expected operands of one dtype/,
    ],
  },
  bench: { "32x64x56x56": train([32, 64, 56, 56]), "128x512": train([128, 512]) },
});

type TailArgs = [{ training: boolean; relu: boolean; residual: boolean; affine?: boolean; eps?: number }];
const tail = (shape: number[], options: TailArgs[0]): Case<TailArgs> => ({
  inputs: [
    normal(...shape),
    ...(options.residual ? [normal(...shape)] : []),
    ...(options.affine === false ? [] : [normal(shape[1]), normal(shape[1])]),
    ...(options.training ? [] : [statistics((c) => c - 2, shape[1]), statistics((c) => c + 1, shape[1])]),
  ],
  args: [options],
});
/** The inputs of a tail case by name. */
function parts<T>(inputs: T[], { training, residual, affine }: TailArgs[0]) {
  const rest = inputs.slice(1);
  const r = residual ? rest.shift()! : null;
  const [w, b] = affine === false ? [null, null] : [rest.shift()!, rest.shift()!];
  const [mean, variance] = training ? [null, null] : [rest.shift()!, rest.shift()!];
  return { x: inputs[0]!, r, w, b, mean, variance };
}

checkOp<TailArgs>("batchNorm with residual and relu", {
  run: (inputs, options) => {
    const { x, r, w, b, mean, variance } = parts(inputs, options);
    const { training, eps } = options;
    return batchNorm(x, mean?.to(x.dtype) ?? null, variance?.to(x.dtype) ?? null, w, b, {
      training,
      residual: r,
      activation: options.relu ? "relu" : null,
      ...(eps && { eps }),
    });
  },
  reference: (inputs, options) => {
    const { x, r, w, b, mean, variance } = parts(inputs, options);
    const y = batchReference([x, w!, b!, mean!, variance!], options);
    return build(x.shape, (index) => {
      const v = at(y, index) + (r ? at(r, index) : 0);
      return options.relu && v < 0 ? 0 : v;
    });
  },
  bound: { rms: 8 },
  bound64: { rms: 16 },
  gradBound: { rms: 32 },
  isaRms: 32,
  cases: {
    relu: tail([3, 4, 5, 6], { training: true, relu: true, residual: false }),
    "residual and relu": tail([3, 4, 5, 6], { training: true, relu: true, residual: true }),
    "residual alone": tail([3, 4, 5, 6], { training: true, relu: false, residual: true }),
    "relu, odd planes": tail([2, 3, 7, 11], { training: true, relu: true, residual: false }),
    "residual and relu, odd planes": tail([2, 3, 7, 11], { training: true, relu: true, residual: true }),
    "relu, two dimensions": tail([7, 5], { training: true, relu: true, residual: false, eps: 0.5 }),
    "residual and relu, two dimensions, many features": tail([4, 131], {
      training: true,
      relu: true,
      residual: true,
      eps: 0.5,
    }),
    "without weight and bias": tail([3, 4, 5, 5], { training: true, relu: true, residual: false, affine: false }),
    "relu by running statistics": tail([3, 4, 5, 6], { training: false, relu: true, residual: false }),
    "residual and relu by running statistics": tail([3, 4, 5, 6], { training: false, relu: true, residual: true }),
    "residual and relu by running statistics, two dimensions": tail([5, 7], {
      training: false,
      relu: true,
      residual: true,
    }),
    "long enough to be split": tail([2, 8, 24, 24], { training: true, relu: true, residual: true }),
  },
  errors: {
    "residual does not fit": [
      () => batchNorm(ones([2, 4]), null, null, null, null, { training: true, residual: ones([2, 3]) }),
      /batchNorm: expected residual of shape \[2,4\] for x \[2,4\], got \[2,3\]/,
    ],
    "unknown activation": [
      () => batchNorm(ones([2, 4]), null, null, null, null, { training: true, activation: "gelu" as "relu" }),
      /batchNorm: expected activation to be "relu" or null, got gelu/,
    ],
  },
  bench: {
    "relu 32x64x56x56": tail([32, 64, 56, 56], { training: true, relu: true, residual: false }),
    "residual and relu 32x64x56x56": tail([32, 64, 56, 56], { training: true, relu: true, residual: true }),
  },
});

test?.("one pass has the bits of batchNorm, add and relu one after the other, gradients too", () => {
  for (const residual of [false, true])
    for (const training of [true, false])
      for (const shape of [
        [4, 5, 9, 7],
        [6, 67],
      ])
        scope(() => {
          const c = shape[1]!;
          const [x, r, w, b] = [randn(shape), randn(shape), randn([c]), randn([c])].map((t) => t.requiresGrad_());
          const [mean, variance] = [randn([c]), rand([c]).add(0.5)];
          const dy = randn(shape);
          const leaves = residual ? [x!, w!, b!, r!] : [x!, w!, b!];
          const apart = () => {
            const y = batchNorm(x!, mean, variance, w, b, { training, momentum: 0 });
            return (residual ? y.add(r!) : y).relu();
          };
          const together = () =>
            batchNorm(x!, mean, variance, w, b, {
              training,
              momentum: 0,
              residual: residual ? r! : null,
              activation: "relu",
            });
          const [one, two] = [apart, together].map((f) => {
            const y = f();
            return [y, ...grad(y, leaves, { gradOutputs: [dy] })].map((t) => Array.from(t!.dataSync()));
          });
          expect(two).toEqual(one);
        });
});

type LayerArgs = [number[]];
const layer = (shape: number[], over: number[]): Case<LayerArgs> => ({
  inputs: [normal(...shape), normal(...over), normal(...over)],
  args: [over],
});

checkOp<LayerArgs>("layerNorm", {
  run: ([x, weight, bias], over) => layerNorm(x, over, weight ?? null, bias ?? null),
  reference: ([x, weight, bias], over) => {
    const lead = x.shape.length - over.length;
    const own = moments(x, (index) => `${index.slice(0, lead)}`);
    return build(x.shape, (index) => {
      const { mean, variance } = own.get(`${index.slice(0, lead)}`)!;
      const inner = index.slice(lead);
      return (
        ((at(x, index) - mean) / Math.sqrt(variance + 1e-5)) * (weight ? at(weight, inner) : 1) +
        (bias ? at(bias, inner) : 0)
      );
    });
  },
  bound: { rms: 8 },
  bound64: { rms: 16 },
  gradBound: { rms: 32 },
  isaRms: 32,
  cases: {
    rows: layer([4, 7], [7]),
    "two dimensions at once": layer([3, 4, 5], [4, 5]),
    everything: layer([3, 5], [3, 5]),
    "many rows": layer([2, 3, 4, 6], [6]),
    "long rows": layer([3, 515], [515]),
    "without weight and bias": { inputs: [normal(5, 9)], args: [[9]] },
    "without bias": { inputs: [normal(5, 9), normal(9)], args: [[9]] },
    "no rows": { ...layer([0, 4], [4]), bound: { ulp: 0 } },
    // A plain sum of 515 values near 4,096, and a mean rounded to float32, are off by 1/2,048: 5,000 eps of y. The gradient
    // reads the rounded mean.
    "far from 0": {
      inputs: [(random) => build([3, 515], () => 4096 + Math.floor(2048 * random()) / 2048)],
      args: [[515]],
      dtypes: ["float32"], // the reference rounds its mean to float64 likewise
      gradBound: { rms: 8192 },
    },
  },
  errors: {
    "shape does not fit": [
      () => layerNorm(ones([2, 4]), [3]),
      /layerNorm: expected x of shape \[\.\.\.,3\], got \[2,4\]/,
    ],
    "weight does not fit": [() => layerNorm(ones([2, 4]), 4, ones([3])), /layerNorm: expected weight of shape \[4\]/],
  },
  bench: { "4096x768": layer([4096, 768], [768]) },
});

test?.("running statistics move by the momentum, the variance unbiased", () => {
  const x = tensor([
    [1, 10],
    [3, 30],
    [5, 20],
  ]);
  const [mean, variance] = [zeros([2]), ones([2])];
  batchNorm(x, mean, variance, null, null, { training: true, momentum: 0.25 });
  expect(mean.toArraySync()).toEqual([0.75, 5]);
  expect(variance.toArraySync()).toEqual([0.75 + 0.25 * 4, 0.75 + 0.25 * 100]);
});

test?.("eval mode leaves the running statistics alone", () => {
  const [mean, variance] = [zeros([2]), ones([2])];
  batchNorm(
    tensor([
      [1, 10],
      [3, 30],
    ]),
    mean,
    variance,
  );
  expect([mean.toArraySync(), variance.toArraySync()]).toEqual([
    [0, 0],
    [1, 1],
  ]);
});

test?.("backward after the next batch moved the running statistics", () => {
  const [mean, variance] = [zeros([2]), ones([2])];
  const x = tensor(
    [
      [1, 10],
      [3, 31],
      [4, 4],
    ],
    { requiresGrad: true },
  );
  const first = batchNorm(x, mean, variance, null, null, { training: true }).square().sum();
  batchNorm(
    tensor([
      [5, 6],
      [7, 9],
    ]),
    mean,
    variance,
    null,
    null,
    { training: true },
  );
  first.backward();
  expect(x.grad!.abs().amax().itemSync()).toBeLessThan(1e-3); // a sum of squares that hardly depends on x
});

test("layerNorm far from 0: the mean is right to half of its last digit", () => {
  const cols = 65_537;
  const x = Float32Array.from({ length: cols }, (_, i) => 1e4 + Math.sin(i * i));
  const mean = x.reduce((a, b) => a + b, 0) / cols;
  const variance = x.reduce((a, b) => a + (b - mean) ** 2, 0) / cols;
  const y = layerNorm(tensor(x, [1, cols]), cols).dataSync("float32");
  let worst = 0;
  y.forEach((v, i) => {
    worst = Math.max(worst, Math.abs(v - (x[i]! - mean) / Math.sqrt(variance + 1e-5)));
  });
  const halfDigit = 2 ** -11; // of a float32 near 1e4
  expect(worst).toBeLessThan((1.1 * halfDigit) / Math.sqrt(variance));
});
