/**
 * Networks of cells: one with a given cell, to be trained alone, and one whose edges mix all operations (DARTS).
 *
 *     Conv 3x3 -> BN -> cells -> residual halving to twice the channels -> cells -> ... -> BN -> ReLU -> mean over places -> Linear
 */

import { expect } from "../errors.js";
import { noGrad } from "../graph.js";
import { ModuleList, Sequential } from "../nn/container.js";
import { Conv2d } from "../nn/conv.js";
import * as init from "../nn/init.js";
import { Linear } from "../nn/linear.js";
import { type Layer, Module } from "../nn/module.js";
import { BatchNorm2d } from "../nn/norm.js";
import { type Parameter, parameter } from "../nn/parameter.js";
import { zeros } from "../ops/create.js";
import { batchNorm } from "../ops/norm.js";
import type { Tensor } from "../tensor.js";
import { checkGenotype, EDGES, type Genotype, layerOf, NODES, OPERATIONS, type Operation } from "./space.js";

/** Options of the networks. */
export interface CellNetworkOptions {
  /** Channels of a picture. Default 3. */
  inChannels?: number;
  /** Default 10. */
  classes?: number;
  /** Channels of the first stage; each stage has twice those before. Default 16. */
  channels?: number;
  /** Stages. Default 3. */
  stages?: number;
  /** Cells of a stage. Default 1. */
  cells?: number;
}

/** Half the side, twice the channels. */
class Reduction extends Module {
  readonly conv: Sequential;
  readonly shortcut: Conv2d;

  constructor(from: number, to: number) {
    super();
    this.conv = new Sequential(new Conv2d(from, to, 3, { stride: 2, padding: 1, bias: false }), new BatchNorm2d(to));
    this.shortcut = new Conv2d(from, to, 1, { stride: 2, bias: false });
  }

  forward(x: Tensor): Tensor {
    return this.conv.forward(x).add(this.shortcut.forward(x));
  }
}

/** A cell with one operation an edge. */
class Cell extends Module {
  readonly edges: ModuleList<Layer>;

  constructor(genotype: Genotype, channels: number) {
    super();
    this.edges = new ModuleList(genotype.map((operation) => layerOf(operation, channels)));
  }

  forward(x: Tensor): Tensor {
    return sumOfNodes(x, (edge, from) => this.edges.at(edge).forward(from));
  }
}

function sumOfNodes(x: Tensor, along: (edge: number, from: Tensor, node: number) => Tensor): Tensor {
  const nodes: Tensor[] = [x];
  for (let to = 1; to < NODES; to++) {
    const parts = EDGES.flatMap(([from, node], edge) => (node === to ? [along(edge, nodes[from]!, from)] : []));
    nodes.push(parts.reduce((a, b) => a.add(b)));
  }
  return nodes.at(-1)!;
}

/** What both networks share. */
abstract class Stacked<C extends Module> extends Module {
  /** To the first channels. */
  readonly stem: Sequential;
  /** Cells, a reduction between stages. */
  readonly body: ModuleList<C | Reduction>;
  /** Behind the last cell. */
  readonly norm: BatchNorm2d;
  /** To scores. */
  readonly head: Linear;

  constructor(
    { inChannels = 3, classes = 10, channels = 16, stages = 3, cells = 1 }: CellNetworkOptions,
    cell: (channels: number) => C,
  ) {
    super();
    for (const [name, n] of Object.entries({ inChannels, classes, channels, stages, cells }))
      expect(
        Number.isSafeInteger(n) && n >= 1,
        this.constructor.name,
        `${name} to be a whole number from 1 up`,
        `${n}`,
      );
    this.stem = new Sequential(
      new Conv2d(inChannels, channels, 3, { padding: 1, bias: false }),
      new BatchNorm2d(channels),
    );
    const body: (C | Reduction)[] = [];
    for (let stage = 0; stage < stages; stage++) {
      const c = channels * 2 ** stage;
      if (stage > 0) body.push(new Reduction(c / 2, c));
      for (let i = 0; i < cells; i++) body.push(cell(c));
    }
    this.body = new ModuleList(body);
    const last = channels * 2 ** (stages - 1);
    this.norm = new BatchNorm2d(last);
    this.head = new Linear(last, classes);
  }

  protected run(x: Tensor, through: (part: C, x: Tensor) => Tensor): Tensor {
    let y = this.stem.forward(x);
    for (const part of this.body) y = part instanceof Reduction ? part.forward(y) : through(part, y);
    return this.head.forward(this.norm.forward(y, { activation: "relu" }).mean([2, 3]));
  }
}

/**
 * A classifier made of one cell, repeated.
 *
 * @example
 * const model = new nas.CellNetwork(["skip", "none", "conv3x3", "conv1x1", "avgpool3x3", "skip"], { channels: 4, stages: 2 });
 * const scores = model.forward(zeros([2, 3, 8, 8])); // [2, 10]
 */
export class CellNetwork extends Stacked<Cell> {
  /** Random weights, from the default generator. */
  constructor(
    /** The cell. */
    readonly genotype: Genotype,
    options: CellNetworkOptions = {},
  ) {
    super(options, (channels) => new Cell(checkGenotype("CellNetwork", genotype), channels));
  }

  /** [n, c, h, w] to scores [n, classes] */
  forward(x: Tensor): Tensor {
    return this.run(x, (cell, y) => cell.forward(y));
  }
}

/** A convolution of a mixed edge, behind the ReLU that its node's edges share. */
class MixedConv extends Module {
  readonly conv: Conv2d;
  // Without weights of their own, so that no edge hides how much it counts (Liu et al. 2018).
  readonly norm: BatchNorm2d;

  constructor(channels: number, side: number) {
    super();
    this.conv = new Conv2d(channels, channels, side, { padding: (side - 1) / 2, bias: false });
    this.norm = new BatchNorm2d(channels, { affine: false });
  }

  /** norm(conv(x)) weight + sum; both go along in the pass of the normalisation. */
  forward(x: Tensor, weight: Tensor, sum: Tensor): Tensor {
    const { runningMean, runningVar, numFeatures } = this.norm;
    return batchNorm(this.conv.forward(x), runningMean, runningVar, weight.expand([numFeatures]), null, {
      training: this.training,
      residual: sum,
    });
  }
}

/** A cell whose edges mix all operations; what several edges of a node need, its ReLU and its mean, is computed once. */
class MixedCell extends Module {
  readonly conv1x1: ModuleList<MixedConv>;
  readonly conv3x3: ModuleList<MixedConv>;

  constructor(channels: number) {
    super();
    this.conv1x1 = new ModuleList(EDGES.map(() => new MixedConv(channels, 1)));
    this.conv3x3 = new ModuleList(EDGES.map(() => new MixedConv(channels, 3)));
  }

  forward(x: Tensor, weights: Tensor): Tensor {
    const weightOf = (edge: number, operation: Operation) => weights.slice(edge, OPERATIONS.indexOf(operation));
    const prepared: { relu: Tensor; mean: Tensor }[] = [];
    return sumOfNodes(x, (edge, from, node) => {
      prepared[node] ??= { relu: from.relu(), mean: layerOf("avgpool3x3", from.shape[1]!).forward(from) };
      const { relu, mean } = prepared[node];
      const plain = from.mul(weightOf(edge, "skip")).add(mean.mul(weightOf(edge, "avgpool3x3")));
      const sum = this.conv1x1.at(edge).forward(relu, weightOf(edge, "conv1x1"), plain);
      return this.conv3x3.at(edge).forward(relu, weightOf(edge, "conv3x3"), sum);
    });
  }
}

/**
 * The network that DARTS trains (Liu, Simonyan & Yang, "DARTS: Differentiable architecture search", 2018): each edge is the
 * mean of all operations, weighted by the softmax of its row of `alphas`.
 */
export class SuperNetwork extends Stacked<MixedCell> {
  /** [edges, operations], shared by all cells. */
  readonly alphas: Parameter;

  /** Random weights, from the default generator; alphas near 0. */
  constructor(options: CellNetworkOptions = {}) {
    super(options, (channels) => new MixedCell(channels));
    this.alphas = parameter(() => zeros([EDGES.length, OPERATIONS.length]));
    init.normal_(this.alphas, 0, 1e-3);
  }

  /** [n, c, h, w] to scores [n, classes] */
  forward(x: Tensor): Tensor {
    const weights = this.alphas.softmax(1);
    return this.run(x, (cell, y) => cell.forward(y, weights));
  }

  /** All parameters but alphas. */
  weights(): Parameter[] {
    return this.parameters().filter((p) => p !== this.alphas);
  }

  /** The likeliest operation of each edge, "none" left out (Liu et al. 2018). */
  async genotype(): Promise<Genotype> {
    const rows = await noGrad(() => this.alphas.detach().clone()).data();
    return EDGES.map((_, edge) => {
      const row = OPERATIONS.map((operation, i) =>
        operation === "none" ? Number.NEGATIVE_INFINITY : Number(rows[edge * OPERATIONS.length + i]),
      );
      return OPERATIONS[row.indexOf(Math.max(...row))]!;
    });
  }
}
