/** @file What GanTrainer takes beside the game: feature matching, schedules, clipping, samples; errors that name the remedy. */
import { mkdtempSync, readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  data,
  Generator,
  manualSeed,
  models,
  nn,
  noGrad,
  optim,
  randint,
  randn,
  type Tensor,
  tensor,
  train,
} from "napier";
import { describe, expect, test } from "vitest";

const numbers = (t: Tensor) => Array.from(t.dataSync() as Float32Array);
const weights = (m: nn.Module) =>
  Object.entries(m.stateDict()).map(([key, t]) => [key, Array.from(t.dataSync(), Number)]);

/** Noise [n, 4] to [n, 3]. */
class Maker extends nn.Module {
  net = new nn.Sequential(new nn.Linear(4, 8), new nn.ReLU(), new nn.Linear(8, 3));
  forward(z: Tensor, labels: Tensor | null = null): Tensor {
    const y = this.net.forward(z);
    return labels ? y.add(labels.to("float32").reshape([-1, 1])) : y;
  }
}
class Critic extends nn.Module {
  first = new nn.Linear(3, 6);
  second = new nn.Linear(6, 5);
  last = new nn.Linear(5, 1);
  hidden(x: Tensor): [Tensor, Tensor] {
    const h = this.first.forward(x).tanh();
    return [h, this.second.forward(h).tanh()];
  }
  forward(x: Tensor): Tensor {
    return this.last.forward(this.hidden(x)[1]);
  }
}
const rows = (n = 8) => new data.TensorDataset([randn([n, 3])]);
/** Both networks by SGD, so that a step by hand is a line. */
const sgd = (generator: nn.Module, discriminator: nn.Module) => ({
  generatorOptimizer: new optim.SGD(generator.parameters(), { lr: 0.5 }),
  discriminatorOptimizer: new optim.SGD(discriminator.parameters(), { lr: 0.5 }),
});

describe("feature matching", () => {
  const both: train.FeatureMatching["features"] = (d, x) => (d as Critic).hidden(x);

  test.each([1, 0])("the step is the one written by hand, the game's weight %d", async (gameWeight) => {
    manualSeed(3);
    const set = rows(4);
    const [generator, critic, own, ownCritic] = [new Maker(), new Critic(), new Maker(), new Critic()];
    own.loadStateDict(generator.stateDict());
    ownCritic.loadStateDict(critic.stateDict());
    const trainer = new train.GanTrainer(generator, critic, {
      noiseDim: 4,
      loss: "least-squares",
      featureMatching: { weight: 3, gameWeight, features: both },
      ...sgd(generator, critic),
    });
    manualSeed(9);
    let told = 0;
    for await (const { generatorLoss } of trainer.fit(new data.DataLoader(set, { batchSize: 4 }), { steps: 1 }))
      told = generatorLoss;

    manualSeed(9);
    const real = set.tensors[0]!;
    const move = (m: nn.Module) =>
      noGrad(() => {
        for (const p of m.parameters()) if (p.grad) p.sub_(p.grad.mul(0.5));
      });
    const z = train.sampleNoise(4, 4);
    const fake = noGrad(() => own.forward(z));
    ownCritic.forward(real).sub(1).square().mean().add(ownCritic.forward(fake).square().mean()).mul(0.5).backward();
    move(ownCritic);
    for (const p of ownCritic.parameters()) p.grad = null;
    const made = own.forward(train.sampleNoise(4, 4));
    const distance = (k: 0 | 1) => {
      const want = noGrad(() => ownCritic.hidden(real)[k].sum(0).mul(0.25));
      const gap = ownCritic.hidden(made)[k].sum(0).mul(0.25).sub(want);
      return gap
        .mul(gap)
        .sum()
        .mul(1 / gap.size);
    };
    const game = ownCritic
      .forward(made)
      .sub(1)
      .square()
      .mean()
      .mul(0.5 * gameWeight);
    const loss = distance(0).add(distance(1)).mul(3).add(game);
    loss.backward();
    move(own);
    expect(told).toBeCloseTo(loss.itemSync(), 5);
    for (const [mine, theirs] of [
      [own, generator],
      [ownCritic, critic],
    ] as const)
      for (const [i, p] of mine.parameters().entries())
        for (const [at, v] of numbers(theirs.parameters()[i]!).entries()) expect(v).toBeCloseTo(numbers(p)[at]!, 5);
  });

  test("by a discriminator's own features, with labels: captured and resumed with the same bits", async () => {
    const run = async (capture: boolean, steps: number[]) => {
      manualSeed(4);
      const small = { imageSize: 8, noiseDim: 4, classes: 2 };
      const set = new data.TensorDataset([randn([24, 1, 8, 8]).tanh(), randint(0, 2, [24], { dtype: "int32" })]);
      const start = [new models.GanGenerator(small), new models.GanDiscriminator(small)].map((m) => m.stateDict());
      const out = mkdtempSync(join(tmpdir(), "napier-gan-"));
      let result: unknown;
      for (const [i, until] of steps.entries()) {
        const [generator, discriminator] = [new models.GanGenerator(small), new models.GanDiscriminator(small)];
        generator.loadStateDict(start[0]!);
        discriminator.loadStateDict(start[1]!);
        if (i === 0) manualSeed(6);
        const options = { featureMatching: { weight: 10 }, ema: 0.9, capture };
        const trainer = new train.GanTrainer(generator, discriminator, options);
        const loader = new data.DataLoader(set, { batchSize: 4, shuffle: true, seed: 1 });
        const fit = { steps: until, logEvery: 20, out, samples: 0, resume: i > 0 };
        for await (const _ of trainer.fit(loader, fit));
        result = [weights(generator), weights(discriminator)];
      }
      return result;
    };
    const plain = await run(false, [7]);
    expect(await run(true, [7])).toEqual(plain);
    expect(await run(true, [3, 7])).toEqual(plain);
  });

  test("what cannot be", () => {
    const make = (featureMatching: train.FeatureMatching) => () =>
      new train.GanTrainer(new Maker(), new Critic(), { noiseDim: 4, featureMatching });
    expect(make({})).toThrow("featureMatching with features, or a discriminator with features(x, labels), got neither");
    expect(make({ weight: 0, features: both })).toThrow("a weight of featureMatching above 0, got 0");
    expect(make({ gameWeight: -1, features: both })).toThrow("a gameWeight of featureMatching from 0 up, got -1");
  });
});

describe("schedules and clipping", () => {
  /** To `steps` in one run or, by `steps` of several, in runs that are resumed. */
  const run = async (steps: number[], options: { capture?: boolean; clipNorm?: number } = {}) => {
    const out = mkdtempSync(join(tmpdir(), "napier-gan-"));
    const events: train.GanEvent[] = [];
    let state: unknown;
    let seconds = 0;
    for (const [i, until] of steps.entries()) {
      manualSeed(8 + (i > 0 ? 1 : 0));
      const set = new data.TensorDataset([
        tensor(
          Float32Array.from({ length: 60 }, (_, k) => Math.sin(k)),
          [20, 3],
        ),
      ]);
      const [generator, critic] = [new Maker(), new Critic()];
      const optimizers = sgd(generator, critic);
      const trainer = new train.GanTrainer(generator, critic, {
        ...{ noiseDim: 4, discriminatorSteps: 2, ...optimizers, ...options },
        generatorSchedule: new optim.LambdaLR(optimizers.generatorOptimizer, (t) => 1 / (1 + t)),
        discriminatorSchedule: new optim.LambdaLR(optimizers.discriminatorOptimizer, (t) => 0.5 ** t),
      });
      const loader = new data.DataLoader(set, { batchSize: 4, shuffle: true, seed: 1 });
      const fit = { steps: until, logEvery: 2, sampleEvery: 4, samples: 0, out, resume: i > 0 };
      for await (const event of trainer.fit(loader, fit)) events.push(event);
      expect(trainer.seconds).toBeGreaterThan(seconds);
      seconds = trainer.seconds;
      state = [weights(generator), weights(critic)];
    }
    return { events, state };
  };

  test("rates move on after each step of the generator; captured and resumed with the same bits", async () => {
    const plain = await run([9], { capture: false });
    expect(plain.events.map((e) => e.step)).toEqual([2, 4, 6, 8, 9]);
    for (const { step, ...e } of plain.events) {
      expect(e.generatorLearningRate).toBeCloseTo(0.5 / step, 12);
      expect(e.discriminatorLearningRate).toBeCloseTo(0.5 ** step, 12);
      expect([e.generatorGradientNorm, e.discriminatorGradientNorm]).toEqual([null, null]);
    }
    const seconds = plain.events.map((e) => e.seconds);
    expect([...seconds].sort((a, b) => a - b)).toEqual(seconds);
    expect((await run([9], { capture: true })).state).toEqual(plain.state);
    expect((await run([9])).state).toEqual(plain.state);
    expect((await run([5, 9])).state).toEqual(plain.state);
  });

  test("no network moves by more than rate times clipNorm; norms are those before clipping", async () => {
    manualSeed(2);
    const [generator, critic] = [new Maker(), new Critic()];
    const before = [generator, critic].map((m) => m.parameters().map(numbers));
    const trainer = new train.GanTrainer(generator, critic, { noiseDim: 4, clipNorm: 1e-3, ...sgd(generator, critic) });
    for await (const event of trainer.fit(new data.DataLoader(rows(4), { batchSize: 4 }), { steps: 1 })) {
      expect(event.generatorGradientNorm).toBeGreaterThan(1e-2);
      expect(event.discriminatorGradientNorm).toBeGreaterThan(1e-2);
    }
    for (const [i, m] of [generator, critic].entries()) {
      const moved = m.parameters().flatMap((p, k) => numbers(p).map((v, at) => v - before[i]![k]![at]!));
      expect(Math.hypot(...moved) / 0.5e-3).toBeCloseTo(1, 2);
    }
    const captured = await run([9], { clipNorm: 0.1, capture: true });
    expect(captured.state).toEqual((await run([9], { clipNorm: 0.1, capture: false })).state);
  });
});

describe("samples", () => {
  const trainer = () => {
    manualSeed(4);
    return new train.GanTrainer(new Maker(), new Critic(), { noiseDim: 4, classes: 3 });
  };

  test("given noise is theirs, labels stand in turn or as given", async () => {
    const t = trainer();
    const noise = train.sampleNoise(5, 4);
    const plain = numbers(t.generator.forward(noise));
    const by = async (labels?: readonly number[] | Tensor) => numbers(await t.sample(5, { noise, labels }));
    const shifted = (labels: readonly number[]) => plain.map((v, i) => Math.fround(v + labels[Math.floor(i / 3)]!));
    expect(await by()).toEqual(shifted([0, 1, 2, 0, 1]));
    expect(await by([2, 2, 0, 1, 1])).toEqual(shifted([2, 2, 0, 1, 1]));
    const given = tensor(Int32Array.from([1, 0, 0, 0, 2]));
    expect(await by(given)).toEqual(shifted([1, 0, 0, 0, 2]));
    expect(given.dataSync()).toEqual(Int32Array.from([1, 0, 0, 0, 2])); // still the caller's
  });

  test("a seed's are the same in batches of any size, and leave the default generator and the modes alone", async () => {
    const t = trainer();
    const { net } = t.generator as Maker;
    net.at(1).eval();
    manualSeed(7);
    const next = numbers(randn([2]));
    manualSeed(7);
    const whole = numbers(await t.sample(7, { seed: 3 }));
    expect(numbers(randn([2]))).toEqual(next);
    const parts = numbers(await t.sample(7, { seed: 3, batchSize: 2 }));
    expect(parts).toHaveLength(whole.length);
    for (const [i, v] of parts.entries()) expect(v).toBeCloseTo(whole[i]!, 5);
    expect(numbers(await t.sample(7, { seed: 4 }))).not.toEqual(whole);
    const noise = train.sampleNoise(7, 4, { generator: new Generator(3) });
    expect(numbers(await t.sample(7, { noise }))).toEqual(whole);
    expect([t.generator.training, net.at(0).training, net.at(1).training]).toEqual([true, true, false]);
  });

  test("what cannot be; a signal ends between two batches", async () => {
    const t = trainer();
    const noise = train.sampleNoise(3, 4);
    await expect(t.sample(2, { noise })).rejects.toThrow("GanTrainer.sample: expected noise [2,4], got [3,4]");
    await expect(t.sample(3, { noise, seed: 1 })).rejects.toThrow("expected noise or a seed, got both");
    await expect(t.sample(2, { labels: [0] })).rejects.toThrow("expected 2 labels, got 1");
    await expect(t.sample(2, { labels: [0, 3] })).rejects.toThrow("expected labels from 0 to 2, got 3");
    await expect(t.sample(2, { labels: noise })).rejects.toThrow("expected labels [2], got [3,4]");
    await expect(t.sample(0)).rejects.toThrow("expected n to be a whole number from 1 up, got 0");
    const abort = new AbortController();
    let batches = 0;
    t.generator.registerForwardHook(() => {
      if (++batches === 2) abort.abort(new Error("enough"));
    });
    await expect(t.sample(9, { batchSize: 2, signal: abort.signal })).rejects.toThrow("enough");
    expect(batches).toBe(2);
  });

  test("grids come every sampleEvery steps and at the end", async () => {
    manualSeed(1);
    const small = { imageSize: 8, noiseDim: 4 };
    const out = mkdtempSync(join(tmpdir(), "napier-gan-"));
    const t = new train.GanTrainer(new models.GanGenerator(small), new models.GanDiscriminator(small));
    const loader = new data.DataLoader(new data.TensorDataset([randn([8, 1, 8, 8])]), { batchSize: 4 });
    const grids: boolean[] = [];
    for await (const { grid } of t.fit(loader, { steps: 7, logEvery: 2, sampleEvery: 4, samples: 2, out }))
      grids.push(grid !== null);
    expect(grids).toEqual([false, true, false, true]);
    expect(readdirSync(out)).toEqual(["last.safetensors", "samples-000004.png", "samples-000007.png"]);
    await expect(t.fit(loader, { steps: 8, logEvery: 2, sampleEvery: 3 }).next()).rejects.toThrow(
      "expected sampleEvery a multiple of logEvery (2), got 3",
    );
  });
});

describe("errors that name the remedy", () => {
  const small = { imageSize: 8, noiseDim: 4 };

  test("another noiseDim or other classes than the generator's; its own by default", async () => {
    const [generator, discriminator] = [new models.GanGenerator(small), new models.GanDiscriminator(small)];
    const make = (options: train.GanTrainerOptions) => () => new train.GanTrainer(generator, discriminator, options);
    expect(make({ noiseDim: 96 })).toThrow(
      "GanTrainer: expected noiseDim to be the generator's, 4 (leave the trainer's out, or make the generator anew), got 96",
    );
    expect(make({ classes: 3 })).toThrow("expected classes to be the generator's, null");
    expect(make({ clipNorm: 0 })).toThrow("expected clipNorm above 0, or null, got 0");
    expect((await make({})().sample(2)).shape).toEqual([2, 1, 8, 8]);
  });

  test("classes, and a loader without labels", async () => {
    const told = { ...small, classes: 3 };
    const trainer = new train.GanTrainer(new models.GanGenerator(told), new models.GanDiscriminator(told));
    const loader = new data.DataLoader(new data.TensorDataset([randn([4, 1, 8, 8])]), { batchSize: 2 });
    await expect(trainer.fit(loader, { steps: 1 }).next()).rejects.toThrow(
      "GanTrainer.fit: expected batches [pictures, labels], for 3 classes (give the loader labels, or networks and trainer no classes), got 1 field of shape [2,1,8,8]",
    );
  });
});
