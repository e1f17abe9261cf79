// npm run test:native -- [plain] [asan] [ubsan] [tsan] [neon] [musl] [fuzz] [--record FILE]
//
// Builds test/native/driver.cc over native/ (all but native/node/) in each mode, and runs it on the record of kernel calls
// that the case tables make (build/kernels.record; made here where it is missing, by the tests of test/ops). musl: against
// musl and libc++, linked statically, by zig. fuzz: hostile calls of an addon built with AddressSanitizer. A mode whose tool is missing is skipped with its name. Ends with "N passed,
// N failed".
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { zigCompiler } from "./zig.mjs";

const MODES = ["plain", "asan", "ubsan", "tsan", "neon", "musl", "fuzz"];
const args = process.argv.slice(2);
const at = args.indexOf("--record");
const record = at >= 0 ? args.splice(at, 2)[1] : "build/kernels.record";
const unknown = args.filter((mode) => !MODES.includes(mode));
if (unknown.length > 0) {
  console.error(`test:native: expected modes among ${MODES.join(", ")}, got ${unknown.join(", ")}`);
  process.exit(2);
}
const modes = args.length > 0 ? args : ["plain"];
const cxx = process.env.CXX ?? "g++";
const muslCxx = zigCompiler(`linux-${process.arch}-musl`);
const jobs = `-j${availableParallelism()}`;

const works = (command, ...rest) => spawnSync(command, rest, { stdio: "ignore", shell: false }).status === 0;
function sanitizes(flag) {
  const file = join(tmpdir(), `napier-sanitizer-${process.pid}`);
  const [command, ...first] = cxx.split(" ");
  const made = spawnSync(command, [...first, `-fsanitize=${flag}`, "-x", "c++", "-", "-o", file], {
    input: "int main() {}",
    stdio: ["pipe", "ignore", "ignore"],
  });
  const runs = made.status === 0 && works(file);
  rmSync(file, { force: true });
  return runs;
}
/** What a mode lacks, or null. */
function lacks(mode) {
  if (mode === "asan" || mode === "fuzz") return sanitizes("address") ? null : "AddressSanitizer";
  if (mode === "ubsan") return sanitizes("undefined") ? null : "UndefinedBehaviorSanitizer";
  if (mode === "tsan") return sanitizes("thread") ? null : "ThreadSanitizer";
  if (mode === "musl") return muslCxx ? null : "zig";
  if (mode !== "neon") return null;
  if (!works("aarch64-linux-gnu-g++", "--version")) return "aarch64-linux-gnu-g++";
  return qemu() ? null : "qemu-aarch64";
}
const qemu = () => ["qemu-aarch64-static", "qemu-aarch64"].find((name) => works(name, "--version"));

/** The variants of a mode: under sanitizers only those that this CPU runs; a stub stands in for the others. */
function variants(mode) {
  if (mode === "neon" || process.arch === "arm64") return { built: "scalar neon", missing: "" };
  if (mode === "plain" || mode === "musl") return { built: "scalar avx2 avx512", missing: "" };
  const flags = existsSync("/proc/cpuinfo") ? readFileSync("/proc/cpuinfo", "utf8") : "";
  const runs = (...features) => features.every((f) => new RegExp(`\\b${f}\\b`).test(flags));
  const avx2 = runs("avx2", "fma");
  const avx512 = avx2 && runs("avx512f", "avx512dq", "avx512bw", "avx512vl");
  const split = [
    ["avx2", avx2],
    ["avx512", avx512],
  ];
  const names = (wanted) => split.filter(([, has]) => has === wanted).map(([name]) => name);
  return { built: ["scalar", ...names(true)].join(" "), missing: names(false).join(" ") };
}

const LONGEST = 15 * 60_000; // ms; a mode that hangs is a failure, not the end of everything after it

function run(command, rest, env = {}) {
  const { status } = spawnSync(command, rest, { stdio: "inherit", timeout: LONGEST, env: { ...process.env, ...env } });
  return status === 0;
}

if (!existsSync(record)) {
  console.log(`recording kernel calls into ${record}`);
  mkdirSync("build", { recursive: true });
  // Which tests pass is npm test's affair; a record without calls fails below.
  spawnSync(process.execPath, ["node_modules/vitest/vitest.mjs", "run", "test/ops", "--reporter=dot"], {
    stdio: "inherit",
    env: { ...process.env, NAPIER_RECORD: resolve(record) },
  });
}

let passed = 0;
let failed = 0;
for (const mode of modes) {
  const lacking = lacks(mode);
  if (lacking) {
    console.log(`skipped: ${mode} (${lacking} is missing)`);
    continue;
  }
  const { built, missing } = variants(mode);
  const target = mode === "fuzz" ? "addon" : "driver";
  const compiler = { neon: "aarch64-linux-gnu-g++", musl: muslCxx }[mode] ?? cxx;
  const make = [
    "-s",
    jobs,
    "-f",
    "test/native/Makefile",
    target,
    `MODE=${mode === "fuzz" ? "asan" : mode}`,
    `CXX=${compiler}`,
    `VARIANTS=${built}`,
    `MISSING=${missing}`,
  ];
  console.log(`--- ${mode}: ${built}`);
  if (!run("make", make)) {
    console.log(`FAILED ${mode}: does not build`);
    failed++;
    continue;
  }
  if (mode === "fuzz") {
    const library = spawnSync(cxx.split(" ").at(-1), ["-print-file-name=libasan.so"], {
      encoding: "utf8",
    }).stdout.trim();
    // V8 leaks by design; signals and its own stacks are its affair.
    const env = {
      LD_PRELOAD: library,
      ASAN_OPTIONS: "detect_leaks=0:allocator_may_return_null=1",
      NAPIER_BINARY: resolve("build/native-asan/napier.node"),
    };
    const good = run(process.execPath, ["test/native/hostile.mjs", "77", "20", "1000", "0"], env);
    good ? passed++ : failed++;
    if (!good) console.log("FAILED fuzz: 20,000 hostile calls under AddressSanitizer");
    continue;
  }
  const driver = [`build/native-${mode}/driver`, record];
  const command = mode === "neon" ? [qemu(), ...driver] : driver;
  const { status, signal, stdout, error } = spawnSync(command[0], command.slice(1), {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
    maxBuffer: 2 ** 28,
    timeout: LONGEST,
    killSignal: "SIGKILL",
    env: { TSAN_OPTIONS: "halt_on_error=1", UBSAN_OPTIONS: "print_stacktrace=1", ...process.env },
  });
  process.stdout.write(stdout);
  const counts = /(\d+) passed, (\d+) failed\n$/.exec(stdout);
  passed += Number(counts?.[1] ?? 0);
  failed += Number(counts?.[2] ?? 0);
  if (!counts || (status !== 0 && counts[2] === "0")) {
    failed++;
    const why =
      error?.code === "ETIMEDOUT"
        ? `was stopped after ${LONGEST / 60_000} minutes`
        : `ended with ${signal ?? `code ${status}`}`;
    console.log(`FAILED ${mode}: the driver ${why}`);
  }
}
mkdirSync("build", { recursive: true });
writeFileSync("build/native-result.txt", `${passed} passed, ${failed} failed\n`);
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed > 0 ? 1 : 0);
