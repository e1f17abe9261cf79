/**
 * Convolution layers over one, two and three axes, and transposed ones.
 */
import { expect } from "../errors.js";
import { type Pair, tupleOf } from "../ops/common.js";
import { type Conv1dOptions, conv1d } from "../ops/conv1d.js";
import { type Conv2dOptions, conv2d } from "../ops/conv2d.js";
import { type Conv3dOptions, conv3d, type Triple } from "../ops/conv3d.js";
import {
  type ConvTranspose1dOptions,
  type ConvTranspose2dOptions,
  type ConvTranspose3dOptions,
  convTranspose1d,
  convTranspose2d,
  convTranspose3d,
} from "../ops/convTranspose.js";
import { zeros } from "../ops/create.js";
import type { Tensor } from "../tensor.js";
import { expectCount, type FactoryOptions, resetLinear } from "./linear.js";
import { Module } from "./module.js";
import { type Parameter, parameter } from "./parameter.js";

interface LayerOptions extends FactoryOptions {
  /** Default true. */
  bias?: boolean;
}
/** Options of Conv1d: those of conv1d(), and bias and dtype. */
export interface Conv1dLayerOptions extends Conv1dOptions, LayerOptions {}
/** Options of Conv2d: those of conv2d(), and bias and dtype. */
export interface Conv2dLayerOptions extends Conv2dOptions, LayerOptions {}
/** Options of Conv3d: those of conv3d(), and bias and dtype. */
export interface Conv3dLayerOptions extends Conv3dOptions, LayerOptions {}
/** Options of ConvTranspose1d: those of convTranspose1d(), and bias and dtype. */
export interface ConvTranspose1dLayerOptions extends ConvTranspose1dOptions, LayerOptions {}
/** Options of ConvTranspose2d: those of convTranspose2d(), and bias and dtype. */
export interface ConvTranspose2dLayerOptions extends ConvTranspose2dOptions, LayerOptions {}
/** Options of ConvTranspose3d: those of convTranspose3d(), and bias and dtype. */
export interface ConvTranspose3dLayerOptions extends ConvTranspose3dOptions, LayerOptions {}

/** What the layers share: a weight, a bias, and the options of their op. */
abstract class Convolution<Options extends { groups?: number }> extends Module {
  /** [out, in / groups, ...kernelSize]; transposed [in, out / groups, ...kernelSize]. */
  weight: Parameter;
  /** [out]; null with { bias: false }. */
  bias: Parameter | null;
  /** One extent for each dimension of the window. */
  readonly kernelSize: readonly number[];
  /** What the op is called with: stride, padding, dilation, groups. */
  readonly options: Options;

  /**
   * Parameters start as resetParameters() sets them.
   *
   * @param inChannels c of the input
   * @param outChannels c of the output; groups must divide both
   */
  constructor(
    readonly inChannels: number,
    readonly outChannels: number,
    axes: number,
    kernelSize: number | readonly number[],
    { bias = true, dtype, ...options }: LayerOptions & Options,
    transposed = false,
  ) {
    super();
    const op = this.constructor.name;
    expectCount(op, "input channels", inChannels);
    expectCount(op, "output channels", outChannels);
    const { groups = 1 } = options;
    const divides =
      Number.isSafeInteger(groups) && groups >= 1 && inChannels % groups === 0 && outChannels % groups === 0;
    expect(divides, op, `groups that divide ${inChannels} input and ${outChannels} output channels`, `${groups}`);
    this.kernelSize = tupleOf(op, "a kernel size", kernelSize, 1, axes);
    this.options = options as unknown as Options;
    const channels = transposed ? [inChannels, outChannels / groups] : [outChannels, inChannels / groups];
    this.weight = parameter(() => zeros([...channels, ...this.kernelSize], { dtype }));
    this.bias = bias ? parameter(() => zeros([outChannels], { dtype })) : null;
    this.resetParameters();
  }

  /** PyTorch's initial values: both within 1 / sqrt(fanIn). */
  resetParameters(): void {
    resetLinear(this.weight, this.bias);
  }

  protected override describe(): string {
    const options = Object.entries({ ...this.options, ...(this.bias ? {} : { bias: false }) });
    return [
      `${this.inChannels}, ${this.outChannels}, [${this.kernelSize}]`,
      ...options.map(([key, v]) => `${key}: ${JSON.stringify(v)}`),
    ].join(", ");
  }
}

/** 1-d convolution of [n, in, l]. weight: [out, in / groups, s], bias: [out]. */
export class Conv1d extends Convolution<Conv1dOptions> {
  /**
   * Parameters start as resetParameters() sets them.
   *
   * @param inChannels c of x
   * @param outChannels c of the output; groups must divide both
   * @param kernelSize length of the window
   */
  constructor(inChannels: number, outChannels: number, kernelSize: number, options: Conv1dLayerOptions = {}) {
    super(inChannels, outChannels, 1, kernelSize, options);
  }
  /** [n, in, l] to [n, out, q] */
  forward(x: Tensor): Tensor {
    return conv1d(x, this.weight, this.bias, this.options);
  }
}

/**
 * 2-d convolution of [n, in, h, w]. weight: [out, in / groups, r, s], bias: [out].
 *
 * @example
 * const conv = new nn.Conv2d(3, 8, 3, { padding: 1, stride: 2 });
 * const y = conv.forward(ones([1, 3, 8, 8])); // [1, 8, 4, 4]
 */
export class Conv2d extends Convolution<Conv2dOptions> {
  /**
   * Parameters start as resetParameters() sets them.
   *
   * @param inChannels c of x
   * @param outChannels c of the output; groups must divide both
   * @param kernelSize [r, s], or one number for both
   */
  constructor(inChannels: number, outChannels: number, kernelSize: Pair, options: Conv2dLayerOptions = {}) {
    super(inChannels, outChannels, 2, kernelSize, options);
  }
  /** [n, in, h, w] to [n, out, p, q]; with { activation: "relu" } the relu of it, in the same pass and with its bits */
  forward(x: Tensor, { activation = this.options.activation ?? null }: Pick<Conv2dOptions, "activation"> = {}): Tensor {
    return conv2d(x, this.weight, this.bias, { ...this.options, activation });
  }
}

/** 3-d convolution of [n, in, d, h, w]. weight: [out, in / groups, t, r, s], bias: [out]. */
export class Conv3d extends Convolution<Conv3dOptions> {
  /**
   * Parameters start as resetParameters() sets them.
   *
   * @param inChannels c of x
   * @param outChannels c of the output; groups must divide both
   * @param kernelSize [t, r, s], or one number for all
   */
  constructor(inChannels: number, outChannels: number, kernelSize: Triple, options: Conv3dLayerOptions = {}) {
    super(inChannels, outChannels, 3, kernelSize, options);
  }
  /** [n, in, d, h, w] to [n, out, ...] */
  forward(x: Tensor): Tensor {
    return conv3d(x, this.weight, this.bias, this.options);
  }
}

/** Transposed 1-d convolution of [n, in, l]. weight: [in, out / groups, s], bias: [out]. */
export class ConvTranspose1d extends Convolution<ConvTranspose1dOptions> {
  /**
   * Parameters start as resetParameters() sets them.
   *
   * @param inChannels c of x
   * @param outChannels c of the output; groups must divide both
   * @param kernelSize length of the window
   */
  constructor(inChannels: number, outChannels: number, kernelSize: number, options: ConvTranspose1dLayerOptions = {}) {
    super(inChannels, outChannels, 1, kernelSize, options, true);
  }
  /** [n, in, l] to [n, out, q] */
  forward(x: Tensor): Tensor {
    return convTranspose1d(x, this.weight, this.bias, this.options);
  }
}

/** Transposed 2-d convolution of [n, in, h, w]. weight: [in, out / groups, r, s], bias: [out]. */
export class ConvTranspose2d extends Convolution<ConvTranspose2dOptions> {
  /**
   * Parameters start as resetParameters() sets them.
   *
   * @param inChannels c of x
   * @param outChannels c of the output; groups must divide both
   * @param kernelSize [r, s], or one number for both
   */
  constructor(inChannels: number, outChannels: number, kernelSize: Pair, options: ConvTranspose2dLayerOptions = {}) {
    super(inChannels, outChannels, 2, kernelSize, options, true);
  }
  /** [n, in, h, w] to [n, out, p, q] */
  forward(x: Tensor): Tensor {
    return convTranspose2d(x, this.weight, this.bias, this.options);
  }
}

/** Transposed 3-d convolution of [n, in, d, h, w]. weight: [in, out / groups, t, r, s], bias: [out]. */
export class ConvTranspose3d extends Convolution<ConvTranspose3dOptions> {
  /**
   * Parameters start as resetParameters() sets them.
   *
   * @param inChannels c of x
   * @param outChannels c of the output; groups must divide both
   * @param kernelSize [t, r, s], or one number for all
   */
  constructor(inChannels: number, outChannels: number, kernelSize: Triple, options: ConvTranspose3dLayerOptions = {}) {
    super(inChannels, outChannels, 3, kernelSize, options, true);
  }
  /** [n, in, d, h, w] to [n, out, ...] */
  forward(x: Tensor): Tensor {
    return convTranspose3d(x, this.weight, this.bias, this.options);
  }
}
