// node scripts/bench-docs.mjs FILE: writes the tables of docs/benchmarks.md, kernels.md and results.md from what `npm run bench -- --json FILE` measured.
// A table stands between <!-- bench SUITE PATTERN --> and <!-- /bench -->, PATTERN a regular expression for the names of
// cases, or empty; "machine" is where and with which versions. SUITE/1 takes what was measured with NAPIER_THREADS=1, SUITE
// the rest. What the file does not have keeps what stands there.
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const product = (contender) => contender.split(" ")[0];
const digits = (value) => value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0);
const amount = (value, unit) =>
  unit === "ms" && value > 0 && value < 0.1 ? `${digits(value * 1e3)} us` : `${digits(value)} ${unit}`;
const whole = (value) => Math.round(value).toLocaleString("en-US");
/** The median, and pictures or tokens a second or a step's page faults where the case counts them. */
const timeOf = ({ median, unit, items, faults }) =>
  amount(median, unit) +
  (items ? `, ${whole(items.amount)} ${items.of}/s` : "") +
  (faults === undefined ? "" : `, ${whole(faults)} faults`);
const row = (cells) => `| ${cells.join(" | ")} |`;
const markdown = (head, rows) => [row(head), row(head.map(() => "---")), ...rows.map(row)].join("\n");

/** The suite's results as a markdown table, a row each case; of a product's settings the better. */
export function tableOf(results) {
  if (results.some(({ p99 }) => p99 !== undefined)) {
    const cells = ({ name, unit, median, p99, max }) => [
      name,
      ...[median, p99, max].map((v) => amount(v ?? max, unit)),
    ];
    return markdown(["case", "median", "p99", "largest"], results.map(cells));
  }
  const cases = [...new Set(results.map(({ name }) => name))];
  const columnOf = ({ contender }) => (product(contender) === "napier" ? contender : product(contender));
  const others = [...new Set(results.map(columnOf))].filter((column) => column !== "napier");
  const best = (name, column) =>
    results.filter((r) => r.name === name && columnOf(r) === column).sort((a, b) => a.median - b.median)[0];
  const rated = results.some(({ rate }) => rate);
  const rows = cases.map((name) => {
    const own = best(name, "napier");
    const rate = own?.rate ? `${digits(own.rate.amount)} ${own.rate.unit}, ${(100 * own.rate.share).toFixed(0)} %` : "";
    const cells = others.map((column) => {
      const r = best(name, column);
      return r ? `${timeOf(r)} (${r.ratio?.toFixed(2)})` : "";
    });
    return [name, own ? timeOf(own) : "", ...(rated ? [rate] : []), ...cells];
  });
  const means = others.map((column) => {
    const ratios = cases.flatMap((name) => best(name, column)?.ratio ?? []);
    return ratios.length > 1
      ? Math.exp(ratios.reduce((sum, r) => sum + Math.log(r), 0) / ratios.length).toFixed(2)
      : "";
  });
  if (means.some((m) => m)) rows.push(["geometric mean", "", ...(rated ? [""] : []), ...means]);
  return markdown(["case", "napier", ...(rated ? ["rate, share of the peak"] : []), ...others], rows);
}

/** Where a report was made, as a sentence. */
export function machineOf({ date, machine, versions, peak }) {
  const { cpu, cores, memoryGB, system, isa, threads } = machine;
  const list = Object.entries(versions).map((entry) => entry.join(" "));
  return (
    `${date.slice(0, 10)}: ${cpu} (${cores} cores, ${isa}, ${threads} threads, ${memoryGB} GB), ${system}; peak ` +
    `${peak.gflops.toFixed(0)} GFLOP/s, copy ${peak.gbytes.toFixed(1)} GB/s; ${list.join(", ")}.`
  );
}

/** The document with its tables made anew from a report. */
export function filled(text, report) {
  return text.replace(
    /(<!-- bench (\w+)(\/1)? ?(.*?) -->\n)[\s\S]*?(<!-- \/bench -->)/g,
    (whole, open, suite, single, pattern, close) => {
      if ((report.machine.threads === 1) !== Boolean(single)) return whole;
      if (suite === "machine") return `${open}${machineOf(report)}\n${close}`;
      const results = report.suites[suite]?.filter(({ name }) => new RegExp(pattern).test(name)) ?? [];
      return results.length > 0 ? `${open}${tableOf(results)}\n${close}` : whole;
    },
  );
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const report = JSON.parse(readFileSync(process.argv[2], "utf8"));
  for (const name of ["benchmarks.md", "kernels.md", "results.md"]) {
    const document = fileURLToPath(new URL(`../docs/${name}`, import.meta.url));
    writeFileSync(document, filled(readFileSync(document, "utf8"), report));
  }
}
