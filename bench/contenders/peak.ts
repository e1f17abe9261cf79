/** A process of bench/peakMemory.ts: node peak.js NAME captured|eager makes steps and prints what they took, as JSON. */
import { readFileSync } from "node:fs";
import { capture, memory, scope, type Tensor } from "napier";
import { makeStep } from "./steps.js";

const STEPS = 10;
const LAST = 5;

function status(field: string): number {
  const found = readFileSync("/proc/self/status", "utf8").match(new RegExp(`^${field}:\\s+(\\d+) kB$`, "m"));
  return Number(found![1]) * 1024;
}

const [name, how] = process.argv.slice(2);
const before = status("VmRSS");
const { inputs, run } = makeStep(name!);
const eager = async (...given: Tensor[]) => scope(() => run(...given).detach());
const captured = how === "captured" ? capture(run, { warmup: 0 }) : null;
const step = captured ?? eager;
const faults: number[] = [];
for (let i = 0; i < STEPS; i++) {
  const { minorPageFault } = process.resourceUsage();
  const loss = await step(...inputs);
  await loss.item();
  loss.free();
  faults.push(process.resourceUsage().minorPageFault - minorPageFault);
}
const { plannedBytes, ownBytes } = captured?.memory ?? {};
const { scratchBytes } = memory();
const peakBytes = status("VmHWM") - before;
console.log(JSON.stringify({ peakBytes, faults: faults.slice(-LAST), plannedBytes, ownBytes, scratchBytes }));
