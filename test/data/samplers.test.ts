/** @file Samplers: what each order must hold, that it depends on (seed, epoch) alone, and loaders over them. */
import { data, tensor } from "napier";
import { describe, expect, test } from "vitest";

const pass = (epoch = 0, seed = 3): data.Pass => ({ seed, epoch });
const sorted = (x: Iterable<number>) => [...x].sort((a, b) => a - b);
const upTo = (n: number) => Array.from({ length: n }, (_, i) => i);
const labels = Int32Array.from({ length: 100 }, (_, i) => (i % 10 === 0 ? 1 : i % 20 === 5 ? 2 : 0));

const ALL: Record<string, data.Sampler> = {
  RandomSampler: new data.RandomSampler(50),
  "RandomSampler with replacement": new data.RandomSampler(50, { replacement: true, samples: 80 }),
  WeightedRandomSampler: new data.WeightedRandomSampler(upTo(50)),
  "WeightedRandomSampler without replacement": new data.WeightedRandomSampler(upTo(50), {
    replacement: false,
    samples: 30,
  }),
  StratifiedSampler: new data.StratifiedSampler(labels),
  DistributedSampler: new data.DistributedSampler(50, { rank: 1, world: 3 }),
};
describe.each(Object.entries(ALL))("%s", (_, sampler) => {
  test("has its length and depends on seed and epoch alone", () => {
    const order = [...sampler.order(pass())];
    expect(order).toHaveLength(sampler.length);
    expect([...sampler.order(pass())]).toEqual(order);
    expect([...sampler.order(pass(1))]).not.toEqual(order);
    expect([...sampler.order(pass(0, 4))]).not.toEqual(order);
  });
});

test("without replacement each example comes once", () => {
  expect(sorted(ALL.RandomSampler!.order(pass()))).toEqual(upTo(50));
  expect(sorted(ALL.StratifiedSampler!.order(pass()))).toEqual(upTo(100));
  expect(new Set(ALL["WeightedRandomSampler without replacement"]!.order(pass())).size).toBe(30);
  expect(new data.RandomSampler(50, { samples: 20 }).order(pass())).toHaveLength(20);
});

test("weights are frequencies; weight 0 never comes", () => {
  const sampler = new data.WeightedRandomSampler([1, 0, 3], { samples: 4000 });
  const counts = [0, 0, 0];
  for (const i of sampler.order(pass())) counts[i]!++;
  expect(counts[1]).toBe(0);
  expect(Math.abs(counts[0]! - 1000)).toBeLessThan(5 * Math.sqrt(4000 * 0.25 * 0.75));
  const few = new data.WeightedRandomSampler([0, 2, 1, 0], { samples: 2, replacement: false });
  expect(sorted(few.order(pass()))).toEqual([1, 2]);
});

test("StratifiedSampler: every batch has its share of each class", () => {
  const order = new data.StratifiedSampler(labels).order(pass());
  for (let b = 0; b < 5; b++) {
    const batch = [...order.slice(b * 20, (b + 1) * 20)].map((i) => labels[i]);
    expect(Math.abs(batch.filter((l) => l === 1).length - 2)).toBeLessThanOrEqual(1);
    expect(Math.abs(batch.filter((l) => l === 2).length - 1)).toBeLessThanOrEqual(1);
  }
});

test("DistributedSampler: the ranks share the examples, the first ones twice or the last ones not at all", () => {
  const ranks = (options: object) =>
    [0, 1, 2].map((rank) => [...new data.DistributedSampler(11, { rank, world: 3, ...options }).order(pass())]);
  expect(sorted(new Set(ranks({}).flat()))).toEqual(upTo(11));
  expect(ranks({}).map((r) => r.length)).toEqual([4, 4, 4]);
  expect(ranks({ shuffle: false })).toEqual([
    [0, 3, 6, 9],
    [1, 4, 7, 10],
    [2, 5, 8, 0],
  ]);
  const whole = ranks({ dropLast: true });
  expect(whole.map((r) => r.length)).toEqual([3, 3, 3]);
  expect(new Set(whole.flat()).size).toBe(9);
});

describe("loaders", () => {
  const dataset = new data.TensorDataset([tensor(Int32Array.from(upTo(10)))]);
  const run = async (loader: data.DataLoader, most = 99) => {
    const batches: number[][] = [];
    for await (const [x] of loader) {
      batches.push([...x!.dataSync("int32")]);
      if (batches.length === most) break;
    }
    return batches;
  };
  test("visit what the sampler says, and resume in the middle", async () => {
    const sampler = new data.WeightedRandomSampler(upTo(10), { samples: 7 });
    const make = () => new data.DataLoader(dataset, { sampler, batchSize: 3, seed: 4 });
    expect(make().length).toBe(3);
    const whole = await run(make());
    expect(whole.map((b) => b.length)).toEqual([3, 3, 1]);
    const loader = make();
    await run(loader, 1);
    const resumed = make();
    resumed.loadStateDict(loader.stateDict());
    expect(await run(resumed)).toEqual(whole.slice(1));
  });
  test("take batches from a batchSampler", async () => {
    const batchSampler = new data.BatchSampler(new data.SequentialSampler(10), 4, { dropLast: true });
    const loader = new data.DataLoader(dataset, { batchSampler });
    expect(loader.length).toBe(2);
    expect(await run(loader)).toEqual([
      [0, 1, 2, 3],
      [4, 5, 6, 7],
    ]);
    expect(loader.stateDict()).toMatchObject({ batchSize: 0, examples: 10 });
  });
  test("a mix changes pictures and labels", async () => {
    const set = new data.TensorDataset([
      tensor(new Float32Array(8 * 4), [8, 1, 2, 2]),
      tensor(Int32Array.of(0, 1, 2, 0, 1, 2, 0, 1)),
    ]);
    for await (const [x, soft] of new data.DataLoader(set, { batchSize: 4, mix: new data.MixUp({ classes: 3 }) })) {
      expect([x!.shape, soft!.shape, soft!.dtype]).toEqual([[4, 1, 2, 2], [4, 3], "float32"]);
      expect([...soft!.dataSync()].reduce((a, b) => a + b)).toBeCloseTo(4, 5);
    }
  });
  test.each<[data.DataLoaderOptions, string]>([
    [{ sampler: new data.SequentialSampler(10), shuffle: true }, "expected a sampler or shuffle, got both"],
    [
      { batchSampler: new data.BatchSampler(new data.SequentialSampler(3), 2), batchSize: 3 },
      "expected batchSampler alone, got also batchSize",
    ],
    [{ workers: 1 }, "give the address of a module"],
  ])("options that exclude each other: %#", (options, message) =>
    expect(() => new data.DataLoader(dataset, options)).toThrow(message),
  );
});

test.each<[() => unknown, string]>([
  [
    () => new data.RandomSampler(3, { samples: 4 }),
    "RandomSampler: expected at most 3 samples without replacement, got 4",
  ],
  [() => new data.WeightedRandomSampler([1, -1]), "expected weights from 0 up, got -1 at 1"],
  [() => new data.WeightedRandomSampler([0, 0]), "expected a weight above 0, got none"],
  [() => new data.WeightedRandomSampler([1, 0], { replacement: false }), "at most 1 samples"],
  [() => new data.DistributedSampler(5, { rank: 2, world: 2 }), "a rank below world (2), got 2"],
  [() => new data.BatchSampler(new data.SequentialSampler(3), 0), "batchSize to be a whole number from 1 up"],
])("wrong options %#", (make, message) => expect(make).toThrow(message));

describe("streams", () => {
  const count = (n: number) =>
    async function* () {
      for (let i = 0; i < n; i++) yield [i] as const;
    };
  const run = async (loader: data.DataLoader, most = 99) => {
    const batches: number[][] = [];
    const ends: boolean[] = [];
    for await (const [x] of loader) {
      batches.push([...x!.dataSync("int32")]);
      ends.push(loader.isAtEnd);
      if (batches.length === most) break;
    }
    return { batches, ends };
  };
  test("are cut into batches; the last one is known as such", async () => {
    const loader = new data.DataLoader(new data.IterableDataset(count(7)), { batchSize: 3 });
    expect(loader.length).toBe(Number.POSITIVE_INFINITY);
    expect(await run(loader)).toEqual({ batches: [[0, 1, 2], [3, 4, 5], [6]], ends: [false, false, true] });
    expect(loader.epoch).toBe(1);
    const even = new data.DataLoader(new data.IterableDataset(count(6)), { batchSize: 3 });
    expect((await run(even)).ends).toEqual([false, true]);
    const dropping = new data.DataLoader(new data.IterableDataset(count(7)), { batchSize: 3, dropLast: true });
    expect(await run(dropping)).toEqual({
      batches: [
        [0, 1, 2],
        [3, 4, 5],
      ],
      ends: [false, true],
    });
    const known = new data.DataLoader(new data.IterableDataset(count(7), { length: 7 }), { batchSize: 3 });
    expect(known.length).toBe(3);
    expect((await run(new data.DataLoader(new data.IterableDataset(count(0))))).batches).toEqual([]);
  });
  test("a shuffle buffer reorders by epoch; a resumed loader gives the same batches", async () => {
    const make = () =>
      new data.DataLoader(new data.IterableDataset(count(40), { shuffleBuffer: 10 }), { batchSize: 4, seed: 2 });
    const loader = make();
    const [first, second] = [(await run(loader)).batches, (await run(loader)).batches];
    expect(sorted(first.flat())).toEqual(upTo(40));
    expect(first.flat()).not.toEqual(upTo(40));
    expect(second).not.toEqual(first);
    const stopped = make();
    await run(stopped, 3);
    const resumed = make();
    resumed.loadStateDict(stopped.stateDict());
    expect((await run(resumed)).batches).toEqual(first.slice(3));
  });
  test("an early end closes the generator, and its errors arrive", async () => {
    let closed = false;
    const source = async function* () {
      try {
        for (let i = 0; ; i++) yield [i];
      } finally {
        closed = true;
      }
    };
    await run(new data.DataLoader(new data.IterableDataset(source), { batchSize: 2 }), 2);
    await new Promise((resolve) => setTimeout(resolve, 10));
    expect(closed).toBe(true);
    const broken = new data.IterableDataset(async function* () {
      yield [1];
      throw new Error("line 2 is torn");
    });
    await expect(run(new data.DataLoader(broken))).rejects.toThrow("line 2 is torn");
    expect(() => new data.DataLoader(broken, { shuffle: true })).toThrow(
      "shuffle with IterableDataset's shuffleBuffer",
    );
    expect(() => new data.IterableDataset(count(1), { shuffleBuffer: -1 })).toThrow("shuffleBuffer");
  });
});

test("collatePadded fills up shorter sequences and adds their lengths", () => {
  const [x, y, lengths] = data.collatePadded(
    [
      [tensor([1, 2, 3]), 5],
      [tensor([4]), 6],
    ],
    { value: -1 },
  );
  expect(x!.toArraySync()).toEqual([
    [1, 2, 3],
    [4, -1, -1],
  ]);
  expect([y!.toArraySync(), lengths!.toArraySync()]).toEqual([
    [5, 6],
    [3, 1],
  ]);
  expect(() => data.collatePadded([[1]])).toThrow("collatePadded: expected sequences [l,...] in field 0, got 1");
});
