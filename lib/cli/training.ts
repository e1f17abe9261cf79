/**
 * A training run from the command line, from data to report: what `napier train` and `napier quickstart` share.
 */
import "../methods.js";
import { mkdir } from "node:fs/promises";
import { join, relative } from "node:path";
import { DataLoader, type ImageSets } from "../data/index.js";
import { save, writeFileAtomic } from "../io/index.js";
import * as models from "../models/index.js";
import { addon } from "../native.js";
import { countParameters, crossEntropy } from "../nn/index.js";
import { AdamW, OneCycleLR } from "../optim/index.js";
import { manualSeed } from "../random.js";
import {
  type Callback,
  csvLogger,
  deadUnits,
  type FitResult,
  gradientNorms,
  overfitting,
  type TrainEvent,
  Trainer,
  tensorBoard,
} from "../train/index.js";
import { Progress } from "../viz/progress.js";
import { checkSource, openSets, presetOf, type SetName } from "./datasets.js";
import { DelayMeter, idleDelay } from "./delay.js";
import { TrainingProfile } from "./profiling.js";
import { writeReport } from "./report.js";
import { testModel } from "./testing.js";

/** A training run, as the command line tells it. */
export interface RunOptions {
  command: string;
  dataset: SetName;
  directory: string | undefined;
  download: boolean;
  model: string;
  epochs: number;
  batch: number;
  lr: number;
  seed: number;
  out: string;
  /** Whether to run the learning-rate range test instead of a training. */
  findLr: boolean;
  /** Folder for TensorBoard's event files. */
  tensorboard: string | undefined;
  csv: string | undefined;
  resume: boolean;
  json: boolean;
  /** File for a Chrome trace of some steps. */
  profile?: string | undefined;
  detectAnomaly?: boolean;
  /** As the Trainer's; true leaves out what would look into a step. */
  capture?: boolean | undefined;
}

/** What `--json` prints. */
export interface RunSummary {
  /** 0 to 1 */
  testAccuracy: number;
  /** In training steps. */
  seconds: number;
  imagesPerSecond: number;
  /** 99th percentile over the training after the first steps. */
  eventLoopDelayP99Ms: number;
  peakRssBytes: number;
  out: string;
}

/** What a saved model says about itself, for `napier eval`. */
export const modelMetadata = (name: string, sets: ImageSets, dataset: string): Record<string, string> => {
  const [, channels, side] = sets.train.tensors[0]!.shape as [number, number, number];
  return {
    model: name,
    dataset,
    classes: String(sets.classes.length),
    inChannels: String(channels),
    imageSize: String(side),
  };
};

/** Makes a model for the pictures that metadata describes. */
export const modelOf = ({ model, classes, inChannels, imageSize }: Record<string, string>) =>
  models.create(model as models.ModelName, {
    classes: Number(classes),
    inChannels: Number(inChannels),
    imageSize: Number(imageSize),
  });

/** Trains, tests, writes model, metrics and report; answers the exit code. */
export async function runTraining(options: RunOptions): Promise<number> {
  const { command, dataset, model: modelName, epochs, batch, lr, seed, out, resume, json } = options;
  const say = json ? () => {} : console.log;
  checkSource(command, dataset, options);
  manualSeed(seed);
  const from = options.directory ?? (options.download ? "the user's cache" : null);
  say(`${dataset}: ${from ? `reading ${from}` : "drawing pictures"}`);
  const sets = await openSets(command, dataset, options);
  const { augment } = presetOf(dataset);
  const loader = new DataLoader(sets.train, {
    batchSize: batch,
    shuffle: true,
    dropLast: sets.train.length > batch,
    seed,
    transform: augment,
  });
  const validation = new DataLoader(sets.test, { batchSize: 500 });
  const metadata = modelMetadata(modelName, sets, dataset);
  const model = modelOf(metadata);
  const parameters = countParameters(model);
  say(`${modelName}: ${parameters.toLocaleString("en-US")} parameters, ${addon.isa()}, ${addon.threads()} threads`);
  const idle = await idleDelay();

  const optimizer = new AdamW(model.parameters(), { lr, weightDecay: 1e-2 });
  const schedule = new OneCycleLR(optimizer, { maxLr: lr, totalSteps: epochs * loader.length });
  const { detectAnomaly = false, capture } = options;
  const trainer = new Trainer(model, {
    optimizer,
    schedule,
    loss: crossEntropy,
    metrics: ["accuracy"],
    out,
    detectAnomaly,
    capture,
  });
  await mkdir(out, { recursive: true });
  if (options.findLr) {
    const found = await trainer.findLearningRate(loader, { to: 1 });
    const { rates, losses, suggestion, diverged } = found;
    const picture = join(out, "learning-rate.png");
    await writeFileAtomic(picture, found.png());
    say(`${found}\nwrote ${relative(process.cwd(), picture)}`);
    if (json) console.log(JSON.stringify({ suggestion, diverged, rates, losses, out }));
    return 0;
  }
  const delay = new DelayMeter();
  const progress = new Progress();
  const profiling = options.profile === undefined ? null : new TrainingProfile(model, epochs * loader.length);
  let result: FitResult;
  try {
    result = await trainer.fit(loader, {
      epochs,
      validation,
      resume,
      monitor: "accuracy",
      callbacks: [
        show(progress, epochs, loader.length),
        whileTraining(delay),
        ...(profiling ? [profiling.see] : []),
        ...instruments(capture === true),
        notices,
        ...loggers(options),
      ],
    });
    const measured = await profiling?.end();
    if (measured) {
      await measured.saveChromeTrace(options.profile!);
      say(`${measured}\nwrote ${options.profile}: open it at chrome://tracing or ui.perfetto.dev`);
    }
  } finally {
    profiling?.cancel();
    delay.stop();
    progress.close();
  }
  if (result.reason === "interrupted") {
    console.error(`interrupted at step ${result.steps}; go on with --resume`);
    return 130;
  }

  const tested = await testModel(model, sets);
  const state = model.stateDict();
  await save(join(out, "model.safetensors"), state, { metadata });
  const summary: RunSummary = {
    testAccuracy: tested.scores.accuracy,
    seconds: result.seconds,
    imagesPerSecond: result.samples / result.seconds,
    eventLoopDelayP99Ms: delay.p99Ms,
    peakRssBytes: process.resourceUsage().maxRSS * 1024,
    out,
  };
  await writeReport({ out, options, sets, model, tested, summary, parameters, diagnosis: result.diagnosis });
  for (const { message } of result.diagnosis) say(`diagnosis: ${message}`);
  say(
    `test accuracy ${(summary.testAccuracy * 100).toFixed(2)} % on ${sets.test.length.toLocaleString("en-US")} pictures`,
  );
  say(
    `trained in ${summary.seconds.toFixed(1)} s, ${Math.round(summary.imagesPerSecond).toLocaleString("en-US")} pictures a second; ` +
      `event loop at most ${summary.eventLoopDelayP99Ms.toFixed(1)} ms late (99 %; idle ${idle.toFixed(1)} ms); peak memory ${Math.round(summary.peakRssBytes / 2 ** 20)} MB`,
  );
  const shown = relative(process.cwd(), out) || ".";
  say(`wrote ${["model.safetensors", "metrics.jsonl", "report.html"].map((name) => join(shown, name)).join(", ")}`);
  if (json) console.log(JSON.stringify(summary));
  return 0;
}

/** What looks for the usual faults; in captured steps nothing can look at gradients and single layers. */
const instruments = (captured: boolean): Callback[] => [
  ...(captured ? [] : [gradientNorms({ every: 25 }), deadUnits({ every: 5 })]),
  overfitting(),
];

const notices = (event: TrainEvent): void => {
  if (event.type === "notice") console.error(event.message);
};

/** What writes the run down beside metrics.jsonl. */
function loggers({ tensorboard, csv, model, dataset, epochs, batch, lr, seed }: RunOptions): Callback[] {
  return [
    ...(tensorboard === undefined
      ? []
      : [tensorBoard(tensorboard, { hparams: { model, dataset, epochs, batch, lr, seed } })]),
    ...(csv === undefined ? [] : [csvLogger(csv)]),
  ];
}

/** Draws the progress of a run: a line an epoch. */
function show(progress: Progress, epochs: number, steps: number): (event: TrainEvent) => void {
  let open = 0; // the epoch whose line is open
  let fields: Record<string, number> = {};
  return (event) => {
    if (event.type === "step") {
      if (open !== event.epoch) progress.start(`epoch ${event.epoch}/${epochs}`, steps);
      open = event.epoch;
      progress.update(event.step - (event.epoch - 1) * steps, { items: event.samples, fields: event.scores });
    } else if (event.type === "epoch") {
      if (open !== event.epoch) progress.start(`epoch ${event.epoch}/${epochs}`, steps);
      open = event.epoch;
      progress.update(steps);
      fields = event.scores;
    } else if (event.type === "validation") {
      progress.finish({ ...fields, "test loss": event.scores.loss!, "test accuracy": event.scores.accuracy! });
      open = 0;
    }
  };
}

/** Measures the event loop from the first step event on, evaluations left out. */
function whileTraining(delay: DelayMeter): (event: TrainEvent) => void {
  return (event) => {
    if (event.type === "step") delay.start();
    else if (event.type === "epoch") delay.stop();
  };
}
