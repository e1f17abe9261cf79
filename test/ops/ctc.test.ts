/** @file CTC against the enumeration of all paths. */
import type { CtcOptions, Reduction } from "napier";
import { ctc, ones, randn, tensor, zeros } from "napier";
import { checkOp, describe, expect, test } from "../check.js";
import { at, given, type Input, ints, type Nd, nd, normal } from "../nd.js";

/** -log of the sum over all paths of `steps` classes that read as `labels`. */
function lossOf(logp: Nd, sample: number, steps: number, labels: number[], blank: number): number {
  const classes = logp.shape[2]!;
  let sum = 0;
  const walk = (t: number, last: number, read: number[], weight: number): void => {
    if (read.length > labels.length || read.some((v, i) => v !== labels[i])) return;
    if (t === steps) {
      if (read.length === labels.length) sum += Math.exp(weight);
      return;
    }
    for (let c = 0; c < classes; c++)
      walk(t + 1, c, c === blank || c === last ? read : [...read, c], weight + at(logp, [t, sample, c]));
  };
  walk(0, -1, [], 0);
  return -Math.log(sum);
}

type Args = [lengths: [number[], number[]], options?: CtcOptions];
const steps = (t: number, n: number, c: number, l: number, blank = 0): Input[] => [
  normal(t, n, c),
  (random) => {
    const labels = ints(0, c - 1, [n, l])(random);
    return { ...labels, data: labels.data.map((v) => (v >= blank ? v + 1 : v)) };
  },
];

checkOp<Args>("ctc", {
  run: ([x, labels], [inputs, lengths], options) => ctc(x!, labels!, inputs, lengths, options),
  reference: ([x, labels], [inputs, lengths], { reduction = "mean", blank = 0, zeroInfinity = false } = {}) => {
    const losses = inputs.map((steps, i) => {
      const own = Array.from({ length: lengths[i]! }, (_, j) => at(labels!, [i, j]));
      const loss = lossOf(x!, i, steps, own, blank);
      return zeroInfinity && loss === Number.POSITIVE_INFINITY ? 0 : loss;
    });
    if (reduction === "none") return nd([losses.length], losses);
    const parts = losses.map((v, i) => (reduction === "mean" ? v / Math.max(1, lengths[i]!) / losses.length : v));
    return nd([], [parts.reduce((a, b) => a + b, 0)]);
  },
  second: false,
  bound: { rms: 8 },
  bound64: { rms: 64 },
  gradBound: { rms: 16 },
  isaRms: 8,
  isaGradRms: 16,
  cases: {
    "one step, one label": { inputs: steps(1, 1, 2, 1), args: [[[1], [1]]] },
    "full lengths": {
      inputs: steps(5, 2, 3, 2),
      args: [
        [
          [5, 5],
          [2, 2],
        ],
      ],
    },
    "lengths that differ, none": {
      inputs: steps(6, 3, 3, 3),
      args: [
        [
          [6, 4, 3],
          [3, 2, 1],
        ],
        { reduction: "none" },
      ],
    },
    "sum, another blank": {
      inputs: steps(4, 2, 3, 2, 2),
      args: [
        [
          [4, 4],
          [2, 1],
        ],
        { reduction: "sum", blank: 2 },
      ],
    },
    "no labels: all blanks": {
      inputs: steps(4, 2, 3, 2),
      args: [
        [
          [4, 2],
          [0, 0],
        ],
      ],
    },
    "repeated labels need a blank between": {
      inputs: [normal(5, 1, 3), given([1, 1, 2], [1, 3], "int32")],
      args: [[[5], [3]]],
    },
    "int64 and uint8 labels": { inputs: [normal(4, 1, 3), ints(1, 3, [1, 2], "int64")], args: [[[4], [2]]] },
    "does not fit: infinite, or 0 on request": {
      inputs: [normal(2, 2, 3), given([1, 1, 1, 2], [2, 2], "int32")],
      args: [
        [
          [2, 2],
          [2, 2],
        ],
        { zeroInfinity: true, reduction: "none" },
      ],
    },
    "does not fit: infinite": {
      inputs: [normal(2, 2, 3), given([1, 1, 1, 2], [2, 2], "int32")],
      args: [
        [
          [2, 2],
          [2, 2],
        ],
        { reduction: "none" },
      ],
      grad: false,
    },
    "no step at all": {
      inputs: steps(2, 2, 3, 1),
      args: [
        [
          [0, 0],
          [0, 1],
        ],
        { reduction: "none" },
      ],
      grad: false,
    },
    "improbable: far below the least float": {
      inputs: [
        (random) => ({
          ...normal(5, 1, 3)(random),
          data: new Float64Array(15).map(() => -300 + Math.round(8 * random())),
        }),
        given([1, 2], [1, 2], "int32"),
      ],
      args: [[[1], [1]], { reduction: "none" }],
    },
    "no samples, sum": { inputs: [normal(3, 0, 3), ints(1, 3, [0, 2])], args: [[[], []], { reduction: "sum" }] },
    "many samples": { inputs: steps(4, 150, 3, 2), args: [[new Array(150).fill(4), new Array(150).fill(2)]] },
  },
  errors: {
    "a matrix of log-probabilities": [
      () => ctc(ones([3, 4]), zeros([1, 2], { dtype: "int32" }), [3], [2]),
      /ctc: expected log-probabilities of shape \[t,n,classes\], got \[3,4\]/,
    ],
    "labels of another batch": [
      () => ctc(ones([3, 2, 4]), zeros([1, 2], { dtype: "int32" }), [3, 3], [2, 2]),
      /ctc: expected labels of shape \[2,l\], or \[sum of labelLengths\], got \[1,2\]/,
    ],
    "labels that are floats": [
      () => ctc(ones([3, 1, 4]), ones([1, 2]), [3], [2]),
      /ctc: expected labels of dtype int32/,
    ],
    "too few lengths": [
      () => ctc(ones([3, 2, 4]), zeros([2, 2], { dtype: "int32" }), [3], [2, 2]),
      /ctc: expected inputLengths of shape \[2\], got \[1\]/,
    ],
    "a length beyond the steps": [
      () => ctc(ones([3, 1, 4]), zeros([1, 2], { dtype: "int32" }), [4], [2]),
      /ctc: expected inputLengths between 0 and 3, got 4/,
    ],
    "a length beyond the labels": [
      () => ctc(ones([3, 1, 4]), zeros([1, 2], { dtype: "int32" }), [3], [3]),
      /ctc: expected labelLengths between 0 and 2, got 3/,
    ],
    "a blank that is no class": [
      () => ctc(ones([3, 1, 4]), zeros([1, 2], { dtype: "int32" }), [3], [2], { blank: 4 }),
      /ctc: expected a blank from 0 to 3, got 4/,
    ],
    "another reduction": [
      () => ctc(ones([3, 1, 4]), zeros([1, 2], { dtype: "int32" }), [3], [2], { reduction: "avg" as Reduction }),
      /ctc: expected reduction "mean", "sum" or "none", got "avg"/,
    ],
  },
  bench: {
    "200x16x32, 40 labels": {
      inputs: steps(200, 16, 32, 40),
      args: [[new Array(16).fill(200), new Array(16).fill(40)]],
    },
  },
});

describe("labels of all samples one after another", () => {
  const logp = () => randn([6, 3, 5]).logSoftmax(2);
  const rows = tensor(
    [
      [1, 2, 2],
      [4, 0, 0],
      [0, 0, 0],
    ],
    { dtype: "int32" },
  );
  const flat = [1, 2, 2, 4];
  const lengths = [3, 1, 0];
  test.each(["int32", "int64", "uint8"] as const)("%s: the loss and gradient of rows", (dtype) => {
    const [a, b] = [logp().detach().requiresGrad_(), logp().detach()];
    b.copy_(a.detach()).requiresGrad_();
    const labels = tensor(flat, { dtype });
    const wanted = ctc(a, rows, [6, 5, 4], lengths);
    const got = ctc(b, labels, [6, 5, 4], lengths);
    wanted.backward();
    got.backward();
    expect(got.itemSync()).toBe(wanted.itemSync());
    expect(b.grad!.toArraySync()).toEqual(a.grad!.toArraySync());
  });
  test("lengths may be a tensor, whose values are known here or not", () => {
    const x = logp();
    const wanted = ctc(x, rows, [6, 5, 4], lengths).itemSync();
    const labels = tensor(flat, { dtype: "int32" });
    const known = tensor(lengths, { dtype: "int32" });
    for (const given of [known, known.mul(1), known.to("uint8")])
      expect(ctc(x, labels, [6, 5, 4], given).itemSync()).toBe(wanted);
  });
  test("no labels at all", () => {
    const x = logp();
    const none = zeros([0], { dtype: "int32" });
    const wanted = ctc(x, rows, [6, 5, 4], [0, 0, 0]).itemSync();
    expect(ctc(x, none, [6, 5, 4], [0, 0, 0]).itemSync()).toBe(wanted);
  });
  test("lengths that do not add up: at the call, or when the loss is read", async () => {
    const labels = tensor(flat, { dtype: "int32" });
    expect(() => ctc(logp(), labels, [6, 5, 4], [3, 1, 1])).toThrow(
      "ctc: expected concatenated labels of shape [5], the sum of labelLengths, got [4]",
    );
    const hidden = tensor([3, 1, 1], { dtype: "int32" }).mul(1);
    await expect(ctc(logp(), labels, [6, 5, 4], hidden).item()).rejects.toThrow("between 0 and 3, got 4");
  });
});

describe("values that only the kernel sees", () => {
  const hidden = (values: number[]) => tensor(values, { dtype: "int32" }).mul(1);
  const labels = tensor([[1, 2]], { dtype: "int32" });
  test.each([
    [
      "a label",
      () => ctc(randn([3, 1, 3]), tensor([[1, 3]], { dtype: "int32" }), [3], [2]),
      "between 0 and 2, got 3 (at flat index 1)",
    ],
    ["an input length", () => ctc(randn([3, 1, 3]), labels, hidden([4]), [2]), "between 0 and 3, got 4"],
    ["a label length", () => ctc(randn([3, 1, 3]), labels, [3], hidden([3])), "between 0 and 2, got 3"],
  ])("%s: the loss rejects", async (_, loss, message) => {
    await expect(loss().item()).rejects.toThrow(`ctc: expected a value ${message}`);
  });
  test("labels behind a sample's length are not read", async () => {
    const loss = ctc(randn([3, 1, 3]), tensor([[1, 99]], { dtype: "int32" }), [3], [1]);
    expect(Number.isFinite(await loss.item())).toBe(true);
  });
  test("long inputs: as PyTorch's scale, finite in float32", async () => {
    const logp = randn([400, 2, 20], { requiresGrad: true });
    const wide = tensor(
      Array.from({ length: 120 }, (_, i) => 1 + (i % 19)),
      [2, 60],
      { dtype: "int32" },
    );
    const loss = ctc(logp.logSoftmax(2), wide, [400, 333], [60, 40], { reduction: "sum" });
    loss.backward();
    expect(await loss.item()).toBeGreaterThan(0);
    // The gradient through logSoftmax sums to 0 over the classes of every step.
    const most = await logp.grad!.sum(2).abs().amax().item();
    expect(most).toBeLessThan(1e-4);
  });
});
