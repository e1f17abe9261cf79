/** @file Schedules against PyTorch's values (test/fixtures/make_optim.py). */
import { readFileSync } from "node:fs";
import { optim, tensor } from "napier";
import { describe, expect, test } from "vitest";

const golden = JSON.parse(readFileSync(new URL("../fixtures/optim.json", import.meta.url), "utf8")) as {
  rates: Record<string, number[][]>;
  metrics: number[];
  plateaus: Record<string, number[]>;
};

describe("schedules as PyTorch's", () => {
  const schedules: Record<string, (o: optim.SGD) => optim.Schedule> = {
    step: (o) => new optim.StepLR(o, { stepSize: 3, gamma: 0.5 }),
    cosine: (o) => new optim.CosineAnnealingLR(o, { tMax: 10, etaMin: 0.01 }),
    linear: (o) => new optim.LinearLR(o, { startFactor: 0.25, totalIters: 4 }),
    "warm-up, cosine": (o) =>
      new optim.LinearWarmup(new optim.CosineAnnealingLR(o, { tMax: 8 }), { steps: 4, startFactor: 0.1 }),
    "multi-step": (o) => new optim.MultiStepLR(o, { milestones: [2, 5, 5, 9], gamma: 0.5 }),
    exponential: (o) => new optim.ExponentialLR(o, { gamma: 0.8 }),
    polynomial: (o) => new optim.PolynomialLR(o, { totalIters: 6, power: 2 }),
    constant: (o) => new optim.ConstantLR(o, { factor: 0.25, totalIters: 4 }),
    lambda: (o) => new optim.LambdaLR(o, [(t) => 0.9 ** t, (t) => 1 / (1 + t)]),
    multiplicative: (o) => new optim.MultiplicativeLR(o, (t) => 1 - t / 20),
    "warm restarts": (o) => new optim.CosineAnnealingWarmRestarts(o, { t0: 4, etaMin: 0.01 }),
    "warm restarts, longer": (o) => new optim.CosineAnnealingWarmRestarts(o, { t0: 3, tMult: 2 }),
    cyclic: (o) => new optim.CyclicLR(o, { baseLr: 0.01, maxLr: [0.1, 0.5], stepSizeUp: 3, stepSizeDown: 5 }),
    "cyclic, triangular2": (o) =>
      new optim.CyclicLR(o, { baseLr: 0.01, maxLr: 0.1, stepSizeUp: 3, mode: "triangular2", maxMomentum: 0.95 }),
    "cyclic, expRange": (o) =>
      new optim.CyclicLR(o, { baseLr: 0.01, maxLr: 0.1, stepSizeUp: 3, mode: "expRange", gamma: 0.9 }),
    sequential: (o) => {
      const parts = [
        new optim.ConstantLR(o, { factor: 0.5, totalIters: 3 }),
        new optim.ExponentialLR(o, { gamma: 0.9 }),
        new optim.StepLR(o, { stepSize: 2, gamma: 0.5 }),
      ];
      return new optim.SequentialLR(o, parts, { milestones: [4, 8] });
    },
    swa: (o) => new optim.SWALR(o, { swaLr: 0.02, annealEpochs: 4 }),
    "swa, linear": (o) => new optim.SWALR(o, { swaLr: [0.5, 0.02], annealEpochs: 4, annealStrategy: "linear" }),
    "one-cycle": (o) => new optim.OneCycleLR(o, { maxLr: [0.5, 1], totalSteps: 20 }),
    "one-cycle, linear": (o) =>
      new optim.OneCycleLR(o, { maxLr: 0.5, totalSteps: 20, annealStrategy: "linear", pctStart: 0.4 }),
    "one-cycle, three phases": (o) =>
      new optim.OneCycleLR(o, { maxLr: 0.5, totalSteps: 20, threePhase: true, finalDivFactor: 100 }),
  };
  const optimizerOf = () => {
    const [w, v] = [tensor([0], { requiresGrad: true }), tensor([0], { requiresGrad: true })];
    return new optim.SGD([{ params: [w] }, { params: [v], lr: 0.3 }], { lr: 0.1, momentum: 0.9 });
  };
  const now = (o: optim.SGD, length: number) =>
    [...o.paramGroups.map((g) => g.lr), o.paramGroups[0]!.momentum].slice(0, length);

  test("every fixture has its case", () => {
    expect(Object.keys(schedules).sort()).toEqual(Object.keys(golden.rates).sort());
  });
  for (const [name, make] of Object.entries(schedules)) {
    const rows = golden.rates[name]!;
    test(name, () => {
      const optimizer = optimizerOf();
      const schedule = make(optimizer);
      for (const [t, row] of rows.entries()) {
        expect(schedule.lastLr).toEqual(now(optimizer, 2));
        row.forEach((x, i) => {
          expect(Math.abs(now(optimizer, 3)[i]! - x), `step ${t}, value ${i}`).toBeLessThanOrEqual(1e-14 + 1e-12 * x);
        });
        schedule.step();
      }
    });
    test(`${name}, resumed in the middle, continues exactly`, () => {
      const optimizer = optimizerOf();
      const schedule = make(optimizer);
      for (let t = 0; t < 5; t++) schedule.step();
      const saved = JSON.parse(JSON.stringify(schedule.stateDict()));
      const other = optimizerOf();
      const resumed = make(other);
      resumed.loadStateDict(saved);
      for (let t = 5; t < rows.length; t++) {
        expect(now(other, 3)).toEqual(now(optimizer, 3));
        schedule.step();
        resumed.step();
      }
    });
  }

  test("one-cycle holds its last rate for the step() after the last step, then refuses", () => {
    const optimizer = optimizerOf();
    const schedule = new optim.OneCycleLR(optimizer, { maxLr: 0.5, totalSteps: 4 });
    for (let t = 0; t < 4; t++) schedule.step();
    expect(optimizer.paramGroups[0]!.lr).toBeCloseTo(0.5 / 25 / 1e4, 12);
    expect(() => schedule.step()).toThrow("expected at most 4 steps");
    expect(schedule.steps).toBe(4);
  });
  test("wrong options", () => {
    expect(() => new optim.StepLR(optimizerOf(), { stepSize: 0 })).toThrow(
      "StepLR: expected stepSize to be a whole number from 1 up, got 0",
    );
    expect(() => new optim.OneCycleLR(optimizerOf(), { maxLr: [1], totalSteps: 3 })).toThrow(
      "expected 2 values of maxLr, got 1",
    );
  });

  test("a schedule made after another starts from the optimizer's rates, and from rates set since", () => {
    const optimizer = optimizerOf();
    const first = new optim.ExponentialLR(optimizer, { gamma: 0.5 });
    first.step();
    expect(new optim.StepLR(optimizer, { stepSize: 3 }).baseLrs).toEqual([0.1, 0.3]);
    for (const group of optimizer.paramGroups) group.lr = 0.7;
    expect(new optim.StepLR(optimizer, { stepSize: 3 }).baseLrs).toEqual([0.7, 0.7]);
  });
  test("a warm-up before a sequence resumes with the rates of every part", () => {
    const make = (o: optim.SGD) => {
      const parts = [
        new optim.ConstantLR(o, { factor: 0.5, totalIters: 2 }),
        new optim.ExponentialLR(o, { gamma: 0.9 }),
      ];
      return new optim.LinearWarmup(new optim.SequentialLR(o, parts, { milestones: [2] }), { steps: 2 });
    };
    const [optimizer, other] = [optimizerOf(), optimizerOf()];
    const schedule = make(optimizer);
    for (let t = 0; t < 3; t++) schedule.step();
    for (const group of other.paramGroups) group.lr = 99;
    const resumed = make(other);
    resumed.loadStateDict(schedule.stateDict());
    for (let t = 0; t < 4; t++) {
      expect(resumed.lastLr).toEqual(schedule.lastLr);
      schedule.step();
      resumed.step();
    }
  });
  test("wrong options of the newer ones", () => {
    const o = optimizerOf();
    expect(() => new optim.MultiStepLR(o, { milestones: [0] })).toThrow(
      "each milestone to be a whole number from 1 up",
    );
    expect(() => new optim.LambdaLR(o, [() => 1])).toThrow(
      "LambdaLR: expected 2 functions, one a parameter group, got 1",
    );
    expect(() => new optim.CyclicLR(o, { baseLr: [1], maxLr: 1 })).toThrow("expected 2 values of baseLr, got 1");
    expect(() => new optim.CyclicLR(o, { baseLr: 1, maxLr: 1, mode: "square" as never })).toThrow('got "square"');
    const part = new optim.StepLR(o, { stepSize: 1 });
    expect(() => new optim.SequentialLR(o, [part], { milestones: [1] })).toThrow("got 1 and 1");
    expect(() => new optim.SequentialLR(o, [part, part, part], { milestones: [3, 2] })).toThrow("got 2 after 3");
    expect(() => new optim.SequentialLR(optimizerOf(), [part], { milestones: [] })).toThrow("got one of another");
    expect(() => new optim.SWALR(o, { swaLr: [1] })).toThrow("SWALR: expected 2 values of swaLr, got 1");
  });
});

describe("plateau as PyTorch's", () => {
  const options: Record<string, optim.PlateauOptions> = {
    "min, rel": { factor: 0.5, patience: 2 },
    "max, abs, cooldown": { mode: "max", factor: 0.3, patience: 1, threshold: 0.05, thresholdMode: "abs", cooldown: 2 },
    "least rate": { factor: 0.1, patience: 0, minLr: 0.005 },
  };
  const one = () => new optim.SGD([tensor([0], { requiresGrad: true })], { lr: 0.1 });
  test("every fixture has its case", () => {
    expect(Object.keys(options).sort()).toEqual(Object.keys(golden.plateaus).sort());
  });
  test.each(Object.entries(options))("%s, also resumed at every step", (name, given) => {
    const optimizer = one();
    let schedule = new optim.ReduceLROnPlateau(optimizer, given);
    for (const [i, metric] of golden.metrics.entries()) {
      schedule.step(metric);
      expect(optimizer.paramGroups[0]!.lr).toBeCloseTo(golden.plateaus[name]![i]!, 14);
      const saved = JSON.parse(JSON.stringify(schedule.stateDict()));
      schedule = new optim.ReduceLROnPlateau(optimizer, given);
      schedule.loadStateDict(saved);
    }
  });
  test("NaN is no progress; wrong options", () => {
    const optimizer = one();
    const schedule = new optim.ReduceLROnPlateau(optimizer, { patience: 0 });
    schedule.step(Number.NaN);
    expect(schedule.lastLr).toEqual([0.1 * 0.1]);
    expect(() => schedule.step("1" as never)).toThrow("expected a number, got string");
    expect(() => new optim.ReduceLROnPlateau(optimizer, { factor: 1 })).toThrow(
      "factor to be a number from 0 to below 1",
    );
    expect(() => new optim.ReduceLROnPlateau(optimizer, { minLr: [0, 0] })).toThrow(
      "expected 1 values of minLr, got 2",
    );
  });
});
