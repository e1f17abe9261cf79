/**
 * The table of Module.summary(): one forward on zeros, watched by hooks on every module and by an observer of kernels.
 */

import { show } from "../errors.js";
import { noGrad } from "../graph.js";
import { scope } from "../memory.js";
import { bindKernels, type DType, observers } from "../native.js";
import { zeros } from "../ops/create.js";
import { checkShape, Tensor } from "../tensor.js";
import type { Module } from "./module.js";

/** Options of Module.summary(). */
export interface SummaryOptions {
  /** Of the zeros that forward is run on. Default: that of the first parameter. */
  dtype?: DType;
}

interface Row {
  name: string;
  shapes: string;
  outputBytes: number;
  flops: number;
}

type Flops = (numbers: number[]) => number;
// From the extents that the kernels take: GemmSize, Conv2dSize.
const convFlops: Flops = ([n, c, h, w, o, r, s, strideH, strideW, padH, padW, dilationH, dilationW, groups]) => {
  const p = Math.floor((h + 2 * padH - dilationH * (r - 1) - 1) / strideH) + 1;
  const q = Math.floor((w + 2 * padW - dilationW * (s - 1) - 1) / strideW) + 1;
  return 2 * n * o * p * q * (c / groups) * r * s;
};
const FLOPS: Record<string, Flops> = { gemm: ([batch, m, n, k]) => 2 * batch * m * n * k, conv2d: convFlops };

/** Runs `fn` and answers the FLOPs of the matrix products and convolutions in it so far, through the counter. */
function counting(fn: (counted: () => number) => void): void {
  let total = 0;
  const observe = (op: string, args: readonly unknown[]) => {
    total += FLOPS[op]?.(args.filter((a): a is number => typeof a === "number")) ?? 0;
    return undefined;
  };
  observers.push(observe);
  bindKernels();
  try {
    fn(() => total);
  } finally {
    observers.splice(observers.indexOf(observe), 1);
    bindKernels();
  }
}

const tensorsOf = (value: unknown): Tensor[] =>
  value instanceof Tensor ? [value] : Array.isArray(value) ? value.flatMap(tensorsOf) : [];
const bytesOf = (tensors: readonly Tensor[]): number => tensors.reduce((n, t) => n + t.bytes, 0);
const sizeOf = (tensors: readonly Tensor[]): number => tensors.reduce((n, t) => n + t.size, 0);

const grouped = (n: number): string => n.toLocaleString("en-US");
function scaled(n: number, units: string[], step: number): string {
  let at = 0;
  while (n >= step && at < units.length - 1) {
    n /= step;
    at++;
  }
  return `${at === 0 ? n : n.toFixed(2)} ${units[at]}`;
}
const showBytes = (n: number): string => scaled(n, ["B", "KiB", "MiB", "GiB", "TiB"], 1024);
const showFlops = (n: number): string => (n === 0 ? "-" : scaled(n, ["", "k", "M", "G", "T"], 1000).trim());

export function summarize(
  root: Module,
  inputShape: readonly number[] | readonly Tensor[],
  { dtype }: SummaryOptions = {},
): string {
  const named = root.namedModules();
  const parameters = root.parameters();
  const given = inputShape.length > 0 && inputShape.every((x) => x instanceof Tensor);
  if (!given) checkShape("summary", inputShape as readonly number[]);
  const modes = named.map(([, m]) => m.training);
  const rows = new Map<Module, Row>();
  let inputBytes = 0;
  let flops = 0;

  counting((counted) => {
    const undo: (() => void)[] = [];
    try {
      for (const [name, m] of named) {
        const depth = name === "" ? 0 : name.split(".").length;
        const label = `${"  ".repeat(depth)}${name === "" ? "" : `${name.split(".").at(-1)}: `}${m.constructor.name}`;
        const row: Row = { name: label, shapes: "(not called)", outputBytes: 0, flops: 0 };
        rows.set(m, row);
        undo.push(
          m.registerForwardPreHook(() => {
            row.flops -= counted();
            return undefined;
          }),
          m.registerForwardHook((_, __, output) => {
            const outputs = tensorsOf(output);
            row.shapes = outputs.map((t) => show(t.shape)).join(" ") || "-";
            row.flops += counted();
            if (m.children().length === 0) row.outputBytes += bytesOf(outputs);
          }),
        );
      }
      root.eval();
      scope(() =>
        noGrad(() => {
          const inputs = given
            ? (inputShape as readonly Tensor[])
            : [zeros(inputShape as readonly number[], { dtype: dtype ?? parameters[0]?.dtype ?? "float32" })];
          inputBytes = bytesOf(inputs);
          (root.forward as (...x: readonly Tensor[]) => unknown)(...inputs);
        }),
      );
      flops = counted();
    } finally {
      for (const remove of undo) remove();
      named.forEach(([, m], i) => {
        m.training = modes[i];
      });
    }
  });

  const table = [["Module", "Output shape", "Parameters", "FLOPs"]];
  for (const [m, row] of rows)
    table.push([row.name, row.shapes, grouped(sizeOf(m.parameters())), showFlops(row.flops)]);
  const activations = [...rows.values()].reduce((n, row) => n + row.outputBytes, 0);
  const state = bytesOf(parameters) + bytesOf(root.buffers());
  const learned = sizeOf(parameters.filter((p) => p.requiresGrad));
  const rule = (lines: string[]): string => "-".repeat(Math.max(...lines.map((line) => line.length)));
  const lines = aligned(table);
  return [
    lines[0],
    rule(lines),
    ...lines.slice(1),
    rule(lines),
    `Parameters: ${grouped(sizeOf(parameters))} (${grouped(learned)} learned), buffers: ${grouped(sizeOf(root.buffers()))}`,
    `FLOPs of products and convolutions: ${showFlops(flops)}`,
    `Memory: input ${showBytes(inputBytes)}, outputs of layers ${showBytes(activations)}, parameters and buffers ${showBytes(state)}, together ${showBytes(inputBytes + activations + state)}`,
  ].join("\n");
}

/** The cells in columns: text to the left, numbers (from the third on) to the right. */
function aligned(table: string[][]): string[] {
  const widths = table[0].map((_, column) => Math.max(...table.map((row) => row[column].length)));
  return table.map((row) =>
    row
      .map((cell, column) => (column < 2 ? cell.padEnd(widths[column]) : cell.padStart(widths[column])))
      .join("  ")
      .trimEnd(),
  );
}
