/**
 * Callbacks that write a run down for other programs: a CSV file, and TensorBoard's event files. Both remember in each
 * checkpoint how far they were, so that a run that was killed and resumed leaves the rows of an uninterrupted one.
 */
import { type FileHandle, mkdir, open, readFile, stat, truncate } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { writeFileAtomic } from "../io/index.js";
import type { Callback } from "./callbacks.js";
import type { HparamValue } from "./eventMessages.js";
import type { TrainEvent } from "./events.js";
import { EventWriter, type EventWriterOptions } from "./eventWriter.js";

type Cell = number | string | boolean | null | undefined;

/** The numbers of an event by name; null for events that are no row. */
function rowOf(event: TrainEvent): Record<string, Cell> | null {
  const { type, step, epoch } = event;
  switch (type) {
    case "step": {
      const { scores, learningRate, gradientNorm, samples, samplesPerSecond, measured } = event;
      return {
        event: type,
        step,
        epoch,
        ...scores,
        learningRate,
        gradientNorm,
        samples,
        samplesPerSecond,
        ...measured,
      };
    }
    case "epoch": {
      const { scores, learningRate, samples, samplesPerSecond, seconds, measured } = event;
      return { event: type, step, epoch, ...scores, learningRate, samples, samplesPerSecond, seconds, ...measured };
    }
    case "validation": {
      const { scores, samples, seconds, best } = event;
      return { event: type, step, epoch, ...scores, samples, seconds, best };
    }
    default:
      return null;
  }
}

const quote = (cell: Cell): string => {
  const text = cell === null || cell === undefined ? "" : String(cell);
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};
const lineOf = (cells: readonly Cell[]): string => `${cells.map(quote).join(",")}\n`;
const cellsOf = (line: string): string[] =>
  [...`,${line}`.matchAll(/,(?:"((?:[^"]|"")*)"|([^,]*))/g)].map((m) => m[1]?.replaceAll('""', '"') ?? m[2] ?? "");

interface CsvState {
  columns: string[];
  rows: number;
}

/**
 * Writes each step, epoch and validation event as a row of a CSV file: event, step, epoch, the scores and what else was
 * measured. The columns are those of the first row; a name that comes later becomes a column at the end, for which the file
 * is replaced in one step. Numbers stand as JavaScript prints them, and read back as the same bits; NaN and Infinity as
 * such; what an event does not have is empty. A new run replaces the file; a resumed one drops what was written after its
 * checkpoint, a torn row included.
 *
 * @param file its path; folders are made when missing
 * @throws Error (in fit) when a resumed run finds fewer rows than its checkpoint knows of
 * @example
 * const logger = train.csvLogger("runs/mine/log.csv"); // fit(loader, { callbacks: [logger] })
 */
export function csvLogger(file: string): Callback {
  let state: CsvState = { columns: [], rows: 0 };
  let resumed = false;
  let handle: FileHandle | null = null;
  const close = async () => {
    await handle?.close();
    handle = null;
  };
  /** Replaces the file by the first rows of itself, under the columns of `state`. */
  const rewrite = async () => {
    const [head, ...rows] = (await readFile(file, "utf8").catch(missing)).split("\n").slice(0, -1);
    if (rows.length < state.rows)
      throw new Error(
        `${file} has ${rows.length} rows, expected the ${state.rows} that the checkpoint knows of; bring the file back, or log to another one`,
      );
    const place = new Map(cellsOf(head ?? "").map((name, i) => [name, i]));
    const kept = rows.slice(0, state.rows).map((row) => {
      const cells = cellsOf(row);
      return lineOf(state.columns.map((name) => cells[place.get(name) ?? -1]));
    });
    await close();
    await writeFileAtomic(file, Buffer.from([lineOf(state.columns), ...kept].join("")));
  };
  return {
    name: `csvLogger(${file})`,
    async onFitStart() {
      await mkdir(dirname(file), { recursive: true });
      if (!resumed) state = { columns: [], rows: 0 };
      if (resumed && state.columns.length > 0) await rewrite();
      else await writeFileAtomic(file, Buffer.alloc(0));
      resumed = false;
    },
    async onEvent(event) {
      const row = rowOf(event);
      if (row === null) return;
      const fresh = Object.keys(row).filter((name) => !state.columns.includes(name));
      if (fresh.length > 0) {
        state.columns = [...state.columns, ...fresh];
        await rewrite();
      }
      handle ??= await open(file, "a");
      await handle.appendFile(lineOf(state.columns.map((name) => row[name])));
      state.rows++;
    },
    onFitEnd: close,
    onException: close,
    async stateDict() {
      await handle?.datasync();
      return { ...state };
    },
    loadStateDict(saved) {
      const { columns, rows } = saved as CsvState;
      state = { columns: [...columns], rows };
      resumed = true;
    },
  };
}

const missing = (error: NodeJS.ErrnoException): string => {
  if (error.code === "ENOENT") return "";
  throw error;
};

export interface TensorBoardOptions extends Pick<EventWriterOptions, "flushSeconds"> {
  /** Whether each epoch writes a histogram of every parameter. Default false. */
  histograms?: boolean;
  /** Hyper-parameters for the table of runs. Default none. */
  hparams?: Readonly<Record<string, HparamValue>>;
}

/**
 * Writes a run for TensorBoard: `tensorboard --logdir DIRECTORY`. Scores stand as loss/train (means since the last log
 * point), loss/epoch and loss/validation, so that they share a group; beside them learningRate, gradientNorm,
 * samplesPerSecond and whatever callbacks measure under its name; what they find wrong is a text. Give each run a folder of its own. A resumed run starts a
 * file of its own, cuts the earlier one where the checkpoint was, and tells TensorBoard to forget the steps after it.
 *
 * @example
 * const board = train.tensorBoard("runs/mine", { hparams: { lr: 0.1 } }); // fit(loader, { callbacks: [board] })
 */
export function tensorBoard(
  directory: string,
  { histograms = false, hparams, ...options }: TensorBoardOptions = {},
): Callback {
  let writer: EventWriter | null = null;
  let before: { file: string; bytes: number } | null = null;
  const scores = (kind: string, values: Readonly<Record<string, number>>, step: number) => {
    for (const [name, value] of Object.entries(values)) writer!.addScalar(`${name}/${kind}`, value, step);
  };
  const close = async () => {
    await writer?.close();
    writer = null;
  };
  return {
    name: `tensorBoard(${directory})`,
    async onFitStart(run) {
      if (before) {
        const path = join(directory, before.file);
        const { size } = await stat(path).catch(() => ({ size: 0 }));
        if (size > before.bytes) await truncate(path, before.bytes);
      }
      const purgeStep = before ? run.step + 1 : 0;
      before = null;
      writer = new EventWriter(directory, { ...options, purgeStep });
      if (hparams)
        writer.addHparams(
          hparams,
          run.metrics.flatMap((name) => [`${name}/epoch`, `${name}/validation`]),
        );
    },
    async onEvent(event, run) {
      const { type, step } = event;
      if (type === "step") {
        scores("train", event.scores, step);
        const { learningRate, gradientNorm, samplesPerSecond } = event;
        for (const [name, value] of Object.entries({ learningRate, gradientNorm, samplesPerSecond, ...event.measured }))
          if (value !== null) writer!.addScalar(name, value, step);
      } else if (type === "epoch") {
        scores("epoch", event.scores, step);
        for (const [name, value] of Object.entries(event.measured ?? {})) writer!.addScalar(name, value, step);
        if (histograms)
          await Promise.all(run.model.namedParameters().map(([name, p]) => writer!.addHistogram(name, p, step)));
        await writer!.flush();
      } else if (type === "diagnosis") {
        const list = event.findings.map(({ message }) => `- ${message}`);
        writer!.addText("diagnosis", list.join("\n") || "Nothing is wrong any more.", step);
      } else if (type === "validation") {
        scores("validation", event.scores, step);
        await writer!.flush();
      }
    },
    onFitEnd: close,
    onException: close,
    async stateDict() {
      await writer!.flush();
      return { file: basename(writer!.path), bytes: writer!.bytes };
    },
    loadStateDict(state) {
      before = state as { file: string; bytes: number };
    },
  };
}
