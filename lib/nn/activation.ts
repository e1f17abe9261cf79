/**
 * Activations and other layers without parameters.
 */
import { expect, show } from "../errors.js";
import { normalizeAxis } from "../ops/common.js";
import { elu, gelu, leakyRelu, relu, sigmoid, silu, softplus, tanh } from "../ops/elementwise.js";
import { dropout, type GeneratorOption } from "../ops/random.js";
import { flatten, reshape } from "../ops/shape.js";
import { logSoftmax, softmax } from "../ops/softmax.js";
import { sizeOfShape, type Tensor } from "../tensor.js";
import { Module } from "./module.js";

type Plain = new () => Module & { forward(x: Tensor): Tensor };

/** A layer that is one function of one tensor; the class it makes is named by its declaration below. */
function plain(fn: (x: Tensor) => Tensor): Plain {
  return class extends Module {
    forward(x: Tensor): Tensor {
      return fn(x);
    }
  };
}

/** max(x, 0) */
export class ReLU extends plain(relu) {}
/** 1 / (1 + exp(-x)) */
export class Sigmoid extends plain(sigmoid) {}
export class Tanh extends plain(tanh) {}
/** x sigmoid(x) */
export class SiLU extends plain(silu) {}
/** log(1 + exp(x)) */
export class Softplus extends plain(softplus) {}
/** x itself. */
export class Identity extends plain((x) => x) {}

/** x times the normal distribution's probability below x; exact, or by tanh. */
export class GELU extends Module {
  constructor(readonly options: { approximate?: "none" | "tanh" } = {}) {
    super();
  }
  forward(x: Tensor): Tensor {
    return gelu(x, this.options);
  }
}

/** x where positive, negativeSlope x elsewhere. Default 0.01. */
export class LeakyReLU extends Module {
  constructor(readonly negativeSlope = 0.01) {
    super();
  }
  forward(x: Tensor): Tensor {
    return leakyRelu(x, this.negativeSlope);
  }
  protected override describe(): string {
    return `${this.negativeSlope}`;
  }
}

/** x where positive, alpha (exp(x) - 1) elsewhere. Default 1. */
export class ELU extends Module {
  constructor(readonly alpha = 1) {
    super();
  }
  forward(x: Tensor): Tensor {
    return elu(x, this.alpha);
  }
  protected override describe(): string {
    return `${this.alpha}`;
  }
}

/** exp(x) / sum exp(x) along an axis. Default the last. */
export class Softmax extends Module {
  constructor(readonly axis = -1) {
    super();
  }
  forward(x: Tensor): Tensor {
    return softmax(x, this.axis);
  }
  protected override describe(): string {
    return `${this.axis}`;
  }
}

/** x - log sum exp(x) along an axis. Default the last. */
export class LogSoftmax extends Module {
  constructor(readonly axis = -1) {
    super();
  }
  forward(x: Tensor): Tensor {
    return logSoftmax(x, this.axis);
  }
  protected override describe(): string {
    return `${this.axis}`;
  }
}

/** In training each element 0 with probability p, else x / (1 - p); in eval x itself. Default 0.5. */
export class Dropout extends Module {
  constructor(
    readonly p = 0.5,
    readonly options: GeneratorOption = {},
  ) {
    super();
    expect(typeof p === "number" && p >= 0 && p <= 1, "Dropout", "a probability between 0 and 1", `${p}`);
  }
  forward(x: Tensor): Tensor {
    return dropout(x, this.p, { training: this.training, ...this.options });
  }
  protected override describe(): string {
    return `${this.p}`;
  }
}

/** Dimensions `start` to `end` merged into one. Default: all but the first. */
export class Flatten extends Module {
  constructor(
    readonly start = 1,
    readonly end = -1,
  ) {
    super();
  }
  forward(x: Tensor): Tensor {
    return flatten(x, this.start, this.end);
  }
}

/** One dimension split into several; one of them may be -1. */
export class Unflatten extends Module {
  constructor(
    readonly axis: number,
    readonly shape: readonly number[],
  ) {
    super();
  }
  forward(x: Tensor): Tensor {
    const at = normalizeAxis("Unflatten", this.axis, x.ndim);
    const known = sizeOfShape(this.shape.filter((e) => e !== -1));
    const extent = x.shape[at];
    const fits = this.shape.includes(-1) ? known > 0 && extent % known === 0 : known === extent;
    expect(
      fits,
      "Unflatten",
      `${show(this.shape)} to make up dimension ${at} of ${show(x.shape)}`,
      `${extent} elements`,
    );
    const parts = this.shape.map((e) => (e === -1 ? extent / known : e));
    return reshape(x, [...x.shape.slice(0, at), ...parts, ...x.shape.slice(at + 1)]);
  }
  protected override describe(): string {
    return `${this.axis}, ${show(this.shape)}`;
  }
}
