/**
 * Classic methods, as users import them: `import * as classic from "napier/classic"`. Nearest neighbours, linear
 * classifiers and the two-layer network of CS231n's assignments, its layer functions with explicit backward, features,
 * k-means, PCA and t-SNE.
 */
import "../methods.js";

export * from "./conv.js";
export { type ColorHistogramOptions, colorHistogram, hogFeatures } from "./features.js";
export { FullyConnectedNet, type FullyConnectedOptions } from "./fully-connected.js";
export * from "./kmeans.js";
export * from "./knn.js";
export * from "./layers.js";
export {
  type LinearLoss,
  type LinearOptions,
  LinearSoftmax,
  LinearSvm,
  type Regularizer,
  type RegularizerOption,
  softmaxLossNaive,
  softmaxLossVectorised,
  svmLossNaive,
  svmLossVectorised,
} from "./linear.js";
export * from "./norm.js";
export * from "./pca.js";
export * from "./rnn.js";
export * from "./solver.js";
export * from "./tsne.js";
export { TwoLayerNet, type TwoLayerOptions } from "./two-layer.js";
export * from "./update.js";
