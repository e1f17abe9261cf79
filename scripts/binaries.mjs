// npm run binaries: prebuilds/<platform>-<arch>/napier.<libc>.node, what the npm package carries. The addon is the one
// that build.mjs makes and the tests ran; prebuildify strips it, tags it with its libc and puts it in its place.
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, rmSync } from "node:fs";
import { promisify } from "node:util";
import prebuildify from "prebuildify";

const built = spawnSync(process.execPath, ["scripts/build.mjs"], { stdio: "inherit" });
if (built.status !== 0) process.exit(built.status ?? 1);

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
