/** @file Ops whose work is not in the bytes they touch: however few, they do not run on the JavaScript thread. */
import { ctc, ones, randn, tensor } from "napier";
import { expect, test } from "vitest";
import { addon, k } from "#lib/native.js";

/** Milliseconds that the call held this thread, and until its result was there. */
async function times(call: () => { data(): Promise<unknown> }): Promise<{ held: number; whole: number }> {
  await addon.settled(); // the stream is idle: the call could run in place
  const start = performance.now();
  const y = call();
  const held = performance.now() - start;
  await y.data();
  return { held, whole: performance.now() - start };
}

/** The least of a few tries: another process may hold a thread up. */
async function least(call: () => { data(): Promise<unknown> }): Promise<{ held: number; whole: number }> {
  const tries = [await times(call), await times(call), await times(call)];
  return { held: Math.min(...tries.map((t) => t.held)), whole: Math.min(...tries.map((t) => t.whole)) };
}

test.each<[string, () => { data(): Promise<unknown> }]>([
  [
    "peakFma, eight numbers",
    () => {
      const y = ones([8]);
      k.peakFma(y, 1e6, 8);
      return y;
    },
  ],
  ["ctc, a sample of 400 steps", () => ctc(STEPS, LABELS, [400], [200])],
  ["a sort of 60,000", () => NUMBERS.argsort(0)],
])("%s", async (_, call) => {
  const { held, whole } = await least(call);
  expect(held).toBeLessThan(whole / 2);
});

const STEPS = randn([400, 1, 4]).logSoftmax(2);
const LABELS = tensor(
  Int32Array.from({ length: 200 }, (_, i) => 1 + (i % 3)),
  [1, 200],
);
const NUMBERS = randn([60_000]);
