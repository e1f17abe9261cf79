/**
 * Elementwise expressions as one pass over memory: fuse(build) traces `build` once into a program (native/cpu/fuse.cc runs
 * it block by block in the cache), and the gradient of a program is again a program, traced when it is first asked for.
 */

import { expect, sameShape, show } from "../errors.js";
import { record } from "../graph.js";
import { unscoped } from "../memory.js";
import { k } from "../native.js";
import { empty, Tensor } from "../tensor.js";
import { expectFloat, expectSameDType } from "./common.js";
import { tensor } from "./create.js";

/** The steps that a program is made of, in the order of native/cpu/fused.h. */
export const FUSED_STEPS = [
  ...[
    "add",
    "sub",
    "mul",
    "div",
    "maximum",
    "minimum",
    "addScalar",
    "mulScalar",
    "abs",
    "sign",
    "square",
    "reciprocal",
  ],
  ...[
    "sqrt",
    "rsqrt",
    "exp",
    "expm1",
    "log",
    "log1p",
    "sin",
    "cos",
    "tanh",
    "sigmoid",
    "erf",
    "relu",
    "greater",
    "where",
    "constant",
  ],
] as const satisfies readonly string[];
const MOST_STEPS = 256;
const MOST_INPUTS = 32;

type Value = Fused | number;
type Derivatives = (y: Fused, dy: Fused) => (Fused | null)[];

/** A value of an expression that fuse() traces: an input, or what a step makes. It has the methods of a tensor. */
export class Fused {
  /** @internal */
  constructor(
    /** @internal The expression it belongs to. */
    readonly trace: Trace,
    /** @internal Its number there. */
    readonly id: number,
    /** @internal What makes it, of FUSED_STEPS. */
    readonly step: string,
    /** @internal What the step reads. */
    readonly args: readonly Fused[],
    /** @internal The number of the step. */
    readonly alpha: number,
    /** @internal Its gradient, as an expression. */
    readonly derivatives: Derivatives,
  ) {}

  private one(step: string, derivative: (y: Fused, dy: Fused) => Fused | null, alpha = 0): Fused {
    return this.trace.value(step, [this], alpha, (y, dy) => [derivative(y, dy)]);
  }
  private two(step: string, other: Fused, derivatives: Derivatives): Fused {
    return this.trace.value(step, [this, other], 0, derivatives);
  }

  /** x + b */
  add(b: Value): Fused {
    if (typeof b === "number") return this.one("addScalar", (_, dy) => dy, b);
    return this.two("add", b, (_, dy) => [dy, dy]);
  }
  /** x - b */
  sub(b: Value): Fused {
    return typeof b === "number" ? this.add(-b) : this.two("sub", b, (_, dy) => [dy, dy.neg()]);
  }
  /** x b */
  mul(b: Value): Fused {
    if (typeof b === "number") return this.one("mulScalar", (_, dy) => dy.mul(b), b);
    return this.two("mul", b, (_, dy) => [dy.mul(b), dy.mul(this)]);
  }
  /** x / b; by a number, times its reciprocal */
  div(b: Value): Fused {
    if (typeof b === "number") return this.mul(1 / b);
    return this.two("div", b, (y, dy) => [dy.div(b), dy.mul(y).div(b).neg()]);
  }
  /** The larger; NaN where either is. The gradient of a tie goes half to each, as in PyTorch. */
  maximum(b: Fused): Fused {
    return this.two("maximum", b, (_, dy) => [dy.mul(share(this, b)), dy.mul(share(b, this))]);
  }
  /** The smaller; likewise. */
  minimum(b: Fused): Fused {
    return this.two("minimum", b, (_, dy) => [dy.mul(share(b, this)), dy.mul(share(this, b))]);
  }
  /** -x */
  neg(): Fused {
    return this.mul(-1);
  }
  /** |x|; gradient 0 at 0 */
  abs(): Fused {
    return this.one("abs", (_, dy) => dy.mul(this.sign()));
  }
  /** -1, 0 or 1; gradient 0. */
  sign(): Fused {
    return this.one("sign", () => null);
  }
  /** x^2 */
  square(): Fused {
    return this.one("square", (_, dy) => dy.mul(this.mul(2)));
  }
  /** 1 / x */
  reciprocal(): Fused {
    return this.one("reciprocal", (y, dy) => dy.mul(y.square()).neg());
  }
  /** The square root; NaN below 0. */
  sqrt(): Fused {
    return this.one("sqrt", (y, dy) => dy.mul(0.5).div(y));
  }
  /** 1 / sqrt(x) */
  rsqrt(): Fused {
    return this.one("rsqrt", (y, dy) => dy.mul(y.mul(y.square()).mul(-0.5)));
  }
  /** e^x */
  exp(): Fused {
    return this.one("exp", (y, dy) => dy.mul(y));
  }
  /** exp(x) - 1 */
  expm1(): Fused {
    return this.one("expm1", (y, dy) => dy.mul(y.add(1)));
  }
  /** The natural logarithm; NaN below 0, -Infinity at 0. */
  log(): Fused {
    return this.one("log", (_, dy) => dy.div(this));
  }
  /** log(1 + x) */
  log1p(): Fused {
    return this.one("log1p", (_, dy) => dy.div(this.add(1)));
  }
  /** Of radians. */
  sin(): Fused {
    return this.one("sin", (_, dy) => dy.mul(this.cos()));
  }
  /** Of radians. */
  cos(): Fused {
    return this.one("cos", (_, dy) => dy.mul(this.sin()).neg());
  }
  /** (e^x - e^-x) / (e^x + e^-x) */
  tanh(): Fused {
    return this.one("tanh", (y, dy) => dy.mul(y.square().neg().add(1)));
  }
  /** 1 / (1 + e^-x) */
  sigmoid(): Fused {
    return this.one("sigmoid", (y, dy) => dy.mul(y.mul(y.neg().add(1))));
  }
  /** The error function, 2 / sqrt(pi) times the integral of e^-t^2 from 0 to x. */
  erf(): Fused {
    return this.one("erf", (_, dy) =>
      dy.mul(
        this.square()
          .neg()
          .exp()
          .mul(2 / Math.sqrt(Math.PI)),
      ),
    );
  }
  /** x where positive, else 0; gradient 0 at 0. */
  relu(): Fused {
    return this.one("relu", (_, dy) => this.greater(0).where(dy, 0));
  }
  /** x sigmoid(x) */
  silu(): Fused {
    return this.mul(this.sigmoid());
  }
  /** x (1 + erf(x / sqrt 2)) / 2 */
  gelu(): Fused {
    return this.mul(this.mul(Math.SQRT1_2).erf().mul(0.5).add(0.5));
  }
  /** 1 where this > b, else 0; gradient 0. */
  greater(b: Value): Fused {
    return this.two("greater", typeof b === "number" ? this.trace.number(this, b) : b, () => [null, null]);
  }
  /** a where this is not 0, else b. */
  where(a: Value, b: Value): Fused {
    const [p, q] = [a, b].map((v) => (typeof v === "number" ? this.trace.number(this, v) : v)) as [Fused, Fused];
    return this.trace.value("where", [this, p, q], 0, (_, dy) => [null, this.where(dy, 0), this.where(0, dy)]);
  }
}

/** d max(a, b) / d a */
const share = (a: Fused, b: Fused): Fused => a.greater(b).add(b.greater(a).mul(-1)).mul(0.5).add(0.5);

/** One program while it is built: equal steps of equal values are one. */
class Trace {
  readonly inputs: Fused[];
  private readonly known = new Map<string, Fused>();
  private next = 0;

  constructor(count: number) {
    this.inputs = Array.from({ length: count }, (_, i) => this.value("input", [], i, () => []));
  }

  value(step: string, args: readonly Fused[], alpha: number, derivatives: Derivatives): Fused {
    for (const a of args)
      if (!(a instanceof Fused) || a.trace !== this)
        throw new TypeError(
          `fuse: expected values of the expression being built, got ${(a as Fused)?.constructor?.name}`,
        );
    const key = `${step} ${args.map((a) => a.id)} ${Object.is(alpha, -0) ? "-0" : alpha}`;
    const known = this.known.get(key);
    if (known) return known;
    const made = new Fused(this, this.next++, step, args, alpha, derivatives);
    this.known.set(key, made);
    return made;
  }

  /** `value` everywhere; `beside` is any value, for its place in the order. */
  number(beside: Fused, value: number): Fused {
    return this.value("constant", [beside], value, () => [null]);
  }
}

/** Steps in the order they run, and the traced value that they end in. */
class Program {
  readonly trace: Trace;
  readonly result: Fused;
  private readonly gradients = new Map<number, Program | null>();
  private readonly rows: number[];
  private table: Tensor | null = null;

  constructor(
    readonly count: number,
    readonly build: (inputs: Fused[]) => Fused,
  ) {
    expect(count <= MOST_INPUTS, "fuse", `at most ${MOST_INPUTS} inputs`, `${count}`);
    this.trace = new Trace(count);
    const result = build(this.trace.inputs);
    if (!(result instanceof Fused) || result.trace !== this.trace)
      throw new TypeError(`fuse: expected the callback to return a value of its inputs, got ${typeof result}`);
    this.result = result.step === "input" ? result.add(0) : result;
    const order = reachable(this.result).filter((v) => v.step !== "input");
    expect(order.length <= MOST_STEPS, "fuse", `at most ${MOST_STEPS} steps`, `${order.length}`);
    const place = new Map<Fused, number>([...this.trace.inputs, ...order].map((v, i) => [v, i]));
    this.rows = order.flatMap((v) => {
      const [a, b = a, c = a] = v.args.map((arg) => place.get(arg)!);
      return [FUSED_STEPS.indexOf(v.step as (typeof FUSED_STEPS)[number]), a!, b!, c!, v.alpha];
    });
  }

  run(inputs: readonly Tensor[]): Tensor {
    const [first] = inputs as [Tensor];
    const y = empty(first.shape, first.dtype);
    this.table ??= unscoped(() => tensor(this.rows, [this.rows.length], { dtype: "float64" }));
    k.fuse(y, inputs, this.table, y.size);
    const named = Object.fromEntries(inputs.map((x, i) => [`x${i}`, x]));
    return record(y, "fuse", named, named, (dy, saved) => {
      const given = Array.from({ length: this.count }, (_, i) => saved[`x${i}`] as Tensor);
      return Object.fromEntries(
        given.map((x, i) => [`x${i}`, () => this.gradient(i)?.run([...given, dy]) ?? zeroOf(x)]),
      );
    });
  }

  /** The program of (inputs, dy) that is the gradient of input i; null where it is 0. */
  private gradient(i: number): Program | null {
    let found = this.gradients.get(i);
    if (found === undefined) {
      let isZero = false;
      const program = new Program(this.count + 1, (given) => {
        const dx = differentiate(this.build(given.slice(0, -1)), given.at(-1)!, given[i]!);
        isZero = dx === null;
        return dx ?? given[i]!;
      });
      found = isZero ? null : program;
      this.gradients.set(i, found);
    }
    return found;
  }
}

const zeroOf = (x: Tensor): Tensor => {
  const zero = empty(x.shape, x.dtype);
  k.fill(zero, 0, zero.size);
  return zero;
};

/** All values that `y` is made of, each behind its own. */
function reachable(y: Fused): Fused[] {
  const seen = new Set<Fused>();
  const visit = (v: Fused): void => {
    if (seen.has(v)) return;
    for (const a of v.args) visit(a);
    seen.add(v);
  };
  visit(y);
  return [...seen];
}

/** dy d result / d x, in the trace that both stand in; null where there is no way from x. */
function differentiate(result: Fused, dy: Fused, x: Fused): Fused | null {
  const gradients = new Map<Fused, Fused>([[result, dy]]);
  for (const v of reachable(result).reverse()) {
    const own = gradients.get(v);
    if (!own) continue;
    v.derivatives(v, own).forEach((d, i) => {
      if (!d) return;
      const before = gradients.get(v.args[i]!);
      gradients.set(v.args[i]!, before ? before.add(d) : d);
    });
  }
  return gradients.get(x) ?? null;
}

/**
 * A function of tensors from an elementwise expression of them, computed in one pass over memory: the time of one op for a
 * chain of any length. `build` gets a value for each of its parameters, with a tensor's elementwise methods, and is called
 * once. Gradients of any order are fused as well. Where the expression names the same ops, the bits are theirs (silu and
 * gelu are put together of others: up to 4 ulp).
 *
 * @param build at most 32 parameters and 256 steps; plain TypeScript, whose branches do not depend on elements
 * @returns a function of as many float tensors of one shape and dtype; its errors name "fuse"
 * @example
 * const swiglu = fuse((gate, x) => gate.silu().mul(x));
 * const y = swiglu(randn([4, 8]), randn([4, 8])); // [4, 8]
 */
export function fuse(build: (...inputs: Fused[]) => Fused): (...inputs: Tensor[]) => Tensor {
  if (typeof build !== "function") throw new TypeError(`fuse: expected a function, got ${typeof build}`);
  const count = build.length;
  expect(count >= 1, "fuse", "a function with named parameters, one an input", `${count}`);
  const program = new Program(count, (inputs) => build(...inputs));
  return (...inputs) => {
    expect(inputs.length === count, "fuse", `${count} tensors`, `${inputs.length}`);
    const [first] = inputs as [Tensor];
    for (const x of inputs) {
      if (!(x instanceof Tensor)) throw new TypeError(`fuse: expected tensors, got ${typeof x}`);
      expectFloat("fuse", x);
      expectSameDType("fuse", first, x);
      expect(sameShape(first.shape, x.shape), "fuse", `inputs of one shape, ${show(first.shape)}`, show(x.shape));
    }
    return program.run(inputs);
  };
}
