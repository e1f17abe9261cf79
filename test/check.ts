/**
 * checkOp: one case table an op is its test, its gradient check, its comparison of ISAs, threads and queueing, the record
 * that the native driver replays, and the benchmark's list of shapes. Outside vitest the tables only fill `benchCases`.
 */
import type { DType, Tensor } from "napier";
import { grad, gradcheck, gradgradcheck, matmul, ones, scope, tensor } from "napier";
import { addon } from "#lib/native.js";
import { type Input, type Nd, randomOf, sizeOf } from "./nd.js";
import { recording } from "./record.js";

const vitest = process.env.VITEST ? await import("vitest") : undefined;
// Outside vitest (the benchmark and docs/ops.md load the tables too) a declaration does nothing.
// biome-ignore lint/suspicious/noExplicitAny: stands in for any function of vitest
const silent: any = new Proxy(() => silent, { get: () => silent });
const { describe, test, expect } =
  vitest ?? ({ describe: silent, test: silent, expect: silent } as typeof import("vitest"));

export { describe, expect, test };

export type Float = "float32" | "float64";
const EPS: Record<string, number> = { float32: 2 ** -23, float64: 2 ** -52 };
const LEAST: Record<string, number> = { float32: 2 ** -126, float64: 2 ** -1022 };

/**
 * How far floats may lie from the reference, in units of the dtype's epsilon: `ulp` an element, |got - want| <= ulp eps
 * |want|; or `rms` all together, rms(got - want) <= rms eps rms(want). { ulp: 0 } asks for equality.
 */
export type Bound = { ulp: number } | { rms: number };
const EXACT: Bound = { ulp: 0 };
const GRADIENTS: Bound = { rms: 16 };

export interface Case<A extends unknown[]> {
  inputs: Input[];
  /** What `run` and `reference` get after the inputs. */
  args?: A;
  /** Whether gradients are checked; default: the spec's. False for NaN, ties and kinks. */
  grad?: boolean;
  /** Floats that the case runs in. Default both. */
  dtypes?: Float[];
  /** Replace the spec's bounds. */
  bound?: Bound;
  gradBound?: Bound;
}

export interface Spec<A extends unknown[]> {
  run(inputs: Tensor[], ...args: A): Tensor;
  /** The specification: slow, obvious, float64. Its dtype is the result's; `float` means the dtype that the case runs in. */
  reference(inputs: Nd[], ...args: A): Nd;
  cases: Record<string, Case<A>>;
  /** Of the forward result against the reference, both dtypes. Default exact. */
  bound?: Bound;
  /** Of float64 where it differs: kernels that sum in double gain nothing there. */
  bound64?: Bound;
  /** Of float32 gradients against float64 ones. Default { rms: 16 }. */
  gradBound?: Bound;
  /** Relative rms, in epsilons, of every other ISA against scalar. Default 0: the same bits. */
  isaRms?: number;
  /** The same of gradients, which sum over what was broadcast. Default 4, or isaRms if larger. */
  isaGradRms?: number;
  /** False for ops without gradients. Default true: every float input has one. */
  grad?: boolean;
  /** False: asking for a second derivative must throw "<name> has no second derivative". Default true. */
  second?: boolean;
  /** Name to a call that must throw, and what its message holds. */
  errors?: Record<string, [call: () => unknown, message: RegExp]>;
  /** Shapes for the benchmark, from real models. */
  bench?: Record<string, Case<A>>;
}

export interface BenchCase {
  op: string;
  name: string;
  /** Makes the inputs once. */
  inputs(): Tensor[];
  run(inputs: Tensor[]): Tensor;
}
/** Every table's `bench` shapes, filled as the tables load. */
export const benchCases: BenchCase[] = [];

/** What a table says of its op; checkCase tests that it is so. */
export interface OpTable {
  op: string;
  grad: boolean;
  second: boolean;
  /** The table's, then those of its cases; of gradients none without. */
  bounds: Bound[];
  gradBounds: Bound[];
  /** Whether a case runs where its first tensor, and those of the same dtype, are of `dtype`; docs/ops.md asks. */
  accepts(dtype: DType): boolean;
}
/** Every table, filled as they load. */
export const tables: OpTable[] = [];

// ---- Values

/** The tensor of a case's input, in the dtype that the case runs in. */
export function toTensor(x: Nd, float: Float): Tensor {
  const dtype: DType = x.dtype === "float" ? float : x.dtype;
  if (dtype === "float64") return tensor(x.data, x.shape, { dtype });
  if (dtype === "int64")
    return tensor(
      BigInt64Array.from(x.data, (v) => BigInt(v)),
      x.shape,
    );
  if (dtype === "int32") return tensor(new Int32Array(x.data), x.shape);
  if (dtype === "uint8") return tensor(new Uint8Array(x.data), x.shape);
  if (dtype === "int8") return tensor(new Int8Array(x.data), x.shape);
  const float32 = tensor(new Float32Array(x.data), x.shape);
  return dtype === "float32" ? float32 : float32.to(dtype);
}

/** Elements as the array that holds them (numbers where that is a BigInt64Array). */
const elementsOf = (x: Tensor): ArrayLike<number> => {
  const data = x.dataSync(x.dtype) as ArrayLike<number> | BigInt64Array;
  return data instanceof BigInt64Array ? Array.from(data, Number) : data;
};

const bytesOf = (x: Tensor): Buffer => Buffer.from(x.dataSync(x.dtype).buffer);

/** Elements as numbers, of any dtype but the half precisions. */
export const valuesOf = (x: Tensor): number[] => Array.from(x.dataSync(x.dtype) as ArrayLike<number | bigint>, Number);

/** Throws where `got` lies farther from `want` than `bound` allows; NaN and infinities must agree. */
export function expectClose(
  got: ArrayLike<number>,
  want: ArrayLike<number>,
  dtype: DType,
  bound: Bound,
  what: string,
): void {
  if (got.length !== want.length) throw new Error(`${what}: ${got.length} elements, expected ${want.length}`);
  const eps = EPS[dtype] ?? 0;
  const rounded = dtype === "float32" ? Math.fround : (v: number) => v;
  let difference = 0;
  let size = 0;
  let worst = -1;
  let worstError = 0;
  for (let i = 0; i < want.length; i++) {
    const w = rounded(want[i]!);
    const g = got[i]!;
    if (g === w || (Number.isNaN(g) && Number.isNaN(w))) {
      if (Number.isFinite(w)) size += w * w;
      continue;
    }
    const error = Math.abs(g - w);
    if (!Number.isFinite(error)) {
      // A value beyond the largest float may round to it or to infinity.
      const limit = dtype === "float32" ? 3.4028e38 : 1.79769e308;
      if (!(Math.abs(g) > limit && Math.abs(w) > limit && Math.sign(g) === Math.sign(w)))
        throw new Error(`${what}: element ${i} is ${g}, expected ${want[i]}`);
      continue;
    }
    difference += error * error;
    size += w * w;
    if ("ulp" in bound) {
      const allowed = bound.ulp * eps * Math.abs(w) + (bound.ulp > 0 ? bound.ulp * eps * LEAST[dtype]! : 0);
      if (error > allowed)
        throw new Error(
          `${what}: element ${i} is ${g}, expected ${w}: ${(error / (eps * Math.abs(w))).toPrecision(3)} eps apart, at most ${bound.ulp} allowed`,
        );
    } else if (error > worstError) [worst, worstError] = [i, error];
  }
  if ("rms" in bound && Math.sqrt(difference) > bound.rms * eps * Math.sqrt(size)) {
    throw new Error(
      `${what}: relative rms difference ${(Math.sqrt(difference / size) / eps).toPrecision(3)} eps, at most ${bound.rms} allowed ` +
        `(worst: element ${worst} is ${got[worst]}, expected ${want[worst]})`,
    );
  }
}

// ---- Evaluating a case

interface Outcome {
  shape: readonly number[];
  dtype: DType;
  y: ArrayLike<number>;
  yBytes: Buffer;
  /** null: no gradient arrived. */
  grads: (ArrayLike<number> | null)[];
  gradBytes: Buffer[];
}

const wantsGrad = (x: Nd): boolean => x.dtype === "float";

const seeds = new Map<number, Float64Array>();

/** The incoming gradient of a result of `size` elements: of either sign and away from 0. */
function seedOf(size: number): Float64Array {
  let dy = seeds.get(size);
  if (!dy) {
    const random = randomOf("dy");
    dy = new Float64Array(size).map(() => Math.fround((0.5 + random()) * (random() < 0.5 ? -1 : 1)));
    seeds.set(size, dy);
  }
  return dy;
}

/** Forward, and the gradient of a fixed weighing where `withGrad`. */
function evaluate<A extends unknown[]>(
  spec: Spec<A>,
  c: Case<A>,
  nds: Nd[],
  float: Float,
  withGrad: boolean,
  createGraph = false,
): Outcome {
  const args = c.args ?? ([] as unknown as A);
  return scope(() => {
    const xs = nds.map((x) => toTensor(x, float));
    const leaves = withGrad ? xs.filter((_, i) => wantsGrad(nds[i]!)).map((x) => x.requiresGrad_()) : [];
    const y = spec.run(xs, ...args);
    const dxs =
      leaves.length === 0
        ? []
        : grad(y, leaves, {
            gradOutputs: [tensor(seedOf(y.size), y.shape, { dtype: float })],
            allowUnused: true,
            createGraph,
          });
    // Read last: until here the stream may still be busy with what came before.
    const outcome: Outcome = {
      shape: y.shape,
      dtype: y.dtype,
      y: elementsOf(y),
      yBytes: bytesOf(y),
      grads: dxs.map((dx) => dx && elementsOf(dx)),
      gradBytes: dxs.map((dx) => (dx ? bytesOf(dx) : Buffer.alloc(0))),
    };
    for (const dx of dxs) dx?.free();
    return outcome;
  });
}

/** Keeps the stream busy for a while, so that what follows is queued and not run in place. */
function occupyStream(): void {
  const a = ones([256, 256]);
  matmul(a, a).free();
  a.free();
}

function sameBits(a: Outcome, b: Outcome, what: string): void {
  const check = (x: Buffer, y: Buffer, part: string) => {
    if (x.equals(y)) return;
    let i = 0;
    while (x[i] === y[i]) i++;
    throw new Error(`${what}: ${part} differs from byte ${i} on (of ${x.length})`);
  };
  check(a.yBytes, b.yBytes, "the result");
  for (const [i, g] of a.gradBytes.entries()) check(g, b.gradBytes[i]!, `gradient ${i}`);
}

// ---- The tests of a table

function runsAs<A extends unknown[]>(spec: Spec<A>, c: Case<A>, dtype: DType): boolean {
  const random = randomOf("dtypes");
  const made = c.inputs.map((input) => input(random));
  if (made.length === 0) return false; // it makes tensors
  const float = dtype === "float64" ? "float64" : "float32";
  // A case made for floats stands for all: whole numbers where the dtype has no others.
  const values = (x: Nd) => (dtype === float ? x.data : x.data.map((v) => (Number.isFinite(v) ? Math.trunc(v) : 0)));
  const inputs = made.map((x) => (x.dtype === made[0]!.dtype ? { ...x, dtype, data: values(x) } : x));
  try {
    scope(() => {
      const y = spec.run(
        inputs.map((x) => toTensor(x, float)),
        ...(c.args ?? ([] as unknown as A)),
      );
      y.dataSync(y.dtype);
    });
    return true;
  } catch {
    return false; // it says so by an error, at the call or from the kernel
  }
}

/** Declares the tests of one op. */
export function checkOp<A extends unknown[] = []>(name: string, spec: Spec<A>): void {
  const all = Object.values(spec.cases);
  const grad = spec.grad ?? all.some((c) => c.grad ?? true);
  tables.push({
    op: name,
    grad,
    second: grad && (spec.second ?? true),
    bounds: [spec.bound ?? EXACT, ...all.flatMap((c) => c.bound ?? [])],
    gradBounds: grad ? [spec.gradBound ?? GRADIENTS, ...all.flatMap((c) => c.gradBound ?? [])] : [],
    accepts: (dtype) => all.some((c) => runsAs(spec, c, dtype)),
  });
  for (const [caseName, c] of Object.entries(spec.bench ?? {})) {
    benchCases.push({
      op: name,
      name: caseName,
      inputs: () => c.inputs.map((input) => toTensor(input(randomOf(name + caseName)), "float32")),
      run: (inputs) => spec.run(inputs, ...(c.args ?? ([] as unknown as A))),
    });
  }
  if (vitest)
    describe(name, () => {
      for (const [caseName, c] of Object.entries(spec.cases)) {
        describe(caseName, () => checkCase(name, caseName, spec, c));
      }
      for (const [caseName, [call, message]] of Object.entries(spec.errors ?? {})) {
        test(`error: ${caseName}`, () => expect(call).toThrow(message));
      }
    });
}

function checkCase<A extends unknown[]>(name: string, caseName: string, spec: Spec<A>, c: Case<A>): void {
  const args = c.args ?? ([] as unknown as A);
  const floats: Float[] = c.dtypes ?? ["float32", "float64"];
  let made: Nd[] | undefined;
  const inputs = (): Nd[] => {
    const random = randomOf(`${name}/${caseName}`);
    return (made ??= c.inputs.map((input) => input(random)));
  };
  const hasGrad = c.grad ?? spec.grad ?? true;
  const { isaRms = 0, isaGradRms = Math.max(isaRms, 4) } = spec;

  test("forward", () => {
    const want = spec.reference(inputs(), ...args);
    for (const float of floats) {
      const got = evaluate(spec, c, inputs(), float, false);
      expect([...got.shape]).toEqual(want.shape);
      expect(got.dtype).toBe(want.dtype === "float" ? float : want.dtype);
      const bound = c.bound ?? (float === "float64" ? spec.bound64 : undefined) ?? spec.bound ?? EXACT;
      expectClose(got.y, want.data, got.dtype, bound, `${name} ${caseName} ${got.dtype}`);
    }
  });

  if (hasGrad) {
    const entries = (): number =>
      inputs()
        .filter(wantsGrad)
        .reduce((n, x) => n + sizeOf(x.shape), 0);
    const most = (): number => (entries() > 20_000 ? 2 : entries() > 60 ? 24 : Number.POSITIVE_INFINITY);
    const leaves = () =>
      inputs().map((x) => (wantsGrad(x) ? toTensor(x, "float64").requiresGrad_() : toTensor(x, "float64")));
    const fn = (...xs: Tensor[]) => spec.run(xs, ...args);

    test("gradient against central differences", () => {
      scope(() => gradcheck(fn, leaves(), { numChecks: most(), rtol: 1e-4, atol: 1e-6 }));
    });
    test("gradient in float32 against float64", () => {
      const want = evaluate(spec, c, inputs(), "float64", true);
      const got = evaluate(spec, c, inputs(), "float32", true);
      want.grads.forEach((g, i) => {
        if (!g) expect(got.grads[i]).toBeNull();
        else
          expectClose(
            got.grads[i]!,
            g,
            "float32",
            c.gradBound ?? spec.gradBound ?? GRADIENTS,
            `${name} ${caseName} gradient ${i}`,
          );
      });
    });
    if (spec.second ?? true) {
      test("gradient under createGraph", () => {
        const want = evaluate(spec, c, inputs(), "float64", true);
        const got = evaluate(spec, c, inputs(), "float64", true, true);
        want.grads.forEach((g, i) => {
          if (g)
            expectClose(
              got.grads[i]!,
              g,
              "float64",
              { rms: 64 },
              `${name} ${caseName} gradient ${i} under createGraph`,
            );
          else expect(got.grads[i]).toBeNull();
        });
      });
      test("second derivative against central differences", () => {
        scope(() => gradgradcheck(fn, leaves(), { numChecks: Math.min(most(), 24), rtol: 1e-4, atol: 1e-6 }));
      });
    } else {
      test("has no second derivative, and says so", () => {
        const message = new RegExp(`${name} has no second derivative`);
        expect(() => scope(() => gradgradcheck(fn, leaves(), { numChecks: 1 }))).toThrow(message);
      });
    }
  }

  test("same bits with 1, 2 and 4 threads, queued and in place", () => {
    const before = addon.threads();
    try {
      for (const float of floats) {
        addon.synchronize();
        addon.threads(1);
        const want = evaluate(spec, c, inputs(), float, hasGrad);
        const large = want.y.length + inputs().reduce((n, x) => n + x.data.length, 0) > 4096; // else one thread does it
        for (const threads of large ? [1, 2, 4] : [2, 4]) {
          addon.synchronize();
          addon.threads(threads);
          occupyStream();
          sameBits(
            evaluate(spec, c, inputs(), float, hasGrad),
            want,
            `${name} ${caseName} ${float}, ${threads} threads`,
          );
        }
      }
    } finally {
      addon.synchronize();
      addon.threads(before);
    }
  });

  test("every ISA against scalar", () => {
    const before = addon.isa();
    try {
      for (const float of floats) {
        addon.isa("scalar");
        const want = evaluate(spec, c, inputs(), float, hasGrad);
        const close = (got: ArrayLike<number>, want: ArrayLike<number>, dtype: DType, rms: number, what: string) =>
          expectClose(got, want, dtype, EPS[dtype] ? { rms } : { ulp: 0 }, what);
        for (const isa of addon.isas()) {
          addon.isa(isa);
          const got = evaluate(spec, c, inputs(), float, hasGrad);
          close(got.y, want.y, got.dtype, isaRms, `${name} ${caseName} ${isa}`);
          for (const [i, g] of want.grads.entries())
            if (g) close(got.grads[i]!, g, float, isaGradRms, `${name} ${caseName} ${isa} gradient ${i}`);
        }
      }
    } finally {
      addon.isa(before);
    }
  });

  test.runIf(process.env.NAPIER_RECORD)("recorded for the native driver", () => {
    const before = addon.isa();
    addon.isa("scalar");
    try {
      for (const float of floats) {
        recording(isaRms * EPS[float]!, () => evaluate(spec, c, inputs(), float, false));
        if (hasGrad) recording(isaGradRms * EPS[float]!, () => evaluate(spec, c, inputs(), float, true));
      }
    } finally {
      addon.isa(before);
    }
  });
}
