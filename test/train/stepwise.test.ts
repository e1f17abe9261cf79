/** @file What the trainers that go by steps share: passes over a loader, turns. */
import { data, manualSeed, nn, randn, type Tensor, train, zeros } from "napier";
import { describe, expect, test } from "vitest";
import { passes, Turns } from "#lib/train/stepwise.js";

const batch = (n: number): Tensor[] => [zeros([n, 2])];
const begin = () => {};
const collect = async (source: AsyncIterable<Tensor[]>, options: Partial<Parameters<typeof passes>[2]> = {}) => {
  const sizes: number[] = [];
  const isOver = () => sizes.length >= 5;
  for await (const [x] of passes("fit", source, { begin, isOver, ...options })) sizes.push(x!.shape[0]!);
  return sizes;
};

describe("passes", () => {
  test("go over a loader again, and end with a source that has no more", async () => {
    const again = {
      async *[Symbol.asyncIterator]() {
        yield batch(1);
        yield batch(2);
      },
    };
    expect(await collect(again)).toEqual([1, 2, 1, 2, 1]);
    const once = (async function* () {
      yield batch(1);
      yield batch(2);
    })();
    expect(await collect(once)).toEqual([1, 2]);
  });

  test("say that there is nothing, or nothing of the kind that is wanted", async () => {
    const none = { async *[Symbol.asyncIterator]() {} };
    await expect(collect(none)).rejects.toThrow("fit: expected a loader with batches, got none");
    const others = {
      async *[Symbol.asyncIterator]() {
        yield batch(3);
      },
    };
    const options = { takes: ([x]: readonly Tensor[]) => x!.shape[0] === 4, wanted: () => "batches of 4" };
    await expect(collect(others, options)).rejects.toThrow(
      "fit: expected batches of 4, as the run began with, got [3,2]; keep its batchSize, or begin a new run",
    );
  });
});

describe("turns", () => {
  test("are taken one after the other, also behind one that failed", async () => {
    const turns = new Turns();
    const said: string[] = [];
    const turn = (name: string, fails = false) =>
      turns.take("x", async () => {
        said.push(`${name} begins`);
        await new Promise((resolve) => setTimeout(resolve, 1));
        said.push(`${name} ends`);
        if (fails) throw new Error(name);
        return name;
      });
    const [first, second, third] = [turn("a"), turn("b", true), turn("c")];
    await expect(second).rejects.toThrow("b");
    expect([await first, await third]).toEqual(["a", "c"]);
    expect(said).toEqual(["a begins", "a ends", "b begins", "b ends", "c begins", "c ends"]);
  });

  test("refuse a call within one", async () => {
    const turns = new Turns();
    await expect(turns.take("outer", () => turns.take("inner", () => 1))).rejects.toThrow(
      "inner: expected a call outside of averaged(), got one within",
    );
    expect(await turns.take("after", () => 2)).toBe(2);
  });
});

/** A small GAN whose generator has a mode that shows, and its loader. */
const small = (ema: number | null) => {
  manualSeed(3);
  const hidden = [new nn.Linear(4, 8), new nn.BatchNorm1d(8), new nn.ReLU(), new nn.Dropout(0.5), new nn.Linear(8, 4)];
  const generator = new nn.Sequential(...hidden, new nn.Unflatten(1, [1, 2, 2]));
  const discriminator = new nn.Sequential(new nn.Flatten(), new nn.Linear(4, 1));
  const trainer = new train.GanTrainer(generator, discriminator, { ema, noiseDim: 4 });
  const set = new data.TensorDataset([randn([8, 1, 2, 2])]);
  return { generator, trainer, loader: new data.DataLoader(set, { batchSize: 4 }) };
};
const bits = (x: Tensor) => Array.from(x.dataSync());

test.each([null, 0.9])(
  "samples that are drawn at once are those drawn in turn; modes come back (EMA %s)",
  async (ema) => {
    const { generator, trainer } = small(ema);
    const draw = (seed: number) => trainer.sample(6, { seed, batchSize: 2 });
    const expected = [bits(await draw(1)), bits(await draw(2))];
    const both = await Promise.all([draw(1), draw(2)]);
    expect(both.map(bits)).toEqual(expected);
    expect(generator.modules().every((m) => m.training)).toBe(true);
  },
);

test("a signal ends a GAN's run behind its step, with an event for what it made since the last", async () => {
  const whole: train.GanEvent[] = [];
  const all = small(null);
  for await (const event of all.trainer.fit(all.loader, { steps: 6, logEvery: 4 })) whole.push(event);
  expect(whole.map(({ step }) => step)).toEqual([4, 6]);

  const { trainer, loader } = small(null);
  const abort = new AbortController();
  const ends = (async function* () {
    let n = 0;
    for (;;)
      for await (const b of loader) {
        if (++n === 6) abort.abort();
        yield b;
      }
  })();
  const events: train.GanEvent[] = [];
  for await (const event of trainer.fit(ends, { steps: 50, logEvery: 4, signal: abort.signal })) events.push(event);
  const told = ({ samplesPerSecond: _, seconds: __, ...event }: train.GanEvent) => event;
  expect(events.map(told)).toEqual(whole.map(told));
});

test.each([null, 0.9])("samples that nobody waits for leave a run as it is, bit for bit (EMA %s)", async (ema) => {
  const run = async (asks: boolean) => {
    const { generator, trainer, loader } = small(ema);
    const drawn: Promise<Tensor>[] = [];
    const onEvent = () => void (asks && drawn.push(trainer.sample(6, { seed: 5, batchSize: 1 })));
    for await (const _ of trainer.fit(loader, { steps: 6, logEvery: 2, onEvent }));
    for (const x of await Promise.all(drawn)) expect(x.shape[0]).toBe(6);
    return Object.values(generator.stateDict()).map(bits);
  };
  expect(await run(true)).toEqual(await run(false));
});
