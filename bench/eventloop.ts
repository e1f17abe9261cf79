/**
 * How late the event loop is while a network trains, and while nothing runs: `npm run bench -- eventloop`. An idle loop is
 * what the others are to be read beside: its delay is not 0, since Node's monitor counts its own timer's period.
 */
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { lineOf, type Result, resultOf, type Suite } from "./result.js";

/** What contenders/loop.js answers, in ms. */
export interface Lateness {
  /** By monitorEventLoopDelay at resolution 1. */
  delay: Pick<Result, "median" | "min" | "max" | "n"> & { p99: number };
  /** Of each tick of a 10 ms timer. */
  late: number[];
}

const CASES = ["idle", "resnet18_cifar captured", "resnet18_cifar eager", "small convnet by hand"];
const script = fileURLToPath(new URL("./contenders/loop.js", import.meta.url));

/** The suite. */
export const benchEventLoop: Suite = async ({ filter, rounds, budget, peak }) => {
  const seconds = String((5 * rounds * budget) / 1e3);
  const results: Result[] = [];
  for (const name of CASES.filter((c) => c.includes(filter))) {
    const { delay, late } = JSON.parse(
      execFileSync(process.execPath, [script, name, seconds], { encoding: "utf8" }),
    ) as Lateness;
    const timer = resultOf(`${name}: 10 ms timer late`, "napier", late, peak);
    const p99 = late[Math.floor(late.length * 0.99)]!;
    const found: Result[] = [
      { name: `${name}: event loop delay`, contender: "napier", unit: "ms", ratio: null, rate: null, ...delay },
      { ...timer, p99 },
    ];
    for (const r of found) console.log(`${r.name.padEnd(48)}${lineOf({ ...r, note: `max ${r.max.toFixed(2)} ms` })}`);
    results.push(...found);
  }
  return results;
};
