/**
 * What GanTrainer takes and tells.
 */
import type { Module } from "../nn/module.js";
import type { Schedule } from "../optim/index.js";
import type { Tensor } from "../tensor.js";
import type { GanTrainer } from "./gan.js";
import type { GanLoss, GanLossName } from "./ganLosses.js";
import type { StepOptimizer } from "./options.js";

/** Noise, and labels where the networks take any, to pictures in [-1, 1]. */
export type GeneratorNetwork = Module & {
  /** [n, noiseDim] to pictures. */
  forward(noise: Tensor, labels?: Tensor | null): Tensor;
};
/** Pictures, and labels where the networks take any, to scores. */
export type DiscriminatorNetwork = Module & {
  /** Pictures to one score each, before any sigmoid. */
  forward(x: Tensor, labels?: Tensor | null): Tensor;
};

/** Feature matching: the generator makes the mean features of its pictures those of true ones (Salimans et al. 2016). */
export interface FeatureMatching {
  /** Factor of featureMatchingLoss(), summed where there are several features. Default 1. */
  weight?: number;
  /** Factor of the game's own loss beside it; 0: the generator learns by features alone, as in the paper. Default 1. */
  gameWeight?: number;
  /**
   * Pictures and labels (null without classes) to features [n, ...], or to several. It runs beside the discriminator's
   * forward(), in training mode, on true pictures without gradient. Default: the discriminator's own
   * features(x, labels), as models.GanDiscriminator and models.DcganDiscriminator have it.
   */
  features?: (discriminator: DiscriminatorNetwork, x: Tensor, labels: Tensor | null) => Tensor | readonly Tensor[];
}

/** Options of GanTrainer. */
export interface GanTrainerOptions {
  /** The game. Default "nonsaturating". */
  loss?: GanLossName | GanLoss;
  /** Numbers of noise that the generator takes. Default: the generator's own, where it is one of napier's, or else 96. */
  noiseDim?: number;
  /**
   * Labels are drawn evenly from so many classes, and the loader's second field holds those of the pictures; null: none.
   * Default: the generator's own, where it is one of napier's, or else null.
   */
  classes?: number | null;
  /** Steps of the discriminator before each of the generator. Default 1. */
  discriminatorSteps?: number;
  /** Factor of the gradient penalty; 0: none. Default 10 for "wasserstein", else 0. */
  gradientPenalty?: number;
  /** Adds a loss of features to the generator's. Default null: none. */
  featureMatching?: FeatureMatching | null;
  /** Default: ganOptimizer(). */
  generatorOptimizer?: StepOptimizer;
  /** Default: ganOptimizer(). */
  discriminatorOptimizer?: StepOptimizer;
  /** Of the generator's optimizer; moves on after each step of the generator. Default: the rate stays. */
  generatorSchedule?: Schedule | null;
  /** Of the discriminator's optimizer; it, too, moves on after each step of the generator. Default: the rate stays. */
  discriminatorSchedule?: Schedule | null;
  /** Greatest norm of each network's gradient; null: any. Default null. */
  clipNorm?: number | null;
  /** Decay of a running average of the generator's weights, which sample() then uses, such as 0.999. Default: none. */
  ema?: number | null;
  /**
   * Whether steps are recorded once and then replayed natively, with the same bits, as the Trainer's. Default: once three
   * steps of a network in a row ran the same kernels, and where no module has hooks, as those of nn.spectralNorm(); true:
   * from the first step on; false: never. What a forward counts or prints in JavaScript happens only in steps that are not
   * replayed: pass false there.
   */
  capture?: boolean;
}

/** Options of GanTrainer.sample(). */
export interface GanSampleOptions {
  /** One of each sample, or int32 [n]. Default: 0, 1, ... in turn where the trainer has classes. */
  labels?: readonly number[] | Tensor | null;
  /** [n, noiseDim], for a path between two pictures or less spread than sampleNoise() has. Default: drawn by sampleNoise(). */
  noise?: Tensor;
  /** The same seed draws the same samples, and leaves the default generator alone. Default: the default generator draws. */
  seed?: number | null;
  /** Samples that are computed at a time. Default 64. */
  batchSize?: number;
  /** Ends the sampling between two batches with its reason. */
  signal?: AbortSignal;
}

/** Options of GanTrainer.fit(). */
export interface GanFitOptions {
  /** Steps of the generator. */
  steps: number;
  /** Steps between events. Default 100. */
  logEvery?: number;
  /** Folder for grids of samples, samples-STEP.png, and for checkpoints, last.safetensors. Default: nothing is written. */
  out?: string | null;
  /** Pictures of the grid; 0 for none. Default 64. */
  samples?: number;
  /** Steps between grids, a multiple of logEvery, beside the one at the end. Default: logEvery. */
  sampleEvery?: number;
  /** Steps between checkpoints, each written atomically before the step's event. Default: logEvery. */
  checkpointEvery?: number;
  /**
   * true: goes on from `out`'s checkpoint, where there is one; a path: from that one. Needs a loader that can say where it
   * stands, such as data.DataLoader. Default false.
   */
  resume?: boolean | string;
  /** Called and awaited at each event, with the trainer. */
  onEvent?: (event: GanEvent, trainer: GanTrainer) => void | Promise<void>;
  /** Ends the run after its current step. */
  signal?: AbortSignal;
}

/** What fit() tells. Losses are means since the last event. */
export interface GanEvent {
  /** Of the generator. */
  step: number;
  /** With the penalty, where there is one. */
  discriminatorLoss: number;
  /** By the same game, with feature matching where there is any. */
  generatorLoss: number;
  /** Of the optimizer's first group, at the last step. */
  discriminatorLearningRate: number;
  /** Of the optimizer's first group, at the last step. */
  generatorLearningRate: number;
  /** Of the last step, before clipping; null without clipNorm. */
  discriminatorGradientNorm: number | null;
  /** Of the last step, before clipping; null without clipNorm. */
  generatorGradientNorm: number | null;
  /** Pictures a second that the discriminator saw. */
  samplesPerSecond: number;
  /** Seconds in training steps since the run's beginning. */
  seconds: number;
  /** Path of the grid, where one is written. */
  grid: string | null;
  /** Why steps go on uncaptured, told once; null where there is nothing to tell. */
  notice: string | null;
}
