/**
 * What the classic examples share: CIFAR-10 from --data DIR, or drawn digits where none is given, split as CS231n's first
 * assignment splits it; a table for the terminal; a file for the result.
 */
import { mkdir } from "node:fs/promises";
import { parseArgs } from "node:util";
import { cat, data, full, io, noGrad, scope, type Tensor } from "napier";

export interface Split {
  /** Bytes [n, c, h, w]. */
  x: Tensor;
  /** Labels [n]. */
  y: Tensor;
}

export interface Pictures {
  name: "cifar-10" | "glyphs";
  /** All but the last 1,000 of the pictures to train on; those 1,000; the test pictures. */
  train: Split;
  validation: Split;
  test: Split;
}

const HELD_OUT = 1000;

export async function pictures(): Promise<Pictures> {
  const { values } = parseArgs({ options: { data: { type: "string" } } });
  const bytes = { normalize: false };
  const sets = values.data
    ? await data.cifar10(values.data, bytes)
    : await data.glyphs({ train: 6000, test: 1000, ...bytes });
  const part = ({ tensors: [x, y] }: data.TensorDataset, low: number, high: number): Split => ({
    x: x!.slice([low, high]),
    y: y!.slice([low, high]),
  });
  const split = sets.train.length - HELD_OUT;
  return {
    name: values.data ? "cifar-10" : "glyphs",
    train: part(sets.train, 0, split),
    validation: part(sets.train, split, sets.train.length),
    test: part(sets.test, 0, sets.test.length),
  };
}

/** The first n of a split, a row of bytes as floats each: [n, d]. */
export const first = ({ x, y }: Split, n: number, dtype: "float32" | "float64"): Split => ({
  x: x.slice([0, n]).flatten(1).to(dtype),
  y: y.slice([0, n]),
});

/** Rows [n, d] in units of 255 about the mean picture of the training set; with `bias` a column of ones behind. */
export function centred(sets: Pictures, { bias = false } = {}): Record<"train" | "validation" | "test", Split> {
  const floats = (x: Tensor) => {
    const rows = x.flatten(1);
    const ones = full([x.shape[0]!, 1], 255, { dtype: "uint8" });
    return (bias ? cat([rows, ones], 1) : rows).to("float32").div_(255);
  };
  return scope(() =>
    noGrad(() => {
      const { train, validation, test } = sets;
      const [x, xVal, xTest] = [floats(train.x), floats(validation.x), floats(test.x)];
      const mean = x.mean(0);
      if (bias) mean.assign_([-1], 0);
      for (const rows of [x, xVal, xTest]) rows.sub_(mean);
      return { train: { x, y: train.y }, validation: { x: xVal, y: validation.y }, test: { x: xTest, y: test.y } };
    }),
  );
}

export const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;

/** Columns aligned: the first to the left, numbers to the right. */
export function printTable(head: readonly string[], rows: readonly (readonly (string | number)[])[]): void {
  const lines = [head, ...rows].map((row) => row.map(String));
  const widths = head.map((_, i) => Math.max(...lines.map((line) => line[i]!.length)));
  const cell = (text: string, i: number) => (i === 0 ? text.padEnd(widths[i]!) : text.padStart(widths[i]!));
  for (const line of lines) console.log(`  ${line.map(cell).join("  ")}`);
}

/** Sets that come with the package: their results are no figures. */
const EMBEDDED = ["glyphs", "fallback"];

/** What the file of a result says beside its example and dataset. Figures of the example's own follow, by names of their own. */
export interface Result {
  /** Sizes, hyper-parameters and what else was chosen; by model where there are several. */
  settings: Record<string, unknown>;
  /** A list where the example ran once for each; null where nothing is drawn. */
  seed: number | readonly number[] | null;
  /** Of the model, as nn.countParameters() counts; by model where there are several; null where there is no one model. */
  parameters: number | Readonly<Record<string, number>> | null;
  /** Training, and with it a choice of settings; by model where there are several; null where it was not measured by itself. */
  trainingSeconds: number | Readonly<Record<string, number>> | null;
  /** The whole run, with all that was measured. */
  totalSeconds?: number;
  /** In training. */
  picturesPerSecond?: number;
  [figure: string]: unknown;
}

/** Writes examples/results/NAME.json of a run on real data, runs/NAME.json of any other. */
export async function saveResult(name: string, dataset: string, result: Result): Promise<void> {
  const { settings, seed, parameters, trainingSeconds, ...figures } = result;
  const folder = EMBEDDED.includes(dataset) ? "runs" : "examples/results";
  await mkdir(folder, { recursive: true });
  const short = (_: string, value: unknown) =>
    typeof value === "number" && !Number.isInteger(value) ? Number(value.toPrecision(6)) : value;
  const all = { example: name, dataset, settings, seed, parameters, trainingSeconds, ...figures };
  const text = `${JSON.stringify(all, short, 2)}\n`;
  await io.writeFileAtomic(`${folder}/${name}.json`, new TextEncoder().encode(text));
  console.log(`\nin ${folder}/${name}.json`);
}
