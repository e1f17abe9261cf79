/**
 * Starts hostile.mjs in a child process; where that dies, the message says how to repeat the round.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const hostile = fileURLToPath(new URL("./hostile.mjs", import.meta.url));

export interface Fuzz {
  seed: number;
  rounds: number;
  calls: number;
  first?: number;
  env?: Record<string, string>;
  timeout: number;
}

export interface FuzzResult {
  calls: number;
  worked: number;
  refused: number;
  /** Captured steps whose elementwise calls ran together. */
  chains: number;
  liveBuffers: number;
  never: string[];
}

/** Runs hostile.mjs; throws with the seed, the round and the call where it did not end well. */
export async function fuzz({ seed, rounds, calls, first = 0, env = {}, timeout }: Fuzz): Promise<FuzzResult> {
  const folder = mkdtempSync(join(tmpdir(), "napier-fuzz-"));
  const progress = join(folder, "progress");
  try {
    const child = spawn(process.execPath, [hostile, ...[seed, rounds, calls, first].map(String), progress], {
      env: { ...process.env, ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let out = "";
    let problems = "";
    child.stdout.on("data", (text) => {
      out += text;
    });
    child.stderr.on("data", (text) => {
      problems = (problems + text).slice(-4000);
    });
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      child.kill("SIGKILL");
    }, timeout);
    const [code, signal] = await new Promise<[number | null, string | null]>((resolve) =>
      child.on("close", (c, s) => resolve([c, s])),
    );
    clearTimeout(timer);
    if (code !== 0) {
      const [round, call] = readFileSync(progress, "latin1").split("\n")[0]!.split(" ");
      const how = late ? `was not done after ${timeout} ms` : `ended with code ${code} and signal ${signal}`;
      throw new Error(
        `fuzz: seed ${seed} ${how} in round ${round}, about call ${call}.\n${problems}\n` +
          `Repeat: NAPIER_SYNC=1 VERBOSE=1 node test/native/hostile.mjs ${seed} 1 ${calls} ${round}`,
      );
    }
    return JSON.parse(out.trim().split("\n").at(-1)!) as FuzzResult;
  } finally {
    rmSync(folder, { recursive: true });
  }
}
