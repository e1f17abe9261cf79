/** @file DiffusionTrainer: what it learns, that it resumes bit for bit, conditions and their guidance, losses by time. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  cat,
  data,
  defaultGenerator,
  diffusion,
  full,
  Generator,
  keep,
  manualSeed,
  memory,
  models,
  nn,
  noGrad,
  optim,
  randn,
  type Tensor,
  tensor,
  train,
  zeros,
} from "napier";
import { afterAll, describe, expect, test } from "vitest";

const folders: string[] = [];
const folder = () => {
  folders.push(mkdtempSync(join(tmpdir(), "napier-diffusion-")));
  return folders.at(-1)!;
};
afterAll(() => {
  for (const f of folders) rmSync(f, { recursive: true });
});

/** Points [n, 2] in place of pictures; conditions are labels below 3, 3 for none. */
class Points extends nn.Module {
  net = new nn.Sequential(
    new nn.Linear(2 + 4 + 2, 48),
    new nn.SiLU(),
    new nn.Linear(48, 48),
    new nn.SiLU(),
    new nn.Linear(48, 2),
  );
  forward(x: Tensor, t: Tensor, condition: Tensor | null = null): Tensor {
    const labels = condition ?? full([x.shape[0]!], 3, { dtype: "int32" });
    const time = t.to("float32").div(100).unsqueeze(1);
    return this.net.forward(cat([x, labels.oneHot(4).to("float32"), time, time.square()], 1));
  }
}
const CENTRES = [
  [0.6, 0.5],
  [-0.6, 0.5],
  [0, -0.7],
] as const;
const points = (n = 300) => {
  const y = tensor(Int32Array.from({ length: n }, (_, i) => i % 3));
  const x = randn([n, 2]).mul(0.05).add(tensor(CENTRES).indexSelect(0, y));
  return new data.DataLoader(new data.TensorDataset([x, y]), { batchSize: 60, shuffle: true, seed: 3 });
};
const process = () => new diffusion.GaussianDiffusion({ timesteps: 100, objective: "v", minSnr: 5 });

/** A U-Net of 8x8 pictures and its loader, the weights those of a seed. */
const small = (options: train.DiffusionTrainerOptions = {}) => {
  manualSeed(4);
  const y = tensor(Int32Array.from({ length: 20 }, (_, i) => i % 2));
  const set = new data.TensorDataset([randn([20, 1, 8, 8]).mul(0.3), y]);
  const network = new models.UNet({ dim: 8, channels: 1, dimMults: [1, 2], classes: 2, dropout: 0.1 });
  const trainer = new train.DiffusionTrainer(network, process(), { classes: 2, warmup: 3, ...options });
  return { network, trainer, loader: new data.DataLoader(set, { batchSize: 4, shuffle: true, seed: 3 }) };
};
/** Of an event what does not depend on the clock. */
const told = ({ step, loss, lossByTime, learningRate, gradientNorm }: train.DiffusionEvent) => ({
  step,
  loss,
  lossByTime,
  learningRate,
  gradientNorm,
});
const bits = (network: nn.Module) => network.parameters().map((p) => [...p.dataSync()]);
async function run({ trainer, loader }: ReturnType<typeof small>, options: train.DiffusionFitOptions) {
  const events: train.DiffusionEvent[] = [];
  for await (const event of trainer.fit(loader, options)) events.push(event);
  return events;
}

describe("a run", () => {
  test("resumed in the middle of an epoch and of a window goes on bit for bit", async () => {
    const whole = small();
    const expected = await run(whole, { steps: 14, logEvery: 4 });
    expect(expected.map((e) => e.step)).toEqual([4, 8, 12, 14]);

    const out = folder();
    const options = { logEvery: 4, out, samples: 2, sampling: { steps: 2 } };
    const first = await run(small(), { ...options, steps: 7 });
    expect(first.map((e) => e.step)).toEqual([4, 7]);
    const second = small();
    manualSeed(99); // the checkpoint knows better
    const rest = await run(second, { ...options, steps: 14, resume: true });
    expect([first[0]!, ...rest].map(told)).toEqual(expected.map(told));
    expect(bits(second.network)).toEqual(bits(whole.network));
    const averages = (t: train.DiffusionTrainer) =>
      Object.values(t.ema!.stateDict().averages).map((x) => [...x.dataSync()]);
    expect(averages(second.trainer)).toEqual(averages(whole.trainer));
    expect(rest.at(-1)!.seconds).toBeGreaterThan(first.at(-1)!.seconds);
    // Grids and a checkpoint, nothing half written.
    const names = ["last.safetensors", ...[4, 7, 8, 12, 14].map((n) => `samples-${`${n}`.padStart(6, "0")}.png`)];
    expect(readdirSync(out).sort()).toEqual(names);
    expect(readFileSync(rest.at(-1)!.grid!).subarray(1, 4).toString()).toBe("PNG");
  });

  test("captured has the bits of uncaptured steps", async () => {
    const captured = small();
    const events = await run(captured, { steps: 12, logEvery: 5 });
    expect(events.map((e) => e.notice)).toEqual([null, null, null]); // nothing spoke against it
    const plain = small({ capture: false });
    expect((await run(plain, { steps: 12, logEvery: 5 })).map(told)).toEqual(events.map(told));
    expect(bits(captured.network)).toEqual(bits(plain.network));
  });

  test("that its signal or its reader ends leaves a checkpoint of its last step", async () => {
    const out = folder();
    const a = small();
    const stop = new AbortController();
    const onEvent = ({ step }: train.DiffusionEvent) => void (step === 4 && stop.abort());
    const quiet = { steps: 20, logEvery: 2, checkpointEvery: 20, out, samples: 0 };
    const events = await run(a, { ...quiet, onEvent, signal: stop.signal });
    expect(events.at(-1)!.step).toBe(4);
    const b = small();
    let seconds = 0;
    for await (const event of b.trainer.fit(b.loader, { ...quiet, resume: true })) {
      ({ seconds } = event);
      if (event.step === 8) break;
    }
    expect(b.trainer.seconds).toBe(seconds); // the reader's time is no training
    const c = small();
    expect((await run(c, { ...quiet, steps: 10, resume: true })).map((e) => e.step)).toEqual([10]);
    const whole = small();
    await run(whole, { steps: 10 });
    expect(bits(c.network)).toEqual(bits(whole.network));
    expect(await run(c, { ...quiet, steps: 10 })).toEqual([]); // it is there already
  });

  test("keeps no memory from step to step", async () => {
    const { trainer, loader } = small();
    const live: number[] = [];
    for await (const _ of trainer.fit(loader, { steps: 120, logEvery: 10 })) live.push(memory().liveBytes);
    // The least of several: what waits for the garbage collector is not held.
    const [early, late] = [live.slice(2, 7), live.slice(7)].map((part) => Math.min(...part)) as [number, number];
    expect(early).toBeGreaterThan(0);
    expect(late - early).toBeLessThan(20_000);
  });

  test("learns a batch by heart", async () => {
    const { network, loader } = small();
    const optimizer = new optim.Adam(network.parameters(), { lr: 4e-3 });
    const x = zeros([4, 1, 8, 8])
      .assign_([[0, 4]], 0.8)
      .assign_([[4, 8]], -0.8);
    const set = new data.TensorDataset([x, zeros([4], { dtype: "int32" })]);
    const trainer = new train.DiffusionTrainer(network, process(), { classes: 2, optimizer, ema: 0.95 });
    const [first, , last] = await run(
      { network, trainer, loader: new data.DataLoader(set, { batchSize: 4 }) } as ReturnType<typeof small>,
      { steps: 150, logEvery: 50 },
    );
    expect(last!.loss).toBeLessThan(first!.loss / 3);
    const y = await trainer.sample(2, { labels: [0, 0], steps: 10, seed: 2 });
    expect(
      y
        .sub(x.slice([0, 2]))
        .abs()
        .mean()
        .itemSync(),
    ).toBeLessThan(0.25);
    expect(loader.length).toBe(5);
  });
});

describe("conditions", () => {
  test("samples lie where their labels say; those without lie everywhere", async () => {
    manualSeed(2);
    const network = new Points();
    const optimizer = new optim.Adam(network.parameters(), { lr: 5e-3 });
    const schedule = new optim.CosineAnnealingLR(optimizer, { tMax: 900 });
    const trainer = new train.DiffusionTrainer(network, process(), {
      optimizer,
      schedule,
      classes: 3,
      conditionDropout: 0.2,
      ema: 0.98,
    });
    const loader = points();
    const before = await trainer.evaluate(loader);
    const events = [];
    for await (const event of trainer.fit(loader, { steps: 900, logEvery: 300 })) events.push(event);
    const after = await trainer.evaluate(loader, { bins: 4 });
    expect(after.loss).toBeLessThan(before.loss / 3);
    expect(after.lossByTime.map((b) => [b.from, b.to])).toEqual([
      [0, 24],
      [25, 49],
      [50, 74],
      [75, 99],
    ]);
    expect(events.at(-1)!.learningRate).toBeLessThan(1e-4);

    const n = 150;
    const distance = (x: Tensor, y: number[]) =>
      x
        .sub(tensor(CENTRES).indexSelect(0, tensor(Int32Array.from(y))))
        .square()
        .sum(1)
        .sqrt()
        .mean()
        .itemSync();
    const inTurn = Array.from({ length: n }, (_, i) => i % 3);
    const guided = await trainer.sample(n, { guidance: 2, seed: 5, batchSize: 64 }); // labels in turn
    expect(distance(guided, inTurn)).toBeLessThan(0.15);
    const ones = await trainer.sample(n, { labels: Array(n).fill(1), seed: 5 });
    expect(distance(ones, Array(n).fill(1))).toBeLessThan(0.25);
    // 3, what dropped conditions were replaced by, is no condition.
    const free = await trainer.sample(n, { condition: full([n], 3, { dtype: "int32" }), seed: 5 });
    const nearest = (x: Tensor) =>
      x.unsqueeze(1).sub(tensor(CENTRES)).square().sum(2).argmin(1).dataSync() as ArrayLike<number>;
    const counts = [0, 0, 0];
    for (const label of Array.from(nearest(free), Number)) counts[label]!++;
    for (const count of counts) expect(count).toBeGreaterThan(n / 8);
  });

  test("are what `condition` makes of the fields, or none; encode and decode stand around", async () => {
    const seen: (readonly number[] | null)[] = [];
    class Seeing extends Points {
      override forward(x: Tensor, _t: Tensor, condition: Tensor | null = null): Tensor {
        seen.push(condition?.shape ?? null);
        return this.net.forward(cat([x, zeros([x.shape[0]!, 6])], 1));
      }
    }
    const set = new data.TensorDataset([zeros([6, 4]), zeros([6], { dtype: "int32" }), zeros([6, 5])]);
    const loader = new data.DataLoader(set, { batchSize: 6 });
    const trainer = (options: train.DiffusionTrainerOptions) =>
      new train.DiffusionTrainer(new Seeing(), process(), {
        encode: (x) => x.slice([], [0, 2]),
        decode: (z) => cat([z, z], 1),
        ...options,
      });
    const last = trainer({ condition: (_, vectors) => vectors!, capture: false });
    for await (const _ of last.fit(loader, { steps: 1 }));
    expect(seen).toEqual([[6, 5]]);
    const y = await last.sample(3, { condition: zeros([3, 5]), steps: 2 });
    expect(y.shape).toEqual([3, 4]);
    expect(seen.slice(1)).toEqual([
      [3, 5],
      [3, 5],
    ]);
    seen.length = 0;
    for await (const _ of trainer({ condition: null }).fit(loader, { steps: 1 }));
    expect(seen).toEqual([null]);
  });
});

test("evaluate() is the process's losses, by time", async () => {
  const { trainer, network } = small({ bins: 5 });
  const x = randn([30, 1, 8, 8]);
  const y = zeros([30], { dtype: "int32" });
  const got = await trainer.evaluate([[x, y]] as never, { seed: 8 });
  const sums = new Map<number, number[]>();
  await trainer.averaged(async () => {
    const options = { condition: y, generator: new Generator(8) };
    const { losses, t } = noGrad(() => process().losses((a, b, c) => network.forward(a, b, c), x, options));
    const times = Array.from(t.dataSync(), Number);
    for (const [i, loss] of [...losses.dataSync()].entries()) {
      const bin = Math.floor(times[i]! / 20);
      sums.set(bin, [...(sums.get(bin) ?? []), Number(loss)]);
    }
  });
  for (const [bin, { from, to, loss, count }] of got.lossByTime.entries()) {
    const own = sums.get(bin)!;
    expect([from, to, count]).toEqual([20 * bin, 20 * bin + 19, own.length]);
    expect(loss).toBeCloseTo(own.reduce((a, b) => a + b) / own.length, 6);
  }
  const all = [...sums.values()].flat();
  expect(got.loss).toBeCloseTo(all.reduce((a, b) => a + b) / all.length, 6);
  expect(network.training).toBe(true);
});

test("the same seed draws the same samples, by the averaged weights, and leaves the default generator alone", async () => {
  const { trainer, network, loader } = small({ ema: 0.5 });
  await run({ trainer, network, loader }, { steps: 3 });
  const own = bits(network);
  const state = JSON.stringify(defaultGenerator.state());
  const [a, b] = [await trainer.sample(4, { steps: 3, seed: 1 }), await trainer.sample(4, { steps: 3, seed: 1 })];
  expect(JSON.stringify(defaultGenerator.state())).toBe(state);
  expect([...a.dataSync()]).toEqual([...b.dataSync()]);
  expect(bits(network)).toEqual(own);
  const labels = tensor(Int32Array.from([0, 1, 0, 1]));
  const options = { steps: 3, condition: labels, generator: new Generator(1) };
  const direct = await trainer.averaged((net) =>
    trainer.process.sample((x, t, c) => net.forward(x, t, c), [4, 1, 8, 8], options),
  );
  expect([...a.dataSync()]).toEqual([...direct.dataSync()]);
});

describe("sampling is captured", () => {
  /** Counts how often JavaScript runs the network. */
  const counted = (network: models.UNet) => {
    const count = { forwards: 0 };
    const forward = network.forward.bind(network);
    network.forward = (...args) => {
      count.forwards++;
      return forward(...args);
    };
    return count;
  };
  const values = async (trainer: train.DiffusionTrainer, options: train.DiffusionSampleOptions) => {
    const x = await trainer.sample(5, { steps: 12, batchSize: 2, seed: 6, ...options });
    const data = [...(await x.data())];
    x.free();
    return data;
  };
  const cases: train.DiffusionSampleOptions[] = [
    { sampler: "ddpm" },
    { sampler: "ddim", eta: 0.5 },
    { sampler: "dpm++2m" },
    { sampler: "heun" },
  ];

  test.each(cases)(
    "$sampler: the bits of uncaptured, by the averages of that time; no memory stays",
    async (options) => {
      const { network, trainer, loader } = small({ ema: 0.5 });
      const { ema } = trainer;
      const plain = new train.DiffusionTrainer(network, process(), {
        ema,
        classes: 2,
        shape: [1, 8, 8],
        capture: false,
      });
      let last: number[] = [];
      for (const steps of [2, 4]) {
        await run({ network, trainer, loader }, { steps });
        const own = bits(network);
        for (const guidance of [1, 3]) {
          const want = await values(plain, { ...options, guidance });
          expect(want).not.toEqual(last);
          const before = memory().liveBytes;
          for (let again = 0; again < 2; again++) expect(await values(trainer, { ...options, guidance })).toEqual(want);
          // A recording is given back by the stream's thread.
          await expect.poll(() => memory().liveBytes).toBeLessThanOrEqual(before);
          last = want;
        }
        expect(bits(network)).toEqual(own);
      }
    },
  );

  test("once a shape of batches; not where there are few steps, or capture is false", async () => {
    const forwards = async (trainer: train.DiffusionTrainer, network: models.UNet, steps: number, guidance = 1) => {
      const count = counted(network);
      await values(trainer, { steps, guidance });
      return count.forwards;
    };
    const make = (capture = true) => small({ shape: [1, 8, 8], capture });
    const a = make();
    // Two that are looked at and the recording, of 2 and of 1; 36 evaluations, or 72.
    expect(await forwards(a.trainer, a.network, 12)).toBe(6);
    const b = make();
    expect(await forwards(b.trainer, b.network, 12, 3)).toBe(12);
    const c = make();
    expect(await forwards(c.trainer, c.network, 5)).toBe(15);
    const d = make(false);
    expect(await forwards(d.trainer, d.network, 12)).toBe(36);
  });

  test("a network that cannot be captured draws all the same", async () => {
    class Reading extends Points {
      override forward(x: Tensor, t: Tensor, condition: Tensor | null = null): Tensor {
        return super.forward(x, t, condition).mul(t.dataSync()[0]! < 50 ? 1 : 0.5);
      }
    }
    class Carrying extends Points {
      last: Tensor | null = null;
      override forward(x: Tensor, t: Tensor, condition: Tensor | null = null): Tensor {
        const y = super.forward(x, t, condition);
        const all = this.last?.shape[0] === x.shape[0] ? y.add(this.last.mul(0.1)) : y;
        this.last = keep(all.detach());
        return all;
      }
    }
    for (const Network of [Reading, Carrying]) {
      const draw = (capture: boolean) => {
        manualSeed(8);
        return values(new train.DiffusionTrainer(new Network(), process(), { shape: [2], classes: 3, capture }), {});
      };
      expect(await draw(true)).toEqual(await draw(false));
    }
  });

  test("in the middle of a captured run leaves it as it is, bit for bit", async () => {
    const bare = small();
    const events = await run(bare, { steps: 14, logEvery: 7 });
    const drawing = small();
    const count = counted(drawing.network);
    const sampling = { steps: 12, guidance: 2 };
    const options = { steps: 14, logEvery: 7, out: folder(), samples: 5, sampling };
    const drawn = await run(drawing, options);
    expect(drawn.map((e) => [e.notice, typeof e.grid])).toEqual([
      [null, "string"],
      [null, "string"],
    ]);
    expect(drawn.map(told)).toEqual(events.map(told));
    expect(bits(drawing.network)).toEqual(bits(bare.network));
    expect(count.forwards).toBeLessThan(14 + 2 * 24); // both were captured
  });
});

test("what is wrong is said", async () => {
  const make = (options: train.DiffusionTrainerOptions) => () =>
    new train.DiffusionTrainer(new Points(), process(), options);
  expect(make({ bins: 101 })).toThrow("DiffusionTrainer: expected bins up to the 100 timesteps, got 101");
  expect(make({ conditionDropout: 1 })).toThrow("conditionDropout from 0 to below 1, got 1");
  expect(make({ clipNorm: 0 })).toThrow("clipNorm above 0, or null, got 0");
  const optimizer = new optim.SGD(new Points().parameters(), { lr: 1 });
  const schedule = new optim.StepLR(optimizer, { stepSize: 1 });
  expect(make({ optimizer, schedule, warmup: 2 })).toThrow("a schedule or warmup");
  const trainer = make({ classes: 3 })();
  await expect(trainer.sample(2)).rejects.toThrow("the shape of a sample is not known before the first step");
  const shaped = make({ classes: 3, shape: [2] })();
  await expect(shaped.sample(2, { labels: [1] })).rejects.toThrow("expected 2 labels, got 1");
  await expect(shaped.sample(2, { labels: [1, 3] })).rejects.toThrow("expected labels from 0 to 2, got 3");
  await expect(shaped.sample(2, { condition: zeros([3]) })).rejects.toThrow("a condition [2,...], got [3]");
  await expect(run({ trainer: shaped, loader: points() } as never, { steps: 4, resume: true })).rejects.toThrow(
    "out, or the path of a checkpoint, with resume",
  );
  await expect(
    run({ trainer: shaped, loader: points() } as never, { steps: 4, logEvery: 2, sampleEvery: 3 }),
  ).rejects.toThrow("sampleEvery a multiple of logEvery (2), got 3");
  await expect(run({ trainer: shaped, loader: [] } as never, { steps: 4 })).rejects.toThrow("a loader with batches");

  const out = folder();
  const bad = new data.TensorDataset([full([4, 2], Number.NaN), zeros([4], { dtype: "int32" })]);
  const nan = { trainer: shaped, loader: new data.DataLoader(bad, { batchSize: 4 }) } as never;
  await expect(run(nan, { steps: 4, logEvery: 2, out })).rejects.toThrow("expected finite losses, got NaN");
  expect(readdirSync(out)).toEqual([]);

  await run(small(), { steps: 1, out, samples: 0 });
  await expect(run(small({ ema: null }), { steps: 2, out, resume: true })).rejects.toThrow(
    "was written with ema, this trainer is without one",
  );
});
