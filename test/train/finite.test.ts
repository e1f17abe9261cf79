/**
 * A run whose numbers go wrong ends by itself, with the weights from before the step, and says which op in which module
 * made the first NaN or infinity.
 */
import { AnomalyError, data, manualSeed, nn, ones, optim, profile, randn, type Tensor, tensor, train } from "napier";
import { beforeEach, describe, expect, test } from "vitest";

beforeEach(() => void manualSeed(3));

/** Computes its function for inputs of which any is above 100, passes others on. */
class From100 extends nn.Module {
  readonly #fn: (x: Tensor) => Tensor;
  constructor(fn: (x: Tensor) => Tensor) {
    super();
    this.#fn = fn;
  }
  forward(x: Tensor) {
    const above = x.greater(100).any().to("float32");
    return this.#fn(above.mul(-1).add(1))
      .mul(above)
      .add(x.mul(above.mul(-1).add(1)));
  }
}

/** Batches of which number `bad`, from 0, has an outlier. */
function batches(bad: number, count = 12, value = 1000): train.BatchSource {
  const all = Array.from({ length: count }, (_, i) => {
    const x = randn([4, 3]);
    return [i === bad ? x.mul(0).add(value) : x, randn([4, 2])] as const;
  });
  return {
    length: count,
    async *[Symbol.asyncIterator]() {
      yield* all;
    },
  };
}

const dropped = (rate: number) => new nn.Dropout(rate);

function setup(fn: (x: Tensor) => Tensor, options: Partial<train.TrainerOptions> = {}) {
  manualSeed(5);
  const model = new nn.Sequential(new From100(fn), dropped(0.5), new nn.Linear(3, 2));
  const optimizer = new optim.AdamW(model.parameters(), { lr: 0.01 });
  const trainer = new train.Trainer(model, { optimizer, loss: nn.mse, ...options });
  return { model, optimizer, trainer };
}
const weights = async (m: nn.Module) =>
  (await Promise.all(m.parameters().map((p) => p.data()))).map((values) => [...values]);

// NaN where x is 0: 0 / 0.
const zeroOverZero = (x: Tensor) => x.div(x);

describe("without detectAnomaly", () => {
  test.each([1, 2])("a NaN loss (accumulate %i): the op and the module are named", async (accumulate) => {
    const { trainer, model } = setup(zeroOverZero, { accumulate });
    await expect(trainer.fit(batches(7), { epochs: 1, logEvery: 1 })).rejects.toThrow(
      new RegExp(
        `fit: the loss of step ${accumulate === 1 ? 8 : 4} is NaN or infinite\\. Run again in the finder, the first op to ` +
          "blame is div \\(in 0, forward\\): its result \\[\\] holds 1 NaN .* The weights are as they were before that step\\.",
      ),
    );
    expect((await weights(model)).flat().every(Number.isFinite)).toBe(true);
  });

  test("the weights are, bit for bit, those of a run that ends before the step", async () => {
    const source = batches(6);
    const { trainer, model } = setup(zeroOverZero);
    await expect(trainer.fit(source, { epochs: 1, logEvery: 100 })).rejects.toThrow("step 7");
    const other = setup(zeroOverZero);
    await other.trainer.fit(source, { steps: 6 });
    expect(await weights(model)).toEqual(await weights(other.model));
  });

  test("a gradient that is infinite while the loss is finite", async () => {
    const model = new nn.Sequential(new nn.Linear(3, 2));
    const optimizer = new optim.SGD(model.parameters(), { lr: 0.1 });
    const loss = (output: Tensor) => output.mul(0).square().sum(1).sqrt().mean();
    const trainer = new train.Trainer(model, { optimizer, loss, clipNorm: 1 });
    const before = await weights(model);
    await expect(trainer.fit(batches(-1), { epochs: 1 })).rejects.toThrow(
      /the loss of step 1 is finite, and a gradient of it is NaN or infinite\. .*backward\): its result \[4\]/,
    );
    expect(await weights(model)).toEqual(before);
  });

  test("a batch or weights that were wrong already", async () => {
    const { trainer } = setup((x) => x);
    await expect(trainer.fit(batches(2, 4, Number.NaN), { epochs: 1 })).rejects.toThrow(
      /step 3 .*No op made it: NaN or infinite already were tensor 0 of the batch \(12 of 12 elements\)/,
    );
    const other = setup((x) => x);
    other.model.parameters()[1]!.detach().fill_(Number.POSITIVE_INFINITY);
    await expect(other.trainer.fit(batches(-1), { epochs: 1 })).rejects.toThrow(
      /parameter 2\.bias \(2 of 2 elements\)/,
    );
  });

  test("what cannot be run again says so; other errors stay as they are", async () => {
    const { trainer } = setup(zeroOverZero);
    const source = batches(3);
    const once: train.BatchSource = {
      async *[Symbol.asyncIterator]() {
        for await (const batch of source) {
          yield batch;
          for (const t of batch) t.free();
        }
      },
    };
    await expect(trainer.fit(once, { epochs: 1 })).rejects.toThrow(/step 4 .*could not be run again .*freed/);
    const labels = new train.Trainer(new nn.Linear(3, 2), {
      optimizer: new optim.SGD([ones([1]).requiresGrad_()], { lr: 1 }),
      loss: (y) => nn.crossEntropy(y, tensor([0, 1, 2, 3], { dtype: "int32" }).mul(1)),
    });
    await expect(labels.fit(batches(-1), { epochs: 1 })).rejects.toThrow(
      /^crossEntropy: expected a value between 0 and 1/,
    );
  });

  test("batches of a DataLoader are freed as before", async () => {
    const set = new data.TensorDataset([randn([64, 3]), randn([64, 2])]);
    const loader = new data.DataLoader(set, { batchSize: 4 });
    const seen: Tensor[] = [];
    const loss = (output: Tensor, y: Tensor) => {
      seen.push(y);
      return nn.mse(output, y);
    };
    const { trainer } = setup((x) => x, { loss, capture: false });
    await trainer.fit(loader, { epochs: 1 });
    expect(seen).toHaveLength(16);
    expect(seen.every((t) => t.isFreed)).toBe(true);
  });
});

describe("with detectAnomaly", () => {
  test("the step that made it ends the run, in its forward, backward or update", async () => {
    const forward = setup(zeroOverZero, { detectAnomaly: true });
    const error = await forward.trainer.fit(batches(4), { epochs: 1 }).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(AnomalyError);
    expect(error).toMatchObject({ op: "div", module: "0", pass: "forward" });

    const update = setup((x) => x, { detectAnomaly: true });
    update.optimizer.paramGroups[0]!.lr = 1e39;
    const second = await update.trainer.fit(batches(-1), { steps: 1 }).catch((e: unknown) => e);
    expect(second).toMatchObject({ module: "AdamW.step" });
  });

  test("a good run is the same", async () => {
    const source = batches(-1);
    const [plain, watched] = [setup((x) => x, { seed: 9 }), setup((x) => x, { seed: 9, detectAnomaly: true })];
    await plain.trainer.fit(source, { epochs: 2 });
    await watched.trainer.fit(source, { epochs: 2 });
    expect(await weights(watched.model)).toEqual(await weights(plain.model));
  });
});

test("a profile around fit() sees its steps and names the model's modules, captured or not", async () => {
  const rows = async (capture: boolean | undefined) => {
    const { trainer, model } = setup((x) => x, { capture });
    const measured = await profile(() => trainer.fit(batches(-1), { epochs: 1 }), { model });
    expect(measured.result.steps).toBe(12);
    const row = (name: string, backward: boolean) =>
      measured.modules.find((m) => m.name === name && m.backward === backward)!;
    return [row("2", false), row("2", true), row("AdamW.step", false)];
  };
  const plain = await rows(false);
  expect(plain).toMatchObject([{ type: "Linear" }, { type: "Linear" }, { type: "" }]);
  expect(plain.map((row) => row.entered)).toEqual([12, 12, 12]);
  const captured = await rows(undefined);
  // A captured step runs no JavaScript: three were looked at, one was recorded.
  expect(captured.map((row) => row.entered)).toEqual([5, 5, 5]);
  expect(captured.slice(0, 2).map((row) => row.calls)).toEqual(plain.slice(0, 2).map((row) => row.calls));
});
