/** @file Optimizers that the fixtures' PyTorch lacks or computes otherwise, against slow formulas in float64. */
import { nn, ones, optim, randn, type Tensor, tensor } from "napier";
import { describe, expect, test } from "vitest";

const A = [0.5, -1.25, 2, 0, -0.3, 1.5];

/** x [3] and y [3, 1] of A by ten steps on sum(c (w - d)^2), c and d by element; after each all values. */
function trajectory(
  make: (ps: Tensor[]) => { zeroGrad(): void; step(): void },
  dtype: "float32" | "float64",
): number[][] {
  const x = tensor(A.slice(0, 3), { dtype, requiresGrad: true });
  const y = tensor(A.slice(3), [3, 1], { dtype, requiresGrad: true });
  const optimizer = make([x, y]);
  return Array.from({ length: 10 }, () => {
    optimizer.zeroGrad();
    const c = tensor([1, 0.1, 3], { dtype });
    c.mul(x.sub(0.2).square())
      .sum()
      .add(c.mul(y.reshape([3]).add(0.4).square()).sum())
      .backward();
    optimizer.step();
    return [...x.dataSync(dtype), ...y.dataSync(dtype)];
  });
}

const gradient = (w: number[]): number[] => w.map((v, i) => 2 * [1, 0.1, 3][i % 3]! * (v - (i < 3 ? 0.2 : -0.4)));
/** The same from f(w, g, t), which answers the new values. */
function expected(step: (w: number[], g: number[], t: number) => number[]): number[][] {
  let w = A;
  return Array.from({ length: 10 }, (_, i) => (w = step(w, gradient(w), i + 1)));
}
const state = (): number[] => A.map(() => 0);

const references: Record<string, [(ps: Tensor[]) => { zeroGrad(): void; step(): void }, () => number[][]]> = {
  NAdam: [
    (ps) => new optim.NAdam(ps, { lr: 0.02, betas: [0.8, 0.95], eps: 1e-6, weightDecay: 0.05, momentumDecay: 0.01 }),
    () => {
      const [m, v] = [state(), state()];
      let product = 1;
      return expected((w, given, t) => {
        const mu = (t: number) => 0.8 * (1 - 0.5 * 0.96 ** (t * 0.01));
        product *= mu(t);
        return w.map((p, i) => {
          const g = given[i]! + 0.05 * p;
          m[i] = 0.8 * m[i]! + 0.2 * g;
          v[i] = 0.95 * v[i]! + 0.05 * g * g;
          const root = Math.sqrt(v[i]! / (1 - 0.95 ** t)) + 1e-6;
          const next = mu(t + 1);
          return p - (0.02 * (((1 - mu(t)) / (1 - product)) * g + (next / (1 - product * next)) * m[i]!)) / root;
        });
      });
    },
  ],
  ASGD: [
    (ps) => new optim.ASGD(ps, { lr: 0.05, lambd: 0.01, alpha: 0.6, t0: 3, weightDecay: 0.02 }),
    () => {
      let eta = 0.05;
      return expected((w, g, t) => {
        const next = w.map((p, i) => p * (1 - 0.01 * eta) - eta * (g[i]! + 0.02 * p));
        eta = 0.05 / (1 + 0.01 * 0.05 * t) ** 0.6;
        return next;
      });
    },
  ],
  Lion: [
    (ps) => new optim.Lion(ps, { lr: 0.01, betas: [0.8, 0.95], weightDecay: 0.1 }),
    () => {
      const m = state();
      return expected((w, g) =>
        w.map((p, i) => {
          const u = Math.sign(0.8 * m[i]! + 0.2 * g[i]!);
          m[i] = 0.95 * m[i]! + 0.05 * g[i]!;
          return p - 0.01 * (u + 0.1 * p);
        }),
      );
    },
  ],
  LAMB: [
    (ps) => new optim.LAMB(ps, { lr: 0.02, betas: [0.8, 0.95], weightDecay: 0.1 }),
    () => {
      const [m, v] = [state(), state()];
      return expected((w, g, t) => {
        const u = w.map((p, i) => {
          m[i] = 0.8 * m[i]! + 0.2 * g[i]!;
          v[i] = 0.95 * v[i]! + 0.05 * g[i]! ** 2;
          return m[i]! / (1 - 0.8 ** t) / (Math.sqrt(v[i]! / (1 - 0.95 ** t)) + 1e-6) + 0.1 * p;
        });
        const norm = (x: number[], of: number) => Math.hypot(...x.slice(of, of + 3));
        return w.map((p, i) => {
          const tensorOf = i < 3 ? 0 : 3;
          return p - 0.02 * (norm(w, tensorOf) / norm(u, tensorOf)) * u[i]!;
        });
      });
    },
  ],
  Muon: [
    (ps) => new optim.Muon(ps, { lr: 0.02, adamLr: 0.01, weightDecay: 0.1 }),
    () => {
      const [m, v] = [state(), state()];
      return expected((w, g, t) => {
        // Of a matrix [3, 1] the only singular value is its norm.
        for (let i = 3; i < 6; i++) m[i] = 0.95 * m[i]! + 0.05 * g[i]!;
        const u = g.map((g, i) => 0.05 * g + 0.95 * m[i]!);
        const norm = Math.hypot(...u.slice(3));
        let s = 1;
        for (let i = 0; i < 5; i++) s = 3.4445 * s - 4.775 * s ** 3 + 2.0315 * s ** 5;
        return w.map((p, i) => {
          if (i >= 3) return p * (1 - 0.02 * 0.1) - 0.02 * Math.sqrt(3) * s * (u[i]! / norm);
          m[i] = 0.9 * m[i]! + 0.1 * g[i]!;
          v[i] = 0.999 * v[i]! + 0.001 * g[i]! ** 2;
          const step = m[i]! / (1 - 0.9 ** t) / (Math.sqrt(v[i]! / (1 - 0.999 ** t)) + 1e-8);
          return p * (1 - 0.01 * 0.1) - 0.01 * step;
        });
      });
    },
  ],
};

describe("trajectories as the formulas say", () => {
  for (const [name, [make, reference]] of Object.entries(references)) {
    test.each([
      ["float64", 1e-12],
      ["float32", 2e-5],
    ] as const)(`${name}, %s`, (dtype, tolerance) => {
      const want = reference();
      trajectory(make, dtype).forEach((row, step) => {
        row.forEach((v, i) => {
          expect(Math.abs(v - want[step]![i]!), `step ${step}, value ${i}`).toBeLessThanOrEqual(tolerance);
        });
      });
    });
  }

  test("ASGD: from t0 on the state's ax is the mean of the parameters", () => {
    const w = tensor([1], { dtype: "float64", requiresGrad: true });
    const optimizer = new optim.ASGD([w], { lr: 0.1, t0: 2 });
    const seen: number[] = [];
    for (let t = 1; t <= 6; t++) {
      optimizer.zeroGrad();
      w.square().sum().backward();
      optimizer.step();
      seen.push(w.itemSync());
    }
    const [, , , ...averaged] = seen; // steps 4 to 6 join the value of step 3 with shares 1, 1/2, 1/3
    let ax = seen[2]!;
    for (const [i, v] of averaged.entries()) ax += (v - ax) / Math.max(1, i + 1);
    expect(optimizer.stateDict().state[0]!.ax!.itemSync()).toBeCloseTo(ax, 12);
  });

  test("Lion: where the gradient turns, the two betas decide the step and the memory", () => {
    const w = tensor([0], { dtype: "float64", requiresGrad: true });
    const optimizer = new optim.Lion([w], { lr: 1, betas: [0.8, 0.95] });
    const steps = [1, -0.3].map((g) => {
      optimizer.zeroGrad();
      w.mul(g).sum().backward();
      optimizer.step();
      return [w.itemSync(), optimizer.stateDict().state[0]!.exp_avg!.itemSync()];
    });
    // u = sign(0.8 0 + 0.2), m = 0.05; u = sign(0.8 0.05 - 0.2 0.3) = -1, m = 0.95 0.05 - 0.05 0.3
    for (const [i, want] of [
      [-1, 0.05],
      [0, 0.0325],
    ].entries())
      for (const [j, v] of want.entries()) expect(steps[i]![j]).toBeCloseTo(v, 14);
  });

  test("LAMB over tensors of many chunks; a tensor of zeros moves by the rate alone", () => {
    const [w, zero] = [randn([40_000], { requiresGrad: true }), tensor([0, 0], { requiresGrad: true })];
    const before = w.dataSync();
    const optimizer = new optim.LAMB([w, zero], { lr: 0.1, weightDecay: 0 });
    w.sum().add(zero.sum()).backward();
    optimizer.step();
    const norm = Math.sqrt(before.reduce((s, v) => s + v * v, 0));
    // u is 1 everywhere
    const moved = (0.1 * norm) / Math.sqrt(40_000);
    w.dataSync().forEach((v, i) => {
      if (i % 997 === 0) expect(v).toBeCloseTo(before[i]! - moved, 5);
    });
    expect(zero.dataSync()[0]).toBeCloseTo(-0.1, 5);
  });

  test("Muon: singular values come near 1, wide and tall; both adjustments of the rate", () => {
    for (const [rows, cols] of [
      [4, 9],
      [9, 4],
    ] as const) {
      for (const [adjustLr, scale] of [
        ["original", Math.sqrt(Math.max(1, rows / cols))],
        ["matchRmsAdamw", 0.2 * 3],
      ] as const) {
        const w = randn([rows, cols], { requiresGrad: true });
        const before = w.detach().clone();
        const optimizer = new optim.Muon([w], { lr: 1, weightDecay: 0, adjustLr });
        w.mul(randn([rows, cols]))
          .sum()
          .backward();
        optimizer.step();
        const u = before.sub(w.detach()).div(scale);
        const gram = rows < cols ? u.matmul(u, { transB: true }) : u.matmul(u, { transA: true });
        // The iteration takes singular values between about 0.7 and 1.2 (squares 0.45 to 1.5).
        const diagonal = [0, 1, 2, 3].map((i) => gram.slice(i, i).itemSync());
        for (const d of diagonal) expect(d).toBeGreaterThan(0.4);
        for (const d of diagonal) expect(d).toBeLessThan(1.6);
      }
    }
  });

  test("Muon: groups, and wrong options", () => {
    const net = new nn.Linear(3, 2);
    const optimizer = new optim.Muon(net.parameters(), { lr: 0.1, adamLr: 0.01 });
    expect(optimizer.paramGroups.map((g) => [g.matrices, g.lr, g.params.length])).toEqual([
      [true, 0.1, 1],
      [false, 0.01, 1],
    ]);
    optimizer.addParamGroup({
      params: [ones([2, 2], { requiresGrad: true }), ones([2], { requiresGrad: true })],
      lr: 0.3,
    });
    expect(optimizer.paramGroups.slice(2).map((g) => [g.matrices, g.lr])).toEqual([
      [true, 0.3],
      [false, 0.3],
    ]);
    const w = () => [ones([2, 2], { requiresGrad: true })];
    expect(() => new optim.Muon(w(), { nsSteps: 0 })).toThrow(
      "Muon: expected nsSteps to be a whole number from 1 up, got 0",
    );
    expect(() => new optim.Muon(w(), { adjustLr: "none" as never })).toThrow('got "none"');
    expect(() => new optim.Muon(w(), { momentum: 1 })).toThrow(
      "Muon: expected momentum to be a number from 0 to below 1",
    );
    expect(() => new optim.Muon([])).toThrow("Muon: expected parameters, got none");
  });

  test("options outside their range name the optimizer", () => {
    const w = () => [ones([2], { requiresGrad: true })];
    expect(() => new optim.RMSprop(w(), { alpha: 1 })).toThrow(
      "RMSprop: expected alpha to be a number from 0 to below 1",
    );
    expect(() => new optim.Adagrad(w(), { lrDecay: -1 })).toThrow("Adagrad: expected lrDecay");
    expect(() => new optim.Adadelta(w(), { rho: 2 })).toThrow("Adadelta: expected rho");
    expect(() => new optim.Lion(w(), { betas: [1, 0] })).toThrow("Lion: expected betas[0]");
    expect(() => new optim.NAdam(w(), { momentumDecay: -1 })).toThrow("NAdam: expected momentumDecay");
    expect(() => new optim.ASGD(w(), { t0: -1 })).toThrow("ASGD: expected t0");
    expect(() => new optim.LAMB(w(), { eps: -1 })).toThrow("LAMB: expected eps");
  });
});
