/** Search over hyper-parameters, as users import it: `import { tune } from "napier"`. */
export {
  type CrossValidation,
  type CrossValidationOptions,
  crossValidate,
  type FoldObjective,
  type FoldScore,
  type FoldTask,
} from "./crossValidate.js";
export type { HalvingOptions } from "./halving.js";
export { type Fold, kFold } from "./kFold.js";
export type { ObjectiveModule } from "./processes.js";
export {
  type Choice,
  choice,
  type Dimension,
  integer,
  logInteger,
  logUniform,
  type Parameters,
  type Range,
  type Space,
  uniform,
} from "./space.js";
export { type Objective, type SearchOptions, Study, search, type Trial } from "./study.js";
export type { Outcome, TrialContext } from "./trials.js";
