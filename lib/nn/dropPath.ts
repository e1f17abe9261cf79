/**
 * Stochastic depth as a layer.
 */
import { expect } from "../errors.js";
import { type StochasticDepthOptions, stochasticDepth } from "../ops/random.js";
import type { Tensor } from "../tensor.js";
import { Module } from "./module.js";

/**
 * In training each sample's x is 0 with probability p, else x / (1 - p); in eval x itself (Huang et al. 2016, "Deep networks
 * with stochastic depth"). Stands at the end of the branch of a residual block.
 */
export class StochasticDepth extends Module {
  /**
   * Holds what every call in training uses; a p outside of [0, 1] is an error.
   *
   * @param p probability that a sample's branch is left out, from 0 to 1
   * @param options generator, and mode: "row" (default) drops each sample on its own, "batch" all together
   */
  constructor(
    readonly p: number,
    readonly options: Omit<StochasticDepthOptions, "training"> = {},
  ) {
    super();
    expect(typeof p === "number" && p >= 0 && p <= 1, "StochasticDepth", "a probability between 0 and 1", `${p}`);
  }

  /** x: [n, ...] */
  forward(x: Tensor): Tensor {
    return stochasticDepth(x, this.p, { ...this.options, training: this.training });
  }

  protected override describe(): string {
    return `${this.p}`;
  }
}

/** The name that timm gives StochasticDepth. */
export { StochasticDepth as DropPath };
