/** @file 3x3 convolutions of stride 1 with the shapes that go by Winograd's algorithm, within their documented bounds. */
import { type Conv2dOptions, conv2d, grad, manualSeed, randn, scope, setConvolution, type Tensor } from "napier";
import { withEach } from "../accuracy.js";
import { type Case, checkOp, expect, type Spec, test, valuesOf } from "../check.js";
import { type Nd, nd, normal } from "../nd.js";

type Args = [Conv2dOptions];

function reference([x, w, b]: Nd[], { padding = 0, dilation = 1, groups = 1 }: Conv2dOptions): Nd {
  const [padH, padW] = typeof padding === "number" ? [padding, padding] : (padding as [number, number]);
  const step = dilation as number;
  const [n, c, height, width] = x.shape;
  const [o, perGroup] = w.shape;
  const [p, q] = [height + 2 * padH - 2 * step, width + 2 * padW - 2 * step];
  const y = nd([n, o, p, q], new Float64Array(n * o * p * q));
  let place = 0;
  for (let ni = 0; ni < n; ni++)
    for (let oi = 0; oi < o; oi++)
      for (let pi = 0; pi < p; pi++)
        for (let qi = 0; qi < q; qi++) {
          let sum = b ? b.data[oi] : 0;
          for (let ci = 0; ci < perGroup; ci++) {
            const plane = (ni * c + Math.floor(oi / (o / groups)) * perGroup + ci) * height;
            for (let r = 0; r < 3; r++)
              for (let s = 0; s < 3; s++) {
                const [h, v] = [pi - padH + r * step, qi - padW + s * step];
                if (h >= 0 && h < height && v >= 0 && v < width)
                  sum += x.data[(plane + h) * width + v] * w.data[((oi * perGroup + ci) * 3 + r) * 3 + s];
              }
          }
          y.data[place++] = sum;
        }
  return y;
}

const of = (x: number[], o: number, options: Conv2dOptions = {}, bias = true): Case<Args> => ({
  inputs: [normal(...x), normal(o, x[1] / (options.groups ?? 1), 3, 3), ...(bias ? [normal(o)] : [])],
  args: [options],
});
const cases: Record<string, Case<Args>> = {
  "padding 1": of([1, 17, 17, 19], 19, { padding: 1 }),
  "padding 0, without bias": of([2, 16, 14, 15], 16, {}, false),
  "padding 2": of([1, 18, 15, 13], 33, { padding: 2 }),
  "paddings differ": of([1, 16, 16, 18], 16, { padding: [0, 2] }),
  "7x7 pictures": of([6, 16, 7, 7], 18, { padding: 1 }),
  "5x5 pictures": of([11, 16, 5, 5], 16, { padding: 1 }),
  "wide and low": of([1, 16, 3, 140], 16, { padding: 1 }),
  "narrow and high": of([1, 16, 140, 3], 16, { padding: 1 }),
  "more weights than tiles": of([1, 24, 16, 16], 70, { padding: 1 }),
  "two groups": of([1, 34, 16, 16], 32, { padding: 1, groups: 2 }),
  "padding 3 is not Winograd's": of([1, 16, 14, 14], 16, { padding: 3 }),
  "dilated is not Winograd's": of([1, 16, 16, 16], 16, { padding: 2, dilation: 2 }),
};

const EPS = 2 ** -23;
// The documented bounds: 5e-6 relative rms, exact ones that of sums (docs/kernels.md).
const fast: Spec<Args> = {
  run: ([x, w, b], options) => conv2d(x, w, b ?? null, options),
  reference,
  cases,
  bound: { rms: 5e-6 / EPS },
  bound64: { rms: 8 },
  gradBound: { rms: 5e-6 / EPS },
  isaRms: 5e-6 / EPS,
};
checkOp<Args>("conv2d by Winograd", fast);
checkOp<Args>("conv2d by Winograd, exact", {
  ...fast,
  run(inputs, options) {
    const before = setConvolution("exact");
    try {
      return fast.run(inputs, options);
    } finally {
      setConvolution(before);
    }
  },
  bound: { rms: 8 },
  gradBound: { rms: 16 },
  isaRms: 8,
});

/** Relative to the rms of `want`: the rms and the largest of the differences. */
function errors(got: Tensor, want: Tensor): { rms: number; largest: number } {
  const [a, b] = [valuesOf(got), valuesOf(want)];
  const size = Math.sqrt(b.reduce((sum, v) => sum + v * v, 0) / b.length);
  const off = a.map((v, i) => Math.abs(v - b[i]));
  return {
    rms: Math.sqrt(off.reduce((sum, v) => sum + v * v, 0) / off.length) / size,
    largest: off.reduce((most, v) => Math.max(most, v), 0) / size,
  };
}

const shapes = [
  [2, 64, 28, 64],
  [2, 256, 14, 128],
  [8, 128, 7, 256],
  [1, 512, 7, 128], // one small picture: 49 results a channel
];
test?.("fast and exact stay within their bounds at real sizes on every ISA, and differ", () => {
  manualSeed(231);
  const seen: Record<string, { fast: number; exact: number }> = {};
  for (const [n, c, h, o] of shapes)
    scope(() => {
      const x = randn([n, c, h, h], { dtype: "float64" });
      const w = randn([o, c, 3, 3], { dtype: "float64" });
      const dy = randn([n, o, h, h], { dtype: "float64" });
      const all = (dtype: "float32" | "float64"): Tensor[] => {
        const [a, b] = [x, w].map((t) => t.to(dtype).detach().requiresGrad_());
        const y = conv2d(a, b, null, { padding: 1 });
        return [y, ...(grad(y, [a, b], { gradOutputs: [dy.to(dtype)] }) as Tensor[])];
      };
      // What float32 makes of the inputs is no error of the algorithm.
      for (const t of [x, w, dy]) t.copy_(t.to("float32").to("float64"));
      const want = all("float64"); // by the best ISA
      withEach((isa) => {
        seen[isa] ??= { fast: 0, exact: 0 };
        for (const mode of ["fast", "exact"] as const) {
          const before = setConvolution(mode);
          try {
            for (const [i, got] of all("float32").entries()) {
              const { rms, largest } = errors(got, want[i]);
              expect(rms, `${isa}, ${mode}`).toBeLessThan(mode === "fast" ? 5e-6 : 1e-6);
              expect(largest, `${isa}, ${mode}`).toBeLessThan(mode === "fast" ? 4e-5 : 1e-5);
              seen[isa][mode] = Math.max(seen[isa][mode], rms);
            }
          } finally {
            setConvolution(before);
          }
        }
      });
    });
  for (const [isa, { fast, exact }] of Object.entries(seen)) expect(fast, isa).toBeGreaterThan(1.2 * exact);
});

test?.("setConvolution names what it expects, and answers what was set before", () => {
  expect(() => setConvolution("exakt" as "exact")).toThrow(/setConvolution: expected "fast" or "exact", got "exakt"/);
  expect(setConvolution("exact")).toBe("fast");
  expect(setConvolution("fast")).toBe("exact");
});
