/**
 * The linux-arm64 binary: cross-built, for the right machine, needing the C library alone. The kernels behind it run under
 * qemu in test:native (neon); with NAPIER_ARM64_NODE, a Node for arm64, the binary itself trains under qemu.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, test } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
const tools = "aarch64-linux-gnu";
const compiler = spawnSync(`${tools}-g++`, ["--version"]).status === 0;
const qemu = ["qemu-aarch64-static", "qemu-aarch64"].find((name) => spawnSync(name, ["--version"]).status === 0);
const node = process.env.NAPIER_ARM64_NODE;
const binary = join(root, "prebuilds/linux-arm64/napier.glibc.node");

describe.skipIf(!compiler)(`linux-arm64${compiler ? "" : ` (skipped: ${tools}-g++ is missing)`}`, () => {
  beforeAll(() => {
    execFileSync("npm", ["run", "binaries", "--", "linux-arm64"], { cwd: root, stdio: "pipe", maxBuffer: 2 ** 28 });
  }, 20 * 60_000);

  test("the binary is for arm64 and needs the C library alone", () => {
    const header = execFileSync(`${tools}-readelf`, ["-h", binary], { encoding: "utf8" });
    expect(header).toMatch(/Machine:\s+AArch64/);
    const dynamic = execFileSync(`${tools}-readelf`, ["-d", binary], { encoding: "utf8" });
    const needed = [...dynamic.matchAll(/NEEDED.*\[(.+)\]/g)].map((m) => m[1]!);
    expect(needed).not.toEqual([]);
    expect(needed.filter((name) => !/^(libc|libm|ld-linux-aarch64)\.so/.test(name))).toEqual([]);
  });

  test("it exports what Node looks for, and nothing of its own", () => {
    const symbols = execFileSync(`${tools}-nm`, ["-D", "--defined-only", binary], { encoding: "utf8" });
    const names = symbols
      .trim()
      .split("\n")
      .map((line) => line.split(" ").at(-1)!.replace(/@.*/, ""));
    expect(names).toContain("napi_register_module_v1");
    expect(names.filter((name) => name.startsWith("_ZN6napier"))).toEqual([]);
  });

  const lacks = !qemu ? "qemu-aarch64" : !node ? "NAPIER_ARM64_NODE, a Node for arm64," : "";
  test.skipIf(lacks)(
    `it trains under qemu${lacks && ` (skipped: ${lacks} is missing)`}`,
    () => {
      const folder = mkdtempSync(join(tmpdir(), "napier-arm64-"));
      try {
        const file = join(folder, "train.mjs");
        writeFileSync(
          file,
          `import { manualSeed, nn, optim, randn } from ${JSON.stringify(join(root, "dist/index.js"))};
          manualSeed(231);
          const x = randn([64, 8]);
          const labels = x.sum(1).greater(0).to("int32");
          const net = new nn.Sequential(new nn.Linear(8, 16), new nn.ReLU(), new nn.Linear(16, 2));
          const optimizer = new optim.SGD(net.parameters(), { lr: 0.5, momentum: 0.9 });
          for (let i = 0; i < 100; i++) {
            optimizer.zeroGrad();
            nn.crossEntropy(net.forward(x), labels).backward();
            optimizer.step();
          }
          const accuracy = net.forward(x).argmax(1).equal(labels).to("float32").mean().itemSync();
          console.log(JSON.stringify({ arch: process.arch, accuracy }));`,
        );
        const out = execFileSync(qemu!, ["-L", `/usr/${tools}`, node!, file], {
          encoding: "utf8",
          env: { ...process.env, NAPIER_BINARY: binary },
        });
        const { arch, accuracy } = JSON.parse(out);
        expect(arch).toBe("arm64");
        expect(accuracy).toBeGreaterThan(0.95);
      } finally {
        rmSync(folder, { recursive: true });
      }
    },
    10 * 60_000,
  );
});
