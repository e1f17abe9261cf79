/**
 * Work on shapes alone: kernels are checked as always, nothing is computed and no memory is taken.
 */
import { isCapturing, recordStep } from "./live.js";
import { addon } from "./native.js";

/**
 * Runs `fn` on shapes alone, as torch.device("meta") does: ops answer tensors without values and without memory, so that
 * a model of any size is built, counted or summarised at once. Generators do not advance. Tensors made inside have no
 * value afterwards either: reading or using one throws.
 *
 * @param fn synchronous; what reads a value inside throws
 * @returns what `fn` answers
 * @example
 * const parameters = shapesOnly(() => nn.countParameters(models.create("vgg16"))); // 138,357,544
 */
export function shapesOnly<T>(fn: () => T): T {
  if (isCapturing()) return fn();
  return recordStep(fn, () => addon.captureAbort()).result;
}
