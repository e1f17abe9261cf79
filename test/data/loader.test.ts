/** @file DataLoader: order, resume in mid-epoch, batches of every kind of data set, the event loop beside it. */
import { data, Generator, manualSeed, memory, nn, optim, randn, type Tensor, tensor } from "napier";
import { describe, expect, test } from "vitest";
import { permutation } from "#lib/data/order.js";

const dataset = (n: number) =>
  new data.TensorDataset([
    tensor(
      Float32Array.from({ length: n * 2 }, (_, i) => i),
      [n, 2],
    ),
    tensor(Int32Array.from({ length: n }, (_, i) => i)),
  ]);
const labels = (batch: Tensor[]) => [...batch[1]!.dataSync("int32")];

async function epoch(loader: data.DataLoader, most = Number.POSITIVE_INFINITY): Promise<number[][]> {
  const batches: number[][] = [];
  for await (const batch of loader) {
    batches.push(labels(batch));
    if (batches.length === most) break;
  }
  return batches;
}

describe("order", () => {
  test("without shuffle: in order, the last batch is what is left", async () => {
    const loader = new data.DataLoader(dataset(7), { batchSize: 3 });
    expect(loader.length).toBe(3);
    expect(await epoch(loader)).toEqual([[0, 1, 2], [3, 4, 5], [6]]);
  });
  test("dropLast leaves out what is not a full batch", async () => {
    const loader = new data.DataLoader(dataset(7), { batchSize: 3, dropLast: true });
    expect(loader.length).toBe(2);
    expect(await epoch(loader)).toEqual([
      [0, 1, 2],
      [3, 4, 5],
    ]);
  });
  test("shuffle: each example once, another order in each epoch, the same again for the same seed", async () => {
    const make = () => new data.DataLoader(dataset(50), { batchSize: 8, shuffle: true, seed: 5 });
    const loader = make();
    const [first, second] = [(await epoch(loader)).flat(), (await epoch(loader)).flat()];
    const all = Array.from({ length: 50 }, (_, i) => i);
    for (const order of [first, second]) expect([...order].sort((a, b) => a - b)).toEqual(all);
    expect(second).not.toEqual(first);
    const again = make();
    expect((await epoch(again)).flat()).toEqual(first);
    expect((await epoch(again)).flat()).toEqual(second);
    const other = new data.DataLoader(dataset(50), { batchSize: 8, shuffle: true, seed: 6 });
    expect((await epoch(other)).flat()).not.toEqual(first);
  });
  test("manualSeed and a generator decide the order where no seed is given", async () => {
    const make = (options: data.DataLoaderOptions = {}) =>
      epoch(new data.DataLoader(dataset(20), { batchSize: 20, shuffle: true, ...options }));
    manualSeed(3);
    const first = await make();
    manualSeed(3);
    expect(await make()).toEqual(first);
    manualSeed(4);
    expect(await make()).not.toEqual(first);
    expect(await make({ generator: new Generator(3) })).toEqual(first);
    manualSeed(231);
  });
  test("fields stay together, and rows are the rows", async () => {
    for await (const [x, y] of new data.DataLoader(dataset(9), { batchSize: 4, shuffle: true, seed: 1 })) {
      const rows = labels([x!, y!]).flatMap((i) => [2 * i, 2 * i + 1]);
      expect([...x!.dataSync()]).toEqual(rows);
    }
  });
  test("the order is fair: every place sees every example about equally often", () => {
    const n = 5;
    const counts = new Map<string, number>();
    for (let e = 0; e < 12_000; e++) {
      const key = permutation(n, 77, e).join("");
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
    // 120 orders of 100 each: chi-square with 119 degrees of freedom, mean 119, deviation 15.4
    const chi = [...counts.values()].reduce((sum, c) => sum + (c - 100) ** 2 / 100, 0);
    expect(counts.size).toBe(120);
    expect(chi).toBeLessThan(119 + 5 * 15.4);
  });
});

describe("position", () => {
  const make = () => new data.DataLoader(dataset(23), { batchSize: 4, shuffle: true, seed: 9 });
  test("resumed in mid-epoch, the same batches come, then the next epochs", async () => {
    for (const done of [0, 1, 3, 6]) {
      const whole = make();
      await epoch(whole); // epoch 0
      const expected = [await epoch(whole), await epoch(whole)];
      const first = make();
      await epoch(first);
      if (done > 0) expect(await epoch(first, done)).toEqual(expected[0]!.slice(0, done));
      const saved = JSON.parse(JSON.stringify(first.stateDict()));
      expect(saved.position).toBe(done);
      const resumed = make();
      resumed.loadStateDict(saved);
      expect(await epoch(resumed)).toEqual(expected[0]!.slice(done));
      expect(await epoch(resumed)).toEqual(expected[1]);
    }
  });
  test("leaving a loop early abandons the epoch: the next loop is the next epoch, whole", async () => {
    const expected = make();
    await epoch(expected);
    const second = await epoch(expected);
    const loader = make();
    await epoch(loader, 2);
    expect(loader.position).toBe(2);
    expect(loader.isAtEnd).toBe(false);
    expect(await epoch(loader)).toEqual(second);
    expect(loader.epoch).toBe(2);
  });
  test("isAtEnd with the last batch in hand", async () => {
    const loader = make();
    const seen: boolean[] = [];
    for await (const _ of loader) seen.push(loader.isAtEnd);
    expect(seen).toEqual([false, false, false, false, false, true]);
    expect(loader.stateDict()).toMatchObject({ epoch: 1, position: 0 });
  });
  test("a state of other data or batches is refused", () => {
    const state = make().stateDict();
    const other = new data.DataLoader(dataset(23), { batchSize: 5 });
    expect(() => other.loadStateDict(state)).toThrow(
      "expected a state of 23 examples in batches of 5, got 23 in batches of 4",
    );
    expect(() => make().loadStateDict({ ...state, position: -1 })).toThrow("expected position");
  });
});

describe("batches", () => {
  test("prefetch asks for so many batches ahead, and for each once", async () => {
    for (const prefetch of [0, 1, 3]) {
      const asked: number[] = [];
      const source: data.Dataset = {
        length: 6,
        batch: async (indices) => {
          asked.push(indices[0]!);
          return [tensor([indices[0]!])];
        },
      };
      const loader = new data.DataLoader(source, { prefetch });
      const ahead: number[] = [];
      let given = 0;
      for await (const _ of loader) ahead.push(asked.length - ++given);
      expect(asked).toEqual([0, 1, 2, 3, 4, 5]);
      expect(ahead[0]).toBe(prefetch);
    }
  });
  test("an early end frees the batches that nobody received, and none that somebody did", async () => {
    const source = dataset(100);
    const before = memory().tensors;
    const loader = new data.DataLoader(source, { batchSize: 10, prefetch: 4 });
    let kept: Tensor[] = [];
    for await (const batch of loader) {
      kept = batch;
      break;
    }
    await new Promise((resolve) => setImmediate(resolve));
    expect(memory().tensors).toBe(before + 2);
    expect(labels(kept)).toHaveLength(10);
  });
  test("an error of the data set arrives where its batch would", async () => {
    const source = new data.ExampleDataset(6, (i) => {
      if (i === 4) throw new Error("no file 4");
      return [i, i];
    });
    const seen: number[][] = [];
    const run = async () => {
      for await (const batch of new data.DataLoader(source, { batchSize: 2 })) seen.push(labels(batch));
    };
    await expect(run()).rejects.toThrow("no file 4");
    expect(seen).toEqual([
      [0, 1],
      [2, 3],
    ]);
  });
  test("the transform gets samples, seed and epoch; with it crops do not depend on the batch size", async () => {
    const pictures = new data.TensorDataset([
      tensor(
        Uint8Array.from({ length: 12 * 36 }, (_, i) => i % 251),
        [12, 1, 6, 6],
      ),
    ]);
    const crops = async (batchSize: number, epochs: number): Promise<number[][]> => {
      const transform = new data.RandomCrop(4, { padding: 1 });
      const loader = new data.DataLoader(pictures, { batchSize, seed: 2, transform });
      const all: number[][] = [];
      for (let e = 0; e < epochs; e++) {
        const bytes: number[] = [];
        for await (const [x] of loader) bytes.push(...x!.dataSync("uint8"));
        all.push(bytes);
      }
      return all;
    };
    const [first, second] = await crops(5, 2);
    expect(await crops(12, 2)).toEqual([first, second]);
    expect(second).not.toEqual(first);
  });
  test("labels keep their known range: a wrong one is refused at the call", async () => {
    const source = new data.TensorDataset([randn([4, 3]), tensor(Int32Array.from([0, 1, 2, 9]))]);
    for await (const [x, y] of new data.DataLoader(source, { batchSize: 4 })) {
      expect(() => nn.crossEntropy(x!, y!)).toThrow("expected labels between 0 and 2, got 9");
    }
  });
  test.each([
    [{ batchSize: 0 }, "DataLoader: expected batchSize to be a whole number from 1 up, got 0"],
    [{ prefetch: -1 }, "expected prefetch"],
    [{ seed: 0.5 }, "expected seed"],
  ])("options %j are refused", (options, message) =>
    expect(() => new data.DataLoader(dataset(3), options)).toThrow(message),
  );
  test.each([
    [{}, "got object"],
    [null, "got null"],
    [[1, 2], "got an array; new TensorDataset([x, y])"],
    [{ length: -1, batch: () => [] }, "got object"],
  ])("%j is no data set", (wrong, message) => {
    const make = () => new data.DataLoader(wrong as never);
    expect(make).toThrow("DataLoader: expected a data set (with a length and batch())");
    expect(make).toThrow(message);
  });
  test("no examples, no batches", async () => {
    expect(await epoch(new data.DataLoader(new data.Subset(dataset(3), []), { shuffle: true }))).toEqual([]);
  });
});

describe("training beside the event loop", () => {
  test("timers tick while a hand-written loop trains, and at most a few batches of work are pending", async () => {
    manualSeed(1);
    const net = new nn.Sequential(
      new nn.Linear(64, 256),
      new nn.ReLU(),
      new nn.Linear(256, 256),
      new nn.ReLU(),
      new nn.Linear(256, 2),
    );
    const source = new data.TensorDataset([
      randn([6000, 64]),
      tensor(Int32Array.from({ length: 6000 }, (_, i) => i % 2)),
    ]);
    const optimizer = new optim.SGD(net.parameters(), { lr: 0.01 });
    const loader = new data.DataLoader(source, { batchSize: 64, shuffle: true });
    let ticks = 0;
    const timer = setInterval(() => ticks++, 5);
    const start = performance.now();
    while (performance.now() - start < 1000) {
      for await (const [x, y] of loader) {
        optimizer.zeroGrad();
        nn.crossEntropy(net.forward(x!), y!).backward();
        optimizer.step();
      }
    }
    clearInterval(timer);
    // 200 were possible; a loop that starves timers gives one an epoch.
    expect(ticks).toBeGreaterThan(40);
  });
});
