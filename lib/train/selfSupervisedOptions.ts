/**
 * What SelfSupervisedTrainer takes and tells.
 */
import type { Tensor } from "../tensor.js";
import type { StepOptimizer } from "./options.js";
import type { FeatureModel } from "./probes.js";
import type { SelfSupervisedTrainer } from "./selfSupervised.js";

/** What SelfSupervisedTrainer trains: models.SimCLR, models.DINO, or a model of one's own. */
export type SelfSupervisedModel = FeatureModel & {
  /** The loss of views [n, c, h, w] of n pictures; reads no values. */
  loss(views: readonly Tensor[]): Tensor;
  /** Called before each step with the share of the training, 0 to 1, that is done. */
  schedule?(progress: number): void;
  /** Called at the end of each step, behind the optimizer's. */
  update?(): void;
};

/** Options of SelfSupervisedTrainer. */
export interface SelfSupervisedOptions {
  /** Its `lr` is the highest. Default AdamW of what the model learns: lr 1e-3, weightDecay 1e-6. */
  optimizer?: StepOptimizer;
  /** Steps over which the rate rises to `lr`. Default 0. */
  warmup?: number;
  /** Share of `lr` at which the cosine ends. Default 0. */
  finalRate?: number;
  /** Where the weight decay of groups that have one ends, by a cosine. Default null: it stays. */
  finalWeightDecay?: number | null;
  /** Longest gradient. Default null: any. */
  clipNorm?: number | null;
  /**
   * Whether steps are recorded and replayed natively (capture()) once three in a row ran the same kernels: the same bits in
   * less time. Steps that cannot be captured stay uncaptured, which an event tells. Default true.
   */
  capture?: boolean;
}

/** Options of SelfSupervisedTrainer.fit(). */
export interface SelfSupervisedFitOptions<S extends object = Record<string, number>> {
  /** Steps of the whole training: what schedules go by. */
  steps: number;
  /** Steps between events. Default 100. */
  logEvery?: number;
  /** Measures the model at the last step, and at others by `evaluateEvery`: train.probe(), for example. Default: nothing. */
  evaluate?: ((model: SelfSupervisedModel) => Promise<S>) | null;
  /** Steps between evaluations, a multiple of logEvery. Default: only at the end. */
  evaluateEvery?: number | null;
  /** Folder for the checkpoint, last.safetensors; made when missing. Default: nothing is written. */
  out?: string | null;
  /** Steps between checkpoints, beside the one at the end of fit(). Default: at each event. */
  checkpointEvery?: number;
  /** Goes on from a checkpoint: its path, or true for out/last.safetensors, where there is one. Default false. */
  resume?: boolean | string;
  /** Called and awaited at each event, with the trainer. */
  onEvent?: (event: SelfSupervisedEvent<S>, trainer: SelfSupervisedTrainer) => void | Promise<void>;
  /** Ends the run after its current step, with a checkpoint. */
  signal?: AbortSignal;
}

/** What fit() tells; losses and speed are of the steps since the last multiple of logEvery. */
export interface SelfSupervisedEvent<S extends object = Record<string, number>> {
  /** From 1. */
  step: number;
  /** Mean. */
  loss: number;
  /** Of the last step, of the first group. */
  lr: number;
  /** Pictures a second, each with all its views. */
  samplesPerSecond: number;
  /** What `evaluate` gave; null at events without. */
  scores: S | null;
  /** Why steps are not captured, told once. */
  notice: string | null;
}
