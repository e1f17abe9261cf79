/**
 * report.html of a run, from its metrics.jsonl, its test and its weights.
 */
import { readFile } from "node:fs/promises";
import { cpus } from "node:os";
import { join } from "node:path";
import type { ImageSets } from "../data/index.js";
import { writeFileAtomic } from "../io/index.js";
import { addon } from "../native.js";
import type { Layer } from "../nn/index.js";
import type { Finding, TrainEvent } from "../train/index.js";
import { encodePng } from "../viz/png.js";
import { type Mistake, type Points, renderReport } from "../viz/report.js";
import { version } from "./package.js";
import type { Mistaken, Tested } from "./testing.js";
import type { RunOptions, RunSummary } from "./training.js";

const SHOWN_MISTAKES = 40;

/** What the report of a run is made of. */
export interface ReportInput {
  out: string;
  options: RunOptions;
  sets: ImageSets;
  model: Layer;
  tested: Tested;
  summary: RunSummary;
  parameters: number;
  diagnosis: readonly Finding[];
}

export async function writeReport({
  out,
  options,
  sets,
  model,
  tested,
  summary,
  parameters,
  diagnosis,
}: ReportInput): Promise<void> {
  const { dataset, model: name, epochs, batch, lr, seed } = options;
  const events = await readEvents(join(out, "metrics.jsonl"));
  const perEpoch =
    (events.findLast((e) => e.type === "epoch")?.step ?? 1) / (events.findLast((e) => e.type === "epoch")?.epoch ?? 1);
  const points = (type: TrainEvent["type"], value: (e: never) => number): Points => {
    const some = events.filter((e) => e.type === type);
    return { x: some.map((e) => e.step / perEpoch), y: some.map((e) => Number(value(e as never))) };
  };
  type Scored = { scores: { loss: number; accuracy: number } };
  const html = renderReport({
    title: `${name} on ${dataset}`,
    subtitle: `${sets.train.length.toLocaleString("en-US")} pictures, ${epochs} epochs`,
    summary: {
      testAccuracy: summary.testAccuracy,
      testLoss: tested.loss,
      seconds: summary.seconds,
      imagesPerSecond: summary.imagesPerSecond,
      parameters,
      seed,
    },
    versions: {
      napier: version,
      node: process.version,
      cpu: cpus()[0]?.model.trim() ?? "unknown",
      "instruction set": addon.isa(),
      threads: String(addon.threads()),
    },
    history: {
      loss: {
        train: points("step", (e: Scored) => e.scores.loss),
        validation: points("validation", (e: Scored) => e.scores.loss),
      },
      accuracy: {
        train: points("step", (e: Scored) => e.scores.accuracy),
        validation: points("validation", (e: Scored) => e.scores.accuracy),
      },
      learningRate: points("step", (e: { learningRate: number }) => e.learningRate),
    },
    diagnosis,
    classNames: sets.classes,
    confusion: tested.confusion,
    scores: tested.scores,
    filters: await firstFilters(model),
    mistakes: await pictures(sets, tested.mistakes.slice(0, SHOWN_MISTAKES)),
    mistakesTotal: tested.mistakes.length,
    modelSummary: model.summary([1, ...sets.train.tensors[0]!.shape.slice(1)]),
    config: {
      dataset,
      model: name,
      epochs,
      batch,
      lr,
      seed,
      optimizer: "AdamW, weight decay 0.01",
      schedule: "one cycle",
    },
  });
  await writeFileAtomic(join(out, "report.html"), Buffer.from(html));
}

async function readEvents(path: string): Promise<TrainEvent[]> {
  const lines = (await readFile(path, "utf8")).split("\n");
  return lines.filter((line) => line !== "").map((line) => JSON.parse(line) as TrainEvent);
}

/** The weights of the first convolution; undefined for a network without one. */
async function firstFilters(model: Layer): Promise<{ weights: Float32Array; shape: readonly number[] } | undefined> {
  const first = model.namedParameters().find(([, p]) => p.ndim === 4)?.[1];
  return first && { weights: await first.data("float32"), shape: first.shape };
}

/** The pictures of mistakes, as they lie in the data set. */
async function pictures(sets: ImageSets, mistakes: readonly Mistaken[]): Promise<Mistake[]> {
  if (mistakes.length === 0) return [];
  const [images] = sets.test.tensors;
  const [, c, h, w] = images!.shape as [number, number, number, number];
  const bytes = await images!.data("uint8");
  return mistakes.map(({ index, truth, predicted, probability }) => {
    const planes = bytes.subarray(index * c * h * w, (index + 1) * c * h * w);
    const interleaved = Uint8Array.from(
      { length: planes.length },
      (_, i) => planes[(i % c) * h * w + Math.floor(i / c)]!,
    );
    const size = { width: w, height: h, channels: (c === 3 ? 3 : 1) as 1 | 3 };
    const png = encodePng(interleaved, size);
    return { image: `data:image/png;base64,${png.toString("base64")}`, truth, predicted, probability };
  });
}
