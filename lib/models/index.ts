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

const registry: Readonly<Record<string, (options: ModelOptions) => Layer>> = {
  mlp: (options) => new MLP(options),
  convnet: (options) => new ConvNet(options),
  "vgg-small": (options) => new VGG(options),
};

/** The names that create() knows. */
export const list = (): string[] => Object.keys(registry);

/**
 * A new model with random weights, by name.
 *
 * @throws RangeError for a name that list() does not have, or options out of range
 * @example
 * const model = models.create("convnet", { classes: 10, inChannels: 1, imageSize: 28 });
 */
export function create(name: string, options: ModelOptions = {}): Layer {
  if (!Object.hasOwn(registry, name))
    throw new RangeError(`models.create: expected one of ${list().join(", ")}, got "${name}"`);
  return registry[name]!(options);
}
