/**
 * The npm package as a user gets it: packed, installed offline without scripts in an empty directory, with no compiler in
 * reach, it trains and predicts from `import` and from `require`.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
const target = `${process.platform}-${process.arch}`;
const folder = mkdtempSync(join(tmpdir(), "napier-package-"));
const project = join(folder, "project");
const objdump = spawnSync("objdump", ["--version"]).status === 0;
let files: string[] = [];

const which = (name: string) =>
  realpathSync(execFileSync("sh", ["-c", `command -v ${name}`], { encoding: "utf8" }).trim());

/** Node and a shell alone, an empty home, no network. */
function bareEnvironment(): Record<string, string> {
  const bin = join(folder, "bin");
  const home = join(folder, "home");
  mkdirSync(bin);
  mkdirSync(home);
  symlinkSync(process.execPath, join(bin, "node"));
  for (const name of ["sh", "env"]) symlinkSync(which(name), join(bin, name));
  return { PATH: bin, HOME: home, npm_config_cache: join(home, "cache"), npm_config_update_notifier: "false" };
}
let bare: Record<string, string> = {};

beforeAll(() => {
  execFileSync("npm", ["run", "binaries"], { cwd: root, stdio: "pipe", maxBuffer: 2 ** 28 });
  const out = execFileSync("npm", ["pack", "--json", "--pack-destination", folder], {
    cwd: root,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
    maxBuffer: 2 ** 28,
  });
  const [packed] = JSON.parse(out.slice(out.lastIndexOf("\n[\n") + 1)) as {
    filename: string;
    files: { path: string }[];
  }[];
  files = packed!.files.map((file) => file.path);
  bare = bareEnvironment();
  mkdirSync(project);
  writeFileSync(join(project, "package.json"), JSON.stringify({ name: "user", version: "1.0.0", private: true }));
  const npm = which("npm");
  execFileSync(
    process.execPath,
    [npm, "install", "--ignore-scripts", "--offline", "--no-audit", "--no-fund", join(folder, packed!.filename)],
    { cwd: project, env: bare, stdio: "pipe" },
  );
}, 20 * 60_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("the tarball holds dist, binaries and native sources, and nothing that builds on install", () => {
  expect(files).toContain("dist/index.js");
  expect(files).toContain("dist/index.d.ts");
  expect(files).toContain("native/binding.gyp");
  expect(files).toContain("native/ops.def");
  expect(files).toContain("LICENSE");
  expect(files.filter((file) => file.startsWith(`prebuilds/${target}/`) && file.endsWith(".node"))).not.toEqual([]);
  expect(files).not.toContain("binding.gyp");
  expect(files.filter((file) => /^(lib|test|bench|build|examples|node_modules)\//.test(file))).toEqual([]);
  const installed = JSON.parse(
    execFileSync(
      process.execPath,
      ["-p", `JSON.stringify(require(${JSON.stringify(join(project, "node_modules/napier/package.json"))}))`],
      { encoding: "utf8" },
    ),
  );
  expect(installed.gypfile).toBe(false);
  for (const script of ["install", "preinstall", "postinstall"]) expect(installed.scripts).not.toHaveProperty(script);
});

test("no compiler is in reach", () => {
  for (const name of ["g++", "cc", "make", "python3"])
    expect(spawnSync(name, ["--version"], { env: bare }).error).toBeDefined();
});

const TRAINS = `
  manualSeed(231);
  const x = normal([64, 8]);
  const labels = x.sum(1).greater(0).to("int32");
  const net = new nn.Sequential(new nn.Linear(8, 16), new nn.ReLU(), new nn.Linear(16, 2));
  const optimizer = new optim.SGD(net.parameters(), { lr: 0.5, momentum: 0.9 });
  const first = nn.crossEntropy(net.forward(x), labels).itemSync();
  for (let i = 0; i < 100; i++) {
    optimizer.zeroGrad();
    nn.crossEntropy(net.forward(x), labels).backward();
    optimizer.step();
  }
  net.forward(x).argmax(1).equal(labels).to("float32").mean().item().then((accuracy) => {
    const binary = process.report.getReport().sharedObjects.filter((file) => file.endsWith(".node"));
    console.log(JSON.stringify({ first, accuracy, binary }));
  });`;

test.each([
  { how: "import", file: "train.mjs", head: 'import { manualSeed, nn, normal, optim } from "napier";' },
  { how: "require", file: "train.cjs", head: 'const { manualSeed, nn, normal, optim } = require("napier");' },
])("the installed package trains and predicts from $how", ({ file, head }) => {
  writeFileSync(join(project, file), head + TRAINS);
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, [file], {
    cwd: project,
    env: bare,
    encoding: "utf8",
  });
  expect({
    status,
    signal,
    stderr: stderr.replace(/.*ExperimentalWarning: CommonJS.*\n.*\n/, "").replace(/.*ExperimentalWarning.*\n.*\n/, ""),
  }).toEqual({ status: 0, signal: null, stderr: "" });
  const { first, accuracy, binary } = JSON.parse(stdout);
  expect(first).toBeGreaterThan(0.4);
  expect(accuracy).toBeGreaterThan(0.95);
  expect(binary).toHaveLength(1);
  expect(binary[0]).toContain(`napier/prebuilds/${target}/`);
});

test.skipIf(!objdump || process.platform !== "linux")(
  `the binary needs the C library alone${objdump ? "" : " (skipped: objdump is missing)"}`,
  () => {
    const [binary] = readdirSync(join(project, "node_modules/napier/prebuilds", target));
    const out = execFileSync("objdump", ["-p", join(project, "node_modules/napier/prebuilds", target, binary!)], {
      encoding: "utf8",
    });
    const needed = [...out.matchAll(/NEEDED\s+(\S+)/g)].map((m) => m[1]!);
    expect(
      needed.filter((name) => !/^(libc|libm|libpthread|libdl|ld-linux[-\w]*)\.(musl-\w+\.)?so/.test(name)),
    ).toEqual([]);
    expect(needed).not.toEqual([]);
  },
);
