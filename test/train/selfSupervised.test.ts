/** @file SelfSupervisedTrainer: captured steps as the plain ones, resuming bit for bit, schedules, what it measures and refuses. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { data, io, manualSeed, memory, models, nn, optim, rand, type Tensor, tensor, train, zeros } from "napier";
import { afterAll, describe, expect, test } from "vitest";

const folder = mkdtempSync(join(tmpdir(), "napier-selfsup-"));
afterAll(() => rmSync(folder, { recursive: true }));

const augment = data.simclrAugment(8);
const VIEWS = {
  simclr: new data.Views([augment, augment]),
  dino: data.dinoViews({ size: 8, localSize: 4, locals: 1, blur: false }),
};
const encoder = () => new models.Encoder(new models.CifarResNet({ depth: 8, width: 2 }));
const MODELS = {
  simclr: () => new models.SimCLR(encoder(), { features: 8, dim: 4 }),
  dino: () =>
    new models.DINO(encoder, {
      features: 8,
      head: { out: 6, hidden: 8, bottleneck: 4, batchNorm: true },
      teacherTemperature: [0.04, 0.07],
      momentum: 0.9,
      freezeLastLayer: 0.5,
    }),
};
type Kind = keyof typeof MODELS;

/** Pictures with labels in batches of 8; one of 4 is left over in each epoch. */
function setup(kind: Kind, { pictures = 20, ...options }: train.SelfSupervisedOptions & { pictures?: number } = {}) {
  manualSeed(1);
  const x = rand([pictures, 3, 10, 10]).mul(255).to("uint8");
  const labels = tensor(Int32Array.from({ length: pictures }, (_, i) => i % 2));
  const model = MODELS[kind]();
  const learned = model.parameters().filter((p) => p.requiresGrad);
  const optimizer = new optim.AdamW(learned, { lr: 1e-2, weightDecay: 0.1 });
  const trainer = new train.SelfSupervisedTrainer(model, { optimizer, warmup: 3, clipNorm: 1, ...options });
  const set = new data.TensorDataset([x, labels]);
  const loader = new data.DataLoader(set, { batchSize: 8, shuffle: true, seed: 2, mix: VIEWS[kind] });
  return { model, optimizer, trainer, loader };
}
const state = (model: nn.Module) =>
  Object.fromEntries(Object.entries(model.stateDict()).map(([key, t]) => [key, [...t.dataSync(t.dtype as "float32")]]));
async function all<T>(events: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const event of events) found.push(event);
  return found;
}
/** Of an event what does not depend on the clock. */
const told = ({ step, loss, lr, scores, notice }: train.SelfSupervisedEvent<object>) => ({
  step,
  loss,
  lr,
  scores,
  notice,
});
/** Counts how often JavaScript runs the model's step: a replayed one is not seen. */
function counted(model: train.SelfSupervisedModel): () => number {
  let calls = 0;
  const { loss } = model;
  model.loss = (views) => {
    calls++;
    return loss.call(model, views);
  };
  return () => calls;
}
/** The loader, with `look` called before each of its batches. */
const watched = (loader: data.DataLoader, look: () => void): train.BatchSource => ({
  async *[Symbol.asyncIterator]() {
    for await (const batch of loader) {
      look();
      yield batch;
    }
  },
  stateDict: () => loader.stateDict(),
  loadStateDict: (at) => loader.loadStateDict(at as ReturnType<typeof loader.stateDict>),
});
const kinds: Kind[] = ["simclr", "dino"];

describe.each(kinds)("%s", (kind) => {
  test("steps are captured, with the bits of plain ones, and everything that learns moves", async () => {
    const run = async (capture: boolean) => {
      const { model, trainer, loader } = setup(kind, { capture, finalWeightDecay: 0.4, pictures: 68 });
      const before = state(model);
      const calls = counted(model);
      const events = await all(trainer.fit(loader, { steps: 24, logEvery: 8 }));
      return { result: { events: events.map(told), before, after: state(model) }, calls: calls() };
    };
    const [captured, plain] = [await run(true), await run(false)];
    expect(captured.result).toEqual(plain.result);
    expect(plain.calls).toBe(24);
    expect(captured.calls).toBeLessThan(16);
    const { before, after, events } = plain.result;
    expect(events.map(({ step, notice }) => [step, notice])).toEqual([8, 16, 24].map((step) => [step, null]));
    const still = Object.keys(before).filter((key) => String(before[key]) === String(after[key]));
    // The classifier's own last layer, and lengths that stay 1, learn nothing.
    expect(still.filter((key) => !/network\.linear\.|weight_g$/.test(key))).toEqual([]);
  });

  test.each([true, false])("resumed it has the bits of an uninterrupted run, captured: %s", async (capture) => {
    const options = { steps: 21, logEvery: 3, evaluate: async () => ({ one: 1 }), evaluateEvery: 6 };
    const make = () => setup(kind, { capture, pictures: 60 }); // seven full batches an epoch
    const whole = make();
    const events = await all(whole.trainer.fit(whole.loader, options));
    expect(events.map(({ step, scores }) => [step, scores])).toEqual(
      [3, 6, 9, 12, 15, 18, 21].map((step) => [step, step % 6 === 0 || step === 21 ? { one: 1 } : null]),
    );
    const out = join(folder, `${kind}-${capture}`);
    for (const [ender, end, lastEvent] of [
      ["reader", 3, 3],
      ["signal", 11, 11], // in a step between two events
      ["signal", 14, 12], // behind a step, while the batch that is left over is loaded
      ["signal", 15, 15],
      ["reader", 18, 18],
    ] as const) {
      const { trainer, loader } = make();
      if (end > 3) manualSeed(99); // the checkpoint's numbers count
      const stop = new AbortController();
      const source = watched(loader, () => {
        if (ender === "signal" && trainer.step === (end === lastEvent ? end - 1 : end)) stop.abort();
      });
      const run = trainer.fit(source, { ...options, out, checkpointEvery: 100, resume: true, signal: stop.signal });
      let [told, seconds] = [0, 0];
      for await (const { step } of run) {
        [told, seconds] = [step, trainer.seconds];
        if (ender === "reader" && step === end) break;
      }
      expect([told, trainer.step]).toEqual([lastEvent, end]);
      if (ender === "reader") expect(trainer.seconds).toBe(seconds); // the reader's time is no training
    }
    const last = make();
    manualSeed(99);
    const rest = await all(last.trainer.fit(last.loader, { ...options, out, resume: true }));
    expect(rest.map(({ step }) => step)).toEqual([21]);
    expect(state(last.model)).toEqual(state(whole.model));
    expect(last.trainer.history.map(told)).toEqual(events.map(told));
    expect(whole.trainer.history).toEqual(events);
    expect(last.trainer.seconds).toBeGreaterThan(0);
    expect(readdirSync(out)).toEqual(["last.safetensors"]);
    expect(await all(last.trainer.fit(last.loader, { ...options, out, resume: true }))).toEqual([]);
  });

  test("keeps no memory from step to step", async () => {
    const { trainer, loader } = setup(kind, { pictures: 60 });
    const live: number[] = [];
    for await (const _ of trainer.fit(loader, { steps: 70, logEvery: 5 })) live.push(memory().liveBytes);
    // The least of several, behind the change in the middle: what waits for the garbage collector is not held.
    const [early, late] = [live.slice(8, 11), live.slice(11)].map((part) => Math.min(...part)) as [number, number];
    expect(early).toBeGreaterThan(0);
    expect(late - early).toBeLessThan(20_000);
  });
});

describe("fit", () => {
  test("rates rise by a line and fall by a cosine; weight decay by a cosine where there is any", async () => {
    manualSeed(1);
    const model = MODELS.simclr();
    const [decayed, plain] = [model.head.parameters(), model.encoder.parameters()];
    const optimizer = new optim.AdamW(
      [
        { params: decayed, weightDecay: 0.2 },
        { params: plain, weightDecay: 0, lr: 0.5 },
      ],
      { lr: 0.1 },
    );
    const options = { optimizer, warmup: 2, finalRate: 0.1, finalWeightDecay: 0.4 };
    const trainer = new train.SelfSupervisedTrainer(model, options);
    const { loader } = setup("simclr");
    const seen: number[][] = [];
    for await (const { lr } of trainer.fit(loader, { steps: 6, logEvery: 1 })) {
      const [a, b] = optimizer.paramGroups;
      expect(a!.lr).toBe(lr);
      expect(b!.lr / a!.lr).toBeCloseTo(5, 10);
      seen.push([lr, a!.weightDecay!, b!.weightDecay!]);
    }
    const cosine = (from: number, to: number, share: number) =>
      to + ((from - to) * (1 + Math.cos(Math.PI * share))) / 2;
    const rates = [0.05, 0.1, ...[0, 1, 2, 3].map((i) => cosine(0.1, 0.01, i / 4))];
    seen.forEach(([lr, decay, none], i) => {
      expect(lr).toBeCloseTo(rates[i]!, 12);
      expect(decay).toBeCloseTo(cosine(0.2, 0.4, i / 6), 12);
      expect(none).toBe(0);
    });
  });

  test("an event's loss is the mean since the last one, over full batches of views without labels", async () => {
    manualSeed(1);
    const sizes: number[][] = [];
    class Fixed extends nn.Module {
      readonly w = new nn.Parameter(zeros([1]));
      forward(x: Tensor): Tensor {
        return x;
      }
      encode(x: Tensor): Tensor {
        return x.flatten(1);
      }
      loss(views: readonly Tensor[]): Tensor {
        sizes.push(...views.map((v) => [...v.shape]));
        return this.w.mul(views[0]!).sum().add(views[0]!.mean());
      }
    }
    const x = tensor(
      Float32Array.from({ length: 5 }, (_, i) => i),
      [5, 1, 1, 1],
    );
    const set = new data.TensorDataset([x, zeros([5], { dtype: "int32" })]);
    const loader = new data.DataLoader(set, { batchSize: 2 }); // means 0.5, 2.5; a batch of 1 is left out
    const model = new Fixed();
    const trainer = new train.SelfSupervisedTrainer(model, {
      capture: false,
      optimizer: new optim.SGD(model.parameters(), { lr: 1e-12 }),
    });
    const events = await all(trainer.fit(loader, { steps: 5, logEvery: 2 }));
    expect(events.map(({ step, loss }) => [step, Math.round(loss * 1e6) / 1e6])).toEqual([
      [2, 1.5],
      [4, 1.5],
      [5, 0.5],
    ]);
    expect(sizes).toEqual(Array(5).fill([2, 1, 1, 1]));
    expect(events.every(({ samplesPerSecond }) => samplesPerSecond > 0)).toBe(true);
  });

  test("measures when it is due, trains in training mode behind it, and ends by a signal", async () => {
    const { model, trainer, loader } = setup("simclr");
    const control = new AbortController();
    const modes: boolean[] = [];
    const measured: number[] = [];
    const events = await all(
      trainer.fit(loader, {
        steps: 10,
        logEvery: 1,
        evaluateEvery: 2,
        evaluate: async (m) => {
          measured.push(trainer.step);
          m.eval();
          return { step: trainer.step };
        },
        onEvent: ({ step }) => {
          if (step === 5) control.abort();
        },
        signal: control.signal,
      }),
    );
    modes.push(model.training);
    expect(measured).toEqual([2, 4]);
    expect(events.map(({ scores }) => scores?.step ?? null)).toEqual([null, 2, null, 4, null]);
    expect(modes).toEqual([true]);
  });

  test("a checkpoint that does not fit is refused, and a loss that is no number leaves the last one", async () => {
    const out = join(folder, "fit");
    const written = setup("simclr");
    await all(written.trainer.fit(written.loader, { steps: 2, out }));
    const path = join(out, "last.safetensors");
    const before = readFileSync(path);
    const resume = ({ trainer, loader }: Pick<typeof written, "trainer" | "loader">, source = loader as never) =>
      expect(all(trainer.fit(source, { steps: 4, out, resume: true }))).rejects;
    await resume(setup("dino")).toThrow("student.encoder");
    const model = MODELS.simclr();
    const optimizer = new optim.AdamW(model.head.parameters());
    const part = new train.SelfSupervisedTrainer(model, { optimizer });
    await resume({ trainer: part, loader: written.loader }).toThrow("expected 5 parameters in group 0, got 28");
    await resume(setup("simclr"), (async function* () {})() as never).toThrow("a loader with stateDict()");
    const plain = join(folder, "plain.safetensors");
    await io.save(plain, { x: zeros([1]) });
    const { trainer, loader } = setup("simclr");
    await expect(all(trainer.fit(loader, { steps: 4, resume: plain }))).rejects.toThrow(
      "expected a checkpoint of napier",
    );
    const gan = join(folder, "gan");
    const [a, b] = [new nn.Sequential(new nn.Linear(2, 2)), new nn.Sequential(new nn.Linear(2, 1))];
    const other = new train.GanTrainer(a, b, { noiseDim: 2 });
    const points = new data.DataLoader(new data.TensorDataset([zeros([4, 2])]), { batchSize: 2 });
    for await (const _ of other.fit(points, { steps: 1, out: gan, samples: 0 }));
    const foreign = all(trainer.fit(loader, { steps: 4, resume: join(gan, "last.safetensors") }));
    await expect(foreign).rejects.toThrow("last.safetensors was written without model, this trainer is with one");

    const wild = new optim.SGD(trainer.model.parameters(), { lr: 1e30 });
    const failing = new train.SelfSupervisedTrainer(trainer.model, { optimizer: wild });
    await expect(all(failing.fit(loader, { steps: 4, logEvery: 2, out }))).rejects.toThrow("a finite loss, got NaN");
    expect(readFileSync(path)).toEqual(before);
  });

  test("a step that is not the same each time is told once, and goes on uncaptured", async () => {
    const { model, trainer, loader } = setup("simclr");
    const { loss } = model as models.SimCLR;
    let calls = 0;
    (model as models.SimCLR).loss = (views) => loss.call(model as models.SimCLR, views).mul(1 + 0.01 * ++calls);
    const events = await all(trainer.fit(loader, { steps: 12, logEvery: 4 }));
    expect(events.filter(({ notice }) => notice).map(({ notice }) => notice)).toEqual([
      expect.stringContaining("are not captured: the step is not the same each time"),
    ]);
    expect(calls).toBe(12);
  });

  test("what is wrong", async () => {
    const fit = (options: Partial<train.SelfSupervisedFitOptions>, from = setup("simclr").loader) =>
      expect(all(setup("simclr").trainer.fit(from, { steps: 1, ...options }))).rejects;
    const op = "SelfSupervisedTrainer.fit: expected";
    await fit({ steps: 0 }).toThrow(`${op} steps to be a whole number from 1 up, got 0`);
    await fit({ logEvery: 2, evaluateEvery: 3 }).toThrow(`${op} evaluateEvery to be a multiple of logEvery 2, got 3`);
    await fit({ resume: true }).toThrow(`${op} out, or the path of a checkpoint, with resume, got neither`);
    await fit({ checkpointEvery: 0 }).toThrow(`${op} checkpointEvery to be a whole number from 1 up, got 0`);
    const empty = { [Symbol.asyncIterator]: async function* (): AsyncGenerator<Tensor[]> {} };
    await fit({}, empty as never).toThrow(`${op} a loader with batches, got none`);
    const of = (options: train.SelfSupervisedOptions) => () =>
      new train.SelfSupervisedTrainer(MODELS.simclr(), options);
    expect(of({ warmup: -1 })).toThrow("SelfSupervisedTrainer: expected warmup to be a whole number from 0 up, got -1");
    expect(of({ finalRate: 2 })).toThrow("expected a finalRate from 0 to 1, got 2");
    expect(of({ clipNorm: 0 })).toThrow("expected a clipNorm above 0, got 0");
  });
});
