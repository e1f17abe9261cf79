/** @file Results, gradients and running statistics of the ops of a classifier against PyTorch's (fixtures/make_nn.py). */
import { readFileSync } from "node:fs";
import * as napier from "napier";
import { type Tensor, tensor } from "napier";
import { describe, expect, test } from "vitest";

interface Packed {
  shape: number[];
  data: number[];
}
interface Golden {
  name: string;
  op: string;
  // biome-ignore lint/suspicious/noExplicitAny: options of many ops
  options: any;
  inputs: Record<string, Packed>;
  labels: Packed | null;
  y: Packed;
  grads: Record<string, Packed>;
  after: Record<string, Packed>;
}
const golden = JSON.parse(readFileSync(new URL("../fixtures/nn.json", import.meta.url), "utf8")) as { cases: Golden[] };

type Dtype = "float32" | "float64";
type Inputs = Record<string, Tensor>;
type Run = (x: Inputs, c: Golden, labels: Tensor, running: Inputs) => Tensor;
const RUNS: Record<string, Run> = {
  conv2d: ({ x, w, b }, c) => napier.conv2d(x, w, b ?? null, c.options),
  maxPool2d: ({ x }, { options: { kernelSize, ...rest } }) => napier.maxPool2d(x, kernelSize, rest),
  avgPool2d: ({ x }, { options: { kernelSize, ...rest } }) => napier.avgPool2d(x, kernelSize, rest),
  adaptiveAvgPool2d: ({ x }, c) => napier.adaptiveAvgPool2d(x, c.options.outputSize),
  adaptiveMaxPool2d: ({ x }, c) => napier.adaptiveMaxPool2d(x, c.options.outputSize),
  batchNorm: ({ x, weight, bias }, { options: { mean, var: variance, ...rest } }, _, running) =>
    napier.batchNorm(x, running.runningMean, running.runningVar, weight, bias, rest),
  layerNorm: ({ x, weight, bias }, c) => napier.layerNorm(x, c.options.normalizedShape, weight, bias),
  softmax: ({ x }, c) => napier.softmax(x, c.options.axis),
  logSoftmax: ({ x }, c) => napier.logSoftmax(x, c.options.axis),
  crossEntropy: ({ x }, c, labels) => napier.crossEntropy(x, labels, c.options),
  bceWithLogits: ({ x, t }) => napier.bceWithLogits(x, t),
  embedding: ({ weight }, c, ids) => napier.embedding(ids, weight, c.options),
};

const TOLERANCE = { float64: 1e-9, float32: 1e-5 };

function expectNear(got: Tensor, want: Packed, dtype: Dtype, what: string): void {
  expect([...got.shape], what).toEqual(want.shape);
  const values = got.dataSync(dtype);
  const size = Math.max(1, ...want.data.map(Math.abs));
  want.data.forEach((v, i) => {
    if (!(Math.abs(values[i] - v) <= TOLERANCE[dtype] * size))
      throw new Error(`${what}: element ${i} is ${values[i]}, PyTorch has ${v}`);
  });
}

describe.each(["float64", "float32"] as const)("in %s as PyTorch", (dtype) => {
  const unpack = (p: Packed) => tensor(Float64Array.from(p.data), p.shape, { dtype });
  test.each(golden.cases.map((c) => [c.name, c] as const))("%s", (_, c) => {
    const inputs = Object.fromEntries(Object.entries(c.inputs).map(([key, p]) => [key, unpack(p).requiresGrad_()]));
    const labels = c.labels ? tensor(Int32Array.from(c.labels.data), c.labels.shape) : tensor(0);
    const running: Inputs =
      c.op === "batchNorm" ? { runningMean: unpack(c.options.mean), runningVar: unpack(c.options.var) } : {};
    const y = RUNS[c.op](inputs, c, labels, running);
    expectNear(y, c.y, dtype, "the result");
    const weighing = tensor(
      Float64Array.from(c.y.data, (_, i) => Math.sin(i + 1)),
      c.y.shape,
      { dtype },
    );
    y.backward({ gradient: weighing });
    for (const [key, p] of Object.entries(c.grads)) expectNear(inputs[key].grad!, p, dtype, `the gradient of ${key}`);
    for (const [key, p] of Object.entries(c.after)) expectNear(running[key], p, dtype, key);
  });
});
