/** @file Trials in processes of their own. */
import { fork } from "node:child_process";
import type { TrialContext } from "./trials.js";

/** Where worker processes find the objective. */
export interface ObjectiveModule {
  /** Address of an ES module. */
  module: URL;
  /** What it exports. Default "objective". */
  name?: string;
}

export type ToWorker =
  | { type: "start"; module: string; name: string; given: unknown; number: number; seed: number }
  | { type: "verdict"; goesOn: boolean }
  | { type: "refused"; message: string };
export type FromWorker =
  | { type: "report"; step: number; score: number }
  | { type: "score"; score: unknown }
  | { type: "error"; message: string };

/** Runs one trial in a process of its own; rejects where it throws, dies, or the signal comes. */
export function runInProcess(
  { module, name = "objective" }: ObjectiveModule,
  given: unknown,
  { number, seed, report, signal }: TrialContext,
): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const child = fork(new URL("./worker.js", import.meta.url), {
      stdio: ["ignore", "inherit", "inherit", "ipc"],
      serialization: "advanced", // JSON would make null of NaN, and objects of typed arrays
    });
    const kill = () => child.kill("SIGKILL");
    let result: { score: unknown } | { error: unknown } | null = null;
    signal.addEventListener("abort", kill, { once: true });
    const answer = (message: ToWorker) => {
      if (child.connected) child.send(message, () => {});
    };
    child.on("message", (message: FromWorker) => {
      if (message.type === "report")
        report(message.step, message.score).then(
          (goesOn) => answer({ type: "verdict", goesOn }),
          (error) => answer({ type: "refused", message: error.message }),
        );
      else if (message.type === "score") result = { score: message.score };
      else result = { error: new Error(message.message) };
    });
    child.on("error", reject); // it could not be started
    // "exit" may come before the last messages are read; "close" comes behind both.
    child.on("close", (code, killedBy) => {
      signal.removeEventListener("abort", kill);
      if (result && "score" in result) resolve(result.score);
      else if (result) reject(result.error);
      else
        reject(
          new Error(`the process of trial ${number} ended with ${killedBy ?? `code ${code}`} before it gave a score`),
        );
    });
    const start: ToWorker = { type: "start", module: module.href, name, given, number, seed };
    try {
      child.send(start, (error) => error && kill());
    } catch (error) {
      result = { error }; // what is given cannot be sent, such as a function
      kill();
    }
  });
}
