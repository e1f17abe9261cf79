/**
 * npm run bench -- [SUITE] [filter] [--json FILE] [--rounds N] [--budget MS] [--peers NAME,NAME]
 *
 * Runs one suite of the registry below, or all, and prints medians, the ratio to ours, GFLOP/s or GB/s and its share of the
 * peak of this run. --json writes the same with the machine and the versions; scripts/bench-docs.mjs makes the tables of
 * docs/benchmarks.md from it. --peers: which of bench/peers.ts take part (default: all that are installed).
 */
import { writeFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { attention } from "./attention.js";
import { ops, steps } from "./cases.js";
import { benchEventLoop } from "./eventloop.js";
import { inference } from "./inference.js";
import { knn } from "./knn.js";
import { memory } from "./memory.js";
import { measurePeak } from "./peak.js";
import { benchPeakMemory } from "./peakMemory.js";
import { PEERS } from "./peers.js";
import { machine, ourVersions, type Report, type Suite } from "./result.js";
import { sampling } from "./sampling.js";
import { benchTables } from "./tables.js";
import { benchTiny } from "./tiny.js";
import { inTurns } from "./turns.js";
import { zoo } from "./zoo.js";

/** In the order in which they run; "tables" fills this process with every op's inputs, so it is last. */
const SUITES: Record<string, Suite> = {
  steps: inTurns(steps, 3),
  inference: inTurns(inference, 3),
  zoo: inTurns(zoo, 3),
  sampling: inTurns(sampling),
  ops: inTurns(ops),
  memory: inTurns(memory),
  attention: inTurns(attention),
  knn: inTurns(knn),
  tiny: benchTiny,
  peak: benchPeakMemory,
  eventloop: benchEventLoop,
  tables: benchTables,
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: "string" },
    rounds: { type: "string", default: "3" },
    budget: { type: "string", default: "700" },
    peers: { type: "string" },
  },
});
const [first = "", ...others] = positionals;
const peers = values.peers?.split(",");
const unknown = peers?.find((name) => !PEERS[name]);
if (unknown) throw new Error(`--peers: expected names among ${Object.keys(PEERS).join(", ")}, got ${unknown}`);
const chosen = Object.entries(SUITES).filter(([name]) => name === first || !SUITES[first]);
const peak = measurePeak(); // before any contender starts
const run = {
  filter: (SUITES[first] ? others : positionals).join(" "),
  rounds: Number(values.rounds),
  budget: Number(values.budget),
  peers,
  peak,
};
const versions = ourVersions();
for (const peer of Object.values(PEERS)) {
  const version = peer.version();
  if (version) versions[peer.name.split(" ")[0]!] = version;
}
const report: Report = { date: new Date().toISOString(), machine: machine(), versions, peak, suites: {} };

const { cpu, isa, threads, system } = report.machine;
console.log(`${cpu}, ${isa}, ${threads} threads, ${system}`);
console.log(Object.entries(versions).flat().join(" "));
console.log(`peak ${peak.gflops.toFixed(0)} GFLOP/s, copy ${peak.gbytes.toFixed(1)} GB/s`);
for (const [name, suite] of chosen) {
  if (chosen.length > 1) console.log(`\n# ${name}`);
  report.suites[name] = await suite(run);
  // After each suite, so that a run that is cut short leaves what it has.
  if (values.json) await writeFile(values.json, `${JSON.stringify(report, null, 1)}\n`);
}
