/**
 * What zig builds for other systems. musl: the binaries of the package, which need the C library and Node alone; the
 * kernels behind them run in test:native (musl). macOS and Windows: native/ compiles and links there.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
const zig = process.env.ZIG || "zig";
const works = (command: string) => spawnSync(command, ["--version"]).status === 0;
const missing = spawnSync(zig, ["version"]).status !== 0 ? "zig" : !works("readelf") ? "readelf" : "";
const run = (command: string, args: string[]) =>
  execFileSync(command, args, { cwd: root, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], maxBuffer: 2 ** 28 });

/** What Node offers addons. */
function nodeFunctions(): string[] {
  const { def_paths } = createRequire(import.meta.url)("node-api-headers") as { def_paths: Record<string, string> };
  const names = Object.values(def_paths).flatMap(
    (path) => readFileSync(path, "utf8").match(/^(napi|node_api)_\w+/gm) ?? [],
  );
  return [...new Set(names)]; // one list includes the other
}

/** Names of dynamic symbols that are defined, or that are looked for. */
function symbols(binary: string, wanted: "defined" | "undefined"): string[] {
  const lines = run("readelf", ["-W", "--dyn-syms", binary]).split("\n").slice(4);
  return lines.flatMap((line) => {
    const [, , , , bind, , where, name] = line.trim().split(/\s+/);
    return name && bind !== "LOCAL" && (where === "UND") === (wanted === "undefined") ? [name] : [];
  });
}

describe.skipIf(missing !== "").each([
  { target: "linux-x64-musl", machine: /X86-64/ },
  { target: "linux-arm64-musl", machine: /AArch64/ },
])(`$target${missing && ` (skipped: ${missing} is missing)`}`, ({ target, machine }) => {
  const binary = join(root, `prebuilds/${target.replace("-musl", "")}/napier.musl.node`);

  test(
    "the binary needs the C library alone",
    () => {
      run("npm", ["run", "binaries", "--", target]);
      expect(run("readelf", ["-h", binary])).toMatch(machine);
      const needed = [...run("readelf", ["-d", binary]).matchAll(/NEEDED.*\[(.+)\]/g)].map((m) => m[1]!);
      expect(needed).toEqual(["libc.so"]);
    },
    30 * 60_000,
  );

  test("what it looks for is Node's or C's, and it exports what Node looks for alone", () => {
    const node = nodeFunctions();
    const wanted = symbols(binary, "undefined");
    expect(wanted.filter((name) => /^(napi|node_api)_/.test(name) && !node.includes(name))).toEqual([]);
    // C++ would be mangled; what is left are names of C, among them no glibc versions and no checked forms.
    expect(wanted.filter((name) => /^_Z|^_Unwind|@|_chk$|^gnu_get_libc/.test(name))).toEqual([]);
    expect(
      symbols(binary, "defined")
        .filter((name) => !/^_(init|fini)$/.test(name))
        .sort(),
    ).toEqual(["napi_register_module_v1", "node_api_module_get_api_version_v1"]);
  });
});

describe.skipIf(missing !== "").each(["darwin-arm64", "darwin-x64", "win32-x64"])(
  `%s${missing && ` (skipped: ${missing} is missing)`}`,
  (target) => {
    test(
      "native/ compiles and links",
      () => {
        expect(run(process.execPath, ["scripts/zig.mjs", target, "-O1"])).toContain(`build/zig-${target}/napier.node`);
      },
      30 * 60_000,
    );
  },
);
