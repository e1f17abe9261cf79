/**
 * One step of a recurrent network as a module: RNNCell, LSTMCell, GRUCell, under PyTorch's keys (weight_ih, weight_hh,
 * bias_ih, bias_hh).
 */
import { expect, show } from "../errors.js";
import { add } from "../ops/arithmetic.js";
import { zeros } from "../ops/create.js";
import { relu, tanh } from "../ops/elementwise.js";
import { linear } from "../ops/matmul.js";
import { gruCell, lstmCell } from "../ops/recurrent.js";
import { reshape } from "../ops/shape.js";
import type { Tensor } from "../tensor.js";
import * as init from "./init.js";
import { expectCount, type FactoryOptions } from "./linear.js";
import { Module } from "./module.js";
import { type Parameter, parameter } from "./parameter.js";

/** Options of RNNCell, LSTMCell and GRUCell. */
export interface CellOptions extends FactoryOptions {
  /** Default true. */
  bias?: boolean;
}

/** Weights of a cell: [gates size, in] and [gates size, size], all within 1 / sqrt(size) at the start. */
abstract class Cell extends Module {
  /** [gates hiddenSize, inputSize], for x. */
  weightIh: Parameter;
  /** [gates hiddenSize, hiddenSize], for h. */
  weightHh: Parameter;
  /** [gates hiddenSize]; null with { bias: false }. */
  biasIh: Parameter | null;
  /** [gates hiddenSize]; null with { bias: false }. */
  biasHh: Parameter | null;

  /**
   * Parameters start as resetParameters() sets them.
   *
   * @param inputSize features of x
   * @param hiddenSize features of the state
   */
  constructor(
    gates: number,
    readonly inputSize: number,
    readonly hiddenSize: number,
    { bias = true, dtype }: CellOptions = {},
  ) {
    super();
    expectCount(this.constructor.name, "input features", inputSize);
    expectCount(this.constructor.name, "state features", hiddenSize);
    this.weightIh = parameter(() => zeros([gates * hiddenSize, inputSize], { dtype }));
    this.weightHh = parameter(() => zeros([gates * hiddenSize, hiddenSize], { dtype }));
    this.biasIh = bias ? parameter(() => zeros([gates * hiddenSize], { dtype })) : null;
    this.biasHh = bias ? parameter(() => zeros([gates * hiddenSize], { dtype })) : null;
    this.registerKey("weightIh", "weight_ih");
    this.registerKey("weightHh", "weight_hh");
    this.registerKey("biasIh", "bias_ih");
    this.registerKey("biasHh", "bias_hh");
    this.resetParameters();
  }

  /** PyTorch's initial values: all parameters drawn evenly within 1 / sqrt(hiddenSize). */
  resetParameters(): void {
    const bound = 1 / Math.sqrt(this.hiddenSize);
    for (const p of this.parameters()) init.uniform_(p, -bound, bound);
  }

  /** x as [n, in], the given states or zeros as [n, size], and whether x came without a batch. */
  protected enter(x: Tensor, states: readonly (Tensor | undefined)[]): { x: Tensor; states: Tensor[]; one: boolean } {
    const op = this.constructor.name;
    const one = x.ndim === 1;
    const fits = (one || x.ndim === 2) && x.shape.at(-1) === this.inputSize;
    expect(fits, op, `x of shape [n,${this.inputSize}] or [${this.inputSize}]`, show(x.shape));
    const shape = [one ? 1 : x.shape[0]!, this.hiddenSize];
    const want = one ? [this.hiddenSize] : shape;
    const full = states.map((s) => {
      if (!s) return zeros(shape, { dtype: x.dtype });
      expect(show(s.shape) === show(want), op, `a state of shape ${show(want)}`, show(s.shape));
      return reshape(s, shape);
    });
    return { x: one ? reshape(x, [1, this.inputSize]) : x, states: full, one };
  }

  protected fromInput(x: Tensor): Tensor {
    return linear(x, this.weightIh, this.biasIh);
  }
  protected fromState(h: Tensor): Tensor {
    return linear(h, this.weightHh, this.biasHh);
  }
  protected leave(h: Tensor, one: boolean): Tensor {
    return one ? reshape(h, [this.hiddenSize]) : h;
  }

  protected override describe(): string {
    return `${this.inputSize}, ${this.hiddenSize}${this.biasIh ? "" : ", bias: false"}`;
  }
}

/** h' = tanh(W_ih x + b_ih + W_hh h + b_hh) (Elman 1990), or relu instead of tanh. */
export class RNNCell extends Cell {
  /** What the sums go through. */
  readonly nonlinearity: "tanh" | "relu";

  /**
   * Parameters start as resetParameters() sets them.
   *
   * @param inputSize features of x
   * @param hiddenSize features of h
   */
  constructor(
    inputSize: number,
    hiddenSize: number,
    { nonlinearity = "tanh", ...options }: CellOptions & { nonlinearity?: "tanh" | "relu" } = {},
  ) {
    super(1, inputSize, hiddenSize, options);
    const known = nonlinearity === "tanh" || nonlinearity === "relu";
    expect(known, "RNNCell", "a nonlinearity tanh or relu", JSON.stringify(nonlinearity));
    this.nonlinearity = nonlinearity;
  }

  /** x: [n, in], h: [n, size], default zeros; both may come without n. Returns the new h. */
  forward(x: Tensor, h?: Tensor): Tensor {
    const given = this.enter(x, [h]);
    const sums = add(this.fromInput(given.x), this.fromState(given.states[0]!));
    return this.leave(this.nonlinearity === "tanh" ? tanh(sums) : relu(sums), given.one);
  }
}

/** Long short-term memory (Hochreiter & Schmidhuber 1997): c' = f c + i g, h' = o tanh c'. Rows of the weights: i, f, g, o. */
export class LSTMCell extends Cell {
  /**
   * Parameters start as resetParameters() sets them.
   *
   * @param inputSize features of x
   * @param hiddenSize features of h and c
   */
  constructor(inputSize: number, hiddenSize: number, options: CellOptions = {}) {
    super(4, inputSize, hiddenSize, options);
  }

  /** x: [n, in], state: [h, c], each [n, size], default zeros; all may come without n. Returns the new state. */
  forward(x: Tensor, [h, c]: readonly [h?: Tensor, c?: Tensor] = []): [h: Tensor, c: Tensor] {
    const given = this.enter(x, [h, c]);
    const [h0, c0] = given.states as [Tensor, Tensor];
    const next = lstmCell(add(this.fromInput(given.x), this.fromState(h0)), c0);
    return [this.leave(next[0], given.one), this.leave(next[1], given.one)];
  }
}

/** Gated recurrent unit (Cho et al. 2014): h' = (1 - z) n + z h. Rows of the weights: r, z, n. */
export class GRUCell extends Cell {
  /**
   * Parameters start as resetParameters() sets them.
   *
   * @param inputSize features of x
   * @param hiddenSize features of h
   */
  constructor(inputSize: number, hiddenSize: number, options: CellOptions = {}) {
    super(3, inputSize, hiddenSize, options);
  }

  /** x: [n, in], h: [n, size], default zeros; both may come without n. Returns the new h. */
  forward(x: Tensor, h?: Tensor): Tensor {
    const given = this.enter(x, [h]);
    const h0 = given.states[0]!;
    return this.leave(gruCell(this.fromInput(given.x), this.fromState(h0), h0), given.one);
  }
}
