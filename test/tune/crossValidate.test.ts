/** @file Cross-validation: scores by hand, processes, files to go on from, a search that gives it up early. */
import { appendFileSync, mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { tune } from "napier";
import { describe, expect, test } from "vitest";

const temporary = () => join(mkdtempSync(join(tmpdir(), "napier-folds-")), "folds.jsonl");
const module = new URL("../programs/objective.mjs", import.meta.url);
const scores = [1, 2, 4, 9];
const byNumber: tune.FoldObjective = ({ number }) => scores[number]!;

describe("scores", () => {
  test("mean and standard deviation by hand, folds as kFold gives them, a seed each", async () => {
    const labels = Array.from({ length: 21 }, (_, i) => i % 2);
    const [folds, seeds]: [tune.Fold[], number[]] = [[], []];
    const told: tune.FoldScore[] = [];
    const found = await tune.crossValidate<string>(
      async ({ number, train, validation, parameters }, trial) => {
        expect(parameters).toBe("given");
        expect(trial.number).toBe(number);
        folds.push({ train, validation });
        seeds.push(trial.seed);
        await trial.report(1, number / 2);
        return scores[number]!;
      },
      { n: 21, k: 4, seed: 3, labels, parameters: "given", onFold: (fold) => void told.push(fold) },
    );
    expect(found.scores).toEqual(scores);
    expect(found.mean).toBe(4);
    expect(found.deviation).toBeCloseTo(Math.sqrt((9 + 4 + 0 + 25) / 3), 12);
    expect(found.state).toBe("complete");
    expect(found.folds.map((f) => f.reports)).toEqual([[[1, 0]], [[1, 0.5]], [[1, 1]], [[1, 1.5]]]);
    expect(folds).toEqual(tune.kFold(21, 4, { seed: 3, labels }));
    expect(new Set(seeds).size).toBe(4);
    expect(told).toEqual(found.folds);
  });

  test("folds at the same time: the order in which they end does not matter", async () => {
    let [running, most] = [0, 0];
    const found = await tune.crossValidate(
      async ({ number }) => {
        most = Math.max(most, ++running);
        await new Promise((resolve) => setTimeout(resolve, number === 0 ? 40 : 5));
        running--;
        return scores[number]!;
      },
      { n: 8, k: 4, parallel: 3 },
    );
    expect(most).toBe(3);
    expect(found.scores).toEqual(scores);
  });

  test("in processes: the same as here", async () => {
    const options = { n: 11, k: 3, seed: 2, parameters: { scale: 2 } };
    const { fold } = await import(module.href);
    const here = await tune.crossValidate(fold, options);
    const there = await tune.crossValidate({ module, name: "fold" }, { ...options, parallel: 3 });
    expect(there.scores).toEqual(here.scores);
    expect(there.mean).toBe(here.mean);
    expect(there.scores.map((s) => Math.floor(s))).toEqual([8, 208, 406]); // 2 (100 number + 4, 4, 3)
  });
});

describe("files", () => {
  test("goes on where it was: a fold that failed is tried again, those that are there are not", async () => {
    const file = temporary();
    const seen: number[] = [];
    const run = (bad: number | null, more: Partial<tune.CrossValidationOptions> = {}) =>
      tune.crossValidate(
        ({ number }) => {
          seen.push(number);
          return number === bad ? Number.NaN : scores[number]!;
        },
        { n: 12, k: 4, file, ...more },
      );
    await expect(run(2)).rejects.toThrow(
      "tune.crossValidate: fold 2 of 4 failed: objective: expected a finite score, got NaN",
    );
    expect(seen).toEqual([0, 1, 2]);
    appendFileSync(file, '{"number":2,"sco'); // killed while it wrote
    const whole = await run(null);
    expect(seen).toEqual([0, 1, 2, 2, 3]);
    expect(whole.scores).toEqual(scores);
    expect((await run(0)).folds).toEqual(whole.folds);
    expect(seen).toHaveLength(5);
    expect(JSON.parse(readFileSync(file, "utf8").split("\n")[0]!)).toMatchObject({
      format: "napier-folds",
      n: 12,
      k: 4,
    });
    await expect(run(null, { n: 13 })).rejects.toThrow("n is 12 there and 13 here");
    await expect(run(null, { seed: 1 })).rejects.toThrow("seed is 0 there and 1 here");
    await expect(run(null, { parameters: { lr: 1 } })).rejects.toThrow('parameters is null there and ["lr"] here');
    await expect(run(null, { labels: new Int32Array(12) })).rejects.toThrow("labels is null there");
    await expect(tune.search(() => 0, { x: tune.uniform(0, 1) }, { file })).rejects.toThrow(
      'format is "napier-folds" there and "napier-search" here',
    );
  });
});

describe("ends early", () => {
  test("report is told the mean behind each fold, those of the file too, and ends it", async () => {
    const file = temporary();
    const told: [number, number][] = [];
    const run = (last: number) =>
      tune.crossValidate(byNumber, {
        ...{ n: 8, k: 4, file },
        report: (step, mean) => {
          told.push([step, mean]);
          return step < last;
        },
      });
    const one = await run(1);
    expect(one).toMatchObject({ state: "stopped", scores: [1], mean: 1, deviation: Number.NaN });
    const three = await run(3);
    expect(three).toMatchObject({ state: "stopped", scores: [1, 2, 4], mean: 7 / 3 });
    expect(told).toEqual([
      [1, 1],
      [1, 1],
      [2, 1.5],
      [3, 7 / 3],
    ]);
    expect((await run(9)).state).toBe("complete");
  });

  test("within a search, halving gives up settings whose first folds are poor", async () => {
    let trained = 0;
    const study = await tune.search(
      async ({ level }, { report, signal }) => {
        const objective = () => level + 0 * trained++;
        return (await tune.crossValidate(objective, { n: 6, k: 3, report, signal })).mean;
      },
      { level: tune.choice([3, 1, 2, 4]) },
      { sampler: "grid", halving: { min: 1, factor: 3 } },
    );
    expect(study.trials.map((t) => t.state)).toEqual(["complete", "stopped", "stopped", "complete"]);
    expect(trained).toBe(3 + 1 + 1 + 3);
    expect(study.best!.parameters.level).toBe(4);
  });

  test("a fold that fails gives up the others; the signal gives up all", async () => {
    const ended: number[] = [];
    const waits: tune.FoldObjective = async ({ number }, { signal }) => {
      if (number === 1) throw new Error("out of memory");
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
      ended.push(number);
      return 1;
    };
    await expect(tune.crossValidate(waits, { n: 6, k: 3, parallel: 2 })).rejects.toThrow(
      "fold 1 of 3 failed: out of memory",
    );
    expect(ended).toEqual([0]);
    const controller = new AbortController();
    const options = { n: 8, k: 4, signal: controller.signal };
    const onFold = ({ number }: tune.FoldScore) => number === 1 && controller.abort("enough");
    const error = await tune.crossValidate(byNumber, { ...options, onFold: (f) => void onFold(f) }).catch((e) => e);
    expect(error.message).toBe("tune.crossValidate: aborted after 2 of 4 folds");
    expect(error.cause).toBe("enough");
  });
});

test("options that cannot be", async () => {
  const run = (options: Partial<tune.CrossValidationOptions>) =>
    tune.crossValidate(byNumber, { n: 8, k: 4, ...options });
  await expect(run({ k: 9 })).rejects.toThrow("k from 2 to the number of examples, got 9 of 8");
  await expect(run({ parallel: 0 })).rejects.toThrow("tune.crossValidate: expected parallel from 1 up, got 0");
  await expect(run({ seed: -1 })).rejects.toThrow("a seed that is a whole number from 0 up, got -1");
  await expect(run({ labels: [1] })).rejects.toThrow("8 labels, got 1");
});
