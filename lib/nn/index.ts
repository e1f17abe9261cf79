/**
 * nn: modules, layers, losses, initial values.
 */
export { bceWithLogits, crossEntropy, hinge, mse } from "../ops/losses.js";
export * from "./activation.js";
export * from "./container.js";
export * from "./conv.js";
export * from "./dropout.js";
export * from "./groupnorm.js";
export * as init from "./init.js";
export { Embedding, type EmbeddingLayerOptions, type FactoryOptions, Linear, type LinearOptions } from "./linear.js";
export * from "./loss.js";
export * from "./module.js";
export * from "./norm.js";
export { Parameter } from "./parameter.js";
export * from "./parametrise.js";
export * from "./pool.js";
export * from "./pool1d.js";
export * from "./resample.js";
export type { SummaryOptions } from "./summary.js";
