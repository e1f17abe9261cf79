/**
 * docs/ops.md is what the code says: names, sentences, gradients and dtypes of every op.
 */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

test("docs/ops.md is up to date", { timeout: 180_000 }, () => {
  const script = fileURLToPath(new URL("../scripts/ops-table.mjs", import.meta.url));
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(VITEST|NAPIER_)/.test(name)));
  const { status, stdout, stderr } = spawnSync(process.execPath, [script, "--check"], { encoding: "utf8", env });
  expect(stdout + stderr).toBe("");
  expect(status).toBe(0);
});
