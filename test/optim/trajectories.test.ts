/** @file Optimizers, clipping and schedules against PyTorch's values (test/fixtures/make_optim.py). */
import { readFileSync } from "node:fs";
import { optim, type Tensor, tensor } from "napier";
import { describe, expect, test } from "vitest";

const golden = JSON.parse(readFileSync(new URL("../fixtures/optim.json", import.meta.url), "utf8")) as {
  A: number[];
  B: number[][];
  C: number[];
  D: number[];
  trajectories: Record<string, Record<"float32" | "float64", number[][]>>;
  rates: Record<string, number[][]>;
};

type Make = (a: Tensor, b: Tensor) => optim.Optimizer<never>;
interface Case {
  make: Make;
  clip?: "norm" | "value";
  skip?: number[];
}
const of = (make: (a: Tensor, b: Tensor) => unknown, rest: Omit<Case, "make"> = {}): Case => ({
  make: make as Make,
  ...rest,
});

const cases: Record<string, Case> = {
  sgd: of((a, b) => new optim.SGD([a, b], { lr: 0.05 })),
  "sgd, weight decay": of((a, b) => new optim.SGD([a, b], { lr: 0.05, weightDecay: 0.1 })),
  "sgd, momentum": of((a, b) => new optim.SGD([a, b], { lr: 0.02, momentum: 0.9 })),
  "sgd, momentum, dampening, weight decay": of(
    (a, b) => new optim.SGD([a, b], { lr: 0.02, momentum: 0.9, dampening: 0.3, weightDecay: 0.01 }),
  ),
  "sgd, nesterov": of((a, b) => new optim.SGD([a, b], { lr: 0.02, momentum: 0.9, nesterov: true, weightDecay: 0.01 })),
  adam: of((a, b) => new optim.Adam([a, b])),
  "adam, options": of((a, b) => new optim.Adam([a, b], { lr: 0.03, betas: [0.8, 0.95], eps: 1e-6, weightDecay: 0.05 })),
  adamw: of((a, b) => new optim.AdamW([a, b])),
  "adamw, options": of(
    (a, b) => new optim.AdamW([a, b], { lr: 0.03, betas: [0.8, 0.95], eps: 1e-6, weightDecay: 0.2 }),
  ),
  "adamw, groups": of(
    (a, b) =>
      new optim.AdamW(
        [
          { params: [a], lr: 0.1 },
          { params: [b], weightDecay: 0 },
        ],
        { lr: 0.01, weightDecay: 0.3 },
      ),
  ),
  "sgd, clipped norm": of((a, b) => new optim.SGD([a, b], { lr: 0.05 }), { clip: "norm" }),
  "sgd, clipped value": of((a, b) => new optim.SGD([a, b], { lr: 0.05 }), { clip: "value" }),
  "adam, b without gradient at steps 0, 3, 4": of((a, b) => new optim.Adam([a, b], { lr: 0.03 }), { skip: [0, 3, 4] }),
  "sgd, momentum, dampening, b without gradient at steps 0, 3, 4": of(
    (a, b) => new optim.SGD([a, b], { lr: 0.02, momentum: 0.9, dampening: 0.3 }),
    { skip: [0, 3, 4] },
  ),
};

function run({ make, clip, skip = [] }: Case, dtype: "float32" | "float64"): number[][] {
  const a = tensor(golden.A, { dtype, requiresGrad: true });
  const b = tensor(golden.B, { dtype, requiresGrad: true });
  const c = tensor(golden.C, { dtype });
  const d = tensor(golden.D, { dtype });
  const optimizer = make(a, b);
  return Array.from({ length: 10 }, (_, step) => {
    optimizer.zeroGrad();
    const pull = c.mul(a.sub(d).square()).sum();
    const loss = skip.includes(step) ? pull : pull.add(b.sin().mul(b).sum());
    loss.backward();
    const norm = clip === "norm" ? [optim.clipGradNorm([a, b], 1.5).itemSync()] : [];
    if (clip === "value") optim.clipGradValue([a, b], 0.7);
    optimizer.step();
    return [...norm, ...a.dataSync(dtype), ...b.dataSync(dtype)];
  });
}

describe("trajectories as PyTorch's", () => {
  test("every fixture has its case", () => {
    expect(Object.keys(cases).sort()).toEqual(Object.keys(golden.trajectories).sort());
  });
  for (const [name, which] of Object.entries(cases)) {
    for (const [dtype, tolerance] of [
      ["float64", 1e-12],
      ["float32", 1e-5],
    ] as const) {
      test(`${name}, ${dtype}`, () => {
        const got = run(which, dtype);
        golden.trajectories[name]![dtype].forEach((row, step) => {
          row.forEach((x, i) => {
            expect(Math.abs(got[step]![i]! - x), `step ${step}, value ${i}`).toBeLessThanOrEqual(
              tolerance * Math.max(1, Math.abs(x)),
            );
          });
        });
      });
    }
  }
});

describe("schedules as PyTorch's", () => {
  const schedules: Record<string, (o: optim.SGD) => optim.Schedule> = {
    step: (o) => new optim.StepLR(o, { stepSize: 3, gamma: 0.5 }),
    cosine: (o) => new optim.CosineAnnealingLR(o, { tMax: 10, etaMin: 0.01 }),
    linear: (o) => new optim.LinearLR(o, { startFactor: 0.25, totalIters: 4 }),
    "warm-up, cosine": (o) =>
      new optim.LinearWarmup(new optim.CosineAnnealingLR(o, { tMax: 8 }), { steps: 4, startFactor: 0.1 }),
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
});
