/**
 * The `bench` shapes of the case tables in test/ops, ours alone: forward, and forward with backward where there is a
 * gradient. What moves is counted as the bytes of inputs and result, once each.
 */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { scope, type Tensor } from "napier";
import { addon } from "#lib/native.js";
import { type BenchCase, benchCases } from "../test/check.js";
import { lineOf, type Result, resultOf, type Suite } from "./result.js";

/** Loads every table that stands in test/ops (those files that use checkOp). */
export async function loadTables(): Promise<readonly BenchCase[]> {
  const folder = fileURLToPath(new URL("../test/ops/", import.meta.url));
  for (const file of readdirSync(folder).sort()) {
    if (file.endsWith(".test.js") && readFileSync(folder + file, "utf8").includes("../check.js"))
      await import(`../test/ops/${file}`);
  }
  return benchCases;
}

function timed(run: () => void, budget: number): number[] {
  const times: number[] = [];
  run();
  run();
  const start = performance.now();
  do {
    const t = performance.now();
    run();
    addon.synchronize();
    times.push(performance.now() - t);
  } while (performance.now() - start < budget && times.length < 1000);
  return times;
}

/** The suite. */
export const benchTables: Suite = async ({ filter, budget, peak }) => {
  const results: Result[] = [];
  for (const c of (await loadTables()).filter((c) => `${c.op} ${c.name}`.includes(filter))) {
    const inputs = c.inputs();
    const bytes = (list: readonly Tensor[]) => list.reduce((n, t) => n + t.bytes, 0);
    let moved = 0;
    const forward = () => scope(() => void (moved = bytes([...inputs, c.run(inputs)])));
    const leaves = inputs.filter((t) => t.dtype === "float32").map((t) => t.detach().requiresGrad_());
    let next = 0;
    const given = inputs.map((t) => (t.dtype === "float32" ? leaves[next++]! : t));
    const differentiable = leaves.length > 0 && scope(() => c.run(given).requiresGrad);
    const both = () =>
      scope(() => {
        c.run(given).sum().backward();
        for (const leaf of leaves) leaf.grad = null;
      });
    for (const [kind, run] of [["", forward], ...(differentiable ? [["+backward", both] as const] : [])] as const) {
      const ms = timed(run, budget / 4);
      const result = resultOf(`${c.op}${kind} ${c.name}`, "napier", ms, peak, kind ? {} : { gbyte: moved / 1e9 });
      console.log(`${result.name.padEnd(52)}${lineOf(result)}`);
      results.push(result);
    }
    for (const t of [...inputs, ...leaves]) t.free();
  }
  return results;
};
