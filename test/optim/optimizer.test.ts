/** @file Optimizers beyond their numbers: groups, state and resume, failed gradients, scopes, wrong arguments. */
import { nn, ones, optim, scope, type Tensor, tensor, zeros } from "napier";
import { describe, expect, test } from "vitest";
import { makes } from "./optimizers.js";

const leaf = (values: number[], dtype: "float32" | "float64" = "float32") =>
  tensor(values, { dtype, requiresGrad: true });
const values = (t: Tensor) => [...t.dataSync(t.dtype as "float32")];

/** One step on sum(c w^2). */
function descend(optimizer: { zeroGrad(): void; step(): void }, ws: Tensor[], c = 1): void {
  optimizer.zeroGrad();
  for (const w of ws) w.square().mul(c).sum().backward();
  optimizer.step();
}

describe("state", () => {
  for (const [name, make] of Object.entries(makes)) {
    test(`${name}: a run resumed after 4 of 9 steps has the same bits`, async () => {
      const start = () => [leaf([1, -2, 3]), leaf([0.5]), leaf([4, 4], "float64")];
      const ws = start();
      const optimizer = make(ws);
      for (let i = 0; i < 4; i++) descend(optimizer, i === 0 ? ws.slice(1) : ws); // the first parameter is one step behind
      const saved = optimizer.stateDict();
      const weights = ws.map((w) => w.detach().clone());
      const copy: optim.OptimizerState = {
        paramGroups: JSON.parse(JSON.stringify(saved.paramGroups)),
        state: Object.fromEntries(
          Object.entries(saved.state).map(([i, s]) => [
            i,
            Object.fromEntries(Object.entries(s).map(([key, t]) => [key, t.clone()])),
          ]),
        ),
      };
      expect(Object.keys(copy.state)).toEqual(["0", "1", "2"]);
      expect(copy.state[0]!.step!.itemSync()).toBe(3);
      expect(copy.state[1]!.step!.itemSync()).toBe(4);
      for (let i = 0; i < 5; i++) descend(optimizer, ws);

      const others = weights.map((w) => w.requiresGrad_());
      const resumed = make(others);
      resumed.loadStateDict(copy);
      for (let i = 0; i < 5; i++) descend(resumed, others);
      ws.forEach((w, i) => {
        expect(values(others[i]!)).toEqual(values(w));
      });
    });
  }

  test("loading takes over the options of groups, and copies tensors", () => {
    const [a, b] = [leaf([1]), leaf([1])];
    const first = new optim.SGD([a], { lr: 0.5, momentum: 0.9 });
    descend(first, [a]);
    const second = new optim.SGD([b], { lr: 0.1, momentum: 0.9 });
    second.loadStateDict(first.stateDict());
    expect(second.paramGroups[0]).toMatchObject({ lr: 0.5, momentum: 0.9 });
    const before = values(second.stateDict().state[0]!.momentum_buffer!);
    descend(first, [a]);
    expect(values(second.stateDict().state[0]!.momentum_buffer!)).toEqual(before);
  });

  test("a state that does not fit is refused whole", () => {
    const [a, b] = [leaf([1, 2]), leaf([1, 2, 3])];
    const one = new optim.Adam([a]);
    descend(one, [a]);
    const other = new optim.Adam([b], { lr: 0.25 });
    expect(() => other.loadStateDict(one.stateDict())).toThrow(
      'expected "exp_avg" of shape [3] for parameter 0, got [2]',
    );
    expect(other.paramGroups[0]!.lr).toBe(0.25);
    const two = new optim.Adam([{ params: [leaf([1])] }, { params: [leaf([1])] }]);
    expect(() => two.loadStateDict(one.stateDict())).toThrow("expected 2 parameter groups, got 1");
    const sgd = new optim.SGD([leaf([1, 2])], { momentum: 0.9 });
    expect(() => sgd.loadStateDict({ ...one.stateDict(), paramGroups: sgd.stateDict().paramGroups })).toThrow(
      'expected "momentum_buffer"',
    );
  });
});

describe("steps", () => {
  test("frozen parameters may be among them: they stay", () => {
    const model = new nn.Sequential(new nn.Linear(2, 2), new nn.Linear(2, 1));
    model.at(0).requiresGrad_(false);
    const optimizer = new optim.Adam(model.parameters(), { lr: 0.1 });
    const [frozen, learned] = [model.at(0), model.at(1)].map((m) => m.parameters()[0]!);
    const before = [frozen!, learned!].map((p) => [...p.dataSync()]);
    optimizer.zeroGrad();
    model
      .forward(ones([3, 2]))
      .sum()
      .backward();
    optimizer.step();
    optimizer.zeroGrad();
    expect([...frozen!.dataSync()]).toEqual(before[0]);
    expect([...learned!.dataSync()]).not.toEqual(before[1]);
  });

  test("zeroGrad sets gradients to null, and a step without gradients changes nothing", () => {
    const w = leaf([1, 2]);
    const optimizer = new optim.Adam([w]);
    w.sum().backward();
    optimizer.zeroGrad();
    expect(w.grad).toBeNull();
    optimizer.step();
    expect(values(w)).toEqual([1, 2]);
    expect(optimizer.stateDict().state).toEqual({});
  });

  for (const [name, make] of Object.entries(makes)) {
    test(`${name}: a step whose gradient failed changes neither weights nor state nor counts, also as the first step`, async () => {
      const [w, twin] = [leaf([1, 2]), leaf([1, 2])];
      const [optimizer, sound] = [make([w]), make([twin])];
      const fail = async () => {
        optimizer.zeroGrad();
        // The labels' range is known to nobody but the kernel.
        const labels = tensor([7]).to("int32");
        const loss = w.reshape([1, 2]).crossEntropy(labels);
        loss.backward();
        optimizer.step();
        await expect(loss.item()).rejects.toThrow("crossEntropy");
      };
      await fail();
      expect(values(w)).toEqual([1, 2]);
      for (let i = 0; i < 3; i++) {
        descend(optimizer, [w]);
        descend(sound, [twin]);
        await fail();
      }
      expect(values(w)).toEqual(values(twin));
      expect(optimizer.stateDict().state[0]!.step!.itemSync()).toBe(3);
    });
  }

  test("the first step in a scope keeps its state", () => {
    const [w, twin] = [leaf([1, 2]), leaf([1, 2])];
    const [inside, outside] = [new optim.Adam([w]), new optim.Adam([twin])];
    for (let i = 0; i < 3; i++) {
      scope(() => descend(inside, [w]));
      descend(outside, [twin]);
    }
    expect(values(w)).toEqual(values(twin));
  });

  test("a step is a change in place that backward notices", () => {
    const w = leaf([1, 2]);
    const optimizer = new optim.SGD([w], { lr: 0.1 });
    const loss = w.square().sum();
    descend(optimizer, [w]);
    expect(() => loss.backward()).toThrow("changed in place");
  });

  test("momentum that is switched on later starts from the gradient", () => {
    const w = leaf([1]);
    const optimizer = new optim.SGD([w], { lr: 0.1 });
    descend(optimizer, [w]); // 1 - 0.1 * 2
    optimizer.paramGroups[0]!.momentum = 0.5;
    descend(optimizer, [w]); // 0.8 - 0.1 * 1.6
    descend(optimizer, [w]); // v = 0.5 * 1.6 + 1.28
    expect(w.itemSync()).toBeCloseTo(0.64 - 0.1 * 2.08, 6);
  });

  test("parameters of two dtypes step together", () => {
    const [a, b] = [leaf([1]), leaf([1], "float64")];
    const optimizer = new optim.AdamW([a, b], { lr: 0.1, weightDecay: 0 });
    descend(optimizer, [a, b]);
    expect(a.itemSync()).toBeCloseTo(0.9, 5);
    expect(b.itemSync()).toBeCloseTo(0.9, 7);
  });

  test("many parameters of odd sizes, in one call, as each alone", () => {
    const sizes = [1, 3, 17, 16383, 16384, 16385, 40001, 0];
    const make = (i: number) =>
      tensor(
        Float32Array.from({ length: sizes[i]! }, (_, j) => Math.sin(i + j)),
        { requiresGrad: true },
      );
    const together = sizes.map((_, i) => make(i));
    const optimizer = new optim.Adam(together, { lr: 0.01 });
    for (let t = 0; t < 2; t++) descend(optimizer, together);
    sizes.forEach((_, i) => {
      const alone = make(i);
      const own = new optim.Adam([alone], { lr: 0.01 });
      for (let t = 0; t < 2; t++) descend(own, [alone]);
      expect(
        Buffer.compare(Buffer.from(alone.dataSync().buffer), Buffer.from(together[i]!.dataSync().buffer)),
        `size ${sizes[i]}`,
      ).toBe(0);
    });
  });
});

describe("wrong arguments", () => {
  const w = leaf([1]);
  test.each([
    ["no parameters", () => new optim.SGD([]), "SGD: expected parameters, got none"],
    ["a negative rate", () => new optim.SGD([w], { lr: -1 }), "SGD: expected lr to be a number from 0 up, got -1"],
    [
      "NaN as rate",
      () => new optim.Adam([w], { lr: Number.NaN }),
      "Adam: expected lr to be a number from 0 up, got NaN",
    ],
    [
      "a beta of 1",
      () => new optim.AdamW([w], { betas: [0.9, 1] }),
      "AdamW: expected betas[1] to be a number from 0 to below 1, got 1",
    ],
    ["nesterov without momentum", () => new optim.SGD([w], { nesterov: true }), "expected momentum above 0"],
    ["a parameter twice", () => new optim.SGD([w, w]), "appears twice"],
    ["a parameter in two groups", () => new optim.SGD([{ params: [w] }, { params: [w], lr: 1 }]), "appears twice"],
    ["what an op made", () => new optim.SGD([w.mul(2)]), "expected leaves"],
    ["integers", () => new optim.SGD([zeros([2], { dtype: "int32" })]), "SGD: expected float32 or float64, got int32"],
    ["no tensors", () => new optim.SGD([3 as never]), "expected tensors"],
  ])("%s", (_, make, message) => expect(make).toThrow(message));
});

describe("clipping", () => {
  test("leaves small gradients as they are, bit for bit", () => {
    const w = leaf([0.3, -0.4]);
    w.square().sum().backward();
    const before = values(w.grad!);
    expect(optim.clipGradNorm([w], 1.01).itemSync()).toBeCloseTo(1, 6);
    expect(values(w.grad!)).toEqual(before);
  });
  test("the norm goes over gradients of both dtypes", () => {
    const [a, b] = [leaf([3]), leaf([4], "float64")];
    for (const w of [a, b]) w.square().div(2).sum().backward();
    expect(optim.clipGradNorm([a, b], 1).itemSync()).toBeCloseTo(5, 12);
    expect(a.grad!.itemSync()).toBeCloseTo(0.6, 6);
    expect(b.grad!.itemSync()).toBeCloseTo(0.8, 6);
  });
  test("NaN in one gradient reaches the norm; no gradients give 0", () => {
    const w = leaf([1, Number.NaN]);
    w.square().sum().backward();
    expect(optim.clipGradNorm([w], 1).itemSync()).toBeNaN();
    expect(optim.clipGradNorm([leaf([1])], 1).itemSync()).toBe(0);
    expect(() => optim.clipGradNorm([w], -1)).toThrow(
      "clipGradNorm: expected maxNorm to be a number from 0 up, got -1",
    );
  });
});

describe("EMA", () => {
  const modelOf = (w: Tensor, count: Tensor) => ({
    namedParameters: () => [["w", w]] as [string, Tensor][],
    namedBuffers: () => [["count", count]] as [string, Tensor][],
  });
  test("averages floats, copies integers, and swaps both ways", () => {
    const w = leaf([1, 2], "float64");
    const count = tensor([5], { dtype: "int32" });
    const ema = new optim.EMA(modelOf(w, count), { decay: 0.9 });
    const optimizer = new optim.SGD([w], { lr: 0.1 });
    const expected = [1, 2];
    for (let t = 0; t < 3; t++) {
      descend(optimizer, [w]);
      ema.update();
      values(w).forEach((x, i) => {
        expected[i] = 0.9 * expected[i]! + 0.1 * x;
      });
    }
    const own = values(w);
    ema.apply();
    values(w).forEach((x, i) => {
      expect(x).toBeCloseTo(expected[i]!, 13);
    });
    expect(count.itemSync()).toBe(5);
    expect(() => ema.apply()).toThrow("call restore() first");
    expect(() => ema.update()).toThrow("call restore() first");
    ema.restore();
    expect(values(w)).toEqual(own);
    expect(() => ema.restore()).toThrow("nothing to restore");
  });
  test("resumes with the same bits, warm-up included", () => {
    const make = () => {
      const w = leaf([1, 2]);
      return {
        w,
        ema: new optim.EMA(modelOf(w, tensor([0], { dtype: "int32" })), { decay: 0.99, warmup: true }),
        sgd: new optim.SGD([w], { lr: 0.1 }),
      };
    };
    const one = make();
    for (let t = 0; t < 2; t++) [descend(one.sgd, [one.w]), one.ema.update()];
    const saved = one.ema.stateDict();
    const two = make();
    for (let t = 0; t < 2; t++) descend(two.sgd, [two.w]);
    two.ema.loadStateDict(saved);
    for (const { sgd, w, ema } of [one, two]) for (let t = 0; t < 2; t++) [descend(sgd, [w]), ema.update()];
    expect(values(two.ema.stateDict().averages.w!)).toEqual(values(one.ema.stateDict().averages.w!));
    expect(two.ema.stateDict().updates).toBe(4);
  });
});
