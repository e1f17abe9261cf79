/**
 * npm run bench -- peak [filter]: the memory that a training step takes at most, as VmHWM less VmRSS before the model is
 * built, and its page faults once it is steady; captured, uncaptured and in PyTorch, each in a process of its own. Linux.
 */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { addon } from "#lib/native.js";
import { steps } from "./cases.js";
import { python, rivals } from "./contender.js";
import { compared, lineOf, type Result, resultOf, type Suite } from "./result.js";

/** What a process says of the steps that it made (contenders/peak.ts, rivals/torch_peak.py). */
export interface PeakMemory {
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

function measure(command: string, args: string[]): PeakMemory {
  const { status, stdout } = spawnSync(command, args, { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });
  if (status !== 0) throw new Error(`${args.join(" ")} ended with status ${status}`);
  return JSON.parse(stdout) as PeakMemory;
}

/** Each step by itself, in megabytes of 10^6 bytes. */
export const benchPeakMemory: Suite = async ({ filter, peers, peak }) => {
  const script = fileURLToPath(new URL("./contenders/peak.js", import.meta.url));
  const asks = (peer: string) => !peers || peers.includes(peer);
  const torch = asks("pytorch") && spawnSync(python, ["-c", "import torch"]).status === 0;
  if (asks("pytorch") && !torch) console.error("PyTorch is not installed (apt-get install python3-torch): left out");
  const results: Result[] = [];
  for (const { name } of steps.filter((c) => c.name.includes(filter))) {
    const found = (
      [
        ["napier", process.execPath, [script, name, "captured"]],
        ...(asks("eager") ? [["napier eager", process.execPath, [script, name, "eager"]]] : []),
        ...(torch ? [["pytorch", python, [`${rivals}torch_peak.py`, name, String(addon.threads())]]] : []),
      ] as [string, string, string[]][]
    ).map(([who, command, args]) => {
      const { peakBytes, faults, plannedBytes, ownBytes, scratchBytes } = measure(command, args);
      const mega = (bytes: number) => `${(bytes / 1e6).toFixed(0)}`;
      const note = [
        `faults ${faults.join(", ")}`,
        ...(plannedBytes === undefined ? [] : [`planned ${mega(plannedBytes)}, results ${mega(ownBytes!)} MB`]),
        ...(scratchBytes === undefined ? [] : [`scratch ${mega(scratchBytes)} MB`]),
      ].join("; ");
      const median = [...faults].sort((a, b) => a - b)[faults.length >> 1]!;
      return { ...resultOf(name, who, [peakBytes / 1e6], peak, {}, "MB"), faults: median, note };
    });
    console.log(name);
    for (const r of compared(found)) console.log(lineOf(r));
    results.push(...compared(found));
  }
  return results;
};
