/** @file A process that runs one trial: module and parameters come by message, reports and the score go back. */
import { manualSeed } from "../random.js";
import type { FromWorker, ToWorker } from "./processes.js";

const send = (message: FromWorker): Promise<void> =>
  new Promise((resolve, reject) =>
    process.send!(message, (error: Error | null) => (error ? reject(error) : resolve())),
  );

/** Reports without a verdict so far, the oldest first. */
const waiting: { resolve: (goesOn: boolean) => void; reject: (error: Error) => void }[] = [];
const report = (step: number, score: number): Promise<boolean> =>
  new Promise((resolve, reject) => {
    const verdict = { resolve, reject };
    waiting.push(verdict);
    send({ type: "report", step, score }).catch((error) => {
      waiting.splice(waiting.indexOf(verdict), 1);
      reject(error);
    });
  });

process.on("message", async (message: ToWorker) => {
  if (message.type === "verdict") return waiting.shift()?.resolve(message.goesOn);
  if (message.type === "refused") return waiting.shift()?.reject(new Error(message.message));
  try {
    const { module, name, given, number, seed } = message;
    const objective = (await import(module))[name];
    if (typeof objective !== "function") throw new TypeError(`${module} exports no function "${name}"`);
    manualSeed(seed);
    const { signal } = new AbortController(); // never aborted: the parent kills
    const score = await objective(given, { number, seed, report, signal });
    await send({ type: "score", score });
  } catch (error) {
    await send({ type: "error", message: error instanceof Error ? (error.stack ?? error.message) : String(error) });
  } finally {
    process.disconnect();
  }
});
process.on("disconnect", () => process.exit(0)); // the parent is gone, or we are done
