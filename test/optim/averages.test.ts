/** @file Weight averages, look-ahead and the noise scale of gradients. */
import { nn, noGrad, optim, randn, type Tensor, tensor } from "napier";
import { describe, expect, test } from "vitest";

const set = (t: Tensor, values: number[]) => noGrad(() => t.copy_(tensor(values, t.shape)));

describe("SWA", () => {
  test("the plain mean of what update() saw; apply, restore and resume", () => {
    const model = new nn.Linear(1, 2, { bias: false });
    const swa = new optim.SWA(model);
    for (const values of [
      [1, 2],
      [3, 0],
      [5, 7],
    ]) {
      set(model.weight, values);
      swa.update();
    }
    swa.apply();
    model.weight.dataSync().forEach((v, i) => void expect(v).toBeCloseTo(3, 5 + i));
    swa.restore();
    expect([...model.weight.dataSync()]).toEqual([5, 7]);
    const resumed = new optim.SWA(model);
    resumed.loadStateDict(swa.stateDict());
    set(model.weight, [3, 11]);
    resumed.update();
    resumed.apply();
    expect(model.weight.dataSync()[1]).toBeCloseTo(5, 5);
  });
  test("updateBn: running statistics are the mean over batches, momentum and modes as before", async () => {
    const norm = new nn.BatchNorm1d(2, { momentum: 0.3 });
    const model = new nn.Sequential(norm, new nn.Dropout(0.5)).eval();
    set(norm.runningMean!, [7, 7]);
    const batches = [tensor([1, 2, 3, 6], [2, 2]), tensor([5, 0, 9, 0], [2, 2])];
    await optim.updateBn(
      batches.map((b) => [b, b]),
      model,
    );
    expect([...norm.runningMean!.dataSync()]).toEqual([4.5, 2]);
    expect([...norm.runningVar!.dataSync()]).toEqual([5, 4]);
    expect(norm.numBatchesTracked!.itemSync()).toBe(2);
    expect([norm.training, model.training, norm.momentum]).toEqual([false, false, 0.3]);
    await expect(optim.updateBn([], model)).rejects.toThrow("updateBn: expected at least one batch, got none");
    await optim.updateBn([], new nn.Linear(1, 1)); // nothing to do
  });
});

describe("Lookahead", () => {
  test("every k steps the slow weights go alpha of the way; resumed, it continues exactly", () => {
    const make = () => {
      const w = tensor([1], { dtype: "float64", requiresGrad: true });
      return [w, new optim.Lookahead(new optim.SGD([w], { lr: 0.1, momentum: 0.9 }), { k: 3, alpha: 0.25 })] as const;
    };
    const descend = (w: Tensor, optimizer: optim.Lookahead) => {
      optimizer.zeroGrad();
      w.square().sum().backward();
      optimizer.step();
      return w.itemSync();
    };
    const [w, optimizer] = make();
    let [fast, slow, v] = [1, 1, 0];
    for (let t = 1; t <= 4; t++) {
      v = 0.9 * v + 2 * fast;
      fast -= 0.1 * v;
      if (t % 3 === 0) fast = slow += 0.25 * (fast - slow);
      expect(descend(w, optimizer)).toBeCloseTo(fast, 12);
    }
    const [other, resumed] = make();
    noGrad(() => other.copy_(w.detach()));
    resumed.loadStateDict(optimizer.stateDict());
    for (let t = 0; t < 5; t++) expect(descend(other, resumed)).toBe(descend(w, optimizer));
    expect(() => new optim.Lookahead(optimizer.inner, { alpha: 2 })).toThrow("expected alpha from 0 to 1, got 2");
    expect(() => new optim.Lookahead(optimizer.inner, { k: 0 })).toThrow("k to be a whole number from 1 up, got 0");
  });
});

describe("GradientNoiseScale", () => {
  test("finds the ratio of noise to signal of drawn gradients, and resumes", () => {
    // Gradients G + noise / sqrt(batch) in 50 dimensions: |G|^2 = 50 * 4, tr(Sigma) = 50 * 36.
    const [n, mean, std] = [50, 2, 6];
    const scale = new optim.GradientNoiseScale({ smallBatch: 4, largeBatch: 32, decay: 0.995 });
    expect(scale.value).toBeNaN();
    const half = new optim.GradientNoiseScale({ smallBatch: 4, largeBatch: 32, decay: 0.995 });
    const normOf = (batch: number) =>
      Math.sqrt(
        randn([n])
          .mul(std / Math.sqrt(batch))
          .add(mean)
          .square()
          .sum()
          .itemSync(),
      );
    for (let i = 0; i < 1500; i++) {
      const [small, large] = [normOf(4), normOf(32)];
      scale.update(small, large);
      if (i === 700) half.load(JSON.parse(JSON.stringify(scale.state())));
      else if (i > 700) half.update(small, large);
    }
    expect(scale.squaredNorm / (n * mean ** 2)).toBeCloseTo(1, 0.7);
    expect(scale.variance / (n * std ** 2)).toBeCloseTo(1, 0.7);
    expect(scale.value / (std / mean) ** 2).toBeCloseTo(1, 0.5);
    expect(half.value).toBe(scale.value);
  });
  test("without noise it is 0; wrong arguments", () => {
    const scale = new optim.GradientNoiseScale({ smallBatch: 1, largeBatch: 8 });
    scale.update(3, 3);
    expect(scale.value).toBe(0);
    expect(scale.squaredNorm).toBeCloseTo(9, 10);
    expect(() => scale.update(-1, 1)).toThrow("smallNorm to be a number from 0 up, got -1");
    expect(() => new optim.GradientNoiseScale({ smallBatch: 8, largeBatch: 8 })).toThrow("got 8 and 8");
  });
});
