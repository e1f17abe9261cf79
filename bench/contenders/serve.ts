/**
 * The process side of a contender: reads {case, ms} lines, answers with a line each. One process a contender, so that no
 * allocator, thread pool or warm cache is shared.
 */
import { createInterface } from "node:readline";
import type { Case } from "../cases.js";

/** A line back. `result`: of the first run of a case, where it can be compared. */
export interface Answer {
  ms?: number[];
  result?: number[];
  error?: string;
}

/** Runs a case once; resolves when the result is ready. */
export type Action = () => Promise<void> | void;
/** An action whose result can be compared with other contenders'. */
export interface Checked {
  run: Action;
  result(): Promise<ArrayLike<number>>;
}
type Built = Action | Checked | null;
/** Builds a case; null: not this contender's. */
export type Build = (c: Case) => Promise<Built> | Built;

export async function serve(build: Build): Promise<void> {
  let current = "";
  let run: Action | null = null;
  for await (const line of createInterface({ input: process.stdin })) {
    const { c, budget } = JSON.parse(line) as { c: Case; budget: number };
    let answer: Answer;
    let result: number[] | undefined;
    try {
      if (c.name !== current) {
        const built = await build(c);
        run = built && "run" in built ? built.run : built;
        if (built && "run" in built) result = Array.from(await built.result());
        current = c.name;
        const start = performance.now();
        if (!c.once) await run?.(); // warm-up
        if (!c.once && performance.now() - start < 2000) await run?.();
      }
      answer = { ms: run ? await timed(run, budget) : [], ...(result && { result }) };
    } catch (error) {
      answer = { error: (error as Error).message };
    }
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  }
}

async function timed(run: Action, budget: number): Promise<number[]> {
  const times: number[] = [];
  const start = performance.now();
  do {
    const t = performance.now();
    const waiting = run();
    if (waiting) await waiting;
    times.push(performance.now() - t);
  } while (performance.now() - start < budget && times.length < 2000);
  return times;
}
