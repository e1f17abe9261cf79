/** @file Files stay whole: after an error, beside a second writer, and when the writer is killed. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { appendLine, writeFileAtomic } from "#lib/io/atomic.js";

const directory = mkdtempSync(join(tmpdir(), "napier-atomic-"));
afterAll(() => rmSync(directory, { recursive: true }));
const bytes = (...values: number[]) => Uint8Array.from(values);
let made = 0;
function place(): { at: string; path: string } {
  const at = join(directory, String(made++));
  mkdirSync(at);
  return { at, path: join(at, "model.bin") };
}

test("writes one array, many, none, and what an async generator gives", async () => {
  const { at, path } = place();
  await writeFileAtomic(path, bytes(1, 2, 3));
  expect([...readFileSync(path)]).toEqual([1, 2, 3]);
  await writeFileAtomic(path, [bytes(4), bytes(), bytes(5, 6)]);
  expect([...readFileSync(path)]).toEqual([4, 5, 6]);
  await writeFileAtomic(
    path,
    (async function* () {
      yield bytes(7);
      yield bytes(8);
    })(),
  );
  expect([...readFileSync(path)]).toEqual([7, 8]);
  await writeFileAtomic(path, []);
  expect(readFileSync(path).length).toBe(0);
  expect(readdirSync(at)).toEqual(["model.bin"]);
});

test("a failing source leaves the old file and no temporary one", async () => {
  const { at, path } = place();
  writeFileSync(path, "old");
  const failing = (function* () {
    yield bytes(1);
    throw new Error("the source failed");
  })();
  await expect(writeFileAtomic(path, failing)).rejects.toThrow("the source failed");
  expect(readFileSync(path, "utf8")).toBe("old");
  expect(readdirSync(at)).toEqual(["model.bin"]);
});

test("keeps the permissions of the old file, and follows a symbolic link", async () => {
  const { at, path } = place();
  writeFileSync(path, "old");
  chmodSync(path, 0o640);
  const link = join(at, "link");
  symlinkSync("model.bin", link);
  await writeFileAtomic(link, Buffer.from("new"));
  expect(readFileSync(path, "utf8")).toBe("new");
  expect(statSync(path).mode & 0o777).toBe(0o640);
  expect(readdirSync(at).sort()).toEqual(["link", "model.bin"]);
});

test("a missing directory and a directory as target are errors", async () => {
  const { at } = place();
  await expect(writeFileAtomic(join(at, "no", "file"), bytes())).rejects.toThrow("ENOENT");
  await expect(writeFileAtomic(at, bytes())).rejects.toThrow(/expected the name of a file, got the directory/);
});

test("writers of the same file at the same time: one of them wins, whole", async () => {
  const { at, path } = place();
  const versions = Array.from({ length: 8 }, (_, i) => new Uint8Array(100_000).fill(i));
  await Promise.all(versions.map((version) => writeFileAtomic(path, [version.subarray(0, 5), version.subarray(5)])));
  const found = readFileSync(path);
  expect(found.every((value) => value === found[0])).toBe(true);
  expect(found.length).toBe(100_000);
  expect(readdirSync(at)).toEqual(["model.bin"]);
});

// The child rewrites the file without end; version v is SIZE bytes of v, written in pieces. Kills fall anywhere in it.
const SIZE = 1 << 20;
const WRITER = `
  import { writeFileAtomic } from ${JSON.stringify(new URL("../../dist/io/atomic.js", import.meta.url).href)};
  process.send("ready");
  for (let v = 1; ; v = v % 250 + 1) {
    await writeFileAtomic(process.argv[1], Array.from({ length: 16 }, () => new Uint8Array(${SIZE / 16}).fill(v)));
  }
`;

test("20 SIGKILLs in mid-write: always the old file or the new one, and no pile of temporary files", async () => {
  const { at, path } = place();
  writeFileSync(path, new Uint8Array(SIZE));
  let versions = 0;
  let interrupted = 0;
  for (let round = 0; round < 20; round++) {
    const child: ChildProcess = spawn(process.execPath, ["--input-type=module", "-e", WRITER, path], {
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    });
    const ended = once(child, "exit");
    await once(child, "message");
    await new Promise((resolve) => setTimeout(resolve, 5 + round * 3.7));
    child.kill("SIGKILL");
    await ended;

    const found = readFileSync(path);
    expect(found.length).toBe(SIZE);
    expect(found.every((value) => value === found[0])).toBe(true);
    if (found[0] !== 0) versions++;
    const temporary = readdirSync(at).filter((name) => name !== "model.bin");
    expect(temporary.length).toBeLessThanOrEqual(1);
    interrupted += temporary.length;
  }
  expect(versions).toBeGreaterThan(0); // the child did write
  expect(interrupted).toBeGreaterThan(0); // and was killed in mid-write
  await writeFileAtomic(path, bytes(1));
  expect(readdirSync(at)).toEqual(["model.bin"]);
});

test("appendLine adds lines, ends a torn one first, and refuses line breaks", async () => {
  const { path } = place();
  await appendLine(path, '{"step":1}');
  await appendLine(path, '{"step":2}');
  writeFileSync(path, '{"step":1}\n{"st');
  await appendLine(path, "ü");
  await appendLine(path, "");
  expect(readFileSync(path, "utf8")).toBe('{"step":1}\n{"st\nü\n\n');
  await expect(appendLine(path, "a\nb")).rejects.toThrow(/expected one line without line breaks, got "a\\nb"/);
});
