/**
 * Memory stays flat: over 20,000 steps live bytes at the end equal those at step 2,000, and RSS exceeds it by at most 16 MB.
 */
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const program = fileURLToPath(new URL("../programs/steps.mjs", import.meta.url));
interface Measured {
  liveBytes: number;
  tensors: number;
  rss: number;
}

describe.each(["sync", "await"])("a loop that is %s", (mode) => {
  it.each(["scope", "bare"])(
    "stays flat over 20,000 steps, %s",
    (style) => {
      const output = execFileSync(process.execPath, [program, mode, style, "20000", "2000"], { encoding: "utf8" });
      const { early, late } = JSON.parse(output) as { early: Measured; late: Measured };
      console.log(
        `${mode} ${style}: live ${early.liveBytes} -> ${late.liveBytes} bytes, RSS ${early.rss >> 20} -> ${late.rss >> 20} MB`,
      );
      expect(late.liveBytes).toBe(early.liveBytes);
      expect(late.tensors).toBe(early.tensors);
      expect(late.rss - early.rss).toBeLessThanOrEqual(16 * 2 ** 20);
    },
    900_000,
  );
});
