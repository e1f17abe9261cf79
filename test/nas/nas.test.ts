/** @file Architecture search: the space, its networks, evolution against chance, DARTS's gradients against differences. */
import { data, manualSeed, nas, nn, noGrad, optim, randn, type Tensor, tensor } from "napier";
import { describe, expect, test } from "vitest";
import { secondOrder } from "#lib/nas/darts.js";

const cell: nas.Genotype = ["conv3x3", "skip", "conv1x1", "none", "avgpool3x3", "conv3x3"];
const small = { inChannels: 1, classes: 2, channels: 4, stages: 2 };

/** Bars: class 0 lies, class 1 stands. */
function bars(n: number): [Tensor, Tensor] {
  const pixels = Float32Array.from({ length: n * 64 }, (_, i) => {
    const [k, row, column] = [i >> 6, (i >> 3) & 7, i & 7];
    return (k % 2 === 0 ? row : column) % 4 < 2 ? 1 : -1;
  });
  return [
    tensor(pixels, [n, 1, 8, 8]).add(randn([n, 1, 8, 8]).mul(0.5)),
    tensor(Int32Array.from({ length: n }, (_, i) => i % 2)),
  ];
}

describe("networks of cells", () => {
  test("a cell's sums by hand: only skips", () => {
    // 1 = 0; 2 = 0 + 1 = 2x; 3 = 0 + 1 + 2 = 4x
    const model = new nas.CellNetwork(["skip", "skip", "skip", "skip", "skip", "skip"], small);
    const x = randn([2, 4, 3, 3]);
    const y = (model.body.at(0) as nn.Layer).forward(x);
    expect(y.sub(x.mul(4)).abs().max().itemSync()).toBe(0);
    const none = new nas.CellNetwork(["none", "none", "none", "none", "none", "none"], small);
    expect((none.body.at(0) as nn.Layer).forward(x).abs().max().itemSync()).toBe(0);
  });

  test("a found cell is trained alone", () => {
    manualSeed(1);
    const model = new nas.CellNetwork(cell, small);
    const [x, y] = bars(16);
    const optimizer = new optim.Adam(model.parameters(), { lr: 1e-2 });
    for (let i = 0; i < 30; i++) {
      optimizer.zeroGrad();
      nn.crossEntropy(model.forward(x), y).backward();
      optimizer.step();
    }
    expect(nn.crossEntropy(model.forward(x), y).itemSync()).toBeLessThan(0.1);
    // @ts-expect-error: the types refuse it too
    expect(() => new nas.CellNetwork(["conv5x5"])).toThrow("6 operations of none, skip, conv1x1");
  });
});

describe("a cell's worth", () => {
  const loader = (n: number, seed: number) => {
    manualSeed(seed);
    return new data.DataLoader(new data.TensorDataset(bars(n)), { batchSize: 8, shuffle: true, seed });
  };

  test("trainAlone learns bars, the same bits per seed; accuracy counts what is right and keeps the mode", async () => {
    const run = async (seed: number) => {
      const [train, other] = [loader(32, 1), loader(40, 2)];
      manualSeed(seed);
      const model = new nas.CellNetwork(cell, small);
      const before = await nas.accuracy(model, other);
      const loss = await nas.trainAlone(model, train, { steps: 40 });
      expect(model.training).toBe(true);
      return { before, loss, after: await nas.accuracy(model.eval(), other), training: model.training };
    };
    const [a, b, c] = [await run(5), await run(5), await run(6)];
    expect(a.loss).toBeLessThan(0.1);
    expect(a.after).toBeGreaterThan(0.95);
    expect(a.before).toBeLessThan(a.after);
    expect(a.training).toBe(false);
    expect(b).toEqual(a);
    expect(c.loss).not.toBe(a.loss);
  });

  test("accuracy by hand, over batches of different sizes", async () => {
    class Sign extends nn.Module {
      forward(x: Tensor) {
        return x.mul(tensor([-1, 1]));
      }
    }
    const set = new data.TensorDataset([tensor([[1], [-1], [2], [-3], [4]]), tensor(new Int32Array([1, 0, 0, 0, 1]))]);
    expect(await nas.accuracy(new Sign(), new data.DataLoader(set, { batchSize: 2 }))).toBeCloseTo(4 / 5, 12);
  });

  test("no steps, no batches", async () => {
    const model = new nas.CellNetwork(cell, small);
    const none = (async function* (): AsyncGenerator<Tensor[]> {})();
    await expect(nas.trainAlone(model, none, { steps: 0 })).rejects.toThrow("steps from 1 up, got 0");
    await expect(nas.trainAlone(model, none, { steps: 1 })).rejects.toThrow("loaders with batches, got none");
    await expect(nas.accuracy(model, none)).rejects.toThrow("batches with pictures, got none");
  });

  test("the signal ends a training between two steps, and closes its loader", async () => {
    const controller = new AbortController();
    let [given, closed] = [0, false];
    const set = bars(4);
    const batches = (async function* () {
      try {
        for (;;) {
          if (++given === 3) controller.abort();
          yield set.map((t) => t.clone());
        }
      } finally {
        closed = true;
      }
    })();
    const { signal } = controller;
    const model = new nas.CellNetwork(cell, small);
    const training = nas.trainAlone(model, batches, { steps: 9, signal });
    await expect(training).rejects.toThrow("trainAlone: aborted after 3 of 9 steps");
    expect([given, closed]).toEqual([3, true]);
    const darts = nas.darts(new nas.SuperNetwork({ ...small, stages: 1 }), loader(16, 1), loader(16, 2), {
      steps: 2,
      signal,
    });
    await expect(darts).rejects.toThrow("darts: aborted after 0 of 2 steps");
  });
});

describe("random search and evolution", () => {
  const distance = (a: nas.Genotype, b: nas.Genotype) => a.filter((o, i) => o !== b[i]).length;
  // Worth the number of 3x3 convolutions, less what none costs: 6 at best, by one cell of 15,625.
  const worth: nas.Evaluate = (g) => g.filter((o) => o === "conv3x3").length - g.filter((o) => o === "none").length;

  test("evolution beats chance at the same budget, on the mean of seeds; both repeat", async () => {
    const mean = async (search: typeof nas.evolve) => {
      let sum = 0;
      for (let seed = 0; seed < 8; seed++)
        sum += (await search(worth, { steps: 60, stepsPerTrial: 1, seed })).best.score;
      return sum / 8;
    };
    expect(await mean(nas.evolve)).toBeGreaterThan((await mean(nas.randomSearch)) + 0.5);
    const [a, b] = [await nas.evolve(worth, { seed: 4 }), await nas.evolve(worth, { seed: 4 })];
    expect(a.history).toEqual(b.history);
    expect(a.history).toHaveLength(30);
    expect(a.steps).toBe(3000);
  });

  test("a child differs from a living parent at one edge", async () => {
    const { history } = await nas.evolve(worth, { steps: 25, stepsPerTrial: 1, population: 5, sample: 2 });
    for (let i = 5; i < 25; i++) {
      const living = history.slice(i - 5, i);
      const differences = living.map((p) => p.genotype.filter((o, e) => o !== history[i]!.genotype[e]).length);
      expect(Math.min(...differences)).toBeLessThanOrEqual(1);
    }
    await expect(nas.evolve(worth, { population: 2, sample: 3 })).rejects.toThrow(
      "a sample from 1 to the population, got 3 of 2",
    );
    await expect(nas.randomSearch(() => Number.NaN)).rejects.toThrow("evaluate to answer a number, got NaN");
  });

  test("no more trials than the population would be chance: evolve refuses, and says how many it takes", async () => {
    const run = (trials: number) => nas.evolve(worth, { steps: 20 * trials, stepsPerTrial: 20, population: 5 });
    for (const trials of [1, 4, 5])
      await expect(run(trials)).rejects.toThrow(
        `more trials than the population of 5, which is random, got ${trials} (${20 * trials} steps, 20 a trial); give at least 120 steps`,
      );
    const { history } = await run(6);
    expect(Math.min(...history.slice(0, 5).map((p) => distance(p.genotype, history[5]!.genotype)))).toBe(1);
  });

  test("onTrial is given each trial with its number; the signal ends a search", async () => {
    for (const search of [nas.randomSearch, nas.evolve]) {
      const [seen, controller]: [nas.Evaluated[], AbortController] = [[], new AbortController()];
      const onTrial = (trial: nas.Evaluated) => {
        seen.push(trial);
        if (trial.number === 3) controller.abort("enough");
      };
      const found = await search(worth, { steps: 12, stepsPerTrial: 1, seed: 2 });
      const error = await search(worth, {
        steps: 12,
        stepsPerTrial: 1,
        seed: 2,
        onTrial,
        signal: controller.signal,
      }).catch((e) => e);
      expect(error.message).toMatch(/^(randomSearch|evolve): aborted after 4 of 12 trials$/);
      expect(error.cause).toBe("enough");
      expect(seen).toEqual(found.history.slice(0, 4));
      expect(seen.map((t) => t.number)).toEqual([0, 1, 2, 3]);
    }
    const controller = new AbortController();
    const during = nas.randomSearch(
      () => {
        controller.abort();
        return 1;
      },
      { steps: 1, stepsPerTrial: 1, signal: controller.signal },
    );
    await expect(during).rejects.toThrow("aborted after 0 of 1 trials");
  });

  test("steps are a budget: as many trials as it pays for, each told its steps", async () => {
    const told: number[] = [];
    const { steps, history, best } = await nas.randomSearch(
      (_, trial, given) => {
        told.push(given);
        return -Math.abs(trial - 2);
      },
      { steps: 119, stepsPerTrial: 20 },
    );
    expect(told).toEqual([20, 20, 20, 20, 20]);
    expect(steps).toBe(100);
    expect(best).toBe(history[2]);
    await expect(nas.randomSearch(worth, { steps: 10, stepsPerTrial: 20 })).rejects.toThrow(
      "at least one trial's, got 10 of 20 a trial",
    );
    await expect(nas.randomSearch(worth, { stepsPerTrial: 0 })).rejects.toThrow("from 1 up, got 0");
  });
});

describe("DARTS", () => {
  test("a mixed cell is the weighted sum of all operations on each edge", () => {
    manualSeed(4);
    const model = new nas.SuperNetwork({ ...small, stages: 1 }).to("float64");
    noGrad(() => model.alphas.copy_(randn([6, 5])));
    const x = randn([3, 4, 5, 5]).to("float64");
    const mixed = model.body.at(0) as unknown as {
      conv1x1: nn.ModuleList<nn.Module>;
      conv3x3: nn.ModuleList<nn.Module>;
      forward(x: Tensor, weights: Tensor): Tensor;
    };
    const weights = model.alphas.softmax(1);
    const normed = (y: Tensor) => {
      const centred = y.sub(y.mean([0, 2, 3], { keepDims: true }));
      return centred.div(centred.square().mean([0, 2, 3], { keepDims: true }).add(1e-5).sqrt());
    };
    const kernelOf = (list: nn.ModuleList<nn.Module>, edge: number) =>
      (list.at(edge) as unknown as { conv: nn.Conv2d }).conv.weight;
    const along = (edge: number, from: Tensor) => {
      const parts: Record<nas.Operation, Tensor> = {
        none: from.mul(0),
        skip: from,
        conv1x1: normed(from.relu().conv2d(kernelOf(mixed.conv1x1, edge), null)),
        conv3x3: normed(from.relu().conv2d(kernelOf(mixed.conv3x3, edge), null, { padding: 1 })),
        avgpool3x3: from.avgPool2d(3, { stride: 1, padding: 1, countIncludePad: false }),
      };
      return nas.OPERATIONS.map((o, i) => parts[o].mul(weights.slice(edge, i))).reduce((a, b) => a.add(b));
    };
    const one = along(0, x);
    const two = along(1, x).add(along(2, one));
    const three = along(3, x).add(along(4, one)).add(along(5, two));
    const got = mixed.forward(x, weights);
    expect(got.sub(three).abs().max().itemSync()).toBeLessThan(1e-10);
    const probe = randn([3, 4, 5, 5]).to("float64");
    const slope = (y: Tensor) => {
      model.alphas.grad = null;
      y.mul(probe).sum().backward({ retainGraph: true });
      return (model.alphas.grad! as Tensor).clone();
    };
    const expected = slope(three);
    expect(slope(got).sub(expected).abs().max().itemSync()).toBeLessThan(1e-10);
  });

  test("the second-order gradient is that of the loss behind a step", () => {
    manualSeed(2);
    const model = new nas.SuperNetwork({ ...small, channels: 2, stages: 1 }).to("float64");
    const [xs, ys] = bars(4);
    const [xv, yv] = bars(6);
    const lossOf = (x: Tensor, y: Tensor) => nn.crossEntropy(model.forward(x.to("float64")), y);
    const rate = 0.05;
    const weights = model.weights();
    const before = weights.map((w) => w.detach().clone());
    const value = secondOrder(
      model,
      weights,
      () => lossOf(xs, ys),
      () => lossOf(xv, yv),
      rate,
      0,
      1e-5,
    );
    weights.forEach((w, i) => {
      expect(w.sub(before[i]!).abs().max().itemSync()).toBe(0);
    });
    const got = model.alphas.grad!.dataSync();
    // The definition: L_val(w - rate dL_train(w, alpha), alpha) by differences of alpha.
    const behind = (): number => {
      for (const w of weights) w.grad = null;
      model.alphas.grad = null;
      lossOf(xs, ys).backward();
      const step = new optim.SGD(weights, { lr: rate });
      step.step();
      const loss = lossOf(xv, yv).itemSync();
      weights.forEach((w, i) => {
        noGrad(() => w.copy_(before[i]!));
        w.grad = null;
      });
      return loss;
    };
    expect(value.itemSync()).toBeCloseTo(behind(), 10);
    const alphas = model.alphas.detach().clone();
    // Without the second derivative: the gradient at the weights behind the step.
    lossOf(xs, ys).backward();
    new optim.SGD(weights, { lr: rate }).step();
    model.alphas.grad = null;
    lossOf(xv, yv).backward();
    const first = model.alphas.grad!.dataSync();
    noGrad(() => weights.forEach((w, i) => void w.copy_(before[i]!)));
    let [error, errorWithout, size] = [0, 0, 0];
    for (let at = 0; at < 30; at += 3) {
      const moved = (by: number) => {
        const values = alphas.dataSync("float64").slice();
        values[at]! += by;
        noGrad(() => model.alphas.copy_(tensor(values, [...alphas.shape])));
        const loss = behind();
        noGrad(() => model.alphas.copy_(alphas));
        return loss;
      };
      const slope = (moved(1e-5) - moved(-1e-5)) / 2e-5;
      error = Math.max(error, Math.abs(got[at]! - slope));
      errorWithout = Math.max(errorWithout, Math.abs(first[at]! - slope));
      size = Math.max(size, Math.abs(slope));
    }
    expect(error).toBeLessThan(0.02 * size);
    expect(error).toBeLessThan(errorWithout / 5);
  });

  test.each([1, 2] as const)("order %i: losses fall, and a cell comes out that can be trained", async (order) => {
    manualSeed(3);
    const model = new nas.SuperNetwork({ ...small, stages: 1 });
    const loader = (seed: number) => {
      const [x, y] = bars(32);
      return new data.DataLoader(new data.TensorDataset([x, y]), { batchSize: 8, shuffle: true, seed });
    };
    const seen: number[] = [];
    const { genotype, losses } = await nas.darts(model, loader(1), loader(2), {
      steps: order === 1 ? 30 : 15,
      order,
      lr: 0.1,
      alphaLr: 0.05,
      logEvery: 5,
      onStep: (_, l) => void seen.push(l.train),
    });
    expect(seen.at(-1)!).toBeLessThan(seen[0]!);
    expect(losses.validation).toBeLessThan(Math.log(2));
    expect(genotype).not.toContain("none");
    expect(new nas.CellNetwork(genotype, small).forward(randn([2, 1, 8, 8])).shape).toEqual([2, 2]);
  });

  test("the warm-up leaves alphas alone; the search repeats bit for bit", async () => {
    const run = async (warmup: number, steps = 6) => {
      manualSeed(5);
      const model = new nas.SuperNetwork({ ...small, stages: 1 });
      const alphas = [...model.alphas.dataSync()];
      const set = new data.TensorDataset(bars(32));
      const loader = (seed: number) => new data.DataLoader(set, { batchSize: 8, shuffle: true, seed });
      const seen: [number, boolean][] = [];
      await nas.darts(model, loader(1), loader(2), {
        steps,
        warmup,
        alphaLr: 0.05,
        logEvery: 1,
        onStep: (step, { validation }) => {
          seen.push([step, Number.isNaN(validation)]);
          if (step <= warmup) expect([...model.alphas.dataSync()]).toEqual(alphas);
          else expect([...model.alphas.dataSync()]).not.toEqual(alphas);
        },
      });
      expect(seen).toEqual(Array.from({ length: steps }, (_, i) => [i + 1, i < warmup]));
      return [...model.alphas.dataSync()];
    };
    const [a, b] = [await run(4), await run(4)];
    expect(b).toEqual(a);
    expect(await run(0)).not.toEqual(a);
    await expect(run(6)).rejects.toThrow("warmup from 0 to steps - 1, got 6 of 6");
  });
});
