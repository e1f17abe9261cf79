/** Optimizers that take a closure, and schedules that go by the validation, under the Trainer. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { data, manualSeed, nn, optim, train } from "napier";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { network, points, setup, weights } from "./setup.js";

const out = mkdtempSync(join(tmpdir(), "napier-optimizers-"));
afterAll(() => rmSync(out, { recursive: true }));
beforeEach(() => void manualSeed(3));

describe("L-BFGS", () => {
  const make = ({
    folder,
    dropout = 0,
    ...options
  }: { folder?: string; dropout?: number } & Partial<train.TrainerOptions> = {}) => {
    const set = points(64);
    const loader = new data.DataLoader(set, { batchSize: 32 });
    const model = new nn.Sequential(network(), new nn.Dropout(dropout));
    const optimizer = new optim.LBFGS(model.parameters(), { maxIter: 4, historySize: 5, lineSearch: "strongWolfe" });
    const trainer = new train.Trainer(model, {
      optimizer,
      loss: nn.crossEntropy,
      metrics: ["accuracy"],
      out: folder,
      ...options,
    });
    return { set, loader, model, optimizer, trainer };
  };

  test("is driven with a closure, as by hand", async () => {
    const { trainer, set, model } = make();
    const result = await trainer.fit(new data.DataLoader(set, { batchSize: 64 }), { epochs: 6 });
    expect(result.steps).toBe(6);
    manualSeed(3);
    const { model: other, optimizer } = make();
    const [x, y] = set.tensors as [never, never];
    const losses: number[] = [];
    for (let i = 0; i < 6; i++) {
      losses.push(
        await optimizer.step(() => {
          optimizer.zeroGrad();
          const loss = nn.crossEntropy(other.forward(x), y);
          loss.backward();
          return loss;
        }),
      );
    }
    expect(result.history.map((e) => e.scores.loss)).toEqual(losses);
    expect(await weights(model)).toEqual(await weights(other));
    expect(losses.at(-1)!).toBeLessThan(losses[0]! / 3);
  });

  test("accumulates over batches", async () => {
    const { trainer, loader } = make({ accumulate: 2 });
    const apart = await trainer.fit(loader, { epochs: 3 });
    manualSeed(3);
    const whole = make();
    const together = await whole.trainer.fit(new data.DataLoader(whole.set, { batchSize: 64 }), { epochs: 3 });
    expect(apart.steps).toBe(3);
    for (const [i, e] of together.history.entries())
      expect(apart.history[i]!.scores.loss).toBeCloseTo(e.scores.loss!, 4);
  });

  test("resumes bit for bit, with dropout the same in all evaluations of a step", async () => {
    const run = async (folder: string, stops: number[]) => {
      let last: number[] = [];
      for (const [i, steps] of stops.entries()) {
        manualSeed(3);
        const { trainer, loader, model } = make({ folder: join(out, folder), dropout: 0.3 });
        await trainer.fit(loader, { steps, resume: i > 0 });
        last = await weights(model);
      }
      return last;
    };
    expect(await run("stopped", [3, 4, 7])).toEqual(await run("whole", [7]));
  });

  test("its gradients are not clipped", () => {
    expect(() => make({ clipNorm: 1 })).toThrow(
      "expected no clipNorm and clipValue with an optimizer that takes a closure",
    );
  });
});

describe("ReduceLROnPlateau", () => {
  const make = (folder?: string, options: optim.PlateauOptions = { patience: 0, factor: 0.5, threshold: 0.05 }) => {
    const { loader, validation, model } = setup({ n: 64 });
    const optimizer = new optim.SGD(model.parameters(), { lr: 0.5, momentum: 0.9 });
    const schedule = new optim.ReduceLROnPlateau(optimizer, options);
    const trainer = new train.Trainer(model, {
      optimizer,
      schedule,
      loss: nn.crossEntropy,
      metrics: ["accuracy"],
      out: folder,
    });
    return { loader, validation, model, optimizer, schedule, trainer };
  };

  test("is stepped by the monitored score after each validation", async () => {
    const { trainer, loader, validation, optimizer } = make();
    const result = await trainer.fit(loader, { epochs: 12, validation });
    const twin = make();
    for (const e of result.history) if (e.type === "validation") twin.schedule.step(e.scores.loss!);
    expect(optimizer.paramGroups[0]!.lr).toBe(twin.optimizer.paramGroups[0]!.lr);
    expect(optimizer.paramGroups[0]!.lr).toBeLessThan(0.5);
    const rates = result.history.filter((e) => e.type === "epoch").map((e) => e.learningRate);
    expect(rates[0]).toBe(0.5);
    expect(rates).toEqual([...rates].sort((a, b) => b - a));
  });

  test("resumes bit for bit", async () => {
    const run = async (folder: string, stops: number[]) => {
      let last: unknown[] = [];
      for (const [i, epochs] of stops.entries()) {
        manualSeed(3);
        const { trainer, loader, validation, model, schedule } = make(join(out, folder));
        const { history } = await trainer.fit(loader, { epochs, validation, resume: i > 0 });
        last = [await weights(model), schedule.stateDict(), history.map((e) => e.scores)];
      }
      return last;
    };
    expect(await run("plateau-stopped", [3, 5, 9])).toEqual(await run("plateau", [9]));
  });

  test("says what it needs", () => {
    const { trainer, loader, validation, optimizer, model, schedule } = make();
    expect(() => trainer.fit(loader, { epochs: 1 })).toThrow(
      "ReduceLROnPlateau goes by the validation; pass { validation",
    );
    expect(() => trainer.fit(loader, { epochs: 1, validation, monitor: "accuracy" })).toThrow(
      'make it with { mode: "max" }',
    );
    expect(
      () => new train.Trainer(model, { optimizer, schedule, scheduleEvery: "epoch", loss: nn.crossEntropy }),
    ).toThrow("leave out scheduleEvery");
  });
});
