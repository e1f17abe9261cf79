/**
 * Gradients against central differences, in float64: (f(x + eps) - f(x - eps)) / (2 eps), whose error is O(eps^2), entry
 * by entry. A result of many elements is weighed by fixed random numbers, so that one backward and two evaluations an
 * entry suffice: a wrong Jacobian gives equal weighted sums with probability 0.
 */
import { grad } from "./autograd.js";
import { show } from "./errors.js";
import { noGrad } from "./graph.js";
import { scope } from "./memory.js";
import { mul, sum, tensor } from "./ops/index.js";
import type { Tensor } from "./tensor.js";

/** Options of gradcheck and gradgradcheck. */
export interface GradcheckOptions {
  /** Step of the central difference. Default 1e-6. */
  eps?: number;
  /** An entry passes when |numerical - analytic| <= atol + rtol |numerical|. Default 1e-5. */
  atol?: number;
  /** Relative part of the tolerance. Default 1e-3. */
  rtol?: number;
  /** Entries checked an input, drawn at random; default all. */
  numChecks?: number;
  /** Seed of the weights and of the entries drawn. Default 231. */
  seed?: number;
  /** Checks the gradients' gradients too (gradgradcheck). Default false. */
  secondOrder?: boolean;
  /** Prints numerical, analytic and relative error of every checked entry. Default false. */
  verbose?: boolean;
  /** Throws when an entry fails; false: the result says so. Default true. */
  raise?: boolean;
}

/** One entry: d (weighed result) / d inputs[input][index]. */
export interface GradcheckEntry {
  /** Which of the inputs. */
  input: number;
  /** Flat index in the input. */
  index: number;
  /** By central differences. */
  numerical: number;
  /** By backward(). */
  analytic: number;
  /** |numerical - analytic| / max(|numerical|, |analytic|); 0 where both are 0. */
  relativeError: number;
  /** Whether the two agree within atol + rtol |numerical|. */
  ok: boolean;
}

/** What gradcheck and gradgradcheck give. */
export interface GradcheckResult {
  /** Whether every checked entry passed. */
  ok: boolean;
  /** Largest relativeError of the checked entries. */
  maxRelativeError: number;
  /** The checked entries, input by input. */
  entries: GradcheckEntry[];
}

type Results = Tensor | readonly (Tensor | null)[];
type Fn = (...inputs: Tensor[]) => Results;

/** Mulberry32: the weights and draws need to be the same every time, not more. */
function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const listOf = (ys: Results): (Tensor | null)[] => (Array.isArray(ys) ? [...ys] : [ys as Tensor]);

function expectFloat64(op: string, inputs: readonly Tensor[]): number[] {
  const wanted = inputs.flatMap((x, i) => (x.requiresGrad ? [i] : []));
  if (wanted.length === 0)
    throw new Error(`${op}: expected an input that requires a gradient; call requiresGrad_() on it first`);
  for (const i of wanted) {
    const { dtype } = inputs[i]!;
    if (dtype !== "float64") {
      throw new TypeError(
        `${op}: expected input ${i} to be float64, got ${dtype}, in which differences drown in rounding; convert it with .to("float64")`,
      );
    }
  }
  return wanted;
}

function draw(size: number, most: number, random: () => number): number[] {
  const all = Array.from({ length: size }, (_, i) => i);
  if (size <= most) return all;
  for (let i = 0; i < most; i++) {
    const j = i + Math.floor(random() * (size - i));
    [all[i], all[j]] = [all[j]!, all[i]!];
  }
  return all.slice(0, most).sort((a, b) => a - b);
}

/**
 * The shared body: `results` are evaluated for differences (by `plain`) and differentiated (by `recorded`); both compute
 * the same values, gradgradcheck by another path.
 */
function check(
  op: string,
  plain: Fn,
  recorded: Fn,
  inputs: readonly Tensor[],
  options: GradcheckOptions,
): GradcheckResult {
  const {
    eps = 1e-6,
    atol = 1e-5,
    rtol = 1e-3,
    numChecks = Number.POSITIVE_INFINITY,
    seed = 231,
    verbose = false,
    raise = true,
  } = options;
  const wanted = expectFloat64(op, inputs);
  const random = generator(seed);
  const weights: Float64Array[] = [];
  const values = wanted.map((i) => inputs[i]!.dataSync("float64"));

  const analytic = scope(() => {
    const xs = inputs.map((x) => (x.requiresGrad ? x.detach().requiresGrad_() : x));
    const ys = listOf(recorded(...xs));
    ys.forEach((y) => {
      if (y && y.dtype !== "float64")
        throw new TypeError(`${op}: expected the function to give float64, got ${y.dtype} ${show(y.shape)}`);
      weights.push(Float64Array.from({ length: y?.size ?? 0 }, () => (0.5 + random()) * (random() < 0.5 ? -1 : 1)));
    });
    const used = ys.flatMap((y, j) => (y?.requiresGrad ? [{ y, w: tensor(weights[j]!, y.shape) }] : []));
    if (used.length === 0) return values.map((v) => new Float64Array(v.length)); // constant: the differences must be 0
    const total = used.map(({ y, w }) => sum(mul(y, w)));
    const dxs = grad(
      total,
      wanted.map((i) => xs[i]!),
      { allowUnused: true },
    );
    return dxs.map((dx, j) => {
      if (!dx) return new Float64Array(values[j]!.length);
      const data = dx.dataSync("float64");
      dx.free();
      return data;
    });
  });

  // Results at input `at` with one entry moved by `step`.
  const evaluate = (at: number, index: number, step: number): (Float64Array | null)[] =>
    scope(() => {
      const moved = values[at]!.slice();
      moved[index]! += step;
      const i = wanted[at]!;
      const xs = inputs.map((x, j) => (j === i ? tensor(moved, x.shape) : x.detach()));
      return listOf(plain(...xs)).map((y) => y?.dataSync("float64") ?? null);
    });

  const entries: GradcheckEntry[] = [];
  wanted.forEach((input, at) => {
    for (const index of draw(values[at]!.length, numChecks, random)) {
      const above = evaluate(at, index, eps);
      const below = evaluate(at, index, -eps);
      const width = values[at]![index]! + eps - (values[at]![index]! - eps); // 2 eps, as it was rounded
      let numerical = 0;
      above.forEach((y, j) => {
        const z = below[j];
        if (y && z)
          for (let e = 0; e < y.length; e++) if (y[e] !== z[e]) numerical += weights[j]![e]! * (y[e]! - z[e]!);
      });
      numerical /= width;
      const found = analytic[at]![index]!;
      const error = Math.abs(numerical - found);
      const ok = error <= atol + rtol * Math.abs(numerical);
      const relativeError = error === 0 ? 0 : error / Math.max(Math.abs(numerical), Math.abs(found));
      entries.push({ input, index, numerical, analytic: found, relativeError, ok });
    }
  });

  const result = {
    ok: entries.every((e) => e.ok),
    maxRelativeError: entries.reduce((m, e) => Math.max(m, e.relativeError), 0),
    entries,
  };
  const line = (e: GradcheckEntry): string =>
    `input ${e.input} ${show(inputs[e.input]!.shape)} at flat index ${e.index}: ` +
    `numerical ${e.numerical}, analytic ${e.analytic}, relative error ${e.relativeError.toExponential(2)}`;
  if (verbose) for (const e of entries) console.log(`${op}: ${line(e)}${e.ok ? "" : "  FAILED"}`);
  const bad = entries.filter((e) => !e.ok);
  if (bad.length > 0 && raise) {
    const more = bad.length > 5 ? `\n  and ${bad.length - 5} more` : "";
    throw new Error(
      `${op}: ${bad.length} of ${entries.length} entries differ (atol ${atol}, rtol ${rtol}, eps ${eps}):\n  ${bad.slice(0, 5).map(line).join("\n  ")}${more}`,
    );
  }
  return result;
}

/**
 * Compares the gradients of `fn` with central differences, for every input that requires a gradient (float64 only). At a
 * kink (relu at 0, a tie of max) the two rightly differ: choose inputs away from it.
 *
 * @param fn gives a tensor or an array of them, the same for the same inputs (no dropout), without waiting
 * @returns every checked entry with its numerical and analytic value; throws when one fails, unless `raise` is false
 * @example
 * const x = tensor([0.3, -1.2, 2], { dtype: "float64", requiresGrad: true });
 * gradcheck((x) => x.tanh().sum(), [x]); // { ok: true, maxRelativeError: ..., entries: [...] }
 */
export function gradcheck(fn: Fn, inputs: readonly Tensor[], options: GradcheckOptions = {}): GradcheckResult {
  const first = check("gradcheck", (...xs) => noGrad(() => fn(...xs)), fn, inputs, options);
  if (!options.secondOrder) return first;
  const second = gradgradcheck(fn, inputs, options);
  return {
    ok: first.ok && second.ok,
    maxRelativeError: Math.max(first.maxRelativeError, second.maxRelativeError),
    entries: [...first.entries, ...second.entries],
  };
}

/**
 * Compares second derivatives of `fn`, those of its gradients with respect to its inputs and to the incoming gradient,
 * with central differences of the first ones. The differences are of gradients as backward() makes them, the derivatives
 * of those made under createGraph, so the two paths are held against each other too.
 *
 * @returns entries whose `input` counts the inputs of `fn`, then one incoming gradient a result
 * @example
 * const x = tensor([0.3, -1.2, 2], { dtype: "float64", requiresGrad: true });
 * gradgradcheck((x) => x.exp(), [x]);
 */
export function gradgradcheck(fn: Fn, inputs: readonly Tensor[], options: GradcheckOptions = {}): GradcheckResult {
  const wanted = expectFloat64("gradgradcheck", inputs);
  const random = generator((options.seed ?? 231) + 1);
  const shapes = scope(() => noGrad(() => listOf(fn(...inputs)).map((y) => y?.shape ?? [])));
  const dys = shapes.map((shape) => {
    const size = shape.reduce((n, e) => n * e, 1);
    return tensor(
      Float64Array.from({ length: size }, () => 2 * random() - 1),
      shape,
      { requiresGrad: true },
    );
  });
  const gradients =
    (createGraph: boolean): Fn =>
    (...all) => {
      const given = all.slice(0, inputs.length);
      const xs = given.map((x, i) => (wanted.includes(i) && !x.requiresGrad ? x.requiresGrad_() : x));
      const made = listOf(fn(...xs));
      const ys = made.flatMap((y, j) => (y?.requiresGrad ? [{ y, dy: all[inputs.length + j]! }] : []));
      if (ys.length === 0) return [];
      return grad(
        ys.map((o) => o.y),
        wanted.map((i) => xs[i]!),
        { gradOutputs: ys.map((o) => o.dy), createGraph, allowUnused: true },
      );
    };
  return check("gradgradcheck", gradients(false), gradients(true), [...inputs, ...dys], options);
}
