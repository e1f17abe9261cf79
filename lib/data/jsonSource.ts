/**
 * Lines of JSON read by their places in a file: this thread's examples and those of worker threads.
 */
import { close, createReadStream, fstatSync, openSync, read } from "node:fs";
import { promisify } from "node:util";
import type { PlainField } from "./plain.js";
import type { WorkerDataset } from "./worker.js";

const readAt = promisify(read);
// A data set has no end that it could be closed at.
const abandoned = new FinalizationRegistry<number>((descriptor) => close(descriptor, () => {}));

/** Makes the fields of an example from what a line holds. */
export type JsonMap = (value: never, index: number) => readonly PlainField[] | Promise<readonly PlainField[]>;

/** Where the lines of a file stand, and what becomes of them. */
export interface JsonSource {
  file: string;
  /** Bytes of the file when its lines were found. */
  size: number;
  /** Where each line begins, and behind the last: [length + 1]. */
  offsets: Float64Array;
  /** Keys to take in this order, or the address of a module whose default export is a JsonMap. */
  fields: readonly string[] | null;
  map: string | null;
}

/** The number, from 1, of the line that begins at `offset`. */
async function lineAt(file: string, offset: number): Promise<number> {
  let line = 1;
  if (offset === 0) return line;
  for await (const bytes of createReadStream(file, { end: offset - 1 }))
    for (const byte of bytes as Uint8Array) if (byte === 10) line++;
  return line;
}

function take(value: unknown, fields: readonly string[]): PlainField[] {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new Error(`expected an object with ${fields.join(", ")}, got ${JSON.stringify(value)?.slice(0, 80)}`);
  return fields.map((name) => {
    if (!Object.hasOwn(value, name))
      throw new Error(`expected a key "${name}", got ${Object.keys(value).slice(0, 20).join(", ") || "none"}`);
    const field = (value as Record<string, unknown>)[name];
    if (typeof field !== "number" && !Array.isArray(field))
      throw new Error(
        `expected a number or nested arrays of numbers under "${name}", got ${JSON.stringify(field)?.slice(0, 80)}; map makes fields of anything`,
      );
    return field as PlainField;
  });
}

/** The examples of a file; `mapping` stands for the module `map` where the caller has the function itself. */
export default async function jsonSource(
  { file, size, offsets, fields, map }: JsonSource,
  mapping?: JsonMap,
): Promise<WorkerDataset> {
  const apply = mapping ?? (map === null ? null : ((await import(map)) as { default: JsonMap }).default);
  if (apply !== null && typeof apply !== "function")
    throw new TypeError(`jsonLines: expected the default export of ${map} to be a function, got ${typeof apply}`);
  const descriptor = openSync(file, "r");
  const source: WorkerDataset = {
    length: offsets.length - 1,
    async get(index) {
      const [from, until] = [offsets[index]!, offsets[index + 1]!];
      const bytes = Buffer.allocUnsafe(until - from);
      const { bytesRead } = await readAt(descriptor, bytes, 0, bytes.length, from);
      const now = fstatSync(descriptor).size;
      if (bytesRead !== bytes.length || now !== size)
        throw new Error(`jsonLines: expected ${file} to stay as it was opened, ${size} bytes, got ${now}`);
      try {
        const value: unknown = JSON.parse(bytes.toString("utf8"));
        return apply ? await apply(value as never, index) : take(value, fields!);
      } catch (error) {
        const line = await lineAt(file, from);
        throw new Error(`jsonLines: ${file}, line ${line}: ${(error as Error).message}`, { cause: error });
      }
    },
  };
  abandoned.register(source, descriptor);
  return source;
}
