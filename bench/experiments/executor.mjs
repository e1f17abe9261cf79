// Experiment `executor`: what does queueing to an executor thread cost, and does the event loop stay free?
//
// Steps of 100 ops, each op a counted loop of 20 us to 5 ms (on one thread), cut into chunks of about 10 us over two
// threads. Every step ends with an awaited completion. Modes:
//   in place      the JavaScript thread computes, with the helper; the step blocks the event loop
//   queue s       executor and helper; both spin s us before they park
//   queue s/h     executor spins s us, helper h us
//   + yield       sched_yield inside the spins
//   hybrid        ops of at most 20 chunks run in place while everything queued has run; spin 50
//   two ahead     as queue 50, but a step is awaited only when the next one has been queued
//   depth 16      as queue 50, the queue holds at most 16 ops: the JavaScript thread waits for room (blocking)
// Modes are interleaved in random order over many rounds. Rounds in which this process had both cores and rounds in
// which another process took one are told apart by CPU time and reported apart; step times are medians of rounds. Beside the steps a 10 ms interval: how late its ticks are, pooled over rounds; and
// monitorEventLoopDelay({resolution: 1}), the median over rounds of its p99.
import { createRequire } from "node:module";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { setImmediate as macrotask, setTimeout as sleep } from "node:timers/promises";

const native = createRequire(import.meta.url)("./build/executor.node");
const quick = process.argv.includes("--quick");
const OPS = 100;
const now = () => performance.now();
const at = (list, q) => (list.length ? list.toSorted((a, b) => a - b)[Math.min(list.length - 1, Math.floor(q * list.length))] : 0);
const f = (x, digits = 2) => x.toFixed(digits);

const waiting = [];
native.start(() => waiting.shift()());
const completion = () => {
  const promise = new Promise((resolve) => waiting.push(resolve));
  native.complete();
  return promise;
};

let chunkWork = 1000;
for (let i = 0; i < 50; i++) native.measure(100000);
chunkWork = Math.round((10_000 * 100_000) / Math.min(...Array.from({ length: 50 }, () => native.measure(100000))));

const queued = async (chunks) => {
  for (let i = 0; i < OPS; i++) native.queue(chunks, chunkWork);
  await completion();
};
const blocking = async (chunks) => {
  for (let i = 0; i < OPS; i++) native.inPlace(chunks, chunkWork);
  await macrotask();
};
const either = async (chunks) => {
  for (let i = 0; i < OPS; i++) native.hybrid(chunks, chunkWork, 20);
  if (native.idle()) await macrotask();
  else await completion();
};
let previous = Promise.resolve();
const ahead = async (chunks) => {
  for (let i = 0; i < OPS; i++) native.queue(chunks, chunkWork);
  const next = completion();
  await previous;
  previous = next;
};

const US = 1000;
const modes = {
  "in place": { step: blocking, spin: [50, 50] },
  "queue 0": { step: queued, spin: [0, 0] },
  "queue 50": { step: queued, spin: [50, 50] },
  "queue 200": { step: queued, spin: [200, 200] },
  "queue 200/50": { step: queued, spin: [200, 50] },
  "queue 50 + yield": { step: queued, spin: [50, 50], yields: 1 },
  "hybrid": { step: either, spin: [50, 50] },
  "two ahead": { step: ahead, spin: [50, 50] },
  "depth 16": { step: queued, spin: [50, 50], depth: 16 },
};

async function round(mode, chunks, ms) {
  const { step, spin, yields = 0, depth = 0 } = mode;
  native.spin(spin[0] * US, spin[1] * US, 20 * US, yields, depth);
  await step(chunks);
  await previous;
  previous = Promise.resolve();
  native.counters();
  const ticks = [];
  let last = now();
  const timer = setInterval(() => {
    const t = now();
    ticks.push(Math.max(0, t - last - 10));
    last = t;
  }, 10);
  const histogram = monitorEventLoopDelay({ resolution: 1 });
  histogram.enable();
  const times = [];
  const started = now();
  const cpu = process.cpuUsage();
  for (let t = started; t - started < ms; ) {
    await step(chunks);
    const end = now();
    times.push(end - t);
    t = end;
  }
  await previous; // the step still pending
  const wall = now() - started;
  const { user, system } = process.cpuUsage(cpu);
  histogram.disable();
  clearInterval(timer);
  const [ranInPlace, helped] = native.counters();
  // a step's time is the mean over the round: it includes what runs between steps
  return { time: wall / times.length, ticks, loop: histogram.percentile(99) / 1e6, cores: (user + system) / 1000 / wall,
    inPlace: ranInPlace / (times.length * OPS), helped: helped / (times.length * OPS * chunks) };
}

async function idleRound(ms) {
  const step = async () => { await sleep(5); };
  return round({ step, spin: [50, 50] }, 1, ms);
}

console.log(`chunk of 10 us = ${chunkWork} iterations`);
const only = Number(process.argv.find((a) => a.startsWith("--only="))?.slice(7) ?? 0);
const sizes = [20, 200, 500, 5000].filter((us) => !only || us === only);
const header = "mode                rounds  ms/step  vs in place | tick delay p50    p99    max | loop delay p99 | cores busy | helper's share  in place";
const print = (name, r, base) => {
  if (!r.length) return;
  const ticks = r.flatMap((x) => x.ticks);
  const mid = (k, list = r) => at(list.map((x) => x[k]), 0.5);
  const ratio = base?.length ? `${f(100 * (mid("time") / mid("time", base) - 1), 1)} %` : "";
  console.log(`${name.padEnd(19)} ${String(r.length).padStart(6)} ${f(mid("time")).padStart(8)} ${ratio.padStart(12)} | ${f(at(ticks, 0.5)).padStart(14)} ${f(at(ticks, 0.99)).padStart(6)} ${f(at(ticks, 1)).padStart(6)} | ` +
    `${f(mid("loop")).padStart(14)} | ${f(mid("cores")).padStart(10)} | ${f(100 * mid("helped"), 0).padStart(12)} % ${f(100 * mid("inPlace"), 0).padStart(7)} %`);
};
console.log(header);
print("idle", [await idleRound(2000), await idleRound(2000)]);
for (const us of sizes) {
  const chunks = us / 10;
  const results = Object.fromEntries(Object.keys(modes).map((name) => [name, []]));
  const ms = us >= 5000 ? 800 : 300;
  for (let i = 0; i < (quick ? 4 : us >= 5000 ? 8 : 14); i++)
    for (const name of Object.keys(modes).toSorted(() => Math.random() - 0.5)) results[name].push(await round(modes[name], chunks, ms));
  const show = (title, keep) => {
    console.log(`\n100 ops of ${us} us, ${title}\n${header}`);
    for (const [name, r] of Object.entries(results)) print(name, r.filter(keep), results["in place"].filter(keep));
  };
  show("both cores ours (at least 1.75 busy with us)", (x) => x.cores >= 1.75);
  show("a core shared with another process (at most 1.3)", (x) => x.cores <= 1.3);
}
native.stop();
