/**
 * `napier doctor`: what napier runs on here, and whether it computes; the first thing to put into a bug report.
 */
import { createRequire } from "node:module";
import { availableParallelism, cpus, freemem, totalmem } from "node:os";
import { isCheckout, packageRoot, version } from "./package.js";
import { describeOptions, readOptions } from "./usage.js";

const OPTIONS = {
  json: { help: "one JSON object instead of lines" },
} as const;

export const help = `napier doctor: versions, CPU features, the instruction set in use, threads, GPU

${describeOptions(OPTIONS)}`;

export async function run(args: string[]): Promise<number> {
  const { json = false } = readOptions("doctor", OPTIONS, args);
  const report = await examine();
  if (json) {
    console.log(JSON.stringify(report));
  } else {
    const width = Math.max(...Object.keys(report).map((key) => key.length));
    for (const [key, value] of Object.entries(report)) {
      const text = Array.isArray(value) ? value.join(" ") : String(value);
      console.log(`${key.padEnd(width)}  ${text.replaceAll("\n", `\n${" ".repeat(width + 2)}`)}`);
    }
  }
  return report.problem === undefined ? 0 : 1;
}

type Report = Record<string, string | number | string[]> & { problem?: string };

async function examine(): Promise<Report> {
  const gib = (bytes: number) => `${(bytes / 2 ** 30).toFixed(1)} GiB`;
  const report: Report = {
    napier: `${version} (${isCheckout ? "checkout" : "package"} in ${packageRoot.replace(/\/$/, "")})`,
    node: `${process.version}, Node-API ${process.versions.napi}`,
    platform: `${process.platform}-${process.arch}`,
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    cores: availableParallelism(),
    memory: `${gib(totalmem())}, ${gib(freemem())} free`,
  };
  try {
    const { addon } = await import("../native.js");
    report.binary =
      Object.keys(createRequire(import.meta.url).cache).find((path) => path.endsWith(".node")) ?? "built in";
    report["cpu features"] = addon.features();
    report["instruction set"] = `${addon.isa()} (this CPU runs ${addon.isas().join(", ")}${setting("NAPIER_ISA")})`;
    report.threads = `${addon.threads()}${setting("NAPIER_THREADS")}`;
    const check = await selfCheck();
    report["self-check"] = check;
    const { devices } = await import("../devices.js");
    const { available, detail } = devices().find(({ name }) => name === "cuda")!;
    report.gpu = available ? detail : `not used: ${detail}`;
    if (check !== "passed") report.problem = "this build computes wrong results here";
  } catch (error) {
    report.problem = (error as Error).message;
  }
  return report;
}

const setting = (name: string): string => (process.env[name] ? `; ${name}=${process.env[name]}` : "");

/** A matrix product with a known result, large enough for packed panels and odd edges. */
async function selfCheck(): Promise<string> {
  const { arange } = await import("../index.js");
  const n = 70;
  const a = arange(n * n)
    .to("float32")
    .reshape([n, n]);
  const product = await a.matmul(a.t()).data();
  for (let i = 0; i < n; i += 23) {
    for (let j = 0; j < n; j += 13) {
      let sum = 0;
      for (let m = 0; m < n; m++) sum = Math.fround(sum + (i * n + m) * (j * n + m));
      const got = product[i * n + j]!;
      if (Math.abs(got - sum) > 1e-5 * Math.abs(sum)) return `matmul gave ${got} for ${sum}`;
    }
  }
  return "passed";
}

/** Whether there is a GPU, and why it is not used. */
