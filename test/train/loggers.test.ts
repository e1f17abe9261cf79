import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { manualSeed, train } from "napier";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { readEvents } from "./eventFile.js";
import { setup } from "./setup.js";

const out = mkdtempSync(join(tmpdir(), "napier-loggers-"));
afterAll(() => rmSync(out, { recursive: true }));
beforeEach(() => void manualSeed(3));

/** Numbers under a name that comes with the second epoch, and one with a comma. */
const late: train.Callback = {
  name: "late",
  measure: (when, run): train.Scores => (when === "step" ? { "a,b": run.step } : run.epoch > 1 ? { tail: 7 } : {}),
};
const timeless = (rows: string[][]): string[][] => {
  const times = ["seconds", "samplesPerSecond"].map((name) => rows[0]!.indexOf(name));
  return rows.map((row) => row.filter((_, i) => !times.includes(i)));
};
const rowsOf = (file: string): string[][] => {
  const text = readFileSync(file, "utf8");
  expect(text.endsWith("\n")).toBe(true);
  return text
    .trimEnd()
    .split("\n")
    .map((line) => line.replace('"a,b"', "a;b").split(","));
};

describe("csvLogger", () => {
  test("a row an event, a column a name; names that come later are columns at the end", async () => {
    const file = join(out, "plain/log.csv");
    const { trainer, loader, validation } = setup();
    const events: train.TrainEvent[] = [];
    const run = trainer.fit(loader, { epochs: 2, validation, logEvery: 3, callbacks: [train.csvLogger(file), late] });
    for await (const event of run) events.push(event);
    const [head, ...rows] = rowsOf(file) as [string[], ...string[][]];
    expect(head.slice(0, 6)).toEqual(["event", "step", "epoch", "loss", "accuracy", "learningRate"]);
    expect(head.slice(-3)).toEqual(["seconds", "best", "tail"]);
    const cell = (row: string[], name: string) => row[head.indexOf(name)];
    const told = events.filter((e) => e.type !== "end" && e.type !== "checkpoint") as train.ValidationEvent[];
    expect(rows.map((row) => cell(row, "event"))).toEqual(told.map((e) => e.type));
    expect(rows.map((row) => Number(cell(row, "loss")))).toEqual(told.map((e) => e.scores.loss));
    expect(rows.map((row) => row.length)).toEqual(rows.map(() => head.length));
    expect(rows.map((row) => cell(row, "a;b"))).toEqual(["3", "6", "", "", "9", "12", "", ""]);
    expect(rows.map((row) => cell(row, "tail"))).toEqual(["", "", "", "", "", "", "7", ""]);
    expect(cell(rows[0]!, "gradientNorm")).toBe("");
    // A new run replaces the file.
    await setup().trainer.fit(loader, { steps: 1, callbacks: [train.csvLogger(file)] });
    expect(readFileSync(file, "utf8")).toBe("");
  });

  test("a run that was killed and resumed leaves the rows of an uninterrupted one", async () => {
    const run = async (name: string, kill: boolean) => {
      manualSeed(3);
      const folder = join(out, name);
      const file = join(folder, "log.csv");
      const fit = async (steps: number, resume: boolean) => {
        const { trainer, loader, validation } = setup({ out: folder });
        const callbacks = [train.csvLogger(file), late];
        await trainer.fit(loader, {
          steps,
          validation,
          logEvery: 2,
          validateEvery: 6,
          callbacks,
          resume,
          checkpoint: 5,
        });
      };
      if (kill) {
        await fit(5, false);
        // Rows after the checkpoint, columns that it did not know, and a torn one.
        const lines = readFileSync(file, "utf8").trimEnd().split("\n");
        writeFileSync(file, lines.map((line, i) => `${line},${i === 0 ? "new" : i}\n`).join(""));
        appendFileSync(file, `step,6,1,0.3,,,,,,9\nstep,7,1,0.2`);
        manualSeed(3);
      }
      await fit(14, kill);
      return timeless(rowsOf(file));
    };
    // The shorter run validates at its end, at step 5: that row is of the run.
    const [whole, resumed] = [await run("whole", false), await run("resumed", true)];
    expect(resumed.filter(([event, step]) => event !== "validation" || step !== "5")).toEqual(whole);
  });

  test("rows that are gone are an error", async () => {
    const folder = join(out, "gone");
    const file = join(folder, "log.csv");
    const first = setup({ out: folder });
    await first.trainer.fit(first.loader, { epochs: 1, logEvery: 2, callbacks: [train.csvLogger(file)] });
    writeFileSync(file, readFileSync(file, "utf8").split("\n").slice(0, 2).join("\n"));
    const second = setup({ out: folder });
    await expect(
      second.trainer.fit(second.loader, { epochs: 2, resume: true, callbacks: [train.csvLogger(file)] }),
    ).rejects.toThrow(
      /the callback csvLogger\(.*\) failed in onFitStart: .*log.csv has 0 rows, expected the 4 that the checkpoint/,
    );
  });
});

describe("tensorBoard", () => {
  const files = (folder: string) =>
    readdirSync(folder)
      .filter((f) => f.includes("tfevents"))
      .sort();

  test("writes scores, what is measured, and histograms", async () => {
    const folder = join(out, "board");
    const { trainer, loader, validation } = setup({ clipNorm: 1 });
    const board = train.tensorBoard(folder, { histograms: true, hparams: { lr: 0.05, model: "net" } });
    const result = await trainer.fit(loader, { epochs: 2, validation, logEvery: 3, callbacks: [board, late] });
    const events = readEvents(join(folder, files(folder)[0]!));
    const curve = (tag: string) => events.filter((e) => e.tag === tag).map((e) => [e.step, e.scalar]);
    const losses = result.history
      .filter((e) => e.type === "validation")
      .map((e) => [e.step, Math.fround(e.scores.loss!)]);
    expect(curve("loss/validation")).toEqual(losses);
    expect(curve("loss/epoch").map(([step]) => step)).toEqual([6, 12]);
    expect(curve("accuracy/train").map(([step]) => step)).toEqual([3, 6, 9, 12]);
    expect(curve("learningRate")[0]).toEqual([3, Math.fround(0.05)]);
    expect(curve("gradientNorm")).toHaveLength(4);
    expect(curve("a,b")).toEqual([3, 6, 9, 12].map((step) => [step, step]));
    expect(curve("tail")).toEqual([[12, 7]]);
    expect(events.find((e) => e.tag === "0.weight" && e.step === 12)!.histogram!.count).toBe(32);
    expect(events.filter((e) => e.plugin === "hparams")).toHaveLength(2);
  });

  test("a resumed run goes on in a file of its own, and nothing stands twice", async () => {
    const folder = join(out, "board-resumed");
    const fit = async (steps: number, resume: boolean) => {
      const { trainer, loader } = setup({ out: folder });
      await trainer.fit(loader, { steps, logEvery: 2, resume, checkpoint: 4, callbacks: [train.tensorBoard(folder)] });
    };
    await fit(4, false);
    const [first] = files(folder);
    appendFileSync(join(folder, first!), Buffer.from([1, 2, 3])); // a record that a kill tore
    await fit(9, true);
    const all = files(folder).map((f) => readEvents(join(folder, f)));
    expect(all[1]!.slice(0, 2)).toEqual([
      { step: 0, version: "brain.Event:2" },
      { step: 5, start: true },
    ]);
    const losses = all
      .flat()
      .filter((e) => e.tag === "loss/train")
      .map((e) => e.step);
    expect(losses).toEqual([2, 4, 6, 8]);
  });
});
