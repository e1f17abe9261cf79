import { inflateSync } from "node:zlib";
import { data, defaultGenerator, manualSeed, memory, nn, optim, randn, type Tensor, tensor, train } from "napier";
import { beforeEach, describe, expect, test } from "vitest";
import { points, setup, weights } from "./setup.js";

beforeEach(() => void manualSeed(3));

const net = () =>
  new nn.Sequential(
    new nn.Linear(2, 16),
    new nn.BatchNorm1d(16),
    new nn.ReLU(),
    new nn.Dropout(0.2),
    new nn.Linear(16, 3),
  );

/** Tensors as lists of what they hold. */
async function plain(x: unknown): Promise<unknown> {
  if (x === null || typeof x !== "object") return x;
  if ("dtype" in x) return [...(await (x as Tensor).data((x as Tensor).dtype as "float32"))].map(String);
  if (Array.isArray(x)) return Promise.all(x.map(plain));
  return Object.fromEntries(await Promise.all(Object.entries(x).map(async ([key, v]) => [key, await plain(v)])));
}
/** All that training goes by, as plain values. */
const everything = (model: nn.Module, optimizer: train.AnyOptimizer, loader: data.DataLoader): Promise<unknown> =>
  plain({
    model: model.stateDict(),
    optimizer: optimizer.stateDict(),
    draw: defaultGenerator.state(),
    loader: loader.stateDict(),
    grads: model.parameters().map((p) => p.grad),
  });

describe("findLearningRate", () => {
  test("sweeps by equal factors, ends where the loss diverges, and suggests a rate that trains", async () => {
    const { trainer, loader } = setup({ n: 320 });
    const found = await trainer.findLearningRate(loader, { from: 1e-5, to: 100, steps: 141 });
    expect(found.rates[0]).toBe(1e-5);
    for (let i = 1; i < found.rates.length; i++)
      expect(found.rates[i]! / found.rates[i - 1]!).toBeCloseTo(10 ** 0.05, 9);
    expect(found.diverged).toBe(true);
    expect(found.rates.length).toBeLessThan(141);
    expect(found.losses).toHaveLength(found.rates.length);
    expect(found.smoothed).toHaveLength(found.rates.length);
    expect(found.suggestion).toBeGreaterThan(1e-3);
    expect(found.suggestion).toBeLessThan(10);
    const trained = setup({ n: 320, lr: found.suggestion! });
    const { history } = await trained.trainer.fit(trained.loader, { epochs: 3 });
    expect(history.at(-1)!.scores.loss).toBeLessThan(0.5);
  });

  test("the losses are those of a loop by hand, the mean is corrected, and the steepest descent is suggested", async () => {
    const { loader, model, trainer, optimizer } = setup();
    const found = await trainer.findLearningRate(loader, { from: 1e-3, to: 1, steps: 12, smoothing: 0.5 });
    const losses: number[] = [];
    let mean = 0;
    const smoothed: number[] = [];
    sweep: for (;;) {
      for await (const [x, y] of loader) {
        optimizer.paramGroups[0]!.lr = 1e-3 * 1000 ** (losses.length / 11);
        optimizer.zeroGrad();
        const loss = nn.crossEntropy(model.forward(x!), y!);
        loss.backward();
        optimizer.step();
        losses.push(await loss.item());
        mean = 0.5 * mean + 0.5 * losses.at(-1)!;
        smoothed.push(mean / (1 - 0.5 ** losses.length));
        if (losses.length === 12) break sweep;
      }
    }
    expect(found.losses).toEqual(losses);
    expect(found.smoothed).toEqual(smoothed);
    expect(found.diverged).toBe(false);
    const slopes = smoothed.map((_, i) => (i === 0 || i === 11 ? 0 : smoothed[i + 1]! - smoothed[i - 1]!));
    const before = slopes.slice(0, smoothed.indexOf(Math.min(...smoothed)) + 1);
    expect(found.suggestion).toBe(found.rates[before.indexOf(Math.min(...before))]);
  });

  test("everything is afterwards as it was, bit for bit: training goes on as if nothing had happened", async () => {
    const make = () => {
      manualSeed(3);
      const model = net();
      const optimizer = new optim.AdamW(
        [{ params: model.parameters().slice(0, 2) }, { params: model.parameters().slice(2), lr: 0.05 }],
        { lr: 0.01 },
      );
      const loader = new data.DataLoader(points(96), { batchSize: 16, shuffle: true, seed: 1 });
      const schedule = new optim.CosineAnnealingLR(optimizer, { tMax: 40 });
      const trainer = new train.Trainer(model, { optimizer, schedule, loss: nn.crossEntropy, ema: 0.9, clipNorm: 1 });
      return { model, optimizer, loader, trainer, schedule };
    };
    const run = async (test: boolean) => {
      const { model, optimizer, loader, trainer, schedule } = make();
      const find = async () => {
        if (!test) return;
        const before = await everything(model, optimizer, loader);
        await trainer.findLearningRate(loader, { steps: 20, to: 1e3 });
        expect(await everything(model, optimizer, loader)).toEqual(before);
        expect(schedule.lastLr).toEqual(optimizer.paramGroups.map((g) => g.lr));
      };
      await find();
      await trainer.fit(loader, { epochs: 2 });
      await find();
      for await (const _ of loader) break; // an epoch that was abandoned
      await find();
      await trainer.fit(loader, { epochs: 2 });
      return [await everything(model, optimizer, loader), await plain(trainer.ema!.stateDict())];
    };
    expect(await run(true)).toEqual(await run(false));
  });

  test("drives L-BFGS, frees what it made, and leaves gradients as they were", async () => {
    const set = points(64);
    const model = new nn.Linear(2, 3);
    const optimizer = new optim.LBFGS(model.parameters(), { maxIter: 2 });
    const trainer = new train.Trainer(model, { optimizer, loss: nn.crossEntropy });
    const loader = new data.DataLoader(set, { batchSize: 64 });
    model.parameters()[1]!.grad = tensor([1, 2, 3]);
    const before = await weights(model);
    const found = await trainer.findLearningRate(loader, { from: 1e-3, to: 10, steps: 15 });
    expect(found.losses.length).toBeGreaterThan(5);
    expect(await weights(model)).toEqual(before);
    expect(model.parameters()[1]!.grad!.toArraySync()).toEqual([1, 2, 3]);
    const held = memory().liveBytes;
    await trainer.findLearningRate(loader, { from: 1e-3, to: 10, steps: 15 });
    expect(memory().liveBytes - held).toBeLessThan(20_000);
  });

  test("aborts with the signal's reason, everything restored; says what is wrong", async () => {
    const { trainer, loader, model } = setup();
    const before = await weights(model);
    const controller = new AbortController();
    setTimeout(() => controller.abort(new Error("enough")), 20);
    await expect(trainer.findLearningRate(loader, { steps: 100_000, signal: controller.signal })).rejects.toThrow(
      "enough",
    );
    expect(await weights(model)).toEqual(before);
    await expect(trainer.findLearningRate(loader, { from: 1, to: 0.1 })).rejects.toThrow(
      "expected 0 < from < to, got 1 and 0.1",
    );
    await expect(trainer.findLearningRate(loader, { steps: 5 })).rejects.toThrow(
      "expected steps to be a whole number from 10 up",
    );
    const broken = new train.Trainer(model, {
      optimizer: new optim.SGD(model.parameters(), { lr: 1 }),
      loss: (y, t) => nn.crossEntropy(y.mul(Number.NaN), t),
    });
    await expect(broken.findLearningRate(loader)).rejects.toThrow("the loss of the first batch is not finite");
  });
});

describe("the chart", () => {
  test("as text and as PNG", async () => {
    const x = randn([64, 2]);
    const loader = new data.DataLoader(new data.TensorDataset([x, x.argmax(1)]), { batchSize: 16 });
    const { trainer } = setup({ model: new nn.Linear(2, 3) });
    const found = await trainer.findLearningRate(loader, { from: 1e-4, to: 10, steps: 50 });
    const lines = `${found}`.split("\n");
    expect(lines).toHaveLength(15 + 2 + 1);
    expect(lines.filter((line) => line.includes("•")).length).toBeGreaterThan(2);
    expect(lines.at(-2)).toMatch(/1e-4 .* 0.01 .* 1 /);
    expect(lines.at(-1)).toMatch(/^suggestion: [\d.e-]+/);
    const png = found.png();
    expect(png.subarray(1, 4).toString()).toBe("PNG");
    expect([png.readUInt32BE(16), png.readUInt32BE(20)]).toEqual([720, 420]);
    const at = png.indexOf("IDAT");
    const rows = inflateSync(png.subarray(at + 4, at + 4 + png.readUInt32BE(at - 4)));
    const blue = [...Array(720 * 420).keys()].filter((i) => {
      const p = Math.floor(i / 720) * (720 * 3 + 1) + 1 + (i % 720) * 3;
      return rows[p] === 37 && rows[p + 1] === 99 && rows[p + 2] === 235;
    });
    expect(blue.length).toBeGreaterThan(600);
  });
});
