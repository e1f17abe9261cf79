/**
 * Extents near the ends of the contracts, with operands of almost no memory: kernels decide how much they stage by products
 * that do not fit 64 bits. Each call runs in a process of its own, which a wrong decision ends.
 */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { addon } from "#lib/native.js";

const binary = process.env.NAPIER_BINARY ?? fileURLToPath(new URL("../../build/Release/napier.node", import.meta.url));

/** Runs `code`, which puts what it has to say into `answer`, after functions f32(values) and zeros(count). */
function run(code: string, env: Record<string, string> = {}): unknown {
  const program = `
    const addon = require(${JSON.stringify(binary)});
    const kept = [];
    const make = (object, handle) => (kept.push(object), handle);
    const f32 = (values) => { const o = {}; return make(o, addon.fromHost(o, 0, Float32Array.from(values))); };
    const zeros = (count) => f32(Array(count).fill(0));
    const read = (handle) => Array.from(new Float32Array(addon.readSync(handle)));
    let answer;
    ${code}
    console.log(JSON.stringify(answer));`;
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, ["-e", program], {
    encoding: "utf8",
    env: { ...process.env, ...env },
  });
  expect({ status, signal, stderr }).toEqual({ status: 0, signal: null, stderr: "" });
  return JSON.parse(stdout);
}

// x is [1, 2, 2^30, 0]: a strip of 4 rows would stage 5726640082 lines of 3221165274 elements, which is 2^64 + 20852.
const size = [1, 2, 2 ** 30, 0, 2, 4, 3, 1006632960, 1073721758, 2 ** 30, 2 ** 30, 902277067, 1073741823, 2];

test.each(addon.isas())("a depthwise convolution whose stage would wrap, on %s", (isa) => {
  const seen = run(
    `const size = ${JSON.stringify(size)};
     const [y, dw] = [zeros(2), f32(Array(24).fill(7))];
     addon.ops.conv2d(y, f32([]), f32(Array(24).fill(1)), f32([3, 5]), ...size, 0, 0);
     addon.ops.conv2dGradW(dw, f32([1, 2]), f32([]), ...size, 0);
     answer = [read(y), read(dw)];`,
    { NAPIER_ISA: isa },
  );
  expect(seen).toEqual([[3, 5], Array(24).fill(0)]);
});

test("interpolate refuses extents whose plane between the axes would wrap", () => {
  const nothing = Array.from({ length: 2 }, () => "f32([])").join(", ");
  const call = (name: string, h: number, q: number) =>
    run(
      `const start = {};
       const startH = addon.fromHost(start, 2, Int32Array.of(0));
       const none = {};
       const startW = addon.fromHost(none, 2, new Int32Array(0));
       try { addon.ops.${name}(${nothing}, startH, f32([1]), startW, f32([]), 0, ${h}, ${q}, 1, ${q}, 1, 0); answer = "worked"; }
       catch (error) { answer = error.message; }`,
    );
  for (const name of ["interpolate", "interpolateGrad"]) {
    expect(call(name, 2 ** 20, 2 ** 20)).toBe("worked");
    expect(call(name, 2 ** 32, 2 ** 32)).toMatch(new RegExp(`^${name}: .*s.valid\\(\\)`));
  }
});
