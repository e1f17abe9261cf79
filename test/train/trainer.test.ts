import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type data, io, manualSeed, memory, nn, optim, randn, type Tensor, tensor, train } from "napier";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { network, setup, weights } from "./setup.js";

const out = mkdtempSync(join(tmpdir(), "napier-trainer-"));
afterAll(() => rmSync(out, { recursive: true }));
beforeEach(() => void manualSeed(3));

describe("fit", () => {
  test("trains, and its events tell the same as its result", async () => {
    const { trainer, loader, validation } = setup();
    const run = trainer.fit(loader, { epochs: 12, validation, logEvery: 2 });
    const events: train.TrainEvent[] = [];
    for await (const event of run) events.push(event);
    const result = await run;
    expect(result).toMatchObject({ reason: "finished", steps: 72, epochs: 12, samples: 12 * 96 });
    expect(events.filter((e) => e.type === "step").map((e) => e.step)).toEqual(
      Array.from({ length: 36 }, (_, i) => 2 * i + 2),
    );
    expect(events.filter((e) => e.type === "epoch" || e.type === "validation")).toEqual(result.history);
    expect(events.at(-1)).toMatchObject({ type: "end", reason: "finished", step: 72, epoch: 12 });
    expect(result.best!.scores.accuracy).toBeGreaterThan(0.9);
    const { scores, samples } = await trainer.evaluate(validation);
    const last = result.history.at(-1)!;
    expect(last.scores).toEqual(scores);
    expect(samples).toBe(60);
  });

  test("the epoch's loss is the mean over its samples, a smaller last batch by its share", async () => {
    const { trainer, loader } = setup({ n: 40, batchSize: 16, lr: 0 });
    const epoch = (await trainer.fit(loader, { epochs: 1 })).history[0]!;
    expect(epoch.scores.loss).toBeCloseTo((await trainer.evaluate(loader)).scores.loss!, 6);
    expect(epoch.samples).toBe(40);
  });

  test("accumulate gives the gradient of the whole group, whatever the sizes of its batches", async () => {
    const x = randn([10, 2]);
    const y = x
      .matmul(
        tensor([
          [1, -1, 0],
          [0, 1, 1],
        ]),
      )
      .argmax(1);
    const part = (from: number, to: number) => [x.slice([from, to]), y.slice([from, to])] as const;
    const trained = async (batches: readonly (readonly Tensor[])[], accumulate: number) => {
      manualSeed(3);
      const model = network();
      const trainer = new train.Trainer(model, {
        optimizer: new optim.SGD(model.parameters(), { lr: 0.1 }),
        loss: nn.crossEntropy,
        accumulate,
      });
      const source = {
        async *[Symbol.asyncIterator]() {
          yield* batches;
        },
      };
      expect((await trainer.fit(source, { epochs: 1 })).steps).toBe(1);
      return weights(model);
    };
    const together = await trained([[x, y]], 1);
    const apart = await trained([part(0, 4), part(4, 8), part(8, 10)], 4);
    for (const [i, w] of apart.entries()) expect(w).toBeCloseTo(together[i]!, 6);
  });

  test("steps bound a run inside an epoch, and it is validated at its end", async () => {
    const { trainer, loader, validation } = setup();
    const result = await trainer.fit(loader, { steps: 8, validation });
    expect(result).toMatchObject({ steps: 8, epochs: 1 });
    expect(result.history.filter((e) => e.type === "validation").map((e) => e.step)).toEqual([6, 8]);
  });

  test("schedules move after each step or each epoch; the gradient's norm is reported where it is clipped", async () => {
    for (const scheduleEvery of ["step", "epoch"] as const) {
      const { loader, model } = setup();
      const optimizer = new optim.SGD(model.parameters(), { lr: 1 });
      const schedule = new optim.StepLR(optimizer, { stepSize: 1, gamma: 0.5 });
      const trainer = new train.Trainer(model, {
        optimizer,
        schedule,
        scheduleEvery,
        loss: nn.crossEntropy,
        clipNorm: 0.1,
      });
      const rates: number[] = [];
      for await (const e of trainer.fit(loader, { epochs: 2, logEvery: 1 })) {
        if (e.type !== "step") continue;
        rates.push(e.learningRate);
        expect(e.gradientNorm).toBeGreaterThan(0);
      }
      expect(rates).toEqual(
        scheduleEvery === "step" ? rates.map((_, i) => 0.5 ** (i + 1)) : rates.map((_, i) => (i < 6 ? 1 : 0.5)),
      );
    }
  });

  test("early stopping ends a run that no longer improves", async () => {
    const { trainer, loader, validation } = setup({ lr: 0 });
    const result = await trainer.fit(loader, { epochs: 50, validation, earlyStopping: { patience: 3 } });
    expect(result).toMatchObject({ reason: "earlyStopping", epochs: 4 });
    expect(result.best!.epoch).toBe(1);
  });

  test("an AbortSignal and leaving the loop end the run after its step", async () => {
    const { trainer, loader } = setup();
    const controller = new AbortController();
    const aborted = await trainer.fit(loader, {
      epochs: 1000,
      signal: controller.signal,
      logEvery: 1,
      callbacks: [(e) => e.step === 5 && controller.abort()],
    });
    expect(aborted.reason).toBe("aborted");
    expect(aborted.steps).toBeLessThan(10);
    const run = trainer.fit(loader, { epochs: 1000, logEvery: 1 });
    for await (const event of run) if (event.step >= 5) break;
    expect((await run).reason).toBe("stopped");
    expect((await trainer.fit(loader, { epochs: 1, signal: AbortSignal.abort() })).steps).toBe(0);
  });

  test("a slow consumer holds training back; nothing is lost", async () => {
    const { trainer, loader } = setup();
    const seen: number[] = [];
    let ahead = 0;
    let newest = 0;
    for await (const event of trainer.fit(loader, {
      epochs: 10,
      logEvery: 1,
      callbacks: [(e) => void (newest = e.step)],
    })) {
      if (event.type !== "step") continue;
      await new Promise((resolve) => setTimeout(resolve, 2));
      seen.push(event.step);
      ahead = Math.max(ahead, newest - event.step);
    }
    expect(seen).toEqual(Array.from({ length: 60 }, (_, i) => i + 1));
    expect(ahead).toBeLessThan(30);
  });

  test("errors of the loss, a callback and the loader reject, awaited and iterated", async () => {
    const { trainer, loader } = setup();
    const fails = { callbacks: [() => Promise.reject(new Error("callback failed"))] };
    await expect(trainer.fit(loader, { epochs: 3, ...fails })).rejects.toThrow("callback failed");
    const iterate = async () => {
      for await (const _ of trainer.fit(loader, { epochs: 3, logEvery: 1, ...fails }));
    };
    await expect(iterate()).rejects.toThrow("callback failed");
    const broken = {
      async *[Symbol.asyncIterator](): AsyncGenerator<Tensor[]> {
        yield [randn([2, 2]), tensor(new Int32Array([0, 1]))];
        throw new Error("no such file");
      },
    };
    await expect(trainer.fit(broken, { epochs: 1 })).rejects.toThrow("no such file");
    const badLabels = {
      async *[Symbol.asyncIterator]() {
        yield [randn([2, 2]), tensor(new Int32Array([0, 7]))];
      },
    };
    await expect(trainer.fit(badLabels, { epochs: 1 })).rejects.toThrow(
      /crossEntropy: expected labels between 0 and 2, got 7/,
    );
  });

  test("wrong options say what is wrong", () => {
    const { trainer, loader, model, optimizer } = setup();
    expect(() => trainer.fit(loader, {})).toThrow("fit: expected how long to train, { epochs } or { steps }");
    expect(() => trainer.fit(loader, { epochs: 0 })).toThrow(
      "fit: expected epochs to be a whole number from 1 up, got 0",
    );
    expect(() => trainer.fit(loader, { epochs: 1, checkpoint: 5 })).toThrow("checkpoints need a folder");
    expect(() => trainer.fit(loader, { epochs: 1, resume: true })).toThrow("pass { out } to the Trainer");
    expect(() => trainer.fit(loader, { epochs: 1, earlyStopping: true })).toThrow("pass { validation: loader }");
    expect(() => trainer.fit(loader, { epoch: 1 } as never)).toThrow('there is no option "epoch"');
    expect(
      () => new train.Trainer(model, { optimizer, loss: nn.crossEntropy, metrics: ["precision" as never] }),
    ).toThrow('expected a metric of accuracy or { name, measure }, got "precision"');
  });

  test("seed fixes what dropout draws, whatever was drawn before", async () => {
    const trained = async (seed: number, drawn: number) => {
      const { loader, model } = setup();
      const net = new nn.Sequential(model, new nn.Dropout(0.5));
      for (let i = 0; i < drawn; i++) randn([1]);
      const optimizer = new optim.SGD(net.parameters(), { lr: 0.1 });
      await new train.Trainer(net, { optimizer, loss: nn.crossEntropy, seed }).fit(loader, { epochs: 2 });
      manualSeed(3);
      return weights(net);
    };
    const first = await trained(5, 0);
    expect(await trained(5, 7)).toEqual(first);
    expect(await trained(6, 0)).not.toEqual(first);
  });

  test("two calls at once are refused", async () => {
    const { trainer, loader } = setup();
    const run = trainer.fit(loader, {
      epochs: 3,
      callbacks: [async () => expect(trainer.evaluate(loader)).rejects.toThrow("this trainer is busy")],
    });
    expect((await run).reason).toBe("finished");
  });

  test("no tensors pile up", async () => {
    const { trainer, loader, validation } = setup({ ema: 0.9 });
    await trainer.fit(loader, { epochs: 1, validation });
    const before = memory().liveBytes;
    await trainer.fit(loader, { epochs: 20, validation });
    expect(memory().liveBytes - before).toBeLessThan(50_000);
  });
});

describe("checkpoints", () => {
  test("hold everything: stopping anywhere and resuming gives the same weights, log and history", async () => {
    const folder = (name: string) => join(out, name);
    const make = (name: string) => {
      manualSeed(3);
      return setup({ out: folder(name), ema: 0.95, accumulate: 2 });
    };
    const strip = (name: string) =>
      readFileSync(join(folder(name), "metrics.jsonl"), "utf8")
        .trim()
        .split("\n")
        .map((line) => {
          const { seconds: _, samplesPerSecond: __, ...rest } = JSON.parse(line);
          return rest;
        });
    const whole = make("whole");
    const expected = await whole.trainer.fit(whole.loader, { epochs: 6, validation: whole.validation, logEvery: 2 });
    for (const stop of [1, 3, 7, 11]) {
      const name = `stopped-${stop}`;
      const first = make(name);
      const run = first.trainer.fit(first.loader, {
        epochs: 6,
        validation: first.validation,
        logEvery: 2,
        checkpoint: stop,
        callbacks: [(e) => e.type === "checkpoint" && e.kind === "last" && run.stop()],
      });
      expect(await run).toMatchObject({ reason: "stopped", steps: stop });
      const second = make(name);
      const result = await second.trainer.fit(second.loader, {
        epochs: 6,
        validation: second.validation,
        logEvery: 2,
        resume: true,
      });
      expect(await weights(second.model)).toEqual(await weights(whole.model));
      expect(result.history.map((e) => e.scores)).toEqual(expected.history.map((e) => e.scores));
      expect(strip(name)).toEqual(strip("whole"));
    }
  });

  test("best.safetensors is that of the best validation, and other programs can read it", async () => {
    const { trainer, loader, validation } = setup({ out: join(out, "best") });
    const result = await trainer.fit(loader, { epochs: 3, validation, monitor: "accuracy" });
    const { metadata, tensors } = await io.inspect(join(out, "best/best.safetensors"));
    expect(metadata.step).toBe(String(result.best!.step));
    expect(tensors.map((t) => t.name)).toContain("model.0.weight");
  });

  test("resume: true without a checkpoint starts from the beginning; false never reads one", async () => {
    const { trainer, loader } = setup({ out: join(out, "fresh") });
    expect((await trainer.fit(loader, { epochs: 1, resume: true })).steps).toBe(6);
    expect((await trainer.fit(loader, { epochs: 1 })).steps).toBe(6);
    expect((await trainer.fit(loader, { epochs: 2, resume: true })).steps).toBe(12);
    expect(existsSync(join(out, "fresh/best.safetensors"))).toBe(false);
  });

  test("a run that its steps end at the end of an epoch goes on with the next one", async () => {
    const { trainer, loader } = setup({ out: join(out, "bound") });
    expect(await trainer.fit(loader, { steps: 12 })).toMatchObject({ steps: 12, epochs: 2 });
    const second = setup({ out: join(out, "bound") });
    expect(await second.trainer.fit(second.loader, { steps: 14, resume: true })).toMatchObject({
      steps: 14,
      epochs: 2,
    });
  });

  test("a checkpoint that does not fit is refused with the difference", async () => {
    const { trainer, loader } = setup({ out: join(out, "fit") });
    await trainer.fit(loader, { epochs: 1 });
    const last = join(out, "fit/last.safetensors");
    const other = setup({ ema: 0.9 });
    await expect(other.trainer.fit(other.loader, { epochs: 2, resume: last })).rejects.toThrow(
      "was written without ema, this trainer is with one",
    );
    const small = setup({ batchSize: 8 });
    await expect(small.trainer.fit(small.loader, { epochs: 2, resume: last })).rejects.toThrow("in batches of 8");
    await io.save(join(out, "plain.safetensors"), other.model.stateDict());
    await expect(
      other.trainer.fit(other.loader, { epochs: 2, resume: join(out, "plain.safetensors") }),
    ).rejects.toThrow("expected a checkpoint of napier");
  });
});

describe("evaluate and predict", () => {
  test("leave modes and weights as they were, and use the averages", async () => {
    const { trainer, loader, model, validation } = setup({ ema: 0.5 });
    await trainer.fit(loader, { epochs: 2 });
    model.train();
    const before = await weights(model);
    await trainer.evaluate(validation);
    const outputs = await trainer.predict(validation);
    expect(outputs.shape).toEqual([60, 3]);
    expect(await weights(model)).toEqual(before);
    expect(model.training).toBe(true);
    trainer.ema!.apply();
    const [x] = (validation.dataset as data.TensorDataset).tensors;
    const expected = await model.forward(x!).data();
    trainer.ema!.restore();
    expect([...(await outputs.data())].map((v) => v.toFixed(4))).toEqual([...expected].map((v) => v.toFixed(4)));
    expect((await trainer.predict(x!)).shape).toEqual([60, 3]);
  });

  test("reject with the signal's reason", async () => {
    const { trainer, validation } = setup();
    await expect(trainer.evaluate(validation, { signal: AbortSignal.abort(new Error("enough")) })).rejects.toThrow(
      "enough",
    );
    await expect(trainer.predict(validation, { signal: AbortSignal.abort(new Error("enough")) })).rejects.toThrow(
      "enough",
    );
  });

  test("metrics of the user's own", async () => {
    const spread: train.Metric = {
      name: "spread",
      measure: (output) => ({ sum: output.amax(1).sub(output.amin(1)).sum(), count: output.shape[0]! }),
    };
    const { model, optimizer, validation } = setup();
    const trainer = new train.Trainer(model, { optimizer, loss: nn.crossEntropy, metrics: ["accuracy", spread] });
    const { scores } = await trainer.evaluate(validation);
    const y = (await trainer.predict(validation)).toArraySync() as number[][];
    expect(scores.spread).toBeCloseTo(y.reduce((sum, row) => sum + Math.max(...row) - Math.min(...row), 0) / 60, 4);
  });
});
