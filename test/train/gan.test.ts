/** @file GAN losses by their formulas, the gradient penalty as PyTorch has it, the trainer of two networks. */
import { mkdtempSync, readdirSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  cat,
  data,
  full,
  manualSeed,
  models,
  nn,
  optim,
  randint,
  randn,
  type Tensor,
  tensor,
  train,
  zeros,
} from "napier";
import { describe, expect, test } from "vitest";
import { even, fill } from "../models/formula.js";

const f64 = { dtype: "float64" } as const;
const golden = JSON.parse(readFileSync(new URL("../fixtures/models/gan.json", import.meta.url), "utf8"));
const near = (got: ArrayLike<number>, want: ArrayLike<number>, bound = 1e-9) => {
  expect(got.length).toBe(want.length);
  const size = Math.max(...Array.from(want, Math.abs));
  for (let i = 0; i < want.length; i++) expect(Math.abs(got[i]! - want[i]!)).toBeLessThanOrEqual(bound * size);
};
const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

describe("losses", () => {
  const [real, fake] = [
    [0.3, -2, 5],
    [1.5, -0.2, -3],
  ] as const;
  const [r, f] = [tensor(real, f64), tensor(fake, f64)];
  const mean = (values: number[]) => values.reduce((a, b) => a + b) / values.length;

  test("the game of cross-entropies", () => {
    const want = mean(real.map((x) => -Math.log(sigmoid(x)))) + mean(fake.map((x) => -Math.log(1 - sigmoid(x))));
    near([train.discriminatorLoss(r, f).itemSync()], [want]);
    near([train.generatorLoss(f).itemSync()], [mean(fake.map((x) => -Math.log(sigmoid(x))))]);
    near([train.minimaxGeneratorLoss(f).itemSync()], [mean(fake.map((x) => Math.log(1 - sigmoid(x))))]);
  });
  test("hinge", () => {
    const want = mean(real.map((x) => Math.max(0, 1 - x))) + mean(fake.map((x) => Math.max(0, 1 + x)));
    near([train.hingeDiscriminatorLoss(r, f).itemSync()], [want]); // with scores on both sides of both margins
    const x = tensor([...real], { ...f64, requiresGrad: true });
    train.GAN_LOSSES.hinge.discriminator(x, f).backward();
    near(x.grad!.dataSync(), [-1 / 3, -1 / 3, 0]);
    near([train.GAN_LOSSES.hinge.generator(f).itemSync()], [-mean([...fake])]);
  });
  test("stays finite where the discriminator is sure", () => {
    const sure = tensor([500, -500], f64);
    expect(train.discriminatorLoss(sure, sure).itemSync()).toBe(500);
    expect(train.generatorLoss(sure).itemSync()).toBe(250);
  });
  test("least squares, Wasserstein, features", () => {
    const ls = 0.5 * mean(real.map((x) => (x - 1) ** 2)) + 0.5 * mean(fake.map((x) => x * x));
    near([train.lsDiscriminatorLoss(r, f).itemSync()], [ls]);
    near([train.lsGeneratorLoss(f).itemSync()], [0.5 * mean(fake.map((x) => (x - 1) ** 2))]);
    near([train.wganDiscriminatorLoss(r, f).itemSync()], [mean([...fake]) - mean([...real])]);
    near([train.wganGeneratorLoss(f).itemSync()], [-mean([...fake])]);
    const [a, b] = [
      tensor(
        [
          [1, 2],
          [3, 4],
        ],
        f64,
      ),
      tensor(
        [
          [0, 0],
          [2, 2],
        ],
        f64,
      ),
    ];
    near([train.featureMatchingLoss(a, b).itemSync()], [(1 + 4) / 2]);
  });
  test("noise lies evenly in [-1, 1)", () => {
    const z = train.sampleNoise(400, 16);
    expect(z.shape).toEqual([400, 16]);
    expect(z.min().itemSync()).toBeGreaterThanOrEqual(-1);
    expect(z.max().itemSync()).toBeLessThan(1);
    expect(z.mean().itemSync()).toBeCloseTo(0, 1);
    expect(z.var().itemSync()).toBeCloseTo(1 / 3, 1);
  });
});

test("the gradient penalty and its gradient as PyTorch's double backward", () => {
  const critic = fill(
    new nn.Sequential(
      new nn.Conv2d(1, 4, 3, { stride: 2, padding: 1 }),
      new nn.LeakyReLU(0.2),
      new nn.Conv2d(4, 6, 3, { padding: 1 }),
      new nn.Tanh(),
      new nn.Flatten(),
      new nn.Linear(96, 5),
      new nn.Softplus(),
      new nn.Linear(5, 1),
    ).to("float64"),
  );
  const pictures = (name: string) => tensor(even(name, 192), [3, 1, 8, 8]);
  const epsilon = tensor([0.25, 0.5, 0.9], [3, 1, 1, 1], f64);
  const penalty = train.gradientPenalty((x) => critic.forward(x), pictures("real"), pictures("fake"), { epsilon });
  near([penalty.itemSync()], [golden.penalty]);
  penalty.backward();
  for (const [key, p] of critic.namedParameters()) {
    const want = golden.grads[key] as number[] | undefined;
    if (want?.some((v) => v !== 0)) near(p.grad!.dataSync(), want, 1e-8);
  }
});

test("parameter counts of the assignment", () => {
  const count = (m: nn.Module) => m.parameters().reduce((n, p) => n + p.size, 0);
  expect(count(new models.GanDiscriminator())).toBe(267_009);
  expect(count(new models.GanGenerator({ noiseDim: 4 }))).toBe(1_858_320);
  expect(count(new models.DcganDiscriminator())).toBe(1_102_721);
  expect(count(new models.DcganGenerator({ noiseDim: 4 }))).toBe(6_580_801);
});

test("ganOptimizer: Adam of 1e-3, 0.5, 0.999", () => {
  const optimizer = train.ganOptimizer(new nn.Linear(2, 2));
  expect(optimizer).toBeInstanceOf(optim.Adam);
  expect(optimizer.paramGroups[0]).toMatchObject({ lr: 1e-3, betas: [0.5, 0.999] });
});

/** Numbers in place of pictures: [n, 2] around (2, -1). */
class Generator extends nn.Module {
  net = new nn.Sequential(new nn.Linear(4, 16), new nn.ReLU(), new nn.Linear(16, 2));
  forward(z: Tensor): Tensor {
    return this.net.forward(z);
  }
}
class Critic extends nn.Module {
  net = new nn.Sequential(new nn.Linear(2, 16), new nn.LeakyReLU(0.2), new nn.Linear(16, 1));
  forward(x: Tensor): Tensor {
    return this.net.forward(x);
  }
}
const points = () => {
  const x = randn([200, 2])
    .mul(0.3)
    .add(tensor([2, -1]));
  return new data.DataLoader(new data.TensorDataset([x]), { batchSize: 32, shuffle: true, seed: 1 });
};

describe("GanTrainer", () => {
  test.each(["nonsaturating", "minimax", "least-squares", "wasserstein", "hinge"] as const)(
    "%s finds where the points lie",
    async (loss) => {
      manualSeed(2);
      const generator = new Generator();
      const critic = new Critic();
      const trainer = new train.GanTrainer(generator, critic, {
        loss,
        noiseDim: 4,
        discriminatorSteps: loss === "wasserstein" ? 4 : 1,
        ema: 0.98,
        generatorOptimizer: train.ganOptimizer(generator, { lr: loss === "wasserstein" ? 1e-3 : 3e-3 }),
        discriminatorOptimizer: train.ganOptimizer(critic, { lr: loss === "wasserstein" ? 5e-3 : 3e-3 }),
      });
      const events: train.GanEvent[] = [];
      for await (const event of trainer.fit(points(), { steps: 450, logEvery: 200 })) events.push(event);
      expect(events.map((e) => e.step)).toEqual([200, 400, 450]);
      const [x, y] = (await trainer.sample(300)).mean(0).dataSync();
      expect(Math.hypot(x! - 2, y! + 1)).toBeLessThan(0.6);
      expect(generator.training).toBe(true);
    },
  );

  test("incomplete batches are left out, discriminator steps counted, a grid written", async () => {
    manualSeed(3);
    const out = mkdtempSync(join(tmpdir(), "napier-gan-"));
    let seen = 0;
    class Counting extends models.GanDiscriminator {
      override forward(x: Tensor, labels: Tensor | null = null): Tensor {
        expect(x.shape[0]).toBe(4);
        seen++;
        return super.forward(x, labels);
      }
    }
    const small = { imageSize: 8, noiseDim: 4, classes: 3 };
    const trainer = new train.GanTrainer(new models.GanGenerator(small), new Counting(small), {
      noiseDim: 4,
      classes: 3,
      discriminatorSteps: 2,
    });
    const set = new data.TensorDataset([zeros([10, 1, 8, 8]), tensor(new Int32Array(10))]);
    const events = [];
    for await (const e of trainer.fit(new data.DataLoader(set, { batchSize: 4 }), {
      steps: 3,
      logEvery: 3,
      out,
      samples: 9,
    }))
      events.push(e);
    expect(seen).toBe(3 * 2 * 2 + 3); // real and fake in each of its steps, and the generator's
    expect(readdirSync(out)).toEqual(["last.safetensors", "samples-000003.png"]);
    expect(readFileSync(events[0]!.grid!).subarray(1, 4).toString()).toBe("PNG");
    expect((await trainer.sample(5)).shape).toEqual([5, 1, 8, 8]);
  });

  test("the same seed gives the same networks", async () => {
    const run = async () => {
      manualSeed(5);
      const trainer = new train.GanTrainer(new Generator(), new Critic(), { noiseDim: 4 });
      for await (const _ of trainer.fit(points(), { steps: 5, logEvery: 5 }));
      return [...trainer.generator.parameters()[0]!.dataSync()];
    };
    expect(await run()).toEqual(await run());
  });

  describe("captured steps", () => {
    let forwards = 0;
    /** Noise [n, 4] and labels of three classes to pictures of 8x8. */
    class Painter extends nn.Module {
      embedding = new nn.Embedding(3, 4);
      net = new nn.Sequential(
        new nn.Linear(8, 8 * 4 * 4),
        new nn.Unflatten(1, [8, 4, 4]),
        new nn.BatchNorm2d(8),
        new nn.ReLU(),
        new nn.ConvTranspose2d(8, 1, 4, { stride: 2, padding: 1 }),
        new nn.Tanh(),
      );
      forward(noise: Tensor, labels: Tensor | null = null): Tensor {
        forwards++;
        return this.net.forward(cat([noise, this.embedding.forward(labels!)], 1));
      }
    }
    class Viewer extends nn.Module {
      embedding = new nn.Embedding(3, 64);
      net = new nn.Sequential(
        new nn.Conv2d(2, 8, 4, { stride: 2, padding: 1 }),
        new nn.LeakyReLU(0.2),
        new nn.Dropout(0.2),
        new nn.Flatten(),
        new nn.Linear(8 * 4 * 4, 1),
      );
      forward(x: Tensor, labels: Tensor | null = null): Tensor {
        return this.net.forward(cat([x, this.embedding.forward(labels!).reshape([-1, 1, 8, 8])], 1));
      }
    }
    const numbers = (state: Record<string, Tensor>) =>
      Object.entries(state).map(([key, t]) => [key, Array.from(t.dataSync(t.dtype) as Float32Array, Number)]);
    /** Twelve steps over epochs of six batches of 4 and one of 2 (left out), a look at samples behind the eighth. */
    const run = async (loss: train.GanLossName, capture: boolean | undefined) => {
      manualSeed(7);
      forwards = 0;
      const trainer = new train.GanTrainer(new Painter(), new Viewer(), {
        loss,
        noiseDim: 4,
        classes: 3,
        discriminatorSteps: loss === "wasserstein" ? 2 : 1,
        ema: 0.9,
        capture,
      });
      const set = new data.TensorDataset([randn([26, 1, 8, 8]).tanh(), randint(0, 3, [26], { dtype: "int32" })]);
      const events: Partial<train.GanEvent>[] = [];
      let samples: number[] = [];
      const loader = new data.DataLoader(set, { batchSize: 4, shuffle: true, seed: 1 });
      for await (const { samplesPerSecond: _, seconds: __, ...event } of trainer.fit(loader, {
        steps: 12,
        logEvery: 8,
      })) {
        events.push(event);
        if (event.step === 8) samples = [...(await trainer.sample(3)).dataSync()];
      }
      const networks = [trainer.generator, trainer.discriminator].map((m) => numbers(m.stateDict()));
      return { result: { events, samples, networks, average: numbers(trainer.ema!.stateDict().averages) }, forwards };
    };

    test.each(["nonsaturating", "least-squares", "wasserstein"] as const)(
      "%s: the bits of the plain run, second derivatives too",
      async (loss) => {
        const plain = await run(loss, false);
        const always = await run(loss, true);
        expect(always.result).toEqual(plain.result);
        expect(always.forwards).toBe(2 + 1 + 2); // each network's step once, the samples, and again behind a change of mode
        const byDefault = await run(loss, undefined);
        expect(byDefault.result).toEqual(plain.result);
        expect(byDefault.forwards).toBeLessThan(plain.forwards);
        expect(plain.result.events.map((e) => e.notice)).toEqual([null, null]);
      },
    );

    test("hooks see every step by default", async () => {
      manualSeed(7);
      const generator = new Generator();
      let seen = 0;
      generator.net.registerForwardHook(() => {
        seen++;
      });
      const trainer = new train.GanTrainer(generator, new Critic(), { noiseDim: 4 });
      for await (const _ of trainer.fit(points(), { steps: 10, logEvery: 5 }));
      expect(seen).toBe(20);
    });

    test("a step that is not the same each time is told once, and goes on uncaptured", async () => {
      manualSeed(7);
      let calls = 0;
      class Restless extends Critic {
        override forward(x: Tensor): Tensor {
          return super.forward(x).mul(1 + 0.01 * ++calls);
        }
      }
      const trainer = new train.GanTrainer(new Generator(), new Restless(), { noiseDim: 4 });
      const notices: (string | null)[] = [];
      for await (const { notice } of trainer.fit(points(), { steps: 15, logEvery: 5 })) notices.push(notice);
      expect(notices.filter(Boolean).join()).toContain("are not captured: the step is not the same each time");
      expect(calls).toBe(15 * 3);
    });
  });

  describe("checkpoints", () => {
    const numbers = (state: Record<string, Tensor>) =>
      Object.entries(state).map(([key, t]) => [key, Array.from(t.dataSync(t.dtype) as Float32Array, Number)]);
    /** A new run to `steps`, with epochs of four batches and one that is left out; ended by its reader behind step `stop`. */
    const run = async (out: string, steps: number, { resume = false, stop = steps, seed = 3, abortAt = 0 } = {}) => {
      manualSeed(5);
      const [pictures, flat] = [new nn.Unflatten(1, [1, 1, 2]), new nn.Flatten()];
      const hidden = [new nn.Linear(4, 8), new nn.BatchNorm1d(8), new nn.ReLU()];
      const generator = new nn.Sequential(...hidden, new nn.Linear(8, 2), pictures);
      const judging = [new nn.Linear(2, 8), new nn.Dropout(0.2), new nn.LeakyReLU(), new nn.Linear(8, 1)];
      const discriminator = new nn.Sequential(flat, ...judging);
      const set = new data.TensorDataset([randn([35, 1, 1, 2])]);
      manualSeed(seed); // of the run; a resumed one takes it from its checkpoint
      const trainer = new train.GanTrainer(generator, discriminator, { noiseDim: 4, discriminatorSteps: 3, ema: 0.9 });
      const loader = new data.DataLoader(set, { batchSize: 8, shuffle: true, seed: 2 });
      const abort = new AbortController();
      let batches = 0;
      const watched: train.BatchSource = {
        async *[Symbol.asyncIterator]() {
          for await (const batch of loader) {
            if (++batches === abortAt) abort.abort();
            yield batch;
          }
        },
        stateDict: () => loader.stateDict(),
        loadStateDict: (state) => loader.loadStateDict(state as ReturnType<typeof loader.stateDict>),
      };
      const events: unknown[] = [];
      const { signal } = abort;
      const options = { steps, out, samples: 2, logEvery: 5, checkpointEvery: 2, resume, signal };
      for await (const { samplesPerSecond: _, seconds: __, grid, ...event } of trainer.fit(watched, options)) {
        events.push({ ...event, grid: readFileSync(grid!) });
        if (event.step >= stop) break;
      }
      const state = [generator, discriminator].map((m) => numbers(m.stateDict()));
      return { events, state: [...state, numbers(trainer.ema!.stateDict().averages)], step: trainer.step };
    };
    const folder = () => mkdtempSync(join(tmpdir(), "napier-gan-"));

    test("resumed in the middle of an epoch goes on bit for bit, also where its reader ended it", async () => {
      const whole = await run(folder(), 23);
      expect(whole.events.map((e) => (e as train.GanEvent).step)).toEqual([5, 10, 15, 20, 23]);
      const out = folder();
      const early = await run(out, 23, { abortAt: 8 }); // seven full batches: between two steps of the discriminator
      expect([early.step, early.events]).toEqual([2, []]);
      expect((await run(out, 7, { resume: true, seed: 6 })).step).toBe(7);
      expect((await run(out, 23, { resume: true, stop: 15, seed: 4 })).step).toBe(15);
      const rest = await run(out, 23, { resume: true, seed: 5 });
      expect(rest.events).toEqual(whole.events.slice(3));
      expect(rest.state).toEqual(whole.state);
      const grids = [5, 7, 10, 15, 20, 23].map((step) => `samples-${String(step).padStart(6, "0")}.png`);
      expect(readdirSync(out).sort()).toEqual(["last.safetensors", ...grids]);
      expect((await run(folder(), 23, { resume: true })).state).toEqual(whole.state); // nothing there: from the beginning
    });

    test("what does not fit is said, and a loss that is no number leaves the last checkpoint", async () => {
      const out = folder();
      await run(out, 4);
      const make = (options: train.GanTrainerOptions) =>
        new train.GanTrainer(new nn.Sequential(new nn.Linear(4, 2)), new nn.Sequential(new nn.Linear(2, 1)), {
          noiseDim: 4,
          ...options,
        });
      const loader = new data.DataLoader(new data.TensorDataset([zeros([8, 2])]), { batchSize: 4 });
      const take = async (
        trainer: train.GanTrainer,
        source: train.BatchSource,
        options: Partial<train.GanFitOptions>,
      ) => {
        for await (const _ of trainer.fit(source, { steps: 6, ...options }));
      };
      await expect(take(make({}), loader, { out, resume: true })).rejects.toThrow("was written with ema");
      await expect(take(make({}), loader, { resume: true })).rejects.toThrow("out, or the path of a checkpoint");
      await expect(take(make({}), (async function* () {})(), { out, resume: true })).rejects.toThrow(
        "loader with stateDict()",
      );
      const before = readFileSync(join(out, "last.safetensors"));
      const nan = new data.DataLoader(new data.TensorDataset([full([8, 2], Number.NaN)]), { batchSize: 4 });
      await expect(take(make({}), nan, { out })).rejects.toThrow(
        "expected a finite loss, got NaN for the discriminator behind step 0",
      );
      expect(readFileSync(join(out, "last.safetensors"))).toEqual(before);
    });
  });

  test("options that cannot be", async () => {
    // @ts-expect-error: the types refuse it too
    expect(() => new train.GanTrainer(new Generator(), new Critic(), { loss: "softplus" })).toThrow('got "softplus"');
    expect(() => new train.GanTrainer(new Generator(), new Critic(), { discriminatorSteps: 0 })).toThrow(
      "expected discriminatorSteps to be a whole number from 1 up, got 0",
    );
    const trainer = new train.GanTrainer(new Generator(), new Critic(), { noiseDim: 4 });
    const nothing = { async *[Symbol.asyncIterator]() {} };
    await expect(trainer.fit(nothing, { steps: 1 }).next()).rejects.toThrow("expected a loader with batches");
    expect(() => new models.GanGenerator({ noiseDim: 4 }).forward(zeros([2, 5]))).toThrow(
      "expected noise [n,4], got [2,5]",
    );
    expect(() => new models.GanGenerator({ noiseDim: 4 }).forward(zeros([2, 4]), zeros([2]))).toThrow(
      "expected no labels",
    );
  });
});

describe("pictures", () => {
  test("a grid's bytes: black, white, and what lies outside", async () => {
    const x = cat([full([1, 1, 2, 2], -1), full([1, 1, 2, 2], 3)]);
    const png = await train.imageGridPng(x, { columns: 2, padding: 0 });
    expect(Buffer.from(png).subarray(16, 24).toString("hex")).toBe("0000000400000002");
    await expect(train.imageGridPng(zeros([2, 2, 4, 4]))).rejects.toThrow("pictures [n,c,h,w] with 1 or 3 channels");
  });
});
