/**
 * napier: a deep learning engine for Node.js.
 */
import "./methods.js";

export { backward, customFunction, enableGrad, grad, isGradEnabled, noGrad } from "./autograd.js";
export * as classic from "./classic/index.js";
export * as data from "./data/index.js";
export { type Device, type DeviceInfo, devices } from "./devices.js";
export { ShapeError } from "./errors.js";
export * from "./gradcheck.js";
export * as io from "./io/index.js";
export { collectGarbage, emptyCache, keep, memory, resetPeakMemory, scope } from "./memory.js";
export * as metrics from "./metrics/index.js";
export * as models from "./models/index.js";
export type { DType } from "./native.js";
export * as nn from "./nn/index.js";
export { type ConvolutionMode, setConvolution } from "./ops/convolutionMode.js";
export * from "./ops/index.js";
export * as optim from "./optim/index.js";
export { type Draw, defaultGenerator, Generator, manualSeed } from "./random.js";
export { Tensor, type TypedArray } from "./tensor.js";
export * as train from "./train/index.js";
