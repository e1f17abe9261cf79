// Builds and runs one of the standalone experiments behind docs/architecture.md:
//
//   node bench/experiments/run.mjs handles  [--quick] [--only=policies|short|long|adjust]   weak-reference tracking of tensors (handles.cc, handles.mjs)
//   node bench/experiments/run.mjs executor [--quick] [--only=20|200|500|5000]   in-order queue with executor and helper (executor.cc, executor.mjs)
//
// Needs a C++ compiler (CXX, default g++) and the headers beside the running Node. Linux only.
// Results so far: RESULTS.md.
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const name = process.argv[2];
if (!["handles", "executor"].includes(name)) {
  console.error("usage: node bench/experiments/run.mjs handles|executor [--quick]");
  process.exit(1);
}

const include = join(dirname(dirname(process.execPath)), "include", "node");
if (!existsSync(join(include, "node_api.h"))) throw new Error(`no node_api.h in ${include}`);

const source = join(here, `${name}.cc`);
const addon = join(here, "build", `${name}.node`);
mkdirSync(dirname(addon), { recursive: true });
if (!existsSync(addon) || statSync(addon).mtimeMs < statSync(source).mtimeMs) {
  const flags = ["-std=c++17", "-O2", "-Wall", "-Wextra", "-shared", "-fPIC", "-pthread", `-I${include}`];
  execFileSync(process.env.CXX ?? "g++", [...flags, source, "-o", addon], { stdio: "inherit" });
}
const result = spawnSync(process.execPath, [join(here, `${name}.mjs`), ...process.argv.slice(3)], { stdio: "inherit" });
process.exit(result.status ?? 1);
