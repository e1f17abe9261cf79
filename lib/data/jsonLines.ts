/**
 * Files of one JSON value a line. Where lines begin is found once, as a stream; an example is read from the file when it is
 * asked for, so that memory holds eight bytes a line however long the lines are.
 */
import { createReadStream } from "node:fs";
import jsonSource, { type JsonMap, type JsonSource } from "./jsonSource.js";
import { PlainDataset } from "./plainDataset.js";

export interface JsonLinesOptions<V = unknown> {
  /** Keys of each object that are its fields, in this order: numbers or nested arrays of numbers. */
  fields?: readonly string[];
  /**
   * In place of `fields`: makes the fields of an example from a value. For worker threads, the address of a module whose
   * default export is this function.
   */
  map?: ((value: V, index: number) => ReturnType<JsonMap>) | URL;
}

/** Lines of a JSON file as examples. */
export class JsonLinesDataset extends PlainDataset {
  readonly file: string;

  /** @internal */
  constructor(source: ConstructorParameters<typeof PlainDataset>[1], about: JsonSource, inWorkers: boolean) {
    const worker = { module: new URL("./jsonSource.js", import.meta.url), options: about };
    super("jsonLines", source, inWorkers ? worker : undefined);
    this.file = about.file;
  }
}

const isBlank = (byte: number) => byte === 32 || byte === 9 || byte === 13;

/** Where the lines that hold something begin, and where the last ends. */
async function findLines(file: string): Promise<{ offsets: Float64Array; size: number }> {
  let offsets = new Float64Array(1024);
  let count = 0;
  const note = (offset: number) => {
    if (count === offsets.length) {
      const larger = new Float64Array(2 * count);
      larger.set(offsets);
      offsets = larger;
    }
    offsets[count++] = offset;
  };
  let size = 0; // bytes before this piece
  let open = false; // whether the line at hand has been noted
  for await (const piece of createReadStream(file)) {
    const bytes = piece as Uint8Array;
    let at = 0;
    // A byte order mark is no part of the first value.
    if (size === 0 && bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) at = 3;
    while (at < bytes.length) {
      while (!open && at < bytes.length && (isBlank(bytes[at]!) || bytes[at] === 10)) at++;
      if (at === bytes.length) break;
      if (!open) note(size + at);
      const end = bytes.indexOf(10, at);
      open = end < 0;
      at = open ? bytes.length : end + 1;
    }
    size += bytes.length;
  }
  note(size);
  const shared = new Float64Array(new SharedArrayBuffer(8 * count) as unknown as ArrayBuffer);
  shared.set(offsets.subarray(0, count));
  return { offsets: shared, size };
}

/**
 * Opens a file of JSON lines. Blank lines are no examples.
 *
 * @throws Error that names file and line of what cannot be read, when it is read
 * @example
 * import { writeFileSync } from "node:fs";
 * writeFileSync("points.jsonl", '{"x": [1, 2], "y": 0}\n{"x": [3, 4], "y": 1}\n');
 * const points = await data.jsonLines("points.jsonl", { fields: ["x", "y"] });
 * for await (const [x, y] of new data.DataLoader(points, { batchSize: 2 })) console.log(x.shape, y.shape);
 *
 * const map = ({ x, y }: { x: number[]; y: number }) => [x.map((v) => v / 4), y];
 * const halves = await data.jsonLines("points.jsonl", { map });
 */
export async function jsonLines<V = never>(
  file: string,
  { fields, map }: JsonLinesOptions<V>,
): Promise<JsonLinesDataset> {
  if ((fields === undefined) === (map === undefined))
    throw new TypeError(`jsonLines: expected fields or map, got ${fields === undefined ? "neither" : "both"}`);
  const { offsets, size } = await findLines(file);
  const address = map instanceof URL ? map.href : null;
  const about: JsonSource = { file, size, offsets, fields: fields ?? null, map: address };
  const mapping = typeof map === "function" ? (map as unknown as JsonMap) : undefined;
  return new JsonLinesDataset(await jsonSource(about, mapping), about, mapping === undefined);
}
