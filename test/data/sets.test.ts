/** @file Data sets by name: glyphs drawn, IDX and CIFAR-10 files that the test writes. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { data } from "napier";
import { afterAll, describe, expect, test } from "vitest";

const directory = mkdtempSync(join(tmpdir(), "napier-sets-"));
afterAll(() => rmSync(directory, { recursive: true }));
const pass: data.Pass = { seed: 1, epoch: 0 };

describe("glyphs", () => {
  test("sizes, classes, and the pictures that glyphImages draws, normalised", async () => {
    const sets = await data.glyphs({ seed: 7, train: 230, test: 15 });
    expect([sets.train.length, sets.test.length, sets.classes.length]).toEqual([230, 15, 10]);
    const drawn = data.glyphImages({ seed: 7, split: "train", count: 230 });
    expect(Buffer.compare(Buffer.from(sets.train.tensors[0]!.dataSync("uint8")), Buffer.from(drawn.images))).toBe(0);
    expect([...sets.train.tensors[1]!.dataSync("int32")]).toEqual([...drawn.labels]);
    const [x, y] = sets.train.batch(Int32Array.from([229, 3]), pass);
    expect([x!.dtype, x!.shape, y!.dtype]).toEqual(["float32", [2, 1, 28, 28], "int32"]);
    const [mean, std] = [sets.normalize.mean[0]!, sets.normalize.std[0]!];
    x!.dataSync().forEach((v, i) => {
      expect(v).toBeCloseTo((drawn.images[(i < 784 ? 229 : 2) * 784 + i]! / 255 - mean) / std, 4);
    });
    const raw = await data.glyphs({ seed: 7, train: 3, test: 1, normalize: false });
    expect(raw.train.batch(Int32Array.from([0]), pass)[0]!.dtype).toBe("uint8");
  });
  test("the normalisation is that of the pictures", async () => {
    const { images } = data.glyphImages({ seed: 231, split: "train", count: 5000 });
    let [sum, squares] = [0, 0];
    for (const b of images) [sum, squares] = [sum + b, squares + b * b];
    const mean = sum / images.length / 255;
    const { normalize } = await data.glyphs({ train: 0, test: 0 });
    expect(mean).toBeCloseTo(normalize.mean[0]!, 2);
    expect(Math.sqrt(squares / images.length / 255 ** 2 - mean ** 2)).toBeCloseTo(normalize.std[0]!, 2);
  });
  test("wrong counts", async () => {
    await expect(data.glyphs({ train: -1 })).rejects.toThrow(
      "glyphs: expected train to be a number of pictures from 0 up, got -1",
    );
  });
});

const idx = (shape: number[], bytes: number[]) =>
  Buffer.concat([
    Buffer.from([0, 0, 8, shape.length]),
    ...shape.map((e) => Buffer.from([0, 0, e >> 8, e & 255])),
    Buffer.from(bytes),
  ]);

describe("files", () => {
  test("MNIST and Fashion-MNIST", async () => {
    writeFileSync(
      join(directory, "train-images-idx3-ubyte.gz"),
      gzipSync(idx([2, 2, 3], [0, 1, 2, 3, 4, 5, 255, 7, 8, 9, 10, 11])),
    );
    writeFileSync(join(directory, "train-labels-idx1-ubyte"), idx([2], [3, 9]));
    writeFileSync(join(directory, "t10k-images-idx3-ubyte"), idx([1, 2, 3], [1, 1, 1, 1, 1, 1]));
    writeFileSync(join(directory, "t10k-labels-idx1-ubyte"), idx([1], [0]));
    const sets = await data.fashionMnist(directory);
    const [x, y] = sets.train.batch(Int32Array.from([1]), pass);
    expect(x!.shape).toEqual([1, 1, 2, 3]);
    expect(x!.dataSync()[0]).toBeCloseTo((1 - 0.286) / 0.353, 5);
    expect(sets.classes[y!.itemSync()]).toBe("Ankle boot");
    expect((await data.mnist(directory, { normalize: false })).test.tensors[0]!.toArraySync()).toEqual([
      [
        [
          [1, 1, 1],
          [1, 1, 1],
        ],
      ],
    ]);
    writeFileSync(join(directory, "t10k-labels-idx1-ubyte"), idx([1], [10]));
    await expect(data.mnist(directory)).rejects.toThrow("mnist: expected labels from 0 to 9");
    writeFileSync(join(directory, "t10k-labels-idx1-ubyte"), idx([2], [1, 2]));
    await expect(data.mnist(directory)).rejects.toThrow("expected bytes [n,h,w] and labels [n]");
    await expect(data.mnist(join(directory, "nowhere"))).rejects.toThrow("does not exist");
  });
  test("CIFAR-10", async () => {
    for (const name of [1, 2, 3, 4, 5].map((i) => `data_batch_${i}`).concat("test_batch")) {
      writeFileSync(join(directory, `${name}.bin`), Buffer.concat([Buffer.from([8]), Buffer.alloc(3072, 51)]));
    }
    const sets = await data.cifar10(directory);
    expect([sets.train.length, sets.test.length]).toEqual([5, 1]);
    const [x, y] = sets.test.batch(Int32Array.from([0]), pass);
    expect(x!.shape).toEqual([1, 3, 32, 32]);
    expect(x!.dataSync()[0]).toBeCloseTo((0.2 - 0.4914) / 0.247, 5);
    expect(sets.classes[y!.itemSync()]).toBe("ship");
  });
});
