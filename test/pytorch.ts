/**
 * Ops beside PyTorch: fixtures/ops/NAME.json holds results and gradients that make_NAME.py beside it computed in float64,
 * but no inputs: both sides compute them from the same integer hash (inputOf here, `values` in fixtures/ops/torch_cases.py).
 */
import { readFileSync } from "node:fs";
import { grad, nn, scope, type Tensor, tensor } from "napier";
import { describe, expect, test } from "vitest";

interface Values {
  shape: number[];
  /** Numbers, or "nan", "inf", "-inf". */
  data: (number | string)[];
}
interface InputSpec {
  shape: number[];
  low: number;
  high: number;
  dtype: "float" | "int32" | "bool";
  grad: boolean;
}
export interface TorchCase {
  name: string;
  op: string;
  inputs: InputSpec[];
  // biome-ignore lint/suspicious/noExplicitAny: options of many ops, under napier's names
  options: any;
  results: Values[];
  /** Of sum over results of sum(result * sin(i + 1)); null where PyTorch has none. */
  grads: (Values | null)[];
}

/** Input `index` of a case: low + (high - low) u with 24 bits of u, rounded to float32; integers from low to high - 1. */
function inputOf(name: string, index: number, { shape, low, high, dtype }: InputSpec): Float64Array {
  let seed = 0x811c9dc5;
  for (const byte of Buffer.from(`${name}/${index}`)) seed = Math.imul(seed ^ byte, 0x01000193) >>> 0;
  return Float64Array.from({ length: shape.reduce((n, e) => n * e, 1) }, (_, i) => {
    let h = (seed + Math.imul(i, 0x9e3779b1)) >>> 0;
    h = Math.imul(h ^ (h >>> 16), 0x85ebca6b) >>> 0;
    h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35) >>> 0;
    h = (h ^ (h >>> 16)) >>> 0;
    const u = (h >>> 8) / 2 ** 24;
    return dtype === "float" ? Math.fround(low + (high - low) * u) : Math.floor(low + (high - low) * u);
  });
}

const TOLERANCE = { float64: 1e-9, float32: 1e-5 };
const numberOf = (v: number | string): number =>
  typeof v === "number"
    ? v
    : v === "nan"
      ? Number.NaN
      : v === "inf"
        ? Number.POSITIVE_INFINITY
        : Number.NEGATIVE_INFINITY;

/** max |got - want| <= tolerance max |want|, over the finite elements; the others must be the same. */
function expectNear(got: Tensor, want: Values, tolerance: number, what: string): void {
  expect([...got.shape], `${what}: shape`).toEqual(want.shape);
  const values = Array.from(got.dataSync(got.dtype) as ArrayLike<number | bigint>, Number);
  const expected = want.data.map(numberOf);
  const size = Math.max(...expected.filter(Number.isFinite).map(Math.abs), 0);
  for (const [i, v] of expected.entries()) {
    const good = Number.isFinite(v) ? Math.abs(values[i]! - v) <= tolerance * size : Object.is(values[i], v);
    if (!good) throw new Error(`${what}: element ${i} is ${values[i]}, PyTorch has ${v}`);
  }
}

export type TorchRun = (inputs: Tensor[], options: TorchCase["options"]) => Tensor | Tensor[];

/**
 * Declares a test for every case of fixtures/ops/NAME.json in float64 (1e-9) and float32 (1e-5); `runs` has an entry for
 * every op there. `float32` replaces the tolerance of an op whose condition does not allow 1e-5, with the reason beside it.
 */
export function checkTorch(name: string, runs: Record<string, TorchRun>, float32: Record<string, number> = {}): void {
  const file = new URL(`fixtures/ops/${name}.json`, import.meta.url);
  const { cases } = JSON.parse(readFileSync(file, "utf8")) as { cases: TorchCase[] };
  test(`${name}: every op of the fixture has a run, and none is without a case`, () => {
    expect([...new Set(cases.map((c) => c.op))].sort()).toEqual(Object.keys(runs).sort());
  });
  describe.each(["float64", "float32"] as const)(`${name} in %s as PyTorch`, (dtype) => {
    test.each(cases.map((c) => [c.name, c] as const))("%s", (_, c) => {
      const tolerance = dtype === "float32" ? (float32[c.op] ?? TOLERANCE.float32) : TOLERANCE.float64;
      scope(() => {
        const inputs = c.inputs.map((spec, i) => {
          const t = tensor(inputOf(c.name, i, spec), spec.shape, {
            dtype: spec.dtype === "float" ? dtype : spec.dtype,
          });
          return spec.grad ? t.requiresGrad_() : t;
        });
        const made = runs[c.op]!(inputs, c.options);
        const results = Array.isArray(made) ? made : [made];
        expect(results.length, "results").toBe(c.results.length);
        for (const [i, y] of results.entries()) expectNear(y, c.results[i]!, tolerance, `result ${i}`);
        const leaves = inputs.filter((_, i) => c.inputs[i]!.grad);
        if (leaves.length === 0) return;
        const roots = results.filter((y) => y.requiresGrad);
        const gradOutputs = roots.map((y) =>
          tensor(
            Float64Array.from({ length: y.size }, (_, i) => Math.sin(i + 1)),
            y.shape,
            { dtype: y.dtype },
          ),
        );
        const total = roots.map((y, i) => y.mul(gradOutputs[i]!).sum()).reduce((a, b) => a.add(b));
        const dxs = grad(total, leaves, { allowUnused: true });
        const wanted = c.grads.filter((_, i) => c.inputs[i]!.grad);
        dxs.forEach((dx, i) => {
          const want = wanted[i];
          if (want) expectNear(dx!, want, tolerance, `gradient ${i}`);
          else expect(dx, `gradient ${i}`).toBeNull();
          dx?.free();
        });
      });
    });
  });
}

/**
 * The module with these tensors in the place of its parameters, whose keys must be `keys`: gradients then arrive at the
 * tensors themselves.
 */
export function withParameters<M extends nn.Module>(module: M, keys: string[], values: Tensor[]): M {
  const named = module.namedParameters();
  expect(named.map(([key]) => key).sort(), "state-dict keys").toEqual([...keys].sort());
  const valueOf = new Map<unknown, Tensor>(named.map(([key, p]) => [p, values[keys.indexOf(key)]!]));
  for (const m of module.modules()) {
    for (const [property, p] of Object.entries(m)) {
      if (!(p instanceof nn.Parameter)) continue;
      const value = valueOf.get(p)!;
      expect([...value.shape], property).toEqual([...p.shape]);
      (m as unknown as Record<string, Tensor>)[property] = value;
    }
  }
  return module;
}
