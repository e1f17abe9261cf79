/**
 * Which algorithms convolutions may use: docs/kernels.md has the table of what is chosen for which shape.
 */
import { expect } from "../errors.js";

/**
 * "fast": Winograd's F(4x4, 3x3) where it wins, with a relative error of at most 5e-6 in the root mean square and 4e-5
 * of that at worst. "exact": only algorithms whose error is that of the definition, about 5e-7 (F(2x2, 3x3) is one).
 */
export type ConvolutionMode = "fast" | "exact";

let mode: ConvolutionMode | undefined; // until the first convolution asks, or setConvolution says

/**
 * Says which algorithms the convolutions called from now on may use, and their gradients whenever they are computed;
 * float64 ones are always exact. The environment variable NAPIER_CONV sets what a program starts with; default "fast". Each worker thread has
 * its own setting. Results depend on the setting and the shapes, never on the number of threads.
 *
 * @returns the setting before
 * @example
 * const before = setConvolution("exact");
 * const y = zeros([1, 32, 16, 16]).conv2d(zeros([32, 32, 3, 3]));
 * setConvolution(before);
 */
export function setConvolution(to: ConvolutionMode): ConvolutionMode {
  expect(to === "fast" || to === "exact", "setConvolution", '"fast" or "exact"', `"${to}"`);
  const before = convolutionMode();
  mode = to;
  return before;
}

function convolutionMode(): ConvolutionMode {
  if (mode) return mode;
  const text = process.env.NAPIER_CONV || "fast";
  expect(text === "fast" || text === "exact", "NAPIER_CONV", '"fast" or "exact"', `"${text}"`);
  mode = text;
  return mode;
}

/** The kernels' argument `exact`. */
export const exactConvolution = (): 0 | 1 => (convolutionMode() === "exact" ? 1 : 0);
