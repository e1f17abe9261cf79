// npm run binaries [-- linux-arm64 | linux-x64-musl | linux-arm64-musl]: prebuilds/<platform>-<arch>/napier.<libc>.node, what the npm package carries.
//
// Without an argument, this machine's: the addon that build.mjs makes and the tests ran; prebuildify strips it, tags it with
// its libc and puts it in its place. linux-arm64: the same sources through Debian's cross compiler
// (g++-aarch64-linux-gnu). linux-x64-musl, linux-arm64-musl: for Alpine and its like, by zig. The other platforms are built where they run (.github/workflows/binaries.yml).
import { spawnSync } from "node:child_process";
import { copyFileSync, cpSync, existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { availableParallelism } from "node:os";
import { dirname, join, resolve } from "node:path";
import { promisify } from "node:util";
import prebuildify from "prebuildify";
import { buildWithZig } from "./zig.mjs";

function run(command, args, options = {}) {
  const { status, error } = spawnSync(command, args, { stdio: "inherit", ...options });
  if (error) console.error(`binaries: ${command} could not be run: ${error.message}`);
  if (status !== 0) process.exit(status ?? 1);
}

async function native() {
  run(process.execPath, ["scripts/build.mjs"]);
  // prebuildify moves the addon away and would have it compiled again: it gets a copy, and nothing for a compiler.
  const staging = "build/binaries";
  rmSync(staging, { recursive: true, force: true });
  mkdirSync(`${staging}/build/Release`, { recursive: true });
  copyFileSync("build/Release/napier.node", `${staging}/build/Release/napier.node`);
  await promisify(prebuildify)({
    cwd: staging,
    out: process.cwd(),
    name: "napier",
    targets: [],
    napi: true,
    strip: true,
    tagLibc: true,
    nodeGyp: process.platform === "win32" ? "where" : "true",
  });
  rmSync(staging, { recursive: true });
}

/** Compiles a copy of the sources with another machine's compiler. */
function cross(target, arch, tools) {
  if (spawnSync(`${tools}-g++`, ["--version"]).status !== 0) {
    console.error(`binaries: ${tools}-g++ is missing; on Debian: apt-get install g++-${tools}`);
    process.exit(1);
  }
  const staging = `build/binaries-${target}`;
  mkdirSync(staging, { recursive: true });
  cpSync("native", join(staging, "native"), { recursive: true, preserveTimestamps: true });
  copyFileSync("binding.gyp", join(staging, "binding.gyp"));
  writeFileSync(
    join(staging, "package.json"),
    JSON.stringify({ name: "napier-build", version: "0.0.0", private: true }),
  );
  const gyp = createRequire(import.meta.url).resolve("node-gyp/bin/node-gyp.js");
  const prefix = resolve(dirname(process.execPath), "..");
  const headers = existsSync(join(prefix, "include/node/node_api.h")) ? [`--nodedir=${prefix}`] : [];
  const of = (tool) => `${tools}-${tool}`;
  run(
    process.execPath,
    [gyp, "configure", "build", `--arch=${arch}`, `--jobs=${availableParallelism()}`, ...headers, "--loglevel=error"],
    { cwd: staging, env: { ...process.env, CC: of("gcc"), CXX: of("g++"), AR: of("ar"), LINK: of("g++") } },
  );
  const out = `prebuilds/${target}`;
  mkdirSync(out, { recursive: true });
  run(of("strip"), ["--strip-all", join(staging, "build/Release/napier.node"), "-o", `${out}/napier.glibc.node`]);
  console.log(`built ${out}/napier.glibc.node`);
}

/** For musl, with libc++ inside: what is left to find is the C library and Node. */
function musl(target) {
  const built = buildWithZig(target);
  const out = `prebuilds/${target.replace("-musl", "")}`;
  mkdirSync(out, { recursive: true });
  copyFileSync(built, `${out}/napier.musl.node`);
  console.log(`built ${out}/napier.musl.node`);
}

const [target] = process.argv.slice(2);
if (target === undefined || target === `${process.platform}-${process.arch}`) await native();
else if (target === "linux-arm64") cross(target, "arm64", "aarch64-linux-gnu");
else if (target === "linux-x64-musl" || target === "linux-arm64-musl") musl(target);
else {
  console.error(
    `binaries: expected linux-arm64, linux-x64-musl, linux-arm64-musl or nothing for this machine (${process.platform}-${process.arch}), got ${target}`,
  );
  process.exit(2);
}
