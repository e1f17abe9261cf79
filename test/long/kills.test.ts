import { rmSync } from "node:fs";
import { expect, test } from "vitest";
import { PhiloxStream } from "#lib/data/philox.js";
import { killAndResume, resultOf, runTraining, temporaryFolder } from "../train/killing.js";

test("20 SIGKILLs at random moments, resumed each time with another number of threads: the same weights bit for bit", async () => {
  const [whole, killed] = [temporaryFolder("whole"), temporaryFolder("killed")];
  const steps = 1500;
  const expected = resultOf(await runTraining({ out: whole, steps, every: 4 }));
  const stream = new PhiloxStream();
  stream.reset(231, 0, 0, 0, 0);
  const { killed: count, result } = await killAndResume(
    { out: killed, steps, every: 4 },
    20,
    150,
    () => stream.next() / 2 ** 32,
  );
  expect(count).toBe(20);
  expect(result).toEqual(expected);
  for (const folder of [whole, killed]) rmSync(folder, { recursive: true });
});
