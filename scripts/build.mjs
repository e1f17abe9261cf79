// Builds the addon into build/Release. Headers: those beside the running Node (<prefix>/include/node) when they are
// there, so that nothing is downloaded and an empty HOME works; otherwise node-gyp fetches them.
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { availableParallelism } from "node:os";
import { dirname, join, resolve } from "node:path";

const prefix = resolve(dirname(process.execPath), "..");
const headers = existsSync(join(prefix, "include/node/node_api.h"));
const gyp = createRequire(import.meta.url).resolve("node-gyp/bin/node-gyp.js");
// binding.gyp lists the kernel sources when it is read: a file more or less needs a new configuration.
const sources =
  readdirSync("native/cpu").join("\n") + readFileSync("binding.gyp", "utf8") + (process.env.NAPIER_VARIANTS ?? "");
const stamp = "build/configured.txt";
const configured = existsSync("build/Makefile") && existsSync(stamp) && readFileSync(stamp, "utf8") === sources;
const command = process.argv.includes("--clean") ? ["rebuild"] : configured ? ["build"] : ["configure", "build"];
const args = [
  gyp,
  ...command,
  `--jobs=${availableParallelism()}`,
  ...(headers ? [`--nodedir=${prefix}`] : []),
  "--loglevel=error",
];
const run = spawnSync(process.execPath, args, { stdio: "inherit" });
if (existsSync("build")) writeFileSync(stamp, sources);
if (run.status !== 0)
  console.error("napier: the native build failed. It needs g++ 11 or newer (or clang 15), make and python3.");
process.exit(run.status ?? 1);
