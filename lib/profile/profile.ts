/**
 * Profile: what a piece of a program did, by op and by module: how long, how many FLOPs and bytes, how much memory.
 */
import { writeFileAtomic } from "../io/atomic.js";
import type { CallRecords } from "../native.js";
import { scopeAt } from "../watch.js";
import { pathTo, type Span, type Steps } from "./spans.js";
import { showBytes, showPercent, showRate, showTime, table } from "./table.js";
import { chromeTrace } from "./trace.js";

/** One call of a kernel. Times in ns since the profile began. */
export interface Call {
  /** The kernel's name in native/ops.def. */
  op: string;
  /** A number of lib/watch.ts; 0: in no module. */
  scope: number;
  /** Whether backward() called it. */
  backward: boolean;
  /** On JavaScript's thread; otherwise on the executor's. */
  inPlace: boolean;
  /** What the sizes count; 0 where the op counts none. */
  flops: number;
  /** Of all operands. */
  bytes: number;
  /** When it was handed to the stream. */
  submitted: number;
  /** When its kernel began. */
  start: number;
  /** When its kernel was done. */
  end: number;
  /** Bytes of the process's live buffers when it was submitted. */
  liveBefore: number;
  /** Bytes of the process's live buffers when it had run. */
  liveAfter: number;
}

/** Sums over some calls. Times in milliseconds. */
export interface ProfileSums {
  /** Calls of kernels. */
  calls: number;
  /** Of the kernels, without waiting. */
  time: number;
  /** Time a call. */
  mean: number;
  /** Of the time of all kernels, 0 to 1. */
  share: number;
  /** Of the operands, read or written. */
  bytes: number;
  /** Of the ops that count them: products, convolutions, attention and the like. */
  flops: number;
  /** 10^9 a second of the calls' time; null where no call counts FLOPs. */
  gflops: number | null;
  /** 10^9 bytes of operands a second of the calls' time; null where none took any. */
  gigabytes: number | null;
}

/** Sums over the calls of one op. */
export interface OpProfile extends ProfileSums {
  /** The kernel's name in native/ops.def. */
  op: string;
}

/** A module, its forward or its backward. The sums are of itself, without the modules inside. */
export interface ModuleProfile extends ProfileSums {
  /** Its path: "layers.0.conv"; the outermost module has the name of its class, and "" stands for all outside modules. */
  name: string;
  /** Its class; "" for what is no module, as "AdamW.step". */
  type: string;
  /** Whether these are the calls of its backward. */
  backward: boolean;
  /** How often its forward was called; in backward, how often backward() came to it. */
  entered: number;
  /** Kernel time with the modules inside, in milliseconds. */
  total: number;
  /** Bytes of the buffers made in it, without the modules inside. */
  allocated: number;
}

/** Options of Profile.toString(). */
export interface TableOptions {
  /** Rows of each table. Default 30. */
  rows?: number;
  /** What they are sorted by, the largest first. Default "time". */
  sortBy?: "time" | "calls" | "mean" | "bytes" | "flops";
}

const FIELDS = 10; // numbers a call, as the addon gives them

function sums(): ProfileSums {
  return { calls: 0, time: 0, mean: 0, share: 0, bytes: 0, flops: 0, gflops: null, gigabytes: null };
}
function count(into: ProfileSums, call: Call): void {
  into.calls++;
  into.time += (call.end - call.start) / 1e6;
  into.bytes += call.bytes;
  into.flops += call.flops;
}
function finish<S extends ProfileSums>(s: S, busy: number): S {
  s.mean = s.calls === 0 ? 0 : s.time / s.calls;
  s.share = busy === 0 ? 0 : s.time / busy;
  if (s.time > 0) {
    s.gflops = s.flops > 0 ? s.flops / (s.time * 1e6) : null;
    s.gigabytes = s.bytes > 0 ? s.bytes / (s.time * 1e6) : null;
  }
  return s;
}

/** What profile() measured. Times in milliseconds, sizes in bytes. */
export class Profile<T = unknown> {
  /** What the function returned. */
  readonly result: T;
  /** From the beginning until the last kernel was done. */
  readonly wallTime: number;
  /** In which kernels of this thread ran, in place or on the executor. */
  readonly busyTime: number;
  /** In which none did: the stream waited for JavaScript, for data, or for another thread's kernels. */
  readonly idleTime: number;
  /** That JavaScript took between its calls of kernels: not submitting, not blocked in a read, not waiting for events. */
  readonly javascriptTime: number;
  /** Calls of kernels that are in the tables and the trace. */
  readonly calls: number;
  /** Calls beyond maxCalls: they ran, and are in no table. */
  readonly dropped: number;
  /** Bytes of the process's live buffers. */
  readonly memory: {
    /** At the beginning. */
    readonly atStart: number;
    /** At the end of the last call. */
    readonly atEnd: number;
    /** The most that were seen. */
    readonly peak: number;
  };
  /** By op, the longest first. */
  readonly ops: readonly OpProfile[];
  /** By module and pass, the longest first. */
  readonly modules: readonly ModuleProfile[];

  readonly #records: CallRecords;
  readonly #spans: readonly Span[];
  readonly #droppedSteps: number;

  /** @internal Times in ns. */
  constructor(result: T, records: CallRecords, steps: Steps, wall: number, waitedForEvents: number) {
    this.result = result;
    this.#records = records;
    this.#spans = steps.spans(wall);
    this.#droppedSteps = steps.dropped;
    const byOp = new Map<string, OpProfile>();
    const byTag = new Map<number, ModuleProfile>();
    const moduleOf = (scope: number, backward: boolean): ModuleProfile => {
      const tag = 2 * scope + (backward ? 1 : 0);
      let m = byTag.get(tag);
      if (!m) {
        const { name, type } = scopeAt(scope);
        const allocated = records.allocated[tag] ?? 0;
        byTag.set(tag, (m = { name, type, backward, entered: 0, ...sums(), total: 0, allocated }));
      }
      return m;
    };
    let busy = 0;
    let atEnd = records.liveAtStart;
    for (const call of this.kernelCalls()) {
      let op = byOp.get(call.op);
      if (!op) byOp.set(call.op, (op = { op: call.op, ...sums() }));
      count(op, call);
      count(moduleOf(call.scope, call.backward), call);
      busy += call.end - call.start;
      const around = pathTo(call.scope);
      for (const scope of around.length > 0 ? around : [0])
        moduleOf(scope, call.backward).total += (call.end - call.start) / 1e6;
      atEnd = call.liveAfter;
    }
    for (const [tag, bytes] of records.allocated.entries()) if (bytes > 0) moduleOf(tag >> 1, (tag & 1) === 1);
    for (const { scope, backward } of this.#spans) if (scope !== 0) moduleOf(scope, backward).entered++;
    this.calls = records.rows.length / FIELDS;
    this.dropped = records.dropped;
    this.wallTime = wall / 1e6;
    this.busyTime = busy / 1e6;
    this.idleTime = Math.max(0, wall - busy) / 1e6;
    this.javascriptTime = Math.max(0, wall - records.submitting - records.waiting - waitedForEvents) / 1e6;
    this.memory = { atStart: records.liveAtStart, atEnd, peak: records.peakBytes };
    const longest = (a: ProfileSums, b: ProfileSums) => b.time - a.time;
    this.ops = [...byOp.values()].map((s) => finish(s, this.busyTime)).sort(longest);
    this.modules = [...byTag.values()].map((s) => finish(s, this.busyTime)).sort(longest);
  }

  /** Every call, in the order they were submitted. */
  *kernelCalls(): Generator<Call> {
    const { rows, ops } = this.#records;
    for (let i = 0; i < rows.length; i += FIELDS) {
      const [op, tag, inPlace, flops, bytes, submitted, start, end, liveBefore, liveAfter] = rows.subarray(
        i,
        i + FIELDS,
      ) as unknown as [number, number, number, number, number, number, number, number, number, number];
      yield {
        op: ops[op]!,
        scope: tag >> 1,
        backward: (tag & 1) === 1,
        inPlace: inPlace === 1,
        flops,
        bytes,
        submitted,
        start,
        end,
        liveBefore,
        liveAfter,
      };
    }
  }

  /** The tables by op and by module, and the sums. */
  toString({ rows = 30, sortBy = "time" }: TableOptions = {}): string {
    const sorted = <S extends ProfileSums>(all: readonly S[]) =>
      [...all].sort((a, b) => b[sortBy] - a[sortBy]).slice(0, rows);
    const more = (all: readonly unknown[]) => (all.length > rows ? [`... and ${all.length - rows} more`] : []);
    const numbers = (s: ProfileSums) => [
      showTime(s.mean * 1e6),
      String(s.calls),
      showBytes(s.bytes),
      showRate(s.gflops),
      showRate(s.gigabytes),
    ];
    const columns = ["Mean", "Calls", "Bytes", "GFLOP/s", "GB/s"];
    const ops = table(
      ["Op", "Time", "Share", ...columns],
      sorted(this.ops).map((s) => [s.op, showTime(s.time * 1e6), showPercent(s.share), ...numbers(s)]),
    );
    const modules = table(
      ["Module", "Pass", "Entered", "Time", "Share", "With inner", ...columns, "Allocated"],
      sorted(this.modules).map((s) => [
        s.name === "" ? "(outside modules)" : s.type === "" || s.type === s.name ? s.name : `${s.name}: ${s.type}`,
        s.type === "" && s.name !== "" ? "-" : s.backward ? "backward" : "forward",
        s.entered === 0 ? "-" : String(s.entered),
        showTime(s.time * 1e6),
        showPercent(s.share),
        showTime(s.total * 1e6),
        ...numbers(s),
        showBytes(s.allocated),
      ]),
    );
    const share = (ms: number) => `${showTime(ms * 1e6)} (${showPercent(this.wallTime > 0 ? ms / this.wallTime : 0)})`;
    const { atStart, atEnd, peak } = this.memory;
    return [
      ...ops,
      ...more(this.ops),
      "",
      ...modules,
      ...more(this.modules),
      "",
      `Wall time ${showTime(this.wallTime * 1e6)}: ${this.calls} kernel calls ${share(this.busyTime)}, stream idle ${share(this.idleTime)}, JavaScript between calls ${share(this.javascriptTime)}`,
      `Memory: ${showBytes(atStart)} live at the start, ${showBytes(atEnd)} at the end, ${showBytes(peak)} at most`,
      ...(this.dropped + this.#droppedSteps > 0
        ? [
            `Not in these tables: ${this.dropped} calls and ${this.#droppedSteps} steps of modules beyond maxCalls; profile less, or raise it`,
          ]
        : []),
    ].join("\n");
  }

  /**
   * Writes the profile as a Chrome trace: open it at chrome://tracing or https://ui.perfetto.dev. The file is replaced in
   * one step.
   *
   * @throws (rejects) the error of the file system
   */
  saveChromeTrace(path: string): Promise<void> {
    return writeFileAtomic(path, chromeTrace(this.kernelCalls(), this.#spans, this.dropped));
  }

  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return this.toString();
  }
}
