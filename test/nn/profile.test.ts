/**
 * profile(): what it counts against what is known, the names of modules, and the Chrome trace read back.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import {
  matmul,
  memory,
  nn,
  ones,
  optim,
  Profiler,
  type ProfileSums,
  profile,
  randn,
  scope,
  type Tensor,
  tensor,
} from "napier";
import { afterAll, describe, expect, test } from "vitest";
import { addon, bindKernels, observers } from "#lib/native.js";

const folder = mkdtempSync(join(tmpdir(), "napier-profile-"));
afterAll(() => rmSync(folder, { recursive: true }));

class Block extends nn.Module {
  conv = new nn.Conv2d(2, 2, 3, { padding: 1 });
  norm = new nn.BatchNorm2d(2);
  forward(x: Tensor) {
    return this.norm.forward(this.conv.forward(x)).relu().add(x);
  }
}
class Net extends nn.Module {
  layers = new nn.Sequential(new Block(), new Block());
  head = new nn.Linear(2 * 4 * 4, 3);
  forward(x: Tensor) {
    return this.head.forward(this.layers.forward(x).flatten(1));
  }
}

function setup() {
  const model = new Net();
  const optimizer = new optim.AdamW(model.parameters(), { lr: 1e-3 });
  const x = randn([5, 2, 4, 4]);
  const y = tensor([0, 1, 2, 0, 1], { dtype: "int32" });
  const step = () => {
    optimizer.zeroGrad();
    const loss = nn.crossEntropy(model.forward(x), y);
    loss.backward();
    optimizer.step();
    return loss;
  };
  step();
  return { model, step };
}

/** The kernels that `fn` calls, counted on JavaScript's side. */
function countedCalls(fn: () => void): Record<string, number> {
  const counts: Record<string, number> = {};
  const observe = (op: string) => void (counts[op] = (counts[op] ?? 0) + 1);
  observers.push(observe);
  bindKernels();
  try {
    fn();
  } finally {
    observers.splice(observers.indexOf(observe), 1);
    bindKernels();
  }
  return counts;
}
const callsByOp = (rows: readonly (ProfileSums & { op: string })[]) =>
  Object.fromEntries(rows.map(({ op, calls }) => [op, calls]));

describe("what is counted", () => {
  test("every kernel of a step, once, by op and by module", async () => {
    const { step } = setup();
    const expected = countedCalls(step);
    const measured = await profile(step);
    expect(callsByOp(measured.ops)).toEqual(expected);
    const total = Object.values(expected).reduce((a, b) => a + b, 0);
    expect(measured.calls).toBe(total);
    expect(measured.modules.reduce((n, m) => n + m.calls, 0)).toBe(total);
    expect(measured.dropped).toBe(0);
    expect(await measured.result.item()).toBeGreaterThan(0);
  });

  test("bytes, FLOPs and allocations of a product are those of its sizes", async () => {
    const [a, b] = [ones([4, 8]), ones([8, 16])];
    const measured = await profile(() => matmul(a, b));
    expect(measured.ops).toMatchObject([
      { op: "gemm", calls: 1, bytes: 4 * (4 * 8 + 8 * 16 + 4 * 16), flops: 2 * 4 * 8 * 16 },
    ]);
    const { time, gflops, gigabytes } = measured.ops[0]!;
    expect(gflops).toBeCloseTo(1024 / (time * 1e6), 9);
    expect(gigabytes).toBeCloseTo(896 / (time * 1e6), 9);
    expect(measured.modules).toMatchObject([{ name: "", backward: false, allocated: 256, calls: 1, share: 1 }]);
  });

  test("memory: at the start, at the end, and the most", async () => {
    const before = memory().liveBytes;
    const MiB = 2 ** 20;
    const measured = await profile(() =>
      scope(() =>
        ones([(3 * MiB) / 4])
          .add(1)
          .sum(),
      ),
    );
    expect(measured.memory.atStart).toBe(before);
    expect(measured.memory.peak).toBeGreaterThanOrEqual(before + 6 * MiB);
    expect(measured.memory.peak).toBeLessThan(before + 7 * MiB);
    expect(measured.modules[0]!.allocated).toBeGreaterThanOrEqual(6 * MiB);
  });

  test("times add up, whether ops run in place or on the executor", async () => {
    const big = ones([256, 256]);
    const measured = await profile(async () => {
      for (let i = 0; i < 4; i++) await matmul(big, big).data();
      await new Promise((resolve) => setTimeout(resolve, 30));
      ones([2]).add(1); // the stream is idle, and they are small
    });
    const calls = [...measured.kernelCalls()];
    expect(calls.some((c) => c.inPlace)).toBe(true);
    expect(calls.some((c) => !c.inPlace)).toBe(true);
    for (const c of calls) {
      expect(c.start).toBeGreaterThanOrEqual(c.submitted);
      expect(c.end).toBeGreaterThanOrEqual(c.start);
    }
    for (let i = 1; i < calls.length; i++) expect(calls[i]!.start).toBeGreaterThanOrEqual(calls[i - 1]!.end);
    const { wallTime, busyTime, idleTime, javascriptTime } = measured;
    expect(busyTime).toBeCloseTo(
      measured.ops.reduce((t, op) => t + op.time, 0),
      6,
    );
    expect(busyTime + idleTime).toBeCloseTo(wallTime, 6);
    expect(idleTime).toBeGreaterThan(28);
    expect(javascriptTime).toBeLessThan(wallTime - 25); // it waited for the timer
  });

  test("beyond maxCalls, calls run and are counted as dropped", async () => {
    const measured = await profile(() => Array.from({ length: 10 }, () => ones([2])).at(-1)!, { maxCalls: 4 });
    expect(measured.calls).toBe(4);
    expect(measured.dropped).toBe(6);
    expect(measured.toString()).toContain("6 calls");
    expect([...(await measured.result.data())]).toEqual([1, 1]);
  });
});

describe("modules", () => {
  test("have their paths, forward and backward, nested ones with their own and the inner time", async () => {
    const { step } = setup();
    const measured = await profile(() => {
      step();
      step();
    });
    const row = (name: string, backward = false) =>
      measured.modules.find((m) => m.name === name && m.backward === backward)!;
    for (const name of ["layers.0.conv", "layers.0.norm", "layers.1.conv", "layers.1.norm", "head"]) {
      for (const backward of [false, true]) {
        expect(row(name, backward), `${name} ${backward}`).toMatchObject({ entered: 2 });
        expect(row(name, backward).calls, name).toBeGreaterThan(0);
      }
    }
    expect(row("Net")).toMatchObject({ type: "Net", entered: 2, calls: 0 });
    expect(row("layers.0")).toMatchObject({ type: "Block", calls: 4 }); // relu and add, twice
    expect(row("layers.0").total).toBeCloseTo(
      row("layers.0").time + row("layers.0.conv").time + row("layers.0.norm").time,
      9,
    );
    const inside = measured.modules.filter((m) => !m.backward && m.type !== "");
    expect(row("Net").total).toBeCloseTo(
      inside.reduce((t, m) => t + m.time, 0),
      9,
    );
    expect(row("AdamW.step")).toMatchObject({ type: "", entered: 2, calls: 2 });
    expect(row("layers.0.conv").flops).toBe(2 * 2 * 5 * 2 * 4 * 4 * 2 * 3 * 3);
  });

  test("a second root's paths begin with its class, and options.model decides which is the first", async () => {
    const [a, b] = [new Net(), new Net()];
    const x = randn([1, 2, 4, 4]);
    const names = async (model?: nn.Module) =>
      (
        await profile(
          () =>
            a
              .forward(x)
              .add(b.head.forward(randn([1, 32])))
              .add(b.forward(x)),
          { model },
        )
      ).modules.map((m) => m.name);
    const plain = await names();
    expect(plain).toEqual(expect.arrayContaining(["Net", "head", "Linear", "Net#2", "Net#2.layers.0.conv"]));
    const given = await names(b);
    expect(given).toEqual(expect.arrayContaining(["Net", "head", "Net#2", "Net#2.head", "layers.0.conv"]));
  });

  test("with hooks made before, a forward that calls super's, and a module held by no property", async () => {
    class Twice extends nn.Linear {
      override forward(x: Tensor) {
        return super.forward(x).mul(2);
      }
    }
    class Hidden extends nn.Module {
      readonly #inner = new Twice(2, 2);
      open = new nn.Linear(2, 2);
      forward(x: Tensor) {
        return this.open.forward(this.#inner.forward(x));
      }
    }
    const model = new Hidden();
    let seen = 0;
    model.open.registerForwardHook(() => void seen++);
    const measured = await profile(() => model.forward(ones([1, 2])));
    expect(seen).toBe(1);
    const rows = Object.fromEntries(measured.modules.map((m) => [m.name, m.entered]));
    expect(rows).toMatchObject({ Hidden: 1, "(Twice)": 1, open: 1 });
    expect(Object.hasOwn(nn.Linear.prototype, "forward")).toBe(true);
    expect(nn.Linear.prototype.forward.toString()).not.toContain("enterScope"); // as it was written
  });

  test("nn.checkpoint's second forward is part of backward", async () => {
    const model = new Net();
    const x = randn([1, 2, 4, 4]).requiresGrad_();
    const measured = await profile(() =>
      nn
        .checkpoint((t: Tensor) => model.forward(t), x)
        .sum()
        .backward(),
    );
    const conv = measured.modules.filter((m) => m.name === "layers.0.conv");
    expect(conv.map((m) => m.backward).sort()).toEqual([false, true]);
    const [forward, backward] = [conv.find((m) => !m.backward)!, conv.find((m) => m.backward)!];
    expect(backward.flops).toBe(3 * forward.flops); // again, and both gradients
  });
});

describe("the Chrome trace", () => {
  interface Event {
    name: string;
    ph: string;
    cat?: string;
    tid: number;
    ts: number;
    dur: number;
    args?: Record<string, number>;
  }

  test("is JSON; spans of a track nest, ops and memory are all there", async () => {
    const { step } = setup();
    const measured = await profile(async () => {
      await step().item();
      await nn
        .checkpoint((t: Tensor) => new Net().forward(t), randn([1, 2, 4, 4]).requiresGrad_())
        .sum()
        .item();
    });
    const file = join(folder, "trace.json");
    await measured.saveChromeTrace(file);
    const { traceEvents } = JSON.parse(readFileSync(file, "utf8")) as { traceEvents: Event[] };
    const spans = traceEvents.filter((e) => e.ph === "X");
    expect(spans.filter((e) => e.cat === "op")).toHaveLength(measured.calls);
    expect(traceEvents.filter((e) => e.ph === "C")).toHaveLength(2 * measured.calls);
    expect(spans.some((e) => e.name === "layers.0.conv: Conv2d" && e.cat === "forward")).toBe(true);
    expect(spans.some((e) => e.name === "layers.0.conv: Conv2d" && e.cat === "backward")).toBe(true);
    for (const tid of [1, 2]) {
      const open: Event[] = [];
      // Of those that begin together the longer is outside.
      const track = spans.filter((e) => e.tid === tid).sort((a, b) => a.ts - b.ts || b.dur - a.dur);
      for (const span of track) {
        while (open.length > 0 && open.at(-1)!.ts + open.at(-1)!.dur <= span.ts + 1e-6) open.pop();
        const outer = open.at(-1);
        if (outer)
          expect(span.ts + span.dur, `${span.name} in ${outer.name}`).toBeLessThanOrEqual(outer.ts + outer.dur + 1e-3);
        open.push(span);
      }
    }
  });

  test("an op that ran in place lies in the span of its module", async () => {
    const model = new nn.Sequential(new nn.Linear(2, 2));
    const file = join(folder, "small.json");
    await (await profile(() => model.forward(ones([1, 2])))).saveChromeTrace(file);
    const { traceEvents } = JSON.parse(readFileSync(file, "utf8")) as { traceEvents: Event[] };
    const linear = traceEvents.find((e) => e.name === "0: Linear")!;
    const gemm = traceEvents.find((e) => e.name === "gemm")!;
    if (gemm.tid === linear.tid) {
      expect(gemm.ts).toBeGreaterThanOrEqual(linear.ts);
      expect(gemm.ts + gemm.dur).toBeLessThanOrEqual(linear.ts + linear.dur + 1e-3);
    }
  });
});

describe("use", () => {
  test("the table has a row an op and a module, with units", async () => {
    const { step } = setup();
    const text = (await profile(step)).toString();
    expect(text).toMatch(/^-+ {2}-+/);
    expect(text).toMatch(/Op +Time +Share +Mean +Calls +Bytes +GFLOP\/s +GB\/s/);
    expect(text).toMatch(/layers\.0\.conv: Conv2d +backward +1 +[\d.]+ (us|ns|ms)/);
    expect(text).toMatch(/Wall time [\d.]+ [mu]?s: \d+ kernel calls/);
    const short = (await profile(step)).toString({ rows: 2, sortBy: "calls" });
    expect(short).toMatch(/\.\.\. and \d+ more/);
  });

  test("errors: the function's own, wrong options, a profile inside a profile", async () => {
    await expect(profile(() => Promise.reject(new Error("mine")))).rejects.toThrow("mine");
    await expect(profile(() => 1, { maxCalls: 0 })).rejects.toThrow("expected maxCalls from 1");
    await expect(profile(() => profile(() => 1))).rejects.toThrow("profiled already");
    const profiler = new Profiler();
    ones([2]);
    expect((await profiler.stop()).calls).toBe(1);
    await expect(profiler.stop()).rejects.toThrow("has ended");
    expect((await profile(() => ones([2]))).calls).toBe(1);
  });

  test("eight workers at once count their own calls", async () => {
    const results = await Promise.all(
      Array.from(
        { length: 8 },
        (_, i) =>
          new Promise<{ width: number; flops: number; ops: object; dropped: number; entered: number }>(
            (resolve, reject) =>
              new Worker(new URL("../native/profiled.mjs", import.meta.url), { workerData: i })
                .once("message", resolve)
                .once("error", reject),
          ),
      ),
    );
    for (const { width, flops, ops, dropped, entered } of results) {
      expect(ops).toEqual(results[0]!.ops);
      expect(flops).toBe(3 * 2 * 32 * 8 * width);
      expect({ dropped, entered }).toEqual({ dropped: 0, entered: 3 });
    }
  });

  test("the addon refuses what makes no sense", () => {
    expect(() => addon.watch(8)).toThrow("modes from 0 to 7");
    expect(() => addon.watch(1, 1e9)).toThrow("expected room");
    expect(() => addon.enter(2 ** 20)).toThrow("tag of a scope with a name");
    expect(() => addon.guard([7], [], "text")).toThrow("live tensor");
  });
});
