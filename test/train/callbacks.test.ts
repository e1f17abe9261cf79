import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { manualSeed, type Tensor, type train, zeros } from "napier";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { setup } from "./setup.js";

const out = mkdtempSync(join(tmpdir(), "napier-callbacks-"));
afterAll(() => rmSync(out, { recursive: true }));
beforeEach(() => void manualSeed(3));

/** Notes every hook it is called at. */
function recorder(): train.Callback & { calls: string[] } {
  const calls: string[] = [];
  const note =
    (name: string) =>
    (...args: unknown[]) => {
      calls.push(`${name} ${(args.at(-1) as train.RunContext).step}`);
    };
  return {
    name: "recorder",
    calls,
    onFitStart: note("fitStart"),
    onEpochStart: (run) => void calls.push(`epochStart ${run.epoch}`),
    onGradients: note("gradients"),
    onStepEnd: note("stepEnd"),
    onEvent: (event) => void calls.push(event.type),
    onEpochEnd: note("epochEnd"),
    onValidation: note("validated"),
    onCheckpoint: note("saved"),
    onFitEnd: note("fitEnd"),
    onException: (error) => void calls.push(`exception ${(error as Error).message}`),
  };
}

describe("hooks", () => {
  test("are called in order, each at its place", async () => {
    const { trainer, loader, validation } = setup({ n: 32, out: join(out, "order") });
    const watching = recorder();
    await trainer.fit(loader, { epochs: 2, validation, callbacks: [watching], logEvery: 2 });
    const epoch = (n: number) => {
      const [a, b] = [2 * n - 1, 2 * n];
      const steps = [`epochStart ${n}`, `gradients ${a - 1}`, `stepEnd ${a}`, `gradients ${b - 1}`, `stepEnd ${b}`];
      const best = watching.calls.filter((c) => c === "checkpoint").length === 4 || n === 1;
      const saved = ["checkpoint", `saved ${b}`];
      return [
        ...steps,
        "step",
        "epoch",
        `epochEnd ${b}`,
        "validation",
        `validated ${b}`,
        ...(best ? saved : []),
        ...saved,
      ];
    };
    expect(watching.calls).toEqual(["fitStart 0", ...epoch(1), ...epoch(2), "end", "fitEnd 4"]);
  });

  test("may wait, and may stop the run", async () => {
    const { trainer, loader } = setup();
    let waited = 0;
    const slow: train.Callback = {
      name: "slow",
      async onStepEnd(run) {
        await new Promise((resolve) => setTimeout(resolve, 2));
        waited++;
        if (run.step === 3) run.stop();
      },
    };
    expect(await trainer.fit(loader, { epochs: 5, callbacks: [slow] })).toMatchObject({ reason: "stopped", steps: 3 });
    expect(waited).toBe(3);
  });

  test("an error ends the run and names the callback and the hook; others hear of it", async () => {
    const { trainer, loader } = setup();
    const cause = new Error("disk full");
    for (const hook of [
      "onFitStart",
      "onEpochStart",
      "onGradients",
      "onStepEnd",
      "measure",
      "onEvent",
      "onFitEnd",
    ] as const) {
      const watching = recorder();
      const broken = {
        name: "ledger",
        [hook]: () => {
          throw cause;
        },
      } as train.Callback;
      const failed = (await trainer
        .fit(loader, { epochs: 1, callbacks: [watching, broken] })
        .catch((e: unknown) => e)) as Error;
      expect(failed.message).toBe(`fit: the callback ledger failed in ${hook}: disk full`);
      expect(failed.cause).toBe(cause);
      expect(watching.calls.at(-1)).toBe(`exception ${failed.message}`);
    }
    const late = { name: "late", measure: () => Promise.reject(cause) };
    await expect(trainer.fit(loader, { epochs: 1, callbacks: [late], logEvery: 1 })).rejects.toThrow(
      "the callback late failed in measure: disk full",
    );
    const waits = { name: "waits", onGradients: async () => {} } as train.Callback;
    await expect(trainer.fit(loader, { epochs: 1, callbacks: [waits] })).rejects.toThrow(
      "the callback waits failed in onGradients: expected it not to wait",
    );
    const named = () => Promise.reject(cause);
    await expect(trainer.fit(loader, { epochs: 1, callbacks: [named] })).rejects.toThrow("the callback named failed");
  });

  test("wrong callbacks are refused at once", () => {
    const { trainer, loader } = setup();
    const given =
      (...callbacks: unknown[]) =>
      () =>
        trainer.fit(loader, { epochs: 1, callbacks: callbacks as never });
    expect(given(3)).toThrow(
      "expected callbacks[0] to be a function of events, or an object with a name and hooks, got number",
    );
    expect(given(() => {}, {})).toThrow("expected callbacks[1]");
    expect(given({ name: "a" }, { name: "a" })).toThrow('two callbacks are named "a"');
  });
});

describe("measured numbers", () => {
  test("arrive with the event of their log point, and in metrics.jsonl", async () => {
    const folder = join(out, "measured");
    const { trainer, loader } = setup({ out: folder });
    let sum: Tensor | null = null;
    const measuring: train.Callback = {
      name: "measuring",
      onFitStart: () => void (sum = zeros([])),
      onStepEnd: () => void (sum = sum!.add(1)),
      async measure(when): Promise<train.Scores> {
        return when === "step" ? { steps: await sum!.item() } : { epochs: 1 };
      },
    };
    const seen: [number, unknown][] = [];
    for await (const e of trainer.fit(loader, { epochs: 2, callbacks: [measuring], logEvery: 4 })) {
      if (e.type === "step") seen.push([e.step, e.measured]);
      if (e.type === "epoch") expect(e.measured).toEqual({ epochs: 1 });
    }
    expect(seen).toEqual([4, 8, 12].map((step) => [step, { steps: step }]));
    const lines = readFileSync(join(folder, "metrics.jsonl"), "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(lines.filter((e) => e.type === "step").map((e) => e.measured)).toEqual(seen.map(([, m]) => m));
  });
});

describe("state", () => {
  test("is kept in checkpoints and handed back before the run goes on", async () => {
    const counting = () => {
      let [steps, tensorSum] = [0, zeros([2])];
      const order: string[] = [];
      const callback: train.Callback = {
        name: "counting",
        onFitStart: (run) => void order.push(`start ${run.resumed} ${steps}`),
        onStepEnd: () => {
          steps++;
          tensorSum = tensorSum.add(1);
        },
        stateDict: async () => ({ steps, tensorSum }),
        loadStateDict: (state) => {
          ({ steps, tensorSum } = state as { steps: number; tensorSum: Tensor });
          order.push("load");
        },
      };
      return { callback, order, now: async () => [steps, ...(await tensorSum.data())] };
    };
    const folder = join(out, "state");
    const first = setup({ out: folder });
    const a = counting();
    await first.trainer.fit(first.loader, { steps: 4, callbacks: [a.callback] });
    const second = setup({ out: folder });
    const b = counting();
    await second.trainer.fit(second.loader, { steps: 9, resume: true, callbacks: [b.callback] });
    expect(b.order).toEqual(["load", "start true 4"]);
    expect(await b.now()).toEqual([9, 9, 9]);
    // One that the checkpoint does not know starts afresh.
    const third = setup({ out: folder });
    const c = counting();
    await third.trainer.fit(third.loader, { steps: 11, resume: true, callbacks: [{ ...c.callback, name: "other" }] });
    expect(await c.now()).toEqual([2, 2, 2]);
  });
});
