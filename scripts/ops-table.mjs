// npm run docs:ops: docs/ops.md, the table of every op, made from the code: names and first sentences of the doc comments
// from lib/ops; gradients from the case tables of test/ops, which the tests prove; dtypes by running those cases in each;
// devices from devices(). --check: fails where the file differs from what would be written (test/ops-table.test.ts). An op
// without a bench case fails too.
// Runs against dist, compiles the tables itself.
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const out = `${root}build/ops-table`;
const tsc = [`${root}node_modules/typescript/bin/tsc`, "-p", `${root}bench/tsconfig.json`, "--outDir", out];
if (spawnSync(process.execPath, tsc, { stdio: "inherit" }).status !== 0) process.exit(1);
const built = `${out}/test/ops/`;
for (const file of readdirSync(built).sort()) {
  if (file.endsWith(".test.js") && readFileSync(built + file, "utf8").includes("../check.js"))
    await import(built + file);
}
const { benchCases, tables } = await import(`${out}/test/check.js`);
const ops = await import(`${root}dist/ops/index.js`);
const { METHODS } = await import(`${root}dist/methods.js`);
const { devices } = await import(`${root}dist/devices.js`);
const { DTYPES } = await import(`${root}dist/native.js`);

/** The comment before each exported function or constant of lib/ops. */
const comments = new Map();
const families = new Map();
for (const file of readdirSync(`${root}lib/ops`, { recursive: true, encoding: "utf8" }).sort()) {
  if (!file.endsWith(".ts")) continue;
  const text = readFileSync(`${root}lib/ops/${file}`, "utf8");
  const family = /^\/\*\*\n \* (.*?)[.:;](?=[ \n])/ms.exec(text)?.[1]?.replace(/\n \* /g, " ") ?? file;
  for (const [, comment, name] of text.matchAll(
    /(?:\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\n)?export (?:async )?(?:function|const) (\w+)/g,
  )) {
    if (comments.has(name)) continue;
    comments.set(name, comment ?? "");
    families.set(name, { file: file.replace(/\.ts$/, ""), family });
  }
}
const sentence = (comment) =>
  (comment ?? "")
    .replace(/^\s*\* ?/gm, "")
    .replace(/@(internal|example|param|returns)[\s\S]*/, "")
    .trim()
    .split(/\n\s*\n|(?<=[.:]) (?=[A-Z])/)[0]
    .replace(/\s+/g, " ")
    .replace(/\|/g, "\\|");

// A table's name may carry a variant: "leakyRelu 0.25".
const known = new Map();
for (const { op, grad, second, accepts, bounds, gradBounds } of tables) {
  const name = op.split(/[ ,]/)[0];
  const before = known.get(name);
  known.set(name, {
    grad: grad || (before?.grad ?? false),
    second: second || (before?.second ?? false),
    bounds: [...(before?.bounds ?? []), ...bounds],
    gradBounds: [...(before?.gradBounds ?? []), ...gradBounds],
    dtypes: DTYPES.filter((dtype) => before?.dtypes.includes(dtype) || accepts(dtype)),
  });
}

const GROUPS = {
  floats: ["float32", "float64"],
  ints: ["int32", "int64", "uint8", "int8"],
  halves: ["bfloat16", "float16"],
};
/** "floats, ints, bool": whole groups by their names, others one by one. */
function wordsOf(dtypes) {
  const words = [];
  for (const dtype of dtypes) {
    const [group] = Object.entries(GROUPS).find(
      ([, all]) => all.includes(dtype) && all.every((d) => dtypes.includes(d)),
    ) ?? [dtype];
    if (!words.includes(group)) words.push(group);
  }
  return words.join(", ");
}
/** "exact", "2 ulp", "16 rms", or "8 rms (512)" where single cases have more. */
function boundOf(bounds) {
  if (bounds.length === 0) return "-";
  const unit = bounds.some((b) => b.rms) ? "rms" : "ulp";
  const [usual, most] = [bounds[0][unit] ?? 0, Math.max(...bounds.map((b) => b[unit] ?? 0))];
  const wide = most > usual && usual > 0 ? ` (${Math.round(most)})` : "";
  return most === 0 ? "exact" : `${Math.round(usual || most)} ${unit}${wide}`;
}
const places = devices()
  .filter(({ available }) => available)
  .map(({ name }) => name)
  .join(", ");

const isInternal = (name) => /@internal/.test(comments.get(name) ?? "");
const names = Object.keys(ops).filter((name) => typeof ops[name] === "function" && !isInternal(name));
names.push(
  ...Object.keys(ops.linalg ?? {})
    .map((name) => (names.includes(name) ? null : `linalg.${name}`))
    .filter(Boolean),
);
const rows = new Map();
for (const name of names) {
  const own = name.replace("linalg.", "");
  const { family = "others" } = families.get(own) ?? {};
  const table = known.get(own);
  const method = METHODS.includes(own) ? "yes" : "";
  const mark = (value) => (table === undefined ? "-" : value ? "yes" : "no");
  if (!rows.has(family)) rows.set(family, []);
  const cells = [
    method,
    mark(table?.grad),
    mark(table?.second),
    table?.dtypes.length ? wordsOf(table.dtypes) : "-",
    boundOf(table?.bounds ?? []),
    boundOf(table?.gradBounds ?? []),
    places,
  ];
  rows.get(family).push(`| \`${name}\` | ${cells.join(" | ")} | ${sentence(comments.get(own))} |`);
}
const counted = names.filter((name) => known.has(name.replace("linalg.", "")));
const withGradient = counted.filter((name) => known.get(name.replace("linalg.", "")).grad);
let text = `# Ops

Made by \`npm run docs:ops\` from the code. ${names.length} functions, ${counted.length} with a case table of their own (forward against a float64 reference, every instruction set, any number of threads), ${withGradient.length} of these with a gradient.

- **method**: also a method of every tensor.
- **gradient**, **second**: checked against central differences in float64; "no" means none exists (an integer result, a step) or, under "second", that asking for it throws; "-": has no table of its own (it is made of ops that have, or is tested by name in test/ops).
- **dtypes**: of the first tensor, found by running the table's cases in each. floats: float32, float64; ints: int32, int64, uint8, int8; halves: bfloat16, float16. Functions of floats take ints as float32.
- **error**, **its gradient**: how far the tests let float32 lie from the reference in float64, on every instruction set, in brackets that of single cases, far from 0 or ill-conditioned: by element in units in the last place (ulp), or root mean square of the error over that of the result in units of 1.2e-7 (rms). Convolutions by Winograd, and functions over all floats: [kernels.md](kernels.md#accuracy), [kernels-memory.md](kernels-memory.md).
- **devices**: where kernels are.
`;
for (const [family, list] of rows)
  text += `\n## ${family}\n\n| op | method | gradient | second | dtypes | error | its gradient | devices | |\n|---|---|---|---|---|---|---|---|---|\n${list.join("\n")}\n`;

const file = `${root}docs/ops.md`;
// Tables of an op's other forms ("sum of int32", "max: indices") need no bench case where one of the op's has it.
const opOf = (table) => table.split(/[ ,:]/)[0];
const timed = new Set(benchCases.map(({ op }) => opOf(op)));
const untimed = [...new Set(tables.map(({ op }) => opOf(op)))].filter((op) => !timed.has(op));
if (untimed.length > 0) {
  console.error(`no bench case in the table of ${untimed.join(", ")} (test/ops)`);
  process.exit(1);
}

if (process.argv.includes("--check")) {
  if (readFileSync(file, "utf8") !== text) {
    console.error("docs/ops.md is not what the code says: run npm run docs:ops");
    process.exit(1);
  }
} else {
  writeFileSync(file, text);
  console.log(`docs/ops.md: ${names.length} ops`);
}
