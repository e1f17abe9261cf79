/**
 * npm run bench -- knn: the three distance computations of CS231n's first notebook for 500 test and 5,000 training points
 * of 3,072 dimensions, beside the times that the course's report gives, and the vectorised one beside scikit-learn's brute
 * force in the same run.
 */
import { spawnSync } from "node:child_process";
import { addon } from "#lib/native.js";
import type { Case } from "./cases.js";
import { type Contender, contender, ours, python, rivals } from "./contender.js";
import type { Peak } from "./peak.js";

const [n, m, d] = [500, 5000, 3072];
const gflop = (2 * n * m * d) / 1e9; // 15.4, as a product
const size = { n, m, d };
const distances = (name: string, loops: 0 | 1 | 2): Case => {
  const once = loops > 0;
  return { name, op: "distances", params: { ...size, loops }, gflop, gbyte: 0, once };
};
/** With the seconds of the course's report. */
const computations: [Case, number][] = [
  [distances("two loops", 2), 45.2],
  [distances("one loop", 1), 12.8],
  [distances("vectorised", 0), 0.3],
];
const vectorised = computations[2]![0];
const neighbours: Case = { name: "10 nearest", op: "neighbours", params: { ...size, k: 10 }, gflop, gbyte: 0 };

/** scikit-learn converts float32 piece by piece to float64; both are asked, the faster counts. */
function sklearn(): Contender[] {
  for (const [command, args, what] of [
    [python, ["-c", ""], "python3"],
    [python, ["-c", "import sklearn"], "scikit-learn (apt-get install python3-sklearn)"],
  ] as const) {
    if (spawnSync(command, args).status === 0) continue;
    console.error(`${what} is not installed: the comparison with scikit-learn is left out`);
    return [];
  }
  const threads = String(addon.threads());
  const env = { OPENBLAS_NUM_THREADS: threads, OMP_NUM_THREADS: threads };
  return ["float32", "float64"].map((dtype) =>
    contender(`scikit-learn ${dtype}`, python, [`${rivals}sklearn_knn.py`, dtype], env),
  );
}

export interface KnnResult {
  name: string;
  contender: string;
  msMedian: number;
  msMin: number;
  msMax: number;
  n: number;
  gflop: number;
}

export async function benchKnn(rounds: number, budget: number, peak: Peak): Promise<KnnResult[]> {
  const napier = ours();
  const others = sklearn();
  const results: KnnResult[] = [];
  const summary = (name: string, who: Contender, ms: number[]): KnnResult => {
    const sorted = ms.sort((a, b) => a - b);
    const [msMedian, msMin, msMax] = [sorted[sorted.length >> 1]!, sorted[0]!, sorted.at(-1)!];
    const result = { name, contender: who.name, msMedian, msMin, msMax, n: ms.length, gflop };
    results.push(result);
    return result;
  };
  const seconds = (ms: number) => `${(ms / 1e3).toFixed(3)} s`.padStart(10);
  const rate = (ms: number) =>
    `${((gflop / ms) * 1e3).toFixed(1).padStart(7)} GFLOP/s ${((100 * gflop * 1e3) / ms / peak.gflops).toFixed(0).padStart(3)} %`;
  console.log(
    `${n} x ${m} points of ${d} dimensions, ${gflop.toFixed(1)} GFLOP; ${addon.isa()}, ${addon.threads()} threads, peak ${peak.gflops.toFixed(0)} GFLOP/s`,
  );

  console.log(`\n${"distances".padEnd(22)}${"CS231n's report".padStart(16)}${"napier".padStart(10)}`);
  for (const [c, report] of computations) {
    const ms: number[] = [];
    for (let round = 0; round < (c.once ? 1 : rounds); round++) ms.push(...(await napier.run(c, c.once ? 1 : budget)));
    const { msMedian } = summary(c.name, napier, ms);
    console.log(`${c.name.padEnd(22)}${`${report} s`.padStart(16)}${seconds(msMedian)} ${rate(msMedian)}`);
  }

  for (const c of [vectorised, neighbours]) {
    console.log(`\n${c.name} in turns`);
    const times = new Map([napier, ...others].map((who) => [who, [] as number[]]));
    for (let round = 0; round < rounds; round++) for (const [who, ms] of times) ms.push(...(await who.run(c, budget)));
    const found = [...times].map(([who, ms]) => summary(`${c.name} in turns`, who, ms));
    const [mine, ...theirs] = found.map(({ msMedian }) => msMedian);
    for (const { contender: name, msMedian } of found) {
      const ratio = name === napier.name ? "" : `  ${(msMedian / mine!).toFixed(2)}x`;
      console.log(`${name.padEnd(38)}${seconds(msMedian)} ${rate(msMedian)}${ratio}`);
    }
    if (theirs.length > 0) {
      const ratio = Math.min(...theirs) / mine!;
      console.log(
        `  napier ${ratio >= 1 ? "is as fast as" : "is slower than"} scikit-learn's faster: ${ratio.toFixed(2)}x`,
      );
    }
  }
  for (const who of [napier, ...others]) who.close();
  return results;
}
