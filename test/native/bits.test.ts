/**
 * Same bits: the weights after training are equal for any number of threads, and queued or in place.
 */
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { conv2d, grad, manualSeed, randn, scope } from "napier";
import { expect, it } from "vitest";
import { addon } from "#lib/native.js";

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

// Long enough that every loop of the kernels is cut: 3x3 by Winograd in both orders, strided, 1x1, few channels.
const convolutions = [
  { x: [4, 64, 28, 28], w: [64, 64, 3, 3], padding: 1 },
  { x: [4, 128, 7, 7], w: [256, 128, 3, 3], padding: 1 },
  { x: [4, 32, 28, 28], w: [64, 32, 3, 3], padding: 1, stride: 2 },
  { x: [4, 64, 28, 28], w: [128, 64, 1, 1] },
  { x: [4, 3, 64, 64], w: [32, 3, 7, 7], padding: 3, stride: 2 },
  { x: [4, 96, 28, 28], w: [96, 1, 3, 3], padding: 1, groups: 96 },
];

it("convolves to the same bits with 1, 2, 3 and 4 threads", () => {
  const before = addon.threads();
  try {
    for (const { x: shape, w: weight, ...options } of convolutions) {
      const bits = [1, 2, 3, 4].map((threads) => {
        addon.synchronize();
        addon.threads(threads);
        manualSeed(231);
        return scope(() => {
          const [x, w] = [randn(shape).requiresGrad_(), randn(weight).requiresGrad_()];
          const y = conv2d(x, w, null, options);
          const results = [y, ...grad(y, [x, w], { gradOutputs: [randn(y.shape)] })];
          return Buffer.concat(results.map((t) => Buffer.from((t!.dataSync() as Float32Array).buffer)));
        });
      });
      for (const other of bits.slice(1)) expect(other.equals(bits[0]!)).toBe(true);
    }
  } finally {
    addon.synchronize();
    addon.threads(before);
  }
});

it("writes past the caches with the same bits as through them", () => {
  const around = fileURLToPath(new URL("../programs/around.mjs", import.meta.url));
  const results = (env: Record<string, string>): string =>
    execFileSync(process.execPath, [around], { env: { ...process.env, ...env }, encoding: "utf8" }).trim();
  const through = results({});
  expect(through).toMatch(/^[0-9a-f]{64}$/);
  expect(results({ NAPIER_STREAM_BYTES: "64" })).toBe(through);
}, 60_000);
