/**
 * @file The progress of a long job: one line that redraws itself on a terminal, plain lines anywhere else.
 *
 *     epoch 2/5 ━━━━━━━━━━━━━━━━━━━━─────────  68%  319/469  loss 0.0841  accuracy 97.4%  5210 img/s  0:07 left
 *
 * What stands in the line is a pure function of numbers and a width (progressLine); the class below only decides when
 * to draw, and gives the terminal back whole, whatever ends the process (short of SIGKILL).
 */

/** What the line tells. */
export interface ProgressState {
  /** what is being done, "epoch 2/5" */
  label?: string;
  /** steps finished */
  done: number;
  /** steps in all; without it there is no bar, percentage or time left */
  total?: number;
  /** seconds since the start */
  elapsed: number;
  /** items a second */
  rate?: number;
  /** default "it" */
  unit?: string;
  /** seconds left */
  eta?: number;
  /** numbers are shown with 4 significant digits, those whose name ends in "accuracy" as a percentage */
  fields?: Readonly<Record<string, number | string>>;
}

/** The part of a stream that the bar needs; process.stderr is one. */
export interface ProgressStream {
  write(text: string): unknown;
  isTTY?: boolean;
  columns?: number;
}

/** Options of Progress. */
export interface ProgressOptions {
  /** default process.stderr, so that stdout stays free for results */
  stream?: ProgressStream;
  /** what `items` of update() counts; default "img" */
  unit?: string;
  /** default process.env: NO_COLOR turns colours off, TERM=dumb the terminal line */
  env?: Readonly<Record<string, string | undefined>>;
  /** milliseconds; default performance.now */
  now?: () => number;
}

const REDRAW_MS = 100; // 10 times a second
const LINE_MS = 10_000; // between plain lines
const RATE_MS = 10_000; // the rate is the mean over this long: steady, yet follows a change
const BAR = { most: 30, least: 8 };

/**
 * The line, at most `width` columns wide. What does not fit goes: the bar shrinks, the rate goes, then the bar, the time
 * and the later fields; label and position stay, cut at the width.
 */
export function progressLine(state: ProgressState, { width = 80, color = false, bar = true } = {}): string {
  const { label = "", done, total, elapsed, rate, unit = "it", eta, fields = {} } = state;
  const shown = Object.entries(fields).map(([name, value]) => `${clean(name)} ${formatField(name, value)}`);
  const share = total && total > 0 ? Math.min(1, Math.max(0, done / total)) : undefined;
  // Fixed widths, so that the parts do not jump about while the numbers grow.
  const position =
    share === undefined ? `${done}` : `${percent(share)}  ${`${done}`.padStart(`${total}`.length)}/${total}`;
  const speed = rate !== undefined && Number.isFinite(rate) ? `${significant(rate)} ${unit}/s` : "";
  const time =
    share === undefined || share === 1 ? formatTime(elapsed) : eta === undefined ? "" : `${formatTime(eta)} left`;

  const text = (parts: string[]) => parts.filter((part) => part !== "").join("  ");
  const attempt = (parts: string[], least: number): string | undefined => {
    const rest = text([clean(label), ...parts]);
    if (rest.length > width) return undefined;
    if (share === undefined || !bar || least === 0) return rest;
    const room = Math.min(BAR.most, width - rest.length - 2);
    if (room < least) return undefined;
    return text([clean(label), drawBar(share, room, color), ...parts]);
  };
  const all = [position, ...shown, speed, time];
  const short = [position, ...shown, time];
  const fewer = shown.map((_, i) => [position, ...shown.slice(0, shown.length - i)]);
  return (
    attempt(all, BAR.least) ??
    attempt(short, BAR.least) ??
    [all, short, ...fewer, [position]].map((parts) => attempt(parts, 0)).find((line) => line !== undefined) ??
    text([clean(label), position]).slice(0, Math.max(0, width))
  );
}

/**
 * Draws progress on a stream.
 *
 *     const progress = new Progress();
 *     try {
 *       progress.start("epoch 1/5", loader.length);
 *       for (...) progress.update(step, { items: batchSize, fields: { loss } });
 *       progress.finish({ loss, accuracy }); // the line stays
 *     } finally {
 *       progress.close();
 *     }
 *
 * On a terminal the line is redrawn at most 10 times a second and the cursor is hidden from start() to close(); it
 * comes back also on an uncaught exception, process.exit() and fatal signals. Elsewhere one line is written about
 * every 10 seconds, and one at finish().
 */
export class Progress {
  readonly #stream: ProgressStream;
  readonly #unit: string;
  readonly #now: () => number;
  readonly #terminal: boolean;
  readonly #color: boolean;
  #state: ProgressState | undefined;
  #items = 0;
  #startedAt = 0;
  #drawnAt = Number.NEGATIVE_INFINITY;
  #samples: { at: number; done: number; items: number }[] = [];
  #hidden = false;

  constructor({
    stream = process.stderr,
    unit = "img",
    env = process.env,
    now = () => performance.now(),
  }: ProgressOptions = {}) {
    this.#stream = stream;
    this.#unit = unit;
    this.#now = now;
    this.#terminal = stream.isTTY === true && env.TERM !== "dumb";
    this.#color = this.#terminal && !env.NO_COLOR;
  }

  /** Begins a line, say for an epoch. A line that is still open is finished first. */
  start(label: string, total?: number): void {
    if (this.#state) this.finish();
    this.#startedAt = this.#now();
    this.#items = 0;
    this.#samples = [{ at: this.#startedAt, done: 0, items: 0 }];
    this.#state = { label, total, done: 0, elapsed: 0, unit: this.#unit };
    this.#drawnAt = this.#terminal ? Number.NEGATIVE_INFINITY : this.#startedAt;
    if (this.#terminal) {
      this.#hideCursor();
      this.#draw();
    }
  }

  /**
   * @param done steps finished since start()
   * @param options.items how many items (pictures) this step had, for the rate; without it the rate counts steps
   * @param options.fields replace those of the same name
   */
  update(done: number, { items = 0, fields }: { items?: number; fields?: ProgressState["fields"] } = {}): void {
    if (!this.#state) throw new Error("Progress.update: no line is open. Call start(label, total) first");
    this.#items += items;
    this.#set(done, fields);
    if (this.#now() - this.#drawnAt >= (this.#terminal ? REDRAW_MS : LINE_MS)) this.#draw();
  }

  /** Ends the line with its last numbers; it stays on the screen. */
  finish(fields?: ProgressState["fields"]): void {
    if (!this.#state) return;
    this.#set(this.#state.done, fields);
    // The whole of it, not the last seconds.
    const seconds = this.#state.elapsed;
    const rate = (this.#items || this.#state.done) / seconds;
    this.#state = { ...this.#state, rate: seconds > 0 && rate > 0 ? rate : undefined };
    this.#draw();
    if (this.#terminal) this.#stream.write("\n");
    this.#state = undefined;
  }

  /** Writes a line of text above the progress line. */
  log(line: string): void {
    this.#stream.write(`${this.#terminal && this.#state ? "\r\x1b[K" : ""}${line}\n`);
    if (this.#terminal && this.#state) this.#draw();
  }

  /** Gives the terminal back. An open line stays as it is. May be called more than once. */
  close(): void {
    if (this.#terminal && this.#state) {
      this.#draw();
      this.#stream.write("\n");
    }
    this.#state = undefined;
    this.#showCursor();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #set(done: number, fields: ProgressState["fields"]): void {
    const state = this.#state!;
    const at = this.#now();
    const last = this.#samples.at(-1)!;
    const sample = { at, done, items: this.#items };
    // One sample a redraw is enough; the first stays as the start of the window.
    if (this.#samples.length > 1 && at - this.#samples.at(-2)!.at < REDRAW_MS)
      this.#samples[this.#samples.length - 1] = sample;
    else if (at > last.at) this.#samples.push(sample);
    while (this.#samples.length > 2 && at - this.#samples[0].at > RATE_MS) this.#samples.shift();
    const first = this.#samples[0];
    const seconds = (at - first.at) / 1000;
    const counted = this.#items > 0;
    const steps = done - first.done;
    const rate = (counted ? this.#items - first.items : steps) / seconds;
    this.#state = {
      ...state,
      done,
      elapsed: (at - this.#startedAt) / 1000,
      fields: { ...state.fields, ...fields },
      unit: counted ? this.#unit : "it",
      rate: seconds > 0 && rate > 0 ? rate : undefined,
      eta: seconds > 0 && steps > 0 && state.total ? ((state.total - done) * seconds) / steps : undefined,
    };
  }

  #draw(): void {
    this.#drawnAt = this.#now();
    if (this.#terminal) {
      // One column stays free: a full line would wrap, and the next carriage return would not find its start.
      const width = Math.max(1, (this.#stream.columns || 80) - 1);
      this.#stream.write(`\r${progressLine(this.#state!, { width, color: this.#color })}\x1b[K`);
    } else {
      this.#stream.write(`${progressLine(this.#state!, { width: 200, bar: false })}\n`);
    }
  }

  #hideCursor(): void {
    if (this.#hidden) return;
    this.#hidden = true;
    this.#stream.write("\x1b[?25l");
    if (drawing.size === 0) {
      process.on("exit", closeAll);
      for (const signal of FATAL) process.on(signal, closeAndDie);
    }
    drawing.add(this);
  }

  #showCursor(): void {
    if (!this.#hidden) return;
    this.#hidden = false;
    this.#stream.write("\x1b[?25h");
    drawing.delete(this);
    if (drawing.size === 0) {
      process.off("exit", closeAll);
      for (const signal of FATAL) process.off(signal, closeAndDie);
    }
  }
}

const FATAL: NodeJS.Signals[] = ["SIGINT", "SIGTERM", "SIGHUP"];
const drawing = new Set<Progress>();

function closeAll(): void {
  for (const progress of drawing) progress.close();
}

function closeAndDie(signal: NodeJS.Signals): void {
  // Another listener (the trainer's, which saves first) decides what the signal means and closes the bar itself.
  if (process.listenerCount(signal) > 1) return;
  closeAll();
  process.kill(process.pid, signal); // nobody listens now: the default, which ends the process
}

function drawBar(share: number, width: number, color: boolean): string {
  const full = Math.round(share * width);
  const [on, off] = ["━".repeat(full), "─".repeat(width - full)];
  return color ? `\x1b[36m${on}\x1b[0m\x1b[2m${off}\x1b[0m` : on + off;
}

function percent(share: number): string {
  // Not 100 before the end.
  return `${share === 1 ? 100 : Math.min(99, Math.round(share * 100))}%`.padStart(4);
}

function formatField(name: string, value: number | string): string {
  if (typeof value === "string") return clean(value);
  if (/accuracy$/i.test(name) && Number.isFinite(value)) return `${(value * 100).toFixed(1)}%`;
  return significant(value);
}

/** 4 significant digits, in a steady width: 0.08410, 2.303, 5210, 1.2e-5. */
function significant(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  const size = Math.abs(value);
  if (size === 0) return "0";
  if (size < 1e-3 || size >= 1e7)
    return value
      .toExponential(2)
      .replace("e+", "e")
      .replace(/\.?0+e/, "e");
  return size >= 1000 ? value.toFixed(0) : value.toPrecision(4);
}

/** 0:07, 12:05, 1:02:05 */
function formatTime(seconds: number): string {
  if (!Number.isFinite(seconds)) return "";
  const whole = Math.max(0, Math.round(seconds));
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (value: number) => String(value).padStart(2, "0");
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/** Labels and fields come from outside; control characters would move the cursor. */
function clean(text: string): string {
  return text.replace(/\p{Cc}/gu, " ");
}
