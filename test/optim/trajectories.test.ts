/** @file Optimizers and clipping against PyTorch's values (test/fixtures/make_optim.py). */
import { readFileSync } from "node:fs";
import { optim, type Tensor, tensor } from "napier";
import { describe, expect, test } from "vitest";

const golden = JSON.parse(readFileSync(new URL("../fixtures/optim.json", import.meta.url), "utf8")) as {
  A: number[];
  B: number[][];
  C: number[];
  D: number[];
  trajectories: Record<string, Record<"float32" | "float64", number[][]>>;
  lbfgs: Record<string, number[][]>;
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
  "sgd, maximize": of((a, b) => new optim.SGD([a, b], { lr: 0.001, momentum: 0.9, maximize: true, weightDecay: 0.05 })),
  "adam, amsgrad": of((a, b) => new optim.Adam([a, b], { lr: 0.3, betas: [0.5, 0.6], amsgrad: true })),
  "adam, maximize": of((a, b) => new optim.Adam([a, b], { lr: 0.01, maximize: true, weightDecay: 0.05 })),
  "adamw, amsgrad, maximize": of((a, b) => new optim.AdamW([a, b], { lr: 0.01, amsgrad: true, maximize: true })),
  rmsprop: of((a, b) => new optim.RMSprop([a, b])),
  "rmsprop, momentum": of(
    (a, b) => new optim.RMSprop([a, b], { lr: 0.02, alpha: 0.9, momentum: 0.5, weightDecay: 0.05 }),
  ),
  "rmsprop, centered": of((a, b) => new optim.RMSprop([a, b], { lr: 0.02, alpha: 0.9, eps: 1e-6, centered: true })),
  "rmsprop, centered, momentum, maximize": of(
    (a, b) =>
      new optim.RMSprop([a, b], { lr: 0.01, alpha: 0.9, momentum: 0.5, eps: 1e-6, centered: true, maximize: true }),
  ),
  adagrad: of((a, b) => new optim.Adagrad([a, b])),
  "adagrad, options": of(
    (a, b) =>
      new optim.Adagrad([a, b], { lr: 0.1, lrDecay: 0.1, initialAccumulatorValue: 0.3, eps: 1e-6, weightDecay: 0.05 }),
  ),
  "adagrad, maximize": of((a, b) => new optim.Adagrad([a, b], { maximize: true })),
  adadelta: of((a, b) => new optim.Adadelta([a, b])),
  "adadelta, options": of((a, b) => new optim.Adadelta([a, b], { lr: 0.5, rho: 0.7, eps: 1e-4, weightDecay: 0.05 })),
  "adadelta, maximize": of((a, b) => new optim.Adadelta([a, b], { maximize: true })),
  adamax: of((a, b) => new optim.Adamax([a, b])),
  "adamax, options": of(
    (a, b) => new optim.Adamax([a, b], { lr: 0.03, betas: [0.8, 0.9], eps: 1e-6, weightDecay: 0.05 }),
  ),
  "adamax, maximize": of((a, b) => new optim.Adamax([a, b], { maximize: true })),
  radam: of((a, b) => new optim.RAdam([a, b], { lr: 0.03 })),
  "radam, options": of(
    (a, b) => new optim.RAdam([a, b], { lr: 0.03, betas: [0.8, 0.95], eps: 1e-6, weightDecay: 0.05 }),
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

describe("L-BFGS as PyTorch's, on Rosenbrock's function", () => {
  const options: Record<string, Partial<optim.LBFGSOptions>> = {
    plain: { lr: 0.001, maxIter: 5 },
    "strong Wolfe": { maxIter: 4, lineSearch: "strongWolfe" },
    "strong Wolfe, short history": { maxIter: 4, historySize: 2, lineSearch: "strongWolfe" },
  };
  const start = () => tensor([-1.5, 2], { dtype: "float64", requiresGrad: true });
  const descend = async (w: Tensor, optimizer: optim.LBFGS): Promise<number[]> => {
    const loss = await optimizer.step(() => {
      optimizer.zeroGrad();
      const [x, y] = [w.slice(0), w.slice(1)];
      const loss = x.sub(1).square().add(y.sub(x.square()).square().mul(100));
      loss.backward();
      return loss;
    });
    return [loss, ...w.dataSync("float64")];
  };
  test("every fixture has its case", () => {
    expect(Object.keys(options).sort()).toEqual(Object.keys(golden.lbfgs).sort());
  });
  test.each(Object.entries(options))("%s", async (name, given) => {
    const w = start();
    const optimizer = new optim.LBFGS([w], given);
    for (const [step, row] of golden.lbfgs[name]!.entries()) {
      const got = await descend(w, optimizer);
      // Rounding grows along the valley: the last figures are the order of the sums.
      row.forEach((x, i) => {
        expect(Math.abs(got[i]! - x), `step ${step}, value ${i}`).toBeLessThanOrEqual(1e-9 * Math.max(1, Math.abs(x)));
      });
    }
  });
  test("resumed after 3 of 6 steps, it continues exactly", async () => {
    const w = start();
    const optimizer = new optim.LBFGS([w], options["strong Wolfe"]);
    for (let i = 0; i < 3; i++) await descend(w, optimizer);
    const other = w.detach().clone().requiresGrad_();
    const resumed = new optim.LBFGS([other]);
    resumed.loadStateDict(optimizer.stateDict());
    for (let i = 0; i < 3; i++) expect(await descend(other, resumed)).toEqual(await descend(w, optimizer));
  });
  test("two parameters are one vector; a parameter without gradient stays", async () => {
    const [a, b, c] = [tensor([3], { requiresGrad: true }), tensor([[1, 2]], { requiresGrad: true }), start()];
    const optimizer = new optim.LBFGS([a, b], { lineSearch: "strongWolfe" });
    const still = new optim.LBFGS([c]);
    const closure = (o: optim.LBFGS) => () => {
      o.zeroGrad();
      const loss = a.sub(1).square().sum().add(b.add(1).square().sum());
      loss.backward();
      return loss;
    };
    await optimizer.step(closure(optimizer));
    expect(a.itemSync()).toBeCloseTo(1, 5);
    expect([...b.dataSync("float32")].map((v) => Math.round(v * 1e5) / 1e5)).toEqual([-1, -1]);
    await still.step(closure(still));
    expect([...c.dataSync("float64")]).toEqual([-1.5, 2]);
  });
  test("errors", async () => {
    const w = start();
    expect(() => new optim.LBFGS([])).toThrow("LBFGS: expected parameters, got none");
    expect(() => new optim.LBFGS([w, tensor([1], { requiresGrad: true })])).toThrow("operands of one dtype");
    expect(() => new optim.LBFGS([w], { lineSearch: "armijo" as never })).toThrow(
      '"strongWolfe" or null, got "armijo"',
    );
    const optimizer = new optim.LBFGS([w]);
    const running = descend(w, optimizer);
    await expect(descend(w, optimizer)).rejects.toThrow("expected no step in progress");
    await running;
    const other = new optim.LBFGS([tensor([1], { requiresGrad: true })]);
    expect(() => other.loadStateDict(optimizer.stateDict())).toThrow("expected vectors of 1 elements, got 2");
  });
});
