/**
 * napier: a deep learning engine for Node.js.
 */
import "./methods.js";

export { AnomalyError, type AnomalyOptions, detectAnomaly, setDetectAnomaly } from "./anomaly.js";
export {
  type BackwardOptions,
  backward,
  type CustomFunction,
  customFunction,
  type GradOptions,
  grad,
} from "./autograd.js";
export { type CapturedMemory, type CapturedStep, type CaptureOptions, type CaptureValue, capture } from "./capture.js";
/** Classic methods, in CS231n's conventions; also by themselves as "napier/classic". */
export * as classic from "./classic/index.js";
/** Data sets, loaders, samplers and transforms. */
export * as data from "./data/index.js";
export { type Device, type DeviceInfo, devices } from "./devices.js";
/** Diffusion: processes, schedules, samplers. */
export * as diffusion from "./diffusion/index.js";
export { ShapeError } from "./errors.js";
/** Looking inside networks: saliency, Grad-CAM, adversarial pictures, style transfer. */
export * as explain from "./explain/index.js";
export * from "./gradcheck.js";
export { enableGrad, type GradientHook, isGradEnabled, noGrad } from "./graph.js";
/** Files of tensors: safetensors and npy, written atomically. */
export * as io from "./io/index.js";
export { live } from "./live.js";
export {
  collectGarbage,
  emptyCache,
  keep,
  type MemoryUse,
  memory,
  resetPeakMemory,
  type Sync,
  scope,
} from "./memory.js";
/** Measures of predictions: functions of whole sets, and meters that stream and resume. */
export * as metrics from "./metrics/index.js";
/** Named models with their configurations. */
export * as models from "./models/index.js";
/** Architecture search: random, evolution, DARTS. */
export * as nas from "./nas/index.js";
export type { DType, IntegerDType } from "./native.js";
/** Modules, layers, losses as modules, initial values. */
export * as nn from "./nn/index.js";
export { type ConvolutionMode, setConvolution } from "./ops/convolutionMode.js";
export * from "./ops/index.js";
/** Optimizers, schedules, clipping and weight averages. */
export * as optim from "./optim/index.js";
export * from "./profile/index.js";
export { type Draw, defaultGenerator, Generator, manualSeed } from "./random.js";
export { shapesOnly } from "./shapes.js";
export { type ArrayOf, type NestedNumbers, Tensor, type TypedArray } from "./tensor.js";
/** The trainer, its events and metrics. */
export * as train from "./train/index.js";
/** Search over hyper-parameters: grid, random, TPE, successive halving, k-fold. */
export * as tune from "./tune/index.js";
