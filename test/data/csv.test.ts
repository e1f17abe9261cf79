/** @file CSV files: the grammar, columns, missing values, errors with their places, loaders and workers. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { data, type Tensor } from "napier";
import { afterAll, describe, expect, test } from "vitest";
import { CsvParser } from "#lib/data/csvParse.js";

const folder = mkdtempSync(join(tmpdir(), "napier-csv-"));
afterAll(() => rmSync(folder, { recursive: true }));
let files = 0;
const write = (text: string | Uint8Array): string => {
  const file = join(folder, `${files++}.csv`);
  writeFileSync(file, text);
  return file;
};
const pass: data.Pass = { seed: 1, epoch: 0 };
const all = async (set: data.Dataset): Promise<Tensor[]> =>
  set.batch(
    Int32Array.from({ length: set.length }, (_, i) => i),
    pass,
  );
const arrays = async (set: data.Dataset) => (await all(set)).map((t) => t.toArraySync());

describe("RFC 4180", () => {
  const rows = (text: string, piece: number, syntax = { delimiter: ",", quote: '"' }): string[][] => {
    const parser = new CsvParser("a.csv", syntax);
    const found: string[][] = [];
    for (let i = 0; i < text.length; i += piece)
      found.push(...parser.push(text.slice(i, i + piece)).map((row) => row.fields));
    return [...found, ...parser.end().map((row) => row.fields)];
  };
  const cases: [string, string, string[][]][] = [
    [
      "two records",
      "a,b\nc,d\n",
      [
        ["a", "b"],
        ["c", "d"],
      ],
    ],
    [
      "no line end at the end",
      "a,b\nc,d",
      [
        ["a", "b"],
        ["c", "d"],
      ],
    ],
    [
      "CRLF and CR",
      "a,b\r\nc,d\re,f\r\n",
      [
        ["a", "b"],
        ["c", "d"],
        ["e", "f"],
      ],
    ],
    [
      "empty fields",
      ",\n,,x,\n",
      [
        ["", ""],
        ["", "", "x", ""],
      ],
    ],
    ["blank lines are none", "\na\n\r\n\n", [["a"]]],
    ["quoted delimiter, line end and quote", '"a,b","c\nd","e""f"\n', [["a,b", "c\nd", 'e"f']]],
    ["quoted CRLF stays", '"a\r\nb",c\r\n', [["a\r\nb", "c"]]],
    ["quoted nothing is a record", '""\n', [[""]]],
    ["quotes within a field are letters", '5" pipe,a"b"\n', [['5" pipe', 'a"b"']]],
    ["spaces belong to the field", " a , b\n", [[" a ", " b"]]],
  ];
  test.each(cases)("%s, in pieces of any length", (_, text, wanted) => {
    for (const piece of [1, 2, 3, 100]) expect(rows(text, piece)).toEqual(wanted);
  });
  test("other delimiters and quotes, or none", () => {
    expect(rows("'a;b';c\n", 1, { delimiter: ";", quote: "'" })).toEqual([["a;b", "c"]]);
    expect(rows('"a,b\n', 1, { delimiter: ",", quote: "" })).toEqual([['"a', "b"]]);
  });
  test("lines are counted within quotes too", () => {
    const parser = new CsvParser("a.csv", { delimiter: ",", quote: '"' });
    expect(parser.push('"a\r\nb\nc",d\r\ne,f\n').map(({ line }) => line)).toEqual([1, 4]);
    expect(() => parser.push('g,"h"i')).toThrow(
      'expected a delimiter or the end of the line behind a closing quote in a.csv, line 5, column 2, got "i"',
    );
  });
});

describe("columns", () => {
  test("numbers, classes and a target of words", async () => {
    const file = write("\ufefflength,colour,width,species\n1,red,2.5,b\n-3e2,blue,.5,a\n+4,red,Infinity,b\n");
    const set = await data.csvDataset(file, { target: "species" });
    expect([set.length, set.numbers, set.categories, set.classes]).toEqual([
      3,
      ["length", "width"],
      { colour: ["blue", "red"] },
      ["a", "b"],
    ]);
    const [x, c, y] = await all(set);
    expect([x!.dtype, c!.dtype, y!.dtype]).toEqual(["float32", "int32", "int32"]);
    expect([x!.shape, c!.shape, y!.shape]).toEqual([[3, 2], [3, 1], [3]]);
    expect(x!.toArraySync()).toEqual([
      [1, 2.5],
      [-300, 0.5],
      [4, Number.POSITIVE_INFINITY],
    ]);
    expect(c!.toArraySync()).toEqual([[1], [0], [1]]);
    expect(y!.toArraySync()).toEqual([1, 0, 1]);
  });
  test("a target of numbers is float32, whatever the numbers; with types, classes", async () => {
    const file = write("x,y\n1,10\n2,9\n");
    const [, y] = await all(await data.csvDataset(file, { target: "y" }));
    expect([y!.dtype, y!.toArraySync()]).toEqual(["float32", [10, 9]]);
    const set = await data.csvDataset(file, { target: "y", types: { y: "category" } });
    expect(set.classes).toEqual(["10", "9"]);
    expect(await arrays(set)).toEqual([
      [[1], [2]],
      [0, 1],
    ]);
  });
  test("are chosen by name or place, in any order", async () => {
    const file = write("a,b,c\n1,2,3\n");
    expect(await arrays(await data.csvDataset(file, { columns: ["c", 0] }))).toEqual([[[3, 1]]]);
    expect(
      await arrays(
        await data.csvDataset(file, {
          header: false,
          types: { 0: "category", 1: "category", 2: "category" },
          columns: [1],
        }),
      ),
    ).toEqual([[[1], [0]]]);
    const named = await data.csvDataset(write("1;2\n"), { header: ["p", "q"], delimiter: ";", target: "p" });
    expect([named.numbers, await arrays(named)]).toEqual([["q"], [[[2]], [1]]]);
  });
  test("classes of another file's order", async () => {
    const file = write("c\nb\na\n");
    const set = await data.csvDataset(file, { categories: { c: ["z", "b", "a"] }, target: "c" });
    expect([set.classes, await arrays(set)]).toEqual([["z", "b", "a"], [[1, 2]]]);
    await expect(data.csvDataset(file, { categories: { c: ["a"] } })).rejects.toThrow(
      `expected one of 1 classes in ${file}, line 2, column "c", got "b"`,
    );
  });
  test("more rows than a block holds", async () => {
    const n = 3000;
    const file = write(`x,c\n${Array.from({ length: n }, (_, i) => `${i},k${i % 7}`).join("\n")}`);
    const set = await data.csvDataset(file, { target: "c" });
    const [x, y] = await all(set);
    expect([...x!.dataSync("float32")]).toEqual(Array.from({ length: n }, (_, i) => i));
    expect([...y!.dataSync("int32")]).toEqual(Array.from({ length: n }, (_, i) => i % 7));
  });
});

describe("missing values", () => {
  const file = () => write("x,c,y\n1,a,1\nNA,b,2\n5,,3\n");
  test("are errors with their place", async () => {
    const name = file();
    await expect(data.csvDataset(name)).rejects.toThrow(
      `csvDataset: expected a value in ${name}, line 3, column "x", got "NA"; onMissing says`,
    );
  });
  test("leave their record out, and are counted", async () => {
    const set = await data.csvDataset(file(), { onMissing: "skip", target: "y" });
    expect([set.length, set.skipped, await arrays(set)]).toEqual([1, 2, [[[1]], [[0]], [1]]]);
  });
  test("are filled with the mean or a number, or make a class", async () => {
    const mean = await data.csvDataset(file(), { onMissing: "mean", target: "y" });
    expect(mean.categories).toEqual({ c: ["", "a", "b"] });
    expect(await arrays(mean)).toEqual([
      [[1], [3], [5]],
      [[1], [2], [0]],
      [1, 2, 3],
    ]);
    const number = await data.csvDataset(file(), { onMissing: -1, columns: ["x"] });
    expect(await arrays(number)).toEqual([[[1], [-1], [5]]]);
  });
  test("of a target are never filled", async () => {
    await expect(data.csvDataset(file(), { onMissing: "mean", target: "c", columns: ["x"] })).rejects.toThrow(
      'line 4, column "c"',
    );
  });
  test("other texts say so", async () => {
    const set = await data.csvDataset(write("x\n1\n?\n"), { missing: ["?"], onMissing: 0 });
    expect(await arrays(set)).toEqual([[[1], [0]]]);
  });
});

describe("errors name file, line and column", () => {
  const cases: [string, string | Uint8Array, data.CsvOptions, string][] = [
    [
      "a word among numbers",
      "a,b\n1,2\n3,x\n",
      {},
      'line 3, column "b", got "x"; types: { "b": "category" } reads words',
    ],
    ["too few fields", 'a,b\n"1\n",2\n3\n', { types: { a: "category" } }, "expected 2 fields in FILE, line 4, got 1"],
    ["an open quote", 'a,b\n1,"2\n3,4\n', {}, "expected a closing quote for the one in FILE, line 2, column 2"],
    ["no such column", "a,b\n1,2\n", { target: "c" }, 'expected one of the 2 columns (a, b) of FILE, got "c"'],
    ["two columns of one name", "a,a\n1,2\n", {}, 'expected columns of different names in FILE, got "a" twice'],
    ["nothing at all", "", {}, "expected records in FILE, got an empty file"],
    ["other encodings", Uint8Array.of(97, 10, 0xe4, 10), {}, "expected text in UTF-8 in FILE"],
    ["means of nothing", "a\nNA\n", { onMissing: "mean" }, 'a number to take the mean of in column "a"'],
    ["a delimiter of two characters", "a\n", { delimiter: "::" }, "expected a delimiter of one character"],
  ];
  test.each(cases)("%s", async (_, text, options, message) => {
    const file = write(text);
    await expect(data.csvDataset(file, options)).rejects.toThrow(message.replace("FILE", file));
  });
  test("a file that is not there", async () => {
    await expect(data.csvDataset(join(folder, "none.csv"))).rejects.toThrow("none.csv");
  });
});

describe("in a loader", () => {
  const file = write(`x,y\n${Array.from({ length: 23 }, (_, i) => `${i},${"abc"[i % 3]}`).join("\n")}\n`);
  const epoch = async (set: data.Dataset, options: data.DataLoaderOptions) => {
    const batches: unknown[] = [];
    const loader = new data.DataLoader(set, { batchSize: 4, seed: 3, ...options });
    for await (const batch of loader) batches.push(batch.map((t) => t.toArraySync()));
    return batches;
  };
  test("the same batches with and without workers, whole and split", async () => {
    const set = await data.csvDataset(file, { target: "y" });
    const here = await epoch(set, { shuffle: true });
    expect(here).toHaveLength(6);
    expect(await epoch(set, { shuffle: true, workers: 2 })).toEqual(here);
    const [part] = data.randomSplit(set, [15, 8], { seed: 1 });
    const some = await epoch(part!, { shuffle: true });
    expect(await epoch(part!, { shuffle: true, workers: 2 })).toEqual(some);
  });
  test("indices out of range are refused", async () => {
    const set = await data.csvDataset(file, { target: "y" });
    await expect(set.batch(Int32Array.of(23), pass)).rejects.toThrow(
      "csvDataset: expected indices from 0 to 22, got 23",
    );
  });
});
