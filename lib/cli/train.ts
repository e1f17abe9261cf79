/**
 * `napier train`: a network on a data set; model, metrics, checkpoints and report go to a folder.
 */
import { join, resolve } from "node:path";
import * as models from "../models/index.js";
import { addon } from "../native.js";
import { presetOf, SET_NAMES, setNameOf } from "./datasets.js";
import { runTraining } from "./training.js";
import { describeOptions, oneOf, positiveNumber, readOptions, UsageError, wholeNumber } from "./usage.js";

const OPTIONS = {
  dataset: { value: "NAME", help: `${SET_NAMES.join(", ")}; default glyphs, drawn here` },
  data: { value: "DIR", help: "where the files of the data set are" },
  download: { help: "fetch what is missing there, or in the user's cache without --data" },
  model: { value: "NAME", help: `${models.list().join(", ")}; default: what suits the data set` },
  epochs: { value: "N", help: "passes through the data" },
  batch: { value: "N", help: "pictures a step; default 128" },
  lr: { value: "X", help: "highest learning rate of the one-cycle schedule; default 0.004" },
  seed: { value: "N", help: "what all random numbers come from; default 231" },
  out: { value: "DIR", help: "where results go; default runs/DATASET-MODEL" },
  "find-lr": { help: "only look at the loss by learning rate, and suggest one" },
  tensorboard: { value: "DIR", help: "also write the run for TensorBoard" },
  csv: { value: "FILE", help: "also write the run as a table of comma-separated values" },
  resume: { help: "go on from the last checkpoint in DIR, where there is one" },
  threads: { value: "N", help: "threads that compute; default NAPIER_THREADS, or one a core" },
  profile: { value: "FILE", help: "time some steps by op and module; FILE gets a Chrome trace" },
  capture: { help: "replay recorded steps from the first on; leaves out checks of gradients" },
  "no-capture": { help: "never replay recorded steps; default: where nothing looks into them" },
  "detect-anomaly": { help: "stop at the first op that makes a NaN or infinity, and name it; slow" },
  json: { help: "print one JSON object as the last line of stdout" },
} as const;

export const help = `napier train: train a network and test it

${describeOptions(OPTIONS)}

DIR gets model.safetensors, metrics.jsonl, report.html and checkpoints. Ctrl+C
writes a checkpoint and ends; --resume goes on from there, bit for bit.`;

export async function run(args: string[]): Promise<number> {
  const given = readOptions("train", OPTIONS, args);
  const dataset = setNameOf("train", given.dataset);
  const preset = presetOf(dataset);
  const model = oneOf("train", "model", given.model, models.list(), preset.model);
  if (given.capture && given["no-capture"])
    throw new UsageError("napier train: expected --capture or --no-capture, got both.");
  if (given.threads !== undefined) addon.threads(wholeNumber("train", "threads", given.threads, 1));
  return runTraining({
    command: "train",
    dataset,
    directory: given.data,
    download: given.download ?? false,
    model,
    epochs: wholeNumber("train", "epochs", given.epochs, preset.epochs),
    batch: wholeNumber("train", "batch", given.batch, preset.batch),
    lr: positiveNumber("train", "lr", given.lr, preset.lr),
    seed: wholeNumber("train", "seed", given.seed, 231, 0),
    out: resolve(given.out ?? join("runs", `${dataset}-${model}`)),
    findLr: given["find-lr"] ?? false,
    tensorboard: given.tensorboard,
    csv: given.csv,
    resume: given.resume ?? false,
    json: given.json ?? false,
    profile: given.profile === undefined ? undefined : resolve(given.profile),
    detectAnomaly: given["detect-anomaly"] ?? false,
    capture: given.capture ? true : given["no-capture"] ? false : undefined,
  });
}
