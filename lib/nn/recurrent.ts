/**
 * Recurrent layers over sequences: RNN, LSTM, GRU, under PyTorch's keys (weight_ih_l0, weight_hh_l0, bias_ih_l0,
 * bias_hh_l0, and the same with _reverse; weight_hr_l0 with projSize).
 *
 * The input's part of all steps is one matrix product; a step is the state's product and one kernel for its gates.
 */
import { expect, show } from "../errors.js";
import { add, less, where } from "../ops/arithmetic.js";
import { arange, tensor, zeros } from "../ops/create.js";
import { relu, tanh } from "../ops/elementwise.js";
import { linear } from "../ops/matmul.js";
import { dropout, type GeneratorOption } from "../ops/random.js";
import { gruCell, lstmCell } from "../ops/recurrent.js";
import { cat, reshape, stack, transpose } from "../ops/shape.js";
import { Tensor } from "../tensor.js";
import * as init from "./init.js";
import { expectCount, type FactoryOptions } from "./linear.js";
import { Module } from "./module.js";
import { type Parameter, parameter } from "./parameter.js";
import { steps } from "./steps.js";

/** Options of RNN, LSTM and GRU. */
export interface RecurrentOptions extends FactoryOptions, GeneratorOption {
  /** Layers on top of each other. Default 1. */
  numLayers?: number;
  /** Default true. */
  bias?: boolean;
  /** Input and output [n, t, ...] instead of [t, n, ...]; states are [layers, n, size] either way. Default false. */
  batchFirst?: boolean;
  /** Probability of dropout between layers, in training. Default 0. */
  dropout?: number;
  /** A second state that reads backwards; its outputs stand behind the first one's. Default false. */
  bidirectional?: boolean;
}

/** What one call of RNN, LSTM or GRU is told about its sequences. */
export interface SequenceOptions {
  /**
   * How many steps of each sequence count, 1 to t: [n] integers. What lies behind is not read, the final state is that
   * of the last step that counts, the backward direction starts there, and outputs behind are 0. This is what PyTorch's
   * packed sequences do, in any order of lengths.
   */
  lengths?: readonly number[] | Tensor | null;
}

type State = Tensor[]; // [h], or [h, c]

/** What a direction of a layer computes with. */
interface Weights {
  ih: Parameter;
  hh: Parameter;
  biasIh: Parameter | null;
  biasHh: Parameter | null;
  hr: Parameter | null;
}

const PARTS = [
  ["ih", "weightIh", "weight_ih"],
  ["hh", "weightHh", "weight_hh"],
  ["biasIh", "biasIh", "bias_ih"],
  ["biasHh", "biasHh", "bias_hh"],
  ["hr", "weightHr", "weight_hr"],
] as const;

abstract class Recurrent extends Module {
  /** Layers on top of each other. */
  readonly numLayers: number;
  /** Whether x and y are [n, t, ...] and not [t, n, ...]. */
  readonly batchFirst: boolean;
  /** Probability of dropout between layers, in training. */
  readonly dropout: number;
  /** Whether a second state reads backwards. */
  readonly bidirectional: boolean;
  readonly #random: GeneratorOption;

  /**
   * Parameters start as resetParameters() sets them; the state starts at 0 in every call that is given none.
   *
   * @param inputSize features of x
   * @param hiddenSize features of the state
   */
  constructor(
    gates: number,
    readonly inputSize: number,
    readonly hiddenSize: number,
    {
      numLayers = 1,
      bias = true,
      batchFirst = false,
      dropout: p = 0,
      bidirectional = false,
      dtype,
      ...random
    }: RecurrentOptions = {},
    /** Features of h where they differ from hiddenSize; 0 where not. */
    readonly projSize = 0,
  ) {
    super();
    const op = this.constructor.name;
    expectCount(op, "input features", inputSize);
    expectCount(op, "state features", hiddenSize);
    expectCount(op, "layers", numLayers);
    expect(typeof p === "number" && p >= 0 && p <= 1, op, "a dropout between 0 and 1", `${p}`);
    const projects = Number.isSafeInteger(projSize) && projSize >= 0 && projSize < hiddenSize;
    expect(projects, op, `a projSize from 0 to ${hiddenSize - 1}`, `${projSize}`);
    this.numLayers = numLayers;
    this.batchFirst = batchFirst;
    this.dropout = p;
    this.bidirectional = bidirectional;
    this.#random = random;
    const matrix = (rows: number, cols: number) => parameter(() => zeros([rows, cols], { dtype }));
    const vector = () => (bias ? parameter(() => zeros([gates * hiddenSize], { dtype })) : null);
    for (let layer = 0; layer < numLayers; layer++) {
      const from = layer === 0 ? inputSize : this.outputSize * this.directions;
      for (let direction = 0; direction < this.directions; direction++)
        this.#place(layer, direction, {
          ih: matrix(gates * hiddenSize, from),
          hh: matrix(gates * hiddenSize, this.outputSize),
          biasIh: vector(),
          biasHh: vector(),
          hr: projSize > 0 ? matrix(projSize, hiddenSize) : null,
        });
    }
    this.resetParameters();
  }

  /** Features of one direction's h. */
  get outputSize(): number {
    return this.projSize || this.hiddenSize;
  }
  /** 2 where bidirectional, else 1. */
  get directions(): number {
    return this.bidirectional ? 2 : 1;
  }

  #place(layer: number, direction: number, weights: Weights): void {
    for (const [part, property, key] of PARTS) {
      const name = `${property}L${layer}${direction ? "Reverse" : ""}`;
      (this as unknown as Record<string, Parameter | null>)[name] = weights[part];
      this.registerKey(name, `${key}_l${layer}${direction ? "_reverse" : ""}`);
    }
  }
  #weights(layer: number, direction: number): Weights {
    const own = this as unknown as Record<string, Parameter | null>;
    return Object.fromEntries(
      PARTS.map(([part, property]) => [part, own[`${property}L${layer}${direction ? "Reverse" : ""}`]]),
    ) as unknown as Weights;
  }

  /** PyTorch's initial values: all parameters drawn evenly within 1 / sqrt(hiddenSize). */
  resetParameters(): void {
    const bound = 1 / Math.sqrt(this.hiddenSize);
    for (const p of this.parameters()) init.uniform_(p, -bound, bound);
  }

  /** One step: the new state from the input's sums [n, gates size]. The bias of the state is in `sums` unless it is GRU's. */
  protected abstract step(sums: Tensor, state: State, weights: Weights): State;

  /** Whether the state's bias is added to the input's sums once for all steps. */
  protected get joinsBiases(): boolean {
    return true;
  }

  /** Extents of the states: h, and LSTM's c. */
  protected get stateSizes(): readonly number[] {
    return [this.outputSize];
  }

  /** Output [t, n, directions size] and final states [layers directions, n, size], as x and the states came. */
  protected run(x: Tensor, given: readonly (Tensor | undefined)[], { lengths = null }: SequenceOptions): State {
    const op = this.constructor.name;
    const batched = x.ndim === 3;
    const fits = (batched || x.ndim === 2) && x.shape.at(-1) === this.inputSize;
    const order = this.batchFirst ? "n,t" : "t,n";
    expect(fits, op, `x of shape [${order},${this.inputSize}] or [t,${this.inputSize}]`, show(x.shape));
    let input = !batched ? reshape(x, [x.shape[0]!, 1, this.inputSize]) : this.batchFirst ? transpose(x, 0, 1) : x;
    const [t, n] = input.shape as [number, number];
    expect(t >= 1, op, "at least one step", show(x.shape));
    const count = this.numLayers * this.directions;
    const states = this.stateSizes.map((size, i) => {
      const state = given[i];
      const want = batched ? [count, n, size] : [count, size];
      if (!state) return steps(zeros([count, n, size], { dtype: x.dtype }));
      expect(show(state.shape) === show(want), op, `a state of shape ${show(want)}`, show(state.shape));
      return steps(reshape(state, [count, n, size]));
    });
    const counts = lengths === null ? null : this.#counts(op, lengths, t, n);
    const last: State[] = [];
    for (let layer = 0; layer < this.numLayers; layer++) {
      if (layer > 0) input = dropout(input, this.dropout, { training: this.training, ...this.#random });
      const outputs: Tensor[] = [];
      for (let direction = 0; direction < this.directions; direction++) {
        const at = layer * this.directions + direction;
        const [y, end] = this.#direction(
          input,
          states.map((s) => s[at]!),
          this.#weights(layer, direction),
          direction === 1,
          counts,
        );
        outputs.push(y);
        last.push(end);
      }
      input = outputs.length === 1 ? outputs[0]! : cat(outputs, 2);
    }
    const y = !batched ? reshape(input, [t, input.shape[2]!]) : this.batchFirst ? transpose(input, 0, 1) : input;
    const finals = this.stateSizes.map((size, i) => {
      const all = stack(last.map((s) => s[i]!));
      return batched ? all : reshape(all, [count, size]);
    });
    return [y, ...finals];
  }

  /** lengths as int32 [n, 1]; a list is checked, a tensor's values are not read. */
  #counts(op: string, lengths: readonly number[] | Tensor, t: number, n: number): Tensor {
    const size = lengths instanceof Tensor ? lengths.size : lengths.length;
    expect(size === n, op, `${n} lengths, one for each sequence`, `${size}`);
    const given = lengths instanceof Tensor ? lengths : tensor(Int32Array.from(lengths), [n]);
    const { range } = given.storage;
    const whole = lengths instanceof Tensor || lengths.every(Number.isInteger);
    const bad = !whole || (range !== null && (range[0] < 1 || range[1] > t));
    expect(!bad, op, `lengths that are integers from 1 to ${t}`, range ? `${range[0]} to ${range[1]}` : "others");
    return reshape(given, [n, 1]);
  }

  #direction(x: Tensor, start: State, w: Weights, reverse: boolean, counts: Tensor | null): [y: Tensor, end: State] {
    const bias = this.joinsBiases && w.biasIh && w.biasHh ? add(w.biasIh, w.biasHh) : w.biasIh;
    const sums = steps(linear(x, w.ih, bias)); // [n, gates size] each
    const t = sums.length;
    const ys = new Array<Tensor>(t);
    let state = start;
    for (let i = 0; i < t; i++) {
      const at = reverse ? t - 1 - i : i;
      const next = this.step(sums[at]!, state, w);
      if (counts === null) {
        state = next;
        ys[at] = state[0]!;
        continue;
      }
      const counted = less(arange(at, at + 1), counts); // [n, 1]
      const before = state;
      state = next.map((s, e) => where(counted, s, before[e]!));
      ys[at] = where(counted, next[0]!, 0);
    }
    return [stack(ys), state];
  }

  protected override describe(): string {
    const more = [
      this.numLayers > 1 ? `, numLayers: ${this.numLayers}` : "",
      this.bidirectional ? ", bidirectional: true" : "",
      this.batchFirst ? ", batchFirst: true" : "",
    ];
    return `${this.inputSize}, ${this.hiddenSize}${more.join("")}`;
  }
}

/**
 * h_t = tanh(W_ih x_t + b_ih + W_hh h_(t-1) + b_hh) (Elman 1990), or relu instead of tanh.
 *
 * @example
 * const rnn = new nn.RNN(8, 16, { batchFirst: true });
 * const [y, h] = rnn.forward(randn([2, 5, 8])); // [2, 5, 16] and [1, 2, 16]
 */
export class RNN extends Recurrent {
  /** What the sums go through. */
  readonly nonlinearity: "tanh" | "relu";

  /**
   * Parameters start as resetParameters() sets them; the state starts at 0 in every call that is given none.
   *
   * @param inputSize features of x
   * @param hiddenSize features of h
   */
  constructor(
    inputSize: number,
    hiddenSize: number,
    { nonlinearity = "tanh", ...options }: RecurrentOptions & { nonlinearity?: "tanh" | "relu" } = {},
  ) {
    super(1, inputSize, hiddenSize, options);
    const known = nonlinearity === "tanh" || nonlinearity === "relu";
    expect(known, "RNN", "a nonlinearity tanh or relu", JSON.stringify(nonlinearity));
    this.nonlinearity = nonlinearity;
  }

  protected step(sums: Tensor, [h]: State, { hh }: Weights): State {
    const all = add(sums, linear(h!, hh));
    return [this.nonlinearity === "tanh" ? tanh(all) : relu(all)];
  }

  /**
   * @param x [t, n, in], or [n, t, in] with batchFirst, or [t, in]
   * @param h [layers directions, n, size], default zeros
   * @returns the outputs [t, n, directions size], and the final h
   */
  forward(x: Tensor, h?: Tensor, options: SequenceOptions = {}): [y: Tensor, h: Tensor] {
    return this.run(x, [h], options) as [Tensor, Tensor];
  }
}

/**
 * Long short-term memory (Hochreiter & Schmidhuber 1997): c_t = f c_(t-1) + i g, h_t = o tanh c_t. Rows of the weights:
 * i, f, g, o. With projSize h_t = W_hr (o tanh c_t) (Sak et al. 2014).
 *
 * @example
 * const lstm = new nn.LSTM(8, 16, { bidirectional: true });
 * const [y, [h, c]] = lstm.forward(randn([5, 2, 8]), undefined, { lengths: [5, 3] }); // [5, 2, 32], [2, 2, 16] twice
 */
export class LSTM extends Recurrent {
  /**
   * Parameters start as resetParameters() sets them; the state starts at 0 in every call that is given none.
   *
   * @param inputSize features of x
   * @param hiddenSize features of c, and of h unless projSize is given
   * @param options projSize: features that h is projected to, below hiddenSize; 0 (default) for none
   */
  constructor(
    inputSize: number,
    hiddenSize: number,
    { projSize = 0, ...options }: RecurrentOptions & { projSize?: number } = {},
  ) {
    super(4, inputSize, hiddenSize, options, projSize);
  }

  protected override get stateSizes(): readonly number[] {
    return [this.outputSize, this.hiddenSize];
  }

  protected step(sums: Tensor, [h, c]: State, { hh, hr }: Weights): State {
    const [y, next] = lstmCell(add(sums, linear(h!, hh)), c!);
    return [hr ? linear(y, hr) : y, next];
  }

  /**
   * @param x [t, n, in], or [n, t, in] with batchFirst, or [t, in]
   * @param state [h, c], each [layers directions, n, size], default zeros
   * @returns the outputs [t, n, directions size], and the final [h, c]
   */
  forward(
    x: Tensor,
    [h, c]: readonly [h?: Tensor, c?: Tensor] = [],
    options: SequenceOptions = {},
  ): [y: Tensor, state: [h: Tensor, c: Tensor]] {
    const [y, hN, cN] = this.run(x, [h, c], options) as [Tensor, Tensor, Tensor];
    return [y, [hN, cN]];
  }
}

/**
 * Gated recurrent unit (Cho et al. 2014): h_t = (1 - z) n + z h_(t-1). Rows of the weights: r, z, n.
 *
 * @example
 * const gru = new nn.GRU(8, 16, { numLayers: 2, dropout: 0.1 });
 * const [y, h] = gru.forward(randn([5, 2, 8])); // [5, 2, 16] and [2, 2, 16]
 */
export class GRU extends Recurrent {
  /**
   * Parameters start as resetParameters() sets them; the state starts at 0 in every call that is given none.
   *
   * @param inputSize features of x
   * @param hiddenSize features of h
   */
  constructor(inputSize: number, hiddenSize: number, options: RecurrentOptions = {}) {
    super(3, inputSize, hiddenSize, options);
  }

  // n = tanh(x_n + r (W_hn h + b_hn)): the state's bias is inside.
  protected override get joinsBiases(): boolean {
    return false;
  }

  protected step(sums: Tensor, [h]: State, { hh, biasHh }: Weights): State {
    return [gruCell(sums, linear(h!, hh, biasHh), h!)];
  }

  /**
   * @param x [t, n, in], or [n, t, in] with batchFirst, or [t, in]
   * @param h [layers directions, n, size], default zeros
   * @returns the outputs [t, n, directions size], and the final h
   */
  forward(x: Tensor, h?: Tensor, options: SequenceOptions = {}): [y: Tensor, h: Tensor] {
    return this.run(x, [h], options) as [Tensor, Tensor];
  }
}
