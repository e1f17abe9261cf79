/**
 * npm run bench -- tiny: what one small op costs from TypeScript, called op by op: until its result is there, and until
 * JavaScript has the numbers, beside PyTorch's op and its numpy(). A sample is the mean of 200 calls in a row.
 */
import { spawnSync } from "node:child_process";
import { randn, type Tensor } from "napier";
import { addon } from "#lib/native.js";
import { contender, python, rivals } from "./contender.js";

const CALLS = 200;

interface Tiny {
  name: string;
  /** Target in us until the result is there. */
  target: number;
  op: () => Tensor;
}
const pair = (...shape: number[]): [Tensor, Tensor] => [randn(shape), randn(shape)];
const [a, b] = pair(1000);
const [m8, n8] = pair(8, 8);
const [m64, n64] = pair(64, 64);
const CASES: Tiny[] = [
  { name: "add 1000", target: 2, op: () => a.add(b) },
  { name: "matmul 8x8", target: 2, op: () => m8.matmul(n8) },
  { name: "matmul 64x64", target: 9, op: () => m64.matmul(n64) },
];

/** Ways to the result. Nothing is freed by hand: what collecting the tensors costs is in the time. */
const WAYS: Record<string, (op: () => Tensor) => undefined | Promise<unknown>> = {
  ready: (op) => {
    op();
    addon.synchronize();
  },
  "dataSync()": (op) => {
    op().dataSync();
  },
  "await data()": (op) => op().data(),
};

async function samples(run: () => undefined | Promise<unknown>, budget: number): Promise<number[]> {
  const us: number[] = [];
  for (const start = performance.now(); us.length === 0 || performance.now() - start < budget; ) {
    const t = process.hrtime.bigint();
    for (let i = 0; i < CALLS; i++) {
      const pending = run();
      if (pending) await pending;
    }
    us.push(Number(process.hrtime.bigint() - t) / 1e3 / CALLS);
  }
  return us;
}

export interface TinyResult {
  name: string;
  contender: string;
  way: string;
  usMedian: number;
  usMin: number;
  n: number;
}

export async function benchTiny(rounds: number, budget: number): Promise<TinyResult[]> {
  const torch = spawnSync(python, ["-c", "import torch"]).status === 0;
  if (!torch) console.error("PyTorch is not installed (apt-get install python3-torch): left out");
  const rival = torch ? contender("pytorch", python, [`${rivals}torch_tiny.py`, String(addon.threads())]) : null;
  const results: TinyResult[] = [];
  const summary = (name: string, who: string, way: string, us: number[]): TinyResult => {
    const sorted = us.sort((x, y) => x - y);
    const result = {
      name,
      contender: who,
      way,
      usMedian: sorted[sorted.length >> 1]!,
      usMin: sorted[0]!,
      n: us.length,
    };
    results.push(result);
    return result;
  };
  console.log(`us, median and least of samples of ${CALLS} calls; ${addon.isa()}, ${addon.threads()} threads`);
  for (const { name, target, op } of CASES) {
    const times = new Map<string, number[]>();
    const note = (key: string, us: number[]) => times.set(key, [...(times.get(key) ?? []), ...us]);
    for (let round = 0; round < rounds; round++) {
      for (const [way, run] of Object.entries(WAYS)) note(`napier\t${way}`, await samples(() => run(op), budget));
      for (const way of ["ready", "numpy()"]) {
        const c = {
          name: `${name}, ${way}`,
          op: name,
          params: { calls: CALLS, read: way !== "ready" },
          gflop: 0,
          gbyte: 0,
        };
        if (rival)
          note(
            `pytorch\t${way}`,
            (await rival.run(c, budget)).map((ms) => (ms * 1e3) / CALLS),
          );
      }
    }
    console.log(`${name} (target ${target} us until it is ready)`);
    for (const [key, us] of times) {
      const [who, way] = key.split("\t") as [string, string];
      const { usMedian, usMin } = summary(name, who, way, us);
      console.log(
        `  ${who.padEnd(9)}${way.padEnd(14)}${usMedian.toFixed(2).padStart(8)}${usMin.toFixed(2).padStart(8)}`,
      );
    }
  }
  rival?.close();
  return results;
}
