/**
 * The space of cells (Dong & Yang, "NAS-Bench-201", 2020): four nodes, six edges, one of five operations on each edge. A node is
 * the sum of its edges; node 0 is the cell's input, node 3 its output. 15,625 cells.
 *
 *     0 -> 1, 0 -> 2, 1 -> 2, 0 -> 3, 1 -> 3, 2 -> 3
 */
import { expect } from "../errors.js";
import { Identity, ReLU } from "../nn/activation.js";
import { Sequential } from "../nn/container.js";
import { Conv2d } from "../nn/conv.js";
import { type Layer, Module } from "../nn/module.js";
import { BatchNorm2d } from "../nn/norm.js";
import { AvgPool2d } from "../nn/pool.js";
import type { Tensor } from "../tensor.js";

/** What an edge may do. */
export const OPERATIONS = ["none", "skip", "conv1x1", "conv3x3", "avgpool3x3"] as const;
/** One of OPERATIONS. */
export type Operation = (typeof OPERATIONS)[number];
/** The edges: [from, to], by the node that they lead to. */
export const EDGES = [
  [0, 1],
  [0, 2],
  [1, 2],
  [0, 3],
  [1, 3],
  [2, 3],
] as const;
/** The nodes of a cell. */
export const NODES = 4;

/** A cell: one operation an edge, in the order of EDGES. */
export type Genotype = readonly Operation[];

/** @throws ShapeError where it is not one known operation an edge */
export function checkGenotype(op: string, genotype: Genotype): Genotype {
  const good = genotype.length === EDGES.length && genotype.every((o) => OPERATIONS.includes(o));
  expect(good, op, `${EDGES.length} operations of ${OPERATIONS.join(", ")}`, JSON.stringify(genotype));
  return genotype;
}

/** Answers 0, without a gradient path. */
class Zero extends Module {
  forward(x: Tensor): Tensor {
    return x.mul(0).detach();
  }
}

const reluConvNorm = (channels: number, side: number): Layer =>
  new Sequential(
    new ReLU(),
    new Conv2d(channels, channels, side, { padding: (side - 1) / 2, bias: false }),
    new BatchNorm2d(channels),
  );

/** An operation as a layer that keeps shapes. */
export function layerOf(operation: Operation, channels: number): Layer {
  switch (operation) {
    case "none":
      return new Zero();
    case "skip":
      return new Identity();
    case "conv1x1":
      return reluConvNorm(channels, 1);
    case "conv3x3":
      return reluConvNorm(channels, 3);
    case "avgpool3x3":
      return new AvgPool2d(3, { stride: 1, padding: 1, countIncludePad: false });
  }
}
