/**
 * The Trainer with captured steps: the bits of the plain run, and what cannot be captured.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { data, manualSeed, nn, optim, randint, randn, type Tensor, train } from "napier";
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

function make(capture: boolean, options: Partial<train.TrainerOptions> = {}) {
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
