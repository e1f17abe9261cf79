/**
 * The table of Module.summary(): one forward on zeros, watched by hooks on every module and by an observer of kernels, which
 * counts FLOPs and the bytes of results and follows receptive fields (receptive.ts) of the first picture among the inputs.
 */

import { show } from "../errors.js";
import { noGrad } from "../graph.js";
import { scope } from "../memory.js";
import { type Argument, bindKernels, type DType, observers } from "../native.js";
import { zeros } from "../ops/create.js";
import { checkShape, type Storage, Tensor } from "../tensor.js";
import { inEval } from "./inEval.js";
import type { Module } from "./module.js";
import { ReceptiveFields, resultsOf } from "./receptive.js";

/** Options of Module.summary(). */
export interface SummaryOptions {
  /** Of the zeros that forward is run on. Default: that of the first parameter. */
  dtype?: DType;
}

interface Row {
  name: string;
  shapes: string;
  flops: number;
  /** Bytes of the results made inside. */
  bytes: number;
  field: string;
}

type Flops = (numbers: number[]) => number;
// From the numbers that the kernels take: GemmSize, Conv2dSize, and behind four others AttentionSize.
const convFlops: Flops = ([n, c, h, w, o, r, s, strideH, strideW, padH, padW, dilationH, dilationW, groups]) => {
  const p = Math.floor((h + 2 * padH - dilationH * (r - 1) - 1) / strideH) + 1;
  const q = Math.floor((w + 2 * padW - dilationW * (s - 1) - 1) / strideW) + 1;
  return 2 * n * o * p * q * (c / groups) * r * s;
};
const FLOPS: Record<string, Flops> = {
  gemm: ([batch, m, n, k]) => 2 * batch * m * n * k,
  conv2d: convFlops,
  conv2dGradX: convFlops, // a transposed convolution
  attention: ([, , , , batch, , t, s, d, dv]) => 2 * batch * t * s * (d + dv),
};

/** What the kernels of a forward come to so far. */
interface Counted {
  flops: number;
  /** Of every result, each once. */
  bytes: number;
  fields: ReceptiveFields | null;
}

/** Runs `fn` while every kernel is counted; `known` are no results. */
function counting(known: readonly Tensor[], fn: (counted: Counted) => void): void {
  const counted: Counted = { flops: 0, bytes: 0, fields: null };
  const seen = new WeakSet<Storage>(known.map((t) => t.storage));
  const observe = (op: string, args: readonly Argument[]) => {
    const { written, numbers } = resultsOf(op, args);
    counted.flops += FLOPS[op]?.(numbers) ?? 0;
    for (const t of written) {
      if (seen.has(t.storage)) continue;
      seen.add(t.storage);
      counted.bytes += t.bytes;
    }
    counted.fields?.follow(op, args);
    return undefined;
  };
  observers.push(observe);
  bindKernels();
  try {
    fn(counted);
  } finally {
    observers.splice(observers.indexOf(observe), 1);
    bindKernels();
  }
}

/** Of a result: alone, in arrays or in plain objects, as models.VAE answers. */
const tensorsOf = (value: unknown): Tensor[] => {
  if (value instanceof Tensor) return [value];
  if (typeof value !== "object" || value === null) return [];
  return Array.isArray(value) || Object.getPrototypeOf(value) === Object.prototype
    ? Object.values(value).flatMap(tensorsOf)
    : [];
};
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
const showField = (field: ReturnType<ReceptiveFields["of"]>): string =>
  typeof field === "object" ? (field[0] === field[1] ? `${field[0]}` : field.join("x")) : (field ?? "-");
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
  const rows = new Map<Module, Row>();
  let inputBytes = 0;
  let flops = 0;
  let activations = 0;
  let widest: readonly [name: string, field: string, stride: string] | null = null;

  counting([...parameters, ...root.buffers()], (counted) => {
    const undo: (() => void)[] = [];
    try {
      let most = 0;
      for (const [name, m] of named) {
        const depth = name === "" ? 0 : name.split(".").length;
        const label = `${"  ".repeat(depth)}${name === "" ? "" : `${name.split(".").at(-1)}: `}${m.constructor.name}`;
        const row: Row = { name: label, shapes: "(not called)", flops: 0, bytes: 0, field: "-" };
        rows.set(m, row);
        undo.push(
          m.registerForwardPreHook(() => {
            row.flops -= counted.flops;
            row.bytes -= counted.bytes;
            return undefined;
          }),
          m.registerForwardHook((_, __, output) => {
            const outputs = tensorsOf(output);
            row.shapes = outputs.map((t) => show(t.shape)).join(" ") || "-";
            row.flops += counted.flops;
            row.bytes += counted.bytes;
            const { fields } = counted;
            if (!fields || outputs.length !== 1) return;
            const field = fields.of(outputs[0]!);
            row.field = showField(field);
            if (typeof field !== "object") return;
            const side = Math.max(...field);
            const around = name === "" || widest?.[0].startsWith(`${name}.`);
            if (side < most || (side === most && !around)) return;
            most = side;
            widest = [name, row.field, showField(fields.strideOf(outputs[0]!) ?? undefined)];
          }),
        );
      }
      const run = () =>
        noGrad(() => {
          const inputs = given
            ? (inputShape as readonly Tensor[])
            : [zeros(inputShape as readonly number[], { dtype: dtype ?? parameters[0]?.dtype ?? "float32" })];
          inputBytes = bytesOf(inputs);
          counted.bytes = 0;
          const picture = inputs.find((x) => x.ndim === 4);
          if (picture) counted.fields = new ReceptiveFields(picture);
          (root.forward as (...x: readonly Tensor[]) => unknown)(...inputs);
        });
      inEval(root, () => scope(run));
      ({ flops, bytes: activations } = counted);
    } finally {
      for (const remove of undo) remove();
    }
  });

  const table = [["Module", "Output shape", "Parameters", "FLOPs", "Results", "Receptive field"]];
  for (const [m, { name, shapes, flops, bytes, field }] of rows) {
    const results = bytes === 0 ? "-" : showBytes(bytes);
    table.push([name, shapes, grouped(sizeOf(m.parameters())), showFlops(flops), results, field]);
  }
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
    `FLOPs of products, convolutions and attention: ${showFlops(flops)}`,
    ...(widest ? [`Receptive field: ${widest[1]} pixels, every ${widest[2]}, at ${widest[0] || "the end"}`] : []),
    `Memory: input ${showBytes(inputBytes)}, activations ${showBytes(activations)}, parameters and buffers ${showBytes(state)}, together ${showBytes(inputBytes + activations + state)}`,
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
