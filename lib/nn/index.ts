/**
 * nn: modules, layers, losses, initial values.
 */
export {
  bce,
  bceWithLogits,
  cosineEmbedding,
  crossEntropy,
  ctc,
  dice,
  focal,
  gaussianNll,
  hinge,
  hingeEmbedding,
  huber,
  infoNCE,
  kl,
  l1,
  marginRanking,
  mse,
  multiLabelMargin,
  multiLabelSoftMargin,
  multiMargin,
  nll,
  poissonNll,
  sigmoidFocal,
  smoothL1,
  softMargin,
  tripletMargin,
} from "../ops/losses/index.js";
export * from "./activation.js";
export * from "./attention.js";
export * from "./bilinear.js";
export * from "./checkpoint.js";
export * from "./collections.js";
export * from "./container.js";
export * from "./conv.js";
export * from "./count.js";
export * from "./dropout.js";
export * from "./dropPath.js";
export * from "./foldBatchNorm.js";
export * from "./groupNorm.js";
export type { BackwardHook, BackwardPreHook, Gradients } from "./hooks.js";
/** Initial values, in place, as torch.nn.init has them. */
export * as init from "./init.js";
export { Embedding, type EmbeddingLayerOptions, type FactoryOptions, Linear, type LinearOptions } from "./linear.js";
export * from "./loss.js";
export * from "./module.js";
export * from "./norm.js";
export * from "./padding.js";
export { Parameter } from "./parameter.js";
export * from "./parametrise.js";
export * from "./pool.js";
export * from "./pool1d.js";
export * from "./recurrent.js";
export * from "./recurrentCells.js";
export * from "./resample.js";
export type { SummaryOptions } from "./summary.js";
export * from "./transformer.js";
