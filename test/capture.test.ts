/**
 * capture(): the bits of the uncaptured step, planned memory, numbers that change, and the errors of what cannot be replayed.
 */
import {
  add,
  type CapturedStep,
  capture,
  cat,
  crossEntropy,
  embedding,
  manualSeed,
  matmul,
  memory,
  nn,
  noGrad,
  ones,
  optim,
  profile,
  randn,
  scope,
  type Tensor,
  tensor,
  zeros,
} from "napier";
import { describe, expect, onTestFinished, test } from "vitest";
import { addon, k } from "#lib/native.js";
import { empty } from "#lib/tensor.js";

const bits = (t: Tensor) => Array.from(new Uint32Array(t.dataSync().buffer));

/** A small network with everything that a step may hold: convolution, batch norm, dropout, branches. */
class Net extends nn.Module {
  conv = new nn.Conv2d(1, 4, 3, { padding: 1 });
  norm = new nn.BatchNorm2d(4);
  drop = new nn.Dropout(0.3);
  head = new nn.Linear(4 * 8 * 8, 3);
  forward(x: Tensor): Tensor {
    const h = this.norm.forward(this.conv.forward(x)).relu();
    return this.head.forward(this.drop.forward(h.add(h.mul(0.5)).flatten(1)));
  }
}

type Optimizers = {
  [name: string]: (params: Tensor[]) => optim.Optimizer;
};
const OPTIMIZERS: Optimizers = {
  SGD: (p) => new optim.SGD(p, { lr: 0.05, momentum: 0.9, weightDecay: 1e-3, nesterov: true }),
  Adam: (p) => new optim.Adam(p, { lr: 1e-2, amsgrad: true }),
  AdamW: (p) => new optim.AdamW(p, { lr: 1e-2 }),
  "RMSprop, centered, without momentum": (p) => new optim.RMSprop(p, { lr: 1e-3, centered: true }),
  RMSprop: (p) => new optim.RMSprop(p, { lr: 1e-3, momentum: 0.5, centered: true }),
  Adagrad: (p) => new optim.Adagrad(p, { lr: 1e-2, lrDecay: 1e-3 }),
  Adadelta: (p) => new optim.Adadelta(p),
  Adamax: (p) => new optim.Adamax(p),
  NAdam: (p) => new optim.NAdam(p),
  RAdam: (p) => new optim.RAdam(p),
  Lion: (p) => new optim.Lion(p),
  LAMB: (p) => new optim.LAMB(p),
  ASGD: (p) => new optim.ASGD(p),
  Muon: (p) => new optim.Muon(p.filter((x) => x.ndim === 2)),
};

function batches(count: number, size = 6): [Tensor, Tensor][] {
  const generator = new (class {
    state = 1;
    next = () => {
      this.state = (this.state * 48271) % 2147483647;
      return this.state / 2147483647;
    };
  })();
  return Array.from({ length: count }, () => [
    tensor(
      Float32Array.from({ length: size * 64 }, () => generator.next() - 0.5),
      [size, 1, 8, 8],
    ),
    tensor(
      Int32Array.from({ length: size }, () => Math.floor(generator.next() * 3)),
      [size],
      { dtype: "int32" },
    ),
  ]);
}

interface Run {
  losses: number[][];
  state: Record<string, number[]>;
  grads: number[][];
}

async function train(name: string, captured: boolean, steps = 6): Promise<Run> {
  manualSeed(5);
  const net = new Net();
  const optimizer = OPTIMIZERS[name]!(net.parameters());
  const schedule = new optim.StepLR(optimizer, { stepSize: 2, gamma: 0.5 });
  const plain = (x: Tensor, y: Tensor) => {
    net.zeroGrad();
    const loss = crossEntropy(net.forward(x), y);
    loss.backward();
    optim.clipGradNorm(net.parameters(), 0.5);
    optimizer.step();
    return loss;
  };
  const step = captured ? capture(plain, { warmup: 0 }) : async (x: Tensor, y: Tensor) => plain(x, y);
  const losses: number[][] = [];
  for (const [x, y] of batches(steps)) {
    losses.push(bits(await step(x, y)));
    schedule.step();
  }
  if (captured) expect((step as CapturedStep<[], Tensor>).variants).toBe(1);
  return {
    losses,
    state: Object.fromEntries(
      Object.entries(net.stateDict())
        .filter(([, t]) => t.dtype === "float32")
        .map(([key, t]) => [key, bits(t)]),
    ),
    grads: net.parameters().map((p) => bits(p.grad!)),
  };
}

describe("a captured step has the bits of the plain one", () => {
  for (const name of Object.keys(OPTIMIZERS)) {
    test(name, async () => {
      expect(await train(name, true)).toEqual(await train(name, false));
    });
  }

  test("when other work is done between the steps", async () => {
    const plain = await train("Adam", false);
    const noise = setInterval(() => scope(() => void randn([50, 50], { generator: undefined }).sum()), 0);
    clearInterval(noise);
    expect(await train("Adam", true)).toEqual(plain);
  });

  test("and leaves the default generator where the plain one does", async () => {
    const after = async (captured: boolean) => {
      manualSeed(3);
      const plain = (x: Tensor) => x.dropout(0.5).sum();
      const step = captured ? capture(plain, { warmup: 0 }) : plain;
      for (let i = 0; i < 3; i++) await step(ones([100]));
      return bits(randn([4]));
    };
    expect(await after(true)).toEqual(await after(false));
  });

  test("draws differ from step to step", async () => {
    const step = capture((x: Tensor) => x.dropout(0.5), { warmup: 0 });
    const [a, b] = [await step(ones([64])), await step(ones([64]))];
    expect(bits(a)).not.toEqual(bits(b));
  });

  test("stochastic depth leaves out others each step, the same as the plain one", async () => {
    const run = async (captured: boolean) => {
      manualSeed(17);
      const [layer, drop] = [new nn.Linear(8, 8), new nn.DropPath(0.5)];
      const plain = (x: Tensor) => {
        layer.zeroGrad();
        const y = x.add(drop.forward(layer.forward(x)));
        y.square().sum().backward();
        return { y, grad: layer.weight.grad! };
      };
      const step = captured ? capture(plain, { warmup: 0 }) : plain;
      const out = [];
      for (let i = 0; i < 4; i++) {
        const { y, grad } = await step(ones([32, 8]));
        out.push({ y: bits(y), grad: bits(grad) });
      }
      return out;
    };
    const captured = await run(true);
    expect(captured).toEqual(await run(false));
    expect(new Set(captured.map(({ y }) => y.join())).size).toBe(4);
  });

  test("activation checkpoints draw the same numbers again", async () => {
    const run = async (captured: boolean) => {
      manualSeed(11);
      const layer = new nn.Linear(16, 16);
      const drop = new nn.Dropout(0.5);
      const plain = (x: Tensor) => {
        for (const p of layer.parameters()) p.grad = null;
        const y = nn
          .checkpoint((t: Tensor) => drop.forward(layer.forward(t)), x)
          .square()
          .sum();
        y.backward();
        return { y, grad: layer.weight.grad!.clone() };
      };
      const step = captured ? capture(plain, { warmup: 0 }) : plain;
      const out = [];
      for (let i = 0; i < 3; i++) {
        const { y, grad } = await step(ones([4, 16]));
        out.push(bits(y), bits(grad));
      }
      return out;
    };
    expect(await run(true)).toEqual(await run(false));
  });
});

describe("values", () => {
  test("arguments and results may be nested; results are new tensors", async () => {
    const step = capture(({ a, list }: { a: Tensor; list: Tensor[] }, times: number) => ({
      sum: add(a, list[0]!).mul(times),
      both: [a, list[0]!],
    }));
    const results = [];
    for (let i = 0; i < 3; i++) results.push(await step({ a: tensor([i]), list: [tensor([10])] }, 2));
    expect(results.map((r) => [r.sum.itemSync(), r.both[0]!.itemSync()])).toEqual([
      [20, 0],
      [22, 1],
      [24, 2],
    ]);
    expect(results.every((r) => r.sum.node === null)).toBe(true);
  });

  test("each combination of shapes, dtypes and values has a recording; the oldest goes", async () => {
    const seen: string[] = [];
    const step = capture(
      (x: Tensor, by: number) => {
        seen.push(`${x.shape} ${by}`);
        return x.mul(by).sum();
      },
      { warmup: 0, maxVariants: 2 },
    );
    const value = async (n: number, by: number) => (await step(ones([n]), by)).itemSync();
    expect([await value(3, 1), await value(4, 1), await value(3, 1)]).toEqual([3, 4, 3]);
    expect([seen.length, step.variants]).toEqual([2, 2]);
    expect(await value(3, 2)).toBe(6); // [4] was used longest ago
    expect([await value(3, 1), seen.length]).toEqual([3, 3]);
    expect([await value(4, 1), seen.length]).toEqual([4, 4]);
  });

  test("gradients stand where the step that ran last put them", async () => {
    const w = tensor([1, 2], { requiresGrad: true });
    const step = capture(
      (x: Tensor) => {
        w.grad = null;
        w.mul(x.sum()).sum().backward();
      },
      { warmup: 0 },
    );
    await step(tensor([5]));
    expect(w.grad!.toArraySync()).toEqual([5, 5]);
    await step(tensor([1, 1]));
    expect(w.grad!.toArraySync()).toEqual([2, 2]);
    await step(tensor([7]));
    expect(w.grad!.toArraySync()).toEqual([7, 7]);
  });

  test("what the function keeps for later has the values of the last step", async () => {
    let kept: Tensor | null = null;
    const step = capture(
      (x: Tensor) => {
        kept = x.mul(2);
        return kept.add(1);
      },
      { warmup: 0 },
    );
    await step(tensor([1]));
    await step(tensor([4]));
    expect((kept as unknown as Tensor).itemSync()).toBe(8);
  });

  test("host data made inside is a constant of the recording", async () => {
    const step = capture((x: Tensor) => x.mul(tensor([1, 2, 3])), { warmup: 0 });
    for (let i = 0; i < 3; i++) expect((await step(ones([3]))).toArraySync()).toEqual([1, 2, 3]);
  });

  test("a bad label fails that step alone, and leaves the weights", async () => {
    const layer = new nn.Linear(4, 3);
    const optimizer = new optim.SGD(layer.parameters(), { lr: 0.1 });
    const step = capture(
      (x: Tensor, y: Tensor) => {
        optimizer.zeroGrad();
        const loss = crossEntropy(layer.forward(x), y);
        loss.backward();
        optimizer.step();
        return loss;
      },
      { warmup: 0 },
    );
    const x = randn([2, 4]);
    await step(x, tensor([0, 1], { dtype: "int32" }));
    const before = bits(layer.weight);
    const bad = await step(x, tensor([0, 7], { dtype: "int32" }));
    await expect(bad.item()).rejects.toThrow(/crossEntropy.*between 0 and 2, got 7/s);
    expect(bits(layer.weight)).toEqual(before);
    const good = await step(x, tensor([2, 1], { dtype: "int32" }));
    expect(await good.item()).toBeGreaterThan(0);
    expect(bits(layer.weight)).not.toEqual(before);
  });
});

describe("memory", () => {
  const deep = (warmup: number) =>
    capture(
      (x: Tensor) => {
        let h = x;
        for (let i = 0; i < 20; i++) h = h.mul(1.01).add(0.1);
        return h.sum();
      },
      { warmup },
    );

  test("what lives within the step shares memory", async () => {
    const step = deep(0);
    const x = ones([1000]);
    expect(await (await step(x)).item()).toBeGreaterThan(1000);
    const { calls, plannedBytes, unplannedBytes } = step.memory!;
    expect(calls).toBe(step.ops.length);
    expect(unplannedBytes).toBeGreaterThan(39 * 4000);
    expect(plannedBytes).toBeLessThanOrEqual(3 * 4096);
  });

  test("an elementwise result takes the memory of an operand that nobody reads again", async () => {
    const chain = capture((x: Tensor) => x.mul(2).exp().add(x).relu().sum(), { warmup: 0 });
    const x = randn([1000]);
    const expected = x.mul(2).exp().add(x).relu().sum().itemSync();
    expect((await chain(x)).itemSync()).toBe(expected);
    expect(chain.memory!.plannedBytes).toBeLessThanOrEqual(4096);
  });

  test("but not of one that it walks in another order, or that is read again", async () => {
    const crossed = (x: Tensor) => {
      const y = empty(x.shape, x.dtype);
      k.add(y, x, x, 2, 24, 24, 24, 1, 1, 24); // an array and its transpose
      return y;
    };
    const fn = (x: Tensor) => {
      const [row, column] = [x.exp(), x.mul(3).transpose(0, 1)];
      const square = row.add(column);
      const scaled = square.mul(square.select(0, 1)).sub(row); // a row against all
      const turned = scaled.tanh();
      const y = empty([24, 24], "float32");
      k.sub(y, scaled, turned, 2, 24, 24, 24, 1, 1, 24); // the second by columns
      return [scaled.mul(scaled.transpose(0, 1)), y.neg(), crossed(scaled.exp()).neg()];
    };
    const step = capture(fn, { warmup: 0 });
    const x = randn([24, 24]);
    for (let i = 0; i < 2; i++) expect((await step(x)).map(bits)).toEqual(fn(x).map(bits));
  });

  test("nor of one that was made after the result", () => {
    addon.captureBegin();
    const [early, late, out] = [{}, {}, {}].map((object) => addon.alloc(object, 0, 4)) as [number, number, number];
    const ops = addon.ops as unknown as Record<string, (...args: number[]) => void>;
    ops.fill!(late, -3, 4);
    ops.abs!(early, late, 4);
    addon.free(late);
    ops.neg!(out, early, 4);
    addon.free(early);
    const id = addon.captureEnd(0);
    addon.captureReplay(id, new Float64Array(0));
    expect(Array.from(new Float32Array(addon.readSync(out) as ArrayBuffer))).toEqual([-3, -3, -3, -3]);
    addon.captureFree(id);
    addon.free(out);
  });

  test("plans of many lifetimes, by size and by time, do not overlap", async () => {
    // Random graphs: each op takes earlier values, of which some are read again much later.
    for (let seed = 1; seed <= 12; seed++) {
      let state = seed;
      const below = (n: number) => (state = (state * 48271) % 2147483647) % n;
      const plan = Array.from({ length: 80 }, () => [below(5), below(1000), below(1000), 1 + below(40)] as const);
      const fn = (x: Tensor) => {
        const values = [x.mul(1)];
        for (const [op, a, b, keep] of plan) {
          const [p, q] = [a, b].map((at) => values[values.length - 1 - (at % Math.min(keep, values.length))]!);
          if (op === 0) values.push(p!.add(q!.mean()));
          else if (op === 1) values.push(p!.tanh());
          else if (op === 2)
            values.push(
              cat([p!, q!])
                .slice([0, 64 + (a % 64)])
                .tanh(),
            );
          else if (op === 3) values.push(p!.mul(0.5).add(1));
          else values.push(p!.slice([0, 64]).maximum(q!.slice([0, 64])));
        }
        return values.at(-1)!.sum().add(values[3]!.sum());
      };
      const step = capture(fn, { warmup: 0 });
      const x = randn([64]);
      for (let i = 0; i < 2; i++) expect(bits(await step(x))).toEqual(bits(fn(x)));
      expect(step.memory!.plannedBytes).toBeLessThan(step.memory!.unplannedBytes);
    }
  });

  test("recordings of other shapes lie in the same block", async () => {
    const step = deep(0);
    await step(ones([10_000]));
    const before = memory().liveBytes;
    await step(ones([9_000]));
    expect(memory().liveBytes - before).toBeLessThan(2.5 * 4 * 9_000);
  });

  test("nothing grows over many steps, and free() gives all back", async () => {
    const step = deep(0);
    const x = ones([1000]);
    for (let i = 0; i < 5; i++) (await step(x)).free();
    const before = memory();
    for (let i = 0; i < 200; i++) (await step(x)).free();
    const after = memory();
    expect(after.liveBytes - before.liveBytes).toBeLessThan(100_000);
    expect((await step(x)).itemSync()).toBeGreaterThan(1000);
    step.free();
    expect(memory().liveBytes).toBeLessThan(after.liveBytes);
    expect((await step(x)).itemSync()).toBeGreaterThan(1000); // and records anew
  });
});

describe("elementwise calls run together", () => {
  const at = randn([8, 16, 160]); // 20,480 elements
  const [scale, shift] = [randn([8, 16, 1]), randn([160])];

  test("names tell which, and intermediates that are read again are there", async () => {
    const fn = (x: Tensor) => {
      const h = x.mul(scale).add(1.5);
      const y = h.silu();
      const total = y.sum(); // what comes between may stand behind
      return [y.mul(h).sub(x), total, h.sum()];
    };
    const step = capture(fn, { warmup: 0 });
    expect((await step(at)).map(bits)).toEqual(fn(at).map(bits));
    expect(step.ops.slice(0, 2)).toEqual(["fused(mul,addScalar,silu,mul,sub)", "sum"]);
    expect(step.memory!.calls).toBe(step.ops.length);
  });

  test("with the bits of single calls, on every ISA: comparisons, gradients, odd sizes, both dtypes, numbers that change", async () => {
    const isa = addon.isa();
    onTestFinished(() => void addon.isa(isa));
    for (const each of addon.isas())
      for (const dtype of ["float32", "float64"] as const) {
        addon.isa(each);
        const n = dtype === "float32" ? 40_001 : 16_385;
        const w = randn([n], { dtype, requiresGrad: true });
        const optimizer = new optim.SGD([w], { lr: 0.1 });
        let by = 0.5;
        const fn = (x: Tensor) => {
          optimizer.zeroGrad();
          const y = x.mul(w).tanh().add(x).leakyRelu(0.2).sub(w.sigmoid());
          const kept = y.greater(x).to(dtype).mul(y);
          kept.square().mean().backward();
          optimizer.step();
          return [kept, w.grad!];
        };
        const [first, x] = [w.detach().clone(), randn([n], { dtype })];
        const all = async (step: (x: Tensor) => Tensor[] | Promise<Tensor[]>) => {
          noGrad(() => w.copy_(first));
          const seen: unknown[] = [];
          for (let i = 0; i < 3; i++) {
            optimizer.paramGroups[0]!.lr = by / (i + 1);
            seen.push(
              (await step(x)).map((t) => Array.from(t.dataSync(dtype))),
              Array.from(w.dataSync(dtype)),
            );
          }
          return seen;
        };
        by = 0.25;
        const step = capture(fn, { warmup: 0 });
        expect(await all(step)).toEqual(await all(fn));
        expect(step.ops.filter((op) => op.startsWith("fused(")).length).toBeGreaterThanOrEqual(2);
      }
  });

  test("to the same bits with 1, 2 and 4 threads", async () => {
    const before = addon.threads();
    onTestFinished(() => {
      addon.synchronize();
      addon.threads(before);
    });
    const [x, scale, row] = [randn([48, 5_000]), randn([48, 1]), randn([5_000])];
    const fn = (x: Tensor) => {
      const h = x.mul(scale).add(row).silu();
      return [h.sub(x).tanh(), h.square()];
    };
    const want = fn(x).map(bits);
    for (const threads of [1, 2, 4]) {
      addon.synchronize();
      addon.threads(threads);
      const step = capture(fn, { warmup: 0 });
      expect((await step(x)).map(bits)).toEqual(want);
      expect(step.ops[0]).toMatch(/^fused\(mul,add,silu,/);
    }
  });

  test("never over a call that depends on one of them, nor in another order than their operands", async () => {
    const square = randn([160, 160]);
    const fn = (x: Tensor) => {
      const a = x.mul(2);
      const b = a.add(a.sum()); // needs all of a
      const turned = b.transpose(0, 1);
      const c = empty(x.shape, x.dtype);
      k.add(c, b, turned, 2, 160, 160, 160, 1, 1, 160); // the second by columns
      return [c.mul(b).add(shift), b.sub(turned).exp()];
    };
    const step = capture(fn, { warmup: 0 });
    expect((await step(square)).map(bits)).toEqual(fn(square).map(bits));
    expect(step.ops.indexOf("sum")).toBeGreaterThan(step.ops.indexOf("mulScalar"));
  });

  test("a failed input fails what depends on it, and nothing else of the chain", async () => {
    const table = randn([4, 20_000]);
    const fn = (ids: Tensor, x: Tensor) => {
      const bad = embedding(ids, table).reshape([20_000]);
      const good = x.mul(2).exp();
      return [bad.mul(x), good.add(x)];
    };
    const step = capture(fn, { warmup: 0 });
    const x = randn([20_000]);
    for (const id of [1, 9, 2]) {
      const [depends, good] = (await step(tensor([id], { dtype: "int32" }), x)) as [Tensor, Tensor];
      if (id === 9) await expect(depends.data()).rejects.toThrow(/embedding/);
      else expect(bits(depends)).toEqual(bits(fn(tensor([id], { dtype: "int32" }), x)[0]!));
      expect(bits(good)).toEqual(bits(x.mul(2).exp().add(x)));
    }
  });

  test("a profile sees each call on its own", async () => {
    const step = capture((x: Tensor) => x.mul(2).tanh().add(x), { warmup: 0 });
    const plain = bits(await step(at));
    expect(step.ops).toEqual(["fused(mulScalar,tanh,add)"]);
    const measured = await profile(async () => bits(await step(at)));
    expect(measured.result).toEqual(plain);
    expect(measured.ops.map(({ op }) => op)).toEqual(expect.arrayContaining(["mulScalar", "tanh", "add"]));
  });
});

describe("what is recorded anew", () => {
  test("after train() or eval()", async () => {
    const drop = new nn.Dropout(0.5);
    const step = capture((x: Tensor) => drop.forward(x).sum(), { warmup: 0 });
    await step(ones([100]));
    expect(step.ops).toContain("dropout");
    drop.eval();
    expect((await step(ones([100]))).itemSync()).toBe(100);
    drop.train();
    await step(ones([100]));
    expect(step.ops).toContain("dropout");
  });

  test("when an option changes that is no number of a kernel", async () => {
    const w = tensor([1, 2], { requiresGrad: true });
    const optimizer = new optim.SGD([w], { lr: 1 });
    const step = capture(
      (x: Tensor) => {
        optimizer.zeroGrad();
        w.mul(x).sum().backward();
        optimizer.step();
      },
      { warmup: 0 },
    );
    await step(ones([2]));
    optimizer.paramGroups[0]!.maximize = true;
    await step(ones([2]));
    expect(w.toArraySync()).toEqual([1, 2]);
    optimizer.paramGroups[0]!.lr = 2;
    await step(ones([2]));
    expect(w.toArraySync()).toEqual([3, 4]);
  });

  test("after to(dtype) moved the parameters", async () => {
    const layer = new nn.Linear(2, 2, { bias: false });
    const step = capture((x: Tensor) => layer.forward(x.to(layer.weight.dtype)).sum(), { warmup: 0 });
    const x = ones([1, 2]);
    const before = (await step(x)).itemSync();
    layer.to("float64");
    const after = await step(x);
    expect(after.dtype).toBe("float64");
    expect(after.itemSync()).toBeCloseTo(before, 5);
  });
});

describe("refusals", () => {
  const once = async (fn: (x: Tensor) => unknown) => {
    const step = capture(fn as (x: Tensor) => Tensor, { warmup: 0 });
    await step(ones([2]));
  };

  test("a value read in the middle names the line", async () => {
    await expect(once((x) => (x.sum().itemSync() > 0 ? x : x.neg()))).rejects.toThrow(
      /dataSync: a captured function cannot read a value.*capture\.test\.ts:\d+/s,
    );
    let reading: Promise<unknown> = Promise.resolve();
    const reads = capture(
      (x: Tensor) => {
        reading = x.data();
        reading.catch(() => {});
      },
      { warmup: 0 },
    );
    await reads(ones([1])); // the promise rejects, not the step
    await expect(reading).rejects.toThrow(/return the tensor and read it after the step/);
  });

  test("a promise", async () => {
    await expect(once(async (x) => x)).rejects.toThrow(/expected a synchronous function/);
  });

  test("a tensor that is replaced instead of changed", async () => {
    let total = zeros([2]);
    await expect(
      once((x) => {
        total = total.add(x);
        return total;
      }),
    ).rejects.toThrow(/read a tensor of 2 elements that the function then replaced/);
    const w = tensor([1, 1], { requiresGrad: true });
    const add = (x: Tensor) => void w.mul(x).sum().backward();
    await expect(once(add)).rejects.toThrow(/gradients of 1 tensors \(one \[2\]\) that it does not clear/);
    w.sum().backward();
    await expect(once(add)).rejects.toThrow(/zeroGrad\(\) inside/);
  });

  test("nesting, train() inside, odd arguments and options", async () => {
    const inner = capture((x: Tensor) => x.neg(), { warmup: 0 });
    await expect(
      once((x) => {
        inner(x).catch(() => {});
        return x;
      }),
    ).resolves.toBeUndefined();
    const drop = new nn.Dropout();
    await expect(
      once((x) => {
        drop.train(!drop.training);
        return x.neg();
      }),
    ).rejects.toThrow(/changed a module's mode/);
    const odd = capture((x: Tensor) => x, { warmup: 0 });
    await expect(odd(new Map() as never)).rejects.toThrow(/capture: expected arguments .* got Map/);
    // Also in the warm-up: a gradient that comes in the first call and in no other would surprise.
    await expect(capture((x: Tensor) => x.neg())(ones([2]).requiresGrad_())).rejects.toThrow(
      /capture: expected arguments that require no gradient, got Tensor\(\[2\], float32\)/,
    );
    expect(() => capture(3 as never)).toThrow(/expected a function, got number/);
    expect(() => capture((x: Tensor) => x, { warmup: -1 })).toThrow(/warmup/);
    expect(() => capture((x: Tensor) => x, { maxVariants: 0 })).toThrow(/maxVariants/);
  });

  test("arithmetic with a number that changes", async () => {
    class Odd extends optim.SGD {
      protected override update(...[o, ...rest]: Parameters<optim.SGD["update"]>): void {
        super.update({ ...o, lr: o.lr * 2 }, ...rest);
      }
    }
    const w = tensor([1, 1], { requiresGrad: true });
    const optimizer = new Odd([w], { lr: 0.1 });
    await expect(
      once((x) => {
        optimizer.zeroGrad();
        w.mul(x).sum().backward();
        optimizer.step();
      }),
    ).rejects.toThrow(/BigInt/);
  });

  test("after a failure the next step works, and what the failed one made says so", async () => {
    let leaked: Tensor | null = null;
    let fail = true;
    const step = capture(
      (x: Tensor) => {
        leaked = x.neg();
        if (fail) throw new Error("mine");
        return leaked.add(1);
      },
      { warmup: 0 },
    );
    await expect(step(ones([1]))).rejects.toThrow("mine");
    const orphan = leaked as unknown as Tensor;
    await expect(orphan.data()).rejects.toThrow(/made inside a captured function/);
    expect(() => orphan.add(1)).toThrow(/made inside a captured function/);
    fail = false;
    expect((await step(ones([1]))).itemSync()).toBe(0);
    expect(matmul(ones([2, 2]), ones([2, 2])).toArraySync()).toEqual([
      [2, 2],
      [2, 2],
    ]);
  });
});
