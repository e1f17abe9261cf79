/**
 * How far the elementwise kernels are from the function, over the whole range of float32: the float64 kernels, which are
 * the C library's, are the reference. Bounds: docs/kernels-memory.md.
 */
import type { Tensor } from "napier";
import * as ops from "napier";
import { addon } from "#lib/native.js";

/** A function and its bound: `ulps` of the result, and `absolute` besides. */
export interface Accurate {
  run: (x: Tensor) => Tensor;
  ulps: number;
  absolute?: number;
}

/** Checked for every bit pattern of a float32. Results below 2^-126 count in steps of 2^-149. */
export const ACCURACY: Record<string, Accurate> = {
  exp: { run: ops.exp, ulps: 1.3 },
  expm1: { run: ops.expm1, ulps: 1.6 },
  log: { run: ops.log, ulps: 1 },
  log1p: { run: ops.log1p, ulps: 1.2 },
  tanh: { run: ops.tanh, ulps: 1.6 },
  erf: { run: ops.erf, ulps: 1.2 },
  sigmoid: { run: ops.sigmoid, ulps: 2.5 },
  // Below -87 a sigmoid is subnormal, and the product has no more digits than it has.
  silu: { run: ops.silu, ulps: 3.5, absolute: 1e-43 },
  // x cdf(x) keeps its digits where x > 0; below, the exponent's rounding shows.
  gelu: { run: ops.gelu, ulps: 3, absolute: 5e-8 },
  geluTanh: { run: (x) => ops.gelu(x, { approximate: "tanh" }), ulps: 3, absolute: 2e-7 },
};

export interface Worst {
  /** In multiples of the bound. */
  error: number;
  at: number;
  got: number;
  expected: number;
}

const ulp = (y: number): number => 2 ** (Math.max(Math.floor(Math.log2(Math.abs(y) || 1e-300)), -126) - 23);

/** The worst of all float32 whose bits are `first`, `first + stride`, ... up to 2^32, block by block. */
export function worstOf({ run, ulps, absolute = 0 }: Accurate, stride: number, first = 0): Worst {
  const worst: Worst = { error: 0, at: 0, got: 0, expected: 0 };
  const block = 1 << 18;
  for (let bits = first; bits < 2 ** 32; bits += block * stride) {
    const n = Math.min(block, Math.ceil((2 ** 32 - bits) / stride));
    const words = Uint32Array.from({ length: n }, (_, i) => bits + i * stride);
    const values = new Float32Array(words.buffer);
    ops.scope(() => {
      const x = ops.tensor(values);
      const got = run(x).dataSync();
      const expected = run(x.to("float64")).dataSync("float64");
      for (let i = 0; i < n; i++) {
        const y = got[i]!;
        const r = expected[i]!;
        if (Object.is(y, r)) continue;
        const rounded = Math.fround(r);
        const finite = Number.isFinite(y) && Number.isFinite(rounded);
        // A result that rounds to infinity may be the largest number, and the reverse.
        const error = finite
          ? Math.abs(y - r) / (ulps * ulp(r) + absolute)
          : y === rounded || Math.abs(Math.abs(Number.isFinite(y) ? y : r) - 2 ** 128) < ulps * 2 ** 104
            ? 0
            : Number.POSITIVE_INFINITY;
        if (error > worst.error) Object.assign(worst, { error, at: values[i], got: y, expected: r });
      }
    });
  }
  return worst;
}

/** Every instruction set that runs here, each in its turn. */
export function withEach(check: (isa: string) => void): void {
  const before = addon.isa();
  try {
    for (const isa of addon.isas()) {
      addon.isa(isa);
      check(isa);
    }
  } finally {
    addon.isa(before);
  }
}
