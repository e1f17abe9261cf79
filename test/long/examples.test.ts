/** Every example runs to its end on the pictures that are drawn here. */
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
const names = readdirSync(`${root}/examples`).flatMap((f) => (f.endsWith(".ts") ? [f.slice(0, -3)] : []));

test.each(names)("%s", (name) => {
  const { status, stdout, stderr } = spawnSync(process.execPath, ["scripts/example.mjs", name], {
    cwd: root,
    encoding: "utf8",
  });
  expect(stderr).toBe("");
  expect(status).toBe(0);
  expect(stdout).not.toBe("");
});
