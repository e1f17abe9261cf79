/** Optimizers, schedules, clipping and weight averages, as users import them: `import { optim } from "napier"`. */
export { Adam, type AdamOptions, AdamW } from "./adam.js";
export { clipGradNorm, clipGradValue } from "./clip.js";
export { type Averaged, EMA, type EMAOptions, type EMAState } from "./ema.js";
export {
  Optimizer,
  type OptimizerOptions,
  type OptimizerParams,
  type OptimizerState,
  type ParamGroup,
} from "./optimizer.js";
export {
  CosineAnnealingLR,
  LinearLR,
  LinearWarmup,
  OneCycleLR,
  type OneCycleOptions,
  Schedule,
  type Scheduled,
  type ScheduleState,
  StepLR,
} from "./schedule.js";
export { SGD, type SGDOptions } from "./sgd.js";
