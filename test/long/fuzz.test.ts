/** A million hostile calls over every native op (test/native/hostile.mjs), half of them queued, half in place. */
import { expect, test } from "vitest";
import { fuzz } from "../native/fuzz.js";

test.each([
  { how: "queued", seed: 1_000_231, env: {} },
  { how: "in place", seed: 2_000_231, env: { NAPIER_SYNC: "1" } },
] as { how: string; seed: number; env: Record<string, string> }[])(
  "500,000 hostile calls, $how",
  async ({ seed, env }) => {
    const result = await fuzz({ seed, rounds: 500, calls: 1000, env, timeout: 10 * 60_000 });
    expect(result.calls).toBe(500_000);
    expect(result.worked).toBeGreaterThan(100_000);
    expect(result.refused).toBeGreaterThan(100_000);
    expect(result.liveBuffers).toBe(0);
    expect(result.never).toEqual([]);
  },
  11 * 60_000,
);
