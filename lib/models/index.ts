/** Models by name, as users import them: `import { models } from "napier"`. */
import type { Layer } from "../nn/module.js";
import { ConvNet } from "./convnet.js";
import { MLP } from "./mlp.js";
import type { ModelOptions } from "./options.js";
import { VGG } from "./vgg.js";

export { ConvNet } from "./convnet.js";
export { MLP, type MLPOptions } from "./mlp.js";
export type { ModelOptions } from "./options.js";
export { VGG, VGG_SMALL, type VGGOptions, type VGGPlan } from "./vgg.js";

const registry = {
  mlp: (options: ModelOptions) => new MLP(options),
  convnet: (options: ModelOptions) => new ConvNet(options),
  "vgg-small": (options: ModelOptions) => new VGG(options),
};

/** A name that create() knows. */
export type ModelName = keyof typeof registry;

/** The names that create() knows. */
export const list = (): ModelName[] => Object.keys(registry) as ModelName[];

/**
 * A new model with random weights, by name.
 *
 * @throws RangeError for a name that list() does not have, or options out of range
 * @example
 * const model = models.create("convnet", { classes: 10, inChannels: 1, imageSize: 28 });
 */
export function create(name: ModelName, options: ModelOptions = {}): Layer {
  if (!Object.hasOwn(registry, name))
    throw new RangeError(`models.create: expected one of ${list().join(", ")}, got "${name}"`);
  return registry[name](options);
}
