/**
 * How late the event loop is: the 99th percentile of monitorEventLoopDelay at a resolution of 1 ms, in milliseconds.
 * Even an idle process shows a few ms, so an idle value belongs beside a measured one.
 */
import { monitorEventLoopDelay } from "node:perf_hooks";

export class DelayMeter {
  readonly #histogram = monitorEventLoopDelay({ resolution: 1 });

  /** Counts from now on; may be called again. */
  start(): void {
    this.#histogram.enable();
  }

  stop(): void {
    this.#histogram.disable();
  }

  get p99Ms(): number {
    return this.#histogram.percentile(99) / 1e6;
  }
}

/** The value of this process while it does nothing. */
export async function idleDelay(milliseconds = 500): Promise<number> {
  const meter = new DelayMeter();
  meter.start();
  await new Promise((resolve) => setTimeout(resolve, milliseconds));
  meter.stop();
  return meter.p99Ms;
}
