/** Training, as users import it: `import { train } from "napier"`. */
export type { AnyCallback, Callback, RunContext } from "./callbacks.js";
export type { Evaluation } from "./evaluate.js";
export type {
  CheckpointEvent,
  EndEvent,
  EndReason,
  EpochEvent,
  FitResult,
  Scores,
  StepEvent,
  TrainEvent,
  ValidationEvent,
} from "./events.js";
export { accuracy, type Metric, type MetricName } from "./metrics.js";
export type { EarlyStopping } from "./monitor.js";
export type { AnyOptimizer, Batch, BatchSource, FitOptions, Model, TrainerOptions } from "./options.js";
export type { FitRun } from "./run.js";
export { Trainer } from "./trainer.js";
