/** @file NAPIER_CONV: which algorithms a program's convolutions start with. */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const library = new URL("../../dist/index.js", import.meta.url).href;

/** Runs a program of its own that prints the bytes of a convolution and its gradients, by their hash. */
function run(mode: string | undefined, before = ""): { status: number | null; stdout: string; stderr: string } {
  const program = `
    import { createHash } from "node:crypto";
    import { conv2d, grad, manualSeed, randn, setConvolution } from ${JSON.stringify(library)};
    manualSeed(231);
    ${before}
    const [x, w] = [randn([1, 32, 16, 16], { requiresGrad: true }), randn([32, 32, 3, 3], { requiresGrad: true })];
    const y = conv2d(x, w, null, { padding: 1 });
    const hash = createHash("sha256");
    for (const t of [y, ...grad(y.square().sum(), [x, w])]) hash.update(new Uint8Array(t.dataSync().buffer));
    console.log(hash.digest("hex"));`;
  const { NAPIER_CONV: _, ...env } = process.env;
  return spawnSync(process.execPath, ["--input-type=module", "-e", program], {
    cwd: fileURLToPath(new URL("../..", import.meta.url)),
    env: mode === undefined ? env : { ...env, NAPIER_CONV: mode },
    encoding: "utf8",
  });
}

function hashOf(...args: Parameters<typeof run>): string {
  const { status, stdout, stderr } = run(...args);
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  expect(stdout).toMatch(/^[0-9a-f]{64}\n$/);
  return stdout;
}

test("NAPIER_CONV=exact has the bits of setConvolution, and others than the default", () => {
  const [exact, fast] = [hashOf("exact"), hashOf(undefined)];
  expect(exact).toBe(hashOf(undefined, 'setConvolution("exact");'));
  expect(exact).not.toBe(fast);
  expect(hashOf("fast")).toBe(fast);
  expect(hashOf("exact", 'setConvolution("fast");')).toBe(fast);
});

test("another value is an error that says what is expected", () => {
  const { status, stdout, stderr } = run("exakt");
  expect(status).not.toBe(0);
  expect(stdout).toBe("");
  expect(stderr).toContain('NAPIER_CONV: expected "fast" or "exact", got "exakt"');
});
