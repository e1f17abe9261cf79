/** scripts/bench-docs.mjs: the tables of docs/benchmarks.md, made from what the benchmark measured. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const { filled, machineOf, tableOf } = await import(here("../scripts/bench-docs.mjs"));

const ms = (name: string, contender: string, median: number, ratio: number | null = null) => ({
  ...{ name, contender, unit: "ms", median, min: median, max: median, n: 3, ratio },
  rate: ratio ? null : { amount: 120, unit: "GFLOP/s", share: 0.5 },
});
const steps = [
  ms("a", "napier", 2),
  ms("a", "napier eager", 3, 1.5),
  ms("a", "pytorch", 8, 4),
  ms("a", "pytorch tuned", 4, 2),
  ms("b", "napier", 0.01),
  ms("b", "pytorch", 0.08, 8),
];

test("a row each case: napier's settings apart, of the others the better, and their geometric mean", () => {
  expect(tableOf(steps).split("\n")).toEqual([
    "| case | napier | rate, share of the peak | napier eager | pytorch |",
    "| --- | --- | --- | --- | --- |",
    "| a | 2.00 ms | 120 GFLOP/s, 50 % | 3.00 ms (1.50) | 4.00 ms (2.00) |",
    "| b | 10.0 us | 120 GFLOP/s, 50 % |  | 80.0 us (8.00) |",
    "| geometric mean |  |  |  | 4.00 |",
  ]);
});

test("what works through pictures or tokens shows how many a second", () => {
  const of = (r: object, amount: number) => ({ ...r, items: { amount, of: "pictures" } });
  const results = [of(ms("a", "napier", 2), 2345.6), of(ms("a", "pytorch", 4, 2), 1172.8)];
  expect(tableOf(results).split("\n").at(-1)).toBe(
    "| a | 2.00 ms, 2,346 pictures/s | 120 GFLOP/s, 50 % | 4.00 ms, 1,173 pictures/s (2.00) |",
  );
});

test("what counts a step's page faults shows them", () => {
  const of = (contender: string, faults: number, ratio: number | null = null) => ({
    ...{ ...ms("a", contender, ratio ?? 1, ratio), unit: "MB", rate: null, faults },
  });
  expect(
    tableOf([of("napier", 2), of("pytorch", 27345, 2)])
      .split("\n")
      .at(-1),
  ).toBe("| a | 1.00 MB, 2 faults | 2.00 MB, 27,345 faults (2.00) |");
});

test("results with a tail show it", () => {
  const idle = { ...ms("idle", "napier", 1.1), max: 12.3, p99: 1.25 };
  expect(tableOf([idle]).split("\n").at(-1)).toBe("| idle | 1.10 ms | 1.25 ms | 12.3 ms |");
});

const report = {
  date: "2026-01-02T03:04:05Z",
  machine: { cpu: "CPU", cores: 2, memoryGB: 8, system: "Linux 6", isa: "avx2", threads: 2 },
  versions: { napier: "1.0.0", node: "20.0.0" },
  peak: { gflops: 200, gbytes: 30 },
  suites: { steps },
};

test("tables are put between their marks, the rest stays", () => {
  const text = "x\n<!-- bench steps ^b -->\nold\n<!-- /bench -->\n<!-- bench knn -->\nkept\n<!-- /bench -->\n";
  const made = filled(text, report);
  expect(made).toBe(text.replace("old", tableOf(steps.slice(4))));
  expect(filled(made, report)).toBe(made);
  const single = { ...report, machine: { ...report.machine, threads: 1 } };
  expect(filled(text, single)).toBe(text);
  const marked = text.replace("bench steps", "bench steps/1");
  expect(filled(marked, single)).toBe(made.replace("bench steps", "bench steps/1"));
  expect(filled(marked, report)).toBe(marked);
  expect(machineOf(report)).toBe(
    "2026-01-02: CPU (2 cores, avx2, 2 threads, 8 GB), Linux 6; peak 200 GFLOP/s, copy 30.0 GB/s; napier 1.0.0, node 20.0.0.",
  );
});

test("the documents name suites of the registry", () => {
  const suites = [...readFileSync(here("../bench/run.ts"), "utf8").matchAll(/^ {2}(\w+): (?:inTurns|bench)/gm)].map(
    (m) => m[1],
  );
  const texts = ["benchmarks", "kernels", "results"].map((name) => readFileSync(here(`../docs/${name}.md`), "utf8"));
  const marks = [...texts.join("\n").matchAll(/<!-- bench (\w+)/g)].map((m) => m[1]);
  expect(suites).toContain("steps");
  const unseen = ["tables"]; // hundreds of rows, napier's alone
  expect([...new Set(marks)].sort()).toEqual(["machine", ...suites.filter((s) => !unseen.includes(s))].sort());
});
