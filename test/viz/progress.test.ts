/** @file The progress line: its text at any width, when it is drawn, and that the terminal always comes back. */
import { spawn } from "node:child_process";
import { describe, expect, test } from "vitest";
import { Progress, type ProgressState, progressLine } from "#lib/viz/progress.js";

const state: ProgressState = {
  label: "epoch 2/5",
  done: 319,
  total: 469,
  elapsed: 12.4,
  rate: 5210.4,
  unit: "img",
  eta: 6.6,
  fields: { loss: 0.0841, accuracy: 0.97421 },
};

describe("progressLine", () => {
  test("a wide terminal shows everything", () => {
    expect(progressLine(state, { width: 120 })).toBe(
      `epoch 2/5  ${"━".repeat(20)}${"─".repeat(10)}   68%  319/469  loss 0.08410  accuracy 97.4%  5210 img/s  0:07 left`,
    );
  });

  test("a narrow one drops the rate, the bar, the time, then fields", () => {
    const bar = (full: number, rest: number) => "━".repeat(full) + "─".repeat(rest);
    const fields = "loss 0.08410  accuracy 97.4%";
    expect(progressLine(state, { width: 79 })).toBe(`epoch 2/5  ${bar(8, 4)}   68%  319/469  ${fields}  0:07 left`);
    expect(progressLine(state, { width: 72 })).toBe(`epoch 2/5   68%  319/469  ${fields}  0:07 left`);
    expect(progressLine(state, { width: 60 })).toBe(`epoch 2/5   68%  319/469  ${fields}`);
    expect(progressLine(state, { width: 42 })).toBe("epoch 2/5   68%  319/469  loss 0.08410");
    expect(progressLine(state, { width: 10 })).toBe("epoch 2/5 ");
  });

  test("never wider than asked", () => {
    for (let width = 0; width < 140; width++) expect(progressLine(state, { width }).length).toBeLessThanOrEqual(width);
  });

  test("colours do not count as width, and are absent unless asked for", () => {
    expect(progressLine(state)).not.toContain("\x1b");
    const colored = progressLine(state, { width: 120, color: true });
    expect(colored).toContain("\x1b[36m━");
    expect(colored.replace(/\p{Cc}\[\d+m/gu, "")).toBe(progressLine(state, { width: 120 }));
  });

  test("no total: no bar; the end: the time that it took", () => {
    expect(progressLine({ label: "eval", done: 7, elapsed: 3661 })).toBe("eval  7  1:01:01");
    expect(progressLine({ done: 5, total: 5, elapsed: 65.2 }, { bar: false })).toBe("100%  5/5  1:05");
    expect(progressLine({ done: 4699, total: 4700, elapsed: 1 }, { bar: false })).toBe(" 99%  4699/4700");
  });

  test("numbers of any size, NaN and Infinity, and text with control characters", () => {
    const fields = {
      a: Number.NaN,
      b: Number.POSITIVE_INFINITY,
      c: 1.23e-7,
      d: 0,
      lr: 0.001,
      e: 123456.7,
      f: "\x1b[2Jx",
    };
    expect(progressLine({ done: 1, elapsed: 0, fields }, { width: 200 })).toBe(
      "1  a NaN  b Infinity  c 1.23e-7  d 0  lr 0.001000  e 123457  f  [2Jx  0:00",
    );
    expect(progressLine({ done: 1, total: 0, elapsed: Number.NaN, rate: 1 / 0, eta: 1 / 0 })).toBe("1");
  });
});

function fake(isTTY: boolean, env: Record<string, string> = {}) {
  const written: string[] = [];
  const clock = { ms: 0 };
  const stream = { isTTY, columns: 60, write: (text: string) => void written.push(text) };
  return { written, clock, progress: new Progress({ stream, env, now: () => clock.ms }) };
}

describe("Progress on a terminal", () => {
  test("draws at most 10 times a second, fits the width, and restores the cursor", () => {
    const { written, clock, progress } = fake(true);
    const before = process.listenerCount("SIGINT");
    progress.start("epoch 1/2", 1000);
    for (let step = 1; step <= 1000; step++) {
      clock.ms += 2;
      progress.update(step, { items: 32, fields: { loss: 1 / step } });
    }
    progress.finish({ accuracy: 0.5 });
    progress.close();
    progress.close();
    const all = written.join("");
    expect(written[0]).toBe("\x1b[?25l");
    expect(written.at(-1)).toBe("\x1b[?25h");
    expect(written.filter((text) => text.startsWith("\r")).length).toBeLessThanOrEqual(23);
    for (const text of written) expect(text.replace(/\p{Cc}\[[?\d]*[A-Za-z]|[\r\n]/gu, "").length).toBeLessThan(60);
    expect(all).toContain("accuracy 50.0%");
    expect(all.split("\n").length).toBe(2);
    expect(process.listenerCount("SIGINT")).toBe(before);
  });

  test("NO_COLOR removes colours, TERM=dumb makes plain lines", () => {
    const colored = fake(true);
    colored.progress.start("a", 10);
    colored.progress.close();
    expect(colored.written.join("")).toContain("\x1b[2m");
    const plain = fake(true, { NO_COLOR: "1" });
    plain.progress.start("a", 10);
    plain.progress.close();
    expect(plain.written.join("")).not.toMatch(/\p{Cc}\[\d+m/u);
    const dumb = fake(true, { TERM: "dumb" });
    dumb.progress.start("a", 10);
    dumb.progress.close();
    expect(dumb.written.join("")).toBe("");
  });

  test("log writes above the line", () => {
    const { written, progress } = fake(true);
    progress.start("a", 10);
    progress.log("saved");
    progress.close();
    expect(written.join("")).toMatch(/\r\p{Cc}\[Ksaved\n\ra {2}/u);
  });
});

describe("Progress elsewhere", () => {
  test("a line every 10 seconds and one at the end, without escapes, carriage returns or a bar", () => {
    const { written, clock, progress } = fake(false);
    progress.start("epoch 1/1", 100);
    for (let step = 1; step <= 100; step++) {
      clock.ms += 250;
      progress.update(step, { items: 10, fields: { loss: 0.5 } });
    }
    progress.finish({ accuracy: 0.987 });
    progress.close();
    expect(written).toEqual([
      "epoch 1/1   40%   40/100  loss 0.5000  40.00 img/s  0:15 left\n",
      "epoch 1/1   80%   80/100  loss 0.5000  40.00 img/s  0:05 left\n",
      "epoch 1/1  100%  100/100  loss 0.5000  accuracy 98.7%  40.00 img/s  0:25\n",
    ]);
  });

  test("update without start says what to do", () => {
    expect(() => fake(false).progress.update(1)).toThrow(/Call start\(label, total\) first/);
  });
});

// A child whose stderr claims to be a terminal; it must show the cursor again however it ends.
const CHILD = `
  import { Progress } from ${JSON.stringify(new URL("../../dist/viz/progress.js", import.meta.url).href)};
  const stream = { isTTY: true, columns: 80, write: (text) => process.stdout.write(text) };
  const progress = new Progress({ stream, env: {} });
  progress.start("epoch 1/1", 10);
  progress.update(3);
`;
test.each([
  ["an uncaught exception", "throw new Error('x');", 1, null],
  ["an unhandled rejection", "await Promise.reject(new Error('x'));", 1, null],
  ["process.exit", "process.exit(3);", 3, null],
  ["SIGINT", "process.kill(process.pid, 'SIGINT'); await new Promise((r) => setTimeout(r, 5000));", null, "SIGINT"],
  ["SIGTERM", "process.kill(process.pid, 'SIGTERM'); await new Promise((r) => setTimeout(r, 5000));", null, "SIGTERM"],
  [
    "SIGINT with a listener that saves and closes",
    "process.once('SIGINT', () => { progress.close(); process.exitCode = 130; }); process.kill(process.pid, 'SIGINT'); await new Promise((r) => setTimeout(r, 200));",
    130,
    null,
  ],
  ["the end without close", "", 0, null],
])("the cursor is shown again after %s", async (_, code, exitCode, signal) => {
  const child = spawn(process.execPath, ["--input-type=module", "-e", CHILD + code], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  let out = "";
  child.stdout.on("data", (text) => (out += text));
  const [gotCode, gotSignal] = await new Promise<unknown[]>((resolve) => child.on("close", (...args) => resolve(args)));
  expect([gotCode, gotSignal]).toEqual([exitCode, signal]);
  expect(out.lastIndexOf("\x1b[?25h")).toBeGreaterThan(out.lastIndexOf("\x1b[?25l"));
  expect(out.endsWith("\n\x1b[?25h")).toBe(true);
});
