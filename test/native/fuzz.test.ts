/**
 * Hostile calls of every native op and of what surrounds them: each works or throws an Error, and the process lives. A
 * million of them are in test/long/fuzz.test.ts.
 */
import * as napier from "napier";
import { expect, test } from "vitest";
import { PhiloxStream } from "#lib/data/philox.js";
import { METHODS } from "#lib/methods.js";
import { fuzz } from "./fuzz.js";

test("20,000 hostile calls, queued and in place", async () => {
  const [queued, inPlace] = [
    await fuzz({ seed: 231, rounds: 10, calls: 1000, timeout: 100_000 }),
    await fuzz({ seed: 232, rounds: 10, calls: 1000, env: { NAPIER_SYNC: "1" }, timeout: 100_000 }),
  ];
  expect(queued.calls + inPlace.calls).toBe(20_000);
  for (const result of [queued, inPlace]) {
    // Both sides of every contract: about a third of the calls fit.
    expect(result.worked).toBeGreaterThan(result.calls / 5);
    expect(result.refused).toBeGreaterThan(result.calls / 5);
    expect(result.chains).toBeGreaterThan(10);
    expect(result.liveBuffers).toBe(0);
  }
  // An op that no call ever satisfied was not tested: give it a recipe in hostile.mjs.
  expect(queued.never.filter((op) => inPlace.never.includes(op))).toEqual([]);
}, 240_000);

test("5,000 calls of tensor methods with wrong JavaScript values: each works or throws an Error", async () => {
  const stream = new PhiloxStream();
  stream.reset(231, 0, 0, 0, 0);
  const below = (n: number) => Math.floor((stream.next() / 2 ** 32) * n);
  const shapes = [[], [0], [1], [3], [2, 3], [3, 2], [1, 1, 4, 4], [2, 0, 3]];
  const dtypes = ["float32", "float64", "int32", "int64", "uint8", "bool"] as const;
  const someTensor = () => napier.zeros(shapes[below(shapes.length)]!, { dtype: dtypes[below(dtypes.length)]! });
  const freed = napier.zeros([3]);
  freed.free();
  const values: (() => unknown)[] = [
    someTensor,
    someTensor,
    () => freed,
    () => undefined,
    () => null,
    () => "relu",
    () => "float64",
    () => ({}),
    () => ({ keepDims: true, dim: 7, axis: -9, padding: -1, stride: 0 }),
    () => [],
    () => [1, -1],
    () => [Number.NaN],
    () => [2 ** 31, 2 ** 31],
    () => [[1], [2, 3]],
    () => [0.5],
    () => -1,
    () => below(4),
    () => 0.5,
    () => Number.NaN,
    () => Number.POSITIVE_INFINITY,
    () => 2 ** 53,
    () => 7n,
    () => Symbol("s"),
    () => () => 1,
    () => true,
    () => new Float32Array(2),
  ];
  const outcomes = { worked: 0, refused: 0 };
  for (let i = 0; i < 5000; i++) {
    const name = METHODS[i % METHODS.length]!;
    const made = napier.scope(() => {
      const x = someTensor();
      const args = Array.from({ length: below(4) }, () => values[below(values.length)]!());
      try {
        (x as unknown as Record<string, (...args: unknown[]) => unknown>)[name]!(...args);
        return "worked" as const;
      } catch (error) {
        expect(error, `${name}(${args.map(String).join(", ")}) threw what is no Error`).toBeInstanceOf(Error);
        return "refused" as const;
      }
    });
    outcomes[made]++;
  }
  expect(outcomes.worked).toBeGreaterThan(500);
  expect(outcomes.refused).toBeGreaterThan(500);
  expect(await napier.ones([2, 2]).sum().item()).toBe(4);
});
