/** @file Search over hyper-parameters: samplers, halving, resumed files, processes, pictures. */
import { appendFileSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { tune } from "napier";
import { describe, expect, test } from "vitest";

const temporary = () => join(mkdtempSync(join(tmpdir(), "napier-tune-")), "trials.jsonl");
const module = new URL("../programs/objective.mjs", import.meta.url);
const grid3 = { i: tune.choice([0, 1, 2]) };
const asGrid = { sampler: "grid" } as const;
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
    expect(readFileSync(file, "utf8").trimEnd().split("\n")).toHaveLength(13); // and what is searched
    appendFileSync(file, '{"number": 12, "para');
    const resumed = await tune.search(objective, space, { ...options, trials: 20 });
    expect(calls).toBe(20);
    const whole = await tune.search(bowl, space, { direction: "minimize", seed: 3, trials: 20 });
    expect(resumed.trials.map((t) => t.parameters)).toEqual(whole.trials.map((t) => t.parameters));
  });

  test("a file of another search is refused, with what differs", async () => {
    const file = temporary();
    const grid = { i: tune.choice([0, 3, 1, 2]) };
    const options = { sampler: "grid", file } as const;
    await tune.search(({ i }) => i, grid, options);
    const refused = (space: tune.Space, more: object, text: string) =>
      expect(tune.search(() => 0, space, { ...options, ...more })).rejects.toThrow(text);
    await refused({ i: tune.choice([5, 6]) }, {}, 'space.i is {"kind":"choice","values":[0,3,1,2]} there and {"kind":');
    await refused({ z: grid.i }, {}, 'space is ["i"] there and ["z"] here');
    await refused(grid, { direction: "minimize" }, 'direction is "maximize" there and "minimize" here');
    await refused(grid, { seed: 7 }, "seed is 0 there and 7 here; give another file, or what stands there");
    await refused(grid, { sampler: "tpe" }, 'sampler is "grid" there and "tpe" here');
    await refused(grid, { gridPoints: 2 }, "gridPoints is 3 there and 2 here");
    const calls: number[] = [];
    const study = await tune.search(({ i }) => calls.push(i), grid, { ...options, parallel: 2, halving: true });
    expect(calls).toEqual([]); // these may change
    expect(study.best!.parameters.i).toBe(3);
  });

  test("a file without a first line is refused, with the line that makes it one; a torn first line is begun anew", async () => {
    const [old, torn] = [temporary(), temporary()];
    const search = (file: string) => tune.search(({ i }) => i, { i: tune.choice([1, 2]) }, { sampler: "grid", file });
    const trial = '{"number":1,"parameters":{"i":2},"state":"complete","score":7,"reports":[],"seconds":0}\n';
    writeFileSync(old, trial);
    const message = await search(old).catch((error: Error) => error.message);
    expect(message).toContain("got a line without a format");
    const line = /put this line first: (.*)$/.exec(message as string)![1]!;
    writeFileSync(old, `${line}\n${trial}`);
    expect((await search(old)).trials.map((t) => t.score)).toEqual([1, 7]);
    writeFileSync(torn, '{"format":"napier-se');
    await search(torn);
    expect((await search(torn)).trials.map((t) => t.score)).toEqual([1, 2]);
  });

  test("numbers that JSON lacks come back from the file, in reports and in parameters", async () => {
    const file = temporary();
    const search = (objective: tune.Objective<{ clip: tune.Choice<number> }>) =>
      tune.search(objective, { clip: tune.choice([1, Number.POSITIVE_INFINITY]) }, { sampler: "grid", file });
    const first = await search(async ({ clip }, { report }) => {
      await report(1, clip === 1 ? Number.NaN : 3);
      return 2;
    });
    expect(first.trials.map((t) => t.state)).toEqual(["failed", "complete"]);
    const again = await search(() => expect.unreachable("both are there"));
    expect(again.trials).toEqual(first.trials);
    expect(again.trials[0]!.reports).toEqual([[1, Number.NaN]]);
    expect(again.best!.parameters.clip).toBe(Number.POSITIVE_INFINITY);
    const odd = { d: tune.choice([new Date(0)]) };
    await expect(tune.search(() => 0, odd, { file: temporary() })).rejects.toThrow("values that JSON can hold");
  });

  test("a resumed report of NaN is the worst at its rung, not the best", async () => {
    const file = temporary();
    const losses = [Number.NaN, 3, 2, 1];
    const run = (trials: number, file: string | null) =>
      tune.search(
        async ({ i }, { report }) => {
          await report(1, losses[i]!);
          return losses[i]!;
        },
        { i: tune.choice([0, 1, 2, 3]) },
        { sampler: "grid", trials, file, halving: { min: 1, factor: 2 }, direction: "minimize" },
      );
    await run(1, file);
    const resumed = await run(4, file);
    expect(resumed.trials.map((t) => t.state)).toEqual(["failed", "complete", "complete", "complete"]);
    expect(resumed.trials.map((t) => t.state)).toEqual((await run(4, null)).trials.map((t) => t.state));
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

  test.each([Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN, "3", undefined])(
    "a score of %s fails its trial",
    async (bad) => {
      for (const direction of ["maximize", "minimize"] as const) {
        const study = await tune.search(({ i }) => (i === 1 ? (bad as number) : i), grid3, { ...asGrid, direction });
        expect(study.trials.map((t) => t.state)).toEqual(["complete", "failed", "complete"]);
        expect(study.trials[1]).toMatchObject({
          score: null,
          error: expect.stringContaining("expected a finite score, got"),
        });
        expect(study.best!.score).toBe(direction === "maximize" ? 2 : 0);
      }
    },
  );

  test("where onTrial throws, running trials are given up and waited for", async () => {
    const ended: number[] = [];
    const search = tune.search(
      async ({ i }, { signal }) => {
        if (i > 0) await new Promise((resolve) => signal.addEventListener("abort", resolve));
        ended.push(i);
        return i;
      },
      grid3,
      {
        ...asGrid,
        parallel: 2,
        onTrial: () => {
          throw new Error("disk full");
        },
      },
    );
    await expect(search).rejects.toThrow("disk full");
    expect(ended).toEqual([0, 1]); // no third one was begun
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
  test.each(["in this process", "in processes"])(
    "a report of NaN fails its trial and stops no other: %s",
    async (where) => {
      const objective = where === "in processes" ? { module, name: "diverges" } : (await import(module.href)).diverges;
      const study = await tune.search(
        objective,
        { x: tune.choice([0, 3, 1]) },
        { sampler: "grid", direction: "minimize", halving: { min: 1, factor: 1.5 }, seed: 1 },
      );
      const found = study.trials.map(({ state, score, reports }) => ({ state, score, reports: reports.length }));
      expect(found[0]).toEqual({ state: "failed", score: null, reports: 2 });
      expect(study.trials[0]!.reports[1]).toEqual([2, Number.NaN]);
      expect(study.trials[0]!.error).toBe("report: expected a finite score at step 2, got NaN");
      // At step 1 its 0 was the best, as far as one could know; at step 2 it is the worst.
      expect(found.slice(1).map((t) => t.reports)).toEqual([1, 3]);
      expect(study.best!.number).toBe(2);
    },
  );

  test.each(["in this process", "in processes"])(
    "an infinite score fails its trial, a wrong step too: %s",
    async (where) => {
      const names = await import(module.href);
      const run = (name: string) =>
        tune.search(
          where === "in processes" ? { module, name } : names[name],
          { x: tune.choice([Number.POSITIVE_INFINITY]) },
          { sampler: "grid" },
        );
      const study = await run("answers");
      expect(study.best).toBe(null);
      expect(study.trials[0]!.error).toBe("objective: expected a finite score, got Infinity");
      expect((await run("wrongStep")).trials[0]!.error).toContain("report: expected a step above 0, got 0");
    },
  );

  test("what cannot be sent to a process is a failed trial", async () => {
    const study = await tune.search({ module, name: "answers" }, { x: tune.choice([() => 1]) }, { sampler: "grid" });
    expect(study.trials[0]!.error).toContain("could not be cloned");
  });

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
