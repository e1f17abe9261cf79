/**
 * Loads the addon: the one file that requires a `.node`. The requires are literal so that bundlers can follow them.
 * Order: NAPIER_BINARY, build/Release (only in a source checkout), prebuilds of the package, what `napier build` made.
 */
import fs = require("node:fs");
import path = require("node:path");
import builds = require("./builds.cjs");
import libcs = require("./libc.cjs");

function libc(): "glibc" | "musl" | "" {
  if (process.platform !== "linux") return "";
  const report = process.report as unknown as {
    excludeNetwork?: boolean;
    getReport(): Parameters<typeof libcs.libcOf>[1];
  };
  report.excludeNetwork = true; // network look-ups can take seconds
  return libcs.libcOf(process.platform, report.getReport());
}

function prebuilt(target: string): unknown {
  switch (target) {
    case "linux-x64-glibc":
      return require("../prebuilds/linux-x64/napier.glibc.node");
    case "linux-x64-musl":
      return require("../prebuilds/linux-x64/napier.musl.node");
    case "linux-arm64-glibc":
      return require("../prebuilds/linux-arm64/napier.glibc.node");
    case "linux-arm64-musl":
      return require("../prebuilds/linux-arm64/napier.musl.node");
    case "darwin-arm64":
      return require("../prebuilds/darwin-arm64/napier.node");
    case "darwin-x64":
      return require("../prebuilds/darwin-x64/napier.node");
    case "win32-x64":
      return require("../prebuilds/win32-x64/napier.node");
    default:
      throw new Error(`no binary is made for ${target}`);
  }
}

function load(): unknown {
  const kind = libc();
  const target = `${process.platform}-${process.arch}${kind && `-${kind}`}`;
  const root = path.join(__dirname, "..");
  const attempts: [string, () => unknown][] = [];
  const chosen = process.env.NAPIER_BINARY;
  if (chosen) attempts.push([chosen, () => require(path.resolve(chosen))]);
  else {
    if (fs.existsSync(path.join(root, "binding.gyp"))) {
      attempts.push(["build/Release/napier.node", () => require("../build/Release/napier.node")]);
    }
    attempts.push([`prebuilds for ${target}`, () => prebuilt(target)]);
    const { version } = require("../package.json") as { version: string };
    const built = builds.binaryIn(builds.buildFolder(version, `${process.platform}-${process.arch}`));
    if (fs.existsSync(built)) attempts.push([built, () => require(built)]);
  }
  const failures: string[] = [];
  for (const [what, attempt] of attempts) {
    try {
      return attempt();
    } catch (error) {
      failures.push(`  ${what}: ${(error as Error).message.split("\n")[0]}`);
    }
  }
  throw new Error(
    `napier: no usable native binary for ${target} (Node ${process.versions.node}). Tried:\n${failures.join("\n")}\n` +
      `Remedy: run "npx napier build" (needs g++ or clang, make and python3; in a source checkout: "npm run build"), ` +
      `or set NAPIER_BINARY to a napier.node built for this platform.`,
  );
}

export = load();
