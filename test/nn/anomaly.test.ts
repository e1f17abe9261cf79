/**
 * The NaN finder: who is named, who is not, and that all layers of a library without NaN pass through it in silence.
 */
import {
  AnomalyError,
  detectAnomaly,
  full,
  matmul,
  nn,
  ones,
  optim,
  randn,
  setDetectAnomaly,
  type Tensor,
  tensor,
  zeros,
} from "napier";
import { afterEach, describe, expect, test } from "vitest";
import { addon, bindKernels, k, observers } from "#lib/native.js";

afterEach(() => setDetectAnomaly(false));

/** What the finder says of `fn`. */
async function found(fn: () => unknown, options?: { infinities?: boolean }): Promise<AnomalyError> {
  const error = await detectAnomaly(fn, options).then(
    () => null,
    (e: unknown) => e,
  );
  expect(error).toBeInstanceOf(AnomalyError);
  return error as AnomalyError;
}

class Logs extends nn.Module {
  first = new nn.Linear(3, 3);
  inner = new nn.Sequential(
    new nn.Identity(),
    new (class Log extends nn.Module {
      forward(x: Tensor) {
        return x.log();
      }
    })(),
  );
  forward(x: Tensor) {
    return this.inner.forward(
      this.first
        .forward(x)
        .mul(0)
        .add(tensor([1, -2, 3])),
    );
  }
}

describe("who is to blame", () => {
  test("forward: the log of a negative number, with module, shapes, counts and the range of the input", async () => {
    const model = new Logs();
    const error = await found(() =>
      model
        .forward(randn([4, 3]))
        .sum()
        .mul(2),
    );
    expect(error).toMatchObject({ op: "log", module: "inner.1", pass: "forward" });
    expect(error.message).toBe(
      "log (in inner.1, forward): its result [4,3] holds 4 NaN and 0 infinite of 12 elements, and no input held any; inputs: [4,3] from -2 to 3",
    );
  });

  test("backward only: sqrt at 0", async () => {
    const root = new (class Root extends nn.Module {
      forward(x: Tensor) {
        return x.sqrt();
      }
    })();
    const model = new nn.Sequential(root);
    const x = tensor([0, 4]).requiresGrad_();
    const error = await found(() => model.forward(x).sum().backward());
    expect(error).toMatchObject({ module: "0", pass: "backward" });
    expect(error.message).toContain("0 NaN and 1 infinite of 2 elements");
  });

  test("the optimizer: a step that overflows, and which parameter of its list", async () => {
    const [a, b] = [ones([2]).requiresGrad_(), full([3], 3e38).requiresGrad_()];
    const optimizer = new optim.SGD([a, b], { lr: 1 });
    a.grad = ones([2]);
    b.grad = full([3], -3e38);
    const error = await found(() => optimizer.step());
    expect(error).toMatchObject({ module: "SGD.step" });
    expect(error.message).toContain("tensor 1 of its list");
    expect(error.message).toContain("3 infinite of 3 elements");
  });

  test("only the first, and not those that got it from there", async () => {
    const x = tensor([-1, 1]);
    const error = await found(() => x.sqrt().add(1).exp().sum().log());
    expect(error.op).toBe("sqrt");
  });

  test("nobody read the result, or the function threw because of it", async () => {
    expect((await found(() => void tensor([0]).log())).op).toBe("log");
    const thrown = await found(async () => {
      await tensor([0]).log().data();
    });
    expect(thrown.op).toBe("log");
    expect((thrown.cause as Error).message).toBe(thrown.message);
  });

  test.each(["float32", "float64", "float16", "bfloat16"] as const)("%s, at every place of a tensor", async (dtype) => {
    for (const at of [0, 1, 127, 128, 300]) {
      const values = new Float32Array(301).fill(2);
      values[at] = 3e38;
      const error = await found(() => {
        const x = tensor(values).to(dtype === "float64" ? "float64" : "float32");
        return dtype === "float64"
          ? x.mul(1e300)
          : dtype === "float32"
            ? x.mul(10)
            : x.mul(dtype === "float16" ? 1 : 1.133).to(dtype);
      });
      expect(error.message).toContain("0 NaN and 1 infinite of 301 elements");
    }
  });
});

describe("who is not", () => {
  test("what was infinite before, an infinite argument, and infinities where only NaN counts", async () => {
    const x = tensor([1, Number.NEGATIVE_INFINITY]);
    expect((await detectAnomaly(() => x.add(1).mul(2))).shape).toEqual([2]);
    const mask = tensor([1, 0]).to("bool");
    await detectAnomaly(() => ones([2]).maskedFill(mask, Number.NEGATIVE_INFINITY).softmax(0).sum().item());
    await detectAnomaly(() => zeros([2]).log(), { infinities: false });
    expect(
      (
        await found(
          () =>
            zeros([2])
              .log()
              .sub(zeros([2]).log()),
          { infinities: false },
        )
      ).op,
    ).toBe("sub");
  });

  test("a step of each of many layers, forward, backward and optimizer", async () => {
    const shared: [nn.Module, Tensor][] = [
      [new nn.Conv2d(3, 4, 3, { padding: 1 }), randn([2, 3, 8, 8])],
      [new nn.Conv1d(3, 4, 3), randn([2, 3, 8])],
      [new nn.ConvTranspose2d(3, 4, 3, { stride: 2 }), randn([2, 3, 5, 5])],
      [new nn.BatchNorm2d(3), randn([2, 3, 8, 8])],
      [new nn.GroupNorm(1, 3), randn([2, 3, 8, 8])],
      [new nn.LayerNorm([8]), randn([2, 3, 8])],
      [new nn.MaxPool2d(2), randn([2, 3, 8, 8])],
      [new nn.AvgPool2d(2), randn([2, 3, 8, 8])],
      [new nn.TransformerEncoderLayer(8, 2, { dimFeedforward: 16 }), randn([2, 5, 8])],
      [new nn.LSTM(4, 6), randn([5, 2, 4])],
      [new nn.GELU(), randn([40])],
      [new nn.Dropout(0.5), randn([40])],
      [new nn.LogSoftmax(1), randn([4, 9])],
    ];
    for (const [layer, x] of shared) {
      const parameters = layer.parameters();
      const optimizer = parameters.length > 0 ? new optim.AdamW(parameters) : null;
      x.requiresGrad_();
      await detectAnomaly(() => {
        for (let i = 0; i < 2; i++) {
          const y = (layer.forward as (x: Tensor) => Tensor | Tensor[])(x);
          (Array.isArray(y) ? y[0]! : y).square().mean().backward();
          optimizer?.step();
        }
      });
    }
  });
});

describe("on and off", () => {
  test("setDetectAnomaly: reads reject with the sentence, weights are not touched", async () => {
    setDetectAnomaly(true);
    const w = tensor([1, 0]).requiresGrad_();
    const optimizer = new optim.SGD([w], { lr: 1 });
    const loss = w.log().sum();
    await expect(loss.item()).rejects.toThrow("log (in no module, forward)");
    loss.backward();
    optimizer.step();
    setDetectAnomaly(false);
    expect([...(await w.data())]).toEqual([1, 0]);
    expect([...(await tensor([0]).log().data())]).toEqual([Number.NEGATIVE_INFINITY]);
  });

  test("the function's own error and result pass through; the state before comes back", async () => {
    expect(await detectAnomaly(() => 7)).toBe(7);
    await expect(detectAnomaly(() => Promise.reject(new Error("mine")))).rejects.toThrow("mine");
    expect(observers).toHaveLength(0);
    setDetectAnomaly(true);
    await detectAnomaly(() => 1, { infinities: false });
    expect(observers).toHaveLength(1);
    await expect(tensor([0]).log().data()).rejects.toThrow("log");
    bindKernels();
    k.fill(ones([1]), 1, 1);
  });

  test("the same bits with it and without", async () => {
    const [a, b] = [randn([33, 65]), randn([65, 17])];
    const plain = await matmul(a, b).softmax(1).data();
    expect(await (await detectAnomaly(() => matmul(a, b).softmax(1))).data()).toEqual(plain);
  });

  test("a guard: fails what it protects where a number is not finite, or had failed before", async () => {
    const [good, bad, kept, other] = [ones([3]), tensor([1, Number.NaN]), ones([2]), ones([2])];
    addon.guard([good.handle], [kept.handle], "first");
    expect([...(await kept.data())]).toEqual([1, 1]);
    addon.guard([good.handle, bad.handle], [kept.handle], "second");
    await expect(kept.data()).rejects.toThrow("second");
    addon.guard([good.handle], [kept.handle, other.handle], "third");
    await expect(other.data()).rejects.toThrow("second");
    expect([...(await good.data())]).toEqual([1, 1, 1]);
  });
});
