/**
 * Suites of cases: each contender is a process of its own; for each case they run in turns, several rounds, so that a drift
 * of the machine meets all of them.
 */
import type { Case } from "./cases.js";
import { type Contender, ours } from "./contender.js";
import { PEERS, type Peer } from "./peers.js";
import { compared, lineOf, means, type Result, type Run, resultOf, type Suite } from "./result.js";

/** The peers of these cases that are installed; names those that are not. */
function present(cases: readonly Case[], wanted: Run["peers"]): Peer[] {
  const asked = Object.entries(PEERS).filter(
    ([key, peer]) => (!wanted || wanted.includes(key)) && cases.some(peer.takes),
  );
  return asked.flatMap(([, peer]) => {
    if (peer.version() !== null) return [peer];
    console.error(`${peer.name} is not installed (${peer.install}): left out`);
    return [];
  });
}

/** Contenders that say what they computed must have computed the same: 1e-3 of the root mean square. */
function expectSame(name: string, who: string, got: readonly number[], expected: readonly number[]): void {
  const rms = Math.sqrt(expected.reduce((sum, v) => sum + v * v, 0) / expected.length);
  const error = Math.max(...expected.map((v, i) => Math.abs(v - got[i]!))) / rms;
  if (got.length !== expected.length || !(error < 1e-3))
    throw new Error(`${name}: ${who} computed another result than napier (largest difference / rms: ${error})`);
}

/** A suite that compares napier with the peers in each of `cases`, each round with `patience` times the budget. */
export const inTurns =
  (cases: readonly Case[], patience = 1): Suite =>
  async ({ filter, rounds, budget, peers, peak }) => {
    const chosen = cases.filter(({ name }) => name.includes(filter));
    const rivals = present(chosen, peers);
    const started = new Map<Peer | null, Contender>();
    // Not before its first case: one that is still loading would take a core from the others.
    const contenderOf = (peer: Peer | null): Contender => {
      const running = started.get(peer) ?? (peer ? peer.start() : ours());
      started.set(peer, running);
      return running;
    };
    const results: Result[] = [];
    for (const c of chosen) {
      const times = new Map([null, ...rivals.filter((p) => p.takes(c))].map((p) => [contenderOf(p), [] as number[]]));
      let expected: readonly number[] | undefined;
      for (let round = 0; round < (c.once ? 1 : rounds); round++) {
        for (const [who, ms] of times)
          if (round === 0 || ms.length > 0) {
            const answer = await who.run(c, c.once || who.name === "naive" ? 1 : patience * budget);
            ms.push(...(answer.ms ?? []));
            if (answer.result) expectSame(c.name, who.name, answer.result, (expected ??= answer.result));
          }
      }
      const found = [...times].flatMap(([who, ms]) => (ms.length > 0 ? [resultOf(c.name, who.name, ms, peak, c)] : []));
      if (c.published) found.push(resultOf(c.name, c.published.by, [c.published.ms], peak, c));
      console.log(c.name);
      for (const r of compared(found)) console.log(lineOf(r));
      results.push(...compared(found));
    }
    for (const who of started.values()) who.close();
    const measured = results.filter(({ contender }) => rivals.some(({ name }) => name === contender));
    for (const { product, mean, least, cases } of means(measured))
      if (cases > 1)
        console.log(`times ${product}: geometric mean ${mean.toFixed(2)}, least ${least.toFixed(2)} (${cases} cases)`);
    return results;
  };
