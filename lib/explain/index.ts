/** Looking inside networks, as users import it: `import { explain } from "napier"`. */

export {
  type IntegratedGradientsOptions,
  integratedGradients,
  type OcclusionOptions,
  occlusion,
  type SmoothGradOptions,
  smoothGrad,
} from "./attribution.js";
export type { PixelRange } from "./common.js";
export {
  type ClassPictureOptions,
  classPicture,
  type Fooling,
  type FoolingOptions,
  fgsm,
  foolingPicture,
  gradCam,
  type PgdOptions,
  pgd,
  saliency,
} from "./gradients.js";
export { activations, attentionRollout, filterPictures, scaledToUnit } from "./layers.js";
export { type RolloutMapOptions, rolloutMap } from "./rollout.js";
export {
  contentLoss,
  gramMatrix,
  type StyleTransferOptions,
  styleLoss,
  styleTransfer,
  totalVariationLoss,
} from "./style.js";
