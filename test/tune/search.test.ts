/** @file Search over hyper-parameters: samplers, halving, resumed files, processes, pictures. */
import { appendFileSync, mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { tune } from "napier";
import { describe, expect, test } from "vitest";

const temporary = () => join(mkdtempSync(join(tmpdir(), "napier-tune-")), "trials.jsonl");
const bowl = ({ x, y }: { x: number; y: number }) => (x - 0.3) ** 2 + (Math.log10(y) + 2) ** 2;
const space = { x: tune.uniform(-1, 1), y: tune.logUniform(1e-5, 1) };

describe("spaces", () => {
  test("draws lie inside, whole numbers reach both ends evenly, logarithms too", async () => {
    const wide = {
      a: tune.uniform(2, 3),
      b: tune.integer(1, 4),
      c: tune.logInteger(1, 256),
      d: tune.choice(["x", "y"]),
    };
    const study = await tune.search(() => 0, wide, { sampler: "random", trials: 400, seed: 1 });
    const all = study.trials.map((t) => t.parameters);
    const counts = [1, 2, 3, 4].map((b) => all.filter((p) => p.b === b).length);
    for (const count of counts) expect(count).toBeGreaterThan(70);
    expect(counts.reduce((a, b) => a + b)).toBe(400);
    for (const { a, c, d } of all) {
      expect(a).toBeGreaterThanOrEqual(2);
      expect(a).toBeLessThanOrEqual(3);
      expect(Number.isInteger(c) && c >= 1 && c <= 256).toBe(true);
      expect(["x", "y"]).toContain(d);
    }
    const small = all.filter((p) => p.c <= 16).length; // half the logarithm
    expect(small).toBeGreaterThan(150);
    expect(small).toBeLessThan(270);
    expect(() => tune.uniform(2, 1)).toThrow("uniform: expected low < high, got 2 and 1");
    expect(() => tune.logUniform(0, 1)).toThrow("low above 0");
    expect(() => tune.choice([])).toThrow("at least one value");
  });
});

describe("samplers", () => {
  test("grid: every combination once, in order", async () => {
    const grid = { a: tune.choice([1, 2]), b: tune.uniform(0, 1), c: tune.integer(5, 6) };
    const study = await tune.search(({ a, b, c }) => a + b + c, grid, { sampler: "grid", gridPoints: 3 });
    const seen = study.trials.map(({ parameters: { a, b, c } }) => [a, b, c]);
    expect(seen).toHaveLength(12);
    expect(seen.slice(0, 3)).toEqual([
      [1, 0, 5],
      [1, 0, 6],
      [1, 0.5, 5],
    ]);
    expect(study.best!.parameters).toEqual({ a: 2, b: 1, c: 6 });
  });

  test("TPE comes nearer than chance with as many trials, on the mean of seeds", async () => {
    const mean = async (sampler: "tpe" | "random") => {
      let sum = 0;
      for (let seed = 0; seed < 10; seed++) {
        const study = await tune.search(bowl, space, { sampler, trials: 50, direction: "minimize", seed });
        sum += study.best!.score!;
      }
      return sum / 10;
    };
    expect(await mean("tpe")).toBeLessThan((await mean("random")) / 2);
  });

  test("the same seed looks at the same places, also of choices", async () => {
    const mixed = { ...space, kind: tune.choice(["a", "b", "c"]) };
    const run = async (seed: number) => {
      const study = await tune.search((p) => -bowl(p) - (p.kind === "b" ? 0 : 1), mixed, { trials: 30, seed });
      return study;
    };
    const [a, b, c] = [await run(4), await run(4), await run(5)];
    expect(a.trials.map((t) => t.parameters)).toEqual(b.trials.map((t) => t.parameters));
    expect(a.trials[0]!.parameters).not.toEqual(c.trials[0]!.parameters);
    const late = a.trials.slice(15).filter((t) => t.parameters.kind === "b").length;
    expect(late).toBeGreaterThan(8);
  });
});

describe("halving", () => {
  test("one of three goes on at each rung; reports are kept", async () => {
    const order = [0.9, 0.1, 0.2, 0.3, 0.95, 0.05, 0.5, 0.6, 0.99];
    let worked = 0;
    const study = await tune.search(
      async ({ i }, { report }) => {
        let score = 0;
        for (let epoch = 1; epoch <= 9; epoch++) {
          worked++;
          score = order[i]! * epoch;
          if (!(await report(epoch, score))) return score;
        }
        return score;
      },
      { i: tune.choice([0, 1, 2, 3, 4, 5, 6, 7, 8]) },
      { sampler: "grid", halving: { min: 1, factor: 3 } },
    );
    const states = study.trials.map((t) => t.state);
    expect(states[0]).toBe("complete"); // the first at each rung
    expect(states.slice(1, 4)).toEqual(["stopped", "stopped", "stopped"]);
    expect(states[8]).toBe("complete");
    expect(study.best!.number).toBe(8);
    expect(worked).toBeLessThan(40);
    expect(study.trials[1]!.reports).toEqual([[1, 0.1]]);
  });
});

describe("files", () => {
  test("a search goes on where it was; a torn line does not matter; another space does", async () => {
    const file = temporary();
    let calls = 0;
    const objective = (p: { x: number; y: number }) => {
      calls++;
      return bowl(p);
    };
    const options = { direction: "minimize", seed: 3, file } as const;
    await tune.search(objective, space, { ...options, trials: 12 });
    expect(readFileSync(file, "utf8").trimEnd().split("\n")).toHaveLength(12);
    appendFileSync(file, '{"number": 12, "para');
    const resumed = await tune.search(objective, space, { ...options, trials: 20 });
    expect(calls).toBe(20);
    const whole = await tune.search(bowl, space, { direction: "minimize", seed: 3, trials: 20 });
    expect(resumed.trials.map((t) => t.parameters)).toEqual(whole.trials.map((t) => t.parameters));
    await expect(tune.search(() => 0, { z: tune.uniform(0, 1) }, { file })).rejects.toThrow(
      "holds trials of x, y, expected z",
    );
  });

  test("a failure is a trial too", async () => {
    const study = await tune.search(
      ({ i }) => {
        if (i === 1) throw new Error("out of memory");
        return i === 2 ? Number.NaN : i;
      },
      { i: tune.choice([0, 1, 2, 3]) },
      { sampler: "grid" },
    );
    expect(study.trials.map((t) => t.state)).toEqual(["complete", "failed", "failed", "complete"]);
    expect(study.trials[1]!.error).toBe("out of memory");
    expect(study.best!.score).toBe(3);
    expect(study.table()).toContain("failed");
  });

  test("the signal ends it", async () => {
    const controller = new AbortController();
    const search = tune.search(() => 1, space, {
      trials: 50,
      signal: controller.signal,
      onTrial: ({ number }) => {
        if (number === 4) controller.abort();
      },
    });
    await expect(search).rejects.toThrow("aborted after 5 of 50 trials");
  });
});

describe("processes", () => {
  const module = new URL("../programs/objective.mjs", import.meta.url);
  test("trials in processes: reports, early stopping, two at a time, their own seeds", async () => {
    const study = await tune.search(
      { module },
      { x: tune.choice([3, 1, 2]) },
      { sampler: "grid", halving: true, parallel: 2 },
    );
    expect(study.best!.score).toBe(27);
    const drawn = (seed: number) =>
      tune.search({ module, name: "drawn" }, { x: tune.choice([1, 2]) }, { sampler: "grid", seed });
    const [a, b, c] = [await drawn(1), await drawn(1), await drawn(2)];
    expect(a.trials.map((t) => t.score)).toEqual(b.trials.map((t) => t.score));
    expect(a.trials[0]!.score).not.toBe(a.trials[1]!.score);
    expect(a.trials[0]!.score).not.toBe(c.trials[0]!.score);
  });

  test("an error's text comes back; a process that dies is a failed trial", async () => {
    const run = (name: string) => tune.search({ module, name }, { x: tune.choice([1]) }, { sampler: "grid" });
    expect((await run("throws")).trials[0]!.error).toContain("no such luck");
    expect((await run("dies")).trials[0]!.error).toContain("ended with code 3 before it gave a score");
    expect((await run("nothing")).trials[0]!.error).toContain('exports no function "nothing"');
  });
});

test("a table and a picture", async () => {
  const study = await tune.search(
    ({ x, kind }) => x + (kind === "<a>" ? 1 : 0),
    { x: tune.uniform(0, 1), kind: tune.choice(["<a>", "b"]) },
    { trials: 6, sampler: "random" },
  );
  const lines = study.table().split("\n");
  expect(lines).toHaveLength(7);
  expect(lines[0]).toMatch(/trial +x +kind +score +state +time/);
  expect(lines[1]).toContain(`${study.best!.number}`);
  const svg = study.parallelCoordinates();
  expect(svg.match(/<polyline/g)).toHaveLength(6);
  expect(svg).toContain("<title>6 trials, a line each");
  expect(svg).toContain('viewBox="0 0 640 320"');
  const names = Array.from({ length: 8 }, (_, i) => [`p${i}`, tune.uniform(0, 1)]);
  const wide = await tune.search(() => 1, Object.fromEntries(names), { trials: 2 });
  expect(wide.parallelCoordinates()).toContain('viewBox="0 0 840 320"'); // names do not run into each other
  expect(svg).toContain("&lt;a&gt;");
  expect(svg).not.toContain("<a>");
  expect(svg).not.toContain("NaN");
});

describe("kFold", () => {
  test("each example validates once, parts are equal, labels are shared out", () => {
    const folds = tune.kFold(11, 3, { seed: 5 });
    expect(folds.map((f) => f.validation.length)).toEqual([4, 4, 3]);
    expect(folds.flatMap((f) => [...f.validation]).sort((a, b) => a - b)).toEqual([...Array(11).keys()]);
    for (const { train, validation } of folds) expect(new Set([...train, ...validation]).size).toBe(11);
    const labels = [0, 0, 0, 0, 0, 0, 1, 1, 1];
    for (const { validation } of tune.kFold(9, 3, { labels }))
      expect([...validation].map((i) => labels[i]).sort()).toEqual([0, 0, 1]);
    expect([...tune.kFold(4, 2, { seed: null })[0]!.validation]).toEqual([0, 2]);
    expect(tune.kFold(50, 5, { seed: 1 })).toEqual(tune.kFold(50, 5, { seed: 1 }));
    expect(() => tune.kFold(3, 4)).toThrow("kFold: expected k from 2 to the number of examples, got 4 of 3");
  });
});

test("options that cannot be", async () => {
  const bad = (options: object) => tune.search(() => 0, space, options as tune.SearchOptions<typeof space>);
  await expect(bad({ sampler: "bayes" })).rejects.toThrow('a sampler grid, random or tpe, got "bayes"');
  await expect(bad({ trials: 0 })).rejects.toThrow("trials from 1 up, got 0");
  await expect(bad({ halving: { factor: 1 } })).rejects.toThrow("halving.factor above 1");
  await expect(tune.search(() => 0, {})).rejects.toThrow("at least one parameter");
});
