/** @file Trials in processes of their own. */
import { fork } from "node:child_process";
import type { TrialContext } from "./study.js";

/** Where worker processes find the objective. */
export interface ObjectiveModule {
  /** Address of an ES module. */
  module: URL;
  /** What it exports. Default "objective". */
  name?: string;
}

export type ToWorker =
  | { type: "start"; module: string; name: string; parameters: unknown; number: number; seed: number }
  | { type: "verdict"; goesOn: boolean };
export type FromWorker =
  | { type: "report"; step: number; score: number }
  | { type: "score"; score: unknown }
  | { type: "error"; message: string };

/** Runs one trial in a process of its own; rejects where it throws, dies, or the signal comes. */
export function runInProcess(
  { module, name = "objective" }: ObjectiveModule,
  parameters: unknown,
  { number, seed, report, signal }: TrialContext,
): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const child = fork(new URL("./worker.js", import.meta.url), { stdio: ["ignore", "inherit", "inherit", "ipc"] });
    const kill = () => child.kill("SIGKILL");
    let result: { score: unknown } | { error: Error } | null = null;
    signal.addEventListener("abort", kill, { once: true });
    child.on("message", async (message: FromWorker) => {
      if (message.type === "report") {
        const goesOn = await report(message.step, message.score);
        if (child.connected) child.send({ type: "verdict", goesOn } satisfies ToWorker, () => {});
      } else if (message.type === "score") result = { score: message.score };
      else result = { error: new Error(message.message) };
    });
    child.on("error", (error) => (result = { error }));
    child.on("exit", (code, killedBy) => {
      signal.removeEventListener("abort", kill);
      if (result && "score" in result) resolve(result.score);
      else if (result) reject(result.error);
      else
        reject(
          new Error(
            `tune.search: the process of trial ${number} ended with ${killedBy ?? `code ${code}`} before it gave a score`,
          ),
        );
    });
    const start: ToWorker = { type: "start", module: module.href, name, parameters, number, seed };
    child.send(start, (error) => error && kill());
  });
}
