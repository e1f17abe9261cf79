/**
 * Tables from CSV files: numbers become one float32 array, words become class indices. A file is read once, as a stream;
 * what stays is four bytes a cell, in memory that worker threads share.
 */
import { type CsvRow, csvRows } from "./csvParse.js";
import { PlainDataset } from "./plainDataset.js";
import table, { type TableSource } from "./tableSource.js";

export type ColumnType = "number" | "category";

export interface CsvOptions {
  /** Columns that an example has, by name or, from 0, by place, in this order. Default: all but the target. */
  columns?: readonly (string | number)[];
  /** The column to predict, by name or place. Default: none. */
  target?: string | number;
  /**
   * What columns hold, by name. Default: what the first value that is not missing looks like. Classes that are written as
   * numbers need it: `{ label: "category" }`.
   */
  types?: Readonly<Record<string, ColumnType>>;
  /** The names of a column's classes in their order, such as those of a training set. Default: those met, sorted. */
  categories?: Readonly<Record<string, readonly string[]>>;
  /** Whether the first record names the columns (default), or their names; false names them "0", "1", ... */
  header?: boolean | readonly string[];
  /** One character. Default ",". */
  delimiter?: string;
  /** One character, or null where quotes mean nothing. Default '"'. */
  quote?: string | null;
  /** Texts that say that a value is missing. Default "", "NA", "N/A", "NaN", "nan" and "null". */
  missing?: readonly string[];
  /**
   * What becomes of a missing value: "error" (default); "skip" leaves the record out; a number stands in its place, "mean"
   * puts the mean of its column there, and in a column of categories both make a class named "". A target is never filled.
   */
  onMissing?: "error" | "skip" | "mean" | number;
}

/** Rows of a table: examples of [numbers [d], categories [k], target], each of them where the table has such columns. */
export class TableDataset extends PlainDataset {
  /** Names of the columns of numbers. */
  readonly numbers: readonly string[];
  /** Names of the columns of categories, and the names of their classes. */
  readonly categories: Readonly<Record<string, readonly string[]>>;
  /** Names of the target's classes; null for a number, or without a target. */
  readonly classes: readonly string[] | null;
  /** Records that were left out because a value was missing. */
  readonly skipped: number;
  /** The cells: read-only views. */
  readonly cells: Readonly<TableSource>;

  /** @internal */
  constructor(cells: TableSource, about: Pick<TableDataset, "numbers" | "categories" | "classes" | "skipped">) {
    super("csvDataset", table(cells), { module: new URL("./tableSource.js", import.meta.url), options: cells });
    this.cells = cells;
    this.numbers = about.numbers;
    this.categories = about.categories;
    this.classes = about.classes;
    this.skipped = about.skipped;
  }
}

const BLOCK = 1 << 10; // cells that a column grows by

/** The cells of a column so far: blocks are never copied while a file is read. */
class Cells {
  private readonly blocks: Float64Array[] = [];
  length = 0;
  push(value: number): void {
    if (this.length % BLOCK === 0) this.blocks.push(new Float64Array(BLOCK));
    this.blocks[this.blocks.length - 1]![this.length++ % BLOCK] = value;
  }
  /** Writes f(cell) to every `step`th element of `into`, from `at`; frees the blocks. */
  spill(into: Float32Array | Int32Array, at: number, step: number, f: (value: number) => number): void {
    this.blocks.forEach((block, b) => {
      const n = Math.min(BLOCK, this.length - b * BLOCK);
      for (let i = 0; i < n; i++) into[(b * BLOCK + i) * step + at] = f(block[i]!);
    });
    this.blocks.length = 0;
  }
}

/** A column as it is read: numbers, or class indices in the order they are met. NaN is missing. */
interface Column {
  name: string;
  place: number;
  type: ColumnType | null;
  cells: Cells;
  sum: number;
  counted: number;
  classes: Map<string, number>;
  /** Whether the classes were given, so that no other may come. */
  closed: boolean;
}

const MISSING = ["", "NA", "N/A", "NaN", "nan", "null"];
const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$|^[+-]?(inf|infinity)$/i;
const numberOf = (text: string): number => {
  const trimmed = text.trim();
  if (!NUMBER.test(trimmed)) return Number.NaN;
  if (/inf/i.test(trimmed)) return trimmed.startsWith("-") ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  return Number(trimmed);
};

function checkSyntax(delimiter: string, quote: string | null): void {
  const one = (c: string) => c.length === 1 && c !== "\n" && c !== "\r";
  if (!one(delimiter))
    throw new TypeError(`csvDataset: expected a delimiter of one character, got ${JSON.stringify(delimiter)}`);
  if (quote !== null && (!one(quote) || quote === delimiter))
    throw new TypeError(
      `csvDataset: expected a quote of one character, not the delimiter, or null, got ${JSON.stringify(quote)}`,
    );
}

/** Which columns of a file are read. */
function choose(
  file: string,
  names: readonly string[],
  { columns, target, types = {}, categories = {} }: CsvOptions,
): { features: Column[]; target: Column | null } {
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined)
    throw new Error(`csvDataset: expected columns of different names in ${file}, got "${twice}" twice`);
  const known = `${names.length} columns (${names.slice(0, 20).join(", ")}${names.length > 20 ? ", ..." : ""})`;
  const find = (which: string | number): number => {
    const place = typeof which === "number" ? which : names.indexOf(which);
    if (Number.isInteger(place) && place >= 0 && place < names.length) return place;
    throw new Error(`csvDataset: expected one of the ${known} of ${file}, got ${JSON.stringify(which)}`);
  };
  for (const name of [...Object.keys(types), ...Object.keys(categories)]) find(name);
  const column = (place: number): Column => {
    const name = names[place]!;
    const given = Object.hasOwn(categories, name) ? categories[name]! : null;
    const type = (Object.hasOwn(types, name) ? types[name]! : null) ?? (given ? "category" : null);
    if (type !== null && type !== "number" && type !== "category")
      throw new TypeError(`csvDataset: expected type "number" or "category" of column "${name}", got "${type}"`);
    if (given && type === "number")
      throw new TypeError(`csvDataset: expected a column of categories to have classes, got "${name}" of numbers`);
    const classes = new Map((given ?? []).map((c, i) => [c, i]));
    return { name, place, type, cells: new Cells(), sum: 0, counted: 0, classes, closed: given !== null };
  };
  const at = target === undefined ? -1 : find(target);
  const places = columns ? columns.map(find) : names.map((_, i) => i).filter((i) => i !== at);
  return { features: places.map(column), target: at < 0 ? null : column(at) };
}

/**
 * Reads a table. Examples are [x, y]: x float32 [d] of the columns that hold numbers, y the target, float32 or, of a column
 * of categories, an int32 class index. Where other columns hold categories their indices, int32 [k], stand between the two.
 *
 * @throws Error that names file, line and column of what cannot be read
 * @example
 * import { writeFileSync } from "node:fs";
 * writeFileSync("flowers.csv", "length,width,species\n5.1,3.5,setosa\n6.2,2.9,virginica\n");
 * const flowers = await data.csvDataset("flowers.csv", { target: "species" });
 * console.log(flowers.numbers, flowers.classes); // ["length", "width"], ["setosa", "virginica"]
 * for await (const [x, y] of new data.DataLoader(flowers, { batchSize: 2 })) console.log(x.shape, y.shape);
 */
export async function csvDataset(file: string, options: CsvOptions = {}): Promise<TableDataset> {
  const { header = true, delimiter = ",", quote = '"', missing = MISSING, onMissing = "error" } = options;
  checkSyntax(delimiter, quote);
  if (!["error", "skip", "mean"].includes(onMissing as string) && typeof onMissing !== "number")
    throw new TypeError(`csvDataset: expected onMissing "error", "skip", "mean" or a number, got ${onMissing}`);
  const gone = new Set(missing);
  let names = Array.isArray(header) ? [...(header as readonly string[])] : null;
  let chosen: ReturnType<typeof choose> | null = null;
  let [length, skipped] = [0, 0];
  const read = ({ line, fields }: CsvRow): void => {
    if (names === null) {
      names = header === true ? fields : fields.map((_, i) => `${i}`);
      if (header === true) return;
    }
    chosen ??= choose(file, names, options);
    const { features, target } = chosen;
    if (fields.length !== names.length)
      throw new Error(`csvDataset: expected ${names.length} fields in ${file}, line ${line}, got ${fields.length}`);
    const all = target ? [...features, target] : features;
    const lacks = all.find(({ place }) => gone.has(fields[place]!.trim()));
    if (lacks && (onMissing === "error" || (onMissing !== "skip" && lacks === target)))
      throw new Error(
        `csvDataset: expected a value in ${file}, line ${line}, column "${lacks.name}", got ${JSON.stringify(fields[lacks.place])}; onMissing says what to do with missing ones`,
      );
    if (lacks && onMissing === "skip") {
      skipped++;
      return;
    }
    for (const column of all) column.cells.push(cellOf(file, line, column, fields[column.place]!, gone));
    length++;
  };
  for await (const rows of csvRows(file, { delimiter, quote: quote ?? "" })) for (const row of rows) read(row);
  if (names === null) throw new Error(`csvDataset: expected records in ${file}, got an empty file`);
  chosen ??= choose(file, names, options);
  return assemble(chosen, length, skipped, onMissing);
}

/** A cell as a number: itself, or its class. */
function cellOf(file: string, line: number, column: Column, text: string, gone: ReadonlySet<string>): number {
  if (gone.has(text.trim())) return Number.NaN;
  column.type ??= Number.isNaN(numberOf(text)) ? "category" : "number";
  if (column.type === "number") {
    const value = numberOf(text);
    if (Number.isNaN(value))
      throw new Error(
        `csvDataset: expected a number in ${file}, line ${line}, column "${column.name}", got ${JSON.stringify(text)}; ` +
          `types: { ${JSON.stringify(column.name)}: "category" } reads words`,
      );
    column.sum += value;
    column.counted++;
    return value;
  }
  const known = column.classes.get(text);
  if (known !== undefined) return known;
  if (column.closed)
    throw new Error(
      `csvDataset: expected one of ${column.classes.size} classes in ${file}, line ${line}, column "${column.name}", got ${JSON.stringify(text)}`,
    );
  column.classes.set(text, column.classes.size);
  return column.classes.size - 1;
}

const shared = (bytes: number) => new SharedArrayBuffer(bytes) as unknown as ArrayBuffer;

/** Puts the columns into shared memory. */
function assemble(
  { features, target }: { features: Column[]; target: Column | null },
  length: number,
  skipped: number,
  onMissing: CsvOptions["onMissing"],
): TableDataset {
  const numeric = features.filter(({ type }) => type !== "category");
  const named = features.filter(({ type }) => type === "category");
  const numbers = numeric.length > 0 ? new Float32Array(shared(4 * length * numeric.length)) : null;
  const categories = named.length > 0 ? new Int32Array(shared(4 * length * named.length)) : null;
  numeric.forEach((column, i) => {
    if (onMissing === "mean" && column.counted === 0 && length > 0)
      throw new Error(
        `csvDataset: expected a number to take the mean of in column "${column.name}", got missing ones only`,
      );
    const instead = typeof onMissing === "number" ? onMissing : column.sum / column.counted;
    column.cells.spill(numbers!, i, numeric.length, (v) => (Number.isNaN(v) ? instead : v));
  });
  named.forEach((column, i) => {
    spillClasses(column, categories!, i, named.length);
  });
  let cells: Float32Array | Int32Array | null = null;
  if (target?.type === "category") {
    cells = new Int32Array(shared(4 * length));
    spillClasses(target, cells, 0, 1);
  } else if (target) {
    cells = new Float32Array(shared(4 * length));
    target.cells.spill(cells, 0, 1, (v) => v);
  }
  return new TableDataset(
    { length, numbers, categories, target: cells },
    {
      numbers: numeric.map(({ name }) => name),
      categories: Object.fromEntries(named.map(({ name, classes }) => [name, [...classes.keys()]])),
      classes: target?.type === "category" ? [...target.classes.keys()] : null,
      skipped,
    },
  );
}

/** Class indices in the order of the sorted names, or of those given; a missing one is the class "". */
function spillClasses(column: Column, into: Int32Array, at: number, step: number): void {
  const met = [...column.classes.keys()];
  let lacks = false;
  const place = (v: number) => {
    if (!Number.isNaN(v)) return v;
    lacks = true;
    return -1;
  };
  column.cells.spill(into, at, step, place);
  const names = lacks && !met.includes("") ? [...met, ""] : [...met];
  if (!column.closed) names.sort();
  const order = new Map(names.map((name, i) => [name, i]));
  const moved = met.map((name) => order.get(name)!);
  for (let i = at; i < into.length; i += step) into[i] = into[i]! < 0 ? order.get("")! : moved[into[i]!]!;
  column.classes = order;
}
