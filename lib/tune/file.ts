/**
 * The file of a search: a line that says what is searched, then a line for each trial that is over. JSON; numbers that JSON
 * cannot hold (NaN, Infinity, -0) stand as in checkpoints: {"$napier":["number","NaN"]}.
 */
import { mkdir, readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { expect } from "../errors.js";
import { appendLine } from "../io/atomic.js";

const MARK = "$napier";

/** A value as one line. */
export const toLine = (value: unknown): string =>
  JSON.stringify(value, (_, v) =>
    typeof v === "number" && (!Number.isFinite(v) || Object.is(v, -0))
      ? { [MARK]: ["number", Object.is(v, -0) ? "-0" : String(v)] }
      : v,
  );
/** The value of a line. */
export const fromLine = (line: string): unknown =>
  JSON.parse(line, (_, v) => (v?.[MARK] === undefined ? v : Number(v[MARK][1])));

/** What a file's first line says: whoever goes on from it says the same. */
export type Header = { format: string; version: number } & Readonly<Record<string, unknown>>;

/** Trials that are over, and a place for the next. */
export interface TrialFile<T> {
  /** In the order in which they ended. */
  trials: T[];
  /** Adds a line; lines of several calls stand whole, one after another. */
  append(trial: T): Promise<void>;
}

/**
 * Opens the file, or begins it with its first line.
 *
 * @throws (rejects) Error where it is of something else, or does not say of what; ShapeError where JSON cannot hold the header
 */
export async function openTrialFile<T>(op: string, path: string, header: Header): Promise<TrialFile<T>> {
  const first = toLine(header);
  const held = isDeepStrictEqual(fromLine(first), header);
  expect(
    held,
    op,
    `values that JSON can hold (numbers, texts, booleans, null, lists, plain objects) to keep them in ${path}`,
    first,
  );
  const text = await readFile(path, "utf8").catch((error) => {
    if (error.code === "ENOENT") return "";
    throw error;
  });
  const [there, ...trials] = text.split("\n").flatMap(readable);
  if (there === undefined) {
    await mkdir(dirname(path), { recursive: true });
    await appendLine(path, first);
  } else if (typeof there.format !== "string")
    throw new Error(
      `${op}: expected ${path} to say in its first line what it is of, got a line without a format (files of older versions have ` +
        `none); give another file, or, where its trials are of this very search, put this line first: ${first}`,
    );
  else {
    const different =
      there.format === header.format
        ? differences(there, header)
        : differences({ format: there.format }, { format: header.format });
    if (different.length > 0)
      throw new Error(
        `${op}: ${path} is of something else: ${different.join(", ")}; give another file, or what stands there`,
      );
  }
  let writing: Promise<void> = Promise.resolve();
  return {
    trials: trials as T[],
    append: (trial) => {
      writing = writing.then(() => appendLine(path, toLine(trial)));
      return writing;
    },
  };
}

/** The object of a line; none for the torn line of a process that was killed. */
function readable(line: string): Record<string, unknown>[] {
  try {
    const value = fromLine(line);
    return typeof value === "object" && value !== null ? [value as Record<string, unknown>] : [];
  } catch {
    return [];
  }
}

/** An object is its names in their order (samplers draw in it) and each of its values. */
const partsOf = (header: object): [string, unknown][] =>
  Object.entries(header).flatMap(([name, value]): [string, unknown][] =>
    typeof value === "object" && value !== null && !Array.isArray(value)
      ? [[name, Object.keys(value)], ...Object.entries(value).map(([k, v]): [string, unknown] => [`${name}.${k}`, v])]
      : [[name, value]],
  );

function differences(there: object, here: object): string[] {
  const [a, b] = [there, here].map((header) => new Map(partsOf(header).map(([name, value]) => [name, toLine(value)])));
  return [...new Set([...a!.keys(), ...b!.keys()])]
    .filter((name) => a!.get(name) !== b!.get(name))
    .map((name) => `${name} is ${a!.get(name) ?? "absent"} there and ${b!.get(name) ?? "absent"} here`);
}
