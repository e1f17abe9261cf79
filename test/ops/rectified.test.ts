/** @file conv2d and linear that end in a relu: the bits of the op and a relu behind it, by every path, on every ISA. */
import { conv2d, grad, gradgradcheck, linear, nn, noGrad, ones, randn, type Tensor, tensor } from "napier";
import { describe, expect, test } from "vitest";
import { addon } from "#lib/native.js";

const bytes = (t: Tensor) => Buffer.from(t.dataSync().buffer.slice(0));
function same(a: Tensor, b: Tensor, what: string): void {
  expect(bytes(a).equals(bytes(b)), what).toBe(true);
}
function allSame(a: Tensor[], b: Tensor[], what: string): void {
  for (const [i, t] of a.entries()) same(t, b[i]!, `${what}: gradient ${i}`);
}
function onEveryIsa(fn: (isa: string) => void): void {
  const before = addon.isa();
  try {
    for (const isa of addon.isas()) {
      addon.isa(isa);
      fn(isa);
    }
  } finally {
    addon.isa(before);
  }
}

type Shape = [x: number[], w: number[], options?: object];
const CONVOLUTIONS: Record<string, Shape> = {
  "Winograd F(4x4)": [[2, 16, 12, 12], [16, 16, 3, 3], { padding: 1 }],
  "Winograd F(2x2)": [[4, 16, 5, 5], [20, 16, 3, 3], { padding: 1 }],
  "Winograd, panels of weights": [[1, 128, 7, 7], [130, 128, 3, 3], { padding: 1 }],
  "by taps, 1x1": [
    [2, 64, 9, 16],
    [40, 64, 1, 1],
  ],
  "by taps, stride 2": [[2, 16, 33, 32], [24, 16, 3, 3], { padding: 1, stride: 2 }],
  "columns, small pictures": [[3, 32, 5, 5], [17, 32, 3, 3], { stride: 2 }],
  "columns, spans": [
    [5, 40, 3, 3],
    [14, 40, 1, 1],
  ],
  "a stem": [[2, 3, 21, 20], [13, 3, 5, 5], { padding: 2, stride: 2 }],
  depthwise: [[2, 8, 11, 13], [16, 1, 3, 3], { padding: 1, groups: 8 }],
  "mostly holes": [[1, 4, 40, 40], [4, 1, 2, 2], { groups: 4, dilation: 31 }],
  "two groups": [[2, 8, 9, 9], [6, 4, 3, 3], { groups: 2 }],
};
const DTYPES = ["float32", "float64"] as const;

describe.each(Object.entries(CONVOLUTIONS))("conv2d, %s", (_, [xs, ws, options = {}]) => {
  test.each(DTYPES)("%s", (dtype) => {
    const [x, w, b] = [randn(xs, { dtype }), randn(ws, { dtype }), randn([ws[0]!], { dtype })].map((t) =>
      t.requiresGrad_(),
    );
    onEveryIsa((isa) => {
      for (const bias of [b!, null]) {
        const apart = conv2d(x!, w!, bias, options).relu();
        const one = conv2d(x!, w!, bias, { ...options, activation: "relu" });
        same(one, apart, `${isa}: the result`);
        expect(one.dataSync().some((v) => v === 0) && one.dataSync().some((v) => v > 0)).toBe(true);
        const leaves = bias ? [x!, w!, bias] : [x!, w!];
        const dy = randn(one.shape, { dtype });
        const [p, q] = [one, apart].map((y) => grad(y, leaves, { gradOutputs: [dy] }));
        allSame(p!, q!, isa);
      }
    });
  });
});

const PRODUCTS: Record<string, [m: number, n: number, k: number]> = {
  "one row": [1, 70, 33],
  "some rows": [5, 300, 90],
  "some columns": [300, 3, 90],
  "one column": [90, 1, 64],
  small: [20, 30, 40],
  "just under a million multiply-adds": [61, 128, 128],
  large: [200, 300, 250],
  "parts of k": [40, 24, 9000],
  "no k": [4, 6, 0],
};

describe.each(Object.entries(PRODUCTS))("linear, %s", (_, [m, n, k]) => {
  test.each(DTYPES)("%s", (dtype) => {
    const [x, w, b] = [randn([m, k], { dtype }), randn([n, k], { dtype }), randn([n], { dtype })].map((t) =>
      t.requiresGrad_(),
    );
    onEveryIsa((isa) => {
      const apart = linear(x!, w!, b!).relu();
      const one = linear(x!, w!, b!, { activation: "relu" });
      same(one, apart, `${isa}: the result`);
      const dy = randn(one.shape, { dtype });
      const [p, q] = [one, apart].map((y) => grad(y, [x!, w!, b!], { gradOutputs: [dy] }));
      allSame(p!, q!, isa);
    });
  });
});

test("second derivatives", () => {
  const f64 = { dtype: "float64", requiresGrad: true } as const;
  const [x, w] = [randn([1, 2, 4, 4], f64), randn([3, 2, 3, 3], f64)];
  expect(gradgradcheck((x, w) => conv2d(x!, w!, null, { activation: "relu" }), [x, w])).toBeTruthy();
  const [a, b] = [randn([3, 4], f64), randn([5, 4], f64)];
  expect(gradgradcheck((a, b) => linear(a!, b!, null, { activation: "relu" }), [a, b])).toBeTruthy();
});

test("a NaN stays one, other activations are errors", () => {
  const y = conv2d(tensor([[[[Number.NaN, -1]]]]), ones([1, 1, 1, 1]), null, { activation: "relu" });
  expect([...y.dataSync()]).toEqual([Number.NaN, 0]);
  // @ts-expect-error: the types refuse it too
  expect(() => conv2d(ones([1, 1, 2, 2]), ones([1, 1, 1, 1]), null, { activation: "gelu" })).toThrow(
    'conv2d: expected activation to be "relu" or null, got gelu',
  );
  // @ts-expect-error: the types refuse it too
  expect(() => linear(ones([1, 2]), ones([1, 2]), null, { activation: "tanh" })).toThrow("linear: expected activation");
});

test("layers take it, and Sequential makes one pass of both, with the same bits and gradients", () => {
  const model = new nn.Sequential(
    new nn.Conv2d(3, 8, 3, { padding: 1 }),
    new nn.ReLU(),
    new nn.Flatten(),
    new nn.Linear(8 * 36, 10),
    new nn.ReLU(),
  );
  const x = randn([2, 3, 6, 6]);
  const [conv, , flat, fc] = [...model] as [nn.Conv2d, nn.ReLU, nn.Flatten, nn.Linear];
  const apart = fc.forward(flat.forward(conv.forward(x).relu())).relu();
  const one = model.forward(x);
  same(one, apart, "the result");
  const [p, q] = [one, apart].map((y) => grad(y.sum(), model.parameters()));
  allSame(p!, q!, "Sequential");
  const always = new nn.Conv2d(3, 8, 3, { activation: "relu" });
  expect(always.forward(x).min().itemSync()).toBe(0);
});

test("foldBatchNorm hands relu to the layer where nothing is added before it", () => {
  const model = new nn.Sequential(new nn.Conv2d(3, 8, 3), new nn.BatchNorm2d(8), new nn.ReLU()).eval();
  const x = randn([2, 3, 6, 6]);
  const predict = nn.foldBatchNorm(model, x);
  const [got, want] = noGrad(() => [predict(x), model.forward(x)] as const);
  expect(got.sub(want).abs().max().itemSync()).toBeLessThan(1e-5);
  expect(got.min().itemSync()).toBe(0);
});

// Long enough that every loop of the kernels is cut.
const LONG: Record<string, (dtype: "float32" | "float64") => [(activation: "relu") => Tensor, Tensor[]]> =
  Object.fromEntries([
    ...Object.entries<Shape>({
      "conv2d by Winograd": [[4, 64, 28, 28], [64, 64, 3, 3], { padding: 1 }],
      "conv2d by Winograd, panels of weights": [[4, 128, 7, 7], [256, 128, 3, 3], { padding: 1 }],
      "conv2d by taps": [[4, 32, 28, 28], [64, 32, 3, 3], { padding: 1, stride: 2 }],
      "a stem": [[4, 3, 64, 64], [32, 3, 7, 7], { padding: 3, stride: 2 }],
      depthwise: [[4, 96, 28, 28], [96, 1, 3, 3], { padding: 1, groups: 96 }],
    }).map(([name, [xs, ws, options]]) => [
      name,
      (dtype: "float32" | "float64") => {
        const [x, w, b] = [xs, ws, [ws[0]!]].map((shape) => randn(shape, { dtype, requiresGrad: true }));
        return [(activation: "relu") => conv2d(x!, w!, b!, { ...options, activation }), [x!, w!, b!]];
      },
    ]),
    ...Object.entries({
      "linear, large": [300, 400, 250],
      "linear, parts of k": [40, 24, 9000],
      "linear, few rows": [3, 900, 700],
    }).map(([name, [m, n, k]]) => [
      name,
      (dtype: "float32" | "float64") => {
        const [x, w, b] = [[m!, k!], [n!, k!], [n!]].map((shape) => randn(shape, { dtype, requiresGrad: true }));
        return [(activation: "relu") => linear(x!, w!, b!, { activation }), [x!, w!, b!]];
      },
    ]),
  ]);

describe.each(Object.entries(LONG))("the same bits with 1, 2 and 4 threads: %s", (_, make) => {
  test.each(DTYPES)("%s", (dtype) => {
    const [run, leaves] = make(dtype);
    const before = addon.threads();
    try {
      let dy: Tensor | undefined;
      const [one, ...others] = [1, 2, 4].map((threads) => {
        addon.synchronize();
        addon.threads(threads);
        const y = run("relu");
        dy ??= randn(y.shape, { dtype });
        const all = [y, ...(grad(y, leaves, { gradOutputs: [dy] }) as Tensor[])];
        addon.synchronize();
        return all;
      });
      for (const other of others) allSame(other, one!, "threads");
    } finally {
      addon.synchronize();
      addon.threads(before);
    }
  });
});
