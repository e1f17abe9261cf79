/** The metrics, as users import them: `import { metrics } from "napier"`. */
export {
  cohenKappa,
  cohenKappaOf,
  type FBetaOptions,
  fBeta,
  fBetaOf,
  type KappaOptions,
  matthews,
  matthewsOf,
  type OverlapScores,
  overlap,
  overlapOf,
} from "./agreement.js";
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
export { brier, calibrationError, logLoss, ProbabilityMeter, type ProbabilityScores } from "./probability.js";
export {
  type AreaOptions,
  averagePrecision,
  type PrecisionRecallCurve,
  precisionRecallCurve,
  RankingMeter,
  type RankingScores,
  type RankingState,
  type RocCurve,
  rocAuc,
  rocCurve,
} from "./ranking.js";
export {
  explainedVariance,
  meanAbsoluteError,
  meanSquaredError,
  RegressionMeter,
  type RegressionScores,
  r2,
} from "./regression.js";
export { type RetrievalScores, recallAtK } from "./retrieval.js";
export {
  type BleuOptions,
  bitsPerDimension,
  bleu,
  frechetDistance,
  inceptionScore,
  perplexity,
  type SampleQuality,
  sampleQuality,
} from "./samples.js";
export { TopKMeter } from "./topk.js";
