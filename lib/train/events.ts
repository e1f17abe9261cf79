/**
 * What a run tells while it trains: plain objects with a `type`, the same for callbacks, `for await` and metrics.jsonl.
 */

import type { Finding } from "./diagnosis.js";

/** Means over samples, by metric: { loss: 0.31, accuracy: 0.9 }. */
export type Scores = Record<string, number>;

interface Where {
  /** Optimizer steps so far. */
  step: number;
  /** The epoch, from 1. */
  epoch: number;
}

/** Numbers that callbacks measured, by name: { "learningRate/0": 0.1 }; absent where none did. */
interface Measured {
  /** By name; a promise of callbacks may have given them steps after they were measured. */
  measured?: Scores;
}

/** Every `logEvery` steps; the scores are means over the samples since the last one. */
export interface StepEvent extends Where, Measured {
  /** Tells this event from the others. */
  type: "step";
  /** Means over the samples since the last step event, "loss" among them. */
  scores: Scores;
  /** Of the first parameter group, in the step that was made. */
  learningRate: number;
  /** Norm of the gradient before clipping; null where nothing clips. */
  gradientNorm: number | null;
  /** Samples since the last step event. */
  samples: number;
  /** Samples a second since the last step event, measured where steps complete. */
  samplesPerSecond: number;
}

/** At the end of an epoch, before its validation; the scores are means over its samples. */
export interface EpochEvent extends Where, Measured {
  /** Tells this event from the others. */
  type: "epoch";
  /** Means over the samples of the epoch, "loss" among them. */
  scores: Scores;
  /** Of the first parameter group, in the last step that was made. */
  learningRate: number;
  /** Samples of the epoch. */
  samples: number;
  /** Seconds in training steps; a resumed epoch counts those before the interruption too. */
  seconds: number;
  /** Samples by seconds in training steps. */
  samplesPerSecond: number;
}

/** After each validation. */
export interface ValidationEvent extends Where {
  /** Tells this event from the others. */
  type: "validation";
  /** Means over the samples, "loss" among them. */
  scores: Scores;
  /** Samples of the validation. */
  samples: number;
  /** Seconds in the validation. */
  seconds: number;
  /** Whether the monitored score is the best so far. */
  best: boolean;
}

/** After a checkpoint was written. */
export interface CheckpointEvent extends Where {
  /** Tells this event from the others. */
  type: "checkpoint";
  /** Of the file, complete when the event comes. */
  path: string;
  /** "best" follows a validation that was the best so far; "last" is the one that resume takes. */
  kind: "last" | "best";
}

/** Where what callbacks find wrong has changed: at the end of an epoch, or of the run. */
export interface DiagnosisEvent extends Where {
  /** Tells this event from the others. */
  type: "diagnosis";
  /** All that holds now; none where the last ones are gone. */
  findings: Finding[];
}

/** Something about the run that is worth a line, once: that its steps are not captured, and why. */
export interface NoticeEvent extends Where {
  /** Tells this event from the others. */
  type: "notice";
  /** A sentence. */
  message: string;
}

/** Why a run ended: all was done; patience ran out; stop() or leaving the event loop; the AbortSignal; Ctrl+C. */
export type EndReason = "finished" | "earlyStopping" | "stopped" | "aborted" | "interrupted";

/** The last event of a run; one that fails has none. */
export interface EndEvent extends Where {
  /** Tells this event from the others. */
  type: "end";
  /** Why the run ended. */
  reason: EndReason;
  /** Seconds in training steps, those before a resume included. */
  seconds: number;
}

/** Any event of a run; `type` says which. */
export type TrainEvent =
  | StepEvent
  | EpochEvent
  | ValidationEvent
  | CheckpointEvent
  | DiagnosisEvent
  | NoticeEvent
  | EndEvent;

/** What `await trainer.fit(...)` gives. */
export interface FitResult {
  /** Why the run ended. */
  reason: EndReason;
  /** Optimizer steps, those before a resume included. */
  steps: number;
  /** Epochs that were completed, those before a resume included. */
  epochs: number;
  /** Seconds in training steps, those before a resume included. */
  seconds: number;
  /** Samples, those before a resume included. */
  samples: number;
  /** The epochs and validations of the run, in order, from its beginning. */
  history: (EpochEvent | ValidationEvent)[];
  /** The best validation; null without one. */
  best: ValidationEvent | null;
  /** What callbacks found wrong at the end: vanishing gradients, dead units, overfitting; none without such callbacks. */
  diagnosis: Finding[];
}
