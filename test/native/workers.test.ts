/**
 * Worker threads and processes that end in the middle of a step: nothing crashes, nothing stays behind. The workers run
 * workload.mjs; the addon's threads and free lists belong to the process and go on serving whoever is left.
 */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { matmul, ones } from "napier";
import { expect, test } from "vitest";
import { addon } from "#lib/native.js";

const workload = new URL("./workload.mjs", import.meta.url);

/** A worker that has taken its first steps. */
async function working(mode: string): Promise<Worker> {
  const worker = new Worker(workload, { workerData: mode });
  await new Promise<void>((resolve, reject) => {
    worker.once("message", () => resolve());
    worker.once("error", reject);
    worker.once("exit", (code) => reject(new Error(`the worker ended with code ${code}`)));
  });
  worker.removeAllListeners();
  return worker;
}

const live = () => {
  const { liveBytes, liveBuffers } = addon.memory();
  return { liveBytes, liveBuffers };
};

async function stillComputes(): Promise<void> {
  const y = matmul(ones([64, 64]), ones([64, 64]));
  expect((await y.data()).every((v) => v === 64)).toBe(true);
  y.free();
}

test.each(["train", "reads"])("eight workers (%s) terminated in mid-step leave no buffer behind", async (mode) => {
  addon.sweep(true);
  const before = live();
  for (let round = 0; round < 2; round++) {
    const workers = await Promise.all(Array.from({ length: 8 }, () => working(mode)));
    expect(live().liveBuffers).toBeGreaterThan(before.liveBuffers + 8 * 4);
    await Promise.all(workers.map((worker) => worker.terminate()));
    expect(live()).toEqual(before);
  }
  await stillComputes();
});

test("a worker that exits by itself with reads pending leaves no buffer behind", async () => {
  addon.sweep(true);
  const before = live();
  const worker = await working("exit");
  expect(await new Promise((resolve) => worker.once("exit", resolve))).toBe(7);
  expect(live()).toEqual(before);
});

test("a handle of one thread is foreign in another", async () => {
  const x = ones([4]);
  const code = `
    const { parentPort, workerData } = require("node:worker_threads");
    const addon = require(workerData.binary);
    const errors = [];
    for (const call of [() => addon.readSync(workerData.handle), () => addon.alias({}, workerData.handle), () => addon.ops.fill(workerData.handle, 7, 4)]) {
      try { call(); } catch (error) { errors.push(error.message); }
    }
    addon.free(workerData.handle);
    parentPort.postMessage(errors);`;
  const binary =
    process.env.NAPIER_BINARY ?? fileURLToPath(new URL("../../build/Release/napier.node", import.meta.url));
  const worker = new Worker(code, { eval: true, workerData: { binary, handle: x.handle } });
  const errors = await new Promise<string[]>((resolve, reject) =>
    worker.once("message", resolve).once("error", reject),
  );
  expect(errors).toHaveLength(3);
  for (const message of errors) expect(message).toContain("belongs to another thread");
  expect(Array.from(x.dataSync())).toEqual([1, 1, 1, 1]);
});

/** Runs code in a process of its own; its exit code and signal. */
function runs(args: string[]): { status: number | null; signal: string | null; stderr: string } {
  const { status, signal, stderr } = spawnSync(process.execPath, args, { encoding: "utf8", timeout: 60_000 });
  return { status, signal, stderr };
}

test("process.exit() in mid-step, with reads pending, exits with its code", () => {
  for (let i = 0; i < 3; i++)
    expect(runs([fileURLToPath(workload), "exit"])).toEqual({ status: 7, signal: null, stderr: "" });
});

test("an addon that only workers loaded stays while its threads run, and loads again", () => {
  const code = `
    const { Worker } = require("node:worker_threads");
    const workload = new URL(${JSON.stringify(workload.href)});
    const ended = async () => {
      const worker = new Worker(workload, { workerData: "train" });
      await new Promise((resolve) => worker.once("message", resolve));
      await worker.terminate();
    };
    (async () => {
      for (let i = 0; i < 3; i++) await Promise.all([ended(), ended()]);
      await new Promise((resolve) => setTimeout(resolve, 200)); // its threads spin and park
    })();`;
  expect(runs(["-e", code])).toEqual({ status: 0, signal: null, stderr: "" });
});

test("the main thread exits while workers compute", () => {
  const code = `
    const { Worker } = require("node:worker_threads");
    const workload = new URL(${JSON.stringify(workload.href)});
    let running = 0;
    for (let i = 0; i < 4; i++) new Worker(workload, { workerData: "reads" }).once("message", () => ++running === 4 && process.exit(5));`;
  expect(runs(["-e", code])).toEqual({ status: 5, signal: null, stderr: "" });
});

test("promises that are pending when the process ends by itself are kept until they settle", () => {
  const code = `
    import { ones } from ${JSON.stringify(new URL("../../dist/index.js", import.meta.url).href)};
    const y = ones([500, 500]).matmul(ones([500, 500]));
    y.data().then((values) => process.exit(values[0] === 500 ? 3 : 4));`;
  expect(runs(["--input-type=module", "-e", code])).toEqual({ status: 3, signal: null, stderr: "" });
});
