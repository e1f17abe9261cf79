/**
 * Pictures read at given places, and the grid of places of an affine map (Jaderberg et al., "Spatial Transformer
 * Networks", 2015).
 */

import { expect, show } from "../errors.js";
import { isGradEnabled, noSecondDerivative, record } from "../graph.js";
import { k } from "../native.js";
import { empty, type Tensor } from "../tensor.js";
import { add, div, mul, sub } from "./arithmetic.js";
import { expectFloat, expectSameDType } from "./common.js";
import { arange } from "./create.js";
import { reshape, slice } from "./shape.js";

const MODES = ["bilinear", "nearest", "bicubic"] as const;
const PADDINGS = ["zeros", "border", "reflection"] as const;

/** Options of gridSample. */
export interface GridSampleOptions {
  /** How a value between pixels is made: of the four around it, of the nearest, or of sixteen. Default "bilinear". */
  mode?: (typeof MODES)[number];
  /** What lies outside: zeros, the nearest edge, or the picture mirrored. Default "zeros". */
  paddingMode?: (typeof PADDINGS)[number];
  /** Whether -1 and 1 are the centres of the corner pixels, and not their outer edges. Default false. */
  alignCorners?: boolean;
}

/** The fields of GridSize: n c h w p q mode padding align. */
type Size = number[];

/**
 * y[n, :, i, j] = x[n, :, ...] at the place grid[n, i, j] = (across, down), from -1 (left, top) to 1 (right, bottom). The
 * gradient for x has derivatives of any order; the one for the grid has none and says so.
 *
 * @param x [n, c, h, w]
 * @param grid [n, p, q, 2]
 * @returns [n, c, p, q]
 * @example
 * const half = tensor([[[0.5, 0, 0], [0, 0.5, 0]]]); // the middle of the picture, twice as large
 * const y = zeros([1, 3, 8, 8]).gridSample(half.affineGrid([1, 3, 8, 8]));
 */
export function gridSample(
  x: Tensor,
  grid: Tensor,
  { mode = "bilinear", paddingMode = "zeros", alignCorners = false }: GridSampleOptions = {},
): Tensor {
  const op = "gridSample";
  expectFloat(op, x);
  expectSameDType(op, x, grid);
  expect(x.ndim === 4, op, "x with 4 dimensions [n,c,h,w]", `${x.ndim} (${show(x.shape)})`);
  const [n, c, h, w] = x.shape as [number, number, number, number];
  expect(h >= 1 && w >= 1, op, "planes with at least one element", show(x.shape));
  expect(
    grid.ndim === 4 && grid.shape[0] === n && grid.shape[3] === 2,
    op,
    `a grid of shape [${n},p,q,2] for x ${show(x.shape)}`,
    show(grid.shape),
  );
  const [, p, q] = grid.shape as [number, number, number];
  const codes = [MODES.indexOf(mode), PADDINGS.indexOf(paddingMode)] as const;
  if (codes[0] < 0) throw new TypeError(`${op}: expected a mode of ${MODES.join(", ")}, got ${JSON.stringify(mode)}`);
  if (codes[1] < 0)
    throw new TypeError(`${op}: expected a paddingMode of ${PADDINGS.join(", ")}, got ${JSON.stringify(paddingMode)}`);
  return sample(x, grid, [n, c, h, w, p, q, ...codes, Number(alignCorners)]);
}

function sample(x: Tensor, grid: Tensor, size: Size): Tensor {
  const [n, c, , , p, q] = size as [number, number, number, number, number, number];
  const y = empty([n, c, p, q], x.dtype);
  k.gridSample(y, x, grid, ...size);
  return record(y, "gridSample", { x, grid }, { x, grid }, (dy, { x, grid }) => ({
    x: () => gradX(dy, grid, size),
    grid: () => gradGrid(dy, x, grid, size),
  }));
}

function gradX(dy: Tensor, grid: Tensor, size: Size): Tensor {
  const dx = empty(size.slice(0, 4), dy.dtype);
  k.gridSampleGradX(dx, dy, grid, ...size);
  return record(dx, "gridSampleGradX", { dy, grid }, { dy, grid }, (ddx, { dy, grid }) => ({
    dy: () => sample(ddx, grid, size),
    grid: () => gradGrid(dy, ddx, grid, size),
  }));
}

function gradGrid(dy: Tensor, x: Tensor, grid: Tensor, size: Size): Tensor {
  const dgrid = empty(grid.shape, dy.dtype);
  k.gridSampleGradGrid(dgrid, dy, x, grid, ...size);
  return isGradEnabled() ? noSecondDerivative("gridSample", dgrid, { dy, x, grid }) : dgrid;
}

/**
 * The grid that gridSample takes for an affine map: place (across, down) of the result shows what stands at theta (across,
 * down, 1) in x.
 *
 * @param theta [n, 2, 3]
 * @param size of the result: [n, c, p, q]
 * @returns [n, p, q, 2]
 */
export function affineGrid(
  theta: Tensor,
  size: readonly number[],
  { alignCorners = false }: { alignCorners?: boolean } = {},
): Tensor {
  const op = "affineGrid";
  expectFloat(op, theta);
  expect(
    size.length === 4 && size.every((e) => Number.isSafeInteger(e) && e >= 1),
    op,
    "a size [n,c,p,q] of integers from 1 up",
    show(size),
  );
  const [n, , p, q] = size as [number, number, number, number];
  expect(
    show(theta.shape) === show([n, 2, 3]),
    op,
    `theta of shape [${n},2,3] for size ${show(size)}`,
    show(theta.shape),
  );
  // Places of `extent` pixels along one axis, and what theta's column multiplies them by.
  const places = (extent: number): Tensor => {
    const i = arange(0, extent, 1, { dtype: theta.dtype });
    if (!alignCorners) return sub(div(add(mul(i, 2), 1), extent), 1);
    return extent > 1 ? sub(mul(i, 2 / (extent - 1)), 1) : i;
  };
  const column = (k: number): Tensor => reshape(slice(theta, null, null, k), [n, 1, 1, 2]);
  const across = mul(reshape(places(q), [1, 1, q, 1]), column(0));
  const down = mul(reshape(places(p), [1, p, 1, 1]), column(1));
  return add(add(down, across), column(2));
}
