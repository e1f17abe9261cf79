/**
 * What DiffusionTrainer takes and tells.
 */
import type { Sampler } from "../diffusion/samplers.js";
import type { Module } from "../nn/module.js";
import type { EMA, Schedule } from "../optim/index.js";
import type { Tensor } from "../tensor.js";
import type { DiffusionTrainer } from "./diffusion.js";
import type { StepOptimizer } from "./options.js";
import type { TimeBin } from "./timeBins.js";

/** What is trained: models.UNet, or any other module with this signature. */
export type DiffusionNetwork = Module & {
  /**
   * Noisy x [n, ...] at times t int32 [n] to the prediction, of x's shape.
   *
   * @param condition what x is conditioned on, [n, ...]; null: nothing
   */
  forward(x: Tensor, t: Tensor, condition?: Tensor | null): Tensor;
};

/** Options of DiffusionTrainer. */
export interface DiffusionTrainerOptions {
  /** Default: Adam with lr 3e-4 and betas 0.9 and 0.99. */
  optimizer?: StepOptimizer;
  /** Of the optimizer; moves on after each step. Default: the rate stays. */
  schedule?: Schedule | null;
  /** Steps in which the rate grows along a line to the optimizer's, instead of a schedule. Default 0. */
  warmup?: number;
  /** Greatest norm of the gradient; null: any. Default 1. */
  clipNorm?: number | null;
  /** Running average of the weights, which sample() uses: its decay, shorter in the first steps, or an EMA. null: none. Default 0.999. */
  ema?: number | EMA | null;
  /**
   * What the network is told about a batch: made of the fields behind x, inside the step, without gradient. null: nothing.
   * Default: the second field, where there is one.
   */
  condition?: ((...fields: Tensor[]) => Tensor) | null;
  /** Conditions are labels [n] below this number; samples then take them in turn. Default: none. */
  classes?: number | null;
  /**
   * Share of conditions that this trainer drops, for networks that do not themselves as UNet does: each element of a
   * dropped one becomes `noCondition`. Default 0.
   */
  conditionDropout?: number;
  /** What stands for no condition where one is dropped. Default: `classes`, as in UNet, or else 0. */
  noCondition?: number;
  /** From a batch's first field to what is diffused, such as an autoencoder's latents; without gradient. Default: as it is. */
  encode?: (x: Tensor) => Tensor;
  /** From what is diffused back to pictures, for sample(); without gradient. Default: as it is. */
  decode?: (z: Tensor) => Tensor;
  /** Whether samplers bound what is predicted to [-1, 1], as pictures are. Default: true without `decode`. */
  clip?: boolean;
  /** Shape of one x that is diffused, such as [1, 28, 28]. Default: as the first batch has it. */
  shape?: readonly number[] | null;
  /** Even parts of the times by which losses are told. Default 10. */
  bins?: number;
  /**
   * Whether steps are recorded and replayed natively (capture()) once three in a row ran the same kernels: the same bits in
   * less time. Steps that cannot be captured stay uncaptured, which an event tells. sample() records the network too, for
   * each shape of a batch, where it takes ten steps or more, and gives the recording back at its end. Default true.
   */
  capture?: boolean;
}

/** Options of DiffusionTrainer.sample(). */
export interface DiffusionSampleOptions {
  /** One of each sample. Default: 0, 1, ... in turn where the trainer has classes. */
  labels?: readonly number[] | null;
  /** In place of labels: [n, ...], handed to the network. */
  condition?: Tensor | null;
  /** Default "ddim". */
  sampler?: Sampler;
  /** Default: all for "ddpm", else at most 50. */
  steps?: number;
  /** How much the condition counts: 1 as it is, above 1 more. Default 1. */
  guidance?: number;
  /** Share of "ddpm"'s noise in "ddim". Default 0. */
  eta?: number;
  /** The same seed draws the same samples, and leaves the default generator alone. Default: the default generator draws. */
  seed?: number | null;
  /** Samples that are computed at a time. Default 64. */
  batchSize?: number;
  /** Ends the sampling between two batches with its reason. */
  signal?: AbortSignal;
}

/** Options of DiffusionTrainer.fit(). */
export interface DiffusionFitOptions {
  /** How long to train, in steps from the very beginning of the run. */
  steps: number;
  /** Steps between events. Default 100. */
  logEvery?: number;
  /** Folder for grids of samples, samples-STEP.png, and the checkpoint last.safetensors; made when missing. Default: nothing is written. */
  out?: string | null;
  /** Pictures of a grid; 0: none is drawn. Default 64. */
  samples?: number;
  /** Steps between grids, a multiple of logEvery. Default: logEvery. */
  sampleEvery?: number;
  /** How the grids are drawn; by seed 0 where none is given. Default {}. */
  sampling?: DiffusionSampleOptions;
  /** Steps between checkpoints, beside the one at the end of fit(). Default: at each event. */
  checkpointEvery?: number;
  /** Goes on from a checkpoint: its path, or true for out/last.safetensors, where there is one. Default false. */
  resume?: boolean | string;
  /** Called and awaited at each event, with the trainer. */
  onEvent?: (event: DiffusionEvent, trainer: DiffusionTrainer) => void | Promise<void>;
  /** Ends the run after its current step, with a checkpoint. */
  signal?: AbortSignal;
}

/** What fit() tells; losses are of the steps since the last multiple of logEvery. */
export interface DiffusionEvent {
  /** Since the run's beginning. */
  step: number;
  /** Mean, weighted as in training. */
  loss: number;
  /** The same by time. */
  lossByTime: TimeBin[];
  /** Of the optimizer's first group, at the last step. */
  learningRate: number;
  /** Of the last step, before clipping; null without clipNorm. */
  gradientNorm: number | null;
  /** Over the same steps. */
  samplesPerSecond: number;
  /** Seconds in training steps since the run's beginning. */
  seconds: number;
  /** Path of the grid, where one was drawn. */
  grid: string | null;
  /** Why steps are not captured, told once. */
  notice: string | null;
}

/** What evaluate() gives. */
export interface DiffusionEvaluation {
  /** Mean, weighted as in training. */
  loss: number;
  /** The same by time. */
  lossByTime: TimeBin[];
}
