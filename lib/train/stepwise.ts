/**
 * What the trainers share whose runs are counted in steps (GanTrainer, DiffusionTrainer, SelfSupervisedTrainer): a loader's
 * batches pass after pass, the seconds of the training, the run's checkpoint.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { expect } from "../errors.js";
import { filesOfRun, loadRun, type Parts, saveRun } from "./checkpoint.js";
import { release } from "./evaluate.js";
import type { Batch, BatchSource } from "./options.js";

/** Throws where one of the numbers is not whole, or below `least`. */
export function expectWhole(where: string, numbers: Record<string, number>, least = 1): void {
  for (const [name, n] of Object.entries(numbers))
    expect(Number.isSafeInteger(n) && n >= least, where, `${name} to be a whole number from ${least} up`, `${n}`);
}

/** What passes() goes by. */
interface PassOptions {
  /** Called before each pass. */
  begin: () => void;
  /** Whether the run ends, asked before each pass and behind each batch. */
  isOver: () => boolean;
  /** Whether a batch is used; others are freed. Default: all are. */
  takes?: (batch: Batch) => boolean;
  /** What it takes, for the error where a loader has other batches alone. */
  wanted?: () => string;
}

/**
 * A loader's batches, one pass after the other; ends where a source that gave some has no more. Whoever takes a batch
 * releases it.
 */
export async function* passes(
  where: string,
  loader: BatchSource,
  { begin, isOver, takes = () => true, wanted = () => "" }: PassOptions,
): AsyncGenerator<Batch, void, undefined> {
  let [empty, used] = [0, false];
  while (!isOver()) {
    let refused = "";
    begin();
    empty++; // a run that was resumed at the end of an epoch begins with an empty pass
    for await (const batch of loader) {
      if (takes(batch)) {
        [empty, used] = [0, true];
        yield batch;
      } else {
        refused ||= `[${batch[0]!.shape}]`;
        release(loader, [batch]);
      }
      if (isOver()) break;
    }
    if (empty < 2) continue;
    if (refused !== "")
      throw new Error(
        `${where}: expected ${wanted()}, as the run began with, got ${refused}; keep its batchSize, or begin a new run`,
      );
    if (used) return;
    throw new Error(`${where}: expected a loader with batches, got none`);
  }
}

/** One after the other: who takes a turn begins when those that were taken before have ended. */
export class Turns {
  #last: Promise<unknown> = Promise.resolve();
  readonly #inside = new AsyncLocalStorage<true>();

  /** Runs `fn` in a turn. Rejects where it is called within one, which it would wait for. */
  async take<T>(where: string, fn: () => T | Promise<T>): Promise<T> {
    if (this.#inside.getStore())
      throw new Error(
        `${where}: expected a call outside of averaged(), got one within; use the network that averaged() hands over`,
      );
    const turn = this.#last.then(() => this.#inside.run(true, fn));
    this.#last = turn.catch(() => {});
    return turn;
  }
}

/** Counts seconds into a run's progress while it is started. */
export class Stopwatch {
  #since: number | null = null;

  constructor(private readonly progress: { seconds: number; windowSeconds: number }) {}

  start(): void {
    this.#since ??= performance.now();
  }

  stop(): void {
    if (this.#since === null) return;
    const seconds = (performance.now() - this.#since) / 1e3;
    this.progress.seconds += seconds;
    this.progress.windowSeconds += seconds;
    this.#since = null;
  }
}

/** A run's place between checkpoints: its progress, and the file it is written to with the run's parts. */
export class RunFile<P extends { step: number }> {
  /** Whether there is something that the file lacks. */
  unsaved = false;

  private constructor(
    /** Where the run stands; changed in place. */
    readonly progress: P,
    private readonly path: string | null,
    private readonly parts: Parts,
    private readonly check: () => Promise<unknown>,
  ) {}

  /**
   * @param where who asks, for errors
   * @param files out: the folder of last.safetensors; resume: goes on from that, or from a path
   * @param fresh the progress of a run that does not go on from a checkpoint
   * @param check rejects where what is there is not worth a checkpoint, as with losses that are no numbers
   */
  static async open<P extends { step: number }>(
    where: string,
    { out, resume }: { out: string | null; resume: boolean | string },
    parts: Parts,
    fresh: P,
    check: () => Promise<unknown> = async () => {},
  ): Promise<RunFile<P>> {
    const { last, from } = await filesOfRun(where, out, resume);
    return new RunFile(from === null ? fresh : await loadRun<P>(where, from, parts), last, parts, check);
  }

  /** Writes the file where one is asked for and something is unsaved. */
  async save(): Promise<void> {
    if (this.path === null || !this.unsaved) return;
    await this.check();
    await saveRun(this.path, this.parts, { ...this.progress });
    this.unsaved = false;
  }
}
