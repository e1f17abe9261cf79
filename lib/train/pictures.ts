/**
 * Pictures of tensors: grids as PNG files.
 */
import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import { expect, show } from "../errors.js";
import { noGrad } from "../graph.js";
import { writeFileAtomic } from "../io/atomic.js";
import { scope } from "../memory.js";
import type { Tensor } from "../tensor.js";
import { encodePng, imageGrid } from "../viz/png.js";

/** Options of imageGridPng() and saveImageGrid(). */
export interface GridOptions {
  /** Values that are black and white; what lies outside is cut. Default [-1, 1]. */
  range?: readonly [low: number, high: number];
  /** Pictures in a row. Default the root of their number. */
  columns?: number;
  /** Pixels around and between the pictures. Default 2. */
  padding?: number;
}

/**
 * Pictures [n, c, h, w], c 1 or 3, side by side in a PNG file.
 *
 * @returns the bytes of the file
 * @example
 * const png = await train.imageGridPng(randn([4, 3, 8, 8]).tanh());
 */
export async function imageGridPng(
  x: Tensor,
  { range = [-1, 1], columns, padding = 2 }: GridOptions = {},
): Promise<Uint8Array> {
  const [n, c, h, w] = x.shape as [number, number, number, number];
  const good = x.ndim === 4 && (c === 1 || c === 3) && x.size > 0;
  expect(good, "imageGridPng", "pictures [n,c,h,w] with 1 or 3 channels", show(x.shape));
  const [low, high] = range;
  expect(low < high, "imageGridPng", "a range [low, high] with low < high", `[${range}]`);
  const bytes = scope(() =>
    noGrad(() =>
      x
        .sub(low)
        .mul(255 / (high - low))
        .clamp(0, 255)
        .round()
        .permute([0, 2, 3, 1])
        .to("uint8"),
    ),
  );
  const pixels = await bytes.data("uint8");
  bytes.free();
  const grid = imageGrid(pixels, {
    width: w,
    height: h,
    channels: c as 1 | 3,
    columns: columns ?? Math.ceil(Math.sqrt(n)),
    padding,
  });
  return encodePng(grid.pixels, grid);
}

/** Writes imageGridPng() to a file, whole or not at all; makes its folder. */
export async function saveImageGrid(path: string, x: Tensor, options: GridOptions = {}): Promise<void> {
  const png = await imageGridPng(x, options);
  await mkdir(dirname(path), { recursive: true });
  await writeFileAtomic(path, png);
}
