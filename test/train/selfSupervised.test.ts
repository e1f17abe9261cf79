/** @file SelfSupervisedTrainer: captured steps as the plain ones, resuming bit for bit, schedules, what it measures and refuses. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { data, manualSeed, models, nn, optim, rand, type Tensor, tensor, train, zeros } from "napier";
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
    }),
};
type Kind = keyof typeof MODELS;

/** 20 pictures with labels, batches of 8: one of 4 is left over. */
function setup(kind: Kind, options: train.SelfSupervisedOptions = {}) {
  manualSeed(1);
  const x = rand([20, 3, 10, 10]).mul(255).to("uint8");
  const labels = tensor(Int32Array.from({ length: 20 }, (_, i) => i % 2));
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
const kinds: Kind[] = ["simclr", "dino"];

describe.each(kinds)("%s", (kind) => {
  test("captured steps have the bits of plain ones, and everything that learns has moved", async () => {
    const runs = await Promise.resolve([true, false]).then(async (modes) => {
      const found = [];
      for (const capture of modes) {
        const { model, trainer, loader } = setup(kind, { capture, finalWeightDecay: 0.4 });
        const before = state(model);
        const events = await all(trainer.fit(loader, { steps: 9, logEvery: 3 }));
        found.push({ losses: events.map(({ step, loss, lr }) => ({ step, loss, lr })), before, after: state(model) });
      }
      return found;
    });
    expect(runs[0]).toEqual(runs[1]);
    const { before, after, losses } = runs[0]!;
    expect(losses.map(({ step }) => step)).toEqual([3, 6, 9]);
    const still = Object.keys(before).filter((key) => String(before[key]) === String(after[key]));
    // The classifier's own last layer, and lengths that stay 1, learn nothing.
    expect(still.filter((key) => !/network\.linear\.|weight_g$/.test(key))).toEqual([]);
  });

  test("resuming ends with the bits and the events of an uninterrupted run, in the middle of an epoch, too", async () => {
    const options = { steps: 9, logEvery: 3, evaluate: async () => ({ one: 1 }), evaluateEvery: 6 };
    const whole = setup(kind);
    await all(whole.trainer.fit(whole.loader, options));
    const checkpoint = join(folder, `${kind}.safetensors`);
    for (const steps of [3, 6]) {
      const part = setup(kind);
      const resume = steps > 3; // what is there is left aside unless it is asked for
      for await (const { step } of part.trainer.fit(part.loader, { ...options, checkpoint, resume }))
        if (step === steps) break;
    }
    const last = setup(kind);
    manualSeed(99); // the checkpoint's numbers count
    const rest = await all(last.trainer.fit(last.loader, { ...options, checkpoint, resume: true }));
    expect(rest.map(({ step }) => step)).toEqual([9]);
    expect(state(last.model)).toEqual(state(whole.model));
    const comparable = ({ trainer }: typeof whole) =>
      trainer.history.map(({ step, loss, lr, scores }) => ({ step, loss, lr, scores }));
    expect(comparable(last)).toEqual(comparable(whole));
    expect(last.trainer.seconds).toBeGreaterThan(0);
    expect(await all(last.trainer.fit(last.loader, { ...options, checkpoint, resume: true }))).toEqual([]);
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

  test("what is wrong", async () => {
    const fit = (options: Partial<train.SelfSupervisedFitOptions>, from = setup("simclr").loader) =>
      expect(all(setup("simclr").trainer.fit(from, { steps: 1, ...options }))).rejects;
    const op = "SelfSupervisedTrainer.fit: expected";
    await fit({ steps: 0 }).toThrow(`${op} steps to be a whole number from 1 up, got 0`);
    await fit({ logEvery: 2, evaluateEvery: 3 }).toThrow(`${op} evaluateEvery to be a multiple of logEvery 2, got 3`);
    await fit({ resume: true }).toThrow(`${op} a checkpoint to resume from, got none`);
    const empty = { [Symbol.asyncIterator]: async function* (): AsyncGenerator<Tensor[]> {} };
    await fit({}, empty as never).toThrow(`${op} a loader with batches, got none`);
    const of = (options: train.SelfSupervisedOptions) => () =>
      new train.SelfSupervisedTrainer(MODELS.simclr(), options);
    expect(of({ warmup: -1 })).toThrow("SelfSupervisedTrainer: expected warmup to be a whole number from 0 up, got -1");
    expect(of({ finalRate: 2 })).toThrow("expected a finalRate from 0 to 1, got 2");
    expect(of({ clipNorm: 0 })).toThrow("expected a clipNorm above 0, got 0");
    const { trainer, loader, optimizer } = setup("simclr");
    for (const group of optimizer.paramGroups) group.lr = 1;
    const wild = new train.SelfSupervisedTrainer(trainer.model, {
      optimizer: new optim.SGD(trainer.model.parameters(), { lr: 1e30 }),
    });
    await expect(all(wild.fit(loader, { steps: 4, logEvery: 2 }))).rejects.toThrow(`${op} a finite loss, got NaN`);
  });
});
