/**
 * Ctrl+C while training: the first asks the run to write its checkpoint and end, a second one ends the process at once.
 */
import { isMainThread } from "node:worker_threads";

const SIGNALS = ["SIGINT", "SIGTERM"] as const;
const EXIT = { SIGINT: 130, SIGTERM: 143 };
const ECHO = 300; // ms: npm passes a Ctrl+C on to a process that the terminal has already told

/** Calls `onInterrupt` at the first signal. Answers what takes the listeners away again. */
export function onInterrupt(onInterrupt: () => void): () => void {
  if (!isMainThread) return () => {}; // workers get no signals
  let first: number | null = null;
  const listener = (signal: "SIGINT" | "SIGTERM") => {
    if (first !== null) {
      if (performance.now() - first > ECHO) process.exit(EXIT[signal]);
      return;
    }
    first = performance.now();
    onInterrupt();
  };
  for (const signal of SIGNALS) process.on(signal, listener);
  return () => {
    for (const signal of SIGNALS) process.off(signal, listener);
  };
}
