/**
 * Every example that users read runs: the ```ts blocks of README.md and docs/, and the @example comments of lib/. They are
 * type-checked together and run one by one, with the names of "napier" in scope, in a folder of their own.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import * as napier from "napier";
import { afterAll, describe, expect, test } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));
mkdirSync(join(root, "build"), { recursive: true });
const folder = mkdtempSync(join(root, "build", "docs-"));
const work = mkdtempSync(join(tmpdir(), "napier-docs-"));
afterAll(() => {
  for (const f of [folder, work]) rmSync(f, { recursive: true });
});

interface Example {
  /** `lib/ops/shape.ts:138` */
  where: string;
  code: string;
}

const filesIn = (path: string, ending: string): string[] =>
  readdirSync(join(root, path), { recursive: true, encoding: "utf8" })
    .filter((f) => f.endsWith(ending))
    .sort()
    .map((f) => join(path, f));
const lineOf = (text: string, at: number) => text.slice(0, at).split("\n").length;

function blocksOf(file: string): Example[] {
  const text = readFileSync(join(root, file), "utf8");
  return [...text.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map((m) => ({
    where: `${file}:${lineOf(text, m.index)}`,
    code: m[1]!,
  }));
}

function commentsOf(file: string): Example[] {
  const text = readFileSync(join(root, file), "utf8");
  return [...text.matchAll(/^[ \t]*\* @example\n((?:[ \t]*\*(?! @|\/).*\n)+)/gm)].map((m) => ({
    where: `${file}:${lineOf(text, m.index)}`,
    code: m[1]!.replace(/^[ \t]*\* ?/gm, ""),
  }));
}

/** An example as a module: what it does not import itself comes from napier. */
function moduleOf({ where, code }: Example): string {
  const imported = [...code.matchAll(/^import (?:type )?\{([^}]*)\}/gm)].flatMap((m) =>
    m[1]!.split(",").map((name) => name.replace(/^\s*type /, "").trim()),
  );
  const declared = [...code.matchAll(/\b(?:const|let|class|function) (?:\{([^}]*)\}|\[([^\]]*)\]|(\w+))/g)].flatMap(
    (m) => (m[1] ?? m[2] ?? m[3]!).split(",").map((name) => name.trim()),
  );
  const used = Object.keys(napier).filter((name) => new RegExp(`(?<![.\\w])${name}\\b`).test(code));
  const missing = used.filter((name) => !imported.includes(name) && !declared.includes(name));
  return `// ${where}\nimport { ${missing.join(", ")} } from "napier";\n${code}\nexport {};\n`;
}

const examples = [
  ...blocksOf("README.md"),
  ...filesIn("docs", ".md").flatMap(blocksOf),
  ...filesIn("lib", ".ts").flatMap(commentsOf),
];
const fileOf = (i: number) => join(folder, `example-${i}.ts`);
for (const [i, example] of examples.entries()) writeFileSync(fileOf(i), moduleOf(example));

describe("examples", () => {
  test("there are some, in the README and in every part of lib", () => {
    const parts = new Set(examples.map(({ where }) => dirname(where.split(":")[0]!)));
    for (const part of [".", "lib/ops", "lib/nn", "lib/optim", "lib/data", "lib/train"]) expect(parts).toContain(part);
  });

  test("they type-check", () => {
    writeFileSync(
      join(folder, "tsconfig.json"),
      JSON.stringify({
        extends: relative(folder, join(root, "tsconfig.json")).replace(/^/, "./"),
        compilerOptions: {
          rootDir: ".",
          outDir: "out",
          noUnusedLocals: false,
          declaration: false,
          paths: { napier: [join(root, "dist/index.d.ts")] },
        },
        include: ["*.ts"],
      }),
    );
    const { stdout } = spawnSync(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "-p", folder], {
      encoding: "utf8",
    });
    const named = stdout.replace(/\S*example-(\d+)\.ts/g, (_, i) => examples[Number(i)]!.where);
    expect(named).toBe("");
  });

  test.each(examples.map(({ where }, i) => [where, i] as const))("%s", (_, i) => {
    const script = join(folder, "out", `example-${i}.js`);
    const code = readFileSync(script, "utf8").replaceAll(
      '"napier"',
      JSON.stringify(pathToFileURL(join(root, "dist/index.js")).href),
    );
    writeFileSync(script, code);
    const { status, stderr } = spawnSync(process.execPath, [script], { cwd: work, encoding: "utf8", timeout: 120_000 });
    expect(stderr).toBe("");
    expect(status).toBe(0);
  });
});
