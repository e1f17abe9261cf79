// zig as a C++ compiler for other systems: it carries clang, libc++, musl and the headers of macOS and of mingw-w64. Looked
// for as $ZIG, then as zig on PATH.
//
// node scripts/zig.mjs TARGET [OPTION]    build/zig-TARGET/napier.node: what `npm run binaries` packs for musl, and for macOS
//                                         and Windows a check that native/ compiles and links there (OPTION: -O1 is faster)
import { spawnSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";

const x64 = "scalar avx2 avx512";
const arm64 = "scalar neon";
export const TARGETS = {
  "linux-x64-musl": { triple: "x86_64-linux-musl", variants: x64 },
  "linux-arm64-musl": { triple: "aarch64-linux-musl", variants: arm64 },
  "darwin-x64": { triple: "x86_64-macos.11.0", variants: x64 },
  "darwin-arm64": { triple: "aarch64-macos.11.0", variants: arm64 },
  "win32-x64": { triple: "x86_64-windows-gnu", variants: x64 },
};

/** The path of zig, or null where there is none. */
export function findZig() {
  const zig = process.env.ZIG || "zig";
  return spawnSync(zig, ["version"], { stdio: "ignore" }).status === 0 ? zig : null;
}

/** The command that compiles C++ for a target, or null without zig. */
export function zigCompiler(target) {
  const zig = findZig();
  return zig && `${zig} c++ -target ${TARGETS[target].triple}`;
}

/** What the linker is told: Node's functions are found when it loads the addon; on Windows through an import library. */
function linkOptions(target, zig, folder) {
  if (target.startsWith("linux")) return "-s -Wl,--version-script=native/node/exports.map";
  if (target.startsWith("darwin")) return "-s -Wl,-undefined,dynamic_lookup";
  const { def_paths } = createRequire(import.meta.url)("node-api-headers");
  const libraries = Object.entries(def_paths).map(([name, path]) => {
    const library = `${folder}/${name}.lib`;
    const { status } = spawnSync(zig, ["dlltool", "-m", "i386:x86-64", "-d", path, "-l", library], {
      stdio: "inherit",
    });
    if (status !== 0) throw new Error(`zig dlltool could not make ${library}`);
    return library;
  });
  return ["-s", ...libraries].join(" ");
}

/** Builds the addon for a target; answers its path. */
export function buildWithZig(target, optimisation = "-O3") {
  const zig = findZig();
  if (!zig) throw new Error("zig is missing: put it on PATH, or its path into ZIG");
  const folder = `build/zig-${target}`;
  mkdirSync(folder, { recursive: true });
  const { status } = spawnSync(
    "make",
    [
      "-s",
      `-j${availableParallelism()}`,
      "-f",
      "test/native/Makefile",
      "addon",
      "MODE=release",
      `OUT=${folder}`,
      `CXX=${zigCompiler(target)}`,
      `VARIANTS=${TARGETS[target].variants}`,
      `OPT=${optimisation}`,
      `PIC=${target.startsWith("win32") ? "" : "-fPIC"}`,
      `LINK=${linkOptions(target, zig, folder)}`,
    ],
    { stdio: "inherit" },
  );
  if (status !== 0) throw new Error(`native/ does not build for ${target}`);
  return `${folder}/napier.node`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [target, optimisation] = process.argv.slice(2);
  if (!(target in TARGETS)) {
    console.error(`zig: expected a target among ${Object.keys(TARGETS).join(", ")}, got ${target}`);
    process.exit(2);
  }
  console.log(`built ${buildWithZig(target, optimisation)}`);
}
