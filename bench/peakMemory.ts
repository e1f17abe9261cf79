/**
 * npm run bench -- peak [filter]: the memory that a training step takes at most, as VmHWM less VmRSS before the model is
 * built, and its page faults once it is steady; captured, uncaptured and in PyTorch, each in a process of its own. Linux.
 */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { steps } from "./cases.js";
import { python, rivals } from "./contender.js";

/** What a process says of the steps that it made (contenders/peak.ts, rivals/torch_peak.py). */
export interface PeakMemory {
  name: string;
  contender: string;
  /** VmHWM less VmRSS before the model was built. */
  peakBytes: number;
  /** Minor page faults of each of the last steps. */
  faults: number[];
  /** Of a captured step: what lives within it, as planned, and what outlives it. */
  plannedBytes?: number;
  ownBytes?: number;
  /** What kernels keep to work in. */
  scratchBytes?: number;
}

const mega = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;

function measure(name: string, contender: string, command: string, args: string[]): PeakMemory[] {
  const { status, stdout } = spawnSync(command, args, { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });
  if (status !== 0) throw new Error(`${contender} ended with status ${status} at ${name}`);
  return [{ name, contender, ...(JSON.parse(stdout) as Omit<PeakMemory, "name" | "contender">) }];
}

/** Measures the steps whose name has `filter` in it. */
export function benchPeakMemory(filter: string, threads: number): PeakMemory[] {
  const script = fileURLToPath(new URL("./contenders/peak.js", import.meta.url));
  const hasTorch = spawnSync(python, ["-c", "import torch"]).status === 0;
  if (!hasTorch) console.error("PyTorch is not installed (apt-get install python3-torch): left out");
  return steps
    .filter((c) => c.name.includes(filter))
    .flatMap(({ name }) => {
      const found = [
        ...measure(name, "captured", process.execPath, [script, name, "captured"]),
        ...measure(name, "eager", process.execPath, [script, name, "eager"]),
        ...(hasTorch ? measure(name, "pytorch", python, [`${rivals}torch_peak.py`, name, String(threads)]) : []),
      ];
      console.log(name);
      for (const { contender, peakBytes, faults, plannedBytes, ownBytes, scratchBytes } of found) {
        const parts = [
          ...(plannedBytes === undefined ? [] : [`planned ${mega(plannedBytes)}, results ${mega(ownBytes!)}`]),
          ...(scratchBytes === undefined ? [] : [`scratch ${mega(scratchBytes)}`]),
        ];
        console.log(
          `  ${contender.padEnd(10)} ${mega(peakBytes).padStart(10)}   page faults of the last steps ${faults.join(", ")}` +
            `${parts.length > 0 ? `   ${parts.join(", ")}` : ""}`,
        );
      }
      return found;
    });
}
