/**
 * Fetching the files of data sets: from the first mirror that has them, on from where a broken transfer stopped, checked by
 * their digest, and under their name only when they are whole. Nothing is fetched that was not asked for.
 */
import { createHash } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { mkdir, open, readFile, rename, rm, stat } from "node:fs/promises";
import type { IncomingMessage } from "node:http";
import os from "node:os";
import { join } from "node:path";
import { Transform as NodeTransform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { type GetOptions, get } from "./http.js";

/** How far the transfer of one file has come. */
export interface DownloadProgress {
  /** Name of the file. */
  file: string;
  /** Bytes that are here, those of an earlier transfer too. */
  received: number;
  /** Bytes of the whole file; null where the server does not say. */
  total: number | null;
}

/** Options of what fetches files. */
export interface DownloadOptions {
  /** Called as bytes come. */
  onProgress?: (progress: DownloadProgress) => void;
  /** Ends the transfer; what came stays for the next one. */
  signal?: AbortSignal;
  /** Addresses of folders to try before the official ones. */
  mirrors?: readonly string[];
}

/** A file that can be fetched. */
export interface RemoteFile {
  /** What it is called in the folder. */
  name: string;
  /** Where it is; tried in this order. */
  urls: readonly string[];
  /** Hexadecimal digest of its bytes: 32 digits of MD5, or 64 of SHA-256. */
  digest: string;
}

/** Where data sets are kept when no folder is given: napier/datasets/NAME in the user's cache. */
export function datasetFolder(name: string, env: NodeJS.ProcessEnv = process.env): string {
  const home = os.homedir();
  const root =
    env.XDG_CACHE_HOME ||
    (process.platform === "win32" && env.LOCALAPPDATA) ||
    join(home, process.platform === "darwin" ? "Library/Caches" : ".cache");
  return join(root, "napier", "datasets", name);
}

const ATTEMPTS = 3; // at one address, each going on where the last one broke

const sizeOf = (path: string): Promise<number> =>
  stat(path).then(
    ({ size }) => size,
    () => -1,
  );

/** The digest of a file, MD5 or SHA-256 as `like` is long. */
async function digestOf(path: string, like: string): Promise<string> {
  const hash = createHash(like.length === 32 ? "md5" : "sha256");
  await pipeline(createReadStream(path), hash);
  return hash.digest("hex");
}

/** Whether the process that wrote a lock is still there. */
async function isHeld(lock: string): Promise<boolean> {
  const pid = Number(await readFile(lock, "utf8").catch(() => "0"));
  if (!(pid > 0)) return (await sizeOf(lock)) >= 0 && Date.now() - (await stat(lock)).mtimeMs < 1000;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** Runs `fn` while no other process on this machine fetches the same file. */
async function locked<T>(path: string, signal: AbortSignal | undefined, fn: () => Promise<T>): Promise<T> {
  const lock = `${path}.lock`;
  for (;;) {
    signal?.throwIfAborted();
    const file = await open(lock, "wx").catch((error: NodeJS.ErrnoException) => {
      if (error.code === "EEXIST") return null;
      throw error;
    });
    if (file) {
      try {
        await file.writeFile(String(process.pid));
        return await fn();
      } finally {
        await file.close();
        await rm(lock, { force: true });
      }
    }
    if (await isHeld(lock).catch(() => false)) await sleep(100, undefined, { signal });
    else await rm(lock, { force: true });
  }
}

/**
 * Makes sure that `directory` holds the file, and answers its path. What is already there under its name is taken as it
 * is: names appear only when the digest was right.
 *
 * @throws Error naming every address that was tried and what it said, and what to do
 */
export async function downloadFile(
  where: string,
  { name, urls, digest }: RemoteFile,
  directory: string,
  { onProgress, signal, mirrors = [], ...network }: DownloadOptions & Pick<GetOptions, "env" | "timeout"> = {},
): Promise<string> {
  const path = join(directory, name);
  if ((await sizeOf(path)) >= 0) return path;
  await mkdir(directory, { recursive: true });
  return locked(path, signal, async () => {
    if ((await sizeOf(path)) >= 0) return path; // another process was faster
    const part = `${path}.part`;
    const failures: string[] = [];
    for (const url of [...mirrors.map((m) => `${m.replace(/\/?$/, "/")}${name}`), ...urls]) {
      try {
        await fetchWhole(url, part, digest, { signal, ...network }, (received, total) =>
          onProgress?.({ file: name, received, total }),
        );
        await rename(part, path);
        return path;
      } catch (error) {
        signal?.throwIfAborted();
        failures.push(`  ${url}: ${reasonOf(error as Error)}`);
      }
    }
    throw new Error(
      `${where}: cannot download ${name}. Tried:\n${failures.join("\n")}\n` +
        `Check the network (behind a proxy, set HTTPS_PROXY; what came so far is kept), or put the file into ${directory} by hand.`,
    );
  });
}

function reasonOf(error: Error): string {
  const { code } = error as NodeJS.ErrnoException;
  if (code === "ENOTFOUND" || code === "EAI_AGAIN") return "the host is not found; is this machine offline?";
  const inner = (error as AggregateError).errors?.[0] as Error | undefined;
  return error.message || inner?.message || code || error.name;
}

/** A response that no other attempt at this address can change. */
class Refused extends Error {}

async function fetchWhole(
  url: string,
  part: string,
  digest: string,
  options: GetOptions,
  progress: (received: number, total: number | null) => void,
): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      const resumed = await fetchPart(url, part, options, progress);
      const got = await digestOf(part, digest);
      if (got === digest) return;
      await rm(part, { force: true });
      // What was there before may have been another file's beginning.
      if (!resumed) throw new Refused(`expected a file of digest ${digest}, got ${got}`);
    } catch (error) {
      options.signal?.throwIfAborted();
      if (error instanceof Refused || attempt >= ATTEMPTS) throw error;
      await sleep(50 * attempt, undefined, { signal: options.signal });
    }
  }
}

/** Appends what `part` lacks; answers whether it held something before. */
async function fetchPart(
  url: string,
  part: string,
  options: GetOptions,
  progress: (received: number, total: number | null) => void,
): Promise<boolean> {
  const had = Math.max(0, await sizeOf(part));
  const headers = { "accept-encoding": "identity", ...(had > 0 ? { range: `bytes=${had}-` } : {}) };
  const response = await get(url, { ...options, headers });
  const { statusCode = 0 } = response;
  if (statusCode === 416) {
    response.destroy(); // nothing is left to send: the digest decides
    return true;
  }
  const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(response.headers["content-range"] ?? "");
  const goesOn = statusCode === 206 && range !== null && Number(range[1]) === had;
  if (statusCode !== 200 && !goesOn) {
    response.destroy();
    const message = `the server answers ${statusCode} ${response.statusMessage ?? ""}`.trim();
    throw statusCode >= 500 ? new Error(message) : new Refused(message);
  }
  const length = Number(response.headers["content-length"] ?? Number.NaN);
  const start = goesOn ? had : 0;
  const total = Number.isFinite(length) ? start + length : null;
  let received = start;
  progress(received, total);
  const count = new NodeTransform({
    transform(chunk: Buffer, _, done) {
      received += chunk.length;
      progress(received, total);
      done(null, chunk);
    },
  });
  await pipeline(response as IncomingMessage, count, createWriteStream(part, { flags: goesOn ? "a" : "w" }), {
    signal: options.signal,
  });
  if (total !== null && received !== total)
    throw new Error(`the transfer broke off after ${received} of ${total} bytes`);
  return had > 0;
}
