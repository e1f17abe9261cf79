/**
 * Every symbol that a variant's optimised objects define lies in the variant's namespace. A weak symbol outside (an inline
 * function or template compiled for AVX2) could be picked by the linker for the whole addon, and end the process on an
 * older CPU.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const objects = fileURLToPath(new URL("../../build/Release/obj.target", import.meta.url));
const nm = spawnSync("nm", ["--version"]).status === 0;
const built = existsSync(objects);
const variants = built ? readdirSync(objects).filter((name) => /^cpu_\w+$/.test(name)) : [];
const missing = !nm
  ? " (skipped: nm is missing)"
  : variants.length === 0
    ? " (skipped: build/Release holds no objects)"
    : "";

const definedIn = (folder: string): string[] => {
  const files = readdirSync(folder, { recursive: true })
    .map(String)
    .filter((file) => file.endsWith(".o"))
    .map((file) => join(folder, file));
  const out = execFileSync("nm", ["--defined-only", "--format=posix", ...files], {
    encoding: "utf8",
    maxBuffer: 2 ** 28,
  });
  return out.split("\n").flatMap((line) => {
    // "name kind value size"; most kinds in lower case are local to their file.
    const m = /^(\S+) ([A-Za-z]) [0-9a-f]+(?: [0-9a-f]+)?$/.exec(line);
    return m && /[A-Zuvw]/.test(m[2]!) ? [m[1]!] : [];
  });
};

test.skipIf(missing !== "")(`every variant defines symbols of its own namespace alone${missing}`, () => {
  expect(variants).toContain("cpu_scalar");
  for (const variant of variants) {
    const isa = variant.slice("cpu_".length);
    // Mangled: functions, lambdas within them (Z), tables and guards of both.
    const own = new RegExp(`^_Z(?:T[VISC]|GV)?[ZNK]*6napier${isa.length}${isa}`);
    const symbols = definedIn(join(objects, variant));
    expect(symbols.length, variant).toBeGreaterThan(100);
    // The reference a debug build leaves for exceptions is data, not code, and the same in every variant.
    expect(
      [...new Set(symbols.filter((name) => !own.test(name) && name !== "DW.ref.__gxx_personality_v0"))],
      variant,
    ).toEqual([]);
  }
});

test.skipIf(missing !== "")(
  `a variant's objects use no function of the C++ library that has templates${missing}`,
  () => {
    for (const variant of variants) {
      const files = readdirSync(join(objects, variant), { recursive: true })
        .map(String)
        .filter((file) => file.endsWith(".o"))
        .map((file) => join(objects, variant, file));
      const out = execFileSync("nm", ["--undefined-only", "--demangle", "--format=posix", ...files], {
        encoding: "utf8",
        maxBuffer: 2 ** 28,
      });
      const std = [...new Set([...out.matchAll(/^(std::.*) U/gm)].map((m) => m[1]!))];
      expect(
        std.filter((name) => name !== "std::terminate()"),
        variant,
      ).toEqual([]);
    }
  },
);
