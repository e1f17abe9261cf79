/** @file Data sets, collate, splits, transforms. */
import { data, scope, type Tensor, tensor } from "napier";
import { describe, expect, test } from "vitest";

const pass: data.Pass = { seed: 1, epoch: 0 };
const of = (...i: number[]) => Int32Array.from(i);
const numbers = (n: number, from = 0) =>
  new data.TensorDataset([tensor(Int32Array.from({ length: n }, (_, i) => from + i))]);
const ints = async (dataset: data.Dataset, ...i: number[]) => [
  ...(await dataset.batch(of(...i), pass))[0]!.dataSync("int32"),
];

describe("TensorDataset", () => {
  test.each(["float32", "float64", "int32", "uint8", "bool", "int64"] as const)("gathers rows of %s", (dtype) => {
    const x = tensor([
      [1, 0, 1],
      [0, 1, 1],
      [1, 1, 0],
    ]).to(dtype);
    const [y] = new data.TensorDataset([x]).batch(of(2, 0, 2, 1), pass);
    expect(y!.dtype).toBe(dtype);
    expect(y!.toArraySync()).toEqual([
      [1, 1, 0],
      [1, 0, 1],
      [1, 1, 0],
      [0, 1, 1],
    ]);
  });
  test("outlives the scope that its tensors were made in", () => {
    const dataset = scope(() => {
      const x = tensor([1, 2, 3]);
      return [new data.TensorDataset([x])];
    })[0]!;
    expect(dataset.batch(of(1), pass)[0]!.toArraySync()).toEqual([2]);
  });
  test("refuses tensors of different lengths, no tensors, and indices that it does not have", () => {
    expect(() => new data.TensorDataset([tensor([1, 2]), tensor([1, 2, 3])])).toThrow(
      "TensorDataset: expected tensors of one length, [2,...], got [2] [3]",
    );
    expect(() => new data.TensorDataset([])).toThrow("at least one tensor");
    expect(() => numbers(3).batch(of(0, 3), pass)).toThrow("TensorDataset: expected indices between 0 and 2, got 3");
    expect(() => numbers(3).batch(of(-1), pass)).toThrow("got -1");
  });
});

test("Subset maps indices and refuses those out of range", async () => {
  const subset = new data.Subset(numbers(10), [7, 3, 3]);
  expect(subset.length).toBe(3);
  expect(await ints(subset, 0, 1, 2)).toEqual([7, 3, 3]);
  expect(() => new data.Subset(numbers(10), [10])).toThrow("Subset: expected indices from 0 to 9, got 10");
  expect(() => subset.batch(of(3), pass)).toThrow("Subset: expected indices from 0 to 2, got 3");
});

describe("randomSplit", () => {
  test("parts share nothing and make the whole; a seed repeats them", async () => {
    const parts = data.randomSplit(numbers(101), [0.5, 0.3, 0.2], { seed: 4 });
    expect(parts.map((p) => p.length)).toEqual([51, 30, 20]);
    const all = parts.flatMap((p) => [...p.indices]);
    expect([...all].sort((a, b) => a - b)).toEqual(Array.from({ length: 101 }, (_, i) => i));
    expect(all).not.toEqual([...all].sort((a, b) => a - b));
    expect(data.randomSplit(numbers(101), [0.5, 0.3, 0.2], { seed: 4 }).flatMap((p) => [...p.indices])).toEqual(all);
    expect(data.randomSplit(numbers(101), [51, 30, 20], { seed: 5 }).flatMap((p) => [...p.indices])).not.toEqual(all);
  });
  test("lengths that do not fit", () => {
    expect(() => data.randomSplit(numbers(10), [5, 6])).toThrow(
      "expected lengths that add up to 10 or shares that add up to 1, got 5, 6",
    );
    expect(() => data.randomSplit(numbers(10), [0.5, 0.6])).toThrow("randomSplit");
  });
});

test("ConcatDataset keeps the order asked for, across parts and empty ones", async () => {
  const all = new data.ConcatDataset([numbers(3), numbers(0), numbers(4, 100), numbers(2, 200)]);
  expect(all.length).toBe(9);
  expect(await ints(all, 8, 0, 3, 2, 6, 7)).toEqual([201, 0, 100, 2, 103, 200]);
  expect(await ints(all, 4, 3)).toEqual([101, 100]);
  await expect(all.batch(of(9), pass)).rejects.toThrow("expected indices from 0 to 8, got 9");
});

describe("collate", () => {
  test("tensors are stacked, whole numbers become int32, others float32", () => {
    const [x, i, f] = data.collate([
      [tensor([1, 2]), 3, 0.5],
      [tensor([3, 4]), 4, 1],
    ]) as [Tensor, Tensor, Tensor];
    expect(x.toArraySync()).toEqual([
      [1, 2],
      [3, 4],
    ]);
    expect([i.dtype, i.toArraySync()]).toEqual(["int32", [3, 4]]);
    expect([f.dtype, f.toArraySync()]).toEqual(["float32", [0.5, 1]]);
  });
  test("examples that do not fit together", () => {
    expect(() => data.collate([[tensor([1, 2])], [tensor([1])]])).toThrow(
      "collate: expected float32 [2] in field 0 of example 1, got Tensor([1], float32)",
    );
    expect(() => data.collate([[1, 2], [1]])).toThrow("collate: expected 2 fields in example 1, got 1");
    expect(() => data.collate([])).toThrow("at least one example");
  });
  test("ExampleDataset asks a function, which may wait", async () => {
    const squares = new data.ExampleDataset(5, async (i) => [tensor([i]), i * i]);
    const [x, y] = await squares.batch(of(4, 2), pass);
    expect([x!.toArraySync(), y!.toArraySync()]).toEqual([
      [[4], [2]],
      [16, 4],
    ]);
  });
});

describe("transforms", () => {
  const key = (n: number, epoch = 0, seed = 5, first = 0) => ({
    seed,
    epoch,
    samples: tensor(Int32Array.from({ length: n }, (_, i) => first + i)),
  });
  const pictures = (n: number, c: number, h: number, w: number) =>
    tensor(
      Uint8Array.from({ length: n * c * h * w }, (_, i) => (i * 7 + 1) % 256),
      [n, c, h, w],
    );

  test("Normalize: bytes by channel, floats the same way", () => {
    const x = pictures(2, 3, 2, 2);
    const norm = new data.Normalize([0.1, 0.2, 0.3], [0.5, 0.25, 2], { dtype: "float64" });
    const y = norm.apply(x);
    const bytes = [...x.dataSync("uint8")];
    const expected = bytes.map((b, i) => (b / 255 - [0.1, 0.2, 0.3][(i >> 2) % 3]!) / [0.5, 0.25, 2][(i >> 2) % 3]!);
    y.dataSync("float64").forEach((v, i) => {
      expect(v).toBeCloseTo(expected[i]!, 14);
    });
    const floats = norm.apply(x.to("float64").div(255));
    floats.dataSync("float64").forEach((v, i) => {
      expect(v).toBeCloseTo(expected[i]!, 12);
    });
    expect(new data.Normalize(0, 1).apply(pictures(1, 1, 2, 2)).dtype).toBe("float32");
  });
  test("Normalize refuses other channels and deviations of 0", () => {
    expect(() => new data.Normalize([0, 0], [1, 1]).apply(pictures(1, 3, 2, 2))).toThrow(
      "Normalize: expected x [n,2,...], got [1,3,2,2]",
    );
    expect(() => new data.Normalize(0, 0)).toThrow("std above 0");
    expect(() => new data.Normalize([0, 0], [1])).toThrow("2 values of std");
  });

  test("RandomCrop cuts a window of the padded picture, anywhere in it, keyed by sample and epoch", () => {
    const [n, c, h, w, pad, size] = [40, 2, 5, 6, 2, 4];
    const x = pictures(n, c, h, w);
    const at = (i: number, ch: number, row: number, col: number): number =>
      row < 0 || row >= h || col < 0 || col >= w
        ? 0
        : (x.dataSync("uint8")[((i * c + ch) * h + row) * w + col] as number);
    const crop = new data.RandomCrop(size, { padding: pad });
    const y = crop.apply(x, key(n)).dataSync("uint8");
    const places = new Set<string>();
    for (let i = 0; i < n; i++) {
      const fits: string[] = [];
      for (let top = -pad; top <= h + pad - size; top++) {
        for (let left = -pad; left <= w + pad - size; left++) {
          let same = true;
          for (let j = 0; j < c * size * size && same; j++) {
            const [ch, row, col] = [Math.floor(j / (size * size)), Math.floor(j / size) % size, j % size];
            same = y[i * c * size * size + j] === at(i, ch!, top + row!, left + col!);
          }
          if (same) fits.push(`${top},${left}`);
        }
      }
      expect(fits, `picture ${i}`).toHaveLength(1);
      places.add(fits[0]!);
    }
    expect(places.size).toBeGreaterThan(12); // of 30 places, 40 draws
    const bytes = (t: Tensor) => [...t.dataSync("uint8")];
    expect(bytes(crop.apply(x, key(n)))).toEqual([...y]);
    expect(bytes(crop.apply(x, key(n, 1)))).not.toEqual([...y]);
    expect(bytes(crop.apply(x, key(n, 0, 6)))).not.toEqual([...y]);
    // Picture 7 alone gets the crop that it got in the batch.
    const [alone] = new data.TensorDataset([x]).batch(of(7), pass);
    expect(bytes(crop.apply(alone!, key(1, 0, 5, 7)))).toEqual([...y.slice(7 * c * size * size, 8 * c * size * size)]);
  });
  test("RandomCrop refuses what does not fit", () => {
    expect(() => new data.RandomCrop(5).apply(pictures(1, 1, 4, 9), key(1))).toThrow(
      "RandomCrop: expected pictures of at least 5x5 with padding 0, got [1,1,4,9]",
    );
    expect(() => new data.RandomCrop(-1)).toThrow("from 0 up");
    expect(() => new data.RandomCrop(2).apply(tensor([1, 2]), key(1))).toThrow("expected pictures [n,c,h,w], got [2]");
  });

  test("RandomHorizontalFlip mirrors about as many as p says, whole pictures", () => {
    const [n, c, h, w] = [200, 2, 2, 3];
    const x = pictures(n, c, h, w);
    const mirrored = (flat: Uint8Array) => Uint8Array.from(flat, (_, i) => flat[i - (i % w) + w - 1 - (i % w)]!);
    const y = new data.RandomHorizontalFlip(0.25).apply(x, key(n)).dataSync("uint8");
    let flipped = 0;
    for (let i = 0; i < n; i++) {
      const [before, after] = [x.dataSync("uint8"), y].map((all) => all.slice(i * c * h * w, (i + 1) * c * h * w)) as [
        Uint8Array,
        Uint8Array,
      ];
      if (after.join() === before.join()) continue;
      expect(after.join()).toBe(mirrored(before).join());
      flipped++;
    }
    expect(Math.abs(flipped - 50)).toBeLessThan(31); // 5 deviations of sqrt(200 * 0.25 * 0.75) = 6.1
    expect([...new data.RandomHorizontalFlip(1).apply(x, key(n)).dataSync("uint8")]).toEqual([
      ...mirrored(x.dataSync("uint8")),
    ]);
    expect([...new data.RandomHorizontalFlip(0).apply(x, key(n)).dataSync("uint8")]).toEqual([...x.dataSync("uint8")]);
    expect(() => new data.RandomHorizontalFlip(2)).toThrow("probability from 0 to 1, got 2");
  });

  test("Compose applies in order and leaves its input alone", () => {
    const x = pictures(3, 1, 4, 4);
    const before = [...x.dataSync("uint8")];
    const both = new data.Compose([
      new data.RandomHorizontalFlip(1),
      new data.RandomHorizontalFlip(1),
      new data.Normalize(0, 1),
    ]);
    const y = both.apply(x, key(3));
    y.dataSync().forEach((v, i) => {
      expect(v).toBeCloseTo(before[i]! / 255, 6);
    });
    expect([...x.dataSync("uint8")]).toEqual(before);
    expect(new data.Compose([]).apply(x, key(3))).toBe(x);
  });
});
