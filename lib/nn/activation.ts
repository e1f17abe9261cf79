/**
 * Activations and other layers without parameters.
 */
import { expect, show } from "../errors.js";
import {
  celu,
  glu,
  hardshrink,
  hardsigmoid,
  hardswish,
  hardtanh,
  logSigmoid,
  mish,
  prelu,
  relu6,
  rrelu,
  selu,
  softmin,
  softshrink,
  softsign,
  tanhshrink,
  threshold,
} from "../ops/activation.js";
import { normalizeAxis } from "../ops/common.js";
import { full } from "../ops/create.js";
import { elu, gelu, leakyRelu, relu, sigmoid, silu, softplus, tanh } from "../ops/elementwise.js";
import { dropout, type GeneratorOption } from "../ops/random.js";
import { flatten, reshape } from "../ops/shape.js";
import { logSoftmax, softmax } from "../ops/softmax.js";
import { sizeOfShape, type Tensor } from "../tensor.js";
import { expectCount, type FactoryOptions } from "./linear.js";
import { Module } from "./module.js";
import { type Parameter, parameter } from "./parameter.js";

interface Plain {
  /** Takes nothing: the function has no options. */
  new (): Module & {
    /** The function of each element of x, in x's shape. */
    forward(x: Tensor): Tensor;
  };
}

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
/** (exp(x) - exp(-x)) / (exp(x) + exp(-x)) */
export class Tanh extends plain(tanh) {}
/** x sigmoid(x) */
export class SiLU extends plain(silu) {}
/** min(max(x, 0), 6) */
export class ReLU6 extends plain(relu6) {}
/** scale (x where positive, alpha (exp(x) - 1) elsewhere), self-normalising (Klambauer et al. 2017). */
export class SELU extends plain(selu) {}
/** x tanh(softplus(x)) */
export class Mish extends plain(mish) {}
/** x hardsigmoid(x) */
export class Hardswish extends plain(hardswish) {}
/** min(max(x + 3, 0), 6) / 6 */
export class Hardsigmoid extends plain(hardsigmoid) {}
/** log(sigmoid(x)) */
export class LogSigmoid extends plain(logSigmoid) {}
/** x / (1 + |x|) */
export class Softsign extends plain(softsign) {}
/** x - tanh(x) */
export class Tanhshrink extends plain(tanhshrink) {}

/** log(1 + exp(beta x)) / beta. Default beta 1. */
export class Softplus extends Module {
  /**
   * Holds what every call uses; nothing is learned.
   *
   * @param options beta
   */
  constructor(
    readonly options: {
      /** Sharpness of the bend at 0. Default 1. */
      beta?: number;
    } = {},
  ) {
    super();
  }
  forward(x: Tensor): Tensor {
    return softplus(x, this.options);
  }
}
/** x itself. */
export class Identity extends plain((x) => x) {}

/** x times the normal distribution's probability below x; exact, or by tanh. */
export class GELU extends Module {
  /**
   * Holds what every call uses; nothing is learned.
   *
   * @param options approximate
   */
  constructor(
    readonly options: {
      /** "none" is exact, by erf; "tanh" is what GPT-2 was trained with. Default none. */
      approximate?: "none" | "tanh";
    } = {},
  ) {
    super();
  }
  forward(x: Tensor): Tensor {
    return gelu(x, this.options);
  }
}

/** x where positive, negativeSlope x elsewhere. Default 0.01. */
export class LeakyReLU extends Module {
  /**
   * Holds what every call uses; nothing is learned.
   *
   * @param negativeSlope what negative elements are multiplied by
   */
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
  /**
   * Holds what every call uses; nothing is learned.
   *
   * @param alpha -alpha is the limit for large negative x
   */
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

/** x where positive, alpha (exp(x / alpha) - 1) elsewhere. Default 1. */
export class CELU extends Module {
  /**
   * Holds what every call uses; nothing is learned.
   *
   * @param alpha -alpha is the limit for large negative x; the slope at 0 is 1 for every alpha
   */
  constructor(readonly alpha = 1) {
    super();
  }
  forward(x: Tensor): Tensor {
    return celu(x, this.alpha);
  }
  protected override describe(): string {
    return `${this.alpha}`;
  }
}

/** x kept between two numbers, -1 and 1 by default. */
export class Hardtanh extends Module {
  /**
   * Holds what every call uses; nothing is learned.
   *
   * @param low least value; above `high` is an error
   * @param high greatest value
   */
  constructor(
    readonly low = -1,
    readonly high = 1,
  ) {
    super();
    expect(low <= high, "Hardtanh", "low <= high", `${low} and ${high}`);
  }
  forward(x: Tensor): Tensor {
    return hardtanh(x, this.low, this.high);
  }
  protected override describe(): string {
    return `${this.low}, ${this.high}`;
  }
}

/** 0 where |x| <= lambda, x elsewhere. Default 0.5. */
export class Hardshrink extends Module {
  /**
   * Holds what every call uses; nothing is learned.
   *
   * @param lambda half the width of the range that becomes 0
   */
  constructor(readonly lambda = 0.5) {
    super();
  }
  forward(x: Tensor): Tensor {
    return hardshrink(x, this.lambda);
  }
  protected override describe(): string {
    return `${this.lambda}`;
  }
}

/** x moved towards 0 by lambda, and 0 where |x| <= lambda. Default 0.5. */
export class Softshrink extends Module {
  /**
   * Holds what every call uses; nothing is learned.
   *
   * @param lambda half the width of the range that becomes 0, and what the rest is moved by
   */
  constructor(readonly lambda = 0.5) {
    super();
  }
  forward(x: Tensor): Tensor {
    return softshrink(x, this.lambda);
  }
  protected override describe(): string {
    return `${this.lambda}`;
  }
}

/** x where it is above `limit`, `value` elsewhere. */
export class Threshold extends Module {
  /**
   * Holds what every call uses; nothing is learned.
   *
   * @param limit x must be above it to be kept
   * @param value what stands for all other x; neither has a default, as in PyTorch
   */
  constructor(
    readonly limit: number,
    readonly value: number,
  ) {
    super();
  }
  forward(x: Tensor): Tensor {
    return threshold(x, this.limit, this.value);
  }
  protected override describe(): string {
    return `${this.limit}, ${this.value}`;
  }
}

/** Options of PReLU. */
export interface PReLUOptions extends FactoryOptions {
  /** What the slopes start from. Default 0.25. */
  init?: number;
}
/** x where positive, weight x elsewhere, with slopes that are learned: one, or one a channel. weight: [numParameters]. */
export class PReLU extends Module {
  /** The slopes of negative x, [numParameters]. */
  weight: Parameter;
  /**
   * The slopes start at `init`, 0.25 unless given, and are learned.
   *
   * @param numParameters 1, or the extent of dimension 1 of x for a slope a channel
   */
  constructor(
    readonly numParameters = 1,
    { init = 0.25, dtype }: PReLUOptions = {},
  ) {
    super();
    expectCount("PReLU", "parameters", numParameters);
    this.weight = parameter(() => full([numParameters], init, { dtype }));
  }
  forward(x: Tensor): Tensor {
    return prelu(x, this.weight);
  }
  protected override describe(): string {
    return `${this.numParameters}`;
  }
}

/** x where positive, slope x elsewhere: drawn evenly from [lower, upper) in training, their mean in eval. */
export class RReLU extends Module {
  /**
   * Holds what every call uses; nothing is learned.
   *
   * @param lower least slope of negative x
   * @param upper greatest slope
   * @param options generator: where the slopes are drawn from, default the global one
   */
  constructor(
    readonly lower = 1 / 8,
    readonly upper = 1 / 3,
    readonly options: GeneratorOption = {},
  ) {
    super();
    expect(lower <= upper, "RReLU", "lower <= upper", `${lower} and ${upper}`);
  }
  forward(x: Tensor): Tensor {
    return rrelu(x, { lower: this.lower, upper: this.upper, training: this.training, ...this.options });
  }
  protected override describe(): string {
    return `${this.lower}, ${this.upper}`;
  }
}

/** a sigmoid(b), a and b the halves of x along an axis. Default the last. */
export class GLU extends Module {
  /**
   * Holds what every call uses; nothing is learned.
   *
   * @param axis its extent must be even; it is halved
   */
  constructor(readonly axis = -1) {
    super();
  }
  forward(x: Tensor): Tensor {
    return glu(x, this.axis);
  }
  protected override describe(): string {
    return `${this.axis}`;
  }
}

/** exp(-x) / sum exp(-x) along an axis. Default the last. */
export class Softmin extends Module {
  /**
   * Holds what every call uses; nothing is learned.
   *
   * @param axis along which the results sum to 1
   */
  constructor(readonly axis = -1) {
    super();
  }
  forward(x: Tensor): Tensor {
    return softmin(x, this.axis);
  }
  protected override describe(): string {
    return `${this.axis}`;
  }
}

/** softmax over the channels of pictures [n, c, h, w] or [c, h, w]. */
export class Softmax2d extends Module {
  forward(x: Tensor): Tensor {
    expect(x.ndim === 3 || x.ndim === 4, "Softmax2d", "x [n,c,h,w] or [c,h,w]", show(x.shape));
    return softmax(x, -3);
  }
}

/** exp(x) / sum exp(x) along an axis. Default the last. */
export class Softmax extends Module {
  /**
   * Holds what every call uses; nothing is learned.
   *
   * @param axis along which the results sum to 1. PyTorch has no default.
   */
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
  /**
   * Holds what every call uses; nothing is learned.
   *
   * @param axis along which exp of the results sums to 1. PyTorch has no default.
   */
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
  /**
   * Holds what every call in training uses; a p outside of [0, 1] is an error.
   *
   * @param p probability that an element becomes 0, from 0 to 1
   * @param options generator: where the draws come from, default the global one
   */
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
  /**
   * Holds what every call uses; nothing is learned.
   *
   * @param start first dimension to merge, from the end where negative
   * @param end last dimension to merge, included
   */
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
  /**
   * Holds what every call uses; nothing is learned.
   *
   * @param axis the dimension to split, from the end where negative
   * @param shape extents whose product is that of the dimension; one may be -1
   */
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
