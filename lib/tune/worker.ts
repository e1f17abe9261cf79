/** @file A process that runs one trial: module and parameters come by message, reports and the score go back. */
import { manualSeed } from "../random.js";
import type { FromWorker, ToWorker } from "./processes.js";

const send = (message: FromWorker): Promise<void> =>
  new Promise((resolve, reject) =>
    process.send!(message, (error: Error | null) => (error ? reject(error) : resolve())),
  );

const waiting: ((goesOn: boolean) => void)[] = [];
const stop = new AbortController();

process.on("message", async (message: ToWorker) => {
  if (message.type === "verdict") {
    if (!message.goesOn) stop.abort();
    waiting.shift()?.(message.goesOn);
    return;
  }
  try {
    const { module, name, parameters, number, seed } = message;
    const objective = (await import(module))[name];
    if (typeof objective !== "function") throw new TypeError(`tune.search: ${module} exports no function "${name}"`);
    manualSeed(seed);
    const report = async (step: number, score: number): Promise<boolean> => {
      const verdict = new Promise<boolean>((resolve) => waiting.push(resolve));
      await send({ type: "report", step, score });
      return verdict;
    };
    const score = await objective(parameters, { number, seed, report, signal: stop.signal });
    await send({ type: "score", score });
  } catch (error) {
    await send({ type: "error", message: error instanceof Error ? (error.stack ?? error.message) : String(error) });
  } finally {
    process.disconnect();
  }
});
process.on("disconnect", () => process.exit(0)); // the parent is gone, or we are done
