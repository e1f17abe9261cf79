/** @file The metrics, as users import them: `import { metrics } from "napier"`. */
export {
  accuracy,
  type Classes,
  ClassificationMeter,
  type ClassificationScores,
  type ClassScores,
  type ConfusionMatrix,
  type ConfusionOptions,
  classificationReport,
  confusionMatrix,
  type PrecisionRecallF1,
  precisionRecallF1,
  type ReportOptions,
  reportOf,
  scoresOf,
  topKAccuracy,
} from "./classification.js";
