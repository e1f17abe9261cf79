/**
 * Resizing of pictures. Every mode is a table of taps an axis (lib/ops/taps.ts), and one kernel applies two tables to
 * planes. The map is linear: the gradient's derivative is the map itself, so derivatives of any order exist.
 */

import { expect, show } from "../errors.js";
import { record } from "../graph.js";
import { k } from "../native.js";
import { empty, fromTyped, sizeOfShape, type Tensor } from "../tensor.js";
import { to } from "./cast.js";
import { expectFloat } from "./common.js";
import { reshape } from "./shape.js";
import { type InterpolateMode, type Taps, tapsOf } from "./taps.js";

export type { InterpolateMode };

/** Options of interpolate; one of `size` and `scaleFactor` is needed. */
export interface InterpolateOptions {
  /** The extents to reach, one an axis, or one number for all. Either this or scaleFactor. */
  size?: number | readonly number[];
  /** The extents become floor(extent times factor). */
  scaleFactor?: number | readonly number[];
  /** Default "nearest", whose rounding is OpenCV's; "nearest-exact" is Pillow's. linear: x [n, c, l]; trilinear: [n, c, d, h, w]. */
  mode?: InterpolateMode;
  /** Whether the centres of the corner pixels stay, and not their outer edges. Linear and cubic modes. Default false. */
  alignCorners?: boolean;
  /** Filter what is made smaller, as Pillow does. bilinear and bicubic. Default false. */
  antialias?: boolean;
  /** Compute places by the extents, and not by the scaleFactor that led to them. Default false. */
  recomputeScaleFactor?: boolean;
}

const RANKS: Record<InterpolateMode, readonly number[]> = {
  nearest: [3, 4, 5],
  "nearest-exact": [3, 4, 5],
  area: [3, 4, 5],
  linear: [3],
  bilinear: [4],
  bicubic: [4],
  trilinear: [5],
};

/**
 * x in another size, as torch.nn.functional.interpolate.
 *
 * @param x [n, c, l], [n, c, h, w] or [n, c, d, h, w]
 * @example
 * const y = zeros([1, 3, 8, 8]).interpolate({ scaleFactor: 2, mode: "bilinear" }); // [1, 3, 16, 16]
 */
export function interpolate(
  x: Tensor,
  {
    size,
    scaleFactor,
    mode = "nearest",
    alignCorners = false,
    antialias = false,
    recomputeScaleFactor = false,
  }: InterpolateOptions,
): Tensor {
  const op = "interpolate";
  expectFloat(op, x);
  const ranks = Object.hasOwn(RANKS, mode) ? RANKS[mode] : null;
  if (!ranks)
    throw new TypeError(`${op}: expected a mode of ${Object.keys(RANKS).join(", ")}, got ${JSON.stringify(mode)}`);
  expect(
    ranks.includes(x.ndim),
    op,
    `x with ${ranks.join(", ")} dimensions for mode "${mode}"`,
    `${x.ndim} (${show(x.shape)})`,
  );
  expect(
    x.shape.slice(2).every((e) => e >= 1),
    op,
    "planes with at least one element",
    show(x.shape),
  );
  const smooth = mode !== "nearest" && mode !== "nearest-exact" && mode !== "area";
  expect(!alignCorners || smooth, op, "alignCorners with a linear or cubic mode only", `mode "${mode}"`);
  expect(
    !antialias || mode === "bilinear" || mode === "bicubic",
    op,
    'antialias with mode "bilinear" or "bicubic" only',
    `mode "${mode}"`,
  );
  if ((size === undefined) === (scaleFactor === undefined))
    throw new TypeError(`${op}: expected either size or scaleFactor, got ${size === undefined ? "neither" : "both"}`);
  const extents = x.shape.slice(2);
  const each = (what: string, value: number | readonly number[], good: (e: number) => boolean): number[] => {
    const list = typeof value === "number" ? extents.map(() => value) : [...value];
    expect(
      list.length === extents.length && list.every(good),
      op,
      `${what}, one or ${extents.length}`,
      JSON.stringify(value),
    );
    return list;
  };
  const factors =
    scaleFactor === undefined ? null : each("scale factors above 0", scaleFactor, (e) => Number.isFinite(e) && e > 0);
  const outputs =
    factors?.map((f, d) => Math.floor(extents[d]! * f)) ??
    each("extents from 1 up", size!, (e) => Number.isSafeInteger(e) && e >= 1);
  expect(
    outputs.every((e) => e >= 1),
    op,
    "scale factors that leave at least one element",
    `${show(factors ?? [])} of ${show(extents)}`,
  );
  const tables = extents.map((input, d) =>
    tapsOf({
      mode,
      input,
      output: outputs[d]!,
      factor: recomputeScaleFactor ? null : (factors?.[d] ?? null),
      alignCorners,
      antialias,
    }),
  );
  const [n, c] = x.shape as [number, number];
  const kept: Taps = { taps: 0, start: new Int32Array(0), weights: new Float64Array(0) };
  if (extents.length === 1)
    return reshape(resample(reshape(x, [n, c, 1, extents[0]!]), kept, tables[0]!, [1, outputs[0]!]), [
      n,
      c,
      ...outputs,
    ]);
  const [down, across] = tables.slice(-2) as [Taps, Taps];
  const planes = resample(x, down, across, outputs.slice(-2));
  if (extents.length === 2) return planes;
  // The depth last, over frames of p q elements.
  const frame = sizeOfShape(outputs.slice(1));
  return reshape(resample(reshape(planes, [n, c, extents[0]!, frame]), tables[0]!, kept, [outputs[0]!, frame]), [
    n,
    c,
    ...outputs,
  ]);
}

/** Planes [..., h, w] to [..., p, q]. */
function resample(x: Tensor, rows: Taps, cols: Taps, [p, q]: readonly number[]): Tensor {
  const lead = x.shape.slice(0, -2);
  const [h, w] = x.shape.slice(-2) as [number, number];
  const weights = ({ weights }: Taps): Tensor => to(fromTyped(weights, [weights.length], "float64"), x.dtype);
  const tables: Tables = {
    startH: fromTyped(rows.start, [rows.start.length], "int32"),
    wH: weights(rows),
    startW: fromTyped(cols.start, [cols.start.length], "int32"),
    wW: weights(cols),
  };
  const y = apply(x, tables, [...lead, p!, q!], [sizeOfShape(lead), h, w, p!, q!, rows.taps, cols.taps]);
  for (const t of Object.values(tables)) t.free();
  return y;
}

type Tables = { startH: Tensor; wH: Tensor; startW: Tensor; wW: Tensor };

/** size: planes h w p q tapsH tapsW */
function apply(x: Tensor, tables: Tables, shape: readonly number[], size: number[]): Tensor {
  const { startH, wH, startW, wW } = tables;
  const y = empty(shape, x.dtype);
  k.interpolate(y, x, startH, wH, startW, wW, ...size);
  const xShape = x.shape;
  return record(y, "interpolate", { x }, tables, (dy, tables) => ({ x: () => spread(dy, tables, xShape, size) }));
}
function spread(dy: Tensor, tables: Tables, shape: readonly number[], size: number[]): Tensor {
  const { startH, wH, startW, wW } = tables;
  const dx = empty(shape, dy.dtype);
  k.interpolateGrad(dx, dy, startH, wH, startW, wW, ...size);
  const yShape = dy.shape;
  return record(dx, "interpolateGrad", { dy }, tables, (ddx, tables) => ({
    dy: () => apply(ddx, tables, yShape, size),
  }));
}
