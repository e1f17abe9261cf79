/**
 * Conv2d.
 */
import { expect } from "../errors.js";
import { type Pair, pairOf } from "../ops/common.js";
import { type Conv2dOptions, conv2d } from "../ops/conv2d.js";
import { zeros } from "../ops/create.js";
import type { Tensor } from "../tensor.js";
import { expectCount, type FactoryOptions, resetLinear } from "./linear.js";
import { Module } from "./module.js";
import { type Parameter, parameter } from "./parameter.js";

export interface Conv2dLayerOptions extends Conv2dOptions, FactoryOptions {
  /** Default true. */
  bias?: boolean;
}

/** 2-d convolution of [n, in, h, w]. weight: [out, in / groups, r, s], bias: [out]. */
export class Conv2d extends Module {
  weight: Parameter;
  bias: Parameter | null;
  readonly kernelSize: readonly [number, number];
  readonly options: Conv2dOptions;

  constructor(
    readonly inChannels: number,
    readonly outChannels: number,
    kernelSize: Pair,
    { bias = true, dtype, ...options }: Conv2dLayerOptions = {},
  ) {
    super();
    expectCount("Conv2d", "input channels", inChannels);
    expectCount("Conv2d", "output channels", outChannels);
    const { groups = 1 } = options;
    const divides =
      Number.isSafeInteger(groups) && groups >= 1 && inChannels % groups === 0 && outChannels % groups === 0;
    expect(divides, "Conv2d", `groups that divide ${inChannels} input and ${outChannels} output channels`, `${groups}`);
    this.kernelSize = pairOf("Conv2d", "a kernel size", kernelSize, 1);
    this.options = options;
    this.weight = parameter(() => zeros([outChannels, inChannels / groups, ...this.kernelSize], { dtype }));
    this.bias = bias ? parameter(() => zeros([outChannels], { dtype })) : null;
    this.resetParameters();
  }

  resetParameters(): void {
    resetLinear(this.weight, this.bias);
  }

  /** [n, in, h, w] to [n, out, p, q] */
  forward(x: Tensor): Tensor {
    return conv2d(x, this.weight, this.bias, this.options);
  }

  protected override describe(): string {
    const options = Object.entries({ ...this.options, ...(this.bias ? {} : { bias: false }) });
    return [
      `${this.inChannels}, ${this.outChannels}, [${this.kernelSize}]`,
      ...options.map(([key, v]) => `${key}: ${JSON.stringify(v)}`),
    ].join(", ");
  }
}
