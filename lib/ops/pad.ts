/**
 * Borders around a tensor: a constant, or what lies inside it reflected, repeated or continued from the other side.
 */

import { expect, ShapeError, show } from "../errors.js";
import { record } from "../graph.js";
import { k } from "../native.js";
import type { Tensor } from "../tensor.js";
import { stridedSize } from "./common.js";
import { full } from "./create.js";
import { cat, expand, type SliceSpec, slice, stridesOf } from "./shape.js";

/** Options of pad. */
export interface PadOptions {
  /**
   * What the border holds: `value`; the elements inside the edge in reverse ("reflect": the edge itself is not repeated);
   * the edge ("replicate"); or the other side ("circular"). Default "constant".
   */
  mode?: "constant" | "reflect" | "replicate" | "circular";
  /** What the border holds in mode "constant". Default 0. */
  value?: number;
}

/**
 * x with a border: `padding` lists [before, after] from the last dimension backwards, as in PyTorch; negative crops.
 * "reflect" pads by less than a dimension's extent, "circular" by at most it.
 *
 * @example
 * zeros([2, 3]).pad([1, 1]);                                        // [2, 5]
 * tensor([1, 2, 3]).pad([2, 1], { mode: "reflect" });               // 3 2 1 2 3 2
 */
export function pad(x: Tensor, padding: readonly number[], { mode = "constant", value = 0 }: PadOptions = {}): Tensor {
  const fits = padding.length % 2 === 0 && padding.length <= 2 * x.ndim && padding.every(Number.isSafeInteger);
  if (!fits)
    throw new ShapeError(
      `pad: expected pairs of integers for at most ${x.ndim} dimensions, from the last backwards, got ${show(padding)}`,
    );
  const around = x.shape.map((_, d): [number, number] => {
    const i = 2 * (x.ndim - 1 - d);
    return [padding[i] ?? 0, padding[i + 1] ?? 0];
  });
  if (x.shape.some((e, d) => e + around[d]![0] + around[d]![1] < 0))
    throw new ShapeError(`pad: expected to crop at most ${show(x.shape)}, got padding ${show(padding)}`);
  switch (mode) {
    case "constant":
      return constant(x, around, value);
    case "reflect":
    case "replicate":
    case "circular":
      return around.reduce((y, [before, after], d) => extend(y, d, before, after, mode), x);
    default:
      throw new TypeError(
        `pad: expected mode "constant", "reflect", "replicate" or "circular", got ${JSON.stringify(mode satisfies never)}`,
      );
  }
}

function constant(x: Tensor, around: [number, number][], value: number): Tensor {
  const shape = x.shape.map((e, d) => e + around[d]![0] + around[d]![1]);
  const inside = (n: number, before: number, after: number): SliceSpec => [
    Math.max(0, -before),
    n + Math.min(0, after),
  ];
  const core = slice(x, ...x.shape.map((e, d) => inside(e, ...around[d]!)));
  const y = full(shape, value, { dtype: x.dtype });
  const strides = stridesOf(shape);
  const offset = around.reduce((o, [before], d) => o + Math.max(0, before) * strides[d]!, 0);
  if (core.size > 0) k.writeStrided(y, core, offset, ...stridedSize("pad", core.shape, strides));
  const part = core.shape.map((e, d): SliceSpec => [Math.max(0, around[d]![0]), Math.max(0, around[d]![0]) + e]);
  return record(y, "pad", { core }, {}, unpad(part));
}
const unpad = (part: SliceSpec[]) => (dy: Tensor) => ({ core: () => slice(dy, ...part) });

/** Dimension d with its border, from x's own elements, then cropped where `before` or `after` is negative. */
function extend(
  x: Tensor,
  d: number,
  before: number,
  after: number,
  mode: "reflect" | "replicate" | "circular",
): Tensor {
  const n = x.shape[d]!;
  const [head, tail] = [Math.max(0, before), Math.max(0, after)];
  const most = mode === "reflect" ? n - 1 : mode === "circular" ? n : n === 0 ? 0 : Number.MAX_SAFE_INTEGER;
  expect(
    Math.max(head, tail) <= Math.max(0, most),
    "pad",
    `at most ${Math.max(0, most)} elements on each side of dimension ${d}, of extent ${n}, in mode "${mode}"`,
    `${before} and ${after}`,
  );
  const along = (spec: SliceSpec) => slice(x, ...Array<SliceSpec>(d).fill(null), spec);
  const edge = (at: number, times: number) =>
    expand(
      along([at, at + 1]),
      x.shape.map((e, i) => (i === d ? times : e)),
    );
  const border: Record<typeof mode, () => [Tensor, Tensor]> = {
    reflect: () => [along([head, 0, -1]), along([n - 2, tail === n - 1 ? null : n - 2 - tail, -1])],
    replicate: () => [edge(0, head), edge(n - 1, tail)],
    circular: () => [along([n - head, n]), along([0, tail])],
  };
  let y = x;
  if (head > 0 || tail > 0) {
    const [left, right] = border[mode]();
    y = cat([...(head > 0 ? [left] : []), x, ...(tail > 0 ? [right] : [])], d);
  }
  if (before >= 0 && after >= 0) return y;
  return slice(y, ...Array<SliceSpec>(d).fill(null), [Math.max(0, -before), y.shape[d]! - Math.max(0, -after)]);
}
