/**
 * The process side of a contender: reads {case, ms} lines, answers {ms: [...]} lines. One process a contender, so that no
 * allocator, thread pool or warm cache is shared.
 */
import { createInterface } from "node:readline";
import type { Case } from "../cases.js";

/** Builds a case; the function it answers runs it once and resolves when the result is ready. Null: not this contender's. */
export type Build = (c: Case) => Promise<(() => Promise<void> | void) | null> | (() => Promise<void> | void) | null;

export async function serve(build: Build): Promise<void> {
  let current = "";
  let run: (() => Promise<void> | void) | null = null;
  for await (const line of createInterface({ input: process.stdin })) {
    const { c, budget } = JSON.parse(line) as { c: Case; budget: number };
    let answer: { ms?: number[]; error?: string };
    try {
      if (c.name !== current) {
        run = await build(c);
        current = c.name;
        const start = performance.now();
        if (!c.once) await run?.(); // warm-up
        if (!c.once && performance.now() - start < 2000) await run?.();
      }
      answer = { ms: run ? await timed(run, budget) : [] };
    } catch (error) {
      answer = { error: (error as Error).message };
    }
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  }
}

async function timed(run: () => Promise<void> | void, budget: number): Promise<number[]> {
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
