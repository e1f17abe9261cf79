/**
 * Running test/fixtures/train-run.mjs as a process of its own, to its end or to a SIGKILL.
 */
import { spawn } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const SCRIPT = fileURLToPath(new URL("../fixtures/train-run.mjs", import.meta.url));

export const temporaryFolder = (name: string): string => mkdtempSync(join(tmpdir(), `napier-${name}-`));

export interface Run {
  out: string;
  steps: number;
  every: number;
  env?: Record<string, string>;
}
export interface Ended {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

/** Runs the script. `onTraining` is called once, when its first steps are done. */
export function runTraining(
  { out, steps, every, env = {} }: Run,
  onTraining: (kill: (signal: NodeJS.Signals) => void) => void = () => {},
): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [SCRIPT, out, String(steps), String(every)], {
      env: { ...process.env, ...env },
    });
    let stdout = "";
    let stderr = "";
    let started = false;
    child.stdout.on("data", (text) => {
      stdout += text;
      if (!started && stdout.includes("training")) {
        started = true;
        onTraining((signal) => child.kill(signal));
      }
    });
    child.stderr.on("data", (text) => (stderr += text));
    child.on("error", reject);
    child.on("close", (code, signal) => resolve({ code, signal, stdout, stderr }));
  });
}

/** What the script printed at its end. */
export function resultOf({ code, stdout, stderr }: Ended): { reason: string; steps: number; digest: string } {
  if (code !== 0) throw new Error(`the run ended with ${code}: ${stderr}`);
  return JSON.parse(stdout.trim().split("\n").at(-1)!);
}

/** Kills a run `kills` times, each at a moment of its training between 0 and `longest` ms, resuming it; then lets it end. */
export async function killAndResume(
  run: Run,
  kills: number,
  longest: number,
  random: () => number,
): Promise<{ killed: number; result: ReturnType<typeof resultOf> }> {
  let killed = 0;
  for (;;) {
    const env: Record<string, string> = { ...run.env, NAPIER_THREADS: String(1 + (killed % 2)) };
    const ended = await runTraining({ ...run, env }, (kill) => {
      if (killed < kills) setTimeout(() => kill("SIGKILL"), random() * longest);
    });
    if (ended.signal !== "SIGKILL") return { killed, result: resultOf(ended) };
    killed++;
  }
}
