/**
 * `napier quickstart`, what `npm start` runs: a small convolutional network on digits that are drawn here.
 */
import { resolve } from "node:path";
import { presetOf } from "./datasets.js";
import { runTraining } from "./training.js";
import { describeOptions, readOptions } from "./usage.js";

const OPTIONS = {
  out: { value: "DIR", help: "where results go; default runs/quickstart" },
  json: { help: "print one JSON object as the last line of stdout" },
} as const;

export const help = `napier quickstart: train a small network on drawn digits, about a minute

${describeOptions(OPTIONS)}`;

export async function run(args: string[]): Promise<number> {
  const { out = "runs/quickstart", json = false } = readOptions("quickstart", OPTIONS, args);
  const { model, epochs, batch, lr } = presetOf("glyphs");
  return runTraining({
    command: "quickstart",
    dataset: "glyphs",
    directory: undefined,
    download: false,
    model,
    epochs,
    batch,
    lr,
    seed: 231,
    out: resolve(out),
    tensorboard: undefined,
    csv: undefined,
    resume: false,
    json,
  });
}
