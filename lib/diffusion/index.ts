/** Diffusion models, as users import them: `import { diffusion } from "napier"`. */
export { type FirstStage, LatentDiffusion, type LatentDiffusionOptions, type LatentSampleOptions } from "./latent.js";
export {
  type Denoiser,
  type DiffusionLosses,
  type DiffusionLossOptions,
  type DiffusionOptions,
  GaussianDiffusion,
  type Objective,
  type Posterior,
  type Prediction,
  type SamplingDenoiser,
} from "./process.js";
export type { SampleOptions, Sampler } from "./samplers.js";
export { cosineSchedule, linearSchedule, SCHEDULES, sigmoidSchedule } from "./schedules.js";
