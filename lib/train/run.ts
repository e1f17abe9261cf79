/**
 * A running fit(): awaitable for its result, iterable for its events.
 *
 * Whoever iterates loses nothing and holds no more than a few events: training waits for a consumer that lags behind.
 * Leaving the loop (break, return, throw) ends the run after its current step.
 */
import type { FitResult, TrainEvent } from "./events.js";

const AHEAD = 16; // events that training may be ahead of a consumer

/** A running fit(): await it for the result, or iterate over its events, or both. */
export class FitRun implements PromiseLike<FitResult>, AsyncIterable<TrainEvent> {
  readonly #result: Promise<FitResult>;
  readonly #readers = new Set<Reader>();
  readonly #stop: () => void;

  /** @internal `start` runs after the caller had the chance to iterate. */
  constructor(start: (emit: (event: TrainEvent) => Promise<void>) => Promise<FitResult>, stop: () => void) {
    this.#stop = stop;
    this.#result = new Promise<void>((resolve) => setImmediate(resolve))
      .then(() => start((event) => this.#emit(event)))
      .finally(() => {
        for (const reader of this.#readers) reader.close();
      });
  }

  /** As a promise's: `await run` gives the result. */
  // biome-ignore lint/suspicious/noThenProperty: `await trainer.fit(...)` is the common use
  then<A = FitResult, B = never>(
    onResult?: ((result: FitResult) => A | PromiseLike<A>) | null,
    onError?: ((error: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return this.#result.then(onResult, onError);
  }

  /** As a promise's. */
  catch<B = never>(onError?: ((error: unknown) => B | PromiseLike<B>) | null): Promise<FitResult | B> {
    return this.#result.catch(onError);
  }

  /** As a promise's. */
  finally(onEnd?: (() => void) | null): Promise<FitResult> {
    return this.#result.finally(onEnd);
  }

  /** Ends the run after its current step, with reason "stopped". */
  stop(): void {
    this.#stop();
  }

  /** The events from now on. An error of the run is thrown here too. */
  async *[Symbol.asyncIterator](): AsyncGenerator<TrainEvent, void, undefined> {
    const reader = new Reader();
    this.#readers.add(reader);
    // The error arrives below; awaiting the run as well stays possible.
    this.#result.catch(() => {});
    let ended = false;
    try {
      for (let event = await reader.next(); event; event = await reader.next()) yield event;
      ended = true;
      await this.#result;
    } finally {
      this.#readers.delete(reader);
      reader.close();
      if (!ended) {
        this.#stop();
        await this.#result.catch(() => {});
      }
    }
  }

  async #emit(event: TrainEvent): Promise<void> {
    for (const reader of this.#readers) reader.push(event);
    for (const reader of this.#readers) await reader.room();
  }
}

/** A queue between training and one consumer. */
class Reader {
  readonly #events: TrainEvent[] = [];
  #closed = false;
  #wakeReader: (() => void) | null = null;
  #wakeTraining: (() => void)[] = [];

  push(event: TrainEvent): void {
    if (this.#closed) return;
    this.#events.push(event);
    this.#wakeReader?.();
  }

  async next(): Promise<TrainEvent | undefined> {
    while (this.#events.length === 0 && !this.#closed) {
      await new Promise<void>((resolve) => (this.#wakeReader = resolve));
      this.#wakeReader = null;
    }
    const event = this.#events.shift();
    if (this.#events.length < AHEAD) this.#release();
    return event;
  }

  async room(): Promise<void> {
    while (this.#events.length >= AHEAD && !this.#closed) {
      await new Promise<void>((resolve) => this.#wakeTraining.push(resolve));
    }
  }

  close(): void {
    this.#closed = true;
    this.#wakeReader?.();
    this.#release();
  }

  #release(): void {
    for (const wake of this.#wakeTraining.splice(0)) wake();
  }
}
