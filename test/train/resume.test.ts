import { rmSync } from "node:fs";
import { afterAll, expect, test } from "vitest";
import { PhiloxStream } from "#lib/data/philox.js";
import { killAndResume, resultOf, runTraining, temporaryFolder } from "./killing.js";

const folders = ["whole", "killed", "interrupted"].map(temporaryFolder);
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true });
});
const [whole, killed, interrupted] = folders as [string, string, string];
const steps = 150;

test("a run killed three times ends with the bits of an uninterrupted one", async () => {
  const expected = resultOf(await runTraining({ out: whole, steps, every: 4 }));
  expect(expected.steps).toBe(steps);
  const stream = new PhiloxStream();
  stream.reset(5, 0, 0, 0, 0);
  const { killed: count, result } = await killAndResume(
    { out: killed, steps, every: 4 },
    3,
    60,
    () => stream.next() / 2 ** 32,
  );
  expect(count).toBe(3);
  expect(result).toEqual(expected);
}, 120_000);

test("Ctrl+C writes a checkpoint, ends cleanly, and resuming gives the same bits", async () => {
  const expected = resultOf(await runTraining({ out: whole, steps, every: 4 }));
  const first = resultOf(await runTraining({ out: interrupted, steps, every: 1000 }, (kill) => kill("SIGINT")));
  expect(first.reason).toBe("interrupted");
  expect(first.steps).toBeLessThan(steps);
  expect(resultOf(await runTraining({ out: interrupted, steps, every: 1000 }))).toEqual({
    ...expected,
    reason: "finished",
  });
}, 120_000);
