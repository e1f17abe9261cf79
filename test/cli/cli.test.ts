import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";

const CLI = fileURLToPath(new URL("../../dist/cli.js", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "napier-cli-"));
afterAll(() => rmSync(folder, { recursive: true }));

function napier(...args: string[]): { code: number | null; out: string; err: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [CLI, ...args], { cwd: folder, encoding: "utf8" });
  return { code: status, out: stdout, err: stderr };
}

describe("usage", () => {
  test("help lists the commands, and each command its options", () => {
    const { code, out } = napier("--help");
    expect(code).toBe(0);
    for (const name of ["train", "eval", "quickstart", "doctor", "build"]) {
      expect(out).toContain(`\n  ${name} `);
      const own = napier(name, "--help");
      expect(own.code).toBe(0);
      expect(own.out).toContain(`napier ${name}: `);
    }
    const { out: train } = napier("train", "--help");
    for (const option of [
      "dataset",
      "data",
      "model",
      "epochs",
      "batch",
      "lr",
      "seed",
      "out",
      "find-lr",
      "tensorboard",
      "csv",
      "resume",
      "threads",
      "profile",
      "capture",
      "no-capture",
      "detect-anomaly",
      "json",
    ])
      expect(train).toContain(`--${option} `);
    expect(napier("--version").out).toMatch(/^\d+\.\d+\.\d+\n$/);
  });

  const wrong: [string[], string][] = [
    [["fly"], 'there is no command "fly"'],
    [["train", "--colour"], "there is no option --colour"],
    [["train", "glyphs"], 'unexpected argument "glyphs"'],
    [
      ["train", "--dataset", "imagenet"],
      'expected --dataset to be one of glyphs, mnist, fashion-mnist, cifar10, cifar100, got "imagenet"',
    ],
    [["train", "--model", "resnet"], "expected --model to be one of"],
    [["train", "--epochs", "0"], 'expected --epochs to be a whole number from 1 up, got "0"'],
    [["train", "--epochs", "two"], 'got "two"'],
    [["train", "--batch", "1.5"], 'expected --batch to be a whole number from 1 up, got "1.5"'],
    [["train", "--lr", "-1"], "--lr"],
    [["train", "--lr=-1"], 'expected --lr to be a number above 0, got "-1"'],
    [["train", "--threads", "none"], "expected --threads to be a whole number"],
    [["train", "--epochs"], "--epochs"],
    [["train", "--dataset", "mnist"], "needs --data DIR"],
    [["train", "--dataset", "cifar100"], "or --download, which fetches them"],
    [["train", "--download"], "--dataset glyphs is drawn here and takes no --download"],
    [["train", "--data", "."], "--dataset glyphs is drawn here and takes no --data"],
    [["eval"], "expected --model FILE"],
    [["doctor", "--verbose"], "there is no option --verbose"],
  ];
  test.each(wrong)("%j is a sentence and exit code 2", (args, sentence) => {
    const { code, out, err } = napier(...args);
    expect(err).toContain(sentence);
    expect(err.trim().split("\n")).toHaveLength(1);
    expect({ code, out }).toEqual({ code: 2, out: "" });
  });

  test("a missing data directory: what was looked for, and where to get it", () => {
    const { code, err } = napier("train", "--dataset", "fashion-mnist", "--data", "nowhere");
    expect(code).toBe(1);
    expect(err).toContain("train-images-idx3-ubyte in nowhere");
    expect(err).toContain("https://github.com/zalandoresearch/fashion-mnist");
    const cifar = napier("train", "--dataset", "cifar10", "--data", ".");
    expect(cifar.code).toBe(1);
    expect(cifar.err).toContain("data_batch_1.bin");
    expect(cifar.err).toContain("https://www.cs.toronto.edu/~kriz/cifar");
  });

  test("a model file that is none", () => {
    expect(napier("eval", "--model", "nothing.safetensors")).toMatchObject({
      code: 1,
      err: expect.stringContaining("cannot read nothing.safetensors"),
    });
  });
});

describe("doctor", () => {
  test("says what napier runs on", () => {
    const { code, out } = napier("doctor");
    expect(code).toBe(0);
    for (const line of [
      /^napier +\d/m,
      /^node +v\d+/m,
      /^cpu features +\w/m,
      /^instruction set +(scalar|avx2|avx512|neon) \(this CPU runs scalar/m,
      /^threads +\d/m,
      /^gpu +(none|not used): ./m,
      /^self-check +passed$/m,
    ]) {
      expect(out).toMatch(line);
    }
    expect(JSON.parse(napier("doctor", "--json").out)).toMatchObject({ "self-check": "passed" });
  });

  test("works where the addon does not, and says why", () => {
    const { status, stdout } = spawnSync(process.execPath, [CLI, "doctor"], {
      encoding: "utf8",
      env: { ...process.env, NAPIER_BINARY: "nothing.node" },
    });
    expect(status).toBe(1);
    expect(stdout).toMatch(/^node +v/m);
    expect(stdout).toContain("no usable native binary");
  });
});

describe("train", () => {
  const keys = ["testAccuracy", "seconds", "imagesPerSecond", "eventLoopDelayP99Ms", "peakRssBytes", "out"];

  test("writes model, metrics and report; --json ends with one object; eval agrees; --resume goes on", () => {
    const args = [
      "train",
      "--dataset",
      "glyphs",
      "--model",
      "mlp",
      "--batch",
      "250",
      "--seed",
      "1",
      "--threads",
      "2",
      "--out",
      "run",
      "--csv",
      "run/log.csv",
      "--tensorboard",
      "run/board",
      "--json",
    ];
    const first = napier(...args, "--epochs", "1");
    expect(first.err).not.toContain("Error");
    expect(first.code).toBe(0);
    const summary = JSON.parse(first.out.trim().split("\n").at(-1)!);
    expect(Object.keys(summary)).toEqual(keys);
    for (const key of keys.slice(0, 5)) expect(summary[key]).toBeGreaterThan(0);
    expect(summary.out).toMatch(/run$/);
    const run = (name: string) => join(folder, "run", name);
    const lines = readFileSync(run("metrics.jsonl"), "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(lines.map((e) => e.type)).toEqual([...Array(8).fill("step"), "epoch", "validation"]);
    const html = readFileSync(run("report.html"), "utf8");
    for (const section of ["<svg", "data:image/png;base64,", "mlp on glyphs"]) expect(html).toContain(section);
    expect(html).not.toMatch(/<script|src="http|href="http/);
    expect(html).toContain("<h2>Diagnosis</h2>");
    expect(readFileSync(run("log.csv"), "utf8").trim().split("\n")).toHaveLength(1 + lines.length);
    expect(readdirSync(run("board")).filter((name) => name.includes("tfevents"))).toHaveLength(1);

    const evaluated = napier("eval", "--model", "run/model.safetensors", "--json");
    expect(evaluated.code).toBe(0);
    expect(JSON.parse(evaluated.out)).toMatchObject({
      testAccuracy: summary.testAccuracy,
      samples: 4000,
      dataset: "glyphs",
      model: "mlp",
    });
    expect(napier("eval", "--model", "run/model.safetensors").out).toContain("weighted avg");

    expect(existsSync(run("last.safetensors"))).toBe(true);
    const more = napier(...args, "--epochs", "2", "--resume", "--profile", "trace.json", "--detect-anomaly");
    expect(more.err).not.toContain("Error");
    expect(more.code).toBe(0);
    const { traceEvents } = JSON.parse(readFileSync(join(folder, "trace.json"), "utf8"));
    const steps = traceEvents.filter((e: { name: string; cat: string }) => e.name === "AdamW.step");
    expect(steps.length).toBeGreaterThanOrEqual(50);
    const logged = readFileSync(run("metrics.jsonl"), "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line).step);
    expect(logged.at(-1)).toBe(160);
    expect(JSON.parse(more.out.trim().split("\n").at(-1)!).testAccuracy).toBeGreaterThan(0.8);
  }, 240_000);

  test("--capture replays recorded steps to the same model, --no-capture runs them all", () => {
    const accuracy = (option: string) => {
      const args = [
        "train",
        "--model",
        "mlp",
        "--batch",
        "100",
        "--epochs",
        "1",
        "--out",
        option,
        "--json",
        `--${option}`,
      ];
      const { code, out } = napier(...args);
      expect(code).toBe(0);
      return JSON.parse(out).testAccuracy as number;
    };
    expect(accuracy("capture")).toBe(accuracy("no-capture"));
    const both = napier("train", "--capture", "--no-capture");
    expect(both.code).toBe(2);
    expect(both.err).toContain("expected --capture or --no-capture, got both");
  }, 120_000);

  test("--find-lr suggests a rate and draws the curve", () => {
    const { code, out } = napier("train", "--model", "mlp", "--find-lr", "--out", "rates", "--json");
    expect(code).toBe(0);
    const { suggestion, rates, losses } = JSON.parse(out);
    expect(suggestion).toBeGreaterThan(1e-5);
    expect(suggestion).toBeLessThan(0.5);
    expect(losses).toHaveLength(rates.length);
    expect(readFileSync(join(folder, "rates/learning-rate.png")).subarray(1, 4).toString()).toBe("PNG");
    expect(existsSync(join(folder, "rates/model.safetensors"))).toBe(false);
  }, 120_000);

  test("Ctrl+C leaves a checkpoint and exit code 130; --resume finishes", async () => {
    const args = ["train", "--model", "mlp", "--batch", "50", "--epochs", "3", "--out", "stopped", "--json"];
    const child = spawn(process.execPath, [CLI, ...args], { cwd: folder });
    let err = "";
    child.stderr.on("data", (text) => (err += text));
    const metrics = join(folder, "stopped", "metrics.jsonl");
    while (child.exitCode === null && (!existsSync(metrics) || statSync(metrics).size === 0))
      await new Promise((resolve) => setTimeout(resolve, 10));
    child.kill("SIGINT");
    const code = await new Promise((resolve) => child.on("close", resolve));
    expect(err).toMatch(/interrupted at step \d+; go on with --resume/);
    expect(code).toBe(130);
    const { code: second, out } = napier(...args, "--resume");
    expect(second).toBe(0);
    expect(JSON.parse(out).testAccuracy).toBeGreaterThan(0.8);
  }, 120_000);
});
