/**
 * A profile as a Chrome trace, for chrome://tracing and https://ui.perfetto.dev: a track for JavaScript (modules, forward
 * and backward, and the ops that ran in place there), one for the executor, one for memory. Times are in microseconds.
 * The format: "Trace Event Format", Google, https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU
 */
import { scopeAt } from "../watch.js";
import type { Call } from "./profile.js";
import type { Span } from "./spans.js";

const JAVASCRIPT = 1;
const EXECUTOR = 2;

const microseconds = (ns: number): number => ns / 1000;

/** The file, in pieces: a long profile never stands in memory as one text. */
export function* chromeTrace(calls: Iterable<Call>, spans: readonly Span[], dropped: number): Generator<Uint8Array> {
  const pid = process.pid;
  const name = (kind: string, tid: number, name: string) => ({ name: kind, ph: "M", pid, tid, args: { name } });
  let lines = [
    name("process_name", 0, "napier"),
    name("thread_name", JAVASCRIPT, "JavaScript: modules, and ops in place"),
    name("thread_name", EXECUTOR, "executor: ops"),
  ].map((event) => JSON.stringify(event));
  let started = false;
  const flush = (): Uint8Array => {
    const text = `${started ? ",\n" : `{"displayTimeUnit":"ms","otherData":{"dropped":${dropped}},"traceEvents":[\n`}${lines.join(",\n")}`;
    started = true;
    lines = [];
    return Buffer.from(text);
  };
  yield flush();
  const push = (event: object) => void lines.push(JSON.stringify(event));
  for (const { scope, backward, start, end } of spans) {
    const { name, type } = scopeAt(scope);
    const title = scope === 0 ? "backward()" : type === "" || type === name ? name : `${name}: ${type}`;
    push({
      name: title,
      cat: backward ? "backward" : "forward",
      ph: "X",
      pid,
      tid: JAVASCRIPT,
      ts: microseconds(start),
      dur: microseconds(end - start),
    });
    if (lines.length >= 4096) yield flush();
  }
  for (const call of calls) {
    const { op, scope, backward, inPlace, bytes, flops, submitted, start, end, liveBefore, liveAfter } = call;
    const duration = end - start;
    const args: Record<string, unknown> = {
      module: scopeAt(scope).name,
      pass: backward ? "backward" : "forward",
      bytes,
      submitted: microseconds(submitted),
    };
    if (flops > 0) [args.flops, args.GFLOPs] = [flops, duration > 0 ? flops / duration : 0];
    const tid = inPlace ? JAVASCRIPT : EXECUTOR;
    push({ name: op, cat: "op", ph: "X", pid, tid, ts: microseconds(start), dur: microseconds(duration), args });
    for (const [ts, live] of [
      [submitted, liveBefore],
      [end, liveAfter],
    ] as const)
      push({ name: "memory", ph: "C", pid, ts: microseconds(ts), args: { "live bytes": live } });
    if (lines.length >= 4096) yield flush();
  }
  if (lines.length > 0) yield flush();
  yield Buffer.from("\n]}\n");
}
