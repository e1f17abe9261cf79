/**
 * npm run bench -- [ops|steps|memory|tables|knn|peak] [filter] [--json FILE] [--rounds N] [--budget MS] [--peers NAME,NAME]
 *
 * Each contender is a process of its own; for each case they run in turns, several rounds, so that a drift of the machine
 * meets all of them. Printed: medians, the ratio to ours, GFLOP/s or GB/s and its share of the peak of this run. tables:
 * the bench shapes of every op's case table, ours alone. knn: CS231n's three distance computations (bench/knn.ts). peak:
 * the memory of training steps (bench/peakMemory.ts). --peers: of naive, pytorch and tuned, those that take part.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { addon } from "#lib/native.js";
import { type Case, ops, steps } from "./cases.js";
import { type Contender, contender, ours, python, rivals } from "./contender.js";
import { benchKnn } from "./knn.js";
import { memory } from "./memory.js";
import { measurePeak, type Peak } from "./peak.js";
import { benchPeakMemory } from "./peakMemory.js";
import { benchTables } from "./tables.js";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: "string" },
    rounds: { type: "string", default: "3" },
    budget: { type: "string", default: "700" },
    peers: { type: "string", default: "naive,pytorch,tuned" },
  },
});
const [first = "", ...others] = positionals;
const suites: Record<string, Case[]> = { ops, steps, memory };
const chosen = suites[first] ?? [...ops, ...steps, ...memory];
const filter = (suites[first] ? others : positionals).join(" ");
const cases = chosen.filter((c) => c.name.includes(filter));
const rounds = Number(values.rounds);
const budget = Number(values.budget);
const peers = values.peers.split(",");

/** PyTorch's better setting: jemalloc that keeps its pages, pinned threads (docs/benchmarks.md). */
function pytorch(): Contender[] {
  if (spawnSync(python, ["-c", "import torch"]).status !== 0) {
    console.error("PyTorch is not installed (apt-get install python3-torch libjemalloc2): left out");
    return [];
  }
  const threads = String(addon.threads());
  const script = [`${rivals}torch_cases.py`, threads];
  const library = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu"].filter(existsSync).flatMap((d) =>
    readdirSync(d)
      .filter((f) => f === "libjemalloc.so.2")
      .map((f) => `${d}/${f}`),
  )[0];
  const tuned = {
    ...(library && { LD_PRELOAD: library }),
    MALLOC_CONF: "dirty_decay_ms:-1,muzzy_decay_ms:-1,oversize_threshold:0",
    OMP_PROC_BIND: "true",
    OMP_PLACES: "cores",
    OMP_NUM_THREADS: threads,
  };
  return [
    ...(peers.includes("pytorch") ? [contender("pytorch", python, script, { OMP_NUM_THREADS: threads })] : []),
    ...(peers.includes("tuned") ? [contender("pytorch tuned", python, script, tuned)] : []),
  ];
}

interface Result {
  name: string;
  contender: string;
  msMedian: number;
  msMin: number;
  msMax: number;
  n: number;
  gflop: number;
}

function summary(c: Case, who: string, ms: number[]): Result {
  const sorted = [...ms].sort((a, b) => a - b);
  return {
    name: c.name,
    contender: who,
    msMedian: sorted[sorted.length >> 1]!,
    msMin: sorted[0]!,
    msMax: sorted.at(-1)!,
    n: ms.length,
    gflop: c.gflop,
  };
}

function line(c: Case, r: Result, ours: Result, peak: Peak): string {
  const rate = c.gflop ? c.gflop / r.msMedian : c.gbyte / r.msMedian;
  const [amount, unit, share] = c.gflop
    ? [rate * 1e3, "GFLOP/s", (rate * 1e3) / peak.gflops]
    : [rate * 1e3, "GB/s", (rate * 1e3) / peak.gbytes];
  const ratio = r === ours ? "" : `${(r.msMedian / ours.msMedian).toFixed(2)}x`;
  return `  ${r.contender.padEnd(14)} ${r.msMedian.toFixed(3).padStart(10)} ms ${amount.toFixed(1).padStart(8)} ${unit.padEnd(7)} ${(100 * share).toFixed(0).padStart(4)} %  ${ratio}`;
}

if (first === "peak") {
  const found = benchPeakMemory(others.join(" "), addon.threads());
  if (values.json) await writeFile(values.json, `${JSON.stringify(found, null, 1)}\n`);
  process.exit(0);
}

// Before any contender starts: one that is still loading would take a core from the measurement.
const peak = measurePeak();

if (first === "tables") {
  const found = await benchTables(others.join(" "), budget / 4, peak);
  if (values.json) await writeFile(values.json, `${JSON.stringify(found, null, 1)}\n`);
  process.exit(0);
}

if (first === "knn") {
  const found = await benchKnn(rounds, budget, peak);
  if (values.json) await writeFile(values.json, `${JSON.stringify(found, null, 1)}\n`);
  process.exit(0);
}

const contenders = [
  ours(),
  ...(cases.some((c) => c.op === "step") ? [ours("napier eager", { NAPIER_BENCH: "eager" })] : []),
  ...(peers.includes("naive")
    ? [contender("naive", process.execPath, [fileURLToPath(new URL("./contenders/naive.js", import.meta.url))])]
    : []),
  ...pytorch(),
];
console.log(
  `${addon.isa()}, ${addon.threads()} threads; peak ${peak.gflops.toFixed(0)} GFLOP/s, copy ${peak.gbytes.toFixed(1)} GB/s`,
);

const results: Result[] = [];
for (const c of cases) {
  const times = new Map<Contender, number[]>(contenders.map((who) => [who, []]));
  for (let round = 0; round < rounds; round++) {
    for (const [who, ms] of times)
      if (round === 0 || ms.length > 0) ms.push(...(await who.run(c, who.name === "naive" ? 1 : budget)));
  }
  const found = [...times].flatMap(([who, ms]) => (ms.length > 0 ? [summary(c, who.name, ms)] : []));
  console.log(c.name);
  for (const r of found) console.log(line(c, r, found[0]!, peak));
  results.push(...found);
}
for (const who of contenders) who.close();
if (values.json) await writeFile(values.json, `${JSON.stringify(results, null, 1)}\n`);
