/**
 * The Trainer with captured steps: the bits of the plain run, and what cannot be captured.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { data, keep, manualSeed, nn, optim, randint, randn, type Tensor, tensor, train } from "napier";
import { afterAll, describe, expect, test } from "vitest";

const out = mkdtempSync(join(tmpdir(), "napier-captured-"));
afterAll(() => rmSync(out, { recursive: true }));

class Net extends nn.Module {
  hidden = new nn.Linear(6, 16);
  norm = new nn.BatchNorm1d(16);
  drop = new nn.Dropout(0.3);
  head = new nn.Linear(16, 3);
  forward(x: Tensor): Tensor {
    return this.head.forward(this.drop.forward(this.norm.forward(this.hidden.forward(x)).relu()));
  }
}

function make(capture: boolean | undefined, options: Partial<train.TrainerOptions> = {}) {
  manualSeed(9);
  const set = new data.TensorDataset([randn([50, 6]), randint(0, 3, [50])]);
  const model = new Net();
  const optimizer = new optim.AdamW(model.parameters(), { lr: 1e-2 });
  const trainer = new train.Trainer(model, {
    optimizer,
    loss: nn.crossEntropy,
    metrics: ["accuracy"],
    schedule: new optim.CosineAnnealingLR(optimizer, { tMax: 30 }),
    clipNorm: 0.5,
    ema: 0.9,
    seed: 4,
    capture,
    ...options,
  });
  // 16, 16, 16 and 2: two shapes.
  const loader = new data.DataLoader(set, { batchSize: 16, shuffle: true, seed: 1 });
  return { trainer, model, loader, set };
}

const withoutTimes = ({ history }: train.FitResult) =>
  history.map(({ seconds: _s, ...event }) => ({ ...event, samplesPerSecond: 0 }));
const weights = (model: nn.Module) =>
  Object.entries(model.stateDict()).map(([key, t]) => [key, Array.from(t.dataSync(t.dtype) as Float32Array, Number)]);

describe("capture: true", () => {
  for (const [name, options] of [
    ["plain", {}],
    ["with accumulation", { accumulate: 2 }],
    ["with clipped values", { clipNorm: undefined, clipValue: 0.01 }],
  ] as const) {
    test(`gives the bits of the uncaptured run: ${name}`, async () => {
      const run = async (capture: boolean) => {
        const { trainer, model, loader, set } = make(capture, options as Partial<train.TrainerOptions>);
        const result = await trainer.fit(loader, {
          epochs: 4,
          logEvery: 2,
          validation: new data.DataLoader(set, { batchSize: 25 }),
        });
        return { history: withoutTimes(result), weights: weights(model) };
      };
      expect(await run(true)).toEqual(await run(false));
    });
  }

  test("a captured run that stopped goes on as the plain one", async () => {
    const whole = make(false);
    await whole.trainer.fit(whole.loader, { epochs: 4 });
    const folder = join(out, "resumed");
    const first = make(true, { out: folder });
    await first.trainer.fit(first.loader, { steps: 6 });
    const second = make(true, { out: folder });
    await second.trainer.fit(second.loader, { epochs: 4, resume: true });
    expect(weights(second.model)).toEqual(weights(whole.model));
  });

  test("reads of values inside are named, and the Trainer can be used again", async () => {
    const { trainer, loader } = make(true, {
      loss: (output, target) => {
        output.sum().itemSync();
        return nn.crossEntropy(output, target);
      },
    });
    await expect(trainer.fit(loader, { epochs: 1 })).rejects.toThrow(/a captured function cannot read a value/);
    const again = make(true);
    await again.trainer.fit(again.loader, { epochs: 1 });
  });

  test("is refused where a step is more than kernels", async () => {
    const { model, loader, trainer } = make(true);
    expect(
      () =>
        new train.Trainer(model, {
          optimizer: new optim.LBFGS(model.parameters()),
          loss: nn.crossEntropy,
          capture: true,
        }),
    ).toThrow(/takes no closure with capture/);
    expect(() => make("yes" as never)).toThrow(/expected capture true or false, got yes/);
    const callbacks = [{ name: "mine", onGradients() {} }];
    await expect(trainer.fit(loader, { epochs: 1, callbacks })).rejects.toThrow(/no callback with onGradients.*"mine"/);
  });
});

/** A net that lets a test into its forward. */
class Open extends Net {
  forwards = 0;
  constructor(private readonly inside: (x: Tensor, net: Open) => Tensor = (x) => x) {
    super();
  }
  override forward(x: Tensor): Tensor {
    this.forwards++;
    return super.forward(this.inside(x, this));
  }
}

/** Trains for three epochs of six steps of one shape, and one of another. */
async function trainOpen(
  capture: boolean | undefined,
  inside?: (x: Tensor, net: Open) => Tensor,
  { callbacks = [], ...options }: Partial<train.TrainerOptions> & { callbacks?: train.FitOptions["callbacks"] } = {},
  fit: Partial<train.FitOptions> = {},
) {
  manualSeed(9);
  const set = new data.TensorDataset([randn([50, 6]), randint(0, 3, [50])]);
  const model = new Open(inside);
  const trainer = new train.Trainer(model, {
    optimizer: new optim.Adam(model.parameters(), { lr: 1e-2 }),
    loss: nn.crossEntropy,
    seed: 4,
    capture,
    ...options,
  });
  const notices: string[] = [];
  const hear = (event: train.TrainEvent) => {
    if (event.type === "notice") notices.push(event.message);
  };
  const loader = new data.DataLoader(set, { batchSize: 8, shuffle: true, seed: 1 });
  const result = await trainer.fit(loader, { epochs: 3, callbacks: [...callbacks, hear], ...fit });
  return { history: withoutTimes(result), weights: weights(model), forwards: model.forwards, notices };
}
const same = ({ history, weights }: Awaited<ReturnType<typeof trainOpen>>) => ({ history, weights });

describe("without an option", () => {
  test("steps are captured after three that were alike; each epoch's first is compared; the bits stay", async () => {
    const plain = await trainOpen(false);
    const found = await trainOpen(undefined);
    expect(same(found)).toEqual(same(plain));
    expect(plain.forwards).toBe(21);
    // Adam makes its state in the first, so four, one recording, and the odd batch; then one, and the odd batch, each.
    expect(found.forwards).toBe(4 + 1 + 1 + 2 * (1 + 1));
    expect(found.notices).toEqual([]);
  });

  for (const [name, options] of [
    ["accumulation", { accumulate: 2 }],
    ["clipping and a schedule", { clipNorm: 0.1 }],
    ["an average of the weights", { ema: 0.9 }],
  ] as const) {
    test(`gives the bits of the uncaptured run: ${name}`, async () => {
      const run = async (capture: boolean | undefined) => {
        const { trainer, model, loader, set } = make(capture, options);
        const validation = new data.DataLoader(set, { batchSize: 25 });
        const result = await trainer.fit(loader, { epochs: 8, logEvery: 2, validation });
        return { history: withoutTimes(result), weights: weights(model) };
      };
      expect(await run(undefined)).toEqual(await run(false));
    });
  }

  test("a run that stopped in the middle of an epoch goes on as the plain one", async () => {
    const whole = make(false);
    await whole.trainer.fit(whole.loader, { epochs: 8 });
    const folder = join(out, "default");
    const first = make(undefined, { out: folder });
    await first.trainer.fit(first.loader, { steps: 18 });
    const second = make(undefined, { out: folder });
    await second.trainer.fit(second.loader, { epochs: 8, resume: true });
    expect(weights(second.model)).toEqual(weights(whole.model));
  });

  test("an epoch whose steps run other kernels is an error that names the first", async () => {
    let scale = false;
    const callbacks = [{ name: "scales", onEpochStart: (run: train.RunContext) => void (scale = run.epoch === 2) }];
    const inside = (x: Tensor) => (scale ? x.mul(2) : x);
    await expect(trainOpen(undefined, inside, { callbacks })).rejects.toThrow(
      /call 1 was gemm\(.*\) and is mulScalar\(\[8,6\], \[8,6\]\).*pass capture: false/s,
    );
    scale = false;
    expect((await trainOpen(false, inside, { callbacks })).forwards).toBe(21);
  });

  test("changes that are known are looked at anew: frozen layers, numbers that change by epoch", async () => {
    let net: Open | null = null;
    let by = 1;
    const callbacks = [
      {
        name: "freezes",
        onEpochStart(run: train.RunContext) {
          net?.hidden.requiresGrad_(run.epoch % 2 === 1);
          by = run.epoch;
        },
      },
    ];
    const inside = (x: Tensor, of: Open) => {
      net = of;
      return x.mul(1 / by);
    };
    const found = await trainOpen(undefined, inside, { callbacks }, { epochs: 4 });
    const plain = await trainOpen(false, inside, { callbacks }, { epochs: 4 });
    expect(same(found)).toEqual(same(plain));
    expect(found.notices).toEqual([]);
    expect(found.forwards).toBeLessThan(plain.forwards);
  });

  for (const [name, why, inside] of [
    [
      "reads values",
      /the step reads values \(.*capture\.test\.ts:\d+:\d+\)/,
      () => (x: Tensor) => (x.sum().itemSync() > 1e9 ? x.mul(2) : x),
    ],
    [
      "goes on with a tensor of the step before",
      /uses a tensor that the step before made/,
      () => {
        let last: Tensor | null = null;
        return (x: Tensor) => {
          const y = last === null || last.shape[0] !== x.shape[0] ? x.mul(1) : x.add(last.mul(0.1));
          last = keep(y.detach());
          return y;
        };
      },
    ],
    [
      "counts for itself",
      /number 1 of call \d+, mulScalar, was/,
      () => {
        let count = 0;
        return (x: Tensor) => x.mul(1 + count++ / 10);
      },
    ],
    [
      "makes tensors of its own numbers",
      /the values that call \d+ makes a tensor of change/,
      () => {
        let count = 0;
        return (x: Tensor) => x.mul(tensor([1, 1, 1, 1, 1, count++ / 10]));
      },
    ],
  ] as const) {
    test(`a step that ${name} stays uncaptured, and a notice says so once`, async () => {
      const found = await trainOpen(undefined, inside());
      expect(found.notices).toEqual([expect.stringMatching(why)]);
      expect(same(found)).toEqual(same(await trainOpen(false, inside())));
    });
  }

  test("hooks, onGradients, closures and the finder keep the steps uncaptured, without a word", async () => {
    let hooked = 0;
    const hooks = {
      name: "hooks",
      onFitStart: (run: train.RunContext) => void run.model.registerForwardHook(() => void hooked++),
    };
    let gradients = 0;
    const seeing = { name: "sees", onGradients: () => void gradients++ };
    for (const options of [{ callbacks: [hooks] }, { callbacks: [seeing] }, { detectAnomaly: true }]) {
      const found = await trainOpen(undefined, undefined, options);
      expect([found.forwards, found.notices]).toEqual([21, []]);
    }
    expect([hooked, gradients]).toEqual([21, 21]);
  });
});

describe("a captured step whose loss is no number", () => {
  test("keeps the weights and names the op and the step", async () => {
    const { model } = make(false);
    const good = [randn([4, 6]), randint(0, 3, [4])] as const;
    const bad = [randn([4, 6]).mul(Number.NaN), randint(0, 3, [4])] as const;
    const source = {
      async *[Symbol.asyncIterator]() {
        yield* [good, good, bad, good, good];
      },
    };
    const trainer = new train.Trainer(model, {
      optimizer: new optim.SGD(model.parameters(), { lr: 0.1 }),
      loss: nn.crossEntropy,
      capture: true,
    });
    await expect(trainer.fit(source, { epochs: 1 })).rejects.toThrow(/the loss of step 3 is NaN or infinite/);
    expect(model.parameters().every((p) => p.dataSync().every(Number.isFinite))).toBe(true);
  });
});
