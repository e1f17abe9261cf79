/**
 * The other side of workers.ts: a thread that imports the user's module, makes examples, and fills shared memory with
 * batches of them. It never loads the addon: kernels belong to the thread that trains.
 */
import { parentPort, workerData } from "node:worker_threads";
import type { Pass } from "./draws.js";
import { atExample, type ExampleError, type PlainField, type SharedField, shareBatch } from "./plain.js";

/** A data set as a worker's module gives it: plain numbers and arrays, no tensors. */
export interface WorkerDataset {
  /** Number of examples. */
  readonly length: number;
  /** The fields of one example; may wait. */
  get(index: number, pass: Pass): readonly PlainField[] | Promise<readonly PlainField[]>;
}

/** What the module's default export is: a data set, or a function that makes one of the loader's `workerOptions`. */
export type WorkerModule<O = unknown> = WorkerDataset | ((options: O) => WorkerDataset | Promise<WorkerDataset>);

/** What a worker is asked for. */
export interface WorkerTask {
  id: number;
  indices: Int32Array;
  pass: Pass;
  /** Memory of earlier batches, to fill again. */
  spare: SharedArrayBuffer[];
}

/** What a worker answers. */
export type WorkerReport =
  | { kind: "ready"; length: number }
  | { kind: "batch"; id: number; fields: SharedField[]; spare: SharedArrayBuffer[] }
  | { kind: "error"; id: number | null; sample: number | null; message: string; stack: string };

const { module, options } = workerData as { module: string; options: unknown };
const report = (message: WorkerReport) => parentPort!.postMessage(message);

function fail(id: number | null, sample: number | null, error: unknown): void {
  const { message, stack = "" } = error instanceof Error ? error : new Error(String(error));
  report({ kind: "error", id, sample, message, stack });
}

async function open(): Promise<WorkerDataset> {
  const { default: exported } = (await import(module)) as { default?: WorkerModule };
  const dataset = typeof exported === "function" ? await exported(options) : exported;
  if (typeof dataset?.get !== "function" || !Number.isSafeInteger(dataset.length) || dataset.length < 0)
    throw new TypeError(
      `expected the default export of ${module} to be { length, get(index, pass) } or a function that makes it, got ${typeof dataset}`,
    );
  return dataset;
}

async function make(dataset: WorkerDataset, { id, indices, pass, spare }: WorkerTask): Promise<void> {
  try {
    const made = await Promise.allSettled(Array.from(indices, async (i) => dataset.get(i, pass)));
    // The first of the batch that failed is reported, whichever failed first.
    const examples = made.map((result, i) => {
      if (result.status === "fulfilled") return result.value;
      const { reason } = result;
      throw Object.assign(atExample(i, reason instanceof Error ? reason.message : String(reason)), {
        stack: reason instanceof Error ? reason.stack : undefined,
      });
    });
    report({ kind: "batch", id, fields: shareBatch(examples, spare), spare });
  } catch (error) {
    const { at } = error as ExampleError;
    fail(id, at === undefined ? null : indices[at]!, error);
  }
}

open().then(
  (dataset) => {
    parentPort!.on("message", (task: WorkerTask) => void make(dataset, task));
    report({ kind: "ready", length: dataset.length });
  },
  (error) => fail(null, null, error),
);
