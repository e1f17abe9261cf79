/**
 * The options of training, with every default in one place.
 */

import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Module } from "../nn/index.js";
import {
  type EMA,
  type LBFGSState,
  type OptimizerOptions,
  type OptimizerState,
  ReduceLROnPlateau,
  type Schedule,
} from "../optim/index.js";
import type { Tensor } from "../tensor.js";
import { type AnyCallback, CallbackList } from "./callbacks.js";
import { findMetrics, type Metric, type MetricName } from "./metrics.js";
import type { EarlyStopping } from "./monitor.js";

/** A model that gives one tensor for one. */
export type Model = Module & {
  /** From a batch of inputs to what the loss takes. */
  forward(x: Tensor): Tensor;
};

/** [inputs, targets]; dimension 0 of the inputs counts the samples. */
export type Batch = readonly Tensor[];

/** What fit() iterates: data.DataLoader is one; each iteration is an epoch. */
export interface BatchSource extends AsyncIterable<Batch> {
  /** Batches an epoch. */
  readonly length?: number;
  /** Where it stands; with loadStateDict(), a run resumes in the middle of an epoch. */
  stateDict?(): unknown;
  /** Takes over what stateDict() gave: the next iteration goes on there. */
  loadStateDict?(state: unknown): void;
}

/** An optimizer that steps by the gradients that are there; most of optim are such. */
export interface StepOptimizer {
  /** Whose `lr` events report. */
  readonly paramGroups: readonly OptimizerOptions[];
  /** Forgets the gradients of all parameters. */
  zeroGrad(): void;
  /** Updates the parameters by their gradients. */
  step(): void;
  /** What checkpoints hold. */
  stateDict(): OptimizerState;
  /** Takes over what stateDict() gave. */
  loadStateDict(state: OptimizerState): void;
}

/**
 * An optimizer that evaluates the loss again within a step, such as optim.LBFGS. The random numbers of each evaluation are
 * those of the first, so that dropout drops the same and the loss is a function of the weights; running statistics, as of
 * batch norm, see every evaluation.
 */
export interface ClosureOptimizer {
  /** What tells it from an optimizer whose step() takes nothing. */
  readonly takesClosure: true;
  /** Whose `lr` events report. */
  readonly paramGroups: readonly OptimizerOptions[];
  /** Takes the gradients away; the closure calls it. */
  zeroGrad(): void;
  /** One step; `closure` computes the loss with its gradients, and is called several times. Gives the first loss. */
  step(closure: () => Tensor): Promise<number>;
  /** What loadStateDict() goes on from. */
  stateDict(): LBFGSState;
  /** Goes on from what stateDict() gave. */
  loadStateDict(state: LBFGSState): void;
}

/** What training needs of an optimizer; those of optim have it. */
export type AnyOptimizer = StepOptimizer | ClosureOptimizer;

export const takesClosure = (optimizer: AnyOptimizer): optimizer is ClosureOptimizer =>
  (optimizer as Partial<ClosureOptimizer>).takesClosure === true;

/** A schedule by steps or epochs, or one that goes by the validation. */
export type AnySchedule = Schedule | ReduceLROnPlateau;

/** Options of Trainer. A key that is none of them is an error. */
export interface TrainerOptions {
  /** Made of the model's parameters. */
  optimizer: AnyOptimizer;
  /** Mean loss of a batch, a tensor with one element: nn.crossEntropy, or any function of tensors. */
  loss: (output: Tensor, target: Tensor) => Tensor;
  /** Beside the loss: names, or { name, measure }. Default none. */
  metrics?: readonly (MetricName | Metric)[];
  /** Sets the learning rate. Default: it stays. ReduceLROnPlateau goes by the monitored score of each validation. */
  schedule?: AnySchedule;
  /** When the schedule moves on: after each optimizer step (default) or epoch; not for ReduceLROnPlateau. */
  scheduleEvery?: "step" | "epoch";
  /** Scales the gradient so that its norm is at most this. Default: never. */
  clipNorm?: number;
  /** Bounds each element of the gradient. Default: never. */
  clipValue?: number;
  /**
   * Whether steps are recorded once and then replayed natively (capture()): the same bits in less time and memory. Default:
   * once three steps in a row ran the same kernels on batches of one shape; each epoch's first step runs uncaptured, and
   * the run ends with an error that names the first op which differs, unless a module's mode, requiresGrad_(), hooks or
   * the optimizer's groups were changed in between: then the steps are looked at anew. Steps stay uncaptured where modules
   * have hooks, callbacks have `onGradients`, the optimizer takes a closure, or detectAnomaly is on; and, told by a notice
   * event, where a step reads values, goes on with tensors of the step before, or hands changing numbers or host data of
   * its own to kernels. What a step's JavaScript counts or prints besides happens only in steps that are not replayed, and
   * what it changes later than the first steps of an epoch is not seen until the next: pass false there.
   *
   * true: from the first step on. The model, the loss and the metrics must then do the same in every step, and hooks of
   * modules run only when a step is recorded: for each shape of a batch, and after each validation; not with optimizers
   * that take a closure, nor callbacks with `onGradients`. false: never.
   */
  capture?: boolean;
  /** Batches that make one optimizer step, each weighted by its samples. Default 1. */
  accumulate?: number;
  /** Running average of the weights, which evaluate() and predict() then use: its decay, such as 0.999, or an EMA. */
  ema?: number | EMA;
  /** What fit() seeds the default generator with (dropout draws from it), unless it resumes. Default: it goes on as it is. */
  seed?: number;
  /** Folder for metrics.jsonl and checkpoints; made when missing. Default: nothing is written. */
  out?: string;
  /** Trains in the NaN finder (detectAnomaly()): the first op that makes a NaN or an infinity ends the run. Slow. Default false. */
  detectAnomaly?: boolean;
  /** Whether a loss or a gradient that is NaN or infinite ends the run, with the weights from before the step. Default true. */
  stopAtNaN?: boolean;
}

/** Options of trainer.fit(). A key that is none of them is an error. */
export interface FitOptions {
  /** How long to train, from the very beginning of the run: epochs, or optimizer steps. One of the two is needed. */
  epochs?: number;
  /** How long to train, in optimizer steps; with both, whichever comes first. */
  steps?: number;
  /** Batches to evaluate on, after each epoch unless validateEvery says otherwise. */
  validation?: AsyncIterable<Batch>;
  /** Validates every so many steps instead. */
  validateEvery?: number;
  /** The score of the validation that "best" and early stopping go by; "loss" is to fall, others to rise. Default "loss". */
  monitor?: string;
  /** Ends training when the monitored score stops improving; true for the defaults. Default: never. */
  earlyStopping?: EarlyStopping | boolean;
  /** Called, and awaited, one after the other: functions for each event, objects at their hooks. */
  callbacks?: readonly AnyCallback[];
  /** Steps between step events. Default 10. */
  logEvery?: number;
  /**
   * When last.safetensors is written, beside the end of the run: after each epoch (default), every so many steps, or
   * { seconds }. best.safetensors follows validations. false: never. Needs `out`.
   */
  checkpoint?:
    | "epoch"
    | number
    | {
        /** Written at the first step after so many. */
        seconds: number;
      }
    | false;
  /** Goes on from a checkpoint: its path, or true for out/last.safetensors, where there is one. Default false. */
  resume?: boolean | string;
  /** Ends the run after its current step, with a checkpoint. */
  signal?: AbortSignal;
  /** Ctrl+C and SIGTERM end the run after its current step, with a checkpoint; a second one ends the process. Default true. */
  handleSignals?: boolean;
}

/** TrainerOptions, complete. */
export interface TrainerSettings {
  /** What is trained. */
  model: Model;
  /** Makes the steps. */
  optimizer: AnyOptimizer;
  /** Mean loss of a batch. */
  loss: (output: Tensor, target: Tensor) => Tensor;
  /** Beside the loss. */
  metrics: readonly Metric[];
  /** Sets the learning rate; null: it stays. */
  schedule: AnySchedule | null;
  /** When the schedule moves on. */
  scheduleEvery: "step" | "epoch";
  /** Greatest norm of the gradient; null: any. */
  clipNorm: number | null;
  /** Greatest element of the gradient; null: any. */
  clipValue: number | null;
  /** Whether steps are recorded and replayed; null: where they are alike. */
  capture: boolean | null;
  /** Batches that make one optimizer step. */
  accumulate: number;
  /** Running average of the weights; null: none. */
  ema: EMA | null;
  /** Of the default generator; null: it goes on as it is. */
  seed: number | null;
  /** Folder for metrics.jsonl and checkpoints; null: nothing is written. */
  out: string | null;
  detectAnomaly: boolean;
  stopAtNaN: boolean;
}

/** FitOptions, complete. */
export interface FitSettings {
  /** Infinity where the other bounds the run. */
  epochs: number;
  /** Infinity where the epochs bound the run. */
  steps: number;
  /** Batches to evaluate on; null: none. */
  validation: AsyncIterable<Batch> | null;
  /** null: after each epoch. */
  validateEvery: number | null;
  /** The score that "best" and early stopping go by. */
  monitor: string;
  /** undefined: never. */
  earlyStopping: EarlyStopping | undefined;
  /** Hooks of the run, in order. */
  callbacks: CallbackList;
  /** Steps between step events. */
  logEvery: number;
  /** null: no checkpoints at all. */
  checkpointEvery: "epoch" | "end" | number | null;
  /** Seconds between checkpoints; null: not by time. */
  checkpointSeconds: number | null;
  /** Path of a checkpoint that is there; null: a fresh run. */
  resume: string | null;
  /** Ends the run after its current step. */
  signal: AbortSignal | undefined;
  /** Whether Ctrl+C and SIGTERM end the run with a checkpoint. */
  handleSignals: boolean;
}

function expectCount(where: string, name: string, value: number | undefined): void {
  if (value === undefined || (Number.isSafeInteger(value) && value >= 1)) return;
  throw new RangeError(`${where}: expected ${name} to be a whole number from 1 up, got ${value}`);
}

function expectPositive(where: string, name: string, value: number | undefined): void {
  if (value !== undefined && !(value > 0)) throw new RangeError(`${where}: expected ${name} above 0, got ${value}`);
}

const TRAINER_KEYS = [
  "optimizer",
  "loss",
  "metrics",
  "schedule",
  "scheduleEvery",
  "clipNorm",
  "clipValue",
  "capture",
  "accumulate",
  "ema",
  "seed",
  "out",
  "detectAnomaly",
  "stopAtNaN",
];
const FIT_KEYS = [
  "epochs",
  "steps",
  "validation",
  "validateEvery",
  "monitor",
  "earlyStopping",
  "callbacks",
  "logEvery",
  "checkpoint",
  "resume",
  "signal",
  "handleSignals",
];

function expectKeys(where: string, given: object, known: string[]): void {
  for (const key of Object.keys(given)) {
    if (!known.includes(key))
      throw new TypeError(`${where}: there is no option "${key}"; there are ${known.join(", ")}`);
  }
}

/** Checks and completes the options of a trainer. */
export function trainerSettings(
  model: Model,
  options: TrainerOptions,
  makeEma: (decay: number) => EMA,
): TrainerSettings {
  const where = "Trainer";
  if (typeof options !== "object" || options === null)
    throw new TypeError("Trainer: expected options { optimizer, loss, ... }");
  expectKeys(where, options, TRAINER_KEYS);
  const {
    optimizer,
    loss,
    metrics = [],
    schedule = null,
    scheduleEvery = "step",
    clipNorm,
    clipValue,
    capture = null,
    accumulate = 1,
    ema,
    seed = null,
    out = null,
    detectAnomaly = false,
    stopAtNaN = true,
  } = options;
  if (typeof optimizer?.step !== "function")
    throw new TypeError("Trainer: expected an optimizer, such as new optim.AdamW(model.parameters())");
  if (typeof loss !== "function")
    throw new TypeError("Trainer: expected a loss function (output, target) => Tensor, such as nn.crossEntropy");
  if (scheduleEvery !== "step" && scheduleEvery !== "epoch")
    throw new TypeError(`Trainer: expected scheduleEvery "step" or "epoch", got ${JSON.stringify(scheduleEvery)}`);
  expectPositive(where, "clipNorm", clipNorm);
  expectPositive(where, "clipValue", clipValue);
  expectCount(where, "accumulate", accumulate);
  if (schedule instanceof ReduceLROnPlateau && options.scheduleEvery !== undefined)
    throw new TypeError("Trainer: ReduceLROnPlateau moves on with each validation; leave out scheduleEvery");
  if (capture !== null && typeof capture !== "boolean")
    throw new TypeError(`Trainer: expected capture true or false, got ${capture}`);
  if (capture && takesClosure(optimizer))
    throw new TypeError(
      "Trainer: expected an optimizer that takes no closure with capture: what it does depends on values that it reads",
    );
  if (takesClosure(optimizer) && (clipNorm !== undefined || clipValue !== undefined))
    throw new TypeError(
      "Trainer: expected no clipNorm and clipValue with an optimizer that takes a closure: it needs the gradient of the loss as it is",
    );
  return {
    model,
    optimizer,
    loss,
    metrics: findMetrics(metrics),
    schedule,
    scheduleEvery,
    clipNorm: clipNorm ?? null,
    clipValue: clipValue ?? null,
    capture,
    accumulate,
    ema: typeof ema === "number" ? makeEma(ema) : (ema ?? null),
    seed,
    out,
    detectAnomaly,
    stopAtNaN,
  };
}

/** Throws where ReduceLROnPlateau could not go by the validation of a run. */
function expectPlateau({ mode }: ReduceLROnPlateau, monitor: string, validation: unknown): void {
  if (!validation) throw new TypeError("fit: ReduceLROnPlateau goes by the validation; pass { validation: loader }");
  if ((mode === "min") !== (monitor === "loss"))
    throw new TypeError(
      `fit: the monitored score "${monitor}" is to ${monitor === "loss" ? "fall" : "rise"}, the schedule waits for one that ${mode === "min" ? "falls" : "rises"}; make it with { mode: "${monitor === "loss" ? "min" : "max"}" }`,
    );
}

/** Checks and completes the options of fit(). */
export function fitSettings(
  options: FitOptions,
  { out, schedule }: Pick<TrainerSettings, "out" | "schedule">,
): FitSettings {
  const where = "fit";
  expectKeys(where, options, FIT_KEYS);
  const {
    epochs,
    steps,
    validation = null,
    validateEvery,
    monitor = "loss",
    earlyStopping = false,
    callbacks = [],
    logEvery = 10,
  } = options;
  const { checkpoint = out ? "epoch" : false, resume = false, signal, handleSignals = true } = options;
  if (epochs === undefined && steps === undefined)
    throw new TypeError("fit: expected how long to train, { epochs } or { steps }");
  expectCount(where, "epochs", epochs);
  expectCount(where, "steps", steps);
  expectCount(where, "validateEvery", validateEvery);
  expectCount(where, "logEvery", logEvery);
  if (earlyStopping && !validation)
    throw new TypeError("fit: earlyStopping goes by the validation; pass { validation: loader }");
  if (schedule instanceof ReduceLROnPlateau) expectPlateau(schedule, monitor, validation);
  if (checkpoint !== false && !out) throw new TypeError("fit: checkpoints need a folder; pass { out } to the Trainer");
  const seconds = typeof checkpoint === "object" ? checkpoint.seconds : undefined;
  expectPositive(where, "checkpoint.seconds", seconds);
  if (typeof checkpoint === "number") expectCount(where, "checkpoint", checkpoint);
  if (resume === true && !out)
    throw new TypeError(
      "fit: resume: true looks for out/last.safetensors; pass { out } to the Trainer, or the path of a checkpoint",
    );
  const last = out === null ? "" : join(out, "last.safetensors");
  return {
    epochs: epochs ?? Number.POSITIVE_INFINITY,
    steps: steps ?? Number.POSITIVE_INFINITY,
    validation,
    validateEvery: validateEvery ?? null,
    monitor,
    earlyStopping: earlyStopping === true ? {} : earlyStopping === false ? undefined : earlyStopping,
    callbacks: new CallbackList(callbacks),
    logEvery,
    checkpointEvery: checkpoint === false ? null : typeof checkpoint === "object" ? "end" : checkpoint,
    checkpointSeconds: seconds ?? null,
    resume: resume === true ? (existsSync(last) ? last : null) : resume === false ? null : resume,
    signal,
    handleSignals,
  };
}
