/**
 * A classifier as an encoder: what self-supervision trains, and what probes and k-NN look at.
 *
 *     [n, c, h, w] -> network.features() -> [n, features, h, w] -> mean over places -> [n, features]
 *                                        -> [n, features] as it is
 */
import { Module } from "../nn/module.js";
import type { Tensor } from "../tensor.js";

/** A classifier that gives what its scores are made of, as models.ResNet and models.VisionTransformer do. */
export type FeatureNetwork = Module & {
  /** Pictures to features [n, features], or to maps [n, features, h, w]. */
  features(x: Tensor): Tensor;
};

/**
 * A classifier without its last layer: pictures to features [n, features], maps averaged over their places. The last layer
 * stays in `network`, unused, so that it can be trained afterwards: `encoder.network` is the classifier.
 *
 * @example
 * const encoder = new models.Encoder(new models.ResNet({ classes: 10, stem: "cifar", width: 8 }));
 * const features = encoder.forward(zeros([2, 3, 32, 32])); // [2, 64]
 */
export class Encoder<N extends FeatureNetwork = FeatureNetwork> extends Module {
  /** Shares its weights with the network. */
  constructor(
    /** The classifier. */
    readonly network: N,
  ) {
    super();
  }

  /** [n, c, h, w] to [n, features] */
  forward(x: Tensor): Tensor {
    const y = this.network.features(x);
    return y.ndim === 4 ? y.mean([2, 3]) : y;
  }
}
