/** Training, as users import it: `import { train } from "napier"`. */
export type { AnyCallback, Callback, RunContext } from "./callbacks.js";
export { learningRateMonitor, type OverfittingOptions, overfitting } from "./curves.js";
export { type DeadUnitsOptions, deadUnits } from "./deadUnits.js";
export type { Finding } from "./diagnosis.js";
export { DiffusionTrainer } from "./diffusion.js";
export type {
  DiffusionEvaluation,
  DiffusionEvent,
  DiffusionFitOptions,
  DiffusionNetwork,
  DiffusionSampleOptions,
  DiffusionTrainerOptions,
} from "./diffusionOptions.js";
export type { Evaluation } from "./evaluate.js";
export type { HparamValue } from "./eventMessages.js";
export type {
  CheckpointEvent,
  DiagnosisEvent,
  EndEvent,
  EndReason,
  EpochEvent,
  FitResult,
  NoticeEvent,
  Scores,
  StepEvent,
  TrainEvent,
  ValidationEvent,
} from "./events.js";
export { EventWriter, type EventWriterOptions } from "./eventWriter.js";
export { GanTrainer, ganOptimizer } from "./gan.js";
export * from "./ganLosses.js";
export type {
  DiscriminatorNetwork,
  FeatureMatching,
  GanEvent,
  GanFitOptions,
  GanSampleOptions,
  GanTrainerOptions,
  GeneratorNetwork,
} from "./ganOptions.js";
export { type GradientNormsOptions, gradientNorms } from "./gradientNorms.js";
export { LearningRateTest, type LearningRateTestOptions } from "./learningRateTest.js";
export { csvLogger, type TensorBoardOptions, tensorBoard } from "./loggers.js";
export { accuracy, type Metric, type MetricName } from "./metrics.js";
export type { EarlyStopping } from "./monitor.js";
export type {
  AnyOptimizer,
  AnySchedule,
  Batch,
  BatchSource,
  ClosureOptimizer,
  FitOptions,
  Model,
  StepOptimizer,
  TrainerOptions,
} from "./options.js";
export { type GridOptions, imageGridPng, saveImageGrid } from "./pictures.js";
export {
  type FeatureModel,
  type Features,
  featuresOf,
  type KnnProbeOptions,
  knnProbe,
  type LinearProbe,
  type LinearProbeOptions,
  linearProbe,
  type ProbeScores,
  probe,
} from "./probes.js";
export type { FitRun } from "./run.js";
export { SelfSupervisedTrainer } from "./selfSupervised.js";
export type {
  SelfSupervisedEvent,
  SelfSupervisedFitOptions,
  SelfSupervisedModel,
  SelfSupervisedOptions,
} from "./selfSupervisedOptions.js";
export type { TimeBin } from "./timeBins.js";
export { Trainer } from "./trainer.js";
