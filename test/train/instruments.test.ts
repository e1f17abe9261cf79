/** What callbacks measure and find: learning rates, gradients, dead units, overfitting. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { data, manualSeed, memory, nn, optim, randn, type Tensor, tensor, train } from "napier";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { network, setup, weights } from "./setup.js";

const out = mkdtempSync(join(tmpdir(), "napier-instruments-"));
afterAll(() => rmSync(out, { recursive: true }));
beforeEach(() => void manualSeed(3));

/** The `measured` of step events, or of epochs. */
async function measuredOf(
  run: AsyncIterable<train.TrainEvent>,
  type: "step" | "epoch" = "step",
): Promise<train.Scores[]> {
  const all: train.Scores[] = [];
  for await (const e of run) if (e.type === type) all.push((e as train.StepEvent).measured ?? {});
  return all;
}
/** Without what the clock says. */
const linesOf = (folder: string): unknown[] =>
  readFileSync(join(folder, "metrics.jsonl"), "utf8")
    .trim()
    .split("\n")
    .map((line) => ({ ...JSON.parse(line), seconds: 0, samplesPerSecond: 0 }));

describe("learningRateMonitor", () => {
  test("tells the rates of all groups, and the momenta that a schedule moves", async () => {
    const { loader, model } = setup();
    const [a, b] = [model.parameters().slice(0, 2), model.parameters().slice(2)];
    const optimizer = new optim.AdamW([{ params: a }, { params: b, lr: 0.5 }], { lr: 0.1 });
    const options = { loss: nn.crossEntropy, optimizer };
    const plain = new train.Trainer(model, options);
    const fit = { steps: 4, logEvery: 2, callbacks: [train.learningRateMonitor()] };
    expect(await measuredOf(plain.fit(loader, fit))).toEqual(
      new Array(2).fill({ "learningRate/0": 0.1, "learningRate/1": 0.5 }),
    );
    const schedule = new optim.OneCycleLR(optimizer, { maxLr: [0.1, 0.5], totalSteps: 10 });
    const scheduled = new train.Trainer(model, { ...options, schedule });
    const [first, second] = await measuredOf(scheduled.fit(loader, fit));
    expect(Object.keys(first!)).toEqual([
      "learningRate/0",
      "beta1/0",
      "beta2/0",
      "learningRate/1",
      "beta1/1",
      "beta2/1",
    ]);
    expect(second!["learningRate/1"]).toBeGreaterThan(5 * 0.9 * second!["learningRate/0"]!);
    expect(second!["beta1/0"]).not.toBe(first!["beta1/0"]);
  });
});

describe("gradientNorms", () => {
  test("are those of the gradients, the weights and the step", async () => {
    const { trainer, loader, model } = setup({ clipNorm: 1e-3 });
    const norm = (values: number[]) => Math.hypot(...values);
    const expected: Record<string, number>[] = [];
    let before: number[] = [];
    const flat = (layer: string, of: (p: Tensor) => Tensor) =>
      ["weight", "bias"].flatMap((name) => [
        ...of(model.namedParameters().find(([key]) => key === `${layer}.${name}`)![1]).dataSync(),
      ]);
    const checking: train.Callback = {
      name: "checking",
      onGradients() {
        before = flat("2", (p) => p);
        expected.push({ gradient: norm(flat("2", (p) => p.grad!)) });
      },
      onStepEnd() {
        const after = flat("2", (p) => p);
        expected.at(-1)!.ratio = norm(after.map((x, i) => x - before[i]!)) / norm(before);
      },
    };
    const callbacks = [train.gradientNorms({ every: 2 }), checking];
    const measured = await measuredOf(trainer.fit(loader, { steps: 8, logEvery: 4, callbacks }));
    expect(measured.map((m) => Object.keys(m))).toEqual(
      new Array(2).fill(["gradient/0", "updateRatio/0", "gradient/2", "updateRatio/2"]),
    );
    const mean = (name: string, a: number, b: number) => (expected[a]![name]! + expected[b]![name]!) / 2;
    const close = (got: number, wanted: number) => expect(Math.abs(got / wanted - 1)).toBeLessThan(1e-4);
    close(measured[0]!["gradient/2"]!, mean("gradient", 1, 3));
    close(measured[1]!["gradient/2"]!, mean("gradient", 5, 7));
    close(measured[0]!["updateRatio/2"]!, mean("ratio", 1, 3));
    close(measured[1]!["updateRatio/2"]!, mean("ratio", 5, 7));
  });

  test("say which layers vanish: a deep stack of sigmoids; a sound network is let be", async () => {
    const layers = Array.from({ length: 12 }, () => [new nn.Linear(8, 8), new nn.Sigmoid()]).flat();
    const deep = new nn.Sequential(new nn.Linear(2, 8), ...layers, new nn.Linear(8, 3));
    const run = async (model: train.Model, lr = 0.05) => {
      const { trainer, loader } = setup({ model, lr, out: join(out, `norms-${lr}`) });
      return trainer.fit(loader, { epochs: 4, callbacks: [train.gradientNorms({ every: 2 })], logEvery: 6 });
    };
    const { diagnosis } = await run(deep);
    expect(diagnosis[0]).toMatchObject({ kind: "vanishingGradient", where: "0" });
    expect(diagnosis[0]!.message).toMatch(/^0: the gradient is [\d.e-]+ of that of 25 \(bound 1e-4\)$/);
    expect(diagnosis.map((f) => f.where)).not.toContain("25");
    expect((await run(network())).diagnosis).toEqual([]);
    const exploding = await run(network(), 30);
    expect(exploding.diagnosis[0]!.kind).toBe("explodingGradient");
    const logged = linesOf(join(out, "norms-30")).filter((e) => (e as train.TrainEvent).type === "diagnosis");
    expect(logged[0]).toMatchObject({ epoch: 2, findings: [{ kind: "explodingGradient" }, { where: "2" }] });
  });

  test("gradients that are not finite are found", async () => {
    const { loader } = setup();
    const model = network();
    let step = 0;
    const loss = (y: Tensor, t: Tensor) => nn.crossEntropy(step++ === 3 ? y.mul(Number.POSITIVE_INFINITY) : y, t);
    // Also with lr 0 the weights are not finite from then on.
    const optimizer = new optim.SGD(model.parameters(), { lr: 0 });
    const trainer = new train.Trainer(model, { optimizer, loss, stopAtNaN: false });
    const { diagnosis } = await trainer.fit(loader, {
      epochs: 1,
      callbacks: [train.gradientNorms({ every: 1 })],
      logEvery: 1,
    });
    expect(diagnosis[0]).toEqual({
      kind: "explodingGradient",
      where: "0",
      message: "0: 3 of 6 gradients measured were not finite",
    });
  });
});

describe("deadUnits", () => {
  /** ReLUs of which so many have a bias that no input overcomes. */
  const withDead = (dead: number) => {
    const model = network();
    const values = Float32Array.from({ length: 16 }, (_, i) => (i < dead ? -1e3 : 1));
    model.loadStateDict({ ...model.stateDict(), "0.bias": tensor(values) });
    return model;
  };

  test("counts the units that did not fire in an epoch, and says where they are too many", async () => {
    for (const [dead, every] of [
      [0, 1],
      [5, 1],
      [16, 2],
    ] as const) {
      const { trainer, loader, validation } = setup({ model: withDead(dead) });
      const fit = trainer.fit(loader, { epochs: 2, validation, callbacks: [train.deadUnits({ every })] });
      expect(await measuredOf(fit, "epoch")).toEqual(new Array(2).fill({ "deadUnits/1": dead / 16 }));
      const { diagnosis } = await fit;
      if (dead === 0) expect(diagnosis).toEqual([]);
      else
        expect(diagnosis[0]!.message).toContain(
          `1: ${dead} of 16 units did not fire once in the last epoch (bound 10 %)`,
        );
      // The hooks are gone.
      expect(Object.keys(trainer.model.modules()[2]!)).toEqual([]);
      expect(Object.hasOwn(trainer.model, "forward")).toBe(false);
    }
  });

  test("a unit is a channel of pictures and a feature of sequences; a module called twice counts twice", async () => {
    class Net extends nn.Module {
      conv = new nn.Conv2d(1, 4, 3);
      relu = new nn.ReLU();
      head = new nn.Linear(4, 6);
      last = new nn.Linear(6, 2);
      forward(x: Tensor) {
        const h = this.relu.forward(this.conv.forward(x)).flatten(2).movedim(1, 2);
        return this.last.forward(this.relu.forward(this.head.forward(h)).mean(1));
      }
    }
    const model = new Net();
    model.loadStateDict({
      ...model.stateDict(),
      "head.bias": tensor([-1e3, -1e3, 9, 9, 9, 9]),
      "conv.bias": tensor([-1e3, 9, 9, 9]),
    });
    const set = new data.TensorDataset([randn([12, 1, 5, 5]), randn([12, 2])]);
    const trainer = new train.Trainer(model, {
      optimizer: new optim.SGD(model.parameters(), { lr: 1e-4 }),
      loss: nn.mse,
    });
    const loader = new data.DataLoader(set, { batchSize: 4 });
    const measured = await measuredOf(trainer.fit(loader, { epochs: 1, callbacks: [train.deadUnits()] }), "epoch");
    expect(measured).toEqual([{ "deadUnits/relu": 1 / 4, "deadUnits/relu#2": 2 / 6 }]);
  });
});

describe("overfitting", () => {
  /** Runs the callback over made-up curves of (train, validation) losses; the epochs at which it is a finding. */
  const found = (curves: [number, number][], options?: train.OverfittingOptions) => {
    const watch = train.overfitting(options);
    watch.onFitStart!({ resumed: false } as train.RunContext);
    return curves.flatMap(([loss, validation], i) => {
      const event = { step: i, epoch: i + 1, scores: { loss } };
      watch.onEvent!({ ...event, type: "epoch" } as unknown as train.EpochEvent, {} as train.RunContext);
      watch.onEvent!(
        { ...event, type: "validation", scores: { loss: validation } } as unknown as train.ValidationEvent,
        {} as train.RunContext,
      );
      return watch.diagnose!().length > 0 ? [i + 1] : [];
    });
  };

  test("Prechelt's criteria, while the training loss falls", () => {
    expect(
      found([
        [3, 3],
        [2, 2],
        [1, 1.9],
        [0.5, 1.95],
        [0.2, 2.1],
        [0.1, 1.8],
      ]),
    ).toEqual([5]);
    expect(
      found([
        [3, 2],
        [2, 2.01],
        [1, 2.02],
        [0.5, 2.03],
        [0.4, 2.02],
      ]),
    ).toEqual([4]);
    expect(
      found(
        [
          [3, 2],
          [2, 2.01],
          [1, 2.02],
        ],
        { rises: 2 },
      ),
    ).toEqual([3]);
    // Diverging, not overfitting.
    expect(
      found([
        [3, 3],
        [2, 2],
        [5, 6],
        [9, 9],
        [12, 14],
      ]),
    ).toEqual([]);
    expect(
      found([
        [3, 3],
        [2, 2],
        [1, 1],
      ]),
    ).toEqual([]);
  });

  test("is found in a run that learns noise by heart, and told in its log", async () => {
    const model = new nn.Sequential(new nn.Linear(2, 64), new nn.ReLU(), new nn.Linear(64, 3));
    const noise = (n: number) => new data.TensorDataset([randn([n, 2]), randn([n, 3]).argmax(1)]);
    const folder = join(out, "noise");
    const { trainer } = setup({ model, lr: 0.3, out: folder });
    const [loader, validation] = [noise(24), noise(60)].map((set) => new data.DataLoader(set, { batchSize: 24 }));
    const { diagnosis } = await trainer.fit(loader!, {
      epochs: 60,
      validation: validation!,
      callbacks: [train.overfitting()],
      checkpoint: false,
    });
    expect(diagnosis).toHaveLength(1);
    expect(diagnosis[0]!.message).toMatch(
      /^The validation loss, [\d.]+, stands [\d.]+ % above its lowest value, of epoch \d+ \(bound 5 %\)/,
    );
    expect(linesOf(folder)).toContainEqual(
      expect.objectContaining({ type: "diagnosis", findings: [expect.objectContaining({ kind: "overfitting" })] }),
    );
  });
});

describe("all together", () => {
  const instruments = () => [
    train.learningRateMonitor(),
    train.gradientNorms({ every: 3 }),
    train.deadUnits(),
    train.overfitting(),
  ];

  test("leave training as it is, bit for bit, and hold nothing", async () => {
    const run = async (callbacks: train.Callback[]) => {
      manualSeed(3);
      const { trainer, loader, validation, model } = setup();
      await trainer.fit(loader, { epochs: 1, validation, callbacks });
      const before = memory().liveBytes;
      await trainer.fit(loader, { epochs: 5, validation, callbacks });
      expect(memory().liveBytes - before).toBeLessThan(20_000);
      return weights(model);
    };
    expect(await run(instruments())).toEqual(await run([]));
  });

  test("a resumed run logs and finds what an uninterrupted one does", async () => {
    const run = async (name: string, stops: number[]) => {
      let result: train.FitResult | null = null;
      for (const [i, stop] of stops.entries()) {
        manualSeed(3);
        const { trainer, loader, validation } = setup({ out: join(out, name), lr: 2 });
        const stopping: train.Callback = {
          name: "stopping",
          onStepEnd: (run) => void (run.step === stop && run.stop()),
        };
        const callbacks = [...instruments(), stopping];
        result = await trainer.fit(loader, { epochs: 4, validation, callbacks, logEvery: 4, resume: i > 0 });
      }
      return { lines: linesOf(join(out, name)), diagnosis: result!.diagnosis };
    };
    const whole = await run("whole", [0]);
    expect(whole.diagnosis.length).toBeGreaterThan(0);
    expect(await run("stopped", [2, 9, 13, 0])).toEqual(whole);
  });
});
