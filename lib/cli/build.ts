/**
 * `napier build`: compiles the native addon on purpose. In a checkout, in place; of an installed package, a copy in the
 * user's cache, where lib/load.cts looks when no prebuilt binary fits.
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { copyFile, cp, mkdir, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { availableParallelism } from "node:os";
import { dirname, join, resolve } from "node:path";
import builds from "../builds.cjs";
import { isCheckout, packageRoot, version } from "./package.js";
import { describeOptions, Failure, readOptions } from "./usage.js";

const OPTIONS = {
  clean: { help: "start afresh" },
} as const;

export const help = `napier build: compile the native addon for this machine

Needs g++ 11 or newer (or clang 15), make, python3 and the npm package node-gyp.
The binary goes to build/Release of a checkout; for an installed package, to the
user's cache, where napier finds it.

${describeOptions(OPTIONS)}`;

/** node-gyp's script: of this package, of the project that uses it, or the one inside npm. */
function findNodeGyp(): string | null {
  const npm = join(dirname(process.execPath), "../lib/node_modules/npm/package.json");
  for (const from of [import.meta.url, join(process.cwd(), "package.json"), npm]) {
    try {
      return createRequire(from).resolve("node-gyp/bin/node-gyp.js");
    } catch {
      // the next place
    }
  }
  return null;
}

export async function run(args: string[]): Promise<number> {
  const { clean = false } = readOptions("build", OPTIONS, args);
  const gyp = findNodeGyp();
  if (gyp === null) {
    throw new Failure(
      `napier build: node-gyp is missing; it drives the compiler. Run "npm install node-gyp" and try again.`,
    );
  }
  const folder = isCheckout ? packageRoot : builds.buildFolder(version, `${process.platform}-${process.arch}`);
  const script = join(packageRoot, "scripts/build.mjs");
  const command = isCheckout ? [script, ...(clean ? ["--clean"] : [])] : [gyp, ...(await prepareCopy(folder, clean))];
  const result = spawnSync(process.execPath, command, { cwd: folder, stdio: "inherit" });
  if (result.status !== 0) {
    throw new Failure(
      "napier build: the compiler failed, see above. It needs g++ 11 or newer (or clang 15), make and python3.",
    );
  }
  console.log(`built ${builds.binaryIn(folder)}`);
  return 0;
}

/** Copies native/ and, one level up, its description, as a checkout has them. Answers node-gyp's arguments. */
async function prepareCopy(folder: string, clean: boolean): Promise<string[]> {
  const description = join(packageRoot, "native/binding.gyp");
  if (!existsSync(description)) {
    throw new Failure(`napier build: this package has no sources: ${description} is missing. Install napier again.`);
  }
  if (clean) await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  await cp(join(packageRoot, "native"), join(folder, "native"), { recursive: true });
  await copyFile(description, join(folder, "binding.gyp"));
  await writeFile(join(folder, "package.json"), JSON.stringify({ name: "napier-build", version, private: true }));
  const prefix = resolve(dirname(process.execPath), "..");
  // The headers beside the running Node, where they are: nothing is downloaded then.
  const headers = existsSync(join(prefix, "include/node/node_api.h")) ? [`--nodedir=${prefix}`] : [];
  return ["configure", "build", `-j${availableParallelism()}`, ...headers, "--loglevel=error"];
}
