/**
 * metrics.jsonl: one event a line, as it happens. A checkpoint remembers how long the file was, and resuming cuts it
 * back to there, so that a run killed and resumed leaves the lines of an uninterrupted one.
 */
import { type FileHandle, open } from "node:fs/promises";
import type { TrainEvent } from "./events.js";

export class MetricsLog {
  #bytes: number;

  private constructor(
    readonly path: string,
    private readonly file: FileHandle,
    bytes: number,
  ) {
    this.#bytes = bytes;
  }

  /** Opens the file and keeps its first `keep` bytes. */
  static async open(path: string, keep: number): Promise<MetricsLog> {
    const file = await open(path, "a+");
    const { size } = await file.stat();
    const bytes = Math.min(keep, size);
    await file.truncate(bytes);
    return new MetricsLog(path, file, bytes);
  }

  /** Length of the file; what a checkpoint remembers. */
  get bytes(): number {
    return this.#bytes;
  }

  async write(event: TrainEvent): Promise<void> {
    // JSON has no NaN and Infinity: they stand as text, so that a run that diverged says so.
    const line = JSON.stringify(event, (_, v) => (typeof v === "number" && !Number.isFinite(v) ? String(v) : v));
    const text = Buffer.from(`${line}\n`);
    await this.file.appendFile(text);
    this.#bytes += text.byteLength;
  }

  close(): Promise<void> {
    return this.file.close();
  }
}
