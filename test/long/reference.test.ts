/**
 * The reference is complete: every public name, with its members and options, has a comment; no link in them is broken;
 * and an editor shows the comments of a tensor's methods. Typedoc and the TypeScript it reads with come from the registry
 * (docs/reference), since they are nobody's to install who only uses napier.
 */
import { spawnSync } from "node:child_process";
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { stripVTControlCharacters } from "node:util";
import { afterAll, describe, expect, test } from "vitest";
import { METHODS } from "#lib/methods.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "napier-reference-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const reference = join(root, "docs", "reference");
const npm = ["install", "--prefix", reference, "--ignore-scripts", "--no-audit", "--no-fund"];
const typedoc = join(reference, "node_modules", "typedoc", "bin", "typedoc");
const installed = spawnSync("npm", npm, { stdio: "ignore" }).status === 0 && existsSync(typedoc);
const skipped = installed ? "" : " (skipped: npm cannot install docs/reference, there is no registry)";

/** Typedoc's report, without colours. Into a file: typedoc exits before a pipe has taken it all. */
function validate(): { status: number | null; lines: string[] } {
  const report = join(folder, "report.txt");
  const out = openSync(report, "w");
  const options = ["--options", join(reference, "typedoc.json"), "--emit", "none"];
  const { status } = spawnSync(process.execPath, [typedoc, ...options], { cwd: root, stdio: ["ignore", out, out] });
  closeSync(out);
  return { status, lines: stripVTControlCharacters(readFileSync(report, "utf8")).split("\n") };
}

describe.skipIf(!installed)(`reference${skipped}`, () => {
  const { status, lines } = installed ? validate() : { status: null, lines: [] };

  test("every public name has a comment", () => {
    expect(lines.filter((line) => line.includes("does not have any documentation"))).toEqual([]);
  });

  test("no link is broken, and typedoc has nothing else to say", () => {
    const said = lines.filter((line) => /\[(warning|error)\]/.test(line) && !line.includes("any documentation"));
    expect(said.filter((line) => !/Found \d+ errors? and/.test(line))).toEqual([]);
    expect(status).toBe(0); // not where lib does not compile, or a name has no comment
  });

  test("an editor shows the comment of every method of a tensor", () => {
    const ts = createRequire(join(reference, "package.json"))("typescript");
    const file = join(root, "lib", "probe.ts"); // in memory only
    const text = `import "./methods.js";\nimport type { Tensor } from "./tensor.js";\ndeclare const x: Tensor;\n${METHODS.map((name) => `x.${name};`).join("\n")}\n`;
    const { config } = ts.readConfigFile(join(root, "tsconfig.json"), ts.sys.readFile);
    const { options } = ts.parseJsonConfigFileContent(config, ts.sys, root);
    const read = (name: string): string | undefined => (name === file ? text : ts.sys.readFile(name));
    const service = ts.createLanguageService({
      directoryExists: ts.sys.directoryExists,
      getDirectories: ts.sys.getDirectories,
      getCurrentDirectory: () => root,
      getCompilationSettings: () => ({ ...options, noEmit: true }),
      getDefaultLibFileName: ts.getDefaultLibFilePath,
      getScriptFileNames: () => [file],
      getScriptVersion: () => "1",
      getScriptSnapshot: (name: string) => {
        const content = read(name);
        return content === undefined ? undefined : ts.ScriptSnapshot.fromString(content);
      },
      readFile: read,
      fileExists: (name: string) => name === file || ts.sys.fileExists(name),
    });
    const bare = METHODS.filter((name) => {
      const info = service.getQuickInfoAtPosition(file, text.indexOf(`\nx.${name};`) + 3);
      return !ts.displayPartsToString(info?.documentation);
    });
    expect(bare).toEqual([]);
  });
});
