/** @file Image folders: what is found, how it is decoded, files that are no pictures, loaders and workers, a missing sharp. */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { data, type Tensor } from "napier";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { encodePng } from "#lib/viz/png.js";

const folder = mkdtempSync(join(tmpdir(), "napier-images-"));
afterAll(() => rmSync(folder, { recursive: true }));
const put = (path: string, bytes: Uint8Array): string => {
  const file = join(folder, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, bytes);
  return file;
};
/** A PNG whose byte at (y, x, channel) is f(y, x, channel). */
const png = (h: number, w: number, channels: 1 | 3 | 4, f: (y: number, x: number, c: number) => number) =>
  encodePng(
    Uint8Array.from({ length: h * w * channels }, (_, i) => {
      const at = Math.floor(i / channels);
      return f(Math.floor(at / w), at % w, i % channels);
    }),
    { height: h, width: w, channels },
  );
const pass: data.Pass = { seed: 1, epoch: 0 };
const batch = async (set: data.Dataset, ...i: number[]): Promise<Tensor[]> => set.batch(Int32Array.from(i), pass);
const bytes = async (set: data.Dataset, i: number) => [...(await batch(set, i))[0]!.dataSync("uint8")];

let torn = "";
beforeAll(async () => {
  put(
    "pets/dogs/b.png",
    png(2, 3, 3, (y, x, c) => 100 * c + 10 * y + x),
  );
  put(
    "pets/dogs/deep/er/a.PNG",
    png(2, 3, 3, () => 7),
  );
  put(
    "pets/cats/grey.png",
    png(2, 3, 1, (y, x) => 10 * y + x),
  );
  put(
    "pets/cats/clear.png",
    png(2, 3, 4, (_y, _x, c) => (c === 3 ? 0 : 50)),
  );
  put("pets/cats/notes.txt", Buffer.from("no picture"));
  writeFileSync(join(folder, "pets/readme.png"), "beside the classes");
  const noise = Buffer.from(Array.from({ length: 64 * 64 * 3 }, (_, i) => (i * 7919) % 251));
  const jpeg = await sharp(noise, { raw: { width: 64, height: 64, channels: 3 } })
    .jpeg()
    .toBuffer();
  put("mixed/a/whole.jpg", jpeg);
  torn = put("mixed/a/torn.jpg", jpeg.subarray(0, jpeg.length / 2));
  put("mixed/b/text.jpg", Buffer.from("not a JPEG"));
  put("mixed/b/whole.jpg", jpeg);
});
const pets = (options?: data.ImageFolderOptions) => data.imageFolder(join(folder, "pets"), options);

describe("a folder", () => {
  test("a class a subfolder, sorted, files however deep", async () => {
    const set = await pets();
    expect(set.classes).toEqual(["cats", "dogs"]);
    const names = ["cats/clear.png", "cats/grey.png", "dogs/b.png", "dogs/deep/er/a.PNG"];
    expect(set.paths).toEqual(names.map((name) => join(folder, "pets", name)));
    expect([[...set.labels], set.length]).toEqual([[0, 0, 1, 1], 4]);
    const other = await pets({ classes: ["dogs", "cats"], extensions: [".png"] });
    expect([other.classes, [...other.labels]]).toEqual([
      ["dogs", "cats"],
      [0, 0, 1, 1],
    ]);
  });
  test("bytes channel by channel, and int32 labels", async () => {
    const [x, y] = await batch(await pets(), 2, 1);
    expect([x!.dtype, x!.shape, y!.dtype, y!.toArraySync()]).toEqual(["uint8", [2, 3, 2, 3], "int32", [1, 0]]);
    expect(await bytes(await pets(), 2)).toEqual(
      [0, 100, 200].flatMap((c) => [c, c + 1, c + 2, c + 10, c + 11, c + 12]),
    );
  });
  test("grey becomes colour, transparency is left out, colour becomes grey", async () => {
    const set = await pets();
    expect(await bytes(set, 1)).toEqual([0, 1, 2].flatMap(() => [0, 1, 2, 10, 11, 12]));
    expect(await bytes(set, 0)).toEqual(new Array(18).fill(50));
    const grey = await pets({ channels: 1 });
    expect((await batch(grey, 1))[0]!.shape).toEqual([1, 1, 2, 3]);
    expect(await bytes(grey, 1)).toEqual([0, 1, 2, 10, 11, 12]);
    expect(await bytes(grey, 3)).toEqual(new Array(6).fill(7));
  });
  test("sizes: cut, stretched or padded", async () => {
    put(
      "wide/one/a.png",
      png(2, 4, 1, (_, x) => (x === 0 || x === 3 ? 200 : 100)),
    );
    const at = (fit: "crop" | "stretch" | "pad", size: number | [number, number]) =>
      data.imageFolder(join(folder, "wide"), { size, fit, channels: 1 });
    expect(await bytes(await at("crop", 2), 0)).toEqual([100, 100, 100, 100]);
    expect(await bytes(await at("pad", [4, 4]), 0)).toEqual([
      0, 0, 0, 0, 200, 100, 100, 200, 200, 100, 100, 200, 0, 0, 0, 0,
    ]);
    expect((await batch(await at("stretch", [3, 5]), 0))[0]!.shape).toEqual([1, 1, 3, 5]);
  });
});

describe("what is refused", () => {
  const cases: [string, string, data.ImageFolderOptions, string][] = [
    ["a folder without subfolders", "pets/dogs/deep/er", {}, "expected a subfolder for each class in"],
    ["a class without pictures", "pets", { extensions: [".webp"] }, "expected pictures (.webp) in"],
    ["a size of 0", "pets", { size: 0 }, "expected a size of whole numbers from 1 up, got 0"],
    ["two channels", "pets", { channels: 2 as 1 }, "expected channels 1 or 3, got 2"],
    ["another fit", "pets", { fit: "squash" as "crop" }, 'expected fit "crop", "stretch" or "pad", got "squash"'],
    ["a folder that is not there", "none", {}, "none"],
  ];
  test.each(cases)("%s", async (_, path, options, message) => {
    await expect(data.imageFolder(join(folder, path), options)).rejects.toThrow(message);
  });
  test("pictures of two sizes in one batch, without a size", async () => {
    put(
      "sizes/one/a.png",
      png(2, 3, 1, () => 0),
    );
    put(
      "sizes/one/b.png",
      png(3, 2, 1, () => 0),
    );
    const set = await data.imageFolder(join(folder, "sizes"));
    await expect(batch(set, 0, 1)).rejects.toThrow("expected uint8 [3,2,3] in field 0, got uint8 [3,3,2]");
  });
});

describe("files that are no pictures", () => {
  test("an error names file and reason", async () => {
    const set = await data.imageFolder(join(folder, "mixed"));
    await expect(batch(set, 0)).rejects.toThrow(`imageFolder: ${torn} cannot be decoded: `);
    await expect(batch(set, 1, 2)).rejects.toThrow(
      "text.jpg cannot be decoded: Input file contains unsupported image format",
    );
  });
  test("or they are left out, counted and listed", async () => {
    const set = await data.imageFolder(join(folder, "mixed"), { onError: "skip", size: 8 });
    expect([set.length, [...set.labels]]).toEqual([2, [0, 1]]);
    expect(set.skipped.map(({ path }) => path)).toEqual([torn, join(folder, "mixed/b/text.jpg")]);
    expect(set.skipped[1]!.reason).toContain("unsupported image format");
    expect((await batch(set, 0, 1))[0]!.shape).toEqual([2, 3, 8, 8]);
  });
});

test("a cache keeps decoded pictures up to its bytes", async () => {
  const file = put(
    "kept/one/a.png",
    png(2, 2, 1, () => 1),
  );
  const other = put(
    "kept/one/b.png",
    png(2, 2, 1, () => 2),
  );
  const roomy = await data.imageFolder(join(folder, "kept"), { cache: 24 });
  const tight = await data.imageFolder(join(folder, "kept"), { cache: 12 });
  for (const set of [roomy, tight]) for (const i of [0, 1]) await batch(set, i);
  writeFileSync(
    file,
    png(2, 2, 1, () => 9),
  );
  writeFileSync(
    other,
    png(2, 2, 1, () => 9),
  );
  expect([(await bytes(roomy, 0))[0], (await bytes(roomy, 1))[0]]).toEqual([1, 2]);
  expect([(await bytes(tight, 1))[0], (await bytes(tight, 0))[0]]).toEqual([2, 9]);
});

test("the same batches with and without workers, whole and split", async () => {
  const epoch = async (set: data.Dataset, workers: number) => {
    const batches: unknown[] = [];
    const loader = new data.DataLoader(set, {
      batchSize: 2,
      shuffle: true,
      seed: 2,
      workers,
      transform: new data.Normalize([0.5, 0.5, 0.5], [0.5, 0.5, 0.5]),
    });
    for await (const fields of loader) batches.push(fields.map((t) => t.toArraySync()));
    return batches;
  };
  const set = await pets({ size: 4 });
  expect(await epoch(set, 2)).toEqual(await epoch(set, 0));
  const [part] = data.randomSplit(set, [3, 1]);
  expect(await epoch(part!, 1)).toEqual(await epoch(part!, 0));
});

test("without sharp an error says what to type", () => {
  const hooks = `export async function resolve(name, context, next) {
    if (name === "sharp") throw Object.assign(new Error("Cannot find package 'sharp'"), { code: "ERR_MODULE_NOT_FOUND" });
    return next(name, context);
  }`;
  const url = (code: string) => `data:text/javascript,${encodeURIComponent(code)}`;
  const program = `import { register } from "node:module";
    register(${JSON.stringify(url(hooks))});
    const { data } = await import("napier");
    await data.imageFolder(${JSON.stringify(join(folder, "pets"))}).catch((error) => console.log(error.message));`;
  const { stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", program], {
    encoding: "utf8",
    cwd: new URL("../..", import.meta.url),
  });
  expect(stderr).toBe("");
  expect(stdout.trim()).toBe(
    'imageFolder: pictures are decoded by the package sharp, which is not installed. Run "npm install sharp"',
  );
  expect(
    JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")).peerDependenciesMeta.sharp,
  ).toEqual({ optional: true });
});
