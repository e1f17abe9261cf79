/**
 * @file Files that are either the old one or the new one, never half of one.
 *
 * A checkpoint is overwritten while the process may be killed at any instant and the machine may lose power. So: write
 * a temporary file beside the target, fsync it (its bytes are on the disk before its name is), rename it over the
 * target (atomic on one file system, hence "beside"), fsync the directory (the rename itself is on the disk).
 */
import { randomBytes } from "node:crypto";
import { constants, type FileHandle, open, readdir, realpath, rename, stat, unlink } from "node:fs/promises";
import { hostname } from "node:os";
import { basename, dirname, join } from "node:path";

/** Bytes of a file: one array, or a series of them (so that a large file never stands in memory as one piece). */
export type Chunks = Uint8Array | Iterable<Uint8Array> | AsyncIterable<Uint8Array>;

// One write(2) takes at most 2^31 - 4096 bytes on Linux.
const MAX_WRITE = 1 << 30;

/**
 * Replaces or creates `path` in one step. Whoever opens it, at any time and after any crash, finds the old content or
 * the new, whole. A replaced file keeps its permissions; a symbolic link stays, and the file it points to is replaced.
 *
 * On failure the temporary file is removed and the old file is untouched. A killed process leaves its temporary file
 * (`.NAME.HOST.PID.RANDOM.tmp`); the next write of the same name on that host removes it.
 *
 * @param path where; its directory must exist
 * @param chunks the content; may be a generator, which then runs while the file is written
 * @throws the error of the file system, or of the generator
 */
export async function writeFileAtomic(path: string, chunks: Chunks): Promise<void> {
  const target = await realpath(path).catch((error) => {
    if (error.code === "ENOENT") return path;
    throw error;
  });
  const directory = dirname(target);
  const previous = await stat(target).catch(() => undefined);
  if (previous?.isDirectory()) {
    throw new Error(`writeFileAtomic: expected the name of a file, got the directory ${path}. Give a file name in it`);
  }
  const prefix = `.${basename(target)}.${host}.`;
  await removeAbandoned(directory, prefix);

  const temporary = join(directory, `${prefix}${process.pid}.${randomBytes(6).toString("hex")}.tmp`);
  const file = await open(temporary, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o666);
  try {
    try {
      if (previous) await file.chmod(previous.mode & 0o7777);
      for await (const chunk of chunks instanceof Uint8Array ? [chunks] : chunks) await writeAll(file, chunk);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, target);
  } catch (error) {
    await unlink(temporary).catch(() => {});
    throw error;
  }
  await syncDirectory(directory);
}

/**
 * Appends `line` and a newline with one write, for logs of one record a line. When a crash has left the file without
 * a final newline, the torn line is ended first: what follows it stays readable. Creates the file when absent.
 *
 * @throws RangeError when the line holds a newline
 */
export async function appendLine(path: string, line: string): Promise<void> {
  if (/[\r\n]/.test(line)) {
    throw new RangeError(
      `appendLine: expected one line without line breaks, got ${JSON.stringify(line.slice(0, 60))}. ` +
        "Write records with JSON.stringify, which escapes them",
    );
  }
  const file = await open(path, "a+");
  try {
    const { size } = await file.stat();
    const last = new Uint8Array(1);
    const torn = size > 0 && (await file.read(last, 0, 1, size - 1)).bytesRead === 1 && last[0] !== 0x0a;
    await writeAll(file, Buffer.from(`${torn ? "\n" : ""}${line}\n`));
  } finally {
    await file.close();
  }
}

const host = hostname().replace(/[^A-Za-z0-9-]/g, "_") || "localhost";

async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.byteLength; ) {
    at += (await file.write(bytes, at, Math.min(MAX_WRITE, bytes.byteLength - at), null)).bytesWritten;
  }
}

async function syncDirectory(directory: string): Promise<void> {
  // Windows and some network file systems cannot sync a directory; the rename has happened all the same.
  const handle = await open(directory, "r").catch(() => undefined);
  if (!handle) return;
  try {
    await handle.sync().catch(() => {});
  } finally {
    await handle.close();
  }
}

/** Checkpoints are large: the temporary files of killed processes must not pile up. */
async function removeAbandoned(directory: string, prefix: string): Promise<void> {
  for (const name of await readdir(directory).catch(() => [])) {
    if (!name.startsWith(prefix)) continue;
    const match = /^(\d+)\.[0-9a-f]{12}\.tmp$/.exec(name.slice(prefix.length));
    if (match && !isRunning(Number(match[1]))) await unlink(join(directory, name)).catch(() => {});
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "ESRCH";
  }
}
