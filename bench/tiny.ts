/**
 * npm run bench -- tiny: what one small op costs from TypeScript, called op by op: until its result is there, and until
 * JavaScript has the numbers, beside PyTorch's op and its numpy(). A sample is the mean of 200 calls in a row.
 */
import { spawnSync } from "node:child_process";
import { randn, type Tensor } from "napier";
import { addon } from "#lib/native.js";
import { contender, python, rivals } from "./contender.js";
import { compared, lineOf, type Result, resultOf, type Suite } from "./result.js";

const CALLS = 200;

interface Tiny {
  name: string;
  /** Target in us until the result is there. */
  target: number;
  /** Its arithmetic, as of a Case. */
  gflop: number;
  gbyte: number;
  op: () => Tensor;
}
const pair = (...shape: number[]): [Tensor, Tensor] => [randn(shape), randn(shape)];
const [a, b] = pair(1000);
const [m8, n8] = pair(8, 8);
const [m64, n64] = pair(64, 64);
const CASES: Tiny[] = [
  { name: "add 1000", target: 2, gflop: 0, gbyte: 12e3 / 1e9, op: () => a.add(b) },
  { name: "matmul 8x8", target: 2, gflop: (2 * 8 ** 3) / 1e9, gbyte: 0, op: () => m8.matmul(n8) },
  { name: "matmul 64x64", target: 9, gflop: (2 * 64 ** 3) / 1e9, gbyte: 0, op: () => m64.matmul(n64) },
];

/** Ways to the result. Nothing is freed by hand: what collecting the tensors costs is in the time. */
const WAYS = {
  ready: (op: () => Tensor) => {
    op();
    addon.synchronize();
  },
  "dataSync()": (op: () => Tensor) => {
    op().dataSync();
  },
  "await data()": (op: () => Tensor) => op().data(),
};

/** What is asked of an op, and who answers it by which way, napier first. */
const QUESTIONS = {
  "result ready": { napier: "napier ready", pytorch: "pytorch ready" },
  "numbers read": {
    napier: "napier dataSync()",
    "napier await data()": "napier await data()",
    pytorch: "pytorch numpy()",
  },
};

async function samples(run: () => unknown, budget: number): Promise<number[]> {
  const ms: number[] = [];
  for (const start = performance.now(); ms.length === 0 || performance.now() - start < budget; ) {
    const t = process.hrtime.bigint();
    for (let i = 0; i < CALLS; i++) {
      const pending = run();
      if (pending instanceof Promise) await pending;
    }
    ms.push(Number(process.hrtime.bigint() - t) / 1e6 / CALLS);
  }
  return ms;
}

/** Each op twice: until its result is there, and until JavaScript (Python) has the numbers. */
export const benchTiny: Suite = async ({ filter, rounds, budget, peers, peak }) => {
  const wanted = !peers || peers.includes("pytorch");
  const torch = wanted && spawnSync(python, ["-c", "import torch"]).status === 0;
  if (wanted && !torch) console.error("PyTorch is not installed (apt-get install python3-torch): left out");
  const rival = torch ? contender("pytorch", python, [`${rivals}torch_tiny.py`, String(addon.threads())]) : null;
  const results: Result[] = [];
  for (const { name, target, op, gflop, gbyte } of CASES.filter((c) => c.name.includes(filter))) {
    const times = new Map<string, number[]>();
    const note = (key: string, ms: number[]) => times.set(key, [...(times.get(key) ?? []), ...ms]);
    for (let round = 0; round < rounds; round++) {
      for (const [way, run] of Object.entries(WAYS)) note(`napier ${way}`, await samples(() => run(op), budget / 4));
      for (const way of rival ? ["ready", "numpy()"] : []) {
        const c = {
          name: `${name}, ${way}`,
          op: name,
          params: { calls: CALLS, read: way !== "ready" },
          gflop: 0,
          gbyte: 0,
        };
        const { ms = [] } = await rival!.run(c, budget / 4);
        note(
          `pytorch ${way}`,
          ms.map((t) => t / CALLS),
        );
      }
    }
    for (const [what, ways] of Object.entries(QUESTIONS)) {
      const found = Object.entries(ways).flatMap(([who, way]) => {
        const ms = times.get(way);
        return ms ? [resultOf(`${name}, ${what}`, who, ms, peak, { gflop, gbyte })] : [];
      });
      console.log(`${name}, ${what}${what === "result ready" ? ` (target ${target} us)` : ""}`);
      for (const r of compared(found)) console.log(lineOf(r));
      results.push(...compared(found));
    }
  }
  rival?.close();
  return results;
};
