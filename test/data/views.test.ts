/** @file Views for self-supervision: each its own draws, keyed by (seed, epoch, sample); in loaders; what the recipes are made of. */
import { data, type Tensor, tensor } from "napier";
import { describe, expect, test } from "vitest";

const numbers = (n: number, first = 0) => Int32Array.from({ length: n }, (_, i) => first + i);
const key = (n: number, { epoch = 0, seed = 5, first = 0 } = {}): data.SampleKey => ({
  seed,
  epoch,
  samples: tensor(numbers(n, first)),
  indices: numbers(n, first),
});
const noise = (n: number) => Uint8Array.from({ length: n }, (_, i) => (Math.imul(i + 7, 0x9e3779b1) >>> 13) & 255);
const pictures = (n: number, c: number, h: number, w: number) => tensor(noise(n * c * h * w), [n, c, h, w]);
const values = (t: Tensor) => [...t.dataSync(t.dtype as "uint8")];
const rows = (t: Tensor, n: number) => {
  const all = values(t);
  const size = all.length / n;
  return Array.from({ length: n }, (_, i) => all.slice(i * size, (i + 1) * size));
};

describe("RandomApply", () => {
  const n = 400;
  const x = pictures(n, 1, 3, 4);
  const invert = new data.RandomInvert(1);

  test("changes about as many as p says, as the transform would, and leaves the others and its input", () => {
    const before = rows(x, n);
    const y = rows(new data.RandomApply(invert, 0.3).apply(x, key(n)), n);
    const changed = before.filter((row, i) => {
      const inverted = row.map((v) => 255 - v);
      expect([row, inverted]).toContainEqual(y[i]);
      return y[i]!.every((v, j) => v === inverted[j]);
    });
    expect(Math.abs(changed.length / n - 0.3)).toBeLessThan(0.07); // three deviations of a share of 400
    expect(rows(x, n)).toEqual(before);
  });

  test("0 and 1", () => {
    expect(new data.RandomApply(invert, 0).apply(x, key(n))).toBe(x);
    expect(values(new data.RandomApply(invert, 1).apply(x, key(n)))).toEqual(values(x).map((v) => 255 - v));
  });

  test("depends on seed, epoch and sample alone; the draws inside are not those of the choice", () => {
    const jitter = new data.RandomApply(new data.ColorJitter({ brightness: 0.9 }), 0.5);
    const all = rows(jitter.apply(x, key(n)), n);
    expect(rows(jitter.apply(x, key(n, { epoch: 1 })), n)).not.toEqual(all);
    expect(rows(jitter.apply(x, key(n, { seed: 6 })), n)).not.toEqual(all);
    const some = jitter.apply(x.slice([10, 13]), key(3, { first: 10 }));
    expect(rows(some, 3)).toEqual(all.slice(10, 13));
    // Were choice and brightness drawn alike, all changed pictures would be darker, or all brighter.
    const sum = (row: number[]) => row.reduce((a, b) => a + b);
    const before = rows(x, n);
    const darker = all.filter((row, i) => sum(row) < sum(before[i]!)).length;
    const brighter = all.filter((row, i) => sum(row) > sum(before[i]!)).length;
    expect(Math.min(darker, brighter)).toBeGreaterThan(50);
  });

  test("what is wrong", () => {
    expect(() => new data.RandomApply(invert, 2)).toThrow("RandomApply");
    expect(() => new data.RandomApply(new data.CenterCrop(2), 1).apply(x, key(n))).toThrow(
      `RandomApply: expected a transform that keeps uint8 [${n},1,3,4], got uint8 [${n},1,2,2]`,
    );
  });
});

describe("Views", () => {
  const n = 12;
  const x = pictures(n, 3, 8, 8);
  const labels = tensor(numbers(n));
  const crop = new data.RandomResizedCrop(6);

  test("one transform at two places gives two different views; labels follow", () => {
    const [a, b, y, ...more] = new data.Views([crop, crop]).applyBatch([x, labels], key(n));
    expect([a!.shape, b!.shape]).toEqual([
      [n, 3, 6, 6],
      [n, 3, 6, 6],
    ]);
    expect(values(a!)).toEqual(values(crop.apply(x, key(n))));
    expect(values(b!)).not.toEqual(values(a!));
    expect(y).toBe(labels);
    expect(more).toEqual([]);
  });

  test("a view that changes nothing is a tensor of its own", () => {
    const nothing = new data.RandomHorizontalFlip(0);
    const [a, b] = new data.Views([nothing, nothing]).applyBatch([x], key(n)) as [Tensor, Tensor];
    expect(new Set([a, b, x].map((t) => t)).size).toBe(3);
    expect(values(a)).toEqual(values(x));
    a.free();
    expect(values(b)).toEqual(values(x));
  });

  test("in a loader: the same views of a picture in any batch, others in the next epoch", async () => {
    const augment = data.simclrAugment(6);
    const of = (batchSize: number, shuffle = false) =>
      new data.DataLoader(new data.TensorDataset([x, labels]), {
        batchSize,
        shuffle,
        seed: 9,
        mix: new data.Views([augment, augment]),
      });
    const read = async (loader: data.DataLoader) => {
      const found = new Map<number, number[][]>();
      for await (const [a, b, y] of loader) {
        const size = y!.shape[0]!;
        const [as, bs] = [rows(a!, size), rows(b!, size)];
        values(y!).forEach((label, i) => {
          found.set(label, [as[i]!, bs[i]!]);
        });
      }
      return [...found].sort(([a], [b]) => a - b);
    };
    const loader = of(4);
    const first = await read(loader);
    expect(first.length).toBe(n);
    expect(await read(of(5))).toEqual(first);
    expect(await read(of(3, true))).toEqual(first);
    expect(await read(loader)).not.toEqual(first);
  });

  test("what is wrong", () => {
    expect(() => new data.Views([])).toThrow("Views: expected at least one transform, got none");
    expect(() => new data.Views([crop]).applyBatch([], key(0))).toThrow("a batch with pictures in its first field");
  });
});

describe("recipes", () => {
  const bytes = (c: number) => new data.Normalize(Array(c).fill(0), Array(c).fill(1 / 255)); // as floats

  test("SimCLR: parts by scale, colours within strength, a fifth grey", () => {
    const n = 300;
    const flat = tensor(
      Uint8Array.from({ length: n * 3 * 16 }, (_, i) => [200, 100, 40][Math.floor(i / 16) % 3]!),
      [n, 3, 4, 4],
    );
    const y = rows(data.simclrAugment(4, { normalize: bytes(3) }).apply(flat, key(n)), n);
    const pixel = (row: number[]) => [row[0]!, row[16]!, row[32]!];
    const grey = y.filter((row) => new Set(pixel(row).map(Math.round)).size === 1).length;
    expect(Math.abs(grey / n - 0.2)).toBeLessThan(0.07); // three deviations of a share of 300
    const untouched = y.filter((row) => pixel(row).every((v, c) => Math.abs(v - [200, 100, 40][c]!) < 0.5)).length;
    expect(Math.abs(untouched / n - 0.16)).toBeLessThan(0.07); // 0.2 without jitter, 0.8 of them in colours
    const calm = data.simclrAugment(4, { strength: 0, normalize: bytes(3) }).apply(flat, key(n));
    const coloured = rows(calm, n).filter((row) => new Set(pixel(row).map(Math.round)).size > 1);
    for (const row of coloured) expect(pixel(row).map(Math.round)).toEqual([200, 100, 40]);
  });

  test("blurs are asked for", () => {
    const x = pictures(40, 1, 20, 20);
    const sharp = data.simclrAugment(20, { strength: 0, scale: [1, 1], normalize: bytes(1) });
    const blurred = data.simclrAugment(20, { strength: 0, scale: [1, 1], blur: true, normalize: bytes(1) });
    const [a, b] = [rows(sharp.apply(x, key(40)), 40), rows(blurred.apply(x, key(40)), 40)];
    const changed = a.filter((row, i) => row.some((v, j) => v !== b[i]![j])).length;
    expect(changed).toBeGreaterThan(8);
    expect(changed).toBeLessThan(32);
  });

  test("DINO: two global views, as many local ones as asked for, each its own", () => {
    const x = pictures(5, 3, 32, 32);
    const views = data.dinoViews({ size: 24, locals: 3, localSize: 12 }).applyBatch([x], key(5));
    expect(views.map((v) => v.shape)).toEqual([24, 24, 12, 12, 12].map((side) => [5, 3, side, side]));
    expect(views.every((v) => v.dtype === "float32")).toBe(true);
    expect(values(views[3]!)).not.toEqual(values(views[2]!));
    expect(data.dinoViews({ locals: 0 }).transforms.length).toBe(2);
    expect(data.dinoViews().transforms.length).toBe(10);
  });

  test("what is wrong", () => {
    expect(() => data.simclrAugment(8, { strength: -1 })).toThrow(
      "simclrAugment: expected a strength from 0 to 2.5, got -1",
    );
    expect(() => data.dinoViews({ locals: 1.5 })).toThrow("dinoViews: expected locals from 0 up, got 1.5");
  });
});
