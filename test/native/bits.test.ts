/**
 * Same bits: the weights after training are equal for any number of threads, and queued or in place.
 */
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";

const program = fileURLToPath(new URL("../programs/train.mjs", import.meta.url));
const weights = (env: Record<string, string>): string =>
  execFileSync(process.execPath, [program], { env: { ...process.env, ...env }, encoding: "utf8" }).trim();

it("trains to the same bits with 1, 2 and 4 threads and with NAPIER_SYNC=1", () => {
  const one = weights({ NAPIER_THREADS: "1" });
  expect(one).toMatch(/^[0-9a-f]{64}$/);
  expect(weights({ NAPIER_THREADS: "2" })).toBe(one);
  expect(weights({ NAPIER_THREADS: "4" })).toBe(one);
  expect(weights({ NAPIER_SYNC: "1", NAPIER_THREADS: "2" })).toBe(one);
}, 240_000);

it("writes past the caches with the same bits as through them", () => {
  const around = fileURLToPath(new URL("../programs/around.mjs", import.meta.url));
  const results = (env: Record<string, string>): string =>
    execFileSync(process.execPath, [around], { env: { ...process.env, ...env }, encoding: "utf8" }).trim();
  const through = results({});
  expect(through).toMatch(/^[0-9a-f]{64}$/);
  expect(results({ NAPIER_STREAM_BYTES: "64" })).toBe(through);
}, 60_000);
