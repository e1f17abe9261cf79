// Experiment `handles`: does memory stay flat in a bare synchronous training loop, and at what cost?
//
// Every tensor is a plain object {handle, shape, dtype, node} with a native slot and a weak reference.
// A step is a tape of 200 ops. An op makes one user-visible tensor (a buffer of 1 MB, accounted only), and a
// record with edges, two tracked aliases of what the gradient needs (they hold the buffers) and a closure.
// `backward` walks the records in reverse, makes a gradient per op and frees aliases and gradients explicitly.
// The user's 200 tensors a step are never freed: a forced collection and a sweep of weak references find them.
// No await anywhere in the loop, so V8 runs no finalizer. Each setting runs in a fresh process.
//
// Policies (soft = k steps' worth of buffers: "collect every k steps"):
//   none     never collect (what leaks, and what the step costs without collections)
//   plan     as planned: any allocation may trigger; minor and sweep of the handles made since the last sweep;
//            full and sweep of all if still above the limit; a minor that frees less than a quarter of the bytes
//            made since the last one makes the next one full and doubles the interval; limit = max(soft, 2 live)
//   ages     any allocation may trigger; the sweep visits handles until they have survived two minor collections
//            (V8 promotes on the second); yield = dead / visited handles, whatever the tape still holds
//   ends     as `ages`, but triggered only at the end of backward
//   budget   as `ends`, but a collection waits until it is paid for: minor ones may use 2 % of the time, full ones
//            1 %; above the hard limit (eight times soft or a step made since the last one; live bytes four times the limit for
//            full ones) memory wins over time, even inside a step; full ones only if live > max(8 soft, 2 live after
//            the last full one); where V8 has just collected by itself, the sweep alone
import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import { PerformanceObserver } from "node:perf_hooks";
import { fileURLToPath } from "node:url";
import v8 from "node:v8";
import vm from "node:vm";

const native = createRequire(import.meta.url)("./build/handles.node");
const LIVE = 0, LIVE_BYTES = 1, MADE_BYTES = 2, FREED_BYTES = 3, VISITED = 4, DEAD = 5;
const MB = 1 << 20;
const OPS = 200;
const now = () => performance.now();

// ---------------------------------------------------------------- one setting, in its own process

class Tensor {
  constructor(shape, dtype, source) {
    this.handle = 0;
    this.shape = shape;
    this.dtype = dtype;
    this.node = null;
    this.handle = native.create(this, source);
  }
}

function runSetting({ policy, every, stepMs, steps, heapMb = 0, adjust = false, promote = 0 }) {
  const stats = new Float64Array(8);
  native.setup(stats, adjust, true);
  v8.setFlagsFromString("--expose-gc");
  const gc = vm.runInNewContext("gc");
  const minor = () => gc({ type: "minor" });

  const v8Own = { minor: 0, major: 0, other: 0, ms: 0 };
  const observer = new PerformanceObserver((list) => {
    for (const { duration, detail } of list.getEntries()) {
      if (detail.flags & 4) continue; // forced by us
      v8Own[detail.kind === 1 ? "minor" : detail.kind === 4 ? "major" : "other"]++;
      v8Own.ms += duration;
    }
  });
  observer.observe({ entryTypes: ["gc"] });

  const heap = [];
  for (let i = 0; i < heapMb * 10000; i++) heap.push({ id: i, name: `n${i}`, at: [i] });
  if (heapMb) gc();

  // burns per op so that 2 * OPS of them take stepMs
  native.burn(2000);
  let best = Infinity;
  for (let i = 0; i < 5; i++) {
    const t = now();
    native.burn(1000);
    best = Math.min(best, (now() - t) / 1000);
  }
  const burns = Math.max(1, Math.round(stepMs / (2 * OPS) / best));

  const stepBytes = 2 * OPS * MB; // results and gradients; an allocator measures it between two ends of backward
  const soft = every * stepBytes;
  const hard = 8 * Math.max(soft, stepBytes);
  let interval = soft;
  let limit = soft;
  let madeAtLast = 0;
  let fullNext = false;
  let liveAfterFull = 0;
  const spent = { minor: [], full: [], free: 0, freeMs: 0 };
  let minorMs = 0.2, fullMs = 10;

  function collect(full, depth) {
    const t = now();
    if (full) gc();
    else minor();
    native.sweep(full ? 3 : depth);
    const ms = now() - t;
    spent[full ? "full" : "minor"].push(ms);
    if (full) fullMs = ms;
    else minorMs = ms;
    madeAtLast = stats[MADE_BYTES];
  }

  function plan() {
    const made = stats[MADE_BYTES] - madeAtLast;
    if (made < interval) return;
    let full = fullNext;
    collect(full, 1);
    let freed = stats[FREED_BYTES];
    if (!full && stats[LIVE_BYTES] > limit) {
      collect(true, 3);
      freed += stats[FREED_BYTES];
      full = true;
    }
    limit = Math.max(soft, 2 * stats[LIVE_BYTES]);
    fullNext = !full && freed < made / 4;
    interval = freed < made / 4 ? interval * 2 : soft;
  }

  function ages() {
    if (stats[MADE_BYTES] - madeAtLast < interval) return;
    const full = fullNext;
    collect(full, 2);
    const poor = stats[DEAD] < stats[VISITED] / 4;
    fullNext = !full && poor && stats[LIVE_BYTES] > limit;
    interval = poor ? Math.min(interval * 2, 8 * soft) : soft;
    if (full) limit = Math.max(soft, 2 * stats[LIVE_BYTES]);
  }

  // Token buckets: minor collections may use 2 % of the time, full ones 1 %. A canary, a young object with a weak
  // reference, tells at the price of one call that V8 itself has collected: then the sweep alone is enough.
  const credit = { minor: 0, full: 0 };
  let creditAt = now();
  native.watch({});
  function budget(inside) {
    if (stats[MADE_BYTES] - madeAtLast < (inside ? hard : soft)) return;
    const t = now();
    credit.minor = Math.min(credit.minor + 0.02 * (t - creditAt), 5 * minorMs);
    credit.full = Math.min(credit.full + 0.01 * (t - creditAt), 2 * fullMs);
    creditAt = t;
    const fullLimit = Math.max(hard, 2 * liveAfterFull);
    const live = stats[LIVE_BYTES];
    const full = live > fullLimit && (credit.full >= fullMs || live > 4 * fullLimit);
    if (full) {
      collect(true, 3);
      credit.full -= fullMs;
      liveAfterFull = stats[LIVE_BYTES];
    } else if (!native.watched()) {
      native.sweep(2);
      madeAtLast = stats[MADE_BYTES];
      spent.free++;
      spent.freeMs += now() - t;
    } else if (inside || credit.minor >= minorMs || stats[MADE_BYTES] - madeAtLast > hard) {
      collect(false, 2);
      credit.minor -= minorMs;
    } else return;
    native.watch({});
  }

  const inside = { plan, ages, budget: () => budget(true) }[policy] ?? (() => {});
  const atEnd = { ends: ages, budget: () => budget(false) }[policy] ?? (() => {});
  let backwardRunning = false;

  function op(x, y) {
    const result = new Tensor([64, 128, 32], "float32", 0);
    native.burn(burns);
    const saved = [new Tensor(x.shape, x.dtype, x.handle), new Tensor(result.shape, result.dtype, result.handle)];
    result.node = {
      name: "op",
      inputs: y ? [x.node, y.node] : [x.node],
      saved,
      gradient: (dy) => {
        const dx = new Tensor(dy.shape, "float32", 0);
        native.burn(saved[0].handle ? burns : 0);
        return dx;
      },
    };
    if (!backwardRunning) inside();
    return result;
  }

  function backward(loss) {
    backwardRunning = true;
    let dy = new Tensor([1], "float32", 0);
    for (let record = loss.node; record; ) {
      const dx = record.gradient(dy);
      native.destroy(dy.handle);
      for (const alias of record.saved) native.destroy(alias.handle);
      const next = record.inputs[0];
      record.saved = record.inputs = record.gradient = null;
      record = next;
      dy = dx;
    }
    native.destroy(dy.handle);
    backwardRunning = false;
    atEnd();
  }

  const input = new Tensor([64, 128, 32], "float32", 0);
  const kept = []; // `promote` tensors a step that the user holds for 30 steps: they die in the old generation
  let loss = null; // survives into the next step, as in every training loop
  let peakFirst = 0, peakSecond = 0, peakMb = 0;
  const started = now();
  const stepTimes = [];
  for (let step = 0; step < steps; step++) {
    const t = now();
    let h = input, skip = input;
    for (let i = 0; i < OPS; i++) {
      h = op(h, i % 5 === 4 ? skip : null);
      if (i % 5 === 4) skip = h;
      if (i < promote) kept.push(h);
      if (heapMb && i % 20 === 0) heap[(step * 31 + i) % heap.length].at = [i];
    }
    loss = h;
    while (kept.length > 30 * promote) kept.shift();
    if (step < steps / 2) peakFirst = Math.max(peakFirst, stats[LIVE]);
    else peakSecond = Math.max(peakSecond, stats[LIVE]);
    peakMb = Math.max(peakMb, stats[LIVE_BYTES] / MB);
    backward(loss);
    stepTimes.push(now() - t);
  }
  const total = now() - started;
  const live = stats[LIVE];
  const sum = (a) => a.reduce((p, c) => p + c, 0);
  const median = (a) => (a.length ? a.toSorted((p, q) => p - q)[a.length >> 1] : 0);
  native.sweep(3);
  const row = {
    policy, every, stepMs, heapMb, adjust, promote, steps,
    msStep: total / steps, medianStep: median(stepTimes), peakFirst, peakSecond, peakMb, live,
    diedUnforced: policy === "none" ? stats[DEAD] : undefined,
    minors: spent.minor.length, fulls: spent.full.length,
    minorMs: median(spent.minor), fullMs: median(spent.full),
    percent: (100 * (sum(spent.minor) + sum(spent.full) + spent.freeMs)) / total,
  };
  setTimeout(() => {
    observer.disconnect();
    row.v8Own = v8Own;
    row.v8Percent = (100 * v8Own.ms) / total;
    console.log(JSON.stringify(row));
    if (!loss || heap.length < 0) process.exit(1);
  }, 50);
}

// ---------------------------------------------------------------- ns per create and destroy

function runMicro() {
  const stats = new Float64Array(8);
  v8.setFlagsFromString("--expose-gc");
  const gc = vm.runInNewContext("gc");
  const n = 5000;
  const times = { "create untracked": [], "create tracked": [], "destroy untracked": [], "destroy tracked": [],
    "minor collection, all dead": [], "sweep, all dead": [], "minor collection, all live": [], "sweep, all live": [] };
  const shape = [64, 128, 32];
  const all = new Array(n).fill(null);
  const timed = (name, f) => {
    const t = now();
    f();
    times[name].push(((now() - t) * 1e6) / n);
  };
  for (let round = 0; round < 40; round++) {
    for (const tracked of [false, true]) {
      const kind = tracked ? "tracked" : "untracked";
      native.setup(stats, false, tracked);
      gc({ type: "minor" });
      timed(`create ${kind}`, () => { for (let i = 0; i < n; i++) all[i] = new Tensor(shape, "float32", 0); });
      timed(`destroy ${kind}`, () => { for (let i = 0; i < n; i++) native.destroy(all[i].handle); });
      all.fill(null);
    }
    gc();
    native.sweep(3);
    for (let i = 0; i < n; i++) all[i] = new Tensor(shape, "float32", 0);
    timed("minor collection, all live", () => gc({ type: "minor" }));
    timed("sweep, all live", () => native.sweep(2));
    for (const t of all) native.destroy(t.handle);
    all.fill(null);
    gc();
    native.sweep(3);
    for (let i = 0; i < n; i++) new Tensor(shape, "float32", 0);
    timed("minor collection, all dead", () => gc({ type: "minor" }));
    timed("sweep, all dead", () => native.sweep(2));
  }
  console.log(JSON.stringify(Object.entries(times).map(([what, t]) => ({ what, ns: t.toSorted((p, q) => p - q)[t.length >> 1] }))));
}

// ---------------------------------------------------------------- the driver

if (process.argv[2] === "--setting") {
  const setting = JSON.parse(process.argv[3]);
  if (setting.micro) runMicro();
  else runSetting(setting);
} else {
  const quick = process.argv.includes("--quick");
  const child = (setting) => {
    const r = spawnSync(process.execPath, [fileURLToPath(import.meta.url), "--setting", JSON.stringify(setting)], {
      encoding: "utf8", stdio: ["ignore", "pipe", "inherit"], maxBuffer: 1 << 26 });
    if (r.status !== 0) throw new Error(`setting failed: ${JSON.stringify(setting)}`);
    return JSON.parse(r.stdout);
  };
  const f = (x, digits = 2) => x.toFixed(digits);

  console.log("\nns per tracked handle, 5,000 at a time, medians of 40\n");
  for (const { what, ns } of child({ micro: true })) console.log(`${what.padEnd(30)} ${f(ns, 0).padStart(6)}`);

  const header = "policy every  ms  heap old | ms/step  peak handles 1st,2nd half  at end  peak MB | minor (n, ms)  full (n, ms)  own % | V8's own: minor major other   %";
  const show = (r) =>
    console.log(
      `${(r.policy + (r.adjust ? "+adj" : "")).padEnd(8)} ${String(r.every).padStart(4)} ${String(r.stepMs).padStart(3)} ${String(r.heapMb).padStart(5)} ${String(r.promote).padStart(3)} | ` +
      `${f(r.medianStep).padStart(7)} ${String(r.peakFirst).padStart(12)} ${String(r.peakSecond).padStart(12)} ${String(r.live).padStart(8)} ${f(r.peakMb, 0).padStart(8)} | ` +
      `${String(r.minors).padStart(5)} ${f(r.minorMs).padStart(6)} ${String(r.fulls).padStart(6)} ${f(r.fullMs, 1).padStart(6)} ${f(r.percent).padStart(6)} | ` +
      `${String(r.v8Own.minor).padStart(14)} ${String(r.v8Own.major).padStart(5)} ${String(r.v8Own.other).padStart(5)} ${f(r.v8Percent).padStart(5)}` +
      (r.diedUnforced === undefined ? "" : `  died without a forced collection: ${r.diedUnforced}`));
  const only = process.argv.find((a) => a.startsWith("--only="))?.slice(7);
  const section = (name, title, settings) => {
    if (only && only !== name) return;
    console.log(`\n${title}\n\n${header}`);
    for (const setting of settings) show(child(setting));
  };
  const cross = (...lists) => lists.reduce((all, list) => all.flatMap((a) => list.map((b) => ({ ...a, ...b }))), [{}]);
  const of = (key, values) => values.map((v) => ({ [key]: v }));
  const steps = quick ? 100 : 300;
  section("policies", "steps of 10 ms", cross(of("heapMb", [0, 50]), of("policy", ["plan", "ages", "ends", "budget"]),
    of("every", [0.25, 0.5, 2]), [{ stepMs: 10, steps }]));
  section("short", "steps of 3 ms", cross(of("policy", ["plan", "ends", "budget"]), of("heapMb", [0, 50]), of("every", [0.5, 2]),
    [{ stepMs: 3, steps: 2 * steps }]));
  section("long", "long runs of the recommended policy; old: tensors a step that the user holds for 30 steps", [
    ...cross([{ policy: "budget", stepMs: 10, steps: quick ? 300 : 2000 }], of("heapMb", [0, 50]), of("every", [0.25, 0.5, 2])),
    ...cross([{ policy: "budget", stepMs: 10, steps: quick ? 300 : 2000, promote: 10 }], of("heapMb", [0, 50]), of("every", [0.5])),
    ...cross([{ policy: "budget", stepMs: 3, steps: quick ? 600 : 5000 }], of("heapMb", [0, 50]), of("every", [0.5]))]);
  section("adjust", "napi_adjust_external_memory, 1 MB a buffer", cross([{ stepMs: 3, steps, every: 2 }], of("policy", ["none", "budget"]),
    of("heapMb", [0, 50]), of("adjust", [false, true])));
}
