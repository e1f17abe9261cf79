/**
 * The arrows of docs/architecture.md, read from the sources: what may import what, and that lists which belong together
 * are complete.
 */
import { readdirSync, readFileSync } from "node:fs";
import { basename, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import * as napier from "napier";
import { expect, test } from "vitest";
import { METHODS } from "#lib/methods.js";
import { addon } from "#lib/native.js";
import * as ops from "#lib/ops/index.js";

const root = fileURLToPath(new URL("..", import.meta.url));
const filesUnder = (folder: string, pattern: RegExp): string[] =>
  readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && pattern.test(entry.name))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)));
const text = (file: string) => readFileSync(join(root, file), "utf8");

// ---- lib

// A file imports only what stands before it; families on one line do not import each other.
const ORDER = [
  ["errors"],
  ["builds", "libc", "load"],
  ["kernels"],
  ["native"],
  ["live"],
  ["watch"],
  ["devices"],
  ["memory"],
  ["tensor"],
  ["graph"],
  ["autograd"],
  ["random"],
  ["ops"],
  ["methods"],
  ["capture", "shapes"],
  ["gradcheck"],
  ["nn"],
  ["optim", "data", "io", "viz", "metrics"],
  ["profile", "anomaly"],
  ["models", "diffusion", "explain", "tune"],
  ["nas"],
  ["train"],
  ["classic"],
  ["index"],
  ["cli"],
];
const familyOf = (file: string) => file.replace(/^lib\//, "").split(/[/.]/)[0]!;
const placeOf = (file: string) => ORDER.findIndex((line) => line.includes(familyOf(file)));
const importsOf = (file: string): { to: string; typeOnly: boolean }[] =>
  [
    ...text(file).matchAll(/^(import|export)\s+(type\s+)?(?:[^"';]*?from\s+)?"(\.[^"]+)";?$|import\("(\.[^"]+)"\)/gm),
  ].map((m) => ({
    to: relative(root, join(root, file, "..", m[3] ?? m[4]!)),
    typeOnly: m[2] !== undefined,
  }));

const libFiles = filesUnder("lib", /\.c?ts$/);

test("every file of lib has a place in the order", () => {
  expect(libFiles.filter((file) => placeOf(file) < 0)).toEqual([]);
});

test("lib imports only what stands before", () => {
  const wrong = libFiles.flatMap((file) =>
    importsOf(file)
      .filter(({ to, typeOnly }) => {
        if (familyOf(to) === familyOf(file)) return false;
        // Functions are registered where code would point forward; types may.
        if (typeOnly && ["memory", "tensor"].includes(familyOf(file)) && familyOf(to) === "graph") return false;
        if (typeOnly && familyOf(file) === "live" && familyOf(to) === "tensor") return false;
        if (typeOnly && familyOf(file) === "kernels" && familyOf(to) === "native") return false;
        return placeOf(to) >= placeOf(file);
      })
      .map(({ to }) => `${file} imports ${to}`),
  );
  expect(wrong).toEqual([]);
});

test("imports between files of lib end in .js or .cjs", () => {
  const wrong = libFiles.flatMap((file) =>
    importsOf(file)
      .filter(({ to }) => !/\.c?js$/.test(to))
      .map(({ to }) => `${file} imports ${to}`),
  );
  expect(wrong).toEqual([]);
});

test("only load.cts loads a .node file", () => {
  const loads = libFiles.filter((file) =>
    /(require|import|dlopen)\s*\([^)]*\.node["'`]|process\.dlopen/.test(text(file)),
  );
  expect(loads).toEqual(["lib/load.cts"]);
});

test("no top-level await: require() of the package must work", () => {
  const awaiting = libFiles.filter((file) => /^(await |(export )?(const|let) .*= await |for await )/m.test(text(file)));
  expect(awaiting).toEqual([]);
});

// ---- native

const nativeFiles = filesUnder("native", /\.(cc|h|def|cu)$/);
const includesOf = (file: string) => [...text(file).matchAll(/^\s*#\s*include\s+[<"]([^>"]+)[>"]/gm)].map((m) => m[1]!);

test("only native/node knows Node-API", () => {
  const knows = nativeFiles.filter((file) =>
    includesOf(file).some((name) => /^(node_api|napi|js_native_api|uv|v8|node).*\.h$/.test(name)),
  );
  expect(knows.filter((file) => !file.startsWith("native/node/"))).toEqual([]);
  expect(knows).not.toEqual([]);
});

test("native/cpu includes its own headers, the allowed ones, and no STL containers", () => {
  const allowed = [
    "sizes.h",
    "dtype.h",
    "operand.h",
    "parallel.h",
    "random.h",
    "device.h",
    "ops.def",
    "unary.def",
    "binary.def",
  ];
  const system = ["cmath", "cstddef", "cstdint", "cstring", "utility", "immintrin.h", "arm_neon.h"];
  const own = filesUnder("native/cpu", /\.h$/).map((file) => relative("native/cpu", file));
  const wrong = filesUnder("native/cpu", /\.(cc|h)$/).flatMap((file) =>
    includesOf(file)
      .filter((name) => {
        if (system.includes(name)) return false;
        const resolved = relative(join(root, "native"), join(root, file, "..", name));
        return resolved.startsWith("cpu/") ? !own.includes(resolved.slice(4)) : !allowed.includes(resolved);
      })
      .map((name) => `${file} includes ${name}`),
  );
  expect(wrong).toEqual([]);
  const containers = filesUnder("native/cpu", /\.(cc|h)$/).filter((file) =>
    /\bstd::(vector|string|map|unordered_map|function|shared_ptr|unique_ptr|deque|list|set)\b/.test(text(file)),
  );
  expect(containers).toEqual([]);
});

test("parallel.h exports plain functions: no template could be picked from another variant", () => {
  expect(text("native/parallel.h")).not.toMatch(/template|inline/);
});

// ---- Lists that belong together

test("every op of ops.def has a line in kernels.ts, and no other has", () => {
  const source = text("lib/kernels.ts");
  const named = new Set([...source.matchAll(/^ {2}(\w+)\(/gm)].map((m) => m[1]!));
  for (const [, kind, names] of source.matchAll(/^type (Unary\d?|Binary|Reduction) =\s*([^;]+);/gm)) {
    for (const [, name] of names!.matchAll(/"(\w+)"/g)) {
      named.add(name!);
      if (kind!.startsWith("Unary") && source.includes(`\${${kind}}Grad`)) named.add(`${name}Grad`);
    }
  }
  const ops = addon.signatures().map((line) => line.split(":")[0]!);
  // unary.def lists elementwise ops without a gradient beside those that have one.
  const known = (name: string) => named.has(name) || (name.endsWith("Grad") && named.has(name.slice(0, -4)));
  expect(ops.filter((name) => !known(name))).toEqual([]);
  expect(
    [...named].filter((name) => !ops.includes(name) && !(name.endsWith("Grad") && ops.includes(name.slice(0, -4)))),
  ).toEqual([]);
});

test("every op whose first argument is a tensor is a method", () => {
  const methods = new Set<string>(METHODS);
  const missing: string[] = [];
  for (const file of filesUnder("lib/ops", /\.ts$/)) {
    for (const [, name] of text(file).matchAll(
      /^export (?:function|const) (\w+)(?:<[^>]*>)?(?: = )?(?:<[^>]*>)?\(\s*\w+: (?:Tensor|X)\b(?!\[)/gm,
    )) {
      if (name! in ops && !methods.has(name!)) missing.push(`${basename(file)}: ${name}`);
    }
  }
  expect(missing).toEqual([]);
  expect(METHODS.filter((name) => !(name in ops))).toEqual([]);
  expect(METHODS.filter((name) => !(name in napier.Tensor.prototype))).toEqual([]);
});

// ---- Files a reader finishes

test("no file of lib or native is longer than 700 lines", () => {
  const long = [...libFiles, ...nativeFiles]
    .map((file) => ({ file, lines: text(file).split("\n").length - 1 }))
    .filter(({ lines }) => lines > 400)
    .sort((a, b) => b.lines - a.lines);
  // The aim is 50 to 400 lines: these are beyond it.
  if (long.length > 0)
    console.log(`files of more than 400 lines:\n${long.map(({ file, lines }) => `  ${lines} ${file}`).join("\n")}`);
  expect(long.filter(({ lines }) => lines > 700)).toEqual([]);
});
