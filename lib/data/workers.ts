/**
 * Worker threads that make a loader's batches (worker.ts is what they run). Which worker makes a batch says nothing about
 * what is in it: batches are functions of (indices, seed, epoch), and the loader gives them out in its own order.
 */
import { Worker } from "node:worker_threads";
import { unscoped } from "../memory.js";
import { arrayClass, fromTyped, type Tensor } from "../tensor.js";
import type { Pass } from "./draws.js";
import type { SharedField } from "./plain.js";
import type { WorkerReport, WorkerTask } from "./worker.js";

interface Pending {
  resolve(batch: Tensor[]): void;
  reject(error: Error): void;
}

interface Member {
  worker: Worker;
  pending: Map<number, Pending>;
  /** Why it can make no batch; null while it can. */
  ended: Error | null;
}

const MOST_SPARE = 32; // buffers kept for later batches

/** Node's options that a worker takes too, such as --import; not what only belongs to `node --eval`. */
function ownArguments(all: readonly string[]): string[] {
  return all.filter(
    (a, i) => !/^(--input-type|-e$|-p|--eval|--print)/.test(a) && !/^(-e|-pe?|--eval|--print)$/.test(all[i - 1] ?? ""),
  );
}

export class WorkerPool {
  /** Resolves to the length of the data set when every worker has opened it. */
  readonly ready: Promise<number>;
  private readonly members: Member[];
  private spare: SharedArrayBuffer[] = [];
  private tasks = 0;

  constructor(module: URL, options: unknown, count: number) {
    const opened: Promise<number>[] = [];
    this.members = Array.from({ length: count }, (_, w) => {
      const worker = new Worker(new URL("./worker.js", import.meta.url), {
        workerData: { module: module.href, options },
        execArgv: ownArguments(process.execArgv),
      });
      worker.unref(); // an abandoned loader keeps no process alive; a pending batch does
      const member: Member = { worker, pending: new Map(), ended: null };
      opened.push(this.listen(member, w));
      return member;
    });
    this.ready = this.whileWaiting(
      Promise.all(opened).then(([length, ...others]) => {
        const other = others.find((n) => n !== length);
        if (other !== undefined)
          throw new Error(
            `DataLoader: expected ${length} examples in every worker, got ${other}; does the module change?`,
          );
        return length!;
      }),
    );
    this.ready.catch(() => {}); // thrown where it is awaited
  }

  /** Keeps the process alive while the workers open. */
  private async whileWaiting<T>(promise: Promise<T>): Promise<T> {
    for (const { worker } of this.members) worker.ref();
    try {
      return await promise;
    } finally {
      for (const member of this.members) if (member.pending.size === 0) member.worker.unref();
    }
  }

  private listen(member: Member, w: number): Promise<number> {
    const { worker, pending } = member;
    const end = (error: Error) => {
      member.ended ??= error;
      for (const { reject } of pending.values()) reject(member.ended);
      pending.clear();
    };
    return new Promise((resolve, reject) => {
      const settle = (id: number): Pending | undefined => {
        const found = pending.get(id);
        pending.delete(id);
        if (pending.size === 0) worker.unref();
        return found;
      };
      worker.on("message", (report: WorkerReport) => {
        if (report.kind === "ready") resolve(report.length);
        else if (report.kind === "batch") {
          const waiting = settle(report.id);
          try {
            const batch = report.fields.map(toTensor);
            if (waiting) waiting.resolve(batch);
            else for (const t of batch) t.free();
          } catch (error) {
            waiting?.reject(error as Error);
          }
          this.keep([...report.fields.map(({ buffer }) => buffer), ...report.spare]);
        } else {
          const what = report.sample === null ? `worker ${w}` : `sample ${report.sample} (worker ${w})`;
          const error = new Error(`DataLoader: ${what}: ${report.message}`);
          error.cause = Object.assign(new Error(report.message), { stack: report.stack });
          if (report.id !== null) settle(report.id)?.reject(error);
          else {
            end(error);
            reject(error);
          }
        }
      });
      const died = (what: string) => {
        const error = new Error(`DataLoader: worker ${w} ${what}`);
        end(error);
        reject(error);
      };
      worker.on("error", (error) => died(`failed: ${(error as Error)?.message ?? error}`));
      worker.on("exit", (code) => died(`ended with code ${code} before its batches were made`));
    });
  }

  private keep(buffers: SharedArrayBuffer[]): void {
    this.spare = [...this.spare, ...buffers].slice(-MOST_SPARE);
  }

  /** The batch of examples `indices`, made by the worker that has least to do. */
  run(indices: Int32Array, pass: Pass): Promise<Tensor[]> {
    const member = this.members.reduce((a, b) => (b.pending.size < a.pending.size ? b : a));
    if (member.ended) return Promise.reject(member.ended);
    return new Promise((resolve, reject) => {
      const id = this.tasks++;
      member.pending.set(id, { resolve, reject });
      member.worker.ref();
      const task: WorkerTask = { id, indices, pass, spare: this.spare.splice(0, 4) };
      member.worker.postMessage(task);
    });
  }

  /** Ends the workers; batches that are still asked for are rejected. */
  async close(): Promise<void> {
    await Promise.all(this.members.map(({ worker }) => worker.terminate()));
  }
}

/** Tensors are copies: the shared memory may be filled again at once. */
export function toTensor({ dtype, shape, buffer }: SharedField): Tensor {
  const size = shape.reduce((a, b) => a * b, 1);
  const Class = arrayClass(dtype) as Float32ArrayConstructor;
  // Only vectors are labels, whose range is worth reading.
  return unscoped(() =>
    fromTyped(new Class(buffer as unknown as ArrayBuffer, 0, size), shape, dtype, shape.length === 1),
  );
}
