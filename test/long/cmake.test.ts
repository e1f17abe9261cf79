/** CMakeLists.txt builds the addon that binding.gyp builds: cmake configures and compiles it, and Node loads it. */
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { addon } from "#lib/native.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
const cmake = spawnSync("cmake", ["--version"]).status === 0;

test.skipIf(!cmake)(
  `cmake builds an addon with the same ops${cmake ? "" : " (skipped: cmake is missing)"}`,
  () => {
    const folder = mkdtempSync(join(tmpdir(), "napier-cmake-"));
    try {
      const { include_dir } = createRequire(import.meta.url)("node-api-headers") as { include_dir: string };
      execFileSync(
        "cmake",
        ["-S", root, "-B", folder, `-DCMAKE_JS_INC=${include_dir}`, "-DCMAKE_CXX_FLAGS_RELEASE=-O1"],
        { stdio: "pipe" },
      );
      execFileSync("cmake", ["--build", folder, "--parallel", String(availableParallelism())], {
        stdio: "pipe",
        maxBuffer: 2 ** 28,
      });
      expect(existsSync(join(folder, "compile_commands.json"))).toBe(true);
      const print = "const a = require(process.argv[1]); console.log(JSON.stringify([a.signatures(), a.isas()]))";
      const out = execFileSync(process.execPath, ["-e", print, join(folder, "napier.node")], { encoding: "utf8" });
      expect(JSON.parse(out)).toEqual([addon.signatures(), addon.isas()]);
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
  20 * 60_000,
);
