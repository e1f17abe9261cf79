/** Optimizers, schedules, clipping and weight averages, as users import them: `import { optim } from "napier"`. */
export { Adam, type AdamOptions, AdamW } from "./adam.js";
export {
  Adadelta,
  type AdadeltaOptions,
  Adagrad,
  type AdagradOptions,
  RMSprop,
  type RMSpropOptions,
} from "./adaptive.js";
export { clipGradNorm, clipGradValue } from "./clip.js";
export { CyclicLR, type CyclicOptions } from "./cyclic.js";
export {
  ConstantLR,
  CosineAnnealingWarmRestarts,
  ExponentialLR,
  type Factor,
  LambdaLR,
  MultiplicativeLR,
  MultiStepLR,
  PolynomialLR,
} from "./decay.js";
export { type Averaged, EMA, type EMAOptions, type EMAState } from "./ema.js";
export { LBFGS, type LBFGSOptions, type LBFGSState } from "./lbfgs.js";
export {
  Adamax,
  type AdamaxOptions,
  LAMB,
  type LAMBOptions,
  NAdam,
  type NAdamOptions,
  RAdam,
  type RAdamOptions,
} from "./moments.js";
export { Muon, type MuonConstructorOptions, type MuonOptions } from "./muon.js";
export { GradientNoiseScale, type NoiseScaleState } from "./noise.js";
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
export { type PlateauOptions, type PlateauState, ReduceLROnPlateau, SequentialLR } from "./sequential.js";
export { SGD, type SGDOptions } from "./sgd.js";
export { ASGD, type ASGDOptions, Lion, type LionOptions } from "./sign.js";
export {
  Lookahead,
  type LookaheadOptions,
  type LookaheadState,
  type Stepping,
  SWA,
  SWALR,
  type SwaLROptions,
  updateBn,
} from "./swa.js";
